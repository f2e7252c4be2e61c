/* SPDX-License-Identifier: MIT */
/**
 * @file amend.c
 * `amend` and `bitmap`: properties of images that formats keep.
 */
#include "vmimg.h"

#include <stdlib.h>
#include <string.h>

struct amend {
    struct source source;
    char *options;
    bool progress, quiet;
};

static int is_option(void *ud, const vm_blk_option_row *row)
{
    return strcmp(row->name, ud) == 0 ? 1 : 0;
}

static bool has(const char *format, int what, const char *name)
{
    return vm_blk_each_option(the_ctx(), format, what, is_option, (void *)(uintptr_t)name) == 1;
}

/* A name that the format has for new images only is worth a word. */
static int check_names(const char *format, const struct optlist *l)
{
    for (int i = 0; i < l->n; i++) {
        const char *name = l->rows[i].name;
        if (has(format, 2, name))
            continue;
        say("Invalid parameter '%s'", name);
        if (has(format, 0, name) || has("file", 0, name))
            fprintf(stderr, "This option is only supported for image creation\n");
        return 1;
    }
    return 0;
}

static int amend(const struct amend *o, vm_blk *blk)
{
    char format[64];
    struct optlist l = { 0 };
    uint32_t can = 0;
    snprintf(format, sizeof format, "%s", format_of(blk));
    if (vm_blk_driver_can(the_ctx(), format, &can) != VM_OK || !(can & VM_CAN_AMEND))
        return say("Format driver '%s' does not support option amendment", format);
    if (asks_help(o->options))
        return show_options(format, 2, false);
    optlist_parse(&l, o->options, NULL);
    int failed = check_names(format, &l);
    char *json = optlist_json(&l);
    optlist_free(&l);
    vm_job *job = !failed ? vm_blk_amend_start(blk, json) : NULL;
    free(json);
    if (failed)
        return failed;
    if (job == NULL)
        return say_last("%s", "");
    progress_begin(o->progress && !o->quiet, "");
    const int st = wait_job(job);
    progress_end();
    return st == VM_OK ? 0 : say_last("%s", "");
}

int cmd_amend(int argc, char **argv)
{
    enum { OPT_FORCE = OPT_OWN };
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "options", required_argument, NULL, 'o' },
        { "cache", required_argument, NULL, 't' },
        { "progress", no_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { "force", no_argument, NULL, OPT_FORCE },
        { 0 },
    };
    struct amend o = { 0 };
    struct args a;
    uint32_t cache;
    int c, failed;
    bool force = false;
    args_begin(&a, argc, argv, ":ho:f:t:pq", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            o.source.format = optarg;
        else if (c == 't')
            o.source.cache = optarg;
        else if (c == 'p')
            o.progress = true;
        else if (c == 'q')
            o.quiet = true;
        else if (c == OPT_FORCE)
            force = true;
        else if (c == 'o' && !add_options(&o.options, optarg))
            return 1;
    }
    if (a.failed >= 0)
        return a.failed;
    (void)force; /* passed on as an option when a format asks for it */
    if (o.options == NULL)
        return usage("Must specify options (-o)");
    const char *name = rest_count(&a) == 1 ? argv[optind] : NULL;
    if (name == NULL && o.source.format != NULL && asks_help(o.options)) {
        failed = show_options(o.source.format, 2, false);
    } else if (name == NULL) {
        failed = usage("Expecting one image file name");
    } else if (o.source.cache != NULL && !cache_flags(o.source.cache, &cache)) {
        failed = say("Invalid cache option: %s", o.source.cache);
    } else {
        o.source.name = name;
        o.source.image_opts = a.image_opts;
        vm_blk *blk = open_source(&o.source);
        failed = blk == NULL ? 1 : amend(&o, blk);
        vm_blk_close(blk);
    }
    free(o.options);
    return failed;
}

/* ---- bitmap ----------------------------------------------------------------------------- */

