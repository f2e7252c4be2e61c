/* SPDX-License-Identifier: MIT */
/**
 * @file test_torture.c
 * What translated code must survive: code that rewrites itself or is rewritten, pages that come and
 * go, faults at every memory operand of a block, interrupts wherever they may come, flags after
 * every kind of exit.
 */
#include "both.h"
#include "cpu/x86/lapic.h"

static void run_both(struct both *b, const void *code, size_t n, uint64_t insns)
{
    for (int k = 0; k < ENGINES; k++) {
        start(&b->p[k]);
        poke(&b->p[k], CODE, code, n);
        (void)run(&b->p[k], 0, insns);
    }
}

static void expect_same(struct both *b)
{
    char why[200] = "";

    cr_expect(same_registers(b, true, why, sizeof why), "%s", why);
    cr_expect(same_memory(b, DATA - 0x1000, 0x3000), "memory");
}

Test(jit, code_may_rewrite_the_next_byte)
{
    /* lea rdi, [rip + imm]; mov ecx, 200; again: inc byte [rdi]; mov al, 0 <- imm; movzx eax, al;
     * add rbx, rax; dec ecx; jnz again; hlt */
    static const uint8_t code[] = { 0x48, 0x8d, 0x3d, 0x08, 0,    0,    0,    0xb9, 0xc8,
                                    0,    0,    0,    0xfe, 0x07, 0xb0, 0,    0x0f, 0xb6,
                                    0xc0, 0x48, 0x01, 0xc3, 0xff, 0xc9, 0x75, 0xf2, 0xf4 };
    struct both b;

    both_init(&b, true);
    run_both(&b, code, sizeof code, 5000);
    expect_same(&b);
    cr_expect_eq(at(&b.p[JIT], 0)->st.gpr[X86_RBX], 200 * 201 / 2);
    both_fini(&b);
}

Test(jit, code_of_another_block_may_be_rewritten)
{
    /* The loop calls a function on the next page and then changes its immediate. */
    static const uint8_t loop[] = { 0xbf, 0x01, 0x20, 0,    0,      /* mov edi, 2001h */
                                    0xb9, 0x64, 0,    0,    0,      /* mov ecx, 100 */
                                    0xe8, 0xf1, 0x0f, 0,    0,      /* again: call 2000h */
                                    0x48, 0x01, 0xc3,               /* add rbx, rax */
                                    0xff, 0x07,                     /* inc dword [rdi] */
                                    0xff, 0xc9, 0x75, 0xf2, 0xf4 }; /* dec ecx; jnz again; hlt */
    static const uint8_t function[] = { 0xb8, 1, 0, 0, 0, 0xc3 };   /* mov eax, 1; ret */
    struct both b;

    both_init(&b, true);
    for (int k = 0; k < ENGINES; k++)
        poke(&b.p[k], 0x2000, function, sizeof function);
    run_both(&b, loop, sizeof loop, 5000);
    expect_same(&b);
    cr_expect_eq(at(&b.p[JIT], 0)->st.gpr[X86_RBX], 100 * 101 / 2);
    both_fini(&b);
}

Test(jit, code_may_be_rewritten_from_outside)
{
    static const uint8_t code[] = {
        0x48, 0x83, 0xc3, 0x01, 0x90, 0xeb, 0xf9
    }; /* add rbx, 1; nop; jmp */
    struct both b;

    both_init(&b, true);
    run_both(&b, code, sizeof code, 3000);
    for (int k = 0; k < ENGINES; k++) {
        poke(&b.p[k], CODE + 3, "\x05", 1);
        (void)run(&b.p[k], 0, 3000);
    }
    expect_same(&b);
    cr_expect_eq(at(&b.p[JIT], 0)->st.gpr[X86_RBX], 1000 + 5 * 1000);
    both_fini(&b);
}

