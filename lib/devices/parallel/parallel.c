/* SPDX-License-Identifier: MIT */
/**
 * @file parallel.c
 * A parallel port with a printer on it: the PC's, with the PS/2, EPP and ECP extensions of the
 * super I/O chips.
 *
 * Spec: [PC87332] for the registers of the first three; [ECP] for the extended ones.
 * Modelled: compatibility mode with its handshake, bidirectional data, FIFO and ECP modes forward
 * by programmed I/O and DMA, FIFO test and configuration modes, interrupts, EPP cycles and their
 * timeout. Not modelled: anything the printer would have to answer. It is one of the first kind,
 * which takes bytes by strobe and acknowledge and never negotiates: EPP cycles time out, nothing
 * comes in.
 *
 * The printer is a channel. It takes a byte when the channel does; until then it is busy.
 */
#include <string.h>

#include "core/device.h"
#include "core/machine.h"
#include "devices/dma/i8237.h"

/* Offsets. */
enum { DATA = 0, STATUS = 1, CONTROL = 2, EPP = 3, FIFO_CNFGA = 0, CNFGB = 1, ECR = 2 };

enum {
    FIFO = 16,
    THRESHOLD = 8, /* bytes free or filled that ask for service */
    ACK_NS = 1000, /* a byte's time on the wire */

    ECP_PORTS = 0x400, /* from the first three to the extended ones */

    STATUS_TIMEOUT = 0x01,
    STATUS_ERROR_N = 0x08,
    STATUS_SELECT = 0x10,
    STATUS_ACK_N = 0x40,
    STATUS_BUSY_N = 0x80,

    CONTROL_STROBE = 0x01,
    CONTROL_ACK_INTR = 0x10,
    CONTROL_INPUT = 0x20,
    CONTROL_KEPT = 0x3f,

    ECR_EMPTY = 0x01,
    ECR_FULL = 0x02,
    ECR_SERVICE = 0x04,
    ECR_DMA = 0x08,
    ECR_KEPT = 0xfc,
    ECR_RESET = 0x14, /* error and service interrupts off, standard mode */

    CNFGA_BYTES = 0x14, /* pulsed interrupts, 8-bit FIFO, none of it outside the FIFO */
};

/* The upper three bits of ECR. [ECP "ecr"] */
enum mode {
    MODE_SPP,
    MODE_PS2,
    MODE_FIFO,
    MODE_ECP,
    MODE_EPP,
    MODE_RESERVED,
    MODE_TEST,
    MODE_CONFIG
};

/* What the printer does with a strobed byte. */
enum { PRINTER_READY, PRINTER_FULL, PRINTER_ACKS };

struct parallel {
    uint16_t iobase;
    uint8_t irq, dma;
    struct vm_chr *chr;

    uint8_t data, control, ecr;
    uint8_t epp_timeout;
    uint8_t printer; /**< PRINTER_* */
    uint8_t byte;    /**< with PRINTER_FULL: what the channel has not taken */
    uint8_t fifo[FIFO];
    uint8_t fifo_count;
    struct vm_timer work; /**< end of an acknowledge, next round of the FIFO */

    /* Not saved. */
    struct vm_timer resume; /**< after loading, go on with the channel */
    struct vm_dev *dmac;    /**< NULL: no DMA in this machine */
};

static enum mode mode_of(const struct parallel *s)
{
    return (enum mode)(s->ecr >> 5);
}

/** Data lines are inputs. In standard and FIFO mode the bit has no effect. [ECP "Registers"] */
static bool is_input(const struct parallel *s)
{
    return (s->control & CONTROL_INPUT) && mode_of(s) != MODE_SPP && mode_of(s) != MODE_FIFO;
}

static bool is_fifo_out(const struct parallel *s)
{
    return mode_of(s) == MODE_FIFO || (mode_of(s) == MODE_ECP && !is_input(s));
}

static bool has_fifo(const struct parallel *s)
{
    return mode_of(s) == MODE_FIFO || mode_of(s) == MODE_ECP || mode_of(s) == MODE_TEST;
}

static void work_later(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    if (!vm__timer_armed(&s->work))
        vm__timer_arm(&s->work, vm__dev_now(dev) + ACK_NS);
}

