/* SPDX-License-Identifier: MIT */
/**
 * @file overlay.c
 * Filter "overlay": writes go to a nameless temporary file, what lies below stays as it is.
 *
 * It has the address space of the disk, so nothing needs to be mapped: a bit for each 4 KiB block
 * says which of the two has it. A write that covers only part of a block copies the rest up first.
 * Nothing outlives the node; commit writes what changed into the node below.
 *
 * Threads: bits are only ever set while I/O is on, after the block's bytes are in the temporary
 * file; who sees a bit needs no lock. Writes to blocks without a bit lock their range.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/options.h"
#include "block/ranges.h"
#include "host/file.h"
#include "host/mem.h"

enum { BLOCK = 4096, BITS = 64 };
/* The bits of this many bytes take 2 GiB of address space, and memory only where they are set. */
static const uint64_t max_size = UINT64_C(1) << 46;

struct overlay {
    int fd;
    _Atomic uint64_t *bits; /**< by block; set: the temporary file has it */
    size_t bits_bytes;
    struct vm_ranges copying;
};

static const struct vm_blk_option open_options[] = {
    { "folder", VM_OPT_STR, "where the temporary file is made" },
    { 0 },
};

static bool present(const struct overlay *s, uint64_t block)
{
    return atomic_load_explicit(&s->bits[block / BITS], memory_order_acquire) >> block % BITS & 1;
}

static void mark(struct overlay *s, uint64_t first, uint64_t last)
{
    for (uint64_t b = first; b <= last; b++)
        atomic_fetch_or_explicit(&s->bits[b / BITS], UINT64_C(1) << b % BITS, memory_order_release);
}

/* Bytes from @p off on, at most @p len, that are all here or all below. */
static uint64_t run(const struct overlay *s, uint64_t off, uint64_t len, bool *here)
{
    uint64_t block = off / BLOCK;
    uint64_t n = BLOCK - off % BLOCK;
    *here = present(s, block);
    while (n < len) {
        block++;
        /* A word at a time where nothing changes. */
        const uint64_t word = atomic_load_explicit(&s->bits[block / BITS], memory_order_acquire);
        if (block % BITS == 0 && word == (*here ? UINT64_MAX : 0)) {
            n += (uint64_t)BLOCK * BITS;
            block += BITS - 1;
            continue;
        }
        if ((word >> block % BITS & 1) != *here)
            break;
        n += BLOCK;
    }
    return n < len ? n : len;
}

static int overlay_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct overlay *s = n->state;
    const uint64_t size = vm__blk_size(n->file);
    const char *folder = vm__opt_str(o, "folder");

    if (size > max_size)
        return vm__fail(VM_E_RANGE, "a temporary overlay of more than %d TiB", 1 << 6);
    s->fd = vm__file_temp(folder);
    if (s->fd < 0)
        return vm__fail_prefix(s->fd, "Could not create temporary overlay: ");
    const uint64_t blocks = (size + BLOCK - 1) / BLOCK;
    s->bits_bytes = (size_t)((blocks / BITS + 1) * sizeof(uint64_t));
    s->bits = vm__host_map(s->bits_bytes);
    int st = s->bits != NULL ? vm__file_truncate(s->fd, size) : VM_E_NOMEM;
    if (st != VM_OK) {
        vm__host_unmap((void *)s->bits, s->bits_bytes);
        vm__file_close(s->fd);
        return st;
    }
    vm__ranges_init(&s->copying);
    atomic_store(&n->size, size);
    n->flags &= ~(uint32_t)VM_OPEN_RO; /* whatever is below */
    return VM_OK;
}

static void overlay_close(struct vm_blk *n)
{
    struct overlay *s = n->state;
    vm__file_close(s->fd);
    vm__host_unmap((void *)s->bits, s->bits_bytes);
    vm__ranges_fini(&s->copying);
}

static int overlay_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct overlay *s = n->state;
    int st = VM_OK;
    while (st == VM_OK && len != 0) {
        bool here;
        const size_t part = (size_t)run(s, off, len, &here);
        st = here ? vm__file_readv(s->fd, off, part, sg, flags & VM_IO_NOWAIT)
                  : vm__blk_readv(n->file, off, part, sg, flags);
        off += part;
        len -= part;
        if (len != 0)
            sg = vm_sg_at(sg, part);
    }
    return st;
}

