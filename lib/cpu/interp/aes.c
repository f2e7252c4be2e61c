/* SPDX-License-Identifier: MIT */
/**
 * @file aes.c
 * AES and its VEX.128 forms, VAES. The host has AES.
 */
#include "cpu/interp/vec.h"

VEC_BIN(aesenc, _mm_aesenc_si128(a, b))
VEC_BIN(aesenclast, _mm_aesenclast_si128(a, b))
VEC_BIN(aesdec, _mm_aesdec_si128(a, b))
VEC_BIN(aesdeclast, _mm_aesdeclast_si128(a, b))

VEC_OP1(aesimc, _mm_aesimc_si128(a))
VEC_UN_LEGACY(aesimc)
VEC_UN_128(aesimc)

/* The round constant is XORed into the rotated words, elements 1 and 3 [SDM-2A AESKEYGENASSIST]. */
static inline x86_v op_aeskeygenassist(x86_v a, unsigned n)
{
    return _mm_xor_si128(_mm_aeskeygenassist_si128(a, 0), _mm_setr_epi32(0, (int)n, 0, (int)n));
}
VEC_UNI_LEGACY(aeskeygenassist)
VEC_UNI_128(aeskeygenassist)
