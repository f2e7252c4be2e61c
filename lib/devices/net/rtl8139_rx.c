/* SPDX-License-Identifier: MIT */
/**
 * @file rtl8139_rx.c
 * The receiver: filter, ring buffer of classic mode, descriptors of C+ mode.
 *
 * Spec: [RTL8139C+ §6.4] filter and packet header, [RTL8139C+ §9.3] descriptors.
 * Where the chip would drop a frame for want of room, it stays in the cable's queue: guests are
 * spared what a faster wire would do to them. The frame check sequence behind a frame is zero.
 */
#include "core/net_packet.h"
#include "devices/net/rtl8139.h"

enum {
    FCS = 4,
    FRAME_MOST = 4096 - FCS,
    HEADER = 4, /* in the ring: status and length */
    RING_SPARE = 16,

    STATUS_ROK = 0x0001, /* of classic mode */
    STATUS_BAR = 0x2000,
    STATUS_PAM = 0x4000,
    STATUS_MAR = 0x8000,

    RX_EOR = 0x40000000, /* of C+ mode */
    RX_FS = 0x20000000,
    RX_LS = 0x10000000,
    RX_MAR = 0x04000000,
    RX_PAM = 0x02000000,
    RX_BAR = 0x01000000,
    RX_PID_TCP = 1 << 16,
    RX_PID_UDP = 2 << 16,
    RX_PID_IP = 3 << 16,
    RX_IPF = 0x8000,
    RX_UDPF = 0x4000,
    RX_TCPF = 0x2000,
    RX_SIZE = 0x1fff,
    RX_TAVA = 0x00010000,

    RETRY_NS = 1000000,
    MACS = 12,
    TAG = 4,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
};
#define RX_OWN UINT32_C(0x80000000)

/** Whom a frame is for, as bits of classic mode's status; 0: nobody here. */
static uint16_t filter(struct rtl8139 *s, const uint8_t *mac)
{
    if (vm__nic_is_broadcast(mac))
        return s->rcr & (RCR_AB | RCR_AAP) ? STATUS_BAR : 0;
    if (mac[0] & 1) {
        const unsigned bit = vm__net_hash64(mac);
        const bool hit = (s->rcr & RCR_AM) && (s->mar[bit >> 3] >> (bit & 7) & 1);
        return hit || (s->rcr & RCR_AAP) ? STATUS_MAR : 0;
    }
    if (memcmp(mac, s->idr, VM_NET_MAC) == 0 && (s->rcr & (RCR_APM | RCR_AAP)))
        return STATUS_PAM;
    return s->rcr & RCR_AAP ? STATUS_ROK : 0;
}

static void count(struct rtl8139 *s, uint16_t whom)
{
    s->tally.rx_ok++;
    s->tally.rx_broadcast += whom == STATUS_BAR;
    s->tally.rx_multicast += whom == STATUS_MAR;
    s->tally.rx_unicast += whom == STATUS_PAM;
}

/* ---- the ring buffer ---------------------------------------------------------------------- */

static uint32_t ring_size(const struct rtl8139 *s)
{
    return UINT32_C(8192) << (s->rcr >> 11 & 3);
}

static uint32_t read_place(const struct rtl8139 *s)
{
    return ((uint32_t)s->capr + RING_SPARE) & (ring_size(s) - 1);
}

bool vm__rtl_empty(const struct rtl8139 *s)
{
    return read_place(s) == (s->cbr & (ring_size(s) - 1));
}

/** Copy into the ring from @p off on, round its end. */
static void ring_put(struct vm_dev *dev, uint32_t off, const void *from, uint32_t len)
{
    const struct rtl8139 *s = vm_dev_state(dev);
    const uint32_t size = ring_size(s), at = off & (size - 1);
    const uint32_t n = len <= size - at ? len : size - at;
    (void)vm__dma_write(dev, s->rbstart + (uint64_t)at, from, n);
    if (n < len)
        (void)vm__dma_write(dev, s->rbstart, (const uint8_t *)from + n, len - n);
}

static bool receive_ring(struct vm_dev *dev, const uint8_t *frame, uint32_t len, uint16_t whom)
{
    struct rtl8139 *s = vm_dev_state(dev);
    static const uint8_t zero[FCS];
    const uint32_t size = ring_size(s), need = (HEADER + len + FCS + 3) & ~UINT32_C(3);
    const uint32_t start = s->cbr & (size - 1);
    const uint32_t used = (start - read_place(s)) & (size - 1);
    uint8_t header[HEADER];
    if (used + need >= size) {
        vm__rtl_interrupt(dev, INT_RXOVW);
        return false;
    }
    vm_put_le16(header, STATUS_ROK | whom);
    vm_put_le16(header + 2, (uint16_t)(len + FCS));
    /* WRAP: the end of a packet goes into the spare room behind the ring, except of the largest. */
    const bool spill = (s->rcr & RCR_WRAP) && size != 65536;
    if (spill) {
        (void)vm__dma_write(dev, s->rbstart + (uint64_t)start + HEADER, frame, len);
        (void)vm__dma_write(dev, s->rbstart + (uint64_t)start + HEADER + len, zero, FCS);
    } else {
        ring_put(dev, start + HEADER, frame, len);
        ring_put(dev, start + HEADER + len, zero, FCS);
    }
    ring_put(dev, start, header, HEADER);
    s->cbr = (uint16_t)((start + need) & (size - 1));
    count(s, whom);
    vm__rtl_interrupt(dev, INT_ROK);
    return true;
}

/* ---- descriptors -------------------------------------------------------------------------- */

