/* SPDX-License-Identifier: MIT */
/**
 * @file cloop.c
 * Compressed loop images of Knoppix fame, version 2, read-only.
 *
 * Spec: [CLOOP] cloop-utils 3.14, cloop.h. 128 bytes of shell script, block size and count, then
 * one 64-bit offset more than there are blocks, big-endian; each block is a zlib stream.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/inflate.h"
#include "block/node.h"

enum {
    BLOCK_SIZE_AT = 128,
    BLOCKS_AT = 132,
    OFFSETS_AT = 136,
    MAX_BLOCK = 64 << 20,
    MAX_OFFSETS = 64 << 20, /* bytes of the table */
    SLOTS = 16,
};
#define MAGIC "#!/bin/sh\n#V2.0 Format\n"

struct cloop {
    uint8_t *offsets; /**< as in the file */
    uint32_t block, blocks;
    struct vm_chunk_cache *cache;
};

static struct cloop *cloop_of(const struct vm_blk *n)
{
    return n->state;
}

static int cloop_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    size_t n = sizeof MAGIC - 1;
    return len >= n && memcmp(head, MAGIC, n) == 0 ? 2 : 0; /* QEMU scores it as low */
}

static int read_offsets(struct vm_blk *n)
{
    struct cloop *s = cloop_of(n);
    uint64_t bytes = ((uint64_t)s->blocks + 1) * 8;
    if (s->blocks > UINT32_MAX / 8)
        return vm__fail(VM_E_NOTSUP, "n_blocks %u must be %u or less", s->blocks, UINT32_MAX / 8);
    if (bytes > MAX_OFFSETS)
        return vm__fail(VM_E_NOTSUP, "image requires too many offsets, try increasing block size");
    if (!vm_in_range(OFFSETS_AT, bytes, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The table of %u offsets lies outside of the file",
                        s->blocks);
    s->offsets = malloc((size_t)bytes);
    if (s->offsets == NULL)
        return vm__fail_nomem((size_t)bytes);
    int st = vm__blk_read(n->file, OFFSETS_AT, s->offsets, (size_t)bytes);
    /* No block compresses to more than twice its size: a bound on what is read for one. */
    for (uint32_t i = 0; st == VM_OK && i < s->blocks; i++) {
        uint64_t a = vm_be64(s->offsets + 8 * (size_t)i),
                 b = vm_be64(s->offsets + 8 * ((size_t)i + 1));
        if (b < a)
            st = vm__fail(VM_E_CORRUPT,
                          "offsets not monotonically increasing at index %u, image file "
                          "is corrupt",
                          i + 1);
        else if (b - a > 2 * (uint64_t)MAX_BLOCK)
            st = vm__fail(VM_E_CORRUPT,
                          "invalid compressed block size at index %u, image file is "
                          "corrupt",
                          i + 1);
    }
    return st;
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)o;
    struct cloop *s = cloop_of(n);
    uint8_t h[OFFSETS_AT];
    if (vm__blk_size(n->file) < OFFSETS_AT)
        return vm__fail(VM_E_INVAL, "Image not in cloop format");
    int st = vm__blk_read(n->file, 0, h, sizeof h);
    if (st == VM_OK && vm__blk_writable(n))
        st = vm__fail(VM_E_NOTSUP, "cloop images can only be read");
    if (st != VM_OK)
        return st;
    s->block = vm_be32(h + BLOCK_SIZE_AT);
    s->blocks = vm_be32(h + BLOCKS_AT);
    if (s->block == 0)
        return vm__fail(VM_E_CORRUPT, "block_size cannot be zero");
    if (s->block % 512 != 0)
        return vm__fail(VM_E_CORRUPT, "block_size %u must be a multiple of 512", s->block);
    if (s->block > MAX_BLOCK)
        return vm__fail(VM_E_NOTSUP, "block_size %u must be 64 MB or less", s->block);
    atomic_store(&n->size, (uint64_t)s->block * s->blocks);
    s->cache = vm__chunk_cache_new(s->block <= (4 << 20) ? SLOTS : 2, s->block);
    return s->cache != NULL ? read_offsets(n) : VM_E_NOMEM;
}

static void free_state(struct vm_blk *n)
{
    vm__chunk_cache_free(cloop_of(n)->cache);
    free(cloop_of(n)->offsets);
}

static int cloop_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void cloop_close(struct vm_blk *n)
{
    free_state(n);
}

static int make_block(void *ud, uint64_t key, uint8_t *buf)
{
    struct vm_blk *n = ud;
    const struct cloop *s = cloop_of(n);
    uint64_t at = vm_be64(s->offsets + 8 * key), end = vm_be64(s->offsets + 8 * (key + 1));
    if (end > vm__blk_size(n->file))
        return vm__fail(VM_E_CORRUPT, "Block %llu lies outside of the file",
                        (unsigned long long)key);
    uint8_t *in = malloc((size_t)(end - at) + 1);
    if (in == NULL)
        return vm__fail_nomem((size_t)(end - at));
    size_t got = 0;
    int st = end > at ? vm__blk_read(n->file, at, in, (size_t)(end - at)) : VM_OK;
    if (st == VM_OK)
        st = vm__inflate(true, in, (size_t)(end - at), buf, s->block, &got);
    if (st == VM_OK && got != s->block)
        st = vm__fail(VM_E_CORRUPT, "Block %llu is %zu bytes, not %u", (unsigned long long)key, got,
                      s->block);
    free(in);
    return st;
}

static int cloop_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct cloop *s = cloop_of(n);
    for (size_t done = 0; done < len;) {
        uint64_t key = (off + done) / s->block, in = (off + done) % s->block;
        size_t run = len - done < s->block - in ? len - done : (size_t)(s->block - in);
        const uint8_t *chunk;
        int st = vm__chunk_get(s->cache, key, flags & VM_IO_NOWAIT, make_block, n, &chunk);
        if (st != VM_OK)
            return st;
        vm_sg_put(vm_sg_at(sg, done), chunk + in, run);
        vm__chunk_put(s->cache, chunk);
        done += run;
    }
    return VM_OK;
}

static int cloop_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    (void)n;
    (void)off;
    *e = (struct vm_extent) {
        .length = len,
        .flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED | VM_EXTENT_COMPRESSED,
    };
    return VM_OK;
}

const struct vm_blk_driver vm__cloop_driver = {
    .name = "cloop",
    .summary = "Compressed loop image (read-only)",
    .spec = "cloop 2.0, cloop-utils 3.14",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_NOWAIT,
    .state_size = sizeof(struct cloop),
    .probe = cloop_probe,
    .open = cloop_open,
    .close = cloop_close,
    .read = cloop_read,
    .status = cloop_status,
};
