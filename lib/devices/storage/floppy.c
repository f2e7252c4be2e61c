/* SPDX-License-Identifier: MIT */
/**
 * @file floppy.c
 * Floppy disk drives and the formats of disks.
 *
 * Spec: [ECMA-125] and its kin for the standard formats; [PC-AT §1] for drive types; [FAT §3.1] for
 * the size that a boot sector names.
 */
#include "devices/storage/floppy.h"

#include <inttypes.h>

#include "base/bits.h"
#include "base/endian.h"
#include "base/error.h"

/* Fields of a FAT boot sector. [FAT §3.1] */
enum {
    BPB_SECTOR_BYTES = 11,
    BPB_SECTORS = 19,
    BPB_MEDIA = 21,
    BOOT_SIGNATURE = 510,
    SHORT_SECTORS = 2880, /* of the disk that a short image is the start of */
};

/* clang-format off */
static const struct floppy_format formats[] = {
    /* in all, cylinders, heads, sectors of a track */
    { 320,  40, 1, 8,  FLOPPY_250K, FLOPPY_360K },
    { 360,  40, 1, 9,  FLOPPY_250K, FLOPPY_360K },
    { 640,  40, 2, 8,  FLOPPY_250K, FLOPPY_360K },
    { 720,  40, 2, 9,  FLOPPY_250K, FLOPPY_360K },
    { 1440, 80, 2, 9,  FLOPPY_250K, FLOPPY_1440K },
    { 2400, 80, 2, 15, FLOPPY_500K, FLOPPY_1200K },
    { 2880, 80, 2, 18, FLOPPY_500K, FLOPPY_1440K },
    { 3360, 80, 2, 21, FLOPPY_500K, FLOPPY_1440K }, /* 1.68 MB, "DMF" */
    { 3444, 82, 2, 21, FLOPPY_500K, FLOPPY_1440K }, /* 1.72 MB */
    { 5760, 80, 2, 36, FLOPPY_1M,   FLOPPY_2880K },
};
/* clang-format on */

const struct floppy_format *vm__floppy_format(uint64_t size)
{
    for (size_t i = 0; i < VM_COUNT_OF(formats); i++)
        if (size == (uint64_t)formats[i].sectors_in_all * FLOPPY_SECTOR)
            return &formats[i];
    return NULL;
}

/** The start of a 1.44 MB disk, by its boot sector; see the header. */
static bool is_short_boot_disk(struct floppy *f)
{
    uint8_t boot[FLOPPY_SECTOR];

    if (f->size >= SHORT_SECTORS * FLOPPY_SECTOR || f->size % FLOPPY_SECTOR != 0 || f->size == 0 ||
        vm__drive_read_now(f->drive, 0, boot, sizeof boot) != VM_OK ||
        vm_le16(boot + BOOT_SIGNATURE) != 0xaa55)
        return false;
    const bool has_bpb =
        vm_le16(boot + BPB_SECTOR_BYTES) == FLOPPY_SECTOR && boot[BPB_MEDIA] >= 0xf0;
    return !has_bpb || (uint64_t)vm_le16(boot + BPB_SECTORS) * FLOPPY_SECTOR <= f->size;
}

int vm__floppy_look(struct floppy *f)
{
    f->format = NULL;
    f->size = 0;
    f->read_only = true;
    if (f->drive == NULL || !vm__drive_has_medium(f->drive))
        return VM_OK;
    f->size = vm__drive_size(f->drive);
    f->format = vm__floppy_format(f->size);
    f->read_only = f->drive->read_only;
    if (f->format == NULL && is_short_boot_disk(f)) {
        f->format = vm__floppy_format(SHORT_SECTORS * FLOPPY_SECTOR);
        f->read_only = true;
    }
    if (f->format == NULL)
        return vm__fail(VM_E_INVAL,
                        "%s: the image has %" PRIu64
                        " bytes, which is no floppy disk's size (1.44 MB "
                        "are 1474560)",
                        f->drive->id, f->size);
    return VM_OK;
}

int vm__floppy_attach(struct floppy *f, struct vm_drive *drive, uint8_t type)
{
    f->drive = drive;
    f->type = type;
    int st = vm__floppy_look(f);
    if (st == VM_OK && f->type == FLOPPY_AUTO)
        f->type = f->format != NULL ? f->format->type : (uint8_t)FLOPPY_1440K;
    return st;
}

void vm__floppy_step(struct floppy *f, int steps)
{
    const int to = f->cylinder + steps;

    if (steps == 0 || f->drive == NULL)
        return;
    f->cylinder = (uint8_t)(to < 0 ? 0 : to > FLOPPY_LAST_CYLINDER ? FLOPPY_LAST_CYLINDER : to);
    if (vm__drive_has_medium(f->drive))
        f->changed = 0;
}

/** A disk of the 5.25" drive with 40 cylinders in the one with 80, which also turns faster. */
static bool is_double_stepped(const struct floppy *f)
{
    return f->type == FLOPPY_1200K && f->format->type == FLOPPY_360K;
}

int vm__floppy_cylinder(const struct floppy *f)
{
    if (f->format == NULL)
        return -1;
    const bool twice = is_double_stepped(f);
    const int cylinder = twice ? f->cylinder / 2 : f->cylinder;
    return (twice && (f->cylinder & 1)) || cylinder >= f->format->cylinders ? -1 : cylinder;
}

bool vm__floppy_sector(const struct floppy *f, unsigned head, unsigned sector, uint64_t *off)
{
    const struct floppy_format *format = f->format;
    const int cylinder = vm__floppy_cylinder(f);

    if (cylinder < 0 || head >= format->heads || sector < 1 || sector > format->sectors)
        return false;
    *off = (((uint64_t)cylinder * format->heads + head) * format->sectors + sector - 1) *
           FLOPPY_SECTOR;
    return true;
}

bool vm__floppy_track_readable(const struct floppy *f, unsigned head, unsigned rate, bool mfm)
{
    uint64_t off;
    return mfm && vm__floppy_sector(f, head, 1, &off) &&
           rate == (is_double_stepped(f) ? (unsigned)FLOPPY_300K : f->format->rate);
}
