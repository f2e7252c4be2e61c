/* SPDX-License-Identifier: MIT */
/**
 * @file test_garbage.c
 * A guest that writes anything anywhere: every port and every device window of a whole PC, with
 * random values and sizes. Nothing may crash, hang or grow the process.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvm/libvm.h>

#include "base/error.h"
#include "fake_cpu.h"

struct rng {
    uint64_t s;
};

static uint64_t draw(struct rng *r)
{
    r->s ^= r->s << 13;
    r->s ^= r->s >> 7;
    r->s ^= r->s << 17;
    return r->s;
}

/** A value that chips find interesting: small, all ones, one bit, or anything. */
static uint64_t value(struct rng *r)
{
    uint64_t v = draw(r);
    switch (v & 7) {
    case 0:
        return v >> 8 & 7;
    case 1:
        return UINT64_MAX;
    case 2:
        return UINT64_C(1) << (v >> 8 & 63);
    case 3:
        return v >> 8 & 0xff;
    default:
        return v >> 3;
    }
}

/** Pages of the process that are in memory. */
static long resident(void)
{
    long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%ld %ld", &size, &pages) != 2)
        pages = 0;
    (void)fclose(f);
    return pages;
}

static struct vm_machine *build(void)
{
    static const char *const settings[] = {
        "memory.size", "16M",      "clock.mode", "icount",   "cpu.count",
        "2",           "serial1",  "on",         "device.0", "isa-debug-exit",
        "device.1",    "debugcon", "device.2",   "pvpanic",  NULL,
    };
    struct vm_machine *m = fake_pc(settings);
    cr_assert(m != NULL, "%s", vm_last_error()->message);
    return m;
}

/** Ports that have something behind them, and now and then any. */
static uint16_t pick_port(struct rng *r)
{
    static const uint16_t bases[] = { 0x00,  0x20,  0x40,  0x60,  0x70,  0x80,  0x92,  0xa0,
                                      0xb0,  0xc0,  0xe0,  0xf0,  0x2f8, 0x3f8, 0x3e8, 0x4d0,
                                      0x510, 0x600, 0x700, 0xcf8, 0xcfc, 0x2000 };
    uint64_t v = draw(r);
    if ((v & 15) == 0)
        return (uint16_t)(v >> 8);
    return (uint16_t)(bases[(v >> 8) % (sizeof bases / sizeof bases[0])] + (v >> 40 & 15));
}

static uint64_t pick_gpa(struct rng *r)
{
    static const uint64_t bases[] = { 0xa0000,    0xb8000,    0xc0000,    0xe0000,
                                      0xe0000000, 0xfebf0000, 0xfec00000, 0xfed00000,
                                      0xfee00000, 0xff000000, 0xfffc0000, UINT64_C(0xfffffffff8) };
    uint64_t v = draw(r);
    return bases[(v >> 8) % (sizeof bases / sizeof bases[0])] + (v >> 40 & 0xfff);
}

static void one_access(struct vm_machine *m, struct rng *r)
{
    uint64_t v = draw(r);
    unsigned size = 1u << (v & 3);
    if (v & 0x80) {
        uint64_t gpa = pick_gpa(r);
        if (v & 0x100)
            (void)vm__mmio_read(m, VM_VIEW_NORMAL, gpa, size);
        else
            vm__mmio_write(m, VM_VIEW_NORMAL, gpa, size, value(r));
        return;
    }
    size = size == 8 ? 4 : size;
    uint16_t port = pick_port(r);
    if (v & 0x100)
        (void)vm__port_read(m, port, size);
    else
        vm__port_write(m, port, size, (uint32_t)value(r));
}

/** Accesses, with time passing between them so that timers fire. */
static void rounds(struct vm_machine *m, struct rng *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        vm__lock(m);
        one_access(m, r);
        vm__unlock(m);
    }
}

Test(garbage, every_port_and_window, .timeout = 120)
{
    struct vm_machine *m = build();
    struct rng r = { 0x9e3779b97f4a7c15u };
    const char *seed = getenv("LIBVM_SEED");
    if (seed != NULL)
        r.s = strtoull(seed, NULL, 0) | 1;

    rounds(m, &r, 200000);
    long before = resident();
    for (unsigned i = 0; i < 10; i++) {
        cr_assert(eq(int, vm__machine_reset_now(m, VM_RESET_COLD), VM_OK));
        rounds(m, &r, 100000);
    }
    long grown = (resident() - before) * (sysconf(_SC_PAGESIZE) / 1024);
    cr_assert(lt(long, grown, 4096), "the process grew by %ld KiB", grown);
    fake_pc_free(m);
}

/** Every single port, so that none is forgotten: bytes, words, dwords. */
Test(garbage, all_ports_in_a_row, .timeout = 120)
{
    struct vm_machine *m = build();
    struct rng r = { 7 };
    vm__lock(m);
    for (uint32_t port = 0; port <= 0xffff; port++) {
        for (unsigned size = 1; size <= 4; size *= 2) {
            (void)vm__port_read(m, (uint16_t)port, size);
            vm__port_write(m, (uint16_t)port, size, (uint32_t)value(&r));
        }
    }
    vm__unlock(m);
    fake_pc_free(m);
}
