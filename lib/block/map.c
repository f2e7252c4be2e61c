/* SPDX-License-Identifier: MIT */
/**
 * @file map.c
 * What lies where; checking; measuring; comparing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/image.h"
#include "block/options.h"

enum { PIECE = 1 << 20 };

/* A raw file below knows about holes in what the format calls data. */
static int refine(struct vm_blk *n, struct vm_extent *e)
{
    struct vm_extent below;
    const uint32_t both = VM_EXTENT_DATA | VM_EXTENT_OFFSET;
    if ((e->flags & (both | VM_EXTENT_ZERO)) != both || e->file == NULL || e->file == n ||
        e->offset >= vm__blk_size(e->file))
        return VM_OK;
    const int st = vm__blk_status(e->file, e->offset, e->length, &below);
    if (st != VM_OK)
        return st;
    e->flags |= below.flags & VM_EXTENT_ZERO;
    if (below.length < e->length) /* further on it is another */
        e->length = below.length;
    return VM_OK;
}

static bool goes_on(const struct vm_blk_row *a, const struct vm_blk_row *b)
{
    return a->depth == b->depth && a->in == b->in &&
           (a->flags & ~(uint32_t)VM_EXTENT_EOF) == (b->flags & ~(uint32_t)VM_EXTENT_EOF) &&
           (!(a->flags & VM_EXTENT_OFFSET) || a->offset + a->length == b->offset);
}

int vm__blk_map(struct vm_blk *n, uint64_t off, uint64_t len,
                int (*fn)(void *ud, const struct vm_blk_row *row), void *ud)
{
    struct vm_blk_row row = { 0 };
    const uint64_t size = vm__blk_size(n);
    const uint64_t end = off >= size ? off : len > size - off ? size : off + len;
    int st = VM_OK;
    while (st == VM_OK && off < end) {
        struct vm_extent e;
        struct vm_blk_row next = { .start = off };
        vm__blk_io_begin(n);
        st = vm__blk_status_chain(n, off, end - off, &e, &next.depth);
        if (st == VM_OK)
            st = refine(n, &e);
        vm__blk_io_end(n);
        if (st != VM_OK)
            return st;
        next.length = e.length;
        next.flags = e.flags;
        if (e.flags & VM_EXTENT_OFFSET) {
            next.offset = e.offset;
            next.in = e.file;
        }
        off += e.length;
        if (row.length != 0 && goes_on(&row, &next)) {
            row.length += next.length;
            row.flags |= next.flags;
            continue;
        }
        if (row.length != 0)
            st = fn(ud, &row);
        row = next;
    }
    return st == VM_OK && row.length != 0 ? fn(ud, &row) : st;
}

int vm__blk_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix)
{
    if (n->drv->check == NULL)
        return vm__fail(VM_E_NOTSUP, "This image format does not support checks");
    void (*const problem)(void *, const char *) = out->problem;
    void *const ud = out->ud;
    *out = (struct vm_blk_check) { .problem = problem, .ud = ud };
    vm__blk_drain_begin(n);
    int st = vm__blk_flush(n, 0); /* what is checked is what is in the file */
    if (st == VM_OK)
        st = n->drv->check(n, out, fix);
    vm__blk_drain_end(n);
    return st;
}

struct amending {
    struct vm_job *job;
    uint64_t total, done;
};

/* The driver tells both numbers, a job wants to hear what is new. */
static void on_progress(void *ud, uint64_t done, uint64_t total)
{
    struct amending *a = ud;
    if (a->job == NULL)
        return;
    if (total != a->total)
        vm__job_total(a->job, a->total = total);
    if (done > a->done)
        vm__job_done(a->job, done - a->done);
    a->done = done > a->done ? done : a->done;
}

int vm__blk_amend(struct vm_blk *n, struct vm_blk_options *o, struct vm_job *job)
{
    struct amending a = { .job = job };
    if (n->drv->amend == NULL)
        return vm__fail(VM_E_NOTSUP, "Format driver '%s' does not support option amendment",
                        n->drv->name);
    if (!vm__blk_writable(n))
        return vm__fail(VM_E_PERM, "Block node is read-only");
    int st = vm__opt_check(o, n->drv->amend_options);
    if (st != VM_OK)
        return st;
    vm__blk_drain_begin(n);
    st = vm__blk_flush(n, 0);
    if (st == VM_OK)
        st = n->drv->amend(n, o, on_progress, &a);
    vm__blk_drain_end(n);
    return st;
}

