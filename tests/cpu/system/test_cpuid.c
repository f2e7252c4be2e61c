/* SPDX-License-Identifier: MIT */
/* CPU models: what CPUID says must agree with itself and with what is there. */
#include "cpu/x86/cpuid.h"

#include <string.h>

#include "cpu/x86/insn.h"
#include "processors.h"

enum { EAX, EBX, ECX, EDX };

static bool shown(struct processors *p, enum x86_feature f)
{
    const struct x86_feature_desc *d = &vm__x86_features[f];
    uint32_t r[4];
    vm__x86_cpuid(at(p, 0), d->leaf, d->subleaf, r);
    return r[d->reg] >> d->bit & 1;
}

Test(cpuid, every_model_shows_what_it_has_and_nothing_else)
{
    for (uint32_t k = 0; vm__x86_model_at(k) != NULL; k++) {
        const struct x86_model *m = vm__x86_model_at(k);
        struct processors p;
        uint32_t r[4];

        processors_init(&p, 1, m->name);
        m = at(&p, 0)->cpus->model; /* "host" takes its identity from the host */
        vm__x86_cpuid(at(&p, 0), 0, 0, r);
        cr_expect_eq(r[EAX], m->level, "%s", m->name);
        for (unsigned f = 1; f < X86_FEAT_COUNT; f++) {
            bool reachable = vm__x86_features[f].leaf >> 31 ? vm__x86_features[f].leaf <= m->xlevel
                                                            : vm__x86_features[f].leaf <= m->level;
            if (f == X86_FEAT_SYSCALL && m->vendor == X86_VENDOR_INTEL)
                continue; /* in 64-bit mode only */
            if (m->vendor == X86_VENDOR_AMD && shown(&p, (enum x86_feature)f) &&
                vm__x86_features[f].leaf == 0x80000001)
                continue; /* repeats leaf 1 there */
            cr_expect_eq(shown(&p, (enum x86_feature)f),
                         reachable && vm__x86_has(at(&p, 0), (enum x86_feature)f), "%s: %s",
                         m->name, vm__x86_features[f].name);
        }
        processors_fini(&p);
    }
}

Test(cpuid, old_models_have_no_long_mode)
{
    struct processors p;
    processors_init(&p, 1, "pentium3");
    cr_expect(vm__x86_has(at(&p, 0), X86_FEAT_SSE));
    cr_expect_not(vm__x86_has(at(&p, 0), X86_FEAT_SSE2));
    cr_expect_not(vm__x86_has(at(&p, 0), X86_FEAT_LM));
    processors_fini(&p);
}

Test(cpuid, toggles_take_what_depends_on_them_along)
{
    struct processors p;
    processors_init(&p, 1, "haswell,-sse4.2,+sha,-x2apic");
    cr_expect_not(vm__x86_has(at(&p, 0), X86_FEAT_SSE42));
    cr_expect_not(vm__x86_has(at(&p, 0), X86_FEAT_AVX2));
    cr_expect_not(vm__x86_has(at(&p, 0), X86_FEAT_X2APIC));
    cr_expect(vm__x86_has(at(&p, 0), X86_FEAT_SSE41));
    processors_fini(&p);
}

Test(cpuid, unknown_names_are_refused_with_the_nearest)
{
    struct fake_machine f;
    struct vm_cpu *cpu;

    fake_init(&f);
    cr_assert_eq(vm__config_set(f.m->config, "cpu.model", "haswel"), VM_OK);
    cr_expect_eq(vm__x86_cpu_class.create(f.m, 0, &cpu), VM_E_NOENT);
    cr_expect(strstr(vm_last_error()->message, "haswell") != NULL, "%s", vm_last_error()->message);
    cr_assert_eq(vm__config_set(f.m->config, "cpu.model", "max,+avx22"), VM_OK);
    cr_expect_eq(vm__x86_cpu_class.create(f.m, 0, &cpu), VM_E_NOENT);
    cr_expect(strstr(vm_last_error()->message, "AVX2") != NULL, "%s", vm_last_error()->message);
    fake_fini(&f);
}

Test(cpuid, topology_names_each_processor_once)
{
    struct processors p;
    uint32_t r[4];

    processors_init(&p, 6, NULL);
    for (uint32_t k = 0; k < 6; k++) {
        vm__x86_cpuid(at(&p, k), 1, 0, r);
        cr_expect_eq(r[EBX] >> 24, k);
        vm__x86_cpuid(at(&p, k), 0xb, 1, r);
        cr_expect_eq(r[EDX], k);
        cr_expect_eq(r[EBX], 6);
        cr_expect_geq(1u << r[EAX], 6);
    }
    processors_fini(&p);
}

Test(cpuid, xsave_areas_hold_their_components)
{
    struct processors p;
    uint32_t r[4], avx[4];

    processors_init(&p, 1, NULL);
    vm__x86_cpuid(at(&p, 0), 0xd, 0, r);
    cr_expect_eq(r[EBX], 576, "XCR0 is 1 after reset");
    if (r[EAX] & 4) {
        vm__x86_cpuid(at(&p, 0), 0xd, 2, avx);
        cr_expect_eq(avx[EBX] + avx[EAX], r[ECX]);
    }
    processors_fini(&p);
}

Test(cpuid, leaf_15_and_the_hypervisor_leaf_give_the_rate_of_the_tsc)
{
    struct processors p;
    uint32_t r[4];

    processors_init(&p, 1, NULL);
    vm__x86_cpuid(at(&p, 0), 0x15, 0, r);
    cr_expect_eq((uint64_t)r[ECX] * r[EBX] / r[EAX], at(&p, 0)->cpus->tsc_hz);
    vm__x86_cpuid(at(&p, 0), 0x40000010, 0, r);
    cr_expect_eq(r[EAX], at(&p, 0)->cpus->tsc_hz / 1000);
    processors_fini(&p);
}
