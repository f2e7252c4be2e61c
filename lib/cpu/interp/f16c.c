/* SPDX-License-Identifier: MIT */
/**
 * @file f16c.c
 * F16C: VCVTPH2PS, VCVTPS2PH. The host has them.
 */
#include "cpu/interp/fp_forms.h"

FP_ASM1(vcvtph2ps)

X86_H(vcvtph2ps128_rr)
{
    X86_FP_BEGIN(c, i);
    x86_v r = op_vcvtph2ps(x86_vlo(c, i->src));
    X86_FP_END128(c, i, r);
}

/* Half-precision operands are exempt from alignment checks, so they move as blocks. */
X86_H(vcvtph2ps128_rm)
{
    vm__x86_ld_block(c, i, x86_lin(c, i, 8, X86_ACCESS_R), c->bounce, 8);
    x86_fp_enter(c);
    x86_v s = _mm_loadl_epi64((const x86_v *)(const void *)c->bounce);
    x86_v r = op_vcvtph2ps(s);
    X86_FP_END128(c, i, r);
}

X86_H(vcvtph2ps256_rr)
{
    X86_FP_BEGIN(c, i);
    x86_v s = x86_vlo(c, i->src);
    x86_v lo = op_vcvtph2ps(s), hi = op_vcvtph2ps(_mm_unpackhi_epi64(s, s));
    X86_FP_END256(c, i, lo, hi);
}

X86_H(vcvtph2ps256_rm)
{
    const x86_v *p = vm__x86_src16(c, i);
    x86_fp_enter(c);
    x86_v s = x86_vload(p);
    x86_v lo = op_vcvtph2ps(s), hi = op_vcvtph2ps(_mm_unpackhi_epi64(s, s));
    X86_FP_END256(c, i, lo, hi);
}

/* The immediate gives the rounding, or leaves it to MXCSR (bit 2). Result in the low half. */
#define ROUNDING(n)                                                                                \
    case n:                                                                                        \
        __asm__ volatile("vcvtps2ph $" #n ", %1, %0" : "=x"(r) : "x"(a));                          \
        break;
static inline x86_v op_vcvtps2ph(x86_v a, unsigned n)
{
    x86_v r = _mm_setzero_si128();
    switch (n & 7) {
        ROUNDING(0)
        ROUNDING(1)
        ROUNDING(2)
        ROUNDING(3)
        ROUNDING(4)
        ROUNDING(5)
        ROUNDING(6)
        ROUNDING(7)
    }
    return r;
}

X86_H(vcvtps2ph128_rri)
{
    X86_FP_BEGIN(c, i);
    x86_v r = op_vcvtps2ph(x86_vlo(c, i->src), x86_imm8(i));
    X86_FP_END128(c, i, r);
}

X86_H(vcvtps2ph256_rri)
{
    X86_FP_BEGIN(c, i);
    x86_v lo = op_vcvtps2ph(x86_vlo(c, i->src), x86_imm8(i));
    x86_v hi = op_vcvtps2ph(x86_vhi(c, i->src), x86_imm8(i));
    X86_FP_END128(c, i, _mm_unpacklo_epi64(lo, hi));
}

/* Conversion first: its flags stay set when the store faults, as on silicon. */
X86_H(vcvtps2ph128_mri)
{
    x86_fp_enter(c);
    x86_v r = op_vcvtps2ph(x86_vlo(c, i->src), x86_imm8(i));
    x86_fp_settle(c, i);
    _mm_storel_epi64((x86_v *)(void *)c->bounce, r);
    vm__x86_st_block(c, i, x86_lin(c, i, 8, X86_ACCESS_W), c->bounce, 8);
    X86_NEXT(c, i);
}

X86_H(vcvtps2ph256_mri)
{
    x86_fp_enter(c);
    x86_v lo = op_vcvtps2ph(x86_vlo(c, i->src), x86_imm8(i));
    x86_v hi = op_vcvtps2ph(x86_vhi(c, i->src), x86_imm8(i));
    x86_fp_settle(c, i);
    _mm_store_si128((x86_v *)(void *)c->bounce, _mm_unpacklo_epi64(lo, hi));
    vm__x86_st_block(c, i, x86_lin(c, i, 16, X86_ACCESS_W), c->bounce, 16);
    X86_NEXT(c, i);
}
