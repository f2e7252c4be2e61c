/* SPDX-License-Identifier: MIT */
/**
 * @file ram.c
 * Blocks of guest memory and the page records beside them.
 */
#include <stdlib.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/address_space.h"

static struct vm_ram *new_block(uint64_t size)
{
    struct vm_ram *ram = calloc(1, sizeof *ram);
    if (ram == NULL) {
        vm__fail_nomem(sizeof *ram);
        return NULL;
    }
    ram->size = size;
    ram->file.fd = -1;
    /* Untouched records cost no memory: 16 bytes a page only where something happens. */
    ram->pages = vm__host_map((size >> VM_PAGE_SHIFT) * sizeof *ram->pages);
    if (ram->pages == NULL) {
        free(ram);
        return NULL;
    }
    return ram;
}

static bool good_size(uint64_t size)
{
    if (size != 0 && size % VM_PAGE_SIZE == 0 && size <= UINT64_C(1) << 52)
        return true;
    vm__fail(VM_E_INVAL, "memory of 0x%llx bytes is not a whole number of pages",
             (unsigned long long)size);
    return false;
}

struct vm_ram *vm__ram_block_new(const char *name, uint64_t size)
{
    if (!good_size(size))
        return NULL;
    struct vm_ram *ram = new_block(size);
    if (ram == NULL)
        return NULL;
    if (vm__memfd_map(&ram->file, name, size) != VM_OK) {
        vm__ram_block_free(ram);
        return NULL;
    }
    ram->host = ram->file.host;
    return ram;
}

struct vm_ram *vm__ram_block_ptr(void *host, uint64_t size, void (*free_fn)(void *ud), void *ud)
{
    if (!good_size(size))
        return NULL;
    if (host == NULL || (uintptr_t)host % VM_PAGE_SIZE != 0) {
        vm__fail(VM_E_INVAL, "memory at %p is not page-aligned", host);
        return NULL;
    }
    struct vm_ram *ram = new_block(size);
    if (ram == NULL)
        return NULL;
    ram->host = host;
    ram->free_fn = free_fn;
    ram->ud = ud;
    return ram;
}

void vm__ram_block_free(struct vm_ram *ram)
{
    if (ram == NULL)
        return;
    vm__memfd_unmap(&ram->file);
    vm__host_unmap(ram->pages, (ram->size >> VM_PAGE_SHIFT) * sizeof *ram->pages);
    if (ram->free_fn != NULL)
        ram->free_fn(ram->ud);
    free(ram);
}

void vm__ram_written(struct vm_ram *ram, uint64_t off, uint64_t len)
{
    while (len != 0) {
        const uint32_t in_page = (uint32_t)(off % VM_PAGE_SIZE);
        const uint32_t n = (uint32_t)vm_min_u64(len, VM_PAGE_SIZE - in_page);
        vm__page_written(&ram->pages[off >> VM_PAGE_SHIFT], in_page, n);
        off += n;
        len -= n;
    }
}
