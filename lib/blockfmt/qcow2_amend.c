/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_amend.c
 * Changes of properties: compatibility level, width of counts, lazy counts, backing file, keys.
 *
 * Each change is complete on stable storage before the next one begins; a cut of the power leaves
 * the image as it was before or after one of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/options.h"
#include "blockfmt/qcow2.h"

typedef void (*progress_fn)(void *ud, uint64_t done, uint64_t total);

static const char *const states[] = { "active", "inactive", NULL };

const struct vm_blk_option qcow2_amend_options[] = {
    { "backing_file", VM_OPT_STR, .help = "File name of a base image" },
    { "backing_fmt", VM_OPT_STR, .help = "Image format of the base image" },
    { "compat", VM_OPT_STR, .help = "Compatibility level (v2 [0.10] or v3 [1.1])" },
    { "data_file", VM_OPT_STR, .help = "File name of an external data file" },
    { "data_file_raw", VM_OPT_BOOL,
      .help = "The external data file must stay valid as a raw image" },
    { "encrypt.iter-time", VM_OPT_U64, .help = "Time to spend in PBKDF in milliseconds" },
    { "encrypt.keyslot", VM_OPT_U64, .help = "Select a single keyslot to modify explicitly" },
    { "encrypt.new-secret", VM_OPT_STR, .help = "New secret to set in the matching keyslots" },
    { "encrypt.old-secret", VM_OPT_STR, .help = "Select all keyslots that match this password" },
    { "encrypt.state", VM_OPT_ENUM, .choices = states,
      .help = "Select new state of affected keyslots (active/inactive)" },
    { "lazy_refcounts", VM_OPT_BOOL, .help = "Postpone refcount updates" },
    { "refcount_bits", VM_OPT_U64, .help = "Width of a reference count entry in bits" },
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { 0 },
};

static int write_header(struct vm_blk *n)
{
    int st = qcow2_write_header(n);
    return st == VM_OK ? vm__blk_flush(n->file, 0) : st;
}

/* ---- compatibility level ---------------------------------------------------------------- */

/** Version 2 cannot say zeros: such clusters are given up, or written if a base would show. */
static int expand_zeros(struct vm_blk *n, progress_fn progress, void *ud)
{
    struct qcow2 *s = qcow2_of(n);
    int st = VM_OK;
    uint8_t *zeros = calloc(1, (size_t)s->cluster);
    struct vm_iov v = { zeros, 0 };
    if (zeros == NULL)
        return vm__fail_nomem((size_t)s->cluster);
    for (uint64_t i = 0; st == VM_OK && i < s->map.n_blocks; i++) {
        struct qcow2_entry e;
        st = qcow2_get(s, i, 0, &e);
        if (i % 4096 == 0)
            progress(ud, i, s->map.n_blocks);
        if (st != VM_OK || e.raw & QCOW2_COMPRESSED || !(e.raw & QCOW2_ZERO))
            continue;
        v.len = (size_t)vm__bmap_bytes(&s->map, i);
        st = n->backing_name == NULL
                 ? qcow2_set(s, i, (struct qcow2_entry) { 0 })
                 : vm__bmap_write(&s->map, i * s->cluster, v.len, (struct vm_sg) { &v, 0 }, 0);
    }
    free(zeros);
    return st == VM_OK ? vm__bmap_flush(&s->map, 0) : st;
}

static int snapshot_has_zeros(struct vm_blk *n, uint64_t l2, bool *found)
{
    const struct qcow2 *s = qcow2_of(n);
    uint8_t *table = malloc((size_t)s->cluster);
    int st = table != NULL ? vm__blk_read(n->file, l2, table, (size_t)s->cluster)
                           : vm__fail_nomem((size_t)s->cluster);
    for (uint64_t i = 0; st == VM_OK && i < qcow2_l2_entries(s); i++) {
        uint64_t raw = qcow2_entry_at(s, table, i).raw;
        *found = *found || (!(raw & QCOW2_COMPRESSED) && raw & QCOW2_ZERO);
    }
    free(table);
    return st;
}

