/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_ide.c
 * A guest that writes garbage to an IDE controller with two disks and two CD-ROM drives, and lets
 * it read garbage from memory.
 *
 *     fuzz_ide [seed [accesses]]
 *
 * The same seed gives the same run. It must come to its end, without a complaint of a sanitizer,
 * and without the process having grown.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/address_space.h"
#include "core/device_impl.h"
#include "core/field_io.h"
#include "devices/classes.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/pci.h"
#include "devices/storage/ide.h"
#include "support/fake_disk.h"

enum {
    N_DEVS = 5,
    BM = 0xc000,
    PRD_TABLE = 0x8000,
    SECTORS = 4000,
    BLOCKS = 900,
    GROWTH_LIMIT = 8 << 20,
};

struct fuzz {
    struct fake_machine f;
    struct vm_dev *host, *devs[N_DEVS]; /* the controller first */
    struct fake_disk *disks[4];
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

static struct vm_dev *need(struct vm_dev *dev)
{
    if (dev == NULL) {
        fprintf(stderr, "cannot make a device: %s\n", vm_last_error()->message);
        exit(1);
    }
    return dev;
}

/* ---- the board ---------------------------------------------------------------------------- */

static void config(struct fuzz *z, uint32_t reg, uint32_t v)
{
    fake_out32(&z->f, 0xcf8, 0x80000900u | reg);
    fake_out32(&z->f, 0xcfc, v);
}

static void reset(struct fuzz *z)
{
    vm__lock(z->f.m);
    vm__pci_bus_reset(vm__pci_bus_of(z->host));
    vm__unlock(z->f.m);
    for (unsigned i = 0; i < N_DEVS; i++)
        fake_reset(z->devs[i], VM_DEV_RESET_COLD);
    config(z, 0x40, 0x80008000);
    config(z, 0x20, BM);
    config(z, 0x04, 5);
}

static void build(struct fuzz *z)
{
    static const char *const ids[] = { "d0", "d1", "d2", "d3" };
    fake_init(&z->f);
    z->host = vm__dev_new(z->f.m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(z->host);
    need(vm__pci_add(bus, z->host, 0));
    z->devs[0] =
        need(vm__pci_add(bus, vm__dev_new(z->f.m, &vm__piix3_ide_class, NULL, NULL), 1 << 3 | 1));
    for (unsigned i = 0; i < 4; i++) {
        const bool cd = i == 1 || i == 2;
        z->disks[i] = fake_disk(&z->f, ids[i], cd, cd ? BLOCKS * 2048 : SECTORS * 512);
        z->devs[1 + i] = need(
            fake_add(&z->f, cd ? &vm__atapi_class : &vm__ata_disk_class, "drive", ids[i], NULL));
    }
    reset(z);
}

/* ---- what the guest does ------------------------------------------------------------------ */

static uint16_t some_base(struct fuzz *z)
{
    return next(z) & 1 ? 0x1f0 : 0x170;
}

static uint8_t some_byte(struct fuzz *z)
{
    return (uint8_t)(next(z) & 3 ? below(z, 4) : next(z));
}

static void registers(struct fuzz *z)
{
    uint16_t base = some_base(z);
    for (uint64_t n = 1 + below(z, 8); n > 0; n--)
        fake_out8(&z->f, (uint16_t)(base + 1 + below(z, 6)), some_byte(z));
}

/** Let go of a unit that waits for data which nobody has: most commands would do nothing. */
static void ready(struct fuzz *z, uint16_t base)
{
    fake_advance(&z->f, 10 * FAKE_DISK_NS);
    if ((fake_in8(&z->f, (uint16_t)(base + 0x206)) & 0x88) && next(z) % 4) {
        fake_out8(&z->f, (uint16_t)(base + 0x206), 4);
        fake_out8(&z->f, (uint16_t)(base + 0x206), 0);
    }
}

/** A sector that is there, mostly, in all the ways to write it. */
static void address(struct fuzz *z, uint16_t base)
{
    uint64_t lba = below(z, SECTORS + 100), count = below(z, next(z) % 8 ? 20 : 65536);
    fake_out8(&z->f, (uint16_t)(base + 6),
              (uint8_t)((next(z) % 4 ? 0xe0 : 0xa0) | (next(z) & 0x10)));
    fake_out8(&z->f, (uint16_t)(base + 2), (uint8_t)(count >> 8));
    fake_out8(&z->f, (uint16_t)(base + 2), (uint8_t)count);
    for (unsigned i = 0; i < 3; i++) {
        fake_out8(&z->f, (uint16_t)(base + 3 + i), (uint8_t)(lba >> (24 + 8 * i)));
        fake_out8(&z->f, (uint16_t)(base + 3 + i), (uint8_t)(lba >> 8 * i));
    }
    if (next(z) % 4 == 0)
        fake_out8(&z->f, (uint16_t)(base + 1), some_byte(z));
}

static void command(struct fuzz *z)
{
    static const uint8_t ops[] = { 0x06, 0x08, 0x10, 0x20, 0x24, 0x25, 0x27, 0x29, 0x30, 0x34, 0x35,
                                   0x39, 0x3d, 0x40, 0x42, 0x70, 0x90, 0x91, 0xa0, 0xa0, 0xa0, 0xa1,
                                   0xb0, 0xc4, 0xc5, 0xc6, 0xc8, 0xc8, 0xca, 0xca, 0xce, 0xe0, 0xe4,
                                   0xe5, 0xe6, 0xe7, 0xe8, 0xea, 0xec, 0xef, 0xf8 };
    uint8_t op = next(z) % 16 ? ops[below(z, sizeof ops)] : (uint8_t)next(z);
    uint16_t base = some_base(z);
    ready(z, base);
    if (next(z) % 8)
        address(z, base);
    fake_out8(&z->f, (uint16_t)(base + 7), op);
}

static void data(struct fuzz *z)
{
    static const uint8_t sizes[] = { 1, 2, 2, 2, 4 };
    uint16_t base = some_base(z);
    unsigned size = sizes[below(z, sizeof sizes)];
    bool out = next(z) & 1;
    for (uint64_t n = below(z, next(z) % 8 ? 300 : 20000); n > 0; n--) {
        if (out)
            vm__port_write(z->f.m, base, size, (uint32_t)next(z));
        else
            (void)vm__port_read(z->f.m, base, size);
        if (n % 256 == 0)
            fake_advance(&z->f, FAKE_DISK_NS);
    }
}

static void packet(struct fuzz *z)
{
    static const uint8_t ops[] = { 0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x28,
                                   0x28, 0x2b, 0x2f, 0x42, 0x43, 0x44, 0x46, 0x4a, 0x51, 0x52,
                                   0x55, 0x5a, 0xa8, 0xa8, 0xac, 0xad, 0xb9, 0xbd, 0xbe, 0xbe };
    uint16_t base = some_base(z);
    uint8_t cdb[12];
    for (unsigned i = 0; i < 12; i++)
        cdb[i] = next(z) & 1 ? 0 : some_byte(z);
    cdb[0] = ops[below(z, sizeof ops)];
    cdb[2] &= 0x3f;
    ready(z, base);
    if (cdb[0] == 0xbe)
        cdb[9] = (uint8_t)(next(z) & 0xf8);
    fake_out8(&z->f, (uint16_t)(base + 6), base == 0x1f0 ? 0xb0 : 0xa0); /* the CD-ROM drives */
    fake_out8(&z->f, (uint16_t)(base + 1), next(z) & 1);
    fake_out8(&z->f, (uint16_t)(base + 4), some_byte(z));
    fake_out8(&z->f, (uint16_t)(base + 5), some_byte(z));
    fake_out8(&z->f, (uint16_t)(base + 7), 0xa0);
    for (unsigned i = 0; i < 12; i += 2)
        fake_out16(&z->f, base, vm_le16(cdb + i));
}

/** Descriptors: small, large, odd, in RAM, in holes, overlapping the table itself. */
static void descriptors(struct fuzz *z)
{
    for (uint64_t i = 0, n = 1 + below(z, 20); i < n; i++) {
        uint8_t d[8];
        uint64_t where = below(z, 8);
        uint32_t len = (uint32_t)(next(z) & 1 ? below(z, 64) : next(z));
        uint32_t at = where == 0   ? (uint32_t)next(z)
                      : where == 1 ? 0xfffffff0u
                      : where == 2 ? FAKE_RAM_BYTES - 100
                      : where == 3 ? PRD_TABLE
                                   : (uint32_t)below(z, FAKE_RAM_BYTES);
        vm_put_le32(d, at);
        vm_put_le32(d + 4, (len & 0xffff) | (i == n - 1 && next(z) % 8 ? 0x80000000 : 0));
        (void)vm__mem_write(z->f.m, PRD_TABLE + 8 * i, d, 8);
    }
}

static void bus_master(struct fuzz *z)
{
    uint16_t base = next(z) & 1 ? BM : BM + 8;
    if (next(z) % 4 == 0)
        fake_out32(&z->f, (uint16_t)(base + 4),
                   next(z) % 8 ? PRD_TABLE : (uint32_t)(next(z) & 1 ? next(z) : 0xffffc));
    else if (next(z) % 8 == 0)
        vm__port_write(z->f.m, (uint16_t)(base + below(z, 8)), 1u << below(z, 3),
                       (uint32_t)next(z));
    else
        fake_out8(&z->f, base, next(z) & 1 ? 9 : next(z) & 1 ? 1 : 0);
}

/** A transfer as a driver would begin it, with what descriptors there are. */
static void transfer(struct fuzz *z)
{
    static const uint8_t ops[] = { 0xc8, 0xca, 0x25, 0x35, 0x3d, 0x06, 0x20, 0x30, 0x24, 0x34 };
    bool second = next(z) & 1;
    uint16_t base = second ? 0x170 : 0x1f0, bm = second ? BM + 8 : BM;
    uint8_t unit = second ? 0xf0 : 0xe0; /* the disks */
    fake_out8(&z->f, (uint16_t)(base + 0x206), 4);
    fake_out8(&z->f, (uint16_t)(base + 0x206), 0);
    if (next(z) & 1)
        descriptors(z);
    address(z, base);
    fake_out8(&z->f, (uint16_t)(base + 6), unit);
    fake_out32(&z->f, (uint16_t)(bm + 4), PRD_TABLE);
    fake_out8(&z->f, bm, 0);
    fake_out8(&z->f, (uint16_t)(base + 7), ops[below(z, sizeof ops)]);
    fake_out8(&z->f, bm, 9);
    fake_advance(&z->f, below(z, 8) * FAKE_DISK_NS);
}

static void read_back(struct fuzz *z)
{
    static const uint16_t ports[] = { 0x1f1, 0x1f2, 0x1f7, 0x171, 0x177, 0x3f6, 0x376, BM, BM + 8 };
    (void)vm__port_read(z->f.m, ports[below(z, VM_COUNT_OF(ports))], 1u << below(z, 3));
}

/* ---- what comes from outside -------------------------------------------------------------- */

static void outside(struct fuzz *z)
{
    struct fake_disk *d = z->disks[below(z, 4)];
    const struct vm_drive_ops *ops = d->drive.ops;
    switch (below(z, 6)) {
    case 0:
        d->bad_from = below(z, SECTORS * 512);
        d->bad_to = d->bad_from + below(z, 5000);
        break;
    case 1:
        if (d->drive.cdrom)
            fake_disk_change(d, next(z) & 1 ? 0 : below(z, BLOCKS) * 2048);
        break;
    case 2:
        if (ops->eject_request != NULL) {
            vm__lock(z->f.m);
            (void)ops->eject_request(d->drive.opaque, next(z) & 1);
            vm__unlock(z->f.m);
        }
        break;
    case 3:
        d->drive.read_only = d->drive.cdrom || (next(z) & 1);
        break;
    case 4:
        fake_out8(&z->f, next(z) & 1 ? 0x3f6 : 0x376, (uint8_t)(next(z) & 0x86));
        break;
    default:
        config(z, (uint32_t)next(z) & 0xfc, (uint32_t)next(z));
        config(z, 0x40, 0x80008000);
        config(z, 0x20, BM);
        config(z, 0x04, 5);
        break;
    }
}

/** Load a damaged copy of a device's own state: refused or taken, all must go on. */
static void load_damaged(struct fuzz *z)
{
    struct vm_dev *dev = z->devs[below(z, N_DEVS)];
    struct vm_buf saved = { 0 };
    vm__lock(dev->m);
    vm__fields_save(&saved, dev->cls->fields, dev->state);
    size_t head = saved.len < 64 ? saved.len : 64; /* the rest is mostly the buffer */
    for (uint64_t i = 0, n = below(z, 6); i < n; i++)
        saved.data[below(z, next(z) & 1 ? head : saved.len)] = (uint8_t)next(z);
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
    switch (below(z, 17)) {
    case 0:
    case 1:
    case 2:
        registers(z);
        break;
    case 3:
    case 4:
    case 5:
        command(z);
        break;
    case 6:
    case 7:
        data(z);
        break;
    case 8:
    case 9:
        packet(z);
        break;
    case 10:
        descriptors(z);
        break;
    case 11:
    case 12:
        bus_master(z);
        break;
    case 13:
        transfer(z);
        break;
    case 14:
        read_back(z);
        break;
    case 15:
        fake_advance(&z->f, below(z, 20) * FAKE_DISK_NS);
        break;
    default:
        if (next(z) % 8 == 0)
            outside(z);
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
        if (i % 256 == 255)
            load_damaged(&z);
        if (i % 1024 == 1023)
            reset(&z);
    }
    size_t after = mallinfo2().uordblks;
    uint32_t requests = 0;
    for (unsigned i = 0; i < 4; i++)
        requests += z.disks[i]->requests;
    printf("%u requests; heap %zu, then %zu bytes\n", requests, before, after);
    reset(&z);
    if (z.f.m->mem->dma_pieces != 0) {
        fprintf(stderr, "%u pieces of memory are still mapped\n", z.f.m->mem->dma_pieces);
        return 1;
    }
    fake_fini(&z.f);
    fake_disks_free();
    return after > before + GROWTH_LIMIT;
}
