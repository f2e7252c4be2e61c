/* SPDX-License-Identifier: MIT */
/**
 * @file drive.h
 * A drive: the seat between a machine's storage device and a block node.
 *
 * Drives come from the configuration keys "drive.0", "drive.1", …:
 *
 *     file=debian.vdi,format=vdi,if=ide,index=0,media=disk,id=hd0,readonly=off,snapshot=on,
 *     cache=writeback,discard=unmap,detect-zeroes=off,werror=enospc,rerror=report,serial=…
 *
 * Everything that is not one of these goes to the node as an option. A board asks for drives by
 * interface and unit, a device by id. A drive with removable media may be empty and may change.
 *
 * Threads: everything here under the machine lock; done() and the device's calls come under it.
 *
 * While the machine is paused nothing is in flight: pausing waits for what is, and holds back what
 * comes. Under an icount clock a request is carried out before submit() returns, and done() comes
 * at a time that depends only on the request, so that a run can be repeated bit for bit.
 */
#ifndef LIBVM_BLOCK_DRIVE_H
#define LIBVM_BLOCK_DRIVE_H

#include "block/request.h"
#include "core/clock.h"

struct vm_machine;
struct vm_dev;

enum vm_drive_if { VM_IF_NONE = 0, VM_IF_IDE, VM_IF_FLOPPY, VM_IF_VIRTIO, VM_IF_SCSI, VM_IF_SD };
enum vm_drive_error { VM_ERR_REPORT = 0, VM_ERR_IGNORE, VM_ERR_STOP, VM_ERR_ENOSPC };

/** The device's side. Any call may be NULL. */
struct vm_drive_ops {
    /** The medium is another one, or gone (vm__drive_size() is 0 then). */
    void (*changed)(void *opaque);
    /** The monitor asks for the medium: the guest may hold it. True: it may be taken out now. */
    bool (*eject_request)(void *opaque, bool force);
    /** The node got another size. */
    void (*resized)(void *opaque);
};

/** A device's request. */
struct vm_drive_req {
    uint32_t op; /**< enum vm_io_op */
    uint32_t flags;
    uint64_t off, len; /**< bytes; any range outside the medium fails with VM_E_RANGE */
    struct vm_sg sg;
    void (*done)(struct vm_drive_req *r, int status); /**< never before submit() has returned */
    void *opaque;
    /* The drive's. */
    struct vm_drive *drive;
    struct vm_blk_req io;
    struct vm_drive_req *next, **prev;
    uint32_t state;
    int status;
    struct vm_timer timer; /**< icount */
};

struct vm_drive {
    struct vm_machine *m;
    char *id;     /**< "ide0-hd0", "floppy0", or as given */
    char *serial; /**< NULL: the device makes one up */
    enum vm_drive_if interface;
    uint32_t unit;               /**< index in its interface: IDE: 2 * bus + unit */
    bool cdrom;                  /**< media=cdrom */
    bool removable;              /**< a device has said so, or cdrom or floppy */
    bool read_only;              /**< of the medium that is in */
    bool tray_open, tray_locked; /**< kept by the device; for info and eject */
    bool used;                   /**< a device sits on it */
    enum vm_drive_error on_read_error, on_write_error;
    struct vm_blk *node; /**< NULL: empty */
    const struct vm_drive_ops *ops;
    void *opaque;
    struct vm_drive_req *flying;
    struct vm_drive *next;
    struct vm_drives *all;
};

/** Open what the configuration names. For the board's build(), before its devices. */
int vm__drives_open(struct vm_machine *m);
/** The drive at a place of an interface, or NULL. */
struct vm_drive *vm__drive_at(struct vm_machine *m, enum vm_drive_if interface, uint32_t unit);
struct vm_drive *vm__drive_find(struct vm_machine *m, const char *id);
struct vm_drive *vm__drive_next(struct vm_machine *m,
                                const struct vm_drive *after); /**< NULL: first */
/** An empty one with removable media, for a device that has none configured. */
struct vm_drive *vm__drive_new(struct vm_machine *m, const char *id, enum vm_drive_if interface,
                               uint32_t unit);

/** A device takes its seat. @retval VM_E_BUSY another one sits there */
int vm__drive_attach(struct vm_drive *d, const struct vm_drive_ops *ops, void *opaque);
void vm__drive_detach(struct vm_drive *d); /**< waits for what is in flight */

bool vm__drive_has_medium(const struct vm_drive *d);
uint64_t vm__drive_size(const struct vm_drive *d); /**< bytes; 0 without a medium */

void vm__drive_submit(struct vm_drive *d, struct vm_drive_req *r);
/** Take a request back, if it is not being carried out: true, and done() will not come. */
bool vm__drive_cancel(struct vm_drive_req *r);
/** Wait for all that is in flight (done() is called). For reset and detach. */
void vm__drive_drain(struct vm_drive *d);
/** At once, on this thread: for small things at reset or when a guest can only wait. */
int vm__drive_read_now(struct vm_drive *d, uint64_t off, void *buf, size_t len);

/* The monitor's side: eject, change, block_resize. */
int vm__drive_eject(struct vm_drive *d, bool force);
int vm__drive_insert(struct vm_drive *d, const char *file, const char *format, bool read_only);
int vm__drive_resize(struct vm_drive *d, uint64_t size);
/** snapshot=on drives: write what changed into the image below. "commit" */
int vm__drive_commit(struct vm_drive *d);

#endif
