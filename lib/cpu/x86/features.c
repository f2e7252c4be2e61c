/* SPDX-License-Identifier: MIT */
#include "cpu/x86/feature.h"

const struct x86_feature_desc vm__x86_features[X86_FEAT_COUNT] = {
    [X86_FEAT_NONE] = { "none", 0, 0, 0, 0 },
#define X(name, leaf, sub, reg, bit) [X86_FEAT_##name] = { #name, leaf, sub, reg, bit },
#include "cpu/x86/feature.def"
#undef X
};
