/* SPDX-License-Identifier: MIT */
/**
 * @file sse_part.c
 * Moves of parts of a register: MOVD, MOVQ, MOVSS, MOVSD, MOVLPS, MOVHPS, MOVMSKPS, PMOVMSKB,
 * MOVNTI, MASKMOVDQU; legacy and VEX.
 */
#include "cpu/interp/vec.h"

static inline x86_v low_q(x86_v v)
{
    return _mm_move_epi64(v);
}
/* Low 32 or 64 bits from b, the rest from a. */
static inline x86_v merge_d(x86_v a, x86_v b)
{
    return _mm_castps_si128(_mm_move_ss(_mm_castsi128_ps(a), _mm_castsi128_ps(b)));
}
static inline x86_v merge_q(x86_v a, x86_v b)
{
    return _mm_castpd_si128(_mm_move_sd(_mm_castsi128_pd(a), _mm_castsi128_pd(b)));
}
static inline x86_v from_d(uint32_t v)
{
    return _mm_cvtsi32_si128((int)v);
}
static inline x86_v from_q(uint64_t v)
{
    return _mm_cvtsi64_si128((long long)v);
}
static inline uint64_t q_of(struct vcpu *c, unsigned n, unsigned k)
{
    uint64_t v;
    memcpy(&v, c->st.vec[n] + 8 * k, 8);
    return v;
}
static inline uint32_t d_of(struct vcpu *c, unsigned n)
{
    uint32_t v;
    memcpy(&v, c->st.vec[n], 4);
    return v;
}

/* ---- memory forms, for flat and for general addressing ---- */

