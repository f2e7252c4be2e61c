/* SPDX-License-Identifier: MIT */
/**
 * @file poll.c
 * What happens between two instructions: requests, events, interrupts, activity states.
 *
 * Spec: [SDM-3A §6.9] and its table of priorities, [SDM-3A §6.7] (NMI), [SDM-3A §6.8] (masking),
 * [SDM-3A §11.8] (which interrupt).
 */
#include "core/machine.h"
#include "cpu/vcpu.h"
#include "cpu/x86/code_page.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/exception.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/reset.h"
#include "cpu/x86/smm.h"

/* One NMI waits while another is handled; none being handled, one more can be on its way. */
static void latch_nmis(struct vcpu *c)
{
    uint32_t n = atomic_exchange(&c->nmis, 0), limit = c->st.nmi_blocked ? 1 : 2;

    n += c->st.nmi_pending;
    c->st.nmi_pending = (uint8_t)(n < limit ? n : limit);
}

/* Move what other threads asked for into the state; edges must not be lost when run() leaves. */
static uint32_t latch(struct vcpu *c)
{
    uint32_t req = atomic_exchange_explicit(&c->req, 0, memory_order_acq_rel);

    if (req & VM_CPU_REQ_NMI)
        latch_nmis(c);
    if (req & VM_CPU_REQ_SMI)
        c->st.smi_pending = 1;
    if (req & VM_CPU_REQ_INIT)
        c->st.init_pending = 1;
    if (req & VM_CPU_REQ_SIPI)
        c->st.sipi_pending = 1;
    if (req & VM_CPU_REQ_MEM) {
        c->st.a20_masked = atomic_load(&c->cpus->a20_masked);
        vm__x86_code_forget(c->cpus);
        c->cpus->engine->flush(c, VM_FLUSH_MEM, 0);
    }
    if (req & VM_CPU_REQ_DROP)
        c->cpus->engine->flush(c, VM_FLUSH_ALL, 0);
    if (req & VM_CPU_REQ_CODE)
        c->cpus->engine->flush(c, VM_FLUSH_CODE, 0);
    if (req & (VM_CPU_REQ_RESET | VM_CPU_REQ_SLEEP))
        vm__x86_reset(c);
    if (req & VM_CPU_REQ_SLEEP)
        c->st.activity = X86_WAIT_SIPI; /* which does not come: who could send it sleeps too */
    return req;
}

static void deliver(struct vcpu *c, enum x86_event_kind kind, uint8_t vector)
{
    c->st.activity = X86_ACTIVE;
    c->st.event = (struct x86_event){ .kind = (uint8_t)kind, .vector = vector };
    vm__x86_deliver(c);
    vm__x86_debug_delivered(c);
}

static bool extint(const struct vcpu *c)
{
    return vm__x86_lapic_extint(c) && c->cpus->m->irq_hub.pic_ack != NULL;
}

bool vm__x86_intr_waits(const struct vcpu *c)
{
    return vm__x86_lapic_pending(c) >= 0 || extint(c);
}

int vm__x86_intr_ack(struct vcpu *c)
{
    const struct vm_irq_hub *hub = &c->cpus->m->irq_hub;
    const int v = vm__x86_lapic_pending(c);

    if (!extint(c) && v >= 0) {
        vm__x86_lapic_accept(c, (uint8_t)v);
        return v;
    }
    __atomic_fetch_and(&c->st.lapic.lint0_level, ~(uint32_t)X86_WIRE_EXTINT, __ATOMIC_RELAXED);
    return hub->pic_ack(hub->pic);
}

/* A maskable interrupt, if one may be taken now. Otherwise remembers that one waits. */
static bool interrupt(struct vcpu *c)
{
    c->intr_pending = 0;
    if (!vm__x86_intr_waits(c))
        return false;
    if (vm__x86_debug_holds_irq(c)) {
        x86_recheck(c);
        return false;
    }
    if (!(c->st.rflags & X86_IF) || c->st.shadow != 0) {
        c->intr_pending = 1;
        if (c->st.shadow != 0)
            x86_recheck(c); /* after the one instruction that the shadow covers */
        return false;
    }
    deliver(c, X86_EVENT_INTR, (uint8_t)vm__x86_intr_ack(c));
    return true;
}

/* The one thing of highest priority; false when nothing is left to do. */
static bool one_event(struct vcpu *c)
{
    struct x86_state *st = &c->st;

    if (st->init_pending && !st->smm) {
        vm__x86_init(c);
        return true;
    }
    if (st->activity == X86_WAIT_SIPI) {
        if (!st->sipi_pending)
            return false;
        st->sipi_pending = 0;
        vm__x86_sipi(c, (uint8_t)__atomic_load_n(&st->lapic.sipi_vector, __ATOMIC_ACQUIRE));
        return true;
    }
    st->sipi_pending = 0; /* ignored by a processor that does not wait for it */
    if (st->activity == X86_STOPPED)
        return false;
    if (st->event.kind != X86_EVENT_NONE) {
        st->activity = X86_ACTIVE;
        vm__x86_deliver(c);
        vm__x86_debug_delivered(c);
        return true;
    }
    if (st->smi_pending && !st->smm) {
        st->smi_pending = 0;
        vm__x86_smm_enter(c);
        return true;
    }
    if (st->nmi_pending && !st->nmi_blocked) {
        if (st->shadow != 0) {
            x86_recheck(c);
        } else {
            st->nmi_pending--;
            st->nmi_blocked = 1;
            deliver(c, X86_EVENT_NMI, X86_XNMI);
            return true;
        }
    }
    return interrupt(c);
}

int vm__x86_poll(struct vcpu *c, struct vm_exit *exit)
{
    uint32_t req = latch(c);

    if (req & (VM_CPU_REQ_STOP | VM_CPU_REQ_YIELD)) {
        x86_recheck(c); /* whatever else was asked for is looked at by the next run() */
        return req & VM_CPU_REQ_STOP ? VM_CPU_KICKED : VM_CPU_BUDGET;
    }
    if (vm__x86_debug_stop(c, 1u << VM_DEBUG_BREAK | 1u << VM_DEBUG_WATCH, exit))
        return VM_CPU_DEBUG;
    while (one_event(c))
        ;
    if (vm__x86_debug_stop(c, 1u << VM_DEBUG_STEP, exit))
        return VM_CPU_DEBUG;
    switch (c->st.activity) {
    case X86_ACTIVE: return X86_POLL_RUN;
    case X86_STOPPED: return VM_CPU_SHUTDOWN;
    default: return VM_CPU_HALTED;
    }
}
