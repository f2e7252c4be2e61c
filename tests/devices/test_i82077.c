/* SPDX-License-Identifier: MIT */
/**
 * @file test_i82077.c
 * The floppy controller: every command, both ways of moving data, disks and drives.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/classes.h"
#include "devices/dma/i8237.h"
#include "devices/storage/i82077.h"

enum {
    DOR = 0x3f2,
    MSR = 0x3f4,
    DSR = 0x3f4,
    FIFO = 0x3f5,
    DIR = 0x3f7,
    CCR = 0x3f7,

    RUN = 0x1c, /* DOR: drive A turning, DMA gate open, no reset */
    BUFFER = 0x10000,
    IRQ = 6,
};

static struct fake_machine f;
static struct vm_dev *fdc;
static struct vm_drive *drive;
static char path[64];
static uint8_t result[16];
static unsigned n_result;

static const uint64_t ms = 1000000;

/* ---- an image whose sectors tell their number ---------------------------------------------- */

static void make_image(uint64_t size)
{
    snprintf(path, sizeof path, "/tmp/libvm-floppy-XXXXXX");
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "wb");
    for (uint64_t at = 0; at < size; at++) {
        uint64_t sector = at / 512;
        fputc((int)((at & 1 ? sector >> 8 : sector) & 0xff), file);
    }
    fclose(file);
}

static uint16_t image_word(uint32_t sector, unsigned at)
{
    uint8_t b[2] = { 0 };
    FILE *file = fopen(path, "rb");
    fseek(file, (long)(sector * 512 + at), SEEK_SET);
    cr_assert_eq(fread(b, 1, 2, file), 2);
    fclose(file);
    return (uint16_t)(b[0] | b[1] << 8);
}

static void build(uint64_t size, bool read_only)
{
    fake_init(&f);
    fake_add(&f, &vm__i8237_class, NULL);
    fake_out8(&f, 0xd6, 0xc0);
    fake_out8(&f, 0xd4, 0x00);
    vm__lock(f.m);
    drive = vm__drive_new(f.m, "floppy0", VM_IF_FLOPPY, 0);
    if (size != 0) {
        make_image(size);
        cr_assert_eq(vm__drive_insert(drive, path, "raw", read_only), VM_OK);
    }
    vm__unlock(f.m);
    fdc = fake_add(&f, &vm__i82077_class, NULL);
}

/* ---- a driver ------------------------------------------------------------------------------ */

static void out(uint8_t byte)
{
    cr_assert_eq(fake_in8(&f, MSR) & 0xc0, 0x80, "not ready for a command byte");
    fake_out8(&f, FIFO, byte);
}

static void fetch_result(void)
{
    for (n_result = 0; n_result < sizeof result && (fake_in8(&f, MSR) & 0xc0) == 0xc0; n_result++)
        result[n_result] = fake_in8(&f, FIFO);
}

static void command(const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        out(bytes[i]);
}

#define COMMAND(...)                                                                               \
    command((const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }))

/** Run a data command to its interrupt and fetch the seven bytes. */
#define DATA_COMMAND(...)                                                                          \
    do {                                                                                           \
        unsigned before_ = f.rises[IRQ];                                                           \
        COMMAND(__VA_ARGS__);                                                                      \
        cr_assert_eq(f.rises[IRQ], before_, "the interrupt came within the command");              \
        fake_advance(&f, 100 * ms);                                                                \
        cr_assert_eq(f.rises[IRQ], before_ + 1, "no interrupt");                                   \
        fetch_result();                                                                            \
        cr_assert_eq(n_result, 7);                                                                 \
        cr_assert_eq(f.level[IRQ], 0);                                                             \
    } while (0)

static void expect_result(uint8_t st0, uint8_t st1, uint8_t st2, uint8_t c, uint8_t h, uint8_t r)
{
    const uint8_t want[] = { st0, st1, st2, c, h, r, 2 };
    for (unsigned i = 0; i < 7; i++)
        cr_assert_eq(result[i], want[i], "byte %u is %#x, not %#x", i, result[i], want[i]);
}

/** Seek or recalibrate, and sense. */
#define SEEK_COMMAND(...)                                                                          \
    do {                                                                                           \
        COMMAND(__VA_ARGS__);                                                                      \
        fake_advance(&f, 10 * ms);                                                                 \
        cr_assert_eq(f.level[IRQ], 1);                                                             \
        COMMAND(0x08);                                                                             \
        fetch_result();                                                                            \
        cr_assert_eq(n_result, 2);                                                                 \
        cr_assert_eq(f.level[IRQ], 0);                                                             \
    } while (0)

