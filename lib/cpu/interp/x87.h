/* SPDX-License-Identifier: MIT */
/**
 * @file x87.h
 * The guest's x87 registers in the host's x87.
 *
 * From the first x87 instruction on until x87_leave(), the guest's registers, control, status and
 * tag words live in the host's x87 unit (c->x87_live), where compiled code leaves them alone: the
 * library uses no x87 or MMX itself. Everything that looks at st.x87, fcw, fsw or ftw, and every
 * call out of the CPU code, leaves first.
 */
#ifndef LIBVM_CPU_INTERP_X87_H
#define LIBVM_CPU_INTERP_X87_H

#include "cpu/interp/interp.h"

void vm__x87_enter_slow(struct vcpu *c);
void vm__x87_leave_slow(struct vcpu *c);

static inline void x87_enter(struct vcpu *c)
{
    if (x86_unlikely(!c->x87_live))
        vm__x87_enter_slow(c);
}
/** Bring fcw, fsw, ftw and x87[] of the state up to date and give the unit back to the host. */
static inline void x87_leave(struct vcpu *c)
{
    if (x86_unlikely(c->x87_live))
        vm__x87_leave_slow(c);
}

/** A waiting instruction with an unmasked exception pending: #MF [SDM-1 §8.7]. State in memory
 * or live. */
void vm__x87_check_pending(struct vcpu *c, const struct x86_insn *i);

/** MMX: TOP = 0, every tag valid [SDM-1 §9.5.1]; state in memory. */
static inline void x87_mmx_state(struct vcpu *c)
{
    c->st.fsw &= (uint16_t)~0x3800;
    c->st.ftw = 0xff;
}

#endif
