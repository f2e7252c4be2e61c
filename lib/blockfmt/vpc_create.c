/* SPDX-License-Identifier: MIT */
/**
 * @file vpc_create.c
 * New VHD images.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block/env.h"
#include "block/options.h"
#include "blockfmt/vpc.h"
#include "host/thread.h"

enum { LOCATOR_AT = VHD_FOOTER + VHD_HEADER, LOCATOR_BYTES = 4096 };

static const char *const subformats[] = { "dynamic", "fixed", NULL };

const struct vm_blk_option vpc_create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "subformat", VM_OPT_ENUM, .choices = subformats,
      .help =
          "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} " },
    { "force_size", VM_OPT_BOOL,
      .help = "Force disk size calculation to use the actual size specified, rather than using the "
              "nearest CHS-based calculation" },
    { "backing_file", VM_OPT_STR, .help = "File name of a base image: makes a differencing image" },
    { "backing_fmt", VM_OPT_STR, .help = "Image format of the base image" },
    { 0 },
};

struct geometry {
    uint32_t cylinders;
    uint8_t heads, sectors;
};

/** [VHD, appendix "CHS Calculation"] */
static struct geometry geometry_of(uint64_t total)
{
    struct geometry g = { .heads = 16, .sectors = 255 };
    uint64_t tracks;
    if (total > VHD_MAX_GEOMETRY)
        total = VHD_MAX_GEOMETRY;
    if (total >= UINT64_C(65535) * 16 * 63) {
        g.cylinders = (uint32_t)(total / 255 / 16);
        return g;
    }
    g.sectors = 17;
    tracks = total / 17;
    g.heads = (uint8_t)((tracks + 1023) / 1024 < 4     ? 4
                        : (tracks + 1023) / 1024 > 255 ? 255
                                                       : (tracks + 1023) / 1024);
    if (tracks >= (uint64_t)g.heads * 1024 || g.heads > 16) {
        g.sectors = 31;
        g.heads = 16;
        tracks = total / 31;
    }
    if (tracks >= (uint64_t)g.heads * 1024) {
        g.sectors = 63;
        g.heads = 16;
        tracks = total / 63;
    }
    g.cylinders = (uint32_t)(tracks / g.heads);
    return g;
}

static uint64_t sectors_of(struct geometry g)
{
    return (uint64_t)g.cylinders * g.heads * g.sectors;
}

/** The smallest disk of at least @p total sectors that has a geometry; or @p total itself. */
static uint64_t round_to_geometry(uint64_t total, struct geometry *g)
{
    uint64_t want = total;
    *g = geometry_of(want);
    while (sectors_of(*g) < total && want < VHD_MAX_GEOMETRY)
        *g = geometry_of(++want);
    return sectors_of(*g) >= total && sectors_of(*g) < VHD_MAX_GEOMETRY ? sectors_of(*g) : total;
}

static int fill_footer(uint8_t *f, uint64_t sectors, struct geometry g, uint32_t type)
{
    memcpy(f, VHD_COOKIE, 8);
    vm_put_be32(f + VHD_FEATURES_AT, 2); /* reserved, always set */
    vm_put_be32(f + VHD_VERSION_AT, 0x00010000);
    vm_put_be64(f + VHD_DATA_OFFSET_AT, type == VHD_FIXED ? UINT64_MAX : VHD_FOOTER);
    vm_put_be32(f + VHD_TIME_AT, (uint32_t)(time(NULL) - 946684800)); /* since 2000 */
    /* Readers take the size from the geometry or from the field by who made it; where the two
     * differ, "win " is the name that makes every one of them take the field. */
    memcpy(f + VHD_CREATOR_AT, sectors_of(g) == sectors ? "lvm " : "win ", 4);
    vm_put_be32(f + VHD_CREATOR_VERSION_AT, 0x00010000);
    memcpy(f + VHD_CREATOR_OS_AT, "Wi2k", 4);
    vm_put_be64(f + VHD_ORIGINAL_SIZE_AT, sectors * VHD_SECTOR);
    vm_put_be64(f + VHD_SIZE_AT, sectors * VHD_SECTOR);
    vm_put_be16(f + VHD_CYLINDERS_AT, (uint16_t)g.cylinders);
    f[VHD_HEADS_AT] = g.heads;
    f[VHD_SECTORS_AT] = g.sectors;
    vm_put_be32(f + VHD_TYPE_AT, type);
    if (!vm__host_random(f + VHD_UUID_AT, VHD_UUID_BYTES))
        return vm__fail(VM_E_IO, "The host has no random numbers for a UUID");
    vm_put_be32(f + VHD_CHECKSUM_AT, vpc_checksum(f, VHD_FOOTER, VHD_CHECKSUM_AT));
    return VM_OK;
}