static void start_chip(void)
{
    fake_out8(&f, DOR, 0x08);
    fake_out8(&f, DOR, RUN);
    fake_advance(&f, ms);
    cr_assert_eq(f.level[IRQ], 1);
    for (unsigned i = 0; i < 4; i++) {
        COMMAND(0x08);
        fetch_result();
        cr_assert_eq(n_result, 2);
        cr_assert_eq(result[0], 0xc0 | i);
    }
    cr_assert_eq(f.level[IRQ], 0);
    COMMAND(0x03, 0xdf, 0x02);
    fake_out8(&f, CCR, 0);
    SEEK_COMMAND(0x07, 0x00);
    cr_assert_eq(result[0], 0x20);
    cr_assert_eq(result[1], 0);
}

static void dma(uint8_t mode, unsigned bytes)
{
    fake_out8(&f, 0x0a, 6);
    fake_out8(&f, 0x0c, 0);
    fake_out8(&f, 0x0b, mode | 2);
    fake_out8(&f, 0x04, BUFFER & 0xff);
    fake_out8(&f, 0x04, BUFFER >> 8 & 0xff);
    fake_out8(&f, 0x81, BUFFER >> 16);
    fake_out8(&f, 0x05, (uint8_t)(bytes - 1));
    fake_out8(&f, 0x05, (uint8_t)((bytes - 1) >> 8));
    fake_out8(&f, 0x0a, 2);
}

static uint16_t memory_word(unsigned sector)
{
    return (uint16_t)fake_read(&f, BUFFER + sector * 512, 2);
}

static void fill_memory(unsigned bytes, uint8_t v)
{
    for (unsigned i = 0; i < bytes; i++)
        fake_write(&f, BUFFER + i, 1, v);
}

static void setup(void)
{
    build(1474560, false);
    start_chip();
}

static void teardown(void)
{
    if (f.m != NULL)
        fake_fini(&f);
    f.m = NULL;
    if (path[0] != 0)
        unlink(path);
    path[0] = 0;
}

TestSuite(i82077, .init = setup, .fini = teardown);
TestSuite(i82077_disks, .fini = teardown);

/* ---- reading and writing ------------------------------------------------------------------- */

Test(i82077, reads_sectors_by_dma)
{
    dma(0x44, 3 * 512);
    DATA_COMMAND(0xe6, 0x00, 0, 0, 5, 2, 18, 0x1b, 0xff);
    expect_result(0x00, 0, 0, 0, 0, 8);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(memory_word(i), 4 + i);
    cr_assert_eq(fake_in8(&f, 0x08) & 0x04, 0x04);
}

Test(i82077, multi_track_goes_to_the_other_side)
{
    dma(0x44, 4 * 512);
    DATA_COMMAND(0xe6, 0x00, 0, 0, 17, 2, 18, 0x1b, 0xff);
    expect_result(0x04, 0, 0, 0, 1, 3);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(memory_word(i), 16 + i);
    dma(0x44, 512);
    DATA_COMMAND(0xe6, 0x00, 0, 0, 18, 2, 18, 0x1b, 0xff);
    expect_result(0x00, 0, 0, 0, 1, 1);
    dma(0x44, 512);
    DATA_COMMAND(0xe6, 0x04, 0, 1, 18, 2, 18, 0x1b, 0xff);
    expect_result(0x04, 0, 0, 1, 0, 1);
    cr_assert_eq(memory_word(0), 35);
}

Test(i82077, without_terminal_count_the_cylinder_ends)
{
    dma(0x44, 5 * 512);
    DATA_COMMAND(0x66, 0x00, 0, 0, 17, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x80, 0, 1, 0, 1);
    cr_assert_eq(memory_word(1), 17);
    cr_assert_eq(memory_word(2), 0);
}

Test(i82077, terminal_count_within_a_sector)
{
    dma(0x44, 100);
    DATA_COMMAND(0x66, 0x00, 0, 0, 3, 2, 18, 0x1b, 0xff);
    expect_result(0x00, 0, 0, 0, 0, 4);
    cr_assert_eq(fake_read(&f, BUFFER + 98, 2), 2);
    cr_assert_eq(fake_read(&f, BUFFER + 100, 2), 0);
}

Test(i82077, writes_sectors_by_dma)
{
    fill_memory(1024, 0x5a);
    dma(0x48, 600);
    DATA_COMMAND(0x45, 0x04, 0, 1, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x04, 0, 0, 0, 1, 3);
    cr_assert_eq(image_word(18, 0), 0x5a5a);
    cr_assert_eq(image_word(19, 86), 0x5a5a);
    cr_assert_eq(image_word(19, 88), 0, "the rest of a sector is zeros");
    cr_assert_eq(image_word(20, 0), 20);
}

