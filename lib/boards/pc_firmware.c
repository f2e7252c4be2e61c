/* SPDX-License-Identifier: MIT */
/**
 * @file pc_firmware.c
 * Starting through firmware: its ROM, and what it is told by CMOS memory and fw_cfg.
 *
 * Spec: [fw_cfg]; [SeaBIOS] for the names of files and the bytes of CMOS memory it reads.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/pc.h"
#include "core/config.h"
#include "core/device.h"
#include "core/firmware.h"
#include "core/region.h"
#include "devices/firmware/fw_cfg.h"
#include "devices/timer/mc146818.h"

enum {
    E820_BYTES = 20, /* an entry of the firmware's memory map */
    MIB = 1 << 20,
    ROM_MAX = 16 << 20,
    ROM_UNIT = 0x10000,
    ROM_LOW_MAX = 0x20000, /* this much of it is seen below 1 MiB */
    SERIAL_CONSOLE = 0x3f8,

    EQUIPMENT_FPU = 0x02,
    EQUIPMENT_MOUSE = 0x04,
    BOOT_DEVICES = 3, /* CMOS memory has room for this many */
};

static bool is_none(const char *text)
{
    return text == NULL || *text == '\0' || strcmp(text, "none") == 0;
}

/* ---- the ROM ---- */

static int place_rom(struct pc *pc, const struct vm_file *f, const char *name)
{
    if (f->len % ROM_UNIT != 0)
        return vm__fail(VM_E_CORRUPT, "firmware.bios: %s: %zu bytes are not a multiple of 64 KiB",
                        name, f->len);
    pc->bios = vm__rom_new(pc->m, "bios", f->data, f->len, f->len);
    if (pc->bios == NULL)
        return vm_last_error()->code;
    uint32_t low = vm__pc_firmware_low(pc);
    struct vm_region *alias = vm__alias_new(pc->m, "bios-low", pc->bios, f->len - low, low);
    if (alias == NULL)
        return vm_last_error()->code;
    int st = vm__region_place(pc->bios, PC_HIGH - f->len, VM_PRIO_ROM);
    return st == VM_OK ? vm__region_place(alias, MIB - low, VM_PRIO_ROM) : st;
}

uint32_t vm__pc_firmware_low(const struct pc *pc)
{
    uint64_t size = pc->bios != NULL ? vm__region_size(pc->bios) : 0;
    return (uint32_t)(size < ROM_LOW_MAX ? size : ROM_LOW_MAX);
}

int vm__pc_firmware_load(struct pc *pc)
{
    const char *name = vm__config_str(pc->m->config, "firmware.bios");
    struct vm_file f;
    if (pc->direct || is_none(name))
        return VM_OK;
    int st = vm__firmware_find(pc->m, name, "seabios", ROM_MAX, &f);
    if (st != VM_OK)
        return vm__fail_prefix(st, "firmware.bios: ");
    st = place_rom(pc, &f, name);
    vm__file_free(&f);
    return st;
}

/* ---- what to boot from ---- */

/** SeaBIOS's number of a device that QEMU's users name by a letter; 0: no such letter. */
static unsigned device_number(char letter)
{
    static const char letters[] = "acdn"; /* floppy, disk, CD, network */
    const char *at = letter != '\0' ? strchr(letters, letter) : NULL;
    return at != NULL ? (unsigned)(at - letters) + 1 : 0;
}

static int check_order(struct pc *pc, const char *key)
{
    const char *text = vm__config_str(pc->m->config, key);
    for (const char *c = text != NULL ? text : ""; *c != '\0'; c++)
        if (device_number(*c) == 0)
            return vm__fail(VM_E_INVAL,
                            "%s: %c: there are a (floppy), c (disk), d (CD) and n (network)", key,
                            *c);
    return VM_OK;
}

/** Bytes 3Dh and 38h: up to three devices, four bits each. */
static void set_order(struct pc *pc, const char *text)
{
    unsigned nibbles = 0;
    for (unsigned i = 0; i < BOOT_DEVICES && text[i] != '\0'; i++)
        nibbles |= device_number(text[i]) << 4 * i;
    vm__mc146818_set_cmos(pc->rtc, VM_CMOS_BOOT_12, (uint8_t)nibbles);
    vm__mc146818_set_cmos(
        pc->rtc, VM_CMOS_BOOT_3,
        (uint8_t)(nibbles >> 8 << 4 | !vm__config_bool(pc->m->config, "boot.floppy_check")));
}

