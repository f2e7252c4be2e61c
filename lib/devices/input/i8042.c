/* SPDX-License-Identifier: MIT */
/**
 * @file i8042.c
 * The PC's keyboard controller with its keyboard and mouse.
 *
 * Spec: [PS2-HIT] IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller".
 * Modelled: every command of the PS/2 controller, its RAM, translation to scan code set 1, both
 * interfaces with their disable bits, output port with A20 and reset.
 * Not modelled: passwords (none is installed), bit timing on the cables, parity errors.
 *
 * A device's next byte comes a while after the last one was read: programs that hook IRQ 1 read the
 * same byte again from the port before they pass the interrupt on.
 *
 * Outputs: 0 IRQ 1, 1 IRQ 12, 2 the A20 gate.
 */
#include "core/device.h"
#include "core/input.h"
#include "core/machine.h"
#include "devices/input/ps2.h"

enum {
    OUT_KEYBOARD = 0, /* pins */
    OUT_MOUSE = 1,
    OUT_A20 = 2,

    STATUS_OBF = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20,

    CCB_IRQ1 = 0x01, /* command byte, controller RAM 0 */
    CCB_IRQ12 = 0x02,
    CCB_SYSTEM = 0x04,
    CCB_NO_KEYBOARD = 0x10,
    CCB_NO_MOUSE = 0x20,
    CCB_TRANSLATE = 0x40,

    PORT_NO_RESET = 0x01, /* output port */
    PORT_A20 = 0x02,
    PORT_IRQ1 = 0x10,
    PORT_IRQ12 = 0x20,
    PORT_CLOCKS = 0xc0,

    CMD_READ_RAM = 0x20,
    CMD_WRITE_RAM = 0x60,
    CMD_TEST_PASSWORD = 0xa4,
    CMD_LOAD_PASSWORD = 0xa5,
    CMD_MOUSE_OFF = 0xa7,
    CMD_MOUSE_ON = 0xa8,
    CMD_TEST_MOUSE = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_TEST_KEYBOARD = 0xab,
    CMD_KEYBOARD_OFF = 0xad,
    CMD_KEYBOARD_ON = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1,
    CMD_WRITE_KEYBOARD_BUFFER = 0xd2,
    CMD_WRITE_MOUSE_BUFFER = 0xd3,
    CMD_WRITE_MOUSE = 0xd4,
    CMD_A20_OFF = 0xdd,
    CMD_A20_ON = 0xdf,
    CMD_READ_TEST = 0xe0,
    CMD_PULSE = 0xf0,

    NO_PASSWORD = 0xf1,
    SELF_TEST_OK = 0x55,
    INPUT_PORT = 0xb0, /* not locked, colour display, no jumper, no more RAM */
    BREAK_PREFIX = 0xf0,

    RAM = 32,
    GAP_NS = 250000, /* between two bytes of a device; on the cable it is about a millisecond */
};

enum source { FROM_KEYBOARD = 0, FROM_MOUSE = 1, FROM_CONTROLLER = 2 };

struct i8042 {
    uint8_t ram[RAM];         /**< [0] is the command byte */
    uint8_t output_port;      /**< bits a guest sets; interrupts are added when it is read */
    uint8_t command;          /**< waits for its data byte; 0: none */
    uint8_t wrote_command;    /**< the last write was to port 64h */
    uint8_t full;             /**< output buffer full */
    uint8_t data;             /**< output buffer */
    uint8_t source;           /**< enum source: where .data came from */
    uint8_t in_break;         /**< translation: F0 was seen */
    struct ps2_queue answers; /**< of the controller itself */
    struct ps2_keyboard keyboard;
    struct ps2_mouse mouse;
    uint64_t next_ns; /**< not before this does a device's next byte come */
    struct vm_timer timer;
};

static bool has_ccb(const struct i8042 *s, uint8_t bit)
{
    return s->ram[0] & bit;
}

static void update_irq(struct vm_dev *dev)
{
    const struct i8042 *s = vm_dev_state(dev);
    bool aux = s->source == FROM_MOUSE;
    vm__dev_irq(dev, OUT_KEYBOARD, s->full && !aux && has_ccb(s, CCB_IRQ1));
    vm__dev_irq(dev, OUT_MOUSE, s->full && aux && has_ccb(s, CCB_IRQ12));
}

