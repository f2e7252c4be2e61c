/* SPDX-License-Identifier: MIT */
/**
 * @file firmware.h
 * Firmware and option ROM images from the host's packages.
 *
 * Found in the folders of the configuration key "firmware.path", in order. A name with a slash is a
 * path and is taken as it is. What is not there is one clear error that names the Debian package.
 */
#ifndef LIBVM_CORE_FIRMWARE_H
#define LIBVM_CORE_FIRMWARE_H

#include <stddef.h>
#include <stdint.h>

struct vm_machine;

/** A whole file. */
struct vm_file {
    uint8_t *data; /**< at least one byte is allocated */
    size_t len;
};

/**
 * The bytes of a firmware or ROM image.
 *
 * @param name    file name, "bios-256k.bin", or a path
 * @param package the Debian package it comes from, for the message; NULL: not known
 * @param max     most bytes it may have
 * @param out     on success, to be given to vm__file_free()
 * @retval VM_E_NOENT  no folder has it: "bios-256k.bin not found in …: install the package seabios"
 * @retval VM_E_RANGE  it is empty or longer than @p max
 */
int vm__firmware_find(struct vm_machine *m, const char *name, const char *package, size_t max,
                      struct vm_file *out);

/**
 * Read whatever can be read to its end: plain files, pipes.
 * @retval VM_E_NOENT, VM_E_IO with the host's reason
 * @retval VM_E_RANGE longer than @p max
 */
int vm__file_read(const char *path, uint64_t max, struct vm_file *out);
void vm__file_free(struct vm_file *f);

#endif
