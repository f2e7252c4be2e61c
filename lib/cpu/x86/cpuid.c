/* SPDX-License-Identifier: MIT */
/**
 * @file cpuid.c
 * What CPUID answers.
 *
 * Spec: [SDM-2A CPUID], [APM3 §E]. Feature bits come from feature.def; the rest must agree with
 * them and with itself: systems take APIC ids, topology, caches, XSAVE areas and clock rates from
 * here. Every processor is one core of one package with one thread.
 */
#include "cpu/x86/cpuid.h"

#include <string.h>

#include "base/endian.h"
#include "cpu/x86/control.h"
#include "cpu/x86/lapic.h"

enum { EAX, EBX, ECX, EDX };

/* ---- features ---- */

static void feature_bits(const struct vcpu *c, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    for (unsigned f = 1; f < X86_FEAT_COUNT; f++) {
        const struct x86_feature_desc *d = &vm__x86_features[f];
        if (d->leaf == leaf && d->subleaf == sub && vm__x86_has(c, (enum x86_feature)f))
            r[d->reg] |= 1u << d->bit;
    }
}

static uint32_t signature(const struct x86_model *m)
{
    uint32_t family = m->family < 15 ? m->family : 15u, extended = m->family - family;
    return extended << 20 | (uint32_t)(m->model >> 4) << 16 | family << 8 |
           (uint32_t)(m->model & 15) << 4 | m->stepping;
}

static void vendor(const struct vcpu *c, uint32_t r[4])
{
    const char *v = vm__x86_is_amd(c->cpus) ? "AuthenticAMD" : "GenuineIntel";
    r[EBX] = vm_le32(v);
    r[EDX] = vm_le32(v + 4);
    r[ECX] = vm_le32(v + 8);
}

/* Bits of an APIC id that number the cores of the package. */
static unsigned core_bits(uint32_t n)
{
    unsigned b = 0;
    while ((1u << b) < n)
        b++;
    return b;
}

static void leaf_1(const struct vcpu *c, uint32_t r[4])
{
    uint32_t n = c->cpus->n;

    r[EAX] = signature(c->cpus->model);
    r[EBX] = (c->cpu.index & 0xff) << 24;
    feature_bits(c, 1, 0, r);
    if (r[EDX] & 1u << 19)
        r[EBX] |= 8u << 8; /* CLFLUSH line: 64 bytes */
    if (n > 1 && c->cpus->model->family > 5) {
        r[EBX] |= (1u << core_bits(n) & 0xff) << 16;
        r[EDX] |= 1u << 28;
    }
    if (c->st.cr4 & X86_CR4_OSXSAVE)
        r[ECX] |= 1u << 27;
    if (!(c->st.msr.apic_base & X86_APIC_BASE_EN))
        r[EDX] &= ~(1u << 9);
}

/* ---- caches ---- */

/* The same four on every model: leaf 4 and 8000_001Dh share their layout. */
static void cache(const struct vcpu *c, uint32_t sub, uint32_t r[4])
{
    static const struct {
        uint8_t type, level, ways;
        uint16_t sets;
        bool shared;
    } caches[] = {
        { 1, 1, 8, 64, false },   /* 32 KiB data */
        { 2, 1, 8, 64, false },   /* 32 KiB code */
        { 3, 2, 8, 1024, false }, /* 512 KiB */
        { 3, 3, 16, 16384, true }, /* 16 MiB */
    };
    uint32_t n = c->cpus->n;

    if (sub >= sizeof caches / sizeof caches[0])
        return;
    uint32_t sharing = caches[sub].shared ? (1u << core_bits(n)) - 1 : 0;
    uint32_t cores = (1u << core_bits(n)) - 1;
    r[EAX] = caches[sub].type | (uint32_t)caches[sub].level << 5 | 1u << 8 |
             (sharing & 0xfff) << 14 | (vm__x86_is_amd(c->cpus) ? 0 : (cores & 63) << 26);
    r[EBX] = 63 | (uint32_t)(caches[sub].ways - 1) << 22;
    r[ECX] = caches[sub].sets - 1u;
}

/* ---- topology [SDM-3A §9.9] ---- */

static void leaf_b(const struct vcpu *c, uint32_t sub, uint32_t r[4])
{
    r[ECX] = sub & 0xff;
    r[EDX] = c->cpu.index;
    if (sub == 0) {
        r[EBX] = 1;
        r[ECX] |= 1u << 8; /* threads */
    } else if (sub == 1) {
        r[EAX] = core_bits(c->cpus->n);
        r[EBX] = c->cpus->n;
        r[ECX] |= 2u << 8; /* cores */
    }
}

/* ---- XSAVE [SDM-1 §13.2] ---- */

static uint32_t xsave_size(uint64_t xcr0)
{
    return xcr0 & 4 ? 832 : 576;
}

static void leaf_d(const struct vcpu *c, uint32_t sub, uint32_t r[4])
{
    uint64_t all = vm__x86_xcr0_mask(c);

    if (!vm__x86_has(c, X86_FEAT_XSAVE))
        return;
    if (sub == 0) {
        r[EAX] = (uint32_t)all;
        r[EBX] = xsave_size(c->st.xcr0);
        r[ECX] = xsave_size(all);
    } else if (sub == 1) {
        feature_bits(c, 13, 1, r);
        if (vm__x86_has(c, X86_FEAT_XSAVEC))
            r[EBX] = xsave_size(c->st.xcr0);
    } else if (sub == 2 && (all & 4)) {
        r[EAX] = 256;
        r[EBX] = 576;
    }
}

/* ---- clock rates ---- */

