/* SPDX-License-Identifier: MIT */
/**
 * @file null_co.c
 * Protocol "null-co": nothing is stored, everything is done at once. For measuring what is above.
 */
#include <string.h>

#include "base/error.h"
#include "block/options.h"

struct null {
    bool read_zeroes;
};

static const struct vm_blk_option open_options[] = {
    { "size", VM_OPT_SIZE, "size of the null block", "1G" },
    { "read-zeroes", VM_OPT_BOOL, "return zeroes when read", "off" },
    { "latency-ns", VM_OPT_U64, "accepted, and not waited for", "0" },
    { 0 },
};

static int null_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct null *s = n->state;
    uint64_t size = UINT64_C(1) << 30, latency = 0;
    int st = vm__opt_size(o, "size", &size);
    if (st == VM_OK)
        st = vm__opt_bool(o, "read-zeroes", &s->read_zeroes);
    if (st == VM_OK)
        st = vm__opt_u64(o, "latency-ns", &latency);
    (void)vm__opt_str(o, "filename");
    atomic_store(&n->size, size);
    return st;
}

static int null_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    const struct null *s = n->state;
    (void)off;
    (void)flags;
    if (s->read_zeroes)
        vm_sg_zero(sg, len);
    return VM_OK;
}

static int null_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    (void)n;
    (void)off;
    (void)len;
    (void)sg;
    (void)flags;
    return VM_OK;
}

static int null_range(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    (void)n;
    (void)off;
    (void)len;
    (void)flags;
    return VM_OK;
}

static int null_flush(struct vm_blk *n, uint32_t flags)
{
    (void)n;
    (void)flags;
    return VM_OK;
}

static int null_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    const struct null *s = n->state;
    *e = (struct vm_extent) {
        .length = len,
        .flags = VM_EXTENT_OFFSET | VM_EXTENT_ALLOCATED |
                 (s->read_zeroes ? VM_EXTENT_ZERO : VM_EXTENT_DATA),
        .offset = off,
        .file = n,
    };
    return VM_OK;
}

static int null_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    (void)n;
    (void)size;
    (void)p;
    (void)flags;
    return VM_OK;
}

static const char *const co_prefixes[] = { "null-co", NULL };
static const char *const aio_prefixes[] = { "null-aio", NULL };

#define NULL_DRIVER(words, prefix_list)                                                            \
    {                                                                                              \
        .name = words, .summary = "Nothing, quickly", .kind = VM_BLK_PROTOCOL,                     \
        .can = VM_CAN_NOWAIT | VM_CAN_FUA | VM_CAN_ROOTLESS, .state_size = sizeof(struct null),    \
        .prefixes = prefix_list, .open_options = open_options, .open = null_open,                  \
        .read = null_read, .write = null_write, .zero = null_range, .discard = null_range,         \
        .flush = null_flush, .status = null_status, .truncate = null_truncate                      \
    }

const struct vm_blk_driver vm__null_co_driver = NULL_DRIVER("null-co", co_prefixes);
const struct vm_blk_driver vm__null_aio_driver = NULL_DRIVER("null-aio", aio_prefixes);
