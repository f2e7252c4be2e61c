/* SPDX-License-Identifier: MIT */
/**
 * @file engine.c
 * The JIT as an engine: the interpreter's run loop over blocks that become translations.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cpu/jit/jit.h"
#include "host/mem.h"

static int probe(const struct vm_machine *m, char *why, size_t why_size)
{
    uint8_t *rw, *rx;

    (void)m;
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

static int info(const struct vcpu *c, char *buf, size_t size)
{
    const struct x86_jit_cache *k = jit_cache(c);
    uint64_t insns = k->count.insns != 0 ? k->count.insns : 1;

    return snprintf(
        buf, size,
        "translated blocks: %" PRIu64 " of %" PRIu64 " instructions, %" PRIu64
        " %% without a handler\n"
        "host code: %" PRIu64 " KiB, %.1f bytes an instruction; emptied %" PRIu64 " times\n"
        "jumps linked: %" PRIu64 ", stale entries sent on: %" PRIu64 "\n"
        "exits: %" PRIu64 " to the run loop, %" PRIu64 " for a handler's jump, %" PRIu64
        " for a missing link, %" PRIu64 " from an entry check\n",
        k->count.blocks, k->count.insns, k->count.native * 100 / insns, k->count.bytes >> 10,
        (double)k->count.bytes / (double)insns, k->count.flushes, k->count.links, k->count.forwards,
        k->count.exits[JIT_EXIT_LEAVE], k->count.exits[JIT_EXIT_DISPATCH],
        k->count.exits[JIT_EXIT_LINK], k->count.exits[JIT_EXIT_STALE]);
}

const struct vm_engine vm__jit_engine = {
    .name = "jit",
    .summary = "Translates guest code to host code; what it cannot translate is interpreted",
    .probe = probe,
    .features = vm__interp_host_features,
    .create = create,
    .destroy = destroy,
    .vcpu_init = vm__jit_cache_init,
    .vcpu_fini = vm__jit_cache_fini,
    .run = vm__interp_run,
    .load = vm__interp_load,
    .store = vm__interp_store,
    .flush = vm__interp_flush,
    .info = info,
};
