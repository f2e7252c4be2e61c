/* SPDX-License-Identifier: MIT */
/**
 * @file i8259.c
 * The PC's pair of 8259A programmable interrupt controllers, cascaded through IR2, with the
 * edge/level control registers of the PIIX.
 *
 * Spec: [8259A] Intel 231468-003; [PIIX3] Intel 290550-002 for ELCR and for ICW1.LTIM, which the
 * PIIX ignores because ELCR replaces it.
 * Modelled: all initialisation and operation words, rotation, special mask and special fully
 * nested modes, automatic EOI, polling, spurious IR7 and IR15.
 * Not modelled: 8080 vectors and buffered mode pins, which a PC does not wire.
 *
 * A request that goes away before it is acknowledged stays latched in edge mode. The chip wants the
 * line held until INTA; but here the clock runs on while a busy host keeps a processor from
 * running, and a pulse that a real processor had the time to take must not be lost.
 */
#include "core/device.h"
#include "core/machine.h"

enum { MASTER = 0, SLAVE = 1, CASCADE = 2, SPURIOUS = 7, NONE = -1 };

/* What the next write to A0=1 is. [8259A figure 6] */
enum {
    INIT_DONE = 0, /* OCW1 */
    INIT_ICW2 = 2,
    INIT_ICW3 = 3,
    INIT_ICW4 = 4,
};

enum {
    ICW1_IC4 = 0x01,  /* ICW4 follows */
    ICW1_SNGL = 0x02, /* single: no ICW3 */
    ICW1 = 0x10,      /* this write to A0=0 is ICW1 */
    OCW3 = 0x08,      /* this one is OCW3 */
    OCW3_RIS = 0x01,
    OCW3_RR = 0x02,
    OCW3_POLL = 0x04,
    OCW3_SMM = 0x20,
    OCW3_ESMM = 0x40,
    ICW4_AEOI = 0x02,
    ICW4_SFNM = 0x10,
    POLL_REQUEST = 0x80,
};

struct pic_chip {
    uint8_t line;         /**< level of each input */
    uint8_t irr;          /**< interrupt request register */
    uint8_t isr;          /**< in-service register */
    uint8_t imr;          /**< interrupt mask register */
    uint8_t elcr;         /**< 1: level triggered */
    uint8_t base;         /**< ICW2 T7..T3 */
    uint8_t icw3;         /**< kept, the cascade is wired */
    uint8_t icw4;         /**< zero when ICW1 did not ask for one */
    uint8_t lowest;       /**< input with the lowest priority; 7 after initialisation */
    uint8_t init;         /**< INIT_* */
    uint8_t single;       /**< ICW1.SNGL */
    uint8_t want_icw4;    /**< ICW1.IC4 */
    uint8_t read_isr;     /**< OCW3 selected ISR for reads of A0=0 */
    uint8_t poll;         /**< the next read is a poll */
    uint8_t special_mask; /**< special mask mode */
    uint8_t rotate_aeoi;  /**< rotate in automatic EOI mode */
    uint8_t out;          /**< INT output */
};

struct i8259 {
    struct pic_chip chip[2]; /**< MASTER, SLAVE */
};

/** The set bit of @p bits with the highest priority, or NONE. */
static int highest(const struct pic_chip *c, uint8_t bits)
{
    for (int i = 1; i <= 8; i++) {
        int n = (c->lowest + i) & 7;
        if (bits & (1 << n))
            return n;
    }
    return NONE;
}

static int rank(const struct pic_chip *c, int n)
{
    return (n - c->lowest - 1) & 7;
}

/** The request that would be acknowledged now, or NONE. [8259A "Fully nested mode"] */
static int pending(const struct pic_chip *c, bool is_master)
{
    int want = highest(c, c->irr & (uint8_t)~c->imr);
    if (want == NONE)
        return NONE;

    uint8_t holding = c->isr;
    if (c->special_mask)
        holding &= (uint8_t)~c->imr;
    if ((c->icw4 & ICW4_SFNM) && is_master)
        holding &= (uint8_t) ~(1 << CASCADE);
    int serving = highest(c, holding);
    return serving == NONE || rank(c, want) < rank(c, serving) ? want : NONE;
}