#define PARTS(suffix, R4, R8, W4, W8)                                                              \
    X86_H(movq_rm##suffix)                                                                         \
    {                                                                                              \
        x86_vset(c, i->dst, from_q(x86_ld64(c, i, R8)));                                           \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(vmovq_rm##suffix)                                                                        \
    {                                                                                              \
        x86_vset128(c, i->dst, from_q(x86_ld64(c, i, R8)));                                        \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movq_mr##suffix)                                                                         \
    {                                                                                              \
        x86_st64(c, i, W8, q_of(c, i->src, 0));                                                    \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movss_rm##suffix)                                                                        \
    {                                                                                              \
        x86_vset(c, i->dst, from_d(x86_ld32(c, i, R4)));                                           \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(vmovss_rm##suffix)                                                                       \
    {                                                                                              \
        x86_vset128(c, i->dst, from_d(x86_ld32(c, i, R4)));                                        \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movss_mr##suffix)                                                                        \
    {                                                                                              \
        x86_st32(c, i, W4, d_of(c, i->src));                                                       \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movsd_mr##suffix)                                                                        \
    {                                                                                              \
        x86_st64(c, i, W8, q_of(c, i->src, 0));                                                    \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movhp_mr##suffix)                                                                        \
    {                                                                                              \
        x86_st64(c, i, W8, q_of(c, i->src, 1));                                                    \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movlp_rm##suffix)                                                                        \
    {                                                                                              \
        x86_v v = from_q(x86_ld64(c, i, R8));                                                      \
        x86_vset(c, i->dst, merge_q(x86_vlo(c, i->dst), v));                                       \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movhp_rm##suffix)                                                                        \
    {                                                                                              \
        x86_v v = from_q(x86_ld64(c, i, R8));                                                      \
        x86_vset(c, i->dst, _mm_unpacklo_epi64(x86_vlo(c, i->dst), v));                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(vmovlp_rrm##suffix)                                                                      \
    {                                                                                              \
        x86_v v = from_q(x86_ld64(c, i, R8));                                                      \
        x86_vset128(c, i->dst, merge_q(x86_vlo(c, i->src), v));                                    \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(vmovhp_rrm##suffix)                                                                      \
    {                                                                                              \
        x86_v v = from_q(x86_ld64(c, i, R8));                                                      \
        x86_vset128(c, i->dst, _mm_unpacklo_epi64(x86_vlo(c, i->src), v));                         \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movd_to_rm##suffix)                                                                      \
    {                                                                                              \
        x86_vset(c, i->dst,                                                                        \
                 i->osz == 3 ? from_q(x86_ld64(c, i, R8)) : from_d(x86_ld32(c, i, R4)));           \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(vmovd_to_rm##suffix)                                                                     \
    {                                                                                              \
        x86_vset128(c, i->dst,                                                                     \
                    i->osz == 3 ? from_q(x86_ld64(c, i, R8)) : from_d(x86_ld32(c, i, R4)));        \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movd_from_mr##suffix)                                                                    \
    {                                                                                              \
        if (i->osz == 3)                                                                           \
            x86_st64(c, i, W8, q_of(c, i->src, 0));                                                \
        else                                                                                       \
            x86_st32(c, i, W4, d_of(c, i->src));                                                   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movnti_mr##suffix)                                                                       \
    {                                                                                              \
        if (i->osz == 3)                                                                           \
            x86_st64(c, i, W8, *x86_r64(c, i->src));                                               \
        else                                                                                       \
            x86_st32(c, i, W4, x86_get32(c, i->src));                                              \
        X86_NEXT(c, i);                                                                            \
    }

#define FLAT x86_lin_flat(c, i)
PARTS(, FLAT, FLAT, FLAT, FLAT)
#define GENERAL(size, how) x86_lin(c, i, size, X86_ACCESS_##how)
PARTS(_g, GENERAL(4, R), GENERAL(8, R), GENERAL(4, W), GENERAL(8, W))

/* ---- register forms ---- */

#define LEGACY(name, expr)                                                                         \
    X86_H(name)                                                                                    \
    {                                                                                              \
        x86_v d = x86_vlo(c, i->dst), s = x86_vlo(c, i->src);                                      \
        (void)d;                                                                                   \
        x86_vset(c, i->dst, expr);                                                                 \
        X86_NEXT(c, i);                                                                            \
    }
#define VEX2(name, expr)                                                                           \
    X86_H(name)                                                                                    \
    {                                                                                              \
        x86_v s = x86_vlo(c, i->src);                                                              \
        x86_vset128(c, i->dst, expr);                                                              \
        X86_NEXT(c, i);                                                                            \
    }
#define VEX3(name, expr)                                                                           \
    X86_H(name)                                                                                    \
    {                                                                                              \
        x86_v d = x86_vlo(c, i->src), s = x86_vlo(c, i->src2);                                     \
        x86_vset128(c, i->dst, expr);                                                              \
        X86_NEXT(c, i);                                                                            \
    }

LEGACY(movq_rr, low_q(s))
VEX2(vmovq_rr, low_q(s))
LEGACY(movss_rr, merge_d(d, s))
LEGACY(movsd_rr, merge_q(d, s))
VEX3(vmovss_rrr, merge_d(d, s))
VEX3(vmovsd_rrr, merge_q(d, s))
LEGACY(movhlps_rr, merge_q(d, _mm_unpackhi_epi64(s, s)))
LEGACY(movlhps_rr, _mm_unpacklo_epi64(d, s))
VEX3(vmovhlps_rrr, merge_q(d, _mm_unpackhi_epi64(s, s)))
VEX3(vmovlhps_rrr, _mm_unpacklo_epi64(d, s))

X86_H(movd_to_rr)
{
    x86_vset(c, i->dst, from_q(i->osz == 3 ? *x86_r64(c, i->src) : x86_get32(c, i->src)));
    X86_NEXT(c, i);
}

X86_H(vmovd_to_rr)
{
    x86_vset128(c, i->dst, from_q(i->osz == 3 ? *x86_r64(c, i->src) : x86_get32(c, i->src)));
    X86_NEXT(c, i);
}

X86_H(movd_from_rr)
{
    *x86_r64(c, i->dst) = i->osz == 3 ? q_of(c, i->src, 0) : d_of(c, i->src);
    X86_NEXT(c, i);
}

/* ---- sign masks to a general register ---- */

static inline unsigned mask_ps(x86_v v)
{
    return (unsigned)_mm_movemask_ps(_mm_castsi128_ps(v));
}
static inline unsigned mask_pd(x86_v v)
{
    return (unsigned)_mm_movemask_pd(_mm_castsi128_pd(v));
}
static inline unsigned mask_b(x86_v v)
{
    return (unsigned)_mm_movemask_epi8(v);
}

#define MASKS(name, fn, bits)                                                                      \
    X86_H(name##128_rr)                                                                            \
    {                                                                                              \
        x86_set32(c, i->dst, fn(x86_vlo(c, i->src)));                                              \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##256_rr)                                                                            \
    {                                                                                              \
        x86_set32(c, i->dst, fn(x86_vlo(c, i->src)) | fn(x86_vhi(c, i->src)) << (bits));           \
        X86_NEXT(c, i);                                                                            \
    }
MASKS(movmskps, mask_ps, 4)
MASKS(movmskpd, mask_pd, 2)
MASKS(pmovmskb, mask_b, 16)

/* ---- MASKMOVDQU ---- */

/* Bytes whose mask bit is clear are not written, but checked as the others are, which the manual
 * leaves open [SDM-2B MASKMOVDQU]: hardware looks at both halves, the upper one first. */
static __attribute__((noinline)) void maskmov(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t off = c->st.gpr[X86_RDI] & (~UINT64_C(0) >> (64 - (8u << i->asz)));
    unsigned mask = mask_b(x86_vlo(c, i->src));

    uint64_t lin = x86_seg_lin(c, i, i->seg, off, 16, X86_ACCESS_W);

    vm__x86_probe_w(c, i, x86_is64(c) ? lin + 8 : (uint32_t)(lin + 8), 8, i->seg);
    vm__x86_probe_w(c, i, lin, 8, i->seg);
    for (unsigned k = 0; k < 16; k++)
        if (mask >> k & 1)
            x86_st8(c, i, lin + k, c->st.vec[i->dst][k]);
}

X86_H(maskmovdqu)
{
    maskmov(c, i);
    X86_NEXT(c, i);
}
