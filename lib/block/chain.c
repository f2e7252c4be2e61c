/* SPDX-License-Identifier: MIT */
/**
 * @file chain.c
 * Chains of images: writing down (commit), changing what is below (rebase), copying up (stream).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/commit.h"
#include "block/env.h"
#include "block/image.h"

enum { PIECE = 1 << 20 };

/* The same file, however it is written; other names must be the same to the letter. */
static bool same_name(const struct vm_blk *at, const char *name, const char *full)
{
    const bool plain = full != NULL && at->filename != NULL && strchr(name, ':') == NULL;
    char *a = plain ? realpath(full, NULL) : NULL, *b = plain ? realpath(at->filename, NULL) : NULL;
    const bool same = a != NULL && b != NULL ? strcmp(a, b) == 0 : strcmp(at->name, name) == 0;
    free(a);
    free(b);
    return same && (!plain || a != NULL);
}

struct vm_blk *vm__blk_find_base(struct vm_blk *n, const char *name)
{
    char *full = vm__blk_relative(n->filename, name);
    struct vm_blk *at = n->backing;
    while (at != NULL && !same_name(at, name, full))
        at = at->backing;
    free(full);
    if (at == NULL)
        vm__fail(VM_E_NOENT, "Did not find '%.200s' in the backing chain of '%.200s'", name,
                 n->name);
    return at;
}

/* Into a base that is not the next one: what the images between have goes there, too. */
static int copy_down(struct vm_blk *n, struct vm_blk *base, struct vm_job *job)
{
    const struct vm_blk_convert c = {
        .from = n, .to = base, .len = vm__blk_size(n), .sparse_bytes = 4096, .backing = base
    };
    const int st = vm__blk_convert(&c, job);
    return st == VM_OK ? vm__blk_flush(base, 0) : st;
}

int vm__blk_commit(struct vm_blk *n, struct vm_blk *base, bool empty, struct vm_job *job)
{
    struct vm_blk *below = base != NULL ? base : n->backing;
    if (below == NULL)
        return vm__fail(VM_E_NOTSUP, "Image does not have a backing file");
    const bool was_ro = !vm__blk_writable(below);
    int st = was_ro ? vm__blk_reopen(below, below->flags & ~(uint32_t)VM_OPEN_RO) : VM_OK;
    if (st == VM_OK && vm__blk_size(n) > vm__blk_size(below))
        st = vm__blk_resize(below, vm__blk_size(n), VM_PREALLOC_OFF, 0);
    if (job != NULL)
        vm__job_total(job, vm__blk_size(n));
    if (st == VM_OK && below != n->backing) {
        st = copy_down(n, below, job);
    } else if (st == VM_OK) {
        vm__blk_drain_begin(n);
        st = vm__blk_push_down(n, below, empty, job);
        vm__blk_drain_end(n);
    }
    if (was_ro && vm__blk_writable(below)) {
        const int again = vm__blk_reopen(below, below->flags | VM_OPEN_RO);
        st = st == VM_OK ? again : st;
    }
    return st;
}

/* ---- what a chain below has, zeros past its end ----------------------------------------- */

static int below_extent(struct vm_blk *below, uint64_t off, uint64_t *len, bool *zero)
{
    struct vm_extent e;
    uint32_t depth;
    const uint64_t size = below != NULL ? vm__blk_size(below) : 0;
    *zero = true;
    if (off >= size)
        return VM_OK;
    if (*len > size - off)
        *len = size - off;
    const int st = vm__blk_status_chain(below, off, *len, &e, &depth);
    if (st != VM_OK)
        return st;
    *len = e.length;
    *zero = e.flags & VM_EXTENT_ZERO;
    return VM_OK;
}

static int below_read(struct vm_blk *below, uint64_t off, uint8_t *buf, size_t len, bool zero)
{
    if (!zero)
        return vm__blk_read(below, off, buf, len);
    memset(buf, 0, len);
    return VM_OK;
}

/* Runs of @p len bytes that differ are copied up from the old chain. */
static int copy_difference(struct vm_blk *n, uint64_t off, const uint8_t *old, const uint8_t *now,
                           size_t len)
{
    enum { GRAIN = 512 };
    int st = VM_OK;
    for (size_t at = 0; st == VM_OK && at < len;) {
        size_t end = at;
        while (end < len) {
            const size_t g = len - end < GRAIN ? len - end : GRAIN;
            if (memcmp(old + end, now + end, g) == 0)
                break;
            end += g;
        }
        if (end != at)
            st = vm__blk_write(n, off + at, old + at, end - at);
        at = end + (len - end < GRAIN ? len - end : GRAIN);
    }
    return st;
}

struct rebase {
    struct vm_blk *n, *old, *now;
    uint8_t *bufs[2];
};

