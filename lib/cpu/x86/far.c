/* SPDX-License-Identifier: MIT */
/**
 * @file far.c
 * Far JMP and CALL: code segments, call gates, task gates, TSSs.
 *
 * Spec: [SDM-3A §5.8] (program control between code segments), [SDM-2A CALL, JMP].
 */
#include "cpu/x86/far.h"

#include "cpu/x86/segment.h"

enum { CALL_PARAM_MAX = 31 };

/* The descriptor a far pointer names. Null and out of table: #GP. */
static uint64_t fetch_target(struct vcpu *c, uint16_t sel)
{
    uint64_t d;

    if (x86_null_sel(sel))
        x86_raise_cur(c, X86_XGP, 0);
    if (!vm__x86_desc_fetch(c, sel, &d, NULL))
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    return d;
}

/* Is it a 64-bit code segment now? L with D set is reserved. */
static bool long_code(struct vcpu *c, uint16_t sel, uint64_t d)
{
    if (!x86_lma(c) || !(d >> 53 & 1))
        return false;
    if (d >> 54 & 1)
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    return true;
}

/* Offset against the target's limit, or canonical; returns it as it goes to RIP. */
static uint64_t check_offset(struct vcpu *c, uint16_t sel, uint64_t d, uint64_t off)
{
    if (long_code(c, sel, d)) {
        if (!x86_canonical(c, off))
            x86_raise_cur(c, X86_XGP, 0);
        return off;
    }
    if ((uint32_t)off > x86_desc_limit(d))
        x86_raise_cur(c, X86_XGP, 0);
    return (uint32_t)off;
}

/* A code segment reached without a gate keeps the CPL [SDM-3A §5.8.1]. */
static void check_direct(struct vcpu *c, uint16_t sel, uint64_t d)
{
    unsigned dpl = x86_desc_dpl(d);

    if (x86_desc_conforming(d) ? dpl > c->cpl : dpl != c->cpl || (sel & 3) > c->cpl)
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    if (!x86_desc_present(d))
        x86_raise_cur(c, X86_XNP, sel & 0xfffc);
}

static void check_gate(struct vcpu *c, uint16_t sel, uint64_t gate)
{
    unsigned dpl = x86_desc_dpl(gate);

    if (dpl < c->cpl || dpl < (sel & 3))
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    if (!x86_desc_present(gate))
        x86_raise_cur(c, X86_XNP, sel & 0xfffc);
}

/* What a call gate leads to. */
struct gate_target {
    uint16_t sel;
    uint64_t d, off;
    unsigned params;
    bool wide; /* 32-bit gate */
};

static void open_gate(struct vcpu *c, uint16_t sel, uint64_t gate, struct gate_target *t)
{
    bool lma = x86_lma(c);
    uint64_t high = 0, low;

    check_gate(c, sel, gate);
    t->sel = x86_gate_sel(gate);
    t->wide = x86_desc_type(gate) & 8;
    t->off = t->wide ? x86_gate_off(gate) : gate & 0xffff;
    t->params = gate >> 32 & CALL_PARAM_MAX;
    if (lma) {
        if (!vm__x86_desc_fetch(c, sel, &low, &high) || (high >> 40 & 0x1f))
            x86_raise_cur(c, X86_XGP, sel & 0xfffc);
        t->off |= high << 32;
        t->params = 0;
    }
    t->d = fetch_target(c, t->sel);
    if (!x86_desc_is_code(t->d) || x86_desc_dpl(t->d) > c->cpl)
        x86_raise_cur(c, X86_XGP, t->sel & 0xfffc);
    /* From a gate long mode enters 64-bit code only [SDM-3A §5.8.3.1]. */
    if (lma && !long_code(c, t->sel, t->d))
        x86_raise_cur(c, X86_XGP, t->sel & 0xfffc);
    if (!x86_desc_present(t->d))
        x86_raise_cur(c, X86_XNP, t->sel & 0xfffc);
}

static void go(struct vcpu *c, uint16_t sel, uint64_t d, unsigned cpl, uint64_t rip)
{
    vm__x86_desc_accessed(c, sel, &d);
    vm__x86_set_cs(c, sel, d, cpl);
    c->st.rip = rip;
    vm__x86_sync_mode(c);
}

/* Task gate or TSS as target; false if the descriptor is neither. */
static bool switch_task(struct vcpu *c, uint16_t sel, uint64_t d, enum x86_task_source src,
                        uint64_t next_rip)
{
    unsigned type = x86_desc_type(d);

    if (x86_lma(c))
        return false;
    if (type == X86_SYS_TASK) {
        check_gate(c, sel, d);
        vm__x86_task_switch(c, x86_gate_sel(d), src, next_rip, 0);
    } else if (type == X86_SYS_TSS || type == X86_SYS_TSS16) {
        if (x86_desc_dpl(d) < c->cpl || x86_desc_dpl(d) < (sel & 3u))
            x86_raise_cur(c, X86_XGP, sel & 0xfffc);
        vm__x86_task_switch(c, sel, src, next_rip, 0);
    } else {
        return false;
    }
    if (c->st.rip > c->st.seg[X86_CS].limit)
        x86_raise_cur(c, X86_XGP, 0);
    return true;
}

