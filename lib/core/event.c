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
};

int vm__events_init(struct vm_machine *m)
{
    m->events = calloc(1, sizeof *m->events);
    if (m->events == NULL)
        return vm__fail_nomem(sizeof *m->events);
    m->events->fd = -1;
    pthread_mutex_init(&m->events->lock, NULL);
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
    if ((ev->mask & kind) != 0 && ev->n < room) {
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
    if (ev->fd >= 0)
        vm__notify_clear(ev->fd);
    while (ev->n != 0 && (uint32_t)ran < max) {
        struct slot s = ev->queue[ev->head];
        ev->head = (ev->head + 1) % QUEUE;
        ev->n--;
        void (*fn)(void *, const vm_event *) = (ev->mask & s.event.kind) != 0 ? ev->fn : NULL;
        void *ud = ev->ud;
        pthread_mutex_unlock(&ev->lock);
        s.event.text = s.text;
        if (fn != NULL)
            fn(ud, &s.event);
        ran++;
        pthread_mutex_lock(&ev->lock);
    }
    ev->delivering = false;
    if (ev->fd >= 0 && ev->n != 0)
        vm__notify_set(ev->fd); /* readable for the rest */
    pthread_mutex_unlock(&ev->lock);
    return ran;
}
