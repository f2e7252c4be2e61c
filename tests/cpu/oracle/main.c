/* SPDX-License-Identifier: MIT */
/**
 * @file main.c
 * The native oracle: every row that can run in a user program, on the host and on an engine.
 *
 * The work is done in a forked child, so that an engine that crashes is a difference like any
 * other: the parent reports it and a new child goes on behind it.
 */
#include <cpuid.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libvm/error.h>

#include "oracle.h"

struct tally {
    uint32_t run, differ, crashed, faulted, unencoded;
    uint32_t bits; /* of all differences */
};

static struct {
    uint64_t seed, count, number;
    const char *row, *engine;
    bool modes[ORC_MODES];
    bool list, one, quiet, native_only;
    unsigned reports; /* full reports a row */
    struct orc_options gen;
} opt = { .seed = 1, .count = 200, .engine = "interp", .modes = { true, true }, .reports = 1 };

/* Shared by parent and child. */
struct shared {
    struct orc_case current;
    uint32_t job; /* row * ORC_MODES + mode */
    uint64_t number;
    struct tally tally[];
};
static struct shared *S;

static uint32_t cpuid_reg(const struct x86_feature_desc *f)
{
    uint32_t r[4] = { 0 };

    if (__get_cpuid_max(f->leaf & 0x80000000u, NULL) < f->leaf)
        return 0;
    __cpuid_count(f->leaf, f->subleaf, r[0], r[1], r[2], r[3]);
    return r[f->reg];
}

void orc_host_features(uint64_t have[X86_FEAT_WORDS])
{
    memset(have, 0, sizeof(uint64_t) * X86_FEAT_WORDS);
    for (unsigned k = 1; k < X86_FEAT_COUNT; k++)
        if (cpuid_reg(&vm__x86_features[k]) >> vm__x86_features[k].bit & 1)
            have[k / 64] |= UINT64_C(1) << (k % 64);
}

static bool selected(const struct x86_row *row)
{
    char full[128];

    if (!opt.row)
        return true;
    snprintf(full, sizeof full, "%s %s", row->name, row->form);
    return fnmatch(opt.row, row->name, 0) == 0 || fnmatch(opt.row, full, 0) == 0;
}

/* ---- the child ---- */

static uint8_t *native_mem, *guest_mem, pristine[ORC_DATA_SIZE];

static void prepare_memory(uint8_t *mem, const struct orc_case *c)
{
    memcpy(mem, pristine, ORC_DATA_SIZE);
    for (unsigned k = 0; k < c->n_patches; k++)
        memcpy(mem + c->patch[k].off, c->patch[k].bytes, c->patch[k].len);
}

/* An instance that never ends, on either side, is interrupted within two seconds. */
static void start_watch(void)
{
    const struct itimerval t = { { 2, 0 }, { 2, 0 } };
    setitimer(ITIMER_REAL, &t, NULL);
}

static void run_one(struct tally *t, uint16_t row, enum orc_mode mode, uint64_t number)
{
    struct orc_case *c = &S->current;
    struct orc_result native, guest;

    if (!orc_generate(&opt.gen, row, mode, opt.seed, number, c)) {
        t->unencoded++;
        return;
    }
    if (number % 64 == 0)
        start_watch();
    memset(&native, 0, sizeof native);
    memset(&guest, 0, sizeof guest);
    prepare_memory(native_mem, c);
    orc_native_run(c, &native);
    t->run++;
    t->faulted += native.vector != X86_XBP;
    if (opt.native_only) {
        if (opt.one)
            orc_report(c, &native, &native, native_mem, native_mem, 0);
        return;
    }
    prepare_memory(guest_mem, c);
    orc_guest_run(c, &guest);
    uint32_t diff = orc_compare(c, &native, &guest, native_mem, guest_mem);
    if (diff) {
        if ((t->differ < opt.reports || (t->bits | diff) != t->bits) && !opt.quiet)
            orc_report(c, &native, &guest, native_mem, guest_mem, diff);
        t->differ++;
        t->bits |= diff;
    } else if (opt.one) {
        orc_report(c, &native, &guest, native_mem, guest_mem, 0);
    }
}

