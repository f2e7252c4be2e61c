/* SPDX-License-Identifier: MIT */
/* Breakpoints, watchpoints and single steps, through the public interface. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "guest.h"

/* Run until it stops for the debugger; how it did. */
static vm_debug_stop go_until(vm_machine *m, uint32_t want)
{
    vm_exit e = { .size = sizeof e };
    vm_debug_stop why = { .size = sizeof why };

    cr_assert(eq(int, vm_run(m, 0, 5000000000, &e), VM_OK), "%s", vm_last_error()->message);
    cr_assert(eq(int, vm_debug_why(m, &why), VM_OK));
    if (want != 0)
        cr_assert(eq(u32, e.reason, VM_EXIT_DEBUG));
    cr_assert(eq(u32, why.kind, want), "exit %u", e.reason);
    return why;
}

/* It runs to its end without meeting anything else. */
static void ends(vm_machine *m)
{
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_done)), VM_OK));
    cr_assert(eq(u64, go_until(m, VM_DEBUG_BREAK).pc, guest_at(g_done)));
}

static vm_machine *start(const char *label, uint32_t cpus)
{
    vm_machine *m = guest_machine(cpus);

    cr_assert(m != NULL);
    guest_set_reg(m, 0, VM_X86_RIP, guest_at(label));
    return m;
}

static void step_to(vm_machine *m, const char *label)
{
    cr_assert(eq(int, vm_debug_step(vm_cpu_get(m, 0), 1), VM_OK));
    vm_debug_stop why = go_until(m, VM_DEBUG_STEP);
    cr_assert(eq(u64, why.pc, guest_at(label)));
    cr_assert(eq(u64, guest_reg(m, 0, VM_X86_RIP), guest_at(label)));
}

/* ---- breakpoints ---- */

Test(debug, a_breakpoint_is_met_each_time_around_and_passed_each_time)
{
    vm_machine *m = start(g_loop, 1);

    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_loop_add)), VM_OK));
    for (uint32_t k = 1; k <= 10; k++) {
        vm_debug_stop why = go_until(m, VM_DEBUG_BREAK);
        cr_expect(eq(u64, why.pc, guest_at(g_loop_add)));
        cr_expect(eq(u64, guest_reg(m, 0, VM_X86_RAX), k));
        cr_expect(eq(u32, guest_word(m, g_sum), k * (k - 1) / 2), "not executed yet");
    }
    ends(m);
    cr_expect(eq(u32, guest_word(m, g_sum), 55));
    vm_machine_destroy(m);
}

Test(debug, a_breakpoint_is_not_in_the_guests_memory)
{
    vm_machine *m = start(g_loop, 1);
    uint8_t before[8], after[8];

    cr_assert(eq(int, vm_mem_read(m, guest_at(g_loop_add), before, sizeof before), VM_OK));
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_loop_add)), VM_OK));
    go_until(m, VM_DEBUG_BREAK);
    cr_assert(eq(int, vm_mem_read(m, guest_at(g_loop_add), after, sizeof after), VM_OK));
    cr_expect_arr_eq(before, after, sizeof before);
    vm_machine_destroy(m);
}

Test(debug, a_removed_breakpoint_is_not_met)
{
    vm_machine *m = start(g_loop, 1);

    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_loop_top)), VM_OK));
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_loop_add)), VM_OK));
    go_until(m, VM_DEBUG_BREAK);
    cr_assert(eq(int, vm_debug_break_del(m, guest_at(g_loop_top)), VM_OK));
    cr_assert(eq(int, vm_debug_break_del(m, guest_at(g_loop_top)), VM_E_NOENT));
    cr_expect(eq(u64, go_until(m, VM_DEBUG_BREAK).pc, guest_at(g_loop_add)));
    cr_assert(eq(int, vm_debug_clear(m), VM_OK));
    ends(m);
    vm_machine_destroy(m);
}

Test(debug, a_breakpoint_added_at_decoded_code_is_met)
{
    vm_machine *m = start(g_self, 1);
    vm_exit e = { .size = sizeof e };

    cr_assert(eq(int, vm_run(m, 1000, -1, &e), VM_OK));
    cr_assert(eq(u32, e.reason, VM_EXIT_BUDGET));
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_self)), VM_OK));
    for (int k = 0; k < 3; k++) /* a jump to itself is met again, not passed for ever */
        cr_expect(eq(u64, go_until(m, VM_DEBUG_BREAK).pc, guest_at(g_self)));
    vm_machine_destroy(m);
}

