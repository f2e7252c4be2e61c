/* SPDX-License-Identifier: MIT */
/**
 * @file arith.h
 * Meaning of the ordinary integer operations: result and lazy flags, at a width that is a constant
 * where these are inlined. Operands are zero-extended; the result's upper bits are not meaningful.
 */
#ifndef LIBVM_CPU_INTERP_ARITH_H
#define LIBVM_CPU_INTERP_ARITH_H

#include "cpu/interp/interp.h"

#define X86_INLINE static inline __attribute__((always_inline))

X86_INLINE int64_t x86_sext(uint64_t v, unsigned w)
{
    return (int64_t)(v << (64 - w)) >> (64 - w);
}

X86_INLINE uint64_t x86_do_add(struct vcpu *c, unsigned w, uint64_t a, uint64_t b, unsigned carry)
{
    uint64_t r = a + b + carry;
    if (w < 64) {
        x86_cc(c, w, x86_sext(r, w), (a ^ b ^ r) << (63 - w));
    } else {
        uint64_t cf = carry ? r <= a : r < a;
        x86_cc(c, 64, (int64_t)r, (a ^ b ^ r) >> 1 | cf << 63);
    }
    return r;
}

X86_INLINE uint64_t x86_do_sub(struct vcpu *c, unsigned w, uint64_t a, uint64_t b, unsigned borrow)
{
    uint64_t r = a - b - borrow;
    if (w < 64) {
        x86_cc(c, w, x86_sext(r, w), (a ^ b ^ r) << (63 - w));
    } else {
        uint64_t cf = borrow ? a <= b : a < b;
        x86_cc(c, 64, (int64_t)r, (a ^ b ^ r) >> 1 | cf << 63);
    }
    return r;
}

