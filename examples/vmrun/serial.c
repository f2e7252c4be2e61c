/* SPDX-License-Identifier: MIT */
/**
 * @file serial.c
 * Host ends of serial ports: the terminal, a file, a pseudo-terminal.
 *
 * The guest's bytes come on a library thread and are written there, as far as the descriptor takes
 * them at once; the guest's port is told to wait for the rest. Bytes for the guest are read on the
 * main thread, only while the port has room. Both directions meet in two flags.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "vmrun.h"

enum {
    CTRL_A = 1,
    IN_BYTES = 256,
    OUT_BYTES = 512, /* at most so many a write: what a writable terminal takes without waiting */
};

struct serial {
    vm_machine *m;
    char id[ID_BYTES];
    int in_fd, out_fd; /**< -1: none */
    int keep_fd;       /**< a pseudo-terminal's other end, held open; -1: none */
    int wake_fd;       /**< eventfd of the main loop */
    bool owns_fds;
    bool drops;           /**< output that finds no room is lost, not waited for */
    bool escapes;         /**< Ctrl-A commands */
    bool escaped;         /**< the last byte was Ctrl-A */
    atomic_bool out_full; /**< set by the library thread, cleared here */
    atomic_bool in_full;  /**< set here, cleared by the library thread */
    uint8_t in[IN_BYTES]; /**< read and not taken by the guest yet */
    size_t in_len;
};

/** Guest to host; on a library thread. */
static int64_t on_write(void *ud, const void *buf, size_t len)
{
    struct serial *s = ud;
    struct pollfd p = { .fd = s->out_fd, .events = POLLOUT };
    if (s->out_fd < 0)
        return (int64_t)len;
    if (poll(&p, 1, 0) > 0) {
        ssize_t n = write(s->out_fd, buf, len < OUT_BYTES ? len : OUT_BYTES);
        if (n >= 0)
            return n;
        if (errno != EAGAIN && errno != EINTR)
            return (int64_t)len; /* a closed pipe or a full disk must not stop the guest */
    }
    if (s->drops)
        return (int64_t)len;
    atomic_store(&s->out_full, true);
    (void)!write(s->wake_fd, &(uint64_t) { 1 }, sizeof(uint64_t));
    return 0;
}

static void on_room(void *ud)
{
    struct serial *s = ud;
    atomic_store(&s->in_full, false);
    (void)!write(s->wake_fd, &(uint64_t) { 1 }, sizeof(uint64_t));
}

static bool open_file(struct serial *s, const char *path)
{
    s->out_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    s->owns_fds = true;
    if (s->out_fd < 0)
        say("%s: file:%s: %s", s->id, path, strerror(errno));
    return s->out_fd >= 0;
}

