/* SPDX-License-Identifier: MIT */
/**
 * @file test_i8259.c
 * The 8259 pair: initialisation, priorities, masks, end of interrupt, spurious interrupts.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"

static struct fake_machine f;
static struct vm_dev *pic;
static int intr;

static void on_intr(void *cpus, int level)
{
    (void)cpus;
    intr = level;
}

static void init_chip(uint16_t base, uint8_t vector, uint8_t icw3, uint8_t icw4)
{
    fake_out8(&f, base, 0x11);
    fake_out8(&f, base + 1, vector);
    fake_out8(&f, base + 1, icw3);
    fake_out8(&f, base + 1, icw4);
}

static void setup(void)
{
    fake_init(&f);
    f.m->irq_hub.intr = on_intr;
    intr = 0;
    pic = fake_add(&f, &vm__i8259_class, NULL);
    init_chip(0x20, 0x20, 0x04, 0x01);
    init_chip(0xa0, 0x28, 0x02, 0x01);
}

static void teardown(void)
{
    fake_fini(&f);
}

static void raise_irq(uint32_t n)
{
    struct vm_irq irq = vm__dev_pin(pic, n);
    vm__irq_set(&irq, 1);
}

static void lower_irq(uint32_t n)
{
    struct vm_irq irq = vm__dev_pin(pic, n);
    vm__irq_set(&irq, 0);
}

static int ack(void)
{
    return f.m->irq_hub.pic_ack(f.m->irq_hub.pic);
}

TestSuite(i8259, .init = setup, .fini = teardown);

Test(i8259, edge_gives_the_vector_and_drops_int)
{
    raise_irq(3);
    cr_assert_eq(intr, 1);
    cr_assert_eq(ack(), 0x23);
    cr_assert_eq(intr, 0);
    fake_out8(&f, 0x20, 0x20);
    cr_assert_eq(intr, 0, "a line that stays high is no new edge");
    lower_irq(3);
    raise_irq(3);
    cr_assert_eq(intr, 1);
}

Test(i8259, mask_holds_back_and_lets_go)
{
    fake_out8(&f, 0x21, 0x08);
    raise_irq(3);
    cr_assert_eq(intr, 0);
    cr_assert_eq(fake_in8(&f, 0x20), 0x08, "IRR shows it");
    cr_assert_eq(fake_in8(&f, 0x21), 0x08);
    fake_out8(&f, 0x21, 0);
    cr_assert_eq(intr, 1);
}

Test(i8259, lower_priority_waits_for_the_end_of_a_higher_one)
{
    raise_irq(1);
    cr_assert_eq(ack(), 0x21);
    raise_irq(4);
    cr_assert_eq(intr, 0);
    raise_irq(0);
    cr_assert_eq(ack(), 0x20, "a higher one interrupts");
    fake_out8(&f, 0x20, 0x0b);
    cr_assert_eq(fake_in8(&f, 0x20), 0x03, "ISR");
    fake_out8(&f, 0x20, 0x20);
    cr_assert_eq(intr, 0);
    fake_out8(&f, 0x20, 0x20);
    cr_assert_eq(ack(), 0x24);
}

Test(i8259, slave_comes_through_the_cascade)
{
    raise_irq(12);
    cr_assert_eq(ack(), 0x2c);
    raise_irq(8);
    cr_assert_eq(intr, 0, "the master serves its IR2");
    fake_out8(&f, 0xa0, 0x20);
    fake_out8(&f, 0x20, 0x20);
    cr_assert_eq(intr, 1);
    cr_assert_eq(ack(), 0x28);
}

Test(i8259, special_fully_nested_master_lets_the_slave_nest)
{
    init_chip(0x20, 0x20, 0x04, 0x11);
    raise_irq(12);
    cr_assert_eq(ack(), 0x2c);
    raise_irq(8);
    cr_assert_eq(ack(), 0x28);
}

Test(i8259, level_input_asks_again_until_it_is_lowered)
{
    fake_out8(&f, 0x4d1, 0xff);
    cr_assert_eq(fake_in8(&f, 0x4d1), 0xde, "IRQ 8 and 13 stay edge triggered");
    raise_irq(10);
    cr_assert_eq(ack(), 0x2a);
    fake_out8(&f, 0xa0, 0x20);
    fake_out8(&f, 0x20, 0x20);
    cr_assert_eq(intr, 1);
    cr_assert_eq(ack(), 0x2a);
    lower_irq(10);
    fake_out8(&f, 0xa0, 0x20);
    fake_out8(&f, 0x20, 0x20);
    cr_assert_eq(intr, 0);
}

Test(i8259, request_that_went_away_is_spurious)
{
    fake_out8(&f, 0x4d0, 0x20);
    raise_irq(5);
    lower_irq(5);
    cr_assert_eq(ack(), 0x27);
    fake_out8(&f, 0x20, 0x0b);
    cr_assert_eq(fake_in8(&f, 0x20), 0, "IR7 is not in service");
}

Test(i8259, slave_request_that_went_away_is_irq15)
{
    fake_out8(&f, 0x4d1, 0x02);
    raise_irq(9);
    lower_irq(9);
    cr_assert_eq(ack(), 0x2f);
    fake_out8(&f, 0x20, 0x0b);
    fake_out8(&f, 0xa0, 0x0b);
    cr_assert_eq(fake_in8(&f, 0x20), 0x04, "the master does serve IR2");
    cr_assert_eq(fake_in8(&f, 0xa0), 0);
}

Test(i8259, automatic_end_rotates_when_told)
{
    init_chip(0x20, 0x20, 0x04, 0x03);
    fake_out8(&f, 0x20, 0x80);
    raise_irq(0);
    raise_irq(1);
    cr_assert_eq(ack(), 0x20);
    lower_irq(0);
    raise_irq(0);
    cr_assert_eq(ack(), 0x21, "IR0 has become the lowest");
    cr_assert_eq(ack(), 0x20);
}

Test(i8259, specific_end_and_set_priority)
{
    fake_out8(&f, 0x20, 0xc3); /* IR3 lowest */
    raise_irq(0);
    raise_irq(4);
    cr_assert_eq(ack(), 0x24);
    fake_out8(&f, 0x20, 0x64); /* specific EOI of IR4 */
    cr_assert_eq(ack(), 0x20);
}

