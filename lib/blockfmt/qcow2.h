/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2.h
 * Between the files of the qcow2 driver: layout [QCOW2], and the open image.
 *
 * The map of clusters is a vm_bmap (bmap.h) over the second-level tables. What qcow2 adds to it:
 * reference counts (qcow2_refcount.c), which say what is free and what is shared; clusters that are
 * shared with a snapshot, or compressed, which are read in place and written elsewhere; snapshots.
 *
 * Order on stable storage, at flush: data and counts of new clusters; tables; then what nobody
 * names any more is given back. After a crash a cluster may be counted that is not used, never the
 * reverse.
 */
#ifndef LIBVM_BLOCKFMT_QCOW2_H
#define LIBVM_BLOCKFMT_QCOW2_H

#include "base/buf.h"
#include "base/endian.h"
#include "block/ranges.h"
#include "blockfmt/bmap.h"
#include "blockfmt/luks.h"

enum {
    QCOW2_VERSION_AT = 4,
    QCOW2_BACKING_AT = 8,
    QCOW2_BACKING_LEN_AT = 16,
    QCOW2_CLUSTER_BITS_AT = 20,
    QCOW2_SIZE_AT = 24,
    QCOW2_CRYPT_AT = 32,
    QCOW2_L1_SIZE_AT = 36,
    QCOW2_L1_AT = 40,
    QCOW2_REFTABLE_AT = 48,
    QCOW2_REFTABLE_CLUSTERS_AT = 56,
    QCOW2_SNAPSHOTS_AT = 60, /* number */
    QCOW2_SNAPSHOT_TABLE_AT = 64,
    QCOW2_HEADER_V2 = 72,
    QCOW2_INCOMPATIBLE_AT = 72,
    QCOW2_COMPATIBLE_AT = 80,
    QCOW2_AUTOCLEAR_AT = 88,
    QCOW2_REFCOUNT_ORDER_AT = 96,
    QCOW2_HEADER_LEN_AT = 100,
    QCOW2_HEADER_V3 = 104,
    QCOW2_COMPRESSION_AT = 104,
    QCOW2_HEADER_NOW = 112,

    QCOW2_I_DIRTY = 1 << 0,
    QCOW2_I_CORRUPT = 1 << 1,
    QCOW2_I_DATA_FILE = 1 << 2,
    QCOW2_I_COMPRESSION = 1 << 3,
    QCOW2_I_EXTENDED_L2 = 1 << 4,
    QCOW2_C_LAZY = 1 << 0,
    QCOW2_A_BITMAPS = 1 << 0,
    QCOW2_A_DATA_RAW = 1 << 1,

    QCOW2_CRYPT_NONE = 0,
    QCOW2_CRYPT_AES = 1,
    QCOW2_CRYPT_LUKS = 2,

    QCOW2_ZLIB = 0,
    QCOW2_ZSTD = 1,

    QCOW2_MIN_EXTENDED_BITS = 14, /* of the cluster size, with extended entries */
    QCOW2_SUBCLUSTERS = 32,       /* of a cluster, with extended entries */

    QCOW2_MAX_L1 = 32 << 20,      /* bytes */
    QCOW2_MAX_REFTABLE = 8 << 20, /* bytes */
    QCOW2_MAX_SNAPSHOTS = 65536,
};
#define QCOW2_MAGIC      "QFI\xfb"
#define QCOW2_COPIED     (UINT64_C(1) << 63)
#define QCOW2_COMPRESSED (UINT64_C(1) << 62)
#define QCOW2_ZERO       UINT64_C(1)
#define QCOW2_OFFSET     UINT64_C(0x00fffffffffffe00)

#define QCOW2_EXT_END         UINT32_C(0x00000000)
#define QCOW2_EXT_BACKING_FMT UINT32_C(0xe2792aca)
#define QCOW2_EXT_FEATURES    UINT32_C(0x6803f857)
#define QCOW2_EXT_BITMAPS     UINT32_C(0x23852875)
#define QCOW2_EXT_CRYPT       UINT32_C(0x0537be77)
#define QCOW2_EXT_DATA_FILE   UINT32_C(0x44415441)

