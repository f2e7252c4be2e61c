/* SPDX-License-Identifier: MIT */
/**
 * @file negotiate.c
 * From the greeting to the chosen export: fixed newstyle negotiation.
 *
 * Spec: [NBD "Newstyle negotiation"], [NBD "Option types"]. Not offered: NBD_OPT_PEEK_EXPORT and
 * NBD_OPT_EXTENDED_HEADERS, which are answered as unknown.
 */
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "block/nbd/server.h"

enum {
    OPTION_ROOM = 64 << 10,  /* a longer option is answered with an error… */
    OPTION_LIMIT = 32 << 20, /* …and one longer than any request ends it */
    PREFERRED_BLOCK = 4096,
};

static const char *const context_names[NBD_CONTEXTS] = { "base:allocation",
                                                         "qemu:allocation-depth" };

/* An option as it came, and how far it has been read. */
struct option {
    uint32_t code, len, at;
    uint8_t *data;
};

/* ---- replies ---------------------------------------------------------------------------- */

static int reply(struct nbd_conn *c, const struct option *o, uint32_t type, const void *data,
                 size_t len)
{
    uint8_t head[NBD_OPTION_REPLY_BYTES];
    vm_put_be64(head, NBD_OPTION_REPLY_MAGIC);
    vm_put_be32(head + 8, o->code);
    vm_put_be32(head + 12, type);
    vm_put_be32(head + 16, (uint32_t)len);
    const int st = vm__nbd_put(c, head, sizeof head);
    return st == VM_OK && len != 0 ? vm__nbd_put(c, data, len) : st;
}

static int refuse(struct nbd_conn *c, const struct option *o, uint32_t type, const char *why)
{
    return reply(c, o, type, why, strlen(why));
}

static int invalid(struct nbd_conn *c, const struct option *o)
{
    return refuse(c, o, NBD_REP_ERR_INVALID, "the option's data make no sense");
}

static int unknown_export(struct nbd_conn *c, const struct option *o)
{
    return refuse(c, o, NBD_REP_ERR_UNKNOWN, "there is no export of this name");
}

/* ---- reading an option's data ----------------------------------------------------------- */

static bool take_u32(struct option *o, uint32_t *v)
{
    if (o->len - o->at < 4)
        return false;
    *v = vm_be32(o->data + o->at);
    o->at += 4;
    return true;
}

static bool take_u16(struct option *o, uint16_t *v)
{
    if (o->len - o->at < 2)
        return false;
    *v = vm_be16(o->data + o->at);
    o->at += 2;
    return true;
}

static bool take_string(struct option *o, const char **s, uint32_t *len)
{
    if (!take_u32(o, len) || *len > NBD_MAX_STRING || *len > o->len - o->at)
        return false;
    *s = (const char *)o->data + o->at;
    o->at += *len;
    return true;
}

/* ---- exports ---------------------------------------------------------------------------- */

uint16_t vm__nbd_flags(const struct nbd_conn *c, const struct nbd_export *e)
{
    unsigned flags =
        NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_CACHE;
    flags |= e->read_only
                 ? NBD_FLAG_READ_ONLY
                 : NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
    if (c->structured)
        flags |= NBD_FLAG_SEND_DF;
    /* All connections work on one node: a flush on one is a flush of what all have written. */
    if (c->server->max_connections != 1)
        flags |= NBD_FLAG_CAN_MULTI_CONN;
    return (uint16_t)flags;
}

static struct nbd_export *first_export(struct vm_nbd *s)
{
    pthread_mutex_lock(&s->lock);
    struct nbd_export *e = s->exports;
    pthread_mutex_unlock(&s->lock);
    return e;
}

static struct nbd_export *next_export(struct vm_nbd *s, const struct nbd_export *e)
{
    pthread_mutex_lock(&s->lock);
    struct nbd_export *next = e->next;
    pthread_mutex_unlock(&s->lock);
    return next;
}

static int list(struct nbd_conn *c, struct option *o)
{
    uint8_t text[4 + 2 * NBD_MAX_STRING];
    if (o->len != 0)
        return invalid(c, o);
    int st = VM_OK;
    for (const struct nbd_export *e = first_export(c->server); e != NULL && st == VM_OK;
         e = next_export(c->server, e)) {
        const size_t name = strlen(e->name), rest = strlen(e->description);
        vm_put_be32(text, (uint32_t)name);
        memcpy(text + 4, e->name, name);
        memcpy(text + 4 + name, e->description, rest);
        st = reply(c, o, NBD_REP_SERVER, text, 4 + name + rest);
    }
    return st == VM_OK ? reply(c, o, NBD_REP_ACK, NULL, 0) : st;
}

