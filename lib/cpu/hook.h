/* SPDX-License-Identifier: MIT */
/**
 * @file hook.h
 * Where a processor meets hooks (core/hook.h): each call is made only after vm__hook_any() said
 * that somebody may want it.
 */
#ifndef LIBVM_CPU_HOOK_H
#define LIBVM_CPU_HOOK_H

#include "core/hook.h"
#include "core/machine.h"
#include "cpu/vcpu.h"

static inline bool x86_hooked(const struct vcpu *c, uint32_t kinds)
{
    return vm__hook_any(&c->cpus->m->hooks, kinds);
}

/** Kinds of hooks on code at @p lin. */
static inline uint32_t x86_code_hooks(struct vcpu *c, uint64_t lin)
{
    return vm__hook_wants(&c->cpus->m->hooks, VM_HOOK_CODE, lin, lin);
}

/** The instruction at st.rip, the first of a block of @p n, is about to be executed; @p kinds of
 * hooks look at it. False: not now, or somewhere else: look at the state again. */
bool vm__x86_hook_code(struct vcpu *c, uint32_t kinds, uint32_t n);
/** c->cur has read, or is about to write, what is in @p buf. */
void vm__x86_hook_access(struct vcpu *c, uint64_t lin, unsigned size, const void *buf, bool write);
/** IN and OUT, with hooks around the device. */
uint32_t vm__x86_hook_in(struct vcpu *c, uint16_t port, unsigned size);
void vm__x86_hook_out(struct vcpu *c, uint16_t port, unsigned size, uint32_t v);
/** st.event is about to be delivered. */
void vm__x86_hook_event(struct vcpu *c, uint64_t ret);

#endif
