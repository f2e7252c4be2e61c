/* SPDX-License-Identifier: MIT */
/**
 * @file i8237.h
 * The board's DMA channels, as a device on the ISA bus sees them.
 *
 * A device raises its request and asks for its bytes to be moved; the controller moves as many as
 * the guest's programming allows, and says whether that was the end of the guest's block (terminal
 * count). A channel that is not set up yet moves nothing: the device keeps its request up and is
 * told when something has changed.
 *
 *     vm__dma_request(dma, 2, true);
 *     size_t n = vm__dma_transfer(dma, 2, VM_DMA_TO_MEMORY, sector, 512, &end);
 *
 * Channels 0 to 3 move bytes, 5 to 7 words; lengths are in bytes everywhere. Channel 4 joins the
 * two controllers. All calls come under the machine lock.
 */
#ifndef LIBVM_DEVICES_DMA_I8237_H
#define LIBVM_DEVICES_DMA_I8237_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm_dev;
struct vm_machine;

enum { VM_DMA_CHANNELS = 8 };

enum vm_dma_way { VM_DMA_TO_MEMORY, VM_DMA_FROM_MEMORY };

/** The device's side. */
struct vm_dma_user {
    /** The guest has programmed the channel while the request was up: try again. Never called from
     *  within vm__dma_transfer() or vm__dma_request(). */
    void (*ready)(void *opaque);
};

/** The machine's DMA controllers, or NULL. */
struct vm_dev *vm__dma_of(struct vm_machine *m);
/** Take a channel. @p dma may be NULL: VM_E_NOTSUP. @retval VM_E_BUSY another device has it */
int vm__dma_attach(struct vm_dev *dma, unsigned channel, const struct vm_dma_user *user,
                   void *opaque);
/** Give it back; a NULL @p dma has none. */
void vm__dma_detach(struct vm_dev *dma, unsigned channel);
/** Drive the device's DREQ pin. */
void vm__dma_request(struct vm_dev *dma, unsigned channel, bool up);
/**
 * Move up to @p len bytes.
 *
 * A channel that the guest set up for the other direction, or to verify, counts the bytes without
 * touching memory; what is read then is all ones, as on a bus that nobody drives.
 *
 * @param buf the device's bytes
 * @param end set to whether the last of them was the last of the guest's block
 * @return bytes moved; 0 if the channel is masked, switched off or not set up for a device
 */
size_t vm__dma_transfer(struct vm_dev *dma, unsigned channel, enum vm_dma_way way, void *buf,
                        size_t len, bool *end);

#endif
