/* SPDX-License-Identifier: MIT */
/**
 * @file fuse_ops.c
 * What the kernel asks of a mount.
 *
 * Files have the size of their image, which does not change from here. Where a mount may be written
 * the host keeps no copy of bytes: partitions are part of the disk beside them, and what is written
 * to one file is to be seen in the other.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backends/fuse.h"
#include "base/checked.h"
#include "base/error.h"
#include "block/image.h"
#include "block/request.h"
#include "host/time.h"

enum {
    SECTOR = 512,
    BLOCK = 4096,
    MAX_IO = 1 << 20,
    MAX_ROWS = 1 << 16, /* of a map that is counted for st_blocks */
};
#define REMEMBER_S 1.0
#define BLOCKS_NS  UINT64_C(5000000000)
static const char pid_name[] = "user.vmimg.pid";

static struct vm_fuse *the_mount(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* NULL: there is none; it has been answered. */
static struct vm_fuse_file *the_file(fuse_req_t req, fuse_ino_t ino)
{
    struct vm_fuse *f = the_mount(req);
    if (ino >= 1 && ino <= f->n_files)
        return &f->files[ino - 1];
    fuse_reply_err(req, ENOENT);
    return NULL;
}

static int host_errno(int status)
{
    const int os = vm_last_error()->os_errno;
    if (os != 0)
        return os;
    switch (status) {
    case VM_E_PERM:
        return EPERM;
    case VM_E_NOMEM:
        return ENOMEM;
    case VM_E_NOSPC:
        return ENOSPC;
    case VM_E_NOTSUP:
        return EOPNOTSUPP;
    case VM_E_RANGE:
    case VM_E_INVAL:
        return EINVAL;
    default:
        return EIO;
    }
}

static void reply_status(fuse_req_t req, int status)
{
    fuse_reply_err(req, status == VM_OK ? 0 : host_errno(status));
}

/* ---- attributes ------------------------------------------------------------------------- */

struct counting {
    uint64_t bytes;
    uint32_t rows;
};

static int count_row(void *ud, const struct vm_blk_row *row)
{
    struct counting *c = ud;
    if (row->flags & VM_EXTENT_DATA)
        c->bytes += row->length;
    return ++c->rows == MAX_ROWS;
}

/* Blocks that hold data. An image in very many pieces counts as full: nobody waits for ls. */
static uint64_t blocks_of(struct vm_fuse_file *file)
{
    const uint64_t size = vm__blk_size(file->node), now = vm__host_ns();
    uint64_t blocks = atomic_load(&file->blocks);
    if (blocks != 0 && (!file->writable || now < atomic_load(&file->blocks_until)))
        return blocks - 1;
    struct counting c = { 0 };
    if (vm__blk_map(file->node, 0, size, count_row, &c) != VM_OK)
        c.bytes = size;
    blocks = (c.bytes + SECTOR - 1) / SECTOR;
    atomic_store(&file->blocks_until, now + BLOCKS_NS);
    atomic_store(&file->blocks, blocks + 1);
    return blocks;
}

static void describe(const struct vm_fuse *f, struct vm_fuse_file *file, fuse_ino_t ino,
                     struct stat *s)
{
    memset(s, 0, sizeof *s);
    s->st_ino = ino;
    s->st_uid = f->uid;
    s->st_gid = f->gid;
    s->st_atime = s->st_mtime = s->st_ctime = (time_t)f->time_s;
    s->st_blksize = BLOCK;
    s->st_nlink = file->node != NULL ? 1 : 2;
    if (file->node == NULL) {
        s->st_mode = S_IFDIR | 0500;
        return;
    }
    s->st_mode = S_IFREG | (file->writable ? 0600 : 0400);
    s->st_size = (off_t)vm__blk_size(file->node);
    s->st_blocks = (blkcnt_t)blocks_of(file);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat s;
    struct vm_fuse_file *file = the_file(req, ino);
    (void)fi;
    if (file == NULL)
        return;
    describe(the_mount(req), file, ino, &s);
    fuse_reply_attr(req, &s, REMEMBER_S);
}

/* Times and owners stay; a size is taken if it is the one there is, or none: programs that write
 * files begin by emptying them. */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *to, int what,
                       struct fuse_file_info *fi)
{
    struct vm_fuse_file *file = the_file(req, ino);
    if (file == NULL)
        return;
    const bool sized = what & FUSE_SET_ATTR_SIZE && file->node != NULL;
    if (sized && (uint64_t)to->st_size != vm__blk_size(file->node) && to->st_size != 0)
        fuse_reply_err(req, EPERM);
    else
        op_getattr(req, ino, fi);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct vm_fuse *f = the_mount(req);
    const uint32_t i =
        parent >= 1 && parent <= f->n_files ? vm__fuse_find(f, (uint32_t)parent - 1, name) : 0;
    struct fuse_entry_param e = { .ino = i + 1, .attr_timeout = REMEMBER_S, .entry_timeout = 3600 };
    if (i == 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    describe(f, &f->files[i], e.ino, &e.attr);
    fuse_reply_entry(req, &e);
}

/* Who holds the images: `umount` waits for it to let go of them. */
static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t room)
{
    char text[24];
    const int n = snprintf(text, sizeof text, "%ld", (long)getpid());
    if (ino != FUSE_ROOT_ID || strcmp(name, pid_name) != 0)
        fuse_reply_err(req, ENODATA);
    else if (room == 0)
        fuse_reply_xattr(req, (size_t)n);
    else if (room < (size_t)n)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, text, (size_t)n);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    const struct vm_fuse *f = the_mount(req);
    struct statvfs s = { .f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = VM_FUSE_NAME_BYTES - 1 };
    (void)ino;
    /* The disk as a whole comes first; what else there is lies in it. */
    for (uint32_t i = 1; i < f->n_files && s.f_blocks == 0; i++)
        if (f->files[i].node != NULL)
            s.f_blocks = vm__blk_size(f->files[i].node) / BLOCK;
    s.f_files = f->n_files;
    fuse_reply_statfs(req, &s);
}

