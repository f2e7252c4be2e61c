/* SPDX-License-Identifier: MIT */
/**
 * @file code_page.h
 * Pages that hold code an engine has decoded or translated: who may still write to them unnoticed.
 *
 * The contract with floor 1 is in core/memory.h. An engine marks the bytes it is about to read,
 * reads the page's code_version, marks again, reads the bytes, and trusts what it made of them
 * while code_version stays.
 */
#ifndef LIBVM_CPU_X86_CODE_PAGE_H
#define LIBVM_CPU_X86_CODE_PAGE_H

#include "cpu/vcpu.h"

/** Mark the sectors of [off, off + len) as code before they are read. The first mark on a page
 * takes cached write permission for it from every processor. [cpu thread] */
void vm__x86_mark_code(struct vcpu *c, struct vm_page *page, uint32_t off, uint32_t len);
/** A processor's answer to VM_CPU_REQ_CODE (VM_FLUSH_CODE): gives its write permissions back.
 * [cpu thread] */
void vm__x86_code_answer(struct vcpu *c);
/** Wait until every processor has answered for every page; see x86_serialize(). */
void vm__x86_code_wait(struct vcpu *c);
/**
 * A serializing instruction, or an event's delivery: from here on another processor's stores to code
 * that this one has seen the news of must count [SDM-3A §8.1.3]. They do, once whoever still had
 * write permission for a page when its first code was decoded has answered. [cpu thread]
 */
static inline void x86_serialize(struct vcpu *c)
{
    if (__builtin_expect(__atomic_load_n(&c->cpus->n_shoot, __ATOMIC_RELAXED) != 0, 0))
        vm__x86_code_wait(c);
}
/** The address space changed: pages that are being waited for may be about to go. */
void vm__x86_code_forget(struct x86_cpus *s);

#endif
