/* SPDX-License-Identifier: MIT */
/**
 * @file drive.c
 * Disks, CD-ROMs and floppies: info block, eject, change, commit, block_resize.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "block/drive.h"
#include "block/node.h"
#include "core/config.h"
#include "monitor/monitor.h"

static const char *nth_id(const void *ud, uint32_t i)
{
    const struct mon *mon = ud;
    const struct vm_drive *d = NULL;
    do
        d = vm__drive_next(mon->m, d);
    while (d != NULL && i-- != 0);
    return d != NULL ? d->id : NULL;
}

/** The drive that the next word names, or NULL after vm__fail(). */
static struct vm_drive *drive_arg(struct mon *mon, char **args)
{
    const char *id = vm__mon_need(args, "a drive's id (info block lists them)");
    struct vm_drive *d = id != NULL ? vm__drive_find(mon->m, id) : NULL;
    if (d != NULL || id == NULL)
        return d;
    const char *near = vm__nearest(id, nth_id, mon);
    (void)vm__fail(VM_E_NOENT, "no drive %.60s%s%s%s; info block lists them", id,
                   near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                   near != NULL ? "?" : "");
    return NULL;
}

/* ---- info block ---- */

static void put_drive(struct mon *mon, const struct vm_drive *d)
{
    const struct vm_blk *n = d->node;
    if (n == NULL)
        mon_printf(mon, "%s: [not inserted]\n", d->id);
    else
        mon_printf(mon, "%s (%s): %s (%s%s)\n", d->id, n->node_name, n->name, n->drv->name,
                   d->read_only ? ", read-only" : "");
    if (d->removable)
        mon_printf(mon, "    Removable device: %slocked, tray %s\n", d->tray_locked ? "" : "not ",
                   d->tray_open ? "open" : "closed");
    if (n == NULL)
        return;
    mon_printf(mon, "    Size:             %" PRIu64 " bytes\n", vm__drive_size(d));
    if (n->backing_name != NULL)
        mon_printf(mon, "    Backing file:     %s\n", n->backing_name);
    if (!d->used)
        mon_printf(mon, "    Attached to:      nothing\n");
}

static int run_info_block(struct mon *mon, char *args)
{
    args += strspn(args, " \t");
    if (*args != '\0' && strcmp(args, "-v") != 0) {
        const struct vm_drive *d = drive_arg(mon, &args);
        if (d == NULL)
            return VM_E_NOENT;
        put_drive(mon, d);
        return VM_OK;
    }
    const struct vm_drive *d = NULL;
    while ((d = vm__drive_next(mon->m, d)) != NULL) {
        if (mon->out.len != 0)
            mon_printf(mon, "\n");
        put_drive(mon, d);
    }
    return VM_OK;
}

/* ---- media ---- */

static int run_eject(struct mon *mon, char *args)
{
    args += strspn(args, " \t");
    const bool force = strncmp(args, "-f", 2) == 0 && (args[2] == ' ' || args[2] == '\t');
    if (force)
        args += 2;
    struct vm_drive *d = drive_arg(mon, &args);
    if (d == NULL)
        return VM_E_NOENT;
    if (!d->removable)
        return vm__fail(VM_E_INVAL, "%s: a hard disk is not taken out while the machine runs",
                        d->id);
    return vm__drive_eject(d, force);
}

/** change ID FILE [FORMAT [read-only|read-write|retain]] */
static int run_change(struct mon *mon, char *args)
{
    struct vm_drive *d = drive_arg(mon, &args);
    const char *file = d != NULL ? vm__mon_need(&args, "a file's name") : NULL;
    if (file == NULL)
        return vm_last_error()->code;
    const char *format = vm__mon_word(&args), *mode = vm__mon_word(&args);
    bool read_only = d->cdrom || d->read_only;
    if (!d->removable)
        return vm__fail(VM_E_INVAL, "%s: a hard disk is not changed while the machine runs", d->id);
    if (mode != NULL && strcmp(mode, "read-only") == 0)
        read_only = true;
    else if (mode != NULL && strcmp(mode, "read-write") == 0)
        read_only = d->cdrom;
    else if (mode != NULL && strcmp(mode, "retain") != 0)
        return vm__fail(VM_E_INVAL, "%.20s is none of read-only, read-write, retain", mode);
    return vm__drive_insert(d, file, format, read_only);
}

/* ---- contents ---- */

static int run_commit(struct mon *mon, char *args)
{
    if (strcmp(args + strspn(args, " \t"), "all") != 0) {
        struct vm_drive *one = drive_arg(mon, &args);
        return one != NULL ? vm__drive_commit(one) : VM_E_NOENT;
    }
    /* Those that have nothing to write into anything are passed over. */
    for (struct vm_drive *d = NULL; (d = vm__drive_next(mon->m, d)) != NULL;) {
        const int st = d->node != NULL ? vm__drive_commit(d) : VM_OK;
        if (st != VM_OK && st != VM_E_NOTSUP && st != VM_E_STATE)
            return st;
    }
    return VM_OK;
}

static int run_resize(struct mon *mon, char *args)
{
    uint64_t size;
    struct vm_drive *d = drive_arg(mon, &args);
    const char *word = d != NULL ? vm__mon_need(&args, "a size") : NULL;
    if (word == NULL)
        return vm_last_error()->code;
    if (vm__parse_u64(word, true, &size) != VM_OK)
        return vm__fail(VM_E_INVAL, "%.40s is not a size", word);
    return vm__drive_resize(d, size);
}

const struct mon_command vm__mon_drive[] = {
    { "eject", NULL, "[-f] DRIVE", "take a medium out; -f: even if the guest holds it", 0,
      run_eject },
    { "change", NULL, "DRIVE FILE [FORMAT [MODE]]", "put another medium in", 0, run_change },
    { "commit", NULL, "DRIVE|all", "write what a snapshot kept into the image", 0, run_commit },
    { "block_resize", NULL, "DRIVE SIZE", "make a disk larger or smaller", 0, run_resize },
    { 0 },
};

const struct mon_command vm__mon_info_drive[] = {
    { "block", NULL, "[DRIVE]", "disks, CD-ROMs and floppies", 0, run_info_block },
    { 0 },
};
