/* SPDX-License-Identifier: MIT */
/**
 * @file region.c
 * Making, placing and freeing regions; publishing new flat lists.
 */
#include "core/region.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/checked.h"
#include "base/error.h"
#include "core/address_space.h"
#include "core/doorbell.h"

int vm__mem_init(struct vm_machine *m)
{
    m->mem = calloc(1, sizeof *m->mem);
    if (m->mem == NULL)
        return vm__fail_nomem(sizeof *m->mem);
    atomic_store(&m->mem->epoch, 1);
    for (unsigned i = 0; i < VM_FLAT_COUNT; i++) {
        struct vm_flat_view *v = vm__flat_build(NULL, i);
        if (v == NULL)
            return vm__fail_nomem(sizeof *v);
        atomic_store(&m->mem->view[i], v);
    }
    return VM_OK;
}

static void free_retired(struct vm_address_space *as, uint64_t oldest)
{
    struct vm_retired **link = &as->retired;
    while (*link != NULL) {
        struct vm_retired *r = *link;
        if (r->epoch > oldest) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        if (r->is_ram)
            vm__ram_block_free(VM_CONTAINER_OF(r, struct vm_ram, retired));
        else
            free(VM_CONTAINER_OF(r, struct vm_flat_view, retired));
    }
}

static void free_region(struct vm_region *r)
{
    if (r->free_opaque != NULL)
        r->free_opaque(r->opaque);
    free(r->name);
    free(r);
}

void vm__mem_fini(struct vm_machine *m)
{
    struct vm_address_space *as = m->mem;
    if (as == NULL)
        return;
    free_retired(as, UINT64_MAX);
    for (unsigned i = 0; i < VM_FLAT_COUNT; i++)
        free(atomic_load(&as->view[i]));
    while (as->regions != NULL) {
        struct vm_region *r = as->regions;
        as->regions = r->next;
        vm__ram_block_free(r->ram);
        free_region(r);
    }
    free(as);
    m->mem = NULL;
}

/* Free a list or memory once no processor reads it. */
static void retire(struct vm_address_space *as, struct vm_retired *r, bool is_ram)
{
    *r = (struct vm_retired) { atomic_load(&as->epoch), as->retired, is_ram };
    as->retired = r;
}

static void publish(struct vm_machine *m)
{
    struct vm_address_space *as = m->mem;
    struct vm_flat_view *fresh[VM_FLAT_COUNT] = { 0 };

    for (unsigned i = 0; i < VM_FLAT_COUNT; i++) {
        fresh[i] = vm__flat_build(as->regions, i);
        if (fresh[i] == NULL) {
            /* The old map stays; the next change tries again. */
            while (i-- > 0)
                free(fresh[i]);
            vm__logf(&m->log, VM_LOG_ERROR, VM_LOG_GENERAL, "memory", "no memory for the map");
            return;
        }
    }
    atomic_fetch_add(&as->epoch, 1);
    for (unsigned i = 0; i < VM_FLAT_COUNT; i++)
        retire(as, &atomic_exchange(&as->view[i], fresh[i])->retired, false);
    as->changed = false;
    if (as->mirror != NULL)
        as->mirror->changed(as->mirror->ud);
    for (uint32_t i = 0; i < m->n_cpus; i++)
        vm__cpu_kick(m->cpus[i], VM_CPU_REQ_MEM | VM_CPU_REQ_YIELD);
    if (as->dma_pieces == 0)
        free_retired(as, vm__run_oldest_epoch(m));
}

void vm__mem_flush(struct vm_machine *m)
{
    if (m->mem->changed)
        publish(m);
}

void vm__mem_begin(struct vm_machine *m)
{
    vm__lock(m);
    m->mem->depth++;
}

void vm__mem_commit(struct vm_machine *m)
{
    if (--m->mem->depth == 0 && m->mem->changed)
        publish(m);
    vm__unlock(m);
}

static void changed(struct vm_region *r)
{
    if (r->placed)
        r->m->mem->changed = true;
}

/* A region like @p like; from here on others may see it. */
static struct vm_region *new_region(struct vm_machine *m, const char *name,
                                    const struct vm_region *like)
{
    struct vm_region *r = calloc(1, sizeof *r);
    char *copy = strdup(name);
    if (r == NULL || copy == NULL) {
        free(r);
        free(copy);
        vm__fail_nomem(sizeof *r);
        return NULL;
    }
    *r = *like;
    r->m = m;
    r->name = copy;
    r->views = VM_IN_BOTH;
    vm__lock(m);
    r->order = ++m->mem->order;
    r->next = m->mem->regions;
    m->mem->regions = r;
    vm__unlock(m);
    return r;
}

static struct vm_region *memory_region(struct vm_machine *m, const char *name,
                                       enum vm_region_kind kind, struct vm_ram *ram)
{
    if (ram == NULL) {
        vm__fail_prefix(vm_last_error()->code, "%s: ", name);
        return NULL;
    }
    const struct vm_region like = {
        .kind = kind, .size = ram->size, .ram = ram, .readonly = kind == VM_REGION_ROM
    };
    struct vm_region *r = new_region(m, name, &like);
    if (r == NULL)
        vm__ram_block_free(ram);
    return r;
}

struct vm_region *vm__ram_new(struct vm_machine *m, const char *name, uint64_t size)
{
    return memory_region(m, name, VM_REGION_RAM, vm__ram_block_new(name, size));
}

struct vm_region *vm__ram_new_ptr(struct vm_machine *m, const char *name, void *host, uint64_t size,
                                  void (*free_fn)(void *ud), void *ud)
{
    return memory_region(m, name, VM_REGION_RAM, vm__ram_block_ptr(host, size, free_fn, ud));
}

