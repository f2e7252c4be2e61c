/* SPDX-License-Identifier: MIT */
/**
 * @file pci.h
 * A PCI bus and the functions on it.
 *
 * A PCI device's state struct begins with a `struct vm_pci`, its field table with VM_PCI_FIELD, and
 * its class points to a `struct vm_pci_function`: identification, interrupt pin and which windows
 * its base address registers place. Configuration space, sizing, mapping, INTx and capabilities
 * then need no code. A function that has registers of its own there names the bits the guest may
 * change with vm__pci_writable() in realize(), and hears of writes through .config_written.
 *
 * Life: vm__dev_new(), properties, vm__pci_add() to a bus. The bus resets configuration spaces
 * before the functions' own reset().
 *
 * Spec: [PCI-2.1 §6].
 */
#ifndef LIBVM_DEVICES_PCI_PCI_H
#define LIBVM_DEVICES_PCI_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"

/** Configuration header, type 0: offsets and bits. */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /**< 24 bits */
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_ROM = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,

    PCI_COMMAND_IO = 0x0001,
    PCI_COMMAND_MEM = 0x0002,
    PCI_COMMAND_MASTER = 0x0004,
    PCI_COMMAND_NO_INTX = 0x0400,
    PCI_STATUS_INTX = 0x0008,
    PCI_STATUS_CAPABILITIES = 0x0010,
    PCI_STATUS_ERRORS = 0xf900, /**< cleared by writing ones */
    PCI_MULTIFUNCTION = 0x80,
};

enum {
    PCI_CONFIG_SIZE = 256,
    PCI_BARS = 6,
    PCI_ROM_BAR = PCI_BARS, /**< index of the expansion ROM among the BARs */
    PCI_FUNCTIONS = 256,    /**< devfn: slot << 3 | function */
    PCI_PINS = 4,
};

enum vm_pci_bar_kind {
    VM_PCI_BAR_NONE = 0,
    VM_PCI_BAR_IO,
    VM_PCI_BAR_MEM,
    VM_PCI_BAR_MEM64, /**< takes the next register as well */
};

/** A base address register. */
struct vm_pci_bar {
    uint8_t kind;   /**< enum vm_pci_bar_kind */
    uint8_t window; /**< index in the class's windows; its size must be a power of two */
    bool prefetch;
};

/** What a class shows on the bus. */
struct vm_pci_function {
    uint16_t vendor, device;
    uint16_t subsystem_vendor, subsystem;
    uint32_t class_code; /**< class, subclass, interface: 0xCCSSII */
    uint8_t revision;
    uint8_t pin;        /**< 1…4: INTA…INTD; 0: none */
    bool multifunction; /**< other functions may share its slot */
    struct vm_pci_bar bars[PCI_BARS];
    /** The guest wrote [off, off + size); config already has the new value. May be NULL. */
    void (*config_written)(struct vm_dev *dev, uint32_t off, uint32_t size);
    /** It is about to read them: bring config up to date. May be NULL. */
    void (*config_reading)(struct vm_dev *dev, uint32_t off, uint32_t size);
};

struct vm_pci_bus;

/** First member of a PCI device's state. */
struct vm_pci {
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t intx; /**< level the function asks for */

    /* Below: rebuilt, not saved. */
    uint8_t initial[PCI_CONFIG_SIZE];  /**< config after reset */
    uint8_t writable[PCI_CONFIG_SIZE]; /**< bits the guest may change */
    uint8_t w1c[PCI_CONFIG_SIZE];      /**< bits the guest clears by writing one */
    struct vm_pci_bus *bus;
    uint8_t devfn;
    uint16_t next_cap;                      /**< where the next capability goes; 0: none yet */
    uint8_t msi, msix;                      /**< offsets of these capabilities, or 0 */
    struct vm_region *region[PCI_BARS + 1]; /**< of a BAR that is no window: video RAM, ROM */
    uint64_t size[PCI_BARS + 1];            /**< 0: none */
    uint64_t mapped[PCI_BARS + 1];          /**< base, or PCI_UNMAPPED */
};

#define PCI_UNMAPPED UINT64_MAX

