/* SPDX-License-Identifier: MIT */
/**
 * @file run.c
 * The loop round KVM_RUN: what happens before the guest goes on, and how long it may.
 *
 * Requests that only concern interrupts are met while the state stays in the kernel. Everything
 * else (INIT, start-up, SMI, NMI, reset, an event to be delivered) is done on struct x86_state by
 * the same vm__x86_poll() that the other engines call.
 *
 * KVM does not count instructions. A budget of up to STEP_MAX is kept exactly, by single-step; a
 * larger one is time, at one instruction a nanosecond; from UNBOUNDED on there is no bound but a
 * request, because threads of their own are always kicked when a timer is due.
 *
 * Spec: [KVM KVM_RUN], [KVM KVM_INTERRUPT], [KVM kvm_run].
 */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "core/machine.h"
#include "cpu/interp/interp.h"
#include "cpu/kvm/kvm.h"
#include "cpu/x86/code_page.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/mmu.h"
#include "host/time.h"

enum {
    STEP_MAX = 64,
    UNBOUNDED = 500000,
    LEAST_NS = 20000,
    CHUNK = 256 /* interpreted before the next look whether KVM can do it again */
};

/* Requests that are met without looking at registers. */
enum {
    LIGHT = VM_CPU_REQ_STOP | VM_CPU_REQ_YIELD | VM_CPU_REQ_INTR | VM_CPU_REQ_MEM | VM_CPU_REQ_CODE
};

/* A stretch of run(). */
struct stretch {
    uint64_t started, ns; /* bound in host time; 0: none */
    uint64_t steps;       /* to go, if single-stepped */
    bool stepped;
};

enum vm_cpu_stop vm__kvm_fail(struct vm_exit *exit, int err, const char *what)
{
    exit->code = VM_E_IO;
    (void)snprintf(exit->text, sizeof exit->text, "KVM: %s: %s", what,
                   strerror(err < 0 ? -err : err));
    return VM_CPU_ERROR;
}

/* ---- between two stretches of guest code ---- */

/* On struct x86_state. A fault in delivery is an event of its own. */
static int poll_here(struct vcpu *c, struct vm_exit *exit)
{
    if (_setjmp(c->jmp) != 0) {
        c->cur = NULL;
        if (c->bus_locked)
            vm__x86_bus_unlock(c);
    }
    return vm__x86_poll(c, exit);
}

static int leave(struct vcpu *c, struct vm_exit *exit)
{
    const char *what = "";
    const int stop = vm__kvm_finish(c, exit);

    if (stop != X86_POLL_RUN)
        return stop;
    const int err = vm__kvm_leave(c, &what);
    return err < 0 ? (int)vm__kvm_fail(exit, err, what) : X86_POLL_RUN;
}

/* Hand over an interrupt, if the guest can take one; else be told when it can. */
static int interrupt(struct vcpu *c, struct vm_exit *exit)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);

    k->run->request_interrupt_window = 0;
    if (!vm__x86_intr_waits(c))
        return X86_POLL_RUN;
    /* Carry the last access out first: then it is known whether the guest can take one now, before
     * its next instruction. */
    const int stop = vm__kvm_finish(c, exit);
    if (stop != X86_POLL_RUN || !k->inside)
        return stop;
    if (!k->fresh && k->run->if_flag && k->run->ready_for_interrupt_injection) {
        struct kvm_interrupt i = { .irq = (uint32_t)vm__x86_intr_ack(c) };
        const int err = vm__kvm_ioctl(k, KVM_INTERRUPT, &i);
        if (err < 0)
            return (int)vm__kvm_fail(exit, err, "KVM_INTERRUPT");
        k->n.interrupts++;
        c->st.activity = X86_ACTIVE;
        if (!vm__x86_intr_waits(c))
            return X86_POLL_RUN;
    }
    k->run->request_interrupt_window = 1;
    return X86_POLL_RUN;
}

static void meet(struct vcpu *c, uint32_t req)
{
    if (req & VM_CPU_REQ_MEM) {
        vm__x86_code_forget(c->cpus);
        c->cpus->engine->flush(c, VM_FLUSH_MEM, 0);
    }
    if (req & VM_CPU_REQ_CODE)
        c->cpus->engine->flush(c, VM_FLUSH_CODE, 0);
}

