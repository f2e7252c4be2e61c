/* SPDX-License-Identifier: MIT */
/**
 * @file decode.c
 * The instruction decoder: bytes to struct x86_insn, driven by the generated tables.
 *
 * Spec: [SDM-2A §2] (instruction format), [SDM-2D §A] (opcode maps). Order of prefixes is free;
 * a REX prefix counts only when it directly precedes the opcode [SDM-2A §2.2.1].
 */
#include <string.h>

#include "cpu/x86/insn_table.h"

enum { MAX_LEN = 15, NO_SEG = 0xff, NONE = X86_NONE * 8 };

struct reader {
    const uint8_t *p, *end, *start;
    const uint8_t *limit; /* no byte from here on may be looked at; end is no later */
    const struct x86_decode_ctx *ctx;
    struct x86_insn *out;
    uint8_t rex;      /* low four bits: W R X B */
    uint8_t seg;      /* override or NO_SEG */
    uint8_t pp;       /* effective mandatory prefix, X86_PP_* */
    uint8_t vvvv;     /* VEX, already complemented; four bits in any mode */
    uint8_t mod, reg, rm; /* with REX extension applied to reg and rm */
    bool m64, asz_prefix;
    int rip_at; /* 1 when the memory operand is RIP-relative */
};

/* The next @p n bytes (0 to 8), sign-extended; the caller has asked need(). */
static inline uint64_t take(struct reader *r, unsigned n)
{
    uint64_t v = 0;

    if ((size_t)(r->limit - r->p) >= 8)
        memcpy(&v, r->p, 8); /* one load, and the excess shifted out */
    else
        for (unsigned k = 0; k < n; k++)
            v |= (uint64_t)r->p[k] << (8 * k);
    r->p += n;
    return n == 0 ? 0 : (uint64_t)((int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n));
}

static inline bool need(const struct reader *r, size_t n)
{
    return (size_t)(r->end - r->p) >= n;
}

/* SIB and displacement of 32- and 64-bit addressing [SDM-2A §2.1.5, tables 2-2, 2-3]. */
static int address32(struct reader *r)
{
    struct x86_insn *o = r->out;
    uint8_t rm = r->rm & 7, seg = X86_DS;
    unsigned disp = r->mod == 1 ? 1 : r->mod == 2 ? 4 : 0;
    uint8_t base = r->rm;

    o->index = NONE;
    if (rm == 4) {
        if (!need(r, 1))
            return X86_DECODE_MORE;
        uint8_t sib = *r->p++;
        uint8_t index = (uint8_t)((sib >> 3 & 7) | (r->rex & 2) << 2);
        o->scale = sib >> 6;
        base = (uint8_t)((sib & 7) | (r->rex & 1) << 3);
        if (index != 4)
            o->index = (uint8_t)(index * 8);
        rm = sib & 7;
        if (rm == 5 && r->mod == 0) {
            disp = 4;
            base = X86_NONE;
        }
    } else if (rm == 5 && r->mod == 0) {
        disp = 4;
        base = X86_NONE;
        r->rip_at = r->m64;
    }
    o->base = (uint8_t)(base * 8);
    if (base == X86_RSP || base == X86_RBP)
        seg = X86_SS;
    o->seg = seg;
    if (!need(r, disp))
        return X86_DECODE_MORE;
    o->disp = (int64_t)take(r, disp);
    return X86_DECODE_OK;
}

/* 16-bit addressing [SDM-2A §2.1.5, table 2-1]. */
static int address16(struct reader *r)
{
    static const uint8_t bases[8] = { X86_RBX, X86_RBX, X86_RBP, X86_RBP,
                                      X86_RSI, X86_RDI, X86_RBP, X86_RBX };
    static const uint8_t indexes[8] = { X86_RSI,  X86_RDI,  X86_RSI,  X86_RDI,
                                        X86_NONE, X86_NONE, X86_NONE, X86_NONE };
    struct x86_insn *o = r->out;
    uint8_t rm = r->rm & 7, base = bases[rm];
    unsigned disp = r->mod;

    o->index = (uint8_t)(indexes[rm] * 8);
    if (rm == 6 && r->mod == 0) {
        base = X86_NONE;
        disp = 2;
    }
    o->base = (uint8_t)(base * 8);
    o->seg = base == X86_RBP ? X86_SS : X86_DS;
    if (!need(r, disp))
        return X86_DECODE_MORE;
    o->disp = (int64_t)take(r, disp);
    return X86_DECODE_OK;
}

