/* SPDX-License-Identifier: MIT */
/**
 * @file engine.c
 * KVM as an engine: a virtual machine, its processors, and what it says about itself.
 *
 * Spec: [KVM KVM_CREATE_VM], [KVM KVM_CREATE_VCPU].
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/config.h"
#include "core/machine.h"
#include "cpu/interp/interp.h"
#include "cpu/kvm/kvm.h"
#include "cpu/x86/code_page.h"
#include "cpu/x86/mmu.h"

/* Pages of the guest's address space that KVM wants for itself on processors which cannot run real
 * mode; below the firmware at the top of 4 GiB, where no board puts anything. */
enum { TSS_PAGES = 0xfffbd000u, IDENTITY_PAGE = 0xfffbc000u };

static int signal_of(const struct vm_machine *m)
{
    return (int)vm__config_u64(m->config, "kvm.signal");
}

/* ---- can it run? ---- */

static int probe(const struct vm_machine *m, char *why, size_t size)
{
    struct kvm v = { .sys = &vm__kvm_host, .fd = -1, .signal = signal_of(m) };

    if (vm__config_enum(m->config, "clock.mode") == VM_CLOCK_ICOUNT) {
        (void)snprintf(why, size, "KVM does not count instructions, which clock.mode=icount needs");
        return VM_E_NOTSUP;
    }
    const int st = vm__kvm_open(&v, vm__kvm_path(m), why, size);
    if (st != VM_OK)
        return st;
    vm__kvm_close(&v);
    if (v.signal == 0 && !vm__kvm_kick_possible()) {
        (void)snprintf(why, size,
                       "io_uring is not allowed here, so that a signal is needed: offer "
                       "one with kvm.signal");
        return VM_E_NOTSUP;
    }
    return VM_OK;
}

static bool on_request(const struct vm_machine *m, char *why, size_t size)
{
    (void)m;
    if (vm__kvm_hardware())
        return false;
    (void)snprintf(why, size, "the processor shows neither VMX nor SVM, so KVM would be software");
    return true;
}

/* ---- a machine ---- */

static int failed(int err, const char *what)
{
    const int st = err == -ENOMEM ? VM_E_NOMEM : err == -EBUSY ? VM_E_BUSY : VM_E_IO;
    return vm__fail_os(st, -err, "KVM: %s", what);
}

static int make_vm(struct kvm *v)
{
    uint64_t identity = IDENTITY_PAGE;
    int r;

    do
        r = v->sys->ioctl(v->sys->ud, v->fd, KVM_CREATE_VM, 0);
    while (r == -EINTR);
    if (r < 0)
        return failed(r, "make a virtual machine");
    v->vm = r;
    /* Not every KVM knows these, and not every processor needs them. */
    (void)vm__kvm_vm_ioctl(v, KVM_SET_IDENTITY_MAP_ADDR, (uintptr_t)&identity);
    (void)vm__kvm_vm_ioctl(v, KVM_SET_TSS_ADDR, TSS_PAGES);
    if (v->caps.payload) {
        struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args[0] = 1 };
        v->caps.payload = vm__kvm_vm_ioctl(v, KVM_ENABLE_CAP, (uintptr_t)&cap) >= 0;
    }
    r = vm__kvm_filter_msrs(v);
    if (r < 0)
        return failed(r, "take MSR accesses over");
    r = v->sys->ioctl(v->sys->ud, v->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (r < (int)sizeof(struct kvm_run))
        return failed(r < 0 ? r : -EINVAL, "learn the size of a processor's shared area");
    v->run_size = (size_t)r;
    r = vm__kvm_slots_init(v);
    return r < 0 ? failed(r, "give the guest its memory") : VM_OK;
}

static void destroy(struct x86_cpus *cpus)
{
    struct kvm *v = cpus->engine_data;

    if (v == NULL)
        return;
    vm__kvm_slots_fini(v);
    if (v->vm >= 0)
        v->sys->close(v->sys->ud, v->vm);
    vm__kvm_close(v);
    free(v);
    cpus->engine_data = NULL;
}

int vm__kvm_create_on(struct x86_cpus *cpus, const struct kvm_sys *sys)
{
    struct kvm *v = calloc(1, sizeof *v);
    char why[160];

    if (v == NULL)
        return vm__fail_nomem(sizeof *v);
    v->sys = sys;
    v->m = cpus->m;
    v->fd = v->vm = -1;
    v->signal = signal_of(cpus->m);
    cpus->engine_data = v;
    int st = vm__kvm_open(v, vm__kvm_path(cpus->m), why, sizeof why);
    if (st != VM_OK)
        (void)vm__fail(st, "%s", why);
    else
        st = make_vm(v);
    if (st != VM_OK)
        destroy(cpus);
    return st;
}

