/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_refcount.c
 * Reference counts: which clusters of the file are in use, and by how many.
 *
 * Spec: [QCOW2 "Host cluster management"]. A table of blocks of counts, each 1 to 64 bits wide.
 * Counts change in memory and are written before the tables that rely on them. A block covers a
 * range of the file; a range without a block is free, so a new block takes the first cluster of its
 * own range.
 *
 * All under ref_lock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/qcow2.h"

uint64_t qcow2_refcount_max(const struct qcow2 *s)
{
    return s->refcount_order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << s->refcount_order)) - 1;
}

/** Counts in a block. */
static uint64_t per_block(const struct qcow2 *s)
{
    return s->cluster * 8 >> s->refcount_order;
}

/** [QCOW2 "Refcount block entry"]: below a byte, the lowest bits come first; above, big-endian. */
static uint64_t get_count(const struct qcow2 *s, const uint8_t *block, uint64_t i)
{
    switch (s->refcount_order) {
    case 6:
        return vm_be64(block + 8 * i);
    case 5:
        return vm_be32(block + 4 * i);
    case 4:
        return vm_be16(block + 2 * i);
    case 3:
        return block[i];
    default:
        break;
    }
    unsigned bits = 1u << s->refcount_order, per_byte = 8 / bits;
    return block[i / per_byte] >> i % per_byte * bits & ((1u << bits) - 1);
}

void qcow2_put_count(const struct qcow2 *s, uint8_t *block, uint64_t i, uint64_t v)
{
    unsigned bits = 1u << s->refcount_order, per_byte = bits < 8 ? 8 / bits : 1;
    unsigned shift = (unsigned)(i % per_byte) * bits, mask = ((1u << (bits & 7)) - 1) << shift;
    switch (s->refcount_order) {
    case 6:
        vm_put_be64(block + 8 * i, v);
        break;
    case 5:
        vm_put_be32(block + 4 * i, (uint32_t)v);
        break;
    case 4:
        vm_put_be16(block + 2 * i, (uint16_t)v);
        break;
    case 3:
        block[i] = (uint8_t)v;
        break;
    default:
        block[i / per_byte] = (uint8_t)((block[i / per_byte] & ~mask) | v << shift);
        break;
    }
}

/* ---- blocks ----------------------------------------------------------------------------- */

int qcow2_refcount_open(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    size_t bytes = 8 * (size_t)s->reftable_size;
    if (!vm_in_range(s->reftable_off, bytes, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The reference count table lies outside of the file");
    s->reftable = malloc(bytes + 1);
    s->refblocks = calloc((size_t)s->reftable_size + 1, sizeof *s->refblocks);
    s->refdirty = calloc((size_t)s->reftable_size + 1, 1);
    if (s->reftable == NULL || s->refblocks == NULL || s->refdirty == NULL)
        return vm__fail_nomem(bytes);
    int st = bytes != 0 ? vm__blk_read(n->file, s->reftable_off, s->reftable, bytes) : VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < s->reftable_size; i++)
        s->reftable[i] = vm_be64(&s->reftable[i]) & ~UINT64_C(511);
    return st;
}

void qcow2_refcount_free(struct qcow2 *s)
{
    for (uint32_t i = 0; s->refblocks != NULL && i < s->reftable_size; i++)
        free(s->refblocks[i]);
    free(s->refblocks);
    free(s->reftable);
    free(s->refdirty);
    free(s->freed);
    s->refblocks = NULL;
    s->reftable = NULL;
    s->refdirty = NULL;
    s->freed = NULL;
    s->n_freed = s->freed_room = s->freed_safe = 0;
    s->free_from = 0;
}

/** Block @p i in memory; *out NULL: there is none, all its counts are 0. */
static int load_block(struct vm_blk *n, uint64_t i, uint8_t **out)
{
    struct qcow2 *s = qcow2_of(n);
    *out = i < s->reftable_size ? s->refblocks[i] : NULL;
    if (*out != NULL || i >= s->reftable_size || s->reftable[i] == 0)
        return VM_OK;
    if (s->reftable[i] % s->cluster != 0)
        return vm__fail(VM_E_CORRUPT, "Refblock offset 0x%llx unaligned (reftable index: 0x%llx)",
                        (unsigned long long)s->reftable[i], (unsigned long long)i);
    uint8_t *b = malloc((size_t)s->cluster);
    if (b == NULL)
        return vm__fail_nomem((size_t)s->cluster);
    int st = vm_in_range(s->reftable[i], s->cluster, vm__blk_size(n->file))
                 ? vm__blk_read(n->file, s->reftable[i], b, (size_t)s->cluster)
                 : vm__fail(VM_E_CORRUPT, "Refcount block %llu lies outside of the file",
                            (unsigned long long)i);
    if (st == VM_OK)
        *out = s->refblocks[i] = b;
    else
        free(b);
    return st;
}

/** A block for a range that has none, in the range's first cluster. The table has room. */
static int make_block(struct qcow2 *s, uint64_t i)
{
    uint8_t *b = calloc(1, (size_t)s->cluster);
    if (b == NULL)
        return vm__fail_nomem((size_t)s->cluster);
    s->reftable[i] = i * per_block(s) * s->cluster;
    s->refblocks[i] = b;
    s->refdirty[i] = 1;
    s->reftable_dirty = true;
    qcow2_put_count(s, b, 0, 1);
    if (s->map.next < s->reftable[i] + s->cluster) /* the file reaches over it */
        s->map.next = s->reftable[i] + s->cluster;
    return VM_OK;
}

static int set_unlocked(struct vm_blk *n, uint64_t cluster, uint64_t v)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t i = cluster / per_block(s);
    uint8_t *b;
    int st = load_block(n, i, &b);
    if (st == VM_OK && b == NULL)
        st = vm__fail(VM_E_CORRUPT, "Cluster 0x%llx has no reference count",
                      (unsigned long long)(cluster * s->cluster));
    if (st != VM_OK)
        return st;
    qcow2_put_count(s, b, cluster % per_block(s), v);
    s->refdirty[i] = 1;
    if (v == 0 && cluster < s->free_from)
        s->free_from = cluster;
    return VM_OK;
}

