/* SPDX-License-Identifier: MIT */
/**
 * @file access.c
 * One access, or a copy, through the address space.
 */
#include <string.h>

#include "base/bits.h"
#include "base/endian.h"
#include "base/error.h"
#include "core/address_space.h"
#include "core/device.h"

enum { DMA_DEPTH = 4 }; /* windows that start DMA into windows: deeper is a loop a guest made */

void vm__mem_page(struct vm_machine *m, enum vm_view view, uint64_t gpa, struct vm_mem_page *out)
{
    const uint64_t first = vm_align_down(gpa, VM_PAGE_SIZE);
    const struct vm_flat *f = vm__flat_find(vm__flat_view(m, view), gpa);

    *out = (struct vm_mem_page) { 0 };
    if (f == NULL || f->ram == NULL || first < f->first || first + (VM_PAGE_SIZE - 1) > f->last)
        return;
    const uint64_t off = f->off + (first - f->extent_first);
    if (off % VM_PAGE_SIZE != 0)
        return;
    out->host = f->ram->host + off;
    out->page = &f->ram->pages[off >> VM_PAGE_SHIFT];
    out->writable = !f->readonly;
}

/* ---- windows ---------------------------------------------------------------------------- */

/* The largest naturally aligned piece at @p off that the window takes and @p size holds. */
static unsigned piece(uint64_t off, unsigned size, unsigned max)
{
    unsigned n = max;
    while (n > size || (off & (n - 1)) != 0)
        n >>= 1;
    return n;
}

static unsigned max_access(const struct vm_window_ops *ops, unsigned widest)
{
    return ops->max_access != 0 ? ops->max_access : widest;
}

static uint64_t window_read(struct vm_flat f, uint64_t off, unsigned size, unsigned widest)
{
    const struct vm_window_ops *ops = f.ops;
    const unsigned max = max_access(ops, widest);
    uint64_t value = 0;

    for (unsigned done = 0; done < size;) {
        unsigned n = piece(off + done, size - done, max);
        uint64_t v;
        if (n < ops->min_access) {
            const uint64_t base = vm_align_down(off + done, ops->min_access);
            const unsigned skip = (unsigned)(off + done - base);
            n = (unsigned)vm_min_u64(size - done, ops->min_access - skip);
            v = ops->read(f.opaque, base, ops->min_access) >> (skip * 8);
        } else {
            v = ops->read(f.opaque, off + done, n);
        }
        value |= (v & vm_mask(n * 8)) << (done * 8);
        done += n;
    }
    return value;
}

static void window_write(struct vm_flat f, uint64_t off, unsigned size, unsigned widest,
                         uint64_t value)
{
    const struct vm_window_ops *ops = f.ops;
    const unsigned max = max_access(ops, widest);

    for (unsigned done = 0; done < size;) {
        unsigned n = piece(off + done, size - done, max);
        const uint64_t v = value >> (done * 8);
        if (n < ops->min_access) {
            const uint64_t base = vm_align_down(off + done, ops->min_access);
            const unsigned skip = (unsigned)(off + done - base);
            n = (unsigned)vm_min_u64(size - done, ops->min_access - skip);
            ops->write(f.opaque, base, ops->min_access, (v & vm_mask(n * 8)) << (skip * 8));
        } else {
            ops->write(f.opaque, off + done, n, v & vm_mask(n * 8));
        }
        done += n;
    }
}

/* The whole access belongs to this stretch; see region.h for the rule. */
static bool whole(const struct vm_flat *f, uint64_t address, unsigned size)
{
    const uint64_t end = f->ram != NULL ? f->last : f->extent_last;
    return size - 1 <= end - address;
}

static uint64_t ram_read(const struct vm_flat *f, uint64_t address, unsigned size)
{
    return vm_le_n(f->ram->host + f->off + (address - f->extent_first), size);
}

static void ram_write(const struct vm_flat *f, uint64_t address, unsigned size, uint64_t value)
{
    struct vm_ram *ram = f->readonly ? f->write_ram : f->ram;
    const uint64_t off = (f->readonly ? f->write_off : f->off) + (address - f->extent_first);
    if (ram != NULL) {
        vm_put_le_n(ram->host + off, size, value);
        vm__ram_written(ram, off, size);
    }
}

/*
 * Windows are looked up again under the lock: while this thread waited for it, the device may have
 * been moved or freed. Under the lock the map changes only by the handler's own doing; as an access
 * in several pieces calls it again after that, the stretch is copied first.
 */
static uint64_t space_read(struct vm_machine *m, unsigned which, uint64_t address, unsigned size,
                           unsigned widest)
{
    const struct vm_flat *f = vm__flat_find(vm__flat_view(m, which), address);
    uint64_t value = 0;

    if (f != NULL && whole(f, address, size)) {
        const uint64_t off = f->off + (address - f->extent_first);
        if (f->ram != NULL)
            return ram_read(f, address, size);
        if (f->ops->parallel || vm__locked(m))
            return window_read(*f, off, size, widest);
        vm__lock(m);
        value = space_read(m, which, address, size, widest);
        vm__unlock(m);
        return value;
    }
    if (size == 1)
        return 0xff; /* nobody drives the bus */
    for (unsigned i = 0; i < size; i++)
        value |= space_read(m, which, address + i, 1, widest) << (i * 8);
    return value;
}