static bool open_pty(struct serial *s)
{
    struct termios t;
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    s->in_fd = s->out_fd = fd;
    s->owns_fds = s->drops = true;
    const char *name = NULL;
    if (fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0 || (name = ptsname(fd)) == NULL ||
        (s->keep_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 ||
        tcgetattr(s->keep_fd, &t) != 0) {
        say("%s: pty: %s", s->id, strerror(errno));
        return false;
    }
    cfmakeraw(&t);
    (void)tcsetattr(s->keep_fd, TCSANOW, &t);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    printf("char device redirected to %s (label %s)\n", name, s->id);
    (void)fflush(stdout);
    return true;
}

static void open_stdio(struct serial *s, bool escapes)
{
    s->in_fd = STDIN_FILENO;
    s->out_fd = STDOUT_FILENO;
    s->escapes = escapes && isatty(STDIN_FILENO);
    terminal_raw(!escapes);
}

bool serial_is_none(const char *spec)
{
    return strcmp(spec, "none") == 0;
}

bool serial_is_terminal(const char *spec)
{
    return strcmp(spec, "stdio") == 0 || strcmp(spec, "mon:stdio") == 0;
}

struct serial *serial_open(const struct end *end, int wake_fd)
{
    const char *spec = end->spec;
    struct serial *s = calloc(1, sizeof *s);
    if (s == NULL) {
        say("out of memory");
        return NULL;
    }
    s->in_fd = s->out_fd = s->keep_fd = -1;
    s->wake_fd = wake_fd;
    (void)snprintf(s->id, sizeof s->id, "%s", end->id);
    bool ok = true;
    if (serial_is_terminal(spec)) {
        open_stdio(s, spec[0] == 'm');
    } else if (strncmp(spec, "file:", 5) == 0) {
        ok = open_file(s, spec + 5);
    } else if (strcmp(spec, "pty") == 0) {
        ok = open_pty(s);
    } else if (strcmp(spec, "null") != 0) {
        say("%s: %s is not known; there are stdio, mon:stdio, null, none, pty and file:PATH", s->id,
            spec);
        ok = false;
    }
    if (!ok) {
        serial_close(s);
        return NULL;
    }
    return s;
}

bool serial_attach(struct serial *s, vm_machine *m)
{
    const vm_chr_ops ops = { .size = sizeof ops, .write = on_write, .room = on_room };
    s->m = m;
    return vm_chr_attach(m, s->id, &ops, s, NULL) == VM_OK || say_last(s->id);
}

unsigned serial_poll(struct serial *s, struct pollfd *fds)
{
    unsigned n = 0;
    if (s->in_fd >= 0 && s->in_len == 0 && !atomic_load(&s->in_full))
        fds[n++] = (struct pollfd) { .fd = s->in_fd, .events = POLLIN };
    if (atomic_load(&s->out_full))
        fds[n++] = (struct pollfd) { .fd = s->out_fd, .events = POLLOUT };
    return n;
}

static void help(void)
{
    (void)fputs("\nCtrl-A h  this help\nCtrl-A x  quit\nCtrl-A b  send a break\n"
                "Ctrl-A c  (reserved for a monitor)\nCtrl-A Ctrl-A  send Ctrl-A\n",
                stdout);
    (void)fflush(stdout);
}

/** One byte after Ctrl-A. False: quit. */
static bool command(struct serial *s, uint8_t c)
{
    switch (c) {
    case 'x':
        return false;
    case 'b':
        (void)vm_chr_break(s->m, s->id);
        break;
    case 'c':
        say("there is no monitor yet");
        break;
    case CTRL_A:
        s->in[s->in_len++] = c;
        break;
    default:
        help();
        break;
    }
    return true;
}

/** Take the commands out of what was read; the rest goes to s->in. False: quit. */
static bool filter(struct serial *s, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s->escapes && s->escaped) {
            s->escaped = false;
            if (!command(s, buf[i]))
                return false;
        } else if (s->escapes && buf[i] == CTRL_A) {
            s->escaped = true;
        } else {
            s->in[s->in_len++] = buf[i];
        }
    }
    return true;
}

/** Offer what was read; what the guest does not take waits for on_room(). */
static void feed(struct serial *s)
{
    if (s->in_len == 0)
        return;
    atomic_store(&s->in_full, true); /* before feeding: room may come while it returns */
    int64_t n = vm_chr_feed(s->m, s->id, s->in, s->in_len);
    if (n < 0)
        n = (int64_t)s->in_len;
    s->in_len -= (size_t)n;
    memmove(s->in, s->in + n, s->in_len);
    if (s->in_len == 0)
        atomic_store(&s->in_full, false);
}

/** False: quit. */
static bool read_some(struct serial *s)
{
    uint8_t buf[IN_BYTES];
    ssize_t n = read(s->in_fd, buf, sizeof buf);
    if (n > 0)
        return filter(s, buf, (size_t)n);
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        s->in_fd = s->owns_fds ? s->in_fd : -1; /* end of input; the guest goes on */
    return true;
}

bool serial_handle(struct serial *s, const struct pollfd *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (fds[i].revents == 0)
            continue;
        if (fds[i].events == POLLIN) {
            if (!read_some(s))
                return false;
        } else {
            atomic_store(&s->out_full, false);
            (void)vm_chr_ready(s->m, s->id);
        }
    }
    if (!atomic_load(&s->in_full))
        feed(s);
    return true;
}

void serial_close(struct serial *s)
{
    if (s == NULL)
        return;
    if (s->owns_fds && s->out_fd >= 0)
        (void)close(s->out_fd);
    if (s->keep_fd >= 0)
        (void)close(s->keep_fd);
    free(s);
}
