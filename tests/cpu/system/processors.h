/* SPDX-License-Identifier: MIT */
/**
 * @file processors.h
 * Processors on a machine that does nothing by itself: the test calls them and moves the clock.
 */
#ifndef LIBVM_TESTS_PROCESSORS_H
#define LIBVM_TESTS_PROCESSORS_H

#include <criterion/criterion.h>
#include <libvm/cpu.h>

#include "cpu/vcpu.h"
#include "support/fake_machine.h"

struct processors {
    struct fake_machine f;
    struct vm_cpu *cpu[8];
    uint32_t n;
};

static inline struct vcpu *at(struct processors *p, uint32_t n)
{
    return vm__vcpu(p->cpu[n]);
}

/** @p n processors of model @p model (NULL: the default). */
static inline void processors_init(struct processors *p, uint32_t n, const char *model)
{
    fake_init(&p->f);
    if (model != NULL)
        cr_assert_eq(vm__config_set(p->f.m->config, "cpu.model", model), VM_OK);
    for (p->n = 0; p->n < n; p->n++)
        cr_assert_eq(vm__x86_cpu_class.create(p->f.m, p->n, &p->cpu[p->n]), VM_OK, "%s",
                     vm_last_error()->message);
}

static inline void processors_fini(struct processors *p)
{
    while (p->n > 0)
        vm__x86_cpu_class.destroy(p->cpu[--p->n]);
    fake_fini(&p->f);
}

static inline uint64_t reg(struct processors *p, uint32_t n, uint32_t id)
{
    uint64_t v = 0;
    cr_assert_eq(vm__x86_cpu_class.reg_read(p->cpu[n], id, &v, sizeof v), VM_OK);
    return v;
}

static inline void set_reg(struct processors *p, uint32_t n, uint32_t id, uint64_t v)
{
    cr_assert_eq(vm__x86_cpu_class.reg_write(p->cpu[n], id, &v, sizeof v), VM_OK, "%s",
                 vm_last_error()->message);
}

static inline enum vm_cpu_stop run(struct processors *p, uint32_t n, uint64_t insns)
{
    vm_exit exit = { .size = sizeof exit };
    return vm__x86_cpu_class.run(p->cpu[n], insns, &exit);
}

/** Code or data into RAM. */
static inline void poke(struct processors *p, uint64_t gpa, const void *bytes, size_t n)
{
    cr_assert_eq(vm__mem_write(p->f.m, gpa, bytes, n), VM_OK);
}

#endif
