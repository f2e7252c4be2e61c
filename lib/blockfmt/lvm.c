/* SPDX-License-Identifier: MIT */
/**
 * @file lvm.c
 * Filter "lvm": a logical volume of LVM2, linear or striped, over its physical volumes.
 *
 * Spec: [LVM2-format]. Options: lv=VG/LV, and pv.0, pv.1, … for physical volumes beyond `file`.
 * Mirrors, RAID, thin pools, snapshots and caches are refused by name.
 */
#include "blockfmt/lvm.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/env.h"
#include "block/options.h"

enum { SECTOR = 512, MAX_SEGMENTS = 65536, MAX_STRIPES = 128 };

struct stripe {
    struct vm_blk *pv;
    uint64_t off; /* of the segment's part on it */
};

struct segment {
    uint64_t start, len; /* of the volume */
    uint64_t stripe_size;
    uint32_t n_stripes;
    struct stripe *stripes;
};

struct lvm {
    struct segment *segments; /* one after the other, without gaps */
    uint32_t n;
};

struct group {
    json_t *root, *vg; /* vg is borrowed */
    const char *name;
    uint64_t extent; /* bytes */
};

static uint64_t number(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    const json_int_t i = json_is_integer(v) ? json_integer_value(v) : 0;
    return i > 0 ? (uint64_t)i : 0;
}

static int group_open(struct vm_blk *pv, struct group *g)
{
    const char *key;
    json_t *value;
    *g = (struct group) { .root = vm__lvm_metadata(pv) };
    if (g->root == NULL)
        return vm_last_error()->code;
    json_object_foreach(g->root, key, value)
    {
        if (json_is_object(value) && json_is_object(json_object_get(value, "physical_volumes"))) {
            g->name = key;
            g->vg = value;
        }
    }
    const uint64_t sectors = g->vg != NULL ? number(g->vg, "extent_size") : 0;
    if (sectors == 0 || sectors > (UINT64_C(1) << 40)) {
        json_decref(g->root);
        return vm__fail(VM_E_CORRUPT, "the metadata describes no volume group");
    }
    g->extent = sectors * SECTOR;
    return VM_OK;
}

static void group_close(struct group *g)
{
    json_decref(g->root);
}

/* ---- listing ---------------------------------------------------------------------------- */

static bool visible(const json_t *lv)
{
    size_t i;
    const json_t *word;
    json_array_foreach(json_object_get(lv, "status"), i, word)
    {
        if (json_is_string(word) && strcmp(json_string_value(word), "VISIBLE") == 0)
            return true;
    }
    return false;
}

static const json_t *segment_json(const json_t *lv, uint64_t i)
{
    char key[32];
    snprintf(key, sizeof key, "segment%" PRIu64, i + 1);
    return json_object_get(lv, key);
}

static bool can_open(const json_t *lv)
{
    const uint64_t n = number(lv, "segment_count");
    if (n == 0 || n > MAX_SEGMENTS)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_object_get(segment_json(lv, i), "type"));
        if (type == NULL || strcmp(type, "striped") != 0)
            return false;
    }
    return true;
}

static uint64_t volume_bytes(const struct group *g, const json_t *lv)
{
    uint64_t sum = 0, bytes;
    for (uint64_t i = 0; i < number(lv, "segment_count"); i++) {
        if (!vm_mul_u64(number(segment_json(lv, i), "extent_count"), g->extent, &bytes) ||
            !vm_add_u64(sum, bytes, &sum))
            return UINT64_MAX;
    }
    return sum;
}

int vm__lvm_list(struct vm_blk *pv, int (*fn)(void *ud, const char *name, uint64_t bytes), void *ud)
{
    struct group g;
    const char *key;
    json_t *lv;
    int st = group_open(pv, &g);
    if (st != VM_OK)
        return st;
    json_object_foreach(json_object_get(g.vg, "logical_volumes"), key, lv)
    {
        char name[512];
        if (st != VM_OK || !visible(lv))
            continue;
        snprintf(name, sizeof name, "%s/%s", g.name, key);
        st = fn(ud, name, can_open(lv) ? volume_bytes(&g, lv) : UINT64_MAX);
    }
    group_close(&g);
    return st;
}

/* ---- opening ---------------------------------------------------------------------------- */

/* @p id has dashes, @p uuid has none. */
static bool same_uuid(const char *id, const char *uuid)
{
    for (; *id != '\0'; id++) {
        if (*id == '-')
            continue;
        if (*id != *uuid++)
            return false;
    }
    return *uuid == '\0';
}

