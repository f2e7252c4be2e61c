/* SPDX-License-Identifier: MIT */
/**
 * @file bench.c
 * `bench`: many requests, some at a time, and how long they take.
 */
#include "vmimg.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench {
    struct source source;
    uint64_t count, depth, size, step, offset, flush_every;
    int pattern;
    bool write, quiet, no_drain;

    vm_blk *blk;
    char *buffer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t next, done, in_flight, since_flush;
    int status;
};

static void on_done(void *ud, int status)
{
    struct bench *b = ud;
    pthread_mutex_lock(&b->lock);
    b->in_flight--;
    b->done++;
    if (status != VM_OK && b->status == VM_OK)
        b->status = status;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static void wait_until(struct bench *b, uint64_t at_most)
{
    pthread_mutex_lock(&b->lock);
    while (b->in_flight > at_most)
        pthread_cond_wait(&b->changed, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static int submit(struct bench *b, int op, uint64_t off, size_t len, uint64_t slot)
{
    pthread_mutex_lock(&b->lock);
    b->in_flight++;
    pthread_mutex_unlock(&b->lock);
    const int st = vm_blk_submit(b->blk, op, off, b->buffer + slot * b->size, len, 0, on_done, b);
    if (st != VM_OK) {
        pthread_mutex_lock(&b->lock);
        b->in_flight--;
        pthread_mutex_unlock(&b->lock);
    }
    return st;
}

static int flush(struct bench *b)
{
    if (!b->no_drain)
        wait_until(b, 0);
    b->since_flush = 0;
    return submit(b, VM_BLK_FLUSH, 0, 0, 0);
}

static int run(struct bench *b)
{
    const uint64_t end = (uint64_t)vm_blk_size(b->blk);
    uint64_t off = b->offset;
    int st = VM_OK;
    for (b->next = 0; st == VM_OK && b->status == VM_OK && b->next < b->count; b->next++) {
        wait_until(b, b->depth - 1);
        if (off + b->size > end)
            off = b->offset % (end - b->size + 1);
        st = submit(b, b->write ? VM_BLK_WRITE : VM_BLK_READ, off, b->size, b->next % b->depth);
        off += b->step;
        if (st == VM_OK && b->flush_every != 0 && ++b->since_flush == b->flush_every)
            st = flush(b);
    }
    wait_until(b, 0);
    return st != VM_OK ? st : b->status;
}

static int bench(struct bench *b)
{
    struct timespec from, to;
    if ((uint64_t)vm_blk_size(b->blk) < b->size)
        return say("the image is smaller than one request");
    b->buffer = malloc(b->depth * b->size);
    if (b->buffer == NULL)
        return say("no memory for %" PRIu64 " requests", b->depth);
    memset(b->buffer, b->pattern, b->depth * b->size);
    if (!b->quiet) {
        printf("Sending %" PRIu64 " %s requests, %" PRIu64 " bytes each, %" PRIu64
               " in parallel (starting at offset %" PRIu64 ", step size %" PRIu64 ")\n",
               b->count, b->write ? "write" : "read", b->size, b->depth, b->offset, b->step);
        if (b->flush_every != 0)
            printf("Sending flush every %" PRIu64 " %srequests\n", b->flush_every,
                   b->no_drain ? "" : "");
        fflush(stdout);
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    const int st = run(b);
    clock_gettime(CLOCK_MONOTONIC, &to);
    free(b->buffer);
    if (st != VM_OK)
        return say("Failed request: %s", status_text(st));
    if (!b->quiet)
        printf("Run completed in %3.3f seconds.\n",
               (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    return 0;
}

static bool number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *v)
{
    char *end;
    *v = strtoull(text, &end, 0);
    if (*end == '\0' && end != text && *v >= min && *v <= max)
        return true;
    say("Invalid %s specified", what);
    return false;
}

static int check(struct bench *b)
{
    uint32_t cache;
    if (!b->write && b->flush_every != 0)
        return say("--flush-interval is only available in write tests");
    if (b->flush_every != 0 && b->flush_every < b->depth)
        return say("Flush interval can't be smaller than depth");
    if (b->source.cache != NULL && !cache_flags(b->source.cache, &cache))
        return say("Invalid cache mode");
    if (b->step == 0)
        b->step = b->size;
    if (!b->write)
        b->source.flags |= VM_BLK_RO;
    return 0;
}

int cmd_bench(int argc, char **argv)
{
    enum { OPT_PATTERN = OPT_OWN, OPT_FLUSH, OPT_NO_DRAIN };
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "cache", required_argument, NULL, 't' },
        { "count", required_argument, NULL, 'c' },
        { "depth", required_argument, NULL, 'd' },
        { "offset", required_argument, NULL, 'o' },
        { "buffer-size", required_argument, NULL, 's' },
        { "step-size", required_argument, NULL, 'S' },
        { "write", no_argument, NULL, 'w' },
        { "pattern", required_argument, NULL, OPT_PATTERN },
        { "flush-interval", required_argument, NULL, OPT_FLUSH },
        { "no-drain", no_argument, NULL, OPT_NO_DRAIN },
        { "aio", required_argument, NULL, 'i' },
        { "native", no_argument, NULL, 'n' },
        { "force-share", no_argument, NULL, 'U' },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct bench b = { .count = 75000, .depth = 64, .size = 4096 };
    struct args a;
    uint64_t v;
    int c;
    bool good = true;
    args_begin(&a, argc, argv, ":hc:d:f:ni:o:qs:S:t:wU", names);
    while (good && (c = next_option(&a)) != -1) {
        if (c == 'f')
            b.source.format = optarg;
        else if (c == 't')
            b.source.cache = optarg;
        else if (c == 'c')
            good = number(optarg, "request count", 0, INT32_MAX, &b.count);
        else if (c == 'd')
            good = number(optarg, "queue depth", 1, 65536, &b.depth);
        else if (c == 'o')
            good = sized("offset", optarg, &b.offset);
        else if (c == 's')
            good = sized("buffer size", optarg, &b.size) && b.size >= 1 && b.size <= (64u << 20);
        else if (c == 'S')
            good = sized("step size", optarg, &b.step);
        else if (c == OPT_FLUSH)
            good = number(optarg, "flush interval", 0, INT32_MAX, &b.flush_every);
        else if (c == OPT_PATTERN && (good = number(optarg, "pattern byte", 0, 255, &v)))
            b.pattern = (int)v;
        else if (c == OPT_NO_DRAIN)
            b.no_drain = true;
        else if (c == 'w')
            b.write = true;
        else if (c == 'q')
            b.quiet = true;
        else if (c == 'U')
            b.source.force_share = true;
    }
    if (!good || a.failed >= 0)
        return good ? a.failed : 1;
    if (rest_count(&a) != 1)
        return usage("Expecting one image file name");
    b.source.name = argv[optind];
    b.source.image_opts = a.image_opts;
    if (check(&b) || (b.blk = open_source(&b.source)) == NULL)
        return 1;
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.changed, NULL);
    const int failed = bench(&b);
    vm_blk_close(b.blk);
    return failed;
}
