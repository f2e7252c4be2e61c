/* SPDX-License-Identifier: MIT */
/**
 * @file hook.c
 * Exported: hooks.
 */
#include <libvm/hook.h>

#include "base/error.h"
#include "core/hook.h"
#include "core/machine.h"

int64_t vm_hook_add(vm_machine *m, uint32_t kinds, uint64_t first, uint64_t last, vm_hook_fn fn,
                    void *ud, vm_free_fn free_ud)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    return vm__hook_add(m, kinds, first, last, fn, ud, free_ud);
}

int vm_hook_del(vm_machine *m, int64_t id)
{
    return m != NULL ? vm__hook_del(m, id) : vm__fail(VM_E_INVAL, "no machine");
}
