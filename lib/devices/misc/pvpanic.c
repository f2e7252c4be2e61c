/* SPDX-License-Identifier: MIT */
/**
 * @file pvpanic.c
 * A port by which a guest says that it has panicked.
 *
 * Spec: QEMU docs/specs/pvpanic: reading gives the events it understands, writing reports them.
 */
#include <libvm/machine.h>

#include "core/device.h"
#include "core/machine.h"

enum { PANICKED = 0x01, CRASH_LOADED = 0x02, EVENTS = PANICKED | CRASH_LOADED };

struct pvpanic {
    uint16_t ioport;
};

static uint64_t pvpanic_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    (void)dev;
    (void)off;
    (void)size;
    return EVENTS;
}

static void pvpanic_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    (void)off;
    (void)size;
    if (v & EVENTS)
        vm__event_post(dev->m, VM_EVENT_GUEST, v & EVENTS, 0,
                       v & PANICKED ? "pvpanic: guest panicked" : "pvpanic: crash kernel loaded");
}

static int pvpanic_realize(struct vm_dev *dev)
{
    const struct pvpanic *s = vm_dev_state(dev);
    return vm__dev_map(dev, 0, s->ioport);
}

static const struct vm_window windows[] = {
    { "pvpanic", VM_SPACE_PORT, 1, 1, 1, .read = pvpanic_read, .write = pvpanic_write },
    { 0 },
};

static const struct vm_prop props[] = {
    { "ioport", "its port", VM_PROP_UINT(pvpanic, ioport), .value = "0x505" },
    { 0 },
};

const struct vm_dev_class vm__pvpanic_class = {
    .name = "pvpanic",
    .summary = "port that reports a guest's panic",
    .spec = "QEMU pvpanic",
    .bus = VM_BUS_ISA,
    .state_size = sizeof(struct pvpanic),
    .windows = windows,
    .props = props,
    .realize = pvpanic_realize,
};
