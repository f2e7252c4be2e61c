/* SPDX-License-Identifier: MIT */
/**
 * @file io.c
 * `io`: a shell that reads and writes images by hand; also known as qemu-io.
 */
#include "io.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 128, MAX_LINES = 512 };

vm_blk *io_blk;
bool io_read_only;

static bool ending;

static int quit(int argc, char **argv);
static int help(int argc, char **argv);

static const struct io_command own[] = {
    { "help", "?", help, 0, 1, false, false, "[command]", "help for one or all commands", NULL },
    { "quit", "q", quit, 0, 0, false, false, NULL, "exit the program", NULL },
    { 0 },
};

static const struct io_command *const tables[] = { io_async_commands, io_file_commands,
                                                   io_rw_commands, io_tell_commands, own };

/* ---- finding ---------------------------------------------------------------------------- */

const struct io_command *io_find(const char *name)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const struct io_command *c = tables[t]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0 ||
                (c->short_name != NULL && strcmp(c->short_name, name) == 0))
                return c;
    return NULL;
}

static void print_line(const struct io_command *c)
{
    printf("%s%s%s -- %s\n", c->name, c->args != NULL ? " " : "", c->args != NULL ? c->args : "",
           c->does);
}

int io_usage(const char *name)
{
    const struct io_command *c = io_find(name);
    if (c != NULL)
        print_line(c);
    return 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct io_command *const *)a)->name,
                  (*(const struct io_command *const *)b)->name);
}

static int help(int argc, char **argv)
{
    const struct io_command *all[64];
    size_t n = 0;
    if (argc > 1) {
        const struct io_command *c = io_find(argv[1]);
        if (c == NULL) {
            printf("command %s not found\n", argv[1]);
            return 1;
        }
        print_line(c);
        if (c->about != NULL)
            printf("\n%s\n", c->about);
        return 0;
    }
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const struct io_command *c = tables[t]; c->name != NULL && n < 64; c++)
            all[n++] = c;
    qsort(all, n, sizeof all[0], by_name);
    for (size_t i = 0; i < n; i++)
        print_line(all[i]);
    printf("\nUse 'help commandname' for extended help.\n");
    return 0;
}

static int quit(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    ending = true;
    return 0;
}

/* ---- running ---------------------------------------------------------------------------- */

static int bad_count(const struct io_command *c, int n)
{
    fprintf(stderr, "bad argument count %d to %s, expected ", n, c->name);
    if (c->max == -1)
        fprintf(stderr, "at least %d arguments\n", c->min);
    else if (c->min == c->max)
        fprintf(stderr, "%d arguments\n", c->min);
    else
        fprintf(stderr, "between %d and %d arguments\n", c->min, c->max);
    return 1;
}

static int run(int argc, char **argv)
{
    const struct io_command *c = io_find(argv[0]);
    if (c == NULL) {
        fprintf(stderr, "command \"%s\" not found\n", argv[0]);
        return 1;
    }
    if (c->needs_open && io_blk == NULL) {
        fprintf(stderr, "no file open, try 'help open'\n");
        return 1;
    }
    if (argc - 1 < c->min || (c->max != -1 && argc - 1 > c->max))
        return bad_count(c, argc - 1);
    if (c->writes && io_read_only)
        return say("Block node is read-only");
    return c->run(argc, argv);
}

static int run_line(const char *line)
{
    char *copy = strdup(line), *rest = copy, *word, *argv[MAX_ARGS + 1];
    int argc = 0, failed = 0;
    while (argc < MAX_ARGS && (word = strtok_r(rest, " \t\n", &rest)) != NULL)
        argv[argc++] = word;
    argv[argc] = NULL;
    if (argc != 0)
        failed = run(argc, argv);
    free(copy);
    return failed;
}

static int run_input(void)
{
    char *line = NULL;
    size_t room = 0;
    int failed = 0;
    while (!ending) {
        printf("%s> ", compatible() ? program() : "io");
        fflush(stdout);
        if (getline(&line, &room, stdin) < 0)
            break;
        failed |= run_line(line);
        fflush(stdout);
    }
    free(line);
    return failed;
}

/* ---- the program ------------------------------------------------------------------------ */

static int begin(const struct io_open *o, const struct args *a, char **lines, int n)
{
    int failed = 0;
    if (rest_count(a) > 1) {
        show_usage("io");
        return 1;
    }
    if (a->image_opts && o->format != NULL)
        return say("--image-opts and -f are mutually exclusive");
    if (rest_count(a) == 1) {
        struct io_open with = *o;
        with.name = a->argv[optind];
        with.image_opts = a->image_opts;
        if ((failed = io_open(&with)) != 0)
            return failed;
    }
    if (n == 0)
        failed = run_input();
    for (int i = 0; i < n && !ending; i++)
        failed |= run_line(lines[i]);
    io_wait_all();
    io_close();
    return failed;
}

static bool good_modes(const struct io_open *o)
{
    static const char *const discards[] = { "unmap", "on", "ignore", "off" };
    uint32_t flags = 0;
    if (o->cache != NULL && !cache_flags(o->cache, &flags)) {
        say("Invalid cache option: %s", o->cache);
        return false;
    }
    for (size_t i = 0; o->discard != NULL && i < 4; i++)
        if (strcmp(discards[i], o->discard) == 0)
            return true;
    if (o->discard != NULL)
        say("Invalid discard option: %s", o->discard);
    return o->discard == NULL;
}

int cmd_io(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "version", no_argument, NULL, 'V' },
        { "cmd", required_argument, NULL, 'c' },
        { "format", required_argument, NULL, 'f' },
        { "read-only", no_argument, NULL, 'r' },
        { "snapshot", no_argument, NULL, 's' },
        { "nocache", no_argument, NULL, 'n' },
        { "copy-on-read", no_argument, NULL, 'C' },
        { "misalign", no_argument, NULL, 'm' },
        { "native-aio", no_argument, NULL, 'k' },
        { "aio", required_argument, NULL, 'i' },
        { "cache", required_argument, NULL, 't' },
        { "discard", required_argument, NULL, 'd' },
        { "trace", required_argument, NULL, 'T' },
        { "force-share", no_argument, NULL, 'U' },
        { 0 },
    };
    struct io_open o = { 0 };
    struct args a;
    char *lines[MAX_LINES];
    int c, n = 0;
    args_begin(&a, argc, argv, ":hVc:d:f:rsnCmki:t:T:U", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'c' && n < MAX_LINES)
            lines[n++] = optarg;
        else if (c == 'd')
            o.discard = optarg;
        else if (c == 'f')
            o.format = optarg;
        else if (c == 'r')
            o.read_only = true;
        else if (c == 's')
            o.snapshot = true;
        else if (c == 'n')
            o.cache = "none";
        else if (c == 'C')
            o.copy_on_read = true;
        else if (c == 't')
            o.cache = optarg;
        else if (c == 'U')
            o.force_share = true;
        else if (c == 'V')
            return show_version();
    }
    if (a.failed >= 0)
        return a.failed;
    return good_modes(&o) ? begin(&o, &a, lines, n) : 1;
}
