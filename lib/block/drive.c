/* SPDX-License-Identifier: MIT */
/**
 * @file drive.c
 * The requests of devices: started, held back, repeated, brought to an end.
 *
 * Pausing lets everything come to its end, what done() starts included, and then holds back what
 * comes. A request that failed and is to be tried again is held the same way. Under an icount clock
 * the bytes are moved when a request is submitted, and a timer of the machine's brings done(): a
 * pause leaves it alone, since the clock stands.
 */
#include "block/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/drive_impl.h"
#include "core/clock_impl.h"
#include "core/machine.h"
#include "core/part.h"
#include "core/run.h"

/* Of a request. */
enum {
    IDLE = 0,
    FLYING, /* the block layer has it */
    POSTED, /* done() is on its way, nothing was carried out */
    TIMED,  /* icount: carried out, done() comes at its time */
    HELD,   /* begins when the machine goes on */
};

/* icount: what a disk takes, in nanoseconds. Figures of a good one of the guests' time. */
enum { LATENCY_NS = 100000, NS_PER_KIB = 5000 };

static bool is_write(const struct vm_drive_req *r)
{
    return r->op != VM_IO_READ;
}

static void unlink_req(struct vm_drive_req *r)
{
    *r->prev = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    r->state = IDLE;
}

/* ---- failures --------------------------------------------------------------------------- */

static enum vm_drive_error policy(const struct vm_drive_req *r)
{
    const struct vm_drive *d = r->drive;
    enum vm_drive_error p = is_write(r) ? d->on_write_error : d->on_read_error;
    if (p == VM_ERR_ENOSPC)
        p = r->status == VM_E_NOSPC ? VM_ERR_STOP : VM_ERR_REPORT;
    return p;
}

/* The host's doing, not the guest's. */
static bool by_host(int status)
{
    return status != VM_E_RANGE && status != VM_E_NOENT && status != VM_E_PERM &&
           status != VM_E_INVAL && status != VM_E_CANCELED;
}

/* False: it is kept, to be tried again. */
static bool judge(struct vm_drive_req *r)
{
    char text[128];
    struct vm_machine *m = r->drive->m;
    const enum vm_drive_error p = policy(r);
    snprintf(text, sizeof text, "%s: %s", r->drive->id, vm_strerror(r->status));
    vm__event_post(m, VM_EVENT_DISK, is_write(r), p == VM_ERR_STOP ? 2 : p == VM_ERR_IGNORE, text);
    if (p == VM_ERR_IGNORE)
        r->status = VM_OK;
    if (p != VM_ERR_STOP)
        return true;
    r->state = HELD;
    vm__run_stop(m);
    return false;
}

static void finish(struct vm_drive_req *r)
{
    if (r->status != VM_OK && by_host(r->status) && !judge(r))
        return;
    unlink_req(r);
    r->done(r, r->status);
}

/* ---- carrying out ----------------------------------------------------------------------- */

static void on_io_done(struct vm_blk_req *io)
{
    struct vm_drive_req *r = io->opaque;
    r->status = io->status;
    vm__blk_unref(io->node);
    finish(r);
}

static void on_posted(void *opaque)
{
    finish(opaque);
}

static void on_time(void *opaque)
{
    finish(opaque);
}

static int check(const struct vm_drive *d, const struct vm_drive_req *r)
{
    if (d->node == NULL)
        return VM_E_NOENT;
    if (is_write(r) && r->op != VM_IO_FLUSH && d->read_only)
        return VM_E_PERM;
    const uint64_t size = vm__blk_size(d->node);
    if (r->op != VM_IO_FLUSH && (r->off > size || r->len > size - r->off))
        return VM_E_RANGE;
    return VM_OK;
}

/* On this thread, at once. */
static int carry_out(struct vm_drive_req *r)
{
    r->io = (struct vm_blk_req) { .node = r->drive->node,
                                  .op = r->op,
                                  .flags = r->flags,
                                  .off = r->off,
                                  .len = r->len,
                                  .sg = r->sg };
    return vm__blk_run(&r->io);
}

static void start(struct vm_drive_req *r)
{
    struct vm_drive *d = r->drive;
    r->status = check(d, r);
    if (d->all->icount) {
        if (r->status == VM_OK)
            r->status = carry_out(r);
        r->state = TIMED;
        const uint64_t kib = r->op == VM_IO_READ || r->op == VM_IO_WRITE ? r->len >> 10 : 0;
        vm__timer_init(&r->timer, d->m, on_time, r);
        vm__timer_arm(&r->timer, vm__clock_ns(d->m) + LATENCY_NS + kib * NS_PER_KIB);
        return;
    }
    if (r->status != VM_OK) {
        r->state = POSTED;
        r->io.work = (struct vm_work) { .fn = on_posted, .opaque = r };
        vm__loop_post(d->m->loop, &r->io.work);
        return;
    }
    r->state = FLYING;
    r->io = (struct vm_blk_req) { .node = vm__blk_ref(d->node),
                                  .op = r->op,
                                  .flags = r->flags,
                                  .off = r->off,
                                  .len = r->len,
                                  .sg = r->sg,
                                  .done = on_io_done,
                                  .opaque = r };
    vm__blk_submit(&r->io, d->m->loop);
}