static struct vm_blk *find_pv(struct vm_blk *n, const struct group *g, const char *name,
                              uint64_t *start)
{
    const json_t *pv = json_object_get(json_object_get(g->vg, "physical_volumes"), name);
    const char *id = json_string_value(json_object_get(pv, "id"));
    if (id == NULL || !vm_mul_u64(number(pv, "pe_start"), SECTOR, start)) {
        vm__fail(VM_E_CORRUPT, "physical volume %.60s is not described", name);
        return NULL;
    }
    for (uint32_t i = 0; i <= n->n_children; i++) {
        struct vm_blk *at = i == 0 ? n->file : n->children[i - 1];
        char uuid[VM_LVM_UUID_BYTES];
        if (vm__lvm_probe(at, uuid) == VM_OK && same_uuid(id, uuid))
            return at;
    }
    vm__fail(VM_E_NOENT, "physical volume %.60s (%.40s) is not there", name, id);
    return NULL;
}

static int take_stripe(struct vm_blk *n, const struct group *g, const json_t *list, size_t i,
                       uint64_t bytes, struct stripe *s)
{
    const char *name = json_string_value(json_array_get(list, 2 * i));
    const json_t *extent = json_array_get(list, 2 * i + 1);
    uint64_t start = 0, off;
    if (name == NULL || !json_is_integer(extent) || json_integer_value(extent) < 0)
        return vm__fail(VM_E_CORRUPT, "stripe %zu is not described", i);
    s->pv = find_pv(n, g, name, &start);
    if (s->pv == NULL)
        return vm_last_error()->code;
    if (!vm_mul_u64((uint64_t)json_integer_value(extent), g->extent, &off) ||
        !vm_add_u64(off, start, &s->off) || !vm_in_range(s->off, bytes, vm__blk_size(s->pv)))
        return vm__fail(VM_E_CORRUPT, "stripe %zu ends beyond its physical volume", i);
    return VM_OK;
}

static int take_segment(struct vm_blk *n, const struct group *g, const json_t *json, uint64_t start,
                        struct segment *s)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *list = json_object_get(json, "stripes");
    const uint64_t count = number(json, "stripe_count");
    int st = VM_OK;
    if (type == NULL || strcmp(type, "striped") != 0)
        return vm__fail(VM_E_NOTSUP, "segments of type %.40s are not supported",
                        type != NULL ? type : "unknown");
    if (count == 0 || count > MAX_STRIPES || json_array_size(list) != 2 * count ||
        !vm_mul_u64(number(json, "extent_count"), g->extent, &s->len) || s->len == 0 ||
        s->len % count != 0)
        return vm__fail(VM_E_CORRUPT, "a segment of the volume makes no sense");
    s->start = start;
    s->n_stripes = (uint32_t)count;
    s->stripe_size = count == 1 ? s->len : number(json, "stripe_size") * SECTOR;
    if (s->stripe_size == 0 || s->stripe_size > s->len || s->len / count % s->stripe_size != 0)
        return vm__fail(VM_E_CORRUPT, "a stripe size of the volume makes no sense");
    s->stripes = calloc(count, sizeof *s->stripes);
    if (s->stripes == NULL)
        return vm__fail_nomem(count * sizeof *s->stripes);
    for (size_t i = 0; st == VM_OK && i < count; i++)
        st = take_stripe(n, g, list, i, s->len / count, &s->stripes[i]);
    return st;
}

static int take_volume(struct vm_blk *n, const struct group *g, const json_t *lv)
{
    struct lvm *s = n->state;
    const uint64_t count = number(lv, "segment_count");
    uint64_t size = 0;
    int st = VM_OK;
    if (count == 0 || count > MAX_SEGMENTS)
        return vm__fail(VM_E_CORRUPT, "the volume has %" PRIu64 " segments", count);
    s->segments = calloc(count, sizeof *s->segments);
    if (s->segments == NULL)
        return vm__fail_nomem(count * sizeof *s->segments);
    for (uint64_t i = 0; st == VM_OK && i < count; i++) {
        const json_t *json = segment_json(lv, i);
        uint64_t at;
        s->n++;
        if (!vm_mul_u64(number(json, "start_extent"), g->extent, &at) || at != size)
            st =
                vm__fail(VM_E_CORRUPT, "segment %" PRIu64 " does not follow the one before", i + 1);
        else
            st = take_segment(n, g, json, size, &s->segments[i]);
        if (st == VM_OK && !vm_add_u64(size, s->segments[i].len, &size))
            st = vm__fail(VM_E_CORRUPT, "the volume is larger than any disk");
    }
    atomic_store(&n->size, size);
    return st;
}

static int take_pvs(struct vm_blk *n, struct vm_blk_options *o)
{
    for (uint32_t i = 0; i < VM_BLK_MAX_CHILDREN; i++) {
        char key[16];
        snprintf(key, sizeof key, "pv.%u", i);
        const char *name = vm__opt_str(o, key);
        if (name == NULL)
            break;
        struct vm_blk *pv = vm__blk_refer(n->env, (int)n->why, name);
        if (pv == NULL)
            return vm_last_error()->code;
        n->children[n->n_children++] = pv;
    }
    return VM_OK;
}

static void free_segments(struct lvm *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        free(s->segments[i].stripes);
    free(s->segments);
}

