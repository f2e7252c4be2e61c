/* SPDX-License-Identifier: MIT */
/**
 * @file deliver.c
 * Delivering an event through the IVT or the IDT.
 *
 * Spec: [SDM-3A §6.10 to §6.14], [SDM-3B §20.1.4] (real mode), [SDM-3B §20.3] (virtual-8086 mode),
 * [SDM-2A INT n] (pseudocode). 286-type gates ignore the upper half of the offset.
 * While st.event.delivering is set a fault combines with the event (exception.c).
 */
#include "cpu/hook.h"
#include "cpu/trace.h"
#include "cpu/x86/code_page.h"
#include "cpu/x86/flags.h"
#include "cpu/x86/segment.h"
#include "cpu/x86/v86.h"

/* What delivery needs to know, once, from the event. */
struct delivery {
    const struct x86_event *e;
    uint64_t ret;      /* return address pushed */
    uint64_t flags;    /* RFLAGS pushed */
    uint32_t ext;      /* EXT bit of error codes */
    uint32_t gate_err; /* error code that names the gate */
};

/* Faults push RF set, so that the handler's IRET does not meet the same code breakpoint again; #DB
 * and traps push it as it is [SDM-3B §17.3.1.1]. */
static bool pushes_rf(const struct x86_event *e)
{
    if (e->kind != X86_EVENT_EXCEPTION)
        return false;
    return e->vector != X86_XDB && e->vector != X86_XBP && e->vector != X86_XOF &&
           e->vector != X86_XDF && e->vector != X86_XMC;
}

/* CR2, DR6 and DR7 change when delivery begins, once. */
static void apply_payload(struct vcpu *c, struct x86_event *e)
{
    if (e->kind != X86_EVENT_EXCEPTION && e->kind != X86_EVENT_ICEBP)
        return;
    if (e->vector == X86_XPF) {
        c->st.cr2 = e->payload;
    } else if (e->vector == X86_XDB) {
        c->st.dr[6] = (c->st.dr[6] & ~UINT64_C(15)) | e->payload;
        c->st.dr[7] &= ~(UINT64_C(1) << 13); /* GD */
    }
}

/* ---- real mode, and INT n redirected in virtual-8086 mode ---- */

void vm__x86_deliver_ivt(struct vcpu *c, uint8_t vector, uint64_t ret, uint64_t flags,
                         uint64_t ivt)
{
    struct x86_stack s;
    uint32_t entry = (uint32_t)vm__x86_sys_ld(c, (uint32_t)(ivt + vector * 4u), 4,
                                              X86_ACCESS_R | (c->cpl == 3 ? X86_ACCESS_USER : 0));

    vm__x86_stack_cur(c, &s);
    vm__x86_stack_push(c, &s, 2, flags & 0xffff);
    vm__x86_stack_push(c, &s, 2, c->st.seg[X86_CS].sel);
    vm__x86_stack_push(c, &s, 2, ret & 0xffff);
    if ((entry & 0xffff) > c->st.seg[X86_CS].limit)
        x86_raise_cur(c, X86_XGP, 0);
    x86_stack_commit_sp(c, &s);
    vm__x86_seg_real(c, X86_CS, (uint16_t)(entry >> 16));
    c->st.rip = entry & 0xffff;
}

static void deliver_real(struct vcpu *c, const struct delivery *d)
{
    if (d->e->vector * 4u + 3 > c->st.idtr.limit)
        x86_raise_cur(c, X86_XGP, d->gate_err);
    vm__x86_deliver_ivt(c, d->e->vector, d->ret, d->flags, c->st.idtr.base);
    c->st.rflags &= ~(uint64_t)(X86_IF | X86_TF | X86_RF | X86_AC);
    vm__x86_sync_mode(c);
}

/* ---- common to both kinds of protected mode ---- */

static void check_gate(struct vcpu *c, const struct delivery *d, uint64_t gate)
{
    if (d->e->kind == X86_EVENT_SOFT && x86_desc_dpl(gate) < c->cpl)
        x86_raise_cur(c, X86_XGP, d->gate_err);
    if (!x86_desc_present(gate))
        x86_raise_cur(c, X86_XNP, d->gate_err);
}

/* The handler's code segment; returns the CPL it runs at. */
static unsigned check_target(struct vcpu *c, const struct delivery *d, uint16_t sel, uint64_t *cs)
{
    uint32_t err = (sel & 0xfffcu) | d->ext;

    if (x86_null_sel(sel))
        x86_raise_cur(c, X86_XGP, d->ext);
    if (!vm__x86_desc_fetch(c, sel, cs, NULL) || !x86_desc_is_code(*cs) ||
        x86_desc_dpl(*cs) > c->cpl)
        x86_raise_cur(c, X86_XGP, err);
    if (!x86_desc_present(*cs))
        x86_raise_cur(c, X86_XNP, err);
    return x86_desc_conforming(*cs) ? c->cpl : x86_desc_dpl(*cs);
}

