/* SPDX-License-Identifier: MIT */
/**
 * @file test_memory.c
 * Flat lists, views, aliases, windows, the page hook.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "support/fake_machine.h"

static struct fake_machine f;

static void setup(void)
{
    fake_init(&f);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(memory, .init = setup, .fini = teardown);

struct seen {
    uint64_t off, value;
    unsigned size, n;
};

static uint64_t window_read(void *opaque, uint64_t off, unsigned size)
{
    struct seen *s = opaque;
    s->off = off;
    s->size = size;
    s->n++;
    return 0x1122334455667788 >> (off % 8 * 8);
}

static void window_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
    struct seen *s = opaque;
    *s = (struct seen) { off, value, size, s->n + 1 };
}

static const struct vm_window_ops wide = { .read = window_read, .write = window_write };
static const struct vm_window_ops dwords = {
    .read = window_read, .write = window_write, .min_access = 4, .max_access = 4
};

static struct vm_region *window(enum vm_space space, uint64_t base, uint64_t size,
                                const struct vm_window_ops *ops, struct seen *s)
{
    struct vm_region *r = vm__window_new(f.m, "w", space, size, ops, s);
    cr_assert_not_null(r);
    cr_assert_eq(vm__region_place(r, base, VM_PRIO_DEVICE), VM_OK);
    return r;
}

Test(memory, holes_read_all_ones_and_drop_writes)
{
    fake_write(&f, 0x80000000, 4, 0);
    cr_assert_eq(fake_read(&f, 0x80000000, 4), 0xffffffff);
    cr_assert_eq(fake_in16(&f, 0x1234), 0xffff);
    cr_assert_eq(vm__mem_read(f.m, 0x80000000, &(int) { 0 }, 4), VM_E_RANGE);
    cr_assert_eq(vm_last_error()->guest_addr, 0x80000000);
}

Test(memory, a_window_covers_ram_and_uncovers_it)
{
    struct seen s = { 0 };
    fake_write(&f, 0x1000, 4, 0xcafe);
    struct vm_region *r = window(VM_SPACE_MEM, 0x1000, 0x1000, &wide, &s);
    cr_assert_eq(fake_read(&f, 0x1000, 4), 0x55667788);
    struct vm_mem_page page;
    vm__mem_page(f.m, VM_VIEW_NORMAL, 0x1000, &page);
    cr_assert_null(page.host);
    vm__region_enable(r, false);
    cr_assert_eq(fake_read(&f, 0x1000, 4), 0xcafe);
    vm__mem_page(f.m, VM_VIEW_NORMAL, 0x1fff, &page);
    cr_assert_not_null(page.host);
    cr_assert(page.writable);
}

Test(memory, part_of_a_page_covered_means_no_direct_access_to_it)
{
    struct seen s = { 0 };
    struct vm_mem_page page;
    window(VM_SPACE_MEM, 0x2800, 8, &wide, &s);
    vm__mem_page(f.m, VM_VIEW_NORMAL, 0x2000, &page);
    cr_assert_null(page.host);
    fake_write(&f, 0x27ff, 1, 0x5a);
    cr_assert_eq(fake_read(&f, 0x27ff, 1), 0x5a);
    cr_assert_eq(fake_read(&f, 0x27fe, 4) & 0xff00, 0x5a00);
    cr_assert_eq(s.n, 2, "two bytes of the dword are the window's");
}

Test(memory, narrow_accesses_are_widened_and_wide_ones_split)
{
    struct seen s = { 0 };
    window(VM_SPACE_MEM, 0x10000000, 0x100, &dwords, &s);
    cr_assert_eq(fake_read(&f, 0x10000001, 1), 0x77);
    cr_assert_eq(s.off, 0);
    cr_assert_eq(s.size, 4);
    s.n = 0;
    cr_assert_eq(fake_read(&f, 0x10000000, 8), 0x1122334455667788);
    cr_assert_eq(s.n, 2);
    fake_write(&f, 0x10000006, 2, 0xabcd);
    cr_assert_eq(s.off, 4);
    cr_assert_eq(s.value, 0xabcd0000);
}

Test(memory, an_access_belongs_to_the_region_at_its_first_byte)
{
    struct seen address = { 0 }, reset = { 0 };
    window(VM_SPACE_PORT, 0xcf8, 4, &dwords, &address);
    struct vm_region *r = vm__window_new(f.m, "reset", VM_SPACE_PORT, 1, &wide, &reset);
    cr_assert_eq(vm__region_place(r, 0xcf9, VM_PRIO_DEVICE + 1), VM_OK);
    fake_out32(&f, 0xcf8, 0x80000000);
    cr_assert_eq(address.value, 0x80000000);
    cr_assert_eq(reset.n, 0);
    fake_out8(&f, 0xcf9, 6);
    cr_assert_eq(reset.value, 6);
    cr_assert_eq(address.n, 1);
}

Test(memory, an_alias_shows_part_of_its_target)
{
    struct vm_region *alias = vm__alias_new(f.m, "a", f.ram, 0x3000, 0x1000);
    cr_assert_eq(vm__region_place(alias, 0xe0000000, VM_PRIO_RAM), VM_OK);
    fake_write(&f, 0x3010, 4, 0x12345678);
    cr_assert_eq(fake_read(&f, 0xe0000010, 4), 0x12345678);
    cr_assert_null(vm__alias_new(f.m, "b", f.ram, FAKE_RAM_BYTES, 1));
}

Test(memory, views_differ_in_system_management_mode)
{
    struct vm_region *smram = vm__ram_new(f.m, "smram", 0x20000);
    vm__region_views(smram, VM_IN_SMM);
    cr_assert_eq(vm__region_place(smram, 0xa0000, VM_PRIO_SHADOW), VM_OK);
    vm__mmio_write(f.m, VM_VIEW_SMM, 0xa0000, 1, 0x77);
    cr_assert_eq(vm__mmio_read(f.m, VM_VIEW_SMM, 0xa0000, 1), 0x77);
    cr_assert_eq(fake_read(&f, 0xa0000, 1), 0);
}

Test(memory, rom_drops_writes_or_sends_them_to_shadow_ram)
{
    const uint8_t bytes[] = { 1, 2, 3, 4 };
    struct vm_region *rom = vm__rom_new(f.m, "bios", bytes, sizeof bytes, 0x1000);
    cr_assert_eq(vm__region_place(rom, 0xf0000, VM_PRIO_ROM), VM_OK);
    fake_write(&f, 0xf0000, 4, 0xffffffff);
    cr_assert_eq(fake_read(&f, 0xf0000, 4), 0x04030201);
    cr_assert_eq(vm__mem_write(f.m, 0xf0000, bytes, 1), VM_E_RANGE);
    vm__region_writes_to(rom, f.ram, 0xf0000);
    fake_write(&f, 0xf0000, 4, 0xa5a5a5a5);
    cr_assert_eq(fake_read(&f, 0xf0000, 4), 0x04030201);
    vm__region_enable(rom, false);
    cr_assert_eq(fake_read(&f, 0xf0000, 4), 0xa5a5a5a5);
}

Test(memory, the_last_byte_of_the_address_space_is_reachable)
{
    struct seen s = { 0 };
    window(VM_SPACE_MEM, UINT64_MAX - 0xfff, 0x1000, &wide, &s);
    fake_write(&f, UINT64_MAX, 1, 9);
    cr_assert_eq(s.off, 0xfff);
    struct vm_region *r = vm__window_new(f.m, "x", VM_SPACE_MEM, 0x1000, &wide, &s);
    cr_assert_eq(vm__region_place(r, UINT64_MAX - 0xffe, 0), VM_E_RANGE);
}

Test(memory, a_write_into_code_bumps_the_version_and_nothing_else_does)
{
    struct vm_mem_page page;
    vm__mem_page(f.m, VM_VIEW_NORMAL, 0x5000, &page);
    atomic_store(&page.page->code_sectors, 1u << 2); /* bytes 128 to 191 */
    vm__mem_write(f.m, 0x5000, "x", 1);
    cr_assert_eq(atomic_load(&page.page->code_version), 0);
    vm__mem_write(f.m, 0x4ff0, (uint8_t[0x100]) { 0 }, 0x100);
    cr_assert_eq(atomic_load(&page.page->code_version), 1);
    cr_assert_eq(atomic_load(&page.page->code_sectors), 0);
    cr_assert(atomic_load(&page.page->flags) & VM_PAGE_DIRTY);
}

