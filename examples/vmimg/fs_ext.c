/* SPDX-License-Identifier: MIT */
/**
 * @file fs_ext.c
 * ext2, ext3 and ext4, read and written, by libext2fs over an image (fs_ext_io.c).
 */
#include "fs_ext.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs.h"

enum { CHUNK = 64 << 10 };

static int fail(const char *what, errcode_t why)
{
    return say("%s: %s", what, error_message(why));
}

static bool ext_probe(vm_blk *blk)
{
    uint8_t magic[2];
    return vm_blk_read(blk, 1024 + 56, magic, 2) == VM_OK && magic[0] == 0x53 && magic[1] == 0xef;
}

static int ext_open(struct fs *fs)
{
    ext2_filsys e;
    const int flags = EXT2_FLAG_64BITS | (fs->writable ? EXT2_FLAG_RW : 0);
    ext_io_disk = fs->blk;
    initialize_ext2_error_table();
    errcode_t st = ext2fs_open("image", flags, 0, 0, ext_io_manager, &e);
    if (st != 0)
        return fail("ext", st);
    const bool dirty = ext2fs_has_feature_journal_needs_recovery(e->super);
    if (dirty && fs->writable) {
        ext2fs_close_free(&e);
        return say("the file system was not unmounted, so its journal comes first: start the "
                   "system it belongs to, or let e2fsck work on it in a mount");
    }
    if (dirty)
        warn("the file system was not unmounted: what its journal holds is not seen");
    if (fs->writable && (st = ext2fs_read_bitmaps(e)) != 0) {
        ext2fs_close_free(&e);
        return fail("ext", st);
    }
    fs->state = e;
    return 0;
}

static int ext_close(struct fs *fs)
{
    ext2_filsys e = fs->state;
    const errcode_t st = ext2fs_close_free(&e);
    if (st != 0)
        return fail("ext", st);
    return fs->writable && vm_blk_flush(fs->blk) != VM_OK ? say_last("%s", "") : 0;
}

static int find(struct fs *fs, const char *path, ext2_ino_t *ino, struct ext2_inode *inode)
{
    ext2_filsys e = fs->state;
    const char *name = *path != '\0' ? path : "/";
    errcode_t st = ext2fs_namei_follow(e, EXT2_ROOT_INO, EXT2_ROOT_INO, name, ino);
    if (st == EXT2_ET_FILE_NOT_FOUND)
        return say("%s: No such file or directory", name);
    if (st == 0)
        st = ext2fs_read_inode(e, *ino, inode);
    return st != 0 ? fail(name, st) : 0;
}

static struct fs_entry entry_of(const struct ext2_inode *inode)
{
    return (struct fs_entry) {
        .mode = inode->i_mode,
        .size = EXT2_I_SIZE(inode),
        .mtime = (int64_t)inode->i_mtime,
        .uid = inode_uid(*inode),
        .gid = inode_gid(*inode),
    };
}

static int ext_stat(struct fs *fs, const char *path, struct fs_entry *out)
{
    ext2_ino_t ino;
    struct ext2_inode inode;
    if (find(fs, path, &ino, &inode) != 0)
        return 1;
    *out = entry_of(&inode);
    return 0;
}

/* ---- folders ---------------------------------------------------------------------------- */

struct listing {
    ext2_filsys e;
    fs_list_fn fn;
    void *ud;
    uint32_t n;
    int st;
};

/* Where a link leads; short ones stand in the inode. */
static void link_target(ext2_filsys e, ext2_ino_t ino, struct ext2_inode *inode, char *to,
                        size_t room)
{
    ext2_file_t file;
    unsigned got = 0;
    const uint64_t size = EXT2_I_SIZE(inode);
    *to = '\0';
    if (size >= room)
        return;
    if (ext2fs_is_fast_symlink(inode)) {
        got = size < sizeof inode->i_block ? (unsigned)size : (unsigned)sizeof inode->i_block;
        memcpy(to, inode->i_block, got);
    } else if (ext2fs_file_open2(e, ino, inode, 0, &file) == 0) {
        if (ext2fs_file_read(file, to, (unsigned)size, &got) != 0)
            got = 0;
        ext2fs_file_close(file);
    }
    to[got] = '\0';
}

static int on_name(ext2_ino_t folder, int kind, struct ext2_dir_entry *d, int off, int blocksize,
                   char *buf, void *ud)
{
    struct listing *l = ud;
    struct ext2_inode inode;
    char name[EXT2_NAME_LEN + 1], target[FS_PATH_BYTES];
    const int len = ext2fs_dirent_name_len(d);
    (void)folder;
    (void)off;
    (void)blocksize;
    (void)buf;
    still_alive();
    if (kind != DIRENT_OTHER_FILE || ++l->n > FS_MAX_ENTRIES)
        return l->n > FS_MAX_ENTRIES ? DIRENT_ABORT : 0;
    memcpy(name, d->name, (size_t)len);
    name[len] = '\0';
    if (ext2fs_read_inode(l->e, d->inode, &inode) != 0) {
        warn("%s has no inode that can be read", name);
        return 0;
    }
    struct fs_entry e = entry_of(&inode);
    e.name = name;
    if (S_ISLNK(e.mode)) {
        link_target(l->e, d->inode, &inode, target, sizeof target);
        e.target = target;
    }
    l->st = l->fn(l->ud, &e);
    return l->st != 0 ? DIRENT_ABORT : 0;
}

