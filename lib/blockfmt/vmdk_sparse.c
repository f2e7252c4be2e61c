/* SPDX-License-Identifier: MIT */
/**
 * @file vmdk_sparse.c
 * Sparse VMDK extents: hosted ones (KDMV) and those of old ESX (COWD, read-only).
 *
 * Spec: [VMDK "Hosted Sparse Extents", "ESX Server Sparse Extents"]. A grain directory of sectors
 * of grain tables, whose entries are sectors of grains. Hosted extents may have the two levels
 * twice; the second copy is kept the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/vmdk.h"

enum { MAX_TABLES = 1 << 22, CACHE_SLOTS = 16 };

static struct vmdk_extent *extent_of(const struct vm_bmap *b)
{
    return b->extent;
}

/* ---- the map ---------------------------------------------------------------------------- */

static struct vm_bmap_entry decode(const struct vm_bmap *b, uint64_t raw)
{
    const struct vmdk_extent *e = extent_of(b);
    if (raw == 0)
        return (struct vm_bmap_entry) { VM_BMAP_NONE, 0, 0 };
    if (raw == 1 && e->flags & VMDK_F_ZERO_GRAIN)
        return (struct vm_bmap_entry) { VM_BMAP_ZERO, 0, 0 };
    return (struct vm_bmap_entry) { e->flags & VMDK_F_COMPRESSED ? VM_BMAP_PACKED : VM_BMAP_DATA,
                                    raw * VMDK_SECTOR, 0 };
}

static uint64_t encode(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off)
{
    (void)b;
    uint64_t sector = off / VMDK_SECTOR;
    if (kind != VM_BMAP_DATA)
        return kind == VM_BMAP_ZERO;
    return sector <= UINT32_MAX ? sector : 0;
}

/** Bytes of a grain table; pages of the map are tables, or eighths of those of COWD. */
static uint64_t table_bytes(const struct vmdk_extent *e)
{
    return 4 * (uint64_t)(e->kind == VMDK_COWD ? VMDK_COWD_GTES : VMDK_GTES);
}

static int place(const struct vmdk_extent *e, const _Atomic uint32_t *dir, uint64_t page,
                 uint64_t *at)
{
    uint64_t per_table = table_bytes(e) / e->map.page_size;
    uint64_t sector = atomic_load(&dir[page / per_table]);
    *at = sector != 0 ? sector * VMDK_SECTOR + page % per_table * e->map.page_size : 0;
    if (sector != 0 && !vm_in_range(*at, e->map.page_size, vm__blk_size(e->file)))
        return vm__fail(VM_E_CORRUPT, "Grain table %llu lies outside of the file",
                        (unsigned long long)(page / per_table));
    return VM_OK;
}

static int page_at(struct vm_bmap *b, uint64_t page, uint64_t *at)
{
    return place(extent_of(b), extent_of(b)->gd, page, at);
}

static int new_table(struct vm_bmap *b, _Atomic uint32_t *dir, uint64_t page, uint64_t *at)
{
    struct vmdk_extent *e = extent_of(b);
    int st = vm__bmap_space(b, table_bytes(e), VMDK_SECTOR, at);
    if (st == VM_OK && *at / VMDK_SECTOR > UINT32_MAX)
        st = vm__fail(VM_E_NOSPC, "A VMDK extent is at most 2 TiB");
    if (st == VM_OK)
        atomic_store(&dir[page], (uint32_t)(*at / VMDK_SECTOR));
    e->gd_dirty = true;
    return st;
}

/** The page of one copy of the tables; a new table is put into place first. */
static int write_page(struct vm_bmap *b, _Atomic uint32_t *dir, uint64_t page, const uint8_t *bytes)
{
    uint64_t at;
    int st = place(extent_of(b), dir, page, &at);
    if (st == VM_OK && at == 0)
        st = new_table(b, dir, page, &at);
    return st == VM_OK ? vm__blk_write(b->file, at, bytes, b->page_size) : st;
}

static int write_pages(struct vm_bmap *b, const uint64_t *pages, const uint8_t *bytes, size_t n)
{
    struct vmdk_extent *e = extent_of(b);
    int st = VM_OK;
    for (size_t i = 0; st == VM_OK && i < n; i++) {
        st = write_page(b, e->gd, pages[i], bytes + i * VM_BMAP_PAGE);
        if (st == VM_OK && e->rgd != NULL)
            st = write_page(b, e->rgd, pages[i], bytes + i * VM_BMAP_PAGE);
    }
    if (st != VM_OK || !e->gd_dirty)
        return st;
    st = vm__blk_flush(b->file, 0);
    if (st == VM_OK)
        st = vm__blk_write(b->file, e->gd_off, (const void *)e->gd, 4 * (size_t)e->n_tables);
    if (st == VM_OK && e->rgd != NULL)
        st = vm__blk_write(b->file, e->rgd_off, (const void *)e->rgd, 4 * (size_t)e->n_tables);
    e->gd_dirty = st != VM_OK;
    return st;
}

