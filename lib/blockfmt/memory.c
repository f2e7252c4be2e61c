/* SPDX-License-Identifier: MIT */
/**
 * @file memory.c
 * Protocol "memory": a disk in this process, which takes memory where it was written.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/options.h"

enum { CHUNK = 64 * 1024 };
/* Of the table alone that is 8 bytes a chunk: 128 MiB. */
static const uint64_t max_size = UINT64_C(1) << 40;

struct memory {
    pthread_rwlock_t lock; /**< the table; not what is in the chunks */
    uint8_t **chunks;      /**< by offset / CHUNK; NULL: zeros */
    uint64_t n_chunks;
};

static const struct vm_blk_option open_options[] = {
    { "size", VM_OPT_SIZE, "bytes; it grows when written past its end", "0" },
    { 0 },
};

static int make_room(struct memory *s, uint64_t size)
{
    const uint64_t need = (size + CHUNK - 1) / CHUNK;
    if (need <= s->n_chunks)
        return VM_OK;
    if (size > max_size)
        return vm__fail(VM_E_NOSPC, "a disk in memory has at most %" PRIu64 " GiB", max_size >> 30);
    uint64_t room = s->n_chunks + s->n_chunks / 2;
    if (room < need)
        room = need;
    uint8_t **chunks = realloc(s->chunks, room * sizeof *chunks);
    if (chunks == NULL)
        return vm__fail_nomem(room * sizeof *chunks);
    memset(chunks + s->n_chunks, 0, (room - s->n_chunks) * sizeof *chunks);
    s->chunks = chunks;
    s->n_chunks = room;
    return VM_OK;
}

static int memory_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct memory *s = n->state;
    uint64_t size = 0;
    int st = vm__opt_size(o, "size", &size);
    (void)vm__opt_str(o, "filename");
    if (st == VM_OK)
        st = make_room(s, size);
    if (st != VM_OK)
        return st;
    pthread_rwlock_init(&s->lock, NULL);
    atomic_store(&n->size, size);
    return VM_OK;
}

static void memory_close(struct vm_blk *n)
{
    struct memory *s = n->state;
    for (uint64_t i = 0; i < s->n_chunks; i++)
        free(s->chunks[i]);
    free(s->chunks);
    pthread_rwlock_destroy(&s->lock);
}

static bool lock(struct memory *s, bool write, uint32_t flags)
{
    if (!(flags & VM_IO_NOWAIT))
        return (write ? pthread_rwlock_wrlock(&s->lock) : pthread_rwlock_rdlock(&s->lock)) == 0;
    return (write ? pthread_rwlock_trywrlock(&s->lock) : pthread_rwlock_tryrdlock(&s->lock)) == 0;
}

/* Bytes of [off, off + len) that lie in the chunk of @p off. */
static size_t in_chunk(uint64_t off, uint64_t len)
{
    const uint64_t rest = CHUNK - off % CHUNK;
    return (size_t)(rest < len ? rest : len);
}

static int memory_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct memory *s = n->state;
    if (!lock(s, false, flags))
        return VM_E_AGAIN;
    while (len != 0) {
        const size_t part = in_chunk(off, len);
        const uint8_t *c = off / CHUNK < s->n_chunks ? s->chunks[off / CHUNK] : NULL;
        if (c != NULL)
            vm_sg_put(sg, c + off % CHUNK, part);
        else
            vm_sg_zero(sg, part);
        off += part;
        len -= part;
        if (len != 0)
            sg = vm_sg_at(sg, part);
    }
    pthread_rwlock_unlock(&s->lock);
    return VM_OK;
}

/* Every chunk of the range is there. With the lock, for writing. */
static int fill(struct memory *s, uint64_t off, uint64_t len)
{
    int st = make_room(s, off + len);
    for (uint64_t i = off / CHUNK; st == VM_OK && i <= (off + len - 1) / CHUNK; i++)
        if (s->chunks[i] == NULL && (s->chunks[i] = calloc(1, CHUNK)) == NULL)
            st = vm__fail(VM_E_NOSPC, "no memory for the disk");
    return st;
}

