/* SPDX-License-Identifier: MIT */
/**
 * @file tables.c
 * RSDP, RSDT, XSDT, FADT, FACS, MADT, HPET. See acpi.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/acpi/acpi.h"
#include "boards/acpi/dsdt.h"

enum {
    HEADER_SIZE = 36, /* of every table but FACS and RSDP [ACPI-6.5 §5.2.6] */
    HEADER_LENGTH = 4,
    HEADER_CHECKSUM = 9,
    RSDP_SIZE = 36,
    RSDP_V1_SIZE = 20,
    FADT_SIZE = 244, /* ACPI 3.0 */
    SCI_IRQ = 9,
    IOAPIC_BASE = 0xfec00000,
    LAPIC_BASE = 0xfee00000u,
    HPET_BASE = 0xfed00000,
    RESET_PORT = 0xcf9,
    RESET_VALUE = 6, /* full reset by hardware [PIIX3 §2.6.2] */
    CMOS_CENTURY = 0x32,
};

/* PM block of the PIIX4 [PIIX4 §7.2]: offsets from its base. */
enum { PM1_EVT = 0x00, PM1_CNT = 0x04, PM_TMR = 0x08, GPE0 = 0x0c };

/* FADT feature flags [ACPI-6.5 §5.2.9, table 5.10]. */
enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_NO_SLEEP_BUTTON = 1 << 5,
    FADT_RESET_REG = 1 << 10,
};

/* IA-PC boot architecture flags. */
enum { IAPC_LEGACY = 1 << 0, IAPC_8042 = 1 << 1, IAPC_NO_VGA = 1 << 2 };

/* MADT structures and their interrupt flags [ACPI-6.5 §5.2.12]. */
enum {
    MADT_PCAT_COMPAT = 1,
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LAPIC_NMI = 4,
    MADT_X2APIC = 9,
    MADT_X2APIC_NMI = 10,
    APIC_ENABLED = 1,
    POLARITY_HIGH = 1,
    TRIGGER_LEVEL = 3 << 2,
    XAPIC_LAST_ID = 254, /* 255 is the broadcast destination */
};

static void add_pointer(struct acpi_image *img, uint32_t part, size_t at, uint32_t size,
                        size_t target)
{
    vm__blob_set(&img->part[part], at, size, target);
    img->pointers[img->n_pointers++] =
        (struct acpi_pointer) { .part = part, .at = (uint32_t)at, .size = size };
}

static void add_checksum(struct acpi_image *img, uint32_t part, size_t at, size_t start, size_t len)
{
    img->checksums[img->n_checksums++] = (struct acpi_checksum) {
        .part = part, .at = (uint32_t)at, .start = (uint32_t)start, .len = (uint32_t)len
    };
}

size_t vm__acpi_table_begin(struct acpi_image *img, const char *signature, uint8_t revision)
{
    struct acpi_blob *b = &img->part[ACPI_TABLES];
    vm__blob_align(b, 16);
    size_t table = b->len;
    vm__blob_put(b, signature, 4);
    vm__blob_u32(b, 0);
    vm__blob_u8(b, revision);
    vm__blob_u8(b, 0);
    vm__blob_put(b, "LIBVM ", 6);
    vm__blob_put(b, "LIBVMPC ", 8);
    vm__blob_u32(b, 1);
    vm__blob_put(b, "LVM ", 4);
    vm__blob_u32(b, 1);
    return table;
}

void vm__acpi_table_end(struct acpi_image *img, size_t table)
{
    struct acpi_blob *b = &img->part[ACPI_TABLES];
    size_t len = b->len - table;
    vm__blob_set(b, table + HEADER_LENGTH, 4, len);
    add_checksum(img, ACPI_TABLES, table + HEADER_CHECKSUM, table, len);
}

