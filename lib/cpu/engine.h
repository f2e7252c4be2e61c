/* SPDX-License-Identifier: MIT */
/**
 * @file engine.h
 * The engine contract: how the one architectural state runs.
 *
 * Interpreter, JIT and KVM implement it; nothing above lib/cpu/ can tell them apart. A machine is
 * built for a list of engines (key "engine") and starts on the first that can run; it may change to
 * another of them whenever all its processors stand still (engine.c): `store` brings every
 * processor's struct x86_state up to date, the other engine's `create`, `vcpu_init` and `load` take
 * it over, and the old one's `vcpu_fini` and `destroy` let go of what it kept. For a moment both
 * exist, so nothing of an engine may lie anywhere but behind x86_cpus.engine_data,
 * vcpu.engine_data and vcpu.cache.
 *
 * How another engine joins: a file with a `static const`-like descriptor, and a line in engines*.c
 * before those it is preferred to. CPUID is settled when the machine is built, with what every
 * engine of its list can run: `features` takes away what this one cannot. It never changes on a
 * switch, and neither does the TSC's rate (x86_cpus.tsc_hz), so `load` has to set both up with
 * whatever executes. run() may leave the host's side of a processor in any state as long as struct
 * x86_state is exact when it comes back; `load` is called, for every processor, before the next
 * run(), after reset, after a snapshot was loaded, and after registers were written.
 *
 * Between calls of run() the state in struct x86_state is exact (store has been done); what an
 * engine keeps outside it (translations, cached mappings, a KVM vCPU) it rebuilds after load().
 */
#ifndef LIBVM_CPU_ENGINE_H
#define LIBVM_CPU_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cpu.h"

struct vcpu;
struct vm_machine;
struct x86_cpus;

/** What flush() is to drop. */
enum vm_flush {
    VM_FLUSH_TLB,           /**< every cached translation of addresses, global ones too */
    VM_FLUSH_TLB_NONGLOBAL, /**< MOV to CR3 */
    VM_FLUSH_TLB_PAGE,      /**< INVLPG of @p gva */
    VM_FLUSH_MEM,           /**< the address space changed: host pointers are stale too */
    VM_FLUSH_CODE,          /**< write permission must be asked for again: a page now holds code */
    VM_FLUSH_ALL, /**< everything derived from guest state or memory, e.g. after loading */
};

struct vm_engine {
    const char *name;
    const char *summary;
    /** Can it run machine @p m on this host? 0, or a negative VM_E_* with one line in @p why.
     * Only the configuration of @p m is there yet. */
    int (*probe)(const struct vm_machine *m, char *why, size_t why_size);
    /** Is "auto" to pass it over, though it could run, and why? NULL: no. */
    bool (*on_request)(const struct vm_machine *m, char *why, size_t why_size);
    /** Take out of @p have (bits by enum x86_feature) what it cannot execute on this host for machine
     * @p m; NULL: nothing. */
    void (*features)(const struct vm_machine *m, uint64_t *have);
    bool hooks; /**< it calls hooks (cpu/hook.h); else a machine with hooks cannot change to it */
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
/** Those of this build: "auto" is this list. NULL-ended. */
extern const struct vm_engine *const vm__engines[];

/* engine.c */
/** Settle the list by the configuration: cpus->engines, and cpus->engine, its first. */
int vm__x86_choose_engines(struct x86_cpus *cpus);
/** Take out of @p have what some engine of the list cannot execute. */
void vm__x86_limit_to_engines(const struct x86_cpus *cpus, uint64_t *have);
/** Change to another engine of the list. On failure the machine keeps the one it has. [paused] */
int vm__x86_set_engine(struct vm_machine *m, const char *name);
const char *vm__x86_engine(const struct vm_machine *m);
bool vm__x86_has_hooks(const struct vm_machine *m);

#endif
