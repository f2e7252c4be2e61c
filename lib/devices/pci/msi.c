/* SPDX-License-Identifier: MIT */
/**
 * @file msi.c
 * MSI and MSI-X capabilities. See msi.h.
 *
 * Spec: [PCI-3.0 §6.8.1] MSI with 64-bit address and per-vector masking, [PCI-3.0 §6.8.2] MSI-X.
 */
#include "devices/pci/msi.h"

#include "core/machine.h"

enum {
    CAP_MSI = 0x05,
    CAP_MSIX = 0x11,

    MSI_CONTROL = 2, /* offsets in the capability */
    MSI_ADDRESS = 4,
    MSI_DATA = 12,
    MSI_MASK = 16,
    MSI_PENDING = 20,
    MSI_SIZE = 24,
    MSI_ENABLE = 0x0001,
    MSI_64_BITS = 0x0080,
    MSI_MASKABLE = 0x0100,
    MSI_MAX_VECTORS = 32,

    MSIX_CONTROL = 2,
    MSIX_TABLE = 4,
    MSIX_PENDING = 8,
    MSIX_SIZE = 12,
    MSIX_MASK_ALL = 0x4000,
    MSIX_ENABLE = 0x8000,

    ENTRY_ADDRESS = 0, /* offsets in a table entry */
    ENTRY_DATA = 8,
    ENTRY_CONTROL = 12,
    ENTRY_MASKED = 0x1,
};

static void send(struct vm_dev *dev, uint64_t address, uint32_t data)
{
    const struct vm_irq_hub *hub = &dev->m->irq_hub;
    if (vm__pci_is_master(dev) && hub->msi != NULL)
        (void)hub->msi(hub->cpus, address, data);
}

static uint16_t control_of(const struct vm_dev *dev, uint8_t cap)
{
    return cap ? vm_le16(&vm__pci(dev)->config[cap + 2]) : 0;
}

bool vm__pci_has_msi(const struct vm_dev *dev)
{
    const struct vm_pci *p = vm__pci(dev);
    return (control_of(dev, p->msi) & MSI_ENABLE) || (control_of(dev, p->msix) & MSIX_ENABLE);
}

/* ---- MSI ---------------------------------------------------------------------------------- */

int vm__pci_add_msi(struct vm_dev *dev, unsigned vectors)
{
    unsigned log2 = (unsigned)__builtin_ctz(vectors | MSI_MAX_VECTORS);
    uint8_t cap = vm__pci_capability(dev, CAP_MSI, MSI_SIZE);

    if (cap == 0 || vectors != 1u << log2)
        return vm__fail(VM_E_INVAL, "no MSI capability of %u vectors is possible", vectors);
    vm__pci_initial(dev, cap + MSI_CONTROL, 2, MSI_64_BITS | MSI_MASKABLE | log2 << 1);
    vm__pci_writable(dev, cap + MSI_CONTROL, 2, MSI_ENABLE | 0x0070);
    vm__pci_writable(dev, cap + MSI_ADDRESS, 4, 0xfffffffc);
    vm__pci_writable(dev, cap + MSI_ADDRESS + 4, 4, 0xffffffff);
    vm__pci_writable(dev, cap + MSI_DATA, 2, 0xffff);
    vm__pci_writable(dev, cap + MSI_MASK, 4, (uint32_t)vm_mask(vectors));
    vm__pci(dev)->msi = cap;
    return VM_OK;
}

/** Of the vectors asked for, the guest enabled a power of two: the number fills the data's low
 * bits. */
static void send_msi(struct vm_dev *dev, unsigned vector)
{
    uint8_t *cap = &vm__pci(dev)->config[vm__pci(dev)->msi];
    uint16_t control = vm_le16(cap + MSI_CONTROL);
    unsigned log2 = (unsigned)vm_min_u64(control >> 4 & 7, control >> 1 & 7);

    vector &= (1u << log2) - 1;
    if (vm_le32(cap + MSI_MASK) & 1u << vector) {
        vm_put_le32(cap + MSI_PENDING, vm_le32(cap + MSI_PENDING) | 1u << vector);
        return;
    }
    send(dev, vm_le64(cap + MSI_ADDRESS),
         (uint32_t)vm_put_bits(vm_le16(cap + MSI_DATA), 0, log2, vector));
}

static void send_pending_msi(struct vm_dev *dev)
{
    uint8_t *cap = &vm__pci(dev)->config[vm__pci(dev)->msi];
    uint32_t ready = vm_le32(cap + MSI_PENDING) & ~vm_le32(cap + MSI_MASK);

    if (!(vm_le16(cap + MSI_CONTROL) & MSI_ENABLE))
        return;
    vm_put_le32(cap + MSI_PENDING, vm_le32(cap + MSI_PENDING) & ~ready);
    for (unsigned i = 0; i < MSI_MAX_VECTORS; i++)
        if (ready & 1u << i)
            send_msi(dev, i);
}

/* ---- MSI-X -------------------------------------------------------------------------------- */

