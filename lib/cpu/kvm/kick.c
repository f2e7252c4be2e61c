/* SPDX-License-Identifier: MIT */
/**
 * @file kick.c
 * Getting a thread out of KVM_RUN: see kick.h.
 *
 * Spec: [KVM KVM_RUN], [KVM KVM_SET_SIGNAL_MASK], [KVM kvm_run],
 * [IO_URING] io_uring_setup(2), io_uring_enter(2).
 */
#include "cpu/kvm/kick.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/kvm/sys.h"
#include "host/thread.h"

enum { ENTRIES = 4, KERNEL_SIGSET = 8 };

/* ---- poking, from any thread ---- */

static void poke(struct x86_kick *kick)
{
    struct kvm_kick *k = (struct kvm_kick *)(void *)kick;

    if (k->now != NULL)
        atomic_store_explicit(k->now, 1, memory_order_seq_cst);
    if (atomic_exchange(&k->running, 0) == 0)
        return;
    if (k->signal == 0)
        vm__notify_set(k->event);
    else
        (void)syscall(SYS_tgkill, getpid(), atomic_load(&k->tid), k->signal);
}

/* ---- io_uring ---- */

static int ring_setup(struct io_uring_params *p)
{
    memset(p, 0, sizeof *p);
    const long fd = syscall(SYS_io_uring_setup, ENTRIES, p);
    return fd >= 0 ? (int)fd : -errno;
}

bool vm__kvm_kick_possible(void)
{
    struct io_uring_params p;
    const int fd = ring_setup(&p);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static void ring_close(struct kvm_kick *k)
{
    if (k->rings != NULL)
        munmap(k->rings, k->rings_size);
    if (k->sqes != NULL)
        munmap(k->sqes, k->sqes_size);
    if (k->ring >= 0)
        close(k->ring);
    k->rings = NULL;
    k->sqes = NULL;
    k->ring = -1;
}

/* Have the thread that calls this be interrupted whenever the event becomes readable. */
static int ring_watch(struct kvm_kick *k)
{
    const uint32_t tail = *k->sq_tail, at = tail & *k->sq_mask;
    struct io_uring_sqe *e = (struct io_uring_sqe *)k->sqes + at;

    memset(e, 0, sizeof *e);
    e->opcode = IORING_OP_POLL_ADD;
    e->fd = k->event;
    e->poll32_events = POLLIN;
    e->len = IORING_POLL_ADD_MULTI;
    k->sq_array[at] = at;
    __atomic_store_n(k->sq_tail, tail + 1, __ATOMIC_RELEASE);
    return syscall(SYS_io_uring_enter, k->ring, 1, 0, 0, NULL, 0) == 1 ? 0 : -errno;
}

static int ring_map(struct kvm_kick *k, const struct io_uring_params *p)
{
    const size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
    const size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);

    if (!(p->features & IORING_FEAT_SINGLE_MMAP))
        return -ENOSYS;
    k->rings_size = sq > cq ? sq : cq;
    k->sqes_size = p->sq_entries * sizeof(struct io_uring_sqe);
    uint8_t *r = mmap(NULL, k->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                      k->ring, IORING_OFF_SQ_RING);
    void *s = mmap(NULL, k->sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, k->ring,
                   IORING_OFF_SQES);
    k->rings = r != MAP_FAILED ? r : NULL;
    k->sqes = s != MAP_FAILED ? s : NULL;
    if (k->rings == NULL || k->sqes == NULL)
        return -ENOMEM;
    k->sq_tail = (uint32_t *)(void *)(r + p->sq_off.tail);
    k->sq_mask = (uint32_t *)(void *)(r + p->sq_off.ring_mask);
    k->sq_array = (uint32_t *)(void *)(r + p->sq_off.array);
    k->cq_head = (uint32_t *)(void *)(r + p->cq_off.head);
    k->cq_tail = (uint32_t *)(void *)(r + p->cq_off.tail);
    k->cq_mask = (uint32_t *)(void *)(r + p->cq_off.ring_mask);
    k->cqes = r + p->cq_off.cqes;
    return 0;
}

/* Task work goes to the thread that asked, so a ring belongs to one. */
static int ring_open(struct kvm_kick *k)
{
    struct io_uring_params p;

    ring_close(k);
    k->ring = ring_setup(&p);
    int err = k->ring >= 0 ? ring_map(k, &p) : k->ring;
    if (err == 0)
        err = ring_watch(k);
    if (err != 0)
        ring_close(k);
    return err;
}

/* Completions are for being counted only; one that was the last of its watch renews it. */
static void ring_consume(struct kvm_kick *k)
{
    uint32_t head = *k->cq_head;
    const uint32_t tail = __atomic_load_n(k->cq_tail, __ATOMIC_ACQUIRE);
    bool renew = false;

    for (; head != tail; head++) {
        const struct io_uring_cqe *e = (const struct io_uring_cqe *)k->cqes + (head & *k->cq_mask);
        renew |= !(e->flags & IORING_CQE_F_MORE);
    }
    __atomic_store_n(k->cq_head, head, __ATOMIC_RELEASE);
    vm__notify_clear(k->event);
    if (renew)
        (void)ring_watch(k);
}

/* ---- a bound in time, with io_uring ---- */

/* A timer that the ring itself watches could expire just before KVM_RUN is entered, and would be
 * lost; so a thread waits for it, and pokes as everybody does. */
static void *wait_for_timer(void *arg)
{
    struct kvm_kick *k = arg;
    uint64_t times;

    while (read(k->timer, &times, sizeof times) == sizeof times && !atomic_load(&k->quit)) {
        atomic_store(&k->expired, true);
        poke(&k->kick);
    }
    return NULL;
}

