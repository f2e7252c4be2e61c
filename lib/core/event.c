/* SPDX-License-Identifier: MIT */
/**
 * @file event.c
 * Events wait here until a thread without locks delivers them.
 *
 * A guest can make events (VM_EVENT_GUEST), so the queue is bounded: what a slow listener has no
 * room for is dropped, but never the last slots, which are kept for changes of state.
 */
#include "core/event.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/clock_impl.h"
#include "host/loop.h"
#include "host/thread.h"

enum { QUEUE = 64, KEPT = 16, TEXT_BYTES = 128 };

struct slot {
    vm_event event;
    char text[TEXT_BYTES];
};

struct vm_events {
    pthread_mutex_t lock;
    struct slot queue[QUEUE];
    uint32_t head, n;
    uint32_t mask;
    void (*fn)(void *ud, const vm_event *event);
    void *ud;
    vm_free_fn free_ud;
    int fd;          /* -1: delivered by whoever drives the machine */
    bool delivering; /* one thread at a time: events keep their order */
    uintptr_t deliverer;
    pthread_cond_t delivered;
    struct vm_event_tap *taps;
};

int vm__events_init(struct vm_machine *m)
{
    m->events = calloc(1, sizeof *m->events);
    if (m->events == NULL)
        return vm__fail_nomem(sizeof *m->events);
    m->events->fd = -1;
    pthread_mutex_init(&m->events->lock, NULL);
    pthread_cond_init(&m->events->delivered, NULL);
    return VM_OK;
}

void vm__events_fini(struct vm_machine *m)
{
    struct vm_events *ev = m->events;
    if (ev == NULL)
        return;
    vm__notify_free(ev->fd);
    if (ev->free_ud != NULL)
        ev->free_ud(ev->ud);
    pthread_mutex_destroy(&ev->lock);
    pthread_cond_destroy(&ev->delivered);
    free(ev);
    m->events = NULL;
}

int vm__events_listen(struct vm_machine *m, uint32_t mask,
                      void (*fn)(void *ud, const vm_event *event), void *ud, vm_free_fn free_ud)
{
    struct vm_events *ev = m->events;
    pthread_mutex_lock(&ev->lock);
    const vm_free_fn old_free = ev->free_ud;
    void *old_ud = ev->ud;
    ev->mask = fn != NULL ? mask : 0;
    ev->fn = fn;
    ev->ud = ud;
    ev->free_ud = free_ud;
    pthread_mutex_unlock(&ev->lock);
    if (old_free != NULL)
        old_free(old_ud);
    return VM_OK;
}

void vm__events_tap(struct vm_machine *m, struct vm_event_tap *tap)
{
    struct vm_events *ev = m->events;
    pthread_mutex_lock(&ev->lock);
    tap->next = ev->taps;
    ev->taps = tap;
    pthread_mutex_unlock(&ev->lock);
}

void vm__events_untap(struct vm_machine *m, struct vm_event_tap *tap)
{
    struct vm_events *ev = m->events;
    pthread_mutex_lock(&ev->lock);
    struct vm_event_tap **at = &ev->taps;
    while (*at != NULL && *at != tap)
        at = &(*at)->next;
    if (*at != NULL)
        *at = tap->next;
    while (ev->delivering && ev->deliverer != vm__thread_mark())
        pthread_cond_wait(&ev->delivered, &ev->lock);
    pthread_mutex_unlock(&ev->lock);
}

static bool wanted(const struct vm_events *ev, uint32_t kind)
{
    uint32_t mask = ev->mask;
    for (const struct vm_event_tap *tap = ev->taps; tap != NULL; tap = tap->next)
        mask |= tap->mask;
    return (mask & kind) != 0;
}

/* Called and left with the lock, which is let go of meanwhile. */
static void tell_taps(struct vm_events *ev, const vm_event *event)
{
    for (struct vm_event_tap *tap = ev->taps, *next; tap != NULL; tap = next) {
        next = tap->next;
        if ((tap->mask & event->kind) == 0)
            continue;
        pthread_mutex_unlock(&ev->lock);
        tap->fn(tap->ud, event);
        pthread_mutex_lock(&ev->lock);
    }
}

int vm__events_fd(struct vm_machine *m)
{
    struct vm_events *ev = m->events;
    pthread_mutex_lock(&ev->lock);
    if (ev->fd < 0) {
        ev->fd = vm__notify_new();
        if (ev->fd >= 0 && ev->n != 0)
            vm__notify_set(ev->fd);
    }
    const int fd = ev->fd;
    pthread_mutex_unlock(&ev->lock);
    return fd;
}

void vm__event_post(struct vm_machine *m, uint32_t kind, uint64_t a, uint64_t b, const char *text)
{
    struct vm_events *ev = m->events;
    const uint64_t now = vm__clock_ns(m);

    pthread_mutex_lock(&ev->lock);
    const uint32_t room = kind == VM_EVENT_GUEST ? QUEUE - KEPT : QUEUE;
    int fd = -1;
    bool queued = false;
    if (wanted(ev, kind) && ev->n < room) {
        struct slot *s = &ev->queue[(ev->head + ev->n++) % QUEUE];
        s->event =
            (vm_event) { .size = sizeof s->event, .kind = kind, .t_ns = now, .a = a, .b = b };
        snprintf(s->text, sizeof s->text, "%s", text != NULL ? text : "");
        fd = ev->fd;
        queued = true;
    }
    pthread_mutex_unlock(&ev->lock);
    if (fd >= 0)
        vm__notify_set(fd);
    else if (queued)
        vm__loop_wake(m->loop);
}

int vm__events_run(struct vm_machine *m, uint32_t max, bool owner)
{
    struct vm_events *ev = m->events;
    int ran = 0;

    pthread_mutex_lock(&ev->lock);
    if (ev->delivering || (ev->fd >= 0 && !owner)) {
        pthread_mutex_unlock(&ev->lock);
        return 0;
    }
    ev->delivering = true;
    ev->deliverer = vm__thread_mark();
    if (ev->fd >= 0)
        vm__notify_clear(ev->fd);
    while (ev->n != 0 && (uint32_t)ran < max) {
        struct slot s = ev->queue[ev->head];
        ev->head = (ev->head + 1) % QUEUE;
        ev->n--;
        void (*fn)(void *, const vm_event *) = (ev->mask & s.event.kind) != 0 ? ev->fn : NULL;
        void *ud = ev->ud;
        s.event.text = s.text;
        tell_taps(ev, &s.event);
        pthread_mutex_unlock(&ev->lock);
        if (fn != NULL)
            fn(ud, &s.event);
        ran++;
        pthread_mutex_lock(&ev->lock);
    }
    ev->delivering = false;
    pthread_cond_broadcast(&ev->delivered);
    if (ev->fd >= 0 && ev->n != 0)
        vm__notify_set(ev->fd); /* readable for the rest */
    pthread_mutex_unlock(&ev->lock);
    return ran;
}