struct vm_region *vm__rom_new(struct vm_machine *m, const char *name, const void *data,
                              uint64_t len, uint64_t size)
{
    if (len > size) {
        vm__fail(VM_E_INVAL, "%s: 0x%llx bytes do not fit into 0x%llx", name,
                 (unsigned long long)len, (unsigned long long)size);
        return NULL;
    }
    struct vm_region *r = memory_region(m, name, VM_REGION_ROM, vm__ram_block_new(name, size));
    if (r != NULL && len != 0)
        memcpy(r->ram->host, data, len);
    return r;
}

struct vm_region *vm__window_new(struct vm_machine *m, const char *name, enum vm_space space,
                                 uint64_t size, const struct vm_window_ops *ops, void *opaque)
{
    if (size == 0 || (space == VM_SPACE_PORT && size > 0x10000)) {
        vm__fail(VM_E_INVAL, "%s: a window of 0x%llx bytes", name, (unsigned long long)size);
        return NULL;
    }
    const struct vm_region like = {
        .kind = VM_REGION_WINDOW, .space = space, .size = size, .ops = ops, .opaque = opaque
    };
    return new_region(m, name, &like);
}

struct vm_region *vm__alias_new(struct vm_machine *m, const char *name, struct vm_region *target,
                                uint64_t off, uint64_t size)
{
    if (size == 0 || !vm_in_range(off, size, target->size)) {
        vm__fail(VM_E_RANGE, "%s: 0x%llx bytes at 0x%llx are not within %s", name,
                 (unsigned long long)size, (unsigned long long)off, target->name);
        return NULL;
    }
    const struct vm_region like = {
        .kind = VM_REGION_ALIAS,
        .space = target->space,
        .size = size,
        .target = target,
        .target_off = off,
    };
    return new_region(m, name, &like);
}

void vm__region_on_free(struct vm_region *r, void (*fn)(void *opaque))
{
    r->free_opaque = fn;
}

int vm__region_place(struct vm_region *r, uint64_t base, int priority)
{
    const uint64_t limit = r->space == VM_SPACE_PORT ? 0xffff : UINT64_MAX;
    if (base > limit || r->size - 1 > limit - base)
        return vm__fail_at(VM_E_RANGE, base, "%s: 0x%llx bytes at 0x%llx leave the address space",
                           r->name, (unsigned long long)r->size, (unsigned long long)base);
    vm__mem_begin(r->m);
    if (!r->placed || r->base != base || r->priority != priority || !r->enabled) {
        r->placed = r->enabled = true;
        r->base = base;
        r->priority = priority;
        changed(r);
    }
    vm__mem_commit(r->m);
    return VM_OK;
}

void vm__region_enable(struct vm_region *r, bool on)
{
    vm__mem_begin(r->m);
    if (r->enabled != on) {
        r->enabled = on;
        changed(r);
    }
    vm__mem_commit(r->m);
}

void vm__region_views(struct vm_region *r, unsigned views)
{
    vm__mem_begin(r->m);
    if (r->views != views) {
        r->views = views;
        changed(r);
    }
    vm__mem_commit(r->m);
}

void vm__region_readonly(struct vm_region *r, bool readonly)
{
    vm__mem_begin(r->m);
    if (r->readonly != readonly) {
        r->readonly = readonly;
        r->m->mem->changed = true; /* it may be seen through an alias */
    }
    vm__mem_commit(r->m);
}

void vm__region_writes_to(struct vm_region *r, struct vm_region *target, uint64_t off)
{
    if (target != NULL && !vm_in_range(off, r->size, target->size))
        target = NULL; /* writes are dropped rather than misdirected */
    vm__mem_begin(r->m);
    if (r->writes_to != target || r->writes_off != off) {
        r->writes_to = target;
        r->writes_off = off;
        changed(r);
    }
    vm__mem_commit(r->m);
}

/* What showed a region that goes away shows nothing. */
static void orphan(struct vm_address_space *as, const struct vm_region *gone)
{
    for (struct vm_region *r = as->regions; r != NULL; r = r->next) {
        if (r->target == gone) {
            r->target = NULL;
            as->changed = true;
        }
        if (r->writes_to == gone) {
            r->writes_to = NULL;
            as->changed = true;
        }
    }
}

void vm__region_free(struct vm_region *r)
{
    if (r == NULL)
        return;
    struct vm_machine *m = r->m;
    vm__mem_begin(m);
    struct vm_region **link = &m->mem->regions;
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    changed(r);
    orphan(m->mem, r);
    vm__doorbell_forget(m, r);
    vm__mem_flush(m); /* now: the caller may be about to free what the window calls */
    if (r->ram != NULL)
        retire(m->mem, &r->ram->retired, true);
    free_region(r);
    vm__mem_commit(m);
}

uint8_t *vm__region_host(struct vm_region *r)
{
    if (r->kind == VM_REGION_ALIAS) {
        uint8_t *host = r->target != NULL ? vm__region_host(r->target) : NULL;
        return host != NULL ? host + r->target_off : NULL;
    }
    return r->ram != NULL ? r->ram->host : NULL;
}

uint64_t vm__region_size(const struct vm_region *r)
{
    return r->size;
}

const char *vm__region_name(const struct vm_region *r)
{
    return r->name;
}

struct vm_page *vm__region_pages(struct vm_region *r)
{
    return r->ram != NULL ? r->ram->pages : NULL;
}

void vm__region_written(struct vm_region *r, uint64_t off, uint64_t len)
{
    for (; r != NULL && r->kind == VM_REGION_ALIAS; r = r->target)
        off += r->target_off;
    if (r != NULL && r->ram != NULL && vm_in_range(off, len, r->ram->size))
        vm__ram_written(r->ram, off, len);
}