struct vm_chunk_cache;
struct qcow2_bitmap;

struct qcow2_snapshot {
    struct vm_blk_snapshot pub;
    uint64_t l1_off;
    uint32_t l1_size; /**< entries */
    uint8_t *extra;   /**< extra data as it is in the file */
    uint32_t extra_len;
};

struct qcow2 {
    struct vm_bmap map;
    struct vm_bmap_ops ops; /**< of this image's map */
    uint32_t version, cluster_bits, refcount_order, compression;
    uint64_t cluster; /**< bytes */
    uint64_t incompatible, compatible, autoclear;
    char *unknown_ext; /**< header extensions to be kept, as in the file */
    size_t unknown_len;

    uint64_t l1_off;
    uint32_t l1_size;     /**< entries */
    _Atomic uint64_t *l1; /**< as in the file */
    bool l1_dirty;        /**< with the flush lock */

    /* qcow2_refcount.c, under ref_lock. */
    pthread_mutex_t ref_lock;
    uint64_t reftable_off;
    uint32_t reftable_size; /**< entries */
    uint64_t *reftable;     /**< offsets of blocks, host order */
    uint8_t **refblocks;    /**< loaded ones, as in the file */
    uint8_t *refdirty;      /**< a flag each */
    bool reftable_dirty;
    uint64_t free_from; /**< no cluster below is free */
    struct qcow2_freed {
        uint64_t off, len;
    } * freed;                              /**< once the tables are safe */
    size_t n_freed, freed_room, freed_safe; /**< the first freed_safe ones: by this flush */

    /* The external data file: guest offset is host offset. */
    char *data_name;             /**< as in the header; NULL: data is in the image file */
    struct vm_blk *data;         /**< NULL: none, or not opened */
    _Atomic uint64_t data_stale; /**< below, a new cluster may hold leftovers */

    uint32_t crypt_method;
    uint64_t crypt_off, crypt_len;  /**< LUKS: where the header is */
    struct vm_luks luks;            /**< as it is there */
    struct vm_cipher *aes;          /**< the old scheme's */
    const struct vm_cipher *cipher; /**< the one in use; NULL: none, or locked */
    struct vm_ranges ranges;        /**< of writes to an encrypted image */

    uint64_t bitmap_dir_off, bitmap_dir_size;
    struct qcow2_bitmap *bitmaps;
    uint32_t n_bitmaps;
    bool bitmaps_live; /**< open for writing, which is recorded */

    struct qcow2_snapshot *snapshots;
    uint32_t n_snapshots;
    uint64_t snapshot_table;

    struct vm_chunk_cache *cache; /**< decompressed clusters */
    pthread_mutex_t packed_lock;
    uint64_t packed_at, packed_left; /**< room in the last cluster of compressed data */
};

static inline struct qcow2 *qcow2_of(const struct vm_blk *n)
{
    return n->state;
}
static inline bool qcow2_extended(const struct qcow2 *s)
{
    return s->incompatible & QCOW2_I_EXTENDED_L2;
}
static inline bool qcow2_has_data_file(const struct qcow2 *s)
{
    return s->incompatible & QCOW2_I_DATA_FILE;
}
static inline bool qcow2_data_is_raw(const struct qcow2 *s)
{
    return s->autoclear & QCOW2_A_DATA_RAW;
}
/** Bytes of an entry of a second-level table. */
static inline uint64_t qcow2_entry_bytes(const struct qcow2 *s)
{
    return qcow2_extended(s) ? 16 : 8;
}
static inline uint64_t qcow2_l2_entries(const struct qcow2 *s)
{
    return s->cluster / qcow2_entry_bytes(s);
}

/** An entry of a second-level table; @p bits only with extended entries. */
struct qcow2_entry {
    uint64_t raw, bits;
};
/** The one at @p p. */
static inline struct qcow2_entry qcow2_entry_at(const struct qcow2 *s, const void *table,
                                                uint64_t i)
{
    const uint8_t *p = (const uint8_t *)table + i * qcow2_entry_bytes(s);
    return (struct qcow2_entry) { vm_be64(p), qcow2_extended(s) ? vm_be64(p + 8) : 0 };
}

