/* SPDX-License-Identifier: MIT */
/**
 * @file debugcon.c
 * A port that prints: what is written goes to a character channel.
 *
 * Spec: port E9h as Bochs and QEMU have it (it reads as E9h, so that programs find it); SeaBIOS and
 * OVMF log to the same device at 402h.
 */
#include "core/device.h"

struct debugcon {
    uint16_t iobase;
    uint8_t readback;
    struct vm_chr *chr;
};

static uint64_t debugcon_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct debugcon *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    return s->readback;
}

/** What the channel does not take is lost: there is no way to tell the guest to wait. */
static void debugcon_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    const struct debugcon *s = vm_dev_state(dev);
    uint8_t byte = (uint8_t)v;
    (void)off;
    (void)size;
    (void)vm__chr_write(s->chr, &byte, 1);
}

static int debugcon_realize(struct vm_dev *dev)
{
    static const struct vm_chr_guest_ops ops = { 0 };
    const struct debugcon *s = vm_dev_state(dev);
    int st = vm__dev_map(dev, 0, s->iobase);
    if (st == VM_OK && s->chr != NULL)
        st = vm__chr_attach_guest(s->chr, &ops, dev);
    return st;
}

static void debugcon_unrealize(struct vm_dev *dev)
{
    const struct debugcon *s = vm_dev_state(dev);
    if (s->chr != NULL)
        vm__chr_detach_guest(s->chr);
}

static const struct vm_window windows[] = {
    { "debugcon", VM_SPACE_PORT, 1, 1, 1, .read = debugcon_read, .write = debugcon_write },
    { 0 },
};

/* clang-format off */
static const struct vm_prop props[] = {
    { "iobase", "its port", VM_PROP_UINT(debugcon, iobase), .value = "0xe9" },
    { "readback", "what reading it gives", VM_PROP_UINT(debugcon, readback), .value = "0xe9" },
    { "chardev", "character channel that gets the text", VM_PROP_CHR(debugcon, chr) },
    { 0 },
};
/* clang-format on */

const struct vm_dev_class vm__debugcon_class = {
    .name = "debugcon",
    .summary = "debug output port",
    .spec = "Bochs port 0xE9",
    .bus = VM_BUS_ISA,
    .state_size = sizeof(struct debugcon),
    .windows = windows,
    .props = props,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
