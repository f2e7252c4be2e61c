/* SPDX-License-Identifier: MIT */
/**
 * @file memory.h
 * Guest-physical memory, and windows of the caller's own in it.
 *
 * Regions overlap by priority: those added here lie above the board's. Bytes go through the same
 * hooks as the guest's own stores, so code that is overwritten is noticed.
 *
 * Threads: [any], each call takes the machine's lock.
 */
#ifndef LIBVM_MEMORY_H
#define LIBVM_MEMORY_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_region vm_region;

/**
 * Read guest-physical memory: RAM and ROM, no device windows (so without side effects).
 * @retval VM_E_RANGE some byte is not backed; vm_last_error()->guest_addr is the first such
 * @since 0.1
 */
VM_API int vm_mem_read(vm_machine *m, uint64_t gpa, void *buf, size_t len);
/** Write guest-physical RAM; ROM is not changed and answers VM_E_RANGE. @since 0.1 */
VM_API int vm_mem_write(vm_machine *m, uint64_t gpa, const void *buf, size_t len);

/** A device window of the caller's. Reads and writes return 0, or an error that stops the machine.
 */
typedef struct vm_io_ops {
    uint32_t size;
    uint32_t min_access; /**< bytes; 0: 1 */
    uint32_t max_access; /**< bytes; 0: 8 for memory, 4 for ports */
    uint32_t flags;      /**< 0 */
    int (*read)(void *ud, uint64_t off, uint32_t width, uint64_t *value);
    int (*write)(void *ud, uint64_t off, uint32_t width, uint64_t value);
} vm_io_ops;

/** Add RAM. The handle belongs to the machine. @since 0.1 */
VM_API vm_region *vm_ram_add(vm_machine *m, const char *name, uint64_t gpa, uint64_t size);
/** Add memory of the caller's: page-aligned, alive until @p free_ud is called. @since 0.1 */
VM_API vm_region *vm_ram_add_ptr(vm_machine *m, const char *name, uint64_t gpa, void *host,
                                 uint64_t size, vm_free_fn free_ud, void *ud);
/** Add ROM with a copy of @p data. @since 0.1 */
VM_API vm_region *vm_rom_add(vm_machine *m, const char *name, uint64_t gpa, const void *data,
                             uint64_t size);
/** Add a window that calls back. @p ops is copied. @since 0.1 */
VM_API vm_region *vm_mmio_add(vm_machine *m, const char *name, uint64_t gpa, uint64_t size,
                              const vm_io_ops *ops, void *ud, vm_free_fn free_ud);
/** The same in the port space. @since 0.1 */
VM_API vm_region *vm_pio_add(vm_machine *m, const char *name, uint16_t port, uint32_t count,
                             const vm_io_ops *ops, void *ud, vm_free_fn free_ud);
/** Move to another address of its space. @since 0.1 */
VM_API int vm_region_move(vm_region *r, uint64_t address);
/** Hide (0) or show (1). @since 0.1 */
VM_API int vm_region_enable(vm_region *r, int on);
/** Remove; the handle is gone. @since 0.1 */
VM_API int vm_region_remove(vm_region *r);

#ifdef __cplusplus
}
#endif
#endif
