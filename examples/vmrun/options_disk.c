/* SPDX-License-Identifier: MIT */
/**
 * @file options_disk.c
 * Options for what is booted and from where: disks, CD-ROMs, floppies, order, firmware.
 *
 * Every drive becomes a key "drive.N" of the configuration, which the library opens; units are
 * given out here, where the option that asked for one is still known.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opts.h"
#include "vmrun.h"

static const char *const interfaces[] = { "none", "ide", "floppy", "virtio", "scsi", "sd", NULL };
enum { IF_NONE, IF_IDE, IF_FLOPPY, IF_VIRTIO, IF_SCSI, IF_SD };

/** How many units an interface has, and how many a bus of it. */
static const struct {
    int units, per_bus;
} places[] = {
    [IF_NONE] = { 0, 1 },    [IF_IDE] = { 4, 2 },  [IF_FLOPPY] = { 2, 2 },
    [IF_VIRTIO] = { 32, 1 }, [IF_SCSI] = { 7, 7 }, [IF_SD] = { 1, 1 },
};

static const char *const drive_names[] = {
    "file",     "if",      "index",    "bus",           "unit",         "media",  "format",
    "snapshot", "cache",   "readonly", "read-only",     "id",           "werror", "rerror",
    "serial",   "discard", "aio",      "detect-zeroes", "copy-on-read", "size",   NULL,
};

/** A file that cannot be a medium is found here, before anything is built. A name with a protocol
 *  ("nbd://…", "json:…") is the library's affair. */
static bool check_file(const char *option, const char *file, bool readonly)
{
    struct stat st;
    if (strstr(file, "://") != NULL || strncmp(file, "json:", 5) == 0 || strchr(file, ':') != NULL)
        return true;
    if (stat(file, &st) != 0) {
        say("%s %s: %s", option, file, strerror(errno));
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        say("%s %s: a folder is not a disk image", option, file);
        return false;
    }
    if (access(file, readonly ? R_OK : R_OK | W_OK) != 0) {
        say("%s %s: %s%s", option, file, strerror(errno),
            access(file, R_OK) == 0 ? "; readonly=on or snapshot=on would do without writing" : "");
        return false;
    }
    return true;
}

/** What the drive's settings say of its place. @return unit, -1: any, -2 after a line */
static int place_of(const struct opts *o, unsigned interface)
{
    uint64_t index = UINT64_MAX, bus = UINT64_MAX, unit = UINT64_MAX;
    if (!opts_number(o, "index", 0, 255, &index) || !opts_number(o, "bus", 0, 255, &bus) ||
        !opts_number(o, "unit", 0, 255, &unit))
        return -2;
    if (index != UINT64_MAX && (bus != UINT64_MAX || unit != UINT64_MAX)) {
        say("%s %s: either index= or bus= and unit=", o->option, o->text);
        return -2;
    }
    if (bus != UINT64_MAX || unit != UINT64_MAX)
        index = (bus != UINT64_MAX ? bus : 0) * (uint64_t)places[interface].per_bus +
                (unit != UINT64_MAX ? unit : 0);
    if (index == UINT64_MAX)
        return -1;
    if (interface != IF_NONE && index >= (uint64_t)places[interface].units) {
        say("%s %s: there is no such place; %s has %d", o->option, o->text, interfaces[interface],
            places[interface].units);
        return -2;
    }
    return (int)index;
}

/** The text of "drive.N" but for its unit. */
static bool rewrite(const struct opts *o, const struct parse *p, char *text, size_t size)
{
    bool ok = true;
    text[0] = '\0';
    for (unsigned i = 0; ok && i < o->n; i++) {
        const char *name = o->item[i].name;
        if (strcmp(name, "index") == 0 || strcmp(name, "bus") == 0 || strcmp(name, "unit") == 0 ||
            strcmp(name, "aio") == 0 || strcmp(name, "copy-on-read") == 0)
            continue;
        ok = opts_append(text, size, strcmp(name, "read-only") == 0 ? "readonly" : name,
                         o->item[i].value);
    }
    if (opts_get(o, "if") == NULL)
        ok = ok && opts_append(text, size, "if", "ide");
    (void)p;
    if (!ok)
        say("%s: too long", o->option);
    return ok;
}

static bool add(struct parse *p, const struct opts *o)
{
    static const char *const media[] = { "disk", "cdrom", NULL };
    unsigned interface = IF_IDE, medium = 0;
    bool readonly = false, snapshot = p->o->snapshot;
    char text[8192];
    if (!opts_choice(o, "if", interfaces, &interface) || !opts_choice(o, "media", media, &medium) ||
        !opts_bool(o, "readonly", &readonly) || !opts_bool(o, "read-only", &readonly) ||
        !opts_bool(o, "snapshot", &snapshot))
        return false;
    const int unit = place_of(o, interface);
    const char *file = opts_get(o, "file");
    if (unit < -1)
        return false;
    if (file == NULL && medium == 0 && interface != IF_FLOPPY) {
        say("%s %s: file= is missing", o->option, o->text);
        return false;
    }
    if (file != NULL && *file != '\0' &&
        !check_file(o->option, file, readonly || snapshot || medium == 1))
        return false;
    if (p->o->n_drives == MAX_DRIVES) {
        say("%s %s: more than %d drives", o->option, o->text, MAX_DRIVES);
        return false;
    }
    struct drive_wish *d = &p->o->drives[p->o->n_drives];
    if (!rewrite(o, p, text, sizeof text) || (d->text = strdup(text)) == NULL)
        return false;
    d->interface = (int)interface;
    d->unit = unit;
    d->snapshot_said = opts_get(o, "snapshot") != NULL;
    d->cdrom = medium == 1;
    (void)snprintf(d->what, sizeof d->what, "%s %.36s", o->option, o->text);
    p->o->n_drives++;
    return true;
}