Test(debug, lists_are_changed_only_at_rest_and_are_bounded)
{
    vm_machine *m = start(g_self, 1);

    cr_assert(eq(int, vm_machine_start(m), VM_OK));
    cr_expect(eq(int, vm_debug_break_add(m, 1), VM_E_STATE));
    cr_expect(eq(int, vm_debug_watch_add(m, 1, 1, VM_WATCH_READ), VM_E_STATE));
    cr_expect(eq(int, vm_debug_step(vm_cpu_get(m, 0), 1), VM_E_STATE));
    cr_assert(eq(int, vm_machine_pause(m), VM_OK));
    int st = VM_OK;
    for (uint64_t k = 0; k < 100000 && st == VM_OK; k++)
        st = vm_debug_break_add(m, 0x1000000 + 7 * k);
    cr_expect(eq(int, st, VM_E_RANGE));
    cr_expect(eq(int, vm_debug_watch_add(m, 0, 0, VM_WATCH_READ), VM_E_INVAL));
    cr_expect(eq(int, vm_debug_watch_add(m, ~UINT64_C(0), 2, VM_WATCH_READ), VM_E_INVAL));
    cr_expect(eq(int, vm_debug_watch_add(m, 0, 1, 4), VM_E_INVAL));
    cr_expect(eq(int, vm_debug_watch_del(m, 0, 1, VM_WATCH_READ), VM_E_NOENT));
    for (st = VM_OK; st == VM_OK;)
        st = vm_debug_watch_add(m, 0x1000, 1, VM_WATCH_READ);
    cr_expect(eq(int, st, VM_E_RANGE));
    vm_machine_destroy(m);
}

/* ---- steps ---- */

Test(debug, a_step_is_one_instruction)
{
    vm_machine *m = start(g_loop, 1);

    step_to(m, g_loop_top);
    step_to(m, g_loop_add);
    cr_expect(eq(u64, guest_reg(m, 0, VM_X86_RAX), 1));
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_loop_add)), VM_OK));
    cr_assert(eq(int, vm_debug_step(vm_cpu_get(m, 0), 1), VM_OK));
    go_until(m, VM_DEBUG_STEP); /* off a breakpoint, whoever put it there */
    cr_expect(eq(u32, guest_word(m, g_sum), 1));
    vm_machine_destroy(m);
}

Test(debug, a_repeated_instruction_is_stepped_by_iteration_and_passed_whole)
{
    vm_machine *m = start(g_rep, 1);

    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_rep_insn)), VM_OK));
    go_until(m, VM_DEBUG_BREAK);
    step_to(m, g_rep_insn);
    cr_expect(eq(u64, guest_reg(m, 0, VM_X86_RCX), 4));
    cr_expect(eq(u32, guest_word(m, g_buffer), 0x55555541));
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_rep_after)), VM_OK));
    guest_set_reg(m, 0, VM_X86_RIP, guest_at(g_rep));
    cr_expect(eq(u64, go_until(m, VM_DEBUG_BREAK).pc, guest_at(g_rep_insn)));
    cr_expect(eq(u64, go_until(m, VM_DEBUG_BREAK).pc, guest_at(g_rep_after)));
    cr_expect(eq(u64, guest_reg(m, 0, VM_X86_RCX), 0));
    vm_machine_destroy(m);
}

Test(debug, the_shadow_of_mov_ss_does_not_swallow_a_step)
{
    vm_machine *m = start(g_movss, 1);

    step_to(m, g_movss_insn);
    step_to(m, g_movss_next);
    step_to(m, g_movss_after);
    guest_set_reg(m, 0, VM_X86_RIP, guest_at(g_movss));
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_movss_next)), VM_OK));
    cr_expect(eq(u64, go_until(m, VM_DEBUG_BREAK).pc, guest_at(g_movss_next)));
    ends(m);
    vm_machine_destroy(m);
}

Test(debug, stepping_hlt_halts_and_the_next_step_ends_in_the_handler)
{
    vm_machine *m = start(g_interrupts, 1);
    vm_exit e = { .size = sizeof e };

    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_sti)), VM_OK));
    go_until(m, VM_DEBUG_BREAK);
    step_to(m, g_hlt);
    step_to(m, g_hlt_after);
    cr_assert(eq(int, vm_debug_step(vm_cpu_get(m, 0), 1), VM_OK));
    cr_assert(eq(int, vm_run(m, 0, 20000000, &e), VM_OK));
    cr_expect(ne(u32, e.reason, VM_EXIT_DEBUG), "it waits");
    cr_assert(eq(int, vm_irq_set(m, 5, 1), VM_OK));
    cr_expect(eq(u64, go_until(m, VM_DEBUG_STEP).pc, guest_at(g_irq5)));
    cr_expect(eq(u32, guest_word(m, g_var), 0));
    vm_machine_destroy(m);
}

