/* SPDX-License-Identifier: MIT */
/**
 * @file image.c
 * From the command line to the image that is offered.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmnbd.h"

static bool cache_flags(const char *mode, uint32_t *flags)
{
    static const struct {
        const char *name;
        uint32_t flags;
    } modes[] = {
        { "writeback", 0 },
        { "none", VM_BLK_DIRECT },
        { "off", VM_BLK_DIRECT },
        { "writethrough", VM_BLK_WRITETHROUGH },
        { "directsync", VM_BLK_DIRECT | VM_BLK_WRITETHROUGH },
        { "unsafe", VM_BLK_UNSAFE },
    };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(mode, modes[i].name) == 0) {
            *flags |= modes[i].flags;
            return true;
        }
    return false;
}

static bool one_of(const char *text, const char *a, const char *b, const char *c)
{
    return text == NULL || strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static bool take_flags(const struct wish *w, uint32_t *flags)
{
    if (w->cache != NULL && !cache_flags(w->cache, flags))
        return say("Invalid cache mode `%s'", w->cache), false;
    if (!one_of(w->aio, "threads", "native", "io_uring"))
        return say("invalid aio mode `%s'", w->aio), false;
    if (w->discard != NULL && (strcmp(w->discard, "unmap") == 0 || strcmp(w->discard, "on") == 0))
        *flags |= VM_BLK_UNMAP;
    else if (!one_of(w->discard, "ignore", "off", "off"))
        return say("Invalid discard mode `%s'", w->discard), false;
    if (w->read_only || w->snapshot)
        *flags |= VM_BLK_RO;
    if (w->format == NULL)
        *flags |= VM_BLK_PROBE;
    return true;
}

/* "a=b,c.d=e" into members of @p o; ",," is a comma. */
static void add_options(json_t *o, const char *text)
{
    char *copy = strdup(text), *to = copy, *name = copy, *value = NULL;
    for (const char *from = text; copy != NULL;) {
        if (*from == ',' && from[1] == ',') {
            *to++ = ',';
            from += 2;
        } else if (*from == ',' || *from == '\0') {
            *to++ = '\0';
            if (*name != '\0')
                json_object_set_new(o, name, json_string(value != NULL ? value : "on"));
            name = to;
            value = NULL;
            if (*from++ == '\0')
                break;
        } else if (*from == '=' && value == NULL) {
            *to++ = '\0';
            value = to;
            from++;
        } else {
            *to++ = *from++;
        }
    }
    free(copy);
}

static char *json_name(json_t *o)
{
    char *text = json_dumps(o, 0);
    char *name = text != NULL ? malloc(strlen(text) + 6) : NULL;
    if (name != NULL)
        sprintf(name, "json:%s", text);
    free(text);
    json_decref(o);
    return name;
}

static char *image_name(const struct wish *w, const char *file)
{
    if (!w->image_opts && w->detect_zeroes == NULL)
        return strdup(file);
    json_t *o = json_object();
    if (w->image_opts)
        add_options(o, file);
    else
        json_object_set_new(o, "filename", json_string(file));
    if (w->detect_zeroes != NULL)
        json_object_set_new(o, "detect-zeroes", json_string(w->detect_zeroes));
    return json_name(o);
}

static void warn_guess(vm_blk *blk, const char *file)
{
    size_t len = 0;
    (void)vm_blk_info(blk, NULL, &len);
    char *text = malloc(len + 1);
    json_t *o =
        text != NULL && vm_blk_info(blk, text, &len) == VM_OK ? json_loads(text, 0, NULL) : NULL;
    const char *format = json_string_value(json_object_get(o, "format"));
    if (format != NULL && strcmp(format, "raw") == 0)
        fprintf(stderr,
                "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
                "         Automatically detecting the format is dangerous for raw images: a guest "
                "could make it another.\n"
                "         Specify the 'raw' format explicitly to remove the warning.\n",
                file);
    json_decref(o);
    free(text);
}