/* clang-format off */
X86_INLINE uint64_t x86_op_add(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { return x86_do_add(c, w, a, b, 0); }
X86_INLINE uint64_t x86_op_adc(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { return x86_do_add(c, w, a, b, x86_cf(c)); }
X86_INLINE uint64_t x86_op_sub(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { return x86_do_sub(c, w, a, b, 0); }
X86_INLINE uint64_t x86_op_cmp(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { return x86_do_sub(c, w, a, b, 0); }
X86_INLINE uint64_t x86_op_sbb(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { return x86_do_sub(c, w, a, b, x86_cf(c)); }
X86_INLINE uint64_t x86_op_and(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { uint64_t r = a & b; x86_cc_logic(c, w, x86_sext(r, w)); return r; }
X86_INLINE uint64_t x86_op_test(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { return x86_op_and(c, w, a, b); }
X86_INLINE uint64_t x86_op_or(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { uint64_t r = a | b; x86_cc_logic(c, w, x86_sext(r, w)); return r; }
X86_INLINE uint64_t x86_op_xor(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { uint64_t r = a ^ b; x86_cc_logic(c, w, x86_sext(r, w)); return r; }
X86_INLINE uint64_t x86_op_mov(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { (void)c; (void)w; (void)a; return b; }
/* clang-format on */

/** INC and DEC keep CF [SDM-2A INC]. */
X86_INLINE uint64_t x86_keep_cf(struct vcpu *c, unsigned cf, uint64_t r)
{
    unsigned of = x86_of(c);
    x86_set_cf_of(c, cf, of);
    return r;
}
X86_INLINE uint64_t x86_op_inc(struct vcpu *c, unsigned w, uint64_t a)
{
    unsigned cf = x86_cf(c);
    return x86_keep_cf(c, cf, x86_do_add(c, w, a, 1, 0));
}
X86_INLINE uint64_t x86_op_dec(struct vcpu *c, unsigned w, uint64_t a)
{
    unsigned cf = x86_cf(c);
    return x86_keep_cf(c, cf, x86_do_sub(c, w, a, 1, 0));
}
X86_INLINE uint64_t x86_op_not(struct vcpu *c, unsigned w, uint64_t a)
{
    (void)c;
    (void)w;
    return ~a;
}
X86_INLINE uint64_t x86_op_neg(struct vcpu *c, unsigned w, uint64_t a)
{
    return x86_do_sub(c, w, 0, a, 0);
}

/* Operand behind a pointer from x86_rmw() or vm__x86_lock_begin(): any alignment, any type. */
typedef uint8_t x86_mem8 __attribute__((may_alias));
typedef uint16_t x86_mem16 __attribute__((may_alias, aligned(1)));
typedef uint32_t x86_mem32 __attribute__((may_alias, aligned(1)));
typedef uint64_t x86_mem64 __attribute__((may_alias, aligned(1)));
#define X86_PEEK(W, p)    (*(const x86_mem##W *)(const void *)(p))
#define X86_POKE(W, p, v) (*(x86_mem##W *)(void *)(p) = (X86_U##W)(v))

/* One handler per form. OP(c, w, a, b) is an x86_op_*. */
#define X86_RR(name, W, OP)                                                                        \
    X86_H(name##W##_rr)                                                                            \
    {                                                                                              \
        x86_set_##W(c, i->dst,                                                                     \
                    (X86_U##W)OP(c, W, x86_get_##W(c, i->dst), x86_get_##W(c, i->src)));           \
        X86_NEXT(c, i);                                                                            \
    }
#define X86_RI(name, W, OP)                                                                        \
    X86_H(name##W##_ri)                                                                            \
    {                                                                                              \
        x86_set_##W(c, i->dst, (X86_U##W)OP(c, W, x86_get_##W(c, i->dst), (X86_U##W)i->imm));      \
        X86_NEXT(c, i);                                                                            \
    }
/* A handler with a memory operand has no call in it, so that it needs no stack frame: where the
 * fast path does not reach the operand it jumps to its twin, which goes through the ordinary
 * accessors. */
X86_INLINE bool x86_reach(struct vcpu *c, const struct x86_insn *i, unsigned size, bool flat,
                          int access, uint8_t **p)
{
    uint64_t lin, off;

    if (flat) {
        lin = x86_lin_flat(c, i);
    } else {
        const struct x86_segf *f = &c->segf[i->seg];
        off = x86_ea(c, i);
        if (x86_unlikely(off + size > (access == X86_ACCESS_W ? f->end_w : f->end_r)))
            return false;
        lin = x86_is64(c) ? f->base + off : (uint32_t)(f->base + off);
    }
    const struct x86_tlbe *e = x86_tlb_at(c, lin);
    off = lin ^ (access == X86_ACCESS_W ? e->wtag : e->rtag);
    *p = e->host + off;
    return x86_likely(off <= VM_PAGE_SIZE - size);
}
/* Handler NAME that does BODY with the operand, of W bits, in V. */
#define X86_WITH_LOAD(NAME, W, IS_FLAT, V, BODY)                                                   \
    static X86_NOINLINE const struct x86_insn *slow_##NAME(struct vcpu *c,                         \
                                                           const struct x86_insn *i)               \
    {                                                                                              \
        X86_U##W V =                                                                               \
            x86_ld##W(c, i, IS_FLAT ? x86_lin_flat(c, i) : x86_lin(c, i, W / 8, X86_ACCESS_R));    \
        BODY;                                                                                      \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_NO_TSAN X86_H(NAME)                                                                        \
    {                                                                                              \
        uint8_t *operand_;                                                                         \
        if (!x86_reach(c, i, W / 8, IS_FLAT, X86_ACCESS_R, &operand_))                             \
            return slow_##NAME(c, i);                                                              \
        X86_U##W V = X86_PEEK(W, operand_);                                                        \
        BODY;                                                                                      \
        X86_NEXT(c, i);                                                                            \
    }
/* Handler NAME that stores V. */
#define X86_WITH_STORE(NAME, W, IS_FLAT, V)                                                        \
    static X86_NOINLINE const struct x86_insn *slow_##NAME(struct vcpu *c,                         \
                                                           const struct x86_insn *i)               \
    {                                                                                              \
        x86_st##W(c, i, IS_FLAT ? x86_lin_flat(c, i) : x86_lin(c, i, W / 8, X86_ACCESS_W), V);     \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_NO_TSAN X86_H(NAME)                                                                        \
    {                                                                                              \
        uint8_t *operand_;                                                                         \
        if (!x86_reach(c, i, W / 8, IS_FLAT, X86_ACCESS_W, &operand_))                             \
            return slow_##NAME(c, i);                                                              \
        X86_POKE(W, operand_, V);                                                                  \
        X86_NEXT(c, i);                                                                            \
    }
#define X86_RM(name, W, OP)                                                                        \
    X86_WITH_LOAD(name##W##_rm, W, true, b,                                                        \
                  x86_set_##W(c, i->dst, (X86_U##W)OP(c, W, x86_get_##W(c, i->dst), b)))           \
    X86_WITH_LOAD(name##W##_rm_g, W, false, b,                                                     \
                  x86_set_##W(c, i->dst, (X86_U##W)OP(c, W, x86_get_##W(c, i->dst), b)))
/* Memory destination, read and written; SRC is the second operand. */
#define X86_MX_(name, W, OP, form, LIN, SRC)                                                       \
    X86_H(name##W##_##form)                                                                        \
    {                                                                                              \
        uint64_t lin = LIN;                                                                        \
        uint8_t *p = x86_rmw(c, i, lin, W / 8);                                                    \
        X86_POKE(W, p, OP(c, W, X86_PEEK(W, p), SRC));                                             \
        x86_rmw_end(c, i, lin, W / 8, p);                                                          \
        X86_NEXT(c, i);                                                                            \
    }
#define X86_MR(name, W, OP)                                                                        \
    X86_MX_(name, W, OP, mr, x86_lin_flat(c, i), x86_get_##W(c, i->src))                           \
    X86_MX_(name, W, OP, mr_g, x86_lin(c, i, W / 8, X86_ACCESS_W), x86_get_##W(c, i->src))
#define X86_MI(name, W, OP)                                                                        \
    X86_MX_(name, W, OP, mi, x86_lin_flat(c, i), (X86_U##W)i->imm)                                 \
    X86_MX_(name, W, OP, mi_g, x86_lin(c, i, W / 8, X86_ACCESS_W), (X86_U##W)i->imm)
/* LOCK: a register or an immediate as second operand (the decoder sets src to "none" for the
 * latter, which reads 0, and imm to 0 for the former). */
#define X86_LK(name, W, OP)                                                                        \
    X86_H(name##W##_lk)                                                                            \
    {                                                                                              \
        uint64_t lin = x86_lin(c, i, W / 8, X86_ACCESS_W);                                         \
        X86_U##W b = (X86_U##W)(x86_get_##W(c, i->src) | i->imm);                                  \
        uint8_t *p = vm__x86_lock_begin(c, i, lin, W / 8);                                         \
        X86_U##W *q = (X86_U##W *)(void *)p, a = __atomic_load_n(q, __ATOMIC_RELAXED), r;          \
        uint64_t cc_x = c->cc_x;                                                                   \
        int64_t cc_res = c->cc_res;                                                                \
        uint32_t cc_w = c->cc_w;                                                                   \
        do {                                                                                       \
            c->cc_x = cc_x, c->cc_res = cc_res, c->cc_w = cc_w; /* ADC, SBB: CF again */           \
            r = (X86_U##W)OP(c, W, a, b);                                                          \
        } while (                                                                                  \
            !__atomic_compare_exchange_n(q, &a, r, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));    \
        vm__x86_lock_end(c, i, lin, W / 8, p);                                                     \
        X86_NEXT(c, i);                                                                            \
    }

#endif
