/* SPDX-License-Identifier: MIT */
/**
 * @file piix3_ide.c
 * Intel 82371SB (PIIX3) function 1: two IDE channels in compatibility mode, and their bus master.
 *
 * Spec: [PIIX3 §2.3, §2.7] registers; [BMIDE] bus master. Channels are at 1F0h, 3F6h, IRQ 14 and
 * 170h, 376h, IRQ 15, each while its IDETIM register says so and I/O is enabled.
 * Not modelled: timing; the registers that set it are storage.
 */
#include "core/machine.h"
#include "devices/pci/pci.h"
#include "devices/storage/ide.h"

enum {
    IDETIM = 0x40, /* two, of 16 bits */
    SIDETIM = 0x44,
    UDMACTL = 0x48, /* of the PIIX4; storage here */
    UDMATIM = 0x4a,
    IDETIM_DECODE = 0x80, /* of the upper byte */

    WINDOW_COMMAND = 0, /* and 2: the second channel's */
    WINDOW_CONTROL = 1,
    WINDOW_BM = 4,
    COMMAND_PORTS = 8,
    BM_PORTS = 8, /* of a channel */
};

struct piix3_ide {
    struct vm_pci pci;
    struct ide_channel channel[IDE_CHANNELS];
};

static const struct {
    uint16_t command, control;
    uint8_t irq;
} places[IDE_CHANNELS] = { { 0x1f0, 0x3f6, 14 }, { 0x170, 0x376, 15 } };

struct ide_channel *vm__ide_channel(struct vm_machine *m, uint32_t n)
{
    struct vm_dev *dev = vm__dev_of_class(m, "piix3_ide");
    if (dev == NULL || n >= IDE_CHANNELS)
        return NULL;
    return &((struct piix3_ide *)vm_dev_state(dev))->channel[n];
}

/* ---- windows ------------------------------------------------------------------------------ */

static struct ide_channel *channel(struct vm_dev *dev, unsigned n)
{
    struct piix3_ide *s = vm_dev_state(dev);
    return &s->channel[n];
}

static uint64_t command0_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    return vm__ide_read(channel(dev, 0), off, size);
}

static void command0_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    vm__ide_write(channel(dev, 0), off, size, v);
}

static uint64_t command1_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    return vm__ide_read(channel(dev, 1), off, size);
}

static void command1_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    vm__ide_write(channel(dev, 1), off, size, v);
}

static uint64_t control0_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    (void)off;
    (void)size;
    return vm__ide_alt_status(channel(dev, 0));
}

static void control0_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    (void)off;
    (void)size;
    vm__ide_control(channel(dev, 0), (uint8_t)v);
}

static uint64_t control1_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    (void)off;
    (void)size;
    return vm__ide_alt_status(channel(dev, 1));
}

static void control1_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    (void)off;
    (void)size;
    vm__ide_control(channel(dev, 1), (uint8_t)v);
}

static uint64_t bm_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)off + i;
        v |= (uint64_t)vm__ide_bm_read(channel(dev, at / BM_PORTS), at % BM_PORTS) << 8 * i;
    }
    return v;
}

/** The last byte first, so that a command written with its neighbours finds them in place. */
static void bm_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    for (unsigned i = size; i-- > 0;) {
        unsigned at = (unsigned)off + i;
        vm__ide_bm_write(channel(dev, at / BM_PORTS), at % BM_PORTS, (uint8_t)(v >> 8 * i));
    }
}

/* ---- configuration ------------------------------------------------------------------------ */

static void place_channels(struct vm_dev *dev)
{
    const uint8_t *c = vm__pci(dev)->config;
    vm__mem_begin(dev->m);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        bool on = (c[PCI_COMMAND] & PCI_COMMAND_IO) && (c[IDETIM + 2 * i + 1] & IDETIM_DECODE);
        vm__dev_enable(dev, 2 * i + WINDOW_COMMAND, on);
        vm__dev_enable(dev, 2 * i + WINDOW_CONTROL, on);
    }
    vm__mem_commit(dev->m);
}

static void config_written(struct vm_dev *dev, uint32_t off, uint32_t size)
{
    if (off <= PCI_COMMAND || (off < IDETIM + 4 && off + size > IDETIM))
        place_channels(dev);
}

static int ide_realize(struct vm_dev *dev)
{
    struct piix3_ide *s = vm_dev_state(dev);
    vm__pci_writable(dev, IDETIM, 4, 0xf3ff | 0xf3ffu << 16);
    vm__pci_writable(dev, SIDETIM, 1, 0xff);
    vm__pci_writable(dev, UDMACTL, 1, 0x0f);
    vm__pci_writable(dev, UDMATIM, 2, 0x3333);
    vm__pci_initial(dev, PCI_STATUS, 2, 0x0280);
    vm__pci_writable(dev, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    vm__pci_writable(dev, PCI_INTERRUPT_LINE, 1, 0);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        s->channel[i].dev = dev;
        s->channel[i].number = (uint8_t)i;
        int st = vm__dev_line(dev, i, places[i].irq);
        if (st == VM_OK)
            st = vm__dev_map(dev, 2 * i + WINDOW_COMMAND, places[i].command);
        if (st == VM_OK)
            st = vm__dev_map(dev, 2 * i + WINDOW_CONTROL, places[i].control);
        if (st != VM_OK)
            return st;
    }
    place_channels(dev);
    return VM_OK;
}

static void ide_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    (void)kind;
    place_channels(dev);
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        vm__ide_channel_reset(channel(dev, i));
}

static int ide_post_load(struct vm_dev *dev)
{
    int st = vm__pci_post_load(dev);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *ch = channel(dev, i);
        ch->selected &= 1;
        vm__dev_irq(dev, i, ch->line);
    }
    place_channels(dev);
    return st;
}

static const struct vm_pci_function function = {
    .vendor = 0x8086,
    .device = 0x7010,
    .class_code = 0x010180, /* IDE, bus master, compatibility mode */
    .bars = { [4] = { VM_PCI_BAR_IO, WINDOW_BM, false } },
    .config_written = config_written,
};

/* clang-format off */
static const struct vm_window windows[] = {
    { "command0", VM_SPACE_PORT, COMMAND_PORTS, 1, 4, .read = command0_read, .write = command0_write },
    { "control0", VM_SPACE_PORT, 1, 1, 1, .read = control0_read, .write = control0_write },
    { "command1", VM_SPACE_PORT, COMMAND_PORTS, 1, 4, .read = command1_read, .write = command1_write },
    { "control1", VM_SPACE_PORT, 1, 1, 1, .read = control1_read, .write = control1_write },
    { "bm", VM_SPACE_PORT, BM_PORTS * IDE_CHANNELS, 1, 4, .read = bm_read, .write = bm_write },
    { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_PCI_FIELD(piix3_ide),
    VM_FIELD_STRUCTS(piix3_ide, channel, vm__ide_channel_fields, 1),
    { 0 },
};

const struct vm_dev_class vm__piix3_ide_class = {
    .name = "piix3_ide",
    .summary = "82371SB IDE controller",
    .spec = "Intel 290550-002",
    .state_size = sizeof(struct piix3_ide),
    .windows = windows,
    .fields = fields,
    .n_irq_out = IDE_CHANNELS,
    .realize = ide_realize,
    .reset = ide_reset,
    .post_load = ide_post_load,
    .pci = &function,
};
