/* SPDX-License-Identifier: MIT */
/**
 * @file kernels.h
 * Small made-up kernels of each format, for tests to load, break and mutate.
 */
#ifndef LIBVM_TESTS_KERNELS_H
#define LIBVM_TESTS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { KERNEL_MAX = 8192 };

/** A file under construction. */
struct kernel {
    uint8_t bytes[KERNEL_MAX];
    size_t len;
};

/** bzImage 2.15, relocatable, 2 setup sectors, 1024 bytes of payload filled with 0x90. */
void kernel_linux(struct kernel *k);
/** ELF64: 0x400 bytes at 4 MiB plus 0x1000 of bss, PVH entry 0x400010. */
void kernel_pvh(struct kernel *k);
/** ELF32 with a Multiboot header: 0x400 bytes at 4 MiB (virtual 0xc0400000), entry 0xc0400020. */
void kernel_multiboot_elf(struct kernel *k);
/** Flat image by Multiboot addresses: loaded at 1 MiB from file offset 0, bss to 0x102000. */
void kernel_multiboot_flat(struct kernel *k);

#endif
