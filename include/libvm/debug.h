/* SPDX-License-Identifier: MIT */
/**
 * @file debug.h
 * Debugging a guest from outside: breakpoints, watchpoints, single steps, and a server for gdb.
 *
 * None of it can be seen by the guest: nothing is written into its memory or its debug registers.
 * When something is met every processor stops, and the machine is paused: vm_run() returns
 * VM_EXIT_DEBUG; a machine on library threads posts VM_EVENT_DEBUG, then VM_EVENT_PAUSED. Going on
 * from a breakpoint executes the instruction it stands at.
 *
 * Addresses are guest-linear, in whatever address space is current when they are met. A breakpoint
 * counts where an instruction begins. Watchpoints see what instructions and event deliveries
 * access, not DMA, nor page-table walks; the machine stops after the instruction that made the
 * access.
 *
 * Threads: [owner] any thread, but not from a callback of the same machine, and while it does not
 * run (VM_E_STATE otherwise).
 */
#ifndef LIBVM_DEBUG_H
#define LIBVM_DEBUG_H

#include <libvm/cpu.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a debugger stopped for. */
enum {
    VM_DEBUG_NONE = 0,
    VM_DEBUG_BREAK = 1, /**< a breakpoint; the instruction has not been executed */
    VM_DEBUG_WATCH = 2, /**< a watchpoint; the instruction has been executed */
    VM_DEBUG_STEP = 3,  /**< a single step is done */
};

/** Accesses that a watchpoint is for, a mask. */
enum { VM_WATCH_READ = 1, VM_WATCH_WRITE = 2, VM_WATCH_ACCESS = 3 };

typedef struct vm_debug_stop {
    uint32_t size; /**< sizeof(vm_debug_stop), set by the caller */
    uint32_t kind; /**< VM_DEBUG_* */
    uint32_t cpu;
    uint32_t is_write; /**< of a watchpoint: what the access was */
    uint64_t pc;       /**< guest-linear address of the next instruction */
    uint64_t addr;     /**< of a watchpoint: what was accessed */
    uint32_t len;
    uint32_t reserved;
} vm_debug_stop;

/** Stop before the instruction at @p gva. Adding one twice is one. [owner]
 * @retval VM_E_RANGE there are too many
 * @since 0.1 */
VM_API int vm_debug_break_add(vm_machine *m, uint64_t gva);
/** [owner] @retval VM_E_NOENT there is none. @since 0.1 */
VM_API int vm_debug_break_del(vm_machine *m, uint64_t gva);
/**
 * Stop after an instruction that accesses a byte of [gva, gva + len). [owner]
 * While there is a watchpoint guest code runs several times slower.
 * @param kinds VM_WATCH_*; an instruction that reads, modifies and writes does both
 * @retval VM_E_RANGE there are too many
 * @since 0.1
 */
VM_API int vm_debug_watch_add(vm_machine *m, uint64_t gva, uint64_t len, uint32_t kinds);
/** The same arguments as when it was added. [owner] @retval VM_E_NOENT there is none. @since 0.1 */
VM_API int vm_debug_watch_del(vm_machine *m, uint64_t gva, uint64_t len, uint32_t kinds);
/** Remove every breakpoint and watchpoint; nobody steps or is held back. [owner] @since 0.1 */
VM_API int vm_debug_clear(vm_machine *m);

/**
 * When the machine runs next, @p cpu executes one instruction and the machine stops. [owner]
 *
 * One iteration of a repeated string instruction is an instruction here, and so is an instruction
 * that faults: the machine then stops at the handler's first instruction. Maskable interrupts wait,
 * unless the processor is halted: it then steps into the handler of what wakes it. The request is
 * spent when the machine stops for any reason of this page.
 *
 * @param on 0: take it back
 * @since 0.1
 */
VM_API int vm_debug_step(vm_cpu *cpu, int on);
/** While @p on, the processor stands still though the machine runs. [owner] @since 0.1 */
VM_API int vm_debug_hold(vm_cpu *cpu, int on);
/** What stopped the machine; kind VM_DEBUG_NONE if that was none of this. [any] @since 0.1 */
VM_API int vm_debug_why(vm_machine *m, vm_debug_stop *out);

/**
 * A session of gdb's remote serial protocol, over whatever carries its bytes. One at a time a
 * machine.
 *
 *     target remote localhost:1234        in gdb, with a server of the embedder's in between
 *
 * The first packet pauses a machine that runs; gdb's "continue" runs it on library threads
 * (vm_machine_start()), also one that was driven by vm_run(). Each processor is a thread. The
 * registers are those of amd64 in every mode, unless the processor has no long mode or @ref
 * vm_gdb_ops.arch says otherwise; the program counter is always the linear address.
 */
typedef struct vm_gdb vm_gdb;

/** Layouts of registers that gdb can be told of. */
enum { VM_GDB_AUTO = 0, VM_GDB_AMD64 = 1, VM_GDB_I386 = 2, VM_GDB_I8086 = 3 };
/** How a session ends. */
enum {
    VM_GDB_DETACHED = 1, /**< the machine runs on */
    VM_GDB_KILLED = 2,   /**< gdb's user wants the machine gone; it is as it was */
};

typedef struct vm_gdb_ops {
    uint32_t size;
    uint32_t arch; /**< VM_GDB_* */
    /** Bytes for gdb; take all of them. On the thread that feeds, or where events are delivered;
     *  must not call the session. */
    void (*out)(void *ud, const void *data, size_t len);
    /** gdb's "monitor LINE": answer with vm_gdb_print(). A negative status is shown as an error.
     *  May be NULL. */
    int (*command)(void *ud, vm_gdb *g, const char *line);
    /** gdb has left, VM_GDB_*; what it set is gone. Further bytes are refused with VM_E_STATE. Note
     *  it and free the session later. May be NULL. */
    void (*closed)(void *ud, int how);
} vm_gdb_ops;

/** Begin a session. @p ops is copied. [owner] NULL on error. @retval VM_E_BUSY there is one
 * already.
 * @since 0.1 */
VM_API vm_gdb *vm_gdb_new(vm_machine *m, const vm_gdb_ops *ops, void *ud);
/** Bytes from gdb. [owner] @retval VM_E_STATE it has left. @since 0.1 */
VM_API int vm_gdb_feed(vm_gdb *g, const void *data, size_t len);
/** Text for gdb's user; only inside vm_gdb_ops.command. @since 0.1 */
VM_API int vm_gdb_print(vm_gdb *g, const char *text);
/** End a session, however far it got: its break- and watchpoints go, the machine stays as it is.
 * [owner] NULL is fine. @since 0.1 */
VM_API void vm_gdb_free(vm_gdb *g);

#ifdef __cplusplus
}
#endif
#endif
