/* SPDX-License-Identifier: MIT */
/**
 * @file test_boot.c
 * Direct boot: what each loader puts where, and what it says of broken kernels.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/boot/load.h"
#include "kernels.h"

enum { MIB = 1 << 20, RAM_SIZE = 64 * MIB };

static const struct boot_range ranges[] = {
    { 0, 0x9fc00, BOOT_RAM_USABLE },
    { 0x9fc00, 0x400, BOOT_RAM_RESERVED },
    { 0xf0000, 0x10000, BOOT_RAM_RESERVED },
    { MIB, RAM_SIZE - MIB, BOOT_RAM_USABLE },
};

static struct boot_request request(const struct kernel *k)
{
    return (struct boot_request) {
        .kernel = { .data = k->bytes, .len = k->len, .name = "kernel" },
        .cmdline = "console=ttyS0",
        .ranges = ranges,
        .n_ranges = sizeof ranges / sizeof ranges[0],
        .rsdp = 0xf0000,
    };
}

/** The guest byte at @p gpa as the plan leaves it; NULL if the plan does not reach it. */
static const uint8_t *at(const struct boot_plan *p, uint64_t gpa)
{
    static const uint8_t zero[4096];
    for (size_t i = 0; i < p->n_segs; i++) {
        const struct boot_segment *s = &p->segs[i];
        if (gpa >= s->gpa && gpa - s->gpa < s->len)
            return s->data + (gpa - s->gpa);
        if (gpa >= s->gpa && gpa - s->gpa < s->len + s->zeros)
            return zero;
    }
    return NULL;
}

static bool has_text(const struct boot_plan *p, uint64_t gpa, const char *text)
{
    const uint8_t *s = at(p, gpa);
    return s != NULL && strcmp((const char *)s, text) == 0;
}

static void load_ok(const struct boot_request *r, struct boot_plan *p)
{
    int st = vm__boot_load(r, p);
    cr_assert(eq(int, st, VM_OK), "%s", vm_last_error()->message);
    const uint8_t *gdt = at(p, p->entry.gdt_base);
    cr_assert(eq(u64, vm_le64(gdt + BOOT_SEL_CODE), UINT64_C(0x00cf9b000000ffff)));
}

static void load_fails(const struct boot_request *r, const char *words)
{
    struct boot_plan p;
    int st = vm__boot_load(r, &p);
    const char *message = vm_last_error()->message;
    cr_assert(lt(int, st, 0), "loaded, but '%s' was expected", words);
    cr_assert(strstr(message, words) != NULL, "'%s' lacks '%s'", message, words);
    cr_assert(strchr(message, '\n') == NULL);
    cr_assert(zero(sz, p.n_segs));
}

Test(bzimage, fills_the_zero_page)
{
    static struct kernel k;
    static const uint8_t initrd[5000] = { 1, 2, 3 };
    struct boot_module mod = { .file = { initrd, sizeof initrd, "initrd" }, .args = "initrd" };
    struct boot_plan p;
    kernel_linux(&k);
    struct boot_request r = request(&k);
    r.modules = &mod;
    r.n_modules = 1;
    load_ok(&r, &p);

    cr_assert(eq(u32, p.entry.eip, 0x100000));
    cr_assert(eq(u8, *at(&p, 0x100000), 0x90));
    const uint8_t *bp = at(&p, p.entry.esi);
    cr_assert(eq(u32, vm_le32(bp + 0x202), 0x53726448));
    cr_assert(eq(u8, bp[0x210], 0xff));
    cr_assert(eq(u8, bp[0x211], 0x01));
    cr_assert(eq(u64, vm_le64(bp + 0x70), 0xf0000));
    cr_assert(eq(u8, bp[0x1e8], 4));
    cr_assert(eq(u64, vm_le64(bp + 0x2d0 + 3 * 20), MIB));
    cr_assert(eq(u64, vm_le64(bp + 0x2d0 + 3 * 20 + 8), RAM_SIZE - MIB));
    cr_assert(eq(u32, vm_le32(bp + 0x1e0), (RAM_SIZE - MIB) / 1024));
    cr_assert(has_text(&p, vm_le32(bp + 0x228), "console=ttyS0"));
    uint32_t where = vm_le32(bp + 0x218);
    cr_assert(eq(u32, vm_le32(bp + 0x21c), sizeof initrd));
    cr_assert(eq(u32, where, RAM_SIZE - 8192));
    cr_assert(eq(u8, at(&p, where)[2], 3));
    vm__boot_plan_fini(&p);
}

Test(bzimage, keeps_the_initrd_below_the_kernels_limit)
{
    static struct kernel k;
    static const uint8_t initrd[5000];
    struct boot_module mod = { .file = { initrd, sizeof initrd, "initrd" }, .args = "initrd" };
    struct boot_plan p;
    kernel_linux(&k);
    vm_put_le32(k.bytes + 0x22c, 0x1ffffff);
    struct boot_request r = request(&k);
    r.modules = &mod;
    r.n_modules = 1;
    load_ok(&r, &p);
    cr_assert(eq(u32, vm_le32(at(&p, p.entry.esi) + 0x218), 0x2000000 - 8192));
    vm__boot_plan_fini(&p);

    /* Nothing is left between the kernel's own working area and this limit. */
    vm_put_le32(k.bytes + 0x22c, 0x1400fff);
    load_fails(&r, "no room in memory for the initrd");
}

