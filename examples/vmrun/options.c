/* SPDX-License-Identifier: MIT */
/**
 * @file options.c
 * The command line: QEMU's spellings, one row an option, one file a theme.
 *
 * A row either names the configuration key that takes the value as it is, or a function. Values are
 * checked by the library; its sentence is printed after the option's name.
 */
#include <stdlib.h>
#include <string.h>

#include "vmrun.h"

static const struct option_group *const groups[] = {
    &options_machine, &options_disk,  &options_net, &options_chr,
    &options_display, &options_debug, &options_run,
};

enum { N_GROUPS = sizeof groups / sizeof groups[0], MAX_NAMES = 128 };

bool set_key(struct parse *p, const char *option, const char *key, const char *value)
{
    return vm_config_set_str(p->cfg, key, value) == VM_OK || say_last(option);
}

bool add_device(struct parse *p, const char *option, const char *spec)
{
    char key[32];
    (void)snprintf(key, sizeof key, "device.%u", p->o->n_devices++);
    return set_key(p, option, key, spec);
}

int print_row(void *ud, const char *name, const char *summary)
{
    (void)ud;
    printf("  %-20s %s\n", name, summary);
    return 0;
}

bool opt_nothing(struct parse *p, const char *arg)
{
    (void)p;
    (void)arg;
    return true;
}

/* ---- help ---- */

static void print_group(const struct option_group *g)
{
    printf("\n%s\n", g->title);
    for (const struct option *o = g->rows; o->name != NULL; o++) {
        char left[64];
        if (o->help == NULL)
            continue;
        (void)snprintf(left, sizeof left, "%s %s", o->name, o->argument != NULL ? o->argument : "");
        printf("  %-26s %s\n", left, o->help);
    }
}

static bool opt_help(struct parse *p, const char *arg)
{
    (void)arg;
    puts("usage: vmrun [options] [FILE]\n"
         "Run a PC. FILE is a CD-ROM, a disk, a floppy or a kernel: it is recognised.\n"
         "On a terminal Ctrl-A x ends it, Ctrl-A c goes to the monitor, Ctrl-A h lists more keys.");
    for (size_t i = 0; i < N_GROUPS; i++)
        print_group(groups[i]);
    puts("\nWhere a list takes values, ',,' stands for a comma. 'help' as a value of -device, "
         "-cpu,\n"
         "-machine, -chardev, -d and -set lists what there is.");
    p->done = true;
    return true;
}

static bool opt_version(struct parse *p, const char *arg)
{
    (void)arg;
    const uint32_t v = vm_version();
    printf("vmrun (libvm %u.%u)\n", v >> 16, v & 0xffff);
    p->done = true;
    return true;
}

static const struct option help_rows[] = {
    { "-h", NULL, NULL, opt_help, NULL },
    { "-help", NULL, NULL, opt_help, NULL },
    { "-version", NULL, NULL, opt_version, NULL },
    { "-V", NULL, NULL, opt_version, NULL },
    { 0 },
};

/* ---- parsing ---- */

/** Row @p i of all tables, or NULL. */
static const struct option *nth_option(size_t i)
{
    for (size_t g = 0; g <= N_GROUPS; g++)
        for (const struct option *o = g != 0 ? groups[g - 1]->rows : help_rows; o->name != NULL;
             o++)
            if (i-- == 0)
                return o;
    return NULL;
}

static bool unknown_option(const char *arg)
{
    const char *names[MAX_NAMES];
    const struct option *o;
    size_t n = 0;
    while (n < MAX_NAMES && (o = nth_option(n)) != NULL)
        names[n++] = o->name;
    const char *near = nearest(arg, names, n);
    if (near != NULL)
        say("%s: no such option; did you mean %s?", arg, near);
    else
        say("%s: no such option; -h lists them", arg);
    return false;
}

/** One option at argv[*i]. */
static bool one(struct parse *p, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    if (arg[0] != '-' || arg[1] == '\0')
        return take_file(p, arg);
    if (arg[1] == '-' && arg[2] != '\0')
        arg++; /* two dashes are as good as one */
    const struct option *o;
    for (size_t k = 0; (o = nth_option(k)) != NULL; k++) {
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
        return o->key != NULL ? set_key(p, o->name, o->key, value) : o->fn(p, value);
    }
    return unknown_option(argv[*i]);
}

void options_free(struct options *o)
{
    for (unsigned i = 0; i < o->n_chrs; i++) {
        free(o->chrs[i].option);
        free(o->chrs[i].spec);
    }
    for (unsigned i = 0; i < o->n_drives; i++)
        free(o->drives[i].text);
    for (unsigned i = 0; i < o->n_nets; i++)
        free(o->nets[i].text);
    o->n_chrs = o->n_drives = o->n_nets = 0;
}

bool options_parse(int argc, char **argv, bool speak, vm_ctx *ctx, vm_config *cfg,
                   struct options *o, int *status)
{
    struct parse p = { .ctx = ctx, .cfg = cfg, .o = o, .speak = speak };
    *status = 1;
    for (int i = 1; i < argc; i++) {
        if (!one(&p, argc, argv, &i))
            return false;
        if (p.done) {
            *status = 0;
            return false;
        }
    }
    return drive_defaults(&p) && net_defaults(&p) && display_defaults(&p) && chr_defaults(&p);
}
