/* SPDX-License-Identifier: MIT */
/**
 * @file options_machine.c
 * Options for what the machine is: processors, memory, clock, devices, identity.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "opts.h"
#include "vmrun.h"

/** -m [size=]N[,slots=…]: a bare number is megabytes. */
static bool opt_memory(struct parse *p, const char *arg)
{
    static const char *const names[] = { "size", "slots", "maxmem", NULL };
    struct opts o;
    if (!opts_parse(&o, "-m", arg, "size", names))
        return false;
    const char *size = opts_get(&o, "size");
    char text[64];
    bool ok = false;
    const size_t n = size != NULL ? strlen(size) : 0;
    if (n == 0)
        say("-m %s: a size is expected", arg);
    else if (n + 2 > sizeof text)
        say("-m %s: not a size", arg);
    else {
        const bool bare = strspn(size, "0123456789") == n;
        (void)snprintf(text, sizeof text, "%s%s", size, bare ? "M" : "");
        ok = set_key(p, "-m", "memory.size", text);
    }
    opts_free(&o);
    return ok;
}

/** -smp [cpus=]N[,sockets=S][,cores=C][,threads=T][,maxcpus=M] */
static bool opt_smp(struct parse *p, const char *arg)
{
    static const char *const names[] = { "cpus",  "sockets", "dies",    "clusters",
                                         "cores", "threads", "maxcpus", NULL };
    struct opts o;
    uint64_t n[7] = { 0 }, product = 1;
    if (!opts_parse(&o, "-smp", arg, "cpus", names))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && names[i] != NULL; i++)
        ok = opts_number(&o, names[i], 1, 1024, &n[i]);
    opts_free(&o);
    for (size_t i = 1; i < 6; i++)
        product *= n[i] != 0 ? n[i] : 1;
    if (ok && n[0] == 0)
        n[0] = product;
    if (ok && product > 1 && n[0] > product) {
        say("-smp %s: sockets, cores and threads make %llu processors, not %llu", arg,
            (unsigned long long)product, (unsigned long long)n[0]);
        ok = false;
    }
    return ok && (vm_config_set_u64(p->cfg, "cpu.count", n[0]) == VM_OK || say_last("-smp"));
}

/* Engines in order of preference: appended to those of -accel so far. */
static bool add_engine(struct parse *p, const char *name, size_t len)
{
    char *list = p->o->engines;
    const size_t n = strlen(list), size = sizeof p->o->engines;

    /* QEMU's name for "no hardware": whatever software engines there are. */
    if (len == 3 && memcmp(name, "tcg", 3) == 0) {
        name = "auto";
        len = 4;
    }
    if (len + 2 > size - n) {
        say("-accel %.40s: too many engines", name);
        return false;
    }
    (void)snprintf(list + n, size - n, "%s%.*s", n != 0 ? "," : "", (int)len, name);
    return true;
}

/** -accel NAME[,NAME…][,option=…]: as "kvm,jit,interp", "kvm:jit:interp" or by repetition. */
static bool opt_accel(struct parse *p, const char *arg)
{
    static const char *const names[] = {
        "thread", "tb-size", "one-insn-per-tb", "kernel-irqchip", "perf-map", "lockstep", NULL
    };
    const char *at = arg;

    if (strcmp(arg, "help") == 0) {
        p->done = true;
        return vm_list(p->ctx, VM_LIST_ENGINES, print_row, NULL) == VM_OK || say_last("-accel");
    }
    for (size_t len; *at != '\0'; at += len + (at[len] != '\0')) {
        len = strcspn(at, ":,=");
        if (at[len] == '=')
            break;
        if (!add_engine(p, at, len))
            return false;
    }
    if (!set_key(p, "-accel", "engine", p->o->engines))
        return false;
    struct opts o;
    if (*at == '\0')
        return true;
    if (!opts_parse(&o, "-accel", at, NULL, names))
        return false;
    bool perf = false;
    const bool ok = opts_bool(&o, "perf-map", &perf) &&
                    opts_bool(&o, "lockstep", &p->o->lockstep) &&
                    (!perf || set_key(p, "-accel", "jit.perf_map", "on")) &&
                    (!p->o->lockstep || lockstep_keys(p));
    opts_free(&o);
    return ok;
}

