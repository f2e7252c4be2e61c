/* SPDX-License-Identifier: MIT */
/**
 * @file mmc_mode.c
 * CD-ROM: mode pages.
 *
 * Spec: [SPC-3 §6.9, §7.4] MODE SENSE and MODE SELECT; [MMC-5 §7] pages; the CD capabilities page
 * (2Ah) as in MMC-3, which drives still show and systems still read.
 */
#include "devices/storage/ide_cd.h"

enum {
    PAGE_ERROR_RECOVERY = 0x01,
    PAGE_DEVICE = 0x0d,
    PAGE_AUDIO = 0x0e,
    PAGE_POWER = 0x1a,
    PAGE_CAPABILITIES = 0x2a,
    PAGE_ALL = 0x3f,

    CURRENT = 0, /* which values: bits 7-6 of byte 2 */
    CHANGEABLE = 1,
    SAVED = 3,

    HEAD6 = 4,
    HEAD10 = 8,
    PARAMETERS_MOST = 256,
    AUDIO_WRITABLE = 0x06, /* immediate, stop on track crossing */
};

static uint32_t page_error_recovery(const struct ide_cd *s, uint8_t *b, unsigned which)
{
    b[0] = PAGE_ERROR_RECOVERY;
    b[1] = 6;
    b[2] = which == CHANGEABLE ? 0xff : which == CURRENT ? s->error_recovery : 0;
    if (which != CHANGEABLE)
        b[3] = 5; /* retries */
    return 8;
}

static uint32_t page_device(uint8_t *b, unsigned which)
{
    b[0] = PAGE_DEVICE;
    b[1] = 6;
    if (which != CHANGEABLE) {
        b[5] = 60; /* seconds a minute */
        b[7] = 75; /* frames a second */
    }
    return 8;
}

static uint32_t page_audio(const struct ide_cd *s, uint8_t *b, unsigned which)
{
    b[0] = PAGE_AUDIO;
    b[1] = 14;
    b[2] = which == CHANGEABLE ? AUDIO_WRITABLE : which == CURRENT ? s->audio_flags : 4;
    if (which != CHANGEABLE) {
        b[7] = 75;
        b[8] = 1; /* channel 0 on the left, at full volume; 1 on the right */
        b[9] = 0xff;
        b[10] = 2;
        b[11] = 0xff;
    }
    return 16;
}

static uint32_t page_power(uint8_t *b)
{
    b[0] = PAGE_POWER;
    b[1] = 10;
    return 12;
}

static uint32_t page_capabilities(const struct ide_cd *s, uint8_t *b, unsigned which)
{
    b[0] = PAGE_CAPABILITIES;
    b[1] = 20;
    if (which == CHANGEABLE)
        return 22;
    b[2] = 0x0b;                          /* reads CD-R, CD-RW, DVD-ROM */
    b[4] = 0x70;                          /* several sessions, mode 2 forms */
    b[6] = 0x29 | (s->locked ? 0x02 : 0); /* tray, eject, lock */
    vm_put_be16(b + 8, 11080);            /* kB/s: most, and now */
    vm_put_be16(b + 12, 512);             /* KiB of buffer */
    vm_put_be16(b + 14, 11080);
    return 22;
}

/** Append a page. @return its bytes; 0: no such page */
static uint32_t put_page(const struct ide_cd *s, uint8_t *b, uint8_t page, unsigned which)
{
    switch (page) {
    case PAGE_ERROR_RECOVERY:
        return page_error_recovery(s, b, which);
    case PAGE_DEVICE:
        return page_device(b, which);
    case PAGE_AUDIO:
        return page_audio(s, b, which);
    case PAGE_POWER:
        return page_power(b);
    case PAGE_CAPABILITIES:
        return page_capabilities(s, b, which);
    default:
        return 0;
    }
}

static uint32_t put_pages(const struct ide_cd *s, uint8_t *b)
{
    static const uint8_t all[] = { PAGE_ERROR_RECOVERY, PAGE_DEVICE, PAGE_AUDIO, PAGE_POWER,
                                   PAGE_CAPABILITIES };
    uint8_t page = s->cdb[2] & 0x3f;
    unsigned which = s->cdb[2] >> 6;
    uint32_t n = 0;

    if (page != PAGE_ALL)
        return put_page(s, b, page, which);
    for (unsigned i = 0; i < VM_COUNT_OF(all); i++)
        n += put_page(s, b + n, all[i], which);
    return n;
}

