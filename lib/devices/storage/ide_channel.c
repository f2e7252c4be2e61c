/* SPDX-License-Identifier: MIT */
/**
 * @file ide_channel.c
 * The registers of an ATA channel: which unit answers, resets, the interrupt.
 *
 * Spec: [ATA-7 §6] (volume 2) registers; §9.2 software reset; §9.16 channels with one unit.
 */
#include "core/machine.h"
#include "devices/storage/ide.h"

enum {
    DATA = 0,
    ERROR, /* written: features */
    COUNT,
    LBA_LOW,
    LBA_MID,
    LBA_HIGH,
    DEVICE,
    STATUS, /* written: command */

    FLOATING = 0x7f, /* nobody drives the bus, and DD7 is pulled down */
    DEVICE_ONES = 0xa0,
    DIAGNOSTIC = 0x90,
    DEVICE_RESET = 0x08,
    PASSED = 0x01,
};

static struct ide_unit *selected(const struct ide_channel *ch)
{
    return ch->unit[ch->selected];
}

/** Who answers: unit 0 does for a missing unit 1. */
static struct ide_unit *answering(const struct ide_channel *ch)
{
    struct ide_unit *u = selected(ch);
    return u != NULL ? u : ch->selected == 1 ? ch->unit[0] : NULL;
}

/** Unit 0 answers for a missing unit 1, whose status is 0. */
uint8_t vm__ide_alt_status(const struct ide_channel *ch)
{
    const struct ide_unit *u = selected(ch);
    if (u != NULL)
        return u->status;
    return answering(ch) != NULL ? 0 : FLOATING;
}

void vm__ide_update_irq(struct ide_channel *ch)
{
    const struct ide_unit *u = selected(ch);
    uint8_t level = u != NULL && u->intrq && !(ch->control & IDE_NIEN);
    if (level && !ch->line)
        vm__ide_bm_interrupt(&ch->bm);
    ch->line = level;
    vm__dev_irq(ch->dev, ch->number, level);
}

/* ---- reading ------------------------------------------------------------------------------ */

static uint8_t read_task(const struct ide_channel *ch, const struct ide_unit *u, unsigned reg)
{
    const struct ide_task *t = ch->control & IDE_HOB ? &u->before : &u->now;
    switch (reg) {
    case COUNT:
        return t->count;
    case LBA_LOW:
        return t->low;
    case LBA_MID:
        return t->mid;
    default:
        return t->high;
    }
}

static uint8_t read_register(struct ide_channel *ch, unsigned reg)
{
    struct ide_unit *u = answering(ch);
    if (u == NULL)
        return FLOATING;
    switch (reg) {
    case ERROR:
        return u->error;
    case DEVICE:
        return u->device | DEVICE_ONES | (ch->selected ? IDE_DEV : 0);
    case STATUS:
        if (u == selected(ch)) {
            u->intrq = 0;
            vm__ide_update_irq(ch);
        }
        return vm__ide_alt_status(ch);
    default:
        return read_task(ch, u, reg);
    }
}

uint64_t vm__ide_read(struct ide_channel *ch, uint64_t off, unsigned size)
{
    if (off == DATA) {
        struct ide_unit *u = selected(ch);
        return u != NULL ? vm__ide_data_read(u, size) : UINT32_MAX;
    }
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)read_register(ch, ((unsigned)off + i) & 7) << 8 * i;
    return v;
}

/* ---- writing ------------------------------------------------------------------------------ */

/** Both units see what is written; one that is busy, or has data to move, does not take it. */
static void write_task(struct ide_unit *u, unsigned reg, uint8_t v)
{
    if (u == NULL || (u->status & (IDE_BSY | IDE_DRQ)))
        return;
    struct ide_task *now = &u->now, *before = &u->before;
    switch (reg) {
    case ERROR:
        before->feature = now->feature;
        now->feature = v;
        break;
    case COUNT:
        before->count = now->count;
        now->count = v;
        break;
    case LBA_LOW:
        before->low = now->low;
        now->low = v;
        break;
    case LBA_MID:
        before->mid = now->mid;
        now->mid = v;
        break;
    case LBA_HIGH:
        before->high = now->high;
        now->high = v;
        break;
    default:
        u->device = v & (uint8_t) ~(IDE_DEV | DEVICE_ONES);
        break;
    }
}

