/* SPDX-License-Identifier: MIT */
/* Small guest programs: events, modes, processors starting and stopping. */
#include "cpu/x86/lapic.h"
#include "cpu/x86/segment.h"
#include "processors.h"

enum { CODE = 0x1000, HANDLER = 0x2000, STACK = 0x8000, IDT = 0x3000, GDT = 0x4000 };

/* Real mode at 0:CODE. */
static void start_real(struct processors *p, const void *code, size_t n)
{
    poke(p, CODE, code, n);
    set_reg(p, 0, VM_X86_CS, 0);
    set_reg(p, 0, VM_X86_SEG_BASE + 1, 0);
    set_reg(p, 0, VM_X86_RIP, CODE);
    set_reg(p, 0, VM_X86_RSP, STACK);
}

static void vector_real(struct processors *p, uint8_t vector, uint16_t ip)
{
    uint16_t entry[2] = { ip, 0 };
    poke(p, vector * 4u, entry, sizeof entry);
}

/* 32-bit protected mode with flat segments 8 and 16, an IDT of 32-bit interrupt gates. */
static void start_protected(struct processors *p, const void *code, size_t n)
{
    static const uint64_t gdt[3] = { 0, UINT64_C(0x00cf9b000000ffff), UINT64_C(0x00cf93000000ffff) };
    poke(p, CODE, code, n);
    poke(p, GDT, gdt, sizeof gdt);
    for (uint32_t v = 0; v < 32; v++) {
        uint64_t gate = (HANDLER + 16 * v) | 8u << 16 | UINT64_C(0x8e00) << 32;
        poke(p, IDT + 8 * v, &gate, sizeof gate);
        poke(p, HANDLER + 16 * v, "\xf4", 1); /* HLT */
    }
    set_reg(p, 0, VM_X86_CR0, 0x11);
    set_reg(p, 0, VM_X86_GDTR_BASE, GDT);
    set_reg(p, 0, VM_X86_GDTR_LIMIT, sizeof gdt - 1);
    set_reg(p, 0, VM_X86_IDTR_BASE, IDT);
    set_reg(p, 0, VM_X86_IDTR_LIMIT, 32 * 8 - 1);
    for (uint32_t s = 0; s < 6; s++) {
        set_reg(p, 0, VM_X86_ES + s, s == 1 ? 8 : 16);
        set_reg(p, 0, VM_X86_SEG_BASE + s, 0);
        set_reg(p, 0, VM_X86_SEG_LIMIT + s, 0xffffffff);
        set_reg(p, 0, VM_X86_SEG_ACCESS + s, s == 1 ? 0xc09b : 0xc093);
    }
    set_reg(p, 0, VM_X86_RIP, CODE);
    set_reg(p, 0, VM_X86_RSP, STACK);
}

Test(system, expand_down_segments_begin_above_their_limit)
{
    struct x86_seg s = { .limit = 0xfff, .attr = X86_ATTR_P | X86_ATTR_S | 6 };
    cr_expect_not(vm__x86_seg_in_limit(&s, 0xfff, 1));
    cr_expect(vm__x86_seg_in_limit(&s, 0x1000, 2));
    cr_expect(vm__x86_seg_in_limit(&s, 0xfffe, 2));
    cr_expect_not(vm__x86_seg_in_limit(&s, 0xffff, 2));
    s.attr |= X86_ATTR_DB;
    cr_expect(vm__x86_seg_in_limit(&s, 0xffff, 2));
}

Test(system, real_mode_int_and_iret_come_back)
{
    static const uint8_t code[] = { 0xfb, 0xcd, 0x40, 0xf4 };   /* STI; INT 40h; HLT */
    static const uint8_t handler[] = { 0xb8, 0x34, 0x12, 0xcf }; /* MOV AX, 1234h; IRET */
    struct processors p;

    processors_init(&p, 1, NULL);
    vector_real(&p, 0x40, HANDLER);
    poke(&p, HANDLER, handler, sizeof handler);
    start_real(&p, code, sizeof code);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RAX), 0x1234);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), CODE + 4);
    cr_expect_eq(reg(&p, 0, VM_X86_RSP), STACK);
    cr_expect(reg(&p, 0, VM_X86_RFLAGS) & X86_IF);
    processors_fini(&p);
}

