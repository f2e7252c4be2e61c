/* SPDX-License-Identifier: MIT */
/**
 * @file address.c
 * Memory operands: effective address, segment, soft TLB; and flags around the check.
 *
 * The check is one comparison (cpu/vcpu.h): address ^ tag is the offset in the page on a hit and at
 * least 4096 on a miss.
 */
#include "cpu/jit/translate.h"

/* ---- flags ---- */

void vm__jit_clobber(struct jit_tr *t)
{
    struct emit *e = t->hot;

    if (t->host && !t->saved && t->before[t->n] != 0) {
        emit_mov(e, true, H_T0, H_RAX);
        emit_8(e, 0x9f);                                                              /* LAHF */
        emit_insn(e, &(struct emit_op) { .map = 1, .opcode = 0x90 }, 0, H_RAX, NULL); /* SETO AL */
        struct emit_mem slot = JIT_CPU(jit.flags);
        emit_insn(e, &(struct emit_op) { .opcode = OP_STORE, .op16 = true }, H_RAX, 0, &slot);
        emit_mov(e, true, H_RAX, H_T0);
        t->saved = true;
    }
    t->host = false;
}

void vm__jit_want_flags(struct jit_tr *t, int tmp)
{
    struct emit *e = t->hot;

    if (t->host)
        return;
    emit_mov(e, true, tmp, H_RAX);
    emit_0f_rm(e, 0xb7, false, H_RAX, JIT_CPU(jit.flags)); /* MOVZX */
    emit_rr(e, 0x80, false, X_ADD, H_RAX);                 /* OF = AL + 7F overflows */
    emit_8(e, 0x7f);
    emit_8(e, 0x9e); /* SAHF */
    emit_mov(e, true, H_RAX, tmp);
    t->host = true;
}

/* ---- effective address ---- */

static bool wide(const struct jit_tr *t)
{
    return t->i->asz == 3;
}

void vm__jit_ea(struct jit_tr *t)
{
    const struct x86_insn *i = t->i;
    struct emit *e = t->hot;
    bool has_base = i->base != X86_NONE * 8, has_index = i->index != X86_NONE * 8;
    struct emit_mem m = { .base = H_NONE, .index = H_NONE, .scale = i->scale };
    int64_t disp = i->disp;

    if (i->asz == 2)
        disp = (int32_t)disp; /* modulo 2^32 */
    if (!has_base && !has_index) {
        emit_const(e, H_T0,
                   i->asz == 1   ? (uint16_t)disp
                   : i->asz == 2 ? (uint32_t)disp
                                 : (uint64_t)disp);
        return;
    }
    if (has_base)
        m.base = (int8_t)jit_read(t, i->base / 8, H_T0);
    if (has_index)
        m.index = (int8_t)jit_read(t, i->index / 8, H_T1);
    m.disp = (int32_t)disp;
    emit_lea(e, wide(t), H_T0, m);
    if (i->asz == 1)
        emit_insn(e, &(struct emit_op) { .map = 1, .opcode = 0xb7 }, H_T0, H_T0, NULL);
}

/* ---- segment and soft TLB ---- */

static size_t end_of(unsigned seg, bool write)
{
    size_t f = offsetof(struct vcpu, segf) + seg * sizeof(struct x86_segf);
    return f + (write ? offsetof(struct x86_segf, end_w) : offsetof(struct x86_segf, end_r));
}

/* To a linear address; outside 64-bit mode the limit is compared first. */
static void linear(struct jit_tr *t, unsigned seg, unsigned size, bool write,
                   enum jit_cold_kind kind)
{
    struct emit *e = t->hot;
    size_t base = offsetof(struct vcpu, segf) + seg * sizeof(struct x86_segf) +
                  offsetof(struct x86_segf, base);

    if (t->is64 ? seg != X86_FS && seg != X86_GS
                : (t->b->mode & X86_MODE_FLAT) && (seg == X86_ES || seg == X86_SS || seg == X86_DS))
        return;
    if (!t->is64) {
        emit_lea(e, true, H_T1, emit_at(H_T0, (int32_t)size));
        emit_rm(e, 0x3b, true, H_T1, emit_at(H_CPU, (int32_t)end_of(seg, write))); /* CMP T1, end */
        vm__jit_cold(t, emit_jcc(e, CC_A), kind, t->n);
    }
    emit_load(e, true, H_T1, emit_at(H_CPU, (int32_t)base));
    emit_lea(e, t->is64, H_T0, emit_sum(H_T0, H_T1));
}

