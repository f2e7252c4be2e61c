/* SPDX-License-Identifier: MIT */
/**
 * @file i8254.c
 * Intel 8254 programmable interval timer as a PC wires it, with port 61h.
 *
 * Channel 0 drives IRQ 0; channel 1 is the forgotten memory refresh; channel 2 makes the speaker's
 * tone, its gate and output visible in port 61h.
 *
 * Spec: [8254] Intel 231164-005; [PIIX3 §2.5.6] for port 61h.
 * Modelled: six modes, binary and BCD, all access modes, counter latch, read-back, gates, null
 * count, reloads at the end of a (half) cycle.
 *
 * Nothing runs between accesses: a counter is the tick at which its counting element was loaded and
 * its period, and everything else follows from the clock. Only channel 0 has a timer, for the
 * rising edges of its output. Ticks that the host made late are given one by one, closer together.
 */
#include "core/device.h"
#include "core/machine.h"

#define NEVER    UINT64_MAX
#define PIT_HZ   UINT64_C(1193182)
#define NS_PER_S UINT64_C(1000000000)

enum {
    CHANNELS = 3,
    CONTROL = 3, /* offset of the control word */
    LATCH = 0,   /* RW field: counter latch command; else 1 LSB, 2 MSB, 3 both */
    RW_LSB = 1,
    RW_MSB = 2,
    RW_BOTH = 3,
    READ_BACK = 3,       /* SC field */
    RB_NO_COUNT = 0x20,  /* active low */
    RB_NO_STATUS = 0x10, /* active low */
    STATUS_OUT = 0x80,
    STATUS_NULL = 0x40,
    MIN_GAP_NS = 20000, /* between two interrupts, whatever the guest programs */
    REFRESH_NS = 15085, /* 18 ticks: period of the refresh toggle */
    P61_GATE2 = 0x01,
    P61_WRITABLE = 0x0f,
    P61_REFRESH = 0x10,
    P61_OUT2 = 0x20,
};

struct pit_channel {
    uint8_t mode;       /**< 0…5 */
    uint8_t bcd;        /**< counts in four decades */
    uint8_t access;     /**< RW_* */
    uint8_t gate;       /**< level of the GATE input */
    uint8_t write_msb;  /**< the next write is the high byte */
    uint8_t read_msb;   /**< the next unlatched read is the high byte */
    uint8_t lsb;        /**< low byte waiting for its high byte */
    uint8_t latch_left; /**< bytes of .latch still to be read */
    uint8_t has_status; /**< .status waits to be read */
    uint8_t status;     /**< latched status byte */
    uint8_t null_count; /**< the count written is not in the counting element yet */
    uint8_t written;    /**< a count was written since the control word */
    uint8_t loaded;     /**< the counting element was loaded since then */
    uint8_t running;    /**< it counts */
    uint8_t load_low;   /**< mode 3: the load at .load_at starts a low half */
    uint16_t latch;     /**< latched count, as read */
    uint32_t reload;    /**< count register: 1…65536, in BCD 1…10000 */
    uint32_t period;    /**< what the counting element was loaded with */
    uint64_t start;     /**< tick of the load, moved on by every pause */
    uint64_t held;      /**< ticks counted, while not running */
    uint64_t load_at;   /**< tick of the next load, or NEVER */
};

struct i8254 {
    struct pit_channel channel[CHANNELS];
    uint8_t port61;        /**< writable bits */
    uint64_t edge;         /**< tick of the edge that .timer waits for, or NEVER */
    struct vm_timer timer; /**< channel 0's output rises */
};

static uint64_t ns_to_tick(uint64_t ns)
{
    return vm_muldiv(ns, PIT_HZ, NS_PER_S);
}

/** The first nanosecond of a tick. */
static uint64_t tick_to_ns(uint64_t tick)
{
    return (uint64_t)(((unsigned __int128)tick * NS_PER_S + PIT_HZ - 1) / PIT_HZ);
}

static uint64_t now_tick(struct vm_dev *dev)
{
    return ns_to_tick(vm__dev_now(dev));
}

/* ---- the counting element ---------------------------------------------------------------- */

