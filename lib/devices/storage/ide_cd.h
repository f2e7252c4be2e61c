/* SPDX-License-Identifier: MIT */
/**
 * @file ide_cd.h
 * An ATAPI CD-ROM drive's state, for the files that make it up.
 *
 * atapi.c has the packet protocol, the table of commands and what every SCSI device answers;
 * mmc_read.c reads sectors and tables of contents; mmc_info.c tells of drive and disc; mmc_mode.c
 * has the mode pages.
 */
#ifndef LIBVM_DEVICES_STORAGE_IDE_CD_H
#define LIBVM_DEVICES_STORAGE_IDE_CD_H

#include "devices/storage/ide.h"

enum {
    CD_SECTOR = 2048,
    CD_RAW = 2352,        /**< sync, header, data, error correction */
    CD_LEAD_IN = 150,     /**< sectors before number 0: MSF addresses count from there */
    CD_PACKET = 12,       /**< bytes of a command */
    CD_MOST = 450000,     /**< sectors: more cannot be a CD, so it is a DVD */
    CD_TRACK_DATA = 0x14, /**< ADR 1, control 4: a data track */
    CD_LEAD_OUT = 0xaa,
};

/** Sense: key << 16 | ASC << 8 | ASCQ. [SPC-3 §4.5.6] */
enum cd_sense {
    CD_GOOD = 0,
    CD_NO_MEDIUM = 0x023a01,
    CD_TRAY_OPEN = 0x023a02,
    CD_READ_ERROR = 0x031100,
    CD_NO_SUCH_LBA = 0x052100,
    CD_BAD_COMMAND = 0x052000,
    CD_BAD_FIELD = 0x052400,
    CD_BAD_LUN = 0x052500,
    CD_BAD_PARAMETER = 0x052600,
    CD_BAD_LENGTH = 0x051a00,
    CD_NO_SAVED_PAGES = 0x053900,
    CD_LOCKED = 0x055302,
    CD_WRONG_MEDIUM = 0x053002,
    CD_WRONG_MODE = 0x056400,
    CD_NEW_MEDIUM = 0x062800,
    CD_WAS_RESET = 0x062900,
};

/** What GET EVENT STATUS NOTIFICATION tells of the medium: [MMC-5 table 299]. */
enum cd_event { CD_EVENT_NONE = 0, CD_EVENT_EJECT = 1, CD_EVENT_NEW = 2, CD_EVENT_GONE = 3 };

struct ide_cd {
    struct ide_unit u;

    /* Properties. */
    const char *drive, *bus, *serial, *model, *version;
    uint32_t unit;

    char made_serial[20];

    /* Saved. */
    uint8_t cdb[CD_PACKET];
    uint8_t expecting; /**< the packet itself is on its way */
    uint8_t want_dma;
    uint16_t limit;     /**< bytes between two interrupts: the packet's byte count */
    uint32_t sense;     /**< of the last command */
    uint32_t attention; /**< to be told with the next command; CD_GOOD: nothing */
    uint8_t event;      /**< enum cd_event, not told yet */
    uint8_t tray_open, locked;
    uint8_t raw;           /**< READ CD: which parts of a sector, byte 9 of the command */
    uint8_t transfer_mode; /**< SET FEATURES */
    uint8_t error_recovery, audio_flags;
};

static inline struct ide_cd *vm__cd_of(struct ide_unit *u)
{
    return VM_CONTAINER_OF(u, struct ide_cd, u);
}
static inline bool vm__cd_has_disc(const struct ide_cd *s)
{
    return !s->tray_open && vm__drive_has_medium(s->u.drive);
}
/** Sectors of the disc. */
static inline uint32_t vm__cd_blocks(const struct ide_cd *s)
{
    return (uint32_t)vm_min_u64(vm__drive_size(s->u.drive) / CD_SECTOR, UINT32_MAX);
}
static inline bool vm__cd_is_dvd(const struct ide_cd *s)
{
    return vm__cd_blocks(s) > CD_MOST;
}

/* How a command ends: with one of these. atapi.c */
void vm__cd_ok(struct ide_cd *s);
void vm__cd_fail(struct ide_cd *s, enum cd_sense sense);
/** The first @p len bytes of the buffer, or @p allocated if that is less. */
void vm__cd_reply(struct ide_cd *s, uint32_t len, uint32_t allocated);
/** @p len zeroed bytes of the buffer to fill in. */
uint8_t *vm__cd_buffer(struct ide_cd *s, uint32_t len);
void vm__cd_put_msf(uint8_t *to, uint32_t lba);

/* mmc_read.c */
void vm__cd_read10(struct ide_cd *s);
void vm__cd_read12(struct ide_cd *s);
void vm__cd_read_cd(struct ide_cd *s);
void vm__cd_read_cd_msf(struct ide_cd *s);
void vm__cd_read_capacity(struct ide_cd *s);
void vm__cd_read_toc(struct ide_cd *s);
void vm__cd_read_header(struct ide_cd *s);
void vm__cd_read_subchannel(struct ide_cd *s);
void vm__cd_seek(struct ide_cd *s);
void vm__cd_verify(struct ide_cd *s);
void vm__cd_expand(struct ide_unit *u, uint32_t n);

/* mmc_info.c */
void vm__cd_get_configuration(struct ide_cd *s);
void vm__cd_get_event_status(struct ide_cd *s);
void vm__cd_mechanism_status(struct ide_cd *s);
void vm__cd_read_disc_information(struct ide_cd *s);
void vm__cd_read_track_information(struct ide_cd *s);
void vm__cd_read_format_capacities(struct ide_cd *s);
void vm__cd_read_dvd_structure(struct ide_cd *s);
void vm__cd_get_performance(struct ide_cd *s);

/* mmc_mode.c */
void vm__cd_mode_sense6(struct ide_cd *s);
void vm__cd_mode_sense10(struct ide_cd *s);
void vm__cd_mode_select6(struct ide_cd *s);
void vm__cd_mode_select10(struct ide_cd *s);
void vm__cd_mode_selected(struct ide_cd *s);
void vm__cd_mode_reset(struct ide_cd *s);

#endif
