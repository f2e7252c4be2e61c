/* SPDX-License-Identifier: MIT */
/* The local APIC with a clock that the test moves. */
#include "cpu/x86/lapic.h"

#include "cpu/x86/lapic_regs.h"
#include "cpu/x86/msr.h"
#include "cpu/x86/tsc.h"
#include "processors.h"

enum { TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ESR = 0x280,
       ICR = 0x300, ICR2 = 0x310, TIMER = 0x320, LINT0 = 0x350, INITIAL = 0x380, CURRENT = 0x390,
       DIVIDE = 0x3e0 };

static void wr(struct processors *p, uint32_t n, uint32_t off, uint32_t v)
{
    vm__x86_lapic_write(at(p, n), off, v);
}
static uint32_t rd(struct processors *p, uint32_t n, uint32_t off)
{
    return vm__x86_lapic_read(at(p, n), off);
}

static void setup(struct processors *p, uint32_t n)
{
    processors_init(p, n, NULL);
    for (uint32_t k = 0; k < n; k++)
        wr(p, k, SVR, 0x1ff);
}

static void accept(struct processors *p, uint32_t n, int vector)
{
    cr_assert_eq(vm__x86_lapic_pending(at(p, n)), vector);
    vm__x86_lapic_accept(at(p, n), (uint8_t)vector);
}

Test(lapic, priorities_hold_back_what_is_not_higher)
{
    struct processors p;
    setup(&p, 1);
    cr_assert(vm__x86_lapic_post(at(&p, 0), 0x41, false));
    accept(&p, 0, 0x41);
    vm__x86_lapic_post(at(&p, 0), 0x4f, false);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), -1, "same class");
    vm__x86_lapic_post(at(&p, 0), 0x51, false);
    accept(&p, 0, 0x51);
    wr(&p, 0, EOI, 0);
    wr(&p, 0, EOI, 0);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), 0x4f);
    wr(&p, 0, TPR, 0x40);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), -1);
    cr_expect_eq(rd(&p, 0, PPR), 0x40);
    processors_fini(&p);
}

Test(lapic, nothing_is_accepted_while_disabled)
{
    struct processors p;
    setup(&p, 1);
    wr(&p, 0, SVR, 0xff);
    cr_expect_not(vm__x86_lapic_post(at(&p, 0), 0x41, false));
    cr_expect(rd(&p, 0, TIMER) & LVT_MASKED);
    processors_fini(&p);
}

static unsigned eois;
static void count_eoi(void *ioapic, uint8_t vector)
{
    (void)ioapic;
    eois += vector;
}

Test(lapic, only_level_interrupts_broadcast_their_end)
{
    struct processors p;
    setup(&p, 1);
    p.f.m->irq_hub.ioapic_eoi = count_eoi;
    vm__x86_lapic_post(at(&p, 0), 0x30, true);
    accept(&p, 0, 0x30);
    wr(&p, 0, EOI, 0);
    cr_expect_eq(eois, 0x30);
    vm__x86_lapic_post(at(&p, 0), 0x30, false);
    accept(&p, 0, 0x30);
    wr(&p, 0, EOI, 0);
    cr_expect_eq(eois, 0x30);
    processors_fini(&p);
}

Test(lapic, destinations_physical_flat_and_cluster)
{
    struct processors p;
    setup(&p, 3);
    wr(&p, 0, ICR2, 2u << 24);
    wr(&p, 0, ICR, 0x4000 | 0x61);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 2)), 0x61);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 1)), -1);
    for (uint32_t n = 0; n < 3; n++)
        wr(&p, n, LDR, 1u << (24 + n));
    wr(&p, 0, ICR2, 3u << 24);
    wr(&p, 0, ICR, 0x4800 | 0x71);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), 0x71);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 1)), 0x71);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 2)), 0x61);
    wr(&p, 1, DFR, 0x0fffffff);
    wr(&p, 1, LDR, 0x21u << 24); /* cluster 2, member 0 */
    wr(&p, 0, ICR2, 0x21u << 24);
    wr(&p, 0, ICR, 0x4800 | 0x81);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 1)), 0x81);
    processors_fini(&p);
}

Test(lapic, shorthands_and_broadcast)
{
    struct processors p;
    setup(&p, 3);
    wr(&p, 1, ICR, 3u << 18 | 0x4000 | 0x55);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), 0x55);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 1)), -1);
    wr(&p, 1, ICR, 1u << 18 | 0x4000 | 0x66);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 1)), 0x66);
    cr_expect_eq(vm__x86_hub_msi(at(&p, 0)->cpus, 0xfeeff000, 0x77), 3);
    processors_fini(&p);
}

Test(lapic, lowest_priority_goes_to_one)
{
    struct processors p;
    setup(&p, 2);
    wr(&p, 0, LDR, 1u << 24);
    wr(&p, 1, LDR, 2u << 24);
    wr(&p, 0, TPR, 0x20);
    cr_expect_eq(vm__x86_hub_msi(at(&p, 0)->cpus, 0xfee03000 | 4, 0x100 | 0x91), 1);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 1)), 0x91);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), -1);
    processors_fini(&p);
}

