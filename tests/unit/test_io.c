/* SPDX-License-Identifier: MIT */
/**
 * @file test_io.c
 * Channels with flow control both ways, input devices, displays, the event loop, field tables.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/display.h"
#include "core/field_io.h"
#include "core/input.h"
#include "host/loop.h"
#include "host/time.h"
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

TestSuite(chr, .init = setup, .fini = teardown);
TestSuite(input, .init = setup, .fini = teardown);
TestSuite(display, .init = setup, .fini = teardown);

/* ---- channels --------------------------------------------------------------------------- */

static struct {
    struct vm_chr *chr;
    uint8_t got[2 * VM_CHR_QUEUE];
    size_t n, room;
    unsigned writable, breaks, rooms, closed;
    bool echo;
} guest;

static size_t can_receive(void *opaque)
{
    (void)opaque;
    return guest.room;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    (void)opaque;
    memcpy(guest.got + guest.n, buf, len);
    guest.n += len;
    guest.room -= len;
    if (guest.echo) {
        guest.echo = false;
        vm__chr_feed(guest.chr, "<echo>", 6);
    }
}

static void event(void *opaque, enum vm_chr_event e)
{
    (void)opaque;
    guest.breaks += e == VM_CHR_BREAK;
}

static void writable(void *opaque)
{
    (void)opaque;
    guest.writable++;
}

static void room(void *opaque)
{
    (void)opaque;
    guest.rooms++;
}

static void closed(void *opaque)
{
    (void)opaque;
    guest.closed++;
}

static const struct vm_chr_guest_ops guest_ops = { can_receive, receive, event, writable };
static const struct vm_chr_host_ops host_ops = { .room = room, .close = closed };

static struct vm_chr *channel(void)
{
    memset(&guest, 0, sizeof guest);
    guest.chr = fake_chr(&f, "serial0");
    cr_assert_eq(vm__chr_attach_guest(guest.chr, &guest_ops, NULL), VM_OK);
    return guest.chr;
}

Test(chr, the_guest_gets_as_much_as_it_has_room_for)
{
    struct vm_chr *chr = channel();
    guest.room = 3;
    cr_assert_eq(fake_feed(&f, "serial0", "hello"), 5);
    cr_assert_eq(guest.n, 3);
    guest.room = 100;
    vm__chr_accept(chr);
    cr_assert_eq(guest.n, 5);
    cr_assert_eq(memcmp(guest.got, "hello", 5), 0);
}

Test(chr, the_queue_is_bounded_and_tells_when_there_is_room)
{
    struct vm_chr *chr = channel();
    uint8_t bytes[VM_CHR_QUEUE + 100];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    vm__chr_attach_host(chr, &host_ops, NULL);
    cr_assert_eq(vm__chr_feed(chr, bytes, sizeof bytes), VM_CHR_QUEUE);
    cr_assert_eq(vm__chr_feed(chr, bytes, 1), 0);
    guest.room = 100;
    vm__chr_accept(chr);
    cr_assert_eq(guest.rooms, 0, "still more than half full");
    guest.room = VM_CHR_QUEUE;
    vm__chr_accept(chr);
    cr_assert_eq(guest.rooms, 1);
    cr_assert_eq(guest.n, VM_CHR_QUEUE);
    cr_assert_eq(memcmp(guest.got, bytes, VM_CHR_QUEUE), 0);
    vm__chr_attach_host(chr, NULL, NULL);
    cr_assert_eq(guest.closed, 1);
}

Test(chr, feeding_from_within_receive_keeps_the_order)
{
    channel();
    guest.room = 100;
    guest.echo = true;
    fake_feed(&f, "serial0", "abc");
    cr_assert_eq(guest.n, 9);
    cr_assert_eq(memcmp(guest.got, "abc<echo>", 9), 0);
}

Test(chr, a_full_host_is_waited_for)
{
    struct vm_chr *chr = channel();
    f.chr_blocked = true;
    cr_assert_eq(vm__chr_write(chr, "xy", 2), 0);
    vm__chr_ready(chr);
    cr_assert_eq(guest.writable, 1);
    f.chr_blocked = false;
    cr_assert_eq(vm__chr_write(chr, "xy", 2), 2);
    vm__chr_ready(chr);
    cr_assert_eq(guest.writable, 1, "nobody waits");
    cr_assert_eq(vm__chr_write(NULL, "xy", 2), 2, "no channel swallows");
}

Test(chr, one_device_a_channel_and_breaks_arrive)
{
    struct vm_chr *chr = channel();
    cr_assert_eq(vm__chr_attach_guest(chr, &guest_ops, NULL), VM_E_BUSY);
    vm__chr_event(chr, VM_CHR_BREAK);
    cr_assert_eq(guest.breaks, 1);
}

/* ---- input and display ------------------------------------------------------------------ */

static void on_key(void *opaque, uint32_t usage, bool down)
{
    *(uint32_t *)opaque = usage << 1 | down;
}

Test(input, keys_go_to_the_keyboard_attached_last)
{
    static const struct vm_input_ops keyboard = { .key = on_key }, mouse = { 0 };
    uint32_t a = 0, b = 0, c = 0;
    vm__input_key(f.m, 4, true); /* nobody there */
    vm__input_attach(f.m, &keyboard, &a);
    vm__input_attach(f.m, &keyboard, &b);
    vm__input_attach(f.m, &mouse, &c);
    vm__input_key(f.m, 4, true);
    cr_assert_eq(b, 9);
    cr_assert_eq(a, 0);
    vm__input_detach(f.m, &b);
    vm__input_key(f.m, 5, false);
    cr_assert_eq(a, 10);
}

