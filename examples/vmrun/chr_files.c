/* SPDX-License-Identifier: MIT */
/**
 * @file chr_files.c
 * Backends that are a descriptor and no more: file, named pipe, host serial port, nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "chr.h"
#include "vmrun.h"

static const char *path_of(struct chr *c, const struct opts *o)
{
    const char *path = opts_get(o, "path");
    if (path == NULL || *path == '\0') {
        say("%s %s: path= is missing", o->option, o->text);
        return NULL;
    }
    (void)snprintf(c->where, sizeof c->where, "%s:%s", c->kind->name, path);
    return path;
}

static bool complain(const struct chr *c)
{
    say("%s: %s: %s", c->id, c->where, strerror(errno));
    return false;
}

/* ---- file ---- */

static bool file_open(struct chr *c, const struct opts *o)
{
    bool append = false;
    const char *path = path_of(c, o);
    if (path == NULL || !opts_bool(o, "append", &append))
        return false;
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0)
        return complain(c);
    c->owns_fds = true;
    chr_connect(c, -1, fd);
    return true;
}

static const char *const file_settings[] = { "path", "append", NULL };
const struct chr_kind chr_file = {
    .name = "file",
    .help = "path=FILE[,append=on]: output only",
    .settings = file_settings,
    .open = file_open,
};

/* ---- pipe ---- */

/** PATH.in and PATH.out if there are such, as they are one-way; else PATH both ways. Opened for
 *  reading and writing, so that the peer may come and go. */
static bool pipe_open(struct chr *c, const struct opts *o)
{
    char in[4100], out[4100];
    const char *path = path_of(c, o);
    if (path == NULL)
        return false;
    (void)snprintf(in, sizeof in, "%s.in", path);
    (void)snprintf(out, sizeof out, "%s.out", path);
    c->owns_fds = true;
    int in_fd = open(in, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int out_fd = in_fd >= 0 ? open(out, O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;
    if (in_fd >= 0 && out_fd < 0)
        (void)close(in_fd);
    if (in_fd < 0 || out_fd < 0)
        in_fd = out_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (in_fd < 0)
        return complain(c);
    chr_connect(c, in_fd, out_fd);
    return true;
}

static const char *const path_settings[] = { "path", NULL };
const struct chr_kind chr_pipe = {
    .name = "pipe",
    .help = "path=FIFO: FIFO.in and FIFO.out, or one FIFO both ways",
    .settings = path_settings,
    .open = pipe_open,
};

/* ---- host serial port ---- */

static bool serial_open(struct chr *c, const struct opts *o)
{
    struct termios t;
    const char *path = path_of(c, o);
    if (path == NULL)
        return false;
    const int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return complain(c);
    c->owns_fds = true;
    if (tcgetattr(fd, &t) != 0) {
        say("%s: %s is not a terminal device", c->id, path);
        (void)close(fd);
        return false;
    }
    cfmakeraw(&t);
    (void)tcsetattr(fd, TCSANOW, &t);
    chr_connect(c, fd, fd);
    return true;
}

const struct chr_kind chr_serial = {
    .name = "serial",
    .help = "path=TTY: a terminal device of the host",
    .settings = path_settings,
    .open = serial_open,
};

/* ---- nothing ---- */

static bool null_open(struct chr *c, const struct opts *o)
{
    (void)c;
    (void)o;
    return true;
}

const struct chr_kind chr_null = {
    .name = "null",
    .help = "swallows output, gives no input",
    .open = null_open,
};

/** A text console in a window of the program's: shown nowhere without one. */
static const char *const vc_settings[] = { "width", "height", "cols", "rows", NULL };
const struct chr_kind chr_vc = {
    .name = "vc",
    .help = "a console in the program's window; without one as null",
    .settings = vc_settings,
    .open = null_open,
};
