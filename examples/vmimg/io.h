/* SPDX-License-Identifier: MIT */
/**
 * @file io.h
 * The shell that reads and writes images by hand: what its commands share.
 *
 * A command is a function and a line in one of the tables; its result is 0, or not when it failed,
 * which it has said then.
 */
#ifndef VMIMG_IO_H
#define VMIMG_IO_H

#include <time.h>

#include "vmimg.h"

struct io_command {
    const char *name, *short_name;
    int (*run)(int argc, char **argv);
    int min, max;      /**< arguments; max -1: any number */
    bool needs_open;   /**< of an image */
    bool writes;       /**< refused on a read-only image */
    const char *args;  /**< for help; NULL: none */
    const char *does;  /**< one line */
    const char *about; /**< more, or NULL */
};
/** Tables, each ending in { 0 }. */
extern const struct io_command io_rw_commands[], io_async_commands[], io_tell_commands[],
    io_file_commands[];

/** The image at work. */
extern vm_blk *io_blk;
extern bool io_read_only;

/** How images are opened by the shell. */
struct io_open {
    const char *name, *format, *cache, *discard;
    const char *options; /**< of the open command */
    bool image_opts, read_only, snapshot, copy_on_read, force_share;
};
/** @return exit code */
int io_open(const struct io_open *o);
void io_close(void);

/** The command of a name; NULL. */
const struct io_command *io_find(const char *name);
/** The line that tells how a command is called. @return 1 */
int io_usage(const char *name);

/* Arguments (io_args.c). They say what is wrong. */

/** A command's getopt, begun anew. */
int io_getopt(int argc, char **argv, const char *letters);
bool io_number(const char *text, uint64_t *value);
/** A length of one request. */
bool io_length(const char *text, bool any, uint64_t *value);
bool io_pattern(const char *text, int *value);
/** "64 KiB", "1.500 KiB", "12 bytes"; exact where it can be. */
const char *io_size(double value, char text[static 40]);
/** What was done, and how fast. */
void io_report(const char *what, const struct timespec *since, uint64_t off, uint64_t asked,
               uint64_t done, uint64_t ops, bool csv);
/** Hexadecimal, sixteen to the line. */
void io_dump(const uint8_t *p, uint64_t len, uint64_t at);
/** Are all bytes @p pattern? */
bool io_same(const uint8_t *p, uint64_t len, int pattern);

/** Wait for all requests that are in the air. */
void io_wait_all(void);

#endif
