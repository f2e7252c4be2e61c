/* SPDX-License-Identifier: MIT */
/**
 * @file engine.h
 * The KVM engine as others see it.
 */
#ifndef LIBVM_CPU_KVM_ENGINE_H
#define LIBVM_CPU_KVM_ENGINE_H

#include "cpu/engine.h"

struct kvm_sys;

extern const struct vm_engine vm__kvm_engine;
/** Its create(), over another KVM than the host's: for tests. */
int vm__kvm_create_on(struct x86_cpus *cpus, const struct kvm_sys *sys);

#endif
