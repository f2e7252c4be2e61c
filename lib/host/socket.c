/* SPDX-License-Identifier: MIT */
/**
 * @file socket.c
 * Stream sockets of the host.
 */
#include "host/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "host/loop.h"

enum { BACKLOG = 64, MAX_WAITS = 16 };

_Static_assert(sizeof(struct vm_iov) == sizeof(struct iovec), "one layout");

/* A socket file that nobody listens at any more. */
static bool is_stale(const struct sockaddr_un *a)
{
    struct stat s;
    if (lstat(a->sun_path, &s) != 0 || !S_ISSOCK(s.st_mode))
        return false;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool stale =
        fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

int vm__socket_listen_unix(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (*path == '\0' || strlen(path) >= sizeof a.sun_path)
        return vm__fail(VM_E_INVAL, "a socket's path has 1 to %zu bytes", sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return vm__fail_os(VM_E_IO, errno, "make a socket");
    if (is_stale(&a))
        (void)unlink(path);
    if (bind(fd, (const struct sockaddr *)&a, sizeof a) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    const int os = errno;
    close(fd);
    return vm__fail_os(os == EADDRINUSE ? VM_E_BUSY : VM_E_IO, os,
                       "Failed to bind socket to %.100s", path);
}

static int listen_at(const struct addrinfo *a)
{
    const int one = 1;
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    const int os = errno;
    close(fd);
    errno = os;
    return -1;
}

int vm__socket_listen_tcp(const char *host, const char *port, int *fds, uint32_t *n)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *all = NULL;
    const int bad = getaddrinfo(host, port, &hints, &all);
    int os = EADDRNOTAVAIL;
    if (bad != 0)
        return vm__fail(VM_E_NOENT, "address resolution failed for %.80s:%.20s: %s", host, port,
                        gai_strerror(bad));
    *n = 0;
    for (const struct addrinfo *a = all; a != NULL && *n < VM_SOCKET_ADDRESSES; a = a->ai_next) {
        const int fd = listen_at(a);
        if (fd >= 0)
            fds[(*n)++] = fd;
        else
            os = errno;
    }
    freeaddrinfo(all);
    return *n != 0 ? VM_OK
                   : vm__fail_os(os == EADDRINUSE ? VM_E_BUSY : VM_E_IO, os,
                                 "Failed to find an available port: %.80s:%.20s", host, port);
}

/* Replies are small and many; a client that is cut off must not be kept for ever. TCP only. */
static void tune(int fd)
{
    const int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
}

int vm__socket_adopt(int fd, bool *listens)
{
    int type = 0, listening = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
        return vm__fail_os(VM_E_INVAL, errno, "descriptor %d", fd);
    if (type != SOCK_STREAM)
        return vm__fail(VM_E_INVAL, "descriptor %d is not a stream socket", fd);
    len = sizeof listening;
    (void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
    *listens = listening != 0;
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!*listens)
        tune(fd);
    return VM_OK;
}

int vm__socket_accept(int fd)
{
    const int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (c >= 0) {
        tune(c);
        return c;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return vm__fail_os(VM_E_NOMEM, errno, "accept a connection");
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
        return vm__fail_os(VM_E_IO, errno, "accept a connection");
    default:
        return VM_E_AGAIN;
    }
}

int64_t vm__socket_recv(int fd, void *buf, size_t len)
{
    for (;;) {
        const ssize_t n = recv(fd, buf, len, MSG_DONTWAIT);
        if (n >= 0)
            return n;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return VM_E_AGAIN;
        if (errno != EINTR)
            return vm__fail_os(VM_E_IO, errno, "receive");
    }
}

int64_t vm__socket_send(int fd, const struct vm_iov *iov, uint32_t n)
{
    const struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n };
    for (;;) {
        const ssize_t sent = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0)
            return sent;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return VM_E_AGAIN;
        if (errno != EINTR)
            return vm__fail_os(VM_E_IO, errno, "send");
    }
}

void vm__socket_shutdown(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
}

void vm__socket_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

int vm__socket_wait(struct vm_wait *w, uint32_t n, int64_t timeout_ns)
{
    struct pollfd p[MAX_WAITS];
    if (n > MAX_WAITS)
        return vm__fail(VM_E_INVAL, "more than %d descriptors to wait for", MAX_WAITS);
    for (uint32_t i = 0; i < n; i++)
        p[i] = (struct pollfd) {
            .fd = w[i].fd,
            .events = (short)((w[i].events & VM_LOOP_IN ? POLLIN : 0) |
                              (w[i].events & VM_LOOP_OUT ? POLLOUT : 0)),
        };
    const struct timespec t = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
    const int st = ppoll(p, n, timeout_ns < 0 ? NULL : &t, NULL);
    if (st < 0 && errno != EINTR)
        return vm__fail_os(VM_E_IO, errno, "wait for a socket");
    for (uint32_t i = 0; i < n; i++) {
        const bool broken = st > 0 && p[i].revents & (POLLERR | POLLHUP | POLLNVAL);
        const bool in = st > 0 && p[i].revents & POLLIN, out = st > 0 && p[i].revents & POLLOUT;
        w[i].ready = (in || broken ? VM_LOOP_IN : 0) | (out || broken ? VM_LOOP_OUT : 0);
    }
    return st == 0 ? VM_E_TIMEOUT : VM_OK;
}
