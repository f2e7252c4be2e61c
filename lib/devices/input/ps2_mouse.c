/* SPDX-License-Identifier: MIT */
/**
 * @file ps2_mouse.c
 * A PS/2 mouse, with the wheel and five-button extensions that drivers ask for by a knock of
 * sample rates.
 *
 * Spec: [PS2-HIT] "Mouse"; Microsoft "Wheel Support in Windows" for the knock (200, 100, 80 and
 * 200, 200, 80) and the fourth byte.
 *
 * A packet is made when the last one has left, so movement adds up instead of queueing.
 */
#include "devices/input/ps2.h"

#include "base/bits.h"
#include "core/input.h"

enum {
    CMD_SCALE_1 = 0xe6,
    CMD_SCALE_2 = 0xe7,
    CMD_RESOLUTION = 0xe8,
    CMD_STATUS = 0xe9,
    CMD_STREAM = 0xea,
    CMD_READ = 0xeb,
    CMD_WRAP_OFF = 0xec,
    CMD_WRAP = 0xee,
    CMD_REMOTE = 0xf0,
    CMD_ID = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULT = 0xf6,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,

    PLAIN = 0,
    WHEEL = 3,
    FIVE_BUTTONS = 4,

    MOVE_LIMIT = 4096, /* unreported movement is forgotten beyond this */
    PACKET = 4,
};

static int32_t clamp(int64_t v, int32_t limit)
{
    return (int32_t)(v < -limit ? -limit : v > limit ? limit : v);
}

/** 2:1 scaling: small movements are slowed down, larger ones doubled. */
static int32_t scale(const struct ps2_mouse *m, int32_t v)
{
    static const uint8_t small[] = { 0, 1, 1, 3, 6, 9 };
    int32_t n = v < 0 ? -v : v;
    if (!m->scaling || m->remote)
        return v;
    n = n < (int32_t)VM_COUNT_OF(small) ? small[n] : 2 * n;
    return clamp(v < 0 ? -n : n, 255);
}

/** One report; what does not fit into its nine bits stays for the next. */
static void put_packet(struct ps2_mouse *m)
{
    int32_t dx = clamp(m->dx, 255), dy = clamp(m->dy, 255), dz = clamp(m->dz, 7);

    m->dx -= dx;
    m->dy -= dy;
    m->dz -= m->id == PLAIN ? m->dz : dz;
    m->changed = m->dx != 0 || m->dy != 0 || m->dz != 0;
    dx = scale(m, dx);
    dy = scale(m, dy);
    ps2_queue_put(&m->out, (uint8_t)(8 | m->buttons | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0)));
    ps2_queue_put(&m->out, (uint8_t)dx);
    ps2_queue_put(&m->out, (uint8_t)dy);
    if (m->id == WHEEL)
        ps2_queue_put(&m->out, (uint8_t)dz);
    else if (m->id == FIVE_BUTTONS)
        ps2_queue_put(&m->out, dz & 0x0f);
}

static void report(struct ps2_mouse *m)
{
    if (m->changed && m->reporting && !m->remote && !m->wrap && m->command == 0 &&
        m->out.count == 0)
        put_packet(m);
}

void vm__ps2_mouse_move(struct ps2_mouse *m, int32_t dx, int32_t dy, int32_t wheel,
                        uint32_t buttons)
{
    uint8_t held = (uint8_t)(buttons & (VM_BUTTON_LEFT | VM_BUTTON_RIGHT | VM_BUTTON_MIDDLE));
    bool clicked = held != m->buttons;

    if (!m->reporting && !m->remote)
        return;
    m->dx = clamp((int64_t)m->dx + dx, MOVE_LIMIT);
    m->dy = clamp((int64_t)m->dy - dy, MOVE_LIMIT);
    m->dz = clamp((int64_t)m->dz + wheel, MOVE_LIMIT);
    m->buttons = held;
    m->changed |= clicked || dx != 0 || dy != 0 || wheel != 0;
    /* A click gets its own packet, or a quick press and release would cancel out. */
    if (clicked && m->reporting && !m->remote && !m->wrap && m->command == 0 &&
        ps2_queue_room(&m->out) >= 2 * PACKET)
        put_packet(m);
    else
        report(m);
}

/* ---- commands ----------------------------------------------------------------------------- */

static void set_defaults(struct ps2_mouse *m)
{
    m->reporting = m->remote = m->wrap = m->scaling = 0;
    m->resolution = 2;
    m->rate = 100;
    m->command = 0;
    m->changed = 0;
    m->dx = m->dy = m->dz = 0;
}

void vm__ps2_mouse_reset(struct ps2_mouse *m)
{
    ps2_queue_clear(&m->out);
    set_defaults(m);
    m->id = PLAIN;
    m->knock[0] = m->knock[1] = 0;
    m->last = 0;
    m->buttons = 0;
}

