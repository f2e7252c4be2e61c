/* SPDX-License-Identifier: MIT */
/**
 * @file options.c
 * The command line: QEMU's spellings, one row an option.
 *
 * A row either names the configuration key that takes the value as it is, or a function. Values are
 * checked by the library; its sentence is printed after the option's name.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmrun.h"

struct parse {
    vm_ctx *ctx;
    vm_config *cfg;
    struct options *o;
    bool done; /**< an option that prints and ends, with status 0 */
};

struct option {
    const char *name;
    const char *argument; /**< as help shows it; NULL: takes none */
    const char *key;      /**< configuration key; NULL: ask fn */
    bool (*fn)(struct parse *p, const char *value);
    const char *help;
};

static bool set(struct parse *p, const char *option, const char *key, const char *value)
{
    return vm_config_set_str(p->cfg, key, value) == VM_OK || say_last(option);
}

/**
 * The next "name=value" of a comma list; ",," stands for a comma. A first item without '=' has an
 * empty name. False at the end. @p item is cut up.
 */
static bool next_item(char **list, char **name, char **value)
{
    char *in = *list, *out = *list;
    if (in == NULL || *in == '\0')
        return false;
    *name = in;
    while (*in != '\0' && (*in != ',' || in[1] == ',')) {
        in += *in == ',';
        *out++ = *in++;
    }
    *list = *in == ',' ? in + 1 : NULL;
    *out = '\0';
    *value = strchr(*name, '=');
    if (*value != NULL) {
        *(*value)++ = '\0';
    } else {
        static char none[] = "";
        *value = *name;
        *name = none;
    }
    return true;
}

/** -m [size=]N[,slots=…]: a bare number is megabytes. */
static bool opt_memory(struct parse *p, const char *arg)
{
    char *copy = strdup(arg), *list = copy, *name, *value;
    bool ok = copy != NULL;
    if (*arg == '\0') {
        say("-m: a size is expected");
        ok = false;
    }
    while (ok && next_item(&list, &name, &value)) {
        char text[64];
        size_t n = strlen(value);
        if (strcmp(name, "slots") == 0 || strcmp(name, "maxmem") == 0)
            continue; /* there is no memory to plug in later */
        if (*name != '\0' && strcmp(name, "size") != 0) {
            say("-m %s: %s is not known; there is size", arg, name);
            ok = false;
            break;
        }
        bool bare = n > 0 && strspn(value, "0123456789") == n;
        if (n + 2 > sizeof text) {
            say("-m %s: not a size", arg);
            ok = false;
            break;
        }
        (void)snprintf(text, sizeof text, "%s%s", value, bare ? "M" : "");
        ok = set(p, "-m", "memory.size", text);
    }
    free(copy);
    return ok;
}

/** -smp [cpus=]N[,sockets=S][,cores=C][,threads=T][,maxcpus=M] */
static bool opt_smp(struct parse *p, const char *arg)
{
    static const char *const names[] = { "cpus", "sockets", "dies", "cores", "threads", "maxcpus" };
    char *copy = strdup(arg), *list = copy, *name, *value;
    unsigned long n[6] = { 0 };
    bool ok = copy != NULL;
    while (ok && next_item(&list, &name, &value)) {
        size_t i = 0;
        while (i < 6 && strcmp(*name == '\0' ? "cpus" : name, names[i]) != 0)
            i++;
        char *end;
        unsigned long v = strtoul(value, &end, 10);
        if (i == 6) {
            say("-smp %s: %s is not known; there are cpus, sockets, cores, threads", arg, name);
            ok = false;
        } else if (*end != '\0' || *value < '0' || *value > '9' || v == 0 || v > 1024) {
            say("-smp %s: %s is not a number from 1 to 1024", arg, value);
            ok = false;
        } else {
            n[i] = v;
        }
    }
    free(copy);
    unsigned long product = 1;
    for (size_t i = 1; i < 5; i++)
        product *= n[i] != 0 ? n[i] : 1;
    if (ok && n[0] == 0)
        n[0] = product;
    if (ok && product > 1 && n[0] > product) {
        say("-smp %s: sockets, cores and threads make %lu processors, not %lu", arg, product, n[0]);
        ok = false;
    }
    char text[32];
    (void)snprintf(text, sizeof text, "%lu", n[0]);
    return ok && set(p, "-smp", "cpu.count", text);
}

