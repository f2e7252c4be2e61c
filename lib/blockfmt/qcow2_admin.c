/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_admin.c
 * qcow2 images as a whole: create, info, resize, another backing file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/checked.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/qcow2.h"

/* ---- create ----------------------------------------------------------------------------- */

static const char *const compressions[] = { "zlib", "zstd", NULL };
static const char *const preallocs[] = { "off", "metadata", "falloc", "full", NULL };

const struct vm_blk_option qcow2_create_options[] = {
    { "backing_file", VM_OPT_STR, .help = "File name of a base image" },
    { "backing_fmt", VM_OPT_STR, .help = "Image format of the base image" },
    { "cluster_size", VM_OPT_SIZE, .value = "65536", .help = "qcow2 cluster size" },
    { "extended_l2", VM_OPT_BOOL, .value = "off", .help = "Extended L2 tables" },
    { "compat", VM_OPT_STR, .help = "Compatibility level (v2 [0.10] or v3 [1.1])" },
    { "preallocation", VM_OPT_ENUM, .choices = preallocs,
      .help = "Preallocation mode (allowed values: off, metadata, falloc, full)" },
    { "data_file", VM_OPT_STR, .help = "File name of an external data file" },
    { "data_file_raw", VM_OPT_BOOL,
      .help = "The external data file must stay valid as a raw image" },
    { "compression_type", VM_OPT_ENUM, .value = "zlib", .choices = compressions,
      .help = "Compression method used for image cluster compression" },
    { "encryption", VM_OPT_BOOL,
      .help = "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)" },
    { "encrypt.format", VM_OPT_STR, .help = "Encrypt the image, format choices: 'aes', 'luks'" },
    { "encrypt.key-secret", VM_OPT_STR,
      .help = "ID of secret providing qcow AES key or LUKS passphrase" },
    { "encrypt.cipher-alg", VM_OPT_STR, .help = "Name of encryption cipher algorithm" },
    { "encrypt.cipher-mode", VM_OPT_STR, .help = "Name of encryption cipher mode" },
    { "encrypt.ivgen-alg", VM_OPT_STR, .help = "Name of IV generator algorithm" },
    { "encrypt.ivgen-hash-alg", VM_OPT_STR, .help = "Name of IV generator hash algorithm" },
    { "encrypt.hash-alg", VM_OPT_STR, .help = "Name of encryption hash algorithm" },
    { "encrypt.iter-time", VM_OPT_U64, .help = "Time to spend in PBKDF in milliseconds" },
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "lazy_refcounts", VM_OPT_BOOL, .value = "off", .help = "Postpone refcount updates" },
    { "refcount_bits", VM_OPT_U64, .value = "16",
      .help = "Width of a reference count entry in bits" },
    { 0 },
};

static int read_compat(struct qcow2 *s, struct vm_blk_options *o)
{
    const char *compat = vm__opt_str(o, "compat");
    s->version = 3;
    if (compat == NULL || strcmp(compat, "1.1") == 0 || strcmp(compat, "v3") == 0)
        return VM_OK;
    if (strcmp(compat, "0.10") != 0 && strcmp(compat, "v2") != 0)
        return vm__fail(VM_E_INVAL, "Invalid compatibility level: '%.32s'", compat);
    s->version = 2;
    return VM_OK;
}

/** A data file, which is fully mapped if it is to be raw as well. */
static int read_data_options(struct qcow2 *s, struct vm_blk_options *o, uint32_t *prealloc)
{
    const char *name = vm__opt_str(o, "data_file");
    bool raw = false;
    int st = vm__opt_bool(o, "data_file_raw", &raw);
    if (st != VM_OK)
        return st;
    if (raw && name == NULL)
        return vm__fail(VM_E_INVAL, "data-file-raw requires data-file");
    if (raw && vm__opt_str(o, "backing_file") != NULL)
        return vm__fail(VM_E_INVAL,
                        "Backing file and data-file-raw cannot be used at the same time");
    if (name == NULL)
        return VM_OK;
    if (s->version == 2)
        return vm__fail(VM_E_INVAL, "External data files are only supported with compatibility "
                                    "level 1.1 and above (use version=v3 or greater)");
    s->data_name = strdup(name);
    s->incompatible |= QCOW2_I_DATA_FILE;
    s->autoclear = raw ? QCOW2_A_DATA_RAW : 0;
    if (raw && *prealloc == VM_PREALLOC_OFF)
        *prealloc = VM_PREALLOC_METADATA;
    return s->data_name != NULL ? VM_OK : vm__fail_nomem(strlen(name));
}

