/* SPDX-License-Identifier: MIT */
/**
 * @file main.c
 * vmrun: run a PC from the command line.
 *
 * The machine runs on the library's threads. This thread polls: host input, the machine's events,
 * signals. The exit status is the guest's word (isa-debug-exit), 0 after a power-off, 1 after an
 * error, or the signal's that ended it.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "display.h"
#include "vmrun.h"

/* Signals arrive at any time; all that the handler may do is note it and wake the loop. */
static volatile sig_atomic_t got_signal, got_continue;
static struct loop *signal_loop;

static void on_signal(int sig)
{
    const int saved = errno;
    if (sig == SIGCONT) {
        got_continue = 1;
        loop_wake(signal_loop);
    } else {
        got_signal = sig;
        loop_quit(signal_loop, 1);
    }
    errno = saved;
}

static void catch_signals(struct loop *l)
{
    static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGCONT };
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    signal_loop = l;
    (void)sigemptyset(&a.sa_mask);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        (void)sigaction(ours[i], &a, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void on_event(void *ud, const vm_event *e)
{
    struct vmrun *v = ud;
    if (e->kind == VM_EVENT_SHUTDOWN && !v->o.no_shutdown) {
        loop_quit(v->loop, (int)e->b);
    } else if (e->kind == VM_EVENT_CRASHED) {
        say("%s", e->text[0] != '\0' ? e->text : "the machine cannot go on");
        loop_quit(v->loop, 1);
    }
}

static void ready_events(void *ud, short revents)
{
    struct vmrun *v = ud;
    (void)revents;
    (void)vm_machine_dispatch(v->m, 16);
}

/** Before every wait: a SIGCONT starts what -S held back. */
static short look_at_signals(void *ud)
{
    struct vmrun *v = ud;
    if (got_continue && vm_machine_state(v->m) == VM_ST_BUILT && vm_machine_start(v->m) != VM_OK) {
        (void)say_last(NULL);
        loop_quit(v->loop, 1);
    }
    got_continue = 0;
    return POLLIN;
}

/** The log's sink is part of the context, so the trace options are needed before there is one. */
static vm_ctx *make_context(struct vmrun *v)
{
    v->trace = trace_open(v->o.trace_file);
    if (v->trace == NULL)
        return NULL;
    const vm_host_ops host = {
        .size = sizeof host,
        .log_level = v->o.trace != 0 ? VM_LOG_DEBUG : VM_LOG_WARN,
        .log_categories = v->o.trace,
        .log = trace_log,
        .ud = v->trace,
    };
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, &host);
    if (ctx == NULL)
        (void)say_last(NULL);
    return ctx;
}

/** Parse into a configuration of context @p ctx. False: *status says how to end. */
static bool parse(struct vmrun *v, vm_ctx *ctx, int argc, char **argv, vm_config **cfg, int *status)
{
    options_free(&v->o);
    memset(&v->o, 0, sizeof v->o);
    *status = 1;
    *cfg = ctx != NULL ? vm_config_new(ctx, "pc") : NULL;
    if (*cfg == NULL)
        return say_last(NULL);
    return options_parse(argc, argv, ctx == v->ctx, ctx, *cfg, &v->o, status);
}

/** First with a silent context, to learn what the trace is; then for good. */
static bool configure(struct vmrun *v, int argc, char **argv, int *status)
{
    vm_config *first = NULL;
    vm_ctx *silent = vm_ctx_create(VM_API_VERSION, NULL);
    const bool ok = parse(v, silent, argc, argv, &first, status);
    vm_config_free(first);
    vm_ctx_unref(silent);
    if (!ok)
        return false;
    *status = 1;
    v->ctx = make_context(v);
    return v->ctx != NULL && parse(v, v->ctx, argc, argv, &v->cfg, status);
}

static bool build(struct vmrun *v)
{
    v->m = vm_machine_build(v->cfg);
    if (v->m == NULL)
        return say_last(NULL);
    const uint32_t events = VM_EVENT_SHUTDOWN | VM_EVENT_CRASHED;
    const int fd = vm_machine_fd(v->m);
    if (fd < 0 || vm_machine_on_event(v->m, events, on_event, v, NULL) != VM_OK)
        return say_last(NULL);
    return loop_watch_if(v->loop, fd, look_at_signals, ready_events, v) != NULL;
}

static bool start(struct vmrun *v)
{
    if (!console_commands(v) || !display_commands(v) || !backends_open(v) || !display_open(v))
        return false;
    if (v->o.pid_file != NULL && !pid_file_make(v->o.pid_file))
        return false;
    if (!v->o.paused && !v->o.lockstep && vm_machine_start(v->m) != VM_OK)
        return say_last(NULL);
    daemon_ready();
    return true;
}

static int run(struct vmrun *v)
{
    if (v->o.daemonize && !daemon_begin())
        return 1;
    v->loop = loop_new();
    if (v->loop == NULL)
        return 1;
    catch_signals(v->loop);
    if (!build(v) || !start(v))
        return 1;
    return v->o.lockstep ? lockstep_run(v) : loop_run(v->loop);
}

static void clean_up(struct vmrun *v)
{
    display_close();
    terminal_restore();
    gdb_close();
    vm_machine_destroy(v->m);
    backends_close(v);
    options_free(&v->o);
    vm_config_free(v->cfg);
    vm_ctx_unref(v->ctx);
    trace_close(v->trace);
    loop_free(v->loop);
    pid_file_remove();
}

int main(int argc, char **argv)
{
    struct vmrun v = { 0 };
    int status;
    if (configure(&v, argc, argv, &status))
        status = run(&v);
    clean_up(&v);
    if (got_signal != 0) {
        (void)signal(got_signal, SIG_DFL);
        (void)raise(got_signal);
    }
    return status;
}
