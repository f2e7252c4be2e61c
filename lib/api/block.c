/* SPDX-License-Identifier: MIT */
/**
 * @file block.c
 * Exported: images, their bytes, and what is known of them.
 */
#include <libvm/block.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/block_impl.h"
#include "base/error.h"
#include "block/env.h"
#include "block/image.h"
#include "block/options.h"
#include "block/request.h"

_Static_assert((int)VM_BLK_RO == (int)VM_OPEN_RO && (int)VM_BLK_CHECK == (int)VM_OPEN_CHECK &&
                   (int)VM_BLK_SHARE_RW == (int)VM_OPEN_SHARE_RW &&
                   (int)VM_BLK_AUTO_RO == (int)VM_OPEN_AUTO_RO,
               "flags of opening");
_Static_assert((int)VM_BLK_FUA == (int)VM_IO_FUA && (int)VM_BLK_MAY_UNMAP == (int)VM_IO_UNMAP &&
                   (int)VM_BLK_NO_FALLBACK == (int)VM_IO_NO_FALLBACK &&
                   (int)VM_BLK_COMPRESSED == (int)VM_IO_COMPRESSED,
               "flags of requests");
_Static_assert((int)VM_MAP_OFFSET == (int)VM_EXTENT_OFFSET &&
                   (int)VM_MAP_COMPRESSED == (int)VM_EXTENT_COMPRESSED,
               "flags of extents");

enum { REQUEST_FLAGS = VM_BLK_FUA | VM_BLK_MAY_UNMAP | VM_BLK_NO_FALLBACK | VM_BLK_COMPRESSED };

static int no_image(void)
{
    return vm__fail(VM_E_INVAL, "no image");
}

struct vm_blk_options *vm__api_options(const char *text)
{
    struct vm_blk_options *o = vm__options_new();
    int st = o != NULL ? VM_OK : VM_E_NOMEM;
    if (st == VM_OK && text != NULL && *text == '{') {
        st = vm__options_json_text(o, text);
    } else if (st == VM_OK && text != NULL && *text != '\0') {
        st = vm__options_parse(o, text, NULL);
    }
    if (st != VM_OK) {
        vm__options_free(o);
        return NULL;
    }
    return o;
}

vm_blk *vm_blk_open(vm_ctx *ctx, const char *name, const char *format, uint32_t flags)
{
    struct vm_blk_env *env = ctx != NULL && name != NULL ? vm__ctx_block(ctx) : NULL;
    if (env == NULL) {
        if (ctx == NULL || name == NULL)
            vm__fail(VM_E_INVAL, "no context or no name");
        return NULL;
    }
    return vm__blk_open(env, name, format, NULL, flags);
}

int vm_blk_create(vm_ctx *ctx, const char *name, const char *format, uint64_t size,
                  const char *options)
{
    if (ctx == NULL || name == NULL || format == NULL)
        return vm__fail(VM_E_INVAL, "no context, name or format");
    struct vm_blk_env *env = vm__ctx_block(ctx);
    struct vm_blk_options *o = vm__api_options(options);
    const int st = env != NULL && o != NULL ? vm__blk_create(env, format, name, size, o)
                                            : vm_last_error()->code;
    vm__options_free(o);
    return st;
}

void vm_blk_close(vm_blk *blk)
{
    vm__blk_unref(blk);
}

