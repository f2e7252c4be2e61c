/* SPDX-License-Identifier: MIT */
/**
 * @file reset.c
 * What a processor looks like after RESET, INIT and SIPI.
 *
 * Spec: [SDM-3A §9.1] and its table 9-1, [SDM-3A §8.4] (multiple processors).
 */
#include "cpu/x86/reset.h"

#include <string.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/msr.h"
#include "cpu/x86/smm.h"

static void set_seg(struct x86_seg *s, uint16_t sel, uint64_t base, uint16_t attr)
{
    *s = (struct x86_seg){ .sel = sel, .base = base, .limit = 0xffff, .attr = attr };
}

/* What RESET and INIT have in common. */
static void common(struct vcpu *c)
{
    struct x86_state *st = &c->st;
    uint32_t id[4];

    memset(st->gpr, 0, sizeof st->gpr);
    vm__x86_cpuid(c, 1, 0, id);
    st->gpr[X86_RDX] = id[0];
    st->rip = 0xfff0;
    st->rflags = X86_F1;
    st->cr2 = st->cr3 = st->cr4 = 0;
    memset(st->dr, 0, sizeof st->dr);
    st->dr[6] = 0xffff0ff0;
    st->dr[7] = 0x400;
    memset(st->pdpte, 0, sizeof st->pdpte);
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        set_seg(&st->seg[k], 0, 0, 0x93);
    set_seg(&st->seg[X86_CS], 0xf000, 0xffff0000, 0x9b);
    set_seg(&st->ldtr, 0, 0, 0x82);
    set_seg(&st->tr, 0, 0, 0x8b);
    st->gdtr = st->idtr = (struct x86_dtr){ .limit = 0xffff };
    st->msr.efer = 0;
    memset(&st->event, 0, sizeof st->event);
    st->shadow = 0;
    st->smm = 0;
    st->nmi_blocked = 0;
    st->nmi_pending = st->smi_pending = st->init_pending = 0;
    c->cc_w = 0;
    c->step_tf = false;
    c->dr_hits = 0;
    c->intr_pending = 0;
}

static void settle(struct vcpu *c)
{
    c->blk = NULL;
    c->cur = NULL;
    c->cpus->engine->load(c);
    vm__x86_sync_mode(c);
}

void vm__x86_reset(struct vcpu *c)
{
    struct x86_state *st = &c->st;
    bool bsp = c->cpu.index == 0;

    common(c);
    st->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
    st->xcr0 = 1;
    memset(st->vec, 0, sizeof st->vec);
    memset(st->k, 0, sizeof st->k);
    memset(st->x87, 0, sizeof st->x87);
    st->fcw = 0x40;
    st->fsw = 0;
    st->ftw = 0xff;
    st->fop = st->fcs = st->fds = 0;
    st->fip = st->fdp = 0;
    st->mxcsr = 0x1f80;
    st->smbase = X86_SMBASE_RESET;
    st->a20_masked = 0;
    st->sipi_pending = 0; /* INIT keeps it: the two often arrive together */
    vm__x86_msr_reset(c);
    vm__x86_lapic_reset(c, false);
    st->activity = bsp ? X86_ACTIVE : X86_WAIT_SIPI;
    atomic_store(&c->req, 0);
    settle(c);
}

void vm__x86_init(struct vcpu *c)
{
    struct x86_state *st = &c->st;
    uint64_t cache = st->cr0 & (X86_CR0_CD | X86_CR0_NW);

    common(c);
    st->cr0 = cache | X86_CR0_ET;
    vm__x86_lapic_reset(c, true);
    st->activity = st->msr.apic_base & X86_APIC_BASE_BSP ? X86_ACTIVE : X86_WAIT_SIPI;
    settle(c);
}

void vm__x86_sipi(struct vcpu *c, uint8_t vector)
{
    struct x86_seg *cs = &c->st.seg[X86_CS];

    cs->sel = (uint16_t)(vector << 8);
    cs->base = (uint64_t)vector << 12;
    c->st.rip = 0;
    c->st.activity = X86_ACTIVE;
    vm__x86_sync_mode(c);
}
