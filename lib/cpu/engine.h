/* SPDX-License-Identifier: MIT */
/**
 * @file engine.h
 * The engine contract: how the one architectural state runs.
 *
 * Interpreter, JIT and KVM implement it; nothing above lib/cpu/ can tell them apart. An engine is
 * chosen per machine and may be changed at any pause: `store` brings every processor's struct
 * x86_state up to date, the other engine's `load` takes it over.
 *
 * Between calls of run() the state in struct x86_state is exact (store has been done); what an
 * engine keeps outside it (translations, cached mappings, a KVM vCPU) it rebuilds after load().
 */
#ifndef LIBVM_CPU_ENGINE_H
#define LIBVM_CPU_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "core/cpu.h"

struct vcpu;
struct x86_cpus;

/** What flush() is to drop. */
enum vm_flush {
    VM_FLUSH_TLB,        /**< every cached translation of addresses, global ones too */
    VM_FLUSH_TLB_NONGLOBAL, /**< MOV to CR3 */
    VM_FLUSH_TLB_PAGE,   /**< INVLPG of @p gva */
    VM_FLUSH_MEM,        /**< the address space changed: host pointers are stale too */
    VM_FLUSH_CODE,       /**< write permission must be asked for again: a page now holds code */
    VM_FLUSH_ALL,        /**< everything derived from guest state or memory, e.g. after loading */
};

struct vm_engine {
    const char *name;
    const char *summary;
    /** Can it run on this host? 0, or a negative VM_E_* with one line in @p why. */
    int (*probe)(char *why, size_t why_size);
    /** Per machine: code caches, file descriptors. */
    int (*create)(struct x86_cpus *cpus);
    void (*destroy)(struct x86_cpus *cpus);
    /** Per processor. */
    int (*vcpu_init)(struct vcpu *c);
    void (*vcpu_fini)(struct vcpu *c);
    /** Run until the budget is used up, a request asks to leave, or an exit. [cpu thread] */
    enum vm_cpu_stop (*run)(struct vcpu *c, uint64_t max_insns, struct vm_exit *exit);
    /** x86_state has been changed from outside: take it over. */
    void (*load)(struct vcpu *c);
    /** Make x86_state exact. */
    void (*store)(struct vcpu *c);
    /** Drop cached translations. [cpu thread, or paused] */
    void (*flush)(struct vcpu *c, enum vm_flush what, uint64_t gva);
    /** Lines about how it has fared, as snprintf() writes them; NULL: nothing to say. [paused] */
    int (*info)(const struct vcpu *c, char *buf, size_t size);
};

extern const struct vm_engine vm__interp_engine;
/** Those of this build, best last resort first: "auto" takes the first that can run. */
extern const struct vm_engine *const vm__engines[];

#endif
