/* SPDX-License-Identifier: MIT */
/**
 * @file bmap.h
 * A block map: what VDI, VHD, VHDX, Parallels, QED, QCOW and VMDK images have in common.
 *
 * The disk is cut into blocks of one size; a table in the file says of each where it lies, or that
 * it is not there. A format says how an entry is read and written (struct vm_bmap_ops); this does
 * the rest: concurrent reads and writes, allocation, copy-on-write, order on stable storage,
 * status.
 *
 * The table is kept in pages. It lies in one piece in the file, or (page_at) its pages lie where a
 * table above says; pages that lie nowhere hold zeros, and take no memory until one changes.
 *
 * Order. A new block is entered in the table in memory at once, in the file's table only by flush:
 * data first, then a flush of the file, then the table. So a table on disk never points at bytes
 * that are not there, a write costs no metadata write of its own, and many flushes waiting together
 * cost one (whoever waited while another's flush began after his writes is served by it).
 *
 * Copy-on-write. A first small write into a block that the backing node has is not the time to copy
 * the block: the write goes to the block's new place, a bitmap in memory remembers which 4 KiB of
 * it are there (bmap_partial.c), and what is still missing is copied before the block is entered.
 *
 * Formats with sector bitmaps (bmap_bits.c) need none of that: there, a first write is its own data
 * and a bit a sector.
 *
 * Locks, in this order: flush, stripe, load or allocation. Reads of allocated blocks take none.
 */
#ifndef LIBVM_BLOCKFMT_BMAP_H
#define LIBVM_BLOCKFMT_BMAP_H

#include <pthread.h>

#include "block/node.h"

enum {
    VM_BMAP_PAGE = 4096, /* most bytes of the table that are read and written together */
    VM_BMAP_STRIPES = 32,
    VM_BMAP_CHUNK = 4096, /* what the bitmap of a partial block counts */
};

enum vm_bmap_kind {
    VM_BMAP_NONE = 0, /**< not there: the backing node decides, or zeros */
    VM_BMAP_ZERO,     /**< zeros, whatever the backing node has */
    VM_BMAP_DATA,     /**< at .off in the file */
    VM_BMAP_SHARED,   /**< at .off in the file, but somebody else's too: written elsewhere */
    VM_BMAP_PACKED,   /**< compressed: .raw tells the format where */
    VM_BMAP_BAD,      /**< an entry that makes no sense */
};

struct vm_bmap_entry {
    enum vm_bmap_kind kind;
    uint64_t off; /**< of the block's data in the file */
    uint64_t raw; /**< the entry itself */
};

struct vm_bmap;
struct vm_bmap_partial;
struct vm_bmap_bits;

struct vm_bmap_ops {
    /** Table entry to place. BAD for what lies outside of the file's data area. */
    struct vm_bmap_entry (*decode)(const struct vm_bmap *b, uint64_t raw);
    /** The reverse; @p kind NONE, ZERO or DATA. */
    uint64_t (*encode)(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off);
    /** Find room for @p len bytes; NULL: at the end of the file. With the allocation lock. */
    int (*space)(struct vm_bmap *b, uint64_t len, uint64_t align, uint64_t *off);
    /** The same without waiting, past all that was ever used: b->stale, within b->end.
     *  @retval VM_E_AGAIN not that simple. NULL: it never is */
    int (*space_now)(struct vm_bmap *b, uint64_t *off);
    /** The place of a block that has none yet, in place of space(). May be NULL. */
    int (*place)(struct vm_bmap *b, uint64_t index, uint64_t *off);
    /** The bytes of a block, @p at being in the file where @p in lies. NULL: as they are there. */
    int (*data_read)(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                     struct vm_sg sg, uint32_t flags);
    int (*data_write)(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                      struct vm_sg sg, uint32_t flags);
    /** A block gets its place; what precedes its data in the file may be written here. May be NULL.
     */
    int (*block_new)(struct vm_bmap *b, uint64_t index, uint64_t off);
    /** Before the data flush that precedes new table entries: counts in the header. May be NULL. */
    int (*before_table)(struct vm_bmap *b);
    /** Write table pages, in place of a plain write (a format with a log). May be NULL. */
    int (*write_pages)(struct vm_bmap *b, const uint64_t *pages, const uint8_t *bytes,
                       size_t count);
    /** Where page @p page of the table lies; 0: nowhere. NULL: at table_off, in one piece. */
    int (*page_at)(struct vm_bmap *b, uint64_t page, uint64_t *at);
    /** Give a page its place (flush only); the table above is written by write_roots(). */
    int (*page_new)(struct vm_bmap *b, uint64_t page, uint64_t *at);
    /** After pages in new places have been written and flushed. With page_at. */
    int (*write_roots)(struct vm_bmap *b);
    /** A flush begins: it will write every change made so far. May be NULL. */
    void (*flush_begin)(struct vm_bmap *b);
    /** After a flush that has written the table: what old entries named is free. May be NULL. */
    int (*after_table)(struct vm_bmap *b);
    /** An entry is about to be replaced. May be NULL. */
    void (*dropped)(struct vm_bmap *b, const struct vm_bmap_entry *old);
    /** Read from a PACKED block. Formats that have none: NULL. */
    int (*read_packed)(struct vm_bmap *b, const struct vm_bmap_entry *e, uint64_t index,
                       uint64_t in, size_t len, struct vm_sg sg, uint32_t flags);
    /** Where the sector bitmap of a block lies; 0: every sector is here. With bits_bytes. */
    int (*bits_at)(struct vm_bmap *b, uint64_t index, const struct vm_bmap_entry *e, uint64_t *at);
    /** With the allocation lock, the file's data ending at @p end: a footer. May be NULL. */
    int (*tail)(struct vm_bmap *b, uint64_t end);
};

