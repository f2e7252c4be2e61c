/* SPDX-License-Identifier: MIT */
/**
 * @file fuse_tree.c
 * Names of a mount: files, and folders one deep.
 */
#include <string.h>

#include "backends/fuse.h"
#include "base/error.h"

uint32_t vm__fuse_find(const struct vm_fuse *f, uint32_t parent, const char *name)
{
    for (uint32_t i = 1; i < f->n_files; i++)
        if (f->files[i].parent == parent && strcmp(f->files[i].name, name) == 0)
            return i;
    return 0;
}

static int enter_one(struct vm_fuse *f, uint32_t parent, const char *name, size_t len,
                     struct vm_blk *node, bool writable)
{
    if (len == 0 || len >= VM_FUSE_NAME_BYTES || memchr(name, '/', len) != NULL ||
        (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))))
        return vm__fail(VM_E_INVAL, "'%.60s' is no name for a file", name);
    if (f->n_files == VM_FUSE_MAX_FILES)
        return vm__fail(VM_E_RANGE, "more than %d files", VM_FUSE_MAX_FILES);
    struct vm_fuse_file *file = &f->files[f->n_files];
    memcpy(file->name, name, len);
    file->name[len] = '\0';
    if (vm__fuse_find(f, parent, file->name) != 0)
        return vm__fail(VM_E_BUSY, "there is a file named '%.60s'", file->name);
    file->parent = parent;
    file->node = node != NULL ? vm__blk_ref(node) : NULL;
    file->writable = writable;
    f->writable = f->writable || writable;
    f->n_files++;
    return VM_OK;
}

int vm__fuse_enter(struct vm_fuse *f, const char *path, struct vm_blk *node, bool writable)
{
    char folder[VM_FUSE_NAME_BYTES];
    const char *slash = strchr(path, '/');
    uint32_t parent = 0;
    if (slash != NULL) {
        const size_t len = (size_t)(slash - path);
        if (len >= sizeof folder)
            return vm__fail(VM_E_INVAL, "the name of a folder is too long");
        memcpy(folder, path, len);
        folder[len] = '\0';
        parent = vm__fuse_find(f, 0, folder);
        if (parent != 0 && f->files[parent].node != NULL)
            return vm__fail(VM_E_BUSY, "'%.60s' is a file, not a folder", folder);
        if (parent == 0) {
            const int st = enter_one(f, 0, folder, len, NULL, false);
            if (st != VM_OK)
                return st;
            parent = f->n_files - 1;
        }
        path = slash + 1;
    }
    return enter_one(f, parent, path, strlen(path), node, writable);
}
