/* SPDX-License-Identifier: MIT */
/**
 * @file debug.h
 * Breakpoints, watchpoints and single steps of a debugger, as floor 1 keeps them and engines see
 * them.
 *
 * Nothing of this is ever written into guest memory or guest-visible state. The lists change only
 * while the machine stands still; every processor is then asked to drop what it has decoded
 * (VM_CPU_REQ_DROP), so an engine asks while it decodes or translates and not while it runs:
 *   - a block ends before an address for which vm__debug_break_at() is true, and a block that would
 *     begin there is one that comes back from run() with VM_CPU_DEBUG instead;
 *   - a page for which vm__debug_watched() is true gets no entry in a soft TLB, and what accesses
 * it the slow way calls vm__debug_watch_hit();
 *   - a processor with `step` set executes one instruction, or enters the handler of one event.
 * Without a debugger the cost is one test of m->debug.n_* where code is decoded and where the soft
 * TLB is filled.
 *
 * A processor whose breakpoint was reported executes that instruction first when the machine goes
 * on (`pass`).
 */
#ifndef LIBVM_CORE_DEBUG_H
#define LIBVM_CORE_DEBUG_H

#include <stdbool.h>
#include <stdint.h>

#include <libvm/debug.h>

struct vm_cpu;
struct vm_machine;

enum { VM_MAX_BREAKS = 1024, VM_MAX_WATCHES = 64 };

struct vm_debug_watch {
    uint64_t gva, len;
    uint32_t kinds; /**< VM_WATCH_* */
};

/** Of a machine: m->debug. */
struct vm_debug {
    uint32_t n_breaks, n_watches, breaks_room;
    uint64_t *breaks; /**< sorted */
    struct vm_debug_watch watches[VM_MAX_WATCHES];
    void *session;      /**< the one debugger that may be connected */
    uint32_t gdb_arch;  /**< VM_GDB_* that gdb's user asked for */
    vm_debug_stop last; /**< what stopped the machine; kind 0 once it runs again */
};

/** Of a processor: cpu->debug. */
struct vm_cpu_debug {
    bool step;        /**< one instruction, then VM_CPU_DEBUG */
    bool hold;        /**< stands still while others run */
    bool pass;        /**< executes the instruction at pass_at whatever breakpoint is there */
    uint64_t pass_at; /**< guest-linear */
    bool told;        /**< what it stopped for last has been reported */
};

bool vm__debug_find_break(const struct vm_debug *d, uint64_t gva);
bool vm__debug_find_page(const struct vm_debug *d, uint64_t page);
bool vm__debug_find_watch(const struct vm_debug *d, uint64_t gva, uint64_t len, uint32_t kinds);

/** Is there a breakpoint at this guest-linear address? [cpu thread] */
static inline bool vm__debug_break_at(const struct vm_debug *d, uint64_t gva)
{
    return __builtin_expect(d->n_breaks != 0, 0) && vm__debug_find_break(d, gva);
}
/** Does a watchpoint lie in the 4 KiB page at guest-linear @p page? */
static inline bool vm__debug_watched(const struct vm_debug *d, uint64_t page)
{
    return __builtin_expect(d->n_watches != 0, 0) && vm__debug_find_page(d, page);
}
/** Is an access of @p kinds to [gva, gva + len) watched? */
static inline bool vm__debug_watch_hit(const struct vm_debug *d, uint64_t gva, uint64_t len,
                                       uint32_t kinds)
{
    return __builtin_expect(d->n_watches != 0, 0) && vm__debug_find_watch(d, gva, len, kinds);
}

/** Of the watchpoint that @p stop met: its kinds, and in @p addr the first byte of it met. */
uint32_t vm__debug_watch_kind(const struct vm_debug *d, const vm_debug_stop *stop, uint64_t *addr);

/* Under the machine lock, the machine at rest. */
int vm__debug_break_add(struct vm_machine *m, uint64_t gva);
int vm__debug_break_del(struct vm_machine *m, uint64_t gva);
int vm__debug_watch_add(struct vm_machine *m, uint64_t gva, uint64_t len, uint32_t kinds);
int vm__debug_watch_del(struct vm_machine *m, uint64_t gva, uint64_t len, uint32_t kinds);
void vm__debug_clear(struct vm_machine *m);
void vm__debug_fini(struct vm_machine *m);

/**
 * A processor came back with VM_CPU_DEBUG: make it the reason why the machine stops, unless there
 * is one already. Under the run lock. @return whether it is.
 */
bool vm__debug_report(struct vm_machine *m, struct vm_cpu *cpu, const struct vm_exit *exit);
/** The machine is about to run: forget why it stopped. Under the run lock. */
void vm__debug_go(struct vm_machine *m);
/** It was reset: nothing stands where it stood. */
void vm__debug_reset(struct vm_machine *m);

#endif
