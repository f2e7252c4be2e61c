/* SPDX-License-Identifier: MIT */
/**
 * @file e1000.c
 * Intel 82540EM, PRO/1000 MT: Gigabit Ethernet, as fast as the host.
 *
 * Spec: [82540EM]. Modelled: both kinds of transmit descriptors with checksums and segmentation,
 * filters, VLANs, interrupt throttling, EEPROM, PHY, counters of good packets. Not modelled: flow
 * control, the flash, management, wake-up (registers are storage), interrupt delays of single
 * packets (RDTR, RADV, TIDV, TADV), which come at once as far as ITR lets them.
 */
#include "devices/net/e1000.h"

#include <stdlib.h>

#include "core/machine.h"

enum {
    MMIO_BYTES = 0x20000,
    IO_BYTES = 8,
    IO_ADDRESS = 0,
    IO_DATA = 4,

    EECD_SK = 0x001,
    EECD_CS = 0x002,
    EECD_DI = 0x004,
    EECD_DO = 0x008,
    EECD_REQ = 0x040,
    EECD_GNT = 0x080,
    EECD_PRES = 0x100,
    EERD_START = 0x0001,
    EERD_DONE = 0x0010,

    ITR_NS = 256,
    EEPROM_SUM = 0xbaba, /* of all words */
    IO_BAR = 2,
};

/* ---- interrupts --------------------------------------------------------------------------- */

static void drive_pin(struct vm_dev *dev, bool level)
{
    const struct e1000 *s = vm_dev_state(dev);
    if (level != (s->pci.intx != 0))
        vm__pci_intx(dev, level);
}

/** The pin follows ICR and IMS, but does not rise again before ITR's interval is over.
 *  [82540EM §3.4.3] */
static void update_pin(struct vm_dev *dev)
{
    struct e1000 *s = vm_dev_state(dev);
    const bool wanted = *vm__e1000_reg(s, ICR) & *vm__e1000_reg(s, IMS);
    const uint64_t interval = (*vm__e1000_reg(s, ITR) & 0xffff) * (uint64_t)ITR_NS;
    if (!wanted || s->pci.intx) {
        drive_pin(dev, wanted);
        return;
    }
    if (interval != 0) {
        const uint64_t now = vm__dev_now(dev);
        if (now < s->quiet_until) {
            if (!vm__timer_armed(&s->throttle))
                vm__timer_arm(&s->throttle, s->quiet_until);
            return;
        }
        s->quiet_until = now + interval;
    }
    drive_pin(dev, true);
}

static void on_throttle(void *opaque)
{
    update_pin(opaque);
}

void vm__e1000_interrupt(struct vm_dev *dev, uint32_t causes)
{
    struct e1000 *s = vm_dev_state(dev);
    *vm__e1000_reg(s, ICR) |= causes & INT_ALL;
    update_pin(dev);
}

/* ---- counters ----------------------------------------------------------------------------- */

void vm__e1000_count(struct e1000 *s, unsigned off, uint32_t n)
{
    uint32_t *r = vm__e1000_reg(s, off);
    *r = *r + n >= n ? *r + n : UINT32_MAX;
}

void vm__e1000_count64(struct e1000 *s, unsigned off, uint64_t n)
{
    uint32_t *low = vm__e1000_reg(s, off), *high = vm__e1000_reg(s, off + 4);
    const uint64_t v = (*low | (uint64_t)*high << 32) + n;
    *low = (uint32_t)v;
    *high = (uint32_t)(v >> 32);
}

/* ---- EEPROM ------------------------------------------------------------------------------- */

static void fill_eeprom(struct vm_dev *dev)
{
    struct e1000 *s = vm_dev_state(dev);
    const struct vm_pci_function *f = dev->cls->pci;
    uint16_t *w = s->eeprom.word, sum = 0;
    for (unsigned i = 0; i < 3; i++)
        w[i] = vm_le16(&s->nic.mac[2 * i]);
    w[0x0a] = 0x4408; /* words 0Bh to 0Eh are valid */
    w[0x0b] = f->subsystem;
    w[0x0c] = f->subsystem_vendor;
    w[0x0d] = f->device;
    w[0x0e] = f->vendor;
    for (unsigned i = 0; i < EEPROM_WORDS - 1; i++)
        sum = (uint16_t)(sum + w[i]);
    w[EEPROM_WORDS - 1] = (uint16_t)(EEPROM_SUM - sum);
}

