/* SPDX-License-Identifier: MIT */
/**
 * @file pci.c
 * Configuration space, base address registers and INTx of PCI functions. See pci.h.
 *
 * Spec: [PCI-2.1 §6.2] header and base addresses, [PCI-2.1 §2.2.6] interrupt pins, [PCI-2.3 §6.2.2]
 * interrupt disable and status.
 */
#include "devices/pci/pci.h"

#include <string.h>

#include "core/machine.h"

enum {
    COMMAND_WRITABLE = 0x0547, /* I/O, memory, master, parity, SERR#, INTx disable */
    BAR_IO = 0x1,
    BAR_64 = 0x4,
    BAR_PREFETCH = 0x8,
    ROM_ENABLE = 0x1,
    FIRST_CAPABILITY = 0x40,
};

/* ---- base addresses ----------------------------------------------------------------------- */

static uint32_t bar_offset(unsigned bar)
{
    return bar == PCI_ROM_BAR ? PCI_ROM : PCI_BAR0 + 4 * bar;
}

static enum vm_pci_bar_kind bar_kind(const struct vm_dev *dev, unsigned bar)
{
    const struct vm_pci *p = vm__pci(dev);
    if (p->size[bar] == 0)
        return VM_PCI_BAR_NONE;
    if (bar == PCI_ROM_BAR)
        return VM_PCI_BAR_MEM;
    uint8_t low = p->initial[bar_offset(bar)];
    return low & BAR_IO ? VM_PCI_BAR_IO : low & BAR_64 ? VM_PCI_BAR_MEM64 : VM_PCI_BAR_MEM;
}

/** Where a BAR asks to be, or PCI_UNMAPPED. An address of 0 or all ones is no place. */
static uint64_t bar_wants(const struct vm_dev *dev, unsigned bar)
{
    const struct vm_pci *p = vm__pci(dev);
    uint16_t command = vm_le16(&p->config[PCI_COMMAND]);
    uint64_t base = vm_le32(&p->config[bar_offset(bar)]), top = UINT32_MAX;

    switch (bar_kind(dev, bar)) {
    case VM_PCI_BAR_IO:
        base &= ~UINT64_C(3);
        if (!(command & PCI_COMMAND_IO) || base + p->size[bar] > 0x10000)
            return PCI_UNMAPPED;
        break;
    case VM_PCI_BAR_MEM64:
        base |= (uint64_t)vm_le32(&p->config[bar_offset(bar) + 4]) << 32;
        top = (UINT64_C(1) << 52) - 1; /* physical addresses */
        /* fall through */
    case VM_PCI_BAR_MEM:
        if (!(command & PCI_COMMAND_MEM))
            return PCI_UNMAPPED;
        if (bar == PCI_ROM_BAR && !(base & ROM_ENABLE))
            return PCI_UNMAPPED;
        base &= ~(p->size[bar] - 1);
        if (base > top - p->size[bar] || base + p->size[bar] - 1 == UINT32_MAX)
            return PCI_UNMAPPED;
        break;
    case VM_PCI_BAR_NONE:
        return PCI_UNMAPPED;
    }
    return base == 0 ? PCI_UNMAPPED : base;
}

static void place_bar(struct vm_dev *dev, unsigned bar, uint64_t base)
{
    struct vm_pci *p = vm__pci(dev);
    struct vm_region *region = p->region[bar];
    uint32_t window = bar < PCI_BARS ? dev->cls->pci->bars[bar].window : 0;

    if (base == p->mapped[bar])
        return;
    p->mapped[bar] = base;
    if (base == PCI_UNMAPPED && region != NULL)
        vm__region_enable(region, false);
    else if (base == PCI_UNMAPPED)
        vm__dev_enable(dev, window, false);
    else if (region != NULL)
        (void)vm__region_place(region, base, VM_PRIO_PCI);
    else
        (void)vm__dev_map_at(dev, window, base, VM_PRIO_PCI);
}

static void place_bars(struct vm_dev *dev)
{
    vm__mem_begin(dev->m);
    for (unsigned bar = 0; bar <= PCI_ROM_BAR; bar++)
        if (vm__pci(dev)->size[bar] != 0)
            place_bar(dev, bar, bar_wants(dev, bar));
    vm__mem_commit(dev->m);
}

