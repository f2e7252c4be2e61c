/* SPDX-License-Identifier: MIT */
/**
 * @file display.c
 * Between a graphics adapter and who looks at it.
 */
#include "core/display.h"

#include <stdlib.h>

#include "base/error.h"
#include "core/machine.h"

struct vm_display {
    struct vm_machine *m;
    const struct vm_display_guest_ops *guest;
    void *guest_opaque;
    const struct vm_display_host_ops *host;
    void *host_opaque;
    struct vm_surface surface;
};

struct vm_display *vm__display_get(struct vm_machine *m, uint32_t n)
{
    if (n >= VM_MAX_DISPLAYS) {
        vm__fail(VM_E_RANGE, "no display %u: there can be %d", n, VM_MAX_DISPLAYS);
        return NULL;
    }
    if (m->displays[n] == NULL) {
        struct vm_display *d = calloc(1, sizeof *d);
        if (d == NULL)
            vm__fail_nomem(sizeof *d);
        else
            d->m = m;
        m->displays[n] = d;
    }
    return m->displays[n];
}

void vm__display_free(struct vm_display *d)
{
    if (d != NULL && d->host != NULL && d->host->close != NULL)
        d->host->close(d->host_opaque);
    free(d);
}

bool vm__display_has_guest(const struct vm_display *d)
{
    return d->guest != NULL;
}

const struct vm_surface *vm__display_surface(const struct vm_display *d)
{
    return &d->surface;
}

int vm__display_attach_guest(struct vm_display *d, const struct vm_display_guest_ops *ops,
                             void *opaque)
{
    if (d->guest != NULL)
        return vm__fail(VM_E_BUSY, "the display is in use by another adapter");
    d->guest = ops;
    d->guest_opaque = opaque;
    return VM_OK;
}

void vm__display_detach_guest(struct vm_display *d)
{
    const struct vm_surface off = { 0 };
    vm__display_mode(d, &off);
    d->guest = NULL;
}

void vm__display_mode(struct vm_display *d, const struct vm_surface *surface)
{
    d->surface = *surface;
    if (d->host != NULL && d->host->mode != NULL)
        d->host->mode(d->host_opaque, surface);
}

void vm__display_damage(struct vm_display *d, uint32_t x, uint32_t y, uint32_t width,
                        uint32_t height)
{
    if (d->host != NULL && d->host->damage != NULL)
        d->host->damage(d->host_opaque, x, y, width, height);
}

void vm__display_cursor(struct vm_display *d, const uint32_t *argb, uint32_t width, uint32_t height,
                        uint32_t hot_x, uint32_t hot_y)
{
    if (d->host != NULL && d->host->cursor != NULL)
        d->host->cursor(d->host_opaque, argb, width, height, hot_x, hot_y);
}

int vm__display_attach_host(struct vm_display *d, const struct vm_display_host_ops *ops,
                            void *opaque)
{
    if (d->host != NULL && d->host->close != NULL)
        d->host->close(d->host_opaque);
    d->host = ops;
    d->host_opaque = opaque;
    if (ops != NULL && ops->mode != NULL)
        ops->mode(opaque, &d->surface);
    return VM_OK;
}

const struct vm_surface *vm__display_refresh(struct vm_display *d, bool everything)
{
    if (d->guest == NULL)
        return NULL;
    if (everything && d->guest->redraw != NULL)
        d->guest->redraw(d->guest_opaque);
    if (d->guest->refresh != NULL)
        d->guest->refresh(d->guest_opaque);
    return d->surface.width != 0 ? &d->surface : NULL;
}

size_t vm__display_text(struct vm_display *d, vm_text_cell *cells, size_t max, uint32_t *columns)
{
    if (d->guest == NULL || d->guest->text == NULL)
        return 0;
    return d->guest->text(d->guest_opaque, cells, max, columns);
}