static bool is_call_gate(const struct vcpu *c, uint64_t d)
{
    unsigned type = x86_desc_type(d);
    return type == X86_SYS_CALL || (type == X86_SYS_CALL16 && !x86_lma(c));
}

static void real_go(struct vcpu *c, uint16_t sel, uint64_t off)
{
    vm__x86_seg_real(c, X86_CS, sel);
    c->st.rip = off;
    vm__x86_sync_mode(c);
}

void vm__x86_far_jump(struct vcpu *c, uint16_t sel, uint64_t off, uint64_t next_rip)
{
    if (x86_is_real(c)) {
        if (off > c->st.seg[X86_CS].limit)
            x86_raise_cur(c, X86_XGP, 0);
        real_go(c, sel, off);
        return;
    }
    uint64_t d = fetch_target(c, sel);
    if (x86_desc_is_code(d)) {
        check_direct(c, sel, d);
        uint64_t rip = check_offset(c, sel, d, off);
        go(c, sel, d, c->cpl, rip);
    } else if (is_call_gate(c, d)) {
        struct gate_target t;
        open_gate(c, sel, d, &t);
        if (!x86_desc_conforming(t.d) && x86_desc_dpl(t.d) != c->cpl)
            x86_raise_cur(c, X86_XGP, t.sel & 0xfffc);
        uint64_t rip = check_offset(c, t.sel, t.d, t.off);
        go(c, t.sel, t.d, c->cpl, rip);
    } else if (!switch_task(c, sel, d, X86_TASK_JMP, next_rip)) {
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    }
}

/* ---- CALL ---- */

static void push_return(struct vcpu *c, struct x86_stack *s, unsigned size, uint64_t next_rip)
{
    vm__x86_stack_push(c, s, size, c->st.seg[X86_CS].sel);
    vm__x86_stack_push(c, s, size, next_rip);
}

/* Through a gate to an inner ring: switch stacks, copy parameters [SDM-3A §5.8.5]. */
static void call_inner(struct vcpu *c, const struct gate_target *t, uint64_t next_rip)
{
    unsigned cpl = x86_desc_dpl(t->d);
    bool lma = x86_lma(c);
    unsigned size = lma ? 8 : t->wide ? 4 : 2;
    struct x86_stack s = { .size = 3 };
    uint32_t param[CALL_PARAM_MAX];

    if (lma)
        s.sp = vm__x86_tss_rsp(c, cpl, 0);
    else
        vm__x86_stack_inner(c, cpl, 0, &s);
    for (unsigned k = 0; k < t->params; k++)
        param[k] = (uint32_t)vm__x86_stack_read(c, k * size, size);
    vm__x86_stack_push(c, &s, size, c->st.seg[X86_SS].sel);
    vm__x86_stack_push(c, &s, size, c->st.gpr[X86_RSP]);
    for (unsigned k = t->params; k-- > 0;)
        vm__x86_stack_push(c, &s, size, param[k]);
    push_return(c, &s, size, next_rip);
    uint64_t rip = check_offset(c, t->sel, t->d, t->off);

    x86_stack_commit_sp(c, &s);
    if (lma) {
        vm__x86_seg_null(&c->st.seg[X86_SS], (uint16_t)cpl);
        c->st.seg[X86_SS].attr = (uint16_t)(cpl << X86_ATTR_DPL_SHIFT);
    } else {
        c->st.seg[X86_SS] = s.ss;
    }
    go(c, t->sel, t->d, cpl, rip);
}

static void call_same(struct vcpu *c, uint16_t sel, uint64_t d, uint64_t off, unsigned size,
                      uint64_t next_rip)
{
    struct x86_stack s;

    vm__x86_stack_cur(c, &s);
    /* Through a gate in long mode the frame is of 8-byte slots on a 64-bit stack. */
    if (size == 8)
        s.size = 3;
    push_return(c, &s, size, next_rip);
    uint64_t rip = check_offset(c, sel, d, off);
    x86_stack_commit_sp(c, &s);
    go(c, sel, d, c->cpl, rip);
}

void vm__x86_far_call(struct vcpu *c, uint16_t sel, uint64_t off, unsigned size,
                      uint64_t next_rip)
{
    if (x86_is_real(c)) {
        struct x86_stack s;
        vm__x86_stack_cur(c, &s);
        if (off > c->st.seg[X86_CS].limit)
            x86_raise_cur(c, X86_XGP, 0);
        push_return(c, &s, size, next_rip);
        x86_stack_commit_sp(c, &s);
        real_go(c, sel, off);
        return;
    }
    uint64_t d = fetch_target(c, sel);
    if (x86_desc_is_code(d)) {
        check_direct(c, sel, d);
        call_same(c, sel, d, off, size, next_rip);
    } else if (is_call_gate(c, d)) {
        struct gate_target t;
        open_gate(c, sel, d, &t);
        if (!x86_desc_conforming(t.d) && x86_desc_dpl(t.d) < c->cpl)
            call_inner(c, &t, next_rip);
        else
            call_same(c, t.sel, t.d, t.off, x86_lma(c) ? 8 : t.wide ? 4 : 2, next_rip);
    } else if (!switch_task(c, sel, d, X86_TASK_CALL, next_rip)) {
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    }
}
