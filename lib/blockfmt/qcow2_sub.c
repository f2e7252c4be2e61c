/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_sub.c
 * Extended L2 entries: clusters of 32 subclusters, each of which is here, is zeros, or is read
 * below. A first small write over a backing file costs a subcluster, and nothing is to be filled in
 * later.
 *
 * Spec: [QCOW2 "Extended L2 Entries"]. An entry is two words: the place of the cluster, as without
 * the extension (bit 0 is always clear), and a bitmap: bit k says that subcluster k is allocated,
 * bit 32 + k that it reads as zeros.
 *
 * The words change under the stripe lock of their cluster. Readers take no lock: they look at the
 * bitmap first and at the place after it, and writers who give a cluster a place do so before
 * they say in the bitmap what it holds, and take it away after. What makes no sense is looked at
 * again with the lock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/qcow2.h"

#define HERE_ALL UINT64_C(0x00000000ffffffff)
#define ZERO_ALL UINT64_C(0xffffffff00000000)

/** A part of a request that lies in one cluster. */
struct part {
    uint64_t index, in;
    size_t len;
};

enum state { BELOW, ZEROS, HERE };

static struct part cut(const struct qcow2 *s, uint64_t off, uint64_t len)
{
    struct part p = { .index = off / s->cluster, .in = off % s->cluster };
    uint64_t room = s->cluster - p.in;
    p.len = (size_t)(len < room ? len : room);
    return p;
}

static uint64_t sub_bytes(const struct qcow2 *s)
{
    return s->cluster / QCOW2_SUBCLUSTERS;
}

static enum state state_of(const struct qcow2_entry *e, uint64_t k)
{
    return e->bits >> k & 1 ? HERE : e->bits >> (32 + k) & 1 ? ZEROS : BELOW;
}

/** Bits of the subclusters that [in, in + len) touches. */
static uint64_t touched(const struct qcow2 *s, uint64_t in, uint64_t len)
{
    uint64_t first = in / sub_bytes(s), last = (in + len - 1) / sub_bytes(s);
    return (HERE_ALL >> (31 - last)) & (HERE_ALL << first) & HERE_ALL;
}

/** Bits of those that it covers, the end of the disk counting as the end of one. */
static uint64_t covered(struct qcow2 *s, struct part p)
{
    uint64_t sub = sub_bytes(s), first = (p.in + sub - 1) / sub, end = (p.in + p.len) / sub;
    if (p.in + p.len >= vm__bmap_bytes(&s->map, p.index))
        end = QCOW2_SUBCLUSTERS;
    if (first >= end)
        return 0;
    return (HERE_ALL >> (32 - end)) & (HERE_ALL << first) & HERE_ALL;
}

static int bad_entry(uint64_t index, const struct qcow2_entry *e)
{
    return vm__fail(VM_E_CORRUPT, "Invalid L2 entry for cluster %llu: 0x%llx with bitmap 0x%llx",
                    (unsigned long long)index, (unsigned long long)e->raw,
                    (unsigned long long)e->bits);
}

static int get(struct qcow2 *s, uint64_t index, uint32_t flags, struct qcow2_entry *e)
{
    int st = qcow2_get(s, index, flags, e);
    if (st != VM_OK || qcow2_entry_ok(s, e))
        return st;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    (void)pthread_mutex_lock(vm__bmap_stripe(&s->map, index));
    st = qcow2_get(s, index, flags, e);
    (void)pthread_mutex_unlock(vm__bmap_stripe(&s->map, index));
    return st != VM_OK || qcow2_entry_ok(s, e) ? st : bad_entry(index, e);
}

/** The same with the lock held. */
static int get_locked(struct qcow2 *s, uint64_t index, struct qcow2_entry *e)
{
    int st = qcow2_get(s, index, 0, e);
    return st != VM_OK || qcow2_entry_ok(s, e) ? st : bad_entry(index, e);
}

