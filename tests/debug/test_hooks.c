/* SPDX-License-Identifier: MIT */
/* Hooks on instructions, blocks, memory, ports and interrupts, through the public interface. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "guest.h"

enum { SEEN = 64 };

struct seen {
    vm_machine *m;
    _Atomic uint32_t n;
    uint32_t freed;
    int64_t id;
    int answer;
    uint64_t set; /* for the hook's own use */
    vm_hook_event e[SEEN];
    uint64_t eax[SEEN], flags[SEEN];
};

static int note(void *ud, vm_cpu *cpu, vm_hook_event *e)
{
    struct seen *s = ud;
    const uint32_t n = s->n++;
    if (n < SEEN) {
        s->e[n] = *e;
        cr_expect(eq(int, vm_cpu_reg_read(cpu, VM_X86_RAX, &s->eax[n], 8), VM_OK));
        cr_expect(eq(int, vm_cpu_reg_read(cpu, VM_X86_RFLAGS, &s->flags[n], 8), VM_OK));
    }
    return s->answer;
}

static void gone(void *ud)
{
    ((struct seen *)ud)->freed++;
}

static vm_machine *start(const char *label, uint32_t cpus)
{
    vm_machine *m = guest_machine(cpus);

    cr_assert(m != NULL);
    guest_set_reg(m, 0, VM_X86_RIP, guest_at(label));
    return m;
}

static int64_t hook(vm_machine *m, uint32_t kinds, uint64_t first, uint64_t last, vm_hook_fn fn,
                    struct seen *s)
{
    s->m = m;
    s->id = vm_hook_add(m, kinds, first, last, fn, s, gone);
    cr_assert(s->id > 0, "%s", vm_last_error()->message);
    return s->id;
}

static uint32_t run(vm_machine *m)
{
    vm_exit e = { .size = sizeof e };
    cr_assert(eq(int, vm_run(m, 0, 5000000000, &e), VM_OK), "%s", vm_last_error()->message);
    return e.reason;
}

/* It halts with interrupts off, which ends the run. */
static void ends(vm_machine *m)
{
    cr_assert(eq(int, vm_debug_break_add(m, guest_at(g_done)), VM_OK));
    cr_assert(eq(u32, run(m), VM_EXIT_DEBUG));
    cr_assert(eq(u64, guest_reg(m, 0, VM_X86_RIP), guest_at(g_done)));
}

/* ---- code ---- */

Test(hooks, an_instruction_is_seen_each_time_with_exact_registers)
{
    static struct seen s;
    vm_machine *m = start(g_loop, 1);

    hook(m, VM_HOOK_INSN, guest_at(g_loop_add), guest_at(g_loop_add), note, &s);
    ends(m);
    cr_expect(eq(u32, s.n, 10));
    for (uint32_t k = 0; k < 10; k++) {
        cr_expect(eq(u64, s.e[k].pc, guest_at(g_loop_add)));
        cr_expect(eq(u64, s.eax[k], k + 1));
        cr_expect(eq(u32, s.e[k].kind, VM_HOOK_INSN));
        /* INC leaves the carry of the compare before: set but for the first time around. */
        cr_expect(eq(u64, s.flags[k] & 1, k != 0), "time %u", k);
        cr_expect(eq(u64, s.flags[k] & 0x40, 0), "not zero");
    }
    cr_expect(eq(u32, guest_word(m, g_sum), 55));
    vm_machine_destroy(m);
    cr_expect(eq(u32, s.freed, 1));
}

Test(hooks, every_instruction_of_a_range_is_seen)
{
    static struct seen s;
    vm_machine *m = start(g_loop, 1);

    hook(m, VM_HOOK_INSN, guest_at(g_loop), guest_at(g_done) - 1, note, &s);
    ends(m);
    cr_expect(eq(u32, s.n, 1 + 4 * 10));
    cr_expect(eq(u64, s.e[0].pc, guest_at(g_loop)));
    cr_expect(eq(u64, s.e[1].pc, guest_at(g_loop_top)));
    cr_expect(eq(u64, s.e[2].pc, guest_at(g_loop_add)));
    cr_expect(eq(u64, s.e[5].pc, guest_at(g_loop_top)));
    vm_machine_destroy(m);
}

