/* SPDX-License-Identifier: MIT */
/**
 * @file options_run.c
 * Options for the program: when it starts, when it ends, how it is debugged.
 */
#include <string.h>

#include "vmrun.h"

/* ---- life ---- */

static bool opt_paused(struct parse *p, const char *arg)
{
    (void)arg;
    p->o->paused = true;
    return true;
}

static bool opt_no_reboot(struct parse *p, const char *arg)
{
    (void)arg;
    return set_key(p, "-no-reboot", "reset.action", "stop");
}

static bool opt_no_shutdown(struct parse *p, const char *arg)
{
    (void)arg;
    p->o->no_shutdown = true;
    return true;
}

static bool opt_daemonize(struct parse *p, const char *arg)
{
    (void)arg;
    p->o->daemonize = true;
    return true;
}

static bool opt_pid_file(struct parse *p, const char *arg)
{
    p->o->pid_file = arg;
    return true;
}

static const struct option run_rows[] = {
    { "-S", NULL, NULL, opt_paused, "do not start until the monitor or gdb says so, or SIGCONT" },
    { "-no-reboot", NULL, NULL, opt_no_reboot, "end instead of rebooting" },
    { "-no-shutdown", NULL, NULL, opt_no_shutdown, "stay when the guest has powered off" },
    { "-daemonize", NULL, NULL, opt_daemonize, "go to the background once the machine runs" },
    { "-pidfile", "FILE", NULL, opt_pid_file, "write the process id to a file" },
    { "-help", NULL, NULL, opt_nothing, "print this; -version prints the version" },
    { 0 },
};

const struct option_group options_run = { "Start and end", run_rows };

/* ---- debugging ---- */

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

static const struct option debug_rows[] = {
    { "-gdb", "DEV", NULL, opt_gdb,
      "wait for gdb on tcp::PORT (loopback), tcp:HOST:PORT, unix:PATH, stdio" },
    { "-s", NULL, NULL, opt_gdb_short, "-gdb tcp::1234" },
    { "-d", "ITEMS", NULL, opt_trace, "trace to stderr; help lists the items" },
    { "-D", "FILE", NULL, opt_trace_file, "trace to a file instead" },
    { 0 },
};

const struct option_group options_debug = { "Debugging", debug_rows };
