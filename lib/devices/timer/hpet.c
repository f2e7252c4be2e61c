/* SPDX-License-Identifier: MIT */
/**
 * @file hpet.c
 * High precision event timers: a 64-bit counter at 100 MHz with comparators.
 *
 * Spec: [HPET] Intel IA-PC HPET Specification 1.0a. Section numbers below refer to it.
 * Modelled: one-shot and periodic timers of 32 and 64 bits, level and edge interrupts, messages
 * (FSB delivery), legacy replacement, writing halves of registers.
 *
 * Inputs 0 and 1 are IRQ 0 of the 8254 and IRQ 8 of the real-time clock: they pass through to the
 * outputs 0 and 1 unless legacy replacement takes their place. Other interrupts go to the board's
 * lines by number.
 */
#include "core/device.h"
#include "core/machine.h"

#define NEVER         UINT64_MAX
#define NS_PER_TICK   UINT64_C(10)
#define PERIOD_FS     UINT64_C(10000000)
#define TICKS_PER_S   UINT64_C(100000000)
#define FARTHEST      (UINT64_C(1) << 58) /* ticks; nobody waits 91 years */
#define MIN_GAP_TICKS UINT64_C(2000)      /* 20 us between two interrupts of a timer */

enum {
    MAX_TIMERS = 32,

    CAPABILITIES = 0x000, /* §2.3.4 */
    CONFIGURATION = 0x010,
    STATUS = 0x020,
    COUNTER = 0x0f0,
    TIMER0 = 0x100,
    TIMER_STRIDE = 0x20,
    TIMER_CONFIG = 0x00, /* in a timer's block */
    TIMER_COMPARATOR = 0x08,
    TIMER_FSB = 0x10,

    ENABLE = 0x1, /* CONFIGURATION */
    LEGACY = 0x2,

    REVISION = 0x01,
    COUNTER_64 = 1 << 13,
    HAS_LEGACY = 1 << 15,

    T_LEVEL = 0x0002, /* §2.3.8 */
    T_ENABLE = 0x0004,
    T_PERIODIC = 0x0008,
    T_CAN_PERIODIC = 0x0010,
    T_CAN_64 = 0x0020,
    T_SET_VALUE = 0x0040,
    T_32 = 0x0100,
    T_ROUTE = 0x3e00,
    T_FSB = 0x4000,
    T_CAN_FSB = 0x8000,
    T_WRITABLE = T_LEVEL | T_ENABLE | T_PERIODIC | T_SET_VALUE | T_32 | T_ROUTE | T_FSB,
    T_FIXED = T_CAN_PERIODIC | T_CAN_64 | T_CAN_FSB,

    OUT_IRQ0 = 0,
    OUT_IRQ8 = 1,
};

struct hpet_timer {
    uint64_t config;     /**< writable bits */
    uint64_t comparator; /**< as the guest reads it */
    uint64_t period;     /**< ticks, in periodic mode */
    uint64_t fsb;        /**< data low, address high */
    uint64_t target;     /**< counter value of the next match, in 64 bits; NEVER: none */
    struct vm_timer timer;
};

struct hpet {
    uint8_t n_timers; /**< property */
    uint32_t routes;  /**< property: lines a timer may be routed to */

    uint64_t config;
    uint64_t status; /**< level interrupts pending, by timer */
    uint64_t base;   /**< counter at .base_ns, or where it stands */
    uint64_t base_ns;
    uint8_t inputs; /**< levels: bit 0 IRQ 0, bit 1 IRQ 8 */
    struct hpet_timer t[MAX_TIMERS];
    struct hpet_slot {
        struct vm_dev *dev;
        uint32_t n;
    } slot[MAX_TIMERS]; /**< what a timer's callback gets */
};

static bool is_running(const struct hpet *s)
{
    return s->config & ENABLE;
}

static uint64_t counter(struct vm_dev *dev)
{
    const struct hpet *s = vm_dev_state(dev);
    return is_running(s) ? s->base + (vm__dev_now(dev) - s->base_ns) / NS_PER_TICK : s->base;
}

static uint64_t width_mask(const struct hpet_timer *t)
{
    return t->config & T_32 ? UINT32_MAX : UINT64_MAX;
}

/* ---- interrupts --------------------------------------------------------------------------- */

/** Timers 0 and 1 stand in for IRQ 0 and 8. */
static bool is_legacy(const struct hpet *s, unsigned n)
{
    return (s->config & LEGACY) && n <= OUT_IRQ8;
}