static int write_table(struct vm_blk *file, uint64_t at, uint64_t bytes)
{
    uint8_t *ones = malloc(65536);
    int st = ones != NULL ? VM_OK : vm__fail_nomem(65536);
    if (ones != NULL)
        memset(ones, 0xff, 65536);
    for (uint64_t done = 0; st == VM_OK && done < bytes;) {
        size_t n = bytes - done < 65536 ? (size_t)(bytes - done) : 65536;
        st = vm__blk_write(file, at + done, ones, n);
        done += n;
    }
    free(ones);
    return st;
}

/** Footer copy, header, locator, table, footer. */
static int create_sparse(struct vm_blk_env *env, struct vm_blk_create *c, uint8_t *footer,
                         uint64_t sectors)
{
    uint8_t h[VHD_HEADER] = VHD_HEADER_MAGIC, locator[LOCATOR_BYTES] = { 0 };
    size_t len = 0;
    uint64_t table = LOCATOR_AT + (c->backing_name != NULL ? LOCATOR_BYTES : 0);
    uint64_t entries = (sectors * VHD_SECTOR + VHD_BLOCK - 1) / VHD_BLOCK;
    uint64_t bytes = (4 * entries + VHD_SECTOR - 1) / VHD_SECTOR * VHD_SECTOR;
    vm_put_be64(h + 8, UINT64_MAX);
    vm_put_be64(h + VHD_TABLE_AT, table);
    vm_put_be32(h + VHD_HEADER_VERSION_AT, 0x00010000);
    vm_put_be32(h + VHD_ENTRIES_AT, (uint32_t)entries);
    vm_put_be32(h + VHD_BLOCK_SIZE_AT, VHD_BLOCK);
    int st = c->backing_name != NULL
                 ? vpc_set_parent(env, c, h, LOCATOR_AT, locator, sizeof locator, &len)
                 : VM_OK;
    vm_put_be32(h + VHD_HEADER_CHECKSUM_AT, vpc_checksum(h, sizeof h, VHD_HEADER_CHECKSUM_AT));
    if (st == VM_OK)
        st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_truncate(c->file, table + bytes + VHD_FOOTER, VM_PREALLOC_OFF, 0);
    if (st == VM_OK)
        st = vm__blk_write(c->file, VHD_FOOTER, h, sizeof h);
    if (st == VM_OK && len != 0)
        st = vm__blk_write(c->file, LOCATOR_AT, locator, sizeof locator);
    if (st == VM_OK)
        st = write_table(c->file, table, bytes);
    if (st == VM_OK)
        st = vm__blk_write(c->file, table + bytes, footer, VHD_FOOTER);
    return st == VM_OK ? vm__blk_write(c->file, 0, footer, VHD_FOOTER) : st;
}

int vpc_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    uint32_t sub = 0;
    bool exact = false;
    struct geometry g;
    uint8_t footer[VHD_FOOTER] = { 0 };
    int st = vm__opt_enum(c->options, "subformat", subformats, &sub);
    if (st == VM_OK)
        st = vm__opt_bool(c->options, "force_size", &exact);
    if (st != VM_OK)
        return st;
    uint64_t sectors = c->size / VHD_SECTOR + (c->size % VHD_SECTOR != 0);
    uint64_t rounded = round_to_geometry(sectors, &g);
    /* A differencing disk is as large as its parent, and the parent has been rounded already. */
    if (!exact && c->backing_name == NULL)
        sectors = rounded;
    if (sectors > VHD_MAX_SECTORS || sectors == 0)
        return vm__fail(VM_E_RANGE, "%s",
                        sectors == 0 ? "A VHD image cannot be empty"
                                     : "VHD images are at most 2040 GiB");
    uint32_t type = sub == 1 ? VHD_FIXED : c->backing_name != NULL ? VHD_DIFFERENCING : VHD_DYNAMIC;
    if (type == VHD_FIXED && c->backing_name != NULL)
        return vm__fail(VM_E_INVAL, "A fixed VHD image has no parent");
    st = fill_footer(footer, sectors, g, type);
    if (st == VM_OK && type != VHD_FIXED)
        return create_sparse(env, c, footer, sectors);
    if (st == VM_OK)
        st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_truncate(c->file, sectors * VHD_SECTOR + VHD_FOOTER, VM_PREALLOC_OFF, 0);
    return st == VM_OK ? vm__blk_write(c->file, sectors * VHD_SECTOR, footer, VHD_FOOTER) : st;
}