/* While the state is in the kernel. */
static int poll_inside(struct vcpu *c, struct vm_exit *exit)
{
    uint32_t req = atomic_load(&c->req);
    const bool a20 = atomic_load(&c->cpus->a20_masked) != c->st.a20_masked;

    if ((req & ~(uint32_t)LIGHT) != 0 || a20 || c->dbg_stop != 0 || c->st.activity > X86_HALTED) {
        const int stop = leave(c, exit);
        return stop != X86_POLL_RUN ? stop : poll_here(c, exit);
    }
    req &= atomic_fetch_and(&c->req, ~(uint32_t)LIGHT);
    meet(c, req);
    const int stop = interrupt(c, exit);
    if (stop != X86_POLL_RUN)
        return stop;
    if (req & (VM_CPU_REQ_STOP | VM_CPU_REQ_YIELD)) {
        x86_recheck(c);
        return req & VM_CPU_REQ_STOP ? VM_CPU_KICKED : VM_CPU_BUDGET;
    }
    return c->st.activity == X86_HALTED ? (int)VM_CPU_HALTED : X86_POLL_RUN;
}

static bool must_poll(const struct vcpu *c)
{
    return atomic_load_explicit(&c->req, memory_order_acquire) != 0 ||
           c->st.event.kind != X86_EVENT_NONE || c->st.activity != X86_ACTIVE;
}

/* ---- the guest ---- */

/* The task priority has two names: CR8, which KVM keeps here, and the local APIC's register. */
static void tpr_in(const struct vcpu *c, struct kvm_run *run)
{
    run->cr8 = c->st.lapic.tpr >> 4;
}

static void tpr_out(struct vcpu *c, const struct kvm_run *run)
{
    if (run->cr8 != c->st.lapic.tpr >> 4)
        vm__x86_lapic_set_tpr(c, (uint8_t)(run->cr8 << 4));
    if (!vm__kvm_of(c)->caps.user_msr) /* else writing it is an exit */
        c->st.msr.apic_base = (c->st.msr.apic_base & X86_APIC_BASE_X2) | run->apic_base;
}

/* Poke or look: who sets a request after the flag is up sees the flag; who did before is seen. */
static bool may_run(struct vcpu *c)
{
    struct kvm_kick *kick = &vm__kvm_cpu(c)->kick;

    if (kick->has_now)
        atomic_store(kick->now, 0);
    atomic_store(&kick->running, 1);
    if (atomic_load(&c->req) == 0 && !atomic_exchange(&kick->expired, false))
        return true;
    atomic_store(&kick->running, 0);
    return false;
}

static int enter_guest(struct vcpu *c, struct vm_exit *exit)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);

    if (!may_run(c))
        return X86_POLL_RUN;
    tpr_in(c, k->run);
    k->unfinished = false;
    k->n.runs++;
    const int r = vm__kvm_ioctl(k, KVM_RUN, NULL);
    atomic_store(&k->kick.running, 0);
    k->fresh = false;
    tpr_out(c, k->run);
    vm__kvm_drain(c);
    if (r == -EINTR || r == -EAGAIN) {
        vm__kvm_kick_consume(&k->kick);
        k->n.exits[KVM_EXIT_INTR]++;
        return X86_POLL_RUN;
    }
    return r < 0 ? (int)vm__kvm_fail(exit, r, "KVM_RUN") : vm__kvm_exit(c, exit);
}

/* ---- run() ---- */

static bool used_up(const struct stretch *s)
{
    if (s->stepped)
        return s->steps == 0;
    return s->ns != 0 && vm__host_ns() - s->started >= s->ns;
}

static void begin(struct vcpu *c, struct stretch *s, uint64_t max_insns)
{
    *s = (struct stretch) { .stepped = max_insns <= STEP_MAX, .steps = max_insns };
    if (!s->stepped && max_insns < UNBOUNDED) {
        s->ns = max_insns > LEAST_NS ? max_insns : LEAST_NS;
        s->started = vm__host_ns();
        vm__kvm_kick_after(&vm__kvm_cpu(c)->kick, s->ns);
    }
}

