/* SPDX-License-Identifier: MIT */
/**
 * @file acpi.h
 * The ACPI tables of a board, made from a description of it.
 *
 * Two byte images come out: the tables, which may lie anywhere below 4 GiB, and the root pointer
 * (RSDP), which old systems look for between 0xE0000 and 0xFFFFF. Pointers and checksums in them
 * are listed, so that either the board fixes them (vm__acpi_place) or firmware does, told by a
 * list of commands made from the same entries.
 *
 * Spec: [ACPI-6.5 §5.2] for the tables, [HPET §3.2.4] for HPET's. The revisions chosen are those of
 * ACPI 3.0, which every guest from Windows XP to today's reads.
 */
#ifndef LIBVM_BOARDS_ACPI_ACPI_H
#define LIBVM_BOARDS_ACPI_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boards/acpi/blob.h"

/** Which optional parts the machine has: bits of \DEVS, which the DSDT's _STA methods read. */
enum acpi_dev {
    ACPI_DEV_COM1 = 1 << 0, /* COM2 to COM4 are the next three bits */
    ACPI_DEV_KBD = 1 << 4,
    ACPI_DEV_MOUSE = 1 << 5,
    ACPI_DEV_FDC = 1 << 6,
    ACPI_DEV_LPT = 1 << 7,
    ACPI_DEV_HPET = 1 << 8,
    ACPI_DEV_PVPANIC = 1 << 9,
    ACPI_DEV_FW_CFG = 1 << 10,
};

struct acpi_params {
    uint32_t n_cpus;                              /**< local APIC ids are 0 to n_cpus - 1 */
    uint32_t devs;                                /**< enum acpi_dev */
    bool has_vga;                                 /**< text at 0xB8000 answers */
    bool can_sleep;                               /**< firmware can wake the machine from S3 */
    uint16_t pm_base;                             /**< I/O base of the PM block */
    uint16_t smi_port;                            /**< 0: the machine is always in ACPI mode */
    uint8_t acpi_enable, acpi_disable;            /**< commands to smi_port */
    uint32_t hpet_id;                             /**< low half of the HPET's capability register */
    uint32_t pci_base;                            /**< 32-bit PCI window: first address */
    uint32_t pci_last;                            /**< and last */
    uint64_t pci64_base, pci64_size;              /**< 64-bit PCI window; size 0: none */
    uint32_t hotplug_slots;                       /**< PCI slots that can be filled and emptied */
    unsigned (*pirq)(unsigned dev, unsigned pin); /**< PIRQ 0..3 of a bus 0 device's INTA..D 0..3 */
};

/** The general purpose event that tells of hot-plug: its method is called _E01. */
enum { ACPI_GPE_HOTPLUG = 1 };

enum acpi_image_part { ACPI_TABLES, ACPI_RSDP, ACPI_PARTS };

/** Add the final address of the tables to the @p size bytes at @p at. */
struct acpi_pointer {
    uint32_t part, at, size;
};

/** Byte at @p at makes [start, start + len) sum to 0. Done after the pointers, in order. */
struct acpi_checksum {
    uint32_t part, at, start, len;
};

enum { ACPI_MAX_POINTERS = 24, ACPI_MAX_CHECKSUMS = 12, ACPI_NVS_BYTES = 4096 };

struct acpi_image {
    struct acpi_blob part[ACPI_PARTS]; /**< tables: the first ACPI_NVS_BYTES are not reclaimable */
    struct acpi_pointer pointers[ACPI_MAX_POINTERS];
    struct acpi_checksum checksums[ACPI_MAX_CHECKSUMS];
    uint32_t n_pointers, n_checksums;
};

/** @return VM_OK or VM_E_NOMEM */
int vm__acpi_build(struct acpi_image *img, const struct acpi_params *params);
void vm__acpi_fini(struct acpi_image *img);

/** Fix every pointer and checksum for tables at @p tables_gpa; once per image. */
void vm__acpi_place(struct acpi_image *img, uint32_t tables_gpa);

/** What the parts are called among the files of fw_cfg. */
#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE   "etc/acpi/rsdp"

/**
 * The commands by which firmware places an image that vm__acpi_place() has not touched, to be given
 * to it as the file "etc/table-loader". The caller frees @p out.
 * @retval VM_E_NOMEM
 */
int vm__acpi_loader(const struct acpi_image *img, struct acpi_blob *out);

/* Between the files of this folder. */
size_t vm__acpi_table_begin(struct acpi_image *img, const char *signature, uint8_t revision);
void vm__acpi_table_end(struct acpi_image *img, size_t table);
void vm__acpi_ssdt(struct acpi_image *img, const struct acpi_params *params);

#endif
