/* SPDX-License-Identifier: MIT */
/**
 * @file map.c
 * `map` and `measure`: what lies where, and how large a copy would be.
 */
#include "vmimg.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "info_print.h"

struct map {
    struct source source;
    uint64_t start, length;
    bool json;
    uint32_t rows;
};

static void print_text(const char *s)
{
    json_t *v = json_string(s);
    char *text = v != NULL ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    printf("%s", text != NULL ? text : "\"\"");
    free(text);
    json_decref(v);
}

static int on_json(void *ud, const vm_blk_map_row *row)
{
    struct map *m = ud;
    const bool present = row->flags & VM_MAP_ALLOCATED;
    printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %u, \"present\": %s, "
           "\"zero\": %s, \"data\": %s",
           m->rows++ == 0 ? "[" : ",\n", row->start, row->length, row->depth,
           present ? "true" : "false", row->flags & VM_MAP_ZERO ? "true" : "false",
           row->flags & VM_MAP_DATA ? "true" : "false");
    if ((row->flags & VM_MAP_OFFSET) && present)
        printf(", \"offset\": %" PRIu64, row->host_offset);
    if ((row->flags & VM_MAP_OFFSET) && present && row->file != NULL &&
        strcmp(row->file, m->source.name) != 0 && !compatible()) {
        printf(", \"filename\": ");
        print_text(row->file);
    }
    printf("}");
    return 0;
}

static int on_line(void *ud, const vm_blk_map_row *row)
{
    (void)ud;
    if (!(row->flags & VM_MAP_DATA) || (row->flags & VM_MAP_ZERO))
        return 0;
    if (!(row->flags & VM_MAP_OFFSET) || row->file == NULL) {
        say("File contains external, encrypted or compressed clusters.");
        return 1;
    }
    printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", row->start, row->length,
           row->host_offset, row->file);
    return 0;
}

static int map(struct map *m, vm_blk *blk)
{
    const uint64_t size = (uint64_t)vm_blk_size(blk);
    const uint64_t rest = m->start < size ? size - m->start : 0;
    const uint64_t len = m->length < rest ? m->length : rest;
    if (!m->json)
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    int st = vm_blk_map(blk, m->start, len, m->json ? on_json : on_line, m);
    if (st < 0)
        st = say("Failed to read image metadata: %s", status_text(st));
    else if (st == 0 && m->json)
        printf(m->rows == 0 ? "[]\n" : "]\n");
    return st != 0;
}

int cmd_map(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "output", required_argument, NULL, OPT_OUTPUT },
        { "start-offset", required_argument, NULL, 's' },
        { "max-length", required_argument, NULL, 'l' },
        { "force-share", no_argument, NULL, 'U' },
        { 0 },
    };
    struct map m = { .length = UINT64_MAX, .source.flags = VM_BLK_RO };
    struct args a;
    int c;
    args_begin(&a, argc, argv, ":f:s:l:hU", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            m.source.format = optarg;
        else if (c == 'U')
            m.source.force_share = true;
        else if (c == OPT_OUTPUT && !take_output(&a, &m.json))
            return 1;
        else if ((c == 's' && !sized("start offset", optarg, &m.start)) ||
                 (c == 'l' && !sized("max length", optarg, &m.length)))
            return 1;
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting one image file name");
    if (a.image_opts && m.source.format != NULL)
        return say("--image-opts and --format are mutually exclusive");
    m.source.name = argv[optind];
    m.source.image_opts = a.image_opts;
    vm_blk *blk = open_source(&m.source);
    const int st = blk == NULL ? 1 : map(&m, blk);
    vm_blk_close(blk);
    return st;
}

/* ---- measure ---------------------------------------------------------------------------- */

struct measure {
    struct source source;
    const char *format, *snapshot;
    char *options;
    uint64_t size; /* UINT64_MAX: an image is given */
    bool json;
};

static int measure(const struct measure *m, vm_blk *blk)
{
    vm_blk_measured r = { .size = sizeof r };
    if (blk != NULL && m->snapshot != NULL && load_snapshot(blk, m->snapshot))
        return 1;
    if (vm_blk_measure_detail(the_ctx(), m->format, m->size, blk, m->options, &r) != VM_OK)
        return say_last("%s", "");
    if (m->json) {
        json_t *o = json_object();
        if (r.has_bitmaps)
            json_object_set_new(o, "bitmaps", json_integer((json_int_t)r.bitmaps));
        json_object_set_new(o, "required", json_integer((json_int_t)r.required));
        json_object_set_new(o, "fully-allocated", json_integer((json_int_t)r.fully_allocated));
        print_json(o);
        json_decref(o);
        return 0;
    }
    printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n", r.required,
           r.fully_allocated);
    if (r.has_bitmaps)
        printf("bitmaps size: %" PRIu64 "\n", r.bitmaps);
    return 0;
}

static int run_measure(struct measure *m, const struct args *a)
{
    const char *name = optind < a->argc ? a->argv[optind] : NULL;
    vm_blk *blk = NULL;
    uint32_t can;
    if (rest_count(a) > 1)
        return usage("At most one filename argument is allowed.");
    if (name == NULL && (a->image_opts || m->source.format != NULL || m->snapshot != NULL))
        return say("--image-opts, -f, and -l require a filename argument.");
    if (name == NULL && m->size == UINT64_MAX)
        return say("Either --size N or one filename must be specified.");
    if (name != NULL && m->size != UINT64_MAX)
        return say("--size N cannot be used together with a filename.");
    if (vm_blk_driver_can(the_ctx(), m->format, &can) != VM_OK)
        return say("Unknown file format '%s'", m->format);
    if (!(can & VM_CAN_CREATE))
        return say("Format driver '%s' does not support image creation", m->format);
    if (name != NULL) {
        m->source.name = name;
        m->source.image_opts = a->image_opts;
        if ((blk = open_source(&m->source)) == NULL)
            return 1;
    }
    const int st = measure(m, blk);
    vm_blk_close(blk);
    return st;
}

int cmd_measure(int argc, char **argv)
{
    enum { OPT_SIZE = OPT_OWN };
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "source-format", required_argument, NULL, 'f' },
        { "format", required_argument, NULL, 'f' },
        { "source-image-opts", no_argument, NULL, OPT_IMAGE_OPTS },
        { "snapshot", required_argument, NULL, 'l' },
        { "target-format", required_argument, NULL, 'O' },
        { "target-format-options", required_argument, NULL, 'o' },
        { "options", required_argument, NULL, 'o' },
        { "output", required_argument, NULL, OPT_OUTPUT },
        { "size", required_argument, NULL, OPT_SIZE },
        { "force-share", no_argument, NULL, 'U' },
        { 0 },
    };
    struct measure m = { .format = "raw", .size = UINT64_MAX, .source.flags = VM_BLK_RO };
    struct args a;
    int c;
    args_begin(&a, argc, argv, ":hf:l:o:O:Us:", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            m.source.format = optarg;
        else if (c == 'O')
            m.format = optarg;
        else if (c == 'l')
            m.snapshot = optarg;
        else if (c == 'U')
            m.source.force_share = true;
        else if ((c == 'o' && !add_options(&m.options, optarg)) ||
                 (c == OPT_OUTPUT && !take_output(&a, &m.json)) ||
                 ((c == OPT_SIZE || c == 's') && !image_size(optarg, &m.size)))
            return 1;
    }
    const int st = a.failed >= 0 ? a.failed : run_measure(&m, &a);
    free(m.options);
    return st;
}
