/* SPDX-License-Identifier: MIT */
/**
 * @file irq.h
 * Interrupt lines and messages, with nobody knowing the controller on the other side.
 *
 * A line is a sink with a level; edge or level is the controller's business. A message (MSI) is a
 * write. The hub is where the processors' side (local APICs, lib/cpu/x86/lapic.c) and the chips'
 * side (8259, IOAPIC in lib/devices/intc) find each other through floor 1.
 *
 * Threads: lines are driven under the machine lock; vm_irq_hub.msi and .eoi are wait-free or take
 * the lock themselves, as said there.
 */
#ifndef LIBVM_CORE_IRQ_H
#define LIBVM_CORE_IRQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The receiving end of a line. */
struct vm_irq {
    void (*set)(void *opaque, uint32_t n, int level); /**< NULL: not connected */
    void *opaque;
    uint32_t n;
};

static inline void vm__irq_set(const struct vm_irq *irq, int level)
{
    if (irq->set != NULL)
        irq->set(irq->opaque, irq->n, level);
}

/** One per machine; a NULL call means "no such part". */
struct vm_irq_hub {
    /* Given by the interrupt chips. */
    int (*pic_ack)(void *pic); /**< INTA cycle of the 8259 pair: vector. Takes the machine lock. */
    void *pic;
    void (*ioapic_eoi)(void *ioapic, uint8_t vector); /**< EOI broadcast. Takes the machine lock. */
    void *ioapic;
    /** FERR#: 1 when an instruction meets an x87 exception with CR0.NE clear, 0 when it was
     * cleared. True: IGNNE# is asserted, go on. Takes the machine lock. */
    bool (*ferr)(void *ferr_dev, int level);
    void *ferr_dev;
    /* Given by the processors. */
    int (*msi)(void *cpus, uint64_t address,
               uint32_t data);           /**< [SDM-3A §11.11]; any thread; wait-free.
                 Returns the number of processors that accepted it. */
    void (*intr)(void *cpus, int level); /**< the 8259's INT output, to LINT0 of every local APIC */
    void (*nmi)(void *cpus);             /**< LINT1 / NMI pin of every local APIC */
    void (*smi)(void *cpus);             /**< SMI# pin of the boot processor */
    void (*sleep)(void *cpus);           /**< take the processors' power away until a reset */
    void (*a20)(void *cpus, int on); /**< A20M# of every processor: 0 forces address line 20 low */
    void *cpus;
};

#endif
