/* SPDX-License-Identifier: MIT */
/**
 * @file machine.h
 * A machine's life: build, run, pause, reset, stop, destroy.
 *
 * A machine runs in one of two ways, and not in both at once: on threads of the library after
 * vm_machine_start(), or inside vm_run() on the caller's thread.
 *
 * Threads. Each function says who may call it: [any] any thread at any time, also from callbacks;
 * [owner] any thread, but not from a callback of the same machine; [cpu] from that processor's
 * callback, or while the machine does not run.
 * Callbacks run on library threads (or inside vm_run()) and hold the machine back while they do.
 */
#ifndef LIBVM_MACHINE_H
#define LIBVM_MACHINE_H

#include <libvm/config.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_machine vm_machine;
typedef struct vm_cpu vm_cpu;

/** States, single bits so that vm_machine_wait() can take a mask. */
enum {
    VM_ST_BUILT = 1 << 0,
    VM_ST_RUNNING = 1 << 1,
    VM_ST_PAUSED = 1 << 2,
    VM_ST_SHUTDOWN = 1 << 3, /**< the guest powered off; only save, inspect, reset or destroy */
    VM_ST_CRASHED = 1 << 4,  /**< it cannot go on; the event or vm_exit says why */
};

/** Kinds of reset. */
enum { VM_RESET_COLD = 0, VM_RESET_WARM = 1 };

/** Build a machine: opens files, maps memory; nothing runs. [any] NULL on error. @since 0.1 */
VM_API vm_machine *vm_machine_build(const vm_config *cfg);
/** Stop, join every thread, close, free. [owner] NULL is fine. @since 0.1 */
VM_API void vm_machine_destroy(vm_machine *m);

/** Run on library threads; returns at once. [any] @since 0.1 */
VM_API int vm_machine_start(vm_machine *m);
/** Stop running; when it returns no processor moves and time stands. [owner] @since 0.1 */
VM_API int vm_machine_pause(vm_machine *m);
/** Go on after a pause. [any] @since 0.1 */
VM_API int vm_machine_resume(vm_machine *m);
/** Ask for a pause and return at once; vm_run() comes back with VM_EXIT_STOPPED. [any] Wait-free.
 * @since 0.1 */
VM_API int vm_machine_stop(vm_machine *m);
/** Press the reset button. [any] @since 0.1 */
VM_API int vm_machine_reset(vm_machine *m, int kind);
/** Press the power button: the guest is asked to power off. [any] @since 0.1 */
VM_API int vm_machine_power_button(vm_machine *m);
/**
 * Have another engine run the machine from now on: one of those that key "engine" named when it was
 * built ("jit,interp"; "auto" names all that suit this host). The guest notices nothing: CPUID was
 * settled then, as what all of them can run. Running processors are stopped for a moment.
 * [owner] Not while vm_run() is at work on another thread.
 * @retval VM_E_NOENT  no engine of this name
 * @retval VM_E_NOTSUP the machine was not built for it
 * @retval VM_E_STATE  called from a callback of the running machine
 * On every error the machine keeps the engine it has. @since 0.1
 */
VM_API int vm_machine_set_engine(vm_machine *m, const char *name);
/** Name of the engine at work, or NULL. The library owns the string. [any] @since 0.1 */
VM_API const char *vm_machine_engine(const vm_machine *m);
/** [any] VM_ST_*. @since 0.1 */
VM_API int vm_machine_state(const vm_machine *m);
/**
 * Wait until the state is one of @p mask.
 * @param timeout_ns negative: for ever
 * @param state      receives the state; may be NULL
 * @retval VM_E_TIMEOUT it was not; [owner]
 * @since 0.1
 */
VM_API int vm_machine_wait(vm_machine *m, uint32_t mask, int64_t timeout_ns, int *state);
/** [any] The machine's clock, in nanoseconds since it was first started. @since 0.1 */
VM_API uint64_t vm_clock_ns(vm_machine *m);

