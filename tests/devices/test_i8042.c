/* SPDX-License-Identifier: MIT */
/**
 * @file test_i8042.c
 * The PS/2 controller, keyboard and mouse, through the controller's ports.
 */
#include <criterion/criterion.h>

#include "core/input.h"
#include "devices/classes.h"

static struct fake_machine f;
static struct vm_dev *kbc;

enum { DATA = 0x60, CMD = 0x64, HID_A = 0x04, HID_UP = 0x52, HID_PAUSE = 0x48, HID_PRINT = 0x46 };

static void command(uint8_t cmd, int data)
{
    fake_out8(&f, CMD, cmd);
    if (data >= 0)
        fake_out8(&f, DATA, (uint8_t)data);
}

/** Take the next byte; -1 if none comes within 10 ms. */
static int next(void)
{
    for (int i = 0; i < 10; i++) {
        if (fake_in8(&f, CMD) & 1)
            return fake_in8(&f, DATA);
        fake_advance(&f, 1000000);
    }
    return -1;
}

static void expect(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int got = next();
        cr_assert_eq(got, bytes[i], "byte %zu is 0x%x, not 0x%x", i, (unsigned)got, bytes[i]);
    }
    cr_assert_eq(next(), -1, "nothing follows");
}

#define EXPECT(...) expect((const uint8_t[]) { __VA_ARGS__ }, sizeof((uint8_t[]) { __VA_ARGS__ }))

static void keyboard(uint8_t byte)
{
    fake_out8(&f, DATA, byte);
}

static void mouse(uint8_t byte)
{
    command(0xd4, byte);
}

static void key(uint32_t usage)
{
    vm__input_key(f.m, usage, true);
    vm__input_key(f.m, usage, false);
}

