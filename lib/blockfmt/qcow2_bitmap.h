/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_bitmap.h
 * Persistent dirty bitmaps of a qcow2 image: [QCOW2 "Bitmaps"].
 *
 * An enabled bitmap of an image that is open for writing is marked as in use in the file, is in
 * memory, and hears of every write before it happens. It is put away when the image is closed;
 * if that does not come to pass, its mark stays, and it is good for nothing but being removed.
 */
#ifndef LIBVM_BLOCKFMT_QCOW2_BITMAP_H
#define LIBVM_BLOCKFMT_QCOW2_BITMAP_H

#include "blockfmt/qcow2.h"

enum {
    QCOW2_BM_IN_USE = 1 << 0,
    QCOW2_BM_AUTO = 1 << 1, /* enabled */
    QCOW2_BM_FLAGS = 7,

    QCOW2_MAX_BITMAPS = 65535,
    QCOW2_MAX_BITMAP_NAME = 1023,
    QCOW2_BITMAP_MEMORY = 128 << 20, /* bytes of one bitmap's bits in memory, at most */
};

/** Bits in pieces of a cluster; a piece that is not there is zeros. */
struct qcow2_bits {
    uint64_t n_bits, granularity;
    uint64_t n_pieces;
    size_t piece; /**< bytes */
    _Atomic(uint8_t *) *pieces;
    pthread_mutex_t lock; /**< pieces are made under it */
    _Atomic bool changed; /**< since it was read or written */
};

struct qcow2_bitmap {
    char *name;
    uint64_t table_off;
    uint32_t table_size; /**< entries */
    uint32_t flags;      /**< as in the file, or as they would be if it were put away now */
    uint8_t type, granularity_bits;
    uint8_t *extra;
    uint32_t extra_len;
    struct qcow2_bits *bits; /**< NULL: not in memory */
};

static inline bool qcow2_bm_broken(const struct qcow2_bitmap *m)
{
    return m->flags & QCOW2_BM_IN_USE;
}

/* qcow2_bits.c */
struct qcow2_bits *qcow2_bits_new(uint64_t disk, uint64_t granularity, uint64_t cluster);
void qcow2_bits_free(struct qcow2_bits *b);
/** Bits of the disk's bytes [off, off + len). Any thread. */
int qcow2_bits_set(struct qcow2_bits *b, uint64_t off, uint64_t len);
void qcow2_bits_clear(struct qcow2_bits *b);
int qcow2_bits_merge(struct qcow2_bits *b, const struct vm_blk_bits *from);
/** The same bits for a disk of another size. */
int qcow2_bits_resize(struct qcow2_bits **b, uint64_t disk);
/** As one run of bytes. */
int qcow2_bits_copy(const struct qcow2_bits *b, struct vm_blk_bits *out);
/** Piece @p i to be written to: it is made if it is not there. NULL: no memory. */
uint8_t *qcow2_bits_piece(struct qcow2_bits *b, uint64_t i);

/* qcow2_bitmap.c */
/** Bring the bits of a bitmap into memory, if they are not there. */
int qcow2_bitmap_load(struct vm_blk *n, struct qcow2_bitmap *m);
/** Write changed bits and the directory, and switch to them. @p closing: no mark of being in use.
 */
int qcow2_bitmaps_store(struct vm_blk *n, bool closing);
/** Give back what a bitmap takes in the file, once it is not in the directory any more. */
int qcow2_bitmap_release(struct vm_blk *n, uint64_t table_off, uint32_t table_size);
/** Every cluster of a bitmap's own, by @p fn. */
int qcow2_bitmap_clusters(struct vm_blk *n, uint64_t table_off, uint32_t table_size,
                          int (*fn)(void *ud, uint64_t off, uint64_t len), void *ud);
void qcow2_bitmap_free(struct qcow2_bitmap *m);

#endif
