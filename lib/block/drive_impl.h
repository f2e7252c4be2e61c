/* SPDX-License-Identifier: MIT */
/**
 * @file drive_impl.h
 * A machine's drives together. For lib/block.
 */
#ifndef LIBVM_BLOCK_DRIVE_IMPL_H
#define LIBVM_BLOCK_DRIVE_IMPL_H

#include "block/drive.h"

struct vm_drives {
    struct vm_machine *m;
    struct vm_drive *list; /**< in the order of the configuration */
    bool paused;           /**< what comes is held back */
    bool icount;
};

/** Made at first use; NULL with the error set. Under the machine lock. */
struct vm_drives *vm__drives(struct vm_machine *m);

/** What a drive is to be, as the configuration says. */
struct vm_drive_spec {
    char *file, *format, *id, *serial;
    struct vm_blk_options *rest; /**< for the node */
    uint32_t flags;              /**< enum vm_open_flags */
    enum vm_drive_if interface;
    bool has_unit, snapshot, cdrom;
    uint32_t unit;
    enum vm_drive_error on_read_error, on_write_error;
};
/** Parse "file=…,if=…"; free with vm__drive_spec_free() also on failure. */
int vm__drive_spec_parse(struct vm_drive_spec *s, const char *text);
void vm__drive_spec_free(struct vm_drive_spec *s);
/** Units of an interface; 0: no limit. */
uint32_t vm__drive_units(enum vm_drive_if interface);

/** Open a medium: the file, behind a temporary overlay if @p snapshot. */
struct vm_blk *vm__drive_open_medium(struct vm_machine *m, const char *file, const char *format,
                                     struct vm_blk_options *o, uint32_t flags, bool snapshot);

#endif
