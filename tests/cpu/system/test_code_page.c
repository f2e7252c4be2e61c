/* SPDX-License-Identifier: MIT */
/* Pages with code: who may write to them, who hears of it, and what is decoded again. */
#include "cpu/x86/code_page.h"
#include "cpu/x86/mmu.h"
#include "processors.h"

enum { CODE = 0x1000, DATA = 0x9000, FUNCTIONS = 0x20000 };

static struct vm_page *page_at(struct processors *p, uint64_t gpa)
{
    struct vm_mem_page pg;
    vm__mem_page(p->f.m, VM_VIEW_NORMAL, gpa, &pg);
    return pg.page;
}

static uint32_t version(struct processors *p, uint64_t gpa)
{
    return atomic_load(&page_at(p, gpa)->code_version);
}

/* Real mode, code at @p gpa below 64 KiB, flat DS and ES of 4 GiB. */
static void place(struct processors *p, uint32_t n, uint64_t gpa)
{
    set_reg(p, n, VM_X86_CS, 0);
    set_reg(p, n, VM_X86_SEG_BASE + 1, gpa & ~UINT64_C(0xffff));
    set_reg(p, n, VM_X86_RIP, gpa & 0xffff);
    set_reg(p, n, VM_X86_SEG_LIMIT + 3, 0xffffffff);
    at(p, n)->st.activity = X86_ACTIVE;
    vm__x86_sync_mode(at(p, n));
}

/* ---- stores that miss the soft TLB ---- */

Test(code_page, a_store_that_misses_marks_the_page_dirty_and_is_cached)
{
    static const uint8_t code[] = {
        0xc6, 0x06, 0x00, 0x90, 0x55, 0xf4
    }; /* MOV [9000h], 55h; HLT */
    struct processors p;
    uint8_t byte = 0;

    processors_init(&p, 1, NULL);
    poke(&p, CODE, code, sizeof code);
    atomic_store(&page_at(&p, DATA)->flags, 0);
    place(&p, 0, CODE);
    cr_assert_eq(run(&p, 0, 10), VM_CPU_HALTED);
    cr_assert_eq(vm__mem_read(p.f.m, DATA, &byte, 1), VM_OK);
    cr_expect_eq(byte, 0x55);
    cr_expect(atomic_load(&page_at(&p, DATA)->flags) & VM_PAGE_DIRTY);
    cr_expect_eq(x86_tlb_at(at(&p, 0), DATA)->wtag, DATA);
    processors_fini(&p);
}

Test(code_page, a_store_that_misses_a_page_with_code_is_noticed)
{
    /* The store changes the immediate of the MOV AL after it, in the same block. */
    static const uint8_t code[] = { 0xc6, 0x06, 0x06, 0x10, 0x77, 0xb0, 0x11, 0xf4 };
    struct processors p;

    processors_init(&p, 1, NULL);
    poke(&p, CODE, code, sizeof code);
    place(&p, 0, CODE);
    uint32_t before = version(&p, CODE);
    cr_assert_eq(run(&p, 0, 10), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RAX) & 0xff, 0x77);
    cr_expect_neq(version(&p, CODE), before);
    processors_fini(&p);
}

Test(code_page, a_store_across_two_pages_is_noticed_on_the_one_with_code)
{
    /* MOV DWORD [1ffeh], 0xb0b0b0b0 from code on the page above: its last two bytes land there. */
    static const uint8_t code[] = { 0x66, 0xc7, 0x06, 0xfe, 0x1f, 0xb0, 0xb0, 0xb0, 0xb0, 0xf4 };
    struct processors p;

    processors_init(&p, 1, NULL);
    poke(&p, 0x2000, "\x90\x90\x90\x90", 4);
    poke(&p, 0x2004, code, sizeof code);
    place(&p, 0, 0x2000);
    uint32_t low = version(&p, 0x1000), high = version(&p, 0x2000);
    cr_assert_eq(run(&p, 0, 10), VM_CPU_HALTED);
    cr_expect_eq(version(&p, 0x1000), low);
    cr_expect_neq(version(&p, 0x2000), high);
    processors_fini(&p);
}

/* ---- several processors ---- */

