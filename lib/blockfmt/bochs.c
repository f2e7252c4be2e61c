/* SPDX-License-Identifier: MIT */
/**
 * @file bochs.c
 * Bochs "growing" disk images, read-only.
 *
 * Spec: [BOCHS] "Bochs Development Guide: Internals, Harddisk redologs". A header of 512 bytes, a
 * catalog with the number of each extent in the file, extents. An extent is a bitmap, rounded up to
 * sectors, with a bit a sector (set: present), and the sectors.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "blockfmt/bmap.h"

enum {
    HEADER = 512,
    TYPE_AT = 32,
    SUBTYPE_AT = 48,
    VERSION_AT = 64,
    HEADER_SIZE_AT = 68,
    CATALOG_AT = 72, /* entries */
    BITMAP_AT = 76,  /* bytes */
    EXTENT_AT = 80,  /* bytes */
    SIZE_V1_AT = 84,
    SIZE_AT = 88,
    SECTOR = 512,
    VERSION_1 = 0x00010000,
    VERSION_2 = 0x00020000,
};
#define MAGIC       "Bochs Virtual HD Image"
#define UNUSED      UINT32_C(0xffffffff)
#define MAX_ENTRIES UINT32_C(0x100000) /* 4 MiB of table */

struct bochs {
    uint32_t *catalog; /**< place of each extent */
    uint32_t entries, extent, bitmap;
    uint64_t data, stride; /**< where extents begin, and bytes from one to the next */
};

static struct bochs *bochs_of(const struct vm_blk *n)
{
    return n->state;
}

static int bochs_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    bool ours = len >= HEADER && memcmp(head, MAGIC, sizeof MAGIC) == 0 &&
                memcmp(head + TYPE_AT, "Redolog", 8) == 0 &&
                memcmp(head + SUBTYPE_AT, "Growing", 8) == 0;
    uint32_t version = ours ? vm_le32(head + VERSION_AT) : 0;
    return version == VERSION_1 || version == VERSION_2 ? 100 : 0;
}

