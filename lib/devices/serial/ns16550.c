/* SPDX-License-Identifier: MIT */
/**
 * @file ns16550.c
 * National Semiconductor PC16550D UART: the PC's serial port.
 *
 * Spec: [PC16550D] National Semiconductor TL/C/8652.
 * Modelled: both FIFOs, every interrupt source in its order, character timeout, line errors and
 * break by character, loopback, modem status deltas, divisor latch.
 * Not modelled: DMA pins; the bit rate of the transmitter (bytes leave as the host takes them).
 *
 * A character is never lost: the channel hands over only what fits. After the guest has emptied the
 * receiver, the next bytes come a character time later, as on a wire; a driver that reads until
 * there is nothing left thus comes to an end while someone pastes a book.
 * The board's OUT2 gate in the interrupt line is left out: it only hides bugs on real boards.
 */
#include "core/device.h"
#include "core/machine.h"

/* Offsets. */
enum { RBR_THR = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

enum {
    FIFO = 16,

    IER_RDA = 0x01,
    IER_THRE = 0x02,
    IER_RLS = 0x04,
    IER_MSI = 0x08,

    IIR_NONE = 0x01,
    IIR_MSI = 0x00,
    IIR_THRE = 0x02,
    IIR_RDA = 0x04,
    IIR_RLS = 0x06,
    IIR_CTI = 0x0c,
    IIR_FIFOS = 0xc0,

    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    FCR_CLEAR_TX = 0x04,
    FCR_KEPT = 0xc9,

    LCR_BREAK = 0x40,
    LCR_DLAB = 0x80,

    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,

    LSR_DR = 0x01,
    LSR_OE = 0x02,
    LSR_BI = 0x10,
    LSR_ERRORS = 0x1e,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    LSR_FIFO_ERROR = 0x80,

    MSR_DCTS = 0x01,
    MSR_DDSR = 0x02,
    MSR_TERI = 0x04,
    MSR_DDCD = 0x08,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
    MSR_DELTAS = 0x0f,

    BASE_BAUD = 115200,
    MAX_TIMEOUT_NS = 5000000, /* a slow line setting must not make the keyboard feel slow */
};

struct ns16550 {
    uint16_t iobase;
    uint8_t irq;
    struct vm_chr *chr;

    uint8_t ier, fcr, lcr, mcr, scr;
    uint8_t msr;          /**< lines and deltas */
    uint8_t line_errors;  /**< LSR_ERRORS not read yet */
    uint8_t thre_pending; /**< the transmitter became empty, and IIR was not read since */
    uint8_t timed_out;    /**< character timeout pending */
    uint8_t rx_pause;     /**< the receiver was emptied a moment ago */
    uint16_t divisor;
    uint8_t rx[FIFO], rx_error[FIFO]; /**< oldest first: byte, its LSR bits */
    uint8_t rx_count;
    uint8_t tx[FIFO]; /**< what the host has not taken yet, oldest first */
    uint8_t tx_count;
    struct vm_timer rx_timer; /**< end of .rx_pause, or the character timeout */
    struct vm_timer resume;   /**< not saved: after loading, go on with the channel */
};

static bool has_fifos(const struct ns16550 *s)
{
    return s->fcr & FCR_ENABLE;
}

/** Nanoseconds of a character with the current line settings. */
static uint64_t char_ns(const struct ns16550 *s)
{
    uint32_t bits = 1 + 5 + (s->lcr & 3) + (s->lcr >> 3 & 1) + 1 + (s->lcr >> 2 & 1);
    return (uint64_t)bits * (s->divisor ? s->divisor : 1) * 1000000000 / BASE_BAUD;
}

static unsigned rx_trigger(const struct ns16550 *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };
    return has_fifos(s) ? levels[s->fcr >> 6] : 1;
}

/** The pending interrupt of the highest priority. [PC16550D table IV] */
static uint8_t interrupt(const struct ns16550 *s)
{
    if ((s->ier & IER_RLS) && s->line_errors)
        return IIR_RLS;
    if ((s->ier & IER_RDA) && s->rx_count >= rx_trigger(s))
        return IIR_RDA;
    if ((s->ier & IER_RDA) && s->timed_out)
        return IIR_CTI;
    if ((s->ier & IER_THRE) && s->thre_pending)
        return IIR_THRE;
    if ((s->ier & IER_MSI) && (s->msr & MSR_DELTAS))
        return IIR_MSI;
    return IIR_NONE;
}

static void update_irq(struct vm_dev *dev)
{
    vm__dev_irq(dev, 0, interrupt(vm_dev_state(dev)) != IIR_NONE);
}

