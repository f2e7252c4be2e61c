/* SPDX-License-Identifier: MIT */
/**
 * @file powercut.c
 * Power cuts: a random workload on an image, and every state that a cut may have left its file in.
 *
 * In each of them the image opens; it is clean, or is after a repair; a sector holds what was
 * flushed last or something written to it later; and writing on does no harm to what is there.
 *
 *     powercut [FORMAT [STATES [SEED]]]     a plain program, so that it can run for hours
 */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "block/image.h"
#include "write_replay.h"

enum {
    SECTOR = 512,
    SIZE = 3 << 20,
    SECTORS = SIZE / SECTOR,
    MAX_OPS = 400,
    BASE = MAX_OPS + 1, /* what the base image holds */
    MAX_WINDOW = 4096,
};

struct variant {
    const char *format, *options;
    bool over; /* stands on a base image */
    bool snapshots;
    bool repairs; /* may need a repair after a cut; but for snapshots, its header says so */
    unsigned threads;
};

static const struct variant variants[] = {
    { "qcow2", "", false, false, false, 1 },
    { "qcow2", "cluster_size=4096,refcount_bits=1", false, false, false, 1 },
    { "qcow2", "cluster_size=1024", true, false, false, 2 },
    { "qcow2", "compat=0.10", true, true, true, 1 },
    { "qcow2", "cluster_size=8192", false, true, true, 1 },
    { "qcow2", "lazy_refcounts=on", true, false, true, 1 },
    { "qcow2", "extended_l2=on,cluster_size=16384", true, false, false, 2 },
    { "qcow2", "extended_l2=on,cluster_size=65536", false, true, true, 1 },
    { "qed", "", false, false, true, 2 },
    { "qed", "cluster_size=4096,table_size=1", true, false, true, 1 },
    { "vhdx", "block_size=1048576", false, false, false, 1 },
    { "vhdx", "block_size=1048576", true, false, false, 2 },
    { "vdi", "", false, false, false, 2 },
    { "vdi", "", true, false, false, 1 },
    { "vmdk", "", false, false, false, 2 },
    { "vmdk", "", true, false, false, 1 },
    { "vpc", "force_size=on", false, false, false, 1 },
    { "vpc", "force_size=on", true, false, false, 2 },
    { "parallels", "cluster_size=65536", false, false, true, 1 },
    { "qcow", "", false, false, false, 1 },
    { "qcow", "", true, false, false, 2 },
    { "cow", "", false, false, false, 2 },
    { "cow", "", true, false, false, 1 },
};

/** What an image of this format stands on: some know their parent's format by being it. */
static const char *base_format(const struct variant *v)
{
    bool any = v->format[0] == 'q' || strcmp(v->format, "cow") == 0;
    return any ? "raw" : v->format;
}

/* ---- the workload ----------------------------------------------------------------------- */

enum kind { WRITE, ZERO, DISCARD, FLUSH, SNAPSHOT };

/** Times are a counter that every begin and end advances; places are the log's length then. */
struct op {
    enum kind kind;
    uint32_t sector, count;
    uint64_t begin, end;
    uint64_t log_begin, log_end;
};

struct work {
    const struct variant *v;
    struct vm_blk *image, *log;
    struct op ops[MAX_OPS + 1]; /* by number, from 1 */
    _Atomic uint32_t n;
    _Atomic uint64_t clock;
    uint64_t seed;
    unsigned thread;
};

/** The bytes of a sector that operation @p id wrote; 0: zeros. */
static void fill_sector(uint8_t *p, uint32_t sector, uint32_t id)
{
    uint64_t x = (uint64_t)id << 32 | sector;
    if (id == 0) {
        memset(p, 0, SECTOR);
        return;
    }
    for (unsigned i = 0; i < SECTOR / 8; i++) {
        memcpy(p + i * 8, &x, 8);
        if (i == 0)
            x = x * 0x9e3779b97f4a7c15u | 1;
        else
            replay_random(&x);
    }
}

static void say(const char *what, const struct variant *v)
{
    fprintf(stderr, "%s %s%s: %s\n", v->format, v->options, v->over ? " over a base" : "", what);
}