Test(i82077, the_channel_may_be_set_up_late)
{
    unsigned before = f.rises[IRQ];
    COMMAND(0x66, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fake_advance(&f, 50 * ms);
    cr_assert_eq(f.rises[IRQ], before);
    cr_assert_eq(fake_in8(&f, MSR), 0x10);
    cr_assert_eq(fake_in8(&f, 0x08) & 0x40, 0x40, "DREQ is up");
    dma(0x44, 512);
    fake_advance(&f, ms);
    cr_assert_eq(f.rises[IRQ], before + 1);
    cr_assert_eq(fake_in8(&f, 0x08) & 0x40, 0);
}

Test(i82077, the_gate_in_dor_holds_interrupt_and_request)
{
    fake_out8(&f, DOR, RUN & ~0x08);
    dma(0x44, 512);
    COMMAND(0x66, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fake_advance(&f, 50 * ms);
    cr_assert_eq(fake_in8(&f, 0x08) & 0x40, 0);
    cr_assert_eq(fake_in8(&f, MSR), 0x10);
    fake_out8(&f, DOR, RUN);
    fake_advance(&f, ms);
    cr_assert_eq(f.level[IRQ], 1);
    fake_out8(&f, DOR, RUN & ~0x08);
    cr_assert_eq(f.level[IRQ], 0);
    fetch_result();
    expect_result(0, 0, 0, 0, 0, 2);
}

Test(i82077, reads_by_program)
{
    COMMAND(0x03, 0xdf, 0x03);
    COMMAND(0x66, 0x00, 0, 0, 2, 2, 3, 0x1b, 0xff);
    for (unsigned sector = 0; sector < 2; sector++) {
        cr_assert_eq(fake_in8(&f, MSR) & 0xb0, 0x30, "not before the sector has come");
        fake_advance(&f, ms);
        cr_assert_eq(f.level[IRQ], 1);
        for (unsigned i = 0; i < 512; i++) {
            cr_assert_eq(fake_in8(&f, MSR), 0xf0);
            cr_assert_eq(fake_in8(&f, FIFO), i & 1 ? 0 : 1 + sector);
        }
        cr_assert_eq(f.level[IRQ], 0);
    }
    fake_advance(&f, ms);
    cr_assert_eq(f.level[IRQ], 1);
    fetch_result();
    expect_result(0x40, 0x80, 0, 1, 0, 1);
}

Test(i82077, writes_by_program)
{
    COMMAND(0x03, 0xdf, 0x03);
    COMMAND(0x45, 0x00, 0, 0, 2, 2, 2, 0x1b, 0xff);
    fake_advance(&f, ms);
    for (unsigned i = 0; i < 512; i++) {
        cr_assert_eq(fake_in8(&f, MSR), 0xb0);
        fake_out8(&f, FIFO, 0xa5);
    }
    fake_advance(&f, ms);
    fetch_result();
    expect_result(0x40, 0x80, 0, 1, 0, 1);
    cr_assert_eq(image_word(1, 510), 0xa5a5);
    cr_assert_eq(image_word(2, 0), 2);
}

Test(i82077, deleted_data_is_never_found)
{
    dma(0x44, 2 * 512);
    DATA_COMMAND(0x4c, 0x00, 0, 0, 5, 2, 18, 0x1b, 0xff);
    expect_result(0x00, 0, 0x40, 0, 0, 5);
    cr_assert_eq(memory_word(0), 4, "the sector is transferred");
    cr_assert_eq(memory_word(1), 0, "and none after it");
    dma(0x44, 2 * 512);
    fake_write(&f, BUFFER, 2, 0);
    DATA_COMMAND(0x6c, 0x00, 0, 0, 5, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x80, 0x40, 1, 0, 1);
    cr_assert_eq(memory_word(0), 0, "with SK they are passed over");
    dma(0x48, 512);
    DATA_COMMAND(0x49, 0x00, 0, 0, 5, 2, 18, 0x1b, 0xff);
    expect_result(0x00, 0, 0, 0, 0, 6);
}

Test(i82077, wrong_ids)
{
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 0, 0, 19, 2, 20, 0x1b, 0xff);
    expect_result(0x40, 0x04, 0, 0, 0, 19);
    DATA_COMMAND(0x66, 0x00, 0, 0, 0, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x04, 0, 0, 0, 0);
    DATA_COMMAND(0x66, 0x00, 7, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x04, 0x10, 7, 0, 1);
    DATA_COMMAND(0x66, 0x00, 0, 1, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x04, 0, 0, 1, 1);
    DATA_COMMAND(0x66, 0x00, 0, 0, 1, 3, 18, 0x1b, 0xff);
    cr_assert_eq(result[1], 0x04, "other sector sizes are not on the disk");
    DATA_COMMAND(0x26, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x01, 0, 0, 0, 1);
    fake_out8(&f, CCR, 2);
    DATA_COMMAND(0x66, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x01, 0, 0, 0, 1);
}

Test(i82077, nothing_comes_from_a_drive_that_does_not_turn)
{
    fake_out8(&f, DOR, 0x0c);
    DATA_COMMAND(0x66, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x01, 0, 0, 0, 1);
    fake_out8(&f, DOR, 0x2d);
    DATA_COMMAND(0x66, 0x01, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x41, 0x01, 0, 0, 0, 1);
}

Test(i82077, read_track_takes_sectors_from_the_index_on)
{
    dma(0x44, 18 * 512);
    DATA_COMMAND(0x42, 0x04, 0, 1, 1, 2, 18, 0x1b, 0xff);
    cr_assert_eq(result[0], 0x04);
    cr_assert_eq(result[1], 0);
    for (unsigned i = 0; i < 18; i++)
        cr_assert_eq(memory_word(i), 18 + i);
    dma(0x44, 2 * 512);
    DATA_COMMAND(0x42, 0x00, 0, 0, 9, 2, 18, 0x1b, 0xff);
    cr_assert_eq(result[1], 0x04, "not those that were named");
    cr_assert_eq(memory_word(0), 0);
    cr_assert_eq(memory_word(1), 1);
}

Test(i82077, read_id_sees_what_passes)
{
    uint32_t seen = 0;
    SEEK_COMMAND(0x0f, 0x00, 33);
    for (unsigned i = 0; i < 200; i++) {
        DATA_COMMAND(0x4a, 0x04);
        cr_assert_eq(result[0], 0x04);
        cr_assert_eq(result[3], 33);
        cr_assert_eq(result[4], 1);
        cr_assert_eq(result[6], 2);
        seen |= 1u << result[5];
        fake_advance(&f, 70000); /* and one sector more */
    }
    cr_assert_eq(seen, 0x7fffe, "each of the eighteen");
    fake_out8(&f, CCR, 1);
    DATA_COMMAND(0x4a, 0x00);
    cr_assert_eq(result[0], 0x40);
    cr_assert_eq(result[1], 0x01);
}

Test(i82077, verify_moves_nothing)
{
    DATA_COMMAND(0x56, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x00, 0, 0, 1, 0, 1);
    DATA_COMMAND(0xd6, 0x80, 0, 0, 17, 2, 18, 0x1b, 4);
    expect_result(0x04, 0, 0, 0, 1, 3);
    DATA_COMMAND(0x56, 0x80, 0, 0, 17, 2, 18, 0x1b, 4);
    expect_result(0x40, 0x80, 0, 1, 0, 1);
    DATA_COMMAND(0x56, 0x00, 0, 0, 1, 2, 20, 0x1b, 0xff);
    expect_result(0x40, 0x04, 0, 0, 0, 19);
}

static void scan_buffer(uint8_t low, uint8_t high)
{
    for (unsigned i = 0; i < 512; i += 2) {
        fake_write(&f, BUFFER + i, 1, low);
        fake_write(&f, BUFFER + i + 1, 1, high);
    }
}

Test(i82077, scans_compare_with_memory)
{
    scan_buffer(4, 0);
    dma(0x58, 512); /* the same 512 bytes again and again */
    DATA_COMMAND(0x51, 0x00, 0, 0, 5, 2, 18, 0x1b, 1);
    expect_result(0x00, 0, 0x08, 0, 0, 5);
    dma(0x58, 512);
    DATA_COMMAND(0x51, 0x00, 0, 0, 6, 2, 18, 0x1b, 1);
    cr_assert_eq(result[2], 0x04, "not equal");
    dma(0x58, 512);
    DATA_COMMAND(0x59, 0x00, 0, 0, 4, 2, 18, 0x1b, 1);
    cr_assert_eq(result[2], 0x00, "lower");
    dma(0x58, 512);
    DATA_COMMAND(0x5d, 0x00, 0, 0, 4, 2, 18, 0x1b, 1);
    cr_assert_eq(result[2], 0x04, "not higher");
    dma(0x58, 512);
    DATA_COMMAND(0x5d, 0x00, 0, 0, 6, 2, 18, 0x1b, 1);
    cr_assert_eq(result[2], 0x00, "higher");
    scan_buffer(0xff, 0xff);
    dma(0x58, 512);
    DATA_COMMAND(0x51, 0x00, 0, 0, 9, 2, 18, 0x1b, 1);
    cr_assert_eq(result[2], 0x08, "ones match everything");
}

Test(i82077, scans_go_on_by_program)
{
    COMMAND(0x03, 0xdf, 0x03);
    COMMAND(0x51, 0x00, 0, 0, 1, 2, 7, 0x1b, 2); /* 1, 3, 5: hit */
    for (unsigned n = 0; n < 3; n++) {
        fake_advance(&f, ms);
        for (unsigned i = 0; i < 512; i++) {
            cr_assert_eq(fake_in8(&f, MSR), 0xb0);
            fake_out8(&f, FIFO, i & 1 ? 0 : 4);
        }
    }
    fake_advance(&f, ms);
    fetch_result();
    expect_result(0x00, 0, 0x08, 0, 0, 5);
}

Test(i82077, format_fills_the_sectors_named)
{
    for (unsigned i = 0; i < 18; i++) {
        const uint8_t id[] = { 2, 1, (uint8_t)(18 - i), 2 };
        for (unsigned k = 0; k < 4; k++)
            fake_write(&f, BUFFER + i * 4 + k, 1, id[k]);
    }
    SEEK_COMMAND(0x0f, 0x04, 2);
    dma(0x48, 18 * 4);
    DATA_COMMAND(0x4d, 0x04, 2, 18, 0x54, 0xf6);
    cr_assert_eq(result[0], 0x04);
    cr_assert_eq(result[1], 0);
    const uint32_t first = (2 * 2 + 1) * 18;
    for (uint32_t i = 0; i < 18; i++)
        cr_assert_eq(image_word(first + i, 510), 0xf6f6);
    cr_assert_eq(image_word(first - 1, 510), first - 1);
    cr_assert_eq(image_word(first + 18, 0), first + 18);
}

Test(i82077, format_of_another_kind_is_refused)
{
    dma(0x48, 9 * 4);
    fake_out8(&f, CCR, 2);
    DATA_COMMAND(0x4d, 0x00, 2, 9, 0x54, 0xf6);
    cr_assert_eq(result[0], 0x40);
    cr_assert_eq(result[1], 0x02);
    cr_assert_eq(image_word(0, 0), 0);
}

/* ---- heads --------------------------------------------------------------------------------- */

Test(i82077, seek_recalibrate_and_sense)
{
    COMMAND(0x0f, 0x04, 40);
    cr_assert_eq(fake_in8(&f, MSR), 0x81, "on its way, and ready for other commands");
    cr_assert_eq(f.level[IRQ], 0);
    fake_advance(&f, 10 * ms);
    cr_assert_eq(fake_in8(&f, MSR), 0x80);
    COMMAND(0x08);
    fetch_result();
    cr_assert_eq(n_result, 2);
    cr_assert_eq(result[0], 0x24);
    cr_assert_eq(result[1], 40);
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 40, 0, 1, 2, 18, 0x1b, 0xff);
    cr_assert_eq(memory_word(0), 40 * 36);
    SEEK_COMMAND(0x07, 0x00);
    cr_assert_eq(result[0], 0x20);
    cr_assert_eq(result[1], 0);
    COMMAND(0x08);
    fetch_result();
    cr_assert_eq(n_result, 1, "nothing is left to be sensed");
    cr_assert_eq(result[0], 0x80);
}

