/* SPDX-License-Identifier: MIT */
/**
 * @file bmap_io.c
 * I/O through a block map: each call is cut at block boundaries and goes block by block.
 */
#include <stdlib.h>

#include "blockfmt/bmap.h"

/** The part of a request that lies in one block. */
struct piece {
    uint64_t index, in; /**< block, and where in it */
    size_t len;
};

static struct piece cut(const struct vm_bmap *b, uint64_t off, uint64_t len)
{
    struct piece p = { .index = off / b->block_size, .in = off % b->block_size };
    uint64_t room = b->block_size - p.in;
    uint64_t n = len < room ? len : room;
    p.len = (size_t)n;
    return p;
}

/* ---- reading ---------------------------------------------------------------------------- */

static int read_partial(struct vm_bmap *b, struct piece p, struct vm_sg sg, uint32_t flags,
                        bool *handled)
{
    *handled = false;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    (void)pthread_mutex_lock(vm__bmap_stripe(b, p.index));
    int st = vm__bmap_partial_read(b, p.index, p.in, p.len, sg, flags, handled);
    (void)pthread_mutex_unlock(vm__bmap_stripe(b, p.index));
    return st;
}

static int read_piece(struct vm_bmap *b, struct piece p, struct vm_sg sg, uint32_t flags)
{
    /* In this order: a block is entered in the table before it stops being partial. */
    bool some_partial = atomic_load(&b->n_partial) != 0;
    struct vm_bmap_entry e;
    int st = vm__bmap_get(b, p.index, flags, &e);
    if (st != VM_OK)
        return st;
    if (e.kind == VM_BMAP_DATA && vm__bmap_has_bits(b))
        return vm__bmap_bits_read(b, p.index, e, p.in, p.len, sg, flags);
    if (e.kind == VM_BMAP_DATA || e.kind == VM_BMAP_SHARED)
        return vm__bmap_data_read(b, p.index, p.in, e.off + p.in, p.len, sg, flags);
    if (e.kind == VM_BMAP_PACKED)
        return b->ops->read_packed(b, &e, p.index, p.in, p.len, sg, flags);
    bool handled = false;
    if (some_partial && (e.kind == VM_BMAP_NONE || b->fill_new))
        st = read_partial(b, p, sg, flags, &handled);
    if (st != VM_OK || handled)
        return st;
    if (e.kind == VM_BMAP_ZERO) {
        vm_sg_zero(sg, p.len);
        return VM_OK;
    }
    return vm__blk_read_backing(b->n, b->base + p.index * b->block_size + p.in, p.len, sg, flags);
}

int vm__bmap_read(struct vm_bmap *b, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    for (size_t done = 0; done < len;) {
        struct piece p = cut(b, off + done, len - done);
        int st = read_piece(b, p, vm_sg_at(sg, done), flags);
        if (st != VM_OK)
            return st;
        done += p.len;
    }
    return VM_OK;
}

/* ---- writing ---------------------------------------------------------------------------- */

/** A block that reads as zeros, or that is written whole: place, data, entry. Stripe lock held. */
static int write_new(struct vm_bmap *b, struct piece p, struct vm_sg sg, uint32_t flags)
{
    uint64_t at;
    int st = vm__bmap_alloc(b, p.index, &at);
    if (st == VM_OK)
        st = vm__bmap_data_write(b, p.index, p.in, at + p.in, p.len, sg, flags);
    return st == VM_OK ? vm__bmap_set(b, p.index, VM_BMAP_DATA, at) : st;
}

/** Into a compressed or shared block: it is written anew, whole. Stripe lock held. */
static int write_unpacked(struct vm_bmap *b, const struct vm_bmap_entry *e, struct piece p,
                          struct vm_sg sg)
{
    size_t bytes = (size_t)vm__bmap_bytes(b, p.index);
    uint8_t *buf = malloc(bytes);
    struct vm_iov v = { buf, bytes };
    struct vm_sg whole = { &v, 0 };
    int st = buf == NULL ? vm__fail_nomem(bytes)
             : e->kind == VM_BMAP_SHARED
                 ? vm__bmap_data_read(b, p.index, 0, e->off, bytes, whole, 0)
                 : b->ops->read_packed(b, e, p.index, 0, bytes, whole, 0);
    if (st == VM_OK) {
        vm_sg_get(sg, buf + p.in, p.len);
        st = write_new(b, (struct piece) { p.index, 0, bytes }, whole, 0);
    }
    free(buf);
    return st;
}

