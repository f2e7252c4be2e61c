/* SPDX-License-Identifier: MIT */
/**
 * @file irq.h
 * Interrupt lines and messages for windows of the caller's own.
 *
 * A line has a level; the board numbers its lines (a PC: 0…23, the IOAPIC's inputs, of which 0…15
 * also reach the 8259 pair). A message is a write, as PCI MSI does it.
 */
#ifndef LIBVM_IRQ_H
#define LIBVM_IRQ_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Drive a line. [any] @retval VM_E_RANGE the board has no such line. @since 0.1 */
VM_API int vm_irq_set(vm_machine *m, uint32_t line, int level);
/** Send a message. [any] @retval VM_E_NOTSUP no processor listens. @since 0.1 */
VM_API int vm_msi_send(vm_machine *m, uint64_t address, uint32_t data);
/** Raise the non-maskable interrupt of every processor. [any] @since 0.1 */
VM_API int vm_nmi(vm_machine *m);

#ifdef __cplusplus
}
#endif
#endif
