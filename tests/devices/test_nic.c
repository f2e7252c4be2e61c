/* SPDX-License-Identifier: MIT */
/**
 * @file test_nic.c
 * RTL8139 and 82540EM as their drivers see them: addresses from the EEPROM, frames both ways,
 * filters, interrupts, segmentation, saving.
 */
#include <criterion/criterion.h>

#include "core/device_impl.h"
#include "core/net.h"
#include "core/net_packet.h"
#include "devices/classes.h"
#include "devices/net/e1000.h"
#include "devices/pci/pci.h"

enum {
    DEVFN = 3 << 3,
    RING = 0x10000, /* in RAM: descriptors or buffers */
    RING2 = 0x20000,
    DATA = 0x40000,
    FRAMES = 64,
};
#define MMIO UINT32_C(0xe0000000)

static struct fake_machine f;
static struct vm_dev *bridge, *dev;
static struct vm_net *net;
static unsigned n_sent;
static struct vm_net_frame sent;
static uint8_t sent_bytes[VM_NET_FRAME_MAX];
static bool full;

static bool host_send(void *opaque, const struct vm_net_frame *frame)
{
    (void)opaque;
    if (full)
        return false;
    n_sent++;
    sent = *frame;
    memcpy(sent_bytes, vm__net_flat(net, frame), frame->len);
    return true;
}

static const struct vm_net_host_ops host = { .send = host_send };

static void config(uint32_t reg, uint32_t v)
{
    fake_out32(&f, 0xcf8, 0x80000000u | DEVFN << 8 | reg);
    fake_out32(&f, 0xcfc, v);
}

