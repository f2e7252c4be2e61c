/* SPDX-License-Identifier: MIT */
/**
 * @file virtq.c
 * Taking chains of buffers from a virtqueue and giving them back. See virtq.h.
 *
 * Ordering. The processors write rings without a lock while this runs. What the driver wrote before
 * it moved an index or a flag is read after that index or flag, and what is given back is written
 * before the index or flag that says so; the accesses are function calls on memory that the host
 * keeps in order (x86 stores and loads each among themselves). Only where a store must be seen
 * before a load that follows, telling the driver how far we are and looking for more, is a fence
 * needed.
 */
#include "devices/virtio/virtq.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/endian.h"
#include "devices/virtio/virtio.h"

enum {
    DESC_SIZE = 16,
    DESC_NEXT = 1, /* flags, in both kinds of ring */
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
    DESC_AVAIL = 1 << 7, /* packed */
    DESC_USED = 1 << 15,

    SPLIT_NO_NOTIFY = 1,    /* flags of the used ring */
    SPLIT_NO_INTERRUPT = 1, /* flags of the available ring */
    EVENTS_ENABLE = 0,      /* packed: flags of an event suppression structure */
    EVENTS_DISABLE = 1,
    EVENTS_DESC = 2,
};

struct desc {
    uint64_t gpa;
    uint32_t len;
    uint16_t id; /* packed: buffer id; split: next */
    uint16_t flags;
};

/* ---- guest memory ------------------------------------------------------------------------- */

static bool get(const struct virtq *q, uint64_t gpa, void *to, size_t len)
{
    if (vm__mem_read(q->v->dev->m, gpa, to, len) == VM_OK)
        return true;
    vm__virtio_fail(q->v, "a ring is not in memory");
    return false;
}

static bool put(const struct virtq *q, uint64_t gpa, const void *from, size_t len)
{
    if (vm__mem_write(q->v->dev->m, gpa, from, len) == VM_OK)
        return true;
    vm__virtio_fail(q->v, "a ring is not in memory");
    return false;
}

static bool get16(const struct virtq *q, uint64_t gpa, uint16_t *value)
{
    uint8_t b[2];
    if (!get(q, gpa, b, sizeof b))
        return false;
    *value = vm_le16(b);
    return true;
}

static bool put16(const struct virtq *q, uint64_t gpa, uint16_t value)
{
    uint8_t b[2];
    vm_put_le16(b, value);
    return put(q, gpa, b, sizeof b);
}

static bool get_desc(const struct virtq *q, uint64_t table, uint32_t i, bool packed, struct desc *d)
{
    uint8_t b[DESC_SIZE];
    if (!get(q, table + (uint64_t)i * DESC_SIZE, b, sizeof b))
        return false;
    d->gpa = vm_le64(b);
    d->len = vm_le32(b + 8);
    d->id = vm_le16(b + (packed ? 12 : 14));
    d->flags = vm_le16(b + (packed ? 14 : 12));
    return true;
}

static bool is_packed(const struct virtq *q)
{
    return vm__virtio_has(q->v, VIRTIO_F_RING_PACKED);
}

static bool has_event_idx(const struct virtq *q)
{
    return vm__virtio_has(q->v, VIRTIO_F_EVENT_IDX);
}

/* ---- chains ------------------------------------------------------------------------------- */

static bool wrong(const struct virtq *q, const char *what)
{
    vm__virtio_fail(q->v, what);
    return false;
}

static bool add_buf(const struct virtq *q, struct virtq_chain *c, const struct desc *d)
{
    const uint32_t n = c->n_out + c->n_in;
    if (n == VIRTQ_MAX_SIZE)
        return wrong(q, "a chain has too many buffers");
    if (n == c->room) {
        const uint32_t room = c->room != 0 ? c->room * 2 : 16;
        struct virtq_buf *buf = realloc(c->buf, room * sizeof *buf);
        if (buf == NULL)
            return wrong(q, "no host memory for a chain");
        c->buf = buf;
        c->room = room;
    }
    c->buf[n] = (struct virtq_buf) { d->gpa, d->len };
    if (d->flags & DESC_WRITE) {
        c->n_in++;
        c->in_len += d->len;
    } else if (c->n_in != 0) {
        return wrong(q, "a chain has a buffer to read behind one to write");
    } else {
        c->n_out++;
        c->out_len += d->len;
    }
    return true;
}

