/* SPDX-License-Identifier: MIT */
/**
 * @file vga_text.c
 * Text modes: characters from planes 0 and 1 drawn with the fonts of plane 2; the text as text.
 *
 * Spec: [FreeVGA "VGA Text Mode Operation"], [IBM-VGA §2]. What each place on the screen shows is
 * kept as one number; a row is drawn again when a number in it changes.
 */
#include "devices/display/vga.h"

#include <stdlib.h>

enum {
    FONT_BYTES = 32, /* of one character */
    KEY_CURSOR = 1 << 30,
    KEY_HIDDEN = 1 << 31, /* a blinking character, in its dark half */
};

/** Code page 437, what the BIOS's font shows. */
/* clang-format off */
static const uint16_t cp437_low[32] = {
    0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022,
    0x25d8, 0x25cb, 0x25d9, 0x2642, 0x2640, 0x266a, 0x266b, 0x263c,
    0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8,
    0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};
static const uint16_t cp437_high[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7,
    0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
    0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
    0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
    0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556,
    0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
    0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567,
    0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
    0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4,
    0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
    0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};
/* clang-format on */

static uint16_t unicode(uint8_t code)
{
    return code < 32     ? cp437_low[code]
           : code == 127 ? 0x2302
           : code < 128  ? code
                         : cp437_high[code - 128];
}

/* ---- rows --------------------------------------------------------------------------------- */

uint32_t vm__vga_text_rows(const struct vga *s, uint16_t *first, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t y = 0; y < s->picture.height; y++) {
        const struct vga_scan *now = &s->scan[y], *before = &s->scan[y != 0 ? y - 1 : 0];
        if (y != 0 && now->base == before->base && now->row >= before->row)
            continue;
        if (n < max)
            first[n] = (uint16_t)y;
        n++;
    }
    if (n < max)
        first[n] = (uint16_t)s->picture.height;
    return n;
}

/** Places in a row: one more than seen when the row is shifted. */
static uint32_t places(const struct vga *s)
{
    return s->picture.columns + 1;
}

/* ---- what a place shows ------------------------------------------------------------------- */

static uint32_t cursor_key(const struct vga *s, uint32_t counter, uint8_t phase)
{
    const uint32_t at = (uint32_t)s->crtc[CRTC_CURSOR_HIGH] << 8 | s->crtc[CRTC_CURSOR_LOW];
    const uint32_t start = s->crtc[CRTC_CURSOR_START] & 0x1f, end = s->crtc[CRTC_CURSOR_END] & 0x1f;
    if ((counter & 0xffff) != at || !(phase & 1) || (s->crtc[CRTC_CURSOR_START] & CURSOR_OFF))
        return 0;
    return KEY_CURSOR | start << 16 | end << 21;
}

static uint32_t text_key(const struct vga *s, const struct vga_scan *scan, uint32_t column,
                         uint8_t phase)
{
    const uint32_t counter = scan->base + (column >> s->picture.count_shift);
    const uint8_t *word = s->mem + vga_slot(vm__vga_scan_address(s, counter, scan->row));
    uint32_t key = word[0] | (uint32_t)word[1] << 8 | cursor_key(s, counter, phase);
    if ((word[1] & 0x80) && (s->attr[ATTR_MODE] & ATTR_MODE_BLINK) && !(phase & 2))
        key |= (uint32_t)KEY_HIDDEN;
    return key;
}

/** Note what row @p r shows. @return something changed */
static bool update_keys(struct vga *s, uint32_t r, const struct vga_scan *scan, uint8_t phase)
{
    uint32_t *keys = &s->cells[(uint64_t)r * places(s)];
    bool changed = false;
    for (uint32_t column = 0; column < places(s); column++) {
        const uint32_t key = text_key(s, scan, column, phase);
        changed |= keys[column] != key;
        keys[column] = key;
    }
    return changed;
}

/* ---- drawing ------------------------------------------------------------------------------ */

/** The nine bits of one row of a character; the ninth dot is the lowest. */
static unsigned pattern(const struct vga *s, uint32_t key, unsigned row)
{
    const uint8_t code = (uint8_t)key, attribute = (uint8_t)(key >> 8);
    const uint32_t font = s->picture.font[attribute >> 3 & 1] + code * FONT_BYTES;
    unsigned bits = s->mem[vga_slot((font + row) & 0xffff) + 2] << 1;

    if (code >= 0xc0 && code <= 0xdf && (s->attr[ATTR_MODE] & ATTR_MODE_LINE_GRAPHICS))
        bits |= bits >> 1 & 1;
    if ((attribute & 0x77) == 0x01 && row == (s->crtc[CRTC_UNDERLINE] & 0x1fu))
        bits = 0x1ff;
    if (key & (uint32_t)KEY_HIDDEN)
        bits = 0;
    if ((key & KEY_CURSOR) && row >= (key >> 16 & 0x1f) && row <= (key >> 21 & 0x1f))
        bits = 0x1ff;
    return bits;
}