static void on_mode(void *opaque, const struct vm_surface *surface)
{
    *(uint32_t *)opaque = surface->width;
}

Test(display, a_late_onlooker_learns_the_mode)
{
    static const struct vm_display_guest_ops adapter = { 0 };
    static const struct vm_display_host_ops onlooker = { .mode = on_mode };
    uint32_t width = 1;
    struct vm_display *d = vm__display_get(f.m, 0);
    cr_assert_null(vm__display_get(f.m, VM_MAX_DISPLAYS));
    cr_assert_null(vm__display_refresh(d, true));
    cr_assert_eq(vm__display_attach_guest(d, &adapter, NULL), VM_OK);
    cr_assert_eq(vm__display_attach_guest(d, &adapter, NULL), VM_E_BUSY);
    vm__display_mode(d, &(struct vm_surface) { .width = 640, .height = 480 });
    vm__display_attach_host(d, &onlooker, &width);
    cr_assert_eq(width, 640);
    cr_assert_eq(vm__display_refresh(d, false)->height, 480);
    vm__display_detach_guest(d);
    cr_assert_eq(width, 0);
}

/* ---- the event loop --------------------------------------------------------------------- */

static int locked;

static void lock(void *owner)
{
    (void)owner;
    locked++;
}

static void unlock(void *owner)
{
    (void)owner;
    locked--;
}

static void on_ready(void *opaque, unsigned events)
{
    unsigned *seen = opaque;
    cr_assert_eq(locked, 1);
    *seen |= events;
}

static void on_work(void *opaque)
{
    ++*(unsigned *)opaque;
}

Test(loop, watches_work_wakes_and_alarms)
{
    int fd[2];
    unsigned seen = 0, worked = 0;
    struct vm_loop *loop = vm__loop_new(lock, unlock, NULL);
    cr_assert_eq(pipe(fd), 0);
    struct vm_watch *w = vm__watch_new(loop, fd[0], VM_LOOP_IN, on_ready, &seen);
    vm__loop_run(loop, false);
    cr_assert_eq(seen, 0);
    cr_assert_eq(write(fd[1], "x", 1), 1);
    vm__loop_run(loop, true);
    cr_assert_eq(seen, VM_LOOP_IN);
    vm__watch_free(w);
    cr_assert_eq(vm__loop_watches(loop), 0);

    struct vm_work a = { .fn = on_work, .opaque = &worked }, b = a;
    vm__loop_post(loop, &a);
    vm__loop_post(loop, &a);
    vm__loop_post(loop, &b);
    vm__loop_cancel(loop, &b);
    vm__loop_run(loop, true);
    cr_assert_eq(worked, 1);
    vm__loop_post(loop, &b);
    vm__loop_run(loop, true);
    cr_assert_eq(worked, 2);

    vm__loop_wake(loop);
    vm__loop_run(loop, true); /* returns */
    const uint64_t start = vm__host_ns();
    vm__loop_alarm(loop, start + 2000000);
    vm__loop_run(loop, true);
    cr_assert_geq(vm__host_ns(), start + 2000000);
    vm__loop_free(loop);
    close(fd[0]);
    close(fd[1]);
}

/* ---- field tables ----------------------------------------------------------------------- */

struct inner {
    uint16_t a;
    uint8_t b;
};

struct outer {
    uint32_t first;
    struct inner in[2];
    uint64_t added; /* in version 2 */
};

static const struct vm_field inner_fields[] = { VM_FIELD(inner, a, 1),
                                                VM_FIELD(inner, b, 1),
                                                { 0 } };
static const struct vm_field old_fields[] = { VM_FIELD(outer, first, 1),
                                              VM_FIELD_STRUCTS(outer, in, inner_fields, 1),
                                              { 0 } };
static const struct vm_field new_fields[] = {
    VM_FIELD(outer, first, 1),
    VM_FIELD_STRUCTS(outer, in, inner_fields, 1),
    VM_FIELD(outer, added, 2),
    { 0 },
};

Test(field, an_older_stream_leaves_new_fields_alone)
{
    const struct outer x = { 7, { { 1, 2 }, { 3, 4 } }, 9 };
    struct outer y = { .added = 42 };
    struct vm_buf b = { 0 };
    vm__fields_save(&b, old_fields, &x);
    struct vm_reader r = { .data = b.data, .len = b.len };
    cr_assert_eq(vm__fields_load(&r, new_fields, 1, &y), VM_OK);
    cr_assert_eq(y.first, 7);
    cr_assert_eq(y.in[1].a, 3);
    cr_assert_eq(y.added, 42);
    r.off = 0;
    cr_assert_eq(vm__fields_load(&r, new_fields, 2, &y), VM_E_CORRUPT);
    cr_assert_str_eq(vm_last_error()->message, "field added is missing");
    free(b.data);
}

static int gather(void *ud, const char *name, const char *value)
{
    char *text = ud;
    snprintf(text + strlen(text), 256 - strlen(text), "%s=%s ", name, value);
    return 0;
}

Test(field, state_can_be_shown)
{
    const struct outer x = { 7, { { 1, 2 }, { 3, 4 } }, 9 };
    char text[256] = "";
    cr_assert_eq(vm__fields_show(new_fields, &x, gather, text), 0);
    cr_assert_str_eq(text, "first=0x7 in[0].a=0x1 in[0].b=0x2 in[1].a=0x3 in[1].b=0x4 added=0x9 ");
}
