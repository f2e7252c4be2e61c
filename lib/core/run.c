/* SPDX-License-Identifier: MIT */
/**
 * @file run.c
 * Starting, parking and settling.
 */
#include "core/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "core/address_space.h"
#include "core/chr_impl.h"
#include "core/clock_impl.h"
#include "core/board.h"
#include "core/config.h"
#include "core/device.h"
#include "core/event.h"
#include "core/part.h"
#include "host/loop.h"
#include "host/thread.h"
#include "host/time.h"

int vm__run_init(struct vm_machine *m)
{
    struct vm_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return vm__fail_nomem(sizeof *run);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&run->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&run->lock, NULL);
    atomic_store(&run->state, VM_ST_BUILT);
    m->run = run;
    return VM_OK;
}

void vm__run_fini(struct vm_machine *m)
{
    struct vm_run *run = m->run;
    if (run == NULL)
        return;
    pthread_mutex_destroy(&run->lock);
    pthread_cond_destroy(&run->changed);
    free(run->workers);
    free(run->runners);
    free(run);
    m->run = NULL;
}

int vm__run_add_cpus(struct vm_machine *m)
{
    struct vm_run *run = m->run;
    free(run->runners);
    run->runners = calloc(m->n_cpus + 1, sizeof *run->runners);
    if (run->runners == NULL)
        return vm__fail_nomem(m->n_cpus * sizeof *run->runners);
    for (uint32_t i = 0; i < m->n_cpus; i++) {
        struct vm_runner *r = &run->runners[i];
        r->m = m;
        r->cpu = m->cpus[i];
        atomic_store(&r->epoch, UINT64_MAX);
        m->cpus[i]->runner = r;
    }
    return VM_OK;
}

int vm__run_state(const struct vm_machine *m)
{
    return atomic_load(&m->run->state);
}

bool vm__machine_takes_input(const struct vm_machine *m)
{
    return vm__run_state(m) == VM_ST_RUNNING;
}

