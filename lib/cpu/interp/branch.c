/* SPDX-License-Identifier: MIT */
/**
 * @file branch.c
 * Near JMP, CALL, RET, Jcc, LOOP, JCXZ [SDM-2].
 *
 * Targets known at decode time were checked then (block.c gives a branch with a bad one to
 * vm__h_bad_branch); computed ones are checked here, before anything changes.
 */
#include "cpu/interp/stack.h"

extern x86_fn vm__h_bad_branch;

#define JCC(cc, n)                                                                                 \
    X86_H(j##cc)                                                                                   \
    {                                                                                              \
        if (x86_cond(c, n))                                                                        \
            X86_TAKE(c, i);                                               \
        X86_FALL(c, i);                                       \
    }
JCC(o, 0)
JCC(no, 1)
JCC(b, 2)
JCC(ae, 3)
JCC(e, 4)
JCC(ne, 5)
JCC(be, 6)
JCC(a, 7)
JCC(s, 8)
JCC(ns, 9)
JCC(p, 10)
JCC(np, 11)
JCC(l, 12)
JCC(ge, 13)
JCC(le, 14)
JCC(g, 15)

#define JMP(W)                                                                                     \
    X86_H(jmp##W)                                                                                  \
    {                                                                                              \
        X86_TAKE(c, i);                                                   \
    }
JMP(16)
JMP(32)
JMP(64)

static uint64_t indirect_target(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t t = i->flags & X86_I_MEM
                     ? x86_ld(c, i, x86_lin(c, i, 1u << i->osz, X86_ACCESS_R), i->osz)
                     : x86_get(c, i->dst, i->osz);
    x86_check_target(c, i, t);
    return t;
}

X86_H(jmpi)
{
    X86_JUMP(c, indirect_target(c, i));
}

#define CALL(W)                                                                                    \
    X86_H(call##W)                                                                                 \
    {                                                                                              \
        uint64_t sp = c->st.gpr[X86_RSP] - W / 8;                                                  \
        x86_st##W##_seg(c, i, sp, X86_SS, (X86_U##W)x86_next_rip(c, i));                           \
        c->st.gpr[X86_RSP] = sp;                                                                   \
        X86_TAKE(c, i);                                                   \
    }                                                                                              \
    X86_H(call##W##_g)                                                                             \
    {                                                                                              \
        x86_push(c, i, X86_OSZ##W, x86_next_rip(c, i));                                            \
        X86_TAKE(c, i);                                                   \
    }                                                                                              \
    X86_H(ret##W)                                                                                  \
    {                                                                                              \
        uint64_t sp = c->st.gpr[X86_RSP];                                                          \
        uint64_t t = x86_ld##W##_seg(c, i, sp, X86_SS);                                            \
        x86_check_target(c, i, t);                                                                 \
        c->st.gpr[X86_RSP] = sp + W / 8;                                                           \
        X86_JUMP(c, t);                                                  \
    }                                                                                              \
    X86_H(ret##W##_g)                                                                              \
    {                                                                                              \
        uint64_t t = x86_peek(c, i, X86_OSZ##W, 0);                                          \
        x86_check_target(c, i, t);                                                                 \
        x86_set_sp(c, x86_sp(c) + W / 8);                                                          \
        X86_JUMP(c, t);                                                  \
    }
CALL(16)
CALL(32)
CALL(64)

X86_H(calli)
{
    uint64_t t = indirect_target(c, i);
    vm__x86_push(c, i, i->osz, x86_next_rip(c, i));
    X86_JUMP(c, t);
}

X86_H(reti)
{
    uint64_t t = vm__x86_peek_stack(c, i, i->osz, 0);
    x86_check_target(c, i, t);
    x86_set_sp(c, x86_sp(c) + (1u << i->osz) + i->imm);
    X86_JUMP(c, t);
}

/* ---- rCX, by address size ---- */

static uint64_t dec_count(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t n = x86_get(c, X86_RCX * 8, i->asz) - 1;
    x86_set(c, X86_RCX * 8, i->asz, n);
    return x86_get(c, X86_RCX * 8, i->asz);
}

#define BRANCH(c, i, taken)                                                                        \
    do {                                                                                           \
        if (taken)                                                                                 \
            X86_TAKE(c, i);                                             \
        X86_FALL(c, i);                                       \
    } while (0)

X86_H(jcxz)
{
    BRANCH(c, i, x86_get(c, X86_RCX * 8, i->asz) == 0);
}
X86_H(loop)
{
    BRANCH(c, i, dec_count(c, i) != 0);
}
X86_H(loope)
{
    BRANCH(c, i, dec_count(c, i) != 0 && x86_zf(c));
}
X86_H(loopne)
{
    BRANCH(c, i, dec_count(c, i) != 0 && !x86_zf(c));
}

/** A relative branch whose target is outside CS or not canonical: #GP(0) if taken. */
X86_H(bad_branch)
{
    const struct x86_row *r = &vm__x86_rows[i->row];
    uint64_t n = x86_get(c, X86_RCX * 8, i->asz);
    bool taken = true;

    if ((r->map == 0 && r->opcode >= 0x70 && r->opcode < 0x80) || r->map == 1)
        taken = x86_cond(c, r->opcode & 15);
    else if (r->opcode == 0xe3)
        taken = n == 0;
    else if (r->opcode >= 0xe0 && r->opcode <= 0xe2)
        taken = (x86_get(c, X86_RCX * 8, i->asz) - 1) << (64 - (8u << i->asz)) != 0 &&
                (r->opcode == 0xe2 || x86_zf(c) == (r->opcode & 1u));
    if (taken)
        x86_gp(c, i, 0);
    if (r->opcode >= 0xe0 && r->opcode <= 0xe2)
        (void)dec_count(c, i);
    X86_FALL(c, i);
}
