/* SPDX-License-Identifier: MIT */
/**
 * @file transmit.c
 * Requests of a client: taken apart, checked, started.
 *
 * As many as have arrived are looked at before replies are sent, so that a busy client costs few
 * system calls.
 *
 * Spec: [NBD "Request message"], [NBD "Request types"].
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "block/env.h"
#include "block/nbd/server.h"
#include "host/loop.h"
#include "host/time.h"

enum { CACHE_PIECE = 256 << 10 };
/* A client that has said goodbye and does not read what it asked for is cut off after this. */
#define LINGER_NS UINT64_C(10000000000)

/* ---- is it allowed ---------------------------------------------------------------------- */

static unsigned flags_of(uint16_t command)
{
    switch (command) {
    case NBD_CMD_READ:
        return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_DF;
    case NBD_CMD_WRITE:
    case NBD_CMD_TRIM:
    case NBD_CMD_FLUSH:
    case NBD_CMD_CACHE:
        return NBD_CMD_FLAG_FUA;
    case NBD_CMD_WRITE_ZEROES:
        return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO;
    case NBD_CMD_BLOCK_STATUS:
        return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE;
    default:
        return 0;
    }
}

static bool changes(uint16_t command)
{
    return command == NBD_CMD_WRITE || command == NBD_CMD_TRIM || command == NBD_CMD_WRITE_ZEROES;
}

static int check(const struct nbd_req *q)
{
    const struct nbd_conn *c = q->conn;
    const uint64_t size = vm__blk_size(c->export->node);
    if (q->command > NBD_CMD_BLOCK_STATUS)
        return vm__fail(VM_E_INVAL, "there is no command %u", q->command);
    if ((q->flags & ~flags_of(q->command)) != 0)
        return vm__fail(VM_E_INVAL, "flags %#x make no sense with command %u", q->flags,
                        q->command);
    if (changes(q->command) && c->export->read_only)
        return vm__fail(VM_E_PERM, "the export is read-only");
    if (q->command != NBD_CMD_FLUSH && !vm_in_range(q->off, q->len, size))
        return vm__fail(changes(q->command) ? VM_E_NOSPC : VM_E_INVAL,
                        "the request ends beyond the export");
    if ((q->command == NBD_CMD_READ || q->command == NBD_CMD_CACHE) && q->len > NBD_MAX_PAYLOAD)
        return vm__fail(VM_E_INVAL, "the request is longer than %d bytes", NBD_MAX_PAYLOAD);
    if (q->command == NBD_CMD_BLOCK_STATUS && (c->contexts == 0 || q->len == 0))
        return vm__fail(VM_E_INVAL, c->contexts == 0 ? "no metadata context has been negotiated"
                                                     : "status of nothing");
    return VM_OK;
}

/* ---- carrying it out -------------------------------------------------------------------- */

static void on_done(struct vm_blk_req *r)
{
    struct nbd_req *q = r->opaque;
    /* Trimmed and on stable storage: these are two steps here. */
    if (r->status == VM_OK && r->op == VM_IO_DISCARD && (q->flags & NBD_CMD_FLAG_FUA)) {
        r->op = VM_IO_FLUSH;
        vm__blk_submit(r, NULL);
        return;
    }
    vm__nbd_reply(q, r->status, r->status == VM_OK ? "" : vm_last_error()->message);
}

static void submit(struct nbd_req *q, enum vm_io_op op, uint32_t flags)
{
    q->v = (struct vm_iov) { q->data, q->len };
    q->r = (struct vm_blk_req) {
        .node = q->conn->export->node,
        .op = op,
        .flags = flags | (q->flags & NBD_CMD_FLAG_FUA && changes(q->command) ? VM_IO_FUA : 0),
        .off = q->off,
        .len = q->len,
        .sg = { &q->v, 0 },
        .done = on_done,
        .opaque = q,
    };
    vm__blk_submit(&q->r, NULL);
}

/* On a worker: into the caches on the way. */
static void read_ahead(void *req)
{
    struct nbd_req *q = req;
    struct vm_blk *n = q->conn->export->node;
    int st = vm__nbd_room(q, CACHE_PIECE);
    for (uint32_t at = 0; at < q->len && st == VM_OK; at += CACHE_PIECE) {
        const uint32_t left = q->len - at;
        vm__blk_io_begin(n);
        st = vm__blk_read(n, q->off + at, q->data, left < CACHE_PIECE ? left : CACHE_PIECE);
        vm__blk_io_end(n);
    }
    vm__nbd_reply(q, st, vm_last_error()->message);
}

static void on_worker(struct nbd_req *q, void (*fn)(void *))
{
    q->work = (struct vm_work) { .fn = fn, .opaque = q };
    vm__pool_add(q->conn->server->pool, &q->work);
}

/* Its bytes, if it has any, are there. */
static void start(struct nbd_req *q)
{
    int st = check(q);
    if (st == VM_OK && q->command == NBD_CMD_READ)
        st = vm__nbd_room(q, q->len);
    if (st != VM_OK) {
        vm__nbd_reply(q, st, vm_last_error()->message);
        return;
    }
    switch (q->command) {
    case NBD_CMD_READ:
        submit(q, VM_IO_READ, 0);
        break;
    case NBD_CMD_WRITE:
        submit(q, VM_IO_WRITE, 0);
        break;
    case NBD_CMD_FLUSH:
        q->len = 0;
        submit(q, VM_IO_FLUSH, 0);
        break;
    case NBD_CMD_TRIM:
        submit(q, VM_IO_DISCARD, 0);
        break;
    case NBD_CMD_WRITE_ZEROES:
        submit(q, VM_IO_ZERO,
               (q->flags & NBD_CMD_FLAG_NO_HOLE ? 0 : VM_IO_UNMAP) |
                   (q->flags & NBD_CMD_FLAG_FAST_ZERO ? VM_IO_NO_FALLBACK : 0));
        break;
    case NBD_CMD_CACHE:
        on_worker(q, read_ahead);
        break;
    case NBD_CMD_BLOCK_STATUS:
        on_worker(q, vm__nbd_status);
        break;
    }
}

