/* SPDX-License-Identifier: MIT */
/**
 * @file io_rw.c
 * The shell's read, write, discard, flush: done when the command is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

enum { FILLING = 0xcd, UNREAD = 0xab };

/* What letters said. */
struct rw {
    bool state, csv, quiet, show, compressed, fua, no_fallback, unmap, zero;
    bool has_pattern, has_start, has_len;
    int pattern;
    const char *start, *len, *file;
    uint64_t off, count, check_from, check_len;
};

static int failed(const char *what, int st)
{
    printf("%s failed: %s\n", what, status_text(st));
    return 1;
}

static int take(struct rw *r, int argc, char **argv, const char *letters, const char *command)
{
    int c;
    optind = 0;
    opterr = 1;
    while ((c = io_getopt(argc, argv, letters)) != -1) {
        switch (c) {
        case 'b':
            r->state = true;
            break;
        case 'c':
            r->compressed = true;
            break;
        case 'C':
            r->csv = true;
            break;
        case 'f':
            r->fua = true;
            break;
        case 'l':
            r->len = optarg;
            break;
        case 'n':
            r->no_fallback = true;
            break;
        case 'a':
        case 'p':
            break;
        case 'P':
            r->has_pattern = true;
            if (!io_pattern(optarg, &r->pattern))
                return 1;
            break;
        case 'q':
            r->quiet = true;
            break;
        case 's':
            r->start = r->file = optarg;
            break;
        case 'u':
            r->unmap = true;
            break;
        case 'v':
            r->show = true;
            break;
        case 'z':
            r->zero = true;
            break;
        default:
            return io_usage(command);
        }
    }
    return 0;
}

/* ---- read ------------------------------------------------------------------------------- */

static int check_range(struct rw *r)
{
    if (r->len != NULL && !io_length(r->len, false, &r->check_len))
        return 1;
    if (r->start != NULL && !io_length(r->start, false, &r->check_from))
        return 1;
    if (r->len == NULL)
        r->check_len = r->check_from <= r->count ? r->count - r->check_from : UINT64_MAX;
    if (r->check_from > r->count || r->check_len > r->count - r->check_from) {
        printf("pattern verification range exceeds end of read data\n");
        return 1;
    }
    return 0;
}

/* The last sector of an image is whole, whatever there is of it. */
static int read_sectors(uint64_t off, uint8_t *buf, size_t len)
{
    const uint64_t size = (uint64_t)vm_blk_size(io_blk), whole = (size + 511) / 512 * 512;
    if (off > size || len <= size - off || len > whole - off)
        return vm_blk_read(io_blk, off, buf, len);
    memset(buf + (size - off), 0, len - (size_t)(size - off));
    return vm_blk_read(io_blk, off, buf, (size_t)(size - off));
}

static int do_read(const struct rw *r, const char *what)
{
    struct timespec t;
    uint8_t *buf = malloc((size_t)r->count + 1);
    int bad = 0;
    if (buf == NULL) {
        printf("no memory for %" PRIu64 " bytes\n", r->count);
        return 1;
    }
    memset(buf, UNREAD, (size_t)r->count);
    clock_gettime(CLOCK_MONOTONIC, &t);
    const int st = r->state ? vm_blk_state_read(io_blk, r->off, buf, (size_t)r->count)
                            : read_sectors(r->off, buf, (size_t)r->count);
    struct timespec end = t; /* the time of the request alone is told */
    if (st != VM_OK) {
        free(buf);
        return failed(what, st);
    }
    if (r->has_pattern && !io_same(buf + r->check_from, r->check_len, r->pattern)) {
        printf("Pattern verification failed at offset %" PRIu64 ", %" PRIu64 " bytes\n",
               r->off + r->check_from, r->check_len);
        bad = 1;
    }
    if (!r->quiet) {
        if (r->show)
            io_dump(buf, r->count, r->off);
        io_report("read", &end, r->off, r->count, r->count, 1, r->csv);
    }
    free(buf);
    return bad;
}

static int do_read_line(int argc, char **argv)
{
    struct rw r = { 0 };
    if (take(&r, argc, argv, "abCl:pP:qs:v", "read"))
        return 1;
    if (optind != argc - 2)
        return io_usage("read");
    if (!io_number(argv[optind], &r.off) || !io_length(argv[optind + 1], false, &r.count))
        return 1;
    if (!r.has_pattern && (r.start != NULL || r.len != NULL))
        return io_usage("read");
    return check_range(&r) ? 1 : do_read(&r, "read");
}

/* The lengths after an offset, together. */
static int sum_lengths(struct rw *r, int argc, char **argv)
{
    for (int i = optind; i < argc; i++) {
        uint64_t len;
        if (!io_length(argv[i], false, &len))
            return 1;
        r->count += len;
    }
    if (r->count > INT32_MAX) {
        printf("Argument '%s' exceeds maximum size %d\n", argv[argc - 1], INT32_MAX);
        return 1;
    }
    return 0;
}

static int do_readv_line(int argc, char **argv)
{
    struct rw r = { 0 };
    if (take(&r, argc, argv, "CP:qv", "readv"))
        return 1;
    if (optind > argc - 2)
        return io_usage("readv");
    if (!io_number(argv[optind++], &r.off) || sum_lengths(&r, argc, argv))
        return 1;
    r.check_len = r.count;
    return do_read(&r, "readv");
}

/* ---- write ------------------------------------------------------------------------------ */

/* The buffer is a file's bytes, over and over. */
static int fill_from(const char *name, uint8_t *buf, size_t len)
{
    FILE *f = fopen(name, "rb");
    if (f == NULL) {
        printf("%s: %s\n", name, strerror(errno));
        return 1;
    }
    const size_t n = fread(buf, 1, len, f);
    fclose(f);
    if (n == 0 && len != 0) {
        printf("%s: file is empty\n", name);
        return 1;
    }
    for (size_t at = n; at < len; at++)
        buf[at] = buf[at - n];
    return 0;
}

