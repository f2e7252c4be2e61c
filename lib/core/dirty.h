/* SPDX-License-Identifier: MIT */
/**
 * @file dirty.h
 * Which pages of a RAM region the guest wrote since somebody last looked: for displays.
 *
 * Writing stays cheap: a page that is dirty already may be written through the soft TLB. Taking the
 * log makes pages clean and asks processors to drop their cached write permission. Until the last
 * of them has, one may write to a page that looks clean; so a page that was taken is reported again
 * until a look that came after that moment.
 *
 * Threads: everything here under the machine lock.
 */
#ifndef LIBVM_CORE_DIRTY_H
#define LIBVM_CORE_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

struct vm_region;

struct vm_dirty {
    struct vm_region *region;
    uint64_t n_pages;
    uint64_t *found;    /**< a bit a page: the outcome of the last vm__dirty_take() */
    uint64_t *settling; /**< taken, while some processor may still write unseen */
    uint64_t epoch;     /**< processors that entered run() since then have dropped permission */
};

/** Log writes to a RAM region from now on. Every page counts as written at first. */
int vm__dirty_init(struct vm_dirty *d, struct vm_region *region);
void vm__dirty_fini(struct vm_dirty *d);
/** Collect and clean the pages of [@p first, @p last), byte offsets. @return is there any? */
bool vm__dirty_take(struct vm_dirty *d, uint64_t first, uint64_t last);

/** Did the last look find a page of bytes [@p first, @p last] written? */
static inline bool vm__dirty_in(const struct vm_dirty *d, uint64_t first, uint64_t last)
{
    for (uint64_t page = first >> 12; page <= last >> 12 && page < d->n_pages; page++)
        if (d->found[page / 64] >> (page % 64) & 1)
            return true;
    return false;
}

#endif
