/* SPDX-License-Identifier: MIT */
/**
 * @file alu.c
 * ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST, INC, DEC, NOT, NEG [SDM-2].
 */
#include "cpu/interp/arith.h"

#define TWO(name, W)                                                                               \
    X86_RR(name, W, x86_op_##name)                                                                 \
    X86_RI(name, W, x86_op_##name)                                                                 \
    X86_RM(name, W, x86_op_##name)                                                                 \
    X86_MR(name, W, x86_op_##name)                                                                 \
    X86_MI(name, W, x86_op_##name)                                                                 \
    X86_LK(name, W, x86_op_##name)

/* CMP and TEST write nothing. */
#define CMP_(name, W, form, A, B)                                                                  \
    X86_H(name##W##_##form)                                                                        \
    {                                                                                              \
        uint64_t m = A;                                                                            \
        (void)x86_op_##name(c, W, m, B);                                                           \
        X86_NEXT(c, i);                                                                            \
    }
#define CMP_M(name, W, form, IS_FLAT, B)                                                           \
    X86_WITH_LOAD(name##W##_##form, W, IS_FLAT, m, (void)x86_op_##name(c, W, m, B))
#define CMP_COMMON(name, W)                                                                        \
    CMP_(name, W, rr, x86_get_##W(c, i->dst), x86_get_##W(c, i->src))                              \
    CMP_(name, W, ri, x86_get_##W(c, i->dst), (X86_U##W)i->imm)                                    \
    CMP_M(name, W, mr, true, x86_get_##W(c, i->src))                                               \
    CMP_M(name, W, mr_g, false, x86_get_##W(c, i->src))                                            \
    CMP_M(name, W, mi, true, (X86_U##W)i->imm)                                                     \
    CMP_M(name, W, mi_g, false, (X86_U##W)i->imm)
#define CMP_RM(W, sfx, IS_FLAT)                                                                    \
    X86_WITH_LOAD(cmp##W##_rm##sfx, W, IS_FLAT, b,                                                 \
                  (void)x86_op_cmp(c, W, x86_get_##W(c, i->dst), b))

/* One operand. */
#define ONE_M(name, W, sfx, LIN)                                                                   \
    X86_H(name##W##_m##sfx)                                                                        \
    {                                                                                              \
        uint64_t lin = LIN;                                                                        \
        uint8_t *p = x86_rmw(c, i, lin, W / 8);                                                    \
        X86_POKE(W, p, x86_op_##name(c, W, X86_PEEK(W, p)));                                       \
        x86_rmw_end(c, i, lin, W / 8, p);                                                          \
        X86_NEXT(c, i);                                                                            \
    }
#define ONE(name, W)                                                                               \
    X86_H(name##W##_r)                                                                             \
    {                                                                                              \
        x86_set_##W(c, i->dst, (X86_U##W)x86_op_##name(c, W, x86_get_##W(c, i->dst)));             \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    ONE_M(name, W, , x86_lin_flat(c, i))                                                           \
    ONE_M(name, W, _g, x86_lin(c, i, W / 8, X86_ACCESS_W))                                         \
    X86_LK(name, W, locked_##name)

/* clang-format off */
X86_INLINE uint64_t locked_inc(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { (void)b; return x86_op_inc(c, w, a); }
X86_INLINE uint64_t locked_dec(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { (void)b; return x86_op_dec(c, w, a); }
X86_INLINE uint64_t locked_not(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { (void)b; return x86_op_not(c, w, a); }
X86_INLINE uint64_t locked_neg(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { (void)b; return x86_op_neg(c, w, a); }
/* clang-format on */

#define ALL(M, name) M(name, 8) M(name, 16) M(name, 32) M(name, 64)
ALL(TWO, add)
ALL(TWO, or)
ALL(TWO, adc)
ALL(TWO, sbb)
ALL(TWO, and)
ALL(TWO, sub)
ALL(TWO, xor)
ALL(CMP_COMMON, cmp)
ALL(CMP_COMMON, test)
CMP_RM(8, , true)
CMP_RM(16, , true)
CMP_RM(32, , true)
CMP_RM(64, , true)
CMP_RM(8, _g, false)
CMP_RM(16, _g, false)
CMP_RM(32, _g, false)
CMP_RM(64, _g, false)
ALL(ONE, inc)
ALL(ONE, dec)
ALL(ONE, not )
ALL(ONE, neg)