static void set_line(struct pic_chip *c, int n, int level)
{
    uint8_t bit = (uint8_t)(1 << n);
    bool rises = level && !(c->line & bit);

    c->line = level ? c->line | bit : c->line & (uint8_t)~bit;
    if (c->elcr & bit)
        c->irr = level ? c->irr | bit : c->irr & (uint8_t)~bit;
    else if (rises)
        c->irr |= bit;
}

static void drive_int(struct vm_dev *dev, int level)
{
    const struct vm_irq_hub *hub = &dev->m->irq_hub;
    if (hub->intr != NULL)
        hub->intr(hub->cpus, level);
}

/** Recompute both INT outputs; the slave's drives the master's IR2. */
static void update(struct vm_dev *dev)
{
    struct i8259 *s = vm_dev_state(dev);
    struct pic_chip *m = &s->chip[MASTER], *v = &s->chip[SLAVE];

    v->out = v->init == INIT_DONE && pending(v, false) != NONE;
    set_line(m, CASCADE, v->out);
    uint8_t out = m->init == INIT_DONE && pending(m, true) != NONE;
    if (out != m->out) {
        m->out = out;
        drive_int(dev, out);
    }
}

static void end_of_interrupt(struct pic_chip *c, int n, bool rotate)
{
    c->isr &= (uint8_t) ~(1 << n);
    if (rotate)
        c->lowest = (uint8_t)n;
}

/**
 * Acknowledge one chip: returns the input, SPURIOUS when its request has gone. A spurious one sets
 * no in-service bit. [8259A "Interrupt sequence"]
 */
static int acknowledge(struct pic_chip *c, bool is_master)
{
    int n = pending(c, is_master);
    if (n == NONE)
        return SPURIOUS;
    if (!(c->elcr & (1 << n)))
        c->irr &= (uint8_t) ~(1 << n);
    c->isr |= (uint8_t)(1 << n);
    if (c->icw4 & ICW4_AEOI)
        end_of_interrupt(c, n, c->rotate_aeoi);
    return n;
}

/** The INTA cycles of the pair: the vector. */
static int ack_pair(struct vm_dev *dev)
{
    struct i8259 *s = vm_dev_state(dev);
    struct pic_chip *m = &s->chip[MASTER], *v = &s->chip[SLAVE];
    bool cascaded = pending(m, true) == CASCADE && !m->single;
    int n = acknowledge(m, true);
    int vector = m->base | n;

    if (cascaded) {
        vector = v->base | acknowledge(v, false);
        set_line(m, CASCADE, 0); /* INT drops during INTA: a further request is a new edge */
    }
    update(dev);
    return vector;
}

static int on_ack(void *opaque)
{
    struct vm_dev *dev = opaque;
    vm__lock(dev->m);
    int vector = ack_pair(dev);
    vm__unlock(dev->m);
    return vector;
}

/** ICW1 restarts a chip: [8259A "Initialization command words 1 and 2"], points a to f. */
static void start_init(struct pic_chip *c, uint8_t v)
{
    c->irr = c->line & c->elcr; /* the edge sense is reset */
    c->imr = 0;
    c->isr = 0;
    c->lowest = 7;
    c->icw4 = 0;
    c->special_mask = 0;
    c->rotate_aeoi = 0;
    c->read_isr = 0;
    c->poll = 0;
    c->single = (v & ICW1_SNGL) != 0;
    c->want_icw4 = (v & ICW1_IC4) != 0;
    c->init = INIT_ICW2;
}

