/* SPDX-License-Identifier: MIT */
/**
 * @file fake_cpu.h
 * A processor that does nothing but remember the registers it was given: boards can be built and
 * their ports used without an instruction being run.
 */
#ifndef LIBVM_TESTS_FAKE_CPU_H
#define LIBVM_TESTS_FAKE_CPU_H

#include "core/board.h"
#include "core/machine.h"
#include "core/run.h"

/** A pc machine with such processors; settings are key, value, … NULL. NULL on failure. */
struct vm_machine *fake_pc(const char *const *settings);
void fake_pc_free(struct vm_machine *m);
/** What was last written to a register of processor 0, since its reset. */
uint64_t fake_reg(struct vm_machine *m, uint32_t reg);

#endif
