/* SPDX-License-Identifier: MIT */
/**
 * @file test_quiet.c
 * A block run at once must leave what the same instructions leave one at a time, although it leaves
 * out flags that nobody sees: at its end, at a budget in its middle, and in the frame of a fault.
 *
 * Long mode with identity-mapped memory; every interrupt handler is a HLT.
 */
#include <criterion/criterion.h>
#include <libvm/libvm.h>
#include <string.h>

#include "core/machine.h"
#include "core/region.h"
#include "cpu/vcpu.h"
#include "rng.h"

enum {
    PML4 = 0x1000,
    PDPT = 0x2000,
    PD = 0x3000,
    IDT = 0x4000,
    GDT = 0x5000,
    HANDLERS = 0x6000,
    STACK = 0x9000,
    DATA = 0xa000,
    CODE = 0x10000,
    RAM = 0x40000,
    LENGTH = 40
};

static struct {
    struct vm_machine *m;
    struct vm_region *ram;
    struct vcpu *c;
    uint8_t *mem;
    struct rng r;
} F;

static void put64(uint32_t at, uint64_t v)
{
    memcpy(F.mem + at, &v, 8);
}

static void tables(void)
{
    put64(PML4, PDPT | 7);
    put64(PDPT, PD | 7);
    put64(PD, 0x80 | 0x60 | 7); /* 2 MiB */
    put64(GDT + 8, 0x00af9b000000ffff);
    put64(GDT + 16, 0x00cf93000000ffff);
    for (unsigned v = 0; v < 32; v++) {
        uint64_t at = HANDLERS + v * 16;
        F.mem[at] = 0xf4;
        put64(IDT + v * 16, at | 8 << 16 | UINT64_C(0x8e00) << 32);
    }
}

static void setup(void)
{
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = vm_config_new(ctx, NULL);

    cr_assert_eq(vm_config_set_str(cfg, "cpu.model", "max"), VM_OK);
    F.m = vm__machine_new(cfg);
    cr_assert_not_null(F.m, "%s", vm_last_error()->message);
    vm_config_free(cfg);
    vm_ctx_unref(ctx);
    vm__lock(F.m);
    F.ram = vm__ram_new(F.m, "ram", RAM);
    cr_assert_eq(vm__region_place(F.ram, 0, VM_PRIO_RAM), VM_OK);
    cr_assert_eq(vm__machine_add_cpus(F.m, 1), VM_OK);
    vm__unlock(F.m);
    F.mem = vm__region_host(F.ram);
    F.c = vm__vcpu(F.m->cpus[0]);
    rng_seed(&F.r, 20);
    tables();
}

static void teardown(void)
{
    vm__machine_destroy(F.m);
}

TestSuite(quiet, .init = setup, .fini = teardown);

/* ---- random code ---- */

static unsigned pick(unsigned n)
{
    return rng_below(&F.r, n);
}

/* All registers but RSP, and RDI, which points to data. */
static unsigned reg(void)
{
    static const uint8_t regs[] = { 0, 1, 2, 3, 5, 6 };
    return regs[pick(sizeof regs)];
}

static uint8_t *rr(uint8_t *p, unsigned r)
{
    *p++ = (uint8_t)(0xc0 | r << 3 | reg());
    return p;
}

static uint8_t *one(uint8_t *p)
{
    static const uint8_t alu[] = { 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85 };
    static const uint8_t bits[] = { 0xa3, 0xab, 0xb3, 0xbb, 0xbc, 0xbd, 0xaf };
    static const uint8_t flags[] = { 0xf5, 0xf8, 0xf9, 0x9e, 0x9f };

    if (pick(3) == 0)
        *p++ = 0x48;
    switch (pick(16)) {
    case 0:
    case 1:
    case 2:
        *p++ = alu[pick(9)];
        return rr(p, reg());
    case 3:
    case 4:
        *p++ = 0x83;
        p = rr(p, pick(8));
        *p++ = (uint8_t)rng_64(&F.r);
        return p;
    case 5:
    case 6:
        *p++ = 0xc1;
        p = rr(p, pick(8));
        *p++ = (uint8_t)(pick(4) ? pick(34) : 0);
        return p;
    case 7:
        *p++ = pick(2) ? 0xd3 : 0xd1;
        return rr(p, pick(8));
    case 8:
        *p++ = 0xff;
        return rr(p, pick(2));
    case 9:
        *p++ = 0xf7;
        return rr(p, 2 + pick(4));
    case 10:
        *p++ = 0x0f;
        *p++ = bits[pick(7)];
        return rr(p, reg());
    case 11:
        *p++ = 0x0f;
        *p++ = (uint8_t)(0x40 + pick(16));
        return rr(p, reg());
    case 12:
        *p++ = 0x0f;
        *p++ = (uint8_t)(0x90 + pick(16));
        *p++ = (uint8_t)(0xc0 | pick(4));
        return p;
    case 13:
        *p++ = flags[pick(5)];
        return p;
    case 14:
        *p++ = 0x6b;
        p = rr(p, reg());
        *p++ = (uint8_t)rng_64(&F.r);
        return p;
    default: /* a load, or arithmetic on memory */
        *p++ = pick(2) ? 0x8b : (uint8_t)(alu[pick(9)] + (pick(2) ? 2 : 0));
        *p++ = (uint8_t)(0x47 | reg() << 3);
        *p++ = (uint8_t)(pick(8) * 8);
        return p;
    }
}

