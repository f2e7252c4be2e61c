/* SPDX-License-Identifier: MIT */
/**
 * @file vec_mem.c
 * Memory operands of vector instructions that are not moves.
 */
#include "cpu/interp/vec.h"

/* In the way of a soft TLB hit there are page crossings, MMIO, missing entries: all through
 * c->bounce. */
static inline const x86_v *source(struct vcpu *c, const struct x86_insn *i, uint64_t lin,
                                  unsigned size)
{
    const struct x86_tlbe *e = x86_tlb_at(c, lin);
    uint64_t off = lin ^ e->rtag;

    if (x86_likely(off <= VM_PAGE_SIZE - size))
        return (const x86_v *)(const void *)(e->host + off);
    vm__x86_ld_block(c, i, lin, c->bounce, size);
    return (const x86_v *)(const void *)c->bounce;
}

const x86_v *vm__x86_src16a(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t lin = x86_lin(c, i, 16, X86_ACCESS_R);

    if (x86_unlikely(lin & 15))
        x86_gp(c, i, 0);
    return source(c, i, lin, 16);
}

const x86_v *vm__x86_src16(struct vcpu *c, const struct x86_insn *i)
{
    return source(c, i, x86_lin(c, i, 16, X86_ACCESS_R), 16);
}

const x86_v *vm__x86_src32(struct vcpu *c, const struct x86_insn *i)
{
    return source(c, i, x86_lin(c, i, 32, X86_ACCESS_R), 32);
}

uint64_t vm__x86_src_u64(struct vcpu *c, const struct x86_insn *i)
{
    return x86_ld64(c, i, x86_lin(c, i, 8, X86_ACCESS_R));
}

uint32_t vm__x86_src_u32(struct vcpu *c, const struct x86_insn *i)
{
    return x86_ld32(c, i, x86_lin(c, i, 4, X86_ACCESS_R));
}

const void *vm__x86_vec_src(struct vcpu *c, const struct x86_insn *i, uint8_t reg, unsigned size,
                            bool align)
{
    if (!(i->flags & X86_I_MEM))
        return x86_vec(c, reg);
    uint64_t lin = x86_lin(c, i, size, X86_ACCESS_R);
    if (align && (lin & (size - 1)))
        x86_gp(c, i, 0);
    return source(c, i, lin, size);
}
