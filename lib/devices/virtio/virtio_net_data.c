/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_net_data.c
 * Frames from and to the guest.
 *
 * Spec: [VIRTIO-1.2 §5.1.6.2] sending, [VIRTIO-1.2 §5.1.6.3] receiving. What a frame still lacks
 * (sums, cutting) travels in the header both ways, as far as driver and network agreed to it.
 */
#include "core/net_packet.h"
#include "devices/virtio/virtio_net.h"

enum {
    HEADER_MOST = 12,
    HEADER_NEEDS_CSUM = 1,
    HEADER_DATA_VALID = 2,
    GSO_KIND = 0x7f, /* without the mark of ECN */
    RETRY_NS = 50000,
};

/* ---- sending ------------------------------------------------------------------------------ */

/** What the header asks for, of what was agreed on. */
static void read_header(const struct virtio_net *s, const uint8_t *h, struct vm_net_meta *meta)
{
    const uint8_t gso = h[1] & GSO_KIND;
    *meta = (struct vm_net_meta) { 0 };
    if ((h[0] & HEADER_NEEDS_CSUM) && vm__vnet_has(s, NET_F_CSUM)) {
        meta->flags = VM_NET_NEEDS_CSUM;
        meta->csum_start = vm_le16(h + 6);
        meta->csum_offset = vm_le16(h + 8);
    }
    if ((gso == VM_NET_GSO_TCP4 && vm__vnet_has(s, NET_F_HOST_TSO4)) ||
        (gso == VM_NET_GSO_TCP6 && vm__vnet_has(s, NET_F_HOST_TSO6))) {
        meta->gso = gso;
        meta->hdr_len = vm_le16(h + 2);
        meta->gso_size = vm_le16(h + 4);
    }
}

/** False: the network takes nothing now. */
static bool send_chain(struct virtio_net *s, struct virtq *q)
{
    uint8_t h[HEADER_MOST] = { 0 };
    struct vm_net_meta meta;
    const uint32_t head = vm__vnet_header(s);
    const uint64_t total = s->tx.out_len;
    if (total < head + VM_NET_FRAME_MIN || total > head + VM_NET_FRAME_MAX)
        return true; /* no frame: dropped */
    const size_t len = (size_t)(total - head);
    if (vm__virtq_read(q, &s->tx, 0, h, head) != head ||
        vm__virtq_read(q, &s->tx, head, s->frame, len) != len)
        return true;
    read_header(s, h, &meta);
    const struct vm_iov iov = { s->frame, len };
    const struct vm_net_frame f = { &iov, 1, len, meta };
    return vm__net_send(s->nic.net, &f);
}

void vm__vnet_transmit(struct vm_dev *dev, struct virtq *q)
{
    struct virtio_net *s = vm_dev_state(dev);
    bool taken = true;
    /* Memory of the guest that is this device's own registers must not start it again. */
    if (s->sending)
        return;
    s->sending = true;
    uint32_t turn = q->size;
    do {
        while (turn != 0 && taken && vm__virtq_pop(q, &s->tx)) {
            turn--;
            taken = send_chain(s, q);
            if (taken)
                vm__virtq_push(q, &s->tx, 0);
            else
                vm__virtq_unpop(q, &s->tx); /* writable() comes */
        }
    } while (turn != 0 && taken && vm__virtq_want_notify(q, true));
    vm__virtq_signal(q);
    s->sending = false;
    if (turn == 0) /* others get a turn */
        vm__timer_arm(&s->more, vm__dev_now(dev));
}

/* ---- receiving ---------------------------------------------------------------------------- */

/** A flow keeps to one queue. */
static struct virtq *rx_queue(struct virtio_net *s, const uint8_t *f, size_t len)
{
    struct vm_net_packet p;
    uint32_t hash = 0;
    if (s->active > 1 && vm__net_parse(f, len, &p) && p.payload != 0)
        hash = vm__net_sum(f + p.l4, 4, 0);
    return &s->v.queue[2 * ((hash ^ hash >> 8) % s->active)];
}