Test(jit, every_memory_operand_of_a_block_may_fault)
{
    /* A block of eight accesses, the n-th of them through R9: */
    static const uint8_t access[8][4] = {
        { 0x48, 0x01, 0x06 },       /* add [rsi], rax */
        { 0x48, 0x03, 0x1e },       /* add rbx, [rsi] */
        { 0x48, 0x87, 0x16 },       /* xchg [rsi], rdx */
        { 0x48, 0x11, 0x06 },       /* adc [rsi], rax */
        { 0xff, 0x36 },             /* push [rsi] */
        { 0x0f, 0x92, 0x06 },       /* setb [rsi] */
        { 0x0f, 0x6f, 0x06 },       /* movq mm0, [rsi] */
        { 0xf3, 0x0f, 0x6f, 0x06 }, /* movdqu xmm0, [rsi] */
    };
    static const uint8_t lengths[8] = { 3, 3, 3, 3, 2, 3, 3, 4 };
    struct both b;

    both_init(&b, true);
    for (unsigned bad = 0; bad < 8; bad++) {
        uint8_t code[80];
        size_t n = 0;
        static const uint8_t set_up[] = { 0xbe, 0, 0, 2, 0 }; /* mov esi, DATA */
        memcpy(code, set_up, sizeof set_up);
        n = sizeof set_up;
        for (unsigned k = 0; k < 8; k++) {
            if (k == bad) {
                static const uint8_t break_it[] = { 0xbe, 0xfc, 0x1f, 2,
                                                    0 }; /* mov esi, MISSING - 4 */
                memcpy(code + n, break_it, sizeof break_it);
                n += sizeof break_it;
            }
            memcpy(code + n, access[k], lengths[k]);
            n += lengths[k];
        }
        code[n++] = 0xf4;
        run_both(&b, code, n, 100);
        expect_same(&b);
        cr_expect_eq(at(&b.p[JIT], 0)->st.cr2, MISSING, "access %u", bad);
    }
    both_fini(&b);
}

Test(jit, permissions_may_come_and_go)
{
    /* for ecx = 500: toggle writability of DATA + 1000h by its PTE, INVLPG, write or read there. */
    static const uint8_t code[] = {
        0xb9, 0xf4, 0x01, 0,    0,                      /* mov ecx, 500 */
        0xbe, 0,    0x10, 2,    0,                      /* mov esi, DATA + 1000h */
        0xbf, 0x08, 0xc1, 0,    0,                      /* mov edi, PT + 8 * 21h */
        0x83, 0x37, 0x02,                               /* again: xor dword [rdi], 2 */
        0x0f, 0x01, 0x3e,                               /* invlpg [rsi] */
        0xf6, 0x07, 0x02, 0x74, 0x02,                   /* test byte [rdi], 2; jz +2 */
        0xff, 0x06,                                     /* inc dword [rsi] */
        0x03, 0x06,                                     /* add eax, [rsi] */
        0xff, 0xc9, 0x75, 0xed,                         /* dec ecx; jnz again */
        0x83, 0x27, 0xfd, 0x0f, 0x01, 0x3e, 0xff, 0x06, /* read-only; invlpg; inc dword [rsi] */
        0xf4,
    };
    struct both b;

    both_init(&b, true);
    run_both(&b, code, sizeof code, 20000);
    expect_same(&b);
    cr_expect_eq(at(&b.p[JIT], 0)->st.cr2, DATA + 0x1000);
    both_fini(&b);
}

Test(jit, budgets_end_where_they_should)
{
    /* A loop of two blocks; after any number of instructions both engines stand at the same one. */
    static const uint8_t code[] = { 0x48, 0xff, 0xc3, 0xf6, 0xc3, 0x03, 0x74,
                                    0x03, 0x48, 0x01, 0xd8, 0xeb, 0xf3 };
    struct both b;

    both_init(&b, true);
    run_both(&b, code, sizeof code, 100);
    for (uint64_t n = 1; n < 60; n++) {
        for (int k = 0; k < ENGINES; k++)
            (void)run(&b.p[k], 0, n);
        expect_same(&b);
        cr_expect_eq(vm__x86_insns(at(&b.p[INTERP], 0)), vm__x86_insns(at(&b.p[JIT], 0)));
    }
    both_fini(&b);
}

