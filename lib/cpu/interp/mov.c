/* SPDX-License-Identifier: MIT */
/**
 * @file mov.c
 * MOV, MOVZX, MOVSX, MOVSXD, LEA, XCHG, CMOVcc, SETcc, CBW, CWD, NOP [SDM-2].
 */
#include "cpu/interp/arith.h"

#define ST(W, form, IS_FLAT, V) X86_WITH_STORE(mov##W##_##form, W, IS_FLAT, V)
#define LOADW(name, W, FROM, form, IS_FLAT, T)                                                     \
    X86_WITH_LOAD(name##W##_##form, FROM, IS_FLAT, v, x86_set_##W(c, i->dst, (X86_U##W)(T)v))
#define FLAT     x86_lin_flat(c, i)
#define GEN_W(W) x86_lin(c, i, W / 8, X86_ACCESS_W)

#define MOV(W)                                                                                     \
    X86_H(mov##W##_rr)                                                                             \
    {                                                                                              \
        x86_set_##W(c, i->dst, x86_get_##W(c, i->src));                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(mov##W##_ri)                                                                             \
    {                                                                                              \
        x86_set_##W(c, i->dst, (X86_U##W)i->imm);                                                  \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    LOADW(mov, W, W, rm, true, X86_U##W)                                                           \
    LOADW(mov, W, W, rm_g, false, X86_U##W)                                                        \
    LOADW(mov, W, W, ro, true, X86_U##W)                                                           \
    LOADW(mov, W, W, ro_g, false, X86_U##W)                                                        \
    ST(W, mr, true, x86_get_##W(c, i->src))                                                        \
    ST(W, mr_g, false, x86_get_##W(c, i->src))                                                     \
    ST(W, mi, true, (X86_U##W)i->imm)                                                              \
    ST(W, mi_g, false, (X86_U##W)i->imm)                                                           \
    ST(W, or, true, x86_get_##W(c, i->src))                                                        \
    ST(W, or_g, false, x86_get_##W(c, i->src))
MOV(8)
MOV(16)
MOV(32)
MOV(64)

#define EXT(name, W, FROM, T)                                                                      \
    X86_H(name##W##_rr)                                                                            \
    {                                                                                              \
        x86_set_##W(c, i->dst, (X86_U##W)(T)x86_get_##FROM(c, i->src));                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    LOADW(name, W, FROM, rm, true, T)                                                              \
    LOADW(name, W, FROM, rm_g, false, T)
#define EXT3(name, FROM, T) EXT(name, 16, FROM, T) EXT(name, 32, FROM, T) EXT(name, 64, FROM, T)
EXT3(movzb, 8, uint8_t)
EXT3(movzw, 16, uint16_t)
EXT3(movsb, 8, int8_t)
EXT3(movsw, 16, int16_t)
EXT(movsd, 16, 16, int16_t)
EXT(movsd, 32, 32, int32_t)
EXT(movsd, 64, 32, int32_t)

#define LEA(W)                                                                                     \
    X86_H(lea##W)                                                                                  \
    {                                                                                              \
        x86_set_##W(c, i->dst, (X86_U##W)x86_lin_flat(c, i));                                      \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(lea##W##_g)                                                                              \
    {                                                                                              \
        x86_set_##W(c, i->dst, (X86_U##W)x86_ea(c, i));                                            \
        X86_NEXT(c, i);                                                                            \
    }
LEA(16)
LEA(32)
LEA(64)

/* XCHG with memory is locked with or without the prefix [SDM-2D XCHG]. */
#define XCHG_M(W, form, LIN)                                                                       \
    X86_H(xchg##W##_##form)                                                                        \
    {                                                                                              \
        uint64_t lin = LIN;                                                                        \
        uint8_t *p = vm__x86_lock_begin(c, i, lin, W / 8);                                         \
        X86_U##W old =                                                                             \
            __atomic_exchange_n((X86_U##W *)(void *)p, x86_get_##W(c, i->src), __ATOMIC_SEQ_CST);  \
        vm__x86_lock_end(c, i, lin, W / 8, p);                                                     \
        x86_set_##W(c, i->src, old);                                                               \
        X86_NEXT(c, i);                                                                            \
    }
#define XCHG(W)                                                                                    \
    X86_H(xchg##W##_rr)                                                                            \
    {                                                                                              \
        X86_U##W a = x86_get_##W(c, i->dst), b = x86_get_##W(c, i->src);                           \
        x86_set_##W(c, i->dst, b);                                                                 \
        x86_set_##W(c, i->src, a);                                                                 \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    XCHG_M(W, mr, FLAT)                                                                            \
    XCHG_M(W, mr_g, GEN_W(W))                                                                      \
    XCHG_M(W, lk, GEN_W(W))
XCHG(8)
XCHG(16)
XCHG(32)
XCHG(64)

/* The memory operand is read, and may fault, whatever the condition; a 32-bit destination is
 * zero-extended either way [SDM-2A CMOVcc]. */
#define CMOV(cc, n, W)                                                                             \
    X86_H(cmov##cc##W)                                                                             \
    {                                                                                              \
        X86_U##W v = i->flags & X86_I_MEM ? x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R))    \
                                          : x86_get_##W(c, i->src);                                \
        x86_set_##W(c, i->dst, x86_cond(c, n) ? v : x86_get_##W(c, i->dst));                       \
        X86_NEXT(c, i);                                                                            \
    }
#define SETCC(cc, n)                                                                               \
    X86_H(set##cc)                                                                                 \
    {                                                                                              \
        uint8_t v = (uint8_t)x86_cond(c, n);                                                       \
        if (i->flags & X86_I_MEM)                                                                  \
            x86_st8(c, i, x86_lin(c, i, 1, X86_ACCESS_W), v);                                      \
        else                                                                                       \
            *x86_r8(c, i->dst) = v;                                                                \
        X86_NEXT(c, i);                                                                            \
    }
#define CC(cc, n) CMOV(cc, n, 16) CMOV(cc, n, 32) CMOV(cc, n, 64) SETCC(cc, n)
CC(o, 0)
CC(no, 1)
CC(b, 2)
CC(ae, 3)
CC(e, 4)
CC(ne, 5)
CC(be, 6)
CC(a, 7)
CC(s, 8)
CC(ns, 9)
CC(p, 10)
CC(np, 11)
CC(l, 12)
CC(ge, 13)
CC(le, 14)
CC(g, 15)

#define CONVERT(W, HALF)                                                                           \
    X86_H(cbw##W)                                                                                  \
    {                                                                                              \
        x86_set_##W(c, 0, (X86_U##W)(X86_S##HALF)x86_get_##HALF(c, 0));                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(cwd##W)                                                                                  \
    {                                                                                              \
        x86_set_##W(c, X86_RDX * 8, (X86_U##W)((X86_S##W)x86_get_##W(c, 0) >> (W - 1)));           \
        X86_NEXT(c, i);                                                                            \
    }
CONVERT(16, 8)
CONVERT(32, 16)
CONVERT(64, 32)

X86_H(nop)
{
    X86_NEXT(c, i);
}

/** A spinning processor lets others run: nothing to do while each has a thread. */
X86_H(pause)
{
    X86_NEXT(c, i);
}
