/* SPDX-License-Identifier: MIT */
/**
 * @file rtl8139.c
 * Realtek RTL8139C+: Fast Ethernet, as fast as the host. With cplus=off an RTL8139C.
 *
 * Spec: [RTL8139C], [RTL8139C+]. Modelled: both ways of sending and receiving, filters, EEPROM,
 * counters, checksums and segmentation of C+ mode, the timer, a PHY whose link is the cable's.
 * Not modelled: speed, collisions, the flash, early interrupts; wake-up registers are storage, and
 * nothing wakes the machine up.
 */
#include "devices/net/rtl8139.h"

#include <stdlib.h>

#include "core/machine.h"

enum {
    PORTS = 256,
    REVISION_C = 0x10,
    REVISION_CPLUS = 0x20,
    TIMER_HZ = 33000000, /* the PCI bus's clock */

    BMCR_RESET = 0x8000,
    BMCR_RESTART = 0x0200,
    BMCR_WRITABLE = 0x3180,
    BMCR_DEFAULT = 0x1100, /* it negotiates; full duplex */
    BMSR_ABILITIES = 0x7809,
    BMSR_LINK = 0x0024, /* link, and the negotiation is over */
    ANAR_DEFAULT = 0x05e1,
    PARTNER = 0x45e1, /* acknowledges 100BASE-TX and flow control */
    MSR_LINK_DOWN = 0x04,
    CONFIG1_DEFAULT = 0x8d, /* memory and ports, power management */
    CONFIG1_FIXED = 0x0c,

    EEPROM_ID = 0x8129,
    EEPROM_MAC = 7, /* word */
};

/* ---- interrupts --------------------------------------------------------------------------- */

static void drive_pin(struct vm_dev *dev)
{
    const struct rtl8139 *s = vm_dev_state(dev);
    const uint8_t level = (s->isr & s->imr) != 0;
    if (level != s->pci.intx)
        vm__pci_intx(dev, level);
}

void vm__rtl_interrupt(struct vm_dev *dev, uint16_t bits)
{
    struct rtl8139 *s = vm_dev_state(dev);
    s->isr |= bits;
    drive_pin(dev);
}

/* ---- the timer ---------------------------------------------------------------------------- */

static uint32_t timer_count(struct vm_dev *dev)
{
    const struct rtl8139 *s = vm_dev_state(dev);
    return (uint32_t)vm_muldiv(vm__dev_now(dev) - s->timer_start, TIMER_HZ, 1000000000);
}

/** When TCTR next equals TimerInt. It counts round 2^32 for ever. */
static void arm_timer(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    if (s->timer_int == 0) {
        vm__timer_cancel(&s->timer);
        return;
    }
    const uint64_t now = vm__dev_now(dev);
    const uint64_t ticks = vm_muldiv(now - s->timer_start, TIMER_HZ, 1000000000);
    uint64_t target = (ticks & ~UINT64_C(0xffffffff)) | s->timer_int;
    if (target <= ticks)
        target += UINT64_C(1) << 32;
    vm__timer_arm(&s->timer, s->timer_start + vm_muldiv(target, 1000000000, TIMER_HZ) + 1);
}

static void on_timer(void *opaque)
{
    vm__rtl_interrupt(opaque, INT_TIMEOUT);
    arm_timer(opaque);
}

static void on_retry(void *opaque)
{
    const struct rtl8139 *s = vm_dev_state(opaque);
    vm__net_accept(s->nic.net);
}

/* ---- EEPROM ------------------------------------------------------------------------------- */

static uint8_t eeprom_read(const struct rtl8139 *s)
{
    return (uint8_t)((s->eecr & ~EECR_DO) | (vm__eeprom_out(&s->eeprom) ? EECR_DO : 0));
}

/** What the EEPROM says becomes the registers' contents. */
static void autoload(struct rtl8139 *s)
{
    for (unsigned i = 0; i < VM_NET_MAC; i++)
        s->idr[i] = (uint8_t)(s->eeprom.word[EEPROM_MAC + i / 2] >> 8 * (i & 1));
}