/** Tables of snapshots are not changed: what they say must be something that version 2 can say. */
static int check_snapshots(struct vm_blk *n)
{
    const struct qcow2 *s = qcow2_of(n);
    bool found = false;
    int st = VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < s->n_snapshots; i++) {
        const struct qcow2_snapshot *sn = &s->snapshots[i];
        for (uint32_t k = 0; st == VM_OK && k < sn->l1_size; k++) {
            uint64_t raw;
            st = vm__blk_read(n->file, sn->l1_off + 8 * (uint64_t)k, &raw, 8);
            uint64_t off = vm_be64(&raw) & QCOW2_OFFSET;
            if (st == VM_OK && off != 0)
                st = snapshot_has_zeros(n, off, &found);
        }
        if (st == VM_OK && found)
            st = vm__fail(VM_E_NOTSUP,
                          "Cannot downgrade an image whose snapshot '%s' has zero "
                          "clusters",
                          sn->pub.name);
        if (st == VM_OK && sn->pub.disk_size != vm__blk_size(n))
            st = vm__fail(VM_E_NOTSUP, "Internal snapshots prevent downgrade of image");
    }
    return st;
}

static int downgrade(struct vm_blk *n, progress_fn progress, void *ud)
{
    struct qcow2 *s = qcow2_of(n);
    const uint64_t small = QCOW2_I_DIRTY | QCOW2_I_CORRUPT;
    if (s->refcount_order != 4)
        return vm__fail(VM_E_NOTSUP, "compat=0.10 requires refcount_bits=16");
    if (qcow2_has_data_file(s))
        return vm__fail(VM_E_NOTSUP, "Cannot downgrade an image with a data file");
    if (s->incompatible & ~small)
        return vm__fail(VM_E_NOTSUP, "Cannot downgrade an image with incompatible features set");
    if (s->n_bitmaps != 0)
        return vm__fail(VM_E_NOTSUP, "Cannot downgrade an image with persistent dirty bitmaps");
    if (s->crypt_method == QCOW2_CRYPT_LUKS)
        return vm__fail(VM_E_NOTSUP, "Cannot downgrade an image that is encrypted with LUKS");
    int st = check_snapshots(n);
    if (st == VM_OK)
        st = expand_zeros(n, progress, ud);
    if (st != VM_OK)
        return st;
    s->version = 2;
    s->compatible = 0;
    s->autoclear = 0;
    s->map.has_zero = false;
    return write_header(n);
}

static int amend_compat(struct vm_blk *n, const char *compat, progress_fn progress, void *ud)
{
    struct qcow2 *s = qcow2_of(n);
    bool two = strcmp(compat, "0.10") == 0 || strcmp(compat, "v2") == 0;
    if (!two && strcmp(compat, "1.1") != 0 && strcmp(compat, "v3") != 0)
        return vm__fail(VM_E_INVAL, "Unknown compatibility level %.32s", compat);
    if (two == (s->version == 2))
        return VM_OK;
    if (two)
        return downgrade(n, progress, ud);
    s->version = 3;
    s->map.has_zero = true;
    return write_header(n);
}

/* ---- width of counts -------------------------------------------------------------------- */

/** New counts, to be put behind the end of the file. */
struct recount {
    struct vm_blk *n;
    struct qcow2 now; /**< layout alone: cluster, order, table */
    uint64_t clusters, first, blocks, table;
    uint8_t *old; /**< a bit for each cluster that the old counts lie in */
};

static void mark_old(struct recount *r, uint64_t off, uint64_t len)
{
    uint64_t cluster = r->now.cluster;
    for (uint64_t c = off / cluster; len != 0 && c <= (off + len - 1) / cluster; c++)
        if (c < r->clusters)
            r->old[c / 8] |= (uint8_t)(1 << c % 8);
}

static int count_of(const struct recount *r, uint64_t c, uint64_t *v)
{
    *v = c >= r->first && c < r->first + r->blocks + r->table;
    if (c >= r->clusters || r->old[c / 8] >> c % 8 & 1)
        return VM_OK;
    int st = qcow2_refcount_get(r->n, c, v);
    if (st == VM_OK && *v > qcow2_refcount_max(&r->now))
        st = vm__fail(VM_E_RANGE,
                      "Cannot decrease refcount entry width to %u bits: Cluster at "
                      "offset 0x%llx has a refcount of %llu",
                      1u << r->now.refcount_order, (unsigned long long)(c * r->now.cluster),
                      (unsigned long long)*v);
    return st;
}

