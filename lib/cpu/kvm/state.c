/* SPDX-License-Identifier: MIT */
/**
 * @file state.c
 * Moving a processor's state between struct x86_state and the kernel.
 *
 * The way in compares with a copy of what the kernel is known to hold, and moves only the groups
 * that differ: after a port access nothing, after a device's interrupt was delivered here the
 * registers. So nobody who changes the state has to say so.
 *
 * Spec: [KVM KVM_GET_REGS, KVM_GET_SREGS], [KVM KVM_GET_VCPU_EVENTS], [KVM KVM_GET_DEBUGREGS].
 */
#include <errno.h>
#include <string.h>

#include "core/memory.h"
#include "cpu/kvm/kvm.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/mmu.h"

/* ---- segments ---- */

static void put_seg(struct kvm_segment *d, const struct x86_seg *s)
{
    *d = (struct kvm_segment) {
        .base = s->base,
        .limit = s->limit,
        .selector = s->sel,
        .type = s->attr & X86_ATTR_TYPE,
        .s = s->attr >> 4 & 1,
        .dpl = s->attr >> X86_ATTR_DPL_SHIFT & 3,
        .present = s->attr >> 7 & 1,
        .avl = s->attr >> 12 & 1,
        .l = s->attr >> 13 & 1,
        .db = s->attr >> 14 & 1,
        .g = s->attr >> 15 & 1,
        .unusable = !(s->attr & X86_ATTR_P),
    };
}

static void get_seg(struct x86_seg *d, const struct kvm_segment *s)
{
    unsigned attr = (unsigned)s->dpl << X86_ATTR_DPL_SHIFT;

    if (!s->unusable)
        attr |= s->type | (unsigned)s->s << 4 | (unsigned)s->present << 7 | (unsigned)s->avl << 12 |
                (unsigned)s->l << 13 | (unsigned)s->db << 14 | (unsigned)s->g << 15;
    *d = (struct x86_seg) {
        .base = s->base, .limit = s->limit, .sel = s->selector, .attr = (uint16_t)attr
    };
}

static void put_dtr(struct kvm_dtable *d, const struct x86_dtr *s)
{
    *d = (struct kvm_dtable) { .base = s->base, .limit = (uint16_t)s->limit };
}

static void get_dtr(struct x86_dtr *d, const struct kvm_dtable *s)
{
    *d = (struct x86_dtr) { .base = s->base, .limit = s->limit };
}

/* ---- in ---- */

static int put_regs(struct kvm_cpu *k, const struct x86_state *st)
{
    struct kvm_regs r = {
        .rax = st->gpr[X86_RAX],
        .rbx = st->gpr[X86_RBX],
        .rcx = st->gpr[X86_RCX],
        .rdx = st->gpr[X86_RDX],
        .rsi = st->gpr[X86_RSI],
        .rdi = st->gpr[X86_RDI],
        .rsp = st->gpr[X86_RSP],
        .rbp = st->gpr[X86_RBP],
        .r8 = st->gpr[X86_R8],
        .r9 = st->gpr[X86_R9],
        .r10 = st->gpr[X86_R10],
        .r11 = st->gpr[X86_R11],
        .r12 = st->gpr[X86_R12],
        .r13 = st->gpr[X86_R13],
        .r14 = st->gpr[X86_R14],
        .r15 = st->gpr[X86_R15],
        .rip = st->rip,
        .rflags = st->rflags,
    };
    return vm__kvm_ioctl(k, KVM_SET_REGS, &r);
}

/* APIC_BASE: KVM has no local APIC of its own here, but wants the register to be possible. */
static uint64_t apic_base(const struct x86_state *st)
{
    return st->msr.apic_base & ~(uint64_t)X86_APIC_BASE_X2;
}

