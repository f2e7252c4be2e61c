/* SPDX-License-Identifier: MIT */
/**
 * @file ranges.c
 * Ranges being worked on. There are as many as threads at work, so a list will do.
 */
#include "block/ranges.h"

#include <stddef.h>

void vm__ranges_init(struct vm_ranges *rs)
{
    pthread_mutex_init(&rs->lock, NULL);
    pthread_cond_init(&rs->changed, NULL);
    rs->list = NULL;
}

void vm__ranges_fini(struct vm_ranges *rs)
{
    pthread_cond_destroy(&rs->changed);
    pthread_mutex_destroy(&rs->lock);
}

static bool taken(const struct vm_ranges *rs, uint64_t off, uint64_t len)
{
    for (const struct vm_range *r = rs->list; r != NULL; r = r->next)
        if (off < r->off + r->len && r->off < off + len)
            return true;
    return false;
}

static void insert(struct vm_ranges *rs, struct vm_range *r, uint64_t off, uint64_t len)
{
    *r = (struct vm_range) { off, len, rs->list };
    rs->list = r;
}

void vm__ranges_lock(struct vm_ranges *rs, struct vm_range *r, uint64_t off, uint64_t len)
{
    pthread_mutex_lock(&rs->lock);
    while (taken(rs, off, len))
        pthread_cond_wait(&rs->changed, &rs->lock);
    insert(rs, r, off, len);
    pthread_mutex_unlock(&rs->lock);
}

bool vm__ranges_try(struct vm_ranges *rs, struct vm_range *r, uint64_t off, uint64_t len)
{
    pthread_mutex_lock(&rs->lock);
    const bool free_now = !taken(rs, off, len);
    if (free_now)
        insert(rs, r, off, len);
    pthread_mutex_unlock(&rs->lock);
    return free_now;
}

void vm__ranges_unlock(struct vm_ranges *rs, struct vm_range *r)
{
    pthread_mutex_lock(&rs->lock);
    struct vm_range **link = &rs->list;
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    pthread_cond_broadcast(&rs->changed);
    pthread_mutex_unlock(&rs->lock);
}
