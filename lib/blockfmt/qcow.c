/* SPDX-License-Identifier: MIT */
/**
 * @file qcow.c
 * QEMU copy-on-write images of the first version.
 *
 * Spec: [QCOW1] "The QCOW Image Format", M. McLoughlin. Two levels of tables of 64-bit big-endian
 * entries; an entry is an offset, or with its top bit set the place and length of a raw deflate
 * stream. Not modelled: images encrypted with AES.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/bmap.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/deflate.h"
#include "blockfmt/inflate.h"

enum {
    HEADER = 48,
    VERSION_AT = 4,
    BACKING_AT = 8,
    BACKING_LEN_AT = 16,
    MTIME_AT = 20,
    SIZE_AT = 24,
    CLUSTER_BITS_AT = 32,
    L2_BITS_AT = 33,
    CRYPT_AT = 36,
    L1_AT = 40,
    MAX_L1 = 1 << 22, /* entries */
    CACHE_SLOTS = 16,
};
#define MAGIC      "QFI\xfb"
#define COMPRESSED (UINT64_C(1) << 63)

struct qcow {
    struct vm_bmap map;
    uint32_t cluster_bits, l2_bits, l1_entries;
    uint64_t l1_off;
    _Atomic uint64_t *l1; /**< as in the file */
    bool l1_dirty;        /**< with the flush lock */
    struct vm_chunk_cache *cache;
};

static struct qcow *qcow_of(const struct vm_blk *n)
{
    return n->state;
}

/* ---- the map ---------------------------------------------------------------------------- */

static struct vm_bmap_entry decode(const struct vm_bmap *b, uint64_t raw)
{
    const struct qcow *s = qcow_of(b->n);
    if (raw == 0)
        return (struct vm_bmap_entry) { VM_BMAP_NONE, 0, 0 };
    if (raw & COMPRESSED)
        return (struct vm_bmap_entry) { VM_BMAP_PACKED,
                                        raw & ((UINT64_C(1) << (63 - s->cluster_bits)) - 1), 0 };
    return (struct vm_bmap_entry) { raw < VM_BLK_MAX_SIZE ? VM_BMAP_DATA : VM_BMAP_BAD, raw, 0 };
}

static uint64_t encode(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off)
{
    (void)b;
    return kind == VM_BMAP_DATA ? off : 0;
}

static int page_at(struct vm_bmap *b, uint64_t page, uint64_t *at)
{
    const struct qcow *s = qcow_of(b->n);
    uint64_t per_table = (UINT64_C(8) << s->l2_bits) / b->page_size, raw;
    raw = atomic_load(&s->l1[page / per_table]);
    uint64_t off = vm_be64(&raw);
    *at = off != 0 ? off + page % per_table * b->page_size : 0;
    if (off != 0 && !vm_in_range(off, UINT64_C(8) << s->l2_bits, VM_BLK_MAX_SIZE))
        return vm__fail(VM_E_CORRUPT, "Table %llu lies outside of the file",
                        (unsigned long long)(page / per_table));
    return VM_OK;
}

static int page_new(struct vm_bmap *b, uint64_t page, uint64_t *at)
{
    struct qcow *s = qcow_of(b->n);
    uint64_t bytes = UINT64_C(8) << s->l2_bits, per_table = bytes / b->page_size, off, raw;
    int st = vm__bmap_space(b, bytes, UINT64_C(1) << s->cluster_bits, &off);
    if (st != VM_OK)
        return st;
    vm_put_be64(&raw, off);
    atomic_store(&s->l1[page / per_table], raw);
    s->l1_dirty = true;
    *at = off + page % per_table * b->page_size;
    return VM_OK;
}

static int write_roots(struct vm_bmap *b)
{
    struct qcow *s = qcow_of(b->n);
    int st = s->l1_dirty
                 ? vm__blk_write(b->file, s->l1_off, (const void *)s->l1, 8 * (size_t)s->l1_entries)
                 : VM_OK;
    s->l1_dirty = s->l1_dirty && st != VM_OK;
    return st;
}

/* ---- compressed clusters ---------------------------------------------------------------- */

struct wanted {
    struct vm_blk *n;
    uint64_t at;
    size_t len;
};

