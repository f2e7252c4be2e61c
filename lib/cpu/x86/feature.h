/* SPDX-License-Identifier: MIT */
/**
 * @file feature.h
 * CPU features by number, generated from feature.def; what a CPU model has is a bit set of them.
 */
#ifndef LIBVM_CPU_X86_FEATURE_H
#define LIBVM_CPU_X86_FEATURE_H

#include <stdbool.h>
#include <stdint.h>

enum x86_feature {
    X86_FEAT_NONE = 0, /**< always present */
#define X(name, leaf, sub, reg, bit) X86_FEAT_##name,
#include "cpu/x86/feature.def"
#undef X
    X86_FEAT_COUNT
};

enum { X86_FEAT_WORDS = (X86_FEAT_COUNT + 63) / 64 };

/** Where CPUID shows a feature. */
struct x86_feature_desc {
    const char *name;
    uint32_t leaf, subleaf;
    uint8_t reg, bit;
};
extern const struct x86_feature_desc vm__x86_features[X86_FEAT_COUNT];

static inline bool vm__x86_have(const uint64_t *have, enum x86_feature f)
{
    return have[f / 64] >> (f % 64) & 1;
}

#endif
