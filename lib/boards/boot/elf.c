/* SPDX-License-Identifier: MIT */
/**
 * @file elf.c
 * ELF executables as kernels. See elf.h.
 */
#include "boards/boot/elf.h"

#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"

enum {
    EI_CLASS = 4,
    EI_DATA = 5,
    CLASS32 = 1,
    CLASS64 = 2,
    DATA_LSB = 1,
    EM_386 = 3,
    EM_X86_64 = 62,
    EHDR32_SIZE = 52,
    EHDR64_SIZE = 64,
    PHDR32_SIZE = 32,
    PHDR64_SIZE = 56,
    MAX_LOADS = 4096, /* segments are compared with each other: keep that small */
};

bool vm__elf_is(const uint8_t *data, size_t len)
{
    return len >= EHDR32_SIZE && memcmp(data, "\177ELF", 4) == 0;
}

int vm__elf_open(const struct boot_file *f, struct elf *e)
{
    const uint8_t *d = f->data;
    if (!vm__elf_is(d, f->len))
        return vm__fail(VM_E_CORRUPT, "%s: not an ELF file", f->name);
    *e = (struct elf) { .data = d, .len = f->len, .is64 = d[EI_CLASS] == CLASS64 };
    uint16_t machine = vm_le16(d + 18);
    if ((d[EI_CLASS] != CLASS32 && !e->is64) || d[EI_DATA] != DATA_LSB ||
        (machine != EM_386 && machine != EM_X86_64))
        return vm__fail(VM_E_CORRUPT, "%s: not an x86 ELF file", f->name);
    if (e->is64 && f->len < EHDR64_SIZE)
        return vm__fail(VM_E_CORRUPT, "%s: truncated kernel: the ELF header is cut off", f->name);

    e->entry = e->is64 ? vm_le64(d + 24) : vm_le32(d + 24);
    e->phoff = e->is64 ? vm_le64(d + 32) : vm_le32(d + 28);
    e->phentsize = vm_le16(d + (e->is64 ? 54 : 42));
    e->phnum = vm_le16(d + (e->is64 ? 56 : 44));
    if (e->phentsize < (e->is64 ? PHDR64_SIZE : PHDR32_SIZE))
        return vm__fail(VM_E_CORRUPT, "%s: ELF program headers of %u bytes", f->name, e->phentsize);
    if (e->phoff > f->len || (uint64_t)e->phentsize * e->phnum > f->len - e->phoff)
        return vm__fail(VM_E_CORRUPT,
                        "%s: truncated kernel: %u program headers at 0x%" PRIx64
                        " in a file of %zu bytes",
                        f->name, e->phnum, e->phoff, f->len);
    return VM_OK;
}

void vm__elf_phdr(const struct elf *e, uint32_t i, struct elf_phdr *ph)
{
    const uint8_t *d = e->data + e->phoff + (size_t)i * e->phentsize;
    ph->type = vm_le32(d);
    if (e->is64) {
        ph->offset = vm_le64(d + 8);
        ph->vaddr = vm_le64(d + 16);
        ph->paddr = vm_le64(d + 24);
        ph->filesz = vm_le64(d + 32);
        ph->memsz = vm_le64(d + 40);
    } else {
        ph->offset = vm_le32(d + 4);
        ph->vaddr = vm_le32(d + 8);
        ph->paddr = vm_le32(d + 12);
        ph->filesz = vm_le32(d + 16);
        ph->memsz = vm_le32(d + 20);
    }
}

const uint8_t *vm__elf_bytes(const struct elf *e, const struct elf_phdr *ph)
{
    if (ph->offset > e->len || ph->filesz > e->len - ph->offset)
        return NULL;
    return e->data + ph->offset;
}

int vm__elf_load(const struct elf *e, const struct boot_request *r, struct boot_plan *p)
{
    uint32_t loads = 0;
    for (uint32_t i = 0; i < e->phnum; i++) {
        struct elf_phdr ph;
        vm__elf_phdr(e, i, &ph);
        if (ph.type != ELF_PT_LOAD || ph.memsz == 0)
            continue;
        const uint8_t *bytes = vm__elf_bytes(e, &ph);
        if (bytes == NULL)
            return vm__fail(VM_E_CORRUPT,
                            "%s: truncated kernel: segment %u wants %" PRIu64 " bytes at 0x%" PRIx64
                            " of a file of %zu",
                            r->kernel.name, i, ph.filesz, ph.offset, e->len);
        if (ph.filesz > ph.memsz)
            return vm__fail(VM_E_CORRUPT, "%s: segment %u is larger in the file than in memory",
                            r->kernel.name, i);
        if (++loads > MAX_LOADS)
            return vm__fail(VM_E_CORRUPT, "%s: more than %d segments to load", r->kernel.name,
                            MAX_LOADS);
        int st = vm__boot_add(p, r, "a kernel segment", ph.paddr, bytes, ph.filesz,
                              ph.memsz - ph.filesz);
        if (st != VM_OK)
            return st;
    }
    if (loads == 0)
        return vm__fail(VM_E_CORRUPT, "%s: ELF file with nothing to load", r->kernel.name);
    return VM_OK;
}

uint64_t vm__elf_entry_gpa(const struct elf *e)
{
    for (uint32_t i = 0; i < e->phnum; i++) {
        struct elf_phdr ph;
        vm__elf_phdr(e, i, &ph);
        if (ph.type == ELF_PT_LOAD && e->entry >= ph.vaddr && e->entry - ph.vaddr < ph.memsz)
            return ph.paddr + (e->entry - ph.vaddr);
    }
    return e->entry;
}
