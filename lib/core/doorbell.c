/* SPDX-License-Identifier: MIT */
/**
 * @file doorbell.c
 * The machine's doorbells, and where they are on the map.
 */
#include "core/doorbell.h"

#include "core/address_space.h"

static void tell(struct vm_machine *m)
{
    struct vm_mem_mirror *mirror = m->mem->mirror;
    if (mirror != NULL)
        mirror->changed(mirror->ud);
}

void vm__doorbell_add(struct vm_machine *m, struct vm_doorbell *bell)
{
    vm__lock(m);
    bell->next = m->mem->doorbells;
    m->mem->doorbells = bell;
    tell(m);
    vm__unlock(m);
}

void vm__doorbell_remove(struct vm_machine *m, struct vm_doorbell *bell)
{
    vm__lock(m);
    struct vm_doorbell **link = &m->mem->doorbells;
    while (*link != NULL && *link != bell)
        link = &(*link)->next;
    if (*link != NULL) {
        *link = bell->next;
        tell(m);
    }
    vm__unlock(m);
}

void vm__doorbell_forget(struct vm_machine *m, const struct vm_region *window)
{
    for (struct vm_doorbell **link = &m->mem->doorbells; *link != NULL;)
        if ((*link)->window == window)
            *link = (*link)->next;
        else
            link = &(*link)->next;
}

bool vm__doorbell_place(const struct vm_machine *m, const struct vm_doorbell *bell, bool *port,
                        uint64_t *at)
{
    const struct vm_region *r = bell->window;

    if (!r->placed || !r->enabled || bell->off >= r->size)
        return false;
    *port = r->space == VM_SPACE_PORT;
    *at = r->base + bell->off;
    const unsigned which = *port ? (unsigned)VM_FLAT_PORT : (unsigned)VM_VIEW_NORMAL;
    const struct vm_flat_view *v = atomic_load(&m->mem->view[which]);
    const struct vm_flat *f = vm__flat_find(v, *at);
    return f != NULL && f->ops == r->ops && f->opaque == r->opaque;
}
