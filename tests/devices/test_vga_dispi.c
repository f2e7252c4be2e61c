/* SPDX-License-Identifier: MIT */
/**
 * @file test_vga_dispi.c
 * High resolutions through DISPI: depths, banks, panning, BAR 2, and what is refused.
 */
#include <criterion/criterion.h>

#include "devices/pci/pci.h"
#include "vga_modes.h"

enum { ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET, MEMORY };

static struct vga_test t;

static void setup(void)
{
    vga_test_init(&t);
    vga_test_mode(&t, &vga_mode_13); /* for a palette, and the screen on */
}

static void teardown(void)
{
    vga_test_fini(&t);
}

TestSuite(vga_dispi, .init = setup, .fini = teardown);

static void set(uint16_t width, uint16_t height, uint16_t bpp, uint16_t flags)
{
    vga_test_dispi(&t, ENABLE, 0);
    vga_test_dispi(&t, XRES, width);
    vga_test_dispi(&t, YRES, height);
    vga_test_dispi(&t, BPP, bpp);
    vga_test_dispi(&t, ENABLE, 0x41 | flags);
}

static uint8_t pattern(uint32_t i)
{
    return (uint8_t)((i * 2654435761u) >> 23);
}

static void fill(uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        fake_write(&t.f, LFB + i, 1, pattern(i));
}

static uint32_t scale(uint32_t v, uint32_t most)
{
    return v * 255 / most;
}

/** The colour of pixel @p i of a line that begins at byte @p at; 5- and 6-bit parts to within 1. */
static void compare(uint32_t pixel, uint32_t at, uint32_t i, uint32_t bpp)
{
    const uint32_t n = (bpp + 7) / 8;
    uint32_t v = 0, want;
    for (uint32_t k = 0; k < n; k++)
        v |= (uint32_t)pattern(at + i * n + k) << 8 * k;
    switch (bpp) {
    case 8:
        want = vga_test_colour(v);
        break;
    case 15:
        want = scale(v >> 10 & 31, 31) << 16 | scale(v >> 5 & 31, 31) << 8 | scale(v & 31, 31);
        break;
    case 16:
        want = scale(v >> 11, 31) << 16 | scale(v >> 5 & 63, 63) << 8 | scale(v & 31, 31);
        break;
    default:
        want = v & 0xffffff;
        break;
    }
    for (unsigned k = 0; k < 24; k += 8) {
        const int d = (int)(pixel >> k & 0xff) - (int)(want >> k & 0xff);
        cr_assert(d >= -1 && d <= 1, "%u bits, pixel %u: %06x, not %06x", bpp, i, pixel, want);
    }
}

Test(vga_dispi, every_packed_depth)
{
    static const uint16_t depths[] = { 8, 15, 16, 24, 32 };
    for (unsigned d = 0; d < VM_COUNT_OF(depths); d++) {
        const uint32_t bytes = (depths[d] + 7u) / 8, pitch = 640 * bytes;
        set(640, 100, depths[d], 0);
        fill(pitch * 100);
        const struct vm_surface *s = vga_test_look(&t);
        cr_assert_eq(s->width, 640);
        cr_assert_eq(s->height, 100);
        for (uint32_t y = 0; y < 100; y++)
            for (uint32_t x = 0; x < 640; x++)
                compare(vga_test_pixel(s, x, y), y * pitch, x, depths[d]);
    }
}

