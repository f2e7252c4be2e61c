/* SPDX-License-Identifier: MIT */
/**
 * @file fake_kvm.h
 * A KVM that the test makes up: capabilities that are there or not, calls that fail, exits that
 * come in the order the test gives. It runs nothing; what is set can be read back.
 */
#ifndef LIBVM_TESTS_FAKE_KVM_H
#define LIBVM_TESTS_FAKE_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/kvm/sys.h"

enum { FAKE_CAPS = 256, FAKE_PAGES = 3, FAKE_SLOTS = 64, FAKE_EXITS = 32, FAKE_LOG = 4096 };

struct fake_kvm {
    struct kvm_sys sys;
    int caps[FAKE_CAPS];
    int open_error;       /**< errno of open(); 0: it works */
    int api;              /**< KVM_GET_API_VERSION */
    unsigned long fails;  /**< this request fails */
    int error;            /**< with this errno */
    unsigned fail_after;  /**< calls of it that still work */
    uint32_t msr_refused; /**< KVM_SET_MSRS stops there */
    bool no_avx;          /**< KVM_SET_XSAVE refuses AVX state */
    uint32_t no_slot_at;  /**< KVM_SET_USER_MEMORY_REGION refuses this address */

    /* What KVM_RUN does, one entry a call; after the last one: HLT. */
    struct {
        int error; /**< errno; 0: an exit */
        void (*act)(struct fake_kvm *f, struct kvm_run *run);
        uint32_t reason;
    } exit[FAKE_EXITS];
    unsigned n_exits, at_exit, runs;

    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    uint8_t xsave[4096];
    struct kvm_vcpu_events events;
    struct kvm_debugregs debugregs;
    struct kvm_xcrs xcrs;
    struct kvm_guest_debug guest_debug;
    struct kvm_userspace_memory_region slot[FAKE_SLOTS];
    struct kvm_ioeventfd bell[8];
    unsigned n_bells;
    struct kvm_coalesced_mmio_zone zone[8];
    unsigned n_zones;
    unsigned interrupts;
    uint32_t vector; /**< of the last KVM_INTERRUPT */
    uint64_t dirty;  /**< first word of the next dirty log */

    struct kvm_run *run;
    unsigned opened, maps;       /**< not closed, not unmapped */
    unsigned long log[FAKE_LOG]; /**< requests, in order */
    unsigned n_log;
};

/** All that the engine uses is there. */
void fake_kvm_init(struct fake_kvm *f);
/** KVM_RUN comes back once more, with this reason; @p act fills in the rest, or NULL. */
void fake_kvm_exit(struct fake_kvm *f, uint32_t reason,
                   void (*act)(struct fake_kvm *f, struct kvm_run *run));
void fake_kvm_run_error(struct fake_kvm *f, int error);
unsigned fake_kvm_calls(const struct fake_kvm *f, unsigned long request);

#endif
