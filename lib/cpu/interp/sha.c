/* SPDX-License-Identifier: MIT */
/**
 * @file sha.c
 * SHA extensions. The host has them.
 */
#include "cpu/interp/vec.h"

VEC_OP2(sha1nexte, _mm_sha1nexte_epu32(a, b))
VEC_OP2(sha1msg1, _mm_sha1msg1_epu32(a, b))
VEC_OP2(sha1msg2, _mm_sha1msg2_epu32(a, b))
VEC_OP2(sha256msg1, _mm_sha256msg1_epu32(a, b))
VEC_OP2(sha256msg2, _mm_sha256msg2_epu32(a, b))
VEC_BIN_LEGACY(sha1nexte)
VEC_BIN_LEGACY(sha1msg1)
VEC_BIN_LEGACY(sha1msg2)
VEC_BIN_LEGACY(sha256msg1)
VEC_BIN_LEGACY(sha256msg2)

static inline x86_v op_sha1rnds4(x86_v a, x86_v b, unsigned n)
{
    switch (n & 3) {
    case 0:
        return _mm_sha1rnds4_epu32(a, b, 0);
    case 1:
        return _mm_sha1rnds4_epu32(a, b, 1);
    case 2:
        return _mm_sha1rnds4_epu32(a, b, 2);
    default:
        return _mm_sha1rnds4_epu32(a, b, 3);
    }
}
VEC_BINI_LEGACY(sha1rnds4)

/* The two round keys are in XMM0. */
X86_H(sha256rnds2_rrr)
{
    x86_vset(c, i->dst,
             _mm_sha256rnds2_epu32(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_vlo(c, 0)));
    X86_NEXT(c, i);
}

X86_H(sha256rnds2_rmr)
{
    x86_v b = x86_vload(vm__x86_src16a(c, i));
    x86_vset(c, i->dst, _mm_sha256rnds2_epu32(x86_vlo(c, i->dst), b, x86_vlo(c, 0)));
    X86_NEXT(c, i);
}
