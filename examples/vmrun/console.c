/* SPDX-License-Identifier: MIT */
/**
 * @file console.c
 * The monitor on a backend: a line editor in front of vm_monitor().
 */
#include <stdlib.h>
#include <string.h>

#include "chr.h"
#include "line_edit.h"
#include "vmrun.h"

enum { OUT_LIMIT = 1 << 20 }; /* bytes that wait for a slow reader before input waits too */

struct console {
    struct vmrun *v;
    struct chr *chr;
    int user;
    bool greeted;
    struct line_edit line;
    char *out; /**< for the host, which has not taken it yet */
    size_t out_len, out_room;
    struct console *next;
};

static void flush(void *ud)
{
    struct console *c = ud;
    const size_t n = chr_write(c->chr, c->user, c->out, c->out_len);
    c->out_len -= n;
    memmove(c->out, c->out + n, c->out_len);
}

static void put(void *ud, const char *text, size_t len)
{
    struct console *c = ud;
    if (c->out_len + len > c->out_room) {
        char *out = realloc(c->out, 2 * (c->out_len + len));
        if (out == NULL)
            return;
        c->out = out;
        c->out_room = 2 * (c->out_len + len);
    }
    memcpy(c->out + c->out_len, text, len);
    c->out_len += len;
    flush(c);
}

static void put_text(struct console *c, const char *text)
{
    put(c, text, strlen(text));
}

/** Command output: lines end in "\n" there, in "\r\n" on a terminal. */
static void put_lines(void *ud, const char *text, size_t len)
{
    while (len != 0) {
        const char *end = memchr(text, '\n', len);
        const size_t n = end != NULL ? (size_t)(end - text) : len;
        put(ud, text, n);
        if (end == NULL)
            return;
        put(ud, "\r\n", 2);
        text += n + 1;
        len -= n + 1;
    }
}

static void greet(struct console *c)
{
    char text[96];
    (void)snprintf(text, sizeof text, "libvm %s monitor - type 'help' for more information\r\n",
                   vm_version_string());
    put_text(c, text);
    c->greeted = true;
    line_show(&c->line);
}

static void on_line(void *ud, const char *line)
{
    struct console *c = ud;
    if (vm_monitor(c->v->m, line, put_lines, c) != VM_OK) {
        put_text(c, "Error: ");
        put_text(c, vm_last_error()->message);
        put_text(c, "\r\n");
    }
    if (!loop_is_over(c->v->loop))
        line_show(&c->line);
}

struct complete {
    void (*fn)(void *to, const char *word);
    void *to;
};

static int one_candidate(void *ud, const char *name, const char *summary)
{
    const struct complete *x = ud;
    (void)summary;
    x->fn(x->to, name);
    return 0;
}

static void on_complete(void *ud, const char *text, void (*fn)(void *to, const char *word),
                        void *to)
{
    struct console *c = ud;
    struct complete x = { fn, to };
    (void)vm_monitor_complete(c->v->m, text, one_candidate, &x);
}

static const struct line_ops line_ops = { .put = put, .line = on_line, .complete = on_complete };

/* ---- as the user of a backend ---- */

static size_t room(void *ud)
{
    const struct console *c = ud;
    return c->out_len < OUT_LIMIT ? CHR_IN_BYTES : 0;
}

static void input(void *ud, const uint8_t *buf, size_t len)
{
    struct console *c = ud;
    for (size_t i = 0; i < len && !loop_is_over(c->v->loop); i++)
        line_key(&c->line, buf[i]);
}

static void event(void *ud, enum chr_event e)
{
    struct console *c = ud;
    if (e == CHR_CLOSED)
        c->out_len = 0;
    else if (e == CHR_OPENED)
        greet(c);
    else if (e == CHR_FOCUS && !c->greeted)
        greet(c);
    else if (e == CHR_FOCUS)
        put_text(c, "\r\n"), line_show(&c->line);
}

static struct console *all;

static void close_all(void *ud)
{
    (void)ud;
    while (all != NULL) {
        struct console *c = all;
        all = c->next;
        line_fini(&c->line);
        free(c->out);
        free(c);
    }
}

bool console_open(struct chr *chr, struct vmrun *v)
{
    struct console *c = calloc(1, sizeof *c);
    if (c == NULL) {
        say("out of memory");
        return false;
    }
    c->v = v;
    c->chr = chr;
    line_init(&c->line, &line_ops, c, "(vmrun) ");
    const struct chr_user user = { .name = "the monitor",
                                   .room = room,
                                   .input = input,
                                   .event = event,
                                   .writable = flush,
                                   .ud = c };
    c->next = all;
    all = c;
    c->user = (int)chr->n_users; /* events may come before the call returns */
    return chr_add_user(chr, &user) >= 0;
}

