/* SPDX-License-Identifier: MIT */
/**
 * @file file.c
 * Protocols "file" and "host_device": a file or a block device of the host.
 *
 * Bytes in the page cache are served without waiting; what holes there are is remembered, since
 * asking the file system costs as much as reading. Opened past the page cache, requests go through
 * aligned memory where they are not aligned themselves.
 *
 * Locks: see blockfmt/file_lock.h.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/file_lock.h"
#include "host/file.h"

enum { EXTENTS = 64, BOUNCE_BYTES = 1 << 20 };

struct extent {
    uint64_t off, end;
    bool data;
};

struct file {
    int fd;
    bool locks;
    bool regular;
    uint32_t align; /**< of requests past the page cache; 1: none */
    uint32_t align_mem;
    _Atomic uint64_t changes; /**< that have been made: counted when one is done… */
    _Atomic uint64_t synced;  /**< …and as many of them are on stable storage */
    _Atomic bool no_zero;     /**< the file system has no ZERO_RANGE */
    _Atomic bool no_punch;    /**< nor holes */
    _Atomic uint32_t holes;   /**< extents in the cache that are holes: writes must look */
    _Atomic uint64_t epoch;   /**< of the cache: counts writes into holes */
    pthread_mutex_t lock;     /**< the cache */
    struct extent extents[EXTENTS];
    uint32_t n_extents, victim;
    pthread_mutex_t rmw_lock; /**< unaligned writes past the page cache */
};

/* ---- what is known of holes ------------------------------------------------------------- */

static bool cache_find(struct file *f, uint64_t off, bool *data, uint64_t *end)
{
    bool found = false;
    pthread_mutex_lock(&f->lock);
    for (uint32_t i = 0; i < f->n_extents && !found; i++)
        if (off >= f->extents[i].off && off < f->extents[i].end) {
            *data = f->extents[i].data;
            *end = f->extents[i].end;
            found = true;
        }
    pthread_mutex_unlock(&f->lock);
    return found;
}

static void drop_extent(struct file *f, uint32_t i)
{
    if (!f->extents[i].data)
        atomic_fetch_sub(&f->holes, 1);
    f->extents[i] = f->extents[--f->n_extents];
}

/* @p epoch: before the file system was asked; what was written since may have filled it. */
static void cache_add(struct file *f, struct extent e, uint64_t epoch)
{
    pthread_mutex_lock(&f->lock);
    if (atomic_load(&f->epoch) == epoch) {
        if (f->n_extents == EXTENTS)
            drop_extent(f, f->victim++ % EXTENTS);
        if (!e.data)
            atomic_fetch_add(&f->holes, 1);
        f->extents[f->n_extents++] = e;
    }
    pthread_mutex_unlock(&f->lock);
}

/* Bytes there change between data and hole. */
static void cache_forget(struct file *f, uint64_t off, uint64_t len, bool holes_only)
{
    atomic_fetch_add(&f->epoch, 1);
    if (holes_only && atomic_load(&f->holes) == 0)
        return;
    pthread_mutex_lock(&f->lock);
    for (uint32_t i = f->n_extents; i-- != 0;)
        if (f->extents[i].off < off + len && off < f->extents[i].end &&
            !(holes_only && f->extents[i].data))
            drop_extent(f, i);
    pthread_mutex_unlock(&f->lock);
}

static int file_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    struct file *f = n->state;
    bool data = true;
    uint64_t end = off + len;

    /* A device has no holes, and another process may fill those of a file that is shared. */
    const bool cached = !(n->flags & (VM_OPEN_SHARE | VM_OPEN_SHARE_RW)) && f->locks;
    if (f->regular && !(cached && cache_find(f, off, &data, &end))) {
        const uint64_t epoch = atomic_load(&f->epoch);
        const int st = vm__file_extent(f->fd, off, vm__blk_size(n), &data, &end);
        if (st == VM_OK && end > off)
            cache_add(f, (struct extent) { off, end, data }, epoch);
        else if (st != VM_OK && st != VM_E_NOTSUP)
            return st;
        else
            end = off + len;
    }
    *e = (struct vm_extent) {
        .length = end - off < len ? end - off : len,
        .flags = VM_EXTENT_ALLOCATED | VM_EXTENT_OFFSET | (data ? VM_EXTENT_DATA : VM_EXTENT_ZERO),
        .offset = off,
        .file = n,
    };
    return VM_OK;
}