static bool is_periodic(const struct pit_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool is_triggered(const struct pit_channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

/** A count of 1 is illegal in the periodic modes; the least legal one stands in for it. */
static uint32_t cycle_of(const struct pit_channel *c, uint32_t count)
{
    return is_periodic(c) && count < 2 ? 2 : count;
}

static uint32_t high_half(uint32_t period)
{
    return (period + 1) / 2;
}

static uint64_t elapsed(const struct pit_channel *c, uint64_t t)
{
    return c->running && t > c->start ? t - c->start : c->running ? 0 : c->held;
}

/** Do the load that was due by tick @p t, if any. */
static void settle(struct pit_channel *c, uint64_t t)
{
    if (c->load_at > t)
        return;
    c->period = cycle_of(c, c->reload);
    c->start = c->load_at;
    if (c->load_low)
        c->start -= vm_min_u64(c->start, high_half(c->period));
    c->held = 0;
    c->null_count = 0;
    c->loaded = 1;
    c->running = is_triggered(c) || c->gate;
    c->load_at = NEVER;
    c->load_low = 0;
}

/** Level of OUT. [8254 "Mode definitions"] */
static int output(const struct pit_channel *c, uint64_t t)
{
    if (!c->loaded)
        return c->mode != 0;
    uint64_t n = elapsed(c, t);
    switch (c->mode) {
    case 2:
        return !c->gate || !c->running || n % c->period != c->period - 1;
    case 3:
        return !c->gate || !c->running || n % c->period < high_half(c->period);
    case 4:
    case 5:
        return n != c->period;
    default:
        return n >= c->period;
    }
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)(v % 10 | (v / 10 % 10) << 4 | (v / 100 % 10) << 8 | (v / 1000 % 10) << 12);
}

static uint32_t from_bcd(uint32_t v)
{
    return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12 & 15) * 1000;
}

/** The counting element, as the guest reads it. */
static uint16_t count(const struct pit_channel *c, uint64_t t)
{
    uint64_t n = elapsed(c, t);
    uint32_t modulus = c->bcd ? 10000 : 65536;
    uint32_t value;

    if (c->mode == 2) {
        value = c->period - (uint32_t)(n % c->period);
    } else if (c->mode == 3) { /* two a tick, in each half from the even part of the period */
        uint32_t p = (uint32_t)(n % c->period);
        if (p >= high_half(c->period))
            p -= high_half(c->period);
        value = (c->period & ~1u) - 2 * p;
    } else {
        value = (uint32_t)((c->period + modulus - n % modulus) % modulus);
    }
    return c->bcd ? to_bcd(value % modulus) : (uint16_t)value;
}

/** A whole count was written at tick @p t. */
static void new_count(struct pit_channel *c, uint32_t value, uint64_t t)
{
    if (c->bcd)
        value = from_bcd(value) % 10000;
    c->reload = value ? value : c->bcd ? 10000 : 65536;
    c->null_count = 1;
    c->written = 1;
    if (is_triggered(c))
        return; /* waits for the gate */
    if (!is_periodic(c) || !c->loaded) {
        c->load_at = t + 1;
    } else if (c->running && c->load_at == NEVER) { /* at the end of the (half) cycle */
        uint32_t p = (uint32_t)(elapsed(c, t) % c->period);
        c->load_low = c->mode == 3 && p < high_half(c->period);
        c->load_at = t + (c->load_low ? high_half(c->period) : c->period) - p;
    }
}

static void set_gate(struct pit_channel *c, int level, uint64_t t)
{
    settle(c, t);
    if (level == c->gate)
        return;
    if (is_triggered(c)) {
        if (level && c->written) {
            c->load_at = t + 1;
        }
    } else if (!level) {
        c->held = elapsed(c, t);
        c->running = 0;
        if (is_periodic(c) && c->loaded)
            c->load_at = NEVER; /* the trigger will load */
    } else if (is_periodic(c)) {
        if (c->written) {
            c->load_at = t + 1;
            c->load_low = 0;
        }
    } else if (c->loaded) {
        c->start = t - vm_min_u64(t, c->held);
        c->running = 1;
    }
    c->gate = (uint8_t)level;
}

/* ---- interrupts --------------------------------------------------------------------------- */

/** The first tick after @p t at which OUT rises (or a load must be done), or NEVER. */
static uint64_t next_edge(const struct pit_channel *c, uint64_t t)
{
    uint64_t start = c->start;
    uint32_t period = c->period;

    if (c->load_at != NEVER) {
        if (c->loaded && is_periodic(c))
            return c->load_at;
        start = c->load_at;
        period = cycle_of(c, c->reload);
        if (!is_triggered(c) && !c->gate)
            return NEVER;
    } else if (!c->loaded || !c->running) {
        return NEVER;
    }
    if (is_periodic(c))
        return t < start ? start + period : start + ((t - start) / period + 1) * period;
    uint64_t rise = start + period + (c->mode >= 4);
    return rise > t ? rise : NEVER;
}

static void arm(struct vm_dev *dev, uint64_t edge, uint64_t earliest_ns)
{
    struct i8254 *s = vm_dev_state(dev);
    s->edge = edge;
    if (edge == NEVER)
        vm__timer_cancel(&s->timer);
    else
        vm__timer_arm(&s->timer, vm_max_u64(tick_to_ns(edge), earliest_ns));
}