static int get_unlocked(struct vm_blk *n, uint64_t cluster, uint64_t *v)
{
    const struct qcow2 *s = qcow2_of(n);
    uint8_t *b;
    int st = load_block(n, cluster / per_block(s), &b);
    *v = st == VM_OK && b != NULL ? get_count(s, b, cluster % per_block(s)) : 0;
    return st;
}

int qcow2_refcount_get(struct vm_blk *n, uint64_t cluster, uint64_t *count)
{
    struct qcow2 *s = qcow2_of(n);
    (void)pthread_mutex_lock(&s->ref_lock);
    int st = get_unlocked(n, cluster, count);
    (void)pthread_mutex_unlock(&s->ref_lock);
    return st;
}

int qcow2_refcount_set(struct vm_blk *n, uint64_t cluster, uint64_t count)
{
    struct qcow2 *s = qcow2_of(n);
    (void)pthread_mutex_lock(&s->ref_lock);
    int st = set_unlocked(n, cluster, count);
    (void)pthread_mutex_unlock(&s->ref_lock);
    return st;
}

static int add_unlocked(struct vm_blk *n, uint64_t off, uint64_t len, int by)
{
    const struct qcow2 *s = qcow2_of(n);
    int st = VM_OK;
    if (len == 0)
        return VM_OK;
    for (uint64_t c = off / s->cluster; st == VM_OK && c <= (off + len - 1) / s->cluster; c++) {
        uint64_t v;
        st = get_unlocked(n, c, &v);
        if (st == VM_OK && ((by < 0 && v == 0) || (by > 0 && v == qcow2_refcount_max(s))))
            st = vm__fail(by < 0 ? VM_E_CORRUPT : VM_E_RANGE,
                          "The reference count of cluster 0x%llx cannot go %s",
                          (unsigned long long)(c * s->cluster), by < 0 ? "below 0" : "higher");
        if (st == VM_OK)
            st = set_unlocked(n, c, v + (uint64_t)(int64_t)by);
    }
    return st;
}

int qcow2_refcount_add(struct vm_blk *n, uint64_t off, uint64_t len, int by)
{
    struct qcow2 *s = qcow2_of(n);
    (void)pthread_mutex_lock(&s->ref_lock);
    int st = add_unlocked(n, off, len, by);
    (void)pthread_mutex_unlock(&s->ref_lock);
    return st;
}

/* ---- a larger table --------------------------------------------------------------------- */

