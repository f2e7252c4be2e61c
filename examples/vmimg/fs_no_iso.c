/* SPDX-License-Identifier: MIT */
/**
 * @file fs_no_iso.c
 * Built without libarchive.
 */
#include <string.h>

#include "fs.h"

static bool probe(vm_blk *blk)
{
    char mark[5];
    return vm_blk_read(blk, 0x8001, mark, sizeof mark) == VM_OK && memcmp(mark, "CD001", 5) == 0;
}

static int refuse(struct fs *fs)
{
    (void)fs;
    return say("there is ISO 9660, and this vmimg was built without libarchive");
}

const struct fs_kind fs_iso = { .name = "ISO 9660", .probe = probe, .open = refuse };
