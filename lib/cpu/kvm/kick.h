/* SPDX-License-Identifier: MIT */
/**
 * @file kick.h
 * Getting a thread out of KVM_RUN, and bounding its stay.
 *
 * `immediate_exit` makes the next KVM_RUN come back at once, but not the one under way; for that
 * something has to look like a signal to the kernel. Two ways, both without a signal handler:
 *
 *   - an io_uring of the thread's own that watches an eventfd. A completion is task work, and task
 *     work interrupts KVM_RUN as a signal does (EINTR), but nothing is delivered to anybody: no
 *     signal of the embedder's is taken. Whoever pokes sets `immediate_exit` first, so that one
 *     that comes before KVM_RUN was entered is not lost;
 *   - a signal that the embedder offers (key "kvm.signal"). It stays blocked in the thread and is
 *     let through by KVM_SET_SIGNAL_MASK inside KVM_RUN only, so it is never delivered either: it
 *     stays pending and is taken back with sigtimedwait(). Nobody's handler runs.
 */
#ifndef LIBVM_CPU_KVM_KICK_H
#define LIBVM_CPU_KVM_KICK_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "cpu/vcpu.h"

struct kvm_sys;

struct kvm_kick {
    struct x86_kick kick;     /**< what vcpu.c calls */
    _Atomic uint32_t running; /**< in KVM_RUN, or about to be: a poke is due */
    _Atomic uint8_t *now;     /**< run->immediate_exit */
    bool has_now;             /**< KVM looks at it */
    int signal;               /**< 0: io_uring */
    pid_t thread;             /**< that this is set up for; 0: none */
    /* io_uring */
    int event, timer, ring;
    uint8_t *rings;
    size_t rings_size;
    void *sqes;
    size_t sqes_size;
    uint32_t *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
    void *cqes;
    pthread_t waiter; /**< pokes when the timer expires */
    bool has_waiter;
    _Atomic bool quit;
    _Atomic bool expired; /**< the timer has, and nobody has taken note */
    /* signal */
    _Atomic pid_t tid;
    timer_t alarm;
    bool has_alarm;
    bool was_blocked;
};

/** Can threads be got out of KVM_RUN on this host without a signal? */
bool vm__kvm_kick_possible(void);
int vm__kvm_kick_init(struct kvm_kick *k, int signal, bool has_now, uint8_t *now);
void vm__kvm_kick_fini(struct kvm_kick *k);
/** Have requests to @p c poke @p k; NULL: no more, and when it comes back nobody is at it. */
void vm__kvm_kick_attach(struct vcpu *c, struct kvm_kick *k);
/** Before a stretch of KVM_RUN on this thread; 0 or a negative errno value. */
int vm__kvm_kick_begin(struct kvm_kick *k, const struct kvm_sys *sys, int vcpu_fd);
void vm__kvm_kick_end(struct kvm_kick *k);
/** KVM_RUN is to come back after @p ns; 0: no bound. */
void vm__kvm_kick_after(struct kvm_kick *k, uint64_t ns);
/** The next KVM_RUN of this thread is to come back at once. */
void vm__kvm_kick_self(struct kvm_kick *k);
/** KVM_RUN came back with EINTR: take back what made it. */
void vm__kvm_kick_consume(struct kvm_kick *k);

#endif
