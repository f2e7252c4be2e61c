/* SPDX-License-Identifier: MIT */
/**
 * @file fs.h
 * File systems inside images, as `ls`, `cat` and `cp` need them.
 *
 * A kind of file system is a struct fs_kind: fs_ext.c (ext2, ext3 and ext4 by libext2fs), fs_iso.c
 * (ISO 9660 by libarchive), fs_fat.c (FAT12, FAT16 and FAT32, of our own, read only). Paths are
 * absolute, without a slash at the end and with no empty parts; the root is "". Calls return 0, or
 * 1 when it has been said what is wrong.
 */
#ifndef VMIMG_FS_H
#define VMIMG_FS_H

#include <sys/types.h>

#include "vmimg.h"

enum { FS_PATH_BYTES = 4096, FS_MAX_ENTRIES = 1 << 20 };

/** Something with a name. */
struct fs_entry {
    const char *name;   /**< valid during the call that tells of it */
    const char *target; /**< of a symbolic link; else NULL */
    mode_t mode;        /**< type and permissions */
    uint64_t size;
    int64_t mtime;
    uint32_t uid, gid;
};
typedef int (*fs_list_fn)(void *ud, const struct fs_entry *e);
/** Bytes of a file, front to back; non-zero ends it and is returned. */
typedef int (*fs_sink)(void *ud, const void *buf, size_t len);
/** The next bytes of a file that is put in: how many, 0 at its end, negative: failed, was said. */
typedef ssize_t (*fs_fill)(void *ud, void *buf, size_t len);

struct fs {
    const struct fs_kind *kind;
    vm_blk *blk;
    void *state;
    bool writable;
};

struct fs_kind {
    const char *name;
    bool (*probe)(vm_blk *blk);
    int (*open)(struct fs *fs);
    /** Also writes out; fails if that does. */
    int (*close)(struct fs *fs);
    /** Follows links. @p e: without texts. */
    int (*stat)(struct fs *fs, const char *path, struct fs_entry *e);
    int (*list)(struct fs *fs, const char *path, fs_list_fn fn, void *ud);
    int (*read)(struct fs *fs, const char *path, fs_sink sink, void *ud);
    /** Make or overwrite a file. NULL: read only. */
    int (*put)(struct fs *fs, const char *path, const struct fs_entry *e, fs_fill fill, void *ud);
};

extern const struct fs_kind fs_ext, fs_fat, fs_iso;

/** Which one it is; says so if it is none that is known here. */
bool fs_open(struct fs *fs, vm_blk *blk, bool writable);
/** The name of the kind, or NULL. */
const char *fs_name(vm_blk *blk);

/** Do it in a child process with limits on memory, and on work from which nothing comes (guard.c).
 *  @return its exit code; 1 when it ended otherwise, which has been said */
int guarded(int (*work)(void *ud), void *ud);
/** Something came of it. */
void still_alive(void);

#endif
