/* SPDX-License-Identifier: MIT */
/**
 * @file chunk_cache.c
 * Decompressed chunks: least recently used ones give way.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/error.h"
#include "blockfmt/chunk_cache.h"

enum slot_state { EMPTY = 0, MAKING, READY, STALE /* forgotten while held */ };

struct slot {
    uint64_t key, used; /**< when it was last asked for */
    enum slot_state state;
    unsigned refs;
    uint8_t *buf;
};

struct vm_chunk_cache {
    pthread_mutex_t lock;
    pthread_cond_t change; /**< a slot is ready, or free again */
    size_t bytes;
    uint64_t now;
    unsigned n;
    struct slot slot[];
};

struct vm_chunk_cache *vm__chunk_cache_new(unsigned slots, size_t bytes)
{
    struct vm_chunk_cache *c = calloc(1, sizeof *c + slots * sizeof c->slot[0]);
    if (c == NULL) {
        (void)vm__fail_nomem(sizeof *c);
        return NULL;
    }
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->change, NULL);
    c->bytes = bytes;
    c->n = slots;
    return c;
}

void vm__chunk_cache_free(struct vm_chunk_cache *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->n; i++)
        free(c->slot[i].buf);
    (void)pthread_cond_destroy(&c->change);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct slot *find(struct vm_chunk_cache *c, uint64_t key)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->slot[i].key == key && (c->slot[i].state == MAKING || c->slot[i].state == READY))
            return &c->slot[i];
    return NULL;
}

/** The slot to use for another chunk, or NULL: all are held. */
static struct slot *oldest(struct vm_chunk_cache *c)
{
    struct slot *best = NULL;
    for (unsigned i = 0; i < c->n; i++) {
        struct slot *s = &c->slot[i];
        if (s->refs == 0 && s->state != MAKING && (best == NULL || s->used < best->used))
            best = s;
    }
    return best;
}

/** Without the lock while @p make works. */
static int fill(struct vm_chunk_cache *c, struct slot *s, vm_chunk_fn make, void *ud)
{
    s->state = MAKING;
    (void)pthread_mutex_unlock(&c->lock);
    if (s->buf == NULL)
        s->buf = malloc(c->bytes);
    int st = s->buf != NULL ? make(ud, s->key, s->buf) : vm__fail_nomem(c->bytes);
    (void)pthread_mutex_lock(&c->lock);
    /* Forgotten in the meantime: good for who asked before, not for who asks after. */
    bool forgotten = s->state == STALE;
    s->state = st != VM_OK ? EMPTY : forgotten ? STALE : READY;
    (void)pthread_cond_broadcast(&c->change);
    return st;
}

int vm__chunk_get(struct vm_chunk_cache *c, uint64_t key, bool nowait, vm_chunk_fn make, void *ud,
                  const uint8_t **out)
{
    int st = VM_OK;
    if (nowait) {
        if (pthread_mutex_trylock(&c->lock) != 0)
            return VM_E_AGAIN;
    } else {
        (void)pthread_mutex_lock(&c->lock);
    }
    for (;;) {
        struct slot *s = find(c, key);
        if (s == NULL && !nowait && (s = oldest(c)) != NULL) {
            s->key = key;
            s->used = ++c->now;
            s->refs = 1;
            st = fill(c, s, make, ud);
            s->refs -= st != VM_OK;
            *out = s->buf;
            break;
        }
        if (s != NULL && s->state == READY) {
            s->used = ++c->now;
            s->refs++;
            *out = s->buf;
            break;
        }
        if (nowait) {
            st = VM_E_AGAIN;
            break;
        }
        (void)pthread_cond_wait(&c->change, &c->lock);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return st;
}

void vm__chunk_put(struct vm_chunk_cache *c, const uint8_t *chunk)
{
    (void)pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < c->n; i++) {
        struct slot *s = &c->slot[i];
        if (s->buf == chunk && --s->refs == 0) {
            if (s->state == STALE)
                s->state = EMPTY;
            (void)pthread_cond_broadcast(&c->change);
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
}

void vm__chunk_forget(struct vm_chunk_cache *c, uint64_t key)
{
    (void)pthread_mutex_lock(&c->lock);
    struct slot *s = find(c, key);
    if (s != NULL)
        s->state = s->refs == 0 ? EMPTY : STALE;
    (void)pthread_mutex_unlock(&c->lock);
}