static inline uint16_t find_row(const struct reader *r, unsigned enc, unsigned map, uint8_t opcode,
                                unsigned pp)
{
    const struct x86_opcode *e = &vm__x86_opcodes[enc][map][opcode];
    unsigned d = e->dims, at = 0;

    if (d & X86_DIM_PP)
        at = pp;
    if (d & X86_DIM_MOD3)
        at = at * 2 + (r->mod == 3);
    if (d & X86_DIM_REG)
        at = at * 8 + (r->reg & 7);
    if (d & X86_DIM_RM)
        at = at * 8 + (r->rm & 7);
    if (d & X86_DIM_W)
        at = at * 2 + (r->rex >> 3 & 1);
    if (d & X86_DIM_L)
        at = at * 2 + ((r->out->flags & X86_I_L) != 0);
    if (d & X86_DIM_M64)
        at = at * 2 + r->m64;
    if (d & X86_DIM_REXB)
        at = at * 2 + (r->rex & 1);
    return vm__x86_cells[e->base + at];
}

/* The register number or byte offset an operand stands for; @p from says what is encoded where. */
static inline uint8_t operand_reg(const struct reader *r, const struct x86_operand *op,
                                  const uint8_t *from)
{
    uint8_t n = op->at == X86_AT_FIXED ? op->fixed : from[op->at];

    if (op->cls == X86_C_GPR) {
        if (op->size == X86_SZ_B && n >= 4 && n < 8 && !(r->out->flags & X86_I_REX))
            return (uint8_t)((n - 4) * 8 + 1); /* AH, CH, DH, BH */
        return (uint8_t)(n * 8);
    }
    if (op->cls == X86_C_MMX || op->cls == X86_C_ST || op->cls == X86_C_SEG)
        return n & 7; /* REX extensions are ignored */
    return n;
}

/* Immediates of several parts, and addresses [SDM-2A §2.2.1.4]. */
static int wide_immediate(struct reader *r, unsigned kind)
{
    struct x86_insn *o = r->out;
    unsigned n;

    switch (kind) {
    case X86_IMM_16_8:
        if (!need(r, 3))
            return X86_DECODE_MORE;
        o->imm = take(r, 2) & 0xffff;
        o->imm |= (take(r, 1) & 0xff) << 16;
        return X86_DECODE_OK;
    case X86_IMM_FAR:
        n = o->osz == 1 ? 2 : 4;
        if (!need(r, n + 2))
            return X86_DECODE_MORE;
        o->imm = take(r, n) & (n == 2 ? 0xffff : 0xffffffff);
        o->imm |= (take(r, 2) & 0xffff) << 32;
        return X86_DECODE_OK;
    default: /* X86_IMM_MOFFS */
        n = 1u << o->asz;
        if (!need(r, n))
            return X86_DECODE_MORE;
        o->disp = (int64_t)(take(r, n) & (~UINT64_C(0) >> (64 - 8 * n)));
        o->base = o->index = NONE;
        o->seg = X86_DS;
        o->flags |= X86_I_MEM;
        return X86_DECODE_OK;
    }
}

static inline int immediate(struct reader *r, const struct x86_row *row)
{
    /* Bytes by kind and operand size. */
    static const uint8_t bytes[X86_IMM_16_8][4] = {
        [X86_IMM_8] = { 1, 1, 1, 1 }, [X86_IMM_16] = { 2, 2, 2, 2 },
        [X86_IMM_Z] = { 4, 2, 4, 4 }, [X86_IMM_V] = { 1, 2, 4, 8 },
    };
    struct x86_insn *o = r->out;

    if (row->imm >= X86_IMM_16_8)
        return wide_immediate(r, row->imm);
    unsigned n = bytes[row->imm][o->osz];
    if (n == 0)
        return X86_DECODE_OK;
    if (!need(r, n))
        return X86_DECODE_MORE;
    o->imm = take(r, n);
    if (row->imm == X86_IMM_16)
        o->imm &= 0xffff;
    return X86_DECODE_OK;
}

