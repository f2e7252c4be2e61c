/* SPDX-License-Identifier: MIT */
/**
 * @file vdi_admin.c
 * VDI images as a whole: create, info, check and repair, resize.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/vdi.h"
#include "host/thread.h"

/* ---- create ----------------------------------------------------------------------------- */

const struct vm_blk_option vdi_create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "static", VM_OPT_BOOL, .help = "VDI static (pre-allocated) image", .value = "off" },
    { "backing_file", VM_OPT_STR, .help = "File name of a base image: makes a differencing image" },
    { "backing_fmt", VM_OPT_STR, .help = "Image format of the base image" },
    { 0 },
};

/** UUIDs of version 4: [RFC4122 §4.4]; the first three fields are little-endian in the file. */
static int new_uuid(uint8_t *uuid)
{
    if (!vm__host_random(uuid, VDI_UUID_BYTES))
        return vm__fail(VM_E_IO, "The host has no random numbers for a UUID");
    uuid[7] = (uint8_t)((uuid[7] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    return VM_OK;
}

/** Note the parent's UUIDs, and its name for those who cannot look UUIDs up. */
static int set_parent(struct vm_blk_env *env, const struct vm_blk_create *c, uint8_t *h)
{
    if (c->backing_format != NULL && strcmp(c->backing_format, "vdi") != 0)
        return vm__fail(VM_E_NOTSUP,
                        "The parent of a differencing VDI image must be a VDI image, "
                        "not %s",
                        c->backing_format);
    int n = snprintf((char *)h + VDI_COMMENT_AT, VDI_COMMENT_BYTES, VDI_PARENT_MARK "%s",
                     c->backing_name);
    if (n >= VDI_COMMENT_BYTES)
        return vm__fail(VM_E_RANGE, "The name of the parent is longer than %zu bytes",
                        VDI_COMMENT_BYTES - sizeof VDI_PARENT_MARK);
    char *path = vm__blk_relative(c->name, c->backing_name);
    struct vm_blk *parent =
        path != NULL ? vm__blk_open(env, path, "vdi", NULL, VM_OPEN_RO | VM_OPEN_NO_BACKING) : NULL;
    free(path);
    if (parent == NULL)
        return vm_last_error()->code;
    const uint8_t *ph = vdi_of(parent)->header;
    memcpy(h + VDI_PARENT_UUID_AT, ph + VDI_UUID_AT, VDI_UUID_BYTES);
    memcpy(h + VDI_PARENT_MODIFY_UUID_AT, ph + VDI_MODIFY_UUID_AT, VDI_UUID_BYTES);
    vm_put_le32(h + VDI_TYPE_AT, VDI_TYPE_DIFFERENCING);
    vm__blk_unref(parent);
    return VM_OK;
}

/** The table: places in order for a static image, none otherwise. */
static int write_map(struct vm_blk *file, uint32_t blocks, bool all)
{
    enum { AT_ONCE = 65536 };
    uint8_t *buf = malloc(AT_ONCE);
    int st = buf != NULL ? VM_OK : vm__fail_nomem(AT_ONCE);
    for (uint32_t i = 0; st == VM_OK && i < blocks;) {
        uint32_t n = blocks - i < AT_ONCE / 4 ? blocks - i : AT_ONCE / 4;
        for (uint32_t k = 0; k < n; k++)
            vm_put_le32(buf + 4 * (size_t)k, all ? i + k : VDI_FREE);
        st = vm__blk_write(file, VDI_HEADER + 4 * (uint64_t)i, buf, 4 * (size_t)n);
        i += n;
    }
    free(buf);
    return st;
}

int vdi_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    bool all = false;
    uint8_t h[VDI_HEADER] = "<<< libvm Virtual Disk Image >>>\n";
    uint64_t size = (c->size + 511) & ~UINT64_C(511);
    uint64_t blocks = (size + VDI_BLOCK - 1) / VDI_BLOCK;
    int st = vm__opt_bool(c->options, "static", &all);
    if (st != VM_OK)
        return st;
    if (size < c->size || blocks > VDI_MAX_BLOCKS)
        return vm__fail(VM_E_RANGE,
                        "Unsupported VDI image size (size is 0x%llx, max supported is "
                        "0x%llx)",
                        (unsigned long long)c->size,
                        (unsigned long long)VDI_MAX_BLOCKS * VDI_BLOCK);
    /* Data on a boundary of its own blocks: the host's pages and holes then match them. */
    uint64_t data = (VDI_HEADER + 4 * blocks + VDI_BLOCK - 1) & ~(uint64_t)(VDI_BLOCK - 1);
    vm_put_le32(h + VDI_SIGNATURE_AT, VDI_SIGNATURE);
    vm_put_le32(h + VDI_VERSION_AT, VDI_VERSION);
    vm_put_le32(h + VDI_HEADER_SIZE_AT, 0x190);
    vm_put_le32(h + VDI_TYPE_AT, all ? VDI_TYPE_STATIC : VDI_TYPE_DYNAMIC);
    vm_put_le32(h + VDI_BMAP_AT, VDI_HEADER);
    vm_put_le32(h + VDI_DATA_AT, (uint32_t)data);
    vm_put_le32(h + VDI_SECTOR_SIZE_AT, 512);
    vm_put_le64(h + VDI_DISK_SIZE_AT, size);
    vm_put_le32(h + VDI_BLOCK_SIZE_AT, VDI_BLOCK);
    vm_put_le32(h + VDI_BLOCKS_AT, (uint32_t)blocks);
    vm_put_le32(h + VDI_ALLOCATED_AT, all ? (uint32_t)blocks : 0);
    st = new_uuid(h + VDI_UUID_AT);
    if (st == VM_OK)
        st = new_uuid(h + VDI_MODIFY_UUID_AT);
    if (st == VM_OK && c->backing_name != NULL)
        st = all ? vm__fail(VM_E_INVAL, "A static VDI image has no parent") : set_parent(env, c, h);
    if (st == VM_OK)
        st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_truncate(c->file, data + (all ? blocks * VDI_BLOCK : 0), VM_PREALLOC_OFF, 0);
    if (st == VM_OK)
        st = write_map(c->file, (uint32_t)blocks, all);
    return st == VM_OK ? vm__blk_write(c->file, 0, h, sizeof h) : st;
}

/* ---- info and check --------------------------------------------------------------------- */

int vdi_info(struct vm_blk *n, struct vm_blk_info *out)
{
    out->cluster_size = vdi_of(n)->map.block_size;
    out->unallocated_zero = n->backing == NULL;
    return VM_OK;
}

static void problem(struct vm_blk_check *out, const char *fmt, unsigned long long a,
                    unsigned long long b, unsigned long long c)
{
    char line[160];
    (void)snprintf(line, sizeof line, fmt, a, b, c);
    out->corruptions++;
    if (out->problem != NULL)
        out->problem(out->ud, line);
}

/** Every entry names a place in the file, and no place twice. */
static int check_entries(struct vdi *s, struct vm_blk_check *out, uint8_t *seen, uint64_t places,
                         uint64_t *last)
{
    uint64_t before = UINT64_MAX;
    for (uint64_t i = 0; i < s->map.n_blocks; i++) {
        uint8_t raw[4];
        int st = vm__blk_read(s->map.n->file, s->map.table_off + 4 * i, raw, sizeof raw);
        if (st != VM_OK)
            return st;
        uint32_t e = vm_le32(raw);
        if (e == VDI_FREE || e == VDI_ZERO)
            continue;
        if (e >= places) {
            problem(out, "ERROR: block index %llu out of range, is %llu", i, e, 0);
            continue;
        }
        if (seen[e / 8] >> e % 8 & 1)
            problem(out, "ERROR: block index %llu also used by another block: place %llu", i, e, 0);
        seen[e / 8] |= (uint8_t)(1 << e % 8);
        out->allocated_clusters++;
        out->fragmented_clusters += before != UINT64_MAX && e != before + 1;
        before = e;
        *last = e + 1 > *last ? e + 1 : *last;
    }
    return VM_OK;
}

int vdi_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix)
{
    struct vdi *s = vdi_of(n);
    uint64_t bytes = vm__blk_size(n->file), last = 0;
    uint64_t places =
        bytes > s->data_off ? (bytes - s->data_off + s->map.block_size - 1) / s->map.block_size : 0;
    uint8_t *seen = calloc(1, (size_t)(places / 8 + 1));
    if (seen == NULL)
        return vm__fail_nomem((size_t)(places / 8 + 1));
    int st = check_entries(s, out, seen, places, &last);
    free(seen);
    out->total_clusters = s->map.n_blocks;
    out->image_end_offset = s->data_off + last * s->map.block_size;
    uint32_t counted = vm_le32(s->header + VDI_ALLOCATED_AT);
    if (st != VM_OK || counted == last)
        return st;
    /* Too many is a place that nobody uses; too few, and the next block falls on a used one. */
    if (fix & (counted < last ? VM_FIX_ERRORS : VM_FIX_LEAKS)) {
        vm_put_le32(s->header + VDI_ALLOCATED_AT, (uint32_t)last);
        st = vdi_write_header(s);
        *(counted < last ? &out->corruptions_fixed : &out->leaks_fixed) += 1;
        return st;
    }
    if (counted < last)
        problem(out, "ERROR: allocated blocks mismatch, is %llu, should be %llu", counted, last, 0);
    else
        out->leaks += counted - last;
    return VM_OK;
}

