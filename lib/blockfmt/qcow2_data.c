/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_data.c
 * Where the bytes of clusters are: the image file, or an external data file.
 *
 * Spec: [QCOW2 "External data file"]. In a data file a cluster lies at its guest offset; nothing is
 * counted there. If it is said to be raw as well, every cluster is allocated from the beginning and
 * the file has the disk's contents at all times.
 */
#include <stdlib.h>
#include <string.h>

#include "block/env.h"
#include "block/options.h"
#include "blockfmt/qcow2.h"

/* ---- opening ---------------------------------------------------------------------------- */

/** By the name in the header: from where the program is, as QEMU does, or beside the image. */
static struct vm_blk *open_named(struct vm_blk *n, const char *name, uint32_t flags)
{
    struct vm_blk_options *o = vm__options_new();
    struct vm_blk *data = NULL;
    bool plain = strchr(name, ':') == NULL;
    if (o == NULL)
        return NULL;
    if (plain && *name != '/') {
        if (vm__options_set(o, "driver", "file") == VM_OK &&
            vm__options_set(o, "filename", name) == VM_OK)
            data = vm__blk_open_child(n, NULL, NULL, o, flags, VM_WHY_EXTENT);
        if (data != NULL || vm_last_error()->code != VM_E_NOENT) {
            vm__options_free(o);
            return data;
        }
    }
    vm__options_free(o);
    return vm__blk_open_child(n, name, NULL, NULL, flags, VM_WHY_EXTENT);
}

static struct vm_blk *find_data(struct vm_blk *n, struct vm_blk_options *o, uint32_t flags)
{
    const struct qcow2 *s = qcow2_of(n);
    const char *ref = vm__opt_str(o, "data-file");
    if (ref != NULL)
        return vm__blk_refer(n->env, (int)n->why, ref);
    struct vm_blk_options *sub = vm__opt_sub(o, "data-file");
    if (sub != NULL) {
        struct vm_blk *data = vm__blk_open_child(n, NULL, NULL, sub, flags, (int)n->why);
        vm__options_free(sub);
        return data;
    }
    if (s->data_name != NULL)
        return open_named(n, s->data_name, flags);
    vm__fail(VM_E_INVAL, "'data-file' is required for this image");
    return NULL;
}

int qcow2_open_data(struct vm_blk *n, struct vm_blk_options *o)
{
    struct qcow2 *s = qcow2_of(n);
    if (!qcow2_has_data_file(s))
        return vm__opt_has(o, "data-file")
                   ? vm__fail(VM_E_INVAL, "'data-file' can only be set for images with an external "
                                          "data file")
                   : VM_OK;
    if (n->flags & VM_OPEN_NO_IO) /* whoever looks at an image need not reach what it names */
        return VM_OK;
    s->data = find_data(n, o, n->flags & ~(uint32_t)(VM_OPEN_PROBE | VM_OPEN_CHECK));
    if (s->data == NULL)
        return vm_last_error()->code;
    n->children[n->n_children++] = s->data;
    if (s->data == n->file)
        return vm__fail(VM_E_CORRUPT, "The data file is the image itself");
    atomic_store(&s->data_stale, vm__blk_size(s->data));
    return VM_OK;
}

/* ---- bytes ------------------------------------------------------------------------------ */

int qcow2_data_read(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                    struct vm_sg sg, uint32_t flags)
{
    (void)index;
    (void)in;
    /* The file may end within its last cluster, a data file before it. */
    uint64_t end = vm__blk_size(b->data);
    if (qcow2_has_data_file(qcow2_of(b->n)) && qcow2_of(b->n)->data == NULL)
        return vm__fail(VM_E_STATE, "The image was opened without its data file");
    size_t there = at >= end ? 0 : end - at < len ? (size_t)(end - at) : len;
    if (at >= end && !qcow2_has_data_file(qcow2_of(b->n)))
        return vm__fail(VM_E_CORRUPT, "A cluster at 0x%llx lies outside of the file",
                        (unsigned long long)at);
    if (there < len)
        vm_sg_zero(vm_sg_at(sg, there), len - there);
    return there != 0 ? vm__blk_readv(b->data, at, there, sg, flags) : VM_OK;
}

int qcow2_data_write(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                     struct vm_sg sg, uint32_t flags)
{
    (void)index;
    (void)in;
    return vm__blk_writev(b->data, at, len, sg, flags);
}

int qcow2_data_place(struct vm_bmap *b, uint64_t index, uint64_t *off)
{
    struct qcow2 *s = qcow2_of(b->n);
    uint64_t bytes = vm__bmap_bytes(b, index), stale = atomic_load(&s->data_stale);
    int st = VM_OK;
    *off = index * s->cluster;
    (void)pthread_mutex_lock(&b->alloc_lock);
    if (vm__blk_size(s->data) < *off + bytes)
        st = vm__blk_truncate(s->data, vm__blk_size(b->n), VM_PREALLOC_OFF, 0);
    (void)pthread_mutex_unlock(&b->alloc_lock);
    if (st == VM_OK && *off < stale && !qcow2_data_is_raw(s))
        st = vm__blk_zero(s->data, *off, bytes, VM_IO_UNMAP);
    return st;
}

void qcow2_data_drop(struct qcow2 *s, uint64_t off)
{
    uint64_t end = off + s->cluster, stale = atomic_load(&s->data_stale);
    while (stale < end && !atomic_compare_exchange_weak(&s->data_stale, &stale, end)) {
    }
}
