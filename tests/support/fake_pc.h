/* SPDX-License-Identifier: MIT */
/**
 * @file fake_pc.h
 * A whole machine for tests of the run loop: a board with RAM, a tick timer and a few ports, and a
 * processor whose instructions are letters.
 *
 * The program is text, the same for every processor, in RAM from FAKE_PROGRAM on:
 *
 *     n          nothing
 *     h          halt until an interrupt
 *     +          add one to this processor's counter at FAKE_COUNTERS + 8 * index, in RAM
 *     oPPPPVV    write byte VV to port PPPP
 *     iPPPP      read a byte from port PPPP, add it to the accumulator
 *     mAAAAAAAAVV write byte VV to guest-physical address AAAAAAAA
 *     jOO        jump to offset OO of the program
 *     cNOO       jump to offset OO on processor N
 *     s          the host takes the processor away for 30 ms
 *     t          triple fault
 *     e          the engine gives up
 *     b          breakpoint
 *
 * Ports: 40 arms the tick, VV hundreds of microseconds apart (00: off), each an interrupt to every
 * processor; 64 resets; F4 powers off with code VV; E9 writes to channel "debug".
 */
#ifndef LIBVM_TESTS_FAKE_PC_H
#define LIBVM_TESTS_FAKE_PC_H

#include "core/config.h"
#include "core/machine.h"

enum { FAKE_PROGRAM = 0x1000, FAKE_COUNTERS = 0x2000 };

/** What a test can see of the processor's state. */
struct fake_cpu_state {
    uint64_t pc, acc, insns, interrupts;
    uint8_t halted;
    uint8_t pending; /**< an interrupt; set by any thread */
};

/** A configuration for a machine with this program; free both. Asserts that it worked. */
struct vm_config *fake_pc_config(const char *program, uint32_t cpus);
/** Configuration, build, free: for tests that set nothing else. */
struct vm_machine *fake_pc(const char *program, uint32_t cpus);

struct fake_cpu_state *fake_cpu(struct vm_machine *m, uint32_t index);
/** The counter of "+". */
uint64_t fake_counter(struct vm_machine *m, uint32_t index);
/** Ticks of the timer so far. */
uint64_t fake_ticks(struct vm_machine *m);

#endif
