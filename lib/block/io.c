/* SPDX-License-Identifier: MIT */
/**
 * @file io.c
 * The I/O calls: check, hand to the driver, make up for what the driver does not have.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/node.h"

enum { ZEROS_BYTES = 64 * 1024, ZEROS_PIECES = 16 };

static const uint8_t zeros[ZEROS_BYTES];

/* Files grow when written past their end; nothing else does. */
static int check(const struct vm_blk *n, uint64_t off, uint64_t len, bool writes)
{
    uint64_t end;
    if (writes && !vm__blk_writable(n))
        return vm__fail(VM_E_PERM, "Block node is read-only");
    if (!vm_add_u64(off, len, &end) || end > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_RANGE, "%" PRIu64 " bytes at %" PRIu64 " are beyond any disk", len,
                        off);
    if (end > vm__blk_size(n) && !(writes && (n->drv->can & VM_CAN_GROW)))
        return vm__fail(VM_E_RANGE, "%" PRIu64 " bytes at %" PRIu64 " end beyond %" PRIu64, len,
                        off, vm__blk_size(n));
    return VM_OK;
}

static bool cannot_try(const struct vm_blk *n, uint32_t flags)
{
    return (flags & VM_IO_NOWAIT) && !(n->drv->can & VM_CAN_NOWAIT);
}

static void grown_to(struct vm_blk *n, uint64_t end)
{
    uint64_t size = vm__blk_size(n);
    while (end > size && !atomic_compare_exchange_weak(&n->size, &size, end)) {
    }
}

/* For drivers that leave it to the layer: on stable storage before the caller hears of it. */
static int force(struct vm_blk *n, int st, uint32_t flags)
{
    if (st != VM_OK || !(flags & VM_IO_FUA) || (n->drv->can & VM_CAN_FUA))
        return st;
    return vm__blk_flush(n, flags & VM_IO_NOWAIT);
}

/* Flags as the driver gets them. Without FUA of its own it cannot write without waiting and flush,
 * either: the write would be repeated. */
static int prepare(struct vm_blk *n, uint32_t *flags)
{
    if (n->flags & VM_OPEN_WRITETHROUGH)
        *flags |= VM_IO_FUA;
    if (n->flags & VM_OPEN_UNSAFE)
        *flags &= ~(uint32_t)VM_IO_FUA;
    if (cannot_try(n, *flags))
        return VM_E_AGAIN;
    if ((*flags & VM_IO_FUA) && (*flags & VM_IO_NOWAIT) && !(n->drv->can & VM_CAN_FUA))
        return VM_E_AGAIN;
    return VM_OK;
}

static uint32_t for_driver(const struct vm_blk *n, uint32_t flags)
{
    return n->drv->can & VM_CAN_FUA ? flags : flags & ~(uint32_t)VM_IO_FUA;
}

/* Since a mirror's switch-over, the node whose I/O it is. */
static struct vm_blk *now(struct vm_blk *n)
{
    while (n->successor != NULL)
        n = n->successor;
    return n;
}

static int announce(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct vm_blk_watch *w = n->watch;
    return w != NULL && w->before != NULL ? w->before(w, off, len, flags) : VM_OK;
}

static void tell(struct vm_blk *n, uint64_t off, uint64_t len)
{
    struct vm_blk_watch *w = n->watch;
    if (w != NULL && w->after != NULL)
        w->after(w, off, len);
}

int vm__blk_readv(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    n = now(n);
    const int st = check(n, off, len, false);
    if (st != VM_OK || len == 0)
        return st;
    if (cannot_try(n, flags))
        return VM_E_AGAIN;
    return n->drv->read(n, off, len, sg, flags);
}

