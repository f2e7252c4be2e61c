/* SPDX-License-Identifier: MIT */
/**
 * @file request.c
 * Requests that complete later: at once if nothing has to wait, else on a worker.
 */
#include "block/request.h"

#include "base/error.h"
#include "block/env_impl.h"

static int carry_out(struct vm_blk_req *r, uint32_t more)
{
    const uint32_t flags = r->flags | more;
    switch ((enum vm_io_op)r->op) {
    case VM_IO_READ:
        return vm__blk_readv(r->node, r->off, (size_t)r->len, r->sg, flags);
    case VM_IO_WRITE:
        return vm__blk_writev(r->node, r->off, (size_t)r->len, r->sg, flags);
    case VM_IO_FLUSH:
        return vm__blk_flush(r->node, flags);
    case VM_IO_DISCARD:
        return vm__blk_discard(r->node, r->off, r->len, flags);
    case VM_IO_ZERO:
        return vm__blk_zero(r->node, r->off, r->len, flags);
    case VM_IO_OPS:
        break;
    }
    return vm__fail(VM_E_INVAL, "there is no operation %u", r->op);
}

void vm__blk_count(struct vm_blk *n, uint32_t op, uint64_t bytes, int status)
{
    if (op >= VM_IO_OPS)
        return;
    if (status != VM_OK) {
        atomic_fetch_add_explicit(&n->errors[op], 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&n->ops[op], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&n->bytes[op], bytes, memory_order_relaxed);
}

/* On the loop's thread, under its owner's lock. */
static void on_loop(void *opaque)
{
    struct vm_blk_req *r = opaque;
    struct vm_pool *pool = vm__env_pool(r->node->env);
    vm__pool_lock(pool); /* the worker has let go of it */
    vm__pool_unlock(pool);
    r->done(r);
}

static void complete(struct vm_blk_req *r, int status)
{
    struct vm_blk *n = r->node;
    r->status = status;
    r->os_errno = status == VM_OK ? 0 : vm_last_error()->os_errno;
    vm__blk_count(n, r->op, r->len, status);
    vm__blk_io_end(n);
    if (r->loop == NULL) {
        r->done(r);
        return;
    }
    struct vm_pool *pool = vm__env_pool(n->env);
    vm__pool_lock(pool);
    r->finished = true;
    r->work = (struct vm_work) { .fn = on_loop, .opaque = r };
    vm__loop_post(r->loop, &r->work);
    vm__pool_wake_all(pool);
    vm__pool_unlock(pool);
}

static void on_worker(void *opaque)
{
    struct vm_blk_req *r = opaque;
    complete(r, carry_out(r, 0));
}

static void start(struct vm_blk_req *r)
{
    const int st = carry_out(r, VM_IO_NOWAIT);
    if (st != VM_E_AGAIN) {
        complete(r, st);
        return;
    }
    r->work = (struct vm_work) { .fn = on_worker, .opaque = r };
    vm__pool_add(vm__env_pool(r->node->env), &r->work);
}

int vm__blk_run(struct vm_blk_req *r)
{
    vm__blk_io_begin(r->node);
    r->status = carry_out(r, 0);
    vm__blk_count(r->node, r->op, r->len, r->status);
    vm__blk_io_end(r->node);
    return r->status;
}

/* The node is drained: leave the request there. False: not any more. */
static bool park(struct vm_blk_req *r)
{
    struct vm_blk *n = r->node;
    pthread_mutex_lock(&n->env->lock);
    const bool drained = atomic_load(&n->drained) != 0;
    if (drained) {
        r->next = n->parked;
        n->parked = r;
    }
    pthread_mutex_unlock(&n->env->lock);
    return drained;
}

void vm__blk_submit(struct vm_blk_req *r, struct vm_loop *loop)
{
    r->loop = loop;
    r->finished = false;
    r->status = VM_OK;
    r->os_errno = 0;
    while (!vm__blk_io_try(r->node))
        if (park(r))
            return;
    start(r);
}

void vm__blk_restart(struct vm_blk_req *list)
{
    struct vm_blk_req *oldest = NULL;
    while (list != NULL) { /* they were kept newest first */
        struct vm_blk_req *next = list->next;
        list->next = oldest;
        oldest = list;
        list = next;
    }
    while (oldest != NULL) {
        struct vm_blk_req *next = oldest->next;
        vm__blk_submit(oldest, oldest->loop);
        oldest = next;
    }
}

void vm__blk_finish(struct vm_blk_req *r)
{
    struct vm_pool *pool = vm__env_pool(r->node->env);
    vm__pool_lock(pool);
    while (!r->finished)
        vm__pool_wait(pool);
    vm__pool_unlock(pool);
    vm__loop_cancel(r->loop, &r->work);
    r->done(r);
}
