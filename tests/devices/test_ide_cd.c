/* SPDX-License-Identifier: MIT */
/**
 * @file test_ide_cd.c
 * An ATAPI CD-ROM drive: the packet protocol by words and by DMA, every command, disc and tray.
 */
#include "devices/ide_rig.h"

static void setup(void);
TestSuite(ide_cd, .init = setup, .fini = rig_teardown);

/** Write a packet's command and the packet. @p limit: byte count; dma: features. */
static void packet_with(const uint8_t *cdb, uint16_t limit, bool dma)
{
    out8(CD + 6, 0xa0);
    out8(CD + 1, dma);
    out8(CD + 4, (uint8_t)limit);
    out8(CD + 5, (uint8_t)(limit >> 8));
    out8(CD + 7, 0xa0);
    expect_status(CD, 0x48);
    cr_assert_eq(in8(CD + 2), 1, "wants the packet");
    for (unsigned i = 0; i < 12; i += 2)
        fake_out16(&r.f, CD, vm_le16(cdb + i));
    rig_wait();
}

/** A packet; the answer, if any, is read to r.data. @return its bytes, or -1 */
static int packet(const uint8_t *cdb)
{
    uint32_t n = 0;
    packet_with(cdb, 0xfffe, false);
    while (in8(CD + ALT) == 0x48) {
        uint32_t block = in8(CD + 4) | (uint32_t)in8(CD + 5) << 8;
        cr_assert_eq(in8(CD + 2), 2);
        expect_irq(CD);
        pio_in(CD, r.data + n, block);
        n += block;
    }
    cr_assert_eq(in8(CD + 2), 3, "the end");
    cr_assert_eq(r.f.level[IRQ_CD], 1);
    return in8(CD + 7) & 1 ? -1 : (int)n;
}

#define PACKET(...) packet((const uint8_t[12]) { __VA_ARGS__ })

/** Key, code and qualifier of the last failure. */
static uint32_t sense(void)
{
    cr_assert_eq(PACKET(0x03, 0, 0, 0, 18), 18);
    return (uint32_t)(r.data[2] << 16 | r.data[12] << 8 | r.data[13]);
}

static void expect_sense(int status, uint32_t expected)
{
    cr_assert_eq(status, -1);
    cr_assert_eq(in8(CD + 1) >> 4, expected >> 16);
    uint32_t got = sense();
    cr_assert_eq(got, expected, "sense %06x, not %06x", got, expected);
}

static void setup(void)
{
    rig_setup();
    cr_assert_eq(PACKET(0x00), -1, "it was reset, and says so");
    cr_assert_eq(sense(), 0x062900);
    cr_assert_eq(PACKET(0x00), 0);
}

Test(ide_cd, identifies_itself)
{
    out8(CD + 7, 0xec);
    expect_status(CD, 0x41);
    cr_assert_eq(in8(CD + 4), 0x14);
    cr_assert_eq(in8(CD + 5), 0xeb);
    out8(CD + 7, 0xa1);
    expect_status(CD, 0x48);
    pio_in(CD, r.data, 512);
    expect_status(CD, 0x40);
    cr_assert_eq(vm_le16(r.data), 0x85c0);
    cr_assert_eq(memcmp(r.data + 54, "ILVB MDCR-MO", 12), 0);
    cr_assert_eq(vm_le16(r.data + 98) & 0x100, 0x100, "DMA");
}

Test(ide_cd, inquiry)
{
    cr_assert_eq(PACKET(0x12, 0, 0, 0, 96), 36);
    cr_assert_eq(r.data[0], 5);
    cr_assert_eq(r.data[1], 0x80);
    cr_assert_eq(memcmp(r.data + 8, "LIBVM   CD-ROM          ", 24), 0);
    cr_assert_eq(PACKET(0x12, 0, 0, 0, 5), 5, "as much as was asked for");
    cr_assert_eq(PACKET(0x12, 1, 0, 0, 96), 7);
    cr_assert_eq(PACKET(0x12, 1, 0x80, 0, 96), 24);
    cr_assert_eq(PACKET(0x12, 1, 0x83, 0, 96), 28);
    expect_sense(PACKET(0x12, 1, 0x55, 0, 96), 0x052400);
    expect_sense(PACKET(0x12, 0, 1, 0, 96), 0x052400);
    cr_assert_eq(PACKET(0x12, 0, 0, 0, 0), 0, "nothing");
}

