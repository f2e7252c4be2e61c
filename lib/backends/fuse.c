/* SPDX-License-Identifier: MIT */
/**
 * @file fuse.c
 * A mount's life, by libfuse.
 *
 * Whoever unmounts (we, `fusermount3 -u`, the host going down) makes the threads' reads end; then
 * `notify` becomes readable.
 */
#define FUSE_USE_VERSION 312

#include "backends/fuse.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "core/config.h"
#include "host/thread.h"
#include "host/time.h"

struct vm_fuse *vm__fuse_new(struct vm_ctx *ctx)
{
    struct vm_fuse *f = calloc(1, sizeof *f);
    if (f == NULL) {
        vm__fail_nomem(sizeof *f);
        return NULL;
    }
    f->notify = vm__notify_new();
    if (f->notify < 0) {
        free(f);
        return NULL;
    }
    f->ctx = vm__ctx_ref(ctx);
    f->n_files = 1;
    f->time_s = vm__host_epoch();
    f->uid = geteuid();
    f->gid = getegid();
    return f;
}

int vm__fuse_add(struct vm_fuse *f, const char *path, struct vm_blk *node, bool writable)
{
    if (f->session != NULL)
        return vm__fail(VM_E_STATE, "it is mounted already");
    return vm__fuse_enter(f, path, node, writable && vm__blk_writable(node));
}

static void *serve(void *arg)
{
    struct vm_fuse *f = arg;
    struct fuse_buf buf = { .mem = NULL };
    while (!fuse_session_exited(f->session)) {
        const int n = fuse_session_receive_buf(f->session, &buf);
        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n <= 0)
            break;
        fuse_session_process_buf(f->session, &buf);
    }
    free(buf.mem);
    fuse_session_exit(f->session);
    atomic_fetch_sub(&f->n_running, 1);
    vm__notify_set(f->notify);
    return NULL;
}

/* What libfuse would print becomes the error of the call. */
static void take_words(enum fuse_log_level level, const char *fmt, va_list args)
{
    char line[200];
    const int n = vsnprintf(line, sizeof line, fmt, args);
    if (level > FUSE_LOG_ERR || n <= 0)
        return;
    line[strcspn(line, "\n")] = '\0';
    (void)vm__fail(VM_E_IO, "%s", line);
}

static int check_folder(const char *folder)
{
    struct stat s;
    if (stat(folder, &s) != 0)
        return vm__fail_os(VM_E_NOENT, errno, "%.200s", folder);
    if (!S_ISDIR(s.st_mode))
        return vm__fail(VM_E_INVAL, "%.200s is not a folder", folder);
    if (access("/dev/fuse", F_OK) != 0)
        return vm__fail(VM_E_NOTSUP, "this host has no FUSE: there is no /dev/fuse");
    return VM_OK;
}

/* A comma would begin another option of the host's. */
static void plain(char *to, size_t room, const char *from)
{
    size_t n = 0;
    for (; *from != '\0' && n + 1 < room; from++)
        to[n++] = *from == ',' || *from == '\\' || *from == '\n' ? '_' : *from;
    to[n] = '\0';
}

static int make_session(struct vm_fuse *f, const char *source, bool allow_other)
{
    char name[512], options[700];
    plain(name, sizeof name, source);
    snprintf(options, sizeof options, "fsname=%s,subtype=vmimg,default_permissions%s%s", name,
             f->writable ? "" : ",ro", allow_other ? ",allow_other" : "");
    char *argv[] = { (char *)(uintptr_t) "libvm", (char *)(uintptr_t) "-o", options, NULL };
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    fuse_set_log_func(take_words);
    f->session = fuse_session_new(&args, &vm__fuse_ops, sizeof vm__fuse_ops, f);
    fuse_opt_free_args(&args);
    return f->session != NULL ? VM_OK : vm__fail_prefix(VM_E_IO, "FUSE: ");
}

static int start_threads(struct vm_fuse *f)
{
    while (f->n_threads < VM_FUSE_THREADS) {
        atomic_fetch_add(&f->n_running, 1);
        const int st = vm__thread_start(&f->threads[f->n_threads], serve, f, "vm-fuse");
        if (st != VM_OK) {
            atomic_fetch_sub(&f->n_running, 1);
            return f->n_threads != 0 ? VM_OK : st;
        }
        f->n_threads++;
    }
    return VM_OK;
}

int vm__fuse_mount(struct vm_fuse *f, const char *folder, const char *source, bool allow_other)
{
    if (f->session != NULL)
        return vm__fail(VM_E_STATE, "it is mounted already");
    int st = check_folder(folder);
    if (st == VM_OK)
        st = make_session(f, source, allow_other);
    if (st != VM_OK)
        return st;
    (void)vm__fail(VM_E_IO, "the host does not say why");
    if (fuse_session_mount(f->session, folder) != 0) {
        st = vm__fail_prefix(VM_E_IO, "Could not mount at %.200s: ", folder);
    } else {
        st = start_threads(f);
        if (st == VM_OK)
            return st;
        fuse_session_unmount(f->session);
    }
    fuse_session_destroy(f->session);
    f->session = NULL;
    return st;
}

void vm__fuse_free(struct vm_fuse *f)
{
    if (f == NULL)
        return;
    if (f->session != NULL) {
        fuse_session_exit(f->session);
        fuse_session_unmount(f->session);
        for (uint32_t i = 0; i < f->n_threads; i++)
            pthread_join(f->threads[i], NULL);
        fuse_session_destroy(f->session);
    }
    for (uint32_t i = 1; i < f->n_files; i++) {
        struct vm_blk *n = f->files[i].node;
        if (n != NULL && f->files[i].writable)
            (void)vm__blk_flush(n, 0);
        vm__blk_unref(n);
    }
    vm__notify_free(f->notify);
    struct vm_ctx *ctx = f->ctx;
    free(f);
    vm__ctx_unref(ctx);
}
