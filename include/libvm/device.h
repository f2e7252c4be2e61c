/* SPDX-License-Identifier: MIT */
/**
 * @file device.h
 * Devices of a built machine, by name.
 *
 * Devices are configured before the machine is built ("device.N" keys); here they are found and
 * looked at, and PCI devices plugged and unplugged while the machine is there. A handle lives as
 * long as its machine, or until its device was unplugged.
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
/**
 * Plug a device into the built machine, running or not; the guest is told by ACPI [ACPI-6.5 §6.3].
 *
 * @param spec "CLASS,PROPERTY=VALUE,id=NAME" as in the "device.N" keys. "addr=SLOT" chooses the
 * slot
 * @retval VM_E_NOTSUP only PCI devices are hot-plugged
 * @retval VM_E_BUSY   the slot, or every slot, or the id is taken
 * @retval VM_E_NOENT  no such class
 * [any] @since 0.1
 */
VM_API int vm_dev_add(vm_machine *m, const char *spec);
/**
 * Ask the guest to let go of a PCI device. It is gone, and VM_EVENT_UNPLUGGED posted, when the
 * guest ejects it, or at the next reset; a guest that does not listen keeps it.
 *
 * @retval VM_E_NOENT  no device has this id
 * @retval VM_E_NOTSUP it is part of the board or not a PCI device
 * [any] @since 0.1
 */
VM_API int vm_dev_del(vm_machine *m, const char *id);

#ifdef __cplusplus
}
#endif
#endif