Test(ide_cd, reads)
{
    cr_assert_eq(PACKET(0x28, 0, 0, 0, 0, 100, 0, 0, 40), 40 * 2048);
    cr_assert_eq(memcmp(r.data, r.cd->data + 100 * 2048, 40 * 2048), 0);
    cr_assert_eq(PACKET(0xa8, 0, 0, 0, 0x0f, 0x9f, 0, 0, 0, 1), 2048);
    cr_assert_eq(memcmp(r.data, r.cd->data + 3999 * 2048, 2048), 0);
    cr_assert_eq(PACKET(0x28, 0, 0, 0, 0, 100, 0, 0, 0), 0);
    expect_sense(PACKET(0x28, 0, 0, 0, 0x0f, 0x9f, 0, 0, 2), 0x052100);
    expect_sense(PACKET(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 0x052100);
}

Test(ide_cd, byte_counts)
{
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 7, 0, 0, 2 };
    static const uint16_t limits[] = { 2048, 4096, 1000, 2, 999, 0, 0xffff, 1, 8 };
    for (unsigned i = 0; i < VM_COUNT_OF(limits); i++) {
        uint32_t n = 0, most = 0;
        packet_with(cdb, limits[i], false);
        while (in8(CD + ALT) == 0x48) {
            uint32_t block = in8(CD + 4) | (uint32_t)in8(CD + 5) << 8;
            cr_assert_eq(block % 2, 0);
            most = block > most ? block : most;
            pio_in(CD, r.data + n, block);
            n += block;
        }
        cr_assert_eq(n, 4096);
        cr_assert_eq(memcmp(r.data, r.cd->data + 7 * 2048, 4096), 0);
        uint32_t limit = limits[i] == 0 ? 0xfffe : limits[i] < 2 ? 2 : limits[i] & ~1u;
        cr_assert_eq(most, limit > 4096 ? 4096 : limit);
        expect_status(CD, 0x40);
    }
}

Test(ide_cd, dma)
{
    static const uint8_t cdb[12] = { 0xa8, 0, 0, 0, 0, 50, 0, 0, 0, 100 };
    const struct prd prd[] = { { MEMORY, 3000 },
                               { MEMORY + 0x1000, 0x10000 },
                               { MEMORY + 0x20000, 0x10000 },
                               { MEMORY + 0x40000, 0x10000 },
                               { MEMORY + 0x60000, 100 * 2048 - 3 * 0x10000 - 3000 } };
    rig_prds(BM_CD, prd, 5);
    packet_with(cdb, 0, true);
    expect_status(CD, 0x58);
    rig_start(BM_CD, true);
    expect_status(CD, 0x40);
    cr_assert_eq(in8(BM_CD + 2) & 7, 4);
    expect_irq(CD);
    for (uint32_t i = 0, off = 50 * 2048; i < 5; off += prd[i++].bytes)
        expect_memory(r.cd, off, prd[i].address, prd[i].bytes);
    cr_assert_eq(r.cd->requests, 1);

    static const uint8_t inq[12] = { 0x12, 0, 0, 0, 36 };
    out8(BM_CD, 0);
    packet_with(inq, 0, true);
    rig_start(BM_CD, true);
    expect_status(CD, 0x40);
    cr_assert_eq(in8(BM_CD + 2) & 1, 1, "more descriptors than data");
    vm__mem_read(r.f.m, MEMORY, r.data, 16);
    cr_assert_eq(memcmp(r.data + 8, "LIBVM", 5), 0);
}

