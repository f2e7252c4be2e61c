/* SPDX-License-Identifier: MIT */
/**
 * @file env.c
 * What nodes of one context share: drivers, names, secrets, the way to files.
 */
#include "block/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env_impl.h"
#include "core/config.h"
#include "core/part.h"
#include "host/file.h"

static void *env_make(struct vm_ctx *ctx)
{
    struct vm_blk_env *env = calloc(1, sizeof *env);
    if (env == NULL) {
        vm__fail_nomem(sizeof *env);
        return NULL;
    }
    env->ctx = ctx;             /* not counted: it lives in the context */
    env->pool = vm__pool_new(); /* threads come later */
    if (env->pool == NULL) {
        free(env);
        return NULL;
    }
    pthread_mutex_init(&env->lock, NULL);
    pthread_cond_init(&env->idle, NULL);
    return env;
}

static void wipe(void *p, size_t len)
{
    volatile uint8_t *b = p;
    while (len-- != 0)
        *b++ = 0;
}

static void env_destroy(void *part)
{
    struct vm_blk_env *env = part;
    vm__pool_free(env->pool);
    while (env->secrets != NULL) {
        struct vm_secret *s = env->secrets;
        env->secrets = s->next;
        wipe(s->data, s->len);
        free(s->data);
        free(s->id);
        free(s);
    }
    pthread_cond_destroy(&env->idle);
    pthread_mutex_destroy(&env->lock);
    free(env);
}

static const struct vm_part_class env_class = { .name = "block", .destroy = env_destroy };

struct vm_blk_env *vm__ctx_block(struct vm_ctx *ctx)
{
    return vm__ctx_part(ctx, &env_class, env_make);
}

/* ---- drivers ---------------------------------------------------------------------------- */

const struct vm_blk_driver *const *vm__blk_drivers(struct vm_blk_env *env)
{
    static const struct vm_blk_driver *const none[] = { NULL };
    return env->ctx->registry->blocks != NULL ? env->ctx->registry->blocks : none;
}

const struct vm_blk_driver *vm__blk_driver(struct vm_blk_env *env, const char *name)
{
    for (const struct vm_blk_driver *const *d = vm__blk_drivers(env); *d != NULL; d++)
        if (strcmp((*d)->name, name) == 0)
            return *d;
    return NULL;
}

static bool has_prefix(const struct vm_blk_driver *d, const char *prefix, size_t len)
{
    for (const char *const *p = d->prefixes; p != NULL && *p != NULL; p++)
        if (strlen(*p) == len && memcmp(*p, prefix, len) == 0)
            return true;
    return false;
}

/* Bytes of "name" in "name:rest"; 0 if it has none before the first slash. */
static size_t prefix_bytes(const char *name)
{
    const size_t n = strcspn(name, ":/");
    return name[n] == ':' ? n : 0;
}

const struct vm_blk_driver *vm__blk_protocol(struct vm_blk_env *env, const char *name, bool *bad)
{
    const size_t n = prefix_bytes(name);
    *bad = false;
    if (n == 0)
        return NULL;
    for (const struct vm_blk_driver *const *d = vm__blk_drivers(env); *d != NULL; d++)
        if (has_prefix(*d, name, n))
            return *d;
    *bad = true;
    vm__fail(VM_E_NOENT, "Unknown protocol '%.*s'", n < 64 ? (int)n : 64, name);
    return NULL;
}

const struct vm_blk_driver *vm__blk_probe(struct vm_blk_env *env, const uint8_t *head, size_t len,
                                          uint64_t size, const char *name)
{
    const struct vm_blk_driver *best = NULL;
    int best_score = 0;
    for (const struct vm_blk_driver *const *d = vm__blk_drivers(env); *d != NULL; d++) {
        const int score = (*d)->probe != NULL ? (*d)->probe(head, len, size, name) : 0;
        if (score > best_score) {
            best = *d;
            best_score = score;
        }
    }
    return best != NULL ? best : vm__blk_driver(env, "raw");
}

/* ---- names ------------------------------------------------------------------------------ */

char *vm__blk_relative(const char *base, const char *name)
{
    const char *slash = base != NULL ? strrchr(base, '/') : NULL;
    const bool as_it_is = name[0] == '/' || prefix_bytes(name) != 0 || slash == NULL;
    const size_t dir = as_it_is ? 0 : (size_t)(slash - base) + 1, len = strlen(name);
    char *full = malloc(dir + len + 1);
    if (full == NULL) {
        vm__fail_nomem(dir + len + 1);
        return NULL;
    }
    memcpy(full, base != NULL ? base : "", dir);
    memcpy(full + dir, name, len + 1);
    return full;
}