/* ---- past the page cache ---------------------------------------------------------------- */

static bool aligned(const struct file *f, uint64_t off, size_t len, struct vm_sg sg)
{
    if (f->align == 1)
        return true;
    if (((off | len) & (f->align - 1)) != 0)
        return false;
    while (len != 0) {
        size_t run = vm_sg_run(sg);
        if (run > len)
            run = len;
        if (run != 0 && (((uintptr_t)vm_sg_ptr(sg) & (f->align_mem - 1)) | (run & (f->align - 1))))
            return false;
        len -= run;
        if (len != 0) {
            sg.iov++;
            sg.skip = 0;
        }
    }
    return true;
}

static void *bounce(const struct file *f, size_t *bytes)
{
    void *p = NULL;
    *bytes = BOUNCE_BYTES;
    if (posix_memalign(&p, f->align_mem > 64 ? f->align_mem : 64, *bytes) != 0) {
        vm__fail_nomem(*bytes);
        return NULL;
    }
    return p;
}

static int read_bounced(struct file *f, uint64_t off, size_t len, struct vm_sg sg)
{
    size_t room;
    uint8_t *buf = bounce(f, &room);
    int st = buf != NULL ? VM_OK : VM_E_NOMEM;
    while (st == VM_OK && len != 0) {
        const uint64_t start = off & ~(uint64_t)(f->align - 1);
        const size_t skip = (size_t)(off - start);
        size_t part = room - skip < len ? room - skip : len;
        const size_t whole = (skip + part + f->align - 1) & ~(size_t)(f->align - 1);
        struct vm_iov v = { buf, whole };
        st = vm__file_readv(f->fd, start, whole, (struct vm_sg) { &v, 0 }, false);
        if (st != VM_OK)
            break;
        vm_sg_put(sg, buf + skip, part);
        off += part;
        len -= part;
        if (len != 0)
            sg = vm_sg_at(sg, part);
    }
    free(buf);
    return st;
}

/* What is beside an unaligned write in its blocks is read and written back, one at a time. */
static int write_bounced(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg)
{
    struct file *f = n->state;
    size_t room;
    uint8_t *buf = bounce(f, &room);
    int st = buf != NULL ? VM_OK : VM_E_NOMEM;
    const uint64_t old_size = vm__blk_size(n);
    uint64_t end = 0;
    pthread_mutex_lock(&f->rmw_lock);
    while (st == VM_OK && len != 0) {
        const uint64_t start = off & ~(uint64_t)(f->align - 1);
        const size_t skip = (size_t)(off - start);
        const size_t part = room - skip < len ? room - skip : len;
        const size_t whole = (skip + part + f->align - 1) & ~(size_t)(f->align - 1);
        struct vm_iov v = { buf, whole };
        struct vm_sg all = { &v, 0 };
        if (skip != 0 || part != whole)
            st = vm__file_readv(f->fd, start, whole, all, false);
        if (st != VM_OK)
            break;
        vm_sg_get(sg, buf + skip, part);
        st = vm__file_writev(f->fd, start, whole, all, false, false);
        end = start + whole;
        off += part;
        len -= part;
        if (len != 0)
            sg = vm_sg_at(sg, part);
    }
    /* The last block may have made the file longer than what was written. */
    const uint64_t size = off > old_size ? off : old_size;
    if (st == VM_OK && f->regular && end > size)
        st = vm__file_truncate(f->fd, size);
    pthread_mutex_unlock(&f->rmw_lock);
    free(buf);
    return st;
}

