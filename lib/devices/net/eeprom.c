/* SPDX-License-Identifier: MIT */
/**
 * @file eeprom.c
 * 93C46: instructions of a start bit, two bits of operation and six of address, shifted in at the
 * rising edges of the clock; data of sixteen bits, the highest first. [93C46 "Instruction set"]
 */
#include "devices/net/eeprom.h"

enum { IDLE, COMMAND, READING, WRITING, WRITING_ALL };
enum { OP_SPECIAL = 0, OP_WRITE = 1, OP_READ = 2, OP_ERASE = 3 };
/* OP_SPECIAL: by the two upper bits of the address. */
enum { EWDS = 0, WRAL = 1, ERAL = 2, EWEN = 3 };
enum { COMMAND_BITS = 9, DATA_BITS = 16 };

static void erase_all(struct vm_eeprom *e, uint16_t value)
{
    for (unsigned i = 0; i < EEPROM_WORDS && e->writable; i++)
        e->word[i] = value;
}

static void special(struct vm_eeprom *e)
{
    const unsigned what = e->address >> 4;
    e->state = what == WRAL ? WRITING_ALL : IDLE;
    if (what == EWEN)
        e->writable = 1;
    else if (what == EWDS)
        e->writable = 0;
    else if (what == ERAL)
        erase_all(e, 0xffff);
}

static void command(struct vm_eeprom *e)
{
    e->address = e->opcode & 0x3f;
    e->bits = 0;
    e->data = 0;
    switch (e->opcode >> 6 & 3) {
    case OP_READ:
        e->state = READING;
        e->data = e->word[e->address];
        e->out = 0; /* a dummy bit comes first */
        break;
    case OP_WRITE:
        e->state = WRITING;
        break;
    case OP_ERASE:
        e->state = IDLE;
        if (e->writable)
            e->word[e->address] = 0xffff;
        break;
    case OP_SPECIAL:
        special(e);
        break;
    }
}

/** A rising edge of the clock. */
static void shift(struct vm_eeprom *e, bool di)
{
    switch (e->state) {
    case IDLE: /* waits for the start bit */
        if (di) {
            e->state = COMMAND;
            e->opcode = 1;
            e->bits = 1;
        }
        break;
    case COMMAND:
        e->opcode = (uint16_t)(e->opcode << 1 | di);
        if (++e->bits == COMMAND_BITS)
            command(e);
        break;
    case READING:
        e->out = e->data >> 15;
        e->data = (uint16_t)(e->data << 1);
        if (++e->bits == DATA_BITS) { /* goes on with the next word */
            e->bits = 0;
            e->address = (e->address + 1) & (EEPROM_WORDS - 1);
            e->data = e->word[e->address];
        }
        break;
    default:
        e->data = (uint16_t)(e->data << 1 | di);
        if (++e->bits < DATA_BITS)
            break;
        if (e->state == WRITING_ALL)
            erase_all(e, e->data);
        else if (e->writable)
            e->word[e->address] = e->data;
        e->state = IDLE;
        e->out = 1; /* ready */
        break;
    }
}

void vm__eeprom_lines(struct vm_eeprom *e, bool cs, bool sk, bool di)
{
    if (!cs || !e->cs) {
        e->state = IDLE;
        e->out = 1;
    }
    if (cs && sk && !e->sk)
        shift(e, di);
    e->cs = cs;
    e->sk = sk;
}

void vm__eeprom_fix(struct vm_eeprom *e)
{
    e->address &= EEPROM_WORDS - 1;
    if (e->state > WRITING_ALL || e->bits >= DATA_BITS)
        e->state = IDLE;
}

const struct vm_field vm__eeprom_fields[] = {
    VM_FIELD_ARRAY(vm_eeprom, word, 1),
    VM_FIELD(vm_eeprom, state, 1),
    VM_FIELD(vm_eeprom, bits, 1),
    VM_FIELD(vm_eeprom, address, 1),
    VM_FIELD(vm_eeprom, cs, 1),
    VM_FIELD(vm_eeprom, sk, 1),
    VM_FIELD(vm_eeprom, out, 1),
    VM_FIELD(vm_eeprom, writable, 1),
    VM_FIELD(vm_eeprom, opcode, 1),
    VM_FIELD(vm_eeprom, data, 1),
    { 0 },
};
