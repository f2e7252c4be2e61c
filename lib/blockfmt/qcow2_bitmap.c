/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_bitmap.c
 * Dirty bitmaps in the file: the directory, tables and clusters of bits.
 *
 * Spec: [QCOW2 "Bitmaps", "Bitmaps extension"]. Everything new goes to a new place; the header
 * switches to the new directory when all it names is safe, and then the old places are given back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/qcow2_bitmap.h"

enum {
    ENTRY = 24,               /* bytes of a directory entry before its extra data */
    MAX_DIRECTORY = 16 << 20, /* bytes */
    DIRTY_TRACKING = 1,       /* the only type there is */
    MIN_BITS = 9,             /* of the granularity */
    MAX_BITS = 31,
};
#define TABLE_ONES     UINT64_C(1)
#define TABLE_RESERVED (~(QCOW2_OFFSET | TABLE_ONES))

void qcow2_bitmap_free(struct qcow2_bitmap *m)
{
    qcow2_bits_free(m->bits);
    free(m->name);
    free(m->extra);
    *m = (struct qcow2_bitmap) { 0 };
}

void qcow2_bitmaps_free(struct qcow2 *s)
{
    for (uint32_t i = 0; s->bitmaps != NULL && i < s->n_bitmaps; i++)
        qcow2_bitmap_free(&s->bitmaps[i]);
    free(s->bitmaps);
    s->bitmaps = NULL;
    s->n_bitmaps = 0;
}

/* ---- reading ---------------------------------------------------------------------------- */

static int bad_directory(void)
{
    return vm__fail(VM_E_CORRUPT, "The bitmap directory is malformed");
}

static int read_one(struct vm_blk *n, struct qcow2_bitmap *m, const uint8_t *p, uint64_t left,
                    uint64_t *used)
{
    if (left < ENTRY)
        return bad_directory();
    uint32_t name = vm_be16(p + 18);
    m->table_off = vm_be64(p);
    m->table_size = vm_be32(p + 8);
    m->flags = vm_be32(p + 12);
    m->type = p[16];
    m->granularity_bits = p[17];
    m->extra_len = vm_be32(p + 20);
    uint64_t len = ENTRY + (uint64_t)m->extra_len + name;
    *used = (len + 7) & ~UINT64_C(7);
    if (*used > left || name == 0 || name > QCOW2_MAX_BITMAP_NAME)
        return bad_directory();
    m->name = strndup((const char *)p + ENTRY + m->extra_len, name);
    m->extra = malloc((size_t)m->extra_len + 1);
    if (m->name == NULL || m->extra == NULL)
        return vm__fail_nomem((size_t)len);
    memcpy(m->extra, p + ENTRY, m->extra_len);
    if (m->type != DIRTY_TRACKING || m->flags & ~(uint32_t)QCOW2_BM_FLAGS ||
        m->granularity_bits < MIN_BITS || m->granularity_bits > MAX_BITS ||
        m->table_off % qcow2_of(n)->cluster != 0 ||
        !vm_in_range(m->table_off, 8 * (uint64_t)m->table_size, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "Bitmap '%.80s' is malformed", m->name);
    return VM_OK;
}

int qcow2_bitmaps_read(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    uint32_t count = s->n_bitmaps;
    s->n_bitmaps = 0;
    if (count == 0)
        return VM_OK;
    if (s->bitmap_dir_size > MAX_DIRECTORY || s->bitmap_dir_off % s->cluster != 0 ||
        s->bitmap_dir_off == 0 ||
        !vm_in_range(s->bitmap_dir_off, s->bitmap_dir_size, vm__blk_size(n->file)) ||
        count > QCOW2_MAX_BITMAPS || count > s->bitmap_dir_size / ENTRY)
        return bad_directory();
    uint8_t *dir = malloc((size_t)s->bitmap_dir_size);
    s->bitmaps = calloc(count, sizeof *s->bitmaps);
    int st = dir != NULL && s->bitmaps != NULL ? VM_OK : vm__fail_nomem(MAX_DIRECTORY);
    if (st == VM_OK)
        st = vm__blk_read(n->file, s->bitmap_dir_off, dir, (size_t)s->bitmap_dir_size);
    for (uint64_t at = 0, used = 0; st == VM_OK && s->n_bitmaps < count; at += used)
        st = read_one(n, &s->bitmaps[s->n_bitmaps++], dir + at, s->bitmap_dir_size - at, &used);
    free(dir);
    return st;
}

static int read_table(struct vm_blk *n, uint64_t off, uint32_t size, uint64_t **table)
{
    size_t bytes = 8 * (size_t)size;
    *table = malloc(bytes + 1);
    if (*table == NULL)
        return vm__fail_nomem(bytes);
    int st = bytes != 0 ? vm__blk_read(n->file, off, *table, bytes) : VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < size; i++) {
        uint64_t v = vm_be64(&(*table)[i]), at = v & QCOW2_OFFSET;
        (*table)[i] = v;
        if (v & TABLE_RESERVED || (at != 0 && v & TABLE_ONES) || at % qcow2_of(n)->cluster != 0 ||
            !vm_in_range(at, at != 0 ? qcow2_of(n)->cluster : 0, vm__blk_size(n->file)))
            st = vm__fail(VM_E_CORRUPT, "Bitmap table entry 0x%llx makes no sense",
                          (unsigned long long)v);
    }
    return st;
}