static void init_bar(struct vm_dev *dev, unsigned bar, enum vm_pci_bar_kind kind, bool prefetch,
                     uint64_t size)
{
    struct vm_pci *p = vm__pci(dev);
    uint32_t off = bar_offset(bar), low = 0;
    uint64_t mask = ~(size - 1);

    p->size[bar] = size;
    if (bar == PCI_ROM_BAR)
        mask |= ROM_ENABLE;
    else if (kind == VM_PCI_BAR_IO)
        low = BAR_IO;
    else
        low = (kind == VM_PCI_BAR_MEM64 ? BAR_64 : 0u) | (prefetch ? BAR_PREFETCH : 0u);
    vm__pci_initial(dev, off, 4, low);
    vm__pci_writable(dev, off, 4, (uint32_t)mask);
    if (kind == VM_PCI_BAR_MEM64)
        vm__pci_writable(dev, off + 4, 4, (uint32_t)(mask >> 32));
}

/* ---- interrupts --------------------------------------------------------------------------- */

/** A bus line is asserted while any function wired to it asserts its pin. */
static void update_pirq(struct vm_pci_bus *bus, unsigned pirq)
{
    int level = 0;
    for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
        const struct vm_dev *dev = bus->function[i];
        if (dev == NULL)
            continue;
        const struct vm_pci *p = vm__pci(dev);
        unsigned pin = p->config[PCI_INTERRUPT_PIN];
        if (p->intx && pin != 0 && vm__pci_pirq(i >> 3, pin - 1) == pirq &&
            !(vm_le16(&p->config[PCI_COMMAND]) & PCI_COMMAND_NO_INTX))
            level = 1;
    }
    if (bus->set_pirq != NULL)
        bus->set_pirq(bus->bridge, pirq, level);
}

static void update_intx(struct vm_dev *dev)
{
    const struct vm_pci *p = vm__pci(dev);
    unsigned pin = p->config[PCI_INTERRUPT_PIN];
    if (pin >= 1 && pin <= PCI_PINS && p->bus != NULL)
        update_pirq(p->bus, vm__pci_pirq(p->devfn >> 3, pin - 1));
}

void vm__pci_intx(struct vm_dev *dev, int level)
{
    struct vm_pci *p = vm__pci(dev);
    p->intx = level != 0;
    p->config[PCI_STATUS] = (uint8_t)vm_put_bits(p->config[PCI_STATUS], 3, 1, p->intx);
    update_intx(dev);
}

/* ---- configuration cycles ----------------------------------------------------------------- */

uint32_t vm__pci_config_read(struct vm_dev *dev, uint32_t off, unsigned size)
{
    const struct vm_pci *p = vm__pci(dev);
    if (off + size > PCI_CONFIG_SIZE)
        return (uint32_t)vm_mask(8 * size);
    if (dev->cls->pci->config_reading != NULL)
        dev->cls->pci->config_reading(dev, off, size);
    return (uint32_t)vm_le_n(&p->config[off], size);
}

static bool touches(uint32_t off, uint32_t size, uint32_t first, uint32_t len)
{
    return off < first + len && first < off + size;
}

void vm__pci_config_write(struct vm_dev *dev, uint32_t off, unsigned size, uint32_t value)
{
    struct vm_pci *p = vm__pci(dev);
    if (off + size > PCI_CONFIG_SIZE)
        return;
    for (uint32_t i = 0; i < size; i++) {
        uint8_t v = (uint8_t)(value >> 8 * i), w = p->writable[off + i];
        uint8_t *c = &p->config[off + i];
        *c = (*c & (uint8_t)~w) | (v & w);
        *c &= (uint8_t) ~(v & p->w1c[off + i]);
    }
    if (touches(off, size, PCI_COMMAND, 2)) {
        place_bars(dev);
        update_intx(dev);
    } else if (touches(off, size, PCI_BAR0, 4 * PCI_BARS) || touches(off, size, PCI_ROM, 4)) {
        place_bars(dev);
    }
    if (dev->cls->pci->config_written != NULL)
        dev->cls->pci->config_written(dev, off, size);
}

uint32_t vm__pci_bus_read(struct vm_pci_bus *bus, unsigned devfn, uint32_t off, unsigned size)
{
    struct vm_dev *dev = bus->function[devfn & 0xff];
    return dev != NULL ? vm__pci_config_read(dev, off, size) : (uint32_t)vm_mask(8 * size);
}