Test(system, sti_lets_hlt_begin_before_the_interrupt)
{
    static const uint8_t code[] = { 0xfb, 0xf4, 0xf4 }; /* STI; HLT; HLT */
    struct processors p;
    uint16_t pushed = 0;

    processors_init(&p, 1, NULL);
    vm__x86_lapic_write(at(&p, 0), 0xf0, 0x1ff);
    vector_real(&p, 0x50, HANDLER);
    poke(&p, HANDLER, "\xf4", 1);
    start_real(&p, code, sizeof code);
    vm__x86_lapic_post(at(&p, 0), 0x50, false);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), HANDLER + 1);
    cr_assert_eq(vm__mem_read(p.f.m, STACK - 6, &pushed, 2), VM_OK);
    cr_expect_eq(pushed, CODE + 2, "the interrupt came after HLT had begun");
    processors_fini(&p);
}

Test(system, halted_processors_wake_for_what_they_may_take_only)
{
    static const uint8_t code[] = { 0xfa, 0xf4, 0x90 }; /* CLI; HLT; NOP */
    struct processors p;

    processors_init(&p, 1, NULL);
    vm__x86_lapic_write(at(&p, 0), 0xf0, 0x1ff);
    vector_real(&p, 2, HANDLER);
    poke(&p, HANDLER, "\xf4", 1);
    start_real(&p, code, sizeof code);
    cr_assert_eq(run(&p, 0, 100), VM_CPU_HALTED);
    vm__x86_lapic_post(at(&p, 0), 0x50, false);
    cr_assert_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), CODE + 2);
    vm__x86_hub_msi(at(&p, 0)->cpus, 0xfee00000, 0x400); /* NMI */
    cr_assert_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), HANDLER + 1);
    cr_expect_eq(at(&p, 0)->st.nmi_blocked, 1);
    processors_fini(&p);
}

Test(system, null_stack_segment_is_a_general_protection_fault)
{
    static const uint8_t code[] = { 0x31, 0xc0, 0x8e, 0xd0 }; /* XOR EAX, EAX; MOV SS, AX */
    struct processors p;
    uint32_t frame[4];

    processors_init(&p, 1, NULL);
    start_protected(&p, code, sizeof code);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), HANDLER + 16 * 13 + 1);
    cr_assert_eq(vm__mem_read(p.f.m, STACK - 16, frame, sizeof frame), VM_OK);
    cr_expect_eq(frame[0], 0, "error code");
    cr_expect_eq(frame[1], CODE + 2, "the instruction itself");
    cr_expect_eq(frame[2], 8);
    cr_expect(frame[3] & X86_RF, "faults push RF");
    processors_fini(&p);
}

Test(system, selector_outside_the_table_is_named_in_the_error_code)
{
    static const uint8_t code[] = { 0xb8, 0x2b, 0, 0, 0, 0x8e, 0xd8 }; /* MOV EAX, 2Bh; MOV DS, AX */
    struct processors p;
    uint32_t error;

    processors_init(&p, 1, NULL);
    start_protected(&p, code, sizeof code);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_assert_eq(vm__mem_read(p.f.m, STACK - 16, &error, 4), VM_OK);
    cr_expect_eq(error, 0x28);
    processors_fini(&p);
}

Test(system, faults_in_delivery_become_double_and_triple)
{
    static const uint8_t code[] = { 0x0f, 0x0b }; /* UD2 */
    struct processors p;

    processors_init(&p, 1, NULL);
    start_protected(&p, code, sizeof code);
    poke(&p, IDT + 8 * 6, "\0\0\0\0\0\0\0\0", 8);   /* #UD: no gate, so #GP */
    poke(&p, IDT + 8 * 13, "\0\0\0\0\0\0\0\0", 8);  /* #GP: no gate, so #GP again: #DF */
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), HANDLER + 16 * 8 + 1);
    poke(&p, IDT + 8 * 8, "\0\0\0\0\0\0\0\0", 8);
    set_reg(&p, 0, VM_X86_RIP, CODE);
    at(&p, 0)->st.activity = X86_ACTIVE;
    cr_expect_eq(run(&p, 0, 100), VM_CPU_SHUTDOWN);
    vm__x86_cpu_class.reset(p.cpu[0]);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), 0xfff0);
    processors_fini(&p);
}

