/* SPDX-License-Identifier: MIT */
/**
 * @file ps2_keyboard.c
 * An enhanced PS/2 keyboard with scan code sets 1, 2 and 3.
 *
 * Spec: [PS2-HIT] IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-Key)";
 * [SCANCODE] Microsoft "Keyboard Scan Code Specification" 1.3a for codes by HID usage.
 * Not modelled: typematic repeat (the host's repeats are passed on) and the fake shifts that
 * cursor keys send for programs of the 84-key keyboard.
 */
#include "devices/input/ps2.h"

#include <string.h>

#include "base/bits.h"

enum {
    CMD_LEDS = 0xed,
    CMD_ECHO = 0xee,
    CMD_SET = 0xf0,
    CMD_ID = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULT = 0xf6,
    CMD_ALL_TYPEMATIC = 0xf7,
    CMD_ALL_MAKE_BREAK = 0xf8,
    CMD_ALL_MAKE = 0xf9,
    CMD_ALL_BOTH = 0xfa,
    CMD_KEY_TYPEMATIC = 0xfb,
    CMD_KEY_MAKE_BREAK = 0xfc,
    CMD_KEY_MAKE = 0xfd,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,

    E0 = 0xe0,
    E1 = 0xe1,
    BREAK = 0xf0, /* sets 2 and 3: prefix; set 1: bit 7 */
    LONGEST = 8,  /* bytes of the longest sequence */
    DEFAULT_RATE = 0x2b,

    HID_PRINT = 0x46,
    HID_PAUSE = 0x48,
    HID_LANG1 = 0x90,
    HID_LANG2 = 0x91,
    HID_LCTRL = 0xe0,
    HID_RGUI = 0xe7,
    MOD_CTRL = 0x11, /* .modifiers, either side */
    MOD_SHIFT = 0x22,
    MOD_ALT = 0x44,
};

struct key {
    uint8_t usage, set1, set2, set3;
    uint8_t prefix; /**< E0 in sets 1 and 2 */
};

