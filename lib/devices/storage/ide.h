/* SPDX-License-Identifier: MIT */
/**
 * @file ide.h
 * An ATA channel, the units on it, and how a command's data moves.
 *
 * A *channel* is a cable: two sets of ports, an interrupt, a bus master and up to two units. A
 * *unit* is a disk or a CD-ROM drive: a device of its own (classes ide-hd, ide-cd) that sits on a
 * channel of the controller (class piix3_ide). Registers are the channel's business
 * (ide_channel.c), commands the unit's (ata_disk.c, atapi.c), and in between stands the mover
 * (ide_unit.c): a unit tells it what is to be moved between medium, buffer, host and memory, and
 * hears when that is done.
 *
 * Everything a transfer depends on is saved state: what step it is at, where on the medium, how
 * much is left, where in the buffer or the descriptor table. A request to the drive can be issued
 * again from that alone, which is what happens to one that a snapshot caught waiting.
 *
 * Spec: [ATA-7 §5, §6] registers, [ATA-7 §9] protocols; [BMIDE] bus master.
 */
#ifndef LIBVM_DEVICES_STORAGE_IDE_H
#define LIBVM_DEVICES_STORAGE_IDE_H

#include "block/drive.h"
#include "core/device.h"
#include "core/dma.h"

enum {
    IDE_CHANNELS = 2,
    IDE_UNITS = 2,
    IDE_UNIT_ANY = 255, /**< the property's value for the first free one */
    IDE_SECTOR = 512,
    IDE_BUFFER = 32768, /**< of a unit: what is read ahead of a host that takes it word by word */
    IDE_PIECES = 256,   /**< of guest memory in one request */
    IDE_DMA_MOST = 1 << 20, /**< bytes in one request */

    IDE_ERR = 0x01, /* status; CHK of packet devices */
    IDE_DRQ = 0x08,
    IDE_DSC = 0x10,
    IDE_DF = 0x20,
    IDE_DRDY = 0x40,
    IDE_BSY = 0x80,

    IDE_ABRT = 0x04, /* error */
    IDE_IDNF = 0x10,
    IDE_WP = 0x40, /* of a write */
    IDE_UNC = 0x40,

    IDE_DEV = 0x10, /* device */
    IDE_LBA = 0x40,

    IDE_NIEN = 0x02, /* device control */
    IDE_SRST = 0x04,
    IDE_HOB = 0x80,
};

struct ide_unit;

/** The registers a 48-bit command writes twice. */
struct ide_task {
    uint8_t feature, count, low, mid, high;
};

/** Where the bus master is in its descriptor table. */
struct ide_prd {
    uint32_t next;          /**< the descriptor to be read next */
    uint32_t address, left; /**< of the one being worked off */
    uint8_t last;           /**< that one ends the table */
};

/** A channel's half of the bus master. ide_dma.c */
struct ide_bm {
    uint8_t command, status;
    uint32_t table;
    struct ide_prd prd;
};

struct ide_channel {
    struct vm_dev *dev; /**< the controller; output pin @p number is the interrupt */
    uint8_t number;
    struct ide_unit *unit[IDE_UNITS]; /**< NULL: nothing there */

    /* Saved. */
    uint8_t selected; /**< device bit of the last write to the device register */
    uint8_t control;  /**< device control */
    uint8_t line;     /**< level of INTRQ */
    struct ide_bm bm;
};

extern const struct vm_field vm__ide_channel_fields[];

/** What the current command is at. */
enum ide_step {
    IDE_NONE = 0,
    IDE_DATA_IN,    /**< the host reads buffer[pos, end) */
    IDE_DATA_OUT,   /**< the host writes it */
    IDE_FILL,       /**< medium to buffer */
    IDE_DRAIN,      /**< buffer[pos, have) to medium */
    IDE_DMA,        /**< between medium and guest memory */
    IDE_DMA_BUFFER, /**< between buffer[pos, have) and guest memory */
    IDE_VERIFY,     /**< medium to nowhere */
    IDE_FLUSH,
    IDE_TRIM, /**< ranges listed in the buffer */
    IDE_STEPS
};

/** What a disk or a CD-ROM drive adds to the mover. */
struct ide_unit_ops {
    uint32_t sector; /**< bytes that a request to the medium is a multiple of */
    /** Begin a command; the status says BSY. */
    void (*command)(struct ide_unit *u, uint8_t command);
    /** After reset: signature in the registers, and the status. */
    void (*post)(struct ide_unit *u);
    /** All is moved. While step is IDE_DATA_IN it was the host that took the last of it. */
    void (*done)(struct ide_unit *u);
    /** The medium refused at u->at. */
    void (*failed)(struct ide_unit *u, int status);
    /** buffer[0, have) has come from the host. */
    void (*received)(struct ide_unit *u);
    /** A block of @p n bytes is about to be moved by the host: set the registers. May be NULL. */
    void (*announce)(struct ide_unit *u, uint32_t n, bool to_host);
    /** Make @p n sectors of @p u->out bytes each out of buffer[0, n * sector). May be NULL. */
    void (*expand)(struct ide_unit *u, uint32_t n);
    /** The next range to discard; false: no more. May be NULL. */
    bool (*trim)(struct ide_unit *u, uint64_t *off, uint64_t *len);
};

struct ide_unit {
    struct vm_dev *dev;
    const struct ide_unit_ops *ops;
    struct ide_channel *channel;
    uint8_t number;
    struct vm_drive *drive;

