/* SPDX-License-Identifier: MIT */
/**
 * @file region_list.c
 * The memory map for people: what is on it, and what comes of it.
 */
#include "core/address_space.h"

void vm__region_info(const struct vm_region *r, struct vm_region_info *out)
{
    const struct vm_region *behind = r;
    /* An alias of an alias: chains are short, and made by boards. */
    while (behind->kind == VM_REGION_ALIAS && behind->target != NULL)
        behind = behind->target;
    *out = (struct vm_region_info) {
        .name = r->name,
        .space = r->space,
        .window = behind->kind == VM_REGION_WINDOW,
        .rom = behind->kind == VM_REGION_ROM,
        .readonly = r->readonly,
        .placed = r->placed,
        .enabled = r->enabled,
        .smm_only = r->space == VM_SPACE_MEM && r->views == VM_IN_SMM,
        .base = r->base,
        .size = r->size,
        .priority = r->priority,
        .target = r->kind == VM_REGION_ALIAS && r->target != NULL ? r->target->name : NULL,
        .target_off = r->target_off,
    };
}

uint32_t vm__region_list(struct vm_machine *m, struct vm_region_info *out, uint32_t max)
{
    uint32_t n = 0;
    for (const struct vm_region *r = m->mem->regions; r != NULL; r = r->next, n++)
        if (n < max)
            vm__region_info(r, &out[n]);
    return n;
}

void vm__flat_list(struct vm_machine *m, enum vm_space space,
                   void (*fn)(void *ud, const struct vm_flat_info *f), void *ud)
{
    const unsigned which = space == VM_SPACE_PORT ? VM_FLAT_PORT : VM_VIEW_NORMAL;
    vm__mem_flush(m);
    const struct vm_flat_view *v = vm__flat_view(m, which);
    for (uint32_t i = 0; i < v->n; i++) {
        const struct vm_flat *e = &v->e[i];
        const struct vm_flat_info f = {
            .first = e->first, .last = e->last, .window = e->ram == NULL, .readonly = e->readonly
        };
        fn(ud, &f);
    }
}
