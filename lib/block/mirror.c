/* SPDX-License-Identifier: MIT */
/**
 * @file mirror.c
 * Copying a disk that is in use, until the copy is the same, and going on with the copy.
 *
 * What users write is marked when they have written it. A chunk's mark is taken away before it is
 * read, so a write that comes in between marks it again. When little is left the disk is drained;
 * what is left then is copied with nobody writing.
 */
#include <stdlib.h>

#include "base/error.h"
#include "block/chunks.h"
#include "block/image.h"

enum { FEW = 64 /* chunks, 4 MiB: copied while users are held */, ROUNDS = 8 };

struct mirror {
    struct vm_blk_watch watch;
    struct vm_chunks dirty;
    struct vm_blk *from, *to;
    struct vm_job *job;
    void *buf;
};

static void mark(struct vm_blk_watch *w, uint64_t off, uint64_t len)
{
    vm__chunks_set(&((struct mirror *)w)->dirty, off, len);
}

static int copy_one(struct mirror *m, uint64_t i)
{
    (void)vm__chunks_take(&m->dirty, i);
    const int st = vm__chunks_copy(&m->dirty, i, m->from, m->to, m->buf);
    if (st != VM_OK)
        vm__chunks_set(&m->dirty, i * VM_CHUNK, 1);
    return st;
}

/* Once along the disk, with users at work. */
static int pass(struct mirror *m)
{
    int st = VM_OK;
    for (uint64_t i = 0; st == VM_OK && (i = vm__chunks_next(&m->dirty, i)) < m->dirty.n; i++) {
        if (m->job != NULL && vm__job_cancelled(m->job))
            return vm__fail(VM_E_CANCELED, "canceled");
        vm__blk_io_begin(m->from); /* others may drain the disk */
        st = copy_one(m, i);
        vm__blk_io_end(m->from);
        if (m->job != NULL)
            vm__job_done(m->job, VM_CHUNK);
    }
    return st;
}

/* With the disk drained: the rest, and the end. */
static int settle(struct mirror *m, bool change)
{
    int st = VM_OK;
    for (uint64_t i = 0; st == VM_OK && (i = vm__chunks_next(&m->dirty, i)) < m->dirty.n; i++)
        st = copy_one(m, i);
    if (st == VM_OK)
        st = vm__blk_flush(m->to, 0);
    if (st == VM_OK && change)
        st = vm__blk_flush(m->from, 0);
    if (st == VM_OK && change)
        st = vm__blk_attach(m->from, m->to);
    if (st == VM_OK && change)
        m->from->successor = vm__blk_ref(m->to);
    return st;
}

static int set_watch(struct vm_blk *n, struct vm_blk_watch *w)
{
    vm__blk_drain_begin(n);
    const bool taken = w != NULL && n->watch != NULL;
    if (!taken)
        n->watch = w;
    vm__blk_drain_end(n);
    return taken ? vm__fail(VM_E_STATE, "A job is at work on the image already") : VM_OK;
}

static int run(struct mirror *m, uint32_t flags)
{
    int st = vm__chunks_plan(&m->dirty, m->from, flags & VM__MIRROR_TOP);
    uint64_t left = vm__chunks_count(&m->dirty);
    if (m->job != NULL)
        vm__job_total(m->job, (left + 1) * VM_CHUNK);
    /* Users who write faster than this copies are held for longer in the end. */
    for (unsigned i = 0; st == VM_OK && (i == 0 || (left > FEW && i < ROUNDS)); i++) {
        st = pass(m);
        left = vm__chunks_count(&m->dirty);
    }
    if (st != VM_OK)
        return st;
    vm__blk_drain_begin(m->from);
    st = settle(m, flags & VM__MIRROR_SWITCH);
    m->from->watch = NULL;
    vm__blk_drain_end(m->from);
    if (m->job != NULL)
        vm__job_done(m->job, VM_CHUNK);
    return st;
}

static bool below(const struct vm_blk *n, const struct vm_blk *what)
{
    for (; n != NULL; n = n->successor)
        if (n == what || (n->file != NULL && below(n->file, what)) ||
            (n->backing != NULL && below(n->backing, what)))
            return true;
    return false;
}

int vm__blk_mirror(struct vm_blk *n, struct vm_blk *target, uint32_t flags, struct vm_job *job)
{
    while (n->successor != NULL)
        n = n->successor;
    struct mirror m = { .watch = { .after = mark }, .from = n, .to = target, .job = job };
    if (vm__blk_size(n) != vm__blk_size(target))
        return vm__fail(VM_E_INVAL, "The target has %llu bytes, not %llu",
                        (unsigned long long)vm__blk_size(target),
                        (unsigned long long)vm__blk_size(n));
    if (!vm__blk_writable(target))
        return vm__fail(VM_E_PERM, "Block node is read-only");
    if (below(target, n) || below(n, target))
        return vm__fail(VM_E_INVAL, "The target and the image are parts of one chain");
    int st = vm__chunks_init(&m.dirty, vm__blk_size(n));
    m.buf = malloc(VM_CHUNK);
    if (st == VM_OK && m.buf == NULL)
        st = vm__fail_nomem(VM_CHUNK);
    if (st == VM_OK)
        st = set_watch(n, &m.watch);
    if (st == VM_OK) {
        st = run(&m, flags);
        if (st != VM_OK && n->watch == &m.watch)
            (void)set_watch(n, NULL);
    }
    vm__chunks_fini(&m.dirty);
    free(m.buf);
    return st;
}
