/* SPDX-License-Identifier: MIT */
/**
 * @file mmc_read.c
 * CD-ROM: sectors, and the table of contents of a disc with one data track.
 *
 * Spec: [MMC-5 §6] commands: READ CD (6.20), READ TOC/PMA/ATIP (6.30), READ SUB-CHANNEL (6.29 of
 * older revisions), READ CAPACITY (6.25). Sector layout: mode 1, sync 12, header 4, data 2048,
 * error detection and correction 288.
 * Not modelled: the contents of those 288 bytes, which read as zeros; audio tracks, sub-channels.
 */
#include "devices/storage/ide_cd.h"

enum {
    SYNC = 0x80, /* byte 9 of READ CD */
    HEADERS = 0x60,
    HEADER = 0x20, /* the main header; the other bit is of the sub-header, which mode 1 lacks */
    USER_DATA = 0x10,
    EDC_ECC = 0x08,
    ERRORS = 0x06,

    SYNC_BYTES = 12,
    HEADER_BYTES = 4,
    EDC_ECC_BYTES = 288,

    TYPE_ANY = 0, /* byte 1, bits 4-2 */
    TYPE_MODE1 = 2,
};

void vm__cd_put_msf(uint8_t *to, uint32_t lba)
{
    lba += CD_LEAD_IN;
    to[0] = (uint8_t)vm_min_u64(lba / (60 * 75), 255);
    to[1] = lba / 75 % 60;
    to[2] = lba % 75;
}

/* ---- sectors ------------------------------------------------------------------------------ */

static void read_sectors(struct ide_cd *s, uint32_t lba, uint32_t count)
{
    uint32_t blocks = vm__cd_blocks(s);
    if (lba > blocks || count > blocks - lba) {
        vm__cd_fail(s, CD_NO_SUCH_LBA);
        return;
    }
    if (count == 0) {
        vm__cd_ok(s);
        return;
    }
    s->u.write = 0;
    vm__ide_move(&s->u, (uint64_t)lba * CD_SECTOR, (uint64_t)count * CD_SECTOR);
}

void vm__cd_read10(struct ide_cd *s)
{
    read_sectors(s, vm_be32(s->cdb + 2), vm_be16(s->cdb + 7));
}

void vm__cd_read12(struct ide_cd *s)
{
    read_sectors(s, vm_be32(s->cdb + 2), vm_be32(s->cdb + 6));
}

/** READ CD: which parts of each sector. */
static void read_parts(struct ide_cd *s, uint32_t lba, uint32_t count)
{
    uint8_t parts = s->cdb[9] & (uint8_t)~1u, type = s->cdb[1] >> 2 & 7;

    if ((type != TYPE_ANY && type != TYPE_MODE1) || (parts & ERRORS) || (s->cdb[10] & 7)) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    if ((parts & (SYNC | HEADER | USER_DATA | EDC_ECC)) == 0)
        count = 0; /* nothing of them */
    else if (!(parts & USER_DATA)) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    s->raw = parts;
    s->u.out = CD_SECTOR + (parts & SYNC ? SYNC_BYTES : 0u) + (parts & HEADER ? HEADER_BYTES : 0u) +
               (parts & EDC_ECC ? EDC_ECC_BYTES : 0u);
    if (s->u.out == CD_SECTOR)
        s->u.out = 0; /* as they lie on the medium */
    read_sectors(s, lba, count);
}

void vm__cd_read_cd(struct ide_cd *s)
{
    uint32_t count = (uint32_t)s->cdb[6] << 16 | vm_be16(s->cdb + 7);
    read_parts(s, vm_be32(s->cdb + 2), count);
}

static int64_t from_msf(const uint8_t *msf)
{
    return ((int64_t)msf[0] * 60 + msf[1]) * 75 + msf[2] - CD_LEAD_IN;
}

void vm__cd_read_cd_msf(struct ide_cd *s)
{
    int64_t first = from_msf(s->cdb + 3), end = from_msf(s->cdb + 6);
    if (first < 0 || end < first)
        vm__cd_fail(s, CD_BAD_FIELD);
    else
        read_parts(s, (uint32_t)first, (uint32_t)(end - first));
}

/** Sectors lie one after another in the buffer; the last moves first. */
void vm__cd_expand(struct ide_unit *u, uint32_t n)
{
    const struct ide_cd *s = vm__cd_of(u);
    static const uint8_t sync[SYNC_BYTES] = { 0,    0xff, 0xff, 0xff, 0xff, 0xff,
                                              0xff, 0xff, 0xff, 0xff, 0xff, 0 };
    uint32_t lba = (uint32_t)(u->at / CD_SECTOR);

    while (n-- > 0) {
        uint8_t *to = u->buffer + n * u->out, *end = to + u->out;
        uint32_t before = (s->raw & SYNC ? SYNC_BYTES : 0u) + (s->raw & HEADER ? HEADER_BYTES : 0u);
        lba--;
        memmove(to + before, u->buffer + n * CD_SECTOR, CD_SECTOR);
        memset(to + before + CD_SECTOR, 0, (size_t)(end - to) - before - CD_SECTOR);
        if (s->raw & SYNC) {
            memcpy(to, sync, sizeof sync);
            to += sizeof sync;
        }
        if (s->raw & HEADER) {
            vm__cd_put_msf(to, lba);
            for (unsigned i = 0; i < 3; i++)
                to[i] = (uint8_t)(to[i] / 10 << 4 | to[i] % 10); /* BCD */
            to[3] = 1;                                           /* mode */
        }
    }
}

