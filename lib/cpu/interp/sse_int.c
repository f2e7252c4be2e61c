/* SPDX-License-Identifier: MIT */
/**
 * @file sse_int.c
 * SSE2 integer arithmetic, logic and comparison, with their AVX and AVX2 forms.
 *
 * The bitwise and interleaving operations of SSE (ANDPS, UNPCKLPD …) are the integer ones under
 * another name.
 */
#include "cpu/interp/vec.h"

/* ---- logic ---- */
VEC_BIN(pand, _mm_and_si128(a, b))
VEC_BIN(pandn, _mm_andnot_si128(a, b))
VEC_BIN(por, _mm_or_si128(a, b))
VEC_BIN(pxor, _mm_xor_si128(a, b))

/* ---- arithmetic ---- */
VEC_BIN(paddb, _mm_add_epi8(a, b))
VEC_BIN(paddw, _mm_add_epi16(a, b))
VEC_BIN(paddd, _mm_add_epi32(a, b))
VEC_BIN(paddq, _mm_add_epi64(a, b))
VEC_BIN(psubb, _mm_sub_epi8(a, b))
VEC_BIN(psubw, _mm_sub_epi16(a, b))
VEC_BIN(psubd, _mm_sub_epi32(a, b))
VEC_BIN(psubq, _mm_sub_epi64(a, b))
VEC_BIN(paddsb, _mm_adds_epi8(a, b))
VEC_BIN(paddsw, _mm_adds_epi16(a, b))
VEC_BIN(paddusb, _mm_adds_epu8(a, b))
VEC_BIN(paddusw, _mm_adds_epu16(a, b))
VEC_BIN(psubsb, _mm_subs_epi8(a, b))
VEC_BIN(psubsw, _mm_subs_epi16(a, b))
VEC_BIN(psubusb, _mm_subs_epu8(a, b))
VEC_BIN(psubusw, _mm_subs_epu16(a, b))
VEC_BIN(pmullw, _mm_mullo_epi16(a, b))
VEC_BIN(pmulhw, _mm_mulhi_epi16(a, b))
VEC_BIN(pmulhuw, _mm_mulhi_epu16(a, b))
VEC_BIN(pmuludq, _mm_mul_epu32(a, b))
VEC_BIN(pmaddwd, _mm_madd_epi16(a, b))
VEC_BIN(psadbw, _mm_sad_epu8(a, b))
VEC_BIN(pavgb, _mm_avg_epu8(a, b))
VEC_BIN(pavgw, _mm_avg_epu16(a, b))
VEC_BIN(pminub, _mm_min_epu8(a, b))
VEC_BIN(pminsw, _mm_min_epi16(a, b))
VEC_BIN(pmaxub, _mm_max_epu8(a, b))
VEC_BIN(pmaxsw, _mm_max_epi16(a, b))

/* ---- comparison ---- */
VEC_BIN(pcmpeqb, _mm_cmpeq_epi8(a, b))
VEC_BIN(pcmpeqw, _mm_cmpeq_epi16(a, b))
VEC_BIN(pcmpeqd, _mm_cmpeq_epi32(a, b))
VEC_BIN(pcmpgtb, _mm_cmpgt_epi8(a, b))
VEC_BIN(pcmpgtw, _mm_cmpgt_epi16(a, b))
VEC_BIN(pcmpgtd, _mm_cmpgt_epi32(a, b))

/* ---- packing and interleaving ---- */
VEC_BIN(packsswb, _mm_packs_epi16(a, b))
VEC_BIN(packssdw, _mm_packs_epi32(a, b))
VEC_BIN(packuswb, _mm_packus_epi16(a, b))
VEC_BIN(punpcklbw, _mm_unpacklo_epi8(a, b))
VEC_BIN(punpcklwd, _mm_unpacklo_epi16(a, b))
VEC_BIN(punpckldq, _mm_unpacklo_epi32(a, b))
VEC_BIN(punpcklqdq, _mm_unpacklo_epi64(a, b))
VEC_BIN(punpckhbw, _mm_unpackhi_epi8(a, b))
VEC_BIN(punpckhwd, _mm_unpackhi_epi16(a, b))
VEC_BIN(punpckhdq, _mm_unpackhi_epi32(a, b))
VEC_BIN(punpckhqdq, _mm_unpackhi_epi64(a, b))
