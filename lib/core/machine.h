/* SPDX-License-Identifier: MIT */
/**
 * @file machine.h
 * The machine: what hangs together, under which lock.
 *
 * Lock order, outermost first; a thread holding one may take those below it, never those above:
 *   1. machine lock    (vm__lock; recursive: device code re-enters through DMA and windows)
 *   2. run state       (core/run.c: who runs, pauses, waits)
 *   3. timer heap      (core/clock.c)
 *   4. event queue, file descriptor list, list of hooks, logger: leaves, nothing is called with
 * them held but the log sink. Embedder's callbacks: windows and channels with the machine lock,
 * events with none. vCPU threads run guest code, and hooks in it, with no lock at all.
 */
#ifndef LIBVM_CORE_MACHINE_H
#define LIBVM_CORE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libvm/machine.h>

#include "base/log.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/debug.h"
#include "core/hook.h"
#include "core/irq.h"
#include "core/memory.h"

struct vm_address_space; /* core/address_space.c */
struct vm_board_class;
struct vm_chr;
struct vm_clock; /* core/clock.c */
struct vm_dev;
struct vm_display;
struct vm_events; /* core/event.c */
struct vm_input;
struct vm_loop;    /* host/loop.h */
struct vm_monitor; /* lib/monitor */
struct vm_typist;
struct vm_run;  /* core/run.c */
struct vm_part; /* core/part.h */

enum { VM_MAX_LINES = 256, VM_MAX_DISPLAYS = 4 };

struct vm_machine {
    struct vm_ctx *ctx;       /**< reference held */
    struct vm_config *config; /**< own copy; read with vm__config_*() */
    const struct vm_board_class *board;
    void *board_state;
    struct vm_logger log;

    pthread_mutex_t lock;         /**< vm__lock() */
    _Atomic uintptr_t lock_owner; /**< a thread's mark; 0: nobody */
    uint32_t lock_depth;

    struct vm_address_space *mem;
    struct vm_clock *clock;
    struct vm_loop *loop; /**< host descriptors; run by the I/O thread or by vm_run() */
    struct vm_run *run;
    struct vm_events *events;
    struct vm_debug debug;
    struct vm_hooks hooks;

    struct vm_irq_hub irq_hub;
    struct vm_irq lines[VM_MAX_LINES]; /**< the board's numbered lines (GSIs) */
    uint32_t n_lines;

    const struct vm_cpu_class *cpu_class;
    struct vm_cpu *cpus[VM_MAX_CPUS]; /**< by index */
    uint32_t n_cpus;

    struct vm_dev **devs; /**< in the order they were added: the order of reset and saving */
    uint32_t n_devs, devs_room;
    struct vm_dev *retired; /**< unplugged, and not freed yet; core/device.h */
    bool built;             /**< from now on devices come and go by hot-plug only */
    struct vm_chr *chrs;    /**< list */
    struct vm_input *input;
    struct vm_typist *typist; /**< core/input.h; NULL: nothing was typed yet */
    struct vm_display *displays[VM_MAX_DISPLAYS];
    struct vm_part *parts; /**< of floors above */

    struct vm_monitor *monitor; /**< lib/monitor's, made when first used, and how to free it */
    void (*monitor_free)(struct vm_monitor *monitor);

    uint64_t epoch_s;   /**< wall clock at machine time 0 */
    uint64_t random[4]; /**< generator state; all zero: the host's random numbers */
};

/** Build from a configuration: board, devices, processors. NULL with the error set. */
struct vm_machine *vm__machine_build(const struct vm_config *cfg);
void vm__machine_destroy(struct vm_machine *m);
/** A machine with nothing in it but lock, clock, address space: what build starts with. For tests.
 */
struct vm_machine *vm__machine_new(const struct vm_config *cfg);
/** For the board's build(): create processors 0…count-1 of the configuration's class. */
int vm__machine_add_cpus(struct vm_machine *m, uint32_t count);

void vm__lock(struct vm_machine *m);
void vm__unlock(struct vm_machine *m);
/** The calling thread holds it. */
bool vm__locked(const struct vm_machine *m);

/* ---- asked for by devices and processors; carried out once every processor stands still ---- */

/** Reset the machine (0xCF9, keyboard controller, triple fault). Any thread, wait-free. */
void vm__request_reset(struct vm_machine *m, int kind);
/** Power off, with the code vm_exit and the event carry. Any thread, wait-free. */
void vm__request_shutdown(struct vm_machine *m, uint32_t code);
/** It cannot go on; @p text is kept. Any thread. */
void vm__request_crash(struct vm_machine *m, int status, const char *text);
/** An event for the embedder. Any thread. */
void vm__event_post(struct vm_machine *m, uint32_t kind, uint64_t a, uint64_t b, const char *text);

/* ---- seconds of the wall clock, for real-time clocks ---- */

/** Seconds since 1970 that the guest's real-time clock shows at machine time 0 ("rtc.base"). */
uint64_t vm__machine_epoch(const struct vm_machine *m);

/** Random bytes: the host's, or repeatable ones with "rng.seed" or an icount clock. Any thread. */
void vm__machine_random(struct vm_machine *m, void *buf, size_t len);

/* ---- interrupt lines ---- */

/** Line @p n of the board, or one that goes nowhere. */
struct vm_irq vm__machine_line(struct vm_machine *m, uint32_t n);

/* ---- saving; core/snapshot.c. The machine must stand still. ---- */
int vm__machine_save(struct vm_machine *m, uint8_t **data, size_t *len);
int vm__machine_load(struct vm_machine *m, const uint8_t *data, size_t len);

#endif
