/* SPDX-License-Identifier: MIT */
/**
 * @file control.c
 * Writing CR0, CR3, CR4, CR8, EFER, XCR0 and debug registers.
 *
 * Spec: [SDM-3A §2.5] (control registers), [SDM-3A §4.1] (paging modes and how they change),
 * [SDM-3A §9.8.5] (entering long mode), [SDM-3A §4.10.4] (what flushes translations),
 * [SDM-1 §13.3] (XCR0), [SDM-3B §17.2] (debug registers).
 */
#include "cpu/x86/control.h"

#include "cpu/x86/code_page.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/segment.h"

static void flush(struct vcpu *c, enum vm_flush what)
{
    c->cpus->engine->flush(c, what, 0);
}

_Noreturn static void gp(struct vcpu *c)
{
    x86_raise_cur(c, X86_XGP, 0);
}

/* ---- CR0 ---- */

/* PG goes on with EFER.LME set: long mode becomes active. */
static void check_enter_long(struct vcpu *c)
{
    if (!(c->st.cr4 & X86_CR4_PAE) || (c->st.seg[X86_CS].attr & X86_ATTR_L))
        gp(c);
    unsigned tss = c->st.tr.attr & (X86_ATTR_S | X86_ATTR_TYPE);
    if ((c->st.tr.attr & X86_ATTR_P) && (tss == X86_SYS_TSS16 || tss == X86_SYS_TSS16_BUSY))
        gp(c);
}

void vm__x86_write_cr0(struct vcpu *c, uint64_t v)
{
    const uint64_t known = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET |
                           X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD |
                           X86_CR0_PG;
    uint64_t old = c->st.cr0;

    x86_serialize(c);
    if (v >> 32)
        gp(c);
    v = (v & known) | X86_CR0_ET;
    uint64_t changed = v ^ old;
    if (changed & ~(uint64_t)(X86_CR0_TS | X86_CR0_MP | X86_CR0_EM | X86_CR0_NE)) {
        if (((v & X86_CR0_PG) && !(v & X86_CR0_PE)) || ((v & X86_CR0_NW) && !(v & X86_CR0_CD)))
            gp(c);
        bool pg_on = v & ~old & X86_CR0_PG, pg_off = old & ~v & X86_CR0_PG;
        if (pg_on && (c->st.msr.efer & X86_EFER_LME)) {
            check_enter_long(c);
            c->st.msr.efer |= X86_EFER_LMA;
        } else if ((v & X86_CR0_PG) && (c->st.cr4 & X86_CR4_PAE) && !x86_lma(c) &&
                   (changed & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW))) {
            vm__x86_load_pdptes(c, c->st.cr3);
        }
        if (pg_off) {
            if (x86_is64(c) || (c->st.cr4 & X86_CR4_PCIDE))
                gp(c);
            c->st.msr.efer &= ~(uint64_t)X86_EFER_LMA;
        }
        c->st.cr0 = v;
        if (changed & (X86_CR0_PG | X86_CR0_PE | X86_CR0_WP))
            flush(c, VM_FLUSH_TLB);
    }
    c->st.cr0 = v;
    vm__x86_sync_mode(c);
}

/* ---- CR3 ---- */

void vm__x86_write_cr3(struct vcpu *c, uint64_t v)
{
    const uint64_t no_flush = UINT64_C(1) << 63;

    x86_serialize(c);
    if (x86_lma(c)) {
        if (c->st.cr4 & X86_CR4_PCIDE)
            v &= ~no_flush; /* the soft TLB has no PCIDs: flushing more is allowed */
        if (v >> X86_PHYS_BITS)
            gp(c);
    } else {
        v = (uint32_t)v;
        if ((c->st.cr0 & X86_CR0_PG) && (c->st.cr4 & X86_CR4_PAE))
            vm__x86_load_pdptes(c, v);
    }
    c->st.cr3 = v;
    flush(c, VM_FLUSH_TLB_NONGLOBAL);
}

/* ---- CR4 ---- */