/* ---- folders ---------------------------------------------------------------------------- */

/* @return false: there is no more room */
static bool add_name(fuse_req_t req, char *buf, size_t room, size_t *used, const char *name,
                     uint32_t i, bool folder, off_t next)
{
    const struct stat s = { .st_ino = i + 1, .st_mode = folder ? S_IFDIR : S_IFREG };
    const size_t n = fuse_add_direntry(req, buf + *used, room - *used, name, &s, next);
    if (n > room - *used)
        return false;
    *used += n;
    return true;
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t room, off_t off,
                       struct fuse_file_info *fi)
{
    struct vm_fuse *f = the_mount(req);
    const struct vm_fuse_file *folder = the_file(req, ino);
    char *buf = folder != NULL ? malloc(room) : NULL;
    size_t used = 0;
    (void)fi;
    if (folder == NULL)
        return;
    if (buf == NULL || folder->node != NULL) {
        free(buf);
        fuse_reply_err(req, folder->node != NULL ? ENOTDIR : ENOMEM);
        return;
    }
    const uint32_t self = (uint32_t)ino - 1;
    bool more = true;
    if (off < 1)
        more = add_name(req, buf, room, &used, ".", self, true, 1);
    if (off < 2 && more)
        more = add_name(req, buf, room, &used, "..", folder->parent, true, 2);
    for (uint32_t i = off > 2 ? (uint32_t)off - 2 + 1 : 1; i < f->n_files && more; i++)
        if (f->files[i].parent == self)
            more = add_name(req, buf, room, &used, f->files[i].name, i, f->files[i].node == NULL,
                            (off_t)i + 2);
    fuse_reply_buf(req, buf, used);
    free(buf);
}

/* ---- bytes ------------------------------------------------------------------------------ */

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct vm_fuse_file *file = the_file(req, ino);
    if (file == NULL)
        return;
    if (file->node == NULL) {
        fuse_reply_err(req, EISDIR);
    } else if ((fi->flags & O_ACCMODE) != O_RDONLY && !file->writable) {
        fuse_reply_err(req, EROFS);
    } else {
        fi->direct_io = the_mount(req)->writable;
        fi->keep_cache = !fi->direct_io;
        fuse_reply_open(req, fi);
    }
}