static void load_address(struct e1000 *s)
{
    const uint16_t *w = s->eeprom.word;
    *vm__e1000_reg(s, RAL0) = w[0] | (uint32_t)w[1] << 16;
    *vm__e1000_reg(s, RAL0 + 4) = w[2] | (uint32_t)RAH_AV;
}

static uint32_t eecd_read(struct e1000 *s)
{
    const uint32_t v = *vm__e1000_reg(s, EECD);
    return v | EECD_PRES | (v & EECD_REQ ? (uint32_t)EECD_GNT : 0u) |
           (vm__eeprom_out(&s->eeprom) ? (uint32_t)EECD_DO : 0u);
}

static void eecd_write(struct e1000 *s, uint32_t v)
{
    *vm__e1000_reg(s, EECD) = v & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ);
    vm__eeprom_lines(&s->eeprom, v & EECD_CS, v & EECD_SK, v & EECD_DI);
}

static void eerd_write(struct e1000 *s, uint32_t v)
{
    const uint32_t address = v >> 8 & 0xff;
    uint32_t answer = v & 0xff00;
    if (v & EERD_START)
        answer |= EERD_DONE | (uint32_t)s->eeprom.word[address & (EEPROM_WORDS - 1)] << 16;
    *vm__e1000_reg(s, EERD) = answer;
}

/* ---- registers ---------------------------------------------------------------------------- */

static void chip_reset(struct vm_dev *dev)
{
    struct e1000 *s = vm_dev_state(dev);
    memset(s->reg, 0, sizeof s->reg);
    *vm__e1000_reg(s, CTRL) = CTRL_FD | CTRL_SLU | CTRL_SPEED_1000;
    *vm__e1000_reg(s, VET) = 0x8100;
    *vm__e1000_reg(s, LEDCTL) = 0x07068302;
    *vm__e1000_reg(s, PBA) = 0x00100030;
    load_address(s);
    s->context = (struct e1000_context) { 0 };
    s->quiet_until = 0;
    vm__timer_cancel(&s->throttle);
    vm__timer_cancel(&s->more);
    vm__net_flush(s->nic.net);
    drive_pin(dev, false);
}

static uint32_t status(const struct e1000 *s)
{
    return STATUS_FD | STATUS_1000 | (vm__net_link(s->nic.net) ? (uint32_t)STATUS_LU : 0u);
}

static uint32_t reg_read(struct vm_dev *dev, unsigned off)
{
    struct e1000 *s = vm_dev_state(dev);
    if (off >= REGS_END)
        return 0;
    uint32_t *r = vm__e1000_reg(s, off);
    uint32_t v = *r;
    switch (off) {
    case STATUS:
        return status(s);
    case EECD:
        return eecd_read(s);
    case ICR: /* reading acknowledges */
        *r = 0;
        update_pin(dev);
        return v;
    case ICS:
    case IMC:
        return 0;
    default:
        if (off >= STATS && off < STATS_END)
            *r = 0; /* counters begin again */
        return v;
    }
}

/** Registers that keep what is written to them, and which bits. */
static const struct {
    uint16_t first, last;
    uint32_t bits;
} storage[] = {
    { CTRL_EXT, CTRL_EXT, 0xffffffff },
    { FCAL, FCAL + 8, 0xffffffff },
    { VET, VET, 0xffff },
    { FCTTV, TXCW, 0xffffffff },
    { TIPG, TIPG, 0x3fffffff },
    { 0x458, 0x458, 0xffff },
    { LEDCTL, LEDCTL, 0xffffffff },
    { PBA, PBA, 0xffff },
    { 0x2160, 0x2168, 0xffffffff },
    { RDBAL, RDBAL, 0xfffffff0 },
    { RDBAH, RDBAH, 0xffffffff },
    { RDLEN, RDLEN, 0xfff80 },
    { RDTR, RDTR, 0xffff },
    { 0x2828, RADV, 0xffffffff },
    { 0x2c00, 0x2c00, 0xfff },
    { TDBAL, TDBAL, 0xfffffff0 },
    { TDBAH, TDBAH, 0xffffffff },
    { TDLEN, TDLEN, 0xfff80 },
    { 0x3820, TADV + 4, 0xffffffff },
    { RXCSUM, RXCSUM, 0x7ff },
    { MTA, RAL0 + 0x7c, 0xffffffff },
    { VFTA, VFTA + 0x1fc, 0xffffffff },
    { WUC, 0x5900, 0xffffffff },
    { 0x5a00, 0x5ffc, 0xffffffff },
};