static void enter(struct vcpu *c, uint16_t sel, uint64_t cs, unsigned cpl, uint64_t rip,
                  bool interrupt_gate)
{
    vm__x86_set_cs(c, sel, cs, cpl);
    c->st.rip = rip;
    uint64_t clear = X86_TF | X86_NT | X86_RF | X86_VM;
    if (interrupt_gate)
        clear |= X86_IF;
    c->st.rflags &= ~clear;
    vm__x86_sync_mode(c);
}

/* ---- long mode [SDM-3A §6.14] ---- */

static void deliver_long(struct vcpu *c, const struct delivery *d)
{
    uint32_t at = d->e->vector * 16u;
    uint64_t cs;
    struct x86_stack s = { .size = 3, .err = d->ext };

    if (at + 15 > c->st.idtr.limit)
        x86_raise_cur(c, X86_XGP, d->gate_err);
    uint64_t gate = vm__x86_sys_ld(c, c->st.idtr.base + at, 8, X86_ACCESS_R);
    uint64_t high = vm__x86_sys_ld(c, c->st.idtr.base + at + 8, 8, X86_ACCESS_R);
    unsigned type = x86_desc_type(gate);
    if (type != X86_SYS_INT && type != X86_SYS_TRAP)
        x86_raise_cur(c, X86_XGP, d->gate_err);
    check_gate(c, d, gate);
    uint16_t sel = x86_gate_sel(gate);
    unsigned cpl = check_target(c, d, sel, &cs);
    if ((cs >> 53 & 3) != 1) /* L set, D clear */
        x86_raise_cur(c, X86_XGP, (sel & 0xfffcu) | d->ext);
    uint64_t rip = x86_gate_off(gate) | high << 32;

    unsigned ist = gate >> 32 & 7;
    bool inner = cpl < c->cpl;
    if (ist != 0)
        s.sp = vm__x86_tss_rsp(c, 3 + ist, d->ext);
    else if (inner)
        s.sp = vm__x86_tss_rsp(c, cpl, d->ext);
    else
        s.sp = c->st.gpr[X86_RSP];
    s.sp &= ~UINT64_C(15);
    s.access = cpl == 3 ? X86_ACCESS_USER : 0;
    vm__x86_stack_push(c, &s, 8, c->st.seg[X86_SS].sel);
    vm__x86_stack_push(c, &s, 8, c->st.gpr[X86_RSP]);
    vm__x86_stack_push(c, &s, 8, d->flags);
    vm__x86_stack_push(c, &s, 8, c->st.seg[X86_CS].sel);
    vm__x86_stack_push(c, &s, 8, d->ret);
    if (d->e->has_error)
        vm__x86_stack_push(c, &s, 8, d->e->error);
    if (x86_unlikely(!x86_canonical(c, rip)))
        x86_raise_cur(c, X86_XGP, d->ext);
    vm__x86_desc_accessed(c, sel, &cs);

    x86_stack_commit_sp(c, &s);
    if (inner) {
        vm__x86_seg_null(&c->st.seg[X86_SS], (uint16_t)cpl);
        c->st.seg[X86_SS].attr = (uint16_t)(cpl << X86_ATTR_DPL_SHIFT);
    }
    enter(c, sel, cs, cpl, rip, type == X86_SYS_INT);
}

/* ---- protected mode [SDM-3A §6.12] ---- */

static void push_frame(struct vcpu *c, const struct delivery *d, struct x86_stack *s,
                       unsigned size, bool inner)
{
    const struct x86_seg *seg = c->st.seg;

    if (inner) {
        if (x86_is_v86(c)) {
            vm__x86_stack_push(c, s, size, seg[X86_GS].sel);
            vm__x86_stack_push(c, s, size, seg[X86_FS].sel);
            vm__x86_stack_push(c, s, size, seg[X86_DS].sel);
            vm__x86_stack_push(c, s, size, seg[X86_ES].sel);
        }
        vm__x86_stack_push(c, s, size, seg[X86_SS].sel);
        vm__x86_stack_push(c, s, size, c->st.gpr[X86_RSP]);
    }
    vm__x86_stack_push(c, s, size, d->flags);
    vm__x86_stack_push(c, s, size, seg[X86_CS].sel);
    vm__x86_stack_push(c, s, size, d->ret);
    if (d->e->has_error)
        vm__x86_stack_push(c, s, size, d->e->error);
}