static uint32_t checks(const uint8_t *frame, size_t len, bool known)
{
    struct vm_net_packet p;
    if (!vm__net_parse(frame, len, &p) || p.ip6)
        return 0;
    uint32_t bits = vm__net_l3_ok(frame, &p) ? 0 : RX_IPF;
    if (p.fragment || (p.proto != PROTO_TCP && p.proto != PROTO_UDP))
        return bits | RX_PID_IP;
    const bool tcp = p.proto == PROTO_TCP;
    if (!known && !vm__net_l4_ok(frame, &p))
        bits |= tcp ? RX_TCPF : RX_UDPF;
    return bits | (tcp ? RX_PID_TCP : RX_PID_UDP);
}

/** No descriptor: the driver takes frames before it gives descriptors, and does not say so. */
static bool wait_for_room(struct vm_dev *dev)
{
    struct rtl8139 *s = vm_dev_state(dev);
    vm__rtl_interrupt(dev, INT_RXOVW);
    if (!vm__timer_armed(&s->retry))
        vm__timer_arm(&s->retry, vm__dev_now(dev) + RETRY_NS);
    return false;
}

/** What a frame needs besides its bytes. */
struct extra {
    uint32_t status; /* of the last descriptor */
    uint32_t tag;    /* word 1 */
};

static bool put_frame(struct vm_dev *dev, const uint8_t *frame, uint32_t len, const struct extra *x)
{
    struct rtl8139 *s = vm_dev_state(dev);
    uint64_t gpa[CP_DESC_MOST];
    uint32_t word0[CP_DESC_MOST], done = 0;
    uint8_t at = s->cp_rx;
    unsigned n = 0;
    /* All of it or nothing: the descriptors are given back when the frame has its place. */
    while (done < len + FCS) {
        uint8_t d[CP_DESC];
        if (n == CP_DESC_MOST)
            return wait_for_room(dev);
        gpa[n] = s->rdsar + (uint64_t)at * CP_DESC;
        (void)vm__dma_read(dev, gpa[n], d, sizeof d);
        word0[n] = vm_le32(d);
        const uint32_t room = word0[n] & RX_SIZE;
        if (!(word0[n] & RX_OWN) || room == 0)
            return wait_for_room(dev);
        uint32_t size = len + FCS - done < room ? len + FCS - done : room;
        if (done < len)
            (void)vm__dma_write(dev, vm_le64(d + 8), frame + done,
                                size < len - done ? size : len - done);
        done += size;
        at = word0[n] & RX_EOR ? 0 : (at + 1) & (CP_DESC_MOST - 1);
        n++;
    }
    for (unsigned i = n; i-- > 0;) {
        uint8_t d[8];
        uint32_t w = (word0[i] & RX_EOR) | (i == 0 ? (uint32_t)RX_FS : 0u);
        if (i == n - 1)
            w |= RX_LS | (len + FCS) | x->status;
        else
            w |= word0[i] & RX_SIZE;
        vm_put_le32(d, w);
        vm_put_le32(d + 4, x->tag);
        (void)vm__dma_write(dev, gpa[i] + 4, d + 4, 4);
        (void)vm__dma_write(dev, gpa[i], d, 4);
    }
    s->cp_rx = at;
    return true;
}

static bool receive_desc(struct vm_dev *dev, const uint8_t *frame, uint32_t len, uint16_t whom,
                         bool known)
{
    struct rtl8139 *s = vm_dev_state(dev);
    uint8_t bare[FRAME_MOST];
    struct extra x = { .status = (whom == STATUS_BAR   ? (uint32_t)RX_BAR
                                  : whom == STATUS_MAR ? (uint32_t)RX_MAR
                                  : whom == STATUS_PAM ? (uint32_t)RX_PAM
                                                       : 0u) };
    if (s->cpcr & CPCR_RXCSUM)
        x.status |= checks(frame, len, known);
    if ((s->cpcr & CPCR_RXVLAN) && len >= MACS + TAG && vm_be16(frame + MACS) == 0x8100) {
        x.tag = RX_TAVA | vm_le16(frame + MACS + 2);
        memcpy(bare, frame, MACS);
        memcpy(bare + MACS, frame + MACS + TAG, len - MACS - TAG);
        frame = bare;
        len -= TAG;
    }
    if (!put_frame(dev, frame, len, &x))
        return false;
    count(s, whom);
    vm__rtl_interrupt(dev, INT_ROK);
    return true;
}

bool vm__rtl_receive(void *opaque, const struct vm_net_frame *f)
{
    struct vm_dev *dev = opaque;
    struct rtl8139 *s = vm_dev_state(dev);
    uint8_t padded[VM_NIC_PAD];
    const uint8_t *frame = vm__net_flat(s->nic.net, f);
    uint32_t len = (uint32_t)f->len;
    if (frame == NULL || !(s->cr & CR_RE) || !vm__pci_is_master(dev) || len > FRAME_MOST)
        return true; /* nobody listens */
    const uint16_t whom = filter(s, frame);
    if (whom == 0)
        return true;
    if (len < VM_NIC_PAD) {
        memcpy(padded, frame, len);
        memset(padded + len, 0, VM_NIC_PAD - len);
        frame = padded;
        len = VM_NIC_PAD;
    }
    if (vm__rtl_cp_rx(s))
        return receive_desc(dev, frame, len, whom & ~STATUS_ROK, f->meta.flags & VM_NET_CSUM_OK);
    return receive_ring(dev, frame, len, whom & ~STATUS_ROK);
}
