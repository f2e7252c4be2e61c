/* SPDX-License-Identifier: MIT */
/**
 * @file classes.h
 * The device classes that the tests beside this file make.
 */
#ifndef LIBVM_TESTS_DEVICES_CLASSES_H
#define LIBVM_TESTS_DEVICES_CLASSES_H

#include "support/fake_machine.h"

extern const struct vm_dev_class vm__i8259_class, vm__ioapic_class;
extern const struct vm_dev_class vm__i8237_class, vm__parallel_class, vm__i82077_class;
extern const struct vm_dev_class vm__i8254_class, vm__mc146818_class, vm__hpet_class;
extern const struct vm_dev_class vm__ns16550_class, vm__i8042_class, vm__fw_cfg_class;
extern const struct vm_dev_class vm__i440fx_class, vm__piix3_class, vm__piix4_pm_class;
extern const struct vm_dev_class vm__debugcon_class, vm__isa_debug_exit_class, vm__port92_class;
extern const struct vm_dev_class vm__pvpanic_class, vm__pc_testdev_class, vm__pci_testdev_class;
extern const struct vm_dev_class vm__vga_class;
extern const struct vm_dev_class vm__virtio_blk_class, vm__virtio_rng_class;
extern const struct vm_dev_class vm__rtl8139_class, vm__e1000_class, vm__virtio_net_class;
extern const struct vm_dev_class vm__piix3_ide_class, vm__ata_disk_class, vm__atapi_class;

#endif
