/* SPDX-License-Identifier: MIT */
/**
 * @file pvh.c
 * ELF kernels with a PVH entry point.
 *
 * Spec: [Xen-PVH] Xen's "x86/HVM direct boot ABI (PVH)" and public/arch-x86/hvm/start_info.h.
 * The entry address is in the note named "Xen" of type XEN_ELFNOTE_PHYS32_ENTRY.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/boot/elf.h"
#include "boards/boot/load.h"

enum {
    NOTE_PHYS32_ENTRY = 18,
    NOTE_HEADER = 12,
    START_MAGIC = 0x336ec578,
    START_SIZE = 56, /* version 1 */
    MODULE_SIZE = 32,
    MEMMAP_SIZE = 24,
};

static uint64_t round4(uint64_t n)
{
    return (n + 3) & ~UINT64_C(3);
}

/** The entry address in one note segment; false: no such note. Malformed notes end the walk. */
static bool entry_in_notes(const uint8_t *n, uint64_t len, uint64_t *entry)
{
    while (len >= NOTE_HEADER) {
        uint64_t namesz = vm_le32(n), descsz = vm_le32(n + 4);
        uint32_t type = vm_le32(n + 8);
        uint64_t desc_at = NOTE_HEADER + round4(namesz);
        if (desc_at > len || descsz > len - desc_at)
            return false;
        if (type == NOTE_PHYS32_ENTRY && namesz == 4 && memcmp(n + NOTE_HEADER, "Xen", 4) == 0 &&
            (descsz == 4 || descsz == 8)) {
            *entry = descsz == 8 ? vm_le64(n + desc_at) : vm_le32(n + desc_at);
            return true;
        }
        uint64_t step = desc_at + round4(descsz);
        if (step > len)
            return false;
        n += step;
        len -= step;
    }
    return false;
}

static bool find_entry(const struct elf *e, uint64_t *entry)
{
    for (uint32_t i = 0; i < e->phnum; i++) {
        struct elf_phdr ph;
        vm__elf_phdr(e, i, &ph);
        const uint8_t *bytes = vm__elf_bytes(e, &ph);
        if (ph.type == ELF_PT_NOTE && bytes != NULL && entry_in_notes(bytes, ph.filesz, entry))
            return true;
    }
    return false;
}

bool vm__boot_is_pvh(const uint8_t *data, size_t len)
{
    const struct boot_file f = { .data = data, .len = len, .name = "" };
    struct elf e;
    uint64_t entry;
    return vm__elf_is(data, len) && vm__elf_open(&f, &e) == VM_OK && find_entry(&e, &entry);
}

static int add_memmap(const struct boot_request *r, struct boot_plan *p, uint8_t *info)
{
    size_t bytes = r->n_ranges * MEMMAP_SIZE;
    uint8_t *map = vm__boot_alloc(p, bytes);
    if (map == NULL)
        return VM_E_NOMEM;
    for (size_t i = 0; i < r->n_ranges; i++) {
        vm_put_le64(map + i * MEMMAP_SIZE, r->ranges[i].base);
        vm_put_le64(map + i * MEMMAP_SIZE + 8, r->ranges[i].size);
        vm_put_le32(map + i * MEMMAP_SIZE + 16, r->ranges[i].type);
    }
    uint32_t gpa = 0;
    int st = vm__boot_add_low(p, r, "the memory map", map, bytes, &gpa);
    vm_put_le64(info + 40, gpa);
    vm_put_le32(info + 48, (uint32_t)r->n_ranges);
    return st;
}

static int add_module(const struct boot_request *r, struct boot_plan *p,
                      const struct boot_module *m, uint8_t *entry)
{
    uint64_t gpa = 0;
    uint32_t args = 0;
    int st = vm__boot_find(p, r, "a module", m->file.len, 4096, 0x100000, UINT32_MAX, &gpa);
    if (st == VM_OK)
        st = vm__boot_add(p, r, "a module", gpa, m->file.data, m->file.len, 0);
    if (st == VM_OK)
        st = vm__boot_add_low(p, r, "module arguments", (const uint8_t *)m->args,
                              strlen(m->args) + 1, &args);
    vm_put_le64(entry, gpa);
    vm_put_le64(entry + 8, m->file.len);
    vm_put_le64(entry + 16, args);
    return st;
}

static int add_modules(const struct boot_request *r, struct boot_plan *p, uint8_t *info)
{
    if (r->n_modules == 0)
        return VM_OK;
    uint8_t *list = vm__boot_alloc(p, r->n_modules * MODULE_SIZE);
    if (list == NULL)
        return VM_E_NOMEM;
    for (size_t i = 0; i < r->n_modules; i++) {
        int st = add_module(r, p, &r->modules[i], list + i * MODULE_SIZE);
        if (st != VM_OK)
            return st;
    }
    uint32_t gpa = 0;
    int st = vm__boot_add_low(p, r, "the module list", list, r->n_modules * MODULE_SIZE, &gpa);
    vm_put_le32(info + 12, (uint32_t)r->n_modules);
    vm_put_le64(info + 16, gpa);
    return st;
}

static int add_start_info(const struct boot_request *r, struct boot_plan *p)
{
    uint8_t *info = vm__boot_alloc(p, START_SIZE);
    if (info == NULL)
        return VM_E_NOMEM;
    vm_put_le32(info, START_MAGIC);
    vm_put_le32(info + 4, 1); /* version */
    uint32_t cmdline = 0;
    int st = vm__boot_add_low(p, r, "the command line", (const uint8_t *)r->cmdline,
                              strlen(r->cmdline) + 1, &cmdline);
    vm_put_le64(info + 24, cmdline);
    vm_put_le64(info + 32, r->rsdp);
    if (st == VM_OK)
        st = add_memmap(r, p, info);
    if (st == VM_OK)
        st = add_modules(r, p, info);
    if (st == VM_OK)
        st = vm__boot_add_low(p, r, "start info", info, START_SIZE, &p->entry.ebx);
    return st;
}

int vm__boot_pvh(const struct boot_request *r, struct boot_plan *p)
{
    struct elf e;
    uint64_t entry = 0;
    int st = vm__elf_open(&r->kernel, &e);
    if (st != VM_OK)
        return st;
    if (!find_entry(&e, &entry))
        return vm__fail(VM_E_CORRUPT, "%s: no PVH entry note", r->kernel.name);
    if (entry > UINT32_MAX)
        return vm__fail(VM_E_CORRUPT, "%s: PVH entry 0x%" PRIx64 " above 4 GiB", r->kernel.name,
                        entry);
    st = vm__elf_load(&e, r, p);
    if (st == VM_OK)
        st = add_start_info(r, p);
    p->entry.eip = (uint32_t)entry;
    return st;
}