static const struct vm_bmap_ops map_ops = {
    .decode = decode,
    .encode = encode,
    .page_at = page_at,
    .write_pages = write_pages,
    .read_packed = vmdk_read_packed,
};

/* ---- opening ---------------------------------------------------------------------------- */

int vmdk_embedded(const uint8_t *h, uint64_t *off, uint64_t *len)
{
    uint64_t at = vm_le64(h + VMDK_DESCRIPTOR_AT), n = vm_le64(h + VMDK_DESCRIPTOR_SIZE_AT);
    *off = *len = 0;
    if (at == 0 || n == 0)
        return VM_OK;
    if (!vm_mul_u64(at, VMDK_SECTOR, off) || !vm_mul_u64(n, VMDK_SECTOR, len))
        return vm__fail(VM_E_CORRUPT, "The descriptor lies outside of the file");
    return VM_OK;
}

static int read_directory(struct vmdk_extent *e, uint64_t off, _Atomic uint32_t **out)
{
    size_t bytes = 4 * (size_t)e->n_tables;
    if (!vm_in_range(off, bytes, vm__blk_size(e->file)))
        return vm__fail(VM_E_CORRUPT, "The grain directory of %u tables lies outside of the file",
                        e->n_tables);
    *out = malloc(bytes + 1);
    if (*out == NULL)
        return vm__fail_nomem(bytes);
    return bytes != 0 ? vm__blk_read(e->file, off, (void *)*out, bytes) : VM_OK;
}

static int open_map(struct vm_blk *n, struct vmdk_extent *e, uint64_t grain, uint32_t page)
{
    e->map = (struct vm_bmap) {
        .n = n,
        .file = e->file,
        .base = e->start,
        .size = e->size,
        .ops = &map_ops,
        .extent = e,
        .page_size = page,
        .n_blocks = (e->size + grain - 1) / grain,
        .width = 4,
        .has_zero = e->flags & VMDK_F_ZERO_GRAIN,
        .block_size = grain,
        .align = grain,
    };
    uint64_t size = vm__blk_size(e->file);
    e->map.next = (size + VMDK_SECTOR - 1) / VMDK_SECTOR * VMDK_SECTOR;
    /* Tables are whole, whatever the disk's size: a page is never written in part. */
    e->map.n_blocks = (e->map.n_blocks + page / 4 - 1) / (page / 4) * (page / 4);
    int st = vm__bmap_init(&e->map);
    if (st == VM_OK && e->flags & VMDK_F_COMPRESSED) {
        e->cache = vm__chunk_cache_new(CACHE_SLOTS, (size_t)grain);
        st = e->cache != NULL ? VM_OK : VM_E_NOMEM;
    }
    return st;
}

/** A streamed extent has its true header in the footer, 1024 bytes before the end. */
static int read_header(struct vmdk_extent *e, uint8_t *h)
{
    uint64_t size = vm__blk_size(e->file);
    if (size < VMDK_HEADER)
        return vm__fail(VM_E_CORRUPT, "A sparse extent of %llu bytes", (unsigned long long)size);
    int st = vm__blk_read(e->file, 0, h, VMDK_HEADER);
    if (st == VM_OK && memcmp(h, VMDK_MAGIC, 4) != 0)
        return vm__fail(VM_E_CORRUPT, "A sparse extent has no header");
    if (st != VM_OK || vm_le64(h + VMDK_GD_AT) != VMDK_GD_AT_END)
        return st;
    if (size < 3 * VMDK_SECTOR)
        return vm__fail(VM_E_CORRUPT, "A streamed extent without a footer");
    st = vm__blk_read(e->file, size / VMDK_SECTOR * VMDK_SECTOR - 1024, h, VMDK_HEADER);
    if (st == VM_OK && (memcmp(h, VMDK_MAGIC, 4) != 0 || vm_le64(h + VMDK_GD_AT) == VMDK_GD_AT_END))
        st = vm__fail(VM_E_CORRUPT, "A streamed extent without a footer");
    return st;
}

static int check_header(struct vmdk_extent *e, const uint8_t *h)
{
    uint32_t version = vm_le32(h + VMDK_VERSION_AT), compress = vm_le16(h + VMDK_COMPRESS_AT);
    uint64_t grain = vm_le64(h + VMDK_GRAIN_AT), capacity = vm_le64(h + VMDK_CAPACITY_AT);
    static const uint8_t newlines[4] = { '\n', ' ', '\r', '\n' };
    e->flags = vm_le32(h + VMDK_FLAGS_AT);
    if (version < 1 || version > 3)
        return vm__fail(VM_E_NOTSUP, "Unsupported VMDK version %u", version);
    if (e->flags & VMDK_F_NEWLINE && memcmp(h + VMDK_TEST_AT, newlines, 4) != 0)
        return vm__fail(VM_E_CORRUPT, "The file was changed by a transfer as text");
    if (e->flags & VMDK_F_COMPRESSED && compress != 1)
        return vm__fail(VM_E_NOTSUP, "Unsupported compression %u", compress);
    if (vm_le32(h + VMDK_GTES_AT) != VMDK_GTES)
        return vm__fail(VM_E_CORRUPT, "L2 table size too big");
    if (grain < 8 || grain > 65536 || (grain & (grain - 1)) != 0)
        return vm__fail(VM_E_CORRUPT, "Invalid granularity, image may be corrupt");
    if (capacity > VM_BLK_MAX_SIZE / VMDK_SECTOR)
        return vm__fail(VM_E_CORRUPT, "An extent of %llu sectors", (unsigned long long)capacity);
    uint64_t covered = grain * VMDK_GTES, tables = (capacity + covered - 1) / covered;
    if (tables > MAX_TABLES)
        return vm__fail(VM_E_NOTSUP, "An extent of %llu grain tables", (unsigned long long)tables);
    e->n_tables = (uint32_t)tables;
    return VM_OK;
}

