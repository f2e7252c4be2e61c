/* SPDX-License-Identifier: MIT */
/**
 * @file change.c
 * `commit` and `rebase`: what an image stands on.
 */
#include "vmimg.h"

#include <stdlib.h>
#include <string.h>

struct change {
    struct source source;
    const char *base, *format; /* of the base */
    const char *base_cache;
    bool keep, unsafe, progress, quiet;
};

static int finish(const struct change *o, vm_job *job, const char *trouble)
{
    progress_begin(o->progress && !o->quiet, "B");
    const int st = wait_job(job);
    if (st == VM_OK)
        progress_end();
    if (interrupted())
        return 128 + 2;
    if (st != VM_OK && *trouble == '\0' && vm_last_error()->code == st && st == VM_E_NOENT)
        return say_last("%s", "");
    if (st != VM_OK && *trouble == '\0')
        return say("Block job failed: %s", last());
    return st == VM_OK ? 0 : say_last("%s", trouble);
}

/* ---- commit ----------------------------------------------------------------------------- */

static int commit(const struct change *o, vm_blk *blk)
{
    if (!backing_of(blk, NULL, NULL, NULL))
        return say("Image does not have a backing file");
    vm_job *job = vm_blk_commit_to(blk, o->base, o->keep || o->base != NULL);
    if (job == NULL)
        return say_last("%s", "");
    const int failed = finish(o, job, "");
    if (!failed && !o->quiet)
        printf("Image committed.\n");
    return failed;
}

int cmd_commit(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "cache", required_argument, NULL, 't' },
        { "base", required_argument, NULL, 'b' },
        { "drop", no_argument, NULL, 'd' },
        { "rate-limit", required_argument, NULL, 'r' },
        { "progress", no_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct change o = { 0 };
    struct args a;
    uint64_t rate;
    uint32_t cache;
    int c;
    args_begin(&a, argc, argv, ":f:ht:b:dpqr:", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            o.source.format = optarg;
        else if (c == 't')
            o.source.cache = optarg;
        else if (c == 'b')
            o.base = optarg;
        else if (c == 'd')
            o.keep = true;
        else if (c == 'p')
            o.progress = true;
        else if (c == 'q')
            o.quiet = true;
        else if (c == 'r' && !sized("rate limit", optarg, &rate))
            return 1;
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting one image file name");
    if (o.source.cache != NULL && !cache_flags(o.source.cache, &cache))
        return say("Invalid cache option: %s", o.source.cache);
    o.source.name = argv[optind];
    o.source.image_opts = a.image_opts;
    catch_signals();
    vm_blk *blk = open_source(&o.source);
    const int st = blk == NULL ? 1 : commit(&o, blk);
    vm_blk_close(blk);
    return st;
}

/* ---- rebase ----------------------------------------------------------------------------- */

/* The new base is looked at by itself first, so that what is wrong is said of it. */
static int look_at_base(const struct change *o)
{
    struct source s = { .name = o->base, .format = o->format, .cache = o->base_cache };
    uint32_t flags = VM_BLK_RO | VM_BLK_SHARE_RW | VM_BLK_PROBE | VM_BLK_NO_IO;
    const char *slash = strrchr(o->source.name, '/');
    const bool plain = !o->source.image_opts && *o->base != '/' && strchr(o->base, ':') == NULL;
    char *full = NULL;
    if (slash == NULL || !plain ||
        asprintf(&full, "%.*s/%s", (int)(slash - o->source.name), o->source.name, o->base) < 0)
        full = NULL;
    vm_blk *blk = vm_blk_open(the_ctx(), full != NULL ? full : s.name, s.format,
                              flags | (o->source.force_share ? VM_BLK_SHARE : 0));
    int failed = 0;
    if (blk == NULL) {
        const char *why = last(), *reason = strstr(why, "': ");
        failed = say("Could not open new backing file '%s': %s", o->base,
                     reason != NULL ? reason + 3 : why);
    }
    vm_blk_close(blk);
    free(full);
    return failed;
}

static int rebase(const struct change *o, vm_blk *blk)
{
    const char *base = o->base != NULL && *o->base != '\0' ? o->base : NULL;
    char trouble[512] = "";
    uint32_t can;
    if (vm_blk_driver_can(the_ctx(), format_of(blk), &can) == VM_OK && !(can & VM_CAN_REBASE) &&
        !o->unsafe)
        return say("Could not change the backing file to '%s': %s", o->base,
                   "Operation not "
                   "supported");
    if (base != NULL && o->format == NULL)
        return say("Could not change the backing file to '%s': backing format must be specified",
                   base);
    vm_job *job = vm_blk_rebase(blk, base, base != NULL ? o->format : NULL, o->unsafe);
    if (job == NULL)
        return say_last("%s", "");
    snprintf(trouble, sizeof trouble,
             "Could not change the backing file to '%.400s': ", base != NULL ? base : "");
    return finish(o, job, trouble);
}

int cmd_rebase(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "cache", required_argument, NULL, 't' },
        { "compress", no_argument, NULL, 'c' },
        { "backing", required_argument, NULL, 'b' },
        { "backing-format", required_argument, NULL, 'F' },
        { "backing-cache", required_argument, NULL, 'T' },
        { "backing-unsafe", no_argument, NULL, 'u' },
        { "force-share", no_argument, NULL, 'U' },
        { "progress", no_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct change o = { 0 };
    struct args a;
    uint32_t cache;
    uint32_t can;
    int c;
    args_begin(&a, argc, argv, ":hf:F:B:b:upt:T:qUc", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            o.source.format = optarg;
        else if (c == 'F' || c == 'B')
            o.format = optarg;
        else if (c == 'b')
            o.base = optarg;
        else if (c == 'u')
            o.unsafe = true;
        else if (c == 'p')
            o.progress = true;
        else if (c == 't')
            o.source.cache = optarg;
        else if (c == 'T')
            o.base_cache = optarg;
        else if (c == 'q')
            o.quiet = true;
        else if (c == 'U')
            o.source.force_share = true;
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting one image file name");
    if (!o.unsafe && o.base == NULL)
        return usage("Must specify backing file (-b) or use unsafe mode (-u)");
    if (o.source.cache != NULL && !cache_flags(o.source.cache, &cache))
        return say("Invalid cache option: %s", o.source.cache);
    if (o.base_cache != NULL && !cache_flags(o.base_cache, &cache))
        return say("Invalid source cache option: %s", o.base_cache);
    if (o.format != NULL && vm_blk_driver_can(the_ctx(), o.format, &can) != VM_OK)
        return say("Invalid format name: '%s'", o.format);
    o.source.name = argv[optind];
    o.source.image_opts = a.image_opts;
    if (o.unsafe)
        o.source.flags |= VM_BLK_NOBACKING;
    catch_signals();
    vm_blk *blk = open_source(&o.source);
    int st = blk == NULL ? 1 : 0;
    if (st == 0 && !o.unsafe && *o.base != '\0')
        st = look_at_base(&o);
    if (st == 0)
        st = rebase(&o, blk);
    vm_blk_close(blk);
    return st;
}