/** Kinds of events, bits for masks. */
enum {
    VM_EVENT_STARTED = 1 << 0,
    VM_EVENT_PAUSED = 1 << 1,
    VM_EVENT_RESET = 1 << 2,    /**< a: VM_RESET_*, b: 1 if the guest asked */
    VM_EVENT_SHUTDOWN = 1 << 3, /**< a: 1 if the guest asked, b: exit code of a debug-exit device */
    VM_EVENT_CRASHED = 1 << 4,  /**< text says why */
    VM_EVENT_GUEST = 1 << 5,    /**< a device has news; text names it */
    VM_EVENT_DEBUG = 1 << 6,    /**< a breakpoint or the like (text), met by processor a at linear
                                     address b; VM_EVENT_PAUSED follows */
    VM_EVENT_DISK = 1 << 8, /**< a request of a drive (text: its id and the reason) failed; a: 1 if
                                 it was a write; b: what follows: 0 the guest is told, 1 it is not,
                                 2 the machine pauses and tries again when it goes on */
    VM_EVENT_UNPLUGGED = 1 << 9, /**< a device (text: its id) is gone: vm_dev_del() */
};

typedef struct vm_event {
    uint32_t size;
    uint32_t kind; /**< one VM_EVENT_* */
    uint64_t t_ns; /**< machine's clock */
    uint64_t a, b;
    const char *text; /**< "" if there is none; valid during the callback */
} vm_event;

/**
 * Hear of events. One listener a machine; called without any lock held, on a library thread,
 * inside vm_run(), or inside vm_machine_dispatch() once vm_machine_fd() was asked for. [owner]
 * @since 0.1
 */
VM_API int vm_machine_on_event(vm_machine *m, uint32_t mask,
                               void (*fn)(void *ud, const vm_event *event), void *ud,
                               vm_free_fn free_ud);
/** A descriptor that is readable while vm_machine_dispatch() has work; the machine owns it. [any]
 * @since 0.1 */
VM_API int vm_machine_fd(vm_machine *m);
/** Run pending event callbacks here. [owner] @return how many ran. @since 0.1 */
VM_API int vm_machine_dispatch(vm_machine *m, uint32_t max_events);

/** Why vm_run() came back. */
enum {
    VM_EXIT_NONE = 0,
    VM_EXIT_BUDGET = 1,   /**< max_insns were executed */
    VM_EXIT_TIMEOUT = 2,  /**< timeout_ns of host time passed */
    VM_EXIT_STOPPED = 3,  /**< vm_machine_stop() */
    VM_EXIT_HALTED = 4,   /**< every processor is halted and nothing is armed that could wake one */
    VM_EXIT_SHUTDOWN = 5, /**< powered off, or reset while reset means stop; code: debug-exit's */
    VM_EXIT_DEBUG = 6,    /**< breakpoint, watchpoint or step; code: VM_DEBUG_*, data: linear PC */
    VM_EXIT_ERROR = 7,    /**< code: VM_E_*; vm_last_error() has the sentence */
    VM_EXIT_KICKED = 8,   /**< vm_kick() */
};

typedef struct vm_exit {
    uint32_t size; /**< sizeof(vm_exit), set by the caller */
    uint32_t reason;
    uint32_t cpu;
    int32_t code;
    uint64_t addr; /**< guest address concerned */
    uint64_t data;
    uint64_t icount; /**< instructions executed since the machine was built */
    uint32_t len;
    uint32_t is_write;
    char text[128]; /**< for VM_EXIT_ERROR: what went wrong; else empty */
} vm_exit;

/**
 * Run every processor, timer and backend in turn on the caller's thread.
 *
 * @param max_insns  0: no limit
 * @param timeout_ns negative: no limit
 * @param out        says why it came back
 * @retval VM_OK     whatever out->reason says, short of VM_EXIT_ERROR
 * @retval VM_E_STATE it runs on library threads, or is shut down. [owner]
 * @since 0.1
 */
VM_API int vm_run(vm_machine *m, uint64_t max_insns, int64_t timeout_ns, vm_exit *out);
/** Make vm_run() come back soon. [any] Wait-free, async-signal-safe. @since 0.1 */
VM_API int vm_kick(vm_machine *m);

#ifdef __cplusplus
}
#endif
#endif