Test(i82077, relative_seek)
{
    SEEK_COMMAND(0xcf, 0x00, 10);
    cr_assert_eq(result[1], 10);
    SEEK_COMMAND(0x8f, 0x00, 3);
    cr_assert_eq(result[1], 7);
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 7, 0, 1, 2, 18, 0x1b, 0xff);
    cr_assert_eq(memory_word(0), 7 * 36);
}

Test(i82077, implied_seek)
{
    COMMAND(0x13, 0, 0x57, 0);
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 12, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x20, 0, 0, 12, 0, 2);
    cr_assert_eq(memory_word(0), 12 * 36);
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 12, 0, 2, 2, 18, 0x1b, 0xff);
    expect_result(0x00, 0, 0, 12, 0, 3);
    COMMAND(0x0e);
    fetch_result();
    cr_assert_eq(result[0], 12);
}

Test(i82077, two_drives_seek_at_once)
{
    COMMAND(0x0f, 0x00, 79);
    COMMAND(0x07, 0x01);
    cr_assert_eq(fake_in8(&f, MSR), 0x83);
    fake_advance(&f, 10 * ms);
    COMMAND(0x08);
    fetch_result();
    cr_assert_eq(result[0], 0x20);
    cr_assert_eq(result[1], 79);
    cr_assert_eq(f.level[IRQ], 1, "the other one");
    COMMAND(0x08);
    fetch_result();
    cr_assert_eq(result[0], 0x71, "no track 0: there is no drive B");
    cr_assert_eq(f.level[IRQ], 0);
}

