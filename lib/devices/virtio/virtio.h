/* SPDX-License-Identifier: MIT */
/**
 * @file virtio.h
 * Virtio devices on PCI: the transport, in its modern form and the one before 1.0.
 *
 * A device's state begins with a `struct virtio`, its field table with VM_VIRTIO_FIELD, and its
 * class has the windows VM_VIRTIO_WINDOWS, `.extra` a `struct virtio_class` and `.pci` what
 * VM_VIRTIO_FUNCTION makes. It calls vm__virtio_realize() with its features and queues, and is then
 * told of notifications, of resets, and asked for its configuration. Feature negotiation, status,
 * queues' addresses, MSI-X and INTx need no code of its own.
 *
 * Spec: [VIRTIO-1.2 §2, §3] operation, [VIRTIO-1.2 §4.1] PCI, [VIRTIO-1.2 §4.1.4.8] the legacy
 * interface.
 */
#ifndef LIBVM_DEVICES_VIRTIO_VIRTIO_H
#define LIBVM_DEVICES_VIRTIO_VIRTIO_H

#include "core/doorbell.h"
#include "devices/pci/msi.h"
#include "devices/pci/pci.h"
#include "devices/virtio/virtq.h"

enum { VIRTIO_QUEUES = 64, VIRTIO_CONFIG = 256, VIRTIO_NO_VECTOR = 0xffff };

/** Features of every device [VIRTIO-1.2 §6]. */
#define VIRTIO_F_INDIRECT_DESC (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX     (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1     (UINT64_C(1) << 32)
#define VIRTIO_F_RING_PACKED   (UINT64_C(1) << 34)
#define VIRTIO_F_RING_RESET    (UINT64_C(1) << 40)

/** Device status [VIRTIO-1.2 §2.1]. */
enum {
    VIRTIO_ACKNOWLEDGE = 0x01,
    VIRTIO_DRIVER = 0x02,
    VIRTIO_DRIVER_OK = 0x04,
    VIRTIO_FEATURES_OK = 0x08,
    VIRTIO_NEEDS_RESET = 0x40,
    VIRTIO_FAILED = 0x80,
};

struct virtio_class {
    uint16_t type; /**< [VIRTIO-1.2 §5] 1: network, 2: block, 4: entropy */
    /** Fill in the configuration, VIRTIO_CONFIG zeroed bytes. NULL: it has none. */
    void (*config)(struct vm_dev *dev, uint8_t *config);
    uint32_t config_size; /**< bytes of it; what lies behind reads 0 */
    /** The driver wrote a byte of it. May be NULL. */
    void (*config_written)(struct vm_dev *dev, uint32_t off, uint8_t value);
    /** There may be chains in the queue. */
    void (*notify)(struct vm_dev *dev, struct virtq *q);
    /** The driver said FEATURES_OK (or, before 1.0, DRIVER_OK): virtio.features is final. May be
     *  NULL. */
    void (*negotiated)(struct vm_dev *dev);
    /** Give up all chains taken from @p q (NULL: from every queue, and forget everything): none may
     *  be pushed afterwards, nor guest memory touched for it. May be NULL. */
    void (*reset)(struct vm_dev *dev, struct virtq *q);
};

/** First member of a virtio device's state. */
struct virtio {
    struct vm_pci pci;
    struct vm_msix msix;
    uint64_t features; /**< what driver and device agreed on */
    uint64_t wanted;   /**< what the driver wrote so far */
    uint32_t device_select, driver_select;
    uint16_t queue_select, config_vector;
    uint8_t status, isr, generation;
    struct virtq queue[VIRTIO_QUEUES];

    /* Properties. */
    bool no_legacy, no_modern, packed, no_event_idx, no_indirect;
    uint16_t vectors; /**< MSI-X; 0xffff: one a queue and one */

    /* Below: not saved. */
    struct vm_dev *dev;
    const struct virtio_class *cls;
    uint64_t offered;
    uint16_t n_queues;
    uint8_t window_cap; /**< the capability that reaches into BARs */
    struct vm_doorbell bell[VIRTIO_QUEUES][2]; /**< of a queue: modern, legacy */
};

extern const struct vm_field vm__virtio_fields[];
/** First row of a virtio device's field table. */
#define VM_VIRTIO_FIELD(s) VM_FIELD_STRUCT(s, v, vm__virtio_fields, 1)

/** Rows that every virtio device's property table begins with. */
#define VM_VIRTIO_PROPS(s)                                                                         \
    { "disable-legacy", VM_PROP_BOOL(s, v.no_legacy),                                              \
      .help = "only the interface of virtio 1.0 and later" },                                      \
        { "disable-modern", VM_PROP_BOOL(s, v.no_modern),                                          \
          .help = "only the interface before virtio 1.0" },                                        \
        { "packed", VM_PROP_BOOL(s, v.packed), .help = "offer packed virtqueues" },                \
        { "no-event-idx", VM_PROP_BOOL(s, v.no_event_idx),                                         \
          .help = "do not offer the event index" },                                                \
        { "no-indirect", VM_PROP_BOOL(s, v.no_indirect),                                           \
          .help = "do not offer indirect descriptors" },                                           \
    {                                                                                              \
        "vectors", VM_PROP_UINT(s, v.vectors),                                                     \
            .value = "0xffff", .help = "MSI-X vectors; 0: none; 0xffff: as many as are useful"     \
    }

extern const struct vm_window vm__virtio_windows[];
/** The `.pci` of a class: a transitional device. */
#define VM_VIRTIO_FUNCTION(transitional_id, virtio_type, class_)                                   \
    {                                                                                              \
        .vendor = 0x1af4, .device = (transitional_id), .subsystem_vendor = 0x1af4,                 \
        .subsystem = (virtio_type), .class_code = (class_), .pin = 1,                              \
        .bars = { [0] = { VM_PCI_BAR_IO, 0 },                                                      \
                  [1] = { VM_PCI_BAR_MEM, 1 },                                                     \
                  [4] = { VM_PCI_BAR_MEM64, 2, true } },                                           \
        .config_written = vm__virtio_config_written, .config_reading = vm__virtio_config_reading,  \
    }
void vm__virtio_config_written(struct vm_dev *dev, uint32_t off, uint32_t size);
void vm__virtio_config_reading(struct vm_dev *dev, uint32_t off, uint32_t size);

/** In realize(). @p features are the device's own; the transport adds its. */
int vm__virtio_realize(struct vm_dev *dev, uint64_t features, uint16_t n_queues,
                       uint16_t queue_size);
/** The device's reset(), or first thing in it. */
void vm__virtio_reset(struct vm_dev *dev, enum vm_reset_kind kind);
/** The device's post_load(), or first thing in it. */
int vm__virtio_post_load(struct vm_dev *dev);

static inline struct virtio *vm__virtio(const struct vm_dev *dev)
{
    return dev->state;
}
static inline bool vm__virtio_has(const struct virtio *v, uint64_t feature)
{
    return (v->features & feature) != 0;
}
/** The driver is up, the device whole, and it may use DMA. */
bool vm__virtio_runs(const struct virtio *v);
/** The driver broke a rule: the device stops until it is reset, and says so in the log. */
void vm__virtio_fail(struct virtio *v, const char *what);
/** The configuration changed by itself. */
void vm__virtio_config_changed(struct vm_dev *dev);
/** Interrupt for a queue. */
void vm__virtio_interrupt(struct virtio *v, const struct virtq *q);

#endif