/** Drive a timer's line. Legacy interrupts have an output, others a line of the board. */
static void drive(struct vm_dev *dev, unsigned n, int level)
{
    const struct hpet *s = vm_dev_state(dev);
    uint32_t line = (uint32_t)vm_bits(s->t[n].config, 9, 5);

    if (is_legacy(s, n)) {
        vm__dev_irq(dev, n, level);
    } else if (s->routes & 1u << line) {
        struct vm_irq irq = vm__machine_line(dev->m, line);
        vm__irq_set(&irq, level);
    }
}

static void pass_inputs(struct vm_dev *dev)
{
    const struct hpet *s = vm_dev_state(dev);
    for (unsigned n = OUT_IRQ0; n <= OUT_IRQ8; n++)
        if (!is_legacy(s, n))
            vm__dev_irq(dev, n, s->inputs >> n & 1);
}

static void hpet_irq_in(struct vm_dev *dev, uint32_t pin, int level)
{
    struct hpet *s = vm_dev_state(dev);
    s->inputs = (uint8_t)vm_put_bits(s->inputs, pin, 1, level != 0);
    pass_inputs(dev);
}

static void clear_status(struct vm_dev *dev, uint64_t bits)
{
    struct hpet *s = vm_dev_state(dev);
    bits &= s->status;
    s->status &= ~bits;
    for (unsigned n = 0; n < s->n_timers; n++)
        if (bits & vm_bit(n))
            drive(dev, n, 0);
}

static void interrupt(struct vm_dev *dev, unsigned n)
{
    struct hpet *s = vm_dev_state(dev);
    struct hpet_timer *t = &s->t[n];
    const struct vm_irq_hub *hub = &dev->m->irq_hub;

    if (t->config & T_LEVEL)
        s->status |= vm_bit(n);
    if (!(t->config & T_ENABLE))
        return;
    if (t->config & T_FSB) {
        if (hub->msi != NULL)
            (void)hub->msi(hub->cpus, t->fsb >> 32, (uint32_t)t->fsb);
        return;
    }
    if (!(t->config & T_LEVEL))
        drive(dev, n, 0);
    drive(dev, n, 1);
    if (!(t->config & T_LEVEL))
        drive(dev, n, 0);
}

/* ---- comparators -------------------------------------------------------------------------- */

/** Wait for .target, but not before counter value @p earliest. */
static void arm_target(struct vm_dev *dev, struct hpet_timer *t, uint64_t earliest)
{
    const struct hpet *s = vm_dev_state(dev);
    uint64_t at = vm_max_u64(t->target, earliest);
    vm__timer_arm(&t->timer, s->base_ns + (at - s->base) * NS_PER_TICK);
}

/** Work out the next match: the counter must come to the comparator, as wide as the timer is. */
static void arm(struct vm_dev *dev, unsigned n)
{
    struct hpet *s = vm_dev_state(dev);
    struct hpet_timer *t = &s->t[n];
    uint64_t now = counter(dev);
    uint64_t ticks = (t->comparator - now) & width_mask(t);

    t->target = NEVER;
    if (is_running(s) && (t->config & (T_ENABLE | T_LEVEL)) && ticks < FARTHEST &&
        now < UINT64_MAX - FARTHEST) {
        t->target = now + ticks;
        arm_target(dev, t, 0);
    } else {
        vm__timer_cancel(&t->timer);
    }
}

/** After a match of a periodic timer: ticks the host made late follow closer together. */
static void next_period(struct vm_dev *dev, struct hpet_timer *t)
{
    uint64_t now = counter(dev), step = t->period & width_mask(t);

    t->target += step;
    if (t->target <= now && now - t->target > TICKS_PER_S) /* too late to make good for */
        t->target += ((now - t->target) / step + 1) * step;
    t->comparator = t->target & width_mask(t);
    uint64_t gap = MIN_GAP_TICKS;
    if (t->target <= now)
        gap = vm_max_u64(gap, step / 2);
    arm_target(dev, t, now + gap);
}

static void on_match(void *opaque)
{
    const struct hpet_slot *slot = opaque;
    struct hpet *s = vm_dev_state(slot->dev);
    struct hpet_timer *t = &s->t[slot->n];
    uint64_t step = t->period & width_mask(t);

    if (t->target == NEVER)
        return;
    if ((t->config & T_PERIODIC) && step != 0 && step < FARTHEST)
        next_period(slot->dev, t);
    else
        t->target = NEVER;
    interrupt(slot->dev, slot->n);
}

