/* SPDX-License-Identifier: MIT */
/**
 * @file elf.h
 * Reading untrusted 32- and 64-bit little-endian x86 ELF executables.
 *
 * Spec: [ELF] System V ABI, "Object Files" and "Program Loading".
 */
#ifndef LIBVM_BOARDS_BOOT_ELF_H
#define LIBVM_BOARDS_BOOT_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boards/boot/plan.h"

enum { ELF_PT_LOAD = 1, ELF_PT_NOTE = 4 };

/** A checked header: the program header table lies inside the file. */
struct elf {
    const uint8_t *data;
    size_t len;
    bool is64;
    uint64_t entry;
    uint64_t phoff;
    uint32_t phentsize, phnum;
};

struct elf_phdr {
    uint32_t type;
    uint64_t offset, vaddr, paddr, filesz, memsz;
};

/** Does the file begin like an ELF file? */
bool vm__elf_is(const uint8_t *data, size_t len);

/** Check the header; VM_E_CORRUPT names what is wrong with @p f. */
int vm__elf_open(const struct boot_file *f, struct elf *e);

/** Program header @p i < phnum. Offsets and sizes in it are still the file's word. */
void vm__elf_phdr(const struct elf *e, uint32_t i, struct elf_phdr *ph);

/** The bytes of a program header in the file, or NULL when they are not all there. */
const uint8_t *vm__elf_bytes(const struct elf *e, const struct elf_phdr *ph);

/** Add every PT_LOAD at its physical address. */
int vm__elf_load(const struct elf *e, const struct boot_request *r, struct boot_plan *p);

/** A virtual entry address as the physical one, by the segment that holds it; else unchanged. */
uint64_t vm__elf_entry_gpa(const struct elf *e);

#endif
