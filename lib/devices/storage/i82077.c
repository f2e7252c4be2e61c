/* SPDX-License-Identifier: MIT */
/**
 * @file i82077.c
 * Intel 82077AA floppy disk controller with two drives.
 *
 * Spec: [82077AA] Intel 290166.
 * Modelled: every command of table 5-1 with its result and error bits; DMA and programmed I/O;
 * overlapped and implied seeks, the four interrupts after a reset, FIFO settings, lock; motors, the
 * disk change line; PC-AT and PS/2 register sets. PART ID and the other additions of the 82078 are
 * invalid commands here, by which drivers tell the two apart.
 * Not modelled: the tape drive, precompensation, write gates, power-down (registers only); the FIFO
 * as a queue: the chip's sector buffer is never overrun.
 *
 * This file has the pins and registers. The commands that move heads or ask for status are in
 * i82077_control.c, those that look for sectors in i82077_data.c.
 */
#include "devices/storage/i82077.h"

#include <string.h>

#include "core/machine.h"
#include "devices/dma/i8237.h"

/* Offsets in the first window, 0x3F0 on most boards; 0x3F6 is the hard disk's. [82077AA §2.1] */
enum { SRA = 0, SRB = 1, DOR = 2, TDR = 3, MSR_DSR = 4, FIFO = 5, DIR_CCR = 7 };

enum {
    DSR_RESET = 0x80,
    RATE_BITS = 0x03,

    MSR_BUSY = 0x10,
    MSR_NON_DMA = 0x20,
    MSR_DIO = 0x40,
    MSR_RQM = 0x80,

    DIR_DSKCHG = 0x80,

    CONFIG_RESET = 0x20, /* FIFO off, polling on, no implied seeks */

    RESET_NS = 20000,
};

/* ---- pins --------------------------------------------------------------------------------- */

void vm__i82077_update(struct vm_dev *dev)
{
    const struct i82077 *s = vm_dev_state(dev);
    const bool wants_dma = s->phase == FDC_EXECUTE && s->run.step == FDC_HOST && fdc_uses_dma(s) &&
                           fdc_gate_is_open(s);

    vm__dma_request(s->dmac, s->dma, wants_dma);
    vm__dev_irq(dev, 0, s->interrupt && fdc_gate_is_open(s));
}

void vm__i82077_interrupt(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    s->interrupt = 1;
    vm__i82077_update(dev);
}

/* ---- reset -------------------------------------------------------------------------------- */

/** Everything but what SPECIFY set; with LOCK, not the FIFO's settings. [82077AA §4, §5.2.8] */
static void reset_chip(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);

    vm__i82077_abort(dev);
    for (unsigned i = 0; i < FDC_UNITS; i++)
        vm__timer_cancel(&s->seek_timer[i]);
    vm__timer_cancel(&s->reset_timer);
    s->n_command = s->n_result = s->result_at = 0;
    s->seeking = s->sought = s->polls = 0;
    memset(s->pcn, 0, sizeof s->pcn);
    s->perpendicular &= (uint8_t)~3;
    if (!s->lock) {
        s->config = CONFIG_RESET;
        s->pretrk = 0;
    }
    vm__i82077_update(dev);
}

static void leave_reset(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    vm__timer_arm(&s->reset_timer, vm__dev_now(dev) + RESET_NS);
}

/** Polling finds all four units ready, which each is sensed once for. Chips do so with polling
 *  switched off as well: Linux switches it off and waits for this interrupt. */
static void on_reset_timer(void *opaque)
{
    struct i82077 *s = vm_dev_state(opaque);
    s->polls = FDC_UNITS;
    vm__i82077_interrupt(opaque);
}

static bool in_reset(const struct i82077 *s)
{
    return !(s->dor & DOR_RESET_N) || vm__timer_armed(&s->reset_timer);
}

/* ---- registers ---------------------------------------------------------------------------- */

/** The interrupt of a data command goes with the first byte of its result. */
static uint8_t next_result(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    const uint8_t byte = s->result[s->result_at++];

    if (s->n_result == 7 && s->result_at == 1) {
        s->interrupt = s->sought != 0;
        vm__i82077_update(dev);
    }
    if (s->result_at >= s->n_result)
        s->phase = FDC_COMMAND;
    return byte;
}

