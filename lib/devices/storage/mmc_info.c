/* SPDX-License-Identifier: MIT */
/**
 * @file mmc_info.c
 * CD-ROM: what the drive can, what happens to its tray, and what kind of disc is in it.
 *
 * Spec: [MMC-5 §5] features and profiles, [MMC-5 §6] commands.
 */
#include "devices/storage/ide_cd.h"

enum { PROFILE_CD = 0x0008, PROFILE_DVD = 0x0010 };

/* ---- GET CONFIGURATION -------------------------------------------------------------------- */

/** The feature's data after its head, and whether it is current. */
struct feature {
    uint16_t code;
    uint8_t flags; /* version << 2 | persistent << 1; the current bit is added */
    uint8_t len;
    const uint8_t *data;
    enum { ALWAYS, WITH_DISC, WITH_CD, WITH_DVD } current;
};

/* clang-format off */
static const uint8_t core[] = { 0, 0, 0, 2, 1, 0, 0, 0 };      /* ATAPI; device busy events */
static const uint8_t morphing[] = { 2, 0, 0, 0 };              /* operational change events */
static const uint8_t removable[] = { 0x29, 0, 0, 0 };          /* tray, eject, lock */
static const uint8_t readable[] = { 0, 0, 8, 0, 0, 1, 1, 0 };  /* 2048 bytes, one a block */
static const uint8_t cd_read[] = { 0, 0, 0, 0 };

static const struct feature features[] = {
    { 0x0001, 0x0b & ~1, sizeof core, core, ALWAYS },
    { 0x0002, 0x07 & ~1, sizeof morphing, morphing, ALWAYS },
    { 0x0003, 0x03 & ~1, sizeof removable, removable, ALWAYS },
    { 0x0010, 0x00, sizeof readable, readable, WITH_DISC },
    { 0x001e, 0x08, sizeof cd_read, cd_read, WITH_CD },
    { 0x001f, 0x00, 0, NULL, WITH_DVD },
    { 0x0100, 0x02, 0, NULL, ALWAYS }, /* power management */
};
/* clang-format on */

static bool is_current(const struct ide_cd *s, const struct feature *f)
{
    switch (f->current) {
    case ALWAYS:
        return true;
    case WITH_DISC:
        return vm__cd_has_disc(s);
    case WITH_CD:
        return vm__cd_has_disc(s) && !vm__cd_is_dvd(s);
    case WITH_DVD:
        return vm__cd_has_disc(s) && vm__cd_is_dvd(s);
    }
    return false;
}

static uint16_t profile(const struct ide_cd *s)
{
    return !vm__cd_has_disc(s) ? 0 : vm__cd_is_dvd(s) ? PROFILE_DVD : PROFILE_CD;
}

/** Feature 0: the profiles, DVD-ROM and CD-ROM. */
static uint8_t *put_profiles(const struct ide_cd *s, uint8_t *b)
{
    static const uint16_t profiles[] = { PROFILE_DVD, PROFILE_CD };
    b[2] = 0x03; /* persistent and current */
    b[3] = 4 * (uint8_t)VM_COUNT_OF(profiles);
    b += 4;
    for (unsigned i = 0; i < VM_COUNT_OF(profiles); i++, b += 4) {
        vm_put_be16(b, profiles[i]);
        b[2] = profiles[i] == profile(s);
    }
    return b;
}

static uint8_t *put_feature(const struct ide_cd *s, uint8_t *b, const struct feature *f)
{
    vm_put_be16(b, f->code);
    b[2] = f->flags | (is_current(s, f) ? 1 : 0);
    b[3] = f->len;
    if (f->len != 0)
        memcpy(b + 4, f->data, f->len);
    return b + 4 + f->len;
}

/** Byte 1: 0 all features, 1 the current ones, 2 just the one named. */
void vm__cd_get_configuration(struct ide_cd *s)
{
    uint8_t *start = vm__cd_buffer(s, 256), *b = start + 8;
    uint8_t which = s->cdb[1] & 3;
    uint16_t first = vm_be16(s->cdb + 2);

    if (which == 3) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    if (first == 0)
        b = put_profiles(s, b);
    for (unsigned i = 0; i < VM_COUNT_OF(features); i++) {
        const struct feature *f = &features[i];
        if (which == 2 ? f->code == first : f->code >= first && (which == 0 || is_current(s, f)))
            b = put_feature(s, b, f);
    }
    vm_put_be16(start + 6, profile(s));
    vm_put_be32(start, (uint32_t)(b - start) - 4);
    vm__cd_reply(s, (uint32_t)(b - start), vm_be16(s->cdb + 7));
}

/* ---- events ------------------------------------------------------------------------------- */

enum { CLASS_OPERATION = 1, CLASS_MEDIA = 4, CLASSES = 1 << CLASS_OPERATION | 1 << CLASS_MEDIA };

