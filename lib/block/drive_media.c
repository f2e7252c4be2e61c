/* SPDX-License-Identifier: MIT */
/**
 * @file drive_media.c
 * Drives and what is in them: from the configuration, by devices, by the monitor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/commit.h"
#include "block/drive_impl.h"
#include "block/env.h"
#include "block/options.h"
#include "core/config.h"
#include "core/machine.h"

/* ---- finding ---------------------------------------------------------------------------- */

struct vm_drive *vm__drive_next(struct vm_machine *m, const struct vm_drive *after)
{
    struct vm_drives *all = vm__drives(m);
    return after != NULL ? after->next : all != NULL ? all->list : NULL;
}

struct vm_drive *vm__drive_at(struct vm_machine *m, enum vm_drive_if interface, uint32_t unit)
{
    struct vm_drive *d = vm__drive_next(m, NULL);
    while (d != NULL && (d->interface != interface || d->unit != unit))
        d = d->next;
    return d;
}

struct vm_drive *vm__drive_find(struct vm_machine *m, const char *id)
{
    struct vm_drive *d = vm__drive_next(m, NULL);
    while (d != NULL && strcmp(d->id, id) != 0)
        d = d->next;
    return d;
}

/* ---- making ----------------------------------------------------------------------------- */

static void make_id(char *id, size_t size, enum vm_drive_if interface, uint32_t unit, bool cdrom)
{
    static const char *const names[] = { "none", "ide", "floppy", "virtio", "scsi", "sd" };
    if (interface == VM_IF_IDE)
        snprintf(id, size, "ide%u-%s%u", unit / 2, cdrom ? "cd" : "hd", unit % 2);
    else
        snprintf(id, size, "%s%u", names[interface], unit);
}

static struct vm_drive *add(struct vm_machine *m, const char *id, enum vm_drive_if interface,
                            uint32_t unit)
{
    struct vm_drives *all = vm__drives(m);
    struct vm_drive *d = all != NULL ? calloc(1, sizeof *d) : NULL;
    if (d == NULL || (d->id = strdup(id)) == NULL) {
        free(d);
        vm__fail_nomem(sizeof *d);
        return NULL;
    }
    d->m = m;
    d->all = all;
    d->interface = interface;
    d->unit = unit;
    d->on_write_error = VM_ERR_ENOSPC;
    struct vm_drive **last = &all->list;
    while (*last != NULL)
        last = &(*last)->next;
    *last = d;
    return d;
}

struct vm_drive *vm__drive_new(struct vm_machine *m, const char *id, enum vm_drive_if interface,
                               uint32_t unit)
{
    if (vm__drive_find(m, id) != NULL) {
        vm__fail(VM_E_BUSY, "there is a drive %s already", id);
        return NULL;
    }
    struct vm_drive *d = add(m, id, interface, unit);
    if (d != NULL)
        d->removable = true;
    return d;
}

struct vm_blk *vm__drive_open_medium(struct vm_machine *m, const char *file, const char *format,
                                     struct vm_blk_options *o, uint32_t flags, bool snapshot)
{
    struct vm_blk_env *env = vm__ctx_block(m->ctx);
    if (env == NULL)
        return NULL;
    struct vm_blk *n = vm__blk_open(env, file, format, o, snapshot ? flags | VM_OPEN_RO : flags);
    if (n == NULL || !snapshot)
        return n;
    struct vm_blk_options *over = vm__options_new();
    struct vm_blk *top = NULL;
    if (over != NULL && vm__options_set(over, "file", n->node_name) == VM_OK)
        top = vm__blk_open(env, NULL, "overlay", over, flags & VM_OPEN_UNMAP);
    vm__options_free(over);
    vm__blk_unref(n);
    return top;
}

static int choose_unit(struct vm_machine *m, struct vm_drive_spec *s)
{
    if (s->interface == VM_IF_NONE && !s->has_unit) {
        while (vm__drive_at(m, VM_IF_NONE, s->unit) != NULL)
            s->unit++;
        return VM_OK;
    }
    if (s->has_unit)
        return vm__drive_at(m, s->interface, s->unit) == NULL
                   ? VM_OK
                   : vm__fail(VM_E_BUSY, "there are two drives at unit %u", s->unit);
    /* A CD-ROM without a place goes where it always was: first of the second cable. */
    if (s->cdrom && s->interface == VM_IF_IDE)
        s->unit = 2;
    const uint32_t most = vm__drive_units(s->interface), from = s->unit;
    while (vm__drive_at(m, s->interface, s->unit) != NULL) {
        s->unit++;
        if (most != 0 && s->unit == most)
            s->unit = 0;
        if (s->unit == from)
            return vm__fail(VM_E_RANGE, "there is no place for a further drive");
    }
    return VM_OK;
}

