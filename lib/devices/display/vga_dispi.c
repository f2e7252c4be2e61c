/* SPDX-License-Identifier: MIT */
/**
 * @file vga_dispi.c
 * The DISPI registers: high resolutions behind an index and a data port.
 *
 * Spec: [BOCHS-VBE], interface version B0C5. Resolution and depth are taken when the mode is
 * enabled, and stay until it is disabled.
 */
#include "devices/display/vga.h"

static uint32_t bits_stored(uint32_t bpp)
{
    return bpp == 15 ? 16 : bpp;
}

static uint32_t pitch_of(uint32_t width, uint32_t bpp)
{
    return bpp == 4 ? width / 8 : width * bits_stored(bpp) / 8;
}

uint32_t vm__vga_dispi_pitch(const struct vga *s)
{
    return pitch_of(s->dispi[DISPI_VIRT_WIDTH], s->dispi[DISPI_BPP]);
}

/** Bytes there are for lines: with 4 bits a pixel, of one plane. */
static uint64_t room(const struct vga *s)
{
    return s->dispi[DISPI_BPP] == 4 ? s->vram_bytes / 4 : s->vram_bytes;
}

static bool is_depth(uint32_t bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

static bool mode_fits(const struct vga *s)
{
    const uint32_t x = s->dispi[DISPI_XRES], y = s->dispi[DISPI_YRES], bpp = s->dispi[DISPI_BPP];
    return x >= 8 && y >= 1 && x <= DISPI_MAX_X && y <= DISPI_MAX_Y && is_depth(bpp) &&
           (uint64_t)pitch_of(x, bpp) * y <= room(s);
}

static uint32_t max_y(const struct vga *s, uint32_t width)
{
    const uint32_t pitch = pitch_of(width, s->dispi[DISPI_BPP]);
    return pitch != 0 ? (uint32_t)vm_min_u64(room(s) / pitch, 0xffff) : 0;
}

static bool offsets_fit(const struct vga *s)
{
    const uint16_t *d = s->dispi;
    return d[DISPI_X_OFFSET] + d[DISPI_XRES] <= d[DISPI_VIRT_WIDTH] &&
           d[DISPI_Y_OFFSET] + d[DISPI_YRES] <= d[DISPI_VIRT_HEIGHT];
}

/** A logical width: multiples of 8, and at least a screen of lines of it must fit. */
static void set_virt_width(struct vga *s, uint16_t v)
{
    uint32_t width = v & ~7u;
    if (width < s->dispi[DISPI_XRES])
        width = (s->dispi[DISPI_XRES] + 7u) & ~7u;
    if (width > 0xfff8 || max_y(s, width) < s->dispi[DISPI_YRES])
        return;
    s->dispi[DISPI_VIRT_WIDTH] = (uint16_t)width;
    s->dispi[DISPI_VIRT_HEIGHT] = (uint16_t)max_y(s, width);
    if (!offsets_fit(s))
        s->dispi[DISPI_X_OFFSET] = s->dispi[DISPI_Y_OFFSET] = 0;
}

int vm__vga_dispi_check(const struct vga *s)
{
    if (!vga_in_dispi(s))
        return VM_OK;
    const uint32_t width = s->dispi[DISPI_VIRT_WIDTH];
    if (mode_fits(s) && width % 8 == 0 && s->dispi[DISPI_VIRT_HEIGHT] == max_y(s, width) &&
        offsets_fit(s) && (uint64_t)s->dispi[DISPI_BANK] << 16 < room(s))
        return VM_OK;
    return vm__fail(VM_E_CORRUPT, "a DISPI mode that does not fit into video memory");
}

static void clear_screen(struct vga *s)
{
    const uint64_t len = s->dispi[DISPI_BPP] == 4
                             ? s->vram_bytes
                             : (uint64_t)vm__vga_dispi_pitch(s) * s->dispi[DISPI_YRES];
    memset(s->mem, 0, len < s->vram_bytes ? len : s->vram_bytes);
    vm__region_written(s->vram, 0, len < s->vram_bytes ? len : s->vram_bytes);
}

static void enable(struct vga *s, uint16_t v)
{
    const bool was_on = vga_in_dispi(s);

    if (!(v & DISPI_ENABLED) || (!was_on && !mode_fits(s))) {
        s->dispi[DISPI_ENABLE] = v & (DISPI_GETCAPS | DISPI_8BIT_DAC);
        s->dispi[DISPI_BANK] = 0;
        return;
    }
    s->dispi[DISPI_ENABLE] =
        v & (DISPI_ENABLED | DISPI_GETCAPS | DISPI_8BIT_DAC | DISPI_LFB | DISPI_NOCLEARMEM);
    if (was_on)
        return;
    s->dispi[DISPI_BANK] = s->dispi[DISPI_X_OFFSET] = s->dispi[DISPI_Y_OFFSET] = 0;
    s->dispi[DISPI_VIRT_WIDTH] = 0;
    set_virt_width(s, s->dispi[DISPI_XRES]);
    if (!(v & DISPI_NOCLEARMEM))
        clear_screen(s);
}

static void set_offset(struct vga *s, uint32_t index, uint16_t v)
{
    const uint16_t *d = s->dispi;
    const uint32_t most = index == DISPI_X_OFFSET ? d[DISPI_VIRT_WIDTH] - d[DISPI_XRES]
                                                  : d[DISPI_VIRT_HEIGHT] - d[DISPI_YRES];
    if (vga_in_dispi(s) && v <= most)
        s->dispi[index] = v;
}

uint16_t vm__vga_dispi_read(const struct vga *s, uint32_t index)
{
    const bool caps = s->dispi[DISPI_ENABLE] & DISPI_GETCAPS;

    if (index >= DISPI_REGS)
        return 0;
    if (index == DISPI_MEMORY_64K)
        return (uint16_t)vm_min_u64(s->vram_bytes >> 16, 0xffff);
    if (caps && index == DISPI_XRES)
        return DISPI_MAX_X;
    if (caps && index == DISPI_YRES)
        return DISPI_MAX_Y;
    if (caps && index == DISPI_BPP)
        return 32;
    return s->dispi[index];
}

void vm__vga_dispi_write(struct vm_dev *dev, uint32_t index, uint16_t v)
{
    struct vga *s = vm_dev_state(dev);
    const bool on = vga_in_dispi(s);

    switch (index) {
    case DISPI_ID:
        if (v >= DISPI_ID5 - 5 && v <= DISPI_ID5)
            s->dispi[DISPI_ID] = v;
        return;
    case DISPI_XRES:
        if (!on && v <= DISPI_MAX_X)
            s->dispi[index] = v & 0xfff8;
        return;
    case DISPI_YRES:
        if (!on && v <= DISPI_MAX_Y)
            s->dispi[index] = v;
        return;
    case DISPI_BPP:
        if (!on && (is_depth(v) || v == 0))
            s->dispi[index] = v != 0 ? v : 8;
        return;
    case DISPI_ENABLE:
        enable(s, v);
        break;
    case DISPI_BANK:
        if (!on || (uint64_t)v << 16 >= room(s))
            return;
        s->dispi[index] = v;
        vm__vga_update_map(dev);
        return; /* the picture stays */
    case DISPI_VIRT_WIDTH:
        if (!on)
            return;
        set_virt_width(s, v);
        break;
    case DISPI_X_OFFSET:
    case DISPI_Y_OFFSET:
        set_offset(s, index, v);
        break;
    default:
        return;
    }
    vga_stale(s);
    vm__vga_update_map(dev);
}

void vm__vga_dispi_reset(struct vga *s)
{
    memset(s->dispi, 0, sizeof s->dispi);
    s->dispi_index = 0;
    s->dispi[DISPI_ID] = DISPI_ID5;
    s->dispi[DISPI_XRES] = 640;
    s->dispi[DISPI_YRES] = 480;
    s->dispi[DISPI_BPP] = 8;
    s->big_endian = 0;
}
