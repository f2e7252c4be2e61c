/* SPDX-License-Identifier: MIT */
/**
 * @file mem.h
 * Pages from the host.
 */
#ifndef LIBVM_HOST_MEM_H
#define LIBVM_HOST_MEM_H

#include <stddef.h>
#include <stdint.h>

/** A memory file, mapped shared: what guest RAM is made of. */
struct vm_memfd {
    int fd; /**< -1: none */
    uint8_t *host;
    uint64_t size;
};

/** Zeroed pages on first touch. @p size is a multiple of the page size. */
int vm__memfd_map(struct vm_memfd *f, const char *name, uint64_t size);
void vm__memfd_unmap(struct vm_memfd *f);
/** Give every page back; the memory reads as zero again. */
int vm__memfd_clear(struct vm_memfd *f);
/**
 * The next stretch that has ever been touched, from @p from on.
 * @return 0 when there is none
 */
int vm__memfd_next_data(const struct vm_memfd *f, uint64_t from, uint64_t *start, uint64_t *end);

/**
 * Memory for generated code, mapped twice: written at *rw, run at *rx. No page is ever writable and
 * executable at once.
 */
int vm__code_map(uint8_t **rw, uint8_t **rx, size_t size);
void vm__code_unmap(uint8_t *rw, uint8_t *rx, size_t size);

/** Anonymous zeroed pages, costing nothing until touched. NULL with the error set. */
void *vm__host_map(size_t size);
void vm__host_unmap(void *p, size_t size);

#endif
