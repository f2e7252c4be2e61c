/* SPDX-License-Identifier: MIT */
/**
 * @file task.c
 * Hardware task switching, 16- and 32-bit TSS.
 *
 * Spec: [SDM-3A §7.3] (steps and checks), [SDM-3A §7.2.1, §7.6] (layouts), [SDM-3A §7.4] (links).
 * Up to the commit point a fault belongs to the old task; from there on the new task's registers
 * are in place and what its segments raise is seen with its CS:EIP.
 */
#include "cpu/x86/flags.h"
#include "cpu/x86/segment.h"

/* Byte offsets in a TSS. */
struct layout {
    uint8_t ip, flags, gpr, seg, ldt, size; /* size: bytes of a register slot */
    uint8_t n_seg;
    uint8_t min_limit;
};
static const struct layout tss16 = { 0x0e, 0x10, 0x12, 0x22, 0x2a, 2, 4, 0x2b };
static const struct layout tss32 = { 0x20, 0x24, 0x28, 0x48, 0x60, 4, 6, 0x67 };
enum { TSS_LINK = 0, TSS32_CR3 = 0x1c, TSS32_TRAP = 0x64 };

/* What is read from the new TSS. */
struct image {
    uint64_t ip, flags, cr3;
    uint32_t gpr[8];
    uint16_t sel[6];
    uint16_t ldt;
    bool trap;
};

static uint64_t rd(struct vcpu *c, uint64_t base, unsigned off, unsigned size)
{
    return vm__x86_sys_ld(c, (uint32_t)(base + off), size, X86_ACCESS_R);
}
static void wr(struct vcpu *c, uint64_t base, unsigned off, unsigned size, uint64_t v)
{
    vm__x86_sys_st(c, (uint32_t)(base + off), size, v, X86_ACCESS_W);
}

static void save_old(struct vcpu *c, uint64_t ip, uint64_t flags)
{
    const struct layout *l = c->st.tr.attr & 8 ? &tss32 : &tss16;
    uint64_t base = c->st.tr.base;

    wr(c, base, l->ip, l->size, ip);
    wr(c, base, l->flags, l->size, flags);
    for (unsigned k = 0; k < 8; k++)
        wr(c, base, l->gpr + k * l->size, l->size, c->st.gpr[k]);
    for (unsigned k = 0; k < l->n_seg; k++)
        wr(c, base, l->seg + k * l->size, 2, c->st.seg[k].sel);
}

static void read_new(struct vcpu *c, uint64_t base, const struct layout *l, struct image *t)
{
    *t = (struct image){ .cr3 = c->st.cr3 };
    t->ip = rd(c, base, l->ip, l->size);
    t->flags = rd(c, base, l->flags, l->size);
    for (unsigned k = 0; k < 8; k++)
        t->gpr[k] = (uint32_t)rd(c, base, l->gpr + k * l->size, l->size);
    for (unsigned k = 0; k < l->n_seg; k++)
        t->sel[k] = (uint16_t)rd(c, base, l->seg + k * l->size, 2);
    t->ldt = (uint16_t)rd(c, base, l->ldt, 2);
    if (l == &tss32) {
        t->cr3 = rd(c, base, TSS32_CR3, 4);
        t->trap = rd(c, base, TSS32_TRAP, 2) & 1;
    }
}

/* Every page of the old TSS that is written, before anything is. */
static void probe_old(struct vcpu *c)
{
    const struct layout *l = c->st.tr.attr & 8 ? &tss32 : &tss16;

    if (c->st.tr.limit < l->min_limit)
        x86_raise_cur(c, X86_XTS, c->st.tr.sel & 0xfffc);
    vm__x86_sys_probe_w(c, (uint32_t)(c->st.tr.base + l->ip), 1, X86_ACCESS_W);
    vm__x86_sys_probe_w(c, (uint32_t)(c->st.tr.base + l->ldt - 1), 1, X86_ACCESS_W);
}

_Noreturn static void bad_tss(struct vcpu *c, uint16_t sel, uint32_t ext)
{
    x86_raise_cur(c, X86_XTS, (sel & 0xfffcu) | ext);
}

static void load_ldt(struct vcpu *c, uint16_t sel, uint32_t ext)
{
    uint64_t d;

    vm__x86_seg_null(&c->st.ldtr, sel);
    if (x86_null_sel(sel))
        return;
    if ((sel & 4) || !vm__x86_desc_fetch(c, sel, &d, NULL) || x86_desc_type(d) != X86_SYS_LDT ||
        !x86_desc_present(d))
        bad_tss(c, sel, ext);
    vm__x86_seg_set(&c->st.ldtr, sel, d);
}

static void load_cs(struct vcpu *c, uint16_t sel, uint32_t ext)
{
    uint64_t d;
    unsigned rpl = sel & 3;

    if (x86_null_sel(sel) || !vm__x86_desc_fetch(c, sel, &d, NULL) || !x86_desc_is_code(d))
        bad_tss(c, sel, ext);
    if (x86_desc_conforming(d) ? x86_desc_dpl(d) > rpl : x86_desc_dpl(d) != rpl)
        bad_tss(c, sel, ext);
    if (!x86_desc_present(d))
        x86_raise_cur(c, X86_XNP, (sel & 0xfffcu) | ext);
    vm__x86_desc_accessed(c, sel, &d);
    vm__x86_set_cs(c, sel, d, rpl);
}

