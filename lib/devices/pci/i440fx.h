/* SPDX-License-Identifier: MIT */
/**
 * @file i440fx.h
 * What a board gives the host bridge: the memory behind its shadow and SMRAM registers.
 */
#ifndef LIBVM_DEVICES_PCI_I440FX_H
#define LIBVM_DEVICES_PCI_I440FX_H

#include <stdint.h>

struct vm_dev;
struct vm_region;

/**
 * Where 0xA0000…0xFFFFF reads from.
 *
 * The board leaves that range to the bridge, but for what shows when shadowing is off: adapters at
 * 0xA0000, option ROMs, the BIOS. Call once, after the bridge was added.
 *
 * @param ram      RAM whose offset 0 is at address 0; at least 1 MiB
 * @param bios     ROM seen at the top of the range when it is not shadowed; NULL: none
 * @param bios_gpa where its part below 1 MiB begins, a multiple of 16 KiB from 0xC0000 on
 * @param bios_off offset in @p bios of what is seen there
 */
int vm__i440fx_set_memory(struct vm_dev *dev, struct vm_region *ram, struct vm_region *bios,
                          uint32_t bios_gpa, uint64_t bios_off);
/** What firmware does before it starts an operating system: 0xC0000…0xFFFFF is RAM. */
void vm__i440fx_shadow_all(struct vm_dev *dev);

#endif
