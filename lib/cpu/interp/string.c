/* SPDX-License-Identifier: MIT */
/**
 * @file string.c
 * MOVS, STOS, LODS, SCAS, CMPS, alone and repeated [SDM-1 §7.3.9].
 *
 * A repeated instruction advances in chunks: as many elements as lie in one host page of each
 * operand, within the segment and before the index register wraps. After each chunk RCX, RSI and
 * RDI are up to date, so that a fault in the next one is precise and the instruction can be left
 * for an interrupt and entered again. Where no host page can be had (devices, pages with code,
 * elements across two pages) a chunk is one element through the ordinary loads and stores.
 */
#include "cpu/interp/arith.h"

#define GPR c->st.gpr

X86_INLINE uint64_t address_mask(const struct x86_insn *i)
{
    return ~UINT64_C(0) >> (64 - (8u << i->asz));
}

/* Registers move by the address size. */
X86_INLINE void add_index(struct vcpu *c, const struct x86_insn *i, unsigned reg, uint64_t n)
{
    x86_set(c, (uint8_t)(reg * 8), i->asz, GPR[reg] + n);
}

X86_INLINE bool is_down(const struct vcpu *c)
{
    return c->st.rflags & X86_DF;
}

X86_INLINE int64_t distance(const struct vcpu *c, unsigned sz, uint64_t n)
{
    int64_t bytes = (int64_t)(n << sz);
    return is_down(c) ? -bytes : bytes;
}

X86_INLINE bool is_repeated(const struct x86_insn *i)
{
    return i->flags & (X86_I_REP | X86_I_REPNE);
}

/* ---- one element at a time ---- */

X86_INLINE uint64_t load_si(struct vcpu *c, const struct x86_insn *i, unsigned sz)
{
    uint64_t off = GPR[X86_RSI] & address_mask(i);
    return x86_ld(c, i, x86_seg_lin(c, i, i->seg, off, 1u << sz, X86_ACCESS_R), sz);
}

X86_INLINE uint64_t load_di(struct vcpu *c, const struct x86_insn *i, unsigned sz)
{
    uint64_t off = GPR[X86_RDI] & address_mask(i);
    uint64_t lin = x86_seg_lin(c, i, X86_ES, off, 1u << sz, X86_ACCESS_R);

    switch (sz) {
    case 0:
        return x86_ld8_seg(c, i, lin, X86_ES);
    case 1:
        return x86_ld16_seg(c, i, lin, X86_ES);
    case 2:
        return x86_ld32_seg(c, i, lin, X86_ES);
    default:
        return x86_ld64_seg(c, i, lin, X86_ES);
    }
}

X86_INLINE void store_di(struct vcpu *c, const struct x86_insn *i, unsigned sz, uint64_t v)
{
    uint64_t off = GPR[X86_RDI] & address_mask(i);
    uint64_t lin = x86_seg_lin(c, i, X86_ES, off, 1u << sz, X86_ACCESS_W);

    switch (sz) {
    case 0:
        x86_st8_seg(c, i, lin, X86_ES, (uint8_t)v);
        break;
    case 1:
        x86_st16_seg(c, i, lin, X86_ES, (uint16_t)v);
        break;
    case 2:
        x86_st32_seg(c, i, lin, X86_ES, (uint32_t)v);
        break;
    default:
        x86_st64_seg(c, i, lin, X86_ES, v);
        break;
    }
}

/* ---- runs ---- */

/* Elements from seg:off on, in the direction of DF, that lie in one host page; @p p is the first
 * one. 0: only element by element. May raise the fault of the first element. */
