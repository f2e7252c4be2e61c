/* SPDX-License-Identifier: MIT */
/**
 * @file v86.h
 * Virtual-8086 mode: what CR4.VME adds.
 *
 * Spec: [SDM-3B §20.2, §20.3].
 */
#ifndef LIBVM_CPU_X86_V86_H
#define LIBVM_CPU_X86_V86_H

#include "cpu/vcpu.h"

static inline unsigned x86_iopl(const struct vcpu *c)
{
    return (c->st.rflags & X86_IOPL) >> X86_IOPL_SHIFT;
}

/** Virtual-8086 mode with VME and IOPL below 3: VIF stands for IF. */
static inline bool x86_vme_virtual(const struct vcpu *c)
{
    return (c->st.cr4 & X86_CR4_VME) && x86_iopl(c) < 3;
}

/** FLAGS as a 16-bit PUSHF or INT n shows them then: IF is VIF, IOPL is 3. */
static inline uint64_t x86_vme_flags(uint64_t flags)
{
    flags = (flags & ~(uint64_t)X86_IF) | X86_IOPL;
    return flags & X86_VIF ? flags | X86_IF : flags;
}

/** INT n goes through the task's own interrupt table: bit of the redirection bitmap is clear. */
bool vm__x86_v86_redirected(struct vcpu *c, uint8_t vector);

/** Deliver through a real-mode style table at linear @p ivt: pushes, CS:IP. Flags are the caller's. */
void vm__x86_deliver_ivt(struct vcpu *c, uint8_t vector, uint64_t ret, uint64_t flags,
                         uint64_t ivt);
/** INT n in virtual-8086 mode; st.rip is that of the instruction. */
void vm__x86_v86_int(struct vcpu *c, uint8_t vector, uint64_t next_rip);
/** INT n, INT3, INTO, INT1: deliver now; st.rip is that of the instruction. */
void vm__x86_soft_int(struct vcpu *c, enum x86_event_kind kind, uint8_t vector, uint64_t next_rip);

#endif
