/* SPDX-License-Identifier: MIT */
/**
 * @file debug.c
 * Exported: breakpoints, watchpoints, single steps.
 */
#include <string.h>

#include <libvm/debug.h>

#include "base/error.h"
#include "core/run.h"

/* Takes the machine lock if the machine is there and at rest. */
static int enter(vm_machine *m)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    vm__lock(m);
    if (vm__run_state(m) != VM_ST_RUNNING)
        return VM_OK;
    vm__unlock(m);
    return vm__fail(VM_E_STATE, "the machine is running");
}

static int leave(vm_machine *m, int st)
{
    vm__unlock(m);
    return st;
}

int vm_debug_break_add(vm_machine *m, uint64_t gva)
{
    const int st = enter(m);
    return st == VM_OK ? leave(m, vm__debug_break_add(m, gva)) : st;
}

int vm_debug_break_del(vm_machine *m, uint64_t gva)
{
    const int st = enter(m);
    return st == VM_OK ? leave(m, vm__debug_break_del(m, gva)) : st;
}

int vm_debug_watch_add(vm_machine *m, uint64_t gva, uint64_t len, uint32_t kinds)
{
    const int st = enter(m);
    return st == VM_OK ? leave(m, vm__debug_watch_add(m, gva, len, kinds)) : st;
}

int vm_debug_watch_del(vm_machine *m, uint64_t gva, uint64_t len, uint32_t kinds)
{
    const int st = enter(m);
    return st == VM_OK ? leave(m, vm__debug_watch_del(m, gva, len, kinds)) : st;
}

int vm_debug_clear(vm_machine *m)
{
    const int st = enter(m);
    if (st != VM_OK)
        return st;
    vm__debug_clear(m);
    return leave(m, VM_OK);
}

static int enter_cpu(vm_cpu *cpu)
{
    return cpu != NULL ? enter(cpu->m) : vm__fail(VM_E_INVAL, "no processor");
}

int vm_debug_step(vm_cpu *cpu, int on)
{
    const int st = enter_cpu(cpu);
    if (cpu == NULL || st != VM_OK)
        return st;
    cpu->debug.step = on != 0;
    return leave(cpu->m, VM_OK);
}

int vm_debug_hold(vm_cpu *cpu, int on)
{
    const int st = enter_cpu(cpu);
    if (cpu == NULL || st != VM_OK)
        return st;
    cpu->debug.hold = on != 0;
    return leave(cpu->m, VM_OK);
}

int vm_debug_why(vm_machine *m, vm_debug_stop *out)
{
    if (m == NULL || out == NULL)
        return vm__fail(VM_E_INVAL, "no machine, or nowhere to write to");
    pthread_mutex_lock(&m->run->lock);
    const vm_debug_stop stop = m->debug.last;
    pthread_mutex_unlock(&m->run->lock);
    const uint32_t room = out->size < sizeof stop ? out->size : (uint32_t)sizeof stop;
    memcpy(out, &stop, room);
    out->size = room;
    return VM_OK;
}
