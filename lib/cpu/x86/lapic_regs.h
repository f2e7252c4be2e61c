/* SPDX-License-Identifier: MIT */
/**
 * @file lapic_regs.h
 * Bits of local APIC registers, and calls between lapic.c, lapic_ipi.c and lapic_timer.c.
 */
#ifndef LIBVM_CPU_X86_LAPIC_REGS_H
#define LIBVM_CPU_X86_LAPIC_REGS_H

#include "cpu/x86/lapic.h"

/** Index into x86_lapic.lvt. */
enum { LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR };
enum {
    LVT_MASKED = 1u << 16,
    LVT_MODE = 7u << 8, /**< delivery mode, as in the ICR */
    LVT_MODE_NMI = 4u << 8,
    LVT_MODE_EXTINT = 7u << 8,
    LVT_LEVEL = 1u << 15,
    LVT_TIMER_MODE = 3u << 17,
    LVT_TIMER_PERIODIC = 1u << 17,
    LVT_TIMER_DEADLINE = 2u << 17,
    SVR_ENABLE = 1u << 8,
};
/** Delivery modes [SDM-3A §11.6.1]. */
enum { DELIVER_FIXED, DELIVER_LOWEST, DELIVER_SMI, DELIVER_NMI = 4, DELIVER_INIT, DELIVER_SIPI,
       DELIVER_EXTINT };
enum {
    ESR_SEND_ILLEGAL = 1u << 5,
    ESR_RECEIVE_ILLEGAL = 1u << 6,
    ESR_ILLEGAL_REGISTER = 1u << 7,
};

/** 0: disabled, 1: xAPIC, 2: x2APIC. */
static inline unsigned x86_apic_mode(const struct vcpu *c)
{
    uint64_t b = __atomic_load_n(&c->st.msr.apic_base, __ATOMIC_RELAXED);
    return !(b & X86_APIC_BASE_EN) ? 0 : b & X86_APIC_BASE_X2 ? 2 : 1;
}

/** In x2APIC mode the id is fixed; in xAPIC mode it can be written. */
static inline uint32_t x86_apic_id(const struct vcpu *c)
{
    return x86_apic_mode(c) == 2 ? c->cpu.index
                                 : __atomic_load_n(&c->st.lapic.id, __ATOMIC_RELAXED);
}

/** Logical id in x2APIC mode [SDM-3A §11.12.10.2]. */
static inline uint32_t x86_x2apic_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 15);
}

void vm__x86_lapic_error(struct vcpu *c, uint32_t bits);
/** The ICR was written. */
void vm__x86_lapic_send(struct vcpu *c, uint64_t icr);
void vm__x86_lapic_send_self(struct vcpu *c, uint8_t vector);

uint32_t vm__x86_lapic_current(struct vcpu *c);
void vm__x86_lapic_start(struct vcpu *c, uint32_t initial);
void vm__x86_lapic_divide(struct vcpu *c, uint32_t divide);
/** The LVT's timer mode changed; @p old is its former value. */
void vm__x86_lapic_timer_mode(struct vcpu *c, uint32_t old);

#endif
