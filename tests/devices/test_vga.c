/* SPDX-License-Identifier: MIT */
/**
 * @file test_vga.c
 * Standard VGA modes drawn, and every pixel compared with what the mode's definition gives.
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

TestSuite(vga, .init = setup, .fini = teardown);

/** Something that looks different everywhere. */
static uint8_t pattern(uint32_t i)
{
    return (uint8_t)((i * 2654435761u) >> 23);
}

static void expect(const struct vm_surface *s, uint32_t width, uint32_t height)
{
    cr_assert_eq(s->width, width, "%u wide", s->width);
    cr_assert_eq(s->height, height, "%u high", s->height);
}

/* ---- text --------------------------------------------------------------------------------- */

static const uint8_t attr_dac[16] = { 0, 1, 2, 3, 4, 5, 20, 7, 56, 57, 58, 59, 60, 61, 62, 63 };

/** Put a pattern of 256 characters of 16 lines into plane 2 at @p base. */
static void load_font(uint32_t base, uint32_t salt)
{
    vga_test_seq(&t, 2, 4);
    vga_test_seq(&t, 4, 6);
    vga_test_gc(&t, 5, 0);
    vga_test_gc(&t, 6, 4);
    for (uint32_t i = 0; i < 256 * 32; i++)
        fake_write(&t.f, 0xa0000 + base + i, 1, pattern(i + salt));
    vga_test_seq(&t, 2, 3);
    vga_test_seq(&t, 4, 2);
    vga_test_gc(&t, 5, 0x10);
    vga_test_gc(&t, 6, 0x0e);
}

static void fill_text(uint32_t cells)
{
    for (uint32_t i = 0; i < cells; i++)
        fake_write(&t.f, 0xb8000 + 2 * i, 2, (i * 7) % 256 | pattern(i) << 8);
}

/** What a dot of a text screen is, blinking characters shown, no cursor. */
static uint32_t text_dot(uint32_t x, uint32_t y, uint32_t columns, uint32_t width, bool blink,
                         uint32_t salt)
{
    const uint32_t i = y / 16 * columns + x / width;
    const uint8_t code = (uint8_t)((i * 7) % 256), attribute = pattern(i);
    const uint8_t row = pattern(code * 32u + y % 16 + salt);
    const uint32_t dot = x % width;
    int on = dot < 8 ? row >> (7 - dot) & 1 : code >= 0xc0 && code <= 0xdf ? row & 1 : 0;
    unsigned back = attribute >> 4;
    if (blink)
        back &= 7;
    return vga_test_colour(attr_dac[on ? attribute & 15 : back]);
}

static void compare_text(uint32_t columns, uint32_t width, uint32_t repeat, bool blink)
{
    const struct vm_surface *s = vga_test_look(&t);
    expect(s, columns * width * repeat, 400);
    for (uint32_t y = 0; y < 400; y++)
        for (uint32_t x = 0; x < s->width; x++)
            cr_assert_eq(vga_test_pixel(s, x, y), text_dot(x / repeat, y, columns, width, blink, 0),
                         "at %u,%u", x, y);
}

static void start_text(const struct vga_mode *mode)
{
    vga_test_mode(&t, mode);
    vga_test_crtc(&t, 0x0a, 0x20); /* no cursor */
    load_font(0, 0);
    fill_text(4096);
}

Test(vga, text_of_80_columns_and_nine_dots)
{
    start_text(&vga_mode_03);
    compare_text(80, 9, 1, true);
    vga_test_attr(&t, 0x10, 0x04); /* bright backgrounds instead of blinking */
    compare_text(80, 9, 1, false);
}

Test(vga, text_of_eight_dots_and_of_40_columns)
{
    start_text(&vga_mode_03);
    vga_test_seq(&t, 1, 0x01);
    compare_text(80, 8, 1, true);
    start_text(&vga_mode_01);
    compare_text(40, 9, 2, true);
}

Test(vga, attribute_bit_3_selects_a_second_font)
{
    start_text(&vga_mode_03);
    load_font(0x4000, 77);
    vga_test_seq(&t, 3, 0x04); /* map A, for bit 3 set: number 1, at 16 KiB */
    const struct vm_surface *s = vga_test_look(&t);
    for (uint32_t y = 0; y < 400; y++) {
        for (uint32_t x = 0; x < 720; x++) {
            const uint8_t attribute = pattern(y / 16 * 80 + x / 9);
            cr_assert_eq(vga_test_pixel(s, x, y),
                         text_dot(x, y, 80, 9, true, attribute & 8 ? 77 : 0), "at %u,%u", x, y);
        }
    }
}