/* qcow2_header.c */
int qcow2_read_header(struct vm_blk *n);
/** Write the header and its extensions from the state. */
int qcow2_write_header(struct vm_blk *n);
/** The same for an image that is being made: into @p out, one cluster. */
int qcow2_format_header(const struct qcow2 *s, uint64_t size, const char *backing,
                        const char *backing_format, uint8_t *out);

/* qcow2_refcount.c */
int qcow2_refcount_open(struct vm_blk *n);
void qcow2_refcount_free(struct qcow2 *s);
int qcow2_refcount_get(struct vm_blk *n, uint64_t cluster, uint64_t *count);
int qcow2_refcount_set(struct vm_blk *n, uint64_t cluster, uint64_t count);
/** The same where the block of counts may be missing: it is made. */
int qcow2_refcount_repair(struct vm_blk *n, uint64_t cluster, uint64_t count);
/** Add to the counts of all clusters that [off, off + len) touches. */
int qcow2_refcount_add(struct vm_blk *n, uint64_t off, uint64_t len, int by);
/** @p len bytes in clusters of their own, counted once. */
int qcow2_alloc(struct vm_blk *n, uint64_t len, uint64_t *off);
/** One cluster without waiting, where nothing was before. @retval VM_E_AGAIN not that simple */
int qcow2_alloc_now(struct vm_blk *n, uint64_t *off);
/** Give back at the next flush. */
void qcow2_free_later(struct qcow2 *s, uint64_t off, uint64_t len);
int qcow2_refcount_write(struct vm_blk *n);
int qcow2_free_now(struct vm_blk *n);
/** Put count @p i into a block. */
void qcow2_put_count(const struct qcow2 *s, uint8_t *block, uint64_t i, uint64_t v);
uint64_t qcow2_refcount_max(const struct qcow2 *s);

/* qcow2_map.c */
int qcow2_open_map(struct vm_blk *n);
/** The bytes of a compressed cluster's entry. */
void qcow2_packed_place(const struct qcow2 *s, uint64_t raw, uint64_t *off, uint64_t *len);

/** The entry names a place; in a data file, 0 may be one. */
static inline bool qcow2_has_place(const struct qcow2 *s, uint64_t raw)
{
    return (raw & QCOW2_OFFSET) != 0 || (qcow2_has_data_file(s) && raw & QCOW2_COPIED);
}
int qcow2_get(struct qcow2 *s, uint64_t index, uint32_t flags, struct qcow2_entry *e);
/** With the stripe lock. What the old entry named is given back at the next flush. */
int qcow2_set(struct qcow2 *s, uint64_t index, struct qcow2_entry e);
/** A cluster's place that is not to be used after all. */
void qcow2_give_back(struct qcow2 *s, uint64_t off);
/** Its words make sense together. */
bool qcow2_entry_ok(const struct qcow2 *s, const struct qcow2_entry *e);

/* qcow2_data.c */
/** Find and open the external data file, by the options or by the name in the header. */
int qcow2_open_data(struct vm_blk *n, struct vm_blk_options *o);
/** Calls of the map: the bytes of clusters. */
int qcow2_data_read(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                    struct vm_sg sg, uint32_t flags);
int qcow2_data_write(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                     struct vm_sg sg, uint32_t flags);
/** A cluster's place in the data file, which is made long enough and clean there. */
int qcow2_data_place(struct vm_bmap *b, uint64_t index, uint64_t *off);
/** A cluster of the data file holds leftovers now. */
void qcow2_data_drop(struct qcow2 *s, uint64_t off);

/* qcow2_sub.c: the I/O calls of images with extended entries */
int qcow2_sub_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
int qcow2_sub_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
int qcow2_sub_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags);
int qcow2_sub_discard(struct vm_blk *n, uint64_t off, uint64_t len);
int qcow2_sub_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e);

