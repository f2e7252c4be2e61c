/* SPDX-License-Identifier: MIT */
/**
 * @file control.h
 * Control, debug and extended control registers: the checks and consequences of writing them.
 *
 * Each write raises #GP(0) at c->cur when the value is not allowed, and otherwise takes effect
 * completely, caches and mode included.
 */
#ifndef LIBVM_CPU_X86_CONTROL_H
#define LIBVM_CPU_X86_CONTROL_H

#include "cpu/vcpu.h"

void vm__x86_write_cr0(struct vcpu *c, uint64_t v);
void vm__x86_write_cr3(struct vcpu *c, uint64_t v);
void vm__x86_write_cr4(struct vcpu *c, uint64_t v);
void vm__x86_write_cr8(struct vcpu *c, uint64_t v);
uint64_t vm__x86_read_cr8(struct vcpu *c);
void vm__x86_write_efer(struct vcpu *c, uint64_t v);
void vm__x86_write_xcr0(struct vcpu *c, uint64_t v);
void vm__x86_write_dr(struct vcpu *c, unsigned n, uint64_t v);
/** Bits of CR4, EFER and XCR0 that the CPU model has; loading a snapshot checks against them. */
uint64_t vm__x86_cr4_mask(const struct vcpu *c);
uint64_t vm__x86_efer_mask(const struct vcpu *c);
uint64_t vm__x86_xcr0_mask(const struct vcpu *c);

#endif
