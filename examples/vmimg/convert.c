/* SPDX-License-Identifier: MIT */
/**
 * @file convert.c
 * `convert`: images copied into one of any format.
 */
#include "vmimg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "target.h"

enum { MAX_SOURCES = 64 };

struct convert {
    struct source source; /* of all */
    struct target target;
    const char *snapshot;
    char *options;
    const char *backing, *backing_format;
    uint64_t sparse, rate;
    long width;
    bool compress, progress, quiet, target_is_zero, copy_range, salvage, bitmaps, skip_broken;
    bool out_of_order, sparse_given;
    vm_blk *sources[MAX_SOURCES];
    int n;
    uint64_t total;
};

static int open_sources(struct convert *o, char **names, int n)
{
    struct source s = o->source;
    s.flags |= VM_BLK_RO;
    for (int i = 0; i < n; i++) {
        s.name = names[i];
        if ((o->sources[o->n] = open_source(&s)) == NULL)
            return 1;
        o->n++;
        if (o->snapshot != NULL && load_snapshot(o->sources[i], o->snapshot))
            return 1;
        o->total += (uint64_t)vm_blk_size(o->sources[i]);
    }
    return 0;
}

/* Each part is a job of its own; they count as one. */
static int copy_part(const struct convert *o, vm_blk *from, vm_blk *to, uint64_t at)
{
    const uint64_t size = (uint64_t)vm_blk_size(from);
    const vm_convert_options c = {
        .size = sizeof c,
        .flags =
            (o->compress ? VM_CONVERT_COMPRESS : 0) |
            (o->target_is_zero ? VM_CONVERT_TARGET_IS_ZERO : 0) |
            (o->copy_range ? VM_CONVERT_COPY_RANGE : 0) | (o->salvage ? VM_CONVERT_SALVAGE : 0) |
            (o->target.in_order ? VM_CONVERT_IN_ORDER : 0) |
            (o->target.made && !o->target.has_backing ? VM_CONVERT_NEW : 0) |
            (o->target.has_backing ? VM_CONVERT_OWN : 0) | (o->sparse == 0 ? VM_CONVERT_FULL : 0),
        .to_off = at,
        .len = size,
        .sparse_bytes = (uint32_t)o->sparse,
        .width = o->width == 1 ? 1 : 0,
    };
    if (size == 0)
        return VM_OK;
    vm_job *job = vm_blk_convert(from, to, &c);
    return job != NULL ? wait_job(job) : vm_last_error()->code;
}

static int copy(const struct convert *o, vm_blk *to)
{
    uint64_t at = 0;
    int st = VM_OK;
    progress_begin(o->progress && !o->quiet, "B");
    for (int i = 0; st == VM_OK && i < o->n; i++) {
        progress_part(at, o->total);
        st = copy_part(o, o->sources[i], to, at);
        at += (uint64_t)vm_blk_size(o->sources[i]);
    }
    if (interrupted())
        give_up();
    if (st == VM_OK) {
        progress_end();
    } else if (vm_last_error()->os_errno != 0 || st == VM_E_IO) {
        say("error while writing: %s", last());
    } else {
        say_last("%s", "");
    }
    return st != VM_OK;
}

static int convert(struct convert *o, char **names, int n)
{
    int failed = open_sources(o, names, n);
    if (failed)
        return failed;
    if (o->target.make.name == NULL)
        return say("Must specify image file name");
    o->target.make.options = o->options;
    o->target.make.backing = o->backing;
    o->target.make.backing_format = o->backing_format;
    vm_blk *to = open_target(&o->target, o->total, o->compress);
    if (to == NULL)
        return 1;
    if (!o->target.made && o->total > (uint64_t)vm_blk_size(to)) {
        failed = say("output file is smaller than input file");
    } else {
        failed = copy(o, to);
    }
    if (!failed && o->bitmaps && vm_blk_bitmap_copy(o->sources[0], to, o->skip_broken) != VM_OK)
        failed = say("Failed to populate bitmap: %s", last());
    if (!failed && vm_blk_flush(to) != VM_OK)
        failed = say_last("%s", "");
    vm_blk_close(to);
    half_made(NULL);
    return failed;
}

/* What goes together, and what does not. */
static int check(struct convert *o, const struct args *a, bool target_opts)
{
    uint32_t flags;
    o->source.image_opts = a->image_opts;
    o->target.image_opts = target_opts;
    if (o->compress && o->out_of_order)
        return say("Out of order write and compress are mutually exclusive");
    if (target_opts && !o->target.existing)
        return say("--target-image-opts requires use of -n flag");
    if (o->target_is_zero && !o->target.existing)
        return say("--target-is-zero requires use of -n flag");
    if (o->copy_range && o->compress)
        return say("Cannot enable copy offloading when -c is used");
    if (o->copy_range && o->sparse_given)
        return say("Cannot enable copy offloading when -S is used");
    if (o->source.format != NULL && a->image_opts)
        return say("--image-opts and --format are mutually exclusive");
    if (o->skip_broken && !o->bitmaps)
        return say("Use of --skip-broken-bitmaps requires --bitmaps");
    if (o->source.cache != NULL && !cache_flags(o->source.cache, &flags))
        return say("Invalid source cache option: %s", o->source.cache);
    if (!cache_flags(o->target.cache, &flags))
        return say("Invalid cache option: %s", o->target.cache);
    return 0;
}