/* qcow2_packed.c */
int qcow2_read_packed(struct vm_bmap *b, const struct vm_bmap_entry *e, uint64_t index, uint64_t in,
                      size_t len, struct vm_sg sg, uint32_t flags);
int qcow2_write_packed(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg);

/* qcow2_snapshot.c */
int qcow2_read_snapshots(struct vm_blk *n);
void qcow2_free_snapshots(struct qcow2 *s);
int qcow2_snapshot_list(struct vm_blk *n, struct vm_blk_snapshot **list, size_t *count);
int qcow2_snapshot_create(struct vm_blk *n, struct vm_blk_snapshot *sn);
int qcow2_snapshot_goto(struct vm_blk *n, const char *id_or_name);
int qcow2_snapshot_delete(struct vm_blk *n, const char *id_or_name);
int qcow2_snapshot_load(struct vm_blk *n, const char *id_or_name);

/* qcow2_crypt.c */
int qcow2_open_crypt(struct vm_blk *n, struct vm_blk_options *o);
void qcow2_close_crypt(struct qcow2 *s);
/** Calls of the map, as qcow2_data_read() and the other. */
int qcow2_crypt_read(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                     struct vm_sg sg, uint32_t flags);
int qcow2_crypt_write(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                      struct vm_sg sg, uint32_t flags);
/** What create options ask for; and doing it, on the new image. */
int qcow2_crypt_method(struct vm_blk_options *o, uint32_t *method);
int qcow2_crypt_create(struct vm_blk *n, struct vm_blk_options *o, uint32_t method);
int qcow2_crypt_amend(struct vm_blk *n, struct vm_blk_options *o);
struct json_t *qcow2_crypt_json(const struct qcow2 *s);

/* qcow2_bitmap.c, qcow2_bitmap_ops.c; see qcow2_bitmap.h */
/** The directory, whose place the header has told. */
int qcow2_bitmaps_read(struct vm_blk *n);
void qcow2_bitmaps_free(struct qcow2 *s);
/** Writing begins, and ends: enabled bitmaps are marked and loaded, and put away. */
int qcow2_bitmaps_begin(struct vm_blk *n);
int qcow2_bitmaps_end(struct vm_blk *n);
/** A range is about to be written. */
int qcow2_bitmaps_record(struct vm_blk *n, uint64_t off, uint64_t len);
/** Bitmaps for a disk of another size; @p check: only whether that can be done. */
int qcow2_bitmaps_resize(struct vm_blk *n, uint64_t size, bool check);
int qcow2_bitmap(struct vm_blk *n, const char *what, const char *name, struct vm_blk_options *o);
int qcow2_bitmap_list(struct vm_blk *n, struct vm_blk_bitmap **list, size_t *count);
int qcow2_bitmap_read(struct vm_blk *n, const char *name, struct vm_blk_bits *out);
int qcow2_bitmap_merge(struct vm_blk *n, const char *name, const struct vm_blk_bits *bits);

/* qcow2_check.c */
int qcow2_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix);

/* qcow2_admin.c */
extern const struct vm_blk_option qcow2_create_options[];
int qcow2_create(struct vm_blk_env *env, struct vm_blk_create *c);
/** Layout by create options alone; @p extra: bytes of headers beside qcow2's. */
int qcow2_plan(struct qcow2 *s, struct vm_blk_create *c, uint64_t *extra);
int qcow2_measure(struct vm_blk_env *env, struct vm_blk_create *c, struct vm_blk *source,
                  struct vm_blk_measure *out);
extern const struct vm_blk_option qcow2_amend_options[];
int qcow2_amend(struct vm_blk *n, struct vm_blk_options *o,
                void (*progress)(void *ud, uint64_t done, uint64_t total), void *ud);
int qcow2_info(struct vm_blk *n, struct vm_blk_info *out);
int qcow2_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags);
int qcow2_make_empty(struct vm_blk *n);
int qcow2_set_backing(struct vm_blk *n, const char *name, const char *format);

#endif
