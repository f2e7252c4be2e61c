/* SPDX-License-Identifier: MIT */
/**
 * @file display.h
 * A display: a graphics adapter draws, a window, VNC server or screenshot looks.
 *
 * The adapter owns the picture: 32-bit pixels 0x00RRGGBB, `stride` bytes a line. It draws when
 * asked (guest->refresh), and reports what it changed. A text-mode adapter also gives its cells.
 *
 * Threads: calls and callbacks happen under the machine lock.
 */
#ifndef LIBVM_CORE_DISPLAY_H
#define LIBVM_CORE_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libvm/display.h>

struct vm_machine;
struct vm_display;

struct vm_surface {
    uint32_t width, height; /**< pixels; 0: switched off */
    uint32_t stride;        /**< bytes from line to line */
    uint32_t *pixels;       /**< valid until the next mode change */
};

/** The adapter's side. Any call may be NULL. */
struct vm_display_guest_ops {
    void (*refresh)(void *opaque); /**< bring the surface up to date; report damage */
    void (*redraw)(void *opaque);  /**< the next refresh draws everything */
    /** Copy up to @p max cells of the text screen. @return how many it has, *columns a row; 0:
     *  graphics. */
    size_t (*text)(void *opaque, vm_text_cell *cells, size_t max, uint32_t *columns);
};

/** The onlooker's side. Any call may be NULL. */
struct vm_display_host_ops {
    void (*mode)(void *opaque, const struct vm_surface *surface);
    void (*damage)(void *opaque, uint32_t x, uint32_t y, uint32_t width, uint32_t height);
    void (*cursor)(void *opaque, const uint32_t *argb, uint32_t width, uint32_t height,
                   uint32_t hot_x, uint32_t hot_y);
    void (*close)(void *opaque);
};

/** Head @p n, made if there is none. NULL: no memory or @p n too large. */
struct vm_display *vm__display_get(struct vm_machine *m, uint32_t n);
void vm__display_free(struct vm_display *d);

/* For adapters. */
int vm__display_attach_guest(struct vm_display *d, const struct vm_display_guest_ops *ops,
                             void *opaque);
void vm__display_detach_guest(struct vm_display *d);
void vm__display_mode(struct vm_display *d, const struct vm_surface *surface);
void vm__display_damage(struct vm_display *d, uint32_t x, uint32_t y, uint32_t width,
                        uint32_t height);
void vm__display_cursor(struct vm_display *d, const uint32_t *argb, uint32_t width, uint32_t height,
                        uint32_t hot_x, uint32_t hot_y);

/* For onlookers. */
bool vm__display_has_guest(const struct vm_display *d);
/** The picture as last drawn. */
const struct vm_surface *vm__display_surface(const struct vm_display *d);
int vm__display_attach_host(struct vm_display *d, const struct vm_display_host_ops *ops,
                            void *opaque);
/** Ask for an up-to-date picture. @return NULL if there is no adapter or it is off. */
const struct vm_surface *vm__display_refresh(struct vm_display *d, bool everything);
size_t vm__display_text(struct vm_display *d, vm_text_cell *cells, size_t max, uint32_t *columns);

#endif