Test(jit, a_loop_of_one_block_hears_requests)
{
    static const uint8_t code[] = { 0xfb, 0xff, 0xc3, 0xeb, 0xfc }; /* sti; inc ebx; jmp $-2 */
    struct both b;

    both_init(&b, true);
    run_both(&b, code, sizeof code, 5000);
    vm__x86_cpu_class.request(b.p[JIT].cpu[0], VM_CPU_REQ_YIELD);
    cr_expect_eq(run(&b.p[JIT], 0, UINT64_MAX / 4), VM_CPU_BUDGET);
    both_fini(&b);
}

Test(jit, an_interrupt_may_come_at_every_instruction)
{
    /* Flags, stack, memory and vectors are in use everywhere; the NMI's handler changes none of it.
     */
    static const uint8_t code[] = {
        0xbe, 0,    0,    2,    0,    0xb9, 0x06, 0,    0,    0, /* mov esi, DATA; mov ecx, 6 */
        0x48, 0x01, 0x0e,                                        /* again: add [rsi], rcx */
        0x48, 0x11, 0xd8,                                        /* adc rax, rbx */
        0x50, 0xf3, 0x0f, 0x6f, 0x06,                            /* push rax; movdqu xmm0, [rsi] */
        0x66, 0x0f, 0xfe, 0xc8,                                  /* paddd xmm1, xmm0 */
        0x48, 0xff, 0xc3, 0x5a,                                  /* inc rbx; pop rdx */
        0xe8, 0x06, 0,    0,    0,                               /* call function */
        0xff, 0xc9, 0x75, 0xe3, 0x90, 0xf4,                      /* dec ecx; jnz again; nop; hlt */
        0x48, 0x83, 0xf8, 0x20, 0x0f, 0x92, 0x46, 0x10, 0xc3, /* cmp rax, 32; setb [rsi + 16]; ret
                                                               */
    };
    static const uint8_t handler[] = { 0x48, 0xff, 0x04, 0x25, 0, 0x10, 2, 0, 0x48, 0xcf };
    struct both b;

    both_init(&b, true);
    for (int k = 0; k < ENGINES; k++)
        poke(&b.p[k], HANDLERS + 16 * 2, handler,
             sizeof handler);              /* inc qword [DATA + 1000h]; iretq */
    run_both(&b, code, sizeof code, 1000); /* and translated from now on */
    for (uint64_t n = 1; n < 90; n++) {
        for (int k = 0; k < ENGINES; k++) {
            struct processors *p = &b.p[k];
            start(p);
            put(p, DATA, 0);
            put(p, DATA + 16, 0);
            put(p, DATA + 0x1000, 0);
            (void)run(p, 0, n);
            const bool halted = at(p, 0)->st.activity != X86_ACTIVE;
            atomic_fetch_add(&at(p, 0)->nmis, 1);
            vm__x86_cpu_class.request(p->cpu[0], VM_CPU_REQ_NMI);
            (void)run(p, 0, halted ? 2 : 2000);
        }
        expect_same(&b);
        uint64_t nmis = 0;
        cr_assert_eq(vm__mem_read(b.p[JIT].f.m, DATA + 0x1000, &nmis, 8), VM_OK);
        cr_expect_eq(nmis, 1, "after %u instructions", (unsigned)n);
    }
    both_fini(&b);
}

