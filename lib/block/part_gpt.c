/* SPDX-License-Identifier: MIT */
/**
 * @file part_gpt.c
 * GUID partition tables.
 *
 * Spec: [UEFI §5.3]. The header's own size, the number and size of entries come from the disk: each
 * is bounded before it is used.
 */
#include "block/part_gpt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"

enum { HEADER_BYTES = 92, ENTRY_BYTES = 128, MAX_ENTRIES_BYTES = 1 << 20, NAME_UNITS = 36 };

struct gpt {
    uint64_t sector, entries_off;
    uint32_t n, size, entries_crc;
};

/* CRC-32 of IEEE 802.3, a bit at a time: tables of partitions are short. */
static uint32_t crc32_of(const uint8_t *p, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static bool read_header(struct vm_blk *disk, uint64_t sector, uint64_t lba, struct gpt *g)
{
    uint8_t h[4096];
    uint64_t off, bytes;
    if (!vm_mul_u64(lba, sector, &off) || !vm_in_range(off, sector, vm__blk_size(disk)) ||
        vm__blk_read(disk, off, h, (size_t)sector) != VM_OK || memcmp(h, "EFI PART", 8) != 0)
        return false;
    const uint32_t size = vm_le32(h + 12), crc = vm_le32(h + 16);
    if (size < HEADER_BYTES || size > sector || vm_le64(h + 24) != lba)
        return false;
    memset(h + 16, 0, 4);
    if (crc32_of(h, size) != crc)
        return false;
    *g = (struct gpt) { .sector = sector,
                        .n = vm_le32(h + 80),
                        .size = vm_le32(h + 84),
                        .entries_crc = vm_le32(h + 88) };
    return vm_mul_u64(vm_le64(h + 72), sector, &g->entries_off) && g->size >= ENTRY_BYTES &&
           g->size <= 4096 && vm_mul_u64(g->n, g->size, &bytes) && bytes <= MAX_ENTRIES_BYTES &&
           vm_in_range(g->entries_off, bytes, vm__blk_size(disk));
}

static void guid_text(const uint8_t *g, char out[40])
{
    snprintf(out, 40, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", vm_le32(g),
             vm_le16(g + 4), vm_le16(g + 6), g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}

/* UTF-16 to UTF-8; halves that stand alone become a question mark. */
static void name_text(const uint8_t *name, char *out)
{
    for (int i = 0; i < NAME_UNITS; i++) {
        const uint32_t u = vm_le16(name + 2 * i);
        if (u == 0)
            break;
        if (u < 0x80) {
            *out++ = (char)(u < 0x20 ? '?' : u);
        } else if (u < 0x800) {
            *out++ = (char)(0xc0 | u >> 6);
            *out++ = (char)(0x80 | (u & 0x3f));
        } else if (u >= 0xd800 && u < 0xe000) {
            *out++ = '?';
        } else {
            *out++ = (char)(0xe0 | u >> 12);
            *out++ = (char)(0x80 | (u >> 6 & 0x3f));
            *out++ = (char)(0x80 | (u & 0x3f));
        }
    }
    *out = '\0';
}
_Static_assert(sizeof(((struct vm_part *)0)->label) > NAME_UNITS * 3, "room for any name");

static void add(struct vm_blk *disk, const struct gpt *g, const uint8_t *e, uint32_t index,
                struct vm_part_table *t)
{
    static const uint8_t unused[16];
    const uint64_t first = vm_le64(e + 32), last = vm_le64(e + 40);
    uint64_t off, len;
    if (memcmp(e, unused, 16) == 0 || last < first || last == UINT64_MAX || t->n == VM_PART_MAX ||
        !vm_mul_u64(first, g->sector, &off) || !vm_mul_u64(last - first + 1, g->sector, &len) ||
        off >= vm__blk_size(disk))
        return;
    struct vm_part *p = &t->parts[t->n++];
    *p = (struct vm_part) { .index = index, .bootable = e[48] >> 2 & 1, .off = off, .len = len };
    if (len > vm__blk_size(disk) - off)
        p->len = vm__blk_size(disk) - off;
    guid_text(e, p->type);
    guid_text(e + 16, p->uuid);
    name_text(e + 56, p->label);
}

static int read_entries(struct vm_blk *disk, const struct gpt *g, struct vm_part_table *t)
{
    const size_t bytes = (size_t)g->n * g->size;
    uint8_t *entries = malloc(bytes + 1);
    int st = entries != NULL ? VM_OK : vm__fail_nomem(bytes);
    if (st == VM_OK)
        st = vm__blk_read(disk, g->entries_off, entries, bytes);
    if (st == VM_OK && crc32_of(entries, bytes) != g->entries_crc)
        st = vm__fail(VM_E_CORRUPT, "the entries of the partition table have a wrong checksum");
    for (uint32_t i = 0; st == VM_OK && i < g->n; i++)
        add(disk, g, entries + (size_t)i * g->size, i + 1, t);
    free(entries);
    return st;
}

int vm__part_read_gpt(struct vm_blk *disk, struct vm_part_table *t)
{
    static const uint64_t sectors[] = { 512, 4096 };
    int st = VM_E_CORRUPT;
    t->scheme = "gpt";
    for (int copy = 0; st != VM_OK && copy < 2; copy++)
        for (int i = 0; st != VM_OK && i < 2; i++) {
            struct gpt g;
            const uint64_t last = vm__blk_size(disk) / sectors[i];
            t->n = 0;
            if (last > 1 && read_header(disk, sectors[i], copy == 0 ? 1 : last - 1, &g))
                st = read_entries(disk, &g, t);
        }
    return st == VM_OK ? st : vm__fail(VM_E_CORRUPT, "both copies of the GPT are damaged");
}
