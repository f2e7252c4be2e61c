/* SPDX-License-Identifier: MIT */
/**
 * @file line_edit.c
 * Editing a line on a terminal that may be a socket away.
 *
 * Only carriage return, backspace and "erase to the end of the line" (CSI K) [ECMA-48 §8.3.41] are
 * sent: any terminal knows them. Bytes above 127 are taken as they come, one column each.
 */
#include "line_edit.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT, ESC, CSI };

void line_init(struct line_edit *e, const struct line_ops *ops, void *ud, const char *prompt)
{
    *e = (struct line_edit) { .ops = ops, .ud = ud, .prompt = prompt };
}

void line_fini(struct line_edit *e)
{
    for (size_t i = 0; i < e->n_history; i++)
        free(e->history[i]);
}

/* ---- showing ---- */

static void put(struct line_edit *e, const char *text, size_t len)
{
    if (len != 0)
        e->ops->put(e->ud, text, len);
}

static void move_to(struct line_edit *e, size_t at)
{
    for (; e->shown_at > at; e->shown_at--)
        put(e, "\b", 1);
    put(e, e->text + e->shown_at, at - e->shown_at);
    e->shown_at = at;
}

/** Everything from @p from on is to be drawn again, over what may be longer. */
static void redraw(struct line_edit *e, size_t from)
{
    move_to(e, from);
    put(e, "\x1b[K", 3);
    move_to(e, e->len);
    move_to(e, e->at);
}

void line_show(struct line_edit *e)
{
    put(e, e->prompt, strlen(e->prompt));
    e->shown_at = 0;
    move_to(e, e->len);
    move_to(e, e->at);
}

/* ---- editing ---- */

static void insert(struct line_edit *e, const char *text, size_t n)
{
    if (e->len + n >= LINE_BYTES)
        return;
    memmove(e->text + e->at + n, e->text + e->at, e->len - e->at);
    memcpy(e->text + e->at, text, n);
    e->len += n;
    e->at += n;
    e->text[e->len] = '\0';
    move_to(e, e->len); /* what follows is drawn over: it only moved on */
    move_to(e, e->at);
}

static void erase(struct line_edit *e, size_t from, size_t to)
{
    memmove(e->text + from, e->text + to, e->len - to);
    e->len -= to - from;
    e->text[e->len] = '\0';
    e->at = from;
    redraw(e, from);
}

static void replace(struct line_edit *e, const char *text)
{
    e->at = 0;
    move_to(e, 0);
    e->len = strlen(text) < LINE_BYTES ? strlen(text) : LINE_BYTES - 1;
    memcpy(e->text, text, e->len);
    e->text[e->len] = '\0';
    e->at = e->len;
    redraw(e, 0);
}

static size_t word_before(const struct line_edit *e)
{
    size_t at = e->at;
    while (at > 0 && e->text[at - 1] == ' ')
        at--;
    while (at > 0 && e->text[at - 1] != ' ')
        at--;
    return at;
}

/* ---- history ---- */

static void remember(struct line_edit *e)
{
    if (e->len == 0 || (e->n_history != 0 && strcmp(e->history[e->n_history - 1], e->text) == 0))
        return;
    if (e->n_history == LINE_HISTORY) {
        free(e->history[0]);
        memmove(e->history, e->history + 1, (LINE_HISTORY - 1) * sizeof e->history[0]);
        e->n_history--;
    }
    e->history[e->n_history] = strdup(e->text);
    e->n_history += e->history[e->n_history] != NULL;
}

static void browse(struct line_edit *e, bool back)
{
    if (back ? e->in_history == 0 : e->in_history >= e->n_history)
        return;
    e->in_history += back ? (size_t)-1 : 1;
    replace(e, e->in_history < e->n_history ? e->history[e->in_history] : "");
}

/* ---- completion ---- */

struct candidates {
    struct line_edit *e;
    char common[256]; /**< what all begin with */
    size_t n;
    bool list; /**< the second time round: show them */
};

static void candidate(void *to, const char *word)
{
    struct candidates *c = to;
    if (c->list) {
        put(c->e, word, strlen(word));
        put(c->e, "  ", 2);
        return;
    }
    if (c->n++ == 0) {
        (void)strncpy(c->common, word, sizeof c->common - 1);
        return;
    }
    size_t i = 0;
    while (c->common[i] != '\0' && c->common[i] == word[i])
        i++;
    c->common[i] = '\0';
}

