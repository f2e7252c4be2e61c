/* SPDX-License-Identifier: MIT */
/**
 * @file i8237.c
 * The PC's DMA: two 8237A controllers and their page registers, as in the PIIX3.
 *
 * Spec: [8237A] Intel 231466; [PIIX3 §2.3.1] for the second controller, the page registers and what
 * the ISA bridge leaves out; [PC-AT §1] for the wiring of the two.
 * Modelled: demand, single, block and cascade mode; verify, write and read transfers;
 * autoinitialize, address decrement, masks, software requests, status, first/last flip-flop, 32-bit
 * addresses by the high page registers. Not modelled: memory-to-memory, address hold, priorities,
 * compressed timing and pin polarities, which the PIIX3 reserves or which cannot be seen, as a
 * transfer takes no time.
 *
 * Channels 0 to 3 reach the bus through channel 4, so they run only while that one is in cascade
 * mode and unmasked. A channel counts within its page: the page registers do not change.
 */
#include "devices/dma/i8237.h"

#include <string.h>

#include "core/device.h"
#include "core/machine.h"

/* Registers of a controller, after those of its channels. */
enum {
    STATUS_COMMAND = 0x8,
    REQUEST = 0x9,
    MASK_ONE = 0xa,
    MODE = 0xb,
    CLEAR_FLIP_FLOP = 0xc,
    TEMPORARY_MASTER_CLEAR = 0xd,
    CLEAR_MASKS = 0xe,
    MASK_ALL = 0xf,
};

enum {
    CHANNELS = 4, /* of one controller */
    CASCADE_CHANNEL = 4,
    PAGES = 16, /* ports 0x80 to 0x8F */

    COMMAND_DISABLE = 0x04,

    MODE_TYPE = 0x0c,
    TYPE_VERIFY = 0x00,
    TYPE_WRITE = 0x04, /* to memory */
    TYPE_READ = 0x08,  /* from memory */
    MODE_AUTOINIT = 0x10,
    MODE_DECREMENT = 0x20,
    MODE_SERVICE = 0xc0,
    SERVICE_BLOCK = 0x80,
    SERVICE_CASCADE = 0xc0,

    SELECT_BIT = 0x04, /* of a request or mask written for one channel */
};

struct channel {
    uint16_t base_address, base_count;
    uint16_t address, count;
    uint8_t mode;
};

struct controller {
    struct channel channel[CHANNELS];
    uint8_t command;
    uint8_t reached;   /**< bit n: channel n came to its terminal count */
    uint8_t requested; /**< bit n: DREQ of channel n */
    uint8_t software;  /**< bit n: requested by the guest */
    uint8_t masked;    /**< bit n: channel n */
    uint8_t high_byte; /**< the first/last flip-flop */
};

struct i8237 {
    struct controller half[2];
    uint8_t page[PAGES];      /**< by port - 0x80; those of no channel are plain storage */
    uint8_t high_page[PAGES]; /**< by port - 0x480: address bits 24 to 31 */

    /* Not saved: who sits on the channels. */
    const struct vm_dma_user *user[VM_DMA_CHANNELS];
    void *opaque[VM_DMA_CHANNELS];
    bool busy; /**< a ready() is running */
};

/** Where the page of a channel lies, by channel. [PIIX3 §2.3.1.9] */
static const uint8_t page_index[VM_DMA_CHANNELS] = { 0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa };

/* ---- addresses ---------------------------------------------------------------------------- */

static bool is_wide(unsigned n)
{
    return n >= CHANNELS;
}

static struct channel *channel_of(struct i8237 *s, unsigned n)
{
    return &s->half[n / CHANNELS].channel[n % CHANNELS];
}

/** The byte address of the next transfer. A wide channel's address is shifted left, and bit 0 of
 * its page is not used. */
static uint64_t gpa_of(struct i8237 *s, unsigned n)
{
    uint64_t high = (uint64_t)s->high_page[page_index[n]] << 24;
    uint64_t page = s->page[page_index[n]];
    uint64_t address = channel_of(s, n)->address;

    if (is_wide(n))
        return high | (page & 0xfe) << 16 | address << 1;
    return high | page << 16 | address;
}