/* ---- receiver ----------------------------------------------------------------------------- */

/** Characters wait below the trigger level: the timeout runs from the last one that moved. */
static void arm_timeout(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    if (has_fifos(s) && s->rx_count > 0)
        vm__timer_arm(&s->rx_timer, vm__dev_now(dev) + vm_min_u64(4 * char_ns(s), MAX_TIMEOUT_NS));
    else if (!s->rx_pause)
        vm__timer_cancel(&s->rx_timer);
}

static void on_rx_timer(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct ns16550 *s = vm_dev_state(dev);

    if (s->rx_pause) {
        s->rx_pause = 0;
        vm__chr_accept(s->chr);
    } else if (has_fifos(s) && s->rx_count > 0) {
        s->timed_out = 1;
        update_irq(dev);
    }
}

/** The oldest character's errors show in LSR once it is the next to be read. */
static void show_errors(struct ns16550 *s)
{
    if (s->rx_count > 0) {
        s->line_errors |= s->rx_error[0];
        s->rx_error[0] = 0;
    }
}

static void push_rx(struct vm_dev *dev, uint8_t byte, uint8_t errors)
{
    struct ns16550 *s = vm_dev_state(dev);
    unsigned room = has_fifos(s) ? FIFO : 1;

    if (s->rx_count >= room) { /* the shift register is lost; without FIFOs, the old byte */
        s->line_errors |= LSR_OE;
        if (!has_fifos(s))
            s->rx[0] = byte;
    } else {
        s->rx[s->rx_count] = byte;
        s->rx_error[s->rx_count] = errors;
        s->rx_count++;
    }
    s->timed_out = 0;
    show_errors(s);
    s->rx_pause = 0;
    arm_timeout(dev);
    update_irq(dev);
}

static uint8_t pop_rx(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    uint8_t byte = s->rx[0];

    if (s->rx_count == 0)
        return byte; /* the buffer register keeps its last byte */
    s->rx_count--;
    for (unsigned i = 0; i < s->rx_count; i++) {
        s->rx[i] = s->rx[i + 1];
        s->rx_error[i] = s->rx_error[i + 1];
    }
    s->timed_out = 0;
    show_errors(s);
    if (s->rx_count == 0) {
        s->rx_pause = 1;
        vm__timer_arm(&s->rx_timer, vm__dev_now(dev) + vm_min_u64(char_ns(s), MAX_TIMEOUT_NS));
    } else {
        arm_timeout(dev);
    }
    update_irq(dev);
    return byte;
}

static void clear_rx(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    s->rx_count = 0;
    s->timed_out = 0;
    s->rx_pause = 1; /* what waits at the host comes after this register write is over */
    vm__timer_arm(&s->rx_timer, vm__dev_now(dev) + vm_min_u64(char_ns(s), MAX_TIMEOUT_NS));
}

static size_t rx_room(void *opaque)
{
    const struct ns16550 *s = vm_dev_state(opaque);
    if (s->rx_pause || (s->mcr & MCR_LOOP))
        return 0;
    return (has_fifos(s) ? FIFO : 1) - (size_t)vm_min_u64(s->rx_count, has_fifos(s) ? FIFO : 1);
}

static void rx_bytes(void *opaque, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        push_rx(opaque, buf[i], 0);
}

static void rx_event(void *opaque, enum vm_chr_event event)
{
    const struct ns16550 *s = vm_dev_state(opaque);
    if (event == VM_CHR_BREAK && !(s->mcr & MCR_LOOP))
        push_rx(opaque, 0, LSR_BI);
}

/* ---- transmitter -------------------------------------------------------------------------- */

static void flush_tx(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    if (s->tx_count == 0)
        return;
    size_t n = vm__chr_write(s->chr, s->tx, s->tx_count);
    n = vm_min_u64(n, s->tx_count);
    s->tx_count -= (uint8_t)n;
    for (unsigned i = 0; i < s->tx_count; i++)
        s->tx[i] = s->tx[i + n];
    if (s->tx_count == 0)
        s->thre_pending = 1;
    update_irq(dev);
}

static void tx_writable(void *opaque)
{
    flush_tx(opaque);
}

static void write_thr(struct vm_dev *dev, uint8_t byte)
{
    struct ns16550 *s = vm_dev_state(dev);

    s->thre_pending = 0;
    update_irq(dev); /* low: the next one is an edge */
    if (s->mcr & MCR_LOOP) {
        push_rx(dev, byte, 0);
        s->thre_pending = 1;
        update_irq(dev);
        return;
    }
    if (s->tx_count < (has_fifos(s) ? FIFO : 1))
        s->tx[s->tx_count++] = byte;
    flush_tx(dev);
}