/* Processor 0 executes a HLT on each of @p n pages. */
static void visit_pages(struct processors *p, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        uint64_t gpa = FUNCTIONS + k * VM_PAGE_SIZE;
        poke(p, gpa, "\xf4", 1);
        place(p, 0, gpa);
        cr_assert_eq(run(p, 0, 1), VM_CPU_HALTED);
    }
}

/* What processor 0 decoded at @p gpa is not trusted any more, or will not be after its next poll.
 */
static bool distrusted(struct processors *p, uint64_t gpa, uint32_t before)
{
    return version(p, gpa) != before || (atomic_load(&at(p, 0)->req) & VM_CPU_REQ_DROP);
}

Test(code_page, an_answer_covers_every_page_however_many)
{
    static const unsigned counts[] = { 1, X86_SHOOT_MAX - 1, X86_SHOOT_MAX, X86_SHOOT_MAX + 1,
                                       200 };

    for (unsigned t = 0; t < sizeof counts / sizeof counts[0]; t++) {
        struct processors p;
        uint32_t before[200];

        processors_init(&p, 2, NULL);
        atomic_store(&at(&p, 1)->parked, 0); /* as if its thread were inside a long block */
        visit_pages(&p, counts[t]);
        for (unsigned k = 0; k < counts[t]; k++)
            before[k] = version(&p, FUNCTIONS + k * VM_PAGE_SIZE);
        cr_expect(atomic_load(&at(&p, 1)->req) & VM_CPU_REQ_CODE);
        vm__x86_code_answer(at(&p, 1));
        for (unsigned k = 0; k < counts[t]; k++)
            cr_assert(distrusted(&p, FUNCTIONS + k * VM_PAGE_SIZE, before[k]), "page %u of %u", k,
                      counts[t]);
        cr_expect_eq(at(&p, 0)->cpus->n_shoot, 0);
        processors_fini(&p);
    }
}

Test(code_page, nobody_waits_for_a_processor_outside_run)
{
    struct processors p;

    processors_init(&p, 2, NULL);
    visit_pages(&p, 150);
    cr_expect_eq(at(&p, 0)->cpus->n_shoot, 0);
    cr_expect(atomic_load(&at(&p, 1)->req) & VM_CPU_REQ_CODE, "it is asked all the same");
    processors_fini(&p);
}

Test(code_page, a_processor_that_was_parked_asks_for_write_permission_again)
{
    static const uint8_t writer[] = { 0xc6, 0x06, 0x00, 0x90, 0xb0, 0xf4 }; /* MOV [9000h], 0b0h */
    static const uint8_t again[] = { 0xc6, 0x06, 0x01, 0x90, 0x22, 0xf4 };  /* MOV [9001h], 22h */
    struct processors p;

    processors_init(&p, 2, NULL);
    poke(&p, CODE, writer, sizeof writer);
    poke(&p, CODE + 0x100, again, sizeof again);
    place(&p, 1, CODE);
    cr_assert_eq(run(&p, 1, 10), VM_CPU_HALTED); /* has write permission for DATA's page now */
    poke(&p, DATA + 1, "\x11\xf4", 2);
    place(&p, 0, DATA); /* MOV AL, 11h; HLT */
    cr_assert_eq(run(&p, 0, 10), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RAX) & 0xff, 0x11);
    place(&p, 1, CODE + 0x100);
    cr_assert_eq(run(&p, 1, 10), VM_CPU_HALTED);
    place(&p, 0, DATA);
    cr_assert_eq(run(&p, 0, 10), VM_CPU_HALTED);
    cr_expect_eq(reg(&p, 0, VM_X86_RAX) & 0xff, 0x22, "processor 1's store was noticed");
    processors_fini(&p);
}

Test(code_page, pages_waited_for_are_let_go_when_the_address_space_changes)
{
    struct processors p;
    uint32_t before;

    processors_init(&p, 2, NULL);
    atomic_store(&at(&p, 1)->parked, 0);
    visit_pages(&p, 3);
    cr_expect_eq(at(&p, 0)->cpus->n_shoot, 3);
    before = version(&p, FUNCTIONS);
    vm__x86_code_forget(at(&p, 0)->cpus);
    cr_expect_eq(at(&p, 0)->cpus->n_shoot, 0);
    vm__x86_code_answer(at(&p, 1));
    cr_expect_eq(version(&p, FUNCTIONS), before, "its page may be gone");
    cr_expect(distrusted(&p, FUNCTIONS, before));
    processors_fini(&p);
}
