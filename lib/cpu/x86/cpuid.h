/* SPDX-License-Identifier: MIT */
/**
 * @file cpuid.h
 * CPU models and what CPUID says.
 *
 * A model is a vendor, a signature, and a set of features; what a machine shows is that set, with
 * the user's changes, cut down to what every engine of its list can run on this host. It is fixed when the
 * machine is built.
 */
#ifndef LIBVM_CPU_X86_CPUID_H
#define LIBVM_CPU_X86_CPUID_H

#include "cpu/vcpu.h"

enum x86_vendor { X86_VENDOR_INTEL, X86_VENDOR_AMD };

struct x86_model {
    const char *name;
    const char *summary;
    const char *brand;  /**< CPUID 8000_0002h…, at most 47 characters */
    uint8_t vendor;     /**< enum x86_vendor */
    uint8_t family;     /**< extended part added */
    uint8_t model;
    uint8_t stepping;
    uint32_t level;     /**< highest basic leaf */
    uint32_t xlevel;    /**< highest extended leaf; 0: none */
};

/** By index; NULL after the last. The first is the default. */
const struct x86_model *vm__x86_model_at(uint32_t i);

/**
 * Choose the model and settle the feature set: cpus->model and cpus->have.
 *
 * @param spec     "haswell", "max,-avx2,+sse4.2"; NULL: the default
 * @param features more of "+name,-name"; may be NULL
 * @retval VM_E_NOENT no such model or feature; the message names the nearest
 */
int vm__x86_choose_model(struct x86_cpus *cpus, const char *spec, const char *features);
/** Name every model. */
int vm__x86_list_models(int (*fn)(void *ud, const char *name, const char *summary), void *ud);

/** CPUID for processor @p c: EAX, EBX, ECX, EDX. */
void vm__x86_cpuid(struct vcpu *c, uint32_t leaf, uint32_t sub, uint32_t r[4]);

static inline bool vm__x86_is_amd(const struct x86_cpus *s)
{
    return s->model->vendor == X86_VENDOR_AMD;
}

/** IA32_BIOS_SIGN_ID. */
static inline uint64_t vm__x86_microcode(const struct x86_cpus *s)
{
    return vm__x86_is_amd(s) ? UINT64_C(0x01000065) : UINT64_C(0x100000000);
}

#endif
