/* SPDX-License-Identifier: MIT */
/**
 * @file pc_setup.c
 * The firmware's share of a direct boot: the chipset is programmed through its own ports, as a BIOS
 * would, so nothing here knows how the chips are made.
 *
 * Spec: [I440FX §3.2] PAM; [PIIX3 §2.2, §2.6] interrupt routing; [PIIX4 §6, §7] power management;
 * [PCI-2.3 §6.2.5.1] base address sizing.
 */
#include "boards/pc.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/pci.h"
#include "devices/pci/piix4_pm.h"

enum {
    CONFIG_ADDRESS = 0xcf8,
    CONFIG_DATA = 0xcfc,
    BAR_IO = 1 << 0,
    BAR_64 = 2 << 1,
    N_SLOTS = 32,
    N_FUNCTIONS = 8,
};

/** Interrupts that the four PCI links are routed to. */
static const uint8_t pirq_irq[4] = { 10, 10, 11, 11 };

static void select_config(struct pc *pc, unsigned devfn, unsigned reg)
{
    vm__port_write(pc->m, CONFIG_ADDRESS, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
}

static uint32_t cfg_read(struct pc *pc, unsigned devfn, unsigned reg, unsigned size)
{
    select_config(pc, devfn, reg);
    return vm__port_read(pc->m, (uint16_t)(CONFIG_DATA + (reg & 3)), size);
}

static void cfg_write(struct pc *pc, unsigned devfn, unsigned reg, unsigned size, uint32_t v)
{
    select_config(pc, devfn, reg);
    vm__port_write(pc->m, (uint16_t)(CONFIG_DATA + (reg & 3)), size, v);
}

static void out8(struct pc *pc, uint16_t port, uint8_t v)
{
    vm__port_write(pc->m, port, 1, v);
}

/** The 8259 pair at the BIOS's vectors, everything masked; the PIT at 18.2 Hz; DMA joined. */
static void setup_legacy(struct pc *pc)
{
    out8(pc, 0x20, 0x11);
    out8(pc, 0x21, 0x08);
    out8(pc, 0x21, 0x04);
    out8(pc, 0x21, 0x01);
    out8(pc, 0xa0, 0x11);
    out8(pc, 0xa1, 0x70);
    out8(pc, 0xa1, 0x02);
    out8(pc, 0xa1, 0x01);
    out8(pc, 0x21, 0xff);
    out8(pc, 0xa1, 0xff);
    out8(pc, 0x43, 0x36); /* counter 0, mode 3, 65536 */
    out8(pc, 0x40, 0);
    out8(pc, 0x40, 0);
    out8(pc, 0xd6, 0xc0); /* DMA channel 4: cascade mode, */
    out8(pc, 0xd4, 0x00); /* unmasked */
    out8(pc, 0x92, 0x02); /* A20 on */
}

/** Shadow RAM from 0xC0000 up, interrupt links, and the PM block in ACPI's way. */
static void setup_chipset(struct pc *pc)
{
    const unsigned isa = PC_ISA_DEV << 3, ide = isa | PC_IDE_FUNCTION;
    vm__i440fx_shadow_all(pc->host);
    for (unsigned i = 0; i < 4; i++)
        cfg_write(pc, isa, 0x60 + i, 1, pirq_irq[i]);
    out8(pc, 0x4d0, 0x00);
    out8(pc, 0x4d1, 1 << (9 - 8) | 1 << (10 - 8) | 1 << (11 - 8)); /* SCI and the links: levels */
    cfg_write(pc, ide, 0x40, 4, 0x80008000); /* IDETIM: both channels answer */
    vm__piix4_pm_place(pc->pm, PC_PM_BASE);
}

/** Addresses handed out to BARs, growing upwards. */
struct pool {
    uint64_t next, last;
};

static uint64_t take(struct pool *p, uint64_t size)
{
    uint64_t at = (p->next + size - 1) & ~(size - 1);
    if (at < p->next || at > p->last || size - 1 > p->last - at)
        return 0;
    p->next = at + size;
    return at;
}

/** Size one BAR by writing ones; give it an address. @return what decoding to enable */
static uint32_t setup_bar(struct pc *pc, unsigned devfn, unsigned reg, struct pool *io,
                          struct pool *mem)
{
    uint32_t old = cfg_read(pc, devfn, reg, 4);
    cfg_write(pc, devfn, reg, 4, UINT32_MAX);
    uint32_t mask = cfg_read(pc, devfn, reg, 4);
    cfg_write(pc, devfn, reg, 4, old);
    if (mask == 0 || mask == UINT32_MAX)
        return 0;
    bool is_io = mask & BAR_IO;
    uint32_t bits = is_io ? mask & ~UINT32_C(3) : mask & ~UINT32_C(0xf);
    if (is_io)
        bits |= 0xffff0000; /* the upper half may be hard-wired to 0 */
    uint64_t at = bits != 0 ? take(is_io ? io : mem, (uint64_t)~bits + 1) : 0;
    if (at == 0)
        return 0;
    cfg_write(pc, devfn, reg, 4, (uint32_t)at);
    if (!is_io && (mask & 6) == BAR_64)
        cfg_write(pc, devfn, reg + 4, 4, 0);
    return is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEM;
}

static void setup_function(struct pc *pc, unsigned devfn, struct pool *io, struct pool *mem)
{
    uint32_t enable = 0;
    for (unsigned i = 0; i < PCI_BARS; i++) {
        unsigned reg = PCI_BAR0 + 4 * i;
        enable |= setup_bar(pc, devfn, reg, io, mem);
        uint32_t bar = cfg_read(pc, devfn, reg, 4);
        if (!(bar & BAR_IO) && (bar & 6) == BAR_64)
            i++;
    }
    if (enable != 0)
        cfg_write(pc, devfn, PCI_COMMAND, 2,
                  cfg_read(pc, devfn, PCI_COMMAND, 2) | enable | PCI_COMMAND_MASTER);
    unsigned pin = cfg_read(pc, devfn, PCI_INTERRUPT_PIN, 1);
    if (pin >= 1 && pin <= 4 && devfn != (PC_ISA_DEV << 3 | PC_PM_FUNCTION))
        cfg_write(pc, devfn, PCI_INTERRUPT_LINE, 1, pirq_irq[vm__pci_pirq(devfn >> 3, pin - 1)]);
}

static void setup_pci(struct pc *pc)
{
    struct pool io = { 0xc000, 0xfeff };
    struct pool mem = { 0xe0000000, PC_PCI_LAST };
    for (unsigned slot = 0; slot < N_SLOTS; slot++) {
        for (unsigned fn = 0; fn < N_FUNCTIONS; fn++) {
            unsigned devfn = slot << 3 | fn;
            if (cfg_read(pc, devfn, PCI_VENDOR_ID, 2) == 0xffff) {
                if (fn == 0)
                    break;
                continue;
            }
            setup_function(pc, devfn, &io, &mem);
            if (fn == 0 && !(cfg_read(pc, devfn, PCI_HEADER_TYPE, 1) & 0x80))
                break;
        }
    }
    vm__port_write(pc->m, CONFIG_ADDRESS, 4, 0);
}

void vm__pc_setup(struct pc *pc)
{
    setup_legacy(pc);
    setup_chipset(pc);
    setup_pci(pc);
}
