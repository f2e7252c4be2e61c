/* SPDX-License-Identifier: MIT */
/**
 * @file e1000_rx.c
 * The receiver: address and VLAN filters, descriptors.
 *
 * Spec: [82540EM §3.2] descriptors, [82540EM §3.2.9] checksums, [82540EM §13.4.22] RCTL and
 * filters. Frames without room stay in the cable's queue. The checksum behind a frame is zero;
 * the packet checksum field, which drivers of this chip do not use, too.
 */
#include "core/net_packet.h"
#include "devices/net/e1000.h"

enum {
    FCS = 4,
    FRAME_MOST = 16384,
    FRAME_USUAL = 1518, /* with a VLAN tag, without FCS */
    STA_DD = 0x01,
    STA_EOP = 0x02,
    STA_IXSM = 0x04,
    STA_VP = 0x08,
    STA_TCPCS = 0x20,
    STA_IPCS = 0x40,
    ERR_TCPE = 0x20,
    ERR_IPE = 0x40,
    MACS = 12,
    TAG = 4,
    ADDRESSES = 16,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
};

static bool is_tagged(struct e1000 *s, const uint8_t *f, size_t len)
{
    return len >= MACS + TAG && vm_be16(f + MACS) == (*vm__e1000_reg(s, VET) & 0xffff);
}

static bool in_table(struct e1000 *s, unsigned table, unsigned bit)
{
    return *vm__e1000_reg(s, table + bit / 32 * 4) >> (bit % 32) & 1;
}

static bool is_own(struct e1000 *s, const uint8_t *mac)
{
    for (unsigned i = 0; i < ADDRESSES; i++) {
        const uint32_t low = *vm__e1000_reg(s, RAL0 + 8 * i);
        const uint32_t high = *vm__e1000_reg(s, RAL0 + 8 * i + 4);
        if ((high & (uint32_t)RAH_AV) && low == vm_le32(mac) && (high & 0xffff) == vm_le16(mac + 4))
            return true;
    }
    return false;
}

static bool filter(struct e1000 *s, const uint8_t *f, size_t len)
{
    static const uint8_t shift[] = { 4, 3, 2, 0 };
    const uint32_t rctl = *vm__e1000_reg(s, RCTL);
    if ((rctl & RCTL_VFE) && is_tagged(s, f, len) &&
        !in_table(s, VFTA, vm_be16(f + MACS + 2) & 0xfff))
        return false;
    if (vm__nic_is_broadcast(f))
        return rctl & (RCTL_BAM | RCTL_MPE);
    if (f[0] & 1)
        return (rctl & RCTL_MPE) ||
               in_table(s, MTA, vm_le16(f + 4) >> shift[rctl >> 12 & 3] & 0xfff) || is_own(s, f);
    return (rctl & RCTL_UPE) || is_own(s, f);
}

static uint32_t buffer_size(uint32_t rctl)
{
    const unsigned code = rctl >> 16 & 3;
    return rctl & RCTL_BSEX && code != 0 ? 32768u >> code : 2048u >> code;
}

/** What becomes known of a frame: status and errors of its last descriptor. */
static uint16_t checks(struct e1000 *s, const uint8_t *f, size_t len, bool known)
{
    const uint32_t wanted = *vm__e1000_reg(s, RXCSUM);
    struct vm_net_packet p;
    uint8_t status = 0, errors = 0;
    if (!(wanted & (RXCSUM_IPOFL | RXCSUM_TUOFL)) || !vm__net_parse(f, len, &p))
        return STA_IXSM;
    if ((wanted & RXCSUM_IPOFL) && !p.ip6) {
        status |= STA_IPCS;
        errors |= vm__net_l3_ok(f, &p) ? 0 : ERR_IPE;
    }
    if ((wanted & RXCSUM_TUOFL) && !p.fragment && (p.proto == PROTO_TCP || p.proto == PROTO_UDP)) {
        status |= STA_TCPCS;
        errors |= known || vm__net_l4_ok(f, &p) ? 0 : ERR_TCPE;
    }
    return (uint16_t)((status != 0 ? status : STA_IXSM) | errors << 8);
}

/** Descriptors the driver has given. */
static uint32_t free_descs(struct e1000 *s, uint32_t n)
{
    const uint32_t head = *vm__e1000_reg(s, RDH), tail = *vm__e1000_reg(s, RDT);
    if (head >= n || tail >= n)
        return 0;
    return tail >= head ? tail - head : tail + n - head;
}

struct extra {
    uint16_t status, tag;
};