static uint8_t read_msr(const struct i82077 *s)
{
    uint8_t value = s->seeking;

    if (in_reset(s))
        return 0;
    switch ((enum fdc_phase)s->phase) {
    case FDC_COMMAND:
        value |= MSR_RQM | (s->n_command > 0 ? MSR_BUSY : 0);
        break;
    case FDC_EXECUTE:
        value |= MSR_BUSY;
        if (!fdc_uses_dma(s))
            value |= MSR_NON_DMA | (s->run.step == FDC_HOST ? MSR_RQM : 0) |
                     (vm__i82077_to_host(s) ? MSR_DIO : 0);
        break;
    case FDC_RESULT:
        value |= MSR_RQM | MSR_DIO | MSR_BUSY;
        break;
    }
    return value;
}

static bool moves_by_program(const struct i82077 *s)
{
    return s->phase == FDC_EXECUTE && s->run.step == FDC_HOST && !fdc_uses_dma(s);
}

static uint8_t read_fifo(struct vm_dev *dev)
{
    const struct i82077 *s = vm_dev_state(dev);
    if (in_reset(s))
        return 0;
    if (s->phase == FDC_RESULT)
        return next_result(dev);
    return moves_by_program(s) && vm__i82077_to_host(s) ? vm__i82077_give(dev) : 0;
}

static void write_fifo(struct vm_dev *dev, uint8_t v)
{
    const struct i82077 *s = vm_dev_state(dev);
    if (in_reset(s))
        return;
    if (s->phase == FDC_COMMAND)
        vm__i82077_command(dev, v);
    else if (moves_by_program(s) && !vm__i82077_to_host(s))
        vm__i82077_take(dev, v);
}

static const struct floppy *selected(const struct i82077 *s)
{
    const unsigned unit = s->dor & DOR_SELECT;
    return fdc_is_turning(s, unit) && s->floppy[unit].drive != NULL ? &s->floppy[unit] : NULL;
}

static uint8_t read_dir(const struct i82077 *s)
{
    const struct floppy *f = selected(s);
    const uint8_t changed = f != NULL && f->changed ? DIR_DSKCHG : 0;

    if (s->mode == FDC_AT)
        return changed; /* the other bits are not driven */
    return changed | 0x78 | s->rate << 1 | (s->rate == FLOPPY_500K || s->rate == FLOPPY_1M ? 0 : 1);
}

/** Only in PS/2 mode: pins, mostly active low. [82077AA §2.1.1a] */
static uint8_t read_sra(const struct i82077 *s)
{
    const struct floppy *f = selected(s);
    uint8_t value = s->interrupt ? 0x80 : 0;

    if (s->floppy[1].drive == NULL)
        value |= 0x40;
    if (f == NULL || f->cylinder != 0)
        value |= 0x10;
    if (s->run.head)
        value |= 0x08;
    value |= 0x04; /* no index hole at the moment */
    if (f == NULL || !f->read_only)
        value |= 0x02;
    return value;
}

static uint8_t read_srb(const struct i82077 *s)
{
    return (uint8_t)(0xc0 | (s->dor & 1) << 5 | (s->dor >> 4 & 3));
}

static uint64_t fdc_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct i82077 *s = vm_dev_state(dev);
    (void)size;

    switch (off) {
    case SRA:
        return s->mode == FDC_PS2 ? read_sra(s) : 0xff;
    case SRB:
        return s->mode == FDC_PS2 ? read_srb(s) : 0xff;
    case DOR:
        return s->dor;
    case TDR:
        return s->tdr;
    case MSR_DSR:
        return read_msr(s);
    default:
        return read_fifo(dev);
    }
}

static void write_dor(struct vm_dev *dev, uint8_t v)
{
    struct i82077 *s = vm_dev_state(dev);
    const uint8_t rises = v & ~s->dor, falls = s->dor & ~v;

    s->dor = v;
    if (falls & DOR_RESET_N)
        reset_chip(dev);
    if (rises & DOR_RESET_N)
        leave_reset(dev);
    vm__i82077_update(dev);
    if (rises & DOR_DMAGATE)
        vm__i82077_pump(dev);
}