static void write_ocw2(struct pic_chip *c, uint8_t v)
{
    bool rotate = v & 0x80, specific = v & 0x40, eoi = v & 0x20;
    int level = v & 7;

    if (specific) {
        if (eoi)
            end_of_interrupt(c, level, rotate);
        else if (rotate)
            c->lowest = (uint8_t)level; /* set priority; 010 is no operation */
    } else if (eoi) {
        /* In special mask mode a masked level is not ended by a non-specific EOI. */
        int n = highest(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
        if (n != NONE)
            end_of_interrupt(c, n, rotate);
    } else {
        c->rotate_aeoi = rotate;
    }
}

static void write_ocw3(struct pic_chip *c, uint8_t v)
{
    if (v & OCW3_POLL)
        c->poll = 1;
    else if (v & OCW3_RR)
        c->read_isr = v & OCW3_RIS;
    if (v & OCW3_ESMM)
        c->special_mask = (v & OCW3_SMM) != 0;
}

/** A0=1: the next initialisation word, or OCW1. */
static void write_data(struct pic_chip *c, uint8_t v)
{
    switch (c->init) {
    case INIT_ICW2:
        c->base = v & 0xf8;
        c->init = !c->single ? INIT_ICW3 : c->want_icw4 ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW3:
        c->icw3 = v;
        c->init = c->want_icw4 ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW4:
        c->icw4 = v & 0x1f;
        c->init = INIT_DONE;
        break;
    default:
        c->imr = v;
        break;
    }
}

static uint64_t pic_read(struct vm_dev *dev, struct pic_chip *c, bool is_master, uint64_t off)
{
    if (c->poll) { /* either address: the read is an INTA. [8259A "Poll command"] */
        uint8_t value = 0;
        c->poll = 0;
        if (pending(c, is_master) != NONE)
            value = (uint8_t)(POLL_REQUEST | acknowledge(c, is_master));
        update(dev);
        return value;
    }
    return off ? c->imr : c->read_isr ? c->isr : c->irr;
}

static void pic_write(struct vm_dev *dev, struct pic_chip *c, uint64_t off, uint8_t v)
{
    if (off)
        write_data(c, v);
    else if (v & ICW1)
        start_init(c, v);
    else if (v & OCW3)
        write_ocw3(c, v);
    else
        write_ocw2(c, v);
    update(dev);
}

static uint64_t master_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct i8259 *s = vm_dev_state(dev);
    (void)size;
    return pic_read(dev, &s->chip[MASTER], true, off);
}

static void master_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i8259 *s = vm_dev_state(dev);
    (void)size;
    pic_write(dev, &s->chip[MASTER], off, (uint8_t)v);
}

static uint64_t slave_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct i8259 *s = vm_dev_state(dev);
    (void)size;
    return pic_read(dev, &s->chip[SLAVE], false, off);
}

static void slave_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i8259 *s = vm_dev_state(dev);
    (void)size;
    pic_write(dev, &s->chip[SLAVE], off, (uint8_t)v);
}

static uint64_t elcr_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct i8259 *s = vm_dev_state(dev);
    (void)size;
    return s->chip[off & 1].elcr;
}

/** IRQ 0, 1, 2, 8 and 13 are edge triggered for good. [PIIX3 §2.4.9] */
static void elcr_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i8259 *s = vm_dev_state(dev);
    struct pic_chip *c = &s->chip[off & 1];
    (void)size;
    c->elcr = (uint8_t)v & (off & 1 ? 0xde : 0xf8);
    c->irr = (c->irr & (uint8_t)~c->elcr) | (c->line & c->elcr);
    update(dev);
}

static void pic_irq_in(struct vm_dev *dev, uint32_t pin, int level)
{
    struct i8259 *s = vm_dev_state(dev);
    if (pin == CASCADE)
        return; /* the slave sits there */
    set_line(&s->chip[pin >> 3], pin & 7, level);
    update(dev);
}

static int pic_realize(struct vm_dev *dev)
{
    static const uint16_t bases[] = { 0x20, 0xa0, 0x4d0 };
    struct vm_irq_hub *hub = &dev->m->irq_hub;

    for (uint32_t i = 0; i < VM_COUNT_OF(bases); i++) {
        int st = vm__dev_map(dev, i, bases[i]);
        if (st != VM_OK)
            return st;
    }
    hub->pic_ack = on_ack;
    hub->pic = dev;
    return VM_OK;
}

