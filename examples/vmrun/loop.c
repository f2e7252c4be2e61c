/* SPDX-License-Identifier: MIT */
/**
 * @file loop.c
 * The main thread's poll loop.
 */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vmrun.h"

struct watch {
    struct watch *next;
    struct loop *loop;
    int fd;    /**< -1: a period of time */
    bool dead; /**< freed at the end of the turn */
    int slot;  /**< in the poll set of this turn; -1: not waited for */
    short events;
    short (*want)(void *ud);
    void (*ready)(void *ud, short revents);
    void (*tick)(void *ud);
    uint64_t every_ns, due_ns;
    void *ud;
};

struct loop {
    struct watch *watches;
    struct pollfd *fds;
    unsigned n_watches, room;
    int wake_fd;
    atomic_bool over;
    atomic_int status;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL || (l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        say("eventfd: %s", strerror(errno));
        free(l);
        return NULL;
    }
    return l;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    while (l->watches != NULL) {
        struct watch *w = l->watches;
        l->watches = w->next;
        free(w);
    }
    (void)close(l->wake_fd);
    free(l->fds);
    free(l);
}

/** A watch with a place in the poll set; the newest comes last, so that others keep their order. */
static struct watch *add(struct loop *l)
{
    struct watch *w = calloc(1, sizeof *w), **link = &l->watches;
    if (l->n_watches + 2 > l->room) { /* one more, and the wake-up */
        const unsigned room = 2 * l->room + 8;
        struct pollfd *fds = realloc(l->fds, room * sizeof *fds);
        if (fds == NULL) {
            free(w);
            w = NULL;
        } else {
            l->fds = fds;
            l->room = room;
        }
    }
    if (w == NULL) {
        say("out of memory");
        return NULL;
    }
    while (*link != NULL)
        link = &(*link)->next;
    *link = w;
    l->n_watches++;
    w->loop = l;
    w->fd = -1;
    w->slot = -1;
    return w;
}

struct watch *loop_watch(struct loop *l, int fd, short events,
                         void (*ready)(void *ud, short revents), void *ud)
{
    struct watch *w = add(l);
    if (w == NULL)
        return NULL;
    w->fd = fd;
    w->events = events;
    w->ready = ready;
    w->ud = ud;
    return w;
}

struct watch *loop_watch_if(struct loop *l, int fd, short (*want)(void *ud),
                            void (*ready)(void *ud, short revents), void *ud)
{
    struct watch *w = loop_watch(l, fd, 0, ready, ud);
    if (w != NULL)
        w->want = want;
    return w;
}

struct watch *loop_every(struct loop *l, unsigned ms, void (*tick)(void *ud), void *ud)
{
    struct watch *w = add(l);
    if (w == NULL)
        return NULL;
    w->every_ns = (ms != 0 ? ms : 1) * UINT64_C(1000000);
    w->due_ns = now_ns() + w->every_ns;
    w->tick = tick;
    w->ud = ud;
    return w;
}

void loop_unwatch(struct watch *w)
{
    if (w == NULL || w->dead)
        return;
    w->dead = true;
    loop_wake(w->loop);
}

static void sweep(struct loop *l)
{
    struct watch **link = &l->watches;
    while (*link != NULL) {
        struct watch *w = *link;
        if (w->dead) {
            *link = w->next;
            l->n_watches--;
            free(w);
        } else {
            link = &w->next;
        }
    }
}

void loop_wake(struct loop *l)
{
    (void)!write(l->wake_fd, &(uint64_t) { 1 }, sizeof(uint64_t));
}

void loop_quit(struct loop *l, int status)
{
    if (!atomic_exchange(&l->over, true))
        atomic_store(&l->status, status);
    loop_wake(l);
}

bool loop_is_over(const struct loop *l)
{
    return atomic_load(&l->over);
}

/** Fill the poll set; the wait in milliseconds shrinks to the next tick. */
static unsigned prepare(struct loop *l, int *ms)
{
    unsigned n = 0;
    const uint64_t now = now_ns();
    l->fds[n++] = (struct pollfd) { .fd = l->wake_fd, .events = POLLIN };
    for (struct watch *w = l->watches; w != NULL; w = w->next) {
        w->slot = -1;
        if (w->dead)
            continue;
        if (w->tick != NULL) {
            const uint64_t left = w->due_ns > now ? (w->due_ns - now + 999999) / 1000000 : 0;
            if (*ms < 0 || left < (uint64_t)*ms)
                *ms = (int)left;
            continue;
        }
        const short events = w->want != NULL ? w->want(w->ud) : w->events;
        if (events == 0)
            continue;
        w->slot = (int)n;
        l->fds[n++] = (struct pollfd) { .fd = w->fd, .events = events };
    }
    return n;
}

void loop_turn(struct loop *l, int ms)
{
    sweep(l);
    if (l->fds == NULL) {
        loop_unwatch(add(l)); /* makes room for the wake-up alone */
        if (l->fds == NULL)
            return;
    }
    const unsigned n = prepare(l, &ms);
    if (poll(l->fds, n, ms) < 0)
        return; /* a signal: look again */
    if (l->fds[0].revents != 0)
        (void)!read(l->wake_fd, &(uint64_t) { 0 }, sizeof(uint64_t));
    /* Callbacks may add watches, which go to the end and have no slot yet. */
    for (struct watch *w = l->watches; w != NULL; w = w->next) {
        if (w->dead)
            continue;
        if (w->tick != NULL) {
            const uint64_t now = now_ns();
            if (now < w->due_ns)
                continue;
            w->due_ns = now + w->every_ns;
            w->tick(w->ud);
        } else if (w->slot >= 0 && l->fds[w->slot].revents != 0) {
            w->ready(w->ud, l->fds[w->slot].revents);
        }
    }
}

int loop_run(struct loop *l)
{
    while (!loop_is_over(l))
        loop_turn(l, -1);
    return atomic_load(&l->status);
}