/* Under the machine lock. */
static void set_state(struct vm_machine *m, int state)
{
    struct vm_run *run = m->run;
    pthread_mutex_lock(&run->lock);
    atomic_store(&run->state, state);
    run->go = state == VM_ST_RUNNING;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

/* ---- settling: everything stands still -------------------------------------------------- */

static void reset_now(struct vm_machine *m, int kind)
{
    const int st = vm__machine_reset_now(m, kind);
    if (st != VM_OK)
        vm__request_crash(m, st, vm_last_error()->message);
}

static void settle_reset(struct vm_machine *m)
{
    int kind = atomic_load(&m->run->reset_kind);
    const bool by_guest = atomic_exchange(&m->run->by_guest, false);
    const bool stop = by_guest && vm__config_enum(m->config, "reset.action") != 0;

    if (kind == VM_DEV_RESET_WAKE) {
        reset_now(m, kind);
        return;
    }
    if (kind == VM_DEV_RESET_SOFT) {
        if (!stop && m->board != NULL && m->board->soft_reset != NULL && m->board->soft_reset(m))
            return;
        kind = VM_DEV_RESET_WARM;
    }
    vm__event_post(m, VM_EVENT_RESET, (uint64_t)kind, by_guest, NULL);
    if (stop) {
        atomic_fetch_or(&m->run->asked, VM_ASK_SHUTDOWN);
        atomic_store(&m->run->shutdown_code, 0);
        atomic_store(&m->run->by_guest, true);
        return;
    }
    reset_now(m, kind);
}

/* What an engine has taken from processors on behalf of devices reaches them. */
static void settle_mirror(struct vm_machine *m)
{
    if (m->mem->mirror != NULL)
        m->mem->mirror->settle(m->mem->mirror->ud);
}

/* Time stops, and what the parts have in flight comes to its end. */
static void stand_still(struct vm_machine *m)
{
    vm__clock_stop(m);
    settle_mirror(m);
    vm__parts_pause(m);
}

static void settle_shutdown(struct vm_machine *m)
{
    stand_still(m);
    set_state(m, VM_ST_SHUTDOWN);
    vm__event_post(m, VM_EVENT_SHUTDOWN, atomic_exchange(&m->run->by_guest, false),
                   atomic_load(&m->run->shutdown_code), NULL);
}

static void settle_crash(struct vm_machine *m)
{
    stand_still(m);
    pthread_mutex_lock(&m->run->lock);
    char text[sizeof m->run->last.text];
    memcpy(text, m->run->last.text, sizeof text);
    pthread_mutex_unlock(&m->run->lock);
    set_state(m, VM_ST_CRASHED);
    vm__logf(&m->log, VM_LOG_ERROR, VM_LOG_GENERAL, "machine", "%s", text);
    vm__event_post(m, VM_EVENT_CRASHED, 0, 0, text);
}

static void settle_pause(struct vm_machine *m)
{
    static const char *const why[] = { "", "breakpoint", "watchpoint", "step" };
    const vm_debug_stop stop = m->debug.last; /* nobody runs who could change it */

    stand_still(m);
    set_state(m, VM_ST_PAUSED);
    if (stop.kind != VM_DEBUG_NONE)
        vm__event_post(m, VM_EVENT_DEBUG, stop.cpu, stop.pc, why[stop.kind & 3]);
    vm__event_post(m, VM_EVENT_PAUSED, 0, 0, NULL);
}

/* Not a pause: the state stays, and what else was asked waits. */
static void settle_hold(struct vm_machine *m)
{
    bool settle = false;

    pthread_mutex_lock(&m->run->lock);
    if (m->run->holders != 0) {
        vm__clock_stop(m);
        settle = true;
        m->run->held = true;
        m->run->go = false;
        pthread_cond_broadcast(&m->run->changed);
    }
    pthread_mutex_unlock(&m->run->lock);
    if (settle)
        settle_mirror(m);
}

/* Carry out what is asked. Everything is parked, the machine lock is held; bits for vm_run() and
 * for ending threads stay. */
static void settle(struct vm_machine *m)
{
    const uint32_t mine = VM_ASK_PAUSE | VM_ASK_RESET | VM_ASK_SHUTDOWN | VM_ASK_CRASH |
                          VM_ASK_ERROR | VM_ASK_DEBUG | VM_ASK_HOLD | VM_ASK_SWEEP;
    uint32_t asked = atomic_fetch_and(&m->run->asked, ~mine);

    if (asked & VM_ASK_SWEEP)
        vm__dev_sweep(m);
    if (vm__run_state(m) != VM_ST_RUNNING)
        return;
    if (asked & VM_ASK_RESET) {
        settle_reset(m);
        asked |= atomic_fetch_and(&m->run->asked, ~(uint32_t)(VM_ASK_SHUTDOWN | VM_ASK_CRASH));
    }
    if (asked & VM_ASK_CRASH)
        settle_crash(m);
    else if (asked & VM_ASK_SHUTDOWN)
        settle_shutdown(m);
    else if (asked & (VM_ASK_PAUSE | VM_ASK_ERROR | VM_ASK_DEBUG))
        settle_pause(m);
    else if (asked & VM_ASK_HOLD)
        settle_hold(m);
}

/* A worker without leave to run. The last one to come settles. False: end the thread. */
static bool wait_for_leave(struct vm_machine *m)
{
    struct vm_run *run = m->run;

    pthread_mutex_lock(&run->lock);
    run->parked++;
    pthread_cond_broadcast(&run->changed);
    for (;;) {
        const uint32_t asked = vm__asked(m);
        if (asked & VM_ASK_QUIT)
            break;
        if (run->go && !run->settling && (asked & ~(uint32_t)VM_ASK_KICK) == 0) {
            atomic_fetch_and(&run->asked, ~(uint32_t)VM_ASK_KICK);
            run->parked--;
            pthread_mutex_unlock(&run->lock);
            return true;
        }
        if (run->go && asked != 0 && !run->settling && run->parked == run->n_workers) {
            run->settling = true;
            pthread_mutex_unlock(&run->lock);
            vm__lock(m);
            settle(m);
            vm__unlock(m);
            pthread_mutex_lock(&run->lock);
            run->settling = false;
            pthread_cond_broadcast(&run->changed);
            continue;
        }
        pthread_cond_wait(&run->changed, &run->lock);
    }
    pthread_mutex_unlock(&run->lock);
    return false;
}

/* The machine this thread works for, if any: what a callback must not wait for. */
static _Thread_local const struct vm_machine *working_for;

static bool on_own_thread(const struct vm_machine *m)
{
    return working_for == m;
}

/* ---- threads ---------------------------------------------------------------------------- */

static void *worker_main(void *arg)
{
    struct vm_worker *w = arg;
    working_for = w->m;
    while (wait_for_leave(w->m)) {
        if (w->runner != NULL) {
            vm__run_one(w->m, w->runner);
        } else {
            struct vm_limits none = { .insns = UINT64_MAX, .host_ns = UINT64_MAX };
            (void)vm__run_all(w->m, &none);
        }
    }
    return NULL;
}

static void *io_main(void *arg)
{
    working_for = arg;
    vm__run_io(arg);
    return NULL;
}

void vm__run_stop_threads(struct vm_machine *m)
{
    struct vm_run *run = m->run;

    if (run == NULL)
        return;
    vm__ask(m, VM_ASK_QUIT);
    pthread_mutex_lock(&run->lock);
    run->io_quit = true;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    vm__loop_wake(m->loop);
    for (uint32_t i = 0; i < run->n_workers; i++)
        pthread_join(run->workers[i].thread, NULL);
    if (run->has_io_thread)
        pthread_join(run->io_thread, NULL);
    run->n_workers = run->parked = 0;
    run->has_io_thread = false;
    atomic_fetch_and(&run->asked, ~(uint32_t)VM_ASK_QUIT);
}

static int start_workers(struct vm_machine *m)
{
    struct vm_run *run = m->run;
    const bool one = m->clock->mode == VM_CLOCK_ICOUNT;
    const uint32_t n = one ? 1 : m->n_cpus;

    free(run->workers);
    run->workers = calloc(n + 1, sizeof *run->workers);
    if (run->workers == NULL)
        return vm__fail_nomem(n * sizeof *run->workers);
    run->parked = run->n_workers = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct vm_worker *w = &run->workers[i];
        char name[16];
        w->m = m;
        w->runner = one ? NULL : &run->runners[i];
        snprintf(name, sizeof name, "vm-cpu%u", i & 0xfff);
        if (vm__thread_start(&w->thread, worker_main, w, name) != VM_OK)
            goto fail;
        pthread_mutex_lock(&run->lock);
        run->n_workers++;
        pthread_mutex_unlock(&run->lock);
    }
    if (!one) {
        run->io_quit = false;
        if (vm__thread_start(&run->io_thread, io_main, m, "vm-io") != VM_OK)
            goto fail;
        run->has_io_thread = true;
    }
    return VM_OK;
fail:
    vm__run_stop_threads(m); /* they are all parked and need no lock to end */
    return VM_E_NOMEM;
}

