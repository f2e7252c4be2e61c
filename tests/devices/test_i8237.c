/* SPDX-License-Identifier: MIT */
/**
 * @file test_i8237.c
 * DMA: programming, both directions, pages, ends of blocks, masks, software requests.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"
#include "devices/dma/i8237.h"

enum {
    STATUS = 0x08,
    COMMAND = 0x08,
    REQUEST = 0x09,
    MASK = 0x0a,
    MODE = 0x0b,
    FLIP_FLOP = 0x0c,
    CLEAR = 0x0d,
    UNMASK_ALL = 0x0e,
    MASK_ALL = 0x0f,
};

static struct fake_machine f;
static struct vm_dev *dma;
static unsigned n_ready;

static void setup(void)
{
    fake_init(&f);
    dma = fake_add(&f, &vm__i8237_class, NULL);
    n_ready = 0;
    fake_out8(&f, 0xd6, 0xc0); /* channel 4 joins the two */
    fake_out8(&f, 0xd4, 0x00);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(i8237, .init = setup, .fini = teardown);

static void program8(unsigned n, uint8_t mode, uint32_t address, unsigned bytes)
{
    static const uint8_t pages[] = { 0x87, 0x83, 0x81, 0x82 };
    fake_out8(&f, MASK, (uint8_t)(4 | n));
    fake_out8(&f, FLIP_FLOP, 0);
    fake_out8(&f, MODE, (uint8_t)(mode | n));
    fake_out8(&f, (uint16_t)(n * 2), (uint8_t)address);
    fake_out8(&f, (uint16_t)(n * 2), (uint8_t)(address >> 8));
    fake_out8(&f, pages[n], (uint8_t)(address >> 16));
    fake_out8(&f, (uint16_t)(n * 2 + 1), (uint8_t)(bytes - 1));
    fake_out8(&f, (uint16_t)(n * 2 + 1), (uint8_t)((bytes - 1) >> 8));
    fake_out8(&f, MASK, (uint8_t)n);
}

static void program16(unsigned n, uint8_t mode, uint32_t address, unsigned words)
{
    const uint16_t reg = (uint16_t)(0xc0 + (n - 4) * 4);
    fake_out8(&f, 0xd4, (uint8_t)(4 | (n - 4)));
    fake_out8(&f, 0xd8, 0);
    fake_out8(&f, 0xd6, (uint8_t)(mode | (n - 4)));
    fake_out8(&f, reg, (uint8_t)(address >> 1));
    fake_out8(&f, reg, (uint8_t)(address >> 9));
    fake_out8(&f, 0x8b, (uint8_t)(address >> 16)); /* channel 5 */
    fake_out8(&f, reg + 2, (uint8_t)(words - 1));
    fake_out8(&f, reg + 2, (uint8_t)((words - 1) >> 8));
    fake_out8(&f, 0xd4, (uint8_t)(n - 4));
}

static uint16_t read_pair(uint16_t port)
{
    fake_out8(&f, FLIP_FLOP, 0);
    uint16_t low = fake_in8(&f, port);
    return (uint16_t)(low | fake_in8(&f, port) << 8);
}

static size_t to_memory(unsigned n, const char *text, bool *end)
{
    char copy[64];
    size_t len = strlen(text);
    memcpy(copy, text, len);
    return vm__dma_transfer(dma, n, VM_DMA_TO_MEMORY, copy, len, end);
}

static void expect(uint64_t gpa, const char *text)
{
    for (size_t i = 0; text[i] != 0; i++)
        cr_assert_eq(fake_read(&f, gpa + i, 1), (uint8_t)text[i], "byte %zu", i);
}

static void on_ready(void *opaque)
{
    (void)opaque;
    n_ready++;
}

static const struct vm_dma_user user = { .ready = on_ready };

Test(i8237, writes_memory_and_says_when_the_block_ends)
{
    bool end;
    program8(2, 0x44, 0x23456, 6);
    cr_assert_eq(to_memory(2, "abcd", &end), 4);
    cr_assert(!end);
    cr_assert_eq(fake_in8(&f, STATUS) & 0x0f, 0);
    cr_assert_eq(read_pair(4), 0x345a);
    cr_assert_eq(read_pair(5), 1);
    cr_assert_eq(to_memory(2, "efgh", &end), 2, "two were left");
    cr_assert(end);
    expect(0x23456, "abcdef");
    cr_assert_eq(fake_read(&f, 0x2345c, 1), 0);
    cr_assert_eq(fake_in8(&f, STATUS), 0x04);
    cr_assert_eq(fake_in8(&f, STATUS), 0x00, "reading clears");
    cr_assert_eq(to_memory(2, "x", &end), 0, "masked at the end");
    cr_assert_eq(read_pair(5), 0xffff);
}

Test(i8237, reads_memory)
{
    char got[5] = { 0 };
    bool end;
    for (unsigned i = 0; i < 4; i++)
        fake_write(&f, 0x8000 + i, 1, "wxyz"[i]);
    program8(3, 0x48, 0x8000, 4);
    cr_assert_eq(vm__dma_transfer(dma, 3, VM_DMA_FROM_MEMORY, got, 4, &end), 4);
    cr_assert(end);
    cr_assert_str_eq(got, "wxyz");
}

