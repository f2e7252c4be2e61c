/* SPDX-License-Identifier: MIT */
/**
 * @file monitor.c
 * Finding a command, running it under the right lock, and giving back its text.
 */
#include "monitor/monitor.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/config.h"
#include "core/run.h"

enum { MAX_LINE = 65536, NAME_BYTES = 32 };

typedef void (*text_fn)(void *ud, const char *text, size_t len);
typedef int (*call_fn)(void *ud, const char *args, text_fn out, void *out_ud);

/** A command of the host program's; never freed while the machine lives, but may be replaced. */
struct mon_added {
    struct mon_added *next;
    char *name, *args, *help;
    call_fn fn;
    void *ud;
    void (*free_ud)(void *ud);
};

/* ---- state ---- */

static void free_added(struct mon_added *a)
{
    if (a->free_ud != NULL)
        a->free_ud(a->ud);
    free(a->name);
    free(a->args);
    free(a->help);
    free(a);
}

static void free_state(struct vm_monitor *s)
{
    if (s == NULL)
        return;
    while (s->added != NULL) {
        struct mon_added *a = s->added;
        s->added = a->next;
        free_added(a);
    }
    vm__mon_input_free(s->input);
    free(s);
}

struct vm_monitor *vm__mon_state(struct vm_machine *m)
{
    vm__lock(m);
    if (m->monitor == NULL) {
        m->monitor = calloc(1, sizeof *m->monitor);
        m->monitor_free = free_state;
        if (m->monitor != NULL)
            m->monitor->m = m;
        else
            (void)vm__fail_nomem(sizeof *m->monitor);
    }
    struct vm_monitor *s = m->monitor;
    vm__unlock(m);
    return s;
}

/* ---- finding ---- */

static bool is(const char *name, const char *word, size_t len)
{
    return name != NULL && strlen(name) == len && strncmp(name, word, len) == 0;
}

static const struct mon_command *find(const struct mon_command *const *tables, const char *word,
                                      size_t len)
{
    for (; *tables != NULL; tables++)
        for (const struct mon_command *c = *tables; c->name != NULL; c++)
            if (is(c->name, word, len) || is(c->alias, word, len))
                return c;
    return NULL;
}

/** The host program's command that @p line begins with; "info x" has two words. Under the lock. */
static struct mon_added *find_added(const struct vm_monitor *s, const char *line, size_t *len)
{
    for (struct mon_added *a = s->added; a != NULL; a = a->next) {
        const size_t n = strlen(a->name);
        if (strncmp(line, a->name, n) == 0 && strchr(" \t/", line[n]) != NULL) {
            *len = n;
            return a;
        }
    }
    return NULL;
}

/** What vm__nearest() walks: the tables' names, then the host program's. */
struct names {
    const struct mon_command *const *tables;
    const struct mon_added *added;
    const char *prefix; /**< of added ones that count: "info " or "" */
};

static struct names names_of(struct vm_monitor *s, bool info)
{
    vm__lock(s->m);
    const struct names n = { .tables = info ? vm__mon_infos : vm__mon_commands,
                             .added = s->added,
                             .prefix = info ? "info " : "" };
    vm__unlock(s->m);
    return n;
}

/** The i-th row of either kind: a command of the library or of the host program. */
static bool nth(const struct names *n, uint32_t i, const struct mon_command **c,
                const struct mon_added **added)
{
    const size_t prefix = strlen(n->prefix);
    for (const struct mon_command *const *t = n->tables; *t != NULL; t++) {
        for (*c = *t; (*c)->name != NULL; (*c)++)
            if (i-- == 0)
                return true;
    }
    *c = NULL;
    for (*added = n->added; *added != NULL; *added = (*added)->next) {
        const bool two = strncmp((*added)->name, "info ", 5) == 0;
        if ((prefix != 0) == two && i-- == 0)
            return true;
    }
    return false;
}

static const char *nth_name(const void *ud, uint32_t i)
{
    const struct names *n = ud;
    const struct mon_command *c;
    const struct mon_added *a;
    if (!nth(n, i, &c, &a))
        return NULL;
    return c != NULL ? c->name : a->name + strlen(n->prefix);
}

