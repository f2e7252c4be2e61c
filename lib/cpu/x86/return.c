/* SPDX-License-Identifier: MIT */
/**
 * @file return.c
 * Far RET and IRET in every mode.
 *
 * Spec: [SDM-2A IRET], [SDM-2B RET], [SDM-3A §5.8.6] (outer returns), [SDM-3A §6.14.3] (64-bit),
 * [SDM-3B §20.2.1] (to and from virtual-8086 mode), [SDM-3A §6.7.1] (NMI unblocking).
 */
#include "cpu/x86/code_page.h"
#include "cpu/x86/far.h"
#include "cpu/x86/flags.h"
#include "cpu/x86/segment.h"
#include "cpu/x86/v86.h"

/* ---- RFLAGS ---- */

uint64_t vm__x86_flags_mask(const struct vcpu *c, unsigned size)
{
    uint64_t m = X86_ARITH | X86_TF | X86_DF | X86_NT;

    if (c->cpl <= x86_iopl(c))
        m |= X86_IF;
    if (c->cpl == 0)
        m |= X86_IOPL;
    if (size > 2)
        m |= X86_AC | X86_ID;
    return m;
}

void vm__x86_write_flags(struct vcpu *c, uint64_t image, uint64_t mask)
{
    uint64_t old = x86_flags(c);
    uint64_t now = (old & ~mask) | (image & mask);

    c->st.rflags = now;
    if ((now ^ old) & (X86_TF | X86_AC | X86_VM))
        vm__x86_sync_mode(c);
    if (now & ~old & X86_IF)
        x86_recheck_pending(c);
}

/* ---- shared by RET and IRET ---- */

/* Where to, as read from the stack. */
struct frame {
    uint16_t cs, ss;
    uint64_t rip, rsp, d;
    bool long_code; /* the target runs 64-bit code */
    bool has_ss;    /* SS:RSP are part of the frame */
};

static void check_cs(struct vcpu *c, struct frame *f)
{
    unsigned rpl = f->cs & 3;

    if (x86_null_sel(f->cs))
        x86_raise_cur(c, X86_XGP, 0);
    if (!vm__x86_desc_fetch(c, f->cs, &f->d, NULL) || !x86_desc_is_code(f->d) || rpl < c->cpl ||
        (x86_desc_conforming(f->d) ? x86_desc_dpl(f->d) > rpl : x86_desc_dpl(f->d) != rpl))
        x86_raise_cur(c, X86_XGP, f->cs & 0xfffc);
    if (!x86_desc_present(f->d))
        x86_raise_cur(c, X86_XNP, f->cs & 0xfffc);
    f->long_code = x86_lma(c) && (f->d >> 53 & 1);
    if (f->long_code && (f->d >> 54 & 1))
        x86_raise_cur(c, X86_XGP, f->cs & 0xfffc);
}

static void check_rip(struct vcpu *c, const struct frame *f)
{
    if (f->long_code ? !x86_canonical(c, f->rip) : (uint32_t)f->rip > x86_desc_limit(f->d))
        x86_raise_cur(c, X86_XGP, 0);
}

/* The outer stack segment; unusable when null, which 64-bit code below CPL 3 may ask for. */
static void check_ss(struct vcpu *c, const struct frame *f, struct x86_seg *ss)
{
    unsigned rpl = f->cs & 3;
    uint64_t d;

    if (x86_null_sel(f->ss)) {
        if (!f->long_code || rpl == 3 || (f->ss & 3) != rpl)
            x86_raise_cur(c, X86_XGP, 0);
        vm__x86_seg_null(ss, f->ss);
        ss->attr = (uint16_t)(rpl << X86_ATTR_DPL_SHIFT);
        return;
    }
    unsigned v = vm__x86_check_seg(c, X86_SS, f->ss, rpl, &d);
    if (v != 0)
        x86_raise_cur(c, v, f->ss & 0xfffc);
    vm__x86_desc_accessed(c, f->ss, &d);
    vm__x86_seg_set(ss, f->ss, d);
}

