/* SPDX-License-Identifier: MIT */
/**
 * @file net_callback.c
 * A network whose host is the embedder: vm_net_attach(), vm_net_feed(). Until it attaches, frames
 * go nowhere.
 */
#include "base/buf.h"
#include "core/net_backend.h"

static void callback_info(void *opaque, struct vm_buf *out)
{
    (void)opaque;
    vm__buf_printf(out, "callback: not attached");
}

static const struct vm_net_host_ops ops = { .info = callback_info };

static int callback_open(struct vm_net *net, const struct vm_spec *spec)
{
    (void)spec;
    return vm__net_attach_host(net, &ops, NULL, 0);
}

static const char *const settings[] = { NULL };

const struct vm_net_backend vm__net_callback_backend = {
    .name = "callback",
    .summary = "frames to and from the program that holds the machine",
    .settings = settings,
    .open = callback_open,
};
