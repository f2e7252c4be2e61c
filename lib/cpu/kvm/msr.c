/* SPDX-License-Identifier: MIT */
/**
 * @file msr.c
 * Model-specific registers: a few that KVM needs in the processor, and all others, which stay
 * where they are and are reached by an exit.
 *
 * Spec: [KVM KVM_SET_MSRS], [KVM KVM_X86_SET_MSR_FILTER], [KVM KVM_CAP_X86_USER_SPACE_MSR].
 *
 * Kernels before 5.10 have no filter. There the guest's accesses to MTRRs, machine-check banks and
 * the like end in KVM, which keeps most of them; they are then lost on a change of engine, and
 * x2APIC and the TSC deadline are not shown to the guest at all.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "core/clock_impl.h"
#include "cpu/kvm/kvm.h"
#include "cpu/x86/tsc.h"

enum { MSR_TSC = 0x10 };

/* In the processor while the guest runs. */
static const struct {
    uint32_t msr;
    uint32_t at; /* in struct x86_msrs */
    uint16_t feature;
} rows[] = {
#define R(n, f, feat)                                                                              \
    {                                                                                              \
        n, offsetof(struct x86_msrs, f), X86_FEAT_##feat                                           \
    }
    R(0x174, sysenter_cs, SEP),        R(0x175, sysenter_esp, SEP),
    R(0x176, sysenter_eip, SEP),       R(0x277, pat, PAT),
    R(0xc0000081, star, SYSCALL),      R(0xc0000082, lstar, LM),
    R(0xc0000083, cstar, LM),          R(0xc0000084, fmask, LM),
    R(0xc0000102, kernel_gs_base, LM), R(0xc0000103, tsc_aux, RDTSCP),
    R(0x48, spec_ctrl, SPEC_CTRL),     R(0xda0, xss, XSAVES),
#undef R
};
enum { ROWS = sizeof rows / sizeof rows[0] };

struct msr_list { /* struct kvm_msrs and what follows it */
    uint32_t nmsrs, pad;
    struct kvm_msr_entry e[ROWS + 1];
};

static uint64_t *slot(struct vcpu *c, unsigned row)
{
    return (uint64_t *)(void *)((char *)&c->st.msr + rows[row].at);
}

static bool used(const struct vcpu *c, unsigned row)
{
    return !(vm__kvm_of(c)->msr_refused >> row & 1) &&
           vm__x86_has(c, (enum x86_feature)rows[row].feature);
}

bool vm__kvm_owns_msr(const struct kvm *v, uint32_t msr)
{
    (void)v;
    for (unsigned n = 0; n < ROWS; n++)
        if (rows[n].msr == msr)
            return true;
    return msr == 0xc0000080 || msr == 0xc0000100 || msr == 0xc0000101; /* EFER, bases */
}

/* ---- the list ---- */

/* KVM stops at the first that it does not take: that one is left out from then on. */
static bool refuse(struct vcpu *c, const struct msr_list *l, int done)
{
    struct kvm *v = vm__kvm_of(c);

    if (done >= (int)l->nmsrs)
        return false;
    for (unsigned n = 0; n < ROWS; n++)
        if (rows[n].msr == l->e[done].index) {
            v->msr_refused |= 1u << n;
            vm__logf(&v->m->log, VM_LOG_WARN, VM_LOG_CPU, "kvm", "MSR 0x%x is not KVM's",
                     rows[n].msr);
            return true;
        }
    return false;
}

int vm__kvm_put_msrs(struct vcpu *c)
{
    struct msr_list l;
    int r;

    do {
        memset(&l, 0, sizeof l);
        for (unsigned n = 0; n < ROWS; n++)
            if (used(c, n))
                l.e[l.nmsrs++] =
                    (struct kvm_msr_entry) { .index = rows[n].msr, .data = *slot(c, n) };
        r = l.nmsrs != 0 ? vm__kvm_ioctl(vm__kvm_cpu(c), KVM_SET_MSRS, &l) : 0;
    } while (r >= 0 && refuse(c, &l, r));
    return r < 0 ? r : 0;
}

static void take(struct vcpu *c, const struct kvm_msr_entry *e)
{
    for (unsigned n = 0; n < ROWS; n++)
        if (rows[n].msr == e->index)
            *slot(c, n) = e->data;
    if (e->index == MSR_TSC) {
        struct kvm *v = vm__kvm_of(c);
        const uint64_t tsc = e->data - c->st.msr.tsc_offset;
        uint64_t seen = atomic_load(&v->tsc_seen);
        while (tsc > seen && !atomic_compare_exchange_weak(&v->tsc_seen, &seen, tsc))
            ;
    }
}