/** A descriptor that stands for a table of them [VIRTIO-1.2 §2.7.5.3, §2.8.7]. */
static bool add_indirect(const struct virtq *q, struct virtq_chain *c, const struct desc *d)
{
    const bool packed = is_packed(q);
    const uint32_t n = d->len / DESC_SIZE;
    if (!vm__virtio_has(q->v, VIRTIO_F_INDIRECT_DESC))
        return wrong(q, "an indirect descriptor was not agreed on");
    if (d->flags & DESC_NEXT)
        return wrong(q, "an indirect descriptor has a successor");
    if (n == 0 || d->len % DESC_SIZE != 0 || n > VIRTQ_MAX_SIZE)
        return wrong(q, "an indirect table has a wrong size");
    uint32_t i = 0;
    for (uint32_t seen = 0; seen < n; seen++) {
        struct desc e;
        if (!get_desc(q, d->gpa, i, packed, &e))
            return false;
        if (e.flags & DESC_INDIRECT)
            return wrong(q, "an indirect table in an indirect table");
        if (!add_buf(q, c, &e))
            return false;
        if (packed) { /* all of the table, in order; NEXT is reserved */
            i++;
            continue;
        }
        if (!(e.flags & DESC_NEXT))
            return true;
        i = e.id;
        if (i >= n)
            return wrong(q, "a descriptor's successor is outside its table");
    }
    return packed || wrong(q, "descriptors form a loop");
}

static void begin(struct virtq_chain *c)
{
    c->n_out = c->n_in = 0;
    c->out_len = c->in_len = 0;
    c->n_desc = 1;
}

/* ---- split -------------------------------------------------------------------------------- */

/* The available ring: flags, index, entries, used_event; the used ring alike, entries of 8 bytes.
 * [VIRTIO-1.2 §2.7.6, §2.7.8] */
static uint64_t avail_entry(const struct virtq *q, uint16_t i)
{
    return q->driver + 4 + 2u * (i & (q->size - 1u));
}

static uint64_t used_event_at(const struct virtq *q)
{
    return q->driver + 4 + 2u * q->size;
}

static uint64_t avail_event_at(const struct virtq *q)
{
    return q->device + 4 + 8u * q->size;
}

static bool split_has(const struct virtq *q)
{
    uint16_t idx;
    if (!get16(q, q->driver + 2, &idx))
        return false;
    const uint16_t n = (uint16_t)(idx - q->next_avail);
    if (n > q->size)
        return wrong(q, "more chains are available than the ring holds");
    return n != 0;
}

static bool split_pop(struct virtq *q, struct virtq_chain *c)
{
    uint16_t i;
    if (!get16(q, avail_entry(q, q->next_avail), &i))
        return false;
    c->id = i;
    for (uint32_t seen = 0; seen < q->size; seen++) {
        struct desc d;
        if (i >= q->size)
            return wrong(q, "a descriptor's number is outside the ring");
        if (!get_desc(q, q->desc, i, false, &d))
            return false;
        if (d.flags & DESC_INDIRECT ? !add_indirect(q, c, &d) : !add_buf(q, c, &d))
            return false;
        if (!(d.flags & DESC_NEXT)) {
            q->next_avail++;
            return true;
        }
        i = d.id;
    }
    return wrong(q, "descriptors form a loop");
}

static void split_push(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
    uint8_t e[8];
    vm_put_le32(e, c->id);
    vm_put_le32(e + 4, written);
    if (!put(q, q->device + 4 + 8u * (q->next_used & (q->size - 1u)), e, sizeof e))
        return;
    atomic_thread_fence(memory_order_release);
    q->next_used++;
    q->unsignalled++;
    (void)put16(q, q->device + 2, q->next_used);
}

/** The driver named an index: was it passed by the last @p n steps that led to @p now? */
static bool passed(uint16_t event, uint16_t now, uint16_t n)
{
    return (uint16_t)(now - event - 1) < n;
}

static bool split_wants_interrupt(const struct virtq *q)
{
    uint16_t value;
    if (has_event_idx(q))
        return get16(q, used_event_at(q), &value) && passed(value, q->next_used, q->unsignalled);
    return get16(q, q->driver, &value) && !(value & SPLIT_NO_INTERRUPT);
}

static void split_notify(struct virtq *q, bool on)
{
    if (has_event_idx(q)) {
        if (on)
            (void)put16(q, avail_event_at(q), q->next_avail);
    } else {
        (void)put16(q, q->device, on ? 0 : SPLIT_NO_NOTIFY);
    }
}

/* ---- packed ------------------------------------------------------------------------------- */

static uint64_t packed_flags_at(const struct virtq *q, uint16_t i)
{
    return q->desc + (uint64_t)i * DESC_SIZE + 14;
}

static bool packed_has(const struct virtq *q)
{
    uint16_t flags;
    if (!get16(q, packed_flags_at(q, q->next_avail), &flags))
        return false;
    const bool avail = flags & DESC_AVAIL, used = flags & DESC_USED;
    return avail == q->avail_wrap && used != q->avail_wrap;
}