static int write_unallocated(struct vm_bmap *b, struct piece p, struct vm_sg sg, uint32_t flags)
{
    struct vm_bmap_entry e;
    (void)pthread_mutex_lock(vm__bmap_stripe(b, p.index));
    int st = vm__bmap_get(b, p.index, 0, &e);
    if (st == VM_OK && e.kind != VM_BMAP_DATA) {
        bool whole = p.in == 0 && p.len >= vm__bmap_bytes(b, p.index);
        bool shows = e.kind == VM_BMAP_NONE && b->n->backing != NULL;
        if ((e.kind == VM_BMAP_PACKED || e.kind == VM_BMAP_SHARED) && !whole)
            st = write_unpacked(b, &e, p, sg);
        else if (vm__bmap_partial_has(b, p.index) || ((shows || b->fill_new) && !whole))
            st = vm__bmap_partial_write(b, p.index, p.in, p.len, sg, flags, !shows);
        else
            st = write_new(b, p, sg, flags);
    }
    (void)pthread_mutex_unlock(vm__bmap_stripe(b, p.index));
    if (st == VM_OK && e.kind == VM_BMAP_DATA) /* somebody was quicker */
        st = vm__bmap_data_write(b, p.index, p.in, e.off + p.in, p.len, sg, flags);
    return st;
}

/** With sector bitmaps: a new block has its place and no sectors. Stripe lock held. */
static int new_with_bits(struct vm_bmap *b, uint64_t index, struct vm_bmap_entry *e)
{
    uint64_t off, bits;
    int st = vm__bmap_alloc(b, index, &off);
    if (st != VM_OK)
        return st;
    e->raw = b->ops->encode(b, VM_BMAP_DATA, off);
    st = b->ops->bits_at(b, index, e, &bits); /* a bitmap with others' may need a place, too */
    if (st == VM_OK)
        st = vm__bmap_bits_fresh(b, index);
    if (st == VM_OK)
        st = vm__bmap_set(b, index, VM_BMAP_DATA, off);
    return st == VM_OK ? vm__bmap_get(b, index, 0, e) : st;
}

static int write_bits(struct vm_bmap *b, struct piece p, struct vm_sg sg, uint32_t flags)
{
    struct vm_bmap_entry e;
    (void)pthread_mutex_lock(vm__bmap_stripe(b, p.index));
    int st = vm__bmap_get(b, p.index, 0, &e);
    if (st == VM_OK && e.kind != VM_BMAP_DATA)
        st = new_with_bits(b, p.index, &e);
    if (st == VM_OK)
        st = vm__bmap_bits_write(b, p.index, e, p.in, p.len, sg, flags);
    (void)pthread_mutex_unlock(vm__bmap_stripe(b, p.index));
    return st;
}

/**
 * A first write without waiting, where that is simple: there is room in the file, and nothing to
 * copy. What was begun when it turns out not to be stays begun: a partial block.
 */
static int write_now(struct vm_bmap *b, struct piece p, struct vm_sg sg, uint32_t flags)
{
    struct vm_bmap_entry e;
    if (b->pairs || pthread_mutex_trylock(vm__bmap_stripe(b, p.index)) != 0)
        return VM_E_AGAIN;
    int st = vm__bmap_get(b, p.index, flags, &e);
    if (st == VM_OK) {
        bool shows = e.kind == VM_BMAP_NONE && b->n->backing != NULL;
        st = e.kind == VM_BMAP_NONE || e.kind == VM_BMAP_ZERO
                 ? vm__bmap_partial_write(b, p.index, p.in, p.len, sg, flags, !shows)
                 : VM_E_AGAIN;
    }
    (void)pthread_mutex_unlock(vm__bmap_stripe(b, p.index));
    return st;
}