Test(lapic, illegal_vectors_and_registers_are_reported)
{
    struct processors p;
    setup(&p, 1);
    wr(&p, 0, ICR, 0x4005);
    (void)rd(&p, 0, 0x10);
    wr(&p, 0, ESR, 0);
    cr_expect_eq(rd(&p, 0, ESR), ESR_SEND_ILLEGAL | ESR_ILLEGAL_REGISTER);
    wr(&p, 0, ESR, 0);
    cr_expect_eq(rd(&p, 0, ESR), 0);
    processors_fini(&p);
}

Test(lapic, one_shot_fires_once_and_stays_at_zero)
{
    struct processors p;
    setup(&p, 1);
    wr(&p, 0, TIMER, 0x40);
    wr(&p, 0, DIVIDE, 3); /* by 16 */
    wr(&p, 0, INITIAL, 1000);
    fake_advance(&p.f, 8000);
    cr_expect_eq(rd(&p, 0, CURRENT), 500);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), -1);
    fake_advance(&p.f, 8000);
    accept(&p, 0, 0x40);
    cr_expect_eq(rd(&p, 0, CURRENT), 0);
    fake_advance(&p.f, 100000);
    cr_expect_eq(rd(&p, 0, CURRENT), 0);
    cr_expect_eq(at(&p, 0)->st.lapic.irr[2], 0);
    processors_fini(&p);
}

Test(lapic, periodic_fires_again_and_masking_keeps_it_quiet)
{
    struct processors p;
    unsigned fired = 0;
    setup(&p, 1);
    wr(&p, 0, DIVIDE, 0xb); /* by 1 */
    wr(&p, 0, TIMER, LVT_TIMER_PERIODIC | 0x40);
    wr(&p, 0, INITIAL, 1000000);
    for (unsigned k = 0; k < 10; k++) {
        fake_advance(&p.f, 1000000);
        if (vm__x86_lapic_pending(at(&p, 0)) == 0x40) {
            vm__x86_lapic_accept(at(&p, 0), 0x40);
            wr(&p, 0, EOI, 0);
            fired++;
        }
    }
    cr_expect_eq(fired, 10);
    wr(&p, 0, TIMER, LVT_TIMER_PERIODIC | LVT_MASKED | 0x40);
    fake_advance(&p.f, 5000000);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), -1);
    processors_fini(&p);
}

Test(lapic, tsc_deadline_is_cleared_when_it_fires)
{
    struct processors p;
    uint64_t v;
    setup(&p, 1);
    wr(&p, 0, TIMER, LVT_TIMER_DEADLINE | 0x40);
    uint64_t tsc = vm__x86_tsc(at(&p, 0));
    cr_assert(vm__x86_wrmsr(at(&p, 0), 0x6e0, tsc + 50000));
    fake_advance(&p.f, 49000);
    cr_expect_eq(vm__x86_lapic_pending(at(&p, 0)), -1);
    fake_advance(&p.f, 1100);
    accept(&p, 0, 0x40);
    cr_assert(vm__x86_rdmsr(at(&p, 0), 0x6e0, &v));
    cr_expect_eq(v, 0);
    cr_assert(vm__x86_wrmsr(at(&p, 0), 0x6e0, 1));
    cr_expect(at(&p, 0)->st.lapic.irr[2] & 1, "a deadline in the past fires at once");
    processors_fini(&p);
}

Test(lapic, modes_change_only_as_allowed)
{
    struct processors p;
    uint64_t v, base;
    setup(&p, 2);
    base = at(&p, 1)->st.msr.apic_base;
    cr_expect_not(vm__x86_rdmsr(at(&p, 1), 0x802, &v), "x2APIC registers need x2APIC mode");
    cr_assert(vm__x86_wrmsr(at(&p, 1), 0x1b, base | X86_APIC_BASE_X2));
    cr_expect(vm__x86_rdmsr(at(&p, 1), 0x802, &v));
    cr_expect_eq(v, 1);
    cr_expect(vm__x86_rdmsr(at(&p, 1), 0x80d, &v));
    cr_expect_eq(v, 2);
    cr_expect_not(vm__x86_wrmsr(at(&p, 1), 0x1b, base), "back to xAPIC only through disabled");
    cr_expect_not(vm__x86_wrmsr(at(&p, 1), 0x80b, 1), "EOI takes 0 only");
    cr_expect(vm__x86_wrmsr(at(&p, 1), 0x1b, base & ~(uint64_t)X86_APIC_BASE_EN));
    cr_expect_not(vm__x86_wrmsr(at(&p, 1), 0x1b, base | X86_APIC_BASE_X2));
    processors_fini(&p);
}
