/* SPDX-License-Identifier: MIT */
/**
 * @file debug.c
 * Debug exceptions: single-step, instruction and data breakpoints.
 *
 * Spec: [SDM-3B §17.2] (registers), [SDM-3B §17.3.1] (#DB). Engines run one instruction at a time
 * while X86_MODE_STEP is on and call these around it. Data breakpoints are found by mmu.c, which
 * collects them in dr_hits.
 */
#include "cpu/interp/interp.h"
#include "cpu/x86/cpuid.h"

static void raise_db(struct vcpu *c, uint64_t dr6)
{
    struct x86_event e = { .kind = X86_EVENT_EXCEPTION, .vector = X86_XDB, .payload = dr6 };
    vm__x86_raise(c, &e);
}

static uint64_t code_breakpoints(const struct vcpu *c)
{
    uint64_t lin = x86_is64(c) ? c->st.rip : (uint32_t)(c->st.seg[X86_CS].base + c->st.rip);
    uint64_t hits = 0;

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
