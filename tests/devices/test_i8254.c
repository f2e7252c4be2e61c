/* SPDX-License-Identifier: MIT */
/**
 * @file test_i8254.c
 * The 8254's modes, seen through counts, outputs and IRQ 0.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"

static struct fake_machine f;
static struct vm_dev *pit;

static void setup(void)
{
    fake_init(&f);
    pit = fake_add(&f, &vm__i8254_class, NULL);
}

static void teardown(void)
{
    fake_fini(&f);
}

/** Let whole ticks pass: the clock stands in the middle of one, at tick @p n from here. */
static void ticks(uint64_t n)
{
    uint64_t tick = vm_muldiv(fake_now(&f), 1193182, 1000000000) + n;
    uint64_t ns = vm_muldiv(tick * 2 + 1, 1000000000, 2 * 1193182);
    fake_advance(&f, ns - fake_now(&f));
}

static void program(unsigned channel, uint8_t control, uint16_t count)
{
    fake_out8(&f, 0x43, (uint8_t)(channel << 6 | control));
    fake_out8(&f, (uint16_t)(0x40 + channel), (uint8_t)count);
    fake_out8(&f, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t counter(unsigned channel)
{
    fake_out8(&f, 0x43, (uint8_t)(channel << 6));
    uint8_t lo = fake_in8(&f, (uint16_t)(0x40 + channel));
    return (uint16_t)(lo | fake_in8(&f, (uint16_t)(0x40 + channel)) << 8);
}

static int out2(void)
{
    return fake_in8(&f, 0x61) >> 5 & 1;
}

TestSuite(i8254, .init = setup, .fini = teardown);

Test(i8254, mode_0_rises_once_and_counts_on)
{
    fake_out8(&f, 0x61, 1);
    ticks(0);
    program(2, 0x30, 100);
    cr_assert_eq(out2(), 0);
    ticks(1);
    cr_assert_eq(counter(2), 100);
    ticks(99);
    cr_assert_eq(counter(2), 1);
    cr_assert_eq(out2(), 0);
    ticks(1);
    cr_assert_eq(out2(), 1);
    ticks(1);
    cr_assert_eq(counter(2), 0xffff);
    cr_assert_eq(out2(), 1);
}

Test(i8254, mode_0_pauses_while_the_gate_is_low)
{
    fake_out8(&f, 0x61, 1);
    ticks(0);
    program(2, 0x30, 100);
    ticks(11);
    fake_out8(&f, 0x61, 0);
    ticks(1000);
    cr_assert_eq(counter(2), 90);
    fake_out8(&f, 0x61, 1);
    ticks(10);
    cr_assert_eq(counter(2), 80);
}

Test(i8254, mode_1_waits_for_the_gate_and_can_be_retriggered)
{
    ticks(0);
    program(2, 0x32, 10);
    ticks(50);
    cr_assert_eq(out2(), 1);
    fake_out8(&f, 0x61, 1);
    ticks(6);
    cr_assert_eq(out2(), 0);
    fake_out8(&f, 0x61, 0);
    fake_out8(&f, 0x61, 1);
    ticks(6);
    cr_assert_eq(out2(), 0, "the second trigger started it anew");
    ticks(5);
    cr_assert_eq(out2(), 1);
}

Test(i8254, mode_2_interrupts_every_period)
{
    ticks(0);
    program(0, 0x34, 1193);
    cr_assert_eq(f.level[0], 1);
    fake_advance(&f, 1000000000);
    cr_assert(f.rises[0] >= 999 && f.rises[0] <= 1001, "%u", f.rises[0]);
}

Test(i8254, mode_2_new_count_takes_effect_after_the_cycle)
{
    fake_out8(&f, 0x61, 1);
    ticks(0);
    program(2, 0x34, 100);
    ticks(51);
    fake_out8(&f, 0x42, 10);
    fake_out8(&f, 0x42, 0);
    cr_assert_eq(counter(2), 50);
    ticks(49);
    cr_assert_eq(counter(2), 1);
    cr_assert_eq(out2(), 0, "low for the last tick");
    ticks(1);
    cr_assert_eq(counter(2), 10);
    cr_assert_eq(out2(), 1);
}

Test(i8254, mode_3_is_high_for_the_longer_half_and_counts_by_two)
{
    fake_out8(&f, 0x61, 1);
    ticks(0);
    program(2, 0x36, 7);
    ticks(1);
    static const uint8_t want_out[] = { 1, 1, 1, 1, 0, 0, 0, 1 };
    static const uint8_t want_count[] = { 6, 4, 2, 0, 6, 4, 2, 6 };
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(out2(), want_out[i], "tick %u", i);
        cr_assert_eq(counter(2), want_count[i], "tick %u", i);
        ticks(1);
    }
}

Test(i8254, mode_4_strobes_once)
{
    fake_out8(&f, 0x61, 1);
    ticks(0);
    program(2, 0x38, 5);
    ticks(5);
    cr_assert_eq(out2(), 1);
    ticks(1);
    cr_assert_eq(out2(), 0);
    ticks(1);
    cr_assert_eq(out2(), 1);
    ticks(65536);
    cr_assert_eq(out2(), 1);
}

Test(i8254, mode_5_strobes_after_a_trigger)
{
    ticks(0);
    program(2, 0x3a, 5);
    ticks(20);
    cr_assert_eq(out2(), 1);
    fake_out8(&f, 0x61, 1);
    ticks(6);
    cr_assert_eq(out2(), 0);
    ticks(1);
    cr_assert_eq(out2(), 1);
}

Test(i8254, one_shot_interrupts_once)
{
    ticks(0);
    program(0, 0x30, 11932);
    cr_assert_eq(f.level[0], 0);
    fake_advance(&f, 9900000);
    cr_assert_eq(f.rises[0], 0);
    fake_advance(&f, 200000);
    cr_assert_eq(f.rises[0], 1);
    fake_advance(&f, 1000000000);
    cr_assert_eq(f.rises[0], 1);
}

Test(i8254, bcd_counts_in_decades)
{
    fake_out8(&f, 0x61, 1);
    ticks(0);
    program(2, 0x31, 0x1000);
    ticks(2);
    cr_assert_eq(counter(2), 0x0999);
    program(2, 0x31, 0x0000);
    ticks(2);
    cr_assert_eq(counter(2), 0x9999);
}

Test(i8254, read_back_latches_status_before_count)
{
    fake_out8(&f, 0x61, 1);
    ticks(0);
    program(2, 0x34, 1000);
    fake_out8(&f, 0x43, 0xe8); /* status of channel 2 */
    cr_assert_eq(fake_in8(&f, 0x42), 0xf4, "OUT high, null count, both bytes, mode 2");
    ticks(11);
    fake_out8(&f, 0x43, 0xc8); /* status and count */
    ticks(100);
    cr_assert_eq(fake_in8(&f, 0x42), 0xb4);
    cr_assert_eq(fake_in8(&f, 0x42), 990 & 0xff);
    cr_assert_eq(fake_in8(&f, 0x42), 990 >> 8);
}

Test(i8254, a_latch_holds_until_it_is_read)
{
    fake_out8(&f, 0x61, 1);
    ticks(0);
    program(2, 0x34, 1000);
    ticks(11);
    fake_out8(&f, 0x43, 0x80);
    ticks(50);
    fake_out8(&f, 0x43, 0x80);
    cr_assert_eq(fake_in8(&f, 0x42), 990 & 0xff);
    cr_assert_eq(fake_in8(&f, 0x42), 990 >> 8);
    cr_assert_eq(counter(2), 940);
}

Test(i8254, fastest_rate_does_not_flood_the_host)
{
    program(0, 0x34, 1);
    fake_advance(&f, 100000000);
    cr_assert_leq(f.rises[0], 5001);
    cr_assert_geq(f.rises[0], 4000);
}

Test(i8254, state_survives_saving)
{
    ticks(0);
    program(0, 0x34, 1193);
    fake_advance(&f, 500000);
    fake_save_load(pit);
    unsigned before = f.rises[0];
    fake_advance(&f, 10000000);
    cr_assert(f.rises[0] - before >= 9 && f.rises[0] - before <= 11, "%u", f.rises[0] - before);
}
