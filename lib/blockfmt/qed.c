/* SPDX-License-Identifier: MIT */
/**
 * @file qed.c
 * QEMU enhanced disk images.
 *
 * Spec: [QED] "QED Image File Format Specification". Two levels of tables of 64-bit little-endian
 * offsets, all tables of one size; 0 is not there, 1 is zeros. Clusters are only ever appended.
 *
 * The need-check mark is for writers whose tables may point at what is not there after a crash.
 * This one orders its writes (bmap.h), so it does not set the mark; it obeys one that it finds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/qed.h"

/* ---- the map ---------------------------------------------------------------------------- */

static bool valid_offset(const struct qed *s, uint64_t off)
{
    return off % s->cluster == 0 && off >= (uint64_t)s->header_clusters * s->cluster &&
           off <= VM_BLK_MAX_SIZE - s->cluster;
}

static struct vm_bmap_entry qed_decode(const struct vm_bmap *b, uint64_t raw)
{
    if (raw <= 1)
        return (struct vm_bmap_entry) { raw == 1 ? VM_BMAP_ZERO : VM_BMAP_NONE, 0, 0 };
    return (struct vm_bmap_entry) { valid_offset(qed_of(b->n), raw) ? VM_BMAP_DATA : VM_BMAP_BAD,
                                    raw, 0 };
}

static uint64_t qed_encode(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off)
{
    (void)b;
    return kind == VM_BMAP_DATA ? off : kind == VM_BMAP_ZERO ? 1 : 0;
}

/** The second-level table that page @p page of the map is part of, and where in it. */
static uint64_t table_of(const struct vm_bmap *b, uint64_t page, uint64_t *in)
{
    uint64_t per_table = qed_of(b->n)->table_bytes / b->page_size;
    *in = page % per_table * b->page_size;
    return page / per_table;
}

static int qed_page_at(struct vm_bmap *b, uint64_t page, uint64_t *at)
{
    const struct qed *s = qed_of(b->n);
    uint64_t in, t = table_of(b, page, &in);
    uint64_t off = atomic_load(&s->l1[t]);
    *at = off != 0 ? off + in : 0;
    if (off != 0 && (!valid_offset(s, off) || off > vm__blk_size(b->n->file)))
        return vm__fail(VM_E_CORRUPT, "Table %llu lies at 0x%llx, outside of the file",
                        (unsigned long long)t, (unsigned long long)off);
    return VM_OK;
}

static int qed_page_new(struct vm_bmap *b, uint64_t page, uint64_t *at)
{
    struct qed *s = qed_of(b->n);
    uint64_t in, t = table_of(b, page, &in), off;
    int st = vm__bmap_space(b, s->table_bytes, s->cluster, &off);
    if (st != VM_OK)
        return st;
    atomic_store(&s->l1[t], off);
    s->l1_dirty = true;
    *at = off + in;
    return VM_OK;
}

static int qed_write_roots(struct vm_bmap *b)
{
    struct qed *s = qed_of(b->n);
    int st = s->l1_dirty ? vm__blk_write(b->n->file, s->l1_off, (const void *)s->l1, s->table_bytes)
                         : VM_OK;
    s->l1_dirty = s->l1_dirty && st != VM_OK;
    return st;
}

static const struct vm_bmap_ops map_ops = {
    .decode = qed_decode,
    .encode = qed_encode,
    .page_at = qed_page_at,
    .page_new = qed_page_new,
    .write_roots = qed_write_roots,
};

/* ---- opening ---------------------------------------------------------------------------- */

static int qed_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    return len >= QED_HEADER && memcmp(head, QED_MAGIC, 4) == 0 ? 100 : 0;
}

bool qed_sizes_ok(uint64_t cluster, uint64_t table)
{
    return cluster >= 4096 && cluster <= (64 << 20) && (cluster & (cluster - 1)) == 0 &&
           table >= 1 && table <= 16 && (table & (table - 1)) == 0;
}

