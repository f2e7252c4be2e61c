/* SPDX-License-Identifier: MIT */
/**
 * @file fs_ext_io.c
 * An io_manager of libext2fs over an image.
 */
#include "fs_ext.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

vm_blk *ext_io_disk;
static struct struct_io_manager manager;

static vm_blk *disk_of(io_channel c)
{
    return c->private_data;
}

static errcode_t io_open(const char *name, int flags, io_channel *out)
{
    io_channel c = calloc(1, sizeof *c);
    (void)flags;
    if (c == NULL || (c->name = strdup(name)) == NULL) {
        free(c);
        return EXT2_ET_NO_MEMORY;
    }
    c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    c->manager = &manager;
    c->block_size = 1024;
    c->refcount = 1;
    c->private_data = ext_io_disk;
    *out = c;
    return 0;
}

static errcode_t io_close(io_channel c)
{
    if (--c->refcount > 0)
        return 0;
    free(c->name);
    free(c);
    return 0;
}

static errcode_t io_blocksize(io_channel c, int size)
{
    c->block_size = size;
    return 0;
}

/* Where @p count blocks lie (negative: bytes), and that they do. */
static bool place(io_channel c, unsigned long long block, int count, uint64_t *off, uint64_t *len)
{
    const uint64_t size = (uint64_t)vm_blk_size(disk_of(c));
    *len = count < 0 ? (uint64_t) - (int64_t)count : (uint64_t)count * (unsigned)c->block_size;
    return !__builtin_mul_overflow(block, (uint64_t)c->block_size, off) && *off <= size &&
           *len <= size - *off;
}

static errcode_t io_read64(io_channel c, unsigned long long block, int count, void *data)
{
    uint64_t off, len;
    if (!place(c, block, count, &off, &len))
        return EXT2_ET_SHORT_READ;
    return vm_blk_read(disk_of(c), off, data, (size_t)len) == VM_OK ? 0 : EXT2_ET_SHORT_READ;
}

static errcode_t io_write64(io_channel c, unsigned long long block, int count, const void *data)
{
    uint64_t off, len;
    if (!place(c, block, count, &off, &len))
        return EXT2_ET_SHORT_WRITE;
    return vm_blk_write(disk_of(c), off, data, (size_t)len, 0) == VM_OK ? 0 : EXT2_ET_SHORT_WRITE;
}

static errcode_t io_read(io_channel c, unsigned long block, int count, void *data)
{
    return io_read64(c, block, count, data);
}

static errcode_t io_write(io_channel c, unsigned long block, int count, const void *data)
{
    return io_write64(c, block, count, data);
}

static errcode_t io_write_byte(io_channel c, unsigned long off, int count, const void *data)
{
    return vm_blk_write(disk_of(c), off, data, (size_t)count, 0) == VM_OK ? 0 : EXT2_ET_SHORT_WRITE;
}

static errcode_t io_flush(io_channel c)
{
    return vm_blk_flush(disk_of(c)) == VM_OK ? 0 : EXT2_ET_SHORT_WRITE;
}

static errcode_t io_zeroout(io_channel c, unsigned long long block, unsigned long long count)
{
    uint64_t off, len;
    if (count > INT32_MAX || !place(c, block, (int)count, &off, &len))
        return EXT2_ET_SHORT_WRITE;
    return vm_blk_zero(disk_of(c), off, len, 0) == VM_OK ? 0 : EXT2_ET_SHORT_WRITE;
}

static errcode_t io_discard(io_channel c, unsigned long long block, unsigned long long count)
{
    uint64_t off, len;
    if (count > INT32_MAX || !place(c, block, (int)count, &off, &len))
        return EXT2_ET_SHORT_WRITE;
    return vm_blk_discard(disk_of(c), off, len) == VM_OK ? 0 : EXT2_ET_UNIMPLEMENTED;
}

static struct struct_io_manager manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "libvm image",
    .open = io_open,
    .close = io_close,
    .set_blksize = io_blocksize,
    .read_blk = io_read,
    .write_blk = io_write,
    .flush = io_flush,
    .write_byte = io_write_byte,
    .read_blk64 = io_read64,
    .write_blk64 = io_write64,
    .discard = io_discard,
    .zeroout = io_zeroout,
};
io_manager const ext_io_manager = &manager;
