/* SPDX-License-Identifier: MIT */
/**
 * @file test_virtio.c
 * The virtio transport and its block device: what a driver may do, and what it must not.
 */
#include <criterion/criterion.h>

#include "devices/virtio_driver.h"
#include "support/fake_disk.h"

enum {
    SECTORS = 2048,
    HEADER_AT = 0x20000,
    DATA_AT = 0x21000,
    STATUS_AT = 0x20100,
    SPARE = 0x30000
};
enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, ZEROES = 13, ODD = 99 };

#define V1       (UINT64_C(1) << 32)
#define PACKED   (UINT64_C(1) << 34)
#define RESETTER (UINT64_C(1) << 40)
#define INDIRECT (UINT64_C(1) << 28)
#define EVENTS   (UINT64_C(1) << 29)
#define F_FLUSH  (UINT64_C(1) << 9)
#define F_CLEAR  (UINT64_C(3) << 13)

static struct fake_machine f;
static struct fake_disk *disk;
static struct drv d;

static void setup(void)
{
    fake_init(&f);
    disk = fake_disk(&f, "d0", false, SECTORS * 512);
    drv_make(&d, &f, &vm__virtio_blk_class, "drive", "d0", "serial", "SER1", "packed", "on", NULL);
}

static void teardown(void)
{
    fake_fini(&f);
    fake_disks_free();
}

TestSuite(virtio, .init = setup, .fini = teardown);

static void poke(uint64_t gpa, unsigned size, uint64_t v)
{
    uint8_t b[8];
    vm_put_le_n(b, size, v);
    cr_assert_eq(vm__mem_write(f.m, gpa, b, size), VM_OK);
}

static uint8_t *ram(uint64_t gpa)
{
    return vm__region_host(f.ram) + gpa;
}

static void header(uint32_t type, uint64_t sector)
{
    poke(HEADER_AT, 4, type);
    poke(HEADER_AT + 8, 8, sector);
    poke(STATUS_AT, 1, 0xee);
}

/** A request with @p len bytes of data, carried out. @return its status */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t len)
{
    const bool in = type == IN || type == GET_ID;
    const struct drv_buf bufs[] = { { HEADER_AT, 16, 0 },
                                    { DATA_AT, len, in ? DRV_WRITE : 0 },
                                    { STATUS_AT, 1, DRV_WRITE } };
    const struct drv_buf bare[] = { bufs[0], bufs[2] };
    uint32_t written;
    header(type, sector);
    const int id = len != 0 ? drv_add(&d, bufs, 3) : drv_add(&d, bare, 2);
    drv_kick(&d);
    fake_advance(&f, 10 * FAKE_DISK_NS);
    cr_assert_eq(drv_used(&d, &written), id, "type %u", type);
    cr_assert_eq(drv_used(&d, &written), -1);
    return *ram(STATUS_AT);
}

static void work_through(uint64_t features)
{
    const uint8_t status = drv_start(&d, features);
    cr_assert_eq(status, d.legacy ? 7 : 15, "%02x", status);
    for (unsigned turn = 0; turn < 40; turn++) { /* several times round the ring */
        cr_assert_eq(request(IN, 8 + turn, 1024), 0);
        cr_assert_eq(memcmp(ram(DATA_AT), disk->data + (8 + turn) * 512, 1024), 0);
    }
    memset(ram(DATA_AT), 0x5a, 512);
    cr_assert_eq(request(OUT, 100, 512), 0);
    cr_assert_eq(memcmp(disk->data + 51200, ram(DATA_AT), 512), 0);
    cr_assert_eq(request(FLUSH, 0, 0), features & F_FLUSH ? 0 : 0);
    cr_assert_eq(request(GET_ID, 0, 20), 0);
    cr_assert_eq(memcmp(ram(DATA_AT), "SER1\0\0", 6), 0);
    cr_assert_eq(request(ODD, 0, 0), 2, "unsupported");
    cr_assert_eq(request(IN, SECTORS - 1, 1024), 1, "beyond the end");
    cr_assert_eq(request(IN, UINT64_MAX / 512, 512), 1);
    cr_assert_eq(request(OUT, 0, 100), 1, "no whole block");
}

Test(virtio, modern_split)
{
    work_through(V1 | F_FLUSH);
}

Test(virtio, modern_split_with_events)
{
    work_through(V1 | EVENTS | INDIRECT | F_FLUSH);
}

Test(virtio, modern_packed)
{
    work_through(V1 | PACKED | F_FLUSH);
}

