/* SPDX-License-Identifier: MIT */
/**
 * @file stress_run.c
 * Machines started, pulled about and destroyed: no race, no deadlock, nothing left behind.
 *
 * A plain executable, so that it can run under ThreadSanitizer and LeakSanitizer; exits 1 with a
 * line if something is wrong. Arguments: rounds of the lifetime part, rounds of the race part.
 */
#include <dirent.h>
#include <libvm/libvm.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fake_pc.h"

enum { MACHINES = 4, CPUS = 2 };

/* Halts, is woken by a tick every 100 us, counts, writes to a window of the embedder's. */
static const char busy[] = "o004001+o030000nnnnj07";
static const char sleepy[] = "o004001h+j07";

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "stress_run: %s (%s)\n", what, vm_last_error()->message);
        exit(1);
    }
}

/* Entries of a folder of /proc: threads or descriptors of this process. */
static unsigned count(const char *path)
{
    unsigned n = 0;
    DIR *dir = opendir(path);
    check(dir != NULL, path);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static unsigned mappings(void)
{
    unsigned n = 0;
    int c;
    FILE *f = fopen("/proc/self/maps", "r");
    check(f != NULL, "/proc/self/maps");
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

static void wait_for(vm_machine *m, uint32_t mask, int64_t ns)
{
    int state;
    (void)vm_machine_wait(m, mask, ns, &state);
}

static int window_write(void *ud, uint64_t off, uint32_t width, uint64_t value)
{
    (void)off;
    (void)width;
    (void)value;
    atomic_fetch_add((_Atomic uint64_t *)ud, 1);
    return 0;
}

static const vm_io_ops window = { .size = sizeof window, .write = window_write };
static _Atomic uint64_t window_writes;
static _Atomic uint64_t events;

static void on_event(void *ud, const vm_event *event)
{
    (void)ud;
    (void)event;
    atomic_fetch_add(&events, 1);
}

static vm_machine *make(int i)
{
    vm_machine *m = fake_pc(i % 2 != 0 ? busy : sleepy, CPUS);
    check(vm_pio_add(m, "user", 0x300, 1, &window, &window_writes, NULL) != NULL, "window");
    check(vm_machine_on_event(m, ~0u, on_event, NULL, NULL) == VM_OK, "listen");
    return m;
}

/* ---- lifetimes -------------------------------------------------------------------------- */

static void one_life(int round)
{
    vm_machine *m[MACHINES];
    for (int i = 0; i < MACHINES; i++)
        m[i] = make(i);
    for (int i = 0; i < MACHINES; i++)
        check(vm_machine_start(m[i]) == VM_OK, "start");
    wait_for(m[0], VM_ST_SHUTDOWN, 500000);
    for (int i = 0; i < MACHINES; i++)
        if (round % 3 == i % 3)
            check(vm_machine_pause(m[i]) == VM_OK, "pause");
    for (int i = 0; i < MACHINES; i++)
        vm_machine_destroy(m[i]);
}

static void lifetimes(int rounds)
{
    for (int i = 0; i < 5; i++)
        one_life(i); /* the C library keeps some memory per thread it has ever seen */
    const unsigned threads = count("/proc/self/task"), files = count("/proc/self/fd");
    const unsigned maps = mappings();
    const size_t heap = mallinfo2().uordblks;
    for (int i = 0; i < rounds; i++)
        one_life(i);
    const size_t more = mallinfo2().uordblks;
    printf("%d rounds of %d machines: threads %u -> %u, descriptors %u -> %u, mappings %u -> %u, "
           "heap %zu -> %zu bytes\n",
           rounds, MACHINES, threads, count("/proc/self/task"), files, count("/proc/self/fd"), maps,
           mappings(), heap, more);
    check(count("/proc/self/task") == threads, "threads are left");
    check(count("/proc/self/fd") == files, "descriptors are left");
    check(mappings() <= maps + 8, "mappings are left"); /* arenas and stacks the C library caches */
    check(more <= heap + 16384, "heap memory is left");
}

/* ---- races ------------------------------------------------------------------------------ */

struct victim {
    vm_machine *m;
    _Atomic bool done;
    int rounds;
};

static void *control(void *arg)
{
    struct victim *v = arg;
    for (int i = 0; i < v->rounds; i++) {
        check(vm_machine_start(v->m) == VM_OK, "start");
        if (i % 4 == 0)
            wait_for(v->m, VM_ST_PAUSED, 200000);
        if (i % 2 == 0)
            vm_machine_stop(v->m);
        check(vm_machine_pause(v->m) == VM_OK, "pause");
        if (i % 5 == 0) {
            vm_exit e = { .size = sizeof e };
            const int st = vm_run(v->m, 500, -1, &e);
            check(st == VM_OK || st == VM_E_STATE, "run");
        }
        if (i % 7 == 0) {
            void *data;
            size_t len;
            const int st = vm_machine_save(v->m, &data, &len);
            check(st == VM_OK || st == VM_E_STATE, "save");
            if (st == VM_OK)
                vm_buffer_free(data);
        }
    }
    atomic_store(&v->done, true);
    return NULL;
}

static void *poke(void *arg)
{
    struct victim *v = arg;
    for (unsigned i = 0; !atomic_load(&v->done); i++) {
        uint64_t word;
        switch (i % 5) {
        case 0:
            vm_irq_set(v->m, 0, 1);
            break;
        case 1:
            vm_kick(v->m);
            break;
        case 2:
            vm_machine_reset(v->m, VM_RESET_WARM);
            break;
        case 3:
            check(vm_mem_read(v->m, FAKE_COUNTERS, &word, sizeof word) == VM_OK, "read");
            break;
        case 4:
            (void)vm_clock_ns(v->m);
            vm_machine_stop(v->m);
            break;
        }
        sched_yield();
    }
    return NULL;
}

/* The map changes under the processors' feet. */
static void *remap(void *arg)
{
    struct victim *v = arg;
    while (!atomic_load(&v->done)) {
        vm_region *ram = vm_ram_add(v->m, "extra", 0x80000000, 0x10000);
        vm_region *port = vm_pio_add(v->m, "over", 0x300, 1, &window, &window_writes, NULL);
        check(ram != NULL && port != NULL, "add");
        vm_region_move(ram, 0x90000000);
        vm_region_enable(port, 0);
        vm_region_remove(port);
        vm_region_remove(ram);
        sched_yield();
    }
    return NULL;
}

static void races(int rounds)
{
    struct victim v[MACHINES];
    pthread_t threads[MACHINES][3];
    for (int i = 0; i < MACHINES; i++) {
        v[i] = (struct victim) { .m = make(i), .rounds = rounds };
        pthread_create(&threads[i][0], NULL, control, &v[i]);
        pthread_create(&threads[i][1], NULL, poke, &v[i]);
        pthread_create(&threads[i][2], NULL, remap, &v[i]);
    }
    for (int i = 0; i < MACHINES; i++) {
        for (int t = 0; t < 3; t++)
            pthread_join(threads[i][t], NULL);
        vm_machine_destroy(v[i].m);
    }
    printf("%d rounds of races: %llu events, %llu writes\n", rounds, (unsigned long long)events,
           (unsigned long long)window_writes);
}

int main(int argc, char **argv)
{
    const int lives = argc > 1 ? atoi(argv[1]) : 200, rounds = argc > 2 ? atoi(argv[2]) : 200;
    if (lives != 0)
        lifetimes(lives);
    if (rounds != 0)
        races(rounds);
    return 0;
}
