/* SPDX-License-Identifier: MIT */
/**
 * @file fake_machine.c
 * A machine for device tests.
 */
#include "support/fake_machine.h"

#undef NDEBUG
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "api/registry.h"
#include "core/clock_impl.h"
#include "core/device_impl.h"
#include "core/field_io.h"
#include "core/run.h"

static const struct vm_dev_class *const no_classes[] = { NULL };

static void line_set(void *opaque, uint32_t n, int level)
{
    struct fake_machine *f = opaque;
    if (level && !f->level[n])
        f->rises[n]++;
    if (!level && f->level[n])
        f->falls[n]++;
    f->level[n] = level;
}

static int msi(void *opaque, uint64_t address, uint32_t data)
{
    struct fake_machine *f = opaque;
    f->n_msi++;
    f->msi_address = address;
    f->msi_data = data;
    return 1;
}

void fake_init_with(struct fake_machine *f, const struct vm_dev_class *const *classes)
{
    memset(f, 0, sizeof *f);
    struct vm_registry *registry = calloc(1, sizeof *registry);
    assert(registry != NULL);
    registry->devices = classes != NULL ? classes : no_classes;
    registry->blocks = vm__registry.blocks;
    registry->nets = vm__registry.nets;
    f->ctx = vm__ctx_new(registry, NULL);
    assert(f->ctx != NULL);
    struct vm_config *cfg = vm__config_new(f->ctx, NULL, NULL);
    /* Time by instructions, of which there are none: it moves when the test says so. */
    assert(cfg != NULL && vm__config_set(cfg, "clock.mode", "icount") == VM_OK);
    f->m = vm__machine_new(cfg);
    assert(f->m != NULL);
    vm__config_free(cfg);
    f->m->n_lines = FAKE_PIN;
    for (uint32_t i = 0; i < FAKE_PIN; i++)
        f->m->lines[i] = (struct vm_irq) { .set = line_set, .opaque = f, .n = i };
    f->m->irq_hub.msi = msi;
    f->m->irq_hub.cpus = f;
    f->ram = vm__ram_new(f->m, "ram", FAKE_RAM_BYTES);
    assert(f->ram != NULL && vm__region_place(f->ram, 0, VM_PRIO_RAM) == VM_OK);
    atomic_store(&f->m->run->state, VM_ST_RUNNING); /* so that channels deliver */
}

void fake_fini(struct fake_machine *f)
{
    const struct vm_registry *registry = f->ctx->registry;
    vm__machine_destroy(f->m);
    vm__ctx_unref(f->ctx);
    free((void *)registry);
}

struct vm_dev *fake_add(struct fake_machine *f, const struct vm_dev_class *cls, ...)
{
    struct vm_setting settings[33] = { 0 };
    va_list args;
    va_start(args, cls);
    for (int i = 0; i < 32; i++) {
        settings[i].name = va_arg(args, const char *);
        if (settings[i].name == NULL)
            break;
        settings[i].value = va_arg(args, const char *);
    }
    va_end(args);
    vm__lock(f->m);
    struct vm_dev *dev = vm__dev_add(f->m, cls, NULL, settings);
    if (dev != NULL)
        vm__dev_reset(dev, VM_DEV_RESET_COLD);
    vm__unlock(f->m);
    return dev;
}

void fake_wire(struct fake_machine *f, struct vm_dev *dev, uint32_t pin)
{
    assert(pin < FAKE_LINES - FAKE_PIN);
    vm__dev_connect(dev, pin,
                    (struct vm_irq) { .set = line_set, .opaque = f, .n = FAKE_PIN + pin });
}

void fake_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    vm__lock(dev->m);
    vm__dev_reset(dev, kind);
    vm__unlock(dev->m);
}

void fake_advance(struct fake_machine *f, uint64_t ns)
{
    struct vm_clock *c = f->m->clock;
    const uint64_t end = vm__clock_ns(f->m) + ns;
    vm__lock(f->m);
    while (vm__clock_next(c) <= end) {
        vm__clock_warp(f->m, vm__clock_next(c));
        vm__clock_fire(f->m);
    }
    vm__clock_warp(f->m, end);
    vm__unlock(f->m);
}

uint8_t fake_in8(struct fake_machine *f, uint16_t port)
{
    return (uint8_t)vm__port_read(f->m, port, 1);
}

uint16_t fake_in16(struct fake_machine *f, uint16_t port)
{
    return (uint16_t)vm__port_read(f->m, port, 2);
}

uint32_t fake_in32(struct fake_machine *f, uint16_t port)
{
    return vm__port_read(f->m, port, 4);
}

void fake_out8(struct fake_machine *f, uint16_t port, uint8_t v)
{
    vm__port_write(f->m, port, 1, v);
}

void fake_out16(struct fake_machine *f, uint16_t port, uint16_t v)
{
    vm__port_write(f->m, port, 2, v);
}

void fake_out32(struct fake_machine *f, uint16_t port, uint32_t v)
{
    vm__port_write(f->m, port, 4, v);
}

uint64_t fake_read(struct fake_machine *f, uint64_t gpa, unsigned size)
{
    return vm__mmio_read(f->m, VM_VIEW_NORMAL, gpa, size);
}

void fake_write(struct fake_machine *f, uint64_t gpa, unsigned size, uint64_t v)
{
    vm__mmio_write(f->m, VM_VIEW_NORMAL, gpa, size, v);
}

static size_t chr_write(void *opaque, const uint8_t *buf, size_t len)
{
    struct fake_machine *f = opaque;
    size_t n = FAKE_CHR_BYTES - f->n_out;
    if (f->chr_blocked)
        return 0;
    if (n > len)
        n = len;
    memcpy(f->out + f->n_out, buf, n);
    f->n_out += n;
    return n;
}

static const struct vm_chr_host_ops chr_ops = { .write = chr_write };

struct vm_chr *fake_chr(struct fake_machine *f, const char *id)
{
    struct vm_chr *chr = vm__chr_get(f->m, id);
    assert(chr != NULL && vm__chr_attach_host(chr, &chr_ops, f) == VM_OK);
    return chr;
}

size_t fake_feed(struct fake_machine *f, const char *id, const char *text)
{
    struct vm_chr *chr = vm__chr_find(f->m, id);
    assert(chr != NULL);
    return vm__chr_feed(chr, text, strlen(text));
}

uint32_t fake_asked(struct fake_machine *f)
{
    return atomic_exchange(&f->m->run->asked, 0);
}

void fake_save_load(struct vm_dev *dev)
{
    const uint32_t version = dev->cls->version != 0 ? dev->cls->version : 1;
    struct vm_buf a = { 0 }, b = { 0 };

    vm__lock(dev->m);
    vm__fields_save(&a, dev->cls->fields, dev->state);
    vm__dev_reset(dev, VM_DEV_RESET_COLD);
    struct vm_reader r = { .data = a.data, .len = a.len };
    assert(vm__fields_load(&r, dev->cls->fields, version, dev->state) == VM_OK);
    if (dev->cls->post_load != NULL)
        assert(dev->cls->post_load(dev) == VM_OK);
    vm__fields_save(&b, dev->cls->fields, dev->state);
    vm__unlock(dev->m);
    assert(!a.failed && !b.failed && a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    free(a.data);
    free(b.data);
}
