/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2.c
 * QEMU copy-on-write images, versions 2 and 3.
 *
 * Spec: [QCOW2]. Header extensions that are not known here are kept.
 */
#include <stdlib.h>
#include <string.h>

#include "block/env.h"
#include "block/options.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/crypto_io.h"
#include "blockfmt/qcow2.h"

static int qcow2_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    return len >= 8 && memcmp(head, QCOW2_MAGIC, 4) == 0 && vm_be32(head + QCOW2_VERSION_AT) >= 2
               ? 100
               : 0;
}

static int read_l1(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    size_t bytes = 8 * (size_t)s->l1_size;
    if (bytes != 0 &&
        (s->l1_off > vm__blk_size(n->file) || bytes > vm__blk_size(n->file) - s->l1_off))
        return vm__fail(VM_E_CORRUPT, "The active L1 table lies outside of the file");
    s->l1 = calloc((size_t)s->l1_size + 1, 8);
    if (s->l1 == NULL)
        return vm__fail_nomem(bytes);
    return bytes != 0 ? vm__blk_read(n->file, s->l1_off, (void *)s->l1, bytes) : VM_OK;
}

static void free_state(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    vm__bmap_fini(&s->map);
    qcow2_refcount_free(s);
    qcow2_free_snapshots(s);
    vm__chunk_cache_free(s->cache);
    free((void *)s->l1);
    free(s->unknown_ext);
    free(s->data_name);
    qcow2_close_crypt(s);
    vm__ranges_fini(&s->ranges);
    qcow2_bitmaps_free(s);
}

/** A writer clears the bits of what he does not keep: [QCOW2 "autoclear"]. */
static int begin_writing(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    const uint64_t known = QCOW2_A_BITMAPS | (qcow2_has_data_file(s) ? QCOW2_A_DATA_RAW : 0);
    if (n->flags & (VM_OPEN_CHECK | VM_OPEN_RO))
        return VM_OK;
    if (s->incompatible & QCOW2_I_CORRUPT)
        return vm__fail(VM_E_CORRUPT, "qcow2: Image is corrupt; cannot be opened read/write");
    if (s->incompatible & QCOW2_I_DIRTY) {
        struct vm_blk_check found = { 0 };
        int st = qcow2_check(n, &found, VM_FIX_ERRORS | VM_FIX_LEAKS);
        if (st != VM_OK)
            return st;
    }
    uint64_t keep = s->n_bitmaps != 0 ? known : known & ~(uint64_t)QCOW2_A_BITMAPS;
    if (s->autoclear & ~keep) {
        s->autoclear &= keep;
        int st = qcow2_write_header(n);
        if (st != VM_OK)
            return st;
    }
    return qcow2_bitmaps_begin(n);
}

/** Bitmaps, counts that went down after the last flush, and the room grown ahead. */
static int end_writing(struct vm_blk *n)
{
    struct qcow2 *s = qcow2_of(n);
    int st = qcow2_bitmaps_end(n);
    if (s->n_freed != 0) { /* what the last flush itself moved is free after one more */
        atomic_store(&s->map.touched, true);
        if (vm__bmap_flush(&s->map, 0) != VM_OK && st == VM_OK)
            st = vm_last_error()->code;
    }
    if (qcow2_refcount_write(n) != VM_OK && st == VM_OK)
        st = vm_last_error()->code;
    if (s->map.end > s->map.next &&
        vm__blk_truncate(n->file, s->map.next, VM_PREALLOC_OFF, 0) == VM_OK)
        s->map.end = s->map.next;
    return st;
}

static int qcow2_reopen(struct vm_blk *n, uint32_t flags)
{
    uint32_t before = n->flags;
    if (flags & VM_OPEN_RO)
        return end_writing(n);
    n->flags = flags;
    int st = begin_writing(n);
    n->flags = before;
    return st;
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = qcow2_read_header(n);
    if (st == VM_OK)
        st = qcow2_open_data(n, o);
    if (st == VM_OK)
        st = qcow2_open_crypt(n, o);
    if (st == VM_OK)
        st = qcow2_refcount_open(n);
    if (st == VM_OK)
        st = read_l1(n);
    if (st == VM_OK)
        st = qcow2_read_snapshots(n);
    if (st == VM_OK)
        st = qcow2_bitmaps_read(n);
    if (st == VM_OK)
        st = qcow2_open_map(n);
    if (st == VM_OK)
        st = begin_writing(n);
    return st;
}

