/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_net.c
 * virtio network device.
 *
 * Spec: [VIRTIO-1.2 §5.1]. Offered: checksums and TCP segmentation both ways, merged receive
 * buffers, pairs of queues, the control queue, link status, announcements, MTU. Not offered: UDP
 * fragmentation and segmentation, receive hashing, notification coalescing.
 */
#include "devices/virtio/virtio_net.h"

#include <stdlib.h>

#include "core/machine.h"

enum {
    CONFIG_STATUS = 6,
    CONFIG_PAIRS = 8,
    CONFIG_MTU = 10,
    CONFIG_SIZE = 12,
};

static bool is_control(const struct virtio_net *s, const struct virtq *q)
{
    return q->index == (vm__vnet_has(s, NET_F_MQ) ? 2 * s->pairs : 2u);
}

static void net_notify(struct vm_dev *dev, struct virtq *q)
{
    struct virtio_net *s = vm_dev_state(dev);
    if (is_control(s, q))
        vm__vnet_control(dev, q);
    else if (q->index & 1)
        vm__vnet_transmit(dev, q);
    else
        vm__net_accept(s->nic.net);
}

static void send_all(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct virtio_net *s = vm_dev_state(dev);
    for (uint32_t i = 0; i < s->active && vm__virtio_runs(&s->v); i++)
        vm__vnet_transmit(dev, &s->v.queue[2 * i + 1]);
    vm__net_accept(s->nic.net);
}

static void net_config(struct vm_dev *dev, uint8_t *config)
{
    const struct virtio_net *s = vm_dev_state(dev);
    memcpy(config, s->mac, VM_NET_MAC);
    vm_put_le16(config + CONFIG_STATUS, s->status);
    vm_put_le16(config + CONFIG_PAIRS, (uint16_t)s->pairs);
    vm_put_le16(config + CONFIG_MTU, (uint16_t)s->mtu);
}

/** Before 1.0 the driver wrote its address there. */
static void net_config_written(struct vm_dev *dev, uint32_t off, uint8_t value)
{
    struct virtio_net *s = vm_dev_state(dev);
    if (off < VM_NET_MAC && !vm__virtio_has(&s->v, VIRTIO_F_VERSION_1))
        s->mac[off] = value;
}

static void net_negotiated(struct vm_dev *dev)
{
    struct virtio_net *s = vm_dev_state(dev);
    const unsigned takes = (vm__vnet_has(s, NET_F_GUEST_CSUM) ? VM_NET_TAKES_CSUM : 0u) |
                           (vm__vnet_has(s, NET_F_GUEST_TSO4) ? VM_NET_TAKES_TSO4 : 0u) |
                           (vm__vnet_has(s, NET_F_GUEST_TSO6) ? VM_NET_TAKES_TSO6 : 0u);
    vm__net_nic_takes(s->nic.net, takes);
    /* A driver without a control queue cannot say what it wants. */
    vm__vnet_filter_reset(s);
}

static void forget(struct virtio_net *s)
{
    s->active = 1;
    memcpy(s->mac, s->nic.mac, VM_NET_MAC);
    s->status = vm__net_link(s->nic.net) ? NET_STATUS_LINK : 0;
    vm__vnet_filter_reset(s);
    vm__net_nic_takes(s->nic.net, 0);
    vm__timer_cancel(&s->more);
    vm__net_flush(s->nic.net);
}

/** Nothing taken is kept between calls, so there are no chains to give up. */
static void net_queue_reset(struct vm_dev *dev, struct virtq *q)
{
    if (q == NULL)
        forget(vm_dev_state(dev));
}

/* ---- the cable ---------------------------------------------------------------------------- */

static void on_link(void *opaque, bool up)
{
    struct vm_dev *dev = opaque;
    struct virtio_net *s = vm_dev_state(dev);
    s->status = (uint16_t)(up ? s->status | NET_STATUS_LINK : s->status & ~NET_STATUS_LINK);
    if (up && vm__vnet_has(s, NET_F_GUEST_ANNOUNCE)) /* it may be at another place now */
        s->status |= NET_STATUS_ANNOUNCE;
    if (vm__vnet_has(s, NET_F_STATUS))
        vm__virtio_config_changed(dev);
}

static const struct vm_net_nic_ops net_ops = {
    .receive = vm__vnet_receive,
    .link = on_link,
    .writable = send_all,
};

/* ---- the class ---------------------------------------------------------------------------- */

static uint64_t features(const struct virtio_net *s)
{
    uint64_t f = NET_BIT(NET_F_CSUM) | NET_BIT(NET_F_GUEST_CSUM) | NET_BIT(NET_F_MAC) |
                 NET_BIT(NET_F_GUEST_TSO4) | NET_BIT(NET_F_GUEST_TSO6) | NET_BIT(NET_F_HOST_TSO4) |
                 NET_BIT(NET_F_HOST_TSO6) | NET_BIT(NET_F_MRG_RXBUF) | NET_BIT(NET_F_STATUS) |
                 NET_BIT(NET_F_CTRL_VQ) | NET_BIT(NET_F_CTRL_RX) | NET_BIT(NET_F_CTRL_VLAN) |
                 NET_BIT(NET_F_CTRL_RX_EXTRA) | NET_BIT(NET_F_GUEST_ANNOUNCE) |
                 NET_BIT(NET_F_CTRL_MAC_ADDR);
    if (s->pairs > 1)
        f |= NET_BIT(NET_F_MQ);
    if (s->mtu != 0)
        f |= NET_BIT(NET_F_MTU);
    return f;
}

