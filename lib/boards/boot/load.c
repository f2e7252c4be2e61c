/* SPDX-License-Identifier: MIT */
/**
 * @file load.c
 * Which loader a kernel file belongs to.
 *
 * The order is by how hard the mark is to meet by chance: a bzImage says so in two places; a
 * Multiboot header is checked by a sum; an ELF file without either must carry Xen's note.
 */
#include "boards/boot/load.h"

#include "base/error.h"
#include "boards/boot/elf.h"

enum boot_kind vm__boot_probe(const uint8_t *data, size_t len)
{
    if (vm__boot_is_linux(data, len))
        return BOOT_KIND_LINUX;
    if (vm__boot_is_multiboot(data, len))
        return BOOT_KIND_MULTIBOOT;
    if (vm__boot_is_pvh(data, len))
        return BOOT_KIND_PVH;
    return BOOT_KIND_UNKNOWN;
}

static int unknown(const struct boot_request *r)
{
    const struct boot_file *k = &r->kernel;
    if (k->len == 0)
        return vm__fail(VM_E_CORRUPT, "%s: the kernel file is empty", k->name);
    if (vm__elf_is(k->data, k->len))
        return vm__fail(VM_E_CORRUPT, "%s: ELF file without a Multiboot header or a PVH entry note",
                        k->name);
    if (k->len >= 2 && k->data[0] == 0x1f && k->data[1] == 0x8b)
        return vm__fail(VM_E_CORRUPT, "%s: the kernel is compressed with gzip; unpack it first",
                        k->name);
    return vm__fail(VM_E_CORRUPT,
                    "%s: not a kernel this machine can start (bzImage, Multiboot or PVH ELF)",
                    k->name);
}

static int load(const struct boot_request *r, struct boot_plan *p)
{
    switch (vm__boot_probe(r->kernel.data, r->kernel.len)) {
    case BOOT_KIND_LINUX:
        return vm__boot_linux(r, p);
    case BOOT_KIND_MULTIBOOT:
        return vm__boot_multiboot(r, p);
    case BOOT_KIND_PVH:
        return vm__boot_pvh(r, p);
    case BOOT_KIND_UNKNOWN:
        break;
    }
    return unknown(r);
}

int vm__boot_load(const struct boot_request *r, struct boot_plan *p)
{
    vm__boot_plan_init(p);
    int st = load(r, p);
    if (st == VM_OK)
        st = vm__boot_add_gdt(p, r);
    if (st != VM_OK)
        vm__boot_plan_fini(p);
    return st;
}