/* Have the bytes of a block that [off, off + len) does not cover in the temporary file. */
static int copy_up(struct vm_blk *n, uint64_t block, uint64_t off, uint64_t len)
{
    struct overlay *s = n->state;
    uint8_t buf[BLOCK];
    const uint64_t start = block * BLOCK, size = vm__blk_size(n);
    const size_t bytes = size - start < BLOCK ? (size_t)(size - start) : BLOCK;
    if (present(s, block) || (off <= start && off + len >= start + bytes))
        return VM_OK;
    struct vm_iov v = { buf, bytes };
    const int st = vm__blk_read(n->file, start, buf, bytes);
    return st == VM_OK
               ? vm__file_writev(s->fd, start, bytes, (struct vm_sg) { &v, 0 }, false, false)
               : st;
}

struct change {
    struct vm_blk *n;
    uint64_t off, len;
    struct vm_range range;
    bool locked;
};

/* Before bytes are changed: what stands beside them in new blocks is there. */
static int change_begin(struct change *c, uint32_t flags)
{
    struct overlay *s = c->n->state;
    bool here;
    c->locked = false;
    if (run(s, c->off, c->len, &here) == c->len && here)
        return VM_OK;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    const uint64_t first = c->off / BLOCK, last = (c->off + c->len - 1) / BLOCK;
    vm__ranges_lock(&s->copying, &c->range, first * BLOCK, (last - first + 1) * BLOCK);
    c->locked = true;
    int st = copy_up(c->n, first, c->off, c->len);
    if (st == VM_OK && last != first)
        st = copy_up(c->n, last, c->off, c->len);
    return st;
}

static int change_end(struct change *c, int st)
{
    struct overlay *s = c->n->state;
    if (!c->locked)
        return st;
    if (st == VM_OK)
        mark(s, c->off / BLOCK, (c->off + c->len - 1) / BLOCK);
    vm__ranges_unlock(&s->copying, &c->range);
    return st;
}

static int overlay_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                         uint32_t flags)
{
    struct overlay *s = n->state;
    struct change c = { .n = n, .off = off, .len = len };
    int st = change_begin(&c, flags);
    if (st == VM_OK)
        st = vm__file_writev(s->fd, off, len, sg, flags & VM_IO_NOWAIT, false);
    return st == VM_E_AGAIN && !c.locked ? st : change_end(&c, st);
}

static int overlay_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct overlay *s = n->state;
    struct change c = { .n = n, .off = off, .len = len };
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    int st = change_begin(&c, flags);
    if (st == VM_OK)
        st = vm__file_punch(s->fd, off, len);
    return change_end(&c, st);
}

/* What does not outlive the process need not be flushed. */
static int overlay_flush(struct vm_blk *n, uint32_t flags)
{
    (void)n;
    (void)flags;
    return VM_OK;
}

static int overlay_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    struct overlay *s = n->state;
    bool here;
    len = run(s, off, len, &here);
    if (!here)
        return vm__blk_status(n->file, off, len, e);
    *e = (struct vm_extent) {
        .length = len, .flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED, .file = n, /* for commit */
    };
    return VM_OK;
}

static int overlay_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    (void)n;
    (void)size;
    (void)p;
    (void)flags;
    return vm__fail(VM_E_NOTSUP, "a disk with a temporary overlay cannot change its size");
}

/* All of it is below now: forget. */
static int overlay_make_empty(struct vm_blk *n)
{
    struct overlay *s = n->state;
    const uint64_t size = vm__blk_size(n);
    for (size_t i = 0; i < s->bits_bytes / sizeof(uint64_t); i++)
        if (atomic_load(&s->bits[i]) != 0)
            atomic_store(&s->bits[i], 0);
    int st = vm__file_truncate(s->fd, 0);
    return st == VM_OK ? vm__file_truncate(s->fd, size) : st;
}

const struct vm_blk_driver vm__overlay_driver = {
    .name = "overlay",
    .summary = "Keeps writes in a temporary file",
    .kind = VM_BLK_FILTER,
    .can = VM_CAN_NOWAIT | VM_CAN_FUA,
    .state_size = sizeof(struct overlay),
    .open_options = open_options,
    .open = overlay_open,
    .close = overlay_close,
    .read = overlay_read,
    .write = overlay_write,
    .zero = overlay_zero,
    .discard = NULL,
    .flush = overlay_flush,
    .status = overlay_status,
    .truncate = overlay_truncate,
    .make_empty = overlay_make_empty,
};
