/* SPDX-License-Identifier: MIT */
/**
 * @file exception.h
 * Raising and delivering events.
 *
 * A fault fills st.event and unwinds to c->jmp; the run loop then delivers it with
 * vm__x86_deliver(). A fault while an event is being delivered combines with it into a double or
 * triple fault [SDM-3A §6.15].
 */
#ifndef LIBVM_CPU_X86_EXCEPTION_H
#define LIBVM_CPU_X86_EXCEPTION_H

#include "cpu/vcpu.h"
#include "cpu/x86/insn.h"

/** Set st.rip to the instruction (exact, from its block), settle the instruction count and raise.
 * @p i NULL: st.rip is exact already. @p error is ignored for vectors without an error code. */
/** Leave instruction @p i before it did anything, look at events, and come back to it. */
_Noreturn void vm__x86_restart(struct vcpu *c, const struct x86_insn *i);
_Noreturn void vm__x86_fault(struct vcpu *c, const struct x86_insn *i, unsigned vector,
                             uint32_t error);
/** #PF with CR2. */
_Noreturn void vm__x86_page_fault(struct vcpu *c, const struct x86_insn *i, uint64_t lin,
                                  uint32_t error);
/** Raise with everything given; event.kind set by the caller. st.rip exact. */
_Noreturn void vm__x86_raise(struct vcpu *c, const struct x86_event *e);

#define x86_ud(c, i)      vm__x86_fault(c, i, X86_XUD, 0)
#define x86_gp(c, i, err) vm__x86_fault(c, i, X86_XGP, err)
#define x86_ss(c, i, err) vm__x86_fault(c, i, X86_XSS, err)
#define x86_np(c, i, err) vm__x86_fault(c, i, X86_XNP, err)
#define x86_nm(c, i)      vm__x86_fault(c, i, X86_XNM, 0)

/** Pend the #DB of a task switch to a TSS with its T bit set [SDM-3B §17.3.1.5]. */
void vm__x86_task_trap(struct vcpu *c);
/** Deliver st.event through the IVT or IDT. May fault (nested) or shut down. */
void vm__x86_deliver(struct vcpu *c);

/* debug.c: MODE_STEP. begin: an instruction breakpoint raises #DB; end: single-step and data
 * breakpoint traps [SDM-3B §17.2, §17.3]. */
void vm__x86_step_begin(struct vcpu *c);
void vm__x86_step_end(struct vcpu *c);

/** RIP of an instruction of the running block. */
uint64_t vm__x86_rip(const struct vcpu *c, const struct x86_insn *i);
/** Make st.rip that of @p i (or of the instruction after it), and give back the budget of the
 * instructions of the block that did not run. For handlers that leave a block early. */
void vm__x86_leave_at(struct vcpu *c, const struct x86_insn *i);
/** leave_at() for a handler that goes on to finish @p i outside the block, or to fault in it: the
 * instruction counts, so that a guest that faults for ever still uses up its budget. */
void vm__x86_stop_at(struct vcpu *c, const struct x86_insn *i);
void vm__x86_leave_after(struct vcpu *c, const struct x86_insn *i);

#endif
