/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_map.c
 * The second-level tables of a qcow2 image as a block map.
 *
 * Spec: [QCOW2 "Cluster mapping"]. A cluster whose entry lacks the "copied" flag belongs to a
 * snapshot, too; to the map it is one to be read where it is and written elsewhere. A table whose
 * entry lacks it is copied before it changes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/qcow2.h"

enum { CACHE_BYTES = 4 << 20 };

void qcow2_packed_place(const struct qcow2 *s, uint64_t raw, uint64_t *off, uint64_t *len)
{
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t sectors = (raw & ~(QCOW2_COPIED | QCOW2_COMPRESSED)) >> x;
    *off = raw & ((UINT64_C(1) << x) - 1);
    *len = (sectors + 1) * 512 - *off % 512;
}

static struct vm_bmap_entry decode(const struct vm_bmap *b, uint64_t raw)
{
    const struct qcow2 *s = qcow2_of(b->n);
    uint64_t off = raw & QCOW2_OFFSET;
    if (raw & QCOW2_COMPRESSED)
        return (struct vm_bmap_entry) { VM_BMAP_PACKED, 0, 0 };
    if (s->version == 3 && raw & QCOW2_ZERO)
        return (struct vm_bmap_entry) { off % s->cluster == 0 ? VM_BMAP_ZERO : VM_BMAP_BAD, 0, 0 };
    if (!qcow2_has_place(s, raw))
        return (struct vm_bmap_entry) { VM_BMAP_NONE, 0, 0 };
    if (off % s->cluster != 0 || off > VM_BLK_MAX_SIZE - s->cluster)
        return (struct vm_bmap_entry) { VM_BMAP_BAD, off, 0 };
    return (struct vm_bmap_entry) { raw & QCOW2_COPIED ? VM_BMAP_DATA : VM_BMAP_SHARED, off, 0 };
}

static uint64_t encode(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off)
{
    (void)b;
    return kind == VM_BMAP_DATA ? off | QCOW2_COPIED : kind == VM_BMAP_ZERO ? QCOW2_ZERO : 0;
}

static int space(struct vm_bmap *b, uint64_t len, uint64_t align, uint64_t *off)
{
    (void)align; /* a cluster */
    return qcow2_alloc(b->n, len, off);
}

static int space_now(struct vm_bmap *b, uint64_t *off)
{
    return qcow2_alloc_now(b->n, off);
}

/** Nobody names it any more. */
static void drop_raw(struct qcow2 *s, uint64_t raw)
{
    uint64_t off = raw & QCOW2_OFFSET, len = s->cluster;
    if (raw & QCOW2_COMPRESSED)
        qcow2_packed_place(s, raw, &off, &len);
    if (qcow2_has_data_file(s) && qcow2_has_place(s, raw))
        qcow2_data_drop(s, off);
    else if (off != 0)
        qcow2_free_later(s, off, len);
}

void qcow2_give_back(struct qcow2 *s, uint64_t off)
{
    drop_raw(s, off | QCOW2_COPIED);
}

static void dropped(struct vm_bmap *b, const struct vm_bmap_entry *old)
{
    if (old->kind != VM_BMAP_BAD)
        drop_raw(qcow2_of(b->n), old->raw);
}

static uint64_t table_of(const struct vm_bmap *b, uint64_t page, uint64_t *in)
{
    uint64_t per_table = qcow2_of(b->n)->cluster / b->page_size;
    *in = page % per_table * b->page_size;
    return page / per_table;
}

static int page_at(struct vm_bmap *b, uint64_t page, uint64_t *at)
{
    const struct qcow2 *s = qcow2_of(b->n);
    uint64_t in, t = table_of(b, page, &in), raw = atomic_load(&s->l1[t]);
    uint64_t off = vm_be64(&raw) & QCOW2_OFFSET;
    *at = off != 0 ? off + in : 0;
    if (off % s->cluster != 0 || (off != 0 && !vm_in_range(off, s->cluster, VM_BLK_MAX_SIZE)))
        return vm__fail(VM_E_CORRUPT, "L2 table offset 0x%llx unaligned (L1 index: 0x%llx)",
                        (unsigned long long)off, (unsigned long long)t);
    return VM_OK;
}

