/* SPDX-License-Identifier: MIT */
/**
 * @file kvm.h
 * Inside the KVM engine: what a machine and a processor keep beside the architectural state.
 *
 * The state has one home at a time: struct x86_state, or the kernel's processor (kvm_cpu.inside).
 * vm__kvm_enter() brings over what changed since the two last agreed; vm__kvm_leave() brings
 * everything back. Local APICs and interrupt chips are the project's own and never move.
 *
 * Spec: [KVM]; cited by the headings of its sections.
 */
#ifndef LIBVM_CPU_KVM_KVM_H
#define LIBVM_CPU_KVM_KVM_H

#include <linux/kvm.h>
#include <stdatomic.h>

#include "core/address_space.h"
#include "cpu/kvm/engine.h"
#include "cpu/kvm/kick.h"
#include "cpu/kvm/sys.h"
#include "cpu/vcpu.h"

/** What this kernel offers. */
struct kvm_caps {
    bool immediate_exit, readonly_mem, xsave, xcrs, debugregs, guest_debug, sregs2;
    bool user_msr; /**< with a filter: MSRs that are ours come to user space */
    bool payload;  /**< pending exceptions are told with their payload */
    bool ioeventfd;
    bool dirty_protect; /**< the dirty log is cleared by a call of its own */
    uint32_t slots;     /**< memory slots there are */
    uint32_t coalesced; /**< page of the shared area with the ring of late writes; 0: none */
    bool coalesced_pio;
};

/** A memory slot as KVM has it. */
struct kvm_slot {
    uint64_t gpa, size;
    struct vm_ram *ram;
    uint64_t off; /**< in ram */
    uint8_t *host;
    uint32_t flags;  /**< KVM_MEM_* */
    uint64_t *dirty; /**< a bit a page, when logged: room for KVM_GET_DIRTY_LOG */
    uint32_t id;
};

/** A zone of writes that may come late. */
struct kvm_zone {
    uint64_t addr;
    uint32_t size;
    bool port;
};

struct kvm_event; /* notify.c */

/** A machine's; x86_cpus.engine_data. */
struct kvm {
    const struct kvm_sys *sys;
    struct vm_machine *m;
    int fd, vm;
    struct kvm_caps caps;
    size_t run_size;
    int signal; /**< the embedder's, for kicks; 0: none */

    struct kvm_slot *slot;
    uint32_t n_slots, slot_room;
    struct vm_mem_mirror mirror;
    uint64_t slot_updates, slot_refused;

    struct kvm_zone *zone;
    uint32_t n_zones, zone_room;
    struct kvm_event *events;
    bool ringing, stale; /**< they are not to be changed now; they have to be later */
    _Atomic uint64_t event_count;

    uint32_t msr_refused; /**< bit by row of msr.c: KVM does not take it */
    bool no_avx_state;    /**< KVM takes x87 and SSE only */
    /* TSC: the highest a processor has read, less its own offset; and how far KVM's run ahead of
     * the machine's clock. */
    _Atomic uint64_t tsc_seen;
};

struct kvm_counts {
    uint64_t runs, exits[64], interrupts, windows, emulated, bursts, entries, leaves, msrs, soft,
        late;
};

/** A processor's; vcpu.engine_data. */
struct kvm_cpu {
    struct kvm *kvm;
    int fd;
    struct kvm_run *run;
    struct kvm_kick kick;
    bool inside;       /**< the kernel's processor is the one that is up to date */
    bool told;         /**< CPUID has been set: from then on it runs */
    bool unfinished;   /**< the last exit is completed by the next KVM_RUN */
    bool fresh;        /**< no exit since it was entered: run->if_flag says nothing */
    bool stepping;     /**< guest debug: single-step */
    uint32_t n_breaks; /**< guest debug: hardware breakpoints */
    uint64_t breaks[4];
    bool mirrored; /**< mirror holds what KVM holds */
    struct x86_state mirror;
    uint64_t clock_offset, tsc_offset; /**< when KVM's TSC was last set */
    uint32_t burst; /**< instructions the interpreter does next time KVM gives up */
    uint64_t burst_at;
    struct vm_page *decoded[64]; /**< pages that the interpreter has decoded code from */
    uint32_t n_decoded;
    bool warned;
    struct kvm_counts n;
};

