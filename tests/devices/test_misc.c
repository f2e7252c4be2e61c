/* SPDX-License-Identifier: MIT */
/**
 * @file test_misc.c
 * Small ports: debug console, debug exit, port 92h, pvpanic, and kvm-unit-tests' device.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"

static struct fake_machine f;
static int a20;

static void on_a20(void *cpus, int on)
{
    (void)cpus;
    a20 = on;
}

static void setup(void)
{
    fake_init(&f);
    f.m->irq_hub.a20 = on_a20;
    a20 = -1;
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(misc, .init = setup, .fini = teardown);

Test(misc, debugcon_prints_and_can_be_found)
{
    fake_chr(&f, "log");
    fake_add(&f, &vm__debugcon_class, "iobase", "0x402", "chardev", "log", NULL);
    cr_assert_eq(fake_in8(&f, 0x402), 0xe9);
    fake_out8(&f, 0x402, 'o');
    fake_out8(&f, 0x402, 'k');
    cr_assert_eq(f.n_out, 2);
    cr_assert_eq(memcmp(f.out, "ok", 2), 0);
}

Test(misc, debug_exit_asks_for_the_end)
{
    fake_add(&f, &vm__isa_debug_exit_class, NULL);
    cr_assert_eq(fake_asked(&f), 0);
    fake_out32(&f, 0xf4, 0);
    cr_assert_neq(fake_asked(&f), 0);
}

Test(misc, port92_gates_a20_together_with_the_keyboard_controller)
{
    struct vm_dev *dev = fake_add(&f, &vm__port92_class, NULL);
    struct vm_irq keyboard = vm__dev_pin(dev, 0);
    cr_assert_eq(a20, 1, "open after reset");
    vm__irq_set(&keyboard, 0);
    cr_assert_eq(a20, 0);
    fake_out8(&f, 0x92, 2);
    cr_assert_eq(a20, 1);
    cr_assert_eq(fake_in8(&f, 0x92), 2);
    fake_out8(&f, 0x92, 0);
    cr_assert_eq(a20, 0);
    fake_save_load(dev);
    cr_assert_eq(a20, 0);
    fake_out8(&f, 0x92, 1);
    cr_assert_neq(fake_asked(&f), 0);
}

Test(misc, pvpanic_says_what_it_understands)
{
    fake_add(&f, &vm__pvpanic_class, NULL);
    cr_assert_eq(fake_in8(&f, 0x505), 3);
    fake_out8(&f, 0x505, 1);
}

Test(misc, pc_testdev_remembers_and_drives_lines)
{
    struct vm_dev *dev = fake_add(&f, &vm__pc_testdev_class, NULL);
    fake_out32(&f, 0xe0, 0x12345678);
    cr_assert_eq(fake_in8(&f, 0xe2), 0x34);
    fake_out16(&f, 0xe9, 0xabcd);
    cr_assert_eq(fake_in32(&f, 0xe8), 0x12abcd78);
    fake_out32(&f, 0x2000 + 14, 1);
    cr_assert_eq(f.level[14], 1);
    fake_out8(&f, 0x2000 + 14, 0);
    cr_assert_eq(f.level[14], 0);
    fake_write(&f, 0xff000010, 8, UINT64_C(0x1122334455667788));
    cr_assert_eq(fake_read(&f, 0xff000012, 4), 0x33445566);
    fake_save_load(dev);
    cr_assert_eq(fake_read(&f, 0xff000010, 1), 0x88);
}