Test(ide_cd, raw_sectors)
{
    cr_assert_eq(PACKET(0xbe, 0, 0, 0, 0, 16, 0, 0, 20, 0xf8), 20 * 2352);
    for (uint32_t i = 0; i < 20; i++) {
        const uint8_t *s = r.data + i * 2352;
        cr_assert_eq(memcmp(s, "\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0", 12), 0);
        cr_assert_eq(s[12], 0);
        cr_assert_eq(s[13], 0x02);
        cr_assert_eq(s[14], i < 9 ? 0x16 + i + (i > 3 ? 6 : 0) : s[14]);
        cr_assert_eq(s[15], 1);
        cr_assert_eq(memcmp(s + 16, r.cd->data + (16 + i) * 2048, 2048), 0);
    }
    cr_assert_eq(PACKET(0xbe, 0, 0, 0, 0, 16, 0, 0, 2, 0x10), 2 * 2048);
    cr_assert_eq(memcmp(r.data, r.cd->data + 16 * 2048, 4096), 0);
    cr_assert_eq(PACKET(0xbe, 8, 0, 0, 0, 16, 0, 0, 1, 0x18), 2048 + 288);
    cr_assert_eq(PACKET(0xbe, 0, 0, 0, 0, 16, 0, 0, 2, 0x00), 0);
    cr_assert_eq(PACKET(0xb9, 0, 0, 0, 2, 16, 0, 2, 18, 0x10), 2 * 2048);
    cr_assert_eq(memcmp(r.data, r.cd->data + 16 * 2048, 4096), 0);
    expect_sense(PACKET(0xbe, 4, 0, 0, 0, 16, 0, 0, 1, 0x10), 0x052400);
    expect_sense(PACKET(0xbe, 0, 0, 0, 0, 16, 0, 0, 1, 0x12), 0x052400);
    expect_sense(PACKET(0xb9, 0, 0, 0, 0, 16, 0, 2, 18, 0x10), 0x052400);
    expect_sense(PACKET(0xbe, 0, 0, 0, 15, 0xff, 0, 0, 1, 0x10), 0x052100);

    static const uint8_t cdb[12] = { 0xbe, 0, 0, 0, 0, 16, 0, 0, 20, 0xf8 };
    const struct prd prd[] = { { MEMORY, 20 * 2352 } };
    rig_prds(BM_CD, prd, 1);
    packet_with(cdb, 0, true);
    rig_start(BM_CD, true);
    expect_status(CD, 0x40);
    vm__mem_read(r.f.m, MEMORY + 19 * 2352 + 16, r.data, 2048);
    cr_assert_eq(memcmp(r.data, r.cd->data + 35 * 2048, 2048), 0);
}

Test(ide_cd, capacity_and_contents)
{
    cr_assert_eq(PACKET(0x25), 8);
    cr_assert_eq(vm_be32(r.data), RIG_BLOCKS - 1);
    cr_assert_eq(vm_be32(r.data + 4), 2048);
    cr_assert_eq(PACKET(0x43, 0, 0, 0, 0, 0, 0, 1, 0), 20);
    cr_assert_eq(vm_be16(r.data), 18);
    cr_assert_eq(r.data[5], 0x14);
    cr_assert_eq(vm_be32(r.data + 8), 0);
    cr_assert_eq(r.data[14], 0xaa);
    cr_assert_eq(vm_be32(r.data + 16), RIG_BLOCKS);
    cr_assert_eq(PACKET(0x43, 2, 0, 0, 0, 0, 0xaa, 1, 0), 12);
    cr_assert_eq(vm_be32(r.data + 8), 0x00000000u | 0 << 16 | 55 << 8 | 25, "4150 frames");
    expect_sense(PACKET(0x43, 0, 0, 0, 0, 0, 5, 1, 0), 0x052400);
    cr_assert_eq(PACKET(0x43, 0, 1, 0, 0, 0, 0, 1, 0), 12);
    cr_assert_eq(r.data[6], 1);
    cr_assert_eq(PACKET(0x43, 0, 0, 0, 0, 0, 0, 1, 0, 0x40), 12, "where older drives had it");
    cr_assert_eq(PACKET(0x43, 0, 2, 0, 0, 0, 0, 1, 0), 48);
    cr_assert_eq(r.data[7], 0xa0);
    expect_sense(PACKET(0x43, 0, 4, 0, 0, 0, 0, 1, 0), 0x052400);
    cr_assert_eq(PACKET(0x44, 0, 0, 0, 0, 9, 0, 0, 8), 8);
    cr_assert_eq(PACKET(0x42, 0, 0x40, 1, 0, 0, 0, 0, 16), 16);
    cr_assert_eq(PACKET(0x42, 0, 0, 0, 0, 0, 0, 0, 16), 4);
    expect_sense(PACKET(0x42, 0, 0x40, 9, 0, 0, 0, 0, 16), 0x052400);
    cr_assert_eq(PACKET(0x2b, 0, 0, 0, 0, 9), 0);
    expect_sense(PACKET(0x2b, 0, 0, 1, 0, 0), 0x052100);
    cr_assert_eq(PACKET(0x2f, 0, 0, 0, 0, 0, 0, 0, 100), 0);
    expect_sense(PACKET(0x2f, 0, 0, 0, 15, 0, 0, 1, 100), 0x052100);
}