/** Channel 0 was written: its output and its next edge. */
static void update_irq(struct vm_dev *dev, uint64_t t)
{
    struct i8254 *s = vm_dev_state(dev);
    vm__dev_irq(dev, 0, output(&s->channel[0], t));
    arm(dev, next_edge(&s->channel[0], t), 0);
}

/**
 * Channel 0 rises. The low time before it is not given its own event: in modes 2, 4 and 5 it is
 * one tick, and IRQ 0 is edge triggered.
 */
static void on_edge(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct i8254 *s = vm_dev_state(dev);
    struct pit_channel *c = &s->channel[0];
    uint64_t now_ns = vm__dev_now(dev), t = ns_to_tick(now_ns), edge = s->edge;
    bool rises = !(c->load_at == edge && c->load_low);

    settle(c, edge);
    if (rises) {
        vm__dev_irq(dev, 0, 0);
        vm__dev_irq(dev, 0, 1);
    }
    uint64_t next = next_edge(c, edge), gap = 0;
    if (next != NEVER && next <= t) { /* late: catch up, but not for ever */
        if (t - next > PIT_HZ)
            next = next_edge(c, t);
        gap = vm_max_u64(tick_to_ns(c->period) / 2, MIN_GAP_NS);
    }
    arm(dev, next, now_ns + vm_max_u64(gap, MIN_GAP_NS));
}

/* ---- ports -------------------------------------------------------------------------------- */

static void latch_count(struct pit_channel *c, uint64_t t)
{
    if (c->latch_left != 0)
        return; /* the first latch holds until it is read */
    c->latch = count(c, t);
    c->latch_left = c->access == RW_BOTH ? 2 : 1;
}

static void latch_status(struct pit_channel *c, uint64_t t)
{
    if (c->has_status)
        return;
    c->status = (uint8_t)(output(c, t) * STATUS_OUT | c->null_count * STATUS_NULL | c->access << 4 |
                          c->mode << 1 | c->bcd);
    c->has_status = 1;
}

static void set_mode(struct pit_channel *c, uint8_t v)
{
    uint8_t mode = v >> 1 & 7;
    uint8_t gate = c->gate;
    uint32_t period = c->period;

    *c = (struct pit_channel) {
        .mode = mode > 5 ? mode - 4 : mode,
        .bcd = v & 1,
        .access = v >> 4 & 3,
        .gate = gate,
        .null_count = 1,
        .reload = 65536,
        .load_at = NEVER,
    };
    c->period = cycle_of(c, period);
}

static void write_control(struct vm_dev *dev, uint8_t v, uint64_t t)
{
    struct i8254 *s = vm_dev_state(dev);
    unsigned select = v >> 6;

    if (select == READ_BACK) {
        for (unsigned i = 0; i < CHANNELS; i++) {
            if (!(v & 2 << i))
                continue;
            if (!(v & RB_NO_COUNT))
                latch_count(&s->channel[i], t);
            if (!(v & RB_NO_STATUS))
                latch_status(&s->channel[i], t);
        }
    } else if ((v >> 4 & 3) == LATCH) {
        latch_count(&s->channel[select], t);
    } else {
        set_mode(&s->channel[select], v);
        if (select == 0)
            update_irq(dev, t);
    }
}

static void write_count(struct pit_channel *c, uint8_t v, uint64_t t)
{
    bool first = c->access != RW_BOTH || !c->write_msb;

    if (c->mode == 0 && first) { /* OUT goes low and counting stops at the first byte */
        c->held = elapsed(c, t);
        c->running = 0;
        c->loaded = 0;
        c->load_at = NEVER;
    }
    switch (c->access) {
    case RW_LSB:
        new_count(c, v, t);
        break;
    case RW_MSB:
        new_count(c, (uint32_t)v << 8, t);
        break;
    default:
        if (first)
            c->lsb = v;
        else
            new_count(c, (uint32_t)v << 8 | c->lsb, t);
        c->write_msb = first;
        break;
    }
}

static uint8_t read_count(struct pit_channel *c, uint64_t t)
{
    if (c->has_status) {
        c->has_status = 0;
        return c->status;
    }
    uint16_t value = c->latch_left != 0 ? c->latch : count(c, t);
    bool high = c->access == RW_MSB;
    if (c->access == RW_BOTH) {
        high = c->read_msb;
        c->read_msb = !high;
    }
    if (c->latch_left != 0)
        c->latch_left--;
    return (uint8_t)(high ? value >> 8 : value);
}

static void settle_all(struct i8254 *s, uint64_t t)
{
    for (unsigned i = 0; i < CHANNELS; i++)
        settle(&s->channel[i], t);
}

static uint64_t pit_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct i8254 *s = vm_dev_state(dev);
    uint64_t t = now_tick(dev);
    (void)size;
    if (off == CONTROL)
        return 0xff; /* write only */
    settle_all(s, t);
    return read_count(&s->channel[off], t);
}

