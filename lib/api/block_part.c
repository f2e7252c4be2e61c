/* SPDX-License-Identifier: MIT */
/**
 * @file block_part.c
 * Exported: partitions and logical volumes.
 */
#include <libvm/block.h>

#include <stdlib.h>

#include "base/error.h"
#include "block/part.h"
#include "blockfmt/lvm.h"

static int tell(const struct vm_part_table *t, vm_part_fn fn, void *ud)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const struct vm_part *p = &t->parts[i];
        const vm_part_row row = {
            .size = sizeof row,
            .index = p->index,
            .off = p->off,
            .len = p->len,
            .bootable = p->bootable,
            .scheme = t->scheme,
            .type = p->type,
            .label = p->label,
            .uuid = p->uuid,
        };
        const int st = fn(ud, &row);
        if (st != 0)
            return st;
    }
    return VM_OK;
}

int vm_part_list(vm_blk *disk, vm_part_fn fn, void *ud)
{
    if (disk == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no disk or no function");
    struct vm_part_table *t = malloc(sizeof *t);
    if (t == NULL)
        return vm__fail_nomem(sizeof *t);
    int st = vm__part_read(disk, t);
    if (st == VM_OK)
        st = tell(t, fn, ud);
    free(t);
    return st;
}

vm_blk *vm_part_open(vm_blk *disk, uint32_t index, uint32_t flags)
{
    if (disk == NULL) {
        vm__fail(VM_E_INVAL, "no disk");
        return NULL;
    }
    return vm__part_open(disk, index, flags);
}

int vm_volume_list(vm_blk *pv, vm_volume_fn fn, void *ud)
{
    if (pv == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no disk or no function");
    return vm__lvm_list(pv, fn, ud);
}

vm_blk *vm_volume_open(vm_blk **pvs, uint32_t n_pvs, const char *name, uint32_t flags)
{
    if (pvs == NULL || n_pvs == 0 || name == NULL) {
        vm__fail(VM_E_INVAL, "no physical volumes or no name");
        return NULL;
    }
    for (uint32_t i = 0; i < n_pvs; i++)
        if (pvs[i] == NULL) {
            vm__fail(VM_E_INVAL, "physical volume %u is none", i);
            return NULL;
        }
    return vm__lvm_open(pvs, n_pvs, name, flags);
}
