/* SPDX-License-Identifier: MIT */
/**
 * @file test_ide_channel.c
 * An ATA channel: who answers, resets, interrupts; where the ports are; who may sit there.
 */
#include "devices/ide_rig.h"

TestSuite(ide_channel, .init = rig_setup, .fini = rig_teardown);

Test(ide_channel, is_the_second_function_of_the_piix3)
{
    fake_out32(&r.f, 0xcf8, 0x80000900);
    cr_assert_eq(fake_in32(&r.f, 0xcfc), 0x70108086);
    fake_out32(&r.f, 0xcf8, 0x80000908);
    cr_assert_eq(fake_in32(&r.f, 0xcfc) >> 8, 0x010180);
    rig_config(0x20, 0xffffffff);
    cr_assert_eq(fake_in32(&r.f, 0xcfc), 0xfffffff1, "16 ports");
}

Test(ide_channel, ports_come_and_go)
{
    cr_assert_eq(in8(HD + 7), 0x50);
    rig_config(0x40, 0x80000000);
    cr_assert_eq(in8(HD + 7), 0xff);
    cr_assert_eq(in8(HD + ALT), 0xff);
    cr_assert_eq(in8(CD + ALT), 0x00);
    rig_config(0x40, 0x00008000);
    cr_assert_eq(in8(HD + 7), 0x50);
    cr_assert_eq(in8(CD + ALT), 0xff);
    rig_config(0x04, 4);
    cr_assert_eq(in8(HD + 7), 0xff);
    rig_config(0x04, 1);
    cr_assert_eq(in8(HD + 7), 0x50);
    rig_reset();
    fake_reset(r.ide, VM_DEV_RESET_WARM);
    cr_assert_eq(in8(HD + 7), 0x50);
}

Test(ide_channel, unit_0_answers_for_a_missing_unit_1)
{
    out8(HD + 6, 0xf0);
    cr_assert_eq(in8(HD + 7), 0);
    cr_assert_eq(in8(HD + ALT), 0);
    out8(HD + 2, 0x55);
    cr_assert_eq(in8(HD + 2), 0x55, "its registers");
    cr_assert_eq(in8(HD + 6), 0xf0);
    out8(HD + 7, 0xec);
    cr_assert_eq(in8(HD + 7), 0, "its commands go nowhere");
    cr_assert_eq(r.f.level[IRQ_HD], 0);
    out8(HD + 6, 0xe0);
    cr_assert_eq(in8(HD + 7), 0x50);
}

Test(ide_channel, empty)
{
    rig_teardown();
    rig_board();
    r.hd_dev = r.cd_dev = NULL;
    rig_reset();
    for (unsigned i = 1; i < 8; i++)
        cr_assert_eq(in8((uint16_t)(HD + i)), 0x7f, "pulled down at DD7, not busy");
    cr_assert_eq(in8(HD + ALT), 0x7f);
    out8(HD + 7, 0xec);
    out8(HD + 7, 0x90);
    out8(HD + ALT, 4);
    out8(HD + ALT, 0);
    out8(BM, 1);
    (void)fake_in32(&r.f, HD);
    cr_assert_eq(r.f.level[IRQ_HD], 0);
}

Test(ide_channel, two_units)
{
    fake_disk(&r.f, "slave", false, 1000 * 512);
    struct vm_dev *dev = fake_add(&r.f, &vm__ata_disk_class, "drive", "slave", NULL);
    const struct ide_unit *u = vm_dev_state(dev);
    cr_assert_eq(u->number, 1, "the first free place");
    cr_assert_eq(u->channel->number, 0);
    command(HD, 0xec, 0, 0);
    out8(HD + 6, 0xf0);
    cr_assert_eq(r.f.level[IRQ_HD], 0, "only the one selected drives the line");
    cr_assert_eq(in8(HD + 7), 0x50);
    out8(HD + 6, 0xe0);
    cr_assert_eq(r.f.level[IRQ_HD], 1);
    pio_in(HD, r.data, 512);
    cr_assert_eq(vm_le32(r.data + 120), RIG_SECTORS);
    out8(HD + 6, 0xf0);
    out8(HD + 7, 0xec);
    for (uint32_t i = 0; i < 512; i += 2)
        vm_put_le16(r.data + i, fake_in16(&r.f, HD));
    cr_assert_eq(vm_le32(r.data + 120), 1000);
    out8(HD + 2, 7);
    out8(HD + 6, 0xe0);
    cr_assert_eq(in8(HD + 2), 7, "both are written");
}

Test(ide_channel, no_interrupts_while_nien)
{
    out8(HD + ALT, 2);
    command(HD, 0xec, 0, 0);
    cr_assert_eq(r.f.level[IRQ_HD], 0);
    cr_assert_eq(in8(BM + 2) & 4, 0);
    out8(HD + ALT, 0);
    cr_assert_eq(r.f.level[IRQ_HD], 1, "still pending");
    cr_assert_eq(in8(BM + 2) & 4, 4);
    (void)in8(HD + ALT);
    cr_assert_eq(r.f.level[IRQ_HD], 1, "the alternate status leaves it alone");
    (void)in8(HD + 7);
    cr_assert_eq(r.f.level[IRQ_HD], 0);
}

