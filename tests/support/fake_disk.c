/* SPDX-License-Identifier: MIT */
/**
 * @file fake_disk.c
 * Drives for device tests.
 */
#include "support/fake_disk.h"

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct fake_disk *disks[FAKE_DISKS];
static unsigned n_disks;

static struct fake_disk *of(struct vm_drive *d)
{
    return VM_CONTAINER_OF(d, struct fake_disk, drive);
}

static void fill(struct fake_disk *d, uint64_t size)
{
    free(d->data);
    d->data = size != 0 ? malloc(size) : NULL;
    d->size = size;
    for (uint64_t i = 0; i < size / 4; i++)
        vm_put_le32(d->data + 4 * i, (uint32_t)i);
}

static int carry_out(struct fake_disk *d, struct vm_drive_req *r)
{
    d->requests++;
    if (r->len > d->most)
        d->most = r->len;
    if (r->off > d->size || r->len > d->size - r->off)
        return VM_E_RANGE;
    if (r->op != VM_IO_FLUSH && r->off < d->bad_to && r->off + r->len > d->bad_from)
        return VM_E_IO;
    size_t done = 0;
    struct vm_sg sg = r->sg;
    switch ((enum vm_io_op)r->op) {
    case VM_IO_READ:
    case VM_IO_WRITE:
        while (done < r->len) {
            size_t n = sg.iov->len < r->len - done ? sg.iov->len : r->len - done;
            if (r->op == VM_IO_READ)
                memcpy(sg.iov->base, d->data + r->off + done, n);
            else
                memcpy(d->data + r->off + done, sg.iov->base, n);
            done += n;
            sg.iov++;
        }
        d->reads += r->op == VM_IO_READ;
        d->writes += r->op == VM_IO_WRITE;
        d->fua += (r->flags & VM_IO_FUA) != 0;
        break;
    case VM_IO_FLUSH:
        d->flushes++;
        break;
    case VM_IO_DISCARD:
    case VM_IO_ZERO:
        d->discards++;
        memset(d->data + r->off, 0, r->len);
        break;
    case VM_IO_OPS:
        break;
    }
    return VM_OK;
}

static void land(struct vm_drive *d)
{
    struct vm_drive_req *r = d->flying; /* the oldest */
    d->flying = r->next;
    r->done(r, carry_out(of(d), r));
}

static void on_time(void *opaque)
{
    struct fake_disk *d = opaque;
    if (d->drive.flying != NULL)
        land(&d->drive);
    if (d->drive.flying != NULL)
        vm__timer_arm(&d->timer, vm__clock_ns(d->drive.m) + FAKE_DISK_NS);
}

struct fake_disk *fake_disk(struct fake_machine *f, const char *id, bool cdrom, uint64_t size)
{
    assert(n_disks < FAKE_DISKS);
    struct fake_disk *d = disks[n_disks++] = calloc(1, sizeof *d);
    assert(d != NULL);
    fill(d, size);
    d->drive.m = f->m;
    d->drive.id = strdup(id);
    d->drive.cdrom = cdrom;
    d->drive.read_only = cdrom;
    vm__timer_init(&d->timer, f->m, on_time, d);
    return d;
}

void fake_disk_change(struct fake_disk *d, uint64_t size)
{
    fill(d, size);
    vm__lock(d->drive.m);
    if (d->drive.ops != NULL && d->drive.ops->changed != NULL)
        d->drive.ops->changed(d->drive.opaque);
    vm__unlock(d->drive.m);
}

void fake_disks_free(void)
{
    for (; n_disks > 0; n_disks--) {
        free(disks[n_disks - 1]->data);
        free(disks[n_disks - 1]->drive.id);
        free(disks[n_disks - 1]);
    }
}

/* ---- block/drive.h ------------------------------------------------------------------------ */

struct vm_drive *vm__drive_find(struct vm_machine *m, const char *id)
{
    for (unsigned i = 0; i < n_disks; i++)
        if (disks[i]->drive.m == m && strcmp(disks[i]->drive.id, id) == 0)
            return &disks[i]->drive;
    return NULL;
}

struct vm_drive *vm__drive_new(struct vm_machine *m, const char *id, enum vm_drive_if interface,
                               uint32_t unit)
{
    struct fake_machine f = { .m = m };
    struct vm_drive *d = &fake_disk(&f, id, true, 0)->drive;
    d->interface = interface;
    d->unit = unit;
    return d;
}

int vm__drive_attach(struct vm_drive *d, const struct vm_drive_ops *ops, void *opaque)
{
    if (d->used)
        return vm__fail(VM_E_BUSY, "drive %s is in use", d->id);
    d->used = true;
    d->ops = ops;
    d->opaque = opaque;
    return VM_OK;
}

void vm__drive_detach(struct vm_drive *d)
{
    vm__drive_drain(d);
    d->used = false;
    d->ops = NULL;
}

bool vm__drive_has_medium(const struct vm_drive *d)
{
    return vm__drive_size(d) != 0;
}

uint64_t vm__drive_size(const struct vm_drive *d)
{
    return ((const struct fake_disk *)(const void *)d)->size;
}

void vm__drive_submit(struct vm_drive *d, struct vm_drive_req *r)
{
    struct vm_drive_req **last = &d->flying;
    while (*last != NULL)
        last = &(*last)->next;
    r->drive = d;
    r->next = NULL;
    *last = r;
    vm__timer_arm(&of(d)->timer, vm__clock_ns(d->m) + FAKE_DISK_NS);
}

/** Every other one is already being carried out. */
bool vm__drive_cancel(struct vm_drive_req *r)
{
    struct vm_drive *d = r->drive;
    if (of(d)->requests % 2 != 0)
        return false;
    struct vm_drive_req **at = &d->flying;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    of(d)->requests++;
    return true;
}

void vm__drive_drain(struct vm_drive *d)
{
    while (d->flying != NULL)
        land(d);
}
