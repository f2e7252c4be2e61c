/* SPDX-License-Identifier: MIT */
/**
 * @file exception.c
 * Raising: from the place that finds a fault to st.event, and how two of them combine.
 *
 * Spec: [SDM-3A §6.15] (#DF, table 6-5), [SDM-3A §6.3 to §6.7].
 */
#include <setjmp.h>

#include "cpu/interp/interp.h"
#include "cpu/x86/exception.h"

/* Vectors that push an error code: DF TS NP SS GP PF AC. */
static bool has_error(unsigned vector)
{
    return vector < 32 && (0x27d00u >> vector & 1);
}

/* ---- where a block stands ---- */

uint64_t vm__x86_rip(const struct vcpu *c, const struct x86_insn *i)
{
    uint64_t rip = c->blk->rip + i->off;
    return x86_is64(c) ? rip : (uint32_t)rip;
}

/* Give back the budget of the instructions from @p i + @p ran on. */
static void settle(struct vcpu *c, const struct x86_insn *i, int ran)
{
    const struct x86_block *b = c->blk;
    int64_t rest = (int64_t)b->n - (i - b->insns) - ran;

    if (rest > 0)
        c->insns_left += rest;
    c->blk = NULL;
    c->cur = NULL;
}

void vm__x86_leave_at(struct vcpu *c, const struct x86_insn *i)
{
    c->st.rip = vm__x86_rip(c, i);
    settle(c, i, 0);
}

void vm__x86_stop_at(struct vcpu *c, const struct x86_insn *i)
{
    c->st.rip = vm__x86_rip(c, i);
    settle(c, i, 1);
}

void vm__x86_leave_after(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t rip = vm__x86_rip(c, i) + i->len;
    c->st.rip = x86_is64(c) ? rip : (uint32_t)rip;
    settle(c, i, 1);
}

/* ---- raising ---- */

enum event_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum event_class class_of(const struct x86_event *e)
{
    if (e->kind != X86_EVENT_EXCEPTION)
        return BENIGN;
    switch (e->vector) {
    case X86_XDE:
    case X86_XTS:
    case X86_XNP:
    case X86_XSS:
    case X86_XGP: return CONTRIBUTORY;
    case X86_XPF: return PAGE_FAULT;
    case X86_XDF: return DOUBLE_FAULT;
    default: return BENIGN;
    }
}

/* A second event while the first was being delivered [SDM-3A table 6-5]. */
static void combine(struct vcpu *c, const struct x86_event *second)
{
    struct x86_event *first = &c->st.event;
    enum event_class a = class_of(first), b = class_of(second);

    if (a == DOUBLE_FAULT && b != BENIGN) {
        first->kind = X86_EVENT_NONE;
        c->st.activity = X86_STOPPED; /* triple fault: poll reports the shutdown */
    } else if ((a == CONTRIBUTORY && b == CONTRIBUTORY) ||
               (a == PAGE_FAULT && (b == CONTRIBUTORY || b == PAGE_FAULT))) {
        /* The #PF that started a double fault has changed CR2 when its delivery began; the second
         * one does too. */
        if (b == PAGE_FAULT)
            c->st.cr2 = second->payload;
        *first = (struct x86_event){
            .kind = X86_EVENT_EXCEPTION, .vector = X86_XDF, .has_error = 1
        };
    } else {
        *first = *second;
    }
}

_Noreturn void vm__x86_raise(struct vcpu *c, const struct x86_event *e)
{
    if (c->st.event.kind != X86_EVENT_NONE && c->st.event.delivering)
        combine(c, e);
    else
        c->st.event = *e;
    c->step_tf = false;
    c->dr_hits = 0;
    c->st.shadow = 0;
    longjmp(c->jmp, 1);
}

void vm__x86_task_trap(struct vcpu *c)
{
    if (x86_likely(!(c->dr_hits & X86_DR6_BT)))
        return;
    c->dr_hits = 0;
    c->st.event = (struct x86_event){
        .kind = X86_EVENT_EXCEPTION, .vector = X86_XDB, .payload = X86_DR6_BT
    };
}

_Noreturn void vm__x86_fault(struct vcpu *c, const struct x86_insn *i, unsigned vector,
                             uint32_t error)
{
    struct x86_event e = {
        .kind = X86_EVENT_EXCEPTION,
        .vector = (uint8_t)vector,
        .has_error = has_error(vector),
        .error = error,
    };
    if (i != NULL)
        vm__x86_stop_at(c, i);
    c->dbg_stop &= ~(1u << VM_DEBUG_WATCH); /* the access will be made again */
    vm__x86_raise(c, &e);
}

_Noreturn void vm__x86_restart(struct vcpu *c, const struct x86_insn *i)
{
    vm__x86_stop_at(c, i);
    c->step_tf = false;
    c->dr_hits = 0;
    longjmp(c->jmp, 1);
}

_Noreturn void vm__x86_page_fault(struct vcpu *c, const struct x86_insn *i, uint64_t lin,
                                  uint32_t error)
{
    struct x86_event e = {
        .kind = X86_EVENT_EXCEPTION,
        .vector = X86_XPF,
        .has_error = 1,
        .error = error,
        .payload = lin,
    };
    if (i != NULL)
        vm__x86_stop_at(c, i);
    c->dbg_stop &= ~(1u << VM_DEBUG_WATCH); /* the access will be made again */
    vm__x86_raise(c, &e);
}