static void space_write(struct vm_machine *m, unsigned which, uint64_t address, unsigned size,
                        unsigned widest, uint64_t value)
{
    const struct vm_flat *f = vm__flat_find(vm__flat_view(m, which), address);

    if (f != NULL && whole(f, address, size)) {
        const uint64_t off = f->off + (address - f->extent_first);
        if (f->ram != NULL) {
            ram_write(f, address, size, value);
        } else if (f->ops->parallel || vm__locked(m)) {
            window_write(*f, off, size, widest, value);
        } else {
            vm__lock(m);
            space_write(m, which, address, size, widest, value);
            vm__unlock(m);
        }
        return;
    }
    if (size == 1)
        return;
    for (unsigned i = 0; i < size; i++)
        space_write(m, which, address + i, 1, widest, (value >> (i * 8)) & 0xff);
}

uint64_t vm__mmio_read(struct vm_machine *m, enum vm_view view, uint64_t gpa, unsigned size)
{
    return space_read(m, view, gpa, size, 8);
}

void vm__mmio_write(struct vm_machine *m, enum vm_view view, uint64_t gpa, unsigned size,
                    uint64_t value)
{
    space_write(m, view, gpa, size, 8, value);
}

uint32_t vm__port_read(struct vm_machine *m, uint16_t port, unsigned size)
{
    return (uint32_t)space_read(m, VM_FLAT_PORT, port, size, 4);
}

void vm__port_write(struct vm_machine *m, uint16_t port, unsigned size, uint32_t value)
{
    space_write(m, VM_FLAT_PORT, port, size, 4, value);
}

/* ---- copies ----------------------------------------------------------------------------- */

static const struct vm_flat *at(struct vm_machine *m, uint64_t gpa)
{
    /* Looked up anew for every stretch: a window's handler may have changed the map. */
    vm__mem_flush(m);
    return vm__flat_find(vm__flat_view(m, VM_VIEW_NORMAL), gpa);
}

static int no_memory(uint64_t gpa)
{
    return vm__fail_at(VM_E_RANGE, gpa, "no memory at guest address 0x%llx",
                       (unsigned long long)gpa);
}

int vm__mem_read(struct vm_machine *m, uint64_t gpa, void *buf, size_t len)
{
    uint8_t *to = buf;
    int st = VM_OK;
    vm__lock(m);
    while (len != 0) {
        const struct vm_flat *f = at(m, gpa);
        if (f == NULL || f->ram == NULL) {
            st = no_memory(gpa);
            break;
        }
        const size_t n = len - 1 <= f->last - gpa ? len : (size_t)(f->last - gpa + 1);
        memcpy(to, f->ram->host + f->off + (gpa - f->extent_first), n);
        to += n;
        gpa += n;
        len -= n;
    }
    vm__unlock(m);
    return st;
}

int vm__mem_write(struct vm_machine *m, uint64_t gpa, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    int st = VM_OK;
    vm__lock(m);
    while (len != 0) {
        const struct vm_flat *f = at(m, gpa);
        if (f == NULL || f->ram == NULL || f->readonly) {
            st = no_memory(gpa);
            break;
        }
        const size_t n = len - 1 <= f->last - gpa ? len : (size_t)(f->last - gpa + 1);
        const uint64_t off = f->off + (gpa - f->extent_first);
        memcpy(f->ram->host + off, from, n);
        vm__ram_written(f->ram, off, n);
        from += n;
        gpa += n;
        len -= n;
    }
    vm__unlock(m);
    return st;
}

/* One aligned step of DMA into what is not plain memory. */
static unsigned step(uint64_t gpa, size_t len)
{
    return piece(gpa, len < 8 ? (unsigned)len : 8, 8);
}

int vm__dma_read(struct vm_dev *dev, uint64_t gpa, void *buf, size_t len)
{
    struct vm_machine *m = dev->m;
    uint8_t *to = buf;
    int st = VM_OK;

    vm__lock(m);
    const bool deep = m->mem->dma_depth >= DMA_DEPTH;
    m->mem->dma_depth++;
    while (len != 0) {
        const struct vm_flat *f = at(m, gpa);
        size_t n;
        if (f != NULL && f->ram != NULL) {
            n = len - 1 <= f->last - gpa ? len : (size_t)(f->last - gpa + 1);
            memcpy(to, f->ram->host + f->off + (gpa - f->extent_first), n);
        } else {
            n = step(gpa, len);
            const bool window = f != NULL && !deep;
            vm_put_le_n(to, (unsigned)n,
                        window ? vm__mmio_read(m, VM_VIEW_NORMAL, gpa, (unsigned)n) : UINT64_MAX);
            if (!window)
                st = VM_E_RANGE;
        }
        to += n;
        gpa += n;
        len -= n;
    }
    m->mem->dma_depth--;
    vm__unlock(m);
    return st;
}

int vm__dma_write(struct vm_dev *dev, uint64_t gpa, const void *buf, size_t len)
{
    struct vm_machine *m = dev->m;
    const uint8_t *from = buf;
    int st = VM_OK;

    vm__lock(m);
    const bool deep = m->mem->dma_depth >= DMA_DEPTH;
    m->mem->dma_depth++;
    while (len != 0) {
        const struct vm_flat *f = at(m, gpa);
        size_t n;
        if (f != NULL && f->ram != NULL && !f->readonly) {
            n = len - 1 <= f->last - gpa ? len : (size_t)(f->last - gpa + 1);
            const uint64_t off = f->off + (gpa - f->extent_first);
            memcpy(f->ram->host + off, from, n);
            vm__ram_written(f->ram, off, n);
        } else {
            n = step(gpa, len);
            if (f != NULL && !deep)
                vm__mmio_write(m, VM_VIEW_NORMAL, gpa, (unsigned)n, vm_le_n(from, (unsigned)n));
            else
                st = VM_E_RANGE;
        }
        from += n;
        gpa += n;
        len -= n;
    }
    m->mem->dma_depth--;
    vm__unlock(m);
    return st;
}