static void pit_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i8254 *s = vm_dev_state(dev);
    uint64_t t = now_tick(dev);
    (void)size;
    settle_all(s, t);
    if (off == CONTROL) {
        write_control(dev, (uint8_t)v, t);
    } else {
        write_count(&s->channel[off], (uint8_t)v, t);
        if (off == 0)
            update_irq(dev, t);
    }
}

static uint64_t port61_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct i8254 *s = vm_dev_state(dev);
    uint64_t ns = vm__dev_now(dev), t = ns_to_tick(ns);
    (void)off;
    (void)size;
    settle(&s->channel[2], t);
    return s->port61 | (ns / REFRESH_NS & 1 ? P61_REFRESH : 0) |
           (output(&s->channel[2], t) ? P61_OUT2 : 0);
}

static void port61_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i8254 *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    s->port61 = v & P61_WRITABLE;
    set_gate(&s->channel[2], (v & P61_GATE2) != 0, now_tick(dev));
}

/* ---- life --------------------------------------------------------------------------------- */

static int pit_realize(struct vm_dev *dev)
{
    struct i8254 *s = vm_dev_state(dev);
    vm__dev_timer(dev, &s->timer, on_edge);
    int st = vm__dev_line(dev, 0, 0); /* unless the board leads it through the HPET */
    if (st == VM_OK)
        st = vm__dev_map(dev, 0, 0x40);
    return st == VM_OK ? vm__dev_map(dev, 1, 0x61) : st;
}

/** The chip has no reset pin; it wakes up silent, so that every boot is the same. */
static void pit_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct i8254 *s = vm_dev_state(dev);
    (void)kind;
    for (unsigned i = 0; i < CHANNELS; i++) {
        s->channel[i] = (struct pit_channel) {
            .mode = 3,
            .access = RW_BOTH,
            .gate = i != 2,
            .reload = 65536,
            .period = 65536,
            .load_at = NEVER,
        };
    }
    s->port61 = 0;
    arm(dev, NEVER, 0);
    vm__dev_irq(dev, 0, 0);
}

static int pit_post_load(struct vm_dev *dev)
{
    const struct i8254 *s = vm_dev_state(dev);
    for (unsigned i = 0; i < CHANNELS; i++) {
        const struct pit_channel *c = &s->channel[i];
        if (c->mode > 5 || c->access > RW_BOTH || c->period == 0 || c->period > 65536 ||
            c->reload == 0 || c->reload > 65536 || (is_periodic(c) && c->period < 2))
            return vm__fail(VM_E_CORRUPT, "8254 channel %u: state out of range", i);
    }
    return VM_OK;
}

/* clang-format off */
static const struct vm_window windows[] = {
    { "counters", VM_SPACE_PORT, 4, 1, 1, .read = pit_read,    .write = pit_write },
    { "port61",   VM_SPACE_PORT, 1, 1, 1, .read = port61_read, .write = port61_write },
    { 0 },
};

static const struct vm_field channel_fields[] = {
    VM_FIELD(pit_channel, mode, 1),       VM_FIELD(pit_channel, bcd, 1),
    VM_FIELD(pit_channel, access, 1),     VM_FIELD(pit_channel, gate, 1),
    VM_FIELD(pit_channel, write_msb, 1),  VM_FIELD(pit_channel, read_msb, 1),
    VM_FIELD(pit_channel, lsb, 1),        VM_FIELD(pit_channel, latch_left, 1),
    VM_FIELD(pit_channel, has_status, 1), VM_FIELD(pit_channel, status, 1),
    VM_FIELD(pit_channel, null_count, 1), VM_FIELD(pit_channel, written, 1),
    VM_FIELD(pit_channel, loaded, 1),     VM_FIELD(pit_channel, running, 1),
    VM_FIELD(pit_channel, load_low, 1),   VM_FIELD(pit_channel, latch, 1),
    VM_FIELD(pit_channel, reload, 1),     VM_FIELD(pit_channel, period, 1),
    VM_FIELD(pit_channel, start, 1),      VM_FIELD(pit_channel, held, 1),
    VM_FIELD(pit_channel, load_at, 1),    { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_FIELD_STRUCTS(i8254, channel, channel_fields, 1),
    VM_FIELD(i8254, port61, 1),
    VM_FIELD(i8254, edge, 1),
    VM_FIELD_TIMER(i8254, timer, 1),
    { 0 },
};

const struct vm_dev_class vm__i8254_class = {
    .name = "i8254",
    .summary = "8254 interval timer with port 61h",
    .spec = "Intel 231164-005",
    .state_size = sizeof(struct i8254),
    .windows = windows,
    .fields = fields,
    .realize = pit_realize,
    .reset = pit_reset,
    .post_load = pit_post_load,
};
