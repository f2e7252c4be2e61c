/* SPDX-License-Identifier: MIT */
/**
 * @file nbd_link.c
 * NBD client: the thread that has the connection, and makes another when it is lost.
 */
#include <libnbd.h>

#include "blockfmt/nbd_client.h"
#include "host/loop.h"
#include "host/socket.h"
#include "host/thread.h"
#include "host/time.h"

enum { RETRY_NS = 1000000000, LOOK_NS = 10000000 };

struct nbd_handle *vm__nbd_connection(struct nbd_client *s, uint64_t deadline)
{
    while (s->h == NULL && !s->quit) {
        const uint64_t now = vm__host_ns();
        if (now >= deadline)
            return NULL;
        pthread_mutex_unlock(&s->lock);
        struct vm_wait none = { -1, 0, 0 };
        (void)vm__socket_wait(&none, 1, LOOK_NS);
        pthread_mutex_lock(&s->lock);
    }
    return s->h;
}

/* Serve it until it is lost, or the node is closed. */
static void serve(struct nbd_client *s, struct nbd_handle *h)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        const bool over = s->quit || s->h != h;
        pthread_mutex_unlock(&s->lock);
        if (over || nbd_aio_is_dead(h) != 0 || nbd_aio_is_closed(h) != 0)
            return;
        const unsigned want = nbd_aio_get_direction(h);
        struct vm_wait w[2] = {
            { nbd_aio_get_fd(h),
              (want & LIBNBD_AIO_DIRECTION_READ ? VM_LOOP_IN : 0) |
                  (want & LIBNBD_AIO_DIRECTION_WRITE ? VM_LOOP_OUT : 0),
              0 },
            { s->wake, VM_LOOP_IN, 0 },
        };
        (void)vm__socket_wait(w, 2, -1);
        if (w[1].ready != 0)
            vm__notify_clear(s->wake);
        if (w[0].ready & VM_LOOP_IN)
            (void)nbd_aio_notify_read(h);
        else if (w[0].ready & VM_LOOP_OUT)
            (void)nbd_aio_notify_write(h);
    }
}

/* The dead connection's requests have all been told; its callers let go of it. */
static void bury(struct nbd_client *s, struct nbd_handle *h)
{
    pthread_mutex_lock(&s->lock);
    if (s->h == h)
        s->h = NULL;
    while (s->issuing != 0)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    nbd_close(h);
}

static struct nbd_handle *again(struct nbd_client *s, struct vm_blk *n)
{
    struct nbd_handle *h = vm__nbd_connect(&s->target, n->env);
    if (h == NULL)
        return NULL;
    if (nbd_get_size(h) != (int64_t)vm__blk_size(n)) { /* another disk */
        nbd_close(h);
        return NULL;
    }
    return h;
}

void *vm__nbd_client_thread(void *arg)
{
    struct vm_blk *n = arg;
    struct nbd_client *s = n->state;
    struct nbd_handle *h = s->h;
    for (;;) {
        if (h != NULL)
            serve(s, h);
        pthread_mutex_lock(&s->lock);
        const bool quit = s->quit;
        if (quit)
            s->h = h; /* close() says goodbye */
        pthread_mutex_unlock(&s->lock);
        if (quit)
            return NULL;
        if (h != NULL)
            bury(s, h);
        h = again(s, n);
        pthread_mutex_lock(&s->lock);
        s->h = h;
        pthread_mutex_unlock(&s->lock);
        if (h == NULL) {
            struct vm_wait w = { s->wake, VM_LOOP_IN, 0 };
            if (vm__socket_wait(&w, 1, RETRY_NS) == VM_OK)
                vm__notify_clear(s->wake);
        }
    }
}
