/* SPDX-License-Identifier: MIT */
/**
 * @file test_firmware.c
 * What the pc board gives firmware: its ROM in two places, CMOS memory, fw_cfg, SMBIOS.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/pc.h"
#include "boards/smbios.h"
#include "core/device.h"
#include "devices/firmware/fw_cfg.h"
#include "fake_cpu.h"

enum { ROM_BYTES = 0x40000 };

/** A ROM whose dwords hold their offset. */
static const char *make_rom(void)
{
    static char path[32];
    static uint8_t rom[ROM_BYTES];
    (void)snprintf(path, sizeof path, "/tmp/libvm-rom-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(ge(int, fd, 0));
    for (uint32_t i = 0; i < ROM_BYTES; i += 4)
        vm_put_le32(rom + i, i);
    cr_assert(eq(long, (long)write(fd, rom, sizeof rom), (long)sizeof rom));
    (void)close(fd);
    return path;
}

/** With up to two settings more. */
static struct vm_machine *build(const char *k1, const char *v1, const char *k2, const char *v2)
{
    const char *rom = make_rom();
    const char *const settings[] = {
        "firmware.bios", rom, k1, v1, k1 != NULL ? k2 : NULL, v2, NULL
    };
    struct vm_machine *m = fake_pc(settings);
    (void)unlink(rom);
    cr_assert(m != NULL, "%s", vm_last_error()->message);
    return m;
}

static uint32_t peek(struct vm_machine *m, uint64_t gpa)
{
    uint8_t bytes[4];
    cr_assert(eq(int, vm__mem_read(m, gpa, bytes, sizeof bytes), VM_OK));
    return vm_le32(bytes);
}

static uint8_t cmos(struct vm_machine *m, uint8_t index)
{
    vm__port_write(m, 0x70, 1, index);
    return (uint8_t)vm__port_read(m, 0x71, 1);
}

static const uint8_t *file(struct vm_machine *m, const char *name, size_t *len)
{
    return vm__fw_cfg_file(vm__dev_find(m, "fw_cfg"), name, len);
}

static void set_pam(struct vm_machine *m, uint32_t value)
{
    vm__port_write(m, 0xcf8, 4, 0x80000058);
    vm__port_write(m, 0xcfd, 1, value);
}

Test(firmware, rom_is_below_4_gib_and_its_end_below_1_mib)
{
    struct vm_machine *m = build(NULL, NULL, NULL, NULL);
    cr_assert(eq(u32, peek(m, 0xfffc0000), 0));
    cr_assert(eq(u32, peek(m, 0xfffffff0), 0x3fff0));
    cr_assert(eq(u32, peek(m, 0xe0000), 0x20000));
    cr_assert(eq(u32, peek(m, 0xffff0), 0x3fff0));
    fake_pc_free(m);
}

Test(firmware, shadow_ram_goes_over_the_rom_until_reset)
{
    struct vm_machine *m = build(NULL, NULL, NULL, NULL);
    set_pam(m, 0x20); /* reads ROM, writes RAM */
    vm__mmio_write(m, VM_VIEW_NORMAL, 0xffff0, 4, 0x12345678);
    cr_assert(eq(u32, peek(m, 0xffff0), 0x3fff0));
    set_pam(m, 0x10); /* reads RAM */
    cr_assert(eq(u32, peek(m, 0xffff0), 0x12345678));
    cr_assert(eq(int, vm__machine_reset_now(m, VM_RESET_WARM), VM_OK));
    cr_assert(eq(u32, peek(m, 0xffff0), 0x3fff0));
    fake_pc_free(m);
}

Test(firmware, boot_order_is_in_cmos_memory)
{
    struct vm_machine *m = build("boot.order", "dan", "boot.once", "c");
    cr_assert(eq(u8, cmos(m, 0x3d), 0x02));
    cr_assert(eq(int, vm__machine_reset_now(m, VM_RESET_WARM), VM_OK));
    cr_assert(eq(u8, cmos(m, 0x3d), 0x13));
    cr_assert(eq(u8, cmos(m, 0x38), 0x40));
    fake_pc_free(m);
    m = build("boot.floppy_check", "off", NULL, NULL);
    cr_assert(eq(u8, cmos(m, 0x38), 0x31)); /* "cad" */
    fake_pc_free(m);
}

Test(firmware, cmos_memory_tells_sizes_and_adds_up)
{
    struct vm_machine *m = build("memory.size", "5G", "cpu.count", "3");
    cr_assert(eq(u32, cmos(m, 0x34) | cmos(m, 0x35) << 8, 0xbf00)); /* 3 GiB - 16 MiB */
    cr_assert(eq(u32, cmos(m, 0x5b) | cmos(m, 0x5c) << 8, 0x8000));
    cr_assert(eq(u8, cmos(m, 0x5f), 2));
    cr_assert(eq(u8, cmos(m, 0x14) & 6, 6));
    uint32_t sum = 0;
    for (uint8_t i = 0x10; i < 0x2e; i++)
        sum += cmos(m, i);
    cr_assert(eq(u32, sum & 0xffff, cmos(m, 0x2e) << 8 | cmos(m, 0x2f)));
    fake_pc_free(m);
}

Test(firmware, memory_map_is_plain_ram)
{
    struct vm_machine *m = build("memory.size", "5G", NULL, NULL);
    size_t len;
    const uint8_t *map = file(m, "etc/e820", &len);
    cr_assert(eq(sz, len, 40));
    cr_assert(eq(u64, vm_le64(map), 0));
    cr_assert(eq(u64, vm_le64(map + 8), UINT64_C(3) << 30));
    cr_assert(eq(u64, vm_le64(map + 20), UINT64_C(4) << 30));
    cr_assert(eq(u64, vm_le64(map + 28), UINT64_C(2) << 30));
    fake_pc_free(m);
}

/** Do what firmware does with the commands; the tables must then be right. */
Test(firmware, table_loader_makes_tables_that_add_up)
{
    struct vm_machine *m = build(NULL, NULL, NULL, NULL);
    static uint8_t part[2][0x8000];
    static const uint32_t base[2] = { 0x7000000, 0xf5000 };
    static const char *const names[2] = { "etc/acpi/tables", "etc/acpi/rsdp" };
    size_t size[2], len;
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *bytes = file(m, names[i], &size[i]);
        cr_assert(bytes != NULL && size[i] <= sizeof part[i]);
        memcpy(part[i], bytes, size[i]);
    }
    const uint8_t *c = file(m, "etc/table-loader", &len);
    cr_assert(c != NULL && len % 128 == 0);
    for (const uint8_t *end = c + len; c < end; c += 128) {
        unsigned which = strcmp((const char *)c + 4, names[1]) == 0;
        if (vm_le32(c) == 2) {
            unsigned target = strcmp((const char *)c + 60, names[1]) == 0;
            uint8_t *at = &part[which][vm_le32(c + 116)];
            vm_put_le_n(at, c[120], vm_le_n(at, c[120]) + base[target]);
        } else if (vm_le32(c) == 3) {
            uint8_t sum = 0;
            for (uint32_t i = 0; i < vm_le32(c + 68); i++)
                sum = (uint8_t)(sum + part[which][vm_le32(c + 64) + i]);
            part[which][vm_le32(c + 60)] -= sum;
        }
    }
    uint8_t sum = 0;
    for (unsigned i = 0; i < 36; i++)
        sum = (uint8_t)(sum + part[1][i]);
    cr_assert(eq(u8, sum, 0));
    const uint8_t *rsdt = &part[0][vm_le32(&part[1][16]) - base[0]];
    cr_assert(eq(int, memcmp(rsdt, "RSDT", 4), 0));
    const uint8_t *fadt = &part[0][vm_le32(rsdt + 36) - base[0]];
    cr_assert(eq(int, memcmp(fadt, "FACP", 4), 0));
    const uint8_t *dsdt = &part[0][vm_le32(fadt + 40) - base[0]];
    cr_assert(eq(int, memcmp(dsdt, "DSDT", 4), 0));
    sum = 0;
    for (uint32_t i = 0; i < vm_le32(dsdt + 4); i++)
        sum = (uint8_t)(sum + dsdt[i]);
    cr_assert(eq(u8, sum, 0));
    fake_pc_free(m);
}

