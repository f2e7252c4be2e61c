/* SPDX-License-Identifier: MIT */
#include "kernels.h"

#include <string.h>

#include "base/endian.h"

void kernel_linux(struct kernel *k)
{
    uint8_t *b = k->bytes;
    memset(k, 0, sizeof *k);
    k->len = 3 * 512 + 1024;
    b[0x1f1] = 2;
    vm_put_le32(b + 0x1f4, 1024 / 16);
    vm_put_le16(b + 0x1fe, 0xaa55);
    b[0x200] = 0xeb;
    b[0x201] = 0x6a; /* header ends at 0x26c */
    memcpy(b + 0x202, "HdrS", 4);
    vm_put_le16(b + 0x206, 0x20f);
    b[0x211] = 0x41;
    vm_put_le32(b + 0x214, 0x100000);
    vm_put_le32(b + 0x22c, 0x7fffffff);
    vm_put_le32(b + 0x230, 0x200000);
    b[0x234] = 1;
    vm_put_le32(b + 0x238, 2047);
    vm_put_le64(b + 0x258, 0x1000000);
    vm_put_le32(b + 0x260, 0x400000);
    memset(b + 3 * 512, 0x90, 1024);
}

static void elf_header(struct kernel *k, int is64, uint32_t phnum, uint64_t entry)
{
    uint8_t *b = k->bytes;
    memcpy(b, "\177ELF", 4);
    b[4] = is64 ? 2 : 1;
    b[5] = 1;
    b[6] = 1;
    vm_put_le16(b + 16, 2);
    vm_put_le16(b + 18, is64 ? 62 : 3);
    if (is64) {
        vm_put_le64(b + 24, entry);
        vm_put_le64(b + 32, 64);
        vm_put_le16(b + 54, 56);
        vm_put_le16(b + 56, (uint16_t)phnum);
    } else {
        vm_put_le32(b + 24, (uint32_t)entry);
        vm_put_le32(b + 28, 52);
        vm_put_le16(b + 42, 32);
        vm_put_le16(b + 44, (uint16_t)phnum);
    }
}

void kernel_pvh(struct kernel *k)
{
    memset(k, 0, sizeof *k);
    k->len = 0xa00;
    elf_header(k, 1, 2, UINT64_C(0xffffffff81000000));
    uint8_t *load = k->bytes + 64, *note = load + 56, *text = k->bytes + 0x400;
    vm_put_le32(load, 1);
    vm_put_le64(load + 8, 0x400);
    vm_put_le64(load + 16, UINT64_C(0xffffffff81000000));
    vm_put_le64(load + 24, 0x400000);
    vm_put_le64(load + 32, 0x400);
    vm_put_le64(load + 40, 0x1400);
    vm_put_le32(note, 4);
    vm_put_le64(note + 8, 0x800);
    vm_put_le64(note + 32, 0x48);
    memset(text, 0x90, 0x400);
    /* A note of someone else's first, then Xen's. */
    uint8_t *n = k->bytes + 0x800;
    vm_put_le32(n, 5);
    vm_put_le32(n + 4, 3);
    vm_put_le32(n + 8, 18);
    memcpy(n + 12, "Fake", 5);
    n += 12 + 8 + 4;
    vm_put_le32(n, 4);
    vm_put_le32(n + 4, 8);
    vm_put_le32(n + 8, 18);
    memcpy(n + 12, "Xen", 4);
    vm_put_le64(n + 16, 0x400010);
}

static void multiboot_header(uint8_t *h, uint32_t flags)
{
    vm_put_le32(h, 0x1badb002);
    vm_put_le32(h + 4, flags);
    vm_put_le32(h + 8, (uint32_t) - (0x1badb002 + flags));
}

void kernel_multiboot_elf(struct kernel *k)
{
    memset(k, 0, sizeof *k);
    k->len = 0x800;
    elf_header(k, 0, 1, 0xc0400020);
    uint8_t *load = k->bytes + 52;
    vm_put_le32(load, 1);
    vm_put_le32(load + 4, 0x400);
    vm_put_le32(load + 8, 0xc0400000);
    vm_put_le32(load + 12, 0x400000);
    vm_put_le32(load + 16, 0x400);
    vm_put_le32(load + 20, 0x600);
    memset(k->bytes + 0x400, 0x90, 0x400);
    multiboot_header(k->bytes + 0x400, 3);
}

void kernel_multiboot_flat(struct kernel *k)
{
    memset(k, 0, sizeof *k);
    k->len = 0x1000;
    memset(k->bytes, 0x90, k->len);
    uint8_t *h = k->bytes + 0x40;
    multiboot_header(h, 1 << 16);
    vm_put_le32(h + 12, 0x100040);
    vm_put_le32(h + 16, 0x100000);
    vm_put_le32(h + 20, 0);
    vm_put_le32(h + 24, 0x102000);
    vm_put_le32(h + 28, 0x100100);
}
