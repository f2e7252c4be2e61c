/* SPDX-License-Identifier: MIT */
/**
 * @file nbd_connect.c
 * NBD client: from a name or options to a connection.
 *
 * Names are URIs (nbd://HOST:PORT/EXPORT, nbds://, nbd+unix:///EXPORT?socket=PATH) or QEMU's older
 * nbd:HOST:PORT:exportname=EXPORT and nbd:unix:PATH:exportname=EXPORT.
 */
#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/nbd/creds.h"
#include "block/options.h"
#include "blockfmt/nbd_client.h"

enum { MAX_SECONDS = 1 << 20 };

int vm__nbd_fail(void)
{
    const int os = nbd_get_errno();
    const char *why = nbd_get_error();
    int code = VM_E_IO;
    if (os == EINVAL)
        code = VM_E_INVAL;
    else if (os == ENOSPC)
        code = VM_E_NOSPC;
    else if (os == EPERM || os == EACCES)
        code = VM_E_PERM;
    else if (os == ENOTSUP || os == EOPNOTSUPP)
        code = VM_E_NOTSUP;
    else if (os == ENOMEM)
        code = VM_E_NOMEM;
    return vm__fail(code, "%.200s", why != NULL ? why : "the NBD library does not say why");
}

/* ---- names ------------------------------------------------------------------------------ */

static int copy(char **to, const char *from, size_t len)
{
    free(*to);
    *to = strndup(from, len);
    return *to != NULL ? VM_OK : vm__fail_nomem(len);
}

static int copy_text(char **to, const char *from)
{
    return from != NULL ? copy(to, from, strlen(from)) : VM_OK;
}

/* nbd:unix:PATH[:exportname=NAME], nbd:HOST:PORT[:exportname=NAME] */
static int old_name(struct nbd_target *t, const char *name)
{
    static const char mark[] = ":exportname=";
    const char *rest = name + 4, *export = strstr(rest, mark);
    size_t len = export != NULL ? (size_t)(export - rest) : strlen(rest);
    int st = export != NULL ? copy_text(&t->export, export + sizeof mark - 1) : VM_OK;
    if (st != VM_OK)
        return st;
    if (strncmp(rest, "unix:", 5) == 0)
        return copy(&t->path, rest + 5, len - 5);
    const char *colon = memrchr(rest, ':', len);
    if (colon == NULL || colon == rest)
        return vm__fail(VM_E_INVAL, "'%.100s' is no name of an NBD server", name);
    const size_t host = (size_t)(colon - rest);
    const bool bracketed = host > 2 && rest[0] == '[' && colon[-1] == ']';
    st = copy(&t->host, rest + bracketed, host - 2 * (size_t)bracketed);
    return st == VM_OK ? copy(&t->port, colon + 1, len - host - 1) : st;
}

static int take_name(struct nbd_target *t, const char *name)
{
    if (strncmp(name, "nbd+tcp://", 10) == 0) {
        const size_t room = strlen(name);
        if ((t->uri = malloc(room)) == NULL)
            return vm__fail_nomem(room);
        snprintf(t->uri, room, "nbd://%s", name + 10);
        return VM_OK;
    }
    return strstr(name, "://") != NULL ? copy_text(&t->uri, name) : old_name(t, name);
}

/* ---- options ---------------------------------------------------------------------------- */

static int take_server(struct nbd_target *t, struct vm_blk_options *o)
{
    struct vm_blk_options *server = vm__opt_sub(o, "server");
    if (server == NULL)
        return VM_OK;
    const char *type = vm__opt_str(server, "type");
    int st = VM_OK;
    if (type == NULL || strcmp(type, "inet") == 0) {
        st = copy_text(&t->host, vm__opt_str(server, "host"));
        if (st == VM_OK)
            st = copy_text(&t->port, vm__opt_str(server, "port"));
    } else if (strcmp(type, "unix") == 0) {
        st = copy_text(&t->path, vm__opt_str(server, "path"));
    } else {
        st = vm__fail(VM_E_NOTSUP, "an NBD server of type '%.40s'", type);
    }
    const char *left = vm__opt_unused(server);
    if (st == VM_OK && left != NULL)
        st = vm__fail(VM_E_INVAL, "Block protocol 'nbd' doesn't support the option 'server.%.60s'",
                      left);
    vm__options_free(server);
    return st;
}

