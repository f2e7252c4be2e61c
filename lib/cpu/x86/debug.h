/* SPDX-License-Identifier: MIT */
/**
 * @file debug.h
 * A debugger's breakpoints, watchpoints and steps on one processor: what engines and the memory
 * slow path call. The lists and the contract are in core/debug.h.
 *
 * An engine that translates leaves code whose mode has X86_MODE_STEP or X86_MODE_WATCH to the
 * interpreter, and ends its blocks at vm__debug_break_at(); it then needs nothing else of this.
 */
#ifndef LIBVM_CPU_X86_DEBUG_H
#define LIBVM_CPU_X86_DEBUG_H

#include "cpu/vcpu.h"

/** When run() begins: take over what the debugger has changed meanwhile. */
void vm__x86_debug_enter(struct vcpu *c);
/** Make poll come back for @p kind (VM_DEBUG_*). */
void vm__x86_debug_request(struct vcpu *c, uint32_t kind);
/** Before one instruction is run alone: is there a breakpoint to stop at? Then it is requested. */
bool vm__x86_debug_break_here(struct vcpu *c);
/** After it; @p repeated: it has a repeat prefix. */
void vm__x86_debug_stepped(struct vcpu *c, bool repeated);
/** An event has just been delivered. */
void vm__x86_debug_delivered(struct vcpu *c);
/** Maskable interrupts wait for the end of a step. */
bool vm__x86_debug_holds_irq(const struct vcpu *c);
/** An access that missed the soft TLB while memory is watched. */
void vm__x86_debug_access(struct vcpu *c, uint64_t lin, unsigned size, int access);
/** Has one of @p kinds (1 << VM_DEBUG_*) been requested? Then @p exit says what. */
bool vm__x86_debug_stop(struct vcpu *c, uint32_t kinds, struct vm_exit *exit);

#endif