int vm__blk_measure(struct vm_blk_env *env, const char *format, uint64_t size,
                    struct vm_blk *source, struct vm_blk_options *o, struct vm_blk_measure *out)
{
    const struct vm_blk_driver *drv = vm__blk_driver(env, format);
    if (drv == NULL)
        return vm__fail(VM_E_NOENT, "Unknown file format '%.60s'", format);
    if (drv->measure == NULL)
        return vm__fail(VM_E_NOTSUP, "Block driver '%s' does not support size measurement", format);
    struct vm_blk_options *own = o == NULL ? vm__options_new() : NULL;
    struct vm_blk_options *use = o != NULL ? o : own;
    int st = use != NULL ? vm__opt_check(use, drv->create_options) : VM_E_NOMEM;
    if (st == VM_OK) {
        struct vm_blk_create c = { .name = "",
                                   .size = source != NULL ? vm__blk_size(source) : size,
                                   .backing_name = vm__opt_str(use, "backing_file"),
                                   .backing_format = vm__opt_str(use, "backing_fmt"),
                                   .options = use,
                                   .env = env };
        *out = (struct vm_blk_measure) { 0 };
        st = drv->measure(env, &c, source, out);
    }
    vm__options_free(own);
    return st;
}

/* ---- comparing -------------------------------------------------------------------------- */

struct side {
    struct vm_blk *n;
    uint64_t size;
    uint8_t *buf;
};

/* What this side has at @p off, zeros past its end. */
static int look(const struct side *s, uint64_t off, uint64_t len, struct vm_extent *e)
{
    uint32_t depth;
    if (off >= s->size) {
        *e = (struct vm_extent) { .length = len, .flags = VM_EXTENT_ZERO };
        return VM_OK;
    }
    return vm__blk_status_chain(s->n, off, len < s->size - off ? len : s->size - off, e, &depth);
}

static int get(const struct side *s, uint64_t off, size_t len, const struct vm_extent *e)
{
    if (e->flags & VM_EXTENT_ZERO) {
        memset(s->buf, 0, len);
        return VM_OK;
    }
    return vm__blk_read(s->n, off, s->buf, len);
}

/* At most a piece from @p off on. *@p len: bytes looked at. */
static int compare_piece(const struct side s[2], uint64_t off, uint64_t *len, bool strict,
                         uint64_t *at)
{
    struct vm_extent e[2];
    int st = look(&s[0], off, *len, &e[0]);
    if (st == VM_OK)
        st = look(&s[1], off, *len, &e[1]);
    if (st != VM_OK)
        return st;
    *len = e[0].length < e[1].length ? e[0].length : e[1].length;
    *at = off;
    if (strict && ((e[0].flags ^ e[1].flags) & VM_EXTENT_ALLOCATED) && off < s[0].size &&
        off < s[1].size)
        return 3;
    if (e[0].flags & e[1].flags & VM_EXTENT_ZERO)
        return 0;
    if (*len > PIECE)
        *len = PIECE;
    const size_t n = (size_t)*len;
    st = get(&s[0], off, n, &e[0]);
    if (st == VM_OK)
        st = get(&s[1], off, n, &e[1]);
    if (st != VM_OK || memcmp(s[0].buf, s[1].buf, n) == 0)
        return st;
    while (s[0].buf[*at - off] == s[1].buf[*at - off])
        ++*at;
    return 1;
}

int vm__blk_compare(struct vm_blk *a, struct vm_blk *b, bool strict, struct vm_job *job,
                    uint64_t *at)
{
    struct side s[2] = { { a, vm__blk_size(a), malloc(PIECE) },
                         { b, vm__blk_size(b), malloc(PIECE) } };
    const uint64_t end = s[0].size > s[1].size ? s[0].size : s[1].size;
    int st = s[0].buf != NULL && s[1].buf != NULL ? VM_OK : vm__fail_nomem(PIECE);
    if (st == VM_OK && strict && s[0].size != s[1].size)
        st = 2;
    if (job != NULL)
        vm__job_total(job, end);
    vm__blk_io_begin(a);
    vm__blk_io_begin(b);
    for (uint64_t off = 0, len; st == 0 && off < end; off += len) {
        len = end - off;
        if (job != NULL && vm__job_cancelled(job))
            st = vm__fail(VM_E_CANCELED, "canceled");
        else
            st = compare_piece(s, off, &len, strict, at);
        if (job != NULL)
            vm__job_done(job, len);
    }
    vm__blk_io_end(b);
    vm__blk_io_end(a);
    free(s[0].buf);
    free(s[1].buf);
    return st;
}