/* ---- control ---------------------------------------------------------------------------- */

static const char *state_name(int state)
{
    switch (state) {
    case VM_ST_BUILT:
        return "built";
    case VM_ST_RUNNING:
        return "running";
    case VM_ST_PAUSED:
        return "paused";
    case VM_ST_SHUTDOWN:
        return "shut down";
    case VM_ST_CRASHED:
        return "crashed";
    default:
        return "unknown";
    }
}

static int wrong_state(int state)
{
    return vm__fail(VM_E_STATE, "the machine is %s", state_name(state));
}

/* Under the machine lock, from BUILT or PAUSED. */
static void set_running(struct vm_machine *m)
{
    /* What was asked of the run before has been carried out, or came too late for it. */
    atomic_fetch_and(&m->run->asked, VM_ASK_KICK | VM_ASK_QUIT | VM_ASK_CRASH | VM_ASK_SWEEP);
    for (uint32_t i = 0; i < m->n_cpus; i++)
        m->run->runners[i].halted = false; /* its state may have been changed from outside */
    pthread_mutex_lock(&m->run->lock);
    vm__debug_go(m);
    pthread_mutex_unlock(&m->run->lock);
    vm__event_post(m, VM_EVENT_STARTED, 0, 0, NULL);
    vm__clock_start(m);
    set_state(m, VM_ST_RUNNING);
    vm__parts_resume(m);
    vm__chr_accept_all(m);
    vm__loop_wake(m->loop); /* alarms were off */
}

