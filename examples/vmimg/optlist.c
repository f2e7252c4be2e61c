/* SPDX-License-Identifier: MIT */
/**
 * @file optlist.c
 * Options written as "a=b,c=d", and the list of those that a format has.
 */
#include "vmimg.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void optlist_set(struct optlist *l, const char *name, const char *value)
{
    optlist_remove(l, name);
    void *rows = realloc(l->rows, (size_t)(l->n + 1) * sizeof *l->rows);
    if (rows == NULL)
        return;
    l->rows = rows;
    l->rows[l->n].name = strdup(name);
    l->rows[l->n++].value = strdup(value);
}

const char *optlist_get(const struct optlist *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->rows[i].name, name) == 0)
            return l->rows[i].value;
    return NULL;
}

void optlist_remove(struct optlist *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->rows[i].name, name) == 0) {
            free(l->rows[i].name);
            free(l->rows[i].value);
            memmove(&l->rows[i], &l->rows[i + 1], (size_t)(l->n - i - 1) * sizeof *l->rows);
            l->n--;
            return;
        }
}

void optlist_free(struct optlist *l)
{
    while (l->n != 0)
        optlist_remove(l, l->rows[l->n - 1].name);
    free(l->rows);
    l->rows = NULL;
}

/* Cut the next piece off in place; a doubled comma is one. NULL at the end. */
static char *next_piece(char **rest)
{
    char *start = *rest, *to = start, *from = start;
    if (start == NULL)
        return NULL;
    for (; *from != '\0'; *to++ = *from++)
        if (*from == ',' && *++from != ',')
            break;
    *rest = from != start && from[-1] == ',' ? from : NULL;
    *to = '\0';
    return start;
}

int optlist_parse(struct optlist *l, const char *text, const char *implied)
{
    char *copy = strdup(text), *rest = copy, *piece;
    while ((piece = next_piece(&rest)) != NULL) {
        char *equals = strchr(piece, '=');
        if (equals != NULL) {
            *equals = '\0';
            optlist_set(l, piece, equals + 1);
        } else if (implied != NULL) {
            optlist_set(l, implied, piece);
        } else if (*piece != '\0') {
            const bool no = strncmp(piece, "no", 2) == 0 && strcmp(piece, "nocow") != 0;
            optlist_set(l, no ? piece + 2 : piece, no ? "off" : "on");
        }
        implied = NULL;
    }
    free(copy);
    return 0;
}

char *optlist_json(const struct optlist *l)
{
    json_t *o = json_object();
    for (int i = 0; i < l->n; i++)
        json_object_set_new(o, l->rows[i].name, json_string(l->rows[i].value));
    char *text = json_dumps(o, 0);
    json_decref(o);
    return text;
}

bool asks_help(const char *text)
{
    char *copy = strdup(text), *rest = copy, *piece;
    bool yes = false;
    while ((piece = next_piece(&rest)) != NULL)
        yes = yes || strcmp(piece, "help") == 0 || strcmp(piece, "?") == 0;
    free(copy);
    return yes;
}

/* A list that begins with a comma, or has a single one at its end, is a mistake. */
static bool makes_sense(const char *text)
{
    size_t at_end = 0;
    for (size_t n = strlen(text); n > 0 && text[n - 1] == ','; n--)
        at_end++;
    return *text != '\0' && *text != ',' && at_end % 2 == 0;
}

bool add_options(char **all, const char *text)
{
    char *joined;
    if (!makes_sense(text)) {
        say("Invalid option list: %s", text);
        return false;
    }
    if (asprintf(&joined, "%s%s%s", *all != NULL ? *all : "", *all != NULL ? "," : "", text) < 0)
        return false;
    free(*all);
    *all = joined;
    return true;
}

/* ---- help ------------------------------------------------------------------------------- */

struct table {
    vm_blk_option_row rows[96];
    int n;
};

static int add_row(void *ud, const vm_blk_option_row *row)
{
    struct table *t = ud;
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->rows[i].name, row->name) == 0)
            return 0;
    if (t->n < (int)(sizeof t->rows / sizeof t->rows[0]))
        t->rows[t->n++] = *row;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const vm_blk_option_row *)a)->name, ((const vm_blk_option_row *)b)->name);
}

int show_options(const char *format, int what, bool with_file)
{
    static const char *const types[] = { "str", "bool (on/off)", "num", "size", "str" };
    struct table t = { .n = 0 };
    int st = vm_blk_each_option(the_ctx(), format, what, add_row, &t);
    if (st == VM_E_NOENT)
        return say("Unknown file format '%s'", format);
    if (st == VM_OK && t.n == 0 && what == 0 && !with_file) /* raw: what every file has */
        t.rows[t.n++] = (vm_blk_option_row) { .type = VM_OPTION_SIZE,
                                              .name = "size",
                                              .help = "Virtual disk size" };
    if (st == VM_OK && with_file)
        st = vm_blk_each_option(the_ctx(), "file", what, add_row, &t);
    if (st != VM_OK)
        return say_last("%s", "");
    qsort(t.rows, (size_t)t.n, sizeof t.rows[0], by_name);
    if (what == 2)
        printf("Amend options for '%s':\n", format);
    else
        printf("Supported %s%soptions:\n", with_file ? "" : format, with_file ? "" : " ");
    for (int i = 0; i < t.n; i++) {
        char head[128];
        snprintf(head, sizeof head, "%s=<%s>", t.rows[i].name, types[t.rows[i].type]);
        printf(t.rows[i].help[0] != '\0' ? "  %-22s - %s\n" : "  %s\n", head, t.rows[i].help);
    }
    return 0;
}