/** How far from @p in on all is in one state. */
static size_t run(const struct qcow2 *s, const struct qcow2_entry *e, uint64_t in, size_t len,
                  enum state *state)
{
    uint64_t k = in / sub_bytes(s), end = in + len;
    *state = state_of(e, k);
    do
        k++;
    while (k * sub_bytes(s) < end && state_of(e, k) == *state);
    return (size_t)((k * sub_bytes(s) < end ? k * sub_bytes(s) : end) - in);
}

/* ---- reading ---------------------------------------------------------------------------- */

static int read_state(struct vm_blk *n, const struct qcow2_entry *e, enum state state,
                      struct part p, struct vm_sg sg, uint32_t flags)
{
    struct qcow2 *s = qcow2_of(n);
    switch (state) {
    case HERE:
        return vm__bmap_data_read(&s->map, p.index, p.in, (e->raw & QCOW2_OFFSET) + p.in, p.len, sg,
                                  flags);
    case BELOW:
        return vm__blk_read_backing(n, p.index * s->cluster + p.in, p.len, sg, flags);
    case ZEROS:
        break;
    }
    vm_sg_zero(sg, p.len);
    return VM_OK;
}

static int read_entry(struct vm_blk *n, const struct qcow2_entry *e, struct part p, struct vm_sg sg,
                      uint32_t flags)
{
    const struct qcow2 *s = qcow2_of(n);
    if (e->raw & QCOW2_COMPRESSED) {
        struct vm_bmap_entry packed = { VM_BMAP_PACKED, 0, e->raw };
        return qcow2_read_packed(&qcow2_of(n)->map, &packed, p.index, p.in, p.len, sg, flags);
    }
    for (size_t done = 0; done < p.len;) {
        enum state state;
        struct part q = { p.index, p.in + done, 0 };
        q.len = run(s, e, q.in, p.len - done, &state);
        int st = read_state(n, e, state, q, vm_sg_at(sg, done), flags);
        if (st != VM_OK)
            return st;
        done += q.len;
    }
    return VM_OK;
}

int qcow2_sub_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct qcow2 *s = qcow2_of(n);
    for (size_t done = 0; done < len;) {
        struct part p = cut(s, off + done, len - done);
        struct qcow2_entry e;
        int st = get(s, p.index, flags, &e);
        if (st == VM_OK)
            st = read_entry(n, &e, p, vm_sg_at(sg, done), flags);
        if (st != VM_OK)
            return st;
        done += p.len;
    }
    return VM_OK;
}

/* ---- writing ---------------------------------------------------------------------------- */

/** What the old place has and the new one will need. */
static int copy_rest(struct vm_blk *n, const struct qcow2_entry *old, uint64_t at, struct part p)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t keep = old->bits & HERE_ALL & ~covered(s, p), sub = sub_bytes(s);
    uint64_t bytes = vm__bmap_bytes(&s->map, p.index);
    int st = VM_OK;
    uint8_t *buf = keep != 0 ? malloc((size_t)s->cluster) : NULL;
    if (keep != 0 && buf == NULL)
        return vm__fail_nomem((size_t)s->cluster);
    for (uint64_t k = 0; st == VM_OK && k < QCOW2_SUBCLUSTERS && k * sub < bytes;) {
        uint64_t end = k;
        while (end < QCOW2_SUBCLUSTERS && keep >> end & 1)
            end++;
        if (end > k) {
            uint64_t in = k * sub, stop = end * sub < bytes ? end * sub : bytes;
            struct vm_iov v = { buf, (size_t)(stop - in) };
            struct vm_sg sg = { &v, 0 };
            st = vm__bmap_data_read(&s->map, p.index, in, (old->raw & QCOW2_OFFSET) + in, v.len, sg,
                                    0);
            if (st == VM_OK)
                st = vm__bmap_data_write(&s->map, p.index, in, at + in, v.len, sg, 0);
        }
        k = end > k ? end : k + 1;
    }
    free(buf);
    return st;
}