static int write_counts(struct recount *r, bool only_check, progress_fn progress, void *ud)
{
    uint64_t per = r->now.cluster * 8 >> r->now.refcount_order;
    uint8_t *block = malloc((size_t)r->now.cluster);
    int st = block != NULL ? VM_OK : vm__fail_nomem((size_t)r->now.cluster);
    for (uint64_t i = 0; st == VM_OK && i < r->blocks; i++) {
        memset(block, 0, (size_t)r->now.cluster);
        for (uint64_t k = 0; st == VM_OK && k < per; k++) {
            uint64_t v;
            st = count_of(r, i * per + k, &v);
            qcow2_put_count(&r->now, block, k, v);
        }
        if (st == VM_OK && !only_check)
            st = vm__blk_write(r->n->file, (r->first + i) * r->now.cluster, block,
                               (size_t)r->now.cluster);
        progress(ud, i + (only_check ? 0 : r->blocks), 2 * r->blocks);
    }
    free(block);
    return st;
}

static int write_new_table(struct recount *r)
{
    size_t bytes = (size_t)(r->table * r->now.cluster);
    uint8_t *table = calloc(1, bytes);
    if (table == NULL)
        return vm__fail_nomem(bytes);
    for (uint64_t i = 0; i < r->blocks; i++)
        vm_put_be64(table + 8 * i, (r->first + i) * r->now.cluster);
    int st = vm__blk_write(r->n->file, (r->first + r->blocks) * r->now.cluster, table, bytes);
    free(table);
    return st == VM_OK ? vm__blk_flush(r->n->file, 0) : st;
}

/** Header and memory go over to the new counts. */
static int switch_counts(struct recount *r)
{
    struct qcow2 *s = qcow2_of(r->n);
    uint32_t order = s->refcount_order, size = s->reftable_size;
    uint64_t off = s->reftable_off;
    s->refcount_order = r->now.refcount_order;
    s->reftable_off = (r->first + r->blocks) * s->cluster;
    s->reftable_size = (uint32_t)(r->table * s->cluster / 8);
    int st = write_header(r->n);
    if (st != VM_OK) {
        s->refcount_order = order;
        s->reftable_off = off;
        s->reftable_size = size;
        return st;
    }
    s->reftable_size = size; /* what is to be freed */
    qcow2_refcount_free(s);
    s->reftable_size = (uint32_t)(r->table * s->cluster / 8);
    return qcow2_refcount_open(r->n);
}

static int amend_width(struct vm_blk *n, uint64_t bits, progress_fn progress, void *ud)
{
    struct qcow2 *s = qcow2_of(n);
    struct recount r = { .n = n, .now = { .cluster = s->cluster } };
    if (bits == 0 || bits > 64 || (bits & (bits - 1)) != 0)
        return vm__fail(VM_E_INVAL,
                        "Refcount width must be a power of two and may not exceed 64 bits");
    r.now.refcount_order = (uint32_t)__builtin_ctzll(bits);
    if (r.now.refcount_order == s->refcount_order)
        return VM_OK;
    if (s->version < 3)
        return vm__fail(VM_E_INVAL, "Refcount width can only be changed with compatibility level "
                                    "1.1 and above (use compat=1.1 or greater)");
    int st = qcow2_refcount_write(n);
    r.clusters = r.first = (vm__blk_size(n->file) + s->cluster - 1) / s->cluster;
    uint64_t per = s->cluster * 8 >> r.now.refcount_order, before;
    do {
        before = r.blocks + r.table;
        r.blocks = (r.clusters + r.blocks + r.table + per - 1) / per;
        r.table = (r.blocks * 8 + s->cluster - 1) / s->cluster;
    } while (r.blocks + r.table != before);
    if (r.table * s->cluster > QCOW2_MAX_REFTABLE)
        return vm__fail(VM_E_RANGE, "The image file is too large for counts of %llu bits",
                        (unsigned long long)bits);
    r.old = calloc(1, (size_t)(r.clusters / 8 + 1));
    if (r.old == NULL)
        return vm__fail_nomem((size_t)(r.clusters / 8));
    mark_old(&r, s->reftable_off, 8ull * s->reftable_size);
    for (uint32_t i = 0; i < s->reftable_size; i++)
        if (s->reftable[i] != 0)
            mark_old(&r, s->reftable[i], s->cluster);
    uint64_t end = (r.first + r.blocks + r.table) * s->cluster;
    if (st == VM_OK)
        st = write_counts(&r, true, progress, ud);
    if (st == VM_OK)
        st = vm__blk_truncate(n->file, end, VM_PREALLOC_OFF, 0);
    if (st == VM_OK)
        st = write_counts(&r, false, progress, ud);
    if (st == VM_OK)
        st = write_new_table(&r);
    if (st == VM_OK)
        st = switch_counts(&r);
    if (st == VM_OK)
        s->map.next = s->map.end = end;
    free(r.old);
    return st;
}

