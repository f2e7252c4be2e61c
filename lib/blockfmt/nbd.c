/* SPDX-License-Identifier: MIT */
/**
 * @file nbd.c
 * Protocol "nbd": a disk of another program, here or far away, by libnbd.
 *
 * Requests come from many threads at once and are all in flight on one connection; a thread of the
 * node's own receives what the server says. If the connection is lost that thread makes a new one;
 * requests wait for it as long as `reconnect-delay` says, and are repeated (nbd_link.c).
 *
 * Spec: [NBD "Request types"], [NBD "Size constraints"].
 */
#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/nbd_client.h"
#include "host/futex.h"
#include "host/loop.h"
#include "host/socket.h"
#include "host/thread.h"
#include "host/time.h"

enum {
    RETRY_NS = 100000000,
    MAX_REQUEST = 32 << 20, /* unless the server says otherwise */
    MAX_RANGE = 1 << 30,    /* of requests that carry no bytes */
};

/* One request; on the stack of the thread that waits for it. */
struct call {
    enum { READ, WRITE, ZERO, TRIM, FLUSH, STATUS } what;
    uint64_t off, len;
    void *buf;
    uint32_t flags;
    int error;             /* errno of the server, or of the connection */
    uint32_t extent_flags; /* of status… */
    uint64_t extent;       /* …0: none was told */
    _Atomic uint32_t done;
};

/* ---- one request ------------------------------------------------------------------------ */

static int on_done(void *ud, int *error)
{
    struct call *c = ud;
    c->error = *error;
    atomic_store(&c->done, 1);
    vm__futex_wake(&c->done);
    return 1; /* it need not be asked for */
}

/* The first extent is what is wanted; further ones of the same kind make it longer. */
static int on_extents(void *ud, const char *context, uint64_t off, uint32_t *entries, size_t n,
                      int *error)
{
    struct call *c = ud;
    (void)off;
    (void)error;
    if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || n < 2)
        return 0;
    c->extent_flags = entries[1];
    for (size_t i = 0; i + 1 < n && entries[i + 1] == c->extent_flags; i += 2)
        c->extent += entries[i];
    return 0;
}

static int64_t issue(struct nbd_handle *h, struct call *c)
{
    const nbd_completion_callback done = { .callback = on_done, .user_data = c };
    switch (c->what) {
    case READ:
        return nbd_aio_pread(h, c->buf, c->len, c->off, done, c->flags);
    case WRITE:
        return nbd_aio_pwrite(h, c->buf, c->len, c->off, done, c->flags);
    case ZERO:
        return nbd_aio_zero(h, c->len, c->off, done, c->flags);
    case TRIM:
        return nbd_aio_trim(h, c->len, c->off, done, c->flags);
    case FLUSH:
        return nbd_aio_flush(h, done, c->flags);
    case STATUS:
        break;
    }
    return nbd_aio_block_status(h, c->len, c->off,
                                (nbd_extent_callback) { .callback = on_extents, .user_data = c },
                                done, c->flags);
}

static bool lost(const struct nbd_handle *h, int error)
{
    return error == ENOTCONN || error == ESHUTDOWN || error == EPIPE || error == ECONNRESET ||
           nbd_aio_is_dead((struct nbd_handle *)(uintptr_t)h) != 0 ||
           nbd_aio_is_closed((struct nbd_handle *)(uintptr_t)h) != 0;
}

/* @return 0, an errno, or -1: the connection was lost */
static int try_call(struct nbd_client *s, struct call *c, uint64_t deadline)
{
    pthread_mutex_lock(&s->lock);
    struct nbd_handle *h = vm__nbd_connection(s, deadline);
    if (h != NULL)
        s->issuing++;
    pthread_mutex_unlock(&s->lock);
    if (h == NULL)
        return ENOTCONN;
    atomic_store(&c->done, 0);
    c->error = 0;
    c->extent = 0;
    const bool failed = issue(h, c) < 0;
    if (failed)
        c->error = nbd_get_errno() != 0 ? nbd_get_errno() : EIO;
    vm__notify_set(s->wake); /* it may have to wait for room to send */
    while (!failed && atomic_load(&c->done) == 0)
        vm__futex_wait(&c->done, 0);
    const bool gone = c->error != 0 && lost(h, c->error);
    pthread_mutex_lock(&s->lock);
    s->issuing--;
    pthread_cond_broadcast(&s->changed);
    if (gone && s->h == h) /* the thread looks for another */
        s->h = NULL;
    pthread_mutex_unlock(&s->lock);
    if (gone)
        vm__notify_set(s->wake);
    return gone ? -1 : c->error;
}

