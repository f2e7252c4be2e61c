/* SPDX-License-Identifier: MIT */
/**
 * @file litmus.c
 * Processors on threads of their own, and what they may see of each other's stores [SDM-3A §8.2.3].
 *
 * SB (with locked stores), MP, LB on two, IRIW on four: results that the manual forbids must not
 * come. Then counters that all of them increment, with LOCK: aligned, across a cache line, across a
 * page. A plain executable, so that it can run under ThreadSanitizer. Argument: engine.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvm/cpu.h>

#include "cpu/vcpu.h"
#include "support/fake_machine.h"

enum { CODE = 0x1000, BARRIER = 0x8000, N = 4000, LINE = 64, CPUS = 4 };
enum { X = 0x20000, Y = 0x60000, R = 0xa0000, R_SIZE = 8 * N };

#define ENTRY(name) extern const char name[]
ENTRY(l_start);
ENTRY(l_sb);
ENTRY(l_first);
ENTRY(l_read_xy);
ENTRY(l_lb);
ENTRY(l_write_x);
ENTRY(l_count);
ENTRY(l_end);

/* EBX, ECX: two words of this round; EDI: results; EDX: rounds; EBP: processors. */
/* clang-format off */
__asm__(".pushsection .rodata\n.code32\n"
        ".macro begin name\n"
        "\\name: lock incl 0x8000\n"        /* all begin together */
        "0: pause\n cmp %ebp, 0x8000\n jne 0b\n"
        "1:\n"
        ".endm\n"
        ".macro again\n"
        "add $64, %ebx\n add $64, %ecx\n add $8, %edi\n dec %edx\n jnz 1b\n hlt\n"
        ".endm\n"
        ".globl l_start, l_sb, l_first, l_read_xy, l_lb, l_write_x, l_count, l_end\n"
        "l_start:\n"
        "begin l_sb\n mov $1, %eax\n xchg %eax, (%ebx)\n mov (%ecx), %eax\n mov %eax, (%edi)\n again\n"
        "begin l_first\n movl $1, (%ebx)\n movl $1, (%ecx)\n again\n"
        "begin l_read_xy\n mov (%ebx), %eax\n mov (%ecx), %esi\n mov %eax, (%edi)\n mov %esi, 4(%edi)\n again\n"
        "begin l_lb\n mov (%ebx), %eax\n movl $1, (%ecx)\n mov %eax, (%edi)\n again\n"
        "begin l_write_x\n movl $1, (%ebx)\n again\n"
        "begin l_count\n lock incl (%ebx)\n lock incl 0x7e(%ebx)\n lock incl 0xffe(%ebx)\n mov $1, %eax\n lock xadd %eax, 0x800(%ebx)\n dec %edx\n jnz 1b\n hlt\n"
        "l_end:\n.code64\n.popsection\n");
/* clang-format on */

struct start {
    const char *at;
    uint32_t ebx, ecx, edi;
};

static struct fake_machine f;
static struct vm_cpu *cpu[CPUS];
static int failures;

static void set(struct vm_cpu *c, uint32_t reg, uint64_t v)
{
    if (vm__x86_cpu_class.reg_write(c, reg, &v, sizeof v) != VM_OK) {
        fprintf(stderr, "litmus: register %x: %s\n", reg, vm_last_error()->message);
        exit(2);
    }
}

/* Flat 32-bit protected mode. */
static void place(struct vm_cpu *c, const struct start *s, uint32_t cpus, uint32_t rounds)
{
    set(c, VM_X86_CR0, 0x11);
    for (uint32_t k = 0; k < 6; k++) {
        set(c, VM_X86_SEG_BASE + k, 0);
        set(c, VM_X86_SEG_LIMIT + k, 0xffffffff);
        set(c, VM_X86_SEG_ACCESS + k, k == 1 ? 0xc09b : 0xc093);
    }
    set(c, VM_X86_RIP, CODE + (uint64_t)(s->at - l_start));
    set(c, VM_X86_RBX, s->ebx);
    set(c, VM_X86_RCX, s->ecx);
    set(c, VM_X86_RDI, s->edi);
    set(c, VM_X86_RDX, rounds);
    set(c, VM_X86_RBP, cpus);
    vm__vcpu(c)->st.activity = X86_ACTIVE;
}

static void *run(void *arg)
{
    vm_exit exit;
    enum vm_cpu_stop stop;

    do
        stop = vm__x86_cpu_class.run(arg, 1000000, &exit);
    while (stop == VM_CPU_BUDGET);
    return (void *)(uintptr_t)(stop != VM_CPU_HALTED);
}

