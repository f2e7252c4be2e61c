/* SPDX-License-Identifier: MIT */
/**
 * @file vpc.c
 * Virtual PC and Hyper-V disk images of the first generation: fixed, dynamic, differencing.
 *
 * Spec: [VHD] Virtual Hard Disk Image Format Specification 1.0. A footer of 512 bytes ends every
 * image; dynamic ones have a copy of it at the start, then a header and a table with the sector of
 * each block. A block is a bitmap and its data; only in differencing images does the bitmap matter.
 *
 * Which size is the disk's, by its geometry or by its size field, depends on the program that made
 * it: Virtual PC and older tools rounded disks to the geometry, newer ones do not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/env.h"
#include "block/options.h"
#include "blockfmt/vpc.h"

uint32_t vpc_checksum(const uint8_t *p, size_t len, size_t checksum_at)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += i >= checksum_at && i < checksum_at + 4 ? 0 : p[i];
    return ~sum;
}

/* ---- the map ---------------------------------------------------------------------------- */

static struct vm_bmap_entry vpc_decode(const struct vm_bmap *b, uint64_t raw)
{
    if (raw == VHD_UNUSED)
        return (struct vm_bmap_entry) { VM_BMAP_NONE, 0, 0 };
    return (struct vm_bmap_entry) { VM_BMAP_DATA, raw * VHD_SECTOR + b->lead, 0 };
}

static uint64_t vpc_encode(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off)
{
    if (kind != VM_BMAP_DATA)
        return VHD_UNUSED;
    uint64_t sector = (off - b->lead) / VHD_SECTOR;
    return sector < VHD_UNUSED ? sector : VHD_UNUSED;
}

/** A new block's bitmap: nothing is here yet, or in a dynamic image, everything. */
static int vpc_block_new(struct vm_bmap *b, uint64_t index, uint64_t off)
{
    (void)index;
    uint8_t *bits = malloc((size_t)b->lead);
    if (bits == NULL)
        return vm__fail_nomem((size_t)b->lead);
    memset(bits, b->bits_bytes != 0 ? 0 : 0xff, (size_t)b->lead);
    int st = vm__blk_write(b->n->file, off - b->lead, bits, (size_t)b->lead);
    free(bits);
    return st;
}

static int vpc_bits_at(struct vm_bmap *b, uint64_t index, const struct vm_bmap_entry *e,
                       uint64_t *at)
{
    (void)index;
    *at = e->off - b->lead;
    return VM_OK;
}

/** The footer is the last thing in the file. */
static int vpc_tail(struct vm_bmap *b, uint64_t end)
{
    end = (end + VHD_SECTOR - 1) / VHD_SECTOR * VHD_SECTOR;
    int st = vm__blk_truncate(b->n->file, end + VHD_FOOTER, VM_PREALLOC_OFF, 0);
    if (st == VM_OK)
        st = vm__blk_write(b->n->file, end, vpc_of(b->n)->footer, VHD_FOOTER);
    b->end = b->stale = end + VHD_FOOTER;
    return st;
}

static const struct vm_bmap_ops map_ops = {
    .decode = vpc_decode,
    .encode = vpc_encode,
    .block_new = vpc_block_new,
    .bits_at = vpc_bits_at,
    .tail = vpc_tail,
};

/* ---- opening ---------------------------------------------------------------------------- */

static int vpc_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    return len >= 8 && memcmp(head, VHD_COOKIE, 8) == 0 ? 100 : 0;
}

/** The footer: its copy at the start, or the last 512 bytes (511 in images of early Virtual PC). */
static int read_footer(struct vm_blk *n)
{
    struct vpc *s = vpc_of(n);
    uint64_t size = vm__blk_size(n->file);
    if (size < VHD_FOOTER)
        return vm__fail(VM_E_INVAL, "Image too small for a VHD header");
    int st = vm__blk_read(n->file, 0, s->footer, VHD_FOOTER);
    if (st != VM_OK || memcmp(s->footer, VHD_COOKIE, 8) == 0)
        return st;
    for (size_t len = VHD_FOOTER; len >= VHD_FOOTER - 1; len--) {
        memset(s->footer, 0, VHD_FOOTER);
        st = vm__blk_read(n->file, size - len, s->footer, len);
        if (st != VM_OK)
            return st;
        if (memcmp(s->footer, VHD_COOKIE, 8) == 0)
            break;
    }
    if (memcmp(s->footer, VHD_COOKIE, 8) != 0)
        return vm__fail(VM_E_INVAL, "invalid VPC image");
    if (vm_be32(s->footer + VHD_TYPE_AT) != VHD_FIXED)
        return vm__fail(VM_E_CORRUPT, "invalid VPC image (its first sector is not a footer)");
    s->fixed = true;
    return VM_OK;
}