int vm__run_start(struct vm_machine *m)
{
    int st = VM_OK;
    vm__lock(m);
    const int state = vm__run_state(m);
    if (m->run->driving)
        st = vm__fail(VM_E_STATE, "the machine runs inside vm_run()");
    else if (state != VM_ST_BUILT && state != VM_ST_PAUSED)
        st = state == VM_ST_RUNNING ? VM_OK : wrong_state(state);
    else if (m->run->n_workers == 0)
        st = start_workers(m);
    if (st == VM_OK && state != VM_ST_RUNNING)
        set_running(m);
    vm__unlock(m);
    return st;
}

int vm__run_stop(struct vm_machine *m)
{
    if (vm__run_state(m) == VM_ST_RUNNING)
        vm__ask(m, VM_ASK_PAUSE);
    return VM_OK;
}

int vm__run_pause(struct vm_machine *m)
{
    struct vm_run *run = m->run;
    if (vm__locked(m) || on_own_thread(m))
        return vm__fail(VM_E_STATE, "a callback cannot wait for its own machine");
    vm__lock(m);
    vm__run_stop(m);
    vm__unlock(m);
    pthread_mutex_lock(&run->lock);
    while (atomic_load(&run->state) == VM_ST_RUNNING || run->settling)
        pthread_cond_wait(&run->changed, &run->lock);
    pthread_mutex_unlock(&run->lock);
    return VM_OK;
}

int vm__run_hold(struct vm_machine *m)
{
    struct vm_run *run = m->run;
    int st = VM_OK;
    const bool inside = vm__locked(m) || on_own_thread(m);
    vm__lock(m); /* nobody starts or stops it in between */
    if (vm__run_state(m) == VM_ST_RUNNING && (inside || run->driving))
        st = vm__fail(VM_E_STATE, inside ? "a callback cannot wait for its own machine"
                                         : "the machine runs inside vm_run()");
    if (st == VM_OK) {
        pthread_mutex_lock(&run->lock);
        run->holders++;
        pthread_mutex_unlock(&run->lock);
    }
    vm__unlock(m);
    if (st != VM_OK)
        return st;
    pthread_mutex_lock(&run->lock);
    while (!inside && !run->held && (atomic_load(&run->state) == VM_ST_RUNNING || run->settling)) {
        /* Again after every change: a pause in between has used the wish up. */
        vm__ask(m, VM_ASK_HOLD);
        pthread_cond_wait(&run->changed, &run->lock);
    }
    pthread_mutex_unlock(&run->lock);
    return VM_OK;
}

int vm__run_hold_locked(struct vm_machine *m)
{
    for (;;) {
        const int st = vm__run_hold(m);
        if (st != VM_OK)
            return st;
        vm__lock(m);
        if (vm__run_state(m) != VM_ST_RUNNING || m->run->held)
            return VM_OK;
        vm__unlock(m);
        vm__run_release(m);
    }
}