/** The guest lets the channel of a requesting device run. */
static bool can_run(const struct i8237 *s, unsigned n)
{
    const struct controller *c = &s->half[n / CHANNELS];
    const struct controller *second = &s->half[1];

    if (n == CASCADE_CHANNEL || (c->command & COMMAND_DISABLE) ||
        (c->channel[n % CHANNELS].mode & MODE_SERVICE) == SERVICE_CASCADE)
        return false;
    if ((c->masked & ~c->software) >> (n % CHANNELS) & 1) /* a software request passes the mask */
        return false;
    return is_wide(n) || (!(second->command & COMMAND_DISABLE) && !(second->masked & 1) &&
                          (second->channel[0].mode & MODE_SERVICE) == SERVICE_CASCADE);
}

/* ---- transfers ---------------------------------------------------------------------------- */

/** Units (bytes or words) of the channel that go in one step: to the page's end in the way up. */
static size_t run_units(const struct channel *c, size_t units)
{
    if (c->mode & MODE_DECREMENT)
        return 1;
    units = (size_t)vm_min_u64(units, 0x10000u - c->address);
    return (size_t)vm_min_u64(units, (uint64_t)c->count + 1);
}

/** The channel's word count went below zero: EOP. */
static void reach_end(struct i8237 *s, unsigned n)
{
    struct controller *half = &s->half[n / CHANNELS];
    struct channel *c = channel_of(s, n);
    const uint8_t bit = (uint8_t)(1u << (n % CHANNELS));

    half->reached |= bit;
    half->software &= (uint8_t)~bit;
    if (c->mode & MODE_AUTOINIT) {
        c->address = c->base_address;
        c->count = c->base_count;
    } else {
        half->masked |= bit;
    }
}

/** Count @p units of a run; true at the end of the block. */
static bool advance(struct i8237 *s, unsigned n, size_t units)
{
    struct channel *c = channel_of(s, n);
    const bool end = units > c->count;

    c->address = (uint16_t)(c->mode & MODE_DECREMENT ? c->address - units : c->address + units);
    c->count = (uint16_t)(c->count - units);
    if (end)
        reach_end(s, n);
    return end;
}

static void move(struct vm_dev *dev, unsigned n, enum vm_dma_way way, uint8_t *buf, size_t len)
{
    struct i8237 *s = vm_dev_state(dev);
    const uint8_t type = channel_of(s, n)->mode & MODE_TYPE;

    if (way == VM_DMA_TO_MEMORY) {
        if (type == TYPE_WRITE)
            (void)vm__dma_write(dev, gpa_of(s, n), buf, len);
    } else if (type != TYPE_READ || vm__dma_read(dev, gpa_of(s, n), buf, len) != VM_OK) {
        memset(buf, 0xff, len);
    }
}

size_t vm__dma_transfer(struct vm_dev *dma, unsigned channel, enum vm_dma_way way, void *buf,
                        size_t len, bool *end)
{
    const unsigned shift = is_wide(channel) ? 1 : 0;
    size_t done = 0;

    *end = false;
    if (dma == NULL || !can_run(vm_dev_state(dma), channel))
        return 0;
    struct i8237 *s = vm_dev_state(dma);
    for (size_t left = len >> shift; left > 0 && !*end;) {
        const size_t units = run_units(channel_of(s, channel), left);
        move(dma, channel, way, (uint8_t *)buf + done, units << shift);
        *end = advance(s, channel, units);
        done += units << shift;
        left -= units;
    }
    return done;
}

/* ---- requests ----------------------------------------------------------------------------- */

/** A software request in block mode with nobody on the channel: the block goes by, with what an
 *  undriven bus reads. [8237A "Software Commands", "Request Register"] */
static void run_alone(struct vm_dev *dev, unsigned n)
{
    struct i8237 *s = vm_dev_state(dev);
    uint8_t ones[512];
    bool end = false;

    if ((channel_of(s, n)->mode & MODE_SERVICE) != SERVICE_BLOCK)
        return;
    while (!end) {
        memset(ones, 0xff, sizeof ones);
        if (vm__dma_transfer(dev, n, VM_DMA_TO_MEMORY, ones, sizeof ones, &end) == 0)
            break;
    }
}

/** After the guest has programmed something: let everyone who waits try again. */
static void update(struct vm_dev *dev)
{
    struct i8237 *s = vm_dev_state(dev);

    if (s->busy)
        return; /* a DMA write that hit our own ports */
    s->busy = true;
    for (unsigned n = 0; n < VM_DMA_CHANNELS; n++) {
        const struct controller *c = &s->half[n / CHANNELS];
        if (!((c->requested | c->software) >> (n % CHANNELS) & 1) || !can_run(s, n))
            continue;
        if (s->user[n] == NULL)
            run_alone(dev, n);
        else if (s->user[n]->ready != NULL)
            s->user[n]->ready(s->opaque[n]);
    }
    s->busy = false;
}