Test(bzimage, says_what_is_wrong)
{
    static struct kernel k;
    kernel_linux(&k);
    struct boot_request r = request(&k);

    r.kernel.len = k.len - 600;
    load_fails(&r, "truncated kernel: 1960 bytes, its header promises 2560");
    r.kernel.len = 1536;
    load_fails(&r, "truncated kernel: 1536 bytes, its setup part alone has 1536");
    r.kernel.len = 0x200;
    load_fails(&r, "not a kernel");
    r.kernel.len = 0;
    load_fails(&r, "empty");
    r.kernel.len = k.len;

    vm_put_le32(k.bytes + 0x260, 60 * MIB);
    load_fails(&r, "needs memory up to 77 MiB");
    vm_put_le64(k.bytes + 0x258, UINT64_MAX - 5);
    load_fails(&r, "does not have");
    kernel_linux(&k);
    vm_put_le32(k.bytes + 0x238, 4);
    load_fails(&r, "the command line has 13 bytes, the kernel takes 4");
    kernel_linux(&k);
    k.bytes[0x211] = 0;
    load_fails(&r, "zImage");
    kernel_linux(&k);
    vm_put_le16(k.bytes + 0x206, 0x201);
    load_fails(&r, "2.01 is too old");
    kernel_linux(&k);
    k.bytes[0x201] = 2;
    load_fails(&r, "setup header ends");
    kernel_linux(&k);
    r.kernel.data = (const uint8_t *)"\x1f\x8b gzip";
    r.kernel.len = 7;
    load_fails(&r, "gzip");
}

Test(pvh, hands_over_start_info)
{
    static struct kernel k;
    static const uint8_t initrd[100] = { 7 };
    struct boot_module mod = { .file = { initrd, sizeof initrd, "initrd" }, .args = "initrd" };
    struct boot_plan p;
    kernel_pvh(&k);
    struct boot_request r = request(&k);
    r.modules = &mod;
    r.n_modules = 1;
    load_ok(&r, &p);

    cr_assert(eq(u32, p.entry.eip, 0x400010));
    cr_assert(eq(u8, *at(&p, 0x4003ff), 0x90));
    cr_assert(eq(u8, *at(&p, 0x4013ff), 0));
    cr_assert(at(&p, 0x401400) == NULL);
    const uint8_t *info = at(&p, p.entry.ebx);
    cr_assert(eq(u32, vm_le32(info), 0x336ec578));
    cr_assert(eq(u32, vm_le32(info + 4), 1));
    cr_assert(eq(u32, vm_le32(info + 12), 1));
    const uint8_t *module = at(&p, vm_le64(info + 16));
    cr_assert(eq(u8, *at(&p, vm_le64(module)), 7));
    cr_assert(eq(u64, vm_le64(module + 8), 100));
    cr_assert(has_text(&p, vm_le64(info + 24), "console=ttyS0"));
    cr_assert(eq(u64, vm_le64(info + 32), 0xf0000));
    cr_assert(eq(u32, vm_le32(info + 48), 4));
    const uint8_t *map = at(&p, vm_le64(info + 40));
    cr_assert(eq(u64, vm_le64(map + 24), 0x9fc00));
    cr_assert(eq(u32, vm_le32(map + 24 + 16), BOOT_RAM_RESERVED));
    vm__boot_plan_fini(&p);
}

Test(pvh, says_what_is_wrong)
{
    static struct kernel k;
    kernel_pvh(&k);
    struct boot_request r = request(&k);
    r.kernel.len = 0x7ff;
    load_fails(&r, "ELF file without a Multiboot header or a PVH entry note");
    r.kernel.len = 100;
    load_fails(&r, "ELF file without");
    r.kernel.len = k.len;
    vm_put_le64(k.bytes + 64 + 8, UINT64_MAX - 8);
    load_fails(&r, "truncated kernel: segment 0");
    kernel_pvh(&k);
    vm_put_le64(k.bytes + 64 + 40, 0x10);
    load_fails(&r, "larger in the file than in memory");
    kernel_pvh(&k);
    vm_put_le64(k.bytes + 64 + 40, UINT64_C(1) << 40);
    load_fails(&r, "not all memory of this machine");
    kernel_pvh(&k);
    vm_put_le64(k.bytes + 64 + 24, 0xa0000);
    load_fails(&r, "not all memory of this machine");
}

