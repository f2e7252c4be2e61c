/* SPDX-License-Identifier: MIT */
/**
 * @file test_net.c
 * Cables: who gets what when; and what is done to packets on the way.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/endian.h"
#include "core/net_backend.h"
#include "core/net_packet.h"
#include "support/fake_machine.h"

enum { PAYLOAD = 3000, TCP_FRAME = 14 + 20 + 20 + PAYLOAD };

static struct fake_machine f;
static struct vm_net *net;
static unsigned n_card, n_host, n_room, n_writable;
static bool card_full, host_full, is_up;
static size_t last_len;
static uint8_t last[4096];
static struct vm_net_meta last_meta;

static void keep(const struct vm_net_frame *frame)
{
    size_t at = 0;
    for (uint32_t i = 0; i < frame->n_iov; i++) {
        cr_assert_leq(at + frame->iov[i].len, sizeof last);
        memcpy(last + at, frame->iov[i].base, frame->iov[i].len);
        at += frame->iov[i].len;
    }
    last_len = frame->len;
    last_meta = frame->meta;
    cr_assert_eq(at, last_len);
}

static bool card_receive(void *opaque, const struct vm_net_frame *frame)
{
    (void)opaque;
    if (card_full)
        return false;
    n_card++;
    keep(frame);
    return true;
}

static void card_link(void *opaque, bool up)
{
    (void)opaque;
    is_up = up;
}

static void card_writable(void *opaque)
{
    (void)opaque;
    n_writable++;
}

static bool host_send(void *opaque, const struct vm_net_frame *frame)
{
    (void)opaque;
    if (host_full)
        return false;
    n_host++;
    keep(frame);
    return true;
}

static void host_room(void *opaque)
{
    (void)opaque;
    n_room++;
}

static const struct vm_net_nic_ops card = { card_receive, card_link, card_writable };
static const struct vm_net_host_ops host = { .send = host_send, .room = host_room };
static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static void setup(void)
{
    fake_init(&f);
    vm__lock(f.m);
    net = vm__net_new(f.m, "n0");
    cr_assert_not_null(net);
    vm__net_attach_host(net, &host, NULL, 0);
    cr_assert_eq(vm__net_attach_nic(f.m, "n0", "card0", mac, &card, NULL), net);
    n_card = n_host = n_room = n_writable = 0;
    card_full = host_full = false;
}

static void teardown(void)
{
    vm__unlock(f.m);
    fake_fini(&f);
}

TestSuite(net, .init = setup, .fini = teardown);

static bool send_bytes(const void *bytes, size_t len, struct vm_net_meta meta)
{
    const struct vm_iov iov[2] = { { (void *)(uintptr_t)bytes, 7 },
                                   { (char *)(uintptr_t)bytes + 7, len - 7 } };
    const struct vm_net_frame frame = { iov, 2, len, meta };
    return vm__net_send(net, &frame);
}

static const uint8_t small[60] = "abcdefghijklmnopqrstuvwxyz";

Test(net, both_ends_get_what_the_other_sends)
{
    cr_assert(send_bytes(small, 60, (struct vm_net_meta) { 0 }));
    cr_assert_eq(n_host, 1);
    cr_assert_arr_eq(last, small, 60);
    cr_assert(vm__net_deliver_buf(net, small, 20, 0));
    cr_assert_eq(n_card, 1);
    cr_assert_eq(last_len, 20);
    cr_assert(vm__net_deliver_buf(net, small, 13, 0), "no frame is so short");
    cr_assert_eq(n_card, 1);
}

Test(net, a_full_host_is_offered_it_again)
{
    host_full = true;
    cr_assert(send_bytes(small, 60, (struct vm_net_meta) { 0 }), "one is kept");
    cr_assert_not(send_bytes(small, 60, (struct vm_net_meta) { 0 }), "then it says no");
    cr_assert_eq(n_host, 0);
    host_full = false;
    vm__net_ready(net);
    cr_assert_eq(n_host, 1);
    cr_assert_eq(n_writable, 1);
}

Test(net, a_full_card_is_offered_it_again_and_the_queue_is_bounded)
{
    unsigned taken = 0;
    card_full = true;
    while (vm__net_deliver_buf(net, small, 60, 0)) {
        taken++;
        cr_assert_leq(taken, VM_NET_QUEUE_FRAMES);
    }
    card_full = false;
    vm__net_accept(net);
    cr_assert_eq(n_card, taken);
    cr_assert_eq(n_room, 1);
    cr_assert(vm__net_deliver_buf(net, small, 60, 0));
}

Test(net, a_cable_that_is_out_carries_nothing)
{
    is_up = true;
    vm__net_set_link(net, false);
    cr_assert_not(is_up);
    cr_assert(send_bytes(small, 60, (struct vm_net_meta) { 0 }));
    cr_assert(vm__net_deliver_buf(net, small, 60, 0));
    cr_assert_eq(n_card + n_host, 0);
    vm__net_set_link(net, true);
    cr_assert(is_up);
    cr_assert(vm__net_deliver_buf(net, small, 60, 0));
    cr_assert_eq(n_card, 1);
}

Test(net, names_and_addresses_are_checked)
{
    uint8_t a[6];
    cr_assert_eq(vm__net_mac(f.m, NULL, a), VM_OK);
    cr_assert_arr_eq(a, mac, 6);
    cr_assert_eq(vm__net_mac(f.m, NULL, a), VM_OK);
    cr_assert_eq(a[5], 0x57);
    cr_assert_eq(vm__net_mac(f.m, "02:00:5e:10:00:ff", a), VM_OK);
    cr_assert_eq(a[5], 0xff);
    cr_assert_eq(vm__net_mac(f.m, "02:00:5e:10:00", a), VM_E_INVAL);
    cr_assert_eq(vm__net_mac(f.m, "01:00:5e:10:00:ff", a), VM_E_INVAL);
    cr_assert_null(vm__net_new(f.m, "n0"));
    cr_assert_null(vm__net_attach_nic(f.m, "n0", "other", mac, &card, NULL));
    cr_assert_null(vm__net_attach_nic(f.m, "n9", "other", mac, &card, NULL));
    cr_assert_eq(vm__net_add(f.m, "usr,id=x"), VM_E_NOENT);
    cr_assert_eq(vm__net_add(f.m, "callback,id=c0,colour=red"), VM_E_NOENT);
    cr_assert_eq(vm__net_add(f.m, "callback,id=c0"), VM_OK);
    cr_assert_eq(vm__net_remove(f.m, "c0"), VM_OK);
    cr_assert_eq(vm__net_remove(f.m, "c0"), VM_E_NOENT);
    cr_assert_eq(vm__net_remove(f.m, "n0"), VM_OK, "the card keeps an end that leads nowhere");
    cr_assert(send_bytes(small, 60, (struct vm_net_meta) { 0 }));
    cr_assert_eq(n_host, 0);
}

/* ---- packets ------------------------------------------------------------------------------ */

