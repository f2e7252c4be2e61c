/* SPDX-License-Identifier: MIT */
/**
 * @file regs.h
 * Registers by the numbers and names of <libvm/cpu.h>, and the state as a field table.
 */
#ifndef LIBVM_CPU_X86_REGS_H
#define LIBVM_CPU_X86_REGS_H

#include "core/field.h"
#include "cpu/vcpu.h"

extern const struct vm_field vm__x86_fields[];

int vm__x86_reg_read(struct vm_cpu *cpu, uint32_t reg, void *buf, size_t size);
int vm__x86_reg_write(struct vm_cpu *cpu, uint32_t reg, const void *buf, size_t size);
int64_t vm__x86_reg_id(const char *name);
/** Make a loaded state safe to run, whoever wrote it. @retval VM_E_CORRUPT it cannot be */
int vm__x86_post_load(struct vm_cpu *cpu);

#endif
