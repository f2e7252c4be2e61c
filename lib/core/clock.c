/* SPDX-License-Identifier: MIT */
/**
 * @file clock.c
 * The machine's time and its timers: a binary heap by deadline, then by order of arming.
 */
#include "core/clock_impl.h"

#include <stdlib.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/device_impl.h"
#include "host/time.h"

int vm__clock_init(struct vm_machine *m, enum vm_clock_mode mode, uint64_t ns_per_insn)
{
    struct vm_clock *c = calloc(1, sizeof *c);
    if (c == NULL)
        return vm__fail_nomem(sizeof *c);
    c->mode = mode;
    c->ns_per_insn = ns_per_insn != 0 ? ns_per_insn : 1;
    c->firing = UINT64_MAX;
    atomic_store(&c->next, UINT64_MAX);
    pthread_mutex_init(&c->lock, NULL);
    m->clock = c;
    return VM_OK;
}

void vm__clock_fini(struct vm_machine *m)
{
    struct vm_clock *c = m->clock;
    if (c == NULL)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->heap);
    free(c);
    m->clock = NULL;
}

/* ---- time ------------------------------------------------------------------------------- */

uint64_t vm__clock_ns(struct vm_machine *m)
{
    struct vm_clock *c = m->clock;

    if (c->mode == VM_CLOCK_ICOUNT) {
        struct vm_cpu *cpu = atomic_load_explicit(&c->cpu, memory_order_relaxed);
        const uint64_t base = atomic_load(&c->base);
        if (cpu == NULL || atomic_load(&c->driver) != vm__thread_mark())
            return base;
        return base + (cpu->cls->insns(cpu) - c->cpu_start) * c->ns_per_insn;
    }
    const uint64_t frozen = atomic_load(&c->frozen);
    if (frozen != UINT64_MAX)
        return frozen;
    const uint64_t now = vm__host_ns() - atomic_load(&c->offset);
    const uint64_t next = atomic_load(&c->next); /* after the host's time: it may just be armed */
    return now < next ? now : next;
}

/* Without standing still. */
static uint64_t unbounded_ns(struct vm_machine *m)
{
    const struct vm_clock *c = m->clock;
    if (c->mode == VM_CLOCK_ICOUNT || !vm__clock_running(c))
        return vm__clock_ns(m);
    return vm__host_ns() - atomic_load(&c->offset);
}

bool vm__clock_due(struct vm_machine *m)
{
    const uint64_t next = vm__clock_next(m->clock);
    return next != UINT64_MAX && vm__clock_running(m->clock) && next <= unbounded_ns(m);
}

void vm__clock_start(struct vm_machine *m)
{
    struct vm_clock *c = m->clock;
    if (vm__clock_running(c))
        return;
    atomic_store(&c->offset, vm__host_ns() - atomic_load(&c->frozen));
    atomic_store(&c->frozen, UINT64_MAX);
}

void vm__clock_stop(struct vm_machine *m)
{
    struct vm_clock *c = m->clock;
    if (vm__clock_running(c))
        atomic_store(&c->frozen, vm__clock_ns(m));
}

uint64_t vm__clock_host_time(const struct vm_clock *c, uint64_t deadline_ns)
{
    const uint64_t offset = atomic_load(&c->offset);
    return deadline_ns < UINT64_MAX - offset ? deadline_ns + offset : UINT64_MAX;
}

void vm__clock_slice_begin(struct vm_machine *m, struct vm_cpu *cpu)
{
    struct vm_clock *c = m->clock;
    if (c->mode != VM_CLOCK_ICOUNT)
        return;
    c->cpu_start = cpu->cls->insns(cpu);
    atomic_store(&c->driver, vm__thread_mark());
    atomic_store(&c->cpu, cpu);
}

void vm__clock_slice_end(struct vm_machine *m)
{
    struct vm_clock *c = m->clock;
    struct vm_cpu *cpu = atomic_load(&c->cpu);
    if (cpu == NULL)
        return;
    const uint64_t n = cpu->cls->insns(cpu) - c->cpu_start;
    atomic_store(&c->cpu, NULL);
    atomic_fetch_add(&c->base, n * c->ns_per_insn);
}

void vm__clock_warp(struct vm_machine *m, uint64_t to_ns)
{
    struct vm_clock *c = m->clock;
    if (atomic_load(&c->base) < to_ns)
        atomic_store(&c->base, to_ns);
}

void vm__clock_set(struct vm_machine *m, uint64_t now_ns)
{
    struct vm_clock *c = m->clock;
    atomic_store(&c->base, now_ns);
    if (!vm__clock_running(c))
        atomic_store(&c->frozen, now_ns);
}

/* ---- timers ----------------------------------------------------------------------------- */

static bool before(const struct vm_timer *a, const struct vm_timer *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return a->order < b->order;
}

