/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_pci.c
 * The registers of virtio over PCI.
 *
 * BAR 4 holds the modern structures [VIRTIO-1.2 §4.1.4]: common configuration, interrupt status,
 * the device's configuration, notifications (4 bytes a queue); BAR 1 the MSI-X table; BAR 0 the
 * ports of the legacy interface [VIRTIO-1.2 §4.1.4.8]. Capabilities say so, and one of them reaches
 * into the BARs through configuration space, for firmware that cannot map them.
 */
#include "devices/virtio/virtio_pci.h"

enum {
    BAR_LEGACY = 0,
    BAR_MSIX = 1,
    BAR_MODERN = 4,
    WINDOW_LEGACY = 0,
    WINDOW_MSIX = 1,
    WINDOW_MODERN = 2,

    LEGACY_SIZE = 128,
    MSIX_SIZE = 4096,
    MSIX_PENDING = 2048,
    MODERN_SIZE = 16384,
    AREA = 4096, /* each structure in a page of its own */
    AREA_COMMON = 0,
    AREA_ISR = 1,
    AREA_DEVICE = 2,
    AREA_NOTIFY = 3,
    NOTIFY_STEP = 4,

    CAP_VENDOR = 0x09, /* offsets in a capability [VIRTIO-1.2 §4.1.4] */
    CAP_LEN = 2,
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_LENGTH = 12,
    CAP_EXTRA = 16, /* multiplier, or data */
    CAP_SIZE = 16,
    TYPE_COMMON = 1,
    TYPE_NOTIFY = 2,
    TYPE_ISR = 3,
    TYPE_DEVICE = 4,
    TYPE_PCI = 5,

    C_DEVICE_SELECT = 0x00, /* common configuration [VIRTIO-1.2 §4.1.4.3] */
    C_DEVICE_FEATURE = 0x04,
    C_DRIVER_SELECT = 0x08,
    C_DRIVER_FEATURE = 0x0c,
    C_CONFIG_VECTOR = 0x10,
    C_NUM_QUEUES = 0x12,
    C_STATUS = 0x14,
    C_GENERATION = 0x15,
    C_QUEUE_SELECT = 0x16,
    C_QUEUE_SIZE = 0x18,
    C_QUEUE_VECTOR = 0x1a,
    C_QUEUE_ENABLE = 0x1c,
    C_NOTIFY_OFF = 0x1e,
    C_QUEUE_DESC = 0x20,
    C_QUEUE_DRIVER = 0x28,
    C_QUEUE_DEVICE = 0x30,
    C_NOTIFY_DATA = 0x38,
    C_QUEUE_RESET = 0x3a,
    C_SIZE = 0x40,

    L_DEVICE_FEATURES = 0x00, /* legacy ports */
    L_DRIVER_FEATURES = 0x04,
    L_QUEUE_ADDRESS = 0x08,
    L_QUEUE_SIZE = 0x0c,
    L_QUEUE_SELECT = 0x0e,
    L_QUEUE_NOTIFY = 0x10,
    L_STATUS = 0x12,
    L_ISR = 0x13,
    L_CONFIG_VECTOR = 0x14, /* with MSI-X on */
    L_QUEUE_VECTOR = 0x16,
    L_PLAIN_SIZE = 0x14,
    L_MSIX_SIZE = 0x18,

    LEGACY_PAGE = 4096,
};

/* ---- the device's own configuration ------------------------------------------------------- */

static uint64_t config_read(struct virtio *v, uint64_t off, unsigned size)
{
    uint8_t bytes[VIRTIO_CONFIG + 8] = { 0 };
    if (v->cls->config == NULL || off >= VIRTIO_CONFIG)
        return 0;
    v->cls->config(v->dev, bytes);
    memset(bytes + v->cls->config_size, 0, sizeof bytes - v->cls->config_size);
    return vm_le_n(bytes + off, size);
}

static void config_write(struct virtio *v, uint64_t off, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        if (v->cls->config_written != NULL && off + i < v->cls->config_size)
            v->cls->config_written(v->dev, (uint32_t)off + i, (uint8_t)(value >> 8 * i));
}

/* ---- modern ------------------------------------------------------------------------------- */

