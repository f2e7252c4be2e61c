/* SPDX-License-Identifier: MIT */
/**
 * @file old_images.c
 * Images of formats that the library only reads.
 */
#include "old_images.h"

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"

enum { SECTOR = 512 };

static void fill(uint8_t *p, uint64_t off, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = old_byte(off + i);
}

/** [BOCHS "Harddisk redologs"]: extents of 64 KiB, stored last to first. */
static void bochs(struct sound *out)
{
    enum { EXTENTS = 4, EXTENT = 65536, BITMAP = 512, DATA = 512 + 512 };
    static uint8_t f[DATA + EXTENTS * (BITMAP + EXTENT)];
    memset(f, 0, sizeof f);
    memcpy(f, "Bochs Virtual HD Image", 23);
    memcpy(f + 32, "Redolog", 8);
    memcpy(f + 48, "Growing", 8);
    vm_put_le32(f + 64, 0x00020000);
    vm_put_le32(f + 68, 512);
    vm_put_le32(f + 72, 128); /* catalog entries */
    vm_put_le32(f + 76, BITMAP);
    vm_put_le32(f + 80, EXTENT);
    vm_put_le64(f + 88, EXTENTS * EXTENT);
    memset(f + 512, 0xff, 512);
    for (uint32_t i = 0; i < EXTENTS; i++) {
        uint8_t *at = f + DATA + (size_t)(EXTENTS - 1 - i) * (BITMAP + EXTENT);
        vm_put_le32(f + 512 + 4 * i, EXTENTS - 1 - i);
        memset(at, 0xff, EXTENT / SECTOR / 8);
        fill(at + BITMAP, (uint64_t)i * EXTENT, EXTENT);
    }
    sound_take_bytes(out, f, sizeof f);
}

/** A zlib stream of one stored block [RFC1950 §2.2] [RFC1951 §3.2.4]. @return its length */
static size_t stored(uint8_t *out, const uint8_t *in, size_t len)
{
    uint32_t a = 1, b = 0;
    assert(len <= 65535);
    memcpy(out, "\x78\x01\x01", 3);
    vm_put_le16(out + 3, (uint16_t)len);
    vm_put_le16(out + 5, (uint16_t)~len);
    memcpy(out + 7, in, len);
    for (size_t i = 0; i < len; i++) {
        a = (a + in[i]) % 65521;
        b = (b + a) % 65521;
    }
    vm_put_be32(out + 7 + len, b << 16 | a);
    return len + 11;
}

/** [CLOOP]: blocks of 32 KiB. */
static void cloop(struct sound *out)
{
    enum { BLOCKS = 8, BLOCK = 32768, OFFSETS = 136 };
    static uint8_t f[OFFSETS + 8 * (BLOCKS + 1) + BLOCKS * (BLOCK + 16)];
    uint8_t block[BLOCK];
    size_t at = OFFSETS + 8 * (BLOCKS + 1);
    memset(f, 0, sizeof f);
    memcpy(f, "#!/bin/sh\n#V2.0 Format\n", 23);
    vm_put_be32(f + 128, BLOCK);
    vm_put_be32(f + 132, BLOCKS);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        vm_put_be64(f + OFFSETS + 8 * (size_t)i, at);
        fill(block, (uint64_t)i * BLOCK, BLOCK);
        at += stored(f + at, block, BLOCK);
    }
    vm_put_be64(f + OFFSETS + 8 * BLOCKS, at);
    sound_take_bytes(out, f, at);
}

/* ---- [UDIF] ----------------------------------------------------------------------------- */

/** Bytes as they are, and one copy of what came before, to have both kinds of items [ADC]. */
static size_t adc(uint8_t *out, const uint8_t *in, size_t len)
{
    size_t n = 0, at = 0;
    while (at < len) {
        size_t back = 0, count = 0; /* the bytes repeat every 1024 */
        for (size_t k = 1; k <= 2048 && k <= at; k *= 2)
            for (size_t m = 0; m < 60 && at + m < len && in[at + m] == in[at + m - k]; m++)
                if (m + 1 > count) {
                    count = m + 1;
                    back = k;
                }
        if (count >= 4) {
            out[n++] = (uint8_t)(0x40 | (count - 4));
            out[n++] = (uint8_t)((back - 1) >> 8);
            out[n++] = (uint8_t)(back - 1);
            at += count;
        } else if (count == 3 && back <= 1024) {
            out[n++] = (uint8_t)((back - 1) >> 8);
            out[n++] = (uint8_t)(back - 1);
            at += count;
        } else {
            out[n++] = 0x80;
            out[n++] = in[at++];
        }
    }
    return n;
}

