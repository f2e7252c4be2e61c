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

/* ---- slots whose devices come and go [ACPI-6.5 §6.3] ---- */

enum { NOTIFY_DEVICE_CHECK = 1, NOTIFY_EJECT = 3 }; /* [ACPI-6.5 §5.6.6] */

static const char *slot_name(char *name, unsigned slot)
{
    (void)snprintf(name, 8, "SL%02X", slot & 0xff);
    return name;
}

/** A slot: where it is, what it is called, and how it is emptied. */
static void add_slot(struct acpi_blob *b, unsigned slot)
{
    char name[8];
    size_t dev = vm__aml_device(b, slot_name(name, slot));
    vm__aml_name_int(b, "_ADR", (uint64_t)slot << 16);
    vm__aml_name_int(b, "_SUN", slot);
    size_t method = vm__aml_method(b, "_EJ0", 1);
    vm__aml_path(b, "\\_SB.PCI0.PEJ0");
    vm__aml_int(b, UINT32_C(1) << slot);
    vm__aml_end(b, method);
    vm__aml_end(b, dev);
}

/** PHNT (slots, what happened): tell each slot. */
static void add_notifier(struct acpi_blob *b, uint32_t slots)
{
    size_t method = vm__aml_method(b, "PHNT", 2);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (!(slots & UINT32_C(1) << slot))
            continue;
        char name[8];
        size_t clause = vm__aml_if_arg_has(b, 0, UINT32_C(1) << slot);
        vm__aml_notify(b, slot_name(name, slot), 1);
        vm__aml_end(b, clause);
    }
    vm__aml_end(b, method);
}

static void add_hotplug(struct acpi_blob *b, uint32_t slots)
{
    static const struct {
        const char *reg;
        unsigned what;
    } steps[] = { { "\\_SB.PCI0.PHUP", NOTIFY_DEVICE_CHECK }, { "\\_SB.PCI0.PHDN", NOTIFY_EJECT } };

    size_t pci = vm__aml_scope(b, "\\_SB.PCI0");
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
        if (slots & UINT32_C(1) << slot)
            add_slot(b, slot);
    add_notifier(b, slots);
    vm__aml_end(b, pci);

    size_t gpe = vm__aml_scope(b, "\\_GPE");
    size_t event = vm__aml_method(b, "_E01", 0); /* ACPI_GPE_HOTPLUG, on its edge */
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        vm__aml_take_local0(b, steps[i].reg);
        vm__aml_path(b, "\\_SB.PCI0.PHNT");
        vm__aml_local0(b);
        vm__aml_int(b, steps[i].what);
    }
    vm__aml_end(b, event);
    vm__aml_end(b, gpe);
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
    if (params->hotplug_slots != 0)
        add_hotplug(b, params->hotplug_slots);
    vm__acpi_table_end(img, t);
}
