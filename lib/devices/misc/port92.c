/* SPDX-License-Identifier: MIT */
/**
 * @file port92.c
 * System control port A: fast A20 gate and fast reset; and the A20 line itself.
 *
 * Spec: [PS2-HIT] "System Control Port A"; [PIIX3 §2.5.5].
 * Input 0 is the keyboard controller's A20 gate; address line 20 is open while either is set.
 */
#include "core/device.h"
#include "core/machine.h"

enum { FAST_RESET = 0x01, FAST_A20 = 0x02, PORT = 0x92 };

struct port92 {
    uint8_t value;
    uint8_t keyboard_a20; /**< level of the input */
};

static void update(struct vm_dev *dev)
{
    const struct port92 *s = vm_dev_state(dev);
    const struct vm_irq_hub *hub = &dev->m->irq_hub;
    if (hub->a20 != NULL)
        hub->a20(hub->cpus, s->keyboard_a20 || (s->value & FAST_A20));
}

static void port92_irq_in(struct vm_dev *dev, uint32_t pin, int level)
{
    struct port92 *s = vm_dev_state(dev);
    (void)pin;
    s->keyboard_a20 = level != 0;
    update(dev);
}

static uint64_t port92_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct port92 *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    return s->value;
}

static void port92_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct port92 *s = vm_dev_state(dev);
    bool reset = v & ~(uint64_t)s->value & FAST_RESET;
    (void)off;
    (void)size;
    s->value = v & (FAST_RESET | FAST_A20);
    update(dev);
    if (reset)
        vm__request_reset(dev->m, VM_DEV_RESET_SOFT);
}

static int port92_realize(struct vm_dev *dev)
{
    struct port92 *s = vm_dev_state(dev);
    s->keyboard_a20 = 1; /* until a keyboard controller says otherwise */
    return vm__dev_map(dev, 0, PORT);
}

static void port92_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct port92 *s = vm_dev_state(dev);
    (void)kind;
    s->value = 0;
    update(dev);
}

static int port92_post_load(struct vm_dev *dev)
{
    update(dev);
    return VM_OK;
}

static const struct vm_window windows[] = {
    { "port92", VM_SPACE_PORT, 1, 1, 1, .read = port92_read, .write = port92_write },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD(port92, value, 1),
    VM_FIELD(port92, keyboard_a20, 1),
    { 0 },
};

const struct vm_dev_class vm__port92_class = {
    .name = "port92",
    .summary = "fast A20 gate and reset",
    .spec = "IBM S84F-9735",
    .state_size = sizeof(struct port92),
    .windows = windows,
    .fields = fields,
    .n_irq_in = 1,
    .realize = port92_realize,
    .reset = port92_reset,
    .irq_in = port92_irq_in,
    .post_load = port92_post_load,
};
