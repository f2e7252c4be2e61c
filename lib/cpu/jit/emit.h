/* SPDX-License-Identifier: MIT */
/**
 * @file emit.h
 * Writing host instructions: an x86-64 encoder as small as the translator needs.
 *
 * Everything the JIT executes goes through emit_insn(): prefixes, opcode, ModRM and displacement in
 * the manual's order [SDM-2A §2.1]. Code is written through one mapping and runs in another:
 * addresses given to the processor are `at + run`. Writing past the end is refused and remembered
 * (`full`).
 */
#ifndef LIBVM_CPU_JIT_EMIT_H
#define LIBVM_CPU_JIT_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Host registers by encoding number. */
enum {
    H_RAX,
    H_RCX,
    H_RDX,
    H_RBX,
    H_RSP,
    H_RBP,
    H_RSI,
    H_RDI,
    H_R8,
    H_R9,
    H_R10,
    H_R11,
    H_R12,
    H_R13,
    H_R14,
    H_R15,
    H_NONE = -1,
};

/** Where code goes. */
struct emit {
    uint8_t *at, *end;
    ptrdiff_t run; /**< executable address of a byte minus its writable one */
    bool full;
};

/** A memory operand: base + index << scale + disp; either register may be H_NONE, base first. */
struct emit_mem {
    int8_t base, index;
    uint8_t scale;
    int32_t disp;
};

/** Everything of an instruction but its operands. */
struct emit_op {
    uint8_t map; /**< 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
    uint8_t opcode;
    uint8_t prefix; /**< mandatory prefix: 0, 66, F3 or F2 */
    bool op16;      /**< operand-size prefix */
    bool lock;
    bool w;
    bool rex; /**< wanted even if empty: SPL, BPL, SIL, DIL */
    bool vex, l;
    uint8_t vvvv; /**< VEX: the register, 0 if none */
};

static inline void emit_8(struct emit *e, unsigned v)
{
    if (e->at < e->end)
        *e->at++ = (uint8_t)v;
    else
        e->full = true;
}

static inline void emit_bytes(struct emit *e, const void *p, size_t n)
{
    if ((size_t)(e->end - e->at) < n) {
        e->full = true;
        return;
    }
    memcpy(e->at, p, n);
    e->at += n;
}

static inline void emit_16(struct emit *e, uint16_t v)
{
    emit_bytes(e, &v, sizeof v);
}
static inline void emit_32(struct emit *e, uint32_t v)
{
    emit_bytes(e, &v, sizeof v);
}
static inline void emit_64(struct emit *e, uint64_t v)
{
    emit_bytes(e, &v, sizeof v);
}

/** Executable address of the next byte. */
static inline uint8_t *emit_here(const struct emit *e)
{
    return e->at + e->run;
}

/* ---- instructions ---- */