static int qcow2_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct qcow2 *s = qcow2_of(n);
    (void)pthread_mutex_init(&s->ref_lock, NULL);
    (void)pthread_mutex_init(&s->packed_lock, NULL);
    vm__ranges_init(&s->ranges);
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void qcow2_close(struct vm_blk *n)
{
    if (vm__blk_writable(n))
        (void)end_writing(n);
    free_state(n);
}

static int record(struct vm_blk *n, uint64_t off, uint64_t len)
{
    return qcow2_of(n)->n_bitmaps != 0 ? qcow2_bitmaps_record(n, off, len) : VM_OK;
}

static int qcow2_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return qcow2_extended(qcow2_of(n)) ? qcow2_sub_read(n, off, len, sg, flags)
                                       : vm__bmap_read(&qcow2_of(n)->map, off, len, sg, flags);
}

static int write_plain(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return qcow2_extended(qcow2_of(n)) ? qcow2_sub_write(n, off, len, sg, flags)
                                       : vm__bmap_write(&qcow2_of(n)->map, off, len, sg, flags);
}

static int write_compressed(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                            uint32_t flags)
{
    const struct qcow2 *s = qcow2_of(n);
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    if (qcow2_has_data_file(s))
        return vm__fail(VM_E_NOTSUP, "Images with a data file have no compressed clusters");
    if (s->crypt_method != QCOW2_CRYPT_NONE)
        return vm__fail(VM_E_NOTSUP, "Compression and encryption not supported at the same time");
    return qcow2_write_packed(n, off, len, sg);
}

static int qcow2_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct qcow2 *s = qcow2_of(n);
    int st = record(n, off, len);
    if (st != VM_OK)
        return st;
    if (flags & VM_IO_COMPRESSED)
        return write_compressed(n, off, len, sg, flags);
    return s->crypt_method == QCOW2_CRYPT_NONE
               ? write_plain(n, off, len, sg, flags)
               : vm__crypt_write_any(n, &s->ranges, off, len, sg, flags, qcow2_read, write_plain);
}

static int zero_plain(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return qcow2_extended(qcow2_of(n)) ? qcow2_sub_zero(n, off, len, flags)
                                       : vm__bmap_zero(&qcow2_of(n)->map, off, len, flags);
}

/** Parts of sectors are written; the sectors between are zeroed as in any image. */
static int zero_sectors(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    static const uint8_t zeros[VM_CRYPT_SECTOR];
    struct qcow2 *s = qcow2_of(n);
    uint64_t end = off + len, size = vm__blk_size(n);
    uint64_t first = (off + VM_CRYPT_SECTOR - 1) / VM_CRYPT_SECTOR * VM_CRYPT_SECTOR;
    uint64_t last = end == size ? end : end / VM_CRYPT_SECTOR * VM_CRYPT_SECTOR;
    struct vm_iov v = { (void *)(uintptr_t)zeros, 0 };
    struct vm_range r;
    int st = VM_OK;
    if (first > last) /* within one sector */
        first = last = end;
    v.len = (size_t)((first < end ? first : end) - off);
    if (v.len != 0)
        st = qcow2_write(n, off, v.len, (struct vm_sg) { &v, 0 }, 0);
    if (st == VM_OK && first < last) {
        vm__ranges_lock(&s->ranges, &r, first, last - first);
        st = zero_plain(n, first, last - first, flags);
        vm__ranges_unlock(&s->ranges, &r);
    }
    v.len = (size_t)(end - last);
    if (st == VM_OK && v.len != 0)
        st = qcow2_write(n, last, v.len, (struct vm_sg) { &v, 0 }, 0);
    return st;
}

