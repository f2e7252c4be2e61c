/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_bits.c
 * The bits of a dirty bitmap in memory.
 */
#include <stdlib.h>
#include <string.h>

#include "blockfmt/qcow2_bitmap.h"

enum { MAX_PIECES = 1 << 23 };

struct qcow2_bits *qcow2_bits_new(uint64_t disk, uint64_t granularity, uint64_t cluster)
{
    struct qcow2_bits *b = calloc(1, sizeof *b);
    if (b == NULL) {
        vm__fail_nomem(sizeof *b);
        return NULL;
    }
    b->granularity = granularity;
    b->n_bits = disk / granularity + (disk % granularity != 0);
    b->piece = (size_t)cluster;
    b->n_pieces = (b->n_bits + cluster * 8 - 1) / (cluster * 8);
    if (b->n_pieces > MAX_PIECES) {
        vm__fail(VM_E_RANGE, "A bitmap of %llu bits is too large", (unsigned long long)b->n_bits);
        free(b);
        return NULL;
    }
    b->pieces = calloc((size_t)b->n_pieces + 1, sizeof *b->pieces);
    if (b->pieces == NULL) {
        vm__fail_nomem((size_t)b->n_pieces * sizeof *b->pieces);
        free(b);
        return NULL;
    }
    (void)pthread_mutex_init(&b->lock, NULL);
    return b;
}

void qcow2_bits_clear(struct qcow2_bits *b)
{
    for (uint64_t i = 0; i < b->n_pieces; i++)
        free(atomic_exchange(&b->pieces[i], NULL));
    atomic_store(&b->changed, true);
}

void qcow2_bits_free(struct qcow2_bits *b)
{
    if (b == NULL)
        return;
    qcow2_bits_clear(b);
    (void)pthread_mutex_destroy(&b->lock);
    free(b->pieces);
    free(b);
}

uint8_t *qcow2_bits_piece(struct qcow2_bits *b, uint64_t i)
{
    uint8_t *p = atomic_load_explicit(&b->pieces[i], memory_order_acquire);
    if (p != NULL)
        return p;
    (void)pthread_mutex_lock(&b->lock);
    p = atomic_load(&b->pieces[i]);
    if (p == NULL && (p = calloc(1, b->piece)) != NULL)
        atomic_store_explicit(&b->pieces[i], p, memory_order_release);
    (void)pthread_mutex_unlock(&b->lock);
    if (p == NULL)
        vm__fail_nomem(b->piece);
    return p;
}

/** Bits of one byte. @return they were not all set */
static bool set_byte(uint8_t *byte, uint8_t mask)
{
    uint8_t old = __atomic_load_n(byte, __ATOMIC_RELAXED);
    if ((old & mask) == mask) /* most writes: somebody wrote here before */
        return false;
    __atomic_fetch_or(byte, mask, __ATOMIC_RELAXED);
    return true;
}

static int set_bits(struct qcow2_bits *b, uint64_t first, uint64_t end)
{
    bool changed = false;
    for (uint64_t i = first; i < end;) {
        uint64_t byte = i / 8, left = end - byte * 8;
        uint8_t *p = qcow2_bits_piece(b, byte / b->piece);
        if (p == NULL)
            return VM_E_NOMEM;
        uint8_t mask = (uint8_t)(0xff << i % 8);
        if (left < 8)
            mask &= (uint8_t)(0xff >> (8 - left));
        changed = set_byte(p + byte % b->piece, mask) || changed;
        i = (byte + 1) * 8;
    }
    if (changed)
        atomic_store(&b->changed, true);
    return VM_OK;
}

int qcow2_bits_set(struct qcow2_bits *b, uint64_t off, uint64_t len)
{
    if (len == 0)
        return VM_OK;
    uint64_t first = off / b->granularity, end = (off + len - 1) / b->granularity + 1;
    return set_bits(b, first, end < b->n_bits ? end : b->n_bits);
}

int qcow2_bits_merge(struct qcow2_bits *b, const struct vm_blk_bits *from)
{
    for (uint64_t i = 0; i < from->n_bits;) {
        if (i % 8 == 0 && from->bits[i / 8] == 0) {
            i += 8;
            continue;
        }
        uint64_t end = i;
        while (end < from->n_bits && from->bits[end / 8] >> end % 8 & 1)
            end++;
        if (end > i && i * from->granularity / b->granularity < b->n_bits) {
            int st = qcow2_bits_set(b, i * from->granularity, (end - i) * from->granularity);
            if (st != VM_OK)
                return st;
        }
        i = end > i ? end : i + 1;
    }
    return VM_OK;
}

int qcow2_bits_copy(const struct qcow2_bits *b, struct vm_blk_bits *out)
{
    uint64_t bytes = (b->n_bits + 7) / 8;
    if (bytes > QCOW2_BITMAP_MEMORY)
        return vm__fail(VM_E_RANGE, "A bitmap of %llu bits is too large",
                        (unsigned long long)b->n_bits);
    *out = (struct vm_blk_bits) { b->granularity, b->n_bits, calloc(1, (size_t)bytes + 1) };
    if (out->bits == NULL)
        return vm__fail_nomem((size_t)bytes);
    for (uint64_t i = 0; i < b->n_pieces; i++) {
        const uint8_t *p = atomic_load(&b->pieces[i]);
        uint64_t at = i * b->piece, len = bytes - at < b->piece ? bytes - at : b->piece;
        if (p != NULL)
            memcpy(out->bits + at, p, (size_t)len);
    }
    return VM_OK;
}

/** Bits past the end are clear. */
static void trim(struct qcow2_bits *b)
{
    if (b->n_bits == 0 || b->n_pieces == 0)
        return;
    uint8_t *p = atomic_load(&b->pieces[b->n_pieces - 1]);
    uint64_t in = b->n_bits - (b->n_pieces - 1) * b->piece * 8;
    if (p == NULL || in == (uint64_t)b->piece * 8)
        return;
    if (in % 8 != 0)
        p[in / 8] &= (uint8_t)(0xff >> (8 - in % 8));
    memset(p + (in + 7) / 8, 0, b->piece - (size_t)((in + 7) / 8));
}

int qcow2_bits_resize(struct qcow2_bits **b, uint64_t disk)
{
    struct qcow2_bits *old = *b, *now = qcow2_bits_new(disk, old->granularity, old->piece);
    if (now == NULL)
        return vm_last_error()->code;
    for (uint64_t i = 0; i < now->n_pieces && i < old->n_pieces; i++)
        atomic_store(&now->pieces[i], atomic_exchange(&old->pieces[i], NULL));
    trim(now);
    atomic_store(&now->changed, true);
    qcow2_bits_free(old);
    *b = now;
    return VM_OK;
}