void vm__pci_bus_write(struct vm_pci_bus *bus, unsigned devfn, uint32_t off, unsigned size,
                       uint32_t value)
{
    struct vm_dev *dev = bus->function[devfn & 0xff];
    if (dev != NULL)
        vm__pci_config_write(dev, off, size, value);
}

/* ---- functions ---------------------------------------------------------------------------- */

void vm__pci_writable(struct vm_dev *dev, uint32_t off, unsigned size, uint32_t bits)
{
    vm_put_le_n(&vm__pci(dev)->writable[off], size, bits);
}

void vm__pci_initial(struct vm_dev *dev, uint32_t off, unsigned size, uint32_t value)
{
    struct vm_pci *p = vm__pci(dev);
    vm_put_le_n(&p->initial[off], size, value);
    vm_put_le_n(&p->config[off], size, value);
}

void vm__pci_bar_region(struct vm_dev *dev, unsigned bar, enum vm_pci_bar_kind kind, bool prefetch,
                        struct vm_region *region)
{
    vm__pci(dev)->region[bar] = region;
    init_bar(dev, bar, kind, prefetch, vm__region_size(region));
}

void vm__pci_no_bar(struct vm_dev *dev, unsigned bar)
{
    struct vm_pci *p = vm__pci(dev);
    const unsigned regs = dev->cls->pci->bars[bar].kind == VM_PCI_BAR_MEM64 ? 2 : 1;
    p->size[bar] = 0;
    for (unsigned i = 0; i < regs; i++) {
        vm__pci_initial(dev, bar_offset(bar + i), 4, 0);
        vm__pci_writable(dev, bar_offset(bar + i), 4, 0);
    }
}

uint8_t vm__pci_capability(struct vm_dev *dev, uint8_t id, uint8_t size)
{
    struct vm_pci *p = vm__pci(dev);
    uint32_t free_at = p->next_cap ? p->next_cap : FIRST_CAPABILITY;
    uint32_t end = (free_at + size + 3u) & ~3u;
    uint8_t at = (uint8_t)free_at;

    if (end > PCI_CONFIG_SIZE)
        return 0;
    vm__pci_initial(dev, at, 1, id);
    vm__pci_initial(dev, at + 1u, 1, p->initial[PCI_CAPABILITIES]);
    vm__pci_initial(dev, PCI_CAPABILITIES, 1, at);
    vm__pci_initial(dev, PCI_STATUS, 1, p->initial[PCI_STATUS] | PCI_STATUS_CAPABILITIES);
    p->next_cap = (uint16_t)end;
    return at;
}

static void init_header(struct vm_dev *dev)
{
    const struct vm_pci_function *f = dev->cls->pci;
    struct vm_pci *p = vm__pci(dev);

    vm__pci_initial(dev, PCI_VENDOR_ID, 2, f->vendor);
    vm__pci_initial(dev, PCI_DEVICE_ID, 2, f->device);
    vm__pci_initial(dev, PCI_REVISION, 1, f->revision);
    vm__pci_initial(dev, PCI_CLASS, 3, f->class_code);
    vm__pci_initial(dev, PCI_HEADER_TYPE, 1, f->multifunction ? PCI_MULTIFUNCTION : 0);
    vm__pci_initial(dev, PCI_SUBSYSTEM_VENDOR, 2, f->subsystem_vendor);
    vm__pci_initial(dev, PCI_SUBSYSTEM, 2, f->subsystem);
    vm__pci_initial(dev, PCI_INTERRUPT_PIN, 1, f->pin);
    vm__pci_writable(dev, PCI_COMMAND, 2, COMMAND_WRITABLE);
    vm__pci_writable(dev, PCI_INTERRUPT_LINE, 1, 0xff);
    vm__pci_writable(dev, 0x0c, 1, 0xff); /* cache line size */
    vm_put_le16(&p->w1c[PCI_STATUS], PCI_STATUS_ERRORS);
}

/** Software looks for more functions only where the first one says so [PCI-2.1 §6.2.1]. */
static void mark_shared_slot(struct vm_pci_bus *bus, unsigned slot)
{
    struct vm_dev *first = bus->function[slot << 3];
    bool shared = false;
    for (unsigned i = 1; i < 8; i++)
        shared |= bus->function[slot << 3 | i] != NULL;
    if (shared && first != NULL)
        vm__pci_initial(first, PCI_HEADER_TYPE, 1,
                        vm__pci(first)->initial[PCI_HEADER_TYPE] | PCI_MULTIFUNCTION);
}

