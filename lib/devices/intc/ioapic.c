/* SPDX-License-Identifier: MIT */
/**
 * @file ioapic.c
 * Intel 82093AA I/O advanced programmable interrupt controller, 24 pins.
 *
 * Spec: [82093AA] Intel 290566-001; for version 0x20 its EOI register as later chipsets have it
 * ([ICH9 §13.5.1]).
 * Modelled: every delivery mode as a message to the processors, edge and level pins, masking,
 * remote IRR, EOI broadcast, register and window access of any width.
 * Polarity is kept but not acted on: a line here carries "asserted", whatever its voltage.
 */
#include "core/device.h"
#include "core/machine.h"

enum {
    PINS = 24,

    IOREGSEL = 0x00, /* window offsets */
    IOWIN = 0x10,
    EOIR = 0x40,

    REG_ID = 0x00, /* indirect registers */
    REG_VER = 0x01,
    REG_ARB = 0x02,
    REG_REDTBL = 0x10,

    VERSION_82093AA = 0x11,
    VERSION_EOI = 0x20,

    MSI_BASE_SHIFT = 20, /* message address 0xFEE00000 [SDM-3A §11.11.1] */
    MSI_BASE = 0xfee,
};

/* Redirection entry. [82093AA §3.2.4] */
#define RTE_VECTOR    UINT64_C(0xff)
#define RTE_MODE      UINT64_C(0x700)
#define RTE_LOGICAL   UINT64_C(0x800)
#define RTE_STATUS    UINT64_C(0x1000)
#define RTE_IRR       UINT64_C(0x4000)
#define RTE_LEVEL     UINT64_C(0x8000)
#define RTE_MASKED    UINT64_C(0x10000)
#define RTE_READ_ONLY (RTE_STATUS | RTE_IRR)
#define RTE_WRITABLE  (UINT64_C(0xff0000000001ffff) & ~RTE_READ_ONLY)

enum { MODE_LOWEST = 1, MODE_EXTINT = 7 };

struct ioapic {
    uint8_t version; /**< property */
    uint8_t select;  /**< IOREGSEL */
    uint8_t id;      /**< 4 bits */
    uint32_t line;   /**< level of each pin */
    uint32_t waits;  /**< edges that no processor accepted yet */
    uint64_t entry[PINS];
};

/** Send the pin's message. @return a processor took it */
static bool send(struct vm_dev *dev, uint64_t e)
{
    const struct vm_irq_hub *hub = &dev->m->irq_hub;
    unsigned mode = (unsigned)vm_bits(e, 8, 3);
    uint64_t address = (uint64_t)MSI_BASE << MSI_BASE_SHIFT | (e >> 56) << 12;
    uint32_t data = (uint32_t)(e & (RTE_VECTOR | RTE_MODE)) | 1u << 14;

    if (e & RTE_LOGICAL)
        address |= 1 << 2;
    if (mode == MODE_LOWEST)
        address |= 1 << 3; /* redirection hint */
    if (e & RTE_LEVEL)
        data |= 1u << 15;
    return hub->msi != NULL && hub->msi(hub->cpus, address, data) > 0;
}

/** Fixed and lowest-priority level interrupts end with an EOI message; others do not. */
static bool is_acknowledged(uint64_t e)
{
    return vm_bits(e, 8, 3) <= MODE_LOWEST;
}

static void service_level(struct vm_dev *dev, unsigned pin)
{
    struct ioapic *s = vm_dev_state(dev);
    uint64_t e = s->entry[pin];
    if ((e & (RTE_MASKED | RTE_IRR)) || !(e & RTE_LEVEL) || !(s->line & 1u << pin))
        return;
    if (send(dev, e) && is_acknowledged(e))
        s->entry[pin] |= RTE_IRR;
}

/** An edge on a masked pin is neither delivered nor held. [82093AA §3.2.4, bit 16] */
static void service_edge(struct vm_dev *dev, unsigned pin)
{
    struct ioapic *s = vm_dev_state(dev);
    uint64_t e = s->entry[pin];
    s->waits &= ~(1u << pin);
    if (!(e & (RTE_MASKED | RTE_LEVEL)) && !send(dev, e))
        s->waits |= 1u << pin;
}

static void ioapic_irq_in(struct vm_dev *dev, uint32_t pin, int level)
{
    struct ioapic *s = vm_dev_state(dev);
    uint32_t bit = 1u << pin;
    bool rises = level && !(s->line & bit);

    s->line = level ? s->line | bit : s->line & ~bit;
    if (!rises)
        return;
    if (s->entry[pin] & RTE_LEVEL)
        service_level(dev, pin);
    else
        service_edge(dev, pin);
}

/** An EOI for @p vector: level pins with it may ask again. */
static void eoi(struct vm_dev *dev, uint8_t vector)
{
    struct ioapic *s = vm_dev_state(dev);
    for (unsigned pin = 0; pin < PINS; pin++) {
        uint64_t e = s->entry[pin];
        if ((e & RTE_VECTOR) != vector || !(e & RTE_IRR))
            continue;
        s->entry[pin] &= ~RTE_IRR;
        service_level(dev, pin);
    }
}

static void on_eoi(void *opaque, uint8_t vector)
{
    struct vm_dev *dev = opaque;
    vm__lock(dev->m);
    eoi(dev, vector);
    vm__unlock(dev->m);
}

