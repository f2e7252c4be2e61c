/* SPDX-License-Identifier: MIT */
/**
 * @file flat.c
 * From overlapping regions to a sorted list without overlaps.
 *
 * Regions are taken in falling priority; each gets those of its addresses that nobody has yet.
 * With at most a few hundred regions the simple quadratic way takes microseconds, and the map
 * changes a few dozen times in a boot.
 */
#include <stdlib.h>

#include "base/bits.h"
#include "core/address_space.h"

enum { ALIAS_DEPTH = 8 };

struct builder {
    struct vm_flat *e;
    uint32_t n, room;
};

static int by_rank(const void *a, const void *b)
{
    const struct vm_region *x = *(const struct vm_region *const *)a;
    const struct vm_region *y = *(const struct vm_region *const *)b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? 1 : -1;
    return x->order < y->order ? 1 : -1;
}

/* Follow aliases to what is really there; still an alias if that is gone. */
static const struct vm_region *leaf(const struct vm_region *r, uint64_t *off, bool *readonly)
{
    *off = 0;
    *readonly = r->readonly;
    for (int depth = 0; r->target != NULL && depth < ALIAS_DEPTH; depth++) {
        *off += r->target_off;
        r = r->target;
        *readonly |= r->readonly;
    }
    return r;
}

static bool shown(const struct vm_region *r, unsigned which)
{
    uint64_t off;
    bool readonly;
    if (!r->placed || !r->enabled || leaf(r, &off, &readonly)->kind == VM_REGION_ALIAS)
        return false;
    if (which == VM_FLAT_PORT)
        return r->space == VM_SPACE_PORT;
    return r->space == VM_SPACE_MEM && (r->views & (1u << which)) != 0;
}

static struct vm_flat describe(const struct vm_region *r)
{
    struct vm_flat f = {
        .extent_first = r->base,
        .extent_last = r->base + (r->size - 1),
    };
    const struct vm_region *l = leaf(r, &f.off, &f.readonly);
    f.ram = l->ram;
    f.ops = l->ops;
    f.opaque = l->opaque;
    if (r->writes_to != NULL) {
        bool unused;
        const struct vm_region *w = leaf(r->writes_to, &f.write_off, &unused);
        f.write_ram = w->ram;
        f.write_off += r->writes_off;
    }
    return f;
}

static bool insert(struct builder *b, uint32_t at, const struct vm_flat *f)
{
    if (b->n == b->room) {
        const uint32_t room = b->room != 0 ? b->room * 2 : 64;
        struct vm_flat *e = realloc(b->e, room * sizeof *e);
        if (e == NULL)
            return false;
        b->e = e;
        b->room = room;
    }
    for (uint32_t i = b->n; i > at; i--)
        b->e[i] = b->e[i - 1];
    b->e[at] = *f;
    b->n++;
    return true;
}

/* Give the region every address of its that is free. */
static bool add_region(struct builder *b, const struct vm_region *r)
{
    struct vm_flat f = describe(r);
    uint64_t next = f.extent_first;

    for (uint32_t i = 0; i <= b->n; i++) {
        const bool end = i == b->n;
        if (!end && b->e[i].last < next)
            continue;
        /* The gap before entry i, or behind the last one. */
        const uint64_t gap_last =
            end || b->e[i].first > f.extent_last ? f.extent_last : b->e[i].first - 1;
        if (end || b->e[i].first > next) {
            f.first = next;
            f.last = gap_last;
            if (!insert(b, i, &f))
                return false;
            i++;
        }
        if (i >= b->n || b->e[i].last >= f.extent_last)
            return true;
        next = b->e[i].last + 1;
    }
    return true;
}

struct vm_flat_view *vm__flat_build(const struct vm_region *regions, unsigned which)
{
    uint32_t n = 0;
    for (const struct vm_region *r = regions; r != NULL; r = r->next)
        n += shown(r, which);
    const struct vm_region **sorted = calloc(n + 1, sizeof(*sorted));
    if (sorted == NULL)
        return NULL;
    n = 0;
    for (const struct vm_region *r = regions; r != NULL; r = r->next)
        if (shown(r, which))
            sorted[n++] = r;
    qsort(sorted, n, sizeof(*sorted), by_rank);

    struct builder b = { 0 };
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++)
        ok = add_region(&b, sorted[i]);
    free(sorted);

    struct vm_flat_view *v = ok ? malloc(sizeof *v + b.n * sizeof v->e[0]) : NULL;
    if (v != NULL) {
        v->n = b.n;
        for (uint32_t i = 0; i < b.n; i++)
            v->e[i] = b.e[i];
    }
    free(b.e);
    return v;
}
