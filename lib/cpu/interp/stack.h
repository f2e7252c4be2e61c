/* SPDX-License-Identifier: MIT */
/**
 * @file stack.h
 * Push and pop in any mode, to be inlined where the width is a constant [SDM-1 §6.2].
 */
#ifndef LIBVM_CPU_INTERP_STACK_H
#define LIBVM_CPU_INTERP_STACK_H

#include "cpu/interp/arith.h"

X86_INLINE uint64_t x86_sp_wrap(const struct vcpu *c, uint64_t sp)
{
    unsigned s = x86_stack_size(c);
    return x86_likely(s == 2) ? (uint32_t)sp : s == 3 ? sp : (uint16_t)sp;
}

X86_INLINE void x86_push(struct vcpu *c, const struct x86_insn *i, unsigned osz, uint64_t v)
{
    unsigned size = 1u << osz;
    uint64_t sp = x86_sp_wrap(c, c->st.gpr[X86_RSP] - size);
    uint64_t lin = x86_seg_lin(c, i, X86_SS, sp, size, X86_ACCESS_W);

    switch (osz) {
    case 1: x86_st16_seg(c, i, lin, X86_SS, (uint16_t)v); break;
    case 2: x86_st32_seg(c, i, lin, X86_SS, (uint32_t)v); break;
    default: x86_st64_seg(c, i, lin, X86_SS, v); break;
    }
    x86_set_sp(c, sp);
}

/** Load from SP + @p skip; SP does not move. */
X86_INLINE uint64_t x86_peek(struct vcpu *c, const struct x86_insn *i, unsigned osz, unsigned skip)
{
    unsigned size = 1u << osz;
    uint64_t sp = x86_sp_wrap(c, c->st.gpr[X86_RSP] + skip);
    uint64_t lin = x86_seg_lin(c, i, X86_SS, sp, size, X86_ACCESS_R);

    switch (osz) {
    case 1: return x86_ld16_seg(c, i, lin, X86_SS);
    case 2: return x86_ld32_seg(c, i, lin, X86_SS);
    default: return x86_ld64_seg(c, i, lin, X86_SS);
    }
}

#define X86_OSZ16 1
#define X86_OSZ32 2
#define X86_OSZ64 3

#endif
