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

static void raise_db(struct vcpu *c, uint64_t dr6, bool is_fault)
{
    struct x86_event e = { .kind = X86_EVENT_EXCEPTION, .vector = X86_XDB, .payload = dr6 };

    (void)is_fault; /* RF in the pushed image: set by delivery from st.rflags */
    vm__x86_raise(c, &e);
}

void vm__x86_step_begin(struct vcpu *c)
{
    c->step_tf = (c->st.rflags & X86_TF) != 0;
    c->dr_hits = 0;
    if (!(c->st.dr[7] & 0xff))
        return;
    if (c->st.rflags & X86_RF)
        return; /* suppressed for this instruction */
    uint64_t lin = x86_is64(c) ? c->st.rip : (uint32_t)(c->st.seg[X86_CS].base + c->st.rip);
    uint64_t hits = 0;
    for (unsigned k = 0; k < 4; k++)
        if ((c->st.dr[7] >> (2 * k) & 3) && (c->st.dr[7] >> (16 + 4 * k) & 3) == 0 &&
            c->st.dr[k] == lin)
            hits |= UINT64_C(1) << k;
    if (hits && !(c->st.shadow & X86_SHADOW_MOVSS))
        raise_db(c, hits, true);
}

void vm__x86_step_end(struct vcpu *c)
{
    uint64_t dr6 = c->dr_hits;

    c->dr_hits = 0;
    c->st.rflags &= ~(uint64_t)X86_RF; /* cleared by every completed instruction */
    if (c->step_tf)
        dr6 |= X86_DR6_BS;
    c->step_tf = false;
    if (dr6 && c->st.event.kind == X86_EVENT_NONE && !(c->st.shadow & X86_SHADOW_MOVSS))
        raise_db(c, dr6, false);
}
