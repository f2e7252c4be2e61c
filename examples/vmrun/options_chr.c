/* SPDX-License-Identifier: MIT */
/**
 * @file options_chr.c
 * Options for character backends: serial and parallel ports, monitor, debug ports.
 */
#include <stdlib.h>
#include <string.h>

#include "opts.h"
#include "vmrun.h"

static struct chr_wish *find_chr(struct options *o, const char *id)
{
    for (unsigned i = 0; i < o->n_chrs; i++)
        if (strcmp(o->chrs[i].id, id) == 0)
            return &o->chrs[i];
    return NULL;
}

/** A backend from a list ("socket,path=…") under an id. */
static bool add_spec(struct parse *p, const char *option, const char *spec, const char *id)
{
    struct options *o = p->o;
    if (!chr_spec_check(option, spec))
        return false;
    for (unsigned i = 0; i < o->n_chrs; i++) {
        if (chr_spec_is_terminal(spec) && chr_spec_is_terminal(o->chrs[i].spec)) {
            say("%s %s: the terminal belongs to %s already", option, spec, o->chrs[i].id);
            return false;
        }
    }
    if (find_chr(o, id) != NULL) {
        say("%s %s: there is a %s already", option, spec, id);
        return false;
    }
    if (o->n_chrs == MAX_CHRS || strlen(id) >= CHR_ID_BYTES) {
        say("%s %s: too many, or the id is too long", option, spec);
        return false;
    }
    struct chr_wish *c = &o->chrs[o->n_chrs];
    c->option = strdup(option);
    c->spec = strdup(spec);
    (void)snprintf(c->id, sizeof c->id, "%s", id);
    o->n_chrs++;
    return c->option != NULL && c->spec != NULL;
}

bool add_chr(struct parse *p, const char *option, const char *text, const char *id)
{
    char spec[8192];
    return chr_spec(option, text, spec, sizeof spec) && add_spec(p, option, spec, id);
}

bool add_wire(struct parse *p, const char *option, int kind, const char *channel, const char *chr)
{
    struct options *o = p->o;
    if (o->n_wires == MAX_WIRES) {
        say("%s: more than %d uses of backends", option, MAX_WIRES);
        return false;
    }
    struct wire *w = &o->wires[o->n_wires++];
    w->kind = kind;
    (void)snprintf(w->channel, sizeof w->channel, "%s", channel);
    (void)snprintf(w->chr, sizeof w->chr, "%s", chr);
    return true;
}

/** A backend in its short form, or "chardev:ID", for a use; "mon:…" lets the monitor share it. */
static bool use(struct parse *p, const char *option, const char *arg, int kind, const char *channel)
{
    if (strncmp(arg, "chardev:", 8) == 0)
        return add_wire(p, option, kind, channel, arg + 8);
    if (!add_chr(p, option, arg, channel) || !add_wire(p, option, kind, channel, channel))
        return false;
    return strncmp(arg, "mon:", 4) != 0 || kind == WIRE_MONITOR ||
           (p->o->n_monitor++, add_wire(p, option, WIRE_MONITOR, "monitor", channel));
}

static bool opt_serial(struct parse *p, const char *arg)
{
    char id[16];
    const unsigned n = p->o->n_serial++;
    if (n >= MAX_SERIAL) {
        say("-serial %s: a PC has %d serial ports", arg, MAX_SERIAL);
        return false;
    }
    if (strcmp(arg, "none") == 0)
        return true;
    p->o->serial[n] = true;
    (void)snprintf(id, sizeof id, "serial%u", n);
    return use(p, "-serial", arg, WIRE_GUEST, id);
}

static bool opt_parallel(struct parse *p, const char *arg)
{
    char id[16];
    const unsigned n = p->o->n_parallel++;
    if (n >= MAX_PARALLEL) {
        say("-parallel %s: a PC has %d parallel ports", arg, MAX_PARALLEL);
        return false;
    }
    if (strcmp(arg, "none") == 0)
        return true;
    p->o->parallel[n] = true;
    (void)snprintf(id, sizeof id, "parallel%u", n);
    return use(p, "-parallel", arg, WIRE_GUEST, id);
}

/** -debugcon DEV: a debug port at 0xE9. */
static bool opt_debugcon(struct parse *p, const char *arg)
{
    if (p->o->n_debugcon++ != 0) {
        say("-debugcon %s: there is one debug port", arg);
        return false;
    }
    return use(p, "-debugcon", arg, WIRE_GUEST, "debugcon") &&
           add_device(p, "-debugcon", "debugcon,chardev=debugcon");
}

