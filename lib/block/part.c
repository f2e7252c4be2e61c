/* SPDX-License-Identifier: MIT */
/**
 * @file part.c
 * Partition tables: the one of the PC's first sector, and opening a partition.
 *
 * [UEFI §5.2] describes the first sector; logical partitions are a chain of sectors like it, each
 * with one partition and the place of the next, as DOS has them.
 */
#include "block/part.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "block/env.h"
#include "block/options.h"
#include "block/part_gpt.h"

enum { SECTOR = 512, TABLE = 446, ENTRY = 16, FIRST_LOGICAL = 5, MAX_LOGICAL = 128 };

struct entry {
    uint8_t boot, type;
    uint64_t start, count; /* sectors */
};

static struct entry entry_at(const uint8_t *sector, int i)
{
    const uint8_t *e = sector + TABLE + i * ENTRY;
    return (struct entry) { e[0], e[4], vm_le32(e + 8), vm_le32(e + 12) };
}

static bool is_extended(uint8_t type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

static bool has_mark(const uint8_t *sector)
{
    return sector[510] == 0x55 && sector[511] == 0xaa;
}

static void add(struct vm_part_table *t, uint32_t index, const struct entry *e, uint64_t start)
{
    struct vm_part *p = &t->parts[t->n++];
    *p = (struct vm_part) {
        .index = index, .bootable = e->boot == 0x80, .off = start * SECTOR, .len = e->count * SECTOR
    };
    snprintf(p->type, sizeof p->type, "0x%02x", e->type);
}

/* A chain of at most MAX_LOGICAL, so one that comes back to itself ends, too. */
static int read_logical(struct vm_blk *disk, const struct entry *ext, struct vm_part_table *t)
{
    uint8_t sector[SECTOR];
    uint64_t at = ext->start;
    const uint64_t sectors = vm__blk_size(disk) / SECTOR;
    for (uint32_t i = 0; i < MAX_LOGICAL && t->n < VM_PART_MAX; i++) {
        if (at >= sectors)
            return vm__fail(VM_E_CORRUPT, "a logical partition is described beyond the disk");
        const int st = vm__blk_read(disk, at * SECTOR, sector, SECTOR);
        if (st != VM_OK)
            return st;
        if (!has_mark(sector))
            return VM_OK; /* an empty extended partition */
        const struct entry e = entry_at(sector, 0), next = entry_at(sector, 1);
        if (e.type != 0 && e.count != 0 && vm_in_range(at + e.start, e.count, sectors))
            add(t, FIRST_LOGICAL + i, &e, at + e.start);
        if (!is_extended(next.type) || next.start == 0)
            return VM_OK;
        at = ext->start + next.start;
    }
    return VM_OK;
}

/* A boot sector of a file system has the same mark, and code or text where the table would be. */
static bool plausible(const uint8_t *sector, uint64_t sectors)
{
    int n = 0;
    for (int i = 0; i < 4; i++) {
        const struct entry e = entry_at(sector, i);
        if ((e.boot & 0x7f) != 0)
            return false;
        if (e.type == 0)
            continue;
        if (e.count == 0 || e.start == 0 || e.start >= sectors)
            return false;
        n++;
    }
    return n != 0;
}

static int read_mbr(struct vm_blk *disk, const uint8_t *sector, struct vm_part_table *t)
{
    const uint64_t sectors = vm__blk_size(disk) / SECTOR;
    int st = VM_OK;
    t->scheme = "mbr";
    for (uint32_t i = 0; i < 4; i++) {
        struct entry e = entry_at(sector, (int)i);
        if (e.type == 0)
            continue;
        if (e.count > sectors - e.start) /* hybrid images and cut ones: what there is of it */
            e.count = sectors - e.start;
        if (!is_extended(e.type))
            add(t, i + 1, &e, e.start);
    }
    for (int i = 0; st == VM_OK && i < 4; i++) {
        const struct entry e = entry_at(sector, i);
        if (is_extended(e.type)) {
            st = read_logical(disk, &e, t);
            break; /* there is one extended partition */
        }
    }
    return st;
}

int vm__part_read(struct vm_blk *disk, struct vm_part_table *t)
{
    uint8_t sector[SECTOR];
    bool protective = false;
    t->scheme = NULL;
    t->n = 0;
    if (vm__blk_size(disk) < SECTOR)
        return VM_OK;
    const int st = vm__blk_read(disk, 0, sector, SECTOR);
    if (st != VM_OK || !has_mark(sector) || !plausible(sector, vm__blk_size(disk) / SECTOR))
        return st;
    for (int i = 0; i < 4; i++)
        protective = protective || entry_at(sector, i).type == 0xee;
    return protective ? vm__part_read_gpt(disk, t) : read_mbr(disk, sector, t);
}

static struct vm_blk *open_stretch(struct vm_blk *disk, const struct vm_part *p, uint32_t flags)
{
    char off[24], len[24];
    struct vm_blk_options *o = vm__options_new();
    struct vm_blk *n = NULL;
    snprintf(off, sizeof off, "%" PRIu64, p->off);
    snprintf(len, sizeof len, "%" PRIu64, p->len);
    if (o != NULL && vm__options_set(o, "file", disk->node_name) == VM_OK &&
        vm__options_set(o, "offset", off) == VM_OK && vm__options_set(o, "size", len) == VM_OK)
        n = vm__blk_open(disk->env, NULL, "raw", o, flags);
    vm__options_free(o);
    return n;
}

struct vm_blk *vm__part_open(struct vm_blk *disk, uint32_t index, uint32_t flags)
{
    struct vm_part_table *t = malloc(sizeof *t);
    struct vm_blk *n = NULL;
    if (t == NULL) {
        vm__fail_nomem(sizeof *t);
        return NULL;
    }
    if (vm__part_read(disk, t) == VM_OK) {
        uint32_t i = 0;
        while (i < t->n && t->parts[i].index != index)
            i++;
        if (i < t->n)
            n = open_stretch(disk, &t->parts[i], flags);
        else
            vm__fail(VM_E_NOENT,
                     t->n == 0 ? "the disk has no partitions" : "the disk has no partition %u",
                     index);
    }
    free(t);
    return n;
}