static int perform(struct nbd_client *s, struct call *c)
{
    static const char *const words[] = { "read", "write", "zero", "trim", "flush", "status" };
    const uint64_t deadline = vm__host_ns() + s->target.reconnect_delay * UINT64_C(1000000000);
    int os;
    do {
        os = try_call(s, c, deadline);
    } while (os == -1 && vm__host_ns() < deadline);
    switch (os) {
    case 0:
        return VM_OK;
    case EPERM:
        return vm__fail_os(VM_E_PERM, os, "NBD %s", words[c->what]);
    case ENOSPC:
        return vm__fail_os(VM_E_NOSPC, os, "NBD %s", words[c->what]);
    case ENOTSUP:
        return vm__fail_os(VM_E_NOTSUP, os, "NBD %s", words[c->what]);
    case ENOMEM:
        return vm__fail_os(VM_E_NOMEM, os, "NBD %s", words[c->what]);
    case -1:
        os = ENOTCONN;
        /* fallthrough */
    default:
        return vm__fail_os(VM_E_IO, os, "NBD %s", words[c->what]);
    }
}

/* ---- bytes ------------------------------------------------------------------------------ */

/* One request's worth; @p buf is one piece of memory. */
static int transfer(struct nbd_client *s, int what, uint64_t off, size_t len, uint8_t *buf,
                    uint32_t fua)
{
    while (len != 0) {
        const size_t part = len < s->max_request ? len : (size_t)s->max_request;
        struct call c = { .what = what, .off = off, .len = part, .buf = buf, .flags = fua };
        const int st = perform(s, &c);
        if (st != VM_OK)
            return st;
        off += part;
        buf += part;
        len -= part;
    }
    return VM_OK;
}

/* The server wants whole blocks: read them, and put into them what is written. */
static int whole_blocks(struct nbd_client *s, int what, uint64_t off, size_t len, struct vm_sg sg,
                        uint32_t fua)
{
    const uint64_t mask = s->min_block - 1, first = off & ~mask;
    const size_t all = (size_t)(((off + len + mask) & ~mask) - first);
    const bool partial = first != off || all != len;
    uint8_t *buf = malloc(all);
    if (buf == NULL)
        return vm__fail_nomem(all);
    if (what == WRITE)
        pthread_mutex_lock(&s->rmw_lock);
    int st = what == READ || partial ? transfer(s, READ, first, all, buf, 0) : VM_OK;
    if (st == VM_OK && what == READ) {
        vm_sg_put(sg, buf + (off - first), len);
    } else if (st == VM_OK) {
        vm_sg_get(sg, buf + (off - first), len);
        st = transfer(s, WRITE, first, all, buf, fua);
    }
    if (what == WRITE)
        pthread_mutex_unlock(&s->rmw_lock);
    free(buf);
    return st;
}

static int bytes(struct nbd_client *s, int what, uint64_t off, size_t len, struct vm_sg sg,
                 uint32_t fua)
{
    if (((off | len) & (s->min_block - 1)) == 0 && vm_sg_run(sg) >= len)
        return transfer(s, what, off, len, vm_sg_ptr(sg), fua);
    return whole_blocks(s, what, off, len, sg, fua);
}

static int client_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    (void)flags;
    return bytes(n->state, READ, off, len, sg, 0);
}

/* As of files: what had been counted when it began. Nobody waits for a lost server on account of
 * what was only read. */
static int client_flush(struct vm_blk *n, uint32_t flags)
{
    struct nbd_client *s = n->state;
    struct call c = { .what = FLUSH };
    const uint64_t changes = atomic_load(&s->changes);
    uint64_t synced = atomic_load(&s->synced);
    (void)flags;
    if (!s->can_flush || synced >= changes)
        return VM_OK;
    const int st = perform(s, &c);
    while (st == VM_OK && synced < changes &&
           !atomic_compare_exchange_weak(&s->synced, &synced, changes)) {
    }
    return st;
}

static uint32_t fua_flag(const struct nbd_client *s, uint32_t flags)
{
    return flags & VM_IO_FUA && s->can_fua ? LIBNBD_CMD_FLAG_FUA : 0;
}