int vm__kvm_get_msrs(struct vcpu *c)
{
    struct msr_list l;
    int r;

    do {
        memset(&l, 0, sizeof l);
        for (unsigned n = 0; n < ROWS; n++)
            if (used(c, n))
                l.e[l.nmsrs++].index = rows[n].msr;
        if (vm__x86_has(c, X86_FEAT_TSC))
            l.e[l.nmsrs++].index = MSR_TSC;
        r = l.nmsrs != 0 ? vm__kvm_ioctl(vm__kvm_cpu(c), KVM_GET_MSRS, &l) : 0;
    } while (r >= 0 && refuse(c, &l, r));
    for (int n = 0; n < r; n++)
        take(c, &l.e[n]);
    return r < 0 ? r : 0;
}

/* ---- TSC ----
 *
 * KVM's TSC runs on the host's; the machine's is derived from its clock, which stands while the
 * machine does. So it is set whenever the clock has stood since, and when the guest moved it, which
 * is an exit. A busy host makes the clock wait at a deadline (core/clock.h) that KVM's TSC has
 * passed: when another engine takes over, what it is ahead goes into the offsets of all processors
 * alike, and it does not go back. So does a KVM whose TSC cannot be set, because it is software and
 * RDTSC is the host's. */

int vm__kvm_sync_tsc(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    const uint64_t offset = atomic_load(&c->cpus->m->clock->offset);

    if (!vm__x86_has(c, X86_FEAT_TSC) ||
        (k->clock_offset == offset && k->tsc_offset == c->st.msr.tsc_offset))
        return 0;
    struct msr_list l = { .nmsrs = 1, .e[0].index = MSR_TSC };
    l.e[0].data = vm__x86_tsc(c);
    const int r = vm__kvm_ioctl(k, KVM_SET_MSRS, &l);
    if (r < 0)
        return r;
    k->clock_offset = offset;
    k->tsc_offset = c->st.msr.tsc_offset;
    return 0;
}

void vm__kvm_settle_tsc(struct vcpu *c)
{
    const uint64_t soft = vm__x86_tsc(c) - c->st.msr.tsc_offset;
    const uint64_t seen = atomic_load(&vm__kvm_of(c)->tsc_seen);

    if (seen > soft)
        c->st.msr.tsc_offset += seen - soft;
}

/* ---- the filter ---- */

/* MSRs that are the project's own although KVM knows them. */
static const struct {
    uint32_t base, n;
} ours[] = {
    { 0x10, 1 }, /* TSC */
    { 0x17, 1 },
    { 0x1b, 1 }, /* PLATFORM_ID, APIC_BASE */
    { 0x3a, 2 }, /* FEATURE_CONTROL, TSC_ADJUST */
    { 0x8b, 1 },
    { 0xfe, 1 },  /* BIOS_SIGN_ID, MTRRCAP */
    { 0x10a, 1 }, /* ARCH_CAPABILITIES */
    { 0x179, 3 },
    { 0x1a0, 1 },                /* MCG_*, MISC_ENABLE */
    { 0x1d9, 1 },                /* DEBUGCTL */
    { 0x200, 0x70 },             /* MTRRs, variable and fixed */
    { 0x2ff, 1 },                /* MTRR_DEF_TYPE */
    { 0x400, 4 * X86_MC_BANKS }, /* machine-check banks */
    { 0x6e0, 1 },                /* TSC_DEADLINE */
    { 0xc0010000, 0x20 },        /* AMD: performance counters, SYSCFG, HWCR… */
};

int vm__kvm_filter_msrs(struct kvm *v)
{
    static const uint8_t none[0x80 / 8]; /* no bit set: every access is denied */
    struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_X86_USER_SPACE_MSR,
        .args[0] =
            KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER,
    };

    if (!v->caps.user_msr)
        return 0;
    for (size_t n = 0; n < VM_COUNT_OF(ours) && n < KVM_MSR_FILTER_MAX_RANGES; n++)
        f.ranges[n] = (struct kvm_msr_filter_range) {
            .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
            .nmsrs = ours[n].n,
            .base = ours[n].base,
            .bitmap = (uint8_t *)(uintptr_t)none,
        };
    const int r = vm__kvm_vm_ioctl(v, KVM_ENABLE_CAP, (uintptr_t)&cap);
    return r < 0 ? r : vm__kvm_vm_ioctl(v, KVM_X86_SET_MSR_FILTER, (uintptr_t)&f);
}
