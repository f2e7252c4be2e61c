/* SPDX-License-Identifier: MIT */
/**
 * @file pci_testdev.c
 * A PCI function that counts writes, to measure and test access to BARs.
 *
 * Spec: QEMU docs/specs/pci-testdev. Each BAR begins with a header that describes the test whose
 * number was written to its first byte: where to write what, how wide, and how often it was done.
 *   0 test (write)   1 width   4 offset   8 data   12 count   16 name, ended by 0
 */
#include "devices/pci/pci.h"

enum {
    MEM_SIZE = 4096,
    IO_SIZE = 256,
    BARS = 2,
    HEADER = 64, /* the place to write to lies behind it */

    H_TEST = 0,
    H_WIDTH = 1,
    H_OFFSET = 4,
    H_DATA = 8,
    H_COUNT = 12,
    H_NAME = 16,

    TESTS = 3, /* by what a host may do with the write: nothing, any value, one value */
    DATA = 0xfa,
    NO_TEST = 0xff,
};

struct bar {
    uint8_t test;
    uint32_t count;
};

struct pci_testdev {
    struct vm_pci pci;
    struct bar bar[BARS]; /**< memory, ports */
};

/** Tests write to 32 bytes of their own each, so that a number tells where a write belongs. */
static uint32_t target(unsigned test)
{
    return HEADER + 32 * test;
}

static void header_of(const struct bar *b, bool is_mem, uint8_t *header)
{
    static const char *const names[TESTS] = { "no-eventfd", "wildcard-eventfd",
                                              "datamatch-eventfd" };
    memset(header, 0, HEADER);
    header[H_TEST] = b->test;
    if (b->test >= TESTS)
        return;
    header[H_WIDTH] = 1;
    vm_put_le32(&header[H_OFFSET], target(b->test));
    vm_put_le32(&header[H_DATA], DATA);
    vm_put_le32(&header[H_COUNT], b->count);
    memcpy(&header[H_NAME], is_mem ? "mmio-" : "portio-", is_mem ? 5 : 7);
    memcpy(&header[H_NAME + (is_mem ? 5 : 7)], names[b->test], strlen(names[b->test]));
}

static uint64_t bar_read(const struct bar *b, bool is_mem, uint64_t off, unsigned size)
{
    uint8_t header[HEADER + 8] = { 0 };
    if (off >= HEADER)
        return 0;
    header_of(b, is_mem, header);
    return vm_le_n(&header[off], size);
}

static void bar_write(struct bar *b, uint64_t off, unsigned size, uint64_t v)
{
    if (off == H_TEST) {
        b->test = (uint8_t)v;
        b->count = 0;
    } else if (b->test < TESTS && off == target(b->test) && size == 1 &&
               (b->test != TESTS - 1 || (uint8_t)v == DATA)) {
        b->count++;
    }
}

static uint64_t mem_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct pci_testdev *s = vm_dev_state(dev);
    return bar_read(&s->bar[0], true, off, size);
}

static void mem_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct pci_testdev *s = vm_dev_state(dev);
    bar_write(&s->bar[0], off, size, v);
}

static uint64_t io_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct pci_testdev *s = vm_dev_state(dev);
    return bar_read(&s->bar[1], false, off, size);
}

static void io_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct pci_testdev *s = vm_dev_state(dev);
    bar_write(&s->bar[1], off, size, v);
}

static void testdev_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct pci_testdev *s = vm_dev_state(dev);
    (void)kind;
    for (unsigned i = 0; i < BARS; i++)
        s->bar[i] = (struct bar) { .test = NO_TEST };
}

static const struct vm_pci_function function = {
    .vendor = 0x1b36,
    .device = 0x0005,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x00ff00,
    .bars = { { VM_PCI_BAR_MEM, 0 }, { VM_PCI_BAR_IO, 1 } },
};

static const struct vm_window windows[] = {
    { "mem", VM_SPACE_MEM, MEM_SIZE, 1, 8, .read = mem_read, .write = mem_write },
    { "io", VM_SPACE_PORT, IO_SIZE, 1, 4, .read = io_read, .write = io_write },
    { 0 },
};

static const struct vm_field bar_fields[] = {
    VM_FIELD(bar, test, 1),
    VM_FIELD(bar, count, 1),
    { 0 },
};

static const struct vm_field fields[] = {
    VM_PCI_FIELD(pci_testdev),
    VM_FIELD_STRUCTS(pci_testdev, bar, bar_fields, 1),
    { 0 },
};

const struct vm_dev_class vm__pci_testdev_class = {
    .name = "pci-testdev",
    .summary = "PCI function that counts writes",
    .spec = "QEMU pci-testdev",
    .bus = VM_BUS_PCI,
    .state_size = sizeof(struct pci_testdev),
    .windows = windows,
    .fields = fields,
    .reset = testdev_reset,
    .post_load = vm__pci_post_load,
    .pci = &function,
};