/* By HID usage: sets 1, 2, 3. Codes of set 3 that are 0 do not exist. */
/* clang-format off */
static const struct key keys[] = {
    { 0x04, 0x1e, 0x1c, 0x1c }, { 0x05, 0x30, 0x32, 0x32 }, { 0x06, 0x2e, 0x21, 0x21 },
    { 0x07, 0x20, 0x23, 0x23 }, { 0x08, 0x12, 0x24, 0x24 }, { 0x09, 0x21, 0x2b, 0x2b },
    { 0x0a, 0x22, 0x34, 0x34 }, { 0x0b, 0x23, 0x33, 0x33 }, { 0x0c, 0x17, 0x43, 0x43 },
    { 0x0d, 0x24, 0x3b, 0x3b }, { 0x0e, 0x25, 0x42, 0x42 }, { 0x0f, 0x26, 0x4b, 0x4b },
    { 0x10, 0x32, 0x3a, 0x3a }, { 0x11, 0x31, 0x31, 0x31 }, { 0x12, 0x18, 0x44, 0x44 },
    { 0x13, 0x19, 0x4d, 0x4d }, { 0x14, 0x10, 0x15, 0x15 }, { 0x15, 0x13, 0x2d, 0x2d },
    { 0x16, 0x1f, 0x1b, 0x1b }, { 0x17, 0x14, 0x2c, 0x2c }, { 0x18, 0x16, 0x3c, 0x3c },
    { 0x19, 0x2f, 0x2a, 0x2a }, { 0x1a, 0x11, 0x1d, 0x1d }, { 0x1b, 0x2d, 0x22, 0x22 },
    { 0x1c, 0x15, 0x35, 0x35 }, { 0x1d, 0x2c, 0x1a, 0x1a },              /* a … z */
    { 0x1e, 0x02, 0x16, 0x16 }, { 0x1f, 0x03, 0x1e, 0x1e }, { 0x20, 0x04, 0x26, 0x26 },
    { 0x21, 0x05, 0x25, 0x25 }, { 0x22, 0x06, 0x2e, 0x2e }, { 0x23, 0x07, 0x36, 0x36 },
    { 0x24, 0x08, 0x3d, 0x3d }, { 0x25, 0x09, 0x3e, 0x3e }, { 0x26, 0x0a, 0x46, 0x46 },
    { 0x27, 0x0b, 0x45, 0x45 },                                          /* 1 … 0 */
    { 0x28, 0x1c, 0x5a, 0x5a }, { 0x29, 0x01, 0x76, 0x08 }, { 0x2a, 0x0e, 0x66, 0x66 },
    { 0x2b, 0x0f, 0x0d, 0x0d }, { 0x2c, 0x39, 0x29, 0x29 }, { 0x2d, 0x0c, 0x4e, 0x4e },
    { 0x2e, 0x0d, 0x55, 0x55 }, { 0x2f, 0x1a, 0x54, 0x54 }, { 0x30, 0x1b, 0x5b, 0x5b },
    { 0x31, 0x2b, 0x5d, 0x5c }, { 0x32, 0x2b, 0x5d, 0x53 }, { 0x33, 0x27, 0x4c, 0x4c },
    { 0x34, 0x28, 0x52, 0x52 }, { 0x35, 0x29, 0x0e, 0x0e }, { 0x36, 0x33, 0x41, 0x41 },
    { 0x37, 0x34, 0x49, 0x49 }, { 0x38, 0x35, 0x4a, 0x4a }, { 0x39, 0x3a, 0x58, 0x14 },
    { 0x3a, 0x3b, 0x05, 0x07 }, { 0x3b, 0x3c, 0x06, 0x0f }, { 0x3c, 0x3d, 0x04, 0x17 },
    { 0x3d, 0x3e, 0x0c, 0x1f }, { 0x3e, 0x3f, 0x03, 0x27 }, { 0x3f, 0x40, 0x0b, 0x2f },
    { 0x40, 0x41, 0x83, 0x37 }, { 0x41, 0x42, 0x0a, 0x3f }, { 0x42, 0x43, 0x01, 0x47 },
    { 0x43, 0x44, 0x09, 0x4f }, { 0x44, 0x57, 0x78, 0x56 }, { 0x45, 0x58, 0x07, 0x5e }, /* F12 */
    { 0x46, 0x37, 0x7c, 0x57, E0 }, { 0x47, 0x46, 0x7e, 0x5f }, { 0x49, 0x52, 0x70, 0x67, E0 },
    { 0x4a, 0x47, 0x6c, 0x6e, E0 }, { 0x4b, 0x49, 0x7d, 0x6f, E0 }, { 0x4c, 0x53, 0x71, 0x64, E0 },
    { 0x4d, 0x4f, 0x69, 0x65, E0 }, { 0x4e, 0x51, 0x7a, 0x6d, E0 }, { 0x4f, 0x4d, 0x74, 0x6a, E0 },
    { 0x50, 0x4b, 0x6b, 0x61, E0 }, { 0x51, 0x50, 0x72, 0x60, E0 }, { 0x52, 0x48, 0x75, 0x63, E0 },
    { 0x53, 0x45, 0x77, 0x76 }, { 0x54, 0x35, 0x4a, 0x77, E0 }, { 0x55, 0x37, 0x7c, 0x7e },
    { 0x56, 0x4a, 0x7b, 0x84 }, { 0x57, 0x4e, 0x79, 0x7c }, { 0x58, 0x1c, 0x5a, 0x79, E0 },
    { 0x59, 0x4f, 0x69, 0x69 }, { 0x5a, 0x50, 0x72, 0x72 }, { 0x5b, 0x51, 0x7a, 0x7a },
    { 0x5c, 0x4b, 0x6b, 0x6b }, { 0x5d, 0x4c, 0x73, 0x73 }, { 0x5e, 0x4d, 0x74, 0x74 },
    { 0x5f, 0x47, 0x6c, 0x6c }, { 0x60, 0x48, 0x75, 0x75 }, { 0x61, 0x49, 0x7d, 0x7d },
    { 0x62, 0x52, 0x70, 0x70 }, { 0x63, 0x53, 0x71, 0x71 },              /* keypad */
    { 0x64, 0x56, 0x61, 0x13 }, { 0x65, 0x5d, 0x2f, 0x8d, E0 }, { 0x66, 0x5e, 0x37, 0, E0 },
    { 0x67, 0x59, 0x0f, 0 }, { 0x68, 0x64, 0x08, 0 }, { 0x69, 0x65, 0x10, 0 },
    { 0x6a, 0x66, 0x18, 0 }, { 0x6b, 0x67, 0x20, 0 }, { 0x6c, 0x68, 0x28, 0 },
    { 0x6d, 0x69, 0x30, 0 }, { 0x6e, 0x6a, 0x38, 0 }, { 0x6f, 0x6b, 0x40, 0 },
    { 0x70, 0x6c, 0x48, 0 }, { 0x71, 0x6d, 0x50, 0 }, { 0x72, 0x6e, 0x57, 0 },
    { 0x73, 0x76, 0x5f, 0 },                                             /* F24 */
    { 0x85, 0x7e, 0x6d, 0 }, { 0x87, 0x73, 0x51, 0x51 }, { 0x88, 0x70, 0x13, 0x87 },
    { 0x89, 0x7d, 0x6a, 0x5d }, { 0x8a, 0x79, 0x64, 0x86 }, { 0x8b, 0x7b, 0x67, 0x85 },
    { 0xe0, 0x1d, 0x14, 0x11 }, { 0xe1, 0x2a, 0x12, 0x12 }, { 0xe2, 0x38, 0x11, 0x19 },
    { 0xe3, 0x5b, 0x1f, 0x8b, E0 }, { 0xe4, 0x1d, 0x14, 0x58, E0 }, { 0xe5, 0x36, 0x59, 0x59 },
    { 0xe6, 0x38, 0x11, 0x39, E0 }, { 0xe7, 0x5c, 0x27, 0x8c, E0 },      /* modifiers */
    /* No keys, but translated: SysRq, and what an identification or set number turns into. */
    { 0x00, 0x54, 0x84, 0 }, { 0x00, 0x41, 0x02, 0 },
};
/* clang-format on */

