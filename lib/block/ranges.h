/* SPDX-License-Identifier: MIT */
/**
 * @file ranges.h
 * Ranges being worked on: whoever wants one that overlaps waits for it.
 *
 * For drivers whose writes are more than one step: a copy-on-write reads, merges and writes, and
 * must not meet another into the same place.
 */
#ifndef LIBVM_BLOCK_RANGES_H
#define LIBVM_BLOCK_RANGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** On the stack of who works on it. */
struct vm_range {
    uint64_t off, len;
    struct vm_range *next;
};

/** In the driver's state. */
struct vm_ranges {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct vm_range *list;
};

void vm__ranges_init(struct vm_ranges *rs);
void vm__ranges_fini(struct vm_ranges *rs);
void vm__ranges_lock(struct vm_ranges *rs, struct vm_range *r, uint64_t off, uint64_t len);
/** False: it would have to wait. */
bool vm__ranges_try(struct vm_ranges *rs, struct vm_range *r, uint64_t off, uint64_t len);
void vm__ranges_unlock(struct vm_ranges *rs, struct vm_range *r);

#endif
