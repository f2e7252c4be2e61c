/* SPDX-License-Identifier: MIT */
/**
 * @file test_sequences.c
 * Random straight-line programs with short jumps, on both engines.
 *
 * What one instruction does the native oracle settles; here it is what lies between instructions:
 * flags kept, saved and dropped, scratch registers, vectors live or not, faults half-way through a
 * block. RSI and R9 point into data, sometimes at its ends, and stay as they are.
 */
#include "../support/rng.h"
#include "both.h"
#include "cpu/jit/jit.h"

enum { INSNS = 24, PROGRAMS = 4000 };

struct program {
    uint8_t bytes[512];
    size_t n;
    struct rng r;
};

static unsigned pick(struct program *p, unsigned n)
{
    return (unsigned)(rng_below(&p->r, n));
}

static void byte(struct program *p, unsigned v)
{
    p->bytes[p->n++] = (uint8_t)v;
}

/* Any register but RSP, RSI and R9. */
static unsigned scratch(struct program *p)
{
    unsigned r;
    do
        r = pick(p, 16);
    while (r == 4 || r == 6 || r == 9);
    return r;
}

/* REX, opcode, ModRM with register or memory. @p ext: opcode extension or -1. */
static void modrm(struct program *p, unsigned prefix, unsigned map, unsigned opcode, int ext,
                  bool may_be_memory, bool write_rm)
{
    unsigned reg = ext >= 0 ? (unsigned)ext : scratch(p), w = pick(p, 2), rex;
    bool memory = may_be_memory && pick(p, 2);
    unsigned rm = memory ? (pick(p, 2) ? 6 : 9) : write_rm ? scratch(p) : pick(p, 16);

    if (prefix)
        byte(p, prefix);
    rex = 0x40 | w << 3 | (reg >> 3) << 2 | rm >> 3;
    byte(p, rex);
    if (map)
        byte(p, 0x0f);
    byte(p, opcode);
    byte(p, (memory ? 0x40u : 0xc0u) | (reg & 7) << 3 | (rm & 7));
    if (memory)
        byte(p, pick(p, 64) * 4);
}

static void alu(struct program *p)
{
    unsigned op = pick(p, 8);

    switch (pick(p, 3)) {
    case 0:
        modrm(p, 0, 0, op << 3 | 3, -1, true, false);
        break;
    case 1:
        modrm(p, 0, 0, op << 3 | 1, -1, true, true);
        break;
    default:
        modrm(p, 0, 0, 0x83, (int)op, true, true);
        byte(p, pick(p, 256));
    }
}

/* A flag that the manual leaves undefined is whatever the engine likes: define them all. */
static void define_flags(struct program *p)
{
    modrm(p, 0, 0, 0x83, 7, false, false); /* CMP */
    byte(p, pick(p, 256));
}

static void shift(struct program *p)
{
    unsigned op = pick(p, 8);

    op = op == 6 ? 4 : op;
    if (pick(p, 2)) {
        modrm(p, 0, 0, 0xd3, (int)op, true, true); /* by CL */
    } else {
        modrm(p, 0, 0, 0xc1, (int)op, true, true);
        byte(p, pick(p, 4) ? 1 + pick(p, 30) : 0);
    }
    define_flags(p);
}

static void vector(struct program *p)
{
    static const uint8_t ops[] = { 0xfe, 0xef, 0xd4, 0xeb, 0x62, 0x6f, 0x6e, 0x58, 0x59 };
    unsigned op = ops[pick(p, sizeof ops)];

    modrm(p, 0x66, 1, op, -1, false, false);
    if (pick(p, 4) == 0)
        modrm(p, 0xf3, 1, pick(p, 2) ? 0x6f : 0x7f, -1, true, true); /* MOVDQU */
    if (pick(p, 8) == 0)
        modrm(p, 0x66, 1, 0x2e, -1, false, false); /* UCOMISD writes flags */
}

