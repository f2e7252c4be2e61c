/* SPDX-License-Identifier: MIT */
/**
 * @file lapic.c
 * Local APIC registers, priorities, acceptance and end of interrupt.
 *
 * Spec: [SDM-3A §11.4] (registers), [SDM-3A §11.5] (LVT, ESR), [SDM-3A §11.8] (priorities, EOI),
 * [SDM-3A §11.12] (x2APIC). Sending is in lapic_ipi.c, the timer in lapic_timer.c.
 * Not modelled: CMCI, EOI-broadcast suppression, bus arbitration (APR reads 0).
 */
#include "cpu/x86/lapic.h"

#include "core/machine.h"
#include "cpu/x86/lapic_regs.h"

enum { VERSION = 0x14 | 5 << 16 }; /* six LVT entries */

static uint32_t load32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static void store32(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

/* ---- priorities ---- */

static int highest(const uint32_t *bits)
{
    for (int w = 7; w >= 0; w--) {
        uint32_t v = __atomic_load_n(&bits[w], __ATOMIC_ACQUIRE);
        if (v != 0)
            return w * 32 + 31 - __builtin_clz(v);
    }
    return -1;
}

static uint32_t ppr(const struct x86_lapic *a)
{
    int isr = highest(a->isr);
    uint32_t isrv = isr < 0 ? 0 : (uint32_t)isr;
    return (a->tpr & 0xf0) >= (isrv & 0xf0) ? a->tpr : isrv & 0xf0;
}

int vm__x86_lapic_pending(const struct vcpu *c)
{
    const struct x86_lapic *a = &c->st.lapic;
    int irr = highest(a->irr);

    if (irr < 0 || !(c->st.msr.apic_base & X86_APIC_BASE_EN))
        return -1;
    return (uint32_t)(irr & 0xf0) > (ppr(a) & 0xf0) ? irr : -1;
}

void vm__x86_lapic_accept(struct vcpu *c, uint8_t vector)
{
    struct x86_lapic *a = &c->st.lapic;
    uint32_t bit = 1u << (vector & 31);

    __atomic_fetch_and(&a->irr[vector >> 5], ~bit, __ATOMIC_ACQ_REL);
    a->isr[vector >> 5] |= bit;
}

static void eoi(struct vcpu *c)
{
    struct x86_lapic *a = &c->st.lapic;
    const struct vm_irq_hub *hub = &c->cpus->m->irq_hub;
    int v = highest(a->isr);

    if (v < 0)
        return;
    uint32_t bit = 1u << (v & 31);
    a->isr[v >> 5] &= ~bit;
    if ((load32(&a->tmr[v >> 5]) & bit) && hub->ioapic_eoi != NULL)
        hub->ioapic_eoi(hub->ioapic, (uint8_t)v);
    if (highest(a->irr) >= 0)
        x86_recheck(c);
}

void vm__x86_lapic_set_tpr(struct vcpu *c, uint8_t tpr)
{
    bool lower = tpr < c->st.lapic.tpr;

    store32(&c->st.lapic.tpr, tpr);
    if (lower && highest(c->st.lapic.irr) >= 0)
        x86_recheck(c);
}

bool vm__x86_lapic_extint(const struct vcpu *c)
{
    uint32_t wires = load32(&c->st.lapic.lint0_level);

    if (x86_apic_mode(c) != 0 && (wires & X86_WIRE_EXTINT))
        return true;
    if (!(wires & X86_WIRE_INTR))
        return false;
    uint32_t lvt = c->st.lapic.lvt[LVT_LINT0];
    return x86_apic_mode(c) == 0 || (lvt & (LVT_MASKED | LVT_MODE)) == LVT_MODE_EXTINT;
}

/* ---- errors ---- */

void vm__x86_lapic_error(struct vcpu *c, uint32_t bits)
{
    struct x86_lapic *a = &c->st.lapic;
    uint32_t lvt = load32(&a->lvt[LVT_ERROR]);

    if (!(__atomic_fetch_or(&a->esr_pending, bits, __ATOMIC_RELAXED) & bits) &&
        !(lvt & LVT_MASKED) && (lvt & 0xff) >= 16)
        (void)vm__x86_lapic_post(c, (uint8_t)lvt, false);
}

/* ---- registers ---- */

/* LVT registers by offset; -1: none there. */
static int lvt_index(uint32_t off)
{
    switch (off) {
    case 0x320: return LVT_TIMER;
    case 0x330: return LVT_THERMAL;
    case 0x340: return LVT_PERF;
    case 0x350: return LVT_LINT0;
    case 0x360: return LVT_LINT1;
    case 0x370: return LVT_ERROR;
    default: return -1;
    }
}

static uint32_t lvt_mask(int n)
{
    switch (n) {
    case LVT_TIMER: return 0x700ff;
    case LVT_LINT0:
    case LVT_LINT1: return 0x1a7ff;
    case LVT_ERROR: return 0x100ff;
    default: return 0x107ff;
    }
}

static bool reg_read(struct vcpu *c, uint32_t off, uint32_t *v)
{
    struct x86_lapic *a = &c->st.lapic;
    bool x2 = x86_apic_mode(c) == 2;
    int n = lvt_index(off);

    if (n >= 0) {
        *v = a->lvt[n];
        return true;
    }
    if (off >= 0x100 && off < 0x280) {
        const uint32_t *bank = off < 0x180 ? a->isr : off < 0x200 ? a->tmr : a->irr;
        *v = load32(&bank[off >> 4 & 7]);
        return true;
    }
    switch (off) {
    case 0x020: *v = x2 ? x86_apic_id(c) : a->id << 24; break;
    case 0x030: *v = VERSION; break;
    case 0x080: *v = a->tpr; break;
    case 0x090:
    case 0x0c0: *v = 0; break; /* APR, RRD */
    case 0x0a0: *v = ppr(a); break;
    case 0x0b0: *v = 0; break; /* EOI is write only */
    case 0x0d0: *v = x2 ? x86_x2apic_ldr(x86_apic_id(c)) : a->ldr; break;
    case 0x0e0: *v = a->dfr; break;
    case 0x0f0: *v = a->svr; break;
    case 0x280: *v = a->esr; break;
    case 0x300: *v = (uint32_t)a->icr; break;
    case 0x310: *v = (uint32_t)(a->icr >> 32); break;
    case 0x380: *v = a->timer_initial; break;
    case 0x390: *v = vm__x86_lapic_current(c); break;
    case 0x3e0: *v = a->timer_divide; break;
    default: return false;
    }
    return true;
}

/* Clearing the software enable masks every LVT entry [SDM-3A §11.4.7.2]. */
static void write_svr(struct vcpu *c, uint32_t v)
{
    struct x86_lapic *a = &c->st.lapic;

    store32(&a->svr, v & 0x1ff);
    if (!(v & SVR_ENABLE))
        for (int n = 0; n < 7; n++)
            store32(&a->lvt[n], a->lvt[n] | LVT_MASKED);
}

static void write_lvt(struct vcpu *c, int n, uint32_t v)
{
    struct x86_lapic *a = &c->st.lapic;
    uint32_t old = a->lvt[n];

    v &= lvt_mask(n);
    if (n == LVT_TIMER && !vm__x86_has(c, X86_FEAT_TSC_DEADLINE))
        v &= ~0x40000u;
    if (!(a->svr & SVR_ENABLE))
        v |= LVT_MASKED;
    store32(&a->lvt[n], v);
    if (n == LVT_TIMER && ((old ^ v) & LVT_TIMER_MODE))
        vm__x86_lapic_timer_mode(c, old);
    if (n == LVT_LINT0 && vm__x86_lapic_extint(c))
        x86_recheck(c);
}

static bool reg_write(struct vcpu *c, uint32_t off, uint32_t v)
{
    struct x86_lapic *a = &c->st.lapic;
    int n = lvt_index(off);

    if (n >= 0) {
        write_lvt(c, n, v);
        return true;
    }
    switch (off) {
    case 0x080: vm__x86_lapic_set_tpr(c, (uint8_t)v); break;
    case 0x0b0: eoi(c); break;
    case 0x0d0: store32(&a->ldr, v & 0xff000000); break;
    case 0x0e0: store32(&a->dfr, v | 0x0fffffff); break;
    case 0x0f0: write_svr(c, v); break;
    case 0x280: a->esr = __atomic_exchange_n(&a->esr_pending, 0, __ATOMIC_RELAXED); break;
    case 0x300:
        a->icr = (a->icr & ~UINT64_C(0xffffffff)) | (v & 0xccfff);
        vm__x86_lapic_send(c, a->icr);
        break;
    case 0x310: a->icr = (a->icr & 0xffffffff) | (uint64_t)(v & 0xff000000) << 32; break;
    case 0x380: vm__x86_lapic_start(c, v); break;
    case 0x3e0: vm__x86_lapic_divide(c, v & 0xb); break;
    case 0x020: store32(&a->id, v >> 24); break;
    case 0x030: break;
    default: return false;
    }
    return true;
}

uint32_t vm__x86_lapic_read(struct vcpu *c, uint32_t off)
{
    uint32_t v = 0;

    if (off & 15)
        return 0;
    if (!reg_read(c, off, &v))
        vm__x86_lapic_error(c, ESR_ILLEGAL_REGISTER);
    return v;
}

void vm__x86_lapic_write(struct vcpu *c, uint32_t off, uint32_t v)
{
    if (!(off & 15) && !reg_write(c, off, v))
        vm__x86_lapic_error(c, ESR_ILLEGAL_REGISTER);
}

/* ---- x2APIC [SDM-3A §11.12.1] ---- */

bool vm__x86_x2apic_read(struct vcpu *c, uint32_t msr, uint64_t *v)
{
    uint32_t off = (msr & 0x3f) << 4, v32;

    if (x86_apic_mode(c) != 2 || msr > 0x83f)
        return false;
    if (off == 0x300) {
        *v = c->st.lapic.icr;
        return true;
    }
    /* No DFR, ICR2, APR, RRD; EOI and SELF IPI are write only. */
    if (off == 0x0e0 || off == 0x310 || off == 0x090 || off == 0x0c0 || off == 0x0b0 ||
        off == 0x3f0 || !reg_read(c, off, &v32))
        return false;
    *v = v32;
    return true;
}

bool vm__x86_x2apic_write(struct vcpu *c, uint32_t msr, uint64_t v)
{
    uint32_t off = (msr & 0x3f) << 4;

    if (x86_apic_mode(c) != 2 || msr > 0x83f)
        return false;
    switch (off) {
    case 0x0b0:
        if (v != 0)
            return false;
        eoi(c);
        return true;
    case 0x300:
        if (v & UINT64_C(0xfff33000))
            return false;
        c->st.lapic.icr = v;
        vm__x86_lapic_send(c, v);
        return true;
    case 0x3f0:
        if (v >> 8)
            return false;
        vm__x86_lapic_send_self(c, (uint8_t)v);
        return true;
    case 0x280:
        if (v != 0)
            return false;
        break;
    case 0x080:
        if (v >> 8)
            return false;
        break;
    case 0x020:
    case 0x030:
    case 0x0d0:
    case 0x0e0:
    case 0x310: return false;
    case 0x0f0:
        if (v & ~UINT64_C(0x1ff))
            return false;
        break;
    default:
        if (v >> 32 || (lvt_index(off) >= 0 && (v & ~(uint64_t)(lvt_mask(lvt_index(off)) | 0x5000))))
            return false;
        break;
    }
    return reg_write(c, off, (uint32_t)v);
}

/* Disabled, xAPIC and x2APIC: allowed transitions [SDM-3A §11.12.5]. */
bool vm__x86_lapic_set_base(struct vcpu *c, uint64_t v)
{
    uint64_t old = c->st.msr.apic_base;
    const uint64_t mode = X86_APIC_BASE_EN | X86_APIC_BASE_X2;
    uint64_t allowed = (((UINT64_C(1) << X86_PHYS_BITS) - 1) & ~UINT64_C(0xfff)) |
                       X86_APIC_BASE_BSP | X86_APIC_BASE_EN;

    if (vm__x86_has(c, X86_FEAT_X2APIC))
        allowed |= X86_APIC_BASE_X2;
    if (v & ~allowed)
        return false;
    uint64_t from = old & mode, to = v & mode;
    if (to == X86_APIC_BASE_X2 || (from == mode && to == X86_APIC_BASE_EN) ||
        (from == 0 && to == mode))
        return false;
    __atomic_store_n(&c->st.msr.apic_base, v, __ATOMIC_RELAXED);
    if (from != 0 && to == 0) {
        vm__x86_lapic_reset(c, true);
        store32(&c->st.lapic.id, c->cpu.index);
    }
    if (to == mode)
        store32(&c->st.lapic.ldr, x86_x2apic_ldr(c->cpu.index));
    if ((v ^ old) >> VM_PAGE_SHIFT || to != from)
        c->cpus->engine->flush(c, VM_FLUSH_TLB, 0); /* what lies at the page has changed */
    x86_recheck(c);
    return true;
}

/* ---- reset ---- */

void vm__x86_lapic_reset(struct vcpu *c, bool init)
{
    struct x86_lapic *a = &c->st.lapic;
    uint32_t wires = load32(&a->lint0_level), id = a->id;

    for (int w = 0; w < 8; w++) {
        store32(&a->irr[w], 0);
        store32(&a->tmr[w], 0);
        a->isr[w] = 0;
    }
    store32(&a->id, init ? id : c->cpu.index);
    store32(&a->tpr, 0);
    store32(&a->ldr, init && x86_apic_mode(c) == 2 ? x86_x2apic_ldr(c->cpu.index) : 0);
    store32(&a->dfr, 0xffffffff);
    store32(&a->svr, 0xff);
    a->esr = a->esr_pending = 0;
    a->icr = 0;
    for (int n = 0; n < 7; n++)
        store32(&a->lvt[n], LVT_MASKED);
    /* Firmware would open LINT0 of the first processor to the 8259 pair; opened here, a system that
     * is started without firmware gets its PIC interrupts too. */
    if (c->cpu.index == 0)
        store32(&a->lvt[LVT_LINT0], LVT_MODE_EXTINT);
    a->timer_divide = a->timer_initial = 0;
    a->timer_start_ns = 0;
    a->tsc_deadline = 0;
    store32(&a->lint0_level, wires & X86_WIRE_INTR);
    vm__x86_lapic_rearm(c);
}
