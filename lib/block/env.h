/* SPDX-License-Identifier: MIT */
/**
 * @file env.h
 * What block nodes of one context share: drivers, open policy, secrets, workers, node names.
 *
 * Opening, creating and looking up are here; see node.h for what a node is. A context makes its
 * environment at first use (vm__ctx_block()). All calls are [any] thread.
 */
#ifndef LIBVM_BLOCK_ENV_H
#define LIBVM_BLOCK_ENV_H

#include <libvm/config.h>

#include "block/node.h"
#include "host/loop.h"

struct vm_ctx;
struct vm_pool;

struct vm_blk_env *vm__ctx_block(struct vm_ctx *ctx);

/**
 * Open an image.
 *
 * @param name    file name, "json:{…}", or a protocol's ("nbd://…"); NULL: all is in @p o
 * @param format  driver name; NULL: @p o has "driver", or VM_OPEN_PROBE is set
 * @param o       options, used up; may be NULL; freed by the caller
 * @return NULL with "Could not open 'NAME': …"
 */
struct vm_blk *vm__blk_open(struct vm_blk_env *env, const char *name, const char *format,
                            struct vm_blk_options *o, uint32_t flags);
/** For drivers: open a further file that the image names, relative to the image, by the policy. */
struct vm_blk *vm__blk_open_child(struct vm_blk *n, const char *name, const char *format,
                                  struct vm_blk_options *o, uint32_t flags, int why);
/** The open policy: a descriptor for @p path (@p why: VM_WHY_*), or negative with the reason alone
 *  as its error. Only protocols call it. */
int vm__env_open_file(struct vm_blk_env *env, const char *path, int host_flags, int why);
/** The open policy for servers: with one for files, only what the caller named may be connected to.
 *  @retval VM_E_PERM an image names it */
int vm__env_may_connect(struct vm_blk_env *env, const char *name, int why);
/** @p name as seen from the directory of @p base; names with a protocol, or absolute, as they are.
 */
char *vm__blk_relative(const char *base, const char *name);

/** What create gets: checked options with defaults, and the file to fill. */
struct vm_blk_create {
    const char *name; /**< of the new image */
    uint64_t size;
    const char *backing_name, *backing_format; /**< NULL: none */
    struct vm_blk_options *options;            /**< the driver's create_options only, checked */
    struct vm_blk *file; /**< after vm__create_file(): the new, empty file, open for writing */

    /* The layer's. */
    struct vm_blk_env *env;
    struct vm_blk_options *file_options; /**< what is left for the protocol */
    bool made;                           /**< the file was not there before */
};
/** For create() of a format, once everything it was given has been found good: make c->file.
 *  Before that no file has been touched. */
int vm__create_file(struct vm_blk_create *c);
/** For create(): a further file of the image, named as in it, made and opened for writing. */
struct vm_blk *vm__create_extra(struct vm_blk_create *c, const char *name);

/** Options are checked before a file is touched; a failure leaves no half-made new file behind. */
int vm__blk_create(struct vm_blk_env *env, const char *format, const char *name, uint64_t size,
                   struct vm_blk_options *o);

const struct vm_blk_driver *vm__blk_driver(struct vm_blk_env *env, const char *name);
const struct vm_blk_driver *const *vm__blk_drivers(struct vm_blk_env *env); /**< NULL-ended */
/** An open node by node name; a new reference, or NULL. */
struct vm_blk *vm__blk_find(struct vm_blk_env *env, const char *node_name);

/** For drivers: the node that an option of @p n refers to; a new reference, or NULL with the error
 *  set. Only what the caller of the layer wrote may refer to nodes: an image that is made to do so
 *  would reach the disks of others. */
struct vm_blk *vm__blk_refer(struct vm_blk_env *env, int why, const char *node_name);

/** `--object secret`: keys by id. get() copies; @p len in: room, out: bytes. */
int vm__secret_add(struct vm_blk_env *env, const char *id, const void *data, size_t len);
int vm__secret_get(struct vm_blk_env *env, const char *id, void *data, size_t *len);

/** The driver whose probe() is surest of these bytes; raw if none is. */
const struct vm_blk_driver *vm__blk_probe(struct vm_blk_env *env, const uint8_t *head, size_t len,
                                          uint64_t size, const char *name);

/** Worker threads, made when first needed, as many as useful. */
struct vm_pool *vm__env_pool(struct vm_blk_env *env);
uint32_t vm__pool_width(const struct vm_pool *pool);
/** Have work->fn(work->opaque) called on a worker; @p work must stay where it is until then. */
void vm__pool_add(struct vm_pool *pool, struct vm_work *work);
/** Run fn(ud, i) for i in 0…n-1 on the pool and here; returns when all are done: the first failure.
 */
int vm__pool_for(struct vm_pool *pool, uint32_t n, int (*fn)(void *ud, uint32_t i), void *ud);

#endif
