/* SPDX-License-Identifier: MIT */
/**
 * @file models.c
 * CPU models by name, and which of their features a machine gets.
 *
 * The table gives each model what the processor of that name introduced, on top of an older one.
 * Features that no row of the instruction table implements are never shown, nor are those the
 * host cannot execute for us.
 *
 * The default, "max", has an Intel signature for two reasons of speed and steadiness: Linux then
 * takes the rates of TSC and APIC timer from leaf 15h instead of measuring them, which goes wrong on
 * a busy host; and ARCH_CAPABILITIES tells it that nothing here speculates, so that it runs
 * without page-table isolation and retpolines.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/config.h"
#include "cpu/interp/interp.h"
#include "cpu/x86/cpuid.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* clang-format off */
#define F(name) X86_FEAT_##name
static const uint8_t set_486[] = { F(FPU), F(VME), 0 };
static const uint8_t set_pentium[] = {
    F(DE), F(PSE), F(TSC), F(MSR), F(MCE), F(CX8), F(APIC), 0
};
static const uint8_t set_pentium3[] = {
    F(PAE), F(SEP), F(MTRR), F(PGE), F(MCA), F(CMOV), F(PAT), F(PSE36), F(MMX), F(FXSR), F(SSE), 0
};
/* What every 64-bit processor has. */
static const uint8_t set_x64[] = {
    F(SSE2), F(CLFSH), F(SYSCALL), F(NX), F(LM), F(SSE3), F(CX16), F(LAHF64), 0
};
static const uint8_t set_core2[] = { F(SS), F(SSSE3), 0 };
static const uint8_t set_nehalem[] = { F(SSE41), F(SSE42), F(POPCNT), F(RDTSCP), F(INVTSC), 0 };
static const uint8_t set_haswell[] = {
    F(AVX), F(AVX2), F(FMA), F(F16C), F(AES), F(PCLMULQDQ), F(XSAVE), F(XSAVEOPT), F(RDRAND), F(MOVBE),
    F(BMI1), F(BMI2), F(LZCNT), F(FSGSBASE), F(SMEP), F(ERMS), F(PCID), F(INVPCID),
    F(TSC_DEADLINE), F(TSC_ADJUST), F(ARAT), 0
};
static const uint8_t set_epyc[] = {
    F(SSSE3), F(SSE41), F(SSE42), F(POPCNT), F(RDTSCP), F(INVTSC), F(AVX), F(AVX2), F(FMA), F(F16C),
    F(AES), F(PCLMULQDQ), F(XSAVE), F(XSAVEOPT), F(XSAVEC), F(XGETBV1), F(RDRAND), F(RDSEED),
    F(MOVBE), F(BMI1), F(BMI2), F(LZCNT), F(ADX), F(FSGSBASE), F(SMEP), F(SMAP), F(UMIP), F(SHA),
    F(CLFLUSHOPT), F(CLWB), F(RDPID), F(3DNOWPREFETCH), F(MMXEXT), F(ARAT), 0
};
/* What a hypervisor adds to any model that can hold it. */
static const uint8_t set_virtual[] = { F(HYPERVISOR), F(X2APIC), F(TSC_DEADLINE), 0 };
static const uint8_t set_max[] = {
    F(SS), F(PCID), F(INVPCID), F(ERMS), F(FSRM), F(TSC_DEADLINE), F(TSC_ADJUST), F(X2APIC), F(GFNI),
    F(VAES), F(VPCLMULQDQ), F(XSAVES), F(WBNOINVD), F(SPEC_CTRL), F(ARCH_CAP), 0
};
#undef F

