/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_packed.c
 * Compressed clusters.
 *
 * Spec: [QCOW2 "Compressed Clusters Descriptor", "compression_type"]. Raw deflate or one zstd
 * frame; several lie in one cluster of the file, which counts them. The length in the entry is in
 * sectors, so the reader ignores what follows the end of the stream.
 */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/checked.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/deflate.h"
#include "blockfmt/inflate.h"
#include "blockfmt/qcow2.h"

/** One frame; its end is known, so that what follows it is left alone. */
static int unzstd(const uint8_t *in, size_t len, uint8_t *out, size_t room)
{
    size_t frame = ZSTD_findFrameCompressedSize(in, len);
    size_t got = ZSTD_isError(frame) ? 0 : ZSTD_decompress(out, room, in, frame);
    return got == room ? VM_OK : vm__fail(VM_E_CORRUPT, "Compressed data is malformed");
}

struct wanted {
    struct vm_blk *n;
    uint64_t off, len;
};

static int unpack(void *ud, uint64_t key, uint8_t *buf)
{
    const struct wanted *w = ud;
    const struct qcow2 *s = qcow2_of(w->n);
    uint64_t size = vm__blk_size(w->n->file);
    (void)key;
    if (w->off >= size)
        return vm__fail(VM_E_CORRUPT, "A compressed cluster lies outside of the file");
    /* The last sector may not be there in full. */
    size_t len = (size_t)(w->len < size - w->off ? w->len : size - w->off), got = 0;
    uint8_t *in = malloc(len);
    if (in == NULL)
        return vm__fail_nomem(len);
    int st = vm__blk_read(w->n->file, w->off, in, len);
    if (st == VM_OK && s->compression == QCOW2_ZSTD)
        st = unzstd(in, len, buf, (size_t)s->cluster);
    else if (st == VM_OK)
        st = vm__inflate(false, in, len, buf, (size_t)s->cluster, &got);
    if (st == VM_OK && s->compression == QCOW2_ZLIB && got != s->cluster)
        st = vm__fail(VM_E_CORRUPT, "A compressed cluster of %zu bytes", got);
    free(in);
    return st;
}

int qcow2_read_packed(struct vm_bmap *b, const struct vm_bmap_entry *e, uint64_t index, uint64_t in,
                      size_t len, struct vm_sg sg, uint32_t flags)
{
    struct qcow2 *s = qcow2_of(b->n);
    struct wanted w = { .n = b->n };
    const uint8_t *chunk;
    (void)index;
    qcow2_packed_place(s, e->raw, &w.off, &w.len);
    int st = vm__chunk_get(s->cache, e->raw, flags & VM_IO_NOWAIT, unpack, &w, &chunk);
    if (st != VM_OK)
        return st;
    vm_sg_put(sg, chunk + in, len);
    vm__chunk_put(s->cache, chunk);
    return VM_OK;
}

/* ---- writing ---------------------------------------------------------------------------- */

/** A place for @p len bytes, less than a cluster: behind the last ones, or in a new cluster. */
static int find_place(struct vm_blk *n, uint64_t len, uint64_t *at)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t fresh;
    if (len <= s->packed_left) {
        int st = qcow2_refcount_add(n, s->packed_at, 1, 1);
        *at = s->packed_at;
        s->packed_at += st == VM_OK ? len : 0;
        s->packed_left -= st == VM_OK ? len : 0;
        return st;
    }
    int st = vm__bmap_space(&s->map, s->cluster, s->cluster, &fresh);
    if (st != VM_OK)
        return st;
    bool joined = s->packed_left != 0 && s->packed_at + s->packed_left == fresh;
    if (joined)
        st = qcow2_refcount_add(n, s->packed_at, 1, 1);
    *at = joined ? s->packed_at : fresh;
    s->packed_at = *at + len;
    s->packed_left = fresh + s->cluster - s->packed_at;
    return st;
}

static size_t pack(const struct qcow2 *s, const uint8_t *in, uint8_t *out)
{
    size_t cluster = (size_t)s->cluster;
    if (s->compression == QCOW2_ZLIB)
        return vm__deflate(false, in, cluster, out, cluster - 1);
    size_t n = ZSTD_compress(out, cluster - 1, in, cluster, 3);
    return ZSTD_isError(n) ? 0 : n;
}

/** One whole cluster; what does not get smaller is stored as it is. */
static int write_cluster(struct vm_blk *n, uint64_t index, size_t len, struct vm_sg sg)
{
    struct qcow2 *s = qcow2_of(n);
    struct vm_bmap *b = &s->map;
    uint8_t *buf = calloc(2, (size_t)s->cluster);
    uint64_t at = 0;
    if (buf == NULL)
        return vm__fail_nomem(2 * (size_t)s->cluster);
    vm_sg_get(sg, buf, len);
    uint8_t *out = buf + s->cluster;
    size_t bytes = pack(s, buf, out);
    int st;
    if (bytes == 0) {
        st = qcow2_extended(s) ? qcow2_sub_write(n, index * s->cluster, len, sg, 0)
                               : vm__bmap_write(b, index * s->cluster, len, sg, 0);
        free(buf);
        return st;
    }
    unsigned x = 62 - (s->cluster_bits - 8);
    (void)pthread_mutex_lock(&s->packed_lock);
    st = find_place(n, bytes, &at);
    (void)pthread_mutex_unlock(&s->packed_lock);
    if (st == VM_OK && at >> x != 0)
        st = vm__fail(VM_E_NOSPC, "The image file is too large for compressed clusters");
    if (st == VM_OK)
        st = vm__blk_write(n->file, at, out, bytes);
    uint64_t sectors = (at + bytes - 1) / 512 - at / 512;
    (void)pthread_mutex_lock(vm__bmap_stripe(b, index));
    if (st == VM_OK)
        st = qcow2_set(s, index, (struct qcow2_entry) { QCOW2_COMPRESSED | sectors << x | at, 0 });
    (void)pthread_mutex_unlock(vm__bmap_stripe(b, index));
    vm__chunk_forget(s->cache, QCOW2_COMPRESSED | sectors << x | at);
    free(buf);
    return st;
}

int qcow2_write_packed(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg)
{
    struct qcow2 *s = qcow2_of(n);
    for (size_t done = 0; done < len;) {
        uint64_t index = (off + done) / s->cluster;
        size_t bytes = (size_t)vm__bmap_bytes(&s->map, index);
        if ((off + done) % s->cluster != 0 || bytes > len - done)
            return vm__fail(VM_E_INVAL, "Compressed writes are of whole clusters");
        int st = write_cluster(n, index, bytes, vm_sg_at(sg, done));
        if (st != VM_OK)
            return st;
        done += bytes;
    }
    return VM_OK;
}
