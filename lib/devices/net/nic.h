/* SPDX-License-Identifier: MIT */
/**
 * @file nic.h
 * What every PCI network card has: a cable, an address, a boot ROM, and their properties.
 */
#ifndef LIBVM_DEVICES_NET_NIC_H
#define LIBVM_DEVICES_NET_NIC_H

#include "core/net.h"
#include "devices/pci/pci.h"

enum { VM_NIC_PAD = 60 /* the least a cable carries, without its checksum */ };

struct vm_nic {
    const char *netdev, *mac_text, *romfile; /* properties */
    uint32_t bootindex;
    uint8_t mac[VM_NET_MAC];
    struct vm_net *net;
    struct vm_region *rom; /* NULL: none */
};

/** Rows of a card's property table; @p s has a struct vm_nic called nic. */
#define VM_NIC_PROPS(s)                                                                            \
    { "netdev", "network the card is plugged into", VM_PROP_STR(s, nic.netdev) },                  \
        { "mac", "address; 52:54:00:12:34:56 and upward", VM_PROP_STR(s, nic.mac_text) },          \
        { "romfile", "boot ROM, or none", VM_PROP_STR(s, nic.romfile) },                           \
    {                                                                                              \
        "bootindex", "place in the boot order, from 0", VM_PROP_UINT(s, nic.bootindex),            \
            .value = "4294967295"                                                                  \
    }

/**
 * In realize(): address, cable, ROM.
 * @param rom file of the package ipxe-qemu
 */
int vm__nic_init(struct vm_dev *dev, struct vm_nic *nic, const char *rom,
                 const struct vm_net_nic_ops *ops);
void vm__nic_fini(struct vm_nic *nic);

static inline bool vm__nic_is_broadcast(const uint8_t *mac)
{
    return (mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5]) == 0xff;
}

#endif
