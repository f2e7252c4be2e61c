/* SPDX-License-Identifier: MIT */
/**
 * @file slots.c
 * KVM's memory slots: a copy of the normal view of the address space, made again when that changes.
 *
 * RAM is a slot, memory that the guest may not write to a read-only slot: writes are exits and end
 * where the address space sends them. Windows and holes are no slots. Aliases need nothing: two
 * slots may show the same memory. Neighbours are not joined, so that a change of one leaves what
 * the guest has mapped of the others alone. System management mode and a masked A20 are run by the
 * interpreter, so their views need no slots.
 *
 * Spec: [KVM KVM_SET_USER_MEMORY_REGION], [KVM KVM_GET_DIRTY_LOG].
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/address_space.h"
#include "cpu/kvm/kvm.h"

/* ---- what there should be ---- */

struct wanted {
    struct kvm_slot *e;
    uint32_t n, room;
    bool failed;
};

/* Somebody wants to know which pages are written (core/dirty.h). */
static bool is_logged(const struct vm_ram *ram, uint64_t off)
{
    return atomic_load_explicit(&ram->pages[off >> VM_PAGE_SHIFT].flags, memory_order_relaxed) &
           VM_PAGE_LOG_DIRTY;
}

static void want(struct wanted *w, const struct kvm_slot *s)
{
    if (w->n == w->room) {
        const uint32_t room = w->room != 0 ? w->room * 2 : 32;
        struct kvm_slot *e = realloc(w->e, room * sizeof *e);
        if (e == NULL) {
            w->failed = true;
            return;
        }
        w->e = e;
        w->room = room;
    }
    w->e[w->n++] = *s;
}

/* Whole pages of a stretch; the rest is reached by exits. */
static void want_flat(struct kvm *v, struct wanted *w, const struct vm_flat *f)
{
    const uint64_t mask = VM_PAGE_SIZE - 1;
    const uint64_t first = (f->first + mask) & ~mask, end = (f->last + 1) & ~mask;

    if (f->ram == NULL || first >= end || (f->readonly && !v->caps.readonly_mem))
        return;
    struct kvm_slot s = {
        .gpa = first, .size = end - first, .ram = f->ram, .off = f->off + (first - f->extent_first)
    };
    s.host = f->ram->host + s.off;
    if ((s.off & mask) != 0 || ((uintptr_t)s.host & mask) != 0)
        return;
    if (f->readonly)
        s.flags = KVM_MEM_READONLY;
    else if (is_logged(s.ram, s.off))
        s.flags = KVM_MEM_LOG_DIRTY_PAGES;
    want(w, &s);
}

/* ---- making it so ---- */

static bool same(const struct kvm_slot *a, const struct kvm_slot *b)
{
    return a->gpa == b->gpa && a->size == b->size && a->host == b->host && a->flags == b->flags &&
           a->ram == b->ram;
}

static bool wanted_still(const struct wanted *w, const struct kvm_slot *s)
{
    for (uint32_t n = 0; n < w->n; n++)
        if (same(&w->e[n], s))
            return true;
    return false;
}

static int set(struct kvm *v, const struct kvm_slot *s, uint64_t size)
{
    struct kvm_userspace_memory_region r = {
        .slot = s->id,
        .flags = size != 0 ? s->flags : 0,
        .guest_phys_addr = s->gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)s->host,
    };
    v->slot_updates++;
    return vm__kvm_vm_ioctl(v, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&r);
}

/* What KVM has logged of a slot goes into the page records. */
static void collect_slot(struct kvm *v, const struct kvm_slot *s)
{
    const uint64_t pages = s->size >> VM_PAGE_SHIFT;
    struct kvm_dirty_log log = { .slot = s->id, .dirty_bitmap = s->dirty };

    if (s->dirty == NULL || vm__kvm_vm_ioctl(v, KVM_GET_DIRTY_LOG, (uintptr_t)&log) < 0)
        return;
    struct vm_page *page = &s->ram->pages[s->off >> VM_PAGE_SHIFT];
    for (uint64_t w = 0; w < (pages + 63) / 64; w++)
        for (uint64_t bits = s->dirty[w]; bits != 0; bits &= bits - 1)
            vm__page_dirtied(&page[w * 64 + (unsigned)__builtin_ctzll(bits)]);
}

static void remove_slot(struct kvm *v, uint32_t n)
{
    struct kvm_slot *s = &v->slot[n];

    collect_slot(v, s);
    (void)set(v, s, 0);
    free(s->dirty);
    *s = v->slot[--v->n_slots];
}

static uint32_t free_id(const struct kvm *v)
{
    uint32_t id = 0;

    for (uint32_t n = 0; n < v->n_slots; n++)
        if (v->slot[n].id == id) {
            id++;
            n = UINT32_MAX; /* look from the start */
        }
    return id;
}

