/* SPDX-License-Identifier: MIT */
/**
 * @file probe.c
 * What /dev/kvm of this host can do, and what of a CPU model it can run.
 *
 * Spec: [KVM KVM_CHECK_EXTENSION], [KVM KVM_GET_SUPPORTED_CPUID].
 */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/config.h"
#include "core/machine.h"
#include "cpu/kvm/kvm.h"
#include "cpu/x86/cpuid.h"

enum { API = 12, CPUID_MAX = 1024 };

static int check(const struct kvm *v, int fd, unsigned cap)
{
    const int r = v->sys->ioctl(v->sys->ud, fd, KVM_CHECK_EXTENSION, cap);
    return r > 0 ? r : 0;
}

/* ---- opening ---- */

static int cannot_open(const char *path, int err, char *why, size_t size)
{
    switch (err) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
        (void)snprintf(why, size,
                       "there is no %s: no KVM in this kernel, or its module is not loaded", path);
        return VM_E_NOENT;
    case EACCES:
    case EPERM:
        (void)snprintf(why, size, "no permission to open %s: join its group, or ask for access",
                       path);
        return VM_E_PERM;
    case EBUSY:
        (void)snprintf(why, size, "%s is busy: another hypervisor holds the processor", path);
        return VM_E_BUSY;
    default:
        (void)snprintf(why, size, "cannot open %s: %s", path, strerror(err));
        return VM_E_IO;
    }
}

/* The one capability that nothing here works without. */
static int missing(char *why, size_t size, const char *what)
{
    (void)snprintf(why, size, "KVM of this kernel has no %s", what);
    return VM_E_NOTSUP;
}

static void find_caps(struct kvm *v)
{
    struct kvm_caps *p = &v->caps;

    p->immediate_exit = check(v, v->fd, KVM_CAP_IMMEDIATE_EXIT);
    p->readonly_mem = check(v, v->fd, KVM_CAP_READONLY_MEM);
    p->xsave = check(v, v->fd, KVM_CAP_XSAVE);
    p->xcrs = check(v, v->fd, KVM_CAP_XCRS);
    p->debugregs = check(v, v->fd, KVM_CAP_DEBUGREGS);
    p->guest_debug = check(v, v->fd, KVM_CAP_SET_GUEST_DEBUG);
    p->sregs2 = check(v, v->fd, KVM_CAP_SREGS2);
    p->user_msr =
        check(v, v->fd, KVM_CAP_X86_USER_SPACE_MSR) && check(v, v->fd, KVM_CAP_X86_MSR_FILTER);
    p->payload = check(v, v->fd, KVM_CAP_EXCEPTION_PAYLOAD);
    p->ioeventfd = check(v, v->fd, KVM_CAP_IOEVENTFD);
    p->dirty_protect = check(v, v->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
    p->slots = (uint32_t)check(v, v->fd, KVM_CAP_NR_MEMSLOTS);
    if (p->slots == 0)
        p->slots = 32; /* [KVM KVM_CHECK_EXTENSION]: the number before there was a capability */
    p->coalesced = (uint32_t)check(v, v->fd, KVM_CAP_COALESCED_MMIO);
    p->coalesced_pio = p->coalesced != 0 && check(v, v->fd, KVM_CAP_COALESCED_PIO);
}

int vm__kvm_open(struct kvm *v, const char *path, char *why, size_t size)
{
    v->fd = v->sys->open(v->sys->ud, path);
    if (v->fd < 0)
        return cannot_open(path, -v->fd, why, size);
    int st = VM_OK;
    if (v->sys->ioctl(v->sys->ud, v->fd, KVM_GET_API_VERSION, 0) != API) {
        (void)snprintf(why, size, "%s does not speak KVM's interface version %d", path, API);
        st = VM_E_NOTSUP;
    } else if (!check(v, v->fd, KVM_CAP_USER_MEMORY)) {
        st = missing(why, size, "user memory");
    } else if (!check(v, v->fd, KVM_CAP_EXT_CPUID)) {
        st = missing(why, size, "CPUID");
    } else if (!check(v, v->fd, KVM_CAP_VCPU_EVENTS)) {
        st = missing(why, size, "way to see pending events");
    }
    if (st == VM_OK) {
        find_caps(v);
        if (v->signal == 0 && !v->caps.immediate_exit)
            st = missing(why, size,
                         "immediate exit, so that a signal is needed: offer one with "
                         "kvm.signal");
    }
    if (st != VM_OK)
        vm__kvm_close(v);
    return st;
}

void vm__kvm_close(struct kvm *v)
{
    if (v->fd >= 0)
        v->sys->close(v->sys->ud, v->fd);
    v->fd = -1;
}

const char *vm__kvm_path(const struct vm_machine *m)
{
    const char *path = vm__config_str(m->config, "kvm.device");
    return path != NULL && *path != '\0' ? path : "/dev/kvm";
}

bool vm__kvm_hardware(void)
{
    unsigned a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 5)) /* VMX [SDM-2A CPUID] */
        return true;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 2); /* SVM [APM3 §E.4] */
}

