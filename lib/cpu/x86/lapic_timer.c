/* SPDX-License-Identifier: MIT */
/**
 * @file lapic_timer.c
 * The local APIC's timer: one-shot, periodic, TSC deadline.
 *
 * Spec: [SDM-3A §11.5.4]. The counter ticks once a nanosecond before division.
 *
 * The callback runs on the timer thread while the processor may be starting or stopping the timer.
 * What decides is c->apic_deadline: whoever fires takes it with a compare-and-swap, and whoever
 * arms the core timer looks afterwards whether it still stands.
 */
#include "core/machine.h"
#include "cpu/x86/lapic_regs.h"
#include "cpu/x86/tsc.h"

/* A guest that asks for more is given this: host time per tick is not free. */
#define MIN_PERIOD_NS UINT64_C(10000)

static unsigned divide_shift(uint32_t divide)
{
    unsigned v = (divide >> 1 & 4) | (divide & 3);
    return (v + 1) & 7;
}

static uint64_t period_ns(const struct x86_lapic *a)
{
    uint64_t p = (uint64_t)__atomic_load_n(&a->timer_initial, __ATOMIC_RELAXED)
                 << divide_shift(__atomic_load_n(&a->timer_divide, __ATOMIC_RELAXED));
    return p;
}

/* Make the core timer follow c->apic_deadline, whatever other threads do to it. */
static void follow(struct vcpu *c)
{
    uint64_t d = atomic_load(&c->apic_deadline);

    for (;;) {
        if (d != 0)
            vm__timer_arm(&c->apic_timer, d);
        else
            vm__timer_cancel(&c->apic_timer);
        uint64_t again = atomic_load(&c->apic_deadline);
        if (again == d)
            return;
        d = again;
    }
}

static void set_deadline(struct vcpu *c, uint64_t ns)
{
    atomic_store(&c->apic_deadline, ns);
    follow(c);
}

static void expire(struct vcpu *c)
{
    uint32_t lvt = __atomic_load_n(&c->st.lapic.lvt[LVT_TIMER], __ATOMIC_RELAXED);

    if (!(lvt & LVT_MASKED))
        (void)vm__x86_lapic_post(c, (uint8_t)lvt, false);
}

