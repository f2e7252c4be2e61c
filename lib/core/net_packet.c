/* SPDX-License-Identifier: MIT */
/**
 * @file net_packet.c
 * Checksums and segments. See net_packet.h.
 */
#include "core/net_packet.h"

#include <string.h>

#include "base/endian.h"

enum {
    ETHER = 14,
    ETHER_VLAN = 0x8100,
    ETHER_QINQ = 0x88a8,
    ETHER_IP4 = 0x0800,
    ETHER_IP6 = 0x86dd,
    VLAN_TAGS = 2,

    IP_FLAGS_FRAGMENT = 0x3fff, /* more fragments, or an offset */
    PROTO_TCP = 6,
    PROTO_UDP = 17,

    TCP_FLAGS = 13, /* offset in its header */
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_CWR = 0x80,
    TCP_SUM = 16,
    UDP_SUM = 6,

    HEADERS_MOST = 256, /* link, IP and TCP with all their options */
    SEGMENT_LEAST = 48, /* a guest's smaller wish would be a storm of segments */
};

/* ---- sums --------------------------------------------------------------------------------- */

/** The order of bytes does not matter to the sum of 16-bit words but for a swap at the end
 *  [RFC1071 §2 (B)], so that it runs over the host's words, eight bytes at a time. */
uint32_t vm__net_sum(const void *p, size_t len, uint32_t sum)
{
    const uint8_t *at = p;
    uint64_t a = 0, b = 0;
    for (; len >= 16; len -= 16, at += 16) {
        const uint64_t x = vm_le64(at), y = vm_le64(at + 8);
        a += (x & UINT32_MAX) + (y & UINT32_MAX);
        b += (x >> 32) + (y >> 32);
    }
    for (; len >= 2; len -= 2, at += 2)
        a += vm_le16(at);
    if (len != 0)
        a += *at;
    a = (a & UINT32_MAX) + (a >> 32) + (b & UINT32_MAX) + (b >> 32);
    while (a >> 16)
        a = (a & 0xffff) + (a >> 16);
    return sum + __builtin_bswap16((uint16_t)a);
}

uint16_t vm__net_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* ---- headers ------------------------------------------------------------------------------ */

static bool parse_ip4(const uint8_t *f, size_t len, struct vm_net_packet *p)
{
    if (len - p->l3 < 20)
        return false;
    const uint8_t *ip = f + p->l3;
    const unsigned header = (ip[0] & 0xfu) * 4u;
    const size_t total = vm_be16(ip + 2);
    if (ip[0] >> 4 != 4 || header < 20 || header > len - p->l3)
        return false;
    p->proto = ip[9];
    p->fragment = (vm_be16(ip + 6) & IP_FLAGS_FRAGMENT) != 0;
    p->l4 = (uint16_t)(p->l3 + header);
    p->end = total >= header && total <= len - p->l3 ? p->l3 + total : len;
    return true;
}

static bool parse_ip6(const uint8_t *f, size_t len, struct vm_net_packet *p)
{
    if (len - p->l3 < 40 || f[p->l3] >> 4 != 6)
        return false;
    const size_t payload = vm_be16(f + p->l3 + 4);
    p->ip6 = true;
    p->proto = f[p->l3 + 6]; /* extension headers: neither TCP nor UDP, left alone */
    p->l4 = (uint16_t)(p->l3 + 40);
    p->end = payload != 0 && payload <= len - p->l4 ? p->l4 + payload : len;
    return true;
}

static void parse_l4(const uint8_t *f, struct vm_net_packet *p)
{
    const size_t room = p->end - p->l4;
    size_t header = 8;
    if (p->proto == PROTO_TCP && room >= 20)
        header = (size_t)(f[p->l4 + 12] >> 4) * 4;
    if ((p->proto == PROTO_TCP && (room < 20 || header < 20 || header > room)) ||
        (p->proto == PROTO_UDP && room < 8))
        p->proto = 0; /* cut off: nothing can be said of it */
    else if (p->proto == PROTO_TCP || p->proto == PROTO_UDP)
        p->payload = (uint16_t)(p->l4 + header);
}

