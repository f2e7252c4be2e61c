/* SPDX-License-Identifier: MIT */
/**
 * @file net_stream.c
 * -netdev stream: frames over a TCP or UNIX stream.
 */
#include <stdio.h>

#include "backends/net_socket.h"
#include "base/error.h"

#define NS_PER_S UINT64_C(1000000000)

static int stream_open(struct vm_net *net, const struct vm_spec *spec)
{
    struct sock_stream_plan plan = { .about = "stream" };
    uint64_t again = 0;
    int st = vm__sock_option(spec, "addr", &plan.at, &plan.fd);
    if (st == VM_OK)
        st = vm__spec_bool(spec, "server", &plan.listens);
    if (st == VM_OK)
        st = vm__spec_u64(spec, "reconnect", 3600, &again);
    if (st == VM_OK && plan.listens && again != 0)
        st = vm__fail(VM_E_INVAL, "stream: reconnect is for the end that connects");
    plan.again_ns = again * NS_PER_S;
    return st == VM_OK ? vm__sock_stream(net, &plan) : st;
}

static const char *const settings[] = { "server",        "reconnect", "addr.type", "addr.host",
                                        "addr.port",     "addr.path", "addr.str",  "addr.ipv4",
                                        "addr.abstract", NULL };

const struct vm_net_backend vm__net_stream_backend = {
    .name = "stream",
    .summary = "frames over a stream: server=on|off,addr.type=inet|unix|fd,...",
    .settings = settings,
    .open = stream_open,
};