static int create(struct x86_cpus *cpus)
{
    return vm__kvm_create_on(cpus, &vm__kvm_host);
}

/* ---- a processor ---- */

static void vcpu_fini(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);

    if (k != NULL) {
        vm__kvm_kick_attach(c, NULL);
        vm__kvm_kick_fini(&k->kick);
        if (k->run != NULL)
            k->kvm->sys->unmap(k->kvm->sys->ud, k->run, k->kvm->run_size);
        if (k->fd >= 0)
            k->kvm->sys->close(k->kvm->sys->ud, k->fd);
        free(k);
        c->engine_data = NULL;
    }
    if (c->cache != NULL)
        vm__interp_cache_fini(c);
}

static int make_vcpu(struct kvm *v, struct kvm_cpu *k, uint32_t index)
{
    k->fd = vm__kvm_vm_ioctl(v, KVM_CREATE_VCPU, index);
    if (k->fd < 0)
        return failed(k->fd, "make a processor");
    k->run = v->sys->map(v->sys->ud, k->fd, v->run_size);
    if (k->run == NULL)
        return failed(-errno, "map a processor's shared area");
    const int r =
        vm__kvm_kick_init(&k->kick, v->signal, v->caps.immediate_exit, &k->run->immediate_exit);
    return r < 0 ? failed(r, "make event descriptors") : VM_OK;
}

static int vcpu_init(struct vcpu *c)
{
    struct kvm *v = vm__kvm_of(c);
    struct kvm_cpu *k = NULL;
    int st = vm__interp_cache_init(c);

    if (st == VM_OK) {
        k = aligned_alloc(64,
                          (sizeof *k + 63) & ~(size_t)63); /* the copy of the state is aligned */
        st = k != NULL ? VM_OK : vm__fail_nomem(sizeof *k);
    }
    if (st == VM_OK) {
        memset(k, 0, sizeof *k);
        k->kvm = v;
        k->fd = -1;
        k->kick.event = k->kick.timer = k->kick.ring = -1;
        c->engine_data = k;
        c->cache->built = vm__kvm_decoded;
        st = make_vcpu(v, k, c->cpu.index);
    }
    if (st == VM_OK)
        vm__kvm_kick_attach(c, &k->kick);
    else
        vcpu_fini(c);
    return st;
}

/* The state is compared with KVM's on the way in, so there is nothing to note but that soft TLBs
 * and decoded code are stale. */
static void load(struct vcpu *c)
{
    vm__interp_load(c);
}

static void store(struct vcpu *c)
{
    vm__interp_store(c);
    vm__kvm_settle_tsc(c);
}

/* ---- what it says ---- */

static int info(const struct vcpu *c, char *buf, size_t size)
{
    const struct kvm_cpu *k = vm__kvm_cpu(c);
    const struct kvm *v = k->kvm;
    const struct kvm_counts *n = &k->n;

    return snprintf(buf, size,
                    "entries: %" PRIu64 "; exits: %" PRIu64 " port, %" PRIu64 " memory, %" PRIu64
                    " MSR, %" PRIu64 " HLT, %" PRIu64 " kicked\n"
                    "interrupts: %" PRIu64 ", of which waited for a window: %" PRIu64 "\n"
                    "instructions KVM gave up on: %" PRIu64 "; interpreted in all: %" PRIu64 "\n"
                    "state moved in %" PRIu64 " times, out %" PRIu64 "\n"
                    "memory slots: %u, changed %" PRIu64 " times, refused %" PRIu64 "\n"
                    "late writes: %" PRIu64 " in %u zones; events without an exit: %" PRIu64 "\n"
                    "interrupted by %s; interrupt controllers and local APIC are libvm's own\n",
                    n->runs, n->exits[KVM_EXIT_IO], n->exits[KVM_EXIT_MMIO], n->msrs,
                    n->exits[KVM_EXIT_HLT], n->exits[KVM_EXIT_INTR], n->interrupts, n->windows,
                    n->emulated, n->soft, n->entries, n->leaves, v->n_slots, v->slot_updates,
                    v->slot_refused, n->late, v->n_zones, atomic_load(&v->event_count),
                    k->kick.signal != 0 ? "a signal" : "io_uring");
}

const struct vm_engine vm__kvm_engine = {
    .name = "kvm",
    .summary = "Runs the guest on the host's processor; what KVM cannot do is interpreted",
    .hooks = true, /* the interpreter does, for as long as there are any */
    .probe = probe,
    .on_request = on_request,
    .features = vm__kvm_features,
    .create = create,
    .destroy = destroy,
    .vcpu_init = vcpu_init,
    .vcpu_fini = vcpu_fini,
    .run = vm__kvm_run,
    .load = load,
    .store = store,
    .flush = vm__interp_flush,
    .info = info,
};