/* Segments the outer ring may not use become null [SDM-3A §5.8.6]. */
static void drop_inner_segments(struct vcpu *c, unsigned cpl)
{
    static const uint8_t data[4] = { X86_ES, X86_DS, X86_FS, X86_GS };

    for (unsigned k = 0; k < 4; k++) {
        struct x86_seg *s = &c->st.seg[data[k]];
        unsigned dpl = (s->attr & X86_ATTR_DPL) >> X86_ATTR_DPL_SHIFT;
        unsigned kind = s->attr & (X86_ATTR_CODE | X86_ATTR_EXPDOWN);
        if (x86_null_sel(s->sel)) {
            s->attr = 0;
        } else if (dpl < cpl && kind != (X86_ATTR_CODE | X86_ATTR_EXPDOWN)) {
            uint64_t base = s->base;
            vm__x86_seg_null(s, 0);
            if (data[k] >= X86_FS && x86_lma(c))
                s->base = base;
        }
    }
}

static void set_sp(struct vcpu *c, bool long_code, uint64_t rsp)
{
    if (long_code)
        c->st.gpr[X86_RSP] = rsp;
    else if (c->st.seg[X86_SS].attr & X86_ATTR_DB)
        c->st.gpr[X86_RSP] = (uint32_t)rsp;
    else
        c->st.gpr[X86_RSP] = (c->st.gpr[X86_RSP] & ~UINT64_C(0xffff)) | (rsp & 0xffff);
}

/* Every check has been made but those of SS. @p slots: bytes to drop when the ring stays. */
static void take(struct vcpu *c, struct frame *f, unsigned slots, unsigned release)
{
    unsigned rpl = f->cs & 3;
    bool outer = rpl > c->cpl;
    struct x86_seg ss;

    if (f->has_ss)
        check_ss(c, f, &ss);
    check_rip(c, f);
    vm__x86_desc_accessed(c, f->cs, &f->d);
    if (f->has_ss) {
        c->st.seg[X86_SS] = ss;
        set_sp(c, f->long_code, f->rsp + release);
    } else {
        set_sp(c, x86_is64(c), c->st.gpr[X86_RSP] + slots + release);
    }
    if (outer)
        drop_inner_segments(c, rpl);
    vm__x86_set_cs(c, f->cs, f->d, rpl);
    c->st.rip = f->long_code ? f->rip : (uint32_t)f->rip;
}

/* ---- RET ---- */

void vm__x86_far_ret(struct vcpu *c, unsigned size, unsigned release)
{
    struct frame f = { 0 };

    f.cs = (uint16_t)vm__x86_stack_read(c, size, size); /* first: a page fault tells */
    f.rip = vm__x86_stack_read(c, 0, size);
    if (x86_is_real(c)) {
        if (f.rip > c->st.seg[X86_CS].limit)
            x86_raise_cur(c, X86_XGP, 0);
        set_sp(c, false, c->st.gpr[X86_RSP] + 2 * size + release);
        vm__x86_seg_real(c, X86_CS, f.cs);
        c->st.rip = f.rip;
        vm__x86_sync_mode(c);
        return;
    }
    check_cs(c, &f);
    if ((f.cs & 3) > c->cpl) {
        f.has_ss = true;
        f.rsp = vm__x86_stack_read(c, 2 * size + release, size);
        f.ss = (uint16_t)vm__x86_stack_read(c, 3 * size + release, size);
    }
    take(c, &f, 2 * size, release);
    vm__x86_sync_mode(c);
}

/* ---- IRET ---- */

static void iret_real(struct vcpu *c, unsigned size)
{
    uint64_t ip = vm__x86_stack_read(c, 0, size);
    uint16_t cs = (uint16_t)vm__x86_stack_read(c, size, size);
    uint64_t flags = vm__x86_stack_read(c, 2 * size, size);
    bool v86 = x86_is_v86(c);
    uint64_t mask = X86_ARITH | X86_TF | X86_IF | X86_DF | X86_NT;

    if (size > 2)
        mask |= X86_AC | X86_ID | X86_RF;
    if (!v86)
        mask |= X86_IOPL;
    if (v86 && x86_iopl(c) < 3) {
        /* VME: VIF takes IF's place, for 16-bit IRET only. */
        if (!x86_vme_virtual(c) || size != 2 || (flags & X86_TF) ||
            ((flags & X86_IF) && (c->st.rflags & X86_VIP)))
            x86_raise_cur(c, X86_XGP, 0);
        mask = (mask & ~(uint64_t)X86_IF) | X86_VIF;
        flags = (flags & ~(uint64_t)X86_VIF) | (flags & X86_IF ? X86_VIF : 0);
    }
    if (ip > c->st.seg[X86_CS].limit)
        x86_raise_cur(c, X86_XGP, 0);
    set_sp(c, false, c->st.gpr[X86_RSP] + 3 * size);
    vm__x86_seg_real(c, X86_CS, cs);
    c->st.rip = ip;
    vm__x86_write_flags(c, flags, mask);
    vm__x86_sync_mode(c);
}

