/* SPDX-License-Identifier: MIT */
/**
 * @file test_ide_dma.c
 * The bus master: descriptors of every shape, what is no memory, tables too short and too long.
 */
#include "devices/ide_rig.h"

TestSuite(ide_dma, .init = rig_setup, .fini = rig_teardown);

static void read_dma(uint32_t lba, uint8_t count, const struct prd *prd, unsigned n)
{
    rig_prds(BM, prd, n);
    command(HD, 0xc8, lba, count);
    rig_start(BM, true);
}

Test(ide_dma, reads)
{
    const struct prd prd[] = { { MEMORY, 8192 } };
    read_dma(100, 16, prd, 1);
    expect_status(HD, 0x50);
    expect_memory(r.hd, 100 * 512, MEMORY, 8192);
    cr_assert_eq(in8(BM + 2), 0x64, "interrupt, and no longer active");
    expect_irq(HD);
    out8(BM, 0);
    out8(BM + 2, 0x64);
    cr_assert_eq(in8(BM + 2), 0x60);
    cr_assert_eq(r.hd->requests, 1, "straight into memory");
}

Test(ide_dma, writes)
{
    const struct prd prd[] = { { MEMORY + 0x100, 65536 }, { MEMORY + 0x30000, 65536 } };
    uint8_t *two = r.data;
    for (uint32_t i = 0; i < 131072; i++)
        two[i] = (uint8_t)(i * 31 >> 3);
    vm__mem_write(r.f.m, MEMORY + 0x100, two, 65536);
    vm__mem_write(r.f.m, MEMORY + 0x30000, two + 65536, 65536);
    rig_prds(BM, prd, 2);
    command(HD, 0xca, 500, 0);
    rig_start(BM, false);
    expect_status(HD, 0x50);
    cr_assert_eq(memcmp(r.hd->data + 500 * 512, two, 131072), 0);
    cr_assert_eq(r.hd->fua, 0);
    command48(0x3d, 500, 1);
    out8(BM, 0);
    rig_start(BM, false);
    cr_assert_eq(r.hd->fua, 1);
}

Test(ide_dma, started_before_the_command)
{
    const struct prd prd[] = { { MEMORY, 512 } };
    rig_prds(BM, prd, 1);
    rig_start(BM, true);
    cr_assert_eq(in8(BM + 2) & 7, 1, "waits");
    command(HD, 0xc9, 3, 1);
    expect_memory(r.hd, 3 * 512, MEMORY, 512);
    cr_assert_eq(in8(BM + 2) & 7, 4);
}

Test(ide_dma, odd_pieces)
{
    /* Sectors begin and end within descriptors; many of them are two bytes. */
    static struct prd prd[1200];
    uint32_t total = 0, n = 0, at = MEMORY + 2;
    while (total < 64 * 512) {
        uint32_t len = n % 7 == 0 ? 2 : n % 5 == 0 ? 510 : 2 * (1 + n % 13);
        if (len > 64 * 512 - total)
            len = 64 * 512 - total;
        prd[n++] = (struct prd) { at, len };
        cr_assert_lt(n, VM_COUNT_OF(prd));
        at += len + 6;
        total += len;
    }
    read_dma(2000, 64, prd, n);
    expect_status(HD, 0x50);
    for (uint32_t i = 0, off = 2000 * 512; i < n; off += prd[i++].bytes)
        expect_memory(r.hd, off, prd[i].address, prd[i].bytes);
    cr_assert_eq(in8(BM + 2) & 7, 4);

    for (uint32_t i = 0; i < 64 * 512; i++)
        r.hd->data[2000 * 512 + i] = 0;
    out8(BM, 0);
    command(HD, 0xca, 3000, 64);
    rig_start(BM, false);
    cr_assert_eq(vm_le32(r.hd->data + 3000 * 512), 2000 * 128);
    cr_assert_eq(vm_le32(r.hd->data + 3063 * 512 + 508), 2063 * 128 + 127);
}

Test(ide_dma, large)
{
    static struct prd prd[12];
    for (unsigned i = 0; i < 12; i++)
        prd[i] = (struct prd) { MEMORY + i * 0x10000, 65536 };
    rig_prds(BM, prd, 12);
    command48(0x25, 1234, 1536);
    rig_start(BM, true);
    expect_memory(r.hd, 1234 * 512, MEMORY, 12 * 65536);
    cr_assert_eq(r.hd->requests, 1);
}

Test(ide_dma, table_too_short)
{
    const struct prd prd[] = { { MEMORY, 1024 + 100 } };
    read_dma(10, 4, prd, 1);
    cr_assert_eq(in8(BM + 2) & 7, 0, "neither active nor an interrupt");
    expect_status(HD, 0x58);
    expect_memory(r.hd, 10 * 512, MEMORY, 1024);
    out8(BM, 0);
    out8(HD + ALT, 4);
    out8(HD + ALT, 0);
    expect_status(HD, 0x50);
    read_dma(10, 2, (const struct prd[]) { { MEMORY, 1024 } }, 1);
    expect_status(HD, 0x50);
}

Test(ide_dma, table_too_long)
{
    const struct prd prd[] = { { MEMORY, 4096 } };
    read_dma(10, 4, prd, 1);
    expect_status(HD, 0x50);
    cr_assert_eq(in8(BM + 2) & 7, 5, "still active");
    out8(BM, 0);
    cr_assert_eq(in8(BM + 2) & 7, 4);
}