/* A node over @p below, which is given up. @p what: its options, but for the file. */
static vm_blk *put_over(vm_ctx *ctx, vm_blk *below, const char *node, json_t *what, uint32_t flags)
{
    json_object_set_new(what, "file", json_string(node));
    char *name = json_name(what);
    vm_blk *top = name != NULL ? vm_blk_open(ctx, name, NULL, flags) : NULL;
    if (top == NULL)
        say("%s", last());
    free(name);
    vm_blk_close(below);
    return top;
}

static vm_blk *open_plain(vm_ctx *ctx, const struct wish *w, const char *file, const char *node)
{
    uint32_t flags = 0;
    if (!take_flags(w, &flags))
        return NULL;
    char *name = image_name(w, file);
    if (node != NULL && name != NULL) { /* it is to be referred to */
        json_t *o = strncmp(name, "json:", 5) == 0 ? json_loads(name + 5, 0, NULL) : json_object();
        if (strncmp(name, "json:", 5) != 0)
            json_object_set_new(o, "filename", json_string(name));
        json_object_set_new(o, "node-name", json_string(node));
        free(name);
        name = json_name(o);
    }
    vm_blk *blk = name != NULL ? vm_blk_open(ctx, name, w->format, flags) : NULL;
    if (blk == NULL)
        say("Failed to blk_new_open '%s': %s", file, last());
    else if (w->format == NULL && !w->image_opts && !(flags & VM_BLK_RO))
        warn_guess(blk, file);
    free(name);
    return blk;
}

static vm_blk *put_overlay(vm_ctx *ctx, vm_blk *blk, const char *node, const char *own)
{
    json_t *o = json_object();
    json_object_set_new(o, "driver", json_string("overlay"));
    json_object_set_new(o, "node-name", json_string(own));
    return put_over(ctx, blk, node, o, 0);
}

static vm_blk *put_offset(vm_ctx *ctx, vm_blk *blk, const char *node, const struct wish *w)
{
    if ((int64_t)w->offset > vm_blk_size(blk)) {
        say("Offset (%llu) has to be smaller than the image size (%lld)",
            (unsigned long long)w->offset, (long long)vm_blk_size(blk));
        vm_blk_close(blk);
        return NULL;
    }
    json_t *o = json_object();
    json_object_set_new(o, "driver", json_string("raw"));
    json_object_set_new(o, "offset", json_integer((json_int_t)w->offset));
    return put_over(ctx, blk, node, o, w->read_only ? VM_BLK_RO : 0);
}

static vm_blk *put_partition(vm_blk *blk, const struct wish *w)
{
    vm_blk *part = vm_part_open(blk, w->partition, w->read_only ? VM_BLK_RO : 0);
    if (part == NULL)
        say("Could not find partition %u: %s", w->partition, last());
    vm_blk_close(blk);
    return part;
}

vm_blk *open_image(vm_ctx *ctx, const struct wish *w, const char *file, bool main_one)
{
    static unsigned n;
    char node[32], over[32];
    const bool offset = main_one && w->offset != 0, partition = main_one && w->partition != 0;
    snprintf(node, sizeof node, "image%u", n);
    snprintf(over, sizeof over, "overlay%u", n++);
    vm_blk *blk = open_plain(ctx, w, file, w->snapshot || offset ? node : NULL);
    if (blk != NULL && main_one && w->load_snapshot != NULL) {
        const char *equals = strchr(w->load_snapshot, '=');
        if (vm_blk_snapshot(blk, "load", equals != NULL ? equals + 1 : w->load_snapshot) != VM_OK) {
            say("Failed to load snapshot: %s", last());
            vm_blk_close(blk);
            return NULL;
        }
    }
    if (blk != NULL && w->snapshot)
        blk = put_overlay(ctx, blk, node, over);
    if (blk != NULL && offset)
        blk = put_offset(ctx, blk, w->snapshot ? over : node, w);
    if (blk != NULL && partition)
        blk = put_partition(blk, w);
    return blk;
}