Test(ide_cd, tells_of_itself)
{
    cr_assert_gt(PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), 40);
    cr_assert_eq(vm_be16(r.data + 6), 8, "a CD-ROM is in");
    cr_assert_eq(vm_be32(r.data) + 4, (uint32_t)PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0));
    cr_assert_eq(PACKET(0x46, 2, 0, 3, 0, 0, 0, 1, 0), 16);
    cr_assert_eq(vm_be16(r.data + 8), 3);
    expect_sense(PACKET(0x46, 3, 0, 0, 0, 0, 0, 1, 0), 0x052400);
    cr_assert_eq(PACKET(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8);
    cr_assert_eq(PACKET(0x51, 0, 0, 0, 0, 0, 0, 0, 34), 34);
    cr_assert_eq(r.data[2], 0x0e);
    cr_assert_eq(PACKET(0x52, 1, 0, 0, 0, 1, 0, 0, 36), 36);
    cr_assert_eq(vm_be32(r.data + 24), RIG_BLOCKS);
    expect_sense(PACKET(0x52, 1, 0, 0, 0, 2, 0, 0, 36), 0x052400);
    cr_assert_eq(PACKET(0x23, 0, 0, 0, 0, 0, 0, 0, 12), 12);
    expect_sense(PACKET(0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), 0x053002);
    expect_sense(PACKET(0x45), 0x056400);
    cr_assert_eq(PACKET(0xbb, 0, 0xff, 0xff), 0);
    cr_assert_eq(PACKET(0xac, 0, 0, 0, 0, 0, 0, 0, 0, 1), 24);
    expect_sense(PACKET(0xff), 0x052000);
}

Test(ide_cd, dvd)
{
    fake_disk_change(r.cd, (uint64_t)2048 * 450001);
    expect_sense(PACKET(0x00), 0x062800);
    cr_assert_gt(PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), 40);
    cr_assert_eq(vm_be16(r.data + 6), 0x10);
    cr_assert_eq(PACKET(0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), 2052);
    cr_assert_eq(PACKET(0xad, 0, 0, 0, 0, 0, 0, 1, 0, 8), 8);
    cr_assert_eq(PACKET(0xad, 0, 0, 0, 0, 0, 0, 0xff, 0, 64), 16);
    expect_sense(PACKET(0xad, 0, 0, 0, 0, 0, 0, 0x33, 0, 64), 0x052400);
}

Test(ide_cd, mode_pages)
{
    cr_assert_eq(PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128), 30);
    cr_assert_eq(r.data[2], 1, "data disc");
    cr_assert_eq(r.data[8], 0x2a);
    cr_assert_eq(PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 0, 128), 16);
    cr_assert_eq(PACKET(0x5a, 0, 0x0e, 0, 0, 0, 0, 0, 128), 24);
    cr_assert_eq(PACKET(0x1a, 0, 0x0e, 0, 128), 20);
    cr_assert_eq(PACKET(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255), 8 + 8 + 8 + 16 + 12 + 22);
    expect_sense(PACKET(0x5a, 0, 0xea, 0, 0, 0, 0, 0, 255), 0x053900);
    expect_sense(PACKET(0x5a, 0, 0x33, 0, 0, 0, 0, 0, 255), 0x052400);
    cr_assert_eq(PACKET(0x5a, 0, 0x41, 0, 0, 0, 0, 0, 255), 16);
    cr_assert_eq(r.data[10], 0xff, "may be changed");
}