Test(i82077, recalibrate_takes_79_steps_at_most)
{
    SEEK_COMMAND(0x0f, 0x00, 82);
    SEEK_COMMAND(0x07, 0x00);
    cr_assert_eq(result[0], 0x70);
    SEEK_COMMAND(0x07, 0x00);
    cr_assert_eq(result[0], 0x20);
}

/* ---- status and settings ------------------------------------------------------------------- */

Test(i82077, what_drivers_ask_to_know_the_chip)
{
    COMMAND(0x10);
    fetch_result();
    cr_assert_eq(n_result, 1);
    cr_assert_eq(result[0], 0x90);
    COMMAND(0x18); /* PART ID of the 82078 */
    fetch_result();
    cr_assert_eq(n_result, 1);
    cr_assert_eq(result[0], 0x80);
    COMMAND(0x94);
    fetch_result();
    cr_assert_eq(result[0], 0x10);
    COMMAND(0x14);
    fetch_result();
    cr_assert_eq(result[0], 0x00);
    cr_assert_eq(f.rises[IRQ], 2, "none of them interrupts");
}

Test(i82077, dumpreg_shows_the_settings)
{
    COMMAND(0x13, 0, 0x1a, 40);
    COMMAND(0x12, 0x86);
    COMMAND(0x94);
    fetch_result();
    SEEK_COMMAND(0x0f, 0x00, 5);
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 5, 0, 1, 2, 17, 0x1b, 0xff);
    COMMAND(0x0e);
    fetch_result();
    const uint8_t want[] = { 5, 0, 0, 0, 0xdf, 0x02, 17, 0x86, 0x1a, 40 };
    cr_assert_eq(n_result, 10);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(result[i], want[i], "byte %u is %#x", i, result[i]);
}