Test(vga, blinking_characters_vanish_and_come_back)
{
    start_text(&vga_mode_03);
    for (uint32_t i = 0; i < 2000; i++)
        fake_write(&t.f, 0xb8000 + 2 * i, 2, 0x8700 | 0xdb);
    const struct vm_surface *s = vga_test_look(&t);
    const uint32_t lit = vga_test_pixel(s, 1, 1) | vga_test_pixel(s, 2, 1);
    unsigned dark = 0;
    for (unsigned i = 0; i < 60; i++) { /* a second */
        fake_advance(&t.f, 16666667);
        s = vga_test_look(&t);
        unsigned n = 0;
        for (uint32_t x = 0; x < 9; x++)
            for (uint32_t y = 0; y < 16; y++)
                n += vga_test_pixel(s, x, y) != vga_test_colour(0);
        dark += n == 0;
    }
    cr_assert_neq(lit, 0);
    cr_assert(dark > 15 && dark < 45, "%u of 60 frames", dark);
}

Test(vga, the_cursor_is_where_it_was_put)
{
    vga_test_mode(&t, &vga_mode_03); /* without a font: nothing else is drawn */
    fill_text(0);
    for (uint32_t i = 0; i < 2000; i++)
        fake_write(&t.f, 0xb8000 + 2 * i, 2, 0x0720);
    vga_test_crtc(&t, 0x0e, 0);
    vga_test_crtc(&t, 0x0f, 83); /* column 3 of row 1 */
    const struct vm_surface *s = vga_test_look(&t);
    for (uint32_t y = 0; y < 400; y++)
        for (uint32_t x = 0; x < 720; x++)
            cr_assert_eq(vga_test_pixel(s, x, y),
                         vga_test_colour(x / 9 == 3 && (y == 29 || y == 30) ? 7 : 0));
    vga_test_clear(&t);
    vga_test_crtc(&t, 0x0f, 84);
    s = vga_test_look(&t);
    cr_assert_eq(vga_test_pixel(s, 3 * 9, 29), vga_test_colour(0));
    cr_assert_eq(vga_test_pixel(s, 4 * 9, 29), vga_test_colour(7));
    cr_assert(t.from >= 16 && t.to <= 32, "only its row is drawn: %u to %u", t.from, t.to);
}

Test(vga, text_can_be_read)
{
    vm_text_cell cells[4096];
    uint32_t columns = 0;
    vga_test_mode(&t, &vga_mode_03);
    fill_text(2000);
    fake_write(&t.f, 0xb8000, 4, 0x1f811f41); /* "A", then u with dots, white on blue */
    vm__lock(t.f.m);
    cr_assert_eq(vm__display_text(t.display, cells, 4096, &columns), 2000);
    vm__unlock(t.f.m);
    cr_assert_eq(columns, 80);
    cr_assert_eq(cells[0].code, 'A');
    cr_assert_eq(cells[1].code, 0xfc);
    cr_assert_eq(cells[1].foreground, 15);
    cr_assert_eq(cells[1].background, 1);
    cr_assert_eq(cells[0].flags, VM_CELL_CURSOR);
    vga_test_mode(&t, &vga_mode_13);
    cr_assert_eq(vm__display_text(t.display, cells, 4096, &columns), 0);
}

Test(vga, the_screen_begins_where_the_start_address_says)
{
    start_text(&vga_mode_03);
    vga_test_crtc(&t, 0x0d, 160); /* two rows down */
    const struct vm_surface *s = vga_test_look(&t);
    for (uint32_t y = 0; y < 400; y += 3)
        for (uint32_t x = 0; x < 720; x++)
            cr_assert_eq(vga_test_pixel(s, x, y), text_dot(x, y + 32, 80, 9, true, 0));
}

/* ---- graphics ----------------------------------------------------------------------------- */

Test(vga, mode_12h_has_16_colours_from_four_planes)
{
    vga_test_mode(&t, &vga_mode_12);
    for (uint8_t p = 0; p < 4; p++) {
        vga_test_seq(&t, 2, (uint8_t)(1 << p));
        for (uint32_t a = 0; a < 80 * 480; a++)
            fake_write(&t.f, 0xa0000 + a, 1, pattern(a * 4 + p));
    }
    const struct vm_surface *s = vga_test_look(&t);
    expect(s, 640, 480);
    for (uint32_t y = 0; y < 480; y++) {
        for (uint32_t x = 0; x < 640; x++) {
            unsigned colour = 0;
            for (unsigned p = 0; p < 4; p++)
                colour |= (pattern((y * 80 + x / 8) * 4 + p) >> (7 - x % 8) & 1u) << p;
            cr_assert_eq(vga_test_pixel(s, x, y), vga_test_colour(attr_dac[colour]));
        }
    }
}