static void arm_all(struct vm_dev *dev)
{
    const struct hpet *s = vm_dev_state(dev);
    for (unsigned n = 0; n < s->n_timers; n++)
        arm(dev, n);
}

/* ---- registers: 64 bits wide, written whole or by halves ---------------------------------- */

static uint64_t capabilities(const struct hpet *s)
{
    return PERIOD_FS << 32 | UINT64_C(0x8086) << 16 | HAS_LEGACY | COUNTER_64 |
           (s->n_timers - 1u) << 8 | REVISION;
}

static uint64_t timer_read(const struct hpet *s, unsigned n, uint64_t reg)
{
    const struct hpet_timer *t = &s->t[n];
    if (n >= s->n_timers)
        return 0;
    switch (reg) {
    case TIMER_CONFIG:
        return t->config | T_FIXED | (uint64_t)s->routes << 32;
    case TIMER_COMPARATOR:
        return t->comparator & width_mask(t);
    case TIMER_FSB:
        return t->fsb;
    default:
        return 0;
    }
}

static uint64_t reg_read(struct vm_dev *dev, uint64_t reg)
{
    const struct hpet *s = vm_dev_state(dev);
    if (reg >= TIMER0)
        return timer_read(s, (unsigned)(reg - TIMER0) / TIMER_STRIDE, reg % TIMER_STRIDE);
    switch (reg) {
    case CAPABILITIES:
        return capabilities(s);
    case CONFIGURATION:
        return s->config;
    case STATUS:
        return s->status;
    case COUNTER:
        return counter(dev);
    default:
        return 0;
    }
}

static void write_timer_config(struct vm_dev *dev, unsigned n, uint64_t v)
{
    struct hpet *s = vm_dev_state(dev);
    struct hpet_timer *t = &s->t[n];

    if (s->status & vm_bit(n))
        drive(dev, n, 0); /* where it was routed */
    t->config = v & T_WRITABLE;
    if (!(t->config & T_PERIODIC))
        t->config &= ~(uint64_t)T_SET_VALUE;
    if (!(t->config & T_LEVEL))
        s->status &= ~vm_bit(n);
    if ((s->status & vm_bit(n)) && (t->config & T_ENABLE))
        drive(dev, n, 1);
    arm(dev, n);
}

/** §2.3.9.2.2: with T_SET_VALUE the comparator and the period are set, else only the period. */
static void write_comparator(struct vm_dev *dev, unsigned n, unsigned shift, unsigned bits,
                             uint64_t v)
{
    struct hpet *s = vm_dev_state(dev);
    struct hpet_timer *t = &s->t[n];
    bool periodic = t->config & T_PERIODIC;

    if (periodic)
        t->period = vm_put_bits(t->period, shift, bits, v);
    if (!periodic || (t->config & T_SET_VALUE)) {
        t->comparator = vm_put_bits(t->comparator, shift, bits, v) & width_mask(t);
        arm(dev, n);
    }
    t->config &= ~(uint64_t)T_SET_VALUE;
}

static void timer_write(struct vm_dev *dev, uint64_t reg, unsigned shift, unsigned bits, uint64_t v)
{
    struct hpet *s = vm_dev_state(dev);
    unsigned n = (unsigned)(reg - TIMER0) / TIMER_STRIDE;

    if (n >= s->n_timers)
        return;
    switch (reg % TIMER_STRIDE) {
    case TIMER_CONFIG:
        write_timer_config(dev, n, vm_put_bits(s->t[n].config, shift, bits, v));
        break;
    case TIMER_COMPARATOR:
        write_comparator(dev, n, shift, bits, v);
        break;
    case TIMER_FSB:
        s->t[n].fsb = vm_put_bits(s->t[n].fsb, shift, bits, v);
        break;
    default:
        break;
    }
}

static void write_config(struct vm_dev *dev, uint64_t v)
{
    struct hpet *s = vm_dev_state(dev);

    s->base = counter(dev);
    s->base_ns = vm__dev_now(dev);
    if ((s->config ^ v) & LEGACY) {
        clear_status(dev, 3);
        s->config ^= LEGACY;
        for (unsigned n = OUT_IRQ0; n <= OUT_IRQ8; n++)
            vm__dev_irq(dev, n, 0);
        pass_inputs(dev);
    }
    if ((s->config ^ v) & ENABLE) {
        s->config ^= ENABLE;
        arm_all(dev);
    }
}

/** Accesses of 4 or 8 bytes, aligned by the core or split by it. */
static uint64_t hpet_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    uint64_t value = reg_read(dev, off & ~UINT64_C(7));
    return size == 8 ? value : vm_bits(value, off & 4 ? 32 : 0, 32);
}

