/* SPDX-License-Identifier: MIT */
/**
 * @file server.c
 * The NBD server's life: exports, listeners, connections coming and going.
 */
#include "block/nbd/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/nbd/creds.h"
#include "block/options.h"
#include "core/config.h"
#include "host/file.h"
#include "host/loop.h"
#include "host/thread.h"
#include "host/time.h"

enum { DEFAULT_CONNECTIONS = 16, DEFAULT_HANDSHAKE_S = 10, MAX_SECONDS = 1 << 20 };
#define NS_PER_S UINT64_C(1000000000)
#define RETRY_NS INT64_C(100000000) /* the host has no descriptors left: look again soon */

/* ---- connections ------------------------------------------------------------------------ */

static void conn_free(struct nbd_conn *c)
{
    vm__tls_free(c->tls);
    vm__socket_close(c->fd);
    vm__notify_free(c->wake);
    for (uint32_t i = 0; i < NBD_SPARES; i++)
        free(c->spare[i].base);
    pthread_cond_destroy(&c->idle);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct nbd_conn *conn_new(struct vm_nbd *s, int fd)
{
    struct nbd_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        vm__fail_nomem(sizeof *c);
        return NULL;
    }
    c->server = s;
    c->fd = -1;
    c->out_last = &c->out_first;
    c->deadline = s->handshake_ns != 0 ? vm__host_ns() + s->handshake_ns : 0;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->idle, NULL);
    c->wake = vm__notify_new();
    if (c->wake < 0) {
        conn_free(c);
        return NULL;
    }
    c->fd = fd;
    return c;
}

static void conn_run(struct nbd_conn *c)
{
    if (vm__nbd_negotiate(c) == VM_OK) {
        c->negotiated = true;
        vm__nbd_transmit(c);
    }
    if (c->tls != NULL)
        vm__tls_bye(c->tls);
    vm__socket_shutdown(c->fd);
}

static void *conn_thread(void *arg)
{
    struct nbd_conn *c = arg;
    struct vm_nbd *s = c->server;
    conn_run(c);
    pthread_mutex_lock(&s->lock);
    c->finished = true;
    pthread_mutex_unlock(&s->lock);
    vm__notify_set(s->wake);
    return NULL;
}

void vm__nbd_serve(struct vm_nbd *s, int fd)
{
    struct nbd_conn *c = conn_new(s, fd);
    if (c == NULL) {
        vm__socket_close(fd);
        return;
    }
    conn_run(c);
    conn_free(c);
}

static void start_client(struct vm_nbd *s, int fd)
{
    struct nbd_conn *c = conn_new(s, fd);
    if (c == NULL) {
        vm__socket_close(fd);
        return;
    }
    pthread_mutex_lock(&s->lock);
    const bool started =
        !s->stop && vm__thread_start(&c->thread, conn_thread, c, "vm-nbd-client") == VM_OK;
    if (started) {
        c->next = s->conns;
        s->conns = c;
        s->n_conns++;
    }
    pthread_mutex_unlock(&s->lock);
    if (!started)
        conn_free(c);
    vm__notify_set(s->notify);
}

/* Connections that have ended, taken off the list. */
static struct nbd_conn *take_finished(struct vm_nbd *s, bool all)
{
    struct nbd_conn *gone = NULL, **link = &s->conns;
    pthread_mutex_lock(&s->lock);
    while (*link != NULL) {
        struct nbd_conn *c = *link;
        if (!c->finished && !all) {
            link = &c->next;
            continue;
        }
        *link = c->next;
        c->next = gone;
        gone = c;
    }
    pthread_mutex_unlock(&s->lock);
    return gone;
}

static void reap(struct vm_nbd *s, bool all)
{
    struct nbd_conn *c = take_finished(s, all), *next;
    for (; c != NULL; c = next) {
        next = c->next;
        pthread_join(c->thread, NULL);
        pthread_mutex_lock(&s->lock);
        s->n_conns--;
        s->served += c->negotiated;
        pthread_mutex_unlock(&s->lock);
        conn_free(c);
        vm__notify_set(s->notify);
    }
}

/* ---- listening -------------------------------------------------------------------------- */

/* @return the descriptors to wait for; none but to be woken when there are as many clients as may
 * be: further ones wait with the host. */
static uint32_t what_to_wait_for(struct vm_nbd *s, struct vm_wait *w)
{
    uint32_t n = 0;
    w[n++] = (struct vm_wait) { s->wake, VM_LOOP_IN, 0 };
    pthread_mutex_lock(&s->lock);
    const bool full = s->max_connections != 0 && s->n_conns >= s->max_connections;
    for (uint32_t i = 0; i < s->n_listeners && !full; i++)
        w[n++] = (struct vm_wait) { s->listeners[i], VM_LOOP_IN, 0 };
    pthread_mutex_unlock(&s->lock);
    return n;
}