static void end(struct vcpu *c, const struct stretch *s, uint64_t max_insns)
{
    if (s->ns == 0)
        return;
    vm__kvm_kick_after(&vm__kvm_cpu(c)->kick, 0);
    const uint64_t took = vm__host_ns() - s->started;
    c->insns_limit += took < max_insns ? took : max_insns;
}

/* Count a single step. An access that came out to be done here is carried to its end, or the step
 * would be one that does two instructions. */
static int count_step(struct vcpu *c, struct stretch *s, int stop, struct vm_exit *exit)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    bool whole = k->run->exit_reason == KVM_EXIT_DEBUG || k->run->exit_reason == KVM_EXIT_HLT;

    if (stop == X86_POLL_RUN && k->unfinished) {
        stop = vm__kvm_finish(c, exit);
        whole = true;
    }
    if (whole && s->steps != 0) {
        s->steps--;
        c->insns_limit++;
    }
    return stop;
}

static int interpret(struct vcpu *c, struct stretch *s, uint64_t steps, struct vm_exit *exit)
{
    const uint64_t before = vm__x86_insns(c);
    const int stop = vm__kvm_interpret(c, s->stepped ? steps : CHUNK, exit);
    const uint64_t done = vm__x86_insns(c) - before;

    if (s->stepped)
        s->steps -= done < s->steps ? done : s->steps;
    return stop;
}

/* A step over HLT loses the halt where KVM is software, so it is taken here. */
static bool at_hlt(struct vcpu *c)
{
    const uint64_t lin = x86_is64(c) ? c->st.rip : (uint32_t)(c->st.seg[X86_CS].base + c->st.rip);
    struct vm_mem_page pg;
    struct x86_walk w;

    if (!vm__x86_peek(c, lin, &w))
        return false;
    vm__mem_page(c->cpus->m, VM_VIEW_NORMAL, w.gpa, &pg);
    return pg.host != NULL && pg.host[w.gpa & (VM_PAGE_SIZE - 1)] == 0xf4;
}

static int one_round(struct vcpu *c, struct stretch *s, struct vm_exit *exit)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    const char *what = "";
    int stop = X86_POLL_RUN;

    if (must_poll(c))
        stop = k->inside ? poll_inside(c, exit) : poll_here(c, exit);
    if (stop != X86_POLL_RUN)
        return stop;
    if (used_up(s))
        return VM_CPU_BUDGET;
    const bool here = vm__kvm_needs_interp(c);
    if ((here || s->stepped) && k->inside)
        stop = leave(c, exit);
    if (stop != X86_POLL_RUN)
        return stop;
    if (here || (s->stepped && at_hlt(c)))
        return interpret(c, s, here ? s->steps : 1, exit);
    int err = vm__kvm_arm(c, s->stepped);
    if (err < 0)
        return (int)vm__kvm_fail(exit, err, "KVM_SET_GUEST_DEBUG");
    if (!k->inside) {
        err = vm__kvm_enter(c, &what);
        if (err < 0)
            return (int)vm__kvm_fail(exit, err, what);
        stop = interrupt(c, exit); /* one may be waiting for its window */
        if (stop != X86_POLL_RUN)
            return stop;
    }
    k->run->exit_reason = KVM_EXIT_UNKNOWN;
    stop = enter_guest(c, exit);
    return s->stepped ? count_step(c, s, stop, exit) : stop;
}

enum vm_cpu_stop vm__kvm_run(struct vcpu *c, uint64_t max_insns, struct vm_exit *exit)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    struct stretch s;
    int err = vm__kvm_kick_begin(&k->kick, k->kvm->sys, k->fd);

    if (err < 0)
        return vm__kvm_fail(exit, err, "setting up a way to interrupt the processor");
    begin(c, &s, max_insns);
    int stop = X86_POLL_RUN;
    while (stop == X86_POLL_RUN)
        stop = one_round(c, &s, exit);
    if (k->inside && stop != VM_CPU_ERROR) {
        const int last = leave(c, exit);
        if (last != X86_POLL_RUN)
            stop = last;
    }
    end(c, &s, max_insns);
    vm__kvm_kick_end(&k->kick);
    c->blk = NULL;
    c->cur = NULL;
    return (enum vm_cpu_stop)stop;
}