static int take_texts(struct nbd_target *t, struct vm_blk_options *o)
{
    const struct {
        const char *name;
        char **to;
    } rows[] = {
        { "host", &t->host },     { "port", &t->port },     { "path", &t->path },
        { "export", &t->export }, { "tls-creds", &t->tls }, { "tls-hostname", &t->tls_hostname },
    };
    int st = VM_OK;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && st == VM_OK; i++)
        st = copy_text(rows[i].to, vm__opt_str(o, rows[i].name));
    return st;
}

static int check_target(struct nbd_target *t)
{
    if (t->uri == NULL && t->host == NULL && t->path == NULL)
        return vm__fail(VM_E_INVAL, "NBD server address missing");
    if ((t->uri != NULL) + (t->host != NULL) + (t->path != NULL) > 1)
        return vm__fail(VM_E_INVAL, "a file name, path and host of an NBD server are mutually "
                                    "exclusive");
    if (t->host != NULL && t->port == NULL)
        return copy_text(&t->port, "10809");
    if (t->reconnect_delay > MAX_SECONDS || t->open_timeout > MAX_SECONDS)
        return vm__fail(VM_E_RANGE, "reconnect-delay or open-timeout is too large");
    return VM_OK;
}

int vm__nbd_target(struct nbd_target *t, const struct vm_blk *n, struct vm_blk_options *o)
{
    *t = (struct nbd_target) { .trusted = n->why == VM_WHY_USER };
    const bool named = n->filename != NULL && *n->filename != '\0';
    int st = named ? take_name(t, n->filename) : VM_OK;
    if (st == VM_OK)
        st = take_server(t, o);
    if (st == VM_OK)
        st = take_texts(t, o);
    if (st == VM_OK)
        st = vm__opt_u64(o, "reconnect-delay", &t->reconnect_delay);
    if (st == VM_OK)
        st = vm__opt_u64(o, "open-timeout", &t->open_timeout);
    if (st == VM_OK)
        st = check_target(t);
    if (st != VM_OK)
        vm__nbd_target_free(t);
    return st;
}

void vm__nbd_target_free(struct nbd_target *t)
{
    char *const all[] = { t->uri, t->host, t->port, t->path, t->export, t->tls, t->tls_hostname };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    *t = (struct nbd_target) { 0 };
}

/* ---- connecting ------------------------------------------------------------------------- */

static int set_tls(struct nbd_handle *h, const struct nbd_target *t, struct vm_blk_env *env)
{
    struct nbd_creds c;
    char keys[1100];
    int bad;
    const int st = vm__creds_get(env, t->tls, &c);
    if (st != VM_OK)
        return st;
    if (!c.client)
        return vm__fail(VM_E_INVAL, "Expecting TLS credentials with a client endpoint");
    bad = nbd_set_tls(h, LIBNBD_TLS_REQUIRE);
    if (c.kind == VM_TLS_PSK) {
        snprintf(keys, sizeof keys, "%s/keys.psk", c.folder);
        bad |= nbd_set_tls_psk_file(h, keys);
        bad |= nbd_set_tls_username(h, *c.user != '\0' ? c.user : "qemu");
    } else {
        bad |= nbd_set_tls_certificates(h, c.folder);
        bad |= nbd_set_tls_verify_peer(h, c.verify_peer);
    }
    return bad != 0 ? vm__nbd_fail() : VM_OK;
}

static int dial(struct nbd_handle *h, const struct nbd_target *t)
{
    if (t->uri != NULL)
        return nbd_connect_uri(h, t->uri);
    return t->path != NULL ? nbd_connect_unix(h, t->path) : nbd_connect_tcp(h, t->host, t->port);
}

struct nbd_handle *vm__nbd_connect(const struct nbd_target *t, struct vm_blk_env *env)
{
    struct nbd_handle *h = nbd_create();
    int st = VM_OK;
    if (h == NULL) {
        vm__nbd_fail();
        return NULL;
    }
    if (nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        nbd_set_uri_allow_local_file(h, t->trusted) != 0 ||
        (t->export != NULL && nbd_set_export_name(h, t->export) != 0))
        st = vm__nbd_fail();
    if (st == VM_OK && t->tls != NULL)
        st = set_tls(h, t, env);
    if (st == VM_OK && dial(h, t) != 0)
        st = vm__nbd_fail();
    if (st == VM_OK)
        return h;
    nbd_close(h);
    return NULL;
}
