/* SPDX-License-Identifier: MIT */
/**
 * @file cpuid.c
 * Giving KVM the machine's CPUID, which is settled: see x86/cpuid.h.
 *
 * Spec: [KVM KVM_SET_CPUID2].
 */
#include <errno.h>
#include <stdlib.h>

#include "cpu/kvm/kvm.h"
#include "cpu/x86/cpuid.h"

enum { ENTRIES = 80, SUBLEAVES = 8 };

struct list {
    struct kvm_cpuid2 *c;
    struct vcpu *cpu;
};

static void add(struct list *l, uint32_t leaf, uint32_t sub, bool indexed)
{
    uint32_t r[4];

    vm__x86_cpuid(l->cpu, leaf, sub, r);
    /* An Intel processor shows SYSCALL in 64-bit mode only; KVM wants to know that it exists. */
    if (leaf == 0x80000001 && vm__x86_has(l->cpu, X86_FEAT_SYSCALL))
        r[3] |= 1u << 11;
    /* What is not listed reads as zero; older kernels take 80 entries. */
    if ((r[0] | r[1] | r[2] | r[3]) == 0 || l->c->nent >= ENTRIES)
        return;
    l->c->entries[l->c->nent++] = (struct kvm_cpuid_entry2) {
        .function = leaf,
        .index = sub,
        .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = r[0],
        .ebx = r[1],
        .ecx = r[2],
        .edx = r[3],
    };
}

/* Leaves whose answer depends on ECX [SDM-2A CPUID]. */
static bool indexed(uint32_t leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x8000001d;
}

static void add_leaf(struct list *l, uint32_t leaf)
{
    const uint32_t n = indexed(leaf) ? SUBLEAVES : 1;

    for (uint32_t sub = 0; sub < n; sub++)
        add(l, leaf, sub, indexed(leaf));
}

int vm__kvm_set_cpuid(struct vcpu *c)
{
    const struct x86_model *m = c->cpus->model;
    struct list l = { .cpu = c };

    l.c = calloc(1, sizeof *l.c + ENTRIES * sizeof l.c->entries[0]);
    if (l.c == NULL)
        return -ENOMEM;
    for (uint32_t leaf = 0; leaf <= m->level && leaf < 0x40; leaf++)
        add_leaf(&l, leaf);
    if (vm__x86_has(c, X86_FEAT_HYPERVISOR)) {
        add(&l, 0x40000000, 0, false);
        add(&l, 0x40000010, 0, false);
    }
    for (uint32_t leaf = 0x80000000; leaf <= m->xlevel && leaf < 0x80000040; leaf++)
        add_leaf(&l, leaf);
    const int r = vm__kvm_ioctl(vm__kvm_cpu(c), KVM_SET_CPUID2, l.c);
    free(l.c);
    return r < 0 ? r : 0;
}