/** Firmware ACPI control structure: the guest writes to it, so it lies in NVS memory. */
static size_t add_facs(struct acpi_image *img)
{
    struct acpi_blob *b = &img->part[ACPI_TABLES];
    size_t facs = vm__blob_grow(b, 64);
    if (!b->failed)
        memcpy(b->data + facs, "FACS", 4);
    vm__blob_set(b, facs + 4, 4, 64);
    vm__blob_set(b, facs + 32, 1, 1); /* version: 64-bit waking vector */
    vm__blob_align(b, ACPI_NVS_BYTES);
    return facs;
}

/** The compiler's table, with the value of \DEVS in place of the one it was compiled with. */
static size_t add_dsdt(struct acpi_image *img, uint32_t devs)
{
    static const uint8_t placeholder[] = { 'D', 'E', 'V', 'S', 0x0c, 0x3c, 0xc3, 0xa5, 0x5a };
    struct acpi_blob *b = &img->part[ACPI_TABLES];
    vm__blob_align(b, 16);
    size_t dsdt = b->len;
    vm__blob_put(b, vm__acpi_dsdt_pc, vm__acpi_dsdt_pc_size);
    if (b->failed)
        return dsdt;
    uint8_t *at = memmem(b->data + dsdt, b->len - dsdt, placeholder, sizeof placeholder);
    assert(at != NULL);
    vm_put_le32(at + 5, devs);
    b->data[dsdt + HEADER_CHECKSUM] = 0;
    add_checksum(img, ACPI_TABLES, dsdt + HEADER_CHECKSUM, dsdt, b->len - dsdt);
    return dsdt;
}

/** Generic address structure of an I/O port block [ACPI-6.5 §5.2.3.2]. */
static void set_gas_io(struct acpi_blob *b, size_t at, uint8_t bits, uint8_t access, uint16_t port)
{
    vm__blob_set(b, at, 1, 1);
    vm__blob_set(b, at + 1, 1, bits);
    vm__blob_set(b, at + 3, 1, access);
    vm__blob_set(b, at + 4, 8, port);
}

static void set_fadt_pm(struct acpi_blob *b, size_t t, const struct acpi_params *params)
{
    uint16_t pm = params->pm_base;
    vm__blob_set(b, t + 46, 2, SCI_IRQ);
    vm__blob_set(b, t + 48, 4, params->smi_port);
    vm__blob_set(b, t + 52, 1, params->acpi_enable);
    vm__blob_set(b, t + 53, 1, params->acpi_disable);
    vm__blob_set(b, t + 56, 4, pm + PM1_EVT);
    vm__blob_set(b, t + 64, 4, pm + PM1_CNT);
    vm__blob_set(b, t + 76, 4, pm + PM_TMR);
    vm__blob_set(b, t + 80, 4, pm + GPE0);
    vm__blob_set(b, t + 88, 1, 4); /* lengths: PM1 event, control, timer, GPE0 */
    vm__blob_set(b, t + 89, 1, 2);
    vm__blob_set(b, t + 91, 1, 4);
    vm__blob_set(b, t + 92, 1, 4);
    vm__blob_set(b, t + 96, 2, 0xfff); /* C2 and C3 latencies: no such states */
    vm__blob_set(b, t + 98, 2, 0xfff);
    set_gas_io(b, t + 148, 32, 2, pm + PM1_EVT);
    set_gas_io(b, t + 172, 16, 2, pm + PM1_CNT);
    set_gas_io(b, t + 208, 32, 3, pm + PM_TMR);
    set_gas_io(b, t + 220, 32, 1, pm + GPE0);
}

