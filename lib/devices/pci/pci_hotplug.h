/* SPDX-License-Identifier: MIT */
/**
 * @file pci_hotplug.h
 * What a board and its users ask of the PCI hot-plug registers.
 */
#ifndef LIBVM_DEVICES_PCI_PCI_HOTPLUG_H
#define LIBVM_DEVICES_PCI_PCI_HOTPLUG_H

#include <stdbool.h>
#include <stdint.h>

struct vm_dev;
struct vm_pci_bus;

enum { PCI_HOTPLUG_BASE = 0xae00, PCI_HOTPLUG_SIZE = 0x10 };

/** The bus that is served, and a bit for each of its slots that may be filled and emptied while the
 *  machine runs. Once, when the board's own functions are all there. */
void vm__pci_hotplug_serve(struct vm_dev *dev, struct vm_pci_bus *bus, uint32_t slots);
/** The slots given above. */
uint32_t vm__pci_hotplug_slots(const struct vm_dev *dev);
/** Tell the guest that @p slot was filled. */
void vm__pci_hotplug_added(struct vm_dev *dev, unsigned slot);
/** Ask the guest to let go of what is in @p slot. Its answer, if it gives one, ejects it. */
void vm__pci_hotplug_ask(struct vm_dev *dev, unsigned slot);
/** The machine was reset: nobody uses anything, so what was asked to go goes now. */
void vm__pci_hotplug_finish(struct vm_dev *dev);

#endif