/** -accel NAME[,…]: several in order of preference, as "kvm:jit:interp" or by repetition. */
static bool opt_accel(struct parse *p, const char *arg)
{
    char text[128];
    size_t n = strcspn(arg, ",");
    if (n >= sizeof text) {
        say("-accel %s: not known", arg);
        return false;
    }
    memcpy(text, arg, n);
    text[n] = '\0';
    for (char *c = text; *c != '\0'; c++)
        *c = *c == ':' ? ',' : *c;
    /* QEMU's name for "no hardware": whatever software engine is best. */
    return set(p, "-accel", "engine", strcmp(text, "tcg") == 0 ? "auto" : text);
}

static bool opt_machine(struct parse *p, const char *arg)
{
    char *copy = strdup(arg), *list = copy, *name, *value;
    bool ok = copy != NULL;
    while (ok && next_item(&list, &name, &value)) {
        if (*name == '\0' || strcmp(name, "type") == 0) {
            ok = strcmp(value, "pc") == 0 || strncmp(value, "pc-i440fx", 9) == 0;
            if (!ok)
                say("-machine %s: no such board; there is pc", value);
        } else if (strcmp(name, "accel") == 0) {
            ok = opt_accel(p, value);
        } else if (strcmp(name, "usb") != 0 && strcmp(name, "vmport") != 0) {
            say("-machine %s: %s is not known; there are type and accel", arg, name);
            ok = false;
        }
    }
    free(copy);
    return ok;
}

/** Note the host's end of a channel. */
static bool add_end(struct parse *p, const char *option, const char *spec, const char *id)
{
    struct options *o = p->o;
    for (unsigned i = 0; i < o->n_ends; i++) {
        if (serial_is_terminal(spec) && serial_is_terminal(o->ends[i].spec)) {
            say("%s %s: the terminal belongs to %s already", option, spec, o->ends[i].id);
            return false;
        }
    }
    if (o->n_ends == MAX_ENDS || strlen(id) >= ID_BYTES) {
        say("%s %s: too many, or the id is too long", option, spec);
        return false;
    }
    struct end *e = &o->ends[o->n_ends];
    e->spec = strdup(spec);
    (void)snprintf(e->id, sizeof e->id, "%s", id);
    o->n_ends += e->spec != NULL;
    return e->spec != NULL;
}

static bool opt_serial(struct parse *p, const char *arg)
{
    char id[ID_BYTES];
    unsigned n = p->o->n_serial++;
    if (n >= MAX_SERIAL) {
        say("-serial %s: a PC has %d serial ports", arg, MAX_SERIAL);
        return false;
    }
    if (serial_is_none(arg))
        return true;
    p->o->serial[n] = true;
    (void)snprintf(id, sizeof id, "serial%u", n);
    return add_end(p, "-serial", arg, id);
}

static bool add_device(struct parse *p, const char *option, const char *spec)
{
    char key[32];
    (void)snprintf(key, sizeof key, "device.%u", p->o->n_devices++);
    return set(p, option, key, spec);
}

/** -debugcon DEV: a debug port at 0xE9. */
static bool opt_debugcon(struct parse *p, const char *arg)
{
    return add_end(p, "-debugcon", arg, "debugcon") &&
           add_device(p, "-debugcon", "debugcon,chardev=debugcon");
}

/** -chardev KIND,id=ID[,path=PATH]: the host's end for a device's chardev property. */
static bool opt_chardev(struct parse *p, const char *arg)
{
    char *copy = strdup(arg), *list = copy, *name, *value, spec[4200];
    const char *kind = "", *id = "", *path = "";
    while (copy != NULL && next_item(&list, &name, &value)) {
        if (*name == '\0')
            kind = value;
        else if (strcmp(name, "id") == 0)
            id = value;
        else if (strcmp(name, "path") == 0)
            path = value;
    }
    bool ok = false;
    if (*id == '\0')
        say("-chardev %s: id= is missing", arg);
    else if (snprintf(spec, sizeof spec, "%s%s%s", kind, *path != '\0' ? ":" : "", path) <
             (int)sizeof spec)
        ok = add_end(p, "-chardev", spec, id);
    free(copy);
    return ok;
}

