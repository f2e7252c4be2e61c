/* SPDX-License-Identifier: MIT */
/**
 * @file memory.h
 * The guest-physical address space: what a processor, a device and the embedder see of it.
 *
 * An address space is a flat, sorted, immutable list of regions (RAM, ROM, MMIO, alias resolved by
 * priority) that readers use without a lock; a change builds a new list, publishes it, tells every
 * processor (vm_cpu_class.request with VM_CPU_REQ_MEM) and retires the old list once no processor
 * can still be reading it. There are two views: normal, and the one seen in system management mode.
 *
 * Every page of RAM or ROM has a `struct vm_page` beside it. It is what makes self-modifying code,
 * DMA into code, dirty logging and snapshots one mechanism:
 *   - an engine that keeps something derived from the bytes of a page sets the sectors it read in
 *     `code_sectors`, then (seq_cst fence) reads `code_version`, then reads the bytes, and later
 *     trusts what it kept only while `code_version` is unchanged;
 *   - whoever writes to a page by any way but a soft TLB hit writes, then (fence) looks at the
 *     sectors it touched and, where they hold code, calls vm__page_written();
 *   - a soft TLB may cache write permission only for a page whose `code_sectors` is 0 and whose
 *     flags do not ask for write notification.
 */
#ifndef LIBVM_CORE_MEMORY_H
#define LIBVM_CORE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm_machine;
struct vm_region; /* one RAM, ROM, MMIO or alias region; see core/region.h */

enum {
    VM_PAGE_SHIFT = 12,
    VM_PAGE_SIZE = 1 << VM_PAGE_SHIFT,
};

/** Views of the address space, an index. */
enum vm_view { VM_VIEW_NORMAL = 0, VM_VIEW_SMM = 1, VM_VIEW_COUNT = 2 };

enum {
    VM_PAGE_DIRTY = 1u << 0, /**< written since the dirty log was last read */
    /** Writes are logged (core/dirty.h): no cached write permission until VM_PAGE_DIRTY is set. */
    VM_PAGE_LOG_DIRTY = 1u << 1,
};

/** Beside every 4 KiB page of RAM and ROM; indexed by (offset in region) >> 12. 16 bytes. */
struct vm_page {
    _Atomic uint32_t code_version; /**< bumped when bytes under code_sectors change */
    _Atomic uint32_t flags;        /**< VM_PAGE_* */
    _Atomic uint64_t
        code_sectors; /**< bit n: bytes [64 n, 64 n + 64) hold decoded or translated code */
};

/** What lies at one guest-physical page. */
struct vm_mem_page {
    uint8_t *host;        /**< host address of the page; NULL for MMIO and for nothing at all */
    struct vm_page *page; /**< valid with host */
    bool writable;        /**< RAM; false for ROM (writes are dropped) */
};

/**
 * Look up one page. Wait-free; may be called by a vCPU thread at any time, by others with the
 * machine lock held. The result stays valid until the caller's next poll of its requests.
 *
 * @param gpa any guest-physical address in the page
 */
void vm__mem_page(struct vm_machine *m, enum vm_view view, uint64_t gpa, struct vm_mem_page *out);

/**
 * One access to what is not plain RAM at @p gpa: device window, ROM write, or hole (reads all
 * ones, writes ignored). Splits and widens to what the device accepts. Takes the machine lock
 * unless the device's class is `.parallel`. @p size is 1, 2, 4 or 8; the access may straddle.
 */
uint64_t vm__mmio_read(struct vm_machine *m, enum vm_view view, uint64_t gpa, unsigned size);
void vm__mmio_write(struct vm_machine *m, enum vm_view view, uint64_t gpa, unsigned size,
                    uint64_t value);

/** Port I/O; @p size is 1, 2 or 4. Same rules as MMIO. */
uint32_t vm__port_read(struct vm_machine *m, uint16_t port, unsigned size);
void vm__port_write(struct vm_machine *m, uint16_t port, unsigned size, uint32_t value);

/**
 * Copy between guest-physical memory and a buffer: RAM, ROM and (with MMIO allowed) devices.
 * Used by DMA, page-table-free loaders, debuggers. Stores go through the page hook above.
 * @return VM_OK, or VM_E_RANGE with nothing or only a prefix copied.
 */
int vm__mem_read(struct vm_machine *m, uint64_t gpa, void *buf, size_t len);
int vm__mem_write(struct vm_machine *m, uint64_t gpa, const void *buf, size_t len);

/** Bytes of a page change, and none of them are code. */
static inline void vm__page_dirtied(struct vm_page *p)
{
    if (!(atomic_load_explicit(&p->flags, memory_order_relaxed) & VM_PAGE_DIRTY))
        atomic_fetch_or_explicit(&p->flags, VM_PAGE_DIRTY, memory_order_relaxed);
}

/**
 * Some bytes of a page changed behind the engines' backs. Bumps code_version and clears
 * code_sectors where [off, off+len) touches a sector with code; marks the page dirty.
 * Call after the bytes are written. Any thread.
 */
static inline void vm__page_written(struct vm_page *p, uint32_t off, uint32_t len)
{
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t sectors = atomic_load_explicit(&p->code_sectors, memory_order_relaxed);
    if (sectors != 0) {
        uint32_t first = off >> 6, last = (off + len - 1) >> 6;
        uint64_t mask = (~UINT64_C(0) << first) & (~UINT64_C(0) >> (63 - last));
        if (sectors & mask) {
            atomic_store_explicit(&p->code_sectors, 0, memory_order_relaxed);
            atomic_fetch_add_explicit(&p->code_version, 1, memory_order_seq_cst);
        }
    }
    vm__page_dirtied(p);
}

#endif
