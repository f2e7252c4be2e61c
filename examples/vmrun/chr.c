/* SPDX-License-Identifier: MIT */
/**
 * @file chr.c
 * What every character backend shares: descriptors, flow both ways, users.
 *
 * A user's bytes may come on a library thread and are written there, as far as the descriptor takes
 * them at once; what it does not take stays with the user, who hears of room later. Bytes from the
 * host are read on the main thread, only while the user in focus has room.
 */
#include "chr.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmrun.h"

enum {
    OUT_BYTES = 512
}; /* at most so many a write: what a ready descriptor takes without waiting */

static struct chr_user *in_focus(struct chr *c)
{
    return c->focus < c->n_users ? &c->user[c->focus] : NULL;
}

static size_t room_of(const struct chr_user *u)
{
    return u == NULL || u->room == NULL ? CHR_IN_BYTES : u->room(u->ud);
}

void chr_pump(struct chr *c)
{
    struct chr_user *u = in_focus(c);
    const size_t room = room_of(u), n = c->in_len < room ? c->in_len : room;
    if (n == 0)
        return;
    uint8_t buf[CHR_IN_BYTES];
    memcpy(buf, c->in, n);
    c->in_len -= n;
    memmove(c->in, c->in + n, c->in_len);
    if (u != NULL && u->input != NULL)
        u->input(u->ud, buf, n);
}

void chr_take(struct chr *c, const uint8_t *buf, size_t len)
{
    chr_pump(c);
    if (len > sizeof c->in - c->in_len)
        len = sizeof c->in - c->in_len;
    memcpy(c->in + c->in_len, buf, len);
    c->in_len += len;
    chr_pump(c);
}

static void tell(struct chr *c, enum chr_event event)
{
    for (unsigned i = 0; i < c->n_users; i++)
        if (c->user[i].event != NULL)
            c->user[i].event(c->user[i].ud, event);
}

/* ---- from the host ---- */

/** Nothing was taken for a while. With Ctrl-A commands the terminal is then read all the same, or a
 *  guest that does not listen could not be left; what finds no room is lost. */
static void stalled(void *ud)
{
    struct chr *c = ud;
    c->stalled = true;
}

static short want_in(void *ud)
{
    struct chr *c = ud;
    chr_pump(c);
    if (c->in_len == 0) {
        loop_unwatch(c->stall);
        c->stall = NULL;
        c->stalled = false;
    } else if (c->mux && c->may_lose && c->stall == NULL) {
        c->stall = loop_every(c->loop, 1000, stalled, c);
    }
    return c->in_len == 0 || c->stalled ? POLLIN : 0;
}

static void ready_in(void *ud, short revents)
{
    struct chr *c = ud;
    uint8_t buf[CHR_IN_BYTES];
    (void)revents;
    ssize_t n = read(c->in_fd, buf, sizeof buf);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        chr_disconnect(c);
        if (c->kind->lost != NULL)
            c->kind->lost(c);
        return;
    }
    size_t len = (size_t)n;
    if (c->kind->decode != NULL)
        len = c->kind->decode(c, buf, len);
    if (c->mux)
        chr_keys(c, buf, len);
    else
        chr_take(c, buf, len);
}

/* ---- to the host ---- */

/** Under the lock. -1: the descriptor takes nothing now. */
static ssize_t write_some(struct chr *c, const void *buf, size_t len)
{
    if (c->kind->write != NULL)
        return (ssize_t)c->kind->write(c, buf, len);
    struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };
    if (c->out_fd < 0)
        return (ssize_t)len; /* nobody listens */
    if (poll(&p, 1, 0) > 0) {
        const ssize_t n = write(c->out_fd, buf, len < OUT_BYTES ? len : OUT_BYTES);
        if (n >= 0)
            return n;
        if (errno != EAGAIN && errno != EINTR)
            return (ssize_t)len; /* a closed pipe or a full disk must not stop the guest */
    }
    return c->drops ? (ssize_t)len : -1;
}

