/* SPDX-License-Identifier: MIT */
/**
 * @file test_vga_memory.c
 * The VGA's memory window against a model of it that goes bit by bit, as [FreeVGA "Accessing the
 * VGA Display Memory"] tells it.
 */
#include <criterion/criterion.h>

#include "vga_modes.h"

static struct vga_test t;

static void setup(void)
{
    vga_test_init(&t);
}

static void teardown(void)
{
    vga_test_fini(&t);
}

TestSuite(vga_memory, .init = setup, .fini = teardown);

/* ---- the model ---------------------------------------------------------------------------- */

static struct {
    uint8_t plane[4][65536];
    uint8_t latch[4];
    uint8_t seq[5], gc[9];
} model;

static uint64_t seed = 88172645463325252u;

static uint32_t rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % n;
}

static int bit(unsigned v, unsigned n)
{
    return v >> n & 1;
}

/** In the window of 64 or 128 KiB at A0000. */
static uint32_t model_address(uint32_t a)
{
    if (bit(model.seq[4], 3)) /* chain 4 */
        return (a & 0xfffc) | (a >> 14 & 3);
    if (bit(model.gc[6], 1)) /* chain odd and even */
        return (a & 0xfffe) | (a >= 0x10000);
    return a & 0xffff;
}

static int model_plane_enabled(uint32_t a, unsigned plane)
{
    if (!bit(model.seq[2], plane))
        return 0;
    if (bit(model.seq[4], 3))
        return plane == (a & 3);
    if (!bit(model.seq[4], 2))
        return (plane & 1) == (a & 1);
    return 1;
}

static int logical(int data, int latch)
{
    switch (model.gc[3] >> 3 & 3) {
    case 1:
        return data & latch;
    case 2:
        return data | latch;
    case 3:
        return data ^ latch;
    default:
        return data;
    }
}

/** One bit of one plane. */
static int model_bit(uint8_t value, unsigned plane, unsigned n)
{
    const unsigned rotated = bit(value, (n + (model.gc[3] & 7)) & 7);
    const int latch = bit(model.latch[plane], n), set = bit(model.gc[0], plane);
    int masked = bit(model.gc[8], n);

    switch (model.gc[5] & 3) {
    case 0: {
        const int data = bit(model.gc[1], plane) ? set : (int)rotated;
        return masked ? logical(data, latch) : latch;
    }
    case 1:
        return latch;
    case 2:
        return masked ? logical(bit(value, plane), latch) : latch;
    default:
        masked &= (int)rotated;
        return masked ? logical(set, latch) : latch;
    }
}

static void model_write(uint32_t a, uint8_t value)
{
    uint8_t out[4] = { 0 };
    for (unsigned p = 0; p < 4; p++)
        for (unsigned n = 0; n < 8; n++)
            out[p] |= (uint8_t)(model_bit(value, p, n) << n);
    for (unsigned p = 0; p < 4; p++)
        if (model_plane_enabled(a, p))
            model.plane[p][model_address(a)] = out[p];
}

static uint8_t model_read(uint32_t a)
{
    uint8_t out = 0;
    for (unsigned p = 0; p < 4; p++)
        model.latch[p] = model.plane[p][model_address(a)];
    if (bit(model.seq[4], 3))
        return model.latch[a & 3];
    if (!bit(model.gc[5], 3)) {
        unsigned p = model.gc[4] & 3;
        if (bit(model.gc[5], 4))
            p = (p & 2) | (a & 1);
        return model.latch[p];
    }
    for (unsigned n = 0; n < 8; n++) {
        int same = 1;
        for (unsigned p = 0; p < 4; p++)
            if (bit(model.gc[7], p) && bit(model.latch[p], n) != bit(model.gc[2], p))
                same = 0;
        out |= (uint8_t)(same << n);
    }
    return out;
}

/* ---- both --------------------------------------------------------------------------------- */

static void set_gc(uint8_t i, uint8_t v)
{
    model.gc[i] = v;
    vga_test_gc(&t, i, v);
}

static void set_seq(uint8_t i, uint8_t v)
{
    model.seq[i] = v;
    vga_test_seq(&t, i, v);
}

/** Registers at random; the map is A0000 with 64 or 128 KiB. */
static void shuffle(bool wide)
{
    static const uint8_t memory[] = { 0x06, 0x06, 0x02, 0x0e };
    set_seq(2, (uint8_t)rnd(16));
    set_seq(4, memory[rnd(4)]);
    for (uint8_t i = 0; i < 5; i++)
        set_gc(i, (uint8_t)rnd(i == 3 ? 32 : i == 4 ? 4 : 16));
    set_gc(5, (uint8_t)(rnd(4) | rnd(4) << 3));
    set_gc(6, (uint8_t)(1 | rnd(2) << 1 | (wide ? 0 : 4)));
    set_gc(7, (uint8_t)rnd(16));
    set_gc(8, rnd(3) == 0 ? 0xff : (uint8_t)rnd(256));
}

