/* SPDX-License-Identifier: MIT */
/**
 * @file chunks.h
 * A bit for each chunk of a disk, for jobs that copy it; and the copying of one chunk.
 */
#ifndef LIBVM_BLOCK_CHUNKS_H
#define LIBVM_BLOCK_CHUNKS_H

#include "block/node.h"

enum { VM_CHUNK = 64 * 1024 };

struct vm_chunks {
    _Atomic uint64_t *bits;
    uint64_t n;    /**< chunks */
    uint64_t size; /**< bytes of the disk */
};

int vm__chunks_init(struct vm_chunks *c, uint64_t size);
void vm__chunks_fini(struct vm_chunks *c);
static inline bool vm__chunks_has(const struct vm_chunks *c, uint64_t i)
{
    return atomic_load(&c->bits[i / 64]) >> i % 64 & 1;
}
/** @return it was set before */
static inline bool vm__chunks_take(struct vm_chunks *c, uint64_t i)
{
    const uint64_t bit = UINT64_C(1) << i % 64;
    return atomic_fetch_and(&c->bits[i / 64], ~bit) & bit;
}
/** Every chunk that [off, off + len) touches. */
void vm__chunks_set(struct vm_chunks *c, uint64_t off, uint64_t len);
/** The first from @p from on that is set, or c->n. */
uint64_t vm__chunks_next(const struct vm_chunks *c, uint64_t from);
uint64_t vm__chunks_count(const struct vm_chunks *c);
/** Set what holds something: in the whole chain, or in @p n alone. */
int vm__chunks_plan(struct vm_chunks *c, struct vm_blk *n, bool top);
/** Copy chunk @p i; zeros are not stored. @p buf: VM_CHUNK bytes. */
int vm__chunks_copy(const struct vm_chunks *c, uint64_t i, struct vm_blk *from, struct vm_blk *to,
                    void *buf);

#endif
