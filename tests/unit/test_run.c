/* SPDX-License-Identifier: MIT */
/**
 * @file test_run.c
 * Running: budgets, halting, reset, power-off, pause, callbacks, both kinds of clock.
 */
#include <criterion/criterion.h>
#include <libvm/libvm.h>
#include <string.h>
#include <time.h>

#include "support/fake_pc.h"

static vm_exit last;

static uint32_t run(vm_machine *m, uint64_t max_insns)
{
    last = (vm_exit) { .size = sizeof last };
    cr_assert_eq(vm_run(m, max_insns, -1, &last), VM_OK, "%s", vm_last_error()->message);
    return last.reason;
}

static vm_machine *icount_pc(const char *program, uint32_t cpus)
{
    vm_config *cfg = fake_pc_config(program, cpus);
    cr_assert_eq(vm_config_set_str(cfg, "clock.mode", "icount"), VM_OK);
    vm_machine *m = vm_machine_build(cfg);
    cr_assert_not_null(m);
    vm_config_free(cfg);
    return m;
}

Test(run, a_budget_is_exact)
{
    vm_machine *m = fake_pc("+j00", 1);
    cr_assert_eq(run(m, 1001), VM_EXIT_BUDGET);
    cr_assert_eq(last.icount, 1001);
    cr_assert_eq(fake_counter(m, 0), 501);
    cr_assert_eq(vm_machine_state(m), VM_ST_PAUSED);
    vm_machine_destroy(m);
}

Test(run, processors_take_turns)
{
    vm_machine *m = fake_pc("+j00", 4);
    cr_assert_eq(run(m, 800000), VM_EXIT_BUDGET);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(fake_counter(m, i), 100000);
    vm_machine_destroy(m);
}

Test(run, all_halted_and_nothing_armed_comes_back)
{
    vm_machine *m = fake_pc("h", 2);
    cr_assert_eq(run(m, 0), VM_EXIT_HALTED);
    cr_assert_eq(last.icount, 2);
    vm_machine_destroy(m);
}

Test(run, a_time_limit_holds_for_busy_and_for_idle_guests)
{
    static const char *const programs[] = { "j00", "o0040ffhj07" };
    for (int i = 0; i < 2; i++) {
        vm_machine *m = fake_pc(programs[i], 1);
        vm_exit e = { .size = sizeof e };
        cr_assert_eq(vm_run(m, 0, 20000000, &e), VM_OK);
        cr_assert_eq(e.reason, VM_EXIT_TIMEOUT);
        vm_machine_destroy(m);
    }
}

Test(run, power_off_carries_its_code_and_is_final)
{
    vm_machine *m = fake_pc("o00f42aj00", 1);
    cr_assert_eq(run(m, 0), VM_EXIT_SHUTDOWN);
    cr_assert_eq(last.code, 0x2a);
    cr_assert_eq(vm_machine_state(m), VM_ST_SHUTDOWN);
    cr_assert_eq(vm_run(m, 0, -1, &last), VM_E_STATE);
    cr_assert_eq(vm_machine_start(m), VM_E_STATE);
    cr_assert_str_eq(vm_last_error()->message, "the machine is shut down");
    cr_assert_eq(vm_machine_reset(m, VM_RESET_COLD), VM_OK);
    cr_assert_eq(fake_cpu(m, 0)->pc, 0);
    cr_assert_eq(run(m, 0), VM_EXIT_SHUTDOWN);
    vm_machine_destroy(m);
}

Test(run, a_reset_puts_everything_back)
{
    /* The timer is armed, then a reset, again and again. */
    vm_machine *m = fake_pc("o0040ff+o006400j00", 2);
    cr_assert_eq(run(m, 60), VM_EXIT_BUDGET);
    cr_assert_gt(fake_counter(m, 0), 3, "it ran again after each reset");
    cr_assert_leq(fake_cpu(m, 0)->pc, 18);
    vm_machine_destroy(m);
}

