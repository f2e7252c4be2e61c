/* SPDX-License-Identifier: MIT */
/**
 * @file clock_impl.h
 * The clock as core/run.c drives it. For lib/core and tests.
 *
 * In icount mode time is `base + (instructions of the running processor since the slice began) *
 * ns_per_insn`. Only the driving thread knows the second part; other threads see the base, which
 * moves at the end of every slice.
 *
 * In realtime mode time is the host's, but never beyond the earliest deadline: whoever fires late
 * finds the clock standing there. Missed ticks of a periodic timer are then made up one after the
 * other, each at its own time, with the guest executing in between (core/run_cpu.c).
 */
#ifndef LIBVM_CORE_CLOCK_IMPL_H
#define LIBVM_CORE_CLOCK_IMPL_H

#include "core/machine.h"

struct vm_clock {
    enum vm_clock_mode mode;
    uint64_t ns_per_insn;
    /* realtime: now = host - offset while running, else frozen. */
    _Atomic uint64_t offset;
    _Atomic uint64_t frozen; /**< UINT64_MAX: running */
    /* icount. */
    _Atomic uint64_t base;
    _Atomic(struct vm_cpu *) cpu; /**< running now, or NULL */
    uint64_t cpu_start;           /**< its instructions at the start of the slice */
    _Atomic uintptr_t driver;     /**< mark of the driving thread */

    pthread_mutex_t lock;
    struct vm_timer **heap; /**< smallest deadline first; under lock */
    uint32_t n, room;
    uint64_t order;
    uint64_t firing;       /**< deadline whose callback is at work, or UINT64_MAX; under lock */
    _Atomic uint64_t next; /**< the earlier of heap[0]'s and `firing`; UINT64_MAX if none */
};

int vm__clock_init(struct vm_machine *m, enum vm_clock_mode mode, uint64_t ns_per_insn);
void vm__clock_fini(struct vm_machine *m);

/** Let time run, resp. stand. Under the machine lock. */
void vm__clock_start(struct vm_machine *m);
void vm__clock_stop(struct vm_machine *m);
static inline bool vm__clock_running(const struct vm_clock *c)
{
    return atomic_load(&c->frozen) == UINT64_MAX;
}

/** The earliest deadline, UINT64_MAX if there is none. */
static inline uint64_t vm__clock_next(const struct vm_clock *c)
{
    return atomic_load(&c->next);
}
/** A timer is due. */
bool vm__clock_due(struct vm_machine *m);
/** Host time of a deadline, for the loop's alarm. Realtime only. */
uint64_t vm__clock_host_time(const struct vm_clock *c, uint64_t deadline_ns);

/** Fire what is due, in order, up to the first that was armed by another. Under the machine lock.
 */
void vm__clock_fire(struct vm_machine *m);

/** icount: a processor's slice begins and ends, on the driving thread. */
void vm__clock_slice_begin(struct vm_machine *m, struct vm_cpu *cpu);
void vm__clock_slice_end(struct vm_machine *m);
/** icount: nothing to do until then. Never goes back. */
void vm__clock_warp(struct vm_machine *m, uint64_t to_ns);
/** Set the time, frozen or icount: for loading a snapshot. */
void vm__clock_set(struct vm_machine *m, uint64_t now_ns);

/** Tell who drives the machine that the earliest deadline moved; core/run.c. */
void vm__run_deadline_moved(struct vm_machine *m);

/** A mark of the calling thread, never 0. */
static inline uintptr_t vm__thread_mark(void)
{
    return (uintptr_t)pthread_self();
}

#endif