static void fdc_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct i82077 *s = vm_dev_state(dev);
    const uint8_t v = (uint8_t)value;
    (void)size;

    switch (off) {
    case DOR:
        write_dor(dev, v);
        break;
    case TDR:
        s->tdr = v & 3;
        break;
    case MSR_DSR:
        s->dsr = v & (uint8_t)~DSR_RESET;
        s->rate = v & RATE_BITS;
        if ((v & DSR_RESET) && (s->dor & DOR_RESET_N)) {
            reset_chip(dev);
            leave_reset(dev);
        }
        break;
    case FIFO:
        write_fifo(dev, v);
        break;
    default:
        break;
    }
}

static uint64_t dir_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    (void)off;
    (void)size;
    return read_dir(vm_dev_state(dev));
}

static void ccr_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct i82077 *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    s->rate = (uint8_t)value & RATE_BITS;
}

/* ---- drives ------------------------------------------------------------------------------- */

static void on_changed(void *opaque)
{
    const struct fdc_unit *unit = opaque;
    struct i82077 *s = vm_dev_state(unit->dev);
    struct floppy *f = &s->floppy[unit->unit];

    f->changed = 1;
    if (vm__floppy_look(f) != VM_OK)
        vm__dev_log(unit->dev, VM_LOG_WARN, VM_LOG_BLK, "%s", vm_last_error()->message);
}

static const struct vm_drive_ops drive_ops = { .changed = on_changed };

/** The drive for a unit: by name, by place, or for the first one an empty drive. */
static int find_drive(struct vm_dev *dev, unsigned unit, struct vm_drive **drive)
{
    const struct i82077 *s = vm_dev_state(dev);

    if (s->drive_id[unit] != NULL) {
        *drive = vm__drive_find(dev->m, s->drive_id[unit]);
        return *drive != NULL ? VM_OK
                              : vm__fail(VM_E_NOENT, "there is no drive %s", s->drive_id[unit]);
    }
    *drive = vm__drive_at(dev->m, VM_IF_FLOPPY, unit);
    if (*drive == NULL && unit == 0)
        *drive = vm__drive_new(dev->m, "floppy0", VM_IF_FLOPPY, unit);
    return *drive != NULL || unit > 0 ? VM_OK : VM_E_NOMEM;
}

static int attach_drive(struct vm_dev *dev, unsigned unit)
{
    struct i82077 *s = vm_dev_state(dev);
    struct vm_drive *drive;

    int st = find_drive(dev, unit, &drive);
    if (st != VM_OK || drive == NULL)
        return st;
    st = vm__drive_attach(drive, &drive_ops, &s->units[unit]);
    if (st != VM_OK)
        return st;
    drive->removable = true;
    s->floppy[unit].changed = 1; /* until the first step */
    return vm__floppy_attach(&s->floppy[unit], drive, (uint8_t)s->type[unit]);
}

uint8_t vm__i82077_drive_types(struct vm_dev *dev)
{
    const struct i82077 *s = vm_dev_state(dev);
    return (uint8_t)(s->floppy[0].type << 4 | s->floppy[1].type);
}

/* ---- life --------------------------------------------------------------------------------- */

static const struct vm_dma_user dma_ops = { .ready = vm__i82077_pump };

static void on_resume(void *opaque)
{
    vm__i82077_retry(opaque);
}

static void fdc_unrealize(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    vm__i82077_abort(dev);
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        if (s->floppy[i].drive != NULL)
            vm__drive_detach(s->floppy[i].drive);
    vm__dma_detach(s->dmac, s->dma);
}

