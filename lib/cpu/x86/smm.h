/* SPDX-License-Identifier: MIT */
/**
 * @file smm.h
 * System management mode.
 */
#ifndef LIBVM_CPU_X86_SMM_H
#define LIBVM_CPU_X86_SMM_H

#include "cpu/vcpu.h"

enum { X86_SMBASE_RESET = 0x30000 };

/** Take an SMI: save the state below SMBASE + 64 KiB and enter the handler. */
void vm__x86_smm_enter(struct vcpu *c);
/** RSM; false: the saved state is not valid, which shuts the processor down. */
bool vm__x86_smm_leave(struct vcpu *c);

#endif