static void operand_size(struct reader *r, const struct x86_row *row)
{
    struct x86_insn *o = r->out;
    bool p66 = o->flags & X86_I_OPSZ, w = r->rex & 8;

    if (row->attr & X86_A_BYTE)
        o->osz = 0;
    else if (row->enc == X86_ENC_VEX || (row->attr & X86_A_W64))
        o->osz = w && r->m64 ? 3 : 2;
    else if (r->m64)
        o->osz = (row->attr & X86_A_F64) || w ? 3 : p66 ? 1 : (row->attr & X86_A_D64) ? 3 : 2;
    else
        o->osz = (r->ctx->code == 1) == p66 ? 2 : 1;
}

/* What a byte is before the opcode: not a prefix, a legacy one, REX in 64-bit mode. */
enum { OPCODE, LEGACY, REX };
/* clang-format off */
static const uint8_t prefix_kind[256] = {
    [0x26] = LEGACY, [0x2e] = LEGACY, [0x36] = LEGACY, [0x3e] = LEGACY, [0x64] = LEGACY,
    [0x65] = LEGACY, [0x66] = LEGACY, [0x67] = LEGACY, [0xf0] = LEGACY, [0xf2] = LEGACY,
    [0xf3] = LEGACY, [0x40 ... 0x4f] = REX,
};
/* clang-format on */

static void legacy_prefix(struct reader *r, uint8_t b)
{
    struct x86_insn *o = r->out;

    switch (b) {
    case 0x64: r->seg = X86_FS; break;
    case 0x65: r->seg = X86_GS; break;
    case 0x66: o->flags |= X86_I_OPSZ; break;
    case 0x67: r->asz_prefix = true; break;
    case 0xf0: o->flags |= X86_I_LOCK; break;
    case 0xf2:
        o->flags = (uint8_t)((o->flags & ~X86_I_REP) | X86_I_REPNE);
        r->pp = X86_PP_F2;
        break;
    case 0xf3:
        o->flags = (uint8_t)((o->flags & ~X86_I_REPNE) | X86_I_REP);
        r->pp = X86_PP_F3;
        break;
    default:
        /* ES, CS, SS, DS: in 64-bit mode null prefixes [SDM-2A §2.2.1.3, SDM-1 §3.4.2.1]. */
        if (!r->m64)
            r->seg = b >> 3 & 3;
        break;
    }
}

/* Legacy prefixes and REX. Leaves r->p at the opcode. */
static inline int prefixes(struct reader *r)
{
    for (;;) {
        if (!need(r, 1))
            return X86_DECODE_MORE;
        uint8_t b = *r->p, kind = prefix_kind[b];
        if (kind == OPCODE || (kind == REX && !r->m64))
            return X86_DECODE_OK;
        r->p++;
        /* A REX counts only directly before the opcode: any later prefix undoes it. */
        r->rex = kind == REX ? b & 0x0f : 0;
        r->out->flags &= (uint8_t)~X86_I_REX;
        if (kind == REX)
            r->out->flags |= X86_I_REX;
        else
            legacy_prefix(r, b);
    }
}

/* C4/C5 as VEX: true when the byte after it makes it one [SDM-2A §2.3.5]. */
static bool is_vex(const struct reader *r, uint8_t b)
{
    return (b == 0xc5 || b == 0xc4) && (r->m64 || r->p[1] >= 0xc0) && !r->ctx->real;
}

static int vex_prefix(struct reader *r, unsigned *map)
{
    struct x86_insn *o = r->out;
    bool three = *r->p == 0xc4;
    uint8_t b1, b2;

    if (!need(r, three ? 3 : 2))
        return X86_DECODE_MORE;
    /* A REX, 66, F2, F3 or LOCK before VEX is undefined [SDM-2A §2.3.2]. */
    if (o->flags & (X86_I_REX | X86_I_OPSZ | X86_I_LOCK | X86_I_REP | X86_I_REPNE))
        return X86_DECODE_UD;
    b1 = r->p[1];
    b2 = three ? r->p[2] : b1;
    r->rex = (uint8_t)((b1 & 0x80) ? 0 : 4);
    *map = 1;
    if (three) {
        *map = b1 & 0x1f;
        r->rex |= (uint8_t)(((b1 & 0x40) ? 0 : 2) | ((b1 & 0x20) ? 0 : 1) | ((b2 & 0x80) ? 8 : 0));
    }
    if (!r->m64)
        r->rex &= 8;
    r->vvvv = (uint8_t)(~b2 >> 3 & 15);
    if (b2 & 4)
        o->flags |= X86_I_L;
    static const uint8_t pps[4] = { X86_PP_NP, X86_PP_66, X86_PP_F3, X86_PP_F2 };
    r->pp = pps[b2 & 3];
    r->p += three ? 3 : 2;
    return *map >= 1 && *map <= 3 ? X86_DECODE_OK : X86_DECODE_UD;
}

