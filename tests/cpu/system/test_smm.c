/* SPDX-License-Identifier: MIT */
/* System management mode: in by SMI, out by RSM, with a handler of the guest's. */
#include "core/region.h"
#include "cpu/x86/lapic_regs.h"
#include "processors.h"

enum { CODE = 0x1000, STACK = 0x8000, SMBASE = 0x30000, ENTRY = SMBASE + 0x8000, AREA = SMBASE + 0xfe00 };

static void start(struct processors *p, const char *model, const void *code, size_t n,
                  const void *handler, size_t n_handler)
{
    processors_init(p, 1, model);
    poke(p, CODE, code, n);
    poke(p, ENTRY, handler, n_handler);
    set_reg(p, 0, VM_X86_CS, 0);
    set_reg(p, 0, VM_X86_SEG_BASE + 1, 0);
    set_reg(p, 0, VM_X86_RIP, CODE);
    set_reg(p, 0, VM_X86_RSP, STACK);
}

static void smi(struct processors *p)
{
    p->f.m->irq_hub.smi(p->f.m->irq_hub.cpus);
}

static uint32_t word32(struct processors *p, uint64_t gpa)
{
    uint8_t b[4];
    cr_assert_eq(vm__mem_read(p->f.m, gpa, b, sizeof b), VM_OK);
    return vm_le32(b);
}

/* MOV AX, 1234h; NOP; HLT */
static const uint8_t program[] = { 0xb8, 0x34, 0x12, 0x90, 0xf4 };
/* MOV EAX, FFFFFFFFh; MOV [2000h], EAX in segment 0; RSM */
static const uint8_t handler[] = { 0x66, 0xb8, 0xff, 0xff, 0xff, 0xff,
                                   0x66, 0xa3, 0x00, 0x20, 0x0f, 0xaa };

Test(smm, handler_runs_and_the_program_goes_on_as_if_nothing_had_been)
{
    struct processors p;
    start(&p, NULL, program, sizeof program, handler, sizeof handler);
    smi(&p);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(word32(&p, 0x2000), 0xffffffff);
    cr_expect_eq(reg(&p, 0, VM_X86_RAX), 0x1234);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), CODE + 5);
    cr_expect_eq(reg(&p, 0, VM_X86_RSP), STACK);
    cr_expect_eq(at(&p, 0)->st.smm, 0);
    processors_fini(&p);
}

Test(smm, the_save_area_has_the_revision_of_the_model)
{
    struct processors p;
    start(&p, NULL, program, sizeof program, handler, sizeof handler);
    smi(&p);
    (void)run(&p, 0, 1);
    cr_expect_eq(at(&p, 0)->st.smm, 1);
    cr_expect_eq(word32(&p, AREA + 0xfc), 0x20064);
    cr_expect_eq(word32(&p, AREA + 0x178), CODE);
    cr_expect_eq(word32(&p, AREA + 0x100), SMBASE);
    processors_fini(&p);
    start(&p, "486", program, sizeof program, handler, sizeof handler);
    smi(&p);
    (void)run(&p, 0, 1);
    cr_expect_eq(word32(&p, AREA + 0xfc), 0x20000);
    cr_expect_eq(word32(&p, AREA + 0x1f0), CODE);
    cr_expect_eq(word32(&p, AREA + 0xf8), SMBASE);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RAX), 0x1234);
    processors_fini(&p);
}

Test(smm, a_handler_moves_smbase)
{
    /* MOV EAX, 50000h; MOV DWORD CS:[FF00h], EAX; RSM */
    static const uint8_t moves[] = { 0x66, 0xb8, 0x00, 0x00, 0x05, 0x00, 0x2e,
                                     0x66, 0xa3, 0x00, 0xff, 0x0f, 0xaa };
    static const uint8_t second[] = { 0x66, 0xb8, 0x78, 0x56, 0x34, 0x12,
                                      0x66, 0xa3, 0x00, 0x20, 0x0f, 0xaa };
    struct processors p;
    start(&p, NULL, program, sizeof program, moves, sizeof moves);
    poke(&p, 0x58000, second, sizeof second);
    smi(&p);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(at(&p, 0)->st.smbase, 0x50000);
    smi(&p);
    (void)run(&p, 0, 100);
    cr_expect_eq(word32(&p, 0x2000), 0x12345678);
    processors_fini(&p);
}

Test(smm, a_halted_processor_is_halted_again)
{
    struct processors p;
    start(&p, NULL, program, sizeof program, handler, sizeof handler);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    smi(&p);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(word32(&p, 0x2000), 0xffffffff);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), CODE + 5);
    processors_fini(&p);
}

Test(smm, nmi_and_a_second_smi_wait_for_rsm)
{
    struct processors p;
    start(&p, NULL, program, sizeof program, handler, sizeof handler);
    poke(&p, 2 * 4, "\x00\x30\x00\x00", 4); /* NMI at 0:3000h */
    poke(&p, 0x3000, "\xf4", 1);
    at(&p, 0)->st.lapic.lvt[LVT_LINT1] = 0x400; /* NMI */
    smi(&p);
    (void)run(&p, 0, 1);
    p.f.m->irq_hub.nmi(p.f.m->irq_hub.cpus);
    smi(&p);
    (void)run(&p, 0, 1);
    cr_expect_eq(at(&p, 0)->st.smm, 1);
    cr_expect_eq(at(&p, 0)->st.smi_pending, 1);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), 0x3001);
    cr_expect_eq(at(&p, 0)->st.smi_pending, 0);
    processors_fini(&p);
}

Test(smm, rsm_outside_is_an_invalid_opcode)
{
    static const uint8_t rsm[] = { 0x0f, 0xaa };
    struct processors p;
    start(&p, NULL, rsm, sizeof rsm, handler, sizeof handler);
    poke(&p, 6 * 4, "\x00\x30\x00\x00", 4);
    poke(&p, 0x3000, "\xf4", 1);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RIP), 0x3001);
    processors_fini(&p);
}

Test(smm, an_impossible_state_in_the_area_is_a_shutdown)
{
    /* PG without PE: MOV EAX, 80000000h; MOV CS:[FF58h], EAX; RSM */
    static const uint8_t breaks[] = { 0x66, 0xb8, 0x00, 0x00, 0x00, 0x80, 0x2e,
                                      0x66, 0xa3, 0x58, 0xff, 0x0f, 0xaa };
    struct processors p;
    start(&p, NULL, program, sizeof program, breaks, sizeof breaks);
    smi(&p);
    cr_expect_eq(run(&p, 0, 100), VM_CPU_SHUTDOWN);
    processors_fini(&p);
}
