/* SPDX-License-Identifier: MIT */
/**
 * @file sse_cvt.c
 * Conversions between single, double and integer, SSE and SSE2, with the AVX forms.
 */
#include "cpu/interp/fp_forms.h"

FP_UN(cvtdq2ps)
FP_UN(cvtps2dq)
FP_UN(cvttps2dq)
FP_SCALAR(cvtss2sd, d)
FP_SCALAR(cvtsd2ss, q)

/* ---- two elements to twice the size: the source is half as long ---- */

#define WIDEN(name)                                                                                \
    FP_ASM1(name)                                                                                  \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src));                                                   \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        x86_v b = x86_src_q(c, i);                                                                 \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(b);                                                                    \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(v##name##128_rr)                                                                         \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src));                                                   \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##128_rm)                                                                         \
    {                                                                                              \
        x86_v b = x86_src_q(c, i);                                                                 \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(b);                                                                    \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##256_rr)                                                                         \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v b = x86_vlo(c, i->src);                                                              \
        x86_v lo = op_##name(b), hi = op_##name(_mm_unpackhi_epi64(b, b));                         \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(v##name##256_rm)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v b = x86_vload(p);                                                                    \
        x86_v lo = op_##name(b), hi = op_##name(_mm_unpackhi_epi64(b, b));                         \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }
WIDEN(cvtps2pd)
WIDEN(cvtdq2pd)

/* ---- to half the size: the upper half of the result is zero ---- */

#define NARROW(name)                                                                               \
    FP_ASM1(name)                                                                                  \
    FP_UN_LEGACY(name)                                                                             \
    FP_UN_128(name)                                                                                \
    X86_H(v##name##256_rr)                                                                         \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v lo = op_##name(x86_vlo(c, i->src)), hi = op_##name(x86_vhi(c, i->src));              \
        X86_FP_END128(c, i, _mm_unpacklo_epi64(lo, hi));                                           \
    }                                                                                              \
    X86_H(v##name##256_rm)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v lo = op_##name(x86_vload(p)), hi = op_##name(x86_vload(p + 1));                      \
        X86_FP_END128(c, i, _mm_unpacklo_epi64(lo, hi));                                           \
    }
NARROW(cvtpd2ps)
NARROW(cvtpd2dq)
NARROW(cvttpd2dq)

/* ---- general register to scalar; 64 bits with W in 64-bit mode ---- */

static inline x86_v op_cvtsi2ss(x86_v a, int64_t v, bool wide)
{
    if (wide)
        __asm__ volatile("cvtsi2ssq %1, %0" : "+x"(a) : "r"(v));
    else
        __asm__ volatile("cvtsi2ssl %k1, %0" : "+x"(a) : "r"(v));
    return a;
}
static inline x86_v op_cvtsi2sd(x86_v a, int64_t v, bool wide)
{
    if (wide)
        __asm__ volatile("cvtsi2sdq %1, %0" : "+x"(a) : "r"(v));
    else
        __asm__ volatile("cvtsi2sdl %k1, %0" : "+x"(a) : "r"(v));
    return a;
}
static inline int64_t load_si(struct vcpu *c, const struct x86_insn *i)
{
    return i->osz == 3 ? (int64_t)vm__x86_src_u64(c, i) : vm__x86_src_u32(c, i);
}

#define FROM_INT(name)                                                                             \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->dst), (int64_t)*x86_r64(c, i->src), i->osz == 3);        \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        int64_t v = load_si(c, i);                                                                 \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), v, i->osz == 3);                                   \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(v##name##_rrr)                                                                           \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src), (int64_t)*x86_r64(c, i->src2), i->osz == 3);       \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##_rrm)                                                                           \
    {                                                                                              \
        int64_t v = load_si(c, i);                                                                 \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->src), v, i->osz == 3);                                   \
        X86_FP_END128(c, i, r);                                                                    \
    }
FROM_INT(cvtsi2ss)
FROM_INT(cvtsi2sd)

/* ---- scalar to general register; VEX is the same ---- */

#define TO_INT(name, load)                                                                         \
    static inline uint64_t op_##name(x86_v a, bool wide)                                           \
    {                                                                                              \
        uint64_t r;                                                                                \
        if (wide)                                                                                  \
            __asm__ volatile(#name " %1, %q0" : "=r"(r) : "x"(a));                                 \
        else                                                                                       \
            __asm__ volatile(#name " %1, %k0" : "=r"(r) : "x"(a));                                 \
        return r;                                                                                  \
    }                                                                                              \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        uint64_t r = op_##name(x86_vlo(c, i->src), i->osz == 3);                                   \
        x86_fp_settle(c, i);                                                                       \
        *x86_r64(c, i->dst) = r;                                                                   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        x86_v a = load(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        uint64_t r = op_##name(a, i->osz == 3);                                                    \
        x86_fp_settle(c, i);                                                                       \
        *x86_r64(c, i->dst) = r;                                                                   \
        X86_NEXT(c, i);                                                                            \
    }
TO_INT(cvtss2si, x86_src_d)
TO_INT(cvttss2si, x86_src_d)
TO_INT(cvtsd2si, x86_src_q)
TO_INT(cvttsd2si, x86_src_q)
