/* SPDX-License-Identifier: MIT */
/**
 * @file vga_edid.c
 * The monitor's description of itself, 128 bytes.
 *
 * Spec: [EDID-1.4 §3]. One preferred mode; others as established and standard timings.
 */
#include "devices/display/vga.h"

enum {
    REFRESH = 60,
    H_BLANK = 160, /* reduced blanking */
    H_FRONT = 48,
    H_SYNC = 32,
    V_BLANK = 38,
    V_FRONT = 3,
    V_SYNC = 6,
    MM_PER_100_DOTS = 26, /* about 96 dots an inch */
};

/** [EDID-1.4 §3.10.2]: the preferred mode. */
static void detailed_timing(uint8_t *d, uint32_t w, uint32_t h)
{
    const uint32_t clock = (w + H_BLANK) * (h + V_BLANK) * REFRESH / 10000; /* of 10 kHz */
    const uint32_t mm_w = w * MM_PER_100_DOTS / 100, mm_h = h * MM_PER_100_DOTS / 100;

    vm_put_le16(d, (uint16_t)clock);
    d[2] = (uint8_t)w;
    d[3] = H_BLANK;
    d[4] = (uint8_t)(w >> 8 << 4);
    d[5] = (uint8_t)h;
    d[6] = V_BLANK;
    d[7] = (uint8_t)(h >> 8 << 4);
    d[8] = H_FRONT;
    d[9] = H_SYNC;
    d[10] = V_FRONT << 4 | V_SYNC;
    d[12] = (uint8_t)mm_w;
    d[13] = (uint8_t)mm_h;
    d[14] = (uint8_t)(mm_w >> 8 << 4 | mm_h >> 8);
    d[17] = 0x18; /* digital, separate sync */
}

static void text_descriptor(uint8_t *d, uint8_t tag, const char *text)
{
    const size_t n = strlen(text);
    d[3] = tag;
    memset(d + 5, ' ', 13);
    memcpy(d + 5, text, n);
    d[5 + n] = '\n';
}

void vm__vga_edid(uint8_t *e, uint32_t width, uint32_t height)
{
    /* clang-format off */
    static const uint8_t head[54] = {
        0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00,
        0x32, 0xcd,                                     /* "LVM" */
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00,             /* product, serial number */
        0x00, 33,                                       /* 2023 */
        1, 4,
        0xa0,                                           /* digital, 8 bits a colour */
        0, 0, 120,                                      /* size: below; gamma 2.2 */
        0x06,                                           /* sRGB, preferred mode */
        0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54,
        0x21, 0x08, 0x00,                               /* 640x480, 800x600, 1024x768 at 60 Hz */
        0x81, 0x80,                                     /* 1280x1024 */
        0x81, 0x00,                                     /* 1280x800 */
        0xa9, 0x40,                                     /* 1600x1200 */
        0xd1, 0xc0,                                     /* 1920x1080 */
        0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
    };
    static const uint8_t ranges[18] = {                 /* 50…125 Hz, 30…160 kHz, to 600 MHz */
        0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 60, 0x01, '\n', ' ', ' ', ' ', ' ', ' ', ' ',
    };
    /* clang-format on */
    uint8_t sum = 0;

    memset(e, 0, VGA_EDID_SIZE);
    memcpy(e, head, sizeof head);
    e[21] = (uint8_t)(width * MM_PER_100_DOTS / 1000);
    e[22] = (uint8_t)(height * MM_PER_100_DOTS / 1000);
    detailed_timing(e + 54, width, height);
    memcpy(e + 72, ranges, sizeof ranges);
    text_descriptor(e + 90, 0xfc, "libvm");
    text_descriptor(e + 108, 0xff, "1");
    for (unsigned i = 0; i < VGA_EDID_SIZE - 1; i++)
        sum = (uint8_t)(sum + e[i]);
    e[VGA_EDID_SIZE - 1] = (uint8_t)(0 - sum);
}
