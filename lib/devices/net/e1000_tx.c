/* SPDX-License-Identifier: MIT */
/**
 * @file e1000_tx.c
 * The sender: legacy, context and data descriptors.
 *
 * Spec: [82540EM §3.3] descriptors, [82540EM §3.5] segmentation, [82540EM §3.6] checksums. A packet
 * is sent when all of it is in the ring; delays of its interrupts (TIDV, TADV) are left to ITR.
 */
#include "core/net_packet.h"
#include "devices/net/e1000.h"

enum {
    CMD_EOP = 0x01,
    CMD_IC = 0x04, /* legacy */
    CMD_TSE = 0x04,
    CMD_RS = 0x08,
    CMD_DEXT = 0x20,
    CMD_VLE = 0x40,
    STA_DD = 0x01,
    DTYP_CONTEXT = 0,
    POPTS_IXSM = 0x01,
    POPTS_TXSM = 0x02,

    PACKET_DESCS = 256, /* of one packet, at most */
    TURN = 256,         /* packets before other work gets a turn */
    MACS = 12,
    TAG = 4,
};

/* A packet as it is collected. */
struct packet {
    size_t len;
    uint8_t cmd, popts; /* popts: of its first descriptor */
    uint8_t cso, css;   /* legacy */
    uint16_t tag;
    bool legacy, tse;
    bool overrun;
    uint32_t end; /* place behind its last descriptor */
};

static uint64_t ring_base(struct e1000 *s)
{
    return (*vm__e1000_reg(s, TDBAL) & ~UINT32_C(15)) | (uint64_t)*vm__e1000_reg(s, TDBAH) << 32;
}

static uint32_t ring_count(struct e1000 *s)
{
    return *vm__e1000_reg(s, TDLEN) / E1000_DESC;
}

static void read_context(struct e1000 *s, const uint8_t *d)
{
    s->context = (struct e1000_context) {
        .ipcss = d[0],
        .ipcso = d[1],
        .ipcse = vm_le16(d + 2),
        .tucss = d[4],
        .tucso = d[5],
        .tucse = vm_le16(d + 6),
        .mss = vm_le16(d + 14),
    };
}

/** Give descriptors back; those that ask for it say so in memory. */
static void finish(struct vm_dev *dev, uint32_t end)
{
    struct e1000 *s = vm_dev_state(dev);
    const uint32_t n = ring_count(s);
    uint32_t at = *vm__e1000_reg(s, TDH), causes = 0;
    /* Bounded: what is written may be this card's own registers. */
    for (uint32_t i = 0; i < n && at < n && at != end; i++) {
        const uint64_t gpa = ring_base(s) + (uint64_t)at * E1000_DESC;
        uint8_t d[4];
        (void)vm__dma_read(dev, gpa + 8, d, sizeof d);
        if (d[3] & CMD_RS) {
            uint8_t status = 0;
            (void)vm__dma_read(dev, gpa + 12, &status, 1);
            status |= STA_DD;
            (void)vm__dma_write(dev, gpa + 12, &status, 1);
            causes |= INT_TXDW;
        }
        at = at + 1 == n ? 0 : at + 1;
    }
    *vm__e1000_reg(s, TDH) = end;
    if (causes != 0)
        vm__e1000_interrupt(dev, causes);
}

static void add_data(struct vm_dev *dev, struct packet *p, const uint8_t *d, size_t n)
{
    struct e1000 *s = vm_dev_state(dev);
    if (n > VM_NET_FRAME_MAX - TAG - p->len) {
        p->overrun = true;
        return;
    }
    (void)vm__dma_read(dev, vm_le64(d), s->frame + p->len, n);
    p->len += n;
}

/** One packet from TDH on. False: the ring ends before it does. */
static bool collect(struct vm_dev *dev, struct packet *p)
{
    struct e1000 *s = vm_dev_state(dev);
    const uint32_t n = ring_count(s), tail = *vm__e1000_reg(s, TDT);
    uint32_t at = *vm__e1000_reg(s, TDH);
    bool first = true;
    *p = (struct packet) { 0 };
    for (unsigned i = 0; at != tail; i++) {
        uint8_t d[E1000_DESC];
        (void)vm__dma_read(dev, ring_base(s) + (uint64_t)at * E1000_DESC, d, sizeof d);
        at = at + 1 == n ? 0 : at + 1;
        p->end = at;
        const uint8_t cmd = d[11];
        const bool extended = cmd & CMD_DEXT;
        if (extended && d[10] >> 4 == DTYP_CONTEXT) {
            read_context(s, d);
            if (first) /* by itself: done */
                finish(dev, at);
            continue;
        }
        if (first) {
            p->legacy = !extended;
            p->popts = extended ? d[13] : 0;
            p->tse = extended && (cmd & CMD_TSE);
        }
        first = false;
        add_data(dev, p, d, extended ? vm_le32(d + 8) & 0xfffff : vm_le16(d + 8));
        p->cmd = cmd;
        p->cso = d[10];
        p->css = d[13];
        p->tag = vm_le16(d + 14);
        if (cmd & CMD_EOP)
            return true;
        if (i == PACKET_DESCS) {
            p->overrun = true; /* given up, so far as it goes */
            return true;
        }
    }
    return false;
}

