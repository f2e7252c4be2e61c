/* SPDX-License-Identifier: MIT */
/**
 * @file lapic_ipi.c
 * Interrupt messages: interprocessor interrupts, MSI, the pins of the interrupt chips.
 *
 * Spec: [SDM-3A §11.6] (ICR, destinations), [SDM-3A §11.11] (MSI), [SDM-3A §11.12.9, §11.12.10]
 * (x2APIC). Any thread may post: what is read of other processors' APICs is read atomically, and a
 * processor that changes its logical id while a message is under way may miss it, as on hardware.
 */
#include "core/machine.h"
#include "cpu/x86/lapic_regs.h"

static uint32_t load32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

bool vm__x86_lapic_post(struct vcpu *c, uint8_t vector, bool level)
{
    struct x86_lapic *a = &c->st.lapic;
    uint32_t bit = 1u << (vector & 31), w = vector >> 5;

    if (x86_apic_mode(c) == 0 || !(load32(&a->svr) & SVR_ENABLE))
        return false;
    if (vector < 16) {
        vm__x86_lapic_error(c, ESR_RECEIVE_ILLEGAL);
        return true;
    }
    if (level)
        __atomic_fetch_or(&a->tmr[w], bit, __ATOMIC_RELAXED);
    else if (load32(&a->tmr[w]) & bit)
        __atomic_fetch_and(&a->tmr[w], ~bit, __ATOMIC_RELAXED);
    if (!(__atomic_fetch_or(&a->irr[w], bit, __ATOMIC_ACQ_REL) & bit))
        vm__cpu_kick(&c->cpu, VM_CPU_REQ_INTR);
    return true;
}

/* A message on its way. */
struct message {
    uint32_t dest;
    uint8_t mode; /* DELIVER_* */
    uint8_t vector;
    bool logical, level;
    bool wide;      /* dest is a 32-bit x2APIC id */
    bool broadcast; /* every processor */
};

static bool matches(const struct vcpu *c, const struct message *m)
{
    const struct x86_lapic *a = &c->st.lapic;
    unsigned mode = x86_apic_mode(c);

    if (m->broadcast)
        return true;
    if (mode == 0 && !(m->mode >= DELIVER_INIT))
        return false;
    if (!m->logical)
        return (m->wide ? x86_apic_id(c) : x86_apic_id(c) & 0xff) == m->dest;
    uint32_t ldr = load32(&a->ldr);
    if (mode == 2) {
        ldr = x86_x2apic_ldr(c->cpu.index);
        uint32_t dest = m->wide ? m->dest : m->dest & 0xff; /* from an IOAPIC: cluster 0 */
        return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
    }
    ldr >>= 24;
    if (load32(&a->dfr) >> 28 == 0xf)
        return (ldr & m->dest) != 0; /* flat */
    return ldr >> 4 == m->dest >> 4 && (ldr & m->dest & 15); /* cluster */
}

static void nmi(struct vcpu *c)
{
    atomic_fetch_add(&c->nmis, 1);
    vm__cpu_kick(&c->cpu, VM_CPU_REQ_NMI);
}

static bool deliver(struct vcpu *c, const struct message *m)
{
    switch (m->mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST: return vm__x86_lapic_post(c, m->vector, m->level);
    case DELIVER_SMI: vm__cpu_kick(&c->cpu, VM_CPU_REQ_SMI); return true;
    case DELIVER_NMI: nmi(c); return true;
    case DELIVER_INIT: vm__cpu_kick(&c->cpu, VM_CPU_REQ_INIT); return true;
    case DELIVER_SIPI:
        __atomic_store_n(&c->st.lapic.sipi_vector, m->vector, __ATOMIC_RELEASE);
        vm__cpu_kick(&c->cpu, VM_CPU_REQ_SIPI);
        return true;
    case DELIVER_EXTINT:
        __atomic_fetch_or(&c->st.lapic.lint0_level, X86_WIRE_EXTINT, __ATOMIC_RELAXED);
        vm__cpu_kick(&c->cpu, VM_CPU_REQ_INTR);
        return true;
    default: return false;
    }
}

/* To whom it may concern; @p skip is left out. Returns how many took it. */
static int dispatch(struct x86_cpus *s, const struct message *m, const struct vcpu *skip)
{
    struct vcpu *lowest = NULL;
    int taken = 0;

    for (uint32_t n = 0; n < s->n; n++) {
        struct vcpu *c = s->cpu[n];
        if (c == skip || !matches(c, m))
            continue;
        if (m->mode != DELIVER_LOWEST) {
            taken += deliver(c, m);
            continue;
        }
        /* Lowest priority: the least task priority among those that are enabled. */
        if (x86_apic_mode(c) != 0 && (load32(&c->st.lapic.svr) & SVR_ENABLE) &&
            (lowest == NULL || load32(&c->st.lapic.tpr) < load32(&lowest->st.lapic.tpr)))
            lowest = c;
    }
    if (lowest != NULL)
        taken = deliver(lowest, m);
    return taken;
}