Test(run, a_reset_may_mean_stop)
{
    vm_config *cfg = fake_pc_config("o006400j00", 1);
    vm_config_set_str(cfg, "reset.action", "stop");
    vm_machine *m = vm_machine_build(cfg);
    cr_assert_eq(run(m, 0), VM_EXIT_SHUTDOWN);
    vm_machine_destroy(m);
    vm_config_free(cfg);
}

Test(run, a_triple_fault_resets_or_stops)
{
    vm_machine *m = fake_pc("+t", 1);
    cr_assert_eq(run(m, 20), VM_EXIT_BUDGET);
    cr_assert_eq(fake_counter(m, 0), 10);
    vm_machine_destroy(m);
    vm_config *cfg = fake_pc_config("+t", 1);
    vm_config_set_str(cfg, "cpu.triple_fault", "stop");
    m = vm_machine_build(cfg);
    cr_assert_eq(run(m, 0), VM_EXIT_SHUTDOWN);
    cr_assert_eq(fake_counter(m, 0), 1);
    vm_machine_destroy(m);
    vm_config_free(cfg);
}

Test(run, an_engine_that_gives_up_crashes_the_machine_only)
{
    vm_machine *m = fake_pc("ne", 1);
    vm_exit e = { .size = sizeof e };
    cr_assert_eq(vm_run(m, 0, -1, &e), VM_E_GUEST);
    cr_assert_eq(e.reason, VM_EXIT_ERROR);
    cr_assert_str_eq(vm_last_error()->message, "no such letter");
    cr_assert_eq(vm_machine_state(m), VM_ST_CRASHED);
    vm_machine_destroy(m);
}

Test(run, a_breakpoint_pauses)
{
    vm_machine *m = fake_pc("nbj00", 1);
    cr_assert_eq(run(m, 0), VM_EXIT_DEBUG);
    cr_assert_eq(vm_machine_state(m), VM_ST_PAUSED);
    cr_assert_eq(run(m, 0), VM_EXIT_DEBUG);
    vm_machine_destroy(m);
}

Test(run, a_kick_before_the_run_is_not_lost)
{
    vm_machine *m = fake_pc("j00", 1);
    vm_kick(m);
    cr_assert_eq(run(m, 0), VM_EXIT_KICKED);
    cr_assert_eq(run(m, 10), VM_EXIT_BUDGET);
    vm_machine_destroy(m);
}

static int stop_on_write(void *ud, uint64_t off, uint32_t width, uint64_t value)
{
    (void)off;
    (void)width;
    return value == 1 ? vm_machine_stop(ud) : (int)-value;
}

static int stop_on_read(void *ud, uint64_t off, uint32_t width, uint64_t *value)
{
    (void)off;
    (void)width;
    *value = 7;
    cr_assert_eq(vm_machine_pause(ud), VM_E_STATE);
    cr_assert_eq(vm_run(ud, 0, -1, NULL), VM_E_STATE);
    return 0;
}

static const vm_io_ops ops = { .size = sizeof ops, .read = stop_on_read, .write = stop_on_write };

static void count(void *ud)
{
    ++*(unsigned *)ud;
}

Test(run, a_callback_may_stop_its_machine_but_not_wait_for_it)
{
    vm_machine *m = fake_pc("i0300o030001j00", 1);
    cr_assert_not_null(vm_pio_add(m, "user", 0x300, 1, &ops, m, NULL));
    cr_assert_eq(run(m, 0), VM_EXIT_STOPPED);
    cr_assert_eq(fake_cpu(m, 0)->acc, 7);
    cr_assert_eq(fake_cpu(m, 0)->insns, 2);
    vm_machine_destroy(m);
}

