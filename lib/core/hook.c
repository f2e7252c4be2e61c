/* SPDX-License-Identifier: MIT */
/**
 * @file hook.c
 * The list of hooks, and calling them.
 */
#include "core/hook.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/clock_impl.h"
#include "core/run.h"

struct vm_hook {
    struct vm_hook *next;
    int64_t id;
    uint32_t kinds;
    uint32_t users; /**< calls that go on */
    bool gone;      /**< removed from the list; the last user frees it */
    uint64_t first, last;
    vm_hook_fn fn;
    void *ud;
    vm_free_fn free_ud;
};

void vm__hooks_init(struct vm_hooks *h)
{
    pthread_mutex_init(&h->lock, NULL);
}

static void release(struct vm_hook *hook)
{
    if (hook->free_ud != NULL)
        hook->free_ud(hook->ud);
    free(hook);
}

void vm__hooks_fini(struct vm_hooks *h)
{
    while (h->list != NULL) {
        struct vm_hook *hook = h->list;
        h->list = hook->next;
        release(hook);
    }
    pthread_mutex_destroy(&h->lock);
}

/* ---- changing the list ---- */

/* Under its lock. */
static void count_kinds(struct vm_hooks *h)
{
    uint32_t kinds = 0;
    for (const struct vm_hook *k = h->list; k != NULL; k = k->next)
        kinds |= k->kinds;
    atomic_store_explicit(&h->kinds, kinds, memory_order_release);
}

/* Processors have decoded code and cached pages without knowing of the change. */
static void tell_processors(struct vm_machine *m, uint32_t kinds)
{
    if ((kinds & (VM_HOOK_CODE | VM_HOOK_MEM)) == 0)
        return;
    for (uint32_t i = 0; i < m->n_cpus; i++)
        vm__cpu_kick(m->cpus[i], VM_CPU_REQ_DROP);
}

int64_t vm__hook_add(struct vm_machine *m, uint32_t kinds, uint64_t first, uint64_t last,
                     vm_hook_fn fn, void *ud, vm_free_fn free_ud)
{
    struct vm_hooks *h = &m->hooks;

    if (fn == NULL || kinds == 0 || (kinds & ~(uint32_t)VM_HOOK_ALL) != 0)
        return vm__fail(VM_E_INVAL, "a hook is a function and known kinds, not 0x%x", kinds);
    if (first > last)
        return vm__fail(VM_E_INVAL, "nothing lies from 0x%" PRIx64 " to 0x%" PRIx64, first, last);
    if (m->n_cpus == 0 || m->cpu_class->has_hooks == NULL || !m->cpu_class->has_hooks(m))
        return vm__fail(VM_E_NOTSUP, "what runs this machine knows no hooks");
    struct vm_hook *hook = malloc(sizeof *hook);
    if (hook == NULL)
        return vm__fail_nomem(sizeof *hook);
    *hook = (struct vm_hook) {
        .kinds = kinds, .first = first, .last = last, .fn = fn, .ud = ud, .free_ud = free_ud
    };
    pthread_mutex_lock(&h->lock);
    struct vm_hook **end = &h->list;
    while (*end != NULL)
        end = &(*end)->next;
    *end = hook;
    const int64_t id = hook->id = ++h->last_id;
    count_kinds(h);
    pthread_mutex_unlock(&h->lock);
    tell_processors(m, kinds);
    return id;
}

int vm__hook_del(struct vm_machine *m, int64_t id)
{
    struct vm_hooks *h = &m->hooks;

    pthread_mutex_lock(&h->lock);
    struct vm_hook **at = &h->list;
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    struct vm_hook *hook = *at;
    if (hook == NULL) {
        pthread_mutex_unlock(&h->lock);
        return vm__fail(VM_E_NOENT, "there is no hook %" PRId64, id);
    }
    *at = hook->next;
    hook->gone = true;
    const bool unused = hook->users == 0;
    const uint32_t kinds = hook->kinds;
    count_kinds(h);
    pthread_mutex_unlock(&h->lock);
    if (unused)
        release(hook);
    tell_processors(m, kinds);
    return VM_OK;
}

/* ---- asked by processors ---- */

static bool looks_at(const struct vm_hook *hook, uint32_t kinds, uint64_t first, uint64_t last)
{
    return (hook->kinds & kinds) != 0 && hook->first <= last && first <= hook->last;
}

uint32_t vm__hook_find(struct vm_hooks *h, uint32_t kinds, uint64_t first, uint64_t last)
{
    uint32_t found = 0;

    pthread_mutex_lock(&h->lock);
    for (const struct vm_hook *k = h->list; k != NULL; k = k->next)
        if (looks_at(k, kinds, first, last))
            found |= k->kinds & kinds;
    pthread_mutex_unlock(&h->lock);
    return found;
}

/* The next one with a number above @p id, which nobody frees while it is used. */
static struct vm_hook *take(struct vm_hooks *h, int64_t id, const vm_hook_event *e, uint64_t last)
{
    pthread_mutex_lock(&h->lock);
    struct vm_hook *k = h->list;
    while (k != NULL && (k->id <= id || !looks_at(k, e->kind, e->addr, last)))
        k = k->next;
    if (k != NULL)
        k->users++;
    pthread_mutex_unlock(&h->lock);
    return k;
}

static void give_back(struct vm_hooks *h, struct vm_hook *hook)
{
    pthread_mutex_lock(&h->lock);
    const bool last = --hook->users == 0 && hook->gone;
    pthread_mutex_unlock(&h->lock);
    if (last)
        release(hook);
}

bool vm__in_hook(const struct vm_cpu *cpu)
{
    return atomic_load(&cpu->in_hook) == vm__thread_mark();
}

int vm__hook_call(struct vm_machine *m, struct vm_cpu *cpu, vm_hook_event *event, uint64_t last)
{
    struct vm_hook *hook;
    int answer = VM_HOOK_GO;

    event->size = sizeof *event;
    event->cpu = cpu->index;
    for (int64_t id = 0; answer == VM_HOOK_GO && (hook = take(&m->hooks, id, event, last)) != NULL;
         give_back(&m->hooks, hook)) {
        id = hook->id;
        atomic_store(&cpu->in_hook, vm__thread_mark());
        answer = hook->fn(hook->ud, cpu, event);
        atomic_store(&cpu->in_hook, 0);
    }
    if (answer < 0) {
        vm__request_error(m, answer, "a hook failed");
        answer = VM_HOOK_STOP;
    } else if (answer == VM_HOOK_STOP) {
        vm__ask(m, VM_ASK_PAUSE);
    }
    return answer;
}
