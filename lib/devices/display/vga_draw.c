/* SPDX-License-Identifier: MIT */
/**
 * @file vga_draw.c
 * Refresh: bring the surface up to date, doing no more than what changed asks for.
 */
#include "devices/display/vga.h"

#include <stdlib.h>

/** The picture has another size: a new surface. */
static void resize(struct vga *s)
{
    const struct vga_picture *p = &s->picture;
    const uint64_t need = (uint64_t)p->width * p->height;
    uint32_t *old = s->pixels;

    if (need > s->room || need < s->room / 4) {
        s->pixels = calloc(need, sizeof *s->pixels);
        s->room = s->pixels != NULL ? need : 0;
    } else {
        old = NULL;
    }
    s->width = s->pixels != NULL ? p->width : 0;
    s->height = s->pixels != NULL ? p->height : 0;
    const struct vm_surface surface = {
        .width = s->width,
        .height = s->height,
        .stride = p->width * 4,
        .pixels = s->pixels,
    };
    vm__display_mode(s->display, &surface);
    free(old);
    s->redraw = true;
}

static void update_picture(struct vga *s)
{
    vm__vga_scan_update(s);
    s->stale = false;
    if (s->picture.width != s->width || s->picture.height != s->height)
        resize(s);
    s->redraw = true;
}

bool vm__vga_draw_line(struct vga *s, uint32_t y)
{
    uint32_t *shown = s->pixels + (uint64_t)y * s->picture.width;
    const size_t bytes = s->picture.width * sizeof *shown;
    if (memcmp(shown, s->line, bytes) == 0)
        return false;
    memcpy(shown, s->line, bytes);
    return true;
}

/** Lines one by one; neighbours that changed are one piece of damage. */
static void draw_lines(struct vga *s)
{
    uint32_t from = 0, n = 0;
    for (uint32_t y = 0; y < s->picture.height; y++) {
        bool changed = false;
        if (s->redraw || vm__vga_line_dirty(s, y)) {
            vm__vga_line_draw(s, y, s->line);
            changed = vm__vga_draw_line(s, y);
        }
        if (changed && n++ == 0)
            from = y;
        if (!changed && n != 0) {
            vm__display_damage(s->display, 0, from, s->picture.width, n);
            n = 0;
        }
    }
    if (n != 0)
        vm__display_damage(s->display, 0, from, s->picture.width, n);
}

static void draw_black(struct vga *s)
{
    memset(s->pixels, 0, (uint64_t)s->picture.width * s->picture.height * sizeof *s->pixels);
    vm__display_damage(s->display, 0, 0, s->picture.width, s->picture.height);
}

static void draw_text(struct vm_dev *dev, bool written)
{
    struct vga *s = vm_dev_state(dev);
    const uint8_t phase = vm__vga_blink_phase(dev);
    if (written || s->redraw || s->touched || s->font_touched || phase != s->phase)
        vm__vga_text_draw(s, phase);
    s->phase = phase;
    s->touched = false;
}

static void refresh(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct vga *s = vm_dev_state(dev);

    if (!s->logging) {
        if (vm__dirty_init(&s->dirty, s->vram) != VM_OK)
            return;
        s->logging = s->stale = true;
    }
    if (s->stale)
        update_picture(s);
    if (s->pixels == NULL)
        return;
    const bool written = vm__dirty_take(&s->dirty, 0, vm__vga_lines_end(s));
    if (s->picture.off) {
        if (s->redraw)
            draw_black(s);
    } else if (s->picture.text) {
        draw_text(dev, written);
    } else if (s->redraw || written) {
        draw_lines(s);
    }
    s->redraw = false;
}

static void redraw(void *opaque)
{
    struct vga *s = vm_dev_state(opaque);
    s->redraw = true;
}

static size_t text(void *opaque, vm_text_cell *cells, size_t max, uint32_t *columns)
{
    return vm__vga_text_cells(opaque, cells, max, columns);
}

void vm__vga_draw_fini(struct vga *s)
{
    vm__dirty_fini(&s->dirty);
    free(s->pixels);
    free(s->cells);
    s->pixels = s->cells = NULL;
    s->logging = false;
}

const struct vm_display_guest_ops vm__vga_display_ops = {
    .refresh = refresh,
    .redraw = redraw,
    .text = text,
};