static int child(void)
{
    struct rng r;

    native_mem = orc_native_init();
    opt.gen.fsgs = orc_native_has_fsgs();
    if (!native_mem) {
        fprintf(stderr, "oracle: cannot set up the native side: %s\n", strerror(errno));
        return 2;
    }
    guest_mem = opt.native_only ? NULL : orc_guest_init(opt.engine);
    if (!guest_mem && !opt.native_only) {
        fprintf(stderr, "oracle: cannot set up engine %s: %s\n", opt.engine,
                vm_last_error()->message);
        return 2;
    }
    rng_seed(&r, opt.seed);
    rng_fill(&r, pristine, sizeof pristine);
    for (; S->job < vm__x86_row_count * (uint32_t)ORC_MODES; S->job++, S->number = opt.number) {
        uint16_t row = (uint16_t)(S->job / ORC_MODES);
        enum orc_mode mode = (enum orc_mode)(S->job % ORC_MODES);
        if (!opt.modes[mode] || !selected(&vm__x86_rows[row]) ||
            orc_untestable(&vm__x86_rows[row], mode))
            continue;
        for (; S->number < opt.number + opt.count; S->number++)
            run_one(&S->tally[S->job], row, mode, S->number);
        fflush(stdout);
    }
    return 0;
}

/* ---- the parent ---- */

static void crashed(int status)
{
    struct tally *t = &S->tally[S->job];

    t->crashed++;
    t->run++;
    if (t->crashed <= opt.reports && !opt.quiet) {
        printf("CRASH (%s) of the engine in ", strsignal(WTERMSIG(status)));
        orc_print_case(&S->current);
    }
    S->number++;
}

static int run_children(void)
{
    S->number = opt.number;
    for (unsigned deaths = 0; deaths < 2000; deaths++) {
        int status;
        fflush(stdout);
        pid_t pid = fork();
        if (pid < 0)
            return 2;
        if (pid == 0) {
            int st = child();
            fflush(stdout);
            _exit(st);
        }
        if (waitpid(pid, &status, 0) != pid)
            return 2;
        if (WIFEXITED(status))
            return WEXITSTATUS(status);
        crashed(status);
    }
    printf("too many crashes, stopped early\n");
    return 1;
}

static void list_rows(void)
{
    for (uint16_t k = 0; k < vm__x86_row_count; k++) {
        const struct x86_row *row = &vm__x86_rows[k];
        if (!selected(row))
            continue;
        const char *a = orc_untestable(row, ORC_64), *b = orc_untestable(row, ORC_32);
        printf("%-16s %-24s 64-bit: %-32s 32-bit: %s\n", row->name, row->form, a ? a : "tested",
               b ? b : "tested");
    }
}

static bool summary(double seconds)
{
    uint64_t run = 0, faulted = 0, differ = 0;
    unsigned rows = 0, tested = 0, bad = 0, skipped[ORC_MODES] = { 0 }, host = 0, unencoded = 0;
    char text[128];

    for (uint16_t k = 0; k < vm__x86_row_count; k++) {
        const struct x86_row *row = &vm__x86_rows[k];
        bool any = false;
        if (!selected(row))
            continue;
        rows++;
        for (int m = 0; m < ORC_MODES; m++) {
            const struct tally *t = &S->tally[k * ORC_MODES + m];
            const char *why = orc_untestable(row, (enum orc_mode)m);
            run += t->run;
            faulted += t->faulted;
            differ += t->differ + t->crashed;
            any |= t->run > 0;
            skipped[m] += why != NULL;
            host += why && strstr(why, "host");
            if (t->differ || t->crashed) {
                bad++;
                printf("%s %s (%s): %u of %u differ, %u crash: %s\n", row->name, row->form,
                       m == ORC_64 ? "64-bit" : "32-bit", t->differ, t->run, t->crashed,
                       orc_diff_names(t->bits, text, sizeof text));
            }
            if (t->unencoded) {
                unencoded++;
                printf("%s %s (%s): no encoding found for %u instances\n", row->name, row->form,
                       m == ORC_64 ? "64-bit" : "32-bit", t->unencoded);
            }
        }
        tested += any;
    }
    printf("oracle: seed %" PRIu64
           ", %u rows, %u tested, skipped %u in 64-bit and %u in 32-bit mode "
           "(%u for want of a host feature; --list says why)\n",
           opt.seed, rows, tested, skipped[ORC_64], skipped[ORC_32], host);
    printf("oracle: %" PRIu64 " instances in %.1f s, %" PRIu64 " ended in another exception; "
           "%" PRIu64 " differ, in %u rows and modes\n",
           run, seconds, faulted, differ, bad);
    return bad == 0 && unencoded == 0 && run > 0;
}