Test(run, a_failing_callback_is_the_answer_of_the_run)
{
    vm_machine *m = fake_pc("m9000000007j00", 1);
    unsigned freed = 0;
    cr_assert_not_null(vm_mmio_add(m, "user", 0x90000000, 4096, &ops, m, NULL));
    cr_assert_not_null(vm_mmio_add(m, "other", 0xa0000000, 4096, &ops, &freed, count));
    cr_assert_eq(vm_run(m, 0, -1, &last), VM_E_CALLBACK);
    cr_assert_eq(vm_machine_state(m), VM_ST_PAUSED, "it can go on");
    vm_machine_destroy(m);
    cr_assert_eq(freed, 1);
}

static int64_t take(void *ud, const void *buf, size_t len)
{
    strncat(ud, buf, len);
    return (int64_t)len;
}

Test(run, bytes_reach_the_embedder)
{
    static const vm_chr_ops chr = { .size = sizeof chr, .write = take };
    char text[16] = "";
    vm_machine *m = fake_pc("o00e948o00e969h", 1);
    cr_assert_eq(vm_chr_attach(m, "nonsense", &chr, text, NULL), VM_E_NOENT);
    cr_assert_eq(vm_chr_attach(m, "debug", &chr, text, NULL), VM_OK);
    cr_assert_eq(run(m, 0), VM_EXIT_HALTED);
    cr_assert_str_eq(text, "Hi");
    vm_machine_destroy(m);
}

/* ---- time by instructions --------------------------------------------------------------- */

Test(icount, idle_time_jumps_to_the_next_timer)
{
    vm_machine *m = icount_pc("o0040ffh+j08", 1); /* after the first tick it spins */
    cr_assert_eq(run(m, 100), VM_EXIT_BUDGET);
    cr_assert_eq(fake_ticks(m), 1);
    cr_assert_geq(vm_clock_ns(m), 25500000);
    cr_assert_lt(vm_clock_ns(m), 25501000);
    vm_machine_destroy(m);
}

Test(icount, timers_fire_at_exact_counts_however_the_run_is_cut)
{
    void *first = NULL;
    size_t first_len = 0;
    for (unsigned piece = 1; piece < 300000; piece = piece * 7 + 3) {
        vm_machine *m = icount_pc("o004001+j07", 2);
        for (unsigned left = 300000; left != 0;) {
            const unsigned n = left < piece ? left : piece;
            cr_assert_eq(run(m, n), VM_EXIT_BUDGET);
            left -= n;
        }
        cr_assert_eq(fake_ticks(m), 2);
        void *data;
        size_t len;
        cr_assert_eq(vm_machine_save(m, &data, &len), VM_OK);
        if (first == NULL) {
            first = data;
            first_len = len;
        } else {
            cr_assert_eq(len, first_len);
            cr_assert_eq(memcmp(data, first, len), 0, "pieces of %u", piece);
            vm_buffer_free(data);
        }
        vm_machine_destroy(m);
    }
    vm_buffer_free(first);
}

Test(icount, runs_on_a_library_thread_too)
{
    vm_machine *m = icount_pc("o004001hhhho00f403", 2);
    int state;
    cr_assert_eq(vm_machine_start(m), VM_OK);
    cr_assert_eq(vm_machine_wait(m, VM_ST_SHUTDOWN, 5000000000, &state), VM_OK);
    cr_assert_geq(fake_ticks(m), 4);
    vm_machine_destroy(m);
}

/* ---- on library threads ----------------------------------------------------------------- */

static void wait_a_while(vm_machine *m, int64_t ns)
{
    int state;
    cr_assert_eq(vm_machine_wait(m, VM_ST_CRASHED, ns, &state), VM_E_TIMEOUT);
}

/* Until the timer has ticked so often; the host may be busy, so without a limit of time. */
static void wait_for_ticks(vm_machine *m, uint64_t n)
{
    while (fake_ticks(m) < n)
        wait_a_while(m, 1000000);
}