static int set_up(struct vm_machine *m, struct vm_drive_spec *s)
{
    char id[32];
    int st = choose_unit(m, s);
    if (st != VM_OK)
        return st;
    make_id(id, sizeof id, s->interface, s->unit, s->cdrom);
    const char *name = s->id != NULL ? s->id : id;
    if (vm__drive_find(m, name) != NULL)
        return vm__fail(VM_E_BUSY, "there are two drives called %s", name);
    struct vm_drive *d = add(m, name, s->interface, s->unit);
    if (d == NULL)
        return VM_E_NOMEM;
    d->cdrom = s->cdrom;
    d->removable = s->cdrom || s->interface == VM_IF_FLOPPY;
    d->on_read_error = s->on_read_error;
    d->on_write_error = s->on_write_error;
    d->serial = s->serial;
    s->serial = NULL;
    if (s->file == NULL || *s->file == '\0') {
        if (vm__opt_has(s->rest, "file"))
            s->file = NULL; /* all is in the options */
        else if (d->removable)
            return VM_OK;
        else
            return vm__fail(VM_E_INVAL, "%s: no file", name);
    }
    d->node = vm__drive_open_medium(m, s->file, s->format, s->rest, s->flags, s->snapshot);
    if (d->node == NULL)
        return vm__fail_prefix(vm_last_error()->code, "%s: ", name);
    d->read_only = !vm__blk_writable(d->node) || d->cdrom;
    return VM_OK;
}

static int open_one(void *ud, const char *key, const char *value)
{
    struct vm_drive_spec s;
    int st = vm__drive_spec_parse(&s, value);
    st = st == VM_OK ? set_up(ud, &s) : vm__fail_prefix(st, "%s: ", key);
    vm__drive_spec_free(&s);
    return st;
}

int vm__drives_open(struct vm_machine *m)
{
    return vm__drives(m) != NULL ? vm__config_each(m->config, "drive.", open_one, m) : VM_E_NOMEM;
}

/* ---- the device ------------------------------------------------------------------------- */

int vm__drive_attach(struct vm_drive *d, const struct vm_drive_ops *ops, void *opaque)
{
    if (d->used)
        return vm__fail(VM_E_BUSY, "drive %s is used by another device", d->id);
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
    d->opaque = NULL;
}

bool vm__drive_has_medium(const struct vm_drive *d)
{
    return d->node != NULL;
}

uint64_t vm__drive_size(const struct vm_drive *d)
{
    return d->node != NULL ? vm__blk_size(d->node) : 0;
}

/* ---- the monitor ------------------------------------------------------------------------ */

static void change(struct vm_drive *d, struct vm_blk *node)
{
    struct vm_blk *old = d->node;
    vm__drive_drain(d);
    d->node = node;
    d->read_only = d->cdrom || (node != NULL && !vm__blk_writable(node));
    vm__blk_unref(old);
    if (d->ops != NULL && d->ops->changed != NULL)
        d->ops->changed(d->opaque);
}

static int let_go(struct vm_drive *d, bool force)
{
    if (!d->removable)
        return vm__fail(VM_E_NOTSUP, "Device '%s' is not removable", d->id);
    const bool may =
        d->ops == NULL || d->ops->eject_request == NULL || d->ops->eject_request(d->opaque, force);
    return may || force
               ? VM_OK
               : vm__fail(VM_E_BUSY,
                          "Device '%s' is locked and force was not specified, wait for tray to "
                          "open and try again",
                          d->id);
}

int vm__drive_eject(struct vm_drive *d, bool force)
{
    const int st = let_go(d, force);
    if (st == VM_OK && d->node != NULL)
        change(d, NULL);
    return st;
}

int vm__drive_insert(struct vm_drive *d, const char *file, const char *format, bool read_only)
{
    const uint32_t flags =
        (read_only || d->cdrom ? VM_OPEN_RO : VM_OPEN_AUTO_RO) | (format ? 0 : VM_OPEN_PROBE);
    int st = let_go(d, false);
    if (st != VM_OK)
        return st;
    struct vm_blk *n = vm__drive_open_medium(d->m, file, format, NULL, flags, false);
    if (n == NULL)
        return vm_last_error()->code;
    if (d->node != NULL)
        change(d, NULL); /* a guest must see the drive empty in between */
    change(d, n);
    return VM_OK;
}

int vm__drive_resize(struct vm_drive *d, uint64_t size)
{
    if (d->node == NULL)
        return vm__fail(VM_E_NOENT, "Device '%s' has no medium", d->id);
    const int st = vm__blk_resize(d->node, size, VM_PREALLOC_OFF, 0);
    if (st == VM_OK && d->ops != NULL && d->ops->resized != NULL)
        d->ops->resized(d->opaque);
    return st;
}

int vm__drive_commit(struct vm_drive *d)
{
    struct vm_blk *top = d->node;
    if (top == NULL)
        return vm__fail(VM_E_NOENT, "Device '%s' has no medium", d->id);
    const bool overlay = strcmp(top->drv->name, "overlay") == 0;
    struct vm_blk *below = overlay ? top->file : top->backing;
    if (below == NULL)
        return vm__fail(VM_E_NOTSUP, "Device '%s' has nothing to commit to", d->id);
    vm__blk_drain_begin(top);
    const bool was_ro = !vm__blk_writable(below);
    int st = was_ro ? vm__blk_reopen(below, below->flags & ~(uint32_t)VM_OPEN_RO) : VM_OK;
    if (st == VM_OK)
        st = vm__blk_push_down(top, below, true, NULL);
    if (was_ro && vm__blk_writable(below)) {
        const int again = vm__blk_reopen(below, below->flags | VM_OPEN_RO);
        st = st == VM_OK ? again : st;
    }
    vm__blk_drain_end(top);
    return st == VM_OK ? VM_OK : vm__fail_prefix(st, "Device '%s': ", d->id);
}
