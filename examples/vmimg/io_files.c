/* SPDX-License-Identifier: MIT */
/**
 * @file io_files.c
 * Which image the shell works on: open, close, reopen.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

/* The options of the image, if it was opened with any. */
static struct optlist opened_with;

void io_close(void)
{
    optlist_free(&opened_with);
    vm_blk_close(io_blk);
    io_blk = NULL;
    io_read_only = false;
}

/* A filter on top of what would be opened: it must be known of what format that is. */
static char *with_filter(const struct source *s, const char *filter)
{
    struct source plain = *s;
    char why[1024];
    plain.flags |= VM_BLK_RO | VM_BLK_NO_IO | VM_BLK_NOBACKING;
    vm_blk *blk = try_source(&plain, why, sizeof why);
    if (blk == NULL)
        return strdup(s->name);
    json_t *o = json_pack("{s:s, s:{s:s, s:{s:s}}}", "driver", filter, "file", "driver",
                          format_of(blk), "file", "filename", s->name);
    char *text = json_dumps(o, 0), *name = NULL;
    json_decref(o);
    vm_blk_close(blk);
    if (text == NULL || asprintf(&name, "json:%s", text) < 0)
        name = NULL;
    free(text);
    return name;
}

/* Options of an image become those of what a filter stands on. */
static void put_under(struct optlist *l, const char *filter)
{
    struct optlist under = { 0 };
    char name[512];
    for (int i = 0; i < l->n; i++) {
        snprintf(name, sizeof name, "file.%s", l->rows[i].name);
        optlist_set(&under, name, l->rows[i].value);
    }
    optlist_set(&under, "driver", filter);
    optlist_free(l);
    *l = under;
}

/* `open -o`: options beside a name, or instead of one. */
static char *with_options(const struct io_open *o)
{
    struct optlist l = { 0 };
    if (o->options == NULL)
        return NULL;
    optlist_parse(&l, o->options, NULL);
    optlist_parse(&opened_with, o->options, NULL);
    if (o->name != NULL)
        optlist_set(&l, "filename", o->name);
    if (o->format != NULL)
        optlist_set(&l, "driver", o->format);
    if (o->copy_on_read || o->snapshot)
        put_under(&l, o->copy_on_read ? "copy-on-read" : "overlay");
    char *json = optlist_json(&l), *name = NULL;
    if (json == NULL || asprintf(&name, "json:%s", json) < 0)
        name = NULL;
    free(json);
    optlist_free(&l);
    return name;
}

int io_open(const struct io_open *o)
{
    struct source s = { .name = o->name,
                        .format = o->format,
                        .cache = o->cache,
                        .image_opts = o->image_opts,
                        .force_share = o->force_share,
                        .flags = o->read_only ? VM_BLK_RO : 0 };
    char why[1024], *own = with_options(o);
    if (io_blk != NULL)
        return say("file open already, try 'help close'");
    if (own != NULL) {
        s.name = own;
        s.format = NULL;
    }
    const char *driver = optlist_get(&opened_with, "driver");
    const bool copies = driver != NULL && strcmp(driver, "copy-on-read") == 0;
    if ((o->copy_on_read || copies) && o->read_only) {
        free(own);
        optlist_free(&opened_with);
        return say("can't open device %s: %s", o->name,
                   copies ? "Block node is read-only"
                          : "Can't use copy-on-read on read-only device");
    }
    s.keep =
        o->discard != NULL && (strcmp(o->discard, "ignore") == 0 || strcmp(o->discard, "off") == 0);
    if ((o->snapshot || o->copy_on_read) && !s.image_opts && own == NULL) {
        own = with_filter(&s, o->snapshot ? "overlay" : "copy-on-read");
        s.name = own;
        if (strncmp(own, "json:", 5) == 0)
            s.format = NULL;
    }
    io_blk = try_source(&s, why, sizeof why);
    free(own);
    io_read_only = o->read_only && !o->snapshot;
    if (io_blk != NULL) {
        if (!o->image_opts && o->options == NULL)
            warn_guess(&(struct source) { .name = o->name, .format = o->format, .flags = s.flags },
                       io_blk);
        return 0;
    }
    return o->name == NULL || o->image_opts ? say("can't open: %s", why)
                                            : say("can't open device %s: %s", o->name, why);
}

static int do_close_line(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    io_wait_all();
    io_close();
    return 0;
}

