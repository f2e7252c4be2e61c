/* SPDX-License-Identifier: MIT */
/**
 * @file net_user_loop.c
 * libslirp on the machine's loop and clock.
 *
 * libslirp is written for a loop round poll(): before it waits it is asked what to wait for,
 * afterwards it is told what came. Here descriptors stay in the machine's loop, and the question is
 * asked after everything that may change the answer; only what changed costs a host call.
 */
#include "backends/net_user.h"

#include <stdlib.h>

#include "base/error.h"
#include "core/machine.h"
#include "host/loop.h"

enum { NS_PER_MS = 1000000, SLOTS_MOST = 1 << 20 };

/* A descriptor of libslirp's. */
struct user_slot {
    struct user *u;
    int fd;
    struct vm_watch *watch; /* NULL: not watched */
    unsigned events;        /* that the watch waits for */
    unsigned wanted;
    uint32_t turn; /* in which it was wanted */
    int ready;     /* SLIRP_POLL_* */
};

/* ---- descriptors -------------------------------------------------------------------------- */

static struct user_slot *slot_of(struct user *u, int fd)
{
    if (fd < 0 || fd >= SLOTS_MOST)
        return NULL;
    if (fd >= u->n_slots) {
        const int n = fd + 64;
        struct user_slot **slots = realloc(u->slots, (size_t)n * sizeof(*slots));
        if (slots == NULL)
            return NULL;
        for (int i = u->n_slots; i < n; i++)
            slots[i] = NULL;
        u->slots = slots;
        u->n_slots = n;
    }
    if (u->slots[fd] == NULL)
        u->slots[fd] = calloc(1, sizeof(struct user_slot));
    if (u->slots[fd] != NULL) {
        u->slots[fd]->u = u;
        u->slots[fd]->fd = fd;
    }
    return u->slots[fd];
}

static int get_ready(int fd, void *opaque)
{
    const struct user *u = opaque;
    return fd >= 0 && fd < u->n_slots && u->slots[fd] != NULL ? u->slots[fd]->ready : 0;
}

static int nothing_ready(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
    return 0;
}

static void on_watch(void *opaque, unsigned events)
{
    struct user_slot *s = opaque;
    struct user *u = s->u;
    s->ready = (events & VM_LOOP_IN ? SLIRP_POLL_IN : 0) |
               (events & VM_LOOP_OUT ? SLIRP_POLL_OUT : 0) |
               (events & VM_LOOP_HUP ? SLIRP_POLL_HUP | SLIRP_POLL_ERR : 0);
    vm__user_enter(u);
    slirp_pollfds_poll(u->slirp, 0, get_ready, u);
    s->ready = 0;
    vm__user_leave(u);
}

static void unwatch(struct user_slot *s)
{
    vm__watch_free(s->watch);
    s->watch = NULL;
    s->u->n_sockets--;
}

static int add_poll(int fd, int events, void *opaque)
{
    struct user *u = opaque;
    struct user_slot *s = slot_of(u, fd);
    if (s == NULL)
        return -1;
    if (s->turn != u->turn)
        s->wanted = 0;
    s->turn = u->turn;
    s->wanted |= (events & SLIRP_POLL_IN ? (unsigned)VM_LOOP_IN : 0u) |
                 (events & SLIRP_POLL_OUT ? (unsigned)VM_LOOP_OUT : 0u);
    if (fd > u->last_slot)
        u->last_slot = fd;
    return fd;
}

/** A descriptor that cannot be watched is left to libslirp's timers. */
static void update(struct user *u, struct user_slot *s)
{
    const unsigned wanted = s->turn == u->turn ? s->wanted : 0;
    if (wanted == 0 && s->watch != NULL) {
        unwatch(s);
    } else if (wanted != 0 && s->watch == NULL) {
        s->watch = vm__watch_new(u->m->loop, s->fd, wanted, on_watch, s);
        s->events = wanted;
        u->n_sockets += s->watch != NULL;
    } else if (wanted != s->events && s->watch != NULL) {
        vm__watch_events(s->watch, wanted);
        s->events = wanted;
    }
}