static uint8_t packet[TCP_FRAME];

/** TCP over IPv4 with PAYLOAD bytes; lengths, no sums. */
static void make_packet(void)
{
    memset(packet, 0, sizeof packet);
    memcpy(packet, mac, 6);
    vm_put_be16(packet + 12, 0x0800);
    uint8_t *ip = packet + 14, *tcp = ip + 20;
    ip[0] = 0x45;
    vm_put_be16(ip + 2, 40 + PAYLOAD);
    vm_put_be16(ip + 4, 0xfffe);
    ip[8] = 64;
    ip[9] = 6;
    vm_put_be32(ip + 12, 0x0a00020f);
    vm_put_be32(ip + 16, 0x0a000202);
    vm_put_be32(tcp + 4, 0xfffffff0);
    tcp[12] = 0x50;
    tcp[13] = 0x19; /* FIN, PSH, ACK */
    for (int i = 0; i < PAYLOAD; i++)
        tcp[20 + i] = (uint8_t)(i * 7);
}

static void expect_good(void)
{
    struct vm_net_packet p;
    cr_assert(vm__net_parse(last, last_len, &p));
    cr_assert_eq(p.proto, 6);
    cr_assert(vm__net_l3_ok(last, &p));
    cr_assert(vm__net_l4_ok(last, &p));
}

