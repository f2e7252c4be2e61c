/* SPDX-License-Identifier: MIT */
/**
 * @file qed_admin.c
 * QED images as a whole: create, info, check and repair, resize, another backing file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/qed.h"

/* ---- create and rebase ------------------------------------------------------------------ */

const struct vm_blk_option qed_create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "backing_file", VM_OPT_STR, .help = "File name of a base image" },
    { "backing_fmt", VM_OPT_STR, .help = "Image format of the base image" },
    { "cluster_size", VM_OPT_SIZE, .help = "Cluster size (in bytes)", .value = "65536" },
    { "table_size", VM_OPT_SIZE, .help = "L1/L2 table size (in clusters)" },
    { 0 },
};

/** Put the name of a backing file behind the header, or none. */
static int put_backing(uint8_t *h, uint8_t *cluster, size_t room, const char *name,
                       const char *format)
{
    uint64_t f = vm_le64(h + QED_FEATURES_AT) & ~(uint64_t)(QED_F_BACKING | QED_F_RAW_BACKING);
    size_t len = name != NULL ? strlen(name) : 0;
    if (len > 1023 || len > room - QED_HEADER)
        return vm__fail(VM_E_RANGE, "The name of the backing file is longer than %d bytes", 1023);
    if (len != 0) {
        f |= QED_F_BACKING;
        f |= format != NULL && strcmp(format, "raw") == 0 ? QED_F_RAW_BACKING : 0;
        memcpy(cluster + QED_HEADER, name, len);
    }
    vm_put_le64(h + QED_FEATURES_AT, f);
    vm_put_le32(h + QED_BACKING_AT, len != 0 ? QED_HEADER : 0);
    vm_put_le32(h + QED_BACKING_LEN_AT, (uint32_t)len);
    memcpy(cluster, h, QED_HEADER);
    return VM_OK;
}

int qed_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    (void)env;
    uint64_t cluster = 65536, table = 4;
    uint8_t h[QED_HEADER] = QED_MAGIC, first[4096] = { 0 };
    int st = vm__opt_size(c->options, "cluster_size", &cluster);
    if (st == VM_OK)
        st = vm__opt_size(c->options, "table_size", &table);
    if (st != VM_OK)
        return st;
    if (!qed_sizes_ok(cluster, 1))
        return vm__fail(VM_E_INVAL, "QED cluster size must be within range [4096, 67108864] and "
                                    "power of 2");
    if (!qed_sizes_ok(cluster, table))
        return vm__fail(VM_E_INVAL, "QED table size must be within range [1, 16] and power of 2");
    uint64_t entries = table * cluster / 8, most;
    if (!vm_mul_u64(entries * entries, cluster, &most))
        most = VM_BLK_MAX_SIZE;
    if (c->size > most)
        return vm__fail(VM_E_RANGE,
                        "QED image size must be a non-zero multiple of cluster size and "
                        "less than %llu bytes",
                        (unsigned long long)most);
    vm_put_le32(h + QED_CLUSTER_AT, (uint32_t)cluster);
    vm_put_le32(h + QED_TABLE_AT, (uint32_t)table);
    vm_put_le32(h + QED_HEADER_CLUSTERS_AT, 1);
    vm_put_le64(h + QED_L1_AT, cluster);
    vm_put_le64(h + QED_SIZE_AT, c->size);
    st = put_backing(h, first, sizeof first, c->backing_name, c->backing_format);
    if (st == VM_OK)
        st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_truncate(c->file, cluster + table * cluster, VM_PREALLOC_OFF, 0);
    return st == VM_OK ? vm__blk_write(c->file, 0, first, sizeof first) : st;
}

int qed_set_backing(struct vm_blk *n, const char *name, const char *format)
{
    struct qed *s = qed_of(n);
    uint8_t first[4096] = { 0 };
    int st = put_backing(s->header, first, sizeof first, name, format);
    if (st == VM_OK)
        st = vm__blk_write(n->file, 0, first, sizeof first);
    return st == VM_OK ? vm__blk_flush(n->file, 0) : st;
}

int qed_info(struct vm_blk *n, struct vm_blk_info *out)
{
    const struct qed *s = qed_of(n);
    out->cluster_size = s->cluster;
    out->dirty = vm_le64(s->header + QED_FEATURES_AT) & QED_F_NEED_CHECK;
    return VM_OK;
}

/* ---- check ------------------------------------------------------------------------------ */

struct checking {
    struct qed *s;
    struct vm_blk_check *out;
    uint32_t fix;
    uint64_t clusters; /**< of the file */
    uint8_t *used;     /**< a bit each */
};

/** Clusters of the file taken; false: outside, unaligned, or taken twice. */
static bool take(struct checking *c, uint64_t off, uint64_t n)
{
    uint64_t first = off / c->s->cluster;
    if (off % c->s->cluster != 0 || first < c->s->header_clusters ||
        !vm_in_range(first, n, c->clusters))
        return false;
    for (uint64_t i = first; i < first + n; i++)
        if (c->used[i / 8] >> i % 8 & 1)
            return false;
    for (uint64_t i = first; i < first + n; i++)
        c->used[i / 8] |= (uint8_t)(1 << i % 8);
    return true;
}

static void say(struct checking *c, const char *what, uint64_t i, uint64_t off)
{
    char line[120];
    c->out->corruptions++;
    (void)snprintf(line, sizeof line, "ERROR: %s %llu is at 0x%llx, which it cannot be", what,
                   (unsigned long long)i, (unsigned long long)off);
    if (c->out->problem != NULL)
        c->out->problem(c->out->ud, line);
}