void vm__cd_seek(struct ide_cd *s)
{
    if (vm_be32(s->cdb + 2) >= vm__cd_blocks(s))
        vm__cd_fail(s, CD_NO_SUCH_LBA);
    else
        vm__cd_ok(s);
}

void vm__cd_verify(struct ide_cd *s)
{
    uint32_t lba = vm_be32(s->cdb + 2), count = vm_be16(s->cdb + 7), blocks = vm__cd_blocks(s);
    if (lba > blocks || count > blocks - lba) {
        vm__cd_fail(s, CD_NO_SUCH_LBA);
    } else if (count == 0) {
        vm__cd_ok(s);
    } else {
        s->u.at = (uint64_t)lba * CD_SECTOR;
        s->u.left = (uint64_t)count * CD_SECTOR;
        vm__ide_do(&s->u, IDE_VERIFY);
    }
}

/* ---- where things are --------------------------------------------------------------------- */

void vm__cd_read_capacity(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 8);
    vm_put_be32(b, vm__cd_blocks(s) - 1);
    vm_put_be32(b + 4, CD_SECTOR);
    vm__cd_reply(s, 8, 8);
}

/** An address in four bytes, as the MSF bit wants it. */
static void put_address(uint8_t *to, uint32_t lba, bool msf)
{
    to[0] = 0;
    if (msf)
        vm__cd_put_msf(to + 1, lba);
    else
        vm_put_be32(to, lba);
}

/** Format 0: track 1 and the lead-out, from the track asked for on. */
static uint32_t toc_tracks(struct ide_cd *s, uint8_t *b, bool msf)
{
    uint8_t first = s->cdb[6];
    uint32_t n = 4;
    if (first > 1 && first != CD_LEAD_OUT)
        return 0;
    b[2] = b[3] = 1; /* first and last track */
    if (first <= 1) {
        b[n + 1] = CD_TRACK_DATA;
        b[n + 2] = 1;
        put_address(b + n + 4, 0, msf);
        n += 8;
    }
    b[n + 1] = CD_TRACK_DATA;
    b[n + 2] = CD_LEAD_OUT;
    put_address(b + n + 4, vm__cd_blocks(s), msf);
    return n + 8;
}

/** Format 1: one session, which begins with track 1. */
static uint32_t toc_sessions(uint8_t *b, bool msf)
{
    b[2] = b[3] = 1;
    b[5] = CD_TRACK_DATA;
    b[6] = 1;
    put_address(b + 8, 0, msf);
    return 12;
}

/** Format 2: the lead-in's entries. Addresses are always MSF. */
static uint32_t toc_full(struct ide_cd *s, uint8_t *b)
{
    static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
    uint8_t *e = b + 4;
    b[2] = b[3] = 1; /* sessions */
    for (unsigned i = 0; i < VM_COUNT_OF(points); i++, e += 11) {
        e[0] = 1;
        e[1] = CD_TRACK_DATA;
        e[3] = points[i];
        if (points[i] == 0xa0 || points[i] == 0xa1)
            e[8] = 1; /* first, resp. last, track; a CD-ROM's type is 0 */
        else
            vm__cd_put_msf(e + 8, points[i] == 0xa2 ? vm__cd_blocks(s) : 0);
    }
    return 4 + 11 * (uint32_t)VM_COUNT_OF(points);
}

void vm__cd_read_toc(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 64);
    bool msf = s->cdb[1] & 2;
    uint8_t format = s->cdb[2] & 0x0f;
    uint32_t n = 0;

    if (format == 0)
        format = s->cdb[9] >> 6; /* where older drives had it: [SFF-8020i §10.8.22] */
    if (format == 0)
        n = toc_tracks(s, b, msf);
    else if (format == 1)
        n = toc_sessions(b, msf);
    else if (format == 2)
        n = toc_full(s, b);
    if (n == 0) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    vm_put_be16(b, (uint16_t)(n - 2));
    vm__cd_reply(s, n, vm_be16(s->cdb + 7));
}

void vm__cd_read_header(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 8);
    uint32_t lba = vm_be32(s->cdb + 2);
    if (lba >= vm__cd_blocks(s)) {
        vm__cd_fail(s, CD_NO_SUCH_LBA);
        return;
    }
    b[0] = 1; /* mode */
    put_address(b + 4, lba, s->cdb[1] & 2);
    vm__cd_reply(s, 8, vm_be16(s->cdb + 7));
}

void vm__cd_read_subchannel(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 24);
    uint8_t format = s->cdb[3];
    uint32_t n = 4;

    b[1] = 0x15; /* nothing is being played */
    if (s->cdb[2] & 0x40) {
        switch (format) {
        case 1: /* position */
            n = 16;
            b[5] = CD_TRACK_DATA;
            b[6] = b[7] = 1;
            put_address(b + 8, 0, s->cdb[1] & 2);
            put_address(b + 12, 0, false);
            break;
        case 2: /* catalogue number: none */
        case 3: /* recording code: none */
            n = 24;
            break;
        default:
            vm__cd_fail(s, CD_BAD_FIELD);
            return;
        }
        b[4] = format;
    }
    vm_put_be16(b + 2, (uint16_t)(n - 4));
    vm__cd_reply(s, n, vm_be16(s->cdb + 7));
}
