/* SPDX-License-Identifier: MIT */
/**
 * @file io_tell.c
 * The shell's commands that tell about the image, change its size, or only pass the time.
 */
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "info_print.h"
#include "io.h"

/* ---- what is there ---------------------------------------------------------------------- */

/* Stretches that this image itself has, or has not, put together. */
struct stretch {
    uint64_t start, length, sum;
    bool has, print;
};

static void put_out(struct stretch *s)
{
    char len[40], off[40];
    if (s->length == 0)
        return;
    if (s->has)
        s->sum += s->length;
    if (s->print)
        printf("%s (0x%" PRIx64 ") bytes %s allocated at offset %s (0x%" PRIx64 ")\n",
               io_size((double)s->length, len), s->length, s->has ? "   " : "not",
               io_size((double)s->start, off), s->start);
}

static int on_row(void *ud, const vm_blk_map_row *row)
{
    struct stretch *s = ud;
    const bool has = (row->flags & VM_MAP_ALLOCATED) && row->depth == 0;
    if (s->length != 0 && has == s->has) {
        s->length += row->length;
        return 0;
    }
    put_out(s);
    s->start = row->start;
    s->length = row->length;
    s->has = has;
    return 0;
}

static int do_map_line(int argc, char **argv)
{
    struct stretch s = { .print = true };
    (void)argc;
    (void)argv;
    const int st = vm_blk_map(io_blk, 0, (uint64_t)vm_blk_size(io_blk), on_row, &s);
    if (st != VM_OK) {
        printf("Failed to get block status: %s\n", status_text(st));
        return 1;
    }
    put_out(&s);
    return 0;
}

static int do_alloc_line(int argc, char **argv)
{
    struct stretch s = { 0 };
    const uint64_t size = (uint64_t)vm_blk_size(io_blk);
    uint64_t off, count = 512;
    char text[40];
    if (!io_number(argv[1], &off) || (argc == 3 && !io_number(argv[2], &count)))
        return 1;
    if (off >= size)
        count = 0;
    else if (count > size - off)
        count = size - off;
    const int st = count != 0 ? vm_blk_map(io_blk, off, count, on_row, &s) : VM_OK;
    if (st != VM_OK) {
        printf("is_allocated failed: %s\n", status_text(st));
        return 1;
    }
    put_out(&s);
    printf("%" PRIu64 "/%" PRIu64 " bytes allocated at offset %s\n", s.sum, count,
           io_size((double)off, text));
    return 0;
}

static int do_length_line(int argc, char **argv)
{
    char text[40];
    (void)argc;
    (void)argv;
    printf("%s\n", io_size((double)vm_blk_size(io_blk), text));
    return 0;
}

static int do_info_line(int argc, char **argv)
{
    char *text = info_text(io_blk), size[40];
    json_t *o = text != NULL ? json_loads(text, 0, NULL) : NULL;
    (void)argc;
    (void)argv;
    free(text);
    if (o == NULL) {
        printf("%s\n", last());
        return 1;
    }
    const char *format = json_string_value(json_object_get(o, "format"));
    printf("format name: %s\n", format != NULL ? format : "");
    printf("cluster size: %s\n",
           io_size((double)json_integer_value(json_object_get(o, "cluster-size")), size));
    printf("vm state offset: %s\n",
           io_size((double)json_integer_value(json_object_get(o, "vm-state-offset")), size));
    print_specific(json_object_get(o, "format-specific"));
    json_decref(o);
    return 0;
}

/* ---- size ------------------------------------------------------------------------------- */

static bool known_mode(const char *text)
{
    return strcmp(text, "off") == 0 || strcmp(text, "metadata") == 0 ||
           strcmp(text, "falloc") == 0 || strcmp(text, "full") == 0;
}

static int do_truncate_line(int argc, char **argv)
{
    const char *mode = NULL;
    uint64_t size;
    int c;
    optind = 0;
    opterr = 1;
    while ((c = io_getopt(argc, argv, "m:")) != -1) {
        if (c != 'm')
            return io_usage("truncate");
        mode = optarg;
        if (!known_mode(mode))
            return say("Invalid preallocation mode '%s'", mode);
    }
    if (optind != argc - 1)
        return io_usage("truncate");
    if (!io_number(argv[optind], &size))
        return 1;
    return vm_blk_resize(io_blk, size, mode) == VM_OK ? 0 : say_last("%s", "");
}

/* ---- time ------------------------------------------------------------------------------- */

static int do_sleep_line(int argc, char **argv)
{
    char *end;
    const long ms = strtol(argv[1], &end, 0);
    (void)argc;
    if (*end != '\0' || end == argv[1] || ms < 0) {
        printf("%s is not a valid number\n", argv[1]);
        return 1;
    }
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&t, &t) != 0)
        ;
    return 0;
}

static int do_sigraise_line(int argc, char **argv)
{
    uint64_t sig;
    (void)argc;
    if (!io_number(argv[1], &sig))
        return 1;
    fflush(stdout); /* what was said is not lost with the program */
    raise((int)sig);
    return 0;
}

static int do_abort_line(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    abort();
}

/* clang-format off */
const struct io_command io_tell_commands[] = {
    { "abort", NULL, do_abort_line, 0, 0, false, false, NULL, "simulate a program crash using abort(3)", NULL },
    { "alloc", "a", do_alloc_line, 1, 2, true, false, "offset [count]",
      "checks if offset is allocated in the file", NULL },
    { "info", "i", do_info_line, 0, 0, true, false, NULL, "prints information about the current file", NULL },
    { "length", "l", do_length_line, 0, 0, true, false, NULL, "gets the length of the current file", NULL },
    { "map", "m", do_map_line, 0, 0, true, false, NULL, "prints the allocated areas of a file", NULL },
    { "sigraise", NULL, do_sigraise_line, 1, 1, false, false, "signal", "raises a signal", NULL },
    { "sleep", NULL, do_sleep_line, 1, 1, false, false, NULL,
      "waits for the given value in milliseconds", NULL },
    { "truncate", "t", do_truncate_line, 1, 3, true, true, "[-m prealloc_mode] off",
      "truncates the current file at the given offset", NULL },
    { 0 },
};
/* clang-format on */
