/* SPDX-License-Identifier: MIT */
/**
 * @file virtio.c
 * What every virtio device does: status, features, queues, interrupts, saving. See virtio.h.
 * The registers through which drivers reach it are in virtio_pci.c.
 */
#include "devices/virtio/virtio.h"

#include "core/machine.h"
#include "devices/virtio/virtio_pci.h"

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

bool vm__virtio_runs(const struct virtio *v)
{
    return (v->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK &&
           vm__pci_is_master(v->dev);
}

/* ---- interrupts --------------------------------------------------------------------------- */

static void interrupt(struct virtio *v, uint16_t vector, uint8_t cause)
{
    if (vm__pci_has_msi(v->dev)) {
        if (vector != VIRTIO_NO_VECTOR)
            vm__pci_send_msi(v->dev, &v->msix, vector);
        return;
    }
    v->isr |= cause;
    vm__pci_intx(v->dev, 1);
}

void vm__virtio_interrupt(struct virtio *v, const struct virtq *q)
{
    interrupt(v, q->vector, ISR_QUEUE);
}

uint8_t vm__virtio_read_isr(struct virtio *v)
{
    const uint8_t isr = v->isr;
    v->isr = 0;
    vm__pci_intx(v->dev, 0);
    return isr;
}

void vm__virtio_config_changed(struct vm_dev *dev)
{
    struct virtio *v = vm__virtio(dev);
    v->generation++;
    if (v->status & VIRTIO_DRIVER_OK)
        interrupt(v, v->config_vector, ISR_CONFIG);
}

void vm__virtio_fail(struct virtio *v, const char *what)
{
    if (v->status & VIRTIO_NEEDS_RESET)
        return;
    vm__dev_log(v->dev, VM_LOG_WARN, VM_LOG_GUEST, "%s: stopped until it is reset", what);
    v->status |= VIRTIO_NEEDS_RESET;
    if (v->status & VIRTIO_DRIVER_OK)
        interrupt(v, v->config_vector, ISR_CONFIG);
}

/* ---- status [VIRTIO-1.2 §2.1, §3.1] ------------------------------------------------------- */

static void forget_everything(struct virtio *v)
{
    if (v->cls->reset != NULL)
        v->cls->reset(v->dev, NULL);
    v->features = v->wanted = 0;
    v->device_select = v->driver_select = 0;
    v->queue_select = 0;
    v->config_vector = VIRTIO_NO_VECTOR;
    v->status = 0;
    for (uint32_t i = 0; i < v->n_queues; i++)
        vm__virtq_reset(&v->queue[i]);
    (void)vm__virtio_read_isr(v);
}

/** A driver of 1.0 or later agrees on features by FEATURES_OK, an older one by going ahead. */
static void settle_features(struct virtio *v, bool modern)
{
    uint64_t features = v->wanted & v->offered;
    if (!modern)
        features &= UINT32_MAX;
    v->features = features;
    if (v->cls->negotiated != NULL)
        v->cls->negotiated(v->dev);
}

static void start(struct virtio *v)
{
    for (uint32_t i = 0; i < v->n_queues; i++)
        if (v->queue[i].enabled)
            v->cls->notify(v->dev, &v->queue[i]);
}

void vm__virtio_set_status(struct virtio *v, uint8_t status, bool modern)
{
    const uint8_t old = v->status;
    if (status == 0) {
        forget_everything(v);
        return;
    }
    if (modern && (status & ~old & VIRTIO_FEATURES_OK)) {
        if ((v->wanted & ~v->offered) != 0 || !(v->wanted & VIRTIO_F_VERSION_1))
            status &= (uint8_t)~VIRTIO_FEATURES_OK; /* the driver looks, and gives up */
        else
            settle_features(v, true);
    }
    if (!modern && (status & ~old & VIRTIO_DRIVER_OK))
        settle_features(v, false);
    /* Bits are only added, but by a reset [VIRTIO-1.2 §2.1.1]; ours is not the driver's. */
    v->status = (status & (uint8_t)~VIRTIO_NEEDS_RESET) | old;
    if (v->status & ~old & VIRTIO_DRIVER_OK)
        start(v);
}

uint64_t vm__virtio_offered(const struct virtio *v, bool modern)
{
    return modern ? v->offered : v->offered & UINT32_MAX;
}

/* ---- queues ------------------------------------------------------------------------------- */

struct virtq *vm__virtio_queue(struct virtio *v, uint32_t n)
{
    return n < v->n_queues ? &v->queue[n] : NULL;
}

void vm__virtio_enable_queue(struct virtio *v, struct virtq *q)
{
    const bool power_of_two = (q->size & (q->size - 1)) == 0;
    if (q->enabled || q->size == 0 || q->size > q->most ||
        (!power_of_two && !(v->wanted & VIRTIO_F_RING_PACKED))) {
        vm__dev_log(v->dev, VM_LOG_WARN, VM_LOG_GUEST, "queue %u of %u descriptors not enabled",
                    q->index, q->size);
        return;
    }
    q->enabled = 1;
    if (vm__virtio_runs(v))
        v->cls->notify(v->dev, q);
}

void vm__virtio_reset_queue(struct virtio *v, struct virtq *q)
{
    const uint16_t vector = q->vector;
    if (v->cls->reset != NULL)
        v->cls->reset(v->dev, q);
    vm__virtq_reset(q);
    q->vector = vector;
}

void vm__virtio_notified(struct virtio *v, uint32_t n)
{
    struct virtq *q = vm__virtio_queue(v, n);
    if (q != NULL && q->enabled && vm__virtio_runs(v))
        v->cls->notify(v->dev, q);
}

/** A vector that does not exist is answered by "none" [VIRTIO-1.2 §4.1.5.1.2]. */
uint16_t vm__virtio_vector(const struct virtio *v, uint16_t vector)
{
    return vector < v->msix.n ? vector : VIRTIO_NO_VECTOR;
}

/* ---- life --------------------------------------------------------------------------------- */

int vm__virtio_realize(struct vm_dev *dev, uint64_t features, uint16_t n_queues,
                       uint16_t queue_size)
{
    struct virtio *v = vm__virtio(dev);
    if (v->no_legacy && v->no_modern)
        return vm__fail(VM_E_INVAL, "disable-legacy and disable-modern leave no interface");
    if (n_queues == 0 || n_queues > VIRTIO_QUEUES)
        return vm__fail(VM_E_RANGE, "%u queues; 1 to %u are possible", n_queues,
                        (unsigned)VIRTIO_QUEUES);
    if (queue_size < 2 || queue_size > VIRTQ_MAX_SIZE || (queue_size & (queue_size - 1)) != 0)
        return vm__fail(VM_E_RANGE, "queues of %u; a power of two from 2 to %u is needed",
                        queue_size, (unsigned)VIRTQ_MAX_SIZE);
    v->dev = dev;
    v->cls = dev->cls->extra;
    v->n_queues = n_queues;
    v->offered = features | (v->no_indirect ? 0 : VIRTIO_F_INDIRECT_DESC) |
                 (v->no_event_idx ? 0 : VIRTIO_F_EVENT_IDX);
    if (!v->no_modern)
        v->offered |=
            VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET | (v->packed ? VIRTIO_F_RING_PACKED : 0);
    for (uint16_t i = 0; i < n_queues; i++) {
        v->queue[i].v = v;
        v->queue[i].index = i;
        v->queue[i].most = queue_size;
    }
    return vm__virtio_pci_realize(v);
}

void vm__virtio_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct virtio *v = vm__virtio(dev);
    (void)kind;
    forget_everything(v);
    v->generation = 0;
    vm__msix_reset(&v->msix);
}