static int put_sregs(struct kvm_cpu *k, const struct x86_state *st)
{
    struct kvm_sregs s = {
        .cr0 = st->cr0,
        .cr2 = st->cr2,
        .cr3 = st->cr3,
        .cr4 = st->cr4,
        .cr8 = st->lapic.tpr >> 4,
        .efer = st->msr.efer,
        .apic_base = apic_base(st),
    };
    struct kvm_segment *const segs[X86_SEG_COUNT] = { &s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs };

    for (unsigned n = 0; n < X86_SEG_COUNT; n++)
        put_seg(segs[n], &st->seg[n]);
    put_seg(&s.ldt, &st->ldtr);
    put_seg(&s.tr, &st->tr);
    put_dtr(&s.gdt, &st->gdtr);
    put_dtr(&s.idt, &st->idtr);
    return vm__kvm_ioctl(k, KVM_SET_SREGS, &s);
}

/* Nothing is in delivery: what is pending is delivered in struct x86_state before coming here. */
static int put_events(struct kvm_cpu *k, const struct x86_state *st)
{
    struct kvm_vcpu_events e = {
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
                 (k->kvm->caps.payload ? KVM_VCPUEVENT_VALID_PAYLOAD : 0u),
        .interrupt.shadow = (st->shadow & X86_SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0) |
                            (st->shadow & X86_SHADOW_MOVSS ? KVM_X86_SHADOW_INT_MOV_SS : 0),
        .nmi.masked = st->nmi_blocked != 0,
        .nmi.pending = st->nmi_pending != 0,
    };
    return vm__kvm_ioctl(k, KVM_SET_VCPU_EVENTS, &e);
}

static int put_debug(struct kvm_cpu *k, const struct x86_state *st)
{
    struct kvm_debugregs d = { .dr6 = st->dr[6], .dr7 = st->dr[7] };

    if (!k->kvm->caps.debugregs)
        return 0;
    for (unsigned n = 0; n < 4; n++)
        d.db[n] = st->dr[n];
    return vm__kvm_ioctl(k, KVM_SET_DEBUGREGS, &d);
}

static int put_xcr0(struct kvm_cpu *k, const struct x86_state *st)
{
    struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = st->xcr0 } };

    return vm__kvm_ioctl(k, KVM_SET_XCRS, &x);
}

static bool sregs_differ(const struct x86_state *a, const struct x86_state *b)
{
    return a->cr0 != b->cr0 || a->cr2 != b->cr2 || a->cr3 != b->cr3 || a->cr4 != b->cr4 ||
           a->msr.efer != b->msr.efer || apic_base(a) != apic_base(b) ||
           memcmp(a->seg, b->seg, sizeof a->seg) != 0 ||
           memcmp(&a->ldtr, &b->ldtr, sizeof a->ldtr) != 0 ||
           memcmp(&a->tr, &b->tr, sizeof a->tr) != 0 ||
           memcmp(&a->gdtr, &b->gdtr, sizeof a->gdtr) != 0 ||
           memcmp(&a->idtr, &b->idtr, sizeof a->idtr) != 0;
}

static bool regs_differ(const struct x86_state *a, const struct x86_state *b)
{
    return memcmp(a->gpr, b->gpr, sizeof a->gpr) != 0 || a->rip != b->rip || a->rflags != b->rflags;
}

static bool events_differ(const struct x86_state *a, const struct x86_state *b)
{
    return a->shadow != b->shadow || a->nmi_blocked != b->nmi_blocked ||
           a->nmi_pending != b->nmi_pending;
}

/* One group; the first failure is kept with its name. */
#define STEP(differs, call, name)                                                                  \
    do {                                                                                           \
        if (err >= 0 && (!k->mirrored || (differs))) {                                             \
            err = (call);                                                                          \
            *what = (name);                                                                        \
        }                                                                                          \
    } while (0)