static int print_row(void *ud, const char *name, const char *summary)
{
    (void)ud;
    printf("  %-20s %s\n", name, summary);
    return 0;
}

static bool opt_device(struct parse *p, const char *arg)
{
    char class_name[64];
    size_t n = strcspn(arg, ",");
    if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
        p->done = true;
        return vm_list(p->ctx, VM_LIST_DEVICES, print_row, NULL) == VM_OK || say_last("-device");
    }
    if (strcmp(arg + n, ",help") == 0 && n < sizeof class_name) {
        (void)snprintf(class_name, sizeof class_name, "%.*s", (int)n, arg);
        p->done = true;
        return vm_list_props(p->ctx, class_name, print_row, NULL) == VM_OK || say_last("-device");
    }
    if (strncmp(arg, "isa-debugcon", 12) == 0)
        arg += 4; /* one of the few classes whose name differs here */
    return add_device(p, "-device", arg);
}

/** -cpu MODEL[,+feature][,-feature][,feature=on|off] */
static bool opt_cpu(struct parse *p, const char *arg)
{
    char features[512] = "";
    if (strcmp(arg, "help") == 0) {
        p->done = true;
        return vm_list(p->ctx, VM_LIST_CPUS, print_row, NULL) == VM_OK || say_last("-cpu");
    }
    char *copy = strdup(arg), *list = copy, *name, *value;
    bool ok = copy != NULL && next_item(&list, &name, &value) && set(p, "-cpu", "cpu.model", value);
    while (ok && next_item(&list, &name, &value)) {
        bool off = strcmp(value, "off") == 0;
        size_t n = strlen(features);
        if (*name != '\0' && !off && strcmp(value, "on") != 0) {
            say("-cpu %s: %s is on or off, not %s", arg, name, value);
            ok = false;
        } else {
            (void)snprintf(features + n, sizeof features - n, "%s%s%s", n != 0 ? "," : "",
                           *name == '\0' ? ""
                           : off         ? "-"
                                         : "+",
                           *name == '\0' ? value : name);
        }
    }
    free(copy);
    return ok && (features[0] == '\0' || set(p, "-cpu", "cpu.features", features));
}

/** 2^N nanoseconds an instruction. */
static bool set_shift(struct parse *p, const char *value)
{
    char *end;
    unsigned long shift = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || shift > 9) {
        say("-icount shift=%s: a number from 0 to 9 is expected", value);
        return false;
    }
    return vm_config_set_u64(p->cfg, "clock.ns_per_insn", UINT64_C(1) << shift) == VM_OK ||
           say_last("-icount");
}

/** -icount auto|N|[shift=]N[,align=…][,sleep=…] */
static bool opt_icount(struct parse *p, const char *arg)
{
    char *copy = strdup(arg), *list = copy, *name, *value;
    bool ok = copy != NULL && set(p, "-icount", "clock.mode", "icount");
    while (ok && next_item(&list, &name, &value)) {
        if (strcmp(name, "align") == 0 || strcmp(name, "sleep") == 0)
            continue; /* hints about the host's time, which icount does not follow here */
        if (*name != '\0' && strcmp(name, "shift") != 0) {
            say("-icount %s: %s is not known; there is shift", arg, name);
            ok = false;
        } else if (strcmp(value, "auto") != 0) {
            ok = set_shift(p, value);
        }
    }
    free(copy);
    return ok;
}

/** "2006-06-17" or "2006-06-17T16:01:21", UTC, as seconds since 1970; anything else as it is. */
static bool set_rtc(struct parse *p, const char *value)
{
    struct tm t = { 0 };
    const char *end = strptime(value, "%Y-%m-%d", &t);
    if (end != NULL && *end == 'T')
        end = strptime(end + 1, "%H:%M:%S", &t);
    if (end == NULL || *end != '\0')
        return set(p, "-rtc", "rtc.base", value);
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)timegm(&t));
    return set(p, "-rtc", "rtc.base", text);
}

/** -rtc [base=]utc|localtime|DATE[,clock=…][,driftfix=…] */
static bool opt_rtc(struct parse *p, const char *arg)
{
    char *copy = strdup(arg), *list = copy, *name, *value;
    bool ok = copy != NULL;
    while (ok && next_item(&list, &name, &value)) {
        if (strcmp(name, "base") == 0) {
            ok = set_rtc(p, value);
        } else if (strcmp(name, "clock") != 0 && strcmp(name, "driftfix") != 0) {
            say("-rtc %s: %s is not known; there is base", arg, *name != '\0' ? name : value);
            ok = false;
        }
    }
    free(copy);
    return ok;
}

