/* SPDX-License-Identifier: MIT */
/**
 * @file check.c
 * `check`: is an image sound, and what was done about it.
 */
#include "vmimg.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "info_print.h"

/* Exit codes. */
enum { SOUND = 0, FAILED = 1, DAMAGED = 2, LEAKS = 3, NO_CHECK = 63 };

struct check {
    struct source source;
    uint32_t fix;
    bool json, quiet;
};

static void on_problem(void *ud, const char *line)
{
    const struct check *o = ud;
    if (!o->json && !o->quiet)
        fprintf(stderr, "%s\n", line);
}

static void add(json_t *o, const char *name, uint64_t v)
{
    if (v != 0)
        json_object_set_new(o, name, json_integer((json_int_t)v));
}

static void print_result_json(const struct check *c, vm_blk *blk, const vm_blk_check_result *r)
{
    json_t *o = json_object();
    add(o, "image-end-offset", r->image_end_offset);
    add(o, "total-clusters", r->total_clusters);
    json_object_set_new(o, "check-errors", json_integer((json_int_t)r->errors));
    add(o, "corruptions", r->corruptions);
    add(o, "leaks", r->leaks);
    add(o, "corruptions-fixed", r->corruptions_fixed);
    add(o, "leaks-fixed", r->leaks_fixed);
    add(o, "allocated-clusters", r->allocated_clusters);
    add(o, "fragmented-clusters", r->fragmented_clusters);
    add(o, "compressed-clusters", r->compressed_clusters);
    json_object_set_new(o, "filename", json_string(c->source.name));
    json_object_set_new(o, "format", json_string(format_of(blk)));
    print_json(o);
    json_decref(o);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void print_result(const vm_blk_check_result *r)
{
    if (r->corruptions == 0 && r->leaks == 0 && r->errors == 0)
        printf("No errors were found on the image.\n");
    if (r->corruptions != 0)
        printf("\n%" PRIu64 " errors were found on the image.\n"
               "Data may be corrupted, or further writes to the image may corrupt it.\n",
               r->corruptions);
    if (r->leaks != 0)
        printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
               "This means waste of disk space, but no harm to data.\n",
               r->leaks);
    if (r->errors != 0)
        printf("\n%" PRIu64 " internal errors have occurred during the check.\n", r->errors);
    if (r->total_clusters != 0 && r->allocated_clusters != 0)
        printf("%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% "
               "compressed clusters\n",
               r->allocated_clusters, r->total_clusters,
               percent(r->allocated_clusters, r->total_clusters),
               percent(r->fragmented_clusters, r->allocated_clusters),
               percent(r->compressed_clusters, r->allocated_clusters));
    if (r->image_end_offset != 0)
        printf("Image end offset: %" PRIu64 "\n", r->image_end_offset);
}

static int look(struct check *c, vm_blk *blk, uint32_t fix, vm_blk_check_result *r)
{
    *r = (vm_blk_check_result) { .size = sizeof *r };
    const int st = vm_blk_check(blk, fix, r, on_problem, c);
    if (st == VM_E_NOTSUP) {
        say("This image format does not support checks");
        return NO_CHECK;
    }
    if (st != VM_OK) {
        say("Check failed: %s", last());
        return FAILED;
    }
    return SOUND;
}

static void print_fixed(const vm_blk_check_result *r)
{
    printf("The following inconsistencies were found and repaired:\n\n"
           "    %" PRIu64 " leaked clusters\n    %" PRIu64 " corruptions\n\n"
           "Double checking the fixed image now...\n",
           r->leaks_fixed, r->corruptions_fixed);
    fflush(stdout);
}

static int check(struct check *c, vm_blk *blk)
{
    vm_blk_check_result r, first;
    int st = look(c, blk, c->fix, &r);
    if (st != SOUND)
        return st;
    if (r.corruptions_fixed != 0 || r.leaks_fixed != 0) {
        if (!c->json && !c->quiet)
            print_fixed(&r);
        first = r;
        st = look(c, blk, 0, &r);
        if (st != SOUND)
            return st;
        r.leaks_fixed = first.leaks_fixed;
        r.corruptions_fixed = first.corruptions_fixed;
    }
    if (c->json)
        print_result_json(c, blk, &r);
    else if (!c->quiet)
        print_result(&r);
    return r.corruptions != 0 ? DAMAGED : r.errors != 0 ? FAILED : r.leaks != 0 ? LEAKS : SOUND;
}

int cmd_check(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "repair", required_argument, NULL, 'r' },
        { "cache", required_argument, NULL, 'T' },
        { "output", required_argument, NULL, OPT_OUTPUT },
        { "force-share", no_argument, NULL, 'U' },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct check o = { .source.flags = VM_BLK_CHECK };
    struct args a;
    uint32_t cache;
    int c;
    args_begin(&a, argc, argv, ":hf:r:T:qU", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            o.source.format = optarg;
        else if (c == 'r' && strcmp(optarg, "leaks") == 0)
            o.fix = VM_BLK_FIX_LEAKS;
        else if (c == 'r' && strcmp(optarg, "all") == 0)
            o.fix = VM_BLK_FIX_LEAKS | VM_BLK_FIX_ERRORS;
        else if (c == 'r')
            return usage("Unknown option value for -r (expecting 'leaks' or 'all'): %s", optarg);
        else if (c == 'T')
            o.source.cache = optarg;
        else if (c == 'U')
            o.source.force_share = true;
        else if (c == 'q')
            o.quiet = true;
        else if (c == OPT_OUTPUT && !take_output(&a, &o.json))
            return 1;
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting one image file name");
    if (a.image_opts && o.source.format != NULL)
        return say("--image-opts and --format are mutually exclusive");
    if (o.source.cache != NULL && !cache_flags(o.source.cache, &cache))
        return say("Invalid source cache option: %s", o.source.cache);
    o.source.name = argv[optind];
    o.source.image_opts = a.image_opts;
    if (o.fix == 0)
        o.source.flags |= VM_BLK_RO;
    vm_blk *blk = open_source(&o.source);
    const int st = blk == NULL ? FAILED : check(&o, blk);
    vm_blk_close(blk);
    return st;
}