int vm__kvm_enter(struct vcpu *c, const char **what)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    const struct x86_state *st = &c->st, *was = &k->mirror;
    int err = 0;

    if (!k->told) {
        err = vm__kvm_set_cpuid(c);
        *what = "KVM_SET_CPUID2";
        k->told = err >= 0;
    }
    STEP(sregs_differ(st, was), put_sregs(k, st), "KVM_SET_SREGS");
    if (k->kvm->caps.xcrs && vm__x86_has(c, X86_FEAT_XSAVE))
        STEP(st->xcr0 != was->xcr0, put_xcr0(k, st), "KVM_SET_XCRS");
    STEP(vm__kvm_fpu_differs(st, was), vm__kvm_put_fpu(c), "KVM_SET_XSAVE");
    STEP(memcmp(&st->msr, &was->msr, sizeof st->msr) != 0, vm__kvm_put_msrs(c), "KVM_SET_MSRS");
    STEP(memcmp(st->dr, was->dr, sizeof st->dr) != 0, put_debug(k, st), "KVM_SET_DEBUGREGS");
    STEP(regs_differ(st, was), put_regs(k, st), "KVM_SET_REGS");
    /* Last: other calls drop what is pending. */
    STEP(events_differ(st, was), put_events(k, st), "KVM_SET_VCPU_EVENTS");
    if (err >= 0) {
        err = vm__kvm_sync_tsc(c);
        *what = "KVM_SET_MSRS (TSC)";
    }
    if (err < 0)
        return err;
    k->inside = k->fresh = true;
    k->n.entries++;
    return 0;
}

/* ---- out ---- */

static int get_regs(struct kvm_cpu *k, struct x86_state *st)
{
    struct kvm_regs r;
    const int err = vm__kvm_ioctl(k, KVM_GET_REGS, &r);

    if (err < 0)
        return err;
    const uint64_t gpr[16] = { r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
                               r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15 };
    memcpy(st->gpr, gpr, sizeof gpr);
    st->rip = r.rip;
    st->rflags = (r.rflags & 0x3f7fd7) | X86_F1;
    return 0;
}

/* PDPTEs are loaded with CR3 and lie in the processor from then on [SDM-3A §4.4.1]; where KVM does
 * not show them, memory is what they most likely came from. */
static int get_pdptes(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    struct x86_state *st = &c->st;

    if (!(st->cr0 & X86_CR0_PG) || !(st->cr4 & X86_CR4_PAE) || (st->msr.efer & X86_EFER_LMA))
        return 0;
    if (k->kvm->caps.sregs2) {
        struct kvm_sregs2 s;
        const int err = vm__kvm_ioctl(k, KVM_GET_SREGS2, &s);
        if (err < 0)
            return err;
        if (s.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) {
            memcpy(st->pdpte, s.pdptrs, sizeof st->pdpte);
            return 0;
        }
    }
    struct vm_mem_page pg;
    const uint64_t at = st->cr3 & 0xffffffe0;
    vm__mem_page(c->cpus->m, VM_VIEW_NORMAL, at, &pg);
    if (pg.host != NULL)
        memcpy(st->pdpte, pg.host + (at & (VM_PAGE_SIZE - 1)), sizeof st->pdpte);
    return 0;
}

static int get_sregs(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    struct x86_state *st = &c->st;
    struct kvm_sregs s;
    const int err = vm__kvm_ioctl(k, KVM_GET_SREGS, &s);

    if (err < 0)
        return err;
    const struct kvm_segment *const segs[X86_SEG_COUNT] = {
        &s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs
    };
    for (unsigned n = 0; n < X86_SEG_COUNT; n++)
        get_seg(&st->seg[n], segs[n]);
    get_seg(&st->ldtr, &s.ldt);
    get_seg(&st->tr, &s.tr);
    get_dtr(&st->gdtr, &s.gdt);
    get_dtr(&st->idtr, &s.idt);
    st->cr0 = s.cr0;
    st->cr2 = s.cr2;
    st->cr3 = s.cr3;
    st->cr4 = s.cr4;
    st->msr.efer = s.efer;
    return get_pdptes(c);
}

/* What KVM was in the middle of delivering is delivered from the start: nothing of it has been
 * seen. INT n and the like are executed again, RIP still points there. */
