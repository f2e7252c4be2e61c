/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_header.c
 * The header of a qcow2 image and its extensions.
 *
 * Spec: [QCOW2 "Header", "Header extensions"]. Version 2 has 72 bytes; its extensions follow at
 * once, those of version 3 after as many bytes as it says. Extensions that are not understood are
 * kept.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/qcow2.h"

enum {
    KNOWN_INCOMPATIBLE = QCOW2_I_DIRTY | QCOW2_I_CORRUPT | QCOW2_I_COMPRESSION |
                         QCOW2_I_EXTENDED_L2 | QCOW2_I_DATA_FILE,
    FEATURES_ROOM = 8 + 8 * 48 + 8, /* of the table of feature names and the end mark */
};

/* ---- reading ---------------------------------------------------------------------------- */

static int check_sizes(struct vm_blk *n, const uint8_t *h)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t size = vm_be64(h + QCOW2_SIZE_AT);
    uint32_t l1 = vm_be32(h + QCOW2_L1_SIZE_AT);
    if (s->cluster_bits < 9 || s->cluster_bits > 21)
        return vm__fail(VM_E_CORRUPT, "Unsupported cluster size: 2^%u", s->cluster_bits);
    s->cluster = UINT64_C(1) << s->cluster_bits;
    if (qcow2_extended(s) && s->cluster_bits < QCOW2_MIN_EXTENDED_BITS)
        return vm__fail(VM_E_CORRUPT, "Extended L2 entries need clusters of at least 16 KiB");
    if (s->refcount_order > 6)
        return vm__fail(VM_E_CORRUPT,
                        "Reference count entry width too large; may not exceed 64 bits");
    if (vm_be32(h + QCOW2_CRYPT_AT) > 2)
        return vm__fail(VM_E_CORRUPT, "Unsupported encryption method %u",
                        vm_be32(h + QCOW2_CRYPT_AT));
    s->crypt_method = vm_be32(h + QCOW2_CRYPT_AT);
    if (size > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_CORRUPT, "Image size of %llu is too large", (unsigned long long)size);
    if (l1 > QCOW2_MAX_L1 / 8)
        return vm__fail(VM_E_CORRUPT, "Active L1 table too large");
    uint64_t need = (size + s->cluster - 1) / s->cluster;
    need = (need + qcow2_l2_entries(s) - 1) / qcow2_l2_entries(s);
    if (need > l1)
        return vm__fail(VM_E_CORRUPT, "L1 table is too small");
    s->l1_size = l1;
    s->l1_off = vm_be64(h + QCOW2_L1_AT);
    s->reftable_off = vm_be64(h + QCOW2_REFTABLE_AT);
    uint64_t reftable = (uint64_t)vm_be32(h + QCOW2_REFTABLE_CLUSTERS_AT) * s->cluster;
    if (reftable > QCOW2_MAX_REFTABLE)
        return vm__fail(VM_E_CORRUPT,
                        "Image does not contain a reference count table, or one that is "
                        "too large");
    if (s->reftable_off % s->cluster != 0 || s->reftable_off == 0)
        return vm__fail(VM_E_CORRUPT, "Reference count table offset invalid");
    if (l1 != 0 && s->l1_off % s->cluster != 0)
        return vm__fail(VM_E_CORRUPT, "Active L1 table offset invalid");
    s->reftable_size = (uint32_t)(reftable / 8);
    s->n_snapshots = vm_be32(h + QCOW2_SNAPSHOTS_AT);
    s->snapshot_table = vm_be64(h + QCOW2_SNAPSHOT_TABLE_AT);
    if (s->n_snapshots > QCOW2_MAX_SNAPSHOTS)
        return vm__fail(VM_E_CORRUPT, "Snapshot table too large");
    if (s->n_snapshots != 0 && s->snapshot_table % s->cluster != 0)
        return vm__fail(VM_E_CORRUPT, "Snapshot table offset invalid");
    atomic_store(&n->size, size);
    return VM_OK;
}

