/* SPDX-License-Identifier: MIT */
/**
 * @file sse41.c
 * SSE4.1 integer arithmetic and comparison, widening moves, PTEST; SSE4.2 PCMPGTQ; with the AVX
 * and AVX2 forms. The host has SSE4.2.
 */
#include "cpu/interp/vec.h"

VEC_BIN(pcmpeqq, _mm_cmpeq_epi64(a, b))
VEC_BIN(pcmpgtq, _mm_cmpgt_epi64(a, b))
VEC_BIN(packusdw, _mm_packus_epi32(a, b))
VEC_BIN(pmuldq, _mm_mul_epi32(a, b))
VEC_BIN(pmulld, _mm_mullo_epi32(a, b))
VEC_BIN(pminsb, _mm_min_epi8(a, b))
VEC_BIN(pminsd, _mm_min_epi32(a, b))
VEC_BIN(pminuw, _mm_min_epu16(a, b))
VEC_BIN(pminud, _mm_min_epu32(a, b))
VEC_BIN(pmaxsb, _mm_max_epi8(a, b))
VEC_BIN(pmaxsd, _mm_max_epi32(a, b))
VEC_BIN(pmaxuw, _mm_max_epu16(a, b))
VEC_BIN(pmaxud, _mm_max_epu32(a, b))

VEC_OP1(phminposuw, _mm_minpos_epu16(a))
VEC_UN_LEGACY(phminposuw)
VEC_UN_128(phminposuw)

/* ---- PMOVSX, PMOVZX: 8, 4 or 2 bytes to 16, twice that to 32 ---- */

static inline x86_v src_w(struct vcpu *c, const struct x86_insn *i)
{
    return _mm_cvtsi32_si128(x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R)));
}
static inline x86_v src_o(struct vcpu *c, const struct x86_insn *i)
{
    return x86_vload(vm__x86_src16(c, i));
}

#define EXTEND(name, fn, load128, load256, half)                                                   \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        x86_vset(c, i->dst, fn(x86_vlo(c, i->src)));                                               \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        x86_vset(c, i->dst, fn(load128(c, i)));                                                    \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rr)                                                                         \
    {                                                                                              \
        x86_vset128(c, i->dst, fn(x86_vlo(c, i->src)));                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rm)                                                                         \
    {                                                                                              \
        x86_vset128(c, i->dst, fn(load128(c, i)));                                                 \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rr)                                                                         \
    {                                                                                              \
        x86_v s = x86_vlo(c, i->src);                                                              \
        x86_vset256(c, i->dst, fn(s), fn(_mm_srli_si128(s, half)));                                \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rm)                                                                         \
    {                                                                                              \
        x86_v s = load256(c, i);                                                                   \
        x86_vset256(c, i->dst, fn(s), fn(_mm_srli_si128(s, half)));                                \
        X86_NEXT(c, i);                                                                            \
    }
EXTEND(pmovsxbw, _mm_cvtepi8_epi16, x86_src_q, src_o, 8)
EXTEND(pmovsxbd, _mm_cvtepi8_epi32, x86_src_d, x86_src_q, 4)
EXTEND(pmovsxbq, _mm_cvtepi8_epi64, src_w, x86_src_d, 2)
EXTEND(pmovsxwd, _mm_cvtepi16_epi32, x86_src_q, src_o, 8)
EXTEND(pmovsxwq, _mm_cvtepi16_epi64, x86_src_d, x86_src_q, 4)
EXTEND(pmovsxdq, _mm_cvtepi32_epi64, x86_src_q, src_o, 8)
EXTEND(pmovzxbw, _mm_cvtepu8_epi16, x86_src_q, src_o, 8)
EXTEND(pmovzxbd, _mm_cvtepu8_epi32, x86_src_d, x86_src_q, 4)
EXTEND(pmovzxbq, _mm_cvtepu8_epi64, src_w, x86_src_d, 2)
EXTEND(pmovzxwd, _mm_cvtepu16_epi32, x86_src_q, src_o, 8)
EXTEND(pmovzxwq, _mm_cvtepu16_epi64, x86_src_d, x86_src_q, 4)
EXTEND(pmovzxdq, _mm_cvtepu32_epi64, x86_src_q, src_o, 8)

/* ---- PTEST, VTESTPS, VTESTPD: ZF: a & b is zero, CF: ~a & b is; the others are cleared ---- */

static inline void test_flags(struct vcpu *c, x86_v and, x86_v andn, x86_v mask)
{
    uint32_t f = _mm_testz_si128(and, mask) ? X86_ZF : 0;
    x86_set_arith(c, f | (_mm_testz_si128(andn, mask) ? X86_CF : 0));
}

#define TEST(name, mask)                                                                           \
    static inline void name##128(struct vcpu * c, x86_v a, x86_v b)                                \
    {                                                                                              \
        test_flags(c, _mm_and_si128(a, b), _mm_andnot_si128(a, b), mask);                          \
    }                                                                                              \
    static inline void name##256(struct vcpu * c, x86_v a, x86_v b, x86_v ah, x86_v bh)            \
    {                                                                                              \
        test_flags(c, _mm_or_si128(_mm_and_si128(a, b), _mm_and_si128(ah, bh)),                    \
                   _mm_or_si128(_mm_andnot_si128(a, b), _mm_andnot_si128(ah, bh)), mask);          \
    }                                                                                              \
    X86_H(v##name##128_rr)                                                                         \
    {                                                                                              \
        name##128(c, x86_vlo(c, i->dst), x86_vlo(c, i->src));                                      \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rm)                                                                         \
    {                                                                                              \
        name##128(c, x86_vlo(c, i->dst), x86_vload(vm__x86_src16(c, i)));                          \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rr)                                                                         \
    {                                                                                              \
        name##256(c, x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vhi(c, i->dst),                   \
                  x86_vhi(c, i->src));                                                             \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rm)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        name##256(c, x86_vlo(c, i->dst), x86_vload(p), x86_vhi(c, i->dst), x86_vload(p + 1));      \
        X86_NEXT(c, i);                                                                            \
    }
TEST(ptest, _mm_set1_epi32(-1))
TEST(testps, _mm_set1_epi32(INT32_MIN))
TEST(testpd, _mm_set1_epi64x(INT64_MIN))

X86_H(ptest_rr)
{
    ptest128(c, x86_vlo(c, i->dst), x86_vlo(c, i->src));
    X86_NEXT(c, i);
}

X86_H(ptest_rm)
{
    ptest128(c, x86_vlo(c, i->dst), x86_vload(vm__x86_src16a(c, i)));
    X86_NEXT(c, i);
}