static void eeprom_write(struct rtl8139 *s, uint8_t v)
{
    s->eecr = v & (EECR_MODE | EECR_CS | EECR_SK | EECR_DI);
    if ((v & EECR_MODE) == EECR_PROGRAM) {
        vm__eeprom_lines(&s->eeprom, v & EECR_CS, v & EECR_SK, v & EECR_DI);
    } else if ((v & EECR_MODE) == EECR_RELOAD) {
        autoload(s);
        s->eecr = 0;
    }
}

static void fill_eeprom(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    uint16_t *w = s->eeprom.word;
    w[0] = EEPROM_ID;
    w[1] = 0x10ec;
    w[2] = 0x8139;
    w[3] = dev->cls->pci->subsystem_vendor;
    w[4] = dev->cls->pci->subsystem;
    for (unsigned i = 0; i < 3; i++)
        w[EEPROM_MAC + i] = vm_le16(&s->nic.mac[2 * i]);
}

/* ---- reading ------------------------------------------------------------------------------ */

static uint16_t tx_summary(const struct rtl8139 *s)
{
    uint16_t v = 0;
    for (unsigned i = 0; i < 4; i++)
        v |= (uint16_t)((s->tsd[i] & TSD_OWN ? 0x0001u : 0u) << i |
                        (s->tsd[i] & TSD_TOK ? 0x1000u : 0u) << i);
    return v;
}

static uint32_t read_long(struct vm_dev *dev, unsigned off)
{
    const struct rtl8139 *s = vm_dev_state(dev);
    switch (off) {
    case IDR0:
    case IDR0 + 4:
        return vm_le32(s->idr + off);
    case MAR0:
    case MAR0 + 4:
        return vm_le32(s->mar + (off - MAR0));
    case TSD0:
    case TSD0 + 4:
        return vm__rtl_cp_tx(s) ? s->dtccr[(off - TSD0) / 4] : s->tsd[(off - TSD0) / 4];
    case TSD0 + 8:
    case TSD0 + 12:
        return s->tsd[(off - TSD0) / 4];
    case TSAD0:
    case TSAD0 + 4:
    case TSAD0 + 8:
    case TSAD0 + 12:
        return s->tsad[(off - TSAD0) / 4];
    case RBSTART:
        return s->rbstart;
    case TCR:
        return s->tcr | TCR_VERSION | (s->cplus ? (uint32_t)TCR_CPLUS : 0u);
    case RCR:
        return s->rcr;
    case TCTR:
        return timer_count(dev);
    case MPC:
        return 0;
    case TIMERINT:
        return s->timer_int;
    case RDSAR:
        return s->cplus ? (uint32_t)s->rdsar : 0;
    case RDSAR + 4:
        return s->cplus ? (uint32_t)(s->rdsar >> 32) : 0;
    default:
        return 0;
    }
}

static uint16_t read_word(const struct rtl8139 *s, unsigned off)
{
    const bool up = vm__net_link(s->nic.net);
    switch (off) {
    case CAPR:
        return s->capr;
    case CBR:
        return s->cbr;
    case IMR:
        return s->imr;
    case ISR:
        return s->isr;
    case MULINT:
        return s->mulint;
    case TSAD:
        return tx_summary(s);
    case BMCR:
        return s->bmcr;
    case BMSR:
        return (uint16_t)(BMSR_ABILITIES | (up ? BMSR_LINK : 0));
    case ANAR:
        return s->anar;
    case ANLPAR:
        return up ? PARTNER : 0;
    case ANER:
        return up;
    case CSCR:
        return s->cscr;
    case CPCR:
        return s->cplus ? s->cpcr : 0;
    default:
        return 0;
    }
}