static int check_features(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t unknown = s->incompatible & ~(uint64_t)KNOWN_INCOMPATIBLE;
    if (unknown != 0)
        return vm__fail(VM_E_NOTSUP, "Unsupported qcow2 feature(s): incompatible bits 0x%llx",
                        (unsigned long long)unknown);
    if (s->compression > QCOW2_ZSTD ||
        ((s->incompatible & QCOW2_I_COMPRESSION) == 0) != (s->compression == QCOW2_ZLIB))
        return vm__fail(VM_E_CORRUPT, "Unknown compression type %u", s->compression);
    bool writing = vm__blk_writable(n);
    if (s->incompatible & QCOW2_I_CORRUPT && writing && !(n->flags & VM_OPEN_CHECK))
        return vm__fail(VM_E_CORRUPT, "qcow2: Image is corrupt; cannot be opened read/write");
    return VM_OK;
}

static int read_backing(struct vm_blk *n, const uint8_t *h)
{
    const struct qcow2 *s = qcow2_of(n);
    uint64_t at = vm_be64(h + QCOW2_BACKING_AT);
    uint32_t len = vm_be32(h + QCOW2_BACKING_LEN_AT);
    if (at == 0)
        return VM_OK;
    if (len > 1023 || len > s->cluster || at > s->cluster - len)
        return vm__fail(VM_E_CORRUPT, "Backing file name too long, or outside of the header");
    if (len == 0)
        return VM_OK;
    n->backing_name = calloc(1, (size_t)len + 1);
    return n->backing_name != NULL ? vm__blk_read(n->file, at, n->backing_name, len)
                                   : vm__fail_nomem(len);
}

/** Where the bitmap directory is. Without its bit it is out of date: [QCOW2 "Autoclear"]. */
static int use_bitmaps(struct qcow2 *s, const uint8_t *data, uint32_t len)
{
    if (!(s->autoclear & QCOW2_A_BITMAPS))
        return VM_OK;
    if (len != 24 || vm_be32(data) == 0 || vm_be32(data + 4) != 0)
        return vm__fail(VM_E_CORRUPT, "The bitmaps extension is malformed");
    s->n_bitmaps = vm_be32(data);
    s->bitmap_dir_size = vm_be64(data + 8);
    s->bitmap_dir_off = vm_be64(data + 16);
    return VM_OK;
}

/** One extension: kept for later unless its meaning is in the state. */
static int use_extension(struct vm_blk *n, uint32_t type, const uint8_t *data, uint32_t len)
{
    struct qcow2 *s = qcow2_of(n);
    if (type == QCOW2_EXT_FEATURES)
        return VM_OK; /* written anew */
    if (type == QCOW2_EXT_BACKING_FMT) {
        if (len >= 16)
            return vm__fail(VM_E_CORRUPT, "ERROR: ext_backing_format: len=%u too large (>=16)",
                            len);
        free(n->backing_format);
        n->backing_format = strndup((const char *)data, len);
        return n->backing_format != NULL ? VM_OK : vm__fail_nomem(len);
    }
    if (type == QCOW2_EXT_BITMAPS)
        return use_bitmaps(s, data, len);
    if (type == QCOW2_EXT_CRYPT) {
        if (len != 16)
            return vm__fail(VM_E_CORRUPT, "CRYPTO header extension size %u, but expected size 16",
                            len);
        s->crypt_off = vm_be64(data);
        s->crypt_len = vm_be64(data + 8);
        return VM_OK;
    }
    if (type == QCOW2_EXT_DATA_FILE) {
        free(s->data_name);
        s->data_name = strndup((const char *)data, len);
        return s->data_name != NULL ? VM_OK : vm__fail_nomem(len);
    }
    size_t padded = 8 + (((size_t)len + 7) & ~(size_t)7);
    char *more = realloc(s->unknown_ext, s->unknown_len + padded);
    if (more == NULL)
        return vm__fail_nomem(padded);
    s->unknown_ext = more;
    memset(more + s->unknown_len, 0, padded);
    vm_put_be32(more + s->unknown_len, type);
    vm_put_be32(more + s->unknown_len + 4, len);
    memcpy(more + s->unknown_len + 8, data, len);
    s->unknown_len += padded;
    return VM_OK;
}

