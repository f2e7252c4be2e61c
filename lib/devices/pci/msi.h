/* SPDX-License-Identifier: MIT */
/**
 * @file msi.h
 * Message-signalled interrupts of a PCI function: the MSI and MSI-X capabilities.
 *
 * MSI lives in configuration space. MSI-X has a table and pending bits in a BAR: the device keeps a
 * `struct vm_msix` in its state, saves it with VM_MSIX_FIELD, and sends accesses to that part of
 * its window to vm__msix_read() and vm__msix_write(). The device's .config_written calls
 * vm__pci_msi_written(), its reset() vm__msix_reset().
 *
 * A device sends by vector number; whether MSI or MSI-X is on, and what is masked, is decided here.
 * With neither on, the device drives its pin instead: vm__pci_has_msi().
 *
 * Spec: [PCI-3.0 §6.8].
 */
#ifndef LIBVM_DEVICES_PCI_MSI_H
#define LIBVM_DEVICES_PCI_MSI_H

#include "devices/pci/pci.h"

enum { MSIX_MAX_VECTORS = 128, MSIX_ENTRY = 16 };

struct vm_msix {
    uint8_t table[MSIX_MAX_VECTORS * MSIX_ENTRY]; /**< as the guest sees it, little-endian */
    uint8_t pending[MSIX_MAX_VECTORS / 8];        /**< a bit a vector */
    uint32_t n;                                   /**< vectors; not saved */
    uint32_t table_off, pending_off;              /**< in the window; not saved */
};

extern const struct vm_field vm__msix_fields[];
#define VM_MSIX_FIELD(s, f) VM_FIELD_STRUCT(s, f, vm__msix_fields, 1)

/** In realize(): a 64-bit MSI capability with per-vector masks. @p vectors: 1, 2, 4 … 32. */
int vm__pci_add_msi(struct vm_dev *dev, unsigned vectors);
/**
 * In realize(): an MSI-X capability with its table and pending bits in BAR @p bar.
 * @param vectors 1…MSIX_MAX_VECTORS
 */
int vm__pci_add_msix(struct vm_dev *dev, struct vm_msix *x, unsigned vectors, unsigned bar,
                     uint32_t table_off, uint32_t pending_off);

/** MSI or MSI-X is on: the pin is not used. */
bool vm__pci_has_msi(const struct vm_dev *dev);
/** Send vector @p vector; masked ones stay pending. @p x: NULL without MSI-X. */
void vm__pci_send_msi(struct vm_dev *dev, struct vm_msix *x, unsigned vector);
/** Configuration was written: send what was unmasked. For .config_written. */
void vm__pci_msi_written(struct vm_dev *dev, struct vm_msix *x, uint32_t off, uint32_t size);

/** Does the access at @p off of the window belong to the table or the pending bits? */
bool vm__msix_owns(const struct vm_msix *x, uint64_t off);
uint64_t vm__msix_read(const struct vm_msix *x, uint64_t off, unsigned size);
void vm__msix_write(struct vm_dev *dev, struct vm_msix *x, uint64_t off, unsigned size,
                    uint64_t value);
/** Every vector masked, none pending. */
void vm__msix_reset(struct vm_msix *x);

#endif
