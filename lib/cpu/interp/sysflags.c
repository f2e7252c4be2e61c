/* SPDX-License-Identifier: MIT */
/**
 * @file sysflags.c
 * CLI, STI, PUSHF, POPF, STAC, CLAC, HLT.
 *
 * Spec: [SDM-2A CLI], [SDM-2B STI, PUSHF, POPF], [SDM-3B §20.3, §20.4] (VME, PVI). These are hot in
 * kernels: the usual case goes on in the block.
 */
#include "cpu/interp/interp.h"
#include "cpu/x86/far.h"
#include "cpu/x86/v86.h"

/* What CLI and STI act upon: IF, VIF, or nothing (#GP). */
static uint64_t if_or_vif(struct vcpu *c, const struct x86_insn *i)
{
    if (x86_likely(c->cpl <= x86_iopl(c)))
        return X86_IF;
    if (x86_is_v86(c) ? (c->st.cr4 & X86_CR4_VME) : c->cpl == 3 && (c->st.cr4 & X86_CR4_PVI))
        return X86_VIF;
    x86_gp(c, i, 0);
}

X86_H(cli)
{
    c->st.rflags &= ~if_or_vif(c, i);
    X86_NEXT(c, i);
}

static bool is_last(const struct vcpu *c, const struct x86_insn *i)
{
    return i + 1 == c->blk->insns + c->blk->n;
}

X86_H(sti)
{
    uint64_t bit = if_or_vif(c, i);

    if (bit == X86_VIF && (c->st.rflags & X86_VIP))
        x86_gp(c, i, 0);
    bool was_set = c->st.rflags & bit;
    c->st.rflags |= bit;
    if (x86_likely(was_set || bit == X86_VIF))
        X86_NEXT(c, i);
    /* Interrupts are looked at between blocks: the next instruction has its shadow by itself,
     * unless one is known to wait, or may come in between because the block ends here. */
    if (c->intr_pending || is_last(c, i) || (c->mode & X86_MODE_STEP)) {
        c->st.shadow = X86_SHADOW_STI;
        x86_recheck_pending(c);
        X86_END(c, i);
    }
    X86_NEXT(c, i);
}

X86_H(pushf)
{
    uint64_t f = x86_flags(c) & ~(uint64_t)(X86_VM | X86_RF);

    if (x86_unlikely(x86_is_v86(c) && x86_iopl(c) < 3)) {
        if (!(c->st.cr4 & X86_CR4_VME) || i->osz != 1)
            x86_gp(c, i, 0);
        f = x86_vme_flags(f);
    }
    vm__x86_push(c, i, i->osz, f);
    X86_NEXT(c, i);
}

/* POPF in virtual-8086 mode with IOPL below 3 [SDM-3B §20.3.2]. */
static void popf_virtual(struct vcpu *c, const struct x86_insn *i, uint64_t v)
{
    if (!(c->st.cr4 & X86_CR4_VME) || i->osz != 1 || (v & X86_TF) ||
        ((v & X86_IF) && (c->st.rflags & X86_VIP)))
        x86_gp(c, i, 0);
    x86_set_sp(c, x86_sp(c) + 2);
    v = (v & ~(uint64_t)X86_VIF) | (v & X86_IF ? X86_VIF : 0);
    vm__x86_write_flags(c, v, X86_ARITH | X86_DF | X86_NT | X86_VIF);
}

X86_H(popf)
{
    uint64_t v = vm__x86_peek_stack(c, i, i->osz, 0);

    if (x86_unlikely(x86_is_v86(c) && x86_iopl(c) < 3)) {
        popf_virtual(c, i, v);
        X86_NEXT(c, i);
    }
    uint64_t mask = vm__x86_flags_mask(c, 1u << i->osz), old = c->st.rflags;
    x86_set_sp(c, x86_sp(c) + (1u << i->osz));
    c->cc_w = 0; /* all six are replaced */
    c->st.rflags = (old & ~mask) | (v & mask);
    if (x86_unlikely((c->st.rflags ^ old) & (X86_TF | X86_AC)))
        vm__x86_sync_mode(c);
    if (x86_unlikely((c->mode & X86_MODE_STEP) ||
                     ((c->st.rflags & ~old & X86_IF) && c->intr_pending))) {
        x86_recheck_pending(c);
        X86_END(c, i);
    }
    X86_NEXT(c, i);
}

X86_H(stac)
{
    if (c->cpl != 0)
        x86_ud(c, i);
    c->st.rflags |= X86_AC;
    vm__x86_sync_ac(c);
    X86_NEXT(c, i);
}

X86_H(clac)
{
    if (c->cpl != 0)
        x86_ud(c, i);
    c->st.rflags &= ~(uint64_t)X86_AC;
    vm__x86_sync_ac(c);
    X86_NEXT(c, i);
}

X86_H(hlt)
{
    if (c->cpl != 0)
        x86_gp(c, i, 0);
    c->st.activity = X86_HALTED;
    X86_END(c, i);
}
