/* SPDX-License-Identifier: MIT */
/**
 * @file old_images.c
 * Images of formats that the library only reads.
 */
#include "old_images.h"

#undef NDEBUG
#include <assert.h>
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

static const struct {
    const char *format;
    void (*make)(struct sound *out);
    uint64_t size;
} makers[] = {
    { "bochs", bochs, 4 * 65536 },
    { "cloop", cloop, 8 * 32768 },
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