void vm__run_release(struct vm_machine *m)
{
    struct vm_run *run = m->run;
    vm__lock(m);
    pthread_mutex_lock(&run->lock);
    const bool last = --run->holders == 0 && run->held;
    if (last) {
        run->held = false;
        vm__clock_start(m);
        run->go = atomic_load(&run->state) == VM_ST_RUNNING;
        pthread_cond_broadcast(&run->changed);
    }
    pthread_mutex_unlock(&run->lock);
    if (last)
        vm__loop_wake(m->loop);
    vm__unlock(m);
}

int vm__run_set_engine(struct vm_machine *m, const char *name)
{
    if (m->n_cpus == 0 || m->cpu_class->set_engine == NULL)
        return vm__fail(VM_E_NOTSUP, "the machine has no processor");
    int st = vm__run_hold_locked(m);
    if (st != VM_OK)
        return st;
    st = m->cpu_class->set_engine(m, name);
    vm__unlock(m);
    vm__run_release(m);
    return st;
}

int vm__run_wait(struct vm_machine *m, uint32_t mask, int64_t timeout_ns, int *state)
{
    struct vm_run *run = m->run;
    struct timespec until;
    int st = VM_OK;

    if (timeout_ns >= 0) {
        const uint64_t end = vm__host_ns() + (uint64_t)timeout_ns;
        until.tv_sec = (time_t)(end / 1000000000u);
        until.tv_nsec = (long)(end % 1000000000u);
    }
    pthread_mutex_lock(&run->lock);
    while (((uint32_t)atomic_load(&run->state) & mask) == 0 && st == VM_OK) {
        if (timeout_ns < 0)
            pthread_cond_wait(&run->changed, &run->lock);
        else if (pthread_cond_timedwait(&run->changed, &run->lock, &until) == ETIMEDOUT)
            st = VM_E_TIMEOUT;
    }
    if (state != NULL)
        *state = atomic_load(&run->state);
    if (((uint32_t)atomic_load(&run->state) & mask) != 0)
        st = VM_OK;
    pthread_mutex_unlock(&run->lock);
    return st == VM_OK ? VM_OK
                       : vm__fail(st, "the machine is still %s", state_name(vm__run_state(m)));
}

int vm__run_reset(struct vm_machine *m, int kind)
{
    int st = VM_OK;
    vm__lock(m);
    const int state = vm__run_state(m);
    if (state == VM_ST_RUNNING) {
        atomic_store(&m->run->reset_kind, kind);
        vm__ask(m, VM_ASK_RESET);
    } else {
        st = vm__machine_reset_now(m, kind);
        if (st == VM_OK && state != VM_ST_BUILT)
            set_state(m, VM_ST_PAUSED);
        vm__event_post(m, VM_EVENT_RESET, (uint64_t)kind, 0, NULL);
    }
    vm__unlock(m);
    return st;
}

/* ---- asked for by devices and processors ------------------------------------------------ */

void vm__request_reset(struct vm_machine *m, int kind)
{
    atomic_store(&m->run->reset_kind, kind);
    atomic_store(&m->run->by_guest, true);
    vm__ask(m, VM_ASK_RESET);
}

void vm__request_shutdown(struct vm_machine *m, uint32_t code)
{
    atomic_store(&m->run->shutdown_code, code);
    atomic_store(&m->run->by_guest, true);
    vm__ask(m, VM_ASK_SHUTDOWN);
}

static void keep_error(struct vm_machine *m, int status, const char *text)
{
    pthread_mutex_lock(&m->run->lock);
    m->run->last =
        (vm_exit) { .size = sizeof m->run->last, .reason = VM_EXIT_ERROR, .code = status };
    snprintf(m->run->last.text, sizeof m->run->last.text, "%s", text);
    pthread_mutex_unlock(&m->run->lock);
}

void vm__request_crash(struct vm_machine *m, int status, const char *text)
{
    keep_error(m, status, text);
    vm__ask(m, VM_ASK_CRASH);
}

