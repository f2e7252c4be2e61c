/* SPDX-License-Identifier: MIT */
/**
 * @file fma.c
 * FMA. The host has it: the 128-bit form of the instruction itself does each lane.
 */
#include "cpu/interp/fp_forms.h"

/* a is the destination and first source. */
#define FMA_OP(name)                                                                               \
    static inline x86_v op_##name(x86_v a, x86_v b, x86_v s)                                       \
    {                                                                                              \
        __asm__ volatile(#name " %2, %1, %0" : "+x"(a) : "x"(b), "x"(s));                          \
        return a;                                                                                  \
    }

#define FMA_PACKED(name)                                                                           \
    FMA_OP(name)                                                                                   \
    X86_H(name##128_rrr)                                                                           \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vlo(c, i->src2));          \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(name##128_rrm_g)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vload(p));                 \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(name##128_rrm)                                                                           \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        VEC_FLAT(name##128_rrm_g, 16);                                                             \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vload(p));                 \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(name##256_rrr)                                                                           \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v lo = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vlo(c, i->src2));         \
        x86_v hi = op_##name(x86_vhi(c, i->dst), x86_vhi(c, i->src), x86_vhi(c, i->src2));         \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(name##256_rrm_g)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v lo = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vload(p));                \
        x86_v hi = op_##name(x86_vhi(c, i->dst), x86_vhi(c, i->src), x86_vload(p + 1));            \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(name##256_rrm)                                                                           \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        VEC_FLAT(name##256_rrm_g, 32);                                                             \
        x86_v lo = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vload(p));                \
        x86_v hi = op_##name(x86_vhi(c, i->dst), x86_vhi(c, i->src), x86_vload(p + 1));            \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }

#define FMA_SCALAR(name, size)                                                                     \
    FMA_OP(name)                                                                                   \
    X86_H(name##_rrr)                                                                              \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vlo(c, i->src2));          \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(name##_rrm_g)                                                                            \
    {                                                                                              \
        x86_v b = x86_src_##size(c, i);                                                            \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), b);                            \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(name##_rrm)                                                                              \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        FP_FLAT_##size(name##_rrm_g);                                                              \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), b);                            \
        X86_FP_END128(c, i, r);                                                                    \
    }

#define ORDER(op, order)                                                                           \
    FMA_PACKED(op##order##ps)                                                                      \
    FMA_PACKED(op##order##pd)
#define ORDER_ALL(op, order)                                                                       \
    ORDER(op, order)                                                                               \
    FMA_SCALAR(op##order##ss, d)                                                                   \
    FMA_SCALAR(op##order##sd, q)
#define ORDERS(how, op) how(op, 132) how(op, 213) how(op, 231)

ORDERS(ORDER_ALL, vfmadd)
ORDERS(ORDER_ALL, vfmsub)
ORDERS(ORDER_ALL, vfnmadd)
ORDERS(ORDER_ALL, vfnmsub)
ORDERS(ORDER, vfmaddsub)
ORDERS(ORDER, vfmsubadd)