/** Write a part whose first or last subcluster is not here yet: those are written whole. */
static int write_edges(struct vm_blk *n, const struct qcow2_entry *e, uint64_t at, struct part p,
                       struct vm_sg sg)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t sub = sub_bytes(s), bytes = vm__bmap_bytes(&s->map, p.index);
    uint64_t first = p.in / sub * sub, end = (p.in + p.len + sub - 1) / sub * sub;
    if (state_of(e, p.in / sub) == HERE)
        first = p.in;
    if (end > bytes)
        end = bytes;
    if (state_of(e, (p.in + p.len - 1) / sub) == HERE)
        end = p.in + p.len;
    if (first == p.in && end == p.in + p.len)
        return vm__bmap_data_write(&s->map, p.index, p.in, at + p.in, p.len, sg, 0);
    uint8_t *buf = malloc((size_t)(end - first));
    if (buf == NULL)
        return vm__fail_nomem((size_t)(end - first));
    struct vm_iov head = { buf, (size_t)(p.in - first) };
    struct vm_iov tail = { buf + (p.in - first) + p.len, (size_t)(end - p.in) - p.len };
    struct part ph = { p.index, first, head.len }, pt = { p.index, p.in + p.len, tail.len };
    int st = VM_OK;
    if (head.len != 0)
        st = read_entry(n, e, ph, (struct vm_sg) { &head, 0 }, 0);
    if (st == VM_OK && tail.len != 0)
        st = read_entry(n, e, pt, (struct vm_sg) { &tail, 0 }, 0);
    vm_sg_get(sg, buf + (p.in - first), p.len);
    struct vm_iov all = { buf, (size_t)(end - first) };
    if (st == VM_OK)
        st = vm__bmap_data_write(&s->map, p.index, first, at + first, all.len,
                                 (struct vm_sg) { &all, 0 }, 0);
    free(buf);
    return st;
}

/** Compressed: unpacked, changed, and written to a place of its own. */
static int write_unpacked(struct vm_blk *n, const struct qcow2_entry *e, uint64_t at, struct part p,
                          struct vm_sg sg)
{
    struct qcow2 *s = qcow2_of(n);
    size_t bytes = (size_t)vm__bmap_bytes(&s->map, p.index);
    uint8_t *buf = malloc(bytes);
    struct vm_iov v = { buf, bytes };
    struct part whole = { p.index, 0, bytes };
    int st = buf == NULL     ? vm__fail_nomem(bytes)
             : p.len < bytes ? read_entry(n, e, whole, (struct vm_sg) { &v, 0 }, 0)
                             : VM_OK;
    if (st == VM_OK) {
        vm_sg_get(sg, buf + p.in, p.len);
        st = vm__bmap_data_write(&s->map, p.index, 0, at, bytes, (struct vm_sg) { &v, 0 }, 0);
    }
    free(buf);
    return st;
}

/** With the stripe lock: into a place of the cluster's own, which it gets if it has none. */
static int write_locked(struct vm_blk *n, struct part p, struct vm_sg sg)
{
    struct qcow2 *s = qcow2_of(n);
    struct qcow2_entry e;
    int st = get_locked(s, p.index, &e);
    if (st != VM_OK)
        return st;
    uint64_t at = e.raw & QCOW2_OFFSET, bits = e.bits;
    bool packed = e.raw & QCOW2_COMPRESSED, fresh = packed || !(e.raw & QCOW2_COPIED);
    if (fresh)
        st = vm__bmap_alloc(&s->map, p.index, &at);
    if (st != VM_OK)
        return st;
    if (packed) {
        st = write_unpacked(n, &e, at, p, sg);
        bits = HERE_ALL;
    } else {
        if (fresh && qcow2_has_place(s, e.raw))
            st = copy_rest(n, &e, at, p);
        if (st == VM_OK)
            st = write_edges(n, &e, at, p, sg);
        uint64_t now = touched(s, p.in, p.len);
        bits = (bits | now) & ~(now << 32);
    }
    if (st == VM_OK)
        return qcow2_set(s, p.index, (struct qcow2_entry) { at | QCOW2_COPIED, bits });
    if (fresh)
        qcow2_give_back(s, at);
    return st;
}

