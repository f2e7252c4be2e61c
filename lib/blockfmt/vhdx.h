/* SPDX-License-Identifier: MIT */
/**
 * @file vhdx.h
 * Between the files of the VHDX driver: layout [MS-VHDX], and the open image.
 */
#ifndef LIBVM_BLOCKFMT_VHDX_H
#define LIBVM_BLOCKFMT_VHDX_H

#include "base/endian.h"
#include "blockfmt/bmap.h"

enum {
    VHDX_GUID = 16,
    VHDX_HEADER = 4096,
    VHDX_HEADER_1 = 64 << 10,
    VHDX_HEADER_2 = 128 << 10,
    VHDX_REGIONS_1 = 192 << 10,
    VHDX_REGIONS_2 = 256 << 10,
    VHDX_TABLE = 64 << 10, /* bytes of a region table, and of the metadata table */
    VHDX_MIB = 1 << 20,

    /* Header, [MS-VHDX §2.2.2]. */
    VHDX_CHECKSUM_AT = 4,
    VHDX_SEQUENCE_AT = 8,
    VHDX_FILE_GUID_AT = 16,
    VHDX_DATA_GUID_AT = 32,
    VHDX_LOG_GUID_AT = 48,
    VHDX_LOG_VERSION_AT = 64,
    VHDX_VERSION_AT = 66,
    VHDX_LOG_LENGTH_AT = 68,
    VHDX_LOG_OFFSET_AT = 72,

    /* Payload block states, [MS-VHDX §2.5.1.1]. */
    VHDX_NOT_PRESENT = 0,
    VHDX_UNDEFINED = 1,
    VHDX_ZERO = 2,
    VHDX_UNMAPPED = 3,
    VHDX_FULLY_PRESENT = 6,
    VHDX_PARTIALLY_PRESENT = 7,
    VHDX_BITMAP_PRESENT = 6, /* sector bitmap blocks, §2.5.1.2 */
};
#define VHDX_FILE_MAGIC    "vhdxfile"
#define VHDX_MAX_SIZE      (UINT64_C(64) << 40)
#define VHDX_CHUNK_SECTORS (UINT64_C(1) << 23)

extern const uint8_t vhdx_bat_guid[VHDX_GUID], vhdx_metadata_guid[VHDX_GUID];
extern const uint8_t vhdx_params_guid[VHDX_GUID], vhdx_size_guid[VHDX_GUID];
extern const uint8_t vhdx_id_guid[VHDX_GUID], vhdx_logical_guid[VHDX_GUID];
extern const uint8_t vhdx_physical_guid[VHDX_GUID], vhdx_parent_guid[VHDX_GUID];
extern const uint8_t vhdx_locator_guid[VHDX_GUID];

/** A sector bitmap block that got its place: entry of the table, and what it says. */
struct vhdx_bitmap {
    uint64_t entry, raw;
};

struct vhdx {
    struct vm_bmap map;
    uint8_t header[VHDX_HEADER]; /**< the current one */
    unsigned current;            /**< 0 or 1: which */
    uint64_t bat_off, bat_len, meta_off, meta_len;
    uint32_t block, logical;
    bool has_parent;
    uint8_t parent_linkage[VHDX_GUID];
    uint64_t ratio;                  /**< payload blocks to a sector bitmap block */
    _Atomic bool written;            /**< the data GUID is this session's */
    pthread_mutex_t lock;            /**< headers, and new sector bitmap blocks */
    struct vhdx_bitmap *new_bitmaps; /**< entries that are not in the file yet */
    size_t n_new_bitmaps;
};

static inline struct vhdx *vhdx_of(const struct vm_blk *n)
{
    return n->state;
}

/** CRC-32C of @p len bytes, those of the 4 at @p checksum_at counted as 0. */
uint32_t vhdx_crc(const uint8_t *p, size_t len, size_t checksum_at);

/* vhdx_header.c */
/** Find the current header and the regions. */
int vhdx_read_headers(struct vm_blk *n);
/** Write the header with a new sequence number, to both places in turn. */
int vhdx_write_header(struct vm_blk *n);
int vhdx_read_metadata(struct vm_blk *n);

/* vhdx_log.c */
/** There is something in the log. */
bool vhdx_log_dirty(const struct vhdx *s);
/** Carry out what the log holds, and empty it. */
int vhdx_log_replay(struct vm_blk *n);

/* vhdx_create.c */
extern const struct vm_blk_option vhdx_create_options[];
int vhdx_create(struct vm_blk_env *env, struct vm_blk_create *c);

#endif
