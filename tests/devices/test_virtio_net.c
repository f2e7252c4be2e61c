/* SPDX-License-Identifier: MIT */
/**
 * @file test_virtio_net.c
 * The virtio network device: frames both ways, and the control queue.
 */
#include <criterion/criterion.h>

#include "core/net.h"
#include "devices/virtio_driver.h"

enum { HEADER_AT = 0x30000, DATA_AT = 0x31000, ACK_AT = 0x32000, STEP = 0x4000, SIZE = 16 };

#define V1      (UINT64_C(1) << 32)
#define MRG     (UINT64_C(1) << 15)
#define CTRL    (UINT64_C(1) << 17)
#define CTRL_RX (UINT64_C(1) << 18)

static struct fake_machine f;
static struct drv d;
static struct vm_net *net;
static unsigned n_sent;
static size_t sent_len;
static uint8_t sent[2048];

static bool host_send(void *opaque, const struct vm_net_frame *frame)
{
    (void)opaque;
    n_sent++;
    sent_len = frame->len;
    memcpy(sent, vm__net_flat(net, frame), frame->len < sizeof sent ? frame->len : sizeof sent);
    return true;
}

static const struct vm_net_host_ops host = { .send = host_send };

static void setup(void)
{
    fake_init(&f);
    vm__lock(f.m);
    net = vm__net_new(f.m, "n0");
    vm__net_attach_host(net, &host, NULL, 0);
    vm__unlock(f.m);
    drv_make(&d, &f, &vm__virtio_net_class, "netdev", "n0", "romfile", "none", NULL);
    n_sent = 0;
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(virtio_net, .init = setup, .fini = teardown);

static uint8_t *ram(uint64_t gpa)
{
    return vm__region_host(f.ram) + gpa;
}

/** Rings of queue @p n: descriptors, available, used; as drv_start() lays out queue 0. */
static uint64_t rings(unsigned n)
{
    return DRV_RINGS + 0x8000 + (uint64_t)n * STEP;
}

static void common(uint32_t off, unsigned size, uint64_t v)
{
    fake_write(&f, DRV_COMMON + off, size, v);
}

/** All three queues, by hand: the driver of the other tests runs only the first. */
static void start(uint64_t features)
{
    common(0x14, 1, 0);
    common(0x14, 1, 3);
    common(0x08, 4, 0);
    common(0x0c, 4, (uint32_t)features);
    common(0x08, 4, 1);
    common(0x0c, 4, features >> 32);
    common(0x14, 1, 0x0b);
    cr_assert(fake_read(&f, DRV_COMMON + 0x14, 1) & 8);
    for (unsigned n = 0; n < 3; n++) {
        common(0x16, 2, n);
        common(0x18, 2, SIZE);
        common(0x20, 8, rings(n));
        common(0x28, 8, rings(n) + 0x1000);
        common(0x30, 8, rings(n) + 0x2000);
        common(0x1c, 2, 1);
    }
    common(0x14, 1, 0x0f);
}

static unsigned next_desc[3], next_avail[3];

static void add(unsigned queue, const struct drv_buf *buf, unsigned n)
{
    uint8_t *avail = ram(rings(queue) + 0x1000);
    const unsigned first = next_desc[queue];
    for (unsigned i = 0; i < n; i++) {
        uint8_t *e = ram(rings(queue)) + 16 * (first + i);
        vm_put_le64(e, buf[i].gpa);
        vm_put_le32(e + 8, buf[i].len);
        vm_put_le16(e + 12, (uint16_t)(buf[i].flags | (i + 1 < n ? DRV_NEXT : 0)));
        vm_put_le16(e + 14, (uint16_t)(first + i + 1));
    }
    next_desc[queue] += n;
    vm_put_le16(avail + 4 + 2 * (next_avail[queue]++ % SIZE), (uint16_t)first);
    vm_put_le16(avail + 2, (uint16_t)next_avail[queue]);
    fake_write(&f, DRV_NOTIFY + 4 * queue, 2, queue);
}

static unsigned used(unsigned queue)
{
    return vm_le16(ram(rings(queue) + 0x2002));
}

static void begin(uint64_t features)
{
    memset(next_desc, 0, sizeof next_desc);
    memset(next_avail, 0, sizeof next_avail);
    start(V1 | features);
}

Test(virtio_net, a_frame_goes_out)
{
    begin(0);
    memset(ram(HEADER_AT), 0, 12);
    memset(ram(DATA_AT), 0xff, 60);
    memcpy(ram(DATA_AT) + 14, "hello, network", 14);
    const struct drv_buf bufs[] = { { HEADER_AT, 12, 0 }, { DATA_AT, 60, 0 } };
    add(1, bufs, 2);
    cr_assert_eq(n_sent, 1);
    cr_assert_eq(sent_len, 60);
    cr_assert_arr_eq(sent, ram(DATA_AT), 60);
    cr_assert_eq(used(1), 1);
}

Test(virtio_net, a_frame_comes_in_pieces_where_buffers_are_merged)
{
    uint8_t frame[300];
    begin(MRG);
    for (unsigned i = 0; i < sizeof frame; i++)
        frame[i] = (uint8_t)i;
    for (unsigned i = 0; i < 3; i++) {
        const struct drv_buf buf = { DATA_AT + 0x100 * i, 128, DRV_WRITE };
        add(0, &buf, 1);
    }
    vm__lock(f.m);
    cr_assert(vm__net_deliver_buf(net, frame, sizeof frame, 0));
    vm__unlock(f.m);
    cr_assert_eq(used(0), 3);
    cr_assert_eq(vm_le16(ram(DATA_AT + 10)), 3, "num_buffers");
    cr_assert_arr_eq(ram(DATA_AT + 12), frame, 116);
    cr_assert_arr_eq(ram(DATA_AT + 0x100), frame + 116, 128);
    cr_assert_arr_eq(ram(DATA_AT + 0x200), frame + 244, 56);
}

Test(virtio_net, a_frame_waits_for_buffers)
{
    uint8_t frame[60] = "wait";
    begin(0);
    vm__lock(f.m);
    cr_assert(vm__net_deliver_buf(net, frame, sizeof frame, 0));
    vm__unlock(f.m);
    cr_assert_eq(used(0), 0);
    const struct drv_buf buf = { DATA_AT, 2048, DRV_WRITE };
    add(0, &buf, 1);
    cr_assert_eq(used(0), 1);
    cr_assert_arr_eq(ram(DATA_AT + 12), frame, 60);
}

static uint8_t control(uint8_t cls, uint8_t command, const void *data, uint32_t len)
{
    ram(HEADER_AT)[0] = cls;
    ram(HEADER_AT)[1] = command;
    memcpy(ram(DATA_AT), data, len);
    ram(ACK_AT)[0] = 0xaa;
    const struct drv_buf bufs[] = { { HEADER_AT, 2, 0 },
                                    { DATA_AT, len, 0 },
                                    { ACK_AT, 1, DRV_WRITE } };
    const unsigned before = used(2);
    add(2, bufs, 3);
    cr_assert_eq(used(2), before + 1, "the command is not answered");
    return ram(ACK_AT)[0];
}

#define EVENT_IDX (UINT64_C(1) << 29)

/** Where the driver is asked to notify: the event index behind the used ring. */
static unsigned avail_event(unsigned queue)
{
    return vm_le16(ram(rings(queue) + 0x2004 + 8 * SIZE));
}

Test(virtio_net, notifications_are_asked_for_where_the_driver_counts_them)
{
    begin(CTRL | CTRL_RX | EVENT_IDX);
    cr_assert_eq(control(0, 0, "\0", 1), 0);
    cr_assert_eq(avail_event(2), 1);
    memset(ram(HEADER_AT), 0, 12);
    const struct drv_buf bufs[] = { { HEADER_AT, 12, 0 }, { DATA_AT, 60, 0 } };
    add(1, bufs, 2);
    cr_assert_eq(avail_event(1), 1);
}

static bool comes(const uint8_t *mac)
{
    uint8_t frame[60] = { 0 };
    const unsigned before = used(0);
    memcpy(frame, mac, 6);
    const struct drv_buf buf = { DATA_AT + 0x800, 256, DRV_WRITE };
    if (next_avail[0] == used(0))
        add(0, &buf, 1);
    vm__lock(f.m);
    cr_assert(vm__net_deliver_buf(net, frame, sizeof frame, 0));
    vm__unlock(f.m);
    return used(0) != before;
}

Test(virtio_net, the_control_queue_says_what_is_received)
{
    static const uint8_t own[] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
    static const uint8_t other[] = { 0x52, 0x54, 0, 0x12, 0x34, 0x99 };
    static const uint8_t group[] = { 0x01, 0, 0x5e, 0, 0, 0xfb };
    uint8_t table[4 + 4 + 6] = { 0, 0, 0, 0, 1, 0, 0, 0 };
    begin(CTRL | CTRL_RX);
    cr_assert(comes(other), "at first everything passes");
    cr_assert_eq(control(0, 0, "\0", 1), 0);
    cr_assert(comes(own));
    cr_assert_not(comes(other));
    cr_assert_not(comes(group));
    memcpy(table + 8, group, 6);
    cr_assert_eq(control(1, 0, table, sizeof table), 0);
    cr_assert(comes(group));
    cr_assert_eq(control(0, 0, "\1", 1), 0);
    cr_assert(comes(other));
    cr_assert_eq(control(9, 0, "\0", 1), 1, "no such class");
    cr_assert_eq(control(1, 0, "\377\377\377\377", 4), 1, "a table that is not there");
}
