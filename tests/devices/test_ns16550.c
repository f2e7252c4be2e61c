/* SPDX-License-Identifier: MIT */
/**
 * @file test_ns16550.c
 * The UART: both directions, interrupts in their order, FIFOs, loopback, modem lines.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"

enum { BASE = 0x3f8, DATA = BASE, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct fake_machine f;
static struct vm_dev *uart;

static void setup(void)
{
    fake_init(&f);
    fake_chr(&f, "com1");
    uart = fake_add(&f, &vm__ns16550_class, "chardev", "com1", NULL);
}

static void teardown(void)
{
    fake_fini(&f);
}

static const uint64_t ms = 1000000;

TestSuite(ns16550, .init = setup, .fini = teardown);

Test(ns16550, sends_what_is_written)
{
    fake_out8(&f, DATA, 'h');
    fake_out8(&f, DATA, 'i');
    cr_assert_eq(f.n_out, 2);
    cr_assert_eq(memcmp(f.out, "hi", 2), 0);
    cr_assert_eq(fake_in8(&f, LSR), 0x60);
}

Test(ns16550, enabling_the_transmitter_interrupt_raises_it)
{
    fake_out8(&f, IER, 2);
    cr_assert_eq(f.level[4], 1);
    cr_assert_eq(fake_in8(&f, IIR), 0x02);
    cr_assert_eq(f.level[4], 0, "reading IIR acknowledges it");
    cr_assert_eq(fake_in8(&f, IIR), 0x01);
    fake_out8(&f, IER, 0);
    fake_out8(&f, IER, 2);
    cr_assert_eq(fake_in8(&f, IIR), 0x02, "and again");
    fake_out8(&f, DATA, 'x');
    cr_assert_eq(f.rises[4], 3, "every byte gives an edge");
}

Test(ns16550, blocked_host_leaves_bytes_in_the_fifo)
{
    f.chr_blocked = true;
    fake_out8(&f, IIR, 1);
    for (char c = 'a'; c < 'a' + 20; c++)
        fake_out8(&f, DATA, (uint8_t)c);
    cr_assert_eq(fake_in8(&f, LSR) & 0x60, 0);
    f.chr_blocked = false;
    vm__chr_ready(vm__chr_find(f.m, "com1"));
    cr_assert_eq(f.n_out, 16);
    cr_assert_eq(memcmp(f.out, "abcdefghijklmnop", 16), 0);
    cr_assert_eq(fake_in8(&f, LSR) & 0x60, 0x60);
}

Test(ns16550, typing_at_full_speed_loses_nothing)
{
    static char text[1001];
    size_t n = 0;
    for (int i = 0; i < 1000; i++)
        text[i] = (char)('!' + i % 90);
    fake_out8(&f, IIR, 0xc1);
    cr_assert_eq(fake_feed(&f, "com1", text), 1000);
    for (int round = 0; round < 10000 && n < 1000; round++) {
        while (fake_in8(&f, LSR) & 1) {
            cr_assert_eq(fake_in8(&f, DATA), (uint8_t)text[n]);
            n++;
        }
        fake_advance(&f, ms / 10);
    }
    cr_assert_eq(n, 1000);
    cr_assert_eq(fake_in8(&f, LSR) & 0x02, 0, "no overrun");
}

Test(ns16550, trigger_level_and_timeout)
{
    fake_out8(&f, DATA, 0);
    fake_out8(&f, IIR, 0x81); /* 8 bytes */
    fake_advance(&f, 10 * ms);
    fake_out8(&f, IER, 1);
    fake_feed(&f, "com1", "1234567");
    cr_assert_eq(f.level[4], 0);
    fake_feed(&f, "com1", "8");
    cr_assert_eq(f.level[4], 1);
    cr_assert_eq(fake_in8(&f, IIR), 0xc4);
    (void)fake_in8(&f, DATA);
    cr_assert_eq(f.level[4], 0);
    fake_advance(&f, 10 * ms);
    cr_assert_eq(fake_in8(&f, IIR), 0xcc, "character timeout");
    (void)fake_in8(&f, DATA);
    cr_assert_eq(f.level[4], 0);
}