/* ---- the printer -------------------------------------------------------------------------- */

static void offer_byte(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    if (s->printer != PRINTER_FULL || vm__chr_write(s->chr, &s->byte, 1) == 0)
        return;
    s->printer = PRINTER_ACKS;
    work_later(dev);
}

/** The strobe's leading edge. A printer that is busy does not look. */
static void strobe(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    if (s->printer != PRINTER_READY || is_input(s))
        return;
    s->byte = s->data;
    s->printer = PRINTER_FULL;
    offer_byte(dev);
}

/** The acknowledge's trailing edge, which is the one that interrupts. */
static void end_acknowledge(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    if (s->printer != PRINTER_ACKS)
        return;
    s->printer = PRINTER_READY;
    if (s->control & CONTROL_ACK_INTR)
        vm__dev_irq_pulse(dev, 0);
}

/* ---- the FIFO ----------------------------------------------------------------------------- */

static void drain_fifo(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    if (!is_fifo_out(s) || s->fifo_count == 0)
        return;
    size_t n = vm__chr_write(s->chr, s->fifo, s->fifo_count);
    n = (size_t)vm_min_u64(n, s->fifo_count);
    s->fifo_count -= (uint8_t)n;
    memmove(s->fifo, s->fifo + n, s->fifo_count);
}

/** One of the three service interrupts: each switches them off. [ECP "ecr"] */
static void ask_service(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    s->ecr |= ECR_SERVICE;
    vm__dev_irq_pulse(dev, 0);
}

/** Move what DMA has for the FIFO, as long as both ends go along. */
static void run_dma(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    bool end = false;

    while (!end && !(s->ecr & ECR_SERVICE) && s->fifo_count < FIFO) {
        size_t n = vm__dma_transfer(s->dmac, s->dma, VM_DMA_FROM_MEMORY, s->fifo + s->fifo_count,
                                    FIFO - (size_t)s->fifo_count, &end);
        if (n == 0)
            break;
        s->fifo_count += (uint8_t)n;
        drain_fifo(dev);
    }
    if (end)
        ask_service(dev);
}

static void check_threshold(struct vm_dev *dev)
{
    const struct parallel *s = vm_dev_state(dev);
    if (!has_fifo(s) || (s->ecr & (ECR_SERVICE | ECR_DMA)))
        return;
    if ((is_input(s) ? s->fifo_count : FIFO - s->fifo_count) >= THRESHOLD)
        ask_service(dev);
}

static bool wants_dma(const struct parallel *s)
{
    return s->dmac != NULL && has_fifo(s) && !is_input(s) && (s->ecr & ECR_DMA) &&
           !(s->ecr & ECR_SERVICE);
}

/** A round of everything that goes on without the guest. */
static void on_work(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct parallel *s = vm_dev_state(dev);

    end_acknowledge(dev);
    offer_byte(dev);
    drain_fifo(dev);
    if (wants_dma(s))
        run_dma(dev);
    vm__dma_request(s->dmac, s->dma, wants_dma(s));
    check_threshold(dev);
}

static void on_dma_ready(void *opaque)
{
    work_later(opaque);
}

static void on_writable(void *opaque)
{
    work_later(opaque);
}

static void push_fifo(struct vm_dev *dev, uint8_t v)
{
    struct parallel *s = vm_dev_state(dev);
    if (s->fifo_count < FIFO)
        s->fifo[s->fifo_count++] = v;
    if (mode_of(s) == MODE_TEST)
        check_threshold(dev);
    else
        work_later(dev);
}

/** Only the test mode has something to read: the last byte again once it is empty. */
static uint8_t pop_fifo(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    const uint8_t byte = s->fifo[0];

    if (s->fifo_count > 0 && --s->fifo_count > 0)
        memmove(s->fifo, s->fifo + 1, s->fifo_count);
    check_threshold(dev);
    return byte;
}

/* ---- the first registers ------------------------------------------------------------------ */