/* The end: HLT, UD2, a page fault, a division by zero, an interrupt. */
static uint8_t *ending(uint8_t *p)
{
    static const char *const ends[] = { "\xf4", "\x0f\x0b", "\x8b\x04\x25\x00\x00\x00\x70",
                                        "\x31\xc9\xf7\xf1", "\xcc" };
    static const uint8_t len[] = { 1, 2, 7, 4, 1 };
    unsigned k = pick(5);

    memcpy(p, ends[k], len[k]);
    p[len[k]] = 0xf4;
    return p + len[k] + 1;
}

static void program(void)
{
    uint8_t *p = F.mem + CODE;

    *p++ = 0x90;
    for (unsigned n = 1 + pick(LENGTH); n > 0; n--)
        p = one(p);
    p = ending(p);
    vm__region_written(F.ram, CODE, (uint64_t)(p - (F.mem + CODE)));
}

/* ---- running ---- */

static void start(const uint64_t *gpr, uint64_t flags)
{
    struct x86_state *s = &F.c->st;

    F.m->cpu_class->reset(F.m->cpus[0]);
    memcpy(s->gpr, gpr, 8 * 8);
    s->gpr[X86_RSP] = STACK;
    s->gpr[X86_RDI] = DATA;
    s->rip = CODE;
    s->rflags = flags;
    s->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG;
    s->cr3 = PML4;
    s->cr4 = X86_CR4_PAE;
    s->msr.efer = X86_EFER_LME | X86_EFER_LMA;
    s->gdtr = (struct x86_dtr) { .base = GDT, .limit = 0x17 };
    s->idtr = (struct x86_dtr) { .base = IDT, .limit = 0x1ff };
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        s->seg[k] = (struct x86_seg) { 0, 0xffffffff, 16, 0xc093 };
    s->seg[X86_CS] = (struct x86_seg) { 0, 0xffffffff, 8, 0xa09b };
    for (unsigned k = 0; k < 16; k++)
        put64(DATA + k * 8, gpr[k & 7] * (k + 1));
    memset(F.mem + STACK - 64, 0, 64);
    F.c->cpus->engine->load(F.c);
    vm__x86_sync_mode(F.c);
}

struct outcome {
    uint64_t gpr[16], rip, rflags;
    uint8_t stack[64], data[128];
};

static void outcome(struct outcome *o)
{
    memset(o, 0, sizeof *o);
    memcpy(o->gpr, F.c->st.gpr, sizeof o->gpr);
    o->rip = F.c->st.rip;
    o->rflags = F.c->st.rflags;
    memcpy(o->stack, F.mem + STACK - 64, 64);
    memcpy(o->data, F.mem + DATA, 128);
}

/* Run up to @p max instructions, @p slice at a time. */
static void run(uint64_t max, uint64_t slice, struct outcome *o)
{
    struct vm_exit exit;
    enum vm_cpu_stop stop = VM_CPU_BUDGET;

    for (uint64_t n = 0; n < max && stop == VM_CPU_BUDGET; n += slice)
        stop = F.m->cpu_class->run(F.m->cpus[0], slice, &exit);
    cr_assert(stop == VM_CPU_HALTED || stop == VM_CPU_BUDGET, "stop %d", stop);
    outcome(o);
}

static void compare(uint64_t max, unsigned number)
{
    uint64_t gpr[8], flags = 2 | (rng_64(&F.r) & X86_ARITH);
    struct outcome whole, single;

    for (unsigned k = 0; k < 8; k++)
        gpr[k] = pick(3) ? rng_64(&F.r) : pick(40);
    program();
    start(gpr, flags);
    run(max, max, &whole);
    start(gpr, flags);
    run(max, 1, &single);
    cr_assert_eq(whole.rip, single.rip, "program %u: rip", number);
    cr_assert_eq(whole.rflags, single.rflags, "program %u: rflags %lx, one at a time %lx", number,
                 whole.rflags, single.rflags);
    cr_assert_arr_eq(whole.gpr, single.gpr, sizeof whole.gpr, "program %u: registers", number);
    cr_assert_arr_eq(whole.stack, single.stack, 64, "program %u: frame", number);
    cr_assert_arr_eq(whole.data, single.data, 128, "program %u: memory", number);
}

Test(quiet, blocks_end_as_single_instructions_do)
{
    for (unsigned k = 0; k < 1500; k++)
        compare(1000, k);
}

Test(quiet, a_budget_in_the_middle_sees_exact_flags)
{
    for (unsigned k = 0; k < 1500; k++)
        compare(1 + pick(LENGTH), k);
}
