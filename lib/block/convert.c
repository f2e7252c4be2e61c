/* SPDX-License-Identifier: MIT */
/**
 * @file convert.c
 * Copying an image: a plan from what lies where, carried out by many threads.
 *
 * The plan is made in parts of some thousand pieces, from status alone, so that holes of any size
 * cost nothing. Pieces are independent: who carries one out reads, looks for zeros and writes.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/image.h"

enum {
    PIECE = 1 << 20, /* more does not make it faster, and takes memory for each thread */
    PLAN = 2048,
    GRAIN = 4096, /* zeros are looked for in units of this */
    MAX_BUFFERS = 64,
    SECTOR = 512,
};

enum kind { COPY, ZERO };

struct piece {
    uint64_t off, len; /* in the source */
    enum kind kind;
    struct vm_blk *file; /* COPY: the bytes lie in here as they are, or NULL */
    uint64_t offset;
};

struct plan {
    const struct vm_blk_convert *c;
    struct vm_job *job;
    struct piece *pieces;
    uint32_t n;
    uint64_t next;          /* of the source: planned up to here */
    uint64_t chunk;         /* bytes of a piece; of a cluster if compressed */
    struct vm_extent known; /* what is at known_off: the last answer */
    uint64_t known_off;
    bool known_skip;
    struct vm_blk *raw_to; /* the target's file, if its bytes lie there as they are */
    _Atomic bool no_copy;  /* the host will not copy between these */
    pthread_mutex_t lock;
    void *buffers[MAX_BUFFERS];
    uint32_t n_buffers;
};

/* ---- planning --------------------------------------------------------------------------- */

/* What of the source is at @p off, down to the node that the target has below itself as well. */
static int ask(const struct plan *p, uint64_t off, uint64_t len, struct vm_extent *e, bool *skip)
{
    const struct vm_blk_convert *c = p->c;
    uint32_t depth;
    *skip = false;
    if (c->backing == NULL) {
        const int st = vm__blk_status_chain(c->from, off, len, e, &depth);
        if (st == VM_OK || !c->salvage)
            return st;
        *e = (struct vm_extent) { .length = len < SECTOR ? len : SECTOR, .flags = VM_EXTENT_DATA };
        return VM_OK; /* reading will show what is there */
    }
    struct vm_blk *n = c->from;
    int st = vm__blk_status(n, off, len, e);
    while (st == VM_OK && !(e->flags & VM_EXTENT_ALLOCATED)) {
        const uint64_t length = e->length;
        n = n->backing;
        *skip = n == NULL || n == c->backing;
        if (*skip)
            return VM_OK;
        if (off >= vm__blk_size(n)) { /* zeros, which what is below may not have there */
            e->flags = VM_EXTENT_ZERO | VM_EXTENT_ALLOCATED;
            return VM_OK;
        }
        st = vm__blk_status(n, off, length, e);
    }
    return st;
}

/* The same, from the last answer where that goes on: asking a file again costs a walk along it. */
static int look(struct plan *p, uint64_t off, uint64_t len, struct vm_extent *e, bool *skip)
{
    const uint64_t end = p->known_off + p->known.length;
    if (off < p->known_off || off >= end) {
        const int st = ask(p, off, p->c->from_off + p->c->len - off, &p->known, &p->known_skip);
        p->known_off = off;
        if (st != VM_OK) {
            p->known.length = 0;
            return st;
        }
    }
    *skip = p->known_skip;
    *e = p->known;
    e->offset += off - p->known_off;
    e->length -= off - p->known_off;
    if (e->length > len)
        e->length = len;
    return VM_OK;
}

static void add(struct plan *p, uint64_t off, uint64_t len, const struct vm_extent *e)
{
    struct piece *last = p->n != 0 ? &p->pieces[p->n - 1] : NULL;
    const bool zero = e->flags & VM_EXTENT_ZERO;
    /* Compressed clusters are written whole, with whatever zeros they hold. */
    if (zero && last != NULL && last->kind == ZERO && last->off + last->len == off) {
        last->len += len;
        return;
    }
    p->pieces[p->n++] = (struct piece) {
        .off = off,
        .len = len,
        .kind = zero ? ZERO : COPY,
        .file = (e->flags & VM_EXTENT_OFFSET) && !zero ? e->file : NULL,
        .offset = e->offset,
    };
}

