/* SPDX-License-Identifier: MIT */
/**
 * @file cpu.c
 * Exported: processors from outside.
 */
#include <libvm/cpu.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/run.h"

vm_cpu *vm_cpu_get(vm_machine *m, uint32_t index)
{
    if (m == NULL || index >= m->n_cpus) {
        vm__fail(VM_E_NOENT, "no processor %u", index);
        return NULL;
    }
    return m->cpus[index];
}

uint32_t vm_cpu_count(const vm_machine *m)
{
    return m != NULL ? m->n_cpus : 0;
}

/* Its registers may be looked at: it stands still, or this is a callback it is waiting for. */
static int at_rest(vm_cpu *cpu)
{
    if (cpu == NULL)
        return vm__fail(VM_E_INVAL, "no processor");
    if (vm__run_state(cpu->m) == VM_ST_RUNNING && !vm__locked(cpu->m) && !vm__in_hook(cpu))
        return vm__fail(VM_E_STATE, "the machine is running");
    return VM_OK;
}

int vm_cpu_reg_read(vm_cpu *cpu, uint32_t reg, void *buf, size_t size)
{
    const int st = at_rest(cpu);
    return st == VM_OK ? cpu->cls->reg_read(cpu, reg, buf, size) : st;
}

int vm_cpu_reg_write(vm_cpu *cpu, uint32_t reg, const void *buf, size_t size)
{
    const int st = at_rest(cpu);
    return st == VM_OK ? cpu->cls->reg_write(cpu, reg, buf, size) : st;
}

int64_t vm_cpu_reg_id(vm_machine *m, const char *name)
{
    if (m == NULL || name == NULL || m->cpu_class == NULL)
        return vm__fail(VM_E_INVAL, "no machine, name or processor");
    return m->cpu_class->reg_id(name);
}

int vm_cpu_translate(vm_cpu *cpu, uint64_t gva, int access, uint64_t *gpa)
{
    const int st = at_rest(cpu);
    return st == VM_OK ? cpu->cls->translate(cpu, gva, access, gpa) : st;
}

uint64_t vm_cpu_insns(vm_cpu *cpu)
{
    return cpu != NULL ? cpu->cls->insns(cpu) : 0;
}

/* Page by page through the page tables. */
static int copy(vm_cpu *cpu, uint64_t gva, void *to, const void *from, size_t len)
{
    int st = at_rest(cpu);
    size_t done = 0;
    while (st == VM_OK && done < len) {
        const uint64_t at = gva + done;
        const size_t n = (size_t)vm_min_u64(len - done, VM_PAGE_SIZE - at % VM_PAGE_SIZE);
        uint64_t gpa;
        st = cpu->cls->translate(cpu, at, from != NULL ? VM_ACCESS_WRITE : VM_ACCESS_READ, &gpa);
        if (st == VM_OK)
            st = from != NULL ? vm__mem_write(cpu->m, gpa, (const uint8_t *)from + done, n)
                              : vm__mem_read(cpu->m, gpa, (uint8_t *)to + done, n);
        done += n;
    }
    return st;
}

int vm_vmem_read(vm_cpu *cpu, uint64_t gva, void *buf, size_t len)
{
    return copy(cpu, gva, buf, NULL, len);
}

int vm_vmem_write(vm_cpu *cpu, uint64_t gva, const void *buf, size_t len)
{
    return copy(cpu, gva, NULL, buf, len);
}