static int read_piece(struct vm_blk *n, struct qcow2_bits *b, uint64_t i, uint64_t entry)
{
    uint64_t off = entry & QCOW2_OFFSET;
    if (entry == 0)
        return VM_OK;
    uint8_t *p = qcow2_bits_piece(b, i);
    if (p == NULL)
        return VM_E_NOMEM;
    if (off != 0)
        return vm__blk_read(n->file, off, p, b->piece);
    memset(p, 0xff, b->piece);
    return VM_OK;
}

int qcow2_bitmap_load(struct vm_blk *n, struct qcow2_bitmap *m)
{
    const struct qcow2 *s = qcow2_of(n);
    uint64_t *table = NULL, bytes = 0;
    if (m->bits != NULL)
        return VM_OK;
    struct qcow2_bits *b =
        qcow2_bits_new(vm__blk_size(n), UINT64_C(1) << m->granularity_bits, s->cluster);
    if (b == NULL)
        return vm_last_error()->code;
    int st = b->n_pieces == m->table_size
                 ? read_table(n, m->table_off, m->table_size, &table)
                 : vm__fail(VM_E_CORRUPT, "Bitmap '%.80s' has a table of %u entries, not %llu",
                            m->name, m->table_size, (unsigned long long)b->n_pieces);
    for (uint32_t i = 0; st == VM_OK && i < m->table_size; i++) {
        bytes += table[i] != 0 ? b->piece : 0;
        st = bytes <= QCOW2_BITMAP_MEMORY
                 ? read_piece(n, b, i, table[i])
                 : vm__fail(VM_E_RANGE, "Bitmap '%.80s' takes too much memory", m->name);
    }
    free(table);
    if (st != VM_OK) {
        qcow2_bits_free(b);
        return st;
    }
    atomic_store(&b->changed, false);
    m->bits = b;
    return VM_OK;
}

int qcow2_bitmap_clusters(struct vm_blk *n, uint64_t table_off, uint32_t table_size,
                          int (*fn)(void *ud, uint64_t off, uint64_t len), void *ud)
{
    uint64_t *table = NULL;
    int st = read_table(n, table_off, table_size, &table);
    for (uint32_t i = 0; st == VM_OK && i < table_size; i++)
        if ((table[i] & QCOW2_OFFSET) != 0)
            st = fn(ud, table[i] & QCOW2_OFFSET, qcow2_of(n)->cluster);
    free(table);
    return st == VM_OK && table_size != 0 ? fn(ud, table_off, 8 * (uint64_t)table_size) : st;
}

/* ---- writing ---------------------------------------------------------------------------- */

static int release_one(void *ud, uint64_t off, uint64_t len)
{
    return qcow2_refcount_add(ud, off, len, -1);
}

int qcow2_bitmap_release(struct vm_blk *n, uint64_t table_off, uint32_t table_size)
{
    return qcow2_bitmap_clusters(n, table_off, table_size, release_one, n);
}

static int write_piece(struct vm_blk *n, const uint8_t *p, uint64_t *entry)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t off;
    *entry = 0;
    if (p == NULL || vm_is_zero(p, (size_t)s->cluster))
        return VM_OK;
    int st = vm__bmap_space(&s->map, s->cluster, s->cluster, &off);
    if (st == VM_OK)
        st = vm__blk_write(n->file, off, p, (size_t)s->cluster);
    vm_put_be64(entry, off);
    return st;
}

/** Bits and their table to new places. */
static int write_bits(struct vm_blk *n, struct qcow2_bitmap *m)
{
    struct qcow2 *s = qcow2_of(n);
    const struct qcow2_bits *b = m->bits;
    uint64_t *table = calloc((size_t)b->n_pieces + 1, 8), off = 0;
    int st = table != NULL ? VM_OK : vm__fail_nomem(8 * (size_t)b->n_pieces);
    for (uint64_t i = 0; st == VM_OK && i < b->n_pieces; i++)
        st = write_piece(n, atomic_load(&b->pieces[i]), &table[i]);
    if (st == VM_OK && b->n_pieces != 0)
        st = vm__bmap_space(&s->map, 8 * b->n_pieces, s->cluster, &off);
    if (st == VM_OK && b->n_pieces != 0)
        st = vm__blk_write(n->file, off, table, 8 * (size_t)b->n_pieces);
    free(table);
    if (st == VM_OK) {
        m->table_off = off;
        m->table_size = (uint32_t)b->n_pieces;
    }
    return st;
}

