/* SPDX-License-Identifier: MIT */
/**
 * @file run.h
 * Running a machine: who executes, who waits, and how all come to a halt. For lib/core and lib/api.
 *
 * A running machine is executed by workers: one thread per processor plus one for descriptors and
 * timers (realtime), or one thread that takes the processors in turn (icount, and vm_run() on the
 * caller's thread). Whatever needs everything to stand still (pause, reset, power-off) is a bit in
 * `asked`; workers that see a bit park, and the last one to park carries it out ("settles").
 *
 * Timers are fired by the I/O thread while every processor sleeps, else by one that runs, between
 * two stretches of guest code. On a starved host this is what keeps ticks from being lost: time
 * stands still at a deadline (core/clock.c), and ticks that are late come one by one with guest
 * code in between that takes the interrupt, not in a burst while the processor's thread waits for
 * its turn.
 */
#ifndef LIBVM_CORE_RUN_H
#define LIBVM_CORE_RUN_H

#include "core/machine.h"

/** What is asked for. */
enum {
    VM_ASK_PAUSE = 1 << 0,
    VM_ASK_RESET = 1 << 1,
    VM_ASK_SHUTDOWN = 1 << 2,
    VM_ASK_CRASH = 1 << 3,
    VM_ASK_ERROR = 1 << 4, /**< pause, with an error to report */
    VM_ASK_DEBUG = 1 << 5, /**< pause, with a debug exit to report */
    VM_ASK_KICK = 1 << 6,  /**< vm_run() comes back; sticks until it does */
    VM_ASK_QUIT = 1 << 7,  /**< threads end */
    VM_ASK_HOLD = 1 << 8,  /**< stand still for someone who looks; see vm__run_hold() */
    VM_ASK_SWEEP = 1 << 9, /**< free devices that were unplugged */
};

/** Beside every processor; vm_cpu.runner. */
struct vm_runner {
    struct vm_machine *m;
    struct vm_cpu *cpu;
    _Atomic uint64_t epoch; /**< of the address space when run() was entered; UINT64_MAX: outside */
    _Atomic uint32_t wakes; /**< kicks so far: the futex word */
    _Atomic uint32_t sleeping; /**< SLEEP_* */
    bool halted;               /**< run() said so; look at has_work() before running again */
};

/** Instructions a processor runs before the next one's turn, where one thread runs all. */
enum { VM_SLICE = 50000 };

enum { VM_SLEEP_NO = 0, VM_SLEEP_FUTEX = 1, VM_SLEEP_LOOP = 2 };

/** One thread and the processors it runs. */
struct vm_worker {
    struct vm_machine *m;
    pthread_t thread;
    struct vm_runner *runner; /**< the processor of its own; NULL: all in turn */
};

struct vm_run {
    _Atomic uint32_t asked; /**< VM_ASK_* */
    _Atomic int state;      /**< VM_ST_*; written under both locks */
    _Atomic int reset_kind;
    _Atomic uint32_t shutdown_code;
    pthread_mutex_t lock;
    pthread_cond_t changed; /**< anything below, or the state */
    bool go;                /**< workers may run */
    bool settling;
    uint32_t holders;   /**< threads in vm__run_hold() … vm__run_release() */
    bool held;          /**< for them every worker is parked; the state stays what it was */
    uint32_t n_workers; /**< threads */
    uint32_t parked;
    struct vm_worker *workers;
    bool has_io_thread;
    pthread_t io_thread;
    bool io_quit;
    _Atomic uint32_t server; /**< index + 1 of the processor that fires timers; 0: the I/O thread */
    bool driving;            /**< vm_run() is at work */
    vm_exit last;            /**< reported by the next vm_run(), or by an event */
    struct vm_runner *runners; /**< by processor */
    _Atomic bool by_guest;     /**< the pending reset or power-off came from the guest */
    /* When one thread runs all; saved, so that a run does not depend on where it was cut. */
    uint32_t turn;       /**< processor whose turn it is */
    uint32_t slice_left; /**< instructions of its turn; 0: the next one's turn begins */
};

int vm__run_init(struct vm_machine *m);
/** Join every thread. Not on one of them. */
void vm__run_stop_threads(struct vm_machine *m);
void vm__run_fini(struct vm_machine *m);
/** Give processors their records; after they are made. */
int vm__run_add_cpus(struct vm_machine *m);

int vm__run_state(const struct vm_machine *m);
int vm__run_start(struct vm_machine *m);
int vm__run_pause(struct vm_machine *m);
int vm__run_stop(struct vm_machine *m);
int vm__run_wait(struct vm_machine *m, uint32_t mask, int64_t timeout_ns, int *state);
int vm__run_reset(struct vm_machine *m, int kind);
/**
 * Have every processor stand still with its state exact, and time with them, without a pause that
 * anybody hears of. Nests, from several threads. Whoever holds the machine lock, or is one of its
 * threads, gets VM_E_STATE unless it stands still anyway; so does everybody while vm_run() is at
 * work on another thread.
 */
int vm__run_hold(struct vm_machine *m);
/** The same, and take the machine lock. Somebody may start a paused machine in between: then once
 * more. */
int vm__run_hold_locked(struct vm_machine *m);
/** Let them go on. After every vm__run_hold() that succeeded. */
void vm__run_release(struct vm_machine *m);
/** Change engines; as vm__run_hold() about who may. */
int vm__run_set_engine(struct vm_machine *m, const char *name);
int vm__run_here(struct vm_machine *m, uint64_t max_insns, int64_t timeout_ns, vm_exit *out);
void vm__run_kick(struct vm_machine *m);
/** Pause with an error that vm_run() returns: a callback of the embedder's answered one. */
void vm__request_error(struct vm_machine *m, int status, const char *text);

/* core/run_cpu.c: the loops of the workers */
/** Run one processor until something is asked. */
void vm__run_one(struct vm_machine *m, struct vm_runner *r);
/** Limits of vm__run_all(). */
struct vm_limits {
    uint64_t insns;   /**< left; UINT64_MAX: none */
    uint64_t host_ns; /**< deadline; UINT64_MAX: none */
    bool leave_idle;  /**< come back when nothing can happen any more */
};
/** Run all processors in turn until something is asked or a limit is met. @return VM_EXIT_* */
int vm__run_all(struct vm_machine *m, struct vm_limits *limits);
/** The I/O thread's loop. */
void vm__run_io(struct vm_machine *m);

/* core/reset.c */
/** Devices, processors, board; all at rest. Under the machine lock. */
int vm__machine_reset_now(struct vm_machine *m, int kind);

static inline uint32_t vm__asked(const struct vm_machine *m)
{
    return atomic_load(&m->run->asked);
}
/** Set bits and make every worker look. Wait-free, async-signal-safe. */
void vm__ask(struct vm_machine *m, uint32_t bits);

#endif