static const struct key *find_key(uint32_t usage)
{
    for (unsigned i = 0; usage != 0 && i < VM_COUNT_OF(keys); i++)
        if (keys[i].usage == usage)
            return &keys[i];
    return NULL;
}

uint8_t vm__ps2_translate(uint8_t set2)
{
    for (unsigned i = 0; i < VM_COUNT_OF(keys); i++)
        if (keys[i].set2 == set2)
            return keys[i].set1;
    return set2;
}

/* ---- keys --------------------------------------------------------------------------------- */

/** All of a sequence, or none and an overrun code. */
static void put_all(struct ps2_keyboard *k, const uint8_t *bytes, unsigned len)
{
    if (ps2_queue_room(&k->out) < len + 1) {
        if (ps2_queue_room(&k->out) > 0)
            ps2_queue_put(&k->out, k->set == 1 ? 0xff : 0x00);
        return;
    }
    for (unsigned i = 0; i < len; i++)
        ps2_queue_put(&k->out, bytes[i]);
}

static unsigned add_code(const struct ps2_keyboard *k, uint8_t *to, uint8_t prefix, uint8_t set1,
                         uint8_t set2, bool down)
{
    unsigned n = 0;
    if (prefix)
        to[n++] = prefix;
    if (k->set == 1) {
        to[n++] = set1 | (down ? 0 : 0x80);
    } else {
        if (!down)
            to[n++] = BREAK;
        to[n++] = set2;
    }
    return n;
}