/* A model's ancestry: sets, oldest first. */
struct entry {
    struct x86_model m;
    const uint8_t *sets[8];
    bool host; /* vendor and signature are the host's */
};
static const struct entry entries[] = {
    { { "max", "everything this host and engine can run", "libvm virtual CPU (max)",
        X86_VENDOR_AMD, 15, 107, 1, 0x16, 0x8000001f},
      { set_486, set_pentium, set_pentium3, set_x64, set_epyc, set_max, set_virtual }, false },
    { { "host", "the same, under the host's name", "libvm virtual CPU (host)",
        X86_VENDOR_AMD, 15, 107, 1, 0x16, 0x8000001f},
      { set_486, set_pentium, set_pentium3, set_x64, set_epyc, set_max, set_virtual }, true },
    { { "qemu64", "a plain 64-bit processor", "libvm virtual CPU",
        X86_VENDOR_AMD, 15, 107, 1, 0xd, 0x8000000a},
      { set_486, set_pentium, set_pentium3, set_x64, set_virtual }, false },
    { { "486", "Intel 486DX", "Intel 486DX",
        X86_VENDOR_INTEL, 4, 8, 0, 1, 0},
      { set_486 }, false },
    { { "pentium", "Intel Pentium", "Intel Pentium",
        X86_VENDOR_INTEL, 5, 4, 3, 1, 0},
      { set_486, set_pentium }, false },
    { { "pentium3", "Intel Pentium III", "Intel Pentium III",
        X86_VENDOR_INTEL, 6, 8, 3, 2, 0},
      { set_486, set_pentium, set_pentium3 }, false },
    { { "core2duo", "Intel Core 2 Duo", "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz",
        X86_VENDOR_INTEL, 6, 15, 11, 0xa, 0x80000008},
      { set_486, set_pentium, set_pentium3, set_x64, set_core2, set_virtual }, false },
    { { "nehalem", "Intel Xeon, Nehalem", "Intel Core i7 9xx (Nehalem Class Core i7)",
        X86_VENDOR_INTEL, 6, 26, 3, 0xb, 0x80000008},
      { set_486, set_pentium, set_pentium3, set_x64, set_core2, set_nehalem, set_virtual }, false },
    { { "haswell", "Intel Xeon, Haswell", "Intel Core Processor (Haswell)",
        X86_VENDOR_INTEL, 6, 60, 4, 0x16, 0x80000008},
      { set_486, set_pentium, set_pentium3, set_x64, set_core2, set_nehalem, set_haswell, set_virtual },
      false },
    { { "epyc", "AMD EPYC, first generation", "AMD EPYC Processor",
        X86_VENDOR_AMD, 23, 1, 2, 0xd, 0x8000001f},
      { set_486, set_pentium, set_pentium3, set_x64, set_epyc, set_virtual }, false },
};

