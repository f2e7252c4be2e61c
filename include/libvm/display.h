/* SPDX-License-Identifier: MIT */
/**
 * @file display.h
 * Displays: looking at a machine's screen, as pixels and as text.
 *
 * A head (0 is the first) has a picture of 32-bit pixels 0x00RRGGBB. Nothing is drawn until
 * somebody looks: vm_display_refresh() draws what the guest changed and tells the attached
 * onlooker; vm_display_grab() and vm_display_text() look once. A window calls refresh 30 or 60
 * times a second; an idle screen costs next to nothing.
 */
#ifndef LIBVM_DISPLAY_H
#define LIBVM_DISPLAY_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_display_surface {
    uint32_t size;
    uint32_t width;         /**< pixels; 0: switched off */
    uint32_t height;        /**< lines */
    uint32_t stride;        /**< bytes from line to line */
    const uint32_t *pixels; /**< to be read in the callback only */
} vm_display_surface;

/** Any call may be NULL. They come out of vm_display_refresh(), and of vm_display_attach(). */
typedef struct vm_display_ops {
    uint32_t size;
    uint32_t flags; /**< 0 */
    /** The picture has a new size; all of it is new. */
    void (*mode)(void *ud, const vm_display_surface *s);
    /** Part of it changed. */
    void (*damage)(void *ud, const vm_display_surface *s, uint32_t x, uint32_t y, uint32_t width,
                   uint32_t height);
} vm_display_ops;

/** What a character cell is besides its text. */
enum {
    VM_CELL_CURSOR = 1 << 0, /**< the cursor stands here */
    VM_CELL_BLINK = 1 << 1,
};

/** One character of a text screen. */
typedef struct vm_text_cell {
    uint32_t code;      /**< Unicode */
    uint8_t foreground; /**< 0…15 as VGA numbers them: 1 blue, 2 green, 4 red, 8 bright */
    uint8_t background;
    uint16_t flags; /**< VM_CELL_* */
} vm_text_cell;

/**
 * Look at a head in place of who did; @p ops is copied, NULL: nobody looks. [owner]
 * @retval VM_E_RANGE no such head
 * @since 0.1
 */
VM_API int vm_display_attach(vm_machine *m, uint32_t head, const vm_display_ops *ops, void *ud,
                             vm_free_fn free_ud);
/**
 * Draw what changed and report it to who is attached. [owner]
 * @retval VM_E_NOENT no adapter drives this head
 * @since 0.1
 */
VM_API int vm_display_refresh(vm_machine *m, uint32_t head);
/**
 * A screenshot: @p width times @p height pixels 0x00RRGGBB without gaps. [owner]
 *
 * @param pixels NULL: only ask for the size
 * @param len    bytes there are at @p pixels; receives the bytes of the picture
 * @retval VM_E_RANGE the buffer is too small; *len says what it takes
 * @retval VM_E_NOENT no adapter drives this head, or it is switched off
 * @since 0.1
 */
VM_API int vm_display_grab(vm_machine *m, uint32_t head, void *pixels, size_t *len, uint32_t *width,
                           uint32_t *height);
/**
 * The text on a text screen, UTF-8: a line a row, without the blanks at its end. [owner]
 *
 * @param utf8 receives it with a 0 behind; NULL: only ask for the size
 * @param len  bytes there are at @p utf8; receives the bytes it takes, with the 0
 * @retval VM_E_RANGE the buffer is too small; *len says what it takes
 * @retval VM_E_STATE the screen shows graphics
 * @retval VM_E_NOENT no adapter drives this head
 * @since 0.1
 */
VM_API int vm_display_text(vm_machine *m, uint32_t head, char *utf8, size_t *len);
/**
 * The cells of a text screen, row by row. [owner]
 *
 * @param cells   NULL: only ask for the size
 * @param n       cells there is room for; receives how many there are
 * @param columns receives the cells in a row
 * @retval VM_E_RANGE too little room; *n says what it takes
 * @retval VM_E_STATE the screen shows graphics
 * @retval VM_E_NOENT no adapter drives this head
 * @since 0.1
 */
VM_API int vm_display_cells(vm_machine *m, uint32_t head, vm_text_cell *cells, size_t *n,
                            uint32_t *columns);

#ifdef __cplusplus
}
#endif
#endif
