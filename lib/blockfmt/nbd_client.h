/* SPDX-License-Identifier: MIT */
/**
 * @file nbd_client.h
 * The NBD client's two halves: how a server is found (nbd_connect.c) and what is asked of it
 * (nbd.c).
 */
#ifndef LIBVM_BLOCKFMT_NBD_CLIENT_H
#define LIBVM_BLOCKFMT_NBD_CLIENT_H

#include <pthread.h>

#include "block/node.h"

struct nbd_handle;

/** Where a server is, and as what we come; texts are its own, NULL: not given. */
struct nbd_target {
    char *uri;                /**< as libnbd has it; or… */
    char *host, *port, *path; /**< …a TCP address or a unix socket */
    char *export;             /**< its name; NULL: the empty one */
    char *tls, *tls_hostname; /**< credentials by id */
    uint64_t reconnect_delay; /**< seconds that requests wait for a new connection */
    uint64_t open_timeout;    /**< seconds to go on trying at first */
    bool trusted;             /**< the caller named it: it may name files of keys */
};

struct nbd_client {
    struct nbd_target target;
    uint64_t max_request, min_block;
    bool can_flush, can_fua, can_trim, can_zero, can_fast_zero, can_status;

    _Atomic uint64_t changes, synced; /* made, and of these on stable storage */
    pthread_t thread;
    int wake;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    struct nbd_handle *h; /* NULL: there is no connection now */
    uint32_t issuing;     /* threads that are in a call with `h` */
    bool quit;

    pthread_mutex_t rmw_lock; /* writes of parts of a block */
};

/** With the lock: the connection, which may have to be waited for; NULL: it did not come in time.
 */
struct nbd_handle *vm__nbd_connection(struct nbd_client *s, uint64_t deadline);
/** Receive, and connect again. @p node: the vm_blk. */
void *vm__nbd_client_thread(void *node);

/** From a file name and options. */
int vm__nbd_target(struct nbd_target *t, const struct vm_blk *n, struct vm_blk_options *o);
void vm__nbd_target_free(struct nbd_target *t);
/** A connection on which the export has been chosen; NULL with the error set. */
struct nbd_handle *vm__nbd_connect(const struct nbd_target *t, struct vm_blk_env *env);
/** The error of libnbd's last call on this thread. */
int vm__nbd_fail(void);

#endif
