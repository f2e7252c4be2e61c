/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_isa.c
 * A guest that half knows the floppy controller, the DMA controllers and the parallel port.
 *
 *     fuzz_isa [seed [steps]]
 *
 * Random bytes hardly ever make a nine-byte command, so most steps are commands and channel set-ups
 * of the right shape with wild parameters; resets, disk changes, wild writes and damaged saved
 * state come in between. It must come to its end without a complaint of a sanitizer, without the
 * process having grown, and with a controller that still works after a reset.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/device_impl.h"
#include "core/field_io.h"
#include "devices/classes.h"
#include "devices/storage/i82077.h"

enum { GROWTH_LIMIT = 8 << 20, DISK_BYTES = 1474560, DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5 };

struct fuzz {
    struct fake_machine f;
    struct vm_dev *fdc, *dma, *port;
    struct vm_drive *drive;
    char path[64];
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

static uint8_t byte(struct fuzz *z)
{
    return (uint8_t)next(z);
}

static void out(struct fuzz *z, uint16_t port, uint8_t v)
{
    fake_out8(&z->f, port, v);
}

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, vm_last_error()->message);
    exit(1);
}

static void insert(struct fuzz *z)
{
    vm__lock(z->f.m);
    (void)vm__drive_eject(z->drive, true); /* an image is open once */
    if (vm__drive_insert(z->drive, z->path, "raw", false) != VM_OK)
        die("insert");
    vm__unlock(z->f.m);
}

static void build(struct fuzz *z)
{
    static const uint8_t sector[512];
    snprintf(z->path, sizeof z->path, "/tmp/libvm-fuzz-XXXXXX");
    int fd = mkstemp(z->path);
    for (unsigned i = 0; i < DISK_BYTES / sizeof sector; i++)
        if (write(fd, sector, sizeof sector) != sizeof sector)
            exit(1);
    close(fd);
    fake_init(&z->f);
    fake_chr(&z->f, "lpt");
    vm__lock(z->f.m);
    z->drive = vm__drive_new(z->f.m, "floppy0", VM_IF_FLOPPY, 0);
    vm__unlock(z->f.m);
    insert(z);
    z->dma = fake_add(&z->f, &vm__i8237_class, NULL);
    z->fdc = fake_add(&z->f, &vm__i82077_class, NULL);
    z->port = fake_add(&z->f, &vm__parallel_class, "chardev", "lpt", "dma", "3", NULL);
    if (z->dma == NULL || z->fdc == NULL || z->port == NULL)
        die("devices");
}

/** A channel's registers, mostly so that it can run. */
static void program_dma(struct fuzz *z)
{
    static const uint8_t pages[] = { 0x87, 0x83, 0x81, 0x82 };
    const unsigned n = below(z, 8) == 0 ? (unsigned)below(z, 4) : 2 + (unsigned)below(z, 2);
    const uint16_t count = (uint16_t)(below(z, 4) == 0 ? next(z) : below(z, 40) * 256 + 255);

    out(z, 0xd6, below(z, 8) == 0 ? byte(z) : 0xc0);
    out(z, 0xd4, 0);
    out(z, 0x0c, 0);
    out(z, 0x0b, (uint8_t)((byte(z) & 0xfc) | n));
    out(z, (uint16_t)(2 * n), byte(z));
    out(z, (uint16_t)(2 * n), byte(z));
    out(z, pages[n], byte(z) & 0x1f);
    out(z, (uint16_t)(2 * n + 1), (uint8_t)count);
    out(z, (uint16_t)(2 * n + 1), (uint8_t)(count >> 8));
    out(z, 0x0a, (uint8_t)n);
}

/** A small number mostly, as cylinders, heads and sectors are. */
static uint8_t parameter(struct fuzz *z)
{
    return below(z, 6) == 0 ? byte(z) : (uint8_t)below(z, 20);
}

static void floppy_command(struct fuzz *z)
{
    static const uint8_t codes[] = { 0x66, 0xe6, 0x45, 0xc5, 0x4d, 0x42, 0x4a, 0x56, 0x51, 0x59,
                                     0x5d, 0x6c, 0x49, 0x07, 0x08, 0x08, 0x03, 0x04, 0x0f, 0x8f,
                                     0xcf, 0x13, 0x0e, 0x10, 0x12, 0x14, 0x94, 0x18 };
    uint8_t command[9];
    const uint8_t head = (uint8_t)below(z, 2), cylinder = parameter(z);

    command[0] = below(z, 16) == 0 ? byte(z) : codes[below(z, VM_COUNT_OF(codes))];
    command[1] = below(z, 16) == 0 ? byte(z) : (uint8_t)(head << 2);
    command[2] = cylinder;
    command[3] = below(z, 8) == 0 ? byte(z) : head;
    command[4] = parameter(z);
    command[5] = below(z, 8) == 0 ? byte(z) : 2;
    command[6] = parameter(z);
    command[7] = byte(z);
    command[8] = parameter(z);
    for (unsigned i = 0; i < sizeof command && (fake_in8(&z->f, MSR) & 0xc0) == 0x80; i++)
        out(z, FIFO, command[i]);
}

/** Move what programmed I/O wants, or fetch a result. */
static void floppy_bytes(struct fuzz *z)
{
    for (unsigned i = 0; i < 600; i++) {
        const uint8_t status = fake_in8(&z->f, MSR);
        if (!(status & 0x80))
            break;
        if (status & 0x40)
            (void)fake_in8(&z->f, FIFO);
        else if (status & 0x20)
            out(z, FIFO, byte(z));
        else
            break;
    }
}

