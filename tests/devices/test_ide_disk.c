/* SPDX-License-Identifier: MIT */
/**
 * @file test_ide_disk.c
 * An ATA disk: every command, by words and by DMA, addresses of three kinds, errors.
 */
#include "devices/ide_rig.h"

TestSuite(ide_disk, .init = rig_setup, .fini = rig_teardown);

static void identify(void)
{
    command(HD, 0xec, 0, 0);
    expect_status(HD, 0x58);
    expect_irq(HD);
    pio_in(HD, r.data, 512);
    expect_status(HD, 0x50);
}

static uint16_t word(unsigned n)
{
    return vm_le16(r.data + 2 * n);
}

Test(ide_disk, identifies_itself)
{
    uint8_t sum = 0;
    identify();
    cr_assert_eq(word(0), 0x0040);
    cr_assert_eq(word(1), RIG_SECTORS / (16 * 63));
    cr_assert_eq(word(3), 16);
    cr_assert_eq(word(6), 63);
    cr_assert_eq(memcmp(r.data + 54, "ILVB MAHDRIDKS  ", 16), 0, "model, swapped");
    cr_assert_eq(memcmp(r.data + 20, "MV0000 1", 8), 0, "serial, swapped");
    cr_assert_eq(word(49) & 0x0300, 0x0300, "LBA and DMA");
    cr_assert_eq(vm_le32(r.data + 120), RIG_SECTORS);
    cr_assert_eq(vm_le64(r.data + 200), RIG_SECTORS);
    cr_assert_eq(word(83) & 0xc400, 0x4400, "48 bits");
    cr_assert_eq(word(83), word(86) | 0x4000);
    cr_assert_eq(word(88), 0x203f, "UDMA 5 is on");
    cr_assert_eq(word(255) & 0xff, 0xa5);
    for (unsigned i = 0; i < 512; i++)
        sum += r.data[i];
    cr_assert_eq(sum, 0);
}

Test(ide_disk, reads_sectors_by_words)
{
    command(HD, 0x20, 1000, 3);
    for (uint32_t i = 0; i < 3; i++) {
        expect_status(HD, 0x58);
        expect_irq(HD);
        pio_in(HD, r.data, 512);
        cr_assert_eq(memcmp(r.data, r.hd->data + (1000 + i) * 512, 512), 0);
    }
    expect_status(HD, 0x50);
    cr_assert_eq(r.f.level[IRQ_HD], 0, "the last sector is taken: no more interrupts");
    cr_assert_eq(in8(HD + 2), 0);
    cr_assert_eq(in8(HD + 3) | in8(HD + 4) << 8, 1002);
    cr_assert_eq(r.hd->requests, 1, "read ahead");
}

Test(ide_disk, reads_by_double_words)
{
    command(HD, 0x21, 7, 1);
    for (uint32_t i = 0; i < 128; i++)
        cr_assert_eq(fake_in32(&r.f, HD), 7 * 128 + i);
    expect_status(HD, 0x50);
}

Test(ide_disk, count_0_is_256)
{
    command(HD, 0x20, 0, 0);
    pio_in(HD, r.data, 256 * 512);
    cr_assert_eq(memcmp(r.data, r.hd->data, 256 * 512), 0);
    expect_status(HD, 0x50);
    cr_assert_eq(r.hd->requests, 4, "a buffer at a time");
}

Test(ide_disk, writes_sectors_by_words)
{
    uint32_t rises = r.f.rises[IRQ_HD];
    memset(r.data, 0xa7, 100 * 512);
    command(HD, 0x30, 50, 100);
    expect_status(HD, 0x58);
    cr_assert_eq(r.f.level[IRQ_HD], 0, "the first block is wanted without interrupt");
    pio_out(HD, r.data, 512);
    cr_assert_eq(r.f.rises[IRQ_HD], rises + 1);
    pio_out(HD, r.data + 512, 99 * 512);
    expect_status(HD, 0x50);
    expect_irq(HD);
    cr_assert_eq(memcmp(r.hd->data + 50 * 512, r.data, 100 * 512), 0);
    cr_assert_eq(vm_le32(r.hd->data + 150 * 512), 150 * 128);
    cr_assert_eq(vm_le32(r.hd->data + 49 * 512), 49 * 128);
    cr_assert_eq(r.hd->fua, 0);
}