/* Whatever is wrong with a row that was found. */
static bool allowed(const struct reader *r, const struct x86_row *row)
{
    if (row->feature && !(r->ctx->have[row->feature / 64] >> (row->feature % 64) & 1))
        return false;
    if ((row->attr & X86_A_PROT) && r->ctx->real)
        return false;
    /* LOCK needs a lockable row with a memory destination [SDM-2A LOCK]; MOV CR8 through LOCK is
     * an AMD extension that no model here shows. */
    if ((r->out->flags & X86_I_LOCK) && (!(row->attr & X86_A_LOCK) || r->mod == 3))
        return false;
    /* VEX.vvvv must be 1111b when it encodes no operand [SDM-2A §2.3.5.6]; its top bit, which
     * selects no register outside 64-bit mode, counts there too. */
    if (row->enc == X86_ENC_VEX && r->vvvv != 0) {
        for (unsigned k = 0; k < row->n_ops; k++)
            if (row->op[k].at == X86_AT_VVVV)
                return true;
        return false;
    }
    return true;
}

static inline void set_operands(const struct reader *r, const struct x86_row *row, uint8_t opcode)
{
    struct x86_insn *o = r->out;
    const uint8_t from[] = {
        [X86_AT_NONE] = NONE,
        [X86_AT_RM] = r->rm,
        [X86_AT_REG] = r->reg,
        [X86_AT_OPCODE] = (uint8_t)((opcode & 7) | (r->rex & 1) << 3),
        [X86_AT_VVVV] = r->m64 ? r->vvvv : r->vvvv & 7,
        [X86_AT_IS4] = NONE,
        [X86_AT_IMM] = NONE,
        [X86_AT_FIXED] = NONE,
        [X86_AT_MOFFS] = X86_NONE, /* a general register to be */
        [X86_AT_SI] = NONE,
        [X86_AT_DI] = NONE,
    };

    if (row->n_ops > 0)
        o->dst = operand_reg(r, &row->op[0], from);
    if (row->n_ops > 1)
        o->src = operand_reg(r, &row->op[1], from);
    if (row->n_ops > 2)
        o->src2 = operand_reg(r, &row->op[2], from);
    for (unsigned k = 0; k < row->n_ops; k++)
        if (row->op[k].cls == X86_C_IMM && row->op[k].at == X86_AT_FIXED)
            o->imm = row->op[k].fixed;
        else if (row->op[k].at == X86_AT_SI)
            o->seg = X86_DS;
}

/* Opcode, ModRM, row. */
static int opcode_and_row(struct reader *r, unsigned *enc, unsigned *map, uint8_t *opcode)
{
    struct x86_insn *o = r->out;

    *enc = X86_ENC_LEGACY;
    *map = 0;
    uint8_t b = *r->p;
    if ((b == 0xc4 || b == 0xc5) && !need(r, 2))
        return X86_DECODE_MORE;
    if (is_vex(r, b)) {
        int st = vex_prefix(r, map);
        *enc = X86_ENC_VEX;
        if (st != X86_DECODE_OK)
            return st;
        if (!need(r, 1))
            return X86_DECODE_MORE;
        *opcode = *r->p++;
    } else {
        r->p++;
        if (b == 0x0f) {
            if (!need(r, 1))
                return X86_DECODE_MORE;
            b = *r->p++;
            *map = 1;
            if (b == 0x38 || b == 0x3a) {
                *map = b == 0x38 ? 2 : 3;
                if (!need(r, 1))
                    return X86_DECODE_MORE;
                b = *r->p++;
            }
        }
        *opcode = b;
        if (r->pp == X86_PP_NP && (o->flags & X86_I_OPSZ))
            r->pp = X86_PP_66;
    }
    if (vm__x86_opcodes[*enc][*map][*opcode].dims & X86_DIM_MODRM) {
        if (!need(r, 1))
            return X86_DECODE_MORE;
        uint8_t m = *r->p++;
        o->modrm = m;
        r->mod = m >> 6;
        r->reg = (uint8_t)((m >> 3 & 7) | (r->rex & 4) << 1);
        r->rm = (uint8_t)((m & 7) | (r->rex & 1) << 3);
    }
    return X86_DECODE_OK;
}

