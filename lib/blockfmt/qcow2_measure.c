/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_measure.c
 * How large a qcow2 image of some content will be.
 *
 * Every cluster of data and table that such an image has, counted as if all were allocated from
 * front to back: the numbers are those of `qemu-img measure`.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "block/env.h"
#include "block/image.h"
#include "block/options.h"
#include "blockfmt/qcow2.h"

static uint64_t clusters_of(uint64_t bytes, uint64_t cluster)
{
    return bytes / cluster + (bytes % cluster != 0);
}

/** Clusters of counts for so many others, and for themselves. */
static uint64_t count_clusters(const struct qcow2 *s, uint64_t others)
{
    uint64_t per = s->cluster * 8 >> s->refcount_order, blocks = 0, table = 0, before;
    do {
        before = blocks + table;
        blocks = clusters_of(others + blocks + table, per);
        table = clusters_of(blocks, s->cluster / 8);
    } while (blocks + table != before);
    return blocks + table;
}

/** Header, tables and counts of a disk of @p size whose clusters are all there. */
static uint64_t all_clusters(const struct qcow2 *s, uint64_t size)
{
    uint64_t data = clusters_of(size, s->cluster), l2 = clusters_of(data, qcow2_l2_entries(s));
    uint64_t n = 1 + l2 + clusters_of(l2, s->cluster / 8) + data;
    return n + count_clusters(s, n);
}

/** Bytes of clusters that hold data of the source. */
static int source_bytes(struct vm_blk *n, uint64_t cluster, uint64_t *bytes)
{
    uint64_t size = vm__blk_size(n), done = 0; /* clusters before are counted */
    *bytes = 0;
    for (uint64_t off = 0; off < size;) {
        struct vm_extent e;
        uint32_t depth;
        int st = vm__blk_status_chain(n, off, size - off, &e, &depth);
        if (st != VM_OK)
            return st;
        const uint32_t both = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED;
        if (!(e.flags & VM_EXTENT_ZERO) && (e.flags & both) == both) {
            uint64_t first = off / cluster, end = clusters_of(off + e.length, cluster);
            first = first < done ? done : first;
            *bytes += end > first ? (end - first) * cluster : 0;
            done = end > done ? end : done;
        }
        off += e.length;
    }
    return VM_OK;
}

static int bitmap_bytes(struct vm_blk *n, uint64_t cluster, uint64_t *bytes)
{
    struct vm_blk_bitmap *list = NULL;
    size_t count = 0;
    uint64_t directory = 0;
    int st = vm__blk_bitmap_list(n, &list, &count);
    *bytes = 0;
    for (size_t i = 0; st == VM_OK && i < count; i++) {
        uint64_t bits = clusters_of(vm__blk_size(n), list[i].granularity);
        uint64_t pieces = clusters_of(clusters_of(bits, 8), cluster);
        *bytes += (pieces + clusters_of(pieces * 8, cluster)) * cluster;
        directory += (24 + strlen(list[i].name) + 7) & ~UINT64_C(7);
    }
    free(list);
    *bytes += clusters_of(directory, cluster) * cluster;
    return st;
}

int qcow2_measure(struct vm_blk_env *env, struct vm_blk_create *c, struct vm_blk *source,
                  struct vm_blk_measure *out)
{
    struct qcow2 s = { 0 };
    uint64_t data, extra = 0;
    (void)env;
    int st = qcow2_plan(&s, c, &extra);
    if (st != VM_OK)
        return st;
    uint64_t aligned = clusters_of(c->size, s.cluster) * s.cluster;
    if (aligned > VM_BLK_MAX_SIZE || all_clusters(&s, c->size) > VM_BLK_MAX_SIZE / s.cluster)
        return vm__fail(VM_E_RANGE,
                        "The image size is too large (try using a larger cluster size)");
    extra = clusters_of(extra, s.cluster) * s.cluster;
    out->fully_allocated = all_clusters(&s, c->size) * s.cluster + extra;
    data = source != NULL && c->backing_name != NULL ? aligned : 0;
    if (source != NULL && c->backing_name == NULL)
        st = source_bytes(source, s.cluster, &data);
    if (st == VM_OK && source != NULL && s.version >= 3 && source->drv->bitmap_list != NULL) {
        out->has_bitmaps = true;
        st = bitmap_bytes(source, s.cluster, &out->bitmaps);
    }
    out->required = out->fully_allocated - aligned + data;
    return st;
}
