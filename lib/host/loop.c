/* SPDX-License-Identifier: MIT */
/**
 * @file loop.c
 * epoll, with an eventfd to be woken by and a timerfd for the alarm.
 */
#include "host/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/error.h"
#include "host/thread.h"

enum { BATCH = 16 };

struct vm_watch {
    struct vm_loop *loop;
    int fd;
    void (*fn)(void *opaque, unsigned events);
    void *opaque;
    struct vm_watch *next; /* in `live` or `dead` */
    bool dead;
};

struct vm_loop {
    int epoll, wake, alarm;
    void (*lock)(void *);
    void (*unlock)(void *);
    void *owner;
    struct vm_watch *live, *dead; /* under the owner's lock */
    uint32_t n_live;
    pthread_mutex_t work_lock;
    struct vm_work *first, **last; /* under work_lock */
};

static int add(struct vm_loop *loop, int op, int fd, unsigned events, void *ptr)
{
    struct epoll_event e = {
        .events = ((events & VM_LOOP_IN) ? EPOLLIN : 0) | ((events & VM_LOOP_OUT) ? EPOLLOUT : 0),
        .data.ptr = ptr,
    };
    return epoll_ctl(loop->epoll, op, fd, &e);
}

struct vm_loop *vm__loop_new(void (*lock)(void *), void (*unlock)(void *), void *owner)
{
    struct vm_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        vm__fail_nomem(sizeof *loop);
        return NULL;
    }
    loop->lock = lock;
    loop->unlock = unlock;
    loop->owner = owner;
    loop->last = &loop->first;
    pthread_mutex_init(&loop->work_lock, NULL);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = vm__notify_new();
    loop->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0 || loop->alarm < 0 ||
        add(loop, EPOLL_CTL_ADD, loop->wake, VM_LOOP_IN, &loop->wake) != 0 ||
        add(loop, EPOLL_CTL_ADD, loop->alarm, VM_LOOP_IN, &loop->alarm) != 0) {
        vm__fail_os(VM_E_IO, errno, "make an event loop");
        vm__loop_free(loop);
        return NULL;
    }
    return loop;
}

static void free_list(struct vm_watch *w)
{
    while (w != NULL) {
        struct vm_watch *next = w->next;
        free(w);
        w = next;
    }
}

void vm__loop_free(struct vm_loop *loop)
{
    if (loop == NULL)
        return;
    free_list(loop->live);
    free_list(loop->dead);
    if (loop->epoll >= 0)
        close(loop->epoll);
    if (loop->wake >= 0)
        close(loop->wake);
    if (loop->alarm >= 0)
        close(loop->alarm);
    pthread_mutex_destroy(&loop->work_lock);
    free(loop);
}

struct vm_watch *vm__watch_new(struct vm_loop *loop, int fd, unsigned events,
                               void (*fn)(void *opaque, unsigned events), void *opaque)
{
    struct vm_watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        vm__fail_nomem(sizeof *w);
        return NULL;
    }
    *w = (struct vm_watch) { .loop = loop, .fd = fd, .fn = fn, .opaque = opaque };
    if (add(loop, EPOLL_CTL_ADD, fd, events, w) != 0) {
        vm__fail_os(VM_E_IO, errno, "watch descriptor %d", fd);
        free(w);
        return NULL;
    }
    w->next = loop->live;
    loop->live = w;
    loop->n_live++;
    return w;
}

void vm__watch_events(struct vm_watch *w, unsigned events)
{
    (void)add(w->loop, EPOLL_CTL_MOD, w->fd, events, w);
}

void vm__watch_free(struct vm_watch *w)
{
    if (w == NULL)
        return;
    struct vm_loop *loop = w->loop;
    struct vm_watch **link = &loop->live;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    loop->n_live--;
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    /* A batch that is being served may still name it: the loop's thread frees it. */
    w->dead = true;
    w->next = loop->dead;
    loop->dead = w;
}

uint32_t vm__loop_watches(const struct vm_loop *loop)
{
    return loop->n_live;
}

void vm__loop_post(struct vm_loop *loop, struct vm_work *work)
{
    pthread_mutex_lock(&loop->work_lock);
    const bool fresh = !work->queued;
    if (fresh) {
        work->queued = true;
        work->next = NULL;
        *loop->last = work;
        loop->last = &work->next;
    }
    pthread_mutex_unlock(&loop->work_lock);
    if (fresh)
        vm__loop_wake(loop);
}

void vm__loop_cancel(struct vm_loop *loop, struct vm_work *work)
{
    pthread_mutex_lock(&loop->work_lock);
    if (work->queued) {
        struct vm_work **link = &loop->first;
        while (*link != work)
            link = &(*link)->next;
        *link = work->next;
        if (loop->last == &work->next)
            loop->last = link;
        work->queued = false;
    }
    pthread_mutex_unlock(&loop->work_lock);
}

void vm__loop_wake(struct vm_loop *loop)
{
    vm__notify_set(loop->wake);
}

void vm__loop_alarm(struct vm_loop *loop, uint64_t host_ns)
{
    struct itimerspec t = { 0 };
    if (host_ns != UINT64_MAX) {
        t.it_value.tv_sec = (time_t)(host_ns / 1000000000u);
        t.it_value.tv_nsec = (long)(host_ns % 1000000000u);
        if (host_ns == 0)
            t.it_value.tv_nsec = 1; /* zero would disarm */
    }
    (void)timerfd_settime(loop->alarm, TFD_TIMER_ABSTIME, &t, NULL);
}

/* Count first: work that posts itself again waits for the next turn. */
static void run_work(struct vm_loop *loop)
{
    pthread_mutex_lock(&loop->work_lock);
    uint32_t n = 0;
    for (const struct vm_work *w = loop->first; w != NULL; w = w->next)
        n++;
    pthread_mutex_unlock(&loop->work_lock);

    for (; n != 0; n--) {
        loop->lock(loop->owner);
        pthread_mutex_lock(&loop->work_lock);
        struct vm_work *w = loop->first;
        if (w != NULL) {
            loop->first = w->next;
            if (loop->first == NULL)
                loop->last = &loop->first;
            w->queued = false;
        }
        pthread_mutex_unlock(&loop->work_lock);
        if (w != NULL)
            w->fn(w->opaque);
        loop->unlock(loop->owner);
        if (w == NULL)
            break;
    }
}

static void serve(struct vm_loop *loop, struct vm_watch *w, uint32_t ready)
{
    unsigned events = ((ready & EPOLLIN) ? VM_LOOP_IN : 0) |
                      ((ready & EPOLLOUT) ? VM_LOOP_OUT : 0) |
                      ((ready & (EPOLLHUP | EPOLLERR)) ? VM_LOOP_HUP : 0);
    loop->lock(loop->owner);
    if (!w->dead)
        w->fn(w->opaque, events);
    loop->unlock(loop->owner);
}

void vm__loop_run(struct vm_loop *loop, bool block)
{
    struct epoll_event ready[BATCH];

    loop->lock(loop->owner);
    free_list(loop->dead);
    loop->dead = NULL;
    loop->unlock(loop->owner);

    int n = epoll_wait(loop->epoll, ready, BATCH, block ? -1 : 0);
    for (int i = 0; i < n; i++) {
        void *what = ready[i].data.ptr;
        if (what == &loop->wake)
            vm__notify_clear(loop->wake);
        else if (what == &loop->alarm)
            vm__notify_clear(loop->alarm);
        else
            serve(loop, what, ready[i].events);
    }
    run_work(loop);
}
