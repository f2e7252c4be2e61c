/* SPDX-License-Identifier: MIT */
/**
 * @file i82077_control.c
 * The floppy controller's control commands: heads, status, settings; and the table of all commands.
 *
 * Spec: [82077AA §5.2] and table 5-1.
 */
#include <string.h>

#include "core/machine.h"
#include "devices/storage/i82077.h"

enum {
    VERSION_82077 = 0x90,
    RECALIBRATE_STEPS = 79,

    STEP_NS = 10000, /* the real thing: 3 ms a step, 15 ms to settle */
    SETTLE_NS = 50000,
};

/* ---- results ------------------------------------------------------------------------------ */

void vm__i82077_result(struct vm_dev *dev, unsigned n)
{
    struct i82077 *s = vm_dev_state(dev);
    s->phase = n > 0 ? FDC_RESULT : FDC_COMMAND;
    s->n_result = (uint8_t)n;
    s->result_at = s->n_command = 0;
}

static void result_byte(struct vm_dev *dev, uint8_t byte)
{
    struct i82077 *s = vm_dev_state(dev);
    s->result[0] = byte;
    vm__i82077_result(dev, 1);
}

/* ---- heads -------------------------------------------------------------------------------- */

uint64_t vm__i82077_seek_ns(unsigned steps)
{
    return steps == 0 ? 0 : SETTLE_NS + (uint64_t)steps * STEP_NS;
}

/** Heads are moved now; the interrupt tells of it when they would have arrived. */
static void seek_by(struct vm_dev *dev, unsigned unit, int steps)
{
    struct i82077 *s = vm_dev_state(dev);

    vm__floppy_step(&s->floppy[unit], steps);
    s->seek_st0[unit] = (uint8_t)(ST0_SEEK_END | (s->command[1] & 4) | unit);
    s->seeking |= (uint8_t)(1u << unit);
    s->sought &= (uint8_t) ~(1u << unit);
    vm__timer_arm(&s->seek_timer[unit],
                  vm__dev_now(dev) + SETTLE_NS +
                      vm__i82077_seek_ns((unsigned)(steps < 0 ? -steps : steps)));
    vm__i82077_result(dev, 0);
}

void vm__i82077_on_seek_timer(void *opaque)
{
    const struct fdc_unit *unit = opaque;
    struct i82077 *s = vm_dev_state(unit->dev);
    const uint8_t bit = (uint8_t)(1u << unit->unit);

    s->seeking &= (uint8_t)~bit;
    s->sought |= bit;
    vm__i82077_interrupt(unit->dev);
}

/** Steps outwards until the drive says track 0, but not forever. [82077AA §5.2.2] */
static void recalibrate(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    const unsigned unit = s->command[1] & 3;
    const struct floppy *f = &s->floppy[unit];

    s->pcn[unit] = 0;
    seek_by(dev, unit, f->cylinder < RECALIBRATE_STEPS ? -f->cylinder : -RECALIBRATE_STEPS);
    if (f->drive == NULL || f->cylinder != 0)
        s->seek_st0[unit] |= ST0_ABNORMAL | ST0_EQUIPMENT;
}

static void seek(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    const unsigned unit = s->command[1] & 3;
    const int steps = s->command[2] - s->pcn[unit];

    s->pcn[unit] = s->command[2];
    seek_by(dev, unit, steps);
}

static void relative_seek(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    const unsigned unit = s->command[1] & 3;
    const int steps = s->command[0] & 0x40 ? s->command[2] : -s->command[2];

    s->pcn[unit] = (uint8_t)(s->pcn[unit] + steps);
    seek_by(dev, unit, steps);
}

/* ---- status and settings ------------------------------------------------------------------ */

static void sense_interrupt(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    unsigned unit = 0;

    if (s->polls > 0) {
        unit = FDC_UNITS - s->polls--;
        s->result[0] = (uint8_t)(ST0_POLLED | unit);
    } else if (s->sought != 0) {
        while (!(s->sought >> unit & 1))
            unit++;
        s->sought &= (uint8_t) ~(1u << unit);
        s->result[0] = s->seek_st0[unit];
    } else { /* nothing to be sensed: an invalid command. [82077AA §5.2.4] */
        result_byte(dev, ST0_INVALID);
        return;
    }
    s->result[1] = s->pcn[unit];
    vm__i82077_result(dev, 2);
    s->interrupt = 0;
    vm__i82077_update(dev);
    if (s->sought != 0) /* another one: a new edge */
        vm__i82077_interrupt(dev);
}