bool vm__net_parse(const uint8_t *f, size_t len, struct vm_net_packet *p)
{
    *p = (struct vm_net_packet) { .l3 = ETHER };
    if (len < ETHER || len > VM_NET_FRAME_MAX)
        return false;
    uint16_t type = vm_be16(f + 12);
    for (unsigned i = 0; i < VLAN_TAGS && (type == ETHER_VLAN || type == ETHER_QINQ); i++) {
        if (len < p->l3 + 4u)
            return false;
        type = vm_be16(f + p->l3 + 2);
        p->l3 += 4;
    }
    const bool ok = type == ETHER_IP4   ? parse_ip4(f, len, p)
                    : type == ETHER_IP6 ? parse_ip6(f, len, p)
                                        : false;
    if (ok)
        parse_l4(f, p);
    return ok;
}

/** The pseudo-header of TCP and UDP over @p l4_len bytes. */
static uint32_t pseudo(const uint8_t *f, const struct vm_net_packet *p, size_t l4_len)
{
    const uint32_t sum = p->proto + (uint32_t)(l4_len & 0xffff) + (uint32_t)(l4_len >> 16);
    return p->ip6 ? vm__net_sum(f + p->l3 + 8, 32, sum) : vm__net_sum(f + p->l3 + 12, 8, sum);
}

bool vm__net_l4_ok(const uint8_t *f, const struct vm_net_packet *p)
{
    const size_t n = p->end - p->l4;
    if (p->proto == PROTO_UDP && !p->ip6 && vm_be16(f + p->l4 + UDP_SUM) == 0)
        return true;
    return vm__net_fold(vm__net_sum(f + p->l4, n, pseudo(f, p, n))) == 0;
}

bool vm__net_l3_ok(const uint8_t *f, const struct vm_net_packet *p)
{
    return p->ip6 || vm__net_fold(vm__net_sum(f + p->l3, (f[p->l3] & 0xfu) * 4u, 0)) == 0;
}

/* ---- what a card or a driver asks for ----------------------------------------------------- */

void vm__net_complete(uint8_t *f, size_t len, const struct vm_net_meta *meta)
{
    const size_t start = meta->csum_start, at = start + meta->csum_offset;
    if (!(meta->flags & VM_NET_NEEDS_CSUM) || start >= len || at + 2 > len)
        return;
    uint16_t sum = vm__net_fold(vm__net_sum(f + start, len - start, 0));
    if (sum == 0 && meta->csum_offset == UDP_SUM)
        sum = 0xffff; /* 0 says there is none */
    vm_put_be16(f + at, sum);
}

static void put_ip4_sum(uint8_t *ip)
{
    vm_put_be16(ip + 10, 0);
    vm_put_be16(ip + 10, vm__net_fold(vm__net_sum(ip, (ip[0] & 0xfu) * 4u, 0)));
}

/** Drivers leave the length out of a packet that is to be cut. */
static void put_length(uint8_t *f, size_t len, struct vm_net_packet *p)
{
    const size_t n = len - p->l3;
    if (p->ip6)
        vm_put_be16(f + p->l3 + 4, (uint16_t)(n - 40));
    else
        vm_put_be16(f + p->l3 + 2, (uint16_t)(n < 0xffff ? n : 0xffff));
    p->end = len;
}

