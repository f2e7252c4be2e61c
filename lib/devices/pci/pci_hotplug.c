/* SPDX-License-Identifier: MIT */
/**
 * @file pci_hotplug.c
 * The registers by which ACPI learns of PCI devices that come and go while the machine runs.
 *
 * A chip of this board's own: the PIIX4 has general purpose events but nothing behind them. Its one
 * output is wired to such an event; the method of that event reads UP and DOWN, clears what it has
 * seen, and notifies the slots; _EJ0 writes EJECT. [ACPI-6.5 §6.3] device insertion and removal.
 *
 * Four registers of 32 bits, a bit for each slot:
 *   0 UP       was filled; writing a one clears
 *   4 DOWN     is asked to be emptied; writing a one clears
 *   8 EJECT    writing a one takes the slot's functions off the bus; reads 0
 *   c PRESENT  has something in it; read only
 */
#include "devices/pci/pci_hotplug.h"

#include "devices/pci/pci.h"

enum { UP = 0x0, DOWN = 0x4, EJECT = 0x8, PRESENT = 0xc, SLOTS = 32 };

struct pci_hotplug {
    uint32_t up, down;
    uint32_t asked; /**< asked to go and still there, whatever the guest cleared */

    struct vm_pci_bus *bus; /**< the board's; not saved */
    uint32_t slots;
};

static uint32_t present(const struct pci_hotplug *s)
{
    uint32_t bits = 0;
    for (unsigned devfn = 0; s->bus != NULL && devfn < PCI_FUNCTIONS; devfn++)
        if (s->bus->function[devfn] != NULL)
            bits |= UINT32_C(1) << (devfn >> 3);
    return bits;
}

static void eject(struct pci_hotplug *s, unsigned slot)
{
    s->asked &= ~(UINT32_C(1) << slot);
    for (unsigned function = 8; function-- != 0;) {
        struct vm_dev *dev = s->bus->function[slot << 3 | function];
        if (dev == NULL)
            continue;
        vm__pci_remove(dev);
        vm__dev_retire(dev);
    }
}

static void eject_all(struct pci_hotplug *s, uint32_t slots)
{
    for (unsigned slot = 0; s->bus != NULL && slot < SLOTS; slot++)
        if (slots & s->slots & UINT32_C(1) << slot)
            eject(s, slot);
}

static uint64_t hotplug_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct pci_hotplug *s = vm_dev_state(dev);
    (void)size;
    switch (off) {
    case UP:
        return s->up;
    case DOWN:
        return s->down;
    case PRESENT:
        return present(s);
    default:
        return 0;
    }
}

static void hotplug_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct pci_hotplug *s = vm_dev_state(dev);
    (void)size;
    if (off == UP)
        s->up &= ~(uint32_t)v;
    else if (off == DOWN)
        s->down &= ~(uint32_t)v;
    else if (off == EJECT)
        eject_all(s, (uint32_t)v);
}

void vm__pci_hotplug_serve(struct vm_dev *dev, struct vm_pci_bus *bus, uint32_t slots)
{
    struct pci_hotplug *s = vm_dev_state(dev);
    s->bus = bus;
    s->slots = slots;
}

uint32_t vm__pci_hotplug_slots(const struct vm_dev *dev)
{
    const struct pci_hotplug *s = vm_dev_state(dev);
    return s->slots;
}

void vm__pci_hotplug_added(struct vm_dev *dev, unsigned slot)
{
    struct pci_hotplug *s = vm_dev_state(dev);
    s->up |= UINT32_C(1) << slot;
    vm__dev_irq_pulse(dev, 0);
}

void vm__pci_hotplug_ask(struct vm_dev *dev, unsigned slot)
{
    struct pci_hotplug *s = vm_dev_state(dev);
    s->down |= UINT32_C(1) << slot;
    s->asked |= UINT32_C(1) << slot;
    vm__dev_irq_pulse(dev, 0);
}

void vm__pci_hotplug_finish(struct vm_dev *dev)
{
    struct pci_hotplug *s = vm_dev_state(dev);
    s->up = s->down = 0;
    eject_all(s, s->asked);
}

static int hotplug_realize(struct vm_dev *dev)
{
    return vm__dev_map(dev, 0, PCI_HOTPLUG_BASE);
}

static const struct vm_window windows[] = {
    { "io", VM_SPACE_PORT, PCI_HOTPLUG_SIZE, 4, 4, .read = hotplug_read, .write = hotplug_write },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD(pci_hotplug, up, 1),
    VM_FIELD(pci_hotplug, down, 1),
    VM_FIELD(pci_hotplug, asked, 1),
    { 0 },
};

const struct vm_dev_class vm__pci_hotplug_class = {
    .name = "pci_hotplug",
    .summary = "PCI hot-plug registers for ACPI",
    .spec = "this file; ACPI 6.5 §6.3",
    .bus = VM_BUS_BOARD,
    .state_size = sizeof(struct pci_hotplug),
    .windows = windows,
    .fields = fields,
    .realize = hotplug_realize,
};