/* A change has been made. A server without FUA of its own flushes. */
static int forced(struct vm_blk *n, int st, uint32_t flags)
{
    struct nbd_client *s = n->state;
    atomic_fetch_add(&s->changes, 1);
    return st == VM_OK && flags & VM_IO_FUA && !s->can_fua ? client_flush(n, 0) : st;
}

static int client_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    const int st = bytes(n->state, WRITE, off, len, sg, fua_flag(n->state, flags));
    return forced(n, st, flags);
}

static int each_range(struct nbd_client *s, int what, uint64_t off, uint64_t len, uint32_t flags)
{
    int st = VM_OK;
    while (len != 0 && st == VM_OK) {
        const uint64_t part = len < MAX_RANGE ? len : MAX_RANGE;
        struct call c = { .what = what, .off = off, .len = part, .flags = flags };
        st = perform(s, &c);
        off += part;
        len -= part;
    }
    return st;
}

static int client_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct nbd_client *s = n->state;
    if (!s->can_zero || ((off | len) & (s->min_block - 1)) != 0)
        return VM_E_NOTSUP;
    if (flags & VM_IO_NO_FALLBACK && !s->can_fast_zero)
        return VM_E_NOTSUP;
    const uint32_t how = fua_flag(s, flags) |
                         (flags & VM_IO_UNMAP ? 0 : (uint32_t)LIBNBD_CMD_FLAG_NO_HOLE) |
                         (flags & VM_IO_NO_FALLBACK ? (uint32_t)LIBNBD_CMD_FLAG_FAST_ZERO : 0);
    return forced(n, each_range(s, ZERO, off, len, how), flags);
}

static int client_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct nbd_client *s = n->state;
    const uint64_t mask = s->min_block - 1, first = (off + mask) & ~mask, end = (off + len) & ~mask;
    (void)flags;
    return forced(
        n, s->can_trim && first < end ? each_range(s, TRIM, first, end - first, 0) : VM_OK, 0);
}

static int client_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    struct nbd_client *s = n->state;
    const uint64_t mask = s->min_block - 1, first = off & ~mask;
    const uint64_t all = len > MAX_RANGE ? MAX_RANGE : ((off + len + mask) & ~mask) - first;
    struct call c = { .what = STATUS, .off = first, .len = all };
    *e = (struct vm_extent) { .length = len,
                              .flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED | VM_EXTENT_OFFSET,
                              .offset = off,
                              .file = n };
    if (!s->can_status)
        return VM_OK;
    const int st = perform(s, &c);
    if (st != VM_OK || c.extent <= off - first)
        return st;
    if (c.extent - (off - first) < len)
        e->length = c.extent - (off - first);
    if (c.extent_flags & LIBNBD_STATE_ZERO)
        e->flags = (e->flags & ~(uint32_t)VM_EXTENT_DATA) | VM_EXTENT_ZERO |
                   (c.extent_flags & LIBNBD_STATE_HOLE ? 0 : VM_EXTENT_DATA);
    return VM_OK;
}

static int client_info(struct vm_blk *n, struct vm_blk_info *out)
{
    (void)n;
    out->allocated = UINT64_MAX;
    return VM_OK;
}

/* ---- opening ---------------------------------------------------------------------------- */

static const struct vm_blk_option open_options[] = {
    { "filename", VM_OPT_STR, "nbd://HOST[:PORT]/[EXPORT], nbd+unix:///[EXPORT]?socket=PATH" },
    { "server", VM_OPT_STR,
      "server.type=inet,server.host=,server.port= or server.type=unix,server.path=" },
    { "host", VM_OPT_STR, "TCP host to connect to" },
    { "port", VM_OPT_STR, "TCP port to connect to" },
    { "path", VM_OPT_STR, "Unix socket path to connect to" },
    { "export", VM_OPT_STR, "Name of the NBD export to open" },
    { "tls-creds", VM_OPT_STR, "ID of the TLS credentials to use" },
    { "tls-hostname", VM_OPT_STR, "accepted; certificates are checked against the host's name" },
    { "reconnect-delay", VM_OPT_U64, "seconds that requests wait for a lost connection", "0" },
    { "open-timeout", VM_OPT_U64, "seconds to go on trying to connect at first", "0" },
    { 0 },
};