Test(i82077, lock_keeps_settings_over_a_software_reset)
{
    COMMAND(0x13, 0, 0x0a, 40);
    COMMAND(0x94);
    fetch_result();
    fake_out8(&f, DSR, 0x80);
    cr_assert_eq(fake_in8(&f, MSR), 0);
    fake_advance(&f, ms);
    cr_assert_eq(f.level[IRQ], 1);
    COMMAND(0x0e);
    fetch_result();
    cr_assert_eq(result[8], 0x0a);
    cr_assert_eq(result[9], 40);
    cr_assert_eq(result[4], 0xdf, "what SPECIFY said stays in any case");
    COMMAND(0x14);
    fetch_result();
    fake_out8(&f, DSR, 0x80);
    fake_advance(&f, ms);
    COMMAND(0x0e);
    fetch_result();
    cr_assert_eq(result[8], 0x20);
    cr_assert_eq(result[9], 0);
}

Test(i82077, perpendicular_drive_bits_need_ow)
{
    COMMAND(0x12, 0xbc);
    COMMAND(0x12, 0x03);
    COMMAND(0x0e);
    fetch_result();
    cr_assert_eq(result[7], 0x3f);
}

Test(i82077, sense_drive)
{
    COMMAND(0x04, 0x04);
    fetch_result();
    cr_assert_eq(n_result, 1);
    cr_assert_eq(result[0], 0x3c);
    SEEK_COMMAND(0x0f, 0x00, 1);
    COMMAND(0x04, 0x00);
    fetch_result();
    cr_assert_eq(result[0], 0x28);
}

Test(i82077, reset_in_the_middle_of_everything)
{
    dma(0x44, 512);
    COMMAND(0x66, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fake_out8(&f, DOR, 0x18);
    cr_assert_eq(fake_in8(&f, MSR), 0);
    fake_advance(&f, 100 * ms);
    cr_assert_eq(f.level[IRQ], 0);
    start_chip();
    out(0x66);
    out(0x00);
    start_chip();
    DATA_COMMAND(0x66, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0, 0, 0, 0, 0, 2);
    COMMAND(0x0f, 0x00, 3);
    start_chip();
    cr_assert_eq(fake_in8(&f, MSR), 0x80);
}

Test(i82077, state_survives_saving_at_every_step)
{
    for (unsigned delay = 0; delay < 24; delay++) {
        fake_write(&f, BUFFER + 512, 2, 0xeeee);
        dma(0x44, 1024);
        COMMAND(0x66, 0x00, 0, 0, 7, 2, 18, 0x1b, 0xff);
        fake_advance(&f, delay * 5000);
        fake_save_load(fdc);
        fake_advance(&f, 100 * ms);
        fetch_result();
        cr_assert_eq(n_result, 7, "delay %u", delay);
        expect_result(0, 0, 0, 0, 0, 9);
        cr_assert_eq(memory_word(1), 7);
    }
}

/* ---- disks --------------------------------------------------------------------------------- */

Test(i82077, the_change_line_is_cleared_by_a_step)
{
    char other[64];
    cr_assert_eq(fake_in8(&f, DIR) & 0x80, 0x80, "at power-on: recalibrate had nowhere to go");
    SEEK_COMMAND(0x0f, 0x00, 1);
    cr_assert_eq(fake_in8(&f, DIR) & 0x80, 0);
    vm__lock(f.m);
    cr_assert_eq(vm__drive_eject(drive, true), VM_OK);
    vm__unlock(f.m);
    cr_assert_eq(fake_in8(&f, DIR) & 0x80, 0x80);
    SEEK_COMMAND(0x0f, 0x00, 0);
    cr_assert_eq(fake_in8(&f, DIR) & 0x80, 0x80, "an empty drive stays changed");
    DATA_COMMAND(0x66, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x01, 0, 0, 0, 1);
    strcpy(other, path);
    make_image(737280);
    vm__lock(f.m);
    cr_assert_eq(vm__drive_insert(drive, path, "raw", false), VM_OK);
    vm__unlock(f.m);
    unlink(other);
    cr_assert_eq(fake_in8(&f, DIR) & 0x80, 0x80);
    SEEK_COMMAND(0x0f, 0x00, 10);
    cr_assert_eq(fake_in8(&f, DIR) & 0x80, 0);
    fake_out8(&f, CCR, 2);
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 10, 0, 9, 2, 9, 0x1b, 0xff);
    cr_assert_eq(result[0], 0);
    cr_assert_eq(memory_word(0), 10 * 18 + 8);
    fake_out8(&f, DOR, 0x0c);
    cr_assert_eq(fake_in8(&f, DIR) & 0x80, 0, "a drive shows it only while selected");
}