Test(i8237, verify_and_the_wrong_direction_count_without_memory)
{
    char got[4] = "....";
    bool end;
    program8(1, 0x40, 0x5000, 4);
    cr_assert_eq(to_memory(1, "abcd", &end), 4);
    cr_assert(end);
    cr_assert_eq(fake_read(&f, 0x5000, 4), 0);
    program8(1, 0x44, 0x5000, 4);
    cr_assert_eq(vm__dma_transfer(dma, 1, VM_DMA_FROM_MEMORY, got, 4, &end), 4);
    cr_assert_eq(memcmp(got, "\xff\xff\xff\xff", 4), 0);
    cr_assert_eq(fake_read(&f, 0x5000, 4), 0);
}

Test(i8237, counts_down_when_told_and_stays_in_its_page)
{
    bool end;
    program8(0, 0x64, 0x10001, 4);
    to_memory(0, "abcd", &end);
    cr_assert(end);
    cr_assert_eq(fake_read(&f, 0x10001, 1), 'a');
    cr_assert_eq(fake_read(&f, 0x10000, 1), 'b');
    cr_assert_eq(fake_read(&f, 0x1ffff, 1), 'c');
    cr_assert_eq(fake_read(&f, 0x1fffe, 1), 'd');

    program8(0, 0x44, 0x2fffe, 4);
    to_memory(0, "efgh", &end);
    expect(0x2fffe, "ef");
    expect(0x20000, "gh");
    cr_assert_eq(fake_read(&f, 0x30000, 1), 0);
}

Test(i8237, autoinitialize_starts_again)
{
    bool end;
    program8(2, 0x54, 0x4000, 3);
    cr_assert_eq(to_memory(2, "abcdef", &end), 3, "a transfer stops at the end of a block");
    cr_assert(end);
    cr_assert_eq(to_memory(2, "xyz", &end), 3);
    cr_assert(end);
    expect(0x4000, "xyz");
    cr_assert_eq(fake_in8(&f, MASK_ALL) & 4, 0);
}

Test(i8237, wide_channels_move_words_within_128_kib)
{
    bool end;
    program16(5, 0x44, 0x3fffc, 4); /* bit 0 of the page is not used */
    cr_assert_eq(to_memory(5, "abcdefghi", &end), 8, "whole words");
    cr_assert(end);
    expect(0x3fffc, "abcd");
    expect(0x20000, "efgh");
    cr_assert_eq(fake_in8(&f, 0xd0) & 0x0f, 0x02);
}

Test(i8237, high_page_reaches_above_16_mib)
{
    bool end;
    program8(2, 0x44, 0x6000, 4);
    fake_out8(&f, 0x481, 0x80);
    cr_assert_eq(to_memory(2, "ab", &end), 2);
    cr_assert_eq(fake_read(&f, 0x6000, 2), 0, "it went elsewhere");
    fake_out8(&f, 0x81, 0);
    cr_assert_eq(fake_in8(&f, 0x481), 0, "old software is safe from it");
    cr_assert_eq(to_memory(2, "cd", &end), 2);
    expect(0x6002, "cd");
}

Test(i8237, nothing_moves_unless_everything_on_the_way_is_on)
{
    bool end;
    program8(2, 0x44, 0x4000, 4);
    fake_out8(&f, COMMAND, 4);
    cr_assert_eq(to_memory(2, "a", &end), 0, "controller off");
    fake_out8(&f, COMMAND, 0);
    fake_out8(&f, MASK, 6);
    cr_assert_eq(to_memory(2, "a", &end), 0, "channel masked");
    fake_out8(&f, MASK, 2);
    fake_out8(&f, 0xd4, 4);
    cr_assert_eq(to_memory(2, "a", &end), 0, "cascade masked");
    fake_out8(&f, 0xd4, 0);
    fake_out8(&f, MODE, 0xc2);
    cr_assert_eq(to_memory(2, "a", &end), 0, "a channel in cascade mode");
    fake_out8(&f, MODE, 0x46);
    cr_assert_eq(to_memory(2, "a", &end), 1);
    char byte = 'a';
    cr_assert_eq(vm__dma_transfer(NULL, 2, VM_DMA_TO_MEMORY, &byte, 1, &end), 0);
}

Test(i8237, mask_registers)
{
    fake_out8(&f, UNMASK_ALL, 0);
    cr_assert_eq(fake_in8(&f, MASK_ALL), 0xf0);
    fake_out8(&f, MASK, 5);
    cr_assert_eq(fake_in8(&f, MASK_ALL), 0xf2);
    fake_out8(&f, MASK_ALL, 0x0c);
    cr_assert_eq(fake_in8(&f, MASK_ALL), 0xfc);
    fake_out8(&f, MASK, 3);
    cr_assert_eq(fake_in8(&f, MASK_ALL), 0xf4);
}