static size_t add_fadt(struct acpi_image *img, const struct acpi_params *params, size_t facs,
                       size_t dsdt)
{
    struct acpi_blob *b = &img->part[ACPI_TABLES];
    size_t t = vm__acpi_table_begin(img, "FACP", 3);
    (void)vm__blob_grow(b, FADT_SIZE - HEADER_SIZE);
    add_pointer(img, ACPI_TABLES, t + 36, 4, facs);
    add_pointer(img, ACPI_TABLES, t + 40, 4, dsdt);
    set_fadt_pm(b, t, params);
    vm__blob_set(b, t + 108, 1, CMOS_CENTURY);
    vm__blob_set(b, t + 109, 2,
                 IAPC_LEGACY | (params->devs & ACPI_DEV_KBD ? IAPC_8042 : 0) |
                     (params->has_vga ? 0 : IAPC_NO_VGA));
    vm__blob_set(b, t + 112, 4, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_RESET_REG);
    set_gas_io(b, t + 116, 8, 1, RESET_PORT);
    vm__blob_set(b, t + 128, 1, RESET_VALUE);
    add_pointer(img, ACPI_TABLES, t + 132, 8, facs);
    add_pointer(img, ACPI_TABLES, t + 140, 8, dsdt);
    vm__acpi_table_end(img, t);
    return t;
}

static void madt_cpu(struct acpi_blob *b, uint32_t id)
{
    if (id <= XAPIC_LAST_ID) {
        vm__blob_u8(b, MADT_LAPIC);
        vm__blob_u8(b, 8);
        vm__blob_u8(b, (uint8_t)id); /* processor's id in the namespace */
        vm__blob_u8(b, (uint8_t)id);
        vm__blob_u32(b, APIC_ENABLED);
        return;
    }
    vm__blob_u8(b, MADT_X2APIC);
    vm__blob_u8(b, 16);
    vm__blob_u16(b, 0);
    vm__blob_u32(b, id);
    vm__blob_u32(b, APIC_ENABLED);
    vm__blob_u32(b, id);
}

static void madt_override(struct acpi_blob *b, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    vm__blob_u8(b, MADT_OVERRIDE);
    vm__blob_u8(b, 10);
    vm__blob_u8(b, 0); /* ISA */
    vm__blob_u8(b, irq);
    vm__blob_u32(b, gsi);
    vm__blob_u16(b, flags);
}

/** LINT1 of every processor is its NMI pin. */
static void madt_nmi(struct acpi_blob *b, uint32_t n_cpus)
{
    vm__blob_u8(b, MADT_LAPIC_NMI);
    vm__blob_u8(b, 6);
    vm__blob_u8(b, 0xff); /* all processors */
    vm__blob_u16(b, 0);
    vm__blob_u8(b, 1);
    if (n_cpus <= XAPIC_LAST_ID + 1)
        return;
    vm__blob_u8(b, MADT_X2APIC_NMI);
    vm__blob_u8(b, 12);
    vm__blob_u16(b, 0);
    vm__blob_u32(b, UINT32_MAX);
    vm__blob_u8(b, 1);
    (void)vm__blob_grow(b, 3);
}

static size_t add_madt(struct acpi_image *img, const struct acpi_params *params)
{
    struct acpi_blob *b = &img->part[ACPI_TABLES];
    size_t t = vm__acpi_table_begin(img, "APIC", 3);
    vm__blob_u32(b, LAPIC_BASE);
    vm__blob_u32(b, MADT_PCAT_COMPAT);
    for (uint32_t i = 0; i < params->n_cpus; i++)
        madt_cpu(b, i);
    vm__blob_u8(b, MADT_IOAPIC);
    vm__blob_u8(b, 12);
    vm__blob_u8(b, 0); /* id */
    vm__blob_u8(b, 0);
    vm__blob_u32(b, IOAPIC_BASE);
    vm__blob_u32(b, 0); /* first global interrupt */
    /* The PIT's output is wired to pin 2; the chipset's own interrupts are levels, active high. */
    madt_override(b, 0, 2, 0);
    static const uint8_t level[] = { 5, SCI_IRQ, 10, 11 };
    for (size_t i = 0; i < sizeof level; i++)
        madt_override(b, level[i], level[i], POLARITY_HIGH | TRIGGER_LEVEL);
    madt_nmi(b, params->n_cpus);
    vm__acpi_table_end(img, t);
    return t;
}

