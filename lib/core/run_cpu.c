/* SPDX-License-Identifier: MIT */
/**
 * @file run_cpu.c
 * The inner loops: one processor on its thread, all processors on one thread, and the I/O thread.
 */
#include "core/address_space.h"
#include "core/clock_impl.h"
#include "core/config.h"
#include "core/device.h"
#include "core/event.h"
#include "core/run.h"
#include "host/futex.h"
#include "host/loop.h"
#include "host/time.h"

/* Instructions between two looks at the timers: usually, and while there are late ones. */
enum { STRETCH = 500000, LATE_STRETCH = 20000 };

enum { SERVER_PATIENCE_NS = 10000000 }; /* then the I/O thread reminds who should fire timers */

/* ---- waking ----------------------------------------------------------------------------- */

void vm__cpu_kick(struct vm_cpu *cpu, uint32_t what)
{
    struct vm_runner *r = cpu->runner;

    cpu->cls->request(cpu, what);
    if (r == NULL)
        return;
    atomic_fetch_add(&r->wakes, 1);
    switch (atomic_load(&r->sleeping)) {
    case VM_SLEEP_FUTEX:
        vm__futex_wake(&r->wakes);
        break;
    case VM_SLEEP_LOOP:
        vm__loop_wake(r->m->loop);
        break;
    }
}

void vm__ask(struct vm_machine *m, uint32_t bits)
{
    atomic_fetch_or(&m->run->asked, bits);
    for (uint32_t i = 0; i < m->n_cpus; i++)
        vm__cpu_kick(m->cpus[i], VM_CPU_REQ_STOP);
    vm__loop_wake(m->loop); /* a driver without processors waits there */
}

uint64_t vm__run_oldest_epoch(struct vm_machine *m)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < m->n_cpus; i++) {
        const struct vm_runner *r = m->cpus[i]->runner;
        const uint64_t e = r != NULL ? atomic_load(&r->epoch) : UINT64_MAX;
        if (e < oldest)
            oldest = e;
    }
    return oldest;
}

/* ---- one step --------------------------------------------------------------------------- */

/* The processor came back with something for the machine to decide. */
static void report(struct vm_machine *m, struct vm_runner *r, enum vm_cpu_stop stop,
                   const vm_exit *exit)
{
    pthread_mutex_lock(&m->run->lock);
    if (stop != VM_CPU_DEBUG || vm__debug_report(m, r->cpu, exit)) {
        m->run->last = *exit;
        m->run->last.size = sizeof m->run->last;
        m->run->last.cpu = r->cpu->index;
        m->run->last.reason = stop == VM_CPU_DEBUG ? VM_EXIT_DEBUG : VM_EXIT_ERROR;
    }
    pthread_mutex_unlock(&m->run->lock);
    vm__ask(m, stop == VM_CPU_DEBUG ? VM_ASK_DEBUG : VM_ASK_CRASH);
}

static void triple_fault(struct vm_machine *m)
{
    vm__logf(&m->log, VM_LOG_INFO, VM_LOG_CPU, "machine", "triple fault");
    if (vm__config_enum(m->config, "cpu.triple_fault") == 0)
        vm__request_reset(m, VM_DEV_RESET_SOFT); /* chipsets answer the shutdown cycle with INIT# */
    else
        vm__request_shutdown(m, 0);
}

static enum vm_cpu_stop run_slice(struct vm_machine *m, struct vm_runner *r, uint64_t max_insns)
{
    vm_exit exit = { .size = sizeof exit };

    atomic_store(&r->epoch, atomic_load(&m->mem->epoch));
    const enum vm_cpu_stop stop = r->cpu->cls->run(r->cpu, max_insns, &exit);
    atomic_store(&r->epoch, UINT64_MAX);
    r->halted = stop == VM_CPU_HALTED;
    switch (stop) {
    case VM_CPU_BUDGET:
    case VM_CPU_KICKED:
    case VM_CPU_HALTED:
        break;
    case VM_CPU_SHUTDOWN:
        r->halted = true;
        triple_fault(m);
        break;
    case VM_CPU_DEBUG:
    case VM_CPU_ERROR:
        report(m, r, stop, &exit);
        break;
    }
    return stop;
}

static bool idle(struct vm_runner *r)
{
    return r->cpu->debug.hold || (r->halted && !r->cpu->cls->has_work(r->cpu));
}

/* ---- timers ----------------------------------------------------------------------------- */

static void fire(struct vm_machine *m)
{
    if (!vm__clock_due(m))
        return;
    vm__lock(m);
    if (vm__clock_running(m->clock))
        vm__clock_fire(m);
    vm__unlock(m);
}

