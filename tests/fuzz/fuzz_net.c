/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_net.c
 * Drivers of network cards that break rules, and a network full of garbage.
 *
 *     fuzz_net [seed [accesses]]
 *
 * Every card sits at a hub with the others and with a user network: what one sends, all hear.
 * Registers get anything; rings are nearly right or garbage, and lie in RAM or in the cards' own
 * registers. The same seed gives the same run. It must come to its end, without a complaint of a
 * sanitizer, and without the process having grown.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/device_impl.h"
#include "core/field_io.h"
#include "core/net_backend.h"
#include "core/net_packet.h"
#include "core/run.h"
#include "devices/classes.h"
#include "devices/net/e1000.h"
#include "devices/pci/pci.h"

enum {
    CARDS = 4,
    GROWTH_LIMIT = 32 << 20,
    RINGS = 0x10000, /* of a card: every 0x8000; four of 0x2000 */
    BUFFERS = 0x80000,
    MMIO_STEP = 0x100000,
    IO_STEP = 0x100,
    IO = 0xc000,
    FRAME = 2048,
};
#define MMIO UINT32_C(0xd0000000)

struct fuzz {
    struct fake_machine f;
    struct vm_dev *host, *cards[CARDS];
    uint64_t random; /**< never 0 */
};

/** xorshift64*. */
static uint64_t next(struct fuzz *z)
{
    z->random ^= z->random >> 12;
    z->random ^= z->random << 25;
    z->random ^= z->random >> 27;
    return z->random * UINT64_C(2685821657736338717);
}

static uint64_t below(struct fuzz *z, uint64_t n)
{
    return next(z) % n;
}

/* ---- the board ---------------------------------------------------------------------------- */

static void config(struct fuzz *z, unsigned n, uint32_t reg, uint32_t v)
{
    fake_out32(&z->f, 0xcf8, 0x80000000u | (4 + n) << 11 | (reg & 0xfc));
    fake_out32(&z->f, 0xcfc, v);
}

/** Memory at MMIO + n * MMIO_STEP whichever BAR it is, ports at IO + n * IO_STEP. */
static void place(struct fuzz *z, unsigned n)
{
    const uint32_t mem = MMIO + n * MMIO_STEP, io = IO + n * IO_STEP;
    if (n < 2) {
        config(z, n, 0x10, io);
        config(z, n, 0x14, mem);
    } else if (n == 2) {
        config(z, n, 0x10, mem);
        config(z, n, 0x18, io);
    } else {
        config(z, n, 0x10, io);
        config(z, n, 0x14, mem + 0x80000);
        config(z, n, 0x20, mem);
        config(z, n, 0x24, 0);
    }
    config(z, n, 0x04, 7);
}

static void must(struct fuzz *z, const char *net)
{
    if (vm__net_add(z->f.m, net) != VM_OK) {
        fprintf(stderr, "%s: %s\n", net, vm_last_error()->message);
        exit(1);
    }
}

