/* SPDX-License-Identifier: MIT */
/**
 * @file target.c
 * The image that a copy goes to.
 */
#include "target.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What an interrupted copy takes away again: plain files only, those of the image itself. */
static void guard(const char *name)
{
    struct stat s;
    if (lstat(name, &s) != 0 || S_ISREG(s.st_mode))
        half_made(name);
}

static void guard_extents(vm_blk *blk)
{
    char *text = info_text(blk);
    json_t *info = text != NULL ? json_loads(text, 0, NULL) : NULL, *row;
    json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
    size_t i;
    json_array_foreach(json_object_get(data, "extents"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "filename"));
        if (name != NULL)
            guard(name);
    }
    json_decref(info);
    free(text);
}

/* What options say of the target, beside what create makes of them. */
static int look_at_options(struct target *t, uint64_t *size)
{
    struct optlist l = { 0 };
    if (t->make.options != NULL)
        optlist_parse(&l, t->make.options, NULL);
    const char *sub = optlist_get(&l, "subformat"), *own = optlist_get(&l, "size");
    t->in_order = sub != NULL && strcmp(sub, "streamOptimized") == 0;
    t->has_backing = optlist_get(&l, "backing_file") != NULL || t->make.backing != NULL;
    int failed = 0;
    if (own != NULL && !image_size(own, size))
        failed = 1;
    t->own_size = own != NULL;
    if (t->has_backing && optlist_get(&l, "backing_fmt") == NULL && t->make.backing_format == NULL)
        failed = say("Use of backing file requires explicit backing format");
    optlist_free(&l);
    return failed;
}

/* Of a backing file that was named without saying what it is. */
static int make_new(struct target *t, uint64_t size, bool compress)
{
    uint32_t can;
    if (vm_blk_driver_can(the_ctx(), t->make.format, &can) != VM_OK)
        return say("Unknown file format '%s'", t->make.format);
    if (!(can & VM_CAN_CREATE))
        return say("Format driver '%s' does not support image creation", t->make.format);
    if (t->make.backing != NULL && !(can & VM_CAN_BACKING_FILE))
        return say("Backing file not supported for file format '%s'", t->make.format);
    if (look_at_options(t, &size))
        return 1;
    if (t->has_backing && !(can & VM_CAN_BACKING_FILE))
        return say("Backing file not supported for file format '%s'", t->make.format);
    if (compress && !(can & VM_CAN_COMPRESSED))
        return say("Compression not supported for this file format");
    t->make.size = t->own_size ? UINT64_MAX : size;
    guard(t->make.name);
    hold_signals(strcmp(t->make.format, "vmdk") == 0);
    const int failed = make_image(&t->make);
    if (failed) {
        hold_signals(false);
        half_made(NULL);
    }
    t->made = !failed;
    return failed;
}

vm_blk *open_target(struct target *t, uint64_t size, bool compress)
{
    struct source s = { .name = t->make.name,
                        .format = t->format_given || !t->existing ? t->make.format : NULL,
                        .cache = t->cache,
                        .image_opts = t->image_opts,
                        .flags = t->existing ? 0 : VM_BLK_NOBACKING };
    if (t->existing && !t->format_given && !t->image_opts)
        s.format = "raw";
    if (t->image_opts)
        s.format = NULL;
    if (!t->existing && make_new(t, size, compress))
        return NULL;
    vm_blk *blk = open_source(&s);
    uint32_t can = 0;
    if (blk != NULL && t->made)
        guard_extents(blk);
    hold_signals(false);
    if (blk != NULL && compress && t->existing &&
        vm_blk_driver_can(the_ctx(), format_of(blk), &can) == VM_OK && !(can & VM_CAN_COMPRESSED)) {
        say("Compression not supported for this file format");
        vm_blk_close(blk);
        return NULL;
    }
    return blk;
}
