/* SPDX-License-Identifier: MIT */
/**
 * @file serve.c
 * The server's process: listening, in the background or not, until it is over.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/behind.h"
#include "vmnbd.h"

enum { FIRST_HANDED_OVER = 3 };

/* Sockets that whoever started us has opened: LISTEN_FDS of systemd's protocol. */
static int handed_over(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != getpid())
        return 0;
    const long n = strtol(fds, NULL, 10);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    return n > 0 && n < 16 ? (int)n : 0;
}

static int listen_at(vm_nbd *server, const struct wish *w, int n_fds)
{
    char address[4200];
    if (n_fds != 0 && (w->socket != NULL || w->port != NULL || w->bind != NULL))
        return say("Incompatible arguments with socket activation");
    for (int i = 0; i < n_fds; i++)
        if (vm_nbd_listen_fd(server, FIRST_HANDED_OVER + i) != VM_OK)
            return say("%s", last());
    if (n_fds != 0)
        return 0;
    if (w->socket != NULL)
        snprintf(address, sizeof address, "unix:%s", w->socket);
    else
        snprintf(address, sizeof address, "tcp:%s:%s", w->bind != NULL ? w->bind : "0.0.0.0",
                 w->port != NULL ? w->port : "10809");
    return vm_nbd_listen(server, address) == VM_OK ? 0 : say("%s", last());
}

static int write_pid(const char *path)
{
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return say("Could not open pid file '%s': %m", path);
    fprintf(f, "%ld\n", (long)getpid());
    return fclose(f) == 0 ? 0 : say("Could not write pid file '%s': %m", path);
}

/* ---- until the end ---------------------------------------------------------------------- */

/* Signals end it, and without -t so does the last client's going. */
static void wait_for_end(vm_nbd *server, const struct wish *w, int signals)
{
    struct pollfd p[2] = { { signals, POLLIN, 0 }, { vm_nbd_fd(server), POLLIN, 0 } };
    uint32_t now, before = 0;
    uint64_t served;
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        if (p[0].revents != 0)
            return;
        (void)vm_nbd_clients(server, &now, &served);
        if (w->verbose && now != before)
            fprintf(stderr, "%u client%s\n", now, now == 1 ? "" : "s");
        before = now;
        if (!w->persistent && now == 0 && served != 0)
            return;
    }
}

static int add_all(vm_ctx *ctx, vm_nbd *server, const struct wish *w)
{
    const uint32_t flags = (w->read_only ? VM_EXPORT_RO : 0) | (w->depth ? VM_EXPORT_DEPTH : 0);
    vm_blk *blk = open_image(ctx, w, w->file, true);
    int st = blk == NULL;
    if (st == 0 && vm_nbd_add(server, blk, w->name, w->description, flags) != VM_OK)
        st = say("%s", last());
    vm_blk_close(blk);
    for (int i = 0; i < w->n_added && st == 0; i++) {
        const char *equals = strchr(w->added[i], '=');
        char name[4097];
        snprintf(name, sizeof name, "%.*s", (int)(equals - w->added[i]), w->added[i]);
        blk = open_image(ctx, w, equals + 1, false);
        st = blk == NULL;
        if (st == 0 && vm_nbd_add(server, blk, name, "", flags) != VM_OK)
            st = say("%s", last());
        vm_blk_close(blk);
    }
    return st;
}

static vm_nbd *new_server(vm_ctx *ctx, const struct wish *w)
{
    char options[256];
    snprintf(options, sizeof options, "max-connections=%u,handshake-limit=%u%s%.128s", w->shared,
             w->handshake_limit, w->tls != NULL ? ",tls-creds=" : "", w->tls != NULL ? w->tls : "");
    vm_nbd *server = vm_nbd_new(ctx, options);
    if (server == NULL)
        say("%s", last());
    return server;
}

int serve(vm_ctx *ctx, const struct wish *w)
{
    const int n_fds = handed_over();
    const int parent = w->fork ? behind_go() : -1;
    if (w->fork && parent < 0)
        return say("fork: %m");
    const int signals = behind_signals(); /* before there are threads */
    vm_nbd *server = new_server(ctx, w);
    int st = server == NULL;
    if (st == 0)
        st = add_all(ctx, server, w);
    if (st == 0 && w->device == NULL)
        st = listen_at(server, w, n_fds);
    if (st == 0 && w->pid_file != NULL)
        st = write_pid(w->pid_file);
    if (st == 0 && parent >= 0)
        behind_ready(parent, w->verbose);
    if (st == 0 && w->device != NULL)
        st = kernel_connect(server, w->name, w->device);
    else if (st == 0)
        wait_for_end(server, w, signals);
    vm_nbd_free(server);
    if (st == 0 && w->pid_file != NULL)
        unlink(w->pid_file);
    return st;
}