static bool opt_monitor(struct parse *p, const char *arg)
{
    char id[24];
    const unsigned n = p->o->n_monitor++;
    if (strcmp(arg, "none") == 0)
        return true;
    (void)snprintf(id, sizeof id, n == 0 ? "compat_monitor%u" : "monitor%u", n);
    return use(p, "-monitor", arg, WIRE_MONITOR, id);
}

/** -mon [chardev=]ID[,mode=readline] */
static bool opt_mon(struct parse *p, const char *arg)
{
    static const char *const names[] = { "chardev", "mode", "pretty", NULL };
    static const char *const modes[] = { "readline", NULL };
    struct opts o;
    unsigned mode = 0;
    if (!opts_parse(&o, "-mon", arg, "chardev", names))
        return false;
    const char *chr = opts_get(&o, "chardev");
    bool ok = opts_choice(&o, "mode", modes, &mode);
    if (ok && chr == NULL) {
        say("-mon %s: chardev= is missing", arg);
        ok = false;
    }
    p->o->n_monitor++;
    ok = ok && add_wire(p, "-mon", WIRE_MONITOR, "monitor", chr);
    opts_free(&o);
    return ok;
}

static void list_kinds(void)
{
    for (const struct chr_kind *const *k = chr_kinds; *k != NULL; k++)
        (void)print_row(NULL, (*k)->name, (*k)->help);
}

/** -chardev KIND,id=ID[,…]: a backend, for a device's chardev property or "chardev:ID". */
static bool opt_chardev(struct parse *p, const char *arg)
{
    if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
        list_kinds();
        p->done = true;
        return true;
    }
    const char *at = strstr(arg, ",id=");
    char id[CHR_ID_BYTES] = "";
    if (at != NULL)
        (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(at + 4, ","), at + 4);
    if (id[0] == '\0') {
        say("-chardev %s: id= is missing", arg);
        return false;
    }
    return add_spec(p, "-chardev", arg, id) && add_wire(p, "-chardev", WIRE_GUEST, id, id);
}

/** Without -serial the first port is the terminal, with the monitor behind Ctrl-A c. */
static bool default_serial(struct parse *p)
{
    struct options *o = p->o;
    bool taken = false;
    for (unsigned i = 0; i < o->n_chrs; i++)
        taken |= chr_spec_is_terminal(o->chrs[i].spec);
    if (o->n_serial != 0 || o->nodefaults)
        return true;
    if (taken || (o->display != NULL && strncmp(o->display, "curses", 6) == 0))
        return opt_serial(p, "null");
    return opt_serial(p, o->n_monitor != 0 ? "stdio" : "mon:stdio");
}

bool chr_defaults(struct parse *p)
{
    struct options *o = p->o;
    char key[32];
    if (!default_serial(p))
        return false;
    for (unsigned i = 0; i < MAX_SERIAL; i++) {
        (void)snprintf(key, sizeof key, "serial%u", i);
        if (!set_key(p, "-serial", key, o->serial[i] ? "on" : "off"))
            return false;
    }
    for (unsigned i = 0; i < MAX_PARALLEL; i++) {
        (void)snprintf(key, sizeof key, "parallel%u", i);
        if (o->parallel[i] && !set_key(p, "-parallel", key, "on"))
            return false;
    }
    for (unsigned i = 0; i < o->n_wires; i++) {
        if (find_chr(o, o->wires[i].chr) == NULL) {
            say("%s: there is no -chardev with id=%s", o->wires[i].channel, o->wires[i].chr);
            return false;
        }
    }
    return true;
}

static const struct option rows[] = {
    { "-serial", "DEV", NULL, opt_serial,
      "serial port: stdio, mon:stdio, pty, file:PATH, unix:PATH, tcp:HOST:PORT, null, none" },
    { "-parallel", "DEV", NULL, opt_parallel, "parallel port, to what -serial knows" },
    { "-monitor", "DEV", NULL, opt_monitor, "the monitor, to what -serial knows" },
    { "-mon", "chardev=ID", NULL, opt_mon, "the monitor, to a -chardev" },
    { "-chardev", "KIND,id=ID,...", NULL, opt_chardev, "a backend to refer to; help lists them" },
    { "-debugcon", "DEV", NULL, opt_debugcon, "debug port 0xE9, to what -serial knows" },
    { 0 },
};

const struct option_group options_chr = { "Ports and monitor", rows };
