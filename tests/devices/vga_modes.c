/* SPDX-License-Identifier: MIT */
/**
 * @file vga_modes.c
 * A machine with a VGA, and the values of [IBM-VGA "BIOS mode tables"] for its registers.
 */
#include "vga_modes.h"

#undef NDEBUG
#include <assert.h>

#include "devices/pci/i440fx.h"
#include "devices/pci/pci.h"

/* clang-format off */
#define ATTR_16 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, \
                0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f
#define ATTR_CGA 0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, \
                 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17

const struct vga_mode vga_mode_01 = { 0x67, { 0x03, 0x08, 0x03, 0x00, 0x02 },
    { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0xa0, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0,
      0x9c, 0x8e, 0x8f, 0x14, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x00, 0xff }, { ATTR_16, 0x0c, 0x00, 0x0f, 0x08, 0x00 } };
const struct vga_mode vga_mode_03 = { 0x67, { 0x03, 0x00, 0x03, 0x00, 0x02 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0,
      0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x00, 0xff }, { ATTR_16, 0x0c, 0x00, 0x0f, 0x08, 0x00 } };
const struct vga_mode vga_mode_04 = { 0x63, { 0x03, 0x09, 0x03, 0x00, 0x02 },
    { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0, 0, 0, 0, 0, 0,
      0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff },
    { 0, 0, 0, 0, 0, 0x30, 0x0f, 0x00, 0xff }, { ATTR_CGA, 0x01, 0x00, 0x03, 0x00, 0x00 } };
const struct vga_mode vga_mode_06 = { 0x63, { 0x03, 0x01, 0x01, 0x00, 0x06 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0, 0, 0, 0, 0, 0,
      0x9c, 0x8e, 0x8f, 0x28, 0x00, 0x96, 0xb9, 0xc2, 0xff },
    { 0, 0, 0, 0, 0, 0x00, 0x0d, 0x00, 0xff }, { ATTR_CGA, 0x01, 0x00, 0x01, 0x00, 0x00 } };
const struct vga_mode vga_mode_0d = { 0x63, { 0x03, 0x09, 0x0f, 0x00, 0x06 },
    { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc0, 0, 0, 0, 0, 0, 0,
      0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xe3, 0xff },
    { 0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff }, { ATTR_16, 0x01, 0x00, 0x0f, 0x00, 0x00 } };
const struct vga_mode vga_mode_12 = { 0xe3, { 0x03, 0x01, 0x0f, 0x00, 0x06 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0, 0, 0, 0, 0, 0,
      0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff },
    { 0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff }, { ATTR_16, 0x01, 0x00, 0x0f, 0x00, 0x00 } };
const struct vga_mode vga_mode_13 = { 0x63, { 0x03, 0x01, 0x0f, 0x00, 0x0e },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0, 0, 0, 0, 0, 0,
      0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff }, { ATTR_16, 0x41, 0x00, 0x0f, 0x00, 0x00 } };
const struct vga_mode vga_mode_x = { 0x63, { 0x03, 0x01, 0x0f, 0x00, 0x06 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0, 0, 0, 0, 0, 0,
      0x9c, 0x8e, 0x8f, 0x28, 0x00, 0x96, 0xb9, 0xe3, 0xff },
    { 0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff }, { ATTR_16, 0x41, 0x00, 0x0f, 0x00, 0x00 } };
/* clang-format on */

static void on_mode(void *opaque, const struct vm_surface *s)
{
    struct vga_test *t = opaque;
    (void)s;
    t->modes++;
}

static void on_damage(void *opaque, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
    struct vga_test *t = opaque;
    (void)x;
    (void)width;
    t->from = t->damages == 0 || y < t->from ? y : t->from;
    t->to = t->damages == 0 || y + height > t->to ? y + height : t->to;
    t->damages++;
}

static const struct vm_display_host_ops onlooker = { .mode = on_mode, .damage = on_damage };