struct vm_dev *vm__dma_of(struct vm_machine *m)
{
    return vm__dev_of_class(m, "i8237");
}

int vm__dma_attach(struct vm_dev *dma, unsigned channel, const struct vm_dma_user *user,
                   void *opaque)
{
    if (dma == NULL)
        return vm__fail(VM_E_NOTSUP, "DMA channel %u: this machine has no DMA controller", channel);
    struct i8237 *s = vm_dev_state(dma);
    if (channel >= VM_DMA_CHANNELS || channel == CASCADE_CHANNEL)
        return vm__fail(VM_E_INVAL, "DMA channel %u: there are 0 to 3 and 5 to 7", channel);
    if (s->user[channel] != NULL)
        return vm__fail(VM_E_BUSY, "DMA channel %u: another device has it", channel);
    s->user[channel] = user;
    s->opaque[channel] = opaque;
    return VM_OK;
}

void vm__dma_detach(struct vm_dev *dma, unsigned channel)
{
    if (dma == NULL)
        return;
    struct i8237 *s = vm_dev_state(dma);
    vm__dma_request(dma, channel, false);
    s->user[channel] = NULL;
    s->opaque[channel] = NULL;
}

void vm__dma_request(struct vm_dev *dma, unsigned channel, bool up)
{
    if (dma == NULL)
        return;
    struct i8237 *s = vm_dev_state(dma);
    struct controller *c = &s->half[channel / CHANNELS];
    const uint8_t bit = (uint8_t)(1u << (channel % CHANNELS));
    c->requested = up ? c->requested | bit : c->requested & (uint8_t)~bit;
}

/* ---- registers ---------------------------------------------------------------------------- */

/** A 16-bit register through its byte port: low first, then high. */
static uint8_t next_byte(struct controller *c, uint16_t value)
{
    c->high_byte ^= 1;
    return (uint8_t)(c->high_byte ? value : value >> 8);
}

static uint8_t controller_read(struct controller *c, unsigned reg)
{
    uint8_t value;

    if (reg < STATUS_COMMAND) {
        const struct channel *ch = &c->channel[reg >> 1];
        return next_byte(c, reg & 1 ? ch->count : ch->address);
    }
    switch (reg) {
    case STATUS_COMMAND:
        value = (uint8_t)((c->requested | c->software) << 4 | c->reached);
        c->reached = 0;
        return value;
    case TEMPORARY_MASTER_CLEAR:
        return 0; /* used by memory-to-memory transfers only */
    case MASK_ALL:
        return 0xf0 | c->masked;
    default:
        return 0xff;
    }
}

static void write_channel(struct controller *c, unsigned reg, uint8_t v)
{
    struct channel *ch = &c->channel[reg >> 1];
    uint16_t *base = reg & 1 ? &ch->base_count : &ch->base_address;

    *base = (uint16_t)vm_put_bits(*base, c->high_byte ? 8 : 0, 8, v);
    if (reg & 1)
        ch->count = ch->base_count;
    else
        ch->address = ch->base_address;
    c->high_byte ^= 1;
}

/** One bit of a mask by a number in the low bits of @p v. */
static uint8_t select_bit(uint8_t mask, uint8_t v)
{
    const uint8_t bit = (uint8_t)(1u << (v & 3));
    return v & SELECT_BIT ? mask | bit : mask & (uint8_t)~bit;
}

/** As the RESET pin: mode, address and count stay. [8237A "Software Commands"] */
static void master_clear(struct controller *c)
{
    c->command = c->reached = c->software = c->high_byte = 0;
    c->masked = 0xf;
}

static void controller_write(struct controller *c, unsigned reg, uint8_t v)
{
    if (reg < STATUS_COMMAND) {
        write_channel(c, reg, v);
        return;
    }
    switch (reg) {
    case STATUS_COMMAND:
        c->command = v;
        break;
    case REQUEST:
        c->software = select_bit(c->software, v);
        break;
    case MASK_ONE:
        c->masked = select_bit(c->masked, v);
        break;
    case MODE:
        c->channel[v & 3].mode = v & (uint8_t)~3;
        break;
    case CLEAR_FLIP_FLOP:
        c->high_byte = 0;
        break;
    case TEMPORARY_MASTER_CLEAR:
        master_clear(c);
        break;
    case CLEAR_MASKS:
        c->masked = 0;
        break;
    default:
        c->masked = v & 0xf;
        break;
    }
}

