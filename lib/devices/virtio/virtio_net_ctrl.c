/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_net_ctrl.c
 * The control queue: what is received, addresses, VLANs, pairs of queues, announcements.
 *
 * Spec: [VIRTIO-1.2 §5.1.6.5].
 */
#include "devices/virtio/virtio_net.h"

enum {
    CLASS_RX = 0, /* commands: promisc, allmulti, alluni, nomulti, nouni, nobcast */
    CLASS_MAC = 1,
    MAC_TABLE_SET = 0,
    MAC_ADDR_SET = 1,
    CLASS_VLAN = 2,
    VLAN_ADD = 0,
    VLAN_DEL = 1,
    CLASS_ANNOUNCE = 3,
    CLASS_MQ = 4,
    MQ_PAIRS_SET = 0,
    ACK_OK = 0,
    ACK_ERR = 1,
    MACS_AT = 12, /* offsets in a frame */
};

/* ---- the filter --------------------------------------------------------------------------- */

void vm__vnet_filter_reset(struct virtio_net *s)
{
    s->promisc = 1;
    s->allmulti = s->alluni = s->nomulti = s->nouni = s->nobcast = 0;
    s->n_unicast = s->n_multicast = 0;
    s->too_many = 0;
    memset(s->vlans, 0, sizeof s->vlans);
}

static bool listed(const uint8_t *table, unsigned n, const uint8_t *mac)
{
    for (unsigned i = 0; i < n; i++)
        if (memcmp(table + i * VM_NET_MAC, mac, VM_NET_MAC) == 0)
            return true;
    return false;
}

bool vm__vnet_wants(const struct virtio_net *s, const uint8_t *f, size_t len)
{
    if (s->promisc)
        return true;
    if (vm__vnet_has(s, NET_F_CTRL_VLAN) && len >= MACS_AT + 4 && vm_be16(f + MACS_AT) == 0x8100) {
        const unsigned id = vm_be16(f + MACS_AT + 2) & 0xfff;
        if (!(s->vlans[id >> 3] >> (id & 7) & 1))
            return false;
    }
    if (vm__nic_is_broadcast(f))
        return !s->nobcast;
    if (f[0] & 1)
        return !s->nomulti && (s->allmulti || (s->too_many & 2) ||
                               listed(s->macs + NET_MACS * VM_NET_MAC, s->n_multicast, f));
    return !s->nouni && (s->alluni || (s->too_many & 1) || memcmp(f, s->mac, VM_NET_MAC) == 0 ||
                         listed(s->macs, s->n_unicast, f));
}

/* ---- commands ----------------------------------------------------------------------------- */

/* The data of a command, taken piece by piece. */
struct data {
    struct virtq *q;
    const struct virtq_chain *c;
    uint64_t at;
};

static bool take(struct data *d, void *to, size_t n)
{
    if (vm__virtq_read(d->q, d->c, d->at, to, n) != n)
        return false;
    d->at += n;
    return true;
}

/** One half of MAC_TABLE_SET: those that do not fit are passed over, and everything passes. */
static bool take_macs(struct virtio_net *s, struct data *d, unsigned half, uint16_t *count)
{
    uint8_t n_bytes[4];
    if (!take(d, n_bytes, sizeof n_bytes))
        return false;
    const uint32_t n = vm_le32(n_bytes);
    if ((uint64_t)n * VM_NET_MAC > d->c->out_len - d->at)
        return false;
    const bool fits = n <= NET_MACS;
    *count = fits ? (uint16_t)n : 0;
    s->too_many = (uint8_t)(fits ? s->too_many & ~(1u << half) : s->too_many | 1u << half);
    if (fits)
        return take(d, s->macs + half * NET_MACS * VM_NET_MAC, (size_t)n * VM_NET_MAC);
    d->at += (uint64_t)n * VM_NET_MAC;
    return true;
}

static bool do_rx(struct virtio_net *s, uint8_t command, struct data *d)
{
    uint8_t *const modes[] = { &s->promisc, &s->allmulti, &s->alluni,
                               &s->nomulti, &s->nouni,    &s->nobcast };
    uint8_t on;
    if (command >= VM_COUNT_OF(modes) || !take(d, &on, 1))
        return false;
    *modes[command] = on != 0;
    return true;
}

static bool do_mac(struct virtio_net *s, uint8_t command, struct data *d)
{
    if (command == MAC_ADDR_SET)
        return take(d, s->mac, VM_NET_MAC);
    return command == MAC_TABLE_SET && take_macs(s, d, 0, &s->n_unicast) &&
           take_macs(s, d, 1, &s->n_multicast);
}

static bool do_vlan(struct virtio_net *s, uint8_t command, struct data *d)
{
    uint8_t bytes[2];
    if (command > VLAN_DEL || !take(d, bytes, sizeof bytes))
        return false;
    const unsigned id = vm_le16(bytes);
    if (id > 4095)
        return false;
    if (command == VLAN_ADD)
        s->vlans[id >> 3] |= (uint8_t)(1u << (id & 7));
    else
        s->vlans[id >> 3] &= (uint8_t) ~(1u << (id & 7));
    return true;
}

static bool do_pairs(struct virtio_net *s, uint8_t command, struct data *d)
{
    uint8_t bytes[2];
    if (command != MQ_PAIRS_SET || !vm__vnet_has(s, NET_F_MQ) || !take(d, bytes, sizeof bytes))
        return false;
    const uint16_t n = vm_le16(bytes);
    if (n == 0 || n > s->pairs)
        return false;
    s->active = n;
    return true;
}

static bool carry_out(struct virtio_net *s, struct data *d)
{
    uint8_t head[2];
    if (!take(d, head, sizeof head))
        return false;
    switch (head[0]) {
    case CLASS_RX:
        return do_rx(s, head[1], d);
    case CLASS_MAC:
        return do_mac(s, head[1], d);
    case CLASS_VLAN:
        return do_vlan(s, head[1], d);
    case CLASS_ANNOUNCE: /* the guest has said where it is */
        s->status &= (uint16_t)~NET_STATUS_ANNOUNCE;
        return true;
    case CLASS_MQ:
        return do_pairs(s, head[1], d);
    default:
        return false;
    }
}

void vm__vnet_control(struct vm_dev *dev, struct virtq *q)
{
    struct virtio_net *s = vm_dev_state(dev);
    uint32_t turn = q->size; /* what is more comes when it is notified of */
    while (turn-- != 0 && (vm__virtq_pop(q, &s->ctrl) ||
                           (vm__virtq_want_notify(q, true) && vm__virtq_pop(q, &s->ctrl)))) {
        struct data d = { q, &s->ctrl, 0 };
        if (s->ctrl.in_len == 0) {
            vm__virtio_fail(&s->v, "a command without room for its answer");
            return;
        }
        const uint8_t ack = carry_out(s, &d) ? ACK_OK : ACK_ERR;
        (void)vm__virtq_write(q, &s->ctrl, 0, &ack, 1);
        vm__virtq_push(q, &s->ctrl, 1);
    }
    vm__virtq_signal(q);
}
