/* SPDX-License-Identifier: MIT */
/**
 * @file multiboot.c
 * Kernels with a Multiboot 1 header: ELF, or flat images that give their own addresses.
 *
 * Spec: [Multiboot] Multiboot Specification version 0.6.96.
 * Not modelled: setting a video mode (the header's video fields are ignored, as the
 * specification allows), the ELF symbol and drive tables.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/boot/elf.h"
#include "boards/boot/load.h"

enum {
    HEADER_MAGIC = 0x1badb002,
    ENTRY_MAGIC = 0x2badb002,
    HEADER_SEARCH = 8192, /* the header lies wholly in these first bytes */
    HEADER_BASE = 12,     /* bytes of it that are always there */
    HEADER_ADDRESSES = 32,
    FLAG_REQUIRED = 0xffff,                /* bits that a loader must know or refuse */
    FLAG_KNOWN = 1 << 0 | 1 << 1 | 1 << 2, /* page-aligned modules, memory, video */
    FLAG_ADDRESSES = 1 << 16,
};

/* The information structure [Multiboot §3.3]. */
enum {
    MBI_FLAGS = 0,
    MBI_MEM_LOWER = 4,
    MBI_MEM_UPPER = 8,
    MBI_CMDLINE = 16,
    MBI_MODS_COUNT = 20,
    MBI_MODS_ADDR = 24,
    MBI_MMAP_LENGTH = 44,
    MBI_MMAP_ADDR = 48,
    MBI_LOADER_NAME = 64,
    MBI_SIZE = 120,
    HAS_MEMORY = 1 << 0,
    HAS_CMDLINE = 1 << 2,
    HAS_MODS = 1 << 3,
    HAS_MMAP = 1 << 6,
    HAS_LOADER_NAME = 1 << 9,
    MODULE_SIZE = 16,
    MMAP_SIZE = 24,
};

static const uint8_t *find_header(const uint8_t *data, size_t len)
{
    size_t end = len < HEADER_SEARCH ? len : HEADER_SEARCH;
    for (size_t at = 0; at + HEADER_BASE <= end; at += 4) {
        const uint8_t *h = data + at;
        if (vm_le32(h) == HEADER_MAGIC && vm_le32(h) + vm_le32(h + 4) + vm_le32(h + 8) == 0)
            return h;
    }
    return NULL;
}

bool vm__boot_is_multiboot(const uint8_t *data, size_t len)
{
    return find_header(data, len) != NULL;
}

/** A flat image: the header says what goes where [Multiboot §3.1.3]. */
static int load_flat(const struct boot_request *r, struct boot_plan *p, const uint8_t *h)
{
    const struct boot_file *k = &r->kernel;
    size_t header_at = (size_t)(h - k->data);
    if (k->len - header_at < HEADER_ADDRESSES)
        return vm__fail(VM_E_CORRUPT, "%s: truncated kernel: the Multiboot header is cut off",
                        k->name);
    uint32_t header_addr = vm_le32(h + 12), load_addr = vm_le32(h + 16);
    uint32_t load_end = vm_le32(h + 20), bss_end = vm_le32(h + 24);
    if (load_addr > header_addr || header_addr - load_addr > header_at)
        return vm__fail(VM_E_CORRUPT, "%s: Multiboot header at 0x%x cannot be loaded from 0x%x",
                        k->name, header_addr, load_addr);
    size_t offset = header_at - (header_addr - load_addr);
    uint64_t len = k->len - offset;
    if (load_end != 0) {
        if (load_end < load_addr || load_end - load_addr > len)
            return vm__fail(VM_E_CORRUPT,
                            "%s: truncated kernel: it loads 0x%x to 0x%x from a file of %zu bytes",
                            k->name, load_addr, load_end, k->len);
        len = load_end - load_addr;
    }
    uint64_t zeros = bss_end > load_addr + len ? bss_end - (load_addr + len) : 0;
    p->entry.eip = vm_le32(h + 28);
    return vm__boot_add(p, r, "the kernel", load_addr, k->data + offset, len, zeros);
}

static int load_elf(const struct boot_request *r, struct boot_plan *p)
{
    struct elf e;
    int st = vm__elf_open(&r->kernel, &e);
    if (st == VM_OK)
        st = vm__elf_load(&e, r, p);
    if (st != VM_OK)
        return st;
    uint64_t entry = vm__elf_entry_gpa(&e);
    if (entry > UINT32_MAX)
        return vm__fail(VM_E_CORRUPT, "%s: entry point 0x%" PRIx64 " above 4 GiB", r->kernel.name,
                        entry);
    p->entry.eip = (uint32_t)entry;
    return VM_OK;
}

static int add_string(const struct boot_request *r, struct boot_plan *p, const char *what,
                      const char *text, uint8_t *field)
{
    uint32_t gpa = 0;
    int st = vm__boot_add_low(p, r, what, (const uint8_t *)text, strlen(text) + 1, &gpa);
    vm_put_le32(field, gpa);
    return st;
}

