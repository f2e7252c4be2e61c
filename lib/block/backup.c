/* SPDX-License-Identifier: MIT */
/**
 * @file backup.c
 * A copy of a disk as it was when the job began, while it is in use: who writes first copies what
 * he is about to change.
 */
#include <stdlib.h>

#include "base/error.h"
#include "block/chunks.h"
#include "block/image.h"
#include "block/ranges.h"

struct backup {
    struct vm_blk_watch watch;
    struct vm_chunks todo; /**< not in the target yet */
    struct vm_ranges copying;
    struct vm_blk *from, *to;
    struct vm_job *job;
    _Atomic int failed; /**< a copy before a write: the writer goes on, the backup is lost */
};

/* Once, whoever comes first; others wait for it. */
static int keep(struct backup *b, uint64_t i)
{
    struct vm_range r;
    int st = VM_OK;
    vm__ranges_lock(&b->copying, &r, i, 1);
    if (vm__chunks_has(&b->todo, i)) {
        void *buf = malloc(VM_CHUNK);
        st = buf != NULL ? vm__chunks_copy(&b->todo, i, b->from, b->to, buf)
                         : vm__fail_nomem(VM_CHUNK);
        free(buf);
        (void)vm__chunks_take(&b->todo, i);
    }
    vm__ranges_unlock(&b->copying, &r);
    return st;
}

/* A machine does not see that its backup fails: the job does. */
static int before(struct vm_blk_watch *w, uint64_t off, uint64_t len, uint32_t flags)
{
    struct backup *b = (struct backup *)w;
    uint64_t last = (off + len - 1) / VM_CHUNK;
    for (uint64_t i = off / VM_CHUNK; i <= last && i < b->todo.n; i++) {
        if (!vm__chunks_has(&b->todo, i))
            continue;
        if (flags & VM_IO_NOWAIT)
            return VM_E_AGAIN;
        const int st = keep(b, i);
        if (st != VM_OK)
            atomic_store(&b->failed, st);
    }
    return VM_OK;
}

static int copy_all(struct backup *b)
{
    int st = VM_OK;
    for (uint64_t i = 0; st == VM_OK && (i = vm__chunks_next(&b->todo, i)) < b->todo.n; i++) {
        if (b->job != NULL && vm__job_cancelled(b->job))
            return vm__fail(VM_E_CANCELED, "canceled");
        vm__blk_io_begin(b->from);
        st = keep(b, i);
        vm__blk_io_end(b->from);
        if (b->job != NULL)
            vm__job_done(b->job, VM_CHUNK);
    }
    return st;
}

/* With the disk drained: what is to be kept, from now on. */
static int begin(struct backup *b, enum vm_backup_mode mode)
{
    int st = VM_OK;
    if (b->from->watch != NULL)
        return vm__fail(VM_E_STATE, "A job is at work on the image already");
    if (mode == VM__BACKUP_NONE)
        vm__chunks_set(&b->todo, 0, b->todo.size);
    else
        st = vm__chunks_plan(&b->todo, b->from, mode == VM__BACKUP_TOP);
    if (st == VM_OK)
        b->from->watch = &b->watch;
    return st;
}

static int run(struct backup *b, enum vm_backup_mode mode)
{
    vm__blk_drain_begin(b->from);
    int st = begin(b, mode);
    vm__blk_drain_end(b->from);
    if (st != VM_OK)
        return st;
    if (b->job != NULL)
        vm__job_total(b->job, vm__chunks_count(&b->todo) * VM_CHUNK);
    if (mode == VM__BACKUP_NONE)
        vm__job_idle(b->job);
    else
        st = copy_all(b);
    vm__blk_drain_begin(b->from);
    b->from->watch = NULL;
    vm__blk_drain_end(b->from);
    if (st == VM_OK && atomic_load(&b->failed) != 0)
        st = vm__fail(atomic_load(&b->failed), "What was about to change could not be kept");
    return st == VM_OK ? vm__blk_flush(b->to, 0) : st;
}

int vm__blk_backup(struct vm_blk *n, struct vm_blk *target, enum vm_backup_mode mode,
                   struct vm_job *job)
{
    while (n->successor != NULL)
        n = n->successor;
    struct backup b = { .watch = { .before = before }, .from = n, .to = target, .job = job };
    if (vm__blk_size(n) > vm__blk_size(target))
        return vm__fail(VM_E_INVAL, "The target has %llu bytes, fewer than %llu",
                        (unsigned long long)vm__blk_size(target),
                        (unsigned long long)vm__blk_size(n));
    if (!vm__blk_writable(target) || n == target)
        return vm__fail(VM_E_PERM, "The target cannot be written");
    if (mode == VM__BACKUP_NONE && job == NULL)
        return vm__fail(VM_E_INVAL, "Somebody must be able to end it");
    int st = vm__chunks_init(&b.todo, vm__blk_size(n));
    vm__ranges_init(&b.copying);
    if (st == VM_OK)
        st = run(&b, mode);
    vm__ranges_fini(&b.copying);
    vm__chunks_fini(&b.todo);
    return st;
}
