/* SPDX-License-Identifier: MIT */
/**
 * @file board.h
 * A board: which parts sit where and how they are wired.
 *
 * build() runs once, under the machine lock, on an empty machine: it makes RAM, devices and lines,
 * then processors with vm__machine_add_cpus(). What it leaves in m->lines[] are the numbered
 * interrupt lines that devices name in their properties.
 */
#ifndef LIBVM_CORE_BOARD_H
#define LIBVM_CORE_BOARD_H

#include <stdbool.h>
#include <stdint.h>

struct vm_machine;
struct vm_dev;
struct vm_key;
struct vm_setting;

/* The kind of reset travels as enum vm_reset_kind (core/device.h). */
struct vm_board_class {
    const char *name; /**< "pc" */
    const char *summary;
    const struct vm_key *keys; /**< configuration keys it adds to the machine's; core/config.h */
    /** Make the parts; m->board_state is the board's to use. */
    int (*build)(struct vm_machine *m);
    /** Add a device the user asked for ("device.N"): choose bus and slot. NULL: vm__dev_add(). */
    struct vm_dev *(*plug)(struct vm_machine *m, const char *class_name, const char *id,
                           const struct vm_setting *settings);
    /** A device was plugged into the built machine: tell the guest. NULL: that cannot be done. */
    void (*plugged)(struct vm_machine *m, struct vm_dev *dev);
    /** Have the guest let go of a device; it goes when it answers, or at the next reset. */
    int (*unplug)(struct vm_machine *m, struct vm_dev *dev);
    /** After build() and the user's devices: firmware tables, boot loading. May be NULL. */
    int (*finish)(struct vm_machine *m);
    /** At every reset, after the devices' and the processors' reset: loads the kernel, sets
     *  registers. May be NULL. */
    int (*reset)(struct vm_machine *m, int kind);
    /** VM_DEV_RESET_SOFT: have the processors go through INIT. False: it cannot be done here, a
     *  warm reset is needed. May be NULL. */
    bool (*soft_reset)(struct vm_machine *m);
    void (*power_button)(struct vm_machine *m); /**< may be NULL */
    /** What firmware tries from the next reset on: letters as in "boot.order". May be NULL. */
    int (*boot_set)(struct vm_machine *m, const char *order);
    void (*destroy)(struct vm_machine *m); /**< free board_state; also after a failed build() */
};

#endif
