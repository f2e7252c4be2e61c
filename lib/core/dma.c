/* SPDX-License-Identifier: MIT */
/**
 * @file dma.c
 * Guest memory as host pointers for the time of a transfer. See dma.h.
 */
#include "core/dma.h"

#include "base/bits.h"
#include "core/address_space.h"
#include "core/device.h"

bool vm__dma_map(struct vm_dev *dev, uint64_t gpa, size_t len, bool to_guest,
                 struct vm_dma_piece *piece)
{
    struct vm_address_space *as = dev->m->mem;
    vm__mem_flush(dev->m);
    const struct vm_flat *f = vm__flat_find(vm__flat_view(dev->m, VM_VIEW_NORMAL), gpa);
    if (f == NULL || f->ram == NULL || (to_guest && f->readonly))
        return false;
    const uint64_t off = f->off + (gpa - f->extent_first);
    *piece = (struct vm_dma_piece) {
        .host = f->ram->host + off,
        .len = (size_t)vm_min_u64(len - 1, f->last - gpa) + 1,
        .ram = f->ram,
        .off = off,
    };
    as->dma_pieces++;
    return true;
}

void vm__dma_unmap(struct vm_dev *dev, const struct vm_dma_piece *piece, size_t written)
{
    if (written != 0)
        vm__ram_written(piece->ram, piece->off, written);
    dev->m->mem->dma_pieces--;
}
