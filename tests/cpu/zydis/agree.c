/* SPDX-License-Identifier: MIT */
/**
 * @file agree.c
 * Decodes many instructions with our decoder and with Zydis, and groups what they differ in.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agree.h"

static const struct agree_mode modes[] = {
    { "64", 3, false, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
    { "32", 2, false, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32 },
    { "16", 1, false, ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16 },
    { "real", 1, true, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
};
enum { N_MODES = sizeof modes / sizeof *modes, MAX_GROUPS = 4096 };

/* Real code that is likely to be there; missing files are passed over. */
static const char *const code_files[] = {
    "/proc/self/exe",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libm.so.6",
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/bin/python3",
    "/usr/bin/busybox",
    "/usr/bin/qemu-img",
    "/usr/share/seabios/bios-256k.bin",
    NULL,
};

struct group {
    char text[120];
    const struct agree_mode *mode;
    uint64_t count;
    enum verdict verdict;
    uint8_t sample[AG_MAX];
};
static struct group groups[MAX_GROUPS];
static unsigned n_groups;
static uint64_t total[N_MODES], undefined_total;

static void note(const struct agree_mode *mode, enum verdict v, const char *text,
                 const uint8_t *bytes)
{
    for (unsigned k = 0; k < n_groups; k++)
        if (groups[k].mode == mode && strcmp(groups[k].text, text) == 0) {
            groups[k].count++;
            return;
        }
    if (n_groups == MAX_GROUPS)
        return;
    struct group *g = &groups[n_groups++];
    *g = (struct group) { .mode = mode, .verdict = v, .count = 1 };
    snprintf(g->text, sizeof g->text, "%s", text);
    memcpy(g->sample, bytes, AG_MAX);
}

static unsigned one(const struct agree_ctx *a, const uint8_t *bytes, unsigned avail, uint64_t rip)
{
    char text[120];
    unsigned len;
    enum verdict v = agree_match(a, bytes, avail, rip, text, sizeof text, &len);

    total[a->mode - modes]++;
    if (v == AG_DIFFERENT)
        note(a->mode, v, text, bytes);
    else if (v == AG_NOT_OURS)
        undefined_total++;
    return len;
}

static void random_bytes(struct rng *r, const struct agree_ctx *a, uint64_t count)
{
    uint8_t buf[4096 + AG_MAX];

    while (count > 0) {
        rng_fill(r, buf, sizeof buf);
        for (unsigned at = 0; at < 4096 && count > 0; count--)
            at += one(a, buf + at, AG_MAX, rng_64(r));
    }
}

static void structured(struct rng *r, const struct agree_ctx *a, uint64_t count)
{
    uint64_t limit = a->mode->code == 3 ? ~UINT64_C(0) : a->mode->code == 2 ? 0xffffffff : 0xffff;

    while (count-- > 0) {
        uint8_t b[AG_MAX];
        agree_structured(r, a->mode, b);
        unsigned avail = rng_once_in(r, 64) ? 1 + rng_below(r, AG_MAX - 1) : AG_MAX;
        one(a, b, avail, rng_64(r) & limit);
    }
}

/* Straight through every file, over and over with another start, until the count is reached. */
static void real_code(struct rng *r, const struct agree_ctx *a, uint64_t count,
                      const char *const *files)
{
    uint64_t left = count;

    for (unsigned pass = 0; left > 0 && pass < 16; pass++)
        for (unsigned f = 0; files[f] && left > 0; f++) {
            size_t len, at = pass ? rng_below(r, 4096) : 0;
            uint8_t *code = agree_code(files[f], &len);
            if (!code)
                continue;
            for (; at + AG_MAX < len && left > 0; left--)
                at += one(a, code + at, AG_MAX, 0x10000 + at);
            free(code);
        }
}

static int by_count(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static uint64_t report(void)
{
    uint64_t n = 0;

    qsort(groups, n_groups, sizeof *groups, by_count);
    for (unsigned k = 0; k < n_groups; k++) {
        printf("%-4s %9" PRIu64 "  %-72s ", groups[k].mode->name, groups[k].count, groups[k].text);
        for (unsigned b = 0; b < AG_MAX; b++)
            printf("%02x", groups[k].sample[b]);
        printf("\n");
        n += groups[k].count;
    }
    return n;
}

static const char usage[] =
    "usage: zydis_agree [--count N] [--seed S] [--mode 64|32|16|real] [--long] [FILE...]\n"
    "N instructions a mode: a third random bytes, a third shaped by table rows, a third real code\n"
    "(from FILEs, or from the host's own libraries).\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "count", 1, NULL, 'c' },
        { "seed", 1, NULL, 's' },
        { "mode", 1, NULL, 'm' },
        { "long", 0, NULL, 'l' },
        { 0 },
    };
    uint64_t count = 600000, seed = 1, sum = 0;
    const char *mode = NULL;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (o) {
        case 'c':
            count = strtoull(optarg, NULL, 0);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 'm':
            mode = optarg;
            break;
        case 'l':
            count = 20000000;
            break;
        default:
            fputs(usage, stderr);
            return 2;
        }
    const char *const *files = optind < argc ? (const char *const *)argv + optind : code_files;
    struct rng r;
    struct timespec t0, t1;

    rng_seed(&r, seed);
    agree_init();
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (unsigned k = 0; k < N_MODES; k++) {
        struct agree_ctx a;
        if (mode && strcmp(mode, modes[k].name) != 0)
            continue;
        agree_context(&a, &modes[k]);
        random_bytes(&r, &a, count / 3);
        structured(&r, &a, count / 3);
        real_code(&r, &a, count / 3, files);
        sum += total[k];
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    uint64_t bad = report();
    printf("zydis: seed %" PRIu64 ", %" PRIu64 " instructions in %.1f s, %" PRIu64
           " that the table has no rows for, %" PRIu64 " differ in %u ways\n",
           seed, sum, (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9,
           undefined_total, bad, n_groups);
    return bad == 0 && sum > 0 ? 0 : 1;
}
