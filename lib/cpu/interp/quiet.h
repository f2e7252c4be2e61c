/* SPDX-License-Identifier: MIT */
/**
 * @file quiet.h
 * Leaving out flags that nobody sees.
 */
#ifndef LIBVM_CPU_INTERP_QUIET_H
#define LIBVM_CPU_INTERP_QUIET_H

#include "cpu/x86/insn.h"

/** Redirect those of insn[0..n) whose flags are dead to handlers that do not compute them. Undone
 * by choosing the handlers anew: whoever cuts a block short must. */
void vm__interp_quiet(struct x86_insn *insn, uint32_t n);

/** Flags that @p i overwrites whatever its operands are. */
unsigned vm__interp_kills(const struct x86_insn *i, const struct x86_row *r);

#endif
