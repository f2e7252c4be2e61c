/* SPDX-License-Identifier: MIT */
/**
 * @file node.c
 * A node's life, its edges, and the gate before its I/O.
 *
 * Who drains a node must keep out the users of every node above it, whose I/O comes down here. So a
 * node's `drained` is the number of drains on it plus those of all nodes below, counted along every
 * edge; adding or removing an edge adds or removes what comes along it.
 */
#include "block/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env_impl.h"
#include "block/request.h"
#include "core/config.h"

struct vm_blk *vm__blk_new(struct vm_blk_env *env, const struct vm_blk_driver *drv)
{
    struct vm_blk *n = calloc(1, sizeof *n);
    if (n == NULL || (drv->state_size != 0 && (n->state = calloc(1, drv->state_size)) == NULL)) {
        free(n);
        vm__fail_nomem(sizeof *n + drv->state_size);
        return NULL;
    }
    n->drv = drv;
    n->env = env;
    n->depth = 1;
    atomic_store(&n->refs, 1);
    vm__ctx_ref(env->ctx);
    pthread_mutex_lock(&env->lock);
    n->next = env->nodes;
    env->nodes = n;
    pthread_mutex_unlock(&env->lock);
    return n;
}

struct vm_blk *vm__blk_ref(struct vm_blk *n)
{
    atomic_fetch_add(&n->refs, 1);
    return n;
}

/* ---- draining --------------------------------------------------------------------------- */

/* With the environment's lock. Requests that may go on are put on *@p ready. */
static void drain_up(struct vm_blk *n, uint32_t more, struct vm_blk_req **ready)
{
    if (atomic_fetch_add(&n->drained, more) + more == 0 && n->parked != NULL) {
        struct vm_blk_req **last = &n->parked;
        while (*last != NULL)
            last = &(*last)->next;
        *last = *ready;
        *ready = n->parked;
        n->parked = NULL;
    }
    for (uint32_t i = 0; i < n->n_parents; i++)
        drain_up(n->parents[i], more, ready);
}

/* With the environment's lock: @p n or a node above it has I/O in progress. */
static bool busy_up(const struct vm_blk *n)
{
    if (atomic_load(&n->in_flight) != 0)
        return true;
    for (uint32_t i = 0; i < n->n_parents; i++)
        if (busy_up(n->parents[i]))
            return true;
    return false;
}

void vm__blk_drain_begin(struct vm_blk *n)
{
    struct vm_blk_req *none = NULL;
    pthread_mutex_lock(&n->env->lock);
    drain_up(n, 1, &none);
    while (busy_up(n))
        pthread_cond_wait(&n->env->idle, &n->env->lock);
    pthread_mutex_unlock(&n->env->lock);
}

/* Undo @p count drains of @p n and all above; then let go on what waited. */
static void undrain(struct vm_blk *n, uint32_t count)
{
    struct vm_blk_req *ready = NULL;
    drain_up(n, 0u - count, &ready);
    pthread_cond_broadcast(&n->env->idle);
    pthread_mutex_unlock(&n->env->lock);
    vm__blk_restart(ready);
    pthread_mutex_lock(&n->env->lock);
}

void vm__blk_drain_end(struct vm_blk *n)
{
    struct vm_blk_env *env = n->env;
    pthread_mutex_lock(&env->lock);
    undrain(n, 1);
    pthread_mutex_unlock(&env->lock);
}

bool vm__blk_io_try(struct vm_blk *n)
{
    atomic_fetch_add(&n->in_flight, 1);
    if (atomic_load(&n->drained) == 0)
        return true;
    vm__blk_io_end(n);
    return false;
}

void vm__blk_io_begin(struct vm_blk *n)
{
    while (!vm__blk_io_try(n)) {
        pthread_mutex_lock(&n->env->lock);
        while (atomic_load(&n->drained) != 0)
            pthread_cond_wait(&n->env->idle, &n->env->lock);
        pthread_mutex_unlock(&n->env->lock);
    }
}

