/* SPDX-License-Identifier: MIT */
/**
 * @file test_acpi.c
 * ACPI tables: sums, pointers, counts; and iasl itself reads all of them.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/acpi/acpi.h"

enum { BASE = 0x3fe0000 };

static unsigned pirq(unsigned dev, unsigned pin)
{
    return (dev + pin + 3) & 3;
}

static struct acpi_params params(uint32_t n_cpus)
{
    return (struct acpi_params) {
        .n_cpus = n_cpus,
        .devs = ACPI_DEV_COM1 | ACPI_DEV_KBD | ACPI_DEV_HPET,
        .pm_base = 0x600,
        .smi_port = 0xb2,
        .acpi_enable = 0xf1,
        .acpi_disable = 0xf0,
        .hpet_id = 0x8086a201,
        .pci_base = 0xc0000000,
        .pci_last = 0xfebfffff,
        .hotplug_slots = 0xfffffff8,
        .pirq = pirq,
    };
}

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;
    while (n-- > 0)
        s = (uint8_t)(s + *p++);
    return s;
}

/** The table with this signature, by way of RSDP and XSDT, checked on the way. */
static const uint8_t *find(const struct acpi_image *img, const char *signature)
{
    const uint8_t *rsdp = img->part[ACPI_RSDP].data, *mem = img->part[ACPI_TABLES].data;
    cr_assert(eq(int, memcmp(rsdp, "RSD PTR ", 8), 0));
    cr_assert(zero(u8, sum(rsdp, 20)));
    cr_assert(zero(u8, sum(rsdp, 36)));
    const uint8_t *xsdt = mem + (vm_le64(rsdp + 24) - BASE);
    const uint8_t *rsdt = mem + (vm_le32(rsdp + 16) - BASE);
    cr_assert(zero(u8, sum(rsdt, vm_le32(rsdt + 4))));
    uint32_t n = (vm_le32(xsdt + 4) - 36) / 8;
    cr_assert(eq(u32, (vm_le32(rsdt + 4) - 36) / 4, n));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t gpa = vm_le64(xsdt + 36 + 8 * i);
        cr_assert(eq(u64, gpa, vm_le32(rsdt + 36 + 4 * i)));
        const uint8_t *t = mem + (gpa - BASE);
        cr_assert(zero(u8, sum(t, vm_le32(t + 4))), "%.4s", (const char *)t);
        if (memcmp(t, signature, 4) == 0)
            return t;
    }
    return NULL;
}

static void build(struct acpi_image *img, const struct acpi_params *p)
{
    cr_assert(eq(int, vm__acpi_build(img, p), VM_OK));
    vm__acpi_place(img, BASE);
}

Test(acpi, fadt_names_the_pm_block)
{
    struct acpi_image img;
    struct acpi_params p = params(1);
    build(&img, &p);
    const uint8_t *fadt = find(&img, "FACP");
    cr_assert(eq(u32, vm_le32(fadt + 4), 244));
    cr_assert(eq(u16, vm_le16(fadt + 46), 9));
    cr_assert(eq(u32, vm_le32(fadt + 56), 0x600));
    cr_assert(eq(u32, vm_le32(fadt + 64), 0x604));
    cr_assert(eq(u32, vm_le32(fadt + 76), 0x608));
    cr_assert(eq(u64, vm_le64(fadt + 148 + 4), 0x600));
    cr_assert(eq(u64, vm_le64(fadt + 120), 0xcf9));
    cr_assert(eq(u8, fadt[128], 6));
    const uint8_t *mem = img.part[ACPI_TABLES].data;
    const uint8_t *facs = mem + (vm_le32(fadt + 36) - BASE);
    cr_assert(eq(int, memcmp(facs, "FACS", 4), 0));
    cr_assert(eq(sz, (size_t)(facs - mem) & 63, 0));
    const uint8_t *dsdt = mem + (vm_le64(fadt + 140) - BASE);
    cr_assert(eq(int, memcmp(dsdt, "DSDT", 4), 0));
    cr_assert(zero(u8, sum(dsdt, vm_le32(dsdt + 4))));
    vm__acpi_fini(&img);
}

/** Entries of one type in the MADT. */
static unsigned madt_count(const uint8_t *madt, uint8_t type)
{
    unsigned n = 0;
    for (uint32_t at = 44; at < vm_le32(madt + 4); at += madt[at + 1])
        n += madt[at] == type;
    return n;
}

