/* SPDX-License-Identifier: MIT */
/**
 * @file net_packet.h
 * What cards and cables do to packets: Internet checksums, cutting into segments.
 *
 * Spec: [RFC1071] the checksum; [RFC791], [RFC8200], [RFC9293] the headers.
 * The bytes are the guest's or the network's: nothing in them is trusted.
 */
#ifndef LIBVM_CORE_NET_PACKET_H
#define LIBVM_CORE_NET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/net.h"

/** The sum of 16-bit words, not yet complemented; @p sum goes on from before (at an even offset).
 */
uint32_t vm__net_sum(const void *p, size_t len, uint32_t sum);
/** Folded and complemented, in network order when stored with vm_put_be16(). */
uint16_t vm__net_fold(uint32_t sum);

/** Where the headers of a TCP or UDP packet lie. */
struct vm_net_packet {
    uint16_t l3, l4;  /**< offsets of the IP and of the TCP or UDP header */
    uint16_t payload; /**< offset of what follows */
    bool ip6;
    uint8_t proto; /**< 6 TCP, 17 UDP, others */
    bool fragment; /**< a part of a packet: its sum cannot be told */
    size_t end;    /**< where the IP packet ends; a short frame is padded */
};
/** False: it is no IP packet, or its headers are cut off. l4 is valid for TCP and UDP only. */
bool vm__net_parse(const uint8_t *frame, size_t len, struct vm_net_packet *p);

/** The checksum field of TCP or UDP is right, or there is none. */
bool vm__net_l4_ok(const uint8_t *frame, const struct vm_net_packet *p);
/** The IPv4 header's. */
bool vm__net_l3_ok(const uint8_t *frame, const struct vm_net_packet *p);

/** Complete the checksum that @p meta asks for, in place. */
void vm__net_complete(uint8_t *frame, size_t len, const struct vm_net_meta *meta);

/**
 * A card's request "compute checksums", "cut into segments of @p mss bytes", put into the form
 * that travels: lengths, IP checksum and the pseudo-header's sum are written into the frame.
 * @param mss 0: no cutting
 */
void vm__net_request(uint8_t *frame, size_t len, bool ip_sum, bool l4_sum, uint32_t mss,
                     struct vm_net_meta *meta);

/**
 * Cut a TCP packet into segments, each complete with its checksums.
 * @param emit  gets one segment, valid during the call
 * @return false: it is no such packet
 */
bool vm__net_segment(const uint8_t *frame, size_t len, const struct vm_net_meta *meta,
                     void (*emit)(void *opaque, const uint8_t *frame, size_t len), void *opaque);

/** Bit of a 64-bit multicast filter: the upper six bits of the address's Ethernet CRC. */
unsigned vm__net_hash64(const uint8_t mac[VM_NET_MAC]);
/** Ethernet's CRC-32, least significant bit first, as it is at the end of a frame. */
uint32_t vm__net_crc(const void *p, size_t len);

#endif
