/* SPDX-License-Identifier: MIT */
/**
 * @file test_pc.c
 * The pc board: wiring as a guest sees it, and a direct boot as a kernel finds it.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvm/cpu.h>

#include "base/endian.h"
#include "base/error.h"
#include "core/chr.h"
#include "core/device.h"
#include "boards/pc.h"
#include "fake_cpu.h"
#include "kernels.h"

static struct vm_machine *build(const char *const *settings)
{
    struct vm_machine *m = fake_pc(settings);
    cr_assert(m != NULL, "%s", vm_last_error()->message);
    return m;
}

static uint32_t in(struct vm_machine *m, uint16_t port, unsigned size)
{
    return vm__port_read(m, port, size);
}

static void out(struct vm_machine *m, uint16_t port, unsigned size, uint32_t v)
{
    vm__port_write(m, port, size, v);
}

static uint32_t config(struct vm_machine *m, unsigned dev, unsigned fn, unsigned reg, unsigned size)
{
    out(m, 0xcf8, 4, 0x80000000u | dev << 11 | fn << 8 | (reg & 0xfc));
    return in(m, (uint16_t)(0xcfc + (reg & 3)), size);
}

static uint64_t peek(struct vm_machine *m, uint64_t gpa)
{
    uint8_t bytes[8];
    cr_assert(eq(int, vm__mem_read(m, gpa, bytes, sizeof bytes), VM_OK));
    return vm_le64(bytes);
}

/** A kernel in a file that goes away with the test's process. */
static const char *file_of(const struct kernel *k)
{
    static char path[] = "/tmp/libvm-kernel-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(ge(int, fd, 0));
    cr_assert(eq(long, (long)write(fd, k->bytes, k->len), (long)k->len));
    (void)close(fd);
    return path;
}

Test(pc, parts_are_where_guests_look)
{
    struct vm_machine *m = build(NULL);
    cr_assert(eq(u32, config(m, 0, 0, 0, 4), 0x12378086));
    cr_assert(eq(u32, config(m, 1, 0, 0, 4), 0x70008086));
    cr_assert(eq(u32, config(m, 1, 3, 0, 4), 0x71138086));
    cr_assert(eq(u32, config(m, 1, 0, 0x0e, 1), 0x80));
    cr_assert(eq(u32, config(m, 7, 0, 0, 4), UINT32_MAX));
    out(m, 0x21, 1, 0x5a);
    cr_assert(eq(u32, in(m, 0x21, 1), 0x5a));
    cr_assert(eq(u32, in(m, 0x3fd, 1), 0x60)); /* LSR: empty */
    cr_assert(eq(u32, in(m, 0x2fd, 1), 0xff)); /* no COM2 */
    cr_assert(eq(u64, vm__mmio_read(m, VM_VIEW_NORMAL, 0xfed00000, 4), PC_HPET_ID));
    out(m, 0x510, 2, 5);
    cr_assert(eq(u32, in(m, 0x511, 1), 1)); /* fw_cfg: one processor */
    fake_pc_free(m);
}

Test(pc, memory_has_a_hole_below_4_gib)
{
    const char *const settings[] = { "memory.size", "5G", NULL };
    struct vm_machine *m = build(settings);
    struct vm_mem_page page;
    vm__mem_page(m, VM_VIEW_NORMAL, 0xbffff000, &page);
    cr_assert(page.host != NULL && page.writable);
    vm__mem_page(m, VM_VIEW_NORMAL, 0xc0000000, &page);
    cr_assert(page.host == NULL);
    vm__mem_page(m, VM_VIEW_NORMAL, 0x17ffff000, &page);
    cr_assert(page.host != NULL);
    vm__mem_page(m, VM_VIEW_NORMAL, 0x180000000, &page);
    cr_assert(page.host == NULL);
    out(m, 0x70, 1, 0x5c);
    cr_assert(eq(u32, in(m, 0x71, 1), 0x80)); /* 2 GiB above 4 GiB in 64 KiB units: 0x8000 */
    fake_pc_free(m);
}

