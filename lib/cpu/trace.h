/* SPDX-License-Identifier: MIT */
/**
 * @file trace.h
 * What a processor writes to the log while it runs, if asked: instructions, blocks, events.
 *
 * The lines have a fixed form, for tools: see the functions. Off, each costs one test of the
 * machine's logger on a path that is not hot.
 */
#ifndef LIBVM_CPU_TRACE_H
#define LIBVM_CPU_TRACE_H

#include <stdbool.h>

#include "core/machine.h"
#include "cpu/vcpu.h"

/** Is a category (VM_LOG_ASM, VM_LOG_EXEC, VM_LOG_INT) wanted? */
static inline bool x86_tracing(const struct vcpu *c, uint32_t category)
{
    return vm__log_on(&c->cpus->m->log, VM_LOG_DEBUG, category);
}

/** "MODE ADDRESS BYTES": one decoded instruction; mode 16, 32 or 64, the rest hexadecimal. */
void vm__x86_trace_insn(struct vcpu *c, uint64_t rip, const uint8_t *bytes, unsigned len);
/** "exec ADDRESS cpl N insns N": a block is entered. */
void vm__x86_trace_block(struct vcpu *c, uint64_t rip, unsigned insns);
/** "KIND VECTOR error E payload P at CS:RIP cpl N": an event is delivered. */
void vm__x86_trace_event(struct vcpu *c);

#endif