int vmdk_open_sparse(struct vm_blk *n, struct vmdk_extent *e)
{
    uint8_t h[VMDK_HEADER];
    int st = read_header(e, h);
    if (st == VM_OK)
        st = check_header(e, h);
    if (st != VM_OK)
        return st;
    uint64_t bytes = vm_le64(h + VMDK_CAPACITY_AT) * VMDK_SECTOR;
    if (e->size == 0)
        e->size = bytes;
    if (e->size > bytes)
        return vm__fail(VM_E_CORRUPT, "An extent is shorter than the descriptor says");
    if (!vm_mul_u64(vm_le64(h + VMDK_GD_AT), VMDK_SECTOR, &e->gd_off) ||
        !vm_mul_u64(vm_le64(h + VMDK_RGD_AT), VMDK_SECTOR, &e->rgd_off))
        return vm__fail(VM_E_CORRUPT, "The grain directory lies outside of the file");
    st = read_directory(e, e->gd_off, &e->gd);
    if (st == VM_OK && e->flags & VMDK_F_REDUNDANT && vm__blk_writable(n))
        st = read_directory(e, e->rgd_off, &e->rgd);
    uint64_t grain = vm_le64(h + VMDK_GRAIN_AT) * VMDK_SECTOR;
    return st == VM_OK ? open_map(n, e, grain, 4 * VMDK_GTES) : st;
}

int vmdk_open_cowd(struct vm_blk *n, struct vmdk_extent *e)
{
    enum { CAPACITY_AT = 12, GRAIN_AT = 16, GD_AT = 20, GD_SIZE_AT = 24, HEADER = 32 };
    uint8_t h[HEADER];
    if (e->kind == VMDK_SESPARSE)
        return vm__fail(VM_E_NOTSUP, "seSparse extents are not supported");
    if (vm__blk_writable(n))
        return vm__fail(VM_E_NOTSUP, "VMDK extents of the ESX kind can only be read");
    if (vm__blk_size(e->file) < HEADER)
        return vm__fail(VM_E_CORRUPT, "A COWD extent without a header");
    int st = vm__blk_read(e->file, 0, h, HEADER);
    if (st == VM_OK && memcmp(h, VMDK_COWD_MAGIC, 4) != 0)
        st = vm__fail(VM_E_CORRUPT, "A COWD extent without a header");
    if (st != VM_OK)
        return st;
    uint64_t bytes = (uint64_t)vm_le32(h + CAPACITY_AT) * VMDK_SECTOR;
    uint64_t grain = (uint64_t)vm_le32(h + GRAIN_AT) * VMDK_SECTOR;
    if (grain == 0 || grain > (32 << 20) || (grain & (grain - 1)) != 0)
        return vm__fail(VM_E_CORRUPT, "Invalid granularity, image may be corrupt");
    e->size = e->size != 0 ? e->size : bytes;
    if (e->size > bytes)
        return vm__fail(VM_E_CORRUPT, "An extent is shorter than the descriptor says");
    uint64_t tables = (bytes + grain * VMDK_COWD_GTES - 1) / (grain * VMDK_COWD_GTES);
    if (tables > vm_le32(h + GD_SIZE_AT) || tables > MAX_TABLES)
        return vm__fail(VM_E_CORRUPT, "The grain directory is too small for the extent");
    e->n_tables = (uint32_t)tables;
    e->gd_off = (uint64_t)vm_le32(h + GD_AT) * VMDK_SECTOR;
    st = read_directory(e, e->gd_off, &e->gd);
    return st == VM_OK ? open_map(n, e, grain, VM_BMAP_PAGE) : st;
}

void vmdk_close_sparse(struct vm_blk *n, struct vmdk_extent *e)
{
    if (e->map.pages != NULL && vm__blk_writable(n) && e->map.end > e->map.next)
        (void)vm__blk_truncate(e->file, e->map.next, VM_PREALLOC_OFF, 0);
    vm__bmap_fini(&e->map);
    vm__chunk_cache_free(e->cache);
    free((void *)e->gd);
    free((void *)e->rgd);
}