static int resize_arrays(struct qcow2 *s, uint32_t size)
{
    uint64_t *t = realloc(s->reftable, 8 * (size_t)size);
    if (t != NULL)
        s->reftable = t;
    uint8_t **b = realloc(s->refblocks, sizeof *b * (size_t)size);
    if (b != NULL)
        s->refblocks = b;
    uint8_t *d = realloc(s->refdirty, size);
    if (d != NULL)
        s->refdirty = d;
    if (t == NULL || b == NULL || d == NULL)
        return vm__fail_nomem(8 * (size_t)size);
    for (uint32_t i = s->reftable_size; i < size; i++) {
        t[i] = 0;
        b[i] = NULL;
        d[i] = 0;
    }
    return VM_OK;
}

static int write_table(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t *out = malloc(8 * (size_t)s->reftable_size);
    if (out == NULL)
        return vm__fail_nomem(8 * (size_t)s->reftable_size);
    for (uint32_t i = 0; i < s->reftable_size; i++)
        vm_put_be64(&out[i], s->reftable[i]);
    int st = vm__blk_write(n->file, s->reftable_off, out, 8 * (size_t)s->reftable_size);
    free(out);
    return st;
}

static int write_blocks(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    for (uint32_t i = 0; i < s->reftable_size; i++) {
        if (!s->refdirty[i])
            continue;
        int st = vm__blk_write(n->file, s->reftable[i], s->refblocks[i], (size_t)s->cluster);
        if (st != VM_OK)
            return st;
        s->refdirty[i] = 0;
    }
    return VM_OK;
}

/**
 * The table is full at range @p range, and beyond it the file is free: new blocks there, the new
 * table behind the first of them. The header switches to it when all that is safe.
 */
static int grow_table(struct vm_blk *n, uint64_t range)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t per = per_block(s), old_off = s->reftable_off, old_len = 8ull * s->reftable_size;
    uint64_t entries = range + 1 + range / 2 + s->cluster / 8, clusters;
    clusters = (entries * 8 + s->cluster - 1) / s->cluster;
    uint64_t first = range * per + 1,
             last_range = (first + clusters + clusters / (per - 1) + 1) / per;
    if (last_range >= clusters * s->cluster / 8 || clusters * s->cluster > QCOW2_MAX_REFTABLE)
        return vm__fail(VM_E_NOSPC, "The image file is too large for its reference counts");
    int st = resize_arrays(s, (uint32_t)(clusters * s->cluster / 8));
    if (st != VM_OK)
        return st;
    s->reftable_size = (uint32_t)(clusters * s->cluster / 8);
    for (uint64_t r = range; st == VM_OK && r <= last_range; r++)
        st = make_block(s, r);
    /* In one piece, though blocks lie between: the first run of clusters that is long enough. */
    uint64_t start = clusters < per ? first : (last_range + 1) * per;
    if (st == VM_OK && start / per > last_range) {
        for (uint64_t r = last_range + 1; st == VM_OK && r <= (start + clusters) / per; r++)
            st = r < s->reftable_size ? make_block(s, r) : VM_E_NOSPC;
        start++;
    }
    s->reftable_off = start * s->cluster;
    if (st == VM_OK)
        st = vm__blk_truncate(n->file, (start + clusters) * s->cluster, VM_PREALLOC_OFF, 0);
    if (st == VM_OK)
        st = add_unlocked(n, s->reftable_off, clusters * s->cluster, 1);
    if (st == VM_OK)
        st = write_blocks(n);
    if (st == VM_OK)
        st = write_table(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st == VM_OK)
        st = qcow2_write_header(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    s->reftable_dirty = st != VM_OK;
    s->map.end = vm__blk_size(n->file);
    return st == VM_OK && old_len != 0 ? add_unlocked(n, old_off, old_len, -1) : st;
}

/* ---- allocation ------------------------------------------------------------------------- */

/** The counts of the range of @p cluster exist. */
static int need_block(struct vm_blk *n, uint64_t cluster)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t range = cluster / per_block(s);
    uint8_t *b;
    if (range >= s->reftable_size)
        return grow_table(n, range);
    int st = load_block(n, range, &b);
    return st == VM_OK && b == NULL ? make_block(s, range) : st;
}

int qcow2_refcount_repair(struct vm_blk *n, uint64_t cluster, uint64_t count)
{
    struct qcow2 *s = qcow2_of(n);
    (void)pthread_mutex_lock(&s->ref_lock);
    int st = need_block(n, cluster);
    if (st == VM_OK)
        st = set_unlocked(n, cluster, count);
    (void)pthread_mutex_unlock(&s->ref_lock);
    return st;
}