Test(i8237, master_clear_keeps_addresses_and_modes)
{
    bool end;
    program8(2, 0x44, 0x4321, 4);
    fake_out8(&f, 0, 1); /* flip-flop at the high byte */
    fake_out8(&f, CLEAR, 0);
    cr_assert_eq(fake_in8(&f, MASK_ALL), 0xff);
    cr_assert_eq(fake_in8(&f, 4), 0x21, "low byte first");
    cr_assert_eq(fake_in8(&f, 4), 0x43);
    fake_out8(&f, MASK, 2);
    cr_assert_eq(to_memory(2, "a", &end), 1);
    expect(0x4321, "a");
}

Test(i8237, aliases_of_the_first_and_odd_ports_of_the_second)
{
    program8(2, 0x44, 0x4321, 4);
    fake_out8(&f, FLIP_FLOP + 0x10, 0);
    cr_assert_eq(fake_in8(&f, 0x14), 0x21);
    fake_out8(&f, 0xdf, 0x0a);
    cr_assert_eq(fake_in8(&f, 0xde), 0xfa);
    fake_out8(&f, 0x80, 0x5a);
    cr_assert_eq(fake_in8(&f, 0x80), 0x5a, "diagnostics' port is storage");
}

Test(i8237, request_shows_in_the_status)
{
    vm__dma_request(dma, 2, true);
    vm__dma_request(dma, 7, true);
    cr_assert_eq(fake_in8(&f, STATUS), 0x40);
    cr_assert_eq(fake_in8(&f, 0xd0), 0x80);
    vm__dma_request(dma, 2, false);
    cr_assert_eq(fake_in8(&f, STATUS), 0x00);
}

Test(i8237, a_waiting_device_is_told_when_its_channel_can_run)
{
    cr_assert_eq(vm__dma_attach(dma, 2, &user, NULL), VM_OK);
    program8(2, 0x44, 0x4000, 4);
    cr_assert_eq(n_ready, 0, "nothing was asked");
    fake_out8(&f, MASK, 6);
    vm__dma_request(dma, 2, true);
    fake_out8(&f, COMMAND, 0);
    cr_assert_eq(n_ready, 0, "masked");
    fake_out8(&f, MASK, 2);
    cr_assert_eq(n_ready, 1);
    fake_out8(&f, 0xd4, 4);
    cr_assert_eq(n_ready, 1);
    fake_out8(&f, 0xd4, 0);
    cr_assert_eq(n_ready, 2, "the cascade counts too");
    vm__dma_detach(dma, 2);
    cr_assert_eq(fake_in8(&f, STATUS), 0);
    fake_out8(&f, MASK, 2);
    cr_assert_eq(n_ready, 2);
}

Test(i8237, a_channel_has_one_user)
{
    cr_assert_eq(vm__dma_attach(dma, 2, &user, NULL), VM_OK);
    cr_assert_eq(vm__dma_attach(dma, 2, &user, NULL), VM_E_BUSY);
    cr_assert_eq(vm__dma_attach(dma, 4, &user, NULL), VM_E_INVAL);
    cr_assert_eq(vm__dma_attach(dma, 8, &user, NULL), VM_E_INVAL);
    cr_assert_eq(vm__dma_attach(NULL, 1, &user, NULL), VM_E_NOTSUP);
    cr_assert_eq(vm__dma_of(f.m), dma);
}

Test(i8237, software_request_runs_a_block_to_its_end)
{
    program8(1, 0x84, 0x4000, 600);
    fake_out8(&f, MASK, 5);
    fake_out8(&f, REQUEST, 5);
    cr_assert_eq(fake_in8(&f, STATUS), 0x02, "not maskable; the request is over with the block");
    cr_assert_eq(fake_read(&f, 0x4000, 1), 0xff);
    cr_assert_eq(fake_read(&f, 0x4000 + 599, 1), 0xff);
    cr_assert_eq(fake_read(&f, 0x4000 + 600, 1), 0x00);
    program8(1, 0x44, 0x5000, 4);
    fake_out8(&f, REQUEST, 5);
    cr_assert_eq(fake_in8(&f, STATUS), 0x20, "single mode waits for a device");
    fake_out8(&f, REQUEST, 1);
    cr_assert_eq(fake_in8(&f, STATUS), 0x00);
}

Test(i8237, state_survives_saving)
{
    bool end;
    program8(2, 0x44, 0x4000, 8);
    to_memory(2, "abc", &end);
    fake_out8(&f, 0x481, 0);
    fake_save_load(dma);
    cr_assert_eq(to_memory(2, "defgh", &end), 5);
    cr_assert(end);
    expect(0x4000, "abcdefgh");
}

Test(i8237, reset_masks_everything)
{
    bool end;
    program8(2, 0x44, 0x4000, 8);
    fake_reset(dma, VM_DEV_RESET_WARM);
    cr_assert_eq(fake_in8(&f, MASK_ALL), 0xff);
    cr_assert_eq(fake_in8(&f, 0x81), 0);
    cr_assert_eq(to_memory(2, "a", &end), 0);
}