static int unknown(const struct names *n, const char *word, size_t len)
{
    char given[NAME_BYTES];
    len = len < NAME_BYTES ? len : NAME_BYTES - 1;
    memcpy(given, word, len);
    given[len] = '\0';
    const char *near = vm__nearest(given, nth_name, n);
    if (near == NULL)
        return vm__fail(VM_E_NOENT, "no such command: %s%s; help lists them", n->prefix, given);
    return vm__fail(VM_E_NOENT, "no such command: %s%s; did you mean %s%s?", n->prefix, given,
                    n->prefix, near);
}

/* ---- running ---- */

static int run(struct mon *mon, const struct mon_command *c, char *args)
{
    struct vm_machine *m = mon->m;
    int st = VM_OK;
    if (c->flags & MON_FREE)
        return c->run(mon, args);
    if (c->flags & MON_EXACT)
        st = vm__run_hold_locked(m);
    else
        vm__lock(m);
    if (st != VM_OK)
        return st;
    mon->cpu = mon->state->cpu < m->n_cpus ? mon->state->cpu : 0;
    st = c->run(mon, args);
    vm__unlock(m);
    if (c->flags & MON_EXACT)
        vm__run_release(m);
    return st;
}

static void collect(void *ud, const char *text, size_t len)
{
    vm__buf_put(ud, text, len);
}

/** What the command printed is the reason, on one line. */
static int failed_with(struct vm_buf *out, int status)
{
    while (out->len != 0 && out->data[out->len - 1] == '\n')
        out->len--;
    for (size_t i = 0; i < out->len; i++)
        if (out->data[i] == '\n')
            out->data[i] = ' ';
    const int st = out->len != 0
                       ? vm__fail(status, "%.*s", (int)(out->len < 400 ? out->len : 400), out->data)
                       : vm__fail(status, "%s", vm_strerror(status));
    out->len = 0;
    return st;
}

static int run_added(struct mon *mon, const struct mon_added *a, const char *args)
{
    const int st = a->fn(a->ud, args, collect, &mon->out);
    return st < 0 ? failed_with(&mon->out, st) : VM_OK;
}

static char *skip_blanks(char *p)
{
    return p + strspn(p, " \t\r\n");
}

/** One command in a line that may be cut up. */
static int dispatch(struct mon *mon, char *line)
{
    line = skip_blanks(line);
    if (*line == '\0')
        return VM_OK;
    size_t len = 0;
    vm__lock(mon->m);
    const struct mon_added *a = find_added(mon->state, line, &len);
    vm__unlock(mon->m);
    if (a != NULL)
        return run_added(mon, a, skip_blanks(line + len));
    len = strcspn(line, " \t/\r\n");
    struct names n = names_of(mon->state, false);
    const struct mon_command *c = find(n.tables, line, len);
    if (c == NULL)
        return unknown(&n, line, len);
    char *args = skip_blanks(line + len);
    if (strcmp(c->name, "info") != 0 || *args == '\0')
        return run(mon, c, args);
    len = strcspn(args, " \t/\r\n");
    n = names_of(mon->state, true);
    c = find(n.tables, args, len);
    return c != NULL ? run(mon, c, skip_blanks(args + len)) : unknown(&n, args, len);
}

int vm__monitor(struct vm_machine *m, const char *line, text_fn out, void *ud)
{
    struct mon mon = { .m = m, .state = vm__mon_state(m) };
    if (mon.state == NULL)
        return VM_E_NOMEM;
    if (strnlen(line, MAX_LINE) == MAX_LINE)
        return vm__fail(VM_E_RANGE, "a line has less than %d bytes", MAX_LINE);
    char *copy = strdup(line);
    if (copy == NULL)
        return vm__fail_nomem(strlen(line));
    int st = dispatch(&mon, copy);
    free(copy);
    if (st == VM_OK && mon.out.failed)
        st = vm__fail_nomem(mon.out.len);
    if (out != NULL && mon.out.len != 0)
        out(ud, (const char *)mon.out.data, mon.out.len);
    free(mon.out.data);
    return st;
}

/* ---- the host program's commands ---- */

int vm__monitor_add(struct vm_machine *m, const char *name, const char *args, const char *help,
                    call_fn fn, void *ud, void (*free_ud)(void *ud))
{
    struct vm_monitor *s = vm__mon_state(m);
    struct mon_added *a = s != NULL ? calloc(1, sizeof *a) : NULL;
    if (a == NULL)
        return vm__fail_nomem(sizeof *a);
    a->name = strdup(name);
    a->args = args != NULL ? strdup(args) : NULL;
    a->help = strdup(help != NULL ? help : "");
    if (a->name == NULL || a->help == NULL || (args != NULL && a->args == NULL)) {
        free_added(a);
        return vm__fail_nomem(strlen(name));
    }
    a->fn = fn;
    a->ud = ud;
    a->free_ud = free_ud;
    vm__lock(m);
    /* The newest of a name is found first; one that is being replaced may be at work. */
    a->next = s->added;
    s->added = a;
    vm__unlock(m);
    return VM_OK;
}