static uint8_t read_status(const struct parallel *s)
{
    uint8_t value = STATUS_ERROR_N | STATUS_SELECT;

    if (s->epp_timeout)
        value |= STATUS_TIMEOUT;
    if (s->printer == PRINTER_READY && (!is_fifo_out(s) || s->fifo_count < FIFO))
        value |= STATUS_BUSY_N;
    if (s->printer != PRINTER_ACKS)
        value |= STATUS_ACK_N;
    return value;
}

static uint64_t port_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct parallel *s = vm_dev_state(dev);
    (void)size;

    switch (off) {
    case DATA:
        return is_input(s) ? 0xff : s->data; /* the cable's pull-ups */
    case STATUS:
        return read_status(s);
    case CONTROL:
        return 0xc0 | s->control;
    default:
        if (mode_of(s) == MODE_EPP)
            s->epp_timeout = 1;
        return 0xff;
    }
}

static void write_control(struct vm_dev *dev, uint8_t v)
{
    struct parallel *s = vm_dev_state(dev);
    const bool strobed = v & ~s->control & CONTROL_STROBE;

    s->control = v & CONTROL_KEPT;
    if (strobed && !has_fifo(s))
        strobe(dev);
}

static void port_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct parallel *s = vm_dev_state(dev);
    const uint8_t v = (uint8_t)value;
    (void)size;

    switch (off) {
    case DATA: /* in ECP mode an address or run length, of which a plain printer knows nothing */
        if (mode_of(s) != MODE_ECP)
            s->data = v;
        break;
    case STATUS:
        if (v & STATUS_TIMEOUT)
            s->epp_timeout = 0;
        break;
    case CONTROL:
        write_control(dev, v);
        break;
    default:
        if (mode_of(s) == MODE_EPP)
            s->epp_timeout = 1;
        break;
    }
}

/* ---- the extended registers --------------------------------------------------------------- */

/** Interrupt and DMA channel as the configuration register names them; 0: some other one. */
static uint8_t resources(const struct parallel *s)
{
    static const uint8_t irqs[] = { 0, 7, 9, 10, 11, 14, 15, 5 };
    uint8_t value = 0;

    for (unsigned i = 1; i < sizeof irqs; i++)
        if (irqs[i] == s->irq)
            value = (uint8_t)(i << 3);
    if (s->dmac != NULL && s->dma != 0 && s->dma != 4)
        value |= s->dma;
    return value;
}

static uint8_t read_ecr(const struct parallel *s)
{
    return (uint8_t)(s->ecr | (s->fifo_count == 0 ? ECR_EMPTY : 0) |
                     (s->fifo_count == FIFO ? ECR_FULL : 0));
}

static uint64_t ecp_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct parallel *s = vm_dev_state(dev);
    (void)size;

    if (off == ECR)
        return read_ecr(s);
    if (mode_of(s) == MODE_CONFIG)
        return off == CNFGB ? resources(s) : CNFGA_BYTES;
    if (off == FIFO_CNFGA && mode_of(s) == MODE_TEST)
        return pop_fifo(dev);
    return 0xff;
}

static void write_ecr(struct vm_dev *dev, uint8_t v)
{
    struct parallel *s = vm_dev_state(dev);

    s->ecr = v & ECR_KEPT;
    if (!has_fifo(s))
        s->fifo_count = 0;
    vm__dma_request(s->dmac, s->dma, wants_dma(s));
    if (mode_of(s) == MODE_TEST)
        check_threshold(dev);
    if (has_fifo(s) && !(s->ecr & ECR_SERVICE))
        work_later(dev);
}

static void ecp_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    const struct parallel *s = vm_dev_state(dev);
    (void)size;

    if (off == ECR)
        write_ecr(dev, (uint8_t)value);
    else if (off == FIFO_CNFGA && (is_fifo_out(s) || mode_of(s) == MODE_TEST))
        push_fifo(dev, (uint8_t)value);
}

/* ---- life --------------------------------------------------------------------------------- */

static void on_resume(void *opaque)
{
    work_later(opaque); /* the channel may take bytes again */
}

static const struct vm_chr_guest_ops chr_ops = { .writable = on_writable };
static const struct vm_dma_user dma_ops = { .ready = on_dma_ready };

/** The extended ports lie 0x400 up. At 0x3BC a display's ports follow after the third of the EPP's.
 */