Test(vga, mode_0dh_doubles_dots_and_lines)
{
    vga_test_mode(&t, &vga_mode_0d);
    vga_test_seq(&t, 2, 0x02);
    for (uint32_t a = 0; a < 40 * 200; a++)
        fake_write(&t.f, 0xa0000 + a, 1, pattern(a));
    const struct vm_surface *s = vga_test_look(&t);
    expect(s, 640, 400);
    for (uint32_t y = 0; y < 400; y++)
        for (uint32_t x = 0; x < 640; x++)
            cr_assert_eq(
                vga_test_pixel(s, x, y),
                vga_test_colour(pattern(y / 2 * 40 + x / 16) >> (7 - x / 2 % 8) & 1 ? 2 : 0));
}

Test(vga, mode_13h_has_a_byte_a_pixel)
{
    vga_test_mode(&t, &vga_mode_13);
    for (uint32_t a = 0; a < 64000; a++)
        fake_write(&t.f, 0xa0000 + a, 1, pattern(a));
    const struct vm_surface *s = vga_test_look(&t);
    expect(s, 640, 400);
    for (uint32_t y = 0; y < 400; y++)
        for (uint32_t x = 0; x < 640; x++)
            cr_assert_eq(vga_test_pixel(s, x, y), vga_test_colour(pattern(y / 2 * 320 + x / 2)));
}

/** Unchained: pixel x in plane x & 3 at 80 y + x / 4. */
static void fill_mode_x(void)
{
    for (uint8_t p = 0; p < 4; p++) {
        vga_test_seq(&t, 2, (uint8_t)(1 << p));
        for (uint32_t a = 0; a < 0x10000; a++)
            fake_write(&t.f, 0xa0000 + a, 1, pattern(a * 4 + p));
    }
}

Test(vga, mode_x_shows_one_page_while_another_is_drawn)
{
    vga_test_mode(&t, &vga_mode_x);
    fill_mode_x();
    for (uint32_t start = 0; start <= 0x8000; start += 0x4000) {
        vga_test_crtc(&t, 0x0c, (uint8_t)(start >> 8));
        const struct vm_surface *s = vga_test_look(&t);
        for (uint32_t y = 0; y < 400; y++)
            for (uint32_t x = 0; x < 640; x++)
                cr_assert_eq(vga_test_pixel(s, x, y),
                             vga_test_colour(pattern((start + y / 2 * 80) * 4 + x / 2)));
    }
}

Test(vga, mode_x_pans_by_pixels)
{
    vga_test_mode(&t, &vga_mode_x);
    fill_mode_x();
    vga_test_attr(&t, 0x13, 6); /* three pixels */
    const struct vm_surface *s = vga_test_look(&t);
    for (uint32_t x = 0; x < 634; x++)
        cr_assert_eq(vga_test_pixel(s, x, 10), vga_test_colour(pattern(5 * 320 + x / 2 + 3)));
}

/** Line compare 99 in a mode of 400 lines: from line 100 on, memory from 0. */
Test(vga, the_lower_part_of_a_split_screen_comes_from_address_0)
{
    vga_test_mode(&t, &vga_mode_x);
    fill_mode_x();
    vga_test_crtc(&t, 0x0c, 0x40);
    vga_test_crtc(&t, 0x07, 0x0f); /* bit 8 of line compare off */
    vga_test_crtc(&t, 0x09, 0x01); /* bit 9 off */
    vga_test_crtc(&t, 0x18, 99);
    vga_test_attr(&t, 0x13, 2);
    vga_test_attr(&t, 0x10, 0x61); /* the lower part does not pan */
    const struct vm_surface *s = vga_test_look(&t);
    for (uint32_t x = 0; x < 600; x++) {
        cr_assert_eq(vga_test_pixel(s, x, 99),
                     vga_test_colour(pattern((0x4000 + 49 * 80) * 4 + x / 2 + 1)));
        cr_assert_eq(vga_test_pixel(s, x, 100), vga_test_colour(pattern(x / 2)));
        cr_assert_eq(vga_test_pixel(s, x, 399), vga_test_colour(pattern(149 * 320 + x / 2)));
    }
}

static const uint8_t cga_dac[4] = { 0x00, 0x13, 0x15, 0x17 };