static void fill(struct vm_dev *dev, uint8_t byte, enum source source)
{
    struct i8042 *s = vm_dev_state(dev);
    s->full = 1;
    s->data = byte;
    s->source = (uint8_t)source;
    update_irq(dev);
}

/** Set 2 to set 1: F0 becomes bit 7 of what follows. @return false: only a prefix */
static bool translate(struct i8042 *s, uint8_t *byte)
{
    if (!has_ccb(s, CCB_TRANSLATE))
        return true;
    if (*byte == BREAK_PREFIX) {
        s->in_break = 1;
        return false;
    }
    *byte = vm__ps2_translate(*byte) | (s->in_break ? 0x80 : 0);
    s->in_break = 0;
    return true;
}

static bool keyboard_has(const struct i8042 *s)
{
    return s->keyboard.out.count > 0 && !has_ccb(s, CCB_NO_KEYBOARD);
}

static bool mouse_has(const struct i8042 *s)
{
    return s->mouse.out.count > 0 && !has_ccb(s, CCB_NO_MOUSE);
}

/** Fill the output buffer if it is empty and something waits: the controller's answer first. */
static void pump(struct vm_dev *dev)
{
    struct i8042 *s = vm_dev_state(dev);

    if (s->full)
        return;
    if (s->answers.count > 0) {
        fill(dev, ps2_queue_get(&s->answers), FROM_CONTROLLER);
        return;
    }
    if (!keyboard_has(s) && !mouse_has(s))
        return;
    if (vm__dev_now(dev) < s->next_ns) {
        vm__timer_arm(&s->timer, s->next_ns);
        return;
    }
    while (keyboard_has(s)) {
        uint8_t byte = vm__ps2_keyboard_read(&s->keyboard);
        if (translate(s, &byte)) {
            fill(dev, byte, FROM_KEYBOARD);
            return;
        }
    }
    if (mouse_has(s))
        fill(dev, vm__ps2_mouse_read(&s->mouse), FROM_MOUSE);
}

static void on_timer(void *opaque)
{
    pump(opaque);
}

/* ---- commands ----------------------------------------------------------------------------- */

static void answer(struct i8042 *s, uint8_t byte)
{
    ps2_queue_put(&s->answers, byte);
}

static void set_a20(struct vm_dev *dev, bool on)
{
    struct i8042 *s = vm_dev_state(dev);
    s->output_port = (uint8_t)vm_put_bits(s->output_port, 1, 1, on);
    vm__dev_irq(dev, OUT_A20, on);
}

static void write_output_port(struct vm_dev *dev, uint8_t v)
{
    struct i8042 *s = vm_dev_state(dev);
    s->output_port = (v & PORT_CLOCKS) | PORT_NO_RESET;
    set_a20(dev, v & PORT_A20);
    if (!(v & PORT_NO_RESET))
        vm__request_reset(dev->m, VM_DEV_RESET_SOFT);
}

static uint8_t read_output_port(const struct i8042 *s)
{
    uint8_t irq = !s->full ? 0 : s->source == FROM_MOUSE ? PORT_IRQ12 : PORT_IRQ1;
    return s->output_port | irq;
}

static void set_ccb(struct i8042 *s, uint8_t bit, bool on)
{
    s->ram[0] = on ? s->ram[0] | bit : s->ram[0] & (uint8_t)~bit;
}

static void self_test(struct i8042 *s)
{
    s->ram[0] = CCB_TRANSLATE | CCB_SYSTEM | CCB_NO_KEYBOARD | CCB_NO_MOUSE;
    s->command = 0;
    s->in_break = 0;
    answer(s, SELF_TEST_OK);
}