static int write_piece(struct vm_bmap *b, struct piece p, struct vm_sg sg, uint32_t flags)
{
    struct vm_bmap_entry e;
    int st = vm__bmap_get(b, p.index, flags, &e);
    if (st != VM_OK)
        return st;
    if (e.kind == VM_BMAP_DATA && !vm__bmap_has_bits(b))
        return vm__bmap_data_write(b, p.index, p.in, e.off + p.in, p.len, sg, flags);
    if (flags & VM_IO_NOWAIT)
        return vm__bmap_has_bits(b) ? VM_E_AGAIN : write_now(b, p, sg, flags);
    return vm__bmap_has_bits(b) ? write_bits(b, p, sg, flags) : write_unallocated(b, p, sg, flags);
}

int vm__bmap_write(struct vm_bmap *b, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    for (size_t done = 0; done < len;) {
        struct piece p = cut(b, off + done, len - done);
        int st = write_piece(b, p, vm_sg_at(sg, done), flags);
        if (st != VM_OK)
            return st;
        done += p.len;
    }
    return VM_OK;
}

/* ---- zeros and discard ------------------------------------------------------------------ */

/** Zeros by writing them: a part of a block that the backing node has. */
static int write_zeros(struct vm_bmap *b, struct piece p, uint32_t flags)
{
    static const uint8_t zeros[65536];
    if (flags & VM_IO_NO_FALLBACK)
        return VM_E_NOTSUP;
    for (size_t done = 0; done < p.len;) {
        size_t n = p.len - done < sizeof zeros ? p.len - done : sizeof zeros;
        struct vm_iov v = { (void *)(uintptr_t)zeros, n };
        struct piece part = { p.index, p.in + done, n };
        int st = write_piece(b, part, (struct vm_sg) { &v, 0 }, 0);
        if (st != VM_OK)
            return st;
        done += n;
    }
    return VM_OK;
}

/** What of an unallocated block is not asked to be zero reads as zeros anyway. */
static bool rest_is_zero(struct vm_bmap *b, struct piece p)
{
    struct vm_blk *below = b->n->backing;
    const uint64_t size = vm__blk_size(below);
    uint64_t off = b->base + p.index * b->block_size;
    const uint64_t end = off + vm__bmap_bytes(b, p.index);
    while (off < end && off < size) {
        struct vm_extent e;
        uint32_t depth;
        if (vm__blk_status_chain(below, off, end - off, &e, &depth) != VM_OK ||
            !(e.flags & VM_EXTENT_ZERO))
            return false;
        off += e.length;
    }
    return true;
}

static int zero_piece(struct vm_bmap *b, struct piece p, uint32_t flags)
{
    bool whole = p.in == 0 && p.len >= vm__bmap_bytes(b, p.index), done = false;
    struct vm_bmap_entry e;
    (void)pthread_mutex_lock(vm__bmap_stripe(b, p.index));
    int st = vm__bmap_get(b, p.index, 0, &e);
    bool plain = !b->opaque; /* zeros in the file are zeros */
    if (st == VM_OK && (e.kind != VM_BMAP_DATA || !plain)) {
        bool shows = e.kind == VM_BMAP_NONE && b->n->backing != NULL;
        done = (e.kind == VM_BMAP_ZERO || (e.kind == VM_BMAP_NONE && !shows && !b->has_zero)) &&
               !vm__bmap_partial_has(b, p.index);
        whole = whole || (shows && b->has_zero && rest_is_zero(b, p));
        if (!done && (whole || (e.kind == VM_BMAP_NONE && !shows)) && b->has_zero &&
            !vm__bmap_partial_has(b, p.index)) {
            st = vm__bmap_set(b, p.index, VM_BMAP_ZERO, 0);
            done = true;
        }
    }
    (void)pthread_mutex_unlock(vm__bmap_stripe(b, p.index));
    if (st != VM_OK || done)
        return st;
    if (e.kind == VM_BMAP_DATA && plain && !vm__bmap_has_bits(b))
        return vm__blk_zero(b->data, e.off + p.in, p.len, flags);
    return write_zeros(b, p, flags);
}

int vm__bmap_zero(struct vm_bmap *b, uint64_t off, uint64_t len, uint32_t flags)
{
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    for (uint64_t done = 0; done < len;) {
        struct piece p = cut(b, off + done, len - done);
        int st = zero_piece(b, p, flags);
        if (st != VM_OK)
            return st;
        done += p.len;
    }
    return VM_OK;
}

