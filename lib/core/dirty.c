/* SPDX-License-Identifier: MIT */
/**
 * @file dirty.c
 * Taking the dirty log of a region.
 */
#include "core/dirty.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/address_space.h"

int vm__dirty_init(struct vm_dirty *d, struct vm_region *region)
{
    const uint64_t n_pages = vm__region_size(region) >> VM_PAGE_SHIFT;
    const size_t bytes = (size_t)(n_pages + 63) / 64 * sizeof *d->found;
    uint64_t *bits = malloc(2 * bytes);
    if (bits == NULL)
        return vm__fail_nomem(2 * bytes);
    memset(bits, 0, 2 * bytes);
    *d = (struct vm_dirty) {
        .region = region, .n_pages = n_pages, .found = bits, .settling = bits + bytes / 8
    };
    struct vm_page *pages = vm__region_pages(region);
    for (uint64_t i = 0; i < n_pages; i++)
        atomic_fetch_or_explicit(&pages[i].flags, VM_PAGE_LOG_DIRTY | VM_PAGE_DIRTY,
                                 memory_order_relaxed);
    return VM_OK;
}

void vm__dirty_fini(struct vm_dirty *d)
{
    free(d->found);
    *d = (struct vm_dirty) { 0 };
}

/** Have every processor ask again before it writes to a page, and note from when on that holds. */
static void drop_permission(struct vm_dirty *d)
{
    struct vm_machine *m = d->region->m;
    for (uint32_t i = 0; i < m->n_cpus; i++)
        vm__cpu_kick(m->cpus[i], VM_CPU_REQ_CODE | VM_CPU_REQ_YIELD);
    /* After the kicks: who enters run() in this epoch has the request before it runs anything. */
    d->epoch = atomic_fetch_add(&m->mem->epoch, 1) + 1;
}

bool vm__dirty_take(struct vm_dirty *d, uint64_t first, uint64_t last)
{
    struct vm_page *pages = vm__region_pages(d->region);
    const bool settled = vm__run_oldest_epoch(d->region->m) >= d->epoch;
    struct vm_mem_mirror *mirror = d->region->m->mem->mirror;
    uint64_t any = 0, fresh = 0;

    if (mirror != NULL && d->region->ram != NULL)
        mirror->collect(mirror->ud, d->region->ram);
    last = vm_min_u64((last + VM_PAGE_SIZE - 1) >> VM_PAGE_SHIFT, d->n_pages);
    for (uint64_t i = 0; i < (d->n_pages + 63) / 64; i++) {
        d->found[i] = d->settling[i];
        any |= d->found[i];
        if (settled)
            d->settling[i] = 0;
    }
    for (uint64_t i = first >> VM_PAGE_SHIFT; i < last; i++) {
        if (!(atomic_load_explicit(&pages[i].flags, memory_order_relaxed) & VM_PAGE_DIRTY))
            continue;
        atomic_fetch_and_explicit(&pages[i].flags, ~(uint32_t)VM_PAGE_DIRTY, memory_order_seq_cst);
        d->found[i / 64] |= vm_bit(i % 64);
        d->settling[i / 64] |= vm_bit(i % 64);
        fresh = 1;
    }
    if (fresh)
        drop_permission(d);
    return (any | fresh) != 0;
}
