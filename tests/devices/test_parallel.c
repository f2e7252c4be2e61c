/* SPDX-License-Identifier: MIT */
/**
 * @file test_parallel.c
 * The parallel port: printing in every way, handshake, interrupts, and what drivers look for.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"

enum {
    DATA = 0x378,
    STATUS = 0x379,
    CONTROL = 0x37a,
    EPP_ADDRESS = 0x37b,
    EPP_DATA = 0x37c,
    FIFO = 0x778,
    CNFGA = 0x778,
    CNFGB = 0x779,
    ECR = 0x77a,

    IDLE = 0xd8,
    SPP = 0x00, /* modes, as written to ECR */
    PS2 = 0x20,
    PPF = 0x40,
    ECP = 0x60,
    EPP = 0x80,
    TEST = 0xc0,
    CONFIG = 0xe0,
    NO_SERVICE = 0x14,
    SERVICE = 0x04,
    DMA = 0x08,
};

static struct fake_machine f;
static struct vm_dev *port;
static const uint64_t us = 1000;

static void setup(void)
{
    fake_init(&f);
    fake_chr(&f, "lpt");
    fake_add(&f, &vm__i8237_class, NULL);
    port = fake_add(&f, &vm__parallel_class, "chardev", "lpt", "dma", "3", NULL);
    fake_out8(&f, 0xd6, 0xc0);
    fake_out8(&f, 0xd4, 0x00);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(parallel, .init = setup, .fini = teardown);

static void print(uint8_t byte, uint8_t control)
{
    fake_out8(&f, DATA, byte);
    fake_out8(&f, CONTROL, control | 1);
    fake_out8(&f, CONTROL, control);
}

static void unblock(void)
{
    f.chr_blocked = false;
    vm__chr_ready(vm__chr_find(f.m, "lpt"));
    fake_advance(&f, 10 * us);
}

static void expect(const char *text)
{
    cr_assert_eq(f.n_out, strlen(text), "%zu bytes", f.n_out);
    cr_assert_eq(memcmp(f.out, text, f.n_out), 0);
}

Test(parallel, a_strobe_prints_a_byte)
{
    cr_assert_eq(fake_in8(&f, STATUS), IDLE);
    fake_out8(&f, DATA, 'a');
    cr_assert_eq(f.n_out, 0);
    fake_out8(&f, CONTROL, 0x0d);
    expect("a");
    cr_assert_eq(fake_in8(&f, STATUS), IDLE & ~0xc0, "busy, and the acknowledge is low");
    fake_advance(&f, 2 * us);
    cr_assert_eq(fake_in8(&f, STATUS), IDLE);
    fake_out8(&f, CONTROL, 0x0d);
    expect("a");
    fake_out8(&f, CONTROL, 0x0c);
    fake_out8(&f, CONTROL, 0x0d);
    expect("aa");
    cr_assert_eq(f.rises[7], 0);
}

Test(parallel, the_acknowledge_interrupts_when_told)
{
    print('a', 0x1c);
    cr_assert_eq(f.rises[7], 0, "not before the byte is through");
    fake_advance(&f, 2 * us);
    cr_assert_eq(f.rises[7], 1);
    cr_assert_eq(f.level[7], 0);
}

Test(parallel, a_blocked_host_is_a_busy_printer)
{
    f.chr_blocked = true;
    print('a', 0x0c);
    fake_advance(&f, 100 * us);
    cr_assert_eq(fake_in8(&f, STATUS) & 0x80, 0);
    print('b', 0x0c); /* a driver that does not look: the byte is lost */
    unblock();
    expect("a");
    cr_assert_eq(fake_in8(&f, STATUS), IDLE);
    print('c', 0x0c);
    expect("ac");
}

Test(parallel, drivers_find_the_registers)
{
    fake_out8(&f, CONTROL, 0x0c);
    cr_assert_eq(fake_in8(&f, CONTROL) & 0x0f, 0x0c);
    fake_out8(&f, CONTROL, 0x0e);
    cr_assert_eq(fake_in8(&f, CONTROL) & 0x0f, 0x0e);
    fake_out8(&f, DATA, 0xaa);
    cr_assert_eq(fake_in8(&f, DATA), 0xaa);
    fake_out8(&f, DATA, 0x55);
    cr_assert_eq(fake_in8(&f, DATA), 0x55);
    fake_out8(&f, ECR, 0x34);
    cr_assert_eq(fake_in8(&f, ECR), 0x35, "the FIFO is empty, whatever is written");
}

Test(parallel, inputs_do_not_show_the_latch)
{
    fake_out8(&f, DATA, 0x55);
    fake_out8(&f, CONTROL, 0x2c);
    cr_assert_eq(fake_in8(&f, DATA), 0x55, "the standard mode has no inputs");
    fake_out8(&f, ECR, PS2 | NO_SERVICE);
    cr_assert_eq(fake_in8(&f, DATA), 0xff);
    fake_out8(&f, CONTROL, 0x2d);
    cr_assert_eq(f.n_out, 0, "nobody drives what would be strobed");
    fake_out8(&f, CONTROL, 0x0c);
    cr_assert_eq(fake_in8(&f, DATA), 0x55);
}

Test(parallel, epp_cycles_time_out)
{
    fake_out8(&f, EPP_DATA, 1);
    cr_assert_eq(fake_in8(&f, STATUS) & 1, 0, "not in EPP mode");
    fake_out8(&f, ECR, EPP | NO_SERVICE);
    fake_out8(&f, EPP_DATA, 1);
    cr_assert_eq(fake_in8(&f, STATUS), IDLE | 1);
    fake_out8(&f, STATUS, 1);
    cr_assert_eq(fake_in8(&f, STATUS), IDLE);
    cr_assert_eq(fake_in8(&f, EPP_ADDRESS), 0xff);
    cr_assert_eq(fake_in8(&f, STATUS), IDLE | 1);
    cr_assert_eq(f.n_out, 0);
}

Test(parallel, fifo_mode_prints_by_itself)
{
    fake_out8(&f, ECR, PPF | NO_SERVICE);
    for (const char *p = "hello, printer"; *p != 0; p++)
        fake_out8(&f, FIFO, (uint8_t)*p);
    cr_assert_eq(fake_in8(&f, ECR) & 3, 0);
    fake_advance(&f, 2 * us);
    expect("hello, printer");
    cr_assert_eq(fake_in8(&f, ECR) & 3, 1);
}

Test(parallel, a_full_fifo_waits_for_the_host_and_asks_for_more)
{
    f.chr_blocked = true;
    fake_out8(&f, ECR, ECP | NO_SERVICE);
    for (char c = 'a'; c < 'a' + 20; c++)
        fake_out8(&f, FIFO, (uint8_t)c);
    cr_assert_eq(fake_in8(&f, ECR) & 3, 2);
    fake_out8(&f, ECR, ECP | 0x10);
    fake_advance(&f, 10 * us);
    cr_assert_eq(f.rises[7], 0);
    unblock();
    expect("abcdefghijklmnop");
    cr_assert_eq(f.rises[7], 1);
    cr_assert_eq(fake_in8(&f, ECR), ECP | NO_SERVICE | 1, "and is off until asked again");
}

Test(parallel, fifo_test_mode_shows_depth_and_thresholds)
{
    unsigned n;
    fake_out8(&f, ECR, TEST | NO_SERVICE);
    for (n = 0; n < 64 && !(fake_in8(&f, ECR) & 2); n++)
        fake_out8(&f, FIFO, (uint8_t)n);
    cr_assert_eq(n, 16);
    fake_out8(&f, FIFO, 0xee);
    fake_out8(&f, ECR, TEST | 0x10);
    for (n = 0; n < 16 && !(fake_in8(&f, ECR) & SERVICE); n++)
        cr_assert_eq(fake_in8(&f, FIFO), n);
    cr_assert_eq(n, 8, "room for eight");
    cr_assert_eq(f.rises[7], 1);
    for (; n < 16; n++)
        cr_assert_eq(fake_in8(&f, FIFO), n);
    cr_assert_eq(fake_in8(&f, ECR) & 1, 1);
    cr_assert_eq(fake_in8(&f, FIFO), 15, "the last one again");

    fake_out8(&f, ECR, PS2 | NO_SERVICE);
    fake_out8(&f, CONTROL, 0x2c);
    fake_out8(&f, ECR, TEST | 0x10);
    for (n = 0; n < 16 && !(fake_in8(&f, ECR) & SERVICE); n++)
        fake_out8(&f, FIFO, 0xaa);
    cr_assert_eq(n, 8, "eight to fetch");
    cr_assert_eq(f.n_out, 0);
}

Test(parallel, configuration_names_interrupt_and_channel)
{
    fake_out8(&f, ECR, CONFIG | NO_SERVICE);
    cr_assert_eq(fake_in8(&f, CNFGA) >> 4 & 7, 1, "8-bit implementation");
    cr_assert_eq(fake_in8(&f, CNFGB), 1 << 3 | 3, "IRQ 7, DMA 3");
    fake_out8(&f, ECR, SPP | NO_SERVICE);
    cr_assert_eq(fake_in8(&f, CNFGB), 0xff);
}

Test(parallel, dma_feeds_the_fifo_to_its_end)
{
    static char text[1000];
    memset(text, 'x', sizeof text - 1);
    for (unsigned i = 0; text[i] != 0; i++)
        fake_write(&f, 0x2000 + i, 1, (uint8_t)text[i]);
    fake_out8(&f, ECR, PPF | NO_SERVICE);
    fake_out8(&f, ECR, PPF | DMA | 0x10);
    fake_advance(&f, 10 * us);
    cr_assert_eq(fake_in8(&f, 0x08) & 0x80, 0x80, "waits for its channel");
    cr_assert_eq(f.n_out, 0);
    fake_out8(&f, 0x0c, 0);
    fake_out8(&f, 0x0b, 0x4b);
    fake_out8(&f, 0x06, 0x00);
    fake_out8(&f, 0x06, 0x20);
    fake_out8(&f, 0x07, (sizeof text - 2) & 0xff);
    fake_out8(&f, 0x07, (sizeof text - 2) >> 8);
    fake_out8(&f, 0x0a, 3);
    cr_assert_eq(f.n_out, 0, "not within the guest's instruction");
    fake_advance(&f, 10 * us);
    expect(text);
    cr_assert_eq(f.rises[7], 1);
    cr_assert_eq(fake_in8(&f, ECR), PPF | DMA | NO_SERVICE | 1);
    cr_assert_eq(fake_in8(&f, 0x08), 0x08, "the request is down again");
}

Test(parallel, going_back_to_standard_mode_empties_the_fifo)
{
    f.chr_blocked = true;
    fake_out8(&f, ECR, PPF | NO_SERVICE);
    fake_out8(&f, FIFO, 'a');
    fake_out8(&f, ECR, SPP | NO_SERVICE);
    cr_assert_eq(fake_in8(&f, ECR), SPP | NO_SERVICE | 1);
    unblock();
    cr_assert_eq(f.n_out, 0);
}

Test(parallel, at_3bc_there_is_room_for_a_display)
{
    fake_add(&f, &vm__parallel_class, "iobase", "0x3bc", "irq", "5", NULL);
    fake_out8(&f, 0x3bc, 0x12);
    cr_assert_eq(fake_in8(&f, 0x3bc), 0x12);
    cr_assert_eq(fake_in8(&f, 0x3bd), IDLE, "no channel: a printer that swallows");
    fake_out8(&f, 0x7be, EPP);
    fake_out8(&f, 0x3c0, 0);
    cr_assert_eq(fake_in8(&f, 0x3bd), IDLE);
}

Test(parallel, one_channel_cannot_serve_two)
{
    cr_assert_null(fake_add(&f, &vm__parallel_class, "iobase", "0x278", "dma", "3", NULL));
    cr_assert_not_null(strstr(vm_last_error()->message, "DMA channel 3"));
    cr_assert_not_null(fake_add(&f, &vm__parallel_class, "iobase", "0x278", NULL));
}

Test(parallel, state_survives_saving)
{
    f.chr_blocked = true;
    fake_out8(&f, ECR, PPF | NO_SERVICE);
    fake_out8(&f, FIFO, 'a');
    fake_out8(&f, FIFO, 'b');
    fake_advance(&f, 10 * us);
    fake_save_load(port);
    f.chr_blocked = false;
    fake_advance(&f, 10 * us);
    expect("ab");
}
