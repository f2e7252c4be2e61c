/* SPDX-License-Identifier: MIT */
/**
 * @file sse_move.c
 * Whole-register moves, SSE to AVX: MOVUPS, MOVAPS, MOVDQA, MOVDQU, MOVNTxx, LDDQU and friends.
 *
 * They are the commonest vector instructions, so a soft TLB hit is inline and everything else is a
 * tail call.
 */
#include "cpu/interp/vec.h"

#define COLD __attribute__((noinline))

/* Loads that missed: legacy, VEX.128, VEX.256. */
static COLD const struct x86_insn *load_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin)
{
    vm__x86_ld_block(c, i, lin, c->bounce, 16);
    x86_vset(c, i->dst, _mm_load_si128((const x86_v *)(const void *)c->bounce));
    X86_NEXT(c, i);
}

static COLD const struct x86_insn *load_slow128(struct vcpu *c, const struct x86_insn *i,
                                                uint64_t lin)
{
    vm__x86_ld_block(c, i, lin, c->bounce, 16);
    x86_vset128(c, i->dst, _mm_load_si128((const x86_v *)(const void *)c->bounce));
    X86_NEXT(c, i);
}

static COLD const struct x86_insn *load_slow256(struct vcpu *c, const struct x86_insn *i,
                                                uint64_t lin)
{
    const x86_v *p = (const x86_v *)(const void *)c->bounce;
    vm__x86_ld_block(c, i, lin, c->bounce, 32);
    x86_vset256(c, i->dst, _mm_load_si128(p), _mm_load_si128(p + 1));
    X86_NEXT(c, i);
}

static COLD const struct x86_insn *store_slow(struct vcpu *c, const struct x86_insn *i,
                                              uint64_t lin)
{
    memcpy(c->bounce, c->st.vec[i->src], 16);
    vm__x86_st_block(c, i, lin, c->bounce, 16);
    X86_NEXT(c, i);
}

static COLD const struct x86_insn *store_slow256(struct vcpu *c, const struct x86_insn *i,
                                                 uint64_t lin)
{
    memcpy(c->bounce, c->st.vec[i->src], 32);
    vm__x86_st_block(c, i, lin, c->bounce, 32);
    X86_NEXT(c, i);
}

#define TLB_READ(size, slow)                                                                       \
    const struct x86_tlbe *e = x86_tlb_at(c, lin);                                                 \
    uint64_t off = lin ^ e->rtag;                                                                  \
    if (x86_unlikely(off > VM_PAGE_SIZE - (size)))                                                 \
        return slow(c, i, lin);                                                                    \
    x86_v *p = (x86_v *)(void *)(e->host + off)

#define TLB_WRITE(size, slow)                                                                      \
    const struct x86_tlbe *e = x86_tlb_at(c, lin);                                                 \
    uint64_t off = lin ^ e->wtag;                                                                  \
    if (x86_unlikely(off > VM_PAGE_SIZE - (size)))                                                 \
        return slow(c, i, lin);                                                                    \
    x86_v *p = (x86_v *)(void *)(e->host + off)

/* One load and one store for each way to compute the address; @p check is the alignment rule. */
#define MOVES(name, suffix, lin_r16, lin_r32, lin_w16, lin_w32, check)                             \
    X86_NO_TSAN X86_H(name##_rm##suffix)                                                           \
    {                                                                                              \
        uint64_t lin = lin_r16;                                                                    \
        check(15);                                                                                 \
        TLB_READ(16, load_slow);                                                                   \
        x86_vset(c, i->dst, _mm_loadu_si128(p));                                                   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_NO_TSAN X86_H(v##name##128_rm##suffix)                                                     \
    {                                                                                              \
        uint64_t lin = lin_r16;                                                                    \
        check(15);                                                                                 \
        TLB_READ(16, load_slow128);                                                                \
        x86_vset128(c, i->dst, _mm_loadu_si128(p));                                                \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_NO_TSAN X86_H(v##name##256_rm##suffix)                                                     \
    {                                                                                              \
        uint64_t lin = lin_r32;                                                                    \
        check(31);                                                                                 \
        TLB_READ(32, load_slow256);                                                                \
        x86_vset256(c, i->dst, _mm_loadu_si128(p), _mm_loadu_si128(p + 1));                        \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_NO_TSAN X86_H(name##_mr##suffix)                                                           \
    {                                                                                              \
        uint64_t lin = lin_w16;                                                                    \
        check(15);                                                                                 \
        TLB_WRITE(16, store_slow);                                                                 \
        _mm_storeu_si128(p, x86_vlo(c, i->src));                                                   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_NO_TSAN X86_H(v##name##128_mr##suffix)                                                     \
    {                                                                                              \
        uint64_t lin = lin_w16;                                                                    \
        check(15);                                                                                 \
        TLB_WRITE(16, store_slow);                                                                 \
        _mm_storeu_si128(p, x86_vlo(c, i->src));                                                   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_NO_TSAN X86_H(v##name##256_mr##suffix)                                                     \
    {                                                                                              \
        uint64_t lin = lin_w32;                                                                    \
        check(31);                                                                                 \
        TLB_WRITE(32, store_slow256);                                                              \
        x86_v hi = x86_vhi(c, i->src);                                                             \
        _mm_storeu_si128(p, x86_vlo(c, i->src));                                                   \
        _mm_storeu_si128(p + 1, hi);                                                               \
        X86_NEXT(c, i);                                                                            \
    }

#define UNALIGNED(mask) (void)0
#define ALIGNED(mask)                                                                              \
    if (x86_unlikely(lin & (mask)))                                                                \
    x86_gp(c, i, 0)

#define FLAT x86_lin_flat(c, i)
MOVES(movu, , FLAT, FLAT, FLAT, FLAT, UNALIGNED)
MOVES(mova, , FLAT, FLAT, FLAT, FLAT, ALIGNED)

#define GENERAL(size, how) x86_lin(c, i, size, X86_ACCESS_##how)
MOVES(movu, _g, GENERAL(16, R), GENERAL(32, R), GENERAL(16, W), GENERAL(32, W), UNALIGNED)
MOVES(mova, _g, GENERAL(16, R), GENERAL(32, R), GENERAL(16, W), GENERAL(32, W), ALIGNED)

#define REGISTER_MOVES(name)                                                                       \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        x86_vset(c, i->dst, x86_vlo(c, i->src));                                                   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rr)                                                                         \
    {                                                                                              \
        x86_vset128(c, i->dst, x86_vlo(c, i->src));                                                \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rr)                                                                         \
    {                                                                                              \
        x86_vset256(c, i->dst, x86_vlo(c, i->src), x86_vhi(c, i->src));                            \
        X86_NEXT(c, i);                                                                            \
    }
REGISTER_MOVES(movu)
REGISTER_MOVES(mova)
