/* SPDX-License-Identifier: MIT */
/**
 * @file chr_socket.c
 * Backends behind a stream socket: TCP or a Unix path, server or client.
 *
 * A server takes one peer at a time; when it goes away the next may come. A client whose peer goes
 * away stays without, or tries again every `reconnect` seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "chr.h"
#include "telnet.h"
#include "vmrun.h"

struct sock {
    bool server, telnet, nodelay;
    int listen_fd;        /**< server; -1: none */
    struct watch *accept; /**< while nobody is connected */
    char path[108], host[256], port[32];
    bool made_path;     /**< remove it at the end */
    uint64_t reconnect; /**< seconds; 0: never */
    struct watch *again;
    struct telnet filter;
};

static void set_where(struct chr *c, const struct sock *s)
{
    if (s->path[0] != '\0')
        (void)snprintf(c->where, sizeof c->where, "unix:%s%s", s->path, s->server ? ",server" : "");
    else
        (void)snprintf(c->where, sizeof c->where, "%s:%s:%s%s", s->telnet ? "telnet" : "tcp",
                       s->host, s->port, s->server ? ",server" : "");
}

/* ---- addresses ---- */

static int open_unix(const struct sock *s, char *why, size_t size)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", s->path);
    bool ok = fd >= 0;
    if (ok && s->server) {
        struct stat st;
        if (stat(s->path, &st) == 0 && S_ISSOCK(st.st_mode))
            (void)unlink(s->path); /* left by a run before */
        ok = bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0;
    } else if (ok) {
        ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    }
    if (ok)
        return fd;
    (void)snprintf(why, size, "%s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static int open_tcp(const struct sock *s, char *why, size_t size)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                    .ai_flags = s->server ? AI_PASSIVE : 0 };
    struct addrinfo *list = NULL;
    const int e = getaddrinfo(s->host[0] != '\0' ? s->host : NULL, s->port, &hints, &list);
    if (e != 0) {
        (void)snprintf(why, size, "%s", gai_strerror(e));
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool ok = fd >= 0;
        if (ok && s->server) {
            (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int));
            ok = bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 1) == 0;
        } else if (ok) {
            ok = connect(fd, a->ai_addr, a->ai_addrlen) == 0;
        }
        if (!ok) {
            (void)snprintf(why, size, "%s", strerror(errno));
            if (fd >= 0)
                (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static int open_socket(const struct sock *s, char *why, size_t size)
{
    return s->path[0] != '\0' ? open_unix(s, why, size) : open_tcp(s, why, size);
}

/* ---- peers ---- */

static void take_peer(struct chr *c, int fd)
{
    struct sock *s = c->state;
    loop_unwatch(s->accept);
    s->accept = NULL;
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (s->nodelay)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
    if (s->telnet)
        telnet_begin(&s->filter, fd);
    chr_connect(c, fd, fd);
}

static void ready_accept(void *ud, short revents)
{
    struct chr *c = ud;
    struct sock *s = c->state;
    (void)revents;
    const int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        take_peer(c, fd);
}

static void try_again(void *ud)
{
    struct chr *c = ud;
    struct sock *s = c->state;
    char why[128];
    const int fd = open_socket(s, why, sizeof why);
    if (fd < 0)
        return;
    loop_unwatch(s->again);
    s->again = NULL;
    take_peer(c, fd);
}

static void sock_lost(struct chr *c)
{
    struct sock *s = c->state;
    if (s->server && s->accept == NULL)
        s->accept = loop_watch(c->loop, s->listen_fd, POLLIN, ready_accept, c);
    else if (s->reconnect != 0 && s->again == NULL)
        s->again = loop_every(c->loop, (unsigned)s->reconnect * 1000, try_again, c);
}

/** Hold the start until somebody is there. */
static bool wait_for_peer(struct chr *c)
{
    struct sock *s = c->state;
    (void)fprintf(stderr, "vmrun: waiting for connection on: %s\n", c->where);
    while (c->in_fd < 0) {
        if (loop_is_over(c->loop))
            return false;
        loop_turn(c->loop, 500);
    }
    (void)s;
    return true;
}

/* ---- life ---- */

static bool settings_of(struct chr *c, const struct opts *o, struct sock *s, bool *wait)
{
    const char *path = opts_get(o, "path"), *host = opts_get(o, "host"),
               *port = opts_get(o, "port");
    (void)c;
    if (!opts_bool(o, "server", &s->server) || !opts_bool(o, "telnet", &s->telnet) ||
        !opts_bool(o, "nodelay", &s->nodelay) ||
        !opts_number(o, "reconnect", 0, 3600, &s->reconnect))
        return false;
    *wait = s->server;
    if (!opts_bool(o, "wait", wait))
        return false;
    if ((path == NULL) == (port == NULL)) {
        say("%s %s: either path= or host= and port= is needed", o->option, o->text);
        return false;
    }
    if (path != NULL && strlen(path) >= sizeof s->path) {
        say("%s %s: a socket's path has at most %zu bytes", o->option, o->text, sizeof s->path - 1);
        return false;
    }
    if (*wait && !s->server) {
        say("%s %s: wait is for servers", o->option, o->text);
        return false;
    }
    (void)snprintf(s->path, sizeof s->path, "%s", path != NULL ? path : "");
    (void)snprintf(s->host, sizeof s->host, "%s", host != NULL ? host : "");
    (void)snprintf(s->port, sizeof s->port, "%s", port != NULL ? port : "");
    return true;
}

static bool sock_open(struct chr *c, const struct opts *o)
{
    char why[128] = "no address";
    bool wait;
    struct sock *s = calloc(1, sizeof *s);
    if (s == NULL) {
        say("out of memory");
        return false;
    }
    c->state = s;
    c->owns_fds = true;
    s->listen_fd = -1;
    if (!settings_of(c, o, s, &wait))
        return false;
    set_where(c, s);
    const int fd = open_socket(s, why, sizeof why);
    if (fd < 0 && s->reconnect == 0) {
        say("%s: %s: %s", c->id, c->where, why);
        return false;
    }
    if (!s->server) {
        if (fd >= 0)
            take_peer(c, fd);
        else
            sock_lost(c);
        return true;
    }
    s->listen_fd = fd;
    s->made_path = s->path[0] != '\0';
    sock_lost(c);
    return !wait || wait_for_peer(c);
}

static void sock_close(struct chr *c)
{
    struct sock *s = c->state;
    if (s == NULL)
        return;
    loop_unwatch(s->accept);
    loop_unwatch(s->again);
    if (s->listen_fd >= 0)
        (void)close(s->listen_fd);
    if (s->made_path)
        (void)unlink(s->path);
    free(s);
}

static size_t sock_decode(struct chr *c, uint8_t *buf, size_t len)
{
    struct sock *s = c->state;
    if (!s->telnet)
        return len;
    bool brk = false;
    len = telnet_decode(&s->filter, buf, len, &brk);
    if (brk)
        chr_break(c);
    return len;
}

static const char *const sock_settings[] = { "path",   "host",    "port",      "server", "wait",
                                             "telnet", "nodelay", "reconnect", NULL };
const struct chr_kind chr_socket = {
    .name = "socket",
    .help = "path=UNIX or host=,port=; server=on,wait=off; telnet=on; reconnect=SECONDS",
    .settings = sock_settings,
    .open = sock_open,
    .close = sock_close,
    .decode = sock_decode,
    .lost = sock_lost,
};
