/* SPDX-License-Identifier: MIT */
/**
 * @file chr.h
 * Character backends: bytes to and from the host, and who uses them.
 *
 * A backend (a terminal, a socket, a file) is opened from a specification and knows nothing of its
 * users: a guest's channel, the monitor, a debugger. With mux=on several users share one backend;
 * output of all goes out, input goes to the one in focus, and Ctrl-A is the key to commands.
 *
 * Threads: chr_write() from any, everything else on the main thread.
 */
#ifndef VMRUN_CHR_H
#define VMRUN_CHR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libvm/libvm.h>

#include "loop.h"
#include "opts.h"

enum { CHR_USERS = 4, CHR_ID_BYTES = 64, CHR_IN_BYTES = 512 };

enum chr_event {
    CHR_OPENED, /**< someone is at the other end */
    CHR_CLOSED, /**< gone */
    CHR_BREAK,
    CHR_FOCUS, /**< of those who share it, this one gets the input now */
};

/** What a user gives; any call may be NULL. */
struct chr_user {
    const char *name;         /**< for people: "serial0" */
    size_t (*room)(void *ud); /**< bytes that input() can take now; NULL: any number */
    void (*input)(void *ud, const uint8_t *buf, size_t len);
    void (*event)(void *ud, enum chr_event event);
    void (*writable)(void *ud); /**< chr_write() took less than offered; now it takes more */
    void *ud;
};

struct chr;

/** A kind of backend; one file declares one. */
struct chr_kind {
    const char *name;
    const char *help;
    const char *const *settings; /**< names in its specification beyond id and mux */
    /** Open: set the descriptors, or a state. False after a line. */
    bool (*open)(struct chr *c, const struct opts *o);
    void (*close)(struct chr *c);
    /** Change what was read in place (telnet). @return bytes left. May be NULL. */
    size_t (*decode)(struct chr *c, uint8_t *buf, size_t len);
    /** In place of writing to out_fd. @return bytes taken. Under c->lock. May be NULL. */
    size_t (*write)(struct chr *c, const uint8_t *buf, size_t len);
    /** The other end went away; the descriptors are closed already. May be NULL. */
    void (*lost)(struct chr *c);
};

struct chr {
    const struct chr_kind *kind;
    struct loop *loop;
    char id[CHR_ID_BYTES];
    char where[512]; /**< for people: "unix:/tmp/s,server=on" */
    void *state;     /**< the kind's */

    pthread_mutex_t lock; /**< the descriptors, against chr_write() */
    int in_fd, out_fd;    /**< -1: none */
    bool owns_fds;
    bool drops; /**< output that finds no room is lost, not waited for */
    struct watch *watch_in, *watch_out;
    atomic_uint full; /**< by user: chr_write() took less than offered */

    bool mux, escaped; /**< Ctrl-A commands; the last byte was Ctrl-A */
    bool may_lose;     /**< a person types: better lose keys than hang */
    bool stalled;      /**< the user in focus takes nothing */
    struct watch *stall;
    uint8_t in[CHR_IN_BYTES]; /**< read, and not taken by the user in focus yet */
    size_t in_len;
    struct chr_user user[CHR_USERS];
    unsigned n_users, focus;
    struct chr *next;
};

/** All kinds, NULL-ended; chr_kinds.c. */
extern const struct chr_kind *const chr_kinds[];

/* chr_spec.c */
/** "tcp:host:port,server" and the other short forms of -serial as a list: "socket,host=…". False
 *  after a line. */
bool chr_spec(const char *option, const char *text, char *out, size_t size);
/** Is it standard input and output? */
bool chr_spec_is_terminal(const char *spec);
/** Check a list: the kind exists, it knows the settings, there is an id. False after a line. */
bool chr_spec_check(const char *option, const char *spec);

/* chr.c */
/** Open a backend. NULL after a line. */
struct chr *chr_open(struct loop *l, const char *option, const char *spec, const char *id);
void chr_close(struct chr *c);
/** Let @p user have the bytes. @return its number, or -1 after a line. */
int chr_add_user(struct chr *c, const struct chr_user *user);
/** Bytes to the host. @return bytes taken; fewer than @p len: wait for writable(). [any] */
size_t chr_write(struct chr *c, int user, const void *buf, size_t len);
/** A user has room again. */
void chr_pump(struct chr *c);
/** Bytes for the user in focus; what finds no room at all is lost. */
void chr_take(struct chr *c, const uint8_t *buf, size_t len);
/** Someone is at the other end. */
bool chr_is_open(const struct chr *c);

/* For kinds. */
/** Take these descriptors (perhaps the same one) and tell the users. */
void chr_connect(struct chr *c, int in_fd, int out_fd);
/** Close them and tell the users. */
void chr_disconnect(struct chr *c);
/** A break condition came. */
void chr_break(struct chr *c);

/* chr_ringbuf.c */
/** Take bytes out of a ringbuf backend. */
size_t chr_ringbuf_read(struct chr *c, uint8_t *buf, size_t len);
extern const struct chr_kind chr_ringbuf;

/* chr_keys.c */
/** Carry out the Ctrl-A commands in @p buf and let the users have the rest; at most CHR_IN_BYTES.
 */
void chr_keys(struct chr *c, const uint8_t *buf, size_t len);

/* chr_guest.c */
/** Join a backend to the guest's channel @p channel. False after a line. */
bool chr_join_guest(struct chr *c, vm_machine *m, const char *channel);

#endif