/* From ring 0 to virtual-8086 mode; EIP, CS and EFLAGS are the first three slots. */
static void iret_to_v86(struct vcpu *c, uint64_t ip, uint16_t cs, uint64_t flags)
{
    static const uint8_t order[5] = { X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
    uint16_t sel[5];
    uint64_t esp = vm__x86_stack_read(c, 12, 4);

    for (unsigned k = 0; k < 5; k++)
        sel[k] = (uint16_t)vm__x86_stack_read(c, 16 + 4 * k, 4);
    if (ip > 0xffff)
        x86_raise_cur(c, X86_XGP, 0);
    c->st.gpr[X86_RSP] = esp;
    c->st.rip = ip;
    c->st.rflags |= X86_VM; /* before the segments are set in its manner */
    vm__x86_seg_real(c, X86_CS, cs);
    for (unsigned k = 0; k < 5; k++)
        vm__x86_seg_real(c, order[k], sel[k]);
    vm__x86_write_flags(c, flags, X86_ARITH | X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT |
                                      X86_RF | X86_AC | X86_VIF | X86_VIP | X86_ID);
    vm__x86_sync_mode(c);
}

static void iret_task(struct vcpu *c, uint64_t next_rip)
{
    if (c->st.tr.limit < 1)
        x86_raise_cur(c, X86_XTS, c->st.tr.sel & 0xfffc);
    uint16_t link = (uint16_t)vm__x86_sys_ld(c, c->st.tr.base, 2, X86_ACCESS_R);
    vm__x86_task_switch(c, link, X86_TASK_IRET, next_rip, 0);
    if (c->st.rip > c->st.seg[X86_CS].limit)
        x86_raise_cur(c, X86_XGP, 0);
}

static void iret_protected(struct vcpu *c, unsigned size, uint64_t next_rip)
{
    struct frame f = { 0 };
    uint64_t flags;

    if (x86_unlikely(c->st.rflags & X86_NT)) {
        if (x86_lma(c))
            x86_raise_cur(c, X86_XGP, 0);
        iret_task(c, next_rip);
        return;
    }
    flags = vm__x86_stack_read(c, 2 * size, size); /* downwards: a page fault tells */
    f.cs = (uint16_t)vm__x86_stack_read(c, size, size);
    f.rip = vm__x86_stack_read(c, 0, size);
    if (x86_unlikely((flags & X86_VM) && size == 4 && c->cpl == 0 && !x86_lma(c))) {
        iret_to_v86(c, f.rip, f.cs, flags);
        return;
    }
    check_cs(c, &f);
    if (x86_is64(c) || (f.cs & 3) > c->cpl) {
        f.has_ss = true;
        f.rsp = vm__x86_stack_read(c, 3 * size, size);
        f.ss = (uint16_t)vm__x86_stack_read(c, 4 * size, size);
    }
    uint64_t mask = vm__x86_flags_mask(c, size);
    if (size > 2) {
        /* RF only matters to code breakpoints: without any, spare the single step that would
         * clear it again. */
        mask |= X86_RF;
        if (!(c->st.dr[7] & 0xff))
            flags &= ~(uint64_t)X86_RF;
        if (c->cpl == 0)
            mask |= X86_VIF | X86_VIP;
    }
    take(c, &f, 3 * size, 0);
    uint64_t old = x86_flags(c);
    c->st.rflags = (old & ~mask) | (flags & mask);
    vm__x86_sync_mode(c);
    if (c->st.rflags & ~old & X86_IF)
        x86_recheck_pending(c);
}

void vm__x86_iret(struct vcpu *c, unsigned size, uint64_t next_rip)
{
    x86_serialize(c);
    if (x86_is_real(c))
        iret_real(c, size);
    else
        iret_protected(c, size, next_rip);
    if (x86_unlikely(c->st.nmi_blocked)) {
        c->st.nmi_blocked = 0;
        x86_recheck(c);
    }
}