static void set_rate(struct ps2_mouse *m, uint8_t rate)
{
    if (rate == 80 && m->knock[0] == 200 && m->knock[1] == 100)
        m->id = WHEEL;
    else if (rate == 80 && m->knock[0] == 200 && m->knock[1] == 200 && m->id == WHEEL)
        m->id = FIVE_BUTTONS;
    m->knock[0] = m->knock[1];
    m->knock[1] = rate;
    m->rate = rate;
}

static void put_status(struct ps2_mouse *m)
{
    unsigned left = m->buttons & VM_BUTTON_LEFT ? 4 : 0;
    unsigned middle = m->buttons & VM_BUTTON_MIDDLE ? 2 : 0;
    unsigned right = m->buttons & VM_BUTTON_RIGHT ? 1 : 0;
    ps2_queue_put(&m->out, (uint8_t)(m->remote << 6 | m->reporting << 5 | m->scaling << 4 | left |
                                     middle | right));
    ps2_queue_put(&m->out, m->resolution);
    ps2_queue_put(&m->out, m->rate);
}

static void parameter(struct ps2_mouse *m, uint8_t byte)
{
    if (m->command == CMD_RATE)
        set_rate(m, byte);
    else
        m->resolution = byte & 3;
    m->command = 0;
    ps2_queue_put(&m->out, PS2_ACK);
}

static void command(struct ps2_mouse *m, uint8_t byte)
{
    ps2_queue_clear(&m->out); /* a command clears what was to be sent */
    ps2_queue_put(&m->out, PS2_ACK);
    switch (byte) {
    case CMD_SCALE_1:
    case CMD_SCALE_2:
        m->scaling = byte == CMD_SCALE_2;
        break;
    case CMD_RESOLUTION:
    case CMD_RATE:
        m->command = byte;
        break;
    case CMD_STATUS:
        put_status(m);
        break;
    case CMD_STREAM:
    case CMD_REMOTE:
        m->remote = byte == CMD_REMOTE;
        break;
    case CMD_READ:
        put_packet(m);
        break;
    case CMD_WRAP:
        m->wrap = 1;
        break;
    case CMD_ID:
        ps2_queue_put(&m->out, m->id);
        break;
    case CMD_ENABLE:
    case CMD_DISABLE:
        m->reporting = byte == CMD_ENABLE;
        break;
    case CMD_DEFAULT:
        set_defaults(m);
        break;
    case CMD_RESET:
        vm__ps2_mouse_reset(m);
        ps2_queue_put(&m->out, PS2_ACK);
        ps2_queue_put(&m->out, PS2_BAT_OK);
        ps2_queue_put(&m->out, 0);
        break;
    case CMD_WRAP_OFF:
        break;
    default:
        ps2_queue_clear(&m->out);
        ps2_queue_put(&m->out, PS2_RESEND);
        break;
    }
}

void vm__ps2_mouse_write(struct ps2_mouse *m, uint8_t byte)
{
    if (m->wrap && byte != CMD_RESET && byte != CMD_WRAP_OFF) {
        ps2_queue_put(&m->out, byte);
        return;
    }
    if (byte == CMD_WRAP_OFF)
        m->wrap = 0;
    if (m->command != 0)
        parameter(m, byte);
    else if (byte == CMD_RESEND)
        ps2_queue_put(&m->out, m->last);
    else
        command(m, byte);
}

uint8_t vm__ps2_mouse_read(struct ps2_mouse *m)
{
    m->last = ps2_queue_get(&m->out);
    report(m);
    return m->last;
}

static const struct vm_field queue_fields[] = { PS2_QUEUE_FIELDS, { 0 } };

const struct vm_field vm__ps2_mouse_fields[] = {
    VM_FIELD_STRUCT(ps2_mouse, out, queue_fields, 1),
    VM_FIELD(ps2_mouse, reporting, 1),
    VM_FIELD(ps2_mouse, remote, 1),
    VM_FIELD(ps2_mouse, wrap, 1),
    VM_FIELD(ps2_mouse, scaling, 1),
    VM_FIELD(ps2_mouse, resolution, 1),
    VM_FIELD(ps2_mouse, rate, 1),
    VM_FIELD(ps2_mouse, command, 1),
    VM_FIELD(ps2_mouse, last, 1),
    VM_FIELD(ps2_mouse, id, 1),
    VM_FIELD_ARRAY(ps2_mouse, knock, 1),
    VM_FIELD(ps2_mouse, buttons, 1),
    VM_FIELD(ps2_mouse, changed, 1),
    VM_FIELD(ps2_mouse, dx, 1),
    VM_FIELD(ps2_mouse, dy, 1),
    VM_FIELD(ps2_mouse, dz, 1),
    { 0 },
};