/* ---- resize ----------------------------------------------------------------------------- */

/** Move the blocks of the first @p k places behind the last one. */
static int vacate(struct vdi *s, uint64_t k)
{
    struct vm_bmap *b = &s->map;
    uint64_t border = s->data_off + k * b->block_size;
    uint8_t *buf = malloc((size_t)b->block_size);
    int st = buf != NULL ? VM_OK : vm__fail_nomem((size_t)b->block_size);
    if (b->next < border)
        b->next = border;
    for (uint64_t i = 0; st == VM_OK && i < b->n_blocks; i++) {
        struct vm_bmap_entry e;
        uint64_t to;
        st = vm__bmap_get(b, i, 0, &e);
        if (st != VM_OK || e.kind != VM_BMAP_DATA || e.off >= border)
            continue;
        st = vm__bmap_alloc(b, i, &to);
        if (st == VM_OK)
            st = vm__blk_read(b->n->file, e.off, buf, (size_t)b->block_size);
        if (st == VM_OK)
            st = vm__blk_write(b->n->file, to, buf, (size_t)b->block_size);
        if (st == VM_OK)
            st = vm__bmap_set(b, i, VM_BMAP_DATA, to);
    }
    free(buf);
    return st == VM_OK ? vm__bmap_flush(b, 0) : st;
}

