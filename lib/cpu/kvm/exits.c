/* SPDX-License-Identifier: MIT */
/**
 * @file exits.c
 * What KVM_RUN comes back with.
 *
 * Spec: [KVM kvm_run].
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "core/machine.h"
#include "cpu/kvm/kvm.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/msr.h"

/* ---- ports and memory ---- */

/* The data area of a string of accesses lies in the shared mapping; what the kernel says of it is
 * still bounded by that mapping. */
static void port_exit(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    struct kvm_run *run = k->run;
    const uint32_t size = run->io.size, count = run->io.count;
    const uint64_t at = run->io.data_offset;

    if ((size != 1 && size != 2 && size != 4) || at > k->kvm->run_size ||
        count > (k->kvm->run_size - at) / size)
        return;
    uint8_t *p = (uint8_t *)run + at;
    for (uint32_t n = 0; n < count; n++, p += size) {
        if (run->io.direction == KVM_EXIT_IO_OUT)
            vm__port_write(c->cpus->m, run->io.port, size, (uint32_t)vm_le_n(p, size));
        else
            vm_put_le_n(p, size, vm__port_read(c->cpus->m, run->io.port, size));
    }
}

/* The local APIC's page, with the rules of [SDM-3A §11.4.1]. */
static void apic_access(struct vcpu *c, uint64_t gpa, uint8_t *data, uint32_t len, bool write)
{
    if (!write) {
        const uint64_t v = (uint64_t)vm__x86_lapic_read(c, gpa & 0xffc) >> (8 * (gpa & 3));
        memcpy(data, &v, len);
    } else if ((gpa & 3) == 0 && len >= 4) {
        vm__x86_lapic_write(c, gpa & 0xffc, vm_le32(data));
    }
}

static unsigned piece(uint32_t len)
{
    return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
}

static void mmio_exit(struct vcpu *c)
{
    struct kvm_run *run = vm__kvm_cpu(c)->run;
    uint64_t gpa = run->mmio.phys_addr;
    uint8_t *data = run->mmio.data;
    uint32_t left = run->mmio.len <= 8 ? run->mmio.len : 8;

    if (vm__x86_lapic_claims(c, gpa)) {
        apic_access(c, gpa, data, left, run->mmio.is_write);
        return;
    }
    for (unsigned n; left != 0; gpa += n, data += n, left -= n) {
        n = piece(left);
        if (run->mmio.is_write) {
            vm__mmio_write(c->cpus->m, VM_VIEW_NORMAL, gpa, n, vm_le_n(data, n));
        } else {
            const uint64_t v = vm__mmio_read(c->cpus->m, VM_VIEW_NORMAL, gpa, n);
            memcpy(data, &v, n);
        }
    }
}

/* ---- MSRs ---- */

/* One that KVM keeps comes here only when it found the value wrong. */
static void msr_exit(struct vcpu *c, bool write)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    struct kvm_run *run = k->run;
    uint64_t v = run->msr.data;
    bool ok = !vm__kvm_owns_msr(k->kvm, run->msr.index);

    k->n.msrs++;
    if (ok)
        ok = write ? vm__x86_wrmsr(c, run->msr.index, v) : vm__x86_rdmsr(c, run->msr.index, &v);
    run->msr.error = !ok;
    if (ok && !write)
        run->msr.data = v;
    /* RDTSC must agree with what was written, at once. */
    if (ok && write && c->st.msr.tsc_offset != k->tsc_offset)
        (void)vm__kvm_sync_tsc(c);
}

/* ---- the rest ---- */

static int leave(struct vcpu *c, struct vm_exit *exit)
{
    const char *what = "";
    const int err = vm__kvm_leave(c, &what);
    return err < 0 ? (int)vm__kvm_fail(exit, err, what) : X86_POLL_RUN;
}

static int shutdown_exit(struct vcpu *c, struct vm_exit *exit)
{
    const int stop = leave(c, exit);

    if (stop != X86_POLL_RUN)
        return stop;
    memset(&c->st.event, 0, sizeof c->st.event);
    c->st.activity = X86_STOPPED;
    return VM_CPU_SHUTDOWN;
}

static int debug_exit(struct vcpu *c, struct vm_exit *exit)
{
    const struct kvm_cpu *k = vm__kvm_cpu(c);

    if (k->n_breaks == 0 || !(k->run->debug.arch.dr6 & 15))
        return X86_POLL_RUN; /* a step */
    const int stop = leave(c, exit);
    if (stop != X86_POLL_RUN)
        return stop;
    (void)vm__x86_debug_break_here(c);
    return X86_POLL_RUN;
}

static int entry_failure(const struct kvm_cpu *k, struct vm_exit *exit)
{
    exit->code = VM_E_GUEST;
    (void)snprintf(exit->text, sizeof exit->text,
                   "KVM: the processor refuses the guest's state (reason 0x%" PRIx64 ")",
                   (uint64_t)k->run->fail_entry.hardware_entry_failure_reason);
    return VM_CPU_ERROR;
}

static int unknown(const struct kvm_cpu *k, struct vm_exit *exit)
{
    exit->code = VM_E_NOTSUP;
    (void)snprintf(exit->text, sizeof exit->text, "KVM: exit %u, which nobody knows",
                   k->run->exit_reason);
    return VM_CPU_ERROR;
}

int vm__kvm_exit(struct vcpu *c, struct vm_exit *exit)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    const uint32_t reason = k->run->exit_reason;

    k->n.exits[reason < 64 ? reason : 0]++;
    switch (reason) {
    case KVM_EXIT_IO:
        k->unfinished = true;
        port_exit(c);
        return X86_POLL_RUN;
    case KVM_EXIT_MMIO:
        k->unfinished = true;
        mmio_exit(c);
        return X86_POLL_RUN;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        k->unfinished = true;
        msr_exit(c, reason == KVM_EXIT_X86_WRMSR);
        return X86_POLL_RUN;
    case KVM_EXIT_HLT:
        c->st.activity = X86_HALTED;
        return X86_POLL_RUN;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        k->n.windows++;
        x86_recheck(c);
        return X86_POLL_RUN;
    case KVM_EXIT_SET_TPR: /* tpr_out() has seen it */
    case KVM_EXIT_INTR:
        return X86_POLL_RUN;
    case KVM_EXIT_SHUTDOWN:
        return shutdown_exit(c, exit);
    case KVM_EXIT_DEBUG:
        return debug_exit(c, exit);
    case KVM_EXIT_INTERNAL_ERROR:
        return vm__kvm_emulate(c, exit);
    case KVM_EXIT_FAIL_ENTRY:
        return entry_failure(k, exit);
    default:
        return unknown(k, exit);
    }
}

/* KVM completes an access when it is entered again: entered with immediate_exit it does nothing
 * else [KVM kvm_run]. A further piece of the same access may come out of that. */
int vm__kvm_finish(struct vcpu *c, struct vm_exit *exit)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);

    while (k->unfinished) {
        vm__kvm_kick_self(&k->kick);
        k->unfinished = false;
        const int r = vm__kvm_ioctl(k, KVM_RUN, NULL);
        if (r == -EINTR || r == -EAGAIN) {
            vm__kvm_kick_consume(&k->kick);
            return X86_POLL_RUN;
        }
        if (r < 0)
            return (int)vm__kvm_fail(exit, r, "KVM_RUN");
        const int stop = vm__kvm_exit(c, exit);
        if (stop != X86_POLL_RUN || !k->inside)
            return stop;
    }
    return X86_POLL_RUN;
}