Test(hooks, a_block_is_seen_each_time_it_is_entered)
{
    static struct seen s;
    vm_machine *m = start(g_loop, 1);

    hook(m, VM_HOOK_BLOCK, guest_at(g_loop), guest_at(g_done) - 1, note, &s);
    ends(m);
    cr_expect(eq(u32, s.n, 10), "%u", s.n); /* from the start, then nine times from the top */
    cr_expect(eq(u64, s.e[0].addr, guest_at(g_loop)));
    cr_expect(eq(u64, s.e[0].aux, 5));
    cr_expect(eq(u64, s.e[1].addr, guest_at(g_loop_top)));
    cr_expect(eq(u64, s.e[1].aux, 4));
    cr_expect(eq(u32, guest_word(m, g_sum), 55));
    vm_machine_destroy(m);
}

static int remove_itself(void *ud, vm_cpu *cpu, vm_hook_event *e)
{
    struct seen *s = ud;
    if (s->n == 3) {
        cr_expect(eq(int, vm_hook_del(s->m, s->id), VM_OK));
        cr_expect(eq(u32, s->freed, 0), "somebody is inside");
    }
    return note(ud, cpu, e);
}

Test(hooks, a_hook_may_remove_itself)
{
    static struct seen s;
    vm_machine *m = start(g_loop, 1);

    hook(m, VM_HOOK_INSN, guest_at(g_loop_add), guest_at(g_loop_add), remove_itself, &s);
    ends(m);
    cr_expect(eq(u32, s.n, 4));
    cr_expect(eq(u32, s.freed, 1));
    cr_expect(eq(int, vm_hook_del(m, s.id), VM_E_NOENT));
    cr_expect(eq(u32, guest_word(m, g_sum), 55));
    vm_machine_destroy(m);
    cr_expect(eq(u32, s.freed, 1));
}

static int skip_add(void *ud, vm_cpu *cpu, vm_hook_event *e)
{
    struct seen *s = ud;
    const uint64_t to = guest_at(g_loop_add) + 6; /* behind ADD m32, r32 */
    (void)note(ud, cpu, e);
    if (s->eax[s->n - 1] == 5)
        cr_expect(eq(int, vm_cpu_reg_write(cpu, VM_X86_RIP, &to, 8), VM_OK));
    return VM_HOOK_GO;
}

Test(hooks, a_hook_may_send_the_processor_elsewhere)
{
    static struct seen s;
    vm_machine *m = start(g_loop, 1);

    hook(m, VM_HOOK_INSN, guest_at(g_loop_add), guest_at(g_loop_add), skip_add, &s);
    ends(m);
    cr_expect(eq(u32, s.n, 10));
    cr_expect(eq(u32, guest_word(m, g_sum), 50));
    vm_machine_destroy(m);
}

Test(hooks, stopping_is_before_the_instruction_and_going_on_executes_it)
{
    static struct seen s = { .answer = VM_HOOK_STOP };
    vm_machine *m = start(g_loop, 1);

    hook(m, VM_HOOK_INSN, guest_at(g_loop_add), guest_at(g_loop_add), note, &s);
    for (uint32_t k = 1; k <= 10; k++) {
        cr_assert(eq(u32, run(m), VM_EXIT_STOPPED));
        cr_expect(eq(u64, guest_reg(m, 0, VM_X86_RIP), guest_at(g_loop_add)));
        cr_expect(eq(u64, guest_reg(m, 0, VM_X86_RAX), k));
        cr_expect(eq(u32, guest_word(m, g_sum), k * (k - 1) / 2), "not executed yet");
        cr_expect(eq(u32, s.n, k));
    }
    ends(m);
    cr_expect(eq(u32, guest_word(m, g_sum), 55));
    vm_machine_destroy(m);
}