static void leaf_15(const struct vcpu *c, uint32_t r[4])
{
    /* TSC = crystal (the APIC timer's clock) * EBX / EAX. */
    r[EAX] = (uint32_t)(X86_APIC_HZ / 1000);
    r[EBX] = (uint32_t)(c->cpus->tsc_hz / 1000);
    r[ECX] = (uint32_t)X86_APIC_HZ;
}

static void leaf_16(const struct vcpu *c, uint32_t r[4])
{
    r[EAX] = r[EBX] = (uint32_t)(c->cpus->tsc_hz / 1000000) & 0xffff;
    r[ECX] = 100;
}

/* ---- hypervisor range: a signature of our own, and the rates in kHz as VMware's leaf gives
 * them ---- */

static void hypervisor(const struct vcpu *c, uint32_t leaf, uint32_t r[4])
{
    static const char name[12] = "libvmlibvm\0";

    if (!vm__x86_has(c, X86_FEAT_HYPERVISOR))
        return;
    if (leaf == 0x40000000) {
        r[EAX] = 0x40000010;
        r[EBX] = vm_le32(name);
        r[ECX] = vm_le32(name + 4);
        r[EDX] = vm_le32(name + 8);
    } else if (leaf == 0x40000010) {
        r[EAX] = (uint32_t)(c->cpus->tsc_hz / 1000);
        r[EBX] = (uint32_t)(X86_APIC_HZ / 1000);
    }
}

/* ---- basic leaves ---- */

static void basic(const struct vcpu *c, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    const struct x86_model *m = c->cpus->model;
    bool amd = vm__x86_is_amd(c->cpus);

    switch (leaf) {
    case 0:
        r[EAX] = m->level;
        vendor(c, r);
        break;
    case 1: leaf_1(c, r); break;
    case 2:
        if (!amd)
            r[EAX] = 0x00feff01; /* "see leaf 4", "see leaf 18h" */
        break;
    case 4:
        if (!amd)
            cache(c, sub, r);
        break;
    case 5:
        if (vm__x86_has(c, X86_FEAT_MONITOR)) {
            r[EAX] = r[EBX] = 64;
            r[ECX] = 3;
        }
        break;
    case 7:
        if (sub == 0)
            feature_bits(c, 7, 0, r);
        break;
    case 0xb: leaf_b(c, sub, r); break;
    case 0xd: leaf_d(c, sub, r); break;
    case 0x15: leaf_15(c, r); break;
    case 0x16: leaf_16(c, r); break;
    default: feature_bits(c, leaf, sub, r); break;
    }
}

/* ---- extended leaves ---- */

static void extended_1(const struct vcpu *c, uint32_t r[4])
{
    uint32_t one[4] = { 0 };

    feature_bits(c, 0x80000001, 0, r);
    if (vm__x86_is_amd(c->cpus)) {
        leaf_1(c, one);
        r[EAX] = one[EAX];
        r[EDX] |= one[EDX] & 0x0183f3ff; /* repeated from leaf 1 */
        if (c->cpus->n > 1)
            r[ECX] |= 1u << 1; /* legacy multi-processing */
        if (c->cpus->model->xlevel >= 0x8000001e)
            r[ECX] |= 1u << 22; /* topology extensions */
    } else if (!x86_is64(c)) {
        r[EDX] &= ~(1u << 11); /* SYSCALL exists in 64-bit mode only */
    }
}

static void brand(const struct vcpu *c, uint32_t leaf, uint32_t r[4])
{
    char text[48] = { 0 };

    memcpy(text, c->cpus->model->brand, strnlen(c->cpus->model->brand, sizeof text - 1));
    for (unsigned k = 0; k < 4; k++)
        r[k] = vm_le32(text + (leaf - 0x80000002) * 16 + k * 4);
}

static void extended(const struct vcpu *c, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    bool amd = vm__x86_is_amd(c->cpus);
    uint32_t n = c->cpus->n;

    switch (leaf) {
    case 0x80000000:
        r[EAX] = c->cpus->model->xlevel;
        if (amd)
            vendor(c, r);
        break;
    case 0x80000001: extended_1(c, r); break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: brand(c, leaf, r); break;
    case 0x80000005:
        if (amd) {
            r[EAX] = r[EBX] = 0xff40ff40; /* TLBs: 64 entries, fully associative */
            r[ECX] = r[EDX] = 32u << 24 | 8u << 16 | 1u << 8 | 64;
        }
        break;
    case 0x80000006:
        r[ECX] = 512u << 16 | 6u << 12 | 64; /* 512 KiB, 8 ways */
        if (amd) {
            r[ECX] |= 1u << 8;
            r[EAX] = r[EBX] = 0x42004200;
            r[EDX] = 32u << 18 | 8u << 12 | 1u << 8 | 64; /* 16 MiB, 16 ways */
        }
        break;
    case 0x80000008:
        feature_bits(c, leaf, 0, r);
        r[EAX] = X86_PHYS_BITS | (vm__x86_has(c, X86_FEAT_LA57) ? 57u : 48u) << 8;
        if (amd && n > 1)
            r[ECX] = (n - 1) | core_bits(n) << 12;
        break;
    case 0x8000001d:
        if (amd)
            cache(c, sub, r);
        break;
    case 0x8000001e:
        if (amd) {
            r[EAX] = c->cpu.index;
            r[EBX] = c->cpu.index & 0xff;
        }
        break;
    default: feature_bits(c, leaf, 0, r); break;
    }
}

void vm__x86_cpuid(struct vcpu *c, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    const struct x86_model *m = c->cpus->model;

    memset(r, 0, 4 * sizeof r[0]);
    if (leaf <= m->level)
        basic(c, leaf, sub, r);
    else if (leaf >> 16 == 0x8000 && leaf <= m->xlevel)
        extended(c, leaf, sub, r);
    else if (leaf >> 8 == 0x400000)
        hypervisor(c, leaf, r);
}