static void compare_planes(void)
{
    set_seq(4, 0x06);
    set_gc(5, 0);
    set_gc(6, 5);
    for (uint8_t p = 0; p < 4; p++) {
        set_gc(4, p);
        for (uint32_t a = 0; a < 0x10000; a += 4) {
            const uint32_t got = (uint32_t)fake_read(&t.f, 0xa0000 + a, 4);
            cr_assert_eq(got, vm_le32(&model.plane[p][a]), "plane %u at %x: %08x", p, a, got);
        }
    }
}

static void same_as_model(bool wide)
{
    memset(&model, 0, sizeof model);
    vga_test_mode(&t, &vga_mode_12);
    for (unsigned round = 0; round < 400; round++) {
        shuffle(wide);
        for (unsigned i = 0; i < 100; i++) {
            /* Few addresses, so that they meet again. */
            const uint32_t a = (rnd(wide ? 2 : 1) << 16) + rnd(8) * 0x2001 + rnd(16);
            const uint8_t v = (uint8_t)rnd(256);
            if (rnd(2)) {
                const uint8_t want = model_read(a), got = (uint8_t)fake_read(&t.f, 0xa0000 + a, 1);
                cr_assert_eq(got, want, "round %u, %x: %02x, not %02x", round, a, got, want);
            } else {
                model_write(a, v);
                fake_write(&t.f, 0xa0000 + a, 1, v);
            }
        }
    }
    compare_planes();
}

Test(vga_memory, every_write_mode_is_as_the_manual_says)
{
    same_as_model(false);
}

Test(vga_memory, and_in_a_window_of_128_kib)
{
    same_as_model(true);
}

Test(vga_memory, wide_accesses_are_bytes_in_order)
{
    vga_test_mode(&t, &vga_mode_12);
    fake_write(&t.f, 0xa0010, 4, 0x44332211);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(fake_read(&t.f, 0xa0010 + i, 1), 0x11 * (i + 1));
    cr_assert_eq(fake_read(&t.f, 0xa0010, 8), 0x44332211);
}

Test(vga_memory, only_the_range_that_is_mapped_answers)
{
    static const struct {
        uint8_t misc;
        uint32_t first, last;
    } maps[] = { { 0x01, 0xa0000, 0xbffff },
                 { 0x05, 0xa0000, 0xaffff },
                 { 0x09, 0xb0000, 0xb7fff },
                 { 0x0d, 0xb8000, 0xbffff } };
    vga_test_mode(&t, &vga_mode_12);
    for (unsigned i = 0; i < VM_COUNT_OF(maps); i++) {
        vga_test_gc(&t, 6, maps[i].misc);
        for (uint32_t a = 0xa0000; a < 0xc0000; a += 0x3fff) {
            const bool in = a >= maps[i].first && a <= maps[i].last;
            fake_write(&t.f, a, 1, 0x5a);
            cr_assert_eq(fake_read(&t.f, a, 1), in ? 0x5a : 0xff, "map %u, %x", i, a);
        }
    }
    fake_out8(&t.f, 0x3c2, 0xe1); /* memory off */
    cr_assert_eq(fake_read(&t.f, 0xb8000, 1), 0xff);
}

Test(vga_memory, mode_13h_is_plain_memory_and_the_same_through_planes)
{
    struct vm_mem_page page;
    vga_test_mode(&t, &vga_mode_13);
    vm__mem_page(t.f.m, VM_VIEW_NORMAL, 0xa0000, &page);
    cr_assert_not_null(page.host, "a page the processor can write to by itself");
    for (uint32_t a = 0; a < 64; a++)
        fake_write(&t.f, 0xa0000 + a, 1, a);
    vga_test_seq(&t, 4, 0x06);
    vm__mem_page(t.f.m, VM_VIEW_NORMAL, 0xa0000, &page);
    cr_assert_null(page.host);
    for (uint8_t p = 0; p < 4; p++) {
        vga_test_gc(&t, 4, p);
        for (uint32_t a = 0; a < 64; a += 4)
            cr_assert_eq(fake_read(&t.f, 0xa0000 + a, 1), a + p);
    }
    vga_test_seq(&t, 4, 0x0e);
    vga_test_gc(&t, 8, 0x0f); /* half of every byte: no plain memory */
    fake_write(&t.f, 0xa0020, 1, 0xff);
    cr_assert_eq(fake_read(&t.f, 0xa0020, 1) & 0x0f, 0x0f);
    vm__mem_page(t.f.m, VM_VIEW_NORMAL, 0xa0000, &page);
    cr_assert_null(page.host);
}