static void load_data(struct vcpu *c, unsigned seg, uint16_t sel, unsigned cpl, uint32_t ext)
{
    uint64_t d;

    if (x86_null_sel(sel)) {
        if (seg == X86_SS)
            bad_tss(c, sel, ext);
        return; /* already null */
    }
    unsigned v = vm__x86_check_seg(c, seg, sel, cpl, &d);
    if (v != 0)
        x86_raise_cur(c, v == X86_XGP ? X86_XTS : v, (sel & 0xfffcu) | ext);
    vm__x86_desc_accessed(c, sel, &d);
    vm__x86_seg_set(&c->st.seg[seg], sel, d);
}

static void load_segments(struct vcpu *c, const struct image *t, uint32_t ext)
{
    if (x86_is_v86(c)) {
        for (unsigned k = 0; k < X86_SEG_COUNT; k++)
            vm__x86_seg_real(c, k, t->sel[k]);
        load_ldt(c, t->ldt, ext);
        return;
    }
    unsigned cpl = t->sel[X86_CS] & 3;
    load_ldt(c, t->ldt, ext);
    load_data(c, X86_SS, t->sel[X86_SS], cpl, ext);
    load_cs(c, t->sel[X86_CS], ext);
    load_data(c, X86_ES, t->sel[X86_ES], cpl, ext);
    load_data(c, X86_DS, t->sel[X86_DS], cpl, ext);
    load_data(c, X86_FS, t->sel[X86_FS], cpl, ext);
    load_data(c, X86_GS, t->sel[X86_GS], cpl, ext);
}

/* Registers of the new task; segments hold their selectors only, privilege is its CS's RPL. */
static void commit(struct vcpu *c, const struct image *t, const struct layout *l)
{
    if (l == &tss32 && (c->st.cr0 & X86_CR0_PG) && t->cr3 != c->st.cr3) {
        c->st.cr3 = t->cr3;
        vm__x86_tlb_flush(c, VM_FLUSH_TLB_NONGLOBAL, 0);
    }
    for (unsigned k = 0; k < 8; k++)
        c->st.gpr[k] = l == &tss32 ? t->gpr[k]
                                   : (c->st.gpr[k] & 0xffff0000u) | (t->gpr[k] & 0xffff);
    c->st.rip = t->ip;
    uint64_t keep = X86_ARITH | X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT;
    if (l == &tss32)
        keep |= X86_RF | X86_VM | X86_AC | X86_VIF | X86_VIP | X86_ID;
    c->cc_w = 0;
    c->st.rflags = (t->flags & keep) | X86_F1;
    unsigned cpl = t->flags & X86_VM && l == &tss32 ? 3 : t->sel[X86_CS] & 3u;
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        vm__x86_seg_null(&c->st.seg[k], t->sel[k]);
    c->st.seg[X86_SS].attr = (uint16_t)(cpl << X86_ATTR_DPL_SHIFT);
    c->st.seg[X86_CS].limit = 0xffffffff; /* so that the fault itself can be described */
    c->st.cr0 |= X86_CR0_TS;
    c->st.dr[7] &= ~UINT64_C(0x155); /* local breakpoints [SDM-3B §17.2.4] */
    vm__x86_sync_mode(c);
}

void vm__x86_task_switch(struct vcpu *c, uint16_t sel, enum x86_task_source src, uint64_t next_rip,
                         uint32_t ext)
{
    bool iret = src == X86_TASK_IRET, nests = src == X86_TASK_CALL || src == X86_TASK_INT;
    unsigned bad = iret ? X86_XTS : X86_XGP;
    uint64_t d, flags = x86_flags(c);
    uint16_t old_sel = c->st.tr.sel;
    struct image t;

    if ((sel & 4) || x86_null_sel(sel) || !vm__x86_desc_fetch(c, sel, &d, NULL))
        x86_raise_cur(c, bad, (sel & 0xfffcu) | ext);
    unsigned type = x86_desc_type(d);
    if ((type & ~8u) != (iret ? X86_SYS_TSS16_BUSY : X86_SYS_TSS16))
        x86_raise_cur(c, bad, (sel & 0xfffcu) | ext);
    if (!x86_desc_present(d))
        x86_raise_cur(c, X86_XNP, (sel & 0xfffcu) | ext);
    const struct layout *l = type & 8 ? &tss32 : &tss16;
    if (x86_desc_limit(d) < l->min_limit)
        bad_tss(c, sel, ext);
    uint64_t base = x86_desc_base(d);
    probe_old(c);
    read_new(c, base, l, &t);
    if (nests)
        vm__x86_sys_probe_w(c, (uint32_t)base, 2, X86_ACCESS_W);
    /* PAE: the new page directory pointers are checked with CR3. */
    if (l == &tss32 && (c->st.cr0 & X86_CR0_PG) && (c->st.cr4 & X86_CR4_PAE))
        vm__x86_load_pdptes(c, t.cr3);

    if (!nests)
        vm__x86_desc_type_bits(c, old_sel, 2, 0);
    save_old(c, next_rip, iret ? flags & ~(uint64_t)X86_NT : flags);
    if (nests) {
        wr(c, base, TSS_LINK, 2, old_sel);
        t.flags |= X86_NT;
    }
    if (!iret)
        vm__x86_desc_type_bits(c, sel, 0, 2);
    vm__x86_seg_set(&c->st.tr, sel, d);
    c->st.tr.attr |= 2;

    commit(c, &t, l);
    load_segments(c, &t, ext);
    vm__x86_sync_mode(c);
    if (t.trap)
        c->dr_hits |= X86_DR6_BT; /* a trap before the new task's first instruction */
}
