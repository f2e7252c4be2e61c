/* SPDX-License-Identifier: MIT */
/**
 * @file debug.c
 * A debugger's breakpoints in the processor's debug registers, and single-step for exact budgets.
 *
 * KVM has one set of debug registers for the guest and the debugger; a guest that uses its own
 * while there are breakpoints is interpreted, and so is everything that four registers cannot hold.
 *
 * Spec: [KVM KVM_SET_GUEST_DEBUG], [SDM-3B §17.2.4] (DR7).
 */
#include <string.h>

#include "core/machine.h"
#include "cpu/kvm/kvm.h"

enum { REGS = 4 };

bool vm__kvm_breaks_fit(const struct vcpu *c)
{
    const struct vm_debug *d = &c->cpus->m->debug;

    if (d->n_breaks == 0)
        return true;
    return vm__kvm_of(c)->caps.guest_debug && d->n_breaks <= REGS && !(c->st.dr[7] & 0xff);
}

static bool is_armed(const struct kvm_cpu *k, const struct vm_debug *d, bool step)
{
    return k->stepping == step && k->n_breaks == d->n_breaks &&
           (d->n_breaks == 0 ||
            memcmp(k->breaks, d->breaks, d->n_breaks * sizeof k->breaks[0]) == 0);
}

int vm__kvm_arm(struct vcpu *c, bool step)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    const struct vm_debug *d = &c->cpus->m->debug;
    struct kvm_guest_debug g = { 0 };

    if (is_armed(k, d, step))
        return 0;
    if (step)
        g.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
    if (d->n_breaks != 0)
        g.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    g.arch.debugreg[7] = 0x400;
    for (uint32_t n = 0; n < d->n_breaks && n < REGS; n++) {
        g.arch.debugreg[n] = d->breaks[n];
        g.arch.debugreg[7] |= UINT64_C(2) << (2 * n); /* global, execute, one byte */
        k->breaks[n] = d->breaks[n];
    }
    const int err = vm__kvm_ioctl(k, KVM_SET_GUEST_DEBUG, &g);
    if (err < 0)
        return err;
    k->stepping = step;
    k->n_breaks = d->n_breaks;
    return 0;
}
