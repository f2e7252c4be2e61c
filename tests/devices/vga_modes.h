/* SPDX-License-Identifier: MIT */
/**
 * @file vga_modes.h
 * For tests of the VGA: a machine with one, the register values of standard modes, and the picture.
 */
#ifndef LIBVM_TESTS_DEVICES_VGA_MODES_H
#define LIBVM_TESTS_DEVICES_VGA_MODES_H

#include "core/display.h"
#include "devices/classes.h"

/** As the BIOS programs them. */
struct vga_mode {
    uint8_t misc, seq[5], crtc[25], gc[9], attr[21];
};

enum { LFB = 0xe0000000, MMIO = 0xf0000000 };

/** IBM's mode numbers; and 13h with its planes unchained. */
extern const struct vga_mode vga_mode_01, vga_mode_03, vga_mode_04, vga_mode_06, vga_mode_0d,
    vga_mode_12, vga_mode_13, vga_mode_x;

struct vga_test {
    struct fake_machine f;
    struct vm_dev *host, *dev;
    struct vm_display *display;
    unsigned damages;  /**< reports since vga_test_clear() */
    uint32_t from, to; /**< lines they cover */
    unsigned modes;
};

void vga_test_init(struct vga_test *t);
void vga_test_fini(struct vga_test *t);
void vga_test_clear(struct vga_test *t);
/** Program a mode, with a DAC in which colour i is (i, 63 - i, i * 5) & 63. */
void vga_test_mode(struct vga_test *t, const struct vga_mode *mode);
/** What such a DAC shows for index @p i. */
uint32_t vga_test_colour(unsigned i);
void vga_test_seq(struct vga_test *t, uint8_t i, uint8_t v);
void vga_test_gc(struct vga_test *t, uint8_t i, uint8_t v);
void vga_test_crtc(struct vga_test *t, uint8_t i, uint8_t v);
void vga_test_attr(struct vga_test *t, uint8_t i, uint8_t v);
void vga_test_dispi(struct vga_test *t, uint16_t i, uint16_t v);
uint16_t vga_test_dispi_read(struct vga_test *t, uint16_t i);
/** Refresh, and the pixel at a place. */
const struct vm_surface *vga_test_look(struct vga_test *t);
static inline uint32_t vga_test_pixel(const struct vm_surface *s, uint32_t x, uint32_t y)
{
    return s->pixels[y * (s->stride / 4) + x];
}

#endif