Test(firmware, smbios_structures_can_be_walked)
{
    struct vm_machine *m =
        build("cpu.count", "3", "pc.uuid", "00112233-4455-6677-8899-aabbccddeeff");
    size_t len, n_entry;
    const uint8_t *t = file(m, "etc/smbios/smbios-tables", &len);
    const uint8_t *e = file(m, "etc/smbios/smbios-anchor", &n_entry);
    unsigned n = 0, seen[128] = { 0 };
    cr_assert(eq(sz, n_entry, SMBIOS_ENTRY_BYTES));
    cr_assert(eq(u32, vm_le16(e + 0x16), (uint32_t)len));
    for (size_t at = 0; at < len; n++) {
        const uint8_t *s = t + at;
        cr_assert(lt(u8, s[0], 128));
        seen[s[0]]++;
        if (s[0] == 1)
            cr_assert(eq(int, memcmp(s + 8, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99", 10), 0));
        for (at += s[1]; t[at] != 0 || t[at + 1] != 0; at++)
            cr_assert(lt(sz, at + 2, len));
        at += 2;
    }
    cr_assert(eq(u32, n, vm_le16(e + 0x1c)));
    static const uint8_t types[] = { 0, 1, 3, 16, 17, 19, 32, 127 };
    for (size_t i = 0; i < sizeof types; i++)
        cr_assert(eq(u32, seen[types[i]], 1), "type %d", types[i]);
    cr_assert(eq(u32, seen[4], 3));
    fake_pc_free(m);
}

Test(firmware, there_need_not_be_any)
{
    const char *const settings[] = { "firmware.bios", "none", NULL };
    struct vm_machine *m = fake_pc(settings);
    cr_assert(m != NULL);
    cr_assert(eq(u32, peek(m, 0x1000), 0));
    uint8_t bytes[4];
    cr_assert(ne(int, vm__mem_read(m, 0xfffffff0, bytes, sizeof bytes), VM_OK));
    fake_pc_free(m);
}