/** An existing file is emptied: it is the new image's. Its name is as seen by the program. */
static int make_data_file(const struct qcow2 *s, struct vm_blk_create *c)
{
    bool plain = strchr(s->data_name, ':') == NULL && s->data_name[0] != '/';
    size_t len = strlen(s->data_name) + sizeof "file:";
    char *name = malloc(len);
    if (name == NULL)
        return vm__fail_nomem(len);
    (void)snprintf(name, len, "%s%s", plain ? "file:" : "", s->data_name);
    struct vm_blk *data = vm__create_extra(c, name);
    int st = data != NULL ? VM_OK : vm_last_error()->code;
    if (st == VM_OK && qcow2_data_is_raw(s))
        st = vm__blk_truncate(data, c->size, VM_PREALLOC_OFF, 0);
    vm__blk_unref(data);
    free(name);
    return st;
}

static int read_options(struct qcow2 *s, struct vm_blk_options *o, uint32_t *prealloc)
{
    uint64_t bits = 16;
    bool lazy = false, extended = false;
    s->cluster = 65536;
    int st = read_compat(s, o);
    if (st == VM_OK)
        st = vm__opt_size(o, "cluster_size", &s->cluster);
    if (st == VM_OK)
        st = vm__opt_u64(o, "refcount_bits", &bits);
    if (st == VM_OK)
        st = vm__opt_bool(o, "lazy_refcounts", &lazy);
    if (st == VM_OK)
        st = vm__opt_bool(o, "extended_l2", &extended);
    if (st == VM_OK)
        st = vm__opt_enum(o, "compression_type", compressions, &s->compression);
    if (st == VM_OK)
        st = vm__opt_enum(o, "preallocation", preallocs, prealloc);
    if (st != VM_OK)
        return st;
    if (s->cluster < 512 || s->cluster > 2 << 20 || (s->cluster & (s->cluster - 1)) != 0)
        return vm__fail(VM_E_INVAL, "Cluster size must be a power of two between 512 and 2048k");
    if (bits == 0 || bits > 64 || (bits & (bits - 1)) != 0)
        return vm__fail(VM_E_INVAL,
                        "Refcount width must be a power of two and may not exceed 64 bits");
    if (s->version == 2 && bits != 16)
        return vm__fail(VM_E_INVAL, "Different refcount widths than 16 bits require compatibility "
                                    "level 1.1 or above (use version=v3 or greater)");
    if (s->version == 2 && lazy)
        return vm__fail(VM_E_INVAL,
                        "Lazy refcounts only supported with compatibility level 1.1 and "
                        "above (use version=v3 or greater)");
    if (s->version == 2 && s->compression != QCOW2_ZLIB)
        return vm__fail(VM_E_INVAL,
                        "Non-zlib compression type is only supported with compatibility "
                        "level 1.1 and above (use version=v3 or greater)");
    if (s->version == 2 && extended)
        return vm__fail(VM_E_INVAL, "Extended L2 entries are only supported with compatibility "
                                    "level 1.1 and above (use version=v3 or greater)");
    if (extended && s->cluster < 1u << QCOW2_MIN_EXTENDED_BITS)
        return vm__fail(VM_E_INVAL, "Extended L2 entries are only supported with cluster sizes of "
                                    "at least 16384 bytes");
    st = read_data_options(s, o, prealloc);
    if (st != VM_OK)
        return st;
    s->cluster_bits = (uint32_t)__builtin_ctzll(s->cluster);
    s->refcount_order = (uint32_t)__builtin_ctzll(bits);
    s->compatible = lazy ? QCOW2_C_LAZY : 0;
    s->incompatible |= s->compression != QCOW2_ZLIB ? QCOW2_I_COMPRESSION : 0;
    s->incompatible |= extended ? QCOW2_I_EXTENDED_L2 : 0;
    return VM_OK;
}

