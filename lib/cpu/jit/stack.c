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

/* Where the new top of the stack is. */
static struct emit_mem below(struct jit_tr *t, bool again)
{
    vm__jit_clobber(t);
    return vm__jit_stack_at(t, H_SP, -width(t), (unsigned)width(t), true, again, JIT_COLD_CALL);
}

static bool push_reg(struct jit_tr *t)
{
    unsigned guest = t->i->dst / 8;

    struct emit_mem top = below(t, false);
    if (jit_home(guest) != H_NONE) {
        emit_store(t->hot, t->is64, top, jit_home(guest));
    } else {
        emit_lea(t->hot, true, H_T0, top);
        emit_store(t->hot, true, emit_at(H_T0, 0), jit_read(t, guest, H_T1));
    }
    move_sp(t, -width(t));
    return true;
}

static bool push_const(struct jit_tr *t)
{
    emit_store_imm(t->hot, t->is64, below(t, false), (int32_t)t->i->imm);
    move_sp(t, -width(t));
    return true;
}

static bool push_mem(struct jit_tr *t)
{
    if (!(t->i->flags & X86_I_MEM))
        return push_reg(t);
    vm__jit_clobber(t);
    struct emit_mem from = vm__jit_operand(t, (unsigned)width(t), false, 0, JIT_COLD_CALL);
    emit_load(t->hot, t->is64, H_T0, from);
    emit_store(t->hot, true, JIT_CPU(jit.tmp), H_T0);
    emit_lea(t->hot, true, H_T0, below(t, true));
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
    struct emit_mem top =
        vm__jit_stack_at(t, H_SP, 0, (unsigned)width(t), false, false, JIT_COLD_CALL);
    emit_load(t->hot, t->is64, home == H_NONE || guest == X86_RSP ? H_T0 : home, top);
    move_sp(t, width(t));
    if (home == H_NONE || guest == X86_RSP)
        jit_write(t, guest, H_T0);
    return true;
}

static bool leave(struct jit_tr *t)
{
    vm__jit_clobber(t);
    struct emit_mem top =
        vm__jit_stack_at(t, H_RBP, 0, (unsigned)width(t), false, false, JIT_COLD_CALL);
    emit_lea(t->hot, t->is64, H_SP, emit_at(H_RBP, width(t)));
    emit_load(t->hot, t->is64, H_RBP, top);
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