bool add_drive(struct parse *p, const char *option, const char *text)
{
    struct opts o;
    if (!opts_parse(&o, option, text, NULL, drive_names))
        return false;
    const bool ok = add(p, &o);
    opts_free(&o);
    return ok;
}

static bool opt_drive(struct parse *p, const char *arg)
{
    return add_drive(p, "-drive", arg);
}

/** -hda FILE and the like. */
static bool add_file(struct parse *p, const char *option, const char *file, const char *rest)
{
    char text[8192] = "";
    if (*file == '\0') {
        say("%s: FILE is missing", option);
        return false;
    }
    if (!opts_append(text, sizeof text, "file", file) ||
        strlen(text) + strlen(rest) >= sizeof text) {
        say("%s: too long", option);
        return false;
    }
    (void)strcat(text, rest);
    return add_drive(p, option, text);
}

static bool opt_hda(struct parse *p, const char *arg)
{
    return add_file(p, "-hda", arg, ",if=ide,index=0,media=disk");
}
static bool opt_hdb(struct parse *p, const char *arg)
{
    return add_file(p, "-hdb", arg, ",if=ide,index=1,media=disk");
}
static bool opt_hdc(struct parse *p, const char *arg)
{
    return add_file(p, "-hdc", arg, ",if=ide,index=2,media=disk");
}
static bool opt_hdd(struct parse *p, const char *arg)
{
    return add_file(p, "-hdd", arg, ",if=ide,index=3,media=disk");
}
static bool opt_cdrom(struct parse *p, const char *arg)
{
    return check_cdrom("-cdrom", arg) &&
           add_file(p, "-cdrom", arg, ",if=ide,index=2,media=cdrom,readonly=on");
}
static bool opt_fda(struct parse *p, const char *arg)
{
    return add_file(p, "-fda", arg, ",if=floppy,index=0");
}
static bool opt_fdb(struct parse *p, const char *arg)
{
    return add_file(p, "-fdb", arg, ",if=floppy,index=1");
}

static bool opt_snapshot(struct parse *p, const char *arg)
{
    (void)arg;
    p->o->snapshot = true;
    return true;
}

/* ---- places ---- */

static const struct drive_wish *holder(const struct options *o, const struct drive_wish *d,
                                       int unit)
{
    for (unsigned i = 0; i < o->n_drives; i++)
        if (&o->drives[i] != d && o->drives[i].interface == d->interface &&
            o->drives[i].unit == unit)
            return &o->drives[i];
    return NULL;
}

static bool give_unit(struct options *o, struct drive_wish *d)
{
    const int units = places[d->interface].units;
    if (d->interface == IF_NONE)
        return true;
    if (d->unit >= 0) {
        const struct drive_wish *other = holder(o, d, d->unit);
        if (other != NULL && other < d) {
            say("%s: %s unit %d is taken by %s", d->what, interfaces[d->interface], d->unit,
                other->what);
            return false;
        }
        return true;
    }
    /* A CD-ROM's customary place is the second channel's first unit. */
    if (d->cdrom && d->interface == IF_IDE && holder(o, d, 2) == NULL)
        d->unit = 2;
    for (int unit = 0; d->unit < 0 && unit < units; unit++)
        if (holder(o, d, unit) == NULL)
            d->unit = unit;
    if (d->unit < 0)
        say("%s: %s has no free place; there are %d", d->what, interfaces[d->interface], units);
    return d->unit >= 0;
}

/** A CD-ROM or floppy given as FILE is what to start from; beside a disk only this once, since that
 *  is how systems are installed. */
static bool boot_from_file(struct parse *p)
{
    const struct options *o = p->o;
    bool disk = false;
    for (unsigned i = 0; i < o->n_drives; i++)
        disk |= !o->drives[i].cdrom && o->drives[i].interface != IF_FLOPPY;
    if (o->has_boot || !(o->took_cd || o->took_floppy))
        return true;
    return set_key(p, "FILE", disk ? "boot.once" : "boot.order", o->took_cd ? "d" : "a");
}