int vm__pci_plug(struct vm_pci_bus *bus, struct vm_dev *dev, unsigned devfn)
{
    const struct vm_pci_function *f = dev->cls->pci;

    if (f == NULL)
        return vm__fail(VM_E_INVAL, "%s is not a PCI device", dev->cls->name);
    if (devfn >= PCI_FUNCTIONS)
        return vm__fail(VM_E_INVAL, "PCI slot %u does not exist", devfn >> 3);
    if (bus->function[devfn] != NULL)
        return vm__fail(VM_E_BUSY, "PCI slot %u.%u is taken by %s", devfn >> 3, devfn & 7,
                        bus->function[devfn]->id);
    struct vm_pci *p = dev->state;
    dev->bus_state = p;
    dev->parent = bus->bridge;
    p->bus = bus;
    p->devfn = (uint8_t)devfn;
    bus->function[devfn] = dev;
    init_header(dev);
    mark_shared_slot(bus, devfn >> 3);
    for (unsigned bar = 0; bar <= PCI_ROM_BAR; bar++)
        p->mapped[bar] = PCI_UNMAPPED;
    for (unsigned bar = 0; bar < PCI_BARS; bar++)
        if (f->bars[bar].kind != VM_PCI_BAR_NONE)
            init_bar(dev, bar, f->bars[bar].kind, f->bars[bar].prefetch,
                     dev->cls->windows[f->bars[bar].window].size);
    return VM_OK;
}

struct vm_dev *vm__pci_add(struct vm_pci_bus *bus, struct vm_dev *dev, unsigned devfn)
{
    if (dev == NULL)
        return NULL;
    if (vm__pci_plug(bus, dev, devfn) != VM_OK) {
        vm__dev_free(dev);
        return NULL;
    }
    dev = vm__dev_realize(dev);
    if (dev == NULL)
        bus->function[devfn] = NULL;
    return dev;
}

void vm__pci_remove(struct vm_dev *dev)
{
    struct vm_pci *p = vm__pci(dev);
    vm__pci_intx(dev, 0);
    vm_put_le16(&p->config[PCI_COMMAND], 0);
    place_bars(dev);
    p->bus->function[p->devfn] = NULL;
}

int vm__pci_free_slot(const struct vm_pci_bus *bus, unsigned slot)
{
    for (; slot < PCI_FUNCTIONS / 8; slot++) {
        bool used = false;
        for (unsigned i = 0; i < 8; i++)
            used |= bus->function[slot << 3 | i] != NULL;
        if (!used)
            return (int)(slot << 3);
    }
    return -1;
}

void vm__pci_bus_reset(struct vm_pci_bus *bus)
{
    for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
        struct vm_dev *dev = bus->function[i];
        if (dev == NULL)
            continue;
        struct vm_pci *p = vm__pci(dev);
        memcpy(p->config, p->initial, sizeof p->config);
        p->intx = 0;
        if (dev->realized)
            place_bars(dev);
    }
    for (unsigned pirq = 0; pirq < PCI_PINS; pirq++)
        update_pirq(bus, pirq);
}

/** What the guest cannot change comes from the class, not from the stream. */
int vm__pci_post_load(struct vm_dev *dev)
{
    struct vm_pci *p = vm__pci(dev);
    for (unsigned i = 0; i < PCI_BAR0; i++)
        if (i != PCI_COMMAND && i != PCI_COMMAND + 1 && i != PCI_STATUS && i != PCI_STATUS + 1 &&
            ((p->config[i] ^ p->initial[i]) & (uint8_t)~p->writable[i]))
            return vm__fail(VM_E_CORRUPT, "configuration of %s is another device's", dev->id);
    p->config[PCI_INTERRUPT_PIN] = p->initial[PCI_INTERRUPT_PIN];
    place_bars(dev);
    update_intx(dev);
    return VM_OK;
}

const struct vm_field vm__pci_fields[] = {
    VM_FIELD_BYTES(vm_pci, config, 1),
    VM_FIELD(vm_pci, intx, 1),
    { 0 },
};
