/* SPDX-License-Identifier: MIT */
/**
 * @file no_fuse.c
 * Built without libfuse: there are no mounts.
 */
#include "backends/fuse.h"
#include "base/error.h"

struct vm_fuse *vm__fuse_new(struct vm_ctx *ctx)
{
    (void)ctx;
    vm__fail(VM_E_NOTSUP, "this libvm was built without libfuse");
    return NULL;
}

int vm__fuse_add(struct vm_fuse *f, const char *path, struct vm_blk *node, bool writable)
{
    (void)f;
    (void)path;
    (void)node;
    (void)writable;
    return VM_E_NOTSUP;
}

int vm__fuse_mount(struct vm_fuse *f, const char *folder, const char *source, bool allow_other)
{
    (void)f;
    (void)folder;
    (void)source;
    (void)allow_other;
    return VM_E_NOTSUP;
}

void vm__fuse_free(struct vm_fuse *f)
{
    (void)f;
}
