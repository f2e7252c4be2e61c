/* SPDX-License-Identifier: MIT */
/**
 * @file test_msi.c
 * MSI and MSI-X, on a made-up function with both.
 */
#include <criterion/criterion.h>

#include "core/device_impl.h"
#include "devices/classes.h"
#include "devices/pci/msi.h"

enum { TABLE = 0x000, PENDING = 0x800, BAR = 0x1000, VECTORS = 4 };

struct talker {
    struct vm_pci pci;
    struct vm_msix msix;
};

static uint64_t talker_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct talker *s = vm_dev_state(dev);
    return vm__msix_owns(&s->msix, off) ? vm__msix_read(&s->msix, off, size) : 0;
}

static void talker_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct talker *s = vm_dev_state(dev);
    if (vm__msix_owns(&s->msix, off))
        vm__msix_write(dev, &s->msix, off, size, v);
}

static void config_written(struct vm_dev *dev, uint32_t off, uint32_t size)
{
    struct talker *s = vm_dev_state(dev);
    vm__pci_msi_written(dev, &s->msix, off, size);
}

static int talker_realize(struct vm_dev *dev)
{
    struct talker *s = vm_dev_state(dev);
    int st = vm__pci_add_msi(dev, VECTORS);
    return st == VM_OK ? vm__pci_add_msix(dev, &s->msix, VECTORS, 0, TABLE, PENDING) : st;
}

static void talker_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct talker *s = vm_dev_state(dev);
    (void)kind;
    vm__msix_reset(&s->msix);
}

static const struct vm_pci_function function = {
    .vendor = 0x1234,
    .device = 0x0001,
    .bars = { { VM_PCI_BAR_MEM, 0 } },
    .config_written = config_written,
};
static const struct vm_window windows[] = {
    { "mem", VM_SPACE_MEM, BAR, 4, 8, .read = talker_read, .write = talker_write },
    { 0 },
};
static const struct vm_field fields[] = {
    VM_PCI_FIELD(talker),
    VM_MSIX_FIELD(talker, msix),
    { 0 },
};
static const struct vm_dev_class talker_class = {
    .name = "talker",
    .state_size = sizeof(struct talker),
    .windows = windows,
    .fields = fields,
    .realize = talker_realize,
    .reset = talker_reset,
    .post_load = vm__pci_post_load,
    .pci = &function,
};

static struct fake_machine f;
static struct vm_dev *dev;
static struct talker *talker;
static uint8_t msi, msix;

static void set(uint32_t off, unsigned size, uint32_t v)
{
    vm__pci_config_write(dev, off, size, v);
}

static void setup(void)
{
    fake_init(&f);
    struct vm_dev *host = vm__dev_new(f.m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(host);
    vm__pci_add(bus, host, 0);
    dev = vm__pci_add(bus, vm__dev_new(f.m, &talker_class, NULL, NULL), 5 << 3);
    fake_reset(host, VM_DEV_RESET_COLD);
    fake_reset(dev, VM_DEV_RESET_COLD);
    talker = vm_dev_state(dev);
    msi = vm__pci(dev)->msi;
    msix = vm__pci(dev)->msix;
    set(PCI_BAR0, 4, 0xe0000000);
    set(PCI_COMMAND, 2, 6);
}

static void teardown(void)
{
    fake_fini(&f);
}

static void setup_msi(unsigned log2)
{
    set(msi + 4u, 4, 0xfee01000);
    set(msi + 12u, 2, 0x40);
    set(msi + 2u, 2, 1 | log2 << 4);
}

TestSuite(msi, .init = setup, .fini = teardown);

Test(msi, vector_goes_into_the_low_bits_of_the_data)
{
    cr_assert_not(vm__pci_has_msi(dev));
    setup_msi(2);
    cr_assert(vm__pci_has_msi(dev));
    vm__pci_send_msi(dev, &talker->msix, 3);
    cr_assert_eq(f.msi_address, 0xfee01000);
    cr_assert_eq(f.msi_data, 0x43);
    setup_msi(0);
    vm__pci_send_msi(dev, &talker->msix, 3);
    cr_assert_eq(f.msi_data, 0x40, "fewer vectors enabled: they share");
}

Test(msi, masked_vector_waits)
{
    setup_msi(2);
    set(msi + 16u, 4, 1u << 1);
    vm__pci_send_msi(dev, &talker->msix, 1);
    cr_assert_eq(f.n_msi, 0);
    cr_assert_eq(vm__pci_config_read(dev, msi + 20u, 4), 1u << 1);
    set(msi + 16u, 4, 0);
    cr_assert_eq(f.n_msi, 1);
    cr_assert_eq(f.msi_data, 0x41);
    cr_assert_eq(vm__pci_config_read(dev, msi + 20u, 4), 0);
}

Test(msi, needs_bus_mastering)
{
    setup_msi(0);
    set(PCI_COMMAND, 2, 2);
    vm__pci_send_msi(dev, &talker->msix, 0);
    cr_assert_eq(f.n_msi, 0);
}

Test(msi, table_entries_have_their_own_address_and_mask)
{
    set(msix + 2u, 2, 0x8000);
    fake_write(&f, 0xe0000010, 8, 0xfee03000);
    fake_write(&f, 0xe0000018, 4, 0x77);
    vm__pci_send_msi(dev, &talker->msix, 1);
    cr_assert_eq(f.n_msi, 0, "masked after reset");
    cr_assert_eq(fake_read(&f, 0xe0000800, 4), 2);
    fake_write(&f, 0xe000001c, 4, 0);
    cr_assert_eq(f.n_msi, 1);
    cr_assert_eq(f.msi_address, 0xfee03000);
    cr_assert_eq(f.msi_data, 0x77);
    cr_assert_eq(fake_read(&f, 0xe0000800, 4), 0);
}

Test(msi, function_mask_holds_every_vector)
{
    set(msix + 2u, 2, 0xc000);
    fake_write(&f, 0xe000000c, 4, 0);
    vm__pci_send_msi(dev, &talker->msix, 0);
    vm__pci_send_msi(dev, &talker->msix, 9);
    cr_assert_eq(f.n_msi, 0);
    set(msix + 2u, 2, 0x8000);
    cr_assert_eq(f.n_msi, 1);
}

Test(msi, state_survives_saving)
{
    set(msix + 2u, 2, 0x8000);
    fake_write(&f, 0xe0000000, 8, 0xfee05000);
    vm__pci_send_msi(dev, &talker->msix, 0);
    fake_save_load(dev);
    fake_write(&f, 0xe000000c, 4, 0);
    cr_assert_eq(f.n_msi, 1);
    cr_assert_eq(f.msi_address, 0xfee05000);
}
