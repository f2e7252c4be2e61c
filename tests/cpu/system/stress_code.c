/* SPDX-License-Identifier: MIT */
/**
 * @file stress_code.c
 * Two processors on two threads: one rewrites functions on 200 pages, the other calls them, first
 * while they change, then, told that they are done and after a serialising instruction, to check
 * what they return [SDM-3A §8.1.3]. No stale code may run in the second pass. The writer's stores,
 * up to the word that it is done, are straight-line code: it answers to a page's first code as late
 * as can be.
 *
 * A plain executable, so that it can run under ThreadSanitizer. Arguments: rounds, engine.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvm/cpu.h>

#include "cpu/vcpu.h"
#include "support/fake_machine.h"

enum { READER = 0x1080, WRITER = 0x2000, FUNCTIONS = 0x20000, PAGES = 200 };
enum { WRONG = 0x9080, ROUNDS = 0x90c0 }; /* besides 9000h: round written; 9040h: round checked */

/* clang-format off */
static const uint8_t reader[] = {
    0x43,                         /* again: INC EBX */
    0xbf, 0, 0, 2, 0,             /* early: MOV EDI, FUNCTIONS */
    0xb9, PAGES, 0, 0, 0,         /* MOV ECX, PAGES */
    0xff, 0xd7,                   /* each: CALL EDI */
    0x81, 0xc7, 0, 0x10, 0, 0,    /* ADD EDI, 4096 */
    0x49, 0x75, 0xf5,             /* DEC ECX; JNZ each */
    0x39, 0x1d, 0, 0x90, 0, 0,    /* CMP [9000h], EBX */
    0x75, 0xe3,                   /* JNE early */
    0x89, 0xde, 0x31, 0xc0,       /* MOV ESI, EBX; XOR EAX, EAX */
    0x0f, 0xa2, 0x89, 0xf3,       /* CPUID; MOV EBX, ESI */
    0xbf, 0, 0, 2, 0,             /* MOV EDI, FUNCTIONS */
    0xb9, PAGES, 0, 0, 0,         /* MOV ECX, PAGES */
    0xff, 0xd7,                   /* check: CALL EDI */
    0x38, 0xd8, 0x74, 6,          /* CMP AL, BL; JE right */
    0xff, 5, 0x80, 0x90, 0, 0,    /* INC DWORD [WRONG] */
    0x81, 0xc7, 0, 0x10, 0, 0,    /* right: ADD EDI, 4096 */
    0x49, 0x75, 0xeb,             /* DEC ECX; JNZ check */
    0x89, 0x1d, 0x40, 0x90, 0, 0, /* MOV [9040h], EBX */
    0x3b, 0x1d, 0xc0, 0x90, 0, 0, /* CMP EBX, [ROUNDS] */
    0x75, 0xad, 0xf4,             /* JNE again; HLT */
};
/* clang-format on */

static uint8_t *emit(uint8_t *p, const char *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

static size_t write_writer(uint8_t *start)
{
    uint8_t *p = emit(start, "\x43", 1); /* again: INC EBX */
    for (unsigned k = 0; k < 3 * PAGES; k++) {
        /* The first store to a page takes the code mark away, the second gets write permission; the
         * third, a pass later, may use it after the reader has decoded the page. */
        uint32_t at = FUNCTIONS + (k < 2 * PAGES ? k / 2 : k - 2 * PAGES) * VM_PAGE_SIZE + 1;
        p = emit(p, k < 2 * PAGES ? "\x88\x3d" : "\x88\x1d", 2); /* MOV [at], BH or BL */
        p = emit(p, (const char *)&at, 4);
    }
    p = emit(p, "\x89\x1d\x00\x90\0\0", 6);                  /* MOV [9000h], EBX */
    p = emit(p, "\xf3\x90\x39\x1d\x40\x90\0\0\x75\xf6", 10); /* PAUSE; CMP [9040h], EBX; JNE */
    p = emit(p, "\x3b\x1d\xc0\x90\0\0\x0f\x85", 8);          /* CMP EBX, [ROUNDS]; JNE again */
    int32_t back = (int32_t)(start - (p + 4));
    p = emit(p, (const char *)&back, 4);
    p = emit(p, "\xf4", 1); /* HLT */
    return (size_t)(p - start);
}

static void set(struct vm_cpu *cpu, uint32_t reg, uint64_t v)
{
    if (vm__x86_cpu_class.reg_write(cpu, reg, &v, sizeof v) != VM_OK) {
        fprintf(stderr, "stress_code: register %x: %s\n", reg, vm_last_error()->message);
        exit(1);
    }
}

/* Flat 32-bit protected mode. */
static void place(struct vm_cpu *cpu, uint32_t eip, uint32_t esp)
{
    set(cpu, VM_X86_CR0, 0x11);
    for (uint32_t s = 0; s < 6; s++) {
        set(cpu, VM_X86_SEG_BASE + s, 0);
        set(cpu, VM_X86_SEG_LIMIT + s, 0xffffffff);
        set(cpu, VM_X86_SEG_ACCESS + s, s == 1 ? 0xc09b : 0xc093);
    }
    set(cpu, VM_X86_RIP, eip);
    set(cpu, VM_X86_RSP, esp);
    vm__vcpu(cpu)->st.activity = X86_ACTIVE;
}

static void *run(void *arg)
{
    struct vm_cpu *cpu = arg;
    vm_exit exit;
    enum vm_cpu_stop stop;

    do
        stop = vm__x86_cpu_class.run(cpu, 1000000, &exit);
    while (stop == VM_CPU_BUDGET);
    return (void *)(uintptr_t)(stop != VM_CPU_HALTED);
}

int main(int argc, char **argv)
{
    uint32_t rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 2000, wrong = ~0u;
    struct fake_machine f;
    struct vm_cpu *cpu[2];
    pthread_t thread[2];
    void *bad[2];

    fake_init(&f);
    if (argc > 2 && (vm__config_set(f.m->config, "engine", argv[2]) != VM_OK ||
                     vm__config_set(f.m->config, "jit.threshold", "2") != VM_OK))
        return 2;
    for (uint32_t n = 0; n < 2; n++)
        if (vm__x86_cpu_class.create(f.m, n, &cpu[n]) != VM_OK)
            return 1;
    uint8_t writer[PAGES * 3 * 6 + 64];
    vm__mem_write(f.m, WRITER, writer, write_writer(writer));
    vm__mem_write(f.m, READER, reader, sizeof reader);
    vm__mem_write(f.m, ROUNDS, &rounds, sizeof rounds);
    for (unsigned k = 0; k < PAGES; k++)
        vm__mem_write(f.m, FUNCTIONS + k * VM_PAGE_SIZE, "\xb0\0\xc3", 3); /* MOV AL, n; RET */
    place(cpu[0], READER, 0x8000);
    place(cpu[1], WRITER, 0x7000);
    for (uint32_t n = 0; n < 2; n++)
        pthread_create(&thread[n], NULL, run, cpu[n]);
    for (uint32_t n = 0; n < 2; n++)
        pthread_join(thread[n], &bad[n]);
    vm__mem_read(f.m, WRONG, &wrong, sizeof wrong);
    printf("%u rounds of %d pages: %u calls ran stale code\n", rounds, PAGES, wrong);
    for (uint32_t n = 2; n-- > 0;)
        vm__x86_cpu_class.destroy(cpu[n]);
    fake_fini(&f);
    return bad[0] != NULL || bad[1] != NULL || wrong != 0;
}
