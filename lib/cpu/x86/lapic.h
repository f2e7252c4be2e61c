/* SPDX-License-Identifier: MIT */
/**
 * @file lapic.h
 * The local APIC: every processor has its own, at its own APIC_BASE.
 *
 * Registers live in x86_state.lapic. Only irr, tmr, lint_wires, sipi_vector and tsc_deadline are
 * touched by other threads (with atomic operations): an interrupt is posted wait-free with an
 * atomic OR into irr and a kick. Everything else belongs to the processor's own thread.
 *
 * Spec: [SDM-3A §10] in editions since 2019 is §11 of later ones; section numbers here are of the
 * latter.
 */
#ifndef LIBVM_CPU_X86_LAPIC_H
#define LIBVM_CPU_X86_LAPIC_H

#include "cpu/vcpu.h"

/** IA32_APIC_BASE. */
enum { X86_APIC_BASE_BSP = 1u << 8, X86_APIC_BASE_X2 = 1u << 10, X86_APIC_BASE_EN = 1u << 11 };
/** Wires in x86_lapic.lint0_level. */
enum { X86_WIRE_INTR = 1, X86_WIRE_EXTINT = 2 };
/** Ticks of the timer's input clock: one a nanosecond. */
#define X86_APIC_HZ UINT64_C(1000000000)

/** Does this processor's register page lie at @p gpa? */
static inline bool vm__x86_lapic_claims(const struct vcpu *c, uint64_t gpa)
{
    uint64_t base = c->st.msr.apic_base;
    return (base ^ gpa) >> VM_PAGE_SHIFT == 0 &&
           (base & (X86_APIC_BASE_EN | X86_APIC_BASE_X2)) == X86_APIC_BASE_EN;
}

uint32_t vm__x86_lapic_read(struct vcpu *c, uint32_t off);
void vm__x86_lapic_write(struct vcpu *c, uint32_t off, uint32_t v);
/** x2APIC registers as MSRs 0x800-0x83f; false: #GP. */
bool vm__x86_x2apic_read(struct vcpu *c, uint32_t msr, uint64_t *v);
bool vm__x86_x2apic_write(struct vcpu *c, uint32_t msr, uint64_t v);
/** IA32_APIC_BASE; false: #GP. */
bool vm__x86_lapic_set_base(struct vcpu *c, uint64_t v);
void vm__x86_lapic_set_tpr(struct vcpu *c, uint8_t tpr);
/** IA32_TSC_DEADLINE. */
void vm__x86_lapic_set_deadline(struct vcpu *c, uint64_t tsc);
uint64_t vm__x86_lapic_deadline(struct vcpu *c);

/** Power-on (or INIT, which keeps the id) state. */
void vm__x86_lapic_reset(struct vcpu *c, bool init);
void vm__x86_lapic_timer_init(struct vcpu *c);
/** Arm the timer again from x86_state: after loading, or when the TSC was moved. */
void vm__x86_lapic_rearm(struct vcpu *c);

/** Highest vector that may interrupt now, or -1. */
int vm__x86_lapic_pending(const struct vcpu *c);
/** Take it: IRR to ISR. */
void vm__x86_lapic_accept(struct vcpu *c, uint8_t vector);
/** The 8259 pair asks for this processor's attention through LINT0 or the INTR pin. */
bool vm__x86_lapic_extint(const struct vcpu *c);

/** Post a fixed interrupt. Any thread, wait-free. false: not accepted (APIC disabled). */
bool vm__x86_lapic_post(struct vcpu *c, uint8_t vector, bool level);

/* The processors' side of the hub (core/irq.h); @p cpus is struct x86_cpus. */
int vm__x86_hub_msi(void *cpus, uint64_t address, uint32_t data);
void vm__x86_hub_intr(void *cpus, int level);
void vm__x86_hub_nmi(void *cpus);
void vm__x86_hub_smi(void *cpus);
void vm__x86_hub_sleep(void *cpus);

#endif