static uint64_t first_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct i8237 *s = vm_dev_state(dev);
    (void)size;
    return controller_read(&s->half[0], off & 0xf);
}

static void first_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct i8237 *s = vm_dev_state(dev);
    (void)size;
    controller_write(&s->half[0], off & 0xf, (uint8_t)value);
    update(dev);
}

/** The second controller sits on address lines 1 to 4: two ports a register. */
static uint64_t second_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct i8237 *s = vm_dev_state(dev);
    (void)size;
    return controller_read(&s->half[1], off >> 1 & 0xf);
}

static void second_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct i8237 *s = vm_dev_state(dev);
    (void)size;
    controller_write(&s->half[1], off >> 1 & 0xf, (uint8_t)value);
    update(dev);
}

static uint64_t page_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct i8237 *s = vm_dev_state(dev);
    (void)size;
    return s->page[off];
}

/** Software that knows 24 bits of address must not meet what another left above them. */
static void page_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct i8237 *s = vm_dev_state(dev);
    (void)size;
    s->page[off] = (uint8_t)value;
    s->high_page[off] = 0;
}

static uint64_t high_page_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct i8237 *s = vm_dev_state(dev);
    (void)size;
    return s->high_page[off];
}

static void high_page_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct i8237 *s = vm_dev_state(dev);
    (void)size;
    s->high_page[off] = (uint8_t)value;
}

/* ---- life --------------------------------------------------------------------------------- */

static int dma_realize(struct vm_dev *dev)
{
    static const uint16_t ports[] = { 0x00, 0xc0, 0x80, 0x480 };
    int st = VM_OK;
    for (uint32_t i = 0; i < VM_COUNT_OF(ports) && st == VM_OK; i++)
        st = vm__dev_map(dev, i, ports[i]);
    return st;
}

static void dma_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct i8237 *s = vm_dev_state(dev);
    (void)kind;
    for (unsigned i = 0; i < 2; i++) {
        memset(s->half[i].channel, 0, sizeof s->half[i].channel);
        s->half[i].requested = 0;
        master_clear(&s->half[i]);
    }
    memset(s->page, 0, sizeof s->page);
    memset(s->high_page, 0, sizeof s->high_page);
}

static int dma_post_load(struct vm_dev *dev)
{
    struct i8237 *s = vm_dev_state(dev);
    for (unsigned i = 0; i < 2; i++) {
        const struct controller *c = &s->half[i];
        if ((c->reached | c->requested | c->software | c->masked) > 0xf || c->high_byte > 1)
            return vm__fail(VM_E_CORRUPT, "DMA controller %u: channels beyond the fourth", i + 1);
    }
    return VM_OK;
}

static const struct vm_window windows[] = {
    /* The PIIX3 does not decode address line 4 of the first one. */
    { "first", VM_SPACE_PORT, 0x20, 1, 1, .read = first_read, .write = first_write },
    { "second", VM_SPACE_PORT, 0x20, 1, 1, .read = second_read, .write = second_write },
    { "page", VM_SPACE_PORT, PAGES, 1, 1, .read = page_read, .write = page_write },
    { "high-page", VM_SPACE_PORT, PAGES, 1, 1, .read = high_page_read, .write = high_page_write },
    { 0 },
};

static const struct vm_field channel_fields[] = {
    VM_FIELD(channel, base_address, 1), VM_FIELD(channel, base_count, 1),
    VM_FIELD(channel, address, 1),      VM_FIELD(channel, count, 1),
    VM_FIELD(channel, mode, 1),         { 0 },
};

static const struct vm_field controller_fields[] = {
    VM_FIELD_STRUCTS(controller, channel, channel_fields, 1),
    VM_FIELD(controller, command, 1),
    VM_FIELD(controller, reached, 1),
    VM_FIELD(controller, requested, 1),
    VM_FIELD(controller, software, 1),
    VM_FIELD(controller, masked, 1),
    VM_FIELD(controller, high_byte, 1),
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD_STRUCTS(i8237, half, controller_fields, 1),
    VM_FIELD_BYTES(i8237, page, 1),
    VM_FIELD_BYTES(i8237, high_page, 1),
    { 0 },
};

const struct vm_dev_class vm__i8237_class = {
    .name = "i8237",
    .summary = "pair of 8237A DMA controllers with page registers",
    .spec = "Intel 231466-005",
    .state_size = sizeof(struct i8237),
    .windows = windows,
    .fields = fields,
    .realize = dma_realize,
    .reset = dma_reset,
    .post_load = dma_post_load,
};