Test(threads, a_pause_is_quiet_and_stops_the_clock)
{
    vm_machine *m = fake_pc("o004001+j07", 3);
    cr_assert_eq(vm_machine_start(m), VM_OK);
    wait_for_ticks(m, 20);
    cr_assert_eq(vm_cpu_reg_read(vm_cpu_get(m, 0), 0, &(uint64_t) { 0 }, 8), VM_E_STATE);
    cr_assert_eq(vm_machine_pause(m), VM_OK);
    cr_assert_eq(vm_machine_state(m), VM_ST_PAUSED);
    const uint64_t n = fake_counter(m, 1), t = vm_clock_ns(m), ticks = fake_ticks(m);
    wait_a_while(m, 10000000);
    cr_assert_eq(fake_counter(m, 1), n);
    cr_assert_eq(vm_clock_ns(m), t);
    cr_assert_eq(fake_ticks(m), ticks);
    cr_assert_eq(vm_machine_resume(m), VM_OK);
    wait_for_ticks(m, ticks + 20);
    while (fake_counter(m, 1) == n)
        wait_a_while(m, 1000000);
    cr_assert_eq(vm_machine_pause(m), VM_OK);
    cr_assert_eq(run(m, 10), VM_EXIT_BUDGET, "and on the caller's thread");
    cr_assert_eq(vm_machine_start(m), VM_OK, "and back");
    vm_machine_destroy(m);
}

Test(threads, a_halted_machine_sleeps)
{
    vm_machine *m = fake_pc("o004064hj07", 4); /* a tick every 10 ms */
    struct timespec a, b;
    cr_assert_eq(vm_machine_start(m), VM_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    wait_for_ticks(m, 20);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    cr_assert_eq(vm_machine_pause(m), VM_OK);
    cr_assert_gt(fake_cpu(m, 3)->interrupts, 0);
    const double cpu = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
    cr_assert_lt(cpu, 0.1, "%.3f s of processor time in 0.2 s that slept", cpu);
    vm_machine_destroy(m);
}

Test(threads, a_starved_processor_gets_every_tick_and_time_waits_for_it)
{
    vm_machine *m = fake_pc("o004032sss+j0a", 1); /* a tick every 5 ms; 90 ms are lost */
    cr_assert_eq(vm_machine_start(m), VM_OK);
    wait_for_ticks(m, 40);
    cr_assert_eq(vm_machine_pause(m), VM_OK);
    cr_assert_geq(fake_cpu(m, 0)->interrupts + 1, fake_ticks(m));
    vm_machine_destroy(m);
}

Test(threads, a_busy_guest_does_not_hold_up_its_timers)
{
    vm_machine *m = fake_pc("o00400a+j07", 1);
    uint64_t ticks[2], now[2];
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(vm_machine_start(m), VM_OK);
        wait_for_ticks(m, 10 + 300 * i);
        cr_assert_eq(vm_machine_pause(m), VM_OK);
        ticks[i] = fake_ticks(m);
        now[i] = vm_clock_ns(m);
    }
    const int64_t off = (int64_t)(now[1] - now[0]) - (int64_t)(ticks[1] - ticks[0]) * 1000000;
    cr_assert(off >= -2000000 && off <= 2000000, "%lld ns", (long long)off);
    vm_machine_destroy(m);
}

static void keep_kinds(void *ud, const vm_event *event)
{
    uint32_t *kinds = ud;
    *kinds |= event->kind;
}

Test(threads, events_arrive_in_the_callback_or_at_the_descriptor)
{
    vm_machine *m = fake_pc("o00f405j00", 1);
    uint32_t kinds = 0;
    int state;
    cr_assert_eq(vm_machine_on_event(m, ~0u, keep_kinds, &kinds, NULL), VM_OK);
    cr_assert_geq(vm_machine_fd(m), 0);
    cr_assert_eq(vm_machine_start(m), VM_OK);
    cr_assert_eq(vm_machine_wait(m, VM_ST_SHUTDOWN, 5000000000, &state), VM_OK);
    cr_assert_eq(kinds, 0);
    while ((kinds & VM_EVENT_SHUTDOWN) == 0)
        vm_machine_dispatch(m, 1);
    cr_assert_eq(kinds, VM_EVENT_STARTED | VM_EVENT_SHUTDOWN);
    vm_machine_destroy(m);
}