/* A feature makes no sense without the other [SDM-1 §13, §14.3], [SDM-2A CPUID]. */
static const struct { uint8_t feature, needs; } requires[] = {
    { X86_FEAT_SSE, X86_FEAT_FXSR }, { X86_FEAT_SSE2, X86_FEAT_SSE },
    { X86_FEAT_SSE3, X86_FEAT_SSE2 }, { X86_FEAT_SSSE3, X86_FEAT_SSE3 },
    { X86_FEAT_SSE41, X86_FEAT_SSSE3 }, { X86_FEAT_SSE42, X86_FEAT_SSE41 },
    { X86_FEAT_AES, X86_FEAT_SSE2 }, { X86_FEAT_PCLMULQDQ, X86_FEAT_SSE2 },
    { X86_FEAT_SHA, X86_FEAT_SSE41 }, { X86_FEAT_GFNI, X86_FEAT_SSE2 },
    { X86_FEAT_XSAVE, X86_FEAT_SSE2 }, { X86_FEAT_XSAVEOPT, X86_FEAT_XSAVE },
    { X86_FEAT_XSAVEC, X86_FEAT_XSAVE }, { X86_FEAT_XGETBV1, X86_FEAT_XSAVE },
    { X86_FEAT_XSAVES, X86_FEAT_XSAVEC }, { X86_FEAT_AVX, X86_FEAT_XSAVE },
    { X86_FEAT_AVX, X86_FEAT_SSE42 }, { X86_FEAT_AVX2, X86_FEAT_AVX },
    { X86_FEAT_FMA, X86_FEAT_AVX }, { X86_FEAT_F16C, X86_FEAT_AVX },
    { X86_FEAT_VAES, X86_FEAT_AVX2 }, { X86_FEAT_VAES, X86_FEAT_AES },
    { X86_FEAT_VPCLMULQDQ, X86_FEAT_AVX2 }, { X86_FEAT_VPCLMULQDQ, X86_FEAT_PCLMULQDQ },
    { X86_FEAT_X2APIC, X86_FEAT_APIC }, { X86_FEAT_TSC_DEADLINE, X86_FEAT_APIC },
    { X86_FEAT_TSC_DEADLINE, X86_FEAT_TSC }, { X86_FEAT_ARAT, X86_FEAT_APIC },
    { X86_FEAT_RDTSCP, X86_FEAT_TSC }, { X86_FEAT_TSC_ADJUST, X86_FEAT_TSC },
    { X86_FEAT_NX, X86_FEAT_PAE }, { X86_FEAT_LM, X86_FEAT_PAE }, { X86_FEAT_LM, X86_FEAT_SYSCALL },
    { X86_FEAT_PCID, X86_FEAT_LM }, { X86_FEAT_INVPCID, X86_FEAT_LM },
    { X86_FEAT_FSGSBASE, X86_FEAT_LM }, { X86_FEAT_CX16, X86_FEAT_LM },
};
/* Features of the system that are complete without a row of the instruction table. */
static const uint8_t rowless[] = {
    X86_FEAT_VME, X86_FEAT_DE, X86_FEAT_PSE, X86_FEAT_PAE, X86_FEAT_MCE, X86_FEAT_APIC, X86_FEAT_MTRR,
    X86_FEAT_PGE, X86_FEAT_MCA, X86_FEAT_PAT, X86_FEAT_PSE36, X86_FEAT_SS, X86_FEAT_HTT, X86_FEAT_PCID,
    X86_FEAT_X2APIC, X86_FEAT_TSC_DEADLINE, X86_FEAT_HYPERVISOR, X86_FEAT_ARAT, X86_FEAT_TSC_ADJUST,
    X86_FEAT_SMEP, X86_FEAT_ERMS, X86_FEAT_FSRM, X86_FEAT_UMIP, X86_FEAT_NX, X86_FEAT_LM,
    X86_FEAT_XGETBV1, X86_FEAT_INVTSC, X86_FEAT_MMXEXT, X86_FEAT_3DNOWPREFETCH, X86_FEAT_WBNOINVD,
    X86_FEAT_SPEC_CTRL, X86_FEAT_ARCH_CAP,
};
/* clang-format on */

static void add(uint64_t *have, unsigned f)
{
    have[f / 64] |= UINT64_C(1) << (f % 64);
}
static void drop(uint64_t *have, unsigned f)
{
    have[f / 64] &= ~(UINT64_C(1) << (f % 64));
}

const struct x86_model *vm__x86_model_at(uint32_t i)
{
    return i < VM_COUNT_OF(entries) ? &entries[i].m : NULL;
}

/* ---- what can be shown at all ---- */

static void implemented(const struct x86_cpus *s, uint64_t *can)
{
    memset(can, 0, X86_FEAT_WORDS * sizeof *can);
    for (unsigned k = 0; k < VM_COUNT_OF(rowless); k++)
        add(can, rowless[k]);
    for (unsigned r = 0; r < vm__x86_row_count; r++)
        if (vm__x86_rows[r].feature != X86_FEAT_NONE)
            add(can, vm__x86_rows[r].feature);
    vm__x86_limit_to_engines(s, can);
    drop(can, X86_FEAT_NONE);
}