static bool has_room(struct vm_nbd *s)
{
    pthread_mutex_lock(&s->lock);
    const bool room = s->max_connections == 0 || s->n_conns < s->max_connections;
    pthread_mutex_unlock(&s->lock);
    return room;
}

static void *accept_thread(void *arg)
{
    struct vm_nbd *s = arg;
    struct vm_wait w[NBD_MAX_LISTENERS + 1];
    int64_t timeout = -1;
    for (;;) {
        const uint32_t n = what_to_wait_for(s, w);
        (void)vm__socket_wait(w, timeout < 0 ? n : 1, timeout);
        timeout = -1;
        if (w[0].ready != 0)
            vm__notify_clear(s->wake);
        reap(s, false);
        pthread_mutex_lock(&s->lock);
        const bool stop = s->stop;
        pthread_mutex_unlock(&s->lock);
        if (stop)
            return NULL;
        for (uint32_t i = 1; i < n && has_room(s); i++) {
            if (w[i].ready == 0)
                continue;
            const int fd = vm__socket_accept(w[i].fd);
            if (fd >= 0)
                start_client(s, fd);
            else if (fd != VM_E_AGAIN)
                timeout = RETRY_NS;
        }
    }
}

/* With the lock. */
static int run(struct vm_nbd *s)
{
    if (!s->running) {
        const int st = vm__thread_start(&s->thread, accept_thread, s, "vm-nbd");
        if (st != VM_OK)
            return st;
        s->running = true;
    }
    vm__notify_set(s->wake);
    return VM_OK;
}

/* @p path may be NULL; the descriptor and the path become the server's, or are given up. */
static int add_listener(struct vm_nbd *s, int fd, const char *path)
{
    char *copy = path != NULL ? strdup(path) : NULL;
    int st = path != NULL && copy == NULL ? vm__fail_nomem(strlen(path)) : VM_OK;
    pthread_mutex_lock(&s->lock);
    if (st == VM_OK && s->n_listeners == NBD_MAX_LISTENERS)
        st = vm__fail(VM_E_RANGE, "the server listens at %d addresses already", NBD_MAX_LISTENERS);
    if (st == VM_OK)
        st = run(s);
    if (st == VM_OK) {
        s->paths[s->n_listeners] = copy;
        s->listeners[s->n_listeners++] = fd;
    }
    pthread_mutex_unlock(&s->lock);
    if (st != VM_OK) {
        vm__socket_close(fd);
        free(copy);
    }
    return st;
}

static int listen_tcp(struct vm_nbd *s, const char *where)
{
    char host[256];
    int fds[VM_SOCKET_ADDRESSES];
    uint32_t n = 0;
    const char *colon = strrchr(where, ':');
    const size_t len = colon != NULL ? (size_t)(colon - where) : 0;
    if (colon == NULL || len >= sizeof host || colon[1] == '\0')
        return vm__fail(VM_E_INVAL, "'%.100s' is not tcp:HOST:PORT", where);
    const bool bracketed = len >= 2 && where[0] == '[' && where[len - 1] == ']';
    memcpy(host, where + bracketed, len);
    host[len - 2 * (size_t)bracketed] = '\0';
    int st = vm__socket_listen_tcp(*host != '\0' ? host : "0.0.0.0", colon + 1, fds, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (st == VM_OK)
            st = add_listener(s, fds[i], NULL);
        else
            vm__socket_close(fds[i]);
    }
    return st;
}

int vm__nbd_listen(struct vm_nbd *s, const char *address)
{
    if (strncmp(address, "unix:", 5) == 0) {
        const int fd = vm__socket_listen_unix(address + 5);
        return fd >= 0 ? add_listener(s, fd, address + 5) : fd;
    }
    if (strncmp(address, "tcp:", 4) == 0)
        return listen_tcp(s, address + 4);
    return vm__fail(VM_E_INVAL, "'%.100s' is neither unix:PATH nor tcp:HOST:PORT", address);
}

int vm__nbd_listen_fd(struct vm_nbd *s, int fd)
{
    bool listens;
    int st = vm__socket_adopt(fd, &listens);
    if (st != VM_OK)
        return st;
    if (listens)
        return add_listener(s, fd, NULL);
    pthread_mutex_lock(&s->lock);
    st = run(s);
    pthread_mutex_unlock(&s->lock);
    if (st == VM_OK)
        start_client(s, fd);
    else
        vm__socket_close(fd);
    return st;
}

/* ---- exports ---------------------------------------------------------------------------- */

struct nbd_export *vm__nbd_find(struct vm_nbd *s, const char *name, size_t len)
{
    pthread_mutex_lock(&s->lock);
    struct nbd_export *e = s->exports;
    while (e != NULL && (strlen(e->name) != len || memcmp(e->name, name, len) != 0))
        e = e->next;
    pthread_mutex_unlock(&s->lock);
    return e;
}

static void export_free(struct nbd_export *e)
{
    vm__blk_unref(e->node);
    free(e->name);
    free(e->description);
    free(e);
}

