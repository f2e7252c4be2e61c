/* SPDX-License-Identifier: MIT */
/**
 * @file device_window.c
 * A device's windows: dispatch to its register table or its calls.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/device_impl.h"
#include "core/machine.h"

struct vm_dev_window {
    struct vm_dev *dev;
    struct vm_window row; /* the class's row, or one made from mmio_size and regs */
    struct vm_window_ops ops;
};

/* ---- register tables -------------------------------------------------------------------- */

static const struct vm_reg *find_reg(const struct vm_reg *regs, uint64_t off)
{
    for (const struct vm_reg *r = regs; r != NULL && r->name != NULL; r++)
        if (off - r->offset < r->width)
            return r;
    return NULL;
}

static void trace(struct vm_dev *dev, const struct vm_reg *r, bool is_write, uint64_t value)
{
    if (vm__log_on(&dev->m->log, VM_LOG_DEBUG, VM_LOG_IO))
        vm__logf(&dev->m->log, VM_LOG_DEBUG, VM_LOG_IO, dev->id, "%s %s 0x%llx",
                 is_write ? "write" : "read", r->name, (unsigned long long)value);
}

static uint8_t *storage(struct vm_dev *dev, const struct vm_reg *r)
{
    return (uint8_t *)dev->state + r->storage;
}

static uint64_t reg_value(struct vm_dev *dev, const struct vm_reg *r)
{
    return r->stored ? vm_le_n(storage(dev, r), r->width) : r->reset;
}

static uint64_t reg_read(struct vm_dev *dev, const struct vm_reg *r)
{
    const uint64_t v = r->read != NULL ? r->read(dev) : reg_value(dev, r);
    trace(dev, r, false, v);
    return v;
}

static void reg_write(struct vm_dev *dev, const struct vm_reg *r, unsigned at, unsigned n,
                      uint64_t value)
{
    const uint64_t lanes = vm_mask(n * 8) << (at * 8);
    const uint64_t old = r->stored ? vm_le_n(storage(dev, r), r->width) : 0;
    const uint64_t written = value << (at * 8);
    const uint64_t full = (old & ~lanes) | written;

    trace(dev, r, true, full);
    if (r->stored) {
        const uint64_t rw = r->rw & lanes;
        const uint64_t v = ((old & ~rw) | (written & rw)) & ~(written & r->w1c);
        vm_put_le_n(storage(dev, r), r->width, v);
    }
    if (r->write != NULL)
        r->write(dev, full);
}

/* ---- dispatch --------------------------------------------------------------------------- */

static uint64_t raw_read(struct vm_dev_window *w, uint64_t off, unsigned size)
{
    if (w->row.read == NULL)
        return w->row.regs != NULL ? 0 : UINT64_MAX;
    const uint64_t v = w->row.read(w->dev, off, size);
    if (vm__log_on(&w->dev->m->log, VM_LOG_DEBUG, VM_LOG_IO))
        vm__logf(&w->dev->m->log, VM_LOG_DEBUG, VM_LOG_IO, w->dev->id, "read %s+0x%llx/%u 0x%llx",
                 w->row.name, (unsigned long long)off, size, (unsigned long long)v);
    return v;
}

static void raw_write(struct vm_dev_window *w, uint64_t off, unsigned size, uint64_t value)
{
    if (w->row.write == NULL)
        return;
    if (vm__log_on(&w->dev->m->log, VM_LOG_DEBUG, VM_LOG_IO))
        vm__logf(&w->dev->m->log, VM_LOG_DEBUG, VM_LOG_IO, w->dev->id, "write %s+0x%llx/%u 0x%llx",
                 w->row.name, (unsigned long long)off, size, (unsigned long long)value);
    w->row.write(w->dev, off, size, value);
}

/* Bytes from @p off on that belong to no register, at most @p n. */
static unsigned gap(const struct vm_dev_window *w, uint64_t off, unsigned n)
{
    unsigned len = 1;
    while (len < n && find_reg(w->row.regs, off + len) == NULL)
        len++;
    return len;
}

static uint64_t window_read(void *opaque, uint64_t off, unsigned size)
{
    struct vm_dev_window *w = opaque;
    uint64_t value = 0;

    if (w->row.regs == NULL)
        return raw_read(w, off, size);
    for (unsigned done = 0; done < size;) {
        const struct vm_reg *r = find_reg(w->row.regs, off + done);
        unsigned n;
        uint64_t v;
        if (r != NULL) {
            const unsigned at = (unsigned)(off + done - r->offset);
            n = (unsigned)vm_min_u64(size - done, r->width - at);
            v = reg_read(w->dev, r) >> (at * 8);
        } else {
            n = gap(w, off + done, size - done);
            v = raw_read(w, off + done, n);
        }
        value |= (v & vm_mask(n * 8)) << (done * 8);
        done += n;
    }
    return value;
}