static void settle(uint64_t *have)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (unsigned k = 0; k < VM_COUNT_OF(requires); k++)
            if (vm__x86_have(have, requires[k].feature) && !vm__x86_have(have, requires[k].needs)) {
                drop(have, requires[k].feature);
                changed = true;
            }
    }
}

/* ---- names ---- */

/* Letters and digits only, in lower case: "SSE4.2", "sse4_2" and "sse42" are one name. */
static void plain(const char *in, size_t len, char *out, size_t size)
{
    size_t n = 0;

    for (size_t k = 0; k < len && n + 1 < size; k++)
        if (isalnum((unsigned char)in[k]))
            out[n++] = (char)tolower((unsigned char)in[k]);
    out[n] = '\0';
}

static unsigned feature_by_name(const char *name, size_t len)
{
    char want[32], has[32];

    plain(name, len, want, sizeof want);
    for (unsigned f = 1; f < X86_FEAT_COUNT; f++) {
        plain(vm__x86_features[f].name, strlen(vm__x86_features[f].name), has, sizeof has);
        if (strcmp(want, has) == 0)
            return f;
    }
    return X86_FEAT_NONE;
}

static const char *next_feature(const void *ud, uint32_t i)
{
    (void)ud;
    return i + 1 < X86_FEAT_COUNT ? vm__x86_features[i + 1].name : NULL;
}

static const char *next_model(const void *ud, uint32_t i)
{
    (void)ud;
    return i < VM_COUNT_OF(entries) ? entries[i].m.name : NULL;
}

/* One "+name", "-name", "name=on" or "name=off". */
static int toggle(uint64_t *have, const char *word, size_t len)
{
    bool on = true;

    if (len > 0 && (*word == '+' || *word == '-')) {
        on = *word == '+';
        word++;
        len--;
    } else if (len > 3 && memcmp(word + len - 3, "=on", 3) == 0) {
        len -= 3;
    } else if (len > 4 && memcmp(word + len - 4, "=off", 4) == 0) {
        on = false;
        len -= 4;
    }
    unsigned f = feature_by_name(word, len);
    if (f == X86_FEAT_NONE) {
        char name[32], upper[32];
        snprintf(name, sizeof name, "%.*s", (int)(len < 31 ? len : 31), word);
        for (size_t k = 0; k < sizeof upper; k++)
            upper[k] = (char)toupper((unsigned char)name[k]);
        const char *near = vm__nearest(upper, next_feature, NULL);
        return vm__fail(VM_E_NOENT, "no CPU feature '%s'%s%s%s", name,
                        near != NULL ? " (did you mean " : "", near != NULL ? near : "",
                        near != NULL ? "?)" : "");
    }
    if (on)
        add(have, f);
    else
        drop(have, f);
    return VM_OK;
}

/* "vendor=…", "family=…", "model=…", "stepping=…", "level=…": changes of the signature. */
static bool identity(struct x86_model *m, const char *word, size_t len, int *st)
{
    static const char *const numbers[] = { "family=", "model=", "stepping=", "level=" };
    char text[32];
    uint64_t v;

    *st = VM_OK;
    if (len >= sizeof text)
        return false;
    memcpy(text, word, len);
    text[len] = '\0';
    if (strncmp(text, "vendor=", 7) == 0) {
        if (strcmp(text + 7, "GenuineIntel") == 0)
            m->vendor = X86_VENDOR_INTEL;
        else if (strcmp(text + 7, "AuthenticAMD") == 0)
            m->vendor = X86_VENDOR_AMD;
        else
            *st = vm__fail(VM_E_INVAL, "CPU vendor is GenuineIntel or AuthenticAMD, not '%s'", text + 7);
        return true;
    }
    for (unsigned k = 0; k < VM_COUNT_OF(numbers); k++) {
        size_t n = strlen(numbers[k]);
        if (strncmp(text, numbers[k], n) != 0)
            continue;
        if (vm__parse_u64(text + n, false, &v) != VM_OK || v > (k == 2 ? 15 : 255)) {
            *st = vm__fail(VM_E_INVAL, "CPU %.*s cannot be '%s'", (int)n - 1, text, text + n);
            return true;
        }
        switch (k) {
        case 0: m->family = (uint8_t)v; break;
        case 1: m->model = (uint8_t)v; break;
        case 2: m->stepping = (uint8_t)v; break;
        default: m->level = (uint32_t)v; break;
        }
        return true;
    }
    return false;
}

