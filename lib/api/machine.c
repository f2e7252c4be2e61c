/* SPDX-License-Identifier: MIT */
/**
 * @file machine.c
 * Exported: a machine's life.
 */
#include <libvm/machine.h>

#include "base/error.h"
#include "core/board.h"
#include "core/event.h"
#include "core/run.h"

static int no_machine(void)
{
    return vm__fail(VM_E_INVAL, "no machine");
}

vm_machine *vm_machine_build(const vm_config *cfg)
{
    if (cfg == NULL) {
        vm__fail(VM_E_INVAL, "no configuration");
        return NULL;
    }
    return vm__machine_build(cfg);
}

void vm_machine_destroy(vm_machine *m)
{
    vm__machine_destroy(m);
}

int vm_machine_start(vm_machine *m)
{
    return m != NULL ? vm__run_start(m) : no_machine();
}

int vm_machine_pause(vm_machine *m)
{
    return m != NULL ? vm__run_pause(m) : no_machine();
}

int vm_machine_resume(vm_machine *m)
{
    return m != NULL ? vm__run_start(m) : no_machine();
}

int vm_machine_stop(vm_machine *m)
{
    return m != NULL ? vm__run_stop(m) : no_machine();
}

int vm_machine_reset(vm_machine *m, int kind)
{
    if (m == NULL)
        return no_machine();
    if (kind != VM_RESET_COLD && kind != VM_RESET_WARM)
        return vm__fail(VM_E_INVAL, "there is no reset of kind %d", kind);
    return vm__run_reset(m, kind);
}

int vm_machine_power_button(vm_machine *m)
{
    if (m == NULL)
        return no_machine();
    if (m->board == NULL || m->board->power_button == NULL)
        return vm__fail(VM_E_NOTSUP, "the board has no power button");
    vm__lock(m);
    m->board->power_button(m);
    vm__unlock(m);
    return VM_OK;
}

int vm_machine_set_engine(vm_machine *m, const char *name)
{
    if (m == NULL || name == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no engine's name");
    return vm__run_set_engine(m, name);
}

const char *vm_machine_engine(const vm_machine *m)
{
    if (m == NULL || m->n_cpus == 0 || m->cpu_class->engine == NULL)
        return NULL;
    return m->cpu_class->engine(m);
}

int vm_machine_state(const vm_machine *m)
{
    return m != NULL ? vm__run_state(m) : no_machine();
}

int vm_machine_wait(vm_machine *m, uint32_t mask, int64_t timeout_ns, int *state)
{
    return m != NULL ? vm__run_wait(m, mask, timeout_ns, state) : no_machine();
}

uint64_t vm_clock_ns(vm_machine *m)
{
    return m != NULL ? vm__clock_ns(m) : 0;
}

int vm_machine_on_event(vm_machine *m, uint32_t mask, void (*fn)(void *ud, const vm_event *event),
                        void *ud, vm_free_fn free_ud)
{
    return m != NULL ? vm__events_listen(m, mask, fn, ud, free_ud) : no_machine();
}

int vm_machine_fd(vm_machine *m)
{
    return m != NULL ? vm__events_fd(m) : no_machine();
}

int vm_machine_dispatch(vm_machine *m, uint32_t max_events)
{
    return m != NULL ? vm__events_run(m, max_events, true) : no_machine();
}

int vm_run(vm_machine *m, uint64_t max_insns, int64_t timeout_ns, vm_exit *out)
{
    return m != NULL ? vm__run_here(m, max_insns, timeout_ns, out) : no_machine();
}

int vm_kick(vm_machine *m)
{
    if (m == NULL)
        return no_machine();
    vm__run_kick(m);
    return VM_OK;
}
