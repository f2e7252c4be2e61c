/* SPDX-License-Identifier: MIT */
/**
 * @file net_tap.c
 * A TAP interface of the host: made, taken by name, handed over as a descriptor, or had from a
 * helper with more rights than this process (qemu-bridge-helper and its like).
 *
 * Frames carry the header of virtio between host and guest, so that the host need not compute what
 * the guest did not, and need not cut up what the guest did not.
 * Spec: [TUNTAP]; the helper sends the descriptor over the socket --fd=N. [QEMU-NET "bridge
 * helper"]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/net_socket.h"
#include "base/buf.h"
#include "base/endian.h"
#include "base/error.h"
#include "core/machine.h"
#include "host/loop.h"

enum { HEADER = 10, TURN = 64, HEADER_NEEDS_CSUM = 1, HEADER_DATA_VALID = 2 };

struct tap {
    struct vm_net *net;
    int fd;
    char name[IFNAMSIZ];
    char *down; /* script to run at the end, or NULL */
    struct vm_watch *watch;
    bool header; /* frames carry virtio's */
    bool held, writing;
    size_t len; /* of what is in buf, with its header */
    uint8_t buf[HEADER + VM_NET_FRAME_MAX];
};

/* ---- frames ------------------------------------------------------------------------------- */

static void update(struct tap *t)
{
    vm__watch_events(t->watch, (t->held ? 0u : (unsigned)VM_LOOP_IN) |
                                   (t->writing ? (unsigned)VM_LOOP_OUT : 0u));
}

static bool deliver(struct tap *t)
{
    const size_t skip = t->header ? (size_t)HEADER : 0;
    if (t->len < skip)
        return true;
    const struct vm_iov iov = { t->buf + skip, t->len - skip };
    struct vm_net_frame f = { &iov, 1, t->len - skip, { 0 } };
    if (t->header)
        f.meta = (struct vm_net_meta) {
            .flags = (uint8_t)((t->buf[0] & HEADER_NEEDS_CSUM ? VM_NET_NEEDS_CSUM : 0) |
                               (t->buf[0] & HEADER_DATA_VALID ? VM_NET_CSUM_OK : 0)),
            .gso = t->buf[1] & 0x7f, /* without the mark of ECN */
            .hdr_len = vm_le16(t->buf + 2),
            .gso_size = vm_le16(t->buf + 4),
            .csum_start = vm_le16(t->buf + 6),
            .csum_offset = vm_le16(t->buf + 8),
        };
    return vm__net_deliver(t->net, &f);
}

static void on_ready(void *opaque, unsigned events)
{
    struct tap *t = opaque;
    for (int i = 0; i < TURN && (events & VM_LOOP_IN) && !t->held; i++) {
        const ssize_t n = read(t->fd, t->buf, sizeof t->buf);
        if (n <= 0)
            break;
        t->len = (size_t)n;
        t->held = !deliver(t);
    }
    const bool was_writing = t->writing;
    if (events & VM_LOOP_OUT)
        t->writing = false;
    update(t);
    if (was_writing && !t->writing)
        vm__net_ready(t->net);
}

static bool tap_send(void *opaque, const struct vm_net_frame *f)
{
    struct tap *t = opaque;
    uint8_t head[HEADER] = { 0 };
    const uint8_t *bytes = vm__net_flat(t->net, f);
    if (bytes == NULL)
        return true;
    head[0] = f->meta.flags & VM_NET_NEEDS_CSUM ? HEADER_NEEDS_CSUM : 0;
    head[1] = f->meta.gso;
    vm_put_le16(head + 2, f->meta.hdr_len);
    vm_put_le16(head + 4, f->meta.gso_size);
    vm_put_le16(head + 6, f->meta.csum_start);
    vm_put_le16(head + 8, f->meta.csum_offset);
    const struct iovec iov[] = { { head, sizeof head }, { (void *)(uintptr_t)bytes, f->len } };
    if (writev(t->fd, t->header ? iov : iov + 1, t->header ? 2 : 1) >= 0 || errno != EAGAIN)
        return true;
    t->writing = true;
    update(t);
    return false;
}

