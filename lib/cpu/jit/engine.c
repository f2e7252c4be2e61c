/* SPDX-License-Identifier: MIT */
/**
 * @file engine.c
 * The JIT as an engine: the interpreter's run loop over blocks that become translations.
 */
#include <inttypes.h>
#include <stdarg.h>
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

/* ---- info ---- */

enum { TOP = 12 };

/* Text that grows as snprintf() counts, whatever fits. */
struct text {
    char *buf;
    size_t size;
    int len;
};

static void __attribute__((format(printf, 2, 3))) say(struct text *t, const char *fmt, ...)
{
    const size_t at = (size_t)t->len < t->size ? (size_t)t->len : t->size;
    va_list ap;

    va_start(ap, fmt);
    t->len += vsnprintf(t->buf + at, t->size - at, fmt, ap);
    va_end(ap);
}

/* The rows whose handlers translated code called most often. */
static void say_calls(struct text *t, const struct x86_jit_cache *k)
{
    uint64_t below = UINT64_MAX, total = 0;
    unsigned last = 0;

    for (unsigned r = 0; r < vm__x86_row_count; r++)
        total += k->count.calls[r];
    say(t, "handlers called: %" PRIu64, total);
    for (unsigned n = 0; n < TOP; n++) {
        unsigned best = vm__x86_row_count;
        for (unsigned r = 0; r < vm__x86_row_count; r++) {
            const uint64_t v = k->count.calls[r];
            const bool later = v < below || (v == below && n != 0 && r > last);
            if (v != 0 && later && (best == vm__x86_row_count || v > k->count.calls[best]))
                best = r;
        }
        if (best == vm__x86_row_count)
            break;
        below = k->count.calls[best];
        last = best;
        say(t, "%s %s (%s) %" PRIu64, n % 4 == 0 ? (n == 0 ? "; most often\n " : ",\n ") : ",",
            vm__x86_rows[best].name, vm__x86_rows[best].form, below);
    }
    say(t, "\n");
}

static int info(const struct vcpu *c, char *buf, size_t size)
{
    const struct x86_jit_cache *k = jit_cache(c);
    uint64_t insns = k->count.insns != 0 ? k->count.insns : 1;
    struct text t = { .buf = buf, .size = size };

    say(&t,
        "translated blocks: %" PRIu64 " of %" PRIu64 " instructions, %" PRIu64
        " %% without a handler\n",
        k->count.blocks, k->count.insns, k->count.native * 100 / insns);
    say(&t, "translating took: %.1f ms, %" PRIu64 " ns an instruction\n", (double)k->count.ns / 1e6,
        k->count.ns / insns);
    say(&t, "host code: %" PRIu64 " KiB, %.1f bytes an instruction; emptied %" PRIu64 " times\n",
        k->count.bytes >> 10, (double)k->count.bytes / (double)insns, k->count.flushes);
    say(&t, "jumps linked: %" PRIu64 ", stale entries sent on: %" PRIu64 "\n", k->count.links,
        k->count.forwards);
    say(&t,
        "exits: %" PRIu64 " to the run loop, %" PRIu64 " for a handler's jump, %" PRIu64
        " for a missing link, %" PRIu64 " from an entry check\n",
        k->count.exits[JIT_EXIT_LEAVE], k->count.exits[JIT_EXIT_DISPATCH],
        k->count.exits[JIT_EXIT_LINK], k->count.exits[JIT_EXIT_STALE]);
    say(&t, "soft TLB misses: %" PRIu64 ", of them %" PRIu64 " for devices\n", c->count.misses,
        c->count.devices);
    say_calls(&t, k);
    return t.len;
}

const struct vm_engine vm__jit_engine = {
    .name = "jit",
    .summary = "Translates guest code to host code; what it cannot translate is interpreted",
    .probe = probe,
    .features = vm__interp_host_features,
    .hooks = true,
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