static int connect(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    struct vm_dev *dmac = vm__dma_of(dev->m);

    int st = vm__dev_map(dev, 0, s->iobase);
    if (st == VM_OK)
        st = vm__dev_map(dev, 1, (uint64_t)s->iobase + DIR_CCR);
    if (st == VM_OK)
        st = vm__dev_line(dev, 0, s->irq);
    if (st == VM_OK && dmac != NULL) {
        st = vm__dma_attach(dmac, s->dma, &dma_ops, dev);
        s->dmac = st == VM_OK ? dmac : NULL;
    }
    for (unsigned i = 0; i < FDC_DRIVES && st == VM_OK; i++)
        st = attach_drive(dev, i);
    return st;
}

static int fdc_realize(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);

    vm__dev_timer(dev, &s->reset_timer, on_reset_timer);
    vm__dev_timer(dev, &s->run_timer, vm__i82077_on_run_timer);
    vm__dev_timer(dev, &s->resume, on_resume);
    for (unsigned i = 0; i < FDC_UNITS; i++) {
        s->units[i] = (struct fdc_unit) { dev, (uint8_t)i };
        vm__timer_init(&s->seek_timer[i], dev->m, vm__i82077_on_seek_timer, &s->units[i]);
    }
    int st = connect(dev);
    if (st != VM_OK)
        fdc_unrealize(dev);
    return st;
}

/** The RESET pin; DOR's reset bit then holds the chip until the guest lets it go. */
static void fdc_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct i82077 *s = vm_dev_state(dev);
    (void)kind;
    s->lock = s->last_eot = s->perpendicular = 0;
    memset(s->specify, 0, sizeof s->specify);
    s->dor = s->dsr = s->tdr = 0;
    s->rate = FLOPPY_250K;
    reset_chip(dev);
    memset(&s->run, 0, sizeof s->run);
}

static int fdc_post_load(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    const struct fdc_run *run = &s->run;

    if (s->phase > FDC_RESULT || s->n_command >= FDC_COMMAND_BYTES ||
        s->n_result > FDC_RESULT_BYTES || s->rate > RATE_BITS || s->lock > 1 ||
        (s->phase == FDC_RESULT && s->result_at >= s->n_result))
        return vm__fail(VM_E_CORRUPT, "floppy controller in phase %u", s->phase);
    if (s->polls > FDC_UNITS || s->seeking > 0xf || s->sought > 0xf)
        return vm__fail(VM_E_CORRUPT, "floppy controller with more than four drives");
    if (run->op > FDC_SCAN_HIGH || run->step > FDC_MOVED || run->unit >= FDC_UNITS ||
        run->head > 1 || run->want > FLOPPY_SECTOR || run->at > run->want ||
        (run->step == FDC_HOST && run->at == run->want))
        return vm__fail(VM_E_CORRUPT, "floppy controller in operation %u, step %u", run->op,
                        run->step);
    for (unsigned i = 0; i < FDC_UNITS; i++)
        if (s->floppy[i].cylinder > FLOPPY_LAST_CYLINDER)
            return vm__fail(VM_E_CORRUPT, "floppy drive at cylinder %u", s->floppy[i].cylinder);
    vm__timer_arm(&s->resume, vm__dev_now(dev));
    return VM_OK;
}

static const struct vm_window windows[] = {
    { "fdc", VM_SPACE_PORT, 6, 1, 1, .read = fdc_read, .write = fdc_write },
    { "dir", VM_SPACE_PORT, 1, 1, 1, .read = dir_read, .write = ccr_write },
    { 0 },
};

static const char *const modes[] = { "at", "ps2", NULL };
static const char *const types[] = { "auto", "360K", "1.2M", "720K", "1.44M", "2.88M", NULL };

/* clang-format off */
static const struct vm_prop props[] = {
    { "iobase", "first of its eight ports, of which the seventh is left out", VM_PROP_UINT(i82077, iobase), .value = "0x3f0", .max = 0xfff8 },
    { "irq", "interrupt line", VM_PROP_UINT(i82077, irq), .value = "6", .max = 15 },
    { "dma", "DMA channel", VM_PROP_UINT(i82077, dma), .value = "2", .max = 7 },
    { "mode", "registers of a PC-AT or a PS/2", VM_PROP_ENUM(i82077, mode), .value = "at", .choices = modes },
    { "drive-a", "id of the first drive; else the one at floppy index 0", VM_PROP_STR(i82077, drive_id[0]) },
    { "drive-b", "id of the second drive; else the one at floppy index 1", VM_PROP_STR(i82077, drive_id[1]) },
    { "type-a", "kind of the first drive; auto: as its first disk needs", VM_PROP_ENUM(i82077, type[0]), .value = "auto", .choices = types },
    { "type-b", "kind of the second drive", VM_PROP_ENUM(i82077, type[1]), .value = "auto", .choices = types },
    { 0 },
};
/* clang-format on */