uint64_t vm__x86_cr4_mask(const struct vcpu *c)
{
    static const struct {
        uint16_t feature;
        uint32_t bits;
    } rows[] = {
        { X86_FEAT_VME, X86_CR4_VME | X86_CR4_PVI },
        { X86_FEAT_TSC, X86_CR4_TSD },
        { X86_FEAT_DE, X86_CR4_DE },
        { X86_FEAT_PSE, X86_CR4_PSE },
        { X86_FEAT_PAE, X86_CR4_PAE },
        { X86_FEAT_MCE, X86_CR4_MCE },
        { X86_FEAT_PGE, X86_CR4_PGE },
        { X86_FEAT_MMX, X86_CR4_PCE },
        { X86_FEAT_FXSR, X86_CR4_OSFXSR },
        { X86_FEAT_SSE, X86_CR4_OSXMMEXCPT },
        { X86_FEAT_UMIP, X86_CR4_UMIP },
        { X86_FEAT_LA57, X86_CR4_LA57 },
        { X86_FEAT_FSGSBASE, X86_CR4_FSGSBASE },
        { X86_FEAT_PCID, X86_CR4_PCIDE },
        { X86_FEAT_XSAVE, X86_CR4_OSXSAVE },
        { X86_FEAT_SMEP, X86_CR4_SMEP },
        { X86_FEAT_SMAP, X86_CR4_SMAP },
        { X86_FEAT_PKU, X86_CR4_PKE },
    };
    uint64_t mask = 0;

    for (unsigned k = 0; k < sizeof rows / sizeof rows[0]; k++)
        if (vm__x86_has(c, rows[k].feature))
            mask |= rows[k].bits;
    return mask;
}

void vm__x86_write_cr4(struct vcpu *c, uint64_t v)
{
    const uint64_t paging = X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP | X86_CR4_SMAP |
                            X86_CR4_PCIDE | X86_CR4_LA57 | X86_CR4_PKE;
    uint64_t changed = v ^ c->st.cr4;

    if (v & ~vm__x86_cr4_mask(c))
        gp(c);
    if (x86_lma(c)) {
        if (!(v & X86_CR4_PAE) || (changed & X86_CR4_LA57))
            gp(c);
    } else if ((c->st.cr0 & X86_CR0_PG) && (v & X86_CR4_PAE) &&
               (changed & (X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PGE | X86_CR4_SMEP))) {
        vm__x86_load_pdptes(c, c->st.cr3);
    }
    if ((v & changed & X86_CR4_PCIDE) && (!x86_lma(c) || (c->st.cr3 & 0xfff)))
        gp(c);
    c->st.cr4 = v;
    if (changed & paging)
        flush(c, VM_FLUSH_TLB);
    vm__x86_sync_mode(c);
}

/* ---- CR8 ---- */

void vm__x86_write_cr8(struct vcpu *c, uint64_t v)
{
    if (v & ~UINT64_C(15))
        gp(c);
    vm__x86_lapic_set_tpr(c, (uint8_t)(v << 4));
}

uint64_t vm__x86_read_cr8(struct vcpu *c)
{
    return c->st.lapic.tpr >> 4;
}

/* ---- EFER ---- */

uint64_t vm__x86_efer_mask(const struct vcpu *c)
{
    uint64_t mask = 0;

    if (vm__x86_has(c, X86_FEAT_SYSCALL))
        mask |= X86_EFER_SCE;
    if (vm__x86_has(c, X86_FEAT_LM))
        mask |= X86_EFER_LME | X86_EFER_LMA;
    if (vm__x86_has(c, X86_FEAT_NX))
        mask |= X86_EFER_NXE;
    if (vm__x86_has(c, X86_FEAT_FFXSR))
        mask |= X86_EFER_FFXSR;
    return mask;
}

void vm__x86_write_efer(struct vcpu *c, uint64_t v)
{
    uint64_t old = c->st.msr.efer;

    v = (v & ~(uint64_t)X86_EFER_LMA) | (old & X86_EFER_LMA); /* read only */
    if (v & ~vm__x86_efer_mask(c))
        gp(c);
    if (((v ^ old) & X86_EFER_LME) && (c->st.cr0 & X86_CR0_PG))
        gp(c);
    c->st.msr.efer = v;
    if ((v ^ old) & X86_EFER_NXE)
        flush(c, VM_FLUSH_TLB);
}

/* ---- XCR0 ---- */

uint64_t vm__x86_xcr0_mask(const struct vcpu *c)
{
    return vm__x86_has(c, X86_FEAT_AVX) ? 7 : 3;
}

void vm__x86_write_xcr0(struct vcpu *c, uint64_t v)
{
    if ((v & ~vm__x86_xcr0_mask(c)) || !(v & 1) || (v & 6) == 4)
        gp(c);
    c->st.xcr0 = v;
    vm__x86_sync_mode(c);
}

/* ---- debug registers ---- */

void vm__x86_write_dr(struct vcpu *c, unsigned n, uint64_t v)
{
    if (n < 4) {
        if (c->st.dr[n] == v)
            return;
        c->st.dr[n] = v;
    } else if (n == 6) {
        if (v >> 32)
            gp(c);
        c->st.dr[6] = (v & 0xe00f) | 0xffff0ff0;
        return;
    } else {
        if (v >> 32)
            gp(c);
        c->st.dr[7] = (v & 0xffff2bff) | 0x400;
    }
    /* Pages with an armed data breakpoint stay out of the soft TLB. */
    if (c->st.dr[7] & 0xff)
        flush(c, VM_FLUSH_TLB);
    vm__x86_sync_mode(c);
}