static void clear(uint64_t at, size_t size)
{
    static const uint8_t zero[65536];
    for (; size > 0; at += sizeof zero, size -= size < sizeof zero ? size : sizeof zero)
        vm__mem_write(f.m, at, zero, size < sizeof zero ? size : sizeof zero);
}

static void all(const struct start *s, uint32_t n, uint32_t rounds)
{
    pthread_t thread[CPUS];
    void *bad;

    clear(BARRIER, 4);
    clear(X, N * LINE);
    clear(Y, N * LINE);
    clear(R, 2 * R_SIZE);
    for (uint32_t k = 0; k < n; k++)
        place(cpu[k], &s[k], n, rounds);
    for (uint32_t k = 0; k < n; k++)
        pthread_create(&thread[k], NULL, run, cpu[k]);
    for (uint32_t k = 0; k < n; k++) {
        pthread_join(thread[k], &bad);
        failures += bad != NULL;
    }
}

static uint32_t word(uint64_t at)
{
    uint32_t v = 0;
    vm__mem_read(f.m, at, &v, sizeof v);
    return v;
}

/* @p mask of four words, the two results of each of two, that must never be @p want together. */
static void forbid(const char *name, const uint32_t want[4], unsigned mask)
{
    unsigned seen = 0, other = 0;

    for (uint32_t k = 0; k < N; k++) {
        const uint32_t got[4] = { word(R + 8 * k), word(R + 8 * k + 4), word(R + R_SIZE + 8 * k),
                                  word(R + R_SIZE + 8 * k + 4) };
        bool is = true;
        for (unsigned j = 0; j < 4; j++)
            is = is && (!(mask >> j & 1) || got[j] == want[j]);
        seen += is;
        other += (mask & 1 && got[0]) != (mask & 4 && got[2]);
    }
    printf("%s: %u of %d rounds forbidden; %u with different first results\n", name, seen, N,
           other);
    failures += seen != 0;
}

static void count(uint32_t n, uint32_t rounds)
{
    struct start s[CPUS];
    static const uint32_t at[] = { X, X + 0x800, X + 0x7e, X + 0xffe };

    for (uint32_t k = 0; k < n; k++)
        s[k] = (struct start) { .at = l_count, .ebx = X };
    all(s, n, rounds);
    for (unsigned k = 0; k < 4; k++) {
        const uint32_t got = word(at[k]), want = n * rounds;
        printf("count at %x: %u of %u\n", at[k], got, want);
        failures += got != want;
    }
}

int main(int argc, char **argv)
{
    const char *engine = argc > 1 ? argv[1] : "interp";

    fake_init(&f);
    if (vm__config_set(f.m->config, "engine", engine) != VM_OK ||
        vm__config_set(f.m->config, "jit.threshold", "2") != VM_OK)
        return 2;
    for (uint32_t n = 0; n < CPUS; n++)
        if (vm__x86_cpu_class.create(f.m, n, &cpu[n]) != VM_OK)
            return 2;
    vm__mem_write(f.m, CODE, l_start, (size_t)(l_end - l_start));

    const struct start sb[] = { { l_sb, X, Y, R }, { l_sb, Y, X, R + R_SIZE } };
    all(sb, 2, N);
    forbid("SB", (const uint32_t[]) { 0, 0, 0, 0 }, 5);
    const struct start mp[] = { { l_first, X, Y, R }, { l_read_xy, Y, X, R } };
    all(mp, 2, N);
    forbid("MP", (const uint32_t[]) { 1, 0, 0, 0 }, 3);
    const struct start lb[] = { { l_lb, X, Y, R }, { l_lb, Y, X, R + R_SIZE } };
    all(lb, 2, N);
    forbid("LB", (const uint32_t[]) { 1, 0, 1, 0 }, 5);
    const struct start iriw[] = { { l_write_x, X, X, R + 2 * R_SIZE },
                                  { l_write_x, Y, Y, R + 2 * R_SIZE },
                                  { l_read_xy, X, Y, R },
                                  { l_read_xy, Y, X, R + R_SIZE } };
    all(iriw, 4, N);
    forbid("IRIW", (const uint32_t[]) { 1, 0, 1, 0 }, 15);
    count(2, 5000);
    count(4, 2000);
    for (uint32_t n = CPUS; n-- > 0;)
        vm__x86_cpu_class.destroy(cpu[n]);
    fake_fini(&f);
    return failures != 0;
}