static int rebase_piece(struct rebase *r, uint64_t off, uint64_t *len)
{
    struct vm_extent e;
    bool zero[2];
    int st = vm__blk_status(r->n, off, *len, &e);
    if (st != VM_OK)
        return st;
    *len = e.length;
    if (e.flags & VM_EXTENT_ALLOCATED)
        return VM_OK;
    st = below_extent(r->old, off, len, &zero[0]);
    if (st == VM_OK)
        st = below_extent(r->now, off, len, &zero[1]);
    if (st != VM_OK || (zero[0] && zero[1]))
        return st;
    if (*len > PIECE)
        *len = PIECE;
    st = below_read(r->old, off, r->bufs[0], (size_t)*len, zero[0]);
    if (st == VM_OK)
        st = below_read(r->now, off, r->bufs[1], (size_t)*len, zero[1]);
    return st == VM_OK ? copy_difference(r->n, off, r->bufs[0], r->bufs[1], (size_t)*len) : st;
}

static int rebase_data(struct vm_blk *n, struct vm_blk *now, struct vm_job *job)
{
    struct rebase r = { n, n->backing, now, { malloc(PIECE), malloc(PIECE) } };
    const uint64_t size = vm__blk_size(n);
    int st = r.bufs[0] != NULL && r.bufs[1] != NULL ? VM_OK : vm__fail_nomem(PIECE);
    if (job != NULL)
        vm__job_total(job, size);
    for (uint64_t off = 0, len; st == VM_OK && off < size; off += len) {
        len = size - off;
        if (job != NULL && vm__job_cancelled(job))
            st = vm__fail(VM_E_CANCELED, "canceled");
        else
            st = rebase_piece(&r, off, &len);
        if (job != NULL)
            vm__job_done(job, len);
    }
    free(r.bufs[0]);
    free(r.bufs[1]);
    return st == VM_OK ? vm__blk_flush(n, 0) : st;
}

static int set_names(struct vm_blk *n, const char *name, const char *format)
{
    char *a = name != NULL ? strdup(name) : NULL, *b = format != NULL ? strdup(format) : NULL;
    vm__blk_drain_begin(n);
    int st = n->drv->set_backing(n, name, format);
    if (st == VM_OK) {
        free(n->backing_name);
        free(n->backing_format);
        n->backing_name = a;
        n->backing_format = b;
    } else {
        free(a);
        free(b);
    }
    vm__blk_drain_end(n);
    return st;
}

int vm__blk_rebase(struct vm_blk *n, const char *name, const char *format, bool only_name,
                   struct vm_job *job)
{
    struct vm_blk *now = NULL;
    if (n->drv->set_backing == NULL)
        return vm__fail(VM_E_NOTSUP, "Image format driver does not support changing the backing "
                                     "file");
    if (only_name)
        return set_names(n, name, format);
    if (name != NULL) {
        now = vm__blk_open_child(n, name, format, NULL,
                                 VM_OPEN_RO | (format == NULL ? VM_OPEN_PROBE : 0), VM_WHY_BACKING);
        if (now == NULL)
            return vm__fail_prefix(vm_last_error()->code, "Could not open new backing file: ");
    }
    int st = rebase_data(n, now, job);
    if (st == VM_OK)
        st = set_names(n, name, format);
    if (st != VM_OK) {
        vm__blk_unref(now);
        return st;
    }
    return vm__blk_put_backing(n, now);
}

int vm__blk_stream(struct vm_blk *n, struct vm_job *job)
{
    const uint64_t size = vm__blk_size(n);
    if (n->backing == NULL)
        return VM_OK;
    uint8_t *buf = malloc(PIECE);
    int st = buf != NULL ? VM_OK : vm__fail_nomem(PIECE);
    if (job != NULL)
        vm__job_total(job, size);
    for (uint64_t off = 0, len; st == VM_OK && off < size; off += len) {
        struct vm_extent e;
        len = size - off < PIECE ? size - off : PIECE;
        if (job != NULL && vm__job_cancelled(job)) {
            st = vm__fail(VM_E_CANCELED, "canceled");
            break;
        }
        /* A user's write between the read and the write of a piece would be undone. */
        vm__blk_drain_begin(n);
        st = vm__blk_status(n, off, len, &e);
        if (st == VM_OK) {
            len = e.length;
            bool zero = false;
            uint64_t run = len;
            if (!(e.flags & VM_EXTENT_ALLOCATED) &&
                (st = below_extent(n->backing, off, &run, &zero)) == VM_OK) {
                len = run;
                if (!zero && (st = vm__blk_read(n, off, buf, (size_t)len)) == VM_OK)
                    st = vm__blk_write(n, off, buf, (size_t)len);
            }
        }
        vm__blk_drain_end(n);
        if (job != NULL)
            vm__job_done(job, len);
    }
    free(buf);
    if (st == VM_OK)
        st = vm__blk_flush(n, 0);
    if (st == VM_OK && n->drv->set_backing != NULL)
        st = set_names(n, NULL, NULL);
    return st == VM_OK ? vm__blk_put_backing(n, NULL) : st;
}
