/* SPDX-License-Identifier: MIT */
/**
 * @file test_hpet.c
 * HPET: counter, one-shot and periodic timers, routing, legacy replacement.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"

static struct fake_machine f;
static struct vm_dev *hpet;

enum {
    LEVEL = 2,
    ENABLE = 4,
    PERIODIC = 8,
    SET_VALUE = 0x40,
    BITS_32 = 0x100,
    FSB = 0x4000,
    LINE_20 = 20 << 9,
};

static uint64_t get(uint64_t reg)
{
    return fake_read(&f, 0xfed00000 + reg, 8);
}

static void set(uint64_t reg, uint64_t v)
{
    fake_write(&f, 0xfed00000 + reg, 8, v);
}

static void setup(void)
{
    fake_init(&f);
    hpet = fake_add(&f, &vm__hpet_class, NULL);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(hpet, .init = setup, .fini = teardown);

Test(hpet, says_what_it_is)
{
    cr_assert_eq(get(0), UINT64_C(0x009896808086a201));
    cr_assert_eq(fake_read(&f, 0xfed00004, 4), 10000000);
    cr_assert_eq(get(0x100) >> 32, 0x00f00000);
}

Test(hpet, counts_ten_nanoseconds_a_tick_while_enabled)
{
    fake_advance(&f, 1000);
    cr_assert_eq(get(0xf0), 0);
    set(0x10, 1);
    fake_advance(&f, 1000);
    cr_assert_eq(get(0xf0), 100);
    set(0x10, 0);
    fake_advance(&f, 1000);
    cr_assert_eq(get(0xf0), 100);
    fake_write(&f, 0xfed000f4, 4, 1);
    cr_assert_eq(get(0xf0), (UINT64_C(1) << 32) + 100);
}

Test(hpet, one_shot_fires_once)
{
    set(0x100, ENABLE | LINE_20);
    set(0x108, 5000);
    set(0x10, 1);
    fake_advance(&f, 49990);
    cr_assert_eq(f.rises[20], 0);
    fake_advance(&f, 10);
    cr_assert_eq(f.rises[20], 1);
    fake_advance(&f, 1000000000);
    cr_assert_eq(f.rises[20], 1);
}

Test(hpet, periodic_fires_every_period)
{
    set(0x100, ENABLE | PERIODIC | SET_VALUE | LINE_20);
    set(0x108, 100000);
    set(0x10, 1);
    fake_advance(&f, 1000000000);
    cr_assert_eq(f.rises[20], 1000);
    cr_assert_eq(get(0x108), 100000 * UINT64_C(1001));
    cr_assert_eq(get(0x100) & SET_VALUE, 0);
}

Test(hpet, first_match_and_period_can_differ)
{
    set(0x10, 1);
    set(0x100, ENABLE | PERIODIC | SET_VALUE | BITS_32 | LINE_20);
    fake_write(&f, 0xfed00108, 4, 1000000);
    fake_write(&f, 0xfed00108, 4, 500000);
    fake_advance(&f, 10000000);
    cr_assert_eq(f.rises[20], 1);
    fake_advance(&f, 10000000);
    cr_assert_eq(f.rises[20], 3);
}

Test(hpet, level_holds_until_status_is_cleared)
{
    set(0x100, ENABLE | LEVEL | LINE_20);
    set(0x108, 10);
    set(0x10, 1);
    fake_advance(&f, 1000);
    cr_assert_eq(f.level[20], 1);
    cr_assert_eq(get(0x20), 1);
    set(0x20, 1);
    cr_assert_eq(f.level[20], 0);
    cr_assert_eq(get(0x20), 0);
}

Test(hpet, comparator_behind_a_32_bit_counter_matches_after_the_wrap)
{
    set(0xf0, 0xffffff00);
    set(0x100, ENABLE | BITS_32 | LINE_20);
    set(0x108, 0x100);
    set(0x10, 1);
    fake_advance(&f, 5110);
    cr_assert_eq(f.rises[20], 0);
    fake_advance(&f, 10);
    cr_assert_eq(f.rises[20], 1);
}

Test(hpet, legacy_replacement_cuts_the_old_timers_off)
{
    struct vm_irq pit = vm__dev_pin(hpet, 0), rtc = vm__dev_pin(hpet, 1);
    vm__irq_set(&pit, 1);
    vm__irq_set(&rtc, 1);
    cr_assert_eq(f.level[0], 1);
    cr_assert_eq(f.level[8], 1);
    set(0x100, ENABLE);
    set(0x108, 1000);
    set(0x10, 3);
    cr_assert_eq(f.level[0], 0);
    vm__irq_set(&pit, 0);
    vm__irq_set(&pit, 1);
    cr_assert_eq(f.level[0], 0);
    fake_advance(&f, 100000);
    cr_assert_eq(f.rises[0], 2, "once from the 8254, once from timer 0");
    set(0x10, 0);
    cr_assert_eq(f.level[8], 1, "and gives them back");
}

Test(hpet, message_delivery)
{
    set(0x110, UINT64_C(0xfee00000) << 32 | 0x41);
    set(0x100, ENABLE | FSB);
    set(0x108, 10);
    set(0x10, 1);
    fake_advance(&f, 1000);
    cr_assert_eq(f.n_msi, 1);
    cr_assert_eq(f.msi_address, 0xfee00000);
    cr_assert_eq(f.msi_data, 0x41);
}

Test(hpet, tiny_period_does_not_flood_the_host)
{
    set(0x100, ENABLE | PERIODIC | SET_VALUE | LINE_20);
    set(0x108, 1);
    set(0x10, 1);
    fake_advance(&f, 100000000);
    cr_assert_leq(f.rises[20], 5001);
    set(0x100, ENABLE | PERIODIC | SET_VALUE | LINE_20);
    set(0x108, 0);
    fake_advance(&f, 100000000);
}

Test(hpet, state_survives_saving)
{
    set(0x100, ENABLE | PERIODIC | SET_VALUE | LINE_20);
    set(0x108, 100000);
    set(0x10, 1);
    fake_advance(&f, 5500000);
    fake_save_load(hpet);
    unsigned before = f.rises[20];
    fake_advance(&f, 10000000);
    cr_assert_eq(f.rises[20] - before, 10);
}
