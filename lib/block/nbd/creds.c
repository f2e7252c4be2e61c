/* SPDX-License-Identifier: MIT */
/**
 * @file creds.c
 * TLS credentials by name.
 */
#include "block/nbd/creds.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/options.h"

enum { TEXT_BYTES = 2048 };

static int take_text(struct vm_blk_options *o, const char *name, char *to, size_t room)
{
    const char *text = vm__opt_str(o, name);
    *to = '\0';
    if (text != NULL && strlen(text) >= room)
        return vm__fail(VM_E_RANGE, "%s is longer than %zu bytes", name, room - 1);
    if (text != NULL)
        strcpy(to, text);
    return VM_OK;
}

static int take(struct vm_blk_options *o, struct nbd_creds *c)
{
    static const char *const kinds[] = { "none", "x509", "psk", NULL };
    static const char *const ends[] = { "server", "client", NULL };
    uint32_t kind = 0, end = 1; /* as QEMU: a client unless said otherwise */
    *c = (struct nbd_creds) { .verify_peer = true };
    int st = vm__opt_enum(o, "kind", kinds, &kind);
    if (st == VM_OK)
        st = vm__opt_enum(o, "endpoint", ends, &end);
    if (st == VM_OK)
        st = vm__opt_bool(o, "verify-peer", &c->verify_peer);
    if (st == VM_OK)
        st = take_text(o, "dir", c->folder, sizeof c->folder);
    if (st == VM_OK)
        st = take_text(o, "priority", c->priority, sizeof c->priority);
    if (st == VM_OK)
        st = take_text(o, "username", c->user, sizeof c->user);
    if (st != VM_OK)
        return st;
    if (kind == 0 || *c->folder == '\0')
        return vm__fail(VM_E_INVAL, "TLS credentials need kind=x509 or kind=psk, and dir=");
    const char *left = vm__opt_unused(o);
    if (left != NULL)
        return vm__fail(VM_E_INVAL, "TLS credentials have no property '%.60s'", left);
    c->kind = (enum vm_tls_kind)kind;
    c->client = end == 1;
    return VM_OK;
}

static int understand(const char *text, struct nbd_creds *c)
{
    struct vm_blk_options *o = vm__options_new();
    int st = o != NULL ? vm__options_parse(o, text, NULL) : VM_E_NOMEM;
    if (st == VM_OK)
        st = take(o, c);
    vm__options_free(o);
    return st;
}

int vm__creds_add(struct vm_ctx *ctx, const char *id, const char *options)
{
    struct vm_blk_env *env = vm__ctx_block(ctx);
    struct nbd_creds c;
    int st = env != NULL ? understand(options, &c) : VM_E_NOMEM;
    if (st == VM_OK && strlen(options) >= TEXT_BYTES)
        st = vm__fail(VM_E_RANGE, "TLS credentials are described in %d bytes", TEXT_BYTES - 1);
    return st == VM_OK ? vm__secret_add(env, id, options, strlen(options)) : st;
}

int vm__creds_get(struct vm_blk_env *env, const char *id, struct nbd_creds *creds)
{
    char text[TEXT_BYTES];
    size_t len = sizeof text - 1;
    if (vm__secret_get(env, id, text, &len) != VM_OK)
        return vm__fail(VM_E_NOENT, "No TLS credentials with id '%.60s'", id);
    text[len] = '\0';
    return understand(text, creds);
}

struct vm_tls_creds *vm__creds_open(struct vm_ctx *ctx, const char *id)
{
    struct vm_blk_env *env = vm__ctx_block(ctx);
    struct nbd_creds c;
    if (env == NULL || vm__creds_get(env, id, &c) != VM_OK)
        return NULL;
    if (c.client) {
        vm__fail(VM_E_INVAL, "Expecting TLS credentials with a server endpoint");
        return NULL;
    }
    const struct vm_tls_files files = {
        .kind = c.kind,
        .folder = c.folder,
        .priority = *c.priority != '\0' ? c.priority : NULL,
        .verify_peer = c.verify_peer,
    };
    return vm__tls_creds_new(&files);
}
