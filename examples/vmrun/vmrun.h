/* SPDX-License-Identifier: MIT */
/**
 * @file vmrun.h
 * Between the files of vmrun.
 *
 * vmrun is a program on the public library alone: it turns QEMU's option spellings into
 * configuration keys, connects serial ports to the host, and waits for the machine to end.
 */
#ifndef VMRUN_H
#define VMRUN_H

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include <libvm/libvm.h>

enum { MAX_SERIAL = 4, MAX_ENDS = 12, ID_BYTES = 32 };

/** The host's end of a character channel, as asked for. */
struct end {
    char *spec;        /**< "mon:stdio", "null", "file:x", …; owned */
    char id[ID_BYTES]; /**< the channel: "serial0" */
};

/** What the command line asks of the program itself; the rest went into the configuration. */
struct options {
    struct end ends[MAX_ENDS];
    unsigned n_ends;
    unsigned n_serial;       /**< -serial options so far */
    bool serial[MAX_SERIAL]; /**< the machine has this port */
    unsigned n_devices;      /**< "device.N" keys so far */
    uint32_t trace;          /**< VM_LOG_* from -d */
    const char *trace_file;
    bool paused;       /**< -S */
    const char *accel; /**< kept until it is known that nothing else names one */
};

/* say.c: one line on stderr, with the program's name. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** The library's last error as such a line, after some context. @return false */
bool say_last(const char *context);
/** The candidate closest to @p word, or NULL if none is close. */
const char *nearest(const char *word, const char *const *candidates, size_t n);

/* options.c */
/** Fill the configuration; true: go on. False: *status is the exit status (help, or an error). */
bool options_parse(int argc, char **argv, vm_ctx *ctx, vm_config *cfg, struct options *o,
                   int *status);
void options_free(struct options *o);

/* trace.c */
struct trace;
/** Categories by QEMU's names, "int,exec"; true and the mask, or false after a line. */
bool trace_mask(const char *items, uint32_t *mask);
struct trace *trace_open(const char *path);
void trace_close(struct trace *t);
/** A vm_log_fn; ud is a struct trace. */
void trace_log(void *ud, const vm_log_record *r);

/* terminal.c: the controlling terminal as a raw byte channel. */
/** Raw input on stdin if it is a terminal; restored at exit, on signals and on suspension.
 *  @param signals keep Ctrl-C, Ctrl-\ and Ctrl-Z as signals */
void terminal_raw(bool signals);
void terminal_restore(void);

/* serial.c */
struct serial;
/** Make the host's end of a channel; NULL after a line. */
struct serial *serial_open(const struct end *end, int wake_fd);
/** Does this specification leave the port out of the machine altogether? */
bool serial_is_none(const char *spec);
/** Is it standard input and output? */
bool serial_is_terminal(const char *spec);
bool serial_attach(struct serial *s, vm_machine *m);
/** Descriptors to poll (at most two), then what came of it. False: the user asked to quit. */
unsigned serial_poll(struct serial *s, struct pollfd *fds);
bool serial_handle(struct serial *s, const struct pollfd *fds, unsigned n);
void serial_close(struct serial *s);

#endif
