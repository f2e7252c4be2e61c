/* SPDX-License-Identifier: MIT */
/**
 * @file misc.c
 * LAHF, SAHF, CMC, CLC, STC, CLD, STD, SALC, XLAT, MOVBE, CRC32, ENTER, PUSHA, POPA [SDM-2].
 */
#include "cpu/interp/arith.h"

/* ---- flags ---- */

enum { LOW_FLAGS = X86_SF | X86_ZF | X86_AF | X86_PF | X86_CF };

X86_H(lahf)
{
    *x86_r8(c, 1) = (uint8_t)((x86_flags(c) & LOW_FLAGS) | X86_F1);
    X86_NEXT(c, i);
}

X86_H(sahf)
{
    x86_set_arith(c, (x86_flags(c) & X86_OF) | (*x86_r8(c, 1) & LOW_FLAGS));
    X86_NEXT(c, i);
}

X86_H(cmc)
{
    x86_set_cf_of(c, x86_cf(c) ^ 1, x86_of(c));
    X86_NEXT(c, i);
}

X86_H(clc)
{
    x86_set_cf_of(c, 0, x86_of(c));
    X86_NEXT(c, i);
}

X86_H(stc)
{
    x86_set_cf_of(c, 1, x86_of(c));
    X86_NEXT(c, i);
}

X86_H(cld)
{
    c->st.rflags &= ~(uint64_t)X86_DF;
    X86_NEXT(c, i);
}

X86_H(std)
{
    c->st.rflags |= X86_DF;
    X86_NEXT(c, i);
}

X86_H(salc)
{
    *x86_r8(c, 0) = x86_cf(c) ? 0xff : 0;
    X86_NEXT(c, i);
}

/* ---- loads and stores with a twist ---- */

X86_H(xlat)
{
    uint64_t ea = c->st.gpr[X86_RBX] + *x86_r8(c, 0);

    ea &= ~UINT64_C(0) >> (64 - (8u << i->asz));
    *x86_r8(c, 0) = x86_ld8(c, i, x86_seg_lin(c, i, i->seg, ea, 1, X86_ACCESS_R));
    X86_NEXT(c, i);
}

#define MOVBE(W)                                                                                   \
    X86_H(movbe_load##W)                                                                           \
    {                                                                                              \
        uint64_t lin = x86_lin(c, i, W / 8, X86_ACCESS_R);                                         \
        x86_set_##W(c, i->dst, __builtin_bswap##W(x86_ld##W(c, i, lin)));                          \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(movbe_store##W)                                                                          \
    {                                                                                              \
        uint64_t lin = x86_lin(c, i, W / 8, X86_ACCESS_W);                                         \
        x86_st##W(c, i, lin, __builtin_bswap##W(x86_get_##W(c, i->src)));                          \
        X86_NEXT(c, i);                                                                            \
    }
MOVBE(16)
MOVBE(32)
MOVBE(64)

/* ---- CRC32: polynomial 11EDC6F41h, bits reflected [SDM-2A CRC32] ---- */

/* Remainders of the 16 nibbles, bit-reflected. */
static const uint32_t crc_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc32c(uint32_t crc, uint64_t v, unsigned bytes)
{
    for (unsigned k = 0; k < 2 * bytes; k++, v >>= 4)
        crc = crc >> 4 ^ crc_nibble[(crc ^ v) & 15];
    return crc;
}

/* A 64-bit destination has its upper half cleared too. */
#define CRC32(W)                                                                                   \
    X86_H(crc32_##W)                                                                               \
    {                                                                                              \
        X86_U##W v = (i->flags & X86_I_MEM) ? x86_ld##W(c, i, x86_lin(c, i, W / 8, X86_ACCESS_R))  \
                                            : x86_get_##W(c, i->src);                              \
        x86_set32(c, i->dst, crc32c(x86_get32(c, i->dst), v, W / 8));                              \
        X86_NEXT(c, i);                                                                            \
    }
CRC32(8)
CRC32(16)
CRC32(32)
CRC32(64)

/* ---- stack frames: everything is stored before RSP or RBP moves ---- */

static uint64_t stack_wrap(const struct vcpu *c, uint64_t sp)
{
    return sp & ~UINT64_C(0) >> (64 - (8u << x86_stack_size(c)));
}

static void stack_store(struct vcpu *c, const struct x86_insn *i, uint64_t sp, uint64_t v)
{
    uint64_t lin = x86_seg_lin(c, i, X86_SS, sp, 1u << i->osz, X86_ACCESS_W);

    switch (i->osz) {
    case 1:
        x86_st16_seg(c, i, lin, X86_SS, (uint16_t)v);
        break;
    case 2:
        x86_st32_seg(c, i, lin, X86_SS, (uint32_t)v);
        break;
    default:
        x86_st64_seg(c, i, lin, X86_SS, v);
        break;
    }
}

static uint64_t stack_load(struct vcpu *c, const struct x86_insn *i, uint64_t sp)
{
    uint64_t lin = x86_seg_lin(c, i, X86_SS, sp, 1u << i->osz, X86_ACCESS_R);

    switch (i->osz) {
    case 1:
        return x86_ld16_seg(c, i, lin, X86_SS);
    case 2:
        return x86_ld32_seg(c, i, lin, X86_SS);
    default:
        return x86_ld64_seg(c, i, lin, X86_SS);
    }
}

/** [SDM-2A ENTER]: a frame of imm16 bytes and, at nesting level n, the n - 1 outer frame pointers
 * and the new one. */
X86_H(enter)
{
    unsigned size = 1u << i->osz, level = i->imm >> 16 & 31;
    uint64_t sp = stack_wrap(c, c->st.gpr[X86_RSP] - size), bp = c->st.gpr[X86_RBP], frame = sp;

    stack_store(c, i, sp, bp);
    for (unsigned k = 1; k < level; k++) {
        bp = stack_wrap(c, bp - size);
        sp = stack_wrap(c, sp - size);
        stack_store(c, i, sp, stack_load(c, i, bp));
    }
    if (level > 0) {
        sp = stack_wrap(c, sp - size);
        stack_store(c, i, sp, frame);
    }
    sp = stack_wrap(c, sp - (i->imm & 0xffff));
    /* The end of the new frame must be writable [SDM-2A ENTER]. */
    vm__x86_probe_w(c, i, x86_seg_lin(c, i, X86_SS, sp, size, X86_ACCESS_W), size, X86_SS);
    x86_set_sp(c, sp);
    x86_set(c, X86_RBP * 8, i->osz, frame);
    X86_NEXT(c, i);
}

X86_H(pusha)
{
    unsigned size = 1u << i->osz;
    uint64_t sp = x86_sp(c);

    for (unsigned r = 0; r < 8; r++) {
        sp = stack_wrap(c, sp - size);
        stack_store(c, i, sp, c->st.gpr[r]);
    }
    x86_set_sp(c, sp);
    X86_NEXT(c, i);
}

/** The registers loaded before one that faults keep their new values, as in hardware; RSP has not
 * moved then, so that the instruction can be run again. */
X86_H(popa)
{
    unsigned size = 1u << i->osz;
    uint64_t sp = x86_sp(c);

    for (unsigned r = 8; r-- > 0; sp = stack_wrap(c, sp + size)) {
        uint64_t v = stack_load(c, i, sp);
        if (r != X86_RSP)
            x86_set(c, (uint8_t)(r * 8), i->osz, v);
    }
    x86_set_sp(c, sp);
    X86_NEXT(c, i);
}
