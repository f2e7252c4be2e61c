/* SPDX-License-Identifier: MIT */
/**
 * @file net_socket.c
 * -netdev socket: another machine over TCP (listen, connect), UDP, or a multicast group.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/net_socket.h"
#include "base/error.h"

static int open_udp(struct vm_net *net, const struct vm_spec *spec, const char *udp,
                    const char *about)
{
    struct sock_dgram_plan plan = { .about = about };
    struct sock_addr local;
    const char *from = vm__spec_get(spec, "localaddr");
    if (from == NULL)
        return vm__fail(VM_E_INVAL, "socket: udp= needs localaddr=HOST:PORT");
    int st = vm__sock_inet("udp", udp, &plan.peer);
    if (st == VM_OK)
        st = vm__sock_inet("localaddr", from, &local);
    if (st == VM_OK)
        st = vm__sock_bound(&local, &plan.fd);
    return st == VM_OK ? vm__sock_dgram(net, &plan) : st;
}

static int open_tcp(struct vm_net *net, bool listens, const char *text, const char *about)
{
    struct sock_stream_plan plan = { .listens = listens, .fd = -1, .about = about };
    const int st = vm__sock_inet(listens ? "listen" : "connect", text, &plan.at);
    return st == VM_OK ? vm__sock_stream(net, &plan) : st;
}

/** A descriptor is a stream or of datagrams: the host knows. */
static int open_fd(struct vm_net *net, const char *text, const char *about)
{
    int fd = -1, type = 0;
    socklen_t len = sizeof type;
    const int st = vm__sock_fd("fd", text, &fd);
    if (st != VM_OK)
        return st;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
        return vm__fail(VM_E_INVAL, "fd: %s is not a socket", text);
    if (type == SOCK_STREAM)
        return vm__sock_stream(net, &(struct sock_stream_plan) { .fd = fd, .about = about });
    return vm__sock_dgram(net, &(struct sock_dgram_plan) { .fd = fd, .about = about });
}

static int socket_open(struct vm_net *net, const struct vm_spec *spec)
{
    static const char *const ways[] = { "fd", "listen", "connect", "mcast", "udp" };
    const char *text = NULL;
    char about[128];
    unsigned way = 0, n = 0;
    for (unsigned i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        const char *v = vm__spec_get(spec, ways[i]);
        if (v == NULL)
            continue;
        text = v;
        way = i;
        n++;
    }
    if (n != 1)
        return vm__fail(VM_E_INVAL,
                        "socket: one of fd, listen, connect, mcast and udp is expected");
    (void)snprintf(about, sizeof about, "socket: %s=%.90s", ways[way], text);
    switch (way) {
    case 0:
        return open_fd(net, text, about);
    case 1:
    case 2:
        return open_tcp(net, way == 1, text, about);
    case 3: {
        struct sock_dgram_plan plan = { .about = about };
        const int st = vm__sock_mcast(text, vm__spec_get(spec, "localaddr"), &plan);
        return st == VM_OK ? vm__sock_dgram(net, &plan) : st;
    }
    default:
        return open_udp(net, spec, text, about);
    }
}

static const char *const settings[] = {
    "fd", "listen", "connect", "mcast", "udp", "localaddr", NULL
};

const struct vm_net_backend vm__net_socket_backend = {
    .name = "socket",
    .summary = "another machine: listen=, connect=, udp= or mcast=HOST:PORT",
    .settings = settings,
    .open = socket_open,
};
