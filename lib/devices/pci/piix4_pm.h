/* SPDX-License-Identifier: MIT */
/**
 * @file piix4_pm.h
 * What a board asks of the power management function.
 */
#ifndef LIBVM_DEVICES_PCI_PIIX4_PM_H
#define LIBVM_DEVICES_PCI_PIIX4_PM_H

#include <stdint.h>

struct vm_dev;

/** Input pins: 0…15 set a bit of the general purpose status on their rising edge. */
enum { PIIX4_PM_GPE0 = 0, PIIX4_PM_RTC = 16, PIIX4_PM_INPUTS = 17 };

/** Someone pressed the power button. */
void vm__piix4_pm_power_button(struct vm_dev *dev);
/** What firmware does: place the PM block at @p base and switch it on. */
void vm__piix4_pm_place(struct vm_dev *dev, uint16_t base);

#endif
