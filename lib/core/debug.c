/* SPDX-License-Identifier: MIT */
/**
 * @file debug.c
 * A debugger's lists, and the reason why the machine stopped.
 */
#include "core/debug.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/machine.h"

/* ---- asked by engines ------------------------------------------------------------------- */

/* The first breakpoint at or above @p gva. */
static uint32_t position(const struct vm_debug *d, uint64_t gva)
{
    uint32_t lo = 0, hi = d->n_breaks;

    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (d->breaks[mid] < gva)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool vm__debug_find_break(const struct vm_debug *d, uint64_t gva)
{
    const uint32_t k = position(d, gva);
    return k < d->n_breaks && d->breaks[k] == gva;
}

/* Ranges do not wrap: vm__debug_watch_add() sees to it. */
static bool overlap(const struct vm_debug_watch *w, uint64_t gva, uint64_t last)
{
    return gva <= w->gva + (w->len - 1) && w->gva <= last;
}

bool vm__debug_find_page(const struct vm_debug *d, uint64_t page)
{
    for (uint32_t k = 0; k < d->n_watches; k++)
        if (overlap(&d->watches[k], page, page | (VM_PAGE_SIZE - 1)))
            return true;
    return false;
}

bool vm__debug_find_watch(const struct vm_debug *d, uint64_t gva, uint64_t len, uint32_t kinds)
{
    for (uint32_t k = 0; k < d->n_watches; k++)
        if ((d->watches[k].kinds & kinds) && overlap(&d->watches[k], gva, gva + (len - 1)))
            return true;
    return false;
}

uint32_t vm__debug_watch_kind(const struct vm_debug *d, const vm_debug_stop *stop, uint64_t *addr)
{
    for (uint32_t k = 0; k < d->n_watches; k++) {
        const struct vm_debug_watch *w = &d->watches[k];
        if (!overlap(w, stop->addr, stop->addr + (stop->len - 1)))
            continue;
        *addr = stop->addr > w->gva ? stop->addr : w->gva;
        return w->kinds;
    }
    return stop->is_write ? VM_WATCH_WRITE : VM_WATCH_READ;
}

/* ---- changes ---------------------------------------------------------------------------- */

static void lists_changed(struct vm_machine *m)
{
    for (uint32_t i = 0; i < m->n_cpus; i++)
        vm__cpu_kick(m->cpus[i], VM_CPU_REQ_DROP);
}

static int make_room(struct vm_debug *d)
{
    if (d->n_breaks < d->breaks_room)
        return VM_OK;
    if (d->n_breaks == VM_MAX_BREAKS)
        return vm__fail(VM_E_RANGE, "there are %d breakpoints already", VM_MAX_BREAKS);
    const uint32_t room = d->breaks_room != 0 ? 2 * d->breaks_room : 16;
    uint64_t *more = realloc(d->breaks, room * sizeof *more);
    if (more == NULL)
        return vm__fail_nomem(room * sizeof *more);
    d->breaks = more;
    d->breaks_room = room;
    return VM_OK;
}

int vm__debug_break_add(struct vm_machine *m, uint64_t gva)
{
    struct vm_debug *d = &m->debug;
    const uint32_t k = position(d, gva);

    if (k < d->n_breaks && d->breaks[k] == gva)
        return VM_OK;
    const int st = make_room(d);
    if (st != VM_OK)
        return st;
    memmove(&d->breaks[k + 1], &d->breaks[k], (d->n_breaks - k) * sizeof d->breaks[0]);
    d->breaks[k] = gva;
    d->n_breaks++;
    lists_changed(m);
    return VM_OK;
}

int vm__debug_break_del(struct vm_machine *m, uint64_t gva)
{
    struct vm_debug *d = &m->debug;
    const uint32_t k = position(d, gva);

    if (k >= d->n_breaks || d->breaks[k] != gva)
        return vm__fail(VM_E_NOENT, "no breakpoint at 0x%" PRIx64, gva);
    d->n_breaks--;
    memmove(&d->breaks[k], &d->breaks[k + 1], (d->n_breaks - k) * sizeof d->breaks[0]);
    lists_changed(m);
    return VM_OK;
}

int vm__debug_watch_add(struct vm_machine *m, uint64_t gva, uint64_t len, uint32_t kinds)
{
    struct vm_debug *d = &m->debug;

    if (len == 0 || gva + (len - 1) < gva)
        return vm__fail(VM_E_INVAL, "%" PRIu64 " bytes at 0x%" PRIx64 " cannot be watched", len,
                        gva);
    if (kinds == 0 || (kinds & ~(uint32_t)VM_WATCH_ACCESS) != 0)
        return vm__fail(VM_E_INVAL, "a watchpoint is for reads, writes or both");
    if (d->n_watches == VM_MAX_WATCHES)
        return vm__fail(VM_E_RANGE, "there are %d watchpoints already", VM_MAX_WATCHES);
    d->watches[d->n_watches++] = (struct vm_debug_watch) { .gva = gva, .len = len, .kinds = kinds };
    lists_changed(m);
    return VM_OK;
}

int vm__debug_watch_del(struct vm_machine *m, uint64_t gva, uint64_t len, uint32_t kinds)
{
    struct vm_debug *d = &m->debug;

    for (uint32_t k = 0; k < d->n_watches; k++) {
        const struct vm_debug_watch *w = &d->watches[k];
        if (w->gva != gva || w->len != len || w->kinds != kinds)
            continue;
        d->watches[k] = d->watches[--d->n_watches];
        lists_changed(m);
        return VM_OK;
    }
    return vm__fail(VM_E_NOENT, "no such watchpoint at 0x%" PRIx64, gva);
}

void vm__debug_clear(struct vm_machine *m)
{
    m->debug.n_breaks = m->debug.n_watches = 0;
    for (uint32_t i = 0; i < m->n_cpus; i++)
        m->cpus[i]->debug = (struct vm_cpu_debug) { 0 };
    lists_changed(m);
}

void vm__debug_fini(struct vm_machine *m)
{
    free(m->debug.breaks);
    m->debug.breaks = NULL;
}

/* ---- stopping and going on -------------------------------------------------------------- */

bool vm__debug_report(struct vm_machine *m, struct vm_cpu *cpu, const struct vm_exit *exit)
{
    if (m->debug.last.kind != 0)
        return false;
    m->debug.last = (vm_debug_stop) {
        .size = sizeof m->debug.last,
        .kind = (uint32_t)exit->code,
        .cpu = cpu->index,
        .is_write = exit->is_write,
        .pc = exit->data,
        .addr = exit->addr,
        .len = exit->len,
    };
    cpu->debug.told = true;
    if (exit->code == VM_DEBUG_BREAK) {
        cpu->debug.pass = true;
        cpu->debug.pass_at = exit->data;
    }
    /* One of the steppers has arrived; the others stay where they are. */
    for (uint32_t i = 0; i < m->n_cpus; i++)
        m->cpus[i]->debug.step = false;
    return true;
}

void vm__debug_go(struct vm_machine *m)
{
    m->debug.last = (vm_debug_stop) { .size = sizeof m->debug.last };
}

void vm__debug_reset(struct vm_machine *m)
{
    for (uint32_t i = 0; i < m->n_cpus; i++)
        m->cpus[i]->debug.pass = false;
}
