/* SPDX-License-Identifier: MIT */
/**
 * @file ata_disk.h
 * An ATA hard disk's state, for the files that make it up.
 */
#ifndef LIBVM_DEVICES_STORAGE_ATA_DISK_H
#define LIBVM_DEVICES_STORAGE_ATA_DISK_H

#include "devices/storage/ide.h"

enum {
    ATA_MULTIPLE_MOST = 16, /**< sectors in a block of READ MULTIPLE */
    ATA_TRIM_BLOCKS = 8,    /**< of 64 ranges, in one DATA SET MANAGEMENT */
    ATA_SERIAL = 20,
    ATA_FIRMWARE = 8,
    ATA_MODEL = 40,

    ATA_UDMA_MODES = 6, /**< 0 to 5 */
    ATA_MWDMA_MODES = 3,
    ATA_PIO_MODE = 4,
};

enum ata_power { ATA_ACTIVE = 0, ATA_STANDBY, ATA_SLEEP };

struct ata_geometry {
    uint32_t cyls, heads, secs;
};

struct ide_hd {
    struct ide_unit u;

    /* Properties. */
    const char *drive, *bus, *serial, *model, *version;
    uint32_t unit;
    uint64_t wwn;                 /**< 0: none */
    struct ata_geometry geometry; /**< what IDENTIFY tells */
    uint16_t rotation;            /**< 0: not reported, 1: no rotation, else per minute */

    char made_serial[ATA_SERIAL + 1];
    uint64_t sectors; /**< of the medium */

    /* Saved. */
    struct ata_geometry now; /**< after INITIALIZE DEVICE PARAMETERS */
    uint8_t multiple;        /**< sectors; 0: off */
    uint8_t transfer_mode;   /**< as SET FEATURES had it: 0x20 + n, 0x40 + n */
    uint8_t write_cache, look_ahead, smart, smart_autosave;
    uint8_t revert; /**< a software reset brings the defaults back */
    uint8_t power;  /**< enum ata_power */
};

/** IDENTIFY DEVICE, 512 bytes. ata_identify.c */
void vm__ata_identify(const struct ide_hd *d, uint8_t *to);
/** A page of SMART READ DATA (0xD0) or READ THRESHOLDS (0xD1), or a log. */
void vm__ata_smart_data(uint8_t *to);
void vm__ata_smart_thresholds(uint8_t *to);
/** @return bytes; 0: no such log */
uint32_t vm__ata_smart_log(uint8_t *to, uint8_t log);
/** The last byte makes the sum of all 512 zero. */
void vm__ata_checksum(uint8_t *sector);

#endif
