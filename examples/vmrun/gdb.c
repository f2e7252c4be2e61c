/* SPDX-License-Identifier: MIT */
/**
 * @file gdb.c
 * -gdb and -s: the library's server for gdb on a character backend.
 *
 * A session lives from one gdb's connection to its end. Without a host a TCP server listens on the
 * loopback interface only: whoever connects owns the guest.
 */
#include <stdlib.h>
#include <string.h>

#include "chr.h"
#include "vmrun.h"

/* ---- options ---- */

/** Take ",arch=NAME" off the end of @p text. False after a line. */
static bool take_arch(struct parse *p, char *text)
{
    static const char *const names[] = { "auto", "amd64", "i386", "i8086" }; /* by VM_GDB_* */
    char *at = strstr(text, ",arch=");

    if (at == NULL)
        return true;
    for (uint32_t k = 0; k < 4; k++)
        if (strcmp(at + 6, names[k]) == 0) {
            *at = '\0';
            p->o->gdb_arch = k;
            return true;
        }
    say("-gdb %s: arch is auto, amd64, i386 or i8086, and comes last", text);
    return false;
}

bool opt_gdb(struct parse *p, const char *arg)
{
    char text[4096], spec[4200];
    const bool tcp = strncmp(arg, "tcp:", 4) == 0, path = strncmp(arg, "unix:", 5) == 0;

    if (snprintf(text, sizeof text, "%s", arg) >= (int)sizeof text) {
        say("-gdb: too long");
        return false;
    }
    if (!take_arch(p, text))
        return false;
    if (strcmp(text, "none") == 0)
        return true;
    if (strncmp(text, "chardev:", 8) == 0)
        return add_wire(p, "-gdb", WIRE_GDB, "", text + 8);
    if (!tcp && !path && strcmp(text, "stdio") != 0 && strcmp(text, "pty") != 0) {
        say("-gdb %s: tcp::PORT, tcp:HOST:PORT, unix:PATH, stdio, pty, chardev:ID or none is "
            "expected",
            arg);
        return false;
    }
    (void)snprintf(spec, sizeof spec, "%s%s%s%s", tcp ? "tcp:" : "",
                   tcp && text[4] == ':' ? "127.0.0.1" : "", text + (tcp ? 4 : 0),
                   tcp    ? ",server=on,wait=off,nodelay=on"
                   : path ? ",server=on,wait=off"
                          : "");
    return add_chr(p, "-gdb", spec, "gdb") && add_wire(p, "-gdb", WIRE_GDB, "", "gdb");
}

bool opt_gdb_short(struct parse *p, const char *arg)
{
    (void)arg;
    return opt_gdb(p, "tcp::1234");
}

/* ---- a backend that speaks to gdb ---- */

struct gdb_end {
    struct vmrun *v;
    struct chr *chr;
    int user;
    vm_gdb *g; /* NULL: nobody is connected */
    int left;  /* VM_GDB_DETACHED, VM_GDB_KILLED: the session is over */
    uint8_t *out;
    size_t out_len, out_room;
    struct gdb_end *next;
};

static struct gdb_end *ends;

static void flush(void *ud)
{
    struct gdb_end *e = ud;
    const size_t n = chr_write(e->chr, e->user, e->out, e->out_len);
    e->out_len -= n;
    memmove(e->out, e->out + n, e->out_len);
}

/* gdb asks and waits, so what it has not taken yet stays small. */
static void out(void *ud, const void *data, size_t len)
{
    struct gdb_end *e = ud;
    if (e->out_len + len > e->out_room) {
        const size_t room = 2 * (e->out_len + len);
        uint8_t *more = realloc(e->out, room);
        if (more == NULL)
            return; /* gdb will ask again */
        e->out = more;
        e->out_room = room;
    }
    memcpy(e->out + e->out_len, data, len);
    e->out_len += len;
    flush(e);
}

static void print(void *ud, const char *text, size_t len)
{
    char part[256];
    while (len != 0) {
        const size_t n = len < sizeof part - 1 ? len : sizeof part - 1;
        memcpy(part, text, n);
        part[n] = '\0';
        (void)vm_gdb_print(ud, part);
        text += n;
        len -= n;
    }
}

/* "monitor LINE": the machine's monitor. */
static int command(void *ud, vm_gdb *g, const char *line)
{
    struct gdb_end *e = ud;
    if (vm_monitor(e->v->m, line, print, g) != VM_OK) {
        const char *why = vm_last_error()->message;
        print(g, why, strlen(why));
        print(g, "\n", 1);
    }
    return VM_OK;
}

static void closed(void *ud, int how)
{
    ((struct gdb_end *)ud)->left = how;
}

static void begin(struct gdb_end *e)
{
    const vm_gdb_ops ops = { .size = sizeof ops,
                             .arch = e->v->o.gdb_arch,
                             .out = out,
                             .command = command,
                             .closed = closed };
    e->left = 0;
    e->out_len = 0;
    e->g = vm_gdb_new(e->v->m, &ops, e);
    if (e->g == NULL)
        (void)say_last("-gdb");
}

static void end(struct gdb_end *e)
{
    vm_gdb_free(e->g);
    e->g = NULL;
}

static void input(void *ud, const uint8_t *buf, size_t len)
{
    struct gdb_end *e = ud;
    if (e->g == NULL && e->left == 0)
        begin(e);
    if (e->g == NULL)
        return;
    (void)vm_gdb_feed(e->g, buf, len);
    if (e->left == 0)
        return;
    end(e);
    if (e->left == VM_GDB_KILLED)
        loop_quit(e->v->loop, 0);
}

static void event(void *ud, enum chr_event what)
{
    struct gdb_end *e = ud;
    if (what == CHR_OPENED)
        e->left = 0;
    else if (what == CHR_CLOSED)
        end(e);
}

bool gdb_open(struct chr *c, struct vmrun *v)
{
    struct gdb_end *e = calloc(1, sizeof *e);
    if (e == NULL) {
        say("-gdb: no memory");
        return false;
    }
    e->v = v;
    e->chr = c;
    e->next = ends;
    ends = e;
    const struct chr_user user = {
        .name = "gdb", .input = input, .event = event, .writable = flush, .ud = e
    };
    e->user = chr_add_user(c, &user);
    return e->user >= 0;
}

void gdb_close(void)
{
    while (ends != NULL) {
        struct gdb_end *e = ends;
        ends = e->next;
        vm_gdb_free(e->g);
        free(e->out);
        free(e);
    }
}
