/* SPDX-License-Identifier: MIT */
/**
 * @file bmi.c
 * BMI1, BMI2 and ADX [SDM-2A, SDM-2B, SDM-2D].
 *
 * Flags the manual leaves undefined are 0 on Intel hardware, SF of BEXTR among them.
 */
#include "cpu/interp/arith.h"

/* ModRM.rm, operand @p REG of the row. */
#define RM(W, REG)                                                                                 \
    ((i->flags & X86_I_MEM) ? x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R))                  \
                            : x86_get_##W(c, i->REG))
#define REG(W, R)   x86_get_##W(c, i->R)
#define COUNT(W, R) ((unsigned)x86_get_##W(c, i->R) & (W - 1))

static inline void set_flags(struct vcpu *c, bool sf, bool zf, bool cf)
{
    x86_set_arith(c, (sf ? X86_SF : 0) | (zf ? X86_ZF : 0) | (cf ? X86_CF : 0));
}

X86_INLINE uint64_t low_bits(uint64_t v, unsigned n)
{
    return n < 64 ? v & ((UINT64_C(1) << n) - 1) : v;
}

X86_INLINE uint64_t bextr(uint64_t v, unsigned control)
{
    unsigned start = control & 0xff, len = control >> 8 & 0xff;
    return start < 64 ? low_bits(v >> start, len) : 0;
}

/* Deposit the low bits of @p v at the set bits of @p mask, lowest first. */
static uint64_t deposit(uint64_t v, uint64_t mask)
{
    uint64_t r = 0;
    for (; mask != 0; mask &= mask - 1, v >>= 1)
        if (v & 1)
            r |= mask & -mask;
    return r;
}

/* Gather the bits of @p v at the set bits of @p mask. */
static uint64_t extract(uint64_t v, uint64_t mask)
{
    uint64_t r = 0;
    for (uint64_t bit = 1; mask != 0; mask &= mask - 1, bit <<= 1)
        if (v & mask & -mask)
            r |= bit;
    return r;
}

/* Result R of operands a and b, no flags. */
#define PLAIN(name, W, A, B, R)                                                                    \
    X86_H(name##W)                                                                                 \
    {                                                                                              \
        X86_U##W a = A;                                                                            \
        unsigned long b = B;                                                                       \
        x86_set_##W(c, i->dst, (X86_U##W)(R));                                                     \
        X86_NEXT(c, i);                                                                            \
    }
/* SF and ZF from the result, CF as given. */
#define FLAGS(name, W, A, B, R, CF)                                                                \
    X86_H(name##W)                                                                                 \
    {                                                                                              \
        X86_U##W a = A, b = B, r = (X86_U##W)(R);                                                  \
        x86_set_##W(c, i->dst, r);                                                                 \
        set_flags(c, r >> (W - 1), r == 0, CF);                                                    \
        X86_NEXT(c, i);                                                                            \
    }
#define BMI(W)                                                                                     \
    PLAIN(rorx, W, RM(W, src), (unsigned)i->imm &(W - 1), a >> b | a << (-b & (W - 1)))            \
    PLAIN(shlx, W, RM(W, src), COUNT(W, src2), a << b)                                             \
    PLAIN(shrx, W, RM(W, src), COUNT(W, src2), a >> b)                                             \
    PLAIN(sarx, W, RM(W, src), COUNT(W, src2), (X86_S##W)a >> b)                                   \
    PLAIN(pdep, W, RM(W, src2), REG(W, src), deposit(b, a))                                        \
    PLAIN(pext, W, RM(W, src2), REG(W, src), extract(b, a))                                        \
    FLAGS(andn, W, RM(W, src2), REG(W, src), ~b &a, false)                                         \
    FLAGS(blsi, W, RM(W, src), 0, -a &a, a != b)                                                   \
    FLAGS(blsmsk, W, RM(W, src), 1, (a - b) ^ a, a == 0)                                           \
    FLAGS(blsr, W, RM(W, src), 1, (a - b) & a, a == 0)                                             \
    FLAGS(bzhi, W, RM(W, src), REG(W, src2), low_bits(a, b & 0xff), (b & 0xff) >= W)               \
    X86_H(bextr##W)                                                                                \
    {                                                                                              \
        X86_U##W a = RM(W, src), r = (X86_U##W)bextr(a, (unsigned)REG(W, src2));                   \
        x86_set_##W(c, i->dst, r);                                                                 \
        set_flags(c, false, r == 0, false);                                                        \
        X86_NEXT(c, i);                                                                            \
    }
BMI(32)
BMI(64)

/* Both halves may go to one register: the high one stays. */
X86_H(mulx32)
{
    uint64_t p = (uint64_t)RM(32, src2) * x86_get_32(c, X86_RDX * 8);
    x86_set_32(c, i->src, (uint32_t)p);
    x86_set_32(c, i->dst, (uint32_t)(p >> 32));
    X86_NEXT(c, i);
}

X86_H(mulx64)
{
    unsigned __int128 p = (unsigned __int128)RM(64, src2) * c->st.gpr[X86_RDX];
    x86_set_64(c, i->src, (uint64_t)p);
    x86_set_64(c, i->dst, (uint64_t)(p >> 64));
    X86_NEXT(c, i);
}

/* ---- ADX: addition that carries through one flag only ---- */

#define ADX(W)                                                                                     \
    X86_H(adcx##W)                                                                                 \
    {                                                                                              \
        X86_U##W a = RM(W, src), b = REG(W, dst), r;                                               \
        unsigned cf = x86_cf(c), of = x86_of(c);                                                   \
        unsigned out = __builtin_add_overflow(a, b, &r);                                           \
        out |= __builtin_add_overflow(r, (X86_U##W)cf, &r);                                        \
        x86_set_##W(c, i->dst, r);                                                                 \
        x86_set_cf_of(c, out, of);                                                                 \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(adox##W)                                                                                 \
    {                                                                                              \
        X86_U##W a = RM(W, src), b = REG(W, dst), r;                                               \
        unsigned cf = x86_cf(c), of = x86_of(c);                                                   \
        unsigned out = __builtin_add_overflow(a, b, &r);                                           \
        out |= __builtin_add_overflow(r, (X86_U##W)of, &r);                                        \
        x86_set_##W(c, i->dst, r);                                                                 \
        x86_set_cf_of(c, cf, out);                                                                 \
        X86_NEXT(c, i);                                                                            \
    }
ADX(32)
ADX(64)
