/* SPDX-License-Identifier: MIT */
/**
 * @file test_drive.c
 * Drives of a machine: configuration, requests, pauses, failures, media, temporary overlays.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/drive.h"
#include "core/clock_impl.h"
#include "core/event.h"
#include "core/machine.h"
#include "core/part.h"
#include "core/run.h"
#include "support.h"

enum { M = 1 << 20 };

static struct blk_place p;
static struct vm_machine *m;
static const char *drives[8];

/* ---- a disk that fails when told -------------------------------------------------------- */

static _Atomic int broken_status;

static int broken_open(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)vm__opt_str(o, "filename");
    atomic_store(&n->size, M);
    return VM_OK;
}

static int broken_io(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    (void)n;
    (void)off;
    (void)len;
    (void)sg;
    (void)flags;
    const int st = atomic_load(&broken_status);
    return st == VM_OK ? st : vm__fail(st, "as told");
}

static const char *const broken_prefixes[] = { "broken", NULL };
static const struct vm_blk_driver broken = { .name = "broken",
                                             .kind = VM_BLK_PROTOCOL,
                                             .prefixes = broken_prefixes,
                                             .open = broken_open,
                                             .read = broken_io,
                                             .write = broken_io };
static const struct vm_blk_driver *with_broken[64];
static struct vm_registry registry;

static void setup(void)
{
    blk_init(&p);
    int n = 0;
    for (; vm__registry.blocks[n] != NULL; n++)
        with_broken[n] = vm__registry.blocks[n];
    with_broken[n] = &broken;
    registry = vm__registry;
    registry.blocks = with_broken;
    p.ctx->registry = &registry;
    memset(drives, 0, sizeof drives);
    m = NULL;
}

static void teardown(void)
{
    vm__machine_destroy(m);
    blk_fini(&p);
}

TestSuite(drive, .init = setup, .fini = teardown);

static int build(const char *mode)
{
    struct vm_config *cfg = vm__config_new(p.ctx, NULL, NULL);
    cr_assert_eq(vm__config_set(cfg, "clock.mode", mode), VM_OK);
    for (int i = 0; drives[i] != NULL; i++) {
        char key[16];
        snprintf(key, sizeof key, "drive.%d", i);
        cr_assert_eq(vm__config_set(cfg, key, drives[i]), VM_OK);
    }
    m = vm__machine_new(cfg);
    cr_assert_not_null(m);
    vm__config_free(cfg);
    atomic_store(&m->run->state, VM_ST_RUNNING);
    vm__lock(m);
    const int st = vm__drives_open(m);
    vm__unlock(m);
    return st;
}

static const char *image(const char *name)
{
    const char *path = blk_path(&p, name);
    cr_assert_eq(blk_create(&p, path, "raw", M, NULL), VM_OK);
    return path;
}

/* "file=PATH,format=raw,MORE" */
static const char *disk(const char *name, const char *more)
{
    static char texts[8][640];
    static int at;
    char *text = texts[at++ % 8];
    snprintf(text, sizeof texts[0], "file=%s,format=raw,%s", image(name), more);
    return text;
}

/* ---- requests --------------------------------------------------------------------------- */

struct req {
    struct vm_drive_req r;
    struct vm_iov v;
    uint8_t buf[4096];
    int calls, status;
};

static void done(struct vm_drive_req *r, int status)
{
    struct req *q = r->opaque;
    q->calls++;
    q->status = status;
}

static void prepare(struct req *q, uint32_t op, uint64_t off, uint8_t fill)
{
    memset(q, 0, sizeof *q);
    memset(q->buf, fill, sizeof q->buf);
    q->v = (struct vm_iov) { q->buf, sizeof q->buf };
    q->r = (struct vm_drive_req) {
        .op = op, .off = off, .len = sizeof q->buf, .sg = { &q->v, 0 }, .done = done, .opaque = q
    };
}

static void submit(struct req *q, struct vm_drive *d)
{
    vm__lock(m);
    vm__drive_submit(d, &q->r);
    cr_assert_eq(q->calls, 0, "done() came before submit() returned");
    vm__unlock(m);
}

static int wait_for(struct req *q)
{
    for (int i = 0; i < 5000 && q->calls == 0; i++) {
        vm__loop_run(m->loop, false);
        if (q->calls == 0)
            usleep(1000);
    }
    cr_assert_eq(q->calls, 1);
    return q->status;
}

static void spin(void)
{
    for (int i = 0; i < 20; i++) {
        vm__loop_run(m->loop, false);
        usleep(500);
    }
}