Test(net, sums_by_the_example_of_the_rfc)
{
    static const uint8_t rfc[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
    cr_assert_eq(vm__net_fold(vm__net_sum(rfc, 8, 0)), (uint16_t)~0xddf2);
    uint32_t plain = 0; /* any length and place gives what adding words does */
    for (unsigned i = 0; i < sizeof packet; i++)
        packet[i] = (uint8_t)(i * 37 + (i >> 5));
    for (unsigned n = 1; n < 200; n++) {
        plain = 0;
        for (unsigned i = 0; i < n; i++)
            plain += (uint32_t)packet[3 + i] << (i & 1 ? 0 : 8);
        cr_assert_eq(vm__net_fold(vm__net_sum(packet + 3, n, 0)), vm__net_fold(plain), "%u", n);
    }
}

Test(net, a_sum_that_was_asked_for_is_completed_for_a_host_that_does_not)
{
    struct vm_net_meta meta;
    make_packet();
    vm__net_request(packet, sizeof packet, true, true, 0, &meta);
    cr_assert_eq(meta.flags, VM_NET_NEEDS_CSUM);
    cr_assert(send_bytes(packet, sizeof packet, meta));
    cr_assert_eq(n_host, 1);
    cr_assert_eq(last_meta.flags, VM_NET_CSUM_OK);
    expect_good();
    last[14 + 40 + 5] ^= 1;
    struct vm_net_packet p;
    cr_assert(vm__net_parse(last, last_len, &p));
    cr_assert_not(vm__net_l4_ok(last, &p), "and it is a real sum");
}

static unsigned n_segments;
static size_t n_bytes;

static bool check_segment(void *opaque, const struct vm_net_frame *frame)
{
    (void)opaque;
    keep(frame);
    expect_good();
    const uint8_t *tcp = last + 34;
    cr_assert_eq(vm_be32(tcp + 4), (uint32_t)(0xfffffff0 + n_bytes));
    cr_assert_eq(vm_be16(last + 18), (uint16_t)(0xfffe + n_segments));
    const size_t size = last_len - 54;
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(tcp[20 + i], (uint8_t)((n_bytes + i) * 7));
    n_bytes += size;
    n_segments++;
    const bool at_end = n_bytes == PAYLOAD;
    cr_assert_eq(tcp[13], at_end ? 0x19 : 0x10, "FIN and PSH are the last one's");
    return true;
}

static const struct vm_net_host_ops checker = { .send = check_segment };

Test(net, a_packet_is_cut_for_a_host_that_does_not_take_it_whole)
{
    struct vm_net_meta meta;
    make_packet();
    vm__net_attach_host(net, &checker, NULL, VM_NET_TAKES_CSUM);
    vm__net_request(packet, sizeof packet, true, true, 1460, &meta);
    cr_assert_eq(meta.gso, VM_NET_GSO_TCP4);
    n_segments = 0;
    n_bytes = 0;
    cr_assert(send_bytes(packet, sizeof packet, meta));
    cr_assert_eq(n_segments, 3);
    cr_assert_eq(n_bytes, PAYLOAD);
    vm__net_attach_host(net, &host, NULL, VM_NET_TAKES_CSUM | VM_NET_TAKES_TSO4);
    cr_assert(send_bytes(packet, sizeof packet, meta));
    cr_assert_eq(last_len, sizeof packet, "and goes whole to one that does");
}

Test(net, hash_of_multicast_addresses)
{
    /* The upper six bits of the remainder, computed from its other end. */
    static const uint8_t all[6] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x01 };
    uint32_t crc = UINT32_MAX;
    for (unsigned i = 0; i < 6; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            const uint32_t carry = (crc >> 31) ^ (all[i] >> bit & 1);
            crc = crc << 1 ^ (carry ? UINT32_C(0x04c11db7) : 0);
        }
    cr_assert_eq(vm__net_hash64(all), crc >> 26);
}
