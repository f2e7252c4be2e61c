/* SPDX-License-Identifier: MIT */
/**
 * @file vpc.h
 * Between the files of the VHD driver: the layout of footer and header [VHD], and the open image.
 */
#ifndef LIBVM_BLOCKFMT_VPC_H
#define LIBVM_BLOCKFMT_VPC_H

#include "base/endian.h"
#include "blockfmt/bmap.h"

enum {
    VHD_FOOTER = 512,
    VHD_FEATURES_AT = 8,
    VHD_VERSION_AT = 12,
    VHD_DATA_OFFSET_AT = 16,
    VHD_TIME_AT = 24,
    VHD_CREATOR_AT = 28,
    VHD_CREATOR_VERSION_AT = 32,
    VHD_CREATOR_OS_AT = 36,
    VHD_ORIGINAL_SIZE_AT = 40,
    VHD_SIZE_AT = 48,
    VHD_CYLINDERS_AT = 56,
    VHD_HEADS_AT = 58,
    VHD_SECTORS_AT = 59,
    VHD_TYPE_AT = 60,
    VHD_CHECKSUM_AT = 64,
    VHD_UUID_AT = 68,
    VHD_UUID_BYTES = 16,

    VHD_HEADER = 1024,
    VHD_TABLE_AT = 16,
    VHD_HEADER_VERSION_AT = 24,
    VHD_ENTRIES_AT = 28,
    VHD_BLOCK_SIZE_AT = 32,
    VHD_HEADER_CHECKSUM_AT = 36,
    VHD_PARENT_UUID_AT = 40,
    VHD_PARENT_TIME_AT = 56,
    VHD_PARENT_NAME_AT = 64,
    VHD_PARENT_NAME_BYTES = 512,
    VHD_LOCATORS_AT = 576,
    VHD_LOCATORS = 8,
    VHD_LOCATOR_BYTES = 24,

    VHD_FIXED = 2,
    VHD_DYNAMIC = 3,
    VHD_DIFFERENCING = 4,
    VHD_SECTOR = 512,
    VHD_BLOCK = 2 << 20,
};
#define VHD_COOKIE       "conectix"
#define VHD_HEADER_MAGIC "cxsparse"
#define VHD_UNUSED       UINT32_C(0xffffffff)
/** [VHD "Max disk size"]: 2040 GiB in sectors. */
#define VHD_MAX_SECTORS (UINT64_C(2040) << 21)
/** The largest geometry there is; disks beyond it go by the size field alone. */
#define VHD_MAX_GEOMETRY (UINT64_C(65535) * 16 * 255)
#define VHD_W2RU         UINT32_C(0x57327275) /* relative path, UTF-16 */
#define VHD_W2KU         UINT32_C(0x57326b75) /* absolute path, UTF-16 */
#define VHD_MACX         UINT32_C(0x4d616358) /* file URL, UTF-8 */

struct vpc {
    struct vm_bmap map; /**< dynamic and differencing */
    uint8_t footer[VHD_FOOTER];
    uint8_t header[VHD_HEADER];
    bool fixed;
};

static inline struct vpc *vpc_of(const struct vm_blk *n)
{
    return n->state;
}

/** One's complement of the sum of all bytes, those of the checksum counted as 0. */
uint32_t vpc_checksum(const uint8_t *p, size_t len, size_t checksum_at);

/* vpc_parent.c */
/** Name of the parent, from the locators or the header; sets node->backing_name. */
int vpc_find_parent(struct vm_blk *n);
/** Fill in who the parent is; @p locator gets the sector for the relative name, *len its length. */
int vpc_set_parent(struct vm_blk_env *env, const struct vm_blk_create *c, uint8_t *header,
                   uint64_t locator_off, uint8_t *locator, size_t room, size_t *len);

/* vpc_create.c */
extern const struct vm_blk_option vpc_create_options[];
int vpc_create(struct vm_blk_env *env, struct vm_blk_create *c);

#endif