static void store(struct e1000 *s, unsigned off, uint32_t v)
{
    for (unsigned i = 0; i < VM_COUNT_OF(storage); i++)
        if (off >= storage[i].first && off <= storage[i].last)
            *vm__e1000_reg(s, off) = v & storage[i].bits;
}

static void reg_write(struct vm_dev *dev, unsigned off, uint32_t v)
{
    struct e1000 *s = vm_dev_state(dev);
    if (off >= REGS_END)
        return;
    uint32_t *r = vm__e1000_reg(s, off);
    switch (off) {
    case CTRL:
        if (v & CTRL_RST)
            chip_reset(dev);
        else
            *r = v & 0x7bffffff; /* PHY_RST clears itself */
        break;
    case EECD:
        eecd_write(s, v);
        break;
    case EERD:
        eerd_write(s, v);
        break;
    case MDIC:
        vm__e1000_mdic_write(dev, v);
        break;
    case ICR:
        *r &= ~v;
        update_pin(dev);
        break;
    case ITR:
        *r = v & 0xffff;
        break;
    case ICS:
        vm__e1000_interrupt(dev, v);
        break;
    case IMS:
        *r |= v & INT_ALL;
        update_pin(dev);
        break;
    case IMC:
        *vm__e1000_reg(s, IMS) &= ~v;
        update_pin(dev);
        break;
    case RCTL:
        *r = v & 0x06dff3fe;
        vm__net_accept(s->nic.net);
        break;
    case TCTL:
        *r = v & 0x037ffffa;
        vm__e1000_transmit(dev);
        break;
    case RDH:
    case TDH:
        *r = v & 0xffff;
        break;
    case RDT:
        *r = v & 0xffff;
        vm__net_accept(s->nic.net);
        break;
    case TDT:
        *r = v & 0xffff;
        vm__e1000_transmit(dev);
        break;
    default:
        store(s, off, v);
        break;
    }
}

static uint64_t mmio_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    (void)size; /* 4: the table says so */
    return reg_read(dev, (unsigned)off);
}

static void mmio_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    (void)size;
    reg_write(dev, (unsigned)off, (uint32_t)v);
}

static uint64_t io_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct e1000 *s = vm_dev_state(dev);
    (void)size;
    return off == IO_ADDRESS ? s->io_address : reg_read(dev, s->io_address & ~3u);
}

static void io_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct e1000 *s = vm_dev_state(dev);
    (void)size;
    if (off == IO_ADDRESS)
        s->io_address = (uint32_t)v & (MMIO_BYTES - 1);
    else
        reg_write(dev, s->io_address & ~3u, (uint32_t)v);
}

/* ---- the cable ---------------------------------------------------------------------------- */

static void on_link(void *opaque, bool up)
{
    (void)up;
    vm__e1000_interrupt(opaque, INT_LSC);
}

static void send_more(void *opaque)
{
    vm__e1000_transmit(opaque);
}

static const struct vm_net_nic_ops net_ops = {
    .receive = vm__e1000_receive,
    .link = on_link,
    .writable = send_more,
};

/* ---- the class ---------------------------------------------------------------------------- */

static int e1000_realize(struct vm_dev *dev)
{
    struct e1000 *s = vm_dev_state(dev);
    s->frame = malloc(VM_NET_FRAME_MAX);
    if (s->frame == NULL)
        return vm__fail_nomem(VM_NET_FRAME_MAX);
    const int st = vm__nic_init(dev, &s->nic, "pxe-e1000.rom", &net_ops);
    if (st != VM_OK) {
        free(s->frame);
        return st;
    }
    vm__dev_timer(dev, &s->throttle, on_throttle);
    vm__dev_timer(dev, &s->more, send_more);
    fill_eeprom(dev);
    return VM_OK;
}