/** Header, reference count table, one block, L1 table: each in clusters of its own. */
static int write_skeleton(struct qcow2 *s, struct vm_blk_create *c)
{
    uint64_t entries = (c->size + s->cluster - 1) / s->cluster;
    uint64_t l1 = (entries + qcow2_l2_entries(s) - 1) / qcow2_l2_entries(s);
    uint64_t l1_clusters = (l1 * 8 + s->cluster - 1) / s->cluster, used = 3 + l1_clusters;
    uint64_t per = s->cluster * 8 >> s->refcount_order, blocks = 1;
    while ((blocks * per) < used + blocks - 1)
        blocks++;
    used += blocks - 1;
    uint64_t table = (blocks * 8 + s->cluster - 1) / s->cluster;
    used += table - 1;
    if (blocks * per < used || l1 * 8 > QCOW2_MAX_L1)
        return vm__fail(VM_E_RANGE, "Image is too big for clusters of %llu bytes",
                        (unsigned long long)s->cluster);
    s->reftable_off = s->cluster;
    s->reftable_size = (uint32_t)(table * s->cluster / 8);
    s->l1_size = (uint32_t)l1;
    s->l1_off = l1 != 0 ? (1 + table + blocks) * s->cluster : 0;
    uint8_t *buf = calloc(1, (size_t)(s->cluster * (1 + table)));
    if (buf == NULL)
        return vm__fail_nomem((size_t)s->cluster);
    int st = qcow2_format_header(s, c->size, c->backing_name, c->backing_format, buf);
    for (uint64_t i = 0; i < blocks; i++)
        vm_put_be64(buf + s->cluster + 8 * i, (1 + table + i) * s->cluster);
    if (st == VM_OK)
        st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_truncate(c->file, used * s->cluster, VM_PREALLOC_OFF, 0);
    if (st == VM_OK) /* a header without counts yet: opened below, and they are set */
        st = vm__blk_write(c->file, 0, buf, (size_t)(s->cluster * (1 + table)));
    free(buf);
    return st;
}

static int count_skeleton(struct vm_blk *n, uint64_t bytes)
{
    int st = qcow2_refcount_add(n, 0, bytes, 1);
    return st == VM_OK ? qcow2_refcount_write(n) : st;
}

/** Make the image file long enough for clusters [first, n_blocks) at once, room for tables and
 *  counts included; what is too much is cut off in the end. */
static int reserve(struct vm_blk *n, uint64_t first, enum vm_prealloc mode)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t count = s->map.n_blocks - first, size = vm__blk_size(n->file), need;
    need = s->data == NULL ? count : 0;
    need += count / qcow2_l2_entries(s) + 1;
    need += need / ((s->cluster * 8 >> s->refcount_order) - 1) + 1;
    if (size < s->map.next)
        size = s->map.next;
    if (!vm_mul_u64(need, s->cluster, &need) || !vm_add_u64(size, need, &size))
        return vm__fail(VM_E_RANGE, "Image is too big for clusters of %llu bytes",
                        (unsigned long long)s->cluster);
    int st = vm__blk_truncate(n->file, size, mode, 0);
    if (st == VM_OK)
        s->map.end = size;
    return st;
}

