/* SPDX-License-Identifier: MIT */
/**
 * @file device.h
 * Device classes: what a chip is, as data and a few calls.
 *
 * A device is one file: a state struct, a register table where the chip has flat registers, a
 * field table for what must be saved, and one `const struct vm_dev_class` at the bottom. The core
 * allocates the state (zeroed), parses properties into it, makes the windows, and from the tables
 * does dispatch, access-size checks, reset values, register traces, snapshots and `help`.
 *
 * A device sees offsets, numbered interrupt pins and the machine's clock; never its address, the
 * interrupt controller, or the host's time. Calls come under the machine lock unless the class is
 * `.parallel`; the device may call back into the address space (DMA, another device's window).
 *
 * Life: allocate, defaults, properties, realize() once; reset() after that and at every reset;
 * unrealize() once if realize() succeeded. reset() is called before the processors run.
 */
#ifndef LIBVM_CORE_DEVICE_H
#define LIBVM_CORE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/buf.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/log.h"
#include "core/chr.h"
#include "core/clock.h"
#include "core/field.h"
#include "core/irq.h"
#include "core/memory.h"
#include "core/region.h"

struct vm_machine;
struct vm_dev;
struct vm_pci_function; /* lib/devices/pci: the PCI half of a class, see .pci */

enum { VM_DEV_WINDOWS = 8, VM_DEV_PINS = 32 };

/** What sort of reset. */
enum vm_reset_kind {
    VM_DEV_RESET_COLD = 0, /**< power on */
    VM_DEV_RESET_WARM = 1, /**< RESET# of a running machine: RTC memory and the like survive */
    VM_DEV_RESET_WAKE = 2, /**< power comes back after S3: RAM, and what controls it, was kept */
    /** INIT# of the processors: not for devices. vm__request_reset() makes it a warm reset on
     * boards without .soft_reset. */
    VM_DEV_RESET_SOFT = 3,
};

/** Where a device can be plugged. */
enum vm_dev_bus {
    VM_BUS_BOARD = 0, /**< soldered: only a board's code creates it */
    VM_BUS_ISA,       /**< ports and ISA lines by properties; the user may add it */
    VM_BUS_PCI,       /**< a PCI function: .pci says what it shows */
    VM_BUS_IDE,       /**< a unit on an ATA channel, named by the properties bus and unit */
};

/* ---- registers -------------------------------------------------------------------------- */

/**
 * One register of a flat bank. Without hooks it is storage.
 *
 * Reading gives .read() if there is one, else the storage, else .reset. Writing changes the bits of
 * .rw in the storage, clears the bits of .w1c that are written as one, and then calls .write() with
 * the value written (bytes that a narrower access did not write come from the storage, or are 0).
 * .rw is empty by default: registers are read-only until said otherwise. An access may touch one
 * register only or several whole ones; bytes that belong to none read as 0 and drop writes.
 */
struct vm_reg {
    const char *name; /**< datasheet spelling; NULL ends the table */
    uint32_t offset;  /**< in the window, bytes */
    uint8_t width;    /**< 1, 2, 4 or 8 bytes */
    bool stored;      /**< .storage is valid */
    uint32_t storage; /**< offset in the state struct, .width bytes wide */
    uint64_t reset;   /**< value after reset, written to the storage; or read if there is none */
    uint64_t rw;      /**< bits the guest may change */
    uint64_t w1c;     /**< bits the guest clears by writing one */
    uint64_t (*read)(struct vm_dev *dev);
    void (*write)(struct vm_dev *dev, uint64_t value);
};

/** The storage of a register: `VM_REG(pl031, match)`. */
#define VM_REG(s, f)                                                                               \
    .stored = true, .storage = offsetof(struct s, f), .width = sizeof(((struct s *)NULL)->f)

/**
 * A range of addresses or ports the device answers. Placed by vm__dev_map() or by its bus.
 * Either .regs or .read/.write; with .regs, .read/.write get what no row covers.
 */
struct vm_window {
    const char *name;    /**< "mmio", "data"; NULL ends the table */
    enum vm_space space; /**< memory or ports */
    uint64_t size;       /**< bytes; 0: realize() sets it with vm__dev_window_size() */
    uint8_t min_access;  /**< as in struct vm_window_ops */
    uint8_t max_access;
    const struct vm_reg *regs;
    uint64_t (*read)(struct vm_dev *dev, uint64_t off, unsigned size); /**< NULL: all ones */
    void (*write)(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value);
    bool late; /**< as in struct vm_window_ops */
};

/* ---- properties ------------------------------------------------------------------------- */

