/* SPDX-License-Identifier: MIT */
/**
 * @file part.c
 * Parts of floors above, on machines and contexts.
 */
#include "core/part.h"

#include <stdlib.h>

#include "base/error.h"
#include "core/config.h"
#include "core/machine.h"

static int add(struct vm_part **list, const struct vm_part_class *cls, void *part)
{
    struct vm_part *p = malloc(sizeof *p);
    if (p == NULL)
        return vm__fail_nomem(sizeof *p);
    *p = (struct vm_part) { .cls = cls, .part = part };
    while (*list != NULL)
        list = &(*list)->next;
    *list = p;
    return VM_OK;
}

static void *find(const struct vm_part *list, const struct vm_part_class *cls)
{
    for (; list != NULL; list = list->next)
        if (list->cls == cls)
            return list->part;
    return NULL;
}

int vm__machine_add_part(struct vm_machine *m, const struct vm_part_class *cls, void *part)
{
    return add(&m->parts, cls, part);
}

void *vm__machine_part(const struct vm_machine *m, const struct vm_part_class *cls)
{
    return find(m->parts, cls);
}

void vm__parts_pause(struct vm_machine *m)
{
    for (const struct vm_part *p = m->parts; p != NULL; p = p->next)
        if (p->cls->pause != NULL)
            p->cls->pause(p->part);
}

void vm__parts_resume(struct vm_machine *m)
{
    for (const struct vm_part *p = m->parts; p != NULL; p = p->next)
        if (p->cls->resume != NULL)
            p->cls->resume(p->part);
}

void vm__parts_reset(struct vm_machine *m, int kind)
{
    for (const struct vm_part *p = m->parts; p != NULL; p = p->next)
        if (p->cls->reset != NULL)
            p->cls->reset(p->part, kind);
}

void vm__parts_save(struct vm_machine *m)
{
    for (const struct vm_part *p = m->parts; p != NULL; p = p->next)
        if (p->cls->save != NULL)
            p->cls->save(p->part);
}

void vm__parts_destroy(struct vm_part *list)
{
    while (list != NULL) {
        struct vm_part *next = list->next;
        if (list->cls->destroy != NULL)
            list->cls->destroy(list->part);
        free(list);
        list = next;
    }
}

void *vm__ctx_part(struct vm_ctx *ctx, const struct vm_part_class *cls,
                   void *(*make)(struct vm_ctx *ctx))
{
    pthread_mutex_lock(&ctx->lock);
    void *part = find(ctx->parts, cls);
    if (part == NULL) {
        part = make(ctx);
        if (part != NULL && add(&ctx->parts, cls, part) != VM_OK) {
            cls->destroy(part);
            part = NULL;
        }
    }
    pthread_mutex_unlock(&ctx->lock);
    return part;
}
