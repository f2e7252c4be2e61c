/* SPDX-License-Identifier: MIT */
/**
 * @file address_space.h
 * Inside the address space: regions, the flat lists made of them, and how old lists die.
 * For lib/core only.
 *
 * A flat list is immutable and holds copies of all a reader needs, so that a region may be moved
 * or freed while a processor still reads an old list. Old lists (and memory of freed regions) wait
 * in `retired` until every processor has been outside of run() since they were taken down:
 * processors announce the epoch they entered run() with (core/run.c).
 */
#ifndef LIBVM_CORE_ADDRESS_SPACE_H
#define LIBVM_CORE_ADDRESS_SPACE_H

#include <stdatomic.h>

#include "core/machine.h"
#include "core/region.h"
#include "host/mem.h"

/** The flat lists: two views of memory, one of ports. */
enum { VM_FLAT_PORT = VM_VIEW_COUNT, VM_FLAT_COUNT };

enum vm_region_kind { VM_REGION_RAM, VM_REGION_ROM, VM_REGION_WINDOW, VM_REGION_ALIAS };

/** In what waits to be freed, so that retiring needs no memory. */
struct vm_retired {
    uint64_t epoch; /**< of the address space when it was taken down */
    struct vm_retired *next;
    bool is_ram; /**< in a struct vm_ram, else in a struct vm_flat_view */
};

/** Memory behind RAM and ROM regions. */
struct vm_ram {
    uint8_t *host;
    uint64_t size;
    struct vm_page *pages; /**< by page of the block */
    struct vm_memfd file;  /**< fd -1: the caller's pages */
    void (*free_fn)(void *ud);
    void *ud;
    struct vm_retired retired;
};

struct vm_region {
    struct vm_machine *m;
    char *name;
    enum vm_region_kind kind;
    enum vm_space space;
    uint64_t size;
    struct vm_ram *ram; /**< RAM and ROM */
    const struct vm_window_ops *ops;
    void *opaque;
    void (*free_opaque)(void *opaque);
    struct vm_region *target; /**< alias; NULL once that is gone */
    uint64_t target_off;
    struct vm_region *writes_to;
    uint64_t writes_off;

    bool placed, enabled, readonly;
    unsigned views;
    uint64_t base;
    int priority;
    uint64_t order; /**< of creation: among equals the later wins */
    struct vm_region *next;
};

/** A stretch of addresses with one meaning. */
struct vm_flat {
    uint64_t first, last;               /**< addresses that are its own */
    uint64_t extent_first, extent_last; /**< of the whole region, parts of it perhaps covered */
    uint64_t off;                       /**< in what is behind, at extent_first */
    struct vm_ram *ram;                 /**< RAM and ROM; NULL: a window */
    bool readonly;
    struct vm_ram *write_ram; /**< where writes go while readonly; NULL: nowhere */
    uint64_t write_off;       /**< in write_ram, at extent_first */
    const struct vm_window_ops *ops;
    void *opaque;
};

struct vm_flat_view {
    struct vm_retired retired;
    uint32_t n;
    struct vm_flat e[];
};

/**
 * Someone who keeps a copy of the map outside the process: KVM's memory slots. Calls come under the
 * machine lock.
 */
struct vm_mem_mirror {
    void (*changed)(void *ud); /**< new lists have been published; old memory is still there */
    /** Mark pages of @p ram that were written behind our back VM_PAGE_DIRTY. */
    void (*collect)(void *ud, struct vm_ram *ram);
    /** The machine stands still: deliver what is on its way to devices. */
    void (*settle)(void *ud);
    void *ud;
};

struct vm_address_space {
    _Atomic(struct vm_flat_view *) view[VM_FLAT_COUNT];
    struct vm_mem_mirror *mirror;  /**< or NULL */
    struct vm_doorbell *doorbells; /**< core/doorbell.h */
    _Atomic uint64_t epoch;
    struct vm_region *regions; /**< all of them, newest first */
    uint64_t order;
    uint32_t depth; /**< of vm__mem_begin() */
    bool changed;
    uint32_t dma_depth; /**< DMA into windows that do DMA */
    uint32_t dma_pieces; /**< memory that devices have mapped: none of it is freed */
    struct vm_retired *retired;
};

int vm__mem_init(struct vm_machine *m);
void vm__mem_fini(struct vm_machine *m);
/** Publish pending changes now: copies in the middle of a transaction see the map as it is. Under
 * the lock. */
void vm__mem_flush(struct vm_machine *m);

/** The stretch that holds an address, or NULL. */
static inline const struct vm_flat *vm__flat_find(const struct vm_flat_view *v, uint64_t address)
{
    uint32_t lo = 0, hi = v->n;
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (v->e[mid].last < address)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->n && v->e[lo].first <= address ? &v->e[lo] : NULL;
}

static inline const struct vm_flat_view *vm__flat_view(struct vm_machine *m, unsigned which)
{
    return atomic_load_explicit(&m->mem->view[which], memory_order_seq_cst);
}

/** Make the flat list of one view; NULL: no memory. core/flat.c */
struct vm_flat_view *vm__flat_build(const struct vm_region *regions, unsigned which);

/** The oldest epoch a processor may still be reading; core/run.c. */
uint64_t vm__run_oldest_epoch(struct vm_machine *m);

/* core/ram.c */
struct vm_ram *vm__ram_block_new(const char *name, uint64_t size);
struct vm_ram *vm__ram_block_ptr(void *host, uint64_t size, void (*free_fn)(void *ud), void *ud);
void vm__ram_block_free(struct vm_ram *ram);
/** Bytes changed by someone else than an engine's fast path. */
void vm__ram_written(struct vm_ram *ram, uint64_t off, uint64_t len);

#endif