static void write_command(struct vm_dev *dev, uint8_t v)
{
    struct i8042 *s = vm_dev_state(dev);

    s->command = 0;
    if (v >= CMD_PULSE) { /* the low bits that are 0 pulse; only the reset line is wired */
        if (!(v & PORT_NO_RESET))
            vm__request_reset(dev->m, VM_DEV_RESET_SOFT);
        return;
    }
    if (v >= CMD_READ_RAM && v < CMD_READ_RAM + RAM) {
        answer(s, s->ram[v - CMD_READ_RAM]);
        return;
    }
    if (v >= CMD_WRITE_RAM && v < CMD_WRITE_RAM + RAM) {
        s->command = v;
        return;
    }
    switch (v) {
    case CMD_TEST_PASSWORD:
        answer(s, NO_PASSWORD);
        break;
    case CMD_MOUSE_OFF:
    case CMD_MOUSE_ON:
        set_ccb(s, CCB_NO_MOUSE, v == CMD_MOUSE_OFF);
        break;
    case CMD_TEST_MOUSE:
    case CMD_TEST_KEYBOARD:
        answer(s, 0);
        break;
    case CMD_SELF_TEST:
        self_test(s);
        break;
    case CMD_KEYBOARD_OFF:
    case CMD_KEYBOARD_ON:
        set_ccb(s, CCB_NO_KEYBOARD, v == CMD_KEYBOARD_OFF);
        break;
    case CMD_READ_INPUT:
        answer(s, INPUT_PORT);
        break;
    case CMD_READ_OUTPUT:
        answer(s, read_output_port(s));
        break;
    case CMD_READ_TEST:
        answer(s, 0);
        break;
    case CMD_A20_OFF:
    case CMD_A20_ON:
        set_a20(dev, v == CMD_A20_ON);
        break;
    case CMD_LOAD_PASSWORD:
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KEYBOARD_BUFFER:
    case CMD_WRITE_MOUSE_BUFFER:
    case CMD_WRITE_MOUSE:
        s->command = v;
        break;
    default:
        break;
    }
}

/** Port 60h: the data byte of a command, or a byte for the keyboard. */
static void write_data(struct vm_dev *dev, uint8_t v)
{
    struct i8042 *s = vm_dev_state(dev);
    uint8_t command = s->command;

    s->command = 0;
    switch (command) {
    case 0: /* talking to a device switches its interface on */
        set_ccb(s, CCB_NO_KEYBOARD, false);
        vm__ps2_keyboard_write(&s->keyboard, v);
        break;
    case CMD_WRITE_MOUSE:
        set_ccb(s, CCB_NO_MOUSE, false);
        vm__ps2_mouse_write(&s->mouse, v);
        break;
    case CMD_LOAD_PASSWORD:
        s->command = v ? command : 0; /* ends with a zero */
        break;
    case CMD_WRITE_OUTPUT:
        write_output_port(dev, v);
        break;
    case CMD_WRITE_KEYBOARD_BUFFER:
        fill(dev, v, FROM_KEYBOARD);
        break;
    case CMD_WRITE_MOUSE_BUFFER:
        fill(dev, v, FROM_MOUSE);
        break;
    default:
        s->ram[command - CMD_WRITE_RAM] = v;
        break;
    }
}

/* ---- ports -------------------------------------------------------------------------------- */

static uint64_t data_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct i8042 *s = vm_dev_state(dev);
    uint8_t value = s->data;
    (void)off;
    (void)size;

    if (s->full) {
        s->full = 0;
        update_irq(dev);
        if (s->source != FROM_CONTROLLER)
            s->next_ns = vm__dev_now(dev) + GAP_NS;
        pump(dev);
    }
    return value;
}

static void data_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i8042 *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    s->wrote_command = 0;
    write_data(dev, (uint8_t)v);
    update_irq(dev);
    pump(dev);
}

static uint64_t status_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct i8042 *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    return STATUS_UNLOCKED | (s->full ? STATUS_OBF : 0) |
           (has_ccb(s, CCB_SYSTEM) ? STATUS_SYSTEM : 0) | (s->wrote_command ? STATUS_COMMAND : 0) |
           (s->full && s->source == FROM_MOUSE ? STATUS_AUX : 0);
}

static void command_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i8042 *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    s->wrote_command = 1;
    write_command(dev, (uint8_t)v);
    update_irq(dev);
    pump(dev);
}

/* ---- input -------------------------------------------------------------------------------- */

static void on_key(void *opaque, uint32_t usage, bool down)
{
    struct i8042 *s = vm_dev_state(opaque);
    vm__ps2_keyboard_key(&s->keyboard, usage, down);
    pump(opaque);
}

static void on_move(void *opaque, int32_t dx, int32_t dy, int32_t wheel, uint32_t buttons)
{
    struct i8042 *s = vm_dev_state(opaque);
    vm__ps2_mouse_move(&s->mouse, dx, dy, wheel, buttons);
    pump(opaque);
}

