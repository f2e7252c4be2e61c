/* SPDX-License-Identifier: MIT */
/**
 * @file info_pci.c
 * info pci: functions on the bus, from what their configuration spaces say.
 *
 * Spec: [PCI-2.1 §6], class codes appendix D.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "devices/pci/pci.h"
#include "monitor/monitor.h"

/** Class and subclass. */
static const struct {
    uint16_t code;
    const char *name;
} classes[] = {
    { 0x0100, "SCSI controller" },
    { 0x0101, "IDE controller" },
    { 0x0102, "Floppy controller" },
    { 0x0106, "SATA controller" },
    { 0x0108, "NVMe controller" },
    { 0x0200, "Ethernet controller" },
    { 0x0300, "VGA controller" },
    { 0x0380, "Display controller" },
    { 0x0401, "Audio controller" },
    { 0x0403, "Audio controller" },
    { 0x0500, "RAM controller" },
    { 0x0600, "Host bridge" },
    { 0x0601, "ISA bridge" },
    { 0x0604, "PCI bridge" },
    { 0x0680, "Bridge" },
    { 0x0700, "Serial port" },
    { 0x0c03, "USB controller" },
    { 0x0c05, "SMBus" },
};

static void put_class(struct mon *mon, uint16_t code)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (classes[i].code == code) {
            mon_printf(mon, "    %s", classes[i].name);
            return;
        }
    }
    mon_printf(mon, "    Class %04x", code);
}

static void put_bar(struct mon *mon, const struct vm_pci *p, unsigned bar)
{
    const uint64_t size = p->size[bar];
    if (size == 0)
        return;
    const uint32_t reg = vm_le32(p->config + (bar == PCI_ROM_BAR ? PCI_ROM : PCI_BAR0 + 4 * bar));
    const bool io = bar != PCI_ROM_BAR && (reg & 1);
    const bool wide = !io && bar != PCI_ROM_BAR && (reg & 6) == 4;
    const uint64_t base = p->mapped[bar];
    mon_printf(mon, "      BAR%u: ", bar);
    if (io)
        mon_printf(mon, "I/O at 0x%04" PRIx64 " [0x%04" PRIx64 "].\n", base & 0xffffffff,
                   (base + size - 1) & 0xffffffff);
    else
        mon_printf(mon, "%d bit%s memory at 0x%08" PRIx64 " [0x%08" PRIx64 "].\n", wide ? 64 : 32,
                   bar != PCI_ROM_BAR && (reg & 8) ? " prefetchable" : "", base, base + size - 1);
}

static void put_function(struct mon *mon, struct vm_dev *dev)
{
    const struct vm_pci *p = vm__pci(dev);
    const uint8_t *c = p->config;
    mon_printf(mon, "  Bus  0, device %3u, function %u:\n", p->devfn >> 3, p->devfn & 7);
    put_class(mon, (uint16_t)(c[PCI_CLASS + 2] << 8 | c[PCI_CLASS + 1]));
    mon_printf(mon, ": PCI device %04x:%04x\n", vm_le16(c + PCI_VENDOR_ID),
               vm_le16(c + PCI_DEVICE_ID));
    if (vm_le16(c + PCI_SUBSYSTEM_VENDOR) != 0)
        mon_printf(mon, "      PCI subsystem %04x:%04x\n", vm_le16(c + PCI_SUBSYSTEM_VENDOR),
                   vm_le16(c + PCI_SUBSYSTEM));
    if (c[PCI_INTERRUPT_PIN] != 0)
        mon_printf(mon, "      IRQ %u, pin %c\n", c[PCI_INTERRUPT_LINE],
                   'A' + ((c[PCI_INTERRUPT_PIN] - 1) & 3));
    for (unsigned bar = 0; bar <= PCI_ROM_BAR; bar++)
        put_bar(mon, p, bar);
    mon_printf(mon, "      id \"%s\"\n", dev->id);
}

static int run_pci(struct mon *mon, char *args)
{
    bool any = false;
    (void)args;
    for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++) {
        for (uint32_t i = 0; i < mon->m->n_devs; i++) {
            struct vm_dev *dev = mon->m->devs[i];
            if (dev->cls->pci == NULL || vm__pci(dev) == NULL || vm__pci(dev)->devfn != devfn)
                continue;
            put_function(mon, dev);
            any = true;
        }
    }
    return any ? VM_OK : vm__fail(VM_E_NOENT, "the machine has no PCI bus");
}

const struct mon_command vm__mon_info_pci[] = {
    { "pci", NULL, NULL, "PCI functions", MON_EXACT, run_pci },
    { 0 },
};