static uint32_t half(uint64_t value, uint32_t select)
{
    return select < 2 ? (uint32_t)(value >> 32 * select) : 0;
}

/** Common configuration as bytes, so that any width reads. */
static void gather(struct virtio *v, uint8_t *b)
{
    const struct virtq *q = vm__virtio_queue(v, v->queue_select);
    memset(b, 0, C_SIZE);
    vm_put_le32(b + C_DEVICE_SELECT, v->device_select);
    vm_put_le32(b + C_DEVICE_FEATURE, half(vm__virtio_offered(v, true), v->device_select));
    vm_put_le32(b + C_DRIVER_SELECT, v->driver_select);
    vm_put_le32(b + C_DRIVER_FEATURE, half(v->wanted, v->driver_select));
    vm_put_le16(b + C_CONFIG_VECTOR, v->config_vector);
    vm_put_le16(b + C_NUM_QUEUES, v->n_queues);
    b[C_STATUS] = v->status;
    b[C_GENERATION] = v->generation;
    vm_put_le16(b + C_QUEUE_SELECT, v->queue_select);
    if (q == NULL) {
        vm_put_le16(b + C_QUEUE_VECTOR, VIRTIO_NO_VECTOR);
        return;
    }
    vm_put_le16(b + C_QUEUE_SIZE, q->size);
    vm_put_le16(b + C_QUEUE_VECTOR, q->vector);
    vm_put_le16(b + C_QUEUE_ENABLE, q->enabled);
    vm_put_le16(b + C_NOTIFY_OFF, q->index);
    vm_put_le64(b + C_QUEUE_DESC, q->desc);
    vm_put_le64(b + C_QUEUE_DRIVER, q->driver);
    vm_put_le64(b + C_QUEUE_DEVICE, q->device);
    vm_put_le16(b + C_NOTIFY_DATA, q->index);
}

static void set_feature(struct virtio *v, uint32_t value)
{
    if (v->driver_select < 2 && !(v->status & VIRTIO_FEATURES_OK))
        v->wanted = vm_put_bits(v->wanted, 32 * v->driver_select, 32, value);
}

/** One half, or all, of an address. */
static void set_address(uint64_t *address, uint64_t off, unsigned size, uint64_t value)
{
    *address = vm_put_bits(*address, 8 * (unsigned)(off & 7), 8 * size, value);
}

static void write_queue(struct virtio *v, uint64_t off, unsigned size, uint64_t value)
{
    struct virtq *q = vm__virtio_queue(v, v->queue_select);
    if (q == NULL)
        return;
    if (off == C_QUEUE_VECTOR) {
        q->vector = vm__virtio_vector(v, (uint16_t)value);
    } else if (off == C_QUEUE_RESET) {
        if (value == 1 && (v->features & VIRTIO_F_RING_RESET))
            vm__virtio_reset_queue(v, q);
    } else if (q->enabled) {
        return; /* [VIRTIO-1.2 §4.1.4.3.2] not while it is in use */
    } else if (off == C_QUEUE_SIZE) {
        q->size = (uint16_t)value;
    } else if (off == C_QUEUE_ENABLE) {
        if (value == 1)
            vm__virtio_enable_queue(v, q);
    } else if (off >= C_QUEUE_DEVICE && off + size <= C_NOTIFY_DATA) {
        set_address(&q->device, off, size, value);
    } else if (off >= C_QUEUE_DRIVER && off + size <= C_QUEUE_DEVICE) {
        set_address(&q->driver, off, size, value);
    } else if (off >= C_QUEUE_DESC && off + size <= C_QUEUE_DRIVER) {
        set_address(&q->desc, off, size, value);
    }
}

static void write_common(struct virtio *v, uint64_t off, unsigned size, uint64_t value)
{
    switch (off) {
    case C_DEVICE_SELECT:
        v->device_select = (uint32_t)value;
        break;
    case C_DRIVER_SELECT:
        v->driver_select = (uint32_t)value;
        break;
    case C_DRIVER_FEATURE:
        set_feature(v, (uint32_t)value);
        break;
    case C_CONFIG_VECTOR:
        v->config_vector = vm__virtio_vector(v, (uint16_t)value);
        break;
    case C_STATUS:
        vm__virtio_set_status(v, (uint8_t)value, true);
        break;
    case C_QUEUE_SELECT:
        v->queue_select = (uint16_t)value;
        break;
    default:
        write_queue(v, off, size, value);
    }
}