void vm__drive_submit(struct vm_drive *d, struct vm_drive_req *r)
{
    struct vm_drive_req **last = &d->flying;
    while (*last != NULL)
        last = &(*last)->next;
    r->drive = d;
    r->next = NULL;
    r->prev = last;
    *last = r;
    if (d->all->paused)
        r->state = HELD;
    else
        start(r);
}

bool vm__drive_cancel(struct vm_drive_req *r)
{
    if (r->state == IDLE || r->state == FLYING)
        return false;
    if (r->state == POSTED)
        vm__loop_cancel(r->drive->m->loop, &r->io.work);
    if (r->state == TIMED)
        vm__timer_cancel(&r->timer);
    unlink_req(r);
    return true;
}

/* ---- waiting ---------------------------------------------------------------------------- */

static void finish_now(struct vm_drive_req *r)
{
    switch (r->state) {
    case FLYING:
        vm__blk_finish(&r->io);
        break;
    case POSTED:
        vm__loop_cancel(r->drive->m->loop, &r->io.work);
        finish(r);
        break;
    case TIMED:
        vm__timer_cancel(&r->timer);
        finish(r);
        break;
    default:
        break;
    }
}

static struct vm_drive_req *next_to_finish(struct vm_drive *d, bool timed)
{
    struct vm_drive_req *r = d->flying;
    while (r != NULL && !(r->state == FLYING || r->state == POSTED || (timed && r->state == TIMED)))
        r = r->next;
    return r;
}

/* What done() submits is waited for, too. */
static void finish_all(struct vm_drive *d, bool timed)
{
    struct vm_drive_req *r;
    while ((r = next_to_finish(d, timed)) != NULL)
        finish_now(r);
}

void vm__drive_drain(struct vm_drive *d)
{
    struct vm_drive_req *r;
    finish_all(d, true);
    /* Nobody will let the held ones go on: they fail. */
    while ((r = d->flying) != NULL) {
        unlink_req(r);
        r->done(r, r->status != VM_OK ? r->status : VM_E_CANCELED);
        finish_all(d, true);
    }
}

int vm__drive_read_now(struct vm_drive *d, uint64_t off, void *buf, size_t len)
{
    if (d->node == NULL)
        return vm__fail(VM_E_NOENT, "%s: no medium", d->id);
    vm__blk_io_begin(d->node);
    const int st = vm__blk_read(d->node, off, buf, len);
    vm__blk_io_end(d->node);
    return st;
}

/* ---- what happens to the machine -------------------------------------------------------- */

static void on_pause(void *part)
{
    struct vm_drives *all = part;
    for (struct vm_drive *d = all->list; d != NULL; d = d->next)
        finish_all(d, false);
    all->paused = true;
}

static void on_resume(void *part)
{
    struct vm_drives *all = part;
    all->paused = false;
    for (struct vm_drive *d = all->list; d != NULL; d = d->next)
        for (struct vm_drive_req *r = d->flying, *next; r != NULL; r = next) {
            next = r->next;
            if (r->state == HELD)
                start(r);
        }
}

static void on_reset(void *part, int kind)
{
    struct vm_drives *all = part;
    (void)kind;
    for (struct vm_drive *d = all->list; d != NULL; d = d->next)
        vm__drive_drain(d);
}

static void on_save(void *part)
{
    struct vm_drives *all = part;
    for (struct vm_drive *d = all->list; d != NULL; d = d->next)
        finish_all(d, true);
}

static void on_destroy(void *part)
{
    struct vm_drives *all = part;
    while (all->list != NULL) {
        struct vm_drive *d = all->list;
        all->list = d->next;
        vm__blk_unref(d->node);
        free(d->id);
        free(d->serial);
        free(d);
    }
    free(all);
}

static const struct vm_part_class drives_class = {
    .name = "drives",
    .pause = on_pause,
    .resume = on_resume,
    .reset = on_reset,
    .save = on_save,
    .destroy = on_destroy,
};

struct vm_drives *vm__drives(struct vm_machine *m)
{
    struct vm_drives *all = vm__machine_part(m, &drives_class);
    if (all != NULL)
        return all;
    all = calloc(1, sizeof *all);
    if (all == NULL) {
        vm__fail_nomem(sizeof *all);
        return NULL;
    }
    all->m = m;
    all->icount = m->clock->mode == VM_CLOCK_ICOUNT;
    if (vm__machine_add_part(m, &drives_class, all) != VM_OK) {
        free(all);
        return NULL;
    }
    return all;
}