static void set_timer(const struct kvm_kick *k, uint64_t ns)
{
    const struct itimerspec t = { .it_value = { .tv_sec = (time_t)(ns / 1000000000u),
                                                .tv_nsec = (long)(ns % 1000000000u) } };
    (void)timerfd_settime(k->timer, 0, &t, NULL);
}

static void thread_after(struct kvm_kick *k, uint64_t ns)
{
    if (!k->has_waiter && ns != 0)
        k->has_waiter = vm__thread_start(&k->waiter, wait_for_timer, k, "vm-kvm-timer") == VM_OK;
    set_timer(k, ns);
}

static void stop_waiter(struct kvm_kick *k)
{
    if (!k->has_waiter)
        return;
    atomic_store(&k->quit, true);
    set_timer(k, 1);
    pthread_join(k->waiter, NULL);
    k->has_waiter = false;
}

/* ---- a signal ---- */

static void only(sigset_t *set, int signal)
{
    sigemptyset(set);
    sigaddset(set, signal);
}

static void signal_consume(const struct kvm_kick *k)
{
    const struct timespec no_wait = { 0 };
    sigset_t set;

    only(&set, k->signal);
    while (sigtimedwait(&set, NULL, &no_wait) == k->signal)
        ;
}

/* What is blocked inside KVM_RUN: what is blocked now, but for the signal. */
static int signal_mask(struct kvm_kick *k, const struct kvm_sys *sys, int vcpu_fd)
{
    struct { /* struct kvm_signal_mask and what follows it */
        uint32_t len;
        uint8_t set[KERNEL_SIGSET];
    } mask = { .len = KERNEL_SIGSET };
    sigset_t inside, set;

    only(&set, k->signal);
    pthread_sigmask(SIG_BLOCK, &set, &inside);
    k->was_blocked = sigismember(&inside, k->signal) == 1;
    sigdelset(&inside, k->signal);
    memcpy(mask.set, &inside, KERNEL_SIGSET);
    return sys->ioctl(sys->ud, vcpu_fd, KVM_SET_SIGNAL_MASK, (uintptr_t)&mask);
}

static int signal_timer(struct kvm_kick *k)
{
    struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = k->signal };

    if (k->has_alarm)
        timer_delete(k->alarm);
#ifdef sigev_notify_thread_id
    ev.sigev_notify_thread_id = atomic_load(&k->tid);
#else
    ev._sigev_un._tid = atomic_load(&k->tid);
#endif
    k->has_alarm = timer_create(CLOCK_MONOTONIC, &ev, &k->alarm) == 0;
    return k->has_alarm ? 0 : -errno;
}

static void signal_after(const struct kvm_kick *k, uint64_t ns)
{
    const struct itimerspec t = { .it_value = { .tv_sec = (time_t)(ns / 1000000000u),
                                                .tv_nsec = (long)(ns % 1000000000u) } };
    (void)timer_settime(k->alarm, 0, &t, NULL);
}

/* ---- both ---- */

int vm__kvm_kick_init(struct kvm_kick *k, int signal, bool has_now, uint8_t *now)
{
    memset(k, 0, sizeof *k);
    k->kick.poke = poke;
    k->signal = signal;
    k->has_now = has_now;
    k->now = has_now ? (_Atomic uint8_t *)now : NULL;
    k->event = k->timer = k->ring = -1;
    if (signal != 0)
        return 0;
    k->event = vm__notify_new();
    k->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    return k->event >= 0 && k->timer >= 0 ? 0 : -EMFILE;
}

void vm__kvm_kick_fini(struct kvm_kick *k)
{
    stop_waiter(k);
    ring_close(k);
    if (k->has_alarm)
        timer_delete(k->alarm);
    vm__notify_free(k->event);
    vm__notify_free(k->timer);
    k->event = k->timer = -1;
    k->has_alarm = false;
}

void vm__kvm_kick_attach(struct vcpu *c, struct kvm_kick *k)
{
    atomic_store(&c->kick, k != NULL ? &k->kick : NULL);
    while (k == NULL && atomic_load(&c->kickers) != 0)
        sched_yield(); /* they are about to be done: poke() does not wait */
}

int vm__kvm_kick_begin(struct kvm_kick *k, const struct kvm_sys *sys, int vcpu_fd)
{
    const pid_t me = (pid_t)syscall(SYS_gettid);
    int err = 0;

    if (k->signal == 0) {
        if (k->thread != me)
            err = ring_open(k);
    } else {
        atomic_store(&k->tid, me);
        err = signal_mask(k, sys, vcpu_fd);
        if (err == 0 && k->thread != me)
            err = signal_timer(k);
    }
    k->thread = err == 0 ? me : 0;
    return err;
}

void vm__kvm_kick_end(struct kvm_kick *k)
{
    atomic_store(&k->running, 0);
    if (k->signal == 0 || k->was_blocked)
        return;
    sigset_t set;
    only(&set, k->signal);
    signal_consume(k);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void vm__kvm_kick_after(struct kvm_kick *k, uint64_t ns)
{
    if (k->signal == 0)
        thread_after(k, ns);
    else
        signal_after(k, ns);
}

void vm__kvm_kick_self(struct kvm_kick *k)
{
    if (k->has_now)
        atomic_store(k->now, 1);
    else
        (void)syscall(SYS_tgkill, getpid(), atomic_load(&k->tid), k->signal);
}

void vm__kvm_kick_consume(struct kvm_kick *k)
{
    if (k->signal == 0)
        ring_consume(k);
    else
        signal_consume(k);
}
