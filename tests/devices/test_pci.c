/* SPDX-License-Identifier: MIT */
/**
 * @file test_pci.c
 * Configuration cycles, base addresses, interrupt routing, shadow RAM, on an i440FX and PIIX3.
 */
#include <criterion/criterion.h>

#include "core/device_impl.h"
#include "devices/classes.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/pci.h"

static struct fake_machine f;
static struct vm_dev *host, *isa, *testdev;
static struct vm_pci_bus *bus;

enum { DEV_TEST = 4 << 3 };

static struct vm_dev *plug(const struct vm_dev_class *cls, unsigned devfn)
{
    return vm__pci_add(bus, vm__dev_new(f.m, cls, NULL, NULL), devfn);
}

static void setup(void)
{
    fake_init(&f);
    host = vm__dev_new(f.m, &vm__i440fx_class, NULL, NULL);
    bus = vm__pci_bus_of(host);
    vm__pci_add(bus, host, 0);
    isa = plug(&vm__piix3_class, 1 << 3);
    testdev = plug(&vm__pci_testdev_class, DEV_TEST);
    for (uint32_t i = 0; i < PCI_PINS; i++)
        vm__dev_connect(host, i, vm__dev_pin(isa, i));
    fake_reset(host, VM_DEV_RESET_COLD);
    fake_reset(isa, VM_DEV_RESET_COLD);
    fake_reset(testdev, VM_DEV_RESET_COLD);
}

static void teardown(void)
{
    fake_fini(&f);
}

static void select_reg(unsigned devfn, uint32_t reg)
{
    fake_out32(&f, 0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc));
}

static uint32_t get(unsigned devfn, uint32_t reg)
{
    select_reg(devfn, reg);
    return fake_in32(&f, 0xcfc);
}

static void set(unsigned devfn, uint32_t reg, uint32_t v)
{
    select_reg(devfn, reg);
    fake_out32(&f, 0xcfc, v);
}

TestSuite(pci, .init = setup, .fini = teardown);

Test(pci, finds_who_is_there)
{
    cr_assert_eq(get(0, 0), 0x12378086);
    cr_assert_eq(get(8, 0), 0x70008086);
    cr_assert_eq(get(8, 0x0c) >> 16 & 0xff, 0x80, "multifunction");
    cr_assert_eq(get(2 << 3, 0), 0xffffffff);
    fake_out32(&f, 0xcf8, 0x80010000);
    cr_assert_eq(fake_in32(&f, 0xcfc), 0xffffffff, "no bus 1");
    fake_out32(&f, 0xcf8, 0);
    cr_assert_eq(fake_in32(&f, 0xcfc), 0xffffffff, "disabled");
}

Test(pci, narrow_cycles)
{
    select_reg(8, 0);
    cr_assert_eq(fake_in16(&f, 0xcfe), 0x7000);
    cr_assert_eq(fake_in8(&f, 0xcff), 0x70);
    fake_out32(&f, 0xcf8, 0x80000802);
    cr_assert_eq(fake_in16(&f, 0xcfc), 0x7000, "the byte in the address");
    cr_assert_eq(fake_in16(&f, 0xcfe), 0x7000, "or in both");
    select_reg(8, 0);
    fake_out8(&f, 0xcf8, 0xff);
    cr_assert_eq(fake_in32(&f, 0xcf8), 0x80000800, "only dwords reach the address register");
    select_reg(DEV_TEST, 0x3c);
    fake_out8(&f, 0xcfc, 11);
    cr_assert_eq(get(DEV_TEST, 0x3c) & 0xff, 11);
}

