/* SPDX-License-Identifier: MIT */
/**
 * @file rtl8139_tx.c
 * The sender: four registers a packet each, or rings of descriptors in memory.
 *
 * Spec: [RTL8139C+ §6.3] TSD, [RTL8139C+ §9.2] C+ mode.
 */
#include "core/net_packet.h"
#include "devices/net/rtl8139.h"

/* A descriptor of C+ mode; the upper half of the second word is the VLAN's. */
enum {
    TX_OWN = 0x80000000u,
    TX_EOR = 0x40000000,
    TX_FS = 0x20000000,
    TX_LS = 0x10000000,
    TX_LGSEN = 0x08000000,
    TX_MSS_SHIFT = 16,
    TX_MSS = 0x7ff,
    TX_IPCS = 0x00040000,
    TX_UDPCS = 0x00020000,
    TX_TCPCS = 0x00010000,
    TX_SIZE = 0xffff,
    TX_TAGC = 0x00020000,

    STEPS_MOST = 2 * CP_DESC_MOST, /* descriptors looked at before other work gets a turn */
    MACS = 12,
    TAG = 4,
};

/** False: the network takes nothing now. */
static bool send_frame(struct vm_dev *dev, size_t len, const struct vm_net_meta *meta)
{
    struct rtl8139 *s = vm_dev_state(dev);
    if (len < VM_NIC_PAD) {
        memset(s->frame + len, 0, VM_NIC_PAD - len);
        len = VM_NIC_PAD;
    }
    const struct vm_iov iov = { s->frame, len };
    const struct vm_net_frame f = { &iov, 1, len, *meta };
    if ((s->tcr & TCR_LOOPBACK) == TCR_LOOPBACK) {
        (void)vm__rtl_receive(dev, &f);
        return true;
    }
    return vm__net_send(s->nic.net, &f);
}

/* ---- four registers ----------------------------------------------------------------------- */

static bool send_classic(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    uint32_t *tsd = &s->tsd[s->tx_next];
    static const struct vm_net_meta plain = { 0 };
    const size_t len = *tsd & TSD_SIZE;
    if (*tsd & TSD_OWN)
        return false;
    (void)vm__dma_read(dev, s->tsad[s->tx_next], s->frame, len);
    if (!send_frame(dev, len, &plain))
        return false;
    *tsd |= TSD_OWN | TSD_TOK;
    s->tx_next = (s->tx_next + 1) & 3;
    s->tally.tx_ok++;
    vm__rtl_interrupt(dev, INT_TOK);
    return true;
}

/* ---- rings -------------------------------------------------------------------------------- */

static uint64_t ring_base(const struct rtl8139 *s, unsigned queue)
{
    return (s->tsad[2 * queue] | (uint64_t)s->tsad[2 * queue + 1] << 32) & ~UINT64_C(0xff);
}

static uint8_t next_place(uint8_t at, uint32_t word)
{
    return word & TX_EOR ? 0 : (at + 1) & (CP_DESC_MOST - 1);
}

/** A VLAN tag goes behind the addresses; it stands in the descriptor as on the cable. */
static size_t insert_tag(uint8_t *frame, size_t len, uint32_t word1)
{
    if (!(word1 & TX_TAGC) || len < MACS || len > VM_NET_FRAME_MAX - TAG)
        return len;
    memmove(frame + MACS + TAG, frame + MACS, len - MACS);
    vm_put_be16(frame + MACS, 0x8100);
    vm_put_le16(frame + MACS + 2, (uint16_t)word1);
    return len + TAG;
}

static void offload(const struct rtl8139 *s, uint32_t word0, size_t len, struct vm_net_meta *meta)
{
    if (word0 & TX_LGSEN)
        vm__net_request(s->frame, len, true, true, word0 >> TX_MSS_SHIFT & TX_MSS, meta);
    else if (word0 & (TX_IPCS | TX_UDPCS | TX_TCPCS))
        vm__net_request(s->frame, len, word0 & TX_IPCS, word0 & (TX_UDPCS | TX_TCPCS), 0, meta);
}