Test(ide_disk, multiple_moves_blocks)
{
    command(HD, 0xc6, 0, 8);
    expect_status(HD, 0x50);
    identify();
    cr_assert_eq(word(59), 0x0108);
    uint32_t rises = r.f.rises[IRQ_HD];
    command(HD, 0xc4, 5, 20);
    pio_in(HD, r.data, 20 * 512);
    cr_assert_eq(r.f.rises[IRQ_HD], rises + 1, "the line stays up: nobody read the status");
    cr_assert_eq(memcmp(r.data, r.hd->data + 5 * 512, 20 * 512), 0);
    command(HD, 0xc4, 5, 20);
    for (int i = 0; i < 3; i++) {
        expect_irq(HD);
        pio_in(HD, r.data, (i < 2 ? 8 : 4) * 512);
    }
    expect_status(HD, 0x50);
    command(HD, 0xc5, 0, 16);
    pio_out(HD, r.data, 8 * 512);
    expect_irq(HD);
    expect_status(HD, 0x58);
    pio_out(HD, r.data, 8 * 512);
    expect_irq(HD);
    expect_status(HD, 0x50);
    command(HD, 0xc6, 0, 5);
    expect_status(HD, 0x51);
    command(HD, 0xc4, 0, 1);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 1), 0x04, "off after a bad SET MULTIPLE");
}

Test(ide_disk, lba48)
{
    command48(0x24, 70000, 2);
    pio_in(HD, r.data, 1024);
    cr_assert_eq(memcmp(r.data, r.hd->data + 70000 * 512, 1024), 0);
    command48(0x29, 79999, 1);
    pio_in(HD, r.data, 512);
    expect_status(HD, 0x50);
    out8(HD + 3, 1);
    out8(HD + 3, 2);
    cr_assert_eq(in8(HD + 3), 2);
    out8(HD + ALT, 0x80);
    cr_assert_eq(in8(HD + 3), 1, "the byte written before");
    out8(HD + 3, 3);
    cr_assert_eq(in8(HD + 3), 3, "a write takes the choice back");
    out8(HD + ALT, 0x80);
    cr_assert_eq(in8(HD + 3), 2);
    command48(0x34, 100, 1);
    pio_out(HD, r.data, 512);
    expect_status(HD, 0x50);
    command48(0x39, 100, 1);
    pio_out(HD, r.data, 512);
    command48(0x42, 0, 0);
    expect_status(HD, 0x50);
    cr_assert_geq(r.hd->reads, 1024, "0 is 65536: all of them were read");
    command48(0x42, 15000, 0);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 1), 0x10);
}

Test(ide_disk, chs)
{
    out8(HD + 2, 1);
    out8(HD + 3, 5);
    out8(HD + 4, 3);
    out8(HD + 5, 0);
    out8(HD + 6, 0xa2);
    out8(HD + 7, 0x20);
    rig_wait();
    pio_in(HD, r.data, 512);
    uint32_t sector = (3 * 16 + 2) * 63 + 4;
    cr_assert_eq(vm_le32(r.data), sector * 128);
    out8(HD + 3, 64);
    out8(HD + 7, 0x20);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 1), 0x10, "no sector 64");
    out8(HD + 3, 0);
    out8(HD + 7, 0x20);
    expect_status(HD, 0x51);
}

