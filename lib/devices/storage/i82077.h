/* SPDX-License-Identifier: MIT */
/**
 * @file i82077.h
 * The floppy disk controller: for the board, and between its files.
 */
#ifndef LIBVM_DEVICES_STORAGE_I82077_H
#define LIBVM_DEVICES_STORAGE_I82077_H

#include "core/device.h"
#include "devices/storage/floppy.h"

enum { FDC_DRIVES = 2, FDC_UNITS = 4 /* that the chip can tell apart */ };

/** Types of both drives as CMOS memory holds them: A in the high nibble. */
uint8_t vm__i82077_drive_types(struct vm_dev *dev);

/* ---- between i82077.c, i82077_control.c and i82077_data.c ---- */

enum {
    DOR_SELECT = 0x03,
    DOR_RESET_N = 0x04,
    DOR_DMAGATE = 0x08,
    DOR_MOTORS = 0xf0,

    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_POLLED = 0xc0,
    ST0_SEEK_END = 0x20,
    ST0_EQUIPMENT = 0x10,

    ST1_MISSING_AM = 0x01,
    ST1_NOT_WRITABLE = 0x02,
    ST1_NO_DATA = 0x04,
    ST1_DATA_ERROR = 0x20,
    ST1_END_OF_CYLINDER = 0x80,

    ST2_SCAN_NOT_SATISFIED = 0x04,
    ST2_SCAN_EQUAL = 0x08,
    ST2_WRONG_CYLINDER = 0x10,
    ST2_DATA_ERROR = 0x20,
    ST2_CONTROL_MARK = 0x40,

    CMD_MT = 0x80,
    CMD_MFM = 0x40,
    CMD_SK = 0x20,

    CONFIG_EIS = 0x40,

    FDC_COMMAND_BYTES = 9,
    FDC_RESULT_BYTES = 10,
};

enum fdc_phase { FDC_COMMAND, FDC_EXECUTE, FDC_RESULT };

enum fdc_op {
    FDC_READ,
    FDC_WRITE,
    FDC_FORMAT,
    FDC_READ_TRACK,
    FDC_READ_ID,
    FDC_VERIFY,
    FDC_SCAN_EQUAL,
    FDC_SCAN_LOW,
    FDC_SCAN_HIGH,
};

enum fdc_mode { FDC_AT, FDC_PS2 };

/** What a data command waits for. */
enum fdc_step {
    FDC_NOTHING,
    FDC_SEARCH, /**< the next sector to come under the head */
    FDC_DISK,   /**< the drive to carry out a request */
    FDC_PASSED, /**< the sector to have passed */
    FDC_HOST,   /**< the processor or DMA to move .want bytes */
    FDC_MOVED,  /**< a moment after that */
};

/** A data command that is going on. */
struct fdc_run {
    uint8_t op;   /**< enum fdc_op */
    uint8_t step; /**< enum fdc_step */
    uint8_t unit, head;
    uint8_t c, h, r, n; /**< the sector looked for, and in the end the result */
    uint8_t eot;
    uint8_t st1, st2;
    uint8_t seeked;       /**< an implied seek was made */
    uint8_t deleted;      /**< a command about deleted data */
    uint8_t ended;        /**< terminal count was seen */
    uint8_t track_sector; /**< READ TRACK: the one under the head; FORMAT: its fill byte */
    uint16_t left;        /**< sectors: FORMAT, READ TRACK, VERIFY with a count; 0: to EOT */
    uint16_t want, at;    /**< bytes for the host, and how many of them were moved */
    uint8_t buffer[FLOPPY_SECTOR];
    uint8_t disk[FLOPPY_SECTOR]; /**< SCAN: what the host's bytes are compared with */
};

/** A timer's or a drive's way back to the controller. */
struct fdc_unit {
    struct vm_dev *dev;
    uint8_t unit;
};

