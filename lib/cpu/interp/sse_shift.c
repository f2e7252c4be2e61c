/* SPDX-License-Identifier: MIT */
/**
 * @file sse_shift.c
 * SSE2 shifts, with their AVX and AVX2 forms.
 *
 * By a register or 128-bit memory operand: the count is its low 64 bits, also for VEX.256; by an
 * immediate; and of the whole register by bytes.
 */
#include "cpu/interp/vec.h"

/* dst = op(dst, count), both lanes by the same count. */
#define SHIFT_REG(name, fn)                                                                        \
    VEC_OP2(name, fn(a, b))                                                                        \
    VEC_BIN_LEGACY(name)                                                                           \
    VEC_BIN_128(name)                                                                              \
    X86_H(v##name##256_rrr)                                                                        \
    {                                                                                              \
        x86_v n = x86_vlo(c, i->src2);                                                             \
        x86_vset256(c, i->dst, fn(x86_vlo(c, i->src), n), fn(x86_vhi(c, i->src), n));              \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rrm)                                                                        \
    {                                                                                              \
        x86_v n = x86_vload(vm__x86_src16(c, i));                                                  \
        x86_vset256(c, i->dst, fn(x86_vlo(c, i->src), n), fn(x86_vhi(c, i->src), n));              \
        X86_NEXT(c, i);                                                                            \
    }

/* The register operand is ModRM.rm: read and written in the legacy form, source of the VEX one. */
#define SHIFT_IMM(name, expr)                                                                      \
    VEC_SHIFT_OP(name, expr)                                                                       \
    X86_H(name##_ri)                                                                               \
    {                                                                                              \
        x86_vset(c, i->dst, op_##name(x86_vlo(c, i->dst), x86_imm8(i)));                           \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rri)                                                                        \
    {                                                                                              \
        x86_vset128(c, i->dst, op_##name(x86_vlo(c, i->src), x86_imm8(i)));                        \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rri)                                                                        \
    {                                                                                              \
        unsigned n = x86_imm8(i);                                                                  \
        x86_v lo = op_##name(x86_vlo(c, i->src), n), hi = op_##name(x86_vhi(c, i->src), n);        \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_SHIFT_OP(name, expr)                                                                   \
    static inline x86_v op_##name(x86_v a, unsigned n)                                             \
    {                                                                                              \
        return (expr);                                                                             \
    }

#define COUNT(n) _mm_cvtsi32_si128((int)(n))

SHIFT_REG(psraw, _mm_sra_epi16)
SHIFT_REG(psrad, _mm_sra_epi32)
SHIFT_REG(psrlw, _mm_srl_epi16)
SHIFT_REG(psrld, _mm_srl_epi32)
SHIFT_REG(psrlq, _mm_srl_epi64)
SHIFT_REG(psllw, _mm_sll_epi16)
SHIFT_REG(pslld, _mm_sll_epi32)
SHIFT_REG(psllq, _mm_sll_epi64)

SHIFT_IMM(psrawi, _mm_sra_epi16(a, COUNT(n)))
SHIFT_IMM(psradi, _mm_sra_epi32(a, COUNT(n)))
SHIFT_IMM(psrlwi, _mm_srl_epi16(a, COUNT(n)))
SHIFT_IMM(psrldi, _mm_srl_epi32(a, COUNT(n)))
SHIFT_IMM(psrlqi, _mm_srl_epi64(a, COUNT(n)))
SHIFT_IMM(psllwi, _mm_sll_epi16(a, COUNT(n)))
SHIFT_IMM(pslldi, _mm_sll_epi32(a, COUNT(n)))
SHIFT_IMM(psllqi, _mm_sll_epi64(a, COUNT(n)))

/* A byte shift is one of 64-bit halves with what crosses over; a 64-bit shift by 64 or more gives
 * zero, and so does the one by "minus" a count. */
static inline x86_v shift_right(x86_v a, unsigned n)
{
    x86_v high = _mm_unpackhi_epi64(a, _mm_setzero_si128()); /* to the low half */
    unsigned bits = n > 15 ? 128 : n * 8;
    if (bits >= 64)
        return _mm_srl_epi64(high, COUNT(bits - 64));
    return _mm_or_si128(_mm_srl_epi64(a, COUNT(bits)), _mm_sll_epi64(high, COUNT(64 - bits)));
}

static inline x86_v shift_left(x86_v a, unsigned n)
{
    x86_v low = _mm_slli_si128(a, 8); /* to the high half */
    unsigned bits = n > 15 ? 128 : n * 8;
    if (bits >= 64)
        return _mm_sll_epi64(low, COUNT(bits - 64));
    return _mm_or_si128(_mm_sll_epi64(a, COUNT(bits)), _mm_srl_epi64(low, COUNT(64 - bits)));
}

SHIFT_IMM(psrldqi, shift_right(a, n))
SHIFT_IMM(pslldqi, shift_left(a, n))
