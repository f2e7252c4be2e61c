/* SPDX-License-Identifier: MIT */
/**
 * @file chr_keys.c
 * Ctrl-A commands of a shared backend.
 */
#include <string.h>

#include "chr.h"
#include "vmrun.h"

enum { CTRL_A = 1 };

static void put(struct chr *c, const char *text)
{
    (void)chr_write(c, -1, text, strlen(text));
}

static void help(struct chr *c)
{
    put(c, "\r\nCtrl-A h  this help\r\nCtrl-A x  quit\r\n"
           "Ctrl-A s  write what -snapshot kept to the disk images\r\n"
           "Ctrl-A b  send a break\r\n");
    put(c, c->n_users > 1 ? "Ctrl-A c  go on to the next of" : "Ctrl-A c  nothing to go on to:");
    for (unsigned i = 0; i < c->n_users; i++) {
        put(c, i != 0 ? ", " : " ");
        put(c, c->user[i].name);
    }
    put(c, "\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n");
}

static void switch_focus(struct chr *c)
{
    if (c->n_users < 2)
        return;
    c->focus = (c->focus + 1) % c->n_users;
    c->in_len = 0; /* what the one before has not taken it never will */
    const struct chr_user *u = &c->user[c->focus];
    if (u->event != NULL)
        u->event(u->ud, CHR_FOCUS);
}

/** One byte after Ctrl-A. True: it is for the user after all. */
static bool command(struct chr *c, uint8_t byte)
{
    switch (byte) {
    case 'x':
        put(c, "\r\n");
        loop_quit(c->loop, 0);
        return false;
    case 's':
        commit_disks();
        return false;
    case 'b':
        chr_break(c);
        return false;
    case 'c':
        switch_focus(c);
        return false;
    case CTRL_A:
        return true;
    default:
        help(c);
        return false;
    }
}

void chr_keys(struct chr *c, const uint8_t *buf, size_t len)
{
    uint8_t text[CHR_IN_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (c->escaped) {
            c->escaped = false;
            chr_take(c, text, n); /* typed before: for whoever was in focus then */
            n = 0;
            if (!command(c, buf[i]))
                continue;
        } else if (buf[i] == CTRL_A) {
            c->escaped = true;
            continue;
        }
        text[n++] = buf[i];
    }
    chr_take(c, text, n);
}
