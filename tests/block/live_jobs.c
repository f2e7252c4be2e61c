/* SPDX-License-Identifier: MIT */
/**
 * @file live_jobs.c
 * Jobs on a disk that threads are writing to: a mirror, with and without its switch-over, backups,
 * a stream. A plain program: it must also run under ThreadSanitizer.
 */
#undef NDEBUG
#include <assert.h>
#include <libvm/block.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SIZE = 8 << 20, THREADS = 3, PIECE = 4096, PIECES = SIZE / PIECE };

static struct blk_place p;
static vm_blk *disk;
static _Atomic bool stop;
static _Atomic uint64_t writes;
/* What each piece holds, by the thread that owns it: every THREADS-th. */
static uint8_t model[PIECES];

static vm_blk *made(const char *name, const char *format, const char *options)
{
    vm_blk *n = NULL;
    if (vm_blk_create(p.ctx, blk_path(&p, name), format, SIZE, options) == VM_OK)
        n = vm_blk_open(p.ctx, blk_path(&p, name), format, VM_BLK_UNMAP | VM_BLK_PROBE);
    if (n == NULL)
        fprintf(stderr, "%s\n", vm_last_error()->message);
    assert(n != NULL);
    return n;
}

static void *writer(void *arg)
{
    const unsigned me = (unsigned)(uintptr_t)arg;
    uint64_t x = me * 7919u + 1;
    uint8_t buf[PIECE];
    while (!atomic_load(&stop)) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        const uint64_t i = (x >> 33) % (PIECES / THREADS) * THREADS + me;
        const uint8_t v = (uint8_t)(x >> 25);
        memset(buf, v, sizeof buf);
        const int st = v % 8 == 0 ? vm_blk_zero(disk, i * PIECE, PIECE, 0)
                                  : vm_blk_write(disk, i * PIECE, buf, PIECE, 0);
        assert(st == VM_OK);
        model[i] = v % 8 == 0 ? 0 : v;
        atomic_fetch_add(&writes, 1);
    }
    return NULL;
}

static void holds(vm_blk *n, const uint8_t *what)
{
    for (uint64_t i = 0; i < PIECES; i++)
        if (!blk_is(n, i * PIECE, PIECE, what[i])) {
            fprintf(stderr, "piece %llu is not %02x\n", (unsigned long long)i, what[i]);
            abort();
        }
}

static pthread_t threads[THREADS];

static void start_writers(void)
{
    atomic_store(&stop, false);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert(pthread_create(&threads[i], NULL, writer, (void *)i) == 0);
}

static void stop_writers(void)
{
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        assert(pthread_join(threads[i], NULL) == 0);
}

static void some_writes(uint64_t count)
{
    const uint64_t goal = atomic_load(&writes) + count;
    while (atomic_load(&writes) < goal)
        sched_yield();
}

static int finish(vm_job *job)
{
    assert(job != NULL);
    const int st = vm_job_wait(job, -1);
    vm_job_unref(job);
    return st;
}

static void ok(int st)
{
    if (st != VM_OK)
        fprintf(stderr, "%s\n", vm_last_error()->message);
    assert(st == VM_OK);
}

static void fill_model(void)
{
    for (uint64_t i = 0; i < PIECES; i++) {
        model[i] = i % 3 == 0 ? 0 : (uint8_t)(i % 255 + 1);
        if (model[i] != 0)
            assert(blk_fill(disk, i * PIECE, PIECE, model[i]) == VM_OK);
    }
}

static void mirror_and_switch(const char *from, const char *to)
{
    disk = made("from", from, NULL);
    vm_blk *target = made("to", to, NULL);
    fill_model();
    start_writers();
    some_writes(200);
    ok(finish(vm_blk_mirror(disk, target, VM_MIRROR_SWITCH)));
    some_writes(200); /* these go to the target */
    stop_writers();
    holds(disk, model);
    holds(target, model);
    ok(vm_blk_flush(disk));
    vm_blk_close(disk);
    vm_blk_close(target);
    target = vm_blk_open(p.ctx, blk_path(&p, "to"), to, VM_BLK_RO);
    assert(target != NULL);
    holds(target, model);
    vm_blk_close(target);
}

static void mirror_twice(void)
{
    disk = made("a", "raw", NULL);
    vm_blk *b = made("b", "qcow2", NULL), *c = made("c", "vdi", NULL);
    fill_model();
    start_writers();
    ok(finish(vm_blk_mirror(disk, b, VM_MIRROR_SWITCH)));
    some_writes(100);
    ok(finish(vm_blk_mirror(disk, c, VM_MIRROR_SWITCH)));
    some_writes(100);
    stop_writers();
    holds(disk, model);
    holds(c, model);
    vm_blk_close(b);
    vm_blk_close(c);
    vm_blk_close(disk);
}

