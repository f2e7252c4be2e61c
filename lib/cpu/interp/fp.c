/* SPDX-License-Identifier: MIT */
/**
 * @file fp.c
 * The guest's MXCSR in the host's: entering, leaving, unmasked exceptions, LDMXCSR, STMXCSR.
 *
 * Not exact: PE beside an unmasked overflow or underflow, which silicon sets only if the result is
 * inexact with an unbounded exponent. It is always set here.
 *
 * Spec: [SDM-1 §11.5] (SIMD floating-point exceptions), [SDM-1 §10.2.3] (MXCSR).
 */
#include "cpu/interp/vec.h"

X86_NOINLINE void vm__x86_fp_enter(struct vcpu *c)
{
    uint32_t m = c->st.mxcsr & X86_MXCSR_VALID; /* a snapshot may hold anything */

    if (c->fp_live != X86_FP_HOST)
        return;
    c->host_mxcsr = _mm_getcsr();
    c->fp_live = X86_FP_LIVE;
    if ((m & X86_MXCSR_MASKS) != X86_MXCSR_MASKS) {
        c->fp_live = X86_FP_TRAP;
        /* Unmasked underflow is raised for tiny results even when they are exact, and
         * flush-to-zero does not apply [SDM-1 §4.9.1.5]. Masked, flush-to-zero reports just those
         * cases, and its result is never written because they all raise #XM. */
        if (!(m & X86_MXCSR_UM))
            m |= X86_MXCSR_FTZ;
        m = (m | X86_MXCSR_MASKS) & ~(uint32_t)X86_MXCSR_FLAGS;
    }
    _mm_setcsr(m);
}

X86_NOINLINE void vm__x86_fp_leave(struct vcpu *c)
{
    if (c->fp_live == X86_FP_HOST)
        return;
    c->st.mxcsr |= _mm_getcsr() & X86_MXCSR_FLAGS;
    _mm_setcsr(c->host_mxcsr);
    c->fp_live = X86_FP_HOST;
}

const struct x86_insn *vm__x86_fp_begin(struct vcpu *c, const struct x86_insn *i)
{
    vm__x86_fp_enter(c);
    X86_DISPATCH(c, i);
}

/* A fault found before computing keeps the flags of rounding and range from being set
 * [SDM-1 §11.5.2]. */
X86_NOINLINE void vm__x86_fp_settle(struct vcpu *c, const struct x86_insn *i)
{
    uint32_t flags = _mm_getcsr() & X86_MXCSR_FLAGS;
    uint32_t unmasked = flags & ~(c->st.mxcsr >> X86_MXCSR_MASK_SHIFT);

    _mm_setcsr(c->host_mxcsr);
    c->fp_live = X86_FP_HOST;
    if (unmasked & X86_MXCSR_PRE)
        flags &= X86_MXCSR_PRE;
    c->st.mxcsr |= flags;
    if (unmasked)
        vm__x86_fault(c, i, c->st.cr4 & X86_CR4_OSXMMEXCPT ? X86_XXM : X86_XUD, 0);
}

const struct x86_insn *vm__x86_fp_end(struct vcpu *c, const struct x86_insn *i, x86_v r)
{
    vm__x86_fp_settle(c, i);
    x86_vset(c, i->dst, r);
    X86_NEXT(c, i);
}

const struct x86_insn *vm__x86_fp_end128(struct vcpu *c, const struct x86_insn *i, x86_v r)
{
    vm__x86_fp_settle(c, i);
    x86_vset128(c, i->dst, r);
    X86_NEXT(c, i);
}

const struct x86_insn *vm__x86_fp_end256(struct vcpu *c, const struct x86_insn *i, x86_v lo,
                                         x86_v hi)
{
    vm__x86_fp_settle(c, i);
    x86_vset256(c, i->dst, lo, hi);
    X86_NEXT(c, i);
}

X86_H(ldmxcsr)
{
    uint32_t v = vm__x86_src_u32(c, i);

    if (v & ~(uint32_t)X86_MXCSR_VALID)
        x86_gp(c, i, 0);
    vm__x86_fp_leave(c);
    c->st.mxcsr = v;
    X86_NEXT(c, i);
}

X86_H(stmxcsr)
{
    uint64_t lin = x86_lin(c, i, 4, X86_ACCESS_W);

    vm__x86_fp_leave(c);
    x86_st32(c, i, lin, c->st.mxcsr);
    X86_NEXT(c, i);
}