static void e1000_unrealize(struct vm_dev *dev)
{
    struct e1000 *s = vm_dev_state(dev);
    vm__nic_fini(&s->nic);
    free(s->frame);
}

static void e1000_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct e1000 *s = vm_dev_state(dev);
    (void)kind;
    s->io_address = 0;
    vm__e1000_phy_reset(s);
    chip_reset(dev);
}

/** Rings are looked at with the bounds of the moment; nothing else is an index. */
static int e1000_post_load(struct vm_dev *dev)
{
    struct e1000 *s = vm_dev_state(dev);
    *vm__e1000_reg(s, RDLEN) &= 0xfff80;
    *vm__e1000_reg(s, TDLEN) &= 0xfff80;
    s->io_address &= MMIO_BYTES - 1;
    vm__eeprom_fix(&s->eeprom);
    vm__net_flush(s->nic.net);
    const int st = vm__pci_post_load(dev);
    if (st == VM_OK && (*vm__e1000_reg(s, TCTL) & TCTL_EN))
        vm__timer_arm(&s->more, vm__dev_now(dev));
    return st;
}

static void e1000_info(struct vm_dev *dev, struct vm_buf *out)
{
    struct e1000 *s = vm_dev_state(dev);
    vm__buf_printf(
        out, "sender %s, receiver %s, link %s\n", *vm__e1000_reg(s, TCTL) & TCTL_EN ? "on" : "off",
        *vm__e1000_reg(s, RCTL) & RCTL_EN ? "on" : "off", vm__net_link(s->nic.net) ? "up" : "down");
}

static const struct vm_pci_function function = {
    .vendor = 0x8086,
    .device = 0x100e,
    .subsystem_vendor = 0x8086,
    .subsystem = 0x001e,
    .revision = 2,
    .class_code = 0x020000,
    .pin = 1,
    .bars = { [0] = { VM_PCI_BAR_MEM, 0 }, [IO_BAR] = { VM_PCI_BAR_IO, 1 } },
};

static const struct vm_window windows[] = {
    { "mmio", VM_SPACE_MEM, MMIO_BYTES, 4, 4, .read = mmio_read, .write = mmio_write },
    { "ports", VM_SPACE_PORT, IO_BYTES, 4, 4, .read = io_read, .write = io_write },
    { 0 },
};

static const struct vm_prop props[] = { VM_NIC_PROPS(e1000), { 0 } };

static const struct vm_field context_fields[] = {
    VM_FIELD(e1000_context, ipcss, 1), VM_FIELD(e1000_context, ipcso, 1),
    VM_FIELD(e1000_context, tucss, 1), VM_FIELD(e1000_context, tucso, 1),
    VM_FIELD(e1000_context, ipcse, 1), VM_FIELD(e1000_context, tucse, 1),
    VM_FIELD(e1000_context, mss, 1),   { 0 },
};

static const struct vm_field fields[] = {
    VM_PCI_FIELD(e1000),
    VM_FIELD_ARRAY(e1000, reg, 1),
    VM_FIELD(e1000, io_address, 1),
    VM_FIELD_ARRAY(e1000, phy, 1),
    VM_FIELD_STRUCT(e1000, context, context_fields, 1),
    VM_FIELD_STRUCT(e1000, eeprom, vm__eeprom_fields, 1),
    VM_FIELD(e1000, quiet_until, 1),
    VM_FIELD_TIMER(e1000, throttle, 1),
    { 0 },
};

const struct vm_dev_class vm__e1000_class = {
    .name = "e1000",
    .summary = "Intel 82540EM Gigabit network card",
    .spec = "Intel 317453-006",
    .bus = VM_BUS_PCI,
    .state_size = sizeof(struct e1000),
    .windows = windows,
    .props = props,
    .fields = fields,
    .realize = e1000_realize,
    .unrealize = e1000_unrealize,
    .reset = e1000_reset,
    .post_load = e1000_post_load,
    .info = e1000_info,
    .pci = &function,
};
