/* SPDX-License-Identifier: MIT */
/**
 * @file test_clock.c
 * Timers: order, moving, cancelling, and a clock that jumps.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/clock_impl.h"
#include "support/fake_machine.h"

enum { MANY = 500 };

static struct fake_machine f;
static unsigned order[2 * MANY], n_fired;

struct alarm {
    struct vm_timer t;
    unsigned id;
    uint64_t period, seen;
};

static void ring(void *opaque)
{
    struct alarm *a = opaque;
    a->seen = vm__clock_ns(f.m);
    order[n_fired++ % (2 * MANY)] = a->id;
    if (a->period != 0)
        vm__timer_arm(&a->t, a->t.deadline_ns + a->period);
}

static void setup(void)
{
    fake_init(&f);
    n_fired = 0;
}

static void teardown(void)
{
    fake_fini(&f);
}

TestSuite(clock, .init = setup, .fini = teardown);

Test(clock, many_timers_fire_in_order_of_deadline_then_of_arming)
{
    static struct alarm a[MANY];
    srand(1);
    for (unsigned i = 0; i < MANY; i++) {
        a[i].id = i;
        vm__timer_init(&a[i].t, f.m, ring, &a[i]);
        vm__timer_arm(&a[i].t, (uint64_t)(rand() % 50));
    }
    for (unsigned i = 0; i < MANY; i += 3) {
        vm__timer_cancel(&a[i].t);
        cr_assert_not(vm__timer_armed(&a[i].t));
    }
    for (unsigned i = 1; i < MANY; i += 3)
        vm__timer_arm(&a[i].t, (uint64_t)(rand() % 50));
    fake_advance(&f, 100);
    cr_assert_eq(n_fired, MANY - (MANY + 2) / 3);
    for (unsigned i = 1; i < n_fired; i++) {
        const struct alarm *x = &a[order[i - 1]], *y = &a[order[i]];
        cr_assert(x->t.deadline_ns < y->t.deadline_ns ||
                  (x->t.deadline_ns == y->t.deadline_ns && x->t.order < y->t.order));
        cr_assert_eq(y->seen, y->t.deadline_ns);
    }
}

Test(clock, a_periodic_timer_fires_for_every_period)
{
    struct alarm a = { .period = 10 };
    vm__timer_init(&a.t, f.m, ring, &a);
    vm__timer_arm(&a.t, 10);
    fake_advance(&f, 1000);
    cr_assert_eq(n_fired, 100);
    vm__timer_cancel(&a.t);
}

Test(clock, a_timer_that_rearms_itself_in_the_past_does_not_hang_one_round)
{
    struct alarm a = { .period = 1 };
    vm__timer_init(&a.t, f.m, ring, &a);
    vm__clock_warp(f.m, 1000);
    vm__timer_arm(&a.t, 1);
    vm__lock(f.m);
    vm__clock_fire(f.m);
    vm__unlock(f.m);
    cr_assert_eq(n_fired, 1);
    vm__timer_cancel(&a.t);
}