static int check_table(struct checking *c, uint64_t t, uint64_t off)
{
    struct qed *s = c->s;
    uint64_t *table = malloc(s->table_bytes);
    uint64_t blocks = s->map.n_blocks, entries = s->table_bytes / 8, before = 0;
    int st = table != NULL ? vm__blk_read(s->map.n->file, off, table, s->table_bytes)
                           : vm__fail_nomem(s->table_bytes);
    bool changed = false;
    for (uint64_t i = 0; st == VM_OK && i < entries && t * entries + i < blocks; i++) {
        if (table[i] <= 1)
            continue;
        if (take(c, table[i], 1)) {
            c->out->allocated_clusters++;
            c->out->fragmented_clusters += before != 0 && table[i] != before + s->cluster;
            before = table[i];
            continue;
        }
        say(c, "cluster", t * entries + i, table[i]);
        if (c->fix & VM_FIX_ERRORS) {
            table[i] = 0;
            changed = true;
            c->out->corruptions_fixed++;
        }
    }
    if (st == VM_OK && changed)
        st = vm__blk_write(s->map.n->file, off, table, s->table_bytes);
    free(table);
    return st;
}

static int check_tables(struct checking *c)
{
    struct qed *s = c->s;
    bool changed = false;
    for (uint64_t t = 0; t < s->table_bytes / 8; t++) {
        uint64_t off = atomic_load(&s->l1[t]);
        if (off == 0)
            continue;
        int st = VM_OK;
        if (take(c, off, s->table_bytes / s->cluster)) {
            st = check_table(c, t, off);
        } else {
            say(c, "table", t, off);
            if (c->fix & VM_FIX_ERRORS) {
                atomic_store(&s->l1[t], 0);
                changed = true;
                c->out->corruptions_fixed++;
            }
        }
        if (st != VM_OK)
            return st;
    }
    return changed ? vm__blk_write(s->map.n->file, s->l1_off, (const void *)s->l1, s->table_bytes)
                   : VM_OK;
}

/** Repaired: forget cached pages, and that a check was due. */
static int finish(struct checking *c)
{
    struct qed *s = c->s;
    struct vm_blk *n = s->map.n;
    int st = vm__blk_flush(n->file, 0);
    vm__bmap_fini(&s->map);
    if (st == VM_OK)
        st = qed_open_map(n);
    uint64_t f = vm_le64(s->header + QED_FEATURES_AT);
    if (st == VM_OK && f & QED_F_NEED_CHECK && c->out->corruptions == c->out->corruptions_fixed) {
        vm_put_le64(s->header + QED_FEATURES_AT, f & ~(uint64_t)QED_F_NEED_CHECK);
        st = qed_write_header(s);
    }
    return st;
}

int qed_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix)
{
    struct qed *s = qed_of(n);
    struct checking c = { .s = s, .out = out, .fix = fix };
    c.clusters = (vm__blk_size(n->file) + s->cluster - 1) / s->cluster;
    c.used = calloc(1, (size_t)(c.clusters / 8 + 1));
    if (c.used == NULL)
        return vm__fail_nomem((size_t)(c.clusters / 8 + 1));
    (void)take(&c, s->l1_off, s->table_bytes / s->cluster);
    int st = check_tables(&c);
    uint64_t used = s->header_clusters, last = s->header_clusters;
    for (uint64_t i = s->header_clusters; i < c.clusters; i++) {
        bool here = c.used[i / 8] >> i % 8 & 1;
        used += here;
        last = here ? i + 1 : last;
    }
    free(c.used);
    out->leaks += c.clusters > used ? c.clusters - used : 0;
    out->total_clusters = s->map.n_blocks;
    out->image_end_offset = last * s->cluster;
    if (st == VM_OK && fix & VM_FIX_LEAKS && vm__blk_writable(n) && c.clusters > last) {
        st = vm__blk_truncate(n->file, last * s->cluster, VM_PREALLOC_OFF, 0);
        out->leaks_fixed += st == VM_OK ? c.clusters - last : 0;
    }
    return st == VM_OK && fix != 0 && vm__blk_writable(n) ? finish(&c) : st;
}

/* ---- resize ----------------------------------------------------------------------------- */

int qed_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    (void)flags;
    struct qed *s = qed_of(n);
    uint64_t entries = s->table_bytes / 8, most, old = vm__blk_size(n);
    if (p != VM_PREALLOC_OFF)
        return vm__fail(VM_E_NOTSUP, "Unsupported preallocation mode");
    if (size < old)
        return vm__fail(VM_E_NOTSUP, "Shrinking images is currently not supported");
    if (!vm_mul_u64(entries * entries, s->cluster, &most))
        most = VM_BLK_MAX_SIZE;
    if (size > most)
        return vm__fail(VM_E_RANGE, "Invalid image size specified");
    int st = vm__bmap_flush(&s->map, 0);
    vm_put_le64(s->header + QED_SIZE_AT, size);
    if (st == VM_OK)
        st = qed_write_header(s);
    if (st != VM_OK) {
        vm_put_le64(s->header + QED_SIZE_AT, old);
        return st;
    }
    atomic_store(&n->size, size);
    vm__bmap_fini(&s->map);
    return qed_open_map(n);
}
