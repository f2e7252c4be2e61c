/* SPDX-License-Identifier: MIT */
/**
 * @file nbd_client.h
 * The NBD client's two halves: how a server is found (nbd_connect.c) and what is asked of it
 * (nbd.c).
 */
#ifndef LIBVM_BLOCKFMT_NBD_CLIENT_H
#define LIBVM_BLOCKFMT_NBD_CLIENT_H

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

/** From a file name and options. */
int vm__nbd_target(struct nbd_target *t, const struct vm_blk *n, struct vm_blk_options *o);
void vm__nbd_target_free(struct nbd_target *t);
/** A connection on which the export has been chosen; NULL with the error set. */
struct nbd_handle *vm__nbd_connect(const struct nbd_target *t, struct vm_blk_env *env);
/** The error of libnbd's last call on this thread. */
int vm__nbd_fail(void);

#endif
