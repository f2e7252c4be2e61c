/* SPDX-License-Identifier: MIT */
/**
 * @file compare.c
 * `compare`.
 */
#include "vmimg.h"

#include <inttypes.h>

enum { SAME = 0, DIFFERENT = 1, NOT_OPENED = 2, NOT_LOOKED = 3, NOT_READ = 4 };

struct compare {
    struct source a, b;
    bool strict, progress, quiet;
};

static int tell(const struct compare *o, int st, uint64_t at, uint64_t end, bool differ)
{
    if (st < 0) {
        say("Error while reading offset %" PRIu64 " of %s: %s", at, o->a.name, status_text(st));
        return NOT_READ;
    }
    if (differ && (st == VM_COMPARE_EQUAL || at >= end) && !o->strict && !o->quiet)
        printf("Warning: Image size mismatch!\n");
    if (o->quiet)
        return st == VM_COMPARE_EQUAL ? SAME : DIFFERENT;
    if (st == VM_COMPARE_SIZE)
        printf("Strict mode: Image size mismatch!\n");
    else if (st == VM_COMPARE_STATUS)
        printf("Strict mode: Offset %" PRIu64 " block status mismatch!\n", at);
    else if (st == VM_COMPARE_DATA)
        printf("Content mismatch at offset %" PRIu64 "!\n", at);
    else
        printf("Images are identical.\n");
    return st == VM_COMPARE_EQUAL ? SAME : DIFFERENT;
}

static int compare(const struct compare *o, vm_blk *a, vm_blk *b)
{
    uint64_t at = 0;
    vm_job *job = vm_blk_compare_start(a, b, o->strict, &at);
    if (job == NULL) {
        say_last("%s", "");
        return NOT_READ;
    }
    progress_begin(o->progress && !o->quiet, "B");
    const int st = wait_job(job);
    progress_end();
    if (interrupted())
        give_up();
    const uint64_t x = (uint64_t)vm_blk_size(a), y = (uint64_t)vm_blk_size(b);
    return tell(o, st, at, x < y ? x : y, x != y);
}

int cmd_compare(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "a-format", required_argument, NULL, 'f' },
        { "b-format", required_argument, NULL, 'F' },
        { "strict", no_argument, NULL, 's' },
        { "cache", required_argument, NULL, 'T' },
        { "force-share", no_argument, NULL, 'U' },
        { "progress", no_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct compare o = { .a.flags = VM_BLK_RO, .b.flags = VM_BLK_RO };
    struct args a;
    uint32_t cache;
    int c;
    args_begin(&a, argc, argv, ":hf:F:T:pqsU", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            o.a.format = optarg;
        else if (c == 'F')
            o.b.format = optarg;
        else if (c == 'T')
            o.a.cache = o.b.cache = optarg;
        else if (c == 'p')
            o.progress = true;
        else if (c == 'q')
            o.quiet = true;
        else if (c == 's')
            o.strict = true;
        else if (c == 'U')
            o.a.force_share = o.b.force_share = true;
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 2)
        return usage("Expecting two image file names");
    if (o.a.cache != NULL && !cache_flags(o.a.cache, &cache)) {
        say("Invalid source cache option: %s", o.a.cache);
        return NOT_OPENED;
    }
    o.a.name = argv[optind];
    o.b.name = argv[optind + 1];
    o.a.image_opts = o.b.image_opts = a.image_opts;
    catch_signals();
    vm_blk *x = open_source(&o.a), *y = x != NULL ? open_source(&o.b) : NULL;
    const int st = y == NULL ? NOT_OPENED : compare(&o, x, y);
    vm_blk_close(y);
    vm_blk_close(x);
    return st;
}
