/* SPDX-License-Identifier: MIT */
/**
 * @file sse3.c
 * SSE3 moves with duplication, and their AVX forms. LDDQU is MOVDQU; the arithmetic is in sse_fp.c.
 */
#include "cpu/interp/vec.h"

VEC_UN(movsldup, _mm_shuffle_epi32(a, 0xa0))
VEC_UN(movshdup, _mm_shuffle_epi32(a, 0xf5))

static inline x86_v dup_q(x86_v a)
{
    return _mm_unpacklo_epi64(a, a);
}

X86_H(movddup_rr)
{
    x86_vset(c, i->dst, dup_q(x86_vlo(c, i->src)));
    X86_NEXT(c, i);
}

X86_H(movddup_rm)
{
    x86_vset(c, i->dst, dup_q(x86_src_q(c, i)));
    X86_NEXT(c, i);
}

X86_H(vmovddup128_rr)
{
    x86_vset128(c, i->dst, dup_q(x86_vlo(c, i->src)));
    X86_NEXT(c, i);
}

X86_H(vmovddup128_rm)
{
    x86_vset128(c, i->dst, dup_q(x86_src_q(c, i)));
    X86_NEXT(c, i);
}

VEC_OP1(movddup, dup_q(a))
VEC_UN_256(movddup)