/* ---- modem -------------------------------------------------------------------------------- */

/** The modem lines: a cable to a terminal that is there, or the loop. Notes what changed. */
static void update_modem(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD;

    if (s->mcr & MCR_LOOP)
        lines = (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
                          (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
    uint8_t changed = (s->msr ^ lines) & (uint8_t)~MSR_DELTAS;
    uint8_t deltas = s->msr & MSR_DELTAS;
    deltas |= (changed & ~MSR_RI) >> 4;
    if ((changed & MSR_RI) && !(lines & MSR_RI))
        deltas |= MSR_TERI; /* ring: the trailing edge only */
    s->msr = lines | deltas;
}

static void update_line(struct ns16550 *s)
{
    static const char parities[] = { 'O', 'E' };
    char parity = s->lcr & 8 ? parities[s->lcr >> 4 & 1] : 'N';
    vm__chr_line(s->chr, BASE_BAUD / (s->divisor ? s->divisor : 1), 5 + (s->lcr & 3), parity,
                 s->lcr & 4 ? 2 : 1);
}

/* ---- registers ---------------------------------------------------------------------------- */

static uint8_t read_iir(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    uint8_t source = interrupt(s);
    if (source == IIR_THRE) {
        s->thre_pending = 0;
        update_irq(dev);
    }
    return source | (has_fifos(s) ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    uint8_t value =
        s->line_errors | (s->rx_count ? LSR_DR : 0) | (s->tx_count ? 0 : LSR_THRE | LSR_TEMT);
    bool bad = s->line_errors & LSR_ERRORS & ~LSR_OE;

    for (unsigned i = 0; i < s->rx_count; i++)
        bad |= s->rx_error[i] != 0;
    if (has_fifos(s) && bad)
        value |= LSR_FIFO_ERROR;
    s->line_errors = 0;
    update_irq(dev);
    return value;
}

static uint8_t read_msr(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    uint8_t value = s->msr;
    s->msr &= (uint8_t)~MSR_DELTAS;
    update_irq(dev);
    return value;
}

static void write_ier(struct vm_dev *dev, uint8_t v)
{
    struct ns16550 *s = vm_dev_state(dev);
    /* Enabling the interrupt while the transmitter is empty raises it; drivers count on that. */
    if ((v & ~s->ier & IER_THRE) && s->tx_count == 0)
        s->thre_pending = 1;
    s->ier = v & 0x0f;
    update_irq(dev);
}

static void write_fcr(struct vm_dev *dev, uint8_t v)
{
    struct ns16550 *s = vm_dev_state(dev);
    bool toggled = (v ^ s->fcr) & FCR_ENABLE;

    if (toggled || (v & FCR_CLEAR_RX))
        clear_rx(dev);
    if ((toggled || (v & FCR_CLEAR_TX)) && s->tx_count > 0) {
        s->tx_count = 0;
        s->thre_pending = 1;
    }
    s->fcr = v & FCR_ENABLE ? v & FCR_KEPT : 0;
    update_irq(dev);
}

static void write_mcr(struct vm_dev *dev, uint8_t v)
{
    struct ns16550 *s = vm_dev_state(dev);
    bool left_loop = (s->mcr & ~v) & MCR_LOOP;
    s->mcr = v & 0x1f;
    update_modem(dev);
    update_irq(dev);
    if (left_loop)
        vm__chr_accept(s->chr);
}

static uint64_t uart_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct ns16550 *s = vm_dev_state(dev);
    bool dlab = s->lcr & LCR_DLAB;
    (void)size;

    switch (off) {
    case RBR_THR:
        return dlab ? (uint8_t)s->divisor : pop_rx(dev);
    case IER:
        return dlab ? s->divisor >> 8 : s->ier;
    case IIR_FCR:
        return read_iir(dev);
    case LCR:
        return s->lcr;
    case MCR:
        return s->mcr;
    case LSR:
        return read_lsr(dev);
    case MSR:
        return read_msr(dev);
    default:
        return s->scr;
    }
}

static void write_divisor(struct ns16550 *s, unsigned lo, uint8_t v)
{
    s->divisor = (uint16_t)vm_put_bits(s->divisor, lo, 8, v);
    update_line(s);
}

static void uart_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct ns16550 *s = vm_dev_state(dev);
    bool dlab = s->lcr & LCR_DLAB;
    uint8_t v = (uint8_t)value;
    (void)size;

    switch (off) {
    case RBR_THR:
        if (dlab)
            write_divisor(s, 0, v);
        else
            write_thr(dev, v);
        break;
    case IER:
        if (dlab)
            write_divisor(s, 8, v);
        else
            write_ier(dev, v);
        break;
    case IIR_FCR:
        write_fcr(dev, v);
        break;
    case LCR:
        if ((v & ~s->lcr & LCR_BREAK) && (s->mcr & MCR_LOOP))
            push_rx(dev, 0, LSR_BI);
        s->lcr = v;
        update_line(s);
        break;
    case MCR:
        write_mcr(dev, v);
        break;
    case SCR:
        s->scr = v;
        break;
    default: /* LSR, MSR: factory test only */
        break;
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static const struct vm_chr_guest_ops chr_ops = {
    .can_receive = rx_room,
    .receive = rx_bytes,
    .event = rx_event,
    .writable = tx_writable,
};

static void on_resume(void *opaque)
{
    const struct ns16550 *s = vm_dev_state(opaque);
    flush_tx(opaque);
    vm__chr_accept(s->chr);
}

static int uart_realize(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    vm__dev_timer(dev, &s->resume, on_resume);
    vm__dev_timer(dev, &s->rx_timer, on_rx_timer);
    int st = vm__dev_map(dev, 0, s->iobase);
    if (st == VM_OK)
        st = vm__dev_line(dev, 0, s->irq);
    if (st == VM_OK && s->chr != NULL)
        st = vm__chr_attach_guest(s->chr, &chr_ops, dev);
    return st;
}

static void uart_unrealize(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    if (s->chr != NULL)
        vm__chr_detach_guest(s->chr);
}

static void uart_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct ns16550 *s = vm_dev_state(dev);
    (void)kind;
    s->ier = s->fcr = s->lcr = s->mcr = s->scr = 0;
    s->line_errors = s->thre_pending = s->timed_out = s->rx_pause = 0;
    s->rx_count = s->tx_count = 0;
    s->divisor = 12; /* 9600: indeterminate on the chip */
    s->msr = 0;
    update_modem(dev);
    s->msr &= (uint8_t)~MSR_DELTAS;
    vm__timer_cancel(&s->rx_timer);
    update_irq(dev);
    vm__chr_accept(s->chr);
}

static int uart_post_load(struct vm_dev *dev)
{
    struct ns16550 *s = vm_dev_state(dev);
    if (s->rx_count > FIFO || s->tx_count > FIFO)
        return vm__fail(VM_E_CORRUPT, "UART FIFO of %u and %u bytes", s->rx_count, s->tx_count);
    update_line(s);
    vm__timer_arm(&s->resume, vm__dev_now(dev));
    return VM_OK;
}

static const struct vm_window windows[] = {
    { "uart", VM_SPACE_PORT, 8, 1, 1, .read = uart_read, .write = uart_write },
    { 0 },
};

/* clang-format off */
static const struct vm_prop props[] = {
    { "iobase", "first of its eight ports", VM_PROP_UINT(ns16550, iobase), .value = "0x3f8", .max = 0xfff8 },
    { "irq", "interrupt line", VM_PROP_UINT(ns16550, irq), .value = "4", .max = 15 },
    { "chardev", "character channel on the other end of the wire", VM_PROP_CHR(ns16550, chr) },
    { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_FIELD(ns16550, ier, 1),
    VM_FIELD(ns16550, fcr, 1),
    VM_FIELD(ns16550, lcr, 1),
    VM_FIELD(ns16550, mcr, 1),
    VM_FIELD(ns16550, scr, 1),
    VM_FIELD(ns16550, msr, 1),
    VM_FIELD(ns16550, line_errors, 1),
    VM_FIELD(ns16550, thre_pending, 1),
    VM_FIELD(ns16550, timed_out, 1),
    VM_FIELD(ns16550, rx_pause, 1),
    VM_FIELD(ns16550, divisor, 1),
    VM_FIELD_BYTES(ns16550, rx, 1),
    VM_FIELD_BYTES(ns16550, rx_error, 1),
    VM_FIELD(ns16550, rx_count, 1),
    VM_FIELD_BYTES(ns16550, tx, 1),
    VM_FIELD(ns16550, tx_count, 1),
    VM_FIELD_TIMER(ns16550, rx_timer, 1),
    { 0 },
};

const struct vm_dev_class vm__ns16550_class = {
    .name = "ns16550",
    .summary = "PC16550D serial port",
    .spec = "National Semiconductor TL/C/8652",
    .bus = VM_BUS_ISA,
    .state_size = sizeof(struct ns16550),
    .windows = windows,
    .props = props,
    .fields = fields,
    .realize = uart_realize,
    .unrealize = uart_unrealize,
    .reset = uart_reset,
    .post_load = uart_post_load,
};
