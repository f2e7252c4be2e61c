/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_check.c
 * Check and repair: count every reference there is, and compare with the counts in the image.
 *
 * A cluster with too low a count, or none, is an error: it may be taken for free. One with too high
 * a count is a leak: nothing is lost but room.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/qcow2_bitmap.h"

struct checking {
    struct vm_blk *n;
    struct qcow2 *s;
    struct vm_blk_check *out;
    uint32_t fix;
    uint64_t clusters; /**< of the file */
    uint32_t *count;   /**< references found, by cluster */
    uint64_t before;   /**< the last data cluster seen, for fragmentation */
};

static void say(struct checking *c, const char *fmt, unsigned long long a, unsigned long long b,
                unsigned long long d)
{
    char line[160];
    (void)snprintf(line, sizeof line, fmt, a, b, d);
    if (c->out->problem != NULL)
        c->out->problem(c->out->ud, line);
}

/** References to clusters; false: outside of the file. */
static bool refer(struct checking *c, uint64_t off, uint64_t len)
{
    if (len == 0)
        return true;
    uint64_t first = off / c->s->cluster, last;
    if (!vm_add_u64(off, len - 1, &last) || (last /= c->s->cluster) >= c->clusters) {
        say(c, "ERROR: offset=%llx: Cluster is outside of the image file (%llu bytes)%.0llu", off,
            len, 0);
        c->out->corruptions++;
        return false;
    }
    for (uint64_t i = first; i <= last; i++)
        c->count[i] += c->count[i] != UINT32_MAX;
    return true;
}

static void refer_entry(struct checking *c, struct qcow2_entry e, bool active)
{
    const struct qcow2 *s = c->s;
    uint64_t raw = e.raw, off = raw & QCOW2_OFFSET, len = s->cluster;
    bool packed = raw & QCOW2_COMPRESSED;
    if (packed)
        qcow2_packed_place(s, raw, &off, &len);
    if (qcow2_extended(s) && off % s->cluster == 0 && !qcow2_entry_ok(s, &e)) {
        say(c, "ERROR: entry=%llx bitmap=%llx: L2 entry makes no sense%.0llu", raw, e.bits, 0);
        c->out->corruptions++;
    }
    if (qcow2_has_data_file(s)) { /* nothing is counted there */
        c->out->allocated_clusters += active && qcow2_has_place(s, raw);
        return;
    }
    if (off == 0)
        return;
    if (!packed && off % s->cluster != 0) {
        say(c,
            "ERROR offset=%llx: Data cluster is not properly aligned; L2 entry corrupted.%.0llu"
            "%.0llu",
            off, 0, 0);
        c->out->corruptions++;
        return;
    }
    /* The last sector of compressed data may not be there in full. */
    uint64_t size = c->clusters * s->cluster;
    if (packed && off < size && len > size - off)
        len = size - off;
    (void)refer(c, off, len);
    if (!active)
        return;
    c->out->allocated_clusters++;
    c->out->compressed_clusters += packed;
    if (!packed) {
        c->out->fragmented_clusters += c->before != 0 && off != c->before + s->cluster;
        c->before = off;
    } else {
        c->out->fragmented_clusters++;
    }
}

static int refer_table(struct checking *c, uint64_t raw, bool active)
{
    const struct qcow2 *s = c->s;
    uint64_t off = raw & QCOW2_OFFSET;
    if (off == 0)
        return VM_OK;
    if (off % s->cluster != 0) {
        say(c, "ERROR l2_offset=%llx: Table is not cluster aligned; L1 entry corrupted%.0llu%.0llu",
            off, 0, 0);
        c->out->corruptions++;
        return VM_OK;
    }
    if (!refer(c, off, s->cluster))
        return VM_OK;
    uint8_t *table = malloc((size_t)s->cluster);
    int st = table != NULL ? vm__blk_read(c->n->file, off, table, (size_t)s->cluster)
                           : vm__fail_nomem((size_t)s->cluster);
    for (uint64_t i = 0; st == VM_OK && i < qcow2_l2_entries(s); i++)
        refer_entry(c, qcow2_entry_at(s, table, i), active);
    free(table);
    return st;
}

