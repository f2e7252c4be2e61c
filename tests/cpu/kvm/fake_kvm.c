/* SPDX-License-Identifier: MIT */
/**
 * @file fake_kvm.c
 * A KVM that the test makes up: see fake_kvm.h.
 */
#include "fake_kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FD = 1000000 }; /* of nothing: a stray system call would fail */

static int fake_open(void *ud, const char *path)
{
    struct fake_kvm *f = ud;
    (void)path;
    if (f->open_error != 0)
        return -f->open_error;
    return FD + (int)f->opened++;
}

static void fake_close(void *ud, int fd)
{
    struct fake_kvm *f = ud;
    (void)fd;
    f->opened--;
}

static void *fake_map(void *ud, int fd, size_t size)
{
    struct fake_kvm *f = ud;
    (void)fd;
    f->run = aligned_alloc(4096, size);
    if (f->run != NULL) {
        memset(f->run, 0, size);
        f->maps++;
    }
    return f->run;
}

static void fake_unmap(void *ud, void *at, size_t size)
{
    struct fake_kvm *f = ud;
    (void)size;
    free(at);
    f->maps--;
}

/* ---- machine ---- */

static int set_slot(struct fake_kvm *f, const struct kvm_userspace_memory_region *r)
{
    if (r->slot >= FAKE_SLOTS)
        return -EINVAL;
    if (r->memory_size != 0 && f->no_slot_at != 0 && r->guest_phys_addr == f->no_slot_at)
        return -EINVAL;
    for (unsigned n = 0; n < FAKE_SLOTS && r->memory_size != 0; n++) {
        const struct kvm_userspace_memory_region *s = &f->slot[n];
        if (n != r->slot && s->memory_size != 0 &&
            s->guest_phys_addr < r->guest_phys_addr + r->memory_size &&
            r->guest_phys_addr < s->guest_phys_addr + s->memory_size)
            return -EEXIST;
    }
    f->slot[r->slot] = *r;
    return 0;
}

static int get_dirty(struct fake_kvm *f, const struct kvm_dirty_log *l)
{
    if (l->slot >= FAKE_SLOTS || !(f->slot[l->slot].flags & KVM_MEM_LOG_DIRTY_PAGES))
        return -ENOENT;
    memcpy(l->dirty_bitmap, &f->dirty, sizeof f->dirty);
    f->dirty = 0;
    return 0;
}

static int set_bell(struct fake_kvm *f, const struct kvm_ioeventfd *b)
{
    if (!(b->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)) {
        f->bell[f->n_bells++] = *b;
        return 0;
    }
    for (unsigned n = 0; n < f->n_bells; n++)
        if (f->bell[n].addr == b->addr) {
            f->bell[n] = f->bell[--f->n_bells];
            return 0;
        }
    return -ENOENT;
}

static int set_zone(struct fake_kvm *f, const struct kvm_coalesced_mmio_zone *z, bool on)
{
    if (on) {
        f->zone[f->n_zones++] = *z;
        return 0;
    }
    for (unsigned n = 0; n < f->n_zones; n++)
        if (f->zone[n].addr == z->addr)
            f->zone[n] = f->zone[--f->n_zones];
    return 0;
}

/* ---- processor ---- */

static int set_msrs(const struct fake_kvm *f, const struct kvm_msrs *m)
{
    for (uint32_t n = 0; n < m->nmsrs; n++)
        if (f->msr_refused != 0 && m->entries[n].index == f->msr_refused)
            return (int)n;
    return (int)m->nmsrs;
}

static int set_xsave(struct fake_kvm *f, const struct kvm_xsave *x)
{
    uint64_t bv;
    memcpy(&bv, (const uint8_t *)x->region + 512, sizeof bv);
    if (f->no_avx && (bv & 4))
        return -EINVAL;
    memcpy(f->xsave, x->region, sizeof f->xsave);
    return 0;
}

static int run(struct fake_kvm *f)
{
    f->runs++;
    if (f->run->immediate_exit)
        return -EINTR;
    if (f->at_exit >= f->n_exits) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    const unsigned n = f->at_exit++;
    if (f->exit[n].error != 0)
        return -f->exit[n].error;
    f->run->exit_reason = f->exit[n].reason;
    f->run->cr8 = f->sregs.cr8;
    if (f->exit[n].act != NULL)
        f->exit[n].act(f, f->run);
    return 0;
}

static int keep(void *mine, uintptr_t theirs, size_t size, bool set)
{
    void *p = (void *)theirs;
    memcpy(set ? mine : p, set ? p : mine, size);
    return 0;
}