static void set_alarm(struct vm_machine *m)
{
    const struct vm_clock *c = m->clock;
    uint64_t next;
    /* Several threads may be setting it: the last to write is also the last to look again. */
    do {
        next = vm__clock_running(c) ? vm__clock_next(c) : UINT64_MAX;
        uint64_t at = next != UINT64_MAX ? vm__clock_host_time(c, next) : UINT64_MAX;
        if (at != UINT64_MAX && atomic_load(&m->run->server) != 0)
            at = vm__host_ns() + SERVER_PATIENCE_NS;
        vm__loop_alarm(m->loop, at);
    } while (vm__clock_running(c) && vm__clock_next(c) != next);
}

void vm__run_deadline_moved(struct vm_machine *m)
{
    struct vm_clock *c = m->clock;
    if (c->mode == VM_CLOCK_REALTIME) {
        if (vm__clock_running(c))
            set_alarm(m);
        return;
    }
    /* icount: the slice may reach beyond the new deadline; have it cut short. */
    struct vm_cpu *cpu = atomic_load(&c->cpu);
    if (cpu != NULL)
        vm__cpu_kick(cpu, VM_CPU_REQ_YIELD);
    else if (atomic_load(&c->driver) != vm__thread_mark())
        vm__loop_wake(m->loop);
}

/* A processor that executes guest code now, or NULL. */
static struct vm_runner *running(struct vm_machine *m)
{
    for (uint32_t i = 0; i < m->n_cpus; i++) {
        struct vm_runner *r = &m->run->runners[i];
        if (atomic_load(&r->sleeping) == VM_SLEEP_NO)
            return r;
    }
    return NULL;
}

/* On the I/O thread: fire, or have a running processor do it. */
static void fire_or_delegate(struct vm_machine *m)
{
    if (!vm__clock_due(m))
        return;
    struct vm_runner *r = running(m);
    if (r == NULL) {
        atomic_store(&m->run->server, 0);
        fire(m);
        return;
    }
    uint32_t nobody = 0;
    atomic_compare_exchange_strong(&m->run->server, &nobody, r->cpu->index + 1);
    vm__cpu_kick(r->cpu, VM_CPU_REQ_YIELD);
}

/* On a processor's thread, between stretches. @return instructions of the next stretch. */
static uint64_t serve_timers(struct vm_machine *m, const struct vm_runner *r)
{
    const uint32_t me = r->cpu->index + 1;
    uint32_t server = atomic_load(&m->run->server);

    if (server != 0 && server != me)
        return STRETCH;
    if (!vm__clock_due(m)) {
        if (server == me) {
            atomic_store(&m->run->server, 0);
            set_alarm(m);
        }
        return STRETCH;
    }
    if (server == 0 && !atomic_compare_exchange_strong(&m->run->server, &server, me))
        return STRETCH;
    fire(m);
    return LATE_STRETCH;
}

static void stop_serving(struct vm_machine *m, const struct vm_runner *r)
{
    uint32_t me = r->cpu->index + 1;
    if (atomic_compare_exchange_strong(&m->run->server, &me, 0))
        set_alarm(m);
}

/* ---- a processor on a thread of its own ------------------------------------------------- */

static void sleep_halted(struct vm_machine *m, struct vm_runner *r)
{
    stop_serving(m, r);
    /* The word is read before looking for work, and every kick changes it after making some: a
     * kick in between makes the wait return at once. */
    atomic_store(&r->sleeping, VM_SLEEP_FUTEX);
    const uint32_t wakes = atomic_load(&r->wakes);
    if (vm__asked(m) == 0 && idle(r))
        vm__futex_wait(&r->wakes, wakes);
    atomic_store(&r->sleeping, VM_SLEEP_NO);
}

void vm__run_one(struct vm_machine *m, struct vm_runner *r)
{
    while (vm__asked(m) == 0) {
        const uint64_t insns = serve_timers(m, r);
        if (!idle(r))
            (void)run_slice(m, r, insns);
        else if (insns == STRETCH) /* no late timer is its to fire */
            sleep_halted(m, r);
    }
    stop_serving(m, r);
}

/* ---- the I/O thread --------------------------------------------------------------------- */

void vm__run_io(struct vm_machine *m)
{
    for (;;) {
        pthread_mutex_lock(&m->run->lock);
        const bool quit = m->run->io_quit;
        pthread_mutex_unlock(&m->run->lock);
        if (quit)
            return;
        set_alarm(m);
        vm__loop_run(m->loop, true);
        fire_or_delegate(m);
        vm__events_run(m, UINT32_MAX, false);
    }
}