static uint64_t run_at(struct vcpu *c, const struct x86_insn *i, unsigned seg, uint64_t off,
                       unsigned sz, int access, uint8_t **p)
{
    const struct x86_segf *f = &c->segf[seg];
    uint64_t end = access == X86_ACCESS_W ? f->end_w : f->end_r, size = 1u << sz, n, room;
    uint64_t lin;
    uint32_t len;

    if (off > end || end - off < size)
        return 0;
    lin = x86_seg_lin(c, i, seg, off, (unsigned)size, access);
    const struct x86_tlbe *e = x86_tlb_at(c, lin);
    uint64_t at = lin ^ (access == X86_ACCESS_W ? e->wtag : e->rtag);
    if (x86_likely(at < VM_PAGE_SIZE)) {
        *p = e->host + at;
        len = VM_PAGE_SIZE - (uint32_t)at;
    } else {
        *p = vm__x86_host_run(c, i, lin, access, seg, &len);
    }
    if (*p == NULL || len < size)
        return 0;
    if (is_down(c)) {
        n = ((VM_PAGE_SIZE - len) >> sz) + 1;
        room = (off >> sz) + 1;
    } else {
        uint64_t wrap = address_mask(i) - off;
        n = len >> sz;
        room = (end - off < wrap ? end - off : wrap) >> sz;
    }
    return n < room ? n : room;
}

X86_INLINE uint64_t run_si(struct vcpu *c, const struct x86_insn *i, unsigned sz, uint8_t **p)
{
    return run_at(c, i, i->seg, GPR[X86_RSI] & address_mask(i), sz, X86_ACCESS_R, p);
}

X86_INLINE uint64_t run_di(struct vcpu *c, const struct x86_insn *i, unsigned sz, int access,
                           uint8_t **p)
{
    return run_at(c, i, X86_ES, GPR[X86_RDI] & address_mask(i), sz, access, p);
}

X86_INLINE uint64_t min3(uint64_t a, uint64_t b, uint64_t n)
{
    uint64_t m = a < b ? a : b;
    return m < n ? m : n;
}

/* Between chunks: is the instruction to be left, to come back to it later? */
X86_INLINE bool must_leave(const struct vcpu *c)
{
    return (c->mode & X86_MODE_STEP) || atomic_load_explicit(&c->req, memory_order_relaxed) != 0;
}

/* The most elements a chunk may have now. */
X86_INLINE uint64_t chunk_limit(const struct vcpu *c, uint64_t count)
{
    return c->mode & X86_MODE_STEP ? 1 : count;
}

/* A repeated instruction with 32-bit addresses begins by clearing the upper half of RCX, MOVS and
 * STOS those of their indexes too, even when the count is 0 or the first element faults. Not in the
 * manual; Intel hardware does it. */
X86_INLINE void begin_repeat(struct vcpu *c, const struct x86_insn *i, bool si, bool di)
{
    if (x86_likely(i->asz != 2))
        return;
    add_index(c, i, X86_RCX, 0);
    if (si)
        add_index(c, i, X86_RSI, 0);
    if (di)
        add_index(c, i, X86_RDI, 0);
}

