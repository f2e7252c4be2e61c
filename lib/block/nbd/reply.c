/* SPDX-License-Identifier: MIT */
/**
 * @file reply.c
 * From the result of a request to the last byte of its reply.
 *
 * Replies are queued as they get ready. The first thread that finds nobody sending sends, until the
 * queue is empty or the socket full; then the connection's own thread waits for room. A worker
 * never waits for a client. By TLS only the connection's thread sends.
 *
 * Spec: [NBD "Simple reply message"], [NBD "Structured reply chunk message"].
 */
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "block/nbd/server.h"
#include "host/loop.h"
#include "host/thread.h"

enum { PIECES = 32, ALIGN = 4096 };

/* ---- requests and their memory ---------------------------------------------------------- */

struct nbd_req *vm__nbd_request(struct nbd_conn *c)
{
    struct nbd_req *q = malloc(sizeof *q);
    if (q == NULL) {
        vm__fail_nomem(sizeof *q);
        return NULL;
    }
    memset(q, 0, offsetof(struct nbd_req, head));
    q->out[0] = q->out[1] = (struct vm_iov) { 0 };
    q->sent = 0;
    q->conn = c;
    pthread_mutex_lock(&c->lock);
    c->n_requests++;
    pthread_mutex_unlock(&c->lock);
    return q;
}

static void *take_spare(struct nbd_conn *c, size_t len, size_t *room)
{
    for (uint32_t i = 0; i < NBD_SPARES; i++) {
        const struct vm_iov s = c->spare[i];
        if (s.base != NULL && s.len >= len && s.len / 8 <= len) {
            c->spare[i].base = NULL;
            *room = s.len;
            return s.base;
        }
    }
    return NULL;
}

int vm__nbd_room(struct nbd_req *q, size_t len)
{
    struct nbd_conn *c = q->conn;
    void *p = NULL;
    q->room = len;
    pthread_mutex_lock(&c->lock);
    if (len >= NBD_SPARE_MIN)
        p = take_spare(c, len, &q->room);
    c->bytes += q->room;
    pthread_mutex_unlock(&c->lock);
    /* Aligned, so that it can go past the page cache as it is. */
    if (p == NULL && posix_memalign(&p, len >= ALIGN ? ALIGN : sizeof(void *), len) != 0) {
        pthread_mutex_lock(&c->lock);
        c->bytes -= q->room;
        pthread_mutex_unlock(&c->lock);
        q->room = 0;
        return vm__fail_nomem(len);
    }
    q->data = p;
    return VM_OK;
}

/* With the lock. */
static void free_data(struct nbd_conn *c, struct nbd_req *q)
{
    c->bytes -= q->room;
    for (uint32_t i = 0; i < NBD_SPARES && q->room >= NBD_SPARE_MIN && q->room <= NBD_SPARE_MAX;
         i++)
        if (c->spare[i].base == NULL) {
            c->spare[i] = (struct vm_iov) { q->data, q->room };
            q->data = NULL;
            break;
        }
    free(q->data);
}

static void wake(struct nbd_conn *c)
{
    if (c->sleeping)
        vm__notify_set(c->wake);
}

/* With the lock. */
static void done_with(struct nbd_conn *c, struct nbd_req *q)
{
    free_data(c, q);
    free(q);
    c->n_requests--;
    if (c->starved)
        wake(c);
    if (c->n_requests == 0)
        pthread_cond_signal(&c->idle);
}

void vm__nbd_forget(struct nbd_req *q)
{
    struct nbd_conn *c = q->conn;
    pthread_mutex_lock(&c->lock);
    done_with(c, q);
    pthread_mutex_unlock(&c->lock);
}

/* ---- sending ---------------------------------------------------------------------------- */

/* With the lock: what is to be sent next. */
static uint32_t gather(const struct nbd_conn *c, struct vm_iov v[PIECES])
{
    uint32_t n = 0;
    for (const struct nbd_req *q = c->out_first; q != NULL && n + 2 <= PIECES; q = q->next) {
        size_t skip = q->sent;
        for (int i = 0; i < 2; i++) {
            const size_t len = q->out[i].len;
            if (skip < len)
                v[n++] = (struct vm_iov) { (uint8_t *)q->out[i].base + skip, len - skip };
            skip = skip < len ? 0 : skip - len;
        }
    }
    return n;
}

/* With the lock: @p n bytes have gone. */
static void advance(struct nbd_conn *c, size_t n)
{
    while (c->out_first != NULL) {
        struct nbd_req *q = c->out_first;
        const size_t left = q->out[0].len + q->out[1].len - q->sent;
        if (n < left) {
            q->sent += n;
            return;
        }
        n -= left;
        c->out_first = q->next;
        if (c->out_first == NULL)
            c->out_last = &c->out_first;
        done_with(c, q);
    }
}

static void give_up(struct nbd_conn *c)
{
    c->dead = true;
    vm__socket_shutdown(c->fd);
    while (c->out_first != NULL)
        advance(c, SIZE_MAX);
}

static int64_t send_pieces(struct nbd_conn *c, const struct vm_iov *v, uint32_t n)
{
    return c->tls != NULL ? vm__tls_send(c->tls, v->base, v->len) : vm__socket_send(c->fd, v, n);
}

