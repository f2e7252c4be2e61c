/* SPDX-License-Identifier: MIT */
/**
 * @file control.c
 * Going on, stopping, break- and watchpoints, leaving.
 *
 * Spec: [GDB §E.2] (packets), [GDB §E.3] (stop replies).
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "core/run.h"
#include "debug/gdb.h"

enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5, SIGNAL_ABORT = 6 }; /* gdb's own numbers */

/* ---- stop replies ----------------------------------------------------------------------- */

static vm_debug_stop why(struct vm_machine *m)
{
    pthread_mutex_lock(&m->run->lock);
    const vm_debug_stop stop = m->debug.last;
    pthread_mutex_unlock(&m->run->lock);
    return stop;
}

static void put_reason(struct vm_gdb *g, const vm_debug_stop *stop)
{
    if (stop->kind == VM_DEBUG_BREAK && g->swbreak)
        vm__gdb_put(g, "swbreak:;");
    if (stop->kind == VM_DEBUG_WATCH) {
        /* By the kind of the watchpoint, since gdb looks for one of that kind. */
        static const char *const names[] = { "watch", "rwatch", "watch", "awatch" };
        uint64_t addr = stop->addr;
        const uint32_t kind = vm__debug_watch_kind(&g->m->debug, stop, &addr);
        vm__gdb_putf(g, "%s:%" PRIx64 ";", names[kind & 3], addr);
    }
}

void vm__gdb_stopped(struct vm_gdb *g)
{
    const int state = vm__run_state(g->m);
    const vm_debug_stop stop = why(g->m);
    int signal = stop.kind == VM_DEBUG_NONE && g->running ? SIGNAL_INT : SIGNAL_TRAP;

    g->running = false;
    if (state == VM_ST_SHUTDOWN) {
        vm__gdb_reply(g, "W00");
        return;
    }
    if (state == VM_ST_CRASHED)
        signal = SIGNAL_ABORT;
    if (stop.kind != VM_DEBUG_NONE)
        g->cpu = stop.cpu;
    vm__gdb_begin(g);
    vm__gdb_putf(g, "T%02xthread:%x;", (unsigned)signal, g->cpu + 1);
    put_reason(g, &stop);
    vm__gdb_end(g);
}

/* ---- going on --------------------------------------------------------------------------- */

static void go(struct vm_gdb *g)
{
    g->running = true;
    if (vm__run_start(g->m) != VM_OK) /* shut down or crashed */
        vm__gdb_stopped(g);
}

enum action { STAND, GO, STEP };

static void act(struct vm_gdb *g, uint32_t cpu, enum action what)
{
    struct vm_cpu_debug *d = &g->m->cpus[cpu]->debug;

    d->hold = what == STAND;
    d->step = what == STEP;
}

void vm__gdb_continue(struct vm_gdb *g, const char *p, bool step)
{
    const uint32_t one = g->step_cpu >= 0 ? (uint32_t)g->step_cpu : g->cpu;
    uint64_t rip;

    if (*p != '\0') {
        if (!vm__gdb_number(&p, &rip)) {
            vm__gdb_status(g, VM_E_INVAL);
            return;
        }
        const int st = vm__gdb_set_pc(g, one, rip);
        if (st != VM_OK) {
            vm__gdb_status(g, st);
            return;
        }
    }
    vm__lock(g->m);
    for (uint32_t n = 0; n < g->m->n_cpus; n++)
        act(g, n, step && n == one ? STEP : GO);
    vm__unlock(g->m);
    go(g);
}

/* ";action[:thread]…": the first action that fits a thread counts; a thread without one stands. */
void vm__gdb_vcont(struct vm_gdb *g, const char *p)
{
    uint8_t what[VM_MAX_CPUS] = { 0 };
    bool chosen[VM_MAX_CPUS] = { false }, any = false;

    while (*p == ';') {
        const char letter = p[1];
        int64_t id = -1;
        uint64_t signal;

        if (letter == '\0' || strchr("cCsS", letter) == NULL)
            break;
        p += 2;
        if ((letter == 'C' || letter == 'S') && !vm__gdb_number(&p, &signal))
            break;
        if (*p == ':') {
            p++;
            if (!vm__gdb_thread(g, &p, &id))
                break;
        }
        for (uint32_t n = 0; n < g->m->n_cpus; n++) {
            if (chosen[n] || (id > 0 && n != (uint32_t)(id - 1)))
                continue;
            chosen[n] = any = true;
            what[n] = letter == 'c' || letter == 'C' ? GO : STEP;
        }
    }
    if (*p != '\0' || !any) {
        vm__gdb_status(g, VM_E_INVAL);
        return;
    }
    vm__lock(g->m);
    for (uint32_t n = 0; n < g->m->n_cpus; n++)
        act(g, n, (enum action)what[n]);
    vm__unlock(g->m);
    go(g);
}

/* ---- break- and watchpoints ------------------------------------------------------------- */

static int change(struct vm_gdb *g, uint64_t type, bool insert, uint64_t addr, uint64_t len)
{
    static const uint32_t kinds[] = { 0, 0, VM_WATCH_WRITE, VM_WATCH_READ, VM_WATCH_ACCESS };
    struct vm_machine *m = g->m;

    if (type < 2)
        return insert ? vm__debug_break_add(m, addr) : vm__debug_break_del(m, addr);
    return insert ? vm__debug_watch_add(m, addr, len, kinds[type])
                  : vm__debug_watch_del(m, addr, len, kinds[type]);
}

/* type,address,length; conditions and commands after that are gdb's to evaluate. */
void vm__gdb_point(struct vm_gdb *g, const char *p, bool insert)
{
    uint64_t type, addr, len;

    if (!vm__gdb_number_to(&p, &type, ',') || !vm__gdb_number_to(&p, &addr, ',') ||
        !vm__gdb_number(&p, &len)) {
        vm__gdb_status(g, VM_E_INVAL);
        return;
    }
    if (type > 4) {
        vm__gdb_reply(g, "");
        return;
    }
    vm__lock(g->m);
    int st = change(g, type, insert, addr, len);
    vm__unlock(g->m);
    if (!insert && st == VM_E_NOENT)
        st = VM_OK; /* asked twice, after a lost answer [GDB §E.2] */
    vm__gdb_status(g, st);
}

/* ---- leaving ---------------------------------------------------------------------------- */

void vm__gdb_leave(struct vm_gdb *g, int how)
{
    const bool silent = g->in[0] == 'k';

    vm__lock(g->m);
    if (vm__run_state(g->m) != VM_ST_RUNNING)
        vm__debug_clear(g->m);
    vm__unlock(g->m);
    if (!silent)
        vm__gdb_status(g, VM_OK);
    g->running = false;
    g->over = true;
    if (how == VM_GDB_DETACHED && vm__run_state(g->m) == VM_ST_PAUSED)
        (void)vm__run_start(g->m);
    if (g->ops.closed != NULL)
        g->ops.closed(g->ud, how);
}
