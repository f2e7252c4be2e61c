/* SPDX-License-Identifier: MIT */
/**
 * @file raw.c
 * Format "raw": the bytes as they are, or a stretch of them.
 *
 * An image whose format was guessed to be raw stays raw: a guest that wrote the mark of another
 * format into its first sector would have it opened as that, with whatever backing file it names,
 * the next time. Such a write is refused.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/options.h"

enum { FIRST_SECTOR = 512 };

struct raw {
    uint64_t offset; /**< of the image's first byte in the file */
    bool bounded;    /**< a size was given */
};

static const struct vm_blk_option open_options[] = {
    { "offset", VM_OPT_SIZE, "where in the file the image begins", "0" },
    { "size", VM_OPT_SIZE, "its size, if not all of the rest" },
    { 0 },
};

static int raw_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct raw *s = n->state;
    const uint64_t whole = vm__blk_size(n->file);
    uint64_t size = 0;
    int st = vm__opt_size(o, "offset", &s->offset);
    if (st == VM_OK)
        st = vm__opt_size(o, "size", &size);
    if (st != VM_OK)
        return st;
    if (s->offset > whole)
        return vm__fail(VM_E_INVAL,
                        "The offset of %" PRIu64 " exceeds the size of the containing file "
                        "(%" PRIu64 ")",
                        s->offset, whole);
    s->bounded = vm__opt_has(o, "size");
    if (s->bounded && size > whole - s->offset)
        return vm__fail(VM_E_INVAL,
                        "The sum of offset (%" PRIu64 ") and size (%" PRIu64 ") has to be smaller "
                        "or equal to the actual size of the containing file (%" PRIu64 ")",
                        s->offset, size, whole);
    atomic_store(&n->size, s->bounded ? size : whole - s->offset);
    return VM_OK;
}

static uint64_t at(const struct vm_blk *n, uint64_t off)
{
    const struct raw *s = n->state;
    return s->offset + off;
}

static int raw_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    if (!(flags & VM_IO_NOWAIT))
        vm__blk_event(n->file, "read_aio");
    return vm__blk_readv(n->file, at(n, off), len, sg, flags);
}

static int keep_raw(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    uint8_t head[FIRST_SECTOR] = { 0 };
    if (!n->probed || off >= FIRST_SECTOR)
        return VM_OK;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    const size_t rest = FIRST_SECTOR - (size_t)off, part = len < rest ? len : rest;
    const uint64_t size = vm__blk_size(n);
    const size_t have = size < sizeof head ? (size_t)size : sizeof head;
    const int st = vm__blk_read(n->file, at(n, 0), head, have);
    if (st != VM_OK)
        return st;
    vm_sg_get(sg, head + off, part);
    const struct vm_blk_driver *d = vm__blk_probe(n->env, head, have, size, "");
    return d == n->drv ? VM_OK
                       : vm__fail(VM_E_PERM,
                                  "the format was guessed to be raw, and a first "
                                  "sector of format %s would change that",
                                  d->name);
}

static int raw_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    const int st = keep_raw(n, off, len, sg, flags);
    if (st == VM_OK && !(flags & VM_IO_NOWAIT))
        vm__blk_event(n->file, "write_aio");
    return st == VM_OK ? vm__blk_writev(n->file, at(n, off), len, sg, flags) : st;
}

static int raw_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return vm__blk_zero(n->file, at(n, off), len, flags);
}

static int raw_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    return vm__blk_discard(n->file, at(n, off), len, flags);
}

static int raw_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    const int st = vm__blk_status(n->file, at(n, off), len, e);
    if (st != VM_OK)
        return st;
    if (!(e->flags & VM_EXTENT_OFFSET)) {
        e->offset = at(n, off);
        e->file = n->file;
    }
    e->flags = (e->flags | VM_EXTENT_OFFSET | VM_EXTENT_ALLOCATED) & ~(uint32_t)VM_EXTENT_EOF;
    return VM_OK;
}

static int raw_copy_to(struct vm_blk *n, uint64_t off, struct vm_blk *to, uint64_t to_off,
                       uint64_t len, uint32_t flags)
{
    return vm__blk_copy(n->file, at(n, off), to, to_off, len, flags);
}

static int raw_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    const struct raw *s = n->state;
    if (s->bounded)
        return vm__fail(VM_E_NOTSUP, "Cannot resize fixed-size raw disks");
    if (size > VM_BLK_MAX_SIZE - s->offset)
        return vm__fail(VM_E_RANGE, "Disk size too large for the chosen offset");
    return vm__blk_truncate(n->file, size + s->offset, p, flags);
}

static int raw_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)head;
    (void)len;
    (void)size;
    (void)name;
    return 1; /* it may always be, and if it is nothing else it is */
}

static int raw_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    static const char *const modes[] = { "off", "metadata", "falloc", "full", NULL };
    uint32_t mode = VM_PREALLOC_OFF;
    int st = vm__opt_enum(c->file_options, "preallocation", modes, &mode);
    (void)env;
    if (st == VM_OK)
        st = vm__create_file(c);
    return st == VM_OK ? vm__blk_truncate(c->file, c->size, (enum vm_prealloc)mode, 0) : st;
}

static int raw_measure(struct vm_blk_env *env, struct vm_blk_create *c, struct vm_blk *source,
                       struct vm_blk_measure *out)
{
    (void)env;
    const uint64_t size = source != NULL ? vm__blk_size(source) : c->size;
    *out = (struct vm_blk_measure) { .required = size, .fully_allocated = size };
    return VM_OK;
}

static const struct vm_blk_option create_options[] = { { 0 } };

const struct vm_blk_driver vm__raw_driver = {
    .name = "raw",
    .summary = "The bytes as they are",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_NOWAIT | VM_CAN_ZERO_INIT | VM_CAN_FUA,
    .state_size = sizeof(struct raw),
    .open_options = open_options,
    .create_options = create_options,
    .probe = raw_probe,
    .open = raw_open,
    .read = raw_read,
    .write = raw_write,
    .zero = raw_zero,
    .discard = raw_discard,
    .status = raw_status,
    .copy_to = raw_copy_to,
    .truncate = raw_truncate,
    .create = raw_create,
    .measure = raw_measure,
};