/** Ask libslirp what it waits for. */
static void collect(struct user *u)
{
    uint32_t timeout = UINT32_MAX;
    u->turn++;
    slirp_pollfds_fill(u->slirp, &timeout, add_poll, u);
    int last = -1;
    for (int fd = 0; fd <= u->last_slot; fd++) {
        struct user_slot *s = u->slots[fd];
        if (s == NULL)
            continue;
        update(u, s);
        if (s->watch != NULL)
            last = fd;
    }
    u->last_slot = last;
    if (timeout == UINT32_MAX)
        return;
    const uint64_t at = vm__clock_ns(u->m) + (uint64_t)timeout * NS_PER_MS;
    if (!vm__timer_armed(&u->timeout) || u->timeout.deadline_ns > at)
        vm__timer_arm(&u->timeout, at);
}

void vm__user_enter(struct user *u)
{
    u->inside = true;
}

void vm__user_leave(struct user *u)
{
    collect(u);
    u->inside = false;
    if (u->refused) {
        u->refused = false;
        vm__net_ready(u->net);
    }
}

static void on_timeout(void *opaque)
{
    struct user *u = opaque;
    vm__user_enter(u);
    slirp_pollfds_poll(u->slirp, 0, nothing_ready, u);
    vm__user_leave(u);
}

void vm__user_loop_init(struct user *u)
{
    u->last_slot = -1;
    vm__timer_init(&u->timeout, u->m, on_timeout, u);
}

void vm__user_loop_fini(struct user *u)
{
    vm__timer_cancel(&u->timeout);
    for (int fd = 0; fd < u->n_slots; fd++) {
        if (u->slots[fd] != NULL && u->slots[fd]->watch != NULL)
            unwatch(u->slots[fd]);
        free(u->slots[fd]);
    }
    free(u->slots);
    u->slots = NULL;
    u->n_slots = 0;
}

/* ---- callbacks ---------------------------------------------------------------------------- */

/** Frames libslirp made itself: their sums are right. */
static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
    struct user *u = opaque;
    (void)vm__net_deliver_buf(u->net, buf, len, VM_NET_CSUM_OK);
    return (ssize_t)len;
}

static void guest_error(const char *msg, void *opaque)
{
    const struct user *u = opaque;
    vm__logf(&u->m->log, VM_LOG_DEBUG, VM_LOG_GUEST, vm__net_id(u->net), "%s", msg);
}

static int64_t clock_get_ns(void *opaque)
{
    const struct user *u = opaque;
    return (int64_t)vm__clock_ns(u->m);
}

/* A timer of libslirp's. */
struct user_timer {
    struct vm_timer timer;
    struct user *u;
    SlirpTimerCb fn;
    void *opaque;
};

static void on_timer(void *opaque)
{
    struct user_timer *t = opaque;
    struct user *u = t->u;
    vm__user_enter(u);
    t->fn(t->opaque);
    vm__user_leave(u);
}

static void *timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
    struct user *u = opaque;
    struct user_timer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->u = u;
    t->fn = fn;
    t->opaque = fn_opaque;
    vm__timer_init(&t->timer, u->m, on_timer, t);
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct user_timer *t = timer;
    (void)opaque;
    if (t != NULL)
        vm__timer_cancel(&t->timer);
    free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    struct user_timer *t = timer;
    (void)opaque;
    if (t != NULL)
        vm__timer_arm(&t->timer, (uint64_t)expire_ms * NS_PER_MS);
}

static void register_poll_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

/** It is about to be closed, and its number given to another. */
static void unregister_poll_fd(int fd, void *opaque)
{
    struct user *u = opaque;
    if (fd >= 0 && fd < u->n_slots && u->slots[fd] != NULL && u->slots[fd]->watch != NULL)
        unwatch(u->slots[fd]);
}

static void notify(void *opaque)
{
    (void)opaque; /* collect() follows whatever calls this */
}

const SlirpCb vm__user_callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = register_poll_fd,
    .unregister_poll_fd = unregister_poll_fd,
    .notify = notify,
};
