/* SPDX-License-Identifier: MIT */
/**
 * @file net_sock_dgram.c
 * A frame a datagram. See net_socket.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/net_socket.h"
#include "base/buf.h"
#include "base/error.h"
#include "core/machine.h"
#include "host/loop.h"

enum { TURN = 64 /* datagrams before other work gets a turn */ };

struct dgram {
    struct vm_net *net;
    struct sock_dgram_plan plan;
    char about[128];
    struct vm_watch *watch;
    bool held;    /* the guest takes nothing now; one datagram waits in buf */
    bool writing; /* the host takes nothing now */
    size_t len;
    uint8_t buf[VM_NET_FRAME_MAX];
};

static void update(struct dgram *d)
{
    vm__watch_events(d->watch, (d->held ? 0u : (unsigned)VM_LOOP_IN) |
                                   (d->writing ? (unsigned)VM_LOOP_OUT : 0u));
}

static void on_ready(void *opaque, unsigned events)
{
    struct dgram *d = opaque;
    for (int i = 0; i < TURN && (events & VM_LOOP_IN) && !d->held; i++) {
        const ssize_t n = recv(d->plan.fd, d->buf, sizeof d->buf, MSG_DONTWAIT);
        if (n < 0)
            break;
        d->len = (size_t)n;
        d->held = !vm__net_deliver_buf(d->net, d->buf, d->len, 0);
    }
    if (events & VM_LOOP_HUP) { /* the reason is a datagram's that nobody took: it is read off */
        int why;
        socklen_t len = sizeof why;
        (void)getsockopt(d->plan.fd, SOL_SOCKET, SO_ERROR, &why, &len);
    }
    const bool was_writing = d->writing;
    if (events & VM_LOOP_OUT)
        d->writing = false;
    update(d);
    if (was_writing && !d->writing)
        vm__net_ready(d->net);
}

static bool dgram_send(void *opaque, const struct vm_net_frame *f)
{
    struct dgram *d = opaque;
    const struct sockaddr *to = d->plan.peer.len != 0 ? (struct sockaddr *)&d->plan.peer.at : NULL;
    const uint8_t *bytes = vm__net_flat(d->net, f);
    if (bytes == NULL)
        return true;
    if (sendto(d->plan.fd, bytes, f->len, MSG_DONTWAIT | MSG_NOSIGNAL, to, d->plan.peer.len) >= 0 ||
        errno != EAGAIN)
        return true; /* or lost: nobody listens, it is too long */
    d->writing = true;
    update(d);
    return false;
}

static void dgram_room(void *opaque)
{
    struct dgram *d = opaque;
    if (d->held)
        d->held = !vm__net_deliver_buf(d->net, d->buf, d->len, 0);
    update(d);
}

static void dgram_info(void *opaque, struct vm_buf *out)
{
    const struct dgram *d = opaque;
    vm__buf_printf(out, "%s", d->about);
}

static void dgram_close(void *opaque)
{
    struct dgram *d = opaque;
    vm__watch_free(d->watch);
    close(d->plan.fd);
    free(d);
}

static const struct vm_net_host_ops ops = {
    .send = dgram_send,
    .room = dgram_room,
    .info = dgram_info,
    .close = dgram_close,
};

int vm__sock_dgram(struct vm_net *net, const struct sock_dgram_plan *plan)
{
    struct dgram *d = calloc(1, sizeof *d);
    if (d == NULL) {
        close(plan->fd);
        return vm__fail_nomem(sizeof *d);
    }
    d->net = net;
    d->plan = *plan;
    (void)snprintf(d->about, sizeof d->about, "%s", plan->about);
    (void)fcntl(plan->fd, F_SETFD, FD_CLOEXEC);
    d->watch = vm__watch_new(vm__net_machine(net)->loop, plan->fd, VM_LOOP_IN, on_ready, d);
    if (d->watch == NULL) {
        close(plan->fd);
        free(d);
        return VM_E_IO;
    }
    return vm__net_attach_host(net, &ops, d, 0);
}

int vm__sock_bound(const struct sock_addr *local, int *fd)
{
    *fd = socket(local->at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return vm__fail_os(VM_E_IO, errno, "make a socket");
    if (bind(*fd, (const struct sockaddr *)&local->at, local->len) == 0)
        return VM_OK;
    const int why = errno;
    close(*fd);
    return vm__fail_os(why == EADDRINUSE ? VM_E_BUSY : VM_E_IO, why, "take the local address");
}

static int join(int fd, const struct sockaddr_in *group, const char *local)
{
    const int one = 1;
    const unsigned char loop = 1;
    struct ip_mreq req = { .imr_multiaddr = group->sin_addr };
    if (local != NULL && inet_aton(local, &req.imr_interface) == 0)
        return vm__fail(VM_E_INVAL, "localaddr: %s is not an IPv4 address", local);
    /* Several machines of one host share a group; each hears the others, and itself. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *)group, sizeof *group) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof req) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof loop) != 0 ||
        (local != NULL && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &req.imr_interface,
                                     sizeof req.imr_interface) != 0))
        return vm__fail_os(VM_E_IO, errno, "join the multicast group");
    return VM_OK;
}

int vm__sock_mcast(const char *group, const char *local, struct sock_dgram_plan *plan)
{
    int st = vm__sock_inet("mcast", group, &plan->peer);
    const struct sockaddr_in *in = (struct sockaddr_in *)&plan->peer.at;
    if (st != VM_OK)
        return st;
    if (!IN_MULTICAST(ntohl(in->sin_addr.s_addr)))
        return vm__fail(VM_E_INVAL, "mcast: %s is not a multicast address", group);
    plan->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (plan->fd < 0)
        return vm__fail_os(VM_E_IO, errno, "make a socket");
    st = join(plan->fd, in, local);
    if (st != VM_OK)
        close(plan->fd);
    return st;
}
