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
    X86_H(name##_rm_g)                                                                             \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vload(p));                                     \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        VEC_FLAT16(name);                                                                          \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vload(p));                                     \
        X86_FP_END(c, i, r);                                                                       \
    }
#define FP_BIN_VEX(name)                                                                           \
    X86_H(v##name##128_rrr)                                                                        \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2));                              \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##128_rrm_g)                                                                      \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vload(p));                                     \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##128_rrm)                                                                        \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        VEC_FLAT(v##name##128_rrm_g, 16);                                                          \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vload(p));                                     \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##256_rrr)                                                                        \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2));                             \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vhi(c, i->src2));                             \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(v##name##256_rrm_g)                                                                      \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vload(p));                                    \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vload(p + 1));                                \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }                                                                                              \
    X86_H(v##name##256_rrm)                                                                        \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        VEC_FLAT(v##name##256_rrm_g, 32);                                                          \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vload(p));                                    \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vload(p + 1));                                \
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
        x86_v r = op_##name(x86_vload(p));                                                         \
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
        x86_v r = op_##name(x86_vload(p));                                                         \
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
        x86_v lo = op_##name(x86_vload(p)), hi = op_##name(x86_vload(p + 1));                      \
        X86_FP_END256(c, i, lo, hi);                                                               \
    }
#define FP_UN(name)                                                                                \
    FP_ASM1(name)                                                                                  \
    FP_UN_LEGACY(name)                                                                             \
    FP_UN_128(name)                                                                                \
    FP_UN_256(name)

/** Flat memory form of a scalar, like VEC_FLAT16. */
#define FP_FLAT_(general, bytes, load)                                                             \
    uint64_t lin = x86_lin_flat(c, i);                                                             \
    const struct x86_tlbe *e = x86_tlb_at(c, lin);                                                 \
    uint64_t off = lin ^ e->rtag;                                                                  \
    if (x86_unlikely(off > VM_PAGE_SIZE - (bytes)))                                                \
        return vm__h_##general(c, i);                                                              \
    x86_v b = load(e->host + off)
#define FP_FLAT_d(general) FP_FLAT_(general, 4, x86_vload_d)
#define FP_FLAT_q(general) FP_FLAT_(general, 8, x86_vload_q)

X86_NO_TSAN static inline x86_v x86_vload_d(const uint8_t *p)
{
    int v;
    memcpy(&v, p, 4);
    return _mm_cvtsi32_si128(v);
}
X86_NO_TSAN static inline x86_v x86_vload_q(const uint8_t *p)
{
    long long v;
    memcpy(&v, p, 8);
    return _mm_cvtsi64_si128(v);
}

/** Scalars: the low element of op(a, b), upper ones from a; @p size is d or q. */
#define FP_SCALAR_FORMS(name, size)                                                                \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src));                               \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rm_g)                                                                             \
    {                                                                                              \
        x86_v b = x86_src_##size(c, i);                                                            \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->dst), b);                                                \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        FP_FLAT_##size(name##_rm_g);                                                               \
        x86_v r = op_##name(x86_vlo(c, i->dst), b);                                                \
        X86_FP_END(c, i, r);                                                                       \
    }                                                                                              \
    X86_H(v##name##_rrr)                                                                           \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        x86_v r = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2));                              \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##_rrm_g)                                                                         \
    {                                                                                              \
        x86_v b = x86_src_##size(c, i);                                                            \
        x86_fp_enter(c);                                                                           \
        x86_v r = op_##name(x86_vlo(c, i->src), b);                                                \
        X86_FP_END128(c, i, r);                                                                    \
    }                                                                                              \
    X86_H(v##name##_rrm)                                                                           \
    {                                                                                              \
        X86_FP_BEGIN(c, i);                                                                        \
        FP_FLAT_##size(v##name##_rrm_g);                                                           \
        x86_v r = op_##name(x86_vlo(c, i->src), b);                                                \
        X86_FP_END128(c, i, r);                                                                    \
    }
#define FP_SCALAR(name, size)                                                                      \
    FP_ASM2(name)                                                                                  \
    FP_SCALAR_FORMS(name, size)

#endif
