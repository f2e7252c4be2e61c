/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_snapshot.c
 * Internal snapshots: a copy of the first-level table, and one count more for all it reaches.
 *
 * Spec: [QCOW2 "Snapshots"]. Every step leaves the image valid: counts go up before a table is
 * named, and down only after it is not named any more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/qcow2.h"

enum { FIXED = 40, MAX_EXTRA = 1024, MAX_TABLE = 64 << 20 };

void qcow2_free_snapshots(struct qcow2 *s)
{
    for (uint32_t i = 0; s->snapshots != NULL && i < s->n_snapshots; i++)
        free(s->snapshots[i].extra);
    free(s->snapshots);
    s->snapshots = NULL;
}

/* ---- the table -------------------------------------------------------------------------- */

static int read_one(struct vm_blk *n, struct qcow2_snapshot *sn, uint64_t *at)
{
    uint8_t h[FIXED];
    if (!vm_in_range(*at, FIXED, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The snapshot table lies outside of the file");
    int st = vm__blk_read(n->file, *at, h, FIXED);
    if (st != VM_OK)
        return st;
    uint32_t id = vm_be16(h + 12), name = vm_be16(h + 14);
    sn->l1_off = vm_be64(h);
    sn->l1_size = vm_be32(h + 8);
    sn->extra_len = vm_be32(h + 36);
    sn->pub.date_s = vm_be32(h + 16);
    sn->pub.date_ns = vm_be32(h + 20);
    sn->pub.vm_clock_ns = vm_be64(h + 24);
    sn->pub.vm_state_size = vm_be32(h + 32);
    sn->pub.icount = UINT64_MAX;
    sn->pub.disk_size = vm__blk_size(n);
    if (sn->extra_len > MAX_EXTRA || id >= sizeof sn->pub.id || name >= sizeof sn->pub.name)
        return vm__fail(VM_E_CORRUPT, "A snapshot table entry is malformed");
    uint64_t len = (uint64_t)sn->extra_len + id + name;
    if (!vm_in_range(*at + FIXED, len, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The snapshot table lies outside of the file");
    sn->extra = calloc(1, (size_t)len + 1);
    if (sn->extra == NULL)
        return vm__fail_nomem((size_t)len);
    if (len != 0)
        st = vm__blk_read(n->file, *at + FIXED, sn->extra, (size_t)len);
    memcpy(sn->pub.id, sn->extra + sn->extra_len, id);
    memcpy(sn->pub.name, sn->extra + sn->extra_len + id, name);
    if (sn->extra_len >= 8)
        sn->pub.vm_state_size = vm_be64(sn->extra);
    if (sn->extra_len >= 16)
        sn->pub.disk_size = vm_be64(sn->extra + 8);
    if (sn->extra_len >= 24)
        sn->pub.icount = vm_be64(sn->extra + 16);
    *at = (*at + FIXED + len + 7) & ~UINT64_C(7);
    return st;
}

int qcow2_read_snapshots(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t at = s->snapshot_table;
    s->snapshots = calloc((size_t)s->n_snapshots + 1, sizeof *s->snapshots);
    if (s->snapshots == NULL)
        return vm__fail_nomem(s->n_snapshots * sizeof *s->snapshots);
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        struct qcow2_snapshot *sn = &s->snapshots[i];
        int st = read_one(n, sn, &at);
        if (st != VM_OK)
            return st;
        if (sn->l1_size > QCOW2_MAX_L1 / 8)
            return vm__fail(VM_E_CORRUPT, "Snapshot L1 table too large");
        if (sn->l1_off % s->cluster != 0)
            return vm__fail(VM_E_CORRUPT, "Snapshot L1 table offset invalid");
    }
    return VM_OK;
}

static void put_one(struct vm_buf *out, const struct qcow2_snapshot *sn)
{
    static const uint8_t pad[8];
    uint8_t h[FIXED] = { 0 }, extra[24];
    uint32_t len = sn->extra_len > sizeof extra ? sn->extra_len : sizeof extra;
    size_t id = strlen(sn->pub.id), name = strlen(sn->pub.name);
    vm_put_be64(h, sn->l1_off);
    vm_put_be32(h + 8, sn->l1_size);
    vm_put_be16(h + 12, (uint16_t)id);
    vm_put_be16(h + 14, (uint16_t)name);
    vm_put_be32(h + 16, (uint32_t)sn->pub.date_s);
    vm_put_be32(h + 20, sn->pub.date_ns);
    vm_put_be64(h + 24, sn->pub.vm_clock_ns);
    vm_put_be32(h + 32, sn->pub.vm_state_size <= UINT32_MAX ? (uint32_t)sn->pub.vm_state_size : 0);
    vm_put_be32(h + 36, len);
    vm_put_be64(extra, sn->pub.vm_state_size);
    vm_put_be64(extra + 8, sn->pub.disk_size);
    vm_put_be64(extra + 16, sn->pub.icount);
    vm__buf_put(out, h, sizeof h);
    vm__buf_put(out, extra, sizeof extra);
    if (sn->extra_len > sizeof extra)
        vm__buf_put(out, sn->extra + sizeof extra, sn->extra_len - sizeof extra);
    vm__buf_put(out, sn->pub.id, id);
    vm__buf_put(out, sn->pub.name, name);
    vm__buf_put(out, pad, (8 - out->len % 8) % 8);
}

static uint64_t table_bytes(const struct qcow2 *s)
{
    struct vm_buf out = { 0 };
    for (uint32_t i = 0; i < s->n_snapshots; i++)
        put_one(&out, &s->snapshots[i]);
    free(out.data);
    return out.len;
}

/** The list as it is now, in a new place; then the header; then the old place is free. */
static int write_table(struct vm_blk *n, uint64_t old_off, uint64_t old_len)
{
    struct qcow2 *s = qcow2_of(n);
    struct vm_buf out = { 0 };
    for (uint32_t i = 0; i < s->n_snapshots; i++)
        put_one(&out, &s->snapshots[i]);
    int st = out.failed ? vm__fail_nomem(out.len) : VM_OK;
    s->snapshot_table = 0;
    if (st == VM_OK && out.len > MAX_TABLE)
        st = vm__fail(VM_E_RANGE, "Snapshot table is too large");
    if (st == VM_OK && out.len != 0)
        st = vm__bmap_space(&s->map, out.len, s->cluster, &s->snapshot_table);
    if (st == VM_OK && out.len != 0)
        st = vm__blk_write(n->file, s->snapshot_table, out.data, out.len);
    free(out.data);
    if (st == VM_OK)
        st = qcow2_refcount_write(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st == VM_OK)
        st = qcow2_write_header(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st == VM_OK && old_off != 0)
        st = qcow2_refcount_add(n, old_off, old_len, -1);
    return st;
}

/* ---- counts ----------------------------------------------------------------------------- */

static int add_entry(struct vm_blk *n, uint64_t raw, int by)
{
    const struct qcow2 *s = qcow2_of(n);
    uint64_t off = raw & QCOW2_OFFSET, len = s->cluster;
    if (raw & QCOW2_COMPRESSED)
        qcow2_packed_place(s, raw, &off, &len);
    return off != 0 ? qcow2_refcount_add(n, off, len, by) : VM_OK;
}

static int add_table(struct vm_blk *n, uint64_t off, int by)
{
    const struct qcow2 *s = qcow2_of(n);
    uint8_t *table = malloc((size_t)s->cluster);
    int st = table != NULL ? VM_OK : vm__fail_nomem((size_t)s->cluster);
    if (st == VM_OK &&
        (off % s->cluster != 0 || !vm_in_range(off, s->cluster, vm__blk_size(n->file))))
        st = vm__fail(VM_E_CORRUPT, "L2 table offset 0x%llx unaligned or outside of the file",
                      (unsigned long long)off);
    if (st == VM_OK)
        st = vm__blk_read(n->file, off, table, (size_t)s->cluster);
    for (uint64_t i = 0; st == VM_OK && i < qcow2_l2_entries(s); i++)
        st = add_entry(n, qcow2_entry_at(s, table, i).raw, by);
    free(table);
    return st == VM_OK ? qcow2_refcount_add(n, off, s->cluster, by) : st;
}

/** One more or less for everything that a first-level table reaches. */
static int add_all(struct vm_blk *n, const uint64_t *l1, uint32_t size, int by)
{
    int st = VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < size; i++) {
        uint64_t off = vm_be64(&l1[i]) & QCOW2_OFFSET;
        if (off != 0)
            st = add_table(n, off, by);
    }
    return st;
}

/** The "copied" flag of an entry says what its count says. @return it changed */
static int fix_flag(struct vm_blk *n, uint8_t *entry, bool *changed)
{
    const struct qcow2 *s = qcow2_of(n);
    uint64_t raw = vm_be64(entry), off = raw & QCOW2_OFFSET, count;
    if (raw & QCOW2_COMPRESSED || off == 0)
        return VM_OK;
    int st = qcow2_refcount_get(n, off / s->cluster, &count);
    uint64_t now = count == 1 ? raw | QCOW2_COPIED : raw & ~QCOW2_COPIED;
    *changed = *changed || now != raw;
    vm_put_be64(entry, now);
    return st;
}

static int fix_table(struct vm_blk *n, uint64_t off)
{
    const struct qcow2 *s = qcow2_of(n);
    uint8_t *table = malloc((size_t)s->cluster);
    bool changed = false;
    int st = table != NULL ? vm__blk_read(n->file, off, table, (size_t)s->cluster)
                           : vm__fail_nomem((size_t)s->cluster);
    for (uint64_t i = 0; st == VM_OK && i < qcow2_l2_entries(s); i++)
        st = fix_flag(n, table + i * qcow2_entry_bytes(s), &changed);
    if (st == VM_OK && changed)
        st = vm__blk_write(n->file, off, table, (size_t)s->cluster);
    free(table);
    return st;
}

/** Flags of the active tables, after counts have changed; what is cached of them is dropped. */
static int fix_flags(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    bool changed = false;
    int st = VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < s->l1_size; i++) {
        uint64_t raw = atomic_load(&s->l1[i]);
        st = fix_flag(n, (uint8_t *)&raw, &changed);
        atomic_store(&s->l1[i], raw);
        if (st == VM_OK && (vm_be64(&raw) & QCOW2_OFFSET) != 0)
            st = fix_table(n, vm_be64(&raw) & QCOW2_OFFSET);
    }
    if (st == VM_OK && changed)
        st = vm__blk_write(n->file, s->l1_off, (const void *)s->l1, 8 * (size_t)s->l1_size);
    if (st == VM_OK)
        st = qcow2_refcount_write(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    uint64_t end = s->map.next;
    vm__bmap_fini(&s->map);
    if (st == VM_OK)
        st = qcow2_open_map(n);
    s->map.next = end > s->map.next ? end : s->map.next;
    return st;
}

/* ---- what users ask for ----------------------------------------------------------------- */

static struct qcow2_snapshot *find(struct qcow2 *s, const char *id_or_name)
{
    for (uint32_t i = 0; i < s->n_snapshots; i++)
        if (strcmp(s->snapshots[i].pub.id, id_or_name) == 0)
            return &s->snapshots[i];
    for (uint32_t i = 0; i < s->n_snapshots; i++)
        if (strcmp(s->snapshots[i].pub.name, id_or_name) == 0)
            return &s->snapshots[i];
    (void)vm__fail(VM_E_NOENT, "No snapshot '%.80s' in this image", id_or_name);
    return NULL;
}

int qcow2_snapshot_list(struct vm_blk *n, struct vm_blk_snapshot **list, size_t *count)
{
    const struct qcow2 *s = qcow2_of(n);
    *list = calloc((size_t)s->n_snapshots + 1, sizeof **list);
    if (*list == NULL)
        return vm__fail_nomem(s->n_snapshots * sizeof **list);
    *count = s->n_snapshots;
    for (uint32_t i = 0; i < s->n_snapshots; i++)
        (*list)[i] = s->snapshots[i].pub;
    return VM_OK;
}

/** The next free number as text. */
static void make_id(const struct qcow2 *s, char *id, size_t room)
{
    unsigned long most = 0;
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        unsigned long v = strtoul(s->snapshots[i].pub.id, NULL, 10);
        most = v > most ? v : most;
    }
    (void)snprintf(id, room, "%lu", most + 1);
}

static int add_to_list(struct qcow2 *s, const struct qcow2_snapshot *sn)
{
    struct qcow2_snapshot *more =
        realloc(s->snapshots, ((size_t)s->n_snapshots + 2) * sizeof *more);
    if (more == NULL)
        return vm__fail_nomem(sizeof *more);
    s->snapshots = more;
    more[s->n_snapshots++] = *sn;
    return VM_OK;
}

int qcow2_snapshot_create(struct vm_blk *n, struct vm_blk_snapshot *pub)
{
    struct qcow2 *s = qcow2_of(n);
    struct qcow2_snapshot sn = { .pub = *pub, .l1_size = s->l1_size };
    uint64_t old_off = s->snapshot_table, old_len = table_bytes(s);
    if (qcow2_has_data_file(s))
        return vm__fail(VM_E_NOTSUP, "Images with a data file have no internal snapshots");
    if (s->n_snapshots >= QCOW2_MAX_SNAPSHOTS)
        return vm__fail(VM_E_RANGE, "The image has %u snapshots already", s->n_snapshots);
    if (sn.pub.id[0] == '\0')
        make_id(s, sn.pub.id, sizeof sn.pub.id);
    sn.pub.disk_size = vm__blk_size(n);
    int st = vm__bmap_flush(&s->map, 0);
    if (st == VM_OK && s->l1_size != 0)
        st = vm__bmap_space(&s->map, 8ull * s->l1_size, s->cluster, &sn.l1_off);
    if (st == VM_OK)
        st = add_all(n, (const uint64_t *)(const void *)s->l1, s->l1_size, 1);
    if (st == VM_OK) /* counts before flags: nobody may write to what is shared */
        st = qcow2_refcount_write(n);
    if (st == VM_OK)
        st = fix_flags(n);
    if (st == VM_OK && s->l1_size != 0)
        st = vm__blk_write(n->file, sn.l1_off, (const void *)s->l1, 8 * (size_t)s->l1_size);
    if (st == VM_OK)
        st = add_to_list(s, &sn);
    *pub = sn.pub;
    return st == VM_OK ? write_table(n, old_off, old_len) : st;
}

static int read_l1(struct vm_blk *n, const struct qcow2_snapshot *sn, uint64_t **l1)
{
    size_t bytes = 8 * (size_t)sn->l1_size;
    if (!vm_in_range(sn->l1_off, bytes, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The L1 table of snapshot '%s' lies outside of the file",
                        sn->pub.name);
    *l1 = calloc((size_t)sn->l1_size + 1, 8);
    if (*l1 == NULL)
        return vm__fail_nomem(bytes);
    return bytes != 0 ? vm__blk_read(n->file, sn->l1_off, *l1, bytes) : VM_OK;
}

int qcow2_snapshot_delete(struct vm_blk *n, const char *id_or_name)
{
    struct qcow2 *s = qcow2_of(n);
    struct qcow2_snapshot *sn = find(s, id_or_name), gone;
    uint64_t *l1 = NULL, old_off = s->snapshot_table, old_len = table_bytes(s);
    if (sn == NULL)
        return VM_E_NOENT;
    gone = *sn;
    int st = vm__bmap_flush(&s->map, 0);
    if (st == VM_OK)
        st = read_l1(n, &gone, &l1);
    if (st == VM_OK) {
        size_t after = s->n_snapshots - (size_t)(sn - s->snapshots) - 1;
        memmove(sn, sn + 1, after * sizeof *sn);
        s->n_snapshots--;
        free(gone.extra);
        st = write_table(n, old_off, old_len);
    }
    if (st == VM_OK)
        st = add_all(n, l1, gone.l1_size, -1);
    if (st == VM_OK && gone.l1_size != 0)
        st = qcow2_refcount_add(n, gone.l1_off, 8ull * gone.l1_size, -1);
    free(l1);
    return st == VM_OK ? fix_flags(n) : st;
}

/** Put a snapshot's table in the place of the active one, which is as long or longer. */
static int activate(struct vm_blk *n, const uint64_t *l1, uint32_t size)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t *old = malloc(8 * (size_t)s->l1_size + 1);
    if (old == NULL)
        return vm__fail_nomem(8 * (size_t)s->l1_size);
    memcpy(old, (const void *)s->l1, 8 * (size_t)s->l1_size);
    memset((void *)s->l1, 0, 8 * (size_t)s->l1_size);
    memcpy((void *)s->l1, l1, 8 * (size_t)size);
    int st = add_all(n, l1, size, 1);
    if (st == VM_OK)
        st = qcow2_refcount_write(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st == VM_OK)
        st = vm__blk_write(n->file, s->l1_off, (const void *)s->l1, 8 * (size_t)s->l1_size);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st == VM_OK)
        st = add_all(n, old, s->l1_size, -1);
    free(old);
    return st == VM_OK ? fix_flags(n) : st;
}