int vm__pc_firmware_boot_set(struct pc *pc, const char *order)
{
    for (const char *c = order; *c != '\0'; c++)
        if (device_number(*c) == 0)
            return vm__fail(VM_E_INVAL,
                            "%c: there are a (floppy), c (disk), d (CD) and n (network)", *c);
    return vm__config_set(pc->m->config, "boot.order", order);
}

void vm__pc_firmware_reset(struct pc *pc)
{
    const char *once = vm__config_str(pc->m->config, "boot.once");
    bool first = !pc->booted && !is_none(once);
    set_order(pc, first ? once : vm__config_str(pc->m->config, "boot.order"));
    pc->booted = true;
}

/* ---- CMOS memory ---- */

static void fill_cmos(struct pc *pc)
{
    uint8_t equipment = vm__mc146818_cmos(pc->rtc, VM_CMOS_EQUIPMENT);
    vm__mc146818_set_memory(pc->rtc, pc->low_ram, pc->high_ram);
    vm__mc146818_set_cmos(pc->rtc, VM_CMOS_EQUIPMENT, equipment | EQUIPMENT_FPU | EQUIPMENT_MOUSE);
    uint32_t more = pc->m->n_cpus - 1;
    vm__mc146818_set_cmos(pc->rtc, VM_CMOS_CPUS, (uint8_t)(more < 255 ? more : 255));
    uint16_t sum = 0;
    for (uint8_t i = VM_CMOS_FLOPPY; i < VM_CMOS_CHECKSUM; i++)
        sum = (uint16_t)(sum + vm__mc146818_cmos(pc->rtc, i));
    vm__mc146818_set_cmos(pc->rtc, VM_CMOS_CHECKSUM, (uint8_t)(sum >> 8));
    vm__mc146818_set_cmos(pc->rtc, VM_CMOS_CHECKSUM + 1, (uint8_t)sum);
}

/* ---- fw_cfg ---- */

static void put_e820(uint8_t *at, uint64_t base, uint64_t size, uint32_t type)
{
    vm_put_le64(at, base);
    vm_put_le64(at + 8, size);
    vm_put_le32(at + 16, type);
}

/** Firmware wants to know RAM and takes from it what it needs; a kernel without firmware (test
 * kernels read this file) sees what was taken. */
static int add_e820(struct pc *pc)
{
    uint8_t map[BOOT_MAX_RANGES * E820_BYTES];
    uint32_t n = 0;
    for (; pc->direct && n < pc->n_ranges; n++)
        put_e820(map + n * E820_BYTES, pc->ranges[n].base, pc->ranges[n].size, pc->ranges[n].type);
    if (!pc->direct) {
        put_e820(map + n++ * E820_BYTES, 0, pc->low_ram, BOOT_RAM_USABLE);
        if (pc->high_ram != 0)
            put_e820(map + n++ * E820_BYTES, PC_HIGH, pc->high_ram, BOOT_RAM_USABLE);
    }
    return vm__fw_cfg_add_file(pc->fw_cfg, "etc/e820", map, n * E820_BYTES);
}

static int add_numbers(struct pc *pc)
{
    struct vm_dev *dev = pc->fw_cfg;
    const struct vm_config *cfg = pc->m->config;
    int st = vm__fw_cfg_add_u64(dev, FW_CFG_RAM_SIZE, pc->low_ram + pc->high_ram);
    if (st == VM_OK)
        st = vm__fw_cfg_add_u16(dev, FW_CFG_NB_CPUS, (uint16_t)pc->m->n_cpus);
    if (st == VM_OK)
        st = vm__fw_cfg_add_u16(dev, FW_CFG_MAX_CPUS, (uint16_t)pc->m->n_cpus);
    if (st == VM_OK)
        st = vm__fw_cfg_add_u16(dev, FW_CFG_NOGRAPHIC, vm__config_bool(cfg, "firmware.console"));
    if (st == VM_OK)
        st = vm__fw_cfg_add_u32(dev, FW_CFG_IRQ0_OVERRIDE, 1);
    if (st == VM_OK)
        st = vm__fw_cfg_add_u16(dev, FW_CFG_BOOT_MENU, vm__config_bool(cfg, "boot.menu"));
    return st == VM_OK ? vm__fw_cfg_add(dev, FW_CFG_UUID, pc->uuid, sizeof pc->uuid) : st;
}