/** Every unit tests itself, and says so in its registers; unit 0 is selected. */
static void diagnose(struct ide_channel *ch)
{
    ch->selected = 0;
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        struct ide_unit *u = ch->unit[i];
        if (u == NULL)
            continue;
        vm__ide_stop(u);
        u->now = u->before = (struct ide_task) { .count = 1, .low = 1 };
        u->device = 0;
        u->intrq = 0;
        u->error = PASSED;
        u->ops->post(u);
    }
}

static void write_command(struct ide_channel *ch, uint8_t command)
{
    struct ide_unit *u = selected(ch);

    if (command == DIAGNOSTIC && !(ch->control & IDE_SRST)) {
        diagnose(ch);
        if (ch->unit[0] != NULL)
            ch->unit[0]->intrq = 1;
    } else if (u != NULL && (!(u->status & (IDE_BSY | IDE_DRQ)) ||
                             (command == DEVICE_RESET && !(ch->control & IDE_SRST)))) {
        vm__ide_stop(u);
        u->intrq = 0;
        vm__ide_update_irq(ch);
        u->command = command;
        u->error = 0;
        u->status = IDE_BSY;
        u->dma = u->write = u->to_buffer = u->fua = u->careful = 0;
        u->out = 0;
        u->ops->command(u, command);
    }
    vm__ide_update_irq(ch);
}

static void write_register(struct ide_channel *ch, unsigned reg, uint8_t v)
{
    ch->control &= (uint8_t)~IDE_HOB;
    if (reg == STATUS) {
        write_command(ch, v);
        return;
    }
    write_task(ch->unit[0], reg, v);
    write_task(ch->unit[1], reg, v);
    if (reg == DEVICE) {
        ch->selected = (v & IDE_DEV) != 0;
        vm__ide_update_irq(ch);
    }
}

void vm__ide_write(struct ide_channel *ch, uint64_t off, unsigned size, uint64_t value)
{
    if (off == DATA) {
        struct ide_unit *u = selected(ch);
        if (u != NULL)
            vm__ide_data_write(u, size, (uint32_t)value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        write_register(ch, ((unsigned)off + i) & 7, (uint8_t)(value >> 8 * i));
}

/* ---- resets ------------------------------------------------------------------------------- */

void vm__ide_control(struct ide_channel *ch, uint8_t value)
{
    uint8_t old = ch->control;
    ch->control = value;
    if (value & IDE_SRST) {
        for (unsigned i = 0; i < IDE_UNITS; i++) {
            struct ide_unit *u = ch->unit[i];
            if (u == NULL)
                continue;
            vm__ide_stop(u);
            u->intrq = 0;
            u->status = IDE_BSY;
        }
    } else if (old & IDE_SRST) {
        diagnose(ch);
    }
    vm__ide_update_irq(ch);
}

void vm__ide_channel_reset(struct ide_channel *ch)
{
    ch->control = 0;
    vm__ide_bm_reset(&ch->bm);
    diagnose(ch);
    vm__ide_update_irq(ch);
}

static const struct vm_field prd_fields[] = {
    VM_FIELD(ide_prd, next, 1),
    VM_FIELD(ide_prd, address, 1),
    VM_FIELD(ide_prd, left, 1),
    VM_FIELD(ide_prd, last, 1),
    { 0 },
};

static const struct vm_field bm_fields[] = {
    VM_FIELD(ide_bm, command, 1),
    VM_FIELD(ide_bm, status, 1),
    VM_FIELD(ide_bm, table, 1),
    VM_FIELD_STRUCT(ide_bm, prd, prd_fields, 1),
    { 0 },
};

const struct vm_field vm__ide_channel_fields[] = {
    VM_FIELD(ide_channel, selected, 1),
    VM_FIELD(ide_channel, control, 1),
    VM_FIELD(ide_channel, line, 1),
    VM_FIELD_STRUCT(ide_channel, bm, bm_fields, 1),
    { 0 },
};