static void put_frame(struct vm_dev *dev, const uint8_t *f, uint32_t len, const struct extra *x)
{
    struct e1000 *s = vm_dev_state(dev);
    const uint32_t n = *vm__e1000_reg(s, RDLEN) / E1000_DESC;
    const uint32_t room = buffer_size(*vm__e1000_reg(s, RCTL));
    const uint64_t base =
        (*vm__e1000_reg(s, RDBAL) & ~UINT32_C(15)) | (uint64_t)*vm__e1000_reg(s, RDBAH) << 32;
    const uint32_t total = len + (*vm__e1000_reg(s, RCTL) & RCTL_SECRC ? 0 : FCS);
    uint32_t at = *vm__e1000_reg(s, RDH);
    for (uint32_t done = 0; done < total;) {
        const uint32_t size = total - done < room ? total - done : room;
        const uint64_t gpa = base + (uint64_t)at * E1000_DESC;
        uint8_t d[E1000_DESC];
        (void)vm__dma_read(dev, gpa, d, 8);
        if (done < len)
            (void)vm__dma_write(dev, vm_le64(d), f + done, size < len - done ? size : len - done);
        done += size;
        vm_put_le16(d + 8, (uint16_t)size);
        vm_put_le16(d + 10, 0);
        vm_put_le16(d + 12, STA_DD | (done == total ? STA_EOP | x->status : 0));
        vm_put_le16(d + 14, x->tag);
        (void)vm__dma_write(dev, gpa + 8, d + 8, 8);
        at = at + 1 == n ? 0 : at + 1;
    }
    *vm__e1000_reg(s, RDH) = at;
}

static void count(struct e1000 *s, const uint8_t *f, uint32_t len)
{
    vm__e1000_count(s, GPRC, 1);
    vm__e1000_count(s, TPR, 1);
    vm__e1000_count64(s, GORCL, len + FCS);
    vm__e1000_count64(s, TORL, len + FCS);
    if (vm__nic_is_broadcast(f))
        vm__e1000_count(s, BPRC, 1);
    else if (f[0] & 1)
        vm__e1000_count(s, MPRC, 1);
}

static bool receive(struct vm_dev *dev, const uint8_t *f, uint32_t len, bool known)
{
    struct e1000 *s = vm_dev_state(dev);
    const uint32_t rctl = *vm__e1000_reg(s, RCTL);
    const uint32_t n = *vm__e1000_reg(s, RDLEN) / E1000_DESC, free = free_descs(s, n);
    uint8_t bare[FRAME_MOST];
    struct extra x = { 0 };
    if ((uint64_t)free * buffer_size(rctl) < (uint64_t)len + FCS) {
        vm__e1000_interrupt(dev, INT_RXDMT0);
        return false;
    }
    x.status = checks(s, f, len, known);
    count(s, f, len);
    if ((*vm__e1000_reg(s, CTRL) & CTRL_VME) && is_tagged(s, f, len)) {
        x.status |= STA_VP;
        x.tag = vm_be16(f + MACS + 2);
        memcpy(bare, f, MACS);
        memcpy(bare + MACS, f + MACS + TAG, len - MACS - TAG);
        f = bare;
        len -= TAG;
    }
    put_frame(dev, f, len, &x);
    /* RDMTS: a half, a quarter or an eighth of the ring is left */
    const uint32_t low = n >> ((rctl >> 8 & 3) + 1);
    vm__e1000_interrupt(dev, INT_RXT0 | (free_descs(s, n) <= low ? INT_RXDMT0 : 0u));
    return true;
}

bool vm__e1000_receive(void *opaque, const struct vm_net_frame *frame)
{
    struct vm_dev *dev = opaque;
    struct e1000 *s = vm_dev_state(dev);
    uint8_t padded[VM_NIC_PAD];
    const uint8_t *f = vm__net_flat(s->nic.net, frame);
    const uint32_t rctl = *vm__e1000_reg(s, RCTL);
    uint32_t len = (uint32_t)frame->len;
    if (f == NULL || !(rctl & RCTL_EN) || !vm__pci_is_master(dev) ||
        len > (rctl & RCTL_LPE ? (uint32_t)FRAME_MOST : (uint32_t)FRAME_USUAL) ||
        !filter(s, f, len))
        return true; /* nobody listens */
    if (len < VM_NIC_PAD) {
        memcpy(padded, f, len);
        memset(padded + len, 0, VM_NIC_PAD - len);
        f = padded;
        len = VM_NIC_PAD;
    }
    return receive(dev, f, len, frame->meta.flags & VM_NET_CSUM_OK);
}