int vm__virtio_post_load(struct vm_dev *dev)
{
    struct virtio *v = vm__virtio(dev);
    if ((v->features & ~v->offered) != 0)
        return vm__fail(VM_E_CORRUPT, "%s: features 0x%llx that are not offered here", dev->id,
                        (unsigned long long)(v->features & ~v->offered));
    for (uint32_t i = 0; i < VIRTIO_QUEUES; i++) {
        struct virtq *q = &v->queue[i];
        const bool packed = v->features & VIRTIO_F_RING_PACKED;
        if (i >= v->n_queues && !q->enabled)
            continue;
        if (i >= v->n_queues || q->size > q->most ||
            (q->enabled && (q->size == 0 || (!packed && (q->size & (q->size - 1)) != 0))) ||
            (packed && q->enabled && (q->next_avail >= q->size || q->next_used >= q->size)))
            return vm__fail(VM_E_CORRUPT, "%s: queue %u cannot be so", dev->id, i);
        q->vector = vm__virtio_vector(v, q->vector);
        q->avail_wrap &= 1;
        q->used_wrap &= 1;
    }
    v->config_vector = vm__virtio_vector(v, v->config_vector);
    return vm__pci_post_load(dev);
}

const struct vm_field vm__virtio_fields[] = {
    VM_FIELD_STRUCT(virtio, pci, vm__pci_fields, 1),
    VM_MSIX_FIELD(virtio, msix),
    VM_FIELD(virtio, features, 1),
    VM_FIELD(virtio, wanted, 1),
    VM_FIELD(virtio, device_select, 1),
    VM_FIELD(virtio, driver_select, 1),
    VM_FIELD(virtio, queue_select, 1),
    VM_FIELD(virtio, config_vector, 1),
    VM_FIELD(virtio, status, 1),
    VM_FIELD(virtio, isr, 1),
    VM_FIELD(virtio, generation, 1),
    VM_FIELD_STRUCTS(virtio, queue, vm__virtq_fields, 1),
    { 0 },
};