void vm__net_request(uint8_t *f, size_t len, bool ip_sum, bool l4_sum, uint32_t mss,
                     struct vm_net_meta *meta)
{
    struct vm_net_packet p;
    *meta = (struct vm_net_meta) { 0 };
    if (!vm__net_parse(f, len, &p))
        return;
    const bool cut = mss != 0 && p.proto == PROTO_TCP && !p.fragment && len - p.payload > mss;
    if (mss != 0 && p.proto == PROTO_TCP)
        put_length(f, len, &p);
    if ((ip_sum || mss != 0) && !p.ip6)
        put_ip4_sum(f + p.l3);
    if ((!l4_sum && mss == 0) || p.fragment || (p.proto != PROTO_TCP && p.proto != PROTO_UDP))
        return;
    meta->flags = VM_NET_NEEDS_CSUM;
    meta->csum_start = p.l4;
    meta->csum_offset = p.proto == PROTO_TCP ? TCP_SUM : UDP_SUM;
    vm_put_be16(f + p.l4 + meta->csum_offset, (uint16_t)~vm__net_fold(pseudo(f, &p, p.end - p.l4)));
    if (!cut)
        return;
    meta->gso = p.ip6 ? VM_NET_GSO_TCP6 : VM_NET_GSO_TCP4;
    meta->gso_size = (uint16_t)(mss < 0xffff ? mss : 0xffff);
    meta->hdr_len = p.payload;
}

/* ---- segments ----------------------------------------------------------------------------- */

/** Make the headers in @p s those of segment @p n, @p size bytes of payload from @p off on. */
static void fix_headers(uint8_t *s, const struct vm_net_packet *p, unsigned n, size_t off,
                        size_t size, bool last)
{
    uint8_t *ip = s + p->l3, *tcp = s + p->l4;
    const size_t l4_len = p->payload - p->l4 + size;
    if (p->ip6) {
        vm_put_be16(ip + 4, (uint16_t)l4_len);
    } else {
        vm_put_be16(ip + 2, (uint16_t)(p->l4 - p->l3 + l4_len));
        vm_put_be16(ip + 4, (uint16_t)(vm_be16(ip + 4) + n));
        put_ip4_sum(ip);
    }
    vm_put_be32(tcp + 4, vm_be32(tcp + 4) + (uint32_t)off);
    if (!last)
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (n != 0)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    vm_put_be16(tcp + TCP_SUM, 0);
    const uint32_t sum = vm__net_sum(tcp, l4_len, pseudo(s, p, l4_len));
    vm_put_be16(tcp + TCP_SUM, vm__net_fold(sum));
}

bool vm__net_segment(const uint8_t *f, size_t len, const struct vm_net_meta *meta,
                     void (*emit)(void *opaque, const uint8_t *frame, size_t len), void *opaque)
{
    struct vm_net_packet p;
    uint8_t s[HEADERS_MOST + 0x10000];
    if (!vm__net_parse(f, len, &p) || p.proto != PROTO_TCP || p.payload > HEADERS_MOST ||
        p.end <= p.payload)
        return false;
    const size_t total = p.end - p.payload;
    const size_t most = meta->gso_size > SEGMENT_LEAST ? meta->gso_size : SEGMENT_LEAST;
    unsigned n = 0;
    for (size_t off = 0; off < total; n++) {
        const size_t left = total - off, size = left < most ? left : most;
        memcpy(s, f, p.payload);
        memcpy(s + p.payload, f + p.payload + off, size);
        fix_headers(s, &p, n, off, size, size == left);
        emit(opaque, s, p.payload + size);
        off += size;
    }
    return true;
}

/* ---- addresses ---------------------------------------------------------------------------- */

uint32_t vm__net_crc(const void *p, size_t len)
{
    const uint8_t *at = p;
    uint32_t crc = UINT32_MAX;
    for (; len != 0; len--) {
        crc ^= *at++;
        for (unsigned i = 0; i < 8; i++)
            crc = crc >> 1 ^ (UINT32_C(0xedb88320) & -(crc & 1));
    }
    return crc;
}

/** Filters number the bits of the remainder from its other end. */
unsigned vm__net_hash64(const uint8_t mac[VM_NET_MAC])
{
    uint32_t crc = vm__net_crc(mac, VM_NET_MAC);
    unsigned hash = 0;
    for (unsigned i = 0; i < 6; i++)
        hash = hash << 1 | (crc >> i & 1);
    return hash;
}