/** A place of its own for a table: new, or a copy of the one shared with a snapshot. */
static int own_table(struct vm_bmap *b, uint64_t t)
{
    struct qcow2 *s = qcow2_of(b->n);
    uint64_t raw = atomic_load(&s->l1[t]), old = vm_be64(&raw) & QCOW2_OFFSET, off;
    int st = vm__bmap_space(b, s->cluster, s->cluster, &off);
    if (st == VM_OK && old != 0) {
        uint8_t *copy = malloc((size_t)s->cluster);
        st = copy != NULL ? vm__blk_read(b->file, old, copy, (size_t)s->cluster)
                          : vm__fail_nomem((size_t)s->cluster);
        if (st == VM_OK)
            st = vm__blk_write(b->file, off, copy, (size_t)s->cluster);
        free(copy);
    }
    if (st != VM_OK)
        return st;
    vm_put_be64(&raw, off | QCOW2_COPIED);
    atomic_store(&s->l1[t], raw);
    s->l1_dirty = true;
    if (old != 0)
        qcow2_free_later(s, old, s->cluster);
    return VM_OK;
}

static int write_pages(struct vm_bmap *b, const uint64_t *pages, const uint8_t *bytes, size_t n)
{
    struct qcow2 *s = qcow2_of(b->n);
    int st = VM_OK;
    for (size_t i = 0; st == VM_OK && i < n; i++) {
        uint64_t in, t = table_of(b, pages[i], &in), raw = atomic_load(&s->l1[t]), at;
        if (!(vm_be64(&raw) & QCOW2_COPIED))
            st = own_table(b, t);
        if (st == VM_OK)
            st = page_at(b, pages[i], &at);
        if (st == VM_OK)
            st = vm__blk_write(b->file, at, bytes + i * VM_BMAP_PAGE, b->page_size);
    }
    if (st != VM_OK || !s->l1_dirty)
        return st;
    st = qcow2_refcount_write(b->n); /* those of the new tables */
    if (st == VM_OK)
        st = vm__blk_flush(b->file, 0);
    if (st == VM_OK)
        st = vm__blk_write(b->file, s->l1_off, (const void *)s->l1, 8 * (size_t)s->l1_size);
    s->l1_dirty = st != VM_OK;
    return st;
}

static int before_table(struct vm_bmap *b)
{
    return qcow2_refcount_write(b->n);
}

static void flush_begin(struct vm_bmap *b)
{
    struct qcow2 *s = qcow2_of(b->n);
    (void)pthread_mutex_lock(&s->ref_lock);
    s->freed_safe = s->n_freed;
    (void)pthread_mutex_unlock(&s->ref_lock);
}

static int after_table(struct vm_bmap *b)
{
    return qcow2_free_now(b->n);
}

/* ---- entries ---------------------------------------------------------------------------- */

int qcow2_get(struct qcow2 *s, uint64_t index, uint32_t flags, struct qcow2_entry *e)
{
    *e = (struct qcow2_entry) { 0 };
    if (!qcow2_extended(s))
        return vm__bmap_get_entry(&s->map, index, flags, &e->raw);
    int st = vm__bmap_get_entry(&s->map, 2 * index + 1, flags, &e->bits);
    return st == VM_OK ? vm__bmap_get_entry(&s->map, 2 * index, flags, &e->raw) : st;
}

bool qcow2_entry_ok(const struct qcow2 *s, const struct qcow2_entry *e)
{
    uint64_t off = e->raw & QCOW2_OFFSET;
    if (e->raw & QCOW2_COMPRESSED || !qcow2_extended(s))
        return true;
    return (e->bits & e->bits >> 32 & UINT32_MAX) == 0 && off % s->cluster == 0 &&
           off <= VM_BLK_MAX_SIZE - s->cluster && !(e->raw & QCOW2_ZERO) &&
           (qcow2_has_place(s, e->raw) || (e->bits & UINT32_MAX) == 0);
}