static void put_one(struct vm_buf *out, const struct qcow2_bitmap *m, bool in_use)
{
    static const uint8_t pad[8];
    uint8_t h[ENTRY] = { 0 };
    size_t name = strlen(m->name);
    vm_put_be64(h, m->table_off);
    vm_put_be32(h + 8, m->table_size);
    vm_put_be32(h + 12, m->flags | (in_use ? QCOW2_BM_IN_USE : 0));
    h[16] = m->type;
    h[17] = m->granularity_bits;
    vm_put_be16(h + 18, (uint16_t)name);
    vm_put_be32(h + 20, m->extra_len);
    vm__buf_put(out, h, sizeof h);
    vm__buf_put(out, m->extra, m->extra_len);
    vm__buf_put(out, m->name, name);
    vm__buf_put(out, pad, (8 - out->len % 8) % 8);
}

/** The directory as it is now, in a new place; the header names it. */
static int write_directory(struct vm_blk *n, bool closing)
{
    struct qcow2 *s = qcow2_of(n);
    struct vm_buf out = { 0 };
    uint64_t old_off = s->bitmap_dir_off, old_size = s->bitmap_dir_size, off = 0;
    for (uint32_t i = 0; i < s->n_bitmaps; i++)
        put_one(&out, &s->bitmaps[i], !closing && s->bitmaps[i].flags & QCOW2_BM_AUTO);
    int st = out.failed ? vm__fail_nomem(out.len) : VM_OK;
    if (st == VM_OK && out.len > MAX_DIRECTORY)
        st = vm__fail(VM_E_RANGE, "Too many bitmaps for one image");
    if (st == VM_OK && out.len != 0)
        st = vm__bmap_space(&s->map, out.len, s->cluster, &off);
    if (st == VM_OK && out.len != 0)
        st = vm__blk_write(n->file, off, out.data, out.len);
    if (st == VM_OK)
        st = qcow2_refcount_write(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    free(out.data);
    if (st != VM_OK)
        return st;
    s->bitmap_dir_off = off;
    s->bitmap_dir_size = out.len;
    s->autoclear &= ~(uint64_t)QCOW2_A_BITMAPS;
    s->autoclear |= s->n_bitmaps != 0 ? QCOW2_A_BITMAPS : 0;
    st = qcow2_write_header(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    return st == VM_OK && old_size != 0 ? qcow2_refcount_add(n, old_off, old_size, -1) : st;
}

int qcow2_bitmaps_store(struct vm_blk *n, bool closing)
{
    struct qcow2 *s = qcow2_of(n);
    struct {
        uint64_t off;
        uint32_t size;
    } *old = calloc((size_t)s->n_bitmaps + 1, sizeof *old);
    int st = old != NULL ? VM_OK : vm__fail_nomem(s->n_bitmaps * sizeof *old);
    for (uint32_t i = 0; st == VM_OK && i < s->n_bitmaps; i++) {
        struct qcow2_bitmap *m = &s->bitmaps[i];
        if (m->bits == NULL || !atomic_exchange(&m->bits->changed, false))
            continue;
        old[i].off = m->table_off;
        old[i].size = m->table_size;
        st = write_bits(n, m);
    }
    if (st == VM_OK)
        st = write_directory(n, closing);
    for (uint32_t i = 0; st == VM_OK && i < s->n_bitmaps; i++)
        if (old[i].size != 0)
            st = qcow2_bitmap_release(n, old[i].off, old[i].size);
    free(old);
    return st == VM_OK ? qcow2_refcount_write(n) : st;
}

/* ---- life of an open image -------------------------------------------------------------- */

int qcow2_bitmaps_begin(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    bool enabled = false;
    int st = VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < s->n_bitmaps; i++) {
        struct qcow2_bitmap *m = &s->bitmaps[i];
        if (qcow2_bm_broken(m) || !(m->flags & QCOW2_BM_AUTO))
            continue;
        st = qcow2_bitmap_load(n, m);
        enabled = true;
    }
    if (st == VM_OK && enabled)
        st = qcow2_bitmaps_store(n, false);
    s->bitmaps_live = st == VM_OK;
    return st;
}

int qcow2_bitmaps_end(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    bool loaded = false;
    if (!s->bitmaps_live)
        return VM_OK;
    for (uint32_t i = 0; i < s->n_bitmaps; i++)
        loaded = loaded || s->bitmaps[i].bits != NULL;
    int st = loaded ? qcow2_bitmaps_store(n, true) : VM_OK;
    for (uint32_t i = 0; i < s->n_bitmaps; i++) {
        qcow2_bits_free(s->bitmaps[i].bits);
        s->bitmaps[i].bits = NULL;
    }
    s->bitmaps_live = false;
    return st;
}

int qcow2_bitmaps_record(struct vm_blk *n, uint64_t off, uint64_t len)
{
    struct qcow2 *s = qcow2_of(n);
    if (!s->bitmaps_live)
        return vm__fail(VM_E_STATE, "The image has dirty bitmaps that would miss this write");
    for (uint32_t i = 0; i < s->n_bitmaps; i++) {
        const struct qcow2_bitmap *m = &s->bitmaps[i];
        int st = m->bits != NULL && m->flags & QCOW2_BM_AUTO && !qcow2_bm_broken(m)
                     ? qcow2_bits_set(m->bits, off, len)
                     : VM_OK;
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}