void vm__blk_io_end(struct vm_blk *n)
{
    struct vm_blk_env *env = n->env;
    if (atomic_fetch_sub(&n->in_flight, 1) != 1 || atomic_load(&n->drained) == 0)
        return;
    /* A drain that waits keeps the node, and its environment, alive. */
    pthread_mutex_lock(&env->lock);
    pthread_cond_broadcast(&env->idle);
    pthread_mutex_unlock(&env->lock);
}

/* ---- edges ------------------------------------------------------------------------------ */

int vm__blk_attach(struct vm_blk *parent, struct vm_blk *child)
{
    struct vm_blk_req *none = NULL;
    int st = VM_OK;
    pthread_mutex_lock(&child->env->lock);
    if (child->n_parents == child->parents_room) {
        const uint32_t room = child->parents_room * 2 + 2;
        struct vm_blk **parents = realloc(child->parents, room * sizeof(struct vm_blk *));
        if (parents == NULL) {
            st = vm__fail_nomem(room * sizeof(struct vm_blk *));
        } else {
            child->parents = parents;
            child->parents_room = room;
        }
    }
    if (st == VM_OK) {
        child->parents[child->n_parents++] = parent;
        drain_up(parent, atomic_load(&child->drained), &none);
    }
    pthread_mutex_unlock(&child->env->lock);
    return st;
}

void vm__blk_detach(struct vm_blk *parent, struct vm_blk *child)
{
    pthread_mutex_lock(&child->env->lock);
    for (uint32_t i = 0; i < child->n_parents; i++)
        if (child->parents[i] == parent) {
            child->parents[i] = child->parents[--child->n_parents];
            undrain(parent, atomic_load(&child->drained));
            break;
        }
    pthread_mutex_unlock(&child->env->lock);
}

int vm__blk_put_backing(struct vm_blk *n, struct vm_blk *backing)
{
    struct vm_blk *old;
    int st = VM_OK;
    vm__blk_drain_begin(n);
    if (backing != NULL)
        st = vm__blk_attach(n, backing);
    old = n->backing;
    if (st == VM_OK) {
        n->backing = backing;
        if (backing != NULL && n->drv->attach_backing != NULL)
            st = n->drv->attach_backing(n);
        if (st != VM_OK) {
            n->backing = old;
            vm__blk_detach(n, backing);
        } else if (old != NULL) {
            vm__blk_detach(n, old);
        }
    }
    vm__blk_drain_end(n);
    vm__blk_unref(st == VM_OK ? old : backing);
    return st;
}

/* ---- the end ---------------------------------------------------------------------------- */

static void forget(struct vm_blk *n)
{
    pthread_mutex_lock(&n->env->lock);
    struct vm_blk **link = &n->env->nodes;
    while (*link != n)
        link = &(*link)->next;
    *link = n->next;
    pthread_mutex_unlock(&n->env->lock);
}

static void drop(struct vm_blk *n, struct vm_blk *child)
{
    if (child == NULL)
        return;
    vm__blk_detach(n, child); /* nothing happens if open() failed before they were attached */
    vm__blk_unref(child);
}

void vm__blk_unref(struct vm_blk *n)
{
    if (n == NULL || atomic_fetch_sub(&n->refs, 1) != 1)
        return;
    forget(n);
    if (n->opened) {
        if (vm__blk_writable(n) && n->successor == NULL)
            (void)vm__blk_flush(n, 0);
        if (n->drv->close != NULL)
            n->drv->close(n);
    }
    drop(n, n->successor);
    drop(n, n->backing);
    for (uint32_t i = 0; i < n->n_children; i++)
        drop(n, n->children[i]);
    drop(n, n->file);
    struct vm_ctx *ctx = n->env->ctx;
    free(n->state);
    free(n->name);
    free(n->filename);
    free(n->backing_name);
    free(n->backing_format);
    free(n->parents);
    free(n);
    vm__ctx_unref(ctx);
}
