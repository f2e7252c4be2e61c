/* SPDX-License-Identifier: MIT */
/**
 * @file stack.c
 * PUSH, POP and LEAVE in 64-bit code, and in 32-bit code with flat segments and a 32-bit stack.
 *
 * The stack pointer moves by LEA, which leaves flags alone, after everything that can fail.
 */
#include "cpu/jit/translate.h"

static bool usable(const struct jit_tr *t)
{
    if (t->is64)
        return t->i->osz == 3;
    return t->i->osz == 2 && (t->b->mode & X86_MODE_FLAT) &&
           (t->b->mode & X86_MODE_STACK) >> X86_MODE_STACK_SHIFT == 2;
}

static int32_t width(const struct jit_tr *t)
{
    return t->is64 ? 8 : 4;
}

static void move_sp(struct jit_tr *t, int32_t by)
{
    emit_lea(t->hot, t->is64, H_SP, emit_at(H_SP, by));
}

/* T0 + T1: host address of the new top of the stack. */
static void below(struct jit_tr *t)
{
    vm__jit_clobber(t);
    emit_lea(t->hot, t->is64, H_T0, emit_at(H_SP, -width(t)));
    vm__jit_check(t, X86_SS, (unsigned)width(t), true, 0);
}

static bool push_reg(struct jit_tr *t)
{
    unsigned guest = t->i->dst / 8;

    below(t);
    if (jit_home(guest) != H_NONE) {
        emit_store(t->hot, t->is64, emit_sum(H_T0, H_T1), jit_home(guest));
    } else {
        emit_lea(t->hot, true, H_T0, emit_sum(H_T0, H_T1));
        emit_store(t->hot, true, emit_at(H_T0, 0), jit_read(t, guest, H_T1));
    }
    move_sp(t, -width(t));
    return true;
}

static bool push_const(struct jit_tr *t)
{
    below(t);
    emit_store_imm(t->hot, t->is64, emit_sum(H_T0, H_T1), (int32_t)t->i->imm);
    move_sp(t, -width(t));
    return true;
}

static bool push_mem(struct jit_tr *t)
{
    if (!(t->i->flags & X86_I_MEM))
        return push_reg(t);
    vm__jit_clobber(t);
    vm__jit_ea(t);
    vm__jit_check(t, t->i->seg, (unsigned)width(t), false, 0);
    emit_load(t->hot, t->is64, H_T0, emit_sum(H_T0, H_T1));
    emit_store(t->hot, true, JIT_CPU(jit.tmp), H_T0);
    below(t);
    emit_lea(t->hot, true, H_T0, emit_sum(H_T0, H_T1));
    emit_load(t->hot, true, H_T1, JIT_CPU(jit.tmp));
    emit_store(t->hot, t->is64, emit_at(H_T0, 0), H_T1);
    move_sp(t, -width(t));
    return true;
}

static bool pop_reg(struct jit_tr *t)
{
    unsigned guest = t->i->dst / 8;
    int home = jit_home(guest);

    if (t->i->flags & X86_I_MEM)
        return false;
    vm__jit_clobber(t);
    emit_mov(t->hot, t->is64, H_T0, H_SP);
    vm__jit_check(t, X86_SS, (unsigned)width(t), false, 0);
    emit_load(t->hot, t->is64, home == H_NONE || guest == X86_RSP ? H_T0 : home,
              emit_sum(H_T0, H_T1));
    move_sp(t, width(t));
    if (home == H_NONE || guest == X86_RSP)
        jit_write(t, guest, H_T0);
    return true;
}

static bool leave(struct jit_tr *t)
{
    vm__jit_clobber(t);
    emit_mov(t->hot, t->is64, H_T0, H_RBP);
    vm__jit_check(t, X86_SS, (unsigned)width(t), false, 0);
    emit_lea(t->hot, t->is64, H_SP, emit_at(H_RBP, width(t)));
    emit_load(t->hot, t->is64, H_RBP, emit_sum(H_T0, H_T1));
    return true;
}

bool vm__jit_stack(struct jit_tr *t)
{
    const struct x86_row *r = t->row;

    if (r->jit != X86_JIT_NATIVE || r->enc != X86_ENC_LEGACY || r->map != 0 || !usable(t))
        return false;
    switch (r->opcode) {
    case 0x50:
        return push_reg(t);
    case 0x58:
        return pop_reg(t);
    case 0x68:
    case 0x6a:
        return push_const(t);
    case 0x8f:
        return pop_reg(t);
    case 0xc9:
        return leave(t);
    case 0xff:
        return push_mem(t);
    default:
        return false;
    }
}
