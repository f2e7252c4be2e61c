/* SPDX-License-Identifier: MIT */
/**
 * @file run.c
 * The interpreter's run loop and the pseudo-instructions that end blocks.
 */
#include "cpu/hook.h"
#include "cpu/interp/interp.h"
#include "cpu/x86/code_page.h"
#include "cpu/x86/debug.h"

extern x86_fn vm__h_fallthrough, vm__h_resync, vm__h_undefined, vm__h_too_long, vm__h_unavailable,
    vm__h_leave;

/* ---- pseudo-instructions ---- */

/** Leaves the chain of handlers; st.rip has been set. */
X86_H(leave)
{
    (void)c;
    (void)i;
    return NULL;
}
const struct x86_insn vm__interp_leave = { .fn = vm__h_leave };

/** End of a block that does not branch. */
X86_H(fallthrough)
{
    X86_FALL(c, i); /* its length is 0 */
}

/** The block was overwritten from here on: decode it again. */
X86_H(resync)
{
    vm__x86_leave_at(c, i);
    X86_LEAVE(c);
}

/** A debugger's breakpoint: the only thing in its block. */
X86_H(debug_break)
{
    vm__x86_leave_at(c, i);
    vm__x86_debug_request(c, VM_DEBUG_BREAK);
    X86_LEAVE(c);
}

/* The hooks on a block's first instruction. False: it is not to be executed now. */
static X86_NOINLINE bool call_hooks(struct vcpu *c, const struct x86_insn *i)
{
    const struct x86_block *b = c->blk;
    const uint64_t rip = vm__x86_rip(c, i);

    c->cur = i;
    c->st.rip = rip;
    if (vm__x86_hook_code(c, b->hooks, b->n))
        return true;
    const uint64_t to = c->st.rip;
    vm__x86_leave_at(c, i);
    c->st.rip = to;
    x86_recheck(c);
    return false;
}

/** Before the first instruction of a block that is hooked. */
X86_H(hooked)
{
    if (!call_hooks(c, i))
        X86_LEAVE(c);
    return c->blk->fn0(c, i);
}

X86_H(undefined)
{
    x86_ud(c, i);
}

/** Longer than 15 bytes, or past the CS limit [SDM-2A §2.3.11]. */
X86_H(too_long)
{
    x86_gp(c, i, 0);
}

/** x87, MMX, SSE or AVX while the control registers keep them off [SDM-3A §2.5, §13.1]. */
X86_H(unavailable)
{
    uint32_t attr = vm__x86_rows[i->row].attr;
    uint64_t cr0 = c->st.cr0;

    if (attr & X86_A_AVX) {
        if (!(c->st.cr4 & X86_CR4_OSXSAVE) || (c->st.xcr0 & 6) != 6)
            x86_ud(c, i);
    } else if (attr & X86_A_SSE) {
        if ((cr0 & X86_CR0_EM) || !(c->st.cr4 & X86_CR4_OSFXSR))
            x86_ud(c, i);
    } else if (attr & X86_A_MMX) {
        if (cr0 & X86_CR0_EM)
            x86_ud(c, i);
    }
    x86_nm(c, i);
}

/* ---- the loop ---- */

static void run_chain(struct vcpu *c, const struct x86_insn *i)
{
#if defined(LIBVM_THREADED)
    (void)i->fn(c, i);
#else
    while (i != NULL)
        i = i->fn(c, i);
#endif
}

static inline bool must_poll(const struct vcpu *c)
{
    return atomic_load_explicit(&c->req, memory_order_acquire) != 0 ||
           c->st.event.kind != X86_EVENT_NONE || c->st.activity != X86_ACTIVE;
}

