/* SPDX-License-Identifier: MIT */
/**
 * @file write_log.c
 * Filter "write-log": keeps a record of every change, to replay it up to any point.
 *
 * For power-cut tests: a disk that lost power holds everything up to some flush and any part of
 * what came after it. A record is written when its request has succeeded, a flush's record in
 * between no others that it does not cover.
 */
#include "blockfmt/write_log.h"

#include <pthread.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "block/env.h"
#include "block/options.h"

struct write_log {
    struct vm_blk *log;
    pthread_mutex_t lock; /**< requests come one at a time: their order is the log's */
    uint64_t end, number;
};

static const struct vm_blk_option open_options[] = {
    { "log", VM_OPT_STR, "node that the log is written to" },
    { 0 },
};

static int log_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct write_log *s = n->state;
    const char *name = vm__opt_str(o, "log");
    if (name == NULL)
        return vm__fail(VM_E_INVAL, "A block device must be specified for \"log\"");
    s->log = vm__blk_refer(n->env, (int)n->why, name);
    if (s->log == NULL)
        return vm_last_error()->code;
    s->end = vm__blk_size(s->log);
    n->children[n->n_children++] = s->log;
    pthread_mutex_init(&s->lock, NULL);
    atomic_store(&n->size, vm__blk_size(n->file));
    return VM_OK;
}

static void log_close(struct vm_blk *n)
{
    struct write_log *s = n->state;
    pthread_mutex_destroy(&s->lock);
}

static int append(struct write_log *s, enum vm_log_kind kind, uint32_t flags, uint64_t off,
                  uint64_t len, const struct vm_sg *sg)
{
    uint8_t head[VM_LOG_HEAD_BYTES];
    struct vm_iov v = { head, sizeof head };
    vm_put_le64(head, VM_LOG_MAGIC);
    vm_put_le32(head + 8, (uint32_t)kind);
    vm_put_le32(head + 12, flags & VM_IO_FUA ? 1 : 0);
    vm_put_le64(head + 16, off);
    vm_put_le64(head + 24, len);
    vm_put_le64(head + 32, s->number++);
    int st = vm__blk_writev(s->log, s->end, sizeof head, (struct vm_sg) { &v, 0 }, 0);
    s->end += sizeof head;
    if (st == VM_OK && sg != NULL) {
        st = vm__blk_writev(s->log, s->end, (size_t)len, *sg, 0);
        s->end += len;
    }
    return st;
}

static int log_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    return vm__blk_readv(n->file, off, len, sg, flags);
}

static int log_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct write_log *s = n->state;
    pthread_mutex_lock(&s->lock);
    int st = vm__blk_writev(n->file, off, len, sg, flags);
    if (st == VM_OK)
        st = append(s, VM_LOG_WRITE, flags, off, len, &sg);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static int log_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct write_log *s = n->state;
    pthread_mutex_lock(&s->lock);
    int st = vm__blk_zero(n->file, off, len, flags);
    if (st == VM_OK)
        st = append(s, VM_LOG_ZERO, flags, off, len, NULL);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static int log_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct write_log *s = n->state;
    pthread_mutex_lock(&s->lock);
    int st = vm__blk_discard(n->file, off, len, flags);
    if (st == VM_OK)
        st = append(s, VM_LOG_DISCARD, flags, off, len, NULL);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static int log_flush(struct vm_blk *n, uint32_t flags)
{
    struct write_log *s = n->state;
    pthread_mutex_lock(&s->lock);
    int st = vm__blk_flush(n->file, flags);
    if (st == VM_OK)
        st = append(s, VM_LOG_FLUSH, 0, 0, 0, NULL);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static int log_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    struct write_log *s = n->state;
    pthread_mutex_lock(&s->lock);
    int st = vm__blk_truncate(n->file, size, p, flags);
    if (st == VM_OK)
        st = append(s, VM_LOG_TRUNCATE, 0, size, 0, NULL);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static int log_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    return vm__blk_status(n->file, off, len, e);
}

const struct vm_blk_driver vm__write_log_driver = {
    .name = "write-log",
    .summary = "Records every change, in order",
    .kind = VM_BLK_FILTER,
    .can = VM_CAN_GROW | VM_CAN_FUA,
    .state_size = sizeof(struct write_log),
    .open_options = open_options,
    .open = log_open,
    .close = log_close,
    .read = log_read,
    .write = log_write,
    .zero = log_zero,
    .discard = log_discard,
    .flush = log_flush,
    .status = log_status,
    .truncate = log_truncate,
};
