/* SPDX-License-Identifier: MIT */
/**
 * @file query.c
 * General queries and settings: what each side can do, threads, the target description, commands.
 *
 * Spec: [GDB §E.4]. Threads are processors: thread n + 1 is processor n.
 */
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "core/run.h"
#include "debug/gdb.h"

/* The part of @p p after @p word, or NULL if it does not begin so. */
static const char *after(const char *p, const char *word)
{
    const size_t n = strlen(word);
    return strncmp(p, word, n) == 0 ? p + n : NULL;
}

static void supported(struct vm_gdb *g, const char *p)
{
    g->swbreak = strstr(p, "swbreak+") != NULL;
    vm__gdb_begin(g);
    vm__gdb_putf(g, "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+",
                 GDB_PACKET);
    vm__gdb_end(g);
}

/* annex:offset,length; 'm' before the bytes says that there is more, 'l' that this is the last. */
static void features(struct vm_gdb *g, const char *p)
{
    uint64_t off, len;

    p = after(p, "target.xml:");
    if (p == NULL) {
        vm__gdb_reply(g, "E00");
        return;
    }
    if (!vm__gdb_number_to(&p, &off, ',') || !vm__gdb_number(&p, &len) || off > g->xml_len) {
        vm__gdb_status(g, VM_E_INVAL);
        return;
    }
    const uint64_t rest = g->xml_len - off;
    const size_t n = (size_t)vm_min_u64(vm_min_u64(len, rest), GDB_PACKET / 2 - 1);
    vm__gdb_begin(g);
    vm__gdb_put(g, n < rest ? "m" : "l");
    vm__gdb_binary(g, g->xml + off, n);
    vm__gdb_end(g);
}

static void list_threads(struct vm_gdb *g)
{
    vm__gdb_begin(g);
    for (uint32_t n = 0; n < g->m->n_cpus; n++)
        vm__gdb_putf(g, "%c%x", n == 0 ? 'm' : ',', n + 1);
    vm__gdb_end(g);
}

static void describe_thread(struct vm_gdb *g, const char *p)
{
    char text[64];
    int64_t id;

    if (!vm__gdb_thread(g, &p, &id) || id <= 0) {
        vm__gdb_status(g, VM_E_NOENT);
        return;
    }
    const struct vm_cpu *cpu = g->m->cpus[id - 1];
    const struct vm_runner *r = cpu->runner;
    (void)snprintf(text, sizeof text, "CPU %u%s", cpu->index,
                   r != NULL && r->halted ? " (halted)" : "");
    vm__gdb_begin(g);
    vm__gdb_hex(g, text, strlen(text));
    vm__gdb_end(g);
}

/* ---- commands typed after "monitor" ----------------------------------------------------- */

static int own_command(struct vm_gdb *g, const char *line)
{
    const char *name = after(line, "arch");

    if (name == NULL || (*name != ' ' && *name != '\0'))
        return VM_E_NOTSUP;
    name += strspn(name, " ");
    if (vm__gdb_arch(name) == 0 && strcmp(name, "auto") != 0) {
        (void)vm__gdb_print(g, "arch auto|amd64|i386|i8086: the layout of registers for the next "
                               "\"target remote\"\n");
        return VM_OK;
    }
    g->m->debug.gdb_arch = vm__gdb_arch(name);
    (void)vm__gdb_print(g, "now: disconnect, then target remote again\n");
    return VM_OK;
}

static void command(struct vm_gdb *g, const char *p)
{
    char line[1024];
    const size_t n = strlen(p) / 2;

    if (n >= sizeof line || !vm__gdb_unhex(p, line, n)) {
        vm__gdb_status(g, VM_E_INVAL);
        return;
    }
    line[n] = '\0';
    g->printing = true;
    int st = own_command(g, line);
    if (st == VM_E_NOTSUP && g->ops.command != NULL)
        st = g->ops.command(g->ud, g, line);
    else if (st == VM_E_NOTSUP)
        (void)vm__gdb_print(g, "no such command; there is: arch\n");
    g->printing = false;
    vm__gdb_status(g, st == VM_E_NOTSUP ? VM_OK : st);
}

/* ---- dispatch --------------------------------------------------------------------------- */

void vm__gdb_query(struct vm_gdb *g, const char *p)
{
    const char *rest;

    if ((rest = after(p, "Supported")) != NULL) {
        supported(g, rest);
    } else if ((rest = after(p, "Xfer:features:read:")) != NULL) {
        features(g, rest);
    } else if (strcmp(p, "fThreadInfo") == 0) {
        list_threads(g);
    } else if (strcmp(p, "sThreadInfo") == 0) {
        vm__gdb_reply(g, "l");
    } else if ((rest = after(p, "ThreadExtraInfo,")) != NULL) {
        describe_thread(g, rest);
    } else if (strcmp(p, "C") == 0) {
        vm__gdb_begin(g);
        vm__gdb_putf(g, "QC%x", g->cpu + 1);
        vm__gdb_end(g);
    } else if (after(p, "Attached") != NULL) {
        vm__gdb_reply(g, "1");
    } else if ((rest = after(p, "Rcmd,")) != NULL) {
        command(g, rest);
    } else if (strcmp(p, "qemu.PhyMemMode") == 0) {
        vm__gdb_reply(g, g->physical ? "1" : "0");
    } else {
        vm__gdb_reply(g, "");
    }
}

void vm__gdb_set(struct vm_gdb *g, const char *p)
{
    const char *rest;

    if (strcmp(p, "StartNoAckMode") == 0) {
        vm__gdb_status(g, VM_OK);
        g->no_ack = true;
    } else if ((rest = after(p, "qemu.PhyMemMode:")) != NULL) {
        /* Scripts know it by this name: m, M and X by physical address. */
        g->physical = *rest == '1';
        vm__gdb_status(g, VM_OK);
    } else {
        vm__gdb_reply(g, "");
    }
}