static int net_realize(struct vm_dev *dev)
{
    struct virtio_net *s = vm_dev_state(dev);
    s->frame = malloc(VM_NET_FRAME_MAX);
    if (s->frame == NULL)
        return vm__fail_nomem(VM_NET_FRAME_MAX);
    int st = vm__nic_init(dev, &s->nic, "pxe-virtio.rom", &net_ops);
    if (st != VM_OK) {
        free(s->frame);
        return st;
    }
    vm__dev_timer(dev, &s->more, send_all);
    st = vm__virtio_realize(dev, features(s), (uint16_t)(2 * s->pairs + 1), NET_QUEUE_SIZE);
    if (st != VM_OK) {
        vm__nic_fini(&s->nic);
        free(s->frame);
    }
    return st;
}

static void net_unrealize(struct vm_dev *dev)
{
    struct virtio_net *s = vm_dev_state(dev);
    vm__nic_fini(&s->nic);
    vm__virtq_chain_free(&s->tx);
    vm__virtq_chain_free(&s->ctrl);
    for (unsigned i = 0; i < VIRTQ_TOGETHER; i++)
        vm__virtq_chain_free(&s->rx[i]);
    free(s->frame);
}

static void net_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    vm__virtio_reset(dev, kind);
    forget(vm_dev_state(dev));
}

static int net_post_load(struct vm_dev *dev)
{
    struct virtio_net *s = vm_dev_state(dev);
    if (s->active == 0 || s->active > s->pairs || s->n_unicast > NET_MACS ||
        s->n_multicast > NET_MACS)
        return vm__fail(VM_E_CORRUPT, "settings that cannot be");
    const int st = vm__virtio_post_load(dev);
    if (st != VM_OK)
        return st;
    const unsigned takes = (vm__vnet_has(s, NET_F_GUEST_CSUM) ? VM_NET_TAKES_CSUM : 0u) |
                           (vm__vnet_has(s, NET_F_GUEST_TSO4) ? VM_NET_TAKES_TSO4 : 0u) |
                           (vm__vnet_has(s, NET_F_GUEST_TSO6) ? VM_NET_TAKES_TSO6 : 0u);
    vm__net_nic_takes(s->nic.net, takes);
    vm__net_flush(s->nic.net);
    vm__timer_arm(&s->more, vm__dev_now(dev));
    return VM_OK;
}

static const struct virtio_class net_class = {
    .type = 1,
    .config = net_config,
    .config_size = CONFIG_SIZE,
    .config_written = net_config_written,
    .notify = net_notify,
    .negotiated = net_negotiated,
    .reset = net_queue_reset,
};

static const struct vm_pci_function function = VM_VIRTIO_FUNCTION(0x1000, 1, 0x020000);

static const struct vm_prop props[] = {
    VM_VIRTIO_PROPS(virtio_net),
    VM_NIC_PROPS(virtio_net),
    { "queues", "pairs of queues the guest may use", VM_PROP_UINT(virtio_net, pairs), .value = "1",
      .min = 1, .max = NET_PAIRS_MOST },
    { "host_mtu", "MTU the guest is told; 0: none", VM_PROP_UINT(virtio_net, mtu), .max = 65535 },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_VIRTIO_FIELD(virtio_net),          VM_FIELD_BYTES(virtio_net, mac, 1),
    VM_FIELD(virtio_net, status, 1),      VM_FIELD(virtio_net, active, 1),
    VM_FIELD(virtio_net, promisc, 1),     VM_FIELD(virtio_net, allmulti, 1),
    VM_FIELD(virtio_net, alluni, 1),      VM_FIELD(virtio_net, nomulti, 1),
    VM_FIELD(virtio_net, nouni, 1),       VM_FIELD(virtio_net, nobcast, 1),
    VM_FIELD(virtio_net, n_unicast, 1),   VM_FIELD(virtio_net, n_multicast, 1),
    VM_FIELD(virtio_net, too_many, 1),    VM_FIELD_BYTES(virtio_net, macs, 1),
    VM_FIELD_BYTES(virtio_net, vlans, 1), { 0 },
};

const struct vm_dev_class vm__virtio_net_class = {
    .name = "virtio-net-pci",
    .summary = "virtio network device",
    .spec = "OASIS virtio 1.2 §5.1",
    .bus = VM_BUS_PCI,
    .state_size = sizeof(struct virtio_net),
    .windows = vm__virtio_windows,
    .props = props,
    .fields = fields,
    .realize = net_realize,
    .unrealize = net_unrealize,
    .reset = net_reset,
    .post_load = net_post_load,
    .pci = &function,
    .extra = &net_class,
};