static void write_entry(struct vm_dev *dev, unsigned pin, unsigned lo, uint32_t v)
{
    struct ioapic *s = vm_dev_state(dev);
    uint64_t kept = s->entry[pin] & RTE_READ_ONLY;
    uint64_t e = (vm_put_bits(s->entry[pin], lo, 32, v) & RTE_WRITABLE) | kept;

    if (!(e & RTE_LEVEL))
        e &= ~RTE_IRR; /* how systems end a level interrupt on chips without an EOI register */
    s->entry[pin] = e;
    if (e & RTE_LEVEL)
        service_level(dev, pin);
    else if (s->waits & 1u << pin)
        service_edge(dev, pin);
}

static uint32_t read_reg(struct vm_dev *dev)
{
    const struct ioapic *s = vm_dev_state(dev);
    unsigned r = s->select;

    switch (r) {
    case REG_ID:
    case REG_ARB: /* loaded with the ID whenever that is written */
        return (uint32_t)s->id << 24;
    case REG_VER:
        return s->version | (PINS - 1) << 16;
    default:
        if (r < REG_REDTBL || r >= REG_REDTBL + 2 * PINS)
            return 0;
        r -= REG_REDTBL;
        return (uint32_t)(s->entry[r / 2] >> (r & 1 ? 32 : 0));
    }
}

static void write_reg(struct vm_dev *dev, uint32_t v)
{
    struct ioapic *s = vm_dev_state(dev);
    unsigned r = s->select;

    if (r == REG_ID)
        s->id = v >> 24 & 0x0f;
    else if (r >= REG_REDTBL && r < REG_REDTBL + 2 * PINS)
        write_entry(dev, (r - REG_REDTBL) / 2, r & 1 ? 32 : 0, v);
}

static uint64_t ioapic_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct ioapic *s = vm_dev_state(dev);
    (void)size;
    switch (off & 0xff) {
    case IOREGSEL:
        return s->select;
    case IOWIN:
        return read_reg(dev);
    default:
        return 0;
    }
}

static void ioapic_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct ioapic *s = vm_dev_state(dev);
    (void)size;
    switch (off & 0xff) {
    case IOREGSEL:
        s->select = (uint8_t)v;
        break;
    case IOWIN:
        write_reg(dev, (uint32_t)v);
        break;
    case EOIR:
        if (s->version >= VERSION_EOI)
            eoi(dev, (uint8_t)v);
        break;
    default:
        break;
    }
}

static int ioapic_realize(struct vm_dev *dev)
{
    const struct ioapic *s = vm_dev_state(dev);
    struct vm_irq_hub *hub = &dev->m->irq_hub;

    if (s->version != VERSION_82093AA && s->version != VERSION_EOI)
        return vm__fail(VM_E_INVAL, "version 0x%x is neither 0x11 nor 0x20", s->version);
    hub->ioapic_eoi = on_eoi;
    hub->ioapic = dev;
    return vm__dev_map(dev, 0, 0xfec00000);
}

static void ioapic_unrealize(struct vm_dev *dev)
{
    struct vm_irq_hub *hub = &dev->m->irq_hub;
    hub->ioapic_eoi = NULL;
    hub->ioapic = NULL;
}

static void ioapic_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct ioapic *s = vm_dev_state(dev);
    (void)kind;
    s->select = 0;
    s->id = 0;
    s->waits = 0;
    for (unsigned pin = 0; pin < PINS; pin++)
        s->entry[pin] = RTE_MASKED;
}

static const struct vm_window windows[] = {
    { "mmio", VM_SPACE_MEM, 0x1000, 4, 4, .read = ioapic_read, .write = ioapic_write },
    { 0 },
};

static const struct vm_prop props[] = {
    { "version", "0x11 (82093AA) or 0x20 (with an EOI register)", VM_PROP_UINT(ioapic, version),
      .value = "0x20", .max = 0xff },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD(ioapic, select, 1), VM_FIELD(ioapic, id, 1),          VM_FIELD(ioapic, line, 1),
    VM_FIELD(ioapic, waits, 1),  VM_FIELD_ARRAY(ioapic, entry, 1), { 0 },
};

/** One line a pin, in the form that people's scripts read. */
static void ioapic_info(struct vm_dev *dev, struct vm_buf *out)
{
    static const char *const modes[8] = { "fixed", "lowest", "SMI",  "...",
                                          "NMI",   "INIT",   "...", "ExtINT" };
    const struct ioapic *s = vm_dev_state(dev);
    vm__buf_printf(out, "ioapic0: ver=0x%02x id=0x%02x sel=0x%02x\n", s->version, s->id, s->select);
    for (unsigned i = 0; i < PINS; i++) {
        const uint64_t e = s->entry[i];
        vm__buf_printf(out, "  pin %-2u 0x%016llx dest=%llx vec=%-3u %s %-5s %-6s %-6s %s%s\n", i,
                       (unsigned long long)e, (unsigned long long)(e >> 56), (unsigned)(e & RTE_VECTOR),
                       e & UINT64_C(0x2000) ? "active-lo" : "active-hi", e & RTE_LEVEL ? "level" : "edge",
                       e & RTE_MASKED ? "masked" : "", modes[vm_bits(e, 8, 3)],
                       e & RTE_LOGICAL ? "logical" : "physical", s->line & 1u << i ? " raised" : "");
    }
}

const struct vm_dev_class vm__ioapic_class = {
    .name = "ioapic",
    .summary = "82093AA I/O APIC",
    .spec = "Intel 290566-001",
    .state_size = sizeof(struct ioapic),
    .windows = windows,
    .props = props,
    .fields = fields,
    .n_irq_in = PINS,
    .realize = ioapic_realize,
    .unrealize = ioapic_unrealize,
    .reset = ioapic_reset,
    .irq_in = ioapic_irq_in,
    .info = ioapic_info,
};
