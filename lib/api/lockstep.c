/* SPDX-License-Identifier: MIT */
/**
 * @file lockstep.c
 * Exported: two machines side by side.
 */
#include "base/error.h"
#include "monitor/lockstep.h"

int vm_lockstep(vm_machine *a, vm_machine *b, uint64_t insns, uint64_t step, vm_lockstep_fn fn,
                void *ud)
{
    if (a == NULL || b == NULL || a == b || fn == NULL)
        return vm__fail(VM_E_INVAL, "two machines and a function are wanted");
    return vm__lockstep(a, b, insns, step, fn, ud);
}
