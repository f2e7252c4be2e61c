/* SPDX-License-Identifier: MIT */
/**
 * @file file.c
 * Opening, reading and writing files of the host.
 */
#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"

enum { PIECES = 64, CHUNK = 1 << 30 };

_Static_assert(sizeof(struct vm_iov) == sizeof(struct iovec), "vm_iov is an iovec");
_Static_assert(offsetof(struct vm_iov, len) == offsetof(struct iovec, iov_len), "vm_iov");

int vm__file_flags(unsigned how)
{
    return O_CLOEXEC | ((how & VM_FILE_WRITE) ? O_RDWR : O_RDONLY) |
           ((how & VM_FILE_DIRECT) ? O_DIRECT : 0) | ((how & VM_FILE_CREATE) ? O_CREAT : 0) |
           ((how & VM_FILE_NEW) ? O_EXCL : 0);
}

int vm__file_fail(int os_errno)
{
    int code = VM_E_IO;

    switch (os_errno) {
    case ENOENT:
    case ENOTDIR:
        code = VM_E_NOENT;
        break;
    case EACCES:
    case EPERM:
    case EROFS:
        code = VM_E_PERM;
        break;
    case EEXIST:
    case EBUSY:
    case ETXTBSY:
        code = VM_E_BUSY;
        break;
    case ENOSPC:
    case EDQUOT:
        code = VM_E_NOSPC;
        break;
    case ENOMEM:
        code = VM_E_NOMEM;
        break;
    case EFBIG:
        code = VM_E_RANGE;
        break;
    default:
        break;
    }
    return vm__fail_os(code, os_errno, "%s", ""); /* the reason alone */
}

int vm__file_open(const char *path, int host_flags)
{
    int fd;
    /* A FIFO without a writer must not hang the caller; what is opened is looked at after. */
    do
        fd = open(path, host_flags | O_NONBLOCK | O_NOCTTY, 0644);
    while (fd < 0 && errno == EINTR);
    return fd >= 0 ? fd : vm__file_fail(errno);
}

int vm__file_temp(const char *folder)
{
    static const char *const places[] = { "/var/tmp", "/tmp" };
    int fd = -1;

    for (size_t i = 0; fd < 0 && i < 2; i++) {
        const char *place = folder != NULL ? folder : places[i];
        char name[256];
        fd = open(place, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
        if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
            continue;
        /* A file system without nameless files: make one and take its name away. */
        if (snprintf(name, sizeof name, "%s/libvm.XXXXXX", place) >= (int)sizeof name)
            return vm__file_fail(ENAMETOOLONG);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            (void)unlink(name);
    }
    return fd >= 0 ? fd : vm__file_fail(errno);
}

void vm__file_close(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

int vm__file_remove(const char *path)
{
    return unlink(path) == 0 ? VM_OK : vm__file_fail(errno);
}

static void block_device_info(int fd, struct vm_file_info *info)
{
    uint64_t size = 0;
    int sector = 0, read_only = 0;
    if (ioctl(fd, BLKGETSIZE64, &size) == 0)
        info->size = size;
    if (ioctl(fd, BLKSSZGET, &sector) == 0 && sector > 0)
        info->align = (uint32_t)sector;
    if (ioctl(fd, BLKROGET, &read_only) == 0)
        info->read_only_media = read_only != 0;
}

static enum vm_file_kind kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return VM_FILE_REGULAR;
    case S_IFBLK:
        return VM_FILE_BLOCK;
    case S_IFCHR:
        return VM_FILE_CHAR;
    case S_IFDIR:
        return VM_FILE_FOLDER;
    default:
        return VM_FILE_OTHER;
    }
}

int vm__file_info(int fd, struct vm_file_info *info)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return vm__file_fail(errno);
    *info = (struct vm_file_info) {
        .kind = kind_of(s.st_mode),
        .size = s.st_size > 0 ? (uint64_t)s.st_size : 0,
        .allocated = (uint64_t)s.st_blocks * 512,
        .id = { (uint64_t)s.st_dev, (uint64_t)s.st_ino },
        .align = 512,
        .align_mem = 4096,
    };
    if (info->kind == VM_FILE_BLOCK) {
        info->id[0] = UINT64_MAX;
        info->id[1] = (uint64_t)s.st_rdev;
        block_device_info(fd, info);
    }
    /* What O_DIRECT wants is asked for by statx() since Linux 6.1; a page satisfies every disk. */
