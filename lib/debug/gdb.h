/* SPDX-License-Identifier: MIT */
/**
 * @file gdb.h
 * A server for gdb: one session of its remote serial protocol. For lib/debug and lib/api.
 *
 * Spec: [GDB] appendix E (the protocol), appendix G (target descriptions).
 *
 *   packet.c   framing: $data#sum, acknowledgements, escapes, resending
 *   session.c  a session's life; telling gdb that the machine has stopped
 *   command.c  from a packet to what handles it
 *   query.c    q and Q packets
 *   control.c  continuing, stepping, break- and watchpoints, leaving
 *   memory.c   reading and writing memory
 *   regs.c     registers in gdb's layouts, and the description that tells gdb so
 *
 * Everything here runs with the session's lock held; the machine's lock is taken inside it. The
 * machine is paused without either (session.c), since a worker may have to deliver an event here
 * before it can park.
 */
#ifndef LIBVM_DEBUG_GDB_H
#define LIBVM_DEBUG_GDB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libvm/debug.h>

#include "core/event.h"
#include "core/machine.h"

enum { GDB_PACKET = 16384 }; /* bytes between '$' and '#' */
enum { GDB_XML = 12288 };

/** Where the parser of incoming bytes stands. */
enum gdb_state { GDB_IDLE, GDB_DATA, GDB_SUM1, GDB_SUM2 };

struct vm_gdb {
    struct vm_machine *m;
    vm_gdb_ops ops;
    void *ud;
    pthread_mutex_t lock;
    struct vm_event_tap tap;

    /* incoming */
    enum gdb_state state;
    uint8_t sum, sum_read;
    bool escaped, too_long;
    size_t in_len;
    char in[GDB_PACKET + 1]; /**< unescaped; a NUL follows */

    /* outgoing: a packet under construction, then the last one sent */
    size_t out_len;
    char out[GDB_PACKET + 8];

    bool no_ack;
    bool running;     /**< gdb waits for a stop reply */
    bool over;        /**< detached or killed: packets are ignored */
    bool swbreak;     /**< gdb understands the stop reasons of that name */
    bool physical;    /**< memory packets are about physical addresses */
    bool printing;    /**< inside the command callback */
    uint32_t arch;    /**< VM_GDB_AMD64… */
    uint32_t cpu;     /**< whose registers and memory are meant (Hg) */
    int64_t step_cpu; /**< whom "c" and "s" mean (Hc); -1: all */
    size_t xml_len;
    char xml[GDB_XML];
};

struct vm_gdb *vm__gdb_new(struct vm_machine *m, const vm_gdb_ops *ops, void *ud);
void vm__gdb_free(struct vm_gdb *g);
int vm__gdb_feed(struct vm_gdb *g, const void *data, size_t len);
int vm__gdb_print(struct vm_gdb *g, const char *text);

/* packet.c */

/** One incoming byte. @return true: a whole packet lies in g->in, checked and acknowledged. */
bool vm__gdb_take(struct vm_gdb *g, uint8_t byte);
/** Begin a packet; add to it; send it. What does not fit is left out. */
void vm__gdb_begin(struct vm_gdb *g);
void vm__gdb_put(struct vm_gdb *g, const char *text);
void vm__gdb_putf(struct vm_gdb *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vm__gdb_hex(struct vm_gdb *g, const void *data, size_t len);
void vm__gdb_binary(struct vm_gdb *g, const void *data, size_t len); /**< escaped */
void vm__gdb_end(struct vm_gdb *g);
/** A packet of just this text. */
void vm__gdb_reply(struct vm_gdb *g, const char *text);
/** "OK", or "E" and a number for a negative status. */
void vm__gdb_status(struct vm_gdb *g, int st);

/** A hexadecimal number at *at, which moves on. False: there is none, or it is too large. */
bool vm__gdb_number(const char **at, uint64_t *v);
/** The same, followed by @p end. */
bool vm__gdb_number_to(const char **at, uint64_t *v, char end);
/** @p n bytes from 2 n hexadecimal digits. */
bool vm__gdb_unhex(const char *text, void *data, size_t n);
/** A thread id: -1 all, 0 any, else processor index + 1. */
bool vm__gdb_thread(const struct vm_gdb *g, const char **at, int64_t *id);

/* command.c */
void vm__gdb_command(struct vm_gdb *g);
/* query.c */
void vm__gdb_query(struct vm_gdb *g, const char *p);
void vm__gdb_set(struct vm_gdb *g, const char *p);
/* control.c */
void vm__gdb_continue(struct vm_gdb *g, const char *p, bool step);
void vm__gdb_vcont(struct vm_gdb *g, const char *p);
void vm__gdb_point(struct vm_gdb *g, const char *p, bool insert);
void vm__gdb_leave(struct vm_gdb *g, int how);
/** What the machine stopped for, as a stop reply. */
void vm__gdb_stopped(struct vm_gdb *g);
/* memory.c */
void vm__gdb_read_memory(struct vm_gdb *g, const char *p);
void vm__gdb_write_memory(struct vm_gdb *g, const char *p, bool binary);
/* regs.c */
void vm__gdb_describe(struct vm_gdb *g);
void vm__gdb_read_regs(struct vm_gdb *g);
void vm__gdb_write_regs(struct vm_gdb *g, const char *p);
void vm__gdb_read_reg(struct vm_gdb *g, const char *p);
void vm__gdb_write_reg(struct vm_gdb *g, const char *p);
int vm__gdb_set_pc(struct vm_gdb *g, uint32_t cpu, uint64_t pc);
/** VM_GDB_* by name; 0 if there is none. */
uint32_t vm__gdb_arch(const char *name);

#endif