static int do_open_line(int argc, char **argv)
{
    struct io_open o = { 0 };
    uint32_t flags = 0;
    int c;
    optind = 0;
    opterr = 1;
    while ((c = io_getopt(argc, argv, "snCro:ki:t:d:U")) != -1) {
        switch (c) {
        case 's':
            o.snapshot = true;
            break;
        case 'n':
            o.cache = "none";
            break;
        case 'C':
            o.copy_on_read = true;
            break;
        case 'r':
            o.read_only = true;
            break;
        case 'k':
        case 'i':
            break;
        case 't':
            if (!cache_flags(optarg, &flags))
                return say("Invalid cache option: %s", optarg);
            o.cache = optarg;
            break;
        case 'd':
            o.discard = optarg;
            break;
        case 'o':
            o.options = optarg;
            break;
        case 'U':
            o.force_share = true;
            break;
        default:
            return io_usage("open");
        }
    }
    if (optind < argc - 1 || (optind == argc && o.options == NULL))
        return io_usage("open");
    o.name = optind < argc ? argv[optind] : NULL;
    return io_open(&o);
}

/* What an option of this image or one below is now; NULL: not known. */
static const char *value_now(const char *name)
{
    static char format[64];
    const char *given = optlist_get(&opened_with, name);
    if (given != NULL)
        return given;
    if (strcmp(name, "driver") == 0)
        return format_of(io_blk);
    if (strcmp(name, "file.driver") == 0)
        return "file";
    if (strcmp(name, "backing.driver") == 0) {
        char *f = NULL;
        if (backing_of(io_blk, NULL, NULL, &f) && f != NULL)
            snprintf(format, sizeof format, "%s", f);
        free(f);
        return format;
    }
    return NULL;
}

/* Of a list of options only those of the cache can be changed while an image is open. */
static int check_reopen(const char *text)
{
    struct optlist l = { 0 };
    int failed = 0;
    optlist_parse(&l, text, NULL);
    for (int i = 0; i < l.n && !failed; i++) {
        const char *name = l.rows[i].name, *now = value_now(name), *own = name;
        while (strncmp(own, "file.", 5) == 0 || strncmp(own, "backing.", 8) == 0)
            own = strchr(own, '.') + 1;
        const bool same = now != NULL && strcmp(now, l.rows[i].value) == 0;
        if (!same && strncmp(own, "cache.", 6) != 0 && strcmp(own, "read-only") != 0)
            failed = say("Cannot change the option '%s'", own);
    }
    optlist_free(&l);
    return failed;
}

static int do_reopen_line(int argc, char **argv)
{
    bool ro = io_read_only, given = false;
    uint32_t flags = 0;
    int c;
    optind = 0;
    opterr = 1;
    while ((c = io_getopt(argc, argv, "c:o:rw")) != -1) {
        if (c == 'c' && !cache_flags(optarg, &flags))
            return say("Invalid cache option: %s", optarg);
        if (c == 'o' && check_reopen(optarg))
            return 1;
        if ((c == 'r' || c == 'w') && given)
            return say("Only one -r/-w option may be given");
        if (c == 'r' || c == 'w') {
            ro = c == 'r';
            given = true;
        }
        if (c == '?')
            return io_usage("reopen");
    }
    if (optind != argc)
        return io_usage("reopen");
    io_wait_all();
    if (vm_blk_flush(io_blk) != VM_OK || vm_blk_reopen(io_blk, ro ? VM_BLK_RO : 0) != VM_OK)
        return say_last("%s", "");
    io_read_only = ro;
    return 0;
}

/* clang-format off */
const struct io_command io_file_commands[] = {
    { "close", "c", do_close_line, 0, 0, true, false, NULL, "close the current open file", NULL },
    { "open", "o", do_open_line, 1, -1, false, false,
      "[-rsCnkU] [-t cache] [-d discard] [-o options] [path]", "open the file specified by path",
      " -r  for reading only\n -s  changes go to a temporary file\n -C  copy what is read up\n"
      " -n  past the host's cache\n -U  share with writers\n -t  cache mode\n -d  discard mode\n"
      " -o  options of drivers, as a list\n" },
    { "reopen", NULL, do_reopen_line, 0, -1, true, false, "[(-r|-w)] [-c cache] [-o options]",
      "reopens an image with new options", NULL },
    { 0 },
};
/* clang-format on */