/** Blocks keep their place; the file gives the space back, and they read as zeros. */
int vm__bmap_discard(struct vm_bmap *b, uint64_t off, uint64_t len, uint32_t flags)
{
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    for (uint64_t done = 0; done < len;) {
        struct piece p = cut(b, off + done, len - done);
        struct vm_bmap_entry e;
        int st = vm__bmap_get(b, p.index, 0, &e);
        if (st == VM_OK && e.kind == VM_BMAP_DATA && !vm__bmap_has_bits(b))
            st = vm__blk_discard(b->data, e.off + p.in, p.len, 0);
        if (st != VM_OK)
            return st;
        done += p.len;
    }
    return VM_OK;
}

/* ---- status ----------------------------------------------------------------------------- */

static void describe(const struct vm_bmap *b, struct vm_bmap_entry e, struct piece p,
                     struct vm_extent *out)
{
    *out = (struct vm_extent) { .length = p.len };
    if (e.kind == VM_BMAP_DATA || e.kind == VM_BMAP_SHARED) {
        out->flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED;
        if (b->opaque)
            return;
        out->flags |= VM_EXTENT_OFFSET;
        out->offset = e.off + p.in;
        out->file = b->data;
    } else if (e.kind == VM_BMAP_PACKED) {
        out->flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED | VM_EXTENT_COMPRESSED;
    } else if (e.kind == VM_BMAP_ZERO) {
        out->flags = VM_EXTENT_ZERO | VM_EXTENT_ALLOCATED;
    } else if (b->n->backing == NULL) {
        out->flags = VM_EXTENT_ZERO;
    }
}

/** An empty page of the table is as many blocks as it has entries. */
static size_t skip_empty(const struct vm_bmap *b, struct piece p, uint64_t left)
{
    uint64_t per_page = b->page_size / b->width, page = p.index / per_page;
    if (b->group != 0 || p.index % per_page != 0 || !vm__bmap_page_empty(b, page))
        return p.len;
    uint64_t bytes = per_page * b->block_size;
    return (size_t)(bytes < left ? bytes : left);
}

int vm__bmap_status(struct vm_bmap *b, uint64_t off, uint64_t len, struct vm_extent *e)
{
    if (atomic_load(&b->n_partial) != 0) { /* enter them: what is half there has no one answer */
        int st = vm__bmap_partial_fill(b);
        if (st != VM_OK)
            return st;
    }
    for (uint64_t done = 0; done < len;) {
        struct piece p = cut(b, off + done, len - done);
        struct vm_bmap_entry entry;
        struct vm_extent more;
        int st = vm__bmap_get(b, p.index, 0, &entry);
        if (st != VM_OK)
            return st;
        if (entry.kind == VM_BMAP_NONE && p.in == 0)
            p.len = skip_empty(b, p, len - done);
        describe(b, entry, p, &more);
        if (entry.kind == VM_BMAP_DATA && vm__bmap_has_bits(b)) {
            bool here;
            st = vm__bmap_bits_run(b, p.index, entry, p.in, p.len, 0, &p.len, &here);
            if (st != VM_OK)
                return st;
            more.length = p.len;
            if (!here)
                more = (struct vm_extent) { .length = p.len };
        }
        if (done == 0)
            *e = more;
        else if (more.flags == e->flags &&
                 (!(e->flags & VM_EXTENT_OFFSET) || more.offset == e->offset + done))
            e->length += p.len;
        else
            break;
        done += p.len;
    }
    return VM_OK;
}

/* ---- as calls of a driver --------------------------------------------------------------- */

int vm__bmap_node_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return vm__bmap_read(n->state, off, len, sg, flags);
}

int vm__bmap_node_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return vm__bmap_write(n->state, off, len, sg, flags);
}

int vm__bmap_node_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return vm__bmap_zero(n->state, off, len, flags);
}

int vm__bmap_node_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return vm__bmap_discard(n->state, off, len, flags);
}

int vm__bmap_node_flush(struct vm_blk *n, uint32_t flags)
{
    return vm__bmap_flush(n->state, flags);
}

int vm__bmap_node_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    return vm__bmap_status(n->state, off, len, e);
}