static void one(struct program *p)
{
    switch (pick(p, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        alu(p);
        break;
    case 4:
        shift(p);
        break;
    case 5:
        modrm(p, 0, 0, pick(p, 2) ? 0x8b : 0x89, -1, true, true);
        break;
    case 6:
        modrm(p, 0, 1, 0x40 | pick(p, 16), -1, true, false);
        break; /* CMOVcc */
    case 7:
        modrm(p, 0, 1, 0x90 | pick(p, 16), 0, true, true);
        break; /* SETcc */
    case 8:
        modrm(p, 0, 0, 0xff, (int)pick(p, 2), true, true);
        break; /* INC, DEC */
    case 9:
        modrm(p, 0, 0, 0xf7, 2 + (int)pick(p, 4), true, true);
        define_flags(p);
        break; /* NOT NEG MUL IMUL */
    case 10:
        modrm(p, 0, 1, pick(p, 2) ? 0xaf : 0xb6, -1, true, false);
        define_flags(p);
        break;
    case 11:
        modrm(p, 0, 1, pick(p, 2) ? 0xc1 : 0xb1, -1, true, true);
        break; /* XADD, CMPXCHG */
    case 12:
        vector(p);
        break;
    case 13:
        byte(p, "\x9c\xf5\xf8\xf9\x9e\x9f"[pick(p, 6)]); /* PUSHF CMC CLC STC SAHF LAHF */
        break;
    case 14:
        byte(p, 0x40 | pick(p, 2));
        byte(p, 0x50 | (pick(p, 2) << 3) | (pick(p, 3))); /* PUSH, POP */
        break;
    default: /* over the next instruction, whose length is not known yet */
        byte(p, 0x70 | pick(p, 16));
        size_t at = p->n;
        byte(p, 0);
        alu(p);
        p->bytes[at] = (uint8_t)(p->n - at - 1);
    }
}

static void make(struct program *p, uint64_t seed)
{
    rng_seed(&p->r, seed);
    p->n = 0;
    for (unsigned k = 0; k < INSNS; k++)
        one(p);
    byte(p, 0xf4);
}

static void run_on(struct processors *p, struct program *prog, const uint8_t *data, uint64_t seed)
{
    struct x86_state *s = &at(p, 0)->st;
    struct rng r;

    start(p);
    poke(p, DATA - 0x1000, data, 0x3000);
    poke(p, CODE, prog->bytes, prog->n);
    rng_seed(&r, seed);
    for (unsigned k = 0; k < 16; k++)
        if (k != X86_RSP)
            s->gpr[k] = rng_64(&r) >> (rng_64(&r) % 64);
    static const uint32_t places[] = { DATA + 0x100, DATA + 0x800, DATA + 0xf80, DATA - 0x80,
                                       MISSING - 0x80 };
    s->gpr[X86_RSI] = places[rng_64(&r) % 5];
    s->gpr[X86_R9] = places[rng_64(&r) % 2];
    (void)run(p, 0, 1000);
}

static void compare(bool exact)
{
    struct program prog;
    struct both b;
    static uint8_t data[0x3000];
    char why[200] = "memory";

    unsigned ended = 0;

    both_init(&b, exact);
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        make(&prog, seed);
        rng_fill(&prog.r, data, sizeof data);
        for (int k = 0; k < ENGINES; k++)
            run_on(&b.p[k], &prog, data, seed);
        bool same =
            same_registers(&b, exact, why, sizeof why) && same_memory(&b, DATA - 0x1000, 0x3000);
        cr_expect(same, "program %llu: %s", (unsigned long long)seed, why);
        if (!same)
            break;
        ended += at(&b.p[JIT], 0)->st.rip == CODE + prog.n;
    }
    /* Otherwise all of this would show little. */
    cr_expect_gt(ended, PROGRAMS / 4);
    cr_expect_geq(jit_cache(at(&b.p[JIT], 0))->count.blocks, PROGRAMS);
    both_fini(&b);
}

Test(jit, sequences_end_alike)
{
    compare(false);
}

Test(jit, sequences_end_alike_with_exact_flags)
{
    compare(true);
}