/** A longer table at @p at, where no block lies any more, for data that begins at @p data. */
static int write_moved_map(struct vdi *s, uint64_t at, uint64_t data, uint64_t blocks)
{
    struct vm_bmap *b = &s->map;
    for (uint64_t i = 0; i < blocks; i++) {
        struct vm_bmap_entry e = { VM_BMAP_NONE, 0 };
        uint8_t raw[4];
        int st = i < b->n_blocks ? vm__bmap_get(b, i, 0, &e) : VM_OK;
        vm_put_le32(raw, e.kind == VM_BMAP_DATA   ? (uint32_t)((e.off - data) / b->block_size)
                         : e.kind == VM_BMAP_ZERO ? VDI_ZERO
                                                  : VDI_FREE);
        if (st == VM_OK)
            st = vm__blk_write(b->n->file, at + 4 * i, raw, sizeof raw);
        if (st != VM_OK)
            return st;
    }
    return vm__blk_flush(b->n->file, 0);
}

/**
 * Room for a table of @p blocks entries. If it does not fit where it is, blocks give way and a new
 * table is written in their place; the header, one sector, then switches from one to the other.
 */
static int grow_map(struct vdi *s, uint64_t blocks)
{
    struct vm_bmap *b = &s->map;
    uint8_t *h = s->header;
    uint64_t at = b->table_off, data = s->data_off;
    if (at + 4 * blocks > data) {
        uint64_t k = (4 * blocks + b->block_size - 1) / b->block_size;
        int st = vacate(s, k);
        if (st != VM_OK)
            return st;
        at = data;
        data += k * b->block_size;
        if (data > UINT32_MAX)
            return vm__fail(VM_E_RANGE, "The block map of a VDI image must end below 4 GiB");
    }
    int st = write_moved_map(s, at, data, blocks);
    vm_put_le32(h + VDI_BMAP_AT, (uint32_t)at);
    vm_put_le32(h + VDI_DATA_AT, (uint32_t)data);
    vm_put_le32(h + VDI_ALLOCATED_AT,
                b->next > data ? (uint32_t)((b->next - data) / b->block_size) : 0);
    return st;
}