/** Print Screen: with Alt it is SysRq, with Shift or Ctrl it lacks the shift it carries along. */
static unsigned print_screen(struct ps2_keyboard *k, uint8_t *to, bool down)
{
    if (down)
        k->print_alt = (k->modifiers & MOD_ALT) != 0;
    if (k->print_alt)
        return add_code(k, to, 0, 0x54, 0x84, down);
    if (k->modifiers & (MOD_SHIFT | MOD_CTRL))
        return add_code(k, to, E0, 0x37, 0x7c, down);
    unsigned n = add_code(k, to, E0, down ? 0x2a : 0x37, down ? 0x12 : 0x7c, down);
    return n + add_code(k, to + n, E0, down ? 0x37 : 0x2a, down ? 0x7c : 0x12, down);
}

/** Pause sends everything when it goes down; with Ctrl it is Break. */
static unsigned pause_key(const struct ps2_keyboard *k, uint8_t *to, bool down)
{
    if (!down)
        return 0;
    if (k->modifiers & MOD_CTRL) {
        unsigned n = add_code(k, to, E0, 0x46, 0x7e, true);
        return n + add_code(k, to + n, E0, 0x46, 0x7e, false);
    }
    unsigned n = add_code(k, to, E1, 0x1d, 0x14, true);
    n += add_code(k, to + n, 0, 0x45, 0x77, true);
    n += add_code(k, to + n, E1, 0x1d, 0x14, false);
    return n + add_code(k, to + n, 0, 0x45, 0x77, false);
}

static void key_set3(struct ps2_keyboard *k, uint32_t usage, bool down)
{
    const struct key *key = find_key(usage);
    uint8_t code = usage == HID_PAUSE ? 0x62 : key != NULL ? key->set3 : 0;
    uint8_t bytes[2] = { BREAK, code };

    if (code == 0 || (!down && k->make_only[code]))
        return;
    put_all(k, down ? &bytes[1] : bytes, down ? 1 : 2);
}

static void key_set12(struct ps2_keyboard *k, uint32_t usage, bool down)
{
    const struct key *key = find_key(usage);
    uint8_t bytes[LONGEST];
    unsigned n = 0;

    if (usage == HID_PRINT)
        n = print_screen(k, bytes, down);
    else if (usage == HID_PAUSE)
        n = pause_key(k, bytes, down);
    else if (usage == HID_LANG1 || usage == HID_LANG2) /* one byte, down only */
        bytes[0] = usage == HID_LANG1 ? 0xf2 : 0xf1, n = down;
    else if (key != NULL)
        n = add_code(k, bytes, key->prefix, key->set1, key->set2, down);
    put_all(k, bytes, n);
}

void vm__ps2_keyboard_key(struct ps2_keyboard *k, uint32_t usage, bool down)
{
    if (usage >= HID_LCTRL && usage <= HID_RGUI)
        k->modifiers = (uint8_t)vm_put_bits(k->modifiers, usage - HID_LCTRL, 1, down);
    if (!k->scanning)
        return;
    if (k->set == 3)
        key_set3(k, usage, down);
    else
        key_set12(k, usage, down);
}

/* ---- commands ----------------------------------------------------------------------------- */

/** Set 3's default: letters and the like repeat, but only modifiers send break codes. */
static void default_modes(struct ps2_keyboard *k)
{
    memset(k->make_only, 1, sizeof k->make_only);
    for (uint32_t usage = HID_LCTRL; usage <= HID_RGUI; usage++)
        k->make_only[find_key(usage)->set3] = 0;
    k->make_only[0x14] = 0; /* caps lock */
}

static void set_defaults(struct ps2_keyboard *k)
{
    ps2_queue_clear(&k->out);
    k->set = 2;
    k->rate = DEFAULT_RATE;
    k->command = 0;
    default_modes(k);
}

void vm__ps2_keyboard_reset(struct ps2_keyboard *k)
{
    set_defaults(k);
    k->scanning = 1;
    k->leds = 0;
    k->last = 0;
    k->modifiers = 0;
    k->print_alt = 0;
}

