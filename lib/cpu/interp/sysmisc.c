/* SPDX-License-Identifier: MIT */
/**
 * @file sysmisc.c
 * CPUID, time-stamp counter, MSRs, XCR0, FS and GS bases, random numbers, TLB and cache control,
 * MONITOR and MWAIT.
 *
 * Spec: [SDM-2] under each name.
 */
#include "core/machine.h"
#include "cpu/interp/interp.h"
#include "cpu/x86/control.h"
#include "cpu/x86/code_page.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/msr.h"
#include "cpu/x86/segment.h"
#include "cpu/x86/tsc.h"

static void set_edx_eax(struct vcpu *c, uint64_t v)
{
    c->st.gpr[X86_RAX] = (uint32_t)v;
    c->st.gpr[X86_RDX] = v >> 32;
}
static uint64_t edx_eax(const struct vcpu *c)
{
    return (uint32_t)c->st.gpr[X86_RAX] | c->st.gpr[X86_RDX] << 32;
}
static inline void need_cpl0(struct vcpu *c, const struct x86_insn *i)
{
    if (x86_unlikely(c->cpl != 0))
        x86_gp(c, i, 0);
}

X86_H_CALLS(cpuid)
{
    uint32_t r[4];

    x86_serialize(c);
    vm__x86_cpuid(c, (uint32_t)c->st.gpr[X86_RAX], (uint32_t)c->st.gpr[X86_RCX], r);
    c->st.gpr[X86_RAX] = r[0];
    c->st.gpr[X86_RBX] = r[1];
    c->st.gpr[X86_RCX] = r[2];
    c->st.gpr[X86_RDX] = r[3];
    (void)i;
}

/* ---- time ---- */

static void need_tsc(struct vcpu *c, const struct x86_insn *i)
{
    if (x86_unlikely((c->st.cr4 & X86_CR4_TSD) && c->cpl != 0))
        x86_gp(c, i, 0);
    c->cur = i; /* icount: the clock asks how many instructions have run */
}

X86_H(rdtsc)
{
    need_tsc(c, i);
    set_edx_eax(c, vm__x86_tsc(c));
    X86_NEXT(c, i);
}
X86_H(rdtscp)
{
    need_tsc(c, i);
    set_edx_eax(c, vm__x86_tsc(c));
    c->st.gpr[X86_RCX] = (uint32_t)c->st.msr.tsc_aux;
    X86_NEXT(c, i);
}
X86_H(rdpid)
{
    *x86_r64(c, i->dst) = (uint32_t)c->st.msr.tsc_aux;
    X86_NEXT(c, i);
}
/* Two counters that stand still, as their event selects cannot be enabled. */
X86_H(rdpmc)
{
    if ((!(c->st.cr4 & X86_CR4_PCE) && c->cpl != 0) || (uint32_t)c->st.gpr[X86_RCX] > 1)
        x86_gp(c, i, 0);
    set_edx_eax(c, 0);
    X86_NEXT(c, i);
}

/* ---- MSRs ---- */

X86_H_CALLS(rdmsr)
{
    uint64_t v = 0;

    need_cpl0(c, i);
    x86_callout(c, i);
    if (!vm__x86_rdmsr(c, (uint32_t)c->st.gpr[X86_RCX], &v))
        x86_gp(c, i, 0);
    set_edx_eax(c, v);
}

X86_H(wrmsr)
{
    uint32_t mode = c->mode;
    uint64_t gen = c->code_gen[0];

    need_cpl0(c, i);
    x86_callout(c, i);
    if (!vm__x86_wrmsr(c, (uint32_t)c->st.gpr[X86_RCX], edx_eax(c)))
        x86_gp(c, i, 0);
    /* A self-IPI or a deadline that has passed interrupts here, not at the end of the block. */
    if (x86_unlikely(c->mode != mode || c->code_gen[0] != gen ||
                     atomic_load_explicit(&c->req, memory_order_relaxed) != 0))
        X86_END(c, i);
    X86_NEXT(c, i);
}

/* ---- XCR0 ---- */

X86_H(xgetbv)
{
    uint32_t n = (uint32_t)c->st.gpr[X86_RCX];

    if (!(c->st.cr4 & X86_CR4_OSXSAVE))
        x86_ud(c, i);
    if (n == 0)
        set_edx_eax(c, c->st.xcr0);
    else if (n == 1 && vm__x86_has(c, X86_FEAT_XGETBV1))
        set_edx_eax(c, c->st.xcr0); /* "in use": everything enabled may be */
    else
        x86_gp(c, i, 0);
    X86_NEXT(c, i);
}

X86_H(xsetbv)
{
    if (!(c->st.cr4 & X86_CR4_OSXSAVE))
        x86_ud(c, i);
    need_cpl0(c, i);
    x86_callout(c, i);
    if ((uint32_t)c->st.gpr[X86_RCX] != 0)
        x86_gp(c, i, 0);
    vm__x86_write_xcr0(c, edx_eax(c));
    X86_END(c, i);
}

/* ---- FS and GS bases ---- */