Test(ns16550, line_status_outranks_data)
{
    fake_out8(&f, IIR, 0x01);
    fake_advance(&f, 10 * ms);
    fake_out8(&f, IER, 7);
    (void)fake_in8(&f, IIR);
    vm__chr_event(vm__chr_find(f.m, "com1"), VM_CHR_BREAK);
    cr_assert_eq(fake_in8(&f, IIR), 0xc6);
    cr_assert_eq(fake_in8(&f, LSR) & 0x91, 0x91, "break, data, error in FIFO");
    cr_assert_eq(fake_in8(&f, IIR), 0xc4);
    cr_assert_eq(fake_in8(&f, DATA), 0);
    cr_assert_eq(fake_in8(&f, LSR), 0x60);
}

Test(ns16550, loopback_returns_data_and_overruns)
{
    fake_out8(&f, MCR, 0x10);
    fake_out8(&f, DATA, 0x55);
    cr_assert_eq(f.n_out, 0);
    fake_out8(&f, DATA, 0xaa);
    cr_assert_eq(fake_in8(&f, LSR) & 0x03, 0x03, "the second one found no room");
    cr_assert_eq(fake_in8(&f, DATA), 0xaa);
    fake_out8(&f, IIR, 1);
    for (int i = 0; i < 16; i++)
        fake_out8(&f, DATA, (uint8_t)i);
    for (int i = 0; i < 16; i++)
        cr_assert_eq(fake_in8(&f, DATA), i);
    cr_assert_eq(fake_in8(&f, LSR), 0x60);
}

Test(ns16550, loopback_of_modem_lines_as_drivers_probe_it)
{
    fake_out8(&f, MCR, 0x1f);
    (void)fake_in8(&f, MSR);
    fake_out8(&f, MCR, 0x1a);
    cr_assert_eq(fake_in8(&f, MSR) & 0xf0, 0x90);
    fake_out8(&f, MCR, 0x1e);
    (void)fake_in8(&f, MSR);
    fake_out8(&f, IER, 8);
    fake_out8(&f, MCR, 0x1a);
    cr_assert_eq(fake_in8(&f, IIR), 0x00);
    cr_assert_eq(fake_in8(&f, MSR), 0x94, "trailing edge of ring");
    cr_assert_eq(f.level[4], 0);
}

Test(ns16550, divisor_latch_hides_data_and_ier)
{
    fake_out8(&f, IER, 5);
    fake_out8(&f, LCR, 0x83);
    fake_out8(&f, DATA, 0x01);
    fake_out8(&f, IER, 0x02);
    cr_assert_eq(fake_in8(&f, DATA), 0x01);
    cr_assert_eq(fake_in8(&f, IER), 0x02);
    fake_out8(&f, LCR, 0x03);
    cr_assert_eq(fake_in8(&f, IER), 5);
    cr_assert_eq(f.n_out, 0);
}

Test(ns16550, looks_like_a_16550a_to_a_probe)
{
    fake_out8(&f, SCR, 0xa5);
    cr_assert_eq(fake_in8(&f, SCR), 0xa5);
    fake_out8(&f, IIR, 1);
    cr_assert_eq(fake_in8(&f, IIR) >> 6, 3);
    fake_out8(&f, IIR, 0);
    cr_assert_eq(fake_in8(&f, IIR) >> 6, 0);
    fake_out8(&f, IER, 0xff);
    cr_assert_eq(fake_in8(&f, IER), 0x0f);
}

Test(ns16550, state_survives_saving)
{
    fake_out8(&f, IIR, 0x81);
    fake_advance(&f, 10 * ms);
    fake_out8(&f, IER, 1);
    fake_feed(&f, "com1", "abc");
    fake_save_load(uart);
    cr_assert_eq(fake_in8(&f, DATA), 'a');
    fake_advance(&f, 10 * ms);
    cr_assert_eq(fake_in8(&f, IIR), 0xcc);
    cr_assert_eq(fake_in8(&f, DATA), 'b');
}
