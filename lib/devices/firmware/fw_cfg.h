/* SPDX-License-Identifier: MIT */
/**
 * @file fw_cfg.h
 * What a board tells firmware: numbered items and named files.
 *
 * Items are copied. Adding a key or a name again replaces it; a guest that is reading the old
 * content reads on in the new one. Call under the machine lock, at any time.
 */
#ifndef LIBVM_DEVICES_FIRMWARE_FW_CFG_H
#define LIBVM_DEVICES_FIRMWARE_FW_CFG_H

#include <stddef.h>
#include <stdint.h>

struct vm_dev;

/** Keys. All numbers are little-endian. */
enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,  /**< 64 bits */
    FW_CFG_NOGRAPHIC = 0x04, /**< 16 bits */
    FW_CFG_NB_CPUS = 0x05,   /**< 16 bits */
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f, /**< 16 bits */
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_IRQ0_OVERRIDE = 0x8002, /**< 32 bits: timer on IOAPIC pin 2 */

    FW_CFG_MAX_NAME = 56, /* with the final 0 */
};

/** @retval VM_E_NOMEM, VM_E_RANGE too many items or @p len above 4 GiB */
int vm__fw_cfg_add(struct vm_dev *dev, uint16_t key, const void *data, size_t len);
int vm__fw_cfg_add_u16(struct vm_dev *dev, uint16_t key, uint16_t value);
int vm__fw_cfg_add_u32(struct vm_dev *dev, uint16_t key, uint32_t value);
int vm__fw_cfg_add_u64(struct vm_dev *dev, uint16_t key, uint64_t value);
/** @retval VM_E_INVAL name empty or too long */
int vm__fw_cfg_add_file(struct vm_dev *dev, const char *name, const void *data, size_t len);
/** A file that the guest may write by DMA; look at it with vm__fw_cfg_file(). */
int vm__fw_cfg_add_writable(struct vm_dev *dev, const char *name, const void *data, size_t len);
/** Content of a file, valid until it is replaced; NULL: no such file. */
const void *vm__fw_cfg_file(struct vm_dev *dev, const char *name, size_t *len);

#endif