static void need_fsgsbase(struct vcpu *c, const struct x86_insn *i)
{
    if (x86_unlikely(!(c->st.cr4 & X86_CR4_FSGSBASE)))
        x86_ud(c, i);
}

static void write_base(struct vcpu *c, const struct x86_insn *i, unsigned seg)
{
    uint64_t v = x86_get(c, i->dst, i->osz);

    need_fsgsbase(c, i);
    if (!x86_canonical(c, v))
        x86_gp(c, i, 0);
    c->st.seg[seg].base = v;
    c->segf[seg].base = v;
}

X86_H(rdfsbase)
{
    need_fsgsbase(c, i);
    x86_set(c, i->dst, i->osz, c->st.seg[X86_FS].base);
    X86_NEXT(c, i);
}
X86_H(rdgsbase)
{
    need_fsgsbase(c, i);
    x86_set(c, i->dst, i->osz, c->st.seg[X86_GS].base);
    X86_NEXT(c, i);
}
X86_H(wrfsbase)
{
    write_base(c, i, X86_FS);
    X86_NEXT(c, i);
}
X86_H(wrgsbase)
{
    write_base(c, i, X86_GS);
    X86_NEXT(c, i);
}

X86_H(swapgs)
{
    need_cpl0(c, i);
    uint64_t v = c->st.seg[X86_GS].base;
    c->st.seg[X86_GS].base = c->segf[X86_GS].base = c->st.msr.kernel_gs_base;
    c->st.msr.kernel_gs_base = v;
    X86_NEXT(c, i);
}

/* ---- random numbers: CF says that there is one, and there always is ---- */

X86_H_CALLS(rdrand)
{
    uint64_t v = 0;

    x86_callout(c, i);
    vm__machine_random(c->cpus->m, &v, 1u << i->osz);
    x86_set(c, i->dst, i->osz, v);
    x86_set_arith(c, X86_CF);
}

/* ---- TLB and caches ---- */

X86_H(invlpg)
{
    need_cpl0(c, i);
    uint64_t ea = x86_ea(c, i), lin = ea + c->segf[i->seg].base;
    if (x86_is64(c)) {
        if (!x86_canonical(c, lin))
            X86_NEXT(c, i); /* does nothing, does not fault */
    } else {
        lin = (uint32_t)lin;
    }
    uint64_t gen = c->code_gen[0];
    c->cpus->engine->flush(c, VM_FLUSH_TLB_PAGE, lin);
    if (x86_unlikely(c->code_gen[0] != gen))
        X86_END(c, i);
    X86_NEXT(c, i);
}

static X86_NOINLINE void run_invpcid(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t type = x86_get(c, i->dst, i->osz), desc[2];

    need_cpl0(c, i);
    uint64_t lin = x86_lin(c, i, 16, X86_ACCESS_R);
    vm__x86_ld_block(c, i, lin, desc, sizeof desc);
    if (type > 3 || (desc[0] >> 12 && type < 2) ||
        (type < 2 && !(c->st.cr4 & X86_CR4_PCIDE) && desc[0]) ||
        (type == 0 && !x86_canonical(c, desc[1])))
        x86_gp(c, i, 0);
    /* The soft TLB holds the current PCID only: another one's entries are gone already. */
    if (type == 0) {
        if ((desc[0] & 0xfff) == (c->st.cr3 & 0xfff) || !(c->st.cr4 & X86_CR4_PCIDE))
            c->cpus->engine->flush(c, VM_FLUSH_TLB_PAGE, desc[1]);
    } else {
        c->cpus->engine->flush(c, type == 2 ? VM_FLUSH_TLB : VM_FLUSH_TLB_NONGLOBAL, 0);
    }
}
X86_H(invpcid)
{
    run_invpcid(c, i);
    X86_END(c, i);
}

/* Caches are coherent and invisible. */
X86_H(wbinvd)
{
    need_cpl0(c, i);
    X86_NEXT(c, i);
}

X86_H(clflush)
{
    uint64_t lin = x86_lin(c, i, 1, X86_ACCESS_R);
    vm__x86_probe_r(c, i, lin, 1, i->seg);
    X86_NEXT(c, i);
}

X86_H(fence)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    X86_NEXT(c, i);
}

/* ---- MONITOR, MWAIT: the wait ends at once, which is allowed ---- */

X86_H(monitor)
{
    if (c->cpl != 0)
        x86_ud(c, i);
    if ((uint32_t)c->st.gpr[X86_RCX] != 0)
        x86_gp(c, i, 0);
    uint64_t ea = c->st.gpr[X86_RAX] & (~UINT64_C(0) >> (64 - (8u << i->asz)));
    uint64_t lin = x86_seg_lin(c, i, i->seg, ea, 1, X86_ACCESS_R);
    vm__x86_probe_r(c, i, lin, 1, i->seg);
    X86_NEXT(c, i);
}

X86_H(mwait)
{
    if (c->cpl != 0)
        x86_ud(c, i);
    if (c->st.gpr[X86_RCX] & ~UINT64_C(1))
        x86_gp(c, i, 0);
    X86_END(c, i);
}