static bool opt_enable_kvm(struct parse *p, const char *arg)
{
    (void)arg;
    return opt_accel(p, "kvm");
}

static bool opt_machine(struct parse *p, const char *arg)
{
    static const char *const names[] = { "type",
                                         "accel",
                                         "usb",
                                         "vmport",
                                         "hpet",
                                         "acpi",
                                         "smm",
                                         "graphics",
                                         "pcspk-audiodev",
                                         "kernel-irqchip",
                                         "dump-guest-core",
                                         NULL };
    struct opts o;
    if (strcmp(arg, "help") == 0) {
        p->done = true;
        return vm_list(p->ctx, VM_LIST_BOARDS, print_row, NULL) == VM_OK || say_last("-machine");
    }
    if (!opts_parse(&o, "-machine", arg, "type", names))
        return false;
    const char *type = opts_get(&o, "type"), *accel = opts_get(&o, "accel");
    bool hpet = true;
    bool ok = type == NULL || strcmp(type, "pc") == 0 || strncmp(type, "pc-i440fx", 9) == 0;
    if (!ok)
        say("-machine %s: no such board; there is pc", type);
    ok = ok && opts_bool(&o, "hpet", &hpet) && (accel == NULL || opt_accel(p, accel));
    ok = ok && (hpet || set_key(p, "-machine", "pc.hpet", "off"));
    opts_free(&o);
    return ok;
}

/** -cpu MODEL[,+feature][,-feature][,feature=on|off] */
static bool opt_cpu(struct parse *p, const char *arg)
{
    char features[512] = "";
    if (strcmp(arg, "help") == 0) {
        p->done = true;
        return vm_list(p->ctx, VM_LIST_CPUS, print_row, NULL) == VM_OK || say_last("-cpu");
    }
    char *copy = strdup(arg), *list = copy, *item = strsep(&list, ",");
    bool ok = copy != NULL && set_key(p, "-cpu", "cpu.model", item);
    while (ok && (item = strsep(&list, ",")) != NULL) {
        char *value = strchr(item, '=');
        const size_t n = strlen(features);
        if (value != NULL)
            *value++ = '\0';
        const bool off = value != NULL && strcmp(value, "off") == 0;
        if (value != NULL && !off && strcmp(value, "on") != 0) {
            say("-cpu %s: %s is on or off, not %s", arg, item, value);
            ok = false;
        } else {
            (void)snprintf(features + n, sizeof features - n, "%s%s%s", n != 0 ? "," : "",
                           value == NULL ? ""
                           : off         ? "-"
                                         : "+",
                           item);
        }
    }
    free(copy);
    return ok && (features[0] == '\0' || set_key(p, "-cpu", "cpu.features", features));
}

/** -icount auto|N|[shift=]N[,align=…][,sleep=…]: 2^N nanoseconds an instruction. */
static bool opt_icount(struct parse *p, const char *arg)
{
    static const char *const names[] = { "shift", "align", "sleep", NULL };
    struct opts o;
    uint64_t shift = 0;
    if (!opts_parse(&o, "-icount", arg, "shift", names))
        return false;
    const char *text = opts_get(&o, "shift");
    const bool given = text != NULL && strcmp(text, "auto") != 0;
    bool ok = !given || opts_number(&o, "shift", 0, 9, &shift);
    opts_free(&o);
    return ok && set_key(p, "-icount", "clock.mode", "icount") &&
           (!given ||
            vm_config_set_u64(p->cfg, "clock.ns_per_insn", UINT64_C(1) << shift) == VM_OK ||
            say_last("-icount"));
}