static const struct vm_input_ops input_ops = { .key = on_key, .relative = on_move };

/* ---- life --------------------------------------------------------------------------------- */

static int i8042_realize(struct vm_dev *dev)
{
    struct i8042 *s = vm_dev_state(dev);
    vm__dev_timer(dev, &s->timer, on_timer);
    int st = vm__dev_map(dev, 0, 0x60);
    if (st == VM_OK)
        st = vm__dev_map(dev, 1, 0x64);
    if (st == VM_OK)
        st = vm__dev_line(dev, OUT_KEYBOARD, 1);
    if (st == VM_OK)
        st = vm__dev_line(dev, OUT_MOUSE, 12);
    return st == VM_OK ? vm__input_attach(dev->m, &input_ops, dev) : st;
}

static void i8042_unrealize(struct vm_dev *dev)
{
    vm__input_detach(dev->m, dev);
}

static void i8042_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct i8042 *s = vm_dev_state(dev);
    (void)kind;
    memset(s->ram, 0, sizeof s->ram);
    s->ram[0] = CCB_TRANSLATE | CCB_NO_MOUSE | CCB_IRQ1;
    s->output_port = PORT_CLOCKS | PORT_NO_RESET;
    s->command = s->wrote_command = 0;
    s->full = s->data = s->source = s->in_break = 0;
    s->next_ns = 0;
    ps2_queue_clear(&s->answers);
    vm__ps2_keyboard_reset(&s->keyboard);
    vm__ps2_mouse_reset(&s->mouse);
    vm__timer_cancel(&s->timer);
    set_a20(dev, true); /* the port's lines float high */
    update_irq(dev);
}

static bool takes_data(uint8_t command)
{
    return command == 0 || command == CMD_LOAD_PASSWORD ||
           (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + RAM) ||
           (command >= CMD_WRITE_OUTPUT && command <= CMD_WRITE_MOUSE);
}

static int i8042_post_load(struct vm_dev *dev)
{
    struct i8042 *s = vm_dev_state(dev);
    if (!ps2_queue_is_sane(&s->answers) || !ps2_queue_is_sane(&s->keyboard.out) ||
        !ps2_queue_is_sane(&s->mouse.out))
        return vm__fail(VM_E_CORRUPT, "keyboard controller queue out of range");
    if (!takes_data(s->command))
        return vm__fail(VM_E_CORRUPT, "keyboard controller command 0x%x takes no data", s->command);
    vm__dev_irq(dev, OUT_A20, s->output_port & PORT_A20);
    return VM_OK;
}

static const struct vm_window windows[] = {
    { "data", VM_SPACE_PORT, 1, 1, 1, .read = data_read, .write = data_write },
    { "command", VM_SPACE_PORT, 1, 1, 1, .read = status_read, .write = command_write },
    { 0 },
};

static const struct vm_field queue_fields[] = { PS2_QUEUE_FIELDS, { 0 } };

static const struct vm_field fields[] = {
    VM_FIELD_BYTES(i8042, ram, 1),
    VM_FIELD(i8042, output_port, 1),
    VM_FIELD(i8042, command, 1),
    VM_FIELD(i8042, wrote_command, 1),
    VM_FIELD(i8042, full, 1),
    VM_FIELD(i8042, data, 1),
    VM_FIELD(i8042, source, 1),
    VM_FIELD(i8042, in_break, 1),
    VM_FIELD_STRUCT(i8042, answers, queue_fields, 1),
    VM_FIELD_STRUCT(i8042, keyboard, vm__ps2_keyboard_fields, 1),
    VM_FIELD_STRUCT(i8042, mouse, vm__ps2_mouse_fields, 1),
    VM_FIELD(i8042, next_ns, 1),
    VM_FIELD_TIMER(i8042, timer, 1),
    { 0 },
};

const struct vm_dev_class vm__i8042_class = {
    .name = "i8042",
    .summary = "PS/2 controller with keyboard and mouse",
    .spec = "IBM S84F-9735",
    .state_size = sizeof(struct i8042),
    .windows = windows,
    .fields = fields,
    .n_irq_out = 3,
    .realize = i8042_realize,
    .unrealize = i8042_unrealize,
    .reset = i8042_reset,
    .post_load = i8042_post_load,
};