/* Clusters that are written whole: one that is zero in part only is data. */
static int plan_cluster(struct plan *p, uint64_t off, uint64_t end, bool *all_skip,
                        struct vm_extent *e)
{
    uint64_t at = off;
    bool zero = true;
    *all_skip = true;
    while (at < end) {
        bool skip;
        const int st = look(p, at, end - at, e, &skip);
        if (st != VM_OK)
            return st;
        zero = zero && (skip || (e->flags & VM_EXTENT_ZERO));
        *all_skip = *all_skip && skip;
        at += e->length;
    }
    *e =
        (struct vm_extent) { .length = end - off, .flags = zero ? VM_EXTENT_ZERO : VM_EXTENT_DATA };
    return VM_OK;
}

static int make_plan(struct plan *p)
{
    const struct vm_blk_convert *c = p->c;
    const uint64_t end = c->from_off + c->len;
    p->n = 0;
    while (p->n < PLAN && p->next < end) {
        const uint64_t off = p->next, to_boundary = p->chunk - (off - c->from_off) % p->chunk;
        const uint64_t rest = end - off, len = rest < to_boundary ? rest : to_boundary;
        struct vm_extent e;
        bool skip;
        /* A long run of nothing is one look, whatever the size of a piece. */
        int st = look(p, off, rest, &e, &skip);
        if (st != VM_OK)
            return st;
        const bool nothing = skip || (e.flags & VM_EXTENT_ZERO);
        if (nothing && e.length >= len) {
            if (c->compressed && e.length < rest) /* up to a whole cluster */
                e.length = len + (e.length - len) / p->chunk * p->chunk;
        } else if (c->compressed) {
            st = plan_cluster(p, off, off + len, &skip, &e);
        } else if (e.length > len) {
            e.length = len;
        }
        if (st != VM_OK)
            return st;
        if (skip && p->job != NULL)
            vm__job_done(p->job, e.length);
        if (!skip)
            add(p, off, e.length, &e);
        p->next += e.length;
    }
    return VM_OK;
}

/* ---- carrying out ----------------------------------------------------------------------- */

static void *take_buffer(struct plan *p)
{
    void *b = NULL;
    pthread_mutex_lock(&p->lock);
    if (p->n_buffers != 0)
        b = p->buffers[--p->n_buffers];
    pthread_mutex_unlock(&p->lock);
    const size_t size = p->chunk > PIECE ? (size_t)p->chunk : PIECE;
    if (b == NULL && posix_memalign(&b, GRAIN, size) != 0)
        b = NULL;
    return b;
}

