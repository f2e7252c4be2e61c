/* SPDX-License-Identifier: MIT */
/**
 * @file engine.c
 * The JIT as an engine: the interpreter's run loop over blocks that become translations.
 */
#include <stdio.h>

#include "cpu/jit/jit.h"
#include "host/mem.h"

static int probe(char *why, size_t why_size)
{
    uint8_t *rw, *rx;

    if (vm__code_map(&rw, &rx, VM_PAGE_SIZE) != VM_OK) {
        (void)snprintf(why, why_size, "the host gives no memory for generated code");
        return VM_E_NOTSUP;
    }
    vm__code_unmap(rw, rx, VM_PAGE_SIZE);
    return VM_OK;
}

static int create(struct x86_cpus *cpus)
{
    (void)cpus;
    return VM_OK;
}

static void destroy(struct x86_cpus *cpus)
{
    (void)cpus;
}

const struct vm_engine vm__jit_engine = {
    .name = "jit",
    .summary = "Translates guest code to host code; what it cannot translate is interpreted",
    .probe = probe,
    .create = create,
    .destroy = destroy,
    .vcpu_init = vm__jit_cache_init,
    .vcpu_fini = vm__jit_cache_fini,
    .run = vm__interp_run,
    .load = vm__interp_load,
    .store = vm__interp_store,
    .flush = vm__interp_flush,
};
