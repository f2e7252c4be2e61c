/* SPDX-License-Identifier: MIT */
/**
 * @file bits.c
 * BT, BTS, BTR, BTC, BSF, BSR, TZCNT, LZCNT, POPCNT, BSWAP [SDM-2].
 *
 * Undefined flags as on Intel hardware: the bit tests change only CF; BSF and BSR clear CF, OF, SF
 * and AF and take PF from the bit number (0 when there is none); TZCNT and LZCNT clear OF, SF, AF
 * and PF.
 */
#include "cpu/interp/arith.h"

/* ---- bit tests ---- */

X86_INLINE void set_cf(struct vcpu *c, unsigned cf)
{
    x86_set_cf_of(c, cf, x86_of(c));
}

/* The new value of a word whose bit @p m is set in a mask. */
X86_INLINE uint64_t bit_bts(uint64_t v, uint64_t m)
{
    return v | m;
}
X86_INLINE uint64_t bit_btr(uint64_t v, uint64_t m)
{
    return v & ~m;
}
X86_INLINE uint64_t bit_btc(uint64_t v, uint64_t m)
{
    return v ^ m;
}

/* A register bit offset into memory is signed and reaches beyond the operand; the address moves by
 * whole operands [SDM-2A BT]. */
X86_INLINE uint64_t bit_lin(struct vcpu *c, const struct x86_insn *i, unsigned w, int64_t offset,
                            int access)
{
    uint64_t ea = x86_ea(c, i) + (uint64_t)((offset & -(int64_t)w) >> 3);
    ea &= ~UINT64_C(0) >> (64 - (8u << i->asz));
    return x86_seg_lin(c, i, i->seg, ea, w / 8, access);
}

#define OFFSET(W)  ((int64_t)(X86_S##W)x86_get_##W(c, i->src))
#define MASK(W, n) (UINT64_C(1) << ((unsigned)(n) & (W - 1)))