Test(pc, refuses_what_it_cannot_have)
{
    static const char *const cases[][3] = {
        { "memory.size", "1T", "memory.size" },
        { "memory.size", "2097153", "multiple of 4 KiB" },
        { "serial0", "maybe", "neither on nor off" },
        { "device.0", "no-such-device", "no-such-device" },
        { "boot.kernel", "/nonexistent/kernel", "/nonexistent/kernel: No such file" },
        { "boot.kernel", "/tmp", "/tmp: Is a directory" },
        { "boot.cmdline", "quiet", "there is no kernel" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const settings[] = { cases[i][0], cases[i][1], NULL };
        cr_assert(fake_pc(settings) == NULL, "%s=%s", cases[i][0], cases[i][1]);
        cr_assert(strstr(vm_last_error()->message, cases[i][2]) != NULL, "%s",
                  vm_last_error()->message);
    }
}

Test(pc, lines_are_shared)
{
    const char *const settings[] = { "serial2", "on", NULL };
    struct vm_machine *m = build(settings);
    vm__lock(m);
    /* 8259: initialise, unmask 4, level triggered is not needed to see the request. */
    out(m, 0x20, 1, 0x11);
    out(m, 0x21, 1, 8);
    out(m, 0x21, 1, 4);
    out(m, 0x21, 1, 1);
    out(m, 0x4d0, 1, 1 << 4);
    /* THRE interrupts of COM1 and COM3, one after the other gone. */
    out(m, 0x3fc, 1, 8);
    out(m, 0x3ec, 1, 8);
    out(m, 0x3f9, 1, 2);
    out(m, 0x3e9, 1, 2);
    out(m, 0x20, 1, 0x0a); /* read IRR */
    cr_assert(eq(u32, in(m, 0x20, 1) & 0x10, 0x10));
    out(m, 0x3f9, 1, 0);
    cr_assert(eq(u32, in(m, 0x20, 1) & 0x10, 0x10));
    out(m, 0x3e9, 1, 0);
    cr_assert(eq(u32, in(m, 0x20, 1) & 0x10, 0));
    vm__unlock(m);
    fake_pc_free(m);
}

/** The state a kernel is entered with; also after a reset that follows a guest's own writes. */
static void check_entry(struct vm_machine *m)
{
    cr_assert(eq(u64, fake_reg(m, VM_X86_RIP), 0x100100));
    cr_assert(eq(u64, fake_reg(m, VM_X86_RAX), 0x2badb002));
    cr_assert(eq(u64, fake_reg(m, VM_X86_CR0), 0x11));
    cr_assert(eq(u64, fake_reg(m, VM_X86_CS), 0x10));
    cr_assert(eq(u64, fake_reg(m, VM_X86_SEG_ACCESS + 1), 0xc09b));
    cr_assert(eq(u64, fake_reg(m, VM_X86_SEG_LIMIT + 3), UINT32_MAX));
    cr_assert(eq(u64, peek(m, 0x100100), UINT64_C(0x9090909090909090)));
    uint64_t mbi = fake_reg(m, VM_X86_RBX);
    char text[64];
    cr_assert(eq(int, vm__mem_read(m, peek(m, mbi + 16) & 0xffffffff, text, sizeof text), VM_OK));
    cr_assert(strstr(text, " hello") != NULL, "%.64s", text);
    /* ACPI: root pointer, PM block enabled, shadow RAM writable. */
    cr_assert(eq(u64, peek(m, 0xf0000), UINT64_C(0x2052545020445352)));
    cr_assert(eq(u32, config(m, 1, 3, 0x40, 4), 0x601));
    uint32_t t1 = in(m, 0x608, 4);
    cr_assert(ne(u32, t1, UINT32_MAX));
    cr_assert(eq(u32, config(m, 1, 0, 0x60, 4), 0x0b0b0a0a));
}

Test(pc, starts_a_kernel_and_again_after_reset)
{
    static struct kernel k;
    kernel_multiboot_flat(&k);
    const char *path = file_of(&k);
    const char *const settings[] = { "boot.kernel", path, "boot.cmdline", "hello", "memory.size",
                                     "16M",         NULL };
    struct vm_machine *m = build(settings);
    (void)unlink(path); /* read once, when the machine was built */
    check_entry(m);

    static const uint8_t junk[4096] = { 0xcc, 0xcc };
    cr_assert(eq(int, vm__mem_write(m, 0x100000, junk, sizeof junk), VM_OK));
    out(m, 0xcf8, 4, 0x80000840 | 0x300);
    out(m, 0xcfc, 4, 0);
    cr_assert(eq(int, vm__machine_reset_now(m, VM_RESET_WARM), VM_OK));
    check_entry(m);
    fake_pc_free(m);
}

Test(pc, gives_modules_to_multiboot_kernels)
{
    static struct kernel k;
    kernel_multiboot_flat(&k);
    const char *path = file_of(&k);
    char list[256];
    (void)snprintf(list, sizeof list, "%s a=1,,2,%s", path, path);
    const char *const settings[] = { "boot.kernel", path, "boot.initrd", list, NULL };
    struct vm_machine *m = build(settings);
    (void)unlink(path);
    uint64_t mbi = fake_reg(m, VM_X86_RBX);
    cr_assert(eq(u64, peek(m, mbi + 20) & 0xffffffff, 2));
    uint64_t mods = peek(m, mbi + 24) & 0xffffffff;
    char args[64];
    cr_assert(eq(int, vm__mem_read(m, peek(m, mods + 8) & 0xffffffff, args, sizeof args), VM_OK));
    cr_assert(strstr(args, " a=1,2") != NULL, "%.64s", args);
    fake_pc_free(m);
}

Test(pc, power_button_asks_the_guest)
{
    static struct kernel k;
    kernel_multiboot_flat(&k);
    const char *path = file_of(&k);
    const char *const settings[] = { "boot.kernel", path, NULL };
    struct vm_machine *m = build(settings);
    (void)unlink(path);
    vm__lock(m);
    cr_assert(eq(u32, in(m, 0x600, 2) & 0x100, 0));
    m->board->power_button(m);
    cr_assert(eq(u32, in(m, 0x600, 2) & 0x100, 0x100));
    vm__unlock(m);
    fake_pc_free(m);
}