Test(i82077_disks, write_protection)
{
    build(1474560, true);
    start_chip();
    dma(0x48, 512);
    DATA_COMMAND(0x45, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(0x40, 0x02, 0, 0, 0, 1);
    DATA_COMMAND(0x4d, 0x00, 2, 18, 0x54, 0xf6);
    cr_assert_eq(result[1], 0x02);
    COMMAND(0x04, 0x00);
    fetch_result();
    cr_assert_eq(result[0], 0x78);
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff);
    cr_assert_eq(memory_word(0), 1);
}

static void check_disk(uint32_t sectors, unsigned cylinders, unsigned heads, unsigned spt,
                       uint8_t rate, uint8_t type)
{
    build((uint64_t)sectors * 512, false);
    start_chip();
    cr_assert_eq(vm__i82077_drive_types(fdc), type << 4);
    fake_out8(&f, CCR, rate);
    SEEK_COMMAND(0x0f, 0x00, (uint8_t)(cylinders - 1));
    dma(0x44, 512);
    const uint8_t head = (uint8_t)(heads - 1);
    DATA_COMMAND(0x66, (uint8_t)(head << 2), (uint8_t)(cylinders - 1), head, (uint8_t)spt, 2,
                 (uint8_t)spt, 0x1b, 0xff);
    cr_assert_eq(result[0], head << 2, "%u sectors", sectors);
    cr_assert_eq(memory_word(0), (sectors - 1) & 0xffff);
    teardown();
}

Test(i82077_disks, every_format_to_its_last_sector)
{
    check_disk(320, 40, 1, 8, 2, FLOPPY_360K);
    check_disk(360, 40, 1, 9, 2, FLOPPY_360K);
    check_disk(640, 40, 2, 8, 2, FLOPPY_360K);
    check_disk(720, 40, 2, 9, 2, FLOPPY_360K);
    check_disk(1440, 80, 2, 9, 2, FLOPPY_1440K);
    check_disk(2400, 80, 2, 15, 0, FLOPPY_1200K);
    check_disk(2880, 80, 2, 18, 0, FLOPPY_1440K);
    check_disk(3360, 80, 2, 21, 0, FLOPPY_1440K);
    check_disk(3444, 82, 2, 21, 0, FLOPPY_1440K);
    check_disk(5760, 80, 2, 36, 3, FLOPPY_2880K);
}

Test(i82077_disks, forty_cylinders_in_a_drive_with_eighty)
{
    build(720 * 512, false);
    fake_fini(&f);
    fake_init(&f);
    fake_add(&f, &vm__i8237_class, NULL);
    fake_out8(&f, 0xd6, 0xc0);
    fake_out8(&f, 0xd4, 0x00);
    vm__lock(f.m);
    drive = vm__drive_new(f.m, "floppy0", VM_IF_FLOPPY, 0);
    cr_assert_eq(vm__drive_insert(drive, path, "raw", false), VM_OK);
    vm__unlock(f.m);
    fdc = fake_add(&f, &vm__i82077_class, "type-a", "1.2M", NULL);
    start_chip();
    fake_out8(&f, CCR, 1);
    SEEK_COMMAND(0x0f, 0x00, 20);
    dma(0x44, 512);
    DATA_COMMAND(0x66, 0x00, 10, 0, 1, 2, 9, 0x1b, 0xff);
    cr_assert_eq(result[0], 0);
    cr_assert_eq(memory_word(0), 180);
    SEEK_COMMAND(0x0f, 0x00, 21);
    DATA_COMMAND(0x66, 0x00, 10, 0, 1, 2, 9, 0x1b, 0xff);
    cr_assert_eq(result[1], 0x01, "between two cylinders");
}

