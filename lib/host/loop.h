/* SPDX-License-Identifier: MIT */
/**
 * @file loop.h
 * Waiting for descriptors, one alarm, and being woken.
 *
 * One thread at a time runs the loop. Callbacks come with the owner's lock held (the machine
 * lock), and watches are made, changed and freed under that lock: after vm__watch_free() the
 * callback does not come any more.
 */
#ifndef LIBVM_HOST_LOOP_H
#define LIBVM_HOST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct vm_loop;
struct vm_watch;

/** What a watch waits for, resp. what happened. */
enum { VM_LOOP_IN = 1, VM_LOOP_OUT = 2, VM_LOOP_HUP = 4 /**< reported, never asked for */ };

/** Work to be done on the loop's thread; embedded in its owner, zero-initialised. */
struct vm_work {
    void (*fn)(void *opaque);
    void *opaque;
    struct vm_work *next;
    bool queued;
};

struct vm_loop *vm__loop_new(void (*lock)(void *), void (*unlock)(void *), void *owner);
void vm__loop_free(struct vm_loop *loop);

/** Watch a descriptor; it stays the caller's. NULL with the error set. */
struct vm_watch *vm__watch_new(struct vm_loop *loop, int fd, unsigned events,
                               void (*fn)(void *opaque, unsigned events), void *opaque);
void vm__watch_events(struct vm_watch *w, unsigned events);
void vm__watch_free(struct vm_watch *w);
/** Watches there are. */
uint32_t vm__loop_watches(const struct vm_loop *loop);

/** Have @p work done once, under the lock, on the loop's thread. Any thread. */
void vm__loop_post(struct vm_loop *loop, struct vm_work *work);
/** Take back posted work. Under the lock. */
void vm__loop_cancel(struct vm_loop *loop, struct vm_work *work);

/** Make vm__loop_run() return. Any thread, async-signal-safe. */
void vm__loop_wake(struct vm_loop *loop);
/** Make it return at this time of vm__host_ns(); UINT64_MAX: no alarm. Any thread. */
void vm__loop_alarm(struct vm_loop *loop, uint64_t host_ns);
/** Wait (if @p block) and serve what is ready. Without the lock. */
void vm__loop_run(struct vm_loop *loop, bool block);

#endif
