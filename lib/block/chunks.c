/* SPDX-License-Identifier: MIT */
/**
 * @file chunks.c
 * Chunks of a disk that a job has to copy.
 */
#include "block/chunks.h"

#include <stdlib.h>

#include "base/error.h"

int vm__chunks_init(struct vm_chunks *c, uint64_t size)
{
    c->size = size;
    c->n = size / VM_CHUNK + (size % VM_CHUNK != 0);
    c->bits = calloc(c->n / 64 + 1, sizeof *c->bits);
    return c->bits != NULL ? VM_OK : vm__fail_nomem(c->n / 8);
}

void vm__chunks_fini(struct vm_chunks *c)
{
    free((void *)c->bits);
}

void vm__chunks_set(struct vm_chunks *c, uint64_t off, uint64_t len)
{
    if (off >= c->size || len == 0)
        return;
    if (len > c->size - off)
        len = c->size - off;
    for (uint64_t i = off / VM_CHUNK; i <= (off + len - 1) / VM_CHUNK; i++)
        atomic_fetch_or(&c->bits[i / 64], UINT64_C(1) << i % 64);
}

uint64_t vm__chunks_next(const struct vm_chunks *c, uint64_t from)
{
    while (from < c->n && !vm__chunks_has(c, from))
        from = from % 64 == 0 && atomic_load(&c->bits[from / 64]) == 0 ? from + 64 : from + 1;
    return from < c->n ? from : c->n;
}

uint64_t vm__chunks_count(const struct vm_chunks *c)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i <= c->n / 64; i++)
        count += (uint64_t)__builtin_popcountll(atomic_load(&c->bits[i]));
    return count;
}

int vm__chunks_plan(struct vm_chunks *c, struct vm_blk *n, bool top)
{
    for (uint64_t off = 0; off < c->size;) {
        struct vm_extent e;
        uint32_t depth;
        const int st = top ? vm__blk_status(n, off, c->size - off, &e)
                           : vm__blk_status_chain(n, off, c->size - off, &e, &depth);
        if (st != VM_OK)
            return st;
        /* Zeros of the node's own are copied, too: they may hide what is below. */
        if (top ? e.flags & VM_EXTENT_ALLOCATED : !(e.flags & VM_EXTENT_ZERO))
            vm__chunks_set(c, off, e.length);
        off += e.length;
    }
    return VM_OK;
}

int vm__chunks_copy(const struct vm_chunks *c, uint64_t i, struct vm_blk *from, struct vm_blk *to,
                    void *buf)
{
    const uint64_t off = i * VM_CHUNK, left = c->size - off;
    struct vm_iov v = { buf, left < VM_CHUNK ? (size_t)left : VM_CHUNK };
    const struct vm_sg sg = { &v, 0 };
    const int st = vm__blk_readv(from, off, v.len, sg, 0);
    if (st != VM_OK)
        return st;
    return vm_sg_is_zero(sg, v.len) ? vm__blk_zero(to, off, v.len, VM_IO_UNMAP)
                                    : vm__blk_writev(to, off, v.len, sg, 0);
}
