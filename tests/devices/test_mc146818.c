/* SPDX-License-Identifier: MIT */
/**
 * @file test_mc146818.c
 * The real-time clock: calendar, formats, update cycle, interrupts, memory.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"
#include "devices/timer/mc146818.h"

static struct fake_machine f;
static struct vm_dev *rtc;

static uint8_t get(uint8_t index)
{
    fake_out8(&f, 0x70, index);
    return fake_in8(&f, 0x71);
}

static void set(uint8_t index, uint8_t v)
{
    fake_out8(&f, 0x70, index);
    fake_out8(&f, 0x71, v);
}

/** BCD, 24 hours. */
static void set_time(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour,
                     uint8_t minute, uint8_t second)
{
    set(0x0b, 0x82);
    set(0x32, century);
    set(9, year);
    set(8, month);
    set(7, day);
    set(4, hour);
    set(2, minute);
    set(0, second);
    set(0x0b, 0x02);
}

static void setup(void)
{
    fake_init(&f);
    rtc = fake_add(&f, &vm__mc146818_class, NULL);
    set_time(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x58);
}

static void teardown(void)
{
    fake_fini(&f);
}

static const uint64_t second = 1000000000;

TestSuite(mc146818, .init = setup, .fini = teardown);

Test(mc146818, counts_into_a_leap_day)
{
    fake_advance(&f, 3 * second);
    cr_assert_eq(get(0), 0x01);
    cr_assert_eq(get(2), 0x00);
    cr_assert_eq(get(4), 0x00);
    cr_assert_eq(get(7), 0x29);
    cr_assert_eq(get(8), 0x02);
    fake_advance(&f, 86400 * second);
    cr_assert_eq(get(7), 0x01);
    cr_assert_eq(get(8), 0x03);
    cr_assert_eq(get(9), 0x24);
}

Test(mc146818, century_turns_over)
{
    set_time(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
    fake_advance(&f, second);
    cr_assert_eq(get(9), 0x00);
    cr_assert_eq(get(0x32), 0x20);
    cr_assert_eq(get(8), 0x01);
    cr_assert_eq(get(7), 0x01);
}

Test(mc146818, formats_follow_register_b)
{
    set(0x0b, 0x82);
    set(4, 0x23);
    set(0x0b, 0x02);
    set(0x0b, 0x06);
    cr_assert_eq(get(4), 23, "binary");
    cr_assert_eq(get(2), 59);
    set(0x0b, 0x04);
    cr_assert_eq(get(4), 0x80 | 11, "11 in the evening");
    set(0x0b, 0x00);
    cr_assert_eq(get(4), 0x91, "the same in BCD");
    fake_advance(&f, 2 * second);
    cr_assert_eq(get(4), 0x12, "midnight");
}

Test(mc146818, weekday_counts_on_from_what_was_set)
{
    set(0x0b, 0x82);
    set(6, 7);
    set(0x0b, 0x02);
    cr_assert_eq(get(6), 7);
    fake_advance(&f, 2 * second);
    cr_assert_eq(get(6), 1);
}

Test(mc146818, set_stops_the_clock)
{
    set(0x0b, 0x82);
    uint8_t before = get(0);
    fake_advance(&f, 5 * second);
    cr_assert_eq(get(0), before);
    cr_assert_eq(get(0x0a) & 0x80, 0);
    set(0x0b, 0x02);
    fake_advance(&f, second);
    cr_assert_eq(get(0), before + 1);
}

Test(mc146818, update_in_progress_precedes_the_update)
{
    set(0x0a, 0x66); /* divider reset … */
    set(0x0a, 0x26); /* … and off: the first update is half a second away */
    fake_advance(&f, second / 2 - 1000000);
    cr_assert_eq(get(0x0a) & 0x80, 0x80);
    uint8_t before = get(0);
    fake_advance(&f, 1000000);
    cr_assert_eq(get(0x0a) & 0x80, 0);
    cr_assert_eq(get(0), before + 1);
    fake_advance(&f, second / 2);
    cr_assert_eq(get(0x0a) & 0x80, 0);
}

Test(mc146818, periodic_interrupt_at_1024_hz)
{
    set(0x0b, 0x42);
    unsigned served = 0;
    for (int i = 0; i < 10000; i++) {
        fake_advance(&f, second / 10000);
        if (f.level[8]) {
            cr_assert_eq(get(0x0c) & 0xe0, 0xc0);
            served++;
        }
    }
    cr_assert(served >= 1023 && served <= 1025, "%u", served);
    cr_assert_eq(f.level[8], 0);
}

Test(mc146818, unserved_interrupt_is_given_once)
{
    set(0x0b, 0x42);
    fake_advance(&f, second);
    cr_assert_eq(f.rises[8], 1);
}

Test(mc146818, alarm_fires_at_its_time)
{
    set(5, 0x00);
    set(3, 0x01);
    set(1, 0x30);
    set(0x0b, 0x22);
    fake_advance(&f, 91 * second);
    cr_assert_eq(f.level[8], 0);
    fake_advance(&f, second);
    cr_assert_eq(f.level[8], 1);
    cr_assert_eq(get(0x0c) & 0xb0, 0xb0);
}

Test(mc146818, alarm_with_wildcards_fires_every_minute)
{
    set(5, 0xc0);
    set(3, 0xff);
    set(1, 0x00);
    set(0x0b, 0x22);
    for (int i = 0; i < 3; i++) {
        fake_advance(&f, 60 * second);
        cr_assert_eq(f.level[8], 1, "minute %d", i);
        (void)get(0x0c);
    }
    cr_assert_eq(f.rises[8], 3);
}

Test(mc146818, impossible_alarm_never_fires)
{
    set(1, 0x99);
    set(0x0b, 0x22);
    fake_advance(&f, 7200 * second);
    cr_assert_eq(f.rises[8], 0);
}

Test(mc146818, update_ended_is_polled_or_interrupts)
{
    (void)get(0x0c);
    fake_advance(&f, second);
    cr_assert_eq(get(0x0c) & 0x10, 0x10);
    cr_assert_eq(get(0x0c), 0);
    set(0x0b, 0x12);
    fake_advance(&f, second);
    cr_assert_eq(f.level[8], 1);
}

Test(mc146818, memory_survives_reset_and_enables_do_not)
{
    set(0x40, 0x5a);
    fake_out8(&f, 0x72, 0x7f);
    fake_out8(&f, 0x73, 0xa5);
    set(0x0b, 0x52);
    fake_reset(rtc, VM_DEV_RESET_WARM);
    cr_assert_eq(get(0x40), 0x5a);
    fake_out8(&f, 0x72, 0x7f);
    cr_assert_eq(fake_in8(&f, 0x73), 0xa5);
    cr_assert_eq(get(0x0b), 0x02);
    cr_assert_eq(get(0x0d), 0x80);
}

Test(mc146818, memory_sizes_as_firmware_reads_them)
{
    vm__mc146818_set_memory(rtc, UINT64_C(0xc0000000), UINT64_C(1) << 32);
    cr_assert_eq(get(0x15) | get(0x16) << 8, 640);
    cr_assert_eq(get(0x17) | get(0x18) << 8, 0xffff);
    cr_assert_eq(get(0x34) | get(0x35) << 8, (0xc0000000u - 0x1000000u) >> 16);
    cr_assert_eq(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0x10000);
}

Test(mc146818, state_survives_saving)
{
    set(0x0b, 0x42);
    fake_advance(&f, 2 * second);
    fake_save_load(rtc);
    cr_assert_eq(get(0), 0x00);
    cr_assert_eq(get(7), 0x29);
}
