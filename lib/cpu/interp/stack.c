/* SPDX-License-Identifier: MIT */
/**
 * @file stack.c
 * PUSH, POP, LEAVE, and the stack accesses other handlers use [SDM-1 §6.2].
 *
 * The flat forms serve 64-bit mode, where SS has no base or limit and RSP is 64 bits wide.
 */
#include "cpu/interp/arith.h"

static uint64_t wrap(const struct vcpu *c, uint64_t sp)
{
    unsigned s = x86_stack_size(c);
    return s == 3 ? sp : s == 2 ? (uint32_t)sp : (uint16_t)sp;
}

void vm__x86_push(struct vcpu *c, const struct x86_insn *i, unsigned osz, uint64_t v)
{
    unsigned size = 1u << osz;
    uint64_t sp = wrap(c, x86_sp(c) - size);
    uint64_t lin = x86_seg_lin(c, i, X86_SS, sp, size, X86_ACCESS_W);

    switch (osz) {
    case 1: x86_st16_seg(c, i, lin, X86_SS, (uint16_t)v); break;
    case 2: x86_st32_seg(c, i, lin, X86_SS, (uint32_t)v); break;
    default: x86_st64_seg(c, i, lin, X86_SS, v); break;
    }
    x86_set_sp(c, sp);
}

uint64_t vm__x86_peek_stack(struct vcpu *c, const struct x86_insn *i, unsigned osz, unsigned skip)
{
    unsigned size = 1u << osz;
    uint64_t sp = wrap(c, x86_sp(c) + skip);
    uint64_t lin = x86_seg_lin(c, i, X86_SS, sp, size, X86_ACCESS_R);

    switch (osz) {
    case 1: return x86_ld16_seg(c, i, lin, X86_SS);
    case 2: return x86_ld32_seg(c, i, lin, X86_SS);
    default: return x86_ld64_seg(c, i, lin, X86_SS);
    }
}

#define OSZ16 1
#define OSZ32 2
#define OSZ64 3

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
        vm__x86_push(c, i, OSZ##W, V);                                                             \
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
        uint64_t v = vm__x86_peek_stack(c, i, OSZ##W, 0);                                          \
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
        uint64_t v = vm__x86_peek_stack(c, i, OSZ##W, 0), rsp = c->st.gpr[X86_RSP], ea;            \
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
        uint64_t rsp = c->st.gpr[X86_RSP], bp = wrap(c, c->st.gpr[X86_RBP]);                       \
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
