/* SPDX-License-Identifier: MIT */
/**
 * @file ide_rig.h
 * A PIIX3 IDE controller on a fake machine, a disk as master of the first channel and a CD-ROM
 * drive as master of the second, driven as a driver would.
 */
#ifndef LIBVM_TESTS_DEVICES_IDE_RIG_H
#define LIBVM_TESTS_DEVICES_IDE_RIG_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/buf.h"
#include "core/address_space.h"
#include "core/device_impl.h"
#include "core/field_io.h"
#include "devices/classes.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/pci.h"
#include "devices/storage/ide.h"
#include "support/fake_disk.h"

enum {
    RIG_SECTORS = 80000,
    RIG_BLOCKS = 4000, /* of the CD */
    HD = 0x1f0,        /* ports of the channels */
    CD = 0x170,
    ALT = 0x206, /* from there to the control register */
    BM = 0xc000,
    BM_CD = 0xc008,
    IRQ_HD = 14,
    IRQ_CD = 15,
    PRD_TABLE = 0x8000,
    MEMORY = 0x10000, /* where tests put data */
};

struct rig {
    struct fake_machine f;
    struct vm_dev *host, *ide, *hd_dev, *cd_dev;
    struct fake_disk *hd, *cd;
    uint8_t data[1 << 20];
};

static struct rig r;

static inline void rig_config(uint32_t reg, uint32_t v)
{
    fake_out32(&r.f, 0xcf8, 0x80000900u | reg);
    fake_out32(&r.f, 0xcfc, v);
}

static inline void rig_reset(void)
{
    vm__lock(r.f.m);
    vm__pci_bus_reset(vm__pci_bus_of(r.host));
    vm__unlock(r.f.m);
    fake_reset(r.ide, VM_DEV_RESET_COLD);
    if (r.hd_dev != NULL)
        fake_reset(r.hd_dev, VM_DEV_RESET_COLD);
    if (r.cd_dev != NULL)
        fake_reset(r.cd_dev, VM_DEV_RESET_COLD);
    rig_config(0x40, 0x80008000);
    rig_config(0x20, BM);
    rig_config(0x04, 5);
}