int vm__nbd_add(struct vm_nbd *s, struct vm_blk *node, const char *name, const char *description,
                bool read_only, bool depth)
{
    if (strlen(name) > NBD_MAX_STRING || strlen(description) > NBD_MAX_STRING)
        return vm__fail(VM_E_INVAL, "names and descriptions have at most %d bytes", NBD_MAX_STRING);
    if (vm__nbd_find(s, name, strlen(name)) != NULL)
        return vm__fail(VM_E_BUSY, "there is an export named '%.60s'", name);
    struct nbd_export *e = calloc(1, sizeof *e);
    if (e == NULL)
        return vm__fail_nomem(sizeof *e);
    e->node = vm__blk_ref(node);
    e->name = strdup(name);
    e->description = strdup(description);
    e->read_only = read_only || !vm__blk_writable(node);
    e->depth = depth;
    if (e->name == NULL || e->description == NULL) {
        export_free(e);
        return vm__fail_nomem(strlen(name));
    }
    pthread_mutex_lock(&s->lock);
    struct nbd_export **last = &s->exports;
    uint32_t n = 0;
    for (; *last != NULL; last = &(*last)->next)
        n++;
    if (n < NBD_MAX_EXPORTS)
        *last = e;
    pthread_mutex_unlock(&s->lock);
    if (n < NBD_MAX_EXPORTS)
        return VM_OK;
    export_free(e);
    return vm__fail(VM_E_RANGE, "there are %d exports already", NBD_MAX_EXPORTS);
}

/* ---- the server ------------------------------------------------------------------------- */

static int take_options(struct vm_nbd *s, struct vm_blk_options *o)
{
    uint64_t most = DEFAULT_CONNECTIONS, seconds = DEFAULT_HANDSHAKE_S;
    int st = vm__opt_u64(o, "max-connections", &most);
    if (st == VM_OK)
        st = vm__opt_u64(o, "handshake-limit", &seconds);
    if (st == VM_OK && (most > UINT32_MAX || seconds > MAX_SECONDS))
        st = vm__fail(VM_E_RANGE, "max-connections or handshake-limit is too large");
    const char *tls = vm__opt_str(o, "tls-creds");
    if (st == VM_OK && tls != NULL && (s->creds = vm__creds_open(s->ctx, tls)) == NULL)
        st = vm_last_error()->code;
    const char *left = vm__opt_unused(o);
    if (st == VM_OK && left != NULL)
        st = vm__fail(VM_E_INVAL, "an NBD server has no option '%.60s'", left);
    s->max_connections = (uint32_t)most;
    s->handshake_ns = seconds * NS_PER_S;
    return st;
}

struct vm_nbd *vm__nbd_new(struct vm_ctx *ctx, const char *options)
{
    struct vm_blk_env *env = vm__ctx_block(ctx);
    struct vm_blk_options *o = env != NULL ? vm__options_new() : NULL;
    struct vm_nbd *s = o != NULL ? calloc(1, sizeof *s) : NULL;
    if (s == NULL) {
        vm__options_free(o);
        return NULL;
    }
    s->ctx = vm__ctx_ref(ctx);
    s->pool = vm__env_pool(env);
    pthread_mutex_init(&s->lock, NULL);
    s->wake = vm__notify_new();
    s->notify = s->wake >= 0 ? vm__notify_new() : -1;
    int st = s->notify >= 0 ? VM_OK : VM_E_IO;
    if (st == VM_OK && options != NULL && *options != '\0')
        st = vm__options_parse(o, options, NULL);
    if (st == VM_OK)
        st = take_options(s, o);
    vm__options_free(o);
    if (st == VM_OK)
        return s;
    vm__nbd_free(s);
    return NULL;
}

static void stop_clients(struct vm_nbd *s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    for (struct nbd_conn *c = s->conns; c != NULL; c = c->next) {
        vm__socket_shutdown(c->fd);
        vm__notify_set(c->wake);
    }
    pthread_mutex_unlock(&s->lock);
}

void vm__nbd_free(struct vm_nbd *s)
{
    if (s == NULL)
        return;
    stop_clients(s);
    if (s->running) {
        vm__notify_set(s->wake);
        pthread_join(s->thread, NULL);
    }
    reap(s, true);
    for (uint32_t i = 0; i < s->n_listeners; i++) {
        vm__socket_close(s->listeners[i]);
        if (s->paths[i] != NULL)
            (void)vm__file_remove(s->paths[i]);
        free(s->paths[i]);
    }
    while (s->exports != NULL) {
        struct nbd_export *e = s->exports;
        s->exports = e->next;
        export_free(e);
    }
    vm__tls_creds_free(s->creds);
    vm__notify_free(s->wake);
    vm__notify_free(s->notify);
    pthread_mutex_destroy(&s->lock);
    struct vm_ctx *ctx = s->ctx;
    free(s);
    vm__ctx_unref(ctx);
}