int vm__blk_writev(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    n = now(n);
    int st = check(n, off, len, true);
    if (st != VM_OK || len == 0)
        return st;
    if (n->drv->write == NULL)
        return vm__fail(VM_E_NOTSUP, "%s images cannot be written", n->drv->name);
    if (n->detect_zeroes != VM_DETECT_OFF && !(flags & VM_IO_COMPRESSED) &&
        vm_sg_is_zero(sg, len)) {
        const bool unmap = n->detect_zeroes == VM_DETECT_UNMAP && (n->flags & VM_OPEN_UNMAP);
        return vm__blk_zero(n, off, len, flags | (unmap ? VM_IO_UNMAP : 0));
    }
    st = prepare(n, &flags);
    if (st != VM_OK)
        return st;
    st = announce(n, off, len, flags);
    if (st != VM_OK)
        return st;
    st = n->drv->write(n, off, len, sg, for_driver(n, flags));
    tell(n, off, len);
    if (st == VM_OK)
        grown_to(n, off + len);
    return force(n, st, flags);
}

static int write_zeros(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct vm_iov v[ZEROS_PIECES];
    for (int i = 0; i < ZEROS_PIECES; i++)
        v[i] = (struct vm_iov) { (void *)(uintptr_t)zeros, ZEROS_BYTES };
    while (len != 0) {
        const size_t most = (size_t)ZEROS_BYTES * ZEROS_PIECES, part = len < most ? len : most;
        const int st = n->drv->write(n, off, part, (struct vm_sg) { v, 0 }, flags);
        if (st != VM_OK)
            return st;
        off += part;
        len -= part;
    }
    return VM_OK;
}

int vm__blk_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    n = now(n);
    int st = check(n, off, len, true);
    if (st != VM_OK || len == 0)
        return st;
    if (n->drv->write == NULL)
        return vm__fail(VM_E_NOTSUP, "%s images cannot be written", n->drv->name);
    if (!(n->flags & VM_OPEN_UNMAP))
        flags &= ~(uint32_t)VM_IO_UNMAP;
    st = prepare(n, &flags);
    if (st != VM_OK)
        return st;
    const uint32_t inner = for_driver(n, flags);
    st = announce(n, off, len, flags);
    if (st != VM_OK)
        return st;
    st = n->drv->zero != NULL ? n->drv->zero(n, off, len, inner) : VM_E_NOTSUP;
    if (st == VM_E_NOTSUP && (flags & VM_IO_NO_FALLBACK)) /* nothing has changed */
        return vm__fail(st, "%s has no fast way to write zeros", n->drv->name);
    if (st == VM_E_NOTSUP)
        st = flags & VM_IO_NOWAIT ? VM_E_AGAIN : write_zeros(n, off, len, inner);
    tell(n, off, len);
    if (st == VM_OK)
        grown_to(n, off + len);
    return force(n, st, flags);
}

int vm__blk_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    n = now(n);
    int st = check(n, off, len, true);
    if (st != VM_OK || len == 0)
        return st;
    if (n->drv->discard == NULL || !(n->flags & VM_OPEN_UNMAP))
        return VM_OK; /* only a hint */
    if (cannot_try(n, flags))
        return VM_E_AGAIN;
    st = announce(n, off, len, flags);
    if (st != VM_OK)
        return st;
    const int answer = n->drv->discard(n, off, len, flags);
    tell(n, off, len);
    return answer == VM_E_NOTSUP ? VM_OK : answer;
}

int vm__blk_flush(struct vm_blk *n, uint32_t flags)
{
    n = now(n);
    /* Unsafe is what the host does not have to do: what formats keep in memory is written. */
    const bool unsafe = (n->flags & VM_OPEN_UNSAFE) && n->drv->kind == VM_BLK_PROTOCOL;
    if (unsafe || !vm__blk_writable(n))
        return VM_OK;
    if (cannot_try(n, flags))
        return VM_E_AGAIN;
    if (n->drv->flush != NULL)
        return n->drv->flush(n, flags);
    int st = n->file != NULL ? vm__blk_flush(n->file, flags) : VM_OK;
    for (uint32_t i = 0; i < n->n_children && st == VM_OK; i++)
        st = vm__blk_flush(n->children[i], flags);
    return st;
}

