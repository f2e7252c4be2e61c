/* SPDX-License-Identifier: MIT */
/**
 * @file branch.c
 * Near control transfers.
 *
 * Direct ones end in a jump that is aimed at the target's translation once there is one. Computed
 * ones look into the jump cache; when it does not know the target, or memory cannot be reached, the
 * handler does the whole instruction, with its checks of the target.
 */
#include "cpu/jit/translate.h"

static bool flat_stack(const struct jit_tr *t)
{
    return t->is64 || ((t->b->mode & X86_MODE_FLAT) &&
                       (t->b->mode & X86_MODE_STACK) >> X86_MODE_STACK_SHIFT == 2);
}

static int32_t width(const struct jit_tr *t)
{
    return t->is64 ? 8 : 4;
}

/* ---- direct ---- */

static bool jcc(struct jit_tr *t)
{
    unsigned cc = t->row->opcode & 15;

    vm__jit_want_flags(t, H_T0);
    if (t->edge[0] != 0 && t->edge[1] != 0)
        vm__jit_settle_flags(t);
    if (t->edge[1] != 0 && t->edge[0] == 0) { /* flags are put away where they are wanted */
        vm__jit_goto(t, emit_jcc(t->hot, cc ^ 1), jit_next_rip(t));
        vm__jit_settle_flags(t);
        vm__jit_goto(t, NULL, t->i->imm);
    } else {
        vm__jit_goto(t, emit_jcc(t->hot, cc), t->i->imm);
        vm__jit_settle_flags(t);
        vm__jit_goto(t, NULL, jit_next_rip(t));
    }
    t->done = true;
    return true;
}

static bool jmp(struct jit_tr *t)
{
    vm__jit_settle_flags(t);
    vm__jit_goto(t, NULL, t->i->imm);
    t->done = true;
    return true;
}

/* LOOP and JRCXZ: the host's have 8-bit displacements, so they jump over a longer jump. */
static bool count_loop(struct jit_tr *t)
{
    struct emit *e = t->hot;

    if (t->i->asz == 1)
        return false;
    vm__jit_settle_flags(t);
    if (t->row->opcode == 0xe2)
        emit_lea(e, t->i->asz == 3, H_RCX, emit_at(H_RCX, -1));
    if (t->i->asz == 2)
        emit_8(e, 0x67);
    emit_8(e, 0xe3);
    if (t->row->opcode == 0xe2) {
        emit_8(e, 5);
    } else {
        emit_8(e, 2);
        emit_8(e, 0xeb);
        emit_8(e, 5);
    }
    vm__jit_goto(t, emit_jmp(e), t->i->imm);
    vm__jit_goto(t, NULL, jit_next_rip(t));
    t->done = true;
    return true;
}

/* ---- calls ---- */

/* Write the return address below the stack pointer. */
static void push_return(struct jit_tr *t, bool again)
{
    struct emit *e = t->hot;
    uint64_t rip = jit_next_rip(t);

    struct emit_mem top =
        vm__jit_stack_at(t, H_SP, -width(t), (unsigned)width(t), true, again, JIT_COLD_DISPATCH);
    if (!t->is64 || (int64_t)rip == (int32_t)rip) {
        emit_store_imm(e, t->is64, top, (int32_t)rip);
    } else {
        emit_lea(e, true, H_T0, top);
        emit_const(e, H_T1, rip);
        emit_store(e, true, emit_at(H_T0, 0), H_T1);
    }
    emit_lea(e, t->is64, H_SP, emit_at(H_SP, -width(t)));
}

static bool call(struct jit_tr *t)
{
    if (!flat_stack(t))
        return false;
    vm__jit_clobber(t);
    push_return(t, false);
    vm__jit_goto(t, NULL, t->i->imm);
    t->done = true;
    return true;
}

/* ---- computed ---- */

/* T0: target. T1: what to add to H_CPU for its entry of the jump cache, which is there. */
static struct emit_mem look_up(struct jit_tr *t)
{
    struct emit *e = t->hot;
    struct emit_mem m = emit_sum(H_CPU, H_T1);

    /* An entry of 16 bytes for every second address: jit_jc_hash(). */
    _Static_assert(sizeof(struct x86_jit_jump) == 16, "scaled by 8");
    emit_mov(e, false, H_T1, H_T0);
    emit_alu_ri(e, X_AND, false, H_T1, (X86_JIT_JC_SIZE - 1) << 1);
    m.scale = 3;
    m.disp = (int32_t)(offsetof(struct vcpu, jit.jc) + offsetof(struct x86_jit_jump, rip));
    emit_rm(e, OP_CMP, true, H_T0, m);
    vm__jit_cold(t, emit_jcc(e, CC_NE), JIT_COLD_DISPATCH, t->n);
    m.disp = (int32_t)(offsetof(struct vcpu, jit.jc) + offsetof(struct x86_jit_jump, code));
    return m;
}

/* T0 = where a computed jump goes. */
static void target(struct jit_tr *t)
{
    const struct x86_insn *i = t->i;

    vm__jit_clobber(t);
    if (i->flags & X86_I_MEM) {
        struct emit_mem from = vm__jit_operand(t, (unsigned)width(t), false, 0, JIT_COLD_DISPATCH);
        emit_load(t->hot, t->is64, H_T0, from);
    } else {
        emit_mov(t->hot, t->is64, H_T0, jit_read(t, i->dst / 8, H_T0));
    }
}

static bool jmp_to(struct jit_tr *t)
{
    target(t);
    emit_rm(t->hot, 0xff, false, 4, look_up(t));
    t->done = true;
    return true;
}

static bool call_to(struct jit_tr *t)
{
    if (!flat_stack(t))
        return false;
    target(t);
    emit_load(t->hot, true, H_T0, look_up(t));
    emit_store(t->hot, true, JIT_CPU(jit.tmp), H_T0);
    push_return(t, t->i->flags & X86_I_MEM);
    emit_rm(t->hot, 0xff, false, 4, JIT_CPU(jit.tmp));
    t->done = true;
    return true;
}

static bool ret(struct jit_tr *t)
{
    struct emit_mem entry;
    int32_t pop = width(t) + (t->row->opcode == 0xc2 ? (int32_t)(uint16_t)t->i->imm : 0);

    if (!flat_stack(t))
        return false;
    vm__jit_clobber(t);
    struct emit_mem top =
        vm__jit_stack_at(t, H_SP, 0, (unsigned)width(t), false, false, JIT_COLD_DISPATCH);
    emit_load(t->hot, t->is64, H_T0, top);
    entry = look_up(t);
    emit_lea(t->hot, t->is64, H_SP, emit_at(H_SP, pop));
    emit_rm(t->hot, 0xff, false, 4, entry);
    t->done = true;
    return true;
}

bool vm__jit_branch(struct jit_tr *t)
{
    const struct x86_row *r = t->row;

    if (r->jit != X86_JIT_BRANCH || r->enc != X86_ENC_LEGACY || t->i->osz != (t->is64 ? 3 : 2))
        return false;
    if (r->map == 0 ? (r->opcode & 0xf0) == 0x70 : (r->opcode & 0xf0) == 0x80)
        return jcc(t);
    if (r->map != 0)
        return false;
    switch (r->opcode) {
    case 0xe2:
    case 0xe3:
        return count_loop(t);
    case 0xe8:
        return call(t);
    case 0xe9:
    case 0xeb:
        return jmp(t);
    case 0xc2:
    case 0xc3:
        return ret(t);
    case 0xff:
        return r->ext == 4 ? jmp_to(t) : call_to(t);
    default:
        return false;
    }
}