static inline struct kvm *vm__kvm_of(const struct vcpu *c)
{
    return c->cpus->engine_data;
}
static inline struct kvm_cpu *vm__kvm_cpu(const struct vcpu *c)
{
    return c->engine_data;
}
static inline int vm__kvm_ioctl(const struct kvm_cpu *k, unsigned long request, void *arg)
{
    const struct kvm_sys *sys = k->kvm->sys;
    return sys->ioctl(sys->ud, k->fd, request, (uintptr_t)arg);
}
static inline int vm__kvm_vm_ioctl(const struct kvm *v, unsigned long request, uintptr_t arg)
{
    return v->sys->ioctl(v->sys->ud, v->vm, request, arg);
}

/* probe.c */
/** Open the device and see what it can do. @return VM_OK, or a negative VM_E_* with one line. */
int vm__kvm_open(struct kvm *v, const char *path, char *why, size_t size);
void vm__kvm_close(struct kvm *v);
/** The device's path, by key "kvm.device". */
const char *vm__kvm_path(const struct vm_machine *m);
void vm__kvm_features(const struct vm_machine *m, uint64_t *have);
/** Does the host's processor itself say that it can run guests? */
bool vm__kvm_hardware(void);

/* slots.c */
int vm__kvm_slots_init(struct kvm *v);
void vm__kvm_slots_fini(struct kvm *v);

/* cpuid.c */
int vm__kvm_set_cpuid(struct vcpu *c);

/* state.c, fpu.c, msr.c */
/** Make the kernel's processor the one that is up to date. 0 or a negative errno value; @p what
 * then names the call. */
int vm__kvm_enter(struct vcpu *c, const char **what);
/** Make struct x86_state the one: c->mode and soft TLBs follow. */
int vm__kvm_leave(struct vcpu *c, const char **what);
int vm__kvm_put_fpu(struct vcpu *c);
int vm__kvm_get_fpu(struct vcpu *c);
bool vm__kvm_fpu_differs(const struct x86_state *a, const struct x86_state *b);
int vm__kvm_put_msrs(struct vcpu *c);
int vm__kvm_get_msrs(struct vcpu *c);
/** The processor's own MSR: KVM keeps it while the guest runs. */
bool vm__kvm_owns_msr(const struct kvm *v, uint32_t msr);
int vm__kvm_filter_msrs(struct kvm *v);
/** Set KVM's TSC if the machine's clock stood still since. */
int vm__kvm_sync_tsc(struct vcpu *c);
/** All processors stand still: the guest's TSC goes on where KVM's was. */
void vm__kvm_settle_tsc(struct vcpu *c);

/* exits.c */
/** What the last KVM_RUN came back with. @return X86_POLL_RUN, or an enum vm_cpu_stop. */
int vm__kvm_exit(struct vcpu *c, struct vm_exit *exit);
/** Carry out what is left of the last exit, so that the state can be read. */
int vm__kvm_finish(struct vcpu *c, struct vm_exit *exit);
/** Writes that were let wait. */
void vm__kvm_drain(struct vcpu *c);

/* run.c */
enum vm_cpu_stop vm__kvm_run(struct vcpu *c, uint64_t max_insns, struct vm_exit *exit);
/** Say in @p exit what cannot go on. */
enum vm_cpu_stop vm__kvm_fail(struct vm_exit *exit, int err, const char *what);

/* emulate.c */
/** KVM has given up on an instruction: do it, and perhaps some more, here. */
int vm__kvm_emulate(struct vcpu *c, struct vm_exit *exit);
/** Is there something now that only the interpreter can do? */
bool vm__kvm_needs_interp(struct vcpu *c);
int vm__kvm_interpret(struct vcpu *c, uint64_t max_insns, struct vm_exit *exit);
/** Called for every block the interpreter decodes. */
void vm__kvm_decoded(struct vcpu *c, struct x86_block *b);

/* debug.c */
/** Arm the debugger's breakpoints and single-step. 0 or a negative errno value. */
int vm__kvm_arm(struct vcpu *c, bool step);
/** Can KVM's four breakpoints stand for the debugger's? */
bool vm__kvm_breaks_fit(const struct vcpu *c);

/* notify.c */
void vm__kvm_events_update(struct kvm *v);
void vm__kvm_events_fini(struct kvm *v);
void vm__kvm_events_settle(struct kvm *v);
/* late.c */
void vm__kvm_zones_update(struct kvm *v);
void vm__kvm_zones_fini(struct kvm *v);

#endif
