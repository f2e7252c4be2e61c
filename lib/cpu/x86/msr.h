/* SPDX-License-Identifier: MIT */
/**
 * @file msr.h
 * Model-specific registers by number.
 */
#ifndef LIBVM_CPU_X86_MSR_H
#define LIBVM_CPU_X86_MSR_H

#include "cpu/vcpu.h"

/** false: there is no such MSR, or the value is not allowed: #GP(0). */
bool vm__x86_rdmsr(struct vcpu *c, uint32_t msr, uint64_t *v);
bool vm__x86_wrmsr(struct vcpu *c, uint32_t msr, uint64_t v);
/** Values after power-on. INIT keeps most of them [SDM-3A table 9-1]. */
void vm__x86_msr_reset(struct vcpu *c);

#endif