/** A checksum over [from, end) into @p at, all of them the guest's numbers. */
static void put_sum(uint8_t *f, size_t len, size_t from, size_t end, size_t at)
{
    if (from < end && end <= len && at + 2 <= len)
        vm_put_be16(f + at, vm__net_fold(vm__net_sum(f + from, end - from, 0)));
}

static void offload(struct e1000 *s, const struct packet *p, struct vm_net_meta *meta)
{
    const struct e1000_context *c = &s->context;
    if (p->legacy) {
        if (p->cmd & CMD_IC)
            put_sum(s->frame, p->len, p->css, p->len, p->cso);
        return;
    }
    if (p->tse) {
        vm__net_request(s->frame, p->len, true, true, c->mss, meta);
        return;
    }
    if (p->popts & POPTS_IXSM)
        put_sum(s->frame, p->len, c->ipcss, c->ipcse != 0 ? c->ipcse + 1u : p->len, c->ipcso);
    if (!(p->popts & POPTS_TXSM))
        return;
    if ((c->tucse == 0 || c->tucse + 1u == p->len) && c->tucso >= c->tucss)
        *meta = (struct vm_net_meta) { .flags = VM_NET_NEEDS_CSUM,
                                       .csum_start = c->tucss,
                                       .csum_offset = c->tucso - c->tucss };
    else
        put_sum(s->frame, p->len, c->tucss, c->tucse != 0 ? c->tucse + 1u : p->len, c->tucso);
}

static void insert_tag(struct e1000 *s, struct packet *p, struct vm_net_meta *meta)
{
    if (!(p->cmd & CMD_VLE) || !(*vm__e1000_reg(s, CTRL) & CTRL_VME) || p->len < MACS)
        return;
    memmove(s->frame + MACS + TAG, s->frame + MACS, p->len - MACS);
    vm_put_be16(s->frame + MACS, (uint16_t)*vm__e1000_reg(s, VET));
    vm_put_be16(s->frame + MACS + 2, p->tag);
    p->len += TAG;
    if (meta->flags & VM_NET_NEEDS_CSUM)
        meta->csum_start += TAG;
}

static bool send_packet(struct vm_dev *dev, struct packet *p)
{
    struct e1000 *s = vm_dev_state(dev);
    struct vm_net_meta meta = { 0 };
    if (p->overrun || p->len == 0)
        return true;
    offload(s, p, &meta);
    insert_tag(s, p, &meta);
    if (p->len < VM_NIC_PAD) {
        memset(s->frame + p->len, 0, VM_NIC_PAD - p->len);
        p->len = VM_NIC_PAD;
    }
    const struct vm_iov iov = { s->frame, p->len };
    const struct vm_net_frame f = { &iov, 1, p->len, meta };
    if ((*vm__e1000_reg(s, RCTL) & RCTL_LBM) != 0)
        (void)vm__e1000_receive(dev, &f);
    else if (!vm__net_send(s->nic.net, &f))
        return false;
    vm__e1000_count(s, GPTC, 1);
    vm__e1000_count(s, TPT, 1);
    vm__e1000_count64(s, GOTCL, p->len + 4);
    vm__e1000_count64(s, TOTL, p->len + 4);
    if (vm__nic_is_broadcast(s->frame))
        vm__e1000_count(s, BPTC, 1);
    else if (s->frame[0] & 1)
        vm__e1000_count(s, MPTC, 1);
    return true;
}

void vm__e1000_transmit(struct vm_dev *dev)
{
    struct e1000 *s = vm_dev_state(dev);
    struct packet p;
    unsigned turn = TURN;
    /* DMA that ends in this card's own registers must not start it again. */
    if (s->sending || !(*vm__e1000_reg(s, TCTL) & TCTL_EN) || !vm__pci_is_master(dev))
        return;
    s->sending = true;
    while (*vm__e1000_reg(s, TDH) < ring_count(s) && *vm__e1000_reg(s, TDT) < ring_count(s) &&
           turn-- != 0 && collect(dev, &p)) {
        if (!send_packet(dev, &p))
            break;
        finish(dev, p.end);
        if (*vm__e1000_reg(s, TDH) == *vm__e1000_reg(s, TDT))
            vm__e1000_interrupt(dev, INT_TXQE);
    }
    s->sending = false;
    if (turn == UINT32_MAX)
        vm__timer_arm(&s->more, vm__dev_now(dev));
}