#ifdef STATX_DIOALIGN
    struct statx x;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &x) == 0 && (x.stx_mask & STATX_DIOALIGN) &&
        x.stx_dio_offset_align != 0)
        info->align = x.stx_dio_offset_align;
    else if (info->kind == VM_FILE_REGULAR)
        info->align = 4096;
#else
    if (info->kind == VM_FILE_REGULAR)
        info->align = 4096;
#endif
    return VM_OK;
}

/* ---- bytes ------------------------------------------------------------------------------ */

/* The next pieces for one call. */
static int gather(struct vm_sg sg, size_t len, struct iovec v[PIECES], size_t *bytes)
{
    int n = 0;
    size_t sum = 0;
    if (len > CHUNK)
        len = CHUNK;
    while (n < PIECES && sum < len) {
        size_t run = vm_sg_run(sg);
        if (run > len - sum)
            run = len - sum;
        if (run != 0)
            v[n++] = (struct iovec) { vm_sg_ptr(sg), run };
        sum += run;
        if (sum < len)
            sg = vm_sg_at(sg, run);
        while (sum < len && vm_sg_run(sg) == 0) { /* a piece without bytes */
            sg.iov++;
            sg.skip = 0;
        }
    }
    *bytes = sum;
    return n;
}

static bool would_wait(int os_errno)
{
    /* A file system that cannot promise not to wait says so, in one of these ways. */
    return os_errno == EAGAIN || os_errno == EOPNOTSUPP || os_errno == ENOSYS;
}

int vm__file_readv(int fd, uint64_t off, size_t len, struct vm_sg sg, bool nowait)
{
    while (len != 0) {
        struct iovec v[PIECES];
        size_t bytes;
        const int n = gather(sg, len, v, &bytes);
        const ssize_t got = preadv2(fd, v, n, (off_t)off, nowait ? RWF_NOWAIT : 0);
        if (got < 0) {
            if (nowait && would_wait(errno))
                return VM_E_AGAIN;
            if (errno == EINTR)
                continue;
            return vm__file_fail(errno);
        }
        if (got == 0) { /* past the end */
            vm_sg_zero(sg, len);
            return VM_OK;
        }
        len -= (size_t)got;
        off += (uint64_t)got;
        if (len != 0)
            sg = vm_sg_at(sg, (size_t)got);
    }
    return VM_OK;
}

int vm__file_writev(int fd, uint64_t off, size_t len, struct vm_sg sg, bool nowait, bool sync)
{
    while (len != 0) {
        struct iovec v[PIECES];
        size_t bytes;
        const int n = gather(sg, len, v, &bytes);
        const int flags = (nowait ? RWF_NOWAIT : 0) | (sync ? RWF_DSYNC : 0);
        const ssize_t put = pwritev2(fd, v, n, (off_t)off, flags);
        if (put < 0) {
            if (nowait && would_wait(errno))
                return VM_E_AGAIN;
            if (errno == EINTR)
                continue;
            return vm__file_fail(errno);
        }
        if (put == 0)
            return vm__file_fail(ENOSPC);
        len -= (size_t)put;
        off += (uint64_t)put;
        if (len != 0)
            sg = vm_sg_at(sg, (size_t)put);
    }
    return VM_OK;
}

int vm__file_sync(int fd)
{
    int st;
    do
        st = fdatasync(fd);
    while (st != 0 && errno == EINTR);
    /* Pipes and some devices have nothing to write back. */
    return st == 0 || errno == EINVAL || errno == EROFS ? VM_OK : vm__file_fail(errno);
}

int vm__file_truncate(int fd, uint64_t size)
{
    int st;
    if (size > INT64_MAX)
        return vm__file_fail(EFBIG);
    do
        st = ftruncate(fd, (off_t)size);
    while (st != 0 && errno == EINTR);
    return st == 0 ? VM_OK : vm__file_fail(errno);
}
