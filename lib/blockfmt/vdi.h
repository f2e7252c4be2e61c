/* SPDX-License-Identifier: MIT */
/**
 * @file vdi.h
 * Between the files of the VDI driver: the header's layout [VDI], and the open image.
 */
#ifndef LIBVM_BLOCKFMT_VDI_H
#define LIBVM_BLOCKFMT_VDI_H

#include "blockfmt/bmap.h"

enum {
    VDI_HEADER = 512,
    VDI_SIGNATURE_AT = 0x40,
    VDI_VERSION_AT = 0x44,
    VDI_HEADER_SIZE_AT = 0x48,
    VDI_TYPE_AT = 0x4c,
    VDI_COMMENT_AT = 0x54,
    VDI_COMMENT_BYTES = 256,
    VDI_BMAP_AT = 0x154,
    VDI_DATA_AT = 0x158,
    VDI_SECTOR_SIZE_AT = 0x168,
    VDI_DISK_SIZE_AT = 0x170,
    VDI_BLOCK_SIZE_AT = 0x178,
    VDI_BLOCK_EXTRA_AT = 0x17c,
    VDI_BLOCKS_AT = 0x180,
    VDI_ALLOCATED_AT = 0x184,
    VDI_UUID_AT = 0x188,
    VDI_MODIFY_UUID_AT = 0x198,
    VDI_PARENT_UUID_AT = 0x1a8,
    VDI_PARENT_MODIFY_UUID_AT = 0x1b8,
    VDI_UUID_BYTES = 16,

    VDI_TYPE_DYNAMIC = 1,
    VDI_TYPE_STATIC = 2,
    VDI_TYPE_DIFFERENCING = 4,
    VDI_BLOCK = 1 << 20,
};
#define VDI_SIGNATURE   UINT32_C(0xbeda107f)
#define VDI_VERSION     UINT32_C(0x00010001)
#define VDI_FREE        UINT32_C(0xffffffff) /* the parent decides, or zeros */
#define VDI_ZERO        UINT32_C(0xfffffffe)
#define VDI_MAX_BLOCKS  UINT32_C(0x3fffffff)
#define VDI_PARENT_MARK "parent: "

struct vdi {
    struct vm_bmap map;
    uint8_t header[VDI_HEADER]; /**< as it is, or will be, in the file */
    uint32_t data_off;
    _Atomic bool modified; /**< the modification UUID is this session's */
};

static inline struct vdi *vdi_of(const struct vm_blk *n)
{
    return n->state;
}

/** Table, places and lock from the header; again after a resize. */
int vdi_open_map(struct vm_blk *n);
int vdi_write_header(struct vdi *s);

/* vdi_admin.c */
extern const struct vm_blk_option vdi_create_options[];
int vdi_create(struct vm_blk_env *env, struct vm_blk_create *c);
int vdi_info(struct vm_blk *n, struct vm_blk_info *out);
int vdi_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix);
int vdi_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags);

#endif