bool drive_defaults(struct parse *p)
{
    struct options *o = p->o;
    for (unsigned i = 0; i < o->n_drives; i++)
        if (!give_unit(o, &o->drives[i]))
            return false;
    for (unsigned i = 0; i < o->n_drives; i++) {
        const struct drive_wish *d = &o->drives[i];
        char key[32], place[32] = "", text[8300];
        if (d->interface != IF_NONE)
            (void)snprintf(place, sizeof place, ",index=%d", d->unit);
        (void)snprintf(key, sizeof key, "drive.%u", i);
        (void)snprintf(text, sizeof text, "%s%s%s", d->text, place,
                       o->snapshot && !d->snapshot_said && !d->cdrom ? ",snapshot=on" : "");
        if (!set_key(p, d->what, key, text))
            return false;
    }
    return boot_from_file(p);
}

/* ---- boot ---- */

static bool check_order(const char *option, const char *order)
{
    for (const char *c = order; *c != '\0'; c++) {
        if (*c < 'a' || *c > 'p') {
            say("-boot %s: %s names drives by letters: a floppy, c disk, d CD-ROM, n network",
                option, order);
            return false;
        }
        if (strchr(c + 1, *c) != NULL) {
            say("-boot %s: %c is there twice", option, *c);
            return false;
        }
    }
    return true;
}

/** -boot [order=]ORDER[,once=ORDER][,menu=on|off][,splash-time=MS][,reboot-timeout=MS][,strict=…]
 */
static bool opt_boot(struct parse *p, const char *arg)
{
    static const char *const names[] = { "order",       "once",           "menu",   "splash",
                                         "splash-time", "reboot-timeout", "strict", NULL };
    struct opts o;
    bool menu = false, strict = false;
    uint64_t wait = UINT64_MAX, again = UINT64_MAX;
    if (!opts_parse(&o, "-boot", arg, "order", names))
        return false;
    const char *order = opts_get(&o, "order"), *once = opts_get(&o, "once");
    const char *timeout = opts_get(&o, "reboot-timeout");
    bool ok = opts_bool(&o, "menu", &menu) && opts_bool(&o, "strict", &strict) &&
              opts_number(&o, "splash-time", 0, 65535, &wait) &&
              (timeout == NULL || strcmp(timeout, "-1") == 0 ||
               opts_number(&o, "reboot-timeout", 0, 65535, &again));
    if (ok && opts_get(&o, "splash") != NULL)
        say("-boot: splash is ignored: this firmware shows no pictures");
    p->o->has_boot = true;
    ok = ok &&
         (order == NULL || (check_order(arg, order) && set_key(p, "-boot", "boot.order", order)));
    ok = ok && (once == NULL || (check_order(arg, once) && set_key(p, "-boot", "boot.once", once)));
    ok = ok && (!menu || set_key(p, "-boot", "boot.menu", "on"));
    if (ok && wait != UINT64_MAX)
        ok = vm_config_set_u64(p->cfg, "boot.menu_wait", wait) == VM_OK || say_last("-boot");
    if (ok && again != UINT64_MAX)
        ok = vm_config_set_u64(p->cfg, "boot.fail_wait", again) == VM_OK || say_last("-boot");
    opts_free(&o);
    return ok;
}

/** -L PATH: in front of the folders named before. */
static bool opt_path(struct parse *p, const char *arg)
{
    char old[4096] = "", text[8192];
    size_t len = sizeof old;
    if (strcmp(arg, "help") == 0) {
        if (vm_config_get(p->cfg, "firmware.path", old, &len) == VM_OK)
            puts(old);
        p->done = true;
        return true;
    }
    if (!p->o->has_path || vm_config_get(p->cfg, "firmware.path", old, &len) != VM_OK)
        old[0] = '\0';
    p->o->has_path = true;
    (void)snprintf(text, sizeof text, "%s%s%s", old, old[0] != '\0' ? ":" : "", arg);
    return set_key(p, "-L", "firmware.path", text);
}

static const struct option rows[] = {
    { "-hda", "FILE", NULL, opt_hda, "first hard disk; -hdb, -hdc and -hdd likewise" },
    { "-hdb", "FILE", NULL, opt_hdb, NULL },
    { "-hdc", "FILE", NULL, opt_hdc, NULL },
    { "-hdd", "FILE", NULL, opt_hdd, NULL },
    { "-cdrom", "FILE", NULL, opt_cdrom, "CD-ROM in the place of -hdc" },
    { "-fda", "FILE", NULL, opt_fda, "first floppy disk; -fdb likewise" },
    { "-fdb", "FILE", NULL, opt_fdb, NULL },
    { "-drive", "file=FILE,...", NULL, opt_drive,
      "if=ide|floppy|virtio|none, index=, media=disk|cdrom, format=, readonly=, snapshot=, id=" },
    { "-snapshot", NULL, NULL, opt_snapshot, "disks keep nothing, unless the monitor says commit" },
    { "-boot", "ORDER", NULL, opt_boot, "a floppy, c disk, d CD, n network; once=, menu=on" },
    { "-bios", "FILE", "firmware.bios", NULL, "firmware, by name or path" },
    { "-L", "FOLDER", NULL, opt_path, "where firmware is looked for first" },
    { 0 },
};

const struct option_group options_disk = { "Disks and start", rows };
