/* SPDX-License-Identifier: MIT */
/**
 * @file chr_terminal.c
 * Backends with a terminal: the one we were started on, and a pseudo-terminal of our own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "chr.h"
#include "vmrun.h"

/* ---- stdio ---- */

static bool stdio_open(struct chr *c, const struct opts *o)
{
    bool signals = !c->mux; /* with Ctrl-A x there is another way to end it */
    if (!opts_bool(o, "signal", &signals))
        return false;
    c->may_lose = isatty(STDIN_FILENO);
    terminal_raw(signals);
    chr_connect(c, STDIN_FILENO, STDOUT_FILENO);
    return true;
}

static void stdio_close(struct chr *c)
{
    (void)c;
    terminal_restore();
}

static const char *const stdio_settings[] = { "signal", NULL };
const struct chr_kind chr_stdio = {
    .name = "stdio",
    .help = "this terminal; signal=off passes Ctrl-C on",
    .settings = stdio_settings,
    .open = stdio_open,
    .close = stdio_close,
};

/* ---- pty ---- */

/** The other end, held open so that whoever opens it may go away and come back. */
struct pty {
    int keep_fd;
};

static bool pty_open(struct chr *c, const struct opts *o)
{
    struct termios t;
    (void)o;
    const int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct pty *p = calloc(1, sizeof *p);
    const char *name = NULL;
    c->state = p;
    c->owns_fds = c->drops = true;
    if (p != NULL)
        p->keep_fd = -1;
    if (p == NULL || fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0 ||
        (name = ptsname(fd)) == NULL ||
        (p->keep_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 ||
        tcgetattr(p->keep_fd, &t) != 0) {
        say("%s: pty: %s", c->id, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    cfmakeraw(&t);
    (void)tcsetattr(p->keep_fd, TCSANOW, &t);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)snprintf(c->where, sizeof c->where, "pty:%s", name);
    printf("char device redirected to %s (label %s)\n", name, c->id);
    (void)fflush(stdout);
    chr_connect(c, fd, fd);
    return true;
}

static void pty_close(struct chr *c)
{
    struct pty *p = c->state;
    if (p != NULL && p->keep_fd >= 0)
        (void)close(p->keep_fd);
    free(p);
}

const struct chr_kind chr_pty = {
    .name = "pty",
    .help = "a pseudo-terminal, whose name is printed",
    .open = pty_open,
    .close = pty_close,
};