/* ---- commands of the program ---- */

static void print(vm_text_fn out, void *ud, const char *text)
{
    out(ud, text, strlen(text));
}

static int run_quit(void *ud, const char *args, vm_text_fn out, void *out_ud)
{
    struct vmrun *v = ud;
    (void)args;
    (void)out;
    (void)out_ud;
    loop_quit(v->loop, 0);
    return VM_OK;
}

static int run_chardev(void *ud, const char *args, vm_text_fn out, void *out_ud)
{
    const struct vmrun *v = ud;
    (void)args;
    for (const struct chr *c = v->chrs; c != NULL; c = c->next) {
        char line[CHR_ID_BYTES + 600];
        (void)snprintf(line, sizeof line, "%s: filename=%s%s\n", c->id, c->where,
                       strcmp(c->kind->name, "socket") == 0 && !chr_is_open(c) ? " (disconnected)"
                                                                               : "");
        print(out, out_ud, line);
    }
    return VM_OK;
}

static int run_ringbuf_read(void *ud, const char *args, vm_text_fn out, void *out_ud)
{
    char id[CHR_ID_BYTES] = "";
    uint8_t buf[4096];
    size_t n;
    (void)ud;
    (void)sscanf(args, "%63s", id);
    struct chr *c = backend_find(id);
    if (c == NULL || c->kind != &chr_ringbuf) {
        print(out, out_ud, "no ringbuf backend of that id; info chardev lists backends");
        return VM_E_NOENT;
    }
    while ((n = chr_ringbuf_read(c, buf, sizeof buf)) != 0)
        out(out_ud, (const char *)buf, n);
    print(out, out_ud, "\n");
    return VM_OK;
}

/** gdbserver [tcp:[HOST]:PORT|unix:PATH]: as -gdb, while the machine runs. */
static int run_gdbserver(void *ud, const char *args, vm_text_fn out, void *out_ud)
{
    struct vmrun *v = ud;
    char text[4200], spec[8192];
    const char *where = *args != '\0' ? args : "tcp::1234";
    const bool here = strncmp(where, "tcp::", 5) == 0;
    if (backend_find("gdb") != NULL) {
        print(out, out_ud, "there is a server for gdb already; info chardev shows where");
        return VM_E_BUSY;
    }
    (void)snprintf(text, sizeof text, "%s%s,server=on,wait=off", here ? "tcp:127.0.0.1:" : "",
                   here ? where + 5 : where);
    struct chr *c = NULL;
    if (chr_spec("gdbserver", text, spec, sizeof spec))
        c = chr_open(v->loop, "gdbserver", spec, "gdb");
    if (c == NULL) {
        print(out, out_ud, "cannot listen there; the program's standard error says why");
        return VM_E_IO;
    }
    backend_add(v, c);
    if (!gdb_open(c, v))
        return VM_E_NOMEM;
    print(out, out_ud, "Waiting for gdb connection on ");
    print(out, out_ud, c->where);
    print(out, out_ud, "\n");
    return VM_OK;
}

static int run_chardev_send_break(void *ud, const char *args, vm_text_fn out, void *out_ud)
{
    char id[CHR_ID_BYTES] = "";
    (void)ud;
    (void)sscanf(args, "%63s", id);
    struct chr *c = backend_find(id);
    if (c == NULL) {
        print(out, out_ud, "no backend of that id; info chardev lists them");
        return VM_E_NOENT;
    }
    chr_break(c);
    return VM_OK;
}

static vm_machine *disks_of; /* what Ctrl-A s writes */

void commit_disks(void)
{
    if (disks_of != NULL && vm_monitor(disks_of, "commit all", NULL, NULL) != VM_OK)
        (void)say_last("commit");
}

bool console_commands(struct vmrun *v)
{
    static const struct {
        const char *name, *args, *help;
        vm_monitor_fn fn;
    } commands[] = {
        { "quit", NULL, "end the machine and the program", run_quit },
        { "q", NULL, "quit", run_quit },
        { "info chardev", NULL, "character backends", run_chardev },
        { "ringbuf_read", "ID", "what a ringbuf backend has kept", run_ringbuf_read },
        { "gdbserver", "[tcp::PORT]", "let gdb come, as -gdb does", run_gdbserver },
        { "chardev-send-break", "ID", "a break to who uses a backend", run_chardev_send_break },
    };
    disks_of = v->m;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (vm_monitor_add(v->m, commands[i].name, commands[i].args, commands[i].help,
                           commands[i].fn, v, i == 0 ? close_all : NULL) != VM_OK)
            return say_last(commands[i].name);
    return true;
}
