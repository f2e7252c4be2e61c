/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_pci.h
 * Between virtio.c, which knows what a device is, and virtio_pci.c, which shows it as registers.
 */
#ifndef LIBVM_DEVICES_VIRTIO_VIRTIO_PCI_H
#define LIBVM_DEVICES_VIRTIO_VIRTIO_PCI_H

#include "devices/virtio/virtio.h"

/** Identification, BARs and capabilities; in realize(). */
int vm__virtio_pci_realize(struct virtio *v);

/** @p modern: through the interface of 1.0 and later. */
void vm__virtio_set_status(struct virtio *v, uint8_t status, bool modern);
uint64_t vm__virtio_offered(const struct virtio *v, bool modern);
uint8_t vm__virtio_read_isr(struct virtio *v);
struct virtq *vm__virtio_queue(struct virtio *v, uint32_t n); /**< NULL: there is none */
void vm__virtio_enable_queue(struct virtio *v, struct virtq *q);
void vm__virtio_reset_queue(struct virtio *v, struct virtq *q);
void vm__virtio_notified(struct virtio *v, uint32_t n);
uint16_t vm__virtio_vector(const struct virtio *v, uint16_t vector);

#endif
