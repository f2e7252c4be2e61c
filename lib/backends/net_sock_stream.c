/* SPDX-License-Identifier: MIT */
/**
 * @file net_sock_stream.c
 * Frames over a stream, each behind its length. See net_socket.h.
 *
 * One peer at a time. Without one, frames go nowhere. What the peer says of lengths is not trusted:
 * one that cannot be ends the connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/net_socket.h"
#include "base/buf.h"
#include "base/endian.h"
#include "base/error.h"
#include "core/machine.h"
#include "host/loop.h"

enum { HEAD = 4, BUFFER = HEAD + VM_NET_FRAME_MAX };

struct stream {
    struct vm_net *net;
    struct vm_machine *m;
    struct sock_stream_plan plan;
    char about[128];
    int listener, fd; /* -1: none */
    struct vm_watch *watch, *listener_watch;
    struct vm_timer again;
    bool connecting;
    bool held;    /* the guest takes nothing now */
    bool writing; /* OUT is waited for */
    size_t in, out, sent;
    uint8_t in_buf[2 * BUFFER];
    uint8_t out_buf[BUFFER];
};

static void on_peer(void *opaque, unsigned events);

static void listen_for(struct stream *s)
{
    unsigned events = s->held ? 0u : (unsigned)VM_LOOP_IN;
    if (s->writing || s->connecting)
        events |= VM_LOOP_OUT;
    vm__watch_events(s->watch, events);
}

static void hang_up(struct stream *s)
{
    vm__watch_free(s->watch);
    if (s->fd >= 0)
        close(s->fd);
    s->watch = NULL;
    s->fd = -1;
    s->in = s->out = s->sent = 0;
    s->held = s->writing = s->connecting = false;
    if (!s->plan.listens && s->plan.again_ns != 0)
        vm__timer_arm(&s->again, vm__clock_ns(s->m) + s->plan.again_ns);
    vm__net_ready(s->net); /* what waited goes nowhere */
}

static int take(struct stream *s, int fd, bool connecting)
{
    const int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    s->fd = fd;
    s->connecting = connecting;
    s->watch = vm__watch_new(s->m->loop, fd, connecting ? VM_LOOP_OUT : VM_LOOP_IN, on_peer, s);
    if (s->watch != NULL)
        return VM_OK;
    close(fd);
    s->fd = -1;
    return VM_E_IO;
}

/* ---- from the peer ------------------------------------------------------------------------ */

/** Hand over the frames that are whole. False: the peer makes no sense. */
static bool deliver(struct stream *s)
{
    size_t at = 0;
    bool sane = true;
    s->held = false;
    while (s->in - at >= HEAD) {
        const uint32_t len = vm_be32(s->in_buf + at);
        sane = len >= 1 && len <= VM_NET_FRAME_MAX;
        if (!sane || s->in - at - HEAD < len)
            break;
        if (!vm__net_deliver_buf(s->net, s->in_buf + at + HEAD, len, 0)) {
            s->held = true;
            break;
        }
        at += HEAD + len;
    }
    memmove(s->in_buf, s->in_buf + at, s->in - at);
    s->in -= at;
    return sane;
}