enum vm_prop_type {
    VM_PROP_TYPE_BOOL = 1, /**< bool */
    VM_PROP_TYPE_UINT,     /**< uint8_t … uint64_t by size */
    VM_PROP_TYPE_BYTES,    /**< uint64_t: number with K M G T */
    VM_PROP_TYPE_STR,      /**< const char *: owned by the core, NULL if not given */
    VM_PROP_TYPE_ENUM,     /**< uint32_t: index into .choices */
    VM_PROP_TYPE_CHR,      /**< struct vm_chr *: by id, NULL if not given */
};

/** A setting of a device, written into its state before realize(). */
struct vm_prop {
    const char *name; /**< as the user writes it; NULL ends the table */
    const char *help; /**< one line */
    uint32_t type;    /**< enum vm_prop_type */
    uint32_t offset;
    uint32_t size;              /**< bytes of the member */
    const char *value;          /**< default as text; NULL: zero */
    uint64_t min, max;          /**< numbers: allowed range; max 0: what fits */
    const char *const *choices; /**< enum: NULL-ended */
};

#define VM_PROP_AT_(t, s, f)                                                                       \
    .type = (t), .offset = offsetof(struct s, f), .size = sizeof(((struct s *)NULL)->f)
/** `{ "iobase", VM_PROP_UINT(ns16550, iobase), .value = "0x3f8", .max = 0xffff, .help = "…" }` */
#define VM_PROP_BOOL(s, f) VM_PROP_AT_(VM_PROP_TYPE_BOOL, s, f)
#define VM_PROP_UINT(s, f) VM_PROP_AT_(VM_PROP_TYPE_UINT, s, f)
#define VM_PROP_SIZE(s, f) VM_PROP_AT_(VM_PROP_TYPE_BYTES, s, f)
#define VM_PROP_STR(s, f)  VM_PROP_AT_(VM_PROP_TYPE_STR, s, f)
#define VM_PROP_ENUM(s, f) VM_PROP_AT_(VM_PROP_TYPE_ENUM, s, f)
#define VM_PROP_CHR(s, f)  VM_PROP_AT_(VM_PROP_TYPE_CHR, s, f)

/* ---- the class -------------------------------------------------------------------------- */

struct vm_dev_class {
    const char *name;    /**< as the user writes it: "ns16550" */
    const char *summary; /**< one line */
    const char *spec;    /**< the document it follows */
    enum vm_dev_bus bus;
    bool parallel;     /**< windows are called without the machine lock */
    uint32_t version;  /**< of .fields; 0 means 1 */
    size_t state_size; /**< bytes, allocated zeroed */

    /* A chip with one memory window and flat registers needs just these two … */
    uint64_t mmio_size;
    const struct vm_reg *regs;
    /* … others list windows. */
    const struct vm_window *windows;

    const struct vm_prop *props;
    const struct vm_field *fields;
    uint32_t n_irq_in;  /**< input pins, served by irq_in() */
    uint32_t n_irq_out; /**< output pins, driven by vm__dev_irq(); 0 means 1 */

    int (*realize)(struct vm_dev *dev); /**< after properties; may fail with vm__fail() */
    void (*unrealize)(
        struct vm_dev *dev); /**< undo realize(); windows and timers go by themselves */
    void (*reset)(struct vm_dev *dev, enum vm_reset_kind kind); /**< after registers got .reset */
    void (*irq_in)(struct vm_dev *dev, uint32_t pin, int level);
    int (*post_load)(struct vm_dev *dev); /**< rebuild what the fields imply; check their ranges */
    /** What the monitor's info commands show of it, as lines of text; may be NULL. */
    void (*info)(struct vm_dev *dev, struct vm_buf *out);

    const struct vm_pci_function *pci; /**< with VM_BUS_PCI: identification, BARs, config hooks */
    const void *extra;                 /**< for a bus or board that needs more of its devices */
};

/** An instance. Devices look at it through the calls below; boards and buses may read it. */
struct vm_dev {
    const struct vm_dev_class *cls;
    struct vm_machine *m;
    const char *id; /**< unique in the machine; owned */
    void *state;
    void *bus_state;       /**< belongs to the bus the device sits on (PCI: its config space) */
    struct vm_dev *parent; /**< the bus or bridge it sits on, or NULL */
    struct vm_irq out[VM_DEV_PINS];
    uint32_t n_windows;
    struct vm_region *windows[VM_DEV_WINDOWS];
    struct vm_dev_window *window_state; /**< core's, n_windows of them */
    char **strings;                     /**< core's: string properties */
    bool realized;
    struct vm_dev *next_retired;
};

/** The state struct. */
static inline void *vm_dev_state(const struct vm_dev *dev)
{
    return dev->state;
}

/* ---- for device code -------------------------------------------------------------------- */

/** Drive output pin @p pin. Under the machine lock. */
static inline void vm__dev_irq(struct vm_dev *dev, uint32_t pin, int level)
{
    vm__irq_set(&dev->out[pin], level != 0);
}