static void draw_line(struct vga *s, const uint32_t *keys, const struct vga_scan *scan)
{
    const struct vga_picture *p = &s->picture;
    const bool blinks = s->attr[ATTR_MODE] & ATTR_MODE_BLINK;
    const uint32_t width = p->columns * p->char_width;
    uint32_t *out = s->line, n = 0, skip = scan->pan;

    for (uint32_t column = 0; n < width && column < places(s); column++) {
        const uint8_t attribute = (uint8_t)(keys[column] >> 8);
        const unsigned bits = pattern(s, keys[column], scan->row);
        const uint32_t fore = p->colour[attribute & 0x0f];
        const uint32_t back = p->colour[attribute >> 4 & (blinks ? 0x07 : 0x0f)];
        for (unsigned i = skip; i < p->char_width && n < width; i++, n++)
            for (uint32_t k = 0; k < p->dot_repeat; k++)
                *out++ = bits >> (8 - i) & 1 ? fore : back;
        skip = 0;
    }
}

static void draw_row(struct vga *s, uint32_t r, uint32_t first, uint32_t last)
{
    uint32_t from = 0, to = 0; /* lines that differ */
    for (uint32_t y = first; y < last; y++) {
        draw_line(s, &s->cells[(uint64_t)r * places(s)], &s->scan[y]);
        if (vm__vga_draw_line(s, y)) {
            from = to == 0 ? y : from;
            to = y + 1;
        }
    }
    if (to != 0)
        vm__display_damage(s->display, 0, from, s->picture.width, to - from);
}

/** Room for the numbers; after it was made they are those of no screen. */
static bool make_room(struct vga *s, uint32_t rows)
{
    const uint64_t need = (uint64_t)rows * places(s);
    if (need > s->cells_room) {
        uint32_t *cells = realloc(s->cells, need * sizeof *cells);
        if (cells == NULL)
            return false;
        s->cells = cells;
        s->cells_room = need;
        s->redraw = true;
    }
    if (s->redraw || s->font_touched)
        memset(s->cells, 0xff, need * sizeof *s->cells);
    s->font_touched = false;
    return true;
}

void vm__vga_text_draw(struct vga *s, uint8_t phase)
{
    uint16_t first[VGA_MAX_LINES + 1];
    const uint32_t rows = vm__vga_text_rows(s, first, VM_COUNT_OF(first));

    if (!make_room(s, rows))
        return;
    for (uint32_t r = 0; r < rows; r++)
        if (update_keys(s, r, &s->scan[first[r]], phase))
            draw_row(s, r, first[r], first[r + 1]);
}

/* ---- text as text ------------------------------------------------------------------------- */

size_t vm__vga_text_cells(struct vm_dev *dev, vm_text_cell *cells, size_t max, uint32_t *columns)
{
    struct vga *s = vm_dev_state(dev);
    uint16_t first[VGA_MAX_LINES + 1];
    size_t n = 0;

    if (s->stale)
        vm__vga_scan_update(s); /* and it stays stale: the surface does not follow here */
    *columns = s->picture.columns;
    if (!s->picture.text || s->picture.off)
        return 0;
    const bool blinks = s->attr[ATTR_MODE] & ATTR_MODE_BLINK;
    const uint32_t rows = vm__vga_text_rows(s, first, VM_COUNT_OF(first));
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t column = 0; column < s->picture.columns; column++, n++) {
            const uint32_t key = text_key(s, &s->scan[first[r]], column, 3);
            if (n < max)
                cells[n] = (vm_text_cell) {
                    .code = unicode((uint8_t)key),
                    .foreground = key >> 8 & 0x0f,
                    .background = key >> 12 & (blinks ? 0x07 : 0x0f),
                    .flags = (uint16_t)((key & KEY_CURSOR ? VM_CELL_CURSOR : 0) |
                                        (blinks && (key & 0x8000) ? VM_CELL_BLINK : 0)),
                };
        }
    }
    return n;
}