static int run(struct vm_blk *n, uint32_t op, uint64_t off, void *buf, uint64_t len, uint32_t flags)
{
    struct vm_iov v = { buf, (size_t)len };
    struct vm_blk_req r = {
        .node = n, .op = op, .flags = flags, .off = off, .len = len, .sg = { &v, 0 }
    };
    return vm__blk_run(&r);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t off,
                    struct fuse_file_info *fi)
{
    const struct vm_fuse_file *file = the_file(req, ino);
    (void)fi;
    if (file == NULL)
        return;
    const uint64_t size = vm__blk_size(file->node), at = (uint64_t)off;
    if (at >= size) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (len > size - at)
        len = (size_t)(size - at);
    void *buf = NULL;
    int st = posix_memalign(&buf, BLOCK, len) == 0 ? VM_OK : VM_E_NOMEM;
    if (st == VM_OK)
        st = run(file->node, VM_IO_READ, at, buf, len, 0);
    if (st == VM_OK)
        fuse_reply_buf(req, buf, len);
    else
        reply_status(req, st);
    free(buf);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t off,
                     struct fuse_file_info *fi)
{
    const struct vm_fuse_file *file = the_file(req, ino);
    if (file == NULL)
        return;
    const uint64_t size = vm__blk_size(file->node), at = (uint64_t)off;
    if (!file->writable) {
        fuse_reply_err(req, EROFS);
        return;
    }
    if (at >= size && len != 0) { /* as on a disk */
        fuse_reply_err(req, ENOSPC);
        return;
    }
    if (len > size - at)
        len = (size_t)(size - at);
    const bool sync = fi->flags & (O_SYNC | O_DSYNC);
    const int st =
        run(file->node, VM_IO_WRITE, at, (void *)(uintptr_t)buf, len, sync ? VM_IO_FUA : 0);
    if (st == VM_OK)
        fuse_reply_write(req, len);
    else
        reply_status(req, st);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    const struct vm_fuse_file *file = the_file(req, ino);
    (void)data_only;
    (void)fi;
    if (file != NULL)
        reply_status(req, file->node != NULL ? run(file->node, VM_IO_FLUSH, 0, NULL, 0, 0) : VM_OK);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                         struct fuse_file_info *fi)
{
    const struct vm_fuse_file *file = the_file(req, ino);
    (void)fi;
    if (file == NULL)
        return;
    const uint64_t size = vm__blk_size(file->node), at = (uint64_t)off;
    if (!file->writable) {
        fuse_reply_err(req, EROFS);
        return;
    }
    uint64_t n = (uint64_t)len;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && at < size) {
        if (n > size - at)
            n = size - at;
        const bool punch = mode & FALLOC_FL_PUNCH_HOLE;
        atomic_store(&((struct vm_fuse_file *)(uintptr_t)file)->blocks, 0);
        reply_status(req, run(file->node, VM_IO_ZERO, at, NULL, n, punch ? VM_IO_UNMAP : 0));
    } else if (mode & ~FALLOC_FL_KEEP_SIZE &&
               !(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))) {
        fuse_reply_err(req, EOPNOTSUPP);
    } else { /* room for what is there already; beyond the end there is none */
        fuse_reply_err(req, vm_in_range(at, n, size) || mode != 0 ? 0 : ENOSPC);
    }
}

struct seeking {
    bool hole;
    uint64_t at;
    bool found;
};

static int seek_row(void *ud, const struct vm_blk_row *row)
{
    struct seeking *s = ud;
    s->at = row->start;
    s->found = s->hole == ((row->flags & VM_EXTENT_ZERO) != 0);
    return s->found;
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                     struct fuse_file_info *fi)
{
    const struct vm_fuse_file *file = the_file(req, ino);
    (void)fi;
    if (file == NULL)
        return;
    const uint64_t size = vm__blk_size(file->node);
    struct seeking s = { .hole = whence == SEEK_HOLE };
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    if (off < 0 || (uint64_t)off >= size) {
        fuse_reply_err(req, ENXIO);
        return;
    }
    const int st = vm__blk_map(file->node, (uint64_t)off, size - (uint64_t)off, seek_row, &s);
    if (st < 0)
        reply_status(req, st);
    else if (s.found || s.hole)
        fuse_reply_lseek(req, s.found ? (off_t)s.at : (off_t)size); /* the end is a hole */
    else
        fuse_reply_err(req, ENXIO);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, 0); /* of close(2): not a sync */
}

static void op_init(void *ud, struct fuse_conn_info *conn)
{
    (void)ud;
    conn->max_write = MAX_IO;
    conn->max_readahead = MAX_IO;
    /* Sizes stay: an open that empties a file need not say so. */
    conn->want &= ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_WRITEBACK_CACHE);
}

const struct fuse_lowlevel_ops vm__fuse_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .fsync = op_fsync,
    .readdir = op_readdir,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
};
