/* SPDX-License-Identifier: MIT */
/**
 * @file muldiv.c
 * MUL, IMUL, DIV, IDIV [SDM-2].
 *
 * Flags the manual leaves undefined, as Intel hardware has them: a multiplication clears ZF and AF
 * and takes SF and PF from the low half of the product; a division changes none.
 */
#include "cpu/interp/arith.h"

/* CF = OF = @p wide. Bit 8 of the result word is not part of SF or PF and keeps it from looking
 * like zero. */
X86_INLINE void mul_flags(struct vcpu *c, unsigned w, uint64_t low, bool wide)
{
    x86_cc(c, w, x86_sext(low, w) | 0x100, (uint64_t)wide << 63);
}

#define SRC(W)                                                                                     \
    ((i->flags & X86_I_MEM) ? x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R))                  \
                            : x86_get_##W(c, i->dst))

/* The low and high halves live in AX, or in rDX:rAX. */
#define LOW(W)  x86_get_##W(c, X86_RAX * 8)
#define HIGH(W) x86_get_##W(c, X86_RDX * 8)
#define SET_PAIR(W, lo, hi)                                                                        \
    do {                                                                                           \
        x86_set_##W(c, X86_RAX * 8, lo);                                                           \
        x86_set_##W(c, X86_RDX * 8, hi);                                                           \
    } while (0)

/* ---- MUL and IMUL, one operand ---- */

X86_H(mul8)
{
    unsigned p = (unsigned)LOW(8) * SRC(8);
    *x86_r16(c, 0) = (uint16_t)p;
    mul_flags(c, 8, p, p >> 8 != 0);
    X86_NEXT(c, i);
}

X86_H(imul8)
{
    int p = (int8_t)LOW(8) * (int8_t)SRC(8);
    *x86_r16(c, 0) = (uint16_t)p;
    mul_flags(c, 8, (uint64_t)p, p != (int8_t)p);
    X86_NEXT(c, i);
}

#define MUL(W, WIDE, SWIDE)                                                                        \
    X86_H(mul##W)                                                                                  \
    {                                                                                              \
        WIDE p = (WIDE)LOW(W) * SRC(W);                                                            \
        X86_U##W high = (X86_U##W)(p >> W);                                                        \
        SET_PAIR(W, (X86_U##W)p, high);                                                            \
        mul_flags(c, W, (X86_U##W)p, high != 0);                                                   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(imul##W)                                                                                 \
    {                                                                                              \
        SWIDE p = (SWIDE)(X86_S##W)LOW(W) * (X86_S##W)SRC(W);                                      \
        SET_PAIR(W, (X86_U##W)p, (X86_U##W)((WIDE)p >> W));                                        \
        mul_flags(c, W, (X86_U##W)p, p != (X86_S##W)p);                                            \
        X86_NEXT(c, i);                                                                            \
    }
MUL(16, uint32_t, int32_t)
MUL(32, uint64_t, int64_t)
MUL(64, unsigned __int128, __int128)

/* ---- IMUL, two and three operands ---- */

#define IMUL(W, SWIDE, form, A, B)                                                                 \
    X86_H(imul##W##_##form)                                                                        \
    {                                                                                              \
        SWIDE p = (SWIDE)(X86_S##W)(A) * (X86_S##W)(B);                                            \
        x86_set_##W(c, i->dst, (X86_U##W)p);                                                       \
        mul_flags(c, W, (X86_U##W)p, p != (X86_S##W)p);                                            \
        X86_NEXT(c, i);                                                                            \
    }
#define FLAT(W) x86_ld##W(c, i, x86_lin_flat(c, i))
#define GEN(W)  x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R))
#define IMULS(W, SWIDE)                                                                            \
    IMUL(W, SWIDE, rr, x86_get_##W(c, i->src), x86_get_##W(c, i->dst))                             \
    IMUL(W, SWIDE, rm, FLAT(W), x86_get_##W(c, i->dst))                                            \
    IMUL(W, SWIDE, rm_g, GEN(W), x86_get_##W(c, i->dst))                                           \
    IMUL(W, SWIDE, rri, x86_get_##W(c, i->src), i->imm)                                            \
    IMUL(W, SWIDE, rmi, FLAT(W), i->imm)                                                           \
    IMUL(W, SWIDE, rmi_g, GEN(W), i->imm)
IMULS(16, int32_t)
IMULS(32, int64_t)
IMULS(64, __int128)

/* ---- DIV and IDIV: #DE when the divisor is 0 or the quotient does not fit ---- */

X86_H(div8)
{
    unsigned d = SRC(8), n = *x86_r16(c, 0);
    if (x86_unlikely(n >> 8 >= d))
        vm__x86_fault(c, i, X86_XDE, 0);
    *x86_r16(c, 0) = (uint16_t)(n / d | n % d << 8);
    X86_NEXT(c, i);
}

X86_H(idiv8)
{
    int d = (int8_t)SRC(8), n = (int16_t)*x86_r16(c, 0);
    if (x86_unlikely(d == 0 || n / d != (int8_t)(n / d)))
        vm__x86_fault(c, i, X86_XDE, 0);
    *x86_r16(c, 0) = (uint16_t)((uint8_t)(n / d) | (n % d & 0xff) << 8);
    X86_NEXT(c, i);
}

#define DIV(W, WIDE, SWIDE)                                                                        \
    X86_H(div##W)                                                                                  \
    {                                                                                              \
        X86_U##W d = SRC(W), hi = HIGH(W), lo = LOW(W);                                            \
        if (x86_unlikely(hi >= d))                                                                 \
            vm__x86_fault(c, i, X86_XDE, 0);                                                       \
        if (hi == 0) {                                                                             \
            SET_PAIR(W, (X86_U##W)(lo / d), (X86_U##W)(lo % d));                                   \
        } else {                                                                                   \
            WIDE n = (WIDE)hi << W | lo;                                                           \
            SET_PAIR(W, (X86_U##W)(n / d), (X86_U##W)(n % d));                                     \
        }                                                                                          \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(idiv##W)                                                                                 \
    {                                                                                              \
        X86_S##W d = (X86_S##W)SRC(W), hi = (X86_S##W)HIGH(W), lo = (X86_S##W)LOW(W);              \
        if (x86_unlikely(d == 0))                                                                  \
            vm__x86_fault(c, i, X86_XDE, 0);                                                       \
        if (hi == lo >> (W - 1) && d != -1) {                                                      \
            SET_PAIR(W, (X86_U##W)(lo / d), (X86_U##W)(lo % d));                                   \
            X86_NEXT(c, i);                                                                        \
        }                                                                                          \
        SWIDE n = (SWIDE)((WIDE)(X86_U##W)hi << W | (X86_U##W)lo), q;                              \
        /* The most negative dividend has no negation to divide by -1. */                          \
        if (x86_unlikely(hi == (X86_S##W)(UINT64_C(1) << (W - 1)) && lo == 0 && d == -1))          \
            vm__x86_fault(c, i, X86_XDE, 0);                                                       \
        q = n / d;                                                                                 \
        if (x86_unlikely(q != (X86_S##W)q))                                                        \
            vm__x86_fault(c, i, X86_XDE, 0);                                                       \
        SET_PAIR(W, (X86_U##W)q, (X86_U##W)(n % d));                                               \
        X86_NEXT(c, i);                                                                            \
    }
DIV(16, uint32_t, int32_t)
DIV(32, uint64_t, int64_t)
DIV(64, unsigned __int128, __int128)