Test(vga_dispi, four_bits_are_planes_behind_banks)
{
    set(1024, 768, 4, 0); /* 98304 bytes a plane: two banks */
    vga_test_gc(&t, 5, 0);
    vga_test_gc(&t, 6, 5);
    vga_test_seq(&t, 4, 6);
    for (uint8_t p = 0; p < 4; p++) {
        vga_test_seq(&t, 2, (uint8_t)(1 << p));
        for (uint32_t a = 0; a < 128 * 768; a++) {
            if ((a & 0xffff) == 0)
                vga_test_dispi(&t, BANK, (uint16_t)(a >> 16));
            fake_write(&t.f, 0xa0000 + (a & 0xffff), 1, pattern(a * 4 + p));
        }
    }
    const struct vm_surface *s = vga_test_look(&t);
    for (uint32_t y = 0; y < 768; y++) {
        for (uint32_t x = 0; x < 1024; x++) {
            static const uint8_t dac[16] = {
                0, 1, 2, 3, 4, 5, 20, 7, 56, 57, 58, 59, 60, 61, 62, 63
            };
            unsigned colour = 0;
            for (unsigned p = 0; p < 4; p++)
                colour |= (pattern((y * 128 + x / 8) * 4 + p) >> (7 - x % 8) & 1u) << p;
            cr_assert_eq(vga_test_pixel(s, x, y), vga_test_colour(dac[colour]), "at %u,%u", x, y);
        }
    }
}

Test(vga_dispi, the_window_shows_a_bank)
{
    set(800, 600, 32, 0);
    for (uint16_t bank = 0; bank < 29; bank++) {
        vga_test_dispi(&t, BANK, bank);
        fake_write(&t.f, 0xa0000 + 0x1234, 4, 0x01010101u * bank);
        cr_assert_eq(fake_read(&t.f, LFB + bank * 0x10000u + 0x1234, 4), 0x01010101u * bank);
    }
    vga_test_dispi(&t, BANK, 0x100); /* behind 16 MiB */
    cr_assert_eq(vga_test_dispi_read(&t, BANK), 28);
}

Test(vga_dispi, a_wide_screen_pans)
{
    set(640, 480, 8, 0);
    vga_test_dispi(&t, VIRT_WIDTH, 1000);
    cr_assert_eq(vga_test_dispi_read(&t, VIRT_WIDTH), 1000);
    cr_assert_eq(vga_test_dispi_read(&t, VIRT_HEIGHT), (16 << 20) / 1000);
    vga_test_dispi(&t, X_OFFSET, 360);
    vga_test_dispi(&t, Y_OFFSET, 20);
    fill(1000 * 600);
    const struct vm_surface *s = vga_test_look(&t);
    for (uint32_t y = 0; y < 480; y += 7)
        for (uint32_t x = 0; x < 640; x++)
            compare(vga_test_pixel(s, x, y), (y + 20) * 1000 + 360, x, 8);
    vga_test_dispi(&t, X_OFFSET, 361);
    cr_assert_eq(vga_test_dispi_read(&t, X_OFFSET), 360, "it would leave the line");
    vga_test_dispi(&t, VIRT_WIDTH, 640);
    cr_assert_eq(vga_test_dispi_read(&t, X_OFFSET), 0);
}

Test(vga_dispi, what_does_not_fit_is_refused)
{
    set(4096, 2400, 32, 0); /* 37.5 MiB */
    cr_assert_eq(vga_test_dispi_read(&t, ENABLE) & 1, 0);
    set(640, 480, 8, 0);
    vga_test_dispi(&t, XRES, 800);
    cr_assert_eq(vga_test_dispi_read(&t, XRES), 640, "while a mode is on");
    vga_test_dispi(&t, VIRT_WIDTH, 0xfff8);
    cr_assert_eq(vga_test_dispi_read(&t, VIRT_HEIGHT), (16 << 20) / 640, "480 lines do not fit");
    vga_test_dispi(&t, BPP, 7);
    cr_assert_eq(vga_test_dispi_read(&t, BPP), 8);
    cr_assert_eq(vga_test_dispi_read(&t, 99), 0);
}

Test(vga_dispi, identity_and_capabilities)
{
    cr_assert_eq(vga_test_dispi_read(&t, ID), 0xb0c5);
    vga_test_dispi(&t, ID, 0xb0c2);
    cr_assert_eq(vga_test_dispi_read(&t, ID), 0xb0c2);
    vga_test_dispi(&t, ID, 0xb0c9);
    cr_assert_eq(vga_test_dispi_read(&t, ID), 0xb0c2);
    cr_assert_eq(vga_test_dispi_read(&t, MEMORY), 256);
    vga_test_dispi(&t, ENABLE, 2);
    cr_assert_eq(vga_test_dispi_read(&t, BPP), 32);
    cr_assert(vga_test_dispi_read(&t, XRES) >= 1920);
}