static void build(struct fuzz *z)
{
    static const struct vm_dev_class *const classes[CARDS] = { &vm__rtl8139_class,
                                                               &vm__rtl8139_class, &vm__e1000_class,
                                                               &vm__virtio_net_class };
    static const struct vm_setting settings[CARDS][4] = {
        { { "netdev", "n0" }, { "romfile", "none" }, { 0 } },
        { { "netdev", "n1" }, { "romfile", "none" }, { "cplus", "off" }, { 0 } },
        { { "netdev", "n2" }, { "romfile", "none" }, { 0 } },
        { { "netdev", "n3" }, { "romfile", "none" }, { "queues", "2" }, { 0 } },
    };
    fake_init(&z->f);
    z->host = vm__dev_new(z->f.m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(z->host);
    vm__lock(z->f.m);
    vm__pci_add(bus, z->host, 0);
    for (unsigned i = 0; i < CARDS; i++) {
        char text[64];
        snprintf(text, sizeof text, "hubport,hubid=0,id=n%u", i);
        must(z, text);
    }
    /* Built without libslirp there is no user network. */
    if (vm__net_add(z->f.m, "user,id=u0,restrict=on") == VM_OK)
        must(z, "hubport,hubid=0,id=h4,netdev=u0");
    for (unsigned i = 0; i < CARDS; i++) {
        z->cards[i] =
            vm__pci_add(bus, vm__dev_new(z->f.m, classes[i], NULL, settings[i]), (4 + i) << 3);
        if (z->cards[i] == NULL) {
            fprintf(stderr, "%s\n", vm_last_error()->message);
            exit(1);
        }
    }
    vm__pci_bus_reset(bus);
    vm__unlock(z->f.m);
    for (unsigned i = 0; i < CARDS; i++) {
        fake_reset(z->cards[i], VM_DEV_RESET_COLD);
        place(z, i);
    }
}

/* ---- values ------------------------------------------------------------------------------- */

/** RAM of the rings and buffers, mostly; else anything, the cards' own registers among it. */
static uint64_t some_gpa(struct fuzz *z)
{
    switch (below(z, 12)) {
    case 0:
        return MMIO + below(z, CARDS) * MMIO_STEP + (below(z, 0x6000) & ~UINT64_C(3));
    case 1:
        return next(z);
    case 2:
        return FAKE_RAM_BYTES - below(z, 64);
    default:
        return BUFFERS + below(z, 0x70000);
    }
}

static uint64_t some_value(struct fuzz *z)
{
    switch (below(z, 5)) {
    case 0:
        return below(z, 16);
    case 1:
        return UINT64_C(1) << below(z, 32);
    case 2:
        return some_gpa(z);
    case 3:
        return RINGS + below(z, 0x20) * 0x1000;
    default:
        return next(z);
    }
}

static void reg(struct fuzz *z, unsigned card, uint32_t off, unsigned size, uint64_t v)
{
    fake_write(&z->f, MMIO + card * MMIO_STEP + off, size, v);
}

/* ---- drivers that nearly keep the rules --------------------------------------------------- */

static void bytes(struct fuzz *z, uint64_t gpa, unsigned size, uint64_t v)
{
    uint8_t b[8];
    vm_put_le_n(b, size, v);
    (void)vm__mem_write(z->f.m, gpa, b, size);
}

static uint32_t ring(unsigned card, unsigned n)
{
    return RINGS + card * 0x8000u + n * 0x2000u;
}

static void drive_rtl(struct fuzz *z, unsigned card)
{
    if (below(z, 8) == 0) {
        reg(z, card, 0xe0, 2, card == 0 ? below(z, 128) : 0);
        reg(z, card, 0x30, 4, ring(card, 2));
        reg(z, card, 0x20, 4, ring(card, 0));
        reg(z, card, 0x24, 4, 0);
        reg(z, card, 0xe4, 4, ring(card, 1));
        reg(z, card, 0xe8, 4, 0);
        reg(z, card, 0x44, 4, 0x0f | (below(z, 4) << 11) | (below(z, 2) << 7));
        reg(z, card, 0x37, 1, 0x0c);
        reg(z, card, 0x3c, 2, 0xffff);
    }
    const unsigned at = (unsigned)below(z, 66);
    for (unsigned r = 0; r < 2; r++) { /* a descriptor of each ring */
        const uint64_t flags = below(z, 4) ? 0xb0000000u | (below(z, 8) == 0 ? 0x40000000u : 0)
                                           : next(z) & 0xf8000000u;
        bytes(z, ring(card, r) + 16 * at, 4,
              flags | (below(z, 3) == 0 ? next(z) & 0x7ff0000 : 0) | below(z, r ? 2048 : 4000));
        bytes(z, ring(card, r) + 16 * at + 8, 8, some_gpa(z));
    }
    if (card == 0 && below(z, 2))
        reg(z, card, 0xd9, 1, 0x40);
    else
        reg(z, card, 0x10 + 4 * (uint32_t)below(z, 4), 4, below(z, 2000));
    if (below(z, 2))
        reg(z, card, 0x38, 2, next(z) & 0xfffc);
}

static void drive_e1000(struct fuzz *z)
{
    const unsigned card = 2;
    if (below(z, 8) == 0) {
        reg(z, card, TDBAL, 4, ring(card, 0));
        reg(z, card, TDBAH, 4, 0);
        reg(z, card, TDLEN, 4, 0x80u << below(z, 6));
        reg(z, card, RDBAL, 4, ring(card, 2));
        reg(z, card, RDBAH, 4, 0);
        reg(z, card, RDLEN, 4, 0x80u << below(z, 6));
        reg(z, card, TCTL, 4, 2);
        reg(z, card, RCTL, 4, 0x801a | (next(z) & 0x060700e0));
        reg(z, card, CTRL, 4, CTRL_VME | CTRL_SLU);
        reg(z, card, IMS, 4, INT_ALL);
    }
    const unsigned at = (unsigned)below(z, 64);
    const uint64_t d = ring(card, 0) + 16 * at;
    bytes(z, d, 8, some_gpa(z));
    bytes(z, d + 8, 8, next(z));
    bytes(z, d + 8, 2, below(z, 3000));
    bytes(z, d + 10, 1, below(z, 4) << 4);
    bytes(z, d + 11, 1, next(z) | 9);
    bytes(z, ring(card, 2) + 16 * at, 8, some_gpa(z));
    if (below(z, 2))
        reg(z, card, TDT, 4, below(z, 64));
    else
        reg(z, card, RDT, 4, below(z, 64));
}

static void drive_virtio(struct fuzz *z)
{
    const unsigned card = 3;
    if (below(z, 16) == 0) { /* reset, features, queues */
        reg(z, card, 0x14, 1, 0);
        reg(z, card, 0x14, 1, 3);
        for (uint32_t i = 0; i < 2; i++) {
            reg(z, card, 0x08, 4, i);
            reg(z, card, 0x0c, 4, i != 0 ? 1 : next(z) | 0x400000);
        }
        reg(z, card, 0x14, 1, 0x0b);
        for (uint32_t q = 0; q < 5; q++) {
            reg(z, card, 0x16, 2, q);
            reg(z, card, 0x18, 2, 16);
            reg(z, card, 0x20, 4, ring(card, 0) + q * 0x400);
            reg(z, card, 0x28, 4, ring(card, 0) + q * 0x400 + 0x100);
            reg(z, card, 0x30, 4, ring(card, 0) + q * 0x400 + 0x200);
            reg(z, card, 0x1c, 2, 1);
        }
        reg(z, card, 0x14, 1, 0x0f);
    }
    const unsigned q = (unsigned)below(z, 5), at = (unsigned)below(z, 16);
    const uint64_t base = ring(card, 0) + q * 0x400;
    bytes(z, base + 16 * at, 8, some_gpa(z));
    bytes(z, base + 16 * at + 8, 4, below(z, 2000));
    bytes(z, base + 16 * at + 12, 2, (q & 1) || q == 4 ? below(z, 4) : 2 | below(z, 2));
    bytes(z, base + 16 * at + 14, 2, below(z, 16));
    bytes(z, base + 0x104 + 2 * at, 2, below(z, 16));
    const uint64_t idx = base + 0x102;
    uint8_t now[2] = { 0 };
    (void)vm__mem_read(z->f.m, idx, now, 2);
    bytes(z, idx, 2, vm_le16(now) + below(z, 3));
    reg(z, card, 0x3000 + 4 * q, 2, q);
}

/* ---- the network -------------------------------------------------------------------------- */

static size_t some_frame(struct fuzz *z, uint8_t *f)
{
    static const uint16_t types[] = { 0x0800, 0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8 };
    static const uint8_t protos[] = { 6, 17, 1, 58, 0, 44 };
    const size_t len = below(z, 20) == 0 ? below(z, FRAME) : 14 + below(z, 200);
    for (size_t i = 0; i < FRAME; i += 8)
        vm_put_le64(f + i, next(z));
    const uint64_t to = below(z, 3);
    if (to == 0)
        memset(f, 0xff, 6);
    else if (to == 1)
        memcpy(f, "\x52\x54\x00\x12\x34\x56", 6);
    vm_put_be16(f + 12, types[below(z, VM_COUNT_OF(types))]);
    uint8_t *ip = f + 14;
    if (f[12] == 0x08 && f[13] == 0x00 && below(z, 8) != 0) {
        ip[0] = (uint8_t)(0x40 | (below(z, 4) ? 5 : below(z, 16)));
        vm_put_be16(ip + 2, (uint16_t)(below(z, 4) && len > 14 ? len - 14 : next(z)));
        ip[9] = protos[below(z, VM_COUNT_OF(protos))];
        vm_put_be32(ip + 12, 0x0a00020f);
        vm_put_be32(ip + 16, 0x0a000202 + (uint32_t)below(z, 2));
        vm_put_be16(ip + 22, below(z, 2) ? (uint16_t)next(z) : below(z, 2) ? 69 : 67);
        vm_put_be16(ip + 10, 0);
        const size_t header = (ip[0] & 15u) * 4;
        vm_put_be16(ip + 10, vm__net_fold(vm__net_sum(ip, header, 0)));
    } else if (f[12] == 0x86) {
        ip[0] = 0x60;
        vm_put_be16(ip + 4, (uint16_t)(below(z, 4) && len > 54 ? len - 54 : next(z)));
        ip[6] = protos[below(z, VM_COUNT_OF(protos))];
    }
    return len;
}

/** From the hub to a card, or from a card's end of the cable, with something left to be done. */
static void traffic(struct fuzz *z)
{
    uint8_t f[FRAME + 64];
    char id[4];
    const size_t len = some_frame(z, f);
    const struct vm_iov iov[2] = { { f, len / 2 }, { f + len / 2, len - len / 2 } };
    struct vm_net_frame frame = { iov, 2, len, { 0 } };
    if (below(z, 2))
        frame.meta = (struct vm_net_meta) { .flags = (uint8_t)below(z, 4),
                                            .gso = (uint8_t)below(z, 6),
                                            .gso_size = (uint16_t)below(z, 1600),
                                            .csum_start = (uint16_t)below(z, 64),
                                            .csum_offset = (uint16_t)below(z, 32) };
    snprintf(id, sizeof id, "n%u", (unsigned)below(z, CARDS));
    struct vm_net *net = vm__net_find(z->f.m, id);
    vm__lock(z->f.m);
    if (below(z, 2))
        (void)vm__net_deliver(net, &frame);
    else
        (void)vm__net_send(net, &frame);
    vm__unlock(z->f.m);
}

static void rarely(struct fuzz *z)
{
    const unsigned n = (unsigned)below(z, CARDS);
    char id[4];
    snprintf(id, sizeof id, "n%u", n);
    switch (below(z, 4)) {
    case 0:
        fake_reset(z->cards[n], VM_DEV_RESET_WARM);
        break;
    case 1: {
        struct vm_buf b = { 0 };
        vm__lock(z->f.m);
        vm__fields_save(&b, z->cards[n]->cls->fields, z->cards[n]->state);
        for (unsigned i = 0; i < 8 && b.len != 0; i++)
            b.data[below(z, b.len)] ^= (uint8_t)(1u << below(z, 8));
        struct vm_reader r = { .data = b.data, .len = b.len };
        if (vm__fields_load(&r, z->cards[n]->cls->fields, 1, z->cards[n]->state) != VM_OK ||
            z->cards[n]->cls->post_load(z->cards[n]) != VM_OK)
            vm__dev_reset(z->cards[n], VM_DEV_RESET_COLD);
        vm__unlock(z->f.m);
        free(b.data);
        break;
    }
    case 2:
        vm__lock(z->f.m);
        vm__net_set_link(vm__net_find(z->f.m, id), below(z, 4) != 0);
        vm__unlock(z->f.m);
        break;
    default:
        break;
    }
    place(z, n);
}

static void step(struct fuzz *z)
{
    static const uint32_t span[CARDS] = { 0x100, 0x100, 0x6000, 0x4000 };
    const unsigned n = (unsigned)below(z, CARDS), size = 1u << below(z, 3);
    const uint32_t off = (uint32_t)below(z, span[n]) & ~(size - 1);
    switch (below(z, 16)) {
    case 0:
        reg(z, n, off, size, some_value(z));
        break;
    case 1:
        (void)fake_read(&z->f, MMIO + n * MMIO_STEP + off, size);
        break;
    case 2:
        fake_out32(&z->f, (uint16_t)(IO + n * IO_STEP + below(z, 64) * 4), (uint32_t)some_value(z));
        break;
    case 3:
        fake_advance(&z->f, below(z, 3000000));
        break;
    case 4:
        if (below(z, 64) == 0)
            rarely(z);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        traffic(z);
        break;
    case 9:
    case 10:
        drive_rtl(z, (unsigned)below(z, 2));
        break;
    case 11:
    case 12:
    case 13:
        drive_e1000(z);
        break;
    default:
        drive_virtio(z);
        break;
    }
    (void)fake_asked(&z->f);
}

int main(int argc, char **argv)
{
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t accesses = argc > 2 ? strtoull(argv[2], NULL, 0) : 100000;
    struct fuzz *z = calloc(1, sizeof *z);
    z->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    build(z);
    for (uint64_t i = 0; i < accesses / 10; i++)
        step(z);
    const size_t before = mallinfo2().uordblks;
    for (uint64_t i = accesses / 10; i < accesses; i++)
        step(z);
    const size_t after = mallinfo2().uordblks;
    fake_fini(&z->f);
    free(z);
    if (after > before + GROWTH_LIMIT) {
        fprintf(stderr, "seed %llu: the process grew by %zu bytes\n", (unsigned long long)seed,
                after - before);
        return 1;
    }
    return 0;
}
