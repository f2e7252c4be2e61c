/* SPDX-License-Identifier: MIT */
/**
 * @file damage.c
 * Damaged copies of images.
 */
#include "damage.h"

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"

enum { SECTOR = 512 };

static void keep(struct sound *s, uint64_t at, const uint8_t *sector)
{
    static const uint8_t zeros[SECTOR];
    if (memcmp(sector, zeros, SECTOR) == 0)
        return;
    if (s->n % 256 == 0) {
        s->places = realloc(s->places, (s->n + 256) * sizeof *s->places);
        s->bytes = realloc(s->bytes, (s->n + 256) * SECTOR);
        assert(s->places != NULL && s->bytes != NULL);
    }
    s->places[s->n] = at;
    memcpy(s->bytes + s->n * SECTOR, sector, SECTOR);
    s->n++;
}

void sound_take(struct sound *s, struct vm_blk *file)
{
    *s = (struct sound) { .size = vm__blk_size(file) };
    for (uint64_t at = 0; at < s->size; at += SECTOR) {
        uint8_t sector[SECTOR] = { 0 };
        uint64_t left = s->size - at;
        assert(vm__blk_read(file, at, sector, left < SECTOR ? (size_t)left : SECTOR) == VM_OK);
        keep(s, at, sector);
    }
}

void sound_take_bytes(struct sound *s, const uint8_t *bytes, uint64_t size)
{
    *s = (struct sound) { .size = size };
    for (uint64_t at = 0; at < size; at += SECTOR) {
        uint8_t sector[SECTOR] = { 0 };
        memcpy(sector, bytes + at, size - at < SECTOR ? (size_t)(size - at) : SECTOR);
        keep(s, at, sector);
    }
}

/** Numbers that tables and headers are bad at. */
static uint64_t odd_number(uint8_t which)
{
    static const uint64_t numbers[] = {
        0,
        1,
        2,
        0x7f,
        0xff,
        0x1ff,
        0x200,
        0xffff,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffffffffffff,
        0xfffffffffffffe00,
        0x00fffffffffffe00,
        0x8000000000010000,
        0x4000000000000000,
        0x30000,
        0x20000,
        0x100000,
        0x400000,
        0xfffffffe,
    };
    return numbers[which % (sizeof numbers / sizeof numbers[0])];
}

static void write_at(struct vm_blk *disk, uint64_t at, const uint8_t *bytes, size_t len)
{
    uint64_t size = vm__blk_size(disk);
    if (at < size)
        (void)vm__blk_write(disk, at, bytes, size - at < len ? (size_t)(size - at) : len);
}

struct vm_blk *damaged(const struct blk_place *p, const struct sound *s, const uint8_t *data,
                       size_t size, uint64_t most)
{
    struct vm_blk *disk = s->size <= most ? blk_memory(p, s->size, "disk") : NULL;
    if (disk == NULL)
        return NULL;
    for (size_t i = 0; i < s->n; i++)
        write_at(disk, s->places[i], s->bytes + i * SECTOR, SECTOR);
    while (size >= 6) {
        uint8_t what = data[0], number[8];
        uint32_t sector = vm_le16(data + 1), in = vm_le16(data + 3);
        size_t len = (size_t)(what >> 3) + 1;
        uint64_t at = s->n != 0 ? s->places[sector % s->n] + in % SECTOR : 0;
        data += 5;
        size -= 5;
        if ((what & 7) < 4) {
            len = len < size ? len : size;
            write_at(disk, at, data, len);
        } else if ((what & 7) < 6) {
            len = 1;
            if (what & 1)
                vm_put_be64(number, odd_number(data[0]));
            else
                vm_put_le64(number, odd_number(data[0]));
            write_at(disk, at & ~UINT64_C(3), what & 8 ? number : number + (what & 1 ? 4 : 0),
                     what & 8 ? 8 : 4);
        } else {
            len = 1;
            uint64_t to = what & 1 ? s->size * in / 65536 : s->size + in * UINT64_C(512);
            if (to <= most)
                (void)vm__blk_resize(disk, to, VM_PREALLOC_OFF, 0);
        }
        data += len;
        size -= len;
    }
    return disk;
}

/* ---- checksums -------------------------------------------------------------------------- */

/** CRC-32C, a bit at a time: polynomial 0x1edc6f41, reflected. */
static uint32_t crc32c(const uint8_t *p, size_t len)
{
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        c ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
    }
    return ~c;
}

/** Of a VHDX header or region table: over itself with the field at 4 as zeros. */
static void mend_vhdx(struct vm_blk *file, uint64_t at, size_t len)
{
    static uint8_t buf[65536];
    if (at + len > vm__blk_size(file) || vm__blk_read(file, at, buf, len) != VM_OK)
        return;
    memset(buf + 4, 0, 4);
    vm_put_le32(buf + 4, crc32c(buf, len));
    (void)vm__blk_write(file, at, buf, 8);
}

/** Of a VHD footer or dynamic header: one's complement of the sum of its bytes. */
static void mend_vhd(struct vm_blk *file, uint64_t at, size_t len, size_t field)
{
    uint8_t buf[1024];
    uint32_t sum = 0;
    if (at + len > vm__blk_size(file) || vm__blk_read(file, at, buf, len) != VM_OK)
        return;
    vm_put_be32(buf + field, 0);
    for (size_t i = 0; i < len; i++)
        sum += buf[i];
    vm_put_be32(buf + field, ~sum);
    (void)vm__blk_write(file, at + field, buf + field, 4);
}

void mend_checksums(const char *format, struct vm_blk *file)
{
    uint64_t size = vm__blk_size(file);
    if (strcmp(format, "vhdx") == 0) {
        mend_vhdx(file, 64 << 10, 4096);
        mend_vhdx(file, 128 << 10, 4096);
        mend_vhdx(file, 192 << 10, 65536);
        mend_vhdx(file, 256 << 10, 65536);
    } else if (strcmp(format, "vpc") == 0) {
        mend_vhd(file, 0, 512, 64);
        mend_vhd(file, 512, 1024, 36);
        if (size >= 512)
            mend_vhd(file, size - 512, 512, 64);
    }
}