static void pause_machine(void)
{
    vm__lock(m);
    vm__clock_stop(m);
    vm__parts_pause(m);
    atomic_store(&m->run->state, VM_ST_PAUSED);
    vm__unlock(m);
}

static void resume_machine(void)
{
    vm__lock(m);
    vm__clock_start(m);
    atomic_store(&m->run->state, VM_ST_RUNNING);
    vm__parts_resume(m);
    vm__unlock(m);
}

Test(drive, configuration_gives_places_and_names)
{
    drives[0] = disk("a", "snapshot=off");
    drives[1] = disk("b", "serial=S1,id=mine,read-only=on");
    drives[2] = "media=cdrom";
    drives[3] = disk("c", "if=virtio,index=3");
    drives[4] = "if=floppy,file=";
    cr_assert_eq(build("realtime"), VM_OK, "%s", vm_last_error()->message);
    struct vm_drive *d = vm__drive_at(m, VM_IF_IDE, 0);
    cr_assert_str_eq(d->id, "ide0-hd0");
    cr_assert(vm__drive_size(d) == M && !d->read_only && !d->removable);
    d = vm__drive_find(m, "mine");
    cr_assert(d == vm__drive_at(m, VM_IF_IDE, 1) && d->read_only);
    cr_assert_str_eq(d->serial, "S1");
    d = vm__drive_find(m, "ide1-cd0");
    cr_assert(d->unit == 2 && d->cdrom && d->removable && !vm__drive_has_medium(d));
    cr_assert_not_null(vm__drive_at(m, VM_IF_VIRTIO, 3));
    cr_assert(vm__drive_at(m, VM_IF_FLOPPY, 0)->removable);
    cr_assert_null(vm__drive_at(m, VM_IF_IDE, 3));
    int n = 0;
    for (d = NULL; (d = vm__drive_next(m, d)) != NULL;)
        n++;
    cr_assert_eq(n, 5);
}

