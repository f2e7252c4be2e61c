/* SPDX-License-Identifier: MIT */
/**
 * @file fuse.h
 * Images as files in a folder of the host, by FUSE.
 *
 * A mount is filled with files ("disk", "p1", "vg/root"), then mounted; requests of the kernel are
 * served by a few threads of its own, each waiting for the image it asks. fuse.c is its life,
 * fuse_ops.c what the kernel asks, fuse_tree.c the names; without libfuse no_fuse.c says so.
 */
#ifndef LIBVM_BACKENDS_FUSE_H
#define LIBVM_BACKENDS_FUSE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/node.h"

struct fuse_session;
struct vm_ctx;

enum { VM_FUSE_THREADS = 8, VM_FUSE_MAX_FILES = 1024, VM_FUSE_NAME_BYTES = 256 };

/** A file or a folder; its inode is its place in the table plus one. */
struct vm_fuse_file {
    char name[VM_FUSE_NAME_BYTES];
    uint32_t parent;
    struct vm_blk *node; /**< a reference of its own; NULL: a folder */
    bool writable;
    _Atomic uint64_t blocks;       /**< of 512 bytes that it takes, plus one; 0: not known yet */
    _Atomic uint64_t blocks_until; /**< host time at which that is to be looked at again */
};

struct vm_fuse {
    struct vm_ctx *ctx;
    struct vm_fuse_file files[VM_FUSE_MAX_FILES]; /**< the first is the root */
    uint32_t n_files;
    bool writable; /**< any of them */
    uint64_t time_s;
    uint32_t uid, gid;

    struct fuse_session *session; /**< NULL: not mounted */
    pthread_t threads[VM_FUSE_THREADS];
    uint32_t n_threads;
    _Atomic uint32_t n_running;
    int notify; /**< readable when it is not mounted any more */
};

struct vm_fuse *vm__fuse_new(struct vm_ctx *ctx);
/** @p path: "name" or "folder/name". */
int vm__fuse_add(struct vm_fuse *f, const char *path, struct vm_blk *node, bool writable);
/** Only once. @p source: what the host's list of mounts shows. */
int vm__fuse_mount(struct vm_fuse *f, const char *folder, const char *source, bool allow_other);
void vm__fuse_free(struct vm_fuse *f);

/* fuse_tree.c */
/** The entry of a folder, or 0 (the root itself is in none). */
uint32_t vm__fuse_find(const struct vm_fuse *f, uint32_t parent, const char *name);
int vm__fuse_enter(struct vm_fuse *f, const char *path, struct vm_blk *node, bool writable);

/* fuse_ops.c */
struct fuse_lowlevel_ops;
extern const struct fuse_lowlevel_ops vm__fuse_ops;

#endif