void vga_test_init(struct vga_test *t)
{
    static const struct vm_setting no_rom[] = { { "romfile", "none" }, { 0 } };
    memset(t, 0, sizeof *t);
    fake_init(&t->f);
    struct vm_machine *m = t->f.m;
    vm__lock(m);
    struct vm_dev *host = t->host = vm__dev_new(m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(host);
    assert(vm__pci_add(bus, host, 0) != NULL);
    t->dev = vm__pci_add(bus, vm__dev_new(m, &vm__vga_class, "vga", no_rom), 2 << 3);
    assert(t->dev != NULL);
    vm__unlock(m);
    fake_reset(host, VM_DEV_RESET_COLD);
    fake_reset(t->dev, VM_DEV_RESET_COLD);
    vm__pci_config_write(t->dev, PCI_BAR0, 4, LFB);
    vm__pci_config_write(t->dev, PCI_BAR0 + 8, 4, MMIO);
    vm__pci_config_write(t->dev, PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_IO);
    t->display = vm__display_get(m, 0);
    vm__display_attach_host(t->display, &onlooker, t);
}

void vga_test_fini(struct vga_test *t)
{
    fake_fini(&t->f);
}

void vga_test_clear(struct vga_test *t)
{
    t->damages = t->modes = 0;
    t->from = t->to = 0;
}

void vga_test_seq(struct vga_test *t, uint8_t i, uint8_t v)
{
    fake_out16(&t->f, 0x3c4, (uint16_t)(i | v << 8));
}

void vga_test_gc(struct vga_test *t, uint8_t i, uint8_t v)
{
    fake_out16(&t->f, 0x3ce, (uint16_t)(i | v << 8));
}

void vga_test_crtc(struct vga_test *t, uint8_t i, uint8_t v)
{
    fake_out16(&t->f, 0x3d4, (uint16_t)(i | v << 8));
}

void vga_test_attr(struct vga_test *t, uint8_t i, uint8_t v)
{
    (void)fake_in8(&t->f, 0x3da);
    fake_out8(&t->f, 0x3c0, i | 0x20);
    fake_out8(&t->f, 0x3c0, v);
}

void vga_test_dispi(struct vga_test *t, uint16_t i, uint16_t v)
{
    fake_out16(&t->f, 0x1ce, i);
    fake_out16(&t->f, 0x1cf, v);
}

uint16_t vga_test_dispi_read(struct vga_test *t, uint16_t i)
{
    fake_out16(&t->f, 0x1ce, i);
    return fake_in16(&t->f, 0x1cf);
}

uint32_t vga_test_colour(unsigned i)
{
    const unsigned rgb[3] = { i & 63, (63 - i) & 63, (i * 5) & 63 };
    uint32_t out = 0;
    for (unsigned k = 0; k < 3; k++)
        out = out << 8 | (rgb[k] << 2 | rgb[k] >> 4);
    return out;
}

void vga_test_mode(struct vga_test *t, const struct vga_mode *mode)
{
    fake_out8(&t->f, 0x3c2, mode->misc);
    for (uint8_t i = 0; i < 5; i++)
        vga_test_seq(t, i, mode->seq[i]);
    vga_test_crtc(t, 0x11, 0);
    for (uint8_t i = 0; i < 25; i++)
        vga_test_crtc(t, i, mode->crtc[i]);
    for (uint8_t i = 0; i < 9; i++)
        vga_test_gc(t, i, mode->gc[i]);
    for (uint8_t i = 0; i < 21; i++)
        vga_test_attr(t, i, mode->attr[i]);
    fake_out8(&t->f, 0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        fake_out8(&t->f, 0x3c9, (uint8_t)(i & 63));
        fake_out8(&t->f, 0x3c9, (uint8_t)((63 - i) & 63));
        fake_out8(&t->f, 0x3c9, (uint8_t)((i * 5) & 63));
    }
    fake_out8(&t->f, 0x3c6, 0xff);
}

const struct vm_surface *vga_test_look(struct vga_test *t)
{
    vm__lock(t->f.m);
    const struct vm_surface *s = vm__display_refresh(t->display, false);
    vm__unlock(t->f.m);
    assert(s != NULL);
    return s;
}