/** -name [guest=]NAME[,process=…] */
static bool opt_name(struct parse *p, const char *arg)
{
    char *copy = strdup(arg), *list = copy, *name, *value;
    bool ok = copy != NULL;
    while (ok && next_item(&list, &name, &value))
        if (*name == '\0' || strcmp(name, "guest") == 0)
            ok = set(p, "-name", "name", value);
    free(copy);
    return ok;
}

static bool opt_trace(struct parse *p, const char *arg)
{
    if (strcmp(arg, "help") == 0)
        p->done = true;
    return trace_mask(arg, &p->o->trace);
}

static bool opt_trace_file(struct parse *p, const char *arg)
{
    p->o->trace_file = arg;
    return true;
}

static bool opt_no_reboot(struct parse *p, const char *arg)
{
    (void)arg;
    return set(p, "-no-reboot", "reset.action", "stop");
}

static bool opt_paused(struct parse *p, const char *arg)
{
    (void)arg;
    p->o->paused = true;
    return true;
}

/** -display and its kin: this program has no window yet, so only "none" can be had. */
static bool opt_only_none(struct parse *p, const char *arg)
{
    (void)p;
    if (strcmp(arg, "none") == 0 || strcmp(arg, "null") == 0 || strcmp(arg, "user") == 0)
        return true;
    say("%s: not there yet; only none can be had for this option", arg);
    return false;
}

static bool opt_nothing(struct parse *p, const char *arg)
{
    (void)p;
    (void)arg;
    return true;
}

/** -set KEY=VALUE: any configuration key. */
static bool opt_set(struct parse *p, const char *arg)
{
    char *copy = strdup(arg);
    char *value = copy != NULL ? strchr(copy, '=') : NULL;
    bool ok = false;
    if (value == NULL) {
        say("-set %s: KEY=VALUE is expected", arg);
    } else {
        *value++ = '\0';
        ok = set(p, "-set", copy, value);
    }
    free(copy);
    return ok;
}

static bool opt_version(struct parse *p, const char *arg)
{
    (void)arg;
    uint32_t v = vm_version();
    printf("vmrun (libvm %u.%u)\n", v >> 16, v & 0xffff);
    p->done = true;
    return true;
}

static bool opt_help(struct parse *p, const char *arg);

static const struct option table[] = {
    { "-m", "SIZE", NULL, opt_memory, "memory: 512M, 4G; a bare number is MiB" },
    { "-smp", "N", NULL, opt_smp, "processors; cores=, threads= and sockets= are understood" },
    { "-cpu", "MODEL", NULL, opt_cpu, "processor model; help lists them" },
    { "-accel", "NAME", NULL, opt_accel, "engine: auto, kvm, jit, interp" },
    { "-machine", "NAME", NULL, opt_machine, "board: pc; accel= is understood" },
    { "-M", "NAME", NULL, opt_machine, NULL },
    { "-kernel", "FILE", "boot.kernel", NULL, "bzImage, Multiboot or PVH kernel to start" },
    { "-initrd", "FILE", "boot.initrd", NULL, "initial RAM disk, or a list of Multiboot modules" },
    { "-append", "TEXT", "boot.cmdline", NULL, "kernel command line" },
    { "-serial", "DEV", NULL, opt_serial,
      "serial port: stdio, mon:stdio, null, none, pty, file:PATH" },
    { "-chardev", "KIND,id=ID", NULL, opt_chardev, "host's end for a device's chardev property" },
    { "-debugcon", "DEV", NULL, opt_debugcon, "debug port 0xE9, to what -serial knows" },
    { "-nographic", NULL, NULL, opt_nothing, "no window; the first serial port is the terminal" },
    { "-no-reboot", NULL, NULL, opt_no_reboot, "end instead of rebooting" },
    { "-device", "NAME[,PROP=V]", NULL, opt_device,
      "add a device; help lists, NAME,help explains" },
    { "-icount", "shift=N", NULL, opt_icount, "deterministic time: 2^N ns an instruction" },
    { "-rtc", "base=WHEN", NULL, opt_rtc, "clock: utc, localtime, 2006-06-17T16:01:21" },
    { "-name", "NAME", NULL, opt_name, "the machine's name" },
    { "-d", "ITEMS", NULL, opt_trace, "trace to stderr; help lists the items" },
    { "-D", "FILE", NULL, opt_trace_file, "trace to a file instead" },
    { "-S", NULL, NULL, opt_paused, "do not start until SIGCONT" },
    { "-set", "KEY=VALUE", NULL, opt_set, "set any configuration key of the library" },
    { "-display", "none", NULL, opt_only_none, NULL },
    { "-vga", "none", NULL, opt_only_none, NULL },
    { "-vnc", "none", NULL, opt_only_none, NULL },
    { "-monitor", "none", NULL, opt_only_none, NULL },
    { "-parallel", "none", NULL, opt_only_none, NULL },
    { "-net", "none", NULL, opt_only_none, NULL },
    { "-nic", "none", NULL, opt_only_none, NULL },
    { "-nodefaults", NULL, NULL, opt_nothing, NULL },
    { "-no-user-config", NULL, NULL, opt_nothing, NULL },
    { "-version", NULL, NULL, opt_version, "print the version" },
    { "-h", NULL, NULL, opt_help, "print this" },
    { "-help", NULL, NULL, opt_help, NULL },
    { "-V", NULL, NULL, opt_version, NULL },
};

