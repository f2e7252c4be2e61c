/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_virtio.c
 * A driver of virtio devices that breaks rules: rings, descriptors and indirect tables full of
 * garbage or nearly right, registers in any order, resets in mid-traffic, DMA into windows.
 *
 *     fuzz_virtio [seed [accesses]]
 *
 * The same seed gives the same run. It must come to its end, without a complaint of a sanitizer,
 * without a piece of memory staying mapped, and without the process having grown.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/address_space.h"
#include "core/device_impl.h"
#include "core/field_io.h"
#include "core/run.h"
#include "devices/classes.h"
#include "devices/pci/pci.h"
#include "support/fake_disk.h"

enum {
    N_DEVS = 4,
    SECTORS = 4000,
    GROWTH_LIMIT = 8 << 20,
    RINGS = 0x10000, /* of a device, every 0x8000; a queue's every 0x2000 */
    BUFFERS = 0x80000,
    MODERN = 0xd0000000,
    IO = 0xc000,
};

struct fuzz {
    struct fake_machine f;
    struct vm_dev *host, *devs[N_DEVS];
    struct fake_disk *disks[2];
    uint16_t avail[N_DEVS][4];
    uint8_t wrap[N_DEVS][4];
    bool packed[N_DEVS];
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

static void poke(struct fuzz *z, uint64_t gpa, unsigned size, uint64_t v)
{
    uint8_t b[8];
    vm_put_le_n(b, size, v);
    (void)vm__mem_write(z->f.m, gpa, b, size);
}

/* ---- the board ---------------------------------------------------------------------------- */

static void config(struct fuzz *z, unsigned n, uint32_t reg, uint32_t v)
{
    fake_out32(&z->f, 0xcf8, 0x80000000u | (4 + n) << 11 | (reg & 0xfc));
    fake_out32(&z->f, 0xcfc, v);
}

static void place(struct fuzz *z, unsigned n)
{
    config(z, n, 0x10, IO + 0x100 * n);
    config(z, n, 0x14, MODERN + 0x100000 * n + 0x80000);
    config(z, n, 0x20, MODERN + 0x100000 * n);
    config(z, n, 0x24, 0);
    config(z, n, 0x04, 7);
}

static void reset(struct fuzz *z)
{
    vm__lock(z->f.m);
    vm__pci_bus_reset(vm__pci_bus_of(z->host));
    vm__unlock(z->f.m);
    for (unsigned i = 0; i < N_DEVS; i++) {
        fake_reset(z->devs[i], VM_DEV_RESET_COLD);
        place(z, i);
    }
}

static void build(struct fuzz *z)
{
    static const struct vm_setting disk[] = {
        { "drive", "d0" }, { "packed", "on" }, { "num-queues", "4" }, { "queue-size", "32" }, { 0 }
    };
    static const struct vm_setting old_disk[] = { { "drive", "d1" },
                                                  { "queue-size", "16" },
                                                  { 0 } };
    static const struct vm_setting rng[] = { { "packed", "on" }, { 0 } };
    static const struct vm_setting slow[] = { { "max-bytes", "100" }, { "period", "1" }, { 0 } };
    const struct {
        const struct vm_dev_class *cls;
        const struct vm_setting *settings;
    } made[N_DEVS] = { { &vm__virtio_blk_class, disk },
                       { &vm__virtio_blk_class, old_disk },
                       { &vm__virtio_rng_class, rng },
                       { &vm__virtio_rng_class, slow } };
    fake_init(&z->f);
    z->disks[0] = fake_disk(&z->f, "d0", false, SECTORS * 512);
    z->disks[1] = fake_disk(&z->f, "d1", false, SECTORS * 512);
    z->host = vm__dev_new(z->f.m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(z->host);
    (void)vm__pci_add(bus, z->host, 0);
    for (unsigned i = 0; i < N_DEVS; i++) {
        z->devs[i] = vm__pci_add(bus, vm__dev_new(z->f.m, made[i].cls, NULL, made[i].settings),
                                 (4 + i) << 3);
        if (z->devs[i] == NULL) {
            fprintf(stderr, "cannot make a device: %s\n", vm_last_error()->message);
            exit(1);
        }
    }
    reset(z);
}

/* ---- the driver --------------------------------------------------------------------------- */

static uint64_t rings(unsigned n, unsigned q)
{
    return RINGS + 0x8000u * n + 0x2000u * q;
}

/** Bring a device up, mostly as it should be. */
static void start(struct fuzz *z, unsigned n)
{
    const uint64_t c = MODERN + 0x100000 * n;
    const uint64_t features = UINT64_C(1) << 32 | (next(z) & (UINT64_C(7) << 28)) | 0x6e00 |
                              (next(z) & UINT64_C(1) << 34);
    fake_write(&z->f, c + 0x14, 1, 0);
    fake_write(&z->f, c + 0x14, 1, 3);
    for (uint32_t i = 0; i < 2; i++) {
        fake_write(&z->f, c, 4, i);
        fake_write(&z->f, c + 8, 4, i);
        const uint32_t offered = (uint32_t)fake_read(&z->f, c + 4, 4);
        fake_write(&z->f, c + 12, 4, (uint32_t)(features >> 32 * i) & offered);
    }
    fake_write(&z->f, c + 0x14, 1, 11);
    fake_write(&z->f, c + 8, 4, 1);
    z->packed[n] = fake_read(&z->f, c + 12, 4) >> 2 & 1;
    for (unsigned q = 0; q < 4; q++) {
        fake_write(&z->f, c + 0x16, 2, q);
        fake_write(&z->f, c + 0x18, 2, next(z) % 4 ? 16 : below(z, 40));
        fake_write(&z->f, c + 0x1a, 2, below(z, 8));
        fake_write(&z->f, c + 0x20, 8, next(z) % 64 ? rings(n, q) : next(z));
        fake_write(&z->f, c + 0x28, 8, next(z) % 64 ? rings(n, q) + 0x800 : next(z));
        fake_write(&z->f, c + 0x30, 8, next(z) % 64 ? rings(n, q) + 0x1000 : MODERN + 0x100000);
        fake_write(&z->f, c + 0x1c, 2, 1);
        z->avail[n][q] = 0;
        z->wrap[n][q] = 1;
    }
    fake_write(&z->f, c + 0x14, 1, 15);
}

static void start_legacy(struct fuzz *z)
{
    const unsigned n = (unsigned)below(z, N_DEVS);
    const uint16_t io = (uint16_t)(IO + 0x100 * n);
    z->packed[n] = false;
    fake_out8(&z->f, io + 0x12, 0);
    fake_out8(&z->f, io + 0x12, 3);
    fake_out32(&z->f, io + 4, (uint32_t)next(z));
    for (uint16_t q = 0; q < 2; q++) {
        fake_out16(&z->f, io + 0x0e, q);
        fake_out32(&z->f, io + 8, (uint32_t)(rings(n, q) >> 12));
        z->avail[n][q] = 0;
    }
    fake_out8(&z->f, io + 0x12, 7);
}

static uint64_t some_place(struct fuzz *z)
{
    switch (below(z, 12)) {
    case 0:
        return next(z);
    case 1:
        return MODERN + below(z, 0x400000);
    case 2:
        return FAKE_RAM_BYTES - below(z, 64);
    case 3:
        return RINGS + below(z, 0x20000);
    default:
        return BUFFERS + below(z, 0x40000);
    }
}

static uint32_t some_length(struct fuzz *z)
{
    static const uint32_t usual[] = { 0, 1, 16, 512, 512, 1024, 4096, 65536 };
    return next(z) % 16 ? usual[below(z, VM_COUNT_OF(usual))] : (uint32_t)next(z);
}

static void header(struct fuzz *z, uint64_t at)
{
    static const uint8_t types[] = { 0, 0, 1, 1, 4, 8, 11, 13, 2, 77 };
    poke(z, at, 4, types[below(z, sizeof types)]);
    poke(z, at + 8, 8, next(z) % 8 ? below(z, SECTORS) : next(z));
    poke(z, at + 16, 8, below(z, SECTORS)); /* the range of a discard, should it lie here */
    poke(z, at + 24, 8, below(z, 64));
}

static void descriptor(struct fuzz *z, uint64_t at, uint64_t gpa, uint32_t len, uint16_t flags,
                       uint16_t link, bool packed)
{
    poke(z, at, 8, gpa);
    poke(z, at + 8, 4, len);
    poke(z, at + 12, 2, packed ? link : flags);
    poke(z, at + 14, 2, packed ? flags : link);
}

/** A chain that is nearly right, in the ring or in a table. */
static void chain(struct fuzz *z)
{
    const unsigned n = (unsigned)below(z, N_DEVS), size = 16;
    const unsigned q = n == 0 ? (unsigned)below(z, 4) : 0;
    if (fake_read(&z->f, MODERN + 0x100000 * n + 0x14, 1) != 15 && next(z) % 8 != 0)
        start(z, n);
    const uint64_t ring = rings(n, q), table = BUFFERS + 0x1000 * below(z, 4);
    const bool packed = z->packed[n] ^ (next(z) % 64 == 0), indirect = next(z) % 4 == 0;
    const unsigned length = (next(z) % 16 ? 2 : 1) + (unsigned)below(z, 5);
    const uint16_t first = z->avail[n][q] % size;
    const uint16_t avail = packed ? (z->wrap[n][q] ? 0x80 : 0x8000) : 0;
    const uint64_t head = BUFFERS + 0x10000 + 64 * below(z, 64);

    header(z, head);
    for (unsigned i = 0; i < length; i++) {
        const uint16_t at = (uint16_t)(indirect ? i : (first + i) % size);
        const bool in = n >= 2 || (i != 0 && (i + 1 == length || (next(z) & 1)));
        uint16_t flags = (uint16_t)((i + 1 < length ? 1 : 0) | (in ? 2 : 0));
        if (next(z) % 32 == 0)
            flags ^= (uint16_t)next(z) & 0x8087;
        descriptor(z, (indirect ? table : ring) + 16u * at, i == 0 ? head : some_place(z),
                   i == 0                                ? 16
                   : i + 1 == length && next(z) % 4 != 0 ? 1
                                                         : some_length(z),
                   (uint16_t)(flags | (indirect ? 0 : avail)),
                   packed ? first : (uint16_t)(next(z) % 32 ? (at + 1u) % size : next(z)), packed);
    }
    if (indirect)
        descriptor(z, ring + 16u * first, table, 16 * length + (next(z) % 16 == 0),
                   (uint16_t)(4 | avail), first, packed);
    const unsigned took = indirect ? 1 : length;
    poke(z, ring + 0x800 + 4 + 2u * first, 2, next(z) % 32 ? first : next(z));
    z->avail[n][q] = (uint16_t)(z->avail[n][q] + (packed ? took : 1));
    if (packed && z->avail[n][q] >= size) {
        z->avail[n][q] = (uint16_t)(z->avail[n][q] - size);
        z->wrap[n][q] ^= 1;
    }
    poke(z, ring + 0x800 + 2, 2, next(z) % 64 ? z->avail[n][q] : next(z));
    if (next(z) % 4)
        fake_write(&z->f, MODERN + 0x100000 * n + 0x3000 + 4 * q, 2, q);
    else
        fake_out16(&z->f, (uint16_t)(IO + 0x100 * n + 0x10), (uint16_t)q);
}

static void garbage(struct fuzz *z)
{
    const uint64_t at = RINGS + below(z, 0x20000);
    for (uint64_t i = 0, n = below(z, 64); i < n; i++)
        poke(z, at + i, 1, next(z) & 1 ? next(z) : below(z, 4));
}

static void registers(struct fuzz *z)
{
    const uint64_t bar = MODERN + 0x100000 * below(z, N_DEVS);
    const uint64_t off = next(z) & 1 ? below(z, 0x40) : 0x1000 * below(z, 4) + below(z, 0x100);
    const unsigned size = 1u << below(z, 4);
    if (next(z) & 1)
        (void)fake_read(&z->f, bar + (off & ~(uint64_t)(size - 1)), size);
    else
        fake_write(&z->f, bar + (off & ~(uint64_t)(size - 1)), size,
                   next(z) & 1 ? below(z, 64) : next(z));
    if (next(z) % 4 == 0)
        vm__port_write(z->f.m, (uint16_t)(IO + 0x100 * below(z, N_DEVS) + below(z, 96)),
                       1u << below(z, 3), (uint32_t)next(z));
    if (next(z) % 64 == 0) {
        const unsigned n = (unsigned)below(z, N_DEVS);
        config(z, n, (uint32_t)next(z) & 0xfc, (uint32_t)next(z));
        place(z, n);
    }
    if (next(z) % 16 == 0)
        fake_write(&z->f, bar + 0x80000 + below(z, 0x1000), 4, next(z));
}

static void outside(struct fuzz *z)
{
    struct fake_disk *d = z->disks[below(z, 2)];
    d->bad_from = below(z, SECTORS * 512);
    d->bad_to = d->bad_from + below(z, 5000);
    vm__lock(z->f.m);
    d->drive.ops->resized(d->drive.opaque);
    vm__unlock(z->f.m);
}

/** Load a damaged copy of a device's own state: refused or taken, all must go on. */
static void load_damaged(struct fuzz *z)
{
    struct vm_dev *dev = z->devs[below(z, N_DEVS)];
    struct vm_buf saved = { 0 };
    vm__lock(dev->m);
    for (unsigned i = 0; i < 2; i++)
        if (z->disks[i]->drive.flying != NULL)
            vm__drive_drain(&z->disks[i]->drive); /* as before every saving */
    vm__fields_save(&saved, dev->cls->fields, dev->state);
    for (uint64_t i = 0, n = below(z, 6); i < n; i++)
        saved.data[below(z, saved.len)] = (uint8_t)next(z);
    struct vm_reader r = { .data = saved.data, .len = saved.len };
    int st = vm__fields_load(&r, dev->cls->fields, 1, dev->state);
    if (st == VM_OK)
        st = dev->cls->post_load(dev);
    if (st != VM_OK)
        vm__dev_reset(dev, VM_DEV_RESET_COLD);
    vm__unlock(dev->m);
    free(saved.data);
}

static void step(struct fuzz *z)
{
    switch (below(z, 16)) {
    case 0:
        start(z, (unsigned)below(z, N_DEVS));
        break;
    case 1:
        if (next(z) % 16 == 0)
            start_legacy(z);
        break;
    case 2:
        if (next(z) % 8 == 0)
            garbage(z);
        break;
    case 3:
    case 4:
        registers(z);
        break;
    case 5:
    case 6:
        fake_advance(&z->f, below(z, 20) * FAKE_DISK_NS);
        break;
    case 7:
        if (next(z) % 16 == 0)
            outside(z);
        break;
    default:
        chain(z);
        break;
    }
}

int main(int argc, char **argv)
{
    static struct fuzz z;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t accesses = argc > 2 ? strtoull(argv[2], NULL, 0) : 100000;
    size_t before = 0;

    printf("seed %llu, %llu accesses\n", (unsigned long long)seed, (unsigned long long)accesses);
    fflush(stdout);
    z.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    build(&z);
    for (uint64_t i = 0; i < accesses; i++) {
        step(&z);
        if (i == 5000)
            before = mallinfo2().uordblks;
        if (i % 512 == 511)
            load_damaged(&z);
        if (i % 4096 == 4095)
            reset(&z);
    }
    const size_t after = mallinfo2().uordblks;
    printf("%u requests; heap %zu, then %zu bytes\n", z.disks[0]->requests + z.disks[1]->requests,
           before, after);
    reset(&z);
    if (z.f.m->mem->dma_pieces != 0) {
        fprintf(stderr, "%u pieces of memory are still mapped\n", z.f.m->mem->dma_pieces);
        return 1;
    }
    fake_fini(&z.f);
    fake_disks_free();
    return after > before + GROWTH_LIMIT;
}
