/* SPDX-License-Identifier: MIT */
/**
 * @file sse41_blend.c
 * SSE4.1 blends, insertions, extractions and MPSADBW, with the AVX and AVX2 forms. The host has
 * SSE4.1.
 */
#include "cpu/interp/vec.h"

/* ---- blends: b where the selector's sign bit is set, else a ---- */

static inline x86_v blend_ps(x86_v a, x86_v b, x86_v m)
{
    return _mm_castps_si128(
        _mm_blendv_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), _mm_castsi128_ps(m)));
}
static inline x86_v blend_pd(x86_v a, x86_v b, x86_v m)
{
    return _mm_castpd_si128(
        _mm_blendv_pd(_mm_castsi128_pd(a), _mm_castsi128_pd(b), _mm_castsi128_pd(m)));
}

/* By XMM0, or by the register in the immediate's upper half (eight registers outside 64-bit
 * mode). */
static inline unsigned is4(struct vcpu *c, const struct x86_insn *i)
{
    return x86_imm8(i) >> 4 & (x86_is64(c) ? 15 : 7);
}

#define BLENDV(name, fn)                                                                           \
    X86_H(name##_rrr)                                                                              \
    {                                                                                              \
        x86_vset(c, i->dst, fn(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vlo(c, 0)));            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_rmr)                                                                              \
    {                                                                                              \
        x86_v b = x86_vload(vm__x86_src16a(c, i));                                                 \
        x86_vset(c, i->dst, fn(x86_vlo(c, i->dst), b, x86_vlo(c, 0)));                             \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rrrr)                                                                       \
    {                                                                                              \
        unsigned m = is4(c, i);                                                                    \
        x86_vset128(c, i->dst, fn(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_vlo(c, m)));        \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rrmr)                                                                       \
    {                                                                                              \
        x86_v b = x86_vload(vm__x86_src16(c, i));                                                  \
        x86_vset128(c, i->dst, fn(x86_vlo(c, i->src), b, x86_vlo(c, is4(c, i))));                  \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rrrr)                                                                       \
    {                                                                                              \
        unsigned m = is4(c, i);                                                                    \
        x86_v lo = fn(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_vlo(c, m));                     \
        x86_v hi = fn(x86_vhi(c, i->src), x86_vhi(c, i->src2), x86_vhi(c, m));                     \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rrmr)                                                                       \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        unsigned m = is4(c, i);                                                                    \
        x86_v lo = fn(x86_vlo(c, i->src), x86_vload(p), x86_vlo(c, m));                            \
        x86_v hi = fn(x86_vhi(c, i->src), x86_vload(p + 1), x86_vhi(c, m));                        \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }
BLENDV(pblendvb, _mm_blendv_epi8)
BLENDV(blendvps, blend_ps)
BLENDV(blendvpd, blend_pd)

/* By immediate bits, moved to where the elements' sign bits are. */
static inline x86_v op_blendps(x86_v a, x86_v b, unsigned n)
{
    x86_v m = _mm_mullo_epi32(_mm_set1_epi32((int)n), _mm_setr_epi32(8, 4, 2, 1));
    return blend_ps(a, b, _mm_slli_epi32(m, 28));
}
static inline x86_v op_blendpd(x86_v a, x86_v b, unsigned n)
{
    x86_v m = _mm_mullo_epi32(_mm_set1_epi32((int)n), _mm_setr_epi32(2, 2, 1, 1));
    return blend_pd(a, b, _mm_slli_epi32(m, 30));
}
static inline x86_v op_pblendw(x86_v a, x86_v b, unsigned n)
{
    x86_v m =
        _mm_mullo_epi16(_mm_set1_epi16((short)n), _mm_setr_epi16(128, 64, 32, 16, 8, 4, 2, 1));
    m = _mm_srai_epi16(_mm_slli_epi16(m, 8), 15);
    return _mm_blendv_epi8(a, b, m);
}
VEC_BINI_FORMS(blendps, 4)
VEC_BINI_FORMS(blendpd, 2)
VEC_BINI_FORMS(pblendw, 0)

