/* SPDX-License-Identifier: MIT */
/**
 * @file info.c
 * What is known of an image, as JSON.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/image.h"

int vm__blk_get_info(struct vm_blk *n, struct vm_blk_info *out)
{
    *out = (struct vm_blk_info) { 0 };
    if (n->drv->info == NULL)
        return VM_OK;
    vm__blk_drain_begin(n);
    const int st = n->drv->info(n, out);
    vm__blk_drain_end(n);
    return st;
}

void vm__blk_info_clear(struct vm_blk_info *info)
{
    json_decref(info->specific);
    info->specific = NULL;
}

uint64_t vm__blk_allocated(struct vm_blk *n)
{
    if (n->drv->kind == VM_BLK_PROTOCOL) {
        struct vm_blk_info info;
        if (n->drv->info == NULL || vm__blk_get_info(n, &info) != VM_OK)
            return UINT64_MAX;
        vm__blk_info_clear(&info);
        return info.allocated;
    }
    uint64_t sum = n->file != NULL ? vm__blk_allocated(n->file) : 0;
    for (uint32_t i = 0; i < n->n_children && sum != UINT64_MAX; i++) {
        const uint64_t more = vm__blk_allocated(n->children[i]);
        sum = more == UINT64_MAX ? more : sum + more;
    }
    return sum;
}

static void set_u64(json_t *o, const char *name, uint64_t v)
{
    json_object_set_new(o, name, json_integer((json_int_t)v));
}

static json_t *snapshot_json(const struct vm_blk_snapshot *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "id", json_string(s->id));
    json_object_set_new(o, "name", json_string(s->name));
    set_u64(o, "vm-state-size", s->vm_state_size);
    set_u64(o, "date-sec", s->date_s);
    set_u64(o, "date-nsec", s->date_ns);
    set_u64(o, "vm-clock-sec", s->vm_clock_ns / 1000000000u);
    set_u64(o, "vm-clock-nsec", s->vm_clock_ns % 1000000000u);
    if (s->icount != UINT64_MAX)
        set_u64(o, "icount", s->icount);
    return o;
}

static int add_snapshots(json_t *o, struct vm_blk *n)
{
    struct vm_blk_snapshot *list = NULL;
    size_t count = 0;
    if (n->drv->snapshot_list == NULL)
        return VM_OK;
    vm__blk_drain_begin(n);
    const int st = n->drv->snapshot_list(n, &list, &count);
    vm__blk_drain_end(n);
    if (st != VM_OK)
        return st;
    json_t *a = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(a, snapshot_json(&list[i]));
    if (count != 0)
        json_object_set_new(o, "snapshots", a);
    else
        json_decref(a);
    free(list);
    return VM_OK;
}

static void add_backing(json_t *o, const struct vm_blk *n)
{
    if (n->backing_name == NULL)
        return;
    char *full = n->backing != NULL && n->backing_overridden
                     ? strdup(n->backing->name)
                     : vm__blk_relative(n->filename, n->backing_name);
    if (full != NULL)
        json_object_set_new(o, "full-backing-filename", json_string(full));
    json_object_set_new(o, "backing-filename", json_string(n->backing_name));
    free(full);
}

struct json_t *vm__blk_info_json(struct vm_blk *n)
{
    struct vm_blk_info info;
    int st = vm__blk_get_info(n, &info);
    if (st != VM_OK)
        return NULL;
    json_t *o = json_object();
    /* In the order in which the tool prints them: people compare texts. */
    if (n->backing_name != NULL && n->backing_format != NULL)
        json_object_set_new(o, "backing-filename-format", json_string(n->backing_format));
    set_u64(o, "virtual-size", vm__blk_size(n));
    json_object_set_new(o, "filename", json_string(n->name));
    if (info.cluster_size != 0)
        set_u64(o, "cluster-size", info.cluster_size);
    json_object_set_new(o, "format", json_string(n->drv->name));
    const uint64_t allocated = vm__blk_allocated(n);
    if (allocated != UINT64_MAX)
        set_u64(o, "actual-size", allocated);
    if (info.encrypted)
        json_object_set_new(o, "encrypted", json_true());
    if (info.has_compressed_clusters)
        json_object_set_new(o, "compressed", json_true());
    if (info.specific != NULL)
        json_object_set_new(o, "format-specific",
                            json_pack("{s:s, s:o}", "type", n->drv->name, "data", info.specific));
    add_backing(o, n);
    json_object_set_new(o, "dirty-flag", json_boolean(info.dirty));
    st = add_snapshots(o, n);
    if (st != VM_OK) {
        json_decref(o);
        return NULL;
    }
    return o;
}
