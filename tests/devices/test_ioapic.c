/* SPDX-License-Identifier: MIT */
/**
 * @file test_ioapic.c
 * The I/O APIC: messages, masks, remote IRR, end of interrupt.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"

static struct fake_machine f;
static struct vm_dev *apic;

enum { LEVEL = 0x8000, MASKED = 0x10000, REMOTE_IRR = 0x4000 };

static uint32_t get(uint8_t reg)
{
    fake_write(&f, 0xfec00000, 4, reg);
    return (uint32_t)fake_read(&f, 0xfec00010, 4);
}

static void set(uint8_t reg, uint32_t v)
{
    fake_write(&f, 0xfec00000, 4, reg);
    fake_write(&f, 0xfec00010, 4, v);
}

static void set_entry(unsigned pin, uint32_t low, uint8_t dest)
{
    set((uint8_t)(0x11 + 2 * pin), (uint32_t)dest << 24);
    set((uint8_t)(0x10 + 2 * pin), low);
}

static void line(uint32_t pin, int level)
{
    struct vm_irq irq = vm__dev_pin(apic, pin);
    vm__irq_set(&irq, level);
}

static void eoi(uint8_t vector)
{
    f.m->irq_hub.ioapic_eoi(f.m->irq_hub.ioapic, vector);
}

static void setup(void)
{
    fake_init(&f);
    apic = fake_add(&f, &vm__ioapic_class, NULL);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(ioapic, .init = setup, .fini = teardown);

Test(ioapic, registers)
{
    cr_assert_eq(get(1), 0x00170020);
    set(0, 0xff000000);
    cr_assert_eq(get(0), 0x0f000000);
    cr_assert_eq(get(0x10), MASKED);
    set(0x10, 0xffffffff);
    cr_assert_eq(get(0x10), 0x0001afff, "status and remote IRR are read only");
    cr_assert_eq(get(0x40), 0);
    cr_assert_null(fake_add(&f, &vm__ioapic_class, "version", "3", NULL));
}

Test(ioapic, edge_sends_one_message)
{
    set_entry(4, 0x31, 2);
    line(4, 1);
    cr_assert_eq(f.n_msi, 1);
    cr_assert_eq(f.msi_address, 0xfee02000);
    cr_assert_eq(f.msi_data & 0x87ff, 0x31);
    line(4, 1);
    cr_assert_eq(f.n_msi, 1);
    line(4, 0);
    line(4, 1);
    cr_assert_eq(f.n_msi, 2);
}

Test(ioapic, logical_lowest_priority_destination)
{
    set_entry(4, 0x31 | 0x900, 0x0f);
    line(4, 1);
    cr_assert_eq(f.msi_address, 0xfee0f00c);
    cr_assert_eq(f.msi_data & 0x700, 0x100);
}

Test(ioapic, edge_on_a_masked_pin_is_lost)
{
    set_entry(4, 0x31 | MASKED, 0);
    line(4, 1);
    line(4, 0);
    set_entry(4, 0x31, 0);
    cr_assert_eq(f.n_msi, 0);
}

Test(ioapic, level_waits_for_eoi_and_asks_again)
{
    set_entry(10, 0x51 | LEVEL, 0);
    line(10, 1);
    cr_assert_eq(f.n_msi, 1);
    cr_assert_eq(f.msi_data & 0x8000, 0x8000);
    cr_assert_eq(get(0x24) & REMOTE_IRR, REMOTE_IRR);
    eoi(0x50);
    cr_assert_eq(f.n_msi, 1);
    eoi(0x51);
    cr_assert_eq(f.n_msi, 2);
    line(10, 0);
    eoi(0x51);
    cr_assert_eq(f.n_msi, 2);
    cr_assert_eq(get(0x24) & REMOTE_IRR, 0);
}

Test(ioapic, level_on_a_masked_pin_waits)
{
    set_entry(10, 0x51 | LEVEL | MASKED, 0);
    line(10, 1);
    cr_assert_eq(f.n_msi, 0);
    set_entry(10, 0x51 | LEVEL, 0);
    cr_assert_eq(f.n_msi, 1);
}

Test(ioapic, switching_to_edge_clears_remote_irr)
{
    set_entry(10, 0x51 | LEVEL, 0);
    line(10, 1);
    set_entry(10, 0x51 | MASKED, 0);
    set_entry(10, 0x51 | LEVEL | MASKED, 0);
    cr_assert_eq(get(0x24) & REMOTE_IRR, 0);
    set_entry(10, 0x51 | LEVEL, 0);
    cr_assert_eq(f.n_msi, 2);
}

Test(ioapic, eoi_register_of_version_20)
{
    set_entry(10, 0x51 | LEVEL, 0);
    line(10, 1);
    line(10, 0);
    fake_write(&f, 0xfec00040, 4, 0x51);
    cr_assert_eq(get(0x24) & REMOTE_IRR, 0);
}

Test(ioapic, state_survives_saving)
{
    set_entry(10, 0x51 | LEVEL, 3);
    line(10, 1);
    fake_save_load(apic);
    cr_assert_eq(get(0x24) & REMOTE_IRR, REMOTE_IRR);
    eoi(0x51);
    cr_assert_eq(f.msi_address, 0xfee03000);
    cr_assert_eq(f.n_msi, 2);
}