Test(ide_disk, other_geometry)
{
    out8(HD + 2, 17);
    out8(HD + 6, 0xa3);
    out8(HD + 7, 0x91);
    expect_status(HD, 0x50);
    out8(HD + 2, 1);
    out8(HD + 3, 2);
    out8(HD + 4, 1);
    out8(HD + 5, 0);
    out8(HD + 6, 0xa1);
    out8(HD + 7, 0x20);
    rig_wait();
    pio_in(HD, r.data, 512);
    cr_assert_eq(vm_le32(r.data), ((1 * 4 + 1) * 17 + 1) * 128);
    identify();
    cr_assert_eq(word(54), RIG_SECTORS / (4 * 17));
    cr_assert_eq(word(55), 4);
    cr_assert_eq(word(56), 17);
    cr_assert_eq(word(3), 16, "the default stays");
    command(HD, 0x91, 0, 0);
    expect_status(HD, 0x51);
}

Test(ide_disk, beyond_the_end)
{
    command(HD, 0x20, RIG_SECTORS, 1);
    expect_status(HD, 0x51);
    expect_irq(HD);
    cr_assert_eq(in8(HD + 1), 0x10);
    command(HD, 0xc8, RIG_SECTORS - 1, 2);
    expect_status(HD, 0x51);
    command(HD, 0x40, RIG_SECTORS - 1, 1);
    expect_status(HD, 0x50);
    cr_assert_eq(in8(HD + 1), 0, "gone with the next command");
    cr_assert_eq(r.hd->requests, 1);
}

Test(ide_disk, finds_the_bad_sector)
{
    r.hd->bad_from = 1005 * 512;
    r.hd->bad_to = 1006 * 512;
    command(HD, 0x20, 1000, 20);
    for (int i = 0; i < 5; i++) {
        expect_status(HD, 0x58);
        pio_in(HD, r.data, 512);
        cr_assert_eq(vm_le32(r.data), (uint32_t)(1000 + i) * 128);
    }
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 1), 0x40);
    cr_assert_eq(in8(HD + 3) | in8(HD + 4) << 8, 1005);
    command(HD, 0xc4, 1000, 20);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 3) | in8(HD + 4) << 8, 1005);
    command(HD, 0x40, 1000, 20);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 3) | in8(HD + 4) << 8, 1005);
    command(HD, 0x30, 1003, 3);
    pio_out(HD, r.data, 3 * 512);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 1), 0x04);
    cr_assert_eq(in8(HD + 3) | in8(HD + 4) << 8, 1005);
    r.hd->bad_to = 0;
    command(HD, 0x20, 1005, 1);
    expect_status(HD, 0x58);
}

Test(ide_disk, write_cache)
{
    memset(r.data, 1, 512);
    command(HD, 0xe7, 0, 0);
    expect_irq(HD);
    cr_assert_eq(r.hd->flushes, 1);
    command(HD, 0xea, 0, 0);
    cr_assert_eq(r.hd->flushes, 2);
    command48(0xce, 5, 1);
    pio_out(HD, r.data, 512);
    cr_assert_eq(r.hd->fua, 1, "WRITE MULTIPLE FUA EXT");
    out8(HD + 1, 0x82);
    command(HD, 0xef, 0, 0);
    expect_status(HD, 0x50);
    cr_assert_eq(r.hd->flushes, 3, "switching it off empties it");
    command(HD, 0x30, 5, 1);
    pio_out(HD, r.data, 512);
    cr_assert_eq(r.hd->fua, 2);
    identify();
    cr_assert_eq(word(85) & 0x20, 0);
    out8(HD + 1, 0x02);
    command(HD, 0xef, 0, 0);
    identify();
    cr_assert_eq(word(85) & 0x20, 0x20);
}

Test(ide_disk, transfer_modes)
{
    static const uint8_t good[] = { 0x00, 0x01, 0x08, 0x0c, 0x20, 0x22, 0x40, 0x45 };
    static const uint8_t bad[] = { 0x02, 0x0d, 0x10, 0x23, 0x46, 0x80 };
    for (unsigned i = 0; i < VM_COUNT_OF(good); i++) {
        out8(HD + 1, 3);
        command(HD, 0xef, 0, good[i]);
        expect_status(HD, 0x50);
    }
    for (unsigned i = 0; i < VM_COUNT_OF(bad); i++) {
        out8(HD + 1, 3);
        command(HD, 0xef, 0, bad[i]);
        expect_status(HD, 0x51);
    }
    out8(HD + 1, 3);
    command(HD, 0xef, 0, 0x21);
    identify();
    cr_assert_eq(word(63), 0x0207);
    cr_assert_eq(word(88), 0x003f);
    out8(HD + 1, 0x99);
    command(HD, 0xef, 0, 0);
    expect_status(HD, 0x51);
}