/** "2006-06-17" or "2006-06-17T16:01:21", UTC, as seconds since 1970; anything else as it is. */
static bool set_rtc(struct parse *p, const char *value)
{
    struct tm t = { 0 };
    const char *end = strptime(value, "%Y-%m-%d", &t);
    if (end != NULL && *end == 'T')
        end = strptime(end + 1, "%H:%M:%S", &t);
    if (end == NULL || *end != '\0')
        return set_key(p, "-rtc", "rtc.base", value);
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)timegm(&t));
    return set_key(p, "-rtc", "rtc.base", text);
}

/** -rtc [base=]utc|localtime|DATE[,clock=…][,driftfix=…] */
static bool opt_rtc(struct parse *p, const char *arg)
{
    static const char *const names[] = { "base", "clock", "driftfix", NULL };
    struct opts o;
    if (!opts_parse(&o, "-rtc", arg, "base", names))
        return false;
    const char *base = opts_get(&o, "base");
    const bool ok = base == NULL || set_rtc(p, base);
    opts_free(&o);
    return ok;
}

/** -name [guest=]NAME[,process=…] */
static bool opt_name(struct parse *p, const char *arg)
{
    static const char *const names[] = { "guest", "process", "debug-threads", NULL };
    struct opts o;
    if (!opts_parse(&o, "-name", arg, "guest", names))
        return false;
    const char *name = opts_get(&o, "guest");
    const bool ok = name == NULL || set_key(p, "-name", "name", name);
    opts_free(&o);
    return ok;
}

static bool opt_uuid(struct parse *p, const char *arg)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    bool ok = strlen(arg) == strlen(form);
    for (size_t i = 0; ok && form[i] != '\0'; i++)
        ok = form[i] == '-' ? arg[i] == '-' : strchr("0123456789abcdefABCDEF", arg[i]) != NULL;
    if (!ok) {
        say("-uuid %s: %s is expected", arg, form);
        return false;
    }
    return set_key(p, "-uuid", "pc.uuid", arg);
}

/** -smbios type=1,uuid=UUID: what else the tables say is not for the user to choose. */
static bool opt_smbios(struct parse *p, const char *arg)
{
    static const char *const names[] = { "type", "uuid", NULL };
    struct opts o;
    uint64_t type = 1;
    if (!opts_parse(&o, "-smbios", arg, NULL, names))
        return false;
    const char *uuid = opts_get(&o, "uuid");
    bool ok = opts_number(&o, "type", 1, 1, &type);
    ok = ok && (uuid == NULL || opt_uuid(p, uuid));
    opts_free(&o);
    return ok;
}

static bool opt_kernel(struct parse *p, const char *arg)
{
    p->o->has_kernel = true;
    return set_key(p, "-kernel", "boot.kernel", arg);
}