static size_t base64(char *out, const uint8_t *in, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0) |
                     (i + 2 < len ? in[i + 2] : 0);
        out[n++] = digits[v >> 18];
        out[n++] = digits[v >> 12 & 63];
        out[n++] = i + 1 < len ? digits[v >> 6 & 63] : '=';
        out[n++] = i + 2 < len ? digits[v & 63] : '=';
        if (n % 53 == 52) { /* lines are short, and begin with tabs */
            out[n++] = '\n';
            out[n++] = '\t';
        }
    }
    return n;
}

static void put_chunk(uint8_t *p, uint32_t kind, uint64_t sector, uint64_t count, uint64_t off,
                      uint64_t len)
{
    vm_put_be32(p, kind);
    vm_put_be64(p + 8, sector);
    vm_put_be64(p + 16, count);
    vm_put_be64(p + 24, off);
    vm_put_be64(p + 32, len);
}

size_t old_dmg(uint8_t *f, size_t room, const struct old_packed *extra)
{
    enum { COUNT = OLD_DMG_BYTES / OLD_DMG_CHUNK, SECTORS = OLD_DMG_CHUNK / SECTOR };
    uint8_t mish[204 + 40 * (COUNT + 2)] = "mish", bytes[OLD_DMG_CHUNK];
    char *xml;
    size_t at = 0, n = 0;
    memset(f, 0, room);
    vm_put_be32(mish + 4, 1);
    vm_put_be64(mish + 16, OLD_DMG_BYTES / SECTOR);
    put_chunk(mish + 204 + 40 * n++, 0x7ffffffe, 0, 0, 0, 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t kind = i % 4 == 0 ? 1 : i % 4 == 1 ? 0x80000005 : i % 4 == 2 ? 0x80000004 : 0;
        size_t len = OLD_DMG_CHUNK;
        fill(bytes, (uint64_t)i * OLD_DMG_CHUNK, OLD_DMG_CHUNK);
        if (extra != NULL && kind == 0) {
            kind = extra->kind;
            len = extra->pack(extra, f + at, bytes, OLD_DMG_CHUNK);
        } else if (kind == 1) {
            memcpy(f + at, bytes, OLD_DMG_CHUNK);
        } else if (kind == 0x80000005) {
            len = stored(f + at, bytes, OLD_DMG_CHUNK);
        } else if (kind == 0x80000004) {
            len = adc(f + at, bytes, OLD_DMG_CHUNK);
        } else {
            len = 0;
        }
        put_chunk(mish + 204 + 40 * n++, kind, (uint64_t)i * SECTORS, SECTORS, at, len);
        at += len;
    }
    put_chunk(mish + 204 + 40 * n++, 0xffffffff, OLD_DMG_BYTES / SECTOR, 0, at, 0);
    vm_put_be32(mish + 200, (uint32_t)n);
    xml = (char *)f + at;
    size_t len = (size_t)sprintf(xml, "<?xml version=\"1.0\"?>\n<plist version=\"1.0\">\n<dict>\n"
                                      "<key>resource-fork</key>\n<dict>\n<key>blkx</key>\n<array>\n"
                                      "<dict>\n<key>Data</key>\n<data>\n\t");
    len += base64(xml + len, mish, sizeof mish);
    len += (size_t)sprintf(xml + len, "\n</data>\n</dict>\n</array>\n</dict>\n</dict>\n</plist>\n");
    uint8_t *koly = f + at + len;
    memset(koly, 0, 512);
    memcpy(koly, "koly", 4);
    vm_put_be32(koly + 4, 4);
    vm_put_be32(koly + 8, 512);
    vm_put_be64(koly + 32, at);
    vm_put_be64(koly + 216, at);
    vm_put_be64(koly + 224, len);
    vm_put_be32(koly + 488, 1);
    vm_put_be64(koly + 492, OLD_DMG_BYTES / SECTOR);
    assert(at + len + 512 <= room);
    return at + len + 512;
}

static void dmg(struct sound *out)
{
    static uint8_t f[OLD_DMG_ROOM];
    sound_take_bytes(out, f, old_dmg(f, sizeof f, NULL));
}

static const struct {
    const char *format;
    void (*make)(struct sound *out);
    uint64_t size;
} makers[] = {
    { "bochs", bochs, 4 * 65536 },
    { "cloop", cloop, 8 * 32768 },
    { "dmg", dmg, OLD_DMG_BYTES },
};

void old_image(const char *format, struct sound *out)
{
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++)
        if (strcmp(makers[i].format, format) == 0) {
            makers[i].make(out);
            return;
        }
    assert(!"no such format");
}

uint64_t old_size(const char *format)
{
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++)
        if (strcmp(makers[i].format, format) == 0)
            return makers[i].size;
    return 0;
}
