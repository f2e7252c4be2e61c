/* SPDX-License-Identifier: MIT */
/**
 * @file late.c
 * Writes to devices that do not mind when they come: KVM keeps them in a ring, without an exit.
 *
 * Every exit, of whatever kind and on whatever processor, empties the ring before it is looked at,
 * so that order is kept as windows with `late` ask for it (core/region.h).
 *
 * Spec: [KVM KVM_REGISTER_COALESCED_MMIO].
 */
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "cpu/kvm/kvm.h"

/* ---- zones ---- */

static int set(struct kvm *v, const struct kvm_zone *z, bool on)
{
    struct kvm_coalesced_mmio_zone k = { .addr = z->addr, .size = z->size, .pio = z->port };

    return vm__kvm_vm_ioctl(v, on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
                            (uintptr_t)&k);
}

static bool same(const struct kvm_zone *a, const struct kvm_zone *b)
{
    return a->addr == b->addr && a->size == b->size && a->port == b->port;
}

static bool is_late(const struct vm_flat *f, bool port, struct kvm_zone *z)
{
    if (f->ram != NULL || !f->ops->late || f->last - f->first >= UINT32_MAX)
        return false;
    *z = (struct kvm_zone) { f->first, (uint32_t)(f->last - f->first + 1), port };
    return true;
}

static bool on_map(const struct kvm *v, const struct kvm_zone *z)
{
    const struct vm_flat_view *view = vm__flat_view(v->m, z->port ? VM_FLAT_PORT : VM_VIEW_NORMAL);
    struct kvm_zone now;

    for (uint32_t n = 0; n < view->n; n++)
        if (is_late(&view->e[n], z->port, &now) && same(&now, z))
            return true;
    return false;
}

static void add(struct kvm *v, const struct kvm_zone *z)
{
    for (uint32_t n = 0; n < v->n_zones; n++)
        if (same(&v->zone[n], z))
            return;
    if (v->n_zones == v->zone_room) {
        const uint32_t room = v->zone_room != 0 ? v->zone_room * 2 : 8;
        struct kvm_zone *e = realloc(v->zone, room * sizeof *e);
        if (e == NULL)
            return; /* those writes are exits */
        v->zone = e;
        v->zone_room = room;
    }
    if (set(v, z, true) >= 0)
        v->zone[v->n_zones++] = *z;
}

static void add_view(struct kvm *v, bool port)
{
    const struct vm_flat_view *view = vm__flat_view(v->m, port ? VM_FLAT_PORT : VM_VIEW_NORMAL);
    struct kvm_zone z;

    for (uint32_t n = 0; n < view->n; n++)
        if (is_late(&view->e[n], port, &z))
            add(v, &z);
}

void vm__kvm_zones_update(struct kvm *v)
{
    if (v->caps.coalesced == 0)
        return;
    for (uint32_t n = 0; n < v->n_zones;) {
        if (on_map(v, &v->zone[n])) {
            n++;
            continue;
        }
        (void)set(v, &v->zone[n], false);
        v->zone[n] = v->zone[--v->n_zones];
    }
    add_view(v, false);
    if (v->caps.coalesced_pio)
        add_view(v, true);
}

void vm__kvm_zones_fini(struct kvm *v)
{
    while (v->n_zones != 0)
        (void)set(v, &v->zone[--v->n_zones], false);
    free(v->zone);
    v->zone = NULL;
    v->zone_room = 0;
}

/* ---- the ring ---- */

static void deliver(struct vm_machine *m, const struct kvm_coalesced_mmio *e)
{
    const uint32_t len = e->len;

    if (len != 1 && len != 2 && len != 4 && len != 8)
        return;
    if (e->pio)
        vm__port_write(m, (uint16_t)e->phys_addr, len, (uint32_t)vm_le_n(e->data, len));
    else
        vm__mmio_write(m, VM_VIEW_NORMAL, e->phys_addr, len, vm_le_n(e->data, len));
}

/* One ring for all processors: under the machine lock there is one reader. The kernel fills behind
 * `last`. */
void vm__kvm_drain(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    struct kvm *v = k->kvm;

    if (v->caps.coalesced == 0)
        return;
    struct kvm_coalesced_mmio_ring *r =
        (void *)((uint8_t *)k->run + (size_t)v->caps.coalesced * VM_PAGE_SIZE);
    const uint32_t room = (VM_PAGE_SIZE - sizeof *r) / (uint32_t)sizeof r->coalesced_mmio[0];
    if (__atomic_load_n(&r->first, __ATOMIC_ACQUIRE) == __atomic_load_n(&r->last, __ATOMIC_ACQUIRE))
        return;
    vm__lock(v->m);
    for (uint32_t n = 0; n < room; n++) {
        const uint32_t first = r->first % room;
        if (first == __atomic_load_n(&r->last, __ATOMIC_ACQUIRE) % room)
            break;
        const struct kvm_coalesced_mmio e = r->coalesced_mmio[first];
        __atomic_store_n(&r->first, (first + 1) % room, __ATOMIC_RELEASE);
        deliver(v->m, &e);
        k->n.late++;
    }
    vm__unlock(v->m);
}
