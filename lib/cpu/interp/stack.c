/* SPDX-License-Identifier: MIT */
/**
 * @file stack.c
 * PUSH, POP, LEAVE, and the stack accesses other handlers use [SDM-1 §6.2].
 *
 * The flat forms serve 64-bit mode, where SS has no base or limit and RSP is 64 bits wide.
 */
#include "cpu/interp/stack.h"

void vm__x86_push(struct vcpu *c, const struct x86_insn *i, unsigned osz, uint64_t v)
{
    x86_push(c, i, osz, v);
}

uint64_t vm__x86_peek_stack(struct vcpu *c, const struct x86_insn *i, unsigned osz, unsigned skip)
{
    return x86_peek(c, i, osz, skip);
}

/* ---- PUSH ---- */

#define PUSH(W, form, V)                                                                           \
    X86_H(push##W##_##form)                                                                        \
    {                                                                                              \
        X86_U##W v = V;                                                                            \
        uint64_t sp = c->st.gpr[X86_RSP] - W / 8;                                                  \
        x86_st##W##_seg(c, i, sp, X86_SS, v);                                                      \
        c->st.gpr[X86_RSP] = sp;                                                                   \
        X86_NEXT(c, i);                                                                            \
    }
#define PUSH_G(W, form, V)                                                                         \
    X86_H(push##W##_##form##_g)                                                                    \
    {                                                                                              \
        x86_push(c, i, X86_OSZ##W, V);                                                              \
        X86_NEXT(c, i);                                                                            \
    }
#define PUSHES(W)                                                                                  \
    PUSH(W, r, x86_get_##W(c, i->dst))                                                             \
    PUSH(W, i, (X86_U##W)i->imm)                                                                   \
    PUSH(W, m, x86_ld##W(c, i, x86_lin_flat(c, i)))                                                \
    PUSH_G(W, r, x86_get_##W(c, i->dst))                                                           \
    PUSH_G(W, i, (X86_U##W)i->imm)                                                                 \
    PUSH_G(W, m, x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R)))
PUSHES(16)
PUSHES(32)
PUSHES(64)

/* ---- POP ---- */

/* POP to memory: the address is computed after RSP moved [SDM-2B POP]. */
#define POP(W)                                                                                     \
    X86_H(pop##W##_r)                                                                              \
    {                                                                                              \
        uint64_t sp = c->st.gpr[X86_RSP];                                                          \
        X86_U##W v = x86_ld##W##_seg(c, i, sp, X86_SS);                                            \
        c->st.gpr[X86_RSP] = sp + W / 8;                                                           \
        x86_set_##W(c, i->dst, v);                                                                 \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(pop##W##_r_g)                                                                            \
    {                                                                                              \
        uint64_t v = x86_peek(c, i, X86_OSZ##W, 0);                                          \
        x86_set_sp(c, x86_sp(c) + W / 8);                                                          \
        x86_set_##W(c, i->dst, (X86_U##W)v);                                                       \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(pop##W##_m)                                                                              \
    {                                                                                              \
        uint64_t sp = c->st.gpr[X86_RSP], lin;                                                     \
        X86_U##W v = x86_ld##W##_seg(c, i, sp, X86_SS);                                            \
        c->st.gpr[X86_RSP] = sp + W / 8;                                                           \
        lin = x86_lin_flat(c, i);                                                                  \
        c->st.gpr[X86_RSP] = sp;                                                                   \
        x86_st##W(c, i, lin, v);                                                                   \
        c->st.gpr[X86_RSP] = sp + W / 8;                                                           \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(pop##W##_m_g)                                                                            \
    {                                                                                              \
        uint64_t v = x86_peek(c, i, X86_OSZ##W, 0), rsp = c->st.gpr[X86_RSP], ea;            \
        x86_set_sp(c, x86_sp(c) + W / 8);                                                          \
        ea = x86_ea(c, i);                                                                         \
        c->st.gpr[X86_RSP] = rsp;                                                                  \
        x86_st##W(c, i, x86_seg_lin(c, i, i->seg, ea, W / 8, X86_ACCESS_W), (X86_U##W)v);          \
        x86_set_sp(c, x86_sp(c) + W / 8);                                                          \
        X86_NEXT(c, i);                                                                            \
    }
POP(16)
POP(32)
POP(64)

/* ---- LEAVE ---- */

#define LEAVE(W)                                                                                   \
    X86_H(leave##W)                                                                                \
    {                                                                                              \
        uint64_t bp = c->st.gpr[X86_RBP];                                                          \
        X86_U##W v = x86_ld##W##_seg(c, i, bp, X86_SS);                                            \
        c->st.gpr[X86_RSP] = bp + W / 8;                                                           \
        x86_set_##W(c, X86_RBP * 8, v);                                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(leave##W##_g)                                                                            \
    {                                                                                              \
        uint64_t rsp = c->st.gpr[X86_RSP], bp = x86_sp_wrap(c, c->st.gpr[X86_RBP]);                       \
        uint64_t lin = x86_seg_lin(c, i, X86_SS, bp, W / 8, X86_ACCESS_R);                         \
        X86_U##W v = x86_ld##W##_seg(c, i, lin, X86_SS);                                           \
        c->st.gpr[X86_RSP] = rsp;                                                                  \
        x86_set_sp(c, bp + W / 8);                                                                 \
        x86_set_##W(c, X86_RBP * 8, v);                                                            \
        X86_NEXT(c, i);                                                                            \
    }
LEAVE(16)
LEAVE(32)
LEAVE(64)