/* ---- the rest --------------------------------------------------------------------------- */

static int amend_lazy(struct vm_blk *n, bool lazy)
{
    struct qcow2 *s = qcow2_of(n);
    if (lazy && s->version < 3)
        return vm__fail(VM_E_INVAL, "Lazy refcounts only supported with compatibility level 1.1 "
                                    "and above (use compat=1.1 or greater)");
    if (lazy == ((s->compatible & QCOW2_C_LAZY) != 0))
        return VM_OK;
    s->compatible ^= QCOW2_C_LAZY;
    return write_header(n);
}

static int amend_data(struct vm_blk *n, struct vm_blk_options *o)
{
    struct qcow2 *s = qcow2_of(n);
    const char *name = vm__opt_str(o, "data_file");
    bool raw = qcow2_data_is_raw(s), was = raw;
    int st = vm__opt_bool(o, "data_file_raw", &raw);
    if (st != VM_OK)
        return st;
    if (raw && !was)
        return vm__fail(VM_E_INVAL, "data-file-raw cannot be set on existing images");
    if (name != NULL && !qcow2_has_data_file(s))
        return vm__fail(VM_E_INVAL, "data-file can only be set for images that use an external "
                                    "data file");
    if (name == NULL && raw == was)
        return VM_OK;
    if (name != NULL) {
        char *copy = strdup(name);
        if (copy == NULL)
            return vm__fail_nomem(strlen(name));
        free(s->data_name);
        s->data_name = copy;
    }
    s->autoclear &= raw ? ~UINT64_C(0) : ~(uint64_t)QCOW2_A_DATA_RAW;
    return write_header(n);
}

static int amend_backing(struct vm_blk *n, struct vm_blk_options *o)
{
    const char *name = vm__opt_str(o, "backing_file"), *format = vm__opt_str(o, "backing_fmt");
    if (name == NULL && format == NULL)
        return VM_OK;
    if (qcow2_data_is_raw(qcow2_of(n)) && name != NULL && *name != '\0')
        return vm__fail(VM_E_INVAL, "Cannot set a backing file, as the image has a raw data file");
    name = name != NULL ? name : n->backing_name;
    return qcow2_set_backing(n, name, format != NULL ? format : n->backing_format);
}

static bool wants_keys(const struct vm_blk_options *o)
{
    static const char *const names[] = { "encrypt.state", "encrypt.keyslot", "encrypt.new-secret",
                                         "encrypt.old-secret", "encrypt.iter-time" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (vm__opt_has(o, names[i]))
            return true;
    return false;
}

int qcow2_amend(struct vm_blk *n, struct vm_blk_options *o, progress_fn progress, void *ud)
{
    const struct qcow2 *s = qcow2_of(n);
    const char *compat = vm__opt_str(o, "compat");
    bool up = compat != NULL && (strcmp(compat, "1.1") == 0 || strcmp(compat, "v3") == 0);
    bool lazy = s->compatible & QCOW2_C_LAZY;
    uint64_t bits = UINT64_C(1) << s->refcount_order, size = vm__blk_size(n);
    int st = vm__opt_u64(o, "refcount_bits", &bits);
    if (st == VM_OK)
        st = vm__opt_size(o, "size", &size);
    if (st == VM_OK)
        st = vm__opt_bool(o, "lazy_refcounts", &lazy);
    if (st == VM_OK && up) /* first: others may need it */
        st = amend_compat(n, compat, progress, ud);
    if (st == VM_OK && wants_keys(o))
        st = qcow2_crypt_amend(n, o);
    if (st == VM_OK)
        st = amend_width(n, bits, progress, ud);
    if (st == VM_OK)
        st = amend_data(n, o);
    if (st == VM_OK)
        st = amend_backing(n, o);
    if (st == VM_OK && vm__opt_has(o, "lazy_refcounts"))
        st = amend_lazy(n, lazy);
    if (st == VM_OK && size != vm__blk_size(n))
        st = qcow2_truncate(n, size, VM_PREALLOC_OFF, 0);
    if (st == VM_OK && compat != NULL && !up)
        st = amend_compat(n, compat, progress, ud);
    return st;
}
