/* SPDX-License-Identifier: MIT */
/**
 * @file gfni.c
 * Galois field instructions and their VEX forms. The host has GFNI.
 */
#include "cpu/interp/vec.h"

VEC_BIN(gf2p8mulb, _mm_gf2p8mul_epi8(a, b))

/* The immediate is the vector that is added after the matrix product. */
static inline x86_v op_gf2p8affineqb(x86_v a, x86_v b, unsigned n)
{
    return _mm_xor_si128(_mm_gf2p8affine_epi64_epi8(a, b, 0), _mm_set1_epi8((char)n));
}
static inline x86_v op_gf2p8affineinvqb(x86_v a, x86_v b, unsigned n)
{
    return _mm_xor_si128(_mm_gf2p8affineinv_epi64_epi8(a, b, 0), _mm_set1_epi8((char)n));
}
VEC_BINI_FORMS(gf2p8affineqb, 0)
VEC_BINI_FORMS(gf2p8affineinvqb, 0)