static void take_event(struct x86_state *st, const struct kvm_vcpu_events *e)
{
    struct x86_event ev = { 0 };

    if (e->exception.injected || e->exception.pending) {
        if (e->exception.injected && (e->exception.nr == X86_XBP || e->exception.nr == X86_XOF))
            return;
        ev.kind = X86_EVENT_EXCEPTION;
        ev.vector = e->exception.nr;
        ev.has_error = e->exception.has_error_code;
        ev.error = e->exception.error_code;
        if (ev.vector == X86_XPF)
            ev.payload = e->exception_has_payload ? e->exception_payload : st->cr2;
        else if (ev.vector == X86_XDB)
            ev.payload = e->exception_has_payload ? e->exception_payload & 0xe00f : 0;
    } else if (e->nmi.injected) {
        ev.kind = X86_EVENT_NMI;
        ev.vector = X86_XNMI;
    } else if (e->interrupt.injected && !e->interrupt.soft) {
        ev.kind = X86_EVENT_INTR;
        ev.vector = e->interrupt.nr;
    } else {
        return;
    }
    st->event = ev;
}

static int get_events(struct kvm_cpu *k, struct x86_state *st)
{
    struct kvm_vcpu_events e;
    const int err = vm__kvm_ioctl(k, KVM_GET_VCPU_EVENTS, &e);

    if (err < 0)
        return err;
    st->shadow = (uint8_t)((e.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? X86_SHADOW_STI : 0) |
                           (e.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? X86_SHADOW_MOVSS : 0));
    st->nmi_blocked = e.nmi.masked;
    st->nmi_pending = e.nmi.pending != 0;
    take_event(st, &e);
    return 0;
}

static int get_debug(struct kvm_cpu *k, struct x86_state *st)
{
    struct kvm_debugregs d;

    if (!k->kvm->caps.debugregs)
        return 0;
    const int err = vm__kvm_ioctl(k, KVM_GET_DEBUGREGS, &d);
    if (err < 0)
        return err;
    for (unsigned n = 0; n < 4; n++)
        st->dr[n] = d.db[n];
    st->dr[6] = (d.dr6 & 0xe00f) | 0xffff0ff0;
    st->dr[7] = (d.dr7 & 0xffff2bff) | 0x400;
    return 0;
}

static int get_xcr0(struct kvm_cpu *k, struct x86_state *st)
{
    struct kvm_xcrs x;
    const int err = vm__kvm_ioctl(k, KVM_GET_XCRS, &x);

    if (err >= 0 && x.nr_xcrs > 0 && x.xcrs[0].xcr == 0)
        st->xcr0 = x.xcrs[0].value;
    return err;
}

#define TAKE(call, name)                                                                           \
    do {                                                                                           \
        if (err >= 0) {                                                                            \
            err = (call);                                                                          \
            *what = (name);                                                                        \
        }                                                                                          \
    } while (0)

int vm__kvm_leave(struct vcpu *c, const char **what)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    struct x86_state *st = &c->st;
    int err = 0;

    TAKE(get_regs(k, st), "KVM_GET_REGS");
    TAKE(get_sregs(c), "KVM_GET_SREGS");
    TAKE(get_debug(k, st), "KVM_GET_DEBUGREGS");
    TAKE(get_events(k, st), "KVM_GET_VCPU_EVENTS");
    TAKE(vm__kvm_get_fpu(c), "KVM_GET_XSAVE");
    TAKE(vm__kvm_get_msrs(c), "KVM_GET_MSRS");
    if (k->kvm->caps.xcrs && vm__x86_has(c, X86_FEAT_XSAVE))
        TAKE(get_xcr0(k, st), "KVM_GET_XCRS");
    if (err < 0)
        return err;
    /* An event to be delivered is KVM's no more: it is delivered here, and the copy must differ. */
    k->mirror = *st;
    k->mirrored = st->event.kind == X86_EVENT_NONE;
    k->inside = false;
    k->n.leaves++;
    c->cc_w = 0;
    vm__x86_tlb_flush(c, VM_FLUSH_ALL, 0);
    vm__x86_sync_mode(c);
    return 0;
}
