/* SPDX-License-Identifier: MIT */
/**
 * @file lockstep.c
 * -accel jit,lockstep=on: the machine and a twin on the interpreter, compared as they run.
 *
 * What is typed does not reach the guest: both have to do the same. The twin's output goes nowhere.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <libvm/lockstep.h>

#include "loop.h"
#include "vmrun.h"

bool lockstep_keys(struct parse *p)
{
    return set_key(p, "-accel", "clock.mode", "icount") && set_key(p, "-accel", "rng.seed", "1") &&
           set_key(p, "-accel", "jit.exact", "on");
}

/* Options that come later may name other engines: this is said last. */
static vm_machine *twin(const struct vmrun *v)
{
    if (vm_config_set_str(v->cfg, "engine", "interp") != VM_OK)
        return NULL;
    return vm_machine_build(v->cfg);
}

static int step_done(void *ud, uint64_t insns, const char *text)
{
    const struct vmrun *v = ud;
    (void)insns;
    if (text != NULL)
        (void)fprintf(stderr, "\n%s", text);
    return loop_is_over(v->loop);
}

int lockstep_run(struct vmrun *v)
{
    vm_machine *other = twin(v);
    if (other == NULL) {
        (void)say_last("lockstep");
        return 1;
    }
    if (strcmp(vm_machine_engine(v->m), "interp") == 0)
        say("lockstep: the interpreter beside itself finds nothing; name jit first");
    const int st = vm_lockstep(other, v->m, 0, 0, step_done, v);
    if (st == VM_OK)
        say("lockstep: no difference in %" PRIu64 " instructions",
            vm_cpu_insns(vm_cpu_get(other, 0)));
    else if (st != VM_E_CORRUPT)
        (void)say_last("lockstep");
    vm_machine_destroy(other);
    return st == VM_OK ? 0 : 1;
}