static uint64_t modern_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct virtio *v = vm__virtio(dev);
    const uint64_t at = off % AREA;
    switch (off / AREA) {
    case AREA_COMMON: {
        uint8_t bytes[C_SIZE + 8] = { 0 };
        if (at >= C_SIZE)
            return 0;
        gather(v, bytes);
        return vm_le_n(bytes + at, size);
    }
    case AREA_ISR:
        return at == 0 ? vm__virtio_read_isr(v) : 0;
    case AREA_DEVICE:
        return config_read(v, at, size);
    default:
        return 0;
    }
}

static void modern_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct virtio *v = vm__virtio(dev);
    const uint64_t at = off % AREA;
    switch (off / AREA) {
    case AREA_COMMON:
        write_common(v, at, size, value);
        break;
    case AREA_DEVICE:
        config_write(v, at, size, value);
        break;
    case AREA_NOTIFY:
        vm__virtio_notified(v, (uint32_t)(at / NOTIFY_STEP));
        break;
    default:
        break;
    }
}

/* ---- legacy ------------------------------------------------------------------------------- */

static uint32_t legacy_header(const struct virtio *v)
{
    return vm__pci_has_msi(v->dev) ? L_MSIX_SIZE : L_PLAIN_SIZE;
}

static uint64_t legacy_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct virtio *v = vm__virtio(dev);
    const struct virtq *q = vm__virtio_queue(v, v->queue_select);
    const uint32_t header = legacy_header(v);
    if (off >= header)
        return config_read(v, off - header, size);
    switch (off) {
    case L_DEVICE_FEATURES:
        return vm__virtio_offered(v, false);
    case L_DRIVER_FEATURES:
        return (uint32_t)v->wanted;
    case L_QUEUE_ADDRESS:
        return q != NULL ? (uint32_t)(q->desc / LEGACY_PAGE) : 0;
    case L_QUEUE_SIZE:
        return q != NULL ? q->most : 0;
    case L_QUEUE_SELECT:
        return v->queue_select;
    case L_STATUS:
        return v->status;
    case L_ISR:
        return vm__virtio_read_isr(v);
    case L_CONFIG_VECTOR:
        return v->config_vector;
    case L_QUEUE_VECTOR:
        return q != NULL ? q->vector : VIRTIO_NO_VECTOR;
    default:
        return 0;
    }
}

/** The parts of a queue follow each other, the used ring on a page of its own [VIRTIO-1.2 §2.7.2].
 *  Page 0: the queue is not used any more. */
static void legacy_place(struct virtio *v, uint32_t page)
{
    struct virtq *q = vm__virtio_queue(v, v->queue_select);
    if (q == NULL)
        return;
    if (page == 0) {
        vm__virtio_reset_queue(v, q);
        return;
    }
    if (q->enabled)
        return;
    q->size = q->most;
    q->desc = (uint64_t)page * LEGACY_PAGE;
    q->driver = q->desc + 16u * q->size;
    q->device = (q->driver + 6 + 2u * q->size + LEGACY_PAGE - 1) & ~(uint64_t)(LEGACY_PAGE - 1);
    vm__virtio_enable_queue(v, q);
}

static void legacy_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct virtio *v = vm__virtio(dev);
    struct virtq *q = vm__virtio_queue(v, v->queue_select);
    const uint32_t header = legacy_header(v);
    if (off >= header) {
        config_write(v, off - header, size, value);
        return;
    }
    switch (off) {
    case L_DRIVER_FEATURES:
        if (!(v->status & VIRTIO_DRIVER_OK))
            v->wanted = (uint32_t)value;
        break;
    case L_QUEUE_ADDRESS:
        legacy_place(v, (uint32_t)value);
        break;
    case L_QUEUE_SELECT:
        v->queue_select = (uint16_t)value;
        break;
    case L_QUEUE_NOTIFY:
        vm__virtio_notified(v, (uint16_t)value);
        break;
    case L_STATUS:
        vm__virtio_set_status(v, (uint8_t)value, false);
        break;
    case L_CONFIG_VECTOR:
        v->config_vector = vm__virtio_vector(v, (uint16_t)value);
        break;
    case L_QUEUE_VECTOR:
        if (q != NULL)
            q->vector = vm__virtio_vector(v, (uint16_t)value);
        break;
    default:
        break;
    }
}