static void deliver_task(struct vcpu *c, const struct delivery *d, uint16_t tss)
{
    bool tss32;

    vm__x86_task_switch(c, tss, X86_TASK_INT, d->ret, d->ext);
    tss32 = c->st.tr.attr & 8;
    if (d->e->has_error) {
        struct x86_stack s;
        vm__x86_stack_cur(c, &s);
        s.err = d->ext;
        vm__x86_stack_push(c, &s, tss32 ? 4 : 2, d->e->error);
        x86_stack_commit_sp(c, &s);
    }
    if (c->st.rip > c->st.seg[X86_CS].limit)
        x86_raise_cur(c, X86_XGP, d->ext);
}

static void deliver_protected(struct vcpu *c, const struct delivery *d)
{
    uint32_t at = d->e->vector * 8u;
    struct x86_stack s;
    uint64_t cs;

    if (at + 7 > c->st.idtr.limit)
        x86_raise_cur(c, X86_XGP, d->gate_err);
    uint64_t gate = vm__x86_sys_ld(c, (uint32_t)(c->st.idtr.base + at), 8, X86_ACCESS_R);
    unsigned type = x86_desc_type(gate);
    if (type != X86_SYS_TASK && (type & 0x16) != 0x06) /* 6, 7, 14, 15 */
        x86_raise_cur(c, X86_XGP, d->gate_err);
    check_gate(c, d, gate);
    uint16_t sel = x86_gate_sel(gate);
    if (type == X86_SYS_TASK) {
        deliver_task(c, d, sel);
        return;
    }
    unsigned cpl = check_target(c, d, sel, &cs);
    bool inner = cpl < c->cpl, wide = type & 8;
    if (x86_is_v86(c) && cpl != 0)
        x86_raise_cur(c, X86_XGP, (sel & 0xfffcu) | d->ext);
    uint32_t eip = wide ? x86_gate_off(gate) : x86_gate_off(gate) & 0xffff;

    if (inner) {
        vm__x86_stack_inner(c, cpl, d->ext, &s);
    } else {
        vm__x86_stack_cur(c, &s);
        s.err = d->ext;
    }
    push_frame(c, d, &s, wide ? 4 : 2, inner);
    if (eip > x86_desc_limit(cs))
        x86_raise_cur(c, X86_XGP, d->ext);
    vm__x86_desc_accessed(c, sel, &cs);

    if (inner) {
        c->st.seg[X86_SS] = s.ss;
        if (x86_is_v86(c)) {
            vm__x86_seg_null(&c->st.seg[X86_GS], 0);
            vm__x86_seg_null(&c->st.seg[X86_FS], 0);
            vm__x86_seg_null(&c->st.seg[X86_DS], 0);
            vm__x86_seg_null(&c->st.seg[X86_ES], 0);
        }
    }
    x86_stack_commit_sp(c, &s);
    enter(c, sel, cs, cpl, eip, !(type & 1));
}

void vm__x86_deliver(struct vcpu *c)
{
    struct x86_event *e = &c->st.event;
    bool soft = e->kind == X86_EVENT_SOFT || e->kind == X86_EVENT_ICEBP;
    /* A copy: st.event is overwritten when a nested fault unwinds. */
    const struct x86_event ev = *e;
    struct delivery d = {
        .e = &ev,
        .ret = soft ? e->next_rip : c->st.rip,
        .flags = x86_flags(c) | (pushes_rf(e) ? X86_RF : 0),
        .ext = e->kind != X86_EVENT_SOFT,
    };
    d.gate_err = e->vector * 8u + 2 + d.ext;

    c->cur = NULL;
    x86_serialize(c);
    if (x86_tracing(c, VM_LOG_INT))
        vm__x86_trace_event(c);
    if (!e->delivering && x86_hooked(c, VM_HOOK_INTR))
        vm__x86_hook_event(c, d.ret);
    if (!e->delivering)
        apply_payload(c, e);
    e->delivering = 1;
    if (!(c->st.cr0 & X86_CR0_PE))
        deliver_real(c, &d);
    else if (x86_lma(c))
        deliver_long(c, &d);
    else
        deliver_protected(c, &d);
    e->kind = X86_EVENT_NONE;
    e->delivering = 0;
    c->st.shadow = 0;
    vm__x86_task_trap(c);
}

void vm__x86_soft_int(struct vcpu *c, enum x86_event_kind kind, uint8_t vector, uint64_t next_rip)
{
    c->st.event = (struct x86_event){
        .kind = (uint8_t)kind, .vector = vector, .next_rip = next_rip
    };
    if (kind == X86_EVENT_ICEBP) {
        /* A data breakpoint held back by MOV SS is part of this #DB. */
        c->st.event.payload = c->dr_hits;
        c->dr_hits = 0;
    }
    c->step_tf = false; /* INT n is not followed by its own single-step trap */
    vm__x86_deliver(c);
}
