/* SPDX-License-Identifier: MIT */
/**
 * @file device_spec.c
 * "class,property=value,id=name": a device as the user writes it.
 */
#include "core/device_spec.h"

#include "core/board.h"
#include "core/config.h"
#include "core/device_impl.h"
#include "core/machine.h"
#include "core/spec.h"

static const char *nth_class(const void *ud, uint32_t i)
{
    const struct vm_dev_class *const *classes = ud;
    return classes[i] != NULL ? classes[i]->name : NULL;
}

static int unknown_class(struct vm_machine *m, const char *name)
{
    const char *near = vm__nearest(name, nth_class, m->ctx->registry->devices);
    if (near != NULL)
        return vm__fail(VM_E_NOENT, "no device %s; did you mean %s?", name, near);
    return vm__fail(VM_E_NOENT, "no device %s", name);
}

/* Before the machine is built, anything a user may add; afterwards what can come while it runs. */
static int may_add(struct vm_machine *m, const struct vm_dev_class *cls)
{
    if (cls->bus == VM_BUS_BOARD)
        return vm__fail(VM_E_INVAL, "device %s is part of a board and cannot be added", cls->name);
    if (m->built && (cls->bus != VM_BUS_PCI || m->board == NULL || m->board->plugged == NULL))
        return vm__fail(VM_E_NOTSUP,
                        "device %s is not hot-plugged: it can be added only before the machine is "
                        "built",
                        cls->name);
    return VM_OK;
}

static int add(struct vm_machine *m, const struct vm_dev_class *cls, const struct vm_spec *spec)
{
    struct vm_dev *dev;
    if (m->board != NULL && m->board->plug != NULL)
        dev = m->board->plug(m, spec->name, spec->id, spec->settings);
    else
        dev = vm__dev_add(m, cls, spec->id, spec->settings);
    if (dev == NULL)
        return vm_last_error()->code;
    if (m->built) {
        vm__dev_reset(dev, VM_DEV_RESET_COLD);
        m->board->plugged(m, dev);
    }
    return VM_OK;
}

int vm__dev_plug(struct vm_machine *m, const char *text)
{
    struct vm_spec spec;
    int st = vm__spec_parse(text, &spec);
    if (st == VM_OK) {
        const struct vm_dev_class *cls = vm__dev_class(m, spec.name);
        st = cls == NULL ? unknown_class(m, spec.name) : may_add(m, cls);
        if (st == VM_OK)
            st = add(m, cls, &spec);
    }
    vm__spec_free(&spec);
    return st;
}

int vm__dev_unplug(struct vm_machine *m, const char *id)
{
    struct vm_dev *dev = vm__dev_find(m, id);
    if (dev == NULL)
        return vm__fail(VM_E_NOENT, "no device %.60s", id);
    if (m->board == NULL || m->board->unplug == NULL)
        return vm__fail(VM_E_NOTSUP, "%.60s cannot be unplugged: this board has no hot-plug slots",
                        id);
    return m->board->unplug(m, dev);
}
