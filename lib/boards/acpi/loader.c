/* SPDX-License-Identifier: MIT */
/**
 * @file loader.c
 * Commands that tell firmware how to place the tables: allocate a file, add a file's address to a
 * pointer in another, fix a checksum.
 *
 * Spec: [fw_cfg] the file etc/table-loader: entries of 128 bytes, little-endian; file names take 56
 * bytes. SeaBIOS and OVMF carry the commands out in order.
 */
#include <string.h>

#include "base/error.h"
#include "boards/acpi/acpi.h"

enum {
    ENTRY = 128,
    NAME = 56,
    ALLOCATE = 1,
    ADD_POINTER = 2,
    ADD_CHECKSUM = 3,
    ZONE_HIGH = 1,
    ZONE_FSEG = 2,
    FACS_ALIGN = 64,
    RSDP_ALIGN = 16,
};

static const char *const names[ACPI_PARTS] = { ACPI_TABLES_FILE, ACPI_RSDP_FILE };

static size_t begin(struct acpi_blob *b, uint32_t command)
{
    size_t at = vm__blob_grow(b, ENTRY);
    vm__blob_set(b, at, 4, command);
    return at + 4;
}

static void set_name(struct acpi_blob *b, size_t at, uint32_t part)
{
    if (!b->failed)
        memcpy(b->data + at, names[part], strlen(names[part]));
}

static void allocate(struct acpi_blob *b, uint32_t part, uint32_t align, uint8_t zone)
{
    size_t at = begin(b, ALLOCATE);
    set_name(b, at, part);
    vm__blob_set(b, at + NAME, 4, align);
    vm__blob_set(b, at + NAME + 4, 1, zone);
}

static void add_pointer(struct acpi_blob *b, const struct acpi_pointer *p)
{
    size_t at = begin(b, ADD_POINTER);
    set_name(b, at, p->part);
    set_name(b, at + NAME, ACPI_TABLES);
    vm__blob_set(b, at + 2 * NAME, 4, p->at);
    vm__blob_set(b, at + 2 * NAME + 4, 1, p->size);
}

static void add_checksum(struct acpi_blob *b, const struct acpi_checksum *c)
{
    size_t at = begin(b, ADD_CHECKSUM);
    set_name(b, at, c->part);
    vm__blob_set(b, at + NAME, 4, c->at);
    vm__blob_set(b, at + NAME + 4, 4, c->start);
    vm__blob_set(b, at + NAME + 8, 4, c->len);
}

int vm__acpi_loader(const struct acpi_image *img, struct acpi_blob *out)
{
    *out = (struct acpi_blob) { 0 };
    allocate(out, ACPI_TABLES, FACS_ALIGN, ZONE_HIGH);
    allocate(out, ACPI_RSDP, RSDP_ALIGN, ZONE_FSEG);
    for (uint32_t i = 0; i < img->n_pointers; i++)
        add_pointer(out, &img->pointers[i]);
    for (uint32_t i = 0; i < img->n_checksums; i++)
        add_checksum(out, &img->checksums[i]);
    if (!out->failed)
        return VM_OK;
    vm__blob_free(out);
    return vm__fail(VM_E_NOMEM, "out of memory");
}
