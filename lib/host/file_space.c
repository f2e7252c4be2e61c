/* SPDX-License-Identifier: MIT */
/**
 * @file file_space.c
 * Storage behind a file: taking it, giving it back, asking what there is, sharing it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "host/file.h"

static bool unsupported(int os_errno)
{
    return os_errno == EOPNOTSUPP || os_errno == ENOSYS || os_errno == ENOTTY ||
           os_errno == EINVAL || os_errno == ENODEV || os_errno == EXDEV || os_errno == EBADF;
}

static int answer(int result)
{
    if (result == 0)
        return VM_OK;
    return unsupported(errno) ? VM_E_NOTSUP : vm__file_fail(errno);
}

static int allocate(int fd, int mode, uint64_t off, uint64_t len)
{
    int st;
    do
        st = fallocate(fd, mode, (off_t)off, (off_t)len);
    while (st != 0 && errno == EINTR);
    return answer(st);
}

int vm__file_allocate(int fd, uint64_t off, uint64_t len, bool zero)
{
    return allocate(fd, zero ? FALLOC_FL_ZERO_RANGE : 0, off, len);
}

int vm__file_punch(int fd, uint64_t off, uint64_t len)
{
    return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
}

int vm__file_trim(int fd, uint64_t off, uint64_t len)
{
    uint64_t range[2] = { off, len };
    return answer(ioctl(fd, BLKDISCARD, range));
}

int vm__file_extent(int fd, uint64_t off, uint64_t size, bool *data, uint64_t *end)
{
    const off_t at = lseek(fd, (off_t)off, SEEK_DATA);
    if (at < 0) {
        if (errno != ENXIO)
            return unsupported(errno) ? VM_E_NOTSUP : vm__file_fail(errno);
        *data = false; /* a hole up to the end */
        *end = size;
        return VM_OK;
    }
    *data = (uint64_t)at <= off;
    if (!*data) {
        *end = (uint64_t)at < size ? (uint64_t)at : size;
        return VM_OK;
    }
    const off_t hole = lseek(fd, (off_t)off, SEEK_HOLE);
    *end = hole > (off_t)off && (uint64_t)hole < size ? (uint64_t)hole : size;
    return VM_OK;
}

int vm__file_copy(int from, uint64_t from_off, int to, uint64_t to_off, uint64_t len,
                  uint64_t *done)
{
    *done = 0;
    while (*done < len) {
        off_t in = (off_t)(from_off + *done), out = (off_t)(to_off + *done);
        const uint64_t left = len - *done, most = UINT64_C(1) << 30;
        const ssize_t n = copy_file_range(from, &in, to, &out, left < most ? left : most, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return unsupported(errno) ? VM_E_NOTSUP : vm__file_fail(errno);
        if (n == 0) /* the source ends here */
            return VM_E_NOTSUP;
        *done += (uint64_t)n;
    }
    return VM_OK;
}
