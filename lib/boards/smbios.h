/* SPDX-License-Identifier: MIT */
/**
 * @file smbios.h
 * The SMBIOS tables of a board: what `dmidecode` shows.
 *
 * Two byte images: the structures, and the 31-byte entry point that systems look for between
 * 0xF0000 and 0xFFFFF. Whoever places the structures writes their address into the entry point:
 * firmware, or vm__smbios_place().
 *
 * Spec: [SMBIOS] version 2.8, the last with a 32-bit entry point only.
 */
#ifndef LIBVM_BOARDS_SMBIOS_H
#define LIBVM_BOARDS_SMBIOS_H

#include <stdint.h>

#include "boards/acpi/blob.h"

struct smbios_params {
    const char *product;   /**< what the board calls itself */
    const char *cpu_model; /**< what the processors are called */
    const uint8_t *uuid;   /**< 16 bytes as text spells them; NULL: none */
    uint32_t n_cpus;
    uint32_t bios_kib;          /**< size of the firmware ROM; 0: there is none */
    uint64_t low_ram, high_ram; /**< bytes from 0, and from 4 GiB */
};

enum { SMBIOS_ENTRY_BYTES = 31 };

struct smbios_image {
    struct acpi_blob tables;
    uint8_t entry[SMBIOS_ENTRY_BYTES];
};

/** @retval VM_E_NOMEM */
int vm__smbios_build(struct smbios_image *img, const struct smbios_params *params);
void vm__smbios_place(struct smbios_image *img, uint32_t tables_gpa);
void vm__smbios_fini(struct smbios_image *img);

#endif