static uint8_t read_byte(struct vm_dev *dev, unsigned off)
{
    const struct rtl8139 *s = vm_dev_state(dev);
    if (off >= WAKE_FIRST && off <= WAKE_LAST)
        return s->wake[off - WAKE_FIRST];
    switch (off) {
    case CR:
        return s->cr | (vm__rtl_empty(s) ? CR_BUFE : 0);
    case EECR:
        return eeprom_read(s);
    case CONFIG0:
        return s->config[0];
    case CONFIG1:
        return s->config[1] | CONFIG1_FIXED;
    case MSR:
        return vm__net_link(s->nic.net) ? 0 : MSR_LINK_DOWN;
    case CONFIG3:
        return s->config[3];
    case CONFIG4:
        return s->config[4];
    case CONFIG5:
        return s->config[5];
    case RERID:
        return s->cplus ? REVISION_CPLUS : REVISION_C;
    case ETTHR:
        return s->etthr;
    default:
        return 0;
    }
}

/** Registers are of 4, 2 or 1 bytes. */
static unsigned width_of(unsigned off)
{
    if (off < ERBCR || (off >= TCR && off < EECR) || (off >= TIMERINT && off < MSR) ||
        (off >= RDSAR && off < ETTHR))
        return 4;
    if (off == ERBCR || off == ERBCR + 1 || (off >= CAPR && off < TCR) ||
        (off >= MULINT && off < RERID) || (off >= TSAD && off < WAKE_FIRST) || off == CPCR ||
        off == CPCR + 1)
        return 2;
    return 1;
}

static uint32_t read_reg(struct vm_dev *dev, unsigned base, unsigned width)
{
    return width == 4   ? read_long(dev, base)
           : width == 2 ? read_word(vm_dev_state(dev), base)
                        : read_byte(dev, base);
}

static uint64_t regs_read(struct vm_dev *dev, uint64_t off64, unsigned size)
{
    uint64_t v = 0;
    for (unsigned done = 0; done < size;) {
        const unsigned off = (unsigned)off64 + done, width = width_of(off);
        const unsigned base = off & ~(width - 1), skip = off - base;
        v |= (uint64_t)(read_reg(dev, base, width) >> 8 * skip) << 8 * done;
        done += width - skip;
    }
    return v;
}

/* ---- writing ------------------------------------------------------------------------------ */

/** RST: sender, receiver and interrupts; addresses and configuration stay. */
static void soft_reset(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    s->cr = 0;
    s->imr = s->isr = 0;
    s->capr = 0xfff0; /* sixteen bytes before the ring's start: it is empty */
    s->cbr = 0;
    s->rcr = s->tcr = 0;
    s->tx_next = 0;
    for (unsigned i = 0; i < 4; i++) {
        s->tsd[i] = TSD_OWN;
        s->tsad[i] = 0;
    }
    s->rbstart = 0;
    s->rdsar = 0;
    s->cpcr = 0;
    s->cp_rx = s->cp_tx[0] = s->cp_tx[1] = 0;
    s->dtccr[0] = s->dtccr[1] = 0;
    s->timer_int = 0;
    s->mulint = 0;
    s->etthr = 0;
    vm__timer_cancel(&s->timer);
    vm__timer_cancel(&s->retry);
    vm__net_flush(s->nic.net);
    drive_pin(dev);
}

static void write_command(struct vm_dev *dev, uint8_t v)
{
    struct rtl8139 *s = vm_dev_state(dev);
    if (v & CR_RST) {
        soft_reset(dev);
        return;
    }
    if (!(s->cr & CR_RE) && (v & CR_RE)) { /* reception begins with an empty ring */
        s->cbr = 0;
        s->capr = 0xfff0;
    }
    s->cr = v & (CR_RE | CR_TE);
    vm__rtl_transmit(dev);
    vm__net_accept(s->nic.net);
}

/** The first half of a ring's address begins it anew. */
static void write_tsad(struct rtl8139 *s, unsigned i, uint32_t v)
{
    s->tsad[i] = v;
    if (i % 2 == 0)
        s->cp_tx[i / 2] = 0;
}

static void write_tsd(struct vm_dev *dev, unsigned i, uint32_t v)
{
    struct rtl8139 *s = vm_dev_state(dev);
    if (vm__rtl_cp_tx(s) && i < 2) {
        s->dtccr[i] = v;
        if (i == 0 && (v & 8))
            vm__rtl_dump_tally(dev);
        return;
    }
    s->tsd[i] = v & TSD_WRITABLE;
    vm__rtl_transmit(dev);
}