static void write_header(const struct virtio_net *s, const struct vm_net_meta *m, uint16_t n,
                         uint8_t *h)
{
    memset(h, 0, HEADER_MOST);
    if (vm__vnet_has(s, NET_F_GUEST_CSUM)) {
        if (m->flags & VM_NET_NEEDS_CSUM)
            h[0] = HEADER_NEEDS_CSUM;
        else if (m->flags & VM_NET_CSUM_OK)
            h[0] = HEADER_DATA_VALID;
    }
    h[1] = m->gso;
    vm_put_le16(h + 2, m->hdr_len);
    vm_put_le16(h + 4, m->gso_size);
    vm_put_le16(h + 6, m->csum_start);
    vm_put_le16(h + 8, m->csum_offset);
    vm_put_le16(h + 10, n);
}

/** Take chains with room for @p need bytes. @return how many; 0: the driver gave too little */
static unsigned take_chains(struct virtio_net *s, struct virtq *q, uint64_t need)
{
    const bool merge = vm__vnet_has(s, NET_F_MRG_RXBUF);
    uint64_t room = 0;
    unsigned n = 0;
    while (room < need && n < (merge ? (unsigned)VIRTQ_TOGETHER : 1u) &&
           vm__virtq_pop(q, &s->rx[n]))
        room += s->rx[n++].in_len;
    if (room >= need)
        return n;
    const bool hopeless = n == (merge ? (unsigned)VIRTQ_TOGETHER : 1u);
    while (n-- > 0)
        vm__virtq_unpop(q, &s->rx[n]);
    return hopeless ? UINT32_MAX : 0;
}

static void fill(struct virtio_net *s, struct virtq *q, unsigned n, const uint8_t *f, size_t len,
                 const struct vm_net_meta *meta)
{
    uint32_t written[VIRTQ_TOGETHER];
    uint8_t h[HEADER_MOST];
    const uint32_t head = vm__vnet_header(s);
    size_t done = 0;
    write_header(s, meta, (uint16_t)n, h);
    for (unsigned i = 0; i < n; i++) {
        const uint64_t skip = i == 0 ? head : 0;
        const uint64_t room = s->rx[i].in_len > skip ? s->rx[i].in_len - skip : 0;
        const size_t size = (size_t)vm_min_u64(room, len - done);
        if (i == 0)
            (void)vm__virtq_write(q, &s->rx[0], 0, h, head);
        (void)vm__virtq_write(q, &s->rx[i], skip, f + done, size);
        written[i] = (uint32_t)(skip + size);
        done += size;
    }
    vm__virtq_push_all(q, s->rx, written, n);
    vm__virtq_signal(q);
}

bool vm__vnet_receive(void *opaque, const struct vm_net_frame *frame)
{
    struct vm_dev *dev = opaque;
    struct virtio_net *s = vm_dev_state(dev);
    const uint8_t *f = vm__net_flat(s->nic.net, frame);
    if (f == NULL || !vm__virtio_runs(&s->v) || s->receiving || !vm__vnet_wants(s, f, frame->len))
        return true; /* nobody listens */
    struct virtq *q = rx_queue(s, f, frame->len);
    const unsigned n = take_chains(s, q, (uint64_t)frame->len + vm__vnet_header(s));
    if (n == UINT32_MAX)
        return true; /* buffers too small for it: lost */
    if (n == 0) {
        /* notify() comes with more; or more came just now: at the next look */
        if (vm__virtq_want_notify(q, true) && !vm__timer_armed(&s->more))
            vm__timer_arm(&s->more, vm__dev_now(dev) + RETRY_NS);
        return false;
    }
    s->receiving = true;
    fill(s, q, n, f, frame->len, &frame->meta);
    s->receiving = false;
    return true;
}