static int unpack(void *ud, uint64_t key, uint8_t *buf)
{
    const struct wanted *w = ud;
    size_t cluster = (size_t)1 << qcow_of(w->n)->cluster_bits, got;
    uint64_t size = vm__blk_size(w->n->file);
    (void)key;
    if (w->at >= size)
        return vm__fail(VM_E_CORRUPT, "A compressed cluster lies outside of the file");
    /* The length in the entry may reach past the end of the file. */
    size_t len = w->len < size - w->at ? w->len : (size_t)(size - w->at);
    uint8_t *in = malloc(len + 1);
    if (in == NULL)
        return vm__fail_nomem(len);
    int st = len != 0 ? vm__blk_read(w->n->file, w->at, in, len) : VM_OK;
    if (st == VM_OK)
        st = vm__inflate(false, in, len, buf, cluster, &got);
    if (st == VM_OK && got != cluster)
        st = vm__fail(VM_E_CORRUPT, "A compressed cluster of %zu bytes", got);
    free(in);
    return st;
}

static int read_packed(struct vm_bmap *b, const struct vm_bmap_entry *e, uint64_t index,
                       uint64_t in, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct qcow *s = qcow_of(b->n);
    size_t mask = ((size_t)1 << s->cluster_bits) - 1;
    struct wanted w = { b->n, e->off, (size_t)(e->raw >> (63 - s->cluster_bits)) & mask };
    const uint8_t *chunk;
    (void)index;
    int st = vm__chunk_get(s->cache, e->raw, flags & VM_IO_NOWAIT, unpack, &w, &chunk);
    if (st != VM_OK)
        return st;
    vm_sg_put(sg, chunk + in, len);
    vm__chunk_put(s->cache, chunk);
    return VM_OK;
}

/** One whole cluster; what does not get smaller is stored as it is. */
static int write_cluster(struct vm_bmap *b, uint64_t index, struct vm_sg sg, size_t len)
{
    const struct qcow *s = qcow_of(b->n);
    size_t cluster = (size_t)1 << s->cluster_bits;
    uint8_t *buf = calloc(2, cluster);
    uint64_t at;
    if (buf == NULL)
        return vm__fail_nomem(2 * cluster);
    vm_sg_get(sg, buf, len);
    size_t n = vm__deflate(false, buf, cluster, buf + cluster, cluster - 1);
    int st;
    if (n == 0) {
        st = vm__bmap_write(b, index * cluster, len, sg, 0);
    } else {
        st = vm__bmap_space(b, n, 1, &at);
        if (st == VM_OK && at >> (63 - s->cluster_bits) != 0)
            st = vm__fail(VM_E_NOSPC, "The image file is too large for compressed clusters");
        if (st == VM_OK)
            st = vm__blk_write(b->file, at, buf + cluster, n);
        (void)pthread_mutex_lock(vm__bmap_stripe(b, index));
        if (st == VM_OK)
            st =
                vm__bmap_set_raw(b, index, COMPRESSED | (uint64_t)n << (63 - s->cluster_bits) | at);
        (void)pthread_mutex_unlock(vm__bmap_stripe(b, index));
    }
    free(buf);
    return st;
}

static int write_compressed(struct vm_bmap *b, uint64_t off, size_t len, struct vm_sg sg)
{
    size_t cluster = (size_t)b->block_size;
    for (size_t done = 0; done < len;) {
        uint64_t index = (off + done) / cluster;
        size_t n = (size_t)vm__bmap_bytes(b, index);
        if ((off + done) % cluster != 0 || n > len - done)
            return vm__fail(VM_E_INVAL, "Compressed writes are of whole clusters");
        int st = write_cluster(b, index, vm_sg_at(sg, done), n);
        if (st != VM_OK)
            return st;
        done += n;
    }
    return VM_OK;
}

static const struct vm_bmap_ops map_ops = {
    .decode = decode,
    .encode = encode,
    .page_at = page_at,
    .page_new = page_new,
    .write_roots = write_roots,
    .read_packed = read_packed,
};

/* ---- opening ---------------------------------------------------------------------------- */