/* With the lock, which is given up while bytes are sent. */
static void pump(struct nbd_conn *c)
{
    struct vm_iov v[PIECES];
    if (c->sending)
        return;
    c->sending = true;
    while (!c->dead && c->out_first != NULL && !c->blocked) {
        const uint32_t n = gather(c, v);
        pthread_mutex_unlock(&c->lock);
        const int64_t sent = send_pieces(c, v, n);
        pthread_mutex_lock(&c->lock);
        if (sent == VM_E_AGAIN)
            c->blocked = true;
        else if (sent < 0)
            c->dead = true;
        else
            advance(c, (size_t)sent);
    }
    c->sending = false;
    if (c->dead)
        give_up(c);
    if (c->blocked || c->dead)
        wake(c);
}

void vm__nbd_push(struct nbd_conn *c)
{
    pthread_mutex_lock(&c->lock);
    c->corked = false;
    pump(c);
    pthread_mutex_unlock(&c->lock);
}

bool vm__nbd_sleep(struct nbd_conn *c, bool reads)
{
    pthread_mutex_lock(&c->lock);
    const bool room = c->n_requests < NBD_MAX_REQUESTS && c->bytes < NBD_MAX_BYTES;
    const unsigned events = (reads && room ? VM_LOOP_IN : 0) | (c->blocked ? VM_LOOP_OUT : 0);
    /* By TLS nobody else sends: what has come since is to be sent now. */
    const bool wait = !c->dead && (c->out_first == NULL || c->blocked || c->sending) &&
                      (reads || c->n_requests != 0);
    c->starved = !room || !reads;
    c->sleeping = wait;
    pthread_mutex_unlock(&c->lock);
    const int st = wait ? vm__nbd_wait(c, events, !reads) : VM_OK;
    pthread_mutex_lock(&c->lock);
    c->sleeping = c->starved = c->blocked = false;
    if (st != VM_OK)
        give_up(c);
    const bool alive = !c->dead;
    pthread_mutex_unlock(&c->lock);
    return alive;
}

/* ---- what is said ----------------------------------------------------------------------- */

static uint32_t nbd_error(int status)
{
    switch (status) {
    case VM_OK:
        return 0;
    case VM_E_PERM:
        return NBD_EPERM;
    case VM_E_NOMEM:
        return NBD_ENOMEM;
    case VM_E_NOSPC:
        return NBD_ENOSPC;
    case VM_E_NOTSUP:
        return NBD_ENOTSUP;
    case VM_E_INVAL:
    case VM_E_RANGE:
        return NBD_EINVAL;
    default:
        return NBD_EIO;
    }
}

static void simple(struct nbd_req *q, uint32_t error)
{
    vm_put_be32(q->head, NBD_SIMPLE_REPLY_MAGIC);
    vm_put_be32(q->head + 4, error);
    vm_put_be64(q->head + 8, q->cookie);
    q->out[0] = (struct vm_iov) { q->head, NBD_SIMPLE_REPLY_BYTES };
    if (q->command == NBD_CMD_READ && error == 0)
        q->out[1] = (struct vm_iov) { q->data, q->len };
}

/* The only chunk of a reply; @p own bytes of its payload stand in the head already. */
static void chunk(struct nbd_req *q, uint32_t type, size_t own, size_t data)
{
    vm_put_be32(q->head, NBD_CHUNK_MAGIC);
    vm_put_be16(q->head + 4, NBD_REPLY_FLAG_DONE);
    vm_put_be16(q->head + 6, (uint16_t)type);
    vm_put_be64(q->head + 8, q->cookie);
    vm_put_be32(q->head + 16, (uint32_t)(own + data));
    q->out[0] = (struct vm_iov) { q->head, NBD_CHUNK_BYTES + own };
    q->out[1] = (struct vm_iov) { q->data, data };
}

/* Nothing but zeros need not travel. */
static void chunk_of_read(struct nbd_req *q)
{
    vm_put_be64(q->head + NBD_CHUNK_BYTES, q->off);
    if (q->len == 0) {
        chunk(q, NBD_CHUNK_NONE, 0, 0);
    } else if (vm_is_zero(q->data, q->len)) {
        vm_put_be32(q->head + NBD_CHUNK_BYTES + 8, q->len);
        chunk(q, NBD_CHUNK_OFFSET_HOLE, 12, 0);
    } else {
        chunk(q, NBD_CHUNK_OFFSET_DATA, 8, q->len);
    }
}

static void chunk_of_error(struct nbd_req *q, uint32_t error, const char *message)
{
    size_t len = strlen(message);
    const size_t room = sizeof q->head - NBD_CHUNK_BYTES - 6;
    if (len > room)
        len = room;
    vm_put_be32(q->head + NBD_CHUNK_BYTES, error);
    vm_put_be16(q->head + NBD_CHUNK_BYTES + 4, (uint16_t)len);
    memcpy(q->head + NBD_CHUNK_BYTES + 6, message, len);
    chunk(q, NBD_CHUNK_ERROR, 6 + len, 0);
}

void vm__nbd_reply(struct nbd_req *q, int status, const char *message)
{
    struct nbd_conn *c = q->conn;
    const uint32_t error = nbd_error(status);
    if (c->structured && error != 0)
        chunk_of_error(q, error, message);
    else if (c->structured && q->command == NBD_CMD_READ)
        chunk_of_read(q);
    else if (q->command == NBD_CMD_BLOCK_STATUS && error == 0)
        q->out[0] = (struct vm_iov) { q->data, q->data_bytes };
    else
        simple(q, error);
    pthread_mutex_lock(&c->lock);
    if (c->dead) {
        done_with(c, q);
    } else {
        q->next = NULL;
        *c->out_last = q;
        c->out_last = &q->next;
        if (c->tls != NULL)
            wake(c);
        else if (!c->corked)
            pump(c);
    }
    pthread_mutex_unlock(&c->lock);
}
