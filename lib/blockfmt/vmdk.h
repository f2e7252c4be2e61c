/* SPDX-License-Identifier: MIT */
/**
 * @file vmdk.h
 * Between the files of the VMDK driver.
 *
 * Spec: [VMDK] "Virtual Disk Format 5.0", VMware technical note. A disk is a list of extents,
 * written down in a descriptor: text in a file of its own or inside of the only extent.
 */
#ifndef LIBVM_BLOCKFMT_VMDK_H
#define LIBVM_BLOCKFMT_VMDK_H

#include "blockfmt/bmap.h"

enum {
    VMDK_SECTOR = 512,
    VMDK_DESCRIPTOR_MAX = 64 << 10, /* bytes of text that are looked at */
    VMDK_NAME_MAX = 1024,

    /* Header of a hosted sparse extent, [VMDK "Hosted Sparse Extent Header"]. */
    VMDK_HEADER = 512,
    VMDK_VERSION_AT = 4,
    VMDK_FLAGS_AT = 8,
    VMDK_CAPACITY_AT = 12,
    VMDK_GRAIN_AT = 20,
    VMDK_DESCRIPTOR_AT = 28,
    VMDK_DESCRIPTOR_SIZE_AT = 36,
    VMDK_GTES_AT = 44,
    VMDK_RGD_AT = 48,
    VMDK_GD_AT = 56,
    VMDK_OVERHEAD_AT = 64,
    VMDK_TEST_AT = 73,
    VMDK_COMPRESS_AT = 77,

    VMDK_F_NEWLINE = 1 << 0,
    VMDK_F_REDUNDANT = 1 << 1,
    VMDK_F_ZERO_GRAIN = 1 << 2,
    VMDK_F_COMPRESSED = 1 << 16,
    VMDK_F_MARKERS = 1 << 17,

    VMDK_GTES = 512,  /* entries of a grain table */
    VMDK_GRAIN = 128, /* sectors */
    VMDK_MARKER = 12, /* bytes before the data of a compressed grain */
    VMDK_COWD_GTES = 4096,
};
#define VMDK_MAGIC      "KDMV"
#define VMDK_COWD_MAGIC "COWD"
#define VMDK_NO_CID     UINT32_C(0xffffffff)
#define VMDK_GD_AT_END  UINT64_MAX

enum vmdk_kind { VMDK_FLAT, VMDK_ZERO, VMDK_SPARSE, VMDK_COWD, VMDK_SESPARSE };

struct vmdk_extent {
    enum vmdk_kind kind;
    uint64_t start, size; /**< bytes of the disk */
    struct vm_blk *file;  /**< not owned: the node's file or one of its children */
    uint64_t file_off;    /**< flat: where it begins */
    char *file_name;      /**< as the descriptor has it; NULL: the node's own file */

    struct vm_bmap map;       /**< sparse ones */
    uint32_t flags;           /**< VMDK_F_* */
    uint64_t gd_off, rgd_off; /**< bytes; rgd 0: none */
    uint32_t n_tables;
    _Atomic uint32_t *gd, *rgd; /**< sectors of grain tables, as in the file */
    bool gd_dirty;
    struct vm_chunk_cache *cache; /**< compressed: grains */
};

struct vmdk {
    struct vmdk_extent *extents;
    uint32_t n_extents;
    char *text;                   /**< the descriptor */
    uint64_t text_off, text_room; /**< where it lies in the node's file */
    bool text_is_file;            /**< a descriptor file, not embedded */
    uint32_t cid, parent_cid;
    char create_type[32];
    _Atomic bool written; /**< the content id is this session's */
    pthread_mutex_t lock; /**< of changing it */
};

static inline struct vmdk *vmdk_of(const struct vm_blk *n)
{
    return n->state;
}

/* vmdk_descriptor.c */
/** The value of "key=value", without quotes, in @p out; false if there is none that fits. */
bool vmdk_value(const char *text, const char *key, char *out, size_t room);
/** Read extents and ids of n's descriptor; opens the files it names. */
int vmdk_parse(struct vm_blk *n);
/** Write "CID=" anew. */
int vmdk_write_cid(struct vm_blk *n);

/* vmdk_sparse.c */
/** Open a sparse extent in @p e->file: header, tables. */
int vmdk_open_sparse(struct vm_blk *n, struct vmdk_extent *e);
int vmdk_open_cowd(struct vm_blk *n, struct vmdk_extent *e);
void vmdk_close_sparse(struct vm_blk *n, struct vmdk_extent *e);
/** Where in the file the descriptor of an embedded one lies; 0: there is none. */
int vmdk_embedded(const uint8_t *header, uint64_t *off, uint64_t *len);

/* vmdk_stream.c */
int vmdk_read_packed(struct vm_bmap *b, const struct vm_bmap_entry *e, uint64_t index, uint64_t in,
                     size_t len, struct vm_sg sg, uint32_t flags);
/** Compress whole grains into new places; parts of grains are completed first. */
int vmdk_write_packed(struct vm_bmap *b, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);

/* vmdk_create.c */
extern const struct vm_blk_option vmdk_create_options[];
int vmdk_create(struct vm_blk_env *env, struct vm_blk_create *c);

#endif