static int qcow2_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    const struct qcow2 *s = qcow2_of(n);
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    int st = record(n, off, len);
    if (st != VM_OK)
        return st;
    if (s->crypt_method != QCOW2_CRYPT_NONE)
        return zero_sectors(n, off, len, flags);
    if (qcow2_data_is_raw(s)) /* all is allocated: in the data file, too */
        return vm__blk_zero(s->data, off, len, flags);
    return zero_plain(n, off, len, flags);
}

static int qcow2_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    return qcow2_extended(qcow2_of(n)) ? qcow2_sub_status(n, off, len, e)
                                       : vm__bmap_status(&qcow2_of(n)->map, off, len, e);
}

/** Whole clusters are given back; without a way to say zeros over a base, they stay. */
static int qcow2_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct qcow2 *s = qcow2_of(n);
    struct vm_bmap *b = &s->map;
    uint64_t first = (off + s->cluster - 1) / s->cluster, end = (off + len) / s->cluster;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    int st = record(n, off, len);
    if (st != VM_OK)
        return st;
    if (qcow2_data_is_raw(s)) /* what zeros decrypt to is not zeros, but nobody is to read it */
        return vm__blk_zero(s->data, off, len, VM_IO_UNMAP);
    if (s->data != NULL && off < vm__blk_size(s->data)) { /* its clusters lie where the disk's do */
        uint64_t there = vm__blk_size(s->data) - off;
        (void)vm__blk_discard(s->data, off, len < there ? len : there, 0);
    }
    if (qcow2_extended(s))
        return qcow2_sub_discard(n, off, len);
    if (off + len == vm__blk_size(n))
        end = b->n_blocks;
    if (n->backing != NULL && s->version < 3)
        return VM_OK;
    for (uint64_t i = first; i < end; i++) {
        struct vm_bmap_entry e;
        (void)pthread_mutex_lock(vm__bmap_stripe(b, i));
        st = vm__bmap_get(b, i, 0, &e);
        if (st == VM_OK && e.kind != VM_BMAP_NONE && e.kind != VM_BMAP_ZERO)
            st = vm__bmap_set(b, i, n->backing != NULL ? VM_BMAP_ZERO : VM_BMAP_NONE, 0);
        (void)pthread_mutex_unlock(vm__bmap_stripe(b, i));
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}

static const struct vm_blk_option open_options[] = {
    { "data-file", VM_OPT_STR, .help = "Node of the external data file, or options of one" },
    { "encrypt.format", VM_OPT_STR, .help = "Encryption format: luks or aes" },
    { "encrypt.key-secret", VM_OPT_STR,
      .help = "ID of the secret that provides the encryption key" },
    { 0 },
};

_Static_assert(offsetof(struct qcow2, map) == 0, "vm__bmap_node_flush()");

const struct vm_blk_driver vm__qcow2_driver = {
    .name = "qcow2",
    .summary = "QEMU copy-on-write image, versions 2 and 3",
    .spec = "Qcow2 Image File Format (docs/interop/qcow2.txt)",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_BACKING | VM_CAN_COMPRESS | VM_CAN_ZERO_INIT | VM_CAN_SNAPSHOT | VM_CAN_BITMAP |
           VM_CAN_NOWAIT,
    .state_size = sizeof(struct qcow2),
    .open_options = open_options,
    .create_options = qcow2_create_options,
    .amend_options = qcow2_amend_options,
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .read = qcow2_read,
    .write = qcow2_write,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = vm__bmap_node_flush,
    .status = qcow2_status,
    .truncate = qcow2_truncate,
    .info = qcow2_info,
    .check = qcow2_check,
    .reopen = qcow2_reopen,
    .make_empty = qcow2_make_empty,
    .set_backing = qcow2_set_backing,
    .snapshot_list = qcow2_snapshot_list,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_goto = qcow2_snapshot_goto,
    .snapshot_delete = qcow2_snapshot_delete,
    .snapshot_load = qcow2_snapshot_load,
    .bitmap = qcow2_bitmap,
    .bitmap_list = qcow2_bitmap_list,
    .bitmap_read = qcow2_bitmap_read,
    .bitmap_merge = qcow2_bitmap_merge,
    .amend = qcow2_amend,
    .create = qcow2_create,
    .measure = qcow2_measure,
};