struct vm_bmap {
    /* Set by the format before vm__bmap_init(). */
    struct vm_blk *n;
    struct vm_blk *file; /**< what the map and its blocks are in; NULL: n->file */
    struct vm_blk *data; /**< what the blocks are in; NULL: file */
    uint64_t base, size; /**< the part of the node it maps; size 0: all of it */
    const struct vm_bmap_ops *ops;
    void *extent;       /**< the format's, if it has several maps */
    uint64_t table_off; /**< in the file; without page_at */
    uint32_t page_size; /**< bytes of a page: 0 for VM_BMAP_PAGE */
    uint64_t n_blocks;
    uint64_t n_entries; /**< of the table; 0: one a block */
    uint64_t group;     /**< an entry of another kind follows each so many; 0: none */
    uint32_t width;     /**< bytes of an entry: 4 or 8 */
    bool big_endian;
    bool has_zero; /**< the format can say ZERO */
    bool fill_new; /**< a new block is not zeros by itself: what is not written is filled in */
    bool opaque;   /**< bytes of the file are not those of the disk: encryption */
    bool pairs;    /**< two entries belong together, and change with the stripe lock */
    uint64_t block_size;
    uint64_t lead;       /**< bytes in front of a block's data that belong to it */
    uint64_t align;      /**< of a block's data in the file */
    uint32_t bits_bytes; /**< of a block's sector bitmap; 0: there are none */
    bool bits_msb;       /**< the first sector is bit 7, not bit 0 */
    uint64_t next;       /**< where the next block goes; with the allocation lock */

    /* Kept here. */
    uint64_t end;   /**< the file reaches here; with the allocation lock */
    uint64_t stale; /**< up to here the file may hold leftovers past the last block */
    uint64_t n_pages;
    _Atomic(uint8_t *) *pages;
    _Atomic uint8_t *dirty; /**< by page */
    _Atomic uint64_t n_dirty;
    _Atomic bool touched; /**< the header or tail is to be written */
    pthread_mutex_t load_lock, alloc_lock, flush_lock;
    pthread_mutex_t stripes[VM_BMAP_STRIPES];
    _Atomic uint64_t flush_asked;
    uint64_t flush_done;
    struct vm_bmap_partial *partial[VM_BMAP_STRIPES]; /**< lists; with the stripe's lock */
    _Atomic uint64_t n_partial;
    struct vm_bmap_bits **bits; /**< by block; with the stripe's lock */
    uint32_t bits_loaded[VM_BMAP_STRIPES];
    _Atomic uint64_t n_dirty_bits;
};

/** Bitmaps that flush has copied and will write. */
struct vm_bmap_saved {
    uint64_t *index, *at; /**< block, and place in the file */
    uint8_t *bytes;
    size_t n;
};

/** After the format has filled in its part. @retval VM_E_CORRUPT the table does not fit in the file
 */
int vm__bmap_init(struct vm_bmap *b);
/** Frees; what was not flushed is lost. */
void vm__bmap_fini(struct vm_bmap *b);

/** The table's entry. NOWAIT: VM_E_AGAIN if it is not in memory. */
int vm__bmap_get(struct vm_bmap *b, uint64_t index, uint32_t flags, struct vm_bmap_entry *e);
/** Change an entry in memory; flush writes it. */
int vm__bmap_set(struct vm_bmap *b, uint64_t index, enum vm_bmap_kind kind, uint64_t off);
int vm__bmap_set_raw(struct vm_bmap *b, uint64_t index, uint64_t raw);
/** Entries by their number in the table, whatever they are of. */
int vm__bmap_get_entry(struct vm_bmap *b, uint64_t entry, uint32_t flags, uint64_t *raw);
int vm__bmap_set_entry(struct vm_bmap *b, uint64_t entry, uint64_t raw);
/** Page @p page is known to hold zeros. */
bool vm__bmap_page_empty(const struct vm_bmap *b, uint64_t page);