/* The old way to choose: no reply but the export itself; an unknown one ends it. */
static int export_name(struct nbd_conn *c, struct option *o)
{
    uint8_t answer[8 + 2 + 124] = { 0 };
    struct nbd_export *e = vm__nbd_find(c->server, (const char *)o->data, o->len);
    if (e == NULL)
        return vm__fail(VM_E_NOENT, "the client asks for an export that is not there");
    vm_put_be64(answer, vm__blk_size(e->node));
    vm_put_be16(answer + 8, vm__nbd_flags(c, e));
    c->export = e;
    return vm__nbd_put(c, answer, c->no_zeroes ? 10 : sizeof answer);
}

static int info_text(struct nbd_conn *c, const struct option *o, uint16_t type, const char *text)
{
    uint8_t data[2 + NBD_MAX_STRING];
    const size_t len = strlen(text);
    vm_put_be16(data, type);
    memcpy(data + 2, text, len);
    return reply(c, o, NBD_REP_INFO, data, 2 + len);
}

static int info_sizes(struct nbd_conn *c, const struct option *o)
{
    uint8_t data[14];
    vm_put_be16(data, NBD_INFO_BLOCK_SIZE);
    vm_put_be32(data + 2, 1);
    vm_put_be32(data + 6, PREFERRED_BLOCK);
    vm_put_be32(data + 10, NBD_MAX_PAYLOAD);
    return reply(c, o, NBD_REP_INFO, data, sizeof data);
}

static int info_export(struct nbd_conn *c, const struct option *o, const struct nbd_export *e)
{
    uint8_t data[12];
    vm_put_be16(data, NBD_INFO_EXPORT);
    vm_put_be64(data + 2, vm__blk_size(e->node));
    vm_put_be16(data + 10, vm__nbd_flags(c, e));
    return reply(c, o, NBD_REP_INFO, data, sizeof data);
}

/* NBD_OPT_INFO tells of an export, NBD_OPT_GO also chooses it. */
static int go(struct nbd_conn *c, struct option *o)
{
    const char *name;
    uint32_t len;
    uint16_t n, type;
    bool want_name = false, want_description = false;
    if (!take_string(o, &name, &len) || !take_u16(o, &n))
        return invalid(c, o);
    for (uint16_t i = 0; i < n; i++) {
        if (!take_u16(o, &type))
            return invalid(c, o);
        want_name = want_name || type == NBD_INFO_NAME;
        want_description = want_description || type == NBD_INFO_DESCRIPTION;
    }
    if (o->at != o->len)
        return invalid(c, o);
    struct nbd_export *e = vm__nbd_find(c->server, name, len);
    if (e == NULL)
        return unknown_export(c, o);
    int st = want_name ? info_text(c, o, NBD_INFO_NAME, e->name) : VM_OK;
    if (st == VM_OK && want_description && *e->description != '\0')
        st = info_text(c, o, NBD_INFO_DESCRIPTION, e->description);
    if (st == VM_OK)
        st = info_sizes(c, o);
    if (st == VM_OK)
        st = info_export(c, o, e);
    if (st == VM_OK)
        st = reply(c, o, NBD_REP_ACK, NULL, 0);
    if (st == VM_OK && o->code == NBD_OPT_GO)
        c->export = e;
    return st;
}

/* ---- metadata contexts ------------------------------------------------------------------ */

static bool offers(const struct nbd_export *e, uint32_t context)
{
    return context == NBD_CTX_ALLOCATION || e->depth;
}

/* Asking for a list, a namespace with its colon stands for all in it. */
static bool matches(const char *query, uint32_t len, const char *name, bool listing)
{
    if (len == strlen(name) && memcmp(query, name, len) == 0)
        return true;
    const size_t space = (size_t)(strchr(name, ':') - name) + 1;
    return listing && len == space && memcmp(query, name, len) == 0;
}

static int tell_contexts(struct nbd_conn *c, const struct option *o, uint32_t found)
{
    uint8_t data[4 + 32];
    int st = VM_OK;
    for (uint32_t i = 0; i < NBD_CONTEXTS && st == VM_OK; i++) {
        if (!(found & 1u << i))
            continue;
        const size_t len = strlen(context_names[i]);
        vm_put_be32(data, o->code == NBD_OPT_SET_META_CONTEXT ? i : 0);
        memcpy(data + 4, context_names[i], len);
        st = reply(c, o, NBD_REP_META_CONTEXT, data, 4 + len);
    }
    return st == VM_OK ? reply(c, o, NBD_REP_ACK, NULL, 0) : st;
}

static int meta_context(struct nbd_conn *c, struct option *o)
{
    const bool listing = o->code == NBD_OPT_LIST_META_CONTEXT;
    const char *name, *query;
    uint32_t len, n, found = 0;
    if (!listing)
        c->contexts = 0; /* whatever follows, the earlier choice is gone */
    if (!c->structured)
        return refuse(c, o, NBD_REP_ERR_INVALID, "structured replies have not been negotiated");
    if (!take_string(o, &name, &len) || !take_u32(o, &n))
        return invalid(c, o);
    struct nbd_export *e = vm__nbd_find(c->server, name, len);
    if (e == NULL)
        return unknown_export(c, o);
    for (uint32_t i = 0; i < NBD_CONTEXTS && listing && n == 0; i++)
        found |= offers(e, i) ? 1u << i : 0;
    for (uint32_t q = 0; q < n; q++) { /* each takes four bytes of the option at least */
        if (!take_string(o, &query, &len))
            return invalid(c, o);
        for (uint32_t i = 0; i < NBD_CONTEXTS; i++)
            if (offers(e, i) && matches(query, len, context_names[i], listing))
                found |= 1u << i;
    }
    if (o->at != o->len)
        return invalid(c, o);
    if (!listing) {
        c->contexts = found;
        c->contexts_of = e;
    }
    return tell_contexts(c, o, found);
}