Test(virtio, modern_packed_with_events)
{
    work_through(V1 | PACKED | EVENTS | INDIRECT);
}

Test(virtio, legacy)
{
    d.legacy = true;
    work_through(F_FLUSH);
}

Test(virtio, features_are_agreed_on)
{
    cr_assert_eq(drv_start(&d, 0) & 8, 0, "without VERSION_1");
    cr_assert_eq(drv_start(&d, V1 | UINT64_C(1) << 63) & 8, 0, "what was not offered");
    cr_assert_eq(drv_start(&d, V1), 15);
    fake_write(&f, DRV_COMMON + 0x08, 4, 0);
    fake_write(&f, DRV_COMMON + 0x0c, 4, 0xffffffff);
    cr_assert_eq((uint32_t)fake_read(&f, DRV_COMMON + 0x0c, 4), 0, "too late");
}

Test(virtio, configuration)
{
    cr_assert_eq(drv_config_read(&d, 0, 4), 0x10011af4);
    cr_assert_eq(drv_config_read(&d, 0x2e, 2), 2, "type");
    cr_assert_eq(fake_read(&f, DRV_CONFIG, 4), SECTORS);
    cr_assert_eq(fake_read(&f, DRV_CONFIG + 20, 4), 512);
    cr_assert_eq(fake_in32(&f, DRV_IO + 0x14), SECTORS, "the old place");
    cr_assert_eq(fake_read(&f, DRV_CONFIG + 60, 4), 0);
    cr_assert_eq(fake_read(&f, DRV_COMMON + 0x12, 2), 1);
    cr_assert_eq(fake_read(&f, DRV_COMMON + 0x18, 2), 256);
    fake_write(&f, DRV_COMMON + 0x16, 2, 1);
    cr_assert_eq(fake_read(&f, DRV_COMMON + 0x18, 2), 0, "no such queue");
}

Test(virtio, reached_through_configuration_space)
{
    uint32_t cap = drv_config_read(&d, 0x34, 1), type;
    while (cap != 0) {
        type = drv_config_read(&d, cap, 4);
        if ((type & 0xff) == 9 && type >> 24 == 5)
            break;
        cap = type >> 8 & 0xff;
    }
    cr_assert_neq(cap, 0);
    drv_config(&d, cap + 4, 1, 4);
    drv_config(&d, cap + 8, 4, 0x2000);
    drv_config(&d, cap + 12, 4, 4);
    cr_assert_eq(drv_config_read(&d, cap + 16, 4), SECTORS);
    drv_config(&d, cap + 8, 4, 0x14);
    drv_config(&d, cap + 12, 4, 1);
    drv_config(&d, cap + 16, 1, 3);
    cr_assert_eq(drv_status(&d), 3);
    drv_config(&d, cap + 8, 4, 0xffffff);
    (void)drv_config_read(&d, cap + 16, 4);
    drv_config(&d, cap + 4, 1, 77);
    (void)drv_config_read(&d, cap + 16, 4);
}

Test(virtio, write_through_unless_the_driver_flushes)
{
    drv_start(&d, V1);
    cr_assert_eq(request(OUT, 0, 512), 0);
    cr_assert_eq(disk->fua, 1);
    drv_start(&d, V1 | F_FLUSH);
    cr_assert_eq(request(OUT, 0, 512), 0);
    cr_assert_eq(disk->fua, 1);
}

Test(virtio, discard_and_zeroes)
{
    drv_start(&d, V1 | F_CLEAR);
    poke(DATA_AT, 8, 64);
    poke(DATA_AT + 8, 4, 8);
    poke(DATA_AT + 12, 4, 0);
    cr_assert_eq(request(DISCARD, 0, 16), 0);
    cr_assert_eq(disk->discards, 1);
    cr_assert_eq(request(ZEROES, 0, 16), 0);
    for (unsigned i = 0; i < 8 * 512; i++)
        cr_assert_eq(disk->data[64 * 512 + i], 0);
    poke(DATA_AT, 8, SECTORS - 4);
    cr_assert_eq(request(ZEROES, 0, 16), 1, "beyond the end");
    poke(DATA_AT + 12, 4, 2);
    cr_assert_eq(request(ZEROES, 0, 16), 2, "an unknown flag");
    cr_assert_eq(request(DISCARD, 0, 15), 2, "no whole range");
    drv_start(&d, V1);
    cr_assert_eq(request(DISCARD, 0, 16), 2, "not agreed on");
}

