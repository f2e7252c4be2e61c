/* SPDX-License-Identifier: MIT */
/**
 * @file ssdt.c
 * The part of the namespace that depends on how the machine is configured: processors, PCI
 * windows and interrupt routing.
 *
 * Spec: [ACPI-6.5 §6.2.13] _PRT, [ACPI-6.5 §6.4] resource descriptors.
 */
#include <stdio.h>
#include <string.h>

#include "boards/acpi/acpi.h"

enum { PCI_SLOTS = 32, PCI_PINS = 4, RESOURCE_END = 0x79 };

/* Address space descriptors [ACPI-6.5 §6.4.3.5]. */
enum space_type { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2 };
enum {
    SPACE_WORD = 0x88,
    SPACE_DWORD = 0x87,
    SPACE_QWORD = 0x8a,
    SPACE_FIXED = 0x0c,  /* producer, positive decode, minimum and maximum fixed */
    SPACE_IO_ALL = 0x03, /* ISA and non-ISA ranges */
    SPACE_MEM_RW = 0x01, /* writable, not cacheable */
    SPACE_MEM_CACHED = 0x03,
};

/** One window [first, last]; @p size is 2, 4 or 8. */
static void put_space(struct acpi_blob *b, unsigned size, enum space_type type, uint8_t type_flags,
                      uint64_t first, uint64_t last)
{
    uint8_t tag = size == 2 ? SPACE_WORD : size == 4 ? SPACE_DWORD : SPACE_QWORD;
    const uint64_t fields[] = { 0 /* granularity */, first, last, 0 /* translation */,
                                last - first + 1 };
    vm__blob_u8(b, tag);
    vm__blob_u16(b, (uint16_t)(3 + 5 * size));
    vm__blob_u8(b, (uint8_t)type);
    vm__blob_u8(b, SPACE_FIXED);
    vm__blob_u8(b, type_flags);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        size_t at = vm__blob_grow(b, size);
        vm__blob_set(b, at, size, fields[i]);
    }
}

/** The configuration ports, which the bridge itself uses [ACPI-6.5 §6.4.2.5]. */
static void put_config_ports(struct acpi_blob *b)
{
    static const uint8_t io[] = { 0x47, 0x01, 0xf8, 0x0c, 0xf8, 0x0c, 0x01, 0x08 };
    vm__blob_put(b, io, sizeof io);
}

static void put_pci_resources(struct acpi_blob *b, const struct acpi_params *params)
{
    put_space(b, 2, SPACE_BUS, 0, 0, 0xff);
    put_config_ports(b);
    put_space(b, 2, SPACE_IO, SPACE_IO_ALL, 0x0000, 0x0cf7);
    put_space(b, 2, SPACE_IO, SPACE_IO_ALL, 0x0d00, 0xffff);
    put_space(b, 4, SPACE_MEMORY, SPACE_MEM_CACHED, 0xa0000, 0xbffff);
    put_space(b, 4, SPACE_MEMORY, SPACE_MEM_RW, params->pci_base, params->pci_last);
    if (params->pci64_size != 0)
        put_space(b, 8, SPACE_MEMORY, SPACE_MEM_CACHED, params->pci64_base,
                  params->pci64_base + params->pci64_size - 1);
    vm__blob_u8(b, RESOURCE_END);
    vm__blob_u8(b, 0); /* "checksum is right" */
}

static void add_crs(struct acpi_blob *b, const struct acpi_params *params)
{
    struct acpi_blob res = { 0 };
    put_pci_resources(&res, params);
    vm__aml_name(b, "_CRS");
    size_t buffer = vm__aml_buffer(b, (uint16_t)res.len);
    if (res.failed)
        b->failed = true;
    else
        vm__blob_put(b, res.data, res.len);
    vm__aml_end(b, buffer);
    vm__blob_free(&res);
}

static void add_prt(struct acpi_blob *b, const struct acpi_params *params)
{
    static const char *const links[] = { "LNKA", "LNKB", "LNKC", "LNKD" };
    vm__aml_name(b, "_PRT");
    size_t table = vm__aml_package(b, PCI_SLOTS * PCI_PINS);
    for (unsigned dev = 0; dev < PCI_SLOTS; dev++) {
        for (unsigned pin = 0; pin < PCI_PINS; pin++) {
            size_t row = vm__aml_package(b, 4);
            vm__aml_int(b, (uint64_t)dev << 16 | 0xffff); /* any function */
            vm__aml_int(b, pin);
            vm__aml_path(b, links[params->pirq(dev, pin) & 3]);
            vm__aml_int(b, 0);
            vm__aml_end(b, row);
        }
    }
    vm__aml_end(b, table);
}

/** Processor objects reach id 254; beyond that a device says it [ACPI-6.5 §8.4]. */
static void add_processors(struct acpi_blob *b, uint32_t n_cpus)
{
    for (uint32_t i = 0; i < n_cpus; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "C%03X", i & 0xfff);
        if (i < 0xff) {
            vm__aml_end(b, vm__aml_processor(b, name, (uint8_t)i));
            continue;
        }
        size_t dev = vm__aml_device(b, name);
        vm__aml_name(b, "_HID");
        vm__aml_string(b, "ACPI0007");
        vm__aml_name_int(b, "_UID", i);
        vm__aml_end(b, dev);
    }
}

/** Sleep states: SLP_TYP values of the PIIX4 [PIIX4 §7.2.3]. S5 is in the DSDT. */
static void add_sleep(struct acpi_blob *b)
{
    vm__aml_name(b, "\\_S3");
    size_t package = vm__aml_package(b, 4);
    vm__aml_int(b, 1);
    vm__aml_int(b, 1);
    vm__aml_int(b, 0);
    vm__aml_int(b, 0);
    vm__aml_end(b, package);
}

void vm__acpi_ssdt(struct acpi_image *img, const struct acpi_params *params)
{
    struct acpi_blob *b = &img->part[ACPI_TABLES];
    size_t t = vm__acpi_table_begin(img, "SSDT", 1);
    if (params->can_sleep)
        add_sleep(b);
    size_t sb = vm__aml_scope(b, "\\_SB");
    add_processors(b, params->n_cpus);
    vm__aml_end(b, sb);
    size_t pci = vm__aml_scope(b, "\\_SB.PCI0");
    add_crs(b, params);
    add_prt(b, params);
    vm__aml_end(b, pci);
    vm__acpi_table_end(img, t);
}