Test(vga, mode_4_has_two_bits_a_pixel_and_two_banks)
{
    vga_test_mode(&t, &vga_mode_04);
    for (uint32_t a = 0; a < 0x4000; a++)
        fake_write(&t.f, 0xb8000 + a, 1, pattern(a));
    const struct vm_surface *s = vga_test_look(&t);
    expect(s, 640, 400);
    for (uint32_t y = 0; y < 400; y++) {
        for (uint32_t x = 0; x < 640; x++) {
            const uint32_t py = y / 2, px = x / 2;
            const uint8_t byte = pattern((py & 1) * 0x2000 + py / 2 * 80 + px / 4);
            cr_assert_eq(vga_test_pixel(s, x, y),
                         vga_test_colour(cga_dac[byte >> (6 - 2 * (px % 4)) & 3]), "at %u,%u", x,
                         y);
        }
    }
}

Test(vga, mode_6_has_a_bit_a_pixel)
{
    vga_test_mode(&t, &vga_mode_06);
    for (uint32_t a = 0; a < 0x4000; a++)
        fake_write(&t.f, 0xb8000 + a, 1, pattern(a));
    const struct vm_surface *s = vga_test_look(&t);
    expect(s, 640, 400);
    for (uint32_t y = 0; y < 400; y++) {
        for (uint32_t x = 0; x < 640; x++) {
            const uint8_t byte = pattern((y / 2 & 1) * 0x2000 + y / 4 * 80 + x / 8);
            cr_assert_eq(vga_test_pixel(s, x, y),
                         vga_test_colour(cga_dac[byte >> (7 - x % 8) & 1]));
        }
    }
}

/* ---- colours ------------------------------------------------------------------------------ */

Test(vga, attribute_colour_select_and_dac_mask)
{
    vga_test_mode(&t, &vga_mode_12);
    fake_write(&t.f, 0xa0000, 1, 0xff); /* all planes: colour 15, palette 0x3f */
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), vga_test_colour(0x3f));
    vga_test_attr(&t, 0x14, 0x0a); /* bits 7 and 6 from 3 and 2, 5 and 4 from 1 and 0 */
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), vga_test_colour(0xbf));
    vga_test_attr(&t, 0x10, 0x81);
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), vga_test_colour(0xaf));
    fake_out8(&t.f, 0x3c6, 0x0f);
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), vga_test_colour(0x0f));
    vga_test_attr(&t, 0x12, 0x05); /* planes 0 and 2 only: colour 5 */
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), vga_test_colour(0x05));
}

Test(vga, the_screen_can_be_dark)
{
    vga_test_mode(&t, &vga_mode_12);
    fake_write(&t.f, 0xa0000, 1, 0xff);
    vga_test_seq(&t, 1, 0x21);
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), 0);
    vga_test_seq(&t, 1, 0x01);
    cr_assert_neq(vga_test_pixel(vga_test_look(&t), 0, 0), 0);
    (void)fake_in8(&t.f, 0x3da);
    fake_out8(&t.f, 0x3c0, 0x00); /* the palette is the processor's */
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), 0);
}

/* ---- registers ---------------------------------------------------------------------------- */

Test(vga, registers_read_back)
{
    static const struct {
        uint16_t port;
        uint8_t index, exists;
    } regs[] = {
        { 0x3c4, 0, 0x03 }, { 0x3c4, 1, 0x3d },    { 0x3c4, 2, 0x0f },    { 0x3c4, 3, 0x3f },
        { 0x3c4, 4, 0x0e }, { 0x3ce, 0, 0x0f },    { 0x3ce, 3, 0x1f },    { 0x3ce, 5, 0x7b },
        { 0x3ce, 8, 0xff }, { 0x3d4, 0x0c, 0xff }, { 0x3d4, 0x13, 0xff }, { 0x3d4, 0x18, 0xff },
    };
    vga_test_mode(&t, &vga_mode_03);
    for (unsigned i = 0; i < VM_COUNT_OF(regs); i++) {
        for (unsigned v = 0; v < 256; v += 0x55) {
            fake_out16(&t.f, regs[i].port, (uint16_t)(regs[i].index | v << 8));
            cr_assert_eq(fake_in8(&t.f, regs[i].port), regs[i].index);
            cr_assert_eq(fake_in8(&t.f, regs[i].port + 1), v & regs[i].exists);
        }
    }
    fake_out8(&t.f, 0x3c2, 0x67);
    cr_assert_eq(fake_in8(&t.f, 0x3cc), 0x67);
}

