/* SPDX-License-Identifier: MIT */
/**
 * @file device_impl.h
 * Between the files that make up devices. For lib/core only.
 */
#ifndef LIBVM_CORE_DEVICE_IMPL_H
#define LIBVM_CORE_DEVICE_IMPL_H

#include "core/device.h"

/* core/device_prop.c */
int vm__dev_init_props(struct vm_dev *dev);
void vm__dev_free_props(struct vm_dev *dev);

/* core/device_window.c */
int vm__dev_init_windows(struct vm_dev *dev);
void vm__dev_free_windows(struct vm_dev *dev);
void vm__dev_reset_regs(struct vm_dev *dev);

/* core/device.c */
void vm__dev_reset(struct vm_dev *dev, enum vm_reset_kind kind);
void vm__dev_cancel_timers(struct vm_dev *dev);

/** Disarm every timer that lies in [at, at + len). core/clock.c */
void vm__timers_forget(struct vm_machine *m, const void *at, size_t len);

#endif
