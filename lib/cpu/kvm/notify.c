/* SPDX-License-Identifier: MIT */
/**
 * @file notify.c
 * Doorbells (core/doorbell.h) that ring without stopping the processor.
 *
 * Spec: [KVM KVM_IOEVENTFD].
 */
#include <stdlib.h>
#include <unistd.h>

#include "core/doorbell.h"
#include "cpu/kvm/kvm.h"
#include "host/loop.h"
#include "host/thread.h"

struct kvm_event {
    struct kvm *v;
    struct vm_doorbell *bell;
    struct vm_doorbell is; /* as it was when it was set: the bell may be gone */
    bool port;
    uint64_t at;
    int fd;
    struct vm_watch *watch;
    struct kvm_event *next;
};

static int set(const struct kvm_event *e, bool on)
{
    struct kvm_ioeventfd i = {
        .datamatch = e->is.value,
        .addr = e->at,
        .len = e->is.size,
        .fd = e->fd,
        .flags = (e->is.one_value ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
                 (e->port ? KVM_IOEVENTFD_FLAG_PIO : 0u) | (on ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };
    return vm__kvm_vm_ioctl(e->v, KVM_IOEVENTFD, (uintptr_t)&i);
}

/* Rung since the last look: once, however often. */
static void ring(struct kvm_event *e)
{
    uint64_t times;

    if (read(e->fd, &times, sizeof times) != sizeof times)
        return;
    atomic_fetch_add(&e->v->event_count, times);
    e->is.ring(e->is.opaque);
}

static void on_readable(void *opaque, unsigned events)
{
    (void)events;
    ring(opaque);
}

/* ---- following the map ---- */

static bool has_bell(const struct kvm *v, const struct vm_doorbell *bell)
{
    for (const struct vm_doorbell *b = v->m->mem->doorbells; b != NULL; b = b->next)
        if (b == bell)
            return true;
    return false;
}

static bool is_current(const struct kvm_event *e)
{
    bool port;
    uint64_t at;

    return has_bell(e->v, e->bell) && e->bell->window == e->is.window &&
           e->bell->ring == e->is.ring && e->bell->opaque == e->is.opaque &&
           vm__doorbell_place(e->v->m, e->bell, &port, &at) && port == e->port && at == e->at;
}

static void release(struct kvm_event *e)
{
    (void)set(e, false);
    if (has_bell(e->v, e->bell))
        ring(e);
    vm__watch_free(e->watch);
    vm__notify_free(e->fd);
    free(e);
}

static const struct kvm_event *find(const struct kvm *v, const struct vm_doorbell *bell)
{
    for (const struct kvm_event *e = v->events; e != NULL; e = e->next)
        if (e->bell == bell)
            return e;
    return NULL;
}

/* What cannot be set stays an exit. */
static void assign(struct kvm *v, struct vm_doorbell *bell, bool port, uint64_t at)
{
    struct kvm_event *e = calloc(1, sizeof *e);

    if (e == NULL)
        return;
    *e = (struct kvm_event) { .v = v, .bell = bell, .is = *bell, .port = port, .at = at };
    e->fd = vm__notify_new();
    e->watch = e->fd >= 0 ? vm__watch_new(v->m->loop, e->fd, VM_LOOP_IN, on_readable, e) : NULL;
    if (e->watch != NULL && set(e, true) >= 0) {
        e->next = v->events;
        v->events = e;
        return;
    }
    if (e->watch != NULL)
        vm__watch_free(e->watch);
    vm__notify_free(e->fd);
    free(e);
}

void vm__kvm_events_update(struct kvm *v)
{
    bool port;
    uint64_t at;

    if (!v->caps.ioeventfd)
        return;
    if (v->ringing) {
        v->stale = true; /* a bell has changed the map: when all have been rung */
        return;
    }
    for (struct kvm_event **link = &v->events; *link != NULL;) {
        struct kvm_event *e = *link;
        if (is_current(e)) {
            link = &e->next;
            continue;
        }
        *link = e->next;
        release(e);
    }
    for (struct vm_doorbell *b = v->m->mem->doorbells; b != NULL; b = b->next)
        if (find(v, b) == NULL && vm__doorbell_place(v->m, b, &port, &at))
            assign(v, b, port, at);
}

void vm__kvm_events_settle(struct kvm *v)
{
    v->ringing = true;
    for (struct kvm_event *e = v->events; e != NULL; e = e->next)
        ring(e);
    v->ringing = false;
    if (v->stale) {
        v->stale = false;
        vm__kvm_events_update(v);
    }
}

void vm__kvm_events_fini(struct kvm *v)
{
    while (v->events != NULL) {
        struct kvm_event *e = v->events;
        v->events = e->next;
        release(e);
    }
}
