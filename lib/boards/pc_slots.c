/* SPDX-License-Identifier: MIT */
/**
 * @file pc_slots.c
 * The PCI slots of the pc: where a user's device goes, and devices that come and go while the
 * machine runs. A slot that the board filled itself keeps what it has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "boards/pc.h"
#include "devices/pci/pci.h"
#include "devices/pci/pci_hotplug.h"
#include "devices/pci/piix4_pm.h"

enum { SLOTS = 32, FUNCTIONS = 8, MAX_SETTINGS = 32 };

static uint32_t taken_slots(const struct pc *pc)
{
    uint32_t taken = 0;
    for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++)
        if (pc->bus->function[devfn] != NULL)
            taken |= UINT32_C(1) << (devfn >> 3);
    return taken;
}

int vm__pc_build_hotplug(struct pc *pc)
{
    pc->hotplug = vm__pc_add(pc, "pci_hotplug", "hotplug");
    if (pc->hotplug == NULL)
        return vm_last_error()->code;
    vm__pci_hotplug_serve(pc->hotplug, pc->bus, ~taken_slots(pc));
    vm__dev_connect(pc->hotplug, 0, vm__dev_pin(pc->pm, PIIX4_PM_GPE0 + ACPI_GPE_HOTPLUG));
    return VM_OK;
}

/* ---- where ---- */

/** "SLOT" or "SLOT.FUNCTION", both hexadecimal as lspci writes them. */
static int parse_addr(const char *text, unsigned *devfn)
{
    char *end;
    const unsigned long slot = strtoul(text, &end, 16);
    unsigned long function = 0;
    bool ok = end != text && slot < SLOTS;
    if (ok && *end == '.') {
        const char *from = end + 1;
        function = strtoul(from, &end, 16);
        ok = end != from && function < FUNCTIONS;
    }
    if (!ok || *end != '\0')
        return vm__fail(VM_E_INVAL,
                        "addr=%.20s: a PCI address is SLOT or SLOT.FUNCTION, in hexadecimal, up to "
                        "1f.7",
                        text);
    *devfn = (unsigned)(slot << 3 | function);
    return VM_OK;
}

/** Take what says where out of the settings. @p devfn stays if nothing does. */
static int split(const struct vm_setting *settings, struct vm_setting *rest, unsigned *devfn)
{
    uint32_t n = 0;
    for (; settings != NULL && settings->name != NULL; settings++) {
        int st = VM_OK;
        if (strcmp(settings->name, "addr") == 0)
            st = parse_addr(settings->value, devfn);
        else if (strcmp(settings->name, "bus") != 0)
            rest[n++] = *settings;
        else if (strcmp(settings->value, "pci.0") != 0 && strcmp(settings->value, "pci") != 0)
            st = vm__fail(VM_E_NOENT, "bus=%.40s: this board has one PCI bus, pci.0",
                          settings->value);
        if (st != VM_OK)
            return st;
    }
    rest[n] = (struct vm_setting) { 0 };
    return VM_OK;
}

static int choose(struct pc *pc, const char *class_name, unsigned *devfn)
{
    if (*devfn == PCI_FUNCTIONS) {
        const int free = vm__pci_free_slot(pc->bus, PC_ISA_DEV + 1);
        if (free < 0)
            return vm__fail(VM_E_BUSY, "%s: every PCI slot is taken", class_name);
        *devfn = (unsigned)free;
    }
    if (!pc->m->built)
        return VM_OK;
    if (*devfn % FUNCTIONS != 0)
        return vm__fail(VM_E_NOTSUP,
                        "addr=%x.%x: only function 0 is plugged while the machine is there",
                        *devfn >> 3, *devfn & 7);
    if (!(vm__pci_hotplug_slots(pc->hotplug) & UINT32_C(1) << (*devfn >> 3)))
        return vm__fail(VM_E_BUSY, "addr=%x: the board itself uses that slot", *devfn >> 3);
    return VM_OK;
}

struct vm_dev *vm__pc_plug(struct vm_machine *m, const char *class_name, const char *id,
                           const struct vm_setting *settings)
{
    struct pc *pc = pc_of(m);
    const struct vm_dev_class *cls = vm__dev_class(m, class_name);
    struct vm_setting rest[MAX_SETTINGS + 1];
    unsigned devfn = PCI_FUNCTIONS;

    if (cls->bus != VM_BUS_PCI)
        return vm__dev_add(m, cls, id, settings);
    if (split(settings, rest, &devfn) != VM_OK || choose(pc, class_name, &devfn) != VM_OK)
        return NULL;
    return vm__pc_add_pci(pc, cls, id, devfn, rest);
}

/* ---- coming and going ---- */

void vm__pc_plugged(struct vm_machine *m, struct vm_dev *dev)
{
    vm__pci_hotplug_added(pc_of(m)->hotplug, vm__pci(dev)->devfn >> 3);
}

int vm__pc_unplug(struct vm_machine *m, struct vm_dev *dev)
{
    struct pc *pc = pc_of(m);
    const unsigned slot = dev->cls->bus == VM_BUS_PCI ? vm__pci(dev)->devfn >> 3 : 0;

    if (dev->cls->bus != VM_BUS_PCI || !(vm__pci_hotplug_slots(pc->hotplug) & UINT32_C(1) << slot))
        return vm__fail(VM_E_NOTSUP, "%.60s cannot be unplugged: it is in no hot-plug slot",
                        dev->id);
    vm__pci_hotplug_ask(pc->hotplug, slot);
    return VM_OK;
}
