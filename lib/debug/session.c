/* SPDX-License-Identifier: MIT */
/**
 * @file session.c
 * A session's life, and the two ways in: bytes from gdb, events from the machine.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/run.h"
#include "debug/gdb.h"

static void on_event(void *ud, const vm_event *event)
{
    struct vm_gdb *g = ud;

    (void)event;
    pthread_mutex_lock(&g->lock);
    /* An event of an earlier stop may come late: the state decides. */
    if (g->running && !g->over && vm__run_state(g->m) != VM_ST_RUNNING)
        vm__gdb_stopped(g);
    pthread_mutex_unlock(&g->lock);
}

static int claim(struct vm_machine *m, struct vm_gdb *g)
{
    int st = VM_OK;

    vm__lock(m);
    if (m->debug.session != NULL)
        st = vm__fail(VM_E_BUSY, "a debugger is connected already");
    else
        m->debug.session = g;
    vm__unlock(m);
    return st;
}

struct vm_gdb *vm__gdb_new(struct vm_machine *m, const vm_gdb_ops *ops, void *ud)
{
    struct vm_gdb *g = calloc(1, sizeof *g);

    if (g == NULL) {
        vm__fail_nomem(sizeof *g);
        return NULL;
    }
    g->m = m;
    memcpy(&g->ops, ops, ops->size < sizeof g->ops ? ops->size : sizeof g->ops);
    g->ud = ud;
    g->step_cpu = -1;
    if (m->n_cpus == 0 || claim(m, g) != VM_OK) {
        if (m->n_cpus == 0)
            vm__fail(VM_E_NOTSUP, "there is no processor to debug");
        free(g);
        return NULL;
    }
    pthread_mutex_init(&g->lock, NULL);
    g->arch = m->debug.gdb_arch != VM_GDB_AUTO ? m->debug.gdb_arch : g->ops.arch;
    vm__gdb_describe(g);
    g->tap = (struct vm_event_tap) { .mask = VM_EVENT_PAUSED | VM_EVENT_SHUTDOWN | VM_EVENT_CRASHED,
                                     .fn = on_event,
                                     .ud = g };
    vm__events_tap(m, &g->tap);
    return g;
}

void vm__gdb_free(struct vm_gdb *g)
{
    struct vm_machine *m = g->m;

    vm__events_untap(m, &g->tap);
    /* What it has set goes with it; a running machine must stand still for that. */
    const bool was_running = vm__run_state(m) == VM_ST_RUNNING;
    if (was_running)
        (void)vm__run_pause(m);
    vm__lock(m);
    if (vm__run_state(m) != VM_ST_RUNNING)
        vm__debug_clear(m);
    m->debug.session = NULL;
    vm__unlock(m);
    if (was_running && vm__run_state(m) == VM_ST_PAUSED)
        (void)vm__run_start(m);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* A packet is answered while the machine stands still. */
static void answer(struct vm_gdb *g)
{
    if (!g->running && vm__run_state(g->m) == VM_ST_RUNNING) {
        pthread_mutex_unlock(&g->lock);
        (void)vm__run_pause(g->m);
        pthread_mutex_lock(&g->lock);
    }
    if (!g->over)
        vm__gdb_command(g);
}

int vm__gdb_feed(struct vm_gdb *g, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    pthread_mutex_lock(&g->lock);
    size_t k = 0;
    for (; k < len && !g->over; k++) {
        if (g->state == GDB_IDLE && bytes[k] == 3) { /* Ctrl-C */
            if (vm__run_state(g->m) == VM_ST_RUNNING)
                (void)vm__run_stop(g->m);
        } else if (vm__gdb_take(g, bytes[k])) {
            answer(g);
        }
    }
    const int st = k < len ? vm__fail(VM_E_STATE, "gdb has left") : VM_OK;
    pthread_mutex_unlock(&g->lock);
    return st;
}

int vm__gdb_print(struct vm_gdb *g, const char *text)
{
    if (!g->printing)
        return vm__fail(VM_E_STATE, "gdb takes text only as the answer to a command");
    for (size_t len = strlen(text), n; len != 0; text += n, len -= n) {
        n = len < GDB_PACKET / 4 ? len : GDB_PACKET / 4;
        vm__gdb_begin(g);
        vm__gdb_put(g, "O");
        vm__gdb_hex(g, text, n);
        vm__gdb_end(g);
    }
    return VM_OK;
}