/** @p n further on in the ring, forwards. */
static void advance(const struct virtq *q, uint16_t *at, uint8_t *wrap, uint16_t n)
{
    uint32_t next = (uint32_t)*at + n;
    if (next >= q->size) {
        next -= q->size;
        *wrap ^= 1;
    }
    *at = (uint16_t)next;
}

static bool packed_pop(struct virtq *q, struct virtq_chain *c)
{
    uint16_t i = q->next_avail;
    for (uint16_t seen = 1; seen <= q->size; seen++) {
        struct desc d;
        if (!get_desc(q, q->desc, i, true, &d))
            return false;
        if (d.flags & DESC_INDIRECT ? !add_indirect(q, c, &d) : !add_buf(q, c, &d))
            return false;
        if (!(d.flags & DESC_NEXT)) {
            c->id = d.id;
            c->n_desc = seen;
            advance(q, &q->next_avail, &q->avail_wrap, seen);
            return true;
        }
        i = (uint16_t)((i + 1) % q->size);
    }
    return wrong(q, "descriptors form a loop");
}

static void packed_push(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
    uint8_t d[6];
    const uint64_t at = q->desc + (uint64_t)q->next_used * DESC_SIZE;
    vm_put_le32(d, written);
    vm_put_le16(d + 4, c->id);
    if (!put(q, at + 8, d, sizeof d))
        return;
    atomic_thread_fence(memory_order_release);
    (void)put16(q, at + 14, q->used_wrap ? DESC_AVAIL | DESC_USED : 0);
    advance(q, &q->next_used, &q->used_wrap, c->n_desc);
    q->unsignalled = (uint16_t)(q->unsignalled + c->n_desc);
}

static bool packed_wants_interrupt(const struct virtq *q)
{
    uint8_t b[4];
    if (!get(q, q->driver, b, sizeof b))
        return false;
    const uint16_t where = vm_le16(b), flags = vm_le16(b + 2) & 3;
    if (flags != EVENTS_DESC || !has_event_idx(q))
        return flags != EVENTS_DISABLE;
    int32_t event = where & 0x7fff;
    if ((where >> 15) != q->used_wrap)
        event -= q->size;
    return passed((uint16_t)event, q->next_used, q->unsignalled);
}

static void packed_notify(struct virtq *q, bool on)
{
    if (on && has_event_idx(q))
        (void)put16(q, q->device, (uint16_t)(q->next_avail | (uint32_t)q->avail_wrap << 15));
    (void)put16(q, q->device + 2,
                !on                ? EVENTS_DISABLE
                : has_event_idx(q) ? EVENTS_DESC
                                   : EVENTS_ENABLE);
}

/* ---- both --------------------------------------------------------------------------------- */

bool vm__virtq_has_chain(struct virtq *q)
{
    if (!q->enabled || !vm__virtio_runs(q->v))
        return false;
    return is_packed(q) ? packed_has(q) : split_has(q);
}

bool vm__virtq_pop(struct virtq *q, struct virtq_chain *c)
{
    begin(c);
    if (!vm__virtq_has_chain(q))
        return false;
    return is_packed(q) ? packed_pop(q, c) : split_pop(q, c);
}

void vm__virtq_unpop(struct virtq *q, const struct virtq_chain *c)
{
    if (!is_packed(q)) {
        q->next_avail--;
    } else if (q->next_avail >= c->n_desc) {
        q->next_avail = (uint16_t)(q->next_avail - c->n_desc);
    } else {
        q->next_avail = (uint16_t)(q->next_avail + q->size - c->n_desc);
        q->avail_wrap ^= 1;
    }
}

void vm__virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
    if (!q->enabled || !vm__virtio_runs(q->v))
        return;
    if (is_packed(q))
        packed_push(q, c, written);
    else
        split_push(q, c, written);
}

static void split_push_all(struct virtq *q, const struct virtq_chain *c, const uint32_t *written,
                           unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t e[8];
        const unsigned at = (q->next_used + i) & (q->size - 1u);
        vm_put_le32(e, c[i].id);
        vm_put_le32(e + 4, written[i]);
        if (!put(q, q->device + 4 + 8u * at, e, sizeof e))
            return;
    }
    atomic_thread_fence(memory_order_release);
    q->next_used = (uint16_t)(q->next_used + n);
    q->unsignalled = (uint16_t)(q->unsignalled + n);
    (void)put16(q, q->device + 2, q->next_used);
}

