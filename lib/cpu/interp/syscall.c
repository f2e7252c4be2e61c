/* SPDX-License-Identifier: MIT */
/**
 * @file syscall.c
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT: flat segments by decree, no descriptor is read.
 *
 * Spec: [SDM-2B SYSCALL, SYSRET, SYSENTER, SYSEXIT], [APM3 SYSCALL, SYSRET]. Where the two vendors
 * differ the CPU model's vendor decides: Intel has no SYSCALL outside 64-bit mode, AMD no SYSENTER
 * in long mode.
 */
#include "cpu/interp/interp.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/smm.h"

/* Hidden parts that these instructions load. */
enum {
    CODE64 = X86_ATTR_G | X86_ATTR_L | X86_ATTR_P | X86_ATTR_S | 0xb,
    CODE32 = X86_ATTR_G | X86_ATTR_DB | X86_ATTR_P | X86_ATTR_S | 0xb,
    DATA = X86_ATTR_G | X86_ATTR_DB | X86_ATTR_P | X86_ATTR_S | 0x3,
};

static void set_flat(struct x86_seg *s, uint16_t sel, unsigned attr, unsigned dpl)
{
    s->base = 0;
    s->limit = 0xffffffff;
    s->sel = sel;
    s->attr = (uint16_t)(attr | dpl << X86_ATTR_DPL_SHIFT);
}

static void set_cs_ss(struct vcpu *c, uint16_t cs, unsigned attr, uint16_t ss, unsigned dpl)
{
    set_flat(&c->st.seg[X86_CS], cs, attr, dpl);
    set_flat(&c->st.seg[X86_SS], ss, DATA, dpl);
    vm__x86_sync_mode(c);
}

X86_H(syscall)
{
    uint64_t next = x86_next_rip(c, i), rip, flags;
    bool is64 = x86_is64(c), lma = x86_lma(c);

    if (!(c->st.msr.efer & X86_EFER_SCE) || x86_is_real(c) || (!is64 && !vm__x86_is_amd(c->cpus)))
        x86_ud(c, i);
    flags = x86_flags(c);
    uint16_t cs = (uint16_t)(c->st.msr.star >> 32) & 0xfffc;
    c->st.gpr[X86_RCX] = next;
    if (lma) {
        c->st.gpr[X86_R11] = flags & ~(uint64_t)X86_RF;
        rip = is64 ? c->st.msr.lstar : c->st.msr.cstar;
        c->st.rflags = (flags & ~(c->st.msr.fmask | X86_RF)) | X86_F1;
    } else {
        rip = (uint32_t)c->st.msr.star;
        c->st.rflags = flags & ~(uint64_t)(X86_VM | X86_IF | X86_RF);
    }
    if (!(c->st.rflags & X86_TF))
        c->step_tf = false; /* masked: no trap at the entry point */
    set_cs_ss(c, cs, lma ? CODE64 : CODE32, (uint16_t)(cs + 8), 0);
    X86_JUMP(c, rip);
}

X86_H(sysret)
{
    bool lma = x86_lma(c), to64 = i->osz == 3;
    uint64_t rip = c->st.gpr[X86_RCX], old;

    if (!(c->st.msr.efer & X86_EFER_SCE) || x86_is_real(c) ||
        (!x86_is64(c) && !vm__x86_is_amd(c->cpus)))
        x86_ud(c, i);
    if (c->cpl != 0 || (to64 && !x86_canonical(c, rip)))
        x86_gp(c, i, 0);
    uint16_t sel = (uint16_t)(c->st.msr.star >> 48);
    uint16_t cs = (uint16_t)(to64 ? sel + 16 : sel) | 3, ss = (uint16_t)(sel + 8) | 3;
    old = x86_flags(c);
    if (lma)
        c->st.rflags = (c->st.gpr[X86_R11] & 0x3c7fd7 & ~(uint64_t)X86_RF) | X86_F1;
    else
        c->st.rflags = old | X86_IF;
    if (!to64)
        rip = (uint32_t)rip;
    set_cs_ss(c, cs, to64 ? CODE64 : CODE32, ss, 3);
    if (c->st.rflags & ~old & X86_IF)
        x86_recheck_pending(c);
    if (x86_unlikely(c->st.rflags & X86_TF)) {
        /* The trap comes at once, as if the SYSCALL had just ended. */
        c->st.rip = rip;
        c->step_tf = false;
        c->st.event = (struct x86_event){
            .kind = X86_EVENT_EXCEPTION, .vector = X86_XDB, .payload = X86_DR6_BS
        };
        X86_LEAVE(c);
    }
    X86_JUMP(c, rip);
}

X86_H(sysenter)
{
    bool lma = x86_lma(c);
    uint16_t cs = (uint16_t)c->st.msr.sysenter_cs & 0xfffc;

    if (lma && vm__x86_is_amd(c->cpus))
        x86_ud(c, i);
    if (!(c->st.cr0 & X86_CR0_PE) || cs == 0)
        x86_gp(c, i, 0);
    c->st.rflags &= ~(uint64_t)(X86_VM | X86_IF | X86_RF);
    c->st.gpr[X86_RSP] = lma ? c->st.msr.sysenter_esp : (uint32_t)c->st.msr.sysenter_esp;
    uint64_t rip = lma ? c->st.msr.sysenter_eip : (uint32_t)c->st.msr.sysenter_eip;
    set_cs_ss(c, cs, lma ? CODE64 : CODE32, (uint16_t)(cs + 8), 0);
    X86_JUMP(c, rip);
}

X86_H(sysexit)
{
    bool to64 = i->osz == 3;
    uint16_t cs = (uint16_t)c->st.msr.sysenter_cs & 0xfffc;
    uint64_t rip = c->st.gpr[X86_RDX], rsp = c->st.gpr[X86_RCX];

    if (x86_lma(c) && vm__x86_is_amd(c->cpus))
        x86_ud(c, i);
    if (cs == 0 || !(c->st.cr0 & X86_CR0_PE) || c->cpl != 0 || x86_is_v86(c))
        x86_gp(c, i, 0);
    if (to64) {
        if (!x86_canonical(c, rip) || !x86_canonical(c, rsp))
            x86_gp(c, i, 0);
        cs = (uint16_t)(cs + 32) | 3;
    } else {
        rip = (uint32_t)rip;
        rsp = (uint32_t)rsp;
        cs = (uint16_t)(cs + 16) | 3;
    }
    c->st.gpr[X86_RSP] = rsp;
    set_cs_ss(c, cs, to64 ? CODE64 : CODE32, (uint16_t)(cs + 8) | 3, 3);
    X86_JUMP(c, rip);
}

/* A hypervisor answers, in the way guests of KVM expect, that it has no such call. */
X86_H(hypercall)
{
    enum { NO_SUCH_CALL = 1000 };

    c->st.gpr[X86_RAX] = (uint64_t)-NO_SUCH_CALL;
    X86_NEXT(c, i);
}

/* Outside SMM it does not exist [SDM-3C §31.2]. */
X86_H(rsm)
{
    if (!c->st.smm)
        x86_ud(c, i);
    x86_callout(c, i);
    vm__x86_stop_at(c, i);
    if (!vm__x86_smm_leave(c))
        c->st.activity = X86_STOPPED;
    X86_LEAVE(c);
}