static void give_buffer(struct plan *p, void *b)
{
    pthread_mutex_lock(&p->lock);
    if (p->n_buffers < MAX_BUFFERS) {
        p->buffers[p->n_buffers++] = b;
        b = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    free(b);
}

static uint64_t target(const struct plan *p, uint64_t off)
{
    return off - p->c->from_off + p->c->to_off;
}

static int put_zeros(const struct plan *p, uint64_t off, uint64_t len)
{
    if (p->c->to_is_zero)
        return VM_OK;
    return vm__blk_zero(p->c->to, target(p, off), len, p->c->sparse_bytes != 0 ? VM_IO_UNMAP : 0);
}

static int put(const struct plan *p, uint64_t off, const void *buf, size_t len)
{
    struct vm_iov v = { (void *)(uintptr_t)buf, len };
    return vm__blk_writev(p->c->to, target(p, off), len, (struct vm_sg) { &v, 0 },
                          p->c->compressed ? VM_IO_COMPRESSED : 0);
}

/* Bytes from @p at on that are all zero, or all not, in grains of the target. */
static size_t run(const uint8_t *buf, size_t at, size_t len, uint64_t target_off, bool *zero)
{
    size_t end = at;
    bool first = true;
    while (end < len) {
        size_t grain = GRAIN - (size_t)((target_off + end) % GRAIN);
        if (grain > len - end)
            grain = len - end;
        const bool z = vm_is_zero(buf + end, grain);
        if (first)
            *zero = z;
        else if (z != *zero)
            break;
        first = false;
        end += grain;
    }
    return end - at;
}

static int put_sparse(const struct plan *p, uint64_t off, const uint8_t *buf, size_t len)
{
    int st = VM_OK;
    size_t from = 0, at = 0; /* [from, at) is data not written yet */
    while (st == VM_OK && at < len) {
        bool zero = false;
        const size_t n = run(buf, at, len, target(p, off), &zero);
        /* A short run of zeros between data is cheaper as data. */
        if (zero && (n >= p->c->sparse_bytes || (at == 0 && n == len))) {
            if (from < at)
                st = put(p, off + from, buf + from, at - from);
            if (st == VM_OK)
                st = put_zeros(p, off + at, n);
            from = at + n;
        }
        at += n;
    }
    return st == VM_OK && from < len ? put(p, off + from, buf + from, len - from) : st;
}

/* The host copies, if both ends are bytes as they are. VM_E_NOTSUP: read and write. */
static int let_host_copy(struct plan *p, const struct piece *w)
{
    if (!p->c->copy_range || p->raw_to == NULL || w->file == NULL || atomic_load(&p->no_copy))
        return VM_E_NOTSUP;
    struct vm_extent e;
    int st = vm__blk_status(p->c->to, target(p, w->off), w->len, &e);
    if (st != VM_OK || !(e.flags & VM_EXTENT_OFFSET) || e.file != p->raw_to)
        return VM_E_NOTSUP;
    const uint64_t shift = e.offset; /* raw: the same all along */
    st = vm__blk_copy(w->file, w->offset, p->raw_to, shift, w->len, 0);
    if (st == VM_E_NOTSUP)
        atomic_store(&p->no_copy, true);
    return st;
}

static int copy(struct plan *p, const struct piece *w)
{
    int st = let_host_copy(p, w);
    if (st != VM_E_NOTSUP)
        return st;
    uint8_t *buf = take_buffer(p);
    if (buf == NULL)
        return vm__fail_nomem(p->chunk);
    const size_t len = (size_t)w->len;
    st = vm__blk_read(p->c->from, w->off, buf, len);
    if (st != VM_OK && p->c->salvage) {
        memset(buf, 0, len);
        for (size_t at = 0, n; at < len; at += n) { /* what can be had, sector by sector */
            n = len - at < 512 ? len - at : 512;
            if (vm__blk_read(p->c->from, w->off + at, buf + at, n) != VM_OK)
                memset(buf + at, 0, n);
        }
        st = VM_OK;
    }
    if (st == VM_OK && p->c->compressed)
        st = p->c->sparse_bytes != 0 && vm_is_zero(buf, len) ? put_zeros(p, w->off, len)
                                                             : put(p, w->off, buf, len);
    else if (st == VM_OK)
        st = p->c->sparse_bytes != 0 ? put_sparse(p, w->off, buf, len) : put(p, w->off, buf, len);
    give_buffer(p, buf);
    return st;
}

static int do_piece(void *ud, uint32_t i)
{
    struct plan *p = ud;
    const struct piece *w = &p->pieces[i];
    if (p->job != NULL && vm__job_cancelled(p->job))
        return vm__fail(VM_E_CANCELED, "canceled");
    const int st = w->kind == ZERO ? put_zeros(p, w->off, w->len) : copy(p, w);
    if (st == VM_OK && p->job != NULL)
        vm__job_done(p->job, w->len);
    return st;
}

static int do_plan(struct plan *p)
{
    int st = VM_OK;
    if (!p->c->in_order && p->c->width != 1)
        return vm__pool_for(vm__env_pool(p->c->from->env), p->n, do_piece, p);
    for (uint32_t i = 0; st == VM_OK && i < p->n; i++)
        st = do_piece(p, i);
    return st;
}

static uint64_t chunk_of(const struct vm_blk_convert *c)
{
    struct vm_blk_info info = { 0 };
    if (!c->compressed || c->to->drv->info == NULL || c->to->drv->info(c->to, &info) != VM_OK)
        return PIECE;
    vm__blk_info_clear(&info);
    return info.cluster_size != 0 && info.cluster_size <= (64u << 20) ? info.cluster_size : PIECE;
}

int vm__blk_convert(const struct vm_blk_convert *c, struct vm_job *job)
{
    struct plan p = { .c = c, .job = job, .next = c->from_off, .chunk = chunk_of(c) };
    if (strcmp(c->to->drv->name, "raw") == 0)
        p.raw_to = c->to->file;
    else if (c->to->drv->kind == VM_BLK_PROTOCOL)
        p.raw_to = c->to;
    p.pieces = malloc(PLAN * sizeof *p.pieces);
    if (p.pieces == NULL)
        return vm__fail_nomem(PLAN * sizeof *p.pieces);
    pthread_mutex_init(&p.lock, NULL);
    if (job != NULL)
        vm__job_total(job, c->len);
    vm__blk_io_begin(c->from);
    vm__blk_io_begin(c->to);
    int st = VM_OK;
    while (st == VM_OK && p.next < c->from_off + c->len) {
        st = make_plan(&p);
        if (st == VM_OK)
            st = do_plan(&p);
    }
    vm__blk_io_end(c->to);
    vm__blk_io_end(c->from);
    while (p.n_buffers != 0)
        free(p.buffers[--p.n_buffers]);
    free(p.pieces);
    pthread_mutex_destroy(&p.lock);
    return st;
}
