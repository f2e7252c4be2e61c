/* SPDX-License-Identifier: MIT */
/**
 * @file shift.c
 * SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD [SDM-2B].
 */
#include "cpu/interp/shift.h"

#define BY_CL(W)  (*x86_r8(c, X86_RCX * 8) & (W == 64 ? 63u : 31u))
#define BY_IMM(W) ((unsigned)i->imm & (W == 64 ? 63u : 31u))

#define SHIFT_R(name, W, form, N, IMM)                                                             \
    X86_H(name##W##_##form)                                                                        \
    {                                                                                              \
        X86_U##W a = x86_get_##W(c, i->dst);                                                       \
        x86_set_##W(c, i->dst, (X86_U##W)x86_sh_##name(c, W, a, N, IMM));                          \
        X86_NEXT(c, i);                                                                            \
    }
#define SHIFT_M(name, W, form, LIN, N)                                                             \
    X86_H(name##W##_##form)                                                                        \
    {                                                                                              \
        uint64_t lin = LIN;                                                                        \
        uint8_t *p = x86_rmw(c, i, lin, W / 8);                                                    \
        X86_POKE(W, p, x86_sh_##name(c, W, X86_PEEK(W, p), N, false));                             \
        x86_rmw_end(c, i, lin, W / 8, p);                                                          \
        X86_NEXT(c, i);                                                                            \
    }
#define FLAT   x86_lin_flat(c, i)
#define GEN(W) x86_lin(c, i, W / 8, X86_ACCESS_W)
#define SHIFT(name, W)                                                                             \
    SHIFT_R(name, W, rr, BY_CL(W), false)                                                          \
    SHIFT_R(name, W, ri, BY_IMM(W), true)                                                          \
    SHIFT_M(name, W, mr, FLAT, BY_CL(W))                                                           \
    SHIFT_M(name, W, mr_g, GEN(W), BY_CL(W))                                                       \
    SHIFT_M(name, W, mi, FLAT, BY_IMM(W))                                                          \
    SHIFT_M(name, W, mi_g, GEN(W), BY_IMM(W))
#define SHIFTS(name) SHIFT(name, 8) SHIFT(name, 16) SHIFT(name, 32) SHIFT(name, 64)
SHIFTS(shl)
SHIFTS(shr)
SHIFTS(sar)
SHIFTS(rol)
SHIFTS(ror)
SHIFTS(rcl)
SHIFTS(rcr)

#define DOUBLE_R(name, W, form, N)                                                                 \
    X86_H(name##W##_##form)                                                                        \
    {                                                                                              \
        X86_U##W a = x86_get_##W(c, i->dst), b = x86_get_##W(c, i->src);                           \
        x86_set_##W(c, i->dst, (X86_U##W)x86_sh_##name(c, W, a, b, N));                            \
        X86_NEXT(c, i);                                                                            \
    }
#define DOUBLE_M(name, W, form, N)                                                                 \
    X86_H(name##W##_##form)                                                                        \
    {                                                                                              \
        uint64_t lin = GEN(W);                                                                     \
        uint8_t *p = x86_rmw(c, i, lin, W / 8);                                                    \
        X86_POKE(W, p, x86_sh_##name(c, W, X86_PEEK(W, p), x86_get_##W(c, i->src), N));            \
        x86_rmw_end(c, i, lin, W / 8, p);                                                          \
        X86_NEXT(c, i);                                                                            \
    }
#define DOUBLE(name, W)                                                                            \
    DOUBLE_R(name, W, rrr, BY_CL(W))                                                               \
    DOUBLE_R(name, W, rri, BY_IMM(W))                                                              \
    DOUBLE_M(name, W, mrr, BY_CL(W))                                                               \
    DOUBLE_M(name, W, mri, BY_IMM(W))
#define DOUBLES(name) DOUBLE(name, 16) DOUBLE(name, 32) DOUBLE(name, 64)
DOUBLES(shld)
DOUBLES(shrd)