static void expect_refused(uint64_t size, const char *words)
{
    make_image(size);
    fake_init(&f);
    vm__lock(f.m);
    drive = vm__drive_new(f.m, "floppy0", VM_IF_FLOPPY, 0);
    cr_assert_eq(vm__drive_insert(drive, path, "raw", false), VM_OK);
    vm__unlock(f.m);
    cr_assert_null(fake_add(&f, &vm__i82077_class, NULL));
    cr_assert_not_null(strstr(vm_last_error()->message, words), "%s", vm_last_error()->message);
    teardown();
}

Test(i82077_disks, odd_sizes_are_refused_by_name)
{
    expect_refused(1474561, "1474561 bytes");
    expect_refused(1474048, "1474048 bytes");
    expect_refused(512, "512 bytes");
    expect_refused(100, "100 bytes");
    expect_refused(10 << 20, "10485760 bytes");
}

/** A boot sector, and a file system's description in it if @p sectors is not 0. */
static void write_boot_sector(unsigned sectors)
{
    uint8_t boot[512] = { 0xeb, 0x3c };
    FILE *file = fopen(path, "r+b");
    boot[510] = 0x55;
    boot[511] = 0xaa;
    if (sectors != 0) {
        boot[12] = 2;
        boot[19] = (uint8_t)sectors;
        boot[20] = (uint8_t)(sectors >> 8);
        boot[21] = 0xf0;
    }
    fwrite(boot, 1, sizeof boot, file);
    fclose(file);
}

static struct vm_dev *insert_short(unsigned sectors)
{
    make_image(1296384);
    write_boot_sector(sectors);
    fake_init(&f);
    fake_add(&f, &vm__i8237_class, NULL);
    fake_out8(&f, 0xd6, 0xc0);
    fake_out8(&f, 0xd4, 0x00);
    vm__lock(f.m);
    drive = vm__drive_new(f.m, "floppy0", VM_IF_FLOPPY, 0);
    cr_assert_eq(vm__drive_insert(drive, path, "raw", false), VM_OK);
    vm__unlock(f.m);
    return fake_add(&f, &vm__i82077_class, NULL);
}

Test(i82077_disks, the_start_of_a_boot_disk_is_a_write_protected_disk)
{
    fdc = insert_short(0);
    cr_assert_not_null(fdc);
    start_chip();
    SEEK_COMMAND(0x0f, 0x00, 70);
    dma(0x44, 2 * 512);
    fake_write(&f, BUFFER + 512, 2, 0xeeee);
    /* Sector 2531 is the last one of the image. */
    DATA_COMMAND(0x66, 0x00, 70, 0, 12, 2, 18, 0x1b, 0xff);
    cr_assert_eq(result[0], 0);
    cr_assert_eq(memory_word(0), 2531);
    cr_assert_eq(memory_word(1), 0);
    DATA_COMMAND(0x45, 0x00, 70, 0, 1, 2, 18, 0x1b, 0xff);
    cr_assert_eq(result[1], 0x02);
    teardown();
    cr_assert_null(insert_short(2880), "but not when its file system is larger");
    cr_assert_not_null(strstr(vm_last_error()->message, "1296384 bytes"));
}

Test(i82077_disks, an_empty_drive_is_there)
{
    build(0, false);
    start_chip();
    cr_assert_eq(vm__i82077_drive_types(fdc), FLOPPY_1440K << 4);
    cr_assert_eq(fake_in8(&f, DIR) & 0x80, 0x80);
    DATA_COMMAND(0x4a, 0x00);
    cr_assert_eq(result[1], 0x01);
}

Test(i82077_disks, ps2_registers)
{
    fake_init(&f);
    fdc = fake_add(&f, &vm__i82077_class, "mode", "ps2", NULL);
    cr_assert_eq(fake_in8(&f, 0x3f1), 0xc0);
    fake_out8(&f, DOR, 0x1c);
    fake_out8(&f, CCR, 0);
    cr_assert_eq(fake_in8(&f, 0x3f1), 0xc1);
    fake_advance(&f, ms);
    cr_assert_eq(fake_in8(&f, 0x3f0) & 0xd0, 0xc0, "interrupt, no second drive, track 0");
    cr_assert_eq(fake_in8(&f, DIR), 0xf8);
    fake_out8(&f, CCR, 2);
    cr_assert_eq(fake_in8(&f, DIR), 0xfd);
}

Test(i82077_disks, reads_nothing_of_a_pc_at_in_sra)
{
    build(0, false);
    cr_assert_eq(fake_in8(&f, 0x3f0), 0xff);
    cr_assert_eq(fake_in8(&f, 0x3f1), 0xff);
    fake_out8(&f, 0x3f3, 2);
    cr_assert_eq(fake_in8(&f, 0x3f3), 2);
}
