/* SPDX-License-Identifier: MIT */
/**
 * @file env_impl.h
 * The environment as lib/block sees it.
 *
 * Lock order: a driver's own locks, then the environment's; the pool's is a leaf. Nothing of a
 * driver is called with the environment's lock held.
 */
#ifndef LIBVM_BLOCK_ENV_IMPL_H
#define LIBVM_BLOCK_ENV_IMPL_H

#include <pthread.h>

#include "block/env.h"
#include "block/options.h"

struct vm_secret {
    char *id;
    uint8_t *data;
    size_t len;
    struct vm_secret *next;
};

struct vm_blk_env {
    struct vm_ctx *ctx;
    pthread_mutex_t lock;
    pthread_cond_t idle;  /**< some node's in_flight fell to 0, or a drain ended */
    struct vm_blk *nodes; /**< all, newest first */
    uint64_t named;       /**< node names made up so far */
    struct vm_secret *secrets;
    struct vm_pool *pool;
};

struct vm_pool *vm__pool_new(void);
void vm__pool_free(struct vm_pool *pool);
/** For completing requests: held while one is marked finished and handed over. */
void vm__pool_lock(struct vm_pool *pool);
void vm__pool_unlock(struct vm_pool *pool);
void vm__pool_wait(struct vm_pool *pool);
void vm__pool_wake_all(struct vm_pool *pool);

/** A fresh node: referenced once, known to the environment. */
struct vm_blk *vm__blk_new(struct vm_blk_env *env, const struct vm_blk_driver *drv);
/** Give it the name asked for, or one made up. @retval VM_E_BUSY it is taken */
int vm__blk_set_node_name(struct vm_blk *n, const char *name);

/** The driver a file name asks for by "name:", NULL for plain file names; sets the error and
 *  *@p bad if there is no such protocol. */
const struct vm_blk_driver *vm__blk_protocol(struct vm_blk_env *env, const char *name, bool *bad);

/** Start requests that waited for the end of a drain. request.c */
void vm__blk_restart(struct vm_blk_req *list);

#endif
