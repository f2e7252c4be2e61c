/* SPDX-License-Identifier: MIT */
/**
 * @file io_async.c
 * The shell's requests that go on while it reads the next command; and breakpoints, that hold them.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

struct request {
    bool csv, quiet, show, zero, unmap, fua, write, has_pattern;
    int pattern;
    uint64_t off, count;
    struct timespec start;
    uint8_t *buf;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned in_air;
static bool one_failed;

/* What comes of a request is told when it is there, whatever else is being said. */
static bool tell(const struct request *r, int status)
{
    if (status != VM_OK) {
        printf("%s failed: %s\n", r->write ? "aio_write" : "readv", status_text(status));
        return false;
    }
    bool good = true;
    if (!r->write && r->has_pattern && !io_same(r->buf, r->count, r->pattern)) {
        printf("Pattern verification failed at offset %" PRIu64 ", %" PRIu64 " bytes\n", r->off,
               r->count);
        good = false;
    }
    if (r->quiet)
        return good;
    if (r->show && !r->write)
        io_dump(r->buf, r->count, r->off);
    io_report(r->write ? "wrote" : "read", &r->start, r->off, r->count, r->count, 1, r->csv);
    return good;
}

static void on_done(void *ud, int status)
{
    struct request *r = ud;
    pthread_mutex_lock(&lock);
    const bool good = tell(r, status);
    one_failed = one_failed || !good;
    in_air--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    free(r->buf);
    free(r);
}

void io_wait_all(void)
{
    pthread_mutex_lock(&lock);
    while (in_air != 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static int submit(struct request *r)
{
    const int op = !r->write ? VM_BLK_READ : r->zero ? VM_BLK_ZERO : VM_BLK_WRITE;
    const uint32_t flags = (r->fua ? VM_BLK_FUA : 0) | (r->unmap ? VM_BLK_MAY_UNMAP : 0);
    clock_gettime(CLOCK_MONOTONIC, &r->start);
    pthread_mutex_lock(&lock);
    in_air++;
    pthread_mutex_unlock(&lock);
    if (vm_blk_submit(io_blk, op, r->off, r->zero ? NULL : r->buf, (size_t)r->count, flags, on_done,
                      r) != VM_OK)
        on_done(r, vm_last_error()->code);
    return 0; /* how it went is known later */
}

/* ---- arguments -------------------------------------------------------------------------- */

/* -1: it is to go on. */
static int take(struct request *r, int argc, char **argv, const char *letters)
{
    int c;
    optind = 0;
    opterr = 1;
    while ((c = io_getopt(argc, argv, letters)) != -1) {
        switch (c) {
        case 'C':
            r->csv = true;
            break;
        case 'f':
            r->fua = true;
            break;
        case 'P':
            r->has_pattern = true;
            if (!io_pattern(optarg, &r->pattern))
                return 1;
            break;
        case 'i':
            printf("injecting invalid %s request\n", r->write ? "write" : "read");
            return 0;
        case 'q':
            r->quiet = true;
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
            return io_usage(r->write ? "aio_write" : "aio_read");
        }
    }
    return -1;
}

static int take_range(struct request *r, int argc, char **argv)
{
    if (!io_number(argv[optind++], &r->off))
        return 1;
    for (int i = optind; i < argc; i++) {
        uint64_t len;
        if (!io_length(argv[i], r->zero, &len))
            return 1;
        r->count += len;
    }
    r->buf = r->zero ? NULL : malloc((size_t)r->count + 1);
    if (!r->zero && r->buf == NULL) {
        printf("no memory for %" PRIu64 " bytes\n", r->count);
        return 1;
    }
    return 0;
}

static int refuse(const char *why)
{
    printf("%s\n", why);
    return 1;
}

static int prepare(struct request *r, int argc, char **argv)
{
    int st = take(r, argc, argv, r->write ? "CfiP:quz" : "CP:iqv");
    if (st >= 0)
        return st;
    if (optind > argc - 2)
        return io_usage(r->write ? "aio_write" : "aio_read");
    if (r->zero && optind != argc - 2)
        return refuse("-z supports only a single length parameter");
    if (r->unmap && !r->zero)
        return refuse("-u requires -z to be specified");
    if (r->zero && r->has_pattern)
        return refuse("-z and -P cannot be specified at the same time");
    if (take_range(r, argc, argv))
        return 1;
    if (r->buf != NULL)
        memset(r->buf, r->write ? (r->has_pattern ? r->pattern : 0xcd) : 0xab, (size_t)r->count);
    return -1;
}

static int start(bool write, int argc, char **argv)
{
    struct request *r = calloc(1, sizeof *r);
    if (r == NULL)
        return refuse("no memory");
    r->write = write;
    const int st = prepare(r, argc, argv);
    if (st < 0)
        return submit(r);
    free(r->buf);
    free(r);
    return st;
}

static int do_aio_read_line(int argc, char **argv)
{
    return start(false, argc, argv);
}

static int do_aio_write_line(int argc, char **argv)
{
    return start(true, argc, argv);
}

static int do_aio_flush_line(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    io_wait_all();
    return 0;
}

/* ---- breakpoints ------------------------------------------------------------------------ */

static int do_break_line(int argc, char **argv)
{
    (void)argc;
    const int st = vm_blk_breakpoint(io_blk, "break", argv[1], argv[2]);
    if (st != VM_OK)
        printf("Could not set breakpoint: %s\n", status_text(st));
    return st != VM_OK;
}

static int do_remove_break_line(int argc, char **argv)
{
    (void)argc;
    const int st = vm_blk_breakpoint(io_blk, "remove", NULL, argv[1]);
    if (st != VM_OK)
        printf("Could not remove breakpoint %s: %s\n", argv[1], status_text(st));
    return st != VM_OK;
}

static int do_resume_line(int argc, char **argv)
{
    (void)argc;
    const int st = vm_blk_breakpoint(io_blk, "resume", NULL, argv[1]);
    if (st != VM_OK)
        printf("Could not resume request: %s\n", status_text(st));
    return st != VM_OK;
}

static int do_wait_break_line(int argc, char **argv)
{
    (void)argc;
    return vm_blk_breakpoint(io_blk, "wait", NULL, argv[1]) != VM_OK;
}

/* clang-format off */
const struct io_command io_async_commands[] = {
    { "aio_read", NULL, do_aio_read_line, 2, -1, true, false, "[-Ciqv] [-P pattern] off len [len..]",
      "asynchronously reads a number of bytes", NULL },
    { "aio_write", NULL, do_aio_write_line, 2, -1, true, true, "[-Cfiquz] [-P pattern] off len [len..]",
      "asynchronously writes a number of bytes", NULL },
    { "aio_flush", NULL, do_aio_flush_line, 0, 0, true, false, NULL,
      "completes all outstanding aio requests", NULL },
    { "break", NULL, do_break_line, 2, 2, true, false, "event tag",
      "sets a breakpoint on event and tags the stopped request as tag", NULL },
    { "remove_break", NULL, do_remove_break_line, 1, 1, true, false, "tag",
      "remove a breakpoint by tag", NULL },
    { "resume", NULL, do_resume_line, 1, 1, true, false, "tag", "resumes the request tagged as tag", NULL },
    { "wait_break", NULL, do_wait_break_line, 1, 1, true, false, "tag",
      "waits for the suspension of a request", NULL },
    { 0 },
};
/* clang-format on */