Test(threads, a_reset_from_outside_while_running)
{
    vm_machine *m = fake_pc("+nj00", 2);
    cr_assert_eq(vm_machine_start(m), VM_OK);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(vm_machine_reset(m, VM_RESET_COLD), VM_OK);
    cr_assert_eq(vm_machine_pause(m), VM_OK);
    vm_machine_destroy(m);
}

/* ---- saving ----------------------------------------------------------------------------- */

static void save(vm_machine *m, void **data, size_t *len)
{
    cr_assert_eq(vm_machine_save(m, data, len), VM_OK);
}

Test(snapshot, saving_loading_saving_gives_the_same_bytes)
{
    vm_machine *a = icount_pc("o004003+m0000800041j07", 2), *b = icount_pc("h", 2);
    void *x, *y, *z;
    size_t nx, ny, nz;
    cr_assert_eq(run(a, 5000), VM_EXIT_BUDGET);
    save(a, &x, &nx);
    cr_assert_eq(vm_machine_load(b, x, nx), VM_OK, "%s", vm_last_error()->message);
    save(b, &y, &ny);
    cr_assert_eq(nx, ny);
    cr_assert_eq(memcmp(x, y, nx), 0);
    cr_assert_eq(run(a, 777777), VM_EXIT_BUDGET);
    cr_assert_eq(run(b, 777777), VM_EXIT_BUDGET);
    save(a, &z, &nz);
    vm_buffer_free(y);
    save(b, &y, &ny);
    cr_assert(ny == nz && memcmp(y, z, ny) == 0, "they go on alike");
    vm_buffer_free(x);
    vm_buffer_free(y);
    vm_buffer_free(z);
    vm_machine_destroy(a);
    vm_machine_destroy(b);
}

Test(snapshot, a_running_machine_cannot_be_saved)
{
    vm_machine *m = fake_pc("j00", 1);
    void *x;
    size_t n;
    vm_machine_start(m);
    cr_assert_eq(vm_machine_save(m, &x, &n), VM_E_STATE);
    vm_machine_destroy(m);
}

Test(snapshot, damaged_bytes_are_refused_and_change_nothing)
{
    vm_machine *m = icount_pc("o004003+j07", 2);
    void *good, *now;
    size_t len, n;
    cr_assert_eq(run(m, 100), VM_EXIT_BUDGET);
    save(m, &good, &len);
    uint8_t *bad = malloc(len);
    size_t state = 700; /* bytes before the memory, more or less */
    for (size_t cut = 0; cut < len; cut += cut < state ? 1 : 997) {
        cr_assert_lt(vm_machine_load(m, good, cut), 0);
        save(m, &now, &n);
        cr_assert(n == len && memcmp(now, good, n) == 0, "cut at %zu", cut);
        vm_buffer_free(now);
    }
    unsigned refused = 0;
    for (size_t at = 0; at < state; at++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bad, good, len);
            bad[at] ^= (uint8_t)(1u << bit);
            if (vm_machine_load(m, bad, len) == VM_OK) {
                cr_assert_eq(vm_machine_load(m, good, len), VM_OK);
                continue;
            }
            refused++;
            save(m, &now, &n);
            cr_assert(n == len && memcmp(now, good, n) == 0, "bit %d of byte %zu", bit, at);
            vm_buffer_free(now);
        }
    }
    cr_assert_gt(refused, state, "most numbers are good ones, no name or size is");
    free(bad);
    vm_buffer_free(good);
    vm_machine_destroy(m);
}

Test(snapshot, a_machine_of_another_shape_is_refused)
{
    vm_machine *a = icount_pc("h", 1), *b = icount_pc("h", 2);
    void *x;
    size_t n;
    save(a, &x, &n);
    cr_assert_eq(vm_machine_load(b, x, n), VM_E_VERSION);
    vm_buffer_free(x);
    vm_machine_destroy(a);
    vm_machine_destroy(b);
}