/* ---- MSI-X -------------------------------------------------------------------------------- */

static uint64_t msix_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    return vm__msix_read(&vm__virtio(dev)->msix, off, size);
}

static void msix_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    vm__msix_write(dev, &vm__virtio(dev)->msix, off, size, value);
}

const struct vm_window vm__virtio_windows[] = {
    { "legacy", VM_SPACE_PORT, LEGACY_SIZE, 1, 4, .read = legacy_read, .write = legacy_write },
    { "msix", VM_SPACE_MEM, MSIX_SIZE, 1, 4, .read = msix_read, .write = msix_write },
    { "modern", VM_SPACE_MEM, MODERN_SIZE, 1, 4, .read = modern_read, .write = modern_write },
    { 0 },
};

/* ---- BARs through configuration space [VIRTIO-1.2 §4.1.4.9] ------------------------------- */

/** Where the capability points, if it is a place one may reach. False: nothing happens. */
static bool aimed_at(const struct virtio *v, uint64_t *off, unsigned *size)
{
    const uint8_t *cap = &v->pci.config[v->window_cap];
    const uint32_t length = vm_le32(cap + CAP_LENGTH);
    *off = vm_le32(cap + CAP_OFFSET);
    *size = length;
    return cap[CAP_BAR] == BAR_MODERN && (length == 1 || length == 2 || length == 4) &&
           *off % length == 0 && *off < MODERN_SIZE;
}

void vm__virtio_config_reading(struct vm_dev *dev, uint32_t off, uint32_t size)
{
    struct virtio *v = vm__virtio(dev);
    const uint32_t data = v->window_cap + (uint32_t)CAP_EXTRA;
    uint64_t at;
    unsigned n;
    if (v->window_cap != 0 && off < data + 4 && data < off + size && aimed_at(v, &at, &n))
        vm_put_le_n(&v->pci.config[data], n, modern_read(dev, at, n));
}

void vm__virtio_config_written(struct vm_dev *dev, uint32_t off, uint32_t size)
{
    struct virtio *v = vm__virtio(dev);
    const uint32_t data = v->window_cap + (uint32_t)CAP_EXTRA;
    uint64_t at;
    unsigned n;
    vm__pci_msi_written(dev, &v->msix, off, size);
    if (v->window_cap != 0 && off < data + 4 && data < off + size && aimed_at(v, &at, &n))
        modern_write(dev, at, n, vm_le_n(&v->pci.config[data], n));
    if (off <= PCI_COMMAND && off + size > PCI_COMMAND) /* bus master on: what waited goes on */
        for (uint32_t i = 0; i < v->n_queues; i++)
            vm__virtio_notified(v, i);
}

/* ---- life --------------------------------------------------------------------------------- */

static uint8_t add_cap(struct virtio *v, uint8_t type, uint32_t area, uint32_t length, uint8_t more)
{
    struct vm_dev *dev = v->dev;
    const uint8_t cap = vm__pci_capability(dev, CAP_VENDOR, (uint8_t)(CAP_SIZE + more));
    if (cap == 0)
        return 0;
    vm__pci_initial(dev, cap + CAP_LEN, 1, (uint32_t)CAP_SIZE + more);
    vm__pci_initial(dev, cap + CAP_TYPE, 1, type);
    if (type == TYPE_PCI)
        return cap;
    vm__pci_initial(dev, cap + CAP_BAR, 1, BAR_MODERN);
    vm__pci_initial(dev, cap + CAP_OFFSET, 4, area * AREA);
    vm__pci_initial(dev, cap + CAP_LENGTH, 4, length);
    return cap;
}