struct i82077 {
    uint16_t iobase;
    uint8_t irq, dma;
    uint32_t mode;                    /**< enum fdc_mode: the IDENT and MFM pins */
    uint32_t type[FDC_DRIVES];        /**< enum floppy_type wished for */
    const char *drive_id[FDC_DRIVES]; /**< NULL: the drive configured at that place */

    uint8_t dor, dsr, tdr;
    uint8_t rate;  /**< enum floppy_rate */
    uint8_t phase; /**< enum fdc_phase */
    uint8_t command[FDC_COMMAND_BYTES], n_command;
    uint8_t result[FDC_RESULT_BYTES], n_result, result_at;
    uint8_t interrupt; /**< the INT pin, before the gate in DOR */

    uint8_t specify[2];    /**< as written: SRT and HUT, HLT and ND */
    uint8_t config;        /**< EIS, EFIFO, POLL, FIFOTHR */
    uint8_t pretrk, lock;  /**< lock: 0 or 1 */
    uint8_t perpendicular; /**< D3…D0, GAP, WGATE in bits 5…0 */
    uint8_t last_eot;      /**< SC of the last FORMAT or EOT of the last transfer, for DUMPREG */

    uint8_t pcn[FDC_UNITS];      /**< where the chip believes the heads are */
    uint8_t seek_st0[FDC_UNITS]; /**< for SENSE INTERRUPT after the seek */
    uint8_t seeking, sought; /**< bit n: unit n is on its way; has arrived and not been sensed */
    uint8_t polls;           /**< units still to be sensed after a reset */

    struct fdc_run run;
    struct floppy floppy[FDC_UNITS];
    struct vm_timer reset_timer, run_timer, seek_timer[FDC_UNITS];

    /* Not saved. */
    struct vm_timer resume;
    struct fdc_unit units[FDC_UNITS];
    struct vm_dev *dmac; /**< NULL: no DMA in this machine */
    struct vm_drive_req req;
    struct vm_iov iov;
    bool in_flight; /**< req is */
};

/** The drive turns: its select line is active only with its motor. [82077AA §2.1.2] */
static inline bool fdc_is_turning(const struct i82077 *s, unsigned unit)
{
    return s->dor >> (4 + unit) & 1;
}

/** In a PC-AT the gate bit of DOR lets INT and DRQ out. [82077AA §2.1.2] */
static inline bool fdc_gate_is_open(const struct i82077 *s)
{
    return s->mode != FDC_AT || (s->dor & DOR_DMAGATE);
}

static inline bool fdc_uses_dma(const struct i82077 *s)
{
    return !(s->specify[1] & 1);
}

/* i82077.c */
/** INT and DRQ pins as the state and DOR want them. */
void vm__i82077_update(struct vm_dev *dev);
/** Raise INT. */
void vm__i82077_interrupt(struct vm_dev *dev);

/* i82077_control.c */
/** A byte of a command; the last one carries it out. */
void vm__i82077_command(struct vm_dev *dev, uint8_t byte);
void vm__i82077_on_seek_timer(void *unit);
/** Go to the result phase with what stands in .result. */
void vm__i82077_result(struct vm_dev *dev, unsigned n);
/** Time the heads need for some cylinders. */
uint64_t vm__i82077_seek_ns(unsigned steps);

/* i82077_data.c */
/** Carry out the data command in .command. */
void vm__i82077_start(struct vm_dev *dev, enum fdc_op op);
/** Forget it, whatever it waits for. */
void vm__i82077_abort(struct vm_dev *dev);
/** The host may have become able to move bytes by DMA. */
void vm__i82077_pump(void *opaque);
/** Programmed I/O: a byte for or from the host; with step FDC_HOST. */
uint8_t vm__i82077_give(struct vm_dev *dev);
void vm__i82077_take(struct vm_dev *dev, uint8_t byte);
/** The host reads, as opposed to writes, in this command's execution phase. */
bool vm__i82077_to_host(const struct i82077 *s);
void vm__i82077_on_run_timer(void *opaque);
/** After loading: ask the drive again for what was on its way. */
void vm__i82077_retry(struct vm_dev *dev);

#endif
