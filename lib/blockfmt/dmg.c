/* SPDX-License-Identifier: MIT */
/**
 * @file dmg.c
 * Apple disk images (UDIF), read-only: chunks as they are, of zeros, or compressed with zlib,
 * bzip2, ADC, LZFSE or LZMA.
 *
 * Spec: [UDIF]. Not read: images in several segments, encrypted ones, checksums.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/dmg.h"
#include "blockfmt/inflate.h"
#include "blockfmt/unpack.h"

enum { SLOTS = 16, FEW_SLOTS = 2, SMALL = 1 << 20 };

struct dmg {
    struct dmg_list list;
    struct vm_chunk_cache *cache;
};

static struct dmg *dmg_of(const struct vm_blk *n)
{
    return n->state;
}

/** There is nothing at the start to know it by. */
static int dmg_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    size_t n = strlen(name);
    (void)head;
    (void)len;
    (void)size;
    return n >= 4 && strcmp(name + n - 4, ".dmg") == 0 ? 2 : 0;
}

static bool packed(const struct dmg_chunk *c)
{
    return c->kind != DMG_RAW && c->kind != DMG_ZERO && c->kind != DMG_IGNORE;
}

static int dmg_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct dmg *s = dmg_of(n);
    uint64_t size = 0, largest = DMG_SECTOR;
    (void)o;
    int st = dmg_parse(n->file, &s->list, &size);
    for (size_t i = 0; st == VM_OK && i < s->list.n; i++) {
        const struct dmg_chunk *c = &s->list.chunks[i];
        if (packed(c) && c->end - c->start > largest)
            largest = c->end - c->start;
    }
    if (st == VM_OK) {
        s->cache = vm__chunk_cache_new(largest <= SMALL ? SLOTS : FEW_SLOTS, (size_t)largest);
        st = s->cache != NULL ? VM_OK : vm__fail_nomem((size_t)largest);
    }
    if (st != VM_OK)
        free(s->list.chunks);
    atomic_store(&n->size, size);
    return st;
}

static void dmg_close(struct vm_blk *n)
{
    vm__chunk_cache_free(dmg_of(n)->cache);
    free(dmg_of(n)->list.chunks);
}

/** The chunk that has @p off, or the first after it: its number, at most list.n. */
static size_t find(const struct dmg_list *l, uint64_t off)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (l->chunks[mid].end <= off)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int unpack(uint32_t kind, const uint8_t *in, size_t len, uint8_t *out, size_t room,
                  size_t *got)
{
    if (kind == DMG_ZLIB)
        return vm__inflate(true, in, len, out, room, got);
    if (kind == DMG_BZIP2)
        return vm__unpack_bzip2(in, len, out, room, got);
    if (kind == DMG_LZFSE)
        return vm__unpack_lzfse(in, len, out, room, got);
    return kind == DMG_LZMA ? vm__unpack_lzma(in, len, out, room, got)
                            : vm__unpack_adc(in, len, out, room, got);
}

static int make_chunk(void *ud, uint64_t key, uint8_t *buf)
{
    struct vm_blk *n = ud;
    const struct dmg_chunk *c = &dmg_of(n)->list.chunks[key];
    size_t bytes = (size_t)(c->end - c->start), got = 0;
    uint8_t *in = malloc((size_t)c->len + 1);
    int st = in != NULL ? VM_OK : vm__fail_nomem((size_t)c->len);
    if (st == VM_OK && c->len != 0)
        st = vm__blk_read(n->file, c->off, in, (size_t)c->len);
    if (st == VM_OK)
        st = unpack(c->kind, in, (size_t)c->len, buf, bytes, &got);
    if (st == VM_OK && got != bytes)
        st = vm__fail(VM_E_CORRUPT, "The chunk at byte %llu makes %zu bytes, not %zu",
                      (unsigned long long)c->start, got, bytes);
    free(in);
    return st;
}

/** What lies at @p off, and how many of @p len bytes it goes on. NULL: zeros. */
static const struct dmg_chunk *look(const struct dmg_list *l, uint64_t off, uint64_t len,
                                    uint64_t *run)
{
    size_t i = find(l, off);
    const struct dmg_chunk *c = i < l->n && l->chunks[i].start <= off ? &l->chunks[i] : NULL;
    uint64_t end = c != NULL ? c->end : i < l->n ? l->chunks[i].start : off + len;
    *run = end - off < len ? end - off : len;
    return c != NULL && (c->kind == DMG_RAW || packed(c)) ? c : NULL;
}

static int read_packed(struct vm_blk *n, const struct dmg_chunk *c, uint64_t off, size_t len,
                       struct vm_sg sg, uint32_t flags)
{
    struct dmg *s = dmg_of(n);
    const uint8_t *bytes;
    int st = vm__chunk_get(s->cache, (uint64_t)(c - s->list.chunks), flags & VM_IO_NOWAIT,
                           make_chunk, n, &bytes);
    if (st != VM_OK)
        return st;
    vm_sg_put(sg, bytes + (off - c->start), len);
    vm__chunk_put(s->cache, bytes);
    return VM_OK;
}

static int dmg_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    for (size_t done = 0; done < len;) {
        uint64_t at = off + done, run;
        const struct dmg_chunk *c = look(&dmg_of(n)->list, at, len - done, &run);
        struct vm_sg to = vm_sg_at(sg, done);
        int st = VM_OK;
        if (c == NULL)
            vm_sg_zero(to, (size_t)run);
        else if (c->kind == DMG_RAW)
            st = vm__blk_readv(n->file, c->off + (at - c->start), (size_t)run, to, flags);
        else
            st = read_packed(n, c, at, (size_t)run, to, flags);
        if (st != VM_OK)
            return st;
        done += (size_t)run;
    }
    return VM_OK;
}

static int dmg_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    uint64_t run;
    const struct dmg_chunk *c = look(&dmg_of(n)->list, off, len, &run);
    *e = (struct vm_extent) { .length = run, .flags = VM_EXTENT_ALLOCATED | VM_EXTENT_ZERO };
    if (c == NULL)
        return VM_OK;
    e->flags = VM_EXTENT_ALLOCATED | VM_EXTENT_DATA;
    if (c->kind == DMG_RAW) {
        e->flags |= VM_EXTENT_OFFSET;
        e->offset = c->off + (off - c->start);
        e->file = n->file;
    } else {
        e->flags |= VM_EXTENT_COMPRESSED;
    }
    return VM_OK;
}

const struct vm_blk_driver vm__dmg_driver = {
    .name = "dmg",
    .summary = "Apple disk image (read-only)",
    .spec = "Universal Disk Image Format",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_NOWAIT,
    .state_size = sizeof(struct dmg),
    .probe = dmg_probe,
    .open = dmg_open,
    .close = dmg_close,
    .read = dmg_read,
    .status = dmg_status,
};