static int check_files(const struct convert *o, int n_sources)
{
    if (n_sources < 1)
        return say("Must specify image file name");
    if (n_sources > MAX_SOURCES)
        return say("at most %d images can be put together", MAX_SOURCES);
    if (o->bitmaps && n_sources > 1)
        return say("Copying bitmaps only possible with single source");
    if (n_sources > 1 && o->backing != NULL)
        return say("Having a backing file for the target makes no sense when concatenating "
                   "multiple input images");
    return 0;
}

static int take(struct convert *o, struct args *a, int c)
{
    char *end;
    switch (c) {
    case 'o':
        return !add_options(&o->options, optarg);
    case 'S':
        if (!parse_size(optarg, &o->sparse) || o->sparse % 512 != 0 || o->sparse > (16u << 20)) {
            say("Invalid buffer size for sparse output specified. Valid sizes are multiples of "
                "512 up to 16777216. Select 0 to disable sparse detection (fully allocates "
                "output).");
            return 1;
        }
        o->sparse_given = true;
        return 0;
    case 'm':
        o->width = strtol(optarg, &end, 10);
        if (*end != '\0' || o->width < 1 || o->width > 16)
            return say("Invalid number of coroutines. Allowed number of coroutines is between 1 "
                       "and 16");
        return 0;
    case 'r':
        return !sized("rate limit", optarg, &o->rate);
    default:
        (void)a;
        return 0;
    }
}

int cmd_convert(int argc, char **argv)
{
    enum { OPT_BITMAPS = OPT_OWN, OPT_SKIP_BROKEN, OPT_SALVAGE, OPT_ZERO };
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "source-image-opts", no_argument, NULL, OPT_IMAGE_OPTS },
        { "source-format", required_argument, NULL, 'f' },
        { "source-cache", required_argument, NULL, 'T' },
        { "snapshot", required_argument, NULL, 'l' },
        { "bitmaps", no_argument, NULL, OPT_BITMAPS },
        { "skip-broken-bitmaps", no_argument, NULL, OPT_SKIP_BROKEN },
        { "salvage", no_argument, NULL, OPT_SALVAGE },
        { "target-format", required_argument, NULL, 'O' },
        { "target-image-opts", no_argument, NULL, OPT_TARGET_IMAGE_OPTS },
        { "target-format-options", required_argument, NULL, 'o' },
        { "options", required_argument, NULL, 'o' },
        { "target-cache", required_argument, NULL, 't' },
        { "backing", required_argument, NULL, 'b' },
        { "backing-format", required_argument, NULL, 'F' },
        { "compress", no_argument, NULL, 'c' },
        { "sparse-size", required_argument, NULL, 'S' },
        { "no-create", no_argument, NULL, 'n' },
        { "target-is-zero", no_argument, NULL, OPT_ZERO },
        { "force-share", no_argument, NULL, 'U' },
        { "rate-limit", required_argument, NULL, 'r' },
        { "parallel", required_argument, NULL, 'm' },
        { "oob-writes", no_argument, NULL, 'W' },
        { "copy-range-offloading", no_argument, NULL, 'C' },
        { "progress", no_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct convert o = { .sparse = 4096, .target = { .make.format = "raw", .cache = "unsafe" } };
    struct args a;
    bool target_opts = false, format_given = false;
    int c, failed = 0;
    o.target.make.quiet = true;
    args_begin(&a, argc, argv, ":hf:O:B:b:CcF:o:l:S:pt:T:qnm:WUr:", names);
    while (!failed && (c = next_option(&a)) != -1) {
        switch (c) {
        case 'f':
            o.source.format = optarg;
            break;
        case 'O':
            o.target.make.format = optarg;
            format_given = true;
            break;
        case 'B':
        case 'b':
            o.backing = optarg;
            break;
        case 'F':
            o.backing_format = optarg;
            break;
        case 'C':
            o.copy_range = true;
            break;
        case 'c':
            o.compress = true;
            break;
        case 'l':
            o.snapshot = optarg;
            break;
        case 'p':
            o.progress = true;
            break;
        case 't':
            o.target.cache = optarg;
            break;
        case 'T':
            o.source.cache = optarg;
            break;
        case 'q':
            o.quiet = true;
            break;
        case 'n':
            o.target.existing = true;
            break;
        case 'W':
            o.out_of_order = true;
            break;
        case 'U':
            o.source.force_share = true;
            break;
        case OPT_BITMAPS:
            o.bitmaps = true;
            break;
        case OPT_SKIP_BROKEN:
            o.skip_broken = true;
            break;
        case OPT_SALVAGE:
            o.salvage = true;
            break;
        case OPT_ZERO:
            o.target_is_zero = true;
            break;
        case OPT_TARGET_IMAGE_OPTS:
            target_opts = true;
            break;
        default:
            failed = take(&o, &a, c);
        }
    }
    if (!failed)
        failed = a.failed >= 0 ? a.failed : check(&o, &a, target_opts);
    o.target.format_given = format_given;
    if (a.failed < 0 && !failed && o.options != NULL && asks_help(o.options)) {
        failed = show_options(o.target.make.format, 0, rest_count(&a) > 0);
    } else if (a.failed < 0 && !failed) {
        const int n = rest_count(&a) - 1;
        failed = check_files(&o, n);
        if (!failed) {
            o.target.make.name = argv[argc - 1];
            catch_signals();
            failed = convert(&o, argv + optind, n);
        }
    }
    while (o.n != 0)
        vm_blk_close(o.sources[--o.n]);
    free(o.options);
    return failed;
}