/** Programs whose images are as large as their size field says. */
static bool size_field_rules(const uint8_t *creator)
{
    static const char names[][4] = {
        { 'w', 'i', 'n', ' ' }, { 'd', '2', 'v', ' ' }, { 'q', 'e', 'm', '2' },
        { 't', 'a', 'p', 0 },   { 'C', 'T', 'X', 'S' },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (memcmp(creator, names[i], 4) == 0)
            return true;
    return false;
}

static int disk_size(const struct vpc *s, uint32_t rule, uint64_t *size)
{
    const uint8_t *f = s->footer;
    uint64_t geometry =
        (uint64_t)vm_be16(f + VHD_CYLINDERS_AT) * f[VHD_HEADS_AT] * f[VHD_SECTORS_AT];
    uint64_t field = vm_be64(f + VHD_SIZE_AT);
    bool by_field = rule == 0 ? size_field_rules(f + VHD_CREATOR_AT) || geometry >= VHD_MAX_GEOMETRY
                              : rule == 2;
    /* A disk without a geometry can only go by the field. */
    *size = by_field || geometry == 0 ? field & ~(uint64_t)(VHD_SECTOR - 1) : geometry * VHD_SECTOR;
    if (*size / VHD_SECTOR > VHD_MAX_SECTORS)
        return vm__fail(VM_E_RANGE,
                        "VHD image of %llu bytes is larger than the 2040 GiB there may be",
                        (unsigned long long)*size);
    return VM_OK;
}

static int read_header(struct vm_blk *n)
{
    struct vpc *s = vpc_of(n);
    uint64_t at = vm_be64(s->footer + VHD_DATA_OFFSET_AT), file = vm__blk_size(n->file);
    if (at > file || file - at < VHD_HEADER)
        return vm__fail(VM_E_CORRUPT, "VHD header at %llu lies outside of the file",
                        (unsigned long long)at);
    int st = vm__blk_read(n->file, at, s->header, VHD_HEADER);
    if (st != VM_OK)
        return st;
    if (memcmp(s->header, VHD_HEADER_MAGIC, 8) != 0)
        return vm__fail(VM_E_CORRUPT, "VHD header at %llu has no signature",
                        (unsigned long long)at);
    uint32_t block = vm_be32(s->header + VHD_BLOCK_SIZE_AT);
    uint32_t entries = vm_be32(s->header + VHD_ENTRIES_AT);
    if (block < VHD_SECTOR || block > (1u << 30) || (block & (block - 1)) != 0)
        return vm__fail(VM_E_CORRUPT, "Invalid block size %u", block);
    if ((vm__blk_size(n) + block - 1) / block > entries)
        return vm__fail(VM_E_CORRUPT, "Page table too small");
    return VM_OK;
}

/** Where the next block goes: behind the headers, the table, the parent's names, and all blocks. */
static int find_end(struct vm_blk *n, bool differs)
{
    struct vpc *s = vpc_of(n);
    uint64_t used, end = s->map.table_off + 4 * (uint64_t)vm_be32(s->header + VHD_ENTRIES_AT);
    uint64_t head = vm_be64(s->footer + VHD_DATA_OFFSET_AT) + VHD_HEADER;
    end = end > head ? end : head;
    for (unsigned i = 0; differs && i < VHD_LOCATORS; i++) {
        const uint8_t *l = s->header + VHD_LOCATORS_AT + i * VHD_LOCATOR_BYTES;
        uint64_t at = vm_be64(l + 16), past = at + (uint64_t)vm_be32(l + 4) * VHD_SECTOR;
        if (vm_be32(l) != 0 && at < vm__blk_size(n->file) && past < vm__blk_size(n->file))
            end = past > end ? past : end;
    }
    int st = vm__bmap_scan(&s->map, &end, &used);
    s->map.next = end;
    return st;
}

static int open_map(struct vm_blk *n)
{
    struct vpc *s = vpc_of(n);
    uint32_t block = vm_be32(s->header + VHD_BLOCK_SIZE_AT);
    uint64_t bits = (block / VHD_SECTOR + 7) / 8;
    bool differs = vm_be32(s->footer + VHD_TYPE_AT) == VHD_DIFFERENCING;
    bits = (bits + VHD_SECTOR - 1) / VHD_SECTOR * VHD_SECTOR;
    s->map = (struct vm_bmap) {
        .n = n,
        .ops = &map_ops,
        .table_off = vm_be64(s->header + VHD_TABLE_AT),
        .n_blocks = (vm__blk_size(n) + block - 1) / block,
        .width = 4,
        .big_endian = true,
        .block_size = block,
        .lead = bits,
        .align = 4096, /* the host's pages; the format wants sectors */
        .bits_bytes = differs ? (uint32_t)bits : 0,
        .bits_msb = true,
    };
    int st = vm__bmap_init(&s->map);
    return st == VM_OK && vm__blk_writable(n) ? find_end(n, differs) : st;
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    static const char *const rules[] = { "auto", "chs", "current_size", NULL };
    struct vpc *s = vpc_of(n);
    uint32_t rule = 0;
    uint64_t size = 0;
    int st = vm__opt_enum(o, "force_size_calc", rules, &rule);
    if (st == VM_OK)
        st = read_footer(n);
    if (st != VM_OK)
        return st;
    uint32_t type = vm_be32(s->footer + VHD_TYPE_AT);
    s->fixed = type == VHD_FIXED;
    if (!s->fixed && type != VHD_DYNAMIC && type != VHD_DIFFERENCING)
        return vm__fail(VM_E_NOTSUP, "VHD image of the unknown type %u", type);
    st = disk_size(s, rule, &size);
    atomic_store(&n->size, size);
    if (st == VM_OK && s->fixed)
        return size <= vm__blk_size(n->file)
                   ? VM_OK
                   : vm__fail(VM_E_CORRUPT, "Fixed VHD image of %llu bytes in a file of %llu",
                              (unsigned long long)size, (unsigned long long)vm__blk_size(n->file));
    if (st == VM_OK)
        st = read_header(n);
    if (st == VM_OK)
        st = open_map(n);
    return st == VM_OK && type == VHD_DIFFERENCING ? vpc_find_parent(n) : st;
}

/** The parent is who the header says it is. */
static int vpc_attach_backing(struct vm_blk *n)
{
    const struct vpc *s = vpc_of(n);
    if (vm_be32(s->footer + VHD_TYPE_AT) != VHD_DIFFERENCING)
        return vm__fail(VM_E_INVAL, "Only a differencing VHD image has a parent");
    if (strcmp(n->backing->drv->name, "vpc") != 0)
        return vm__fail(VM_E_INVAL, "The parent of a differencing VHD image must be a VHD image");
    if (memcmp(s->header + VHD_PARENT_UUID_AT, vpc_of(n->backing)->footer + VHD_UUID_AT,
               VHD_UUID_BYTES) != 0)
        return vm__fail(VM_E_INVAL, "'%s' is not this image's parent: its UUID is another",
                        n->backing->name);
    return VM_OK;
}

static void free_state(struct vm_blk *n)
{
    vm__bmap_fini(&vpc_of(n)->map);
}

static int vpc_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void vpc_close(struct vm_blk *n)
{
    struct vpc *s = vpc_of(n);
    if (s->map.pages != NULL && vm__blk_writable(n) && s->map.end != s->map.stale)
        (void)vpc_tail(&s->map, s->map.next);
    free_state(n);
}

/* ---- I/O -------------------------------------------------------------------------------- */

static int vpc_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return vpc_of(n)->fixed ? vm__blk_readv(n->file, off, len, sg, flags)
                            : vm__bmap_read(&vpc_of(n)->map, off, len, sg, flags);
}

