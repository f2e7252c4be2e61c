/* SPDX-License-Identifier: MIT */
/**
 * @file eeprom.h
 * A serial EEPROM of 64 words, 93C46, behind the four lines of a network card.
 *
 * Spec: [93C46]. Programming takes no time.
 */
#ifndef LIBVM_DEVICES_NET_EEPROM_H
#define LIBVM_DEVICES_NET_EEPROM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/field.h"

enum { EEPROM_WORDS = 64 };

struct vm_eeprom {
    uint16_t word[EEPROM_WORDS];
    uint8_t state; /**< enum in eeprom.c */
    uint8_t bits;  /**< shifted in, resp. out, so far */
    uint8_t address;
    uint8_t cs, sk, out; /**< lines */
    uint8_t writable;    /**< EWEN was given */
    uint16_t opcode;     /**< start bit, operation and address as they come */
    uint16_t data;
};

extern const struct vm_field vm__eeprom_fields[];

/** The card drives chip select, clock and data in. */
void vm__eeprom_lines(struct vm_eeprom *e, bool cs, bool sk, bool di);
/** What data out shows. */
static inline bool vm__eeprom_out(const struct vm_eeprom *e)
{
    return e->out;
}
/** After loading: ranges. */
void vm__eeprom_fix(struct vm_eeprom *e);

#endif