Test(debug, an_interrupt_waits_for_the_end_of_a_step)
{
    vm_machine *m = start(g_interrupts, 1);

    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_hlt)), VM_OK));
    cr_assert(eq(int, vm_irq_set(m, 5, 0), VM_OK));
    go_until(m, VM_DEBUG_BREAK);
    cr_assert(eq(int, vm_irq_set(m, 5, 1), VM_OK));
    guest_set_reg(m, 0, VM_X86_RIP, guest_at(g_loop));
    step_to(m, g_loop_top);
    step_to(m, g_loop_add);
    cr_expect(eq(u32, guest_word(m, g_var), 0));
    ends(m);
    cr_expect(eq(u32, guest_word(m, g_var), 1), "it came once the machine ran");
    vm_machine_destroy(m);
}

Test(debug, stepping_a_faulting_instruction_ends_at_its_handler)
{
    vm_machine *m = start(g_fault, 1);

    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_fault_insn)), VM_OK));
    go_until(m, VM_DEBUG_BREAK);
    step_to(m, g_invalid);
    cr_assert(eq(int, vm_debug_clear(m), VM_OK));
    ends(m);
    vm_machine_destroy(m);
}

/* ---- watchpoints ---- */

/* Where g_accesses stops for accesses of these kinds to len bytes at label; PCs after the insns. */
static unsigned watch(const char *label, int off, uint64_t len, uint32_t kinds, uint64_t *pc,
                      unsigned max)
{
    vm_machine *m = start(g_accesses, 1);
    unsigned n = 0;

    cr_assert(eq(int, vm_debug_watch_add(m, guest_at(label) + (uint64_t)(int64_t)off, len, kinds),
                 VM_OK));
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_done)), VM_OK));
    for (;;) {
        vm_exit e = { .size = sizeof e };
        cr_assert(eq(int, vm_run(m, 0, 2000000000, &e), VM_OK));
        if (e.code == VM_DEBUG_BREAK)
            break;
        cr_assert(eq(u32, e.reason, VM_EXIT_DEBUG));
        cr_assert(eq(int, e.code, VM_DEBUG_WATCH));
        cr_assert(lt(u32, n, max));
        pc[n++] = e.data;
    }
    vm_machine_destroy(m);
    return n;
}

Test(debug, a_write_watchpoint_sees_writes_only)
{
    uint64_t pc[8];
    unsigned n = watch(g_var, 0, 4, VM_WATCH_WRITE, pc, 8);

    cr_assert(eq(u32, n, 3));
    cr_expect(eq(u64, pc[0], guest_at(g_rmw)), "the byte store before it");
    cr_expect(eq(u64, pc[1], guest_at(g_split)), "the locked increment");
    cr_expect(eq(u64, pc[2], guest_at(g_movs)), "one iteration of REP MOVSD, to be gone on with");
}

Test(debug, a_read_watchpoint_sees_reads_and_read_modify_writes)
{
    uint64_t pc[8];
    unsigned n = watch(g_var, 0, 4, VM_WATCH_READ, pc, 8);

    cr_assert(eq(u32, n, 2));
    cr_expect(eq(u64, pc[0], guest_at(g_write)));
    cr_expect(eq(u64, pc[1], guest_at(g_split)));
}

Test(debug, a_watchpoint_is_for_its_bytes_and_no_others)
{
    uint64_t pc[8];

    cr_assert(eq(u32, watch(g_var, 2, 1, VM_WATCH_ACCESS, pc, 8), 4));
    cr_assert(eq(u32, watch(g_var2, 0, 4, VM_WATCH_READ, pc, 8), 0));
    cr_assert(eq(u32, watch(g_buffer, 60, 4, VM_WATCH_ACCESS, pc, 8), 0));
}

Test(debug, a_watchpoint_sees_half_of_an_access_that_straddles_pages)
{
    uint64_t pc[8];

    cr_assert(eq(u32, watch(g_page_end, 1, 1, VM_WATCH_WRITE, pc, 8), 1));
    cr_assert(eq(u32, watch(g_page_end, -2, 1, VM_WATCH_WRITE, pc, 8), 1));
    cr_assert(eq(u32, watch(g_page_end, 2, 1, VM_WATCH_WRITE, pc, 8), 0));
}