static int qcow_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    return len >= HEADER && memcmp(head, MAGIC, 4) == 0 && vm_be32(head + VERSION_AT) == 1 ? 100
                                                                                           : 0;
}

static int check_header(struct vm_blk *n, const uint8_t *h)
{
    struct qcow *s = qcow_of(n);
    uint64_t size = vm_be64(h + SIZE_AT);
    if (memcmp(h, MAGIC, 4) != 0)
        return vm__fail(VM_E_INVAL, "Image not in qcow format");
    if (vm_be32(h + VERSION_AT) != 1)
        return vm__fail(VM_E_NOTSUP, "qcow (v%u) does not support qcow version %u", 1,
                        vm_be32(h + VERSION_AT));
    s->cluster_bits = h[CLUSTER_BITS_AT];
    s->l2_bits = h[L2_BITS_AT];
    if (size <= 1)
        return vm__fail(VM_E_CORRUPT, "Image size is too small (must be at least 2 bytes)");
    if (s->cluster_bits < 9 || s->cluster_bits > 16)
        return vm__fail(VM_E_CORRUPT, "Cluster size must be between 512 and 64k");
    if (s->l2_bits < 9 - 3 || s->l2_bits > 16 - 3)
        return vm__fail(VM_E_CORRUPT, "L2 table size must be between 512 and 64k");
    if (vm_be32(h + CRYPT_AT) != 0)
        return vm__fail(VM_E_NOTSUP, "Encrypted qcow images are not supported");
    unsigned shift = s->cluster_bits + s->l2_bits;
    if (size > VM_BLK_MAX_SIZE || (size - 1) >> shift >= MAX_L1)
        return vm__fail(VM_E_CORRUPT, "Image too large");
    s->l1_entries = (uint32_t)((size - 1) >> shift) + 1;
    s->l1_off = vm_be64(h + L1_AT);
    if (!vm_in_range(s->l1_off, 8 * (uint64_t)s->l1_entries, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The first-level table lies outside of the file");
    atomic_store(&n->size, size);
    return VM_OK;
}

static int read_backing(struct vm_blk *n, const uint8_t *h)
{
    uint64_t at = vm_be64(h + BACKING_AT);
    uint32_t len = vm_be32(h + BACKING_LEN_AT);
    if (at == 0)
        return VM_OK;
    if (len > 1023)
        return vm__fail(VM_E_CORRUPT, "Backing file name too long");
    if (!vm_in_range(at, len, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The name of the backing file lies outside of the file");
    n->backing_name = calloc(1, (size_t)len + 1);
    if (n->backing_name == NULL)
        return vm__fail_nomem(len);
    return len != 0 ? vm__blk_read(n->file, at, n->backing_name, len) : VM_OK;
}

static int open_map(struct vm_blk *n)
{
    struct qcow *s = qcow_of(n);
    uint64_t cluster = UINT64_C(1) << s->cluster_bits, table = UINT64_C(8) << s->l2_bits;
    uint64_t size = vm__blk_size(n->file);
    s->map = (struct vm_bmap) {
        .n = n,
        .ops = &map_ops,
        .page_size = table < VM_BMAP_PAGE ? (uint32_t)table : VM_BMAP_PAGE,
        .n_blocks = (vm__blk_size(n) + cluster - 1) / cluster,
        .width = 8,
        .big_endian = true,
        .block_size = cluster,
        .align = cluster,
        .next = (size + cluster - 1) / cluster * cluster,
    };
    s->cache = vm__chunk_cache_new(CACHE_SLOTS, (size_t)cluster);
    return s->cache != NULL ? vm__bmap_init(&s->map) : VM_E_NOMEM;
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)o;
    struct qcow *s = qcow_of(n);
    uint8_t h[HEADER];
    if (vm__blk_size(n->file) < HEADER)
        return vm__fail(VM_E_INVAL, "Image not in qcow format");
    int st = vm__blk_read(n->file, 0, h, HEADER);
    if (st == VM_OK)
        st = check_header(n, h);
    if (st == VM_OK)
        st = read_backing(n, h);
    if (st != VM_OK)
        return st;
    s->l1 = malloc(8 * (size_t)s->l1_entries);
    if (s->l1 == NULL)
        return vm__fail_nomem(8 * (size_t)s->l1_entries);
    st = vm__blk_read(n->file, s->l1_off, (void *)s->l1, 8 * (size_t)s->l1_entries);
    return st == VM_OK ? open_map(n) : st;
}

static void free_state(struct vm_blk *n)
{
    struct qcow *s = qcow_of(n);
    vm__bmap_fini(&s->map);
    vm__chunk_cache_free(s->cache);
    free((void *)s->l1);
}

static int qcow_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void qcow_close(struct vm_blk *n)
{
    struct qcow *s = qcow_of(n);
    if (s->map.pages != NULL && vm__blk_writable(n) && s->map.end > s->map.next)
        (void)vm__blk_truncate(n->file, s->map.next, VM_PREALLOC_OFF, 0);
    free_state(n);
}

/* ---- I/O -------------------------------------------------------------------------------- */

static int qcow_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct vm_bmap *b = &qcow_of(n)->map;
    if (!(flags & VM_IO_COMPRESSED))
        return vm__bmap_write(b, off, len, sg, flags);
    return flags & VM_IO_NOWAIT ? VM_E_AGAIN : write_compressed(b, off, len, sg);
}

static int qcow_info(struct vm_blk *n, struct vm_blk_info *out)
{
    out->cluster_size = qcow_of(n)->map.block_size;
    return VM_OK;
}

/* ---- create ----------------------------------------------------------------------------- */

static const struct vm_blk_option create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "backing_file", VM_OPT_STR, .help = "File name of a base image" },
    { "backing_fmt", VM_OPT_STR, .help = "Format of the backing image" },
    { 0 },
};