static void put(struct vm_clock *c, uint32_t i, struct vm_timer *t)
{
    c->heap[i] = t;
    atomic_store_explicit(&t->heap_index, i + 1, memory_order_relaxed);
}

static void sift_up(struct vm_clock *c, uint32_t i, struct vm_timer *t)
{
    while (i > 0 && before(t, c->heap[(i - 1) / 2])) {
        put(c, i, c->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(c, i, t);
}

static void sift_down(struct vm_clock *c, uint32_t i, struct vm_timer *t)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= c->n)
            break;
        if (child + 1 < c->n && before(c->heap[child + 1], c->heap[child]))
            child++;
        if (!before(c->heap[child], t))
            break;
        put(c, i, c->heap[child]);
        i = child;
    }
    put(c, i, t);
}

static void publish_next(struct vm_clock *c)
{
    const uint64_t top = c->n != 0 ? c->heap[0]->deadline_ns : UINT64_MAX;
    atomic_store(&c->next, top < c->firing ? top : c->firing);
}

static void heap_remove(struct vm_clock *c, struct vm_timer *t)
{
    const uint32_t index = atomic_load_explicit(&t->heap_index, memory_order_relaxed);
    if (index == 0)
        return;
    const uint32_t i = index - 1;
    atomic_store_explicit(&t->heap_index, 0, memory_order_relaxed);
    struct vm_timer *last = c->heap[--c->n];
    if (last != t) {
        if (i > 0 && before(last, c->heap[(i - 1) / 2]))
            sift_up(c, i, last);
        else
            sift_down(c, i, last);
    }
}

static bool reserve(struct vm_clock *c)
{
    if (c->n < c->room)
        return true;
    const uint32_t room = c->room != 0 ? c->room * 2 : 32;
    struct vm_timer **heap = realloc(c->heap, room * sizeof(*heap));
    if (heap == NULL)
        return false;
    c->heap = heap;
    c->room = room;
    return true;
}

void vm__timer_init(struct vm_timer *t, struct vm_machine *m, void (*fn)(void *), void *opaque)
{
    *t = (struct vm_timer) { .m = m, .fn = fn, .opaque = opaque, .deadline_ns = UINT64_MAX };
}

void vm__timer_arm(struct vm_timer *t, uint64_t deadline_ns)
{
    struct vm_clock *c = t->m->clock;

    pthread_mutex_lock(&c->lock);
    const uint64_t old_next = atomic_load_explicit(&c->next, memory_order_relaxed);
    heap_remove(c, t);
    if (!reserve(c)) {
        pthread_mutex_unlock(&c->lock);
        vm__request_crash(t->m, VM_E_NOMEM, "no memory for a timer");
        return;
    }
    const uint64_t now = vm__clock_ns(t->m);
    t->deadline_ns = deadline_ns > now ? deadline_ns : now; /* time does not go back to it */
    t->order = ++c->order;
    sift_up(c, c->n++, t);
    publish_next(c);
    const bool earlier = deadline_ns < old_next;
    pthread_mutex_unlock(&c->lock);
    if (earlier)
        vm__run_deadline_moved(t->m);
}

void vm__timer_cancel(struct vm_timer *t)
{
    if (t->m == NULL)
        return;
    struct vm_clock *c = t->m->clock;
    pthread_mutex_lock(&c->lock);
    heap_remove(c, t);
    publish_next(c);
    pthread_mutex_unlock(&c->lock);
}

void vm__timers_forget(struct vm_machine *m, const void *at, size_t len)
{
    struct vm_clock *c = m->clock;
    const uintptr_t start = (uintptr_t)at;

    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->n;) {
        if ((uintptr_t)c->heap[i] - start < len) {
            heap_remove(c, c->heap[i]);
            i = 0; /* the heap was rearranged */
        } else {
            i++;
        }
    }
    publish_next(c);
    pthread_mutex_unlock(&c->lock);
}

void vm__clock_fire(struct vm_machine *m)
{
    struct vm_clock *c = m->clock;
    const uint64_t now = unbounded_ns(m);

    if (vm__clock_next(c) > now)
        return;
    pthread_mutex_lock(&c->lock);
    const uint64_t order = c->order; /* what is armed from here on waits for the next call */
    while (c->n != 0) {
        struct vm_timer *t = c->heap[0];
        if (t->deadline_ns > now || t->order > order)
            break;
        heap_remove(c, t);
        c->firing = t->deadline_ns; /* time stands here until the callback is done */
        publish_next(c);
        void (*fn)(void *) = t->fn;
        void *opaque = t->opaque;
        pthread_mutex_unlock(&c->lock);
        fn(opaque);
        pthread_mutex_lock(&c->lock);
        c->firing = UINT64_MAX;
        publish_next(c);
    }
    pthread_mutex_unlock(&c->lock);
}