static int toggles(struct x86_model *m, uint64_t *have, const char *text)
{
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, ",");
        int st = VM_OK;
        if (len > 0 && !identity(m, text, len, &st))
            st = toggle(have, text, len);
        if (st != VM_OK)
            return st;
        text += len;
        if (*text == ',')
            text++;
    }
    return VM_OK;
}

/* ---- the host's own name ---- */

#if defined(__x86_64__)
static void take_host_identity(struct x86_cpus *s)
{
    struct x86_model *m = s->own_model;
    unsigned a, b, c, d;

    if (!__get_cpuid(0, &a, &b, &c, &d))
        return;
    m->vendor = b == 0x756e6547 ? X86_VENDOR_INTEL : X86_VENDOR_AMD;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        unsigned family = a >> 8 & 15;
        m->stepping = a & 15;
        m->model = (uint8_t)((a >> 4 & 15) | (family == 6 || family == 15 ? a >> 12 & 0xf0 : 0));
        m->family = (uint8_t)(family == 15 ? family + (a >> 20 & 0xff) : family);
    }
    m->xlevel = m->vendor == X86_VENDOR_INTEL ? 0x80000008 : 0x8000001f;
}
#else
static void take_host_identity(struct x86_cpus *s)
{
    (void)s;
}
#endif

int vm__x86_choose_model(struct x86_cpus *s, const char *spec, const char *features)
{
    const struct entry *e = &entries[0];
    uint64_t can[X86_FEAT_WORDS];
    size_t len = spec != NULL ? strcspn(spec, ",") : 0;

    if (len > 0) {
        char name[32];
        for (e = entries; e < entries + VM_COUNT_OF(entries); e++)
            if (strlen(e->m.name) == len && strncasecmp(e->m.name, spec, len) == 0)
                break;
        if (e == entries + VM_COUNT_OF(entries)) {
            snprintf(name, sizeof name, "%.*s", (int)(len < 31 ? len : 31), spec);
            const char *near = vm__nearest(name, next_model, NULL);
            return vm__fail(VM_E_NOENT, "no CPU model '%s'%s%s%s", name,
                            near != NULL ? " (did you mean " : "", near != NULL ? near : "",
                            near != NULL ? "?)" : "");
        }
    }
    *s->own_model = e->m;
    s->model = s->own_model;
    memset(s->have, 0, sizeof s->have);
    for (unsigned k = 0; k < VM_COUNT_OF(e->sets) && e->sets[k] != NULL; k++)
        for (const uint8_t *f = e->sets[k]; *f != X86_FEAT_NONE; f++)
            add(s->have, *f);
    if (e->host)
        take_host_identity(s);
    int st = toggles(s->own_model, s->have, spec != NULL && spec[len] == ',' ? spec + len + 1 : NULL);
    if (st == VM_OK)
        st = toggles(s->own_model, s->have, features);
    if (st != VM_OK)
        return st;
    implemented(s, can);
    for (unsigned w = 0; w < X86_FEAT_WORDS; w++)
        s->have[w] &= can[w];
    settle(s->have);
    return VM_OK;
}

int vm__x86_list_models(int (*fn)(void *ud, const char *name, const char *summary), void *ud)
{
    int st = VM_OK;
    for (const struct entry *e = entries; st == VM_OK && e < entries + VM_COUNT_OF(entries); e++)
        st = fn(ud, e->m.name, e->m.summary);
    return st;
}
