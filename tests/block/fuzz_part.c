/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_part.c
 * Fuzz target: bytes of a disk that are said to be a partition table or an LVM2 physical volume.
 */
#include <stdlib.h>
#include <string.h>

#include "block/part.h"
#include "blockfmt/lvm.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_one(void *ud, const char *name, uint64_t bytes)
{
    struct vm_blk *pv = ud;
    struct vm_blk *lv = vm__lvm_open(&pv, 1, name, 0);
    (void)bytes;
    if (lv != NULL && vm__blk_size(lv) != 0)
        (void)blk_is(lv, vm__blk_size(lv) - 1, 1, 0);
    vm__blk_unref(lv);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct blk_place p;
    static struct vm_part_table t;
    if (p.ctx == NULL)
        blk_init(&p);
    struct vm_blk *disk = blk_memory(&p, 1 << 20, NULL);
    if (disk == NULL || size > (1 << 20))
        return 0;
    if (size != 0)
        (void)vm__blk_write(disk, 0, data, size);
    if (vm__part_read(disk, &t) == VM_OK)
        for (uint32_t i = 0; i < t.n; i++) {
            struct vm_blk *part = vm__part_open(disk, t.parts[i].index, 0);
            if (part != NULL && vm__blk_size(part) != 0)
                (void)blk_is(part, vm__blk_size(part) - 1, 1, 0);
            vm__blk_unref(part);
        }
    (void)vm__lvm_list(disk, open_one, disk);
    vm__blk_unref(disk);
    return 0;
}
