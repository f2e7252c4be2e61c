/* SPDX-License-Identifier: MIT */
/**
 * @file region.h
 * Building the address space: RAM, ROM, device windows, aliases.
 *
 * A region has a place (space, base, views), a priority and an on/off switch. Where regions
 * overlap, the higher priority wins; of equals, the one added later. The flat list that readers use
 * is rebuilt when something changes; vm__mem_begin()/vm__mem_commit() make one rebuild of several
 * changes.
 *
 * An access belongs to the region at its first byte, as long as it ends within that region's own
 * extent, even where a smaller region lies over a later byte: a dword at port 0xCF8 reaches the PCI
 * address register whole, a byte at 0xCF9 the reset register. Other accesses that straddle are
 * split into bytes.
 *
 * Threads: everything here takes the machine lock, and may be called from device code.
 */
#ifndef LIBVM_CORE_REGION_H
#define LIBVM_CORE_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/memory.h"

enum vm_space { VM_SPACE_MEM = 0, VM_SPACE_PORT = 1 };

/** Which views show a memory region. */
enum {
    VM_IN_NORMAL = 1 << VM_VIEW_NORMAL,
    VM_IN_SMM = 1 << VM_VIEW_SMM,
    VM_IN_BOTH = VM_IN_NORMAL | VM_IN_SMM,
};

/** Customary priorities. */
enum {
    VM_PRIO_BACKGROUND = -10,
    VM_PRIO_RAM = 0,
    VM_PRIO_ROM = 10,
    VM_PRIO_PCI = 20,    /**< BARs */
    VM_PRIO_DEVICE = 30, /**< fixed windows: IOAPIC, HPET, legacy ports */
    VM_PRIO_SHADOW = 40, /**< PAM and SMRAM */
    VM_PRIO_USER = 100,  /**< the embedder's */
};

/** What a device window does with an access; offsets are from the start of the window. */
struct vm_window_ops {
    uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
    void (*write)(void *opaque, uint64_t off, unsigned size, uint64_t value);
    uint8_t min_access; /**< bytes; 0: 1. Narrower accesses are widened, other bytes write as 0 */
    uint8_t max_access; /**< bytes; 0: 8 for memory, 4 for ports. Wider ones are split */
    bool parallel;      /**< no machine lock: the window looks after itself */
    /** Writes may come late, in order among themselves: before any other access by a processor to a
     * device, and before the machine stands still. */
    bool late;
};

/** RAM of its own, zeroed, not placed yet: use vm__region_place() or aliases. NULL on error. */
struct vm_region *vm__ram_new(struct vm_machine *m, const char *name, uint64_t size);
/** RAM over the caller's pages. */
struct vm_region *vm__ram_new_ptr(struct vm_machine *m, const char *name, void *host, uint64_t size,
                                  void (*free_fn)(void *ud), void *ud);
/** ROM with a copy of @p data (zeroes above @p len up to @p size); guest writes are dropped. */
struct vm_region *vm__rom_new(struct vm_machine *m, const char *name, const void *data,
                              uint64_t len, uint64_t size);
/** A device window; @p ops is not copied. */
struct vm_region *vm__window_new(struct vm_machine *m, const char *name, enum vm_space space,
                                 uint64_t size, const struct vm_window_ops *ops, void *opaque);
/** [off, off + size) of another region, seen elsewhere. */
struct vm_region *vm__alias_new(struct vm_machine *m, const char *name, struct vm_region *target,
                                uint64_t off, uint64_t size);

/** Have @p fn called with the region's opaque when a device window is freed. */
void vm__region_on_free(struct vm_region *r, void (*fn)(void *opaque));

/** Put it on the map and switch it on. May be called again to move it. */
int vm__region_place(struct vm_region *r, uint64_t base, int priority);
/** Take it off, or put it back where it was. */
void vm__region_enable(struct vm_region *r, bool on);
/** Which views show it: VM_IN_*. */
void vm__region_views(struct vm_region *r, unsigned views);
/** Make RAM or an alias of it read-only to the guest, or not. */
void vm__region_readonly(struct vm_region *r, bool readonly);
/**
 * What happens to guest writes that hit this region while it is not writable: they go to the same
 * offset (+ @p off) of @p target. NULL: dropped. For shadow RAM that reads ROM and writes RAM.
 */
void vm__region_writes_to(struct vm_region *r, struct vm_region *target, uint64_t off);
/** Off the map for good, and out of every alias of it; memory is freed once nobody can be reading
 * it. */
void vm__region_free(struct vm_region *r);

/** Host memory of RAM or ROM, NULL otherwise. For loaders before the machine runs. */
uint8_t *vm__region_host(struct vm_region *r);
uint64_t vm__region_size(const struct vm_region *r);
const char *vm__region_name(const struct vm_region *r);
/** The page records of RAM or ROM, NULL otherwise. */
struct vm_page *vm__region_pages(struct vm_region *r);

/** A region as one who looks at the map sees it. Names are the machine's. */
struct vm_region_info {
    const char *name;
    enum vm_space space;
    bool window, rom, readonly; /**< else RAM; of an alias: what it shows */
    bool placed, enabled, smm_only;
    uint64_t base, size;
    int priority;
    const char *target; /**< alias: of this region; NULL: none */
    uint64_t target_off;
};
void vm__region_info(const struct vm_region *r, struct vm_region_info *out);
/** Fill in up to @p max of all regions, newest first. @return how many there are. Under the lock.
 */
uint32_t vm__region_list(struct vm_machine *m, struct vm_region_info *out, uint32_t max);

/** A stretch of addresses with one meaning. */
struct vm_flat_info {
    uint64_t first, last;
    bool window, readonly;
};
/** Tell the flat view of a space, in order of addresses. Under the lock. */
void vm__flat_list(struct vm_machine *m, enum vm_space space,
                   void (*fn)(void *ud, const struct vm_flat_info *f), void *ud);

/** Several changes, one rebuild, at the latest when memory is copied. Nest. */
void vm__mem_begin(struct vm_machine *m);
void vm__mem_commit(struct vm_machine *m);

/** Some bytes of a RAM region changed through its host pointer: tell engines and the dirty log. */
void vm__region_written(struct vm_region *r, uint64_t off, uint64_t len);

#endif