/* ---- all processors on one thread ------------------------------------------------------- */

static void mark_sleeping(struct vm_machine *m, uint32_t how)
{
    for (uint32_t i = 0; i < m->n_cpus; i++)
        atomic_store(&m->run->runners[i].sleeping, how);
}

static bool all_idle(struct vm_machine *m)
{
    for (uint32_t i = 0; i < m->n_cpus; i++)
        if (!idle(&m->run->runners[i]))
            return false;
    return true;
}

/* Nothing to execute. True: nothing can happen any more but from outside. */
static bool wait_for_work(struct vm_machine *m, const struct vm_limits *limits)
{
    struct vm_clock *c = m->clock;
    const uint64_t next = vm__clock_next(c);
    uint64_t alarm = limits->host_ns;

    if (c->mode == VM_CLOCK_ICOUNT && next != UINT64_MAX) {
        vm__loop_run(m->loop, false);
        if (all_idle(m) && vm__asked(m) == 0)
            vm__clock_warp(m, vm__clock_next(c));
        return false;
    }
    vm__lock(m);
    const bool watching = vm__loop_watches(m->loop) != 0;
    vm__unlock(m);
    if (next == UINT64_MAX && !watching && limits->leave_idle)
        return true;
    if (next != UINT64_MAX)
        alarm = vm__clock_host_time(c, next) < alarm ? vm__clock_host_time(c, next) : alarm;
    vm__loop_alarm(m->loop, alarm);
    mark_sleeping(m, VM_SLEEP_LOOP);
    if (all_idle(m) && vm__asked(m) == 0)
        vm__loop_run(m->loop, true);
    mark_sleeping(m, VM_SLEEP_NO);
    return false;
}

/* Instructions until the next timer, or the rest of the turn. */
static uint64_t budget(struct vm_machine *m, const struct vm_limits *limits)
{
    struct vm_clock *c = m->clock;
    uint64_t n = m->run->slice_left;

    if (limits->insns < n)
        n = limits->insns;
    if (c->mode == VM_CLOCK_ICOUNT) {
        const uint64_t next = vm__clock_next(c), now = vm__clock_ns(m);
        const uint64_t ns = next > now ? next - now : 0;
        const uint64_t insns = ns / c->ns_per_insn + (ns % c->ns_per_insn != 0);
        if (insns < n)
            n = insns;
    } else if (n > LATE_STRETCH && vm__clock_due(m)) {
        n = LATE_STRETCH;
    }
    return n != 0 ? n : 1;
}

/* The processor whose turn it is, skipping those that have nothing to do; NULL: none has. */
static struct vm_runner *whose_turn(struct vm_machine *m)
{
    struct vm_run *run = m->run;
    for (uint32_t i = 0; i < m->n_cpus; i++) {
        struct vm_runner *r = &run->runners[run->turn % m->n_cpus];
        if (run->slice_left != 0 && !idle(r))
            return r;
        run->turn = (run->turn + 1) % m->n_cpus;
        run->slice_left = VM_SLICE;
    }
    struct vm_runner *last = m->n_cpus != 0 ? &run->runners[run->turn] : NULL;
    return last != NULL && !idle(last) ? last : NULL;
}

/* Run the processor whose turn it is. False: none has anything to do. */
static bool take_turn(struct vm_machine *m, struct vm_limits *limits)
{
    struct vm_runner *r = whose_turn(m);
    if (r == NULL)
        return false;
    const uint64_t before = r->cpu->cls->insns(r->cpu);
    vm__clock_slice_begin(m, r->cpu);
    (void)run_slice(m, r, budget(m, limits));
    vm__clock_slice_end(m);
    const uint64_t done = r->cpu->cls->insns(r->cpu) - before;
    m->run->slice_left -= done < m->run->slice_left ? (uint32_t)done : m->run->slice_left;
    if (limits->insns != UINT64_MAX)
        limits->insns -= done < limits->insns ? done : limits->insns;
    return true;
}

int vm__run_all(struct vm_machine *m, struct vm_limits *limits)
{
    while (vm__asked(m) == 0) {
        fire(m);
        vm__events_run(m, UINT32_MAX, false);
        if (limits->insns == 0)
            return VM_EXIT_BUDGET;
        if (limits->host_ns != UINT64_MAX && vm__host_ns() >= limits->host_ns)
            return VM_EXIT_TIMEOUT;
        if (take_turn(m, limits))
            vm__loop_run(m->loop, false);
        else if (wait_for_work(m, limits))
            return VM_EXIT_HALTED;
    }
    return VM_EXIT_NONE;
}
