/* SPDX-License-Identifier: MIT */
/**
 * @file pc_storage.c
 * The IDE controller of the PIIX3, and on it the drives that the configuration puts there.
 */
#include "base/error.h"
#include "block/drive.h"
#include "boards/pc.h"
#include "core/device.h"

enum { IDE_PLACES = 4 };

static int add_unit(struct pc *pc, const struct vm_drive *drive, unsigned place)
{
    const char *const buses[] = { "ide.0", "ide.1" };
    const char *const units[] = { "0", "1" };
    const struct vm_setting settings[] = {
        { "drive", drive->id },
        { "bus", buses[place / 2] },
        { "unit", units[place % 2] },
        { 0 },
    };
    const struct vm_dev_class *cls = vm__pc_class(pc, drive->cdrom ? "ide-cd" : "ide-hd");
    if (cls == NULL || vm__dev_add(pc->m, cls, NULL, settings) == NULL)
        return vm_last_error()->code;
    return VM_OK;
}

int vm__pc_build_virtio_drives(struct pc *pc)
{
    for (const struct vm_drive *d = vm__drive_next(pc->m, NULL); d != NULL;
         d = vm__drive_next(pc->m, d)) {
        const struct vm_setting settings[] = { { "drive", d->id }, { 0 } };
        if (d->interface == VM_IF_VIRTIO &&
            vm__pc_plug(pc->m, "virtio-blk-pci", NULL, settings) == NULL)
            return vm_last_error()->code;
    }
    return VM_OK;
}

int vm__pc_build_drives(struct pc *pc)
{
    return vm__drives_open(pc->m);
}

int vm__pc_build_ide(struct pc *pc)
{
    const unsigned devfn = PC_ISA_DEV << 3 | PC_IDE_FUNCTION;
    if (vm__pc_add_pci(pc, vm__pc_class(pc, "piix3_ide"), "ide", devfn, NULL) == NULL)
        return vm_last_error()->code;
    for (const struct vm_drive *d = vm__drive_next(pc->m, NULL); d != NULL;
         d = vm__drive_next(pc->m, d))
        if (d->interface == VM_IF_IDE && d->unit >= IDE_PLACES)
            return vm__fail(VM_E_RANGE, "drive %s: IDE has no unit %u; there are 0 to 3", d->id,
                            d->unit);
    for (unsigned i = 0; i < IDE_PLACES; i++) {
        const struct vm_drive *drive = vm__drive_at(pc->m, VM_IF_IDE, i);
        int st = drive != NULL ? add_unit(pc, drive, i) : VM_OK;
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}
