/* SPDX-License-Identifier: MIT */
/**
 * @file qed.h
 * Between the files of the QED driver: the header's layout [QED], and the open image.
 */
#ifndef LIBVM_BLOCKFMT_QED_H
#define LIBVM_BLOCKFMT_QED_H

#include "blockfmt/bmap.h"

enum {
    QED_HEADER = 64,
    QED_CLUSTER_AT = 4,
    QED_TABLE_AT = 8, /* in clusters */
    QED_HEADER_CLUSTERS_AT = 12,
    QED_FEATURES_AT = 16,
    QED_AUTOCLEAR_AT = 32,
    QED_L1_AT = 40,
    QED_SIZE_AT = 48,
    QED_BACKING_AT = 56,
    QED_BACKING_LEN_AT = 60,

    QED_F_BACKING = 1,
    QED_F_NEED_CHECK = 2,
    QED_F_RAW_BACKING = 4, /* the backing file's format is not to be probed */
    QED_KNOWN_FEATURES = 7,
};
#define QED_MAGIC "QED"

struct qed {
    struct vm_bmap map;
    uint8_t header[QED_HEADER];
    uint32_t cluster, table_bytes, header_clusters;
    uint64_t l1_off;
    _Atomic uint64_t *l1; /**< offsets of second-level tables, as in the file */
    bool l1_dirty;        /**< with the flush lock */
};

static inline struct qed *qed_of(const struct vm_blk *n)
{
    return n->state;
}

int qed_open_map(struct vm_blk *n);
int qed_write_header(struct qed *s);
bool qed_sizes_ok(uint64_t cluster, uint64_t table);

/* qed_admin.c */
extern const struct vm_blk_option qed_create_options[];
int qed_create(struct vm_blk_env *env, struct vm_blk_create *c);
int qed_info(struct vm_blk *n, struct vm_blk_info *out);
int qed_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix);
int qed_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags);
int qed_set_backing(struct vm_blk *n, const char *name, const char *format);

#endif