/** Mark the places in use; *count of them. */
static int used_places(struct vdi *s, uint8_t *used, uint64_t *count)
{
    struct vm_bmap *b = &s->map;
    *count = 0;
    for (uint64_t i = 0; i < b->n_blocks; i++) {
        struct vm_bmap_entry e;
        int st = vm__bmap_get(b, i, 0, &e);
        if (st != VM_OK)
            return st;
        uint64_t place = (e.off - s->data_off) / b->block_size;
        if (e.kind == VM_BMAP_DATA) {
            used[place / 8] |= (uint8_t)(1 << place % 8);
            ++*count;
        }
    }
    return VM_OK;
}

/** Other programs take the number of blocks for the number of places: leave no place empty. */
static int close_gaps(struct vdi *s)
{
    struct vm_bmap *b = &s->map;
    uint64_t places = (b->next - s->data_off) / b->block_size, count = 0, gap = 0;
    uint8_t *used = calloc(1, (size_t)(places / 8 + 1)), *buf = malloc((size_t)b->block_size);
    int st = used != NULL && buf != NULL ? used_places(s, used, &count)
                                         : vm__fail_nomem((size_t)b->block_size);
    for (uint64_t i = 0; st == VM_OK && i < b->n_blocks; i++) {
        struct vm_bmap_entry e;
        st = vm__bmap_get(b, i, 0, &e);
        if (st != VM_OK || e.kind != VM_BMAP_DATA || e.off < s->data_off + count * b->block_size)
            continue;
        while (used[gap / 8] >> gap % 8 & 1)
            gap++;
        uint64_t to = s->data_off + gap++ * b->block_size;
        st = vm__blk_read(b->file, e.off, buf, (size_t)b->block_size);
        if (st == VM_OK)
            st = vm__blk_write(b->file, to, buf, (size_t)b->block_size);
        if (st == VM_OK)
            st = vm__bmap_set(b, i, VM_BMAP_DATA, to);
    }
    free(used);
    free(buf);
    if (st == VM_OK)
        st = vm__bmap_flush(b, 0);
    b->next = s->data_off + count * b->block_size;
    vm_put_le32(s->header + VDI_ALLOCATED_AT, (uint32_t)count);
    return st == VM_OK ? vm__blk_truncate(b->file, b->next, VM_PREALLOC_OFF, 0) : st;
}

/** Forget blocks past the end, and what the last one holds past it. */
static int shrink(struct vdi *s, uint64_t size, uint64_t blocks)
{
    struct vm_bmap *b = &s->map;
    int st = size < vm__blk_size(b->n)
                 ? vm__bmap_zero(b, size, vm__blk_size(b->n) - size, VM_IO_UNMAP)
                 : VM_OK;
    for (uint64_t i = blocks; st == VM_OK && i < b->n_blocks; i++)
        st = vm__bmap_set(b, i, VM_BMAP_NONE, 0);
    if (st == VM_OK)
        st = vm__bmap_flush(b, 0);
    return st == VM_OK ? close_gaps(s) : st;
}

int vdi_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    (void)flags;
    struct vdi *s = vdi_of(n);
    uint64_t old = vm__blk_size(n), block = s->map.block_size;
    size = (size + 511) & ~UINT64_C(511);
    uint64_t blocks = (size + block - 1) / block;
    if (p != VM_PREALLOC_OFF)
        return vm__fail(VM_E_NOTSUP, "Preallocation is not supported when resizing VDI images");
    if (vm_le32(s->header + VDI_TYPE_AT) == VDI_TYPE_STATIC)
        return vm__fail(VM_E_NOTSUP, "A static VDI image cannot be resized");
    if (blocks > VDI_MAX_BLOCKS)
        return vm__fail(VM_E_RANGE, "A VDI image has at most %u blocks", VDI_MAX_BLOCKS);
    int st = vm__bmap_flush(&s->map, 0);
    if (st == VM_OK)
        st = size < old ? shrink(s, size, blocks) : grow_map(s, blocks);
    if (st != VM_OK)
        return st;
    vm_put_le64(s->header + VDI_DISK_SIZE_AT, size);
    vm_put_le32(s->header + VDI_BLOCKS_AT, (uint32_t)blocks);
    st = vdi_write_header(s);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    if (st != VM_OK)
        return st;
    atomic_store(&n->size, size);
    vm__bmap_fini(&s->map);
    return vdi_open_map(n);
}