static int write_part(struct vm_blk *n, struct part p, struct vm_sg sg, uint32_t flags)
{
    struct qcow2 *s = qcow2_of(n);
    struct qcow2_entry e;
    uint64_t need = touched(s, p.in, p.len);
    int st = get(s, p.index, flags, &e);
    if (st != VM_OK)
        return st;
    if (e.raw & QCOW2_COPIED && !(e.raw & QCOW2_COMPRESSED) && (e.bits & need) == need)
        return vm__bmap_data_write(&s->map, p.index, p.in, (e.raw & QCOW2_OFFSET) + p.in, p.len, sg,
                                   flags);
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    (void)pthread_mutex_lock(vm__bmap_stripe(&s->map, p.index));
    st = write_locked(n, p, sg);
    (void)pthread_mutex_unlock(vm__bmap_stripe(&s->map, p.index));
    return st;
}

int qcow2_sub_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    for (size_t done = 0; done < len;) {
        struct part p = cut(qcow2_of(n), off + done, len - done);
        int st = write_part(n, p, vm_sg_at(sg, done), flags);
        if (st != VM_OK)
            return st;
        done += p.len;
    }
    return VM_OK;
}

/* ---- zeros and discard ------------------------------------------------------------------ */

static int write_zeros(struct vm_blk *n, struct part p)
{
    static const uint8_t zeros[65536];
    for (size_t done = 0; done < p.len;) {
        size_t len = p.len - done < sizeof zeros ? p.len - done : sizeof zeros;
        struct vm_iov v = { (void *)(uintptr_t)zeros, len };
        struct part q = { p.index, p.in + done, len };
        int st = write_locked(n, q, (struct vm_sg) { &v, 0 });
        if (st != VM_OK)
            return st;
        done += len;
    }
    return VM_OK;
}

/** Zeros in the parts of subclusters at both ends, unless they read as zeros anyway. */
static int zero_edges(struct vm_blk *n, struct part p, uint64_t whole)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t sub = sub_bytes(s);
    for (uint64_t in = p.in, end = p.in + p.len, next; in < end; in = next) {
        uint64_t k = in / sub;
        struct qcow2_entry e;
        next = (k + 1) * sub < end ? (k + 1) * sub : end;
        if (whole >> k & 1)
            continue;
        int st = get_locked(s, p.index, &e);
        if (st != VM_OK)
            return st;
        bool zeros = state_of(&e, k) == ZEROS || (state_of(&e, k) == BELOW && n->backing == NULL);
        if (zeros && !(e.raw & QCOW2_COMPRESSED))
            continue;
        st = write_zeros(n, (struct part) { p.index, in, (size_t)(next - in) });
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}

/** Take subclusters out of the bitmap; a cluster that has none left gives up its place. */
static int drop(struct qcow2 *s, uint64_t index, uint64_t subs, bool zeros, bool keep_place)
{
    struct qcow2_entry e;
    int st = get_locked(s, index, &e);
    if (st != VM_OK)
        return st;
    struct qcow2_entry now = { e.raw, e.bits & ~subs };
    now.bits = zeros ? now.bits | subs << 32 : now.bits & ~(subs << 32);
    if (e.raw & QCOW2_COMPRESSED || (!keep_place && (now.bits & HERE_ALL) == 0) ||
        !(e.raw & QCOW2_COPIED))
        now.raw = (now.bits & HERE_ALL) == 0 ? 0 : e.raw;
    return now.raw != e.raw || now.bits != e.bits ? qcow2_set(s, index, now) : VM_OK;
}

static int zero_part(struct vm_blk *n, struct part p, uint32_t flags)
{
    struct qcow2 *s = qcow2_of(n);
    struct qcow2_entry e;
    uint64_t whole = covered(s, p);
    int st = get_locked(s, p.index, &e);
    if (st != VM_OK)
        return st;
    if (e.raw & QCOW2_COMPRESSED && whole != HERE_ALL)
        return write_zeros(n, p);
    st = zero_edges(n, p, whole);
    if (st != VM_OK || whole == 0)
        return st;
    if (n->backing == NULL && (e.raw | e.bits) == 0)
        return VM_OK;
    return drop(s, p.index, whole, true, !(flags & VM_IO_UNMAP));
}

