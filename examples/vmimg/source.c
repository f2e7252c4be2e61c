/* SPDX-License-Identifier: MIT */
/**
 * @file source.c
 * Opening the images that a command works on.
 */
#include "vmimg.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

bool cache_flags(const char *mode, uint32_t *flags)
{
    static const struct {
        const char *name;
        uint32_t flags;
    } modes[] = {
        { "none", VM_BLK_DIRECT },
        { "off", VM_BLK_DIRECT },
        { "writeback", 0 },
        { "unsafe", VM_BLK_UNSAFE },
        { "writethrough", VM_BLK_WRITETHROUGH },
        { "directsync", VM_BLK_DIRECT | VM_BLK_WRITETHROUGH },
    };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i].name, mode) == 0) {
            *flags |= modes[i].flags;
            return true;
        }
    return false;
}

/* The name that the library opens: what --image-opts says is JSON to it. */
static char *name_for(const struct source *s)
{
    struct optlist l = { 0 };
    char *json, *name;
    if (!s->image_opts)
        return strdup(s->name);
    optlist_parse(&l, s->name, NULL);
    json = optlist_json(&l);
    optlist_free(&l);
    if (json == NULL || asprintf(&name, "json:%s", json) < 0)
        name = NULL;
    free(json);
    return name;
}

/* What the library says begins with the name that it was given. */
static void reason(const char *name, char *why, size_t room)
{
    char before[256];
    const int n = snprintf(before, sizeof before, "Could not open '%.200s': ", name);
    const char *all = last();
    snprintf(why, room, "%s", strncmp(all, before, (size_t)n) == 0 ? all + n : all);
}

void warn_guess(const struct source *s, vm_blk *blk)
{
    const bool named = s->format != NULL || s->image_opts || strncmp(s->name, "json:", 5) == 0;
    if (named || s->quiet || (s->flags & VM_BLK_RO) || strcmp(format_of(blk), "raw") != 0)
        return;
    fprintf(stderr,
            "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
            "         Automatically detecting the format is dangerous for raw images, write "
            "operations on block 0 will be restricted.\n"
            "         Specify the 'raw' format explicitly to remove the restrictions.\n",
            s->name);
}

vm_blk *try_source(const struct source *s, char *why, size_t room)
{
    uint32_t flags = s->flags | (s->exclusive ? 0 : VM_BLK_SHARE_RW) | (s->keep ? 0 : VM_BLK_UNMAP);
    if (s->cache != NULL && !cache_flags(s->cache, &flags)) {
        snprintf(why, room, "Invalid cache option: %s", s->cache);
        return NULL;
    }
    if (s->force_share)
        flags |= VM_BLK_SHARE;
    flags |= VM_BLK_PROBE; /* also of backing files that are named without a format */
    char *name = name_for(s);
    vm_blk *blk = name != NULL ? vm_blk_open(the_ctx(), name, s->format, flags) : NULL;
    if (blk == NULL)
        reason(name != NULL ? name : s->name, why, room);
    free(name);
    return blk;
}

vm_blk *open_source(const struct source *s)
{
    char why[1024];
    vm_blk *blk = try_source(s, why, sizeof why);
    if (blk == NULL)
        say("Could not open '%s': %s", s->name, why);
    else
        warn_guess(s, blk);
    return blk;
}

char *info_text(vm_blk *blk)
{
    size_t len = 0;
    (void)vm_blk_info(blk, NULL, &len);
    char *text = len != 0 ? malloc(len + 4096) : NULL;
    len += 4096; /* an image in use may have more to say by now */
    if (text != NULL && vm_blk_info(blk, text, &len) == VM_OK)
        return text;
    free(text);
    return NULL;
}

static json_t *info_of(vm_blk *blk)
{
    char *text = info_text(blk);
    json_t *o = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return o;
}

const char *format_of(vm_blk *blk)
{
    static char format[64];
    json_t *o = info_of(blk);
    const char *f = json_string_value(json_object_get(o, "format"));
    snprintf(format, sizeof format, "%s", f != NULL ? f : "");
    json_decref(o);
    return format;
}

static char *text_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? strdup(s) : NULL;
}

bool backing_of(vm_blk *blk, char **full, char **name, char **format)
{
    json_t *o = info_of(blk);
    char *texts[3] = { text_of(o, "full-backing-filename"), text_of(o, "backing-filename"),
                       text_of(o, "backing-filename-format") };
    char **const out[3] = { full, name, format };
    const bool is = texts[1] != NULL;
    if (texts[0] == NULL && is)
        texts[0] = strdup(texts[1]);
    for (int i = 0; i < 3; i++) {
        if (out[i] != NULL)
            *out[i] = texts[i];
        else
            free(texts[i]);
    }
    json_decref(o);
    return is;
}
