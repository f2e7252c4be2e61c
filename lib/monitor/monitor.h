/* SPDX-License-Identifier: MIT */
/**
 * @file monitor.h
 * Between the files of the monitor: a command, and what it works with.
 *
 * A file declares the commands of one theme in a table; commands.c lists the tables. A command
 * writes text into mon->out, which reaches the caller when it is done, and fails with vm__fail().
 */
#ifndef LIBVM_MONITOR_MONITOR_H
#define LIBVM_MONITOR_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/machine.h"

struct vcpu;
struct vm_monitor;

/** One call of vm_monitor(). */
struct mon {
    struct vm_machine *m;
    struct vm_monitor *state;
    struct vm_buf out;
    uint32_t cpu; /**< that commands look at */
};

enum {
    MON_EXACT = 1, /**< processors stand still meanwhile */
    MON_FREE = 2,  /**< without the machine lock: it waits for the machine, or for the host */
};

struct mon_command {
    const char *name;  /**< NULL ends the table */
    const char *alias; /**< a shorter name, or NULL */
    const char *args;  /**< as help shows it; NULL: none */
    const char *help;
    uint32_t flags; /**< MON_* */
    /** @p args is what follows the name; it may be cut up. */
    int (*run)(struct mon *mon, char *args);
};

/** Tables of commands, and of what follows "info"; NULL-ended. commands.c */
extern const struct mon_command *const vm__mon_commands[];
extern const struct mon_command *const vm__mon_infos[];

/** Text to the caller. */
#define mon_printf(mon, ...) vm__buf_printf(&(mon)->out, __VA_ARGS__)

/* ---- words.c: arguments ---- */

/** The next word of *args, "quoted" or not, or NULL. */
char *vm__mon_word(char **args);
/** The next word, which must be there. NULL after vm__fail(). */
char *vm__mon_need(char **args, const char *what);
/** Nothing may follow. */
int vm__mon_end(char **args);

/** "/20xw": how many of what. */
struct mon_format {
    uint32_t count;
    char letter;   /**< x d u o c i s b(inary is not known) */
    uint32_t size; /**< bytes: 1, 2, 4, 8 */
};
/** Take a format off the front of *args, if there is one; else *f stays. */
int vm__mon_format(char **args, struct mon_format *f);

/* ---- expr.c ---- */

/** The next expression of *args: numbers, $registers, + - * / % & | ^ ~ ( ). */
int vm__mon_expr(struct mon *mon, char **args, uint64_t *value);

/* ---- cpu.c ---- */

/** The processor that commands look at, or NULL after vm__fail() (it is no x86, or none). */
struct vcpu *vm__mon_cpu(struct mon *mon);

/* ---- disasm_*.c ---- */

/**
 * One instruction as text.
 * @param bits 16, 32 or 64
 * @return its length, at least 1; 0: no disassembler is built in
 */
uint32_t vm__mon_disassemble(unsigned bits, uint64_t address, const uint8_t *bytes, size_t len,
                             char *text, size_t size);

/* ---- keys.c: keyboards have keys, people have names ---- */

/** USB HID usage of a key by name, or 0. */
uint32_t vm__mon_key(const char *name, size_t len);
/** Its @p i-th name, or NULL behind the last: a vm__nearest() list. */
const char *vm__mon_key_name(const void *ud, uint32_t i);

/** What input commands remember; state->input. */
struct mon_input;
void vm__mon_input_free(struct mon_input *in);

/** Per machine. monitor.c */
struct vm_monitor {
    struct vm_machine *m;
    struct mon_added *added; /**< the host program's commands */
    struct mon_input *input; /**< NULL until used */
    uint32_t cpu;
};
struct vm_monitor *vm__mon_state(struct vm_machine *m);

/* ---- for lib/api ---- */
int vm__monitor(struct vm_machine *m, const char *line,
                void (*out)(void *ud, const char *text, size_t len), void *ud);
int vm__monitor_add(struct vm_machine *m, const char *name, const char *args, const char *help,
                    int (*fn)(void *ud, const char *args,
                              void (*out)(void *ud, const char *text, size_t len), void *out_ud),
                    void *ud, void (*free_ud)(void *ud));
int vm__monitor_complete(struct vm_machine *m, const char *line,
                         int (*fn)(void *ud, const char *name, const char *summary), void *ud);

#endif