/* ---- what lies where -------------------------------------------------------------------- */

int vm__blk_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    n = now(n);
    const uint64_t size = vm__blk_size(n);
    if (off >= size || len == 0)
        return vm__fail(VM_E_RANGE, "nothing lies at %" PRIu64, off);
    if (len > size - off)
        len = size - off;
    *e = (struct vm_extent) { .length = len, .flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED };
    if (n->drv->status != NULL) {
        const int st = n->drv->status(n, off, len, e);
        if (st != VM_OK)
            return st;
    }
    if (off + e->length == size)
        e->flags |= VM_EXTENT_EOF;
    return VM_OK;
}

int vm__blk_status_chain(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e,
                         uint32_t *depth)
{
    *depth = 0;
    int st = vm__blk_status(n, off, len, e);
    uint32_t eof = st == VM_OK ? e->flags & VM_EXTENT_EOF : 0;
    while (st == VM_OK && !(e->flags & VM_EXTENT_ALLOCATED)) {
        struct vm_blk *below = n->backing;
        const uint64_t size = below != NULL ? vm__blk_size(below) : 0;
        if (off >= size) { /* nobody has it: zeros */
            e->flags = VM_EXTENT_ZERO | eof;
            return VM_OK;
        }
        const uint64_t length = e->length;
        st = vm__blk_status(below, off, length, e);
        if (st == VM_OK && e->length != length)
            eof = 0;
        if (st == VM_OK)
            e->flags = (e->flags & ~(uint32_t)VM_EXTENT_EOF) | eof;
        n = below;
        ++*depth;
    }
    return st;
}

int vm__blk_read_backing(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                         uint32_t flags)
{
    struct vm_blk *below = n->backing;
    const uint64_t size = below != NULL ? vm__blk_size(below) : 0;
    const size_t part = off >= size ? 0 : size - off < len ? (size_t)(size - off) : len;
    const int st = part != 0 ? vm__blk_readv(below, off, part, sg, flags) : VM_OK;
    if (st == VM_OK && part < len)
        vm_sg_zero(part != 0 ? vm_sg_at(sg, part) : sg, len - part);
    return st;
}

int vm__blk_copy(struct vm_blk *n, uint64_t off, struct vm_blk *to, uint64_t to_off, uint64_t len,
                 uint32_t flags)
{
    n = now(n);
    to = now(to);
    int st = check(n, off, len, false);
    if (st == VM_OK)
        st = check(to, to_off, len, true);
    if (st != VM_OK || len == 0)
        return st;
    if (n->drv->copy_to == NULL || to->watch != NULL)
        return VM_E_NOTSUP;
    st = n->drv->copy_to(n, off, to, to_off, len, flags);
    if (st == VM_OK)
        grown_to(to, to_off + len);
    return st;
}

/* ---- size ------------------------------------------------------------------------------- */

int vm__blk_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    if (n->watch != NULL)
        return vm__fail(VM_E_STATE, "A job is at work on the image");
    if (n->successor != NULL) {
        const int moved = vm__blk_truncate(n->successor, size, p, flags);
        if (moved == VM_OK)
            atomic_store(&n->size, size);
        return moved;
    }
    if (!vm__blk_writable(n))
        return vm__fail(VM_E_PERM, "Block node is read-only");
    if (size > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_RANGE, "The image size is too large");
    if (n->drv->truncate == NULL)
        return vm__fail(VM_E_NOTSUP, "Image format driver does not support resize");
    const int st = n->drv->truncate(n, size, p, flags);
    if (st == VM_OK)
        atomic_store(&n->size, size);
    return st;
}

int vm__blk_resize(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    vm__blk_drain_begin(n);
    const int st = vm__blk_truncate(n, size, p, flags);
    vm__blk_drain_end(n);
    return st;
}