static void tap_room(void *opaque)
{
    struct tap *t = opaque;
    if (t->held)
        t->held = !deliver(t);
    update(t);
}

static void tap_info(void *opaque, struct vm_buf *out)
{
    const struct tap *t = opaque;
    vm__buf_printf(out, "tap: %s", t->name[0] != '\0' ? t->name : "fd");
}

/* ---- programs ----------------------------------------------------------------------------- */

/** Start a program, with no signal blocked and @p keep (or -1) open. @return an errno */
static int start(const char *const *argv, int keep, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;
    (void)sigemptyset(&none);
    int err = posix_spawn_file_actions_init(&files);
    if (err != 0)
        return err;
    err = posix_spawnattr_init(&attr);
    if (err == 0) {
        err = posix_spawnattr_setsigmask(&attr, &none);
        if (err == 0)
            err = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
        if (err == 0 && keep >= 0) /* onto itself: not closed on exec any more */
            err = posix_spawn_file_actions_adddup2(&files, keep, keep);
        if (err == 0)
            err = posix_spawn(pid, argv[0], &files, &attr, (char *const *)(uintptr_t)argv, environ);
        (void)posix_spawnattr_destroy(&attr);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return err;
}

/** Run a program and wait for its end. */
static int run(const char *const *argv, int keep)
{
    int status = 0;
    pid_t pid;
    const int err = start(argv, keep, &pid);
    if (err != 0)
        return vm__fail_os(VM_E_IO, err, "start %s", argv[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return vm__fail_os(VM_E_IO, errno, "wait for %s", argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return vm__fail(VM_E_IO, "%s ended with status %d", argv[0],
                        WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return VM_OK;
}

static int run_script(const char *script, const char *name)
{
    const char *const argv[] = { script, name, NULL };
    return run(argv, -1);
}

/** The descriptor that comes over @p from. */
static int receive_fd(int from)
{
    char byte;
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    int fd = -1;
    if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) < 0)
        return -1;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static int ask_helper(const char *helper, const char *bridge, int *fd)
{
    int pair[2];
    char bridge_arg[64], fd_arg[32];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return vm__fail_os(VM_E_IO, errno, "make a socket");
    (void)snprintf(bridge_arg, sizeof bridge_arg, "--br=%.40s", bridge);
    (void)snprintf(fd_arg, sizeof fd_arg, "--fd=%d", pair[1]);
    const char *const argv[] = { helper, "--use-vnet", fd_arg, bridge_arg, NULL };
    int st = run(argv, pair[1]);
    close(pair[1]);
    if (st == VM_OK) {
        *fd = receive_fd(pair[0]);
        if (*fd < 0)
            st = vm__fail(VM_E_IO, "%s gave no interface", helper);
    }
    close(pair[0]);
    return st;
}

/* ---- beginning ---------------------------------------------------------------------------- */

static int make_interface(struct tap *t, const char *name)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    if (name != NULL && strlen(name) >= IFNAMSIZ)
        return vm__fail(VM_E_INVAL, "ifname: %s is longer than %d characters", name, IFNAMSIZ - 1);
    t->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (t->fd < 0)
        return vm__fail_os(VM_E_IO, errno, "/dev/net/tun");
    if (name != NULL)
        memcpy(req.ifr_name, name, strlen(name) + 1);
    if (ioctl(t->fd, TUNSETIFF, &req) != 0)
        return vm__fail_os(errno == EBUSY ? VM_E_BUSY : VM_E_IO, errno, "interface %s",
                           name != NULL ? name : "tap");
    memcpy(t->name, req.ifr_name, IFNAMSIZ);
    t->name[IFNAMSIZ - 1] = '\0';
    return VM_OK;
}

/** What the interface is, and what it is to do. */
static void settle(struct tap *t)
{
    struct ifreq req = { 0 };
    const int size = HEADER;
    const unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    if (ioctl(t->fd, TUNGETIFF, &req) == 0) {
        memcpy(t->name, req.ifr_name, IFNAMSIZ);
        t->name[IFNAMSIZ - 1] = '\0';
        t->header = req.ifr_flags & IFF_VNET_HDR;
    }
    if (t->header) {
        (void)ioctl(t->fd, TUNSETVNETHDRSZ, &size);
        (void)ioctl(t->fd, TUNSETOFFLOAD, offloads);
    }
    (void)fcntl(t->fd, F_SETFL, fcntl(t->fd, F_GETFL) | O_NONBLOCK);
    (void)fcntl(t->fd, F_SETFD, FD_CLOEXEC);
}

static void tap_close(void *opaque)
{
    struct tap *t = opaque;
    vm__watch_free(t->watch);
    if (t->down != NULL)
        (void)run_script(t->down, t->name);
    if (t->fd >= 0)
        close(t->fd);
    free(t->down);
    free(t);
}

static const struct vm_net_host_ops ops = {
    .send = tap_send,
    .room = tap_room,
    .info = tap_info,
    .close = tap_close,
};

static bool is_script(const char *text)
{
    return text != NULL && strcmp(text, "no") != 0 && *text != '\0';
}

static int obtain(struct tap *t, const struct vm_spec *spec, const char *default_helper)
{
    const char *fd = vm__spec_get(spec, "fd"), *helper = vm__spec_get(spec, "helper");
    const char *bridge = vm__spec_get(spec, "br"), *script = vm__spec_get(spec, "script");
    const char *down = vm__spec_get(spec, "downscript");
    if (fd != NULL)
        return vm__sock_fd("fd", fd, &t->fd);
    if (helper == NULL)
        helper = default_helper;
    if (helper != NULL)
        return ask_helper(helper, bridge != NULL ? bridge : "br0", &t->fd);
    int st = make_interface(t, vm__spec_get(spec, "ifname"));
    if (st == VM_OK && is_script(script))
        st = run_script(script, t->name);
    if (st == VM_OK && is_script(down) && (t->down = strdup(down)) == NULL)
        st = vm__fail_nomem(strlen(down));
    return st;
}

static int open_with(struct vm_net *net, const struct vm_spec *spec, const char *helper)
{
    struct tap *t = calloc(1, sizeof *t);
    if (t == NULL)
        return vm__fail_nomem(sizeof *t);
    t->net = net;
    t->fd = -1;
    int st = obtain(t, spec, helper);
    if (st == VM_OK) {
        settle(t);
        t->watch = vm__watch_new(vm__net_machine(net)->loop, t->fd, VM_LOOP_IN, on_ready, t);
        st = t->watch != NULL ? VM_OK : VM_E_IO;
    }
    if (st != VM_OK) {
        tap_close(t);
        return st;
    }
    return vm__net_attach_host(
        net, &ops, t, t->header ? VM_NET_TAKES_CSUM | VM_NET_TAKES_TSO4 | VM_NET_TAKES_TSO6 : 0);
}

static int tap_open(struct vm_net *net, const struct vm_spec *spec)
{
    return open_with(net, spec, NULL);
}

static int bridge_open(struct vm_net *net, const struct vm_spec *spec)
{
    return open_with(net, spec, "/usr/lib/qemu/qemu-bridge-helper");
}

static const char *const tap_settings[] = { "ifname", "fd",     "script", "downscript",
                                            "br",     "helper", "vhost",  NULL };
static const char *const bridge_settings[] = { "br", "helper", NULL };

const struct vm_net_backend vm__net_tap_backend = {
    .name = "tap",
    .summary = "an interface of the host: ifname=, fd=, script=, downscript=, helper=, br=",
    .settings = tap_settings,
    .open = tap_open,
};

const struct vm_net_backend vm__net_bridge_backend = {
    .name = "bridge",
    .summary = "a port of a bridge of the host, by a helper: br=br0,helper=PATH",
    .settings = bridge_settings,
    .open = bridge_open,
};
