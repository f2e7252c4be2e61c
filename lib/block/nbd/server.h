/* SPDX-License-Identifier: MIT */
/**
 * @file server.h
 * The NBD server: what it exports, where it listens, whom it serves.
 *
 * A thread accepts; each connection has a thread, which negotiates (negotiate.c) and then takes
 * requests (transmit.c). Requests are served at once where nothing has to wait, else by the worker
 * pool, so many are in progress on one connection; replies go out in the order they are ready
 * (reply.c), from whichever thread has them, and nobody ever waits for a client but the client's
 * own thread.
 *
 * What a client can take is bounded: requests and bytes in progress, replies that it does not read
 * included; the time until it has chosen an export; connections.
 *
 * Lock order: the server's, then a connection's.
 */
#ifndef LIBVM_BLOCK_NBD_SERVER_H
#define LIBVM_BLOCK_NBD_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "block/nbd/proto.h"
#include "block/request.h"
#include "host/socket.h"
#include "host/tls.h"

struct vm_ctx;

enum {
    NBD_MAX_REQUESTS = 128, /**< in progress on a connection */
    NBD_MAX_BYTES = 64 << 20,
    NBD_MAX_LISTENERS = 12,
    NBD_MAX_EXPORTS = 1024,
    NBD_SPARES = 4,
    NBD_SPARE_MIN = 64 << 10, /**< memory worth keeping… */
    NBD_SPARE_MAX = 4 << 20,  /**< …and what is too much */
    NBD_IN_BYTES = 64 << 10,  /**< of the buffer requests are received in */
};

/** Metadata contexts; also their ids on the wire. */
enum nbd_context { NBD_CTX_ALLOCATION = 0, NBD_CTX_DEPTH, NBD_CONTEXTS };

struct nbd_export {
    struct nbd_export *next;
    struct vm_blk *node; /**< a reference of its own */
    char *name, *description;
    bool read_only;
    bool depth; /**< offers qemu:allocation-depth */
};

struct nbd_conn;

struct vm_nbd {
    struct vm_ctx *ctx;
    struct vm_pool *pool;
    struct vm_tls_creds *creds; /**< NULL: no TLS; else every client must use it */
    uint32_t max_connections;   /**< 0: any number */
    uint64_t handshake_ns;      /**< 0: no limit */

    pthread_mutex_t lock;
    struct nbd_export *exports; /**< in the order added; only ever grows */
    struct nbd_conn *conns;
    uint32_t n_conns;
    uint64_t served; /**< clients that chose an export and have gone */
    int listeners[NBD_MAX_LISTENERS];
    uint32_t n_listeners;
    char *paths[NBD_MAX_LISTENERS]; /**< of unix sockets, to be removed */
    bool stop;
    bool running;
    pthread_t thread;
    int wake;   /**< the accepting thread looks again */
    int notify; /**< of the caller: a client came or went */
};

/** A request, from its arrival until its last byte has been sent. */
struct nbd_req {
    struct vm_blk_req r;
    struct vm_work work;
    struct nbd_conn *conn;
    struct nbd_req *next; /**< of the replies to be sent */
    uint64_t cookie, off;
    uint32_t len;
    uint16_t command, flags;
    struct vm_iov v;
    uint8_t *data; /**< read, write: the bytes; status: the reply's payload */
    size_t room, data_bytes;
    uint8_t head[NBD_CHUNK_BYTES + 16 + 256];
    struct vm_iov out[2];
    size_t sent;
};

struct nbd_conn {
    struct vm_nbd *server;
    struct nbd_conn *next;
    pthread_t thread;
    int fd;
    struct vm_tls *tls;
    int wake;                       /**< makes the connection's thread look again */
    bool finished;                  /**< to be joined; under the server's lock */
    uint64_t deadline;              /**< of negotiation, host time; 0: none */
    bool no_zeroes;                 /**< the client wants no padding */
    bool structured;                /**< structured replies */
    uint32_t contexts;              /**< bits of enum nbd_context, chosen… */
    struct nbd_export *contexts_of; /**< …for this export */
    struct nbd_export *export;      /**< after negotiation */
    bool negotiated;