/** Give every cluster from @p first on its place: tables at least, and room for the data. */
static int preallocate(struct vm_blk *n, uint64_t first, enum vm_prealloc mode)
{
    struct qcow2 *s = qcow2_of(n);
    const enum vm_prealloc below = mode == VM_PREALLOC_METADATA ? VM_PREALLOC_OFF : mode;
    /* Zeros of the file would be decrypted to something else. */
    const uint64_t zero =
        s->crypt_method != QCOW2_CRYPT_NONE && s->version == 3 && !qcow2_extended(s) ? QCOW2_ZERO
                                                                                     : 0;
    int st = s->data != NULL ? vm__blk_truncate(s->data, vm__blk_size(n), below, 0) : VM_OK;
    if (st == VM_OK)
        st = reserve(n, first, below);
    for (uint64_t i = first; st == VM_OK && i < s->map.n_blocks; i++) {
        struct qcow2_entry e;
        uint64_t at;
        st = qcow2_get(s, i, 0, &e);
        if (st == VM_OK && (e.raw | e.bits) != 0)
            continue;
        if (st == VM_OK)
            st = vm__bmap_alloc(&s->map, i, &at);
        if (st == VM_OK)
            st = qcow2_set(s, i, (struct qcow2_entry) { at | QCOW2_COPIED | zero, 0 });
    }
    if (st == VM_OK)
        st = vm__bmap_flush(&s->map, 0);
    if (st == VM_OK)
        st = vm__blk_truncate(n->file, s->map.next, VM_PREALLOC_OFF, 0);
    s->map.end = st == VM_OK ? s->map.next : s->map.end;
    return st;
}

int qcow2_plan(struct qcow2 *s, struct vm_blk_create *c, uint64_t *extra)
{
    uint32_t prealloc = 0, crypt = 0;
    struct vm_luks l = { 0 };
    int st = read_options(s, c->options, &prealloc);
    free(s->data_name);
    s->data_name = NULL;
    if (st == VM_OK)
        st = qcow2_crypt_method(c->options, &crypt);
    if (st == VM_OK && crypt == QCOW2_CRYPT_LUKS)
        st = vm__luks_plan(&l, c->options, "encrypt.");
    *extra = l.payload;
    return st;
}

int qcow2_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    struct qcow2 s = { 0 };
    uint32_t prealloc = 0, crypt = 0;
    int st = read_options(&s, c->options, &prealloc);
    if (st == VM_OK)
        st = qcow2_crypt_method(c->options, &crypt);
    if (st == VM_OK && prealloc != 0 && c->backing_name != NULL && !qcow2_extended(&s))
        st =
            vm__fail(VM_E_INVAL, "Backing file and preallocation can only be used at the same time "
                                 "if extended_l2 is enabled");
    if (st == VM_OK)
        st = write_skeleton(&s, c);
    if (st == VM_OK && s.data_name != NULL)
        st = make_data_file(&s, c);
    free(s.data_name);
    if (st != VM_OK)
        return st;
    uint64_t used = vm__blk_size(c->file);
    vm__blk_unref(c->file); /* the format's own code does the rest, on the open image */
    c->file = NULL;
    struct vm_blk *n =
        vm__blk_open(env, c->name, "qcow2", NULL, VM_OPEN_NO_BACKING | VM_OPEN_CHECK);
    if (n == NULL)
        return vm_last_error()->code;
    st = count_skeleton(n, used);
    if (st == VM_OK)
        st = qcow2_crypt_create(n, c->options, crypt);
    if (st == VM_OK && prealloc != 0)
        st = preallocate(n, 0, (enum vm_prealloc)prealloc);
    vm__blk_unref(n);
    return st;
}

/* ---- info ------------------------------------------------------------------------------- */

static json_t *bitmaps_json(struct vm_blk *n)
{
    struct vm_blk_bitmap *list = NULL;
    size_t count = 0;
    json_t *all = json_array();
    if (qcow2_bitmap_list(n, &list, &count) != VM_OK)
        return all;
    for (size_t i = 0; i < count; i++) {
        json_t *flags = json_array();
        bool live = qcow2_of(n)->bitmaps_live && list[i].enabled;
        if (list[i].in_use || live)
            (void)json_array_append_new(flags, json_string("in-use"));
        if (list[i].enabled)
            (void)json_array_append_new(flags, json_string("auto"));
        json_t *o = json_object();
        (void)json_object_set_new(o, "flags", flags);
        (void)json_object_set_new(o, "name", json_string(list[i].name));
        (void)json_object_set_new(o, "granularity", json_integer((json_int_t)list[i].granularity));
        (void)json_array_append_new(all, o);
    }
    free(list);
    return all;
}

