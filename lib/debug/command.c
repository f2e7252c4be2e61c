/* SPDX-License-Identifier: MIT */
/**
 * @file command.c
 * From a packet to what handles it.
 *
 * Spec: [GDB §E.2]. A packet that is not known gets the empty answer.
 */
#include <string.h>

#include "base/error.h"
#include "debug/gdb.h"

static void select_thread(struct vm_gdb *g, const char *p)
{
    const char which = *p++;
    int64_t id;

    if (!vm__gdb_thread(g, &p, &id)) {
        vm__gdb_status(g, VM_E_INVAL);
        return;
    }
    if (which == 'g' && id > 0)
        g->cpu = (uint32_t)(id - 1);
    else if (which == 'c')
        g->step_cpu = id > 0 ? id - 1 : -1;
    vm__gdb_status(g, VM_OK);
}

static void is_alive(struct vm_gdb *g, const char *p)
{
    int64_t id;
    vm__gdb_status(g, vm__gdb_thread(g, &p, &id) && id > 0 ? VM_OK : VM_E_NOENT);
}

static void multi_letter(struct vm_gdb *g, const char *p)
{
    if (strcmp(p, "vCont?") == 0)
        vm__gdb_reply(g, "vCont;c;C;s;S");
    else if (strncmp(p, "vCont;", 6) == 0)
        vm__gdb_vcont(g, p + 5);
    else if (strncmp(p, "vKill", 5) == 0)
        vm__gdb_leave(g, VM_GDB_KILLED);
    else
        vm__gdb_reply(g, "");
}

/* Only a stop is answered while gdb waits for one. */
static bool too_early(const struct vm_gdb *g, char letter)
{
    return g->running && letter != 'k' && letter != 'D';
}

void vm__gdb_command(struct vm_gdb *g)
{
    const char *p = g->in;

    if (too_early(g, *p)) {
        vm__gdb_status(g, VM_E_STATE);
        return;
    }
    switch (*p) {
    case '?':
        vm__gdb_stopped(g);
        break;
    case 'g':
        vm__gdb_read_regs(g);
        break;
    case 'G':
        vm__gdb_write_regs(g, p + 1);
        break;
    case 'p':
        vm__gdb_read_reg(g, p + 1);
        break;
    case 'P':
        vm__gdb_write_reg(g, p + 1);
        break;
    case 'm':
        vm__gdb_read_memory(g, p + 1);
        break;
    case 'M':
        vm__gdb_write_memory(g, p + 1, false);
        break;
    case 'X':
        vm__gdb_write_memory(g, p + 1, true);
        break;
    case 'c':
        vm__gdb_continue(g, p + 1, false);
        break;
    case 's':
        vm__gdb_continue(g, p + 1, true);
        break;
    case 'C':
        vm__gdb_continue(g, strchr(p, ';') != NULL ? strchr(p, ';') + 1 : "", false);
        break;
    case 'S':
        vm__gdb_continue(g, strchr(p, ';') != NULL ? strchr(p, ';') + 1 : "", true);
        break;
    case 'Z':
        vm__gdb_point(g, p + 1, true);
        break;
    case 'z':
        vm__gdb_point(g, p + 1, false);
        break;
    case 'H':
        select_thread(g, p + 1);
        break;
    case 'T':
        is_alive(g, p + 1);
        break;
    case 'q':
        vm__gdb_query(g, p + 1);
        break;
    case 'Q':
        vm__gdb_set(g, p + 1);
        break;
    case 'v':
        multi_letter(g, p);
        break;
    case 'D':
        vm__gdb_leave(g, VM_GDB_DETACHED);
        break;
    case 'k':
        vm__gdb_leave(g, VM_GDB_KILLED);
        break;
    default:
        vm__gdb_reply(g, "");
        break;
    }
}