static int add_slot(struct kvm *v, const struct kvm_slot *s)
{
    if (v->n_slots >= v->caps.slots)
        return -ENOSPC;
    if (v->n_slots == v->slot_room) {
        const uint32_t room = v->slot_room != 0 ? v->slot_room * 2 : 32;
        struct kvm_slot *e = realloc(v->slot, room * sizeof *e);
        if (e == NULL)
            return -ENOMEM;
        v->slot = e;
        v->slot_room = room;
    }
    struct kvm_slot *n = &v->slot[v->n_slots];
    *n = *s;
    n->id = free_id(v);
    n->dirty = NULL;
    if (n->flags & KVM_MEM_LOG_DIRTY_PAGES) {
        n->dirty = calloc(1, (size_t)(((n->size >> VM_PAGE_SHIFT) + 63) / 64 * 8));
        if (n->dirty == NULL)
            return -ENOMEM;
    }
    const int r = set(v, n, n->size);
    if (r < 0)
        free(n->dirty);
    else
        v->n_slots++;
    return r;
}

static bool present(const struct kvm *v, const struct kvm_slot *s)
{
    for (uint32_t n = 0; n < v->n_slots; n++)
        if (same(&v->slot[n], s))
            return true;
    return false;
}

/* First what is gone, then what is new: slots must not overlap at any time. A slot that KVM refuses
 * is memory that is reached by exits: slow, and code there is interpreted. */
static int update_slots(struct kvm *v)
{
    struct wanted w = { 0 };
    const struct vm_flat_view *view = vm__flat_view(v->m, VM_VIEW_NORMAL);
    int err = 0;

    for (uint32_t n = 0; n < view->n; n++)
        want_flat(v, &w, &view->e[n]);
    if (w.failed) {
        free(w.e);
        return -ENOMEM;
    }
    for (uint32_t n = 0; n < v->n_slots;)
        if (wanted_still(&w, &v->slot[n]))
            n++;
        else
            remove_slot(v, n);
    for (uint32_t n = 0; n < w.n; n++) {
        const int r = present(v, &w.e[n]) ? 0 : add_slot(v, &w.e[n]);
        if (r < 0) {
            v->slot_refused++;
            vm__logf(&v->m->log, VM_LOG_WARN, VM_LOG_CPU, "kvm",
                     "no slot for 0x%llx bytes at 0x%llx: %s", (unsigned long long)w.e[n].size,
                     (unsigned long long)w.e[n].gpa, strerror(-r));
            err = r;
        }
    }
    free(w.e);
    return err;
}

/* ---- following ---- */

static void on_change(void *ud)
{
    struct kvm *v = ud;

    (void)update_slots(v);
    vm__kvm_zones_update(v);
    vm__kvm_events_update(v);
}

/* Logging may have begun since the slot was made. */
static bool logging_changed(const struct kvm *v, const struct vm_ram *ram)
{
    for (uint32_t n = 0; n < v->n_slots; n++) {
        const struct kvm_slot *s = &v->slot[n];
        if (s->ram == ram && !(s->flags & KVM_MEM_READONLY) &&
            is_logged(ram, s->off) != ((s->flags & KVM_MEM_LOG_DIRTY_PAGES) != 0))
            return true;
    }
    return false;
}

static void on_collect(void *ud, struct vm_ram *ram)
{
    struct kvm *v = ud;

    if (logging_changed(v, ram))
        (void)update_slots(v);
    for (uint32_t n = 0; n < v->n_slots; n++)
        if (v->slot[n].ram == ram)
            collect_slot(v, &v->slot[n]);
}

static void on_settle(void *ud)
{
    vm__kvm_events_settle(ud);
}

int vm__kvm_slots_init(struct kvm *v)
{
    v->mirror = (struct vm_mem_mirror) { on_change, on_collect, on_settle, v };
    vm__lock(v->m);
    const int err = update_slots(v);
    if (err == 0) {
        v->m->mem->mirror = &v->mirror;
        vm__kvm_zones_update(v);
        vm__kvm_events_update(v);
    }
    vm__unlock(v->m);
    return err;
}

void vm__kvm_slots_fini(struct kvm *v)
{
    vm__lock(v->m);
    if (v->m->mem->mirror == &v->mirror)
        v->m->mem->mirror = NULL;
    vm__kvm_events_fini(v);
    vm__kvm_zones_fini(v);
    while (v->n_slots != 0)
        remove_slot(v, v->n_slots - 1);
    vm__unlock(v->m);
    free(v->slot);
    v->slot = NULL;
    v->slot_room = 0;
}
