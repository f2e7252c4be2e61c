/* SPDX-License-Identifier: MIT */
/**
 * @file copy_on_read.c
 * Filter "copy-on-read": what a read fetches from a backing file is stored in the image.
 */
#include <stdlib.h>

#include "base/error.h"
#include "block/options.h"
#include "block/ranges.h"

enum { PIECE = 65536 }; /* a cluster of most formats: neighbours are wanted next */

struct cor {
    struct vm_ranges busy;
};

static int cor_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct cor *s = n->state;
    (void)o;
    vm__ranges_init(&s->busy);
    atomic_store(&n->size, vm__blk_size(n->file));
    return VM_OK;
}

static void cor_close(struct vm_blk *n)
{
    struct cor *s = n->state;
    vm__ranges_fini(&s->busy);
}

/* Have [off, off + len), within one piece, in the image itself. */
static int fetch(struct vm_blk *n, uint64_t off, uint64_t len)
{
    struct vm_extent e = { 0 };
    uint8_t *buf = NULL;
    int st = VM_OK;
    for (uint64_t end = off + len; st == VM_OK && off < end; off += e.length) {
        st = vm__blk_status(n->file, off, end - off, &e);
        if (st != VM_OK || (e.flags & VM_EXTENT_ALLOCATED) || n->file->backing == NULL)
            continue;
        if (buf == NULL && (buf = malloc(PIECE)) == NULL)
            st = vm__fail_nomem(PIECE);
        if (st == VM_OK)
            st = vm__blk_read(n->file, off, buf, (size_t)e.length);
        if (st == VM_OK)
            st = vm__blk_write(n->file, off, buf, (size_t)e.length);
    }
    free(buf);
    return st;
}

static int fetch_all(struct vm_blk *n, uint64_t off, uint64_t len)
{
    struct cor *s = n->state;
    const uint64_t size = vm__blk_size(n);
    uint64_t from = off / PIECE * PIECE;
    const uint64_t to = off + len;
    int st = VM_OK;
    for (; st == VM_OK && from < to; from += PIECE) {
        struct vm_range r;
        const uint64_t part = size - from < PIECE ? size - from : PIECE;
        vm__ranges_lock(&s->busy, &r, from, part);
        st = fetch(n, from, part);
        vm__ranges_unlock(&s->busy, &r);
    }
    return st;
}

static int cor_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    const int st = vm__blk_writable(n->file) ? fetch_all(n, off, len) : VM_OK;
    if (st != VM_OK || (flags & VM_IO_PREFETCH))
        return st;
    return vm__blk_readv(n->file, off, len, sg, flags);
}

/* A write must not be overtaken by what a fetch has read before it. */
static int cor_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct cor *s = n->state;
    struct vm_range r;
    vm__ranges_lock(&s->busy, &r, off, len);
    const int st = vm__blk_writev(n->file, off, len, sg, flags);
    vm__ranges_unlock(&s->busy, &r);
    return st;
}

static int cor_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct cor *s = n->state;
    struct vm_range r;
    vm__ranges_lock(&s->busy, &r, off, len);
    const int st = vm__blk_zero(n->file, off, len, flags);
    vm__ranges_unlock(&s->busy, &r);
    return st;
}

static int cor_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct cor *s = n->state;
    struct vm_range r;
    vm__ranges_lock(&s->busy, &r, off, len);
    const int st = vm__blk_discard(n->file, off, len, flags);
    vm__ranges_unlock(&s->busy, &r);
    return st;
}

static int cor_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    return vm__blk_status(n->file, off, len, e);
}

static int cor_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    return vm__blk_truncate(n->file, size, p, flags);
}

const struct vm_blk_driver vm__copy_on_read_driver = {
    .name = "copy-on-read",
    .summary = "Stores what reads fetch from backing files",
    .kind = VM_BLK_FILTER,
    .can = VM_CAN_FUA,
    .state_size = sizeof(struct cor),
    .open = cor_open,
    .close = cor_close,
    .read = cor_read,
    .write = cor_write,
    .zero = cor_zero,
    .discard = cor_discard,
    .status = cor_status,
    .truncate = cor_truncate,
};
