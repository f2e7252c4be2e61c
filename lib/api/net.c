/* SPDX-License-Identifier: MIT */
/**
 * @file net.c
 * Exported: networks.
 */
#include <libvm/net.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/machine.h"
#include "core/net_backend.h"
#include "core/run.h"

struct user_net {
    struct vm_net *net;
    vm_net_ops calls;
    void *ud;
    vm_free_fn free_ud;
};

static bool user_send(void *opaque, const struct vm_net_frame *f)
{
    struct user_net *u = opaque;
    const uint8_t *bytes = vm__net_flat(u->net, f);
    if (u->calls.send == NULL || bytes == NULL)
        return true;
    const int n = u->calls.send(u->ud, bytes, f->len);
    if (n < 0)
        vm__request_error(vm__net_machine(u->net), VM_E_CALLBACK, vm_strerror(n));
    return n != 0;
}

static void user_room(void *opaque)
{
    const struct user_net *u = opaque;
    if (u->calls.room != NULL)
        u->calls.room(u->ud);
}

static void user_link(void *opaque, bool up)
{
    const struct user_net *u = opaque;
    if (u->calls.link != NULL)
        u->calls.link(u->ud, up);
}

static void user_info(void *opaque, struct vm_buf *out)
{
    (void)opaque;
    vm__buf_printf(out, "callback: attached");
}

static void user_close(void *opaque)
{
    struct user_net *u = opaque;
    if (u->free_ud != NULL)
        u->free_ud(u->ud);
    free(u);
}

static const struct vm_net_host_ops user_ops = {
    .send = user_send, .room = user_room, .link = user_link, .info = user_info, .close = user_close
};

/** The network, with the machine lock held; NULL without it, and the error set. */
static struct vm_net *lock_net(vm_machine *m, const char *name, bool or_card)
{
    if (m == NULL || name == NULL) {
        vm__fail(VM_E_INVAL, "no machine or no network");
        return NULL;
    }
    vm__lock(m);
    struct vm_net *net = or_card ? vm__net_by_name(m, name) : vm__net_find(m, name);
    if (net == NULL) {
        vm__unlock(m);
        vm__fail(VM_E_NOENT, "no network%s %s", or_card ? " or card" : "", name);
    }
    return net;
}

int vm_net_attach(vm_machine *m, const char *id, const vm_net_ops *ops, void *ud,
                  vm_free_fn free_ud)
{
    struct user_net *u = NULL;
    if (ops != NULL) {
        u = calloc(1, sizeof *u);
        if (u == NULL)
            return vm__fail_nomem(sizeof *u);
        memcpy(&u->calls, ops, ops->size < sizeof u->calls ? ops->size : sizeof u->calls);
        u->ud = ud;
        u->free_ud = free_ud;
    }
    struct vm_net *net = lock_net(m, id, false);
    if (net == NULL) {
        free(u);
        return vm_last_error()->code;
    }
    if (u != NULL)
        u->net = net;
    const int st = vm__net_attach_host(net, u != NULL ? &user_ops : NULL, u, 0);
    vm__net_ready(net);
    vm__unlock(m);
    return st;
}

int vm_net_feed(vm_machine *m, const char *id, const void *frame, size_t len)
{
    if (frame == NULL || len < VM_NET_FRAME_MIN || len > VM_NET_FRAME_MAX)
        return vm__fail(VM_E_RANGE, "a frame of %zu bytes", frame != NULL ? len : 0);
    struct vm_net *net = lock_net(m, id, false);
    if (net == NULL)
        return vm_last_error()->code;
    const bool taken = vm__net_deliver_buf(net, frame, len, 0);
    vm__unlock(m);
    return taken;
}

int vm_net_ready(vm_machine *m, const char *id)
{
    struct vm_net *net = lock_net(m, id, false);
    if (net == NULL)
        return vm_last_error()->code;
    vm__net_ready(net);
    vm__unlock(m);
    return VM_OK;
}

int vm_net_set_link(vm_machine *m, const char *name, int up)
{
    struct vm_net *net = lock_net(m, name, true);
    if (net == NULL)
        return vm_last_error()->code;
    vm__net_set_link(net, up != 0);
    vm__unlock(m);
    return VM_OK;
}

int vm_net_add(vm_machine *m, const char *spec)
{
    if (m == NULL || spec == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no text");
    vm__lock(m);
    const int st = vm__net_add(m, spec);
    vm__unlock(m);
    return st;
}

int vm_net_remove(vm_machine *m, const char *id)
{
    struct vm_net *net = lock_net(m, id, false);
    if (net == NULL)
        return vm_last_error()->code;
    vm__net_unplug(net);
    vm__unlock(m);
    return VM_OK;
}
