/* SPDX-License-Identifier: MIT */
/**
 * @file input.h
 * Keyboards, mice and tablets: a device takes events, the host makes them.
 *
 * Keys are USB HID usages of page 7, which every window system can be mapped to and from which
 * every keyboard's scan codes follow. The device attached last gets the events of its kind.
 *
 * Threads: sinks are called under the machine lock; vm__input_* events are [any].
 */
#ifndef LIBVM_CORE_INPUT_H
#define LIBVM_CORE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"

struct vm_machine;

enum { VM_INPUT_SINKS = 8, VM_INPUT_ABS_MAX = 32767 };

/** Buttons, a mask. */
enum { VM_BUTTON_LEFT = 1, VM_BUTTON_RIGHT = 2, VM_BUTTON_MIDDLE = 4 };

/** A device's calls; NULL: it does not take that kind. */
struct vm_input_ops {
    void (*key)(void *opaque, uint32_t usage, bool down);
    void (*relative)(void *opaque, int32_t dx, int32_t dy, int32_t wheel, uint32_t buttons);
    void (*absolute)(void *opaque, int32_t x, int32_t y, int32_t wheel, uint32_t buttons);
};

int vm__input_attach(struct vm_machine *m, const struct vm_input_ops *ops, void *opaque);
void vm__input_detach(struct vm_machine *m, void *opaque);

void vm__input_key(struct vm_machine *m, uint32_t usage, bool down);
void vm__input_relative(struct vm_machine *m, int32_t dx, int32_t dy, int32_t wheel,
                        uint32_t buttons);
/** @p x, @p y in 0…VM_INPUT_ABS_MAX. */
void vm__input_absolute(struct vm_machine *m, int32_t x, int32_t y, int32_t wheel,
                        uint32_t buttons);

/** Text that is being typed; made when first needed. */
struct vm_typist {
    struct vm_timer timer;
    char *text;
    size_t at, len;
    unsigned step; /**< within the character: shift, press, release, shift */
};

/** Type a text on a US keyboard, while the machine runs. @retval VM_E_INVAL no such key */
int vm__input_text(struct vm_machine *m, const char *text);
void vm__input_text_fini(struct vm_machine *m);

#endif