#define BIT_R(name, W, form, N)                                                                    \
    X86_H(name##W##_##form)                                                                        \
    {                                                                                              \
        uint64_t m = MASK(W, N), v = x86_get_##W(c, i->dst);                                       \
        x86_set_##W(c, i->dst, (X86_U##W)bit_##name(v, m));                                        \
        set_cf(c, (v & m) != 0);                                                                   \
        X86_NEXT(c, i);                                                                            \
    }
#define BIT_M(name, W, form, N, LIN)                                                               \
    X86_H(name##W##_##form)                                                                        \
    {                                                                                              \
        int64_t n = (int64_t)(N);                                                                  \
        uint64_t m = MASK(W, n), lin = LIN, v;                                                     \
        uint8_t *p = x86_rmw(c, i, lin, W / 8);                                                    \
        v = X86_PEEK(W, p);                                                                        \
        X86_POKE(W, p, bit_##name(v, m));                                                          \
        x86_rmw_end(c, i, lin, W / 8, p);                                                          \
        set_cf(c, (v & m) != 0);                                                                   \
        X86_NEXT(c, i);                                                                            \
    }
#define BIT_LK(name, W)                                                                            \
    X86_H(name##W##_lk)                                                                            \
    {                                                                                              \
        bool by_reg = i->src != X86_NONE * 8;                                                      \
        int64_t n = by_reg ? OFFSET(W) : (int64_t)i->imm;                                          \
        uint64_t m = MASK(W, n), lin = bit_lin(c, i, W, by_reg ? n : 0, X86_ACCESS_W);             \
        uint8_t *p = vm__x86_lock_begin(c, i, lin, W / 8);                                         \
        X86_U##W *q = (X86_U##W *)(void *)p, v = __atomic_load_n(q, __ATOMIC_RELAXED);             \
        while (!__atomic_compare_exchange_n(q, &v, (X86_U##W)bit_##name(v, m), false,              \
                                            __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))                   \
            ;                                                                                      \
        vm__x86_lock_end(c, i, lin, W / 8, p);                                                     \
        set_cf(c, (v & m) != 0);                                                                   \
        X86_NEXT(c, i);                                                                            \
    }
#define BIT_CHANGE(name, W)                                                                        \
    BIT_R(name, W, rr, x86_get_##W(c, i->src))                                                     \
    BIT_R(name, W, ri, i->imm)                                                                     \
    BIT_M(name, W, mr, OFFSET(W), bit_lin(c, i, W, n, X86_ACCESS_W))                               \
    BIT_M(name, W, mi, i->imm, bit_lin(c, i, W, 0, X86_ACCESS_W))                                  \
    BIT_LK(name, W)
#define BIT_TEST(W, form, N, V)                                                                    \
    X86_H(bt##W##_##form)                                                                          \
    {                                                                                              \
        int64_t n = (int64_t)(N);                                                                  \
        uint64_t v = V;                                                                            \
        set_cf(c, (v & MASK(W, n)) != 0);                                                          \
        X86_NEXT(c, i);                                                                            \
    }
#define BITS(W)                                                                                    \
    BIT_TEST(W, rr, x86_get_##W(c, i->src), x86_get_##W(c, i->dst))                                \
    BIT_TEST(W, ri, i->imm, x86_get_##W(c, i->dst))                                                \
    BIT_TEST(W, mr, OFFSET(W), x86_ld##W(c, i, bit_lin(c, i, W, n, X86_ACCESS_R)))                 \
    BIT_TEST(W, mi, i->imm, x86_ld##W(c, i, bit_lin(c, i, W, 0, X86_ACCESS_R)))                    \
    BIT_CHANGE(bts, W)                                                                             \
    BIT_CHANGE(btr, W)                                                                             \
    BIT_CHANGE(btc, W)
BITS(16)
BITS(32)
BITS(64)

/* ---- scans and counts ---- */

#define SRC(W)                                                                                     \
    ((i->flags & X86_I_MEM) ? x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R))                  \
                            : x86_get_##W(c, i->src))

X86_INLINE unsigned parity_flag(unsigned v)
{
    return __builtin_parity(v & 0xff) ? 0 : X86_PF;
}

X86_INLINE unsigned leading_zeros(uint64_t v, unsigned w)
{
    return v != 0 ? (unsigned)__builtin_clzll(v) - (64 - w) : w;
}

X86_INLINE unsigned trailing_zeros(uint64_t v, unsigned w)
{
    return v != 0 ? (unsigned)__builtin_ctzll(v) : w;
}

/* A source of 0 leaves the whole destination alone, its upper half too. */
#define SCAN(name, W, INDEX)                                                                       \
    X86_H(name##W)                                                                                 \
    {                                                                                              \
        X86_U##W v = SRC(W);                                                                       \
        if (v == 0) {                                                                              \
            x86_set_arith(c, X86_ZF | X86_PF);                                                     \
        } else {                                                                                   \
            unsigned n = INDEX;                                                                    \
            x86_set_##W(c, i->dst, (X86_U##W)n);                                                   \
            x86_set_arith(c, parity_flag(n));                                                      \
        }                                                                                          \
        X86_NEXT(c, i);                                                                            \
    }
#define COUNT(name, W, VALUE, CF)                                                                  \
    X86_H(name##W)                                                                                 \
    {                                                                                              \
        X86_U##W v = SRC(W);                                                                       \
        unsigned n = VALUE;                                                                        \
        x86_set_##W(c, i->dst, (X86_U##W)n);                                                       \
        x86_set_arith(c, (CF ? X86_CF : 0) | (n == 0 ? X86_ZF : 0));                               \
        X86_NEXT(c, i);                                                                            \
    }
#define SCANS(W)                                                                                   \
    SCAN(bsf, W, trailing_zeros(v, W))                                                             \
    SCAN(bsr, W, W - 1 - leading_zeros(v, W))                                                      \
    COUNT(tzcnt, W, trailing_zeros(v, W), v == 0)                                                  \
    COUNT(lzcnt, W, leading_zeros(v, W), v == 0)                                                   \
    COUNT(popcnt, W, (unsigned)__builtin_popcountll(v), false)
SCANS(16)
SCANS(32)
SCANS(64)

/* ---- BSWAP ---- */

/** Undefined for 16-bit registers; the hardware gives 0. */
X86_H(bswap16)
{
    *x86_r16(c, i->dst) = 0;
    X86_NEXT(c, i);
}

X86_H(bswap32)
{
    x86_set32(c, i->dst, __builtin_bswap32(x86_get32(c, i->dst)));
    X86_NEXT(c, i);
}

X86_H(bswap64)
{
    uint64_t *r = x86_r64(c, i->dst);
    *r = __builtin_bswap64(*r);
    X86_NEXT(c, i);
}
