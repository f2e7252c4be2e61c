/* SPDX-License-Identifier: MIT */
/**
 * @file host_features.c
 * Which vector features of a guest this host can execute.
 *
 * Handlers of a feature are compiled for the host instructions they are made of, so a host that
 * lacks those must not show the feature. AVX and AVX2 are made of SSE4.1; FMA and F16C are encoded
 * with VEX only, which also takes an operating system that saves the upper halves.
 */
#include "cpu/interp/interp.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo | (uint64_t)hi << 32;
}

static bool host_has(enum x86_feature f)
{
    const struct x86_feature_desc *d = &vm__x86_features[f];
    unsigned r[4];

    if (!__get_cpuid_count(d->leaf, d->subleaf, &r[0], &r[1], &r[2], &r[3]))
        return false;
    return r[d->reg] >> d->bit & 1;
}

static bool host_has_vex(void)
{
    unsigned a, b, cx, dx;
    enum { OSXSAVE = 1u << 27, AVX = 1u << 28 };

    if (!__get_cpuid(1, &a, &b, &cx, &dx) || (cx & (OSXSAVE | AVX)) != (OSXSAVE | AVX))
        return false;
    return (xcr0() & 6) == 6;
}
#else
static bool host_has(enum x86_feature f)
{
    (void)f;
    return false;
}

static bool host_has_vex(void)
{
    return false;
}
#endif

/* A feature, and what its handlers execute. */
static const struct {
    uint8_t feature, needs;
} needs[] = {
    { X86_FEAT_SSE, X86_FEAT_SSE },
    { X86_FEAT_SSE2, X86_FEAT_SSE2 },
    { X86_FEAT_SSE3, X86_FEAT_SSE3 },
    { X86_FEAT_SSSE3, X86_FEAT_SSSE3 },
    { X86_FEAT_SSE41, X86_FEAT_SSE41 },
    { X86_FEAT_SSE42, X86_FEAT_SSE42 },
    { X86_FEAT_AES, X86_FEAT_AES },
    { X86_FEAT_VAES, X86_FEAT_AES },
    { X86_FEAT_PCLMULQDQ, X86_FEAT_PCLMULQDQ },
    { X86_FEAT_VPCLMULQDQ, X86_FEAT_PCLMULQDQ },
    { X86_FEAT_SHA, X86_FEAT_SHA },
    { X86_FEAT_GFNI, X86_FEAT_GFNI },
    { X86_FEAT_AVX, X86_FEAT_SSE42 },
    { X86_FEAT_AVX2, X86_FEAT_SSE42 },
    { X86_FEAT_FMA, X86_FEAT_FMA },
    { X86_FEAT_F16C, X86_FEAT_F16C },
};

static void drop(uint64_t *have, enum x86_feature f)
{
    have[f / 64] &= ~(UINT64_C(1) << (f % 64));
}

void vm__interp_host_features(const struct vm_machine *m, uint64_t *have)
{
    (void)m;
    /* No host has these for us: there are no rows. */
    static const uint8_t none[] = { X86_FEAT_SSE4A, X86_FEAT_MISALIGNSSE };
    bool vex = host_has_vex();

    for (unsigned k = 0; k < sizeof needs / sizeof needs[0]; k++)
        if (!host_has(needs[k].needs))
            drop(have, needs[k].feature);
    for (unsigned k = 0; k < sizeof none; k++)
        drop(have, none[k]);
    if (!vex) {
        drop(have, X86_FEAT_FMA);
        drop(have, X86_FEAT_F16C);
    }
}
