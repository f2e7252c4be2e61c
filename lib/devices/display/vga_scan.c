/* SPDX-License-Identifier: MIT */
/**
 * @file vga_scan.c
 * From registers to a picture: its size, for each line the address counter and row it starts with,
 * and what colours the pixel values are.
 *
 * Spec: [FreeVGA "CRT Controller Registers"], [FreeVGA "Attribute Controller Registers"], [IBM-VGA
 * §2]. The picture is what the monitor shows between blanking, in dots and lines: 640 by 400 in
 * mode 13h, whose pixels are two dots wide and two lines high. Not modelled: border, skew, vertical
 * interrupt, 16- and 32-bit shift loads, blinking pixels.
 */
#include "devices/display/vga.h"

enum { LEAST_WIDTH = 32, LEAST_HEIGHT = 16 };

/* ---- addresses ---------------------------------------------------------------------------- */

uint32_t vm__vga_scan_address(const struct vga *s, uint32_t counter, unsigned row)
{
    const uint8_t mode = s->crtc[CRTC_MODE];
    uint32_t a = counter & 0xffff;

    if (s->crtc[CRTC_UNDERLINE] & UNDERLINE_DWORD)
        a = (a << 2 | (a >> 12 & 3)) & 0xffff;
    else if (!(mode & MODE_BYTE))
        a = (a << 1 | (a >> (mode & MODE_WRAP15 ? 15 : 13) & 1)) & 0xffff;
    if (!(mode & MODE_MAP13))
        a = (a & ~0x2000u) | (row & 1) << 13;
    if (!(mode & MODE_MAP14))
        a = (a & ~0x4000u) | (row >> 1 & 1) << 14;
    return a;
}

/** Dots to drop on the left. Nine-dot characters count 8 as none, else one more than the value. */
static unsigned panning(const struct vga *s)
{
    const unsigned pan = s->attr[ATTR_PAN];
    if (s->picture.text && s->picture.char_width == 9)
        return pan >= 8 ? 0 : pan + 1;
    return pan & 7;
}

/** Follow the CRTC's counters down the screen. */
static void walk_lines(struct vga *s)
{
    const unsigned last_row = s->crtc[CRTC_MAX_SCAN] & 0x1f;
    const unsigned repeat = s->crtc[CRTC_MAX_SCAN] & MAX_SCAN_DOUBLE ? 2 : 1;
    const uint32_t step = s->crtc[CRTC_OFFSET] * 2u;
    const uint32_t half = s->crtc[CRTC_MODE] & MODE_HALF_LINES ? 2 : 1;
    uint32_t split = s->crtc[CRTC_LINE_COMPARE] + ((s->crtc[CRTC_OVERFLOW] >> 4 & 1u) << 8) +
                     ((s->crtc[CRTC_MAX_SCAN] >> 6 & 1u) << 9);
    uint32_t base = (uint32_t)s->crtc[CRTC_START_HIGH] << 8 | s->crtc[CRTC_START_LOW];
    unsigned row = s->crtc[CRTC_PRESET_ROW] & 0x1f, again = repeat, pan = panning(s);

    split = (split + 1) * half;
    base += s->crtc[CRTC_PRESET_ROW] >> 5 & 3;
    for (uint32_t y = 0; y < s->picture.height; y++) {
        if (y == split) {
            base = 0;
            row = 0;
            again = repeat;
            if (s->attr[ATTR_MODE] & ATTR_MODE_PAN_TOP)
                pan = 0;
        }
        s->scan[y] = (struct vga_scan) { base & 0xffff, (uint8_t)row, (uint8_t)pan };
        if (--again != 0)
            continue;
        again = repeat;
        row = row == last_row ? 0 : (row + 1) & 0x1f;
        if (row == 0)
            base += step;
    }
}

/* ---- colours ------------------------------------------------------------------------------ */

static uint32_t dac_colour(const struct vga *s, unsigned i)
{
    const uint8_t *rgb = &s->dac[3 * (i & s->dac_mask & 0xff)];
    uint32_t out = 0;
    for (unsigned k = 0; k < 3; k++) {
        uint32_t v = rgb[k];
        if (!(s->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC))
            v = (v & 0x3f) << 2 | (v >> 4 & 3);
        out = out << 8 | v;
    }
    return out;
}

/** The DAC's index for one of the 16 colours of the attribute controller. */
static unsigned palette(const struct vga *s, unsigned pixel)
{
    const uint8_t select = s->attr[ATTR_SELECT];
    unsigned i = s->attr[pixel & s->attr[ATTR_PLANES] & 0x0f] & 0x3f;
    if (s->attr[ATTR_MODE] & ATTR_MODE_P54)
        i = (i & 0x0f) | (select & 3u) << 4;
    return i | (select >> 2 & 3u) << 6;
}

static bool is_256_colours(const struct vga *s)
{
    return s->picture.dispi ? s->picture.bpp == 8
                            : !s->picture.text && (s->gc[GC_MODE] & GC_MODE_256);
}

static void set_colours(struct vga *s)
{
    const bool direct = is_256_colours(s);
    for (unsigned i = 0; i < (direct ? 256 : 16); i++)
        s->picture.colour[i] = dac_colour(s, direct ? i : palette(s, i));
}

/* ---- the whole ---------------------------------------------------------------------------- */

/** Fonts lie in eight places of plane 2 [FreeVGA "Character Map Select Register"]. */
static uint32_t font_address(unsigned map)
{
    return (map & 3) << 14 | (map & 4) << 11;
}

static void set_dispi(struct vga *s)
{
    s->picture.dispi = true;
    s->picture.bpp = s->dispi[DISPI_BPP];
    s->picture.width = s->dispi[DISPI_XRES];
    s->picture.height = s->dispi[DISPI_YRES];
}

static void set_vga(struct vga *s)
{
    struct vga_picture *p = &s->picture;
    const uint8_t o = s->crtc[CRTC_OVERFLOW], font = s->seq[SEQ_FONT];

    p->text = !(s->gc[GC_MISC] & GC_MISC_GRAPHICS);
    p->char_width = p->text && !(s->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS) ? 9 : 8;
    p->dot_repeat = s->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 2 : 1;
    p->columns = s->crtc[CRTC_H_END] + 1u;
    p->width = p->columns * p->char_width * p->dot_repeat;
    p->height = s->crtc[CRTC_V_END] + ((o >> 1 & 1u) << 8) + ((o >> 6 & 1u) << 9) + 1;
    if (s->crtc[CRTC_MODE] & MODE_HALF_LINES)
        p->height *= 2;
    p->count_shift = s->crtc[CRTC_UNDERLINE] & UNDERLINE_COUNT4 ? 2
                     : s->crtc[CRTC_MODE] & MODE_COUNT2         ? 1
                                                                : 0;
    p->font[0] = font_address((font & 3) | (font >> 2 & 4));
    p->font[1] = font_address((font >> 2 & 3) | (font >> 3 & 4));
    walk_lines(s);
}

/** Before anything is set up: a dark screen of a usual size. */
static void set_none(struct vga *s)
{
    s->picture = (struct vga_picture) { .off = true, .width = 640, .height = 480 };
}

void vm__vga_scan_update(struct vga *s)
{
    s->picture = (struct vga_picture) { 0 };
    s->picture.off = !(s->attr_index & ATTR_INDEX_ON) || (s->seq[SEQ_CLOCKING] & CLOCKING_OFF) != 0;
    if (vga_in_dispi(s))
        set_dispi(s);
    else
        set_vga(s);
    if (s->picture.width < LEAST_WIDTH || s->picture.height < LEAST_HEIGHT)
        set_none(s);
    set_colours(s);
}