/** The descriptors of one packet become the chip's, then the driver's again. */
struct packet {
    uint64_t gpa[CP_DESC_MOST];
    uint32_t word0[CP_DESC_MOST];
    unsigned n;
    uint8_t next; /* place behind it */
};

/** Copy a packet together. False: it is not all there yet; nothing was changed. */
static bool gather(struct vm_dev *dev, unsigned queue, struct packet *p, size_t *len)
{
    struct rtl8139 *s = vm_dev_state(dev);
    uint8_t at = s->cp_tx[queue];
    *len = 0;
    for (p->n = 0; p->n < CP_DESC_MOST;) {
        uint8_t d[CP_DESC];
        const uint64_t gpa = ring_base(s, queue) + (uint64_t)at * CP_DESC;
        (void)vm__dma_read(dev, gpa, d, sizeof d);
        const uint32_t word0 = vm_le32(d);
        if (!(word0 & TX_OWN))
            return false;
        size_t n = word0 & TX_SIZE;
        if (n > VM_NET_FRAME_MAX - *len)
            n = VM_NET_FRAME_MAX - *len; /* too long for any cable: it is cut off */
        (void)vm__dma_read(dev, vm_le64(d + 8), s->frame + *len, n);
        *len += n;
        p->gpa[p->n] = gpa;
        p->word0[p->n++] = word0;
        at = next_place(at, word0);
        if (word0 & TX_LS) {
            p->next = at;
            *len = insert_tag(s->frame, *len, vm_le32(d + 4));
            return true;
        }
    }
    p->next = at;
    *len = 0; /* a ring without an end: passed over */
    return true;
}

static bool send_ring(struct vm_dev *dev, unsigned queue)
{
    struct rtl8139 *s = vm_dev_state(dev);
    struct packet p;
    struct vm_net_meta meta = { 0 };
    size_t len;
    if (!gather(dev, queue, &p, &len))
        return false;
    offload(s, p.word0[0], len, &meta);
    if (len != 0 && !send_frame(dev, len, &meta))
        return false;
    for (unsigned i = 0; i < p.n; i++) {
        uint8_t word[4];
        vm_put_le32(word, p.word0[i] & (TX_EOR | TX_FS | TX_LS));
        (void)vm__dma_write(dev, p.gpa[i], word, sizeof word);
    }
    s->cp_tx[queue] = p.next;
    s->tally.tx_ok++;
    vm__rtl_interrupt(dev, INT_TOK);
    return true;
}

void vm__rtl_transmit(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    /* DMA that ends in this card's own registers must not start it again. */
    if (s->sending || !(s->cr & CR_TE) || !vm__pci_is_master(dev))
        return;
    s->sending = true;
    if (vm__rtl_cp_tx(s)) {
        unsigned steps = STEPS_MOST;
        while (steps != 0 && send_ring(dev, 1))
            steps--;
        while (steps != 0 && send_ring(dev, 0))
            steps--;
    } else {
        for (unsigned steps = 4; steps != 0 && send_classic(dev); steps--)
            ;
    }
    s->sending = false;
}

/* ---- counters ----------------------------------------------------------------------------- */

void vm__rtl_dump_tally(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    const struct rtl_tally *t = &s->tally;
    uint8_t d[64] = { 0 };
    vm_put_le64(d, t->tx_ok);
    vm_put_le64(d + 8, t->rx_ok);
    vm_put_le64(d + 16, t->tx_err);
    vm_put_le32(d + 24, t->rx_err);
    vm_put_le16(d + 28, t->missed);
    vm_put_le64(d + 40, t->rx_unicast);
    vm_put_le64(d + 48, t->rx_broadcast);
    vm_put_le32(d + 56, t->rx_multicast);
    const uint64_t gpa = s->dtccr[0] | (uint64_t)s->dtccr[1] << 32;
    (void)vm__dma_write(dev, gpa & ~UINT64_C(63), d, sizeof d);
    s->dtccr[0] &= ~UINT32_C(8); /* done */
}