static void run_one(struct vcpu *c)
{
    bool step = c->mode & X86_MODE_STEP;

    if (vm__x86_debug_break_here(c))
        return;
    if (step) {
        x86_recheck(c); /* whatever the instruction does to the mode: it is the only one */
        vm__x86_step_begin(c);
    }
    struct x86_block *b = vm__interp_find(c, c->st.rip);
    if (b->n > 1 || b->fn0 != NULL)
        b = vm__interp_partial(c, b, 1);
    if (x86_unlikely(b->hooks != 0)) {
        if (!vm__x86_hook_code(c, b->hooks, 1))
            return;
        b->insns[0].fn = b->fn0;
    }
    c->st.shadow = 0;
    c->jit.one = false;
    run_chain(c, x86_enter(c, b));
    vm__x86_debug_stepped(c, b->insns[0].flags & (X86_I_REP | X86_I_REPNE));
    if (step)
        vm__x86_step_end(c);
}

enum vm_cpu_stop vm__interp_run(struct vcpu *c, uint64_t max_insns, struct vm_exit *exit)
{
    int stop = X86_POLL_RUN;

    if (max_insns > INT64_MAX / 2)
        max_insns = INT64_MAX / 2;
    c->insns_left = (int64_t)max_insns;
    c->insns_limit += max_insns;
    if (_setjmp(c->jmp) != 0) {
        c->cur = NULL;
        if (c->bus_locked)
            vm__x86_bus_unlock(c);
    }
    for (;;) {
        if (x86_unlikely(must_poll(c))) {
            x86_host_leave(c); /* interrupt controllers are asked, which may be the embedder's */
            stop = vm__x86_poll(c, exit);
            if (stop != X86_POLL_RUN)
                break;
        }
        if (c->insns_left <= 0) {
            stop = VM_CPU_BUDGET;
            break;
        }
        if (x86_unlikely(c->st.shadow != 0 || (c->mode & X86_MODE_STEP) || c->jit.one)) {
            run_one(c);
            continue;
        }
        struct x86_block *b = vm__interp_find(c, c->st.rip);
        if (c->insns_left < (int64_t)b->n)
            b = vm__interp_partial(c, b, (uint32_t)c->insns_left);
        run_chain(c, x86_enter(c, b));
    }
    c->insns_limit -= (uint64_t)c->insns_left;
    c->insns_left = 0;
    c->blk = NULL;
    c->cur = NULL;
    (void)x86_flags(c);
    c->jit.one = false;
    x86_host_leave(c);
    return (enum vm_cpu_stop)stop;
}

uint64_t vm__x86_insns(struct vcpu *c)
{
    int64_t left = c->insns_left;

    if (c->blk != NULL && c->cur >= c->blk->insns && c->cur < c->blk->insns + c->blk->n)
        left += (int64_t)c->blk->n - (c->cur - c->blk->insns);
    return c->insns_limit - (uint64_t)left;
}

/* ---- the contract ---- */

static int interp_probe(const struct vm_machine *m, char *why, size_t why_size)
{
    (void)m;
    (void)why;
    (void)why_size;
    return VM_OK;
}

static int interp_create(struct x86_cpus *cpus)
{
    (void)cpus;
    return VM_OK;
}

static void interp_destroy(struct x86_cpus *cpus)
{
    (void)cpus;
}

void vm__interp_load(struct vcpu *c)
{
    c->cc_w = 0;
    vm__interp_cache_flush(c);
    vm__x86_tlb_flush(c, VM_FLUSH_ALL, 0);
}

void vm__interp_store(struct vcpu *c)
{
    (void)x86_flags(c);
}

void vm__interp_flush(struct vcpu *c, enum vm_flush what, uint64_t gva)
{
    if (what == VM_FLUSH_CODE) {
        vm__x86_code_answer(c);
        return;
    }
    vm__x86_tlb_flush(c, what, gva);
    if (what == VM_FLUSH_MEM || what == VM_FLUSH_ALL)
        vm__interp_cache_flush(c); /* blocks point at page metadata that may be gone */
}

const struct vm_engine vm__interp_engine = {
    .name = "interp",
    .summary = "Interprets decoded guest code; the reference for meaning",
    .probe = interp_probe,
    .features = vm__interp_host_features,
    .hooks = true,
    .create = interp_create,
    .destroy = interp_destroy,
    .vcpu_init = vm__interp_cache_init,
    .vcpu_fini = vm__interp_cache_fini,
    .run = vm__interp_run,
    .load = vm__interp_load,
    .store = vm__interp_store,
    .flush = vm__interp_flush,
};