static struct vm_blk *find_locked(struct vm_blk_env *env, const char *node_name)
{
    for (struct vm_blk *n = env->nodes; n != NULL; n = n->next)
        if (strcmp(n->node_name, node_name) == 0)
            return n;
    return NULL;
}

struct vm_blk *vm__blk_find(struct vm_blk_env *env, const char *node_name)
{
    pthread_mutex_lock(&env->lock);
    struct vm_blk *n = *node_name != '\0' ? find_locked(env, node_name) : NULL;
    /* One whose last reference is being dropped is not found any more. */
    uint32_t refs = n != NULL ? atomic_load(&n->refs) : 0;
    while (refs != 0 && !atomic_compare_exchange_weak(&n->refs, &refs, refs + 1)) {
    }
    pthread_mutex_unlock(&env->lock);
    return refs != 0 ? n : NULL;
}

static bool good_name(const char *s)
{
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')))
        return false;
    for (; *s != '\0'; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
              strchr("-._", *s) != NULL))
            return false;
    return true;
}

int vm__blk_set_node_name(struct vm_blk *n, const char *name)
{
    int st = VM_OK;
    if (name != NULL && !good_name(name))
        return vm__fail(VM_E_INVAL, "Invalid node-name: '%.60s'", name);
    if (name != NULL && strlen(name) >= sizeof n->node_name)
        return vm__fail(VM_E_INVAL, "Node name too long");
    pthread_mutex_lock(&n->env->lock);
    if (name == NULL)
        snprintf(n->node_name, sizeof n->node_name, "#block%03llu",
                 (unsigned long long)n->env->named++);
    else if (find_locked(n->env, name) != NULL)
        st = vm__fail(VM_E_BUSY, "Duplicate nodes with node-name='%s'", name);
    else
        memcpy(n->node_name, name, strlen(name) + 1);
    pthread_mutex_unlock(&n->env->lock);
    return st;
}

/* ---- files and keys --------------------------------------------------------------------- */

int vm__env_open_file(struct vm_blk_env *env, const char *path, int host_flags, int why)
{
    const vm_host_ops *host = &env->ctx->host;
    if (host->open == NULL)
        return vm__file_open(path, host_flags);
    const int fd = host->open(host->ud, path, host_flags, why);
    return fd >= 0 ? fd : vm__file_fail(-fd);
}

int vm__env_may_connect(struct vm_blk_env *env, const char *name, int why)
{
    if (why == VM_WHY_USER || env->ctx->host.open == NULL)
        return VM_OK;
    return vm__fail(VM_E_PERM, "an image may not have '%.200s' connected to", name);
}

int vm__secret_add(struct vm_blk_env *env, const char *id, const void *data, size_t len)
{
    struct vm_secret *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->id = strdup(id);
        s->data = malloc(len + 1);
    }
    if (s == NULL || s->id == NULL || s->data == NULL) {
        if (s != NULL)
            free(s->id);
        free(s);
        return vm__fail_nomem(len);
    }
    memcpy(s->data, data, len);
    s->len = len;
    pthread_mutex_lock(&env->lock);
    struct vm_secret **link = &env->secrets;
    while (*link != NULL && strcmp((*link)->id, id) != 0)
        link = &(*link)->next;
    struct vm_secret *old = *link;
    s->next = old != NULL ? old->next : NULL;
    *link = s;
    pthread_mutex_unlock(&env->lock);
    if (old != NULL) {
        wipe(old->data, old->len);
        free(old->data);
        free(old->id);
        free(old);
    }
    return VM_OK;
}

int vm__secret_get(struct vm_blk_env *env, const char *id, void *data, size_t *len)
{
    int st = VM_E_NOENT;
    pthread_mutex_lock(&env->lock);
    const struct vm_secret *s = env->secrets;
    while (s != NULL && strcmp(s->id, id) != 0)
        s = s->next;
    if (s != NULL) {
        st = s->len <= *len ? VM_OK : VM_E_RANGE;
        if (st == VM_OK)
            memcpy(data, s->data, s->len);
        *len = s->len;
    }
    pthread_mutex_unlock(&env->lock);
    if (st == VM_E_NOENT)
        return vm__fail(st, "No secret with id '%s'", id);
    return st == VM_OK ? st : vm__fail(st, "secret '%s' is %zu bytes long", id, *len);
}

struct vm_pool *vm__env_pool(struct vm_blk_env *env)
{
    return env->pool;
}