void vm__x86_lapic_send_self(struct vcpu *c, uint8_t vector)
{
    if (vector < 16)
        vm__x86_lapic_error(c, ESR_SEND_ILLEGAL);
    else
        (void)vm__x86_lapic_post(c, vector, false);
}

void vm__x86_lapic_send(struct vcpu *c, uint64_t icr)
{
    bool x2 = x86_apic_mode(c) == 2;
    struct message m = {
        .dest = x2 ? (uint32_t)(icr >> 32) : (uint32_t)(icr >> 56),
        .mode = icr >> 8 & 7,
        .vector = (uint8_t)icr,
        .logical = icr >> 11 & 1,
        .wide = x2,
    };
    unsigned shorthand = icr >> 18 & 3;
    bool level = icr >> 15 & 1, asserted = icr >> 14 & 1;

    if (m.mode <= DELIVER_LOWEST && m.vector < 16) {
        vm__x86_lapic_error(c, ESR_SEND_ILLEGAL);
        return;
    }
    /* INIT level de-assert: a synchronisation message that does nothing here. */
    if (m.mode == DELIVER_INIT && level && !asserted)
        return;
    switch (shorthand) {
    case 0:
        m.broadcast = m.dest == (x2 ? 0xffffffffu : 0xffu);
        (void)dispatch(c->cpus, &m, NULL);
        break;
    case 1:
        if (m.mode <= DELIVER_LOWEST)
            vm__x86_lapic_send_self(c, m.vector);
        break;
    default:
        m.broadcast = true;
        (void)dispatch(c->cpus, &m, shorthand == 3 ? c : NULL);
        break;
    }
}

/* ---- the hub ---- */

int vm__x86_hub_msi(void *cpus, uint64_t address, uint32_t data)
{
    struct message m = {
        .dest = address >> 12 & 0xff,
        .mode = data >> 8 & 7,
        .vector = (uint8_t)data,
        .logical = address >> 2 & 1,
        .level = data >> 15 & 1,
    };
    m.broadcast = m.dest == 0xff;
    return dispatch(cpus, &m, NULL);
}

/* The 8259 pair's output goes to LINT0 of every local APIC. */
void vm__x86_hub_intr(void *cpus, int level)
{
    struct x86_cpus *s = cpus;

    for (uint32_t n = 0; n < s->n; n++) {
        struct vcpu *c = s->cpu[n];
        struct x86_lapic *a = &c->st.lapic;
        uint32_t old;

        if (level)
            old = __atomic_fetch_or(&a->lint0_level, X86_WIRE_INTR, __ATOMIC_RELEASE);
        else
            old = __atomic_fetch_and(&a->lint0_level, ~(uint32_t)X86_WIRE_INTR, __ATOMIC_RELEASE);
        if (!level || (old & X86_WIRE_INTR))
            continue;
        uint32_t lvt = load32(&a->lvt[LVT_LINT0]);
        if (x86_apic_mode(c) == 0) {
            if (n == 0)
                vm__cpu_kick(&c->cpu, VM_CPU_REQ_INTR);
        } else if (lvt & LVT_MASKED) {
            continue;
        } else if ((lvt & LVT_MODE) == LVT_MODE_EXTINT) {
            vm__cpu_kick(&c->cpu, VM_CPU_REQ_INTR);
        } else if ((lvt & LVT_MODE) == LVT_MODE_NMI) {
            nmi(c);
        } else if ((lvt & LVT_MODE) == 0) {
            (void)vm__x86_lapic_post(c, (uint8_t)lvt, lvt & LVT_LEVEL);
        }
    }
}

/* LINT1, which firmware and systems set up as NMI; with the APIC disabled it is the NMI pin. */
void vm__x86_hub_nmi(void *cpus)
{
    struct x86_cpus *s = cpus;

    for (uint32_t n = 0; n < s->n; n++) {
        struct vcpu *c = s->cpu[n];
        uint32_t lvt = load32(&c->st.lapic.lvt[LVT_LINT1]);

        if (x86_apic_mode(c) == 0 ||
            (lvt & (LVT_MASKED | LVT_MODE)) == LVT_MODE_NMI)
            nmi(c);
        else if ((lvt & (LVT_MASKED | LVT_MODE)) == 0)
            (void)vm__x86_lapic_post(c, (uint8_t)lvt, false);
    }
}

/* The chipset's SMI# pin, which is wired to the boot processor alone: firmware moves that one's
 * SMBASE, and the others would all meet at 38000h, where the system keeps something else. */
void vm__x86_hub_smi(void *cpus)
{
    struct x86_cpus *s = cpus;

    if (s->n != 0)
        vm__cpu_kick(&s->cpu[0]->cpu, VM_CPU_REQ_SMI);
}

/* Suspend to RAM. */
void vm__x86_hub_sleep(void *cpus)
{
    struct x86_cpus *s = cpus;

    for (uint32_t n = 0; n < s->n; n++)
        vm__cpu_kick(&s->cpu[n]->cpu, VM_CPU_REQ_SLEEP);
}