Test(vga, protected_crtc_registers_keep_all_but_one_bit)
{
    vga_test_mode(&t, &vga_mode_03);
    vga_test_crtc(&t, 0x00, 0x11);
    fake_out8(&t.f, 0x3d4, 0x00);
    cr_assert_eq(fake_in8(&t.f, 0x3d5), 0x5f);
    vga_test_crtc(&t, 0x07, 0x00);
    cr_assert_eq(fake_in8(&t.f, 0x3d5), 0x0f, "the line compare bit is not protected");
}

Test(vga, reading_the_status_makes_the_next_attribute_write_an_index)
{
    vga_test_mode(&t, &vga_mode_03);
    fake_out8(&t.f, 0x3c0, 0x02); /* an index or a datum: no matter */
    (void)fake_in8(&t.f, 0x3da);
    fake_out8(&t.f, 0x3c0, 0x05);
    fake_out8(&t.f, 0x3c0, 0x2a);
    cr_assert_eq(fake_in8(&t.f, 0x3c0), 0x05);
    cr_assert_eq(fake_in8(&t.f, 0x3c1), 0x2a);
}

Test(vga, the_crtc_moves_with_the_monitor_bit)
{
    vga_test_mode(&t, &vga_mode_03);
    fake_out8(&t.f, 0x3d4, 0x0f);
    fake_out8(&t.f, 0x3c2, 0x66);
    cr_assert_eq(fake_in8(&t.f, 0x3d4), 0xff);
    cr_assert_eq(fake_in8(&t.f, 0x3b4), 0x0f);
}

Test(vga, the_dac_takes_and_gives_colours_in_threes)
{
    fake_out8(&t.f, 0x3c2, 0x67);
    fake_out8(&t.f, 0x3c8, 10);
    for (uint8_t i = 0; i < 6; i++)
        fake_out8(&t.f, 0x3c9, 0xc0 | i);
    cr_assert_eq(fake_in8(&t.f, 0x3c8), 12);
    cr_assert_eq(fake_in8(&t.f, 0x3c7), 0, "writing");
    fake_out8(&t.f, 0x3c7, 10);
    cr_assert_eq(fake_in8(&t.f, 0x3c7), 3, "reading");
    for (uint8_t i = 0; i < 6; i++)
        cr_assert_eq(fake_in8(&t.f, 0x3c9), i);
}

/** Count vertical retraces in a second of the machine's time. */
static unsigned retraces(void)
{
    unsigned n = 0;
    uint8_t before = 0;
    for (unsigned i = 0; i < 50000; i++) {
        const uint8_t now = fake_in8(&t.f, 0x3da);
        cr_assert(!(now & 8) || (now & 1), "nothing is shown during retrace");
        n += (now & 8) && !(before & 8);
        before = now;
        fake_advance(&t.f, 20000);
    }
    return n;
}

Test(vga, retrace_comes_at_the_modes_frequency)
{
    vga_test_mode(&t, &vga_mode_03);
    const unsigned text = retraces();
    cr_assert(text >= 69 && text <= 71, "%u Hz", text);
    vga_test_mode(&t, &vga_mode_12);
    const unsigned graphics = retraces();
    cr_assert(graphics >= 59 && graphics <= 61, "%u Hz", graphics);
}

/* ---- refresh ------------------------------------------------------------------------------ */

Test(vga, nothing_is_drawn_when_nothing_changed)
{
    vga_test_mode(&t, &vga_mode_12);
    fake_write(&t.f, 0xa0000, 1, 0xff);
    (void)vga_test_look(&t);
    (void)vga_test_look(&t);
    vga_test_clear(&t);
    (void)vga_test_look(&t);
    cr_assert_eq(t.damages, 0);
    fake_write(&t.f, 0xa0000 + 80 * 300, 1, 0xff);
    (void)vga_test_look(&t);
    cr_assert_eq(t.damages, 1);
    cr_assert_eq(t.from, 300);
    cr_assert_eq(t.to, 301);
    cr_assert_eq(t.modes, 0);
}

Test(vga, a_new_mode_is_told)
{
    vga_test_mode(&t, &vga_mode_12);
    (void)vga_test_look(&t);
    vga_test_clear(&t);
    vga_test_mode(&t, &vga_mode_13);
    expect(vga_test_look(&t), 640, 400);
    cr_assert_eq(t.modes, 1);
}

Test(vga, the_picture_survives_saving)
{
    start_text(&vga_mode_03);
    fake_out8(&t.f, 0x3c8, 3);
    fake_out8(&t.f, 0x3c9, 1);
    fake_save_load(t.dev);
    compare_text(80, 9, 1, true);
    fake_reset(t.dev, VM_DEV_RESET_COLD);
    cr_assert_eq(vga_test_pixel(vga_test_look(&t), 0, 0), 0);
}
