/* SPDX-License-Identifier: MIT */
/**
 * @file bmap_partial.c
 * Blocks that are half there: copy-on-write without copying at the first write.
 *
 * A partial block has its place in the file but no entry in the table yet. A bitmap says which of
 * its 4 KiB chunks are in the file; the others are still read from the backing node. When all are
 * there, or at flush, the block is entered. Everything here is under the stripe lock of the block.
 */
#include <stdlib.h>
#include <string.h>

#include "blockfmt/bmap.h"

struct vm_bmap_partial {
    struct vm_bmap_partial *next;
    uint64_t index, at; /**< the block, and where its data lies in the file */
    uint64_t missing;   /**< chunks */
    bool zeros;         /**< what is missing is zeros, not the backing node's */
    uint8_t have[];     /**< bitmap */
};

static struct vm_bmap_partial **find(const struct vm_bmap *b, uint64_t index)
{
    struct vm_bmap_partial *const *p = &b->partial[index % VM_BMAP_STRIPES];
    while (*p != NULL && (*p)->index != index)
        p = &(*p)->next;
    return (struct vm_bmap_partial **)(uintptr_t)p;
}

bool vm__bmap_partial_has(const struct vm_bmap *b, uint64_t index)
{
    return *find(b, index) != NULL;
}

static bool has_chunk(const struct vm_bmap_partial *p, uint64_t chunk)
{
    return p->have[chunk / 8] >> chunk % 8 & 1;
}

static void got_chunk(struct vm_bmap_partial *p, uint64_t chunk)
{
    p->missing -= !has_chunk(p, chunk);
    p->have[chunk / 8] |= (uint8_t)(1 << chunk % 8);
}

static uint64_t chunks(const struct vm_bmap *b, uint64_t index)
{
    return (vm__bmap_bytes(b, index) + VM_BMAP_CHUNK - 1) / VM_BMAP_CHUNK;
}

/** Bytes of chunk @p chunk that lie within the disk. */
static size_t chunk_bytes(const struct vm_bmap *b, uint64_t index, uint64_t chunk)
{
    uint64_t left = vm__bmap_bytes(b, index) - chunk * VM_BMAP_CHUNK;
    return left < VM_BMAP_CHUNK ? (size_t)left : VM_BMAP_CHUNK;
}

static int start(struct vm_bmap *b, uint64_t index, bool zeros, uint32_t flags,
                 struct vm_bmap_partial **out)
{
    uint64_t n = chunks(b, index);
    struct vm_bmap_partial *p = calloc(1, sizeof *p + (n + 7) / 8);
    if (p == NULL)
        return vm__fail_nomem(sizeof *p + n / 8);
    p->index = index;
    p->missing = n;
    p->zeros = zeros;
    int st =
        flags & VM_IO_NOWAIT ? vm__bmap_alloc_now(b, &p->at) : vm__bmap_alloc(b, index, &p->at);
    if (st != VM_OK) {
        free(p);
        return st;
    }
    struct vm_bmap_partial **head = &b->partial[index % VM_BMAP_STRIPES];
    p->next = *head;
    *head = p;
    atomic_fetch_add(&b->n_partial, 1);
    *out = p;
    return VM_OK;
}

/** Enter a complete block in the table. @p link points at it. */
static int enter(struct vm_bmap *b, struct vm_bmap_partial **link)
{
    struct vm_bmap_partial *p = *link;
    int st = vm__bmap_set(b, p->index, VM_BMAP_DATA, p->at);
    if (st != VM_OK)
        return st;
    *link = p->next;
    free(p);
    atomic_fetch_sub(&b->n_partial, 1);
    return VM_OK;
}

/** What a missing range reads as. */
static int read_missing(struct vm_bmap *b, const struct vm_bmap_partial *p, uint64_t in, size_t len,
                        struct vm_sg sg, uint32_t flags)
{
    if (!p->zeros)
        return vm__blk_read_backing(b->n, b->base + p->index * b->block_size + in, len, sg, flags);
    vm_sg_zero(sg, len);
    return VM_OK;
}

/** Copy a run of missing chunks from the backing node. */
static int copy_run(struct vm_bmap *b, struct vm_bmap_partial *p, uint64_t first, uint64_t end)
{
    size_t len = (size_t)((end - first - 1) * VM_BMAP_CHUNK) + chunk_bytes(b, p->index, end - 1);
    uint8_t *buf = malloc(len);
    struct vm_iov v = { buf, len };
    uint64_t in = first * VM_BMAP_CHUNK;
    struct vm_sg sg = { &v, 0 };
    int st = buf == NULL ? vm__fail_nomem(len) : read_missing(b, p, in, len, sg, 0);
    if (st == VM_OK)
        st = vm__bmap_data_write(b, p->index, in, p->at + in, len, sg, 0);
    free(buf);
    for (uint64_t c = first; st == VM_OK && c < end; c++)
        got_chunk(p, c);
    return st;
}