/* ---- help ---- */

static void help_table(struct mon *mon, const struct names *n, const char *word)
{
    const struct mon_command *c;
    const struct mon_added *a;
    const size_t len = word != NULL ? strlen(word) : 0;
    for (uint32_t i = 0; nth(n, i, &c, &a); i++) {
        const char *name = c != NULL ? c->name : a->name + strlen(n->prefix);
        const char *alias = c != NULL ? c->alias : NULL;
        const char *args = c != NULL ? c->args : a->args;
        if (word != NULL && !is(name, word, len) && !is(alias, word, len))
            continue;
        mon_printf(mon, "%s%s%s%s%s%s -- %s\n", n->prefix, name, alias != NULL ? "|" : "",
                   alias != NULL ? alias : "", args != NULL ? " " : "", args != NULL ? args : "",
                   c != NULL ? c->help : a->help);
    }
}

static int run_help(struct mon *mon, char *args)
{
    char *word = vm__mon_word(&args);
    const bool info = word != NULL && strcmp(word, "info") == 0;
    if (info)
        word = vm__mon_word(&args);
    const struct names n = names_of(mon->state, info);
    help_table(mon, &n, word);
    return mon->out.len != 0 || word == NULL ? VM_OK : unknown(&n, word, strlen(word));
}

/** "info" alone. */
static int run_info(struct mon *mon, char *args)
{
    const struct names n = names_of(mon->state, true);
    (void)args;
    help_table(mon, &n, NULL);
    return VM_OK;
}

const struct mon_command vm__mon_help[] = {
    { "help", "?", "[[info] COMMAND]", "list the commands, or explain one", 0, run_help },
    { "info", NULL, "WHAT", "show something of the machine; alone it lists what", 0, run_info },
    { 0 },
};

/* ---- completion ---- */

static int complete_names(const struct names *n, const char *word,
                          int (*fn)(void *ud, const char *name, const char *summary), void *ud)
{
    const struct mon_command *c;
    const struct mon_added *a;
    int st = VM_OK;
    for (uint32_t i = 0; st == VM_OK && nth(n, i, &c, &a); i++) {
        const char *name = c != NULL ? c->name : a->name + strlen(n->prefix);
        if (strncmp(name, word, strlen(word)) == 0)
            st = fn(ud, name, c != NULL ? c->help : a->help);
    }
    return st;
}

/** Words of a sendkey combination are names of keys; of other commands, ids of devices. */
static int complete_argument(const char *command, const char *word,
                             int (*fn)(void *ud, const char *name, const char *summary), void *ud)
{
    int st = VM_OK;
    if (strncmp(command, "sendkey", 7) == 0) {
        const char *key = strrchr(word, '-') != NULL ? strrchr(word, '-') + 1 : word, *name;
        for (uint32_t i = 0; st == VM_OK && (name = vm__mon_key_name(NULL, i)) != NULL; i++) {
            char full[NAME_BYTES * 4];
            const size_t head = (size_t)(key - word);
            if (strncmp(name, key, strlen(key)) != 0 || head + strlen(name) >= sizeof full)
                continue;
            memcpy(full, word, head);
            memcpy(full + head, name, strlen(name) + 1);
            st = fn(ud, full, "");
        }
    }
    return st;
}

int vm__monitor_complete(struct vm_machine *m, const char *line,
                         int (*fn)(void *ud, const char *name, const char *summary), void *ud)
{
    struct vm_monitor *s = vm__mon_state(m);
    if (s == NULL)
        return VM_E_NOMEM;
    line += strspn(line, " \t");
    const char *word = line + strlen(line);
    while (word > line && word[-1] != ' ' && word[-1] != '\t')
        word--;
    const bool info = strncmp(line, "info ", 5) == 0 || strncmp(line, "help info ", 10) == 0;
    const struct names n = names_of(s, info);
    if (word == line || info || strncmp(line, "help ", 5) == 0)
        return complete_names(&n, word, fn, ud);
    return complete_argument(line, word, fn, ud);
}
