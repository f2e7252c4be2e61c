/* SPDX-License-Identifier: MIT */
/**
 * @file isa_debug_exit.c
 * A port that ends the machine: test kernels write their verdict to it.
 *
 * Spec: QEMU's isa-debug-exit, as test kernels use it: writing n ends with the code n * 2 + 1, so
 * that 0 stays free for an ordinary power-off.
 */
#include "core/device.h"
#include "core/machine.h"

struct isa_debug_exit {
    uint16_t iobase;
    uint8_t iosize;
};

/** Nobody reads it, but a read must not look like a device that is not there. */
static uint64_t exit_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    (void)dev;
    (void)off;
    (void)size;
    return 0;
}

static void exit_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    (void)off;
    (void)size;
    vm__request_shutdown(dev->m, (uint32_t)v << 1 | 1);
}

static int exit_realize(struct vm_dev *dev)
{
    const struct isa_debug_exit *s = vm_dev_state(dev);
    int st = vm__dev_window_size(dev, 0, s->iosize);
    return st == VM_OK ? vm__dev_map(dev, 0, s->iobase) : st;
}

static const struct vm_window windows[] = {
    { "exit", VM_SPACE_PORT, 0, 1, 4, .read = exit_read, .write = exit_write },
    { 0 },
};

/* clang-format off */
static const struct vm_prop props[] = {
    { "iobase", "its first port", VM_PROP_UINT(isa_debug_exit, iobase), .value = "0xf4", .max = 0xfffc },
    { "iosize", "how many ports", VM_PROP_UINT(isa_debug_exit, iosize), .value = "4", .min = 1, .max = 4 },
    { 0 },
};
/* clang-format on */

const struct vm_dev_class vm__isa_debug_exit_class = {
    .name = "isa-debug-exit",
    .summary = "port that ends the machine with an exit code",
    .spec = "QEMU isa-debug-exit",
    .bus = VM_BUS_ISA,
    .state_size = sizeof(struct isa_debug_exit),
    .windows = windows,
    .props = props,
    .realize = exit_realize,
};
