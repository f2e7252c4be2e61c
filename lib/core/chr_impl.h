/* SPDX-License-Identifier: MIT */
/**
 * @file chr_impl.h
 * Channels as the machine sees them. For lib/core only.
 */
#ifndef LIBVM_CORE_CHR_IMPL_H
#define LIBVM_CORE_CHR_IMPL_H

#include <stdbool.h>

#include "core/chr.h"

void vm__chr_free_all(struct vm_machine *m);
/** Hand over what waited while the machine stood still. Under the machine lock. */
void vm__chr_accept_all(struct vm_machine *m);
/** A machine that stands still does not change: what is fed to it waits. core/run.c */
bool vm__machine_takes_input(const struct vm_machine *m);

#endif
