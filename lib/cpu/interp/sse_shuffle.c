/* SPDX-License-Identifier: MIT */
/**
 * @file sse_shuffle.c
 * SSE and SSE2 shuffles by an immediate, PINSRW, PEXTRW, and their VEX forms.
 *
 * The immediate is known only now, so elements are picked in general registers.
 */
#include "cpu/interp/vec.h"

static inline uint64_t low64(x86_v v)
{
    return (uint64_t)_mm_cvtsi128_si64(v);
}
static inline uint64_t high64(x86_v v)
{
    return low64(_mm_unpackhi_epi64(v, v));
}

/* Word k of the result is word sel[k] of v. */
static inline uint64_t pick_words(uint64_t v, unsigned sel)
{
    uint64_t r = v >> (sel & 3) * 16 & 0xffff;
    r |= (v >> (sel >> 2 & 3) * 16 & 0xffff) << 16;
    r |= (v >> (sel >> 4 & 3) * 16 & 0xffff) << 32;
    return r | (v >> (sel >> 6 & 3) * 16) << 48;
}

static inline x86_v from_halves(uint64_t lo, uint64_t hi)
{
    return _mm_set_epi64x((long long)hi, (long long)lo);
}

union words {
    x86_v v;
    uint16_t w[8];
    uint32_t d[4];
};

static inline x86_v op_pshufd(x86_v a, unsigned n)
{
    union words u = { .v = a };
    return _mm_setr_epi32((int)u.d[n & 3], (int)u.d[n >> 2 & 3], (int)u.d[n >> 4 & 3],
                          (int)u.d[n >> 6 & 3]);
}
static inline x86_v op_pshuflw(x86_v a, unsigned n)
{
    return from_halves(pick_words(low64(a), n), high64(a));
}
static inline x86_v op_pshufhw(x86_v a, unsigned n)
{
    return from_halves(low64(a), pick_words(high64(a), n));
}
static inline x86_v op_shufps(x86_v a, x86_v b, unsigned n)
{
    union words u = { .v = a }, w = { .v = b };
    return _mm_setr_epi32((int)u.d[n & 3], (int)u.d[n >> 2 & 3], (int)w.d[n >> 4 & 3],
                          (int)w.d[n >> 6 & 3]);
}
static inline x86_v op_shufpd(x86_v a, x86_v b, unsigned n)
{
    return from_halves(n & 1 ? high64(a) : low64(a), n & 2 ? high64(b) : low64(b));
}

VEC_UNI_FORMS(pshufd, 0)
VEC_UNI_FORMS(pshuflw, 0)
VEC_UNI_FORMS(pshufhw, 0)
VEC_BINI_FORMS(shufps, 0)
VEC_BINI_FORMS(shufpd, 2)

/* ---- words to and from general registers ---- */

static inline x86_v set_word(x86_v a, unsigned n, uint16_t v)
{
    union words u = { .v = a };
    u.w[n & 7] = v;
    return u.v;
}
static inline uint16_t get_word(x86_v a, unsigned n)
{
    union words u = { .v = a };
    return u.w[n & 7];
}

X86_H(pinsrw_rri)
{
    x86_vset(c, i->dst, set_word(x86_vlo(c, i->dst), x86_imm8(i), (uint16_t)*x86_r64(c, i->src)));
    X86_NEXT(c, i);
}

X86_H(pinsrw_rmi)
{
    uint16_t v = x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R));
    x86_vset(c, i->dst, set_word(x86_vlo(c, i->dst), x86_imm8(i), v));
    X86_NEXT(c, i);
}

X86_H(vpinsrw_rrri)
{
    x86_vset128(c, i->dst,
                set_word(x86_vlo(c, i->src), x86_imm8(i), (uint16_t)*x86_r64(c, i->src2)));
    X86_NEXT(c, i);
}

X86_H(vpinsrw_rrmi)
{
    uint16_t v = x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R));
    x86_vset128(c, i->dst, set_word(x86_vlo(c, i->src), x86_imm8(i), v));
    X86_NEXT(c, i);
}

X86_H(pextrw_rri)
{
    x86_set32(c, i->dst, get_word(x86_vlo(c, i->src), x86_imm8(i)));
    X86_NEXT(c, i);
}