static int learn(struct nbd_client *s, struct vm_blk *n)
{
    const int64_t size = nbd_get_size(s->h);
    const int64_t min = nbd_get_block_size(s->h, LIBNBD_SIZE_MINIMUM);
    const int64_t max = nbd_get_block_size(s->h, LIBNBD_SIZE_MAXIMUM);
    if (size < 0)
        return vm__nbd_fail();
    s->min_block = min > 0 ? (uint64_t)min : 1;
    s->max_request = max > 0 && max < MAX_REQUEST ? (uint64_t)max : MAX_REQUEST;
    if ((s->min_block & (s->min_block - 1)) != 0 || s->min_block > s->max_request)
        return vm__fail(VM_E_CORRUPT, "the NBD server has blocks of %" PRIu64 " bytes",
                        s->min_block);
    s->max_request &= ~(s->min_block - 1);
    s->can_flush = nbd_can_flush(s->h) == 1;
    s->can_fua = nbd_can_fua(s->h) == 1;
    s->can_trim = nbd_can_trim(s->h) == 1;
    s->can_zero = nbd_can_zero(s->h) == 1;
    s->can_fast_zero = nbd_can_fast_zero(s->h) == 1;
    s->can_status = nbd_can_meta_context(s->h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    atomic_store(&n->size, (uint64_t)size & ~(s->min_block - 1));
    if (nbd_is_read_only(s->h) != 1 || (n->flags & VM_OPEN_RO))
        return VM_OK;
    if (!(n->flags & VM_OPEN_AUTO_RO))
        return vm__fail(VM_E_PERM, "request for write access denied: the NBD export is read-only");
    n->flags |= VM_OPEN_RO;
    return VM_OK;
}

static int connect_at_first(struct nbd_client *s, struct vm_blk *n)
{
    const uint64_t deadline = vm__host_ns() + s->target.open_timeout * UINT64_C(1000000000);
    while ((s->h = vm__nbd_connect(&s->target, n->env)) == NULL) {
        if (vm__host_ns() >= deadline)
            return vm_last_error()->code;
        struct vm_wait none = { -1, 0, 0 };
        (void)vm__socket_wait(&none, 1, RETRY_NS);
    }
    return VM_OK;
}

static void client_fini(struct nbd_client *s)
{
    if (s->h != NULL)
        nbd_close(s->h);
    vm__notify_free(s->wake);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->rmw_lock);
    pthread_cond_destroy(&s->changed);
    vm__nbd_target_free(&s->target);
}

static int client_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct nbd_client *s = n->state;
    int st =
        vm__env_may_connect(n->env, n->filename != NULL ? n->filename : "a server", (int)n->why);
    if (st == VM_OK)
        st = vm__nbd_target(&s->target, n, o);
    if (st != VM_OK)
        return st;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->rmw_lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->wake = vm__notify_new();
    st = s->wake >= 0 ? connect_at_first(s, n) : s->wake;
    if (st == VM_OK)
        st = learn(s, n);
    if (st == VM_OK)
        st = vm__thread_start(&s->thread, vm__nbd_client_thread, n, "vm-nbd-server");
    if (st != VM_OK)
        client_fini(s);
    return st;
}

static void client_close(struct vm_blk *n)
{
    struct nbd_client *s = n->state;
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    pthread_mutex_unlock(&s->lock);
    vm__notify_set(s->wake);
    pthread_join(s->thread, NULL);
    if (s->h != NULL)
        (void)nbd_shutdown(s->h, 0);
    client_fini(s);
}

static const char *const prefixes[] = {
    "nbd", "nbds", "nbd+tcp", "nbd+unix", "nbds+unix", "nbd+vsock", "nbds+vsock", NULL,
};

const struct vm_blk_driver vm__nbd_driver = {
    .name = "nbd",
    .summary = "A disk of another program, by NBD",
    .spec = "The NBD protocol",
    .kind = VM_BLK_PROTOCOL,
    .can = VM_CAN_FUA | VM_CAN_ROOTLESS,
    .state_size = sizeof(struct nbd_client),
    .prefixes = prefixes,
    .open_options = open_options,
    .open = client_open,
    .close = client_close,
    .read = client_read,
    .write = client_write,
    .zero = client_zero,
    .discard = client_discard,
    .flush = client_flush,
    .status = client_status,
    .info = client_info,
};