static const char usage[] =
    "usage: oracle [--count N] [--seed S] [--row PATTERN] [--mode 32|64] [--long] [--engine NAME]\n"
    "              [--number N] [--reports N] [--unmasked] [--ac] [--quiet] [--native] [--list]\n"
    "PATTERN is a shell pattern for a mnemonic, or for mnemonic and encoding (\"add *\").\n"
    "--number N runs one instance and prints it.\n";

static int parse(int argc, char **argv)
{
    static const struct option options[] = {
        { "count", 1, NULL, 'c' },    { "seed", 1, NULL, 's' },
        { "row", 1, NULL, 'r' },      { "mode", 1, NULL, 'm' },
        { "long", 0, NULL, 'l' },     { "engine", 1, NULL, 'e' },
        { "number", 1, NULL, 'n' },   { "reports", 1, NULL, 'p' },
        { "unmasked", 0, NULL, 'u' }, { "ac", 0, NULL, 'a' },
        { "quiet", 0, NULL, 'q' },    { "native", 0, NULL, 'N' },
        { "list", 0, NULL, 'L' },     { 0 },
    };
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (o) {
        case 'c':
            opt.count = strtoull(optarg, NULL, 0);
            break;
        case 's':
            opt.seed = strtoull(optarg, NULL, 0);
            break;
        case 'r':
            opt.row = optarg;
            break;
        case 'm':
            opt.modes[ORC_64] = strcmp(optarg, "64") == 0;
            opt.modes[ORC_32] = strcmp(optarg, "32") == 0;
            break;
        case 'l':
            opt.count = 20000;
            opt.gen.unmasked = opt.gen.ac = true;
            break;
        case 'e':
            opt.engine = optarg;
            break;
        case 'n':
            opt.number = strtoull(optarg, NULL, 0);
            opt.count = 1;
            opt.one = true;
            break;
        case 'p':
            opt.reports = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'u':
            opt.gen.unmasked = true;
            break;
        case 'a':
            opt.gen.ac = true;
            break;
        case 'q':
            opt.quiet = true;
            break;
        case 'N':
            opt.native_only = true;
            break;
        case 'L':
            opt.list = true;
            break;
        default:
            return -1;
        }
    return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct timespec a, b;

    if (parse(argc, argv) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    orc_host_features(orc_have);
    if (opt.list) {
        list_rows();
        return 0;
    }
    size_t size = sizeof *S + vm__x86_row_count * (size_t)ORC_MODES * sizeof S->tally[0];
    S = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (S == MAP_FAILED)
        return 2;
    struct rlimit no_core = { 0, 0 };
    setrlimit(RLIMIT_CORE, &no_core);
    clock_gettime(CLOCK_MONOTONIC, &a);
    int st = run_children();
    clock_gettime(CLOCK_MONOTONIC, &b);
    if (st == 2)
        return 2;
    bool good = summary((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
    return good && st == 0 ? 0 : 1;
}
