/* SPDX-License-Identifier: MIT */
/**
 * @file debug.c
 * Debug exceptions: single-step, instruction and data breakpoints; and a debugger's own, which the
 * guest does not see (core/debug.h).
 *
 * Spec: [SDM-3B §17.2] (registers), [SDM-3B §17.3.1] (#DB). Engines run one instruction at a time
 * while X86_MODE_STEP is on and call these around it. Data breakpoints are found by mmu.c, which
 * collects them in dr_hits.
 */
#include "core/machine.h"
#include "cpu/interp/interp.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/debug.h"

static void raise_db(struct vcpu *c, uint64_t dr6)
{
    struct x86_event e = { .kind = X86_EVENT_EXCEPTION, .vector = X86_XDB, .payload = dr6 };
    vm__x86_raise(c, &e);
}

static uint64_t linear_pc(const struct vcpu *c)
{
    return x86_is64(c) ? c->st.rip : (uint32_t)(c->st.seg[X86_CS].base + c->st.rip);
}

static uint64_t code_breakpoints(const struct vcpu *c)
{
    uint64_t lin = linear_pc(c), hits = 0;

    for (unsigned k = 0; k < 4; k++)
        if ((c->st.dr[7] >> (2 * k) & 3) && (c->st.dr[7] >> (16 + 4 * k) & 3) == 0 &&
            c->st.dr[k] == lin)
            hits |= UINT64_C(1) << k;
    return hits;
}

void vm__x86_step_begin(struct vcpu *c)
{
    c->step_tf = (c->st.rflags & X86_TF) != 0;
    if (c->st.rflags & X86_RF) {
        /* Instruction breakpoints are off for this instruction. Cleared before it runs, so that an
         * IRET can set it for the next one; if it faults, RF is pushed as set. */
        c->st.rflags &= ~(uint64_t)X86_RF;
        return;
    }
    if (!(c->st.dr[7] & 0xff))
        return;
    /* MOV SS holds them back on Intel's processors, not on AMD's. */
    if ((c->st.shadow & X86_SHADOW_MOVSS) && !vm__x86_is_amd(c->cpus))
        return;
    uint64_t hits = code_breakpoints(c);
    if (hits)
        raise_db(c, hits);
}

void vm__x86_step_end(struct vcpu *c)
{
    uint64_t dr6 = c->dr_hits;
    bool tf = c->step_tf;

    c->step_tf = false;
    /* After MOV SS traps wait for the end of the next instruction [SDM-3A §6.8.3]. */
    if (c->st.shadow & X86_SHADOW_MOVSS)
        return;
    c->dr_hits = 0;
    if (tf)
        dr6 |= X86_DR6_BS;
    if (dr6 && c->st.event.kind == X86_EVENT_NONE)
        raise_db(c, dr6);
}

/* ---- a debugger's ---- */

static void set_mode(struct vcpu *c)
{
    const struct vm_cpu_debug *d = &c->cpu.debug;
    uint32_t mode = (d->step || d->pass ? (uint32_t)X86_MODE_STEP : 0) |
                    (c->cpus->m->debug.n_watches != 0 ? (uint32_t)X86_MODE_WATCH : 0);

    if (x86_likely(mode == c->dbg_mode))
        return;
    c->dbg_mode = mode;
    vm__x86_sync_mode(c);
}

void vm__x86_debug_enter(struct vcpu *c)
{
    struct vm_cpu_debug *d = &c->cpu.debug;

    set_mode(c);
    if (x86_likely(c->dbg_stop == 0))
        return;
    /* If it was not told, another processor's news came first, or a pause. A breakpoint will be
     * met again; an access will not. */
    c->dbg_stop &= d->told ? 0 : 1u << VM_DEBUG_WATCH;
    d->told = false;
    if (!vm__debug_watch_hit(&c->cpus->m->debug, c->dbg_watch.addr, c->dbg_watch.len,
                             VM_WATCH_ACCESS))
        c->dbg_stop = 0;
    if (c->dbg_stop != 0)
        x86_recheck(c);
}

void vm__x86_debug_request(struct vcpu *c, uint32_t kind)
{
    c->dbg_stop |= 1u << kind;
    x86_recheck(c);
}

bool vm__x86_debug_break_here(struct vcpu *c)
{
    struct vm_cpu_debug *d = &c->cpu.debug;
    uint64_t at = linear_pc(c);

    if (!vm__debug_break_at(&c->cpus->m->debug, at) || d->step || (d->pass && d->pass_at == at))
        return false;
    vm__x86_debug_request(c, VM_DEBUG_BREAK);
    return true;
}

void vm__x86_debug_stepped(struct vcpu *c, bool repeated)
{
    struct vm_cpu_debug *d = &c->cpu.debug;

    /* All iterations of a repeated instruction are the one that is let pass. */
    if (d->pass && !(repeated && d->pass_at == linear_pc(c)) && !d->step) {
        d->pass = false;
        set_mode(c);
    }
    if (d->step) {
        d->pass = false;
        vm__x86_debug_request(c, VM_DEBUG_STEP);
    }
}

void vm__x86_debug_delivered(struct vcpu *c)
{
    if (x86_unlikely(c->cpu.debug.step))
        c->dbg_stop |= 1u << VM_DEBUG_STEP;
}

bool vm__x86_debug_holds_irq(const struct vcpu *c)
{
    return (c->dbg_mode & X86_MODE_STEP) && c->st.activity == X86_ACTIVE;
}

void vm__x86_debug_access(struct vcpu *c, uint64_t lin, unsigned size, int access)
{
    bool write = (access & 3) == X86_ACCESS_W;
    uint32_t kinds =
        (write ? VM_WATCH_WRITE : VM_WATCH_READ) | (access & X86_ACCESS_RMW ? VM_WATCH_READ : 0);

    if (!vm__debug_watch_hit(&c->cpus->m->debug, lin, size, kinds))
        return;
    c->dbg_watch.addr = lin;
    c->dbg_watch.len = size;
    c->dbg_watch.is_write = write;
    vm__x86_debug_request(c, VM_DEBUG_WATCH);
}

bool vm__x86_debug_stop(struct vcpu *c, uint32_t kinds, struct vm_exit *exit)
{
    uint32_t hit = c->dbg_stop & kinds;

    if (x86_likely(hit == 0))
        return false;
    exit->code = hit & 1u << VM_DEBUG_WATCH   ? VM_DEBUG_WATCH
                 : hit & 1u << VM_DEBUG_BREAK ? VM_DEBUG_BREAK
                                              : VM_DEBUG_STEP;
    exit->data = linear_pc(c);
    exit->addr = exit->code == VM_DEBUG_WATCH ? c->dbg_watch.addr : exit->data;
    exit->len = exit->code == VM_DEBUG_WATCH ? c->dbg_watch.len : 0;
    exit->is_write = exit->code == VM_DEBUG_WATCH && c->dbg_watch.is_write;
    return true;
}
