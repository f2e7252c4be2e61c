/* SPDX-License-Identifier: MIT */
/**
 * @file ferr.c
 * The coprocessor's error line: IRQ 13 and port F0h, as an AT has them.
 *
 * Spec: [SDM-1 §D.2.1] MS-DOS compatibility mode; [PC-AT] port F0h; [PIIX3 §2.5.9].
 * With CR0.NE clear, a processor that meets a pending x87 exception asserts FERR#. That sets a
 * latch which holds IRQ 13. Writing port F0h clears the latch and asserts IGNNE#, under which the
 * processor goes on in spite of the exception, until FERR# goes away.
 */
#include "core/device.h"
#include "core/machine.h"

enum { PORT = 0xf0 };

struct ferr {
    uint8_t latch; /**< IRQ 13 */
    uint8_t ignne;
};

/** hub.ferr. IGNNE# lasts until the exception is cleared, or was ignored: the processor then
 * forgets it, which makes FERR# go away. */
static bool ferr_signal(void *opaque, int level)
{
    struct vm_dev *dev = opaque;
    struct ferr *s = vm_dev_state(dev);
    vm__lock(dev->m);
    bool ignore = s->ignne;
    s->ignne = 0;
    if (level && !ignore) {
        s->latch = 1;
        vm__dev_irq(dev, 0, 1);
    }
    vm__unlock(dev->m);
    return ignore;
}

/** Any value, to F0h or F1h, which resets an 80287 as well. */
static void ferr_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct ferr *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    (void)v;
    s->ignne = s->latch;
    s->latch = 0;
    vm__dev_irq(dev, 0, 0);
}

static int ferr_realize(struct vm_dev *dev)
{
    dev->m->irq_hub.ferr = ferr_signal;
    dev->m->irq_hub.ferr_dev = dev;
    return vm__dev_map(dev, 0, PORT);
}

static void ferr_unrealize(struct vm_dev *dev)
{
    dev->m->irq_hub.ferr = NULL;
    dev->m->irq_hub.ferr_dev = NULL;
}

static void ferr_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct ferr *s = vm_dev_state(dev);
    (void)kind;
    s->latch = s->ignne = 0;
    vm__dev_irq(dev, 0, 0);
}

static const struct vm_window windows[] = {
    { "ferr", VM_SPACE_PORT, 2, 1, 1, .write = ferr_write },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD(ferr, latch, 1),
    VM_FIELD(ferr, ignne, 1),
    { 0 },
};

const struct vm_dev_class vm__ferr_class = {
    .name = "ferr",
    .summary = "coprocessor error, IRQ 13",
    .spec = "IBM 6280070",
    .state_size = sizeof(struct ferr),
    .windows = windows,
    .fields = fields,
    .realize = ferr_realize,
    .unrealize = ferr_unrealize,
    .reset = ferr_reset,
};