    /* The connection's thread alone. */
    uint8_t *in;
    size_t in_at, in_end;
    struct nbd_req *filling; /**< a write whose bytes are still coming */
    size_t filled;
    bool over;    /**< the client says goodbye, or cannot be understood */
    bool emptied; /**< the socket had no more, just now */

    pthread_mutex_t lock; /**< what follows */
    pthread_cond_t idle;
    struct nbd_req *out_first, **out_last;
    uint32_t n_requests;
    size_t bytes;
    bool sending;  /**< a thread is at it */
    bool corked;   /**< the connection's thread will send when it has looked at all there is */
    bool blocked;  /**< the socket is full: the connection's thread waits for it */
    bool sleeping; /**< it may be waiting: wake it for news */
    bool dead;     /**< nothing can be sent any more */
    bool starved;  /**< it waits for requests to end */
    struct vm_iov spare[NBD_SPARES]; /**< memory of large requests, kept for the next ones */
};

/* stream.c: bytes of the negotiation, by the connection's thread, until the deadline. */
int vm__nbd_get(struct nbd_conn *c, void *buf, size_t len);
int vm__nbd_put(struct nbd_conn *c, const void *buf, size_t len);
int vm__nbd_start_tls(struct nbd_conn *c);
/** Socket or TLS; VM_E_AGAIN. */
int64_t vm__nbd_recv(struct nbd_conn *c, void *buf, size_t len);
/** Wait for the socket, or to be woken. @retval VM_E_TIMEOUT after the deadline, if @p limited
 *  @retval VM_E_IO nothing was waited for, and the other side has hung up */
int vm__nbd_wait(struct nbd_conn *c, unsigned events, bool limited);

/* negotiate.c */
/** @retval VM_OK c->export has been chosen; VM_E_CANCELED: the client went in peace */
int vm__nbd_negotiate(struct nbd_conn *c);
/** For tests: the flags of an export for a client. */
uint16_t vm__nbd_flags(const struct nbd_conn *c, const struct nbd_export *e);

/* transmit.c */
/** Serve requests until the client goes; all are done when it returns. */
void vm__nbd_transmit(struct nbd_conn *c);

/* reply.c */
/** The request's result is known: queue the reply, and send what can be sent. */
void vm__nbd_reply(struct nbd_req *q, int status, const char *message);
/** Send what is queued, as far as the socket takes it. Only the connection's thread. */
void vm__nbd_push(struct nbd_conn *c);
/** A request of this command, counted as in progress. NULL: no memory. */
struct nbd_req *vm__nbd_request(struct nbd_conn *c);
/** Memory for its bytes: @p q->data. */
int vm__nbd_room(struct nbd_req *q, size_t len);
/** It will get no reply. */
void vm__nbd_forget(struct nbd_req *q);
/** Wait until the socket has or takes bytes, or requests have ended. @p reads: bytes are wanted.
 *  @return false: the client is gone */
bool vm__nbd_sleep(struct nbd_conn *c, bool reads);

/* status.c */
/** On a worker: what lies where, in all chosen contexts. */
void vm__nbd_status(void *req);

/* server.c, for tests: serve on the calling thread until it ends; the descriptor is closed. */
void vm__nbd_serve(struct vm_nbd *s, int fd);

struct vm_nbd *vm__nbd_new(struct vm_ctx *ctx, const char *options);
int vm__nbd_add(struct vm_nbd *s, struct vm_blk *node, const char *name, const char *description,
                bool read_only, bool depth);
int vm__nbd_listen(struct vm_nbd *s, const char *address);
int vm__nbd_listen_fd(struct vm_nbd *s, int fd);
void vm__nbd_free(struct vm_nbd *s);
struct nbd_export *vm__nbd_find(struct vm_nbd *s, const char *name, size_t len);

#endif