Test(vga_dispi, enabling_clears_unless_told_not_to)
{
    fake_write(&t.f, LFB + 100, 4, 0x11223344);
    set(640, 480, 32, 0x80);
    cr_assert_eq(fake_read(&t.f, LFB + 100, 4), 0x11223344);
    set(640, 480, 32, 0);
    cr_assert_eq(fake_read(&t.f, LFB + 100, 4), 0);
}

Test(vga_dispi, eight_bits_of_colour)
{
    set(640, 480, 8, 0x20);
    fake_out8(&t.f, 0x3c8, 1);
    fake_out8(&t.f, 0x3c9, 0x12);
    fake_out8(&t.f, 0x3c9, 0xfe);
    fake_out8(&t.f, 0x3c9, 0x80);
    fake_write(&t.f, LFB, 1, 1);
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), 0x12fe80);
}

Test(vga_dispi, bar_2_has_the_same_registers)
{
    cr_assert_eq(fake_read(&t.f, MMIO + 0x500, 2), 0xb0c5);
    fake_write(&t.f, MMIO + 0x508, 2, 0);
    fake_write(&t.f, MMIO + 0x502, 2, 1280);
    fake_write(&t.f, MMIO + 0x504, 2, 1024);
    fake_write(&t.f, MMIO + 0x506, 2, 32);
    fake_write(&t.f, MMIO + 0x508, 2, 0x41);
    cr_assert_eq(vga_test_look(&t)->width, 1280);
    fake_write(&t.f, MMIO + 0x40c + 8, 1, 0x0f); /* port 3D4 */
    cr_assert_eq(fake_in8(&t.f, 0x3d4), 0x0f);
    cr_assert_eq(fake_read(&t.f, MMIO + 0x600, 4), 8);
    fake_write(&t.f, LFB, 4, 0x00112233);
    fake_write(&t.f, MMIO + 0x604, 4, 0xbebebebe);
    cr_assert_eq(fake_read(&t.f, MMIO + 0x604, 4), 0xbebebebe);
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), 0x221100);
    uint8_t sum = 0;
    for (unsigned i = 0; i < 128; i++)
        sum = (uint8_t)(sum + fake_read(&t.f, MMIO + i, 1));
    cr_assert_eq(sum, 0, "the monitor's data add up");
    cr_assert_eq(fake_read(&t.f, MMIO, 8), 0x00ffffffffffff00);
}

/** One line's page written: that line drawn, twice at most. */
Test(vga_dispi, only_lines_written_to_are_drawn)
{
    set(1024, 768, 32, 0);
    (void)vga_test_look(&t);
    (void)vga_test_look(&t);
    vga_test_clear(&t);
    (void)vga_test_look(&t);
    cr_assert_eq(t.damages, 0);
    fake_write(&t.f, LFB + 500 * 4096 + 8, 4, 0xffffff);
    (void)vga_test_look(&t);
    cr_assert_eq(t.damages, 1);
    cr_assert_eq(t.from, 500);
    cr_assert_eq(t.to, 501);
}

Test(vga_dispi, a_mode_survives_saving_and_damage_is_refused)
{
    set(640, 480, 16, 0);
    fake_save_load(t.dev);
    cr_assert_eq(vga_test_look(&t)->height, 480);
    cr_assert_eq(vga_test_dispi_read(&t, BPP), 16);
}

Test(vga_dispi, leaving_gives_the_vga_mode_back)
{
    set(800, 600, 32, 0);
    cr_assert_eq(vga_test_look(&t)->width, 800);
    vga_test_dispi(&t, ENABLE, 0);
    cr_assert_eq(vga_test_look(&t)->width, 640);
    cr_assert_eq(vga_test_look(&t)->height, 400);
}
