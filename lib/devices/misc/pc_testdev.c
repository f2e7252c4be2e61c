/* SPDX-License-Identifier: MIT */
/**
 * @file pc_testdev.c
 * What kvm-unit-tests wants of a PC besides a PC: lines to drive, ports and memory that remember.
 *
 * Spec: the ports that kvm-unit-tests uses of QEMU's pc-testdev.
 *   00E0…00E3  a dword that remembers, any width      00E8…00EB  the same, byte by byte
 *   00E4…00E7  a page to forget; nothing here caches any behind the guest's back
 *   2000…2017  bit 0 is the level of interrupt line 0 to 23
 *   FF000000   64 KiB that remember, any width
 */
#include "core/device.h"
#include "core/machine.h"

enum { LINES = 24, MEMORY = 0x10000, MEMORY_BASE = 0xff000000u };

struct pc_testdev {
    uint8_t word[4];
    uint8_t memory[MEMORY];
};

static uint64_t word_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct pc_testdev *s = vm_dev_state(dev);
    return vm_le_n(&s->word[off], off + size <= sizeof s->word ? size : 1);
}

static void word_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct pc_testdev *s = vm_dev_state(dev);
    vm_put_le_n(&s->word[off], off + size <= sizeof s->word ? size : 1, v);
}

static void line_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct vm_irq irq = vm__machine_line(dev->m, (uint32_t)off);
    (void)size;
    vm__irq_set(&irq, v & 1);
}

static uint64_t memory_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct pc_testdev *s = vm_dev_state(dev);
    return vm_le_n(&s->memory[off], off + size <= MEMORY ? size : 1);
}

static void memory_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct pc_testdev *s = vm_dev_state(dev);
    vm_put_le_n(&s->memory[off], off + size <= MEMORY ? size : 1, v);
}

static int testdev_realize(struct vm_dev *dev)
{
    static const uint32_t bases[] = { 0xe0, 0xe4, 0xe8, 0x2000, MEMORY_BASE };
    int st = VM_OK;
    for (uint32_t i = 0; i < VM_COUNT_OF(bases) && st == VM_OK; i++)
        st = vm__dev_map(dev, i, bases[i]);
    return st;
}

static void testdev_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct pc_testdev *s = vm_dev_state(dev);
    (void)kind;
    memset(s, 0, sizeof *s);
}

/* clang-format off */
static const struct vm_window windows[] = {
    { "word",   VM_SPACE_PORT, 4, 1, 4, .read = word_read, .write = word_write },
    { "flush",  VM_SPACE_PORT, 4, 1, 4 },
    { "bytes",  VM_SPACE_PORT, 4, 1, 1, .read = word_read, .write = word_write },
    { "lines",  VM_SPACE_PORT, LINES, 1, 1, .write = line_write },
    { "memory", VM_SPACE_MEM, MEMORY, 1, 8, .read = memory_read, .write = memory_write },
    { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_FIELD_BYTES(pc_testdev, word, 1),
    VM_FIELD_BYTES(pc_testdev, memory, 1),
    { 0 },
};

const struct vm_dev_class vm__pc_testdev_class = {
    .name = "pc-testdev",
    .summary = "lines, ports and memory for kvm-unit-tests",
    .spec = "QEMU pc-testdev",
    .bus = VM_BUS_ISA,
    .state_size = sizeof(struct pc_testdev),
    .windows = windows,
    .fields = fields,
    .realize = testdev_realize,
    .reset = testdev_reset,
};