static int do_write(const struct rw *r, const char *what)
{
    struct timespec t;
    uint8_t *buf = r->zero ? NULL : malloc((size_t)r->count + 1);
    const uint32_t flags = (r->fua ? VM_BLK_FUA : 0) | (r->unmap ? VM_BLK_MAY_UNMAP : 0) |
                           (r->no_fallback ? VM_BLK_NO_FALLBACK : 0) |
                           (r->compressed ? VM_BLK_COMPRESSED : 0);
    int st;
    if (!r->zero && buf == NULL) {
        printf("no memory for %" PRIu64 " bytes\n", r->count);
        return 1;
    }
    if (buf != NULL)
        memset(buf, r->has_pattern ? r->pattern : FILLING, (size_t)r->count);
    if (r->file != NULL && fill_from(r->file, buf, (size_t)r->count)) {
        free(buf);
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (r->state)
        st = vm_blk_state_write(io_blk, r->off, buf, (size_t)r->count);
    else if (r->zero)
        st = vm_blk_zero(io_blk, r->off, r->count, flags & ~(uint32_t)VM_BLK_COMPRESSED);
    else
        st = vm_blk_write(io_blk, r->off, buf, (size_t)r->count, flags);
    free(buf);
    if (st != VM_OK)
        return failed(what, st);
    if (!r->quiet)
        io_report("wrote", &t, r->off, r->count, r->count, 1, r->csv);
    return 0;
}

static int check_write(const struct rw *r)
{
    const char *wrong = NULL;
    if (r->state && r->zero)
        wrong = "-b and -z cannot be specified at the same time";
    else if (r->fua && (r->state || r->compressed))
        wrong = "-f and -b or -c cannot be specified at the same time";
    else if (r->no_fallback && !r->zero)
        wrong = "-n requires -z to be specified";
    else if (r->unmap && !r->zero)
        wrong = "-u requires -z to be specified";
    else if (r->zero + r->has_pattern + (r->file != NULL) > 1)
        wrong = "Only one of -z, -P, and -s can be specified at the same time";
    if (wrong != NULL)
        printf("%s\n", wrong);
    return wrong != NULL;
}

static int do_write_line(int argc, char **argv)
{
    struct rw r = { 0 };
    if (take(&r, argc, argv, "bcCfnpP:qs:uz", "write"))
        return 1;
    if (optind != argc - 2)
        return io_usage("write");
    if (check_write(&r) || !io_number(argv[optind], &r.off) ||
        !io_length(argv[optind + 1], r.zero && r.no_fallback, &r.count))
        return 1;
    return do_write(&r, "write");
}

static int do_writev_line(int argc, char **argv)
{
    struct rw r = { 0 };
    if (take(&r, argc, argv, "CfqP:", "writev"))
        return 1;
    if (optind > argc - 2)
        return io_usage("writev");
    if (!io_number(argv[optind++], &r.off) || sum_lengths(&r, argc, argv))
        return 1;
    return do_write(&r, "writev");
}

/* ---- discard, flush --------------------------------------------------------------------- */

static int do_discard_line(int argc, char **argv)
{
    struct rw r = { 0 };
    struct timespec t;
    if (take(&r, argc, argv, "Cq", "discard"))
        return 1;
    if (optind != argc - 2)
        return io_usage("discard");
    if (!io_number(argv[optind], &r.off) || !io_length(argv[optind + 1], false, &r.count))
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const int st = vm_blk_discard(io_blk, r.off, r.count);
    if (st != VM_OK)
        return failed("discard", st);
    if (!r.quiet)
        io_report("discard", &t, r.off, r.count, r.count, 1, r.csv);
    return 0;
}

static int do_flush_line(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    const int st = vm_blk_flush(io_blk);
    return st == VM_OK ? 0 : failed("flush", st);
}

/* clang-format off */
const struct io_command io_rw_commands[] = {
    { "read", "r", do_read_line, 2, -1, true, false, "[-abCqv] [-P pattern [-s off] [-l len]] off len",
      "reads a number of bytes at a specified offset",
      " -b  the machine's state instead of the disk\n -C  numbers for machines\n"
      " -P  all bytes must be this one; -s and -l: from there on, so many\n"
      " -q  say nothing\n -v  show the bytes\n" },
    { "readv", "rv", do_readv_line, 2, -1, true, false, "[-Cqv] [-P pattern] off len [len..]",
      "reads a number of bytes at a specified offset", NULL },
    { "write", "w", do_write_line, 2, -1, true, true, "[-bcCfnquz] [-P pattern | -s source_file] off len",
      "writes a number of bytes at a specified offset",
      " -b  the machine's state instead of the disk\n -c  stored compressed\n"
      " -C  numbers for machines\n -f  on stable storage when it returns\n"
      " -n  with -z: fail rather than write zeros byte by byte\n -P  this byte, rather than 0xcd\n"
      " -q  say nothing\n -s  the bytes of a file, over and over\n"
      " -u  with -z: space may be given back\n -z  zeros\n" },
    { "writev", "wv", do_writev_line, 2, -1, true, true, "[-Cfq] [-P pattern] off len [len..]",
      "writes a number of bytes at a specified offset", NULL },
    { "discard", "d", do_discard_line, 2, -1, true, true, "[-Cq] off len",
      "discards a number of bytes at a specified offset", NULL },
    { "flush", "f", do_flush_line, 0, 0, true, false, NULL, "flush all in-core file state to disk", NULL },
    { 0 },
};
/* clang-format on */