static inline void rig_board(void)
{
    fake_init(&r.f);
    r.host = vm__dev_new(r.f.m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(r.host);
    vm__pci_add(bus, r.host, 0);
    r.ide = vm__pci_add(bus, vm__dev_new(r.f.m, &vm__piix3_ide_class, NULL, NULL), 1 << 3 | 1);
    cr_assert_not_null(r.ide);
}

static inline void rig_setup(void)
{
    rig_board();
    r.hd = fake_disk(&r.f, "hd", false, (uint64_t)RIG_SECTORS * 512);
    r.cd = fake_disk(&r.f, "cd", true, (uint64_t)RIG_BLOCKS * 2048);
    r.hd_dev =
        fake_add(&r.f, &vm__ata_disk_class, "drive", "hd", "bus", "ide.0", "unit", "0", NULL);
    r.cd_dev = fake_add(&r.f, &vm__atapi_class, "drive", "cd", "bus", "ide.1", "unit", "0", NULL);
    cr_assert(r.hd_dev != NULL && r.cd_dev != NULL, "%s", vm_last_error()->message);
    rig_reset();
}

static inline void rig_teardown(void)
{
    fake_fini(&r.f);
    fake_disks_free();
}

/** Everything to bytes, a reset, and back. */
static inline void rig_save_load(void)
{
    struct vm_dev *const devs[] = { r.ide, r.hd_dev, r.cd_dev };
    struct vm_buf saved[VM_COUNT_OF(devs)] = { 0 };
    vm__lock(r.f.m);
    for (unsigned i = 0; i < VM_COUNT_OF(devs); i++)
        vm__fields_save(&saved[i], devs[i]->cls->fields, devs[i]->state);
    vm__unlock(r.f.m);
    rig_reset();
    vm__lock(r.f.m);
    for (unsigned i = 0; i < VM_COUNT_OF(devs); i++) {
        struct vm_reader reader = { .data = saved[i].data, .len = saved[i].len };
        cr_assert_eq(vm__fields_load(&reader, devs[i]->cls->fields, 1, devs[i]->state), VM_OK);
        cr_assert_eq(devs[i]->cls->post_load(devs[i]), VM_OK, "%s", vm_last_error()->message);
        free(saved[i].data);
    }
    vm__unlock(r.f.m);
    fake_advance(&r.f, 1);
}

/* ---- registers ---------------------------------------------------------------------------- */

static inline uint8_t in8(uint16_t port)
{
    return fake_in8(&r.f, port);
}

static inline void out8(uint16_t port, uint8_t v)
{
    fake_out8(&r.f, port, v);
}

/** What is under way gets as far as it can without the host. */
static inline void rig_wait(void)
{
    for (int i = 0; i < 5000; i++) {
        const struct ide_unit *u = vm_dev_state(r.hd_dev), *v = vm_dev_state(r.cd_dev);
        if (!u->flying && !v->flying)
            return;
        fake_advance(&r.f, FAKE_DISK_NS);
    }
    cr_assert_fail("it never ends");
}

/** A command with a 28-bit address. */
static inline void command(uint16_t base, uint8_t op, uint32_t lba, uint8_t count)
{
    out8(base + 2, count);
    out8(base + 3, (uint8_t)lba);
    out8(base + 4, (uint8_t)(lba >> 8));
    out8(base + 5, (uint8_t)(lba >> 16));
    out8(base + 6, (uint8_t)(0xe0 | (lba >> 24 & 0xf)));
    out8(base + 7, op);
    rig_wait();
}

/** One with 48 bits. */
static inline void command48(uint8_t op, uint64_t lba, uint16_t count)
{
    out8(HD + 2, (uint8_t)(count >> 8));
    out8(HD + 3, (uint8_t)(lba >> 24));
    out8(HD + 4, (uint8_t)(lba >> 32));
    out8(HD + 5, (uint8_t)(lba >> 40));
    command(HD, op, (uint32_t)lba & 0xffffff, (uint8_t)count);
}

/** Move @p n bytes by words; the drive may have to be waited for in between. */
static inline void pio_in(uint16_t base, uint8_t *to, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 2) {
        vm_put_le16(to + i, fake_in16(&r.f, base));
        rig_wait();
    }
}

static inline void pio_out(uint16_t base, const uint8_t *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 2) {
        fake_out16(&r.f, base, vm_le16(from + i));
        rig_wait();
    }
}

static inline void expect_status(uint16_t base, uint8_t status)
{
    uint8_t now = in8(base + ALT);
    cr_assert_eq(now, status, "status %02x, not %02x; error %02x", now, status, in8(base + 1));
}

/** The line is up; reading the status lets it go. */
static inline void expect_irq(uint16_t base)
{
    int line = base == HD ? IRQ_HD : IRQ_CD;
    cr_assert_eq(r.f.level[line], 1, "no interrupt");
    (void)in8(base + 7);
    cr_assert_eq(r.f.level[line], 0);
}

/* ---- DMA ---------------------------------------------------------------------------------- */

struct prd {
    uint32_t address, bytes; /* 65536: written as 0 */
};

static inline void rig_prds(uint16_t bm, const struct prd *prd, unsigned n)
{
    uint8_t d[8];
    for (unsigned i = 0; i < n; i++) {
        vm_put_le32(d, prd[i].address);
        vm_put_le32(d + 4, (prd[i].bytes & 0xffff) | (i == n - 1 ? 0x80000000 : 0));
        cr_assert_eq(vm__mem_write(r.f.m, PRD_TABLE + 8 * i, d, 8), VM_OK);
    }
    fake_out32(&r.f, bm + 4, PRD_TABLE);
}

static inline void rig_start(uint16_t bm, bool to_memory)
{
    out8(bm + 2, 0x66);
    out8(bm, to_memory ? 9 : 1);
    rig_wait();
}

/** Memory holds what the disk's sectors from @p lba on do. */
static inline void expect_memory(const struct fake_disk *d, uint64_t off, uint32_t gpa, uint32_t n)
{
    cr_assert_eq(vm__mem_read(r.f.m, gpa, r.data, n), VM_OK);
    cr_assert_eq(memcmp(r.data, d->data + off, n), 0, "%u bytes at %x differ", n, gpa);
}

#endif
