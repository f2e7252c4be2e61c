/* SPDX-License-Identifier: MIT */
/**
 * @file fs_no_ext.c
 * Built without libext2fs.
 */
#include "fs.h"

static bool probe(vm_blk *blk)
{
    unsigned char magic[2];
    return vm_blk_read(blk, 1024 + 56, magic, 2) == VM_OK && magic[0] == 0x53 && magic[1] == 0xef;
}

static int refuse(struct fs *fs)
{
    (void)fs;
    return say("there is ext2/3/4, and this vmimg was built without libext2fs");
}

const struct fs_kind fs_ext = { .name = "ext2/3/4", .probe = probe, .open = refuse };