extern const struct vm_field vm__pci_fields[];
/** First row of a PCI device's field table. */
#define VM_PCI_FIELD(s) VM_FIELD_STRUCT(s, pci, vm__pci_fields, 1)

/** A bus; a member of the bridge's state. */
struct vm_pci_bus {
    struct vm_dev *bridge;
    struct vm_dev *function[PCI_FUNCTIONS]; /**< by devfn; NULL: nothing there */
    /** Drive one of the bus's four interrupt lines. */
    void (*set_pirq)(struct vm_dev *bridge, unsigned pirq, int level);
};

static inline struct vm_pci *vm__pci(const struct vm_dev *dev)
{
    return dev->bus_state;
}

/* ---- for bridges and boards --------------------------------------------------------------- */

/** The line (0…3) that pin @p pin (0…3) of slot @p slot is wired to on a bus. */
static inline unsigned vm__pci_pirq(unsigned slot, unsigned pin)
{
    return (slot + pin + 3) & 3;
}

/**
 * Put a device that is not realized yet on a bus, and realize it. NULL is passed through.
 * @param devfn slot << 3 | function
 * @return the device, or NULL with the error set and the device freed
 */
struct vm_dev *vm__pci_add(struct vm_pci_bus *bus, struct vm_dev *dev, unsigned devfn);
/** The first half of vm__pci_add(); if vm__dev_realize() then fails, clear the bus's slot. */
int vm__pci_plug(struct vm_pci_bus *bus, struct vm_dev *dev, unsigned devfn);
/** Take a device off its bus, before it is freed: it answers nothing and asks for nothing any more.
 */
void vm__pci_remove(struct vm_dev *dev);
/** The first free slot from @p slot on, as devfn, or -1. */
int vm__pci_free_slot(const struct vm_pci_bus *bus, unsigned slot);
/** The bus of a host bridge (class i440fx). */
struct vm_pci_bus *vm__pci_bus_of(struct vm_dev *bridge);

/** Configuration cycles; @p size is 1, 2 or 4, and the access lies in one dword. */
uint32_t vm__pci_config_read(struct vm_dev *dev, uint32_t off, unsigned size);
void vm__pci_config_write(struct vm_dev *dev, uint32_t off, unsigned size, uint32_t value);
/** The same by address; nothing there reads all ones. */
uint32_t vm__pci_bus_read(struct vm_pci_bus *bus, unsigned devfn, uint32_t off, unsigned size);
void vm__pci_bus_write(struct vm_pci_bus *bus, unsigned devfn, uint32_t off, unsigned size,
                       uint32_t value);
/** Configuration spaces back to their reset values; BARs unmapped. */
void vm__pci_bus_reset(struct vm_pci_bus *bus);

/* ---- for functions ------------------------------------------------------------------------ */

/** In realize(): bits of the @p size bytes at @p off that the guest may change. */
void vm__pci_writable(struct vm_dev *dev, uint32_t off, unsigned size, uint32_t bits);
/** In realize(): what they hold after reset. */
void vm__pci_initial(struct vm_dev *dev, uint32_t off, unsigned size, uint32_t value);
/** In realize(): BAR @p bar (or PCI_ROM_BAR) places this region. Its size is a power of two. */
void vm__pci_bar_region(struct vm_dev *dev, unsigned bar, enum vm_pci_bar_kind kind, bool prefetch,
                        struct vm_region *region);
/** In realize(): this device does without a BAR that its class has. */
void vm__pci_no_bar(struct vm_dev *dev, unsigned bar);
/** In realize(): a capability of @p size bytes. @return its offset, or 0 if there is no room */
uint8_t vm__pci_capability(struct vm_dev *dev, uint8_t id, uint8_t size);

/** The function's INTx pin. */
void vm__pci_intx(struct vm_dev *dev, int level);
/** It may use DMA. */
static inline bool vm__pci_is_master(const struct vm_dev *dev)
{
    return vm__pci(dev)->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}
/** .post_load of a PCI device, or part of it: maps BARs, drives INTx. */
int vm__pci_post_load(struct vm_dev *dev);

#endif