/* ---- bytes ------------------------------------------------------------------------------ */

static int file_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct file *f = n->state;
    if (aligned(f, off, len, sg))
        return vm__file_readv(f->fd, off, len, sg, flags & VM_IO_NOWAIT);
    return flags & VM_IO_NOWAIT ? VM_E_AGAIN : read_bounced(f, off, len, sg);
}

static int file_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct file *f = n->state;
    const bool sync = flags & VM_IO_FUA;
    int st;
    if (aligned(f, off, len, sg))
        st = vm__file_writev(f->fd, off, len, sg, flags & VM_IO_NOWAIT, sync);
    else if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    else if ((st = write_bounced(n, off, len, sg)) == VM_OK && sync)
        st = vm__file_sync(f->fd);
    if (st != VM_E_AGAIN) {
        cache_forget(f, off, len, true);
        atomic_fetch_add(&f->changes, 1);
    }
    return st;
}

/* A change counts when it is done and not before, and a flush covers what had been counted when it
 * began: so neither a flush beside a write nor one beside another flush promises too much. */
static int file_flush(struct vm_blk *n, uint32_t flags)
{
    struct file *f = n->state;
    const uint64_t changes = atomic_load(&f->changes);
    uint64_t synced = atomic_load(&f->synced);
    if (synced >= changes)
        return VM_OK;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    const int st = vm__file_sync(f->fd);
    while (st == VM_OK && synced < changes &&
           !atomic_compare_exchange_weak(&f->synced, &synced, changes)) {
    }
    return st;
}

static int try_punch(struct file *f, uint64_t off, uint64_t len)
{
    if (!f->regular || atomic_load(&f->no_punch))
        return VM_E_NOTSUP;
    const int st = vm__file_punch(f->fd, off, len);
    if (st == VM_E_NOTSUP)
        atomic_store(&f->no_punch, true);
    return st;
}

static int file_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct file *f = n->state;
    const uint64_t size = vm__blk_size(n);
    int st = VM_E_NOTSUP;

    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    if (f->regular && off >= size) /* new: a hole is as good */
        st = vm__file_truncate(f->fd, off + len);
    else if ((flags & VM_IO_UNMAP) && off + len <= size)
        st = try_punch(f, off, len);
    if (st == VM_E_NOTSUP && f->regular && !atomic_load(&f->no_zero)) {
        st = vm__file_allocate(f->fd, off, len, true);
        if (st == VM_E_NOTSUP)
            atomic_store(&f->no_zero, true);
    }
    /* Without ZERO_RANGE: a hole, and storage for it again. */
    if (st == VM_E_NOTSUP && off + len <= size && (st = try_punch(f, off, len)) == VM_OK &&
        !(flags & VM_IO_UNMAP))
        st = vm__file_allocate(f->fd, off, len, false) == VM_E_NOSPC ? VM_E_NOSPC : VM_OK;
    cache_forget(f, off, len, false);
    atomic_fetch_add(&f->changes, 1);
    if (st == VM_OK && (flags & VM_IO_FUA))
        st = vm__file_sync(f->fd);
    return st;
}

static int file_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct file *f = n->state;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    const int st = f->regular ? try_punch(f, off, len) : vm__file_trim(f->fd, off, len);
    cache_forget(f, off, len, false);
    atomic_fetch_add(&f->changes, 1);
    return st;
}

static int file_copy_to(struct vm_blk *n, uint64_t off, struct vm_blk *to, uint64_t to_off,
                        uint64_t len, uint32_t flags)
{
    struct file *f = n->state, *t = to->state;
    uint64_t done = 0;
    if (to->drv != n->drv || !f->regular || !t->regular || (flags & VM_IO_NOWAIT))
        return VM_E_NOTSUP;
    const int st = vm__file_copy(f->fd, off, t->fd, to_off, len, &done);
    atomic_fetch_add(&t->changes, 1);
    if (done != 0)
        cache_forget(t, to_off, done, true);
    return st;
}