/* VPBLENDD: four elements a lane, like BLENDPS. */
static inline x86_v op_pblendd(x86_v a, x86_v b, unsigned n)
{
    return op_blendps(a, b, n);
}
VEC_BINI_128(pblendd)
VEC_BINI_256(pblendd, 4)

/* ---- MPSADBW: eight sums of four absolute differences [SDM-2B MPSADBW] ---- */

static inline x86_v op_mpsadbw(x86_v a, x86_v b, unsigned n)
{
    switch (n & 7) {
    case 0:
        return _mm_mpsadbw_epu8(a, b, 0);
    case 1:
        return _mm_mpsadbw_epu8(a, b, 1);
    case 2:
        return _mm_mpsadbw_epu8(a, b, 2);
    case 3:
        return _mm_mpsadbw_epu8(a, b, 3);
    case 4:
        return _mm_mpsadbw_epu8(a, b, 4);
    case 5:
        return _mm_mpsadbw_epu8(a, b, 5);
    case 6:
        return _mm_mpsadbw_epu8(a, b, 6);
    default:
        return _mm_mpsadbw_epu8(a, b, 7);
    }
}
VEC_BINI_FORMS(mpsadbw, 3)

/* ---- elements to and from general registers and memory ---- */

union elements {
    x86_v v;
    uint8_t b[16];
    uint16_t w[8];
    uint32_t d[4];
    uint64_t q[2];
};

static inline x86_v set_b(x86_v a, unsigned n, uint64_t v)
{
    union elements u = { .v = a };
    u.b[n & 15] = (uint8_t)v;
    return u.v;
}
/* Four or eight bytes by operand size. */
static inline x86_v set_y(const struct x86_insn *i, x86_v a, uint64_t v)
{
    union elements u = { .v = a };
    if (i->osz == 3)
        u.q[i->imm & 1] = v;
    else
        u.d[i->imm & 3] = (uint32_t)v;
    return u.v;
}
static inline uint64_t get_b(x86_v a, unsigned n)
{
    union elements u = { .v = a };
    return u.b[n & 15];
}
static inline uint64_t get_w(x86_v a, unsigned n)
{
    union elements u = { .v = a };
    return u.w[n & 7];
}
static inline uint64_t get_d(x86_v a, unsigned n)
{
    union elements u = { .v = a };
    return u.d[n & 3];
}
static inline uint64_t get_y(const struct x86_insn *i, x86_v a)
{
    union elements u = { .v = a };
    return i->osz == 3 ? u.q[i->imm & 1] : u.d[i->imm & 3];
}
static inline uint64_t load_y(struct vcpu *c, const struct x86_insn *i)
{
    return i->osz == 3 ? vm__x86_src_u64(c, i) : vm__x86_src_u32(c, i);
}

X86_H(pinsrb_rri)
{
    x86_vset(c, i->dst, set_b(x86_vlo(c, i->dst), x86_imm8(i), *x86_r64(c, i->src)));
    X86_NEXT(c, i);
}

X86_H(pinsrb_rmi)
{
    uint64_t v = x86_ld8(c, i, x86_lin(c, i, 1, X86_ACCESS_R));
    x86_vset(c, i->dst, set_b(x86_vlo(c, i->dst), x86_imm8(i), v));
    X86_NEXT(c, i);
}

X86_H(vpinsrb_rrri)
{
    x86_vset128(c, i->dst, set_b(x86_vlo(c, i->src), x86_imm8(i), *x86_r64(c, i->src2)));
    X86_NEXT(c, i);
}

X86_H(vpinsrb_rrmi)
{
    uint64_t v = x86_ld8(c, i, x86_lin(c, i, 1, X86_ACCESS_R));
    x86_vset128(c, i->dst, set_b(x86_vlo(c, i->src), x86_imm8(i), v));
    X86_NEXT(c, i);
}

X86_H(pinsrd_rri)
{
    x86_vset(c, i->dst, set_y(i, x86_vlo(c, i->dst), *x86_r64(c, i->src)));
    X86_NEXT(c, i);
}