int qcow2_sub_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    struct qcow2 *s = qcow2_of(n);
    for (uint64_t done = 0; done < len;) {
        struct part p = cut(s, off + done, len - done);
        (void)pthread_mutex_lock(vm__bmap_stripe(&s->map, p.index));
        int st = zero_part(n, p, flags);
        (void)pthread_mutex_unlock(vm__bmap_stripe(&s->map, p.index));
        if (st != VM_OK)
            return st;
        done += p.len;
    }
    return VM_OK;
}

/** Over a base what was written over stays covered: it reads as zeros, not as the base again. */
int qcow2_sub_discard(struct vm_blk *n, uint64_t off, uint64_t len)
{
    struct qcow2 *s = qcow2_of(n);
    for (uint64_t done = 0; done < len;) {
        struct part p = cut(s, off + done, len - done);
        struct qcow2_entry e;
        (void)pthread_mutex_lock(vm__bmap_stripe(&s->map, p.index));
        int st = get_locked(s, p.index, &e);
        uint64_t subs = st == VM_OK ? covered(s, p) & e.bits : 0;
        if (st == VM_OK && e.raw & QCOW2_COMPRESSED && covered(s, p) == HERE_ALL)
            subs = HERE_ALL;
        if (subs != 0)
            st = drop(s, p.index, subs, n->backing != NULL, false);
        (void)pthread_mutex_unlock(vm__bmap_stripe(&s->map, p.index));
        if (st != VM_OK)
            return st;
        done += p.len;
    }
    return VM_OK;
}

/* ---- status ----------------------------------------------------------------------------- */

static size_t describe(struct vm_blk *n, const struct qcow2_entry *e, struct part p,
                       struct vm_extent *out)
{
    const struct qcow2 *s = qcow2_of(n);
    enum state state;
    *out = (struct vm_extent) { .length = p.len };
    if (e->raw & QCOW2_COMPRESSED) {
        out->flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED | VM_EXTENT_COMPRESSED;
        return p.len;
    }
    out->length = run(s, e, p.in, p.len, &state);
    if (state == HERE) {
        out->flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED;
        if (s->map.opaque)
            return (size_t)out->length;
        out->flags |= VM_EXTENT_OFFSET;
        out->offset = (e->raw & QCOW2_OFFSET) + p.in;
        out->file = s->map.data;
    } else if (state == ZEROS) {
        out->flags = VM_EXTENT_ZERO | VM_EXTENT_ALLOCATED;
    } else if (n->backing == NULL) {
        out->flags = VM_EXTENT_ZERO;
    }
    return (size_t)out->length;
}

/** A page of the tables that is all zeros is as many clusters as it has entries. */
static uint64_t skip_empty(const struct qcow2 *s, struct part p, uint64_t left)
{
    uint64_t per_page = s->map.page_size / 16;
    if (p.in != 0 || p.index % per_page != 0 || !vm__bmap_page_empty(&s->map, p.index / per_page))
        return 0;
    return per_page * s->cluster < left ? per_page * s->cluster : left;
}

int qcow2_sub_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *out)
{
    struct qcow2 *s = qcow2_of(n);
    for (uint64_t done = 0; done < len;) {
        struct part p = cut(s, off + done, len - done);
        struct qcow2_entry e;
        struct vm_extent more;
        int st = get(s, p.index, 0, &e);
        if (st != VM_OK)
            return st;
        uint64_t bytes = describe(n, &e, p, &more), empty = skip_empty(s, p, len - done);
        if (empty > bytes)
            more.length = bytes = empty;
        if (done == 0)
            *out = more;
        else if (more.flags == out->flags &&
                 (!(out->flags & VM_EXTENT_OFFSET) || more.offset == out->offset + done))
            out->length += bytes;
        else
            break;
        done += bytes;
    }
    return VM_OK;
}