    /* Saved. */
    struct ide_task now, before; /**< as written last, and the time before that */
    uint8_t device;              /**< without its DEV bit */
    uint8_t status, error;
    uint8_t intrq;
    uint8_t command;
    uint8_t step;      /**< enum ide_step */
    uint8_t dma;       /**< the data goes by DMA */
    uint8_t write;     /**< from the host to here */
    uint8_t to_buffer; /**< and no further */
    uint8_t fua;       /**< and to stable storage */
    uint8_t careful;   /**< a request has failed: sector by sector, to find which */
    uint64_t at;       /**< on the medium, bytes */
    uint64_t left;     /**< between medium and here, bytes */
    uint32_t block;    /**< most bytes the host moves between two interrupts */
    uint32_t out;      /**< bytes the host sees of a sector; 0: all of them, as they are */
    uint32_t pos, end, have;
    uint8_t buffer[IDE_BUFFER];

    /* Rebuilt. */
    struct vm_timer resume;
    struct vm_drive_req req;
    bool flying;    /**< req is with the drive */
    bool bounce;    /**< it uses the buffer instead of guest memory */
    uint64_t chunk; /**< its bytes */
    struct ide_prd prd_after;
    uint32_t n_pieces;
    struct vm_dma_piece piece[IDE_PIECES];
    struct vm_iov iov[IDE_PIECES];
};

extern const struct vm_field vm__ide_unit_fields[];

/* ---- ide_channel.c ------------------------------------------------------------------------ */

uint64_t vm__ide_read(struct ide_channel *ch, uint64_t off, unsigned size);
void vm__ide_write(struct ide_channel *ch, uint64_t off, unsigned size, uint64_t value);
uint8_t vm__ide_alt_status(const struct ide_channel *ch);
void vm__ide_control(struct ide_channel *ch, uint8_t value);
/** RESET# of the cable. */
void vm__ide_channel_reset(struct ide_channel *ch);
/** Bring the interrupt line in accordance with the units. */
void vm__ide_update_irq(struct ide_channel *ch);

/* ---- ide_dma.c ---------------------------------------------------------------------------- */

uint8_t vm__ide_bm_read(const struct ide_channel *ch, unsigned off);
void vm__ide_bm_write(struct ide_channel *ch, unsigned off, uint8_t value);
void vm__ide_bm_reset(struct ide_bm *bm);
/** It has been started and waits for data. */
bool vm__ide_bm_ready(const struct ide_channel *ch);
/** INTRQ has risen. */
void vm__ide_bm_interrupt(struct ide_bm *bm);
/**
 * Map guest memory for the unit's next request: at most @p want bytes in whole sectors into
 * u->piece and u->iov, and u->prd_after.
 * @return bytes mapped; 0: what comes next is not plain memory, or the table ends
 */
size_t vm__ide_bm_map(struct ide_unit *u, size_t want, bool to_guest);
void vm__ide_bm_unmap(struct ide_unit *u, bool written);
/** Bytes, at most @p want, that the table still has from @p prd on. */
size_t vm__ide_bm_room(struct ide_channel *ch, struct ide_prd prd, size_t want);
/** Copy between a buffer and guest memory, and move on. @return bytes before the table ended */
size_t vm__ide_bm_copy(struct ide_channel *ch, struct ide_prd *prd, uint8_t *buf, size_t len,
                       bool to_guest);
/** The request has ended: take its place in the table as ours. */
void vm__ide_bm_commit(struct ide_channel *ch, const struct ide_prd *prd);

/* ---- ide_unit.c --------------------------------------------------------------------------- */

/** realize() of a unit's class: find channel and drive. @p bus is "ide.N" or NULL: any. */
int vm__ide_unit_init(struct ide_unit *u, struct vm_dev *dev, const struct ide_unit_ops *ops,
                      const char *bus, uint32_t unit);
void vm__ide_unit_fini(struct ide_unit *u);
/** Give up what is going on; waits for a request that is being carried out. */
void vm__ide_stop(struct ide_unit *u);
/** post_load(): check the ranges; what was under way goes on when the machine does. */
int vm__ide_unit_post_load(struct ide_unit *u);

/** Carry on with the current step. */
void vm__ide_issue(struct ide_unit *u);
/** The host reads buffer[0, len), in blocks. */
void vm__ide_send(struct ide_unit *u, uint32_t len);
/** The host writes @p len bytes into the buffer; then received(). */
void vm__ide_receive(struct ide_unit *u, uint32_t len);
/** @p len bytes at @p at of the medium, to or from the host as u->dma and u->write say. */
void vm__ide_move(struct ide_unit *u, uint64_t at, uint64_t len);
/** Steps without data. */
void vm__ide_do(struct ide_unit *u, enum ide_step step);

uint32_t vm__ide_data_read(struct ide_unit *u, unsigned size);
void vm__ide_data_write(struct ide_unit *u, unsigned size, uint32_t value);

/** End the command: step, status, error, and an interrupt. */
void vm__ide_end(struct ide_unit *u, uint8_t status, uint8_t error, bool interrupt);

/** A property's or the drive's text, or the default, padded with blanks, as words of two
 *  characters with the first in the upper byte. [ATA-7 §6.17.8] */
void vm__ide_text(uint8_t *to, size_t len, const char *text);

/* ---- piix3_ide.c -------------------------------------------------------------------------- */

/** Channel @p n of the machine's IDE controller; NULL if there is none. */
struct ide_channel *vm__ide_channel(struct vm_machine *m, uint32_t n);

#endif
