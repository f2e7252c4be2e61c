/* SPDX-License-Identifier: MIT */
/**
 * @file ata_identify.c
 * What an ATA disk says about itself: IDENTIFY DEVICE and SMART.
 *
 * Spec: [ATA-7 §6.17] IDENTIFY DEVICE (volume 1), [ATA-7 §6.54] SMART; [ACS-2 §7.16] for the words
 * about TRIM and rotation.
 */
#include "devices/storage/ata_disk.h"

enum {
    SMART_ATTRIBUTES = 30,
    SMART_ENTRY = 12,
    LBA28_MOST = 0x0fffffff,
};

void vm__ata_checksum(uint8_t *sector)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < IDE_SECTOR - 1; i++)
        sum += sector[i];
    sector[IDE_SECTOR - 1] = (uint8_t)-sum;
}

/* ---- IDENTIFY ----------------------------------------------------------------------------- */

static void word(uint8_t *to, unsigned n, uint32_t v)
{
    vm_put_le16(to + 2 * n, (uint16_t)v);
}

static void identify_geometry(const struct ide_hd *d, uint8_t *to)
{
    uint32_t now = d->now.cyls * d->now.heads * d->now.secs;
    word(to, 1, d->geometry.cyls);
    word(to, 3, d->geometry.heads);
    word(to, 6, d->geometry.secs);
    word(to, 54, d->now.cyls);
    word(to, 55, d->now.heads);
    word(to, 56, d->now.secs);
    vm_put_le32(to + 2 * 57, now);
    vm_put_le32(to + 2 * 60, (uint32_t)vm_min_u64(d->sectors, LBA28_MOST));
    vm_put_le64(to + 2 * 100, d->sectors);
}

static void identify_transfer(const struct ide_hd *d, uint8_t *to)
{
    uint32_t mode = d->transfer_mode & 7;
    uint32_t mwdma = (d->transfer_mode & 0xf8) == 0x20 ? 1u << (8 + mode) : 0;
    uint32_t udma = (d->transfer_mode & 0xf8) == 0x40 ? 1u << (8 + mode) : 0;

    word(to, 47, 0x8000 | ATA_MULTIPLE_MOST);
    word(to, 48, 1);      /* double-word transfers, as old drivers ask for them */
    word(to, 49, 0x2f00); /* standby timer, IORDY, LBA, DMA */
    word(to, 50, 0x4000);
    word(to, 51, 0x0200);
    word(to, 52, 0x0200);
    word(to, 53, 0x0007); /* words 54-58, 64-70 and 88 count */
    word(to, 59, d->multiple != 0 ? 0x0100u | d->multiple : 0);
    word(to, 63, ((1u << ATA_MWDMA_MODES) - 1) | mwdma);
    word(to, 64, 0x0003); /* PIO 3 and 4 */
    for (unsigned i = 65; i <= 68; i++)
        word(to, i, 120); /* ns a cycle */
    word(to, 88, ((1u << ATA_UDMA_MODES) - 1) | udma);
    /* 80 wires; how each unit found out which one it is. */
    word(to, 93, d->u.number == 0 ? 0x600b : 0x6b00);
}

static void identify_features(const struct ide_hd *d, uint8_t *to)
{
    const uint32_t on82 =
        (d->smart ? 0x0001u : 0) | (d->write_cache ? 0x0020u : 0) | (d->look_ahead ? 0x0040u : 0);
    const uint32_t wwn = d->wwn != 0 ? 0x0100 : 0;
    word(to, 80, 0x00f0);        /* ATA-4 to ATA-7 */
    word(to, 82, 0x7069);        /* NOP, buffers, look-ahead, write cache, power, SMART */
    word(to, 83, 0x7400);        /* FLUSH CACHE (EXT), 48 bits */
    word(to, 84, 0x4043 | wwn);  /* WRITE DMA FUA EXT, SMART self-test and error log */
    word(to, 85, 0x7008 | on82); /* of these, what is on */
    word(to, 86, 0x3400);
    word(to, 87, 0x4043 | wwn);
    for (unsigned i = 0; i < 4 && wwn != 0; i++)
        word(to, 108 + i, (uint32_t)(d->wwn >> 16 * (3 - i)) & 0xffff);
    word(to, 105, ATA_TRIM_BLOCKS);
    word(to, 106, 0x4000); /* a physical sector is a logical one */
    word(to, 169, 0x0001); /* TRIM */
    word(to, 217, d->rotation);
}