Test(hooks, a_negative_answer_comes_out_of_the_run)
{
    static struct seen s = { .answer = VM_E_PERM };
    vm_machine *m = start(g_loop, 1);
    vm_exit e = { .size = sizeof e };

    hook(m, VM_HOOK_INSN, guest_at(g_loop_add), guest_at(g_loop_add), note, &s);
    cr_expect(eq(int, vm_run(m, 0, 5000000000, &e), VM_E_PERM));
    cr_expect(eq(u32, e.reason, VM_EXIT_ERROR));
    cr_expect(eq(u64, guest_reg(m, 0, VM_X86_RIP), guest_at(g_loop_add)));
    s.answer = VM_HOOK_GO;
    ends(m);
    cr_expect(eq(u32, guest_word(m, g_sum), 55));
    vm_machine_destroy(m);
}

Test(hooks, single_steps_and_shadows_see_hooks_too)
{
    static struct seen s;
    vm_machine *m = start(g_movss, 1);

    hook(m, VM_HOOK_INSN, guest_at(g_movss), guest_at(g_movss_after), note, &s);
    ends(m);
    cr_expect(eq(u32, s.n, 4));
    cr_expect(eq(u64, s.e[2].pc, guest_at(g_movss_next)));
    vm_machine_destroy(m);
}

/* ---- memory ---- */

Test(hooks, memory_accesses_are_seen_with_their_values)
{
    static struct seen s;
    vm_machine *m = start(g_accesses, 1);

    hook(m, VM_HOOK_MEM_READ | VM_HOOK_MEM_WRITE, guest_at(g_var), guest_at(g_var2) + 3, note, &s);
    ends(m);
    const struct {
        const char *at;
        uint32_t kind, width;
        uint64_t addr, value;
    } want[] = {
        { g_read, VM_HOOK_MEM_READ, 4, guest_at(g_var), 0 },
        { g_write, VM_HOOK_MEM_WRITE, 1, guest_at(g_var) + 2, 3 },
        { g_rmw, VM_HOOK_MEM_READ, 4, guest_at(g_var), 0x30000 },
        { g_rmw, VM_HOOK_MEM_WRITE, 4, guest_at(g_var), 0x30001 },
        { g_movs, VM_HOOK_MEM_WRITE, 4, guest_at(g_var), 0x55555555 },
        { g_movs, VM_HOOK_MEM_WRITE, 4, guest_at(g_var2), 0x55555555 },
        { g_push, VM_HOOK_MEM_WRITE, 4, guest_at(g_var2), 7 },
    };
    cr_expect(eq(u32, s.n, 7), "%u", s.n);
    for (uint32_t k = 0; k < 7 && k < s.n; k++) {
        cr_expect(eq(u64, s.e[k].pc, guest_at(want[k].at)), "%u", k);
        cr_expect(eq(u32, s.e[k].kind, want[k].kind), "%u", k);
        cr_expect(eq(u32, s.e[k].width, want[k].width), "%u", k);
        cr_expect(eq(u64, s.e[k].addr, want[k].addr), "%u", k);
        cr_expect(eq(u64, s.e[k].value, want[k].value), "%u", k);
    }
    vm_machine_destroy(m);
}

Test(hooks, an_access_across_a_page_is_one)
{
    static struct seen s;
    vm_machine *m = start(g_accesses, 1);

    hook(m, VM_HOOK_MEM_WRITE, guest_at(g_page_end), guest_at(g_page_end), note, &s);
    ends(m);
    cr_expect(eq(u32, s.n, 1));
    cr_expect(eq(u64, s.e[0].pc, guest_at(g_split)));
    cr_expect(eq(u64, s.e[0].addr, guest_at(g_page_end) - 2));
    vm_machine_destroy(m);
}