int qcow2_info(struct vm_blk *n, struct vm_blk_info *out)
{
    const struct qcow2 *s = qcow2_of(n);
    out->cluster_size = s->cluster;
    out->dirty = s->incompatible & QCOW2_I_DIRTY;
    out->encrypted = s->crypt_method != QCOW2_CRYPT_NONE;
    out->corrupt = s->incompatible & QCOW2_I_CORRUPT;
    json_t *data = json_object();
    (void)json_object_set_new(data, "compat", json_string(s->version == 3 ? "1.1" : "0.10"));
    (void)json_object_set_new(data, "compression-type",
                              json_string(compressions[s->compression & 1]));
    if (s->version == 3) {
        if (s->data_name != NULL)
            (void)json_object_set_new(data, "data-file", json_string(s->data_name));
        if (qcow2_has_data_file(s))
            (void)json_object_set_new(data, "data-file-raw", json_boolean(qcow2_data_is_raw(s)));
        if (s->crypt_method != QCOW2_CRYPT_NONE)
            (void)json_object_set_new(data, "encrypt", qcow2_crypt_json(s));
        if (s->n_bitmaps != 0)
            (void)json_object_set_new(data, "bitmaps", bitmaps_json(n));
        (void)json_object_set_new(data, "lazy-refcounts", json_boolean(s->compatible & 1));
        (void)json_object_set_new(data, "refcount-bits", json_integer(1 << s->refcount_order));
        (void)json_object_set_new(data, "corrupt", json_boolean(out->corrupt));
        (void)json_object_set_new(data, "extended-l2", json_boolean(qcow2_extended(s)));
    }
    out->specific = data;
    return data != NULL ? VM_OK : vm__fail_nomem(0);
}

int qcow2_set_backing(struct vm_blk *n, const char *name, const char *format)
{
    char *new_name = name != NULL && *name != '\0' ? strdup(name) : NULL;
    char *new_format = format != NULL && new_name != NULL ? strdup(format) : NULL;
    char *old_name = n->backing_name, *old_format = n->backing_format;
    if (name != NULL && strlen(name) > 1023) {
        free(new_name);
        free(new_format);
        return vm__fail(VM_E_RANGE, "Backing file name too long");
    }
    n->backing_name = new_name;
    n->backing_format = new_format;
    int st = qcow2_write_header(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st != VM_OK) {
        n->backing_name = old_name;
        n->backing_format = old_format;
        old_name = new_name;
        old_format = new_format;
    }
    free(old_name);
    free(old_format);
    return st;
}

/* ---- resize ----------------------------------------------------------------------------- */

/** A longer L1 table in another place; the header switches to it. */
static int grow_l1(struct vm_blk *n, uint64_t entries)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t off, old_off = s->l1_off, old_len = 8ull * s->l1_size;
    if (entries * 8 > QCOW2_MAX_L1)
        return vm__fail(VM_E_RANGE, "Image is too big for clusters of %llu bytes",
                        (unsigned long long)s->cluster);
    _Atomic uint64_t *l1 = calloc((size_t)entries + 1, 8);
    if (l1 == NULL)
        return vm__fail_nomem(8 * (size_t)entries);
    memcpy((void *)l1, (const void *)s->l1, (size_t)old_len);
    int st = vm__bmap_space(&s->map, entries * 8, s->cluster, &off);
    if (st == VM_OK)
        st = vm__blk_write(n->file, off, (const void *)l1, 8 * (size_t)entries);
    if (st == VM_OK)
        st = qcow2_refcount_write(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st != VM_OK) {
        free((void *)l1);
        return st;
    }
    free((void *)s->l1);
    s->l1 = l1;
    s->l1_off = off;
    s->l1_size = (uint32_t)entries;
    st = qcow2_write_header(n);
    if (st == VM_OK && old_len != 0)
        st = qcow2_refcount_add(n, old_off, old_len, -1);
    return st;
}