static void carry_out(struct work *w, uint32_t id)
{
    static _Thread_local uint8_t buf[256 * SECTOR];
    const struct op *op = &w->ops[id];
    uint64_t off = (uint64_t)op->sector * SECTOR, len = (uint64_t)op->count * SECTOR;
    int st = VM_OK;
    if (op->kind == WRITE) {
        for (uint32_t i = 0; i < op->count; i++)
            fill_sector(buf + (size_t)i * SECTOR, op->sector + i, id);
        st = vm__blk_write(w->image, off, buf, len);
    } else if (op->kind == ZERO) {
        st = vm__blk_zero(w->image, off, len, id & 1 ? VM_IO_UNMAP : 0);
    } else if (op->kind == DISCARD) {
        st = vm__blk_discard(w->image, off, len, 0);
    } else if (op->kind == FLUSH) {
        st = vm__blk_flush(w->image, 0);
    } else {
        struct vm_blk_snapshot s = { .date_s = 1 };
        snprintf(s.name, sizeof s.name, "s%u", id / 40);
        vm__blk_drain_begin(w->image);
        st = id % 40 < 20 ? w->image->drv->snapshot_create(w->image, &s)
                          : w->image->drv->snapshot_delete(w->image, s.name);
        vm__blk_drain_end(w->image);
        st = id % 40 < 20 ? st : VM_OK; /* there may be none of that name */
    }
    if (st != VM_OK)
        say(vm_last_error()->message, w->v);
    assert(st == VM_OK);
}

/* Each thread has every n-th 16 KiB: they share blocks and never sectors. */
static void choose(const struct work *w, struct op *op, uint64_t *seed, uint32_t id)
{
    enum { OWN = 32 };
    uint64_t kind = replay_random(seed) >> 11 & 31;
    op->kind = kind < 24 ? WRITE : kind < 26 ? ZERO : kind < 27 ? DISCARD : FLUSH;
    if (w->v->snapshots && id % 20 == 19)
        op->kind = SNAPSHOT;
    if (op->kind == FLUSH || op->kind == SNAPSHOT)
        return;
    op->sector = (uint32_t)((replay_random(seed) >> 9) % SECTORS);
    op->count = (uint32_t)((replay_random(seed) >> 9) % (kind & 1 ? 8 : 200)) + 1;
    if (kind & 2)
        op->sector &= ~7u;
    if (w->v->threads > 1) {
        uint32_t region = op->sector / OWN / w->v->threads * w->v->threads + w->thread;
        region = region < SECTORS / OWN ? region : w->thread;
        op->sector = region * OWN + op->sector % OWN;
        if (op->count > OWN - op->sector % OWN)
            op->count = OWN - op->sector % OWN;
    }
    if (op->count > SECTORS - op->sector)
        op->count = SECTORS - op->sector;
}

static void one_op(struct work *w, struct work *all, uint64_t *seed, uint32_t id)
{
    struct op *op = &all->ops[id];
    choose(w, op, seed, id);
    op->log_begin = vm__blk_size(all->log);
    op->begin = atomic_fetch_add(&all->clock, 1) + 1;
    vm__blk_io_begin(all->image);
    bool alone = op->kind == SNAPSHOT; /* drains, which waits for everybody's I/O but its own */
    if (alone)
        vm__blk_io_end(all->image);
    carry_out(all, id);
    if (!alone)
        vm__blk_io_end(all->image);
    op->end = atomic_fetch_add(&all->clock, 1) + 1;
    op->log_end = vm__blk_size(all->log);
}

struct worker {
    struct work own;
    struct work *all;
    uint32_t ops;
};

static void *worker_main(void *arg)
{
    struct worker *t = arg;
    uint64_t seed = t->own.seed;
    for (uint32_t i = 0; i < t->ops; i++)
        one_op(&t->own, t->all, &seed, atomic_fetch_add(&t->all->n, 1) + 1);
    return NULL;
}