Test(jit, accesses_may_cross_pages_and_lines)
{
    /* Loads, stores and locked accesses of every size at every offset around a page's end. */
    static const uint8_t body[] = {
        0x8a, 0x06, 0x88, 0x46, 0x20,             /* mov al, [rsi]; mov [rsi + 32], al */
        0x66, 0x8b, 0x06, 0x66, 0x01, 0x46, 0x11, /* mov ax, [rsi]; add [rsi + 17], ax */
        0x8b, 0x1e, 0xf0, 0x01, 0x5e, 0x09,       /* mov ebx, [rsi]; lock add [rsi + 9], ebx */
        0x48, 0x8b, 0x16, 0x48, 0x31, 0x56, 0x03, /* mov rdx, [rsi]; xor [rsi + 3], rdx */
        0xf0, 0x48, 0x0f, 0xc1, 0x56, 0x0b,       /* lock xadd [rsi + 11], rdx */
        0xf0, 0x48, 0x0f, 0xb1, 0x1e,             /* lock cmpxchg [rsi], rbx */
        0xf3, 0x0f, 0x6f, 0x06, 0xf3, 0x0f, 0x7f,
        0x46, 0x05,                   /* movdqu xmm0, [rsi]; movdqu [rsi + 5] */
        0x48, 0x87, 0x46, 0x01, 0xf4, /* xchg [rsi + 1], rax; hlt */
    };
    struct both b;

    both_init(&b, true);
    for (uint32_t off = 0; off < 48; off++) {
        uint32_t to = DATA + 0x1000 - 40 + off;
        uint8_t code[5 + sizeof body] = { 0xbe, (uint8_t)to, (uint8_t)(to >> 8),
                                          (uint8_t)(to >> 16), 0 };
        memcpy(code + 5, body, sizeof body);
        for (int k = 0; k < ENGINES; k++)
            for (uint64_t at = DATA; at < DATA + 0x1800; at += 8)
                put(&b.p[k], at, at * UINT64_C(0x9e3779b97f4a7c15));
        for (int round = 0; round < 3; round++)
            run_both(&b, code, sizeof code, 100);
        expect_same(&b);
    }
    both_fini(&b);
}

Test(jit, flags_are_right_after_every_kind_of_exit)
{
    /* cmp sets flags; then one thing that leaves the block, or clobbers the host's flags; then all
     * of them are looked at. */
    static const struct {
        uint8_t bytes[8], n;
    } between[] = {
        { { 0xeb, 0x00 }, 2 },                         /* jmp +0 */
        { { 0xe8, 0, 0, 0, 0, 0x58 }, 6 },             /* call +0; pop rax */
        { { 0x8b, 0x0e }, 2 },                         /* mov ecx, [rsi] */
        { { 0x0f, 0xa2 }, 2 },                         /* cpuid */
        { { 0xd9, 0xe8 }, 2 },                         /* fld1 */
        { { 0x66, 0x0f, 0xef, 0xc0 }, 4 },             /* pxor xmm0, xmm0 */
        { { 0x41, 0xff, 0xe2 }, 3 },                   /* jmp r10 */
        { { 0xe3, 0x00 }, 2 },                         /* jrcxz +0 */
        { { 0xfc }, 1 },                               /* cld */
        { { 0xaa }, 1 },                               /* stosb */
        { { 0x48, 0x8d, 0x52, 0x01, 0x50, 0x58 }, 6 }, /* lea; push; pop */
    };
    static const int8_t values[][2] = { { 0, 0 }, { 1, 2 }, { -128, 1 }, { 127, -1 }, { 16, 1 } };
    struct both b;

    both_init(&b, false);
    for (unsigned k = 0; k < sizeof between / sizeof between[0]; k++)
        for (unsigned v = 0; v < sizeof values / sizeof values[0]; v++) {
            uint8_t code[64] = { 0xbe, 0, 0, 2, 0, 0xbf, 0, 1, 2, 0, 0x41, 0xba };
            size_t n = 12, after;
            after = n + 4 + 2 + 2 + between[k].n;
            code[n] = (uint8_t)(after), code[n + 1] = CODE >> 8, n += 4; /* mov r10d, after */
            code[n++] = 0xb0, code[n++] = (uint8_t)values[v][0];         /* mov al, a */
            code[n++] = 0x3c, code[n++] = (uint8_t)values[v][1];         /* cmp al, b */
            memcpy(code + n, between[k].bytes, between[k].n);
            n += between[k].n;
            memcpy(code + n, "\x9c\x5b\xf4", 3); /* pushf; pop rbx; hlt */
            run_both(&b, code, n + 3, 100);
            expect_same(&b);
            cr_expect_eq(at(&b.p[JIT], 0)->st.rip, CODE + n + 3, "case %u", k);
        }
    both_fini(&b);
}