/** The flags of the first one come last: the driver looks at no other before. */
static void packed_push_all(struct virtq *q, const struct virtq_chain *c, const uint32_t *written,
                            unsigned n)
{
    uint64_t at[VIRTQ_TOGETHER];
    uint16_t flags[VIRTQ_TOGETHER];
    for (unsigned i = 0; i < n; i++) {
        uint8_t d[6];
        at[i] = q->desc + (uint64_t)q->next_used * DESC_SIZE;
        flags[i] = q->used_wrap ? DESC_AVAIL | DESC_USED : 0;
        vm_put_le32(d, written[i]);
        vm_put_le16(d + 4, c[i].id);
        if (!put(q, at[i] + 8, d, sizeof d))
            return;
        advance(q, &q->next_used, &q->used_wrap, c[i].n_desc);
        q->unsignalled = (uint16_t)(q->unsignalled + c[i].n_desc);
    }
    atomic_thread_fence(memory_order_release);
    for (unsigned i = n; i-- > 0;) {
        if (i == 0)
            atomic_thread_fence(memory_order_release);
        (void)put16(q, at[i] + 14, flags[i]);
    }
}

void vm__virtq_push_all(struct virtq *q, const struct virtq_chain *c, const uint32_t *written,
                        unsigned n)
{
    if (!q->enabled || !vm__virtio_runs(q->v) || n == 0 || n > VIRTQ_TOGETHER)
        return;
    if (is_packed(q))
        packed_push_all(q, c, written, n);
    else
        split_push_all(q, c, written, n);
}

void vm__virtq_signal(struct virtq *q)
{
    if (q->unsignalled == 0 || !q->enabled || !vm__virtio_runs(q->v))
        return;
    atomic_thread_fence(memory_order_seq_cst);
    if (is_packed(q) ? packed_wants_interrupt(q) : split_wants_interrupt(q))
        vm__virtio_interrupt(q->v, q);
    q->unsignalled = 0;
}

bool vm__virtq_want_notify(struct virtq *q, bool on)
{
    if (!q->enabled || !vm__virtio_runs(q->v))
        return false;
    if (on || !q->polling) {
        if (is_packed(q))
            packed_notify(q, on);
        else
            split_notify(q, on);
    }
    q->polling = !on;
    if (!on)
        return false;
    atomic_thread_fence(memory_order_seq_cst);
    return vm__virtq_has_chain(q);
}

void vm__virtq_reset(struct virtq *q)
{
    q->size = q->most;
    q->enabled = 0;
    q->vector = VIRTIO_NO_VECTOR;
    q->desc = q->driver = q->device = 0;
    q->next_avail = q->next_used = q->unsignalled = 0;
    q->avail_wrap = q->used_wrap = 1;
    q->polling = 0;
}

void vm__virtq_chain_free(struct virtq_chain *c)
{
    free(c->buf);
    *c = (struct virtq_chain) { 0 };
}

/* ---- buffers ------------------------------------------------------------------------------ */

/** Copy between the bytes and @p n buffers of a chain. */
static size_t copy(const struct virtq *q, const struct virtq_buf *b, uint32_t n, uint64_t off,
                   uint8_t *bytes, size_t len, bool in)
{
    struct vm_machine *m = q->v->dev->m;
    size_t done = 0;
    for (; n != 0 && done < len; n--, b++) {
        if (off >= b->len) {
            off -= b->len;
            continue;
        }
        const size_t now = (size_t)vm_min_u64(b->len - off, len - done);
        const uint64_t gpa = b->gpa + off;
        if ((in ? vm__mem_write(m, gpa, bytes + done, now)
                : vm__mem_read(m, gpa, bytes + done, now)) != VM_OK)
            break;
        off = 0;
        done += now;
    }
    return done;
}

size_t vm__virtq_read(const struct virtq *q, const struct virtq_chain *c, uint64_t off, void *to,
                      size_t len)
{
    return copy(q, c->buf, c->n_out, off, to, len, false);
}

size_t vm__virtq_write(const struct virtq *q, const struct virtq_chain *c, uint64_t off,
                       const void *from, size_t len)
{
    return copy(q, c->buf + c->n_out, c->n_in, off, (uint8_t *)(uintptr_t)from, len, true);
}

const struct vm_field vm__virtq_fields[] = {
    VM_FIELD(virtq, size, 1),
    VM_FIELD(virtq, enabled, 1),
    VM_FIELD(virtq, vector, 1),
    VM_FIELD(virtq, desc, 1),
    VM_FIELD(virtq, driver, 1),
    VM_FIELD(virtq, device, 1),
    VM_FIELD(virtq, next_avail, 1),
    VM_FIELD(virtq, next_used, 1),
    VM_FIELD(virtq, avail_wrap, 1),
    VM_FIELD(virtq, used_wrap, 1),
    VM_FIELD(virtq, unsignalled, 1),
    VM_FIELD(virtq, polling, 1),
    { 0 },
};
