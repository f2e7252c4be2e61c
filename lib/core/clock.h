/* SPDX-License-Identifier: MIT */
/**
 * @file clock.h
 * The machine's time, in nanoseconds, and timers on it.
 *
 * realtime: host monotonic time minus every pause, except that time stands still at a deadline
 * until its timer has fired: a guest never sees a time at which something due has not happened yet,
 * however badly the host is starved. icount: executed instructions drive time, so
 * the same inputs give the same run; while every processor is halted time jumps to the next timer.
 * Nobody below floor 5 asks the host for time in any other way.
 */
#ifndef LIBVM_CORE_CLOCK_H
#define LIBVM_CORE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vm_machine;

enum vm_clock_mode { VM_CLOCK_REALTIME = 0, VM_CLOCK_ICOUNT = 1 };

/** A timer; embedded in its owner. Zero-initialise, then vm__timer_init(). */
struct vm_timer {
    struct vm_machine *m;
    void (*fn)(void *opaque); /**< called with the machine lock held */
    void *opaque;
    uint64_t deadline_ns;        /**< valid while armed */
    uint64_t order;              /**< of arming: equal deadlines fire in this order */
    _Atomic uint32_t heap_index; /**< place in the heap + 1; 0: not armed */
};

/** Now. Any thread; wait-free. */
uint64_t vm__clock_ns(struct vm_machine *m);

void vm__timer_init(struct vm_timer *t, struct vm_machine *m, void (*fn)(void *), void *opaque);
/** Arm or move; a deadline in the past means now. Any thread. */
void vm__timer_arm(struct vm_timer *t, uint64_t deadline_ns);
void vm__timer_cancel(struct vm_timer *t);
static inline bool vm__timer_armed(const struct vm_timer *t)
{
    return atomic_load_explicit(&t->heap_index, memory_order_relaxed) != 0;
}

#endif