static int lvm_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct group g;
    const char *name = vm__opt_str(o, "lv");
    int st = name != NULL ? take_pvs(n, o) : vm__fail(VM_E_INVAL, "which volume? lv=VG/LV");
    if (st == VM_OK)
        st = group_open(n->file, &g);
    if (st != VM_OK)
        return st;
    const size_t len = strlen(g.name);
    const bool mine = strncmp(name, g.name, len) == 0 && name[len] == '/';
    const json_t *lv =
        mine ? json_object_get(json_object_get(g.vg, "logical_volumes"), name + len + 1) : NULL;
    st = lv != NULL ? take_volume(n, &g, lv) : vm__fail(VM_E_NOENT, "no volume %.100s", name);
    group_close(&g);
    if (st != VM_OK)
        free_segments(n->state);
    return st;
}

static void lvm_close(struct vm_blk *n)
{
    free_segments(n->state);
}

struct vm_blk *vm__lvm_open(struct vm_blk *const *pvs, uint32_t n_pvs, const char *name,
                            uint32_t flags)
{
    struct vm_blk_options *o = vm__options_new();
    struct vm_blk *n = NULL;
    int st = o != NULL && n_pvs != 0 ? vm__options_set(o, "file", pvs[0]->node_name) : VM_E_INVAL;
    if (st == VM_OK)
        st = vm__options_set(o, "lv", name);
    for (uint32_t i = 1; st == VM_OK && i < n_pvs; i++) {
        char key[16];
        snprintf(key, sizeof key, "pv.%u", i - 1);
        st = vm__options_set(o, key, pvs[i]->node_name);
    }
    if (st == VM_OK)
        n = vm__blk_open(pvs[0]->env, NULL, "lvm", o, flags);
    vm__options_free(o);
    return n;
}

/* ---- I/O -------------------------------------------------------------------------------- */

static const struct segment *segment_at(const struct lvm *s, uint64_t off)
{
    uint32_t lo = 0, hi = s->n;
    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (s->segments[mid].start <= off)
            lo = mid;
        else
            hi = mid;
    }
    return &s->segments[lo];
}

/* Where @p off lies; at most @p *len bytes there in one piece. */
static struct vm_blk *place(struct vm_blk *n, uint64_t off, uint64_t *len, uint64_t *at)
{
    const struct segment *s = segment_at(n->state, off);
    const uint64_t in = off - s->start, number_of = in / s->stripe_size;
    const struct stripe *t = &s->stripes[number_of % s->n_stripes];
    const uint64_t rest = s->stripe_size - in % s->stripe_size;
    *at = t->off + number_of / s->n_stripes * s->stripe_size + in % s->stripe_size;
    if (*len > rest)
        *len = rest;
    return t->pv;
}

static int transfer(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags,
                    int (*io)(struct vm_blk *, uint64_t, size_t, struct vm_sg, uint32_t))
{
    int st = VM_OK;
    while (st == VM_OK && len != 0) {
        uint64_t part = len, at;
        struct vm_blk *pv = place(n, off, &part, &at);
        st = io(pv, at, (size_t)part, sg, flags);
        off += part;
        len -= (size_t)part;
        if (len != 0)
            sg = vm_sg_at(sg, (size_t)part);
    }
    return st;
}

static int lvm_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return transfer(n, off, len, sg, flags, vm__blk_readv);
}

static int lvm_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return transfer(n, off, len, sg, flags, vm__blk_writev);
}

static int over_range(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags,
                      int (*io)(struct vm_blk *, uint64_t, uint64_t, uint32_t))
{
    int st = VM_OK;
    while (st == VM_OK && len != 0) {
        uint64_t part = len, at;
        struct vm_blk *pv = place(n, off, &part, &at);
        st = io(pv, at, part, flags);
        off += part;
        len -= part;
    }
    return st;
}

static int lvm_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return over_range(n, off, len, flags, vm__blk_zero);
}

static int lvm_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return over_range(n, off, len, flags, vm__blk_discard);
}

static int lvm_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    uint64_t at;
    struct vm_blk *pv = place(n, off, &len, &at);
    const int st = vm__blk_status(pv, at, len, e);
    e->flags &= ~(uint32_t)VM_EXTENT_EOF;
    e->flags |= VM_EXTENT_ALLOCATED;
    return st;
}

static const struct vm_blk_option open_options[] = {
    { "lv", VM_OPT_STR, "the volume: VG/LV" },
    { "pv", VM_OPT_STR, "pv.0, pv.1, …: further physical volumes, by node name" },
    { 0 },
};

const struct vm_blk_driver vm__lvm_driver = {
    .name = "lvm",
    .summary = "Logical volume of LVM2",
    .spec = "LVM2 on-disk format",
    .kind = VM_BLK_FILTER,
    .can = VM_CAN_NOWAIT | VM_CAN_FUA,
    .state_size = sizeof(struct lvm),
    .open_options = open_options,
    .open = lvm_open,
    .close = lvm_close,
    .read = lvm_read,
    .write = lvm_write,
    .zero = lvm_zero,
    .discard = lvm_discard,
    .status = lvm_status,
};
