/* SPDX-License-Identifier: MIT */
/**
 * @file vga_timing.c
 * Where the beam is: from the machine's clock, the dot clock and the CRTC's totals.
 *
 * Spec: [FreeVGA "CRT Controller Registers"], [FreeVGA "External Registers"]. A frame begins with
 * its first line shown. Values that no monitor would follow count as 60 Hz.
 */
#include "devices/display/vga.h"

enum {
    LEAST_FRAME_NS = 4000000,  /* 250 Hz */
    MOST_FRAME_NS = 100000000, /* 10 Hz */
    USUAL_FRAME_NS = 16666667,
    USUAL_LINES = 525,
    CURSOR_NS = 8 * 16666667, /* shown for 8 frames, hidden for 8 */
    BLINK_NS = 16 * 16666667, /* 16 and 16 */

    STATUS_NO_DISPLAY = 0x01,
    STATUS_V_RETRACE = 0x08,
};

static uint32_t v_total(const struct vga *s)
{
    uint8_t o = s->crtc[CRTC_OVERFLOW];
    return s->crtc[CRTC_V_TOTAL] + ((o & 1u) << 8) + ((o >> 5 & 1u) << 9) + 2;
}

static uint32_t v_shown(const struct vga *s)
{
    uint8_t o = s->crtc[CRTC_OVERFLOW];
    return s->crtc[CRTC_V_END] + ((o >> 1 & 1u) << 8) + ((o >> 6 & 1u) << 9) + 1;
}

static uint32_t v_sync(const struct vga *s)
{
    uint8_t o = s->crtc[CRTC_OVERFLOW];
    return s->crtc[CRTC_V_SYNC_START] + ((o >> 2 & 1u) << 8) + ((o >> 7 & 1u) << 9);
}

static void work_out(struct vga *s)
{
    const uint64_t hz = (s->misc >> 2 & 3) == 1 ? 28322000 : 25175000;
    const uint32_t dots = s->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
    uint64_t line_dots = (s->crtc[CRTC_H_TOTAL] + 5u) * dots, lines = v_total(s);

    if (s->seq[SEQ_CLOCKING] & CLOCKING_HALF)
        line_dots *= 2;
    if (s->crtc[CRTC_MODE] & MODE_HALF_LINES)
        lines *= 2;
    s->frame_ns = lines * line_dots * 1000000000 / hz;
    s->line_ns = line_dots * 1000000000 / hz;
    if (s->frame_ns < LEAST_FRAME_NS || s->frame_ns > MOST_FRAME_NS || s->line_ns == 0) {
        s->frame_ns = USUAL_FRAME_NS;
        s->line_ns = USUAL_FRAME_NS / USUAL_LINES;
    }
}

uint8_t vm__vga_retrace(struct vm_dev *dev)
{
    struct vga *s = vm_dev_state(dev);
    uint8_t status = 0;

    if (s->frame_ns == 0)
        work_out(s);
    const uint64_t at = vm__dev_now(dev) % s->frame_ns;
    const uint32_t half = s->crtc[CRTC_MODE] & MODE_HALF_LINES ? 2 : 1;
    const uint32_t line = (uint32_t)(at / s->line_ns) / half, chars = s->crtc[CRTC_H_TOTAL] + 5u;
    const uint32_t column = (uint32_t)(at % s->line_ns * chars / s->line_ns);
    const uint32_t sync = v_sync(s), sync_lines = (s->crtc[CRTC_V_SYNC_END] - sync) & 0xf;
    if (line >= v_shown(s) || column > s->crtc[CRTC_H_END])
        status |= STATUS_NO_DISPLAY;
    if (line - sync < (sync_lines != 0 ? sync_lines : 16))
        status |= STATUS_V_RETRACE | STATUS_NO_DISPLAY;
    return status;
}

uint8_t vm__vga_blink_phase(struct vm_dev *dev)
{
    const uint64_t now = vm__dev_now(dev);
    return (uint8_t)((now / CURSOR_NS & 1 ? 0 : 1) | (now / BLINK_NS & 1 ? 0 : 2));
}