/* Run CHUNK, which handles 1 to n elements and returns their number, until RCX is 0. */
#define REPEAT(CHUNK, SI, DI)                                                                      \
    do {                                                                                           \
        uint64_t count = GPR[X86_RCX] & address_mask(i), done;                                     \
        begin_repeat(c, i, SI, DI);                                                                \
        for (; count != 0; count -= done) {                                                        \
            uint64_t n = chunk_limit(c, count);                                                    \
            done = CHUNK;                                                                          \
            add_index(c, i, X86_RCX, -done);                                                       \
            if (done < count && x86_unlikely(must_leave(c))) {                                     \
                vm__x86_leave_at(c, i);                                                            \
                X86_LEAVE(c);                                                                      \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* ---- MOVS ---- */

/* @p n elements forward; when the destination begins inside the source, each element must be
 * stored before the next is loaded. */
X86_NO_TSAN X86_INLINE void copy_up(uint8_t *d, const uint8_t *s, uint64_t n, unsigned sz)
{
    uint64_t bytes = n << sz, gap = (uint64_t)(d - s);

    if (x86_likely(gap == 0 || gap >= bytes)) {
        if (gap + bytes > gap) /* the other way round: destination below an overlapping source */
            memcpy(d, s, bytes);
        else
            memmove(d, s, bytes);
        return;
    }
    for (uint64_t k = 0; k < bytes; k += 1u << sz) {
        uint64_t v = 0;
        memcpy(&v, s + k, 1u << sz);
        memcpy(d + k, &v, 1u << sz);
    }
}

X86_NO_TSAN X86_INLINE void copy_down(uint8_t *d, const uint8_t *s, uint64_t n, unsigned sz)
{
    for (; n > 0; n--, d -= 1u << sz, s -= 1u << sz) {
        uint64_t v = 0;
        memcpy(&v, s, 1u << sz);
        memcpy(d, &v, 1u << sz);
    }
}

X86_INLINE uint64_t movs(struct vcpu *c, const struct x86_insn *i, unsigned sz, uint64_t n)
{
    uint8_t *s, *d;
    uint64_t ns = n > 1 ? run_si(c, i, sz, &s) : 0;
    uint64_t nd = ns > 1 ? run_di(c, i, sz, X86_ACCESS_W, &d) : 0;

    n = min3(ns, nd, n);
    if (n == 0) {
        store_di(c, i, sz, load_si(c, i, sz));
        n = 1;
    } else if (is_down(c)) {
        copy_down(d, s, n, sz);
    } else {
        copy_up(d, s, n, sz);
    }
    add_index(c, i, X86_RSI, (uint64_t)distance(c, sz, n));
    add_index(c, i, X86_RDI, (uint64_t)distance(c, sz, n));
    return n;
}

/* ---- STOS ---- */

X86_NO_TSAN X86_INLINE void fill(uint8_t *d, uint64_t v, uint64_t n, unsigned sz)
{
    uint64_t ones = ~UINT64_C(0) >> (64 - (8u << sz));

    if (v == ((v & 0xff) * UINT64_C(0x0101010101010101) & ones)) {
        memset(d, (int)(v & 0xff), n << sz);
        return;
    }
    for (; n > 0; n--, d += 1u << sz)
        memcpy(d, &v, 1u << sz);
}

X86_INLINE uint64_t stos(struct vcpu *c, const struct x86_insn *i, unsigned sz, uint64_t n)
{
    uint64_t v = x86_get(c, X86_RAX * 8, sz), nd;
    uint8_t *d;

    nd = n > 1 ? run_di(c, i, sz, X86_ACCESS_W, &d) : 0;
    if (nd == 0) {
        store_di(c, i, sz, v);
        n = 1;
    } else {
        n = nd < n ? nd : n;
        fill(is_down(c) ? d - ((n - 1) << sz) : d, v, n, sz);
    }
    add_index(c, i, X86_RDI, (uint64_t)distance(c, sz, n));
    return n;
}

/* ---- LODS: of a run only the last element is seen ---- */

X86_INLINE uint64_t lods(struct vcpu *c, const struct x86_insn *i, unsigned sz, uint64_t n)
{
    uint8_t *s;
    uint64_t ns = n > 1 ? run_si(c, i, sz, &s) : 0;

    if (ns == 0) {
        x86_set(c, X86_RAX * 8, sz, load_si(c, i, sz));
        n = 1;
    } else {
        uint64_t v = 0;
        n = ns < n ? ns : n;
        memcpy(&v, s + distance(c, sz, n - 1), 1u << sz);
        x86_set(c, X86_RAX * 8, sz, v);
    }
    add_index(c, i, X86_RSI, (uint64_t)distance(c, sz, n));
    return n;
}

#define COPY(name, W, sz, SI, DI)                                                                  \
    X86_H(name##W)                                                                                 \
    {                                                                                              \
        if (is_repeated(i))                                                                        \
            REPEAT(name(c, i, sz, n), SI, DI);                                                     \
        else                                                                                       \
            (void)name(c, i, sz, 1);                                                               \
        X86_NEXT(c, i);                                                                            \
    }
#define COPIES(name, SI, DI)                                                                       \
    COPY(name, 8, 0, SI, DI)                                                                       \
    COPY(name, 16, 1, SI, DI)                                                                      \
    COPY(name, 32, 2, SI, DI)                                                                      \
    COPY(name, 64, 3, SI, DI)
COPIES(movs, true, true)
COPIES(stos, false, true)
COPIES(lods, false, false)

/* ---- SCAS and CMPS ---- */

/* The last pair compared: flags follow from it once the instruction ends or is left. A fault
 * leaves them as they were before it began [SDM-2B REP]. */
struct compared {
    uint64_t a, b;
    bool stop; /* the pair ended the repetition */
};

X86_INLINE uint64_t element(const uint8_t *p, unsigned sz)
{
    uint64_t v = 0;
    memcpy(&v, p, 1u << sz);
    return v;
}

X86_NO_TSAN X86_INLINE uint64_t scas(struct vcpu *c, const struct x86_insn *i, unsigned sz,
                                     uint64_t n, struct compared *last)
{
    bool until = i->flags & X86_I_REPNE; /* equality that ends the repetition */
    uint64_t a = x86_get(c, X86_RAX * 8, sz), b, nd, k = 0;
    int64_t step = distance(c, sz, 1);
    uint8_t *d;

    nd = n > 1 ? run_di(c, i, sz, X86_ACCESS_R, &d) : 0;
    if (nd == 0) {
        b = load_di(c, i, sz);
        k = 1;
    } else {
        n = nd < n ? nd : n;
        if (sz == 0 && until && !is_down(c)) {
            const uint8_t *hit = memchr(d, (int)a, n);
            k = hit != NULL ? (uint64_t)(hit - d) : n - 1;
            d += k;
        }
        do {
            b = element(d, sz);
            d += step;
        } while (++k < n && (a == b) != until);
    }
    *last = (struct compared) { a, b, (a == b) == until };
    add_index(c, i, X86_RDI, (uint64_t)distance(c, sz, k));
    return k;
}

X86_NO_TSAN X86_INLINE uint64_t cmps(struct vcpu *c, const struct x86_insn *i, unsigned sz,
                                     uint64_t n, struct compared *last)
{
    bool until = i->flags & X86_I_REPNE;
    uint64_t a, b, ns, nd, k = 0;
    int64_t step = distance(c, sz, 1);
    uint8_t *s, *d;

    /* The hardware loads ES:rDI first: so say the addresses of page faults. */
    nd = n > 1 ? run_di(c, i, sz, X86_ACCESS_R, &d) : 0;
    ns = nd > 0 ? run_si(c, i, sz, &s) : 0;
    n = min3(ns, nd, n);
    if (n == 0) {
        b = load_di(c, i, sz);
        a = load_si(c, i, sz);
        k = 1;
    } else {
        if (!until && !is_down(c)) { /* equal elements, eight bytes at a time, but for the last */
            for (uint64_t w = 8u >> sz; n - k > w && element(s, 3) == element(d, 3); k += w)
                s += 8, d += 8;
        }
        do {
            a = element(s, sz);
            b = element(d, sz);
            s += step;
            d += step;
        } while (++k < n && (a == b) != until);
    }
    *last = (struct compared) { a, b, (a == b) == until };
    add_index(c, i, X86_RSI, (uint64_t)distance(c, sz, k));
    add_index(c, i, X86_RDI, (uint64_t)distance(c, sz, k));
    return k;
}

/* The count is decremented before the condition is looked at; 0 iterations change no flag. */
#define COMPARE(name, W, sz)                                                                       \
    X86_H(name##W)                                                                                 \
    {                                                                                              \
        struct compared last;                                                                      \
        if (!is_repeated(i)) {                                                                     \
            (void)name(c, i, sz, 1, &last);                                                        \
            (void)x86_op_cmp(c, W, last.a, last.b);                                                \
            X86_NEXT(c, i);                                                                        \
        }                                                                                          \
        uint64_t count = GPR[X86_RCX] & address_mask(i), done;                                     \
        begin_repeat(c, i, false, false);                                                          \
        if (count == 0)                                                                            \
            X86_NEXT(c, i);                                                                        \
        for (;;) {                                                                                 \
            done = name(c, i, sz, chunk_limit(c, count), &last);                                   \
            add_index(c, i, X86_RCX, -done);                                                       \
            count -= done;                                                                         \
            if (last.stop || count == 0)                                                           \
                break;                                                                             \
            if (x86_unlikely(must_leave(c))) {                                                     \
                (void)x86_op_cmp(c, W, last.a, last.b);                                            \
                vm__x86_leave_at(c, i);                                                            \
                X86_LEAVE(c);                                                                      \
            }                                                                                      \
        }                                                                                          \
        (void)x86_op_cmp(c, W, last.a, last.b);                                                    \
        X86_NEXT(c, i);                                                                            \
    }
#define COMPARES(name)                                                                             \
    COMPARE(name, 8, 0) COMPARE(name, 16, 1) COMPARE(name, 32, 2) COMPARE(name, 64, 3)
COMPARES(scas)
COMPARES(cmps)