/** The first run of @p count free clusters. */
static int find_free(struct vm_blk *n, uint64_t count, uint64_t *first)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t run = 0, at = s->free_from;
    bool lowest = true;
    while (run < count) {
        uint64_t v;
        int st = need_block(n, at);
        if (st == VM_OK)
            st = get_unlocked(n, at, &v);
        if (st != VM_OK)
            return st;
        run = v == 0 ? run + 1 : 0;
        if (v == 0 && lowest) {
            s->free_from = at;
            lowest = false;
        }
        at++;
        if (at > VM_BLK_MAX_SIZE / s->cluster)
            return vm__fail(VM_E_NOSPC, "The image file is full");
    }
    *first = at - count;
    return VM_OK;
}

static int alloc_unlocked(struct vm_blk *n, uint64_t len, uint64_t *off)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t count = (len + s->cluster - 1) / s->cluster, first = 0;
    int st = find_free(n, count, &first);
    for (uint64_t c = first; st == VM_OK && c < first + count; c++)
        st = set_unlocked(n, c, 1);
    if (st != VM_OK)
        return st;
    if (s->free_from == first)
        s->free_from = first + count;
    *off = first * s->cluster;
    return VM_OK;
}

int qcow2_alloc(struct vm_blk *n, uint64_t len, uint64_t *off)
{
    struct qcow2 *s = qcow2_of(n);
    (void)pthread_mutex_lock(&s->ref_lock);
    int st = alloc_unlocked(n, len, off);
    (void)pthread_mutex_unlock(&s->ref_lock);
    return st;
}

int qcow2_alloc_now(struct vm_blk *n, uint64_t *off)
{
    struct qcow2 *s = qcow2_of(n);
    int st = VM_E_AGAIN;
    if (pthread_mutex_trylock(&s->ref_lock) != 0)
        return st;
    uint64_t c = s->free_from, at = c * s->cluster, i = c / per_block(s);
    bool fits = at >= s->map.stale && at <= s->map.end && s->map.end - at >= s->cluster;
    bool there = i < s->reftable_size && s->refblocks[i] != NULL;
    if (fits && there && get_count(s, s->refblocks[i], c % per_block(s)) == 0) {
        st = set_unlocked(n, c, 1);
        s->free_from = c + 1;
        *off = at;
    }
    (void)pthread_mutex_unlock(&s->ref_lock);
    return st;
}

void qcow2_free_later(struct qcow2 *s, uint64_t off, uint64_t len)
{
    (void)pthread_mutex_lock(&s->ref_lock);
    if (s->n_freed == s->freed_room) {
        size_t room = s->freed_room != 0 ? 2 * s->freed_room : 64;
        struct qcow2_freed *more = realloc(s->freed, room * sizeof *more);
        if (more != NULL) {
            s->freed = more;
            s->freed_room = room;
        }
    }
    if (s->n_freed < s->freed_room) /* without memory it leaks, which check finds */
        s->freed[s->n_freed++] = (struct qcow2_freed) { off, len };
    (void)pthread_mutex_unlock(&s->ref_lock);
}

/* ---- flush ------------------------------------------------------------------------------ */

int qcow2_refcount_write(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    (void)pthread_mutex_lock(&s->ref_lock);
    int st = write_blocks(n);
    if (st == VM_OK && s->reftable_dirty) {
        st = vm__blk_flush(n->file, 0);
        if (st == VM_OK)
            st = write_table(n);
        s->reftable_dirty = st != VM_OK;
    }
    (void)pthread_mutex_unlock(&s->ref_lock);
    return st;
}

int qcow2_free_now(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    int st = VM_OK;
    (void)pthread_mutex_lock(&s->ref_lock);
    for (size_t i = 0; st == VM_OK && i < s->freed_safe; i++) {
        st = add_unlocked(n, s->freed[i].off, s->freed[i].len, -1);
        atomic_store(&s->map.touched, true);
    }
    size_t rest = s->n_freed - s->freed_safe;
    if (s->freed_safe != 0)
        memmove(s->freed, s->freed + s->freed_safe, rest * sizeof *s->freed);
    s->n_freed = rest;
    s->freed_safe = 0;
    (void)pthread_mutex_unlock(&s->ref_lock);
    return st;
}