enum { OPT_ADD = OPT_OWN, OPT_REMOVE, OPT_CLEAR, OPT_ENABLE, OPT_DISABLE, OPT_MERGE };
enum { MAX_ACTIONS = 64 };

struct bitmap {
    struct source source, from;
    uint64_t granularity;
    struct {
        int what;
        const char *source;
    } actions[MAX_ACTIONS];
    int n;
    bool adds, merges;
};

static const char *const words[] = { "add", "remove", "clear", "enable", "disable", "merge" };

static int act(const struct bitmap *o, vm_blk *blk, vm_blk *from, int i, const char *name)
{
    const char *const word = words[o->actions[i].what - OPT_ADD];
    char options[1200] = "";
    int st;
    if (o->actions[i].what == OPT_MERGE && from != NULL) {
        st = vm_blk_bitmap_merge(blk, name, from, o->actions[i].source);
    } else {
        if (o->actions[i].what == OPT_ADD && o->granularity != 0)
            snprintf(options, sizeof options, "granularity=%llu",
                     (unsigned long long)o->granularity);
        else if (o->actions[i].what == OPT_MERGE)
            snprintf(options, sizeof options, "source=%s", o->actions[i].source);
        st = vm_blk_bitmap(blk, word, name, options);
    }
    return st == VM_OK ? 0 : say("Operation %s on bitmap %s failed: %s", word, name, last());
}

static int work(const struct bitmap *o, const char *name)
{
    vm_blk *blk = open_source(&o->source);
    vm_blk *from = blk != NULL && o->from.name != NULL ? open_source(&o->from) : NULL;
    int failed = blk == NULL || (o->from.name != NULL && from == NULL);
    for (int i = 0; !failed && i < o->n; i++)
        failed = act(o, blk, from, i, name);
    vm_blk_close(from);
    vm_blk_close(blk);
    return failed;
}

int cmd_bitmap(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "add", no_argument, NULL, OPT_ADD },
        { "remove", no_argument, NULL, OPT_REMOVE },
        { "clear", no_argument, NULL, OPT_CLEAR },
        { "enable", no_argument, NULL, OPT_ENABLE },
        { "disable", no_argument, NULL, OPT_DISABLE },
        { "merge", required_argument, NULL, OPT_MERGE },
        { "granularity", required_argument, NULL, 'g' },
        { "source-file", required_argument, NULL, 'b' },
        { "source-format", required_argument, NULL, 'F' },
        { 0 },
    };
    struct bitmap o = { .from.flags = VM_BLK_RO | VM_BLK_NO_IO };
    struct args a;
    int c;
    args_begin(&a, argc, argv, ":b:f:F:g:h", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            o.source.format = optarg;
        else if (c == 'b')
            o.from.name = optarg;
        else if (c == 'F')
            o.from.format = optarg;
        else if (c == 'g' && !sized("granularity", optarg, &o.granularity))
            return 1;
        else if (c >= OPT_ADD && o.n < MAX_ACTIONS) {
            o.adds = o.adds || c == OPT_ADD;
            o.merges = o.merges || c == OPT_MERGE;
            o.actions[o.n].what = c;
            o.actions[o.n++].source = optarg;
        }
    }
    if (a.failed >= 0)
        return a.failed;
    if (o.n == 0)
        return say("Need at least one of --add, --remove, --clear, --enable, --disable, or "
                   "--merge");
    if (rest_count(&a) != 2)
        return say("Expecting filename and bitmap name");
    if (o.granularity != 0 && !o.adds)
        return say("granularity only supported with --add");
    if (o.from.format != NULL && o.from.name == NULL)
        return say("-F only supported with -b");
    if (o.from.name != NULL && !o.merges)
        return say("Merge bitmap source file only supported with --merge");
    o.source.name = argv[optind];
    o.source.image_opts = a.image_opts;
    return work(&o, argv[optind + 1]);
}
