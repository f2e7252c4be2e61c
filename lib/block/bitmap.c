/* SPDX-License-Identifier: MIT */
/**
 * @file bitmap.c
 * Dirty bitmaps of images: which parts of a disk were written since some time.
 *
 * A format keeps them; here is what goes from one image to another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/image.h"
#include "block/options.h"

int vm__blk_bitmap_list(struct vm_blk *n, struct vm_blk_bitmap **list, size_t *count)
{
    *list = NULL;
    *count = 0;
    if (n->drv->bitmap_list == NULL)
        return VM_OK;
    vm__blk_drain_begin(n);
    const int st = n->drv->bitmap_list(n, list, count);
    vm__blk_drain_end(n);
    return st;
}

static int cannot(const struct vm_blk *n)
{
    return vm__fail(VM_E_NOTSUP, "%s images have no dirty bitmaps", n->drv->name);
}

int vm__blk_bitmap(struct vm_blk *n, const char *what, const char *name, struct vm_blk_options *o)
{
    if (n->drv->bitmap == NULL)
        return cannot(n);
    if (!vm__blk_writable(n))
        return vm__fail(VM_E_PERM, "Block node is read-only");
    vm__blk_drain_begin(n);
    const int st = n->drv->bitmap(n, what, name, o);
    vm__blk_drain_end(n);
    return st;
}

int vm__blk_bitmap_merge(struct vm_blk *to, const char *name, struct vm_blk *from,
                         const char *source)
{
    struct vm_blk_bits bits = { 0 };
    if (to->drv->bitmap_merge == NULL || from->drv->bitmap_read == NULL)
        return cannot(to->drv->bitmap_merge == NULL ? to : from);
    if (!vm__blk_writable(to))
        return vm__fail(VM_E_PERM, "Block node is read-only");
    vm__blk_drain_begin(from);
    int st = from->drv->bitmap_read(from, source, &bits);
    vm__blk_drain_end(from);
    if (st != VM_OK)
        return st;
    vm__blk_drain_begin(to);
    st = to->drv->bitmap_merge(to, name, &bits);
    vm__blk_drain_end(to);
    free(bits.bits);
    return st;
}

static int copy_one(struct vm_blk *from, struct vm_blk *to, const struct vm_blk_bitmap *b)
{
    char text[32];
    struct vm_blk_options *o = vm__options_new();
    if (o == NULL)
        return VM_E_NOMEM;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)b->granularity);
    int st = vm__options_set(o, "granularity", text);
    if (st == VM_OK) /* writes of the copying are not news */
        st = vm__options_set(o, "disabled", "on");
    if (st == VM_OK)
        st = vm__blk_bitmap(to, "add", b->name, o);
    if (st == VM_OK)
        st = vm__blk_bitmap_merge(to, b->name, from, b->name);
    vm__options_free(o);
    return st == VM_OK && b->enabled ? vm__blk_bitmap(to, "enable", b->name, NULL) : st;
}

int vm__blk_bitmap_copy(struct vm_blk *from, struct vm_blk *to, bool skip_broken)
{
    struct vm_blk_bitmap *list = NULL;
    size_t count = 0;
    int st = vm__blk_bitmap_list(from, &list, &count);
    for (size_t i = 0; st == VM_OK && i < count; i++)
        if (list[i].in_use && !skip_broken)
            st = vm__fail(VM_E_CORRUPT, "Cannot copy inconsistent bitmap '%.80s'", list[i].name);
    for (size_t i = 0; st == VM_OK && i < count; i++)
        if (!list[i].in_use)
            st = copy_one(from, to, &list[i]);
    free(list);
    return st;
}