Test(ide_cd, mode_select)
{
    static const uint8_t cdb[12] = { 0x55, 0x10, 0, 0, 0, 0, 0, 0, 16 };
    uint8_t list[16] = { [8] = 1, [9] = 6, [10] = 0x20 };
    packet_with(cdb, 0xfffe, false);
    expect_status(CD, 0x48);
    cr_assert_eq(in8(CD + 2), 0, "to the device");
    cr_assert_eq(in8(CD + 4), 16);
    pio_out(CD, list, 16);
    expect_status(CD, 0x40);
    cr_assert_eq(PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 0, 128), 16);
    cr_assert_eq(r.data[10], 0x20);
    list[9] = 20;
    packet_with(cdb, 0xfffe, false);
    pio_out(CD, list, 16);
    expect_status(CD, 0x41);
    cr_assert_eq(sense(), 0x051a00);
    list[8] = 0x33;
    packet_with(cdb, 0xfffe, false);
    pio_out(CD, list, 16);
    expect_status(CD, 0x41);
    cr_assert_eq(sense(), 0x052600);
    list[7] = 0xff;
    packet_with(cdb, 4, false);
    pio_out(CD, list, 16);
    expect_status(CD, 0x41);
    expect_sense(PACKET(0x55, 0x11, 0, 0, 0, 0, 0, 0, 16), 0x052400);
    expect_sense(PACKET(0x55, 0x10, 0, 0, 0, 0, 0, 0xff, 16), 0x051a00);

    const struct prd prd[] = { { MEMORY, 16 } };
    list[7] = 0, list[8] = 1, list[9] = 6, list[10] = 0x04;
    vm__mem_write(r.f.m, MEMORY, list, 16);
    rig_prds(BM_CD, prd, 1);
    packet_with(cdb, 0, true);
    rig_start(BM_CD, false);
    expect_status(CD, 0x40);
    out8(BM_CD, 0);
    cr_assert_eq(PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 0, 128), 16);
    cr_assert_eq(r.data[10], 0x04);
}

