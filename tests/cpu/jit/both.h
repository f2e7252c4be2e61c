/* SPDX-License-Identifier: MIT */
/**
 * @file both.h
 * The same small program on the interpreter and on the JIT, which translates everything at once.
 *
 * 64-bit code at CODE, data at DATA, identity-mapped; every exception ends in a HLT of its own. Of
 * the pages around DATA the one before is read-only and the one after is missing.
 */
#ifndef LIBVM_TESTS_CPU_JIT_BOTH_H
#define LIBVM_TESTS_CPU_JIT_BOTH_H

#include <stdio.h>
#include <string.h>

#include "../system/processors.h"

enum {
    CODE = 0x1000,
    GDT = 0x4000,
    IDT = 0x5000,
    HANDLERS = 0x6000,
    STACK = 0x8000,
    PML4 = 0x9000,
    PDPT = 0xa000,
    PD = 0xb000,
    PT = 0xc000,
    DATA = 0x20000,
    READ_ONLY = DATA - 0x1000,
    MISSING = DATA + 0x2000,
};

enum { INTERP, JIT, ENGINES };

struct both {
    struct processors p[ENGINES];
};

static inline void put(struct processors *p, uint64_t gpa, uint64_t v)
{
    poke(p, gpa, &v, sizeof v);
}

static inline void tables(struct processors *p)
{
    put(p, GDT + 8, UINT64_C(0x00af9b000000ffff));
    put(p, GDT + 16, UINT64_C(0x00cf93000000ffff));
    for (uint64_t v = 0; v < 32; v++) {
        uint64_t to = HANDLERS + 16 * v;
        put(p, IDT + 16 * v, (to & 0xffff) | 8u << 16 | UINT64_C(0x8e00) << 32);
        put(p, IDT + 16 * v + 8, 0);
        poke(p, to, "\xf4", 1);
    }
    put(p, PML4, PDPT | 3);
    put(p, PDPT, PD | 3);
    put(p, PD, PT | 3);
    for (uint64_t k = 0; k < 512; k++) {
        uint64_t at = k << 12;
        put(p, PT + 8 * k, at == MISSING ? 0 : at | (at == READ_ONLY ? 1 : 3));
    }
}

static inline void both_init(struct both *b, bool exact)
{
    for (int k = 0; k < ENGINES; k++) {
        struct processors *p = &b->p[k];
        fake_init(&p->f);
        vm_config *cfg = p->f.m->config;
        cr_assert_eq(vm__config_set(cfg, "cpu.model", "max"), VM_OK);
        cr_assert_eq(vm__config_set(cfg, "engine", k == JIT ? "jit" : "interp"), VM_OK);
        cr_assert_eq(vm__config_set(cfg, "jit.threshold", "1"), VM_OK);
        cr_assert_eq(vm__config_set(cfg, "jit.exact", exact ? "on" : "off"), VM_OK);
        cr_assert_eq(vm__x86_cpu_class.create(p->f.m, 0, &p->cpu[0]), VM_OK, "%s",
                     vm_last_error()->message);
        p->n = 1;
        tables(p);
    }
}

static inline void both_fini(struct both *b)
{
    for (int k = 0; k < ENGINES; k++)
        processors_fini(&b->p[k]);
}

/** Registers and mode for a fresh start at CODE. */
static inline void start(struct processors *p)
{
    struct x86_state *s = &at(p, 0)->st;

    vm__x86_cpu_class.reset(p->cpu[0]);
    s->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_NE | X86_CR0_ET;
    s->cr3 = PML4;
    s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
    s->xcr0 = 7;
    s->msr.efer = X86_EFER_LME | X86_EFER_LMA;
    s->gdtr = (struct x86_dtr) { .base = GDT, .limit = 23 };
    s->idtr = (struct x86_dtr) { .base = IDT, .limit = 511 };
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        s->seg[k] = (struct x86_seg) { .limit = 0xffffffff, .sel = 16, .attr = 0xc093 };
    s->seg[X86_CS] = (struct x86_seg) { .limit = 0xffffffff, .sel = 8, .attr = 0xa09b };
    s->rip = CODE;
    s->gpr[X86_RSP] = STACK;
    at(p, 0)->cpus->engine->load(at(p, 0));
    vm__x86_sync_mode(at(p, 0));
}

/** Do both stand at the same point with the same registers? Describes what differs. Arithmetic
 * flags that were dead when an exception came count only if they are @p exact. */
static inline bool same_registers(struct both *b, bool exact, char *why, size_t size)
{
    const struct x86_state *x = &at(&b->p[INTERP], 0)->st, *y = &at(&b->p[JIT], 0)->st;

    for (unsigned k = 0; k < 16; k++)
        if (x->gpr[k] != y->gpr[k]) {
            (void)snprintf(why, size, "register %u: %llx, jit %llx", k,
                           (unsigned long long)x->gpr[k], (unsigned long long)y->gpr[k]);
            return false;
        }
    uint64_t dead = !exact && x->rip >= HANDLERS && x->rip < STACK ? X86_ARITH : 0;
    if (x->rip != y->rip || ((x->rflags ^ y->rflags) & ~dead) != 0 || x->cr2 != y->cr2) {
        (void)snprintf(why, size, "rip %llx, jit %llx; rflags %llx, jit %llx",
                       (unsigned long long)x->rip, (unsigned long long)y->rip,
                       (unsigned long long)x->rflags, (unsigned long long)y->rflags);
        return false;
    }
    for (unsigned k = 0; k < 16; k++)
        if (memcmp(x->vec[k], y->vec[k], 32) != 0) {
            (void)snprintf(why, size, "vector register %u", k);
            return false;
        }
    return true;
}

/** And the same memory. */
static inline bool same_memory(struct both *b, uint64_t gpa, size_t n)
{
    static uint8_t x[0x4000], y[0x4000];

    cr_assert_leq(n, sizeof x);
    cr_assert_eq(vm__mem_read(b->p[INTERP].f.m, gpa, x, n), VM_OK);
    cr_assert_eq(vm__mem_read(b->p[JIT].f.m, gpa, y, n), VM_OK);
    return memcmp(x, y, n) == 0;
}

#endif