static void pic_unrealize(struct vm_dev *dev)
{
    struct vm_irq_hub *hub = &dev->m->irq_hub;
    hub->pic_ack = NULL;
    hub->pic = NULL;
}

/** The chip wakes up in no particular state; here, all masked. Wires keep their level. */
static void pic_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct i8259 *s = vm_dev_state(dev);
    (void)kind;
    for (int i = 0; i < 2; i++) {
        struct pic_chip *c = &s->chip[i];
        *c = (struct pic_chip) { .line = c->line, .imr = 0xff, .lowest = 7, .out = c->out };
    }
    s->chip[MASTER].line &= (uint8_t) ~(1 << CASCADE);
    update(dev);
}

static int pic_post_load(struct vm_dev *dev)
{
    const struct i8259 *s = vm_dev_state(dev);
    for (int i = 0; i < 2; i++)
        if (s->chip[i].lowest > 7 || s->chip[i].init > INIT_ICW4)
            return vm__fail(VM_E_CORRUPT, "8259 state out of range");
    drive_int(dev, s->chip[MASTER].out);
    return VM_OK;
}

/* clang-format off */
static const struct vm_window windows[] = {
    { "master", VM_SPACE_PORT, 2, 1, 1, .read = master_read, .write = master_write },
    { "slave",  VM_SPACE_PORT, 2, 1, 1, .read = slave_read,  .write = slave_write },
    { "elcr",   VM_SPACE_PORT, 2, 1, 1, .read = elcr_read,   .write = elcr_write },
    { 0 },
};

static const struct vm_field chip_fields[] = {
    VM_FIELD(pic_chip, line, 1),     VM_FIELD(pic_chip, irr, 1),
    VM_FIELD(pic_chip, isr, 1),      VM_FIELD(pic_chip, imr, 1),
    VM_FIELD(pic_chip, elcr, 1),     VM_FIELD(pic_chip, base, 1),
    VM_FIELD(pic_chip, icw3, 1),     VM_FIELD(pic_chip, icw4, 1),
    VM_FIELD(pic_chip, lowest, 1),   VM_FIELD(pic_chip, init, 1),
    VM_FIELD(pic_chip, single, 1),   VM_FIELD(pic_chip, want_icw4, 1),
    VM_FIELD(pic_chip, read_isr, 1), VM_FIELD(pic_chip, poll, 1),
    VM_FIELD(pic_chip, special_mask, 1), VM_FIELD(pic_chip, rotate_aeoi, 1),
    VM_FIELD(pic_chip, out, 1),      { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_FIELD_STRUCTS(i8259, chip, chip_fields, 1),
    { 0 },
};

/** The slave first, as the monitors that people's scripts read do it. */
static void pic_info(struct vm_dev *dev, struct vm_buf *out)
{
    const struct i8259 *s = vm_dev_state(dev);
    for (int i = 1; i >= 0; i--) {
        const struct pic_chip *c = &s->chip[i];
        vm__buf_printf(out,
                       "pic%d: irr=%02x imr=%02x isr=%02x hprio=%d irq_base=%02x rr_sel=%d elcr=%02x "
                       "fnm=%d\n",
                       i, c->irr, c->imr, c->isr, (c->lowest + 1) & 7, c->base, c->read_isr, c->elcr,
                       (c->icw4 & ICW4_SFNM) != 0);
    }
}

const struct vm_dev_class vm__i8259_class = {
    .name = "i8259",
    .summary = "pair of 8259A interrupt controllers",
    .spec = "Intel 231468-003, 290550-002",
    .state_size = sizeof(struct i8259),
    .windows = windows,
    .fields = fields,
    .n_irq_in = 16,
    .realize = pic_realize,
    .unrealize = pic_unrealize,
    .reset = pic_reset,
    .irq_in = pic_irq_in,
    .post_load = pic_post_load,
    .info = pic_info,
};