static bool unlocked(const struct rtl8139 *s)
{
    return (s->eecr & EECR_MODE) == EECR_CONFIG;
}

static void write_long(struct vm_dev *dev, unsigned off, uint32_t v)
{
    struct rtl8139 *s = vm_dev_state(dev);
    switch (off) {
    case IDR0:
    case IDR0 + 4:
        if (unlocked(s))
            vm_put_le32(s->idr + off, v);
        break;
    case MAR0:
    case MAR0 + 4:
        vm_put_le32(s->mar + (off - MAR0), v);
        break;
    case TSD0:
    case TSD0 + 4:
    case TSD0 + 8:
    case TSD0 + 12:
        write_tsd(dev, (off - TSD0) / 4, v);
        break;
    case TSAD0:
    case TSAD0 + 4:
    case TSAD0 + 8:
    case TSAD0 + 12:
        write_tsad(s, (off - TSAD0) / 4, v);
        break;
    case RBSTART:
        s->rbstart = v;
        break;
    case TCR:
        s->tcr = v & TCR_WRITABLE;
        break;
    case RCR:
        s->rcr = v;
        break;
    case TCTR: /* any value: it counts from 0 */
        s->timer_start = vm__dev_now(dev);
        arm_timer(dev);
        break;
    case TIMERINT:
        s->timer_int = v;
        arm_timer(dev);
        break;
    case RDSAR:
        s->rdsar = (s->rdsar & ~UINT64_C(0xffffffff)) | (v & ~UINT32_C(0xff));
        s->cp_rx = 0;
        break;
    case RDSAR + 4:
        s->rdsar = (s->rdsar & 0xffffffff) | (uint64_t)v << 32;
        break;
    default:
        break;
    }
}

static void write_word(struct vm_dev *dev, unsigned off, uint16_t v)
{
    struct rtl8139 *s = vm_dev_state(dev);
    switch (off) {
    case CAPR:
        s->capr = v;
        vm__net_accept(s->nic.net);
        break;
    case IMR:
        s->imr = v & INT_ALL;
        drive_pin(dev);
        vm__net_accept(s->nic.net);
        break;
    case ISR:
        s->isr &= (uint16_t)~v;
        drive_pin(dev);
        vm__net_accept(s->nic.net);
        break;
    case MULINT:
        s->mulint = v & 0x0fff;
        break;
    case BMCR: /* negotiation is over at once */
        s->bmcr =
            v & BMCR_RESET ? (uint16_t)BMCR_DEFAULT : v & BMCR_WRITABLE & (uint16_t)~BMCR_RESTART;
        break;
    case ANAR:
        s->anar = v;
        break;
    case CSCR:
        s->cscr = v & 0x8ffd;
        break;
    case CPCR:
        if (s->cplus)
            s->cpcr = v & 0x007f;
        break;
    default:
        break;
    }
}

static void write_poll(struct vm_dev *dev, uint8_t v)
{
    if (v & TPPOLL_SWINT)
        vm__rtl_interrupt(dev, INT_SWINT);
    if (v & (TPPOLL_HPQ | TPPOLL_NPQ))
        vm__rtl_transmit(dev);
}

static void write_byte(struct vm_dev *dev, unsigned off, uint8_t v)
{
    struct rtl8139 *s = vm_dev_state(dev);
    if (off >= WAKE_FIRST && off <= WAKE_LAST) {
        s->wake[off - WAKE_FIRST] = v;
        return;
    }
    switch (off) {
    case CR:
        write_command(dev, v);
        break;
    case EECR:
        eeprom_write(s, v);
        break;
    case CONFIG1:
    case CONFIG3:
    case CONFIG4:
        if (unlocked(s))
            s->config[off == CONFIG1 ? 1 : off - CONFIG3 + 3] = v;
        break;
    case CONFIG5:
        s->config[5] = v;
        break;
    case TPPOLL:
        if (s->cplus)
            write_poll(dev, v);
        break;
    case ETTHR:
        s->etthr = v;
        break;
    default:
        break;
    }
}