Test(ide_cd, no_medium)
{
    fake_disk_change(r.cd, 0);
    expect_sense(PACKET(0x00), 0x023a01);
    expect_sense(PACKET(0x25), 0x023a01);
    expect_sense(PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 0x023a01);
    cr_assert_eq(PACKET(0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8);
    cr_assert_eq(vm_be16(r.data + 6), 0, "no profile");
    cr_assert_eq(PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128), 30);
    cr_assert_eq(r.data[2], 0x70);
    cr_assert_eq(PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    cr_assert_eq(r.data[4], 3, "gone");
    cr_assert_eq(r.data[5], 0);
}

Test(ide_cd, another_medium)
{
    cr_assert_eq(PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    cr_assert_eq(r.data[4], 2, "what was in at power-on is new");
    cr_assert_eq(PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    cr_assert_eq(r.data[4], 0);
    fake_disk_change(r.cd, 100 * 2048);
    cr_assert_eq(PACKET(0x12, 0, 0, 0, 36), 36, "INQUIRY is not in the way of that");
    cr_assert_eq(PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    cr_assert_eq(r.data[4], 2);
    cr_assert_eq(r.data[5], 2);
    expect_sense(PACKET(0x25), 0x062800);
    cr_assert_eq(PACKET(0x25), 8);
    cr_assert_eq(vm_be32(r.data), 99);
    expect_sense(PACKET(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), 0x052400);
    cr_assert_eq(PACKET(0x4a, 1, 0, 0, 0x20, 0, 0, 0, 8), 4);
    cr_assert_eq(r.data[2], 0x80);
}

Test(ide_cd, tray)
{
    const struct vm_drive_ops *ops = r.cd->drive.ops;
    cr_assert_eq(PACKET(0x1b, 0, 0, 0, 2), 0, "eject");
    cr_assert(r.cd->drive.tray_open);
    expect_sense(PACKET(0x00), 0x023a02);
    cr_assert_eq(PACKET(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8);
    cr_assert_eq(r.data[1], 0x10);
    cr_assert_eq(PACKET(0x1b, 0, 0, 0, 3), 0, "load");
    cr_assert_not(r.cd->drive.tray_open);
    expect_sense(PACKET(0x00), 0x062800);
    cr_assert_eq(PACKET(0x1e, 0, 0, 0, 1), 0, "lock");
    cr_assert(r.cd->drive.tray_locked);
    expect_sense(PACKET(0x1b, 0, 0, 0, 2), 0x055302);
    (void)PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    cr_assert_not(ops->eject_request(r.cd->drive.opaque, false), "the guest is asked");
    cr_assert_eq(PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    cr_assert_eq(r.data[4], 1, "and hears of it");
    cr_assert(ops->eject_request(r.cd->drive.opaque, true));
    cr_assert(r.cd->drive.tray_open);
    cr_assert_eq(PACKET(0x1e), 0);
    cr_assert(ops->eject_request(r.cd->drive.opaque, false));
    fake_disk_change(r.cd, 50 * 2048);
    cr_assert_not(r.cd->drive.tray_open, "a new disc closes it");
}

Test(ide_cd, read_error)
{
    r.cd->bad_from = 103 * 2048;
    r.cd->bad_to = 104 * 2048;
    expect_sense(PACKET(0x28, 0, 0, 0, 0, 100, 0, 0, 10), 0x031100);
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 100, 0, 0, 10 };
    const struct prd prd[] = { { MEMORY, 20480 } };
    rig_prds(BM_CD, prd, 1);
    packet_with(cdb, 0, true);
    rig_start(BM_CD, true);
    expect_status(CD, 0x41);
    expect_memory(r.cd, 100 * 2048, MEMORY, 3 * 2048);
    out8(BM_CD, 0);
    cr_assert_eq(sense(), 0x031100);
}

Test(ide_cd, ata_commands)
{
    static const uint8_t good[] = { 0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe6 };
    static const uint8_t bad[] = { 0x00, 0x20, 0xec, 0xc8, 0x30, 0xe7, 0xb0, 0xff };
    for (unsigned i = 0; i < VM_COUNT_OF(good); i++) {
        out8(CD + 7, good[i]);
        expect_status(CD, 0x40);
    }
    for (unsigned i = 0; i < VM_COUNT_OF(bad); i++) {
        out8(CD + 7, bad[i]);
        expect_status(CD, 0x41);
        cr_assert_eq(in8(CD + 1), 4);
    }
    out8(CD + 1, 3);
    out8(CD + 2, 0x42);
    out8(CD + 7, 0xef);
    expect_status(CD, 0x40);
    out8(CD + 2, 0x47);
    out8(CD + 7, 0xef);
    expect_status(CD, 0x41);
    out8(CD + 1, 2);
    out8(CD + 7, 0xa0);
    expect_status(CD, 0x41);
}

Test(ide_cd, device_reset)
{
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 7, 0, 0, 2 };
    packet_with(cdb, 2048, false);
    expect_status(CD, 0x48);
    out8(CD + 7, 0x08);
    expect_status(CD, 0x00);
    cr_assert_eq(in8(CD + 4), 0x14);
    cr_assert_eq(in8(CD + 1), 1);
    cr_assert_eq(r.f.level[IRQ_CD], 0);
    cr_assert_eq(PACKET(0x00), 0);
}

Test(ide_cd, survives_saving)
{
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 7, 0, 0, 20 };
    packet_with(cdb, 2048, false);
    pio_in(CD, r.data, 100);
    rig_save_load();
    rig_wait();
    pio_in(CD, r.data + 100, 20 * 2048 - 100);
    expect_status(CD, 0x40);
    cr_assert_eq(memcmp(r.data, r.cd->data + 7 * 2048, 20 * 2048), 0);
    (void)PACKET(0x1e, 0, 0, 0, 1);
    rig_save_load();
    expect_sense(PACKET(0x1b, 0, 0, 0, 2), 0x055302);
}
