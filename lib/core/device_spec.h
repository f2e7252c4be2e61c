/* SPDX-License-Identifier: MIT */
/**
 * @file device_spec.h
 * Adding a device from one line of text.
 */
#ifndef LIBVM_CORE_DEVICE_SPEC_H
#define LIBVM_CORE_DEVICE_SPEC_H

struct vm_machine;

/** Add the device that "class,property=value,id=name" describes. Under the machine lock. */
int vm__dev_plug(struct vm_machine *m, const char *text);

#endif
