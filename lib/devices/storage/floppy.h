/* SPDX-License-Identifier: MIT */
/**
 * @file floppy.h
 * Floppy disk drives: heads that move, a disk that may be changed, and the formats disks have.
 *
 * A disk is told by the size of its image. Sectors have 512 bytes and lie in the image by cylinder,
 * head and number, as every raw floppy image has them.
 */
#ifndef LIBVM_DEVICES_STORAGE_FLOPPY_H
#define LIBVM_DEVICES_STORAGE_FLOPPY_H

#include <stdbool.h>
#include <stdint.h>

#include "block/drive.h"

enum { FLOPPY_SECTOR = 512, FLOPPY_LAST_CYLINDER = 83 /* where the heads can go */ };

/** What stands in the CMOS memory for a drive. [PC-AT §1 "Diskette drive type byte"] */
enum floppy_type {
    FLOPPY_AUTO = 0, /**< as the first disk needs; without one, a 1.44 MB drive */
    FLOPPY_360K,
    FLOPPY_1200K,
    FLOPPY_720K,
    FLOPPY_1440K,
    FLOPPY_2880K,
};

/** Data rates, as the controller's registers name them. */
enum floppy_rate { FLOPPY_500K = 0, FLOPPY_300K, FLOPPY_250K, FLOPPY_1M };

/** How a disk is laid out. */
struct floppy_format {
    uint16_t sectors_in_all;
    uint8_t cylinders, heads, sectors; /**< sectors of a track */
    uint8_t rate;                      /**< enum floppy_rate */
    uint8_t type;                      /**< enum floppy_type of the drive that it belongs in */
};

struct floppy {
    struct vm_drive *drive;             /**< NULL: no drive at this unit */
    const struct floppy_format *format; /**< NULL: no disk, or none that can be read */
    uint64_t size;                      /**< bytes of the image; a short one ends early */
    bool read_only;
    uint8_t type;     /**< enum floppy_type, never FLOPPY_AUTO after vm__floppy_attach() */
    uint8_t cylinder; /**< where the heads are */
    uint8_t changed;  /**< the disk change line: set by a change, cleared by a step */
};

/** The format of an image of this size, or NULL. */
const struct floppy_format *vm__floppy_format(uint64_t size);
/**
 * Look at the disk that is in the drive now.
 *
 * An image that is shorter than any format is taken if it starts with a boot sector that does not
 * describe a larger disk: such images are made to be written over the start of a 1.44 MB disk. What
 * it lacks reads as zeros, and it is write-protected.
 *
 * @retval VM_E_INVAL the size is no floppy disk's; it has no format then
 */
int vm__floppy_look(struct floppy *f);
/** The same for the drive's first disk; chooses the type of an automatic drive. */
int vm__floppy_attach(struct floppy *f, struct vm_drive *drive, uint8_t type);

/** Move the heads by @p steps, inwards if positive, as far as they go. */
void vm__floppy_step(struct floppy *f, int steps);
/** The cylinder that the track under the heads belongs to; -1: the disk has none there. */
int vm__floppy_cylinder(const struct floppy *f);
/** The byte offset of a sector of the track under the heads; false if the disk has none such. */
bool vm__floppy_sector(const struct floppy *f, unsigned head, unsigned sector, uint64_t *off);
/** The track under the heads can be read with these settings. */
bool vm__floppy_track_readable(const struct floppy *f, unsigned head, unsigned rate, bool mfm);

#endif
