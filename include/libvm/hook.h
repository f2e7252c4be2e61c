/* SPDX-License-Identifier: MIT */
/**
 * @file hook.h
 * Hooks: functions of the embedder that guest code runs into.
 *
 * A hook is for kinds of events and a range. It may be added and removed at any time, by any
 * thread, also by a hook; processors that run take notice within microseconds, the calling
 * processor before its next block. Only what is hooked costs: instructions and blocks in a hooked
 * range are interpreted, one page with a memory hook is accessed the slow way, all other code runs
 * as it did.
 *
 * A hook is called on the processor's thread, without the machine's lock, several processors at
 * once. It may call functions marked [any], and those marked [cpu] for the processor it is given:
 * registers are exact when VM_HOOK_INSN, VM_HOOK_BLOCK, VM_HOOK_INTR and port hooks are called, RIP
 * being that of the instruction. Under the JIT arithmetic flags that the guest does not look at any
 * more may be stale in the other kinds (key "jit.exact" keeps them). Registers may be written; a
 * RIP that VM_HOOK_INSN or VM_HOOK_BLOCK has changed is where the processor goes on.
 *
 * KVM runs guest code where nobody can look on: with that engine hooks are not to be had.
 */
#ifndef LIBVM_HOOK_H
#define LIBVM_HOOK_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Kinds of events, a mask. */
enum {
    /** An instruction is about to be executed; range: guest-linear addresses of instructions.
     * Repeated string instructions come again when they go on after an interrupt. */
    VM_HOOK_INSN = 1 << 0,
    /** A run of instructions is about to be executed one after the other: begins at targets of
     * jumps, behind jumps, at page borders, where an interrupt came back. Range: its address. */
    VM_HOOK_BLOCK = 1 << 1,
    /** Memory was read, or is about to be written; range: guest-linear addresses. Sees what
     * instructions and event deliveries access, not DMA, nor page-table walks. */
    VM_HOOK_MEM_READ = 1 << 2,
    VM_HOOK_MEM_WRITE = 1 << 3,
    /** IN or OUT is about to happen; range: ports. VM_HOOK_HANDLED keeps it from the device; the
     * value of an IN is then the event's. */
    VM_HOOK_PORT_READ = 1 << 4,
    VM_HOOK_PORT_WRITE = 1 << 5,
    /** IN has read a value, which may be changed. */
    VM_HOOK_PORT_VALUE = 1 << 6,
    /** An interrupt or exception is about to be delivered; range: vectors. */
    VM_HOOK_INTR = 1 << 7,
};

/** What an interrupt is: vm_hook_event.aux. */
enum {
    VM_HOOK_IS_EXCEPTION = 1,
    VM_HOOK_IS_SOFTWARE = 2, /**< INT n, INT3, INTO, INT1 */
    VM_HOOK_IS_INTERRUPT = 3,
    VM_HOOK_IS_NMI = 4,
};

typedef struct vm_hook_event {
    uint32_t size;  /**< sizeof(vm_hook_event) */
    uint32_t kind;  /**< VM_HOOK_*, one */
    uint32_t cpu;   /**< the processor's index */
    uint32_t width; /**< bytes accessed; of an instruction 0 */
    uint64_t pc; /**< guest-linear address of the instruction; with VM_HOOK_INTR where it returns */
    uint64_t addr; /**< guest-linear address, port or vector */
    uint64_t
        value;    /**< read, or to be written: the first 8 bytes; of an interrupt its error code */
    uint64_t aux; /**< of an interrupt VM_HOOK_IS_*; of a block its instructions; else 0 */
} vm_hook_event;

/** Answers of a hook. A negative one pauses the machine with that error: vm_run() returns it. */
enum {
    VM_HOOK_GO = 0,
    VM_HOOK_HANDLED = 1, /**< of ports: leave the device out; else as VM_HOOK_GO */
    /** Pause the machine: before the instruction or block, else soon. When it goes on, the
     * instruction is executed without calling the hooks again. */
    VM_HOOK_STOP = 2,
};

typedef int (*vm_hook_fn)(void *ud, vm_cpu *cpu, vm_hook_event *event);

/**
 * Call @p fn for events of @p kinds whose address lies in [first, last]. [any]
 * Several hooks for one event are called in the order they were added; the first that answers
 * anything but VM_HOOK_GO is the last called.
 * @param free_ud called once with @p ud when the hook is gone and nobody is inside it; may be NULL
 * @return its number, from 1 on, never used again in this machine; or a negative status
 * @retval VM_E_NOTSUP the engine at work knows no hooks
 * @since 0.1
 */
VM_API int64_t vm_hook_add(vm_machine *m, uint32_t kinds, uint64_t first, uint64_t last,
                           vm_hook_fn fn, void *ud, vm_free_fn free_ud);
/**
 * Remove one. [any], also inside it. Calls that have begun on other processors end as they will;
 * none begins after this. @retval VM_E_NOENT there is none @since 0.1
 */
VM_API int vm_hook_del(vm_machine *m, int64_t id);

#ifdef __cplusplus
}
#endif

#endif