static void run_workload(struct work *w, uint32_t ops)
{
    static struct worker workers[4];
    pthread_t threads[4];
    for (unsigned i = 0; i < w->v->threads; i++) {
        workers[i] = (struct worker) { .all = w, .ops = ops / w->v->threads };
        workers[i].own.v = w->v;
        workers[i].own.thread = i;
        workers[i].own.seed = w->seed * 77 + i + 1;
        assert(pthread_create(&threads[i], NULL, worker_main, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < w->v->threads; i++)
        assert(pthread_join(threads[i], NULL) == 0);
}

/* ---- what a sector may hold ------------------------------------------------------------- */

struct verdict {
    const struct work *w;
    uint64_t cut;     /* the log's length */
    uint64_t flushed; /* what ended before this time is safe */
};

static uint32_t id_of(const uint8_t *p, uint32_t sector)
{
    uint8_t expected[SECTOR];
    uint64_t x;
    memcpy(&x, p, 8);
    uint32_t id = (uint32_t)(x >> 32);
    fill_sector(expected, sector, id);
    return memcmp(p, expected, SECTOR) == 0 ? id : UINT32_MAX;
}

static bool covers(const struct op *op, uint32_t sector)
{
    return op->kind != FLUSH && op->kind != SNAPSHOT && sector >= op->sector &&
           sector < op->sector + op->count;
}

/** Sector @p sector may hold what @p id wrote (0: zeros, BASE: what was there first). */
static bool allowed(const struct verdict *t, uint32_t sector, uint32_t id)
{
    uint64_t settled = 0; /* a safe write began then: what ended before is gone */
    bool any = false;
    uint32_t n = atomic_load(&t->w->n);
    for (uint32_t i = 1; i <= n; i++) {
        const struct op *op = &t->w->ops[i];
        if (covers(op, sector) && op->kind != DISCARD && op->end < t->flushed &&
            op->begin > settled)
            settled = op->begin;
    }
    if (id == (t->w->v->over ? BASE : 0))
        any = settled == 0;
    for (uint32_t i = 1; i <= n && !any; i++) {
        const struct op *op = &t->w->ops[i];
        if (!covers(op, sector) || op->end < settled || op->log_begin >= t->cut)
            continue;
        any = op->kind == DISCARD || (op->kind == ZERO ? 0 : i) == id;
    }
    return any;
}

static struct verdict verdict_at(const struct work *w, uint64_t cut)
{
    struct verdict t = { .w = w, .cut = cut };
    for (uint32_t i = 1; i <= atomic_load(&w->n); i++)
        if (w->ops[i].kind == FLUSH && w->ops[i].log_end <= cut && w->ops[i].begin > t.flushed)
            t.flushed = w->ops[i].begin;
    return t;
}

/* ---- one state -------------------------------------------------------------------------- */

struct state {
    struct blk_place *p;
    const struct variant *v;
    struct verdict t;
    uint8_t *bytes;
    char why[256];
};

static bool complain(struct state *s, const char *when, const char *what)
{
    snprintf(s->why, sizeof s->why, "%s: %s", when, what);
    return false;
}

static struct vm_blk *open_image(struct blk_place *p, const struct variant *v, const char *file,
                                 uint32_t flags)
{
    char options[256];
    snprintf(options, sizeof options, "driver=%s,%s%s%s%s", v->format, file,
             v->over ? ",backing.driver=" : "", v->over ? base_format(v) : "",
             v->over ? ",backing.file=base" : "");
    return blk_open(p, NULL, NULL, options, flags | VM_OPEN_UNMAP);
}

static bool data_is_right(struct state *s, struct vm_blk *n, const char *when)
{
    char what[128];
    if (vm__blk_read(n, 0, s->bytes, SIZE) != VM_OK)
        return complain(s, when, vm_last_error()->message);
    for (uint32_t i = 0; i < SECTORS; i++) {
        uint32_t id = id_of(s->bytes + (size_t)i * SECTOR, i);
        if (allowed(&s->t, i, id))
            continue;
        snprintf(what, sizeof what, "sector %u holds what %u wrote (flushed before time %llu)", i,
                 id, (unsigned long long)s->t.flushed);
        return complain(s, when, what);
    }
    return true;
}

static void note_problem(void *ud, const char *line)
{
    struct state *s = ud;
    if (s->why[0] == '\0')
        snprintf(s->why, sizeof s->why, "%.200s", line);
}

/** Clean, or clean after a repair. */
static bool is_clean(struct state *s, struct vm_blk *n)
{
    struct vm_blk_check first = { .problem = note_problem, .ud = s }, c = { 0 }, last = { 0 };
    char what[240];
    if (n->drv->check == NULL)
        return true;
    s->why[0] = '\0';
    if (vm__blk_check(n, &first, 0) != VM_OK)
        return complain(s, "check", vm_last_error()->message);
    if (first.corruptions != 0 && !s->v->repairs) {
        snprintf(what, sizeof what, "%llu corruptions: %.180s",
                 (unsigned long long)first.corruptions, s->why);
        return complain(s, "check", what);
    }
    if (vm__blk_check(n, &c, VM_FIX_LEAKS | VM_FIX_ERRORS) != VM_OK ||
        vm__blk_check(n, &last, 0) != VM_OK)
        return complain(s, "repair", vm_last_error()->message);
    bool can_leak = strcmp(s->v->format, "qed") == 0; /* it keeps no list of what is free */
    if (last.corruptions != 0 || (last.leaks != 0 && !can_leak) || last.check_errors != 0)
        return complain(s, "repair", "it is not clean afterwards");
    return true;
}

/** Open for writing; formats that refuse until they were repaired are repaired. */
static struct vm_blk *open_to_write(struct state *s)
{
    struct vm_blk_check c = { 0 };
    struct vm_blk *n = open_image(s->p, s->v, "file=disk", 0);
    if (n != NULL || !s->v->repairs)
        return n;
    n = open_image(s->p, s->v, "file=disk", VM_OPEN_CHECK);
    if (n == NULL || vm__blk_check(n, &c, VM_FIX_LEAKS | VM_FIX_ERRORS) != VM_OK)
        say(vm_last_error()->message, s->v);
    vm__blk_unref(n);
    return open_image(s->p, s->v, "file=disk", 0);
}

/** New writes go to free places: all that was there stays. */
static bool writing_does_no_harm(struct state *s, struct vm_blk *n, uint64_t seed)
{
    static uint8_t now[SIZE], buf[4096];
    memset(buf, 0xee, sizeof buf);
    for (unsigned i = 0; i < 12; i++) {
        uint64_t off = (replay_random(&seed) >> 9) % (SIZE / sizeof buf) * sizeof buf;
        if (vm__blk_write(n, off, buf, sizeof buf) != VM_OK)
            return complain(s, "writing on", vm_last_error()->message);
        memcpy(s->bytes + off, buf, sizeof buf);
    }
    if (vm__blk_flush(n, 0) != VM_OK || vm__blk_read(n, 0, now, SIZE) != VM_OK)
        return complain(s, "writing on", vm_last_error()->message);
    return memcmp(now, s->bytes, SIZE) == 0 || complain(s, "writing on", "other bytes changed");
}

static bool state_is_right(struct state *s, uint64_t seed)
{
    struct vm_blk *n = open_image(s->p, s->v, "file=disk", VM_OPEN_RO);
    bool ok = n != NULL || complain(s, "opening read-only", vm_last_error()->message);
    ok = ok && data_is_right(s, n, "read-only");
    vm__blk_unref(n);
    if (!ok)
        return false;
    n = open_to_write(s);
    ok = n != NULL || complain(s, "opening", vm_last_error()->message);
    ok = ok && (seed & 2 || is_clean(s, n)); /* a machine goes on without a check */
    ok = ok && data_is_right(s, n, "opened for writing");
    ok = ok && writing_does_no_harm(s, n, seed);
    ok = ok && is_clean(s, n);
    vm__blk_unref(n);
    return ok;
}

/* ---- a run ------------------------------------------------------------------------------ */

static struct vm_blk *in_memory(struct blk_place *p, const char *file, const char *name)
{
    struct vm_blk *n = blk_open(p, blk_path(p, file), "raw", NULL, VM_OPEN_RO);
    assert(n != NULL);
    uint64_t size = vm__blk_size(n);
    uint8_t *bytes = malloc(size + 1);
    struct vm_blk *m = blk_memory(p, size, name);
    assert(bytes != NULL && m != NULL && vm__blk_read(n, 0, bytes, size) == VM_OK);
    assert(vm__blk_write(m, 0, bytes, size) == VM_OK);
    free(bytes);
    vm__blk_unref(n);
    return m;
}

static struct vm_blk *make_base(struct blk_place *p, const struct variant *v)
{
    static uint8_t bytes[SIZE];
    const char *format = base_format(v);
    for (uint32_t i = 0; i < SECTORS; i++)
        fill_sector(bytes + (size_t)i * SECTOR, i, BASE);
    assert(blk_create(p, blk_path(p, "base"), format, SIZE,
                      strcmp(format, "vpc") == 0 ? "force_size=on" : NULL) == VM_OK);
    struct vm_blk *n = blk_open(p, blk_path(p, "base"), format, NULL, 0);
    assert(n != NULL && vm__blk_write(n, 0, bytes, SIZE) == VM_OK);
    vm__blk_unref(n);
    return in_memory(p, "base", "base");
}

static void make_image(struct blk_place *p, const struct variant *v)
{
    char options[256];
    snprintf(options, sizeof options, "%s%s%s%s", v->options,
             v->over && v->options[0] != '\0' ? "," : "",
             v->over ? "backing_file=base,backing_fmt=" : "", v->over ? base_format(v) : "");
    int st = blk_create(p, blk_path(p, "image"), v->format, SIZE, options);
    if (st != VM_OK)
        say(vm_last_error()->message, v);
    assert(st == VM_OK);
}

/** Which records of the window a state keeps. */
static void choose_records(uint8_t *keep, size_t n, unsigned way, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        keep[i] = way == 0   ? 1
                  : n <= 3   ? way >> i & 1
                  : way == 1 ? i == n - 1 /* the last alone */
                  : way == 2 ? i != 0     /* all but the first */
                             : replay_random(seed) >> 13 & 1;
}

struct tally {
    uint64_t states, wrong;
};

/** All states of a cut that there is time for. */
static void try_cut(struct state *s, struct replay *r, size_t cut, uint64_t *seed, struct tally *n)
{
    static uint8_t keep[MAX_WINDOW];
    size_t first, window = replay_window(r, cut, &first);
    unsigned ways = window == 0 ? 1 : window <= 3 ? 1u << window : 6;
    assert(window < MAX_WINDOW);
    replay_advance(r, cut);
    s->t = verdict_at(s->t.w, cut == 0 ? 0 : r->records[cut - 1].end);
    for (unsigned way = 0; way < ways + (window != 0); way++) {
        bool tear = way == ways;
        size_t torn = tear ? (size_t)(replay_random(seed) >> 9) % window : SIZE_MAX;
        choose_records(keep, window, tear ? 5 : way, seed);
        struct vm_blk *disk = replay_state(r, s->p, cut, keep, torn, *seed);
        n->states++;
        if (!state_is_right(s, *seed | 1)) {
            fprintf(stderr, "  cut after record %zu of %zu, window %zu, way %u%s: %s\n", cut, r->n,
                    window, way, tear ? " (torn)" : "", s->why);
            n->wrong++;
        }
        vm__blk_unref(disk);
    }
}

static struct tally run(const struct variant *v, uint64_t seed, uint64_t states)
{
    static struct work w;
    struct blk_place p;
    struct replay r;
    struct tally n = { 0, 0 };
    w = (struct work) { .v = v, .seed = seed };
    blk_init(&p);
    struct vm_blk *base = v->over ? make_base(&p, v) : NULL;
    make_image(&p, v);
    struct vm_blk *file = in_memory(&p, "image", "file"), *before = in_memory(&p, "image", NULL);
    w.log = blk_memory(&p, 0, "log");
    w.image = open_image(&p, v, "file.driver=write-log,file.file=file,file.log=log", 0);
    if (w.image == NULL)
        say(vm_last_error()->message, v);
    assert(w.image != NULL && w.log != NULL);
    run_workload(&w, states < 1000 ? 40 : MAX_OPS / 2);
    vm__blk_unref(w.image);
    replay_init(&r, w.log, before);
    struct state s = { .p = &p, .v = v, .t = { .w = &w }, .bytes = malloc(SIZE) };
    uint64_t step = r.n * 7 / states + 1; /* a cut is about seven states */
    for (size_t cut = seed % step; cut <= r.n && n.wrong < 5; cut += (size_t)step)
        try_cut(&s, &r, cut, &seed, &n);
    free(s.bytes);
    replay_fini(&r);
    vm__blk_unref(before);
    vm__blk_unref(file);
    vm__blk_unref(w.log);
    vm__blk_unref(base);
    blk_fini(&p);
    return n;
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 && strcmp(argv[1], "all") != 0 ? argv[1] : NULL;
    uint64_t states = argc > 2 ? strtoull(argv[2], NULL, 0) : 200, wrong = 0;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        const struct variant *v = &variants[i];
        if (only != NULL && strcmp(only, v->format) != 0)
            continue;
        struct tally n = run(v, seed * 2654435761u + i, states);
        printf("%s %s%s: %llu states, %llu wrong\n", v->format, v->options,
               v->over ? " over a base" : "", (unsigned long long)n.states,
               (unsigned long long)n.wrong);
        wrong += n.wrong;
    }
    return wrong != 0;
}
