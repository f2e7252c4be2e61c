/* SPDX-License-Identifier: MIT */
/**
 * @file sys.c
 * The host's KVM.
 */
#include "cpu/kvm/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int host_open(void *ud, const char *path)
{
    (void)ud;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static void host_close(void *ud, int fd)
{
    (void)ud;
    close(fd);
}

static int host_ioctl(void *ud, int fd, unsigned long request, uintptr_t arg)
{
    (void)ud;
    const int r = ioctl(fd, request, arg);
    return r >= 0 ? r : -errno;
}

static void *host_map(void *ud, int fd, size_t size)
{
    (void)ud;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p != MAP_FAILED ? p : NULL;
}

static void host_unmap(void *ud, void *at, size_t size)
{
    (void)ud;
    munmap(at, size);
}

const struct kvm_sys vm__kvm_host = {
    .open = host_open,
    .close = host_close,
    .ioctl = host_ioctl,
    .map = host_map,
    .unmap = host_unmap,
};