/* A window that answers every write by DMA into itself. */
static void loop_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    (void)off;
    (void)size;
    (void)value;
    ++*(unsigned *)vm_dev_state(dev);
    vm__dma_write(dev, 0x20000000, "again", 4);
}

Test(memory, dma_into_a_window_that_starts_dma_ends)
{
    static const struct vm_window windows[] = { { "regs", .size = 0x1000, .write = loop_write },
                                                { 0 } };
    static const struct vm_dev_class cls = { .name = "loop",
                                             .state_size = sizeof(unsigned),
                                             .windows = windows };
    struct vm_dev *dev = fake_add(&f, &cls, NULL);
    cr_assert_eq(vm__dev_map(dev, 0, 0x20000000), VM_OK);
    fake_write(&f, 0x20000000, 4, 1);
    cr_assert_leq(*(unsigned *)vm_dev_state(dev), 10);
}

Test(memory, freeing_a_region_gives_back_its_place)
{
    struct seen s = { 0 };
    struct vm_region *r = window(VM_SPACE_PORT, 0x70, 2, &wide, &s);
    cr_assert_eq(fake_in8(&f, 0x70), 0x88);
    vm__region_free(r);
    cr_assert_eq(fake_in8(&f, 0x70), 0xff);
}

Test(memory, an_alias_of_what_is_gone_shows_nothing)
{
    struct vm_region *ram = vm__ram_new(f.m, "more", 0x1000);
    struct vm_region *alias = vm__alias_new(f.m, "a", ram, 0, 0x1000);
    struct vm_region *twice = vm__alias_new(f.m, "b", alias, 0, 0x800);
    cr_assert_eq(vm__region_place(twice, 0xe0000000, 0), VM_OK);
    fake_write(&f, 0xe0000000, 1, 5);
    cr_assert_eq(fake_read(&f, 0xe0000000, 1), 5);
    vm__region_free(ram);
    cr_assert_eq(fake_read(&f, 0xe0000000, 1), 0xff);
    cr_assert_null(vm__region_host(twice));
}