enum { N_OPTIONS = sizeof table / sizeof table[0] };

static bool opt_help(struct parse *p, const char *arg)
{
    (void)arg;
    puts("usage: vmrun [options]\n"
         "Run a PC on this terminal. Ctrl-A x ends it, Ctrl-A h lists more keys.\n");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        char left[64];
        if (table[i].help == NULL)
            continue;
        (void)snprintf(left, sizeof left, "%s %s", table[i].name,
                       table[i].argument != NULL ? table[i].argument : "");
        printf("  %-22s %s\n", left, table[i].help);
    }
    p->done = true;
    return true;
}

static bool unknown_option(const char *arg)
{
    const char *names[N_OPTIONS];
    for (size_t i = 0; i < N_OPTIONS; i++)
        names[i] = table[i].name;
    const char *near = nearest(arg, names, N_OPTIONS);
    if (arg[0] != '-')
        say("%s: disk images cannot be started yet; -kernel starts a kernel", arg);
    else if (near != NULL)
        say("%s: no such option; did you mean %s?", arg, near);
    else
        say("%s: no such option; -h lists them", arg);
    return false;
}

/** One option at argv[*i]. */
static bool one(struct parse *p, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    if (arg[0] == '-' && arg[1] == '-' && arg[2] != '\0')
        arg++; /* two dashes are as good as one */
    for (size_t k = 0; k < N_OPTIONS; k++) {
        const struct option *o = &table[k];
        if (strcmp(arg, o->name) != 0)
            continue;
        const char *value = NULL;
        if (o->argument != NULL) {
            if (*i + 1 >= argc) {
                say("%s: %s is missing", arg, o->argument);
                return false;
            }
            value = argv[++*i];
        }
        return o->key != NULL ? set(p, o->name, o->key, value) : o->fn(p, value);
    }
    return unknown_option(argv[*i]);
}

/** Without -serial the first port is the terminal; the rest of the ports are not there. */
static bool set_ports(struct parse *p)
{
    struct options *o = p->o;
    if (o->n_serial == 0 && !opt_serial(p, "mon:stdio"))
        return false;
    for (unsigned i = 0; i < MAX_SERIAL; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "serial%u", i);
        if (!set(p, "-serial", key, o->serial[i] ? "on" : "off"))
            return false;
    }
    return true;
}

void options_free(struct options *o)
{
    for (unsigned i = 0; i < o->n_ends; i++)
        free(o->ends[i].spec);
    o->n_ends = 0;
}

bool options_parse(int argc, char **argv, vm_ctx *ctx, vm_config *cfg, struct options *o,
                   int *status)
{
    struct parse p = { .ctx = ctx, .cfg = cfg, .o = o };
    *status = 1;
    for (int i = 1; i < argc; i++) {
        if (!one(&p, argc, argv, &i))
            return false;
        if (p.done) {
            *status = 0;
            return false;
        }
    }
    return set_ports(&p);
}
