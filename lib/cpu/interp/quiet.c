/* SPDX-License-Identifier: MIT */
/**
 * @file quiet.c
 * Leaving out flags that nobody sees.
 *
 * The flags of an instruction are dead when others of its block overwrite all of them before
 * anything reads them, and nothing in between can fault, call out or leave the block: state is
 * exact wherever someone may look. About a third of the arithmetic in compiled code is like that,
 * and computing the flags is half of its cost.
 */
#include "cpu/interp/arith.h"
#include "cpu/interp/quiet.h"

extern x86_fn vm__h_undefined, vm__h_too_long;

enum { ALL = X86_FL_C | X86_FL_P | X86_FL_A | X86_FL_Z | X86_FL_S | X86_FL_O };

/* ---- handlers ---- */

#define DST(W)   x86_get_##W(c, i->dst)
#define SRC(W)   x86_get_##W(c, i->src)
#define IMM(W)   ((X86_U##W)i->imm)
#define FLAT(W)  x86_ld##W(c, i, x86_lin_flat(c, i))
#define GEN(W)   x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R))
#define CL(W)    (*x86_r8(c, X86_RCX * 8) & (W - 1))
#define COUNT(W) ((unsigned)i->imm & (W - 1))
#define NONE(W)  0

#define QUIET(name, W, form, A, B, R)                                                              \
    static const struct x86_insn *name##W##_##form(struct vcpu *c, const struct x86_insn *i)       \
    {                                                                                              \
        X86_U##W b = (X86_U##W)B(W), a = A(W);                                                     \
        (void)b;                                                                                   \
        x86_set_##W(c, i->dst, (X86_U##W)(R));                                                     \
        X86_NEXT(c, i);                                                                            \
    }

/* clang-format off */
#define WIDTHS(M, ...) M(__VA_ARGS__, 32) M(__VA_ARGS__, 64)
/* name, result */
#define TWO(M, name, R, W) \
    M(name, W, rr, DST, SRC, R) M(name, W, ri, DST, IMM, R) \
    M(name, W, rm, DST, FLAT, R) M(name, W, rm_g, DST, GEN, R)
#define MULTIPLY(M, name, R, W) \
    M(name, W, rr, DST, SRC, R) M(name, W, rm, DST, FLAT, R) M(name, W, rm_g, DST, GEN, R) \
    M(name, W, rri, SRC, IMM, R) M(name, W, rmi, FLAT, IMM, R) M(name, W, rmi_g, GEN, IMM, R)
#define ONE(M, name, R, W) M(name, W, r, DST, NONE, R)
#define SHIFT(M, name, R, W) M(name, W, rr, DST, CL, R) M(name, W, ri, DST, COUNT, R)
#define SHIFT_S(M, name, W, TYPE) \
    M(name, W, rr, DST, CL, (TYPE)a >> b) M(name, W, ri, DST, COUNT, (TYPE)a >> b)
#define EVERY(M) \
    WIDTHS(TWO, M, add, a + b) WIDTHS(TWO, M, sub, a - b) WIDTHS(TWO, M, and, a & b) \
    WIDTHS(TWO, M, or, a | b) WIDTHS(TWO, M, xor, a ^ b) \
    WIDTHS(MULTIPLY, M, imul, a * b) \
    WIDTHS(ONE, M, inc, a + 1) WIDTHS(ONE, M, dec, a - 1) WIDTHS(ONE, M, neg, -a) \
    WIDTHS(SHIFT, M, shl, a << b) WIDTHS(SHIFT, M, shr, a >> b) \
    SHIFT_S(M, sar, 32, int32_t) SHIFT_S(M, sar, 64, int64_t)
/* clang-format on */
EVERY(QUIET)

#define DECLARE(name, W, form, ...) extern x86_fn vm__h_##name##W##_##form;
EVERY(DECLARE)

#define ROW(name, W, form, ...) { vm__h_##name##W##_##form, name##W##_##form },
static const struct {
    x86_fn *loud, *quiet;
} handlers[] = { EVERY(ROW) };

/* ---- liveness ---- */

/* Neither faults nor calls out nor goes elsewhere: registers and immediates only. */
static bool is_plain(const struct x86_insn *i, const struct x86_row *r)
{
    const uint32_t bad = X86_A_BRANCH | X86_A_END | X86_A_IO | X86_A_CPL0 | X86_A_REP | X86_A_X87 |
                         X86_A_MMX | X86_A_SSE | X86_A_AVX | X86_A_D64 | X86_A_F64 | X86_A_NOUSER;

    if (r->jit != X86_JIT_NATIVE || (r->attr & bad) || i->fn == vm__h_undefined ||
        i->fn == vm__h_too_long)
        return false;
    for (unsigned k = 0; k < r->n_ops; k++) {
        const struct x86_operand *o = &r->op[k];
        if (o->cls != X86_C_GPR && o->cls != X86_C_IMM && !(o->cls == X86_C_MEM && o->acc == 0))
            return false;
        if ((i->flags & X86_I_MEM) && (o->at == X86_AT_RM || o->at == X86_AT_MOFFS) && o->acc != 0)
            return false;
    }
    return true;
}

/* Flags that are overwritten whatever the operands. Shifts and rotates by 0 change none, ROL and
 * ROR by an immediate may keep OF, RCL and RCR all; those by CL are no matter: their rows say that
 * they read what they write. */
unsigned vm__interp_kills(const struct x86_insn *i, const struct x86_row *r)
{
    bool shift = r->map == 0 && (r->opcode & 0xfe) == 0xc0 && r->enc == X86_ENC_LEGACY;
    bool twice = r->map == 1 && (r->opcode & 0xf7) == 0xa4 && r->enc == X86_ENC_LEGACY;

    if (!shift && !twice)
        return r->f_write;
    if ((i->imm & (i->osz == 3 ? 63 : 31)) == 0 || (shift && (r->ext == 2 || r->ext == 3)))
        return 0;
    return shift && r->ext < 2 ? X86_FL_C : r->f_write;
}

void vm__interp_quiet(struct x86_insn *insn, uint32_t n)
{
    unsigned dead = 0; /* after the instruction looked at; nothing is at the end of a block */

    for (uint32_t k = n; k-- > 0;) {
        struct x86_insn *i = &insn[k];
        const struct x86_row *r = &vm__x86_rows[i->row];

        if (r->f_write != 0 && (r->f_write & ~dead) == 0)
            for (unsigned h = 0; h < sizeof handlers / sizeof handlers[0]; h++)
                if (handlers[h].loud == i->fn) {
                    i->fn = handlers[h].quiet;
                    break;
                }
        dead = is_plain(i, r) ? (dead | vm__interp_kills(i, r)) & ~(unsigned)r->f_read & ALL : 0;
    }
}