/* ---- size ------------------------------------------------------------------------------- */

static int fill(struct vm_blk *n, uint64_t from, uint64_t to)
{
    struct file *f = n->state;
    static const uint8_t zeros[64 * 1024];
    struct vm_iov v = { (void *)(uintptr_t)zeros, sizeof zeros };
    int st = VM_OK;
    while (st == VM_OK && from < to) {
        const size_t part = to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;
        st = f->align == 1
                 ? vm__file_writev(f->fd, from, part, (struct vm_sg) { &v, 0 }, false, false)
                 : write_bounced(n, from, part, (struct vm_sg) { &v, 0 });
        from += part;
    }
    return st == VM_OK ? vm__file_sync(f->fd) : st;
}

static int file_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    struct file *f = n->state;
    const uint64_t old = vm__blk_size(n);
    int st = VM_OK;
    (void)flags;

    if (!f->regular)
        return size <= old ? VM_OK : vm__fail(VM_E_NOTSUP, "Cannot grow device files");
    if (p == VM_PREALLOC_METADATA)
        return vm__fail(VM_E_NOTSUP, "Unsupported preallocation mode 'metadata'");
    if (p != VM_PREALLOC_OFF && size < old)
        return vm__fail(VM_E_NOTSUP, "Preallocation can't be used for shrinking files");
    cache_forget(f, 0, UINT64_MAX / 2, false);
    if (p == VM_PREALLOC_FALLOC && size > old) {
        st = vm__file_allocate(f->fd, old, size - old, false);
        if (st == VM_OK || st == VM_E_NOTSUP)
            st = vm__file_truncate(f->fd, size);
    } else {
        st = vm__file_truncate(f->fd, size);
    }
    if (st == VM_OK && p == VM_PREALLOC_FULL)
        st = fill(n, old, size);
    atomic_fetch_add(&f->changes, 1);
    return st == VM_OK ? VM_OK : vm__fail_prefix(st, "Could not resize file: ");
}

static int file_info(struct vm_blk *n, struct vm_blk_info *out)
{
    struct vm_file_info info;
    struct file *f = n->state;
    const int st = vm__file_info(f->fd, &info);
    if (st == VM_OK)
        out->allocated = info.allocated;
    return st;
}

/* ---- opening ---------------------------------------------------------------------------- */

static const char *const lock_choices[] = { "auto", "off", "on", NULL };
static const char *const aio_choices[] = { "threads", "native", "io_uring", NULL };

static const struct vm_blk_option open_options[] = {
    { "filename", VM_OPT_STR, "file name of the image" },
    { "locking", VM_OPT_ENUM, "file locking mode (on/off/auto, default: auto)", "auto",
      lock_choices },
    { "aio", VM_OPT_ENUM, "accepted, and decided by measurement instead", "threads", aio_choices },
    { 0 },
};

static int open_fd(struct vm_blk *n, uint32_t flags)
{
    const unsigned how =
        (flags & VM_OPEN_RO ? 0 : VM_FILE_WRITE) | (flags & VM_OPEN_DIRECT ? VM_FILE_DIRECT : 0);
    const int fd = vm__env_open_file(n->env, n->filename, vm__file_flags(how), (int)n->why);
    if (fd == VM_E_PERM && !(flags & VM_OPEN_RO) && (flags & VM_OPEN_AUTO_RO)) {
        n->flags |= VM_OPEN_RO;
        return open_fd(n, flags | VM_OPEN_RO);
    }
    if (fd < 0)
        vm__fail_prefix(fd, "Could not open '%.200s': ", n->filename);
    return fd;
}