static int refer_l1(struct checking *c, uint64_t off, uint32_t size, bool active)
{
    size_t bytes = 8 * (size_t)size;
    if (size == 0 || !refer(c, off, bytes))
        return VM_OK;
    uint8_t *l1 = malloc(bytes);
    int st = l1 != NULL && vm_in_range(off, bytes, vm__blk_size(c->n->file))
                 ? vm__blk_read(c->n->file, off, l1, bytes)
                 : vm__fail(VM_E_CORRUPT, "An L1 table lies outside of the file");
    for (uint32_t i = 0; st == VM_OK && i < size; i++)
        st = refer_table(c, vm_be64(l1 + 8 * (size_t)i), active);
    free(l1);
    return st;
}

/** The snapshot table's own clusters: as long as its entries are. */
static uint64_t snapshot_bytes(const struct qcow2 *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        const struct qcow2_snapshot *sn = &s->snapshots[i];
        n += 40 + (uint64_t)sn->extra_len + strlen(sn->pub.id) + strlen(sn->pub.name);
        n = (n + 7) & ~UINT64_C(7);
    }
    return n;
}

static int refer_one(void *ud, uint64_t off, uint64_t len)
{
    (void)refer(ud, off, len);
    return VM_OK;
}

/** A bitmap that makes no sense is one error; its clusters are leaks then. */
static int refer_bitmaps(struct checking *c)
{
    struct qcow2 *s = c->s;
    if (s->n_bitmaps != 0)
        (void)refer(c, s->bitmap_dir_off, s->bitmap_dir_size);
    for (uint32_t i = 0; i < s->n_bitmaps; i++) {
        int st = qcow2_bitmap_clusters(c->n, s->bitmaps[i].table_off, s->bitmaps[i].table_size,
                                       refer_one, c);
        if (st != VM_OK && st != VM_E_CORRUPT)
            return st;
        if (st == VM_E_CORRUPT) {
            say(c, "ERROR bitmap %llu of %llu has a table that makes no sense%.0llu", i,
                s->n_bitmaps, 0);
            c->out->corruptions++;
        }
    }
    return VM_OK;
}

static int refer_all(struct checking *c)
{
    struct qcow2 *s = c->s;
    (void)refer(c, 0, s->cluster);
    int st = refer_l1(c, s->l1_off, s->l1_size, true);
    for (uint32_t i = 0; st == VM_OK && i < s->n_snapshots; i++)
        st = refer_l1(c, s->snapshots[i].l1_off, s->snapshots[i].l1_size, false);
    if (s->n_snapshots != 0)
        (void)refer(c, s->snapshot_table, snapshot_bytes(s));
    if (s->crypt_off != 0)
        (void)refer(c, s->crypt_off, s->crypt_len);
    if (st == VM_OK)
        st = refer_bitmaps(c);
    (void)refer(c, s->reftable_off, 8ull * s->reftable_size);
    for (uint32_t i = 0; i < s->reftable_size; i++) {
        if (s->reftable[i] == 0)
            continue;
        if (s->reftable[i] % s->cluster != 0) {
            say(c,
                "ERROR refcount block %llu is not cluster aligned; refcount table entry corrupted"
                "%.0llu%.0llu",
                i, 0, 0);
            c->out->corruptions++;
            s->reftable[i] = 0;
            continue;
        }
        if (!refer(c, s->reftable[i], s->cluster))
            s->reftable[i] = 0;
    }
    return st;
}

static int compare(struct checking *c)
{
    uint64_t last = 0;
    for (uint64_t i = 0; i < c->clusters; i++) {
        uint64_t have, want = c->count[i];
        int st = qcow2_refcount_get(c->n, i, &have);
        if (st == VM_E_CORRUPT) {
            c->out->check_errors++;
            continue;
        }
        if (st != VM_OK)
            return st;
        last = want != 0 || have != 0 ? i + 1 : last;
        if (have == want)
            continue;
        bool leak = have > want;
        bool repair = c->fix & (leak ? VM_FIX_LEAKS : VM_FIX_ERRORS);
        say(c,
            repair ? "Repairing cluster %llu refcount=%llu reference=%llu"
            : leak ? "Leaked cluster %llu refcount=%llu reference=%llu"
                   : "ERROR cluster %llu refcount=%llu reference=%llu",
            i, have, want);
        if (repair)
            repair = qcow2_refcount_repair(c->n, i, want) == VM_OK;
        *(leak ? &c->out->leaks : &c->out->corruptions) += 1;
        if (repair)
            *(leak ? &c->out->leaks_fixed : &c->out->corruptions_fixed) += 1;
    }
    c->out->image_end_offset = last * c->s->cluster;
    return VM_OK;
}

