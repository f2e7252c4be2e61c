/* SPDX-License-Identifier: MIT */
/**
 * @file vmdk_stream.c
 * Compressed grains, as in streamOptimized images.
 *
 * Spec: [VMDK "Stream-Optimized Compressed Sparse Extents"]. A grain is a marker (its first sector
 * on the disk, bytes of data) and a zlib stream, and starts on a sector. A grain that is written
 * again gets a new place; the old one stays behind unused.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/deflate.h"
#include "blockfmt/inflate.h"
#include "blockfmt/vmdk.h"

struct wanted {
    struct vm_bmap *b;
    uint64_t at; /**< of the marker in the file */
};

static int unpack(void *ud, uint64_t key, uint8_t *buf)
{
    const struct wanted *w = ud;
    struct vm_blk *file = w->b->file;
    uint8_t marker[VMDK_MARKER];
    uint64_t grain = w->b->block_size, size = vm__blk_size(file);
    (void)key;
    if (!vm_in_range(w->at, VMDK_MARKER, size))
        return vm__fail(VM_E_CORRUPT, "A compressed grain lies outside of the file");
    int st = vm__blk_read(file, w->at, marker, sizeof marker);
    if (st != VM_OK)
        return st;
    uint32_t len = vm_le32(marker + 8);
    if (len == 0 || len > 2 * grain || !vm_in_range(w->at + VMDK_MARKER, len, size))
        return vm__fail(VM_E_CORRUPT, "A compressed grain of %u bytes", len);
    uint8_t *in = malloc(len);
    if (in == NULL)
        return vm__fail_nomem(len);
    size_t got = 0;
    st = vm__blk_read(file, w->at + VMDK_MARKER, in, len);
    if (st == VM_OK)
        st = vm__inflate(true, in, len, buf, (size_t)grain, &got);
    if (st == VM_OK) /* the last grain may end with the disk */
        memset(buf + got, 0, (size_t)grain - got);
    free(in);
    return st;
}

int vmdk_read_packed(struct vm_bmap *b, const struct vm_bmap_entry *e, uint64_t index, uint64_t in,
                     size_t len, struct vm_sg sg, uint32_t flags)
{
    const struct vmdk_extent *ext = b->extent;
    struct wanted w = { b, e->off };
    const uint8_t *chunk;
    (void)index;
    int st = vm__chunk_get(ext->cache, e->off, flags & VM_IO_NOWAIT, unpack, &w, &chunk);
    if (st != VM_OK)
        return st;
    vm_sg_put(sg, chunk + in, len);
    vm__chunk_put(ext->cache, chunk);
    return VM_OK;
}

/** A whole grain: compress, find a place, write, enter. */
static int put_grain(struct vm_bmap *b, uint64_t index, const uint8_t *data)
{
    size_t grain = (size_t)b->block_size, room = grain + grain / 8 + 64;
    uint8_t *out = malloc(VMDK_MARKER + room);
    if (out == NULL)
        return vm__fail_nomem(room);
    size_t n = vm__deflate(true, data, grain, out + VMDK_MARKER, room);
    uint64_t at;
    int st = n != 0 ? vm__bmap_space(b, VMDK_MARKER + n, VMDK_SECTOR, &at) : vm__fail_nomem(room);
    if (st == VM_OK && at / VMDK_SECTOR > UINT32_MAX)
        st = vm__fail(VM_E_NOSPC, "A VMDK extent is at most 2 TiB");
    if (st == VM_OK) {
        vm_put_le64(out, (b->base + index * b->block_size) / VMDK_SECTOR);
        vm_put_le32(out + 8, (uint32_t)n);
        st = vm__blk_write(b->file, at, out, VMDK_MARKER + n);
    }
    free(out);
    return st == VM_OK ? vm__bmap_set_raw(b, index, at / VMDK_SECTOR) : st;
}

/** Part of a grain: what is there, or below, with the new bytes over it. Stripe lock held. */
static int rewrite(struct vm_bmap *b, uint64_t index, uint64_t in, size_t len, struct vm_sg sg)
{
    size_t bytes = (size_t)vm__bmap_bytes(b, index);
    uint8_t *buf = calloc(1, (size_t)b->block_size);
    struct vm_iov v = { buf, bytes };
    int st = buf != NULL ? VM_OK : vm__fail_nomem((size_t)b->block_size);
    if (st == VM_OK && len < bytes)
        st = vm__bmap_read(b, index * b->block_size, bytes, (struct vm_sg) { &v, 0 }, 0);
    if (st == VM_OK) {
        vm_sg_get(sg, buf + in, len);
        st = put_grain(b, index, buf);
    }
    free(buf);
    return st;
}

int vmdk_write_packed(struct vm_bmap *b, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    for (size_t done = 0; done < len;) {
        uint64_t index = (off + done) / b->block_size, in = (off + done) % b->block_size;
        uint64_t left = b->block_size - in;
        size_t n = len - done < left ? len - done : (size_t)left;
        (void)pthread_mutex_lock(vm__bmap_stripe(b, index));
        int st = rewrite(b, index, in, n, vm_sg_at(sg, done));
        (void)pthread_mutex_unlock(vm__bmap_stripe(b, index));
        if (st != VM_OK)
            return st;
        done += n;
    }
    return VM_OK;
}