Test(multiboot, loads_elf_with_modules)
{
    static struct kernel k;
    static const uint8_t one[3] = "ab", two[5000] = "cd";
    struct boot_module mods[] = {
        { .file = { one, sizeof one, "one" }, .args = "one x=1" },
        { .file = { two, sizeof two, "two" }, .args = "two" },
    };
    struct boot_plan p;
    kernel_multiboot_elf(&k);
    struct boot_request r = request(&k);
    r.modules = mods;
    r.n_modules = 2;
    load_ok(&r, &p);

    cr_assert(eq(u32, p.entry.eip, 0x400020));
    cr_assert(eq(u32, p.entry.eax, 0x2badb002));
    const uint8_t *mbi = at(&p, p.entry.ebx);
    cr_assert(eq(u32, vm_le32(mbi), 0x24d));
    cr_assert(eq(u32, vm_le32(mbi + 4), 639));
    cr_assert(eq(u32, vm_le32(mbi + 8), 63 * 1024));
    cr_assert(has_text(&p, vm_le32(mbi + 16), "kernel console=ttyS0"));
    cr_assert(eq(u32, vm_le32(mbi + 20), 2));
    const uint8_t *list = at(&p, vm_le32(mbi + 24));
    cr_assert(eq(u32, vm_le32(list) & 0xfff, 0));
    cr_assert(eq(u32, vm_le32(list + 4) - vm_le32(list), 3));
    cr_assert(has_text(&p, vm_le32(list + 8), "one x=1"));
    cr_assert(has_text(&p, vm_le32(list + 16), "cd"));
    cr_assert(eq(u32, vm_le32(mbi + 44), 4 * 24));
    const uint8_t *map = at(&p, vm_le32(mbi + 48));
    cr_assert(eq(u32, vm_le32(map), 20));
    cr_assert(eq(u64, vm_le64(map + 3 * 24 + 4), MIB));
    vm__boot_plan_fini(&p);
}

Test(multiboot, loads_flat_images)
{
    static struct kernel k;
    struct boot_plan p;
    kernel_multiboot_flat(&k);
    struct boot_request r = request(&k);
    load_ok(&r, &p);
    cr_assert(eq(u32, p.entry.eip, 0x100100));
    cr_assert(eq(u32, vm_le32(at(&p, 0x100040)), 0x1badb002));
    cr_assert(eq(u8, *at(&p, 0x101fff), 0));
    cr_assert(at(&p, 0x102000) == NULL);
    vm__boot_plan_fini(&p);
}

Test(multiboot, says_what_is_wrong)
{
    static struct kernel k;
    kernel_multiboot_flat(&k);
    struct boot_request r = request(&k);
    r.kernel.len = 0x4f;
    load_fails(&r, "header is cut off");
    r.kernel.len = k.len;
    vm_put_le32(k.bytes + 0x40 + 20, 0x200000);
    load_fails(&r, "truncated kernel: it loads");
    vm_put_le32(k.bytes + 0x40 + 20, 0xfffff);
    load_fails(&r, "truncated kernel: it loads");
    kernel_multiboot_flat(&k);
    vm_put_le32(k.bytes + 0x40 + 16, 0x100041);
    load_fails(&r, "cannot be loaded from");
    kernel_multiboot_flat(&k);
    vm_put_le32(k.bytes + 0x40 + 24, 0xfffffff0);
    load_fails(&r, "not all memory");
    kernel_multiboot_elf(&k);
    r.kernel.len = 0x600;
    load_fails(&r, "truncated kernel: segment 0");
    r.kernel.len = k.len;
    vm_put_le32(k.bytes + 0x400 + 4, 3 | 1 << 5);
    vm_put_le32(k.bytes + 0x400 + 8, (uint32_t) - (0x1badb002 + (3 | 1 << 5)));
    load_fails(&r, "unknown features");
}

/* Segments are checked against RAM and against each other, so plans stay bounded whatever the
 * file says. Each round breaks a few bytes of a good kernel. */
Test(boot, survives_mutated_kernels)
{
    static void (*const make[])(struct kernel *) = { kernel_linux, kernel_pvh, kernel_multiboot_elf,
                                                     kernel_multiboot_flat };
    static struct kernel k;
    static const uint8_t initrd[5000];
    struct boot_module mod = { .file = { initrd, sizeof initrd, "initrd" }, .args = "initrd" };
    uint64_t rng = 88172645463325252u;
    unsigned loaded = 0, refused = 0;
    for (unsigned round = 0; round < 40000; round++) {
        make[round & 3](&k);
        for (unsigned i = 0; i <= round % 5; i++) {
            rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
            size_t where = (rng >> 8) % ((rng & 0x80) ? k.len : 0x300);
            k.bytes[where] = (rng & 0x40) ? (uint8_t)(rng >> 40) : (rng & 0x20) ? 0xff : 0;
        }
        struct boot_request r = request(&k);
        r.modules = &mod;
        r.n_modules = round >> 2 & 1;
        if ((round & 0x18) == 0x18)
            r.kernel.len = (rng >> 20) % (k.len + 1);
        uint8_t *exact = malloc(r.kernel.len + 1); /* so that a sanitizer sees reads past the end */
        memcpy(exact, k.bytes, r.kernel.len);
        r.kernel.data = exact;
        struct boot_plan p;
        if (vm__boot_load(&r, &p) == VM_OK) {
            cr_assert(le(u64, p.total_bytes, RAM_SIZE));
            vm__boot_plan_fini(&p);
            loaded++;
        } else {
            refused++;
        }
        free(exact);
    }
    cr_assert(gt(uint, loaded, 100));
    cr_assert(gt(uint, refused, 100));
}