static void write_reg(struct vm_dev *dev, unsigned base, unsigned width, uint32_t v)
{
    if (width == 4)
        write_long(dev, base, v);
    else if (width == 2)
        write_word(dev, base, (uint16_t)v);
    else
        write_byte(dev, base, (uint8_t)v);
}

/** Bytes of a register that are not written keep what they have; of ISR nothing is acknowledged. */
static void regs_write(struct vm_dev *dev, uint64_t off64, unsigned size, uint64_t v)
{
    for (unsigned done = 0; done < size;) {
        const unsigned off = (unsigned)off64 + done, width = width_of(off);
        const unsigned base = off & ~(width - 1), skip = off - base;
        const unsigned n = width - skip < size - done ? width - skip : size - done;
        uint64_t whole = n == width || base == ISR ? 0 : read_reg(dev, base, width);
        whole = vm_put_bits(whole, 8 * skip, 8 * n, v >> 8 * done);
        write_reg(dev, base, width, (uint32_t)whole);
        done += n;
    }
}

/* ---- the cable ---------------------------------------------------------------------------- */

static void on_link(void *opaque, bool up)
{
    (void)up;
    vm__rtl_interrupt(opaque, INT_LINK);
}

static void on_writable(void *opaque)
{
    vm__rtl_transmit(opaque);
}

static const struct vm_net_nic_ops net_ops = {
    .receive = vm__rtl_receive,
    .link = on_link,
    .writable = on_writable,
};

/* ---- the class ---------------------------------------------------------------------------- */

static int rtl_realize(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    s->frame = malloc(VM_NET_FRAME_MAX);
    if (s->frame == NULL)
        return vm__fail_nomem(VM_NET_FRAME_MAX);
    const int st = vm__nic_init(dev, &s->nic, "pxe-rtl8139.rom", &net_ops);
    if (st != VM_OK) {
        free(s->frame);
        return st;
    }
    if (!s->cplus)
        vm__pci_initial(dev, PCI_REVISION, 1, REVISION_C);
    vm__dev_timer(dev, &s->timer, on_timer);
    vm__dev_timer(dev, &s->retry, on_retry);
    fill_eeprom(dev);
    return VM_OK;
}

static void rtl_unrealize(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    vm__nic_fini(&s->nic);
    free(s->frame);
}

static void rtl_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct rtl8139 *s = vm_dev_state(dev);
    (void)kind;
    soft_reset(dev);
    memset(s->mar, 0, sizeof s->mar);
    memset(s->idr, 0, sizeof s->idr);
    autoload(s);
    s->eecr = 0;
    memset(s->config, 0, sizeof s->config);
    s->config[1] = CONFIG1_DEFAULT;
    memset(s->wake, 0, sizeof s->wake);
    s->bmcr = BMCR_DEFAULT;
    s->anar = ANAR_DEFAULT;
    s->cscr = 0x03c8;
    s->timer_start = vm__dev_now(dev);
    s->tally = (struct rtl_tally) { 0 };
}

static int rtl_post_load(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    s->tx_next &= 3;
    s->cp_rx &= CP_DESC_MOST - 1;
    s->cp_tx[0] &= CP_DESC_MOST - 1;
    s->cp_tx[1] &= CP_DESC_MOST - 1;
    if (s->timer_start > vm__dev_now(dev))
        s->timer_start = vm__dev_now(dev);
    vm__eeprom_fix(&s->eeprom);
    vm__net_flush(s->nic.net);
    return vm__pci_post_load(dev);
}

static void rtl_info(struct vm_dev *dev, struct vm_buf *out)
{
    const struct rtl8139 *s = vm_dev_state(dev);
    vm__buf_printf(out, "mode: %s, sender %s, receiver %s, link %s\n",
                   vm__rtl_cp_rx(s) ? "C+" : "classic", s->cr & CR_TE ? "on" : "off",
                   s->cr & CR_RE ? "on" : "off", vm__net_link(s->nic.net) ? "up" : "down");
}

