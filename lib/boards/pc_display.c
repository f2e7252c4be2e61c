/* SPDX-License-Identifier: MIT */
/**
 * @file pc_display.c
 * The board's graphics adapter, and the screen a kernel finds that no firmware started.
 *
 * Firmware would run the adapter's ROM and leave a text screen. Without it a Linux kernel gets a
 * linear framebuffer, which needs no fonts: the mode is set through DISPI, and told in screen_info.
 *
 * Spec: [BOCHS-VBE]; [Linux-boot "zero page"], include/uapi/linux/screen_info.h of [Linux].
 */
#include "base/bits.h"
#include "base/endian.h"
#include "base/error.h"
#include "boards/pc.h"
#include "core/config.h"
#include "core/device.h"
#include "devices/pci/pci.h"

enum {
    VGA_DEVFN = 2 << 3,
    WIDTH = 1024,
    HEIGHT = 768,
    DEPTH = 32,
    PITCH = WIDTH * DEPTH / 8,

    SCREEN_IS_VGA = 0x0f, /* offsets in screen_info */
    SCREEN_LFB_WIDTH = 0x12,
    SCREEN_LFB_HEIGHT = 0x14,
    SCREEN_LFB_DEPTH = 0x16,
    SCREEN_LFB_BASE = 0x18,
    SCREEN_LFB_SIZE = 0x1c,
    SCREEN_LINE_LENGTH = 0x24,
    SCREEN_COLOURS = 0x26, /* size and position of red, green, blue, reserved */
    SCREEN_BYTES = 64,
    SCREEN_TYPE_VLFB = 0x23,
};

int vm__pc_display_build(struct pc *pc)
{
    const struct vm_dev_class *cls = vm__dev_class(pc->m, "vga");
    /* Without firmware nobody runs the ROM, so it need not be there. */
    const struct vm_setting no_rom[] = { { "romfile", "none" }, { 0 } };

    if (vm__config_enum(pc->m->config, "pc.vga") == PC_VGA_NONE)
        return VM_OK;
    if (cls == NULL)
        return vm__fail(VM_E_NOTSUP, "this library was built without vga: pc.vga=none");
    struct vm_dev *dev = vm__dev_new(pc->m, cls, "vga", pc->bios != NULL ? NULL : no_rom);
    pc->vga = vm__pci_add(pc->bus, dev, VGA_DEVFN);
    return pc->vga != NULL ? VM_OK : vm_last_error()->code;
}

static void out_dispi(struct pc *pc, uint16_t index, uint16_t v)
{
    vm__port_write(pc->m, 0x1ce, 2, index);
    vm__port_write(pc->m, 0x1cf, 2, v);
}

static void set_mode(struct pc *pc)
{
    static const uint16_t dispi[][2] = {
        { 4, 0 }, { 1, WIDTH }, { 2, HEIGHT }, { 3, DEPTH }, { 4, 0x41 }
    };
    for (unsigned i = 0; i < VM_COUNT_OF(dispi); i++)
        out_dispi(pc, dispi[i][0], dispi[i][1]);
    vm__port_write(pc->m, 0x3c2, 1, 0x01); /* status at 3DA: reading it makes 3C0 take an index */
    (void)vm__port_read(pc->m, 0x3da, 1);
    vm__port_write(pc->m, 0x3c0, 1, 0x20); /* screen on */
}

int vm__pc_display_boot(struct pc *pc)
{
    /* Eight bits each: red at 16, green at 8, blue at 0, nothing at 24. */
    static const uint8_t colours[8] = { 8, 16, 8, 8, 8, 0, 8, 24 };
    uint8_t screen[SCREEN_BYTES];

    if (pc->vga == NULL || pc->plan.screen_gpa == 0)
        return VM_OK;
    const uint32_t base = vm_le32(&vm__pci(pc->vga)->config[PCI_BAR0]) & ~UINT32_C(0xf);
    int st = vm__mem_read(pc->m, pc->plan.screen_gpa, screen, sizeof screen);
    if (st != VM_OK || base == 0)
        return st;
    set_mode(pc);
    screen[SCREEN_IS_VGA] = SCREEN_TYPE_VLFB;
    vm_put_le16(screen + SCREEN_LFB_WIDTH, WIDTH);
    vm_put_le16(screen + SCREEN_LFB_HEIGHT, HEIGHT);
    vm_put_le16(screen + SCREEN_LFB_DEPTH, DEPTH);
    vm_put_le32(screen + SCREEN_LFB_BASE, base);
    vm_put_le32(screen + SCREEN_LFB_SIZE, (uint32_t)(vm__pci(pc->vga)->size[0] >> 16));
    vm_put_le16(screen + SCREEN_LINE_LENGTH, PITCH);
    memcpy(screen + SCREEN_COLOURS, colours, sizeof colours);
    return vm__mem_write(pc->m, pc->plan.screen_gpa, screen, sizeof screen);
}