static bool add_modern_caps(struct virtio *v)
{
    struct vm_dev *dev = v->dev;
    const uint8_t notify =
        add_cap(v, TYPE_NOTIFY, AREA_NOTIFY, (uint32_t)v->n_queues * NOTIFY_STEP, 4);
    v->window_cap = add_cap(v, TYPE_PCI, 0, 0, 4);
    if (notify == 0 || v->window_cap == 0 || add_cap(v, TYPE_COMMON, AREA_COMMON, C_SIZE, 0) == 0 ||
        add_cap(v, TYPE_ISR, AREA_ISR, 1, 0) == 0)
        return false;
    vm__pci_initial(dev, notify + (uint32_t)CAP_EXTRA, 4, NOTIFY_STEP);
    vm__pci_writable(dev, v->window_cap + (uint32_t)CAP_BAR, 1, 0xff);
    vm__pci_writable(dev, v->window_cap + (uint32_t)CAP_OFFSET, 4, UINT32_MAX);
    vm__pci_writable(dev, v->window_cap + (uint32_t)CAP_LENGTH, 4, UINT32_MAX);
    vm__pci_writable(dev, v->window_cap + (uint32_t)CAP_EXTRA, 4, UINT32_MAX);
    return v->cls->config == NULL || add_cap(v, TYPE_DEVICE, AREA_DEVICE, VIRTIO_CONFIG, 0) != 0;
}

/* ---- doorbells (core/doorbell.h) ------------------------------------------------------------ */

static void on_ring(void *opaque)
{
    struct virtq *q = opaque;
    vm__virtio_notified(VM_CONTAINER_OF(q - q->index, struct virtio, queue[0]), q->index);
}

/** What modern_write() and legacy_write() do with a queue's notification, without stopping the
 * processor where an engine can. */
static void add_bells(struct virtio *v)
{
    for (uint32_t n = 0; n < v->n_queues; n++) {
        struct virtq *q = &v->queue[n];
        struct vm_doorbell *modern = &v->bell[n][0], *legacy = &v->bell[n][1];
        *modern = (struct vm_doorbell) {
            .window = v->dev->windows[WINDOW_MODERN],
            .off = AREA_NOTIFY * AREA + n * NOTIFY_STEP,
            .size = 2,
            .ring = on_ring,
            .opaque = q,
        };
        *legacy = (struct vm_doorbell) {
            .window = v->dev->windows[WINDOW_LEGACY],
            .off = L_QUEUE_NOTIFY,
            .size = 2,
            .one_value = true,
            .value = n,
            .ring = on_ring,
            .opaque = q,
        };
        if (!v->no_modern)
            vm__doorbell_add(v->dev->m, modern);
        if (!v->no_legacy)
            vm__doorbell_add(v->dev->m, legacy);
    }
}

int vm__virtio_pci_realize(struct virtio *v)
{
    struct vm_dev *dev = v->dev;
    uint32_t vectors = v->vectors == VIRTIO_NO_VECTOR ? v->n_queues + 1u : v->vectors;
    if (vectors > MSIX_MAX_VECTORS)
        return vm__fail(VM_E_RANGE, "vectors=%u: at most %u", vectors, (unsigned)MSIX_MAX_VECTORS);
    if (vectors == 0)
        vm__pci_no_bar(dev, BAR_MSIX);
    else if (vm__pci_add_msix(dev, &v->msix, vectors, BAR_MSIX, 0, MSIX_PENDING) != VM_OK)
        return VM_E_INVAL;
    if (v->no_modern)
        vm__pci_no_bar(dev, BAR_MODERN);
    else if (!add_modern_caps(v))
        return vm__fail(VM_E_RANGE, "no room for the capabilities");
    if (v->no_legacy) { /* [VIRTIO-1.2 §4.1.2.1] a device that is not transitional */
        vm__pci_no_bar(dev, BAR_LEGACY);
        vm__pci_initial(dev, PCI_DEVICE_ID, 2, 0x1040u + v->cls->type);
        vm__pci_initial(dev, PCI_REVISION, 1, 1);
        vm__pci_initial(dev, PCI_SUBSYSTEM, 2, 0x1100);
    }
    add_bells(v);
    return VM_OK;
}
