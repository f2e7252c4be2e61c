/* SPDX-License-Identifier: MIT */
/**
 * @file vmnbd.h
 * What the files of vmnbd share: what was asked on the command line, and who does what.
 */
#ifndef VMNBD_H
#define VMNBD_H

#include <stdbool.h>
#include <stdint.h>

#include <libvm/export.h>

enum { MAX_ADDED = 64 };

/** The command line. */
struct wish {
    /* Who may come, and how. */
    const char *port, *bind, *socket, *tls;
    uint32_t shared;          /**< clients at a time; 0: any number */
    uint32_t handshake_limit; /**< seconds */
    bool persistent, verbose, list, fork;
    const char *pid_file;
    const char *device; /**< -c: of the kernel's client */
    /* What they get. */
    const char *file, *name, *description;
    const char *added[MAX_ADDED]; /**< NAME=FILE */
    int n_added;
    uint64_t offset;
    uint32_t partition; /**< 0: the disk as a whole */
    bool depth;
    /* How images are opened. */
    const char *format, *cache, *aio, *discard, *detect_zeroes, *load_snapshot;
    bool image_opts, read_only, snapshot;
};

/* main.c */
/** "PROGRAM: " and a line on stderr. @return 1 */
int say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** The library's last sentence. */
const char *last(void);

/* options.c */
/** Read the command line. @return -1: go on; else the exit code */
int read_command_line(struct wish *w, vm_ctx *ctx, int argc, char **argv);

/* image.c */
/** The image as it is to be offered; NULL: it was said why not. @p exclusive: with -o and -P. */
vm_blk *open_image(vm_ctx *ctx, const struct wish *w, const char *file, bool main_one);

/* serve.c */
/** Offer and serve until it is over. @return exit code */
int serve(vm_ctx *ctx, const struct wish *w);

/* list.c, or no_list.c without libnbd */
/** What another server has, on stdout. @return exit code */
int list_exports(const struct wish *w);

/* kernel.c */
/** Give @p export to the kernel as @p device; serves until it is disconnected. @return exit code */
int kernel_connect(vm_nbd *server, const char *export, const char *device);
int kernel_disconnect(const char *device);

#endif