int vm__pci_add_msix(struct vm_dev *dev, struct vm_msix *x, unsigned vectors, unsigned bar,
                     uint32_t table_off, uint32_t pending_off)
{
    uint8_t cap = 0;
    if (vectors >= 1 && vectors <= MSIX_MAX_VECTORS)
        cap = vm__pci_capability(dev, CAP_MSIX, MSIX_SIZE);
    if (cap == 0)
        return vm__fail(VM_E_INVAL, "no MSI-X capability of %u vectors is possible", vectors);
    x->n = vectors;
    x->table_off = table_off;
    x->pending_off = pending_off;
    vm__pci_initial(dev, cap + MSIX_CONTROL, 2, vectors - 1);
    vm__pci_writable(dev, cap + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK_ALL);
    vm__pci_initial(dev, cap + MSIX_TABLE, 4, table_off | bar);
    vm__pci_initial(dev, cap + MSIX_PENDING, 4, pending_off | bar);
    vm__pci(dev)->msix = cap;
    return VM_OK;
}

static bool is_masked(const struct vm_dev *dev, const struct vm_msix *x, unsigned vector)
{
    return (control_of(dev, vm__pci(dev)->msix) & MSIX_MASK_ALL) ||
           (x->table[vector * MSIX_ENTRY + ENTRY_CONTROL] & ENTRY_MASKED);
}

static void send_msix(struct vm_dev *dev, struct vm_msix *x, unsigned vector)
{
    const uint8_t *entry = &x->table[vector * MSIX_ENTRY];
    uint8_t bit = (uint8_t)(1u << (vector & 7));

    if (is_masked(dev, x, vector)) {
        x->pending[vector / 8] |= bit;
        return;
    }
    x->pending[vector / 8] &= (uint8_t)~bit;
    send(dev, vm_le64(entry + ENTRY_ADDRESS), vm_le32(entry + ENTRY_DATA));
}

static void send_pending_msix(struct vm_dev *dev, struct vm_msix *x)
{
    if (!(control_of(dev, vm__pci(dev)->msix) & MSIX_ENABLE))
        return;
    for (unsigned i = 0; i < x->n; i++)
        if ((x->pending[i / 8] & 1u << (i & 7)) && !is_masked(dev, x, i))
            send_msix(dev, x, i);
}

void vm__msix_reset(struct vm_msix *x)
{
    memset(x->table, 0, sizeof x->table);
    memset(x->pending, 0, sizeof x->pending);
    for (unsigned i = 0; i < MSIX_MAX_VECTORS; i++)
        x->table[i * MSIX_ENTRY + ENTRY_CONTROL] = ENTRY_MASKED;
}

bool vm__msix_owns(const struct vm_msix *x, uint64_t off)
{
    return off - x->table_off < x->n * MSIX_ENTRY || off - x->pending_off < sizeof x->pending;
}

uint64_t vm__msix_read(const struct vm_msix *x, uint64_t off, unsigned size)
{
    uint64_t in_table = off - x->table_off, in_pending = off - x->pending_off;
    if (in_table < sizeof x->table && size <= sizeof x->table - in_table)
        return vm_le_n(&x->table[in_table], size);
    if (in_pending < sizeof x->pending && size <= sizeof x->pending - in_pending)
        return vm_le_n(&x->pending[in_pending], size);
    return 0;
}

void vm__msix_write(struct vm_dev *dev, struct vm_msix *x, uint64_t off, unsigned size,
                    uint64_t value)
{
    uint64_t in_table = off - x->table_off;
    uint64_t len = (uint64_t)x->n * MSIX_ENTRY;

    if (in_table >= len || size > len - in_table)
        return; /* pending bits are read only */
    vm_put_le_n(&x->table[in_table], size, value);
    send_pending_msix(dev, x);
}

/* ---- both --------------------------------------------------------------------------------- */

void vm__pci_send_msi(struct vm_dev *dev, struct vm_msix *x, unsigned vector)
{
    const struct vm_pci *p = vm__pci(dev);
    if (x != NULL && vector < x->n && (control_of(dev, p->msix) & MSIX_ENABLE))
        send_msix(dev, x, vector);
    else if (control_of(dev, p->msi) & MSI_ENABLE)
        send_msi(dev, vector);
}

void vm__pci_msi_written(struct vm_dev *dev, struct vm_msix *x, uint32_t off, uint32_t size)
{
    uint32_t msi = vm__pci(dev)->msi, msix = vm__pci(dev)->msix;
    if (msi != 0 && off < msi + MSI_SIZE && msi < off + size)
        send_pending_msi(dev);
    if (x != NULL && msix != 0 && off < msix + MSIX_SIZE && msix < off + size)
        send_pending_msix(dev, x);
}

const struct vm_field vm__msix_fields[] = {
    VM_FIELD_BYTES(vm_msix, table, 1),
    VM_FIELD_BYTES(vm_msix, pending, 1),
    { 0 },
};