int qcow2_set(struct qcow2 *s, uint64_t index, struct qcow2_entry e)
{
    struct vm_bmap *b = &s->map;
    if (!qcow2_extended(s))
        return vm__bmap_set_entry(b, index, e.raw);
    struct qcow2_entry old;
    int st = qcow2_get(s, index, 0, &old);
    if (st != VM_OK)
        return st;
    /* A place is there before the bitmap says what it holds, and goes after. */
    bool place_first = e.raw != 0;
    st = place_first ? vm__bmap_set_entry(b, 2 * index, e.raw)
                     : vm__bmap_set_entry(b, 2 * index + 1, e.bits);
    if (st == VM_OK)
        st = place_first ? vm__bmap_set_entry(b, 2 * index + 1, e.bits)
                         : vm__bmap_set_entry(b, 2 * index, e.raw);
    if (st == VM_OK && old.raw != e.raw)
        drop_raw(s, old.raw);
    return st;
}

static const struct vm_bmap_ops map_ops = {
    .decode = decode,
    .encode = encode,
    .space = space,
    .space_now = space_now,
    .dropped = dropped,
    .page_at = page_at,
    .write_pages = write_pages,
    .before_table = before_table,
    .flush_begin = flush_begin,
    .after_table = after_table,
    .read_packed = qcow2_read_packed,
    .data_read = qcow2_data_read,
    .data_write = qcow2_data_write,
};

/** With extended entries qcow2_set() gives back what they named. */
static const struct vm_bmap_ops extended_ops = {
    .decode = decode,
    .encode = encode,
    .space = space,
    .space_now = space_now,
    .page_at = page_at,
    .write_pages = write_pages,
    .before_table = before_table,
    .flush_begin = flush_begin,
    .after_table = after_table,
    .read_packed = qcow2_read_packed,
    .data_read = qcow2_data_read,
    .data_write = qcow2_data_write,
};

static const struct vm_bmap_ops *choose_ops(struct qcow2 *s)
{
    s->ops = qcow2_extended(s) ? extended_ops : map_ops;
    if (qcow2_has_data_file(s))
        s->ops.place = qcow2_data_place;
    if (s->crypt_method != QCOW2_CRYPT_NONE) {
        s->ops.data_read = qcow2_crypt_read;
        s->ops.data_write = qcow2_crypt_write;
    }
    return &s->ops;
}

int qcow2_open_map(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t entries = (vm__blk_size(n) + s->cluster - 1) / s->cluster;
    uint32_t page = s->cluster < VM_BMAP_PAGE ? (uint32_t)s->cluster : VM_BMAP_PAGE;
    uint64_t words = entries * (qcow2_entry_bytes(s) / 8);
    s->map = (struct vm_bmap) {
        .n = n,
        .ops = choose_ops(s),
        .data = s->data,
        .opaque = s->crypt_method != QCOW2_CRYPT_NONE,
        .fill_new = s->crypt_method != QCOW2_CRYPT_NONE,
        .page_size = page,
        .n_blocks = entries,
        .n_entries = (words + page / 8 - 1) / (page / 8) * (page / 8), /* pages are whole */
        .pairs = qcow2_extended(s),
        .width = 8,
        .big_endian = true,
        .has_zero = s->version == 3,
        .block_size = s->cluster,
        .align = s->cluster,
    };
    uint64_t size = vm__blk_size(n->file);
    s->map.next = (size + s->cluster - 1) / s->cluster * s->cluster;
    int st = vm__bmap_init(&s->map);
    if (st == VM_OK && s->cache == NULL) {
        uint64_t slots = CACHE_BYTES / s->cluster;
        s->cache = vm__chunk_cache_new(slots < 4    ? 4
                                       : slots > 64 ? 64
                                                    : (unsigned)slots,
                                       (size_t)s->cluster);
        st = s->cache != NULL ? VM_OK : VM_E_NOMEM;
    }
    return st;
}
