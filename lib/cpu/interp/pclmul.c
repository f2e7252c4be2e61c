/* SPDX-License-Identifier: MIT */
/**
 * @file pclmul.c
 * PCLMULQDQ and its VEX forms. The host has PCLMULQDQ.
 */
#include "cpu/interp/vec.h"

/* Bits 0 and 4 choose the halves of a and of b. */
static inline x86_v op_pclmulqdq(x86_v a, x86_v b, unsigned n)
{
    if (n & 1)
        a = _mm_unpackhi_epi64(a, a);
    if (n & 16)
        b = _mm_unpackhi_epi64(b, b);
    return _mm_clmulepi64_si128(a, b, 0);
}
VEC_BINI_FORMS(pclmulqdq, 0)