void vm__request_error(struct vm_machine *m, int status, const char *text)
{
    keep_error(m, status, text);
    vm__ask(m, VM_ASK_ERROR);
}

/* ---- on the caller's thread ------------------------------------------------------------- */

static int begin(struct vm_machine *m)
{
    if (on_own_thread(m))
        return vm__fail(VM_E_STATE, "a callback cannot run its own machine");
    vm__lock(m);
    const int state = vm__run_state(m);
    if (m->run->driving || (state != VM_ST_BUILT && state != VM_ST_PAUSED)) {
        vm__unlock(m);
        return m->run->driving ? vm__fail(VM_E_STATE, "vm_run() is at work already")
                               : wrong_state(state);
    }
    m->run->driving = true;
    vm__unlock(m);
    working_for = m;
    /* Threads of an earlier vm_machine_start() are parked; one driver is enough. */
    if (m->run->n_workers != 0)
        vm__run_stop_threads(m);
    vm__lock(m);
    set_running(m);
    vm__unlock(m);
    return VM_OK;
}

static uint64_t total_insns(struct vm_machine *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->n_cpus; i++)
        n += m->cpus[i]->cls->insns(m->cpus[i]);
    return n;
}

/* What was asked decides why vm_run() comes back; 0: go on. */
static int answer(struct vm_machine *m, uint32_t asked, vm_exit *out)
{
    switch (vm__run_state(m)) {
    case VM_ST_RUNNING:
        return (asked & VM_ASK_KICK) ? VM_EXIT_KICKED : 0;
    case VM_ST_SHUTDOWN:
        out->code = (int32_t)atomic_load(&m->run->shutdown_code);
        return VM_EXIT_SHUTDOWN;
    case VM_ST_CRASHED:
        *out = m->run->last;
        return VM_EXIT_ERROR;
    default:
        if (asked & (VM_ASK_ERROR | VM_ASK_DEBUG)) {
            *out = m->run->last;
            return (int)out->reason;
        }
        return VM_EXIT_STOPPED;
    }
}

int vm__run_here(struct vm_machine *m, uint64_t max_insns, int64_t timeout_ns, vm_exit *out)
{
    vm_exit result = { .size = sizeof result };
    struct vm_limits limits = {
        .insns = max_insns != 0 ? max_insns : UINT64_MAX,
        .host_ns = timeout_ns >= 0 ? vm__host_ns() + (uint64_t)timeout_ns : UINT64_MAX,
        .leave_idle = true,
    };
    int st = begin(m);
    if (st != VM_OK)
        return st;

    int reason = 0;
    while (reason == 0) {
        reason = vm__run_all(m, &limits);
        const uint32_t asked = atomic_fetch_and(&m->run->asked, ~(uint32_t)VM_ASK_KICK);
        vm__lock(m);
        settle(m);
        vm__unlock(m);
        const int why = answer(m, asked, &result);
        if (why != 0)
            reason = why;
    }
    vm__lock(m);
    if (vm__run_state(m) == VM_ST_RUNNING) {
        stand_still(m);
        set_state(m, VM_ST_PAUSED);
    }
    m->run->driving = false;
    vm__unlock(m);
    working_for = NULL;
    vm__events_run(m, UINT32_MAX, false);
    result.size = sizeof result;
    result.reason = (uint32_t)reason;
    result.icount = total_insns(m);
    if (reason == VM_EXIT_ERROR)
        st = vm__fail(result.code != 0 ? result.code : VM_E_GUEST, "%s", result.text);
    if (out != NULL) {
        const uint32_t room = out->size < sizeof result ? out->size : (uint32_t)sizeof result;
        memcpy(out, &result, room);
        out->size = room;
    }
    return st;
}

void vm__run_kick(struct vm_machine *m)
{
    vm__ask(m, VM_ASK_KICK);
}
