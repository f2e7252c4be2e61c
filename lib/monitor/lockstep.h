/* SPDX-License-Identifier: MIT */
/**
 * @file lockstep.h
 * Two machines side by side, for lib/api: vm_lockstep().
 */
#ifndef LIBVM_MONITOR_LOCKSTEP_H
#define LIBVM_MONITOR_LOCKSTEP_H

#include <libvm/lockstep.h>

int vm__lockstep(struct vm_machine *a, struct vm_machine *b, uint64_t insns, uint64_t step,
                 vm_lockstep_fn fn, void *ud);

#endif
