/* SPDX-License-Identifier: MIT */
/**
 * @file vmrun.h
 * Between the files of vmrun.
 *
 * vmrun is a program on the public library alone: it turns QEMU's option spellings into
 * configuration keys, connects channels to the host, and waits for the machine to end.
 */
#ifndef VMRUN_H
#define VMRUN_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include <libvm/libvm.h>

#include "chr.h"
#include "loop.h"

enum {
    MAX_SERIAL = 4,
    MAX_PARALLEL = 3,
    MAX_CHRS = 24,
    MAX_WIRES = 24,
    MAX_DRIVES = 32,
    MAX_NETS = 16
};

/** A character backend, as asked for. */
struct chr_wish {
    char *option, *spec; /**< "-serial" and "socket,path=…"; owned */
    char id[CHR_ID_BYTES];
};

/** Who is to use a backend. */
struct wire {
    enum { WIRE_GUEST, WIRE_MONITOR, WIRE_GDB } kind;
    char channel[CHR_ID_BYTES]; /**< of the guest */
    char chr[CHR_ID_BYTES];
};

/** A disk drive, as asked for. */
struct drive_wish {
    char *text;    /**< the configuration's "drive.N"; owned */
    char what[48]; /**< for complaints: "-hda" */
    int interface; /**< 0 none, 1 IDE, 2 floppy, 3 virtio, …: see options_drive.c */
    int unit;      /**< -1: the next free one */
    bool snapshot_said, cdrom;
};

/** A -net option: a card or a network. */
struct net_wish {
    char *text; /**< owned */
    bool card;
};

/** What the command line asks of the program itself; the rest went into the configuration. */
struct options {
    struct chr_wish chrs[MAX_CHRS];
    unsigned n_chrs;
    struct wire wires[MAX_WIRES];
    unsigned n_wires;
    unsigned n_serial, n_parallel, n_monitor, n_debugcon; /**< such options so far */
    bool serial[MAX_SERIAL], parallel[MAX_PARALLEL];      /**< the machine has this port */
    struct drive_wish drives[MAX_DRIVES];
    unsigned n_drives;
    bool snapshot;
    bool took_cd, took_floppy; /**< given as FILE: start from it */
    unsigned n_devices;        /**< "device.N" keys so far */
    char engines[128];         /**< "engine" key so far, from -accel */
    struct net_wish nets[MAX_NETS];
    unsigned n_nets;
    unsigned n_netdevs, n_nics; /**< "netdev.N" and "nic.N" keys so far */
    unsigned n_dumps;
    unsigned n_guestfwd;                 /**< channels of theirs */
    bool net_said;                       /**< -nic, -netdev or -net was given */
    bool has_kernel, has_boot, has_path; /**< -kernel, -boot, -L were given */
    uint32_t trace;                      /**< VM_LOG_* from -d */
    const char *trace_file;
    const char *display, *vga; /**< as given; NULL: not */
    uint32_t gdb_arch;         /**< VM_GDB_* of -gdb */
    const char *pid_file;
    bool paused;      /**< -S */
    bool lockstep;    /**< -accel jit,lockstep=on */
    bool no_shutdown; /**< stay when the guest has powered off */
    bool daemonize;
    bool nographic;
    bool nodefaults;
};

/** The program's state. */
struct vmrun {
    vm_ctx *ctx;
    vm_config *cfg;
    vm_machine *m;
    struct loop *loop;
    struct options o;
    struct trace *trace;
    struct chr *chrs; /**< list */
};

/* ---- say.c: one line on stderr, with the program's name ---- */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** Called before a line is printed, to give the terminal back; NULL: nothing to do. */
extern void (*say_before)(void);
/** The library's last error as such a line, after some context. @return false */
bool say_last(const char *context);
/** The candidate closest to @p word, or NULL if none is close. */
const char *nearest(const char *word, const char *const *candidates, size_t n);

/* ---- options*.c ---- */
struct parse {
    vm_ctx *ctx;
    vm_config *cfg;
    struct options *o;
    bool done;  /**< an option that prints and ends, with status 0 */
    bool speak; /**< the second time round: say what a FILE was taken for */
    const char *took;
    char took_text[32];
};

struct option {
    const char *name;     /**< NULL ends the table */
    const char *argument; /**< as help shows it; NULL: takes none */
    const char *key;      /**< configuration key; NULL: ask fn */
    bool (*fn)(struct parse *p, const char *value);
    const char *help; /**< NULL: another spelling, or one that does nothing */
};

