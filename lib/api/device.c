/* SPDX-License-Identifier: MIT */
/**
 * @file device.c
 * Exported: looking at devices, driving interrupt lines.
 */
#include <libvm/device.h>
#include <libvm/irq.h>

#include "base/error.h"
#include "core/device.h"
#include "core/device_spec.h"
#include "core/field_io.h"
#include "core/machine.h"

vm_dev *vm_dev_find(vm_machine *m, const char *id)
{
    struct vm_dev *dev = NULL;
    if (m != NULL && id != NULL) {
        vm__lock(m);
        dev = vm__dev_find(m, id);
        vm__unlock(m);
    }
    if (dev == NULL)
        vm__fail(VM_E_NOENT, "no device %s", id != NULL ? id : "");
    return dev;
}

int vm_dev_list(vm_machine *m, vm_list_fn fn, void *ud)
{
    int st = VM_OK;
    if (m == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no function");
    vm__lock(m);
    for (uint32_t i = 0; i < m->n_devs && st == 0; i++)
        st = fn(ud, m->devs[i]->id, m->devs[i]->cls->name);
    vm__unlock(m);
    return st;
}

int vm_dev_fields(vm_dev *dev, vm_list_fn fn, void *ud)
{
    if (dev == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no device or no function");
    vm__lock(dev->m);
    const int st = vm__fields_show(dev->cls->fields, dev->state, fn, ud);
    vm__unlock(dev->m);
    return st;
}

int vm_dev_add(vm_machine *m, const char *spec)
{
    if (m == NULL || spec == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no device");
    vm__lock(m);
    const int st = vm__dev_plug(m, spec);
    vm__unlock(m);
    return st;
}

int vm_dev_del(vm_machine *m, const char *id)
{
    if (m == NULL || id == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no id");
    vm__lock(m);
    const int st = vm__dev_unplug(m, id);
    vm__unlock(m);
    return st;
}

int vm_irq_set(vm_machine *m, uint32_t line, int level)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    if (line >= m->n_lines)
        return vm__fail(VM_E_RANGE, "the board has %u interrupt lines, not %u", m->n_lines, line);
    vm__lock(m);
    vm__irq_set(&m->lines[line], level != 0);
    vm__unlock(m);
    return VM_OK;
}

int vm_msi_send(vm_machine *m, uint64_t address, uint32_t data)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    if (m->irq_hub.msi == NULL)
        return vm__fail(VM_E_NOTSUP, "no processor listens to messages");
    (void)m->irq_hub.msi(m->irq_hub.cpus, address, data);
    return VM_OK;
}

int vm_nmi(vm_machine *m)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    if (m->irq_hub.nmi == NULL)
        return vm__fail(VM_E_NOTSUP, "no processor listens to the line");
    m->irq_hub.nmi(m->irq_hub.cpus);
    return VM_OK;
}
