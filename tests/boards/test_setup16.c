/* SPDX-License-Identifier: MIT */
/**
 * @file test_setup16.c
 * Kernels started at their 16-bit entry: what goes where, and the option ROM that takes it there.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/boot/load.h"
#include "boards/boot/setup16.h"
#include "kernels.h"

enum { MIB = 1 << 20, RAM_SIZE = 64 * MIB };

static const struct boot_range ranges[] = {
    { 0x10000, 0x8fc00, BOOT_RAM_USABLE },
    { MIB, RAM_SIZE - 2 * MIB, BOOT_RAM_USABLE },
};

static struct kernel kernel;
static struct boot_plan plan;
static struct boot_setup16 setup;

static struct boot_request request(uint16_t version, uint8_t loadflags)
{
    kernel_linux(&kernel);
    vm_put_le16(kernel.bytes + 0x206, version);
    kernel.bytes[0x211] = loadflags;
    return (struct boot_request) {
        .kernel = { .data = kernel.bytes, .len = kernel.len, .name = "kernel" },
        .cmdline = "hello",
        .ranges = ranges,
        .n_ranges = sizeof ranges / sizeof ranges[0],
    };
}

static const uint8_t *code(void)
{
    return setup.part[BOOT_PART_SETUP].data;
}

Test(setup16, is_needed_by_old_kernels_only)
{
    (void)request(0x20f, 1);
    cr_assert(not(vm__boot_needs_setup(kernel.bytes, kernel.len)));
    (void)request(0x207, 1);
    cr_assert(vm__boot_needs_setup(kernel.bytes, kernel.len));
    (void)request(0x20f, 0);
    cr_assert(vm__boot_needs_setup(kernel.bytes, kernel.len));
    kernel_multiboot_flat(&kernel);
    cr_assert(not(vm__boot_needs_setup(kernel.bytes, kernel.len)));
    cr_assert(not(vm__boot_needs_setup(kernel.bytes, 4)));
}

Test(setup16, a_bzimage_goes_high_and_its_setup_anywhere)
{
    struct boot_request r = request(0x20f, 1);
    cr_assert(eq(int, vm__boot_setup16(&r, &plan, &setup), VM_OK));
    cr_assert(eq(u64, setup.part[BOOT_PART_KERNEL].gpa, MIB));
    cr_assert(eq(u64, setup.part[BOOT_PART_KERNEL].len, 1024));
    cr_assert(eq(u64, setup.part[BOOT_PART_SETUP].gpa, (uint64_t)setup.segment << 4));
    cr_assert(eq(u64, setup.part[BOOT_PART_SETUP].len, 3 * 512));
    cr_assert(eq(u32, vm_le32(code() + 0x228), (uint32_t)setup.part[BOOT_PART_CMDLINE].gpa));
    cr_assert(eq(u8, code()[0x211] & 0x80, 0x80));
    cr_assert(eq(u32, vm_le16(code() + 0x224) + 0x200, setup.sp));
    cr_assert(eq(u8, kernel.bytes[0x210], 0), "the file itself is left alone");
    vm__boot_plan_fini(&plan);
}

Test(setup16, a_zimage_goes_low_and_finds_its_command_line_the_old_way)
{
    struct boot_request r = request(0x201, 0);
    cr_assert(eq(int, vm__boot_setup16(&r, &plan, &setup), VM_OK));
    cr_assert(eq(u64, setup.part[BOOT_PART_KERNEL].gpa, 0x10000));
    cr_assert(eq(u32, setup.segment, 0x9000));
    cr_assert(eq(u32, vm_le16(code() + 0x20), 0xa33f));
    cr_assert(eq(u64, 0x90000u + vm_le16(code() + 0x22), setup.part[BOOT_PART_CMDLINE].gpa));
    vm__boot_plan_fini(&plan);
}

Test(setup16, an_initrd_goes_as_high_as_allowed)
{
    static const uint8_t bytes[5000];
    const struct boot_module mod = { .file = { bytes, sizeof bytes, "initrd" }, .args = "" };
    struct boot_request r = request(0x203, 1);
    r.modules = &mod;
    r.n_modules = 1;
    vm_put_le32(kernel.bytes + 0x22c, 8 * MIB - 1);
    cr_assert(eq(int, vm__boot_setup16(&r, &plan, &setup), VM_OK));
    cr_assert(eq(u64, setup.part[BOOT_PART_INITRD].gpa, 8 * MIB - 8192));
    cr_assert(eq(u32, vm_le32(code() + 0x218), 8 * MIB - 8192));
    cr_assert(eq(u32, vm_le32(code() + 0x21c), 5000));
    vm__boot_plan_fini(&plan);
}

Test(setup16, what_cannot_be_is_refused)
{
    static char line[300];
    memset(line, 'x', sizeof line - 1);
    struct boot_request r = request(0x205, 1);
    r.cmdline = line;
    cr_assert(eq(int, vm__boot_setup16(&r, &plan, &setup), VM_E_RANGE));
    r = request(0x20f, 1);
    r.kernel.len = 3 * 512;
    cr_assert(eq(int, vm__boot_setup16(&r, &plan, &setup), VM_E_CORRUPT));
    r = request(0x20f, 1);
    kernel.bytes[0x1f1] = 200;
    r.kernel.len = sizeof kernel.bytes;
    cr_assert(eq(int, vm__boot_setup16(&r, &plan, &setup), VM_E_CORRUPT));
    kernel_multiboot_flat(&kernel);
    r = (struct boot_request) { .kernel = { kernel.bytes, kernel.len, "kernel" } };
    cr_assert(eq(int, vm__boot_setup16(&r, &plan, &setup), VM_E_NOTSUP));
}

Test(setup16, the_rom_is_one_a_bios_accepts)
{
    static const uint16_t keys[BOOT_PARTS] = { 0x18, 0x11, 0x15, 0x12 };
    uint8_t rom[BOOT_ROM_BYTES], sum = 0;
    struct boot_request r = request(0x20f, 1);
    cr_assert(eq(int, vm__boot_setup16(&r, &plan, &setup), VM_OK));
    vm__boot_rom(&setup, keys, rom);
    vm__boot_plan_fini(&plan);
    cr_assert(eq(u32, vm_le16(rom), 0xaa55));
    cr_assert(eq(u32, rom[2] * 512u, BOOT_ROM_BYTES));
    for (unsigned i = 0; i < BOOT_ROM_BYTES; i++)
        sum = (uint8_t)(sum + rom[i]);
    cr_assert(eq(u8, sum, 0));
    const uint8_t *pnp = rom + vm_le16(rom + 0x1a);
    cr_assert(eq(int, memcmp(pnp, "$PnP", 4), 0));
    for (unsigned i = 0; i < 16u * pnp[5]; i++)
        sum = (uint8_t)(sum + pnp[i]);
    cr_assert(eq(u8, sum, 0));
    cr_assert(eq(u8, rom[vm_le16(pnp + 0x1a)], 0xfa)); /* the entry: cli */
    /* Three parts, then the end. */
    const uint8_t *row = rom + 0xa0;
    cr_assert(eq(u32, vm_be32(row), 0x0018000a));
    cr_assert(eq(u64, vm_be64(row + 8), setup.part[BOOT_PART_SETUP].gpa));
    cr_assert(eq(u32, vm_be32(row + 16), 0x0011000a));
    cr_assert(eq(u32, vm_be32(row + 32), 0x0015000a));
    cr_assert(eq(u32, vm_be32(row + 48), 0));
}
