/* SPDX-License-Identifier: MIT */
/**
 * @file throttle.c
 * Filter "throttle": bytes and requests a second.
 *
 * Each limit is a time: when the next request may start. A request moves it on by what it costs, so
 * that after idling at most a tenth of a second's worth goes through at once.
 */
#include <pthread.h>
#include <time.h>

#include "base/error.h"
#include "block/options.h"
#include "host/time.h"

enum { READS = 0, WRITES, TOTAL, WAYS };
static const uint64_t second = 1000000000, burst_ns = 100000000;

struct limit {
    uint64_t per_second; /* 0: none */
    uint64_t next_ns;
};

struct throttle {
    pthread_mutex_t lock;
    struct limit bytes[WAYS], requests[WAYS];
};

static const struct vm_blk_option open_options[] = {
    { "bps-total", VM_OPT_SIZE, "bytes a second", "0" },
    { "bps-read", VM_OPT_SIZE, "bytes read a second", "0" },
    { "bps-write", VM_OPT_SIZE, "bytes written a second", "0" },
    { "iops-total", VM_OPT_U64, "requests a second", "0" },
    { "iops-read", VM_OPT_U64, "reads a second", "0" },
    { "iops-write", VM_OPT_U64, "writes a second", "0" },
    { 0 },
};

static int throttle_open(struct vm_blk *n, struct vm_blk_options *o)
{
    static const char *const bytes[WAYS] = { "bps-read", "bps-write", "bps-total" };
    static const char *const requests[WAYS] = { "iops-read", "iops-write", "iops-total" };
    struct throttle *s = n->state;
    int st = VM_OK;
    for (int i = 0; st == VM_OK && i < WAYS; i++) {
        st = vm__opt_size(o, bytes[i], &s->bytes[i].per_second);
        if (st == VM_OK)
            st = vm__opt_u64(o, requests[i], &s->requests[i].per_second);
    }
    if (st != VM_OK)
        return st;
    pthread_mutex_init(&s->lock, NULL);
    atomic_store(&n->size, vm__blk_size(n->file));
    return VM_OK;
}

static void throttle_close(struct vm_blk *n)
{
    struct throttle *s = n->state;
    pthread_mutex_destroy(&s->lock);
}

/* When a request of this cost may start. */
static uint64_t book(struct limit *l, uint64_t now, uint64_t cost)
{
    if (l->per_second == 0)
        return now;
    const uint64_t floor = now > burst_ns ? now - burst_ns : 0;
    if (l->next_ns < floor)
        l->next_ns = floor;
    const uint64_t start = l->next_ns;
    const uint64_t whole = cost / l->per_second, rest = cost % l->per_second;
    l->next_ns +=
        whole * second + (uint64_t)((double)rest * (double)second / (double)l->per_second);
    return start;
}

static void wait_turn(struct throttle *s, int way, uint64_t bytes)
{
    const uint64_t now = vm__host_ns();
    uint64_t start = now;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < 2; i++) {
        const int w = i == 0 ? way : TOTAL;
        const uint64_t a = book(&s->bytes[w], now, bytes), b = book(&s->requests[w], now, 1);
        start = a > start ? a : start;
        start = b > start ? b : start;
    }
    pthread_mutex_unlock(&s->lock);
    if (start > now) {
        const struct timespec t = { (time_t)((start - now) / second),
                                    (long)((start - now) % second) };
        (void)nanosleep(&t, NULL);
    }
}

static int throttle_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                         uint32_t flags)
{
    wait_turn(n->state, READS, len);
    return vm__blk_readv(n->file, off, len, sg, flags);
}

static int throttle_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                          uint32_t flags)
{
    wait_turn(n->state, WRITES, len);
    return vm__blk_writev(n->file, off, len, sg, flags);
}

static int throttle_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    wait_turn(n->state, WRITES, len);
    return vm__blk_zero(n->file, off, len, flags);
}

static int throttle_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    wait_turn(n->state, WRITES, 0);
    return vm__blk_discard(n->file, off, len, flags);
}

static int throttle_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    return vm__blk_status(n->file, off, len, e);
}

static int throttle_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    return vm__blk_truncate(n->file, size, p, flags);
}

const struct vm_blk_driver vm__throttle_driver = {
    .name = "throttle",
    .summary = "Bounds bytes and requests a second",
    .kind = VM_BLK_FILTER,
    .can = VM_CAN_FUA,
    .state_size = sizeof(struct throttle),
    .open_options = open_options,
    .open = throttle_open,
    .close = throttle_close,
    .read = throttle_read,
    .write = throttle_write,
    .zero = throttle_zero,
    .discard = throttle_discard,
    .status = throttle_status,
    .truncate = throttle_truncate,
};
