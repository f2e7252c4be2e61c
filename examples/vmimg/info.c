/* SPDX-License-Identifier: MIT */
/**
 * @file info.c
 * `info`: what an image is, and what it stands on.
 */
#include "vmimg.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "info_print.h"

enum { MAX_CHAIN = 200 };

struct info {
    struct source source;
    bool json, chain;
};

/* Images of the chain, each opened by itself: one that is missing does not hide those above. */
static int collect(const struct info *o, json_t *list)
{
    struct source s = o->source;
    char *name = NULL, *format = NULL;
    int failed = 0;
    s.flags = VM_BLK_RO | VM_BLK_NOBACKING | VM_BLK_NO_IO;
    for (bool more = true; more && !failed;) {
        vm_blk *blk = open_source(&s);
        char *text = blk != NULL ? info_text(blk) : NULL;
        json_t *info = text != NULL ? json_loads(text, 0, NULL) : NULL;
        free(text);
        if (blk == NULL || info == NULL) {
            failed = blk == NULL ? 1 : say_last("%s", "");
            vm_blk_close(blk);
            break;
        }
        if (compatible()) /* to it, disks are whole sectors */
            json_object_set_new(
                info, "virtual-size",
                json_integer((json_int_t)(((uint64_t)vm_blk_size(blk) + 511) / 512 * 512)));
        json_array_append_new(list, info);
        free(name);
        free(format);
        name = format = NULL;
        more = o->chain && backing_of(blk, &name, NULL, &format);
        vm_blk_close(blk);
        for (size_t i = 0; more && i < json_array_size(list); i++)
            if (strcmp(name, json_string_value(
                                 json_object_get(json_array_get(list, i), "filename"))) == 0)
                failed = say("Backing file '%s' creates an infinite loop.", name);
        if (json_array_size(list) >= MAX_CHAIN)
            failed = say("the chain of images is longer than %d", MAX_CHAIN);
        s = (struct source) {
            .name = name, .format = format, .force_share = o->source.force_share, .flags = s.flags
        };
    }
    free(name);
    free(format);
    return failed;
}

static int show(const struct info *o, const json_t *list)
{
    if (o->json) {
        print_json(o->chain ? list : json_array_get(list, 0));
        return 0;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i != 0)
            printf("\n");
        print_info(json_array_get(list, i));
    }
    return 0;
}

int cmd_info(int argc, char **argv)
{
    enum { OPT_CHAIN = OPT_OWN };
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "output", required_argument, NULL, OPT_OUTPUT },
        { "backing-chain", no_argument, NULL, OPT_CHAIN },
        { "force-share", no_argument, NULL, 'U' },
        { 0 },
    };
    struct info o = { 0 };
    struct args a;
    int c;
    args_begin(&a, argc, argv, ":f:hU", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            o.source.format = optarg;
        else if (c == 'U')
            o.source.force_share = true;
        else if (c == OPT_CHAIN)
            o.chain = true;
        else if (c == OPT_OUTPUT && !take_output(&a, &o.json))
            return 1;
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting one image file name");
    if (a.image_opts && o.source.format != NULL)
        return say("--image-opts and --format are mutually exclusive");
    o.source.name = argv[optind];
    o.source.image_opts = a.image_opts;
    json_t *list = json_array();
    int failed = collect(&o, list);
    if (!failed)
        failed = show(&o, list);
    json_decref(list);
    return failed;
}