/* ---- features ---- */

/* Features that do not depend on KVM: they are the project's own APIC and MSRs, or say something
 * about the machine and not about instructions. */
static const uint8_t ours[] = {
    X86_FEAT_HYPERVISOR, X86_FEAT_APIC,     X86_FEAT_MTRR,   X86_FEAT_MCE,
    X86_FEAT_MCA,        X86_FEAT_ARCH_CAP, X86_FEAT_INVTSC, X86_FEAT_ARAT,
    X86_FEAT_HTT,        X86_FEAT_SS,       X86_FEAT_VME,
};
/* The same where MSRs come to user space. */
static const uint8_t by_msr[] = { X86_FEAT_X2APIC, X86_FEAT_TSC_DEADLINE, X86_FEAT_TSC_ADJUST };

static bool among(const uint8_t *list, size_t n, unsigned f)
{
    for (size_t k = 0; k < n; k++)
        if (list[k] == f)
            return true;
    return false;
}

static bool supported(const struct kvm_cpuid2 *s, const struct x86_feature_desc *d)
{
    for (uint32_t k = 0; k < s->nent; k++) {
        const struct kvm_cpuid_entry2 *e = &s->entries[k];
        const uint32_t r[4] = { e->eax, e->ebx, e->ecx, e->edx };
        if (e->function == d->leaf &&
            (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == d->subleaf))
            return r[d->reg] >> d->bit & 1;
    }
    return false;
}

static void limit(const struct kvm *v, const struct kvm_cpuid2 *s, uint64_t *have)
{
    for (unsigned f = 1; f < X86_FEAT_COUNT; f++) {
        bool keep;
        if (among(by_msr, VM_COUNT_OF(by_msr), f))
            keep = v->caps.user_msr;
        else
            keep = among(ours, VM_COUNT_OF(ours), f) || supported(s, &vm__x86_features[f]);
        if (!keep)
            have[f / 64] &= ~(UINT64_C(1) << (f % 64));
    }
}

void vm__kvm_features(const struct vm_machine *m, uint64_t *have)
{
    struct kvm v = { .sys = &vm__kvm_host, .fd = -1, .signal = -1 };
    char why[160];
    struct kvm_cpuid2 *s = calloc(1, sizeof *s + CPUID_MAX * sizeof s->entries[0]);

    if (s != NULL && vm__kvm_open(&v, vm__kvm_path(m), why, sizeof why) == VM_OK) {
        s->nent = CPUID_MAX;
        if (v.sys->ioctl(v.sys->ud, v.fd, KVM_GET_SUPPORTED_CPUID, (uintptr_t)s) < 0)
            s->nent = 0; /* shows nothing but what is ours, and create() will say why */
        limit(&v, s, have);
        vm__kvm_close(&v);
    }
    free(s);
}