static int check_header(struct bochs *s, const uint8_t *h, uint64_t *size)
{
    s->entries = vm_le32(h + CATALOG_AT);
    s->bitmap = vm_le32(h + BITMAP_AT);
    s->extent = vm_le32(h + EXTENT_AT);
    *size = vm_le64(h + (vm_le32(h + VERSION_AT) == VERSION_1 ? SIZE_V1_AT : SIZE_AT));
    *size &= ~(uint64_t)(SECTOR - 1);
    if (s->entries > MAX_ENTRIES)
        return vm__fail(VM_E_NOTSUP, "Catalog size is too large");
    if (s->extent < SECTOR)
        return vm__fail(VM_E_CORRUPT, "Extent size must be at least 512");
    if ((s->extent & (s->extent - 1)) != 0)
        return vm__fail(VM_E_CORRUPT, "Extent size must be a power of two, not %u", s->extent);
    if (s->extent > (8u << 20))
        return vm__fail(VM_E_NOTSUP, "Extent size %u is too large", s->extent);
    if (s->bitmap < s->extent / SECTOR / 8 || s->bitmap > (1u << 20))
        return vm__fail(VM_E_CORRUPT, "A bitmap of %u bytes does not fit extents of %u", s->bitmap,
                        s->extent);
    if ((*size + s->extent - 1) / s->extent > s->entries)
        return vm__fail(VM_E_CORRUPT, "Catalog size is too small for this disk size");
    uint64_t bits = ((uint64_t)s->bitmap + SECTOR - 1) / SECTOR * SECTOR;
    s->stride = bits + s->extent;
    s->data = vm_le32(h + HEADER_SIZE_AT) + 4 * (uint64_t)s->entries;
    return VM_OK;
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)o;
    struct bochs *s = bochs_of(n);
    uint8_t h[HEADER];
    uint64_t size;
    if (vm__blk_size(n->file) < HEADER)
        return vm__fail(VM_E_INVAL, "Image not in Bochs format");
    int st = vm__blk_read(n->file, 0, h, HEADER);
    if (st == VM_OK && !bochs_probe(h, HEADER, 0, ""))
        st = vm__fail(VM_E_INVAL, "Image not in Bochs format");
    if (st == VM_OK && vm__blk_writable(n))
        st = vm__fail(VM_E_NOTSUP, "Bochs images can only be read");
    if (st == VM_OK)
        st = check_header(s, h, &size);
    if (st != VM_OK)
        return st;
    uint64_t at = vm_le32(h + HEADER_SIZE_AT), bytes = 4 * (uint64_t)s->entries;
    if (!vm_in_range(at, bytes, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The catalog lies outside of the file");
    s->catalog = malloc((size_t)bytes + 1);
    if (s->catalog == NULL)
        return vm__fail_nomem((size_t)bytes);
    atomic_store(&n->size, size);
    return bytes != 0 ? vm__blk_read(n->file, at, s->catalog, (size_t)bytes) : VM_OK;
}

static void free_state(struct vm_blk *n)
{
    free(bochs_of(n)->catalog);
    bochs_of(n)->catalog = NULL;
}

static int bochs_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void bochs_close(struct vm_blk *n)
{
    free_state(n);
}

/** Where the bytes at @p off are: *at in the file, 0 for zeros; *n: how far that goes. */
static int locate(struct vm_blk *n, uint64_t off, uint64_t len, uint64_t *at, uint64_t *run)
{
    const struct bochs *s = bochs_of(n);
    uint64_t in = off % s->extent, left = s->extent - in;
    uint32_t place = vm_le32(&s->catalog[off / s->extent]);
    uint8_t bits[(8 << 20) / SECTOR / 8];
    *at = 0;
    *run = left < len ? left : len;
    if (place == UNUSED)
        return VM_OK;
    uint64_t base;
    if (!vm_mul_u64(place, s->stride, &base) || !vm_add_u64(base, s->data, &base) ||
        !vm_in_range(base, s->stride, VM_BLK_MAX_SIZE))
        return vm__fail(VM_E_CORRUPT, "Extent %llu lies outside of the file",
                        (unsigned long long)(off / s->extent));
    uint64_t first = in / SECTOR, last = (in + *run - 1) / SECTOR;
    int st = vm__blk_read(n->file, base + first / 8, bits, (size_t)(last / 8 - first / 8 + 1));
    if (st != VM_OK)
        return st;
    uint64_t sector = first, lead = first / 8 * 8;
    bool here = bits[0] >> first % 8 & 1;
    while (sector <= last && (bits[(sector - lead) / 8] >> sector % 8 & 1) == here)
        sector++;
    if (sector * SECTOR - in < *run)
        *run = sector * SECTOR - in;
    if (here)
        *at = base + s->stride - s->extent + in;
    return VM_OK;
}

static int bochs_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    for (size_t done = 0; done < len;) {
        uint64_t at, run;
        int st = locate(n, off + done, len - done, &at, &run);
        if (st == VM_OK && at != 0)
            st = vm__blk_readv(n->file, at, (size_t)run, vm_sg_at(sg, done), flags);
        else if (st == VM_OK)
            vm_sg_zero(vm_sg_at(sg, done), (size_t)run);
        if (st != VM_OK)
            return st;
        done += (size_t)run;
    }
    return VM_OK;
}

static int bochs_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    const struct bochs *s = bochs_of(n);
    uint64_t at, run, total = 0;
    *e = (struct vm_extent) { 0 };
    while (total < len) { /* holes are taken together: a sparse terabyte is a few calls */
        if (total != 0 && vm_le32(&s->catalog[(off + total) / s->extent]) != UNUSED)
            break;
        int st = locate(n, off + total, len - total, &at, &run);
        if (st != VM_OK)
            return st;
        total += run;
        if (at != 0) {
            *e = (struct vm_extent) {
                .offset = at,
                .file = n->file,
                .flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED | VM_EXTENT_OFFSET,
            };
            break;
        }
        e->flags = VM_EXTENT_ZERO;
    }
    e->length = total;
    return VM_OK;
}

const struct vm_blk_driver vm__bochs_driver = {
    .name = "bochs",
    .summary = "Bochs growing disk image (read-only)",
    .spec = "Bochs Development Guide, Harddisk redologs",
    .kind = VM_BLK_FORMAT,
    .state_size = sizeof(struct bochs),
    .probe = bochs_probe,
    .open = bochs_open,
    .close = bochs_close,
    .read = bochs_read,
    .status = bochs_status,
};