void vm__cd_get_event_status(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 8);
    uint8_t wanted = s->cdb[4] & CLASSES;
    uint32_t n = 4;

    if (!(s->cdb[1] & 1)) { /* only polled: nothing is disconnected here */
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    b[3] = CLASSES;
    if (wanted == 0) {
        b[2] = 0x80; /* no event of these classes can come */
    } else if (wanted & 1 << CLASS_MEDIA &&
               (s->event != CD_EVENT_NONE || wanted == 1 << CLASS_MEDIA)) {
        b[2] = CLASS_MEDIA;
        b[4] = s->event;
        b[5] = (s->tray_open ? 1 : 0) | (vm__cd_has_disc(s) ? 2 : 0);
        s->event = CD_EVENT_NONE;
        n = 8;
    } else {
        b[2] = wanted & 1 << CLASS_OPERATION ? CLASS_OPERATION : CLASS_MEDIA;
        n = 8;
    }
    vm_put_be16(b, (uint16_t)(n - 2));
    vm__cd_reply(s, n, vm_be16(s->cdb + 7));
}

void vm__cd_mechanism_status(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 8);
    b[1] = s->tray_open ? 0x10 : 0;
    b[5] = 1; /* slots, none of them with a table */
    vm__cd_reply(s, 8, vm_be16(s->cdb + 8));
}

/* ---- the disc ----------------------------------------------------------------------------- */

void vm__cd_read_disc_information(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 34);
    if ((s->cdb[1] & 7) != 0) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    vm_put_be16(b, 32);
    b[2] = 0x0e;                   /* complete disc, complete last session */
    b[3] = b[4] = b[5] = b[6] = 1; /* first track, sessions, first and last track of the last */
    b[7] = 0x20;                   /* unrestricted use */
    b[8] = 0x00;                   /* CD-ROM */
    memset(b + 16, 0xff, 8);       /* no more sessions can follow */
    vm__cd_reply(s, 34, vm_be16(s->cdb + 7));
}

void vm__cd_read_track_information(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 36);
    uint32_t address = vm_be32(s->cdb + 2);
    uint8_t type = s->cdb[1] & 3;

    if (type == 0 ? address >= vm__cd_blocks(s) : type == 3 || address != 1) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    vm_put_be16(b, 34);
    b[2] = b[3] = 1; /* track, session */
    b[5] = 0x04;     /* data, not to be copied from audio */
    b[6] = 0x01;     /* mode 1 */
    vm_put_be32(b + 24, vm__cd_blocks(s));
    vm__cd_reply(s, 36, vm_be16(s->cdb + 7));
}

void vm__cd_read_format_capacities(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 12);
    bool disc = vm__cd_has_disc(s);
    b[3] = 8;
    vm_put_be32(b + 4, disc ? vm__cd_blocks(s) : 0);
    vm_put_be32(b + 8, CD_SECTOR);
    b[8] = disc ? 2 : 3; /* formatted; no medium */
    vm__cd_reply(s, 12, vm_be16(s->cdb + 7));
}

/** Format 0: the physical description, as the lead-in of a single-layer DVD-ROM has it. */
static uint32_t dvd_physical(struct ide_cd *s, uint8_t *b)
{
    uint32_t last = 0x30000 + vm__cd_blocks(s) - 1;
    b[4] = 0x01;                 /* DVD-ROM, version 1 */
    b[5] = 0x0f;                 /* 120 mm, rate not specified */
    b[6] = 0x01;                 /* one layer, read-only */
    vm_put_be32(b + 8, 0x30000); /* first physical sector; upper bytes are 0 */
    vm_put_be32(b + 12, last & 0xffffff);
    return 4 + 2048;
}

void vm__cd_read_dvd_structure(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 4 + 2048);
    uint32_t n;
    if (!vm__cd_is_dvd(s)) {
        vm__cd_fail(s, CD_WRONG_MEDIUM);
        return;
    }
    switch (s->cdb[7]) {
    case 0x00:
        n = dvd_physical(s, b);
        break;
    case 0x01: /* copyright: none */
        n = 8;
        break;
    case 0x04: /* manufacturing: blank */
        n = 4 + 2048;
        break;
    case 0xff: /* which structures there are: these */
        for (unsigned i = 0; i < 3; i++) {
            static const uint8_t formats[] = { 0x00, 0x01, 0x04 };
            b[4 + 4 * i] = formats[i];
            b[5 + 4 * i] = 0x40; /* can be read */
            vm_put_be16(b + 6 + 4 * i, formats[i] == 1 ? 8 : 4 + 2048);
        }
        n = 16;
        break;
    default:
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    vm_put_be16(b, (uint16_t)(n - 2));
    vm__cd_reply(s, n, vm_be16(s->cdb + 8));
}

/** Nominal performance: one stretch from the first sector to the last. */
void vm__cd_get_performance(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 24);
    uint32_t last = vm__cd_blocks(s) - 1, speed = 11080; /* kB/s */
    if (s->cdb[10] != 0 || (s->cdb[1] & 3) != 0) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    vm_put_be32(b, 20);
    vm_put_be32(b + 12, speed);
    vm_put_be32(b + 16, last);
    vm_put_be32(b + 20, speed);
    vm__cd_reply(s, vm_be16(s->cdb + 8) == 0 ? 8 : 24, 24);
}
