/* SPDX-License-Identifier: MIT */
#include "devices/virtio_driver.h"

#include <criterion/criterion.h>
#include <stdarg.h>

#include "devices/pci/pci.h"

enum { DESC = DRV_RINGS, AVAIL = DRV_RINGS + 0x1000, USED = DRV_RINGS + 0x2000 };

void drv_config(struct drv *d, uint32_t reg, unsigned size, uint32_t value)
{
    fake_out32(d->f, 0xcf8, 0x80000000u | DRV_DEVFN << 8 | (reg & 0xfc));
    vm__port_write(d->f->m, (uint16_t)(0xcfc + (reg & 3)), size, value);
}

uint32_t drv_config_read(struct drv *d, uint32_t reg, unsigned size)
{
    fake_out32(d->f, 0xcf8, 0x80000000u | DRV_DEVFN << 8 | (reg & 0xfc));
    return vm__port_read(d->f->m, (uint16_t)(0xcfc + (reg & 3)), size);
}

void drv_make(struct drv *d, struct fake_machine *f, const struct vm_dev_class *cls, ...)
{
    struct vm_setting settings[16] = { 0 };
    va_list args;
    va_start(args, cls);
    for (unsigned n = 0; n < 15; n++) {
        settings[n].name = va_arg(args, const char *);
        if (settings[n].name == NULL)
            break;
        settings[n].value = va_arg(args, const char *);
    }
    va_end(args);
    *d = (struct drv) { .f = f };
    d->host = vm__dev_new(f->m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(d->host);
    cr_assert_not_null(vm__pci_add(bus, d->host, 0));
    d->dev = vm__pci_add(bus, vm__dev_new(f->m, cls, "dut", settings), DRV_DEVFN);
    cr_assert_not_null(d->dev, "%s", vm_last_error()->message);
    fake_reset(d->dev, VM_DEV_RESET_COLD);
    drv_config(d, 0x10, 4, DRV_IO);
    drv_config(d, 0x14, 4, DRV_MSIX);
    drv_config(d, 0x20, 4, DRV_MODERN);
    drv_config(d, 0x04, 2, 7);
}

static void start_queue_modern(struct drv *d)
{
    fake_write(d->f, DRV_COMMON + 0x16, 2, 0);
    fake_write(d->f, DRV_COMMON + 0x18, 2, DRV_SIZE);
    fake_write(d->f, DRV_COMMON + 0x20, 4, DESC);
    fake_write(d->f, DRV_COMMON + 0x24, 4, 0);
    fake_write(d->f, DRV_COMMON + 0x28, 8, AVAIL);
    fake_write(d->f, DRV_COMMON + 0x30, 8, USED);
    fake_write(d->f, DRV_COMMON + 0x1c, 2, 1);
}

static void clear_rings(struct drv *d)
{
    static const uint8_t zero[0x4000];
    cr_assert_eq(vm__mem_write(d->f->m, DRV_RINGS, zero, sizeof zero), VM_OK);
    d->avail = d->used = d->free_desc = 0;
    d->avail_wrap = d->used_wrap = 1;
}

uint8_t drv_start(struct drv *d, uint64_t features)
{
    clear_rings(d);
    d->features = features;
    d->packed = features >> 34 & 1;
    if (d->legacy) {
        fake_out8(d->f, DRV_IO + 0x12, 0);
        fake_out8(d->f, DRV_IO + 0x12, 3);
        fake_out32(d->f, DRV_IO + 4, (uint32_t)features);
        fake_out16(d->f, DRV_IO + 0x0e, 0);
        fake_out32(d->f, DRV_IO + 8, DRV_RINGS >> 12);
        fake_out8(d->f, DRV_IO + 0x12, 7);
        return fake_in8(d->f, DRV_IO + 0x12);
    }
    fake_write(d->f, DRV_COMMON + 0x14, 1, 0);
    fake_write(d->f, DRV_COMMON + 0x14, 1, 3);
    for (uint32_t i = 0; i < 2; i++) {
        fake_write(d->f, DRV_COMMON + 0x08, 4, i);
        fake_write(d->f, DRV_COMMON + 0x0c, 4, (uint32_t)(features >> 32 * i));
    }
    fake_write(d->f, DRV_COMMON + 0x14, 1, 0x0b);
    start_queue_modern(d);
    fake_write(d->f, DRV_COMMON + 0x14, 1, 0x0f);
    return drv_status(d);
}

uint8_t drv_status(struct drv *d)
{
    return d->legacy ? fake_in8(d->f, DRV_IO + 0x12)
                     : (uint8_t)fake_read(d->f, DRV_COMMON + 0x14, 1);
}

static void put(struct drv *d, uint64_t gpa, unsigned size, uint64_t v)
{
    uint8_t b[8];
    vm_put_le_n(b, size, v);
    cr_assert_eq(vm__mem_write(d->f->m, gpa, b, size), VM_OK);
}

static uint64_t get(struct drv *d, uint64_t gpa, unsigned size)
{
    uint8_t b[8];
    cr_assert_eq(vm__mem_read(d->f->m, gpa, b, size), VM_OK);
    return vm_le_n(b, size);
}

static void put_desc(struct drv *d, uint64_t at, const struct drv_buf *b, uint16_t a, uint16_t c)
{
    put(d, at, 8, b->gpa);
    put(d, at + 8, 4, b->len);
    put(d, at + 12, 2, a);
    put(d, at + 14, 2, c);
}

static uint16_t add_packed(struct drv *d, const struct drv_buf *buf, unsigned n)
{
    const uint16_t id = d->avail;
    d->length[id] = (uint16_t)n;
    for (unsigned i = 0; i < n; i++) {
        const uint16_t flags = (uint16_t)((buf[i].flags & ~DRV_NEXT) | (i + 1 < n ? DRV_NEXT : 0) |
                                          (d->avail_wrap ? 0x80 : 0x8000));
        put_desc(d, DESC + 16u * d->avail, &buf[i], id, flags);
        if (++d->avail == DRV_SIZE) {
            d->avail = 0;
            d->avail_wrap ^= 1;
        }
    }
    return id;
}

/* In the legacy layout the available ring follows the device's own number of descriptors. */
static uint64_t avail_ring(const struct drv *d)
{
    return d->legacy ? DRV_RINGS + 16 * 256 : AVAIL;
}

static uint64_t used_ring(const struct drv *d)
{
    return d->legacy ? DRV_RINGS + 0x2000 : USED;
}

static unsigned ring_size(const struct drv *d)
{
    return d->legacy ? 256 : DRV_SIZE;
}

static uint16_t add_split(struct drv *d, const struct drv_buf *buf, unsigned n)
{
    const uint16_t head = d->free_desc % DRV_SIZE;
    for (unsigned i = 0; i < n; i++) {
        const uint16_t at = (uint16_t)((head + i) % DRV_SIZE),
                       next = (uint16_t)((at + 1) % DRV_SIZE);
        put_desc(d, DESC + 16u * at, &buf[i], (uint16_t)(buf[i].flags | (i + 1 < n ? DRV_NEXT : 0)),
                 next);
    }
    d->free_desc = (uint16_t)(head + n);
    put(d, avail_ring(d) + 4 + 2u * (d->avail % ring_size(d)), 2, head);
    d->avail++;
    put(d, avail_ring(d) + 2, 2, d->avail);
    return head;
}

uint16_t drv_add(struct drv *d, const struct drv_buf *buf, unsigned n)
{
    return d->packed ? add_packed(d, buf, n) : add_split(d, buf, n);
}

void drv_kick(struct drv *d)
{
    if (d->legacy)
        fake_out16(d->f, DRV_IO + 0x10, 0);
    else
        fake_write(d->f, DRV_NOTIFY, 2, 0);
}

int drv_used(struct drv *d, uint32_t *len)
{
    if (d->packed) {
        const uint64_t at = DESC + 16u * d->used;
        const uint16_t flags = (uint16_t)get(d, at + 14, 2);
        if ((flags >> 7 & 1) != d->used_wrap || flags >> 15 != d->used_wrap)
            return -1;
        *len = (uint32_t)get(d, at + 8, 4);
        const int id = (int)get(d, at + 12, 2);
        d->used = (uint16_t)(d->used + d->length[id % DRV_SIZE]);
        if (d->used >= DRV_SIZE) {
            d->used = (uint16_t)(d->used - DRV_SIZE);
            d->used_wrap ^= 1;
        }
        return id;
    }
    if ((uint16_t)get(d, used_ring(d) + 2, 2) == d->used)
        return -1;
    const uint64_t at = used_ring(d) + 4 + 8u * (d->used++ % ring_size(d));
    *len = (uint32_t)get(d, at + 4, 4);
    return (int)get(d, at, 4);
}