Test(virtio, interrupts)
{
    drv_start(&d, V1);
    cr_assert_eq(request(IN, 0, 512), 0);
    cr_assert_eq(fake_read(&f, DRV_ISR, 1), 1);
    cr_assert_eq(fake_read(&f, DRV_ISR, 1), 0, "reading takes it");
    poke(DRV_RINGS + 0x1000, 2, 1); /* NO_INTERRUPT */
    cr_assert_eq(request(IN, 0, 512), 0);
    cr_assert_eq(fake_read(&f, DRV_ISR, 1), 0);
    disk->drive.ops->resized(disk->drive.opaque);
    cr_assert_eq(fake_read(&f, DRV_ISR, 1), 2);
    cr_assert_eq(fake_read(&f, DRV_COMMON + 0x15, 1), 1, "generation");
    fake_write(&f, DRV_COMMON + 0x1a, 2, 99);
    cr_assert_eq(fake_read(&f, DRV_COMMON + 0x1a, 2), 0xffff, "no such vector");
}

Test(virtio, the_event_index_saves_interrupts)
{
    const struct drv_buf bufs[] = { { HEADER_AT, 16, 0 }, { STATUS_AT, 1, DRV_WRITE } };
    uint32_t len;
    drv_start(&d, V1 | EVENTS);
    header(GET_ID, 0);
    poke(DRV_RINGS + 0x1000 + 4 + 2 * DRV_SIZE, 2, 2); /* used_event: after the third */
    for (unsigned i = 0; i < 3; i++) {
        (void)fake_read(&f, DRV_ISR, 1);
        drv_add(&d, bufs, 2);
        drv_kick(&d);
        cr_assert_eq(fake_read(&f, DRV_ISR, 1), i == 2, "%u", i);
        cr_assert_geq(drv_used(&d, &len), 0);
    }
}

/** What a driver must not do: the device stops, says so, and works again after a reset. */
static void expect_stopped(const char *what)
{
    drv_kick(&d);
    fake_advance(&f, 10 * FAKE_DISK_NS);
    cr_assert(drv_status(&d) & 0x40, "%s", what);
    cr_assert_eq(drv_start(&d, d.features), 15);
    cr_assert_eq(request(IN, 0, 512), 0);
}

static void abuse(uint64_t features)
{
    const uint64_t split = !(features & PACKED);
    const struct drv_buf reversed[] = { { STATUS_AT, 1, DRV_WRITE }, { HEADER_AT, 16, 0 } };
    const struct drv_buf headless[] = { { HEADER_AT, 4, 0 }, { STATUS_AT, 1, DRV_WRITE } };
    const struct drv_buf statusless[] = { { HEADER_AT, 16, 0 } };
    const struct drv_buf lost[] = { { HEADER_AT, 16, 0 }, { UINT64_MAX - 5, 1, DRV_WRITE } };
    struct drv_buf table = { SPARE, 32, DRV_INDIRECT };

    cr_assert_eq(drv_start(&d, features), 15);
    header(GET_ID, 0);
    drv_add(&d, reversed, 2);
    expect_stopped("a buffer to read behind one to write");
    drv_add(&d, headless, 2);
    expect_stopped("no header");
    drv_add(&d, statusless, 1);
    expect_stopped("no status");
    header(GET_ID, 0);
    drv_add(&d, lost, 2);
    expect_stopped("a status that is not in memory");
    table.len = 31;
    drv_add(&d, &table, 1);
    expect_stopped("an indirect table of a wrong size");
    table.len = 0x7fffffff & ~15u;
    drv_add(&d, &table, 1);
    expect_stopped("a giant indirect table");
    table = (struct drv_buf) { UINT64_C(0xfffffffffffffff0), 32, DRV_INDIRECT };
    drv_add(&d, &table, 1);
    expect_stopped("an indirect table that is not in memory");
    table = (struct drv_buf) { SPARE, 32, DRV_INDIRECT };
    memset(ram(SPARE), 0, 32);
    poke(SPARE + (split ? 12 : 14), 2, DRV_INDIRECT);
    drv_add(&d, &table, 1);
    expect_stopped("a table in a table");
    if (split) {
        poke(SPARE + 8, 4, 1);
        poke(SPARE + 12, 4, DRV_NEXT); /* its own successor */
        drv_add(&d, &table, 1);
        expect_stopped("a loop in a table");
        poke(SPARE + 14, 2, 2);
        drv_add(&d, &table, 1);
        expect_stopped("a successor outside the table");
        poke(DRV_RINGS + 0x1000 + 2, 2, d.avail + DRV_SIZE + 1u);
        expect_stopped("more than the ring holds");
        poke(DRV_RINGS + 0x1000 + 4 + 2u * d.avail, 2, DRV_SIZE);
        poke(DRV_RINGS + 0x1000 + 2, 2, d.avail + 1u);
        expect_stopped("a head outside the ring");
    }
    for (unsigned i = 0; i < DRV_SIZE; i++) { /* every descriptor leads on */
        poke(DRV_RINGS + 16 * i, 8, SPARE);
        poke(DRV_RINGS + 16 * i + 8, 4, 1);
        poke(DRV_RINGS + 16 * i + (split ? 12 : 14), 2, DRV_NEXT | (split ? 0 : 0x80));
        poke(DRV_RINGS + 16 * i + (split ? 14 : 12), 2, (i + 1) % DRV_SIZE);
    }
    if (split) {
        poke(DRV_RINGS + 0x1000 + 4 + 2u * d.avail, 2, 0);
        poke(DRV_RINGS + 0x1000 + 2, 2, d.avail + 1u);
    }
    expect_stopped("a loop in the ring");
}