/* ---- ports ---- */

static int swallow(void *ud, vm_cpu *cpu, vm_hook_event *e)
{
    (void)note(ud, cpu, e);
    return VM_HOOK_HANDLED;
}

Test(hooks, a_port_write_may_be_kept_from_its_device)
{
    static struct seen s;
    vm_machine *m = start(g_off, 1);

    hook(m, VM_HOOK_PORT_WRITE, 0xf4, 0xf4, swallow, &s);
    ends(m); /* it did not power off */
    cr_expect(eq(u32, s.n, 1));
    cr_expect(eq(u64, s.e[0].addr, 0xf4));
    cr_expect(eq(u64, s.e[0].value, 0x31));
    cr_expect(eq(u32, s.e[0].width, 1));
    cr_expect(eq(int, vm_hook_del(m, s.id), VM_OK));
    guest_set_reg(m, 0, VM_X86_RIP, guest_at(g_off));
    cr_expect(eq(u32, run(m), VM_EXIT_SHUTDOWN));
    vm_machine_destroy(m);
}

/* ---- interrupts ---- */

Test(hooks, exceptions_and_interrupts_are_seen)
{
    static struct seen s;
    vm_machine *m = start(g_fault, 1);

    hook(m, VM_HOOK_INTR, 0, 255, note, &s);
    ends(m);
    cr_expect(eq(u32, s.n, 1));
    cr_expect(eq(u64, s.e[0].addr, 6));
    cr_expect(eq(u64, s.e[0].aux, VM_HOOK_IS_EXCEPTION));
    cr_expect(eq(u64, s.e[0].pc, guest_at(g_fault_insn)));
    vm_machine_destroy(m);
}

/* ---- many threads ---- */

static int count(void *ud, vm_cpu *cpu, vm_hook_event *e)
{
    (void)cpu;
    (void)e;
    ((struct seen *)ud)->n++;
    return VM_HOOK_GO;
}

Test(hooks, hooks_come_and_go_while_two_processors_run, .timeout = 60)
{
    static struct seen s[50];
    vm_machine *m = start(g_self, 2);

    cr_assert(eq(int, vm_machine_start(m), VM_OK));
    for (uint32_t k = 0; k < 50; k++) {
        hook(m, VM_HOOK_INSN | VM_HOOK_BLOCK | VM_HOOK_MEM_WRITE, guest_at(g_self),
             guest_at(g_self), count, &s[k]);
        for (uint32_t t = 0; s[k].n < 10 && t < 5000; t++)
            usleep(1000);
        cr_expect(s[k].n >= 10, "hook %u was not called", k);
        cr_expect(eq(int, vm_hook_del(m, s[k].id), VM_OK));
    }
    cr_assert(eq(int, vm_machine_pause(m), VM_OK));
    for (uint32_t k = 0; k < 50; k++)
        cr_expect(eq(u32, s[k].freed, 1), "hook %u", k);
    vm_machine_destroy(m);
}

Test(hooks, nonsense_is_refused)
{
    static struct seen s;
    vm_machine *m = start(g_loop, 1);

    cr_expect(eq(i64, vm_hook_add(m, 0, 0, 1, note, &s, NULL), VM_E_INVAL));
    cr_expect(eq(i64, vm_hook_add(m, 1u << 20, 0, 1, note, &s, NULL), VM_E_INVAL));
    cr_expect(eq(i64, vm_hook_add(m, VM_HOOK_INSN, 2, 1, note, &s, NULL), VM_E_INVAL));
    cr_expect(eq(i64, vm_hook_add(m, VM_HOOK_INSN, 0, 1, NULL, &s, NULL), VM_E_INVAL));
    cr_expect(eq(int, vm_hook_del(m, 1), VM_E_NOENT));
    vm_machine_destroy(m);
}
