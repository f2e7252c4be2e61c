/* SPDX-License-Identifier: MIT */
/**
 * @file special.c
 * Instructions that take more than themselves: DIV and IDIV, which must not fault in the host, and
 * CLI.
 *
 * The usual operands are divided by the host; those that might raise #DE, and quotients that need
 * the whole double-width dividend, are left to the handler.
 */
#include "cpu/jit/translate.h"

/* T0 = divisor, from a register or from memory. */
static void divisor(struct jit_tr *t, bool w)
{
    const struct x86_insn *i = t->i;

    vm__jit_clobber(t);
    if (i->flags & X86_I_MEM) {
        emit_load(t->hot, w, H_T0, vm__jit_operand(t, w ? 8 : 4, false, 0, JIT_COLD_CALL));
    } else {
        emit_mov(t->hot, w, H_T0, jit_read(t, i->dst / 8, H_T0));
    }
}

static void handler_if(struct jit_tr *t, unsigned cc)
{
    vm__jit_cold(t, emit_jcc(t->hot, cc), JIT_COLD_CALL, t->n);
}

/* The quotient fits if the upper half is below the divisor, which thereby is not 0. */
static bool div_unsigned(struct jit_tr *t, bool w)
{
    divisor(t, w);
    emit_rr(t->hot, OP_CMP, w, H_T0, H_RDX);
    handler_if(t, CC_AE);
    emit_rr(t->hot, 0xf7, w, 6, H_T0);
    return true;
}

/* It fits if the dividend is RAX or EAX with its sign, and the divisor neither 0 nor -1. */
static bool div_signed(struct jit_tr *t, bool w)
{
    struct emit *e = t->hot;

    divisor(t, w);
    emit_mov(e, w, H_T1, H_RAX);
    emit_rr(e, 0xc1, w, 7, H_T1); /* SAR */
    emit_8(e, w ? 63 : 31);
    emit_rr(e, OP_CMP, w, H_T1, H_RDX);
    handler_if(t, CC_NE);
    emit_lea(e, w, H_T1, emit_at(H_T0, 1));
    emit_alu_ri(e, X_CMP, w, H_T1, 1);
    handler_if(t, CC_BE);
    emit_rr(e, 0xf7, w, 7, H_T0);
    return true;
}

static bool cli(struct jit_tr *t)
{
    struct emit *e = t->hot;

    if (t->b->mode & (X86_MODE_USER | X86_MODE_REAL))
        return false;
    vm__jit_clobber(t);
    emit_alu_mi(e, X_CMP, false, JIT_CPU(cpl), 0);
    handler_if(t, CC_NE);
    emit_rm(e, 0x81, false, X_AND, JIT_CPU(st.rflags));
    emit_32(e, ~(uint32_t)X86_IF);
    return true;
}

bool vm__jit_special(struct jit_tr *t)
{
    const struct x86_row *r = t->row;

    if (r->enc != X86_ENC_LEGACY || r->map != 0)
        return false;
    if (r->opcode == 0xfa)
        return cli(t);
    if (r->opcode != 0xf7 || t->i->osz < 2)
        return false;
    return r->ext == 6 ? div_unsigned(t, t->i->osz == 3)
                       : r->ext == 7 && div_signed(t, t->i->osz == 3);
}
