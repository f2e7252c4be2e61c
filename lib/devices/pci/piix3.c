/* SPDX-License-Identifier: MIT */
/**
 * @file piix3.c
 * Intel 82371SB (PIIX3) function 0: PCI to ISA bridge, interrupt router and reset control.
 *
 * Spec: [PIIX3] Intel 290550-002. Section numbers below refer to it.
 * Modelled: PIRQ route control, reset control at port CF9h, storage for the other registers.
 * Not modelled: SMI timers and stop clock.
 *
 * Inputs 0 to 3 are PIRQ A to D; outputs are the ISA interrupts by number.
 */
#include "core/machine.h"
#include "devices/pci/pci.h"

enum {
    PIRQRC = 0x60, /* §2.2.6: four route control registers */
    PIRQRC_OFF = 0x80,
    ISA_IRQS = 16,
    ROUTABLE = 0xdef8, /* 3…7, 9…12, 14, 15 */

    RCR_RESET = 0x04, /* §2.6.2: rising starts the reset */
    RCR_HARD = 0x02,  /* everything; else the processors' INIT# only */
    RCR_WRITABLE = 0x06,
};

struct piix3 {
    struct vm_pci pci;
    uint8_t pirq; /**< levels of PIRQ A…D */
    uint8_t rcr;
};

/** The ISA interrupt a PIRQ goes to, or -1. */
static int route(const struct piix3 *s, unsigned pirq)
{
    uint8_t r = s->pci.config[PIRQRC + pirq];
    return !(r & PIRQRC_OFF) && (ROUTABLE & 1u << (r & 15)) ? r & 15 : -1;
}

/** Every ISA interrupt is the OR of the PIRQs routed to it. */
static void update(struct vm_dev *dev)
{
    const struct piix3 *s = vm_dev_state(dev);
    uint32_t levels = 0;

    for (unsigned i = 0; i < PCI_PINS; i++)
        if ((s->pirq & 1u << i) && route(s, i) >= 0)
            levels |= 1u << route(s, i);
    for (unsigned irq = 0; irq < ISA_IRQS; irq++)
        if (ROUTABLE & 1u << irq)
            vm__dev_irq(dev, irq, levels >> irq & 1);
}

static void piix3_irq_in(struct vm_dev *dev, uint32_t pin, int level)
{
    struct piix3 *s = vm_dev_state(dev);
    s->pirq = (uint8_t)vm_put_bits(s->pirq, pin, 1, level != 0);
    update(dev);
}

static void config_written(struct vm_dev *dev, uint32_t off, uint32_t size)
{
    if (off < PIRQRC + PCI_PINS && PIRQRC < off + size)
        update(dev);
}

static uint64_t rcr_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct piix3 *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    return s->rcr;
}

static void rcr_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct piix3 *s = vm_dev_state(dev);
    bool rises = v & ~(uint64_t)s->rcr & RCR_RESET;
    (void)off;
    (void)size;
    s->rcr = v & RCR_WRITABLE;
    if (rises)
        vm__request_reset(dev->m, v & RCR_HARD ? VM_DEV_RESET_WARM : VM_DEV_RESET_SOFT);
}

static int piix3_realize(struct vm_dev *dev)
{
    /* clang-format off */
    static const struct { uint8_t off, size; uint32_t reset, writable; } rows[] = {
        { 0x4c, 1, 0x4d, 0xff },               /* IORT */
        { 0x4e, 2, 0x0003, 0xffff },           /* XBCS */
        { PIRQRC, 4, 0x80808080, 0x8f8f8f8f },
        { 0x69, 1, 0x02, 0xff },               /* TOM */
        { 0x6a, 2, 0x0000, 0x8017 },           /* MSTAT */
        { 0x70, 2, 0x8080, 0x6f6f },           /* MBIRQ */
        { 0x76, 2, 0x0c0c, 0x8f8f },           /* MBDMA */
        { 0x78, 2, 0x0002, 0xffff },           /* PCSC */
        { 0x80, 1, 0x00, 0x7f },               /* APICBASE */
        { 0x82, 1, 0x00, 0x0f },               /* DLC */
        { 0xa0, 1, 0x08, 0x1f },               /* SMICNTL */
        { 0xa2, 2, 0x0000, 0x00ff },           /* SMIEN */
        { 0xa4, 4, 0x00000000, 0xe000fffb },   /* SEE */
        { 0xa8, 1, 0x0f, 0xff },               /* FTMR */
        { 0xac, 1, 0x00, 0xff },               /* CTLTMR */
        { 0xae, 1, 0x00, 0xff },               /* CTHTMR */
    };
    /* clang-format on */
    for (unsigned i = 0; i < VM_COUNT_OF(rows); i++) {
        vm__pci_initial(dev, rows[i].off, rows[i].size, rows[i].reset);
        vm__pci_writable(dev, rows[i].off, rows[i].size, rows[i].writable);
    }
    vm_put_le16(&vm__pci(dev)->w1c[0xaa], 0x00ff); /* SMIREQ */
    vm__pci_initial(dev, PCI_COMMAND, 2, 0x0007);  /* hard-wired */
    vm__pci_writable(dev, PCI_COMMAND, 2, 0x0008);
    vm__pci_initial(dev, PCI_STATUS, 2, 0x0200);
    vm__pci_writable(dev, PCI_INTERRUPT_LINE, 1, 0);
    for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
        int st = ROUTABLE & 1u << irq ? vm__dev_line(dev, irq, irq) : VM_OK;
        if (st != VM_OK)
            return st;
    }
    return vm__dev_map(dev, 0, 0xcf9);
}

/** The inputs are wires; the bus has let go of them before. */
static void piix3_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct piix3 *s = vm_dev_state(dev);
    (void)kind;
    s->rcr = 0;
    update(dev);
}

static int piix3_post_load(struct vm_dev *dev)
{
    int st = vm__pci_post_load(dev);
    if (st == VM_OK)
        update(dev);
    return st;
}

static const struct vm_pci_function function = {
    .vendor = 0x8086,
    .device = 0x7000,
    .class_code = 0x060100,
    .multifunction = true,
    .config_written = config_written,
};

static const struct vm_window windows[] = {
    { "rcr", VM_SPACE_PORT, 1, 1, 1, .read = rcr_read, .write = rcr_write },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_PCI_FIELD(piix3),
    VM_FIELD(piix3, pirq, 1),
    VM_FIELD(piix3, rcr, 1),
    { 0 },
};

const struct vm_dev_class vm__piix3_class = {
    .name = "piix3",
    .summary = "82371SB ISA bridge and interrupt router",
    .spec = "Intel 290550-002",
    .state_size = sizeof(struct piix3),
    .windows = windows,
    .fields = fields,
    .n_irq_in = PCI_PINS,
    .n_irq_out = ISA_IRQS,
    .realize = piix3_realize,
    .reset = piix3_reset,
    .irq_in = piix3_irq_in,
    .post_load = piix3_post_load,
    .pci = &function,
};