Test(drive, what_is_wrong_with_a_configuration_is_said)
{
    static const struct {
        const char *drive, *words;
    } rows[] = {
        { "file=/nonexistent/x,format=raw", "No such file or directory" },
        { "if=nosuch", "Parameter 'if' does not accept value 'nosuch'" },
        { "if=ide,index=4,media=cdrom", "there is no unit 4 on ide" },
        { "if=ide,bus=0,unit=2,media=cdrom", "there is no bus 0, unit 2" },
        { "if=ide,bus=99999999999999999999,media=cdrom", "expects a number" },
        { "if=ide,bus=0,index=2,media=cdrom", "index cannot be used" },
        { "if=floppy,index=2", "there is no unit 2 on floppy" },
        { "format=raw", "no file" },
        { "media=tape", "Parameter 'media'" },
        { "media=cdrom,cache=fast", "Invalid cache option: fast" },
        { "media=cdrom,rerror=enospc", "'enospc' invalid read error action" },
        { "file=x:y,format=raw", "Unknown protocol 'x'" },
        { "file=.,format=raw,readonly=on", "regular file" },
        { "file=.,format=nosuch", "Unknown driver 'nosuch'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        drives[0] = rows[i].drive;
        cr_expect_neq(build("realtime"), VM_OK, "%s", rows[i].drive);
        cr_expect_not_null(strstr(vm_last_error()->message, rows[i].words), "%s: %s", rows[i].drive,
                           vm_last_error()->message);
        vm__machine_destroy(m);
    }
    drives[0] = drives[1] = "if=ide,index=2,media=cdrom";
    cr_expect_neq(build("realtime"), VM_OK);
    cr_expect_not_null(strstr(vm_last_error()->message, "two drives at unit 2"));
    vm__machine_destroy(m);
    drives[0] = "if=ide,index=2,media=cdrom,id=x";
    drives[1] = "if=ide,index=3,media=cdrom,id=x";
    cr_expect_neq(build("realtime"), VM_OK);
    cr_expect_not_null(strstr(vm_last_error()->message, "two drives called x"));
}

Test(drive, a_request_moves_bytes_and_completes_on_the_loop)
{
    struct req w, r, f;
    drives[0] = disk("a", "if=ide");
    cr_assert_eq(build("realtime"), VM_OK);
    struct vm_drive *d = vm__drive_at(m, VM_IF_IDE, 0);
    prepare(&w, VM_IO_WRITE, 8192, 0x42);
    submit(&w, d);
    cr_assert_eq(wait_for(&w), VM_OK);
    prepare(&r, VM_IO_READ, 8192, 0);
    submit(&r, d);
    cr_assert_eq(wait_for(&r), VM_OK);
    cr_assert(r.buf[0] == 0x42 && r.buf[4095] == 0x42);
    prepare(&f, VM_IO_FLUSH, 0, 0);
    submit(&f, d);
    cr_assert_eq(wait_for(&f), VM_OK);
    uint8_t b;
    cr_assert_eq(vm__drive_read_now(d, 8192, &b, 1), VM_OK);
    cr_assert_eq(b, 0x42);
}

Test(drive, what_the_guest_may_not_do_fails_and_nothing_more)
{
    struct req a, b, c;
    drives[0] = disk("a", "if=ide,read-only=on,rerror=stop,werror=stop");
    drives[1] = "media=cdrom,rerror=stop";
    cr_assert_eq(build("realtime"), VM_OK);
    prepare(&a, VM_IO_READ, M - 512, 0);
    submit(&a, vm__drive_at(m, VM_IF_IDE, 0));
    cr_assert_eq(wait_for(&a), VM_E_RANGE);
    prepare(&b, VM_IO_WRITE, 0, 0);
    submit(&b, vm__drive_at(m, VM_IF_IDE, 0));
    cr_assert_eq(wait_for(&b), VM_E_PERM);
    prepare(&c, VM_IO_READ, 0, 0);
    submit(&c, vm__drive_at(m, VM_IF_IDE, 2));
    cr_assert_eq(wait_for(&c), VM_E_NOENT);
    cr_assert_eq(vm__asked(m) & VM_ASK_PAUSE, 0);
}

Test(drive, a_pause_finishes_what_flies_and_holds_back_what_comes)
{
    struct req a, b;
    drives[0] = disk("a", "if=ide");
    cr_assert_eq(build("realtime"), VM_OK);
    struct vm_drive *d = vm__drive_at(m, VM_IF_IDE, 0);
    prepare(&a, VM_IO_WRITE, 0, 1);
    submit(&a, d);
    pause_machine();
    cr_assert_eq(a.calls, 1);
    cr_assert_eq(a.status, VM_OK);
    prepare(&b, VM_IO_READ, 0, 0);
    submit(&b, d);
    spin();
    cr_assert_eq(b.calls, 0);
    resume_machine();
    cr_assert_eq(wait_for(&b), VM_OK);
    cr_assert_eq(b.buf[17], 1);
    cr_assert_eq(a.calls, 1);
}

static struct req chained;

static void done_and_go_on(struct vm_drive_req *r, int status)
{
    struct vm_drive *d = r->drive;
    done(r, status);
    prepare(&chained, VM_IO_READ, 0, 0);
    vm__drive_submit(d, &chained.r);
}

Test(drive, a_pause_waits_for_what_done_starts)
{
    struct req a;
    drives[0] = disk("a", "if=ide");
    cr_assert_eq(build("realtime"), VM_OK);
    prepare(&a, VM_IO_WRITE, 0, 1);
    a.r.done = done_and_go_on;
    submit(&a, vm__drive_at(m, VM_IF_IDE, 0));
    pause_machine();
    cr_assert(a.calls == 1 && chained.calls == 1 && chained.buf[0] == 1);
}

Test(drive, by_instructions_time_depends_on_the_request_alone)
{
    struct req a, b;
    drives[0] = disk("a", "if=ide");
    cr_assert_eq(build("icount"), VM_OK);
    struct vm_drive *d = vm__drive_at(m, VM_IF_IDE, 0);
    prepare(&a, VM_IO_WRITE, 0, 9);
    submit(&a, d);
    const uint64_t at = vm__clock_next(m->clock);
    cr_assert(at > 0 && at < UINT64_MAX);
    spin();
    pause_machine();
    cr_assert_eq(a.calls, 0); /* time stands: it is as long away as before */
    resume_machine();
    vm__lock(m);
    vm__clock_set(m, at - 1);
    vm__clock_fire(m);
    cr_assert_eq(a.calls, 0);
    vm__clock_set(m, at);
    vm__clock_fire(m);
    vm__unlock(m);
    cr_assert_eq(a.calls, 1);
    prepare(&b, VM_IO_READ, 0, 0);
    submit(&b, d);
    cr_assert_eq(vm__clock_next(m->clock) - at, at); /* the same length, the same time */
    vm__lock(m);
    vm__parts_save(m); /* nothing may be in the air when state is saved */
    vm__unlock(m);
    cr_assert(b.calls == 1 && b.buf[0] == 9);
}

Test(drive, a_request_can_be_taken_back_before_it_is_carried_out)
{
    struct req a;
    drives[0] = disk("a", "if=ide");
    cr_assert_eq(build("realtime"), VM_OK);
    struct vm_drive *d = vm__drive_at(m, VM_IF_IDE, 0);
    pause_machine();
    prepare(&a, VM_IO_WRITE, 0, 1);
    submit(&a, d);
    vm__lock(m);
    cr_assert(vm__drive_cancel(&a.r));
    cr_assert_not(vm__drive_cancel(&a.r));
    vm__unlock(m);
    resume_machine();
    spin();
    cr_assert_eq(a.calls, 0);
    struct vm_blk *n = vm__blk_ref(d->node);
    cr_assert(blk_is(n, 0, 4096, 0));
    vm__blk_unref(n);
}

Test(drive, reset_ends_everything)
{
    struct req a, b;
    drives[0] = disk("a", "if=ide");
    cr_assert_eq(build("realtime"), VM_OK);
    struct vm_drive *d = vm__drive_at(m, VM_IF_IDE, 0);
    prepare(&a, VM_IO_READ, 0, 1);
    submit(&a, d);
    vm__lock(m);
    vm__parts_reset(m, 0);
    vm__unlock(m);
    cr_assert(a.calls == 1 && a.status == VM_OK);
    pause_machine();
    prepare(&b, VM_IO_READ, 0, 1);
    submit(&b, d);
    vm__lock(m);
    vm__parts_reset(m, 0);
    vm__unlock(m);
    cr_assert(b.calls == 1 && b.status == VM_E_CANCELED);
}

/* ---- failures --------------------------------------------------------------------------- */

static vm_event seen;
static int n_seen;

static void on_event(void *ud, const vm_event *e)
{
    (void)ud;
    if (e->kind == VM_EVENT_DISK) {
        seen = *e;
        n_seen++;
    }
}

static void listen(void)
{
    n_seen = 0;
    cr_assert_eq(vm__events_listen(m, VM_EVENT_DISK, on_event, NULL, NULL), VM_OK);
}

Test(drive, a_full_host_stops_the_machine_and_the_write_is_repeated)
{
    struct req a;
    drives[0] = "file=broken:,format=raw,if=ide";
    cr_assert_eq(build("realtime"), VM_OK, "%s", vm_last_error()->message);
    listen();
    atomic_store(&broken_status, VM_E_NOSPC);
    prepare(&a, VM_IO_WRITE, 0, 1);
    submit(&a, vm__drive_at(m, VM_IF_IDE, 0));
    for (int i = 0; i < 2000 && !(vm__asked(m) & VM_ASK_PAUSE); i++) {
        vm__loop_run(m->loop, false);
        usleep(1000);
    }
    cr_assert(vm__asked(m) & VM_ASK_PAUSE);
    vm__events_run(m, 16, false);
    cr_assert(n_seen == 1 && seen.a == 1 && seen.b == 2);
    pause_machine();
    cr_assert_eq(a.calls, 0);
    atomic_store(&broken_status, VM_OK);
    resume_machine();
    cr_assert_eq(wait_for(&a), VM_OK);
}

Test(drive, other_failures_are_reported_or_ignored_as_asked)
{
    struct req a, b;
    drives[0] = "file=broken:,format=raw,if=ide";
    drives[1] = "file=broken:,format=raw,if=ide,rerror=ignore";
    cr_assert_eq(build("realtime"), VM_OK);
    listen();
    atomic_store(&broken_status, VM_E_IO);
    prepare(&a, VM_IO_WRITE, 0, 1);
    submit(&a, vm__drive_at(m, VM_IF_IDE, 0));
    cr_assert_eq(wait_for(&a), VM_E_IO);
    vm__events_run(m, 16, false);
    cr_assert(n_seen == 1 && seen.b == 0);
    prepare(&b, VM_IO_READ, 0, 1);
    submit(&b, vm__drive_at(m, VM_IF_IDE, 1));
    cr_assert_eq(wait_for(&b), VM_OK);
    vm__events_run(m, 16, false);
    cr_assert(n_seen == 2 && seen.a == 0 && seen.b == 1);
    cr_assert_eq(vm__asked(m) & VM_ASK_PAUSE, 0);
    atomic_store(&broken_status, VM_OK);
}

/* ---- overlays --------------------------------------------------------------------------- */

Test(drive, a_snapshot_keeps_the_image_as_it_is_until_committed)
{
    const char *path = image("base");
    char text[600];
    struct vm_blk *n = blk_open(&p, path, "raw", NULL, 0);
    cr_assert_eq(blk_fill(n, 0, M, 1), VM_OK);
    vm__blk_unref(n);
    snprintf(text, sizeof text, "file=%s,format=raw,snapshot=on", path);
    drives[0] = text;
    cr_assert_eq(build("realtime"), VM_OK, "%s", vm_last_error()->message);
    struct vm_drive *d = vm__drive_at(m, VM_IF_IDE, 0);
    cr_assert_not(d->read_only);
    cr_assert_eq(blk_fill(d->node, 1000, 10000, 2), VM_OK);
    cr_assert_eq(vm__blk_zero(d->node, 500000, 5000, 0), VM_OK);
    cr_assert(blk_is(d->node, 0, 1000, 1) && blk_is(d->node, 1000, 10000, 2));
    cr_assert(blk_is(d->node, 11000, 489000, 1) && blk_is(d->node, 500000, 5000, 0));
    cr_assert(blk_is(d->node, 505000, M - 505000, 1));
    n = blk_open(&p, path, "raw", NULL, VM_OPEN_RO);
    cr_assert_not_null(n);
    cr_assert(blk_is(n, 0, M, 1));
    vm__blk_unref(n);
    vm__lock(m);
    cr_assert_eq(vm__drive_commit(d), VM_OK, "%s", vm_last_error()->message);
    vm__unlock(m);
    n = blk_open(&p, path, "raw", NULL, VM_OPEN_RO);
    cr_assert(blk_is(n, 0, 1000, 1) && blk_is(n, 1000, 10000, 2) && blk_is(n, 500000, 5000, 0));
    cr_assert(blk_is(n, 505000, M - 505000, 1));
    vm__blk_unref(n);
    cr_assert(blk_is(d->node, 1000, 10000, 2));
    cr_assert_eq(blk_fill(d->node, 0, 10, 3), VM_OK); /* and it goes on as before */
    n = blk_open(&p, path, "raw", NULL, VM_OPEN_RO);
    cr_assert(blk_is(n, 0, 1000, 1));
    vm__blk_unref(n);
}

/* ---- media ------------------------------------------------------------------------------ */

static int changes;
static bool may_eject;

static void on_changed(void *opaque)
{
    (void)opaque;
    changes++;
}

static bool on_eject(void *opaque, bool force)
{
    (void)opaque;
    return may_eject || force;
}

static const struct vm_drive_ops ops = { .changed = on_changed, .eject_request = on_eject };

Test(drive, media_come_and_go)
{
    drives[0] = "media=cdrom,id=cd";
    drives[1] = disk("a", "id=hd");
    cr_assert_eq(build("realtime"), VM_OK);
    vm__lock(m);
    struct vm_drive *d = vm__drive_find(m, "cd");
    cr_assert_eq(vm__drive_attach(d, &ops, NULL), VM_OK);
    cr_assert_eq(vm__drive_attach(d, &ops, NULL), VM_E_BUSY);
    changes = 0;
    may_eject = true;
    cr_assert_eq(vm__drive_insert(d, image("x.iso"), "raw", true), VM_OK);
    cr_assert(changes == 1 && vm__drive_size(d) == M && d->read_only);
    cr_assert_neq(vm__drive_insert(d, "/nonexistent", "raw", true), VM_OK);
    cr_assert(changes == 1 && vm__drive_has_medium(d)); /* what cannot be opened changes nothing */
    may_eject = false;
    cr_assert_eq(vm__drive_eject(d, false), VM_E_BUSY);
    cr_assert_not_null(strstr(vm_last_error()->message, "is locked"));
    cr_assert_eq(vm__drive_eject(d, true), VM_OK);
    cr_assert(changes == 2 && !vm__drive_has_medium(d) && vm__drive_size(d) == 0);
    cr_assert_eq(vm__drive_eject(vm__drive_find(m, "hd"), true), VM_E_NOTSUP);
    cr_assert_eq(vm__drive_resize(vm__drive_find(m, "hd"), 2 * M), VM_OK);
    cr_assert_eq(vm__drive_size(vm__drive_find(m, "hd")), 2 * M);
    vm__drive_detach(d);
    struct vm_drive *e = vm__drive_new(m, "floppy1", VM_IF_FLOPPY, 1);
    cr_assert(e != NULL && e->removable && vm__drive_at(m, VM_IF_FLOPPY, 1) == e);
    cr_assert_null(vm__drive_new(m, "floppy1", VM_IF_FLOPPY, 0));
    vm__unlock(m);
}
