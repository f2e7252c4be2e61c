/* SPDX-License-Identifier: MIT */
/**
 * @file pool.c
 * Worker threads: made when there is work and nobody idle, kept until the environment ends.
 */
#include <stdlib.h>

#include "base/error.h"
#include "block/env_impl.h"
#include "host/loop.h"
#include "host/thread.h"

/* Disks like many requests at once, page faults and compression like a thread for each processor.
 */
enum { MIN_THREADS = 16, MAX_THREADS = 64 };

struct vm_pool {
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    struct vm_work *first, **last;
    uint32_t queued, idle, n_threads, max_threads, width;
    uint32_t users; /* threads in it, and the environment: the last one frees it */
    bool quit;
    pthread_t threads[MAX_THREADS];
};

struct vm_pool *vm__pool_new(void)
{
    struct vm_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        vm__fail_nomem(sizeof *pool);
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    pool->last = &pool->first;
    pool->users = 1;
    pool->width = vm__host_cpus();
    pool->max_threads = pool->width * 2;
    if (pool->max_threads < MIN_THREADS)
        pool->max_threads = MIN_THREADS;
    if (pool->max_threads > MAX_THREADS)
        pool->max_threads = MAX_THREADS;
    return pool;
}

/* With the lock, which is given up. */
static void leave(struct vm_pool *pool)
{
    const bool last = --pool->users == 0;
    pthread_mutex_unlock(&pool->lock);
    if (!last)
        return;
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static struct vm_work *take(struct vm_pool *pool)
{
    struct vm_work *w = pool->first;
    pool->first = w->next;
    if (pool->first == NULL)
        pool->last = &pool->first;
    pool->queued--;
    w->queued = false;
    return w;
}

static void *worker(void *arg)
{
    struct vm_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->first == NULL && !pool->quit) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
        }
        if (pool->first == NULL)
            break;
        struct vm_work *w = take(pool);
        pthread_mutex_unlock(&pool->lock);
        w->fn(w->opaque);
        pthread_mutex_lock(&pool->lock);
    }
    leave(pool);
    return NULL;
}

void vm__pool_free(struct vm_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    pthread_cond_broadcast(&pool->work);
    const uint32_t n = pool->n_threads;
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < n; i++) {
        /* The last node may have been closed in a request's done(), on a worker. */
        if (pthread_equal(pool->threads[i], pthread_self()))
            pthread_detach(pool->threads[i]);
        else
            pthread_join(pool->threads[i], NULL);
    }
    pthread_mutex_lock(&pool->lock);
    leave(pool);
}

uint32_t vm__pool_width(const struct vm_pool *pool)
{
    return pool->width;
}

static void add_locked(struct vm_pool *pool, struct vm_work *work)
{
    work->next = NULL;
    work->queued = true;
    *pool->last = work;
    pool->last = &work->next;
    pool->queued++;
    if (pool->idle >= pool->queued || pool->n_threads == pool->max_threads) {
        pthread_cond_signal(&pool->work);
        return;
    }
    pthread_t *t = &pool->threads[pool->n_threads];
    if (vm__thread_start(t, worker, pool, "vm-block") == VM_OK) {
        pool->n_threads++;
        pool->users++;
    }
}

void vm__pool_add(struct vm_pool *pool, struct vm_work *work)
{
    pthread_mutex_lock(&pool->lock);
    add_locked(pool, work);
    const bool nobody = pool->n_threads == 0;
    if (nobody) /* not even one thread could be made: it is done here */
        take(pool);
    pthread_mutex_unlock(&pool->lock);
    if (nobody)
        work->fn(work->opaque);
}

void vm__pool_lock(struct vm_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
}

void vm__pool_unlock(struct vm_pool *pool)
{
    pthread_mutex_unlock(&pool->lock);
}

void vm__pool_wait(struct vm_pool *pool)
{
    pthread_cond_wait(&pool->finished, &pool->lock);
}

void vm__pool_wake_all(struct vm_pool *pool)
{
    pthread_cond_broadcast(&pool->finished);
}

/* ---- a loop on many threads ------------------------------------------------------------- */

struct spread {
    struct vm_pool *pool;
    int (*fn)(void *ud, uint32_t i);
    void *ud;
    uint32_t n;
    _Atomic uint32_t next;
    _Atomic int status;
    char message[256]; /* of the first failure; under the pool's lock */
    uint32_t helpers;  /* queued or at work; under the pool's lock */
};

static void spread_run(struct spread *s)
{
    for (;;) {
        const uint32_t i = atomic_fetch_add(&s->next, 1);
        if (i >= s->n || atomic_load(&s->status) != VM_OK)
            return;
        const int st = s->fn(s->ud, i);
        int none = VM_OK;
        if (st == VM_OK)
            continue;
        pthread_mutex_lock(&s->pool->lock);
        if (atomic_compare_exchange_strong(&s->status, &none, st))
            vm__error_keep(s->message, sizeof s->message);
        pthread_mutex_unlock(&s->pool->lock);
    }
}

static void spread_help(void *opaque)
{
    struct spread *s = opaque;
    struct vm_pool *pool = s->pool;
    spread_run(s);
    pthread_mutex_lock(&pool->lock);
    s->helpers--;
    pthread_cond_broadcast(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
}

/* Helpers that have not begun are not needed any more: all indexes are taken. */
static void call_off(struct vm_pool *pool, struct spread *s)
{
    for (struct vm_work **link = &pool->first; *link != NULL;) {
        struct vm_work *w = *link;
        if (w->opaque != s || w->fn != spread_help) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        if (pool->last == &w->next)
            pool->last = link;
        w->queued = false;
        pool->queued--;
        s->helpers--;
    }
}

int vm__pool_for(struct vm_pool *pool, uint32_t n, int (*fn)(void *ud, uint32_t i), void *ud)
{
    struct spread s = { .pool = pool, .fn = fn, .ud = ud, .n = n };
    struct vm_work helpers[MAX_THREADS];
    const uint32_t most = pool->width < MAX_THREADS ? pool->width : MAX_THREADS;

    pthread_mutex_lock(&pool->lock);
    for (uint32_t i = 0; i + 1 < n && i + 1 < most; i++) {
        helpers[i] = (struct vm_work) { .fn = spread_help, .opaque = &s };
        s.helpers++;
        add_locked(pool, &helpers[i]);
    }
    pthread_mutex_unlock(&pool->lock);
    spread_run(&s);
    pthread_mutex_lock(&pool->lock);
    call_off(pool, &s);
    while (s.helpers != 0)
        pthread_cond_wait(&pool->finished, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    const int st = atomic_load(&s.status);
    return st == VM_OK ? VM_OK : vm__fail(st, "%s", s.message);
}