static size_t add_hpet(struct acpi_image *img, const struct acpi_params *params)
{
    struct acpi_blob *b = &img->part[ACPI_TABLES];
    size_t t = vm__acpi_table_begin(img, "HPET", 1);
    vm__blob_u32(b, params->hpet_id);
    size_t gas = vm__blob_grow(b, 12);
    vm__blob_set(b, gas + 4, 8, HPET_BASE);
    vm__blob_u8(b, 0);     /* sequence number */
    vm__blob_u16(b, 0x80); /* smallest tick count in periodic mode */
    vm__blob_u8(b, 0);
    vm__acpi_table_end(img, t);
    return t;
}

/** RSDT or XSDT: pointers of @p size bytes to the tables. */
static size_t add_root(struct acpi_image *img, const char *signature, uint32_t size,
                       const size_t *tables, size_t n)
{
    size_t t = vm__acpi_table_begin(img, signature, 1);
    for (size_t i = 0; i < n; i++) {
        size_t at = vm__blob_grow(&img->part[ACPI_TABLES], size);
        add_pointer(img, ACPI_TABLES, at, size, tables[i]);
    }
    vm__acpi_table_end(img, t);
    return t;
}

static void add_rsdp(struct acpi_image *img, size_t rsdt, size_t xsdt)
{
    struct acpi_blob *b = &img->part[ACPI_RSDP];
    vm__blob_put(b, "RSD PTR ", 8);
    vm__blob_u8(b, 0);
    vm__blob_put(b, "LIBVM ", 6);
    vm__blob_u8(b, 2); /* ACPI 2.0 and later */
    (void)vm__blob_grow(b, 4);
    vm__blob_u32(b, RSDP_SIZE);
    (void)vm__blob_grow(b, 8 + 4);
    add_pointer(img, ACPI_RSDP, 16, 4, rsdt);
    add_pointer(img, ACPI_RSDP, 24, 8, xsdt);
    add_checksum(img, ACPI_RSDP, 8, 0, RSDP_V1_SIZE);
    add_checksum(img, ACPI_RSDP, 32, 0, RSDP_SIZE);
}

int vm__acpi_build(struct acpi_image *img, const struct acpi_params *params)
{
    memset(img, 0, sizeof *img);
    size_t facs = add_facs(img);
    size_t dsdt = add_dsdt(img, params->devs);
    size_t tables[4], n = 0;
    tables[n++] = add_fadt(img, params, facs, dsdt);
    vm__blob_align(&img->part[ACPI_TABLES], 16);
    tables[n++] = img->part[ACPI_TABLES].len;
    vm__acpi_ssdt(img, params);
    tables[n++] = add_madt(img, params);
    if (params->devs & ACPI_DEV_HPET)
        tables[n++] = add_hpet(img, params);
    size_t rsdt = add_root(img, "RSDT", 4, tables, n);
    size_t xsdt = add_root(img, "XSDT", 8, tables, n);
    add_rsdp(img, rsdt, xsdt);
    if (!img->part[ACPI_TABLES].failed && !img->part[ACPI_RSDP].failed)
        return VM_OK;
    vm__acpi_fini(img);
    return vm__fail(VM_E_NOMEM, "out of memory");
}

void vm__acpi_fini(struct acpi_image *img)
{
    for (int i = 0; i < ACPI_PARTS; i++)
        free(img->part[i].data);
    memset(img, 0, sizeof *img);
}

void vm__acpi_place(struct acpi_image *img, uint32_t tables_gpa)
{
    for (uint32_t i = 0; i < img->n_pointers; i++) {
        const struct acpi_pointer *p = &img->pointers[i];
        struct acpi_blob *b = &img->part[p->part];
        vm__blob_set(b, p->at, p->size, vm__blob_get(b, p->at, p->size) + tables_gpa);
    }
    for (uint32_t i = 0; i < img->n_checksums; i++) {
        const struct acpi_checksum *c = &img->checksums[i];
        struct acpi_blob *b = &img->part[c->part];
        uint8_t sum = 0;
        b->data[c->at] = 0;
        for (uint32_t j = 0; j < c->len; j++)
            sum = (uint8_t)(sum + b->data[c->start + j]);
        b->data[c->at] = (uint8_t)-sum;
    }
}
