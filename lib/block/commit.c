/* SPDX-License-Identifier: MIT */
/**
 * @file commit.c
 * Writing an upper layer into the one below.
 */
#include "block/commit.h"

#include <stdlib.h>

#include "base/error.h"
#include "block/job.h"

enum { PIECE = 1 << 20 };

static int push_extent(struct vm_blk *n, struct vm_blk *below, uint64_t off,
                       const struct vm_extent *e, void *buf)
{
    if (e->flags & VM_EXTENT_ZERO)
        return vm__blk_zero(below, off, e->length, VM_IO_UNMAP);
    const size_t len = e->length < PIECE ? (size_t)e->length : PIECE;
    const int st = vm__blk_read(n, off, buf, len);
    return st == VM_OK ? vm__blk_write(below, off, buf, len) : st;
}

/* The upper layer has it. A filter that keeps bytes of its own says so by naming itself. */
static bool its_own(const struct vm_blk *n, const struct vm_extent *e)
{
    return n->drv->kind == VM_BLK_FILTER ? e->file == n : (e->flags & VM_EXTENT_ALLOCATED) != 0;
}

int vm__blk_push_down(struct vm_blk *n, struct vm_blk *below, bool empty, struct vm_job *job)
{
    void *buf = malloc(PIECE);
    int st = buf != NULL ? VM_OK : vm__fail_nomem(PIECE);
    const uint64_t size = vm__blk_size(n);
    for (uint64_t off = 0; st == VM_OK && off < size;) {
        struct vm_extent e = { .length = 0 };
        if (job != NULL && vm__job_cancelled(job))
            st = vm__fail(VM_E_CANCELED, "canceled");
        else
            st = vm__blk_status(n, off, size - off, &e);
        if (st == VM_OK && its_own(n, &e)) {
            if (!(e.flags & VM_EXTENT_ZERO) && e.length > PIECE)
                e.length = PIECE;
            st = push_extent(n, below, off, &e, buf);
        }
        off += e.length;
        if (job != NULL)
            vm__job_done(job, e.length);
    }
    free(buf);
    if (st == VM_OK)
        st = vm__blk_flush(below, 0);
    if (st == VM_OK && empty && n->drv->make_empty != NULL)
        st = n->drv->make_empty(n);
    return st;
}