static void change_disk(struct fuzz *z)
{
    vm__lock(z->f.m);
    (void)vm__drive_eject(z->drive, true);
    vm__unlock(z->f.m);
    if (below(z, 4) != 0)
        insert(z);
}

static void wild(struct fuzz *z)
{
    static const struct {
        uint16_t base, n;
    } ranges[] = { { 0x00, 32 }, { 0xc0, 32 }, { 0x80, 16 }, { 0x480, 16 },
                   { 0x3f0, 8 }, { 0x378, 8 }, { 0x778, 3 } };
    const unsigned i = (unsigned)below(z, VM_COUNT_OF(ranges));
    const uint16_t port = (uint16_t)(ranges[i].base + below(z, ranges[i].n));
    static const uint8_t sizes[] = { 1, 2, 4 };

    if (below(z, 3) == 0)
        (void)vm__port_read(z->f.m, port, sizes[below(z, 3)]);
    else
        vm__port_write(z->f.m, port, sizes[below(z, 3)], (uint32_t)next(z));
}

/** A damaged copy of a device's own state: refused or taken, all must go on. */
static void load_damaged(struct fuzz *z, struct vm_dev *dev)
{
    struct vm_buf saved = { 0 };

    vm__lock(dev->m);
    vm__fields_save(&saved, dev->cls->fields, dev->state);
    for (unsigned i = 0; i < 3 && saved.len > 0; i++)
        saved.data[below(z, saved.len < 200 ? saved.len : 200)] = byte(z);
    vm__dev_reset(dev, VM_DEV_RESET_COLD); /* nothing in flight, as before any load */
    struct vm_reader r = { .data = saved.data, .len = saved.len };
    int st = vm__fields_load(&r, dev->cls->fields, 1, dev->state);
    if (st == VM_OK)
        st = dev->cls->post_load(dev);
    if (st != VM_OK)
        vm__dev_reset(dev, VM_DEV_RESET_COLD);
    vm__unlock(dev->m);
    free(saved.data);
}

static void printer(struct fuzz *z)
{
    out(z, 0x77a, byte(z));
    for (unsigned i = 0; i < 20; i++)
        out(z, below(z, 2) ? 0x778 : 0x37a, byte(z));
    z->f.chr_blocked = next(z) & 1;
    z->f.n_out = 0;
    vm__chr_ready(vm__chr_find(z->f.m, "lpt"));
}

static void step(struct fuzz *z)
{
    struct vm_dev *const devices[] = { z->fdc, z->dma, z->port };

    switch (below(z, 20)) {
    case 0:
        out(z, DOR, below(z, 2) ? 0x1c : byte(z));
        break;
    case 1:
        out(z, 0x3f7, (uint8_t)below(z, 4));
        break;
    case 2:
    case 3:
    case 4:
        program_dma(z);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        floppy_command(z);
        break;
    case 9:
    case 10:
        floppy_bytes(z);
        break;
    case 11:
        printer(z);
        break;
    case 12:
        if (below(z, 50) == 0)
            change_disk(z);
        break;
    case 13:
        if (below(z, 50) == 0)
            load_damaged(z, devices[below(z, 3)]);
        break;
    case 14:
        if (below(z, 50) == 0)
            fake_save_load(devices[below(z, 3)]);
        break;
    case 15:
        wild(z);
        break;
    default:
        fake_advance(&z->f, below(z, 100000));
        break;
    }
}

/** After all that: reset, recalibrate, read a sector. */
static void still_works(struct fuzz *z)
{
    static const uint8_t read[] = { 0x66, 0, 0, 0, 1, 2, 18, 27, 255 };

    change_disk(z);
    insert(z);
    fake_reset(z->dma, VM_DEV_RESET_COLD);
    fake_reset(z->fdc, VM_DEV_RESET_COLD);
    out(z, 0xd6, 0xc0);
    out(z, 0xd4, 0);
    out(z, DOR, 0x1c);
    out(z, 0x3f7, 0);
    fake_advance(&z->f, 1000000);
    out(z, FIFO, 0x07);
    out(z, FIFO, 0x00);
    fake_advance(&z->f, 10000000);
    out(z, FIFO, 0x07); /* from beyond cylinder 79 it takes two */
    out(z, FIFO, 0x00);
    fake_advance(&z->f, 10000000);
    out(z, 0x0b, 0x46);
    out(z, 0x05, 0xff);
    out(z, 0x05, 0x01);
    out(z, 0x0a, 0x02);
    for (unsigned i = 0; i < sizeof read; i++)
        out(z, FIFO, read[i]);
    fake_advance(&z->f, 10000000);
    if (fake_in8(&z->f, MSR) != 0xd0 || fake_in8(&z->f, FIFO) != 0) {
        fprintf(stderr, "the controller does not read any more\n");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static struct fuzz z;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t steps = argc > 2 ? strtoull(argv[2], NULL, 0) : 100000;

    printf("seed %llu, %llu steps\n", (unsigned long long)seed, (unsigned long long)steps);
    fflush(stdout);
    z.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    build(&z);
    for (unsigned i = 0; i < 1000; i++)
        step(&z);
    size_t before = mallinfo2().uordblks;
    for (uint64_t i = 0; i < steps; i++)
        step(&z);
    size_t after = mallinfo2().uordblks;
    still_works(&z);
    printf("heap %zu, then %zu bytes\n", before, after);
    fake_fini(&z.f);
    unlink(z.path);
    return after > before + GROWTH_LIMIT;
}