void vm__ata_identify(const struct ide_hd *d, uint8_t *to)
{
    memset(to, 0, IDE_SECTOR);
    word(to, 0, 0x0040); /* not removable */
    vm__ide_text(to + 2 * 10, ATA_SERIAL, d->serial);
    vm__ide_text(to + 2 * 23, ATA_FIRMWARE, d->version);
    vm__ide_text(to + 2 * 27, ATA_MODEL, d->model);
    identify_geometry(d, to);
    identify_transfer(d, to);
    identify_features(d, to);
    to[510] = 0xa5;
    vm__ata_checksum(to);
}

/* ---- SMART -------------------------------------------------------------------------------- */

/** Attributes of a disk that has never had an accident. */
static const struct {
    uint8_t id, flags, value, threshold;
    uint16_t raw;
} attributes[] = {
    { 1, 0x0b, 100, 16, 0 },                             /* read error rate */
    { 3, 0x07, 100, 24, 0 },                             /* spin-up time */
    { 4, 0x12, 100, 0, 1 },                              /* starts and stops */
    { 5, 0x33, 100, 5, 0 },                              /* reallocated sectors */
    { 9, 0x12, 100, 0, 1 },                              /* hours powered on */
    { 12, 0x32, 100, 0, 1 },                             /* power cycles */
    { 190, 0x22, 69, 50, 31 },                           /* temperature */
    { 194, 0x22, 31, 0, 31 },  { 197, 0x22, 100, 0, 0 }, /* sectors waiting to be reallocated */
    { 198, 0x08, 100, 0, 0 },                            /* uncorrectable */
};

void vm__ata_smart_data(uint8_t *to)
{
    memset(to, 0, IDE_SECTOR);
    to[0] = 1; /* revision of the structure */
    for (unsigned i = 0; i < VM_COUNT_OF(attributes) && i < SMART_ATTRIBUTES; i++) {
        uint8_t *e = to + 2 + i * SMART_ENTRY;
        e[0] = attributes[i].id;
        e[1] = attributes[i].flags;
        e[3] = e[4] = attributes[i].value; /* now, and the worst */
        vm_put_le16(e + 5, attributes[i].raw);
    }
    to[362] = 0x02;             /* off-line collection completed */
    vm_put_le16(to + 364, 120); /* seconds it takes */
    to[367] = 0x11;             /* execute off-line immediate, self-tests */
    to[368] = 0x03;             /* attributes saved before power-down, and by themselves */
    to[370] = 0x01;             /* error log */
    to[372] = 2;                /* minutes of a short self-test */
    to[373] = 10;
    vm__ata_checksum(to);
}

void vm__ata_smart_thresholds(uint8_t *to)
{
    memset(to, 0, IDE_SECTOR);
    to[0] = 1;
    for (unsigned i = 0; i < VM_COUNT_OF(attributes) && i < SMART_ATTRIBUTES; i++) {
        to[2 + i * SMART_ENTRY] = attributes[i].id;
        to[3 + i * SMART_ENTRY] = attributes[i].threshold;
    }
    vm__ata_checksum(to);
}

uint32_t vm__ata_smart_log(uint8_t *to, uint8_t log)
{
    memset(to, 0, IDE_SECTOR);
    switch (log) {
    case 0: /* directory: one sector of each log */
        to[0] = 1;
        to[2 * 1] = to[2 * 6] = 1;
        return IDE_SECTOR;
    case 1: /* errors: none */
    case 6: /* self-tests: none */
        to[0] = 1;
        vm__ata_checksum(to);
        return IDE_SECTOR;
    default:
        return 0;
    }
}
