/* SPDX-License-Identifier: MIT */
/**
 * @file inside.h
 * What lies in a disk: partitions and logical volumes, and finding one by name.
 */
#ifndef VMIMG_INSIDE_H
#define VMIMG_INSIDE_H

#include "vmimg.h"

enum { MAX_PIECES = 512 };

/** A disk taken apart. */
struct inside {
    vm_blk *disk;
    uint32_t flags;
    struct piece {
        char name[256]; /**< "p1", "vg/root" */
        vm_blk *blk;
    } pieces[MAX_PIECES];
    int n;
};

/** Open all of it; @p disk stays the caller's. What cannot be opened is warned of and left out.
 *  False: the disk's table cannot be trusted, which has been said. */
bool inside_open(struct inside *in, vm_blk *disk, uint32_t flags);
void inside_close(struct inside *in);
/** "1" or "p1", "VG/LV"; "" is the disk itself. NULL: not there. */
vm_blk *inside_find(const struct inside *in, const char *name);

#endif