/** The byte after a command that takes one. @return it was a parameter */
static bool parameter(struct ps2_keyboard *k, uint8_t byte)
{
    uint8_t command = k->command;

    if (command >= CMD_KEY_TYPEMATIC && command <= CMD_KEY_MAKE) { /* until the next command */
        if (byte >= PS2_SET3_CODES) {
            k->command = 0;
            return false;
        }
        k->make_only[byte] = command != CMD_KEY_MAKE_BREAK;
        ps2_queue_put(&k->out, PS2_ACK);
        return true;
    }
    k->command = 0;
    if (command == 0 || byte & 0x80)
        return false;
    if (command == CMD_SET && byte > 3) {
        ps2_queue_put(&k->out, PS2_RESEND);
        return true;
    }
    ps2_queue_put(&k->out, PS2_ACK);
    if (command == CMD_LEDS)
        k->leds = byte & 7;
    else if (command == CMD_RATE)
        k->rate = byte;
    else if (byte == 0)
        ps2_queue_put(&k->out, k->set);
    else
        k->set = byte;
    return true;
}

void vm__ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte)
{
    if (parameter(k, byte))
        return;
    if (byte == CMD_ECHO || byte == CMD_RESEND) {
        ps2_queue_put(&k->out, byte == CMD_ECHO ? CMD_ECHO : k->last);
        return;
    }
    if (byte < CMD_LEDS || byte == 0xef || byte == 0xf1) { /* no such command */
        ps2_queue_put(&k->out, PS2_RESEND);
        return;
    }
    if (byte == CMD_RESET)
        vm__ps2_keyboard_reset(k);
    else if (byte == CMD_DEFAULT || byte == CMD_DISABLE)
        set_defaults(k);
    else if (byte != CMD_ENABLE && byte != CMD_ID)
        ps2_queue_clear(&k->out); /* a command clears what was to be sent */
    ps2_queue_put(&k->out, PS2_ACK);
    switch (byte) {
    case CMD_LEDS:
    case CMD_SET:
    case CMD_RATE:
    case CMD_KEY_TYPEMATIC:
    case CMD_KEY_MAKE_BREAK:
    case CMD_KEY_MAKE:
        k->command = byte;
        break;
    case CMD_ID:
        ps2_queue_put(&k->out, 0xab);
        ps2_queue_put(&k->out, 0x83);
        break;
    case CMD_ENABLE:
        k->scanning = 1;
        break;
    case CMD_DISABLE:
        k->scanning = 0;
        break;
    case CMD_ALL_TYPEMATIC:
    case CMD_ALL_MAKE:
        memset(k->make_only, 1, sizeof k->make_only);
        break;
    case CMD_ALL_MAKE_BREAK:
    case CMD_ALL_BOTH:
        memset(k->make_only, 0, sizeof k->make_only);
        break;
    case CMD_RESET:
        ps2_queue_put(&k->out, PS2_BAT_OK);
        break;
    default:
        break;
    }
}

uint8_t vm__ps2_keyboard_read(struct ps2_keyboard *k)
{
    k->last = ps2_queue_get(&k->out);
    return k->last;
}

static const struct vm_field queue_fields[] = { PS2_QUEUE_FIELDS, { 0 } };

const struct vm_field vm__ps2_keyboard_fields[] = {
    VM_FIELD_STRUCT(ps2_keyboard, out, queue_fields, 1),
    VM_FIELD(ps2_keyboard, scanning, 1),
    VM_FIELD(ps2_keyboard, set, 1),
    VM_FIELD(ps2_keyboard, leds, 1),
    VM_FIELD(ps2_keyboard, rate, 1),
    VM_FIELD(ps2_keyboard, command, 1),
    VM_FIELD(ps2_keyboard, last, 1),
    VM_FIELD(ps2_keyboard, modifiers, 1),
    VM_FIELD(ps2_keyboard, print_alt, 1),
    VM_FIELD_BYTES(ps2_keyboard, make_only, 1),
    { 0 },
};
