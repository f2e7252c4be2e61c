/* SPDX-License-Identifier: MIT */
/**
 * @file fuse.c
 * A compare and the conditional jump after it, as one handler.
 *
 * The pair keeps its two decoded instructions; the first one's handler does both, so the flags go
 * from producer to condition in registers and one dispatch is saved. The flags are stored as
 * always, since code at the target may read them.
 */
#include "cpu/interp/arith.h"
#include "cpu/interp/fuse.h"

#define CONDITIONS(M, ...)                                                                         \
    M(0, __VA_ARGS__) M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__)      \
    M(5, __VA_ARGS__) M(6, __VA_ARGS__) M(7, __VA_ARGS__) M(8, __VA_ARGS__) M(9, __VA_ARGS__)      \
    M(10, __VA_ARGS__) M(11, __VA_ARGS__) M(12, __VA_ARGS__) M(13, __VA_ARGS__)                    \
    M(14, __VA_ARGS__) M(15, __VA_ARGS__)

#define REG(W) x86_get_##W(c, i->dst)
#define SRC(W) x86_get_##W(c, i->src)
#define IMM(W) (X86_U##W) i->imm
#define MEM(W) x86_ld##W(c, i, x86_lin_flat(c, i))
#define GEN(W) x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R))

/* First operand A, second B (evaluated in that order); KEEP(W, r) writes the result back or not. */
#define DROP(W, r) (void)(r)
#define KEEP(W, r) x86_set_##W(c, i->dst, (X86_U##W)(r))

#define PAIR(n, op, W, form, A, B, OUT)                                                            \
    static const struct x86_insn *op##W##_##form##_##n(struct vcpu *c, const struct x86_insn *i)   \
    {                                                                                              \
        const struct x86_insn *j = i + 1;                                                          \
        uint64_t a = A(W), b = B(W);                                                               \
        OUT(W, x86_op_##op(c, W, a, b));                                                           \
        if (x86_cond(c, n))                                                                        \
            X86_TAKE(c, j);                                               \
        X86_FALL(c, j);                                       \
    }
#define ZERO(W) 0
/* clang-format off */
X86_INLINE uint64_t x86_op_dec1(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { (void)b; return x86_op_dec(c, w, a); }
X86_INLINE uint64_t x86_op_inc1(struct vcpu *c, unsigned w, uint64_t a, uint64_t b) { (void)b; return x86_op_inc(c, w, a); }

/* base handler, then PAIR's operation, width, form, operands, result */
#define PAIRS(M) \
    M(cmp8_rr, cmp, 8, rr, REG, SRC, DROP)    M(cmp8_ri, cmp, 8, ri, REG, IMM, DROP) \
    M(cmp16_ri, cmp, 16, ri, REG, IMM, DROP)  M(cmp16_rr, cmp, 16, rr, REG, SRC, DROP) \
    M(cmp32_rr, cmp, 32, rr, REG, SRC, DROP)  M(cmp32_ri, cmp, 32, ri, REG, IMM, DROP) \
    M(cmp64_rr, cmp, 64, rr, REG, SRC, DROP)  M(cmp64_ri, cmp, 64, ri, REG, IMM, DROP) \
    M(cmp8_mi, cmp, 8, mi, MEM, IMM, DROP)    M(cmp32_mi, cmp, 32, mi, MEM, IMM, DROP) \
    M(cmp64_mi, cmp, 64, mi, MEM, IMM, DROP)  M(cmp8_rm, cmp, 8, rm, REG, MEM, DROP) \
    M(cmp32_rm, cmp, 32, rm, REG, MEM, DROP)  M(cmp64_rm, cmp, 64, rm, REG, MEM, DROP) \
    M(cmp8_mr, cmp, 8, mr, MEM, SRC, DROP)    M(cmp32_mr, cmp, 32, mr, MEM, SRC, DROP) \
    M(cmp64_mr, cmp, 64, mr, MEM, SRC, DROP)  M(test8_rr, test, 8, rr, REG, SRC, DROP) \
    M(test32_rr, test, 32, rr, REG, SRC, DROP) M(test64_rr, test, 64, rr, REG, SRC, DROP) \
    M(test8_ri, test, 8, ri, REG, IMM, DROP)  M(test32_ri, test, 32, ri, REG, IMM, DROP) \
    M(test8_mi, test, 8, mi, MEM, IMM, DROP)  M(test32_mi, test, 32, mi, MEM, IMM, DROP) \
    M(dec32_r, dec1, 32, r, REG, ZERO, KEEP)  M(dec64_r, dec1, 64, r, REG, ZERO, KEEP) \
    M(inc32_r, inc1, 32, r, REG, ZERO, KEEP)  M(inc64_r, inc1, 64, r, REG, ZERO, KEEP) \
    M(sub32_ri, sub, 32, ri, REG, IMM, KEEP)  M(sub64_ri, sub, 64, ri, REG, IMM, KEEP) \
    M(sub32_rr, sub, 32, rr, REG, SRC, KEEP)  M(sub64_rr, sub, 64, rr, REG, SRC, KEEP) \
    M(add32_ri, add, 32, ri, REG, IMM, KEEP)  M(add64_ri, add, 64, ri, REG, IMM, KEEP) \
    M(and32_ri, and, 32, ri, REG, IMM, KEEP)  M(and32_rr, and, 32, rr, REG, SRC, KEEP) \
    M(cmp8_mi_g, cmp, 8, mi_g, GEN, IMM, DROP)   M(cmp32_mi_g, cmp, 32, mi_g, GEN, IMM, DROP) \
    M(cmp32_rm_g, cmp, 32, rm_g, REG, GEN, DROP) M(cmp32_mr_g, cmp, 32, mr_g, GEN, SRC, DROP) \
    M(cmp8_rm_g, cmp, 8, rm_g, REG, GEN, DROP)   M(test8_mi_g, test, 8, mi_g, GEN, IMM, DROP)
/* clang-format on */

#define DEFINE(base, ...) CONDITIONS(PAIR, __VA_ARGS__)
PAIRS(DEFINE)

#define DECLARE(base, ...) extern x86_fn vm__h_##base;
PAIRS(DECLARE)

#define ENTRY(n, op, W, form, ...) op##W##_##form##_##n,
#define ROW(base, ...) { vm__h_##base, { CONDITIONS(ENTRY, __VA_ARGS__) } },
static const struct {
    x86_fn *base;
    x86_fn *pair[16];
} pairs[] = { PAIRS(ROW) };

/* Jcc with a good target: condition 0-15, else -1. */
static int condition(const struct x86_insn *i)
{
    const struct x86_row *r = &vm__x86_rows[i->row];

    if (r->enc == X86_ENC_LEGACY && ((r->map == 0 && (r->opcode & 0xf0) == 0x70) ||
                                     (r->map == 1 && (r->opcode & 0xf0) == 0x80)))
        return r->opcode & 15;
    return -1;
}

void vm__interp_fuse(struct x86_insn *insn, uint32_t n, x86_fn *bad_branch)
{
    if (n < 2 || insn[n - 1].fn == bad_branch)
        return;
    int cc = condition(&insn[n - 1]);
    if (cc < 0)
        return;
    for (unsigned k = 0; k < sizeof pairs / sizeof pairs[0]; k++)
        if (pairs[k].base == insn[n - 2].fn) {
            insn[n - 2].fn = pairs[k].pair[cc];
            return;
        }
}
