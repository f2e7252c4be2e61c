/* SPDX-License-Identifier: MIT */
/**
 * @file test_garbage_guest.c
 * A guest gone mad, through the public interface: its processor writes random values to random
 * ports and device windows, its own local APIC included, until it falls over; then it is reset and
 * goes on. The process must neither crash nor grow.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvm/libvm.h>

/* The guest, a flat Multiboot image at 1 MiB. EBX is a xorshift generator; its bits choose. */
__asm__(".pushsection .rodata\n"
        ".code32\n"
        "guest_start:\n"
        ".long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)\n"
        ".long 0x100000, 0x100000, 0, 0, 0x100020\n"
        "  mov $0x90000, %esp\n"
        "  rdtsc\n"
        "  mov %eax, %ebx\n"
        "  or $1, %ebx\n"
        "0:mov %ebx, %eax; shl $13, %eax; xor %eax, %ebx\n"
        "  mov %ebx, %eax; shr $17, %eax; xor %eax, %ebx\n"
        "  mov %ebx, %eax; shl $5, %eax; xor %eax, %ebx\n"
        "  mov %ebx, %eax\n"
        "  mov %ebx, %edx\n"
        "  shr $12, %edx\n"
        "  test $0x100, %ebx\n"
        "  jz 1f\n"
        "  and $0x7ff, %edx\n" /* most chips are below 0x800 */
        "1:test $1, %ebx\n"
        "  jz 4f\n"
        "  test $6, %ebx\n"
        "  jz 3f\n"
        "  test $8, %ebx\n"
        "  jz 2f\n"
        "  out %al, %dx\n"
        "  jmp 0b\n"
        "2:out %eax, %dx\n"
        "  jmp 0b\n"
        "3:in %dx, %eax\n"
        "  jmp 0b\n"
        "4:mov %ebx, %ecx\n" /* memory: a window of the table, an offset in its first page */
        "  shr $5, %ecx\n"
        "  and $7, %ecx\n"
        "  mov 0x100000 + (9f - guest_start)(, %ecx, 4), %edi\n"
        "  and $0xffc, %edx\n"
        "  add %edx, %edi\n"
        "  test $6, %ebx\n"
        "  jz 5f\n"
        "  mov %eax, (%edi)\n"
        "  jmp 0b\n"
        "5:mov (%edi), %eax\n"
        "  jmp 0b\n"
        "9:.long 0xfec00000, 0xfed00000, 0xfee00000, 0xff000000\n"
        "  .long 0x000a0000, 0x000f0000, 0xe0000000, 0xfff80000\n"
        "guest_end:\n"
        ".code64\n"
        ".popsection\n");
extern const char guest_start[], guest_end[];

/**
 * Address space and heap in use. The pages behind guest memory and code caches come as the guest
 * touches them, up to what was reserved when the machine was built: they say nothing.
 */
struct usage {
    long mapped_kib, heap_kib;
};

static struct usage usage(void)
{
    struct usage u = { .heap_kib = (long)(mallinfo2().uordblks / 1024) };
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert(f != NULL);
    cr_assert(eq(int, fscanf(f, "%ld", &u.mapped_kib), 1));
    (void)fclose(f);
    u.mapped_kib *= sysconf(_SC_PAGESIZE) / 1024;
    return u;
}

static vm_machine *build(void)
{
    static const char *const settings[][2] = {
        { "memory.size", "16M" },         { "cpu.count", "2" },          { "serial1", "on" },
        { "device.0", "isa-debug-exit" }, { "device.1", "debugcon" },    { "device.2", "pvpanic" },
        { "device.3", "pc-testdev" },     { "device.4", "pci-testdev" },
    };
    char path[] = "/tmp/libvm-guest-XXXXXX";
    int fd = mkstemp(path);
    size_t len = (size_t)(guest_end - guest_start);
    cr_assert(ge(int, fd, 0));
    cr_assert(eq(long, (long)write(fd, guest_start, len), (long)len));
    (void)close(fd);
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = vm_config_new(ctx, "pc");
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        cr_assert(eq(int, vm_config_set_str(cfg, settings[i][0], settings[i][1]), VM_OK));
    cr_assert(eq(int, vm_config_set_str(cfg, "boot.kernel", path), VM_OK));
    vm_machine *m = vm_machine_build(cfg);
    cr_assert(m != NULL, "%s", vm_last_error()->message);
    vm_config_free(cfg);
    vm_ctx_unref(ctx);
    (void)unlink(path);
    return m;
}

/** Run and reset, @p rounds times. @return instructions executed */
static uint64_t torment(vm_machine *m, unsigned rounds)
{
    vm_exit e = { .size = sizeof e };
    uint64_t insns = 0;
    for (unsigned i = 0; i < rounds; i++) {
        int st = vm_run(m, 200000, 100 * 1000000, &e);
        cr_assert(eq(int, st, VM_OK), "%s %s", vm_last_error()->message, e.text);
        insns = e.icount;
        if (e.reason != VM_EXIT_BUDGET || i % 4 == 3)
            cr_assert(eq(int, vm_machine_reset(m, VM_RESET_COLD), VM_OK), "%s",
                      vm_last_error()->message);
    }
    return insns;
}

Test(garbage, guest_on_a_rampage, .timeout = 200)
{
    vm_machine *m = build();
    uint64_t warm = torment(m, 100);
    struct usage before = usage();
    uint64_t insns = torment(m, 600);
    struct usage after = usage();
    cr_assert(gt(u64, insns, warm));
    cr_assert(lt(long, after.heap_kib - before.heap_kib, 256), "the heap grew by %ld KiB",
              after.heap_kib - before.heap_kib);
    cr_assert(lt(long, after.mapped_kib - before.mapped_kib, 1024), "mappings grew by %ld KiB",
              after.mapped_kib - before.mapped_kib);
    vm_machine_destroy(m);
}
