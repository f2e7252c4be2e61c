/* SPDX-License-Identifier: MIT */
/**
 * @file emulate.c
 * The interpreter inside the KVM engine: for what KVM does not do.
 *
 * KVM gives up on instructions its emulator does not know (an exit with the bytes), which happens
 * on device memory, in real mode on older processors, and for whole classes of instructions where
 * KVM itself is software. The interpreter does that one on the same state. Where KVM gives up
 * often, it does the following ones too: each time soon after the last doubles how many.
 *
 * System management mode, a masked A20 line, hooks of the embedder's, and a debugger's watchpoints,
 * steps and more than four breakpoints are the interpreter's for as long as they last.
 *
 * What it decodes is trusted only until the guest runs natively again, because then nobody watches
 * writes: pages it has decoded from are noted, and counted as written afterwards.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "core/machine.h"
#include "cpu/interp/interp.h"
#include "cpu/kvm/kvm.h"
#include "host/time.h"

enum { BURST_MAX = 4096, SOON_NS = 100000, OFTEN = 10000 };

/* ---- decoded code ---- */

static void note(struct vcpu *c, struct vm_page *page)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);

    if (page == NULL || k->n_decoded > VM_COUNT_OF(k->decoded))
        return;
    for (uint32_t n = 0; n < k->n_decoded; n++)
        if (k->decoded[n] == page)
            return;
    if (k->n_decoded < VM_COUNT_OF(k->decoded))
        k->decoded[k->n_decoded] = page;
    k->n_decoded++; /* one more than there is room: all of it is forgotten */
}

void vm__kvm_decoded(struct vcpu *c, struct x86_block *b)
{
    note(c, b->page);
    note(c, b->page2);
}

static void forget(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);

    if (k->n_decoded > VM_COUNT_OF(k->decoded))
        vm__interp_cache_flush(c);
    else
        for (uint32_t n = 0; n < k->n_decoded; n++)
            vm__page_written(k->decoded[n], 0, VM_PAGE_SIZE);
    k->n_decoded = 0;
}

/* ---- running ---- */

int vm__kvm_interpret(struct vcpu *c, uint64_t max_insns, struct vm_exit *exit)
{
    const uint64_t before = vm__x86_insns(c);
    const enum vm_cpu_stop stop = vm__interp_run(c, max_insns, exit);
    const uint64_t done = vm__x86_insns(c) - before;

    vm__kvm_cpu(c)->n.soft += done;
    forget(c);
    if (stop != VM_CPU_BUDGET)
        return (int)stop;
    return done < max_insns ? (int)VM_CPU_BUDGET : X86_POLL_RUN; /* asked to yield, or done */
}

bool vm__kvm_needs_interp(struct vcpu *c)
{
    return c->st.smm || c->st.a20_masked || c->dbg_mode != 0 || !vm__kvm_breaks_fit(c) ||
           vm__hook_any(&c->cpus->m->hooks, ~0u);
}

/* ---- giving up ---- */

static uint32_t next_burst(struct kvm_cpu *k)
{
    const uint64_t now = vm__host_ns();
    const bool soon = now - k->burst_at < SOON_NS;

    k->burst = !soon || k->burst == 0 ? 1 : k->burst < BURST_MAX ? k->burst * 2 : BURST_MAX;
    return k->burst;
}

static void report(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    const struct kvm_run *run = k->run;
    char bytes[3 * 15 + 1] = "";

    if (run->internal.ndata >= 4 &&
        run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)
        for (unsigned n = 0; n < run->emulation_failure.insn_size && n < 15; n++)
            (void)snprintf(bytes + 3 * n, 4, " %02x", run->emulation_failure.insn_bytes[n]);
    vm__logf(&c->cpus->m->log, VM_LOG_DEBUG, VM_LOG_CPU, "kvm",
             "cpu%u: gave up (suberror %u) at %04x:%" PRIx64 "%s%s", c->cpu.index,
             run->internal.suberror, c->st.seg[X86_CS].sel, c->st.rip, *bytes ? ":" : "", bytes);
    if (k->n.emulated >= OFTEN && !k->warned) {
        k->warned = true;
        vm__logf(
            &c->cpus->m->log, VM_LOG_WARN, VM_LOG_CPU, "kvm",
            "cpu%u: KVM has given up on %u instructions, which are interpreted: this host's KVM "
            "is perhaps software, and jit may be faster",
            c->cpu.index, (unsigned)OFTEN);
    }
}

int vm__kvm_emulate(struct vcpu *c, struct vm_exit *exit)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    const char *what = "";
    const int err = vm__kvm_leave(c, &what);

    if (err < 0)
        return (int)vm__kvm_fail(exit, err, what);
    k->n.emulated++;
    report(c);
    const uint32_t n = k->stepping ? 1 : next_burst(k);
    k->n.bursts += n > 1;
    const int stop = vm__kvm_interpret(c, n, exit);
    k->burst_at = vm__host_ns();
    return stop;
}
