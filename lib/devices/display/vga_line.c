/* SPDX-License-Identifier: MIT */
/**
 * @file vga_line.c
 * The pixels of one line: planar, CGA's packed pairs, 256 colours, and DISPI's direct colours.
 *
 * Spec: [FreeVGA "Graphics Mode Register"] for the shift registers; [BOCHS-VBE].
 */
#include "devices/display/vga.h"

/* ---- the VGA's own modes ------------------------------------------------------------------ */

/** Eight dots from the four planes' bytes. Their order: [FreeVGA "Graphics Mode Register"]. */
static void planar_dots(uint32_t word, uint8_t *dots)
{
    for (unsigned i = 0; i < 8; i++) {
        const uint32_t bits = word >> (7 - i) & 0x01010101;
        dots[i] = (uint8_t)((bits | bits >> 7 | bits >> 14 | bits >> 21) & 0x0f);
    }
}

/** Two bits a dot: four dots from planes 0 and 2, four from 1 and 3. */
static void interleaved_dots(uint32_t word, uint8_t *dots)
{
    for (unsigned i = 0; i < 8; i++) {
        const uint32_t half = word >> (i < 4 ? 0 : 8) >> (6 - 2 * (i & 3));
        dots[i] = (uint8_t)((half & 3) | (half >> 14 & 0x0c));
    }
}

/** Eight bits a pixel, two dots wide. */
static void byte_dots(uint32_t word, uint8_t *dots)
{
    for (unsigned i = 0; i < 8; i++)
        dots[i] = (uint8_t)(word >> 8 * (i / 2));
}

static void vga_line(const struct vga *s, uint32_t y, uint32_t *out)
{
    const struct vga_picture *p = &s->picture;
    const struct vga_scan *scan = &s->scan[y];
    const uint8_t mode = s->gc[GC_MODE];
    void (*const decode)(uint32_t, uint8_t *) = mode & GC_MODE_256          ? byte_dots
                                                : mode & GC_MODE_INTERLEAVE ? interleaved_dots
                                                                            : planar_dots;
    uint32_t n = 0, skip = scan->pan, width = p->columns * 8;

    for (uint32_t column = 0; n < width; column++) {
        const uint32_t a =
            vm__vga_scan_address(s, scan->base + (column >> p->count_shift), scan->row);
        uint8_t dots[8];
        decode(vm_le32(s->mem + vga_slot(a)), dots);
        for (unsigned i = skip; i < 8 && n < width; i++, n++)
            for (uint32_t k = 0; k < p->dot_repeat; k++)
                *out++ = p->colour[dots[i]];
        skip = 0;
    }
}

/* ---- DISPI modes -------------------------------------------------------------------------- */

static void dispi_planar(const struct vga *s, uint32_t y, uint32_t *out)
{
    const uint32_t x = s->dispi[DISPI_X_OFFSET];
    const uint32_t line = (y + s->dispi[DISPI_Y_OFFSET]) * vm__vga_dispi_pitch(s);

    for (uint32_t i = 0; i < s->picture.width; i++) {
        const uint32_t at = x + i;
        const uint32_t word = vm_le32(s->mem + vga_slot(line + at / 8)) >> (7 - at % 8);
        const uint32_t bits = word & 0x01010101;
        *out++ = s->picture.colour[(bits | bits >> 7 | bits >> 14 | bits >> 21) & 0x0f];
    }
}

/** @p bits of colour widened to eight, so that the greatest value is the brightest. */
static uint32_t widen(uint32_t v, unsigned bits)
{
    v &= (1u << bits) - 1;
    return v << (8 - bits) | v >> (2 * bits - 8);
}

static void line_16(const uint8_t *in, uint32_t n, unsigned green, bool swap, uint32_t *out)
{
    for (uint32_t i = 0; i < n; i++) {
        uint16_t v = vm_le16(in + 2 * i);
        v = swap ? __builtin_bswap16(v) : v;
        out[i] = widen(v >> (5 + green), 5) << 16 | widen(v >> 5, green) << 8 | widen(v, 5);
    }
}

/** A packed line: bytes of video memory. */
static uint64_t packed_start(const struct vga *s, uint32_t y)
{
    return (uint64_t)(y + s->dispi[DISPI_Y_OFFSET]) * vm__vga_dispi_pitch(s) +
           (uint64_t)s->dispi[DISPI_X_OFFSET] * ((s->picture.bpp + 7) / 8);
}

static void dispi_packed(const struct vga *s, uint32_t y, uint32_t *out)
{
    const uint32_t n = s->picture.width;
    const uint8_t *in = s->mem + packed_start(s, y);

    switch (s->picture.bpp) {
    case 8:
        for (uint32_t i = 0; i < n; i++)
            out[i] = s->picture.colour[in[i]];
        break;
    case 15:
        line_16(in, n, 5, s->big_endian, out);
        break;
    case 16:
        line_16(in, n, 6, s->big_endian, out);
        break;
    case 24:
        for (uint32_t i = 0; i < n; i++)
            out[i] = in[3 * i] | (uint32_t)in[3 * i + 1] << 8 | (uint32_t)in[3 * i + 2] << 16;
        break;
    default:
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t v = vm_le32(in + 4 * i);
            out[i] = s->big_endian ? __builtin_bswap32(v) & 0xffffff : v & 0xffffff;
        }
        break;
    }
}

/* ---- both --------------------------------------------------------------------------------- */

/** Was something written to plane addresses [@p first, @p last]? They lie in four places. */
static bool planes_dirty(const struct vga *s, uint32_t first, uint32_t last)
{
    if (last < first || first >> 16 != last >> 16)
        return true; /* it wraps: seldom enough */
    const uint32_t base = (first & ~(uint32_t)0xffff) << 2;
    for (uint32_t i = base; i < base + 0x40000; i += 0x10000)
        if (vm__dirty_in(&s->dirty, i | (first & 0xfffc), i | (last & 0xffff) | 3))
            return true;
    return false;
}

bool vm__vga_line_dirty(const struct vga *s, uint32_t y)
{
    const struct vga_picture *p = &s->picture;
    const struct vga_scan *scan = &s->scan[y];

    if (!p->dispi)
        return planes_dirty(
            s, vm__vga_scan_address(s, scan->base, scan->row),
            vm__vga_scan_address(s, scan->base + (p->columns >> p->count_shift), scan->row));
    if (p->bpp == 4) {
        const uint32_t line =
            (y + s->dispi[DISPI_Y_OFFSET]) * vm__vga_dispi_pitch(s) + s->dispi[DISPI_X_OFFSET] / 8u;
        return planes_dirty(s, line, line + p->width / 8);
    }
    const uint64_t first = packed_start(s, y);
    return vm__dirty_in(&s->dirty, first, first + p->width * ((p->bpp + 7) / 8) - 1);
}

uint64_t vm__vga_lines_end(const struct vga *s)
{
    if (!s->picture.dispi)
        return 4 * VGA_PLANE_SIZE;
    if (s->picture.bpp == 4)
        return s->vram_bytes;
    return packed_start(s, s->picture.height);
}

void vm__vga_line_draw(const struct vga *s, uint32_t y, uint32_t *out)
{
    if (!s->picture.dispi)
        vga_line(s, y, out);
    else if (s->picture.bpp == 4)
        dispi_planar(s, y, out);
    else
        dispi_packed(s, y, out);
}