/* The I/O calls of a driver. */
int vm__bmap_read(struct vm_bmap *b, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
int vm__bmap_write(struct vm_bmap *b, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
int vm__bmap_zero(struct vm_bmap *b, uint64_t off, uint64_t len, uint32_t flags);
int vm__bmap_discard(struct vm_bmap *b, uint64_t off, uint64_t len, uint32_t flags);
int vm__bmap_flush(struct vm_bmap *b, uint32_t flags);
int vm__bmap_status(struct vm_bmap *b, uint64_t off, uint64_t len, struct vm_extent *e);

/* The same for a driver whose state begins with its map, which has nothing to add. */
int vm__bmap_node_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
int vm__bmap_node_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                        uint32_t flags);
int vm__bmap_node_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags);
int vm__bmap_node_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags);
int vm__bmap_node_flush(struct vm_blk *n, uint32_t flags);
int vm__bmap_node_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e);

/** Bytes of a block that has its place: @p at is where @p in lies in the file. */
static inline int vm__bmap_data_read(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at,
                                     size_t len, struct vm_sg sg, uint32_t flags)
{
    if (!(flags & VM_IO_NOWAIT))
        vm__blk_event(b->file, "read_aio");
    return b->ops->data_read != NULL ? b->ops->data_read(b, index, in, at, len, sg, flags)
                                     : vm__blk_readv(b->data, at, len, sg, flags);
}
static inline int vm__bmap_data_write(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at,
                                      size_t len, struct vm_sg sg, uint32_t flags)
{
    if (!(flags & VM_IO_NOWAIT))
        vm__blk_event(b->file, "write_aio");
    return b->ops->data_write != NULL ? b->ops->data_write(b, index, in, at, len, sg, flags)
                                      : vm__blk_writev(b->data, at, len, sg, flags);
}

/** Highest end of a block in use, and how many there are; reads the whole table. For opening. */
int vm__bmap_scan(struct vm_bmap *b, uint64_t *end, uint64_t *used);

/* bmap_partial.c; with the block's stripe lock, but for fill. */
int vm__bmap_partial_read(struct vm_bmap *b, uint64_t index, uint64_t in, size_t len,
                          struct vm_sg sg, uint32_t flags, bool *handled);
/** @param zeros what is missing is zeros, not the backing node's */
int vm__bmap_partial_write(struct vm_bmap *b, uint64_t index, uint64_t in, size_t len,
                           struct vm_sg sg, uint32_t flags, bool zeros);
bool vm__bmap_partial_has(const struct vm_bmap *b, uint64_t index);
/** Copy what is missing in every partial block and enter it. Takes the stripe locks. */
int vm__bmap_partial_fill(struct vm_bmap *b);
void vm__bmap_partial_free(struct vm_bmap *b);

/* bmap_bits.c */
/** The image has sector bitmaps, and a parent that they matter for. */
bool vm__bmap_has_bits(const struct vm_bmap *b);
int vm__bmap_bits_init(struct vm_bmap *b);
void vm__bmap_bits_fini(struct vm_bmap *b);
/** How far from @p in on the block is all here, or all the parent's. Takes the stripe lock. */
int vm__bmap_bits_run(struct vm_bmap *b, uint64_t index, struct vm_bmap_entry e, uint64_t in,
                      uint64_t len, uint32_t flags, size_t *n, bool *here);
int vm__bmap_bits_read(struct vm_bmap *b, uint64_t index, struct vm_bmap_entry e, uint64_t in,
                       size_t len, struct vm_sg sg, uint32_t flags);
/** With the stripe lock: a new block, none of whose sectors are here. Before its entry is set. */
int vm__bmap_bits_fresh(struct vm_bmap *b, uint64_t index);
/** With the stripe lock. */
int vm__bmap_bits_write(struct vm_bmap *b, uint64_t index, struct vm_bmap_entry e, uint64_t in,
                        size_t len, struct vm_sg sg, uint32_t flags);
/** Copy what is dirty; then, after the data flush, write it (@p st: or mark it dirty again). */
int vm__bmap_bits_take(struct vm_bmap *b, struct vm_bmap_saved *out);
int vm__bmap_bits_put(struct vm_bmap *b, struct vm_bmap_saved *s, int st);

/** @p len bytes at the end of the file, for a table or the like; zeros. */
int vm__bmap_space(struct vm_bmap *b, uint64_t len, uint64_t align, uint64_t *off);
/** Bytes of the table in page @p page. */
size_t vm__bmap_page_bytes(const struct vm_bmap *b, uint64_t page);
/** A place for one more block. */
int vm__bmap_alloc(struct vm_bmap *b, uint64_t index, uint64_t *off);
/** The same without waiting. @retval VM_E_AGAIN the file must grow, or the like */
int vm__bmap_alloc_now(struct vm_bmap *b, uint64_t *off);

static inline pthread_mutex_t *vm__bmap_stripe(struct vm_bmap *b, uint64_t index)
{
    return &b->stripes[index % VM_BMAP_STRIPES];
}
/** Bytes of block @p index that lie within the disk. */
static inline uint64_t vm__bmap_bytes(const struct vm_bmap *b, uint64_t index)
{
    uint64_t left = b->size - index * b->block_size;
    return left < b->block_size ? left : b->block_size;
}

#endif
