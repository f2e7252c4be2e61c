/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_driver.h
 * The driver's side of virtio for tests: brings a device up and runs split or packed queues whose
 * rings lie at fixed places in the fake machine's memory.
 */
#ifndef LIBVM_TESTS_DEVICES_VIRTIO_DRIVER_H
#define LIBVM_TESTS_DEVICES_VIRTIO_DRIVER_H

#include "devices/classes.h"

enum {
    DRV_DEVFN = 4 << 3,
    DRV_IO = 0xc000,         /**< BAR 0 */
    DRV_MSIX = 0xd0000000,   /**< BAR 1 */
    DRV_MODERN = 0xd0100000, /**< BAR 4 */
    DRV_COMMON = DRV_MODERN, /**< areas of it */
    DRV_ISR = DRV_MODERN + 0x1000,
    DRV_CONFIG = DRV_MODERN + 0x2000,
    DRV_NOTIFY = DRV_MODERN + 0x3000,
    DRV_RINGS = 0x10000, /**< a queue's rings every 0x4000 */
    DRV_SIZE = 16,
    DRV_NEXT = 1,
    DRV_WRITE = 2,
    DRV_INDIRECT = 4,
};

struct drv {
    struct fake_machine *f;
    struct vm_dev *host, *dev;
    bool packed, legacy;
    uint64_t features;
    uint16_t avail, used; /**< split: indices; packed: places */
    uint8_t avail_wrap, used_wrap;
    uint16_t free_desc;
    uint16_t length[DRV_SIZE]; /**< packed: of the chain with this id */
};

struct drv_buf {
    uint64_t gpa;
    uint32_t len;
    uint16_t flags;
};

/** A host bridge, and the device on it, with BARs placed and everything enabled. */
void drv_make(struct drv *d, struct fake_machine *f, const struct vm_dev_class *cls, ...)
    __attribute__((sentinel));
void drv_config(struct drv *d, uint32_t reg, unsigned size, uint32_t value);
uint32_t drv_config_read(struct drv *d, uint32_t reg, unsigned size);
/** Reset, agree on @p features, queue 0, DRIVER_OK. @return the status read back */
uint8_t drv_start(struct drv *d, uint64_t features);
/** Make a chain available and notify. @return its id */
uint16_t drv_add(struct drv *d, const struct drv_buf *buf, unsigned n);
void drv_kick(struct drv *d);
/** The next used chain: its id, or -1. @p len receives the bytes written. */
int drv_used(struct drv *d, uint32_t *len);
uint8_t drv_status(struct drv *d);

#endif
