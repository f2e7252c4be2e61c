/* SPDX-License-Identifier: MIT */
/**
 * @file far.h
 * Far control transfers: JMP, CALL, RET, IRET, SYSCALL and friends, whatever the mode.
 *
 * Called between instructions: st.rip is that of the instruction, c->cur is NULL, so that faults
 * and task switches see an exact state. On success st.rip is the target and sync has been done.
 */
#ifndef LIBVM_CPU_X86_FAR_H
#define LIBVM_CPU_X86_FAR_H

#include "cpu/vcpu.h"

/** @p size is the operand size in bytes: 2, 4 or 8. */
void vm__x86_far_jump(struct vcpu *c, uint16_t sel, uint64_t off, uint64_t next_rip);
void vm__x86_far_call(struct vcpu *c, uint16_t sel, uint64_t off, unsigned size,
                      uint64_t next_rip);
void vm__x86_far_ret(struct vcpu *c, unsigned size, unsigned release);
void vm__x86_iret(struct vcpu *c, unsigned size, uint64_t next_rip);

/** Replace the bits of RFLAGS named by @p mask and look again at what depends on them. */
void vm__x86_write_flags(struct vcpu *c, uint64_t image, uint64_t mask);
/** Bits POPF and IRET may change at the current privilege, for an operand of @p size bytes. */
uint64_t vm__x86_flags_mask(const struct vcpu *c, unsigned size);

#endif