Test(virtio, abuse_of_split_rings)
{
    abuse(V1 | INDIRECT);
}

Test(virtio, abuse_of_packed_rings)
{
    abuse(V1 | INDIRECT | PACKED);
}

Test(virtio, data_that_is_not_memory_fails_the_request)
{
    const struct drv_buf bufs[] = { { HEADER_AT, 16, 0 },
                                    { DRV_CONFIG, 512, DRV_WRITE },
                                    { STATUS_AT, 1, DRV_WRITE } };
    uint32_t len;
    drv_start(&d, V1);
    header(IN, 0);
    drv_add(&d, bufs, 3);
    drv_kick(&d);
    cr_assert_eq(drv_used(&d, &len), 0);
    cr_assert_eq(*ram(STATUS_AT), 1);
    cr_assert_eq(drv_status(&d), 15, "only the request is wrong");
}

Test(virtio, a_reset_takes_back_what_flies)
{
    const struct drv_buf bufs[] = { { HEADER_AT, 16, 0 },
                                    { DATA_AT, 512, DRV_WRITE },
                                    { STATUS_AT, 1, DRV_WRITE } };
    drv_start(&d, V1);
    header(IN, 0);
    drv_add(&d, bufs, 3);
    drv_kick(&d);
    cr_assert_eq(drv_start(&d, V1), 15);
    memset(ram(DATA_AT), 0x77, 512);
    fake_advance(&f, 10 * FAKE_DISK_NS);
    cr_assert_eq(*ram(DATA_AT), 0x77, "nothing comes late");
    cr_assert_eq(*ram(STATUS_AT), 0xee);
    cr_assert_eq(request(IN, 4, 512), 0);
}

Test(virtio, a_queue_is_reset_alone)
{
    drv_start(&d, V1 | RESETTER);
    cr_assert_eq(request(IN, 4, 512), 0);
    fake_write(&f, DRV_COMMON + 0x3a, 2, 1);
    cr_assert_eq(fake_read(&f, DRV_COMMON + 0x3a, 2), 0);
    cr_assert_eq(fake_read(&f, DRV_COMMON + 0x1c, 2), 0, "not enabled");
    cr_assert_eq(drv_status(&d), 15);
    drv_kick(&d);
}

Test(virtio, a_ring_that_is_never_empty_does_not_hold_the_machine)
{
    const struct drv_buf bufs[] = { { HEADER_AT, 16, 0 }, { STATUS_AT, 1, DRV_WRITE } };
    uint32_t len;
    unsigned served = 0;
    drv_start(&d, V1);
    header(GET_ID, 0);
    for (unsigned i = 0; i < DRV_SIZE; i++) {
        d.free_desc = 0;
        drv_add(&d, bufs, 2);
    }
    drv_kick(&d);
    while (drv_used(&d, &len) >= 0)
        served++;
    cr_assert_eq(served, DRV_SIZE);
}

Test(virtio, state_is_saved)
{
    drv_start(&d, V1 | PACKED);
    for (unsigned i = 0; i < 9; i++)
        cr_assert_eq(request(IN, 0, 512), 0);
    fake_save_load(d.dev);
    for (unsigned i = 0; i < 9; i++)
        cr_assert_eq(request(IN, i, 512), 0);
}
