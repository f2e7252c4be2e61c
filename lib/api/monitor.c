/* SPDX-License-Identifier: MIT */
/**
 * @file monitor.c
 * Exported: the monitor.
 */
#include <libvm/monitor.h>

#include "base/error.h"
#include "monitor/monitor.h"

int vm_monitor(vm_machine *m, const char *line, vm_text_fn out, void *ud)
{
    if (m == NULL || line == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no line");
    return vm__monitor(m, line, out, ud);
}

int vm_monitor_add(vm_machine *m, const char *name, const char *args, const char *help,
                   vm_monitor_fn fn, void *ud, vm_free_fn free_ud)
{
    if (m == NULL || name == NULL || *name == '\0' || fn == NULL)
        return vm__fail(VM_E_INVAL, "no machine, name or function");
    return vm__monitor_add(m, name, args, help, fn, ud, free_ud);
}

int vm_monitor_complete(vm_machine *m, const char *line, vm_list_fn fn, void *ud)
{
    if (m == NULL || line == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no machine, line or function");
    return vm__monitor_complete(m, line, fn, ud);
}