static void sense_drive(struct vm_dev *dev)
{
    const struct i82077 *s = vm_dev_state(dev);
    const struct floppy *f = &s->floppy[s->command[1] & 3];
    uint8_t st3 = 0x28 | (s->command[1] & 7); /* ready and two sides: not told apart */

    if (f->drive != NULL && f->cylinder == 0)
        st3 |= 0x10;
    if (f->drive != NULL && (f->format == NULL || f->read_only))
        st3 |= 0x40;
    result_byte(dev, st3);
}

static void specify(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    s->specify[0] = s->command[1];
    s->specify[1] = s->command[2];
    vm__i82077_result(dev, 0);
}

static void configure(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    s->config = s->command[2] & 0x7f;
    s->pretrk = s->command[3];
    vm__i82077_result(dev, 0);
}

static void dump_registers(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    memcpy(s->result, s->pcn, FDC_UNITS);
    s->result[4] = s->specify[0];
    s->result[5] = s->specify[1];
    s->result[6] = s->last_eot;
    s->result[7] = (uint8_t)(s->lock << 7 | s->perpendicular);
    s->result[8] = s->config;
    s->result[9] = s->pretrk;
    vm__i82077_result(dev, 10);
}

static void version(struct vm_dev *dev)
{
    result_byte(dev, VERSION_82077);
}

/** The drive bits change only with OW. [82077AA §5.2.9] */
static void perpendicular(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    const uint8_t v = s->command[1];
    s->perpendicular = v & 0x80 ? v & 0x3f : (uint8_t)((s->perpendicular & 0x3c) | (v & 3));
    vm__i82077_result(dev, 0);
}

static void lock(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    s->lock = s->command[0] >> 7;
    result_byte(dev, (uint8_t)(s->lock << 4));
}

static void invalid(struct vm_dev *dev)
{
    result_byte(dev, ST0_INVALID);
}

/* ---- commands ----------------------------------------------------------------------------- */

/** A row of table 5-1. Either .run or .op. */
struct command {
    uint8_t mask, code; /**< (first byte & mask) == code */
    uint8_t bytes;      /**< of the command phase */
    void (*run)(struct vm_dev *dev);
    enum fdc_op op;
};

/* clang-format off */
static const struct command commands[] = {
    { 0x1f, 0x06, 9, .op = FDC_READ },
    { 0x1f, 0x0c, 9, .op = FDC_READ }, /* deleted data */
    { 0x3f, 0x05, 9, .op = FDC_WRITE },
    { 0x3f, 0x09, 9, .op = FDC_WRITE }, /* deleted data */
    { 0xbf, 0x02, 9, .op = FDC_READ_TRACK },
    { 0x1f, 0x16, 9, .op = FDC_VERIFY },
    { 0xbf, 0x0d, 6, .op = FDC_FORMAT },
    { 0x1f, 0x11, 9, .op = FDC_SCAN_EQUAL },
    { 0x1f, 0x19, 9, .op = FDC_SCAN_LOW },
    { 0x1f, 0x1d, 9, .op = FDC_SCAN_HIGH },
    { 0xbf, 0x0a, 2, .op = FDC_READ_ID },
    { 0xff, 0x07, 2, .run = recalibrate },
    { 0xff, 0x08, 1, .run = sense_interrupt },
    { 0xff, 0x03, 3, .run = specify },
    { 0xff, 0x04, 2, .run = sense_drive },
    { 0xff, 0x0f, 3, .run = seek },
    { 0xbf, 0x8f, 3, .run = relative_seek },
    { 0xff, 0x13, 4, .run = configure },
    { 0xff, 0x0e, 1, .run = dump_registers },
    { 0xff, 0x10, 1, .run = version },
    { 0xff, 0x12, 2, .run = perpendicular },
    { 0x7f, 0x14, 1, .run = lock },
    { 0x00, 0x00, 1, .run = invalid },
};
/* clang-format on */

static const struct command *decode(uint8_t first)
{
    const struct command *c = commands;
    while ((first & c->mask) != c->code)
        c++; /* the last row matches everything */
    return c;
}

void vm__i82077_command(struct vm_dev *dev, uint8_t v)
{
    struct i82077 *s = vm_dev_state(dev);

    s->command[s->n_command++] = v;
    const struct command *c = decode(s->command[0]);
    if (s->n_command < c->bytes)
        return;
    s->n_command = 0;
    if (c->run != NULL)
        c->run(dev);
    else
        vm__i82077_start(dev, c->op);
}
