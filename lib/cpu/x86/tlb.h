/* SPDX-License-Identifier: MIT */
/**
 * @file tlb.h
 * Filling the soft TLB; used by mmu.c and the JIT's helpers.
 */
#ifndef LIBVM_CPU_X86_TLB_H
#define LIBVM_CPU_X86_TLB_H

#include "cpu/x86/mmu.h"

/** Enter a successful walk into TLB @p t, as far as the fill rules allow. @return whether stores
 * are allowed through the entry. */
bool vm__x86_tlb_fill(struct vcpu *c, unsigned t, uint64_t lin, const struct x86_walk *w,
                      const struct vm_mem_page *pg);

/** Alignment checking is on for this access [SDM-3A §6.15 #AC]. */
static inline bool vm__x86_align_check(const struct vcpu *c)
{
    return c->cpl == 3 && (c->st.rflags & X86_AC) && (c->st.cr0 & X86_CR0_AM);
}

#endif