/** A theme of options; a file declares one. */
struct option_group {
    const char *title;
    const struct option *rows;
};

extern const struct option_group options_machine, options_disk, options_chr, options_display,
    options_net, options_debug, options_run;

/** Fill the configuration; true: go on. False: *status is the exit status (help, or an error). */
bool options_parse(int argc, char **argv, bool speak, vm_ctx *ctx, vm_config *cfg,
                   struct options *o, int *status);
void options_free(struct options *o);
/** Set a key; false after a line that begins with the option's name. */
bool set_key(struct parse *p, const char *option, const char *key, const char *value);
bool add_device(struct parse *p, const char *option, const char *spec);
/** For listings: a vm_list_fn. */
int print_row(void *ud, const char *name, const char *summary);
/** An option that is understood and changes nothing. */
bool opt_nothing(struct parse *p, const char *arg);

/* options_chr.c */
/** A backend from a short form ("file:x"), under an id. False after a line. */
bool add_chr(struct parse *p, const char *option, const char *text, const char *id);
bool add_wire(struct parse *p, const char *option, int kind, const char *channel, const char *chr);
/** Ports and monitor where nothing was said. */
bool chr_defaults(struct parse *p);

/* lockstep.c */
/** Keys that make two machines comparable. False after a line. */
bool lockstep_keys(struct parse *p);
/** Run the machine beside a twin until it ends or they differ; the exit status. */
int lockstep_run(struct vmrun *v);

/* options_disk.c */
/** Add "drive.N" from a list that lacks nothing but a unit. False after a line. */
bool add_drive(struct parse *p, const char *option, const char *text);
/** Give units, set the keys. */
bool drive_defaults(struct parse *p);

/* options_net.c */
/** Join what -net named; a card at a user network if nothing was said. */
bool net_defaults(struct parse *p);

/* options_display.c */
/** Where the screen is shown, if nothing was said. */
bool display_defaults(struct parse *p);
/* gdb.c */
bool opt_gdb(struct parse *p, const char *arg);
bool opt_gdb_short(struct parse *p, const char *arg);

/* detect.c */
/** A file without an option: what is it? Says in one line what it was taken for. */
bool take_file(struct parse *p, const char *path);
/** A CD-ROM image is all there. False after a line. */
bool check_cdrom(const char *option, const char *path);

/* ---- trace.c ---- */
struct trace;
/** Categories by QEMU's names, "int,exec"; true and the mask, or false after a line. */
bool trace_mask(const char *items, uint32_t *mask);
struct trace *trace_open(const char *path);
void trace_close(struct trace *t);
/** A vm_log_fn; ud is a struct trace. */
void trace_log(void *ud, const vm_log_record *r);

/* ---- terminal.c: the controlling terminal as a raw byte channel ---- */
/** Raw input on stdin if it is a terminal; restored at exit, on signals and on suspension.
 *  @param signals keep Ctrl-C, Ctrl-\ and Ctrl-Z as signals */
void terminal_raw(bool signals);
void terminal_restore(void);

/* ---- process.c: the program as a process of the host ---- */
/** -daemonize: fork; the parent waits for daemon_ready() and ends. False after a line. */
bool daemon_begin(void);
/** The child has started its machine: let the parent end, with the terminal. */
void daemon_ready(void);
/** Write the process id. False after a line. */
bool pid_file_make(const char *path);
void pid_file_remove(void);

/* ---- backends.c ---- */
/** Open every backend and join it to who uses it. False after a line. */
bool backends_open(struct vmrun *v);
void backends_close(struct vmrun *v);
struct chr *backend_find(const char *id);
/** One more, to be closed with the others. */
void backend_add(struct vmrun *v, struct chr *c);

/* ---- gdb.c ---- */
/** Let gdb connect to a backend. False after a line. */
bool gdb_open(struct chr *c, struct vmrun *v);
/** End every session; before the machine goes. */
void gdb_close(void);

/* ---- console.c: the monitor ---- */
/** Let a backend be a console of the monitor. False after a line. */
bool console_open(struct chr *c, struct vmrun *v);
/** Commands that the library leaves to the program: quit, chardev, … False after a line. */
bool console_commands(struct vmrun *v);
void commit_disks(void);

#endif