static int vpc_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return vpc_of(n)->fixed ? vm__blk_writev(n->file, off, len, sg, flags)
                            : vm__bmap_write(&vpc_of(n)->map, off, len, sg, flags);
}

static int vpc_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return vpc_of(n)->fixed ? vm__blk_zero(n->file, off, len, flags)
                            : vm__bmap_zero(&vpc_of(n)->map, off, len, flags);
}

static int vpc_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return vpc_of(n)->fixed ? vm__blk_discard(n->file, off, len, flags)
                            : vm__bmap_discard(&vpc_of(n)->map, off, len, flags);
}

static int vpc_flush(struct vm_blk *n, uint32_t flags)
{
    return vpc_of(n)->fixed ? vm__blk_flush(n->file, flags)
                            : vm__bmap_flush(&vpc_of(n)->map, flags);
}

static int vpc_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    if (!vpc_of(n)->fixed)
        return vm__bmap_status(&vpc_of(n)->map, off, len, e);
    *e = (struct vm_extent) { .length = len,
                              .offset = off,
                              .file = n->file,
                              .flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED | VM_EXTENT_OFFSET };
    return VM_OK;
}

static int vpc_info(struct vm_blk *n, struct vm_blk_info *out)
{
    if (!vpc_of(n)->fixed)
        out->cluster_size = vpc_of(n)->map.block_size;
    return VM_OK;
}

static const struct vm_blk_option open_options[] = {
    { "force_size_calc", VM_OPT_ENUM,
      .help = "Which field the disk's size is taken from: auto, chs or current_size" },
    { 0 },
};

const struct vm_blk_driver vm__vpc_driver = {
    .name = "vpc",
    .summary = "Virtual PC and Hyper-V disk image (VHD)",
    .spec = "Virtual Hard Disk Image Format Specification 1.0",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_BACKING | VM_CAN_ZERO_INIT | VM_CAN_NOWAIT,
    .state_size = sizeof(struct vpc),
    .open_options = open_options,
    .create_options = vpc_create_options,
    .probe = vpc_probe,
    .open = vpc_open,
    .attach_backing = vpc_attach_backing,
    .close = vpc_close,
    .read = vpc_read,
    .write = vpc_write,
    .zero = vpc_zero,
    .discard = vpc_discard,
    .flush = vpc_flush,
    .status = vpc_status,
    .info = vpc_info,
    .create = vpc_create,
};
