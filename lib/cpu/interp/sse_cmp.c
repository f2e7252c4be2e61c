/* SPDX-License-Identifier: MIT */
/**
 * @file sse_cmp.c
 * CMPPS and kin, COMISS, UCOMISS; legacy and VEX.
 */
#include "cpu/interp/fp_forms.h"

/* ---- CMPxx: the eight predicates of the legacy encoding are instructions ---- */

#define PREDICATE(insn, n)                                                                         \
    case n:                                                                                        \
        __asm__ volatile(insn " $" #n ", %1, %0" : "+x"(a) : "x"(b));                              \
        break;
#define CMP_OP(insn)                                                                               \
    static inline x86_v op_##insn(x86_v a, x86_v b, unsigned n)                                    \
    {                                                                                              \
        switch (n & 7) {                                                                           \
            PREDICATE(#insn, 0)                                                                    \
            PREDICATE(#insn, 1)                                                                    \
            PREDICATE(#insn, 2)                                                                    \
            PREDICATE(#insn, 3)                                                                    \
            PREDICATE(#insn, 4)                                                                    \
            PREDICATE(#insn, 5)                                                                    \
            PREDICATE(#insn, 6)                                                                    \
            PREDICATE(#insn, 7)                                                                    \
        }                                                                                          \
        return a;                                                                                  \
    }
CMP_OP(cmpps)
CMP_OP(cmppd)
CMP_OP(cmpss)
CMP_OP(cmpsd)

/* The 24 others of VEX [SDM-2A CMPPD, table 3-1] by which of less, equal, greater and unordered
 * give true; bits 3 to 0. */
enum { LT = 1, EQ = 2, GT = 4, UN = 8 };
static const uint8_t holds[16] = {
    EQ,      LT,      LT | EQ,      UN, LT | GT | UN, EQ | GT | UN, GT | UN, LT | EQ | GT,
    EQ | UN, LT | UN, LT | EQ | UN, 0,  LT | GT,      EQ | GT,      GT,      LT | EQ | GT | UN,
};

/* Predicates 0-15: the relations and "true", "false" quiet, the ordered ones signaling; 16-31 the
 * same with signaling the other way round. A signaling comparison raises invalid for any NaN. */
static inline bool signals(unsigned n)
{
    bool s = (n & 3) == 1 || (n & 3) == 2;
    return s != (n >> 4);
}

/* Unordered elements are put aside, so that the ordered comparison raises nothing of its own. */
#define CMP_WIDE(type)                                                                             \
    static x86_v wide_##type(x86_v a, x86_v b, unsigned n)                                         \
    {                                                                                              \
        x86_v un = op_cmp##type(a, b, 3);                                                          \
        if (signals(n))                                                                            \
            (void)op_cmp##type(a, b, 1);                                                           \
        x86_v oa = _mm_andnot_si128(un, a), ob = _mm_andnot_si128(un, b);                          \
        x86_v lt = op_cmp##type(oa, ob, 1), eq = _mm_andnot_si128(un, op_cmp##type(oa, ob, 0));    \
        x86_v ones = _mm_set1_epi32(-1), r = _mm_setzero_si128();                                  \
        x86_v gt = _mm_andnot_si128(_mm_or_si128(_mm_or_si128(lt, eq), un), ones);                 \
        unsigned h = holds[n & 15];                                                                \
        r = _mm_or_si128(r, h & LT ? lt : r);                                                      \
        r = _mm_or_si128(r, h & EQ ? eq : r);                                                      \
        r = _mm_or_si128(r, h & GT ? gt : r);                                                      \
        return _mm_or_si128(r, h & UN ? un : r);                                                   \
    }                                                                                              \
    static inline x86_v vop_##type(x86_v a, x86_v b, unsigned n)                                   \
    {                                                                                              \
        n &= 31;                                                                                   \
        return x86_likely(n < 8) ? op_cmp##type(a, b, n) : wide_##type(a, b, n);                   \
    }
CMP_WIDE(ps)
CMP_WIDE(pd)

/* Scalars through the packed form, with the other elements made equal and harmless. */
static inline x86_v vop_ss(x86_v a, x86_v b, unsigned n)
{
    n &= 31;
    if (x86_likely(n < 8))
        return op_cmpss(a, b, n);
    x86_v low = _mm_cvtsi32_si128(-1);
    x86_v r = wide_ps(_mm_and_si128(a, low), _mm_and_si128(b, low), n);
    return _mm_or_si128(_mm_and_si128(r, low), _mm_andnot_si128(low, a));
}
static inline x86_v vop_sd(x86_v a, x86_v b, unsigned n)
{
    n &= 31;
    if (x86_likely(n < 8))
        return op_cmpsd(a, b, n);
    x86_v low = _mm_cvtsi64_si128(-1);
    x86_v r = wide_pd(_mm_and_si128(a, low), _mm_and_si128(b, low), n);
    return _mm_or_si128(_mm_and_si128(r, low), _mm_andnot_si128(low, a));
}

#define CMP_PACKED(type)                                                                           \
    X86_H(cmp##type##_rri)                                                                         \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_cmp##type(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_imm8(i));               \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(cmp##type##_rmi)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_cmp##type(x86_vlo(c, i->dst), x86_vload(p), x86_imm8(i));                     \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(vcmp##type##128_rrri)                                                                    \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = vop_##type(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_imm8(i));                \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(vcmp##type##128_rrmi)                                                                    \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = vop_##type(x86_vlo(c, i->src), x86_vload(p), x86_imm8(i));                       \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(vcmp##type##256_rrri)                                                                    \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v lo = vop_##type(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_imm8(i));               \
        x86_v hi = vop_##type(x86_vhi(c, i->src), x86_vhi(c, i->src2), x86_imm8(i));               \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(vcmp##type##256_rrmi)                                                                    \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v lo = vop_##type(x86_vlo(c, i->src), x86_vload(p), x86_imm8(i));                      \
        x86_v hi = vop_##type(x86_vhi(c, i->src), x86_vload(p + 1), x86_imm8(i));                  \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }
CMP_PACKED(ps)
CMP_PACKED(pd)

#define CMP_SCALAR(type, load)                                                                     \
    X86_H(cmp##type##_rri)                                                                         \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_cmp##type(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_imm8(i));               \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(cmp##type##_rmi)                                                                         \
    {                                                                                              \
        x86_v b = load(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_cmp##type(x86_vlo(c, i->dst), b, x86_imm8(i));                                \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(vcmp##type##_rrri)                                                                       \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = vop_##type(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_imm8(i));                \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(vcmp##type##_rrmi)                                                                       \
    {                                                                                              \
        x86_v b = load(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = vop_##type(x86_vlo(c, i->src), b, x86_imm8(i));                                  \
        X86_FP_END128(c, i, r);                                                                    \
    }
CMP_SCALAR(ss, x86_src_d)
CMP_SCALAR(sd, x86_src_q)

/* ---- COMISS and kin: ZF, PF, CF from the comparison; OF, SF, AF cleared ---- */

#define COMI(insn, load)                                                                           \
    static inline uint32_t flags_##insn(x86_v a, x86_v b)                                          \
    {                                                                                              \
        bool z, p, cf;                                                                             \
        __asm__ volatile(#insn " %4, %3" : "=@ccz"(z), "=@ccp"(p), "=@ccc"(cf) : "x"(a), "x"(b));  \
        return (z ? X86_ZF : 0) | (p ? X86_PF : 0) | (cf ? X86_CF : 0);                            \
    }                                                                                              \
    X86_H(insn##_rr)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        uint32_t f = flags_##insn(x86_vlo(c, i->dst), x86_vlo(c, i->src));                         \
        x86_fp_settle(c, i);                                                                       \
        x86_set_arith(c, f);                                                                       \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(insn##_rm)                                                                               \
    {                                                                                              \
        x86_v b = load(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        uint32_t f = flags_##insn(x86_vlo(c, i->dst), b);                                          \
        x86_fp_settle(c, i);                                                                       \
        x86_set_arith(c, f);                                                                       \
        X86_NEXT(c, i);                                                                            \
    }
COMI(comiss, x86_src_d)
COMI(ucomiss, x86_src_d)
COMI(comisd, x86_src_q)
COMI(ucomisd, x86_src_q)
