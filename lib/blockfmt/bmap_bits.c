/* SPDX-License-Identifier: MIT */
/**
 * @file bmap_bits.c
 * Sector bitmaps: in differencing VHD and VHDX images each block has a bit a sector, set where the
 * sector is in this image and clear where it is still the parent's.
 *
 * With these, copy-on-write copies nothing but the rest of a sector. A bit is set in memory after
 * its data is written, and written to the file by flush, after the data is safe, like table
 * entries; the bitmap of a new block is written as zeros before its entry can be.
 *
 * Everything here is under the stripe lock of the block. Bitmaps are read when first needed; clean
 * ones are dropped when a stripe has too many.
 */
#include <stdlib.h>
#include <string.h>

#include "blockfmt/bmap.h"

enum { SECTOR = 512, KEEP = 2048 /* bitmaps in memory, a stripe */ };

struct vm_bmap_bits {
    enum {
        CLEAN,
        DIRTY,
        SAVING /* flush is writing a copy: the file is not up to date yet */
    } state;
    uint8_t bit[];
};

bool vm__bmap_has_bits(const struct vm_bmap *b)
{
    return b->bits_bytes != 0 && b->n->backing != NULL;
}

static bool test(const struct vm_bmap *b, const struct vm_bmap_bits *p, uint64_t sector)
{
    unsigned at = (unsigned)(sector % 8);
    return p->bit[sector / 8] >> (b->bits_msb ? 7 - at : at) & 1;
}

static void set(const struct vm_bmap *b, struct vm_bmap_bits *p, uint64_t sector)
{
    unsigned at = (unsigned)(sector % 8);
    p->bit[sector / 8] |= (uint8_t)(1u << (b->bits_msb ? 7 - at : at));
}

static void drop_clean(struct vm_bmap *b, uint64_t stripe)
{
    for (uint64_t i = stripe; i < b->n_blocks; i += VM_BMAP_STRIPES) {
        if (b->bits[i] != NULL && b->bits[i]->state == CLEAN) {
            free(b->bits[i]);
            b->bits[i] = NULL;
            b->bits_loaded[stripe]--;
        }
    }
}

static void mark_dirty(struct vm_bmap *b, struct vm_bmap_bits *p)
{
    if (p->state != DIRTY)
        atomic_fetch_add(&b->n_dirty_bits, 1);
    p->state = DIRTY;
}

static int load(struct vm_bmap *b, uint64_t index, struct vm_bmap_entry e, uint32_t flags,
                struct vm_bmap_bits **out)
{
    uint64_t stripe = index % VM_BMAP_STRIPES;
    *out = b->bits[index];
    if (*out != NULL)
        return VM_OK;
    if (b->bits_loaded[stripe] >= KEEP)
        drop_clean(b, stripe);
    struct vm_bmap_bits *p = calloc(1, sizeof *p + b->bits_bytes);
    if (p == NULL)
        return vm__fail_nomem(sizeof *p + b->bits_bytes);
    struct vm_iov v = { p->bit, b->bits_bytes };
    uint64_t at;
    int st = b->ops->bits_at(b, index, &e, &at);
    if (st == VM_OK && at == 0)
        memset(p->bit, 0xff, b->bits_bytes);
    else if (st == VM_OK)
        st = vm__blk_readv(b->file, at, v.len, (struct vm_sg) { &v, 0 }, flags & VM_IO_NOWAIT);
    if (st != VM_OK) {
        free(p);
        return st;
    }
    b->bits[index] = *out = p;
    b->bits_loaded[stripe]++;
    return VM_OK;
}

/* What the file has in its place is not of this block: an earlier life, or nothing. */
int vm__bmap_bits_fresh(struct vm_bmap *b, uint64_t index)
{
    uint64_t stripe = index % VM_BMAP_STRIPES;
    struct vm_bmap_bits *p = b->bits[index];
    if (p == NULL) {
        if (b->bits_loaded[stripe] >= KEEP)
            drop_clean(b, stripe);
        p = b->bits[index] = calloc(1, sizeof *p + b->bits_bytes);
        if (p == NULL)
            return vm__fail_nomem(sizeof *p + b->bits_bytes);
        b->bits_loaded[stripe]++;
    }
    memset(p->bit, 0, b->bits_bytes);
    mark_dirty(b, p);
    return VM_OK;
}

int vm__bmap_bits_init(struct vm_bmap *b)
{
    if (b->bits_bytes == 0)
        return VM_OK;
    b->bits = calloc(b->n_blocks + 1, sizeof *b->bits);
    return b->bits != NULL ? VM_OK : vm__fail_nomem(b->n_blocks * sizeof *b->bits);
}

void vm__bmap_bits_fini(struct vm_bmap *b)
{
    for (uint64_t i = 0; b->bits != NULL && i < b->n_blocks; i++)
        free(b->bits[i]);
    free(b->bits);
    b->bits = NULL;
}

/** Bytes from @p in on, at most @p len, that are all here or all the parent's. */
static size_t run(const struct vm_bmap *b, const struct vm_bmap_bits *p, uint64_t in, uint64_t len,
                  bool *here)
{
    uint64_t s = in / SECTOR, end = in + len;
    *here = test(b, p, s);
    do
        s++;
    while (s * SECTOR < end && test(b, p, s) == *here);
    return (size_t)((s * SECTOR < end ? s * SECTOR : end) - in);
}