static int complete(struct vm_bmap *b, struct vm_bmap_partial *p)
{
    enum { RUN = (1 << 20) / VM_BMAP_CHUNK };
    uint64_t n = chunks(b, p->index);
    for (uint64_t c = 0; c < n && p->missing != 0;) {
        if (has_chunk(p, c)) {
            c++;
            continue;
        }
        uint64_t end = c + 1;
        while (end < n && end - c < RUN && !has_chunk(p, end))
            end++;
        int st = copy_run(b, p, c, end);
        if (st != VM_OK)
            return st;
        c = end;
    }
    return VM_OK;
}

int vm__bmap_partial_fill(struct vm_bmap *b)
{
    for (unsigned i = 0; i < VM_BMAP_STRIPES && atomic_load(&b->n_partial) != 0; i++) {
        int st = VM_OK;
        (void)pthread_mutex_lock(&b->stripes[i]);
        while (b->partial[i] != NULL && st == VM_OK) {
            st = complete(b, b->partial[i]);
            if (st == VM_OK)
                st = enter(b, &b->partial[i]);
        }
        (void)pthread_mutex_unlock(&b->stripes[i]);
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}

void vm__bmap_partial_free(struct vm_bmap *b)
{
    for (unsigned i = 0; i < VM_BMAP_STRIPES; i++) {
        while (b->partial[i] != NULL) {
            struct vm_bmap_partial *p = b->partial[i];
            b->partial[i] = p->next;
            free(p);
        }
    }
    atomic_store(&b->n_partial, 0);
}

int vm__bmap_partial_read(struct vm_bmap *b, uint64_t index, uint64_t in, size_t len,
                          struct vm_sg sg, uint32_t flags, bool *handled)
{
    const struct vm_bmap_partial *p = *find(b, index);
    *handled = p != NULL;
    if (p == NULL) { /* entered since the caller looked? Then its entry says so now */
        struct vm_bmap_entry e;
        int st = vm__bmap_get(b, index, flags, &e);
        if (st != VM_OK || e.kind != VM_BMAP_DATA)
            return st;
        *handled = true;
        return vm__bmap_data_read(b, index, in, e.off + in, len, sg, flags);
    }
    for (size_t done = 0; done < len;) {
        uint64_t c = (in + done) / VM_BMAP_CHUNK;
        bool here = has_chunk(p, c);
        uint64_t end = (c + 1) * VM_BMAP_CHUNK;
        while (end < in + len && has_chunk(p, end / VM_BMAP_CHUNK) == here)
            end += VM_BMAP_CHUNK;
        size_t n = (size_t)((end < in + len ? end : in + len) - (in + done));
        struct vm_sg part = vm_sg_at(sg, done);
        int st = here ? vm__bmap_data_read(b, index, in + done, p->at + in + done, n, part, flags)
                      : read_missing(b, p, in + done, n, part, flags);
        if (st != VM_OK)
            return st;
        done += n;
    }
    return VM_OK;
}

/** What is missing is zeros in the file already: the block is whole. */
static bool whole_by_itself(const struct vm_bmap *b, const struct vm_bmap_partial *p)
{
    return p->zeros && !b->fill_new;
}

/** A chunk that is written in part and not there yet is first copied whole. */
static int prepare_edge(struct vm_bmap *b, struct vm_bmap_partial *p, uint64_t in, uint64_t end,
                        uint64_t chunk, uint32_t flags)
{
    uint64_t first = chunk * VM_BMAP_CHUNK, last = first + chunk_bytes(b, p->index, chunk);
    if (has_chunk(p, chunk) || (in <= first && end >= last) || whole_by_itself(b, p))
        return VM_OK;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    return copy_run(b, p, chunk, chunk + 1);
}

int vm__bmap_partial_write(struct vm_bmap *b, uint64_t index, uint64_t in, size_t len,
                           struct vm_sg sg, uint32_t flags, bool zeros)
{
    struct vm_bmap_partial **link = find(b, index), *p = *link;
    int st = VM_OK;
    if (p == NULL) {
        st = start(b, index, zeros, flags, &p);
        link = find(b, index);
    }
    uint64_t end = in + len, first = in / VM_BMAP_CHUNK, last = (end - 1) / VM_BMAP_CHUNK;
    if (st == VM_OK)
        st = prepare_edge(b, p, in, end, first, flags);
    if (st == VM_OK)
        st = prepare_edge(b, p, in, end, last, flags);
    if (st == VM_OK)
        st = vm__bmap_data_write(b, index, in, p->at + in, len, sg, flags);
    for (uint64_t c = first; st == VM_OK && c <= last; c++)
        got_chunk(p, c);
    bool ready = st == VM_OK && (p->missing == 0 || whole_by_itself(b, p));
    return ready ? enter(b, link) : st;
}