int qcow2_snapshot_goto(struct vm_blk *n, const char *id_or_name)
{
    struct qcow2 *s = qcow2_of(n);
    const struct qcow2_snapshot *sn = find(s, id_or_name);
    uint64_t *l1 = NULL;
    if (sn == NULL)
        return VM_E_NOENT;
    int st = vm__bmap_flush(&s->map, 0);
    if (st == VM_OK && s->n_bitmaps != 0) /* all of the disk may change */
        st = qcow2_bitmaps_record(n, 0, vm__blk_size(n));
    if (st == VM_OK && sn->pub.disk_size != vm__blk_size(n))
        st = qcow2_truncate(n, sn->pub.disk_size, VM_PREALLOC_OFF, 0);
    if (st == VM_OK && sn->l1_size > s->l1_size)
        st = vm__fail(VM_E_CORRUPT, "The L1 table of snapshot '%s' is longer than its disk",
                      sn->pub.name);
    if (st == VM_OK)
        st = read_l1(n, sn, &l1);
    if (st == VM_OK)
        st = activate(n, l1, sn->l1_size);
    free(l1);
    return st;
}

int qcow2_snapshot_load(struct vm_blk *n, const char *id_or_name)
{
    struct qcow2 *s = qcow2_of(n);
    const struct qcow2_snapshot *sn = find(s, id_or_name);
    uint64_t *l1 = NULL;
    if (sn == NULL)
        return VM_E_NOENT;
    if (vm__blk_writable(n))
        return vm__fail(VM_E_STATE, "A snapshot can be looked at in a read-only image only");
    int st = read_l1(n, sn, &l1);
    if (st != VM_OK) {
        free(l1);
        return st;
    }
    free((void *)s->l1);
    s->l1 = (_Atomic uint64_t *)l1;
    s->l1_size = sn->l1_size;
    atomic_store(&n->size, sn->pub.disk_size);
    uint64_t need = (sn->pub.disk_size + s->cluster - 1) / s->cluster;
    if ((need + qcow2_l2_entries(s) - 1) / qcow2_l2_entries(s) > s->l1_size)
        return vm__fail(VM_E_CORRUPT, "The L1 table of snapshot '%s' is too short", sn->pub.name);
    vm__bmap_fini(&s->map);
    return qcow2_open_map(n);
}
