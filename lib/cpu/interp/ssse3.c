/* SPDX-License-Identifier: MIT */
/**
 * @file ssse3.c
 * SSSE3 on XMM registers, with the AVX and AVX2 forms. The host has SSSE3.
 */
#include "cpu/interp/vec.h"

VEC_BIN(pshufb, _mm_shuffle_epi8(a, b))
VEC_BIN(phaddw, _mm_hadd_epi16(a, b))
VEC_BIN(phaddd, _mm_hadd_epi32(a, b))
VEC_BIN(phaddsw, _mm_hadds_epi16(a, b))
VEC_BIN(phsubw, _mm_hsub_epi16(a, b))
VEC_BIN(phsubd, _mm_hsub_epi32(a, b))
VEC_BIN(phsubsw, _mm_hsubs_epi16(a, b))
VEC_BIN(pmaddubsw, _mm_maddubs_epi16(a, b))
VEC_BIN(psignb, _mm_sign_epi8(a, b))
VEC_BIN(psignw, _mm_sign_epi16(a, b))
VEC_BIN(psignd, _mm_sign_epi32(a, b))
VEC_BIN(pmulhrsw, _mm_mulhrs_epi16(a, b))
VEC_UN(pabsb, _mm_abs_epi8(a))
VEC_UN(pabsw, _mm_abs_epi16(a))
VEC_UN(pabsd, _mm_abs_epi32(a))

/* PALIGNR: bytes n to n + 15 of a:b. PSHUFB zeroes where a selector has bit 7; windows into this
 * table of selectors are the shifts of b down and of a up. */
static const uint8_t windows[64] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
};

static inline x86_v window(unsigned n)
{
    return _mm_loadu_si128((const x86_v *)(const void *)(windows + n));
}

static inline x86_v op_palignr(x86_v a, x86_v b, unsigned n)
{
    if (n > 32)
        n = 32;
    x86_v low = _mm_shuffle_epi8(b, window(n + 16 > 48 ? 48 : n + 16));
    return _mm_or_si128(low, _mm_shuffle_epi8(a, window(n)));
}
VEC_BINI_FORMS(palignr, 0)