Test(system, init_and_sipi_start_a_processor_where_they_say)
{
    struct processors p;

    processors_init(&p, 2, NULL);
    poke(&p, 0x5000, "\xf4", 1);
    cr_expect_eq(run(&p, 1, 100), VM_CPU_HALTED, "waits for SIPI");
    cr_expect_not(vm__x86_cpu_class.has_work(p.cpu[1]));
    vm__x86_lapic_write(at(&p, 0), 0x310, 1u << 24);
    vm__x86_lapic_write(at(&p, 0), 0x300, 0x4500); /* INIT */
    vm__x86_lapic_write(at(&p, 0), 0x300, 0x4605); /* SIPI, both before it looks */
    cr_expect(vm__x86_cpu_class.has_work(p.cpu[1]));
    cr_expect_eq(run(&p, 1, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 1, VM_X86_SEG_BASE + 1), 0x5000);
    cr_expect_eq(reg(&p, 1, VM_X86_RIP), 1);
    processors_fini(&p);
}

Test(system, a_guest_that_faults_for_ever_uses_up_its_budget)
{
    static const uint8_t code[] = { 0x0f, 0x0b };
    struct processors p;

    processors_init(&p, 1, NULL);
    vector_real(&p, 6, CODE);
    start_real(&p, code, sizeof code);
    set_reg(&p, 0, VM_X86_RSP, 0);
    cr_expect_eq(run(&p, 0, 1000), VM_CPU_BUDGET);
    processors_fini(&p);
}

Test(system, loading_a_hostile_state_is_refused)
{
    struct processors p;

    processors_init(&p, 1, NULL);
    at(&p, 0)->st.cr0 |= X86_CR0_PG;
    cr_expect_eq(vm__x86_cpu_class.post_load(p.cpu[0]), VM_E_CORRUPT);
    vm__x86_cpu_class.reset(p.cpu[0]);
    at(&p, 0)->st.msr.efer = X86_EFER_LMA;
    cr_expect_eq(vm__x86_cpu_class.post_load(p.cpu[0]), VM_E_CORRUPT);
    vm__x86_cpu_class.reset(p.cpu[0]);
    at(&p, 0)->st.activity = 77;
    cr_expect_eq(vm__x86_cpu_class.post_load(p.cpu[0]), VM_E_CORRUPT);
    vm__x86_cpu_class.reset(p.cpu[0]);
    cr_expect_eq(vm__x86_cpu_class.post_load(p.cpu[0]), VM_OK);
    processors_fini(&p);
}

Test(system, registers_have_names)
{
    struct processors p;
    uint64_t v = 0x123456789abcdef0;

    processors_init(&p, 1, NULL);
    cr_expect_eq(vm__x86_cpu_class.reg_id("r9"), VM_X86_R9);
    cr_expect_eq(vm__x86_cpu_class.reg_id("cs.base"), VM_X86_SEG_BASE + 1);
    cr_expect_eq(vm__x86_cpu_class.reg_id("msr:0xc0000102"), VM_X86_MSR(0xc0000102));
    cr_expect_eq(vm__x86_cpu_class.reg_id("nonsense"), VM_E_NOENT);
    cr_expect_eq(vm__x86_cpu_class.reg_write(p.cpu[0], VM_X86_MSR(0xc0000102), &v, 8), VM_E_INVAL,
                 "not canonical");
    set_reg(&p, 0, VM_X86_MSR(0xc0000102), 0x7fff0000);
    cr_expect_eq(reg(&p, 0, VM_X86_MSR(0xc0000102)), 0x7fff0000);
    processors_fini(&p);
}