static int decode(struct reader *r, uint64_t rip)
{
    struct x86_insn *o = r->out;
    unsigned enc, map;
    uint8_t opcode;
    int st;

    if ((st = prefixes(r)) != X86_DECODE_OK)
        return st;
    if ((st = opcode_and_row(r, &enc, &map, &opcode)) != X86_DECODE_OK)
        return st;
    o->asz = (uint8_t)(r->ctx->code - r->asz_prefix);
    if (o->asz == 0)
        o->asz = 2; /* 67 in 16-bit code gives 32-bit addressing */
    if (r->rex & 8)
        o->flags |= X86_I_W;

    uint16_t id = find_row(r, enc, map, opcode, r->pp);
    if (id == X86_NO_ROW)
        return X86_DECODE_UD;
    const struct x86_row *row = &vm__x86_rows[id];
    if (!allowed(r, row)) {
        if (!(row->attr & X86_A_FALLNP) || (o->flags & X86_I_LOCK))
            return X86_DECODE_UD;
        id = find_row(r, enc, map, opcode, X86_PP_NP);
        if (id == X86_NO_ROW)
            return X86_DECODE_UD;
        row = &vm__x86_rows[id];
    }
    o->row = id;
    operand_size(r, row);
    if (row->mod == X86_MOD_ANY || row->mod == X86_MOD_MEM) {
        if (r->mod != 3) {
            o->flags |= X86_I_MEM;
            st = o->asz == 1 ? address16(r) : address32(r);
            if (st != X86_DECODE_OK)
                return st;
            if ((row->attr & X86_A_VSIB)) {
                if ((r->rm & 7) != 4 || o->asz == 1)
                    return X86_DECODE_UD;
                uint8_t sib = 0; /* index 4 is a register here */
                if (o->index == NONE)
                    sib = 4;
                o->index = o->index == NONE ? sib : o->index / 8;
            }
        }
    }
    set_operands(r, row, opcode);
    if ((st = immediate(r, row)) != X86_DECODE_OK)
        return st;
    if (r->seg != NO_SEG)
        o->seg = r->seg;
    size_t len = (size_t)(r->p - r->start);
    if (len > MAX_LEN)
        return X86_DECODE_LONG;
    o->len = (uint8_t)len;
    uint64_t next = rip + len;
    if (r->rip_at) {
        o->disp = (int64_t)(next + (uint64_t)o->disp);
        if (o->asz == 2)
            o->disp = (int64_t)(uint32_t)o->disp;
    }
    if (row->n_ops > 0 && row->op[0].cls == X86_C_REL) {
        uint64_t target = next + o->imm;
        o->imm = o->osz == 1 ? (uint16_t)target : o->osz == 2 ? (uint32_t)target : target;
    }
    return X86_DECODE_OK;
}

int vm__x86_decode(const struct x86_decode_ctx *ctx, const uint8_t *bytes, size_t avail,
                   uint64_t rip, struct x86_insn *out)
{
    struct reader r = {
        .p = bytes,
        .end = bytes + (avail > MAX_LEN ? MAX_LEN : avail),
        .limit = bytes + avail,
        .start = bytes,
        .ctx = ctx,
        .out = out,
        .seg = NO_SEG,
        .m64 = ctx->code == 3,
    };

    memset(out, 0, sizeof *out);
    out->base = out->index = NONE;
    out->seg = X86_DS;
    int st = decode(&r, rip);
    if (st == X86_DECODE_MORE && avail >= MAX_LEN)
        st = X86_DECODE_LONG;
    if (st != X86_DECODE_OK)
        out->len = (uint8_t)(r.p - r.start);
    return st;
}