int vm_blk_list_drivers(vm_ctx *ctx, vm_list_fn fn, void *ud)
{
    if (ctx == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no context or no function");
    struct vm_blk_env *env = vm__ctx_block(ctx);
    if (env == NULL)
        return VM_E_NOMEM;
    for (const struct vm_blk_driver *const *d = vm__blk_drivers(env); *d != NULL; d++) {
        const int st = fn(ud, (*d)->name, (*d)->summary != NULL ? (*d)->summary : "");
        if (st != 0)
            return st;
    }
    return VM_OK;
}

int vm_blk_list_options(vm_ctx *ctx, const char *format, int what, vm_list_fn fn, void *ud)
{
    if (ctx == NULL || format == NULL || fn == NULL || what < 0 || what > 2)
        return vm__fail(VM_E_INVAL, "no context, format or function, or no such kind of options");
    struct vm_blk_env *env = vm__ctx_block(ctx);
    const struct vm_blk_driver *d = env != NULL ? vm__blk_driver(env, format) : NULL;
    if (d == NULL)
        return vm__fail(VM_E_NOENT, "Unknown file format '%.60s'", format);
    const struct vm_blk_option *const tables[] = { d->create_options, d->open_options,
                                                   d->amend_options };
    for (const struct vm_blk_option *o = tables[what]; o != NULL && o->name != NULL; o++) {
        const int st = fn(ud, o->name, o->help != NULL ? o->help : "");
        if (st != 0)
            return st;
    }
    return VM_OK;
}

int vm_secret_add(vm_ctx *ctx, const char *id, const void *data, size_t len)
{
    if (ctx == NULL || id == NULL || (data == NULL && len != 0))
        return vm__fail(VM_E_INVAL, "no context, name or data");
    struct vm_blk_env *env = vm__ctx_block(ctx);
    return env != NULL ? vm__secret_add(env, id, data, len) : VM_E_NOMEM;
}

/* ---- bytes ------------------------------------------------------------------------------ */

static int run(vm_blk *blk, uint32_t op, uint64_t off, void *buf, uint64_t len, uint32_t flags)
{
    struct vm_iov v = { buf, (size_t)len };
    struct vm_blk_req r = {
        .node = blk, .op = op, .flags = flags, .off = off, .len = len, .sg = { &v, 0 }
    };
    if (blk == NULL)
        return no_image();
    if (buf == NULL && len != 0 && (op == VM_IO_READ || op == VM_IO_WRITE))
        return vm__fail(VM_E_INVAL, "no memory");
    if ((flags & ~(uint32_t)REQUEST_FLAGS) != 0)
        return vm__fail(VM_E_INVAL, "unknown flags %#x", flags);
    return vm__blk_run(&r);
}

int64_t vm_blk_size(vm_blk *blk)
{
    return blk != NULL ? (int64_t)vm__blk_size(blk) : no_image();
}

int vm_blk_read(vm_blk *blk, uint64_t off, void *buf, size_t len)
{
    return run(blk, VM_IO_READ, off, buf, len, 0);
}

int vm_blk_write(vm_blk *blk, uint64_t off, const void *buf, size_t len, uint32_t flags)
{
    return run(blk, VM_IO_WRITE, off, (void *)(uintptr_t)buf, len, flags);
}

int vm_blk_zero(vm_blk *blk, uint64_t off, uint64_t len, uint32_t flags)
{
    return run(blk, VM_IO_ZERO, off, NULL, len, flags);
}

int vm_blk_discard(vm_blk *blk, uint64_t off, uint64_t len)
{
    return run(blk, VM_IO_DISCARD, off, NULL, len, 0);
}

int vm_blk_flush(vm_blk *blk)
{
    return run(blk, VM_IO_FLUSH, 0, NULL, 0, 0);
}

struct user_req {
    struct vm_blk_req r;
    struct vm_iov v;
    vm_blk_done done;
    void *ud;
};

static void on_done(struct vm_blk_req *r)
{
    struct user_req u = *(struct user_req *)r->opaque;
    /* First: who closes the image when the last request is done, means to close it. */
    vm__blk_unref(r->node);
    free(r->opaque);
    u.done(u.ud, u.r.status);
}

int vm_blk_submit(vm_blk *blk, int op, uint64_t off, void *buf, size_t len, uint32_t flags,
                  vm_blk_done done, void *ud)
{
    if (blk == NULL || done == NULL)
        return vm__fail(VM_E_INVAL, "no image or no function");
    if (op < 0 || op >= VM_IO_OPS || (flags & ~(uint32_t)REQUEST_FLAGS) != 0)
        return vm__fail(VM_E_INVAL, "no operation %d with flags %#x", op, flags);
    if (buf == NULL && len != 0 && op <= VM_BLK_WRITE)
        return vm__fail(VM_E_INVAL, "no memory");
    struct user_req *u = malloc(sizeof *u);
    if (u == NULL)
        return vm__fail_nomem(sizeof *u);
    *u = (struct user_req) { .v = { buf, len }, .done = done, .ud = ud };
    u->r = (struct vm_blk_req) { .node = vm__blk_ref(blk),
                                 .op = (uint32_t)op,
                                 .flags = flags,
                                 .off = off,
                                 .len = len,
                                 .sg = { &u->v, 0 },
                                 .done = on_done,
                                 .opaque = u };
    vm__blk_submit(&u->r, NULL);
    return VM_OK;
}

/* ---- what is known ---------------------------------------------------------------------- */

int vm_blk_info(vm_blk *blk, char *json, size_t *len)
{
    if (blk == NULL || len == NULL)
        return vm__fail(VM_E_INVAL, "no image or no length");
    json_t *o = vm__blk_info_json(blk);
    if (o == NULL)
        return vm_last_error()->code;
    char *text = json_dumps(o, 0);
    json_decref(o);
    if (text == NULL)
        return vm__fail(VM_E_CORRUPT, "the image holds names that are no text");
    const size_t need = strlen(text) + 1, room = *len;
    *len = need;
    if (json != NULL && room >= need)
        memcpy(json, text, need);
    free(text);
    return json != NULL && room >= need
               ? VM_OK
               : vm__fail(VM_E_RANGE, "%zu bytes are needed, not %zu", need, room);
}

struct user_map {
    vm_blk_map_fn fn;
    void *ud;
};

static int on_row(void *ud, const struct vm_blk_row *row)
{
    const struct user_map *u = ud;
    const vm_blk_map_row out = {
        .size = sizeof out,
        .flags = row->flags &
                 (VM_MAP_DATA | VM_MAP_ZERO | VM_MAP_ALLOCATED | VM_MAP_OFFSET | VM_MAP_COMPRESSED),
        .start = row->start,
        .length = row->length,
        .host_offset = row->offset,
        .depth = row->depth,
        .file = row->in != NULL ? row->in->name : NULL,
    };
    return u->fn(u->ud, &out);
}

int vm_blk_map(vm_blk *blk, uint64_t off, uint64_t len, vm_blk_map_fn fn, void *ud)
{
    struct user_map u = { fn, ud };
    if (blk == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no image or no function");
    return vm__blk_map(blk, off, len, on_row, &u);
}

int vm_blk_check(vm_blk *blk, uint32_t fix, vm_blk_check_result *result, vm_blk_problem_fn problem,
                 void *ud)
{
    struct vm_blk_check c = { .problem = problem, .ud = ud };
    if (blk == NULL)
        return no_image();
    const int st = vm__blk_check(blk, &c, fix);
    const vm_blk_check_result r = {
        .size = sizeof r,
        .corruptions = c.corruptions,
        .leaks = c.leaks,
        .errors = c.check_errors,
        .corruptions_fixed = c.corruptions_fixed,
        .leaks_fixed = c.leaks_fixed,
        .total_clusters = c.total_clusters,
        .allocated_clusters = c.allocated_clusters,
        .fragmented_clusters = c.fragmented_clusters,
        .compressed_clusters = c.compressed_clusters,
        .image_end_offset = c.image_end_offset,
    };
    if (st == VM_OK && result != NULL) {
        const uint32_t room = result->size < sizeof r ? result->size : (uint32_t)sizeof r;
        memcpy(result, &r, room);
        result->size = room;
    }
    return st;
}

int vm_blk_compare(vm_blk *a, vm_blk *b, uint64_t *at)
{
    uint64_t where = 0;
    if (a == NULL || b == NULL)
        return no_image();
    const int st = vm__blk_compare(a, b, false, NULL, &where);
    if (st == 1 && at != NULL)
        *at = where;
    return st;
}

int vm_blk_measure_detail(vm_ctx *ctx, const char *format, uint64_t size, vm_blk *source,
                          const char *options, vm_blk_measured *out)
{
    struct vm_blk_measure m;
    if (ctx == NULL || format == NULL || out == NULL)
        return vm__fail(VM_E_INVAL, "no context, format or place for the result");
    struct vm_blk_env *env = vm__ctx_block(ctx);
    struct vm_blk_options *o = vm__api_options(options);
    const int st = env != NULL && o != NULL ? vm__blk_measure(env, format, size, source, o, &m)
                                            : vm_last_error()->code;
    vm__options_free(o);
    if (st != VM_OK)
        return st;
    const vm_blk_measured r = { .size = sizeof r,
                                .has_bitmaps = m.has_bitmaps,
                                .required = m.required,
                                .fully_allocated = m.fully_allocated,
                                .bitmaps = m.bitmaps };
    const uint32_t room = out->size < sizeof r ? out->size : (uint32_t)sizeof r;
    memcpy(out, &r, room);
    out->size = room;
    return VM_OK;
}

int vm_blk_measure(vm_ctx *ctx, const char *format, uint64_t size, vm_blk *source,
                   const char *options, uint64_t *required, uint64_t *fully_allocated)
{
    vm_blk_measured m = { .size = sizeof m };
    if (required == NULL || fully_allocated == NULL)
        return vm__fail(VM_E_INVAL, "no context, format or place for the result");
    const int st = vm_blk_measure_detail(ctx, format, size, source, options, &m);
    if (st != VM_OK)
        return st;
    *required = m.required;
    *fully_allocated = m.fully_allocated;
    return VM_OK;
}
