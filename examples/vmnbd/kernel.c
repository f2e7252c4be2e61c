/* SPDX-License-Identifier: MIT */
/**
 * @file kernel.c
 * The kernel's own NBD client: /dev/nbdN.
 *
 * The kernel takes a connection on which an export has been chosen: the choosing is done here, on
 * one end of a socket pair whose other end the server has. Spec: [NBD "Newstyle negotiation"].
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmnbd.h"

enum { SECTOR = 512, GREETING = 18, ANSWER = 10 };

static int open_device(const char *device)
{
    const int fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
        say("Failed to open %s: %m: this kernel has no NBD client there (try: modprobe nbd; "
            "without one, vmimg mount needs no kernel module)",
            device);
    else if (fd < 0)
        say("Failed to open %s: %m", device);
    return fd;
}

static bool all(int fd, void *buf, size_t len, bool out)
{
    for (char *at = buf; len != 0;) {
        const ssize_t n = out ? write(fd, at, len) : read(fd, at, len);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static uint64_t big(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static bool choose(int fd, const char *export, uint64_t *size, unsigned *flags)
{
    unsigned char greeting[GREETING], answer[ANSWER];
    unsigned char ask[4 + 16] = { 0, 0, 0, 3, 'I', 'H', 'A', 'V', 'E', 'O', 'P', 'T', 0, 0, 0, 1 };
    const size_t len = strlen(export);
    ask[18] = (unsigned char)(len >> 8);
    ask[19] = (unsigned char)len;
    if (!all(fd, greeting, sizeof greeting, false) || !all(fd, ask, sizeof ask, true) ||
        !all(fd, (void *)(uintptr_t) export, len, true) || !all(fd, answer, sizeof answer, false))
        return false;
    *size = big(answer, 8);
    *flags = (unsigned)big(answer + 8, 2);
    return true;
}

static int hand_over(int device, int fd, uint64_t size, unsigned flags)
{
    if (size % SECTOR != 0)
        fprintf(stderr, "the last %u bytes are not seen by the kernel\n",
                (unsigned)(size % SECTOR));
    if (ioctl(device, NBD_CLEAR_SOCK) != 0 ||
        ioctl(device, NBD_SET_BLKSIZE, (unsigned long)SECTOR) != 0 ||
        ioctl(device, NBD_SET_SIZE_BLOCKS, (unsigned long)(size / SECTOR)) != 0 ||
        ioctl(device, NBD_SET_SOCK, (unsigned long)fd) != 0)
        return say("Failed to set up the NBD device: %m");
    (void)ioctl(device, NBD_SET_FLAGS, (unsigned long)flags); /* older kernels have none */
    const int st = ioctl(device, NBD_DO_IT);                  /* until it is disconnected */
    const int os = errno;
    (void)ioctl(device, NBD_CLEAR_QUE);
    (void)ioctl(device, NBD_CLEAR_SOCK);
    errno = os;
    return st == 0 || os == EPIPE || os == ETIMEDOUT ? 0 : say("NBD device: %m");
}

int kernel_connect(vm_nbd *server, const char *export, const char *device)
{
    int ends[2];
    uint64_t size = 0;
    unsigned flags = 0;
    const int fd = open_device(device);
    if (fd < 0)
        return 1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        close(fd);
        return say("socketpair: %m");
    }
    int st = vm_nbd_listen_fd(server, ends[0]) == VM_OK ? 0 : say("%s", last());
    if (st == 0 && !choose(ends[1], export, &size, &flags))
        st = say("the server did not answer");
    if (st == 0)
        st = hand_over(fd, ends[1], size, flags);
    close(ends[1]);
    close(fd);
    return st;
}

int kernel_disconnect(const char *device)
{
    const int fd = open_device(device);
    if (fd < 0)
        return 1;
    const bool done = ioctl(fd, NBD_CLEAR_QUE) == 0 && ioctl(fd, NBD_DISCONNECT) == 0 &&
                      ioctl(fd, NBD_CLEAR_SOCK) == 0;
    if (done)
        printf("%s disconnected\n", device);
    else
        say("Failed to disconnect %s: %m", device);
    close(fd);
    return !done;
}
