/* SPDX-License-Identifier: MIT */
/**
 * @file net_dgram.c
 * -netdev dgram: frames as UDP or UNIX datagrams, or in a multicast group.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "backends/net_socket.h"
#include "base/error.h"

static bool is_group(const struct sock_addr *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->at;
    return a->at.ss_family == AF_INET && IN_MULTICAST(ntohl(in->sin_addr.s_addr));
}

static int open_group(struct vm_net *net, const struct vm_spec *spec, struct sock_dgram_plan *plan)
{
    char group[64];
    const struct sockaddr_in *in = (const struct sockaddr_in *)&plan->peer.at;
    (void)snprintf(group, sizeof group, "%s:%u", inet_ntoa(in->sin_addr), ntohs(in->sin_port));
    const int st = vm__sock_mcast(group, vm__spec_get(spec, "local.host"), plan);
    return st == VM_OK ? vm__sock_dgram(net, plan) : st;
}

static int dgram_open(struct vm_net *net, const struct vm_spec *spec)
{
    struct sock_dgram_plan plan = { .about = "dgram" };
    struct sock_addr local;
    int fd = -1;
    int st = VM_OK;
    const bool has_remote = vm__spec_get(spec, "remote.type") != NULL;
    if (has_remote)
        st = vm__sock_option(spec, "remote", &plan.peer, &fd);
    if (st != VM_OK || fd >= 0)
        return st != VM_OK ? st : vm__fail(VM_E_INVAL, "dgram: a descriptor is local, not remote");
    if (has_remote && is_group(&plan.peer))
        return open_group(net, spec, &plan);
    st = vm__sock_option(spec, "local", &local, &plan.fd);
    if (st != VM_OK)
        return st;
    if (plan.fd < 0 && !has_remote)
        return vm__fail(VM_E_INVAL, "dgram: remote is missing");
    if (plan.fd < 0)
        st = vm__sock_bound(&local, &plan.fd);
    return st == VM_OK ? vm__sock_dgram(net, &plan) : st;
}

static const char *const settings[] = { "local.type",  "local.host",  "local.port",  "local.path",
                                        "local.str",   "remote.type", "remote.host", "remote.port",
                                        "remote.path", NULL };

const struct vm_net_backend vm__net_dgram_backend = {
    .name = "dgram",
    .summary = "frames as datagrams: local.type=inet|unix|fd,...,remote.type=...",
    .settings = settings,
    .open = dgram_open,
};