/** Old medium types, [SFF-8020i §10.8.6]: 1 data disc, 70h none, 71h tray open. */
static uint8_t medium_type(const struct ide_cd *s)
{
    return s->tray_open ? 0x71 : vm__cd_has_disc(s) ? 0x01 : 0x70;
}

static void mode_sense(struct ide_cd *s, uint32_t head, uint32_t allocated)
{
    uint8_t *b = vm__cd_buffer(s, 256);
    if (s->cdb[2] >> 6 == SAVED) {
        vm__cd_fail(s, CD_NO_SAVED_PAGES);
        return;
    }
    uint32_t n = put_pages(s, b + head);
    if (n == 0) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    n += head;
    if (head == HEAD10) {
        vm_put_be16(b, (uint16_t)(n - 2));
        b[2] = medium_type(s);
    } else {
        b[0] = (uint8_t)(n - 1);
        b[1] = medium_type(s);
    }
    vm__cd_reply(s, n, allocated);
}

void vm__cd_mode_sense6(struct ide_cd *s)
{
    mode_sense(s, HEAD6, s->cdb[4]);
}

void vm__cd_mode_sense10(struct ide_cd *s)
{
    mode_sense(s, HEAD10, vm_be16(s->cdb + 7));
}

/* ---- MODE SELECT -------------------------------------------------------------------------- */

static void mode_select(struct ide_cd *s, uint32_t len)
{
    if (!(s->cdb[1] & 0x10) || (s->cdb[1] & 1)) { /* page format; saving is not possible */
        vm__cd_fail(s, CD_BAD_FIELD);
    } else if (len > PARAMETERS_MOST) {
        vm__cd_fail(s, CD_BAD_LENGTH);
    } else if (len == 0) {
        vm__cd_ok(s);
    } else {
        vm__ide_receive(&s->u, len);
    }
}

void vm__cd_mode_select6(struct ide_cd *s)
{
    mode_select(s, s->cdb[4]);
}

void vm__cd_mode_select10(struct ide_cd *s)
{
    mode_select(s, vm_be16(s->cdb + 7));
}

/** Every page is looked at before any is taken over. */
static enum cd_sense walk(struct ide_cd *s, const uint8_t *b, uint32_t len, bool apply)
{
    while (len != 0) {
        uint8_t have[32];
        uint8_t page = b[0] & 0x3f;
        uint32_t n = put_page(s, memset(have, 0, sizeof have), page, CURRENT);
        if (n == 0)
            return CD_BAD_PARAMETER;
        if (len < 2 || b[1] + 2u > len)
            return CD_BAD_LENGTH;
        if (b[1] + 2u != n && page != PAGE_CAPABILITIES)
            return CD_BAD_PARAMETER;
        if (apply && page == PAGE_ERROR_RECOVERY)
            s->error_recovery = b[2];
        else if (apply && page == PAGE_AUDIO)
            s->audio_flags = b[2] & AUDIO_WRITABLE;
        len -= b[1] + 2u;
        b += b[1] + 2u;
    }
    return CD_GOOD;
}

/** Head, block descriptors (as many bytes as it says), pages. */
void vm__cd_mode_selected(struct ide_cd *s)
{
    const uint8_t *b = s->u.buffer;
    const bool ten = s->cdb[0] == 0x55;
    uint32_t len = s->u.have, head = ten ? HEAD10 : HEAD6;
    enum cd_sense sense = CD_BAD_LENGTH;

    if (len >= head) {
        uint32_t skip = head + (ten ? vm_be16(b + 6) : b[3]);
        if (len >= skip)
            sense = walk(s, b + skip, len - skip, false);
        if (sense == CD_GOOD)
            (void)walk(s, b + skip, len - skip, true);
    }
    if (sense == CD_GOOD)
        vm__cd_ok(s);
    else
        vm__cd_fail(s, sense);
}

void vm__cd_mode_reset(struct ide_cd *s)
{
    s->error_recovery = 0;
    s->audio_flags = 4;
}