static int read_extensions(struct vm_blk *n, uint64_t at, uint64_t backing_at)
{
    const struct qcow2 *s = qcow2_of(n);
    uint64_t end = backing_at != 0 && backing_at < s->cluster ? backing_at : s->cluster;
    uint8_t *buf = calloc(1, (size_t)s->cluster);
    if (buf == NULL)
        return vm__fail_nomem((size_t)s->cluster);
    uint64_t size = vm__blk_size(n->file), have = size < s->cluster ? size : s->cluster;
    int st = vm__blk_read(n->file, 0, buf, (size_t)have);
    while (st == VM_OK && at + 8 <= end) {
        uint32_t type = vm_be32(buf + at), len = vm_be32(buf + at + 4);
        if (type == QCOW2_EXT_END)
            break;
        if (len > end - at - 8) {
            st = vm__fail(VM_E_CORRUPT, "Header extension too large");
            break;
        }
        st = use_extension(n, type, buf + at + 8, len);
        at += 8 + (((uint64_t)len + 7) & ~UINT64_C(7));
    }
    free(buf);
    return st;
}

int qcow2_read_header(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    uint8_t h[QCOW2_HEADER_NOW] = { 0 };
    uint64_t size = vm__blk_size(n->file), header = QCOW2_HEADER_V2;
    if (size < QCOW2_HEADER_V2)
        return vm__fail(VM_E_INVAL, "Image is not in qcow2 format");
    int st = vm__blk_read(n->file, 0, h, size < sizeof h ? (size_t)size : sizeof h);
    if (st != VM_OK)
        return st;
    if (memcmp(h, QCOW2_MAGIC, 4) != 0)
        return vm__fail(VM_E_INVAL, "Image is not in qcow2 format");
    s->version = vm_be32(h + QCOW2_VERSION_AT);
    s->cluster_bits = vm_be32(h + QCOW2_CLUSTER_BITS_AT);
    if (s->version != 2 && s->version != 3)
        return vm__fail(VM_E_NOTSUP, "Unsupported qcow2 version %u", s->version);
    s->refcount_order = 4;
    if (s->version == 3) {
        header = vm_be32(h + QCOW2_HEADER_LEN_AT);
        if (header < QCOW2_HEADER_V3 || header > UINT64_C(1) << (s->cluster_bits & 31))
            return vm__fail(VM_E_CORRUPT, "qcow2 header too short or too long");
        s->incompatible = vm_be64(h + QCOW2_INCOMPATIBLE_AT);
        s->compatible = vm_be64(h + QCOW2_COMPATIBLE_AT);
        s->autoclear = vm_be64(h + QCOW2_AUTOCLEAR_AT);
        s->refcount_order = vm_be32(h + QCOW2_REFCOUNT_ORDER_AT);
        s->compression = header > QCOW2_COMPRESSION_AT ? h[QCOW2_COMPRESSION_AT] : 0;
    }
    st = check_features(n);
    if (st == VM_OK)
        st = check_sizes(n, h);
    if (st == VM_OK)
        st = read_extensions(n, header, vm_be64(h + QCOW2_BACKING_AT));
    return st == VM_OK ? read_backing(n, h) : st;
}

/* ---- writing ---------------------------------------------------------------------------- */

static bool put_extension(uint8_t *out, size_t room, size_t *at, uint32_t type, const void *data,
                          size_t len)
{
    size_t padded = 8 + ((len + 7) & ~(size_t)7);
    if (padded > room - *at)
        return false;
    memset(out + *at, 0, padded);
    vm_put_be32(out + *at, type);
    vm_put_be32(out + *at + 4, (uint32_t)len);
    memcpy(out + *at + 8, data, len);
    *at += padded;
    return true;
}

/** Names of the feature bits, for programs that do not know them: [QCOW2 "Feature name table"]. */
static bool put_features(uint8_t *out, size_t room, size_t *at)
{
    static const struct {
        uint8_t type, bit;
        char name[46];
    } rows[] = {
        { 0, 0, "dirty bit" },
        { 0, 1, "corrupt bit" },
        { 0, 2, "external data file" },
        { 0, 3, "compression type" },
        { 0, 4, "extended L2 entries" },
        { 1, 0, "lazy refcounts" },
        { 2, 0, "bitmaps" },
        { 2, 1, "raw external data" },
    };
    return put_extension(out, room, at, QCOW2_EXT_FEATURES, rows, sizeof rows);
}