Test(i8259, special_mask_lets_lower_ones_in)
{
    raise_irq(1);
    cr_assert_eq(ack(), 0x21);
    raise_irq(6);
    cr_assert_eq(intr, 0);
    fake_out8(&f, 0x21, 0x02);
    cr_assert_eq(intr, 0, "masking alone does not");
    fake_out8(&f, 0x20, 0x68);
    cr_assert_eq(ack(), 0x26);
    fake_out8(&f, 0x20, 0x20);
    fake_out8(&f, 0x20, 0x20);
    fake_out8(&f, 0x20, 0x0b);
    cr_assert_eq(fake_in8(&f, 0x20), 0x02, "a masked level is not ended by the non-specific EOI");
}

Test(i8259, poll_is_an_acknowledge)
{
    raise_irq(6);
    fake_out8(&f, 0x20, 0x0c);
    cr_assert_eq(fake_in8(&f, 0x20), 0x86);
    cr_assert_eq(intr, 0);
    fake_out8(&f, 0x20, 0x0c);
    cr_assert_eq(fake_in8(&f, 0x20), 0x00);
}

Test(i8259, icw1_forgets_edges)
{
    raise_irq(3);
    init_chip(0x20, 0x40, 0x04, 0x01);
    cr_assert_eq(intr, 0);
    lower_irq(3);
    raise_irq(3);
    cr_assert_eq(ack(), 0x43);
}

Test(i8259, state_survives_saving)
{
    raise_irq(12);
    (void)ack();
    raise_irq(3);
    fake_save_load(pic);
    fake_out8(&f, 0xa0, 0x20);
    fake_out8(&f, 0x20, 0x20);
    cr_assert_eq(ack(), 0x23);
}
