/* SPDX-License-Identifier: MIT */
/**
 * @file lockstep.h
 * Two machines side by side: whether two engines do the same.
 */
#ifndef LIBVM_LOCKSTEP_H
#define LIBVM_LOCKSTEP_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called with @p text after a difference was found: a report for people. Called with NULL after
 * every step that agreed, @p insns being those executed so far; anything but 0 ends the run.
 */
typedef int (*vm_lockstep_fn)(void *ud, uint64_t insns, const char *text);

/**
 * Run two machines of the same configuration but for "engine", and compare their whole state
 * (processors, devices, memory) after every @p step instructions. The first instruction after which
 * they differ is narrowed down by going back to the last step that agreed; what was written to disk
 * images since then is not taken back.
 *
 * Both need clock.mode=icount, the same rng.seed, and jit.exact=on: then they are the same machine
 * at the same instruction. Neither may be running; writable disk images must be the machine's own.
 * [owner]
 *
 * @param insns stop after so many; 0: when both end, or the callback says so
 * @param step  0: 20 million
 * @retval VM_OK        they agreed
 * @retval VM_E_CORRUPT they differ; fn() has the report
 * @retval VM_E_INVAL   they are not such machines
 * @since 0.1
 */
VM_API int vm_lockstep(vm_machine *a, vm_machine *b, uint64_t insns, uint64_t step,
                       vm_lockstep_fn fn, void *ud);

#ifdef __cplusplus
}
#endif

#endif