static void mirror_without_switch(void)
{
    static uint8_t before[PIECES];
    disk = made("from", "qcow2", NULL);
    vm_blk *target = made("to", "raw", NULL);
    fill_model();
    ok(finish(vm_blk_mirror(disk, target, 0)));
    memcpy(before, model, sizeof before);
    start_writers();
    some_writes(300);
    stop_writers();
    holds(target, before);
    holds(disk, model);
    vm_blk_close(target);
    vm_blk_close(disk);
}

static void backup(uint32_t mode)
{
    static uint8_t before[PIECES];
    char options[64] = "";
    disk = made("from", "qcow2", NULL);
    fill_model();
    ok(vm_blk_flush(disk));
    memcpy(before, model, sizeof before);
    vm_blk *target = made("to", "qcow2", options);
    vm_job *job = vm_blk_backup(disk, target, mode);
    assert(job != NULL);
    uint64_t done, total = 0;
    while (mode == VM_BACKUP_FULL && total == 0 && vm_job_wait(job, 0) == VM_E_TIMEOUT)
        ok(vm_job_progress(job, &done, &total)); /* it has begun */
    if (mode == VM_BACKUP_NONE)
        while (vm_job_progress(job, &done, &total) == VM_OK && total == 0)
            sched_yield();
    start_writers();
    some_writes(300);
    if (mode == VM_BACKUP_NONE) { /* what is written after its end is not kept */
        stop_writers();
        ok(vm_job_cancel(job));
    }
    ok(finish(job));
    if (mode == VM_BACKUP_FULL)
        stop_writers();
    holds(disk, model);
    for (uint64_t i = 0; i < PIECES; i++)
        assert(blk_is(target, i * PIECE, PIECE, before[i]) ||
               (mode == VM_BACKUP_NONE && model[i] == before[i]));
    vm_blk_close(target);
    vm_blk_close(disk);
}

static void stream_in_use(void)
{
    static const char options[] = "backing_file=base,backing_fmt=raw";
    disk = made("base", "raw", NULL);
    fill_model();
    vm_blk_close(disk);
    disk = made("top", "qcow2", options);
    start_writers();
    some_writes(50);
    ok(finish(vm_blk_stream(disk)));
    some_writes(50);
    stop_writers();
    holds(disk, model);
    vm_blk_close(disk);
}

static void commit_in_use(void)
{
    disk = made("base", "raw", NULL);
    fill_model();
    vm_blk_close(disk);
    disk = made("top", "qcow2", "backing_file=base,backing_fmt=raw");
    start_writers();
    some_writes(100);
    ok(finish(vm_blk_commit(disk, 1)));
    some_writes(100);
    stop_writers();
    holds(disk, model);
    vm_blk_close(disk);
}

static void what_cannot_be(void)
{
    disk = made("from", "raw", NULL);
    assert(vm_blk_create(p.ctx, blk_path(&p, "small"), "raw", SIZE / 2, NULL) == VM_OK);
    vm_blk *small = vm_blk_open(p.ctx, blk_path(&p, "small"), "raw", 0);
    assert(finish(vm_blk_mirror(disk, small, 0)) == VM_E_INVAL);
    assert(finish(vm_blk_backup(disk, small, VM_BACKUP_FULL)) == VM_E_INVAL);
    assert(finish(vm_blk_mirror(disk, disk, 0)) == VM_E_INVAL);
    assert(vm_blk_mirror(disk, small, 64) == NULL && vm_blk_backup(disk, small, 9) == NULL);
    vm_blk_close(small);
    vm_blk *target = made("to", "raw", NULL);
    vm_job *first = vm_blk_backup(disk, target, VM_BACKUP_NONE);
    uint64_t done, total = 0;
    while (vm_job_progress(first, &done, &total) == VM_OK && total == 0)
        sched_yield();
    assert(finish(vm_blk_mirror(disk, target, 0)) == VM_E_STATE);
    assert(vm_blk_resize(disk, 2 * SIZE, NULL) == VM_E_STATE);
    ok(vm_job_cancel(first));
    ok(finish(first));
    ok(vm_blk_resize(disk, 2 * SIZE, NULL));
    vm_blk_close(target);
    vm_blk_close(disk);
}

int main(void)
{
    blk_init(&p);
    mirror_and_switch("raw", "qcow2");
    mirror_and_switch("qcow2", "raw");
    mirror_and_switch("vdi", "vhdx");
    mirror_twice();
    mirror_without_switch();
    backup(VM_BACKUP_FULL);
    backup(VM_BACKUP_NONE);
    stream_in_use();
    commit_in_use();
    what_cannot_be();
    blk_fini(&p);
    return 0;
}