Test(pci, sizes_and_moves_base_addresses)
{
    set(DEV_TEST, 0x10, 0xffffffff);
    cr_assert_eq(get(DEV_TEST, 0x10), 0xfffff000);
    set(DEV_TEST, 0x14, 0xffffffff);
    cr_assert_eq(get(DEV_TEST, 0x14), 0xffffff01);
    set(DEV_TEST, 0x18, 0xffffffff);
    cr_assert_eq(get(DEV_TEST, 0x18), 0);
    set(DEV_TEST, 0x10, 0xe0000000);
    set(DEV_TEST, 0x14, 0xc000);
    cr_assert_eq(fake_read(&f, 0xe0000000, 1), 0xff, "not enabled yet");
    cr_assert_eq(fake_in8(&f, 0xc000), 0xff);
    set(DEV_TEST, 4, 3);
    fake_write(&f, 0xe0000000, 1, 1);
    cr_assert_eq(fake_read(&f, 0xe0000000, 1), 1);
    fake_out8(&f, 0xc000, 2);
    cr_assert_eq(fake_in8(&f, 0xc000), 2);
    set(DEV_TEST, 0x10, 0xe0001000);
    cr_assert_eq(fake_read(&f, 0xe0001000, 1), 1);
    cr_assert_eq(fake_read(&f, 0xe0000000, 1), 0xffu);
    set(DEV_TEST, 4, 0);
    cr_assert_eq(fake_read(&f, 0xe0001000, 1), 0xff);
}

Test(pci, testdev_counts_writes_to_the_place_it_names)
{
    set(DEV_TEST, 0x10, 0xe0000000);
    set(DEV_TEST, 4, 2);
    fake_write(&f, 0xe0000000, 1, 1);
    uint32_t off = (uint32_t)fake_read(&f, 0xe0000004, 4);
    cr_assert_eq(fake_read(&f, 0xe0000001, 1), 1);
    for (int i = 0; i < 16; i++)
        fake_write(&f, 0xe0000000 + off, 1, 7);
    cr_assert_eq(fake_read(&f, 0xe000000c, 4), 16);
    cr_assert_eq(fake_read(&f, 0xe0000010, 1), 'm');
    fake_write(&f, 0xe0000000, 1, 3);
    cr_assert_eq(fake_read(&f, 0xe0000001, 1), 0, "no test 3");
}

Test(pci, intx_reaches_the_isa_interrupt_it_is_routed_to)
{
    vm__pci(testdev)->config[PCI_INTERRUPT_PIN] = 1; /* INTA of slot 4: PIRQD */
    vm__pci_intx(testdev, 1);
    cr_assert_eq(f.level[11], 0, "routing is off after reset");
    set(8, 0x60, 0x0b0a0a0a);
    cr_assert_eq(f.level[11], 1);
    cr_assert_eq(get(DEV_TEST, 4) >> 16 & 8, 8, "interrupt status");
    set(8, 0x60, 0x050a0a0a);
    cr_assert_eq(f.level[11], 0);
    cr_assert_eq(f.level[5], 1);
    set(DEV_TEST, 4, 0x400);
    cr_assert_eq(f.level[5], 0, "INTx disable");
    set(DEV_TEST, 4, 0);
    cr_assert_eq(f.level[5], 1);
    vm__pci_intx(testdev, 0);
    cr_assert_eq(f.level[5], 0);
}

Test(pci, reset_unmaps_and_clears)
{
    set(DEV_TEST, 0x10, 0xe0000000);
    set(DEV_TEST, 4, 2);
    set(8, 0x60, 0x0b0b0a0a);
    fake_reset(host, VM_DEV_RESET_WARM);
    cr_assert_eq(get(DEV_TEST, 4) & 0xffff, 0);
    cr_assert_eq(get(DEV_TEST, 0x10), 0);
    cr_assert_eq(get(8, 0x60), 0x80808080);
    cr_assert_eq(fake_read(&f, 0xe0000000, 1), 0xff);
}

Test(pci, slot_can_be_taken_once)
{
    cr_assert_null(plug(&vm__pci_testdev_class, DEV_TEST));
    cr_assert_eq(vm__pci_free_slot(bus, 1), 2 << 3);
}