static void flush(struct stream *s)
{
    while (s->sent < s->out) {
        const ssize_t n = send(s->fd, s->out_buf + s->sent, s->out - s->sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        s->sent += (size_t)n;
    }
    if (s->sent == s->out)
        s->sent = s->out = 0;
}

static bool connected(struct stream *s)
{
    int why = 0;
    socklen_t len = sizeof why;
    s->connecting = false;
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 && why == 0;
}

static void on_peer(void *opaque, unsigned events)
{
    struct stream *s = opaque;
    if (s->connecting && !connected(s)) {
        hang_up(s);
        return;
    }
    if (events & (VM_LOOP_IN | VM_LOOP_HUP) && !s->held) {
        const ssize_t n = recv(s->fd, s->in_buf + s->in, sizeof s->in_buf - s->in, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            hang_up(s);
            return;
        }
        s->in += n > 0 ? (size_t)n : 0;
        if (!deliver(s)) {
            hang_up(s);
            return;
        }
    } else if (events & VM_LOOP_HUP) {
        hang_up(s);
        return;
    }
    if (events & VM_LOOP_OUT) {
        flush(s);
        s->writing = s->out != 0;
        if (!s->writing)
            vm__net_ready(s->net);
    }
    listen_for(s);
}

static void on_connection(void *opaque, unsigned events)
{
    struct stream *s = opaque;
    (void)events;
    const int fd = accept(s->listener, NULL, NULL);
    if (fd < 0)
        return;
    if (s->fd >= 0) /* one at a time */
        close(fd);
    else
        (void)take(s, fd, false);
}

/* ---- from the guest ----------------------------------------------------------------------- */

static bool stream_send(void *opaque, const struct vm_net_frame *f)
{
    struct stream *s = opaque;
    if (s->fd < 0 || s->connecting)
        return true;
    if (s->out != 0)
        return false;
    const uint8_t *bytes = vm__net_flat(s->net, f);
    if (bytes == NULL)
        return true;
    vm_put_be32(s->out_buf, (uint32_t)f->len);
    memcpy(s->out_buf + HEAD, bytes, f->len);
    s->out = HEAD + f->len;
    s->sent = 0;
    flush(s);
    if (s->out != 0 && !s->writing) {
        s->writing = true;
        listen_for(s);
    }
    return true;
}

static void stream_room(void *opaque)
{
    struct stream *s = opaque;
    if (s->fd < 0 || !s->held)
        return;
    if (!deliver(s))
        hang_up(s);
    else
        listen_for(s);
}

static void stream_info(void *opaque, struct vm_buf *out)
{
    const struct stream *s = opaque;
    vm__buf_printf(out, "%s, %s", s->about, s->fd >= 0 ? "connected" : "not connected");
}

static void stream_close(void *opaque)
{
    struct stream *s = opaque;
    vm__timer_cancel(&s->again);
    vm__watch_free(s->watch);
    vm__watch_free(s->listener_watch);
    if (s->fd >= 0)
        close(s->fd);
    if (s->listener >= 0)
        close(s->listener);
    if (s->plan.listens && s->plan.at.at.ss_family == AF_UNIX) {
        const char *path = ((const struct sockaddr_un *)&s->plan.at.at)->sun_path;
        if (*path != '\0')
            (void)unlink(path);
    }
    free(s);
}

static const struct vm_net_host_ops ops = {
    .send = stream_send,
    .room = stream_room,
    .info = stream_info,
    .close = stream_close,
};

/* ---- beginning ---------------------------------------------------------------------------- */

static int begin_listening(struct stream *s)
{
    const int one = 1;
    s->listener = socket(s->plan.at.at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listener < 0)
        return vm__fail_os(VM_E_IO, errno, "make a socket");
    (void)setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s->listener, (struct sockaddr *)&s->plan.at.at, s->plan.at.len) != 0 ||
        listen(s->listener, 1) != 0)
        return vm__fail_os(errno == EADDRINUSE ? VM_E_BUSY : VM_E_IO, errno, "listen on %s",
                           s->about);
    s->listener_watch = vm__watch_new(s->m->loop, s->listener, VM_LOOP_IN, on_connection, s);
    return s->listener_watch != NULL ? VM_OK : VM_E_IO;
}

static int begin_connecting(struct stream *s)
{
    const int fd = socket(s->plan.at.at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return vm__fail_os(VM_E_IO, errno, "make a socket");
    const int st = connect(fd, (struct sockaddr *)&s->plan.at.at, s->plan.at.len);
    if (st == 0 || errno == EINPROGRESS)
        return take(s, fd, st != 0);
    const int why = errno;
    close(fd);
    return vm__fail_os(VM_E_IO, why, "connect to %s", s->about);
}

static void on_again(void *opaque)
{
    struct stream *s = opaque;
    if (s->fd < 0 && begin_connecting(s) != VM_OK)
        vm__timer_arm(&s->again, vm__clock_ns(s->m) + s->plan.again_ns);
}

int vm__sock_stream(struct vm_net *net, const struct sock_stream_plan *plan)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return vm__fail_nomem(sizeof *s);
    s->net = net;
    s->m = vm__net_machine(net);
    s->plan = *plan;
    s->fd = s->listener = -1;
    (void)snprintf(s->about, sizeof s->about, "%s", plan->about);
    vm__timer_init(&s->again, s->m, on_again, s);
    const int st = plan->fd >= 0   ? take(s, plan->fd, false)
                   : plan->listens ? begin_listening(s)
                                   : begin_connecting(s);
    if (st != VM_OK && (plan->listens || plan->fd >= 0 || plan->again_ns == 0)) {
        stream_close(s);
        return st;
    }
    if (st != VM_OK)
        vm__timer_arm(&s->again, vm__clock_ns(s->m) + plan->again_ns);
    return vm__net_attach_host(net, &ops, s, 0);
}
