/* SPDX-License-Identifier: MIT */
/**
 * @file dma.h
 * DMA without a copy in between: guest memory as host pointers, for as long as a transfer lasts.
 *
 * A piece is mapped, filled or read by whoever carries out the request, on any thread, and unmapped
 * under the machine lock when that is over. Memory taken off the map meanwhile is not freed before
 * the last piece is unmapped. What is not memory (windows, holes, ROM to be written) cannot be
 * mapped: vm__dma_read() and vm__dma_write() do those, by copying.
 */
#ifndef LIBVM_CORE_DMA_H
#define LIBVM_CORE_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm_dev;
struct vm_ram;

/** Guest memory that lies in one piece on the host. */
struct vm_dma_piece {
    uint8_t *host;
    size_t len;
    struct vm_ram *ram; /**< the memory, and where in it; core's */
    uint64_t off;
};

/**
 * Map at most @p len bytes (not 0) at @p gpa. Under the machine lock.
 *
 * @param to_guest the device will write into it
 * @return false: no such memory there; else piece->len bytes of it, at least one
 */
bool vm__dma_map(struct vm_dev *dev, uint64_t gpa, size_t len, bool to_guest,
                 struct vm_dma_piece *piece);
/** The transfer is over; @p written bytes at the start of the piece were changed. */
void vm__dma_unmap(struct vm_dev *dev, const struct vm_dma_piece *piece, size_t written);

#endif
