/* SPDX-License-Identifier: MIT */
/**
 * @file reset.h
 * RESET, INIT and SIPI.
 */
#ifndef LIBVM_CPU_X86_RESET_H
#define LIBVM_CPU_X86_RESET_H

#include "cpu/vcpu.h"

/** Power-on state. */
void vm__x86_reset(struct vcpu *c);
/** INIT: the boot processor starts over, the others wait for a start-up IPI. */
void vm__x86_init(struct vcpu *c);
/** Start-up IPI: real mode at @p vector << 12. */
void vm__x86_sipi(struct vcpu *c, uint8_t vector);

#endif
