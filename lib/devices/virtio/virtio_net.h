/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_net.h
 * Between the files of the virtio network device.
 */
#ifndef LIBVM_DEVICES_VIRTIO_VIRTIO_NET_H
#define LIBVM_DEVICES_VIRTIO_VIRTIO_NET_H

#include "devices/net/nic.h"
#include "devices/virtio/virtio.h"

/* Features [VIRTIO-1.2 §5.1.3], as bits. */
enum {
    NET_F_CSUM = 0,
    NET_F_GUEST_CSUM = 1,
    NET_F_MTU = 3,
    NET_F_MAC = 5,
    NET_F_GUEST_TSO4 = 7,
    NET_F_GUEST_TSO6 = 8,
    NET_F_HOST_TSO4 = 11,
    NET_F_HOST_TSO6 = 12,
    NET_F_MRG_RXBUF = 15,
    NET_F_STATUS = 16,
    NET_F_CTRL_VQ = 17,
    NET_F_CTRL_RX = 18,
    NET_F_CTRL_VLAN = 19,
    NET_F_CTRL_RX_EXTRA = 20,
    NET_F_GUEST_ANNOUNCE = 21,
    NET_F_MQ = 22,
    NET_F_CTRL_MAC_ADDR = 23,
};
#define NET_BIT(f) (UINT64_C(1) << (f))

enum {
    NET_PAIRS_MOST = 16,
    NET_QUEUE_SIZE = 256,
    NET_MACS = 64, /* of the filter; more: everything passes */
    NET_STATUS_LINK = 1,
    NET_STATUS_ANNOUNCE = 2,
};

struct virtio_net {
    struct virtio v;
    struct vm_nic nic;
    uint32_t pairs, mtu; /* properties */

    uint8_t mac[VM_NET_MAC];
    uint16_t status;
    uint16_t active; /* pairs in use */
    uint8_t promisc, allmulti, alluni, nomulti, nouni, nobcast;
    uint16_t n_unicast, n_multicast;
    uint8_t too_many; /* bit 0: unicast, bit 1: multicast addresses did not fit */
    uint8_t macs[2 * NET_MACS * VM_NET_MAC]; /* unicast, then multicast */
    uint8_t vlans[4096 / 8];

    /* Not saved. */
    struct vm_timer more; /* goes on sending */
    uint8_t *frame;       /* VM_NET_FRAME_MAX bytes */
    struct virtq_chain tx, ctrl, rx[VIRTQ_TOGETHER];
    bool sending, receiving;
};

static inline bool vm__vnet_has(const struct virtio_net *s, unsigned f)
{
    return vm__virtio_has(&s->v, NET_BIT(f));
}

/** Bytes before every frame. */
static inline uint32_t vm__vnet_header(const struct virtio_net *s)
{
    return vm__vnet_has(s, NET_F_MRG_RXBUF) || vm__virtio_has(&s->v, VIRTIO_F_VERSION_1) ? 12 : 10;
}

/* virtio_net_data.c */
void vm__vnet_transmit(struct vm_dev *dev, struct virtq *q);
bool vm__vnet_receive(void *opaque, const struct vm_net_frame *f);

/* virtio_net_ctrl.c */
void vm__vnet_control(struct vm_dev *dev, struct virtq *q);
void vm__vnet_filter_reset(struct virtio_net *s);
/** The frame is for this guest. */
bool vm__vnet_wants(const struct virtio_net *s, const uint8_t *frame, size_t len);

#endif