Test(ide_dma, not_memory)
{
    /* Reads into a hole vanish; writes from there are ones; what is beside it is right. */
    const struct prd prd[] = { { MEMORY, 600 }, { 0xd0000000, 424 }, { MEMORY + 0x1000, 1024 } };
    read_dma(10, 4, prd, 3);
    expect_status(HD, 0x50);
    expect_memory(r.hd, 10 * 512, MEMORY, 600);
    expect_memory(r.hd, 12 * 512, MEMORY + 0x1000, 1024);
    out8(BM, 0);
    command(HD, 0xca, 100, 4);
    rig_start(BM, false);
    cr_assert_eq(memcmp(r.hd->data + 100 * 512, r.hd->data + 10 * 512, 600), 0);
    for (unsigned i = 600; i < 1024; i++)
        cr_assert_eq(r.hd->data[100 * 512 + i], 0xff);
}

Test(ide_dma, table_is_not_there)
{
    fake_out32(&r.f, BM + 4, 0xd0000000);
    command(HD, 0xc8, 0, 1);
    rig_start(BM, true);
    cr_assert_eq(in8(BM + 2) & 7, 2, "error");
    out8(BM, 0);
    out8(BM + 2, 2);
    cr_assert_eq(in8(BM + 2) & 7, 0);
}

Test(ide_dma, end_of_the_address_space)
{
    const struct prd prd[] = { { 0xfffffe00, 1024 }, { MEMORY, 512 } };
    read_dma(20, 3, prd, 2);
    expect_status(HD, 0x50);
    expect_memory(r.hd, 21 * 512, 0, 512);
    expect_memory(r.hd, 22 * 512, MEMORY, 512);
}

Test(ide_dma, bad_sector)
{
    const struct prd prd[] = { { MEMORY, 65536 } };
    r.hd->bad_from = 130 * 512;
    r.hd->bad_to = 131 * 512;
    read_dma(100, 128, prd, 1);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 1), 0x40);
    cr_assert_eq(in8(HD + 3), 130);
    expect_memory(r.hd, 100 * 512, MEMORY, 30 * 512);
    expect_irq(HD);
    out8(BM, 0);
    vm__mem_write(r.f.m, MEMORY, r.data, 65536);
    command(HD, 0xca, 129, 3);
    rig_start(BM, false);
    expect_status(HD, 0x51);
    cr_assert_eq(in8(HD + 1), 0x04);
    cr_assert_eq(in8(HD + 3), 130);
}

Test(ide_dma, stopped_on_the_way)
{
    const struct prd prd[] = { { MEMORY, 512 } };
    for (int i = 0; i < 4; i++) {
        rig_prds(BM, prd, 1);
        out8(BM + 2, 0x66);
        out8(BM, 9);
        out8(HD + 2, 4);
        out8(HD + 3, 1);
        out8(HD + 4, 0);
        out8(HD + 5, 0);
        out8(HD + 6, 0xe0);
        out8(HD + 7, 0xc8);
        out8(BM, 0);
        const struct ide_unit *u = vm_dev_state(r.hd_dev);
        cr_assert_not(u->flying, "nothing writes into memory any more");
        cr_assert_eq(in8(BM + 2) & 1, 0);
        out8(HD + ALT, 4);
        out8(HD + ALT, 0);
        expect_status(HD, 0x50);
        fake_advance(&r.f, 100000);
        cr_assert_eq(r.f.level[IRQ_HD], 0);
    }
}

Test(ide_dma, reset_on_the_way)
{
    const struct prd prd[] = { { MEMORY, 2048 } };
    for (int i = 0; i < 4; i++) {
        rig_prds(BM, prd, 1);
        out8(BM, 9);
        out8(HD + 2, 4);
        out8(HD + 6, 0xe0);
        out8(HD + 7, 0xc8);
        rig_reset();
        expect_status(HD, 0x50);
        cr_assert_eq(r.f.m->mem->dma_pieces, 0);
        fake_advance(&r.f, 100000);
        cr_assert_eq(r.f.level[IRQ_HD], 0);
    }
}

Test(ide_dma, trim)
{
    const struct prd prd[] = { { MEMORY, 512 } };
    uint8_t ranges[512] = { 0 };
    vm_put_le64(ranges, 100 | UINT64_C(8) << 48);
    vm_put_le64(ranges + 16, 200 | UINT64_C(1) << 48);
    vm__mem_write(r.f.m, MEMORY, ranges, 512);
    rig_prds(BM, prd, 1);
    out8(HD + 1, 1);
    command48(0x06, 0, 1);
    rig_start(BM, false);
    expect_status(HD, 0x50);
    cr_assert_eq(r.hd->discards, 2);
    cr_assert_eq(vm_le32(r.hd->data + 107 * 512 + 4), 0);
    cr_assert_eq(vm_le32(r.hd->data + 108 * 512), 108 * 128);
    vm_put_le64(ranges + 24, RIG_SECTORS | UINT64_C(1) << 48);
    vm__mem_write(r.f.m, MEMORY, ranges, 512);
    out8(BM, 0);
    out8(HD + 1, 1);
    command48(0x06, 0, 1);
    rig_start(BM, false);
    expect_status(HD, 0x51);
    cr_assert_eq(r.hd->discards, 2, "all or nothing");
    out8(HD + 1, 0);
    command48(0x06, 0, 1);
    expect_status(HD, 0x51);
}

Test(ide_dma, survives_saving)
{
    const struct prd prd[] = { { MEMORY, 700 }, { MEMORY + 0x4000, 65536 } };
    rig_prds(BM, prd, 2);
    out8(HD + 2, 100);
    out8(HD + 3, 77);
    out8(HD + 4, 0);
    out8(HD + 5, 0);
    out8(HD + 6, 0xe0);
    out8(HD + 7, 0xc8);
    out8(BM, 9);
    rig_save_load();
    rig_wait();
    expect_status(HD, 0x50);
    expect_memory(r.hd, 77 * 512, MEMORY, 700);
    expect_memory(r.hd, 77 * 512 + 700, MEMORY + 0x4000, 100 * 512 - 700);
}
