/* SPDX-License-Identifier: MIT */
/**
 * @file guest.h
 * A guest for tests of debugging: a flat Multiboot image of small routines in 32-bit code, whose
 * labels the test knows. A test points RIP at a routine and runs it.
 */
#ifndef LIBVM_TESTS_DEBUG_GUEST_H
#define LIBVM_TESTS_DEBUG_GUEST_H

#include <libvm/libvm.h>

enum { GUEST_BASE = 0x100000 };

extern const char guest_image[], guest_image_end[];
/* clang-format off */
extern const char
    g_loop[], g_loop_top[], g_loop_add[], g_done[],   /* EAX 1…10, adds each to g_sum */
    g_rep[], g_rep_insn[], g_rep_after[],             /* REP STOSB of 5 bytes at g_buffer */
    g_movss[], g_movss_insn[], g_movss_next[], g_movss_after[],
    g_interrupts[], g_sti[], g_hlt[], g_hlt_after[],  /* interrupts on, vector 25h is IRQ 5 */
    g_irq5[], g_fault[], g_fault_insn[], g_invalid[], /* UD2 and its handler */
    g_self[], g_off[],                                      /* JMP to itself */
    g_accesses[], g_read[], g_write[], g_rmw[], g_split[], g_movs[], g_push[], g_accesses_end[],
    g_smp[], g_smp_spin[],                            /* starts the other processors at 8000h */
    g_sum[], g_buffer[], g_var[], g_var2[], g_page_end[];
/* clang-format on */

/** Guest address of a label. */
static inline uint32_t guest_at(const char *label)
{
    return GUEST_BASE + (uint32_t)(label - guest_image);
}

/** A machine with the guest in it, processor 0 at its entry; NULL with the reason on stderr. */
vm_machine *guest_machine(uint32_t cpus);
uint64_t guest_reg(vm_machine *m, uint32_t cpu, uint32_t reg);
void guest_set_reg(vm_machine *m, uint32_t cpu, uint32_t reg, uint64_t v);
uint32_t guest_word(vm_machine *m, const char *label);

#endif
