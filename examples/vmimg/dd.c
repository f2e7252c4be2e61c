/* SPDX-License-Identifier: MIT */
/**
 * @file dd.c
 * `dd`: a part of an image into a new one.
 */
#include "vmimg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "target.h"

struct dd {
    struct source source;
    struct target target;
    uint64_t block, count, skip; /* count UINT64_MAX: all */
};

static bool positive(const char *what, const char *text, uint64_t *v)
{
    return sized(what, text, v) && (*v != 0 || say("Invalid %s specified. You may use k, M, G, T, "
                                                   "P or E suffixes for\n%s: kilobytes, megabytes, "
                                                   "gigabytes, terabytes, petabytes and exabytes.",
                                                   what, program()) == 0);
}

static int operand(struct dd *o, char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL)
        return say("unrecognized operand %s", text);
    *equals = '\0';
    const char *value = equals + 1;
    if (strcmp(text, "if") == 0)
        o->source.name = value;
    else if (strcmp(text, "of") == 0)
        o->target.make.name = value;
    else if (strcmp(text, "bs") == 0)
        return !positive("bs", value, &o->block);
    else if (strcmp(text, "count") == 0)
        return !sized("count", value, &o->count);
    else if (strcmp(text, "skip") == 0)
        return !sized("skip", value, &o->skip);
    else
        return say("unrecognized operand %s", text);
    return 0;
}

static int copy(const struct dd *o, vm_blk *from, vm_blk *to, uint64_t off, uint64_t len)
{
    const vm_convert_options c = {
        .size = sizeof c, .flags = VM_CONVERT_NEW, .from_off = off, .len = len
    };
    vm_job *job = len != 0 ? vm_blk_convert(from, to, &c) : NULL;
    if (len == 0)
        return 0;
    const int st = job != NULL ? wait_job(job) : vm_last_error()->code;
    (void)o;
    if (interrupted())
        give_up();
    return st == VM_OK ? 0 : say("error while copying: %s", last());
}

static int dd(struct dd *o)
{
    vm_blk *from = open_source(&o->source);
    if (from == NULL)
        return 1;
    uint64_t size = (uint64_t)vm_blk_size(from), off, len;
    uint64_t most = UINT64_MAX;
    if (o->count != UINT64_MAX && __builtin_mul_overflow(o->count, o->block, &most))
        most = UINT64_MAX;
    if (compatible() && most < size) /* it counts from the beginning, skipped blocks too */
        size = most;
    const bool beyond = __builtin_mul_overflow(o->skip, o->block, &off) || off > size;
    len = beyond ? 0 : size - off;
    if (most < len)
        len = most;
    vm_blk *to = open_target(&o->target, len, false);
    int failed = to == NULL;
    if (!failed && beyond)
        failed = say("%s: cannot skip to specified offset", o->source.name) & 0;
    if (!failed)
        failed = copy(o, from, to, off, len);
    vm_blk_close(to);
    vm_blk_close(from);
    half_made(NULL);
    return failed;
}

int cmd_dd(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "output-format", required_argument, NULL, 'O' },
        { "force-share", no_argument, NULL, 'U' },
        { 0 },
    };
    struct dd o = { .block = 512,
                    .count = UINT64_MAX,
                    .source.flags = VM_BLK_RO,
                    .target = { .make.format = "raw", .make.quiet = true, .cache = "writeback" } };
    struct args a;
    int c;
    args_begin(&a, argc, argv, ":hf:O:U", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            o.source.format = optarg;
        else if (c == 'O')
            o.target.make.format = optarg;
        else if (c == 'U')
            o.source.force_share = true;
    }
    if (a.failed >= 0)
        return a.failed;
    for (int i = optind; i < argc; i++)
        if (operand(&o, argv[i]))
            return 1;
    if (o.source.name == NULL || o.target.make.name == NULL)
        return say("Must specify both input and output files");
    if (a.image_opts && o.source.format != NULL)
        return say("--image-opts and --format are mutually exclusive");
    o.source.image_opts = a.image_opts;
    catch_signals();
    return dd(&o);
}