static bool filled(const struct memory *s, uint64_t off, uint64_t len)
{
    if ((off + len - 1) / CHUNK >= s->n_chunks)
        return false;
    for (uint64_t i = off / CHUNK; i <= (off + len - 1) / CHUNK; i++)
        if (s->chunks[i] == NULL)
            return false;
    return true;
}

static int memory_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct memory *s = n->state;
    if (!lock(s, false, flags))
        return VM_E_AGAIN;
    if (!filled(s, off, len)) {
        pthread_rwlock_unlock(&s->lock);
        if (!lock(s, true, flags))
            return VM_E_AGAIN;
        const int st = fill(s, off, len);
        pthread_rwlock_unlock(&s->lock);
        if (st != VM_OK)
            return st;
        if (!lock(s, false, flags)) /* chunks stay once they are there, but for zero() */
            return VM_E_AGAIN;
        if (!filled(s, off, len)) {
            pthread_rwlock_unlock(&s->lock);
            return memory_write(n, off, len, sg, flags);
        }
    }
    while (len != 0) {
        const size_t part = in_chunk(off, len);
        vm_sg_get(sg, s->chunks[off / CHUNK] + off % CHUNK, part);
        off += part;
        len -= part;
        if (len != 0)
            sg = vm_sg_at(sg, part);
    }
    pthread_rwlock_unlock(&s->lock);
    return VM_OK;
}

static int memory_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct memory *s = n->state;
    if (!lock(s, true, flags))
        return VM_E_AGAIN;
    int st = make_room(s, off + len);
    while (st == VM_OK && len != 0) {
        const size_t part = in_chunk(off, len);
        uint8_t **c = &s->chunks[off / CHUNK];
        if (part == CHUNK) {
            free(*c);
            *c = NULL;
        } else if (*c != NULL) {
            memset(*c + off % CHUNK, 0, part);
        }
        off += part;
        len -= part;
    }
    pthread_rwlock_unlock(&s->lock);
    return st;
}

static int memory_flush(struct vm_blk *n, uint32_t flags)
{
    (void)n;
    (void)flags;
    return VM_OK;
}

static int memory_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    struct memory *s = n->state;
    pthread_rwlock_rdlock(&s->lock);
    const bool data = s->chunks[off / CHUNK] != NULL;
    uint64_t length = in_chunk(off, len);
    while (length < len && (s->chunks[(off + length) / CHUNK] != NULL) == data)
        length += in_chunk(off + length, len - length);
    pthread_rwlock_unlock(&s->lock);
    *e = (struct vm_extent) {
        .length = length,
        .flags = VM_EXTENT_ALLOCATED | VM_EXTENT_OFFSET | (data ? VM_EXTENT_DATA : VM_EXTENT_ZERO),
        .offset = off,
        .file = n,
    };
    return VM_OK;
}

static int memory_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    struct memory *s = n->state;
    const uint64_t old = vm__blk_size(n);
    (void)p;
    if (size < old) /* what comes back when it grows again is zeros */
        return memory_zero(n, size, old - size, flags);
    pthread_rwlock_wrlock(&s->lock);
    const int st = make_room(s, size);
    pthread_rwlock_unlock(&s->lock);
    return st;
}

static const char *const prefixes[] = { "memory", NULL };

const struct vm_blk_driver vm__memory_driver = {
    .name = "memory",
    .summary = "A disk in memory, gone when it is closed",
    .kind = VM_BLK_PROTOCOL,
    .can = VM_CAN_GROW | VM_CAN_NOWAIT | VM_CAN_ZERO_INIT | VM_CAN_FUA | VM_CAN_ROOTLESS,
    .state_size = sizeof(struct memory),
    .prefixes = prefixes,
    .open_options = open_options,
    .open = memory_open,
    .close = memory_close,
    .read = memory_read,
    .write = memory_write,
    .zero = memory_zero,
    .discard = memory_zero,
    .flush = memory_flush,
    .status = memory_status,
    .truncate = memory_truncate,
};