int vm__bmap_bits_run(struct vm_bmap *b, uint64_t index, struct vm_bmap_entry e, uint64_t in,
                      uint64_t len, uint32_t flags, size_t *n, bool *here)
{
    struct vm_bmap_bits *p;
    pthread_mutex_t *lock = vm__bmap_stripe(b, index);
    if (flags & VM_IO_NOWAIT) {
        if (pthread_mutex_trylock(lock) != 0)
            return VM_E_AGAIN;
    } else {
        (void)pthread_mutex_lock(lock);
    }
    int st = load(b, index, e, flags, &p);
    if (st == VM_OK)
        *n = run(b, p, in, len, here);
    (void)pthread_mutex_unlock(lock);
    return st;
}

int vm__bmap_bits_read(struct vm_bmap *b, uint64_t index, struct vm_bmap_entry e, uint64_t in,
                       size_t len, struct vm_sg sg, uint32_t flags)
{
    for (size_t done = 0; done < len;) {
        size_t n;
        bool here;
        int st = vm__bmap_bits_run(b, index, e, in + done, len - done, flags, &n, &here);
        if (st != VM_OK)
            return st;
        struct vm_sg part = vm_sg_at(sg, done);
        st = here ? vm__blk_readv(b->file, e.off + in + done, n, part, flags)
                  : vm__blk_read_backing(b->n, b->base + index * b->block_size + in + done, n, part,
                                         flags);
        if (st != VM_OK)
            return st;
        done += n;
    }
    return VM_OK;
}

/** A sector that is written in part and is the parent's is first copied. */
static int copy_edge(struct vm_bmap *b, struct vm_bmap_bits *p, uint64_t index, uint64_t data,
                     uint64_t sector)
{
    uint8_t buf[SECTOR];
    struct vm_iov v = { buf, SECTOR };
    uint64_t left = vm__bmap_bytes(b, index) - sector * SECTOR;
    if (test(b, p, sector))
        return VM_OK;
    v.len = left < SECTOR ? (size_t)left : SECTOR;
    int st = vm__blk_read_backing(b->n, b->base + index * b->block_size + sector * SECTOR, v.len,
                                  (struct vm_sg) { &v, 0 }, 0);
    return st == VM_OK ? vm__blk_write(b->file, data + sector * SECTOR, buf, v.len) : st;
}

int vm__bmap_bits_write(struct vm_bmap *b, uint64_t index, struct vm_bmap_entry e, uint64_t in,
                        size_t len, struct vm_sg sg, uint32_t flags)
{
    struct vm_bmap_bits *p;
    uint64_t end = in + len, first = in / SECTOR, last = (end - 1) / SECTOR;
    int st = load(b, index, e, 0, &p);
    if (st == VM_OK && in % SECTOR != 0)
        st = copy_edge(b, p, index, e.off, first);
    if (st == VM_OK && end % SECTOR != 0 && end < vm__bmap_bytes(b, index))
        st = copy_edge(b, p, index, e.off, last);
    if (st == VM_OK)
        st = vm__blk_writev(b->file, e.off + in, len, sg, flags);
    for (uint64_t s = first; st == VM_OK && s <= last; s++) {
        if (test(b, p, s))
            continue;
        set(b, p, s);
        mark_dirty(b, p);
    }
    return st;
}

/* ---- flush ------------------------------------------------------------------------------ */

/** Copy the bitmap of block @p i as number @p n. Stripe lock held. */
static int take_one(struct vm_bmap *b, uint64_t i, struct vm_bmap_saved *out, size_t n)
{
    struct vm_bmap_bits *p = b->bits[i];
    struct vm_bmap_entry e;
    int st = vm__bmap_get(b, i, 0, &e);
    if (st == VM_OK)
        st = b->ops->bits_at(b, i, &e, &out->at[n]);
    memcpy(out->bytes + n * b->bits_bytes, p->bit, b->bits_bytes);
    p->state = SAVING;
    atomic_fetch_sub(&b->n_dirty_bits, 1);
    out->index[n] = i;
    return st;
}

int vm__bmap_bits_take(struct vm_bmap *b, struct vm_bmap_saved *out)
{
    size_t max = (size_t)atomic_load(&b->n_dirty_bits), n = 0;
    *out = (struct vm_bmap_saved) { 0 };
    if (max == 0)
        return VM_OK;
    out->at = calloc(max, sizeof *out->at);
    out->index = calloc(max, sizeof *out->index);
    out->bytes = malloc(max * b->bits_bytes);
    if (out->at == NULL || out->index == NULL || out->bytes == NULL)
        return vm__fail_nomem(max * b->bits_bytes);
    int st = VM_OK;
    for (uint64_t stripe = 0; stripe < VM_BMAP_STRIPES && st == VM_OK; stripe++) {
        (void)pthread_mutex_lock(&b->stripes[stripe]);
        for (uint64_t i = stripe; i < b->n_blocks && n < max && st == VM_OK; i += VM_BMAP_STRIPES)
            if (b->bits[i] != NULL && b->bits[i]->state == DIRTY)
                st = take_one(b, i, out, n++);
        (void)pthread_mutex_unlock(&b->stripes[stripe]);
    }
    out->n = n;
    return st;
}

int vm__bmap_bits_put(struct vm_bmap *b, struct vm_bmap_saved *s, int st)
{
    for (size_t i = 0; i < s->n; i++) {
        if (st == VM_OK)
            st = vm__blk_write(b->file, s->at[i], s->bytes + i * b->bits_bytes, b->bits_bytes);
        (void)pthread_mutex_lock(vm__bmap_stripe(b, s->index[i]));
        struct vm_bmap_bits *p = b->bits[s->index[i]];
        if (st != VM_OK)
            mark_dirty(b, p);
        else if (p->state == SAVING)
            p->state = CLEAN;
        (void)pthread_mutex_unlock(vm__bmap_stripe(b, s->index[i]));
    }
    free(s->at);
    free(s->index);
    free(s->bytes);
    return st;
}
