/* SPDX-License-Identifier: MIT */
/**
 * @file smbios.c
 * SMBIOS structures. See smbios.h.
 *
 * Spec: [SMBIOS §5.2.1] entry point, [SMBIOS §6.1] structures and their strings, [SMBIOS §7.n] for
 * type n - 1; offsets below are from there.
 */
#include "boards/smbios.h"

#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"

enum {
    HEADER = 4,
    NO_HANDLE = 0xffff,
    NO_ERROR_HANDLE = 0xfffe,
    DIMM_BYTES_LOG2 = 34, /* 16 GiB */

    /* Handles: a group for each type. */
    BIOS = 0x0000,
    SYSTEM = 0x0100,
    CHASSIS = 0x0300,
    PROCESSOR = 0x0400,
    ARRAY = 0x1000,
    DIMM = 0x1100,
    MAPPED = 0x1300,
    BOOT = 0x2000,
    END = 0x7f00,

    SAFE = 3, /* state of chassis parts */
    OTHER = 1,
    UNKNOWN = 2,
};

/** What grows: the tables, the structure that is open, its strings. */
struct writer {
    struct acpi_blob *b;
    size_t start; /**< of the open structure */
    unsigned n_strings, n_structures;
    size_t largest;
    char strings[256]; /**< of the open structure, each with its 0 */
    size_t strings_len;
};

static void begin(struct writer *w, uint8_t type, uint8_t len, uint16_t handle)
{
    w->start = vm__blob_grow(w->b, len);
    w->n_strings = 0;
    w->strings_len = 0;
    vm__blob_set(w->b, w->start, 1, type);
    vm__blob_set(w->b, w->start + 1, 1, len);
    vm__blob_set(w->b, w->start + 2, 2, handle);
}

static void put(struct writer *w, unsigned off, unsigned size, uint64_t v)
{
    vm__blob_set(w->b, w->start + off, size, v);
}

/** A string's number goes into the structure, the string itself after it. */
static void put_string(struct writer *w, unsigned off, const char *text)
{
    size_t n = strlen(text) + 1;
    if (n == 1 || n > sizeof w->strings - w->strings_len)
        return; /* 0: no string */
    memcpy(w->strings + w->strings_len, text, n);
    w->strings_len += n;
    put(w, off, 1, ++w->n_strings);
}

/** Strings, then a 0; two of them when there is no string [SMBIOS §6.1.3]. */
static void end(struct writer *w)
{
    vm__blob_put(w->b, w->strings, w->strings_len);
    (void)vm__blob_grow(w->b, w->n_strings == 0 ? 2 : 1);
    size_t size = w->b->len - w->start;
    w->largest = size > w->largest ? size : w->largest;
    w->n_structures++;
}

static void add_bios(struct writer *w, const struct smbios_params *p)
{
    enum { PCI = 1 << 7, SHADOWED = 1 << 12, CD_BOOT = 1 << 15, BOOT_ORDER = 1 << 16 };
    begin(w, 0, 0x18, BIOS);
    put_string(w, 0x04, p->bios_kib != 0 ? "SeaBIOS" : "libvm");
    put_string(w, 0x05, p->bios_kib != 0 ? "ROM of the host" : "none");
    put(w, 0x06, 2, 0xe000);           /* segment */
    put_string(w, 0x08, "04/01/2014"); /* an old date makes systems distrust ACPI */
    put(w, 0x09, 1, p->bios_kib >= 64 ? p->bios_kib / 64 - 1 : 0);
    put(w, 0x0a, 8, PCI | SHADOWED | CD_BOOT | BOOT_ORDER);
    put(w, 0x12, 1, 1);      /* ACPI */
    put(w, 0x13, 1, 0x14);   /* targeted content, virtual machine */
    put(w, 0x16, 2, 0xffff); /* no embedded controller */
    end(w);
}

/** The first three fields of a UUID are little-endian numbers [SMBIOS §7.2.1]. */
static void put_uuid(struct writer *w, unsigned off, const uint8_t *uuid)
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    for (unsigned i = 0; i < 16 && uuid != NULL; i++)
        put(w, off + i, 1, uuid[order[i]]);
}

static void add_system(struct writer *w, const struct smbios_params *p)
{
    begin(w, 1, 0x1b, SYSTEM);
    put_string(w, 0x04, "libvm");
    put_string(w, 0x05, p->product);
    put_string(w, 0x06, "1.0");
    put_uuid(w, 0x08, p->uuid);
    put(w, 0x18, 1, 6); /* woken by the power switch */
    end(w);

    begin(w, 3, 0x16, CHASSIS);
    put_string(w, 0x04, "libvm");
    put(w, 0x05, 1, OTHER);
    put(w, 0x09, 1, SAFE);
    put(w, 0x0a, 1, SAFE);
    put(w, 0x0b, 1, SAFE);
    put(w, 0x0c, 1, UNKNOWN);
    end(w);
}

static void add_processor(struct writer *w, const struct smbios_params *p, uint32_t i)
{
    char socket[16];
    (void)snprintf(socket, sizeof socket, "CPU %u", i);
    begin(w, 4, 0x2a, (uint16_t)(PROCESSOR + i));
    put_string(w, 0x04, socket);
    put(w, 0x05, 1, 3); /* central processor */
    put(w, 0x06, 1, OTHER);
    put_string(w, 0x07, "libvm");
    put_string(w, 0x10, p->cpu_model);
    put(w, 0x14, 2, 2000); /* MHz */
    put(w, 0x16, 2, 2000);
    put(w, 0x18, 1, 0x41); /* populated, enabled */
    put(w, 0x19, 1, OTHER);
    for (unsigned cache = 0; cache < 3; cache++)
        put(w, 0x1a + 2 * cache, 2, NO_HANDLE);
    put(w, 0x23, 1, 1); /* cores, enabled, threads */
    put(w, 0x24, 1, 1);
    put(w, 0x25, 1, 1);
    put(w, 0x26, 2, 1 << 2); /* 64-bit capable */
    put(w, 0x28, 2, OTHER);
    end(w);
}