int32_t vm__jit_tlb(const struct jit_tr *t)
{
    return (int32_t)(offsetof(struct vcpu, tlb) +
                     t->code->tlb * sizeof(struct x86_tlbe[X86_TLB_SIZE]));
}

void vm__jit_tlb_index(struct jit_tr *t, struct emit *e)
{
    if (t->k->bmi2) { /* RORX */
        emit_insn(
            e,
            &(struct emit_op) { .map = 3, .opcode = 0xf0, .prefix = 0xf2, .vex = true, .w = true },
            H_T1, H_T0, NULL);
        emit_8(e, VM_PAGE_SHIFT - 5);
    } else {
        emit_mov(e, true, H_T1, H_T0);
        emit_rr(e, 0xc1, true, 5, H_T1);
        emit_8(e, VM_PAGE_SHIFT - 5);
    }
    emit_alu_ri(e, X_AND, false, H_T1, (X86_TLB_SIZE - 1) << 5);
}

/* T0: linear address. T0 + T1 becomes the host's. */
static struct emit_mem look_up(struct jit_tr *t, const struct jit_access *a)
{
    struct emit *e = t->hot;
    int32_t tlb = vm__jit_tlb(t);
    int32_t tag = a->write ? offsetof(struct x86_tlbe, wtag) : offsetof(struct x86_tlbe, rtag);
    struct emit_mem entry = emit_sum(H_CPU, H_T1);

    vm__jit_tlb_index(t, e);
    entry.disp = tlb + tag;
    emit_rm(e, 0x33, true, H_T0, entry); /* XOR T0, tag */
    emit_alu_ri(e, X_CMP, true, H_T0, (int32_t)(VM_PAGE_SIZE - a->size));
    vm__jit_cold(t, emit_jcc(e, CC_A), a->kind, t->n);
    if (a->align > 1) {
        emit_rr(e, 0xf6, false, 0, H_T0); /* TEST T0b, align - 1 */
        emit_8(e, a->align - 1);
        vm__jit_cold(t, emit_jcc(e, CC_NE), a->kind, t->n);
    }
    entry.disp = tlb + (int32_t)offsetof(struct x86_tlbe, host);
    emit_load(e, true, H_T1, entry);
    return emit_sum(H_T0, H_T1);
}

bool vm__jit_direct(const struct jit_tr *t)
{
    const struct x86_insn *i = t->i;

    return t->is64 && i->asz == 3 && i->seg != X86_FS && i->seg != X86_GS &&
           i->base != X86_NONE * 8 && i->index == X86_NONE * 8 && jit_home(i->base / 8) != H_NONE &&
           vm__jit_has_window(t);
}

struct emit_mem vm__jit_operand(struct jit_tr *t, unsigned size, bool write, unsigned align,
                                enum jit_cold_kind kind)
{
    struct jit_access a = {
        .direct = vm__jit_direct(t), .write = write, .size = size, .align = align, .kind = kind
    };

    if (a.direct) {
        a.ea = emit_at(jit_home(t->i->base / 8), (int32_t)t->i->disp);
    } else {
        vm__jit_ea(t);
        linear(t, t->i->seg, size, write, kind);
    }
    return vm__jit_has_window(t) ? vm__jit_window(t, &a, true) : look_up(t, &a);
}

struct emit_mem vm__jit_stack_at(struct jit_tr *t, int base, int32_t disp, unsigned size,
                                 bool write, bool again, enum jit_cold_kind kind)
{
    struct jit_access a = { .direct = t->is64 && vm__jit_has_window(t),
                            .write = write,
                            .size = size,
                            .kind = kind,
                            .ea = emit_at(base, disp) };

    if (!a.direct)
        emit_lea(t->hot, t->is64, H_T0, a.ea);
    return vm__jit_has_window(t) ? vm__jit_window(t, &a, !again) : look_up(t, &a);
}