static const struct vm_field run_fields[] = {
    VM_FIELD(fdc_run, op, 1),
    VM_FIELD(fdc_run, step, 1),
    VM_FIELD(fdc_run, unit, 1),
    VM_FIELD(fdc_run, head, 1),
    VM_FIELD(fdc_run, c, 1),
    VM_FIELD(fdc_run, h, 1),
    VM_FIELD(fdc_run, r, 1),
    VM_FIELD(fdc_run, n, 1),
    VM_FIELD(fdc_run, eot, 1),
    VM_FIELD(fdc_run, st1, 1),
    VM_FIELD(fdc_run, st2, 1),
    VM_FIELD(fdc_run, seeked, 1),
    VM_FIELD(fdc_run, deleted, 1),
    VM_FIELD(fdc_run, ended, 1),
    VM_FIELD(fdc_run, track_sector, 1),
    VM_FIELD(fdc_run, left, 1),
    VM_FIELD(fdc_run, want, 1),
    VM_FIELD(fdc_run, at, 1),
    VM_FIELD_BYTES(fdc_run, buffer, 1),
    VM_FIELD_BYTES(fdc_run, disk, 1),
    { 0 },
};

static const struct vm_field floppy_fields[] = {
    VM_FIELD(floppy, cylinder, 1),
    VM_FIELD(floppy, changed, 1),
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD(i82077, dor, 1),
    VM_FIELD(i82077, dsr, 1),
    VM_FIELD(i82077, tdr, 1),
    VM_FIELD(i82077, rate, 1),
    VM_FIELD(i82077, phase, 1),
    VM_FIELD_BYTES(i82077, command, 1),
    VM_FIELD(i82077, n_command, 1),
    VM_FIELD_BYTES(i82077, result, 1),
    VM_FIELD(i82077, n_result, 1),
    VM_FIELD(i82077, result_at, 1),
    VM_FIELD(i82077, interrupt, 1),
    VM_FIELD_BYTES(i82077, specify, 1),
    VM_FIELD(i82077, config, 1),
    VM_FIELD(i82077, pretrk, 1),
    VM_FIELD(i82077, lock, 1),
    VM_FIELD(i82077, perpendicular, 1),
    VM_FIELD(i82077, last_eot, 1),
    VM_FIELD_BYTES(i82077, pcn, 1),
    VM_FIELD_BYTES(i82077, seek_st0, 1),
    VM_FIELD(i82077, seeking, 1),
    VM_FIELD(i82077, sought, 1),
    VM_FIELD(i82077, polls, 1),
    VM_FIELD_STRUCT(i82077, run, run_fields, 1),
    VM_FIELD_STRUCTS(i82077, floppy, floppy_fields, 1),
    VM_FIELD_TIMER(i82077, reset_timer, 1),
    VM_FIELD_TIMER(i82077, run_timer, 1),
    VM_FIELD_TIMER(i82077, seek_timer[0], 1),
    VM_FIELD_TIMER(i82077, seek_timer[1], 1),
    VM_FIELD_TIMER(i82077, seek_timer[2], 1),
    VM_FIELD_TIMER(i82077, seek_timer[3], 1),
    { 0 },
};

const struct vm_dev_class vm__i82077_class = {
    .name = "i82077",
    .summary = "82077AA floppy disk controller with two drives",
    .spec = "Intel 290166-007",
    .bus = VM_BUS_ISA,
    .state_size = sizeof(struct i82077),
    .windows = windows,
    .props = props,
    .fields = fields,
    .realize = fdc_realize,
    .unrealize = fdc_unrealize,
    .reset = fdc_reset,
    .post_load = fdc_post_load,
};