size_t chr_write(struct chr *c, int user, const void *buf, size_t len)
{
    size_t done = 0;
    pthread_mutex_lock(&c->lock);
    while (done < len) {
        const ssize_t n = write_some(c, (const uint8_t *)buf + done, len - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done < len && user >= 0)
        atomic_fetch_or(&c->full, 1u << user);
    pthread_mutex_unlock(&c->lock);
    if (done < len)
        loop_wake(c->loop);
    return done;
}

static short want_out(void *ud)
{
    const struct chr *c = ud;
    return atomic_load(&c->full) != 0 ? POLLOUT : 0;
}

static void ready_out(void *ud, short revents)
{
    struct chr *c = ud;
    (void)revents;
    const unsigned full = atomic_exchange(&c->full, 0);
    for (unsigned i = 0; i < c->n_users; i++)
        if ((full >> i & 1) != 0 && c->user[i].writable != NULL)
            c->user[i].writable(c->user[i].ud);
}

/* ---- descriptors ---- */

void chr_connect(struct chr *c, int in_fd, int out_fd)
{
    pthread_mutex_lock(&c->lock);
    c->in_fd = in_fd;
    c->out_fd = out_fd;
    pthread_mutex_unlock(&c->lock);
    c->in_len = 0;
    c->escaped = false;
    if (in_fd >= 0)
        c->watch_in = loop_watch_if(c->loop, in_fd, want_in, ready_in, c);
    if (out_fd >= 0)
        c->watch_out = loop_watch_if(c->loop, out_fd, want_out, ready_out, c);
    tell(c, CHR_OPENED);
}

void chr_disconnect(struct chr *c)
{
    if (c->in_fd < 0 && c->out_fd < 0)
        return;
    loop_unwatch(c->watch_in);
    c->watch_in = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->owns_fds) { /* else: standard input has ended, output goes on */
        if (c->in_fd >= 0)
            (void)close(c->in_fd);
        if (c->out_fd >= 0 && c->out_fd != c->in_fd)
            (void)close(c->out_fd);
        loop_unwatch(c->watch_out);
        c->watch_out = NULL;
        c->out_fd = -1;
    }
    c->in_fd = -1;
    pthread_mutex_unlock(&c->lock);
    if (!c->owns_fds)
        return;
    tell(c, CHR_CLOSED);
    ready_out(c, 0); /* who waits for room writes into the void */
}

bool chr_is_open(const struct chr *c)
{
    return c->in_fd >= 0 || c->out_fd >= 0 || c->kind->write != NULL;
}

void chr_break(struct chr *c)
{
    struct chr_user *u = in_focus(c);
    if (u != NULL && u->event != NULL)
        u->event(u->ud, CHR_BREAK);
}

/* ---- life ---- */

static const struct chr_kind *find_kind(const char *name)
{
    for (const struct chr_kind *const *k = chr_kinds; *k != NULL; k++)
        if (strcmp((*k)->name, name) == 0)
            return *k;
    return NULL;
}

static bool parse(struct opts *o, const char *option, const char *spec,
                  const struct chr_kind **kind)
{
    const char *names[OPTS_MAX] = { "kind", "id", "mux" };
    char kind_name[32];
    const size_t n = strcspn(spec, ",");
    (void)snprintf(kind_name, sizeof kind_name, "%.*s", (int)(n < 31 ? n : 31), spec);
    *kind = find_kind(kind_name);
    if (*kind == NULL) {
        const char *all[32];
        size_t count = 0;
        for (; chr_kinds[count] != NULL; count++)
            all[count] = chr_kinds[count]->name;
        const char *near = nearest(kind_name, all, count);
        say("%s %s: %s is not known; %s%s", option, spec, kind_name,
            near != NULL ? "did you mean " : "-chardev help lists what there is",
            near != NULL ? near : "");
        return false;
    }
    size_t at = 3;
    for (const char *const *s = (*kind)->settings; s != NULL && *s != NULL; s++)
        names[at++] = *s;
    names[at] = NULL;
    return opts_parse(o, option, spec, "kind", names);
}

bool chr_spec_check(const char *option, const char *spec)
{
    struct opts o;
    const struct chr_kind *kind;
    if (!parse(&o, option, spec, &kind))
        return false;
    opts_free(&o);
    return true;
}

struct chr *chr_open(struct loop *l, const char *option, const char *spec, const char *id)
{
    struct opts o;
    const struct chr_kind *kind;
    if (!parse(&o, option, spec, &kind))
        return NULL;
    struct chr *c = calloc(1, sizeof *c);
    if (c == NULL) {
        say("out of memory");
        opts_free(&o);
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    c->kind = kind;
    c->loop = l;
    c->in_fd = c->out_fd = -1;
    (void)snprintf(c->id, sizeof c->id, "%s", id);
    (void)snprintf(c->where, sizeof c->where, "%s", kind->name);
    const bool ok = opts_bool(&o, "mux", &c->mux) && kind->open(c, &o);
    opts_free(&o);
    if (!ok) {
        chr_close(c);
        return NULL;
    }
    return c;
}

void chr_close(struct chr *c)
{
    if (c == NULL)
        return;
    c->n_users = 0; /* they may be gone already */
    loop_unwatch(c->watch_in);
    loop_unwatch(c->watch_out);
    loop_unwatch(c->stall);
    if (c->kind->close != NULL)
        c->kind->close(c);
    if (c->owns_fds && c->in_fd >= 0)
        (void)close(c->in_fd);
    if (c->owns_fds && c->out_fd >= 0 && c->out_fd != c->in_fd)
        (void)close(c->out_fd);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int chr_add_user(struct chr *c, const struct chr_user *user)
{
    if (c->n_users == CHR_USERS || (c->n_users != 0 && !c->mux)) {
        say("%s: %s has it already; mux=on would let them share", c->id, c->user[0].name);
        return -1;
    }
    c->user[c->n_users] = *user;
    if (c->n_users == 0 && user->event != NULL && chr_is_open(c))
        user->event(user->ud, CHR_OPENED);
    return (int)c->n_users++;
}