Test(ide_disk, power)
{
    command(HD, 0xe0, 0, 0);
    cr_assert_eq(r.hd->flushes, 1);
    command(HD, 0xe5, 0, 0);
    cr_assert_eq(in8(HD + 2), 0x00);
    command(HD, 0xe1, 0, 0);
    command(HD, 0x98, 0, 0);
    cr_assert_eq(in8(HD + 2), 0xff);
    command(HD, 0xe2, 0, 10);
    command(HD, 0x40, 0, 1);
    command(HD, 0xe5, 0, 0);
    cr_assert_eq(in8(HD + 2), 0xff, "a read spins it up");
    command(HD, 0xe6, 0, 0);
    command(HD, 0xe5, 0, 0);
    expect_status(HD, 0x51);
    out8(HD + ALT, 4);
    out8(HD + ALT, 0);
    command(HD, 0xe5, 0, 0);
    expect_status(HD, 0x50);
}

Test(ide_disk, smart)
{
    uint8_t sum = 0;
    out8(HD + 1, 0xd0);
    command(HD, 0xb0, 0xc24f00, 0);
    pio_in(HD, r.data, 512);
    for (unsigned i = 0; i < 512; i++)
        sum += r.data[i];
    cr_assert_eq(sum, 0);
    cr_assert_eq(r.data[2], 1);
    out8(HD + 1, 0xda);
    command(HD, 0xb0, 0xc24f00, 0);
    expect_status(HD, 0x50);
    cr_assert_eq(in8(HD + 4) | in8(HD + 5) << 8, 0xc24f, "healthy");
    out8(HD + 1, 0xd5);
    command(HD, 0xb0, 0xc24f06, 1);
    pio_in(HD, r.data, 512);
    out8(HD + 1, 0xd5);
    command(HD, 0xb0, 0xc24f33, 1);
    expect_status(HD, 0x51);
    out8(HD + 1, 0xd9);
    command(HD, 0xb0, 0xc24f00, 0);
    out8(HD + 1, 0xd0);
    command(HD, 0xb0, 0xc24f00, 0);
    expect_status(HD, 0x51);
    out8(HD + 1, 0xd8);
    command(HD, 0xb0, 0xc24f00, 0);
    expect_status(HD, 0x50);
    out8(HD + 1, 0xd8);
    command(HD, 0xb0, 0, 0);
    expect_status(HD, 0x51);
}

Test(ide_disk, capacity)
{
    command(HD, 0xf8, 0, 0);
    cr_assert_eq(in8(HD + 3) | in8(HD + 4) << 8 | in8(HD + 5) << 16, RIG_SECTORS - 1);
    command48(0x27, 0, 0);
    cr_assert_eq(in8(HD + 3) | in8(HD + 4) << 8 | in8(HD + 5) << 16, RIG_SECTORS - 1);
    out8(HD + ALT, 0x80);
    cr_assert_eq(in8(HD + 3), 0);
}

Test(ide_disk, buffer)
{
    for (unsigned i = 0; i < 512; i++)
        r.data[i] = (uint8_t)(i * 7);
    command(HD, 0xe8, 0, 0);
    pio_out(HD, r.data, 512);
    expect_irq(HD);
    command(HD, 0xe4, 0, 0);
    pio_in(HD, r.data + 512, 512);
    cr_assert_eq(memcmp(r.data, r.data + 512, 512), 0);
}

