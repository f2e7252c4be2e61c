/* SPDX-License-Identifier: MIT */
/**
 * @file test_device.c
 * Register tables, properties, pins, timers and saving, on a made-up chip.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "support/fake_machine.h"

struct chip {
    uint32_t control, status, data;
    uint8_t small;
    bool flag;
    uint16_t base;
    uint32_t mode;
    uint64_t room;
    const char *label;
    struct vm_timer timer;
    unsigned fired;
    uint8_t memory[5];
    uint32_t written; /* not saved */
};

static uint64_t read_twice(struct vm_dev *dev)
{
    const struct chip *s = vm_dev_state(dev);
    return s->data * 2;
}

static void write_control(struct vm_dev *dev, uint64_t value)
{
    struct chip *s = vm_dev_state(dev);
    s->written = (uint32_t)value;
    vm__dev_irq(dev, 0, (int)(s->control & 1));
}

/* clang-format off */
static const struct vm_reg regs[] = {
    { "CONTROL", 0x00, VM_REG(chip, control), .reset = 0x80, .rw = 0x0f, .write = write_control },
    { "STATUS",  0x04, VM_REG(chip, status), .reset = 0xff, .w1c = 0xf0 },
    { "DATA",    0x08, VM_REG(chip, data), .rw = 0xffffffff, .read = read_twice },
    { "SMALL",   0x0c, VM_REG(chip, small), .rw = 0xff },
    { "ID",      0x10, .width = 4, .reset = 0xabcd },
    { 0 },
};
static const char *const modes[] = { "slow", "fast", NULL };
static const struct vm_prop props[] = {
    { "base", "first port", VM_PROP_UINT(chip, base), .value = "0x300", .max = 0xfff0 },
    { "flag", "a switch", VM_PROP_BOOL(chip, flag) },
    { "mode", "speed", VM_PROP_ENUM(chip, mode), .value = "fast", .choices = modes },
    { "room", "bytes", VM_PROP_SIZE(chip, room) },
    { "label", "a text", VM_PROP_STR(chip, label) },
    { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_FIELD(chip, control, 1),      VM_FIELD(chip, status, 1),
    VM_FIELD(chip, data, 1),         VM_FIELD(chip, small, 1),
    VM_FIELD(chip, fired, 1),        VM_FIELD_TIMER(chip, timer, 1),
    VM_FIELD_BYTES(chip, memory, 1), { 0 },
};

static void on_timer(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct chip *s = vm_dev_state(dev);
    s->fired++;
}

static int realize(struct vm_dev *dev)
{
    struct chip *s = vm_dev_state(dev);
    if (s->room == 13)
        return vm__fail(VM_E_INVAL, "unlucky");
    vm__dev_timer(dev, &s->timer, on_timer);
    return vm__dev_map(dev, 0, 0xd0000000);
}

static void irq_in(struct vm_dev *dev, uint32_t pin, int level)
{
    struct chip *s = vm_dev_state(dev);
    s->memory[pin] = (uint8_t)level;
}

static const struct vm_dev_class chip_class = {
    .name = "chip",
    .summary = "made up",
    .bus = VM_BUS_ISA,
    .state_size = sizeof(struct chip),
    .mmio_size = 0x20,
    .regs = regs,
    .props = props,
    .fields = fields,
    .n_irq_in = 2,
    .realize = realize,
    .irq_in = irq_in,
};

static struct fake_machine f;
static struct vm_dev *dev;
static struct chip *s;

static void setup(void)
{
    fake_init(&f);
    dev = fake_add(&f, &chip_class, "label", "hello", NULL);
    cr_assert_not_null(dev);
    s = vm_dev_state(dev);
    fake_wire(&f, dev, 0);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(device, .init = setup, .fini = teardown);

Test(device, reset_values_come_from_the_table)
{
    cr_assert_eq(fake_read(&f, 0xd0000000, 4), 0x80);
    cr_assert_eq(fake_read(&f, 0xd0000010, 4), 0xabcd);
    cr_assert_eq(fake_read(&f, 0xd0000014, 4), 0, "nobody's bytes");
}

Test(device, only_rw_bits_change_and_the_hook_sees_what_was_written)
{
    fake_write(&f, 0xd0000000, 4, 0xffffff01);
    cr_assert_eq(s->control, 0x81);
    cr_assert_eq(s->written, 0xffffff01);
    cr_assert_eq(f.level[FAKE_PIN], 1);
    cr_assert_eq(f.rises[FAKE_PIN], 1);
}

Test(device, ones_clear_w1c_bits)
{
    fake_write(&f, 0xd0000004, 4, 0x3f);
    cr_assert_eq(s->status, 0xcf);
}

Test(device, a_narrow_write_keeps_the_other_bytes)
{
    fake_write(&f, 0xd0000008, 4, 0x11223344);
    fake_write(&f, 0xd0000009, 1, 0xee);
    cr_assert_eq(s->data, 0x1122ee44);
    cr_assert_eq(fake_read(&f, 0xd0000008, 4), 0x1122ee44 * 2);
}

Test(device, an_access_may_span_registers_and_gaps)
{
    fake_write(&f, 0xd0000008, 8, 0xaabbccdd00000001);
    cr_assert_eq(s->data, 1);
    cr_assert_eq(s->small, 0xdd);
    cr_assert_eq(fake_read(&f, 0xd0000008, 8), 0x000000dd00000002);
}

Test(device, properties_have_defaults_and_limits)
{
    cr_assert_eq(s->base, 0x300);
    cr_assert_eq(s->mode, 1);
    cr_assert_str_eq(s->label, "hello");
    cr_assert_null(fake_add(&f, &chip_class, "base", "0x10000", NULL));
    cr_assert_null(fake_add(&f, &chip_class, "bass", "1", NULL));
    cr_assert_str_eq(vm_last_error()->message, "chip has no property bass; did you mean base?");
    cr_assert_null(fake_add(&f, &chip_class, "mode", "medium", NULL));
    cr_assert_str_eq(vm_last_error()->message, "chip: mode=medium is not one of slow fast");
    cr_assert_null(fake_add(&f, &chip_class, "room", "13", NULL));
    cr_assert_str_eq(vm_last_error()->message, "chip.1: unlucky");
    struct vm_dev *other = fake_add(&f, &chip_class, "room", "2K", "flag", "on", NULL);
    cr_assert_eq(((struct chip *)vm_dev_state(other))->room, 2048);
    cr_assert(((struct chip *)vm_dev_state(other))->flag);
    cr_assert_str_eq(other->id, "chip.1");
}

Test(device, input_pins_reach_the_device)
{
    const struct vm_irq pin = vm__dev_pin(dev, 1), none = vm__dev_pin(dev, 2);
    vm__irq_set(&pin, 1);
    vm__irq_set(&none, 1);
    cr_assert_eq(s->memory[1], 1);
    cr_assert_eq(s->memory[2], 0);
}

Test(device, timers_fire_at_their_time_and_survive_saving)
{
    vm__timer_arm(&s->timer, 1000);
    fake_save_load(dev);
    fake_advance(&f, 999);
    cr_assert_eq(s->fired, 0);
    fake_advance(&f, 1);
    cr_assert_eq(s->fired, 1);
    cr_assert_not(vm__timer_armed(&s->timer));
    vm__timer_arm(&s->timer, 5000);
    vm__dev_free(dev);
    fake_advance(&f, 10000); /* a freed device's timer is gone */
}

Test(device, state_survives_saving)
{
    fake_write(&f, 0xd0000008, 4, 77);
    memcpy(s->memory, "abcde", 5);
    fake_save_load(dev);
    cr_assert_eq(s->data, 77);
    cr_assert_eq(s->memory[4], 'e');
    cr_assert_str_eq(s->label, "hello");
}