static bool opt_device(struct parse *p, const char *arg)
{
    char class_name[64];
    const size_t n = strcspn(arg, ",");
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

/* ---- -global ---- */

struct wanted {
    const char *name;
    bool found;
};

static int match(void *ud, const char *name, const char *summary)
{
    struct wanted *w = ud;
    (void)summary;
    w->found |= strcmp(name, w->name) == 0;
    return 0;
}

/** -global CLASS.PROP=VALUE, or driver=CLASS,property=PROP,value=VALUE */
static bool opt_global(struct parse *p, const char *arg)
{
    static const char *const names[] = { "driver", "property", "value", NULL };
    char cls[64] = "", prop[64] = "", value[256] = "", key[160];
    if (strncmp(arg, "driver=", 7) == 0) {
        struct opts o;
        if (!opts_parse(&o, "-global", arg, NULL, names))
            return false;
        const char *c = opts_get(&o, "driver"), *q = opts_get(&o, "property");
        const char *v = opts_get(&o, "value");
        (void)snprintf(cls, sizeof cls, "%s", c != NULL ? c : "");
        (void)snprintf(prop, sizeof prop, "%s", q != NULL ? q : "");
        (void)snprintf(value, sizeof value, "%s", v != NULL ? v : "");
        opts_free(&o);
    } else if (sscanf(arg, "%63[^.=].%63[^=]=%255[^\n]", cls, prop, value) < 2) {
        cls[0] = '\0';
    }
    if (cls[0] == '\0' || prop[0] == '\0') {
        say("-global %s: CLASS.PROPERTY=VALUE is expected", arg);
        return false;
    }
    struct wanted w = { .name = prop };
    if (vm_list_props(p->ctx, cls, match, &w) != VM_OK)
        return say_last("-global");
    if (!w.found) {
        say("-global %s: %s has no property %s; -device %s,help lists them", arg, cls, prop, cls);
        return false;
    }
    (void)snprintf(key, sizeof key, "global.%s.%s", cls, prop);
    return set_key(p, "-global", key, value);
}

/** -set KEY=VALUE: any configuration key. */
static bool opt_set(struct parse *p, const char *arg)
{
    if (strcmp(arg, "help") == 0) {
        p->done = true;
        return vm_list(p->ctx, VM_LIST_KEYS, print_row, NULL) == VM_OK || say_last("-set");
    }
    char *copy = strdup(arg);
    char *value = copy != NULL ? strchr(copy, '=') : NULL;
    bool ok = false;
    if (value == NULL) {
        say("-set %s: KEY=VALUE is expected", arg);
    } else {
        *value++ = '\0';
        ok = set_key(p, "-set", copy, value);
    }
    free(copy);
    return ok;
}

static bool opt_nodefaults(struct parse *p, const char *arg)
{
    (void)arg;
    p->o->nodefaults = true;
    return true;
}

static const struct option rows[] = {
    { "-machine", "NAME", NULL, opt_machine, "board: pc; accel=, hpet= are understood" },
    { "-M", "NAME", NULL, opt_machine, NULL },
    { "-cpu", "MODEL", NULL, opt_cpu, "processor model, +feature, -feature; help lists them" },
    { "-accel", "NAME[,NAME]", NULL, opt_accel,
      "engines, preferred first: auto, kvm, jit, interp; help lists them" },
    { "-enable-kvm", NULL, NULL, opt_enable_kvm, NULL },
    { "-smp", "N", NULL, opt_smp, "processors; cores=, threads= and sockets= are understood" },
    { "-m", "SIZE", NULL, opt_memory, "memory: 512M, 4G; a bare number is MiB" },
    { "-kernel", "FILE", NULL, opt_kernel, "bzImage, Multiboot or PVH kernel to start" },
    { "-initrd", "FILE", "boot.initrd", NULL, "initial RAM disk, or a list of Multiboot modules" },
    { "-append", "TEXT", "boot.cmdline", NULL, "kernel command line" },
    { "-device", "NAME[,PROP=V]", NULL, opt_device,
      "add a device; help lists, NAME,help explains" },
    { "-global", "NAME.PROP=V", NULL, opt_global, "a property of every device of that name" },
    { "-rtc", "base=WHEN", NULL, opt_rtc, "clock: utc, localtime, 2006-06-17T16:01:21" },
    { "-icount", "shift=N", NULL, opt_icount, "deterministic time: 2^N ns an instruction" },
    { "-name", "NAME", NULL, opt_name, "the machine's name" },
    { "-uuid", "UUID", NULL, opt_uuid, "the machine's UUID, as SMBIOS shows it" },
    { "-smbios", "type=1,uuid=UUID", NULL, opt_smbios, NULL },
    { "-set", "KEY=VALUE", NULL, opt_set, "any configuration key of the library; help lists" },
    { "-nodefaults", NULL, NULL, opt_nodefaults, "no serial port, monitor or drive unless asked" },
    { "-no-user-config", NULL, NULL, opt_nothing, NULL },
    { 0 },
};

const struct option_group options_machine = { "Machine", rows };
