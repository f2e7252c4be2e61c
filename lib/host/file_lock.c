/* SPDX-License-Identifier: MIT */
/**
 * @file file_lock.c
 * Locks that belong to an open file.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "host/file.h"

static struct flock range(short type, uint64_t first, uint64_t n)
{
    return (struct flock) { .l_type = type, .l_start = (off_t)first, .l_len = (off_t)n };
}

int vm__file_lock(int fd, uint64_t first, uint64_t n)
{
    struct flock l = range(F_RDLCK, first, n);
    int st;
    do
        st = fcntl(fd, F_OFD_SETLK, &l);
    while (st != 0 && errno == EINTR);
    if (st == 0)
        return VM_OK;
    return errno == EAGAIN || errno == EACCES ? VM_E_BUSY : VM_E_NOTSUP;
}

void vm__file_unlock(int fd, uint64_t first, uint64_t n)
{
    struct flock l = range(F_UNLCK, first, n);
    (void)fcntl(fd, F_OFD_SETLK, &l);
}

bool vm__file_locked(int fd, uint64_t first, uint64_t n)
{
    /* Asks for an exclusive lock, with which any other conflicts. */
    struct flock l = range(F_WRLCK, first, n);
    return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}