static inline void emit_vex(struct emit *e, const struct emit_op *o, unsigned r, unsigned x,
                            unsigned b)
{
    static const uint8_t map[4] = { 0, 1, 2, 3 };
    unsigned pp = o->prefix == 0x66 ? 1 : o->prefix == 0xf3 ? 2 : o->prefix == 0xf2 ? 3 : 0;

    emit_8(e, 0xc4);
    emit_8(e, (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | map[o->map & 3]);
    emit_8(e, (unsigned)o->w << 7 | (~(unsigned)o->vvvv & 15) << 3 | (unsigned)o->l << 2 | pp);
    emit_8(e, o->opcode);
}

static inline void emit_legacy(struct emit *e, const struct emit_op *o, unsigned r, unsigned x,
                               unsigned b)
{
    unsigned rex = (unsigned)o->w << 3 | r << 2 | x << 1 | b;

    if (o->lock)
        emit_8(e, 0xf0);
    if (o->op16)
        emit_8(e, 0x66);
    if (o->prefix)
        emit_8(e, o->prefix);
    if (rex || o->rex)
        emit_8(e, 0x40 | rex);
    if (o->map >= 1)
        emit_8(e, 0x0f);
    if (o->map >= 2)
        emit_8(e, o->map == 2 ? 0x38 : 0x3a);
    emit_8(e, o->opcode);
}

/** ModRM, SIB, displacement [SDM-2A §2.1.5]. RBP and R13 as base need a displacement, RSP and R12 a
 * SIB byte. */
static inline void emit_modrm(struct emit *e, unsigned reg, const struct emit_mem *m)
{
    unsigned base = (unsigned)m->base & 7, mod;

    if (m->base == H_NONE) { /* absolute, or index alone: SIB without base */
        emit_8(e, (reg & 7) << 3 | 4);
        emit_8(e, (unsigned)m->scale << 6 |
                      (m->index == H_NONE ? 4u : (unsigned)m->index & 7) << 3 | 5);
        emit_32(e, (uint32_t)m->disp);
        return;
    }
    mod = m->disp == 0 && base != 5 ? 0 : m->disp >= -128 && m->disp < 128 ? 1 : 2;
    if (m->index != H_NONE || base == 4) {
        emit_8(e, mod << 6 | (reg & 7) << 3 | 4);
        emit_8(e, (unsigned)m->scale << 6 |
                      (m->index == H_NONE ? 4u : (unsigned)m->index & 7) << 3 | base);
    } else {
        emit_8(e, mod << 6 | (reg & 7) << 3 | base);
    }
    if (mod == 1)
        emit_8(e, (uint8_t)m->disp);
    else if (mod == 2)
        emit_32(e, (uint32_t)m->disp);
}

static inline unsigned emit_bit3(int reg)
{
    return reg == H_NONE ? 0 : (unsigned)reg >> 3 & 1;
}

/** An instruction with ModRM: @p reg is a register or an opcode extension; the other operand is
 * memory @p m, or register @p rm if @p m is NULL. Immediates follow by hand. */
static inline void emit_insn(struct emit *e, const struct emit_op *o, int reg, int rm,
                             const struct emit_mem *m)
{
    unsigned r = emit_bit3(reg), x = m ? emit_bit3(m->index) : 0,
             b = m ? emit_bit3(m->base) : emit_bit3(rm);

    if (o->vex)
        emit_vex(e, o, r, x, b);
    else
        emit_legacy(e, o, r, x, b);
    if (m)
        emit_modrm(e, (unsigned)reg, m);
    else
        emit_8(e, 0xc0 | ((unsigned)reg & 7) << 3 | ((unsigned)rm & 7));
}

/** The same without ModRM, with a register in the opcode's low bits (or none: 0). */
static inline void emit_opreg(struct emit *e, const struct emit_op *o, int reg)
{
    struct emit_op op = *o;

    op.opcode = (uint8_t)(op.opcode | (reg & 7));
    emit_legacy(e, &op, 0, 0, emit_bit3(reg));
}

/* ---- those the translator writes itself; W: 64-bit operands ---- */

static inline void emit_rr(struct emit *e, unsigned opcode, bool w, int reg, int rm)
{
    emit_insn(e, &(struct emit_op) { .opcode = (uint8_t)opcode, .w = w }, reg, rm, NULL);
}
static inline void emit_rm(struct emit *e, unsigned opcode, bool w, int reg, struct emit_mem m)
{
    emit_insn(e, &(struct emit_op) { .opcode = (uint8_t)opcode, .w = w }, reg, 0, &m);
}
static inline void emit_0f_rm(struct emit *e, unsigned opcode, bool w, int reg, struct emit_mem m)
{
    emit_insn(e, &(struct emit_op) { .map = 1, .opcode = (uint8_t)opcode, .w = w }, reg, 0, &m);
}

static inline struct emit_mem emit_at(int base, int32_t disp)
{
    return (struct emit_mem) { .base = (int8_t)base, .index = H_NONE, .disp = disp };
}
static inline struct emit_mem emit_sum(int base, int index)
{
    return (struct emit_mem) { .base = (int8_t)base, .index = (int8_t)index };
}

enum {
    OP_ADD = 0x01,
    OP_OR = 0x09,
    OP_AND = 0x21,
    OP_SUB = 0x29,
    OP_XOR = 0x31,
    OP_CMP = 0x39,
    OP_TEST = 0x85,
    OP_STORE = 0x89,
    OP_LOAD = 0x8b,
    OP_LEA = 0x8d
};
/** Extensions of 81 and 83. */
enum { X_ADD = 0, X_OR = 1, X_AND = 4, X_SUB = 5, X_XOR = 6, X_CMP = 7 };

static inline void emit_mov(struct emit *e, bool w, int to, int from)
{
    emit_rr(e, OP_STORE, w, from, to);
}
static inline void emit_load(struct emit *e, bool w, int to, struct emit_mem from)
{
    emit_rm(e, OP_LOAD, w, to, from);
}
static inline void emit_store(struct emit *e, bool w, struct emit_mem to, int from)
{
    emit_rm(e, OP_STORE, w, from, to);
}
static inline void emit_lea(struct emit *e, bool w, int to, struct emit_mem m)
{
    emit_rm(e, OP_LEA, w, to, m);
}

/** Group 1 with an immediate; @p ext is X_ADD … */
static inline void emit_alu_ri(struct emit *e, unsigned ext, bool w, int rm, int32_t imm)
{
    bool small = imm >= -128 && imm < 128;
    emit_rr(e, small ? 0x83 : 0x81, w, (int)ext, rm);
    if (small)
        emit_8(e, (uint8_t)imm);
    else
        emit_32(e, (uint32_t)imm);
}
static inline void emit_alu_mi(struct emit *e, unsigned ext, bool w, struct emit_mem m, int32_t imm)
{
    bool small = imm >= -128 && imm < 128;
    emit_rm(e, small ? 0x83 : 0x81, w, (int)ext, m);
    if (small)
        emit_8(e, (uint8_t)imm);
    else
        emit_32(e, (uint32_t)imm);
}
static inline void emit_cmp8_mi(struct emit *e, struct emit_mem m, unsigned imm)
{
    emit_rm(e, 0x80, false, X_CMP, m);
    emit_8(e, imm);
}
/** MOV m, imm32 (sign-extended). */
static inline void emit_store_imm(struct emit *e, bool w, struct emit_mem m, int32_t imm)
{
    emit_rm(e, 0xc7, w, 0, m);
    emit_32(e, (uint32_t)imm);
}

/** The shortest MOV of a constant. No flags change. */
static inline void emit_const(struct emit *e, int to, uint64_t v)
{
    struct emit_op o = { .opcode = 0xb8 };

    if (v >> 32 == 0) {
        emit_opreg(e, &o, to);
        emit_32(e, (uint32_t)v);
    } else if ((int64_t)v == (int32_t)v) {
        emit_rr(e, 0xc7, true, 0, to);
        emit_32(e, (uint32_t)v);
    } else {
        o.w = true;
        emit_opreg(e, &o, to);
        emit_64(e, v);
    }
}

/* ---- jumps ---- */

/** Set the rel32 at @p site (writable address) to reach executable address @p to. */
static inline void emit_patch(uint8_t *site, ptrdiff_t run, const uint8_t *to)
{
    int32_t rel = (int32_t)(to - (site + run + 4));
    memcpy(site, &rel, sizeof rel);
}

/** A jump to be aimed later; returns its rel32. */
static inline uint8_t *emit_jmp(struct emit *e)
{
    emit_8(e, 0xe9);
    emit_32(e, 0);
    return e->at - 4;
}
static inline uint8_t *emit_jcc(struct emit *e, unsigned cc)
{
    emit_8(e, 0x0f);
    emit_8(e, 0x80 | cc);
    emit_32(e, 0);
    return e->at - 4;
}
static inline void emit_jmp_to(struct emit *e, const uint8_t *to)
{
    uint8_t *site = emit_jmp(e);
    if (!e->full)
        emit_patch(site, e->run, to);
}
static inline void emit_jcc_to(struct emit *e, unsigned cc, const uint8_t *to)
{
    uint8_t *site = emit_jcc(e, cc);
    if (!e->full)
        emit_patch(site, e->run, to);
}
static inline void emit_call_to(struct emit *e, const uint8_t *to)
{
    emit_8(e, 0xe8);
    emit_32(e, 0);
    if (!e->full)
        emit_patch(e->at - 4, e->run, to);
}
/** A forward jump within one buffer ends here. */
static inline void emit_land(struct emit *e, uint8_t *site)
{
    if (!e->full)
        emit_patch(site, e->run, emit_here(e));
}

/** Condition codes. */
enum {
    CC_O,
    CC_NO,
    CC_B,
    CC_AE,
    CC_E,
    CC_NE,
    CC_BE,
    CC_A,
    CC_S,
    CC_NS,
    CC_P,
    CC_NP,
    CC_L,
    CC_GE,
    CC_LE,
    CC_G
};

#endif