static void on_timer(void *opaque)
{
    struct vcpu *c = opaque;
    struct x86_lapic *a = &c->st.lapic;
    uint64_t now = vm__clock_ns(c->cpus->m), d = atomic_load(&c->apic_deadline), next = 0;
    uint32_t mode = __atomic_load_n(&a->lvt[LVT_TIMER], __ATOMIC_RELAXED) & LVT_TIMER_MODE;

    uint64_t tsc = __atomic_load_n(&a->tsc_deadline, __ATOMIC_RELAXED);
    if (d == 0 || now < d)
        return; /* stopped or moved meanwhile: the newer arming stands */
    uint64_t period = period_ns(a);
    if (mode == LVT_TIMER_PERIODIC && period != 0) {
        if (period < MIN_PERIOD_NS)
            period = MIN_PERIOD_NS;
        next = d + period;
        if (next <= now) /* late by whole periods: they are lost */
            next = now + period - (now - d) % period;
    }
    if (!atomic_compare_exchange_strong(&c->apic_deadline, &d, next))
        return;
    if (mode == LVT_TIMER_DEADLINE)
        (void)__atomic_compare_exchange_n(&a->tsc_deadline, &tsc, 0, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
    expire(c);
    if (next != 0) {
        __atomic_store_n(&a->timer_start_ns, d, __ATOMIC_RELAXED);
        follow(c);
    }
}

void vm__x86_lapic_timer_init(struct vcpu *c)
{
    vm__timer_init(&c->apic_timer, c->cpus->m, on_timer, c);
}

/* ---- one-shot and periodic ---- */

uint32_t vm__x86_lapic_current(struct vcpu *c)
{
    const struct x86_lapic *a = &c->st.lapic;
    uint32_t mode = a->lvt[LVT_TIMER] & LVT_TIMER_MODE;
    uint64_t d = atomic_load(&c->apic_deadline), now = vm__clock_ns(c->cpus->m), left;

    if (a->timer_initial == 0 || mode == LVT_TIMER_DEADLINE || d == 0)
        return 0;
    if (now < d) {
        left = d - now;
    } else { /* the timer's thread is late */
        uint64_t period = period_ns(a);
        left = mode == LVT_TIMER_PERIODIC ? period - (now - d) % period : 0;
    }
    left >>= divide_shift(a->timer_divide);
    return left < a->timer_initial ? (uint32_t)left : a->timer_initial;
}

void vm__x86_lapic_start(struct vcpu *c, uint32_t initial)
{
    struct x86_lapic *a = &c->st.lapic;

    if ((a->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE)
        return;
    __atomic_store_n(&a->timer_initial, initial, __ATOMIC_RELAXED);
    uint64_t now = vm__clock_ns(c->cpus->m);
    __atomic_store_n(&a->timer_start_ns, now, __ATOMIC_RELAXED);
    set_deadline(c, initial == 0 ? 0 : now + period_ns(a));
}

void vm__x86_lapic_divide(struct vcpu *c, uint32_t divide)
{
    struct x86_lapic *a = &c->st.lapic;
    uint32_t left = vm__x86_lapic_current(c);

    __atomic_store_n(&a->timer_divide, divide, __ATOMIC_RELAXED);
    if (left == 0)
        return;
    /* The count goes on from where it is, at the new rate. */
    uint64_t now = vm__clock_ns(c->cpus->m), done = a->timer_initial - left;
    a->timer_start_ns = now - (done << divide_shift(divide));
    set_deadline(c, now + ((uint64_t)left << divide_shift(divide)));
}

void vm__x86_lapic_timer_mode(struct vcpu *c, uint32_t old)
{
    struct x86_lapic *a = &c->st.lapic;
    bool was = (old & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE;
    bool is = (a->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE;

    if (was != is) { /* disarms the timer [SDM-3A §11.5.4.1] */
        __atomic_store_n(&a->timer_initial, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&a->tsc_deadline, 0, __ATOMIC_RELAXED);
        set_deadline(c, 0);
    }
}

/* ---- TSC deadline [SDM-3A §11.5.4.1] ---- */

static uint64_t deadline_ns(struct vcpu *c, uint64_t tsc)
{
    uint64_t off = c->st.msr.tsc_offset, base = tsc - off;

    /* The offset may be "negative": the clock's own count cannot have passed 2^63. */
    if ((int64_t)base <= 0)
        return 1;
    uint64_t ns = vm__x86_tsc_to_ns(c->cpus, base);
    return ns == 0 ? 1 : ns;
}

void vm__x86_lapic_set_deadline(struct vcpu *c, uint64_t tsc)
{
    struct x86_lapic *a = &c->st.lapic;

    if ((a->lvt[LVT_TIMER] & LVT_TIMER_MODE) != LVT_TIMER_DEADLINE)
        return;
    if (tsc != 0 && tsc <= vm__x86_tsc(c)) {
        __atomic_store_n(&a->tsc_deadline, 0, __ATOMIC_RELAXED);
        set_deadline(c, 0);
        expire(c);
        return;
    }
    __atomic_store_n(&a->tsc_deadline, tsc, __ATOMIC_RELAXED);
    set_deadline(c, tsc == 0 ? 0 : deadline_ns(c, tsc));
}

uint64_t vm__x86_lapic_deadline(struct vcpu *c)
{
    return __atomic_load_n(&c->st.lapic.tsc_deadline, __ATOMIC_RELAXED);
}

/* ---- after loading ---- */

void vm__x86_lapic_rearm(struct vcpu *c)
{
    struct x86_lapic *a = &c->st.lapic;
    uint32_t mode = a->lvt[LVT_TIMER] & LVT_TIMER_MODE;
    uint64_t d = 0, now = vm__clock_ns(c->cpus->m);

    if (mode == LVT_TIMER_DEADLINE) {
        if (a->tsc_deadline != 0)
            d = deadline_ns(c, a->tsc_deadline);
    } else if (a->timer_initial != 0) {
        uint64_t period = period_ns(a), ran = now - a->timer_start_ns;
        if (mode == LVT_TIMER_PERIODIC)
            d = now + period - ran % period;
        else if (ran < period)
            d = a->timer_start_ns + period;
    }
    set_deadline(c, d);
}