static int check_kind(const struct vm_blk *n, const struct vm_file_info *info)
{
    if (strcmp(n->drv->name, "file") == 0)
        return info->kind == VM_FILE_REGULAR || info->kind == VM_FILE_BLOCK
                   ? VM_OK
                   : vm__fail(VM_E_INVAL, "'file' driver requires '%.200s' to be a regular file",
                              n->filename);
    return info->kind == VM_FILE_BLOCK || info->kind == VM_FILE_CHAR
               ? VM_OK
               : vm__fail(VM_E_INVAL,
                          "'%s' driver requires '%.200s' to be either a character or block device",
                          n->drv->name, n->filename);
}

static int look_at(struct vm_blk *n, int fd)
{
    struct file *f = n->state;
    struct vm_file_info info;
    int st = vm__file_info(fd, &info);
    if (st == VM_OK)
        st = check_kind(n, &info);
    if (st != VM_OK)
        return st;
    f->regular = info.kind == VM_FILE_REGULAR;
    const bool direct = n->flags & VM_OPEN_DIRECT;
    f->align = direct && info.align != 0 ? info.align : 1;
    f->align_mem = info.align_mem != 0 ? info.align_mem : 4096;
    n->id[0] = info.id[0];
    n->id[1] = info.id[1];
    atomic_store(&n->size, info.size);
    if (f->locks)
        st = vm__file_take_locks(fd, n->flags);
    return st;
}

/* "file:a" is a; where that looks like a protocol again, "./a" (the prefix has room for it). */
static void strip_prefix(char *name)
{
    const char *rest = name + 5;
    const bool again = rest[strcspn(rest, ":/")] == ':';
    memmove(again ? name + 2 : name, rest, strlen(rest) + 1);
    if (again) {
        name[0] = '.';
        name[1] = '/';
    }
}

static int file_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct file *f = n->state;
    uint32_t locking = 0, aio = 0;
    int st = vm__opt_enum(o, "locking", lock_choices, &locking);
    if (st == VM_OK)
        st = vm__opt_enum(o, "aio", aio_choices, &aio);
    if (st != VM_OK)
        return st;
    if (n->filename == NULL || *n->filename == '\0')
        return vm__fail(VM_E_INVAL, "The '%s' block driver requires a file name", n->drv->name);
    if (strncmp(n->filename, "file:", 5) == 0)
        strip_prefix(n->filename);
    f->fd = open_fd(n, n->flags);
    if (f->fd < 0)
        return f->fd;
    f->locks = locking != 1;
    st = look_at(n, f->fd);
    if (st != VM_OK) {
        vm__file_close(f->fd);
        return st;
    }
    pthread_mutex_init(&f->lock, NULL);
    pthread_mutex_init(&f->rmw_lock, NULL);
    return VM_OK;
}

static void file_close(struct vm_blk *n)
{
    struct file *f = n->state;
    vm__file_close(f->fd);
    pthread_mutex_destroy(&f->lock);
    pthread_mutex_destroy(&f->rmw_lock);
}

static int file_reopen(struct vm_blk *n, uint32_t flags)
{
    struct file *f = n->state;
    const uint32_t old = n->flags;
    const int fd = open_fd(n, flags & ~(uint32_t)VM_OPEN_AUTO_RO);
    if (fd < 0)
        return fd;
    /* Locks belong to the open file: ours of before would be in the way of ours. */
    const int before = f->fd;
    int st = VM_OK;
    if (f->locks) {
        vm__file_unlock(before, 100, 200);
        st = vm__file_take_locks(fd, flags);
        if (st != VM_OK)
            (void)vm__file_take_locks(before, old);
    }
    if (st == VM_OK)
        f->fd = fd;
    vm__file_close(st == VM_OK ? before : fd);
    return st;
}

/* ---- making ----------------------------------------------------------------------------- */

static const char *const prealloc_choices[] = { "off", "falloc", "full", NULL };