static void complete(struct line_edit *e)
{
    struct candidates c = { .e = e };
    char before[LINE_BYTES];
    memcpy(before, e->text, e->at);
    before[e->at] = '\0';
    e->ops->complete(e->ud, before, candidate, &c);
    size_t start = e->at;
    while (start > 0 && e->text[start - 1] != ' ')
        start--;
    const size_t typed = e->at - start, known = strlen(c.common);
    if (c.n == 0)
        return;
    if (known > typed)
        insert(e, c.common + typed, known - typed);
    if (c.n == 1) {
        insert(e, " ", 1);
    } else if (known <= typed) {
        c.list = true;
        put(e, "\r\n", 2);
        e->ops->complete(e->ud, before, candidate, &c);
        put(e, "\r\n", 2);
        line_show(e);
    }
}

/* ---- keys ---- */

static void enter(struct line_edit *e)
{
    char line[LINE_BYTES];
    move_to(e, e->len);
    put(e, "\r\n", 2);
    remember(e);
    memcpy(line, e->text, e->len + 1);
    e->len = e->at = e->shown_at = 0;
    e->text[0] = '\0';
    e->in_history = e->n_history;
    e->ops->line(e->ud, line);
}

/** The byte that ends "ESC [ number". */
static void sequence(struct line_edit *e, uint8_t byte)
{
    e->escape = TEXT;
    switch (byte) {
    case 'A':
        browse(e, true);
        break;
    case 'B':
        browse(e, false);
        break;
    case 'C':
        if (e->at < e->len)
            move_to(e, ++e->at);
        break;
    case 'D':
        if (e->at > 0)
            move_to(e, --e->at);
        break;
    case 'H':
        move_to(e, e->at = 0);
        break;
    case 'F':
        move_to(e, e->at = e->len);
        break;
    case '~':
        if (e->number == 3 && e->at < e->len)
            erase(e, e->at, e->at + 1);
        else if (e->number == 1 || e->number == 7)
            move_to(e, e->at = 0);
        else if (e->number == 4 || e->number == 8)
            move_to(e, e->at = e->len);
        break;
    default:
        break;
    }
}

/** Bytes of an escape sequence. True: it was one. */
static bool in_escape(struct line_edit *e, uint8_t byte)
{
    if (e->escape == ESC) {
        e->escape = byte == '[' || byte == 'O' ? CSI : TEXT;
        e->number = 0;
        return true;
    }
    if (e->escape != CSI)
        return false;
    if (byte >= '0' && byte <= '9')
        e->number = e->number < 1000 ? e->number * 10 + (unsigned)(byte - '0') : 1000;
    else if (byte >= 0x40)
        sequence(e, byte);
    return true;
}

static void control(struct line_edit *e, uint8_t byte)
{
    switch (byte) {
    case 1:
        move_to(e, e->at = 0);
        break; /* Ctrl-A */
    case 2:
        sequence(e, 'D');
        break; /* Ctrl-B */
    case 4:    /* Ctrl-D */
        if (e->at < e->len)
            erase(e, e->at, e->at + 1);
        break;
    case 5:
        move_to(e, e->at = e->len);
        break; /* Ctrl-E */
    case 6:
        sequence(e, 'C');
        break; /* Ctrl-F */
    case 8:
    case 127:
        if (e->at > 0)
            erase(e, e->at - 1, e->at);
        break;
    case '\t':
        complete(e);
        break;
    case 11:
        erase(e, e->at, e->len);
        break; /* Ctrl-K */
    case 12:
        put(e, "\r\n", 2);
        line_show(e);
        break; /* Ctrl-L */
    case 14:
        browse(e, false);
        break; /* Ctrl-N */
    case 16:
        browse(e, true);
        break; /* Ctrl-P */
    case 3:    /* Ctrl-C: a new line */
    case 21:
        e->at = e->len;
        erase(e, 0, e->len);
        break; /* Ctrl-U */
    case 23:
        erase(e, word_before(e), e->at);
        break; /* Ctrl-W */
    case 27:
        e->escape = ESC;
        break;
    default:
        break;
    }
}

void line_key(struct line_edit *e, uint8_t byte)
{
    const bool second = e->after_cr && byte == '\n';
    e->after_cr = byte == '\r';
    if (in_escape(e, byte) || second)
        return;
    if (byte == '\r' || byte == '\n')
        enter(e);
    else if (byte < 32 || byte == 127)
        control(e, byte);
    else
        insert(e, (const char *)&byte, 1);
}
