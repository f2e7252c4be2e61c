/* SPDX-License-Identifier: MIT */
/**
 * @file device.c
 * A device's life, and its place among the others.
 */
#include "core/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/device_impl.h"
#include "core/machine.h"
#include "core/run.h"

/* ---- finding ---------------------------------------------------------------------------- */

const struct vm_dev_class *vm__dev_class(struct vm_machine *m, const char *name)
{
    const struct vm_dev_class *const *c = m->ctx->registry->devices;
    for (; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

struct vm_dev *vm__dev_find(struct vm_machine *m, const char *id)
{
    for (uint32_t i = 0; i < m->n_devs; i++)
        if (strcmp(m->devs[i]->id, id) == 0)
            return m->devs[i];
    return NULL;
}

struct vm_dev *vm__dev_of_class(struct vm_machine *m, const char *class_name)
{
    for (uint32_t i = 0; i < m->n_devs; i++)
        if (strcmp(m->devs[i]->cls->name, class_name) == 0)
            return m->devs[i];
    return NULL;
}

/* ---- making ----------------------------------------------------------------------------- */

static void free_dev(struct vm_dev *dev)
{
    vm__dev_free_windows(dev);
    vm__dev_free_props(dev);
    vm__dev_cancel_timers(dev);
    free((char *)dev->id);
    free(dev->state);
    free(dev);
}

static char *make_id(struct vm_machine *m, const struct vm_dev_class *cls, const char *id)
{
    char text[64];
    if (id != NULL)
        return strdup(id);
    if (vm__dev_find(m, cls->name) == NULL)
        return strdup(cls->name);
    for (uint32_t n = 1; n != 0; n++) {
        snprintf(text, sizeof text, "%s.%u", cls->name, n);
        if (vm__dev_find(m, text) == NULL)
            return strdup(text);
    }
    return NULL;
}

/* "global.CLASS.PROPERTY" keys of the device's class. */
static int set_global(void *ud, const char *key, const char *value)
{
    struct vm_dev *dev = ud;
    const char *rest = key + strlen("global.");
    const size_t n = strlen(dev->cls->name);
    if (strncmp(rest, dev->cls->name, n) != 0 || rest[n] != '.')
        return VM_OK;
    return vm__dev_set(dev, rest + n + 1, value);
}

struct vm_dev *vm__dev_new(struct vm_machine *m, const struct vm_dev_class *cls, const char *id,
                           const struct vm_setting *settings)
{
    if (id != NULL && vm__dev_find(m, id) != NULL) {
        vm__fail(VM_E_BUSY, "there is a device %s already", id);
        return NULL;
    }
    struct vm_dev *dev = calloc(1, sizeof *dev);
    if (dev == NULL) {
        vm__fail_nomem(sizeof *dev);
        return NULL;
    }
    dev->cls = cls;
    dev->m = m;
    dev->id = make_id(m, cls, id);
    dev->state = calloc(1, cls->state_size != 0 ? cls->state_size : 1);
    if (dev->id == NULL || dev->state == NULL) {
        vm__fail_nomem(cls->state_size);
        goto fail;
    }
    if (vm__dev_init_props(dev) != VM_OK || vm__dev_init_windows(dev) != VM_OK ||
        vm__config_each(m->config, "global.", set_global, dev) != VM_OK)
        goto fail;
    for (; settings != NULL && settings->name != NULL; settings++)
        if (vm__dev_set(dev, settings->name, settings->value) != VM_OK)
            goto fail;
    return dev;
fail:
    free_dev(dev);
    return NULL;
}

static bool make_room(struct vm_machine *m)
{
    if (m->n_devs < m->devs_room)
        return true;
    const uint32_t room = m->devs_room != 0 ? m->devs_room * 2 : 16;
    struct vm_dev **devs = realloc(m->devs, room * sizeof(*devs));
    if (devs == NULL)
        return false;
    m->devs = devs;
    m->devs_room = room;
    return true;
}

struct vm_dev *vm__dev_realize(struct vm_dev *dev)
{
    struct vm_machine *m = dev->m;
    if (!make_room(m)) {
        vm__fail_nomem(sizeof(*m->devs));
        free_dev(dev);
        return NULL;
    }
    if (dev->cls->realize != NULL) {
        const int st = dev->cls->realize(dev);
        if (st != VM_OK) {
            vm__fail_prefix(st, "%s: ", dev->id);
            free_dev(dev);
            return NULL;
        }
    }
    dev->realized = true;
    m->devs[m->n_devs++] = dev;
    return dev;
}

struct vm_dev *vm__dev_add(struct vm_machine *m, const struct vm_dev_class *cls, const char *id,
                           const struct vm_setting *settings)
{
    struct vm_dev *dev = vm__dev_new(m, cls, id, settings);
    return dev != NULL ? vm__dev_realize(dev) : NULL;
}

static void forget(struct vm_dev *dev)
{
    struct vm_machine *m = dev->m;
    for (uint32_t i = 0; i < m->n_devs; i++) {
        if (m->devs[i] == dev) {
            memmove(&m->devs[i], &m->devs[i + 1], (m->n_devs - i - 1) * sizeof(*m->devs));
            m->n_devs--;
            break;
        }
    }
}

void vm__dev_free(struct vm_dev *dev)
{
    if (dev == NULL)
        return;
    forget(dev);
    if (dev->realized && dev->cls->unrealize != NULL)
        dev->cls->unrealize(dev);
    free_dev(dev);
}

void vm__dev_retire(struct vm_dev *dev)
{
    struct vm_machine *m = dev->m;
    forget(dev);
    dev->next_retired = m->retired;
    m->retired = dev;
    vm__ask(m, VM_ASK_SWEEP);
}

void vm__dev_sweep(struct vm_machine *m)
{
    while (m->retired != NULL) {
        struct vm_dev *dev = m->retired;
        m->retired = dev->next_retired;
        vm__event_post(m, VM_EVENT_UNPLUGGED, 0, 0, dev->id);
        vm__dev_free(dev);
    }
}

void vm__dev_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    vm__dev_reset_regs(dev);
    if (dev->cls->reset != NULL)
        dev->cls->reset(dev, kind);
}

/* A timer must not outlive the state it lies in. */
void vm__dev_cancel_timers(struct vm_dev *dev)
{
    if (dev->state != NULL)
        vm__timers_forget(dev->m, dev->state, dev->cls->state_size);
}

/* ---- wiring ----------------------------------------------------------------------------- */

static void pin_set(void *opaque, uint32_t n, int level)
{
    struct vm_dev *dev = opaque;
    dev->cls->irq_in(dev, n, level);
}

struct vm_irq vm__dev_pin(struct vm_dev *dev, uint32_t pin)
{
    if (dev->cls->irq_in == NULL || pin >= dev->cls->n_irq_in)
        return (struct vm_irq) { 0 };
    return (struct vm_irq) { .set = pin_set, .opaque = dev, .n = pin };
}

int vm__dev_line(struct vm_dev *dev, uint32_t pin, uint32_t line)
{
    if (pin >= VM_DEV_PINS || line >= dev->m->n_lines)
        return vm__fail(VM_E_RANGE, "the board has no interrupt line %u", line);
    dev->out[pin] = dev->m->lines[line];
    return VM_OK;
}

void vm__dev_log(struct vm_dev *dev, uint32_t level, uint32_t category, const char *fmt, ...)
{
    struct vm_logger *log = &dev->m->log;
    if (!vm__log_on(log, level, category))
        return;
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    vm__logf(log, level, category, dev->id, "%s", text);
}
