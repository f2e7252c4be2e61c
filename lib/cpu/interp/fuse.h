/* SPDX-License-Identifier: MIT */
/**
 * @file fuse.h
 * Fusing a compare with the conditional jump that ends its block.
 */
#ifndef LIBVM_CPU_INTERP_FUSE_H
#define LIBVM_CPU_INTERP_FUSE_H

#include "cpu/x86/insn.h"

/** Redirect insn[n - 2] to a handler that also does the jump insn[n - 1], where there is one.
 * Undone by choosing the handler of insn[n - 2] anew. */
void vm__interp_fuse(struct x86_insn *insn, uint32_t n, x86_fn *bad_branch);

#endif
