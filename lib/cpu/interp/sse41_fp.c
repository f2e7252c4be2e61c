/* SPDX-License-Identifier: MIT */
/**
 * @file sse41_fp.c
 * SSE4.1 rounding and dot products, with the AVX forms. The host has SSE4.1.
 */
#include "cpu/interp/cases.h"
#include "cpu/interp/fp_forms.h"

/* The immediate chooses elements, so each value is an instruction of its own. */
#define DOT_CASE(n)                                                                                \
    case n:                                                                                        \
        __asm__ volatile("dpps $" #n ", %1, %0" : "+x"(a) : "x"(b));                               \
        break;
static __attribute__((noinline)) x86_v op_dpps(x86_v a, x86_v b, unsigned n)
{
    switch (n & 0xff) {
        CASES_256(DOT_CASE)
    }
    return a;
}
#undef DOT_CASE
#define DOT_CASE(n)                                                                                \
    case n:                                                                                        \
        __asm__ volatile("dppd $" #n ", %1, %0" : "+x"(a) : "x"(b));                               \
        break;
static __attribute__((noinline)) x86_v op_dppd(x86_v a, x86_v b, unsigned n)
{
    switch (n & 0xff) {
        CASES_256(DOT_CASE)
    }
    return a;
}
#undef DOT_CASE

#define DOT(name)                                                                                  \
    X86_H(name##_rri)                                                                              \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_imm8(i));                  \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rmi)                                                                              \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vload(p), x86_imm8(i));                        \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(v##name##128_rrri)                                                                       \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_imm8(i));                 \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##128_rrmi)                                                                       \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vload(p), x86_imm8(i));                        \
        X86_FP_END128(c, i, r);                                                                    \
    }
DOT(dpps)
DOT(dppd)

X86_H(vdpps256_rrri)
{
    X86_FP_BEGIN(c, i);
    x86_v lo = op_dpps(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_imm8(i));
    x86_v hi = op_dpps(x86_vhi(c, i->src), x86_vhi(c, i->src2), x86_imm8(i));
    X86_FP_END256(c, i, lo, hi);
}

X86_H(vdpps256_rrmi)
{
    const x86_v *p = vm__x86_src32(c, i);
    x86_fp_enter(c);
    x86_v lo = op_dpps(x86_vlo(c, i->src), x86_vload(p), x86_imm8(i));
    x86_v hi = op_dpps(x86_vhi(c, i->src), x86_vload(p + 1), x86_imm8(i));
    X86_FP_END256(c, i, lo, hi);
}

/* ---- rounding to an integral value; only the low four bits of the immediate count ---- */

#define ROUND_CASE(insn, n)                                                                        \
    case n:                                                                                        \
        __asm__ volatile(insn " $" #n ", %1, %0" : "+x"(a) : "x"(b));                              \
        break;
#define ROUND_OP(insn)                                                                             \
    static inline x86_v op_##insn(x86_v a, x86_v b, unsigned n)                                    \
    {                                                                                              \
        switch (n & 15) {                                                                          \
            CASES_16(ROUND_CASE_##insn)                                                            \
        }                                                                                          \
        return a;                                                                                  \
    }
#define ROUND_CASE_roundps(n) ROUND_CASE("roundps", n)
#define ROUND_CASE_roundpd(n) ROUND_CASE("roundpd", n)
#define ROUND_CASE_roundss(n) ROUND_CASE("roundss", n)
#define ROUND_CASE_roundsd(n) ROUND_CASE("roundsd", n)
ROUND_OP(roundps)
ROUND_OP(roundpd)
ROUND_OP(roundss)
ROUND_OP(roundsd)

#define ROUND_PACKED(name)                                                                         \
    static __attribute__((noinline)) x86_v all_##name(x86_v a, unsigned n)                         \
    {                                                                                              \
        return op_##name(a, a, n);                                                                 \
    }                                                                                              \
    X86_H(name##_rri)                                                                              \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = all_##name(x86_vlo(c, i->src), x86_imm8(i));                                     \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rmi)                                                                              \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_fp_enter(c);                                                                           \
        x86_v r = all_##name(x86_vload(p), x86_imm8(i));                                           \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(v##name##128_rri)                                                                        \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = all_##name(x86_vlo(c, i->src), x86_imm8(i));                                     \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##128_rmi)                                                                        \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = all_##name(x86_vload(p), x86_imm8(i));                                           \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##256_rri)                                                                        \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v lo = all_##name(x86_vlo(c, i->src), x86_imm8(i));                                    \
        x86_v hi = all_##name(x86_vhi(c, i->src), x86_imm8(i));                                    \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(v##name##256_rmi)                                                                        \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v lo = all_##name(x86_vload(p), x86_imm8(i));                                          \
        x86_v hi = all_##name(x86_vload(p + 1), x86_imm8(i));                                      \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }
ROUND_PACKED(roundps)
ROUND_PACKED(roundpd)

#define ROUND_SCALAR(name, load)                                                                   \
    X86_H(name##_rri)                                                                              \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_imm8(i));                  \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rmi)                                                                              \
    {                                                                                              \
        x86_v b = load(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), b, x86_imm8(i));                                   \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(v##name##_rrri)                                                                          \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_imm8(i));                 \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##_rrmi)                                                                          \
    {                                                                                              \
        x86_v b = load(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->src), b, x86_imm8(i));                                   \
        X86_FP_END128(c, i, r);                                                                    \
    }
ROUND_SCALAR(roundss, x86_src_d)
ROUND_SCALAR(roundsd, x86_src_q)