static void window_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
    struct vm_dev_window *w = opaque;

    if (w->row.regs == NULL) {
        raw_write(w, off, size, value);
        return;
    }
    for (unsigned done = 0; done < size;) {
        const struct vm_reg *r = find_reg(w->row.regs, off + done);
        const uint64_t v = value >> (done * 8);
        unsigned n;
        if (r != NULL) {
            const unsigned at = (unsigned)(off + done - r->offset);
            n = (unsigned)vm_min_u64(size - done, r->width - at);
            reg_write(w->dev, r, at, n, v & vm_mask(n * 8));
        } else {
            n = gap(w, off + done, size - done);
            raw_write(w, off + done, n, v & vm_mask(n * 8));
        }
        done += n;
    }
}

/* ---- making and placing ----------------------------------------------------------------- */

static int make_region(struct vm_dev *dev, uint32_t n)
{
    struct vm_dev_window *w = &dev->window_state[n];
    char name[96];
    snprintf(name, sizeof name, "%s.%s", dev->id, w->row.name);
    dev->windows[n] = vm__window_new(dev->m, name, w->row.space, w->row.size, &w->ops, w);
    return dev->windows[n] != NULL ? VM_OK : vm_last_error()->code;
}

int vm__dev_init_windows(struct vm_dev *dev)
{
    const struct vm_dev_class *cls = dev->cls;
    const struct vm_window single[] = {
        { "mmio", .size = cls->mmio_size, .regs = cls->regs },
        { 0 },
    };
    const struct vm_window *rows = cls->windows;
    if (rows == NULL)
        rows = cls->mmio_size != 0 ? single : single + 1;

    uint32_t n = 0;
    while (rows[n].name != NULL && n < VM_DEV_WINDOWS)
        n++;
    dev->window_state = calloc(n + 1, sizeof *dev->window_state);
    if (dev->window_state == NULL)
        return vm__fail_nomem(sizeof *dev->window_state);
    dev->n_windows = n;
    for (uint32_t i = 0; i < n; i++) {
        struct vm_dev_window *w = &dev->window_state[i];
        w->dev = dev;
        w->row = rows[i];
        w->ops = (struct vm_window_ops) {
            .read = window_read,
            .write = window_write,
            .min_access = rows[i].min_access,
            .max_access = rows[i].max_access,
            .parallel = cls->parallel,
            .late = rows[i].late,
        };
        if (rows[i].size != 0 && make_region(dev, i) != VM_OK)
            return vm_last_error()->code;
    }
    return VM_OK;
}

int vm__dev_window_size(struct vm_dev *dev, uint32_t n, uint64_t size)
{
    if (n >= dev->n_windows || dev->windows[n] != NULL)
        return vm__fail(VM_E_INVAL, "window %u has a size already", n);
    dev->window_state[n].row.size = size;
    return make_region(dev, n);
}

void vm__dev_free_windows(struct vm_dev *dev)
{
    for (uint32_t i = 0; i < dev->n_windows; i++)
        vm__region_free(dev->windows[i]);
    free(dev->window_state);
}

int vm__dev_map_at(struct vm_dev *dev, uint32_t n, uint64_t base, int priority)
{
    if (n >= dev->n_windows || dev->windows[n] == NULL)
        return vm__fail(VM_E_INVAL, "there is no window %u", n);
    return vm__region_place(dev->windows[n], base, priority);
}

int vm__dev_map(struct vm_dev *dev, uint32_t n, uint64_t base)
{
    return vm__dev_map_at(dev, n, base, VM_PRIO_DEVICE);
}

void vm__dev_enable(struct vm_dev *dev, uint32_t n, bool on)
{
    if (n < dev->n_windows && dev->windows[n] != NULL)
        vm__region_enable(dev->windows[n], on);
}

static void reset_table(struct vm_dev *dev, const struct vm_reg *regs)
{
    for (const struct vm_reg *r = regs; r != NULL && r->name != NULL; r++)
        if (r->stored)
            vm_put_le_n(storage(dev, r), r->width, r->reset);
}

void vm__dev_reset_regs(struct vm_dev *dev)
{
    for (uint32_t i = 0; i < dev->n_windows; i++)
        reset_table(dev, dev->window_state[i].row.regs);
}