static void add_array(struct writer *w, uint64_t bytes, uint32_t dimms)
{
    uint64_t kib = bytes >> 10;
    begin(w, 16, 0x17, ARRAY);
    put(w, 0x04, 1, OTHER);
    put(w, 0x05, 1, 3); /* system memory */
    put(w, 0x06, 1, 3); /* no error correction */
    put(w, 0x07, 4, kib < 0x80000000 ? kib : 0x80000000);
    put(w, 0x0b, 2, NO_ERROR_HANDLE);
    put(w, 0x0d, 2, dimms);
    put(w, 0x0f, 8, kib < 0x80000000 ? 0 : bytes);
    end(w);
}

static void add_dimm(struct writer *w, uint32_t i, uint64_t bytes)
{
    char name[16];
    uint64_t mib = bytes >> 20;
    (void)snprintf(name, sizeof name, "DIMM %u", i);
    begin(w, 17, 0x28, (uint16_t)(DIMM + i));
    put(w, 0x04, 2, ARRAY);
    put(w, 0x06, 2, NO_ERROR_HANDLE);
    put(w, 0x08, 4, 0xffffffff); /* widths: unknown */
    put(w, 0x0c, 2, mib < 0x7fff ? mib : 0x7fff);
    put(w, 0x0e, 1, 9); /* DIMM */
    put_string(w, 0x10, name);
    put(w, 0x12, 1, 7); /* RAM */
    put(w, 0x13, 2, 1 << 1);
    put_string(w, 0x17, "libvm");
    put(w, 0x1c, 4, mib < 0x7fff ? 0 : mib);
    end(w);
}

static void add_mapped(struct writer *w, uint32_t i, uint64_t base, uint64_t bytes)
{
    if (bytes == 0)
        return;
    bool fits = (base + bytes) >> 10 <= 0xffffffff;
    begin(w, 19, 0x1f, (uint16_t)(MAPPED + i));
    put(w, 0x04, 4, fits ? base >> 10 : 0xffffffff);
    put(w, 0x08, 4, fits ? ((base + bytes) >> 10) - 1 : 0xffffffff);
    put(w, 0x0c, 2, ARRAY);
    put(w, 0x0e, 1, 1);
    put(w, 0x0f, 8, fits ? 0 : base);
    put(w, 0x17, 8, fits ? 0 : base + bytes - 1);
    end(w);
}

static void add_memory(struct writer *w, const struct smbios_params *p)
{
    uint64_t bytes = p->low_ram + p->high_ram, most = UINT64_C(1) << DIMM_BYTES_LOG2;
    uint32_t dimms = (uint32_t)((bytes + most - 1) >> DIMM_BYTES_LOG2);
    add_array(w, bytes, dimms);
    for (uint32_t i = 0; i < dimms; i++)
        add_dimm(w, i, i + 1 < dimms ? most : bytes - i * most);
    add_mapped(w, 0, 0, p->low_ram);
    add_mapped(w, 1, UINT64_C(1) << 32, p->high_ram);
}

static void set_checksum(uint8_t *at, const uint8_t *bytes, size_t n)
{
    uint8_t sum = 0;
    *at = 0;
    for (size_t i = 0; i < n; i++)
        sum = (uint8_t)(sum + bytes[i]);
    *at = (uint8_t)-sum;
}

static void set_checksums(uint8_t *e)
{
    set_checksum(e + 0x15, e + 0x10, 15);
    set_checksum(e + 0x04, e, SMBIOS_ENTRY_BYTES);
}

static void make_entry(struct smbios_image *img, const struct writer *w)
{
    uint8_t *e = img->entry;
    memcpy(e, "_SM_", 4);
    e[5] = SMBIOS_ENTRY_BYTES;
    e[6] = 2;
    e[7] = 8;
    vm_put_le16(e + 0x08, (uint16_t)w->largest);
    memcpy(e + 0x10, "_DMI_", 5);
    vm_put_le16(e + 0x16, (uint16_t)img->tables.len);
    vm_put_le16(e + 0x1c, (uint16_t)w->n_structures);
    e[0x1e] = 0x28;
    set_checksums(e);
}

int vm__smbios_build(struct smbios_image *img, const struct smbios_params *params)
{
    memset(img, 0, sizeof *img);
    struct writer w = { .b = &img->tables };
    add_bios(&w, params);
    add_system(&w, params);
    for (uint32_t i = 0; i < params->n_cpus; i++)
        add_processor(&w, params, i);
    add_memory(&w, params);
    begin(&w, 32, 0x0b, BOOT); /* status 0: no errors */
    end(&w);
    begin(&w, 127, HEADER, END);
    end(&w);
    if (img->tables.failed || img->tables.len > UINT16_MAX) {
        vm__smbios_fini(img);
        return vm__fail(VM_E_NOMEM, "no room for the SMBIOS tables");
    }
    make_entry(img, &w);
    return VM_OK;
}

void vm__smbios_place(struct smbios_image *img, uint32_t tables_gpa)
{
    vm_put_le32(img->entry + 0x18, tables_gpa);
    set_checksums(img->entry);
}

void vm__smbios_fini(struct smbios_image *img)
{
    vm__blob_free(&img->tables);
}
