/* SPDX-License-Identifier: MIT */
/**
 * @file device_spec.h
 * Adding a device from one line of text.
 */
#ifndef LIBVM_CORE_DEVICE_SPEC_H
#define LIBVM_CORE_DEVICE_SPEC_H

struct vm_machine;

/** Add the device that "class,property=value,id=name" describes, in a built machine by hot-plug.
 * Under the machine lock. */
int vm__dev_plug(struct vm_machine *m, const char *text);
/** Ask the guest to let go of a device, which then goes. Under the machine lock. */
int vm__dev_unplug(struct vm_machine *m, const char *id);

#endif
