/* SPDX-License-Identifier: MIT */
/**
 * @file fs.c
 * Which file system is it?
 */
#include "fs.h"

#include <string.h>

static const struct fs_kind *kind_of(vm_blk *blk)
{
    /* ISO first: the others leave its place alone, but not the other way round. */
    static const struct fs_kind *const kinds[] = { &fs_iso, &fs_ext, &fs_fat };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i]->probe(blk))
            return kinds[i];
    return NULL;
}

/* What else people keep on disks, by its mark: so that the answer is a useful one. */
static const char *unknown_name(vm_blk *blk)
{
    static const struct {
        const char *name, *mark;
        size_t len;
        uint64_t off;
    } marks[] = {
        { "NTFS", "NTFS    ", 8, 3 },
        { "exFAT", "EXFAT   ", 8, 3 },
        { "XFS", "XFSB", 4, 0 },
        { "Btrfs", "_BHRfS_M", 8, 65600 },
        { "LUKS", "LUKS\xba\xbe", 6, 0 },
        { "an LVM physical volume", "LABELONE", 8, 512 },
        { "squashfs", "hsqs", 4, 0 },
        { "swap space", "SWAPSPACE2", 10, 4086 },
        { "F2FS", "\x10\x20\xf5\xf2", 4, 1024 },
    };
    char found[16];
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (vm_blk_read(blk, marks[i].off, found, marks[i].len) == VM_OK &&
            memcmp(found, marks[i].mark, marks[i].len) == 0)
            return marks[i].name;
    return NULL;
}

const char *fs_name(vm_blk *blk)
{
    const struct fs_kind *k = kind_of(blk);
    return k != NULL ? k->name : unknown_name(blk);
}

bool fs_open(struct fs *fs, vm_blk *blk, bool writable)
{
    *fs = (struct fs) { .kind = kind_of(blk), .blk = blk, .writable = writable };
    if (fs->kind == NULL) {
        const char *other = unknown_name(blk);
        if (other != NULL)
            say("there is %s, which cannot be looked into", other);
        else
            say("there is no file system that is known here (ext2/3/4, FAT, ISO 9660)");
        return false;
    }
    if (writable && fs->kind->put == NULL) {
        say("%s can only be read here", fs->kind->name);
        return false;
    }
    return fs->kind->open(fs) == 0;
}