Test(pci, capabilities_chain)
{
    uint8_t a = vm__pci_capability(testdev, 5, 10), b = vm__pci_capability(testdev, 0x11, 12);
    cr_assert_eq(get(DEV_TEST, 0x34) & 0xff, b);
    cr_assert_eq(get(DEV_TEST, b) & 0xffff, 0x11 | a << 8);
    cr_assert_eq(get(DEV_TEST, a) & 0xffff, 0x05);
    cr_assert_eq(get(DEV_TEST, 4) >> 16 & 0x10, 0x10);
    cr_assert_eq(vm__pci_capability(testdev, 9, 255), 0, "no room");
}

Test(pci, shadow_ram_follows_pam)
{
    uint8_t image[0x20000];
    memset(image, 0xb1, sizeof image);
    struct vm_region *ram = vm__ram_new(f.m, "shadowed", 1 << 20);
    struct vm_region *bios = vm__rom_new(f.m, "bios", image, sizeof image, sizeof image);
    struct vm_region *low = vm__alias_new(f.m, "bios-low", bios, 0, sizeof image);
    vm__region_enable(f.ram, false);
    vm__region_place(low, 0xe0000, VM_PRIO_ROM);
    cr_assert_eq(vm__i440fx_set_memory(host, ram, bios, 0xe0000, 0), VM_OK);
    uint8_t *bytes = vm__region_host(ram);

    cr_assert_eq(fake_read(&f, 0xf0000, 1), 0xb1);
    cr_assert_eq(fake_read(&f, 0xc0000, 1), 0xff);
    set(0, 0x58, 0x00002000); /* PAM0: write only */
    fake_write(&f, 0xf0010, 1, 0x77);
    cr_assert_eq(bytes[0xf0010], 0x77);
    cr_assert_eq(fake_read(&f, 0xf0010, 1), 0xb1, "reads still go to ROM");
    set(0, 0x58, 0x00001000); /* read only */
    cr_assert_eq(fake_read(&f, 0xf0010, 1), 0x77);
    fake_write(&f, 0xf0010, 1, 0x11);
    cr_assert_eq(bytes[0xf0010], 0x77);
    vm__i440fx_shadow_all(host);
    fake_write(&f, 0xc4000, 4, 0x12345678);
    cr_assert_eq(fake_read(&f, 0xc4000, 4), 0x12345678);
}

Test(pci, smram_shows_in_its_view_and_locks)
{
    struct vm_region *ram = vm__ram_new(f.m, "shadowed", 1 << 20);
    vm__region_enable(f.ram, false);
    cr_assert_eq(vm__i440fx_set_memory(host, ram, NULL, 0, 0), VM_OK);
    vm__region_host(ram)[0xa0000] = 0x5a;
    cr_assert_eq(fake_read(&f, 0xa0000, 1), 0xff);
    set(0, 0x70, 0x004a0000); /* D_OPEN */
    cr_assert_eq(fake_read(&f, 0xa0000, 1), 0x5a);
    set(0, 0x70, 0x001a0000); /* locked, enabled for SMM */
    cr_assert_eq(fake_read(&f, 0xa0000, 1), 0xff);
    struct vm_mem_page page;
    vm__mem_page(f.m, VM_VIEW_SMM, 0xa0000, &page);
    cr_assert_not_null(page.host);
    set(0, 0x70, 0x004a0000);
    cr_assert_eq(fake_read(&f, 0xa0000, 1), 0xff, "locked");
}

Test(pci, reset_control_register)
{
    fake_out8(&f, 0xcf9, 0x02);
    cr_assert_eq(fake_asked(&f), 0);
    fake_out8(&f, 0xcf9, 0x06);
    cr_assert_neq(fake_asked(&f), 0);
}

Test(pci, state_survives_saving)
{
    set(DEV_TEST, 0x10, 0xe0000000);
    set(DEV_TEST, 4, 2);
    fake_write(&f, 0xe0000000, 1, 1);
    fake_save_load(testdev);
    cr_assert_eq(fake_read(&f, 0xe0000000, 1), 1);
    set(8, 0x60, 0x0b0b0a0a);
    fake_save_load(isa);
    cr_assert_eq(get(8, 0x60), 0x0b0b0a0a);
}