static const struct vm_blk_option create_options[] = {
    { "size", VM_OPT_SIZE, "Virtual disk size" },
    { "preallocation", VM_OPT_ENUM, "Preallocation mode (allowed values: off, falloc, full)", NULL,
      prealloc_choices },
    { "nocow", VM_OPT_BOOL, "Turn off copy-on-write (valid only on btrfs)" },
    { "extent_size_hint", VM_OPT_SIZE, "Extent size hint for the image file, 0 to disable" },
    { 0 },
};

static int file_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    const unsigned how = VM_FILE_WRITE | VM_FILE_CREATE;
    const char *name = strncmp(c->name, "file:", 5) == 0 ? c->name + 5 : c->name;
    struct vm_file_info info;
    int fd = vm__env_open_file(env, name, vm__file_flags(how | VM_FILE_NEW), VM_WHY_CREATE);
    c->made = fd >= 0;
    if (fd == VM_E_BUSY)
        fd = vm__env_open_file(env, name, vm__file_flags(how), VM_WHY_CREATE);
    if (fd < 0)
        return vm__fail_prefix(fd, "Could not create '%.200s': ", name);
    int st = vm__file_info(fd, &info);
    if (st == VM_OK && info.kind != VM_FILE_REGULAR && info.kind != VM_FILE_BLOCK)
        st = vm__fail(VM_E_INVAL, "'%.200s' is not a regular file", name);
    if (st == VM_OK)
        st = vm__file_take_locks(fd, 0);
    if (st == VM_OK && info.kind == VM_FILE_REGULAR) {
        st = info.size != 0 ? vm__file_truncate(fd, 0) : VM_OK;
        if (st == VM_OK && c->size != 0)
            st = vm__file_truncate(fd, c->size);
    }
    vm__file_close(fd);
    return st;
}

static int file_remove(struct vm_blk_env *env, const char *name)
{
    (void)env;
    return vm__file_remove(strncmp(name, "file:", 5) == 0 ? name + 5 : name);
}

static const char *const file_prefixes[] = { "file", NULL };
static const char *const device_prefixes[] = { "host_device", NULL };
static const char *const cdrom_prefixes[] = { "host_cdrom", NULL };

const struct vm_blk_driver vm__file_driver = {
    .name = "file",
    .summary = "A file of the host",
    .kind = VM_BLK_PROTOCOL,
    .can = VM_CAN_GROW | VM_CAN_NOWAIT | VM_CAN_ZERO_INIT | VM_CAN_FUA,
    .state_size = sizeof(struct file),
    .prefixes = file_prefixes,
    .open_options = open_options,
    .create_options = create_options,
    .open = file_open,
    .close = file_close,
    .read = file_read,
    .write = file_write,
    .zero = file_zero,
    .discard = file_discard,
    .flush = file_flush,
    .status = file_status,
    .copy_to = file_copy_to,
    .truncate = file_truncate,
    .info = file_info,
    .reopen = file_reopen,
    .create = file_create,
    .remove = file_remove,
};

/* Drives and disks of the host: the same, by two names. */
#define DEVICE(text, line, names)                                                                  \
    {                                                                                              \
        .name = text, .summary = line, .kind = VM_BLK_PROTOCOL, .can = VM_CAN_NOWAIT | VM_CAN_FUA, \
        .state_size = sizeof(struct file), .prefixes = names, .open_options = open_options,        \
        .open = file_open, .close = file_close, .read = file_read, .write = file_write,            \
        .zero = file_zero, .discard = file_discard, .flush = file_flush, .status = file_status,    \
        .truncate = file_truncate, .info = file_info, .reopen = file_reopen,                       \
    }

const struct vm_blk_driver vm__host_device_driver =
    DEVICE("host_device", "A block device of the host", device_prefixes);
const struct vm_blk_driver vm__host_cdrom_driver =
    DEVICE("host_cdrom", "A CD drive of the host", cdrom_prefixes);
