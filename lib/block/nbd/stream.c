/* SPDX-License-Identifier: MIT */
/**
 * @file stream.c
 * A connection's bytes, plain or by TLS, before requests begin.
 */
#include "base/error.h"
#include "block/nbd/server.h"
#include "host/loop.h"
#include "host/thread.h"
#include "host/time.h"

int64_t vm__nbd_recv(struct nbd_conn *c, void *buf, size_t len)
{
    return c->tls != NULL ? vm__tls_recv(c->tls, buf, len) : vm__socket_recv(c->fd, buf, len);
}

static int64_t send_some(struct nbd_conn *c, const void *buf, size_t len)
{
    const struct vm_iov v = { (void *)(uintptr_t)buf, len };
    return c->tls != NULL ? vm__tls_send(c->tls, buf, len) : vm__socket_send(c->fd, &v, 1);
}

int vm__nbd_wait(struct nbd_conn *c, unsigned events, bool limited)
{
    struct vm_wait w[2] = { { c->fd, events, 0 }, { c->wake, VM_LOOP_IN, 0 } };
    int64_t timeout = -1;
    if (limited && c->deadline != 0) {
        const uint64_t now = vm__host_ns();
        if (now >= c->deadline)
            return VM_E_TIMEOUT;
        timeout = (int64_t)(c->deadline - now);
    }
    const int st = vm__socket_wait(w, 2, timeout);
    if (w[1].ready != 0)
        vm__notify_clear(c->wake);
    return st == VM_OK && events == 0 && w[0].ready != 0 ? VM_E_IO : st; /* hung up */
}

static int wait_for(struct nbd_conn *c, unsigned events)
{
    const int st = vm__nbd_wait(c, events, true);
    return st == VM_E_TIMEOUT ? vm__fail(st, "the client takes too long to choose an export") : st;
}

int vm__nbd_get(struct nbd_conn *c, void *buf, size_t len)
{
    uint8_t *to = buf;
    while (len != 0) {
        const int64_t n = vm__nbd_recv(c, to, len);
        if (n == 0)
            return vm__fail(VM_E_CANCELED, "the client has gone");
        int st = n > 0 ? VM_OK : (int)n;
        if (st == VM_E_AGAIN)
            st = wait_for(c, VM_LOOP_IN);
        if (st != VM_OK)
            return st;
        if (n > 0) {
            to += n;
            len -= (size_t)n;
        }
    }
    return VM_OK;
}

int vm__nbd_put(struct nbd_conn *c, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    while (len != 0) {
        const int64_t n = send_some(c, from, len);
        int st = n >= 0 ? VM_OK : (int)n;
        if (st == VM_E_AGAIN)
            st = wait_for(c, VM_LOOP_OUT);
        if (st != VM_OK)
            return st;
        if (n > 0) {
            from += n;
            len -= (size_t)n;
        }
    }
    return VM_OK;
}

int vm__nbd_start_tls(struct nbd_conn *c)
{
    int st;
    c->tls = vm__tls_new(c->server->creds, c->fd);
    if (c->tls == NULL)
        return vm_last_error()->code;
    while ((st = vm__tls_handshake(c->tls)) == VM_E_AGAIN) {
        st = wait_for(c, vm__tls_wants_out(c->tls) ? VM_LOOP_OUT : VM_LOOP_IN);
        if (st != VM_OK)
            return st;
    }
    return st;
}