/** Clusters from @p first on are nowhere any more. */
static int drop_from(struct vm_blk *n, uint64_t first)
{
    struct qcow2 *s = qcow2_of(n);
    const uint64_t per_page = s->map.page_size / qcow2_entry_bytes(s);
    int st = VM_OK;
    for (uint64_t i = first; st == VM_OK && i < s->map.n_blocks; i++) {
        struct qcow2_entry e;
        st = qcow2_get(s, i, 0, &e);
        if (st == VM_OK && (e.raw | e.bits) != 0)
            st = qcow2_set(s, i, (struct qcow2_entry) { 0 });
        else if (vm__bmap_page_empty(&s->map, i / per_page))
            i += per_page - 1 - i % per_page;
    }
    return st == VM_OK ? vm__bmap_flush(&s->map, 0) : st;
}

/** What lies past the end is given back, and the rest of the last cluster cleared. */
static int cut(struct vm_blk *n, uint64_t size)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t first = (size + s->cluster - 1) / s->cluster;
    int st = VM_OK;
    if (size % s->cluster != 0) {
        uint64_t rest = first * s->cluster - size, left = vm__blk_size(n) - size;
        st = n->drv->zero(n, size, rest < left ? rest : left, 0);
    }
    return st == VM_OK ? drop_from(n, first) : st;
}

int qcow2_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    (void)flags;
    struct qcow2 *s = qcow2_of(n);
    uint64_t old = vm__blk_size(n), entries = (size + s->cluster - 1) / s->cluster;
    uint64_t l1 = (entries + qcow2_l2_entries(s) - 1) / qcow2_l2_entries(s);
    if (size > old && p == VM_PREALLOC_OFF && qcow2_data_is_raw(s))
        p = VM_PREALLOC_METADATA;
    if (p != VM_PREALLOC_OFF && size <= old)
        return vm__fail(VM_E_INVAL, "Preallocation can only be used for growing images");
    if (p != VM_PREALLOC_OFF && n->backing_name != NULL && !qcow2_extended(s))
        return vm__fail(VM_E_NOTSUP, "Preallocation can not be used with a backing file");
    if (size > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_RANGE, "Image size must be less than 8 EiB!");
    if (s->n_bitmaps != 0 && !s->bitmaps_live)
        return vm__fail(VM_E_STATE, "The image was not opened for writing");
    if (s->n_snapshots != 0 && s->version < 3)
        return vm__fail(VM_E_NOTSUP, "Can't resize a v2 image which has snapshots");
    int st = qcow2_bitmaps_resize(n, size, true);
    if (st == VM_OK)
        st = vm__bmap_flush(&s->map, 0);
    if (st == VM_OK && size < old)
        st = cut(n, size);
    else if (st == VM_OK && l1 > s->l1_size)
        st = grow_l1(n, l1);
    if (st != VM_OK)
        return st;
    atomic_store(&n->size, size);
    st = qcow2_write_header(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st == VM_OK && s->data != NULL && (qcow2_data_is_raw(s) || size < old))
        st = vm__blk_truncate(s->data, size, VM_PREALLOC_OFF, 0);
    vm__bmap_fini(&s->map);
    if (st == VM_OK)
        st = qcow2_open_map(n);
    if (st == VM_OK && p != VM_PREALLOC_OFF)
        st = preallocate(n, (old + s->cluster - 1) / s->cluster, p);
    return st == VM_OK ? qcow2_bitmaps_resize(n, size, false) : st;
}

int qcow2_make_empty(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    int st = s->n_bitmaps != 0 ? qcow2_bitmaps_record(n, 0, vm__blk_size(n)) : VM_OK;
    if (st == VM_OK && qcow2_data_is_raw(s))
        return vm__fail(VM_E_NOTSUP, "An image with a raw data file cannot be emptied");
    if (st == VM_OK)
        st = vm__bmap_flush(&s->map, 0);
    return st == VM_OK ? drop_from(n, 0) : st;
}