/** Flags that say an entry is nobody else's, where it is; and the reverse. */
static int check_flag(struct checking *c, uint64_t *raw, const char *what, bool *changed)
{
    uint64_t v = vm_be64(raw), off = v & QCOW2_OFFSET, i = off / c->s->cluster;
    if (v & QCOW2_COMPRESSED || off == 0 || i >= c->clusters)
        return VM_OK;
    bool copied = v & QCOW2_COPIED, alone = c->count[i] == 1;
    if (copied == alone)
        return VM_OK;
    c->out->corruptions++;
    bool repair = c->fix & VM_FIX_ERRORS;
    char fmt[80];
    (void)snprintf(fmt, sizeof fmt, "%s OFLAG_COPIED %s: entry=%%llx refcount=%%llu%%.0llu",
                   repair ? "Repairing" : "ERROR", what);
    say(c, fmt, v, c->count[i], 0);
    if (!repair)
        return VM_OK;
    vm_put_be64(raw, alone ? v | QCOW2_COPIED : v & ~QCOW2_COPIED);
    c->out->corruptions_fixed++;
    *changed = true;
    return VM_OK;
}

static int check_table_flags(struct checking *c, uint64_t off)
{
    const struct qcow2 *s = c->s;
    uint64_t *table = malloc((size_t)s->cluster);
    bool changed = false;
    int st = table != NULL ? vm__blk_read(c->n->file, off, table, (size_t)s->cluster)
                           : vm__fail_nomem((size_t)s->cluster);
    for (uint64_t i = 0; st == VM_OK && i < qcow2_l2_entries(s); i++)
        st = check_flag(c, &table[i * qcow2_entry_bytes(s) / 8], "data cluster", &changed);
    if (st == VM_OK && changed)
        st = vm__blk_write(c->n->file, off, table, (size_t)s->cluster);
    free(table);
    return st;
}

static int check_flags(struct checking *c)
{
    struct qcow2 *s = c->s;
    bool changed = false;
    int st = VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < s->l1_size; i++) {
        uint64_t raw = atomic_load(&s->l1[i]), off = vm_be64(&raw) & QCOW2_OFFSET;
        st = check_flag(c, &raw, "L2 cluster", &changed);
        atomic_store(&s->l1[i], raw);
        if (st == VM_OK && off != 0 && off % s->cluster == 0 && off / s->cluster < c->clusters &&
            !qcow2_has_data_file(s))
            st = check_table_flags(c, off);
    }
    if (st == VM_OK && changed)
        st = vm__blk_write(c->n->file, s->l1_off, (const void *)s->l1, 8 * (size_t)s->l1_size);
    return st;
}

/** Repaired: write, forget what is cached, take the marks out of the header. */
static int finish(struct checking *c)
{
    struct qcow2 *s = c->s;
    const struct vm_blk_check *o = c->out;
    int st = qcow2_refcount_write(c->n);
    if (st == VM_OK)
        st = vm__blk_flush(c->n->file, 0);
    vm__bmap_fini(&s->map);
    if (st == VM_OK)
        st = qcow2_open_map(c->n);
    bool clean = o->corruptions == o->corruptions_fixed && o->check_errors == 0;
    uint64_t marks = s->incompatible & (QCOW2_I_DIRTY | QCOW2_I_CORRUPT);
    if (st != VM_OK || !clean || marks == 0)
        return st;
    s->incompatible &= ~marks;
    st = qcow2_write_header(c->n);
    return st == VM_OK ? vm__blk_flush(c->n->file, 0) : st;
}

int qcow2_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix)
{
    struct qcow2 *s = qcow2_of(n);
    struct checking c = { .n = n, .s = s, .out = out, .fix = fix };
    c.clusters = (vm__blk_size(n->file) + s->cluster - 1) / s->cluster;
    if (c.clusters > UINT32_MAX)
        return vm__fail(VM_E_NOTSUP, "The image file has too many clusters to check");
    c.count = calloc((size_t)c.clusters + 1, sizeof *c.count);
    if (c.count == NULL)
        return vm__fail_nomem((size_t)c.clusters * sizeof *c.count);
    out->total_clusters = (vm__blk_size(n) + s->cluster - 1) / s->cluster;
    int st = refer_all(&c);
    if (st == VM_OK)
        st = compare(&c);
    if (st == VM_OK)
        st = check_flags(&c);
    free(c.count);
    return st == VM_OK && fix != 0 && vm__blk_writable(n) ? finish(&c) : st;
}
