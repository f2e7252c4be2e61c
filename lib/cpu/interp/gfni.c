/* SPDX-License-Identifier: MIT */
/**
 * @file gfni.c
 * Galois field instructions and their VEX forms. The host has GFNI.
 */
#include "cpu/interp/vec.h"

VEC_BIN(gf2p8mulb, _mm_gf2p8mul_epi8(a, b))

/* The immediate is the vector that is added after the matrix product. Inline assembly, because
 * clang 14 makes an unaligned load the memory operand of these two, which must be aligned. */
#define AFFINE(name)                                                                               \
    static inline x86_v op_##name(x86_v a, x86_v b, unsigned n)                                    \
    {                                                                                              \
        __asm__(#name " $0, %1, %0" : "+x"(a) : "x"(b));                                           \
        return _mm_xor_si128(a, _mm_set1_epi8((char)n));                                           \
    }
AFFINE(gf2p8affineqb)
AFFINE(gf2p8affineinvqb)
VEC_BINI_FORMS(gf2p8affineqb, 0)
VEC_BINI_FORMS(gf2p8affineinvqb, 0)
