/* SPDX-License-Identifier: MIT */
/**
 * @file stress_gdb.c
 * gdb's server between threads: two processors that meet breakpoints, a gdb that continues, steps
 * and presses Ctrl-C, and somebody else who stops the machine. One stop for each continue.
 *
 * A plain executable, so that it can run under ThreadSanitizer. Argument: rounds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static unsigned stops; /* stop replies so far */
static _Atomic bool over;

static void check(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "stress_gdb: %s (%s)\n", what, vm_last_error()->message);
        exit(1);
    }
}

static void out(void *ud, const void *data, size_t len)
{
    (void)ud;
    if (len < 2 || memcmp(data, "$T", 2) != 0)
        return;
    pthread_mutex_lock(&lock);
    stops++;
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&lock);
}

static void packet(vm_gdb *g, const char *text)
{
    char all[128];
    unsigned sum = 0;

    for (const char *p = text; *p != '\0'; p++)
        sum += (unsigned char)*p;
    const int n = snprintf(all, sizeof all, "$%s#%02x", text, sum & 0xff);
    check(vm_gdb_feed(g, all, (size_t)n) == VM_OK, text);
}

static void await_stop(unsigned want)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&lock);
    int late = 0;
    while (stops < want && late == 0)
        late = pthread_cond_timedwait(&news, &lock, &until);
    check(stops == want, late != 0 ? "no stop reply" : "more stop replies than continues");
    pthread_mutex_unlock(&lock);
}

/* Whoever else has the machine in hand. */
static void *somebody(void *arg)
{
    for (unsigned k = 0; !atomic_load(&over); k++) {
        if (k % 3 == 0)
            (void)vm_machine_stop(arg);
        (void)vm_machine_state(arg);
        nanosleep(&(struct timespec) { .tv_nsec = 300000 }, NULL);
    }
    return NULL;
}

static void session(vm_machine *m, unsigned rounds)
{
    static const uint8_t ap_code[] = { 0x66, 0xff, 0x06, 0x00, 0x70, 0xeb, 0xf9 };
    const vm_gdb_ops ops = { .size = sizeof ops, .out = out };
    vm_gdb *g = vm_gdb_new(m, &ops, NULL);
    char spin[32];

    check(g != NULL, "session");
    check(vm_mem_write(m, 0x8000, ap_code, sizeof ap_code) == VM_OK, "code");
    guest_set_reg(m, 0, VM_X86_RIP, guest_at(g_smp));
    (void)snprintf(spin, sizeof spin, "Z0,%x,1", guest_at(g_smp_spin));
    packet(g, spin);
    stops = 0;
    for (unsigned k = 1; k <= rounds; k++) {
        switch (k % 4) {
        case 0:
            packet(g, "vCont;s:1;c");
            break;
        case 1:
            packet(g, k % 8 == 1 ? "Z0,8005,1" : "z0,8005,1");
            packet(g, "vCont;c");
            break;
        default:
            packet(g, "vCont;c");
            if (k % 4 == 3)
                check(vm_gdb_feed(g, "\3", 1) == VM_OK, "Ctrl-C");
            break;
        }
        await_stop(k);
        packet(g, "g");
        packet(g, "m8000,10");
    }
    packet(g, "D");
    vm_gdb_free(g);
}

int main(int argc, char **argv)
{
    const unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 400;
    vm_machine *m = guest_machine(2);
    pthread_t thread;

    check(m != NULL, "machine");
    pthread_create(&thread, NULL, somebody, m);
    session(m, rounds);
    check(vm_machine_pause(m) == VM_OK, "pause");
    session(m, rounds);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    vm_machine_destroy(m);
    printf("2 sessions of %u rounds\n", rounds);
    return 0;
}