static int check_header(struct vm_blk *n)
{
    struct qed *s = qed_of(n);
    const uint8_t *h = s->header;
    uint64_t unknown = vm_le64(h + QED_FEATURES_AT) & ~(uint64_t)QED_KNOWN_FEATURES;
    if (memcmp(h, QED_MAGIC, 4) != 0)
        return vm__fail(VM_E_INVAL, "Image not in QED format");
    if (unknown != 0)
        return vm__fail(VM_E_NOTSUP, "Unsupported QED features: %llx", (unsigned long long)unknown);
    s->cluster = vm_le32(h + QED_CLUSTER_AT);
    if (!qed_sizes_ok(s->cluster, 1))
        return vm__fail(VM_E_CORRUPT, "QED cluster size is invalid");
    if (!qed_sizes_ok(s->cluster, vm_le32(h + QED_TABLE_AT)))
        return vm__fail(VM_E_CORRUPT, "QED table size is invalid");
    s->table_bytes = vm_le32(h + QED_TABLE_AT) * s->cluster;
    s->header_clusters = vm_le32(h + QED_HEADER_CLUSTERS_AT);
    s->l1_off = vm_le64(h + QED_L1_AT);
    uint64_t size = vm_le64(h + QED_SIZE_AT), entries = s->table_bytes / 8, most;
    if (s->header_clusters == 0 || s->header_clusters > (1u << 20) || !valid_offset(s, s->l1_off) ||
        !vm_in_range(s->l1_off, s->table_bytes, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "QED table offset is invalid");
    if (!vm_mul_u64(entries * entries, s->cluster, &most))
        most = UINT64_MAX;
    if (size > most || size > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_CORRUPT, "QED image size is invalid");
    atomic_store(&n->size, size);
    return VM_OK;
}

static int read_backing(struct vm_blk *n)
{
    const struct qed *s = qed_of(n);
    const uint8_t *h = s->header;
    uint64_t features = vm_le64(h + QED_FEATURES_AT);
    uint32_t at = vm_le32(h + QED_BACKING_AT), len = vm_le32(h + QED_BACKING_LEN_AT);
    if (!(features & QED_F_BACKING))
        return VM_OK;
    if (!vm_in_range(at, len, (uint64_t)s->cluster * s->header_clusters) || len > 1023 || len == 0)
        return vm__fail(VM_E_CORRUPT, "The name of the backing file lies outside of the header");
    n->backing_name = calloc(1, (size_t)len + 1);
    if (n->backing_name == NULL)
        return vm__fail_nomem(len);
    int st = vm__blk_read(n->file, at, n->backing_name, len);
    if (st == VM_OK && features & QED_F_RAW_BACKING) {
        n->backing_format = strdup("raw");
        st = n->backing_format != NULL ? VM_OK : vm__fail_nomem(4);
    }
    return st;
}

int qed_open_map(struct vm_blk *n)
{
    struct qed *s = qed_of(n);
    s->map = (struct vm_bmap) {
        .n = n,
        .ops = &map_ops,
        .n_blocks = (vm__blk_size(n) + s->cluster - 1) / s->cluster,
        .width = 8,
        .has_zero = true,
        .block_size = s->cluster,
        .align = s->cluster,
    };
    uint64_t size = vm__blk_size(n->file);
    s->map.next = (size + s->cluster - 1) / s->cluster * s->cluster;
    return vm__bmap_init(&s->map);
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)o;
    struct qed *s = qed_of(n);
    if (vm__blk_size(n->file) < QED_HEADER)
        return vm__fail(VM_E_INVAL, "Image not in QED format");
    int st = vm__blk_read(n->file, 0, s->header, QED_HEADER);
    if (st == VM_OK)
        st = check_header(n);
    if (st == VM_OK)
        st = read_backing(n);
    if (st != VM_OK)
        return st;
    s->l1 = calloc(1, s->table_bytes);
    if (s->l1 == NULL)
        return vm__fail_nomem(s->table_bytes);
    st = vm__blk_read(n->file, s->l1_off, (void *)s->l1, s->table_bytes);
    if (st == VM_OK)
        st = qed_open_map(n);
    bool writing = vm__blk_writable(n) && !(n->flags & VM_OPEN_CHECK);
    if (st == VM_OK && writing && vm_le64(s->header + QED_AUTOCLEAR_AT) != 0) {
        vm_put_le64(s->header + QED_AUTOCLEAR_AT, 0);
        st = qed_write_header(s);
    }
    if (st == VM_OK && writing && vm_le64(s->header + QED_FEATURES_AT) & QED_F_NEED_CHECK) {
        struct vm_blk_check found = { 0 };
        st = qed_check(n, &found, VM_FIX_ERRORS);
    }
    return st;
}

int qed_write_header(struct qed *s)
{
    return vm__blk_write(s->map.n->file, 0, s->header, QED_HEADER);
}

static void free_state(struct vm_blk *n)
{
    vm__bmap_fini(&qed_of(n)->map);
    free((void *)qed_of(n)->l1);
}

static int qed_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void qed_close(struct vm_blk *n)
{
    struct qed *s = qed_of(n);
    if (s->map.pages != NULL && vm__blk_writable(n) && s->map.end > s->map.next)
        (void)vm__blk_truncate(n->file, s->map.next, VM_PREALLOC_OFF, 0);
    free_state(n);
}

/* ---- I/O -------------------------------------------------------------------------------- */

_Static_assert(offsetof(struct qed, map) == 0, "vm__bmap_node_read() and the others");

const struct vm_blk_driver vm__qed_driver = {
    .name = "qed",
    .summary = "QEMU enhanced disk image",
    .spec = "QED Image File Format Specification",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_BACKING | VM_CAN_ZERO_INIT | VM_CAN_NOWAIT,
    .state_size = sizeof(struct qed),
    .create_options = qed_create_options,
    .probe = qed_probe,
    .open = qed_open,
    .close = qed_close,
    .read = vm__bmap_node_read,
    .write = vm__bmap_node_write,
    .zero = vm__bmap_node_zero,
    .discard = vm__bmap_node_discard,
    .flush = vm__bmap_node_flush,
    .status = vm__bmap_node_status,
    .truncate = qed_truncate,
    .info = qed_info,
    .check = qed_check,
    .set_backing = qed_set_backing,
    .create = qed_create,
};