static int ext_list(struct fs *fs, const char *path, fs_list_fn fn, void *ud)
{
    ext2_ino_t ino;
    struct ext2_inode inode;
    struct listing l = { .e = fs->state, .fn = fn, .ud = ud };
    if (find(fs, path, &ino, &inode) != 0)
        return 1;
    if (!LINUX_S_ISDIR(inode.i_mode))
        return say("%s is not a folder", path);
    const errcode_t st = ext2fs_dir_iterate2(fs->state, ino, 0, NULL, on_name, &l);
    return st != 0 ? fail(path, st) : l.st;
}

/* ---- files ------------------------------------------------------------------------------ */

static int ext_read(struct fs *fs, const char *path, fs_sink sink, void *ud)
{
    static char buf[CHUNK];
    ext2_ino_t ino;
    struct ext2_inode inode;
    ext2_file_t file;
    unsigned got = 0;
    int failed = 0;
    if (find(fs, path, &ino, &inode) != 0)
        return 1;
    if (!LINUX_S_ISREG(inode.i_mode))
        return say("%s is not a file", *path != '\0' ? path : "/");
    errcode_t st = ext2fs_file_open2(fs->state, ino, &inode, 0, &file);
    if (st != 0)
        return fail(path, st);
    do {
        st = ext2fs_file_read(file, buf, sizeof buf, &got);
        if (st == 0 && got != 0)
            failed = sink(ud, buf, got);
        still_alive();
    } while (st == 0 && got != 0 && failed == 0);
    ext2fs_file_close(file);
    return st != 0 ? fail(path, st) : failed;
}

static errcode_t write_all(ext2_filsys e, ext2_ino_t ino, fs_fill fill, void *ud, int *failed)
{
    static char buf[CHUNK];
    ext2_file_t file;
    ssize_t n;
    errcode_t st = ext2fs_file_open(e, ino, EXT2_FILE_WRITE, &file);
    if (st != 0)
        return st;
    st = ext2fs_file_set_size2(file, 0);
    while (st == 0 && (n = fill(ud, buf, sizeof buf)) > 0) {
        unsigned at = 0, done = 0;
        for (; st == 0 && at < (unsigned)n; at += done)
            st = ext2fs_file_write(file, buf + at, (unsigned)n - at, &done);
        still_alive();
    }
    *failed = st == 0 && n < 0;
    const errcode_t last_st = ext2fs_file_close(file);
    return st != 0 ? st : last_st;
}

/* An empty file of this name in the folder. */
static errcode_t make(ext2_filsys e, ext2_ino_t folder, const char *name, ext2_ino_t *ino)
{
    struct ext2_inode inode;
    ext2_extent_handle_t extents;
    errcode_t st = ext2fs_new_inode(e, folder, LINUX_S_IFREG | 0644, 0, ino);
    if (st == 0)
        st = ext2fs_link(e, folder, name, *ino, EXT2_FT_REG_FILE);
    if (st == EXT2_ET_DIR_NO_SPACE && (st = ext2fs_expand_dir(e, folder)) == 0)
        st = ext2fs_link(e, folder, name, *ino, EXT2_FT_REG_FILE);
    if (st != 0)
        return st;
    ext2fs_inode_alloc_stats2(e, *ino, +1, 0);
    memset(&inode, 0, sizeof inode);
    inode.i_mode = LINUX_S_IFREG | 0644;
    inode.i_links_count = 1;
    if (ext2fs_has_feature_extents(e->super)) {
        inode.i_flags |= EXT4_EXTENTS_FL;
        st = ext2fs_write_new_inode(e, *ino, &inode);
        if (st == 0 && (st = ext2fs_extent_open2(e, *ino, &inode, &extents)) == 0)
            ext2fs_extent_free(extents);
    }
    return st == 0 ? ext2fs_write_new_inode(e, *ino, &inode) : st;
}

static errcode_t describe(ext2_filsys e, ext2_ino_t ino, const struct fs_entry *x)
{
    struct ext2_inode inode;
    errcode_t st = ext2fs_read_inode(e, ino, &inode);
    if (st != 0)
        return st;
    inode.i_mode = (uint16_t)(LINUX_S_IFREG | (x->mode & 07777));
    inode.i_mtime = (uint32_t)x->mtime;
    inode.i_atime = inode.i_ctime = (uint32_t)time(NULL);
    return ext2fs_write_inode(e, ino, &inode);
}

static int ext_put(struct fs *fs, const char *path, const struct fs_entry *x, fs_fill fill,
                   void *ud)
{
    ext2_filsys e = fs->state;
    char folder[FS_PATH_BYTES];
    ext2_ino_t parent, ino;
    struct ext2_inode inode;
    int failed = 0;
    const char *name = strrchr(path, '/') + 1;
    snprintf(folder, sizeof folder, "%.*s", (int)(name - 1 - path), path);
    if (find(fs, folder, &parent, &inode) != 0)
        return 1;
    if (!LINUX_S_ISDIR(inode.i_mode))
        return say("%s is not a folder", folder);
    errcode_t st = ext2fs_namei(e, EXT2_ROOT_INO, parent, name, &ino);
    const bool fresh = st == EXT2_ET_FILE_NOT_FOUND;
    if (fresh)
        st = make(e, parent, name, &ino);
    else if (st == 0 && (st = ext2fs_read_inode(e, ino, &inode)) == 0 &&
             !LINUX_S_ISREG(inode.i_mode))
        return say("%s is not a file", path);
    if (st == 0)
        st = write_all(e, ino, fill, ud, &failed);
    if (st == 0 && failed == 0)
        st = describe(e, ino, x);
    return st != 0 ? fail(path, st) : failed;
}

const struct fs_kind fs_ext = {
    .name = "ext2/3/4",
    .probe = ext_probe,
    .open = ext_open,
    .close = ext_close,
    .stat = ext_stat,
    .list = ext_list,
    .read = ext_read,
    .put = ext_put,
};