Test(ide_disk, rejects)
{
    static const uint8_t ops[] = { 0x00, 0x08, 0xa0, 0xa1, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6,
                                   0xf9, 0x37, 0xff, 0x50, 0xb1, 0x22, 0xc7, 0x26, 0xda };
    for (unsigned i = 0; i < VM_COUNT_OF(ops); i++) {
        command(HD, ops[i], 0, 1);
        expect_status(HD, 0x51);
        cr_assert_eq(in8(HD + 1), 0x04);
        expect_irq(HD);
    }
}

Test(ide_disk, seeks)
{
    command(HD, 0x1f, 5, 0);
    expect_status(HD, 0x50);
    command(HD, 0x70, 100, 0);
    expect_status(HD, 0x50);
    command(HD, 0x7f, RIG_SECTORS, 0);
    expect_status(HD, 0x51);
}

Test(ide_disk, read_only)
{
    r.hd->drive.read_only = true;
    command(HD, 0x30, 0, 1);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 1), 0x44);
    command(HD, 0xca, 0, 1);
    expect_status(HD, 0x51);
    command(HD, 0x20, 0, 1);
    expect_status(HD, 0x58);
}

Test(ide_disk, busy_takes_no_commands)
{
    out8(HD + 2, 1);
    out8(HD + 3, 9);
    out8(HD + 6, 0xe0);
    out8(HD + 7, 0x20);
    cr_assert_eq(in8(HD + ALT), 0x80);
    out8(HD + 3, 10);
    out8(HD + 7, 0xec);
    rig_wait();
    pio_in(HD, r.data, 512);
    cr_assert_eq(vm_le32(r.data), 9 * 128, "the command of before");
    expect_status(HD, 0x50);
}

Test(ide_disk, survives_saving_at_every_step)
{
    command(HD, 0x20, 1000, 70);
    pio_in(HD, r.data, 40);
    rig_save_load();
    pio_in(HD, r.data + 40, 70 * 512 - 40);
    cr_assert_eq(memcmp(r.data, r.hd->data + 1000 * 512, 70 * 512), 0);
    out8(HD + 2, 1);
    out8(HD + 3, 3);
    out8(HD + 4, 0);
    out8(HD + 5, 0);
    out8(HD + 6, 0xe0);
    out8(HD + 7, 0x20);
    rig_save_load();
    rig_wait();
    expect_status(HD, 0x58);
    pio_in(HD, r.data, 512);
    cr_assert_eq(vm_le32(r.data), 3 * 128, "the request is made again");
    command(HD, 0x30, 9, 2);
    pio_out(HD, r.data, 600);
    rig_save_load();
    pio_out(HD, r.data + 600, 424);
    expect_status(HD, 0x50);
    cr_assert_eq(memcmp(r.hd->data + 9 * 512, r.data, 1024), 0);
}

Test(ide_disk, refuses_impossible_state)
{
    struct ide_unit *u = vm_dev_state(r.hd_dev);
    u->step = IDE_FILL;
    u->left = 512;
    u->have = IDE_BUFFER - 100;
    cr_assert_eq(r.hd_dev->cls->post_load(r.hd_dev), VM_E_CORRUPT);
    u->have = 0;
    u->left = 100;
    cr_assert_eq(r.hd_dev->cls->post_load(r.hd_dev), VM_E_CORRUPT);
    u->step = IDE_DATA_IN;
    u->left = 0;
    u->end = 512;
    cr_assert_eq(r.hd_dev->cls->post_load(r.hd_dev), VM_E_CORRUPT);
    u->step = IDE_DRAIN;
    u->left = u->have = 1024;
    u->pos = 600;
    cr_assert_eq(r.hd_dev->cls->post_load(r.hd_dev), VM_E_CORRUPT);
    u->step = IDE_STEPS;
    cr_assert_eq(r.hd_dev->cls->post_load(r.hd_dev), VM_E_CORRUPT);
    u->step = IDE_NONE;
    cr_assert_eq(r.hd_dev->cls->post_load(r.hd_dev), VM_OK);
}
