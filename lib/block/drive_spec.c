/* SPDX-License-Identifier: MIT */
/**
 * @file drive_spec.c
 * "file=disk.img,if=ide,index=0,media=disk,snapshot=on,…": a drive as the user writes it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/drive_impl.h"
#include "block/env.h"
#include "block/options.h"

uint32_t vm__drive_units(enum vm_drive_if interface)
{
    return interface == VM_IF_IDE ? 4 : interface == VM_IF_FLOPPY ? 2 : 0;
}

static int take_cache(struct vm_blk_options *o, uint32_t *flags)
{
    static const struct {
        const char *name;
        uint32_t flags;
    } modes[] = {
        { "writeback", 0 },
        { "none", VM_OPEN_DIRECT },
        { "writethrough", VM_OPEN_WRITETHROUGH },
        { "directsync", VM_OPEN_DIRECT | VM_OPEN_WRITETHROUGH },
        { "unsafe", VM_OPEN_UNSAFE },
    };
    const char *text = vm__opt_str(o, "cache");
    if (text == NULL)
        return VM_OK;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(text, modes[i].name) == 0) {
            *flags |= modes[i].flags;
            return VM_OK;
        }
    return vm__fail(VM_E_INVAL, "Invalid cache option: %.40s", text);
}

static int take_place(struct vm_drive_spec *s, struct vm_blk_options *o)
{
    static const char *const names[] = { "none", "ide", "floppy", "virtio", "scsi", "sd", NULL };
    uint32_t interface = VM_IF_IDE;
    uint64_t bus = 0, unit = 0, index = 0;
    int st = vm__opt_enum(o, "if", names, &interface);
    s->interface = (enum vm_drive_if)interface;
    const bool placed = vm__opt_has(o, "bus") || vm__opt_has(o, "unit");
    s->has_unit = placed || vm__opt_has(o, "index");
    if (placed && vm__opt_has(o, "index"))
        return vm__fail(VM_E_INVAL, "index cannot be used with bus and unit");
    if (st == VM_OK)
        st = vm__opt_u64(o, "bus", &bus);
    if (st == VM_OK)
        st = vm__opt_u64(o, "unit", &unit);
    if (st == VM_OK)
        st = vm__opt_u64(o, "index", &index);
    if (st != VM_OK)
        return st;
    if (placed && (bus > 255 || unit > 255 || (s->interface == VM_IF_IDE && unit > 1)))
        return vm__fail(VM_E_RANGE, "there is no bus %llu, unit %llu", (unsigned long long)bus,
                        (unsigned long long)unit);
    if (placed)
        index = bus * 2 + unit;
    const uint32_t most = vm__drive_units(s->interface);
    if (index > 1024 || (most != 0 && index >= most))
        return vm__fail(VM_E_RANGE, "there is no unit %llu on %s", (unsigned long long)index,
                        names[interface]);
    s->unit = (uint32_t)index;
    return VM_OK;
}

static int take_media(struct vm_drive_spec *s, struct vm_blk_options *o)
{
    static const char *const media[] = { "disk", "cdrom", NULL };
    uint32_t m = 0;
    bool ro = false, more_ro = false;
    int st = vm__opt_enum(o, "media", media, &m);
    if (st == VM_OK)
        st = vm__opt_bool(o, "readonly", &ro);
    if (st == VM_OK)
        st = vm__opt_bool(o, "read-only", &more_ro);
    if (st == VM_OK)
        st = vm__opt_bool(o, "snapshot", &s->snapshot);
    s->cdrom = m == 1;
    if (s->cdrom || ro || more_ro)
        s->flags |= VM_OPEN_RO;
    return st;
}

static int take_errors(struct vm_drive_spec *s, struct vm_blk_options *o)
{
    static const char *const actions[] = { "report", "ignore", "stop", "enospc", NULL };
    uint32_t r = VM_ERR_REPORT, w = VM_ERR_ENOSPC;
    int st = vm__opt_enum(o, "rerror", actions, &r);
    if (st == VM_OK)
        st = vm__opt_enum(o, "werror", actions, &w);
    if (st == VM_OK && r == VM_ERR_ENOSPC)
        st = vm__fail(VM_E_INVAL, "'enospc' invalid read error action");
    s->on_read_error = (enum vm_drive_error)r;
    s->on_write_error = (enum vm_drive_error)w;
    return st;
}

static int take_text(struct vm_blk_options *o, const char *name, char **to)
{
    const char *text = vm__opt_str(o, name);
    if (text == NULL)
        return VM_OK;
    *to = strdup(text);
    return *to != NULL ? VM_OK : vm__fail_nomem(strlen(text));
}

/* Names that are the drive's, or that other machines have and this one decides for itself. */
static bool is_own(const char *name)
{
    static const char *const own[] = { "file",     "format", "driver",    "if",     "index",
                                       "bus",      "unit",   "media",     "id",     "readonly",
                                       "snapshot", "cache",  "read-only", "werror", "rerror",
                                       "serial",   "aio" };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(own[i], name) == 0)
            return true;
    return false;
}

static int keep_rest(void *ud, const char *name, const char *value)
{
    return is_own(name) ? VM_OK : vm__options_set(ud, name, value);
}

static int parse(struct vm_drive_spec *s, struct vm_blk_options *o)
{
    int st = take_place(s, o);
    if (st == VM_OK)
        st = take_media(s, o);
    if (st == VM_OK)
        st = take_cache(o, &s->flags);
    if (st == VM_OK)
        st = take_errors(s, o);
    if (st == VM_OK)
        st = take_text(o, "file", &s->file);
    if (st == VM_OK)
        st = take_text(o, vm__opt_has(o, "format") ? "format" : "driver", &s->format);
    if (st == VM_OK)
        st = take_text(o, "id", &s->id);
    if (st == VM_OK)
        st = take_text(o, "serial", &s->serial);
    if (st == VM_OK)
        st = vm__opt_each(o, keep_rest, s->rest);
    if (st == VM_OK && s->format == NULL)
        s->flags |= VM_OPEN_PROBE;
    return st;
}

int vm__drive_spec_parse(struct vm_drive_spec *s, const char *text)
{
    struct vm_blk_options *o = vm__options_new();
    *s = (struct vm_drive_spec) { .rest = vm__options_new() };
    int st = o != NULL && s->rest != NULL ? vm__options_parse(o, text, "file") : VM_E_NOMEM;
    if (st == VM_OK)
        st = parse(s, o);
    vm__options_free(o);
    return st;
}

void vm__drive_spec_free(struct vm_drive_spec *s)
{
    free(s->file);
    free(s->format);
    free(s->id);
    free(s->serial);
    vm__options_free(s->rest);
}
