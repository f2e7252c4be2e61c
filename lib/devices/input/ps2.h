/* SPDX-License-Identifier: MIT */
/**
 * @file ps2.h
 * The keyboard and the mouse at the end of the i8042's two cables.
 *
 * Each takes command bytes and fills a queue with answers, scan codes or packets. They know
 * neither the controller nor the machine.
 */
#ifndef LIBVM_DEVICES_INPUT_PS2_H
#define LIBVM_DEVICES_INPUT_PS2_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/input/ps2_queue.h"

enum { PS2_ACK = 0xfa, PS2_RESEND = 0xfe, PS2_BAT_OK = 0xaa, PS2_ERROR = 0xfc };

enum { PS2_SET3_CODES = 0x90 };

struct ps2_keyboard {
    struct ps2_queue out;
    uint8_t scanning;                  /**< keys are reported */
    uint8_t set;                       /**< scan code set, 1…3 */
    uint8_t leds;                      /**< bit 0 scroll, 1 num, 2 caps */
    uint8_t rate;                      /**< typematic; kept, the host repeats keys */
    uint8_t command;                   /**< waits for its parameter; 0: none */
    uint8_t last;                      /**< the byte sent last */
    uint8_t modifiers;                 /**< held: HID usages E0…E7 as bits */
    uint8_t print_alt;                 /**< Print Screen went down as SysRq */
    uint8_t make_only[PS2_SET3_CODES]; /**< set 3, by code: no break code */
};

struct ps2_mouse {
    struct ps2_queue out;
    uint8_t reporting;  /**< in stream mode: packets by themselves */
    uint8_t remote;     /**< remote mode: packets when asked */
    uint8_t wrap;       /**< echo mode */
    uint8_t scaling;    /**< 2:1 */
    uint8_t resolution; /**< 0…3 */
    uint8_t rate;       /**< samples a second */
    uint8_t command;    /**< waits for its parameter; 0: none */
    uint8_t last;       /**< the byte sent last */
    uint8_t id;         /**< 0 plain, 3 with wheel, 4 with five buttons */
    uint8_t knock[2];   /**< the two rates set before, newest last */
    uint8_t buttons;    /**< bit 0 left, 1 right, 2 middle */
    uint8_t changed;    /**< something to report */
    int32_t dx, dy, dz; /**< movement not reported: right, up, towards the user are positive */
};

extern const struct vm_field vm__ps2_keyboard_fields[];
extern const struct vm_field vm__ps2_mouse_fields[];

void vm__ps2_keyboard_reset(struct ps2_keyboard *k);
void vm__ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte);
/** A key by HID usage. */
void vm__ps2_keyboard_key(struct ps2_keyboard *k, uint32_t usage, bool down);
/** The next byte of .out, remembered for "resend". */
uint8_t vm__ps2_keyboard_read(struct ps2_keyboard *k);
/** What the controller makes of a set 2 byte that is no prefix: set 1. */
uint8_t vm__ps2_translate(uint8_t set2);

void vm__ps2_mouse_reset(struct ps2_mouse *m);
void vm__ps2_mouse_write(struct ps2_mouse *m, uint8_t byte);
/** Movement in screen directions (down is positive) and VM_BUTTON_* held. */
void vm__ps2_mouse_move(struct ps2_mouse *m, int32_t dx, int32_t dy, int32_t wheel,
                        uint32_t buttons);
uint8_t vm__ps2_mouse_read(struct ps2_mouse *m);

#endif