/* ---- the options ------------------------------------------------------------------------ */

static int structured_reply(struct nbd_conn *c, struct option *o)
{
    if (o->len != 0)
        return invalid(c, o);
    c->structured = true;
    return reply(c, o, NBD_REP_ACK, NULL, 0);
}

static int start_tls(struct nbd_conn *c, struct option *o)
{
    if (o->len != 0 || c->tls != NULL)
        return invalid(c, o);
    if (c->server->creds == NULL)
        return refuse(c, o, NBD_REP_ERR_POLICY, "TLS is not configured here");
    const int st = reply(c, o, NBD_REP_ACK, NULL, 0);
    if (st != VM_OK)
        return st;
    c->structured = false; /* what was said before cannot be trusted */
    c->contexts = 0;
    return vm__nbd_start_tls(c);
}

static int answer(struct nbd_conn *c, struct option *o)
{
    if (o->code == NBD_OPT_ABORT) {
        (void)reply(c, o, NBD_REP_ACK, NULL, 0);
        return vm__fail(VM_E_CANCELED, "the client has gone");
    }
    if (c->server->creds != NULL && c->tls == NULL && o->code != NBD_OPT_STARTTLS) {
        if (o->code == NBD_OPT_EXPORT_NAME)
            return vm__fail(VM_E_PERM, "the client does not use TLS");
        return refuse(c, o, NBD_REP_ERR_TLS_REQD, "Option not permitted before TLS");
    }
    switch (o->code) {
    case NBD_OPT_EXPORT_NAME:
        return export_name(c, o);
    case NBD_OPT_LIST:
        return list(c, o);
    case NBD_OPT_STARTTLS:
        return start_tls(c, o);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        return go(c, o);
    case NBD_OPT_STRUCTURED_REPLY:
        return structured_reply(c, o);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        return meta_context(c, o);
    default:
        return refuse(c, o, NBD_REP_ERR_UNSUP, "there is no such option here");
    }
}

static int skip(struct nbd_conn *c, const struct option *o)
{
    uint8_t nowhere[4096];
    for (uint32_t left = o->len; left != 0;) {
        const uint32_t part = left < sizeof nowhere ? left : (uint32_t)sizeof nowhere;
        const int st = vm__nbd_get(c, nowhere, part);
        if (st != VM_OK)
            return st;
        left -= part;
    }
    return refuse(c, o, NBD_REP_ERR_TOO_BIG, "the option's data are too long");
}

static int one_option(struct nbd_conn *c, uint8_t *room)
{
    uint8_t head[NBD_OPTION_BYTES];
    int st = vm__nbd_get(c, head, sizeof head);
    if (st != VM_OK)
        return st;
    struct option o = { .code = vm_be32(head + 8), .len = vm_be32(head + 12), .data = room };
    if (vm_be64(head) != NBD_OPTION_MAGIC || o.len > OPTION_LIMIT)
        return vm__fail(VM_E_CORRUPT, "the client does not speak this protocol");
    if (o.len > OPTION_ROOM)
        return skip(c, &o);
    st = vm__nbd_get(c, room, o.len);
    return st == VM_OK ? answer(c, &o) : st;
}

int vm__nbd_negotiate(struct nbd_conn *c)
{
    uint8_t greeting[18], flags[4];
    vm_put_be64(greeting, NBD_MAGIC);
    vm_put_be64(greeting + 8, NBD_OPTION_MAGIC);
    vm_put_be16(greeting + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    int st = vm__nbd_put(c, greeting, sizeof greeting);
    if (st == VM_OK)
        st = vm__nbd_get(c, flags, sizeof flags);
    if (st != VM_OK)
        return st;
    const uint32_t known = NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES;
    if ((vm_be32(flags) & ~known) != 0)
        return vm__fail(VM_E_CORRUPT, "the client has flags %#x", vm_be32(flags));
    c->no_zeroes = vm_be32(flags) & NBD_FLAG_NO_ZEROES;
    uint8_t *room = malloc(OPTION_ROOM);
    if (room == NULL)
        return vm__fail_nomem(OPTION_ROOM);
    while (st == VM_OK && c->export == NULL)
        st = one_option(c, room);
    free(room);
    if (st == VM_OK && c->contexts_of != c->export)
        c->contexts = 0;
    return st;
}