int qcow2_format_header(const struct qcow2 *s, uint64_t size, const char *backing,
                        const char *backing_format, uint8_t *out)
{
    size_t room = (size_t)s->cluster, at = s->version == 2 ? QCOW2_HEADER_V2 : QCOW2_HEADER_NOW;
    size_t name = backing != NULL ? strlen(backing) : 0;
    memset(out, 0, room);
    memcpy(out, QCOW2_MAGIC, 4);
    vm_put_be32(out + QCOW2_VERSION_AT, s->version);
    vm_put_be32(out + QCOW2_CLUSTER_BITS_AT, s->cluster_bits);
    vm_put_be64(out + QCOW2_SIZE_AT, size);
    vm_put_be32(out + QCOW2_CRYPT_AT, s->crypt_method);
    vm_put_be32(out + QCOW2_L1_SIZE_AT, s->l1_size);
    vm_put_be64(out + QCOW2_L1_AT, s->l1_off);
    vm_put_be64(out + QCOW2_REFTABLE_AT, s->reftable_off);
    vm_put_be32(out + QCOW2_REFTABLE_CLUSTERS_AT, (uint32_t)(s->reftable_size * 8ull / s->cluster));
    vm_put_be32(out + QCOW2_SNAPSHOTS_AT, s->n_snapshots);
    vm_put_be64(out + QCOW2_SNAPSHOT_TABLE_AT, s->snapshot_table);
    if (s->version == 3) {
        vm_put_be64(out + QCOW2_INCOMPATIBLE_AT, s->incompatible);
        vm_put_be64(out + QCOW2_COMPATIBLE_AT, s->compatible);
        vm_put_be64(out + QCOW2_AUTOCLEAR_AT, s->autoclear);
        vm_put_be32(out + QCOW2_REFCOUNT_ORDER_AT, s->refcount_order);
        vm_put_be32(out + QCOW2_HEADER_LEN_AT, QCOW2_HEADER_NOW);
        out[QCOW2_COMPRESSION_AT] = (uint8_t)s->compression;
    }
    bool ok = true;
    if (backing_format != NULL && name != 0)
        ok = put_extension(out, room, &at, QCOW2_EXT_BACKING_FMT, backing_format,
                           strlen(backing_format));
    if (ok && s->crypt_off != 0) {
        uint8_t ext[16];
        vm_put_be64(ext, s->crypt_off);
        vm_put_be64(ext + 8, s->crypt_len);
        ok = put_extension(out, room, &at, QCOW2_EXT_CRYPT, ext, sizeof ext);
    }
    if (ok && s->data_name != NULL)
        ok = put_extension(out, room, &at, QCOW2_EXT_DATA_FILE, s->data_name, strlen(s->data_name));
    if (ok && s->n_bitmaps != 0 && s->autoclear & QCOW2_A_BITMAPS) {
        uint8_t ext[24] = { 0 };
        vm_put_be32(ext, s->n_bitmaps);
        vm_put_be64(ext + 8, s->bitmap_dir_size);
        vm_put_be64(ext + 16, s->bitmap_dir_off);
        ok = put_extension(out, room, &at, QCOW2_EXT_BITMAPS, ext, sizeof ext);
    }
    if (ok && s->unknown_len != 0) {
        ok = s->unknown_len <= room - at;
        memcpy(out + at, s->unknown_ext, ok ? s->unknown_len : 0);
        at += ok ? s->unknown_len : 0;
    }
    /* The names are for other programs' error messages: small clusters do without. */
    if (s->version == 3 && room - at >= FEATURES_ROOM + name)
        ok = ok && put_features(out, room, &at);
    ok = ok && put_extension(out, room, &at, QCOW2_EXT_END, "", 0) && name <= room - at;
    if (!ok)
        return vm__fail(VM_E_RANGE, "The header does not fit in a cluster");
    if (name != 0) {
        vm_put_be64(out + QCOW2_BACKING_AT, at);
        vm_put_be32(out + QCOW2_BACKING_LEN_AT, (uint32_t)name);
        memcpy(out + at, backing, name);
    }
    return VM_OK;
}

int qcow2_write_header(struct vm_blk *n)
{
    const struct qcow2 *s = qcow2_of(n);
    uint8_t *out = malloc((size_t)s->cluster);
    if (out == NULL)
        return vm__fail_nomem((size_t)s->cluster);
    int st = qcow2_format_header(s, vm__blk_size(n), n->backing_name, n->backing_format, out);
    if (st == VM_OK)
        st = vm__blk_write(n->file, 0, out, (size_t)s->cluster);
    free(out);
    return st;
}