/** By custom the command line begins with the kernel's own name. */
static int add_cmdline(const struct boot_request *r, struct boot_plan *p, uint8_t *mbi)
{
    size_t n1 = strlen(r->kernel.name), n2 = strlen(r->cmdline);
    char *line = (char *)vm__boot_alloc(p, n1 + n2 + 2);
    if (line == NULL)
        return VM_E_NOMEM;
    memcpy(line, r->kernel.name, n1);
    line[n1] = n2 != 0 ? ' ' : '\0';
    memcpy(line + n1 + 1, r->cmdline, n2);
    return add_string(r, p, "the command line", line, mbi + MBI_CMDLINE);
}

static int add_modules(const struct boot_request *r, struct boot_plan *p, uint8_t *mbi)
{
    if (r->n_modules == 0)
        return VM_OK;
    uint8_t *list = vm__boot_alloc(p, r->n_modules * MODULE_SIZE);
    if (list == NULL)
        return VM_E_NOMEM;
    for (size_t i = 0; i < r->n_modules; i++) {
        const struct boot_module *m = &r->modules[i];
        uint64_t gpa = 0;
        int st = vm__boot_find(p, r, "a module", m->file.len, 4096, 0x100000, UINT32_MAX, &gpa);
        if (st == VM_OK)
            st = vm__boot_add(p, r, "a module", gpa, m->file.data, m->file.len, 0);
        if (st == VM_OK)
            st = add_string(r, p, "module arguments", m->args, list + i * MODULE_SIZE + 8);
        if (st != VM_OK)
            return st;
        vm_put_le32(list + i * MODULE_SIZE, (uint32_t)gpa);
        vm_put_le32(list + i * MODULE_SIZE + 4, (uint32_t)(gpa + m->file.len));
    }
    uint32_t gpa = 0;
    int st = vm__boot_add_low(p, r, "the module list", list, r->n_modules * MODULE_SIZE, &gpa);
    vm_put_le32(mbi + MBI_MODS_COUNT, (uint32_t)r->n_modules);
    vm_put_le32(mbi + MBI_MODS_ADDR, gpa);
    return st;
}

static int add_mmap(const struct boot_request *r, struct boot_plan *p, uint8_t *mbi)
{
    size_t bytes = r->n_ranges * MMAP_SIZE;
    uint8_t *map = vm__boot_alloc(p, bytes);
    if (map == NULL)
        return VM_E_NOMEM;
    for (size_t i = 0; i < r->n_ranges; i++) {
        const struct boot_range *range = &r->ranges[i];
        uint8_t *e = map + i * MMAP_SIZE;
        vm_put_le32(e, MMAP_SIZE - 4); /* the size field does not count itself */
        vm_put_le64(e + 4, range->base);
        vm_put_le64(e + 12, range->size);
        vm_put_le32(e + 20, range->type);
        if (range->type == BOOT_RAM_USABLE && range->base == 0)
            vm_put_le32(mbi + MBI_MEM_LOWER, (uint32_t)(range->size >> 10));
        if (range->type == BOOT_RAM_USABLE && range->base == 0x100000)
            vm_put_le32(mbi + MBI_MEM_UPPER, (uint32_t)(range->size >> 10));
    }
    uint32_t gpa = 0;
    int st = vm__boot_add_low(p, r, "the memory map", map, bytes, &gpa);
    vm_put_le32(mbi + MBI_MMAP_LENGTH, (uint32_t)bytes);
    vm_put_le32(mbi + MBI_MMAP_ADDR, gpa);
    return st;
}

static int add_info(const struct boot_request *r, struct boot_plan *p)
{
    uint8_t *mbi = vm__boot_alloc(p, MBI_SIZE);
    if (mbi == NULL)
        return VM_E_NOMEM;
    uint32_t flags = HAS_MEMORY | HAS_CMDLINE | HAS_MMAP | HAS_LOADER_NAME;
    vm_put_le32(mbi + MBI_FLAGS, flags | (r->n_modules != 0 ? HAS_MODS : 0));
    int st = add_mmap(r, p, mbi);
    if (st == VM_OK)
        st = add_cmdline(r, p, mbi);
    if (st == VM_OK)
        st = add_modules(r, p, mbi);
    if (st == VM_OK)
        st = add_string(r, p, "the loader's name", "libvm", mbi + MBI_LOADER_NAME);
    if (st == VM_OK)
        st = vm__boot_add_low(p, r, "Multiboot information", mbi, MBI_SIZE, &p->entry.ebx);
    return st;
}

int vm__boot_multiboot(const struct boot_request *r, struct boot_plan *p)
{
    const uint8_t *h = find_header(r->kernel.data, r->kernel.len);
    if (h == NULL)
        return vm__fail(VM_E_CORRUPT, "%s: no Multiboot header", r->kernel.name);
    uint32_t flags = vm_le32(h + 4);
    if (flags & FLAG_REQUIRED & ~(uint32_t)FLAG_KNOWN)
        return vm__fail(VM_E_NOTSUP, "%s: Multiboot header asks for unknown features (0x%x)",
                        r->kernel.name, flags & FLAG_REQUIRED);
    int st = flags & FLAG_ADDRESSES ? load_flat(r, p, h) : load_elf(r, p);
    if (st != VM_OK)
        return st;
    p->entry.eax = ENTRY_MAGIC;
    return add_info(r, p);
}