static int qcow_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    (void)env;
    uint8_t h[HEADER + 1024] = MAGIC;
    size_t name = c->backing_name != NULL ? strlen(c->backing_name) : 0;
    /* Over a base, small clusters: little is copied by a first write. */
    unsigned cluster_bits = name != 0 ? 9 : 12, l2_bits = name != 0 ? 12 : 9;
    uint64_t l1 = (HEADER + name + 7) & ~UINT64_C(7);
    uint64_t entries =
        (c->size + (UINT64_C(1) << (cluster_bits + l2_bits)) - 1) >> (cluster_bits + l2_bits);
    if (c->size <= 1)
        return vm__fail(VM_E_INVAL, "Image size is too small, cannot be zero length");
    if (name > 1023)
        return vm__fail(VM_E_RANGE, "Backing file name too long");
    if (entries > MAX_L1)
        return vm__fail(VM_E_RANGE, "Image size is too large for the qcow format");
    vm_put_be32(h + VERSION_AT, 1);
    vm_put_be64(h + BACKING_AT, name != 0 ? HEADER : 0);
    vm_put_be32(h + BACKING_LEN_AT, (uint32_t)name);
    vm_put_be64(h + SIZE_AT, c->size);
    h[CLUSTER_BITS_AT] = (uint8_t)cluster_bits;
    h[L2_BITS_AT] = (uint8_t)l2_bits;
    vm_put_be64(h + L1_AT, l1);
    if (name != 0)
        memcpy(h + HEADER, c->backing_name, name);
    int st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_truncate(c->file, l1 + 8 * entries, VM_PREALLOC_OFF, 0);
    return st == VM_OK ? vm__blk_write(c->file, 0, h, HEADER + name) : st;
}

_Static_assert(offsetof(struct qcow, map) == 0, "vm__bmap_node_read() and the others");

const struct vm_blk_driver vm__qcow_driver = {
    .name = "qcow",
    .summary = "QEMU copy-on-write image, version 1",
    .spec = "The QCOW Image Format, version 1",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_BACKING | VM_CAN_COMPRESS | VM_CAN_ZERO_INIT | VM_CAN_NOWAIT,
    .state_size = sizeof(struct qcow),
    .create_options = create_options,
    .probe = qcow_probe,
    .open = qcow_open,
    .close = qcow_close,
    .read = vm__bmap_node_read,
    .write = qcow_write,
    .flush = vm__bmap_node_flush,
    .status = vm__bmap_node_status,
    .info = qcow_info,
    .create = qcow_create,
};
