/* SPDX-License-Identifier: MIT */
/**
 * @file info_map.c
 * The memory map: info mtree, roms.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/region.h"
#include "monitor/monitor.h"

static const char *kind_of(const struct vm_region_info *r)
{
    if (r->window)
        return "i/o";
    return r->rom || r->readonly ? "rom" : "ram";
}

static void put_region(struct mon *mon, const struct vm_region_info *r)
{
    mon_printf(mon, "  %016" PRIx64 "-%016" PRIx64 " (prio %d, %s): ", r->base,
               r->base + r->size - 1, r->priority, kind_of(r));
    if (r->target != NULL)
        mon_printf(mon, "alias %s @%s %016" PRIx64 "-%016" PRIx64, r->name, r->target,
                   r->target_off, r->target_off + r->size - 1);
    else
        mon_printf(mon, "%s", r->name);
    mon_printf(mon, "%s%s\n", r->smm_only ? " [SMM]" : "", r->enabled ? "" : " [disabled]");
}

static int by_base(const void *a, const void *b)
{
    const struct vm_region_info *x = a, *y = b;
    if (x->base != y->base)
        return x->base < y->base ? -1 : 1;
    return x->size > y->size ? -1 : x->size < y->size;
}

/** The placed regions of a space, by address; the caller frees them. NULL: none, or no memory. */
static struct vm_region_info *collect(struct mon *mon, enum vm_space space, uint32_t *n)
{
    const uint32_t all = vm__region_list(mon->m, NULL, 0);
    struct vm_region_info *list = calloc(all + 1, sizeof *list);
    *n = 0;
    if (list == NULL) {
        (void)vm__fail_nomem(all * sizeof *list);
        return NULL;
    }
    const uint32_t got = vm__region_list(mon->m, list, all);
    for (uint32_t i = 0; i < got; i++)
        if (list[i].space == space && list[i].placed)
            list[(*n)++] = list[i];
    qsort(list, *n, sizeof *list, by_base);
    return list;
}

static int put_space(struct mon *mon, const char *name, enum vm_space space)
{
    uint32_t n;
    struct vm_region_info *list = collect(mon, space, &n);
    if (list == NULL)
        return VM_E_NOMEM;
    mon_printf(mon, "address-space: %s\n", name);
    for (uint32_t i = 0; i < n; i++)
        put_region(mon, &list[i]);
    free(list);
    return VM_OK;
}

/* ---- what is left when all is laid over each other ---- */

static void put_flat(void *ud, const struct vm_flat_info *f)
{
    struct mon *mon = ud;
    mon_printf(mon, "  %016" PRIx64 "-%016" PRIx64 " %s\n", f->first, f->last,
               f->window     ? "i/o"
               : f->readonly ? "rom"
                             : "ram");
}

static int run_mtree(struct mon *mon, char *args)
{
    const char *word = vm__mon_word(&args);
    if (word == NULL) {
        const int st = put_space(mon, "I/O", VM_SPACE_PORT);
        mon_printf(mon, "\n");
        return st == VM_OK ? put_space(mon, "memory", VM_SPACE_MEM) : st;
    }
    if (strcmp(word, "-f") != 0)
        return vm__fail(VM_E_INVAL, "info mtree: -f for the flat view, not %.40s", word);
    mon_printf(mon, "FlatView: memory\n");
    vm__flat_list(mon->m, VM_SPACE_MEM, put_flat, mon);
    mon_printf(mon, "FlatView: I/O\n");
    vm__flat_list(mon->m, VM_SPACE_PORT, put_flat, mon);
    return VM_OK;
}

static int run_roms(struct mon *mon, char *args)
{
    uint32_t n;
    struct vm_region_info *list = collect(mon, VM_SPACE_MEM, &n);
    (void)args;
    if (list == NULL)
        return VM_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        if (list[i].rom && list[i].target == NULL)
            mon_printf(mon, "addr=%016" PRIx64 " size=0x%06" PRIx64 " mem=rom name=\"%s\"\n",
                       list[i].base, list[i].size, list[i].name);
    free(list);
    return VM_OK;
}

const struct mon_command vm__mon_info_map[] = {
    { "mtree", NULL, "[-f]", "memory and ports; -f: as they are seen", 0, run_mtree },
    { "roms", NULL, NULL, "ROMs", 0, run_roms },
    { 0 },
};
