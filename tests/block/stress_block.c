/* SPDX-License-Identifier: MIT */
/**
 * @file stress_block.c
 * Many threads on one node, with drains in between. A plain program, so that it runs under
 * ThreadSanitizer. Arguments: threads, rounds.
 *
 * Every thread owns the bytes whose offset / 1000 leaves its number: neighbours share blocks, but
 * no byte. Whatever the interleaving, each must read back what it wrote.
 */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "block/env.h"
#include "block/image.h"
#include "block/request.h"
#include "support.h"

enum { SIZE = 1 << 20, PIECE = 1000, MAX_THREADS = 16 };

static struct blk_place p;
static struct vm_blk *node;
static unsigned n_threads, n_rounds;
static _Atomic bool over;
static _Atomic uint32_t drains;
static _Atomic bool inside_drain;

struct async {
    struct vm_blk_req r;
    struct vm_iov v;
    _Atomic int done;
};

static void on_done(struct vm_blk_req *r)
{
    struct async *a = r->opaque;
    atomic_store(&a->done, 1);
}

static void io(uint32_t op, uint64_t off, void *buf)
{
    struct async a = { .v = { buf, PIECE } };
    a.r = (struct vm_blk_req) { .node = node,
                                .op = op,
                                .off = off,
                                .len = PIECE,
                                .sg = { &a.v, 0 },
                                .done = on_done,
                                .opaque = &a };
    vm__blk_submit(&a.r, NULL);
    while (!atomic_load(&a.done))
        sched_yield();
    assert(a.r.status == VM_OK);
}

static void *work(void *arg)
{
    const unsigned me = (unsigned)(uintptr_t)arg;
    const unsigned pieces = SIZE / PIECE;
    uint8_t buf[PIECE], want[SIZE / PIECE];
    unsigned seed = me * 77 + 1;
    memset(want, 0x11, sizeof want);
    for (unsigned i = 0; i < n_rounds; i++) {
        const unsigned piece = (unsigned)rand_r(&seed) % (pieces / n_threads) * n_threads + me;
        if (rand_r(&seed) % 3 != 0) {
            want[piece] = (uint8_t)rand_r(&seed);
            memset(buf, want[piece], PIECE);
            if (i % 2 == 0) {
                io(VM_IO_WRITE, (uint64_t)piece * PIECE, buf);
            } else {
                vm__blk_io_begin(node);
                assert(!atomic_load(&inside_drain));
                assert(vm__blk_write(node, (uint64_t)piece * PIECE, buf, PIECE) == VM_OK);
                vm__blk_io_end(node);
            }
        }
        io(VM_IO_READ, (uint64_t)piece * PIECE, buf);
        for (unsigned k = 0; k < PIECE; k++)
            assert(buf[k] == want[piece]);
    }
    return NULL;
}

static void *drain(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        /* Below the node the users have: they must be kept out all the same. */
        struct vm_blk *n = node->file != NULL && atomic_load(&drains) % 2 ? node->file : node;
        vm__blk_drain_begin(n);
        atomic_store(&inside_drain, true);
        sched_yield();
        atomic_store(&inside_drain, false);
        vm__blk_drain_end(n);
        atomic_fetch_add(&drains, 1);
        for (int i = 0; i < 50; i++)
            sched_yield();
    }
    return NULL;
}

static void run(struct vm_blk *n)
{
    pthread_t threads[MAX_THREADS], drainer;
    node = n;
    assert(n != NULL);
    atomic_store(&over, false);
    for (unsigned i = 0; i < n_threads; i++)
        assert(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
    assert(pthread_create(&drainer, NULL, drain, NULL) == 0);
    for (unsigned i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&over, true);
    pthread_join(drainer, NULL);
    vm__blk_unref(n);
}

static int count_up(void *ud, uint32_t i)
{
    _Atomic uint32_t *counts = ud;
    atomic_fetch_add(&counts[i], 1);
    return i == 700 ? vm__fail(VM_E_IO, "number %u", i) : VM_OK;
}

static void spread(void)
{
    static _Atomic uint32_t counts[1000];
    struct vm_pool *pool = vm__env_pool(p.env);
    for (int i = 0; i < 1000; i++)
        atomic_store(&counts[i], 0);
    assert(vm__pool_for(pool, 600, count_up, counts) == VM_OK);
    for (int i = 0; i < 600; i++)
        assert(atomic_load(&counts[i]) == 1);
    assert(vm__pool_for(pool, 1000, count_up, counts) == VM_E_IO);
    assert(strcmp(vm_last_error()->message, "number 700") == 0);
    assert(vm__pool_for(pool, 0, count_up, counts) == VM_OK);
}

/* Copies run on the pool; a user of the source goes on meanwhile. */
static void *read_on(void *n)
{
    uint8_t buf[4096];
    for (int i = 0; i < 200; i++) {
        vm__blk_io_begin(n);
        assert(vm__blk_read(n, (uint64_t)(i % 256) * 4096, buf, sizeof buf) == VM_OK);
        vm__blk_io_end(n);
    }
    return NULL;
}

static void copies(void)
{
    pthread_t reader;
    struct vm_blk *from = blk_memory(&p, 16 * SIZE, NULL), *to = blk_memory(&p, 16 * SIZE, NULL);
    assert(from != NULL && to != NULL);
    for (unsigned i = 0; i < 16; i++)
        assert(blk_fill(from, (uint64_t)i * SIZE + i * 100, SIZE / 3, (uint8_t)i) == VM_OK);
    assert(pthread_create(&reader, NULL, read_on, from) == 0);
    const struct vm_blk_convert c = {
        .from = from, .to = to, .len = 16 * SIZE, .sparse_bytes = 4096
    };
    uint64_t at = 0;
    assert(vm__blk_convert(&c, NULL) == VM_OK);
    assert(vm__blk_compare(from, to, false, NULL, &at) == 0);
    pthread_join(reader, NULL);
    vm__blk_unref(from);
    vm__blk_unref(to);
}

int main(int argc, char **argv)
{
    n_threads = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
    n_rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 300;
    assert(n_threads >= 1 && n_threads <= MAX_THREADS);
    blk_init(&p);
    spread();
    copies();

    struct vm_blk *base = blk_memory(&p, SIZE, "base");
    assert(base != NULL && blk_fill(base, 0, SIZE, 0x11) == VM_OK);
    run(blk_open(&p, NULL, NULL, "driver=overlay,file=base", 0));
    assert(blk_is(base, 0, SIZE, 0x11));
    run(blk_open(&p, NULL, NULL, "driver=raw,file=base", 0));
    vm__blk_unref(base);

    const char *path = blk_path(&p, "file");
    assert(blk_create(&p, path, "raw", SIZE, NULL) == VM_OK);
    struct vm_blk *n = blk_open(&p, path, "raw", NULL, 0);
    assert(n != NULL && blk_fill(n, 0, SIZE, 0x11) == VM_OK);
    run(n);
    n = blk_open(&p, path, "raw", NULL, VM_OPEN_DIRECT); /* read, change, write back */
    if (n != NULL) {
        assert(blk_fill(n, 0, SIZE, 0x11) == VM_OK);
        run(n);
    }
    blk_fini(&p);
    return 0;
}
