/* SPDX-License-Identifier: MIT */
/**
 * @file fp_forms.h
 * The forms of vec.h for floating point: with the guest's MXCSR in force, and exceptions settled
 * before the result is written. op_NAME has been defined.
 */
#ifndef LIBVM_CPU_INTERP_FP_FORMS_H
#define LIBVM_CPU_INTERP_FP_FORMS_H

#include "cpu/interp/fp_x86.h"
#include "cpu/interp/vec.h"

/** dst = op(dst, src), packed. */
#define FP_BIN_LEGACY(name)                                                                        \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src));                               \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), _mm_loadu_si128(p));                               \
        X86_FP_END(c, i, r);                                                                       \
    }
#define FP_BIN_VEX(name)                                                                           \
    X86_H(v##name##128_rrr)                                                                        \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2));                              \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##128_rrm)                                                                        \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->src), _mm_loadu_si128(p));                               \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##256_rrr)                                                                        \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2));                             \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vhi(c, i->src2));                             \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(v##name##256_rrm)                                                                        \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v lo = op_##name(x86_vlo(c, i->src), _mm_loadu_si128(p));                              \
        x86_v hi = op_##name(x86_vhi(c, i->src), _mm_loadu_si128(p + 1));                          \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }
#define FP_BIN(name)                                                                               \
    FP_ASM2(name)                                                                                  \
    FP_BIN_LEGACY(name)                                                                            \
    FP_BIN_VEX(name)

/** dst = op(src), packed, as many elements out as in. */
#define FP_UN_LEGACY(name)                                                                         \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src));                                                   \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(_mm_loadu_si128(p));                                                   \
        X86_FP_END(c, i, r);                                                                       \
    }
#define FP_UN_128(name)                                                                            \
    X86_H(v##name##128_rr)                                                                         \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src));                                                   \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##128_rm)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(_mm_loadu_si128(p));                                                   \
        X86_FP_END128(c, i, r);                                                                    \
    }
#define FP_UN_256(name)                                                                            \
    X86_H(v##name##256_rr)                                                                         \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v lo = op_##name(x86_vlo(c, i->src)), hi = op_##name(x86_vhi(c, i->src));              \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(v##name##256_rm)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v lo = op_##name(_mm_loadu_si128(p)), hi = op_##name(_mm_loadu_si128(p + 1));          \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }
#define FP_UN(name)                                                                                \
    FP_ASM1(name)                                                                                  \
    FP_UN_LEGACY(name)                                                                             \
    FP_UN_128(name)                                                                                \
    FP_UN_256(name)

/** Scalars: the low element of op(a, b), upper ones from a; @p load is x86_src_d or x86_src_q. */
#define FP_SCALAR_FORMS(name, load)                                                                \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src));                               \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        x86_v b = load(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), b);                                                \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(v##name##_rrr)                                                                           \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2));                              \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##_rrm)                                                                           \
    {                                                                                              \
        x86_v b = load(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->src), b);                                                \
        X86_FP_END128(c, i, r);                                                                    \
    }
#define FP_SCALAR(name, load)                                                                      \
    FP_ASM2(name)                                                                                  \
    FP_SCALAR_FORMS(name, load)

#endif