static void make(const struct vm_dev_class *cls, const char *mem_bar, const char *cplus)
{
    const struct vm_setting settings[] = {
        { "netdev", "n0" }, { "romfile", "none" }, { cplus != NULL ? "cplus" : NULL, cplus }, { 0 }
    };
    fake_init(&f);
    vm__lock(f.m);
    net = vm__net_new(f.m, "n0");
    vm__net_attach_host(net, &host, NULL, VM_NET_TAKES_CSUM | VM_NET_TAKES_TSO4);
    bridge = vm__dev_new(f.m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(bridge);
    vm__pci_add(bus, bridge, 0);
    dev = vm__pci_add(bus, vm__dev_new(f.m, cls, NULL, settings), DEVFN);
    cr_assert_not_null(dev, "%s", vm_last_error()->message);
    vm__pci_bus_reset(bus);
    vm__unlock(f.m);
    fake_reset(dev, VM_DEV_RESET_COLD);
    config(mem_bar[0] == '0' ? 0x10 : 0x14, MMIO);
    config(0x04, 7);
    n_sent = 0;
    full = false;
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(nic, .fini = teardown);

static uint32_t in(uint32_t off, unsigned size)
{
    return (uint32_t)fake_read(&f, MMIO + off, size);
}

static void out(uint32_t off, unsigned size, uint64_t v)
{
    fake_write(&f, MMIO + off, size, v);
}

static uint8_t *ram(uint64_t gpa)
{
    return vm__region_host(f.ram) + gpa;
}

static bool asks(void)
{
    return vm__pci(dev)->intx;
}

static bool deliver(const void *frame, size_t len)
{
    vm__lock(f.m);
    const bool taken = vm__net_deliver_buf(net, frame, len, 0);
    vm__unlock(f.m);
    return taken;
}

static const uint8_t own[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static void make_frame(uint8_t *frame, const uint8_t *to, uint8_t mark)
{
    memset(frame, mark, FRAMES);
    memcpy(frame, to, 6);
    vm_put_be16(frame + 12, 0x88b5); /* for experiments */
}

/** A word of the EEPROM by its lines; @p off is the register, @p shift where CS, SK, DI, DO lie. */
static uint16_t eeprom_word(uint32_t off, unsigned cs, unsigned sk, unsigned di, unsigned dout,
                            unsigned mode, unsigned address)
{
    const unsigned command = 6u << 6 | address;
    uint16_t v = 0;
    out(off, 1, mode);
    out(off, 1, mode | cs);
    for (int i = 8; i >= 0; i--) {
        const unsigned bit = command >> i & 1 ? di : 0;
        out(off, 1, mode | cs | bit);
        out(off, 1, mode | cs | bit | sk);
    }
    out(off, 1, mode | cs);
    for (int i = 0; i < 16; i++) {
        out(off, 1, mode | cs | sk);
        v = (uint16_t)(v << 1 | ((in(off, 1) & dout) != 0));
        out(off, 1, mode | cs);
    }
    out(off, 1, mode);
    return v;
}

/* ---- RTL8139 ------------------------------------------------------------------------------ */

Test(nic, rtl8139_has_its_address_from_the_eeprom)
{
    make(&vm__rtl8139_class, "1", NULL);
    cr_assert_eq(eeprom_word(0x50, 8, 4, 2, 1, 0x80, 0), 0x8129);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(eeprom_word(0x50, 8, 4, 2, 1, 0x80, 7 + i), vm_le16(own + 2 * i));
    cr_assert_eq(in(0, 4), vm_le32(own));
    out(0, 4, 0);
    cr_assert_eq(in(0, 4), vm_le32(own), "locked");
}

static void rtl_classic(uint32_t rcr)
{
    make(&vm__rtl8139_class, "1", "off");
    out(0x30, 4, RING);
    out(0x37, 1, 0x0c);
    out(0x44, 4, rcr);
    out(0x3c, 2, 0xffff);
}

Test(nic, rtl8139_sends_by_four_registers)
{
    rtl_classic(0x0f);
    memset(ram(DATA), 0x5a, 100);
    for (unsigned i = 0; i < 6; i++) {
        out(0x20 + 4 * (i % 4), 4, DATA);
        out(0x10 + 4 * (i % 4), 4, 100);
        cr_assert_eq(n_sent, i + 1);
        cr_assert(in(0x10 + 4 * (i % 4), 4) & 0x8000);
    }
    cr_assert_eq(sent.len, 100);
    cr_assert(asks());
    out(0x3e, 2, 4);
    cr_assert_not(asks());
    full = true;
    out(0x18, 4, 100);
    out(0x1c, 4, 100);
    full = false;
    vm__lock(f.m);
    vm__net_ready(net);
    vm__unlock(f.m);
    cr_assert_eq(n_sent, 8, "what the network did not take goes later");
}

Test(nic, rtl8139_receives_round_the_ring_and_waits_for_room)
{
    uint8_t frame[FRAMES];
    uint32_t at = 0;
    rtl_classic(0x0f);
    for (unsigned i = 0; i < 400; i++) {
        make_frame(frame, own, (uint8_t)i);
        cr_assert(deliver(frame, sizeof frame));
    }
    unsigned n = 0;
    while (!(in(0x37, 1) & 1)) {
        const uint8_t *p = ram(RING + at);
        make_frame(frame, own, (uint8_t)n);
        cr_assert_eq(vm_le16(p) & 1, 1);
        cr_assert_eq(vm_le16(p + 2), FRAMES + 4);
        for (unsigned i = 0; i < FRAMES; i++)
            cr_assert_eq(ram(RING)[(at + 4 + i) % 8192], frame[i], "frame %u byte %u", n, i);
        at = (at + 4 + FRAMES + 4) % 8192;
        out(0x38, 2, (uint16_t)(at - 16));
        n++;
        cr_assert_leq(n, 400);
    }
    cr_assert_eq(n, 400, "none is lost");
}

Test(nic, rtl8139_filters)
{
    static const uint8_t other[] = { 2, 0, 0, 0, 0, 1 }, all[] = { 255, 255, 255, 255, 255, 255 };
    static const uint8_t group[] = { 1, 0, 0x5e, 0, 0, 0xfb };
    uint8_t frame[FRAMES];
    rtl_classic(0x02); /* its own address only */
    make_frame(frame, other, 0);
    deliver(frame, sizeof frame);
    make_frame(frame, all, 0);
    deliver(frame, sizeof frame);
    make_frame(frame, group, 0);
    deliver(frame, sizeof frame);
    cr_assert(in(0x37, 1) & 1);
    out(0x44, 4, 0x04); /* multicast by the table */
    deliver(frame, sizeof frame);
    cr_assert(in(0x37, 1) & 1);
    const unsigned bit = vm__net_hash64(group);
    out(0x08 + 4 * (bit / 32), 4, UINT32_C(1) << bit % 32);
    deliver(frame, sizeof frame);
    cr_assert_not(in(0x37, 1) & 1);
    cr_assert_eq(vm_le16(ram(RING)) & 0xe000, 0x8000);
}

Test(nic, rtl8139_cplus_cuts_large_packets_by_the_network_and_is_saved)
{
    make(&vm__rtl8139_class, "1", NULL);
    out(0xe0, 2, 3);
    out(0x20, 8, RING);
    out(0xe4, 8, RING2);
    out(0x37, 1, 0x0c);
    out(0x44, 4, 0x0f);
    uint8_t *p = ram(DATA);
    memcpy(p, own, 6);
    vm_put_be16(p + 12, 0x0800);
    p[14] = 0x45;
    p[23] = 6;
    p[46] = 0x50;
    vm_put_le32(ram(RING), 0x80000000 | 0x20000000 | 0x08000000 | 1000 << 16 | 54);
    vm_put_le64(ram(RING + 8), DATA);
    vm_put_le32(ram(RING + 16), 0x80000000 | 0x10000000 | 0x40000000 | 5000);
    vm_put_le64(ram(RING + 24), DATA + 54);
    fake_save_load(dev);
    out(0xd9, 1, 0x40);
    cr_assert_eq(n_sent, 1);
    cr_assert_eq(sent.len, 5054);
    cr_assert_eq(sent.meta.gso, VM_NET_GSO_TCP4);
    cr_assert_eq(sent.meta.gso_size, 1000);
    cr_assert_eq(vm_le32(ram(RING)) >> 31, 0, "the descriptor is the driver's again");
    out(0xd9, 1, 0x40);
    cr_assert_eq(n_sent, 1);
}

/* ---- 82540EM ------------------------------------------------------------------------------ */

static void e1000_start(void)
{
    make(&vm__e1000_class, "0", NULL);
    out(TDBAL, 4, RING);
    out(TDLEN, 4, 0x100);
    out(RDBAL, 4, RING2);
    out(RDLEN, 4, 0x100);
    for (unsigned i = 0; i < 16; i++)
        vm_put_le64(ram(RING2 + 16 * i), DATA + 2048 * i);
    out(TCTL, 4, 2);
    out(RCTL, 4, 0x8002);
    out(IMS, 4, 0xff);
}

Test(nic, e1000_eeprom_adds_up_and_gives_the_address)
{
    uint16_t sum = 0;
    make(&vm__e1000_class, "0", NULL);
    for (unsigned i = 0; i < 64; i++) {
        out(EERD, 4, 1 | i << 8);
        cr_assert(in(EERD, 4) & 0x10);
        sum = (uint16_t)(sum + (in(EERD, 4) >> 16));
    }
    cr_assert_eq(sum, 0xbaba);
    cr_assert_eq(in(RAL0, 4), vm_le32(own));
    cr_assert_eq(in(RAL0 + 4, 4), 0x80000000u | vm_le16(own + 4));
}

Test(nic, e1000_sends_and_receives)
{
    uint8_t frame[FRAMES];
    e1000_start();
    memset(ram(DATA), 0x33, 100);
    vm_put_le64(ram(RING), DATA);
    vm_put_le32(ram(RING + 8), 100 | 0x0b000000u); /* EOP, IFCS, RS */
    out(TDT, 4, 1);
    cr_assert_eq(n_sent, 1);
    cr_assert_eq(sent.len, 100);
    cr_assert_eq(in(TDH, 4), 1);
    cr_assert_eq(ram(RING + 12)[0] & 1, 1);
    cr_assert(asks());
    (void)in(ICR, 4);
    cr_assert_not(asks());
    make_frame(frame, own, 7);
    cr_assert(deliver(frame, sizeof frame));
    cr_assert_eq(in(RDH, 4), 0, "no descriptors yet");
    out(RDT, 4, 15);
    cr_assert_eq(in(RDH, 4), 1);
    cr_assert_arr_eq(ram(DATA), frame, sizeof frame);
    cr_assert_eq(vm_le16(ram(RING2 + 8)), FRAMES + 4);
    cr_assert_eq(ram(RING2 + 12)[0] & 3, 3);
    frame[5] ^= 1;
    deliver(frame, sizeof frame);
    cr_assert_eq(in(RDH, 4), 1, "another's");
}

Test(nic, e1000_interrupts_keep_their_distance)
{
    e1000_start();
    out(ITR, 4, 1000); /* 256 us */
    out(ICS, 4, 1);
    cr_assert(asks());
    (void)in(ICR, 4);
    out(ICS, 4, 1);
    cr_assert_not(asks());
    fake_advance(&f, 256000);
    cr_assert(asks());
    fake_save_load(dev);
}

Test(nic, e1000_context_asks_for_sums)
{
    e1000_start();
    uint8_t *p = ram(DATA), *c = ram(RING);
    memset(p, 0x11, 80);
    c[4] = 34; /* TUCSS, TUCSO: TCP behind a plain IPv4 header */
    c[5] = 50;
    vm_put_le32(c + 8, 0x20000000u); /* DEXT, context */
    vm_put_le64(c + 16, DATA);
    vm_put_le32(c + 24, 80 | 1u << 20 | 0x29000000u); /* DEXT, data, EOP */
    c[29] = 2;                                        /* TXSM */
    out(TDT, 4, 2);
    cr_assert_eq(n_sent, 1);
    cr_assert_eq(sent.meta.flags, VM_NET_NEEDS_CSUM);
    cr_assert_eq(sent.meta.csum_start, 34);
    cr_assert_eq(sent.meta.csum_offset, 16);
}