/* ---- bytes from the client -------------------------------------------------------------- */

static bool has_room(struct nbd_conn *c)
{
    pthread_mutex_lock(&c->lock);
    const bool room = c->n_requests < NBD_MAX_REQUESTS && c->bytes < NBD_MAX_BYTES;
    pthread_mutex_unlock(&c->lock);
    return room;
}

static int begin(struct nbd_conn *c, const uint8_t *h)
{
    if (vm_be32(h) != NBD_REQUEST_MAGIC)
        return vm__fail(VM_E_CORRUPT, "a request does not begin as one");
    const uint16_t command = vm_be16(h + 6);
    const uint32_t len = vm_be32(h + 24);
    if (command == NBD_CMD_DISC)
        return vm__fail(VM_E_CANCELED, "the client has gone");
    if (command == NBD_CMD_WRITE && len > NBD_MAX_PAYLOAD)
        return vm__fail(VM_E_RANGE, "a write is longer than %d bytes", NBD_MAX_PAYLOAD);
    struct nbd_req *q = vm__nbd_request(c);
    if (q == NULL)
        return VM_E_NOMEM;
    q->command = command;
    q->flags = vm_be16(h + 4);
    q->cookie = vm_be64(h + 8);
    q->off = vm_be64(h + 16);
    q->len = len;
    if (command != NBD_CMD_WRITE || len == 0) {
        start(q);
        return VM_OK;
    }
    if (vm__nbd_room(q, len) != VM_OK) {
        vm__nbd_forget(q);
        return VM_E_NOMEM;
    }
    c->filling = q;
    c->filled = 0;
    return VM_OK;
}

static void got(struct nbd_conn *c, size_t n)
{
    struct nbd_req *q = c->filling;
    c->filled += n;
    if (c->filled == q->len) {
        c->filling = NULL;
        start(q);
    }
}

/* All requests that have arrived. @retval VM_E_AGAIN more bytes are needed
 * @retval VM_E_BUSY some must end before */
static int parse(struct nbd_conn *c)
{
    for (;;) {
        const size_t have = c->in_end - c->in_at;
        if (c->filling != NULL) {
            const size_t want = c->filling->len - c->filled, n = have < want ? have : want;
            memcpy(c->filling->data + c->filled, c->in + c->in_at, n);
            c->in_at += n;
            if (n == 0)
                return VM_E_AGAIN;
            got(c, n);
            continue;
        }
        if (have < NBD_REQUEST_BYTES)
            break;
        if (!has_room(c))
            return VM_E_BUSY;
        const uint8_t *head = c->in + c->in_at;
        c->in_at += NBD_REQUEST_BYTES;
        const int st = begin(c, head);
        if (st != VM_OK)
            return st;
    }
    memmove(c->in, c->in + c->in_at, c->in_end - c->in_at);
    c->in_end -= c->in_at;
    c->in_at = 0;
    return VM_E_AGAIN;
}

/* Receive once: into the write that is coming in, or in front of the next requests. */
static int receive(struct nbd_conn *c)
{
    const bool direct = c->filling != NULL;
    const size_t room = direct ? c->filling->len - c->filled : NBD_IN_BYTES - c->in_end;
    if (direct)
        c->in_at = c->in_end = 0;
    const int64_t n =
        vm__nbd_recv(c, direct ? c->filling->data + c->filled : c->in + c->in_end, room);
    if (n == 0)
        return vm__fail(VM_E_CANCELED, "the client has gone");
    if (n < 0)
        return (int)n;
    c->emptied = c->tls == NULL && (size_t)n < room;
    if (direct)
        got(c, (size_t)n);
    else
        c->in_end += (size_t)n;
    return VM_OK;
}

static int pull(struct nbd_conn *c)
{
    int st = parse(c);
    if (st != VM_E_AGAIN)
        return st;
    if (c->emptied) { /* it had less than there was room for: do not ask again at once */
        c->emptied = false;
        return VM_E_AGAIN;
    }
    st = receive(c);
    if (st != VM_OK)
        return st;
    st = parse(c);
    return st == VM_E_AGAIN ? VM_OK : st;
}

static void cork(struct nbd_conn *c)
{
    pthread_mutex_lock(&c->lock);
    c->corked = true;
    pthread_mutex_unlock(&c->lock);
}

/* What has been asked is done, and answered if the client still listens. */
static void finish(struct nbd_conn *c)
{
    if (c->filling != NULL)
        vm__nbd_forget(c->filling);
    c->deadline = vm__host_ns() + LINGER_NS;
    pthread_mutex_lock(&c->lock);
    while (c->n_requests != 0) {
        if (c->dead) {
            pthread_cond_wait(&c->idle, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        vm__nbd_push(c);
        (void)vm__nbd_sleep(c, false);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}

void vm__nbd_transmit(struct nbd_conn *c)
{
    c->in = malloc(NBD_IN_BYTES);
    c->over = c->in == NULL;
    c->in_at = c->in_end = 0;
    while (!c->over) {
        cork(c);
        const int st = pull(c);
        vm__nbd_push(c);
        if (st == VM_E_AGAIN || st == VM_E_BUSY)
            c->over = !vm__nbd_sleep(c, true);
        else if (st != VM_OK)
            c->over = true;
    }
    finish(c);
    free(c->in);
}