static int answer(struct fake_kvm *f, unsigned long request, uintptr_t arg)
{
    void *p = (void *)arg;

    switch (request) {
    case KVM_GET_API_VERSION:
        return f->api;
    case KVM_CHECK_EXTENSION:
        return arg < FAKE_CAPS ? f->caps[arg] : 0;
    case KVM_CREATE_VM:
    case KVM_CREATE_VCPU:
        return FD + (int)f->opened++;
    case KVM_GET_VCPU_MMAP_SIZE:
        return FAKE_PAGES * 4096;
    case KVM_SET_USER_MEMORY_REGION:
        return set_slot(f, p);
    case KVM_GET_DIRTY_LOG:
        return get_dirty(f, p);
    case KVM_IOEVENTFD:
        return set_bell(f, p);
    case KVM_REGISTER_COALESCED_MMIO:
        return set_zone(f, p, true);
    case KVM_UNREGISTER_COALESCED_MMIO:
        return set_zone(f, p, false);
    case KVM_SET_REGS:
        return keep(&f->regs, arg, sizeof f->regs, true);
    case KVM_GET_REGS:
        return keep(&f->regs, arg, sizeof f->regs, false);
    case KVM_SET_SREGS:
        return keep(&f->sregs, arg, sizeof f->sregs, true);
    case KVM_GET_SREGS:
        return keep(&f->sregs, arg, sizeof f->sregs, false);
    case KVM_SET_FPU:
        return keep(&f->fpu, arg, sizeof f->fpu, true);
    case KVM_GET_FPU:
        return keep(&f->fpu, arg, sizeof f->fpu, false);
    case KVM_SET_XSAVE:
        return set_xsave(f, p);
    case KVM_GET_XSAVE:
        return keep(&f->xsave, arg, sizeof f->xsave, false);
    case KVM_SET_VCPU_EVENTS:
        return keep(&f->events, arg, sizeof f->events, true);
    case KVM_GET_VCPU_EVENTS:
        return keep(&f->events, arg, sizeof f->events, false);
    case KVM_SET_DEBUGREGS:
        return keep(&f->debugregs, arg, sizeof f->debugregs, true);
    case KVM_GET_DEBUGREGS:
        return keep(&f->debugregs, arg, sizeof f->debugregs, false);
    case KVM_SET_XCRS:
        return keep(&f->xcrs, arg, sizeof f->xcrs, true);
    case KVM_GET_XCRS:
        return keep(&f->xcrs, arg, sizeof f->xcrs, false);
    case KVM_SET_GUEST_DEBUG:
        return keep(&f->guest_debug, arg, sizeof f->guest_debug, true);
    case KVM_SET_MSRS:
        return set_msrs(f, p);
    case KVM_GET_MSRS:
        return 0;
    case KVM_INTERRUPT:
        f->interrupts++;
        f->vector = ((struct kvm_interrupt *)p)->irq;
        return 0;
    case KVM_RUN:
        return run(f);
    case KVM_SET_CPUID2:
    case KVM_SET_SIGNAL_MASK:
    case KVM_ENABLE_CAP:
    case KVM_X86_SET_MSR_FILTER:
    case KVM_SET_IDENTITY_MAP_ADDR:
    case KVM_SET_TSS_ADDR:
        return 0;
    default:
        return -ENOTTY;
    }
}

static int fake_ioctl(void *ud, int fd, unsigned long request, uintptr_t arg)
{
    struct fake_kvm *f = ud;
    (void)fd;
    if (f->n_log < FAKE_LOG)
        f->log[f->n_log++] = request;
    if (request == f->fails && f->fail_after-- == 0) {
        f->fail_after = 0;
        return -f->error;
    }
    return answer(f, request, arg);
}

/* ---- for tests ---- */

void fake_kvm_init(struct fake_kvm *f)
{
    static const int all[] = {
        KVM_CAP_USER_MEMORY,
        KVM_CAP_EXT_CPUID,
        KVM_CAP_VCPU_EVENTS,
        KVM_CAP_IMMEDIATE_EXIT,
        KVM_CAP_READONLY_MEM,
        KVM_CAP_XSAVE,
        KVM_CAP_XCRS,
        KVM_CAP_DEBUGREGS,
        KVM_CAP_SET_GUEST_DEBUG,
        KVM_CAP_X86_USER_SPACE_MSR,
        KVM_CAP_X86_MSR_FILTER,
        KVM_CAP_EXCEPTION_PAYLOAD,
        KVM_CAP_IOEVENTFD,
        KVM_CAP_COALESCED_PIO,
    };
    memset(f, 0, sizeof *f);
    f->sys = (struct kvm_sys) { fake_open, fake_close, fake_ioctl, fake_map, fake_unmap, f };
    f->api = 12;
    for (size_t n = 0; n < sizeof all / sizeof all[0]; n++)
        f->caps[all[n]] = 1;
    f->caps[KVM_CAP_NR_MEMSLOTS] = FAKE_SLOTS;
    f->caps[KVM_CAP_COALESCED_MMIO] = 2;
}

void fake_kvm_exit(struct fake_kvm *f, uint32_t reason,
                   void (*act)(struct fake_kvm *f, struct kvm_run *run))
{
    f->exit[f->n_exits].reason = reason;
    f->exit[f->n_exits++].act = act;
}

void fake_kvm_run_error(struct fake_kvm *f, int error)
{
    f->exit[f->n_exits++].error = error;
}

unsigned fake_kvm_calls(const struct fake_kvm *f, unsigned long request)
{
    unsigned n = 0;
    for (unsigned k = 0; k < f->n_log; k++)
        n += f->log[k] == request;
    return n;
}
