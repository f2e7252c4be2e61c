/* SPDX-License-Identifier: MIT */
/**
 * @file test_piix4_pm.c
 * ACPI power management: PM1, timer, events, soft off, APM ports.
 */
#include <criterion/criterion.h>

#include "core/run.h"
#include "devices/classes.h"
#include "devices/pci/pci.h"
#include "devices/pci/piix4_pm.h"

static struct fake_machine f;
static struct vm_dev *host, *pm;
static unsigned smis;

enum { BASE = 0x600, STS = BASE, EN = BASE + 2, CNT = BASE + 4, TMR = BASE + 8, GPE = BASE + 12 };

static void on_smi(void *cpus)
{
    (void)cpus;
    smis++;
}

static void setup(void)
{
    fake_init(&f);
    smis = 0;
    f.m->irq_hub.smi = on_smi;
    host = vm__dev_new(f.m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(host);
    vm__pci_add(bus, host, 0);
    pm = vm__pci_add(bus, vm__dev_new(f.m, &vm__piix4_pm_class, NULL, NULL), 1 << 3 | 3);
    fake_reset(host, VM_DEV_RESET_COLD);
    fake_reset(pm, VM_DEV_RESET_COLD);
    vm__piix4_pm_place(pm, BASE);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(piix4_pm, .init = setup, .fini = teardown);

Test(piix4_pm, block_lies_where_pmbase_says)
{
    fake_out16(&f, EN, 0x0100);
    cr_assert_eq(fake_in16(&f, EN), 0x0100);
    vm__pci_config_write(pm, 0x40, 4, 0xb000);
    cr_assert_eq(fake_in16(&f, 0xb002), 0x0100);
    cr_assert_eq(fake_in16(&f, EN), 0xffff);
    vm__pci_config_write(pm, 0x80, 1, 0);
    cr_assert_eq(fake_in16(&f, 0xb002), 0xffff);
}

Test(piix4_pm, timer_runs_at_3_58_mhz_in_24_bits)
{
    uint32_t before = fake_in32(&f, TMR);
    fake_advance(&f, 1000000000);
    cr_assert_eq(fake_in32(&f, TMR) - before, 3579545);
    fake_advance(&f, UINT64_C(4000000000));
    cr_assert_lt(fake_in32(&f, TMR), 1u << 24);
}

Test(piix4_pm, timer_status_is_set_when_bit_23_changes)
{
    fake_out16(&f, CNT, 1);
    fake_advance(&f, UINT64_C(2300000000));
    cr_assert_eq(fake_in16(&f, STS) & 1, 0);
    fake_advance(&f, 100000000);
    cr_assert_eq(fake_in16(&f, STS) & 1, 1);
    fake_out16(&f, STS, 1);
    cr_assert_eq(fake_in16(&f, STS) & 1, 0);
    fake_out16(&f, EN, 1);
    fake_advance(&f, UINT64_C(2400000000));
    cr_assert_eq(f.level[9], 1);
}

Test(piix4_pm, power_button_raises_sci)
{
    fake_out16(&f, CNT, 1);
    vm__piix4_pm_power_button(pm);
    cr_assert_eq(f.level[9], 0);
    fake_out16(&f, EN, 0x0100);
    cr_assert_eq(f.level[9], 1);
    fake_out16(&f, STS, 0x0100);
    cr_assert_eq(f.level[9], 0);
}

Test(piix4_pm, general_purpose_events_latch)
{
    struct vm_irq event = vm__dev_pin(pm, PIIX4_PM_GPE0 + 4);
    fake_out16(&f, CNT, 1);
    fake_out16(&f, GPE + 2, 0x10);
    vm__irq_set(&event, 1);
    cr_assert_eq(f.level[9], 1);
    cr_assert_eq(fake_in16(&f, GPE), 0x10);
    fake_out16(&f, GPE, 0x10);
    cr_assert_eq(f.level[9], 0, "the level alone does not set it again");
}

Test(piix4_pm, rtc_sets_its_status)
{
    struct vm_irq rtc = vm__dev_pin(pm, PIIX4_PM_RTC);
    vm__irq_set(&rtc, 1);
    cr_assert_eq(fake_in16(&f, STS), 0x0400);
}

Test(piix4_pm, soft_off_ends_the_machine)
{
    fake_out16(&f, CNT, 0x0400); /* type without SLP_EN */
    cr_assert_eq(fake_asked(&f), 0);
    fake_out16(&f, CNT, 0x2000);
    cr_assert_neq(fake_asked(&f), 0);
    cr_assert_eq(fake_in16(&f, CNT) & 0x2000, 0, "SLP_EN is write only");
}

Test(piix4_pm, other_sleeps_wake_at_once)
{
    fake_out16(&f, CNT, 0x2000 | 1 << 10);
    cr_assert_eq(fake_asked(&f), 0);
    cr_assert_eq(fake_in16(&f, STS) & 0x8000, 0x8000);
}

Test(piix4_pm, acpi_commands_switch_sci_and_raise_smi_when_enabled)
{
    fake_out8(&f, 0xb2, 0xf1);
    cr_assert_eq(fake_in16(&f, CNT) & 1, 1);
    cr_assert_eq(smis, 0);
    vm__pci_config_write(pm, 0x58, 4, 1u << 25);
    fake_out8(&f, 0xb3, 0x12);
    fake_out8(&f, 0xb2, 0xf0);
    cr_assert_eq(fake_in16(&f, CNT) & 1, 0);
    cr_assert_eq(smis, 1);
    cr_assert_eq(fake_in8(&f, 0xb2), 0xf0);
    cr_assert_eq(fake_in8(&f, 0xb3), 0x12);
}

Test(piix4_pm, smbus_answers_that_nobody_is_there)
{
    vm__pci_config_write(pm, 0x90, 4, 0x700);
    vm__pci_config_write(pm, 0xd2, 1, 1);
    vm__pci_config_write(pm, 4, 2, 1);
    fake_out8(&f, 0x702, 0x48);
    cr_assert_eq(fake_in8(&f, 0x700), 0x04);
    fake_out8(&f, 0x700, 0x1e);
    cr_assert_eq(fake_in8(&f, 0x700), 0x00);
}

Test(piix4_pm, state_survives_saving)
{
    fake_out16(&f, CNT, 1);
    fake_out16(&f, EN, 0x0101);
    vm__piix4_pm_power_button(pm);
    fake_save_load(pm);
    cr_assert_eq(f.level[9], 1);
    cr_assert_eq(fake_in16(&f, EN), 0x0101);
}
