/* SPDX-License-Identifier: MIT */
/**
 * @file mc146818.h
 * What a board tells firmware through the real-time clock's battery-backed memory.
 */
#ifndef LIBVM_DEVICES_TIMER_MC146818_H
#define LIBVM_DEVICES_TIMER_MC146818_H

#include <stdint.h>

struct vm_dev;

/** Bytes of CMOS memory by index: 0…0x7F the first bank, 0x80…0xFF the extended one. */
enum {
    VM_CMOS_SHUTDOWN = 0x0f, /**< what firmware does after a reset: [PC-AT] */
    VM_CMOS_FLOPPY = 0x10,   /**< drive types, A in the high nibble */
    VM_CMOS_DISK = 0x12,     /**< fixed disk types, first in the high nibble; 0xF: see 0x19, 0x1A */
    VM_CMOS_EQUIPMENT = 0x14, /**< floppies, display, coprocessor */
    VM_CMOS_BASE_KB = 0x15,   /**< 16 bits: conventional memory */
    VM_CMOS_EXT_KB = 0x17,    /**< 16 bits: memory above 1 MiB, at most 0xFFFF; again at 0x30 */
    VM_CMOS_CHECKSUM = 0x2e,  /**< 16 bits, big-endian: sum of 0x10…0x2D */
    VM_CMOS_EXT_KB_2 = 0x30,
    VM_CMOS_CENTURY = 0x32,
    VM_CMOS_ABOVE_16M = 0x34, /**< 16 bits: 64 KiB units from 16 MiB to 4 GiB */
    VM_CMOS_BOOT_3 = 0x38,    /**< SeaBIOS: third boot device in the high nibble, flags */
    VM_CMOS_BOOT_12 = 0x3d,   /**< SeaBIOS: first boot device low nibble, second high */
    VM_CMOS_ABOVE_4G = 0x5b,  /**< 24 bits: 64 KiB units above 4 GiB */
    VM_CMOS_CPUS = 0x5f,      /**< processors - 1 */
};

/** Read or write a byte of the battery-backed memory; not the clock's own registers (0…0xD). */
uint8_t vm__mc146818_cmos(struct vm_dev *dev, uint8_t index);
void vm__mc146818_set_cmos(struct vm_dev *dev, uint8_t index, uint8_t value);
/** Fill in the memory sizes that firmware reads. */
void vm__mc146818_set_memory(struct vm_dev *dev, uint64_t below_4g, uint64_t above_4g);

#endif
