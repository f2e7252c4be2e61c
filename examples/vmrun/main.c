/* SPDX-License-Identifier: MIT */
/**
 * @file main.c
 * vmrun: run a PC from the command line.
 *
 * The machine runs on the library's threads. This thread polls: host input, the machine's events,
 * and a signal descriptor's worth of flags. The exit status is the guest's word (isa-debug-exit),
 * 0 after a power-off, 1 after an error, or the signal's that ended it.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmrun.h"

struct vmrun {
    vm_ctx *ctx;
    vm_config *cfg;
    vm_machine *m;
    struct options o;
    struct trace *trace;
    struct serial *end[MAX_ENDS];
    int wake_fd;
    bool over;
    int status;
};

/* Signals arrive at any time; all that the handler may do is note it and wake the loop. */
static volatile sig_atomic_t got_signal, got_continue;
static int signal_fd = -1;

static void on_signal(int sig)
{
    int saved = errno;
    if (sig == SIGCONT)
        got_continue = 1;
    else
        got_signal = sig;
    (void)!write(signal_fd, &(uint64_t) { 1 }, sizeof(uint64_t));
    errno = saved;
}

static void catch_signals(int wake_fd)
{
    static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGCONT };
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    signal_fd = wake_fd;
    (void)sigemptyset(&a.sa_mask);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        (void)sigaction(ours[i], &a, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void on_event(void *ud, const vm_event *e)
{
    struct vmrun *v = ud;
    if (e->kind == VM_EVENT_SHUTDOWN) {
        v->over = true;
        v->status = (int)e->b;
    } else if (e->kind == VM_EVENT_CRASHED) {
        v->over = true;
        v->status = 1;
        say("%s", e->text[0] != '\0' ? e->text : "the machine cannot go on");
    }
}

/** Poll everything once. */
static void turn(struct vmrun *v)
{
    struct pollfd fds[2 + 2 * MAX_ENDS];
    unsigned n = 2, count[MAX_ENDS] = { 0 };
    fds[0] = (struct pollfd) { .fd = v->wake_fd, .events = POLLIN };
    fds[1] = (struct pollfd) { .fd = vm_machine_fd(v->m), .events = POLLIN };
    for (unsigned i = 0; i < MAX_ENDS; i++)
        if (v->end[i] != NULL)
            n += count[i] = serial_poll(v->end[i], fds + n);
    if (poll(fds, n, -1) < 0)
        return; /* a signal: look again */
    if (fds[0].revents != 0)
        (void)!read(v->wake_fd, &(uint64_t) { 0 }, sizeof(uint64_t));
    if (fds[1].revents != 0)
        (void)vm_machine_dispatch(v->m, 16);
    unsigned at = 2;
    for (unsigned i = 0; i < MAX_ENDS; i++) {
        if (v->end[i] != NULL && !serial_handle(v->end[i], fds + at, count[i]))
            v->over = true;
        at += count[i];
    }
}

static void run(struct vmrun *v)
{
    while (!v->over && got_signal == 0) {
        if (v->o.paused && got_continue) {
            v->o.paused = false;
            if (vm_machine_start(v->m) != VM_OK) {
                (void)say_last(NULL);
                v->status = 1;
                return;
            }
        }
        turn(v);
    }
}

static bool open_ends(struct vmrun *v)
{
    for (unsigned i = 0; i < v->o.n_ends; i++) {
        v->end[i] = serial_open(&v->o.ends[i], v->wake_fd);
        if (v->end[i] == NULL || !serial_attach(v->end[i], v->m))
            return false;
    }
    return true;
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
    return options_parse(argc, argv, ctx, *cfg, &v->o, status);
}

/** First with a silent context, to learn what the trace is; then for good. */
static bool configure(struct vmrun *v, int argc, char **argv, int *status)
{
    vm_config *first = NULL;
    vm_ctx *silent = vm_ctx_create(VM_API_VERSION, NULL);
    bool ok = parse(v, silent, argc, argv, &first, status);
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
    v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (v->wake_fd < 0) {
        say("eventfd: %s", strerror(errno));
        return false;
    }
    return vm_machine_fd(v->m) >= 0 &&
           vm_machine_on_event(v->m, VM_EVENT_SHUTDOWN | VM_EVENT_CRASHED, on_event, v, NULL) ==
               VM_OK;
}

static bool start(struct vmrun *v)
{
    char kernel[2];
    size_t len = sizeof kernel;
    if (vm_config_get(v->cfg, "boot.kernel", kernel, &len) == VM_OK && kernel[0] == '\0') {
        say("nothing to start: -kernel names a kernel");
        return false;
    }
    return v->o.paused || vm_machine_start(v->m) == VM_OK || say_last(NULL);
}

static void clean_up(struct vmrun *v)
{
    terminal_restore();
    vm_machine_destroy(v->m);
    for (unsigned i = 0; i < MAX_ENDS; i++)
        serial_close(v->end[i]);
    options_free(&v->o);
    vm_config_free(v->cfg);
    vm_ctx_unref(v->ctx);
    trace_close(v->trace);
    if (v->wake_fd >= 0)
        (void)close(v->wake_fd);
}

int main(int argc, char **argv)
{
    struct vmrun v = { .wake_fd = -1 };
    int status;
    if (!configure(&v, argc, argv, &status)) {
        clean_up(&v);
        return status;
    }
    v.status = 1;
    if (build(&v)) {
        catch_signals(v.wake_fd);
        if (open_ends(&v) && start(&v)) {
            v.status = 0;
            run(&v);
        }
    }
    clean_up(&v);
    if (got_signal != 0) {
        (void)signal(got_signal, SIG_DFL);
        (void)raise(got_signal);
    }
    return v.status;
}