Test(ide_channel, software_reset)
{
    command(HD, 0x20, 0, 4);
    out8(HD + ALT, 4);
    expect_status(HD, 0x80);
    out8(HD + 7, 0xec);
    expect_status(HD, 0x80);
    out8(HD + ALT, 0);
    expect_status(HD, 0x50);
    cr_assert_eq(in8(HD + 1), 1);
    cr_assert_eq(in8(HD + 2), 1);
    cr_assert_eq(in8(HD + 3), 1);
    cr_assert_eq(in8(HD + 4), 0);
    cr_assert_eq(in8(HD + 5), 0);
    cr_assert_eq(r.f.level[IRQ_HD], 0);
    out8(CD + 6, 0xf0);
    out8(CD + ALT, 4);
    out8(CD + ALT, 0);
    expect_status(CD, 0x00);
    cr_assert_eq(in8(CD + 4), 0x14);
    cr_assert_eq(in8(CD + 5), 0xeb);
    cr_assert_eq(in8(CD + 6), 0xa0, "unit 0 is selected");
}

Test(ide_channel, diagnostic)
{
    out8(HD + 6, 0xf0);
    out8(HD + 7, 0x90);
    expect_status(HD, 0x50);
    cr_assert_eq(in8(HD + 6), 0xa0);
    cr_assert_eq(in8(HD + 1), 1);
    expect_irq(HD);
}

Test(ide_channel, presence_check_of_old_drivers)
{
    out8(HD + 2, 0x55);
    out8(HD + 3, 0xaa);
    out8(HD + 2, 0xaa);
    out8(HD + 3, 0x55);
    cr_assert_eq(in8(HD + 2), 0xaa);
    cr_assert_eq(in8(HD + 3), 0x55);
}

Test(ide_channel, wide_and_odd_accesses)
{
    fake_out16(&r.f, HD + 2, 0x3412);
    cr_assert_eq(in8(HD + 2), 0x12);
    cr_assert_eq(in8(HD + 3), 0x34);
    cr_assert_eq(fake_in16(&r.f, HD + 2), 0x3412);
    (void)fake_in32(&r.f, HD + 5);
    (void)fake_in32(&r.f, HD + 1);
    fake_out32(&r.f, BM + 4, 0x12345677);
    cr_assert_eq(fake_in32(&r.f, BM + 4), 0x12345674);
    fake_out8(&r.f, BM + 6, 0xaa);
    cr_assert_eq(fake_in32(&r.f, BM + 4), 0x12aa5674);
}

/* ---- who may sit where -------------------------------------------------------------------- */

static void refused(struct vm_dev *dev, const char *why)
{
    cr_assert_null(dev);
    const char *text = strchr(vm_last_error()->message, ' ');
    cr_assert_not_null(text);
    cr_assert_str_eq(text + 1, why, "%s", vm_last_error()->message);
}

Test(ide_channel, refuses_what_does_not_fit)
{
    fake_disk(&r.f, "a", false, 512000);
    fake_disk(&r.f, "none", false, 0);
    refused(fake_add(&r.f, &vm__ata_disk_class, NULL), "a disk needs drive=, the id of a drive");
    refused(fake_add(&r.f, &vm__ata_disk_class, "drive", "x", NULL), "there is no drive x");
    refused(fake_add(&r.f, &vm__ata_disk_class, "drive", "none", NULL),
            "drive none is empty; a disk needs an image");
    refused(fake_add(&r.f, &vm__ata_disk_class, "drive", "hd", NULL), "drive hd is in use");
    refused(fake_add(&r.f, &vm__ata_disk_class, "drive", "a", "bus", "ide.0", "unit", "0", NULL),
            "unit 0 of ide.0 is taken by ide-hd");
    refused(fake_add(&r.f, &vm__ata_disk_class, "drive", "a", "bus", "ide.7", NULL),
            "no bus ide.7; there are ide.0 and ide.1");
    refused(fake_add(&r.f, &vm__ata_disk_class, "drive", "a", "unit", "2", NULL),
            "an IDE channel has units 0 and 1");
    refused(fake_add(&r.f, &vm__ata_disk_class, "drive", "a", "cyls", "2", NULL),
            "cyls, heads and secs go together");
    cr_assert_not_null(fake_add(&r.f, &vm__ata_disk_class, "drive", "a", NULL));
    cr_assert_not_null(fake_add(&r.f, &vm__atapi_class, NULL), "an empty CD-ROM drive");
    refused(fake_add(&r.f, &vm__atapi_class, NULL), "every place on the IDE channels is taken");
}

Test(ide_channel, needs_a_controller)
{
    rig_teardown();
    fake_init(&r.f);
    fake_disk(&r.f, "a", false, 512000);
    refused(fake_add(&r.f, &vm__ata_disk_class, "drive", "a", NULL),
            "this machine has no IDE controller");
}

Test(ide_channel, properties)
{
    fake_disk(&r.f, "a", false, 512000);
    struct vm_dev *dev = fake_add(&r.f, &vm__ata_disk_class, "drive", "a", "bus", "ide.1", "unit",
                                  "1", "cyls", "10", "heads", "4", "secs", "25", "serial", "S1",
                                  "model", "BIG", "wwn", "0x5000c50012345678", NULL);
    cr_assert_not_null(dev, "%s", vm_last_error()->message);
    out8(CD + 6, 0xf0);
    out8(CD + 7, 0xec);
    for (uint32_t i = 0; i < 512; i += 2)
        vm_put_le16(r.data + i, fake_in16(&r.f, CD));
    cr_assert_eq(vm_le16(r.data + 2), 10);
    cr_assert_eq(vm_le16(r.data + 6), 4);
    cr_assert_eq(vm_le16(r.data + 12), 25);
    cr_assert_eq(memcmp(r.data + 20, "1S  ", 4), 0);
    cr_assert_eq(memcmp(r.data + 54, "IB G", 4), 0);
    cr_assert_eq(vm_le16(r.data + 216), 0x5000);
    cr_assert_eq(vm_le16(r.data + 222), 0x5678);
    cr_assert_eq(vm_le16(r.data + 174) & 0x100, 0x100);
}