/** Up and down again. */
static inline void vm__dev_irq_pulse(struct vm_dev *dev, uint32_t pin)
{
    vm__dev_irq(dev, pin, 1);
    vm__dev_irq(dev, pin, 0);
}

/** Now, in nanoseconds of the machine's clock. */
static inline uint64_t vm__dev_now(struct vm_dev *dev)
{
    return vm__clock_ns(dev->m);
}

/** Prepare a timer embedded in the state; @p fn gets @p dev as its opaque. Usually in realize(). */
static inline void vm__dev_timer(struct vm_dev *dev, struct vm_timer *t, void (*fn)(void *opaque))
{
    vm__timer_init(t, dev->m, fn, dev);
}

/** DMA: copy from or to guest-physical memory. Out of range: all ones read, nothing written. */
int vm__dma_read(struct vm_dev *dev, uint64_t gpa, void *buf, size_t len);
int vm__dma_write(struct vm_dev *dev, uint64_t gpa, const void *buf, size_t len);

/** Put window @p n at @p base of its space. Again: move. Usually in realize() of ISA devices. */
int vm__dev_map(struct vm_dev *dev, uint32_t n, uint64_t base);
/** The same with a priority of the caller's; vm__dev_map() uses VM_PRIO_DEVICE. */
int vm__dev_map_at(struct vm_dev *dev, uint32_t n, uint64_t base, int priority);
/** Take window @p n off the map, or put it back. */
void vm__dev_enable(struct vm_dev *dev, uint32_t n, bool on);
/** In realize(), before mapping: the size of a window whose table row says 0. */
int vm__dev_window_size(struct vm_dev *dev, uint32_t n, uint64_t size);
/** Connect output @p pin to line @p line of the board (ISA IRQ, GSI). In realize(). */
int vm__dev_line(struct vm_dev *dev, uint32_t pin, uint32_t line);

/** A line in the log, with the device's id as source: vm__dev_log(dev, VM_LOG_DEBUG, VM_LOG_GUEST,
 * …). */
void vm__dev_log(struct vm_dev *dev, uint32_t level, uint32_t category, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- for boards and buses --------------------------------------------------------------- */

/** A "name=value" pair for properties. */
struct vm_setting {
    const char *name;
    const char *value;
};

/**
 * Allocate a device and set its properties; not realized yet.
 *
 * @param id       NULL: made from the class's name
 * @param settings ended by { NULL, NULL }; may be NULL
 * @return NULL with the error set
 */
struct vm_dev *vm__dev_new(struct vm_machine *m, const struct vm_dev_class *cls, const char *id,
                           const struct vm_setting *settings);
/** Set one property of a device that is not realized yet. */
int vm__dev_set(struct vm_dev *dev, const char *name, const char *value);
int vm__dev_set_u64(struct vm_dev *dev, const char *name, uint64_t value);
/** A property as text, for people. @retval VM_E_NOENT, VM_E_NOTSUP of a type that has no text */
int vm__dev_get(const struct vm_dev *dev, const char *name, char *value, size_t size);
/** Realize and add to the machine. On failure the device is freed and NULL returned. */
struct vm_dev *vm__dev_realize(struct vm_dev *dev);
/** New + realize. */
struct vm_dev *vm__dev_add(struct vm_machine *m, const struct vm_dev_class *cls, const char *id,
                           const struct vm_setting *settings);
/** Unrealize and free; removes it from the machine. Nothing may be running. */
void vm__dev_free(struct vm_dev *dev);
/**
 * Take it out of a machine that may be running. Its bus has let go of it and its windows are off
 * the map; from now on nobody finds it. It is freed, and VM_EVENT_UNPLUGGED posted, once every
 * processor stands still: until then one may be inside it, or wait for the machine lock to call it.
 */
void vm__dev_retire(struct vm_dev *dev);
/** Free those that retired. Everything stands still. */
void vm__dev_sweep(struct vm_machine *m);

/** Input @p pin of a device, as the receiving end of a line. */
struct vm_irq vm__dev_pin(struct vm_dev *dev, uint32_t pin);
/** Connect output @p pin. */
static inline void vm__dev_connect(struct vm_dev *dev, uint32_t pin, struct vm_irq to)
{
    dev->out[pin] = to;
}
/** The region of window @p n, for buses that place it themselves (BARs). */
static inline struct vm_region *vm__dev_window(struct vm_dev *dev, uint32_t n)
{
    return n < dev->n_windows ? dev->windows[n] : NULL;
}
/** A class by name among those built in, or NULL. */
const struct vm_dev_class *vm__dev_class(struct vm_machine *m, const char *name);
/** A device by id, or NULL. */
struct vm_dev *vm__dev_find(struct vm_machine *m, const char *id);
/** The first device of a class, or NULL. */
struct vm_dev *vm__dev_of_class(struct vm_machine *m, const char *class_name);

#endif
