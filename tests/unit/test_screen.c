/* SPDX-License-Identifier: MIT */
/**
 * @file test_screen.c
 * What displays and keyboards lean on: the log of written pages, typed text, the exported calls.
 */
#include <criterion/criterion.h>

#include <libvm/io.h>

#include "core/dirty.h"
#include "core/display.h"
#include "core/input.h"
#include "support/fake_machine.h"

static struct fake_machine f;
static struct {
    uint32_t usage[64];
    uint64_t at_ns[64];
    unsigned n;
} keys; /* usage << 1 | down */

static void setup(void)
{
    fake_init(&f);
    memset(&keys, 0, sizeof keys);
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(dirty, .init = setup, .fini = teardown);
TestSuite(typing, .init = setup, .fini = teardown);
TestSuite(looking, .init = setup, .fini = teardown);

/* ---- the log of written pages ------------------------------------------------------------- */

static bool take(struct vm_dirty *d)
{
    vm__lock(f.m);
    const bool any = vm__dirty_take(d, 0, FAKE_RAM_BYTES);
    vm__unlock(f.m);
    return any;
}

Test(dirty, everything_counts_as_written_at_first_and_then_only_what_was)
{
    struct vm_dirty d;
    cr_assert_eq(vm__dirty_init(&d, f.ram), VM_OK);
    cr_assert(take(&d));
    cr_assert(vm__dirty_in(&d, 0, 0));
    cr_assert(vm__dirty_in(&d, FAKE_RAM_BYTES - 1, FAKE_RAM_BYTES - 1));
    (void)take(&d); /* once more: somebody may have written just before */
    cr_assert_not(take(&d));
    vm__mem_write(f.m, 0x4ffe, "1234", 4);
    cr_assert(take(&d));
    cr_assert(vm__dirty_in(&d, 0x4000, 0x4fff));
    cr_assert(vm__dirty_in(&d, 0x5fff, 0x5fff));
    cr_assert_not(vm__dirty_in(&d, 0x3fff, 0x3fff));
    cr_assert_not(vm__dirty_in(&d, 0x6000, 0xffff));
    cr_assert(take(&d), "reported twice");
    cr_assert(vm__dirty_in(&d, 0x4000, 0x4000));
    cr_assert_not(take(&d));
    vm__dirty_fini(&d);
}

Test(dirty, only_the_range_asked_for_is_cleaned)
{
    struct vm_dirty d;
    cr_assert_eq(vm__dirty_init(&d, f.ram), VM_OK);
    for (int i = 0; i < 3; i++)
        (void)take(&d);
    vm__mem_write(f.m, 0x8000, "x", 1);
    vm__lock(f.m);
    cr_assert_not(vm__dirty_take(&d, 0, 0x8000));
    cr_assert(vm__dirty_take(&d, 0x8000, 0x8001));
    vm__unlock(f.m);
    vm__dirty_fini(&d);
}

/* ---- typing ------------------------------------------------------------------------------- */

static void on_key(void *opaque, uint32_t usage, bool down)
{
    (void)opaque;
    if (keys.n < 64) {
        keys.at_ns[keys.n] = fake_now(&f);
        keys.usage[keys.n++] = usage << 1 | down;
    }
}

static const struct vm_input_ops keyboard = { .key = on_key };

static void expect_keys(const uint32_t *want, unsigned n)
{
    cr_assert_eq(keys.n, n, "%u events", keys.n);
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(keys.usage[i], want[i], "event %u: %x", i, keys.usage[i]);
}

Test(typing, capitals_and_signs_come_with_shift)
{
    /* a, A, %, Enter: pressed and released in order */
    static const uint32_t want[] = { 0x09,  0x08, 0x1c3, 0x09,  0x08, 0x1c2,
                                     0x1c3, 0x45, 0x44,  0x1c2, 0x51, 0x50 };
    vm__input_attach(f.m, &keyboard, NULL);
    cr_assert_eq(vm_input_text(f.m, "aA%\n"), VM_OK);
    fake_advance(&f, 1000000000);
    expect_keys(want, VM_COUNT_OF(want));
    for (unsigned i = 1; i < keys.n; i++)
        cr_assert(keys.at_ns[i] >= keys.at_ns[i - 1] + 5000000, "not all at once");
}

Test(typing, more_text_waits_for_its_turn)
{
    static const uint32_t want[] = { 0x09, 0x08, 0x0b, 0x0a, 0x0d, 0x0c };
    vm__input_attach(f.m, &keyboard, NULL);
    vm_input_text(f.m, "ab");
    fake_advance(&f, 20000000);
    vm_input_text(f.m, "c");
    fake_advance(&f, 1000000000);
    expect_keys(want, VM_COUNT_OF(want));
}

Test(typing, what_no_key_can_is_refused_whole)
{
    vm__input_attach(f.m, &keyboard, NULL);
    cr_assert_eq(vm_input_text(f.m, "ab\xc3\xbc"), VM_E_INVAL);
    cr_assert_not_null(strstr(vm_last_error()->message, "byte 2"));
    fake_advance(&f, 1000000000);
    cr_assert_eq(keys.n, 0);
}

/* ---- the exported calls ------------------------------------------------------------------- */

static uint32_t pixels[6] = { 1, 2, 0, 3, 4, 0 }; /* 2 by 2, a gap after each line */
static bool is_text;

static void draw(void *opaque)
{
    struct vm_display *d = opaque;
    vm__display_mode(d, &(struct vm_surface) { 2, 2, 12, pixels });
    vm__display_damage(d, 0, 1, 2, 1);
}

static size_t cells(void *opaque, vm_text_cell *out, size_t max, uint32_t *columns)
{
    static const vm_text_cell screen[] = {
        { 'A', 7, 0, 0 }, { 0xfc, 7, 0, 0 },   { ' ', 7, 0, 0 },
        { ' ', 7, 0, 0 }, { 0x2588, 7, 0, 0 }, { ' ', 7, 0, 0 }
    };
    (void)opaque;
    *columns = 3;
    for (size_t i = 0; i < max && i < 6; i++)
        out[i] = screen[i];
    return is_text ? 6 : 0;
}

static const struct vm_display_guest_ops adapter = { .refresh = draw, .text = cells };

static unsigned n_modes, n_damages, n_freed;

static void on_mode(void *ud, const vm_display_surface *s)
{
    (void)ud;
    n_modes += s->width == 2;
}

static void on_damage(void *ud, const vm_display_surface *s, uint32_t x, uint32_t y, uint32_t width,
                      uint32_t height)
{
    (void)ud;
    n_damages += s->pixels[3] == 3 && x == 0 && y == 1 && width == 2 && height == 1;
}

static void on_free(void *ud)
{
    (void)ud;
    n_freed++;
}

static void add_adapter(void)
{
    struct vm_display *d = vm__display_get(f.m, 0);
    cr_assert_eq(vm__display_attach_guest(d, &adapter, d), VM_OK);
}

Test(looking, an_onlooker_hears_of_sizes_and_changes)
{
    const vm_display_ops ops = { .size = sizeof ops, .mode = on_mode, .damage = on_damage };
    cr_assert_eq(vm_display_refresh(f.m, 0), VM_E_NOENT);
    add_adapter();
    cr_assert_eq(vm_display_attach(f.m, 0, &ops, NULL, on_free), VM_OK);
    cr_assert_eq(vm_display_refresh(f.m, 0), VM_OK);
    cr_assert_eq(n_modes, 1);
    cr_assert_eq(n_damages, 1);
    cr_assert_eq(vm_display_attach(f.m, 0, NULL, NULL, NULL), VM_OK);
    cr_assert_eq(n_freed, 1);
    cr_assert_eq(vm_display_attach(f.m, 99, &ops, NULL, NULL), VM_E_RANGE);
}

Test(looking, a_screenshot_has_no_gaps)
{
    uint32_t out[4] = { 0 }, width = 0, height = 0;
    size_t len = 0;
    add_adapter();
    cr_assert_eq(vm_display_grab(f.m, 0, NULL, &len, &width, &height), VM_OK);
    cr_assert_eq(len, 16);
    len = 15;
    cr_assert_eq(vm_display_grab(f.m, 0, out, &len, &width, &height), VM_E_RANGE);
    cr_assert_eq(len, 16);
    cr_assert_eq(out[0], 0, "nothing half-written");
    cr_assert_eq(vm_display_grab(f.m, 0, out, &len, &width, &height), VM_OK);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(out[i], i + 1);
}

Test(looking, text_is_utf8_without_blanks_at_the_end)
{
    char text[32] = "";
    size_t len = 0;
    add_adapter();
    is_text = false;
    cr_assert_eq(vm_display_text(f.m, 0, NULL, &len), VM_E_STATE);
    is_text = true;
    cr_assert_eq(vm_display_text(f.m, 0, NULL, &len), VM_OK);
    cr_assert_eq(len, sizeof "A\xc3\xbc\n \xe2\x96\x88\n");
    len--;
    cr_assert_eq(vm_display_text(f.m, 0, text, &len), VM_E_RANGE);
    cr_assert_eq(vm_display_text(f.m, 0, text, &len), VM_OK);
    cr_assert_str_eq(text, "A\xc3\xbc\n \xe2\x96\x88\n");
    vm_text_cell out[6];
    size_t n = 5;
    uint32_t columns = 0;
    cr_assert_eq(vm_display_cells(f.m, 0, out, &n, &columns), VM_E_RANGE);
    cr_assert_eq(vm_display_cells(f.m, 0, out, &n, &columns), VM_OK);
    cr_assert_eq(out[4].code, 0x2588);
}
