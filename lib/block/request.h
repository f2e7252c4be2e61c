/* SPDX-License-Identifier: MIT */
/**
 * @file request.h
 * Requests that complete later: what devices, exports and jobs submit to a node.
 *
 * A request is served at once on the caller's thread if nothing in its way has to wait (the bytes
 * are in the page cache: VM_IO_NOWAIT all the way down); else a worker of the pool does it. Either
 * way done() comes once, later than submit() returns: on the loop's thread under the loop owner's
 * lock, or, without a loop, on the worker's (then it may come before submit() returns).
 */
#ifndef LIBVM_BLOCK_REQUEST_H
#define LIBVM_BLOCK_REQUEST_H

#include "block/node.h"
#include "host/loop.h"

enum vm_io_op { VM_IO_READ = 0, VM_IO_WRITE, VM_IO_FLUSH, VM_IO_DISCARD, VM_IO_ZERO, VM_IO_OPS };

/** Embedded in its owner; must stay where it is until done(). */
struct vm_blk_req {
    struct vm_blk *node;
    uint32_t op;    /**< enum vm_io_op */
    uint32_t flags; /**< enum vm_io_flags */
    uint64_t off, len;
    struct vm_sg sg; /**< the vectors must stay, too */
    void (*done)(struct vm_blk_req *r);
    void *opaque;
    int status; /**< VM_OK or VM_E_*; os_errno has the host's */
    int os_errno;

    /* The layer's. */
    struct vm_loop *loop;
    struct vm_work work;
    struct vm_blk_req *next;
    bool finished; /**< only done() is missing; under the pool's lock */
};

/** Count a request of a user, for statistics. */
void vm__blk_count(struct vm_blk *n, uint32_t op, uint64_t bytes, int status);

/** Carry it out here and now, waiting; done() is not called. @return its status */
int vm__blk_run(struct vm_blk_req *r);

/** Start @p r. @p loop may be NULL. Never fails: errors arrive in done(). */
void vm__blk_submit(struct vm_blk_req *r, struct vm_loop *loop);
/** Wait for it and call done() here and now. Under the lock of the loop's owner, which stays held.
 */
void vm__blk_finish(struct vm_blk_req *r);

#endif
