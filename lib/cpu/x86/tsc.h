/* SPDX-License-Identifier: MIT */
/**
 * @file tsc.h
 * The time-stamp counter: the machine's clock at cpus->tsc_hz, plus the processor's offset.
 *
 * Every processor derives it from the one clock, so that counters agree across processors, stand
 * while the machine is paused, and are the same again after loading.
 */
#ifndef LIBVM_CPU_X86_TSC_H
#define LIBVM_CPU_X86_TSC_H

#include "core/clock.h"
#include "cpu/vcpu.h"

/** TSC of the machine's clock at @p ns. */
static inline uint64_t vm__x86_tsc_at(const struct x86_cpus *s, uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * s->tsc_mul >> 32);
}
/** The clock when that reaches @p tsc, rounded up. */
static inline uint64_t vm__x86_tsc_to_ns(const struct x86_cpus *s, uint64_t tsc)
{
    unsigned __int128 n = ((unsigned __int128)tsc << 32) + s->tsc_mul - 1;
    unsigned __int128 q = n / s->tsc_mul;
    return q > UINT64_MAX / 2 ? UINT64_MAX / 2 : (uint64_t)q;
}
/** What RDTSC reads now. */
static inline uint64_t vm__x86_tsc(struct vcpu *c)
{
    return vm__x86_tsc_at(c->cpus, vm__clock_ns(c->cpus->m)) + c->st.msr.tsc_offset;
}

#endif
