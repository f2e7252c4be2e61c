/* SPDX-License-Identifier: MIT */
/**
 * @file avx.c
 * AVX and AVX2 instructions that have no legacy form: broadcasts, permutations, 128-bit lanes,
 * shifts by element, VZEROUPPER, VZEROALL.
 */
#include "cpu/interp/vec.h"

union lane {
    x86_v v;
    uint32_t d[4];
    uint64_t q[2];
};
union whole {
    x86_v v[2];
    uint32_t d[8];
    uint64_t q[4];
};

/* ---- broadcasts ---- */

static inline x86_v all_b(uint64_t v)
{
    return _mm_set1_epi8((char)v);
}
static inline x86_v all_w(uint64_t v)
{
    return _mm_set1_epi16((short)v);
}
static inline x86_v all_d(uint64_t v)
{
    return _mm_set1_epi32((int)v);
}
static inline x86_v all_q(uint64_t v)
{
    return _mm_set1_epi64x((long long)v);
}
static inline uint64_t load_b(struct vcpu *c, const struct x86_insn *i)
{
    return x86_ld8(c, i, x86_lin(c, i, 1, X86_ACCESS_R));
}
static inline uint64_t load_w(struct vcpu *c, const struct x86_insn *i)
{
    return x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R));
}

#define BROADCAST(name, all, load)                                                                 \
    X86_H(name##128_rr)                                                                            \
    {                                                                                              \
        x86_vset128(c, i->dst, all((uint64_t)_mm_cvtsi128_si64(x86_vlo(c, i->src))));              \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##128_rm)                                                                            \
    {                                                                                              \
        x86_vset128(c, i->dst, all(load(c, i)));                                                   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##256_rr)                                                                            \
    {                                                                                              \
        x86_v r = all((uint64_t)_mm_cvtsi128_si64(x86_vlo(c, i->src)));                            \
        x86_vset256(c, i->dst, r, r);                                                              \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##256_rm)                                                                            \
    {                                                                                              \
        x86_v r = all(load(c, i));                                                                 \
        x86_vset256(c, i->dst, r, r);                                                              \
        X86_NEXT(c, i);                                                                            \
    }
BROADCAST(vpbroadcastb, all_b, load_b)
BROADCAST(vpbroadcastw, all_w, load_w)
BROADCAST(vpbroadcastd, all_d, vm__x86_src_u32)
BROADCAST(vpbroadcastq, all_q, vm__x86_src_u64)

X86_H(vbroadcast128_rm)
{
    x86_v r = x86_vload(vm__x86_src16(c, i));
    x86_vset256(c, i->dst, r, r);
    X86_NEXT(c, i);
}

/* ---- permutations within lanes ---- */

static inline x86_v op_permilps(x86_v a, x86_v sel)
{
    union lane u = { .v = a }, s = { .v = sel };
    return _mm_setr_epi32((int)u.d[s.d[0] & 3], (int)u.d[s.d[1] & 3], (int)u.d[s.d[2] & 3],
                          (int)u.d[s.d[3] & 3]);
}
static inline x86_v op_permilpd(x86_v a, x86_v sel)
{
    union lane u = { .v = a }, s = { .v = sel };
    return _mm_set_epi64x((long long)u.q[s.q[1] >> 1 & 1], (long long)u.q[s.q[0] >> 1 & 1]);
}
VEC_BIN_VEX(permilps)
VEC_BIN_VEX(permilpd)

static inline x86_v op_permilpsi(x86_v a, unsigned n)
{
    union lane u = { .v = a };
    return _mm_setr_epi32((int)u.d[n & 3], (int)u.d[n >> 2 & 3], (int)u.d[n >> 4 & 3],
                          (int)u.d[n >> 6 & 3]);
}
static inline x86_v op_permilpdi(x86_v a, unsigned n)
{
    union lane u = { .v = a };
    return _mm_set_epi64x((long long)u.q[n >> 1 & 1], (long long)u.q[n & 1]);
}
VEC_UNI_128(permilpsi)
VEC_UNI_256(permilpsi, 0)
VEC_UNI_128(permilpdi)
VEC_UNI_256(permilpdi, 2)

/* ---- permutations of the whole register ---- */

/* VPERMD, VPERMPS: the selectors are the first source. */
static inline void permd(struct vcpu *c, const struct x86_insn *i, x86_v lo, x86_v hi)
{
    union whole s = { .v = { lo, hi } };
    union whole n = { .v = { x86_vlo(c, i->src), x86_vhi(c, i->src) } };
    union whole r;
    for (unsigned k = 0; k < 8; k++)
        r.d[k] = s.d[n.d[k] & 7];
    x86_vset256(c, i->dst, r.v[0], r.v[1]);
}
static inline void permq(struct vcpu *c, const struct x86_insn *i, x86_v lo, x86_v hi)
{
    union whole s = { .v = { lo, hi } };
    unsigned n = x86_imm8(i);
    x86_vset256(c, i->dst, _mm_set_epi64x((long long)s.q[n >> 2 & 3], (long long)s.q[n & 3]),
                _mm_set_epi64x((long long)s.q[n >> 6 & 3], (long long)s.q[n >> 4 & 3]));
}

X86_H(vpermd_rrr)
{
    permd(c, i, x86_vlo(c, i->src2), x86_vhi(c, i->src2));
    X86_NEXT(c, i);
}

X86_H(vpermd_rrm)
{
    const x86_v *p = vm__x86_src32(c, i);
    permd(c, i, x86_vload(p), x86_vload(p + 1));
    X86_NEXT(c, i);
}

X86_H(vpermq_rri)
{
    permq(c, i, x86_vlo(c, i->src), x86_vhi(c, i->src));
    X86_NEXT(c, i);
}

X86_H(vpermq_rmi)
{
    const x86_v *p = vm__x86_src32(c, i);
    permq(c, i, x86_vload(p), x86_vload(p + 1));
    X86_NEXT(c, i);
}

/* VPERM2F128: each half is one of the four source halves, or zero. */
static inline x86_v half(struct vcpu *c, const struct x86_insn *i, x86_v lo, x86_v hi, unsigned n)
{
    if (n & 8)
        return _mm_setzero_si128();
    if (n & 2)
        return n & 1 ? hi : lo;
    return n & 1 ? x86_vhi(c, i->src) : x86_vlo(c, i->src);
}

X86_H(vperm2f128_rrri)
{
    x86_v lo = x86_vlo(c, i->src2), hi = x86_vhi(c, i->src2);
    x86_v r0 = half(c, i, lo, hi, x86_imm8(i)), r1 = half(c, i, lo, hi, x86_imm8(i) >> 4);
    x86_vset256(c, i->dst, r0, r1);
    X86_NEXT(c, i);
}

X86_H(vperm2f128_rrmi)
{
    const x86_v *p = vm__x86_src32(c, i);
    x86_v lo = x86_vload(p), hi = x86_vload(p + 1);
    x86_v r0 = half(c, i, lo, hi, x86_imm8(i)), r1 = half(c, i, lo, hi, x86_imm8(i) >> 4);
    x86_vset256(c, i->dst, r0, r1);
    X86_NEXT(c, i);
}

/* ---- lanes in and out ---- */

static inline void insert(struct vcpu *c, const struct x86_insn *i, x86_v v)
{
    if (x86_imm8(i) & 1)
        x86_vset256(c, i->dst, x86_vlo(c, i->src), v);
    else
        x86_vset256(c, i->dst, v, x86_vhi(c, i->src));
}

X86_H(vinsertf128_rrri)
{
    insert(c, i, x86_vlo(c, i->src2));
    X86_NEXT(c, i);
}

X86_H(vinsertf128_rrmi)
{
    insert(c, i, x86_vload(vm__x86_src16(c, i)));
    X86_NEXT(c, i);
}

X86_H(vextractf128_rri)
{
    x86_vset128(c, i->dst, x86_imm8(i) & 1 ? x86_vhi(c, i->src) : x86_vlo(c, i->src));
    X86_NEXT(c, i);
}

X86_H(vextractf128_mri)
{
    vm__x86_st_block(c, i, x86_lin(c, i, 16, X86_ACCESS_W),
                     c->st.vec[i->src] + (x86_imm8(i) & 1 ? 16 : 0), 16);
    X86_NEXT(c, i);
}

/* ---- shifts of each element by its own count ---- */

#define SHIFT_EACH(name, type, field, n_elems, expr)                                               \
    static inline x86_v op_##name(x86_v a, x86_v b)                                                \
    {                                                                                              \
        union lane u = { .v = a }, s = { .v = b };                                                 \
        for (unsigned k = 0; k < (n_elems); k++) {                                                 \
            type v = u.field[k], n = s.field[k];                                                   \
            u.field[k] = (expr);                                                                   \
        }                                                                                          \
        return u.v;                                                                                \
    }                                                                                              \
    VEC_BIN_VEX(name)
SHIFT_EACH(psllvd, uint32_t, d, 4, n < 32 ? v << n : 0)
SHIFT_EACH(psrlvd, uint32_t, d, 4, n < 32 ? v >> n : 0)
SHIFT_EACH(psravd, uint32_t, d, 4, (uint32_t)((int32_t)v >> (n < 32 ? n : 31)))
SHIFT_EACH(psllvq, uint64_t, q, 2, n < 64 ? v << n : 0)
SHIFT_EACH(psrlvq, uint64_t, q, 2, n < 64 ? v >> n : 0)

/* ---- clearing; eight registers outside 64-bit mode ---- */

X86_H(vzeroupper)
{
    for (unsigned n = x86_is64(c) ? 16 : 8; n-- > 0;)
        _mm_store_si128(x86_vp(c, n) + 1, _mm_setzero_si128());
    X86_NEXT(c, i);
}

X86_H(vzeroall)
{
    for (unsigned n = x86_is64(c) ? 16 : 8; n-- > 0;)
        x86_vset128(c, n, _mm_setzero_si128());
    X86_NEXT(c, i);
}