static void hpet_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct hpet *s = vm_dev_state(dev);
    uint64_t reg = off & ~UINT64_C(7);
    unsigned shift = size == 8 || !(off & 4) ? 0 : 32, bits = size * 8;

    if (reg >= TIMER0) {
        timer_write(dev, reg, shift, bits, v);
        return;
    }
    switch (reg) {
    case CONFIGURATION:
        if (shift == 0)
            write_config(dev, v & (ENABLE | LEGACY));
        break;
    case STATUS:
        if (shift == 0)
            clear_status(dev, v & UINT32_MAX);
        break;
    case COUNTER:
        s->base = vm_put_bits(counter(dev), shift, bits, v);
        s->base_ns = vm__dev_now(dev);
        arm_all(dev);
        break;
    default:
        break;
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static int hpet_realize(struct vm_dev *dev)
{
    struct hpet *s = vm_dev_state(dev);
    for (unsigned n = 0; n < MAX_TIMERS; n++) {
        s->slot[n] = (struct hpet_slot) { dev, n };
        vm__timer_init(&s->t[n].timer, dev->m, on_match, &s->slot[n]);
    }
    int st = vm__dev_line(dev, OUT_IRQ0, 0);
    if (st == VM_OK)
        st = vm__dev_line(dev, OUT_IRQ8, 8);
    return st == VM_OK ? vm__dev_map(dev, 0, 0xfed00000) : st;
}

static void hpet_unrealize(struct vm_dev *dev)
{
    struct hpet *s = vm_dev_state(dev);
    for (unsigned n = 0; n < MAX_TIMERS; n++)
        vm__timer_cancel(&s->t[n].timer);
}

static void hpet_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct hpet *s = vm_dev_state(dev);
    (void)kind;
    clear_status(dev, UINT64_MAX);
    s->config = 0;
    s->base = 0;
    s->base_ns = vm__dev_now(dev);
    for (unsigned n = 0; n < MAX_TIMERS; n++) {
        struct hpet_timer *t = &s->t[n];
        t->config = t->period = t->fsb = 0;
        t->comparator = t->target = NEVER;
        vm__timer_cancel(&t->timer);
    }
    pass_inputs(dev);
}

static int hpet_post_load(struct vm_dev *dev)
{
    struct hpet *s = vm_dev_state(dev);
    if (s->base_ns > vm__dev_now(dev))
        return vm__fail(VM_E_CORRUPT, "HPET counter was started in the future");
    for (unsigned n = 0; n < MAX_TIMERS; n++)
        s->t[n].config &= T_WRITABLE;
    return VM_OK;
}

static const struct vm_window windows[] = {
    { "mmio", VM_SPACE_MEM, 0x400, 4, 8, .read = hpet_read, .write = hpet_write },
    { 0 },
};

/* clang-format off */
static const struct vm_prop props[] = {
    { "timers", "how many comparators", VM_PROP_UINT(hpet, n_timers), .value = "3", .min = 3, .max = 24 },
    { "routes", "mask of lines they may be routed to", VM_PROP_UINT(hpet, routes), .value = "0x00f00000" },
    { 0 },
};
/* clang-format on */

static const struct vm_field timer_fields[] = {
    VM_FIELD(hpet_timer, config, 1),
    VM_FIELD(hpet_timer, comparator, 1),
    VM_FIELD(hpet_timer, period, 1),
    VM_FIELD(hpet_timer, fsb, 1),
    VM_FIELD(hpet_timer, target, 1),
    VM_FIELD_TIMER(hpet_timer, timer, 1),
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD(hpet, config, 1),
    VM_FIELD(hpet, status, 1),
    VM_FIELD(hpet, base, 1),
    VM_FIELD(hpet, base_ns, 1),
    VM_FIELD(hpet, inputs, 1),
    VM_FIELD_STRUCTS(hpet, t, timer_fields, 1),
    { 0 },
};

const struct vm_dev_class vm__hpet_class = {
    .name = "hpet",
    .summary = "high precision event timers",
    .spec = "IA-PC HPET 1.0a",
    .state_size = sizeof(struct hpet),
    .windows = windows,
    .props = props,
    .fields = fields,
    .n_irq_in = 2,
    .n_irq_out = 2,
    .realize = hpet_realize,
    .unrealize = hpet_unrealize,
    .reset = hpet_reset,
    .irq_in = hpet_irq_in,
    .post_load = hpet_post_load,
};
