/* SPDX-License-Identifier: MIT */
/**
 * @file creds.h
 * TLS credentials by name, as `--object tls-creds-…` has them.
 *
 * They are kept as text among the secrets of the context; files are read when they are needed.
 */
#ifndef LIBVM_BLOCK_NBD_CREDS_H
#define LIBVM_BLOCK_NBD_CREDS_H

#include "host/tls.h"

struct vm_blk_env;
struct vm_ctx;

/** What credentials say. */
struct nbd_creds {
    enum vm_tls_kind kind;
    char folder[1024], priority[128], user[128]; /**< "": none */
    bool verify_peer, client;
};

/** Check "kind=x509,dir=…" and keep it under @p id. */
int vm__creds_add(struct vm_ctx *ctx, const char *id, const char *options);
/** What was kept. @retval VM_E_NOENT "No TLS credentials with id 'X'" */
int vm__creds_get(struct vm_blk_env *env, const char *id, struct nbd_creds *creds);
/** For a server: read the files. NULL with the error set. */
struct vm_tls_creds *vm__creds_open(struct vm_ctx *ctx, const char *id);

#endif