Test(acpi, madt_lists_every_processor)
{
    static const uint32_t counts[] = { 1, 4, 255, 256 };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct acpi_image img;
        struct acpi_params p = params(counts[i]);
        build(&img, &p);
        const uint8_t *madt = find(&img, "APIC");
        cr_assert(eq(uint, madt_count(madt, 0) + madt_count(madt, 9), counts[i]));
        cr_assert(eq(uint, madt_count(madt, 0), counts[i] < 255 ? counts[i] : 255));
        cr_assert(eq(uint, madt_count(madt, 1), 1));
        cr_assert(eq(uint, madt_count(madt, 2), 5));
        vm__acpi_fini(&img);
    }
}

Test(acpi, hpet_only_if_there_is_one)
{
    struct acpi_image img;
    struct acpi_params p = params(1);
    build(&img, &p);
    cr_assert(find(&img, "HPET") != NULL);
    vm__acpi_fini(&img);
    p.devs &= ~(uint32_t)ACPI_DEV_HPET;
    build(&img, &p);
    cr_assert(find(&img, "HPET") == NULL);
    vm__acpi_fini(&img);
}

Test(aml, package_lengths_of_every_size)
{
    static const size_t sizes[] = { 0,    61,   62,   63,   64,      4092,
                                    4093, 4094, 4095, 5000, 1048571, 1048572 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct acpi_blob b = { 0 };
        size_t open = b.len;
        (void)vm__blob_grow(&b, sizes[i]);
        vm__aml_end(&b, open);
        unsigned more = b.data[0] >> 6;
        size_t n = more == 0 ? b.data[0] & 0x3f : b.data[0] & 0xf;
        for (unsigned k = 1; k <= more; k++)
            n |= (size_t)b.data[k] << (8 * k - 4);
        cr_assert(eq(sz, n, sizes[i] + 1 + more));
        cr_assert(eq(sz, n, b.len));
        vm__blob_free(&b);
    }
}

Test(aml, integers_and_names)
{
    struct acpi_blob b = { 0 };
    vm__aml_name_int(&b, "\\_SB.PCI0.FLAG", 0x1234);
    static const uint8_t want[] = "\x08\\\x2f\x03_SB_PCI0FLAG\x0b\x34\x12";
    cr_assert(eq(sz, b.len, sizeof want - 1));
    cr_assert(eq(int, memcmp(b.data, want, b.len), 0));
    vm__blob_free(&b);
}

/** Write a table to a file that iasl can read. */
static void dump(const char *dir, const char *name, const uint8_t *t)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s.aml", dir, name);
    FILE *f = fopen(path, "wb");
    cr_assert(f != NULL);
    cr_assert(eq(sz, fwrite(t, 1, vm_le32(t + 4), f), vm_le32(t + 4)));
    cr_assert(eq(int, fclose(f), 0));
}

/** Run iasl on what is in @p dir; its output must not have these words. */
static void iasl(const char *dir, const char *args)
{
    char command[600], line[512];
    (void)snprintf(command, sizeof command, "cd %s && iasl %s 2>&1", dir, args);
    FILE *f = popen(command, "r");
    cr_assert(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        cr_assert(strstr(line, "rror  ") == NULL && strstr(line, "Invalid") == NULL &&
                      strstr(line, "ACPI Error") == NULL && strstr(line, "ACPI Warning") == NULL,
                  "iasl %s: %s", args, line);
    cr_assert(eq(int, pclose(f), 0), "iasl %s", args);
}

Test(acpi, iasl_disassembles_every_table)
{
    static const char *const data[] = { "FACP", "APIC", "HPET" };
    char dir[] = "/tmp/libvm-acpi-XXXXXX", command[64];
    struct acpi_image img;
    struct acpi_params p = params(256);
    p.can_sleep = true;
    p.pci64_base = UINT64_C(0x180000000);
    p.pci64_size = UINT64_C(0x800000000);
    if (system("iasl -v >/dev/null 2>&1") != 0)
        cr_skip("iasl is not installed");
    cr_assert(mkdtemp(dir) != NULL);
    build(&img, &p);
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
        dump(dir, data[i], find(&img, data[i]));
        (void)snprintf(command, sizeof command, "-d %s.aml", data[i]);
        iasl(dir, command);
    }
    const uint8_t *fadt = find(&img, "FACP");
    dump(dir, "dsdt", img.part[ACPI_TABLES].data + (vm_le32(fadt + 40) - BASE));
    dump(dir, "ssdt", find(&img, "SSDT"));
    iasl(dir, "-e dsdt.aml -d ssdt.aml");
    iasl(dir, "-e ssdt.aml -d dsdt.aml");
    /* What was disassembled compiles again. */
    iasl(dir, "-p again ssdt.dsl");
    vm__acpi_fini(&img);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert(eq(int, system(command), 0));
}
