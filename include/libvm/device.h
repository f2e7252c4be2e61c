/* SPDX-License-Identifier: MIT */
/**
 * @file device.h
 * Devices of a built machine, by name.
 *
 * Devices are configured before the machine is built ("device.N" keys); here they are found and
 * looked at. A handle lives as long as its machine.
 */
#ifndef LIBVM_DEVICE_H
#define LIBVM_DEVICE_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_dev vm_dev;

/** [any] The device with this id, or NULL. @since 0.1 */
VM_API vm_dev *vm_dev_find(vm_machine *m, const char *id);
/** [any] Name every device: its id, then its class. @since 0.1 */
VM_API int vm_dev_list(vm_machine *m, vm_list_fn fn, void *ud);
/**
 * Name every field of the device's guest-visible state with its value as text. [owner]
 * @since 0.1
 */
VM_API int vm_dev_fields(vm_dev *dev, vm_list_fn fn, void *ud);

#ifdef __cplusplus
}
#endif
#endif