Test(debug, a_watchpoint_sees_a_push)
{
    uint64_t pc[8];
    unsigned n = watch(g_var2, 0, 4, VM_WATCH_WRITE, pc, 8);

    cr_assert(eq(u32, n, 2));
    cr_expect(eq(u64, pc[1], guest_at(g_accesses_end)));
}

/* ---- several processors ---- */

/* Real-mode code of the other processors, at 8000h: INC DWORD [7000h]; JMP back. */
static const uint8_t ap_code[] = { 0x66, 0xff, 0x06, 0x00, 0x70, 0xeb, 0xf9 };

static uint32_t ap_count(vm_machine *m)
{
    uint32_t v = 0;
    cr_assert(eq(int, vm_mem_read(m, 0x7000, &v, sizeof v), VM_OK));
    return v;
}

Test(debug, a_breakpoint_stops_every_processor_and_an_event_says_so)
{
    vm_machine *m = start(g_smp, 2);
    int state = 0;

    cr_assert(eq(int, vm_mem_write(m, 0x8000, ap_code, sizeof ap_code), VM_OK));
    cr_assert(eq(int, vm_debug_break_add(m, 0x8005), VM_OK));
    for (uint32_t k = 1; k < 50; k++) {
        vm_debug_stop why = { .size = sizeof why };
        cr_assert(eq(int, vm_machine_start(m), VM_OK));
        cr_assert(eq(int, vm_machine_wait(m, VM_ST_PAUSED, 5000000000, &state), VM_OK));
        cr_assert(eq(int, vm_debug_why(m, &why), VM_OK));
        cr_assert(eq(u32, why.kind, VM_DEBUG_BREAK));
        cr_assert(eq(u32, why.cpu, 1));
        cr_assert(eq(u32, ap_count(m), k), "once around each time");
        uint32_t spin = guest_word(m, g_var);
        cr_assert(eq(u32, guest_word(m, g_var), spin), "processor 0 stands");
    }
    vm_machine_destroy(m);
}

Test(debug, breakpoints_of_two_processors_are_both_reported)
{
    vm_machine *m = start(g_smp, 2);
    unsigned seen[2] = { 0 };
    uint32_t n = 400;
    int state;

    cr_assert(eq(int, vm_mem_write(m, 0x8000, ap_code, sizeof ap_code), VM_OK));
    cr_assert(eq(int, vm_debug_break_add(m, 0x8005), VM_OK));
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_smp_spin)), VM_OK));
    for (uint32_t k = 0; k < n; k++) {
        vm_debug_stop why = { .size = sizeof why };
        cr_assert(eq(int, vm_machine_start(m), VM_OK));
        cr_assert(eq(int, vm_machine_wait(m, VM_ST_PAUSED, 5000000000, &state), VM_OK));
        cr_assert(eq(int, vm_debug_why(m, &why), VM_OK));
        seen[why.cpu]++;
    }
    cr_expect(eq(u32, ap_count(m) - seen[1], 0), "%u rounds, %u reports", ap_count(m), seen[1]);
    cr_expect(ge(u32, guest_word(m, g_var) + 1, seen[0]));
    cr_expect(le(u32, guest_word(m, g_var), seen[0]));
    cr_expect(gt(u32, seen[0], 0));
    cr_expect(gt(u32, seen[1], 0));
    vm_machine_destroy(m);
}

Test(debug, a_held_processor_stands_still_while_another_steps)
{
    vm_machine *m = start(g_smp, 2);

    cr_assert(eq(int, vm_mem_write(m, 0x8000, ap_code, sizeof ap_code), VM_OK));
    cr_assert(eq(int, vm_debug_break_add(m, 0x8005), VM_OK));
    go_until(m, VM_DEBUG_BREAK);
    cr_assert(eq(int, vm_debug_clear(m), VM_OK));
    uint64_t pc = guest_reg(m, 0, VM_X86_RIP);
    cr_assert(eq(int, vm_debug_hold(vm_cpu_get(m, 0), 1), VM_OK));
    for (int k = 0; k < 10; k++) {
        cr_assert(eq(int, vm_debug_step(vm_cpu_get(m, 1), 1), VM_OK));
        cr_assert(eq(u32, go_until(m, VM_DEBUG_STEP).cpu, 1));
        cr_assert(eq(u64, guest_reg(m, 0, VM_X86_RIP), pc));
    }
    cr_expect(eq(u32, ap_count(m), 6));
    vm_machine_destroy(m);
}