static int map_ports(struct vm_dev *dev)
{
    const struct parallel *s = vm_dev_state(dev);
    int st = vm__dev_window_size(dev, 0, s->iobase & 7 ? 3 : 8);
    if (st == VM_OK)
        st = vm__dev_map(dev, 0, s->iobase);
    return st == VM_OK ? vm__dev_map(dev, 1, s->iobase + ECP_PORTS) : st;
}

static int parallel_realize(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    struct vm_dev *dmac = vm__dma_of(dev->m);

    vm__dev_timer(dev, &s->work, on_work);
    vm__dev_timer(dev, &s->resume, on_resume);
    int st = map_ports(dev);
    if (st == VM_OK)
        st = vm__dev_line(dev, 0, s->irq);
    if (st == VM_OK && dmac != NULL && s->dma != 4) {
        st = vm__dma_attach(dmac, s->dma, &dma_ops, dev);
        s->dmac = st == VM_OK ? dmac : NULL;
    }
    if (st == VM_OK && s->chr != NULL)
        st = vm__chr_attach_guest(s->chr, &chr_ops, dev);
    if (st != VM_OK && s->dmac != NULL)
        vm__dma_detach(s->dmac, s->dma);
    return st;
}

static void parallel_unrealize(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    if (s->chr != NULL)
        vm__chr_detach_guest(s->chr);
    vm__dma_detach(s->dmac, s->dma);
}

static void parallel_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct parallel *s = vm_dev_state(dev);
    (void)kind;
    s->data = s->control = s->epp_timeout = s->byte = s->fifo_count = 0;
    s->printer = PRINTER_READY;
    s->ecr = ECR_RESET;
    memset(s->fifo, 0, sizeof s->fifo);
    vm__timer_cancel(&s->work);
    vm__dma_request(s->dmac, s->dma, false);
}

static int parallel_post_load(struct vm_dev *dev)
{
    struct parallel *s = vm_dev_state(dev);
    if (s->fifo_count > FIFO || s->printer > PRINTER_ACKS)
        return vm__fail(VM_E_CORRUPT,
                        "parallel port with %u bytes in its FIFO, printer in state %u",
                        s->fifo_count, s->printer);
    vm__timer_arm(&s->resume, vm__dev_now(dev));
    return VM_OK;
}

static const struct vm_window windows[] = {
    { "port", VM_SPACE_PORT, 0, 1, 1, .read = port_read, .write = port_write },
    { "ecp", VM_SPACE_PORT, 3, 1, 1, .read = ecp_read, .write = ecp_write },
    { 0 },
};

/* clang-format off */
static const struct vm_prop props[] = {
    { "iobase", "first of its ports; the extended ones lie 0x400 higher", VM_PROP_UINT(parallel, iobase), .value = "0x378", .max = 0xfbf8 },
    { "irq", "interrupt line", VM_PROP_UINT(parallel, irq), .value = "7", .max = 15 },
    { "dma", "DMA channel; 4: none", VM_PROP_UINT(parallel, dma), .value = "4", .max = 7 },
    { "chardev", "character channel that takes what is printed", VM_PROP_CHR(parallel, chr) },
    { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_FIELD(parallel, data, 1),       VM_FIELD(parallel, control, 1),
    VM_FIELD(parallel, ecr, 1),        VM_FIELD(parallel, epp_timeout, 1),
    VM_FIELD(parallel, printer, 1),    VM_FIELD(parallel, byte, 1),
    VM_FIELD_BYTES(parallel, fifo, 1), VM_FIELD(parallel, fifo_count, 1),
    VM_FIELD_TIMER(parallel, work, 1), { 0 },
};

const struct vm_dev_class vm__parallel_class = {
    .name = "parallel",
    .summary = "parallel port with a printer (SPP, PS/2, ECP)",
    .spec = "National Semiconductor PC87332; Microsoft ECP 1.06",
    .bus = VM_BUS_ISA,
    .state_size = sizeof(struct parallel),
    .windows = windows,
    .props = props,
    .fields = fields,
    .realize = parallel_realize,
    .unrealize = parallel_unrealize,
    .reset = parallel_reset,
    .post_load = parallel_post_load,
};