static void setup(void)
{
    fake_init(&f);
    kbc = fake_add(&f, &vm__i8042_class, NULL);
    fake_wire(&f, kbc, 2);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(i8042, .init = setup, .fini = teardown);

Test(i8042, self_tests_and_command_byte)
{
    command(0xaa, -1);
    EXPECT(0x55);
    command(0xab, -1);
    EXPECT(0x00);
    command(0xa9, -1);
    EXPECT(0x00);
    cr_assert_eq(fake_in8(&f, CMD) & 0x04, 0x04, "system flag");
    command(0x60, 0x47);
    command(0x20, -1);
    EXPECT(0x47);
    command(0x65, 0x12);
    command(0x25, -1);
    EXPECT(0x12);
}

Test(i8042, keys_are_translated_to_set_1)
{
    key(HID_A);
    EXPECT(0x1e, 0x9e);
    key(HID_UP);
    EXPECT(0xe0, 0x48, 0xe0, 0xc8);
    key(HID_PAUSE);
    EXPECT(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    key(HID_PRINT);
    EXPECT(0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
    key(0x40); /* F7, whose set 2 code has bit 7 set */
    EXPECT(0x41, 0xc1);
}

Test(i8042, untranslated_keys_are_set_2)
{
    command(0x60, 0x01);
    key(HID_A);
    EXPECT(0x1c, 0xf0, 0x1c);
    key(HID_UP);
    EXPECT(0xe0, 0x75, 0xe0, 0xf0, 0x75);
    key(HID_PAUSE);
    EXPECT(0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
}

Test(i8042, other_scan_code_sets)
{
    command(0x60, 0x01);
    keyboard(0xf0);
    keyboard(1);
    EXPECT(0xfa, 0xfa);
    key(HID_UP);
    EXPECT(0xe0, 0x48, 0xe0, 0xc8);
    keyboard(0xf0);
    keyboard(3);
    keyboard(0xf8);
    keyboard(0xf0);
    keyboard(0);
    while (next() >= 0)
        continue;
    key(HID_UP);
    EXPECT(0x63, 0xf0, 0x63);
    keyboard(0xfd);
    keyboard(0x63);
    keyboard(0xf4);
    while (next() >= 0)
        continue;
    key(HID_UP);
    EXPECT(0x63);
}

Test(i8042, sysrq_and_break)
{
    vm__input_key(f.m, 0xe2, true);
    EXPECT(0x38);
    key(HID_PRINT);
    EXPECT(0x54, 0xd4);
    vm__input_key(f.m, 0xe2, false);
    EXPECT(0xb8);
    vm__input_key(f.m, 0xe0, true);
    key(HID_PAUSE);
    EXPECT(0x1d, 0xe0, 0x46, 0xe0, 0xc6);
}

Test(i8042, keyboard_commands)
{
    keyboard(0xff);
    EXPECT(0xfa, 0xaa);
    keyboard(0xee);
    EXPECT(0xee);
    keyboard(0xf2);
    EXPECT(0xfa, 0xab, 0x41); /* 83 translated, as the real controller does */
    keyboard(0xed);
    EXPECT(0xfa);
    keyboard(0x07);
    EXPECT(0xfa);
    keyboard(0xfe);
    EXPECT(0xfa);
    keyboard(0x12);
    EXPECT(0xfe);
    keyboard(0xf5);
    EXPECT(0xfa);
    key(HID_A);
    cr_assert_eq(next(), -1, "scanning is off");
    keyboard(0xf4);
    EXPECT(0xfa);
    key(HID_A);
    EXPECT(0x1e, 0x9e);
}

Test(i8042, interrupts_follow_the_buffer)
{
    command(0x60, 0x43);
    vm__input_key(f.m, HID_A, true);
    cr_assert_eq(f.level[1], 1);
    cr_assert_eq(fake_in8(&f, DATA), 0x1e);
    cr_assert_eq(f.level[1], 0);
    cr_assert_eq(fake_in8(&f, DATA), 0x1e, "the byte can be read again");
    vm__input_key(f.m, HID_A, false);
    cr_assert_eq(f.level[1], 0, "the next byte takes its time");
    fake_advance(&f, 1000000);
    cr_assert_eq(f.level[1], 1);
    cr_assert_eq(f.level[12], 0);
}

Test(i8042, disabled_keyboard_keeps_its_bytes)
{
    command(0xad, -1);
    key(HID_A);
    cr_assert_eq(next(), -1);
    command(0xae, -1);
    EXPECT(0x1e, 0x9e);
}

Test(i8042, full_keyboard_drops_whole_keys)
{
    command(0xad, -1);
    for (int i = 0; i < 100; i++)
        key(HID_UP);
    command(0xae, -1);
    int n = 0, byte, last = 0;
    while ((byte = next()) >= 0) {
        n++;
        last = byte;
    }
    cr_assert_leq(n, 64);
    cr_assert(last == 0xc8 || last == 0xff || last == 0x00 || last == 0x48, "0x%x", (unsigned)last);
}

Test(i8042, mouse_reset_and_wheel_knock)
{
    mouse(0xff);
    EXPECT(0xfa, 0xaa, 0x00);
    mouse(0xf2);
    EXPECT(0xfa, 0x00);
    static const uint8_t rates[] = { 200, 100, 80 };
    for (int i = 0; i < 3; i++) {
        mouse(0xf3);
        mouse(rates[i]);
        EXPECT(0xfa, 0xfa);
    }
    mouse(0xf2);
    EXPECT(0xfa, 0x03);
    mouse(0xe9);
    EXPECT(0xfa, 0x00, 0x02, 80);
}

Test(i8042, mouse_packets)
{
    command(0x60, 0x43);
    mouse(0xf4);
    EXPECT(0xfa);
    vm__input_relative(f.m, 5, 3, 0, VM_BUTTON_LEFT);
    cr_assert_eq(f.level[12], 1);
    cr_assert_eq(fake_in8(&f, CMD) & 0x21, 0x21, "from the mouse");
    EXPECT(0x29, 5, 0xfd); /* down is negative */
    vm__input_relative(f.m, 0, 0, 0, 0);
    EXPECT(0x08, 0, 0);
}

Test(i8042, mouse_movement_adds_up_while_the_guest_is_busy)
{
    mouse(0xf4);
    EXPECT(0xfa);
    for (int i = 0; i < 200; i++)
        vm__input_relative(f.m, 1, 0, 0, 0);
    EXPECT(0x08, 1, 0, 0x08, 199, 0);
}

Test(i8042, mouse_remote_and_wrap_modes)
{
    mouse(0xf0);
    EXPECT(0xfa);
    vm__input_relative(f.m, 7, 0, 0, 0);
    cr_assert_eq(next(), -1);
    mouse(0xeb);
    EXPECT(0xfa, 0x08, 7, 0);
    mouse(0xee);
    EXPECT(0xfa);
    mouse(0x42);
    EXPECT(0x42);
    mouse(0xec);
    EXPECT(0xfa);
}

Test(i8042, a20_and_reset)
{
    cr_assert_eq(f.level[FAKE_PIN + 2], 0, "wired after reset: no news yet");
    command(0xd1, 0xdf);
    cr_assert_eq(f.level[FAKE_PIN + 2], 1);
    command(0xd1, 0xdd);
    cr_assert_eq(f.level[FAKE_PIN + 2], 0);
    command(0xd0, -1);
    cr_assert_eq(next() & 0x03, 0x01);
    command(0xdf, -1);
    cr_assert_eq(f.level[FAKE_PIN + 2], 1);
    cr_assert_eq(fake_asked(&f), 0);
    command(0xfe, -1);
    cr_assert_neq(fake_asked(&f), 0);
    command(0xd1, 0x02);
    cr_assert_neq(fake_asked(&f), 0);
}

Test(i8042, loop_back_buffers_as_drivers_probe_them)
{
    command(0xd2, 0x5a);
    cr_assert_eq(fake_in8(&f, CMD) & 0x21, 0x01);
    EXPECT(0x5a);
    command(0xd3, 0xa5);
    cr_assert_eq(fake_in8(&f, CMD) & 0x21, 0x21);
    EXPECT(0xa5);
}

Test(i8042, state_survives_saving)
{
    command(0xad, -1);
    key(HID_A);
    mouse(0xf4);
    fake_save_load(kbc);
    EXPECT(0xfa);
    command(0xae, -1);
    EXPECT(0x1e, 0x9e);
}
