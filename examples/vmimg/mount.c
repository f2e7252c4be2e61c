/* SPDX-License-Identifier: MIT */
/**
 * @file mount.c
 * vmimg mount, umount: an image's disk, partitions and volumes as files in a folder, without root.
 */
#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <libvm/export.h>

#include "../common/behind.h"
#include "inside.h"

enum { OPT_RW = OPT_OWN, OPT_ALLOW_OTHER };
static const char pid_name[] = "user.vmimg.pid"; /* as the library answers it */
enum { WAIT_MS = 60000 };

struct wish {
    struct source source;
    const char *folder;
    bool rw, foreground, allow_other;
};

/* ---- mounting --------------------------------------------------------------------------- */

static int fill(vm_fuse *fuse, const struct inside *in, uint32_t flags)
{
    int st = vm_fuse_add(fuse, "disk", in->disk, flags);
    for (int i = 0; i < in->n && st == VM_OK; i++)
        st = vm_fuse_add(fuse, in->pieces[i].name, in->pieces[i].blk, flags);
    return st == VM_OK ? 0 : say_last("%s", "");
}

static void wait_for_end(vm_fuse *fuse, int signals)
{
    struct pollfd p[2] = { { signals, POLLIN, 0 }, { vm_fuse_fd(fuse), POLLIN, 0 } };
    while (poll(p, 2, -1) < 0 && errno == EINTR) {
    }
}

static int serve(const struct wish *w, const struct inside *in, int parent)
{
    vm_fuse *fuse = vm_fuse_new(the_ctx());
    int st = fuse == NULL ? say_last("%s", "") : fill(fuse, in, w->rw ? 0 : VM_EXPORT_RO);
    if (st == 0 && vm_fuse_mount(fuse, w->folder, w->source.name, w->allow_other) != VM_OK)
        st = say_last("%s", "");
    if (st == 0) {
        const int signals = behind_signals(); /* the library's threads take none */
        if (parent >= 0) {
            behind_ready(parent, false);
            (void)!chdir("/"); /* another file system may be unmounted meanwhile */
        }
        wait_for_end(fuse, signals);
    }
    vm_fuse_free(fuse);
    return st;
}

static int mount_image(const struct wish *w)
{
    static struct inside in;
    const int parent = w->foreground ? -1 : behind_go();
    if (!w->foreground && parent < 0)
        return say("fork: %m");
    vm_blk *disk = open_source(&w->source);
    int st = disk == NULL;
    if (st == 0 && !inside_open(&in, disk, w->source.flags & VM_BLK_RO))
        st = 1;
    if (st == 0) {
        st = serve(w, &in, parent);
        inside_close(&in);
    }
    vm_blk_close(disk);
    return st;
}

int cmd_mount(int argc, char **argv)
{
    static const struct option names[] = { COMMON_OPTIONS,
                                           { "format", required_argument, NULL, 'F' },
                                           { "foreground", no_argument, NULL, 'f' },
                                           { "rw", no_argument, NULL, OPT_RW },
                                           { "read-write", no_argument, NULL, OPT_RW },
                                           { "allow-other", no_argument, NULL, OPT_ALLOW_OTHER },
                                           { "cache", required_argument, NULL, 't' },
                                           { "force-share", no_argument, NULL, 'U' },
                                           { "quiet", no_argument, NULL, 'q' },
                                           { 0 } };
    struct wish w = { 0 };
    struct args a;
    int c;
    args_begin(&a, argc, argv, ":hF:ft:Uq", names);
    while ((c = next_option(&a)) != -1) {
        switch (c) {
        case 'F':
            w.source.format = optarg;
            break;
        case 'f':
            w.foreground = true;
            break;
        case OPT_RW:
            w.rw = true;
            break;
        case OPT_ALLOW_OTHER:
            w.allow_other = true;
            break;
        case 't':
            w.source.cache = optarg;
            break;
        case 'U':
            w.source.force_share = true;
            break;
        case 'q':
            w.source.quiet = true;
            break;
        }
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 2)
        return usage("Expecting an image and a folder");
    w.source.name = argv[optind];
    w.source.image_opts = a.image_opts;
    w.source.exclusive = true;
    w.source.flags = w.rw ? 0 : VM_BLK_RO;
    w.folder = argv[optind + 1];
    return mount_image(&w);
}

/* ---- unmounting ------------------------------------------------------------------------- */

static int daemon_of(const char *folder)
{
    char text[24];
    const ssize_t n = getxattr(folder, pid_name, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return atoi(text);
}

static int run_fusermount(const char *folder)
{
    char *argv[] = { (char *)(uintptr_t) "fusermount3", (char *)(uintptr_t) "-u",
                     (char *)(uintptr_t) "--", (char *)(uintptr_t)folder, NULL };
    pid_t pid;
    int status = 0;
    const int os = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
    if (os != 0)
        return say("fusermount3: %s (install the package fuse3)", strerror(os));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

int cmd_umount(int argc, char **argv)
{
    static const struct option names[] = { COMMON_OPTIONS, { 0 } };
    struct args a;
    args_begin(&a, argc, argv, ":h", names);
    while (next_option(&a) != -1) {
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting a folder");
    const char *folder = argv[optind];
    const int pid = daemon_of(folder);
    if (pid <= 0)
        return say("%s is no folder that vmimg mount has filled", folder);
    const int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    int st = 0;
    if (umount2(folder, UMOUNT_NOFOLLOW) != 0)
        st = errno == EBUSY ? say("%s is in use", folder) : run_fusermount(folder);
    if (st != 0 || fd < 0)
        return st;
    /* What was written is on its way out of it, and the image is locked until then. */
    struct pollfd p = { fd, POLLIN, 0 };
    if (poll(&p, 1, WAIT_MS) != 1)
        st = say("process %d still holds the image", pid);
    close(fd);
    return st;
}