X86_H(pinsrd_rmi)
{
    uint64_t v = load_y(c, i);
    x86_vset(c, i->dst, set_y(i, x86_vlo(c, i->dst), v));
    X86_NEXT(c, i);
}

X86_H(vpinsrd_rrri)
{
    x86_vset128(c, i->dst, set_y(i, x86_vlo(c, i->src), *x86_r64(c, i->src2)));
    X86_NEXT(c, i);
}

X86_H(vpinsrd_rrmi)
{
    uint64_t v = load_y(c, i);
    x86_vset128(c, i->dst, set_y(i, x86_vlo(c, i->src), v));
    X86_NEXT(c, i);
}

/* The VEX forms are the same: nothing but a general register or memory is written. */
X86_H(pextrb_rri)
{
    *x86_r64(c, i->dst) = get_b(x86_vlo(c, i->src), x86_imm8(i));
    X86_NEXT(c, i);
}

X86_H(pextrb_mri)
{
    x86_st8(c, i, x86_lin(c, i, 1, X86_ACCESS_W), (uint8_t)get_b(x86_vlo(c, i->src), x86_imm8(i)));
    X86_NEXT(c, i);
}

X86_H(pextrw2_rri)
{
    *x86_r64(c, i->dst) = get_w(x86_vlo(c, i->src), x86_imm8(i));
    X86_NEXT(c, i);
}

X86_H(pextrw2_mri)
{
    x86_st16(c, i, x86_lin(c, i, 2, X86_ACCESS_W),
             (uint16_t)get_w(x86_vlo(c, i->src), x86_imm8(i)));
    X86_NEXT(c, i);
}

X86_H(pextrd_rri)
{
    *x86_r64(c, i->dst) = get_y(i, x86_vlo(c, i->src));
    X86_NEXT(c, i);
}

X86_H(pextrd_mri)
{
    uint64_t v = get_y(i, x86_vlo(c, i->src));
    if (i->osz == 3)
        x86_st64(c, i, x86_lin(c, i, 8, X86_ACCESS_W), v);
    else
        x86_st32(c, i, x86_lin(c, i, 4, X86_ACCESS_W), (uint32_t)v);
    X86_NEXT(c, i);
}

X86_H(extractps_rri)
{
    *x86_r64(c, i->dst) = get_d(x86_vlo(c, i->src), x86_imm8(i));
    X86_NEXT(c, i);
}

X86_H(extractps_mri)
{
    x86_st32(c, i, x86_lin(c, i, 4, X86_ACCESS_W),
             (uint32_t)get_d(x86_vlo(c, i->src), x86_imm8(i)));
    X86_NEXT(c, i);
}

/* INSERTPS: source element (register form only), destination element, elements to clear. */
static inline x86_v insert_ps(x86_v a, uint32_t v, unsigned n)
{
    union elements u = { .v = a };
    u.d[n >> 4 & 3] = v;
    for (unsigned k = 0; k < 4; k++)
        if (n >> k & 1)
            u.d[k] = 0;
    return u.v;
}

X86_H(insertps_rri)
{
    uint32_t v = (uint32_t)get_d(x86_vlo(c, i->src), x86_imm8(i) >> 6);
    x86_vset(c, i->dst, insert_ps(x86_vlo(c, i->dst), v, x86_imm8(i)));
    X86_NEXT(c, i);
}

X86_H(insertps_rmi)
{
    uint32_t v = vm__x86_src_u32(c, i);
    x86_vset(c, i->dst, insert_ps(x86_vlo(c, i->dst), v, x86_imm8(i)));
    X86_NEXT(c, i);
}

X86_H(vinsertps_rrri)
{
    uint32_t v = (uint32_t)get_d(x86_vlo(c, i->src2), x86_imm8(i) >> 6);
    x86_vset128(c, i->dst, insert_ps(x86_vlo(c, i->src), v, x86_imm8(i)));
    X86_NEXT(c, i);
}

X86_H(vinsertps_rrmi)
{
    uint32_t v = vm__x86_src_u32(c, i);
    x86_vset128(c, i->dst, insert_ps(x86_vlo(c, i->src), v, x86_imm8(i)));
    X86_NEXT(c, i);
}