static const struct vm_pci_function function = {
    .vendor = 0x10ec,
    .device = 0x8139,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = REVISION_CPLUS,
    .class_code = 0x020000,
    .pin = 1,
    .bars = { { VM_PCI_BAR_IO, 0 }, { VM_PCI_BAR_MEM, 1 } },
};

static const struct vm_window windows[] = {
    { "ports", VM_SPACE_PORT, PORTS, 1, 4, .read = regs_read, .write = regs_write },
    { "mmio", VM_SPACE_MEM, PORTS, 1, 4, .read = regs_read, .write = regs_write },
    { 0 },
};

static const struct vm_prop props[] = {
    VM_NIC_PROPS(rtl8139),
    { "cplus", "on: RTL8139C+; off: RTL8139C", VM_PROP_BOOL(rtl8139, cplus), .value = "on" },
    { 0 },
};

static const struct vm_field tally_fields[] = {
    VM_FIELD(rtl_tally, tx_ok, 1),
    VM_FIELD(rtl_tally, rx_ok, 1),
    VM_FIELD(rtl_tally, tx_err, 1),
    VM_FIELD(rtl_tally, rx_err, 1),
    VM_FIELD(rtl_tally, missed, 1),
    VM_FIELD(rtl_tally, rx_unicast, 1),
    VM_FIELD(rtl_tally, rx_broadcast, 1),
    VM_FIELD(rtl_tally, rx_multicast, 1),
    { 0 },
};

static const struct vm_field fields[] = {
    VM_PCI_FIELD(rtl8139),
    VM_FIELD_BYTES(rtl8139, idr, 1),
    VM_FIELD_BYTES(rtl8139, mar, 1),
    VM_FIELD_ARRAY(rtl8139, tsd, 1),
    VM_FIELD_ARRAY(rtl8139, tsad, 1),
    VM_FIELD(rtl8139, rbstart, 1),
    VM_FIELD(rtl8139, tcr, 1),
    VM_FIELD(rtl8139, rcr, 1),
    VM_FIELD(rtl8139, timer_int, 1),
    VM_FIELD(rtl8139, timer_start, 1),
    VM_FIELD(rtl8139, capr, 1),
    VM_FIELD(rtl8139, cbr, 1),
    VM_FIELD(rtl8139, imr, 1),
    VM_FIELD(rtl8139, isr, 1),
    VM_FIELD(rtl8139, mulint, 1),
    VM_FIELD(rtl8139, cr, 1),
    VM_FIELD(rtl8139, eecr, 1),
    VM_FIELD_ARRAY(rtl8139, config, 1),
    VM_FIELD(rtl8139, tx_next, 1),
    VM_FIELD(rtl8139, bmcr, 1),
    VM_FIELD(rtl8139, anar, 1),
    VM_FIELD(rtl8139, cscr, 1),
    VM_FIELD(rtl8139, cpcr, 1),
    VM_FIELD(rtl8139, etthr, 1),
    VM_FIELD_BYTES(rtl8139, wake, 1),
    VM_FIELD_ARRAY(rtl8139, dtccr, 1),
    VM_FIELD(rtl8139, rdsar, 1),
    VM_FIELD(rtl8139, cp_rx, 1),
    VM_FIELD_ARRAY(rtl8139, cp_tx, 1),
    VM_FIELD_STRUCT(rtl8139, tally, tally_fields, 1),
    VM_FIELD_STRUCT(rtl8139, eeprom, vm__eeprom_fields, 1),
    VM_FIELD_TIMER(rtl8139, timer, 1),
    { 0 },
};

const struct vm_dev_class vm__rtl8139_class = {
    .name = "rtl8139",
    .summary = "Realtek RTL8139C+ network card",
    .spec = "RTL8139C(L)+ Datasheet 1.6",
    .bus = VM_BUS_PCI,
    .state_size = sizeof(struct rtl8139),
    .windows = windows,
    .props = props,
    .fields = fields,
    .realize = rtl_realize,
    .unrealize = rtl_unrealize,
    .reset = rtl_reset,
    .post_load = rtl_post_load,
    .info = rtl_info,
    .pci = &function,
};
