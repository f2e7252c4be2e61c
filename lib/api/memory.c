/* SPDX-License-Identifier: MIT */
/**
 * @file memory.c
 * Exported: guest memory, and windows that call the embedder.
 */
#include <libvm/memory.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/region.h"
#include "core/run.h"

int vm_mem_read(vm_machine *m, uint64_t gpa, void *buf, size_t len)
{
    if (m == NULL || (buf == NULL && len != 0))
        return vm__fail(VM_E_INVAL, "no machine or no buffer");
    return vm__mem_read(m, gpa, buf, len);
}

int vm_mem_write(vm_machine *m, uint64_t gpa, const void *buf, size_t len)
{
    if (m == NULL || (buf == NULL && len != 0))
        return vm__fail(VM_E_INVAL, "no machine or no buffer");
    return vm__mem_write(m, gpa, buf, len);
}

/* ---- windows of the embedder's ---------------------------------------------------------- */

struct user_window {
    struct vm_machine *m;
    vm_io_ops calls;
    struct vm_window_ops ops;
    void *ud;
    vm_free_fn free_ud;
};

static void callback_failed(struct vm_machine *m, int status)
{
    vm__request_error(m, VM_E_CALLBACK, vm_strerror(status));
}

static uint64_t user_read(void *opaque, uint64_t off, unsigned size)
{
    struct user_window *w = opaque;
    uint64_t value = UINT64_MAX;
    if (w->calls.read == NULL)
        return value;
    const int st = w->calls.read(w->ud, off, size, &value);
    if (st < 0)
        callback_failed(w->m, st);
    return value;
}

static void user_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
    struct user_window *w = opaque;
    if (w->calls.write == NULL)
        return;
    const int st = w->calls.write(w->ud, off, size, value);
    if (st < 0)
        callback_failed(w->m, st);
}

static void user_free(void *opaque)
{
    struct user_window *w = opaque;
    if (w->free_ud != NULL)
        w->free_ud(w->ud);
    free(w);
}

static int good_access(uint32_t bytes)
{
    return bytes == 0 || bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

static vm_region *add_window(vm_machine *m, const char *name, enum vm_space space, uint64_t base,
                             uint64_t size, const vm_io_ops *calls, void *ud, vm_free_fn free_ud)
{
    if (m == NULL || name == NULL || calls == NULL || !good_access(calls->min_access) ||
        !good_access(calls->max_access) ||
        (calls->max_access != 0 && calls->min_access > calls->max_access)) {
        vm__fail(VM_E_INVAL, "no machine, name or calls, or access sizes that are none");
        return NULL;
    }
    struct user_window *w = calloc(1, sizeof *w);
    if (w == NULL) {
        vm__fail_nomem(sizeof *w);
        return NULL;
    }
    w->m = m;
    memcpy(&w->calls, calls, calls->size < sizeof w->calls ? calls->size : sizeof w->calls);
    w->ops = (struct vm_window_ops) {
        .read = user_read,
        .write = user_write,
        .min_access = (uint8_t)w->calls.min_access,
        .max_access = (uint8_t)w->calls.max_access,
    };
    w->ud = ud;
    struct vm_region *r = vm__window_new(m, name, space, size, &w->ops, w);
    if (r == NULL) {
        free(w);
        return NULL;
    }
    vm__region_on_free(r, user_free);
    if (vm__region_place(r, base, VM_PRIO_USER) != VM_OK) {
        vm__region_free(r); /* without the caller's free: it keeps what it could not hand over */
        return NULL;
    }
    w->free_ud = free_ud;
    return r;
}

vm_region *vm_mmio_add(vm_machine *m, const char *name, uint64_t gpa, uint64_t size,
                       const vm_io_ops *ops, void *ud, vm_free_fn free_ud)
{
    return add_window(m, name, VM_SPACE_MEM, gpa, size, ops, ud, free_ud);
}

vm_region *vm_pio_add(vm_machine *m, const char *name, uint16_t port, uint32_t count,
                      const vm_io_ops *ops, void *ud, vm_free_fn free_ud)
{
    return add_window(m, name, VM_SPACE_PORT, port, count, ops, ud, free_ud);
}

/* ---- memory of the embedder's ----------------------------------------------------------- */

static vm_region *place(struct vm_region *r, uint64_t gpa)
{
    if (r != NULL && (gpa % VM_PAGE_SIZE != 0 || vm__region_place(r, gpa, VM_PRIO_USER) != VM_OK)) {
        vm__region_free(r);
        vm__fail_at(VM_E_RANGE, gpa, "no place for memory at 0x%llx", (unsigned long long)gpa);
        return NULL;
    }
    return r;
}

static int good(vm_machine *m, const char *name)
{
    if (m != NULL && name != NULL)
        return 1;
    vm__fail(VM_E_INVAL, "no machine or no name");
    return 0;
}

vm_region *vm_ram_add(vm_machine *m, const char *name, uint64_t gpa, uint64_t size)
{
    return good(m, name) ? place(vm__ram_new(m, name, size), gpa) : NULL;
}

vm_region *vm_ram_add_ptr(vm_machine *m, const char *name, uint64_t gpa, void *host, uint64_t size,
                          vm_free_fn free_ud, void *ud)
{
    return good(m, name) ? place(vm__ram_new_ptr(m, name, host, size, free_ud, ud), gpa) : NULL;
}

vm_region *vm_rom_add(vm_machine *m, const char *name, uint64_t gpa, const void *data,
                      uint64_t size)
{
    if (!good(m, name))
        return NULL;
    const uint64_t whole = (size + (VM_PAGE_SIZE - 1)) & ~(uint64_t)(VM_PAGE_SIZE - 1);
    if (data == NULL || size == 0 || whole < size) {
        vm__fail(VM_E_INVAL, "%s: no bytes", name);
        return NULL;
    }
    return place(vm__rom_new(m, name, data, size, whole), gpa);
}

int vm_region_move(vm_region *r, uint64_t address)
{
    return r != NULL ? vm__region_place(r, address, VM_PRIO_USER)
                     : vm__fail(VM_E_INVAL, "no region");
}

int vm_region_enable(vm_region *r, int on)
{
    if (r == NULL)
        return vm__fail(VM_E_INVAL, "no region");
    vm__region_enable(r, on != 0);
    return VM_OK;
}

int vm_region_remove(vm_region *r)
{
    if (r == NULL)
        return vm__fail(VM_E_INVAL, "no region");
    vm__region_free(r);
    return VM_OK;
}