/** A file that is a number of @p size bytes. */
static int add_number_file(struct pc *pc, const char *name, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    vm_put_le64(bytes, value);
    return vm__fw_cfg_add_file(pc->fw_cfg, name, bytes, size);
}

/** Files of what the user chose; firmware has its own idea of those that were left out. */
static int add_choices(struct pc *pc)
{
    const struct vm_config *cfg = pc->m->config;
    int st = VM_OK;
    if (vm__config_bool(cfg, "firmware.console"))
        st = add_number_file(pc, "etc/sercon-port", SERIAL_CONSOLE, 2);
    if (st == VM_OK && vm__config_str(cfg, "boot.menu_wait") != NULL)
        st = add_number_file(pc, "etc/boot-menu-wait", vm__config_u64(cfg, "boot.menu_wait"), 2);
    if (st == VM_OK && vm__config_str(cfg, "boot.fail_wait") != NULL)
        st = add_number_file(pc, "etc/boot-fail-wait", vm__config_u64(cfg, "boot.fail_wait"), 4);
    return st;
}

static int add_blob(struct pc *pc, const char *name, const struct acpi_blob *b)
{
    return vm__fw_cfg_add_file(pc->fw_cfg, name, b->data, b->len);
}

static int add_tables(struct pc *pc)
{
    struct acpi_blob commands;
    int st = vm__acpi_loader(&pc->acpi, &commands);
    if (st != VM_OK)
        return st;
    st = add_blob(pc, "etc/table-loader", &commands);
    vm__blob_free(&commands);
    if (st == VM_OK)
        st = add_blob(pc, ACPI_TABLES_FILE, &pc->acpi.part[ACPI_TABLES]);
    if (st == VM_OK)
        st = add_blob(pc, ACPI_RSDP_FILE, &pc->acpi.part[ACPI_RSDP]);
    if (st == VM_OK)
        st = add_blob(pc, "etc/smbios/smbios-tables", &pc->smbios.tables);
    if (st == VM_OK)
        st = vm__fw_cfg_add_file(pc->fw_cfg, "etc/smbios/smbios-anchor", pc->smbios.entry,
                                 sizeof pc->smbios.entry);
    return st;
}

int vm__pc_firmware_fill(struct pc *pc)
{
    fill_cmos(pc);
    int st = check_order(pc, "boot.order");
    if (st == VM_OK)
        st = check_order(pc, "boot.once");
    if (st == VM_OK)
        st = add_numbers(pc);
    if (st == VM_OK)
        st = add_e820(pc);
    if (st == VM_OK && !pc->direct)
        st = add_choices(pc);
    return st == VM_OK && !pc->direct ? add_tables(pc) : st;
}

/* ---- identity ---- */

/** "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" */
static bool parse_uuid(const char *text, uint8_t *uuid)
{
    int end = 0;
    unsigned v[16];
    int n = sscanf(text, "%2x%2x%2x%2x-%2x%2x-%2x%2x-%2x%2x-%2x%2x%2x%2x%2x%2x%n", &v[0], &v[1],
                   &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8], &v[9], &v[10], &v[11], &v[12],
                   &v[13], &v[14], &v[15], &end);
    for (int i = 0; i < n; i++)
        uuid[i] = (uint8_t)v[i];
    return n == 16 && end == 36 && text[36] == '\0';
}

int vm__pc_firmware_smbios(struct pc *pc)
{
    const char *text = vm__config_str(pc->m->config, "pc.uuid");
    if (text != NULL && !parse_uuid(text, pc->uuid))
        return vm__fail(VM_E_INVAL, "pc.uuid: %s is not a UUID", text);
    const char *model = vm__config_str(pc->m->config, "cpu.model");
    const struct smbios_params params = {
        .product = "PC (i440FX, PIIX3)",
        .cpu_model = model != NULL ? model : "default",
        .uuid = text != NULL ? pc->uuid : NULL,
        .n_cpus = pc->m->n_cpus,
        .bios_kib = pc->bios != NULL ? (uint32_t)(vm__region_size(pc->bios) >> 10) : 0,
        .low_ram = pc->low_ram,
        .high_ram = pc->high_ram,
    };
    return vm__smbios_build(&pc->smbios, &params);
}

void vm__pc_firmware_fini(struct pc *pc)
{
    vm__smbios_fini(&pc->smbios);
}
