/* SPDX-License-Identifier: MIT */
/**
 * @file cpu.h
 * What floor 1 knows of a processor: enough to create, run, kick, reset, inspect and save it.
 *
 * The architecture (lib/cpu/x86) fills in a `struct vm_cpu_class` once; engines (interp, jit, kvm)
 * stand behind it and are not visible here. A processor is run by one thread at a time: its own
 * (core/run.c) or the caller of vm_run().
 *
 * Threads: `request` is wait-free from any thread, including signal handlers; every other call is
 * made by the thread that runs the processor, or while the machine is paused.
 */
#ifndef LIBVM_CORE_CPU_H
#define LIBVM_CORE_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/debug.h"

struct vm_machine;
struct vm_cpu;
struct vm_exit; /* <libvm/machine.h> */
struct vm_field;

enum { VM_MAX_CPUS = 256 };

/** Why run() came back. */
enum vm_cpu_stop {
    VM_CPU_BUDGET,   /**< max_insns executed */
    VM_CPU_KICKED,   /**< a VM_CPU_REQ_STOP was pending; now cleared */
    VM_CPU_HALTED,   /**< HLT, wait-for-SIPI: sleep until has_work() */
    VM_CPU_SHUTDOWN, /**< triple fault: the machine decides (reset or stop) */
    VM_CPU_DEBUG,    /**< a debugger's breakpoint, watchpoint or step; vm_exit says which */
    VM_CPU_ERROR,    /**< a callback failed or the engine cannot go on; vm_exit says why */
};

/** Requests, a bit mask: polled by the running processor between blocks. */
enum {
    VM_CPU_REQ_STOP = 1u << 0,   /**< come back from run() with VM_CPU_KICKED */
    VM_CPU_REQ_INTR = 1u << 1,   /**< look at the interrupt sources again */
    VM_CPU_REQ_NMI = 1u << 2,    /**< non-maskable interrupt (edge) */
    VM_CPU_REQ_SMI = 1u << 3,    /**< system management interrupt (edge) */
    VM_CPU_REQ_INIT = 1u << 4,   /**< INIT (edge) */
    VM_CPU_REQ_SIPI = 1u << 5,   /**< start-up IPI; the vector is in the local APIC */
    VM_CPU_REQ_MEM = 1u << 6,    /**< the address space changed: drop every cached translation */
    VM_CPU_REQ_CODE = 1u << 7,   /**< a page got its first code: drop cached write permission */
    VM_CPU_REQ_RESET = 1u << 8,  /**< RESET#: back to the power-on state */
    VM_CPU_REQ_YIELD = 1u << 9,  /**< come back from run() with VM_CPU_BUDGET now */
    VM_CPU_REQ_SLEEP = 1u << 11, /**< power was taken away: nothing but a reset wakes it */
    VM_CPU_REQ_DROP = 1u << 10,  /**< forget everything decoded or translated so far */
};

/** Registers by number travel as in <libvm/cpu.h>. */
struct vm_cpu_class {
    const char *name;
    int (*create)(struct vm_machine *m, uint32_t index, struct vm_cpu **out);
    void (*destroy)(struct vm_cpu *cpu);
    void (*reset)(struct vm_cpu *cpu);
    enum vm_cpu_stop (*run)(struct vm_cpu *cpu, uint64_t max_insns, struct vm_exit *exit);
    bool (*has_work)(struct vm_cpu *cpu); /**< a halted processor must run again; wait-free */
    void (*request)(struct vm_cpu *cpu, uint32_t what);
    uint64_t (*insns)(
        struct vm_cpu *cpu); /**< instructions executed so far, exact at any call-out */
    int (*reg_read)(struct vm_cpu *cpu, uint32_t reg, void *buf, size_t size);
    int (*reg_write)(struct vm_cpu *cpu, uint32_t reg, const void *buf, size_t size);
    int64_t (*reg_id)(const char *name); /**< register number, or a negative VM_E_* */
    int (*translate)(struct vm_cpu *cpu, uint64_t gva, int access,
                     uint64_t *gpa); /**< no side effects */
    /** Guest-visible state for snapshots: pointer-free, described by fields. */
    void *(*state)(struct vm_cpu *cpu);
    const struct vm_field *fields;
    int (*post_load)(struct vm_cpu *cpu);
    /** Name the models (VM_LIST_CPUS) or engines (VM_LIST_ENGINES); may be NULL. */
    int (*list)(int what, int (*fn)(void *ud, const char *name, const char *summary), void *ud);
    /** Have another engine run the machine; every processor stands still. */
    int (*set_engine)(struct vm_machine *m, const char *name);
    const char *(*engine)(const struct vm_machine *m); /**< the one at work */
    bool (*has_hooks)(const struct vm_machine *m);     /**< it calls hooks (core/hook.h) */
};

/**
 * Lies in every architecture's processor struct, which finds itself from it.
 */
struct vm_cpu {
    const struct vm_cpu_class *cls;
    struct vm_machine *m;
    uint32_t index;
    void *runner; /**< core/run.c's thread record */
    struct vm_cpu_debug debug;
    _Atomic uintptr_t
        in_hook; /**< mark of the thread that is in a hook of this processor; 0: none */
};

/** The request mask plus a wake-up of a halted processor's thread. Wait-free, any thread. */
void vm__cpu_kick(struct vm_cpu *cpu, uint32_t what);

#endif
